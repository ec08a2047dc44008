"""Quality: texts that are no code worth learning from, told by counts that the field has published."""

from __future__ import annotations

import re
import string
from typing import ClassVar

from buril.code.codefile import CodeFile, Verdict
from buril.core.settings import Settings as BaseSettings
from buril.data.step import Shared, Step

XML_HEAD_BYTES = 100
"""Where an XML declaration is looked for (StarCoder, arXiv:2305.06161, XML filter)."""
_LETTERS = string.ascii_letters.encode() + bytes(range(128, 256))
_HIDDEN = re.compile(rb"<(script|style)\b.*?</\1\s*>|<!--.*?-->|<[^>]*>", re.DOTALL | re.IGNORECASE)
_TEMPLATES = frozenset({"html", "php"})
"""Languages in which an XML declaration may open the file."""


class Quality(Step):
    """Refuses files with few letters, XML under another ending, and pages that are nothing but markup.

    Sources: at least 25 % letters (StarCoder 2, Lozhkov et al., arXiv:2402.19173, alpha filter; a byte of a non-ASCII
    letter counts as a letter); no XML declaration within the first 100 characters, and visible text of at least 100
    characters that is at least 20 % of an HTML file (StarCoder, Li et al., arXiv:2305.06161, XML and HTML filters).
    SantaCoder's bounds on comments, 1 % to 80 % (Ben Allal et al., arXiv:2301.03988), are for `select`: the step
    `comments` gives the signal `comment_share`.
    """

    version: ClassVar[int] = 1

    class Settings(BaseSettings):
        """The thresholds."""

        min_letters: float = 0.25
        """Least share of letters among all bytes (0 to 1); 0 switches it off."""
        min_visible: float = 0.2
        """Least share of visible text in an HTML file (0 to 1); 0 switches it off."""
        min_visible_chars: int = 100
        """Least visible text of an HTML file, in bytes."""

    def apply(self, file: CodeFile, shared: Shared) -> None:
        """Signals `letters` and, for HTML, `visible` (shares, 0 to 1); at most one verdict."""
        source = shared.source
        letters = round(shared.shape.of(_LETTERS) / max(1, len(source)), 4)
        file.signals["letters"] = letters
        if file.verdicts:
            return
        if letters < self.settings.min_letters:
            file.verdicts.append(Verdict("quality", "few_letters", f"{letters:.3f}"))
        elif b"<?xml version=" in source[:XML_HEAD_BYTES] and file.language not in _TEMPLATES:
            file.verdicts.append(Verdict("quality", "xml"))
        elif file.language == "html":
            self._page(file, source)

    def _page(self, file: CodeFile, source: bytes) -> None:
        visible = len(b" ".join(_HIDDEN.sub(b" ", source).split()))
        file.signals["visible"] = round(visible / max(1, len(source)), 4)
        told = self.settings
        if visible < told.min_visible_chars or file.signals["visible"] < told.min_visible:
            file.verdicts.append(Verdict("quality", "markup", f"{visible} bytes, {file.signals['visible']:.3f}"))
