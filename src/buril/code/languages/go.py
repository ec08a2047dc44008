"""Go."""

from __future__ import annotations

from typing import ClassVar

from buril.code.language import Language


class Go(Language):
    """Go: `gofmt` indents by tabs."""

    name: ClassVar[str] = "go"
    grammar: ClassVar[str] = "go"
    extensions: ClassVar[tuple[str, ...]] = (".go",)
    line_comments: ClassVar[tuple[str, ...]] = ("//",)
    block_comments: ClassVar[tuple[tuple[str, str], ...]] = (("/*", "*/"),)
    functions: ClassVar[str] = """
        (function_declaration name: (_) @name body: (_) @body) @function
        (method_declaration name: (_) @name body: (_) @body) @function
    """
    parse_tolerance: ClassVar[float] = 0.005
    tabs: ClassVar[bool] = True
