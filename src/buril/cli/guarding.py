"""Guards on the command line: which ones, a prompt through them, an answer through them, and what fired on stderr."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from buril.cli.common import say
from buril.core.errors import BurilError
from buril.core.text import _

if TYPE_CHECKING:
    from buril.generators._generator import Completion
    from buril.serve.guards import Fired, Guard, Piece
    from buril.serve.watermark import Watermark

DEFAULT = "sentinels,unicode,injection,secrets,exfiltration"
"""What stops nothing of everyday: each fires on far less than one real file in a hundred."""
NONE = "none"
SHOWN = 3
"""Reasons of one guard that are told one by one."""


def guards_of(text: str) -> list[Guard]:
    """The guards that a text names, each having seen what is planted for it.

    Raises:
        BurilError: W243 for a text that names none, P001 for an unknown name, C0xx for settings that there are none of,
            W244 for a guard that misses its own sample.
    """
    if text.strip().lower() == NONE:
        return []
    return tested([ref.make() for ref in _refs(text)])


def tested(guards: list[Guard]) -> list[Guard]:
    """Guards, each of which sees what is planted for it.

    Raises:
        BurilError: W244 for one that misses its own sample.
    """
    for guard in guards:
        missed = guard.self_test()
        if missed:
            raise BurilError("W244", guard=_name(guard), missed=", ".join(missed))
    return guards


def _refs(text: str) -> Sequence[Any]:
    import yaml
    from pydantic import ValidationError

    from buril.core.plugins import PluginKind

    try:
        given = yaml.safe_load(text if "[" in text or "{" in text or ":" in text else f"[{text}]")
        refs = PluginKind("guard").parse(PluginKind.listed(given))
    except yaml.YAMLError as problem:
        raise BurilError("W243", text=text, problem=_("it is no YAML")) from problem
    except ValidationError as problem:
        first = problem.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise BurilError("W243", text=text, problem=f"{place}: {first['msg']}") from problem
    if not refs or not all(hasattr(ref, "make") for ref in refs):
        raise BurilError("W243", text=text, problem=_("it names no guard"))
    return list(refs)


def let_in(pieces: Sequence[Piece], guards: Sequence[Guard]) -> tuple[list[str], list[Fired]]:
    """The texts of a request after the guards, and what fired.

    Raises:
        BurilError: W240 for a refused request, W241 where a guard failed.
    """
    from buril.serve.guards import guarded

    outcome = guarded(pieces, guards)
    _tell(outcome.fired)
    outcome.check()
    return [piece.text for piece in outcome.pieces], list(outcome.fired)


def let_out(
    found: Sequence[Completion], before: str, language: str, guards: Sequence[Guard]
) -> tuple[list[Completion], list[list[Fired]]]:
    """The completions that may be shown, as they may be, and what fired at each.

    Raises:
        BurilError: W242 where none is left, W241 where a guard failed.
    """
    from buril.serve.guards import Piece, guarded

    passed: list[Completion] = []
    noted: list[list[Fired]] = []
    outcomes = [guarded([Piece(item.text, "answer", language, before=before)], guards) for item in found]
    for item, outcome in zip(found, outcomes, strict=True):
        _tell(outcome.fired)
        if outcome.refusal is None:
            passed.append(replace(item, text=outcome.pieces[0].text))
            noted.append(list(outcome.fired))
    if not passed:
        outcomes[0].check()
    return passed, noted


def logged(fired: Sequence[Fired], mark: Watermark | None = None) -> dict[str, Any]:
    """What a record keeps of the guards that fired and of the watermark: nothing where there are none."""
    guards = {"guards": [item.record() for item in fired]} if fired else {}
    return {**guards, **({"watermark": mark.record()} if mark else {})}


def _tell(fired: Sequence[Fired]) -> None:
    """One line on stderr for each rule of each guard that fired."""
    verbs = {
        "warned": _("warns"), "changed": _("changed the text"), "dropped": _("left the text out"),
        "refused": _("refuses"), "failed": _("failed"),
    }  # fmt: skip
    for item in fired:
        for reason in item.reasons[:SHOWN]:
            told = reason.message or reason.rule.replace("-", " ")
            say(f"{item.guard}: {verbs[item.action]}: {item.where}:{reason.line}: {told}")
        if len(item.reasons) > SHOWN:
            say(_("{guard}: and {number} more").format(guard=item.guard, number=len(item.reasons) - SHOWN))


def _name(guard: Guard) -> str:
    from buril.serve.guards._run import name_of

    return name_of(guard)
