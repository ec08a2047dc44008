"""Writing safetensors a tensor at a time: the same tensors give the same bytes, and only one is in memory.

Format: https://github.com/huggingface/safetensors (8 bytes of header length, a JSON header padded with spaces to a
multiple of 8, then the tensors end to end).
"""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
BYTES = {"F32": 4, "BF16": 2}


@dataclass(frozen=True)
class Lazy:
    """A tensor that is computed when it is written."""

    shape: tuple[int, ...]
    make: Callable[[], Floats]


def write_safetensors(path: Path, tensors: Mapping[str, Lazy], *, dtype: Literal["F32", "BF16"]) -> None:
    """Write tensors in the order of their names, all in one number format."""
    header: dict[str, object] = {"__metadata__": {"format": "pt"}}
    offset = 0
    for name in sorted(tensors):
        size = prod(tensors[name].shape) * BYTES[dtype]
        header[name] = {"dtype": dtype, "shape": list(tensors[name].shape), "data_offsets": [offset, offset + size]}
        offset += size
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    with path.open("wb") as stream:
        stream.write(struct.pack("<Q", len(text)) + text)
        for name in sorted(tensors):
            values = tensors[name].make()
            assert values.shape == tensors[name].shape, (name, values.shape, tensors[name].shape)
            stream.write(encode(values, dtype).data)


def encode(values: Floats, dtype: Literal["F32", "BF16"]) -> NDArray[np.generic]:
    """Little-endian float32, or bfloat16 as 16-bit integers, rounded to the nearest and to even at a tie."""
    contiguous = np.ascontiguousarray(values, dtype="<f4")
    if dtype == "F32":
        return contiguous
    bits = contiguous.view("<u4")
    rounded = (bits + ((bits >> 16) & 1) + np.uint32(0x7FFF)) >> 16
    rounded[np.isnan(contiguous)] = 0x7FC0
    found: NDArray[np.generic] = rounded.astype("<u2")
    return found
