"""ruff's S rules, a port of bandit's tests: Python, thousands of files a second.

It sees calls by the names that a file imports, so a snippet without its imports hides some of what bandit reports, and
of bandit's tests it lacks those of newer releases (B613 and later) and, outside of its preview, the imports (B4xx).
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any, ClassVar

from buril.code.codefile import Finding
from buril.core.settings import Settings as BaseSettings
from buril.scanners._batch import call, failed, folder, halved, numbered
from buril.scanners._python_rules import RULES, Seen, finding, once
from buril.scanners._scanner import About, Scanner, Text, inconclusive

PLANTED = "def f(x):\n    return eval(x)\n"
"""Goes with every batch: a process that does not report it has not looked."""
NOT_PYTHON = "not Python 3"
MARK = "\ufeff"
"""A byte order mark, which Python's tools do not count as a character of the first line."""
_SAMPLES = {
    "S102": "exec(x)\n", "S301": "import pickle\npickle.loads(x)\n", "S307": PLANTED,
    "S324": "import hashlib\nhashlib.md5(x)\n", "S501": "import requests\nrequests.get(x, verify=False, timeout=9)\n",
    "S506": "import yaml\nyaml.load(x)\n", "S602": "import subprocess\nsubprocess.run(x, shell=True)\n",
    "S605": "import os\nos.system(x)\n", "S608": "q = 'SELECT a FROM b WHERE c = %s' % x\n",
    "S701": "import jinja2\njinja2.Environment(autoescape=False)\n",
}  # fmt: skip


class Ruff(Scanner):
    """ruff's security rules (S) for Python: the fast port of bandit."""

    version: ClassVar[int] = 2
    requires: ClassVar = ("ruff",)
    languages: ClassVar[frozenset[str] | None] = frozenset({"python"})

    class Settings(BaseSettings):
        """Which rules."""

        shorthand: ClassVar[str | None] = "ignore"

        ignore: tuple[str, ...] = ("S101",)
        """Rules to leave out. `assert` (S101) by default: it is no weakness to learn, and there are hundreds."""

    settings: Settings

    def scan(self, text: str, language: str) -> Iterator[Finding]:
        """The findings in one text; one that is no Python 3 is inconclusive."""
        return iter(self.scan_many([Text(text, language)])[0])

    def scan_many(self, texts: Sequence[Text]) -> list[list[Finding]]:
        """One process for all texts."""
        return halved("ruff", texts, self._run)

    def observe(self) -> dict[str, str]:
        """The version of ruff."""
        from importlib.metadata import version

        return {"ruff": version("ruff")}

    def self_test(self) -> list[str]:
        """Rules whose sample it does not report."""
        samples = {name: text for name, text in _SAMPLES.items() if name not in self.settings.ignore}
        found = self.scan_many([Text(text, "python") for text in samples.values()])
        return [
            name for name, findings in zip(samples, found, strict=True) if name not in {item.rule for item in findings}
        ]

    def rules(self) -> dict[str, About]:
        """The rules that the table knows; pages are named by ruff itself, and a ruff that can't say so names none."""
        pages = _pages()
        return {
            f"S{number}": About(rule.message, pages.get(f"S{number}", ""))
            for number, rule in sorted(RULES.items())
            if f"S{number}" not in self.settings.ignore
        }

    def seen(self, texts: Sequence[Text]) -> list[list[Seen]]:
        """What ruff reports, by text, in the order of the lines; for a text that it can't parse one item of rule "".

        Raises:
            BurilError: D222 when ruff broke, or did not see what was planted.
        """
        names = numbered("py")
        contents = [*(text.content for text in texts), PLANTED]
        with folder(contents, names) as home:
            answer = call("ruff", self._command(), home, {"PATH": os.defpath, "HOME": str(home)})
        if answer.code not in (0, 1):
            raise failed("ruff", answer.error)
        place_of = {names(number): number for number in range(len(contents))}
        found: list[list[Seen]] = [[] for _ in contents]
        for item in _rows(answer.out):
            place = place_of[os.path.basename(item["filename"])]  # noqa: PTH119  a name of ours
            found[place].append(_seen(item, marked=contents[place].startswith(MARK)))
        if not any(item.rule == "S307" for item in found.pop()):
            raise failed("ruff", "it does not see what is planted")
        return [_ordered(seen) for seen in found]

    def _run(self, texts: Sequence[Text]) -> list[list[Finding]]:
        ignored = set(self.settings.ignore)
        return [
            [finding("ruff", item.rule, item) if item.rule else inconclusive("ruff", NOT_PYTHON)
             for item in seen if item.rule not in ignored]
            for seen in self.seen(texts)
        ]  # fmt: skip

    def _command(self) -> list[str]:
        """No settings but ours, no cache, and what the author wrote to silence a linter is not heard."""
        import ruff  # type: ignore[import-untyped]  # it brings no types

        return [
            ruff.find_ruff_bin(), "check", "--isolated", "--no-cache", "--select", "S", "--ignore-noqa", "--exit-zero",
            "--no-respect-gitignore", "--target-version", "py314", "--output-format", "json", "--quiet", ".",
        ]  # fmt: skip


@cache
def _pages() -> dict[str, str]:
    """Rule → its page in ruff's documentation, which is named by the rule's name."""
    import ruff

    with folder((), str) as place:
        told = call(
            "ruff", [ruff.find_ruff_bin(), "rule", "--all", "--output-format", "json"], place, {"PATH": os.defpath}
        )
    rows = _rows(told.out) if told.code == 0 else []
    return {str(row.get("code")): f"https://docs.astral.sh/ruff/rules/{row.get('name')}" for row in rows}


def _rows(text: str) -> list[dict[str, Any]]:
    try:
        rows: list[dict[str, Any]] = json.loads(text)
    except ValueError as problem:
        raise failed("ruff", str(problem)) from problem
    return rows


def _seen(item: dict[str, Any], *, marked: bool) -> Seen:
    code = str(item["code"] or "")
    rule = code if code[:1] == "S" and code[1:].isdigit() else ""
    start, end = item["location"], item["end_location"]
    columns = [int(place["column"]) + (marked and place["row"] == 1) for place in (start, end)]
    return Seen(rule, start["row"], end["row"], item["message"] if rule else "", "", "", *columns)


def _ordered(seen: list[Seen]) -> list[Seen]:
    """Once each, by line; of several errors of syntax the first."""
    errors = sorted(item for item in seen if not item.rule)
    return errors[:1] + once(item for item in seen if item.rule)
