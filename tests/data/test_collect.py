from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from buril.code.codefile import DROPPED_SCHEMA, SCHEMA, read_rows
from buril.core.artifact import Artifact
from buril.core.errors import BurilError
from buril.core.stage import Output
from buril.data._plan import Planned, sample
from buril.data.collect import Collect
from buril.data.source import SourceFile
from buril.engines._pool import _UNFORKABLE


def write(folder: Path, files: dict[str, str | bytes]) -> None:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())


def collect(*paths: Path, **given: Any) -> Collect:
    return Collect(
        Collect.Settings.model_validate({"sources": [{"folder": str(path)} for path in paths], "workers": 1, **given})
    )


def tree(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.fixture
def code(tmp_path: Path) -> Path:
    root = tmp_path / "src"
    for number in range(30):
        write(root, {f"m{number % 5}/f{number:02d}.py": f"# {number}\n" + f"x{number} = {number}\n" * 40})
    return root


def test_rows_say_where_they_come_from(tmp_path: Path, make_artifact: Callable[..., Artifact]) -> None:
    write(
        tmp_path / "src",
        {
            "b.py": "# SPDX-License-Identifier: MIT\nx = 1\n",
            "a/z.py": "\ufeffy = 'ñ'\r\n",
            "run": "#!/bin/sh\necho\n",
            "x.h": "namespace a {\n}\n",
            "latin.py": "# coding: latin-1\nx = 'ñ'\n".encode("latin-1"),
            "broken.py": b"x = '\xff'\n",
            "bin.py": b"a\0b",
            "big.py": "x" * 2000,
            "blank.py": " \n\n",
            "empty.py": "",
            "notes.txt": "hi",
            "qt.ts": "<?xml version='1.0'?>",
        },
    )
    made = make_artifact(collect(tmp_path / "src", max_file_bytes=1000))
    rows = list(read_rows(made.path("rows/00000.parquet")))
    assert [(row.path, row.language, row.license) for row in rows] == [
        ("a/z.py", "python", ""),
        ("b.py", "python", "MIT"),
        ("latin.py", "python", ""),
        ("run", "bash", ""),
        ("x.h", "cpp", ""),
    ]
    assert rows[0].content == "y = 'ñ'\r\n"
    assert rows[0].bytes == len("\ufeffy = 'ñ'\r\n".encode())
    assert {row.repo for row in rows} == {"src"}
    assert pq.read_schema(made.path("rows/00000.parquet")).equals(SCHEMA)
    assert pq.read_schema(made.path("dropped.parquet")).equals(DROPPED_SCHEMA)
    dropped = pq.read_table(made.path("dropped.parquet")).to_pylist()
    assert {row["path"]: row["reason"] for row in dropped} == {
        "broken.py": "encoding",
        "bin.py": "binary",
        "big.py": "too_large",
        "blank.py": "empty",
        "empty.py": "empty",
        "notes.txt": "language",
        "qt.ts": "language",
    }
    assert {row["stage"] for row in dropped} == {"collect"}
    assert made.json("repositories.json") == [
        {
            "repo": "src",
            "url": "",
            "commit": "",
            "license": "",
            "files": 5,
            "bytes": sum(row.bytes for row in rows),
            "kind": "folder",
            "signals": {"ci": 0.0},
        }
    ]
    assert made.manifest.metrics["files"] == 5
    assert sum(made.manifest.metrics["dropped"].values()) == len(dropped)


def test_nothing_on_the_machine_is_told(code: Path, tmp_path: Path, make_artifact: Callable[..., Artifact]) -> None:
    made = make_artifact(collect(code))
    for path in made.folder.rglob("*"):
        assert path.is_dir() or str(tmp_path).encode() not in path.read_bytes()
    for name in ("rows/00000.parquet", "dropped.parquet"):
        assert str(tmp_path) not in str(pq.read_table(made.path(name)).to_pylist())


def test_shards_are_ordered_bounded_and_independent_of_workers(
    code: Path, make_artifact: Callable[..., Artifact]
) -> None:
    one = make_artifact(collect(code, shard_bytes=3000), folder="one")
    two = make_artifact(collect(code, shard_bytes=3000, workers=3), folder="two")
    assert tree(one.folder) == tree(two.folder)
    shards = [list(read_rows(path)) for path in one.files("rows/*.parquet")]
    assert len(shards) > 3
    assert all(sum(row.bytes for row in shard) <= 3000 for shard in shards)
    paths = [row.path for shard in shards for row in shard]
    assert paths == sorted(paths)
    assert len(paths) == 30


def test_a_killed_run_goes_on_to_the_same_bytes(
    code: Path, tmp_path: Path, make_artifact: Callable[..., Artifact]
) -> None:
    whole = make_artifact(collect(code, shard_bytes=1500), folder="whole")
    script = f"""
import time
from pathlib import Path
import buril.data.collect as module
from buril.core.events import EventLog
from buril.core.stage import Output
read = module._read_shard
def slowly(job):
    time.sleep(0.05)
    return read(job)
module._read_shard = slowly
given = {{"sources": [{{"folder": {str(code)!r}}}], "workers": 1, "shard_bytes": 1500}}
stage = module.Collect(module.Collect.Settings.model_validate(given))
stage.run({{}}, Output(Path({str(tmp_path / "cut")!r}), EventLog(Path({str(tmp_path / "e.jsonl")!r})), "collect"))
"""
    process = subprocess.Popen([sys.executable, "-c", script])
    deadline = time.monotonic() + 30
    while not (tmp_path / "cut" / "rows" / "00002.parquet").exists() and time.monotonic() < deadline:
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()
    done = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "cut" / "rows").glob("*.parquet")}
    assert 3 <= len(done) < len(whole.files("rows/*.parquet"))
    assert not (tmp_path / "cut" / "dropped.parquet").exists()
    write(code, {"m0/a_new_one.py": "z = 1\n"})  # the plan of the first attempt holds
    resumed = make_artifact(collect(code, shard_bytes=1500), folder="cut")
    assert tree(resumed.folder) == tree(whole.folder)
    assert all((resumed.folder / "rows" / name).stat().st_mtime_ns == when for name, when in done.items())


def test_a_file_that_vanished_since_the_plan_is_dropped(
    code: Path, make_artifact: Callable[..., Artifact], output: Callable[..., Output]
) -> None:
    stage = collect(code)
    stage._plan(output("collect"))
    (code / "m0" / "f00.py").unlink()
    (code / "m1" / "f01.py").write_text("x" * 2_000_000)
    made = make_artifact(stage)
    reasons = {row["path"]: row["reason"] for row in pq.read_table(made.path("dropped.parquet")).to_pylist()}
    assert reasons == {"m0/f00.py": "unreadable", "m1/f01.py": "too_large"}


def test_the_same_place_in_two_sources_is_one_row(code: Path, make_artifact: Callable[..., Artifact]) -> None:
    made = make_artifact(collect(code, code / ".." / "src"))
    rows = list(read_rows(made.path("rows/00000.parquet")))
    assert len({row.row_id for row in rows}) == len(rows) == 30
    assert made.manifest.metrics["dropped"] == {"same_place": 30}
    assert len(made.json("repositories.json")) == 1


def test_nothing_to_learn_from_is_an_error(tmp_path: Path, make_artifact: Callable[..., Artifact]) -> None:
    write(tmp_path / "src", {"a.txt": "hi"})
    with pytest.raises(BurilError) as refused:
        make_artifact(collect(tmp_path / "src"))
    assert refused.value.code == "D007"
    assert "language: 1" in str(refused.value)
    with pytest.raises(ValidationError):
        collect()


def test_the_key_follows_the_sources(code: Path) -> None:
    stage = collect(code)
    assert stage.observe() == collect(code).observe()
    assert stage.parts()["source:folder"] == 2
    assert stage.parts()["language:python"] >= 1
    assert "workers" not in stage.settings.identity()
    assert stage.work({}) == sum(path.stat().st_size for path in code.rglob("*.py"))
    assert collect(code, max_files=15).work({}) == stage.work({}) / 2
    before = stage.observe()
    write(code, {"new.py": "x"})
    assert collect(code).observe() != before


def test_a_bounded_collect_says_what_it_left_out(code: Path, make_artifact: Callable[..., Artifact]) -> None:
    made = make_artifact(collect(code, max_files=7))
    rows = list(read_rows(made.path("rows/00000.parquet")))
    dropped = pq.read_table(made.path("dropped.parquet")).to_pylist()
    assert len(rows) == 7
    assert Counter((row["step"], row["reason"]) for row in dropped) == {("sample", "max_files"): 23}
    assert Collect.small == {"max_files": 2000}


def planned(repositories: dict[str, list[str]]) -> tuple[list[Planned], list[str]]:
    names = list(repositories)
    return [
        Planned(names.index(name), SourceFile(path, 1)) for name, paths in repositories.items() for path in paths
    ], names


def test_a_sample_is_spread_over_repositories_and_keeps_copies_together() -> None:
    copies = [f"idna/{name}.py" for name in "abcdefghij"]
    many = {f"r{number}": [f"p{number}/m{index}.py" for index in range(500)] for number in range(40)}
    many["left"] = [f"_vendor/{path}" for path in copies] + [f"left/{index}.py" for index in range(50)]
    many["right"] = copies + [f"right/{index}.py" for index in range(50)]
    files, names = planned(many)
    chosen = sample(files, names, 400)
    assert len(chosen) == 400
    assert len({item.repository for item in chosen}) == 20
    assert max(Counter(item.repository for item in chosen).values()) == 20
    few, few_names = planned({"left": many["left"], "right": many["right"]})
    drawn = sample(few, few_names, 40)
    left = {
        item.file.path.removeprefix("_vendor/") for item in drawn if "idna" in item.file.path and item.repository == 0
    }
    right = {item.file.path for item in drawn if "idna" in item.file.path and item.repository == 1}
    assert left & right


@settings(max_examples=60, deadline=None)
@given(
    st.dictionaries(
        st.text("abc", min_size=1, max_size=3), st.sets(st.text("xy/", min_size=1, max_size=5), max_size=12), max_size=6
    ),
    st.integers(1, 40),
)
def test_a_sample_has_its_size_and_does_not_depend_on_the_order(repositories: dict[str, set[str]], size: int) -> None:
    files, names = planned({name: sorted(paths) for name, paths in repositories.items()})
    chosen = sample(files, names, size)
    assert len(chosen) == min(size, len(files))
    assert sample(list(reversed(files)), names, size) == chosen


def test_interrupted_workers_stop_and_leave_whole_shards(code: Path, tmp_path: Path) -> None:
    script = f"""
import sys, time
from pathlib import Path
import buril.data.collect as module
from buril.core.events import EventLog
from buril.core.stage import Output
read = module._read_shard
def slowly(job):
    time.sleep(0.2)
    return read(job)
slowly.__qualname__ = slowly.__name__ = "_read_shard"; slowly.__module__ = module.__name__
module._read_shard = slowly
given = {{"sources": [{{"folder": {str(code)!r}}}], "workers": 2, "shard_bytes": 500}}
stage = module.Collect(module.Collect.Settings.model_validate(given))
try:
    stage.run({{}}, Output(Path({str(tmp_path / "cut")!r}), EventLog(Path({str(tmp_path / "e.jsonl")!r})), "collect"))
except KeyboardInterrupt:
    sys.exit(130)
"""
    process = subprocess.Popen([sys.executable, "-c", script], start_new_session=True)
    deadline = time.monotonic() + 30
    while not (tmp_path / "cut" / "rows" / "00000.parquet").exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGINT)
    assert process.wait(timeout=20) == 130
    with pytest.raises(ProcessLookupError):
        os.killpg(process.pid, 0)
    for path in (tmp_path / "cut" / "rows").glob("*.parquet"):
        assert list(read_rows(path))


def test_a_worker_that_dies_is_named(
    code: Path, output: Callable[..., Output], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in _UNFORKABLE:  # where one of these is loaded workers are spawned, and the fault would stay here
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.setattr("buril.data.source.read", lambda *arguments: os._exit(9))
    with pytest.raises(BurilError) as refused:
        collect(code, workers=2, shard_bytes=500).run({}, output("collect"))
    assert refused.value.code == "S009"
