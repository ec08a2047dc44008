"""Java."""

from __future__ import annotations

from typing import ClassVar

from buril.code.language import Language


class Java(Language):
    """The facts of Java."""

    name: ClassVar[str] = "java"
    grammar: ClassVar[str] = "java"
    extensions: ClassVar[tuple[str, ...]] = (".java",)
    line_comments: ClassVar[tuple[str, ...]] = ("//",)
    block_comments: ClassVar[tuple[tuple[str, str], ...]] = (("/*", "*/"),)
    functions: ClassVar[str] = """
        (method_declaration name: (_) @name body: (_) @body) @function
        (constructor_declaration name: (_) @name body: (_) @body) @function
    """
    parse_tolerance: ClassVar[float] = 0.005
