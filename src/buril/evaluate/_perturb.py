"""Perturb: a Python task told in another way that means the same.

Each transform takes a task (what is shown of it, the rest of its own solution, the function asked for) and gives one
that should be solved by whoever solves the first; None where it finds nothing to change. That the meaning stays is not
believed: who uses them runs the tests on the transformed solution.

The published sets of perturbed tasks (ReCode, Wang et al. 2023, arXiv 2212.10264) hold prompts that no longer parse;
these are made anew from whatever tasks there are.
"""

from __future__ import annotations

import ast
import random
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

_QUOTES = re.compile(r'("""|\'\'\')(.*?)(\1)', re.DOTALL)
_WORD = re.compile(r"[A-Za-z]{4,}")
_REMARKS = (
    "# TODO: revisit once the new interface is settled",
    "# NOTE: kept as it is for older callers",
    "# see the design notes for the reasons",
    "# pylint: disable=invalid-name",
)
_SWAPPED = {"<": ">", ">": "<", "<=": ">=", ">=": "<=", "==": "==", "!=": "!="}
_SIGNS: Mapping[type[ast.cmpop], str] = {
    ast.Lt: "<", ast.Gt: ">", ast.LtE: "<=", ast.GtE: ">=", ast.Eq: "==", ast.NotEq: "!=",
}  # fmt: skip


@dataclass(frozen=True)
class Told:
    """A task as it is told: what is shown, the rest of its own solution, and the function's name."""

    shown: str
    rest: str
    entry: str

    @property
    def source(self) -> str:
        """The whole solution."""
        return self.shown + self.rest


Transform = Callable[[Told, random.Random], Told | None]
Edit = tuple[int, int, str]


def rename_function(told: Told, drawn: random.Random) -> Told | None:
    """The function has a name that tells nothing, in its examples too."""
    return _renamed(told, {told.entry: f"func_{drawn.randrange(100, 1000)}"})


def rename_arguments(told: Told, drawn: random.Random) -> Told | None:
    """The arguments have names that tell nothing."""
    return _renamed(told, {name: f"arg{number}" for number, name in enumerate(_arguments(told))})


def obfuscate(told: Told, drawn: random.Random) -> Told | None:
    """The function, its arguments and its variables have names of one letter and a number, hard to tell apart."""
    names = [told.entry, *_arguments(told), *_variables(told)]
    fresh = [f"{letter}{number}" for number in range(100) for letter in "lIO"]
    drawn.shuffle(fresh)
    return _renamed(told, dict(zip(names, fresh, strict=False)))


def docstring_typos(told: Told, drawn: random.Random) -> Told | None:
    """One word in five of the description has two letters that changed places; examples stay."""
    found = _docstring(told)
    if found is None:
        return None
    start, end = found

    def typo(word: re.Match[str]) -> str:
        text = word[0]
        if text == told.entry or drawn.random() >= 0.2:
            return text
        place = drawn.randrange(1, len(text) - 2)
        return text[:place] + text[place + 1] + text[place] + text[place + 2 :]

    lines = told.shown[start:end].split("\n")
    kept = [line if ">>>" in line or _is_example(line) else _WORD.sub(typo, line) for line in lines]
    return _changed(told, told.shown[:start] + "\n".join(kept) + told.shown[end:])


def comments(told: Told, drawn: random.Random) -> Told | None:
    """Remarks that say nothing stand before the function and before its body."""
    place = _definition(told)
    before, after = told.shown[:place], told.shown[place:].rstrip(" ")
    inner = _indentation(told)
    end = "" if after.endswith("\n") else "\n"
    return _changed(told, f"{before}{drawn.choice(_REMARKS)}\n{after}{end}{inner}{drawn.choice(_REMARKS)}\n")


def dead_code(told: Told, drawn: random.Random) -> Told | None:
    """The body begins with statements that are never run; one that is run closes their block."""
    inner, name = _indentation(told), f"unused_{drawn.randrange(10, 100)}"
    end = "" if told.shown.endswith("\n") else "\n"
    dead = drawn.choice([
        f"{inner}if False:\n{inner}{inner}{name} = 1\n",
        f"{inner}while False:\n{inner}{inner}{name} = 1\n",
        f"{inner}{name} = 0\n{inner}if {name} > 1:\n{inner}{inner}{name} -= 1\n",
    ])  # fmt: skip
    return _changed(told, f"{told.shown}{end}{dead}{inner}{name} = None\n")


def operands(told: Told, drawn: random.Random) -> Told | None:
    """Comparisons in the part of the body that is shown have their sides exchanged: `a < b` is `b > a`."""
    edits: list[Edit] = []
    for node in ast.walk(_parsed(told)):
        if isinstance(node, ast.Compare) and len(node.ops) == 1 and type(node.ops[0]) in _SIGNS:
            left, right = node.left, node.comparators[0]
            if isinstance(left, ast.Compare) or isinstance(right, ast.Compare):
                continue
            first, second = (_text(told, side) for side in (left, right))
            start, end = _span(told, node)
            edits.append((start, end, f"{second} {_SWAPPED[_SIGNS[type(node.ops[0])]]} {first}"))
    return _edited(told, [edit for edit in edits if edit[1] <= len(told.shown)])


def loops(told: Told, drawn: random.Random) -> Told | None:
    """A loop over a range in the part of the body that is shown counts by itself, with `while`."""
    for node in ast.walk(_parsed(told)):
        found = _counted(told, node)
        if found and found[0] < len(told.shown):
            return _edited(told, [found], whole=True)
    return None


WHOLE: Mapping[str, Transform] = {
    "rename_function": rename_function, "rename_arguments": rename_arguments, "obfuscate": obfuscate,
    "docstring_typos": docstring_typos, "comments": comments, "dead_code": dead_code,
}  # fmt: skip
"""Transforms of what a task shows."""
HALF: Mapping[str, Transform] = {"operands": operands, "loops": loops}
"""Transforms of a body: half of the solution is shown."""


def half(told: Told) -> Told | None:
    """The task with the first half of its solution's lines shown; None where there are not two."""
    lines = told.rest.rstrip("\n").split("\n")
    if len(lines) < 2:
        return None
    kept = "".join(f"{line}\n" for line in lines[: len(lines) // 2])
    return replace(told, shown=told.shown + kept, rest=told.rest[len(kept) :])


# --- names


def _renamed(told: Told, names: Mapping[str, str]) -> Told | None:
    """Names changed wherever they are variables; in the description only the function's own."""
    edits: list[Edit] = []
    for node in ast.walk(_parsed(told)):
        if isinstance(node, ast.JoinedStr) and any(
            isinstance(inner, ast.Name) and inner.id in names for inner in ast.walk(node)
        ):
            return None  # before Python 3.12 the places inside are not told
        if isinstance(node, ast.Name | ast.arg):
            name = node.id if isinstance(node, ast.Name) else node.arg
            if name in names:
                start = _offset(told.source, node.lineno, node.col_offset)
                edits.append((start, start + len(name), names[name]))
        if isinstance(node, ast.FunctionDef) and node.name in names:
            start = told.source.index(node.name, _offset(told.source, node.lineno, node.col_offset) + len("def "))
            edits.append((start, start + len(node.name), names[node.name]))
        if isinstance(node, ast.Global | ast.Nonlocal) and set(node.names) & set(names):
            return None
    found = _docstring(told)
    if found and told.entry in names:
        start, end = found
        for word in re.finditer(rf"\b{re.escape(told.entry)}\b", told.source[start:end]):
            edits.append((start + word.start(), start + word.end(), names[told.entry]))
    made = _edited(told, edits)
    return replace(made, entry=names.get(told.entry, told.entry)) if made else None


def _arguments(told: Told) -> list[str]:
    """The names of the function's arguments, in their order."""
    for node in ast.walk(_parsed(told)):
        if isinstance(node, ast.FunctionDef) and node.name == told.entry:
            return [argument.arg for argument in (*node.args.posonlyargs, *node.args.args)]
    return []


def _variables(told: Told) -> list[str]:
    """The names that the function binds, in the order of their text."""
    found: dict[str, None] = {}
    for node in ast.walk(_parsed(told)):
        if isinstance(node, ast.FunctionDef) and node.name == told.entry:
            for inner in ast.walk(node):
                if isinstance(inner, ast.Name) and isinstance(inner.ctx, ast.Store):
                    found[inner.id] = None
    return [name for name in found if name not in _arguments(told)]


# --- places


def _parsed(told: Told) -> ast.Module:
    return ast.parse(told.source)


def _offset(source: str, line: int, column: int) -> int:
    """The place in a text of a line (from 1) and a column in bytes."""
    lines = source.split("\n")
    return sum(len(text) + 1 for text in lines[: line - 1]) + len(lines[line - 1].encode()[:column].decode())


def _span(told: Told, node: ast.expr | ast.stmt) -> tuple[int, int]:
    assert node.end_lineno is not None and node.end_col_offset is not None
    return _offset(told.source, node.lineno, node.col_offset), _offset(
        told.source, node.end_lineno, node.end_col_offset
    )


def _text(told: Told, node: ast.expr) -> str:
    start, end = _span(told, node)
    text = told.source[start:end]
    return text if isinstance(node, ast.Name | ast.Constant | ast.Call | ast.Subscript | ast.Attribute) else f"({text})"


def _edited(told: Told, edits: list[Edit], *, whole: bool = False) -> Told | None:
    """The task with places exchanged; with `whole` an edit may go on into what is not shown, which is then shown."""
    if not edits:
        return None
    source, border = told.source, len(told.shown)
    taken = len(source)
    for start, end, text in sorted(edits, reverse=True):
        if end > taken:
            continue  # inside of another
        if start < border < end and not whole:
            return None
        source = source[:start] + text + source[end:]
        border = start + len(text) if start < border < end else border + (len(text) - (end - start)) * (end <= border)
        taken = start
    return Told(source[:border], source[border:], told.entry) if source != told.source else None


def _changed(told: Told, shown: str) -> Told | None:
    return replace(told, shown=shown) if shown != told.shown else None


def _definition(told: Told) -> int:
    """Where the function begins in what is shown; 0 where it does not."""
    return max(0, told.shown.rfind(f"def {told.entry}"))


def _docstring(told: Told) -> tuple[int, int] | None:
    """Where the function's description stands in what is shown."""
    found = _QUOTES.search(told.shown, _definition(told))
    return (found.start(2), found.end(2)) if found else None


def _is_example(line: str) -> bool:
    """Whether a line of a description is a value or a call rather than words."""
    return bool(re.search(r"==|=>|➞|->|[(\[{]", line)) or not re.search(r"[a-z]{3,}\s+[a-z]{2,}", line)


def _indentation(told: Told) -> str:
    found = re.search(r"^([ \t]+)\S", told.shown[max(0, told.shown.rfind("def ")) :], re.MULTILINE)
    return found[1] if found else "    "


# --- loops


def _counted(told: Told, node: ast.AST) -> Edit | None:
    """A loop over a range as one with `while`: where it stands, and its text; None where the two might differ."""
    if not (isinstance(node, ast.For) and isinstance(node.target, ast.Name) and not node.orelse):
        return None
    call = node.iter
    if not (isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id == "range"):
        return None
    if not 1 <= len(call.args) <= 2 or call.keywords or any(map(_leaves, node.body)):
        return None
    name = node.target.id
    bound = {
        item.id
        for item in ast.walk(ast.Module(node.body, []))
        if isinstance(item, ast.Name) and isinstance(item.ctx, ast.Store)
    }
    used = {item.id for argument in call.args for item in ast.walk(argument) if isinstance(item, ast.Name)}
    if name in bound or used & bound:
        return None
    first = _text(told, call.args[0]) if len(call.args) == 2 else "0"
    last = _text(told, call.args[-1])
    start, end = _span(told, node)
    line = told.source.rfind("\n", 0, start) + 1
    outer = told.source[line:start]
    body_start = _offset(told.source, node.body[0].lineno, 0)
    body = told.source[body_start:end]
    inner = re.match(r"[ \t]*", body)
    if outer.strip() or inner is None or not inner[0].startswith(outer) or body_start <= start:
        return None
    return start, end, f"{name} = {first}\n{outer}while {name} < {last}:\n{body}\n{inner[0]}{name} += 1"


def _leaves(statement: ast.stmt) -> bool:
    """Whether a statement may leave out the counting at the end of a loop's body."""
    return any(isinstance(node, ast.Continue) for node in ast.walk(statement))
