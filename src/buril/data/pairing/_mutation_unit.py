"""Pieces of a file that can be read alone: a function with the imports, constants and class heads that it needs."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Final

from tree_sitter import Node, Tree

MOST_CONSTANTS: Final = 8
"""Constants, fields and the like before a function, at most."""
_CONSTANT_LINES: Final = 3
_WORD: Final = re.compile(r"[A-Za-z_$]\w*")
_IMPORTS: Final = frozenset((
    "import_statement", "import_from_statement", "future_import_statement", "import_declaration", "package_clause",
    "package_declaration", "namespace_use_declaration", "namespace_definition", "preproc_include", "pragma_directive",
    "import_directive", "php_tag", "use_declaration",
))  # fmt: skip
_ALWAYS: Final = frozenset(("package_clause", "package_declaration", "pragma_directive", "php_tag", "preproc_include"))
_CLASSES: Final = frozenset((
    "class_definition", "class_declaration", "contract_declaration", "library_declaration", "trait_declaration",
    "interface_declaration", "enum_declaration", "abstract_class_declaration",
))  # fmt: skip
_CONSTANTS: Final = frozenset((
    "assignment", "expression_statement", "lexical_declaration", "variable_declaration", "preproc_def", "declaration",
    "const_declaration", "var_declaration", "field_declaration", "state_variable_declaration", "property_declaration",
    "public_field_definition", "field_definition", "event_definition", "struct_definition", "type_definition",
    "struct_declaration", "error_declaration",
))  # fmt: skip
_BRACES: Final = frozenset(("java", "php", "javascript", "typescript", "tsx", "solidity"))


def pieces(tree: Tree, language: str, most_lines: int, wanted: Callable[[str], bool]) -> Iterator[str]:
    """The pieces of a file that are wanted, each with what stands before it and is named in it.

    Args:
        tree: of the whole file.
        language: its name.
        most_lines: of a function; longer ones are left out.
        wanted: asked of a function's own text, so that what is not wanted costs nothing.
    """
    file = _File(tree.root_node, language)
    yield from _pieces(tree.root_node, [], file, (most_lines, wanted))


class _File:
    """What the functions of a file have before them, read once."""

    def __init__(self, root: Node, language: str) -> None:
        self.language = language
        self.source = b"\n" * root.start_byte + (root.text or b"")  # a text may begin with line breaks
        self._imports: list[tuple[int, bool, str, set[str]]] = []
        for child in root.children:
            if child.type in _IMPORTS or child.type in _CONSTANTS:
                text = (child.text or b"").decode("utf-8", "replace").rstrip()
                if child.type in _IMPORTS or "require(" in text:
                    self._imports.append((child.start_byte, child.type in _ALWAYS, text, set(_WORD.findall(text))))
        self._root = root
        self._constants: dict[int, list[tuple[int, str, set[str]]]] = {}

    def before(self, words: set[str], end: int) -> list[str]:
        """The imports and constants above a byte that some of the words name."""
        found = [text for start, always, text, own in self._imports if start < end and (always or words & own)]
        return [*found, *self.named(self._root, words, end)]

    def named(self, parent: Node, words: set[str], end: int | None = None) -> list[str]:
        """The constants directly in a node whose names are among the words."""
        known = self._constants.get(parent.id)
        if known is None:
            known = self._constants[parent.id] = list(_constants(parent))
        found = [text for start, text, own in known if own & words and (end is None or start < end)]
        return found[:MOST_CONSTANTS]


def _constants(parent: Node) -> Iterator[tuple[int, str, set[str]]]:
    for child in parent.named_children:
        if _is_constant(child):
            text = (child.text or b"").decode("utf-8", "replace")
            if "require(" not in text:
                yield child.start_byte, " " * child.start_point.column + text.rstrip(), _declared(text)


def _pieces(parent: Node, outer: list[Node], file: _File, told: tuple[int, Callable[[str], bool]]) -> Iterator[str]:
    most_lines, wanted = told
    for node in parent.named_children:
        inner = _class(node)
        if inner is not None:
            body = inner.child_by_field_name("body")
            if body is not None and (body.start_point.row > inner.start_point.row or file.language in _BRACES):
                yield from _pieces(body, [*outer, node], file, told)
        elif node.type in _IMPORTS or "comment" in node.type or node.end_point.row - node.start_point.row >= most_lines:
            continue
        elif wanted((node.text or b"").decode("utf-8", "replace")) and not _is_constant(node):
            yield _piece(node, outer, file)


def _class(node: Node) -> Node | None:
    """The class that a node is, or that it exports or decorates."""
    if node.type in _CLASSES:
        return node
    if node.type in ("export_statement", "decorated_definition"):
        return next((child for child in node.named_children if child.type in _CLASSES), None)
    return None


def _is_constant(node: Node) -> bool:
    """Whether it says one thing in a few lines; a function that is given a name is none."""
    if node.type not in _CONSTANTS or node.end_point.row - node.start_point.row >= _CONSTANT_LINES:
        return False
    text = node.text or b""
    return not re.search(rb"=>|\bfunction\b", text) and (node.type != "expression_statement" or b"=" in text)


def _piece(node: Node, outer: list[Node], file: _File) -> str:
    own = _with_comment(node, file.source)
    words = set(_WORD.findall(own))
    braces = file.language in _BRACES
    heads = [_head(item, file, braces) for item in outer]
    if outer and (body := _body(outer[-1])) is not None:
        heads += file.named(body, words)
    named = words.union(*(_WORD.findall(head) for head in heads))
    first = "\n".join(file.before(named, outer[0].start_byte if outer else node.start_byte))
    blank = "\n\n\n" if file.language == "python" else "\n\n"
    close = "}\n" * len(outer) if braces else ""
    return f"{first}{blank if first else ''}{''.join(head + chr(10) for head in heads)}{own}\n{close}"


def _body(node: Node) -> Node | None:
    inner = _class(node)
    return inner.child_by_field_name("body") if inner is not None else None


def _head(node: Node, file: _File, braces: bool) -> str:
    """A class up to where its members begin."""
    body = _body(node)
    assert body is not None
    head = file.source[_line_start(file.source, node) : body.start_byte + braces]
    return head.decode("utf-8", "replace").rstrip()


def _declared(text: str) -> set[str]:
    """The words of a declaration before what it is set to."""
    return set(_WORD.findall(re.split(r"=|\{", text, maxsplit=1)[0]))


def _with_comment(node: Node, source: bytes) -> str:
    """The text of a node with the comment right above it, whole lines."""
    start = node
    before = node.prev_sibling
    while before is not None and "comment" in before.type and before.end_point.row >= start.start_point.row - 1:
        start, before = before, before.prev_sibling
    return source[_line_start(source, start) : node.end_byte].decode("utf-8", "replace")


def _line_start(source: bytes, node: Node) -> int:
    """Where the line of a node begins, if nothing but white space stands before it there."""
    start = source.rfind(b"\n", 0, node.start_byte) + 1
    return start if not source[start : node.start_byte].strip() else node.start_byte
