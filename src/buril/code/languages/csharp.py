"""C#."""

from __future__ import annotations

from typing import ClassVar

from buril.code.language import Language


class Csharp(Language):
    """The facts of C#."""

    name: ClassVar[str] = "csharp"
    grammar: ClassVar[str] = "csharp"
    extensions: ClassVar[tuple[str, ...]] = (".cs", ".csx")
    line_comments: ClassVar[tuple[str, ...]] = ("//",)
    block_comments: ClassVar[tuple[tuple[str, str], ...]] = (("/*", "*/"),)
    functions: ClassVar[str] = """
        (method_declaration name: (_) @name body: (_) @body) @function
        (constructor_declaration name: (_) @name body: (_) @body) @function
        (local_function_statement name: (_) @name body: (_) @body) @function
    """
    parse_tolerance: ClassVar[float] = 0.05
