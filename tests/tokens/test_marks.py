"""Marks: the structure of a file on its tokens, in every order, and illegal continuations that are illegal."""

from __future__ import annotations

import ast
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from buril.chain import Chain
from buril.code.codefile import CodeFile, write_rows
from buril.core.artifact import Artifact
from buril.generators._encoder import Encoder
from buril.generators._quick import alphabet
from buril.tokens import bpe
from buril.tokens.marks import STRUCTURE, Marker, token_bytes
from tests.conftest import as_artifact
from tests.tokens.test_pack import rows, stage
from tests.train.small import write_tokenizer

CODE = '''def area(größe, *rest):
    """Its (doc)."""
    if größe > [1, 2][0]:
        return {"日本": größe}
    return sum(rest, 0)


class Box:
    def open(self):
        for item in range(10):
            print(item, "[")
'''


@pytest.fixture
def inputs(tmp_path: Path) -> dict[str, Artifact]:
    files = [
        CodeFile("r", f"{number}.py", f"n{number} = {number}\n\n\n{CODE}", language="python") for number in range(8)
    ]
    write_rows(tmp_path / "split/train/00000.parquet", files)
    write_rows(tmp_path / "split/valid/00000.parquet", files[:1])
    return {"split": as_artifact(tmp_path / "split", "split"), "tokenizer": write_tokenizer(tmp_path / "tokenizer")}


@pytest.mark.parametrize("fim_rate", [0.0, 1.0])
def test_marks_are_on_the_bytes_that_carry_syntax(
    fim_rate: float, inputs: dict[str, Artifact], make_artifact: Callable[..., Artifact]
) -> None:
    """Tokens are bytes here: by kind of byte it can be said which must be marked and which must not."""
    packed = make_artifact(stage(structure=True, fim_rate=fim_rate, max_length=1024), inputs)
    encoder = Encoder(inputs["tokenizer"].folder)
    letters = {number: token for token, number in encoder.vocabulary.items()}
    signs: dict[str, set[bool]] = {}
    for row in rows(packed, "train"):
        assert len(row["marks"]) == len(row["input_ids"])
        for token, mark in zip(row["input_ids"], row["marks"], strict=True):
            signs.setdefault(letters[token], set()).add(bool(mark & STRUCTURE))
    assert signs["{"] == signs["}"] == signs[":"] == signs[","] == signs['"'] == {True}
    assert signs["("] == signs["["] == {True, False}  # in code, in a text
    assert signs["="] == signs[">"] == signs["*"] == signs["x"] == signs["0"] == {False}
    assert signs["<|endoftext|>"] == {False}
    summary = packed.json("summary.json")
    assert summary["structure"] and 0.2 < summary["structure_share"] < 0.5
    assert summary["valid"]["structure_share"] == 0 and rows(packed, "valid")[0]["marks"] is None


def test_illegal_continuations_break_the_text_and_are_the_same_for_ever(
    inputs: dict[str, Artifact], make_artifact: Callable[..., Artifact]
) -> None:
    packed = make_artifact(stage(structure=True, fim_rate=0, max_length=1024), inputs)
    again = make_artifact(stage(structure=True, fim_rate=0, max_length=1024, workers=2), inputs, folder="again")
    assert packed.digest == again.digest
    encoder, found = Encoder(inputs["tokenizer"].folder), 0
    for row in rows(packed, "train"):
        for pair in row["illegal"]:
            span = next(s for s in row["spans"] if s["start"] < pair["position"] < s["start"] + s["length"])
            ids = row["input_ids"][span["start"] : span["start"] + span["length"]]
            place = pair["position"] - span["start"]
            found += 1
            with pytest.raises(SyntaxError):
                head, rest = encoder.decode(ids[:place]), encoder.decode(ids[place:])
                ast.parse(head if pair["token"] == 256 else head + encoder.decode([pair["token"]]) + rest)
    assert found == packed.json("summary.json")["illegal"] > 50


def test_holes_have_no_illegal_continuations_and_keep_their_places(
    inputs: dict[str, Artifact], make_artifact: Callable[..., Artifact]
) -> None:
    plain = make_artifact(stage(fim_rate=0.5, max_length=1024), inputs, folder="plain")
    marked = make_artifact(stage(structure=True, fim_rate=0.5, max_length=1024), inputs, folder="marked")
    for one, other in zip(rows(plain, "train"), rows(marked, "train"), strict=True):
        assert one["input_ids"] == other["input_ids"] and one["marks"] is None
        moved = [span for span in other["spans"] if span["fim"] != "none"]
        for pair in other["illegal"] or ():
            assert not any(s["start"] <= pair["position"] < s["start"] + s["length"] for s in moved)


def test_holes_along_the_syntax(inputs: dict[str, Artifact], make_artifact: Callable[..., Artifact]) -> None:
    packed = make_artifact(stage(fim_rate=1.0, fim_align=1.0, spm_rate=0, max_length=1024), inputs)
    encoder = Encoder(inputs["tokenizer"].folder)
    middles = []
    for row in rows(packed, "train"):
        for span in row["spans"]:
            ids = row["input_ids"][span["start"] : span["start"] + span["length"]]
            middle = encoder.decode(ids[ids.index(259) + 1 : -1])
            middles.append(middle)
            prefix, suffix = (encoder.decode(part) for part in (ids[1 : ids.index(258)], ids[ids.index(258) : -1]))
            assert (prefix + middle + suffix).startswith(f"n{prefix[1]} = ")
    assert all(middle == middle.strip() and len(middle) >= 4 for middle in middles)
    assert any(middle.startswith(("def", "return", "for", "class", "if", "print", "(", "sum")) for middle in middles)


def test_bytes_of_tokens_are_those_of_a_trained_vocabulary(tmp_path: Path) -> None:
    tokenizer = bpe.train([CODE * 5], 400)
    (tmp_path / "tokenizer.json").write_text(tokenizer.to_str())
    encoder = Encoder(tmp_path)
    sizes = token_bytes(encoder)
    for text in (CODE, "日本 größe \t\r\n \x00 😀", ""):
        assert sum(sizes[token] for token in encoder.encode(text)) == len(text.encode())
    assert len(alphabet()) == 256 and not any(sizes[number] for number in encoder.control_ids)
    marker = Marker(encoder, 0)
    assert marker.places(encoder.encode("ab"), 5, 3) is None  # the tokens are not the bytes: no marks
    assert marker.places(encoder.encode(CODE), 7, len(CODE.encode()))[0] == 7  # type: ignore[index]
    assert marker.source("klingon", CODE) is None and marker.source("python", "(" * 5000) is None


@pytest.mark.parametrize(
    ("train", "wanted"),
    [({"objective": "syntax"}, True), ({"objective": {"syntax": {"structure": 0.1}}}, True), ({}, False),
     ({"objective": "cross_entropy"}, False)],
)  # fmt: skip
def test_the_objective_syntax_asks_for_marks(train: dict[str, Any], wanted: bool) -> None:
    values = {"collect": [{"folder": "."}], "train": {"base": "scratch", **train}}
    assert Chain.from_values(values).settings("pack").structure is wanted  # type: ignore[attr-defined]
    own = Chain.from_values({**values, "pack": {"structure": not wanted}})
    assert own.settings("pack").structure is not wanted  # type: ignore[attr-defined]
