from __future__ import annotations

import gzip
import json
import os
import resource
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from buril.code.codefile import CodeFile, read_rows, to_table
from buril.core.artifact import Artifact
from buril.core.errors import BurilError
from buril.data import _pieces
from buril.data.collect import Collect
from buril.data.source import Dropped
from buril.data.sources import _tables
from buril.data.sources.jsonl import Jsonl
from buril.data.sources.parquet import Parquet
from buril.testing import check_source

newlines = _tables._newlines


def record(number: int, **more: Any) -> dict[str, Any]:
    return {
        "code": f"x{number} = {number}\n" * 3,
        "file": f"src/f{number:03d}.py",
        "repo_name": f"acme/r{number % 4}",
        "license": "mit",
        "max_stars_count": number,
        **more,
    }


def lines(path: Path, records: list[Any]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    text = "".join((item if isinstance(item, str) else json.dumps(item)) + "\n" for item in records)
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())
    return path


def table(path: Path, records: list[dict[str, Any]], **options: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(records), path, **options)
    return path


def jsonl(path: Path, **given: Any) -> Jsonl:
    return Jsonl(Jsonl.Settings.model_validate({"paths": str(path), **given}))


def parquet(path: Path, **given: Any) -> Parquet:
    return Parquet(Parquet.Settings.model_validate({"paths": str(path), **given}))


def rows(source: Jsonl | Parquet, max_bytes: int = 100_000) -> list[CodeFile | Dropped]:
    return [item for piece in source.pieces() for item in source.rows(piece, max_bytes)]


def kept(items: list[CodeFile | Dropped]) -> list[CodeFile]:
    return [item for item in items if isinstance(item, CodeFile)]


def collect(*sources: dict[str, Any], **given: Any) -> Collect:
    return Collect(Collect.Settings.model_validate({"sources": list(sources), "workers": 1, **given}))


def tree(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def shards(made: Artifact) -> list[CodeFile]:
    return [row for path in made.files("rows/*.parquet") for row in read_rows(path)]


def left_out(made: Artifact) -> Counter[str]:
    return Counter(pq.read_table(made.path("dropped.parquet"))["reason"].to_pylist())


@pytest.mark.parametrize("ending", ["jsonl", "jsonl.gz", "jsonl.zst", "parquet"])
def test_the_usual_names_are_understood(tmp_path: Path, ending: str) -> None:
    records = [record(number) for number in range(9)]
    path = tmp_path / f"d.{ending}"
    source: Jsonl | Parquet
    if ending == "parquet":
        source = parquet(table(path, records))
    elif ending == "jsonl.zst":
        text = "".join(json.dumps(item) + "\n" for item in records).encode()
        codec = pa.Codec("zstd")
        halves = text[:200], text[200:]  # two frames back to back, as parallel compressors write them
        path.write_bytes(b"".join(codec.compress(half, asbytes=True) for half in halves))
        source = jsonl(path)
    else:
        source = jsonl(lines(path, records))
    found = kept(rows(source))
    assert len(found) == 9
    row = found[5]
    assert (row.repo, row.path, row.license, row.language) == ("acme/r1", "src/f005.py", "MIT", "python")
    assert row.content == "x5 = 5\n" * 3
    assert row.signals == {"stars": 5.0}
    check_source(source)


def test_columns_are_mapped_and_reach_into_others(tmp_path: Path) -> None:
    records = [
        {
            "t": "int a;\n",
            "m": {"p": "./a/b.c", "r": "o/n", "set": "G"},
            "l": ["MIT", "apache-2.0"],
            "s": "7",
            "h": "c0",
        },
        {"t": "int b;\n", "m": {"p": "b.c", "r": "o/n", "set": "Books"}, "l": [], "s": "many", "h": None},
    ]
    told: dict[str, Any] = {
        "columns": {"content": "t", "path": "m.p", "repo": "m.r", "license": "l", "commit": "h"},
        "signals": {"stars": "s"},
        "where": {"m.set": "G"},
    }
    for source in (
        jsonl(lines(tmp_path / "x.jsonl", records), **told),
        parquet(table(tmp_path / "x.parquet", records), **told),
    ):
        row, other = rows(source)
        assert isinstance(row, CodeFile)
        assert (row.path, row.repo, row.commit, row.language) == ("a/b.c", "o/n", "c0", "c")
        assert row.license == "Apache-2.0 AND MIT"
        assert row.signals == {"stars": 7.0}
        assert isinstance(other, Dropped)
        assert (other.reason, other.detail.split(" from")[0]) == ("where", "1 rows")


def test_what_is_wrong_with_a_line_is_said_with_its_number(tmp_path: Path) -> None:
    path = lines(
        tmp_path / "x.jsonl",
        [
            record(0),
            '{"code": "x = 1", ',
            "[1, 2]",
            record(1, code=7),
            record(2, code=None),
            "",
            record(3, file="../../etc/x.py"),
            '{"code": "x = \\ud800", "file": "s.py"}',
            record(4, code="a\0b"),
            record(5, code="y" * 5000),
            record(6, file="README.unknown"),
            record(7, code=" \n"),
            "[" * 100_000,
        ],
    )
    found = rows(jsonl(path), 1000)
    assert [item.path for item in kept(found)] == ["src/f000.py"]
    told = {item.detail.partition(":")[0]: item.reason for item in found if isinstance(item, Dropped)}
    assert told == {
        "line 2": "broken_json",
        "line 3": "wrong_type",
        "line 4": "wrong_type",
        "line 5": "no_content",
        "line 7": "path",
        "line 8": "encoding",
        "line 9": "binary",
        "line 10": "too_large",
        "line 11": "language",
        "line 12": "empty",
        "line 13": "broken_json",
    }


def test_byte_ranges_hold_every_line_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = lines(tmp_path / "x.jsonl", [record(number, code="z = 1\n" * (number % 7)) for number in range(200)])
    whole = [item.path for item in rows(jsonl(path))]
    for size in (1, 37, 100, 1001, 10**9):
        monkeypatch.setattr(_tables, "PIECE_BYTES", size)
        if size > 1:
            assert [item.path for item in rows(jsonl(path))] == whole, size
    text = path.read_bytes()
    path.write_bytes(text.rstrip(b"\n"))
    monkeypatch.setattr(_tables, "PIECE_BYTES", 100)
    assert [item.path for item in rows(jsonl(path))] == whole


@pytest.mark.parametrize("size", [60, 200, 10**6])
def test_lines_keep_their_numbers_in_any_piece(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    path = lines(tmp_path / "x.jsonl", [record(n) if n % 3 else "{broken" for n in range(60)])
    monkeypatch.setattr(_tables, "PIECE_BYTES", size)
    opened = []
    monkeypatch.setattr(_tables, "_newlines", lambda *given: opened.append(given) or newlines(*given))
    told = [item.detail.partition(":")[0] for item in rows(jsonl(path)) if isinstance(item, Dropped)]
    assert told == [f"line {n + 1}" for n in range(0, 60, 3)]
    assert len(opened) <= -(-path.stat().st_size // size), "what comes before a piece is counted once"
    monkeypatch.setattr(_tables, "COUNT_BYTES", 300)
    assert all(item.detail.startswith(("line", "byte")) for item in rows(jsonl(path)) if isinstance(item, Dropped))


def test_a_line_without_end_is_not_held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_tables, "LINE_BYTES", 10_000)
    path = lines(tmp_path / "x.jsonl", [record(0), record(1, code="x" * 1_000_000), record(2)])
    found = rows(jsonl(path))
    assert [getattr(item, "reason", "") for item in found] == ["", "too_large", ""]
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with gzip.open(tmp_path / "bomb.jsonl.gz", "wb", compresslevel=1) as stream:
        stream.write(json.dumps(record(0)).encode() + b"\n")
        for _ in range(300):
            stream.write(b"x" * 1_000_000)
    found = rows(jsonl(tmp_path / "bomb.jsonl.gz"))
    assert [getattr(item, "reason", "") for item in found] == ["", "too_large"]
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000


@pytest.mark.parametrize("cut", [0.3, 0.9])
def test_a_truncated_file_gives_what_is_there(tmp_path: Path, cut: float) -> None:
    path = lines(tmp_path / "x.jsonl.gz", [record(number, code=os.urandom(400).hex()) for number in range(200)])
    raw = path.read_bytes()
    path.write_bytes(raw[: int(len(raw) * cut)])
    found = rows(jsonl(path))
    assert 10 < len(kept(found)) < 200
    last = found[-1]
    assert isinstance(last, Dropped)
    assert last.reason == "truncated"
    broken = table(
        tmp_path / "x.parquet", [record(number) for number in range(300)], row_group_size=100, compression="none"
    )
    raw = bytearray(broken.read_bytes())
    raw[60:200] = b"\xff" * 140
    broken.write_bytes(raw)
    assert any(isinstance(item, Dropped) for item in rows(parquet(broken)))


def test_texts_that_are_not_utf8_are_left_out_alone(tmp_path: Path) -> None:
    contents = pa.array([b"x = 1\n", b"x = '\xff'\n", "# coding: latin-1\nx = 'ñ'\n".encode("latin-1")], pa.binary())
    lying = pa.Array.from_buffers(pa.string(), 3, contents.buffers())
    pq.write_table(pa.table({"content": lying, "path": ["a.py", "b.py", "c.py"]}), tmp_path / "x.parquet")
    found = rows(parquet(tmp_path / "x.parquet"))
    assert [(item.path, getattr(item, "reason", "")) for item in found] == [
        ("a.py", ""),
        ("b.py", "encoding"),
        ("c.py", ""),
    ]


def test_a_column_that_is_not_there_is_named_with_those_that_are(tmp_path: Path) -> None:
    records = [{"body": "x = 1\n", "file": "a.py"}]
    for source in (jsonl(lines(tmp_path / "x.jsonl", records)), parquet(table(tmp_path / "x.parquet", records))):
        with pytest.raises(BurilError) as refused:
            list(source.pieces())
        assert refused.value.code == "D015"
        assert "`body`, `file`" in str(refused.value)
    with pytest.raises(BurilError, match="`nothing`"):
        list(parquet(tmp_path / "x.parquet", columns={"content": "body"}, signals={"stars": "nothing"}).pieces())
    with pytest.raises(BurilError) as refused:
        list(parquet(table(tmp_path / "s.parquet", [{"blob_id": "a", "path": "b"}])).pieces())
    assert refused.value.code == "D016"
    with pytest.raises(ValidationError, match="no field"):
        jsonl(tmp_path, columns={"contents": "x"})


def test_paths_that_hold_nothing_are_said(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "no.parquet").write_bytes(b"PAR1 nothing")
    for source, code in (
        (jsonl(tmp_path / "none.jsonl"), "D001"),
        (jsonl(tmp_path / "empty"), "D014"),
        (jsonl(tmp_path / "*.jsonl"), "D014"),
        (parquet(tmp_path / "no.parquet"), "D014"),
    ):
        with pytest.raises(BurilError) as refused:
            list(source.pieces())
        assert refused.value.code == code


def test_folders_and_globs(tmp_path: Path) -> None:
    for name in ("b/2.jsonl", "a/1.jsonl.gz", "3.ndjson"):
        lines(tmp_path / "d" / name, [record(0, file=name.replace("/", "_") + ".py")])
    (tmp_path / "d" / "notes.txt").write_text("no")
    (tmp_path / "d" / "link.jsonl").symlink_to("3.ndjson")
    assert [piece.place for piece in jsonl(tmp_path / "d").pieces()] == ["3.ndjson", "a/1.jsonl.gz", "b/2.jsonl"]
    assert [piece.place for piece in jsonl(tmp_path / "d" / "*" / "*.jsonl*").pieces()] == ["1.jsonl.gz", "2.jsonl"]
    observed = json.dumps(jsonl(tmp_path / "d").observe())
    assert str(tmp_path) not in observed


def test_parts_of_files_and_languages_by_name(tmp_path: Path) -> None:
    records = [
        {
            "code": "def f():\n    pass\n",
            "path": "a/b.py",
            "lang": "Python",
            "at": f"L{number}-L{number + 1}",
            "repo": "o/n",
        }
        for number in range(2)
    ] + [{"code": "auto x = 1;\n", "lang": "C++", "path": None, "at": None, "repo": None}]
    found = rows(jsonl(lines(tmp_path / "x.jsonl", records), columns={"fragment": "at"}))
    assert [(item.path, getattr(item, "language", "")) for item in found[:2]] == [
        ("a/b.py/L0-L1.py", "python"),
        ("a/b.py/L1-L2.py", "python"),
    ]
    last = found[2]
    assert isinstance(last, CodeFile)
    assert last.language == "cpp"
    assert last.path.startswith("x.jsonl@")
    assert last.repo.startswith("x#")


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=True) | st.text(max_size=30),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
COLUMNS = ("code", "file", "repo_name", "license", "lang", "sha", "stars", "meta", "at")


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.dictionaries(st.sampled_from(COLUMNS), JSON_VALUES, max_size=9), min_size=1, max_size=4),
    st.binary(max_size=20),
)
def test_any_records_are_accounted_for(tmp_path: Path, records: list[dict[str, Any]], noise: bytes) -> None:
    path = tmp_path / "x.jsonl"
    good = json.dumps(record(0)).encode()
    text = b"\n".join([good, *(json.dumps(item).encode() for item in records), noise.replace(b"\n", b""), b""])
    path.write_bytes(text)
    found = rows(jsonl(path, columns={"fragment": "at"} if any("at" in item for item in records) else {}))
    num_lines = 1 + len(records) + (1 if noise.replace(b"\n", b"").strip() else 0)
    assert len(found) == num_lines
    for item in found:
        item.path.encode()
        assert ".." not in item.path.split("/")
        if isinstance(item, CodeFile):
            item.repo.encode()
            item.commit.encode()
    assert to_table(kept(found)).num_rows == len(kept(found))


# --- through `collect`


def test_tables_and_files_are_collected_together(tmp_path: Path, make_artifact: Callable[..., Artifact]) -> None:
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "a.py").write_text("a = 1\n")
    table(tmp_path / "t.parquet", [record(number) for number in range(50)], row_group_size=7)
    lines(tmp_path / "l.jsonl", [record(number, code="other = 1\n") for number in range(40, 60)])
    sources = (
        {"folder": str(tmp_path / "src")},
        {"parquet": str(tmp_path / "t.parquet")},
        {"jsonl": str(tmp_path / "l.jsonl")},
    )
    made = make_artifact(collect(*sources, shard_bytes=400), folder="one")
    two = make_artifact(collect(*sources, shard_bytes=400, workers=2), folder="two")
    assert tree(made.folder) == tree(two.folder)
    found = shards(made)
    assert [path.name for path in made.files("rows/*.parquet")] == [
        f"{n:05d}.parquet" for n in range(len(made.files("rows/*.parquet")))
    ]
    assert [row.path for row in found] == ["a.py", *(f"src/f{n:03d}.py" for n in range(60))]
    assert left_out(made) == {"same_place": 10}
    assert found[45].content.startswith("x44"), "the first source keeps a place that two hold"
    entries = {item["repo"]: item for item in made.json("repositories.json")}
    assert set(entries) == {"src", *(f"acme/r{n}" for n in range(4))}
    assert (entries["acme/r1"]["kind"], entries["acme/r1"]["license"], entries["acme/r1"]["files"]) == (
        "rows",
        "MIT",
        15,
    )
    assert made.manifest.metrics["files"] == 61
    assert collect(*sources).work({}) > 0
    reverse = make_artifact(collect(*reversed(sources), shard_bytes=400), folder="three")
    assert next(row for row in shards(reverse) if row.path == "src/f044.py").content == "other = 1\n"


def test_places_are_compared_in_rounds_where_there_are_many(
    tmp_path: Path, make_artifact: Callable[..., Artifact], monkeypatch: pytest.MonkeyPatch
) -> None:
    table(tmp_path / "t.parquet", [record(number % 40) for number in range(120)], row_group_size=7)
    source = {"parquet": str(tmp_path / "t.parquet")}
    one = make_artifact(collect(source, shard_bytes=300), folder="one")
    monkeypatch.setattr(_pieces, "KEYS_AT_ONCE", 9)
    assert tree(make_artifact(collect(source, shard_bytes=300), folder="two").folder) == tree(one.folder)
    assert len(shards(one)) == 40
    assert left_out(one) == {"same_place": 80}


def test_a_table_that_comes_first_keeps_the_places_of_a_folder(
    tmp_path: Path, make_artifact: Callable[..., Artifact]
) -> None:
    (tmp_path / "src").mkdir()
    for name in ("a.py", "b.py"):
        (tmp_path / "src" / name).write_text("mine = 1\n")
    lines(tmp_path / "l.jsonl", [{"code": "theirs = 1\n", "path": "a.py", "repo": "src"}])
    made = make_artifact(collect({"jsonl": str(tmp_path / "l.jsonl")}, {"folder": str(tmp_path / "src")}))
    assert {row.path: row.content for row in shards(made)} == {"a.py": "theirs = 1\n", "b.py": "mine = 1\n"}
    assert left_out(made) == {"same_place": 1}


@pytest.mark.parametrize("ending", ["jsonl.gz", "jsonl", "parquet"])
def test_a_sample_of_tables(
    tmp_path: Path, make_artifact: Callable[..., Artifact], monkeypatch: pytest.MonkeyPatch, ending: str
) -> None:
    monkeypatch.setattr(_tables, "PIECE_BYTES", 4000)
    records = [record(number, repo_name=f"acme/r{number % 60}") for number in range(500)]
    path = tmp_path / f"d.{ending}"
    if ending == "parquet":
        table(path, records, row_group_size=20)
    else:
        lines(path, records)
    source = {ending.partition(".")[0]: str(path)}
    made = make_artifact(collect(source, max_files=30), folder="one")
    assert tree(made.folder) == tree(make_artifact(collect(source, max_files=30, workers=2), folder="two").folder)
    found = shards(made)
    assert len(found) == 30
    assert len({row.repo for row in found}) >= 4
    assert left_out(made)["max_files"] > 0
    every = make_artifact(collect(source, max_files=5000), folder="all")
    assert len(shards(every)) == 500
    assert left_out(every) == {}


def test_a_killed_run_over_tables_goes_on_to_the_same_bytes(
    tmp_path: Path, make_artifact: Callable[..., Artifact]
) -> None:
    table(tmp_path / "t.parquet", [record(number) for number in range(300)] * 2, row_group_size=10)
    lines(tmp_path / "l.jsonl", [record(number) for number in range(250, 400)])
    sources = [{"parquet": str(tmp_path / "t.parquet")}, {"jsonl": str(tmp_path / "l.jsonl")}]
    whole = make_artifact(collect(*sources, shard_bytes=600), folder="whole")
    assert left_out(whole) == {"same_place": 350}
    script = f"""
import os, sys
from pathlib import Path
import buril.data.collect as module
from buril.data import _pieces
from buril.core.events import EventLog
from buril.core.stage import Output
read, rename, left = _pieces.read_pieces, Path.rename, int(sys.argv[1])
def dying(job):
    if job.number == left:
        os.kill(os.getpid(), 9)
    return read(job)
def moving(path, target):
    if Path(target).name == f"{{left - 1000:05d}}.parquet":
        os.kill(os.getpid(), 9)
    return rename(path, target)
_pieces.read_pieces, Path.rename = dying, moving
given = {{"sources": {sources!r}, "workers": 1, "shard_bytes": 600}}
stage = module.Collect(module.Collect.Settings.model_validate(given))
stage.run({{}}, Output(Path({str(tmp_path / "cut")!r}), EventLog(Path({str(tmp_path / "e.jsonl")!r})), "collect"))
"""
    for left in (2, 1004):  # jobs, then shards that are put in their place
        done = subprocess.run([sys.executable, "-c", script, str(left)], check=False, capture_output=True)
        assert done.returncode in (-signal.SIGKILL, 0), done.stderr
    resumed = make_artifact(collect(*sources, shard_bytes=600), folder="cut")
    assert tree(resumed.folder) == tree(whole.folder)


def test_memory_is_bounded_by_the_shard_not_by_the_table(tmp_path: Path) -> None:
    """One row group of 70 MB is read with far less than that."""
    big = "".join(f"value_{number} = {number}\n" for number in range(4000))
    schema = pa.schema([("content", pa.string()), ("path", pa.string()), ("repo", pa.string())])
    with pq.ParquetWriter(tmp_path / "t.parquet", schema, compression="zstd") as writer:
        values = [f"# {number}\n{big}" for number in range(1000)]
        names = [f"{number}.py" for number in range(1000)]
        writer.write_table(
            pa.table({"content": values, "path": names, "repo": ["r"] * 1000}, schema=schema), row_group_size=1000
        )
    size = pq.ParquetFile(tmp_path / "t.parquet").metadata.row_group(0).total_byte_size
    script = f"""
import resource
from pathlib import Path
from buril.core.events import EventLog
from buril.core.stage import Output
from buril.data import _pieces
from buril.data.collect import Collect
stage = Collect(Collect.Settings.model_validate({{"sources": [{{"parquet": {str(tmp_path / "t.parquet")!r}}}], "workers": 1, "shard_bytes": 4_000_000}}))
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
told = stage.run({{}}, Output(Path({str(tmp_path / "out")!r}), EventLog(Path({str(tmp_path / "e.jsonl")!r})), "collect"))
print(told["files"], resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""
    done = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    files, grown = map(int, done.stdout.split())
    assert files == 1000
    assert size > 65e6
    assert grown * 1e3 < size / 1.5, (grown, size)
