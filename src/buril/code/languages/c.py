"""C."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from buril.code.language import Language


class C(Language):
    """C: macros defeat the grammar in about half of all released files, by few bytes each."""

    name: ClassVar[str] = "c"
    grammar: ClassVar[str] = "c"
    extensions: ClassVar[tuple[str, ...]] = (".c", ".h")
    refuses: ClassVar[Mapping[str, str]] = {
        ".h": r"^\s*@(interface|protocol|class|import|end)\b",
        ".c": r"\A\s*/\* XPM \*/",
    }
    line_comments: ClassVar[tuple[str, ...]] = ("//",)
    block_comments: ClassVar[tuple[tuple[str, str], ...]] = (("/*", "*/"),)
    functions: ClassVar[str] = """
        (function_definition declarator: (_) @declarator body: (compound_statement) @body) @function
    """
    parse_tolerance: ClassVar[float] = 0.05
