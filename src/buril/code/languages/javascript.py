"""JavaScript."""

from __future__ import annotations

from typing import ClassVar

from buril.code.language import Language
from buril.code.languages._ecmascript import FUNCTIONS


class Javascript(Language):
    """JavaScript: with JSX, which its grammar includes."""

    name: ClassVar[str] = "javascript"
    grammar: ClassVar[str] = "javascript"
    extensions: ClassVar[tuple[str, ...]] = (".js", ".mjs", ".cjs", ".jsx")
    filenames: ClassVar[tuple[str, ...]] = ("Jakefile",)
    interpreters: ClassVar[tuple[str, ...]] = ("node", "nodejs", "deno", "bun")
    line_comments: ClassVar[tuple[str, ...]] = ("//",)
    block_comments: ClassVar[tuple[tuple[str, str], ...]] = (("/*", "*/"),)
    functions: ClassVar[str] = FUNCTIONS
    parse_tolerance: ClassVar[float] = 0.005
    indent: ClassVar[int] = 2
