"""The stage index: which rows it holds, that its bytes are the same however it was made, and what it refuses."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from buril.chain import Chain
from buril.code.codefile import write_rows
from buril.core.artifact import Artifact, sha256_file
from buril.core.errors import BurilError
from buril.core.events import EventLog
from buril.core.stage import Output
from buril.data.augmenter import ORIGINS_SCHEMA
from buril.data.pair import PAIR_SCHEMA
from buril.serve.provenance import ProvenanceIndex, segments
from buril.serve.provenance.stage import Index
from tests.conftest import as_artifact
from tests.serve.provenance.small import build, file, function, split_of

FILES = [file(number, function(number)) for number in range(30)]


def digests(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): sha256_file(path) for path in sorted(folder.rglob("*")) if path.is_file()
    }


def seen_of(folder: Path, row_ids: list[str], stage: str = "train") -> Artifact:
    folder.mkdir(parents=True)
    table = pa.table({"row_id": row_ids, "tokens": [9] * len(row_ids)})
    pq.write_table(table, folder / "seen.parquet")
    return as_artifact(folder, stage)


def paths_of(folder: Path, text: str) -> set[tuple[str, str, str]]:
    found = ProvenanceIndex.open(folder).look_up(text, "python").matches
    return {(match.path, match.origin, match.made_by) for match in found if match.kind == "verbatim"}


# --- which rows


def test_only_rows_that_the_weights_have_read_are_indexed(tmp_path: Path) -> None:
    split = split_of(tmp_path / "split", FILES)
    models = {
        "train": seen_of(tmp_path / "train", [row.row_id for row in FILES[:10]]),
        "align": seen_of(tmp_path / "align", [row.row_id for row in FILES[5:12]], "align"),
    }
    folder = build(tmp_path / "index", {"split": split, **models}, models=("train", "align"))
    for number, row in enumerate(FILES):
        assert bool(paths_of(folder, row.content)) == (number < 12)


def test_made_texts_are_indexed_with_what_they_were_made_of(tmp_path: Path) -> None:
    split = split_of(tmp_path / "split", FILES[:3])
    made = file(90, function(90), repo="acme/r1", path="src/m1.py")
    (tmp_path / "augment/train").mkdir(parents=True)
    write_rows(tmp_path / "augment/train/00000.parquet", [made])
    line = {"row_id": made.row_id, "origin": FILES[1].row_id, "stage": "augment", "by": "rename", "detail": ""}
    table = pa.Table.from_pylist([{name: line.get(name) for name in ORIGINS_SCHEMA.names}], schema=ORIGINS_SCHEMA)
    pq.write_table(table, tmp_path / "augment/origins.parquet")
    pair = dict.fromkeys(PAIR_SCHEMA.names, "") | {
        "pair_id": "a" * 16, "row_id": FILES[2].row_id, "repo": "acme/r2", "path": "src/m2.py", "language": "python",
        "license": "MIT", "secure": function(91), "vulnerable": function(92), "proofs": [],
    }  # fmt: skip
    (tmp_path / "pairs").mkdir()
    pq.write_table(pa.Table.from_pylist([pair], schema=PAIR_SCHEMA), tmp_path / "pairs/train.parquet")
    inputs = {"split": split, **{name: as_artifact(tmp_path / name, name) for name in ("augment", "pairs")}}
    folder = build(tmp_path / "index", inputs, also=("augment", "pairs"))
    assert paths_of(folder, made.content) == {("src/m1.py", FILES[1].row_id, "augment")}
    assert paths_of(folder, function(91)) == {("src/m2.py", FILES[2].row_id, "pairs: secure")}
    assert paths_of(folder, function(92)) == {("src/m2.py", FILES[2].row_id, "pairs: vulnerable")}
    assert paths_of(folder, FILES[0].content) == {("src/m0.py", "", "")}


def test_a_forgotten_row_is_not_in_an_index_made_anew(tmp_path: Path) -> None:
    before = build(tmp_path / "index", {"split": split_of(tmp_path / "split", FILES)})
    after = build(tmp_path / "again", {"split": split_of(tmp_path / "less", [*FILES[:4], *FILES[5:]])})
    assert paths_of(before, FILES[4].content) and not paths_of(after, FILES[4].content)
    forgotten = FILES[4].row_id.encode()
    assert not any(forgotten in path.read_bytes() for path in after.rglob("*") if path.is_file())
    rows = pq.read_table(after / "segments/00000/rows.parquet").to_pylist()
    assert [row["row_id"] for row in rows] == [row.row_id for row in FILES if row is not FILES[4]]


def test_the_chain_says_what_was_learnt() -> None:
    values = {"collect": [{"folder": {"path": "."}}], "train": {"base": "scratch"}, "index": None}
    assert Chain.from_values(values).settings("index").identity()["models"] == ["train"]
    more = {**values, "augment": {"rename": 0.1}, "pairs": None, "align": None}
    told = Chain.from_values(more).settings("index").identity()
    assert (told["also"], told["models"]) == (["augment", "pairs"], ["train", "align"])
    alone = Chain.from_values({"collect": [{"folder": {"path": "."}}], "index": {}})
    assert [stage.name for stage in alone.stages()][-1] == "index"
    assert Index(alone.settings("index")).needs() == ("split",)


# --- bytes


def test_the_same_rows_give_the_same_bytes_in_any_shards(tmp_path: Path) -> None:
    folders = [
        build(tmp_path / f"index{shard}", {"split": split_of(tmp_path / f"split{shard}", FILES, shard=shard)},
              segment_tokens=1024)
        for shard in (3, 30)
    ]  # fmt: skip
    first, second = (digests(folder) for folder in folders)
    del first["index.json"], second["index.json"]  # names the inputs' digests
    assert first == second and len(list(folders[0].glob("segments/*"))) > 2


@pytest.mark.parametrize("after", [0, 1, 2])
def test_an_interrupted_build_goes_on_and_ends_in_the_same_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, after: int
) -> None:
    """It breaks off within the segment after so many, half its files written."""
    split = split_of(tmp_path / "split", FILES)
    whole = digests(build(tmp_path / "whole", {"split": split}, segment_tokens=1024))
    made: list[int] = []
    plain = segments.suffix_array

    def breaks(tokens: Any) -> Any:
        if len(made) == after:
            raise KeyboardInterrupt
        made.append(len(tokens))
        return plain(tokens)

    monkeypatch.setattr(segments, "suffix_array", breaks)
    with pytest.raises(KeyboardInterrupt):
        build(tmp_path / "index", {"split": split}, segment_tokens=1024)
    assert (tmp_path / f"index/segments/{after:05d}/tokens.npy").exists()
    counted: list[int] = []
    monkeypatch.setattr(segments, "suffix_array", lambda tokens: counted.append(1) or plain(tokens))
    assert digests(build(tmp_path / "index", {"split": split}, segment_tokens=1024)) == whole
    assert len(counted) == len(list((tmp_path / "whole").glob("segments/*"))) - after


def test_metrics_say_what_it_takes(tmp_path: Path) -> None:
    out = Output(tmp_path / "index", EventLog(tmp_path / "events.jsonl"), "index")
    found = Index(Index.Settings()).run({"split": split_of(tmp_path / "split", FILES)}, out)
    assert found["rows"] == 30 and found["segments"] == 1
    assert 8 < found["bytes_per_token"] < 16
    assert json.loads((tmp_path / "index/index.json").read_text())["tokens"] == found["tokens"]
    assert not [path for path in (tmp_path / "index").rglob("*") if path.suffix in (".pkl", ".pickle")]


# --- what is refused


def broken(tmp_path: Path) -> Path:
    return build(tmp_path / "index", {"split": split_of(tmp_path / "split", FILES[:3])})


def test_a_folder_that_is_no_index_is_refused(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(BurilError) as caught:
            ProvenanceIndex.open(folder)
        assert caught.value.code == "V201"


@pytest.mark.parametrize("name", [*(f"{name}.npy" for name in segments.ARRAYS), "rows.parquet"])
def test_a_damaged_file_is_refused(tmp_path: Path, name: str) -> None:
    folder = broken(tmp_path)
    path = folder / "segments/00000" / name
    path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(BurilError) as caught:
        ProvenanceIndex.open(folder)
    assert caught.value.code == "V201"
    path.unlink()
    with pytest.raises(BurilError, match="V201"):
        ProvenanceIndex.open(folder)


def test_pickled_arrays_are_refused(tmp_path: Path) -> None:
    folder = broken(tmp_path)
    np.save(folder / "segments/00000/tokens.npy", np.array([{}], dtype=object), allow_pickle=True)
    with pytest.raises(BurilError, match="V201"):
        ProvenanceIndex.open(folder)


def test_another_version_is_refused(tmp_path: Path) -> None:
    folder = broken(tmp_path)
    summary = json.loads((folder / "index.json").read_text())
    (folder / "index.json").write_text(json.dumps({**summary, "lexical": 99}))
    with pytest.raises(BurilError) as caught:
        ProvenanceIndex.open(folder)
    assert caught.value.code == "V202" and "lexical 99" in str(caught.value)
    shutil.rmtree(folder)
