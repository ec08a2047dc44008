"""Reading git repositories without running anything of theirs: no hooks, filters, monitors, pagers or networks.

Only `rev-parse`, `ls-files`, `ls-tree` and `config` are called; none of them looks at file contents, so no filter that
a repository configures can run. What differs from the commit is found by hashing, in `data.source.read`.
"""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path
from urllib.parse import urlsplit

from buril.core.errors import BurilError

TIMEOUT_S = 300
_SAFE = (
    "-c",
    "core.fsmonitor=false",
    "-c",
    "core.hooksPath=/dev/null",
    "-c",
    "core.untrackedCache=false",
    "-c",
    "safe.directory=*",
    "-c",
    "protocol.allow=never",
    "-c",
    "core.pager=cat",
    "-c",
    "core.quotePath=false",
)
_SCP_URL = re.compile(r"(?:[^@/:]+@)?(?P<host>[^/:@]+\.[^/:@]+|localhost):(?P<path>(?!//)[^:].*)")
MODE_LINK, MODE_SUBMODULE = "120000", "160000"


def environment() -> dict[str, str]:
    """What a git process may know of this machine: its programs, and nothing that configures git."""
    return {
        "PATH": os.environ.get("PATH", os.defpath),
        "HOME": "/nonexistent",
        "LC_ALL": "C",
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_OPTIONAL_LOCKS": "0",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_NO_LAZY_FETCH": "1",
        "GIT_LITERAL_PATHSPECS": "1",
        "GIT_NO_REPLACE_OBJECTS": "1",
    }


def command(folder: Path, *arguments: str) -> list[str]:
    """The command line of git on the objects in `folder`, every way to run something switched off."""
    return ["git", "--no-optional-locks", *_SAFE, f"--git-dir={folder}", *arguments]


def git(root: Path, *arguments: str) -> bytes | None:
    """The output of one git command in the repository at `root`; None when git says it can't.

    Raises:
        BurilError: D004 when git is not installed, D005 when it does not end in time.
    """
    return run(root, command(root / ".git", f"--work-tree={root}", *arguments))


def run(folder: Path, line: list[str], given: bytes = b"") -> bytes | None:
    """The output of a command line of git; None when git says it can't.

    Raises:
        BurilError: D004 when git is not installed, D005 when it does not end in time.
    """
    try:
        done = subprocess.run(  # noqa: S603  fixed program and options; the paths are given as whole arguments
            line,
            cwd=folder,
            env=environment(),
            input=given,
            capture_output=True,
            timeout=TIMEOUT_S,
            check=False,
        )
    except FileNotFoundError as missing:
        raise BurilError("D004", path=folder) from missing
    except subprocess.TimeoutExpired as late:
        raise BurilError("D005", path=folder, seconds=TIMEOUT_S) from late
    return done.stdout if done.returncode == 0 else None


def head(root: Path) -> str:
    """The commit that is checked out; "" when there is none yet."""
    said = git(root, "rev-parse", "--verify", "--quiet", "HEAD^{commit}")
    return said.decode().strip() if said else ""


def revision(value: str) -> str:
    """A branch, tag or commit that a setting names, as it is.

    Raises:
        ValueError: for what git would take for something else, an option say.
    """
    if not value or value.startswith("-") or ".." in value or set(value) & set(" ~^:?*[\\@{}\n\0"):
        raise ValueError("write a branch, a tag or a commit")
    return value


def origin(root: Path) -> str:
    """The URL of `origin` as configured; "" without one."""
    said = git(root, "config", "--local", "--get", "remote.origin.url")
    return said.decode("utf-8", "replace").strip() if said else ""


def place(url: str) -> str:
    """`host/owner/name` of a remote URL, without user, password, port, query or `.git`; "" for a path on a disk.

    Example:
        `place("git@github.com:acme/tool.git")` → "github.com/acme/tool"
    """
    host, path = "", ""
    if "://" in url:
        try:
            parts = urlsplit(url)
            host, path = (parts.hostname or ""), parts.path
        except ValueError:
            return ""
        if parts.scheme == "file":
            return ""
    elif match := _SCP_URL.fullmatch(url):
        host, path = match["host"].lower(), match["path"].split("?")[0]
    path = path.strip("/").removesuffix(".git").strip("/")
    return f"{host}/{path}" if host and path else ""


def listed(root: Path, prefix: str = "") -> dict[str, str]:
    """Path → mode of all tracked files below `prefix`; names that are not UTF-8 keep their bytes as surrogates.

    Raises:
        BurilError: D006 when the repository can't be read.
    """
    said = git(root, "ls-files", "--stage", "-z", *_below(prefix))
    if said is None:
        raise BurilError("D006", path=root)
    found = {}
    for record in said.split(b"\0"):
        if record:
            facts, _, path = record.partition(b"\t")
            found[os.fsdecode(path)] = facts.split(b" ", 1)[0].decode()
    return found


def untracked(root: Path, prefix: str = "") -> list[str]:
    """Paths of files that are neither tracked nor ignored."""
    said = git(root, "ls-files", "--others", "--exclude-standard", "-z", *_below(prefix)) or b""
    return [os.fsdecode(path) for path in said.split(b"\0") if path and not path.endswith(b"/")]


def committed(root: Path, prefix: str = "") -> dict[str, str]:
    """Path → object id of all files of the commit below `prefix`; empty without a commit."""
    said = git(root, "ls-tree", "-r", "-z", "--full-tree", "HEAD", *_below(prefix)) or b""
    found = {}
    for record in said.split(b"\0"):
        if record:
            facts, _, path = record.partition(b"\t")
            found[os.fsdecode(path)] = facts.split(b" ")[2].decode()
    return found


def _below(prefix: str) -> tuple[str, ...]:
    return ("--", prefix.rstrip("/") + "/") if prefix else ()
