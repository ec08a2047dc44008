"""The bytes of a file, whether it is gzipped or not."""

from __future__ import annotations

import gzip
from pathlib import Path

_MAGIC = b"\x1f\x8b"


def unpacked(path: Path) -> bytes:
    """What a file holds; a gzipped one is known by its first bytes.

    Raises:
        OSError, EOFError: it can't be read, or is damaged.
    """
    raw = path.read_bytes()
    return gzip.decompress(raw) if raw.startswith(_MAGIC) else raw
