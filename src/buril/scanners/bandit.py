"""bandit, the reference for Python, at ruff's speed: ruff reads every file, bandit the statements where the two differ.

bandit parses with the Python it runs on; what that can't parse it skips in silence and ends well. Here a text that
neither of the two could read is inconclusive.
"""

from __future__ import annotations

import platform
from collections.abc import Iterator, Sequence
from typing import Any, ClassVar, Literal

from buril.code.codefile import Finding
from buril.core.settings import Settings as BaseSettings
from buril.scanners._batch import folder, halved, numbered
from buril.scanners._columns import PYTHON_LINES, Lines
from buril.scanners._python_parts import SAME_TESTS, Part, part_of
from buril.scanners._python_rules import RULES, Seen, finding, once
from buril.scanners._scanner import PARTIAL, About, Scanner, Text, inconclusive
from buril.scanners.ruff import MARK, NOT_PYTHON, Ruff

_SAMPLES = {
    "B102": "exec(x)\n", "B301": "pickle.loads(x)\n", "B307": "eval(x)\n", "B404": "import subprocess\n",
    "B324": "import hashlib\nhashlib.md5(x)\n", "B506": "import yaml\nyaml.load(x)\n", "B605": "os.system(x)\n",
    "B602": "subprocess.run(x, shell=True)\n", "B608": 'q = "SELECT a FROM b WHERE c = %s" % x\n',
    "B613": "a = 1  # \N{RIGHT-TO-LEFT OVERRIDE} b\n", "B614": "import torch\ntorch.load(x)\n",
}  # fmt: skip
_CHARACTERS = "B613"
"""The test that counts characters, from 1; the others count bytes."""
_STRINGS = frozenset({"B104", "B105", "B108", "B608"})
"""The tests that look at strings."""
_UNPARSED = (SyntaxError, ValueError, RecursionError, MemoryError)


class Bandit(Scanner):
    """bandit's tests for Python, with ruff as the first pass over all files."""

    version: ClassVar[int] = 2
    requires: ClassVar = ("bandit", "ruff")
    languages: ClassVar[frozenset[str] | None] = frozenset({"python"})

    class Settings(BaseSettings):
        """How, and which tests."""

        shorthand: ClassVar[str | None] = "first"

        first: Literal["ruff", "none"] = "ruff"
        """`ruff`: it reads every file, bandit only the statements in which the two may differ; `none`: bandit alone
        reads everything, ten times slower."""
        ignore: tuple[str, ...] = ("B101",)
        """Tests to leave out. `assert` (B101) by default: it is no weakness to learn, and there are hundreds."""

    settings: Settings

    def scan(self, text: str, language: str) -> Iterator[Finding]:
        """The findings in one text; one that is no Python 3 is inconclusive."""
        return iter(self.scan_many([Text(text, language)])[0])

    def scan_many(self, texts: Sequence[Text]) -> list[list[Finding]]:
        """One process of ruff for all texts; bandit runs inside this one."""
        return halved("bandit", texts, self._two_passes if self.settings.first == "ruff" else self._alone)

    def observe(self) -> dict[str, str]:
        """The versions of bandit, of ruff, and of the Python whose grammar bandit reads."""
        from importlib.metadata import version

        first = Ruff().observe() if self.settings.first == "ruff" else {}
        return {**first, "bandit": version("bandit"), "python": ".".join(platform.python_version_tuple()[:2])}

    def self_test(self) -> list[str]:
        """Tests whose sample it does not report."""
        samples = {name: text for name, text in _SAMPLES.items() if name not in self.settings.ignore}
        found = self.scan_many([Text(text, "python") for text in samples.values()])
        return [
            name for name, findings in zip(samples, found, strict=True) if name not in {item.rule for item in findings}
        ]

    def rules(self) -> dict[str, About]:
        """The tests that the table knows, with bandit's own pages."""
        from bandit.core.docs_utils import get_url  # type: ignore[import-untyped]  # it brings no types

        names = (f"B{number}" for number in sorted(RULES))
        return {
            name: About(RULES[name[1:]].message, get_url(name)) for name in names if name not in self.settings.ignore
        }

    def _alone(self, texts: Sequence[Text]) -> list[list[Finding]]:
        found, skipped = _run([text.content for text in texts], {"exclude": set(self.settings.ignore)})
        return [
            [inconclusive("bandit", skipped[place])] if place in skipped else _findings(found[place])
            for place in range(len(texts))
        ]

    def _two_passes(self, texts: Sequence[Text]) -> list[list[Finding]]:
        ignored = {*self.settings.ignore, *(f"S{name[1:]}" for name in self.settings.ignore)}
        first = [[item for item in seen if item.rule not in ignored] for seen in Ruff().seen(texts)]
        parts: dict[int, Part] = {}
        unread: dict[int, str] = {}
        for place, (text, seen) in enumerate(zip(texts, first, strict=True)):
            if any(not item.rule for item in seen):
                continue
            try:
                part = part_of(text.content, {item.line for item in seen if item.rule == "S608"})
            except _UNPARSED as problem:
                unread[place] = f"only ruff read it: {type(problem).__name__}"
                continue
            if part is not None:
                parts[place] = part
        second, skipped = _run(
            [part.text for part in parts.values()], {"exclude": {*self.settings.ignore, *SAME_TESTS}}
        )
        graded = {place: _numbered(second[n], parts[place].lines) for n, place in enumerate(parts)}
        unread.update({place: skipped[n] for n, place in enumerate(parts) if n in skipped})
        return [_merged(seen, graded.get(place, []), unread.get(place, "")) for place, seen in enumerate(first)]


def _numbered(seen: Sequence[Seen], lines: Sequence[int]) -> list[Seen]:
    """What was seen in a part, by the lines of the whole text."""
    return [item._replace(line=lines[item.line - 1], end_line=lines[item.end_line - 1]) for item in seen]


def _merged(first: Sequence[Seen], second: Sequence[Seen], unread: str) -> list[Finding]:
    """What ruff saw, as bandit's tests, unless bandit saw it too and graded it itself."""
    errors = [item for item in first if not item.rule]
    graded = {(item.rule, line) for item in second for line in range(item.line, item.end_line + 1)}
    kept = [item._replace(rule=f"B{item.rule[1:]}") for item in first if item.rule]
    merged = _findings([*second, *(item for item in kept if (item.rule, item.line) not in graded)])
    if errors:
        return [inconclusive("bandit", NOT_PYTHON), *merged]
    return [*([Finding("bandit", PARTIAL, 1, "low", unread)] if unread else []), *merged]


def _findings(seen: Sequence[Seen]) -> list[Finding]:
    ordered = sorted(once(seen), key=lambda item: (item.line, item.rule, item))
    return [finding("bandit", item.rule, item) for item in ordered]


def _run(contents: Sequence[str], profile: dict[str, set[str]]) -> tuple[list[list[Seen]], dict[int, str]]:
    """Run bandit on texts: what it saw in each, and by place why it left one out."""
    if not contents:
        return [], {}
    import logging

    from bandit.core.config import BanditConfig  # type: ignore[import-untyped]  # it brings no types
    from bandit.core.manager import BanditManager  # type: ignore[import-untyped]  # it brings no types

    logging.getLogger("bandit").setLevel(logging.CRITICAL)  # it logs what it skips; we say it by finding
    names = numbered("py")
    found: list[list[Seen]] = [[] for _ in contents]
    lines: dict[int, Lines] = {}
    with folder(contents, names) as place:
        paths = {str(place / names(number)): number for number in range(len(contents))}
        manager = BanditManager(BanditConfig(), "file", profile=profile, ignore_nosec=True)
        manager.discover_files(list(paths))
        manager.run_tests()
        for issue in manager.get_issue_list():
            number = paths[issue.fname]
            if number not in lines:
                lines[number] = Lines(contents[number].encode("utf-8", "replace"), PYTHON_LINES)
            found[number].append(_seen(issue, lines[number], marked=contents[number].startswith(MARK)))
        read = {paths[name] for name in manager.files_list}
        skipped = {paths[name]: _reason(why) for name, why in manager.get_skipped()}
    return found, {
        number: skipped.get(number, "bandit left it out") for number in range(len(contents)) if number not in read
    }


def _reason(why: str) -> str:
    return NOT_PYTHON if "syntax" in why else "bandit failed on it"


def _seen(issue: Any, lines: Lines, *, marked: bool) -> Seen:
    """An issue with its columns, where bandit's are those of its lines.

    It counts bytes, and tells the line of an argument with the column of the call, so the beginning is known on the
    first of its lines; with the lines of an expression it tells the end of a string in it, which is known on one line.
    """
    last = max([issue.lineno, *issue.linerange])
    column = end_column = 0
    mark = MARK if marked else ""
    if issue.test_id == _CHARACTERS:
        column = issue.col_offset + (len(mark) if issue.lineno == 1 else 0)
        end_column = column + 1
    elif issue.linerange and issue.lineno == min(issue.linerange):
        width = len(mark.encode())
        column = lines.column(issue.lineno, issue.col_offset + (width if issue.lineno == 1 else 0))
        if last == issue.lineno or issue.test_id not in _STRINGS:
            end_column = lines.column(last, issue.end_col_offset + (width if last == 1 else 0))
    return Seen(
        issue.test_id, issue.lineno, last, "", issue.severity.lower(), issue.confidence.lower(), column, end_column
    )
