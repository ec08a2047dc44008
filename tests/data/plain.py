"""The kernels of `buril.code.minhash` and `buril.code.blind` once more, in slow and plain Python: the oracle of tests."""

from __future__ import annotations

import re
from collections.abc import Sequence

WORD = re.compile(rb"[A-Za-z0-9_\x80-\xff]+")
FACTOR, MIX, SALT, NAME = 0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB, 0xD1B54A32D192ED03
ALL = (1 << 64) - 1
EMPTY = 0xFFFFFFFF


def mixed(value: int) -> int:
    value = (value ^ (value >> 32)) * MIX & ALL
    value = (value ^ (value >> 29)) * SALT & ALL
    return value ^ (value >> 32)


def token(word: bytes) -> int:
    hashed = 0
    for start in range(0, len(word), 8):
        hashed = (hashed ^ int.from_bytes(word[start : start + 8], "little")) * MIX & ALL
        hashed ^= hashed >> 32
    return hashed


def run(tokens: Sequence[int]) -> int:
    return mixed(sum(value * pow(FACTOR, len(tokens) - place) for place, value in enumerate(tokens)) & ALL)


def shingles(text: bytes, size: int) -> list[int]:
    tokens = [token(word) for word in WORD.findall(text)]
    return [run(tokens[at : at + size]) for at in range(max(1, len(tokens) - size + 1))] if tokens else []


def signature(hashes: Sequence[int], order: Sequence[Sequence[int]]) -> list[int]:
    bins = [EMPTY] * len(order)
    for value in hashes:
        place = (value >> 32) * len(order) >> 32
        bins[place] = min(bins[place], value & EMPTY, EMPTY - 1)
    if not hashes:
        return bins
    return [next(bins[other] for other in (place, *order[place]) if bins[other] != EMPTY) for place in range(len(bins))]


def digest(text: bytes) -> tuple[int, int]:
    black = text.translate(None, b" \t\r\n\f\v")
    left, right = FACTOR, SALT
    for start in range(0, len(black) // 8 * 8 + 8, 8):
        piece = int.from_bytes(black[start : start + 8], "little")
        left, right = (left ^ piece) * MIX & ALL, (right ^ piece) * NAME & ALL
        left, right = left ^ (left >> 32), right ^ (right >> 29)
    return mixed(left + len(black) & ALL), mixed(right + len(black) & ALL)


def blind(text: str, size: int) -> list[tuple[str, ...]]:
    """The windows of Python without comments, strings and numbers: names by how many tokens ago they last stood."""
    tokens = re.findall(r"\w+|[^\w\s]", text)
    found = []
    for start in range(len(tokens) - size + 1):
        last: dict[str, int] = {}
        window = []
        for place, value in enumerate(tokens[start : start + size]):
            if not re.match(r"[a-z_]\w*$", value) or value in ("def", "return", "if", "for", "in", "else"):
                window.append(value)
            else:
                window.append(f"name {place - last[value]}" if value in last else "name")
                last[value] = place
        found.append(tuple(window))
    return found
