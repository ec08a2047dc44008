"""Reads the PNGs that Chromium writes (eight bits a channel, not interlaced) without an image library."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray


def read_png(path: Path) -> NDArray[np.uint8]:
    """The pixels as an array of (rows, columns, channels)."""
    raw = path.read_bytes()
    assert raw[:8] == b"\x89PNG\r\n\x1a\n"
    place, data, width, height, channels = 8, b"", 0, 0, 0
    while place < len(raw):
        (length,), kind = struct.unpack(">I", raw[place : place + 4]), raw[place + 4 : place + 8]
        body = raw[place + 8 : place + 8 + length]
        if kind == b"IHDR":
            width, height, depth, colour, _c, _f, interlace = struct.unpack(">IIBBBBB", body)
            assert (depth, interlace) == (8, 0)
            channels = {0: 1, 2: 3, 6: 4}[colour]
        elif kind == b"IDAT":
            data += body
        place += 12 + length
    lines = np.frombuffer(zlib.decompress(data), np.uint8).reshape(height, 1 + width * channels)
    pixels = np.zeros((height, width * channels), np.uint8)
    above = np.zeros(width * channels, np.uint8)
    for row, line in enumerate(lines):
        above = pixels[row] = _unfilter(int(line[0]), line[1:], above, channels)
    return pixels.reshape(height, width, channels)


def _unfilter(kind: int, line: NDArray[np.uint8], above: NDArray[np.uint8], step: int) -> NDArray[np.uint8]:
    """One row with its filter undone (PNG specification, section 9)."""
    if kind == 0:
        return line
    if kind == 1:
        return np.cumsum(line.reshape(-1, step), axis=0, dtype=np.uint8).reshape(-1)
    if kind == 2:
        return line + above
    out, up = bytearray(line.tobytes()), above.tobytes()
    for index, value in enumerate(out):
        left = out[index - step] if index >= step else 0
        corner = up[index - step] if index >= step else 0
        out[index] = (value + ((left + up[index]) // 2 if kind == 3 else _paeth(left, up[index], corner))) & 255
    return np.frombuffer(bytes(out), np.uint8)


def _paeth(left: int, up: int, corner: int) -> int:
    guess = left + up - corner
    return min((left, up, corner), key=lambda value: abs(guess - value))
