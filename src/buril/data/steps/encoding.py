"""Broken encodings: `Ã±` in a comment becomes `ñ` again; literals keep every byte."""

from __future__ import annotations

import re
from typing import ClassVar

from buril.code.codefile import CodeFile
from buril.data._encoding import MOJIBAKE, mended
from buril.data.step import Shared, Step

_MAYBE = re.compile(rb"\xc3[\x82-\xaf][\xc2\xc5\xc6\xcb\xe2]")


class Encoding(Step):
    """Mends UTF-8 that somebody's editor once took for Windows-1252, in comments alone: a literal may mean it.

    Signal `mended`: how many sequences. Nothing else is changed, so text that never was broken is never touched.
    """

    version: ClassVar[int] = 1

    def apply(self, file: CodeFile, shared: Shared) -> None:
        """Edits of comments."""
        if file.verdicts or not _MAYBE.search(shared.source) or shared.tree is None:
            return
        count = 0
        for start, end in shared.comments:
            text = shared.source[start:end].decode()
            for match in MOJIBAKE.finditer(text):
                if (back := mended(match[0])) != match[0]:
                    at = start + len(text[: match.start()].encode())
                    shared.edit(at, at + len(match[0].encode()), back.encode())
                    count += 1
        if count:
            file.signals["mended"] = count
