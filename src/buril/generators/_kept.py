"""Models written in the format of an engine, kept so that each is written once.

They lie in `~/.cache/buril/KIND` (`XDG_CACHE_HOME` is heeded), named by what they were made from, and only the few used
last are kept. A lock lets two processes neither write the same one nor take one away that the other is opening.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from buril.core.artifact import MANIFEST, Manifest, digest_of, sha256_file
from buril.core.lock import hold
from buril.core.machine import cache_home

KEPT = 4
"""Models that are kept of a kind: a base and what was tuned from it, in two formats."""
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
def kept(
    kind: str, name: str, write: Callable[[Path], None], failed: Callable[[Path, OSError], Exception]
) -> Iterator[Path]:
    """The file or folder `name`, written where there is none. It may go once the block has ended; what is mapped stays.

    Args:
        kind: the folder that it lies in.
        name: says what it was made from, and ends as all of its kind do.
        write: writes it whole or not at all.
        failed: the error for a disk that is full or can't be written, with where that is.
    """
    folder = cache_home() / "buril" / kind
    path, lock = folder / name, folder / ".lock"
    with _told(folder, failed):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock.touch()
    with hold(lock):
        with _told(path, failed):
            if path.exists():
                os.utime(path)
            else:
                write(path)
            others = sorted(folder.glob(f"*{path.suffix}"), key=lambda other: other.stat().st_mtime_ns, reverse=True)
            for old in others[KEPT:]:
                shutil.rmtree(old) if old.is_dir() else old.unlink(missing_ok=True)
        yield path


@contextmanager
def _told(path: Path, failed: Callable[[Path, OSError], Exception]) -> Iterator[None]:
    try:
        yield
    except OSError as problem:
        raise failed(path, problem) from problem
