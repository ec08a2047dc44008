"""Scala."""

from __future__ import annotations

from typing import ClassVar

from buril.code.language import Language


class Scala(Language):
    """The facts of Scala."""

    name: ClassVar[str] = "scala"
    grammar: ClassVar[str] = "scala"
    extensions: ClassVar[tuple[str, ...]] = (".scala", ".sc", ".sbt")
    interpreters: ClassVar[tuple[str, ...]] = ("scala", "amm")
    line_comments: ClassVar[tuple[str, ...]] = ("//",)
    block_comments: ClassVar[tuple[tuple[str, str], ...]] = (("/*", "*/"),)
    functions: ClassVar[str] = """
        (function_definition name: (_) @name body: (_) @body) @function
    """
    parse_tolerance: ClassVar[float] = 0.05
    indent: ClassVar[int] = 2
