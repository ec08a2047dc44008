"""R."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from buril.code.language import Language


class R(Language):
    """The facts of R."""

    name: ClassVar[str] = "r"
    grammar: ClassVar[str] = "r"
    extensions: ClassVar[tuple[str, ...]] = (".r",)
    filenames: ClassVar[tuple[str, ...]] = (".Rprofile",)
    interpreters: ClassVar[tuple[str, ...]] = ("Rscript",)
    refuses: ClassVar[Mapping[str, str]] = {
        ".r": r"^\s*REBOL\s*\[",
    }
    line_comments: ClassVar[tuple[str, ...]] = ("#",)
    functions: ClassVar[str] = """
        (binary_operator lhs: (identifier) @name rhs: (function_definition body: (_) @body)) @function
    """
    indent: ClassVar[int] = 2
