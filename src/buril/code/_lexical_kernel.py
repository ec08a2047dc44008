"""The compiled loops of `buril.code.lexical`: texts to tokens, the lines that they stand on, and fingerprints.

Legend: N texts, T tokens, L lines that hold tokens, F fingerprints.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from buril.code._blind_kernel import Block, Room, tokens, window
from buril.code._kernel import SALT, compiled, mixed
from buril.code._keywords import STARS
from buril.code.minhash import I64, U32, U64

END = np.uint32(0xFFFFFFFF)
_LOW = np.uint64(0xFFFFFFFF)
_QUOTE = np.uint64(mixed(np.uint64(34) + SALT))
"""A quote is a quote: tools that lay code out anew change one kind into the other."""


class Streams(NamedTuple):
    """Where the results go; each has room for the bytes of all texts and one more a text."""

    tokens: U32
    line_tokens: U32
    lines: U32
    prints: U32
    places: U32


@compiled
def winnow(hashes: U64, step: int, base: int, streams: Streams, filled: int) -> int:
    """Keep the least hash of every `step` in a row, the last one of equals, once; all of fewer give one."""
    count = len(hashes)
    kept = -1
    for last in range(min(step, count) - 1, count):
        first = max(0, last - step + 1)
        if kept < first:
            kept = first
            for place in range(first + 1, last + 1):
                if hashes[place] <= hashes[kept]:
                    kept = place
        elif hashes[last] <= hashes[kept]:
            kept = last
        else:
            continue
        streams.prints[filled], streams.places[filled] = np.uint32(hashes[kept] & _LOW), base + kept
        filled += 1
    return filled


@compiled
def lex(block: Block, sizes: tuple[int, int], room: Room, streams: Streams, ends_N: I64) -> tuple[int, int, int]:
    """Cut all texts; gives the numbers of tokens, lines and fingerprints. `room` keeps where the last one's stand."""
    size, step = sizes
    filled, num_lines, num_prints = 0, 0, 0
    hashes = np.empty(len(room.code), dtype=np.uint64)
    for text in range(len(block.offsets_N1) - 1):
        family, at = block.family_N[text], block.offsets_N1[text]
        style = block.style_F[family] if family >= 0 else STARS
        count = tokens(block.data, (at, block.offsets_N1[text + 1]), block.keywords_FK[max(family, 0)], style, room)
        line, before = 1, 0
        for place in range(count):
            while at < room.start[place]:
                line += block.data[at] == 10
                at += 1
            if line != before:
                streams.line_tokens[num_lines], streams.lines[num_lines] = filled + place, line
                num_lines, before = num_lines + 1, line
            if block.data[at] == 39:
                room.code[place] = _QUOTE
            low = np.uint32(room.code[place] & _LOW)
            streams.tokens[filled + place] = low if low != END else np.uint32(0)
        num_windows, salt = count - size + 1 if family >= 0 else 0, mixed(np.uint64(max(family, 0)))
        for place in range(num_windows):
            hashes[place] = window(room.code, room.back, place, size) ^ salt
        if num_windows > 0:
            num_prints = winnow(hashes[:num_windows], step, filled, streams, num_prints)
        streams.tokens[filled + count] = END
        filled += count + 1
        ends_N[text] = filled
    return filled, num_lines, num_prints
