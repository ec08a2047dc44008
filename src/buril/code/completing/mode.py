"""Mode: whether a place asks for the rest of a line or for a whole block."""

from __future__ import annotations

import re
from functools import cache
from typing import Literal

from tree_sitter import Tree

from buril.code.completing._brackets import scan
from buril.code.completing.cursor import Cursor, indent_of
from buril.code.language import language_of, languages
from buril.code.parse import HardParse, error_bytes, keywords, parse
from buril.code.structure import by_indentation

Mode = Literal["line", "block"]
CONTINUES = frozenset(
    [
        "else",
        "elif",
        "elseif",
        "elsif",
        "catch",
        "except",
        "finally",
        "rescue",
        "ensure",
        "when",
        "case",
        "default",
        "then",
        "do",
        "while",
        "until",
        "in",
        "of",
    ]
)
"""Words that may begin a line which belongs to the statement before it."""
ENDS = frozenset(("end", "fi", "done", "esac"))
"""Words that close a block."""
_OPENING = re.compile(r"(?:\b(?:do|then|begin|where|of|else|let|in|try|repeat)|[{:=]|=>|->|\|)\s*$")
_WORD = re.compile(r"[A-Za-z_]+")
_CLOSERS = ")]};,"
_MOST_HEADER_LINES = 20
_BODIES = ("buril_body", "buril_body()")
"""What stands for a body: a word, or a call where a word alone is no statement."""


def mode_of(cursor: Cursor) -> Mode:
    r"""`block` on a block's opener with nothing in it yet, and after a docstring; `line` everywhere else.

    Whether a line opens a block is asked of the grammar; without one, a brace or a colon at its end opens one.

    Example:
        `mode_of(Cursor("def f():\n", "", "python"))` → "block"
    """
    if cursor.before.inside or cursor.rest.strip(_CLOSERS + " \t\r"):
        return "line"
    if cursor.line.strip():
        return "block" if _opens_at(cursor, cursor.prefix) and not _has_body(cursor, indent_of(cursor.line)) else "line"
    if cursor.rest.strip():
        return "line"
    if _opens_at(cursor, cursor.prefix.rstrip()):
        return "line" if _has_body(cursor, cursor.above.indent) else "block"
    return "block" if _after_docstring(cursor) else "line"


def _has_body(cursor: Cursor, indent: int) -> bool:
    """Whether the block after a header of this indentation has something in it already."""
    return bool(cursor.below.text) and cursor.below.indent > indent


def _opens_at(cursor: Cursor, prefix: str) -> bool:
    header = header_of(prefix, cursor.language)
    return opens_block(header, cursor.language)


def header_of(text: str, language: str) -> str:
    """The last line of a text, with those before it on which its brackets were opened."""
    lines = text.split("\n")
    for number in range(1, min(_MOST_HEADER_LINES, len(lines)) + 1):
        header = "\n".join(lines[-number:])
        if not scan(header, language).closed:
            return header
    return lines[-1]


def opens_block(header: str, language: str) -> bool:
    """Whether a line, or the lines of one statement, ends where a block begins.

    A brace that is left open opens one. Where words or indentation make blocks, the grammar is asked: it must accept
    the header with a body, and with the closing word that it asks for.
    """
    code = header.rstrip()
    found = scan(code, language)
    if found.inside or not code.strip():
        return False
    if found.opened:
        return found.opened[-1].sign == "{" and code.endswith("{")
    if code.endswith("}") or language not in languages():
        return code.endswith(":") and language not in languages()
    word = first_word(code)
    if word in CONTINUES and word in _words(language):
        return bool(_OPENING.search(code)) and (not by_indentation(language) or not code.endswith("="))
    return _accepts_body(code, language)


@cache
def _words(language: str) -> frozenset[str]:
    known = keywords(language) if language in languages() else ()
    return frozenset(word.decode() for word in known)


def is_end(word: str, language: str) -> bool:
    """Whether a word closes blocks in a language."""
    return word in ENDS and word in _words(language)


def first_word(text: str) -> str:
    """The word that a text begins with, "" where it begins with something else."""
    found = _WORD.match(text.lstrip())
    return found[0] if found else ""


def _accepts_body(code: str, language: str) -> bool:
    """Whether the grammar takes a body after a header."""
    head = code[len(code) - len(code.lstrip()) :]
    start = f"{head}\n{' ' * (indent_of(code) + language_of(language).indent)}"
    if by_indentation(language):
        return bool(_OPENING.search(head)) and any(_is_body(f"{start}{body}\n", language) for body in _BODIES)
    ends = sorted(ENDS & _words(language))
    return any(
        _errors(f"{start}{body}\n", language) and any(not _errors(f"{start}{body}\n{end}", language) for end in ends)
        for body in _BODIES
    )


def _is_body(text: str, language: str) -> bool:
    """Whether a text parses, and after a colon its last line lies in a block."""
    raw = text.encode("utf-8", "replace")
    try:
        tree = parse(language, raw)
    except HardParse:
        return False
    if error_bytes(tree):
        return False
    node = tree.root_node.descendant_for_byte_range(len(raw) - 3, len(raw) - 3)
    while node is not None and node.type != "block":
        node = node.parent
    return node is not None or not text.partition("\n")[0].rstrip().endswith(":")


def _errors(text: str, language: str) -> int:
    try:
        return error_bytes(parse(language, text.encode("utf-8", "replace")))
    except HardParse:
        return len(text)


def _after_docstring(cursor: Cursor) -> bool:
    """Whether the last thing before the cursor is the string that opens the body of a function or class."""
    if not cursor.has_grammar or not language_of(cursor.language).docstrings:
        return False
    code = cursor.prefix.rstrip()
    if not code.endswith(("'", '"')) or (cursor.below.text and cursor.below.indent >= cursor.above.indent > 0):
        return False
    raw = code.encode("utf-8", "replace")
    try:
        return _is_docstring(parse(cursor.language, raw), len(raw))
    except HardParse:
        return False


def _is_docstring(tree: Tree, end: int) -> bool:
    node = tree.root_node.descendant_for_byte_range(end - 1, end)
    while node is not None and node.type != "string":
        node = node.parent
    if node is not None and node.parent is not None and node.parent.type == "expression_statement":
        node = node.parent
    if node is None or node.parent is None or node.parent.type not in ("block", "ERROR"):
        return False
    before = node.prev_sibling
    return before is None or before.type in ("comment", ":")
