"""The runner: pieces go through the guards in turn, and everything that fired is kept for the log.

It never fails open. A guard that does not know what to do with a text has not looked at it, so the text does not pass,
unless the caller says that a warning is enough.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Literal, NamedTuple

from buril.core.errors import BurilError
from buril.scanners._scanner import UNREADABLE
from buril.serve.guards._guard import FAILED, Guard, Piece, Reason, Verdict

BROKEN = (BurilError, OSError, AssertionError, MemoryError, *UNREADABLE)
"""What a guard may raise. Anything else ends the whole request: that is no passing either."""


class Fired(NamedTuple):
    """One guard, one piece, and what came of it.

    `action` is `warned`, `changed`, `dropped`, `refused` or `failed`; `where` is the piece's path, else its origin.
    """

    guard: str
    action: str
    where: str
    reasons: tuple[Reason, ...]
    code: str = ""

    def record(self) -> dict[str, Any]:
        """As the provenance log keeps it: plain JSON, without any of the text."""
        return {**self._asdict(), "reasons": [reason._asdict() for reason in self.reasons]}


class Outcome(NamedTuple):
    """The pieces to go on with, in their order, dropped ones with an empty text; and everything that fired."""

    pieces: tuple[Piece, ...]
    fired: tuple[Fired, ...]

    @property
    def refusal(self) -> Fired | None:
        """What stopped it, or None where it passes."""
        return next((item for item in self.fired if item.code), None)

    def record(self) -> list[dict[str, Any]]:
        """Everything that fired, as the provenance log keeps it."""
        return [item.record() for item in self.fired]

    def check(self) -> None:
        """Raise what stopped it.

        Raises:
            BurilError: W240 for a refused request, W242 for a refused answer, W241 where a guard failed.
        """
        if (stopped := self.refusal) is not None:
            first = stopped.reasons[0]
            why = first.message or first.rule
            raise BurilError(stopped.code, guard=stopped.guard, reason=why, place=f"{stopped.where}:{first.line}")


def guarded(
    pieces: Iterable[Piece],
    guards: Sequence[Guard],
    *,
    remote: bool = False,
    on_failure: Literal["refuse", "warn"] = "refuse",
) -> Outcome:
    """Lead pieces through guards, each guard seeing what the ones before left.

    Args:
        pieces: what a model is to be given, or its answer.
        guards: in the order in which they look.
        remote: the model runs on another machine.
        on_failure: what becomes of a piece at which a guard fails: `warn` lets it pass.
    """
    passed: list[Piece] = []
    fired: list[Fired] = []
    for piece in pieces:
        now = piece
        for guard in guards:
            if now.origin not in guard.origins or not now.text:
                continue
            verdict, failed = _verdict(guard, now, remote)
            if failed and on_failure == "warn":
                verdict = Verdict("allow", verdict.reasons)
            if verdict.action == "sanitise":
                now = now._replace(text=verdict.text)
            if verdict.reasons or verdict.action != "allow":
                fired.append(_fired(guard, piece, verdict, failed=failed))
            if verdict.action == "refuse":
                return Outcome((), tuple(fired))
        passed.append(now)
    return Outcome(tuple(passed), tuple(fired))


def _verdict(guard: Guard, piece: Piece, remote: bool) -> tuple[Verdict, bool]:
    """What a guard says, and whether it failed."""
    try:
        return guard.judge(piece, remote=remote), False
    except BROKEN as problem:
        # The message may hold text of the piece: the kind of error is enough.
        told = problem.cause if isinstance(problem, BurilError) else type(problem).__name__
        return Verdict("refuse", (Reason("failed", 1, told),), code=FAILED), True


def _fired(guard: Guard, piece: Piece, verdict: Verdict, *, failed: bool) -> Fired:
    actions = {"allow": "warned", "sanitise": "changed" if verdict.text else "dropped", "refuse": "refused"}
    action = "failed" if failed else actions[verdict.action]
    reasons = verdict.reasons or (Reason("", 1),)
    return Fired(name_of(guard), action, piece.path or piece.origin, reasons, verdict.code)


def name_of(guard: Guard) -> str:
    """A guard's name as settings have it: that of its file."""
    return type(guard).__module__.rpartition(".")[2]
