"""Answers: what the model itself writes after the beginnings of ordinary functions, before any step.

What is to stay as it was is kept where the model will be when it writes again: on its own texts, not on those of
others. The divergence on texts that the model before has written is that between both models as writers of whole texts
(Kim and Rush 2016, arXiv 1606.07947, which teaches by such texts). The likeliest text is taken, since models that
finish code are asked for it. An answer in which a scanner sees a weakness is not kept: the pairs are against it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from buril.generators._generator import Request
from buril.generators._load import Loaded
from buril.generators._writer import Row, Writer, end_ids, num_tokens
from buril.scanners import INCONCLUSIVE, PARTIAL, reads
from buril.scanners.taint import Taint
from buril.train.methods._trainable import Trainable
from buril.train.paired import PairFile
from buril.train.retained import Piece
from buril.train.samples import decoding

TOGETHER = 16
"""Texts that are written at once: on a processor the weights are read once for all of them."""
_FENCED = re.compile(r"```[\w+#-]*\n(.*?)(?:```|\Z)", re.DOTALL)


class Answer(NamedTuple):
    """The tokens of an answer, and whether the model ended it there."""

    ids: list[int]
    ends: bool


class Answerer:
    """Writes the answers of files of pairs, and lays them beside the pairs.

    Args:
        trainable: the model as it is.
        loaded: its tokenizer, and which tokens end a text.
        folder: where what was written is kept until the end.
    """

    def __init__(self, trainable: Trainable, loaded: Loaded, folder: Path) -> None:
        self._trainable, self._encoder, self._folder = trainable, loaded.encoder, folder
        self._writer = Writer(loaded.encoder, end_ids=end_ids(loaded), num_tokens=num_tokens(loaded))
        self._scanner = Taint(Taint.Settings(mode="snippet"))

    def lay(self, files: Sequence[PairFile], tell: Callable[[int, int], None]) -> dict[str, int]:
        """Write what is missing, or take what an interrupted attempt has kept.

        Returns:
            How many answers are kept, and how many were left out for a weakness.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        kept = weak = done = 0
        total = sum(_asked(file) for file in files)
        for file in files:
            answers = self._answers(file, lambda number, done=done: tell(done + number, total))  # type: ignore[misc]  # mypy knows no default arguments of lambdas
            done += _asked(file)
            pieces: list[Piece | None] = []
            for index, piece in enumerate(file.pieces):
                answer = answers.get(index)
                if piece is None or answer is None:
                    pieces.append(piece)
                    continue
                is_weak = self._weak(piece, answer)
                weak, kept = weak + is_weak, kept + (not is_weak)
                ids = np.concatenate([piece.ids, np.array(answer.ids, dtype=np.int64)])
                pieces.append(None if is_weak else piece._replace(ids=ids, room=0, ends=answer.ends))
            file.lay(pieces)
        return {"answers": kept, "weak_answers": weak}

    def _answers(self, file: PairFile, tell: Callable[[int], None]) -> dict[int, Answer]:
        """By the pair's place."""
        path = self._folder / f"{file.part}.jsonl"
        answers = _kept(path)
        rows = [
            Row((index, 0), Request(tuple(piece.ids.tolist()), max_tokens=piece.room), tuple(piece.ids.tolist()))
            for index, piece in enumerate(file.pieces) if piece is not None and piece.room
        ]  # fmt: skip
        rows.sort(key=lambda row: (len(row.prompt), row.position))
        with decoding(self._trainable, self._writer) as decoder, path.open("a", encoding="utf-8") as out:
            for begin in range(0, len(rows), TOGETHER):
                batch = rows[begin : begin + TOGETHER]
                if any(row.position[0] not in answers for row in batch):  # all of it: neighbours count in the last bit
                    decoder.run(batch)
                    found = {row.position[0]: Answer(row.ids, row.ended == "eos") for row in batch}
                    out.writelines(json.dumps([place, *answer]) + "\n" for place, answer in found.items())
                    out.flush()
                    answers.update(found)
                tell(min(begin + TOGETHER, len(rows)))
        return answers

    def _weak(self, piece: Piece, answer: Answer) -> bool:
        """Whether the scanner sees a weakness in an answer: in its code where it is a chat's."""
        if not reads(self._scanner, piece.language):
            return False
        written = self._encoder.decode(answer.ids)
        blocks = _FENCED.findall(written) or [self._encoder.decode(piece.ids.tolist()) + written]
        return any(
            finding.rule not in (INCONCLUSIVE, PARTIAL)
            for block in blocks
            for finding in self._scanner.scan(block, piece.language)
        )


def _kept(path: Path) -> dict[int, Answer]:
    """What an interrupted attempt has written; a line that it did not end is not there."""
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    whole = text[: text.rfind("\n") + 1]
    if whole != text:
        path.write_text(whole, encoding="utf-8")
    return {place: Answer(ids, ends) for place, ids, ends in map(json.loads, whole.splitlines())}


def _asked(file: PairFile) -> int:
    """How many answers of a file are to be written."""
    return sum(piece is not None and piece.room > 0 for piece in file.pieces)
