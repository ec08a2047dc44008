"""HTML."""

from __future__ import annotations

from typing import ClassVar

from buril.code.language import Language


class Html(Language):
    """HTML: browsers accept what the grammar does not, and templates add more."""

    name: ClassVar[str] = "html"
    grammar: ClassVar[str] = "html"
    extensions: ClassVar[tuple[str, ...]] = (".html", ".htm", ".xhtml")
    block_comments: ClassVar[tuple[tuple[str, str], ...]] = (("<!--", "-->"),)
    parse_tolerance: ClassVar[float] = 0.3
    indent: ClassVar[int] = 2
