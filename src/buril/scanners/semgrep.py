"""semgrep, a program of its own, with buril's own rules for eleven languages; it never uses the network.

It is not imported: what it pins clashes with everything else, and its licence (LGPL) asks for a border. Public rule
packs may not be passed on, so none is part of buril; `rules` takes yours.

A rule that runs out of time on a file leaves a `partial` finding there. Time is the one thing here that a machine
decides; the limit is so far from what a rule needs that it is met by files made for it.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any, ClassVar

from pydantic import Field

from buril.code.codefile import Finding
from buril.core.errors import BurilError
from buril.core.settings import Settings as BaseSettings
from buril.core.settings import runtime
from buril.core.text import _
from buril.scanners import _semgrep_rules as rules_of
from buril.scanners._batch import Answer, call, failed, folder, halved
from buril.scanners._columns import Lines
from buril.scanners._cwe import number_of, owasp
from buril.scanners._scanner import PARTIAL, About, Scanner, Text, inconclusive

PROGRAM_VARIABLE = "BURIL_SEMGREP"
RULE_LIMIT_S = 30
_EXTENSIONS = {
    "bash": "sh", "c": "c", "cpp": "cpp", "csharp": "cs", "go": "go", "java": "java", "javascript": "js",
    "kotlin": "kt", "lua": "lua", "php": "php", "python": "py", "ruby": "rb", "rust": "rs", "scala": "scala",
    "solidity": "sol", "swift": "swift", "tsx": "tsx", "typescript": "ts",
}  # fmt: skip
_PARTIAL_ERRORS = {"PartialParsing", "Timeout", "FixpointTimeout"}
_BAD_RULES = 7


class Semgrep(Scanner):
    """semgrep with buril's own rules (OWASP Top Ten, CWE Top 25), or with yours."""

    version: ClassVar[int] = 2
    languages: ClassVar[frozenset[str] | None] = frozenset(_EXTENSIONS)

    class Settings(BaseSettings):
        """Which rules, and where the program is."""

        shorthand: ClassVar[str | None] = "rules"

        rules: tuple[str, ...] = (rules_of.PACK,)
        """`buril` for the own pack, and files or folders of rules in semgrep's format."""
        max_bytes: int = Field(1_000_000, ge=1)
        """Larger files are inconclusive. The default is what `prepare` parses at most."""
        program: str = runtime("")
        """The program, by name or path; by default `BURIL_SEMGREP`, else `semgrep` or `opengrep` on the PATH."""

    settings: Settings

    def scan(self, text: str, language: str) -> Iterator[Finding]:
        """The findings in one text; a process starts for it, some three seconds."""
        return iter(self.scan_many([Text(text, language)])[0])

    def scan_many(self, texts: Sequence[Text]) -> list[list[Finding]]:
        """One process for all texts; none where no rule is made for their languages."""
        covered = frozenset().union(*(rule.languages for rule in self._rules()))
        found: list[list[Finding]] = [[] for _text in texts]
        asked: list[int] = []
        for place, text in enumerate(texts):
            if text.language not in covered or not text.content.strip():
                continue
            if len(text.content.encode("utf-8", "replace")) > self.settings.max_bytes:
                found[place].append(inconclusive("semgrep", f"larger than {self.settings.max_bytes} bytes"))
            else:
                asked.append(place)
        answers = halved("semgrep", [texts[place] for place in asked], self._run)
        for place, findings in zip(asked, answers, strict=True):
            found[place].extend(findings)
        return found

    def observe(self) -> dict[str, str]:
        """The program's version and a fingerprint of the rules."""
        program = self._program()
        return {"semgrep": _version(program), "semgrep rules": rules_of.digest(self._rules())}

    def self_test(self) -> list[str]:
        """Rules, one a language, that do not find their own bad sample."""
        chosen: dict[str, rules_of.SemgrepRule] = {}
        for rule in self._rules():
            for language in sorted(rule.languages) if rule.bad else ():
                chosen.setdefault(language, rule)
        found = self.scan_many([Text(rule.bad, language) for language, rule in chosen.items()])
        return [
            f"{rule.name} ({language})"
            for (language, rule), findings in zip(chosen.items(), found, strict=True)
            if rule.name not in {item.rule for item in findings}
        ]

    def rules(self) -> dict[str, About]:
        """All rules, in their own words."""
        return {rule.name: About(rule.message) for rule in self._rules()}

    def _rules(self) -> tuple[rules_of.SemgrepRule, ...]:
        return rules_of.load(self.settings.rules)

    def _program(self) -> str:
        """Where the program is.

        Raises:
            BurilError: D220 when it is nowhere.
        """
        told = self.settings.program or os.environ.get(PROGRAM_VARIABLE, "")
        for name in (told,) if told else ("semgrep", "opengrep"):
            beside = Path(sys.executable).parent / name
            if found := shutil.which(name) or (str(beside) if beside.is_file() else None):
                return str(Path(found).absolute())  # it is started in another folder
        suggestion = _(
            "pipx install semgrep (or, into an environment of its own: python3 -m venv ~/.semgrep-venv && "
            "~/.semgrep-venv/bin/pip install semgrep, then export {variable}=~/.semgrep-venv/bin/semgrep); "
            "or take `semgrep` out of `prepare.scan`"
        ).format(variable=PROGRAM_VARIABLE)
        raise BurilError("D220", name="semgrep", program=told or "semgrep", suggestion=suggestion)

    def _run(self, texts: Sequence[Text]) -> list[list[Finding]]:
        names = [f"{place:06}.{_EXTENSIONS[text.language]}" for place, text in enumerate(texts)]
        rules = self._rules()
        with (
            tempfile.TemporaryDirectory(prefix="buril-semgrep-") as home,
            folder([text.content for text in texts], names.__getitem__) as place,
        ):
            config = Path(home) / "rules.json"
            config.write_text(rules_of.merged(rules, {text.language for text in texts}), encoding="utf-8")
            (place / ".semgrepignore").write_text("")  # without one it leaves out what it takes for tests
            answer = call("semgrep", self._command(config), place, _environment(home))
        told = self._told(answer)
        by_name = {rule.name: rule for rule in rules}
        found: dict[str, set[Finding]] = {name: set() for name in names}
        lines = {name: Lines(text.content.encode("utf-8", "replace")) for name, text in zip(names, texts, strict=True)}
        for item in told["results"]:
            name = Path(item["path"]).name
            found[name].add(_finding(item, by_name, lines[name]))
        for item in told["errors"]:
            if (name := Path(str(item.get("path") or "")).name) in found:
                found[name].add(_unread(item))
        for name in found.keys() - {Path(path).name for path in told["paths"]["scanned"]}:
            found[name].add(inconclusive("semgrep", "semgrep left it out"))
        return [_once(found[name]) for name in names]

    def _command(self, config: Path) -> list[str]:
        """No network, no ignore file, no word of the author that silences a rule, one process."""
        return [
            self._program(), "scan", "--config", str(config), "--json", "--quiet", "--metrics", "off",
            "--disable-version-check", "--no-git-ignore", "--no-rewrite-rule-ids", "--disable-nosem", "--jobs", "1",
            "--timeout", str(RULE_LIMIT_S), "--timeout-threshold", "3", "--max-target-bytes", "0", ".",
        ]  # fmt: skip

    def _told(self, answer: Answer) -> dict[str, Any]:
        """The answer, read.

        Raises:
            BurilError: D223 for rules that semgrep refuses, D222 for everything else that is no answer.
        """
        try:
            told: dict[str, Any] = json.loads(answer.out)
        except ValueError as problem:
            raise failed("semgrep", answer.error or str(problem)) from problem
        refused = [item for item in told["errors"] if "rule" in str(item.get("type")).lower()]
        if answer.code == _BAD_RULES or refused:
            said = "; ".join(str(item.get("message") or item.get("long_msg") or item["type"]) for item in refused[:2])
            raise BurilError("D223", path=", ".join(self.settings.rules), problem=" ".join(said.split())[:300])
        if answer.code not in (0, 1) and not told["paths"]["scanned"]:
            raise failed("semgrep", answer.error or str(told["errors"][:1]))
        return told


def _environment(home: str) -> dict[str, str]:
    """Nothing of the user's: no token, no settings file, no log below the home folder."""
    return {
        "PATH": os.environ.get("PATH", os.defpath), "HOME": home, "XDG_CONFIG_HOME": home, "XDG_CACHE_HOME": home,
        "SEMGREP_SETTINGS_FILE": f"{home}/settings.yml", "SEMGREP_LOG_FILE": f"{home}/semgrep.log",
        "SEMGREP_SEND_METRICS": "off", "SEMGREP_ENABLE_VERSION_CHECK": "0", "PYTHONDONTWRITEBYTECODE": "1",
        "LC_ALL": "C.UTF-8", "NO_COLOR": "1",
    }  # fmt: skip


@cache
def _version(program: str) -> str:
    """The program's version: from the package beside it where it lies in a virtual environment, else it is asked."""
    packages = Path(program).resolve().parent.parent / "lib"
    beside = sorted(packages.glob("python3*/site-packages/semgrep-*.dist-info"))
    if len(beside) == 1:
        return beside[0].name.removesuffix(".dist-info").removeprefix("semgrep-")
    with tempfile.TemporaryDirectory(prefix="buril-semgrep-") as home:
        answer = call("semgrep", [program, "--version"], Path(home), _environment(home))
    if answer.code or not answer.out.strip():
        raise failed("semgrep", answer.error or "it has no version")
    return answer.out.split()[-1]


def _once(found: set[Finding]) -> list[Finding]:
    """By line; of those that differ by their columns alone the first."""
    first: dict[Finding, Finding] = {}
    for item in sorted(found, key=lambda item: (item.line, item)):
        first.setdefault(item._replace(column=0, end_column=0), item)
    return list(first.values())


def _finding(item: dict[str, Any], rules: dict[str, rules_of.SemgrepRule], lines: Lines) -> Finding:
    """A result as a finding; what the rule says, because semgrep's own text may quote the code. It counts bytes."""
    rule = rules[item["check_id"]]
    line, end = int(item["start"]["line"]), int(item["end"]["line"])
    cwe = f"CWE-{number_of(rule.cwe)}" if number_of(rule.cwe) else ""
    columns = (lines.column(item[place]["line"], item[place]["col"] - 1) for place in ("start", "end"))
    return Finding(
        "semgrep", rule.name, line, rule.severity, rule.message, cwe, owasp(cwe), rule.confidence,
        end if end > line else 0, *columns,
    )  # fmt: skip


def _unread(item: dict[str, Any]) -> Finding:
    """An error about a file, as a finding: what was not analysed."""
    kind = item.get("type")
    name = str(kind[0] if isinstance(kind, list) else kind).replace(" ", "")
    if name not in _PARTIAL_ERRORS:
        return inconclusive("semgrep", name or "unknown")
    lines = [span["start"]["line"] for span in item.get("spans") or ()]
    ends = [span["end"]["line"] for span in item.get("spans") or ()]
    return Finding("semgrep", PARTIAL, max(1, min(lines, default=1)), "low", name, end_line=max(ends, default=0))
