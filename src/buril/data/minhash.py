"""MinHash over word shingles of source code, in numpy: texts → shingles → signatures → verified clusters.

A token is a run of ASCII letters, digits, `_` and of bytes above 0x7F (whatever is not ASCII counts as a letter); a
shingle is five tokens in a row. Signatures use one-permutation hashing (Li, Owen and Zhang 2012) with optimal
densification (Shrivastava 2017): one hash a shingle instead of 128, for the same error. Banding (32 bands of 4)
proposes pairs, signatures verify them, and where a signature can't decide the shingle sets do.

No loop runs per token or per shingle in Python; memory beside the input is a few times `BLOCK_BYTES`. Everything is
a function of the texts alone: no seed, no order, no number of workers.

What it does not do: see through renamed identifiers (those files share few shingles), or compare single functions.

Legend: N texts, T tokens, S shingles, P bins of a signature, B bands, M pairs.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

U8 = npt.NDArray[np.uint8]
U32 = npt.NDArray[np.uint32]
U64 = npt.NDArray[np.uint64]
I64 = npt.NDArray[np.int64]
F64 = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]

VERSION = 1
"""Goes up when the same text gives other shingles or another signature."""
SHINGLE, NUM_PERM, BANDS = 5, 128, 32
BLOCK_BYTES = 1 << 18
"""Texts are worked on in blocks of about this size: small enough for the cache, large enough for numpy's overhead."""
EMPTY = np.uint32(0xFFFFFFFF)
"""A bin that no shingle fell into."""
PAIRS_AT_ONCE = 1 << 12
"""Pairs of sets that are compared in one sort."""
MAX_ROUNDS = 64
"""In one bucket a text is compared with at most this many others; buckets that large are boilerplate."""

_WORD = bytes(int(code >= 0x80 or chr(code).isalnum() or chr(code) == "_") for code in range(256))
_PIECE = 8  # bytes hashed at once
_MASK_9 = np.array([(1 << (8 * length)) - 1 for length in range(_PIECE + 1)], dtype=np.uint64)
_GOLDEN, _MIX, _SALT = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
_64, _32, _29 = np.uint64(64), np.uint64(32), np.uint64(29)
_PAIR_SHIFT = np.uint64(52)
_PAIRS = 1 << 13  # pairs compared at once: 8 MB of signatures


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

    def unique(self, index: int) -> U64:
        """The set of a text, sorted."""
        found = np.sort(self.hashes[self.offsets[index] : self.offsets[index + 1]])
        first: U64 = found[np.concatenate([[True], found[1:] != found[:-1]])[: len(found)]]
        return first


def shingles(texts: Texts, size: int = SHINGLE) -> Shingles:
    """Hashes of all runs of `size` tokens; a text of 1 to `size` - 1 tokens is one shingle, one of none has none.

    Example:
        `shingles(Texts.of([b"a b c d e f", b"a b", b"{}"])).offsets` → `[0, 2, 3, 3]`
    """
    num_texts = len(texts.offsets) - 1
    tokens_T, first_N1 = _tokens(texts)
    count_N = np.diff(first_N1)
    padded = np.concatenate([tokens_T, np.zeros(size, dtype=np.uint64)])
    hashes_T = np.zeros(len(tokens_T), dtype=np.uint64)
    short = np.flatnonzero((count_N > 0) & (count_N < size))
    hashes_short = np.zeros(len(short), dtype=np.uint64)
    keep_T = np.ones(len(tokens_T), dtype=np.bool_)
    for place in range(size):  # a sum of tokens, each times its own odd factor: depends on their order
        factor = np.uint64(pow(int(_GOLDEN), place + 1, 1 << 64))
        hashes_T += padded[place : place + len(tokens_T)] * factor
        inside = count_N[short] > place
        hashes_short[inside] += padded[first_N1[short[inside]] + place] * factor
        if place:
            keep_T[first_N1[1:][count_N >= place] - place] = False  # a run that would reach into the next text
    keep_T[first_N1[short]] = True
    hashes_T[first_N1[short]] = hashes_short
    offsets_N1 = np.zeros(num_texts + 1, dtype=np.int64)
    np.cumsum(np.where(count_N >= size, count_N - size + 1, count_N > 0), out=offsets_N1[1:])
    return Shingles(_mixed(hashes_T[keep_T]), offsets_N1)


def _tokens(texts: Texts) -> tuple[U64, I64]:
    """Hash of each token (T), and the first token of each text with the total at the end (N + 1)."""
    # One byte before, so that a first token has an edge; eight after, so that a piece can be read at the last one.
    block = b"".join((b" ", texts.data.data, bytes(_PIECE)))
    word = np.frombuffer(block.translate(_WORD), dtype=np.uint8)
    edges = np.flatnonzero(word[1:] != word[:-1]) + 1
    border_N1 = texts.offsets + 1
    glued = np.unique(border_N1[1:-1][(word[border_N1[1:-1]] & word[border_N1[1:-1] - 1]) == 1])
    if glued.size:  # a text that ends within a word where the next begins with one
        edges = np.sort(np.concatenate([edges, glued, glued]), kind="stable")
    starts_T, ends_T = edges[0::2], edges[1::2]
    pieces = np.ndarray((len(block) - _PIECE + 1,), dtype="<u8", buffer=block, strides=(1,))
    length_T = ends_T - starts_T
    hashes_T = _mixed(pieces[starts_T] & _MASK_9[np.minimum(length_T, _PIECE)])
    long = np.flatnonzero(length_T > _PIECE)
    if long.size:
        hashes_T[long] = _mixed(hashes_T[long] + _tails(pieces, starts_T[long] + _PIECE, length_T[long] - _PIECE))
    return hashes_T, np.searchsorted(starts_T, border_N1)


def _tails(pieces: U64, starts: I64, lengths: I64) -> U64:
    """Hash of what follows the first piece of long tokens: the sum of their pieces, each mixed with its place."""
    num_pieces = (lengths + _PIECE - 1) // _PIECE
    first = np.cumsum(num_pieces) - num_pieces
    place = np.arange(int(num_pieces.sum())) - np.repeat(first, num_pieces)
    left = np.repeat(lengths, num_pieces) - place * _PIECE
    piece = pieces[np.repeat(starts, num_pieces) + place * _PIECE] & _MASK_9[np.minimum(left, _PIECE)]
    hashed: U64 = np.add.reduceat(_mixed(piece + (place.astype(np.uint64) + np.uint64(1)) * _SALT), first)
    return hashed


def _mixed(values: U64) -> U64:
    """A copy of 64-bit values with every bit spread over the others (multiply and fold, as in splitmix64)."""
    mixed: U64 = values ^ (values >> _32)
    mixed *= _MIX
    mixed ^= mixed >> _29
    mixed *= _SALT
    mixed ^= mixed >> _32
    return mixed


def sketch(texts: Texts, *, size: int = SHINGLE, num_perm: int = NUM_PERM) -> U32:
    """Signatures (N, P) of texts; a text without tokens keeps `EMPTY` in all bins and resembles nothing."""
    signatures_NP = np.full((len(texts.offsets) - 1, num_perm), EMPTY, dtype=np.uint32)
    for first, last in texts.blocks():
        found = shingles(texts.take(first, last), size)
        flat = signatures_NP[first:last].reshape(-1)
        bin_S = (((found.hashes >> _32) * np.uint64(num_perm)) >> _32).astype(np.int64)
        bin_S += np.repeat(np.arange(last - first) * num_perm, np.diff(found.offsets))
        np.minimum.at(flat, bin_S, np.minimum(found.hashes.astype(np.uint32), EMPTY - np.uint32(1)))
    return densify(signatures_NP)


def densify(signatures_NP: U32) -> U32:
    """Fill empty bins from full ones of the same text, each from one drawn evenly (Shrivastava 2017), in bounded time.

    Every bin has a fixed random order of all bins and takes the first full one, which is an even draw among the full
    ones, the same for all texts with the same full bins.
    """
    num_perm = signatures_NP.shape[1]
    order_PP = np.argsort(_mixed(np.arange(1, num_perm**2 + 1, dtype=np.uint64)).reshape(num_perm, num_perm), axis=1)
    empty_NP = signatures_NP == EMPTY
    rows, bins = np.nonzero(empty_NP & ~empty_NP.all(axis=1, keepdims=True))
    dense_NP: U32 = signatures_NP.copy()
    for attempt in range(num_perm):
        if not rows.size:
            break
        values = signatures_NP[rows, order_PP[bins, attempt]]
        hit = values != EMPTY
        dense_NP[rows[hit], bins[hit]] = values[hit]
        rows, bins = rows[~hit], bins[~hit]
    return dense_NP


def similarity(signatures_NP: U32, left_M: I64, right_M: I64) -> F64:
    """Estimated Jaccard similarity of pairs of texts: the share of equal bins (standard error ≤ 0.5 / √P)."""
    found_M = np.zeros(len(left_M), dtype=np.float64)
    for start in range(0, len(left_M), _PAIRS):
        left, right = left_M[start : start + _PAIRS], right_M[start : start + _PAIRS]
        equal = (signatures_NP[left] == signatures_NP[right]) & (signatures_NP[left] != EMPTY)
        found_M[start : start + _PAIRS] = equal.mean(axis=1)
    return found_M


def jaccard(left: Sequence[U64], right: Sequence[U64]) -> F64:
    """Jaccard similarities (M) of pairs of shingle sets, at most `PAIRS_AT_ONCE`; 0 where both are empty.

    Exact but for collisions: of each hash 52 bits count, the others hold the number of the pair, so that one sort does.
    """
    size_M = np.array([len(item) for item in left], dtype=np.int64) + [len(item) for item in right]
    number = np.arange(len(size_M), dtype=np.uint64) << _PAIR_SHIFT
    lengths = [len(item) for item in left] + [len(item) for item in right]
    keys = np.concatenate([np.zeros(0, dtype=np.uint64), *left, *right]) >> (_64 - _PAIR_SHIFT)
    keys |= np.repeat(np.concatenate([number, number]), lengths)
    keys.sort()
    common_M = np.bincount((keys[1:][keys[1:] == keys[:-1]] >> _PAIR_SHIFT).astype(np.int64), minlength=len(size_M))
    return common_M / np.maximum(size_M - common_M, 1)


def margin(threshold: float, num_perm: int = NUM_PERM) -> float:
    """How far from the threshold a signature decides alone: two standard errors."""
    return float(2 * np.sqrt(threshold * (1 - threshold) / num_perm))


def band_keys(signatures_NP: U32, bands: int = BANDS) -> U64:
    """One 64-bit key per band (B, N): texts that agree on all rows of a band have the same key there.

    Texts without tokens have keys as well; `similarity` keeps them apart.
    """
    num_texts, num_perm = signatures_NP.shape
    rows = num_perm // bands
    keys_BN = np.zeros((bands, num_texts), dtype=np.uint64)
    for row in range(rows):
        keys_BN = _mixed(keys_BN * _GOLDEN + signatures_NP[:, row::rows].T + np.uint64(row + 1))
    return keys_BN


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


class Linked(NamedTuple):
    """What signatures alone can say: clusters of sure pairs, and the pairs in doubt (M, 2), the likeliest first."""

    forest: Forest
    doubt: I64


def link(signatures_NP: U32, *, threshold: float, bands: int = BANDS) -> Linked:
    """Join all pairs that share a band key and whose estimate is surely above the threshold; collect those in doubt.

    A pair already joined through others is not looked at again: that changes no cluster. The clusters do not depend
    on the order of the texts, but for buckets that need more than `MAX_ROUNDS` rounds (give the texts in an order of
    their own, such as by hash, and the result does not depend on the caller's either).
    """
    forest = Forest(len(signatures_NP))
    width = margin(threshold, signatures_NP.shape[1])
    doubts = [np.zeros((0, 2), dtype=np.int64)]
    for keys_N in band_keys(signatures_NP, bands):
        for left, right in _proposals(keys_N, forest):
            estimate_M = similarity(signatures_NP, left, right)
            sure = estimate_M >= threshold + width
            forest.unite(left[sure], right[sure])
            unsure = ~sure & (estimate_M >= threshold - width)
            doubts.append(np.stack([left[unsure], right[unsure]], axis=1))
    doubt_M2 = np.unique(np.sort(np.concatenate(doubts), axis=1), axis=0)
    doubt_M2 = doubt_M2[forest.roots(doubt_M2[:, 0]) != forest.roots(doubt_M2[:, 1])]
    estimate_M = similarity(signatures_NP, doubt_M2[:, 0], doubt_M2[:, 1])
    return Linked(forest, doubt_M2[np.argsort(-estimate_M, kind="stable")])


def _proposals(keys_N: U64, forest: Forest) -> Iterator[tuple[I64, I64]]:
    """Pairs of texts with the same key that are not in one cluster yet: neighbours first, then two apart, and so on."""
    members = np.argsort(keys_N, kind="stable")
    keys = keys_N[members]
    for step in range(1, MAX_ROUNDS + 1):
        same = keys[step:] == keys[:-step]
        if not same.any():
            return
        left, right = members[:-step][same], members[step:][same]
        apart = forest.roots(left) != forest.roots(right)
        if apart.any():
            yield left[apart], right[apart]
        open_buckets = _open(keys, forest.roots(members))
        members, keys = members[open_buckets], keys[open_buckets]


def _open(keys: U64, roots: I64) -> Flags:
    """Which members stand in a bucket that still holds more than one cluster (keys are sorted)."""
    new_bucket = np.concatenate([[True], keys[1:] != keys[:-1]])
    bucket = np.cumsum(new_bucket) - 1
    differs = ~new_bucket[1:] & (roots[1:] != roots[:-1])
    is_open: Flags = np.zeros(int(bucket[-1]) + 1 if len(bucket) else 0, dtype=np.bool_)
    is_open[bucket[1:][differs]] = True
    found: Flags = is_open[bucket]
    return found
