"""Proof that two Python texts differ in nothing but the names of local variables, by the compiler that runs them.

It shares no code with what renames: both texts are compiled, never run, and their code objects are compared instruction
by instruction under a map of local names that must be one to one in each function and agree between a function and
those inside it. Whatever is looked up outside (globals, attributes, keywords) must have the same name.
"""

from __future__ import annotations

import ast
import dis
import warnings
from collections.abc import Iterator
from types import CodeType
from typing import NamedTuple

_CLOSURES = frozenset({"MAKE_CELL", "COPY_FREE_VARS", "LOAD_CLOSURE"})
"""They come in the order of the cells' names, so they are compared as a number and through the functions inside."""
_SAME = ("co_argcount", "co_posonlyargcount", "co_kwonlyargcount", "co_flags", "co_names")
_CONSTANT = (str, bytes, int, float, complex, bool, type(None), type(...))


class _Use(NamedTuple):
    """An instruction, with the local name it is about or what else it takes."""

    name: str
    local: str | None
    value: object


def same_but_for_locals(first: str, second: str) -> bool:
    """Whether two Python texts compile to the same program but for the names of locals; false when one does not."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a text may hold `is 1` and the like: the warning is for its author
            trees = [ast.parse(text) for text in (first, second)]
            codes = [compile(text, "<row>", "exec", dont_inherit=True, optimize=0) for text in (first, second)]
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return _shape(trees[0]) == _shape(trees[1]) and _same(codes[0], codes[1], {})


def _shape(tree: ast.AST) -> list[object]:
    """The nodes and constants of a tree in order; the names are for the compiler to judge."""
    return [(type(node).__name__, node.value if isinstance(node, ast.Constant) else None) for node in ast.walk(tree)]


def _same(first: CodeType, second: CodeType, outer: dict[str, str]) -> bool:
    """Compare two code objects; `outer` maps the enclosing function's names and learns from what is free here."""
    if any(getattr(first, name) != getattr(second, name) for name in _SAME):
        return False
    names: dict[str, str] = {}
    size = first.co_argcount + first.co_kwonlyargcount
    pairs = list(zip(first.co_varnames[:size], second.co_varnames[:size], strict=True))
    uses = [list(_uses(first)), list(_uses(second))]
    if len(uses[0]) != len(uses[1]):
        return False
    for one, two in zip(*uses, strict=True):
        if one.name != two.name or (one.local is None) != (two.local is None) or not _equal(one.value, two.value):
            return False
        if one.local is not None and two.local is not None:
            pairs.append((one.local, two.local))
    if not all(_note(names, *pair) for pair in pairs) or not _same_constants(first, second, names):
        return False
    free = [(name, names[name]) for name in first.co_freevars if name in names]
    counts = [(len(code.co_varnames), len(code.co_cellvars), len(code.co_freevars)) for code in (first, second)]
    return counts[0] == counts[1] and all(new in second.co_freevars and _note(outer, old, new) for old, new in free)


def _note(names: dict[str, str], old: str, new: str) -> bool:
    """Add a pair to a one-to-one map; false when it contradicts."""
    if old in names:
        return names[old] == new
    if new in names.values():
        return False
    names[old] = new
    return True


def _same_constants(first: CodeType, second: CodeType, names: dict[str, str]) -> bool:
    """Compare the code objects inside, in their order; other constants are compared where they are loaded."""
    inner = [[item for item in code.co_consts if isinstance(item, CodeType)] for code in (first, second)]
    return len(inner[0]) == len(inner[1]) and all(
        _same(one, two, names) for one, two in zip(inner[0], inner[1], strict=True)
    )


def _uses(code: CodeType) -> Iterator[_Use]:
    cells = {*code.co_cellvars, *code.co_freevars}
    local = {*dis.haslocal, *dis.hasfree}
    for item in dis.get_instructions(code):
        if item.opname in _CLOSURES:
            continue
        if item.opcode not in local:
            yield _Use(item.opname, None, item.argval)
            continue
        many = item.argval if isinstance(item.argval, tuple) else (item.argval,)  # 3.13 joins neighbours
        for name in many:
            if item.opcode in dis.haslocal and name in cells and item.opname.startswith("LOAD_FAST"):
                continue  # from 3.13 on this is how a closure is built
            yield _Use(item.opname, name, None)


def _equal(first: object, second: object) -> bool:
    """Whether two arguments are one; code objects and qualified names of functions are judged elsewhere."""
    if isinstance(first, CodeType) and isinstance(second, CodeType):
        return True
    if isinstance(first, str) and isinstance(second, str) and "<locals>." in first:
        return first.count(".") == second.count(".")
    return type(first) is type(second) and (first == second or repr(first) == repr(second))
