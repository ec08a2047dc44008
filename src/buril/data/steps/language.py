"""The language of a file: completed where collecting left it open, refused where nobody knows it."""

from __future__ import annotations

from typing import ClassVar

from buril.code.codefile import CodeFile, Verdict
from buril.code.language import HEAD_CHARS, detect, languages
from buril.data.step import Shared, Step


class Language(Step):
    """Sets `language` from path and content where it is empty; a row without a known language is refused."""

    version: ClassVar[int] = 1

    def apply(self, file: CodeFile, shared: Shared) -> None:
        """Verdict `unknown_language`, with the name it had."""
        if not file.language:
            file.language = detect(file.path, file.content[:HEAD_CHARS])
        if file.language not in languages():
            file.verdicts.append(Verdict("language", "unknown_language", file.language))
