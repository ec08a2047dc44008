"""Bringing one commit of a repository here: bare, without its history or large files, by git alone.

The address, the token and every switch go to git through its environment: no configuration of this machine applies, no
credential is kept, and no prompt, hook, submodule or helper program can appear. Objects are checked as they come in.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import os
import re
import subprocess
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from urllib.parse import urlsplit

from buril.core.errors import BurilError
from buril.data.sources import _git, _objects
from buril.data.sources._cache import locked

FETCH_S = 3600
ASK_S = 60
LARGEST = "10m"
"""Files above this size are not fetched, where the server can leave them out: none is source code."""
COMMIT = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")
SCHEMES = ("https", "ssh")
_TOLERATED = (
    "zeroPaddedFilemode",
    "badTimezone",
    "missingSpaceBeforeDate",
    "missingEmail",
    "badFilemode",
    "gitmodulesUrl",
)
"""What old, honest histories hold; anything else that git's own check finds refuses the fetch."""
_KEPT = (
    "SSH_AUTH_SOCK",
    "http_proxy",
    "https_proxy",
    "HTTPS_PROXY",
    "no_proxy",
    "NO_PROXY",
    "GIT_SSL_CAINFO",
    "SSL_CERT_FILE",
)


def address(url: str) -> str:
    """A URL as git is given it: `https://…`, `ssh://…` or `user@host:path`; "" for a place on this disk.

    Raises:
        ValueError: it holds a password, names another protocol, or could be taken for an option.
    """
    if url.startswith("-") or "::" in url or any(ord(sign) < 32 for sign in url):
        raise ValueError("this is no address of a repository")
    if "://" not in url:
        return url if _git.place(url) else ""
    parts = urlsplit(url)
    if parts.password or (parts.scheme == "https" and parts.username):
        raise ValueError("the address holds a credential; write it as `token: env:NAME`")
    if parts.scheme == "file":
        return ""
    local = parts.scheme == "http" and parts.hostname in ("127.0.0.1", "localhost", "::1")
    if parts.scheme not in SCHEMES and not local:
        raise ValueError(f"{parts.scheme}:// is not supported; use https://, ssh:// or a path")
    if not parts.hostname or parts.hostname.startswith("-"):
        raise ValueError("this is no address of a repository")
    return url


@cache
def resolve(url: str, revision: str, token: str) -> str:
    """The commit that a branch, tag or `HEAD` of a remote repository names now; asked once a process.

    Raises:
        BurilError: D010 when the repository can't be reached, D011 when it has no such revision.
    """
    if COMMIT.fullmatch(revision):
        return revision
    said = _remote(url, token, ASK_S, "ls-remote", "origin", revision, f"{revision}^{{}}")
    found: dict[str, str] = {}
    for line in said.splitlines():
        commit, _tab, name = line.partition("\t")
        found[name] = commit
    for name in (revision, f"refs/tags/{revision}^{{}}", f"refs/tags/{revision}", f"refs/heads/{revision}"):
        if COMMIT.fullmatch(found.get(name, "")):
            return found[name]
    raise BurilError("D011", url=url, revision=revision)


def folder_of(url: str, cache_dir: Path) -> Path:
    """Where the objects of a remote repository are kept."""
    return cache_dir / f"{hashlib.sha256(url.encode()).hexdigest()[:16]}.git"


def has(folder: Path, commit: str, *, whole: bool = False) -> bool:
    """Whether a commit was fetched to its end (with all of its history, where asked)."""
    if not folder.is_dir():
        return False
    name = f"refs/buril/{'whole' if whole else 'one'}/{commit}"
    return bool(_objects.commit_of(folder, name)) or (not whole and has(folder, commit, whole=True))


def fetch(url: str, commit: str, folder: Path, *, token: str = "", whole: bool = False) -> None:
    """Make sure that a commit of a remote repository is in `folder`; a reference to it is written last.

    Raises:
        BurilError: D010 when the repository can't be reached or the commit can't be had.
    """
    with locked(folder):
        if has(folder, commit, whole=whole):
            return
        folder.mkdir(exist_ok=True)
        if not (folder / "HEAD").exists():
            _git.run(folder, ["git", "init", "--quiet", "--bare", "--template=", str(folder)])
        for leftover in (folder / "objects" / "pack").glob("tmp_pack_*"):
            leftover.unlink()
        for lock in ("shallow.lock", "config.lock"):
            (folder / lock).unlink(missing_ok=True)
        depth = ("--unshallow",) if whole and (folder / "shallow").exists() else () if whole else ("--depth=1",)
        options = ("fetch", "--quiet", "--no-tags", "--no-write-fetch-head", "--no-recurse-submodules", *depth)
        filtered = (*options, f"--filter=blob:limit={LARGEST}")
        try:
            _remote(url, token, FETCH_S, *filtered, "origin", commit, folder=folder)
        except BurilError:
            # not every server gives a commit by its id: take the branches and tags, and look there
            heads = ("+refs/heads/*:refs/remote/heads/*", "+refs/tags/*:refs/remote/tags/*")
            plain = [option for option in filtered if not option.startswith(("--depth", "--no-tags"))]
            _remote(url, token, FETCH_S, *plain, "origin", *heads, folder=folder)
        if _objects.commit_of(folder, commit) != commit:
            raise BurilError("D011", url=url, revision=commit)
        kind = "whole" if whole else "one"
        _git.run(folder, _git.command(folder, "update-ref", f"refs/buril/{kind}/{commit}", commit))


def _remote(url: str, token: str, seconds: int, *arguments: str, folder: Path | None = None) -> str:
    """What git says of a remote repository.

    Raises:
        BurilError: D004 when git is not installed, D010 when git fails, with its own last words.
    """
    where = [f"--git-dir={folder}"] if folder else []
    environment = {**_git.environment(), **_switches(url, token)}
    environment.update({name: os.environ[name] for name in _KEPT if name in os.environ})
    del environment["GIT_NO_LAZY_FETCH"]
    process = None
    try:
        process = subprocess.Popen(  # noqa: S603  fixed program and options; the address stands in the environment
            ["git", *where, *arguments],  # noqa: S607  whichever git the user has
            cwd=folder or Path("/"),
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        out, told = process.communicate(timeout=seconds)
    except FileNotFoundError as missing:
        raise BurilError("D004", path=url) from missing
    except subprocess.TimeoutExpired as late:
        raise BurilError("D010", url=url, problem=f"no answer within {seconds} s") from late
    finally:
        if process is not None and process.poll() is None:
            _end(process)
    if process.returncode:
        words = [line for line in told.decode("utf-8", "replace").splitlines() if line.strip()]
        problem = next(
            (line for line in words if line.startswith(("fatal:", "error:", "ERROR:"))), (words or ["?"])[-1]
        )
        raise BurilError("D010", url=url, problem=problem[:300])
    return out.decode("utf-8", "replace")


def _end(process: subprocess.Popen[bytes]) -> None:
    """End git and the programs that it started."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, 9)
    process.communicate()


def _switches(url: str, token: str) -> Mapping[str, str]:
    """The environment that tells git the address, and forbids everything but fetching from it."""
    settings = {
        "remote.origin.url": url,
        "core.hooksPath": os.devnull,
        "core.fsmonitor": "false",
        "credential.helper": "",
        "protocol.allow": "never",
        "fetch.fsckObjects": "true",
        "transfer.fsckObjects": "true",
        "transfer.credentialsInUrl": "die",
        "submodule.recurse": "false",
        "fetch.recurseSubmodules": "false",
        "gc.auto": "0",
        "maintenance.auto": "false",
        "core.askPass": "",
        "http.followRedirects": "initial",
        "safe.directory": "*",
        **{
            f"protocol.{scheme}.allow": "always"
            for scheme in (*SCHEMES, *(("http",) if url.startswith("http:") else ()))
        },
        **{f"fetch.fsck.{name}": "ignore" for name in _TOLERATED},
    }
    if token:
        basic = base64.b64encode(f"x-access-token:{token}".encode()).decode()
        settings[f"http.{url}.extraHeader"] = f"Authorization: Basic {basic}"
    found = {"GIT_CONFIG_COUNT": str(len(settings))}
    for number, (name, value) in enumerate(settings.items()):
        found[f"GIT_CONFIG_KEY_{number}"], found[f"GIT_CONFIG_VALUE_{number}"] = name, value
    found["GIT_SSH_COMMAND"] = "ssh -o BatchMode=yes -o ForwardAgent=no -o ClearAllForwardings=yes"
    found["GIT_ASKPASS"] = found["SSH_ASKPASS"] = "true"
    return found
