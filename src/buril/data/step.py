"""Step: what is done to one row of `prepare`, and what the steps of a row share.

A row has one text and at most one tree. A step may change the text in two ways:

* before the tree is made, `shared.replace(...)` gives the row another text (line endings, a byte order mark);
* once it is made, `shared.edit(start, end, new)` notes a change of the parsed text; all edits are applied together
  when the last step is done.

So no step sees another's edits, offsets stay true for everyone, and a file is parsed exactly once, which matters
because the parse is what `prepare` costs. The order of the steps is by cost: what can reject a row without a tree
comes first, and a rejected row is never parsed.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from bisect import bisect_right
from functools import cache
from typing import Any, ClassVar, NamedTuple

from tree_sitter import Language as Grammar
from tree_sitter import Node, Query, QueryCursor, Tree

from buril.code.codefile import CodeFile
from buril.code.language import Language, language_of, languages
from buril.code.parse import HardParse, comments, parse
from buril.core.settings import Settings as BaseSettings
from buril.data._shape import Shape, shape_of

PARSE_LIMIT_BYTES = 1_000_000
"""Larger files are not parsed; The Stack leaves them out as well."""

_TEXT_PARTS = ("string", "heredoc", "nowdoc", "raw_text", "jsx_text", "quoted", "quasiquote", "regex", "char")
_TEXT_KINDS = ("text", "literal", "pod", "dollar_quote", "command_literal")
_NOT_TEXT = ("_start", "_end", "string_content", "string_fragment", "string_array", "concatenated", "type")


_LEAF_COMMENTS = frozenset({"comment", "line_comment", "block_comment"})
_COMMENT_PARTS = ("comment", "haddock", "marginalia")
_QUERIED = frozenset({"perl"})
"""Languages in which a comment may open with something else than their marks: any `=word` opens Perl's POD."""


class Edit(NamedTuple):
    """A change of the parsed text: the bytes from `start` to `end` become `new`."""

    start: int
    end: int
    new: bytes


class Numbers:
    """Numbers of placeholders: within a repository the same value of a rule always has the same number, from 1 on.

    `fixed` holds the numbers of repositories that several shards share, by (repo, rule, value's digest).
    """

    def __init__(self, fixed: dict[tuple[str, str, bytes], int] | None = None) -> None:
        self._fixed = fixed or {}
        self._repo: str | None = None
        self._given: dict[tuple[str, bytes], int] = {}
        self._next: dict[str, int] = {}

    def of(self, repo: str, rule: str, value: bytes) -> int:
        """The number of a value (or of its digest); rows come ordered by repository."""
        if (repo, rule, value) in self._fixed:
            return self._fixed[repo, rule, value]
        if repo != self._repo:
            self._repo, self._given, self._next = repo, {}, {}
        if (rule, value) not in self._given:
            self._next[rule] = self._next.get(rule, 0) + 1
            self._given[rule, value] = self._next[rule]
        return self._given[rule, value]


class Shared:
    """What the steps of one row share: the bytes, the language, one tree, and the edits."""

    def __init__(self, file: CodeFile, numbers: Numbers | None = None, *, suspect: bool = False) -> None:
        self.file = file
        self._suspect = suspect  # a worker died at this row: the parser is bounded
        self.source = file.content.encode()
        self.numbers = numbers or Numbers()
        self.too_hard = False
        """Whether the parser gave the text up; known once the tree was asked for."""
        self._tree: Tree | None = None
        self._asked = False
        self._replaced = False
        self._edits: list[Edit] = []
        self._comments: list[tuple[int, int]] | None = None
        self._texts: list[tuple[int, int]] | None = None
        self._lost: list[tuple[int, int]] | None = None
        self._shape: Shape | None = None

    @property
    def shape(self) -> Shape:
        """Counts of the text in force: bytes, lines, runs."""
        if self._shape is None:
            self._shape = shape_of(self.source)
        return self._shape

    @property
    def language(self) -> type[Language] | None:
        """The facts of the file's language; None for one we do not know."""
        return language_of(self.file.language) if self.file.language in languages() else None

    @property
    def tree(self) -> Tree | None:
        """The tree, made on first use; None without a grammar, for a file already rejected, and for a huge one."""
        if not self._asked:
            self._asked = True
            if self.language and not self.file.verdicts and len(self.source) <= PARSE_LIMIT_BYTES:
                try:
                    self._tree = parse(self.file.language, self.source, bounded=self._suspect)
                except HardParse:
                    self.too_hard = True
        return self._tree

    @property
    def comments(self) -> list[tuple[int, int]]:
        """Spans of the comments in bytes, in order; none without a tree."""
        if self._comments is None:
            self._comments = _comments(self.tree, self.source, self.file.language) if self.tree else []
        return self._comments

    def replace(self, source: bytes) -> None:
        """Give the row another text; only before its tree is made."""
        assert not self._asked and not self._edits, "replace() comes before the parse"
        self.source, self._replaced, self._shape = source, True, None

    def edit(self, start: int, end: int, new: bytes = b"") -> None:
        """Note that the bytes from `start` to `end` become `new` when all steps are done."""
        self._edits.append(Edit(start, end, new))

    def line(self, offset: int) -> int:
        """The line of a byte, from 1."""
        return self.source.count(b"\n", 0, offset) + 1

    def in_text(self, offset: int) -> bool:
        """Whether a byte is inside a comment or a literal, or where the parser was lost; true without a tree."""
        if self.tree is None:
            return True
        node: Node | None = self.tree.root_node.descendant_for_byte_range(offset, offset + 1)
        while node is not None:
            if node.is_error or _is_text(node.type):
                return True
            node = node.parent
        return False

    def crosses(self, offset: int) -> bool:
        """Whether a byte is inside a literal that spans lines, so that white space there is content."""
        if self._texts is None:
            self._texts = _line_crossing(self.tree, self.source) if self.tree else []
        index = bisect_right(self._texts, (offset, len(self.source) + 1)) - 1
        return index >= 0 and self._texts[index][0] <= offset < self._texts[index][1]

    def is_lost(self, offset: int) -> bool:
        """Whether the parser was lost at a byte, so that what it says there is not to be trusted."""
        if self._lost is None:
            self._lost = _error_spans(self.tree) if self.tree else []
        index = bisect_right(self._lost, (offset, len(self.source) + 1)) - 1
        return index >= 0 and offset < self._lost[index][1]

    def finish(self) -> None:
        """Apply the edits and put the text into the file."""
        if self._edits:
            self.source = apply(self.source, self._edits)
        if self._edits or self._replaced:
            self.file.content = self.source.decode()


def apply(source: bytes, edits: list[Edit]) -> bytes:
    """`source` with all edits made; of two that meet, the one that contains the other wins, else both are joined.

    Example:
        `apply(b"a = 1  # x", [Edit(5, 10, b"")])` → `b"a = 1"`
    """
    parts: list[bytes] = []
    done, open_edit = 0, Edit(0, 0, b"")
    for edit in sorted(edits, key=lambda item: (item.start, -item.end)):
        if edit.start >= open_edit.end:
            parts += (source[done : open_edit.start], open_edit.new)
            done, open_edit = open_edit.end, edit
        elif edit.end > open_edit.end:
            open_edit = Edit(open_edit.start, edit.end, open_edit.new + edit.new)
    parts += (source[done : open_edit.start], open_edit.new, source[open_edit.end :])
    return b"".join(parts)


def _comments(tree: Tree, source: bytes, language: str) -> list[tuple[int, int]]:
    """Spans of the comments, found from their marks: the tree is asked only where one stands.

    The same as `buril.code.parse.comments`, some ten times as fast (4 ms/MB against 50 to 100), because a query visits
    every node.
    """
    marks = _marks(language)
    if marks is None or language in _QUERIED:
        return comments(tree)
    spans: list[tuple[int, int]] = []
    node_at = tree.root_node.named_descendant_for_byte_range
    match = marks.search(source)
    while match:
        start = match.start()
        node = node_at(start, start + 1)
        kind = node.type if node else ""
        if node and kind not in _LEAF_COMMENTS and "comment" in kind:
            while node.parent and "comment" in node.parent.type:
                node = node.parent
        if node and any(part in kind for part in _COMMENT_PARTS):
            spans.append((node.start_byte, node.end_byte))
            start = max(start, node.end_byte - 1)
        match = marks.search(source, start + 1)
    return spans


@cache
def _marks(language: str) -> re.Pattern[bytes] | None:
    facts = language_of(language)
    marks = [*facts.line_comments, *(opening for opening, _ in facts.block_comments)]
    longest_first = sorted(marks, key=len, reverse=True)
    return re.compile("|".join(map(re.escape, longest_first)).encode()) if marks else None


@cache
def _is_text(kind: str) -> bool:
    """Whether a node kind is a literal or a comment, told by its name, which grammars choose much alike."""
    if kind in _TEXT_KINDS or "comment" in kind:
        return True
    return any(part in kind for part in _TEXT_PARTS) and not any(part in kind for part in _NOT_TEXT)


@cache
def _text_query(language: Grammar) -> Query | None:
    kinds = set()
    for identifier in range(language.node_kind_count):
        kind = language.node_kind_for_id(identifier)
        if kind and language.node_kind_is_named(identifier) and language.node_kind_is_visible(identifier):
            kinds.add(kind)
    wanted = sorted(kind for kind in kinds if _is_text(kind) and "comment" not in kind)
    return Query(language, " ".join(f"({kind}) @text" for kind in wanted)) if wanted else None


def _line_crossing(tree: Tree, source: bytes) -> list[tuple[int, int]]:
    """Spans of the literals that hold a line break, without those inside another, in order."""
    assert tree.language is not None
    query = _text_query(tree.language)
    spans: list[tuple[int, int]] = []
    found = QueryCursor(query).captures(tree.root_node).get("text", []) if query else []
    places = ((node.start_byte, node.end_byte) for node in found)
    for start, end in sorted(places, key=lambda span: (span[0], -span[1])):
        if b"\n" in source[start:end] and (not spans or end > spans[-1][1]):
            spans.append((start, end))
    return spans


def _error_spans(tree: Tree) -> list[tuple[int, int]]:
    """Spans of the ERROR nodes, in order; only branches that hold an error are visited."""
    spans: list[tuple[int, int]] = []
    pending = [tree.root_node]
    while pending:
        node = pending.pop()
        if node.is_error:
            spans.append((node.start_byte, node.end_byte))
        elif node.has_error:
            pending.extend(node.children)
    return sorted(spans)


class Step(ABC):
    """Base of all steps. A subclass sets `version`, may have `Settings`, and writes `apply`.

    A step adds signals and verdicts and edits through `shared`; it never deletes a row and opens no other file.
    `version` goes up whenever the same row and settings give other results than before.
    """

    version: ClassVar[int] = 1

    class Settings(BaseSettings):
        """A step without settings."""

    def __init__(self, settings: Any = None) -> None:
        self.settings: Any = settings if settings is not None else type(self).Settings()

    @abstractmethod
    def apply(self, file: CodeFile, shared: Shared) -> None:
        """Do its work on one row."""

    def stale(self, old: CodeFile, shared: Shared) -> bool:
        """Whether an earlier result of the same row, settings and versions would come out otherwise now.

        `old` is that result, `shared` the row as collected. Only a step whose result depends on other rows, through
        `shared.numbers`, has something to say here.
        """
        del old, shared
        return False
