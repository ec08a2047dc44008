"""GGUF files made from models, kept so that a model is written once (`_kept.py`)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from buril.core.errors import BurilError
from buril.generators import _kept
from buril.generators._gguf_writer import VERSION, Weights, write
from buril.generators._llamacpp import installed
from buril.generators._load import Loaded


@contextmanager
def kept(loaded: Loaded, source: str, weights: Weights) -> Iterator[Path]:
    """The file of a model, written where there is none yet. It may go once the block has ended; what is mapped stays.

    Raises:
        BurilError: T190 for a model that has no place in the format, T191 when the file can't be written.
    """
    name = f"{source[:24]}-{weights}-{VERSION}.gguf"
    with _kept.kept(
        "gguf", name, lambda path: write(loaded, path, weights=weights, source=source, bare=True), _failed
    ) as path:
        yield path


def _failed(path: Path, problem: OSError) -> BurilError:
    """Says of a disk that is full or can't be written where it is."""
    return BurilError("T191", version=installed(), path=path, problem=problem.strerror or str(problem))
