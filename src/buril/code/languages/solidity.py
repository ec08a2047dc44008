"""Solidity."""

from __future__ import annotations

from typing import ClassVar

from buril.code.language import Language


class Solidity(Language):
    """The facts of Solidity."""

    name: ClassVar[str] = "solidity"
    grammar: ClassVar[str] = "solidity"
    extensions: ClassVar[tuple[str, ...]] = (".sol",)
    line_comments: ClassVar[tuple[str, ...]] = ("//",)
    block_comments: ClassVar[tuple[tuple[str, str], ...]] = (("/*", "*/"),)
    functions: ClassVar[str] = """
        (function_definition name: (_) @name body: (_) @body) @function
        (modifier_definition name: (_) @name body: (_) @body) @function
        (constructor_definition "constructor" @name body: (_) @body) @function
    """
    parse_tolerance: ClassVar[float] = 0.02
