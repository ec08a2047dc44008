"""The compiled loops of `buril.code.blind`: bytes to tokens without names, and those to shingles and signatures.

Legend: N texts, F families of languages, K slots of a table of keywords, P bins of a signature.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from buril.code._kernel import BLACK, DIGIT, FACTOR, MIX, NAME, SALT, WORD, compiled, densify, drop, mixed, word
from buril.code._keywords import BACKTICK, DASHES, HASH, PARENS, PERCENT, SINGLE, SLASHES, STARS
from buril.code.minhash import I64, U8, U32, U64

SLOTS = 1 << 15
"""Places for the names of a text; two names that share one are taken for new each time they take turns."""
SHORT = 160
"""Up to this many tokens a text is short."""
LEAST = 24
"""Windows below which nothing is said of a text."""
COMMENTS = 1 << 8
"""A style in which comments are read like strings."""
_0, _1 = np.uint64(0), np.uint64(1)


class Block(NamedTuple):
    """Texts back to back, the family of each (-1: none), and each family's keywords (as hashes) and style."""

    data: U8
    offsets_N1: I64
    family_N: I64
    keywords_FK: U64
    style_F: I64


class Room(NamedTuple):
    """Working memory: tokens of a text, how far back each name was last seen, their bytes, and where names were."""

    code: U64
    back: I64
    start: I64
    stop: I64
    slot_name: U64
    slot_place: I64


@compiled
def is_keyword(table_K: U64, hashed: np.uint64) -> bool:
    """Whether a hash stands in a table (open addressing, 0 for an empty slot)."""
    mask = np.uint64(len(table_K) - 1)
    slot = hashed & mask
    while table_K[np.int64(slot)] != _0:
        if table_K[np.int64(slot)] == hashed:
            return True
        slot = (slot + _1) & mask
    return False


@compiled
def starts(data: U8, at: int, end: int, first: int, second: int) -> bool:
    """Whether two bytes stand at `at`."""
    return at + 1 < end and data[at] == first and data[at + 1] == second


@compiled
def after_comment(data: U8, at: int, end: int, style: int) -> int:
    """Where the comment that begins at `at` ends; `at` itself where none begins."""
    byte = data[at]
    line = (style & HASH and byte == 35) or (style & PERCENT and byte == 37)
    line = line or (style & SLASHES and starts(data, at, end, 47, 47))
    line = line or (style & DASHES and starts(data, at, end, 45, 45))
    if line:
        while at < end and data[at] != 10:
            at += 1
        return at
    stars, parens = style & STARS and starts(data, at, end, 47, 42), style & PARENS and starts(data, at, end, 40, 42)
    if not (stars or parens):
        return at
    last = 47 if stars else 41
    at += 2
    while at < end and not starts(data, at, end, 42, last):
        at += 1
    return min(at + 2, end)


@compiled
def after_string(data: U8, at: int, end: int, style: int) -> int:
    """Where the string that begins at `at` ends, quotes included; `at` itself where none begins.

    Three quotes reach to the next three and a backtick to the next; any other string ends with its line at the latest.
    """
    quote = data[at]
    if not (quote == 34 or (style & SINGLE and quote == 39) or (style & BACKTICK and quote == 96)):
        return at
    if starts(data, at, end, quote, quote):
        if not (at + 2 < end and data[at + 2] == quote):
            return at + 2
        at += 3
        while at < end and not (data[at] == quote and starts(data, at + 1, end, quote, quote)):
            at += 1
        return min(at + 3, end)
    at += 1
    while at < end and data[at] != quote and (quote == 96 or data[at] != 10):
        at += 2 if data[at] == 92 else 1
    return min(at + 1, end)


@compiled
def tokens(data: U8, span: tuple[int, int], keywords_K: U64, style: int, room: Room) -> int:
    """Cut a text into tokens; gives their number.

    Keywords, numbers, signs and what stands in strings are what they are; comments are nothing; every other word is a
    name, of which only counts how many tokens ago it was last seen (parameterised matching, Baker 1993): the same for
    all consistent renamings.
    """
    (at, end), count, string_end = span, 0, span[0]
    code, back, start, stop, slot_name, slot_place = room
    slot_name[:] = _0
    while at < end:
        byte = data[at]
        if not BLACK[byte]:
            at += 1
            continue
        if not WORD[byte]:
            if at >= string_end:
                after = after_comment(data, at, end, style)
                if after > at and not style & COMMENTS:
                    at = after
                    continue
                string_end = max(after, after_string(data, at, end, style))
            code[count], back[count] = mixed(np.uint64(byte) + SALT), -1
            start[count], stop[count] = at, at + 1
            at += 1
        else:
            is_number = DIGIT[byte]
            after_word, hashed = word(data, np.uint64(at), np.uint64(end))
            start[count], stop[count] = at, np.int64(after_word)
            at = np.int64(after_word)
            code[count], back[count] = mixed(hashed), -1
            if not (is_number or at <= string_end or is_keyword(keywords_K, hashed)):
                slot = np.int64(code[count] & np.uint64(SLOTS - 1))
                back[count] = count - slot_place[slot] if slot_name[slot] == hashed else 0
                slot_name[slot], slot_place[slot] = hashed, count
        count += 1
    return count


@compiled
def cut(block: Block, text: int, room: Room) -> int:
    """The tokens of a text; a short one must agree in its comments as well, for so little code is alike by chance."""
    family = block.family_N[text]
    if family < 0:
        return 0
    span = (block.offsets_N1[text], block.offsets_N1[text + 1])
    keywords_K, style = block.keywords_FK[family], block.style_F[family]
    count = tokens(block.data, span, keywords_K, style, room)
    return count if count > SHORT else tokens(block.data, span, keywords_K, style | COMMENTS, room)


@compiled
def window(code: U64, back: I64, start: int, size: int) -> np.uint64:
    """The hash of `size` tokens in a row; a name first seen before them counts as new."""
    total = _0
    for place in range(size):
        value, ago = code[start + place], back[start + place]
        if ago >= 0:
            value = NAME + (np.uint64(ago) * MIX if ago <= place else _0)
        total = (total + value) * FACTOR
    return mixed(total)


@compiled
def shingles(block: Block, size: int, room: Room, hashes: U64, ends_N: I64) -> None:
    """Hashes of all windows of all texts, as in `_kernel.shingles`; a text of fewer than `LEAST` has none."""
    filled = 0
    for text in range(len(block.offsets_N1) - 1):
        count, salt = cut(block, text, room), mixed(np.uint64(block.family_N[text]))
        for start in range(count - size + 1 if count - size + 1 >= LEAST else 0):
            hashes[filled] = window(room.code, room.back, start, size) ^ salt
            filled += 1
        ends_N[text] = filled


@compiled
def sketch(block: Block, size: int, room: Room, order_PP: I64, signatures_NP: U32) -> None:
    """Signatures over the windows, as in `_kernel.sketch`."""
    before_P = np.empty(signatures_NP.shape[1], dtype=np.uint32)
    for text in range(len(block.offsets_N1) - 1):
        count, salt = cut(block, text, room), mixed(np.uint64(block.family_N[text]))
        signature_P = signatures_NP[text]
        for start in range(count - size + 1 if count - size + 1 >= LEAST else 0):
            drop(window(room.code, room.back, start, size) ^ salt, signature_P)
        densify(signature_P, order_PP, before_P)
