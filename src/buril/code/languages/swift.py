"""Swift."""

from __future__ import annotations

from typing import ClassVar

from buril.code.language import Language


class Swift(Language):
    """The facts of Swift."""

    name: ClassVar[str] = "swift"
    grammar: ClassVar[str] = "swift"
    extensions: ClassVar[tuple[str, ...]] = (".swift",)
    interpreters: ClassVar[tuple[str, ...]] = ("swift",)
    line_comments: ClassVar[tuple[str, ...]] = ("//",)
    block_comments: ClassVar[tuple[tuple[str, str], ...]] = (("/*", "*/"),)
    functions: ClassVar[str] = """
        (function_declaration name: (simple_identifier) @name body: (_) @body) @function
    """
    parse_tolerance: ClassVar[float] = 0.05
