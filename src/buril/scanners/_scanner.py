"""Scanner: one protocol for whatever looks for trouble in code; data, evaluation, serving and CI use the same ones.

A scanner sees texts, one at a time (`scan`) or many together (`scan_many`: one process for all of them), and gives
`Finding`s. What it could not read it must say: a text that nobody analysed is never one without findings. One that can
also say exactly where (`spans`) can redact.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import Any, ClassVar, NamedTuple

from buril.code.codefile import Finding
from buril.core.settings import Settings as BaseSettings

INCONCLUSIVE = "inconclusive"
"""The rule of a finding that says: nothing of this text was analysed."""
PARTIAL = "partial"
"""The rule of a finding that says: some lines of this text were not analysed."""
UNREADABLE = (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError)
"""What `scan` may raise on a text that it was not made for: that text is inconclusive, the others go on."""


class Span(NamedTuple):
    """A place in a text, in bytes of its UTF-8 form: `source[start:end]` is what `rule` saw.

    `severity` is `low`, `medium` or `high`; `group` is the family of the rule (`secrets`, `personal`).
    """

    start: int
    end: int
    rule: str
    severity: str = "high"
    group: str = ""


class Text(NamedTuple):
    """What a scanner is given: a text and the name of its language, "" for unknown."""

    content: str
    language: str


class About(NamedTuple):
    """What a rule looks for, for a reader of results: a short sentence, and the address of a page about it, or ""."""

    message: str
    help_uri: str = ""


class Scanner(ABC):
    """Base of all scanners. A subclass sets `version` and writes `scan`, or `scan_many` where a batch is cheaper.

    `version` goes up whenever the same text gives other findings than before. A scanner keeps no state between texts,
    opens no network connection and never runs the code it looks at.
    """

    version: ClassVar[int] = 1
    languages: ClassVar[frozenset[str] | None] = None
    """The languages it reads; None for any text. `scan_many` is given no others."""

    class Settings(BaseSettings):
        """A scanner without settings."""

    def __init__(self, settings: Any = None) -> None:
        self.settings: Any = settings if settings is not None else type(self).Settings()

    @abstractmethod
    def scan(self, text: str, language: str) -> Iterator[Finding]:
        """What it sees in `text`, by line; `language` is a language's name or "" for unknown.

        A text that it can't read gives one finding of the rule `INCONCLUSIVE` that says why.
        """

    def scan_many(self, texts: Sequence[Text]) -> list[list[Finding]]:
        """The findings of each text, in the order of the texts; each is what `scan` gives for it alone."""
        return [self._one(text) for text in texts]

    def observe(self) -> dict[str, str]:
        """What its findings depend on outside of its version and settings: versions of programs, digests of rules.

        Raises:
            BurilError: D220 when a program that it needs is not there.
        """
        return {}

    def self_test(self) -> list[str]:
        """Names of the rules that miss the bad sample planted for them; an empty list means that it works."""
        return []

    def rules(self) -> dict[str, About]:
        """The rules that it can tell about, by their ids; {} where it can't: its findings describe theirs then."""
        return {}

    def _one(self, text: Text) -> list[Finding]:
        try:
            return list(self.scan(*text))
        except UNREADABLE as problem:
            # The message may hold text of the file: the kind of error is enough and always the same.
            return [inconclusive(type(self).__name__.lower(), type(problem).__name__)]


def inconclusive(scanner: str, reason: str) -> Finding:
    """The finding that stands for a text of which nothing was analysed."""
    return Finding(scanner, INCONCLUSIVE, 1, "low", reason)


def reads(scanner: Scanner, language: str) -> bool:
    """Whether a scanner is made for a language."""
    return scanner.languages is None or language in scanner.languages
