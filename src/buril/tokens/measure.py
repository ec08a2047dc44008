"""What a vocabulary does on text it did not learn from: tokens for the bytes of each language, and what comes back.

Texts are looked at once, for four questions: how many tokens they take, how many another vocabulary takes (a base's,
beside the one made from it), whether they come back when they are decoded, and whether tiktoken gives the same ids.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow.parquet as pq

from buril.core.errors import BurilError
from buril.core.stage import Output
from buril.core.text import _
from buril.generators._encoder import Encoder, well_formed

LANGUAGE_BYTES = 2_000_000
"""Text of each language that is looked at."""
LOSABLE = 0.01
"""Share of the texts that a reused vocabulary may change: a rare control character is worth a warning, not a stop."""
SHOWN = 20
"""Characters of an example."""
BATCH_ROWS = 256


class Lost(NamedTuple):
    """A place where a text does not come back: what stood there, and what came."""

    before: str
    after: str


class Measured(NamedTuple):
    """What was found.

    `fertility` is language → `bytes`, `tokens`, and `base_tokens` where there was another vocabulary; `texts` were
    looked at. Of these, `recomposed` came back in other code points for the same characters (Unicode's NFC), `lost` are
    an example of each text that came back otherwise. `same_ids` is None where tiktoken was not used.
    """

    fertility: dict[str, dict[str, int]]
    texts: int
    recomposed: int
    lost: list[Lost]
    same_ids: bool | None


def measure(files: list[Path], encoder: Encoder, other: Encoder | None = None) -> Measured:
    """Measure on rows with a language and a content, at most `LANGUAGE_BYTES` of each language."""
    quick = encoder.quicken() is None
    fertility: dict[str, dict[str, int]] = {}
    texts, recomposed, same, lost = 0, 0, True, list[Lost]()
    for rows in _batches(files):
        taken = []
        for row in rows:
            entry = fertility.setdefault(row["language"], {"bytes": 0, "tokens": 0})
            if entry["bytes"] < LANGUAGE_BYTES:
                entry["bytes"] += len(row["content"].encode("utf-8", "replace"))
                taken.append(row)
        contents = [row["content"] for row in taken]
        ids = encoder.encode_plainly(contents)
        same = same and (not quick or encoder.encode_batch(contents) == ids)
        _count(fertility, taken, "tokens", ids)
        if other is not None:
            _count(fertility, taken, "base_tokens", other.encode_batch(contents))
        texts += len(contents)
        for before, after in zip(map(well_formed, contents), map(encoder.decode, ids), strict=True):
            if before != after and unicodedata.normalize("NFC", before) == after:
                recomposed += 1
            elif before != after:
                lost.append(_first_difference(before, after))
    return Measured(fertility, texts, recomposed, lost, same if quick else None)


def check(measured: Measured, out: Output, *, name: str) -> None:
    """Say what the vocabulary does not give back.

    Raises:
        BurilError: T018 when more than `LOSABLE` of the texts come back otherwise.
    """
    told: dict[str, Any] = {"count": len(measured.lost), "total": measured.texts}
    if measured.lost:
        before, after = measured.lost[0]
        told |= {"before": ascii(before), "after": ascii(after)}
        if len(measured.lost) > max(1, LOSABLE * measured.texts):
            raise BurilError("T018", name=name, **told)
        out.warn(
            _(
                "{count} of {total} texts do not come back whole from the vocabulary, which lacks what they hold: "
                "{before} becomes {after}"
            ).format(**told)
        )
    if measured.recomposed:
        out.warn(
            _(
                "{count} of {total} texts come back with other code points for the same characters: the vocabulary "
                "brings text into Unicode's form NFC"
            ).format(count=measured.recomposed, total=measured.texts)
        )
    if measured.same_ids is False:
        out.warn(_("tiktoken gives other ids than tokenizers on this corpus, and is not used"))


def _count(fertility: dict[str, dict[str, int]], rows: list[dict[str, Any]], key: str, ids: list[list[int]]) -> None:
    for row, found in zip(rows, ids, strict=True):
        entry = fertility[row["language"]]
        entry[key] = entry.get(key, 0) + len(found)


def _first_difference(before: str, after: str) -> Lost:
    pairs = enumerate(zip(before, after, strict=False))
    place = next((place for place, (left, right) in pairs if left != right), min(len(before), len(after)))
    begin = max(0, place - SHOWN // 2)
    return Lost(before[begin : begin + SHOWN], after[begin : begin + SHOWN])


def _batches(files: list[Path]) -> Iterator[list[dict[str, Any]]]:
    for path in files:
        with pq.ParquetFile(path) as source:
            for batch in source.iter_batches(BATCH_ROWS, columns=["language", "content"]):
                yield batch.to_pylist()
