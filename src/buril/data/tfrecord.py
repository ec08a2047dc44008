"""TFRecord: rows as `tf.train.Example` messages in the record format of TensorFlow, written without TensorFlow.

A record is: its length (8 bytes, little endian), the masked CRC-32C of these 8 bytes, the message, the masked CRC-32C
of the message (TensorFlow, `core/lib/io/record_writer.h`). CRC-32C is Castagnoli's polynomial (RFC 3720, appendix
B.4), worked out eight bytes at a time (Kounavis and Berry 2005) in compiled code. The message is written field by
field after Protocol Buffers' wire format: strings become `bytes_list`, integers `int64_list`, numbers `float_list`.

It doesn't compress, and it writes no nested columns: lists of findings and the like stay in Parquet.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Sequence
from functools import cache, lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

_POLYNOMIAL = 0x82F63B78  # Castagnoli's, its bits reversed
_MASK_DELTA = 0xA282EAD8
_LENGTH = struct.Struct("<Q")
_CRC = struct.Struct("<I")
_FLOATS = struct.Struct("<f")
_BYTES_LIST, _FLOAT_LIST, _INT64_LIST = b"\x0a", b"\x12", b"\x1a"


def crc32c(data: bytes) -> int:
    """The CRC-32C of some bytes.

    Example:
        `crc32c(b"123456789")` → `0xE3069283`
    """
    return int(_compiled()(np.frombuffer(data, dtype=np.uint8), _tables()))


def masked_crc(data: bytes) -> int:
    """The CRC as records hold it: rotated right by 15 bits, plus a constant, so that a CRC of CRCs stays a good one."""
    crc = crc32c(data)
    return (((crc >> 15) | (crc << 17)) + _MASK_DELTA) & 0xFFFFFFFF


def record(message: bytes) -> bytes:
    """A message as a record."""
    length = _LENGTH.pack(len(message))
    return b"".join((length, _CRC.pack(masked_crc(length)), message, _CRC.pack(masked_crc(message))))


def records(batch: pa.RecordBatch) -> Iterator[bytes]:
    """The rows of a batch as records, in order; only columns of strings, integers and numbers are written."""
    columns = [_column(name, batch.column(name)) for name in sorted(batch.schema.names) if _list_of(batch, name)]
    for features in zip(*columns, strict=True):
        inner = b"".join(features)
        yield record(b"\x0a" + _varint(len(inner)) + inner)


def feature_types(schema: pa.Schema) -> dict[str, str]:
    """Column → `bytes_list`, `int64_list` or `float_list`, for the columns that are written."""
    names = {_BYTES_LIST: "bytes_list", _INT64_LIST: "int64_list", _FLOAT_LIST: "float_list"}
    return {field.name: names[kind] for field in schema if (kind := _kind(field.type))}


def _kind(found: pa.DataType) -> bytes:
    if pa.types.is_string(found) or pa.types.is_large_string(found):
        return _BYTES_LIST
    if pa.types.is_integer(found) or pa.types.is_boolean(found):
        return _INT64_LIST
    return _FLOAT_LIST if pa.types.is_floating(found) else b""


def _list_of(batch: pa.RecordBatch, name: str) -> bytes:
    return _kind(batch.schema.field(name).type)


def _column(name: str, column: pa.Array) -> Iterator[bytes]:
    """For each row, the entry of the map of features that this column adds; a null is an empty list."""
    key = name.encode()
    head = b"\x0a" + _varint(len(key)) + key
    kind = _kind(column.type)
    values: Sequence[Any]
    if kind == _BYTES_LIST:
        large = pa.types.is_large_string(column.type)
        values = column.cast(pa.large_binary() if large else pa.binary()).to_pylist()  # no decoding to str and back
        encode: Callable[[Any], bytes] = _bytes_list
    else:
        values = column.to_pylist()
        encode = _int64_list if kind == _INT64_LIST else _float_list
    for value in values:
        listed = b"" if value is None else encode(value)
        feature = kind + _varint(len(listed)) + listed
        entry = head + b"\x12" + _varint(len(feature)) + feature
        yield b"\x0a" + _varint(len(entry)) + entry


def _bytes_list(value: bytes) -> bytes:
    return b"\x0a" + _varint(len(value)) + value


def _int64_list(value: int) -> bytes:
    packed = _varint(int(value) & 0xFFFFFFFFFFFFFFFF)
    return b"\x0a" + _varint(len(packed)) + packed


def _float_list(value: float) -> bytes:
    return b"\x0a\x04" + _FLOATS.pack(value)


@lru_cache(maxsize=1 << 16)
def _varint(number: int) -> bytes:
    if number < 0x80:
        return bytes((number,))
    found = bytearray()
    while number >= 0x80:
        found.append(number & 0x7F | 0x80)
        number >>= 7
    found.append(number)
    return bytes(found)


@cache
def _tables() -> npt.NDArray[np.uint32]:
    """Eight tables (8, 256): what a byte adds to the CRC when 0 to 7 bytes follow it."""
    tables = np.zeros((8, 256), dtype=np.uint32)
    for byte in range(256):
        crc = byte
        for _bit in range(8):
            crc = crc >> 1 ^ (_POLYNOMIAL if crc & 1 else 0)
        tables[0, byte] = crc
    for depth in range(1, 8):
        tables[depth] = tables[0][tables[depth - 1] & 0xFF] ^ (tables[depth - 1] >> 8)
    return tables


@cache
def _compiled() -> Callable[[npt.NDArray[np.uint8], npt.NDArray[np.uint32]], int]:
    """The loop over the bytes, compiled at its first use in a process (about a second)."""
    import numba

    compiled: Callable[[npt.NDArray[np.uint8], npt.NDArray[np.uint32]], int] = numba.njit()(_crc32c)
    return compiled


def _crc32c(data: npt.NDArray[np.uint8], tables: npt.NDArray[np.uint32]) -> int:
    crc = np.uint32(0xFFFFFFFF)
    whole = len(data) // 8 * 8
    for at in range(0, whole, 8):
        low = crc ^ (
            np.uint32(data[at])
            | np.uint32(data[at + 1]) << np.uint32(8)
            | np.uint32(data[at + 2]) << np.uint32(16)
            | np.uint32(data[at + 3]) << np.uint32(24)
        )
        crc = (
            tables[7, low & np.uint32(0xFF)]
            ^ tables[6, low >> np.uint32(8) & np.uint32(0xFF)]
            ^ tables[5, low >> np.uint32(16) & np.uint32(0xFF)]
            ^ tables[4, low >> np.uint32(24)]
            ^ tables[3, data[at + 4]]
            ^ tables[2, data[at + 5]]
            ^ tables[1, data[at + 6]]
            ^ tables[0, data[at + 7]]
        )
    for at in range(whole, len(data)):
        crc = tables[0, (crc ^ np.uint32(data[at])) & np.uint32(0xFF)] ^ (crc >> np.uint32(8))
    return int(crc ^ np.uint32(0xFFFFFFFF))
