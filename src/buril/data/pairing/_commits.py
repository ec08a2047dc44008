"""Commits of a repository with the files that they changed, as git's plumbing tells them; nothing is run or fetched."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from buril.data.sources import _git

_PLAIN = frozenset({"100644", "100755"})
_FORMAT = "--format=%x02%H%x1f%s%x1f%B"
_MESSAGE = 4_000
"""Characters of a message that are read."""
_RENAMES = 400
"""Renamed files of one commit that are recognised though they were changed too."""


class Change(NamedTuple):
    """A plain file before and after a commit: object ids, and its paths (the same but for a rename)."""

    before: str
    after: str
    old_path: str
    path: str


class Commit(NamedTuple):
    """A commit that is no merge, and the files that it changed; `subject` is the first line of its `message`."""

    name: str
    subject: str
    message: str
    changes: tuple[Change, ...]


def commits(folder: Path, tip: str, window: tuple[int, int], oldest_s: int | None = None) -> Iterator[Commit]:
    """The commits that lead to one, the newest first.

    Args:
        folder: with the objects.
        tip: the commit.
        window: how many are passed over, and how many are given at most.
        oldest_s: only what was committed since, in seconds since 1970.
    """
    skip, most = window
    line = _git.command(
        folder, "log", "--no-merges", "--raw", "-z", "-M", f"-l{_RENAMES}", "--no-abbrev", "--no-color", "--no-notes",
        "--no-show-signature", "--no-ext-diff", "--no-textconv", "--no-mailmap", "--encoding=UTF-8", _FORMAT,
        f"--skip={skip}", f"--max-count={most}", *([] if oldest_s is None else [f"--max-age={oldest_s}"]),
        "--end-of-options", tip, "--",
    )  # fmt: skip
    said = _git.run(folder, line) or b""
    for record in said.split(b"\x02")[1:]:
        found = _commit(record)
        if found is not None:
            yield found


def _commit(record: bytes) -> Commit | None:
    """The commit of a record; None for one that is not in form."""
    head, _nul, rest = record.partition(b"\0")
    name, *told = head.split(b"\x1f", 2)
    if len(told) != 2:
        return None
    subject, message = (text.decode("utf-8", "replace").strip() for text in told)
    parts = iter(rest.split(b"\0"))
    changes: list[Change] = []
    for record_of_file in parts:
        facts = record_of_file.strip().lstrip(b":").split(b" ")
        if len(facts) != 5:
            continue
        old_mode, mode, before, after, kind = (item.decode("ascii", "replace") for item in facts)
        old_path = path = os.fsdecode(next(parts, b""))
        if kind[:1] in "RC":
            path = os.fsdecode(next(parts, b""))
        if kind[:1] in "MR" and {old_mode, mode} <= _PLAIN and before != after:
            changes.append(Change(before, after, old_path, path))
    return Commit(name.decode("ascii", "replace"), subject, message[:_MESSAGE], tuple(changes))
