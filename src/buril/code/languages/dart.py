"""Dart."""

from __future__ import annotations

from typing import ClassVar

from buril.code.language import Language


class Dart(Language):
    """The facts of Dart."""

    name: ClassVar[str] = "dart"
    grammar: ClassVar[str] = "dart"
    extensions: ClassVar[tuple[str, ...]] = (".dart",)
    interpreters: ClassVar[tuple[str, ...]] = ("dart",)
    line_comments: ClassVar[tuple[str, ...]] = ("//",)
    block_comments: ClassVar[tuple[tuple[str, str], ...]] = (("/*", "*/"),)
    functions: ClassVar[str] = """
        ((function_signature name: (_) @name) @function . (function_body) @body)
        ((method_signature (function_signature name: (_) @name)) @function . (function_body) @body)
    """
    parse_tolerance: ClassVar[float] = 0.02
    indent: ClassVar[int] = 2
