from __future__ import annotations

import base64
import gzip
import hashlib
import json
import os
import subprocess
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import pyarrow.parquet as pq
import pytest
from pydantic import ValidationError

from buril.code._license_marks import MARKS
from buril.code.codefile import read_rows
from buril.core.artifact import Artifact
from buril.core.errors import BurilError
from buril.data.collect import Collect
from buril.data.source import Dropped, SourceFile
from buril.data.sources import _clone, _objects
from buril.data.sources.git import EXPECTED, Git
from buril.testing import check_source

MIT = "Copyright (c) 2020 A\n" + ". ".join(next(mark for mark in MARKS if mark.license == "MIT").need)
DATE = "2024-03-05T12:00:00+00:00"
WHO = {"GIT_AUTHOR_DATE": DATE, "GIT_COMMITTER_DATE": DATE}


def git(folder: Path, *arguments: str, given: bytes = b"") -> str:
    command = ["git", "-c", "user.name=a", "-c", "user.email=a@b.c", "-c", "init.defaultBranch=main", *arguments]
    done = subprocess.run(command, cwd=folder, check=True, capture_output=True, input=given, env={**os.environ, **WHO})
    return done.stdout.decode().strip()


def write(folder: Path, files: dict[str, str | bytes]) -> None:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())


def repository(folder: Path, files: dict[str, str | bytes]) -> str:
    folder.mkdir(parents=True, exist_ok=True)
    write(folder, files)
    git(folder, "init", "-q")
    git(folder, "add", "-A")
    git(folder, "commit", "-q", "-m", "one")
    return git(folder, "rev-parse", "HEAD")


def source(url: Path | str, **given: Any) -> Git:
    place = {"path": str(url)} if isinstance(url, Path) else {"url": url}
    return Git(Git.Settings.model_validate({**place, **given}))


def listing(made: Git) -> dict[str, SourceFile | Dropped]:
    (repo,) = made.repositories()
    return {item.path: item for item in made.files(repo)}


def reasons(made: Git) -> dict[str, str]:
    return {path: item.reason if isinstance(item, Dropped) else "" for path, item in listing(made).items()}


def rows(made: Artifact) -> dict[str, Any]:
    return {row.path: row for path in made.files("rows/*.parquet") for row in read_rows(path)}


def collect(*sources: dict[str, Any], **given: Any) -> Collect:
    return Collect(Collect.Settings.model_validate({"sources": list(sources), "workers": 1, **given}))


def bad_tree(folder: Path, entries: list[tuple[str, bytes, str]]) -> str:
    """A commit whose tree has names that git itself would refuse to add."""
    raw = b"".join(f"{mode} ".encode() + name + b"\0" + bytes.fromhex(blob) for mode, name, blob in entries)
    tree = git(folder, "hash-object", "-w", "-t", "tree", "--literally", "--stdin", given=raw)
    return git(folder, "commit-tree", tree, "-m", "bad")


def test_any_revision_is_read_without_a_working_tree(tmp_path: Path, make_artifact: Callable[..., Artifact]) -> None:
    first = repository(
        tmp_path / "tool",
        {
            "LICENSE": MIT,
            "a.py": "x = 1\n",
            "run": "#!/bin/sh\necho\n",
            "notes": "hi",
            "vendor/LICENSE": "Some words.",
            "vendor/v.py": "# SPDX-License-Identifier: ISC\nv = 1\n",
            "vendor/w.py": "w = 1\n",
            ".github/workflows/ci.yml": "on: push",
            "tests/test_a.py": "def test(): pass\n",
            "node_modules/x.js": "x\n",
            "e.py": "",
        },
    )
    git(tmp_path / "tool", "tag", "-a", "v1", "-m", "one")
    write(tmp_path / "tool", {"a.py": "x = 2\n"})
    git(tmp_path / "tool", "commit", "-qam", "two")
    write(tmp_path / "tool", {"a.py": "never committed\n"})
    git(tmp_path / "tool", "remote", "add", "origin", "https://github.com/acme/tool.git")
    git(tmp_path, "clone", "-q", "--bare", "tool", "bare.git")
    for place in (tmp_path / "tool", tmp_path / "bare.git", f"file://{tmp_path}/tool", tmp_path / "tool" / ".git"):
        made = source(place, revision="v1", as_of="2024-03-15")
        (repo,) = made.repositories()
        assert (repo.commit, repo.license, repo.kind) == (first, "MIT", "git")
        assert repo.signals == {"last_commit_day": 19787.0, "last_commit_age_days": 10.0, "ci": 1.0, "tests": 1.0}
    check_source(source(tmp_path / "tool"))
    assert reasons(source(tmp_path / "tool")) == {
        "LICENSE": "language",
        "a.py": "",
        "run": "",
        "notes": "language",
        "vendor/LICENSE": "language",
        "vendor/v.py": "",
        "vendor/w.py": "",
        ".github/workflows/ci.yml": "language",
        "tests/test_a.py": "",
        "node_modules/x.js": "excluded",
        "e.py": "empty",
    }
    made_rows = rows(make_artifact(collect({"git": {"path": str(tmp_path / "tool"), "revision": "v1"}})))
    assert made_rows["a.py"].content == "x = 1\n"
    assert {path: row.license for path, row in made_rows.items()} == {
        "a.py": "MIT",
        "run": "MIT",
        "tests/test_a.py": "MIT",
        "vendor/v.py": "ISC",
        "vendor/w.py": "",
    }
    assert {row.commit for row in made_rows.values()} == {first}
    assert made_rows["a.py"].repo == "github.com/acme/tool"
    now = rows(make_artifact(collect({"git": {"path": str(tmp_path / "tool")}}), folder="now"))
    assert now["a.py"].content == "x = 2\n"
    assert source(tmp_path / "tool").observe() != source(tmp_path / "tool", revision="v1").observe()
    assert set(reasons(source(tmp_path / "tool", include=["vendor/**"]))) == set(reasons(source(tmp_path / "tool")))
    assert [path for path, why in reasons(source(tmp_path / "tool", include=["vendor/**"])).items() if not why] == [
        "vendor/v.py",
        "vendor/w.py",
    ]
    counted = source(tmp_path / "tool", history=True)
    (repo,) = counted.repositories()
    assert (repo.signals["commits"], repo.signals["contributors"]) == (2.0, 1.0)


def test_a_hostile_repository_runs_nothing(tmp_path: Path, make_artifact: Callable[..., Artifact]) -> None:
    repository(
        tmp_path / "evil",
        {"a.py": "x = 1\n", "b.txt": "y\n", ".gitattributes": "*.py filter=evil diff=evil textconv=evil\n"},
    )
    ran = tmp_path / "ran"
    script = tmp_path / "evil.sh"
    script.write_text(f"#!/bin/sh\necho $0 >> {ran}\ncat\n")
    script.chmod(0o755)
    root = tmp_path / "evil"
    for hook in (
        "post-checkout",
        "post-index-change",
        "fsmonitor-watchman",
        "reference-transaction",
        "pre-auto-gc",
        "post-merge",
    ):
        (root / ".git" / "hooks").mkdir(exist_ok=True)
        (root / ".git" / "hooks" / hook).write_text(script.read_text())
        (root / ".git" / "hooks" / hook).chmod(0o755)
    for key in (
        "core.fsmonitor",
        "filter.evil.clean",
        "filter.evil.smudge",
        "filter.evil.process",
        "diff.evil.command",
        "diff.evil.textconv",
        "diff.external",
        "core.pager",
        "pager.ls-tree",
        "core.sshCommand",
        "core.gitProxy",
        "core.askPass",
        "credential.helper",
        "gpg.program",
        "uploadpack.packObjectsHook",
        "core.alternateRefsCommand",
        "interactive.diffFilter",
        "alias.rev-parse",
        "alias.cat-file",
    ):
        git(root, "config", key, f"!{script}" if key.startswith("alias") else str(script))
    git(root, "config", "log.showSignature", "true")
    git(root, "config", "core.worktree", "/etc")
    # a promised object that is missing would be fetched, by a program of the repository's choice
    blob = git(root, "rev-parse", "HEAD:b.txt")
    (root / ".git" / "objects" / blob[:2] / blob[2:]).unlink()
    for key, value in (
        ("extensions.partialClone", "evil"),
        ("core.repositoryformatversion", "1"),
        ("remote.evil.url", f"ext::{script}"),
        ("remote.evil.promisor", "true"),
        ("remote.evil.vcs", "evil"),
        ("remote.evil.uploadpack", str(script)),
    ):
        git(root, "config", key, value)
    ran.unlink(missing_ok=True)
    os.utime(root / "a.py", (1, 1))
    made = make_artifact(collect({"git": {"path": str(root), "history": True}}))
    assert list(rows(made)) == ["a.py"]
    assert not ran.exists()
    git(root, "config", "remote.evil.url", f"{script}")
    assert list(rows(make_artifact(collect({"git": {"path": str(root)}}), folder="two"))) == ["a.py"]
    assert not ran.exists()
    git(root, "config", "--unset", "core.worktree")
    git(root, "config", "--unset", "extensions.partialClone")
    subprocess.run(["git", "status"], cwd=root, check=False, capture_output=True)
    assert ran.exists(), "the traps are live: plain git runs them"


def test_odd_trees_are_told_of(tmp_path: Path, make_artifact: Callable[..., Artifact]) -> None:
    root = tmp_path / "odd"
    repository(
        root,
        {
            "a.py": "x = 1\n",
            "big.py": "y = 1\n" * 500_000,
            "pointer.py": "version https://git-lfs.github.com/spec/v1\noid sha256:0\n",
        },
    )
    (root / "link.py").symlink_to("/etc/passwd")
    git(root, "add", "link.py")
    git(root, "commit", "-qm", "link")
    blob, sub = git(root, "rev-parse", "HEAD:a.py"), git(root, "rev-parse", "HEAD")
    tree = git(root, "rev-parse", "HEAD^{tree}")
    inner = git(
        root, "hash-object", "-w", "-t", "tree", "--literally", "--stdin", given=b"100644 x.py\0" + bytes.fromhex(blob)
    )
    commit = bad_tree(
        root,
        [
            ("40000", b"..", inner),
            ("40000", b".git", inner),
            ("100644", b"a\nb.py", blob),
            ("160000", b"module", sub),
            ("100644", b"n\xff.py", blob),
            ("40000", b"real", tree),
            ("100644", "ñ 世.py".encode(), blob),
        ],
    )
    git(root, "update-ref", "refs/heads/odd", commit)
    made = source(root, revision="odd")
    assert reasons(made) == {
        "__/x.py": "path",
        ".git/x.py": "path",
        "a\nb.py": "",
        "module": "submodule",
        "n\udcff.py": "path",
        "real/a.py": "",
        "real/big.py": "",
        "real/link.py": "symlink",
        "real/pointer.py": "",
        "ñ 世.py": "",
    }
    collected = make_artifact(collect({"git": {"path": str(root), "revision": "odd"}}, max_file_bytes=10_000))
    assert list(rows(collected)) == ["a\nb.py", "real/a.py", "ñ 世.py"]
    why = {row["path"]: row["reason"] for row in pq.read_table(collected.path("dropped.parquet")).to_pylist()}
    assert (why["real/big.py"], why["real/pointer.py"], why["n\\xff.py"]) == ("too_large", "lfs_pointer", "path")


def test_a_huge_object_is_passed_over_not_held(tmp_path: Path) -> None:
    repository(tmp_path / "r", {"huge.py": b"x" * 30_000_000, "a.py": "a = 1\n"})
    ids = [git(tmp_path / "r", "rev-parse", f"HEAD:{name}") for name in ("huge.py", "a.py")]
    with _objects.blobs(tmp_path / "r" / ".git") as blobs:
        assert blobs.read(ids[0], 10) == b"x" * 10
        assert blobs.read("0" * 40, 10) is None
        assert blobs.read(ids[1], 10) == b"a = 1\n"


@pytest.fixture
def ssh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A program `ssh` that connects to this machine; it writes down what it was asked."""
    log = tmp_path / "ssh.log"
    program = tmp_path / "bin" / "ssh"
    write(tmp_path, {"bin/ssh": f'#!/bin/sh\necho "$@" >> {log}\nfor last; do :; done\nexec sh -c "$last"\n'})
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    _clone.resolve.cache_clear()
    return log


def test_a_remote_repository_is_fetched_once_without_history_or_large_files(
    tmp_path: Path, ssh: Path, make_artifact: Callable[..., Artifact]
) -> None:
    root = tmp_path / "far" / "tool"
    repository(root, {"LICENSE": MIT, "a.py": "x = 1\n", "huge.py": os.urandom(11_000_000)})
    write(root, {"a.py": "x = 2\n"})
    git(root, "commit", "-qam", "two")
    git(root, "config", "uploadpack.allowFilter", "true")
    head = git(root, "rev-parse", "HEAD")
    cache = tmp_path / "cache"
    given = {"url": f"ssh://git@far.example{root}", "revision": "main", "cache": str(cache)}
    made = source(**given)
    assert made.expected() == EXPECTED
    assert made.observe() == [f"far.example{root}", head]
    assert list(made.notes()) == [f"far.example{root}: main is {head}"]
    assert not list(cache.glob("*/objects/pack/*.pack")), "nothing is fetched to observe"
    assert "BatchMode=yes" in ssh.read_text()
    stage = collect({"git": given})
    assert stage.work({}) == EXPECTED[0]
    found = rows(make_artifact(stage))
    assert found["a.py"].content == "x = 2\n"
    assert found["a.py"].commit == head
    assert made.expected() is None
    assert reasons(source(**given))["huge.py"] == "too_large"
    (kept,) = cache.glob("*.git")
    assert sum(path.stat().st_size for path in kept.rglob("*") if path.is_file()) < 1_000_000
    assert git(kept, "rev-list", "--count", head) == "1"
    asked = ssh.read_text()
    pinned = source(given["url"], revision=head, cache=str(cache))
    assert reasons(pinned)["a.py"] == ""
    assert list(pinned.notes()) == []
    assert ssh.read_text() == asked, "a pinned commit that is there needs no network"
    check_source(pinned)
    text = (kept / "config").read_text()
    assert "far.example" not in text
    deep = source(given["url"], revision=head, cache=str(cache), history=True)
    (repo,) = deep.repositories()
    assert repo.signals["commits"] == 2.0


def test_a_fetch_that_was_cut_is_taken_up(tmp_path: Path, ssh: Path) -> None:
    root = tmp_path / "far" / "tool"
    head = repository(root, {"a.py": "x = 1\n"})
    url = f"git@far.example:{root}"
    cache = tmp_path / "cache"
    kept = _clone.folder_of(url, cache)
    (kept / "objects" / "pack").mkdir(parents=True)
    (kept / "objects" / "pack" / "tmp_pack_x").write_bytes(b"half")
    (kept / "shallow.lock").write_text("")
    assert reasons(source(url, revision=head, cache=str(cache)))["a.py"] == ""
    assert not (kept / "objects" / "pack" / "tmp_pack_x").exists()


def test_a_remote_that_fails_is_said(tmp_path: Path, ssh: Path) -> None:
    root = tmp_path / "far" / "tool"
    repository(root, {"a.py": "x = 1\n"})
    for given, code in (
        ({"url": f"ssh://far.example{tmp_path}/none"}, "D010"),
        ({"url": f"ssh://far.example{root}", "revision": "no-such-branch"}, "D011"),
        ({"url": f"ssh://far.example{root}", "revision": "0" * 40}, "D011"),
        ({"url": root, "revision": "no-such-branch"}, "D011"),
        ({"url": tmp_path / "none"}, "D001"),
        ({"url": tmp_path}, "D006"),
    ):
        with pytest.raises(BurilError) as refused:
            list(source(**{"cache": str(tmp_path / "cache"), **given}).repositories())
        assert refused.value.code == code, given


def test_a_bad_object_is_not_taken_from_a_remote(tmp_path: Path, ssh: Path) -> None:
    root = tmp_path / "far" / "tool"
    repository(root, {"a.py": "x = 1\n"})
    inner = git(root, "rev-parse", "HEAD^{tree}")
    git(root, "update-ref", "refs/heads/bad", bad_tree(root, [("40000", b"..", inner)]))
    with pytest.raises(BurilError) as refused:
        list(source(f"ssh://far.example{root}", revision="bad", cache=str(tmp_path / "cache")).repositories())
    assert refused.value.code == "D010"


def test_a_token_is_sent_by_reference_and_never_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_TOKEN", "s3cret")
    told = _clone._switches("https://host.org/a/b", "s3cret")
    assert "s3cret" not in json.dumps(dict(told))
    assert any("Authorization: Basic" in value for value in told.values())
    made = source("https://host.org/a/b", revision="0" * 40, token="env:MY_TOKEN")
    assert "MY_TOKEN" not in json.dumps(made.settings.identity())
    monkeypatch.delenv("MY_TOKEN")
    with pytest.raises(BurilError) as refused:
        source("https://host.org/a/b", token="env:MY_TOKEN", cache=str(tmp_path)).observe()
    assert refused.value.code == "C006"


@pytest.mark.parametrize(
    "given",
    [
        {"url": "https://user:pw@host.org/a/b"},
        {"url": "https://token@host.org/a/b"},
        {"url": "ext::sh -c evil"},
        {"url": "--upload-pack=evil"},
        {"url": "git://host.org/a/b"},
        {"url": "http://host.org/a/b"},
        {"url": "ssh://-oProxyCommand=evil/a"},
        {"url": "../relative"},
        {"url": "https://host.org/a/b", "revision": "--output=x"},
        {"url": "https://host.org/a/b", "revision": "a..b"},
        {"url": "https://host.org/a/b", "revision": "HEAD@{yesterday}"},
        {"url": "https://host.org/a/b", "token": "ghp_literal"},
        {"url": "https://host.org/a/b", "license": "do what you like"},
    ],
)
def test_addresses_and_names_that_could_harm_are_refused(given: dict[str, str]) -> None:
    with pytest.raises(ValidationError):
        source(**given)


class _Backend(BaseHTTPRequestHandler):
    """Git's own HTTP backend, behind a token; `faults` come first."""

    root: Path
    token = ""
    faults: ClassVar[list[tuple[int, str]]] = []
    seen: ClassVar[list[str]] = []

    def log_message(self, *arguments: Any) -> None:
        pass

    def do_GET(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._answer()

    def _answer(self) -> None:
        path, _, query = self.path.partition("?")
        self.seen.append(path)
        if self.faults:
            status, where = self.faults.pop(0)
            return self._say(status, {"Location": where} if where else {}, b"")
        basic = base64.b64encode(f"x-access-token:{self.token}".encode()).decode()
        if self.token and self.headers.get("Authorization") != f"Basic {basic}":
            return self._say(401, {"WWW-Authenticate": 'Basic realm="git"'}, b"")
        raw = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.headers.get("Content-Encoding") == "gzip":
            raw = gzip.decompress(raw)
        environment = {
            "PATH": os.environ["PATH"],
            "GIT_PROJECT_ROOT": str(self.root),
            "GIT_HTTP_EXPORT_ALL": "1",
            "REQUEST_METHOD": self.command,
            "PATH_INFO": path,
            "QUERY_STRING": query,
            "CONTENT_TYPE": self.headers.get("Content-Type", ""),
            "CONTENT_LENGTH": str(len(raw)),
            "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
            "GIT_CONFIG_COUNT": "1",
            "GIT_CONFIG_KEY_0": "safe.directory",
            "GIT_CONFIG_VALUE_0": "*",
        }
        done = subprocess.run(["git", "http-backend"], input=raw, env=environment, capture_output=True, check=True)
        head, _, body = done.stdout.partition(b"\r\n\r\n")
        headers = dict(line.split(": ", 1) for line in head.decode().split("\r\n"))
        self._say(int(headers.pop("Status", "200").split()[0]), headers, body)

    def _say(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@pytest.fixture
def web(tmp_path: Path) -> Iterator[tuple[str, type[_Backend]]]:
    handler = type("Backend", (_Backend,), {"root": tmp_path / "far", "faults": [], "seen": []})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    _clone.resolve.cache_clear()
    yield f"http://127.0.0.1:{server.server_address[1]}", handler
    server.shutdown()
    server.server_close()
    thread.join()


def test_a_private_repository_over_http_needs_the_token_and_asks_nobody(
    tmp_path: Path, web: tuple[str, type[_Backend]], monkeypatch: pytest.MonkeyPatch
) -> None:
    url, server = web
    repository(tmp_path / "far" / "tool", {"a.py": "x = 1\n"})
    server.token = "s3cret"
    told = {"url": f"{url}/tool/.git", "cache": str(tmp_path / "cache")}
    with pytest.raises(BurilError) as refused:
        source(**told).observe()
    assert refused.value.code == "D010"
    monkeypatch.setenv("MY_TOKEN", "s3cret")
    assert reasons(source(**told, token="env:MY_TOKEN")) == {"a.py": ""}
    kept = [path for path in (tmp_path / "cache").rglob("*") if path.is_file()]
    basic = base64.b64encode(b"x-access-token:s3cret")
    assert kept
    assert not [path for path in kept if b"s3cret" in path.read_bytes() or basic in path.read_bytes()]


def test_a_server_that_fails_or_sends_elsewhere_is_said(tmp_path: Path, web: tuple[str, type[_Backend]]) -> None:
    url, server = web
    repository(tmp_path / "far" / "tool", {"a.py": "x = 1\n"})
    for fault in ((500, ""), (403, ""), (404, ""), (302, "file:///etc/passwd"), (302, f"{url}/loop"), (429, "")):
        _clone.resolve.cache_clear()
        server.faults[:] = [fault] * 60
        with pytest.raises(BurilError) as refused:
            source(f"{url}/tool/.git", cache=str(tmp_path / "cache")).observe()
        assert refused.value.code == "D010", fault
    server.faults.clear()
    assert reasons(source(f"{url}/tool/.git", cache=str(tmp_path / "cache"))) == {"a.py": ""}


def test_one_place_is_needed() -> None:
    for wrong in ({}, {"url": "https://host.org/a/b", "path": "x"}):
        with pytest.raises(BurilError) as refused:
            Git(Git.Settings.model_validate(wrong))
        assert refused.value.code == "D023"


def test_a_repository_with_sha256_names(tmp_path: Path, make_artifact: Callable[..., Artifact]) -> None:
    root = tmp_path / "new"
    root.mkdir()
    git(root, "init", "-q", "--object-format=sha256")
    write(root, {"a.py": "x = 1\n"})
    git(root, "add", "-A")
    git(root, "commit", "-qm", "one")
    found = rows(make_artifact(collect({"git": {"path": str(root)}})))
    assert len(found["a.py"].commit) == 64
    assert found["a.py"].sha256 == hashlib.sha256(b"x = 1\n").hexdigest()
