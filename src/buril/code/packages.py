"""Packages: what a file takes from outside, as its language names it, and the line where it says so.

`imports.py` asks which files of a repository a file builds on; this asks which packages of a registry. Both read the
tree. What a file declares itself (a module of Rust, a package of Java, a namespace) is left out, and so are paths.
"""

from __future__ import annotations

import re
import sys
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache
from typing import NamedTuple

from tree_sitter import Node, Query, QueryCursor, Tree

from buril.code.parse import grammar

ECOSYSTEMS: Mapping[str, str] = {
    "python": "pypi", "javascript": "npm", "typescript": "npm", "tsx": "npm", "go": "go", "java": "maven",
    "kotlin": "maven", "rust": "crates", "ruby": "rubygems", "php": "packagist", "csharp": "nuget",
}  # fmt: skip
"""Language → the registry that its packages come from."""


class Use(NamedTuple):
    """A package that a text uses. `name` is an import's path (`a.b`, `@x/y`, `x::y`), or a package if `installed`.

    `guarded`: the text goes on without it (an import within `try`, or for types alone). The name stands at
    `source[start:end]`, in bytes of the text in UTF-8; (0, 0) where that is not known.
    """

    line: int
    ecosystem: str
    name: str
    installed: bool = False
    guarded: bool = False
    start: int = 0
    end: int = 0


_ECMASCRIPT = """
    (import_statement source: (string) @name)
    (export_statement source: (string) @name)
    (call_expression function: (identifier) @call arguments: (arguments . (string) @name) (#eq? @call "require"))
    (call_expression function: (import) arguments: (arguments . (string) @name))
"""
_QUERIES = {
    "python": """
        (import_statement name: (dotted_name) @name)
        (import_statement name: (aliased_import name: (dotted_name) @name))
        (import_from_statement module_name: (dotted_name) @name)
        (call function: (attribute attribute: (identifier) @call) arguments: (argument_list . (string) @name)
            (#eq? @call "import_module"))
        (call function: (identifier) @call arguments: (argument_list . (string) @name)
            (#any-of? @call "import_module" "__import__"))
        (try_statement body: (block) @guard)
        (if_statement condition: (_) @call consequence: (block) @guard (#match? @call "TYPE_CHECKING$"))
    """,
    "javascript": _ECMASCRIPT + "(try_statement body: (_) @guard)",
    "typescript": _ECMASCRIPT + "(try_statement body: (_) @guard)",
    "tsx": _ECMASCRIPT + "(try_statement body: (_) @guard)",
    "go": "(import_spec path: (_) @name)",
    "java": "(import_declaration (scoped_identifier) @name) (package_declaration (_) @own)",
    "kotlin": "(import_header (identifier) @name) (package_header (identifier) @own)",
    "rust": """
        (use_declaration argument: (_) @name)
        (extern_crate_declaration name: (_) @name)
        (mod_item name: (_) @own)
    """,
    "ruby": """
        (call method: (identifier) @call arguments: (argument_list . (string) @name) (#eq? @call "require"))
        (begin (rescue)) @guard
    """,
    "php": """
        (namespace_use_declaration (namespace_use_clause) @name)
        (namespace_use_declaration (namespace_name) @group body: (namespace_use_group))
        (namespace_definition name: (_) @own)
    """,
    "csharp": """
        (using_directive) @name
        (namespace_declaration name: (_) @own)
        (file_scoped_namespace_declaration name: (_) @own)
    """,
}  # fmt: skip

_IN_GROUP = "\\*"
"""What follows the common part of `use A\\{B, C}`."""


def uses(language: str, tree: Tree) -> list[Use]:
    """The packages that a file imports, by line, each name once; [] for a language that is not of `ECOSYSTEMS`."""
    query = _query(language)
    if query is None:
        return []
    found = QueryCursor(query).captures(tree.root_node)
    guards = _merged((node.start_byte, node.end_byte) for node in found.get("guard", ()))
    nodes = [*((node, "") for node in found.get("name", ())), *((node, _IN_GROUP) for node in found.get("group", ()))]
    first: dict[str, Use] = {}
    read, ecosystem = _READ[ECOSYSTEMS[language]], ECOSYSTEMS[language]
    for node, more in sorted(nodes, key=lambda item: item[0].start_byte):
        for name in read(_text(node) + more):
            guarded, place = _inside(node.start_byte, guards), _place(node, name)
            use = Use(node.start_point.row + 1, ecosystem, name, False, guarded, *place)
            if name not in first or (first[name].guarded and not use.guarded):
                first[name] = use
    own = {_text(node) for node in found.get("own", ())}
    known = _declared(language, own, [_text(node) for node in found.get("name", ())])
    return sorted(use for name, use in first.items() if not known(name))


def _merged(spans: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """The outermost of spans that lie within one another, in order."""
    outer: list[tuple[int, int]] = []
    for start, end in sorted(spans, key=lambda span: (span[0], -span[1])):
        if not outer or start >= outer[-1][1]:
            outer.append((start, end))
    return outer


def _inside(place: int, spans: list[tuple[int, int]]) -> bool:
    at = bisect_right(spans, (place, sys.maxsize)) - 1
    return at >= 0 and place < spans[at][1]


@cache
def _query(language: str) -> Query | None:
    text = _QUERIES.get(language)
    return Query(grammar(language), text) if text else None


def _text(node: Node) -> str:
    return (node.text or b"").decode("utf-8", "replace")


def _place(node: Node, name: str) -> tuple[int, int]:
    """Where in a node a name stands; the whole node where it is not written like that."""
    at = (node.text or b"").find(name.encode())
    return (node.start_byte + at, node.start_byte + at + len(name.encode())) if at >= 0 else node.byte_range


def _declared(language: str, own: set[str], texts: list[str]) -> Callable[[str], bool]:
    """Whether a name is one that the file itself brings in."""
    if language == "rust":
        brought = own | _brought(texts)
        return lambda name: name in brought
    separator = "\\" if language == "php" else "."
    ours = {_root(name, separator, 1 if language in ("php", "csharp") else 2) for name in own}
    return lambda name: any(_within(name, root, separator) for root in ours)


def _root(name: str, separator: str, parts: int) -> str:
    return separator.join(name.strip("\\").split(separator)[:parts])


def _within(name: str, root: str, separator: str) -> bool:
    return name == root or name.startswith(root + separator)


_PYTHON_NAME = re.compile(r"[A-Za-z_][\w.]*")
_NPM_NAME = re.compile(r"(?:@[a-z0-9~][\w.~-]*/)?[A-Za-z0-9][\w.~-]*", re.ASCII)


def _python(text: str) -> Iterator[str]:
    text = text.strip("\"'rbu") if text[-1:] in "\"'" else text
    if _PYTHON_NAME.fullmatch(text):
        yield text


def _npm(text: str) -> Iterator[str]:
    """The package of a module's name; nothing for a path, an address or an alias (`~/x`, `@/x`, `#x`)."""
    text = text.strip("\"'`")
    if text.startswith("node:"):
        yield text
    elif ":" not in text and (found := _NPM_NAME.match(text)):
        rest = text[found.end() : found.end() + 1]
        if rest in ("", "/") and not (text.startswith("@") and "/" not in found[0]):
            yield found[0]


def _go(text: str) -> Iterator[str]:
    name = text.strip('"`')
    if name and not name.startswith((".", "/")):
        yield name


def _maven(text: str) -> Iterator[str]:
    words = text.removeprefix("import").replace(";", " ").split()
    name = next((word for word in words if word != "static"), "").removesuffix(".*")
    if "." in name:
        yield name


_RUST_ROOT = re.compile(r"\s*(?:::)?\s*(?:r#)?([A-Za-z_]\w*)")
_RUST_OWN = frozenset(("crate", "self", "super", "Self"))
_BRACES = re.compile(r"[{},]")


def _rust(text: str) -> Iterator[str]:
    """The first names of a `use`; `crate`, `self` and `super` are the file's own, a type or a variant is no crate."""
    for part in _parts(text):
        found = _RUST_ROOT.match(part)
        if found and found[1] not in _RUST_OWN and not found[1][0].isupper():
            yield found[1]


def _parts(text: str) -> Iterator[str]:
    """The paths of a `use {a::b, c::{d, e}}`, groups further in left whole; a path alone is its only part."""
    text = text.strip()
    if not text.startswith("{"):
        yield text
        return
    depth, start = 0, 1
    for sign in _BRACES.finditer(text):
        depth += {"{": 1, "}": -1, ",": 0}[sign[0]]
        if depth == (0 if sign[0] == "}" else 1) and sign.start():
            yield text[start : sign.start()]
            start = sign.end()


def _brought(texts: Iterable[str]) -> set[str]:
    """The names that the uses of a Rust file bring in, so that `use a::b; use b::c` names one crate."""
    found = set()
    for text in texts:
        for part in _parts(text):
            first, *rest = re.findall(r"[A-Za-z_]\w*", part) or [""]
            found |= {name for name in rest if name != first}
    return found


def _ruby(text: str) -> Iterator[str]:
    name = text.strip("\"'")
    if name and not name.startswith((".", "/", "~")) and "#{" not in name:
        yield name


def _php(text: str) -> Iterator[str]:
    name = re.split(r"\s+as\s+|[{;,\s]", text.strip())[0].strip("\\")
    if "\\" in name:
        yield name


def _nuget(text: str) -> Iterator[str]:
    name = re.sub(r"^(?:global\s+)?using\s+(?:static\s+)?(?:\w+\s*=\s*)?", "", text.strip()).strip(" ;")
    name = name.removeprefix("global::")
    if re.fullmatch(r"[A-Za-z_][\w.]*", name):
        yield name


_READ: Mapping[str, Callable[[str], Iterator[str]]] = {
    "pypi": _python, "npm": _npm, "go": _go, "maven": _maven, "crates": _rust, "rubygems": _ruby, "packagist": _php,
    "nuget": _nuget,
}  # fmt: skip
