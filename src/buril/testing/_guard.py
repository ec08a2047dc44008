"""Contract check of guards: they let plain text pass, keep no state, and say what they do and why."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

from buril.core.errors import MESSAGES
from buril.scanners._scanner import UNREADABLE
from buril.serve.guards._guard import ORIGINS, Guard, Piece, Reason, Verdict
from buril.testing._common import check_plugin, class_of, expect, make, same
from buril.testing._data import ODD_TEXTS, PLAIN_TEXT

THREADS = 4
_ACTIONS = ("allow", "sanitise", "refuse")


def check_guard(guard: Any, *pieces: Piece) -> None:
    """A guard sees what is planted, lets plain code pass, takes any text, and its verdicts have their form.

    Args:
        guard: the class, or a guard with settings.
        pieces: further pieces, at each of which it must fire.
    """
    check_plugin("guard", guard)
    own = getattr(class_of(guard), "self_test", Guard.self_test) is not Guard.self_test
    expect(own, "the guard has no self_test of its own: plant a bad sample and name what it misses")
    guard = make(guard)
    origins = guard.origins
    known = isinstance(origins, frozenset) and origins and origins <= set(ORIGINS)
    expect(known, f"{origins!r} are no origins: {', '.join(ORIGINS)}")
    missed = guard.self_test()
    expect(missed == [], f"the guard misses its own planted samples: {', '.join(map(str, missed))}")
    texts = [PLAIN_TEXT, *ODD_TEXTS.values()]
    shown = [*pieces, *(Piece(text, origin, "python") for text in texts for origin in sorted(origins))]
    told = [_verdict(guard, piece) for piece in shown]
    same(told[::-1], [_verdict(guard, piece) for piece in shown[::-1]], "verdicts depend on what was judged before")
    with ThreadPoolExecutor(THREADS) as pool:
        together = list(pool.map(lambda piece: _verdict(guard, piece), shown * THREADS))
    same(together, told * THREADS, "verdicts differ where a server asks from several threads at once")
    for piece, verdict in zip(shown, told, strict=True):
        _check_form(guard, piece, verdict)
        if piece in pieces:
            expect(verdict.reasons, f"the guard does not fire at {piece.text[:40]!r}")
        if piece.text == PLAIN_TEXT:
            same(verdict, Verdict(), "the guard has something against plain code")


def _verdict(guard: Any, piece: Piece) -> Verdict:
    try:
        found = guard.judge(piece, remote=True)
    except UNREADABLE as problem:
        raise AssertionError(f"the guard raised {problem!r} on {piece.text[:40]!r}") from problem
    expect(isinstance(found, Verdict), f"judge() gave {type(found).__name__}, not Verdict")
    return Verdict(*found)


def _check_form(guard: Any, piece: Piece, verdict: Verdict) -> None:
    expect(verdict.action in _ACTIONS, f"{verdict.action!r} is no action: {', '.join(_ACTIONS)}")
    lines = piece.text.count("\n") + 1
    for reason in verdict.reasons:
        expect(isinstance(reason, Reason) and reason.rule, f"a reason names no rule: {reason}")
        expect(1 <= reason.line <= lines, f"line {reason.line} is outside of a text of {lines}")
    expect(verdict.action == "allow" or verdict.reasons, f"{verdict.action} without a reason")
    if verdict.action == "refuse":
        expect(verdict.code in MESSAGES, f"{verdict.code!r} is no code of an error: a refusal is told with one")
    if verdict.action == "sanitise":
        expect(verdict.text != piece.text, "a changed text is the same as before")
        again = _verdict(guard, piece._replace(text=verdict.text)) if verdict.text else Verdict()
        expect(again.action == "allow", "what the guard itself changed does not pass it")
