"""Shingles that do not see how things are called: MinHash for copies in which identifiers were renamed.

A token is a sign, a number, a keyword of the language's family, a word in a string, or a name; and of a name counts
only how many tokens ago it last stood in the window (parameterised matching, Baker 1993). So a window of 20 tokens
stays the same under every consistent renaming, of two names or of all, and changes when two names become one.

What keeps apart files that only have the same form: words in strings count as they are (translations, dispatch
tables, lists of imports); files of up to 160 tokens must agree in their comments too; fewer than 24 windows say
nothing; windows are compared as multisets, so that lists of other lengths differ; CSS and HTML have no names;
languages of different families never meet.
Signatures propose here and never decide: every pair is compared exactly.

What it does not do: see through a renaming that reaches into strings, or through reordered code. Files that a generator
made from one template with other names are renamed copies to it.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pyarrow as pa

from buril.code._keywords import FAMILIES, HASH, SLASHES, STARS
from buril.code.minhash import EMPTY, I64, U32, U64, Shingles, Texts, order

VERSION = 1
"""Goes up when the same text gives other shingles or another signature."""
WINDOW = 20
"""Tokens in a window."""
THRESHOLD = 0.8
"""Similarity (Jaccard of multisets of windows) from which two files are renamed copies."""
CANDIDATE = 0.45
"""Estimated similarity of the sets from which the multisets are compared."""
NAMELESS = frozenset({"css", "html"})
"""Languages whose words are no names: nothing in them can be renamed."""


def families(languages: pa.Array) -> I64:
    """The number of each file's family of languages; 0 for unknown ones, -1 for those without names."""
    found = languages.fill_null("").dictionary_encode()
    names = found.dictionary.to_pylist()
    of_name = np.array([-1 if name in NAMELESS else _family_of().get(name, 0) for name in names] or [0], dtype=np.int64)
    family_N: I64 = of_name[found.indices.to_numpy(zero_copy_only=False)]
    return family_N


@cache
def _family_of() -> dict[str, int]:
    return {name: number for number, (names, _style, _words) in enumerate(FAMILIES, 1) for name in names}


def sketch(texts: Texts, family_N: I64, *, num_perm: int = 128, size: int = WINDOW) -> U32:
    """Signatures (N, P) of texts."""
    from buril.code import _blind_kernel

    signatures_NP = np.full((len(family_N), num_perm), EMPTY, dtype=np.uint32)
    _blind_kernel.sketch(block_of(texts, family_N), size, room_of(texts), order(num_perm), signatures_NP)
    return signatures_NP


def shingles(texts: Texts, family_N: I64, size: int = WINDOW) -> Shingles:
    """Hashes of all windows."""
    from buril.code import _blind_kernel

    hashes = np.empty(len(texts.data), dtype=np.uint64)
    offsets_N1 = np.zeros(len(texts.offsets), dtype=np.int64)
    _blind_kernel.shingles(block_of(texts, family_N), size, room_of(texts), hashes, offsets_N1[1:])
    return Shingles(hashes[: offsets_N1[-1]], offsets_N1)


def block_of(texts: Texts, family_N: I64) -> Any:
    """Texts and their families as the kernels take them."""
    from buril.code import _blind_kernel

    return _blind_kernel.Block(texts.data, texts.offsets, family_N, _tables(), _styles())


def room_of(texts: Texts) -> Any:
    """Working memory for the longest of some texts."""
    from buril.code import _blind_kernel

    longest = int(np.diff(texts.offsets).max(initial=0))
    return _blind_kernel.Room(
        np.empty(longest, dtype=np.uint64),
        np.empty(longest, dtype=np.int64),
        np.empty(longest, dtype=np.int64),
        np.empty(longest, dtype=np.int64),
        np.zeros(_blind_kernel.SLOTS, dtype=np.uint64),
        np.zeros(_blind_kernel.SLOTS, dtype=np.int64),
    )


@cache
def _tables() -> U64:
    """The hashes of each family's keywords (F, K), in open addressing."""
    from buril.code import _kernel

    tables = np.zeros((len(FAMILIES) + 1, 1024), dtype=np.uint64)
    every = " ".join(words for _names, _style, words in FAMILIES)
    for family, words in enumerate((every, *(words for _names, _style, words in FAMILIES))):
        for name in sorted(set(words.split())):
            data = np.frombuffer(name.encode(), dtype=np.uint8)
            hashed = _kernel.word(data, np.uint64(0), np.uint64(len(data)))[1]
            slot = int(hashed) % 1024
            while tables[family, slot]:
                slot = (slot + 1) % 1024
            tables[family, slot] = hashed
    return tables


@cache
def _styles() -> I64:
    """How comments and strings look in each family."""
    return np.array([SLASHES | HASH | STARS, *(style for _names, style, _words in FAMILIES)], dtype=np.int64)
