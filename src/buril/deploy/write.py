"""The rendered files on disk: what was rendered before and is no more is taken away, what a person changed is kept."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

from buril.core.errors import BurilError

RECORD = ".rendered.json"
"""The files of the last time with their SHA-256."""


def write(folder: Path, files: Mapping[str, str | bytes], *, force: bool = False) -> list[str]:
    """Write the files of one rendering, and remove those that only the last one had.

    Returns:
        What was removed.

    Raises:
        BurilError: V507 for a file that is not as it was rendered, unless `force`; W236 where nothing can be written.
    """
    before = _record(folder)
    made = {name: text.encode() if isinstance(text, str) else text for name, text in files.items()}
    if not force:
        for name in sorted({*before, *made}):
            _refuse_changed(folder / name, before.get(name), made.get(name))
    gone = sorted(name for name in before if name not in made)
    try:
        for name in gone:
            (folder / name).unlink(missing_ok=True)
        for name, data in made.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(data)
        record = {name: hashlib.sha256(data).hexdigest() for name, data in sorted(made.items())}
        (folder / RECORD).write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    except OSError as problem:
        raise BurilError("W236", path=problem.filename or folder, problem=problem.strerror or problem) from problem
    return gone


def _refuse_changed(path: Path, before: str | None, now: bytes | None) -> None:
    """A file that is there must be the one of last time, or already what it will be."""
    if path.is_file():
        data = path.read_bytes()
        if hashlib.sha256(data).hexdigest() != before and data != now:
            raise BurilError("V507", path=path)


def _record(folder: Path) -> dict[str, str]:
    try:
        found = json.loads((folder / RECORD).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    safe = found.items() if isinstance(found, dict) else ()
    return {name: str(digest) for name, digest in safe if ".." not in Path(name).parts and not Path(name).is_absolute()}
