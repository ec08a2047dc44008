"""Seeds of `synthesise`: real functions of the training part that stand alone, and the calls that test them.

A seed is a Python function of a module's top level whose every name is its own, a builtin, or an import of the standard
library, so that it runs as it is inside the sandbox. Of the tests that a teacher writes only `assert f(…) == …` with
literals on both sides is taken: it is read, not run, and the expected value never enters the sandbox.
"""

from __future__ import annotations

import ast
import builtins
import sys
import warnings
from collections.abc import Iterator
from typing import Any, NamedTuple

from buril.code.codefile import CodeFile
from buril.sandboxes._sandbox import Call

BUILTINS = frozenset(dir(builtins))
_UNSAFE = frozenset({"open", "input", "print", "exec", "eval", "compile", "__import__", "breakpoint", "exit", "quit"})
_NAMED = (ast.ExceptHandler, ast.MatchAs, ast.MatchStar, ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
_MODULES = frozenset(sys.stdlib_module_names)


class Seed(NamedTuple):
    """A function to learn from: its row, its name, its source with the imports it needs, its signature."""

    file: CodeFile
    name: str
    code: str
    signature: str
    docstring: str


def parsed(text: str) -> ast.Module | None:
    """The tree of a Python text, or None for one that is none."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def seeds(file: CodeFile, *, min_lines: int, max_bytes: int) -> Iterator[Seed]:
    """The functions of a file that can serve as seeds, in order."""
    tree = parsed(file.content)
    if tree is None:
        return
    imports = {name: line for node in tree.body for name, line in _imported(node)}
    for node in tree.body:
        if not isinstance(node, ast.FunctionDef) or node.decorator_list or not node.args.args:
            continue
        source = ast.get_source_segment(file.content, node)
        if source is None or len(source.encode()) > max_bytes or source.count("\n") + 1 < min_lines:
            continue
        if not any(isinstance(item, ast.Return) and item.value is not None for item in ast.walk(node)):
            continue
        free = _free(node)
        if free & _UNSAFE or not free <= imports.keys() | BUILTINS:
            continue
        lines = sorted({imports[name] for name in free & imports.keys()})
        head = "\n".join(lines) + "\n\n\n" if lines else ""
        signature = f"def {node.name}({ast.unparse(node.args)}):"
        yield Seed(file, node.name, f"{head}{source}\n", signature, ast.get_docstring(node) or "")


def _imported(node: ast.stmt) -> Iterator[tuple[str, str]]:
    """Names that a top-level import of the standard library binds, each with a line that binds it alone."""
    if isinstance(node, ast.Import):
        for item in node.names:
            if item.name.split(".")[0] in _MODULES:
                yield (item.asname or item.name).split(".")[0], ast.unparse(ast.Import([item]))
    elif isinstance(node, ast.ImportFrom) and not node.level and (node.module or "").split(".")[0] in _MODULES:
        for item in node.names:
            if item.name != "*":
                yield item.asname or item.name, ast.unparse(ast.ImportFrom(node.module, [item], 0))


def _free(node: ast.FunctionDef) -> set[str]:
    """Names that a function uses and binds nowhere inside; one that it binds anywhere counts as its own."""
    used: set[str] = set()
    bound = {node.name}
    for item in ast.walk(node):
        if isinstance(item, ast.Name):
            (used if isinstance(item.ctx, ast.Load) else bound).add(item.id)
        elif isinstance(item, ast.arg):
            bound.add(item.arg)
        elif isinstance(item, ast.Global | ast.Nonlocal):
            used |= set(item.names)
        elif isinstance(item, ast.Import | ast.ImportFrom):
            bound |= {(alias.asname or alias.name).split(".")[0] for alias in item.names}
        elif isinstance(item, _NAMED) and item.name:
            bound.add(item.name)
    return used - bound


def calls_of(tests: str, name: str, *, most: int = 20) -> tuple[list[Call], list[str]]:
    """The tests of a function that can be judged from outside, as calls and as lines of code; others are left out.

    Example:
        `calls_of("assert f(1, [2]) == 3", "f")` → `[Call((1, [2]), 3)]` and its line
    """
    tree = parsed(tests)
    calls: list[Call] = []
    lines: list[str] = []
    for node in ast.walk(tree) if tree else ():
        if not isinstance(node, ast.Assert) or len(calls) == most:
            continue
        found = _call(node.test, name)
        line = ast.unparse(ast.Assert(node.test, None))
        if found is not None and line not in lines:
            calls.append(found)
            lines.append(line)
    return calls, lines


def _call(test: ast.expr, name: str) -> Call | None:
    negated = isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not)
    inner = test.operand if isinstance(test, ast.UnaryOp) and negated else test
    if isinstance(inner, ast.Compare) and len(inner.ops) == 1 and isinstance(inner.ops[0], ast.Eq | ast.Is):
        arguments, expected = _arguments(inner.left, name), _literal(inner.comparators[0])
        return Call(arguments, expected[0]) if arguments is not None and expected and not negated else None
    arguments = _arguments(inner, name)
    return Call(arguments, not negated) if arguments is not None else None


def _arguments(node: ast.expr, name: str) -> tuple[Any, ...] | None:
    """The literal arguments of a call of the function by position; None for anything else."""
    if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name) or node.func.id != name or node.keywords:
        return None
    values = [_literal(item) for item in node.args]
    return tuple(value[0] for value in values if value) if all(values) else None


def _literal(node: ast.expr) -> tuple[Any] | None:
    """A literal's value in a tuple of its own, so that None is told from no literal."""
    try:
        return (ast.literal_eval(node),)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return None
