"""Text of Java that is put together, and what its signs stand for."""

from __future__ import annotations

import re
from typing import Any, Final

from buril.scanners._taint import ir

BEHIND: Final = re.compile(r"/[^/]|[?#]")
"""How a text begins after which an address says nothing of its host."""
_ESCAPES: Final = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f", "s": " ", "\n": ""}


def put_together(line: int, values: list[Any]) -> ir.Text:
    """Text put together; what comes after `redirect:` says where the browser goes."""
    first = values[0].value if isinstance(values[0], ir.Const) else ""
    if isinstance(first, str) and first.startswith("redirect:"):
        rest = ir.Text(line, (ir.Const(line, first.removeprefix("redirect:")), *_after(values[1:])))
        return ir.Text(line, (ir.Const(line, "redirect:"), ir.Call(line, ir.Name(line, "@redirect"), (rest,))))
    return ir.Text(line, tuple(_after(values)))


def _after(values: list[Any]) -> list[Any]:
    """What comes after `/path` or `?` that comes after something else can't change the host of an address."""
    known = host = False
    made: list[Any] = []
    for item in values:
        text = item.value if isinstance(item, ir.Const) and isinstance(item.value, str) else None
        known = known or (host and text is not None and BEHIND.match(text) is not None)
        host = host or text is None
        made.append(item if text is not None or not known else kept(item))
    return made


def kept(item: Any) -> Any:
    """A part of an address behind its host."""
    return ir.Call(item.line, ir.Name(item.line, "@after"), (item,))


def unescaped(text: str) -> str:
    """A text without the signs that stand for others."""
    if "\\" not in text:
        return text
    text = re.sub(r"\\u+([0-9a-fA-F]{4})", lambda found: chr(int(found[1], 16)), text)
    text = re.sub(r"\\([0-7]{1,3})", lambda found: chr(int(found[1], 8)), text)
    return re.sub(r"\\(.)", lambda found: _ESCAPES.get(found[1], found[1]), text, flags=re.DOTALL)
