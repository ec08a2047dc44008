"""Guard: one protocol for whatever judges a text on its way to a model or from it.

A text comes in pieces, each with its origin, because the same sentence is an order in a user's prompt and an attack in
somebody else's README. A guard looks at one piece at a time and lets it pass, changes it, or refuses.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar, Literal, NamedTuple

from buril.core.settings import Settings as BaseSettings

Origin = Literal["user", "trusted", "third_party", "answer"]
"""`user`: what a person typed to the model. `trusted`: a file of theirs. `third_party`: what others wrote
(dependencies, issues, web pages). `answer`: what the model wrote."""
ORIGINS: tuple[Origin, ...] = ("user", "trusted", "third_party", "answer")
REQUEST: frozenset[Origin] = frozenset(("user", "trusted", "third_party"))
ANSWER: frozenset[Origin] = frozenset(("answer",))
REFUSED_REQUEST, FAILED, REFUSED_ANSWER = "W240", "W241", "W242"


class Piece(NamedTuple):
    """A part of what a model is given, or what it answered.

    `before` is the code that stands before an answer: it is read with it, and only what the answer adds is judged.
    """

    text: str
    origin: Origin
    language: str = ""
    path: str = ""
    before: str = ""


class Reason(NamedTuple):
    """What a guard saw: the rule, the line of the piece (from 1), and a short sentence. It holds no secret."""

    rule: str
    line: int
    message: str = ""


class Verdict(NamedTuple):
    """What becomes of a piece.

    `allow` with reasons is a warning. `sanitise` gives the text to go on with; an empty one drops the piece. `refuse`
    ends it all, with the code of an error of buril's.
    """

    action: Literal["allow", "sanitise", "refuse"] = "allow"
    reasons: tuple[Reason, ...] = ()
    text: str = ""
    code: str = ""


ALLOW = Verdict()


class Guard(ABC):
    """Base of all guards. A subclass sets `version` and `origins`, and writes `judge` and `self_test`.

    A guard keeps no state between pieces, asks no network, and never runs what it looks at.
    """

    version: ClassVar[int] = 1
    origins: ClassVar[frozenset[Origin]] = REQUEST
    """Pieces of which origins it is shown."""

    class Settings(BaseSettings):
        """A guard without settings."""

    def __init__(self, settings: Any = None) -> None:
        self.settings: Any = settings if settings is not None else type(self).Settings()

    @abstractmethod
    def judge(self, piece: Piece, *, remote: bool) -> Verdict:
        """What becomes of a piece; `remote`: the model runs on another machine."""

    @abstractmethod
    def self_test(self) -> list[str]:
        """What it misses of the samples planted for it; an empty list means that it works."""


def warned(reasons: list[Reason]) -> Verdict:
    """It passes as it is, with what was seen."""
    return Verdict("allow", tuple(reasons))


def sanitised(piece: Piece, text: str, reasons: list[Reason]) -> Verdict:
    """It passes changed; without a change nothing is said to be."""
    return warned(reasons) if text == piece.text else Verdict("sanitise", tuple(reasons), text)


def refused(piece: Piece, reasons: list[Reason]) -> Verdict:
    """It does not pass, and nothing else does."""
    code = REFUSED_ANSWER if piece.origin == "answer" else REFUSED_REQUEST
    return Verdict("refuse", tuple(reasons), code=code)
