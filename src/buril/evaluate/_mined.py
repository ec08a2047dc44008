"""Mined: functions of a team's own files that come with calls and values to test them by.

Examples stand in a function's description (`>>> f(1)`), and in tests of the same repository that assert what a call
with literal arguments gives. What a function needs of its file is cut out with it: the definitions, constants and
imports that it uses, and that these use. So it runs where the rest of the file could not, as long as it needs no
package that is not part of Python.
"""

from __future__ import annotations

import ast
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from buril.code.codefile import CodeFile
from buril.evaluate._examples import MOST, Example, examples_of

MAX_BYTES = 400_000
"""Files beyond this are data more often than code."""
_TESTS = re.compile(r"(^|/)(tests?|testing)/|(^|/)(test_[^/]*|[^/]*_tests?)\.py$")
_EQUALS = frozenset({"assertEqual", "assertEquals", "assert_equal", "eq_", "assertIs"})


@dataclass(frozen=True)
class Mined:
    """A function with its examples.

    Attributes:
        file: where it stands.
        name: of the function.
        before: the file's text up to its body, the description included.
        head: the function up to its body, without what stands before it.
        body: its own body.
        needs: a program of what it uses of its file.
        shown: the examples of its description.
        asserted: those of tests, which do not stand in its description.
    """

    file: CodeFile
    name: str
    before: str
    head: str
    body: str
    needs: str
    shown: tuple[Example, ...]
    asserted: tuple[Example, ...]

    @property
    def examples(self) -> tuple[Example, ...]:
        """All of them, those of tests first, as many as are run."""
        return (*self.asserted, *self.shown)[:MOST]


def mined(files: Iterable[CodeFile]) -> Iterator[Mined]:
    """The functions of Python files that have examples, in the order of the files."""
    parsed = [(file, tree) for file in files if file.language == "python" and (tree := _tree(file)) is not None]
    asserted: dict[str, dict[str, list[Example]]] = defaultdict(lambda: defaultdict(list))
    for file, tree in parsed:
        if _TESTS.search(file.path):
            for name, example in _assertions(tree):
                asserted[file.repo][name].append(example)
    for file, tree in parsed:
        if not _TESTS.search(file.path):
            yield from _functions(file, tree, asserted[file.repo])


def _tree(file: CodeFile) -> ast.Module | None:
    if len(file.content) > MAX_BYTES:
        return None
    try:
        return ast.parse(file.content)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def _functions(file: CodeFile, tree: ast.Module, asserted: Mapping[str, list[Example]]) -> Iterator[Mined]:
    source = file.content.encode("utf-8", "surrogatepass")
    lines = source.splitlines(keepends=True)
    twice = {name for name, times in _bound(tree).items() if times > 1}
    for node in tree.body:
        if not isinstance(node, ast.FunctionDef) or node.decorator_list or node.name in twice:
            continue
        text = ast.get_docstring(node, clean=True) or ""
        body = node.body[1:] if text and len(node.body) > 1 else node.body
        if body[0].lineno <= node.lineno or (text and len(node.body) == 1):
            continue  # on one line with its signature, or nothing but a description
        shown = tuple(examples_of(text, node.name))
        tests = [item for item in asserted.get(node.name, ()) if item not in shown]
        if not shown and not tests:
            continue
        first, last = body[0].lineno - 1, node.end_lineno or body[-1].lineno
        first = _with_comments(lines, node.lineno, first)
        yield Mined(
            file, node.name,
            b"".join(lines[:first]).decode("utf-8", "replace"),
            b"".join(lines[node.lineno - 1 : first]).decode("utf-8", "replace"),
            b"".join(lines[first:last]).decode("utf-8", "replace"),
            _needs(tree, node), shown, tuple(_distinct(tests)),
        )  # fmt: skip


def _with_comments(lines: list[bytes], after: int, first: int) -> int:
    """The body's first line, remarks right before its first statement included."""
    while first > after and lines[first - 1].strip().startswith(b"#"):
        first -= 1
    return first


def _distinct(examples: Iterable[Example]) -> Iterator[Example]:
    seen: list[Example] = []
    for example in examples:
        if example not in seen:
            seen.append(example)
            yield example


# --- what a function needs


def _needs(tree: ast.Module, function: ast.FunctionDef) -> str:
    """The statements of a module that bind what a function uses, and what these use, in their order."""
    binders: dict[str, list[int]] = defaultdict(list)
    for place, statement in enumerate(tree.body):
        for name in _names_bound(statement):
            binders[name].append(place)
    taken: set[int] = set()
    todo: list[ast.AST] = [function]
    while todo:
        node = todo.pop()
        for name in {item.id for item in ast.walk(node) if isinstance(item, ast.Name)}:
            for place in binders.get(name, ()):
                if place not in taken and tree.body[place] is not function:
                    taken.add(place)
                    todo.append(tree.body[place])
    kept: list[ast.stmt] = [tree.body[place] for place in sorted(taken)]
    future = [item for item in tree.body if isinstance(item, ast.ImportFrom) and item.module == "__future__"]
    return "".join(f"{ast.unparse(item)}\n" for item in [*future, *(item for item in kept if item not in future)])


def _bound(tree: ast.Module) -> Counter[str]:
    """How many statements of a module bind each name."""
    return Counter(name for statement in tree.body for name in set(_names_bound(statement)))


def _names_bound(statement: ast.stmt) -> Iterator[str]:
    """What a statement of a module binds there."""
    if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        yield statement.name
    elif isinstance(statement, ast.Import | ast.ImportFrom):
        yield from ((alias.asname or alias.name).partition(".")[0] for alias in statement.names)
    else:
        for node in ast.walk(statement):
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                yield node.id
            elif isinstance(node, ast.FunctionDef | ast.ClassDef):
                yield node.name
            elif isinstance(node, ast.Import | ast.ImportFrom):
                yield from ((alias.asname or alias.name).partition(".")[0] for alias in node.names)


# --- what tests assert


def _assertions(tree: ast.Module) -> Iterator[tuple[str, Example]]:
    """Calls with literal arguments and the literal that a test says they give, by the function's name."""
    for node in ast.walk(tree):
        pair: tuple[ast.expr, ast.expr] | None = None
        if isinstance(node, ast.Assert) and isinstance(node.test, ast.Compare) and len(node.test.ops) == 1:
            if isinstance(node.test.ops[0], ast.Eq | ast.Is):
                pair = node.test.left, node.test.comparators[0]
        elif isinstance(node, ast.Call) and _called(node) in _EQUALS and len(node.args) >= 2:
            pair = node.args[0], node.args[1]
        for call, value in (pair, pair[::-1]) if pair else ():
            example = _example(call, value)
            if example:
                yield example


def _example(call: ast.expr, value: ast.expr) -> tuple[str, Example] | None:
    if not isinstance(call, ast.Call) or call.keywords:
        return None
    name = _called(call)
    try:
        arguments = tuple(map(ast.literal_eval, call.args))
        return (name, Example(arguments, ast.literal_eval(value))) if name else None
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return None


def _called(call: ast.Call) -> str:
    if isinstance(call.func, ast.Name):
        return call.func.id
    return call.func.attr if isinstance(call.func, ast.Attribute) else ""
