"""Syntax noise: a piece of code with one slip, and the same piece without it, for repair and denoising."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import ClassVar, Literal, NamedTuple

from pydantic import Field
from tree_sitter import Tree

from buril.code.codefile import CodeFile
from buril.code.language import languages
from buril.code.pair import pair
from buril.code.parse import functions, parse
from buril.data._seeds import parsed
from buril.data.augmenter import Augmenter, AugmenterSettings, Made, Refusal
from buril.data.step import PARSE_LIMIT_BYTES

Slip = Literal["drop", "duplicate", "swap", "bracket", "indent"]
_TRIES = 12
_BRACKETS = frozenset({"(", ")", "[", "]", "{", "}"})
INSTRUCTION = "This {language} code has a syntax error. Write it without the error."
"""What a pair asks for; the broken code follows it."""


class _Token(NamedTuple):
    start: int
    end: int
    kind: str


class SyntaxNoise(Augmenter):
    """Breaks the syntax of a whole short file, or of one function of a longer one, by one slip of a typist.

    The slip is one of `slips`, at a place drawn by chance. What was parsed without an error must now have one, else
    another place is drawn. The row is a pair: the task and the broken code as its instruction, the code as its answer.
    """

    version: ClassVar[int] = 1

    class Settings(AugmenterSettings):
        """How many files, how long, and what slips."""

        slips: tuple[Slip, ...] = ("drop", "duplicate", "swap", "bracket", "indent")
        """`drop`, `duplicate` or `swap` a token, leave out a `bracket`, take one level of `indent` from a line."""
        max_bytes: int = Field(4000, ge=50)
        """Bytes of the code in a pair; both halves and the task fit 2,048 tokens then."""

    def make(self, file: CodeFile, drawn: random.Random) -> Made | Refusal:
        """A pair; refuses `no_grammar`, `parse_errors`, `too_large`, `no_piece`, `not_broken`, `spells_marks`."""
        if file.language not in languages():
            return Refusal("no_grammar", file.language)
        source = file.content.encode("utf-8", "surrogatepass")
        if len(source) > PARSE_LIMIT_BYTES:
            return Refusal("too_large", str(len(source)))
        piece = self._piece(file.language, source, drawn)
        if piece is None:
            return Refusal("no_piece")
        tree = parse(file.language, piece)
        if tree.root_node.has_error or _fails(file.language, piece):
            return Refusal("parse_errors")
        for slip in [drawn.choice(self.settings.slips) for _try in range(_TRIES)]:
            broken = _SLIPS[slip](piece, _tokens(tree), drawn)
            if broken is None or broken == piece or not _fails(file.language, broken):
                continue
            try:
                task = INSTRUCTION.format(language=file.language) + "\n" + broken.decode("utf-8", "surrogatepass")
                text = pair(task, piece.decode("utf-8", "surrogatepass"))
            except UnicodeDecodeError:  # a slip cut a character in two
                continue
            return Made(text, slip) if text else Refusal("spells_marks")
        return Refusal("not_broken")

    def _piece(self, language: str, source: bytes, drawn: random.Random) -> bytes | None:
        """The whole file where it is short, else one of its functions, from the start of its line on."""
        if len(source.strip()) > 0 and len(source) <= self.settings.max_bytes:
            return source
        found = []
        for function in functions(parse(language, source), language):
            start = source.rfind(b"\n", 0, function.start_byte) + 1
            if not source[start : function.start_byte].strip() and function.end_byte - start <= self.settings.max_bytes:
                found.append(_dedented(source[start : function.end_byte]))
        return drawn.choice(found) if found else None


def _fails(language: str, text: bytes) -> bool:
    """Whether a text does not parse; Python's own parser judges Python, as its grammar forgives indentation."""
    if language == "python":
        return parsed(text.decode("utf-8", "replace")) is None
    return parse(language, text).root_node.has_error


def _dedented(text: bytes) -> bytes:
    """A piece without the indentation of its first line; as it is where a line has less."""
    indent = text[: len(text) - len(text.lstrip(b" \t"))]
    lines = text.split(b"\n")
    if not indent or any(line.strip() and not line.startswith(indent) for line in lines):
        return text + b"\n"
    return b"\n".join(line.removeprefix(indent) for line in lines) + b"\n"


def _tokens(tree: Tree) -> list[_Token]:
    """The leaves of a tree, without comments and white space."""
    found: list[_Token] = []
    cursor = tree.walk()
    while True:
        if cursor.goto_first_child():
            continue
        node = cursor.node
        assert node is not None
        if node.end_byte > node.start_byte and "comment" not in node.type and (node.text or b"").strip():
            found.append(_Token(node.start_byte, node.end_byte, node.type))
        while not cursor.goto_next_sibling():
            if not cursor.goto_parent():
                return found


def _drop(text: bytes, tokens: list[_Token], drawn: random.Random) -> bytes | None:
    if not tokens:
        return None
    token = drawn.choice(tokens)
    return text[: token.start] + text[token.end :]


def _duplicate(text: bytes, tokens: list[_Token], drawn: random.Random) -> bytes | None:
    if not tokens:
        return None
    token = drawn.choice(tokens)
    word = text[token.start : token.end]
    gap = b" " if word[:1].isalnum() else b""
    return text[: token.end] + gap + word + text[token.end :]


def _swap(text: bytes, tokens: list[_Token], drawn: random.Random) -> bytes | None:
    if len(tokens) < 2:
        return None
    at = drawn.randrange(len(tokens) - 1)
    one, two = tokens[at], tokens[at + 1]
    between = text[one.end : two.start]
    return text[: one.start] + text[two.start : two.end] + between + text[one.start : one.end] + text[two.end :]


def _bracket(text: bytes, tokens: list[_Token], drawn: random.Random) -> bytes | None:
    return _drop(text, [token for token in tokens if token.kind in _BRACKETS], drawn)


def _indent(text: bytes, tokens: list[_Token], drawn: random.Random) -> bytes | None:
    lines = text.split(b"\n")
    deep = [number for number, line in enumerate(lines) if line[:1] in (b" ", b"\t") and line.strip()]
    if not deep:
        return None
    number = drawn.choice(deep)
    lines[number] = lines[number].lstrip(b" \t")
    return b"\n".join(lines)


_SLIPS: dict[Slip, Callable[[bytes, list[_Token], random.Random], bytes | None]] = {
    "drop": _drop,
    "duplicate": _duplicate,
    "swap": _swap,
    "bracket": _bracket,
    "indent": _indent,
}
