"""Whether a text can hold anything to find: one look for words, without which all the rest is spared.

Every rule of a misuse needs a word that its pattern ends or begins with; every flow begins with an input that is called
something. A text with none of them has no finding (in `strict`, where parameters are no input).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

from buril.scanners._taint.rules import CONDITION, Misuse

_BROAD = frozenset(["os", "subprocess", "io", "numpy"])
"""Modules that everything imports: there the next name is the word."""
_GENERIC = frozenset(
    ["run", "call", "check_call", "check_output", "Popen", "new", "generate", "update", "config", "extract", "headers",
     "popen", "system"]
)  # fmt: skip
"""Names that everything has: there what the rule asks of arguments is the word, or the name before."""
_NAMED = r"(?i:(?:pass(?:word|wd|phrase)?|pwd|secret|token|key)\w*[\"'\]]{0,2}(?:\s*:\s*\w+)?\s*(?:=|==|:)\s*b?[\"'])"


_ANCHORS = re.compile(r"\(\^\|_\|\\\$\)|\\\$|[\^$]")
"""What ties a pattern for names to where a name begins or ends."""
_OF_ONE_THAT_IS_THERE = frozenset(["=", "~", ":", "&", "<", "?"])
"""Conditions that hold only for an argument that is there."""


class Hints(NamedTuple):
    """Words of which one is in every text that holds something; some count only beside another one."""

    alone: re.Pattern[str]
    beside: tuple[tuple[tuple[re.Pattern[str], ...], re.Pattern[str]], ...]
    """What must all be there, and the words that count then."""

    def search(self, text: str) -> bool:
        """Whether a text has enough of the words."""
        return self.alone.search(text) is not None or any(
            words.search(text) is not None and all(need.search(text) is not None for need in needs)
            for needs, words in self.beside
        )


def hints(misuses: Iterable[Misuse], inputs: str, *, called: bool = False) -> Hints:
    """What is found in every text in which one of the rules may match.

    Args:
        misuses: the rules that need no input.
        inputs: a pattern for what inputs are called.
        called: the words of functions and methods count only where they are called, or named in quotes, and the names
            of arguments that a rule asks for stand in the text.
    """
    groups: dict[tuple[str, ...], set[tuple[str, bool]]] = {}
    for misuse in misuses:
        words = {(word, called and _is_name(pattern, word))
                 for pattern in misuse.calls.split() if (word := _word(pattern, misuse.when))}  # fmt: skip
        groups.setdefault(_needed(misuse, arguments=called), set()).update(words)
    alone = "|".join([inputs, _NAMED, *_any_of(groups.pop((), set()))])
    beside = [(tuple(map(re.compile, needs)), re.compile("|".join(_any_of(words)))) for needs, words in groups.items()]
    return Hints(re.compile(alone), tuple(beside))


def _any_of(words: set[tuple[str, bool]]) -> list[str]:
    """Patterns for words; those of the second kind are whole names, and count where they are called."""
    called = sorted(re.escape(word) for word, whole in words if whole and word[0].islower())
    classes = sorted(re.escape(word) for word, whole in words if whole and not word[0].islower())
    found = sorted(re.escape(word) for word, whole in words if not whole)
    if classes:
        found.append(rf"\b(?:{'|'.join(classes)})\b")
    if called:
        found.append(rf"(?i:\b(?:{'|'.join(called)})\b(?=\s*\(|['\"]|\s+as\b))")
    return found


def _is_name(pattern: str, word: str) -> bool:
    """Whether a word is the whole name of a function, a method or a class."""
    return word in re.split(r"[.*()]+", pattern) and not re.search(r"[=@\[]|\w\*|\*\w", pattern)


def _needed(misuse: Misuse, *, arguments: bool) -> tuple[str, ...]:
    """Patterns of what a text must have beside the call: a name that the rule is about, and of its arguments."""
    found = set()
    loose = _ANCHORS.sub("", misuse.named.lstrip("="))
    if loose and not misuse.named.startswith("=^@") and "[^" not in misuse.named and not re.search(loose, ""):
        found.add(loose)
    for word in misuse.when.split() if arguments else ():
        said = CONDITION.fullmatch(word)
        if said is None or said[1] or said[3] not in _OF_ONE_THAT_IS_THERE:
            continue
        names = [name for name in said[2].split(".") if not name.isdigit() and name != "self"]
        found.update(re.escape(name).replace("_", "[-_]") for name in names)
        text = _ANCHORS.sub("", said[4].removeprefix("(?i)")) if said[3] in ("=", "~") else ""
        if re.fullmatch(r"[\w-]{4,}", text) and text not in ("False", "True", "None"):
            found.add(f"(?i:{text})")
    return tuple(sorted(found))


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
