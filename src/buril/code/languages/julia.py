"""Julia."""

from __future__ import annotations

from typing import ClassVar

from buril.code.language import Language


class Julia(Language):
    """The facts of Julia."""

    name: ClassVar[str] = "julia"
    grammar: ClassVar[str] = "julia"
    extensions: ClassVar[tuple[str, ...]] = (".jl",)
    interpreters: ClassVar[tuple[str, ...]] = ("julia",)
    line_comments: ClassVar[tuple[str, ...]] = ("#",)
    block_comments: ClassVar[tuple[tuple[str, str], ...]] = (("#=", "=#"),)
    functions: ClassVar[str] = """
        (function_definition (signature (call_expression . (_) @name)) (block) @body) @function
        (function_definition (signature (typed_expression . (call_expression . (_) @name))) (block) @body) @function
        (function_definition (signature (where_expression . (call_expression . (_) @name))) (block) @body) @function
        (assignment . (call_expression . (identifier) @name) (operator) (_) @body) @function
    """
    parse_tolerance: ClassVar[float] = 0.05
