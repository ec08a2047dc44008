"""Scanner: one protocol for whatever looks for trouble in code; data, evaluation, serving and CI use the same ones.

A scanner sees one text at a time and yields `Finding`s. One that can also say exactly where (`spans`) can redact.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any, ClassVar, NamedTuple

from buril.code.codefile import Finding
from buril.core.settings import Settings as BaseSettings


class Span(NamedTuple):
    """A place in a text, in bytes of its UTF-8 form: `source[start:end]` is what `rule` saw.

    `severity` is `low`, `medium` or `high`; `group` is the family of the rule (`secrets`, `personal`).
    """

    start: int
    end: int
    rule: str
    severity: str = "high"
    group: str = ""


class Scanner(ABC):
    """Base of all scanners. A subclass sets `version` and writes `scan`.

    `version` goes up whenever the same text gives other findings than before. A scanner keeps no state between texts,
    opens no network connection and never runs the code it looks at.
    """

    version: ClassVar[int] = 1

    class Settings(BaseSettings):
        """A scanner without settings."""

    def __init__(self, settings: Any = None) -> None:
        self.settings: Any = settings if settings is not None else type(self).Settings()

    @abstractmethod
    def scan(self, text: str, language: str) -> Iterator[Finding]:
        """What it sees in `text`, by line; `language` is a language's name or "" for unknown."""

    def self_test(self) -> list[str]:
        """Names of the rules that miss the bad sample planted for them; an empty list means that it works."""
        return []
