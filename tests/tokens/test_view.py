"""The view of a sequence: what is said of each token is what training does with it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from buril.code.codefile import CodeFile, write_rows
from buril.core.artifact import Artifact
from buril.core.errors import BurilError
from buril.tokens.view import tokens
from buril.train.batch import IGNORE, STRUCTURE, PackedFile, lay_out
from tests.conftest import as_artifact
from tests.tokens.test_pack import stage
from tests.train.small import write_tokenizer


def test_each_token_tells_what_is_learnt_at_it(tmp_path: Path, make_artifact: Callable[..., Artifact]) -> None:
    chat = json.dumps({"prompt": "Write <|endoftext|>.", "completion": "f(1, 2)"})
    files = [
        CodeFile("r", "a.py", "x = f(1, [2])\ny = (x + 1)\n" * 9, language="python"),
        CodeFile("r", "b.json", chat),
    ]
    write_rows(tmp_path / "split/train/00000.parquet", files)
    write_rows(tmp_path / "split/valid/00000.parquet", files[:1])
    tokenizer = write_tokenizer(tmp_path / "tokenizer")
    inputs = {"split": as_artifact(tmp_path / "split", "split"), "tokenizer": tokenizer}
    packed = make_artifact(stage(structure=True, fim_rate=0, max_length=512), inputs)
    path = packed.path("train.parquet")
    shown, batch = list(tokens(path, tokenizer.folder, 0)), lay_out([PackedFile(path)[0]])
    assert [token.id for token in shown] == batch.input_ids_T.tolist()
    assert batch.marks_T is not None and batch.illegal_N2 is not None
    for token, target, mark in zip(shown[1:], batch.targets_T.tolist(), batch.marks_T.tolist(), strict=False):
        assert (token.loss in ("first", "given")) == (target == IGNORE)
        assert (token.loss == "structure") == bool(mark & STRUCTURE)
    assert {token.loss for token in shown} == {"first", "given", "structure", "yes"}
    spelt = [token for token in shown if token.control]
    assert [token.text for token in spelt] == ["<|endoftext|>"] * 2 and spelt[0].loss == spelt[1].loss == "yes"
    assert sum(len(token.illegal) for token in shown) == len(batch.illegal_N2) > 0
    assert {token.row_id for token in shown} == {file.row_id for file in files}
    with pytest.raises(BurilError, match="T121"):
        list(tokens(path, tokenizer.folder, 1))
