"""Split: no repository and no cluster of copies in two parts, the fractions met, and every exception told."""

from __future__ import annotations

import random
from collections import defaultdict
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from buril.code.codefile import CodeFile, write_rows, write_table
from buril.core.artifact import Artifact
from buril.core.errors import BurilError
from buril.core.events import EventLog, read_events
from buril.core.stage import Output
from buril.data import split as module
from buril.data.split import Split
from tests.conftest import as_artifact
from tests.data import made

PARTS = ("train", "valid", "test")


def inputs(
    folder: Path, files: list[CodeFile], clusters: dict[str, str] | None = None, shard_files: int = 50
) -> dict[str, Artifact]:
    """`clusters` names, by path, the path of the file that a file belongs to."""
    id_of = {file.path: file.row_id for file in files}
    selected = []
    for at, file in enumerate(files):
        place = {"shard": at // shard_files, "index": at % shard_files}
        names = ("row_id", "repo", "path", "language", "license", "bytes")
        selected.append({**{name: getattr(file, name) for name in names}, **place})
    for number in range(0, len(files), shard_files):
        write_rows(folder / f"prepare/rows/{number // shard_files:05d}.parquet", files[number : number + shard_files])
    write_table(folder / "select/selected.parquet", pa.Table.from_pylist(selected))
    copies = [{"row_id": file.row_id, "cluster": id_of[(clusters or {}).get(file.path, file.path)]} for file in files]
    write_table(folder / "dedup/duplicates.parquet", pa.Table.from_pylist(copies))
    return {name: as_artifact(folder / name, name) for name in ("prepare", "select", "dedup")}


def run(folder: Path, given_inputs: dict[str, Artifact], **told: Any) -> tuple[dict[str, str], Artifact]:
    """The part of every file by path."""
    out = Output(folder, EventLog(folder.with_suffix(".jsonl")), "split")
    metrics = Split(Split.Settings(**told)).run(given_inputs, out)
    out.finish()
    artifact = as_artifact(folder, "split", metrics)
    parts = {str(row["path"]): str(row["part"]) for row in made.table(artifact, "assignment.parquet")}
    for part in PARTS:
        assert {file.path for file in made.contents(artifact, f"{part}/*.parquet")} == {
            path for path, at in parts.items() if at == part
        }
    return parts, artifact


def warnings(folder: Path) -> str:
    return "\n".join(event["text"] for event in read_events(folder.with_suffix(".jsonl")) if event["kind"] == "warning")


def file(repo: str, path: str, size: int = 100, language: str = "python") -> CodeFile:
    return CodeFile(repo, f"{repo}/{path}", "x" * size, language=language)


def many(seed: int, repos: int = 60) -> list[CodeFile]:
    drawn = random.Random(seed)
    files = []
    for repo in range(repos):
        language = drawn.choice(["python", "python", "go", "solidity"])
        files += [
            file(f"repo{repo:02d}", f"{at}.x", drawn.randrange(50, 400), language)
            for at in range(drawn.randrange(1, 9))
        ]
    return files


@settings(max_examples=6, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, 1000), st.integers(0, 1000))
def test_nothing_that_belongs_together_is_torn_apart(tmp_path: Path, corpus: int, seed: int) -> None:
    files = many(corpus)
    drawn = random.Random(seed)
    heads = drawn.sample(files, 3)
    clusters = {item.path: drawn.choice(heads).path for item in drawn.sample(files, 6) if item not in heads}
    folder = tmp_path / f"{corpus}-{seed}"
    parts, artifact = run(folder / "split", inputs(folder, files, clusters), seed=seed)
    repo_parts = defaultdict(set)
    for item in files:
        repo_parts[item.repo].add(parts[item.path])
    assert all(len(found) == 1 for found in repo_parts.values())
    assert all(parts[path] == parts[kept] for path, kept in clusters.items())
    summary = artifact.json("summary.json")
    assert summary["divided_repositories"] == []
    for part, target in zip(PARTS, (0.8, 0.1, 0.1), strict=True):
        assert summary["parts"][part]["share"] == pytest.approx(target, abs=0.06)
        for language in ("python", "go", "solidity"):
            assert summary["parts"][part]["languages"][language]["share"] == pytest.approx(target, abs=0.1)


def test_large_and_small_units_reach_every_part(tmp_path: Path) -> None:
    files = [file(f"large{at:02d}", "a.py", 1000) for at in range(20)]
    files += [file(f"small{at:02d}", "a.py", 100) for at in range(80)]
    parts, _ = run(tmp_path / "split", inputs(tmp_path, files))
    for part in PARTS:
        assert {path[:5] for path, at in parts.items() if at == part} == {"large", "small"}


def test_the_fractions_asked_for(tmp_path: Path) -> None:
    given_inputs = inputs(tmp_path, many(1, repos=100))
    _, artifact = run(tmp_path / "half", given_inputs, train=0.5, valid=0.3, test=0.2)
    parts = artifact.json("summary.json")["parts"]
    assert [parts[part]["share"] for part in PARTS] == pytest.approx([0.5, 0.3, 0.2], abs=0.03)
    parts_of, artifact = run(tmp_path / "two", given_inputs, train=0.9, valid=0, test=0.1)
    assert set(parts_of.values()) == {"train", "test"}
    assert made.contents(artifact, "valid/00000.parquet") == []


def test_same_bytes_whatever_the_resume_and_another_seed_deals_otherwise(tmp_path: Path) -> None:
    given_inputs = inputs(tmp_path, many(2))
    parts, whole = run(tmp_path / "one", given_inputs)
    (tmp_path / "two/train").mkdir(parents=True)
    (tmp_path / "two/train/00000.parquet").write_bytes((whole.folder / "train/00000.parquet").read_bytes())
    assert run(tmp_path / "two", given_inputs)[1].digest == whole.digest
    assert run(tmp_path / "three", given_inputs, seed=5)[0] != parts


def test_one_huge_repository_is_divided_by_its_folders_and_that_is_told(tmp_path: Path) -> None:
    files = [file("huge", f"src/lib{lib}/sub/{at}.py") for lib in range(20) for at in range(5)] + [
        file("tiny", "a.py"),
        file("small", "b.py"),
    ]
    clusters = {"huge/src/lib1/sub/0.py": "huge/src/lib2/sub/0.py"}
    parts, artifact = run(tmp_path / "split", inputs(tmp_path, files, clusters))
    folder_parts = defaultdict(set)
    for item in files:
        folder_parts[item.path.split("/")[2] if item.repo == "huge" else item.repo].add(parts[item.path])
    assert all(len(found) == 1 for found in folder_parts.values())
    assert folder_parts["lib1"] == folder_parts["lib2"]
    summary = artifact.json("summary.json")
    assert summary["divided_repositories"] == ["huge"]
    assert [summary["parts"][part]["share"] for part in PARTS] == pytest.approx([0.8, 0.1, 0.1], abs=0.05)
    assert "`huge`" in warnings(tmp_path / "split")
    units = {row["path"]: row["unit"] for row in made.table(artifact, "assignment.parquet")}
    assert units["tiny/a.py"] == "tiny"
    assert units["huge/src/lib9/sub/0.py"].startswith("huge:huge/src/lib9")


def test_a_language_of_one_repository_reaches_every_part(tmp_path: Path) -> None:
    files = [file(f"py{repo}", f"{at}.py") for repo in range(20) for at in range(10)]
    files += [file("chain", f"c{at % 10}/{at}.sol", language="solidity") for at in range(60)]
    _, artifact = run(tmp_path / "split", inputs(tmp_path, files))
    summary = artifact.json("summary.json")
    assert summary["divided_repositories"] == ["chain"]
    assert all(summary["parts"][part]["languages"]["solidity"]["files"] for part in PARTS)
    _, artifact = run(tmp_path / "none", inputs(tmp_path / "again", files), stratify="none")
    assert artifact.json("summary.json")["divided_repositories"] == []


def test_a_rare_language_is_told(tmp_path: Path) -> None:
    files = [*many(4), file("rare", "a.f", language="fortran")]
    run(tmp_path / "split", inputs(tmp_path, files))
    assert "fortran" in warnings(tmp_path / "split")


@pytest.mark.parametrize("count", [3, 4, 7])
def test_no_part_is_empty_when_there_are_three_units(tmp_path: Path, count: int) -> None:
    files = [file(f"repo{at}", "a.py", 100 + at) for at in range(count)]
    parts, _ = run(tmp_path / "split", inputs(tmp_path, files))
    assert set(parts.values()) == set(PARTS)
    assert list(parts.values()).count("train") == max(len(parts) - 2, 1)


def test_too_few_units(tmp_path: Path) -> None:
    files = [file("one", f"{at}.py") for at in range(4)]
    clusters = {f"one/{at}.py": "one/0.py" for at in range(3)}
    with pytest.raises(BurilError) as raised:
        run(tmp_path / "split", inputs(tmp_path, files, clusters))
    assert raised.value.code == "D106"
    assert "2 groups" in raised.value.cause
    assert set(run(tmp_path / "two", inputs(tmp_path, files, clusters), train=0.8, valid=0, test=0.2)[0].values()) == {
        "train",
        "test",
    }


def test_together_can_be_less(tmp_path: Path) -> None:
    files = [file(f"repo{repo}", f"{at}.py") for repo in range(10) for at in range(10)]
    clusters = {item.path: files[0].path for item in files[:30]}
    parts, artifact = run(tmp_path / "files", inputs(tmp_path, files, clusters), together=())
    assert artifact.manifest.metrics["units"] == 100
    assert len({parts[item.path] for item in files[:30]}) > 1
    parts, _ = run(tmp_path / "copies", inputs(tmp_path, files, clusters), together=("near_duplicates",))
    assert len({parts[item.path] for item in files[:30]}) == 1


def test_fractions_that_are_not_one() -> None:
    with pytest.raises(BurilError) as raised:
        Split.Settings(train=0.8, valid=0.1, test=0.2)
    assert raised.value.code == "D105"
    assert "1.1" in raised.value.cause
    assert "{train: 0.8" in raised.value.hint
    Split.Settings(train=0.7, valid=0.2, test=0.1)


def test_large_parts_are_written_in_shards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SHARD_BYTES", 2_000)
    files = many(3)
    _, artifact = run(tmp_path / "split", inputs(tmp_path, files, shard_files=17))
    shards = artifact.files("train/*.parquet")
    assert len(shards) > 5
    order = [row.row_id for path in shards for row in made.contents(artifact, f"train/{path.name}")]
    place = {item.row_id: at for at, item in enumerate(files)}
    assert order == sorted(order, key=place.__getitem__)
    assert all(sum(row.bytes for row in made.contents(artifact, f"train/{path.name}")) <= 2_000 for path in shards)
