"""Completions while training: what the model writes after the same few validation texts, against what stands there."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch

from buril.code.similarity import bleu, same_text
from buril.generators._decode import Decoder
from buril.generators._generator import Request
from buril.generators._load import Loaded
from buril.generators._writer import Row, Writer, end_ids, num_tokens
from buril.train.batch import Packed
from buril.train.methods._trainable import Trainable

PROMPT_TOKENS, WRITTEN_TOKENS = 192, 32
"""What the model sees at most, and what it writes: some lines of code, at the cost of a small part of an evaluation."""
LEAST_TOKENS = 16


@dataclass(frozen=True)
class Cut:
    """A text cut in two: the ids before, and those that stand there."""

    prompt: tuple[int, ...]
    reference: tuple[int, ...]


def cuts(sequences: Sequence[Packed], number: int, *, special: frozenset[int]) -> list[Cut]:
    """At most `number` documents cut in their middle, always the same; those with control tokens inside are left out.

    Args:
        sequences: of the validation part, in their fixed order.
        number: of the cuts.
        special: ids of control tokens.
    """
    found: list[Cut] = []
    for packed in sequences:
        if len(found) >= number:
            break
        at = 0
        for length in packed.lengths:
            ids = [int(token) for token in packed.input_ids[at : at + length]]
            at += length
            while ids and ids[-1] in special:
                ids.pop()
            if len(ids) < LEAST_TOKENS or special.intersection(ids) or len(found) >= number:
                continue
            middle = len(ids) // 2
            found.append(Cut(tuple(ids[max(0, middle - PROMPT_TOKENS) : middle]), tuple(ids[middle:][:WRITTEN_TOKENS])))
    return found


class Sampler:
    """Writes greedily after each cut, as many tokens as stand there, and compares.

    Args:
        trainable: the model in training.
        loaded: its tokenizer, and which tokens end a text.
        given: the cuts.
    """

    def __init__(self, trainable: Trainable, loaded: Loaded, given: Sequence[Cut]) -> None:
        self._trainable = trainable
        self._encoder = loaded.encoder
        self._cuts = given
        self._writer = Writer(loaded.encoder, end_ids=end_ids(loaded), num_tokens=num_tokens(loaded))

    def __call__(self) -> dict[str, float]:
        """`valid_bleu` is the mean BLEU-4; `valid_exact_match` the share whose first line is right."""
        pairs = list(zip(self._write(), (self._encoder.decode(cut.reference) for cut in self._cuts), strict=True))
        hits = sum(same_text(_first_line(text), _first_line(reference)) for text, reference in pairs)
        return {
            "valid_bleu": sum(bleu(text, reference) for text, reference in pairs) / len(pairs),
            "valid_exact_match": hits / len(pairs),
        }

    def _write(self) -> list[str]:
        rows = [
            Row((index, 0), Request(cut.prompt, max_tokens=len(cut.reference)), cut.prompt)
            for index, cut in enumerate(self._cuts)
        ]
        with decoding(self._trainable, self._writer) as decoder:
            decoder.run(sorted(rows, key=lambda row: -len(row.prompt)))
        return [self._encoder.decode(row.ids) for row in rows]


@contextmanager
def decoding(trainable: Trainable, writer: Writer) -> Iterator[Decoder]:
    """A model in training as one that writes, for a while.

    It keeps the weights, adapters and number format that it is trained with; only its attention is exchanged for
    torch's own meanwhile, since training's knows no cache of what was written.
    """
    model = trainable.base
    trainable.train(False)
    attention = model.config._attn_implementation
    model.set_attn_implementation("sdpa")
    try:
        with torch.autocast(trainable.device.type, dtype=trainable.autocast, enabled=trainable.autocast is not None):
            yield Decoder(model, writer)
    finally:
        model.set_attn_implementation(attention)


def _first_line(text: str) -> str:
    return text.strip("\n").partition("\n")[0]
