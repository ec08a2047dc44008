"""PHP."""

from __future__ import annotations

from typing import ClassVar

from buril.code.language import Language


class Php(Language):
    """The facts of PHP."""

    name: ClassVar[str] = "php"
    grammar: ClassVar[str] = "php"
    extensions: ClassVar[tuple[str, ...]] = (".php", ".php5", ".phtml")
    interpreters: ClassVar[tuple[str, ...]] = ("php",)
    line_comments: ClassVar[tuple[str, ...]] = ("//", "#")
    block_comments: ClassVar[tuple[tuple[str, str], ...]] = (("/*", "*/"),)
    functions: ClassVar[str] = """
        (function_definition name: (_) @name body: (_) @body) @function
        (method_declaration name: (_) @name body: (_) @body) @function
    """
    parse_tolerance: ClassVar[float] = 0.02
