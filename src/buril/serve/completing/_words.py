"""Words of code: identifiers, and the parts they are made of."""

from __future__ import annotations

import re
from functools import lru_cache

from buril.code.language import languages
from buril.code.parse import keywords

_IDENTIFIER = re.compile(r"[A-Za-z_]\w+")
_PART = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")
_MOST_PARTS = 8


def identifiers(text: str) -> list[str]:
    """The identifiers of a text, in order; strings and comments are read alike."""
    return _IDENTIFIER.findall(text)


@lru_cache(maxsize=100_000)
def parts(identifier: str) -> tuple[str, ...]:
    """The words that an identifier is made of, and itself, in lower case; single letters left out.

    Example:
        `parts("parseHTTPHeader_v2")` → ("parsehttpheader_v2", "parse", "http", "header")
    """
    found = [part.lower() for part in _PART.findall(identifier) if len(part) > 1][:_MOST_PARTS]
    return tuple(dict.fromkeys((identifier.lower(), *found)))


def terms(text: str) -> list[str]:
    """What a text is found by."""
    return [part for word in identifiers(text) for part in parts(word)]


def own(names: list[str], language: str) -> list[str]:
    """The names that are not words of the language itself, each once, in order."""
    known = {word.decode() for word in keywords(language)} if language in languages() else set()
    return [name for name in dict.fromkeys(names) if name not in known and len(name) > 2]
