"""Indentation: tabs at the start of a line become spaces, white space at its end goes; literals keep every byte."""

from __future__ import annotations

import re
from typing import ClassVar

from buril.code.codefile import CodeFile
from buril.code.language import Language
from buril.data.step import Shared, Step

TAB_STOP = 8
"""Columns of a tab stop in a file that mixes tabs and spaces: what Python's tokenizer and terminals assume."""

_INDENTED = re.compile(rb"^[ \t]+(?=\S)", re.MULTILINE)
_BLANK_END = re.compile(rb"(?<![ \t\\])[ \t]+(?=\n)")
_SPACED = re.compile(rb"^ +(?=[^\s*])", re.MULTILINE)


class Indent(Step):
    """Normalises white space, without touching the inside of literals, of here documents or of wrapped templates.

    A file indented by tabs alone gets its language's customary width a tab; one that mixes tabs and spaces is expanded
    to tab stops of eight, as Python reads it. Languages whose rule is tabs (Go, make) keep them. White space after a
    backslash at the end of a line stays, because there it has a meaning. Files without a tree are left alone.
    """

    version: ClassVar[int] = 1

    def apply(self, file: CodeFile, shared: Shared) -> None:
        """Edits only."""
        if file.verdicts or shared.tree is None or shared.language is None:
            return
        source = shared.source
        if b" \n" in source or b"\t\n" in source:
            for match in _BLANK_END.finditer(source):
                if not shared.crosses(match.start()):
                    shared.edit(match.start(), match.end())
        if not shared.language.tabs and b"\t" in source:
            _expand(shared, shared.language)
        end = len(source.rstrip(b" \t\n"))
        if end + 1 < len(source) and not shared.crosses(end + 1):
            shared.edit(end, len(source), b"\n" if end else b"")


def _expand(shared: Shared, language: type[Language]) -> None:
    source = shared.source
    indented = list(_INDENTED.finditer(source))
    tabbed = [match for match in indented if b"\t" in match[0]]
    mixed = any(b" \t" in match[0] for match in tabbed) or (bool(tabbed) and _SPACED.search(source) is not None)
    width = TAB_STOP if mixed else language.indent
    for match in tabbed:
        if not shared.crosses(match.start()):
            shared.edit(match.start(), match.end(), match[0].expandtabs(width))
