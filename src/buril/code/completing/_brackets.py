"""Brackets of half-written code, found by its words alone: a parser gives no tree to rely on where a text breaks off.

Strings and comments are passed over by one regular expression a language, made of what `Language` says of it. What
needs a grammar to be told from a bracket (an interpolation, a heredoc) is not seen; `cursor.py` has the last word.
"""

from __future__ import annotations

import re
from functools import cache
from typing import NamedTuple

from buril.code.language import language_of, languages

PAIRS = {"(": ")", "[": "]", "{": "}"}
_CHARACTERS = frozenset(("c", "cpp", "csharp", "go", "haskell", "java", "kotlin", "ocaml", "rust", "scala"))
"""Languages whose single quotes hold one character, and may stand alone (a lifetime, a prime)."""
_LONG_QUOTES = frozenset(("bash", "julia", "ocaml", "perl", "php", "r", "ruby", "rust", "sql"))
"""Languages whose ordinary strings may go on over lines."""
_BACKTICKS = frozenset(("go", "javascript", "tsx", "typescript"))
_SCRIPTS = frozenset(("javascript", "tsx", "typescript"))
_APOSTROPHES = frozenset(("html", "ocaml_interface"))
"""Languages in which an apostrophe is mostly one of prose."""


class Bracket(NamedTuple):
    """A bracket and its place, in characters."""

    sign: str
    at: int


class Scan(NamedTuple):
    """What is open where a text ends, and what it closes that was opened before it.

    `inside` is `string` or `comment` where the text breaks off within one, else "".
    """

    opened: tuple[Bracket, ...]
    closed: tuple[Bracket, ...]
    inside: str


def scan(text: str, language: str) -> Scan:
    """The brackets of a text that begins as code. One that does not fit the innermost open one is passed over.

    Example:
        `scan("f(a, [b", "python").opened` are the round and the square one.
    """
    opened: list[Bracket] = []
    closed: list[Bracket] = []
    inside = ""
    for found in _words(language).finditer(text):
        sign, at = found[0], found.start()
        if sign in PAIRS:
            opened.append(Bracket(sign, at))
        elif sign in (")", "]", "}"):
            if not opened:
                closed.append(Bracket(sign, at))
            elif PAIRS[opened[-1].sign] == sign:
                opened.pop()
        elif found.end() == len(text):
            inside = _left_open(found)
    return Scan(tuple(opened), tuple(closed), inside)


def _left_open(found: re.Match[str]) -> str:
    """`string` or `comment` where the last word of a text is one that has not ended."""
    if found.lastgroup == "line":
        return "comment"
    kind, _mark, rest = (found.lastgroup or "").partition("_")
    if not rest:
        return ""
    return "" if found[f"end{rest}"] else kind


@cache
def _words(language: str) -> re.Pattern[str]:
    """What matches a comment, a string or a bracket of a language; strings and comments to the end where left open."""
    facts = language_of(language) if language in languages() else None
    parts = []
    for number, (opening, closing) in enumerate(facts.block_comments if facts else ()):
        parts.append(_spanning("comment", number, opening, closing))
    quotes = _quotes(language)
    for number, (opening, closing, body) in enumerate(quotes, 100):
        parts.append(f"(?P<string_{number}>{opening}{body}(?P<end{number}>{closing})?)")
    marks = [_line_mark(mark) for mark in (facts.line_comments if facts else ("#",))]
    if marks:
        parts.append(f"(?P<line>(?:{'|'.join(marks)})[^\\n]*)")
    if language in _CHARACTERS:
        parts.append(r"'(?:\\[^\n']{1,10}|\\'|[^'\\\n])'")
    if language in _SCRIPTS:
        parts.append(r"(?:(?<=[=(,:!&|?])|(?<=[=(,:!&|?] ))/(?![*/])(?:\\.|\[[^\]\n]*\]|[^/\\\n])+/")
    return re.compile("|".join([*parts, r"[()\[\]{}]"]), re.DOTALL)


def _line_mark(mark: str) -> str:
    """What opens a comment; `$#` and `${#x}` of shells do not."""
    return (r"(?<![$&{])" if mark == "#" else "") + re.escape(mark)


def _spanning(kind: str, number: int, opening: str, closing: str) -> str:
    return f"(?P<{kind}_{number}>{re.escape(opening)}.*?(?:(?P<end{number}>{re.escape(closing)})|\\Z))"


def _quotes(language: str) -> list[tuple[str, str, str]]:
    """The quotes of a language with what stands between them, long ones first."""
    long = r"(?:\\.|(?!{0}).)*"
    ordinary = r"(?:\\.|[^{0}\\])*" if language in _LONG_QUOTES else r"(?:\\.|[^{0}\\\n])*"
    found = [('"""', '"""', long.format('"""'))]
    if language in ("python", "dart"):
        found.append(("'''", "'''", long.format("'''")))
    found.append(('"', '"', ordinary.format('"')))
    if language not in _CHARACTERS | _APOSTROPHES:
        found.append(("'", "'", ordinary.format("'")))
    if language in _BACKTICKS:
        found.append(("`", "`", r"(?:\\.|[^`\\])*"))
    return found
