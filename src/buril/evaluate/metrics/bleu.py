"""BLEU-4 of one piece of code against one reference, smoothed for short texts.

Sources: Papineni et al., "BLEU: a method for automatic evaluation of machine translation" (ACL 2002); smoothing adds
one to matches and totals of 2-grams and longer: Lin and Och, "ORANGE" (COLING 2004). Tokens are identifiers, numbers
and single other characters, as is usual for code; so the figures are not those of tools that split text otherwise.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from typing import ClassVar

from buril.core.settings import Settings as BaseSettings

ORDER = 4
_TOKEN = re.compile(r"\w+|[^\w\s]")


class Bleu:
    """From 0 to 1; a suite reports the mean over its texts."""

    version: ClassVar[int] = 1
    share: ClassVar[bool] = False

    class Settings(BaseSettings):
        """There is nothing to set."""

    def __init__(self, settings: Settings | None = None) -> None:
        self.settings = settings or self.Settings()

    def score(self, text: str, reference: str) -> float:
        """BLEU-4 of `text`; 0 where no token is shared."""
        ours, wanted = _TOKEN.findall(text), _TOKEN.findall(reference)
        if not ours or not wanted:
            return float(ours == wanted)
        total = 0.0
        for size in range(1, ORDER + 1):
            mine, theirs = _grams(ours, size), _grams(wanted, size)
            extra = 0 if size == 1 else 1
            hits = sum(min(count, theirs[gram]) for gram, count in mine.items()) + extra
            if not hits:
                return 0.0
            total += math.log(hits / (sum(mine.values()) + extra))
        brevity = min(0.0, 1 - len(wanted) / len(ours))
        return math.exp(brevity + total / ORDER)


def _grams(tokens: list[str], size: int) -> Counter[tuple[str, ...]]:
    return Counter(tuple(tokens[index : index + size]) for index in range(len(tokens) - size + 1))
