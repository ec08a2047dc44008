"""What the gate asks git: which files there are, and which lines a change adds.

Nothing that the other side wrote may turn the gate off: a `.gitattributes` that calls a program binary hides no line,
and neither drivers for differences nor hooks are run.
"""

from __future__ import annotations

import codecs
import os
import re
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from buril.core.errors import BurilError
from buril.core.text import _

TIMEOUT_S = 300
_SAFE = (
    "--no-optional-locks", "-c", "core.fsmonitor=false", "-c", "core.hooksPath=/dev/null", "-c", "safe.directory=*",
    "-c", "protocol.allow=never", "-c", "core.pager=cat", "-c", "core.quotePath=false", "-c",
    "core.untrackedCache=false",
)  # fmt: skip
_DIFF = (
    "diff", "--no-color", "--no-ext-diff", "--no-textconv", "--text", "--unified=0", "--inter-hunk-context=0",
    "--find-renames", "--src-prefix=a/", "--dst-prefix=b/", "--no-relative", "--ignore-submodules=dirty",
    "--submodule=short",
)  # fmt: skip
_HUNK = re.compile(rb"@@ -\d+(?:,(\d+))? \+(\d+)(?:,(\d+))? @@")


class File(NamedTuple):
    """What became of a file: the lines that were added to it (None for all), and its path before, "" for a new one."""

    lines: list[range] | None
    before: str = ""

    def touches(self, first: int, last: int) -> bool:
        """Whether any line from `first` to `last` was added.

        Example:
            `File([range(3, 5)]).touches(4, 9)` → True
        """
        return self.lines is None or any(lines.start <= last and first < lines.stop for lines in self.lines)


class Change(NamedTuple):
    """What differs from a commit: `start`, and the files by their paths from the top of the repository."""

    start: str
    files: dict[str, File]


def _git(folder: Path, *arguments: str, more: Mapping[str, str] | None = None) -> bytes | None:
    """The output of a command of git; None when git says it can't.

    Raises:
        BurilError: W232 when git is not installed or does not end.
    """
    env = {
        "PATH": os.environ.get("PATH", os.defpath), "HOME": "/nonexistent", "LC_ALL": "C", "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": os.devnull, "GIT_TERMINAL_PROMPT": "0", "GIT_NO_LAZY_FETCH": "1",
        "GIT_LITERAL_PATHSPECS": "1",
    }  # fmt: skip
    try:
        done = subprocess.run(  # noqa: S603  fixed program and options; names are whole arguments behind `--`
            ["git", *_SAFE, "-C", str(folder), *arguments], env={**env, **(more or {})}, stdin=subprocess.DEVNULL,  # noqa: S607  as installed
            capture_output=True, timeout=TIMEOUT_S, check=False,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired) as problem:
        raise BurilError("W232", problem=_("git does not answer: {problem}").format(problem=problem)) from problem
    return done.stdout if done.returncode == 0 else None


def top(folder: Path) -> Path | None:
    """The top of the repository that a folder lies in; None where there is none, or no git."""
    try:
        said = _git(folder, "rev-parse", "--show-toplevel")
    except BurilError:
        return None
    return Path(os.fsdecode(said.removesuffix(b"\n"))) if said else None


def listed(folder: Path) -> list[str] | None:
    """The files below a folder that git tracks or would, relative to the folder; None outside of a repository."""
    if top(folder) is None:
        return None
    said = _git(folder, "ls-files", "-z", "--cached", "--others", "--exclude-standard")
    return sorted({os.fsdecode(name) for name in said.split(b"\0") if name}) if said is not None else None


def change(root: Path, base: str) -> Change:
    """The lines that stand in the files now and not in `base`, files that git does not track yet included.

    What the change is measured against is the commit where it branched off; where the history is too short to know it,
    `base` itself, which can only call more lines new.

    Raises:
        BurilError: W232 when there is no such commit.
    """
    start = _start(root, base)
    said = _git(root, *_DIFF, start, "--")
    others = _git(root, "ls-files", "-z", "--others", "--exclude-standard")
    if said is None or others is None:
        raise BurilError("W232", problem=_("git can't compare with `{base}`").format(base=base))
    new = {os.fsdecode(name): File(None) for name in others.split(b"\0") if name}
    return Change(start, {**parsed(said), **new})


def content(root: Path, commit: str, path: str) -> bytes:
    """What a file held in a commit; empty where it was not there."""
    return _git(root, "cat-file", "blob", f"{commit}:{path}") or b""


def staged(root: Path, since: str = "HEAD") -> dict[str, File]:
    """The lines that a commit of now would add to `since`, by the index that git uses for it.

    Raises:
        BurilError: W232 when there is no such commit.
    """
    said = _git(root, *_DIFF, "--cached", _start(root, since), "--", more=_index())
    if said is None:
        raise BurilError("W232", problem=_("git can't compare with `{base}`").format(base=since))
    return parsed(said)


def staged_content(root: Path, path: str) -> bytes:
    """What a file holds in the index that git uses for a commit; empty where it is not there."""
    return _git(root, "cat-file", "blob", f":{path}", more=_index()) or b""


def committed(root: Path, revision: str) -> tuple[str, dict[str, File]]:
    """The last commit of a revision (`HEAD~1`) or a range (`main..HEAD`), and the lines that it, or they, added.

    Raises:
        BurilError: W232 when there is no such commit.
    """
    first, dots, last = revision.partition("..")
    end = _commit(root, last.lstrip(".") or "HEAD" if dots else revision)
    start = _commit(root, first if dots else f"{end}^")
    if not start and not dots:  # the first commit of all
        start = (_git(root, "hash-object", "-t", "tree", os.devnull) or b"").decode().strip()
    said = _git(root, *_DIFF, start, end, "--") if start and end else None
    if said is None or end is None:
        raise BurilError("W232", problem=_("there is no commit `{base}`").format(base=revision))
    return end, parsed(said)


def add_trailers(root: Path, message: Path, trailers: Sequence[str]) -> bool:
    """Add lines to the end of a commit's message, those that are there already not again; whether git could."""
    told = [part for trailer in trailers for part in ("--trailer", trailer)]
    how = ("interpret-trailers", "--in-place", "--if-exists", "addIfDifferent")
    return not trailers or _git(root, *how, *told, str(message.resolve())) is not None


def _index() -> dict[str, str]:
    """The index that git names to its hooks: for `commit -a` or `commit FILE` it is not the repository's."""
    return {name: os.environ[name] for name in ("GIT_INDEX_FILE",) if name in os.environ}


def _commit(root: Path, name: str) -> str | None:
    found = _git(root, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}")
    return found.decode().strip() if found else None


def _start(root: Path, base: str) -> str:
    """The commit that a change is measured against; before the first commit, the empty tree.

    Raises:
        BurilError: W232 when there is no such commit.
    """
    found = _git(root, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{base}^{{commit}}")
    if not found and base == "HEAD":
        found = _git(root, "hash-object", "-t", "tree", os.devnull)
    if not found:
        raise BurilError("W232", problem=_("there is no commit `{base}`").format(base=base))
    commit = found.decode().strip()
    branched = _git(root, "merge-base", commit, "HEAD")
    return branched.decode().split()[0] if branched else commit


def parsed(diff: bytes) -> dict[str, File]:
    """The files of a diff without context.

    Lines of a hunk are counted off, never recognised: a text that looks like a header of a file is a text.
    """
    found: dict[str, File] = {}
    ranges: list[range] = []
    before = ""
    lines, at = diff.split(b"\n"), 0
    while at < len(lines):
        line = lines[at]
        at += 1
        if line.startswith(b"--- "):
            before = _path(line[4:])
        elif line.startswith(b"+++ "):
            ranges = []
            if path := _path(line[4:]):
                found[path] = File(ranges, before)
        elif hunk := _HUNK.match(line):
            gone, start, new = (int(part) if part is not None else 1 for part in hunk.groups())
            if new:
                ranges.append(range(start, start + new))
            at = _after(lines, at, gone + new)
    return found


def _after(lines: Sequence[bytes], at: int, count: int) -> int:
    """The place behind `count` lines of a hunk; what begins with a backslash is none of them."""
    while count and at < len(lines):
        count -= not lines[at].startswith(b"\\")
        at += 1
    return at


def _path(told: bytes) -> str:
    """The path of a header, "" for none: quoted as in C where it holds odd signs; `a/` or `b/` stands before it."""
    told = told.removesuffix(b"\t")
    if told.startswith(b'"'):
        told = codecs.escape_decode(told[1:-1])[0]
    return os.fsdecode(told[2:]) if told.startswith((b"a/", b"b/")) else ""
