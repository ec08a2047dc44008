"""Mending a weak function by rewrites, and judging a mended form, whoever made it."""

from __future__ import annotations

import re
from itertools import islice
from typing import NamedTuple

from tree_sitter import Tree

from buril.code.codefile import CodeFile
from buril.code.excerpt import Named, outermost
from buril.code.parse import HardParse, parse
from buril.code.structure import leaves
from buril.data._pair_cut import Side, alike, does_less, parses_alike, side_by_side
from buril.data.pair import Pair
from buril.data.pairing import _mutation
from buril.data.pairing._asking import Flaw
from buril.data.pairing._seeing import Seeing

_TRIES = 8
"""Mended forms of one weakness that are looked at, and weaknesses of one function."""

_WORD = re.compile(rb"[A-Za-z_]\w*")
_NO_PROGRAM = re.compile(
    r"\bsubprocess\.(?:run|call|check_call|check_output|Popen)\(\s*[fr]{0,2}(?P<quote>[\"'])"
    r"(?:(?!(?P=quote))[^\n])*\s(?:(?!(?P=quote))[^\n])*(?P=quote)(?![^)]*shell\s*=\s*True)"
)
"""A command line given as one text where no shell takes it apart: no program is called that."""


class Weak(NamedTuple):
    """A function with a weakness: its file, its name and signature, and what stands around it as `flaw.code`."""

    file: CodeFile
    name: str
    signature: str
    flaw: Flaw


def rewritten(weak: Weak, seeing: Seeing, min_alike: float) -> str | None:
    """The function with all its weaknesses mended by rewrites; None where they can't."""
    text: str | None = weak.flaw.code
    for _weakness in range(_TRIES):
        left = seeing.weaknesses(text, weak.file.language) if text is not None else None
        if text is None or left is None:
            return None
        if not left:
            return None if refused(weak, text, seeing, min_alike) else text
        text = _better(text, weak.file.language, set(left), seeing)
    return None


def _better(text: str, language: str, left: set[str], seeing: Seeing) -> str | None:
    """A text with one of some weaknesses less, and no other instead."""
    for cwe in sorted(left):
        for mended in islice(_mutation.mend(text, language, cwe), _TRIES):
            after = seeing.weaknesses(mended, language)
            if after is not None and set(after) < left:
                return mended
    return None


def refused(weak: Weak, text: str, seeing: Seeing, min_alike: float) -> str:
    """Why a mended form does not count; "" where it does."""
    flaw = weak.flaw
    if alike(text, flaw.code) < min_alike:
        return "other_code"
    if reason := _other(weak, text):
        return reason
    left = seeing.weaknesses(text, flaw.language)
    return "inconclusive" if left is None else "still_weak" if left else ""


def _other(weak: Weak, text: str) -> str:
    """Why a text is not the same function, or does less than it; "" where neither can be told."""
    flaw = weak.flaw
    if not parses_alike(Pair(flaw.cwe, flaw.language, text, flaw.code, "", "findings", "scanner")):
        return "does_not_parse"
    if not _has(text, weak):
        return "signature"
    if does_less(flaw.code, text):
        return "does_less"
    if _inputs(flaw.code, weak) - _inputs(text, weak):
        return "forgets_input"
    return "no_program" if flaw.language == "python" and _NO_PROGRAM.search(text) else ""


def signature(item: Named) -> str:
    """What a caller sees of a function, with single spaces."""
    return " ".join(item.signature.decode("utf-8", "replace").split())


def levelled(weak: Weak, text: str) -> tuple[str, str]:
    """The weak and the mended text with the imports of either, so that they part where the weakness is."""
    sides = []
    for content in (weak.flaw.code, text):
        raw = content.encode("utf-8", "replace")
        tree = parse(weak.flaw.language, raw, bounded=True)
        found = _named(raw, tree, weak)
        if found is None:
            return weak.flaw.code, text
        sides.append(Side(raw, tree, ((found.start, found.end),)))
    return side_by_side(weak.flaw.language, sides[0], sides[1])


def _has(text: str, weak: Weak) -> bool:
    """Whether a text has the function by its name and signature."""
    raw = text.encode("utf-8", "replace")
    try:
        tree = parse(weak.flaw.language, raw, bounded=True)
    except HardParse:
        return False
    return _named(raw, tree, weak) is not None


def _inputs(text: str, weak: Weak) -> set[bytes]:
    """The names in a function's signature that its body uses, as names and not as words of a text."""
    raw = text.encode("utf-8", "replace")
    tree = parse(weak.flaw.language, raw, bounded=True)
    item = _named(raw, tree, weak)
    if item is None:
        return set()
    first, given = item.start + len(item.signature), set(_WORD.findall(item.signature))
    return {
        leaf.text or b""
        for leaf in leaves(tree)
        if first <= leaf.start_byte < item.end and leaf.is_named and leaf.text in given and "string" not in leaf.type
    }


def _named(raw: bytes, tree: Tree, weak: Weak) -> Named | None:
    """The function of a text by its name and signature."""
    name = weak.name.partition("#")[0]
    for item in outermost(tree, weak.flaw.language, len(raw) + 1):
        if item.name.partition("#")[0] == name and signature(item) == weak.signature:
            return item
    return None
