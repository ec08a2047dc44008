"""TSX, TypeScript with JSX."""

from __future__ import annotations

from typing import ClassVar

from buril.code.language import Language
from buril.code.languages._ecmascript import FUNCTIONS


class Tsx(Language):
    """The facts of TSX, TypeScript with JSX."""

    name: ClassVar[str] = "tsx"
    grammar: ClassVar[str] = "tsx"
    extensions: ClassVar[tuple[str, ...]] = (".tsx",)
    line_comments: ClassVar[tuple[str, ...]] = ("//",)
    block_comments: ClassVar[tuple[tuple[str, str], ...]] = (("/*", "*/"),)
    functions: ClassVar[str] = FUNCTIONS
    parse_tolerance: ClassVar[float] = 0.02
    indent: ClassVar[int] = 2
