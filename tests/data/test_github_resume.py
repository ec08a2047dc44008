"""A collection from GitHub that is killed anywhere goes on: nothing that was finished is asked for again."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow.parquet as pq
import pytest

from tests.data.github_api import Github, Repo, hang, send, serving

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = """
import sys, json
from pathlib import Path
from buril.core.events import EventLog
from buril.core.store import Store
from buril.data.collect import Collect
root, told = Path(sys.argv[1]), json.loads(sys.argv[2])
stage = Collect(Collect.Settings.model_validate({"sources": [{"github": told}], "workers": 1}))
artifact, there = Store(root / "store").make(stage, {}, EventLog(root / "events.jsonl"))
print(json.dumps([artifact.digest, str(artifact.folder), there]))
"""


class Whole(NamedTuple):
    """A server, what a collection from it that nobody killed gave, and how often it asked for what."""

    server: Github
    digest: str
    asked: Counter[str]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Whole]:
    root = tmp_path_factory.mktemp("whole")
    with serving() as found:
        found.page = 3
        for number in range(9):
            files: dict[str, str | bytes] = {f"m{n}.py": f"x = {number * 100 + n}\n" for n in range(5)}
            files["LICENSE"] = "MIT License\n"
            files["big.py"] = "".join(f"y{n} = {n * (7919 + number) % 100_003}\n" for n in range(4000))
            repo = Repo(f"acme/r{number}", files, stars=number)
            repo.archive = repo.packed()
            found.add(repo)
        found.add(Repo("acme/gone", status=451), Repo("acme/none", empty=True))
        digest, _folder, _there = finish(start(found, root, root / "cache"))
        for path in root.rglob("*"):
            assert not path.is_file() or found.token.encode() not in path.read_bytes(), path
        yield Whole(found, digest, Counter(path for _h, path, _a in found.requests))


def start(server: Github, root: Path, cache: Path) -> subprocess.Popen[str]:
    told = {
        "org": "acme",
        "api": server.api,
        "cache": str(cache),
        "token": "env:GH_TEST",
        "as_of": "2026-07-01",
        "downloads": 2,
    }
    environment = {name: value for name, value in os.environ.items() if "proxy" not in name.lower()}
    return subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(root), json.dumps(told)],
        cwd=ROOT, env={**environment, "GH_TEST": server.token}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def finish(process: subprocess.Popen[str]) -> tuple[str, Path, bool]:
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    digest, folder, there = json.loads(out)
    return digest, Path(folder), there


def kill_when(process: subprocess.Popen[str], server: Github, pattern: str) -> None:
    """Kill the process as soon as the server was asked for such a path."""
    deadline = time.monotonic() + 60
    while not server.asked(pattern):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline, f"never asked for {pattern}"
        time.sleep(0.01)
    time.sleep(0.2)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    known = -1
    while known != len(server.requests):  # what had been sent is still being read, on a busy machine
        known = len(server.requests)
        time.sleep(0.5)


def half(server: Github, handler: Any) -> bool:
    """Half of an archive, then silence."""
    repo = server.repos["/".join(handler.path.split("/")[1:3])]
    send(handler, 200, {"ETag": '"1"'}, repo.packed(), most=len(repo.packed()) // 2)
    time.sleep(30)
    return True


@pytest.mark.slow
@pytest.mark.parametrize(
    ("where", "fault"),
    [
        ("/orgs/acme/repos.*page=2", hang(30)),
        ("POST /graphql", hang(30)),
        ("r5/legacy", hang(30)),
        ("r5/legacy", half),
    ],
)
def test_killed_and_gone_on(whole: Whole, tmp_path: Path, where: str, fault: Any) -> None:
    server, never_killed = whole.server, whole.asked
    server.requests.clear()
    server.fault(where.removeprefix("POST "), fault)
    first = start(server, tmp_path / "killed", tmp_path / "killed-cache")
    kill_when(first, server, where)
    in_hand = Counter(path for _h, path, _a in server.requests)
    digest, folder, there = finish(start(server, tmp_path / "killed", tmp_path / "killed-cache"))
    assert (digest, there) == (whole.digest, False)
    rows = pq.read_table(folder / "rows" / "00000.parquet", columns=["path", "commit", "repo"]).to_pylist()
    assert len(rows) == 9 * 6
    assert {row["commit"] for row in rows} == {
        repo.commit for name, repo in server.repos.items() if name[-1].isdecimal()
    }
    reasons = {
        (row["repo"], row["reason"]) for row in pq.read_table(folder / "dropped.parquet").to_pylist() if not row["path"]
    }
    assert {reason for _repo, reason in reasons} == {"empty_repository", "blocked"}
    asked = Counter(path for _h, path, _a in server.requests)
    assert set(asked) == set(never_killed)
    again = {path for path, count in asked.items() if count > never_killed[path]}
    # only what was under way when the process was killed: one listing request, or as many archives as are fetched at once
    assert all(in_hand[path] for path in again)
    assert len({path.split("/legacy")[0].replace("/repos", "").split("/tarball")[0] for path in again}) <= 3, again
    if fault is half:
        server.requests.clear()
        assert finish(start(server, tmp_path / "killed", tmp_path / "killed-cache"))[2], "and then it is reused"
        assert server.requests == []
