"""GGUF files made from models, kept so that a model is written once.

They lie in `~/.cache/buril/gguf` (`XDG_CACHE_HOME` is heeded), named by what they were made from, and only the few used
last are kept. A lock lets two processes neither write the same file nor take one away that the other is opening.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from buril.core.artifact import MANIFEST, Manifest, digest_of, sha256_file
from buril.core.errors import BurilError
from buril.core.lock import hold
from buril.core.machine import cache_home
from buril.generators._gguf_writer import VERSION, Weights, write
from buril.generators._llamacpp import installed
from buril.generators._load import Loaded

KEPT = 4
"""Files that are kept: those of a base and of what was tuned from it, in two formats."""
BEARING = (".safetensors", ".json", ".jinja")
"""Files of a model that say what it is; of a base's, an adapter's and a tokenizer's folder."""


def digest(folders: Sequence[Path]) -> str:
    """Digest of what a model is made from: its folders in their order. Hashes of manifests are taken as they are."""
    found: dict[str, str] = {}
    for number, folder in enumerate(folders):
        known = _known(folder)
        for path in sorted(folder.iterdir()):
            if path.suffix in BEARING and path.is_file():
                found[f"{number}/{path.name}"] = known.get(path.name) or sha256_file(path)
    return digest_of(found)


def _known(folder: Path) -> dict[str, str]:
    """SHA-256s of the files in a folder, as far as the artifact which it is part of says."""
    for root in (folder, folder.parent):
        if (root / MANIFEST).is_file():
            files = {root / entry.path: entry.sha256 for entry in Manifest.read(root).files}
            return {path.name: sha256 for path, sha256 in files.items() if path.parent == folder}
    return {}


@contextmanager
def kept(loaded: Loaded, source: str, weights: Weights) -> Iterator[Path]:
    """The file of a model, written where there is none yet. It may go once the block has ended; what is mapped stays.

    Raises:
        BurilError: T190 for a model that has no place in the format, T191 when the file can't be written.
    """
    folder = cache_home() / "buril" / "gguf"
    path = folder / f"{source[:24]}-{weights}-{VERSION}.gguf"
    lock = folder / ".lock"
    with _told(folder):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock.touch()
    with hold(lock):
        with _told(path):
            if path.is_file():
                os.utime(path)
            else:
                write(loaded, path, weights=weights, source=source, bare=True)
            others = sorted(folder.glob("*.gguf"), key=lambda other: other.stat().st_mtime_ns, reverse=True)
            for old in others[KEPT:]:
                old.unlink(missing_ok=True)
        yield path


@contextmanager
def _told(path: Path) -> Iterator[None]:
    """Say of a disk that is full or can't be written where it is."""
    try:
        yield
    except OSError as problem:
        raise BurilError("T191", version=installed(), path=path, problem=problem.strerror or problem) from problem
