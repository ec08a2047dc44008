"""JavaScript."""

from __future__ import annotations

from typing import ClassVar

from buril.code.language import Language


class Javascript(Language):
    """JavaScript: with JSX, which its grammar includes."""

    name: ClassVar[str] = "javascript"
    grammar: ClassVar[str] = "javascript"
    extensions: ClassVar[tuple[str, ...]] = (".js", ".mjs", ".cjs", ".jsx")
    filenames: ClassVar[tuple[str, ...]] = ("Jakefile",)
    interpreters: ClassVar[tuple[str, ...]] = ("node", "nodejs", "deno", "bun")
    line_comments: ClassVar[tuple[str, ...]] = ("//",)
    block_comments: ClassVar[tuple[tuple[str, str], ...]] = (("/*", "*/"),)
    functions: ClassVar[str] = """
        (function_declaration name: (_) @name body: (_) @body) @function
        (generator_function_declaration name: (_) @name body: (_) @body) @function
        (method_definition name: (_) @name body: (_) @body) @function
        (variable_declarator name: (identifier) @name value: (arrow_function body: (_) @body)) @function
        (variable_declarator name: (identifier) @name value: (function_expression body: (_) @body)) @function
    """
    parse_tolerance: ClassVar[float] = 0.005
    indent: ClassVar[int] = 2
