"""The compiled loops of `buril.code.minhash`: bytes to words, shingles, signatures and digests. Plain Python to numba.

Nothing here is called per text from Python: each function takes a block of texts as one array of bytes and the
offsets of its texts. `tests/data/plain.py` says the same in a page of slow Python; both must agree to the last bit.

numba keeps the machine code beside this file or, where that folder can't be written, in the user's cache folder
(`NUMBA_CACHE_DIR` names another); where no folder can be written each process compiles for itself, which takes some
seconds. Importing this module imports numba: `buril.code.minhash` does so on first use.

Legend: N texts, S shingles, P bins of a signature, B bands, F families of languages, K slots of a table of keywords.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar, cast

import numba
import numpy as np
import numpy.typing as npt

U8 = npt.NDArray[np.uint8]
U32 = npt.NDArray[np.uint32]
U64 = npt.NDArray[np.uint64]
I64 = npt.NDArray[np.int64]
Function = TypeVar("Function", bound=Callable[..., object])


def compiled(function: Function) -> Function:
    """The function in machine code, kept on disk where some folder takes it."""
    try:
        return cast(Function, numba.njit(cache=True)(function))
    except RuntimeError:  # "no locator available": every folder that numba knows is read-only
        return cast(Function, numba.njit(function))


WORD = np.array([code >= 0x80 or chr(code).isalnum() or chr(code) == "_" for code in range(256)], dtype=np.bool_)
"""Bytes that words are made of."""
BLACK = np.array([chr(code) not in " \t\r\n\f\v" for code in range(256)], dtype=np.uint8)
"""Bytes that are not white space."""
DIGIT = np.array([chr(code) in "0123456789" for code in range(256)], dtype=np.bool_)
EMPTY = np.uint32(0xFFFFFFFF)
FACTOR, MIX, SALT = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
NAME = np.uint64(0xD1B54A32D192ED03)
"""Stands for an identifier in the blind shingles."""
_0, _1, _8, _29, _32, _64 = (np.uint64(number) for number in (0, 1, 8, 29, 32, 64))


@compiled
def mixed(value: np.uint64) -> np.uint64:
    """Every bit of a value spread over the others (multiply and fold, as in splitmix64)."""
    value = (value ^ (value >> _32)) * MIX
    value = (value ^ (value >> _29)) * SALT
    value ^= value >> _32
    return value


@compiled
def word(data: U8, at: np.uint64, end: np.uint64) -> tuple[np.uint64, np.uint64]:
    """Where the word that begins at `at` ends, and its hash: its bytes, eight at a time, multiplied and folded.

    Places are unsigned here: for numba that spares the question whether one counts from the end, a tenth of the time.
    """
    hashed, piece, shift = _0, _0, _0
    while at < end:
        byte = data[at]
        if not WORD[byte]:
            break
        piece |= np.uint64(byte) << shift
        shift += _8
        at += _1
        if shift == _64:
            hashed = (hashed ^ piece) * MIX
            hashed ^= hashed >> _32
            piece, shift = _0, _0
    if shift != _0:
        hashed = (hashed ^ piece) * MIX
        hashed ^= hashed >> _32
    return at, hashed


@compiled
def drop(hashed: np.uint64, signature_P: U32) -> None:
    """Put a shingle into its bin: the upper half of the hash chooses it, the lower half is the value."""
    place = np.int64(((hashed >> _32) * np.uint64(len(signature_P))) >> _32)
    value = min(np.uint32(hashed & np.uint64(0xFFFFFFFF)), np.uint32(0xFFFFFFFE))
    if value < signature_P[place]:  # noqa: PLR1730  seldom true, so cheaper than always writing
        signature_P[place] = value


@compiled
def densify(signature_P: U32, order_PP: I64, before_P: U32) -> None:
    """Fill the empty bins of one signature; bin p takes the first full one in the order `order_PP[p]`."""
    num_full = 0
    for place in range(len(signature_P)):
        num_full += signature_P[place] != EMPTY
    if num_full in (0, len(signature_P)):
        return
    before_P[:] = signature_P
    for place in range(len(signature_P)):
        attempt = 0
        while signature_P[place] == EMPTY:
            signature_P[place] = before_P[order_PP[place, attempt]]
            attempt += 1


@compiled
def sketch(data: U8, offsets_N1: I64, size: int, order_PP: I64, signatures_NP: U32) -> None:
    """Signatures of texts over shingles of `size` words; `signatures_NP` comes filled with `EMPTY`."""
    ring, before_P = np.zeros(size, dtype=np.uint64), np.empty(signatures_NP.shape[1], dtype=np.uint32)
    highest = _1
    for _place in range(size):
        highest *= FACTOR
    for text in range(len(offsets_N1) - 1):
        at, end = np.uint64(offsets_N1[text]), np.uint64(offsets_N1[text + 1])
        total, count, oldest = _0, 0, 0
        ring[:] = _0
        while True:
            while at < end and not WORD[data[at]]:
                at += _1
            if at >= end:
                break
            at, hashed = word(data, at, end)
            total = (total + hashed - ring[oldest]) * FACTOR
            ring[oldest] = hashed * highest
            oldest = oldest + 1 if oldest + 1 < size else 0
            count += 1
            if count >= size:
                drop(mixed(total), signatures_NP[text])
        if 0 < count < size:
            drop(mixed(total), signatures_NP[text])
        densify(signatures_NP[text], order_PP, before_P)


@compiled
def shingles(data: U8, offsets_N1: I64, size: int, hashes: U64, ends_N: I64) -> None:
    """Hashes of all shingles back to back; `ends_N[i]` is where those of text i end. `hashes` must have room."""
    ring = np.zeros(size, dtype=np.uint64)
    highest, filled = _1, 0
    for _place in range(size):
        highest *= FACTOR
    for text in range(len(offsets_N1) - 1):
        at, end = np.uint64(offsets_N1[text]), np.uint64(offsets_N1[text + 1])
        total, count, oldest = _0, 0, 0
        ring[:] = _0
        while True:
            while at < end and not WORD[data[at]]:
                at += _1
            if at >= end:
                break
            at, hashed = word(data, at, end)
            total = (total + hashed - ring[oldest]) * FACTOR
            ring[oldest] = hashed * highest
            oldest = oldest + 1 if oldest + 1 < size else 0
            count += 1
            if count >= size:
                hashes[filled] = mixed(total)
                filled += 1
        if 0 < count < size:
            hashes[filled] = mixed(total)
            filled += 1
        ends_N[text] = filled


@compiled
def digests(data: U8, offsets_N1: I64, room_8: U8, digests_N2: U64) -> None:
    """128-bit digests of texts without their ASCII white space: two chains of multiply and fold, and the length.

    `room_8` holds the longest text and eight bytes more, and its length is a multiple of eight.
    """
    pieces = room_8.view(np.uint64)
    for text in range(len(offsets_N1) - 1):
        count = 0
        for at in range(offsets_N1[text], offsets_N1[text + 1]):
            byte = data[at]
            room_8[count] = byte
            count += BLACK[byte]
        room_8[count : count + 8] = 0
        left, right = FACTOR, SALT
        for place in range(count // 8 + 1):
            left, right = (left ^ pieces[place]) * MIX, (right ^ pieces[place]) * NAME
            left, right = left ^ (left >> _32), right ^ (right >> _29)
        digests_N2[text, 0] = mixed(left + np.uint64(count))
        digests_N2[text, 1] = mixed(right + np.uint64(count))


@compiled
def band_keys(signatures_NP: U32, keys_BN: U64) -> None:
    """One key per band and text; band b holds the bins b, b + B, b + 2B and so on."""
    bands = len(keys_BN)
    for text in range(len(signatures_NP)):
        for band in range(bands):
            key = _0
            for place in range(band, signatures_NP.shape[1], bands):
                key = mixed(key * FACTOR + np.uint64(signatures_NP[text, place]) + _1)
            keys_BN[band, text] = key
