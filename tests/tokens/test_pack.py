"""Packing: every token has its row, no text is lost, nothing is padded, and the bytes depend on the settings alone."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from buril.code.codefile import CodeFile, write_rows
from buril.core.artifact import Artifact
from buril.core.errors import BurilError
from buril.core.stage import Output
from buril.generators._encoder import Encoder
from buril.tokens.fim import Sentinels
from buril.tokens.pack import Pack, pack
from buril.tokens.pieces import Cutter, Piece
from tests.conftest import as_artifact
from tests.train.small import write_tokenizer

LINES = [
    "def f(x):\n",
    "    return x\n",
    "\n",
    "class Ñandú:\n",
    "    '''日本 <|endoftext|> <fim_middle>'''\n",
    "x = 1",
]


def files(part: str, number: int) -> list[CodeFile]:
    drawn = random.Random(part)
    return [
        CodeFile("repo", f"{part}{index}.py", "".join(drawn.choices(LINES, k=drawn.choice([1, 2, 5, 60]))))
        for index in range(number)
    ]


@pytest.fixture
def inputs(tmp_path: Path) -> dict[str, Artifact]:
    for shard in range(3):
        write_rows(tmp_path / f"split/train/{shard:05d}.parquet", files(f"train{shard}", 30))
    write_rows(tmp_path / "split/valid/00000.parquet", files("valid", 10))
    return {"split": as_artifact(tmp_path / "split", "split"), "tokenizer": write_tokenizer(tmp_path / "tokenizer")}


def stage(**told: Any) -> Pack:
    return Pack(Pack.Settings(**{"max_length": 128, "workers": 1, **told}))


def rows(artifact: Artifact, part: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = pq.read_table(artifact.path(f"{part}.parquet")).to_pylist()
    return found


def contents(split: Artifact, part: str) -> dict[str, str]:
    tables = [pq.read_table(path) for path in split.files(f"{part}/*.parquet")]
    return {row["row_id"]: row["content"] for table in tables for row in table.to_pylist()}


def text_of(ids: list[int], fim: str, encoder: Encoder) -> str:
    """The text of a span, its parts put back in order."""
    if fim == "none":
        return encoder.decode(ids)
    suffix_at, middle_at = ids.index(258), ids.index(259)
    assert ids[0] == 257 and ids[-1] == 256
    parts = [ids[1:suffix_at], ids[middle_at + 1 : -1], ids[suffix_at + 1 : middle_at]]
    return "".join(encoder.decode(part) for part in parts)


@pytest.mark.parametrize("part", ["train", "valid"])
def test_every_character_is_packed_once_and_traced_to_its_row(
    part: str, inputs: dict[str, Artifact], make_artifact: Callable[..., Artifact]
) -> None:
    packed = make_artifact(stage(), inputs)
    encoder = Encoder(inputs["tokenizer"].folder)
    found: dict[str, dict[int, str]] = {}
    for row in rows(packed, part):
        at = 0
        assert len(row["input_ids"]) <= 128
        for span in row["spans"]:
            assert span["start"] == at
            at += span["length"]
            ids = row["input_ids"][span["start"] : at]
            found.setdefault(span["row_id"], {})[span["offset"]] = text_of(ids, span["fim"], encoder)
            assert part == "train" or span["fim"] == "none"
        assert at == len(row["input_ids"])  # no token without a row, and no padding
    whole = {row_id: "".join(text for _offset, text in sorted(parts.items())) for row_id, parts in found.items()}
    assert whole == contents(inputs["split"], part)
    for row_id, parts in found.items():
        for offset, text in parts.items():
            assert contents(inputs["split"], part)[row_id][offset : offset + len(text)] == text


def test_summary_says_what_is_there(inputs: dict[str, Artifact], make_artifact: Callable[..., Artifact]) -> None:
    packed = make_artifact(stage(max_length=512), inputs)
    summary, found = packed.json("summary.json"), rows(packed, "train")
    assert summary["sequences"] == len(found)
    assert summary["tokens"] == sum(len(row["input_ids"]) for row in found)
    assert summary["documents"] == 90
    assert summary["utilisation"] > 0.9
    assert 0.3 < summary["fim_share"] < 0.7
    assert summary["valid"]["fim_share"] == 0


def test_bytes_depend_on_the_seed_and_not_on_the_workers(
    inputs: dict[str, Artifact], make_artifact: Callable[..., Artifact]
) -> None:
    one = make_artifact(stage(), inputs, folder="one")
    two = make_artifact(stage(workers=2), inputs, folder="two")
    other = make_artifact(stage(seed=1), inputs, folder="other")
    assert one.digest == two.digest != other.digest


def test_a_finished_shard_is_not_made_again_and_an_unfinished_one_is(
    inputs: dict[str, Artifact], output: Callable[..., Output], make_artifact: Callable[..., Artifact]
) -> None:
    whole = make_artifact(stage(), inputs, folder="whole")
    out = output("broken")
    stage().run(inputs, out)
    out.path("train.parquet").unlink()  # as if killed while packing the training part
    (out.scratch / "train-00001.parquet").unlink()
    before = (out.scratch / "train-00000.parquet").stat().st_mtime_ns
    stage().run(inputs, out)
    assert (out.scratch / "train-00000.parquet").stat().st_mtime_ns == before
    for name in ("train.parquet", "valid.parquet", "summary.json"):
        assert sha(out.folder / name) == sha(whole.path(name))


def sha(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def characters(texts: Any) -> list[list[int]]:
    return [[ord(letter) for letter in text] for text in texts]


@given(st.lists(st.text(alphabet="ab \n", max_size=40), max_size=12), st.integers(32, 90))
def test_long_documents_are_cut_at_lines_and_only_their_end_has_eos(parts: list[str], max_length: int) -> None:
    text = "\n".join(parts)
    cutter = Cutter(characters, Sentinels(-1, -2, -3, -4), max_length)
    pieces = list(cutter.pieces("row", text))
    if text:
        assert "".join(chr(token) for piece in pieces for token in piece.input_ids if token > 0) == text
        assert [piece.input_ids[-1] == -4 for piece in pieces] == [False] * (len(pieces) - 1) + [True]
    for piece in pieces[:-1]:  # lines of at most 40 characters fit, so no cut is inside one
        assert chr(piece.input_ids[-1]) == "\n"
    assert all(len(piece.input_ids) <= max_length for piece in pieces)


def test_one_endless_line_is_cut_all_the_same() -> None:
    cutter = Cutter(characters, Sentinels(-1, -2, -3, -4), 64)
    pieces = list(cutter.pieces("row", "x" * 1000))
    assert sum(token > 0 for piece in pieces for token in piece.input_ids) == 1000
    assert max(len(piece.input_ids) for piece in pieces) <= 64


@given(st.lists(st.integers(2, 64), max_size=80), st.integers(1, 8))
def test_packing_loses_nothing_and_fills_well(lengths: list[int], open_bins: int) -> None:
    units = [(Piece(str(number), 0, "none", [number] * length),) for number, length in enumerate(lengths)]
    bins = list(pack(units, 64, open_bins=open_bins))
    assert sorted(piece.row_id for chosen in bins for piece in chosen.pieces) == sorted(
        piece.row_id for (piece,) in units
    )
    assert all(chosen.size == sum(len(piece.input_ids) for piece in chosen.pieces) <= 64 for chosen in bins)
    assert len(bins) <= 2 * sum(lengths) / 64 + open_bins  # any two open sequences would fit into one otherwise


def test_a_tokenizer_without_sentinels_is_said(inputs: dict[str, Artifact], output: Callable[..., Output]) -> None:
    path = inputs["tokenizer"].path("fim.json")
    path.write_text(path.read_text().replace('"prefix": 257', '"prefix": null'))
    with pytest.raises(BurilError) as raised:
        stage().run(inputs, output("pack"))
    assert raised.value.code == "T101" and "prefix" in str(raised.value)
    assert stage(fim_rate=0).run(inputs, output("plain"))["fim_share"] == 0


def test_nothing_to_train_on_is_said(
    inputs: dict[str, Artifact], output: Callable[..., Output], tmp_path: Path
) -> None:
    write_rows(tmp_path / "empty/train/00000.parquet", [CodeFile("repo", "a.py", "")])
    write_rows(tmp_path / "empty/valid/00000.parquet", [])
    with pytest.raises(BurilError) as raised:
        stage().run({**inputs, "split": as_artifact(tmp_path / "empty", "split")}, output("pack"))
    assert raised.value.code == "T102"
