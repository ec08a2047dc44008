"""SQL."""

from __future__ import annotations

from typing import ClassVar

from buril.code.language import Language


class Sql(Language):
    """SQL: one grammar for many dialects, so errors say little about a file."""

    name: ClassVar[str] = "sql"
    grammar: ClassVar[str] = "sql"
    extensions: ClassVar[tuple[str, ...]] = (".sql",)
    line_comments: ClassVar[tuple[str, ...]] = ("--",)
    block_comments: ClassVar[tuple[tuple[str, str], ...]] = (("/*", "*/"),)
    functions: ClassVar[str] = """
        (create_function (object_reference) @name (function_body) @body) @function
    """
    parse_tolerance: ClassVar[float] = 0.3
