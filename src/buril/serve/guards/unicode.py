"""Guard: a request reads to the model as it reads to a person; hidden and look-alike characters are taken out.

An answer is not changed: code with another name in it is another program. What it hides is told.
"""

from __future__ import annotations

from typing import ClassVar, Literal

from buril.core.settings import Settings as BaseSettings
from buril.scanners import normalise
from buril.scanners._unicode_rules import RULES
from buril.scanners.unicode import Unicode as Scanner
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

_SAMPLE = "if a != 'x\u202e \u2066# only admins\u2069 \u2066':\n    pass\n"


class Unicode(Guard):
    """Characters that hide or look alike: made what they look like in requests, told of in answers."""

    version: ClassVar[int] = 1
    origins: ClassVar[frozenset[Origin]] = REQUEST | ANSWER

    class Settings(BaseSettings):
        """What becomes of such characters."""

        shorthand: ClassVar[str | None] = "request"

        request: Literal["normalise", "refuse", "warn"] = "normalise"
        """In what the model is given."""
        answer: Literal["refuse", "warn"] = "warn"
        """In what it wrote."""

    settings: Settings

    def judge(self, piece: Piece, *, remote: bool) -> Verdict:
        """Normalise, refuse or tell."""
        if piece.origin == "answer":
            found = Scanner().scan(piece.text, piece.language)
            reasons = [Reason(item.rule, item.line, item.message) for item in found if item.severity != "low"]
            if not reasons:
                return ALLOW
            return refused(piece, reasons) if self.settings.answer == "refuse" else warned(reasons)
        normal = normalise(piece.text, piece.language)
        reasons = [Reason(change.rule, change.line, RULES[change.rule].message) for change in normal.changes]
        if not reasons:
            return ALLOW
        if self.settings.request == "refuse":
            return refused(piece, reasons)
        return warned(reasons) if self.settings.request == "warn" else sanitised(piece, normal.content, reasons)

    def self_test(self) -> list[str]:
        """The planted reordering."""
        return [] if self.judge(Piece(_SAMPLE, "user", "python"), remote=False).reasons else ["bidi-unbalanced"]
