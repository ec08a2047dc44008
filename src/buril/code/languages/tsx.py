"""TSX, TypeScript with JSX."""

from __future__ import annotations

from typing import ClassVar

from buril.code.language import Language


class Tsx(Language):
    """The facts of TSX, TypeScript with JSX."""

    name: ClassVar[str] = "tsx"
    grammar: ClassVar[str] = "tsx"
    extensions: ClassVar[tuple[str, ...]] = (".tsx",)
    line_comments: ClassVar[tuple[str, ...]] = ("//",)
    block_comments: ClassVar[tuple[tuple[str, str], ...]] = (("/*", "*/"),)
    functions: ClassVar[str] = """
        (function_declaration name: (_) @name body: (_) @body) @function
        (generator_function_declaration name: (_) @name body: (_) @body) @function
        (method_definition name: (_) @name body: (_) @body) @function
        (variable_declarator name: (identifier) @name value: (arrow_function body: (_) @body)) @function
        (variable_declarator name: (identifier) @name value: (function_expression body: (_) @body)) @function
    """
    parse_tolerance: ClassVar[float] = 0.02
    indent: ClassVar[int] = 2
