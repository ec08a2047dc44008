"""Line endings: a byte order mark goes, CR LF becomes LF, the text ends with one line break.

Line endings are a matter of the checkout, not of the program: Python, JavaScript, Java, Go, Rust and C# compilers read
CR LF inside literals as LF too (or leave it to the checkout). A lone CR is left alone.
"""

from __future__ import annotations

from typing import ClassVar

from buril.code.codefile import CodeFile
from buril.data.step import Shared, Step

_MARK = b"\xef\xbb\xbf"


class Newlines(Step):
    """Makes line endings alike before the parse, so that every offset after it is of the final lines."""

    version: ClassVar[int] = 1

    def apply(self, file: CodeFile, shared: Shared) -> None:
        """Replace the text, if it changes."""
        source = shared.source
        if source.startswith(_MARK):
            source = source[len(_MARK) :]
        if b"\r\n" in source:
            source = source.replace(b"\r\n", b"\n")
        if source and not source.endswith(b"\n"):
            source += b"\n"
        if source is not shared.source:
            shared.replace(source)
