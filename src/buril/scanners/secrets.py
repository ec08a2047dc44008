"""Secrets and personal data: tokens, keys, passwords; addresses, telephones, names; numbers with check digits.

The formats are those that the providers and authorities publish. All of them are looked for in one pass
(`_engine.py`); check digits, entropy and context are judged at the hits alone. It looks at one text, verifies nothing
over the network, and cannot know a secret that looks like an ordinary word: it lowers the risk, it does not remove it.
"""

from __future__ import annotations

from bisect import bisect
from collections.abc import Iterator
from typing import ClassVar

from buril.code.codefile import Finding
from buril.core.settings import Settings as BaseSettings
from buril.scanners._columns import Cursor
from buril.scanners._cwe import owasp
from buril.scanners._engine import engine
from buril.scanners._families import Family, rules_of
from buril.scanners._rules import PERSONAL, SECRETS
from buril.scanners._scanner import About, Scanner, Span

_CWE = {SECRETS: "CWE-798", PERSONAL: "CWE-359"}


class Secrets(Scanner):
    """Finds secrets by format, and personal data by form; says where, so that both can be replaced."""

    version: ClassVar[int] = 3

    class Settings(BaseSettings):
        """What to look for."""

        shorthand: ClassVar[str | None] = "rules"

        rules: tuple[Family, ...] = (SECRETS, PERSONAL)
        """Families of rules. `secrets`: tokens, keys, passwords. `personal`: all that identifies a person: addresses,
        telephones, names after their marks, cards, accounts and numbers of nine countries. `gdpr`, `latam`, `cards`,
        and countries (`mexico`, `argentina`, …) are parts of it."""
        test_cards: bool = False
        """Whether the card numbers that payment providers publish for tests count as cards: they are nobody's."""

    def __init__(self, settings: Settings | None = None) -> None:
        super().__init__(settings)
        self._rules = rules_of(self.settings.rules, test_cards=self.settings.test_cards)
        self._find = engine(self._rules)

    def scan(self, text: str, language: str) -> Iterator[Finding]:
        """One finding a place, in the order of the text; a finding never holds the value."""
        source = text.encode("utf-8", "surrogatepass")
        cursor = Cursor(source)
        for span in self.spans(source, language):
            cwe, at = _CWE[span.group], cursor.over(span.start, span.end)
            yield Finding("secrets", span.rule, at.line, span.severity, "", cwe, owasp(cwe), "", *at[1:])

    def spans(self, source: bytes, language: str) -> list[Span]:
        """Where values stand in UTF-8 text, in order and without overlap."""
        taken: list[Span] = []
        for _, span in sorted(self._all(source, language)):
            at = bisect(taken, span)
            clear_left = at == 0 or taken[at - 1].end <= span.start
            if clear_left and (at == len(taken) or span.end <= taken[at].start):
                taken.insert(at, span)
        return taken

    def _all(self, source: bytes, language: str) -> Iterator[tuple[int, Span]]:
        """Every rule's spans with the rule's rank; those of one rule do not overlap."""
        for rank, places in self._find(source).items():
            rule, past = self._rules[rank], -1
            for place in places:
                if place < past:
                    continue
                found = rule.locate(source, place, language)
                if found is not None and found[0] >= past:
                    past = found[1]
                    yield rank, Span(*found, rule.name, rule.severity, rule.group)

    def rules(self) -> dict[str, About]:
        """Each format, by its name."""
        kinds = {SECRETS: "a secret stands in the text: {}", PERSONAL: "personal data stand in the text: {}"}
        return {rule.name: About(kinds[rule.group].format(rule.name.replace("_", " "))) for rule in self._rules}

    def self_test(self) -> list[str]:
        """Names of the rules that do not find their own planted sample."""
        missed = []
        for rank, rule in enumerate(self._rules):
            planted = f"x = 1\n{rule.sample}\n".encode()
            if not any(rank == found for found, _ in self._all(planted, "")):
                missed.append(rule.name)
        return missed
