"""Text as it looks: what hides is taken out or shown, look-alikes become what they look like; every change is told.

For what reads code next, a model or a guard: after this, what a person sees in the text is what it holds. It is no
repair of the program, because two names that looked alike become one.
"""

from __future__ import annotations

from typing import NamedTuple

from buril.scanners import _characters as characters
from buril.scanners import _confusables as confusables
from buril.scanners._hits import Hit, decoded, disjoint, encoded, hits

_PASSES = 4
"""What was apart may form a new hit once what stood between is gone; a handful of passes has always been enough."""

_INSTEAD = {"hidden-line": "\n", "unusual-space": " "}
_KEPT = "bidi-right-to-left"


class Change(NamedTuple):
    """What was done at one place: the rule, the line in the text before this pass, characters before and after."""

    rule: str
    line: int
    before: str
    after: str


class Normalised(NamedTuple):
    """A text and all that was changed in it."""

    content: str
    changes: list[Change]


def normalise(text: str, language: str, *, visible: bool = False) -> Normalised:
    r"""A text without what hides in it; text that runs from right to left keeps its controls.

    Args:
        text: any text.
        language: its language's name, or "" for unknown.
        visible: put the code point (`<U+202E>`) in the place of what would be taken out.

    Example:
        `normalise("\u0430dmin = 1", "python").content` → "admin = 1"
    """
    changes: list[Change] = []
    source = text.encode("utf-8", "surrogatepass")
    for _pass in range(_PASSES):
        found = [hit for hit in disjoint(hits(source, language)) if hit.rule != _KEPT]
        if not found:
            break
        source, made = _changed(decoded(source), found, visible)
        changes.extend(made)
    return Normalised(source.decode("utf-8", "surrogatepass"), changes)


def _changed(text: str, found: list[Hit], visible: bool) -> tuple[bytes, list[Change]]:
    parts, made, past, line = [], [], 0, 1
    for hit in found:
        line += text.count("\n", past, hit.start)
        before = text[hit.start : hit.end]
        after = _replaced(before, hit.rule, visible)
        parts += [text[past : hit.start], after]
        made.append(Change(hit.rule, line, before, after))
        past, line = hit.end, line + before.count("\n")
    return encoded("".join([*parts, text[past:]])), made


def _replaced(before: str, rule: str, visible: bool) -> str:
    if "identifier" in rule or rule == "confusable-word":
        return confusables.skeleton(before)
    if rule == "lookalike-symbol":
        return characters.SYMBOLS[before]
    if rule in _INSTEAD:
        return _INSTEAD[rule]
    return "".join(f"<U+{ord(sign):04X}>" for sign in before) if visible else ""
