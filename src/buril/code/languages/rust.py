"""Rust."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from buril.code.language import Language


class Rust(Language):
    """The facts of Rust."""

    name: ClassVar[str] = "rust"
    grammar: ClassVar[str] = "rust"
    extensions: ClassVar[tuple[str, ...]] = (".rs",)
    interpreters: ClassVar[tuple[str, ...]] = ("rust-script",)
    refuses: ClassVar[Mapping[str, str]] = {
        ".rs": r"\A\s*<\?xml",
    }
    line_comments: ClassVar[tuple[str, ...]] = ("//",)
    block_comments: ClassVar[tuple[tuple[str, str], ...]] = (("/*", "*/"),)
    functions: ClassVar[str] = """
        (function_item name: (_) @name body: (_) @body) @function
    """
