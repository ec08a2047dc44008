"""A loop that goes over the signs of a text and lets only some of them pass: what comes to its end is harmless."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from buril.scanners._taint import ir


def sifts(body: Sequence[Any]) -> bool:
    """Whether a loop over the signs of a text goes to its end only when all of them are of some that are let pass."""
    if not body or not all(isinstance(item, (ir.If, ir.Return)) for item in body):
        return False
    passes = all(item.yes and isinstance(item.yes[-1], ir.Leave) for item in body[:-1])
    if isinstance(body[-1], ir.Return) and len(body) > 1:
        return passes
    return all(_ends(item) and _ranges(item.test) for item in body)


def _ends(item: ir.If) -> bool:
    """Whether one of two ways ends the function, and the other one does nothing."""
    inner = item.no[0] if len(item.no) == 1 else None
    if isinstance(inner, ir.If) and not item.yes:
        return _ends(inner)
    return any(len(way) == 1 and isinstance(way[0], ir.Return) and not other
               for way, other in ((item.yes, item.no), (item.no, item.yes)))  # fmt: skip


def _ranges(test: Any) -> bool:
    """Whether a test asks for what is let pass, rather than for some bad sign."""
    if isinstance(test, ir.Logic):
        return _ranges(test.left) or _ranges(test.right)
    if isinstance(test, ir.Not):
        return isinstance(test.of, (ir.Call, ir.Logic)) or _ranges(test.of)
    return isinstance(test, ir.Compare) and test.op not in ("==", "in")
