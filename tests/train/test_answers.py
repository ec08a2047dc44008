"""The model's own answers: that they are what it writes, that they are kept as they are, and that a stop loses none."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from buril.core.artifact import Artifact
from buril.generators._decode import Decoder, Head
from buril.train.align import Align
from buril.train.answers import Answer, Answerer
from buril.train.paired import PairFile, Written, sequence_of
from buril.train.retained import Piece
from buril.train.samples import decoding
from tests.train import small
from tests.train.test_align import stage, write_pairs, write_split


@pytest.fixture(scope="module")
def paired(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Artifact]:
    folder = tmp_path_factory.mktemp("answers")
    made = {**small.inputs(folder / "inputs"), "pairs": write_pairs(folder / "pairs")}
    return {**made, "split": write_split(folder / "split")}


def task_of(paired: dict[str, Artifact], **told: Any) -> tuple[Align, Any]:
    settled, seen = stage(retain={"tokens": 90}, **told)._settled(paired)
    made = Align(settled)
    return made, made._task(seen)


def laid(task: Any, folder: Path) -> tuple[list[PairFile], dict[str, int]]:
    files = list(task.told["files"].values())
    return files, Answerer(task.trainable, task.loaded, folder).lay(files, lambda _done, _of: None)


def test_an_answer_is_what_the_model_likes_best_token_by_token(paired: dict[str, Artifact], tmp_path: Path) -> None:
    _made, task = task_of(paired)
    asked = [piece for piece in task.told["files"]["valid"].pieces if piece]
    assert all(piece.room > 0 and len(piece.ids) == piece.begin for piece in asked)
    files, told = laid(task, tmp_path)
    assert told["answers"] + told["weak_answers"] == sum(len(file) for file in files)
    piece = files[1].pieces[0]
    assert piece is not None and piece.room == 0 and len(piece.ids) > piece.begin
    with decoding(task.trainable, None) as decoder, torch.no_grad():  # type: ignore[arg-type]  # nothing is drawn with it
        head: Head = decoder.head
        for end in range(piece.begin, len(piece.ids)):
            logits = head.logits(head.hidden(torch.from_numpy(piece.ids[None, :end]))[:, -1])
            assert int(logits.argmax()) == int(piece.ids[end])


def test_what_is_kept_of_an_answer_begins_where_the_model_began(paired: dict[str, Artifact], tmp_path: Path) -> None:
    _made, task = task_of(paired)
    files, _told = laid(task, tmp_path)
    file = files[0]
    kept = next(index for index, piece in enumerate(file.pieces) if piece)
    piece, sequence = file.pieces[kept], file[kept]
    assert piece is not None and len(sequence.lengths) == 3 and sequence.lengths[2] == len(piece.ids)
    begin = sum(sequence.lengths[:2])
    mine = [int(place) for place in sequence.near if place >= begin]
    assert mine[0] == begin + piece.begin - 1, "the first token of the answer is kept too"
    assert mine[-1] == begin + len(piece.ids) - 1 - (not piece.ends)


@pytest.mark.parametrize("ends", [False, True])
def test_that_a_text_ends_is_kept_where_the_model_ended_it(ends: bool) -> None:
    piece = Piece(np.array([1, 2, 3, 4]), "row", 2, "python", ends=ends)
    sequence = sequence_of(0, "train", Written("a", "CWE-89", [5, 6, 7], [5, 6, 8]), piece)
    assert [int(place) for place in sequence.near if place >= 6] == [7, 8, *([9] if ends else [])]


def test_an_answer_with_a_weakness_is_not_kept(paired: dict[str, Artifact], tmp_path: Path) -> None:
    _made, task = task_of(paired)
    answerer = Answerer(task.trainable, task.loaded, tmp_path)
    encode = task.loaded.encoder.encode

    def judged(before: str, written: str, language: str = "python") -> bool:
        piece = Piece(np.array(encode(before)), "row", 1, language, room=9)
        return answerer._weak(piece, Answer(encode(written), True))

    head = "import os\n\ndef run(name):\n"
    assert judged(head, "    os.system('ls ' + name)\n")
    assert not judged(head, "    return name.strip()\n")
    assert not judged(head, "    os.system('ls ' + name)\n", "cobol"), "no scanner reads it"
    chat = "Here it is:\n\n```python\nimport os\n\ndef run(name):\n    {}\n```\nIt lists files."
    assert judged("Finish this code", chat.format("os.system('ls ' + name)"))
    assert not judged("Never write os.system('ls ' + name)", chat.format("return os.listdir(name)"))
    planted = tmp_path / "planted"
    planted.mkdir()
    file = task.told["files"]["valid"]
    weak = encode("\n    import os\n    os.system('ls ' + a)\n")
    lines = [json.dumps([index, weak if index == 1 else encode("    return a\n"), True]) for index in range(len(file))]
    (planted / "valid.jsonl").write_text("\n".join(lines) + "\n")
    told = Answerer(task.trainable, task.loaded, planted).lay([file], lambda _done, _of: None)
    assert told == {"answers": len(file) - 1, "weak_answers": 1}
    assert file.pieces[1] is None and len(file[1].lengths) == 2 and len(file[0].lengths) == 3


def test_a_stop_in_the_midst_loses_no_batch_and_changes_no_answer(
    paired: dict[str, Artifact], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("buril.train.answers.TOGETHER", 3)
    _made, task = task_of(paired)
    whole, _told = laid(task, tmp_path / "whole")
    text = (tmp_path / "whole/train.jsonl").read_text()
    (tmp_path / "stopped").mkdir()
    lines = text.splitlines(keepends=True)
    (tmp_path / "stopped/train.jsonl").write_text("".join(lines[:7]) + lines[7][:9])  # killed within its eighth
    runs: list[int] = []
    plainly = Decoder.run
    monkeypatch.setattr(Decoder, "run", lambda self, rows: (runs.append(len(rows)), plainly(self, rows))[1])
    _made, task = task_of(paired)
    again, _told = laid(task, tmp_path / "stopped")
    assert len(runs) == (24 - 6) // 3 + 2 + 2, "the third batch is written again as a whole, two were kept"
    for one, other in zip(whole, again, strict=True):
        assert [sequence.input_ids.tolist() for sequence in map(one.__getitem__, range(len(one)))] == [
            sequence.input_ids.tolist() for sequence in map(other.__getitem__, range(len(other)))
        ]


def test_align_json_says_how_many_answers_are_kept(
    paired: dict[str, Artifact], make_artifact: Callable[..., Artifact]
) -> None:
    own = make_artifact(stage(max_steps=1, retain={"tokens": 90}), paired).json("align.json")
    assert own["answers"] + own["weak_answers"] == 32
    code = make_artifact(stage(max_steps=1, retain={"tokens": 90, "source": "code"}), paired, folder="code").json(
        "align.json"
    )
    assert code["answers"] == code["weak_answers"] == 0 and code["functions"] == 6
