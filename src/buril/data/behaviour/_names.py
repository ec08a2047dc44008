"""What the texts of a pair name: strings, keys, tables of a database, modules, and names that neither defines."""

from __future__ import annotations

import ast
import builtins
import re
import sys
from collections.abc import Iterator

_TABLE = re.compile(r"\b(?:from|into|update|join|table(?: if (?:not )?exists)?)\s+[\"'`\[]?([a-z_]\w*)", re.IGNORECASE)
_SQL = re.compile(r"\b(?:select\b.*\bfrom|insert\s+into|update\b.*\bset|delete\s+from)\b", re.IGNORECASE | re.DOTALL)
_WORD = re.compile(r"(?<![:%\w'\"@$])[a-z_]\w*(?!\s*\()", re.IGNORECASE)
_KEYWORDS = frozenset(
    re.split(
        r"\s+",
        """select from where and or not insert into values update set delete join left right inner outer on as order by
        group having limit offset asc desc distinct between like in is null count sum max min avg exists union all case
        when then else end primary key text integer real blob create table if default true false s d""",
    )
)


def strings(tree: ast.Module) -> Iterator[str]:
    """The strings of a text but for its documentation; a text with holes counts with a word in each."""
    skipped = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            skipped.add(id(node.value))
        if isinstance(node, ast.JoinedStr):
            skipped |= {id(part) for part in node.values}
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            yield "".join(str(part.value) if isinstance(part, ast.Constant) else "?" for part in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str | bytes) and id(node) not in skipped:
            yield node.value if isinstance(node.value, str) else node.value.decode("latin-1")


def keys(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        found: ast.expr | None = None
        if isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Load):
            found = node.slice
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.args:
            found = (
                node.args[0]
                if node.func.attr in ("get", "getlist", "pop", "getfirst", "get_argument", "get_cookie")
                else None
            )
        if isinstance(found, ast.Constant) and isinstance(found.value, str):
            yield found.value


def tables(strings: list[str]) -> dict[str, list[str]]:
    tables: dict[str, list[str]] = {}
    for text in strings:
        if _SQL.search(text):
            names = [name for name in _TABLE.findall(text) if name.lower() not in _KEYWORDS]
            columns = [word for word in _WORD.findall(text) if word.lower() not in _KEYWORDS and word not in names]
            for name in names:
                known = tables.setdefault(name, [])
                known += [word for word in columns if word not in known]
    widest = max(tables.values(), key=len, default=[])
    return {
        name: list(dict.fromkeys([*columns, *(widest if name.startswith("old_") else [])]))
        for name, columns in tables.items()
    }


def modules(*trees: ast.Module) -> tuple[str, ...]:
    """Standard modules that stand in both texts and that neither imports; in texts that import nothing, in any.

    A function that was cut out of its file has lost its imports, and that is no fault of either text.
    """
    used, bound, imports = [], set(), False
    for tree in trees:
        names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
        used.append(names & sys.stdlib_module_names)
        bound |= {
            node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load)
        }
        for node in ast.walk(tree):
            if isinstance(node, ast.Import | ast.ImportFrom):
                bound |= {(item.asname or item.name).split(".")[0] for item in node.names}
        imports = imports or any(isinstance(node, ast.Import | ast.ImportFrom) for node in tree.body)
    found = used[0] & used[1] if imports else used[0] | used[1]
    return tuple(sorted(found - bound - {"this", "antigravity"}))


def undefined(*trees: ast.Module) -> set[str]:
    """Names that are used and that no text defines; the standard library's modules are for each text to import."""
    used: set[str] = set()
    known = {*dir(builtins), *sys.stdlib_module_names, "__file__", "__name__"}
    for tree in trees:
        for node in ast.walk(tree):
            if isinstance(node, ast.Name):
                (used if isinstance(node.ctx, ast.Load) else known).add(node.id)
            elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                known.add(node.name)
            elif isinstance(node, ast.arg):
                known.add(node.arg)
            elif isinstance(node, ast.Import | ast.ImportFrom):
                known |= {(item.asname or item.name).split(".")[0] for item in node.names}
            elif isinstance(node, ast.ExceptHandler) and node.name:
                known.add(node.name)
    return used - known
