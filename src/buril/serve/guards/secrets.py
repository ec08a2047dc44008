"""Guard: secrets and personal data don't leave the machine in a request, and don't come back in an answer.

A model of this machine may read what lies on it; so requests are only looked at when the model runs elsewhere. An
answer may hold what the model learnt by heart.
"""

from __future__ import annotations

from functools import cached_property
from typing import ClassVar, Literal

from buril.core.settings import Settings as BaseSettings
from buril.scanners import PERSONAL, SECRETS, Family, Span
from buril.scanners.secrets import Secrets as Scanner
from buril.serve.guards._guard import (
    ALLOW,
    ANSWER,
    REQUEST,
    Guard,
    Origin,
    Piece,
    Reason,
    Verdict,
    refused,
    sanitised,
    warned,
)

Policy = Literal["mask", "refuse", "warn", "ignore"]


class Secrets(Guard):
    """Secrets and personal data: masked in what leaves this machine and in answers."""

    version: ClassVar[int] = 1
    origins: ClassVar[frozenset[Origin]] = REQUEST | ANSWER

    class Settings(BaseSettings):
        """What is looked for, and what becomes of it."""

        shorthand: ClassVar[str | None] = "remote"

        remote: Policy = "mask"
        """In a request to a model on another machine."""
        local: Policy = "ignore"
        """In a request to a model of this machine."""
        answer: Policy = "mask"
        """In an answer."""
        rules: tuple[Family, ...] = (SECRETS, PERSONAL)
        """Families of rules that are looked for in requests, as in the scanner `secrets`."""
        answer_rules: tuple[Family, ...] = (SECRETS,)
        """The same in answers. Personal data are left out by default, since examples with addresses are common."""

    settings: Settings

    def judge(self, piece: Piece, *, remote: bool) -> Verdict:
        """Mask, refuse or tell."""
        answer = piece.origin == "answer"
        policy = self.settings.answer if answer else self.settings.remote if remote else self.settings.local
        if policy == "ignore":
            return ALLOW
        source = piece.text.encode("utf-8", "surrogatepass")
        spans = (self._in_answers if answer else self._in_requests).spans(source, piece.language)
        if not spans:
            return ALLOW
        reasons = [Reason(span.rule, source.count(b"\n", 0, span.start) + 1, _told(span)) for span in spans]
        if policy == "refuse":
            return refused(piece, reasons)
        return warned(reasons) if policy == "warn" else sanitised(piece, _masked(source, spans), reasons)

    def self_test(self) -> list[str]:
        """What the scanner misses of its own samples."""
        return self._in_answers.self_test()

    @cached_property
    def _in_requests(self) -> Scanner:
        return Scanner(Scanner.Settings(rules=self.settings.rules))

    @cached_property
    def _in_answers(self) -> Scanner:
        return Scanner(Scanner.Settings(rules=self.settings.answer_rules))


def _told(span: Span) -> str:
    return span.rule.replace("_", " ")


def _masked(source: bytes, spans: list[Span]) -> str:
    """The text with a word in the place of each value, which says of which kind it was."""
    parts, past = [], 0
    for span in spans:
        parts += [source[past : span.start], f"MASKED_{span.rule.upper()}".encode()]
        past = span.end
    return b"".join([*parts, source[past:]]).decode("utf-8", "surrogatepass")
