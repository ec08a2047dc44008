"""Kotlin."""

from __future__ import annotations

from typing import ClassVar

from buril.code.language import Language


class Kotlin(Language):
    """The facts of Kotlin."""

    name: ClassVar[str] = "kotlin"
    grammar: ClassVar[str] = "kotlin"
    extensions: ClassVar[tuple[str, ...]] = (".kt", ".kts")
    interpreters: ClassVar[tuple[str, ...]] = ("kotlin",)
    line_comments: ClassVar[tuple[str, ...]] = ("//",)
    block_comments: ClassVar[tuple[tuple[str, str], ...]] = (("/*", "*/"),)
    functions: ClassVar[str] = """
        (function_declaration (simple_identifier) @name (function_body) @body) @function
    """
    parse_tolerance: ClassVar[float] = 0.05
