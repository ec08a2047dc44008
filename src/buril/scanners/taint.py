"""Our own analysis: untrusted input is followed to where it does harm; calls that are wrong in themselves are seen.

A file is analysed alone, in this process, in a few milliseconds: fast enough for a completion. Input is followed
through variables, containers, fields, text put together in any way, functions and classes of the file; tests that make
it harmless are understood, and so are constants, so that what never runs is not reported. What a language's libraries
do stands in tables.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, Final, Literal

from buril.code.codefile import Finding
from buril.code.parse import HardParse, parse
from buril.core.settings import Settings as BaseSettings
from buril.scanners._columns import Lines
from buril.scanners._cwe import owasp
from buril.scanners._scanner import PARTIAL, About, Scanner, inconclusive
from buril.scanners._taint import go_misuse, java_misuse, javascript_rules, php_misuse, python_misuse, solidity
from buril.scanners._taint.engine import Hit
from buril.scanners._taint.ir import Place
from buril.scanners._taint.kinds import KINDS
from buril.scanners._taint.languages import LANGUAGES, analysed, may_hold
from buril.scanners._taint.samples import SAMPLES

GRADES: Final = {"low": 0, "medium": 1, "high": 2}


class Taint(Scanner):
    """Follows untrusted input to where it does harm; sees calls that are misused."""

    version: ClassVar[int] = 3
    languages: ClassVar[frozenset[str] | None] = LANGUAGES

    class Settings(BaseSettings):
        """Whom to mistrust, and how sure to be."""

        shorthand: ClassVar[str | None] = "mode"

        mode: Literal["strict", "snippet"] = "strict"
        """`strict`: input is what comes from outside (a request, a peer, who starts the program): for whole projects.
        `snippet`: parameters of functions that nobody here calls are input too: for completions and single files."""
        min_confidence: Literal["low", "medium", "high"] = "medium"
        """What is less sure is not reported."""
        ignore: tuple[str, ...] = ()
        """Rules to leave out."""

    settings: Settings

    def scan(self, text: str, language: str) -> Iterator[Finding]:
        """The findings of one file, by line."""
        suspicious = self.settings.mode == "snippet"
        if not suspicious and not may_hold(language, text):
            return
        source = text.encode("utf-8", "replace")
        try:
            tree = parse(language, source, bounded=True)
        except HardParse as problem:
            yield inconclusive("taint", str(problem))
            return
        found = analysed(language, tree, suspicious=suspicious)
        least, lines = GRADES[self.settings.min_confidence], Lines(source)
        for hit in found.hits:
            if GRADES[hit.confidence] >= least and hit.rule not in self.settings.ignore:
                cwe = f"CWE-{hit.cwe}"
                yield Finding(
                    "taint", hit.rule, hit.line, hit.severity, hit.text, cwe, owasp(cwe), hit.confidence,
                    hit.end_line if hit.end_line != hit.line else 0, *_columns(hit, lines),
                )  # fmt: skip
        if not found.whole:
            yield Finding("taint", PARTIAL, 1, "low", "the file has too many ways through it")

    def rules(self) -> dict[str, About]:
        """What each rule looks for; harms and misuses alike."""
        found = {name: About(kind.text) for name, kind in (*KINDS.items(), *solidity.RULES.items())}
        misuses = (
            *go_misuse.MISUSES,
            *java_misuse.MISUSES,
            *php_misuse.MISUSES,
            *javascript_rules.MISUSES,
            *reversed(python_misuse.MISUSES),
        )
        found |= {misuse.name: About(misuse.text) for misuse in misuses}
        found["hard-coded-secret"] = About("a secret stands in the code")
        return {name: about for name, about in sorted(found.items()) if name not in self.settings.ignore}

    def self_test(self) -> list[str]:
        """Kinds and languages whose planted sample is not seen."""
        missed = []
        for language, samples in SAMPLES.items():
            for rule, text in samples.items():
                if rule not in self.settings.ignore and rule not in {item.rule for item in self.scan(text, language)}:
                    missed.append(f"{language}: {rule}")
        return missed


def _columns(hit: Hit, lines: Lines) -> tuple[int, int]:
    """Where a hit begins and ends; the end only where it is that of the lines that it names."""
    if not isinstance(hit.line, Place):
        return 0, 0
    ends = hit.line.end_line == hit.end_line
    return lines.column(hit.line, hit.line.column), lines.column(hit.end_line, hit.line.end_column) if ends else 0
