"""Characters that make code read otherwise than it runs: Trojan Source, look-alike letters, hidden text.

What counts is where a character stands: Hebrew in a comment, a Persian joiner, an emoji or a name in Russian are no
findings; the same characters between the letters of a name are. Where there is a grammar the tree tells code, strings
and comments apart; elsewhere only what is bad in any text is reported (reordering, hidden runs, terminal controls).

An ASCII text without control characters is recognised in one pass in C and costs next to nothing.
"""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Iterator
from typing import ClassVar

from buril.code.codefile import Finding
from buril.core.settings import Settings as BaseSettings
from buril.scanners import _characters as characters
from buril.scanners._cwe import owasp
from buril.scanners._hits import Hit, decoded, disjoint, encoded, hits
from buril.scanners._scanner import About, Scanner, Span
from buril.scanners._unicode_rules import RULES

GROUP = "unicode"


class Unicode(Scanner):
    """Bidirectional controls, invisible and look-alike characters, and controls that deceive a terminal."""

    version: ClassVar[int] = 2

    class Settings(BaseSettings):
        """Which rules."""

        shorthand: ClassVar[str | None] = "ignore"

        ignore: tuple[str, ...] = ()
        """Rules to leave out, for example `unusual-space`."""

    settings: Settings

    def scan(self, text: str, language: str) -> Iterator[Finding]:
        """One finding a rule and line, in the order of the lines; it names the characters by their code points.

        Its columns are those of the first of them.
        """
        source = text.encode("utf-8", "surrogatepass")
        found = self._hits(source, language)
        if not found:
            return
        read, line, seen = decoded(source), 1, 0
        signs: dict[tuple[int, str], Counter[str]] = {}
        first: dict[tuple[int, str], tuple[int, int]] = {}
        for hit in found:
            line, seen = line + read.count("\n", seen, hit.start), hit.start
            if (line, hit.rule) not in first:
                first[line, hit.rule] = _columns(read, hit) if len(read) == len(text) else (0, 0)
            wanted = read[hit.start : hit.end]
            signs.setdefault((line, hit.rule), Counter()).update(sign for sign in wanted if not _plain(sign))
        for (line, name), counted in sorted(signs.items()):
            rule = RULES[name]
            told = ", ".join(characters.named(sign) for sign in sorted(counted)[:3])
            yield Finding(
                "unicode", name, line, rule.severity, f"{rule.message} ({told})", rule.cwe, owasp(rule.cwe),
                rule.confidence, 0, *first[line, name],
            )  # fmt: skip

    def spans(self, source: bytes, language: str) -> list[Span]:
        """Where it stands in UTF-8 text, in order and without overlap; of two that meet, the worse."""
        text = decoded(source)
        spans: list[Span] = []
        chars = num_bytes = 0
        for hit in disjoint(self._hits(source, language)):
            start = num_bytes + len(encoded(text[chars : hit.start]))
            chars, num_bytes = hit.end, start + len(encoded(text[hit.start : hit.end]))
            spans.append(Span(start, num_bytes, hit.rule, RULES[hit.rule].severity, GROUP))
        return spans

    def observe(self) -> dict[str, str]:
        """The version of Unicode that this Python knows."""
        return {"unicode": unicodedata.unidata_version}

    def rules(self) -> dict[str, About]:
        """What each rule looks for."""
        return {name: About(rule.message) for name, rule in sorted(RULES.items()) if name not in self.settings.ignore}

    def self_test(self) -> list[str]:
        """Rules that do not find their own sample."""
        asked = {name: rule for name, rule in RULES.items() if name not in self.settings.ignore}
        return [
            name
            for name, rule in asked.items()
            if name not in {item.rule for item in self.scan(rule.sample, rule.language)}
        ]

    def _hits(self, source: bytes, language: str) -> list[Hit]:
        ignored = set(self.settings.ignore)
        return [hit for hit in hits(source, language) if hit.rule not in ignored]


def _columns(text: str, hit: Hit) -> tuple[int, int]:
    """Where a hit begins on its line and ends; 0 for the end of one that goes on below."""
    before = text.rfind("\n", 0, hit.start)
    return hit.start - before, 0 if "\n" in text[hit.start : hit.end] else hit.end - before


def _plain(sign: str) -> bool:
    return " " <= sign <= "~"
