"""Reading commits, trees and contents straight from git's objects: nothing is checked out, nothing is run.

Contents are never asked of the working tree, so that no filter, LFS smudge or text conversion can apply, and nothing
is fetched: what a partial clone lacks is told of as missing.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, NamedTuple

from buril.core.errors import BurilError
from buril.data.sources import _git

_SKIP = 1 << 20


class Entry(NamedTuple):
    """A file of a commit: its git mode, object id and size in bytes; -1 where the object is not at hand."""

    mode: str
    blob: str
    bytes: int


def folder_of(place: Path) -> Path:
    """The folder of a repository's objects and references: `.git`, what a `.git` file names, or a bare one itself.

    Raises:
        BurilError: D001 when there is nothing, D006 when it is no repository.
    """
    if not place.exists():
        raise BurilError("D001", path=place)
    inner = place / ".git"
    if inner.is_file():
        text = inner.read_text(encoding="utf-8", errors="replace").strip()
        inner = (place / text.removeprefix("gitdir:").strip()).resolve()
    found = inner if inner.is_dir() else place
    if not (found / "HEAD").exists() or not ((found / "objects").is_dir() or (found / "commondir").exists()):
        raise BurilError("D006", path=place)
    return found


def commit_of(folder: Path, revision: str) -> str:
    """The full id of the commit that a branch, tag or id names; "" when there is none."""
    said = _git.run(
        folder, _git.command(folder, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}")
    )
    return said.decode().strip() if said else ""


def committed_at(folder: Path, commit: str) -> int:
    """When a commit was made, in seconds since 1970."""
    said = _git.run(folder, _git.command(folder, "rev-list", "--no-walk", "--timestamp", commit)) or b"0"
    return int(said.split()[0])


def history(folder: Path, commit: str) -> tuple[int, int] | None:
    """How many commits led to this one, and how many people wrote them; None where the history is cut off."""
    shallow = _git.run(folder, _git.command(folder, "rev-parse", "--is-shallow-repository"))
    said = _git.run(folder, _git.command(folder, "rev-list", "--format=%ae", commit))
    if said is None or (shallow or b"").strip() == b"true":
        return None
    lines = said.splitlines()
    people = {line.strip().lower() for line in lines if not line.startswith(b"commit ")}
    return sum(line.startswith(b"commit ") for line in lines), len(people)


def tree(folder: Path, commit: str) -> dict[str, Entry]:
    """Path → entry of every file of a commit; names that are not UTF-8 keep their bytes as surrogates.

    Raises:
        BurilError: D006 when the tree can't be read.
    """
    said = _git.run(folder, _git.command(folder, "ls-tree", "-r", "-z", "--full-tree", commit))
    if said is None:
        raise BurilError("D006", path=folder)
    found: dict[str, tuple[str, str]] = {}
    for record in said.split(b"\0"):
        if record:
            facts, _, path = record.partition(b"\t")
            mode, _kind, blob = facts.decode().split()
            found[os.fsdecode(path)] = (mode, blob)
    files = {blob for mode, blob in found.values() if mode != _git.MODE_SUBMODULE}
    sizes = _sizes(folder, sorted(files - _missing(folder, commit)))
    return {path: Entry(mode, blob, sizes.get(blob, -1)) for path, (mode, blob) in found.items()}


def _missing(folder: Path, commit: str) -> set[str]:
    """Objects that a partial clone lacks."""
    packs = folder / "objects" / "pack"
    if not packs.is_dir() or not any(path.suffix == ".promisor" for path in packs.iterdir()):
        return set()
    line = _git.command(folder, "rev-list", "--objects", "--no-object-names", "--missing=print", f"{commit}^{{tree}}")
    said = _git.run(folder, line) or b""
    return {text[1:].decode() for text in said.split() if text.startswith(b"?")}


def _sizes(folder: Path, blobs: Sequence[str]) -> dict[str, int]:
    line = _git.command(folder, "cat-file", "--batch-check=%(objectname) %(objectsize)", "--buffer")
    said = _git.run(folder, line, "".join(f"{blob}\n" for blob in blobs).encode()) or b""
    pairs = (text.split() for text in said.decode().splitlines())
    return {pair[0]: int(pair[1]) for pair in pairs if len(pair) == 2 and pair[1].isdigit()}


class Blobs:
    """Contents by object id, from one git process that stays open."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdin and process.stdout  # they were asked for
        self._in: IO[bytes] = process.stdin
        self._out: IO[bytes] = process.stdout

    def read(self, blob: str, limit: int) -> bytes | None:
        """The first `limit` bytes of an object; None when it is not at hand. What is left is passed over."""
        try:
            self._in.write(f"{blob}\n".encode())
            self._in.flush()
        except BrokenPipeError:
            return None
        said = self._out.readline().split()
        if len(said) != 3 or not said[2].isdigit():
            return None
        left = int(said[2])
        raw = self._out.read(min(left, limit))
        left -= len(raw)
        while left > 0 and (passed := self._out.read(min(left, _SKIP))):
            left -= len(passed)
        self._out.read(1)  # the line end after the object
        return raw


@contextmanager
def blobs(folder: Path) -> Iterator[Blobs]:
    """Contents of the objects in `folder`, as they are stored.

    Raises:
        BurilError: D004 when git is not installed.
    """
    try:
        process = subprocess.Popen(  # noqa: S603  fixed program and options; ids go through its input
            _git.command(folder, "cat-file", "--batch"),
            cwd=folder,
            env=_git.environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
    except FileNotFoundError as missing:
        raise BurilError("D004", path=folder) from missing
    try:
        yield Blobs(process)
    finally:
        process.kill()
        process.communicate()
