"""What can be read off the two texts of a pair: where they differ, what to call, what its arguments are used for."""

from __future__ import annotations

import ast
import difflib
import re
import types
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from buril.data.behaviour._names import keys, modules, strings, tables, undefined

HALVES = ("secure", "vulnerable")
MOST_ENTRIES = 3
_ABSOLUTE = re.compile(
    r"(?<=[\"'])(/(?:srv|var|home|data|opt|usr|mnt|app|www|uploads?|media|static|etc)(?:/[\w.-]+)*/?)(?=[\"'/{])"
)

Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass
class Uses:
    """What a name is used for. `called` methods of it, `given` functions that take it, `keys` it is asked for."""

    called: set[str] = field(default_factory=set)
    read: set[str] = field(default_factory=set)
    given: set[str] = field(default_factory=set)
    keys: set[str] = field(default_factory=set)
    choices: list[str] = field(default_factory=list)
    compared: list[object] = field(default_factory=list)
    roles: set[str] = field(default_factory=set)
    items: Uses | None = None


class Parameter(NamedTuple):
    """A parameter of the entry, with what both texts use it for."""

    name: str
    annotation: str
    optional: bool
    uses: Uses


class Reading(NamedTuple):
    """What to call, and what is known of its world.

    Attributes:
        entry: `function` or `Class.method`.
        parameters: those that are given; `positional` by place, the others by name.
        constants: short strings of both texts; `keys`: those that something is asked for by.
        tables: the columns by table that their queries name.
        unknown: names that neither text defines.
        changed: lines with code in which each differs from the other.
        secrets: strings that stand in the vulnerable text alone.
        modules: standard modules that the texts are given, see `_modules`.
    """

    texts: dict[str, str]
    entry: str
    parameters: tuple[Parameter, ...]
    positional: tuple[str, ...]
    constants: tuple[str, ...]
    keys: tuple[str, ...]
    tables: dict[str, list[str]]
    unknown: tuple[str, ...]
    changed: dict[str, list[int]]
    secrets: tuple[str, ...] = ()
    modules: tuple[str, ...] = ()


def read(secure: str, vulnerable: str, root: str) -> list[Reading]:
    """What may be called in both texts, those functions first in which they differ; none where they can't be read.

    Folders of a server in their strings (`/srv/pictures`) become folders below `root`.
    """
    texts = {
        half: _ABSOLUTE.sub(lambda found: root + found[1], text)
        for half, text in zip(HALVES, (secure, vulnerable), strict=True)
    }
    try:
        trees = {half: ast.parse(text) for half, text in texts.items()}
        changed = _changed(texts)
    except (SyntaxError, ValueError, RecursionError):
        return []
    said = {half: list(strings(tree)) for half, tree in trees.items()}
    every = [text for half in HALVES for text in said[half]]
    missing = tuple(sorted(undefined(trees["secure"], trees["vulnerable"])))
    asked = tuple(sorted({key for tree in trees.values() for key in keys(tree)}))
    secrets = tuple(text for text in said["vulnerable"] if text not in said["secure"])
    constants = tuple(dict.fromkeys(text for text in every if 0 < len(text) <= 40))
    found = []
    listed = {name: words for tree in trees.values() for name, words in _listed(tree)}
    for name in _entries(trees, changed):
        both = [dict(functions(trees[half]))[name] for half in HALVES]
        parameters, positional = _parameters(*both, method="." in name)
        for parameter in parameters:
            for function in both:
                _choices(function, parameter.name, listed, parameter.uses)
        found.append(
            Reading(
                texts,
                name,
                parameters,
                positional,
                constants,
                asked,
                tables(every),
                missing,
                changed,
                secrets,
                modules(trees["secure"], trees["vulnerable"]),
            )
        )
    return found


def functions(tree: ast.Module) -> Iterator[tuple[str, Function]]:
    """The functions at the top of a file, and the methods of its classes, by the name to call them by."""
    for node in tree.body:
        if isinstance(node, Function):
            yield node.name, node
        elif isinstance(node, ast.ClassDef):
            for inner in node.body:
                if isinstance(inner, Function):
                    yield f"{node.name}.{inner.name}", inner


def _changed(texts: dict[str, str]) -> dict[str, list[int]]:
    lines = [texts[half].splitlines() for half in HALVES]
    found: dict[str, set[int]] = {half: set() for half in HALVES}
    for kind, a, b, c, d in difflib.SequenceMatcher(None, lines[0], lines[1], autojunk=False).get_opcodes():
        if kind != "equal":
            found["secure"] |= set(range(a + 1, b + 1))
            found["vulnerable"] |= set(range(c + 1, d + 1))
    return {
        half: sorted(found[half] & set(_lines(compile(texts[half], "<read>", "exec", dont_inherit=True))))
        for half in HALVES
    }


def _lines(code: types.CodeType) -> Iterator[int]:
    """The lines at which something is run."""
    yield from (line for _start, _end, line in code.co_lines() if line)
    for item in code.co_consts:
        if isinstance(item, types.CodeType):
            yield from _lines(item)


def _entries(trees: dict[str, ast.Module], changed: dict[str, list[int]]) -> list[str]:
    found = {half: dict(functions(trees[half])) for half in HALVES}
    both = [name for name in found["vulnerable"] if name in found["secure"] and not name.endswith("__init__")]

    def differs(name: str) -> bool:
        places = ((found[half][name].lineno, found[half][name].end_lineno or 0, changed[half]) for half in HALVES)
        return any(first <= line <= last for first, last, lines in places for line in lines)

    chosen = [name for name in both if differs(name)]
    return (chosen or both)[:MOST_ENTRIES]


def _parameters(one: Function, other: Function, *, method: bool) -> tuple[tuple[Parameter, ...], tuple[str, ...]]:
    told = one.args
    first = [*told.posonlyargs, *told.args]
    static = any(isinstance(item, ast.Name) and item.id == "staticmethod" for item in one.decorator_list)
    if method and not static:
        first = first[1:]
    defaults = len(told.defaults)
    optional = {item.arg for item in first[len(first) - defaults :]} if defaults else set()
    optional |= {item.arg for item, value in zip(told.kwonlyargs, told.kw_defaults, strict=True) if value is not None}
    found = []
    for item in (*first, *told.kwonlyargs):
        uses = Uses()
        for function in (one, other):
            _gather(function, item.arg, uses)
        annotation = ast.unparse(item.annotation) if item.annotation else ""
        found.append(Parameter(item.arg, annotation, item.arg in optional, uses))
    return tuple(found), tuple(item.arg for item in first)


def _gather(function: ast.AST, name: str, uses: Uses, depth: int = 0) -> None:
    """Note what a name is used for in a function; of what is looped over, also what its items are used for."""
    for node in ast.walk(function):
        if isinstance(node, ast.Call):
            _called(node, name, uses)
        elif isinstance(node, ast.Attribute) and _is(node.value, name):
            uses.read.add(node.attr)
        elif isinstance(node, ast.Subscript) and _is(node.value, name):
            key = node.slice.value if isinstance(node.slice, ast.Constant) else None
            uses.keys |= {key} if isinstance(key, str) else set()
            uses.roles.add("sequence" if isinstance(key, int) or isinstance(node.slice, ast.Slice) else "indexed")
        elif isinstance(node, ast.For | ast.comprehension) and _looped(node.iter, name):
            uses.roles.add("looped")
            if isinstance(node.target, ast.Name) and depth < 1 and _is(node.iter, name):
                uses.items = uses.items or Uses()
                _gather(function, node.target.id, uses.items, depth + 1)
        elif isinstance(node, ast.Compare) and any(_is(item, name) for item in (node.left, *node.comparators)):
            sides = (node.left, *node.comparators)
            uses.compared += [item.value for item in sides if isinstance(item, ast.Constant)]
            uses.roles |= (
                {"ordered"}
                if any(isinstance(sign, ast.Lt | ast.Gt | ast.LtE | ast.GtE) for sign in node.ops)
                else set()
            )
        elif isinstance(node, ast.BinOp):
            _combined(node, name, uses)
        elif isinstance(node, ast.FormattedValue) and _is(node.value, name):
            uses.roles.add("put into text")


def _listed(tree: ast.AST) -> Iterator[tuple[str, list[str]]]:
    """Names that stand for a collection of strings, or a dictionary by them."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None:
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            words = _literal(node.value)
            yield from ((target.id, words) for target in targets if isinstance(target, ast.Name) and words)


def _literal(node: ast.expr) -> list[str]:
    items = node.keys if isinstance(node, ast.Dict) else getattr(node, "elts", [])
    if isinstance(node, ast.Call) and len(node.args) == 1:
        return _literal(node.args[0])
    return [item.value for item in items if isinstance(item, ast.Constant) and isinstance(item.value, str)]


def _choices(function: ast.AST, name: str, listed: dict[str, list[str]], uses: Uses) -> None:
    """Note among which strings a name is looked up, and which strings it is asked for in a loop over them."""

    def words(node: ast.expr) -> list[str]:
        return listed.get(node.id, []) if isinstance(node, ast.Name) else _literal(node)

    for node in ast.walk(function):
        if isinstance(node, ast.Compare) and _is(node.left, name) and isinstance(node.ops[0], ast.In | ast.NotIn):
            uses.choices += words(node.comparators[0])
        elif isinstance(node, ast.Subscript) and _is(node.slice, name):
            uses.choices += words(node.value)
        elif (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and node.func.attr == "get"
            and node.args
        ):
            uses.choices += words(node.func.value) if _is(node.args[0], name) else []
        elif isinstance(node, ast.For | ast.comprehension) and isinstance(node.target, ast.Name):
            asked = any(
                (isinstance(one, ast.Subscript) and _is(one.value, name) and _is(one.slice, node.target.id))
                or (isinstance(one, ast.Compare) and _is(one.comparators[0], name) and _is(one.left, node.target.id))
                for one in ast.walk(function)
            )
            uses.keys |= set(words(node.iter)) if asked else set()


def _called(node: ast.Call, name: str, uses: Uses) -> None:
    if _is(node.func, name):
        uses.roles.add("called")
    if isinstance(node.func, ast.Attribute) and _is(node.func.value, name):
        uses.called.add(node.func.attr)
        if (
            node.func.attr in ("get", "pop", "setdefault", "getlist")
            and node.args
            and isinstance(node.args[0], ast.Constant)
        ):
            uses.keys |= {node.args[0].value} if isinstance(node.args[0].value, str) else set()
    for item in (*node.args, *(told.value for told in node.keywords)):
        if _is(item.value if isinstance(item, ast.Starred) else item, name):
            uses.given.add(ast.unparse(node.func)[:60])
            uses.roles |= {"looped"} if isinstance(item, ast.Starred) else set()


def _combined(node: ast.BinOp, name: str, uses: Uses) -> None:
    for mine, other in ((node.left, node.right), (node.right, node.left)):
        if _is(mine, name):
            text = isinstance(other, ast.JoinedStr) or (
                isinstance(other, ast.Constant) and isinstance(other.value, str)
            )
            if isinstance(node.op, ast.Add) and text:
                uses.roles.add("text")
            elif isinstance(node.op, ast.Mod) and mine is node.right:
                uses.roles.add("put into text")
            elif isinstance(node.op, ast.Div) and text:
                uses.roles.add("path")
            elif isinstance(other, ast.Constant) and isinstance(other.value, int | float):
                uses.roles.add("number")


def _looped(node: ast.expr, name: str) -> bool:
    if isinstance(node, ast.Call):
        method = (
            isinstance(node.func, ast.Attribute)
            and node.func.attr in ("items", "keys", "values")
            and _is(node.func.value, name)
        )
        return method or any(_is(item, name) for item in node.args)
    return _is(node, name)


def _is(node: ast.AST, name: str) -> bool:
    return isinstance(node, ast.Name) and node.id == name
