"""Haskell."""

from __future__ import annotations

from typing import ClassVar

from buril.code.language import Language


class Haskell(Language):
    """The facts of Haskell."""

    name: ClassVar[str] = "haskell"
    grammar: ClassVar[str] = "haskell"
    extensions: ClassVar[tuple[str, ...]] = (".hs",)
    interpreters: ClassVar[tuple[str, ...]] = ("runhaskell", "runghc")
    line_comments: ClassVar[tuple[str, ...]] = ("--",)
    block_comments: ClassVar[tuple[tuple[str, str], ...]] = (("{-", "-}"),)
    functions: ClassVar[str] = """
        (function name: (_) @name match: (match) @body) @function
    """
    parse_tolerance: ClassVar[float] = 0.05
    indent: ClassVar[int] = 2
