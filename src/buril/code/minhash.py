"""MinHash over word shingles of source code: texts → shingles, signatures, band keys. The loops are `_kernel`'s.

A token is a run of ASCII letters, digits, `_` and of bytes above 0x7F (whatever is not ASCII counts as a letter); a
shingle is five tokens in a row. Signatures use one-permutation hashing (Li, Owen and Zhang 2012) with optimal
densification (Shrivastava 2017): one hash a shingle instead of 128, for the same error. Banding (32 bands of 4)
proposes pairs, signatures verify them, and where a signature can't decide the shingle sets do (`buril.data._pairs`).

Everything is a function of the texts alone: no seed, no order, no number of workers. The first use in a process loads
the compiled kernel (0.2 s), the first use on a machine compiles it (some 10 s, kept on disk).

What it does not do: see through renamed identifiers (`buril.code.blind` does), or compare single functions.

Legend: N texts, S shingles, P bins of a signature, B bands, M pairs.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

U8 = npt.NDArray[np.uint8]
U32 = npt.NDArray[np.uint32]
U64 = npt.NDArray[np.uint64]
I64 = npt.NDArray[np.int64]
F64 = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]

VERSION = 2
"""Goes up when the same text gives other shingles or another signature."""
SHINGLE, NUM_PERM, BANDS = 5, 128, 32
BLOCK_BYTES = 1 << 20
"""Texts whose shingles are listed are worked on in blocks of about this size; the list takes eight times as much."""
EMPTY = np.uint32(0xFFFFFFFF)
"""A bin that no shingle fell into."""


class Texts(NamedTuple):
    """Texts back to back: text i is `data_bytes[offsets_N1[i]:offsets_N1[i + 1]]`, as UTF-8 (Arrow's layout)."""

    data: U8
    offsets: I64

    @classmethod
    def of(cls, texts: list[bytes]) -> Texts:
        """Lay out a list of texts."""
        offsets_N1 = np.zeros(len(texts) + 1, dtype=np.int64)
        np.cumsum([len(text) for text in texts], out=offsets_N1[1:])
        return cls(np.frombuffer(b"".join(texts), dtype=np.uint8), offsets_N1)

    def take(self, first: int, last: int) -> Texts:
        """The texts `first` to `last` (exclusive), without a copy."""
        start, end = int(self.offsets[first]), int(self.offsets[last])
        return Texts(self.data[start:end], self.offsets[first : last + 1] - start)

    def blocks(self, num_bytes: int = BLOCK_BYTES) -> Iterator[tuple[int, int]]:
        """Ranges of texts of about `num_bytes` together; a larger text is a block of its own."""
        first, num_texts = 0, len(self.offsets) - 1
        while first < num_texts:
            last = int(np.searchsorted(self.offsets, self.offsets[first] + num_bytes, side="right")) - 1
            last = min(max(last, first + 1), num_texts)
            yield first, last
            first = last


class Shingles(NamedTuple):
    """Shingle hashes back to back, in the order of the text, repeats kept: text i has `offsets_N1[i:i + 2]`."""

    hashes: U64
    offsets: I64

    def of(self, index: int) -> U32:
        """The shingles of a text, as the lower halves of their hashes.

        Half is enough: of two texts of 10,000 shingles that share none, 0.02 look shared.
        """
        found: U32 = self.hashes[self.offsets[index] : self.offsets[index + 1]].astype(np.uint32)
        return found

    def unique(self, index: int) -> U32:
        """The set of a text, sorted."""
        found = np.sort(self.of(index))
        first: U32 = found[np.concatenate([[True], found[1:] != found[:-1]])[: len(found)]]
        return first


def shingles(texts: Texts, size: int = SHINGLE) -> Shingles:
    """Hashes of all runs of `size` tokens; a text of 1 to `size` - 1 tokens is one shingle, one of none has none.

    Example:
        `shingles(Texts.of([b"a b c d e f", b"a b", b"{}"])).offsets` → `[0, 2, 3, 3]`
    """
    from buril.code import _kernel

    num_texts = len(texts.offsets) - 1
    hashes = np.empty(len(texts.data) // 2 + num_texts, dtype=np.uint64)  # a word needs a byte and one beside it
    offsets_N1 = np.zeros(num_texts + 1, dtype=np.int64)
    _kernel.shingles(texts.data, texts.offsets, size, hashes, offsets_N1[1:])
    return Shingles(hashes[: offsets_N1[-1]], offsets_N1)


def sketch(texts: Texts, *, size: int = SHINGLE, num_perm: int = NUM_PERM) -> U32:
    """Signatures (N, P) of texts; a text without tokens keeps `EMPTY` in all bins and resembles nothing."""
    from buril.code import _kernel

    signatures_NP = np.full((len(texts.offsets) - 1, num_perm), EMPTY, dtype=np.uint32)
    _kernel.sketch(texts.data, texts.offsets, size, order(num_perm), signatures_NP)
    return signatures_NP


def digests(texts: Texts) -> U64:
    """128-bit digests (N, 2) of texts once all ASCII white space is removed: good against chance, not malice."""
    from buril.code import _kernel

    longest = int(np.diff(texts.offsets).max(initial=0))
    found_N2 = np.empty((len(texts.offsets) - 1, 2), dtype=np.uint64)
    _kernel.digests(texts.data, texts.offsets, np.empty((longest + 23) // 8 * 8, dtype=np.uint8), found_N2)
    return found_N2


def band_keys(signatures_NP: U32, bands: int = BANDS) -> U64:
    """One 64-bit key per band (B, N): texts that agree on all rows of a band have the same key there.

    Texts without tokens have keys as well; whoever compares pairs keeps them apart.
    """
    from buril.code import _kernel

    keys_BN = np.empty((bands, len(signatures_NP)), dtype=np.uint64)
    _kernel.band_keys(signatures_NP, keys_BN)
    return keys_BN


@cache
def order(num_perm: int) -> I64:
    """For every bin (P) a fixed random order of all bins, in which an empty one looks for a full one.

    That is an even draw among the full bins, the same for all texts with the same full bins, in bounded time
    (Shrivastava 2017 draws by hashing until it hits).
    """
    values = np.arange(1, num_perm**2 + 1, dtype=np.uint64)
    values = (values ^ (values >> np.uint64(32))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(29))) * np.uint64(0x94D049BB133111EB)
    values ^= values >> np.uint64(32)
    found_PP: I64 = np.argsort(values.reshape(num_perm, num_perm), axis=1, kind="stable").astype(np.int64)
    return found_PP


def similarity(signatures_NP: U32, left_M: I64, right_M: I64) -> F64:
    """Estimated Jaccard similarity of pairs of texts: the share of equal bins (standard error ≤ 0.5 / √P)."""
    left, right = signatures_NP[left_M], signatures_NP[right_M]
    found_M: F64 = ((left == right) & (left != EMPTY)).mean(axis=1)
    return found_M


def margin(threshold: float, num_perm: int = NUM_PERM) -> float:
    """How far from the threshold a signature decides alone: two standard errors."""
    return float(2 * np.sqrt(threshold * (1 - threshold) / num_perm))


class Forest:
    """Union-find over texts, on arrays. The root of a cluster is its smallest member, whatever the order of edges."""

    def __init__(self, num_texts: int) -> None:
        self._parent = np.arange(num_texts, dtype=np.int64)

    def roots(self, texts: I64) -> I64:
        """The root of each text."""
        found = self._parent[texts]
        while True:
            above = self._parent[found]
            if np.array_equal(above, found):
                break
            found = above
        self._parent[texts] = found
        return found

    def unite(self, left: I64, right: I64) -> None:
        """Join the clusters of pairs."""
        while left.size:
            left, right = self.roots(left), self.roots(right)
            apart = left != right
            left, right = left[apart], right[apart]
            np.minimum.at(self._parent, np.maximum(left, right), np.minimum(left, right))

    def all(self) -> I64:
        """The root of every text."""
        return self.roots(np.arange(len(self._parent), dtype=np.int64))
