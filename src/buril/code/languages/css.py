"""CSS."""

from __future__ import annotations

from typing import ClassVar

from buril.code.language import Language


class Css(Language):
    """The facts of CSS."""

    name: ClassVar[str] = "css"
    grammar: ClassVar[str] = "css"
    extensions: ClassVar[tuple[str, ...]] = (".css",)
    block_comments: ClassVar[tuple[tuple[str, str], ...]] = (("/*", "*/"),)
    parse_tolerance: ClassVar[float] = 0.1
    indent: ClassVar[int] = 2
