"""What each scanner sees of the labelled programs in tests/scanners/cases, for scripts/scanning.py.

A weak program is found when a scanner names its weakness, or one of the same family, on the lines where it stands. A
twin, which is not weak, raises a false alarm when a scanner names that weakness anywhere in it.

What runs in this process is measured each time. What starts programs is measured when the page is written, and kept in
tests/scanners/recall.json beside a digest of all that it depends on but the program, so that a check needs none.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tests.scanners.cases import Case, cases  # noqa: E402
from tests.scanners.conftest import semgrep_program  # noqa: E402

from buril.core.errors import BurilError  # noqa: E402  the tests' folder must be found first
from buril.gate.merge import family  # noqa: E402
from buril.scanners import Scanner, Text, reads  # noqa: E402
from buril.scanners import _semgrep_rules as semgrep_rules  # noqa: E402
from buril.scanners._python_rules import RULES  # noqa: E402
from buril.scanners.bandit import Bandit  # noqa: E402
from buril.scanners.ruff import Ruff  # noqa: E402
from buril.scanners.secrets import Secrets  # noqa: E402
from buril.scanners.semgrep import PROGRAM_VARIABLE, Semgrep  # noqa: E402
from buril.scanners.taint import Taint  # noqa: E402

KEPT: Final = ROOT / "tests/scanners/recall.json"
SCANNERS: Final = ("taint", "semgrep", "ruff", "bandit", "secrets")
"""In the order in which the page names them."""
_PROGRAMS: Final = ("semgrep", "ruff", "bandit")
Key = tuple[str, str]
"""A language and a weakness."""
Kept = dict[str, Any]
"""What is kept of a program: `digest`, `version`, and in `seen` by language and weakness names of programs."""


class Seen(NamedTuple):
    """The programs of a language and weakness, by name, that a scanner sees, and the twins in which it is wrong."""

    found: frozenset[str]
    alarms: frozenset[str]


class Recall(NamedTuple):
    """How many pairs there are, what each scanner sees of them, and what is out of step."""

    pairs: dict[Key, int]
    seen: dict[str, dict[Key, Seen]]
    stale: list[str]

    def by_any(self, key: Key) -> Seen:
        """What at least one of the scanners sees."""
        every = [told[key] for told in self.seen.values() if key in told]
        return Seen(frozenset().union(*(one.found for one in every)), frozenset().union(*(one.alarms for one in every)))


def measured(*, write: bool) -> Recall:
    """Measure what runs here; of the programs read what is kept, or measure them too and keep it."""
    programs = list(cases())
    pairs: dict[Key, int] = {}
    for case in programs:
        pairs[case.language, case.cwe] = pairs.get((case.language, case.cwe), 0) + case.bad
    here: dict[str, Scanner] = {"taint": Taint(), "secrets": Secrets(Secrets.Settings(rules=("secrets",)))}
    seen = {name: _look(scanner, programs) for name, scanner in here.items()}
    kept = json.loads(KEPT.read_text(encoding="utf-8")) if KEPT.exists() else {}
    digests = {name: _digest(name, programs) for name in _PROGRAMS}
    if write:
        for name in _PROGRAMS:
            kept[name] = _again(name, programs, digests[name], kept.get(name))
        kept = {name: kept[name] for name in sorted(kept) if kept[name]}
        KEPT.write_text(json.dumps(kept, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    stale = [name for name in _PROGRAMS if kept.get(name, {}).get("digest") != digests[name]]
    seen |= {name: _read(kept[name]["seen"]) for name in _PROGRAMS if name in kept}
    return Recall(pairs, {name: seen[name] for name in SCANNERS if name in seen}, stale)


def _look(scanner: Scanner, programs: Sequence[Case]) -> dict[Key, Seen]:
    asked = [case for case in programs if reads(scanner, case.language)]
    answers = scanner.scan_many([Text(case.text, case.language) for case in asked])
    found: dict[Key, tuple[set[str], set[str]]] = {}
    for case, findings in zip(asked, answers, strict=True):
        hits, alarms = found.setdefault((case.language, case.cwe), (set(), set()))
        lines = {
            (family(item.cwe), line)
            for item in findings
            for line in range(item.line, max(item.line, item.end_line) + 1)
        }
        if case.bad and all((family(cwe), line) in lines for cwe, line in case.expected):
            hits.add(case.name)
        if not case.bad and any(kind == family(case.cwe) for kind, _line in lines):
            alarms.add(case.name)
    return {key: Seen(frozenset(hits), frozenset(alarms)) for key, (hits, alarms) in found.items()}


def _again(name: str, programs: Sequence[Case], digest: str, before: Kept | None) -> Kept | None:
    """A program measured anew, where it or the programs have changed; None where it is not here and must be."""
    if name == "semgrep" and (found := semgrep_program()):
        os.environ[PROGRAM_VARIABLE] = found
    makers: dict[str, Callable[[], Scanner]] = {"semgrep": Semgrep, "ruff": Ruff, "bandit": Bandit}
    scanner = makers[name]()
    try:
        versions = scanner.observe()
    except BurilError as problem:
        if before and before["digest"] == digest:
            return before
        print(f"{name} is not measured, and has no figures: {problem}")
        return None
    if before and (before["digest"], before["version"]) == (digest, versions[name]):
        return before
    told = _look(scanner, programs)
    rows = {" ".join(key): [sorted(seen.found), sorted(seen.alarms)] for key, seen in sorted(told.items())}
    return {"digest": digest, "seen": rows, "version": versions[name]}


def _read(rows: dict[str, list[list[str]]]) -> dict[Key, Seen]:
    keys = {row: row.split(" ") for row in rows}
    return {(key[0], key[1]): Seen(*map(frozenset, rows[row])) for row, key in keys.items()}


def _digest(name: str, programs: Iterable[Case]) -> str:
    """A digest of the programs, of our rules for a scanner, and of its version here; not of the program's."""
    if name == "semgrep":
        rules, version = semgrep_rules.digest(semgrep_rules.load((semgrep_rules.PACK,))), Semgrep.version
    else:
        rules, version = repr(sorted(RULES.items())), {"ruff": Ruff, "bandit": Bandit}[name].version
    texts = [case for case in programs if name == "semgrep" or case.language == "python"]
    return hashlib.sha256(repr((name, version, rules, texts)).encode()).hexdigest()[:16]
