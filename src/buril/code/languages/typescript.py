"""TypeScript."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from buril.code.language import Language
from buril.code.languages._ecmascript import FUNCTIONS


class Typescript(Language):
    """TypeScript: an XML file with the same ending is a translation of Qt."""

    name: ClassVar[str] = "typescript"
    grammar: ClassVar[str] = "typescript"
    extensions: ClassVar[tuple[str, ...]] = (".ts", ".mts", ".cts")
    interpreters: ClassVar[tuple[str, ...]] = ("ts-node", "tsx")
    refuses: ClassVar[Mapping[str, str]] = {
        ".ts": r"\A\s*<(\?xml|!DOCTYPE TS)",
    }
    line_comments: ClassVar[tuple[str, ...]] = ("//",)
    block_comments: ClassVar[tuple[tuple[str, str], ...]] = (("/*", "*/"),)
    functions: ClassVar[str] = FUNCTIONS
    parse_tolerance: ClassVar[float] = 0.02
    indent: ClassVar[int] = 2
