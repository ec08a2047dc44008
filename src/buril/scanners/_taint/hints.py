"""Whether a text can hold anything to find: one look for words, without which all the rest is spared.

Every rule of a misuse needs a word that its pattern ends or begins with; every flow begins with an input that is called
something. A text with none of them has no finding (in `strict`, where parameters are no input).
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from buril.scanners._taint.rules import Misuse

_BROAD = frozenset(["os", "subprocess", "io", "numpy"])
"""Modules that everything imports: there the next name is the word."""
_GENERIC = frozenset(
    ["run", "call", "check_call", "check_output", "Popen", "new", "generate", "update", "config", "extract", "headers",
     "popen", "system"]
)  # fmt: skip
"""Names that everything has: there what the rule asks of arguments is the word, or the name before."""
_NAMED = r"(?i:(?:pass(?:word|wd|phrase)?|pwd|secret|token|key)\w*[\"'\]]{0,2}(?:\s*:\s*\w+)?\s*(?:=|==|:)\s*b?[\"'])"


def hints(misuses: Iterable[Misuse], inputs: str) -> re.Pattern[str]:
    """A pattern that is found in every text in which one of the rules may match.

    Args:
        misuses: the rules that need no input.
        inputs: a pattern for what inputs are called.
    """
    words = {word for misuse in misuses for pattern in misuse.calls.split() if (word := _word(pattern, misuse.when))}
    return re.compile("|".join([inputs, _NAMED, *sorted(map(re.escape, words))]))


def _word(pattern: str, when: str) -> str:
    if pattern in ("open", "io.open") or (pattern.startswith("File") and "tmp/" in when):
        return "tmp/"
    parts = [part for part in re.split(r"[.*()=@$\[\]]+", pattern) if part]
    if not pattern.startswith("*") and parts[0] not in _BROAD:
        return parts[0]
    if parts[-1] not in _GENERIC:
        return parts[-1]
    asked = re.search(r"[A-Z]{3,}_[A-Z_]+|(?:(?<=^)|(?<=[ +]))[a-z_]{5,}(?:=(?!=)|(?=~))", when)
    if asked:
        return asked[0]
    return parts[-2] if len(parts) > 1 and parts[-2] not in _BROAD else parts[-1]
