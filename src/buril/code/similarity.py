"""How near a text is to a reference: BLEU-4 and equality, as the metrics of evaluation and training itself use them.

BLEU sources: Papineni et al., "BLEU: a method for automatic evaluation of machine translation" (ACL 2002); smoothing
adds one to matches and totals of 2-grams and longer: Lin and Och, "ORANGE" (COLING 2004). Tokens are identifiers,
numbers and single other characters, as is usual for code; so the figures are not those of tools that split text
otherwise.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Collection

ORDER = 4
KEYWORD_WEIGHT = 5
"""What a keyword counts as a single token, in tokens: as in Ren et al., "CodeBLEU" (2020), arXiv 2009.10297."""
_TOKEN = re.compile(r"\w+|[^\w\s]")


def bleu(text: str, reference: str, *, keywords: Collection[str] = ()) -> float:
    """BLEU-4 of a text, from 0 to 1; 0 where no token is shared. `keywords` count five times as single tokens.

    Example:
        `bleu("return a + b", "return a + b")` is 1.0.
    """
    ours, wanted = _TOKEN.findall(text), _TOKEN.findall(reference)
    if not ours or not wanted:
        return float(ours == wanted)
    total = 0.0
    for size in range(1, ORDER + 1):
        mine, theirs = _grams(ours, size), _grams(wanted, size)
        if size == 1 and keywords:
            mine, theirs = _heavier(mine, keywords), _heavier(theirs, keywords)
        extra = 0 if size == 1 else 1
        hits = sum(min(count, theirs[gram]) for gram, count in mine.items()) + extra
        if not hits:
            return 0.0
        total += math.log(hits / (sum(mine.values()) + extra))
    brevity = min(0.0, 1 - len(wanted) / len(ours))
    return math.exp(brevity + total / ORDER)


def _grams(tokens: list[str], size: int) -> Counter[tuple[str, ...]]:
    return Counter(tuple(tokens[index : index + size]) for index in range(len(tokens) - size + 1))


def _heavier(counts: Counter[tuple[str, ...]], keywords: Collection[str]) -> Counter[tuple[str, ...]]:
    return Counter({gram: count * (KEYWORD_WEIGHT if gram[0] in keywords else 1) for gram, count in counts.items()})


def same_text(text: str, reference: str) -> bool:
    """Whether two texts are equal, white space at line ends and around the whole aside."""
    return _trimmed(text) == _trimmed(reference)


def _trimmed(text: str) -> str:
    return "\n".join(line.rstrip() for line in text.strip().splitlines())
