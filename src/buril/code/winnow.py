"""Winnowing: fingerprints of a text by which it, or a good part of it, is known again after small edits.

A text is cut into lexical tokens by one rule for all languages, so that a snippet without a file's name is cut as
the file is: white space, comments, the kind of quotes, line continuations, semicolons, and commas before a closing
bracket do not count, which is what formatters change. Of the hashes of every `k` tokens in a row the least of each
window is kept, so two texts that share a run of `k + window - 1` tokens share a fingerprint. Two sets are made: one
in which names stand as they are, one in which every name that is no keyword is the same, and which so stands renaming.

`#` and `//` begin a comment in every language here: what follows a floor division of Python is read on neither side.

Source: Schleimer, Wilkerson, Aiken 2003, Winnowing: Local Algorithms for Document Fingerprinting (SIGMOD).
"""

from __future__ import annotations

import hashlib
import re
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

VERSION = 1
"""Of the tokens and hashes below: texts of two versions are not compared."""
NAMED, NAMELESS = (6, 4), (12, 6)
"""Tokens in a row and hashes in a window, with names and without: without them, short runs are everybody's."""
_PREPROCESSOR = "include|define|undef|if|ifdef|ifndef|elif|else|endif|error|pragma"
# a string of one line has a bound: quotes that nothing closes would each be followed to the end of the text
_TOKEN = re.compile(
    rf"""
    (?P<comment> /\*.*?(?:\*/|\Z) | //[^\n]* | \#(?!(?:{_PREPROCESSOR})\b|[!\[])[^\n]* )
  | (?P<string> [A-Za-z]{{0,2}}(?: \"\"\"(?:\\.|[^\\])*?(?:\"\"\"|\Z) | '''(?:\\.|[^\\])*?(?:'''|\Z)
      | "(?:\\.|[^"\\\n]){{0,1000}}" | '(?:\\.|[^'\\\n]){{0,1000}}' ) )
  | (?P<number> \d[\w.]* )
  | (?P<word> [^\W\d]\w* )
  | (?P<sign> [^\s\w] )
    """,
    re.VERBOSE | re.DOTALL,
)
_WORDS = (
    "and as assert async await break case catch class const continue def default del do elif else enum except export "
    "extends false False finally fn for from func function global if impl import in interface is lambda let match mut "
    "new nil None not null or package pass private protected public pub raise return self static struct super switch "
    "this throw trait true True try type typeof using var void while with yield contract mapping require"
)
_KEYWORDS = frozenset(_WORDS.split())
"""Of the common languages together: a name that is a keyword somewhere is kept everywhere."""
_DROPPED = frozenset(";\\")
_BASE = 0x9E37_79B9_7F4A_7C15
_MASK = (1 << 64) - 1


class Prints(NamedTuple):
    """The fingerprints of a text and the places, in tokens, of the first token that each covers."""

    hashes: NDArray[np.uint64]
    places: NDArray[np.int64]


def lexical(text: str) -> list[str]:
    """The lexical tokens of a text.

    Example:
        `lexical("f('a',)  # call")` → ["f", "(", '"a', ")"]
    """
    return placed(text)[0]


def placed(text: str) -> tuple[list[str], list[int]]:
    r"""The lexical tokens of a text, and where in it each begins.

    Example:
        `placed("a,\n b")` → (["a", ",", "b"], [0, 1, 4])
    """
    found: list[str] = []
    places: list[int] = []
    for match in _TOKEN.finditer(text):
        kind, lexeme = match.lastgroup, match[0]
        if kind == "comment" or lexeme in _DROPPED:
            continue
        if kind == "string":
            lexeme = _string(lexeme)
        elif kind == "number":
            lexeme = lexeme.lower()
        elif lexeme in ")]}" and found and found[-1] == ",":
            found.pop()
            places.pop()
        found.append(lexeme)
        places.append(match.start())
    return found, places


def _string(token: str) -> str:
    """A string without its kind of quotes; `"` before it says that it is one."""
    start = min(token.find(quote) for quote in "\"'" if quote in token)
    return f'{token[:start].lower()}"{token[start:].strip(token[start])}'


def nameless(tokens: list[str]) -> list[str]:
    """Tokens with one name in the place of all that are no keywords."""
    return ["a" if (token[0].isalpha() or token[0] == "_") and _is_name(token) else token for token in tokens]


def _is_name(token: str) -> bool:
    return token not in _KEYWORDS and '"' not in token


def digest(tokens: list[str]) -> str:
    """SHA-256 of some tokens, as hexadecimal."""
    return hashlib.sha256("\x1f".join(tokens).encode("utf-8", "surrogatepass")).hexdigest()


def prints(tokens: list[str], shape: tuple[int, int]) -> Prints:
    """The fingerprints of tokens by `shape`: tokens in a row, hashes in a window. None where there are fewer tokens.

    A hash is of 64 bits, and never one of the other shape's.
    """
    import numpy as np

    k, window = shape
    if len(tokens) < k:
        return Prints(np.zeros(0, np.uint64), np.zeros(0, np.int64))
    hash_N = np.array([_hash(token) for token in tokens], np.uint64)
    rows = len(tokens) - k + 1
    rolled_R = np.full(rows, k, np.uint64)
    for place in range(k):
        rolled_R = rolled_R * np.uint64(_BASE | 1) + hash_N[place : place + rows]
    mixed_R = _mixed(rolled_R)
    if rows <= window:
        places = np.array([rows - 1 - int(mixed_R[::-1].argmin())])
    else:
        views = np.lib.stride_tricks.sliding_window_view(mixed_R, window)
        last = window - 1 - views[:, ::-1].argmin(axis=1)  # the rightmost of equal ones, so that runs keep few
        places = np.unique(np.arange(len(views)) + last)
    return Prints(mixed_R[places], places.astype(np.int64))


def _mixed(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Spread every bit over the whole word (the finisher of splitmix64)."""
    import numpy as np

    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58_476D_1CE4_E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D0_49BB_1331_11EB)
    found: NDArray[np.uint64] = values ^ (values >> np.uint64(31))
    return found


@lru_cache(maxsize=65_536)
def _hash(token: str) -> int:
    found = hashlib.blake2b(token.encode("utf-8", "surrogatepass"), digest_size=8, person=b"buril winnow").digest()
    return int.from_bytes(found, "little") & _MASK
