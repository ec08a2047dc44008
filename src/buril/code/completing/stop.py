"""Stop: where a text that is still being written is complete, and what of it may be shown until then.

A line ends a completion, unless it opens a block; then the block's end does. Brackets that the text closes, but did
not open, end it too. Blocks end by brackets, by their closing word, or by indentation; a tree of the text so far, which
is parsed on as it grows, says whether a line begins inside a string, and whether a statement is whole.

What is shown is never taken back: lines are shown when they are whole, and what a later line could make too much
(closing brackets, blank lines, lines that repeat) waits until it is settled.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from tree_sitter import Tree

from buril.code.completing._brackets import Scan, scan
from buril.code.completing._repeats import circle, goes_round, in_round, same_line
from buril.code.completing.cursor import Cursor, indent_of, point_of
from buril.code.completing.marks import mark_in
from buril.code.completing.mode import CONTINUES, first_word, header_of, is_end, mode_of, opens_block
from buril.code.language import languages
from buril.code.parse import HardParse, error_bytes, parse, reparse
from buril.code.structure import by_indentation

HELD = " \t\r\n)]};,"
"""What waits at the end of what is shown: the text after the cursor may bring it."""
MOST_LINES = 80
"""Lines of a completion: nobody reads more at a glance."""
_BRANCHES = frozenset(
    [
        "if",
        "elif",
        "elsif",
        "elseif",
        "else",
        "unless",
        "try",
        "do",
        "for",
        "while",
        "switch",
        "case",
        "begin",
        "when",
        "match",
    ]
)
_TEXTS = ("string", "comment", "heredoc", "template")


class Visible(NamedTuple):
    """What may be shown, whether that is all, and why it ended (`line`, `block`, `closed`, `suffix`, `repeats`, …)."""

    text: str
    done: bool
    reason: str = ""


@dataclass
class _Grown:
    """A text that grows, with its tree; None where it can't be parsed."""

    language: str
    source: bytes = b""
    tree: Tree | None = None

    def grow(self, source: bytes) -> Tree | None:
        """The tree of a longer text; only what was added is parsed."""
        if self.language not in languages():
            return None
        try:
            if self.tree is None or not source.startswith(self.source):
                self.tree = parse(self.language, source)
            else:
                old, new = point_of(self.source), point_of(source)
                self.tree.edit(len(self.source), len(self.source), len(source), old, old, new)
                self.tree = reparse(self.language, source, self.tree)
        except HardParse:
            self.tree = None
        self.source = source
        return self.tree


class Stopper:
    r"""Follows a completion as it is written.

    Args:
        prefix: the file before the cursor.
        suffix: the file after it.
        language: its name, "" where it is not known.

    Example:
        `Stopper("x = ", "", "python").feed("f(1)\ny")` → `Visible("f(1)", True, "line")`
    """

    def __init__(self, prefix: str, suffix: str = "", language: str = "", *, cursor: Cursor | None = None) -> None:
        self.cursor = cursor or Cursor(prefix, suffix, language)
        self.mode = mode_of(self.cursor)
        self._text = ""
        self._seen = 0  # whole lines that were looked at
        self._end: int | None = None
        self._reason = ""
        self._pending: int | None = None  # where the text ends if the next line does not go on
        self._open = self.mode == "block"
        self._base, self._least = self._indents()
        self._inside = (-1, False)
        self._grown = _Grown(self.cursor.language)

    def _indents(self) -> tuple[int, int]:
        """The indentation of what is completed, and the least that a line within it has."""
        cursor = self.cursor
        if cursor.line.strip() or self.mode == "line":
            base = indent_of(cursor.line)
        else:
            opens = opens_block(header_of(cursor.prefix.rstrip(), cursor.language), cursor.language)
            base = cursor.above.indent if opens else cursor.above.indent - 1
        return base, base + 1

    def feed(self, text: str, *, final: bool = False) -> Visible:
        """What may be shown of all that was written so far.

        Args:
            text: the whole text so far; it goes on from that of the call before.
            final: nothing more will come.
        """
        if self._end is None:
            self._text = text
            self._look(final=final)
        if self._end is not None:
            return Visible(self._text[: self._end], True, self._reason)
        if final:
            return Visible(self._whole(), True, "end")
        return Visible(self._settled(), False)

    def _whole(self) -> str:
        return self._text if self._pending is None else self._text[: self._pending]

    def _stop(self, at: int, reason: str) -> None:
        self._end, self._reason = at, reason

    def _look(self, *, final: bool) -> None:
        """Look at the lines that are whole, then at what is there of the next."""
        starts = [0]
        for number in range(self._seen, self._text.count("\n") + 1):
            starts = self._starts()
            whole = number < len(starts) - 1
            end = starts[number + 1] - 1 if whole else len(self._text)
            self._line(starts[number], end, whole=whole or final)
            if self._end is not None:
                return
            if whole:
                self._seen = number + 1

    def _starts(self) -> list[int]:
        found, at = [0], self._text.find("\n")
        while at >= 0:
            found.append(at + 1)
            at = self._text.find("\n", at + 1)
        return found

    def _line(self, start: int, end: int, *, whole: bool) -> None:
        """Look at one line, which may still grow."""
        line = self._text[start:end]
        cut = mark_in(line, self.cursor)
        if cut is not None:
            self._stop(start + cut if line[:cut].strip() else self._before(start), "mark")
        elif not self._text[:start].strip() and self.cursor.before.inside:
            if whole and line.strip():
                self._stop(end, "line")  # within a comment or a string
        elif whole and self._stands_there(start, end):
            self._stop(self._before(start), "repeats")
        elif not self._is_inside(start):
            self._code_line(start, end, whole=whole)

    def _stands_there(self, start: int, end: int) -> bool:
        """Whether a line is the one after the cursor again, or the first is the one before it."""
        line = self._text[start:end]
        if self._text[:start].strip():
            return same_line(line, self.cursor.below.text)
        full = line if start else self.cursor.line + line
        others = (self.cursor.below.text, self.cursor.above.text)
        return bool(line.strip()) and any(same_line(full, other) for other in others)

    def _code_line(self, start: int, end: int, *, whole: bool) -> None:
        """Look at a line that begins as code."""
        line = self._text[start:end]
        found = scan(self._text[:end], self.cursor.language)
        if self._closes(found, start, end, whole=whole) or not line.strip():
            return
        if not self._text[:start].strip():
            if whole:
                self._first_line(start, end, found)
        elif not self._outdents(start, end, whole=whole) and whole:
            self._later_line(end, found)

    def _before(self, start: int) -> int:
        """The end of what stands before a line."""
        return len(self._text[:start].rstrip())

    def _is_inside(self, start: int) -> bool:
        """Whether a line begins inside a string or comment: by the words, and for heredocs by the tree."""
        if self._inside[0] != start:
            self._inside = (start, self._looks_inside(start))
        return self._inside[1]

    def _looks_inside(self, start: int) -> bool:
        before = self._text[:start]
        if not start or scan(before, self.cursor.language).inside:
            return bool(start)
        tree = self._grown.grow(self._raw(start)) if "<<" in before else None
        if tree is None:
            return False
        at = len(self._grown.source)
        node = tree.root_node.descendant_for_byte_range(at - 1, at)
        return node is not None and any(part in node.type for part in _TEXTS)

    def _raw(self, end: int) -> bytes:
        """The bytes of what is completed, from the beginning of its line."""
        return (self.cursor.line.lstrip() + self._text[:end]).encode("utf-8", "replace")

    def _closes(self, found: Scan, start: int, end: int, *, whole: bool) -> bool:
        """Stop at a bracket that the text closes, but did not open."""
        cursor = self.cursor
        for number, bracket in enumerate(found.closed):
            depth = len(cursor.before.opened) - number
            if bracket.at < start or depth <= 0:
                if depth <= 0:
                    self._stop(self._at_bracket(bracket.at), "closed")
                    return True
                continue
            if cursor.brings(depth):
                self._stop(self._at_bracket(bracket.at), "suffix")
                return True
            opener = cursor.before.opened[depth - 1]
            outer = opener.at < len(cursor.prefix) - len(cursor.line) or (opener.sign == "{" and self.mode == "block")
            if outer and whole and not found.opened and not self._goes_on(self._text[bracket.at + 1 : end]):
                self._stop(end, "block")
                return True
        return False

    def _goes_on(self, rest: str) -> bool:
        """Whether something but signs follows a bracket on its line: `} else {`, `}).then(`."""
        return bool(rest.strip(HELD))

    def _at_bracket(self, at: int) -> int:
        """Before a bracket, and before the line break where it is the first of its line."""
        line = self._text.rfind("\n", 0, at) + 1
        return at if self._text[line:at].strip() or not line else self._before(line)

    def _first_line(self, start: int, end: int, found: Scan) -> None:
        """One line is all, unless it opens something or stands in a block that is to be filled."""
        if self._open:
            return
        header = (self.cursor.line if not self._text[:start].strip() else "") + self._text[:end]
        opened = bool(found.opened) or opens_block(header_of(header, self.cursor.language), self.cursor.language)
        if not opened or self.cursor.rest.strip(HELD):
            self._stop(end, "line")
            return
        self._open = True
        if not self.cursor.line.strip() and "\n" in self._text[:start]:
            self._base = indent_of(self._text[start:end])
            self._least = self._base + 1

    def _outdents(self, start: int, end: int, *, whole: bool) -> bool:
        """Stop before a line that no longer belongs to the block, or after the word that closes it."""
        line = self._text[start:end]
        word, indent = first_word(line), indent_of(line)
        if not whole and line.strip().isalpha():
            return True  # the word may go on
        if self._pending is not None:
            at, self._pending = self._pending, None
            if word in CONTINUES and indent == self._base:
                return False
            self._stop(at, "block")
            return True
        before = scan(self._text[:start], self.cursor.language)
        if indent >= self._least or before.opened or line.lstrip()[0] in ")]}#":
            return False
        if self._by_brackets() and indent >= self._base:
            return False
        return self._ends_here(start, end, word, whole=whole)

    def _ends_here(self, start: int, end: int, word: str, *, whole: bool) -> bool:
        cursor, indent = self.cursor, indent_of(self._text[start:end])
        if is_end(word, self.cursor.language) and indent == self._base:
            brought = first_word(cursor.below.text) == word and cursor.below.indent == indent
            if not brought and not whole:
                return True
            self._stop(self._before(start) if brought else end, "suffix" if brought else "block")
            return True
        if self.mode == "line" and word in CONTINUES and indent == self._base:
            return False
        self._stop(self._before(start), "block")
        return True

    def _by_brackets(self) -> bool:
        """Whether the block being filled is one that a brace closes, so that indentation alone does not end it."""
        opened = self.cursor.before.opened
        return self.mode == "block" and bool(opened) and opened[-1].sign == "{"

    def _later_line(self, end: int, found: Scan) -> None:
        """Stop where the statement that the first line began is whole, or where lines go round."""
        lines = self._text[:end].split("\n")
        kept = [line for line in lines if line.strip()]
        turn = goes_round(kept)
        if turn is not None:
            self._stop(_end_of(lines, turn[0] + turn[1]), "repeats")
            return
        if len(lines) >= MOST_LINES:
            self._stop(end, "long")
            return
        if self.mode == "line" and not found.opened and indent_of(lines[-1]) <= self._base and self._is_whole(end):
            if first_word(self.cursor.line + self._text) in _BRANCHES:
                self._pending = end  # `else` may come
            else:
                self._stop(end, "block")

    def _is_whole(self, end: int) -> bool:
        """Whether what was written is a whole statement; by its brackets alone where the grammar can't tell."""
        if not self.cursor.has_grammar or by_indentation(self.cursor.language):
            return self._text[:end].rstrip().endswith((")", "]", "}"))
        tree = self._grown.grow(self._raw(end))
        closes = self._text[:end].rstrip(" \t;,").endswith((")", "]", "}"))
        return closes or (tree is not None and error_bytes(tree) == 0)

    def _settled(self) -> str:
        """What may be shown: whole lines, without what may still be taken back."""
        if not self._seen:
            return ""
        if self._pending is not None:
            return self._text[: self._pending].rstrip(HELD)
        lines = self._text.split("\n")[: self._seen]
        kept = [line for line in lines if line.strip()]
        settled = _up_to(lines, len(kept) - in_round(kept))
        turning = circle(settled)
        shown = (settled if turning is None else settled[:turning]).rstrip(HELD)
        return shown if shown.strip() else ""


def _up_to(lines: list[str], number: int) -> str:
    """The text of the first lines that are not blank."""
    return "\n".join(lines)[: _end_of(lines, number)]


def _end_of(lines: list[str], number: int) -> int:
    """Where the first `number` lines that are not blank end, in characters of the text."""
    at = 0
    for line in lines:
        if number == 0:
            break
        number -= bool(line.strip())
        at += len(line) + 1
    return max(0, at - 1)
