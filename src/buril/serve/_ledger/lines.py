"""The completions of a ledger as what lines are attributed to: while it is open, and as a file for others."""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from buril.code import winnow
from buril.code.attribution import How, Written
from buril.code.fingerprints import Fingerprints, Row, once
from buril.serve._ledger.index import Index
from buril.serve._ledger.record import Record, unpacked

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

MODEL = ("align", "train", "base")
"""Whose digest names a model: that of the first of these."""
DIGITS = 12
TAKEN = ("accepted", "partial", "persisted", "edited")
"""What becomes of a completion of which something is in a file."""
MIN_TOKENS = 12
"""Lexical tokens below which a text is everybody's."""


def model_name(model: Mapping[str, str]) -> str:
    """The name of what wrote a completion: the first digits of its digest, the last of its chain."""
    digest = next((model[name] for name in MODEL if name in model), "")
    return digest[:DIGITS] or "unknown"


class Indexed:
    """The completions of an open ledger; a `Source`.

    Args:
        index: of the ledger.
    """

    def __init__(self, index: Index) -> None:
        self._index = index
        self._known: dict[int, Written | None] = {}

    def hits(self, asked: NDArray[np.uint64], how: How) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Pairs of the place of a hash among those asked for, and the number of a record that has it."""
        del how  # a hash is never one of the other kind's
        return self._index.hits(asked)

    def written(self, number: int) -> Written | None:
        """The completion of a record's number."""
        if number not in self._known:
            record = self._index.record(number)
            row = _row(record) if record else None
            told = row and Written(row.id, row.model, row.tokens, len(row.named), len(row.nameless))
            self._known[number] = told
        return self._known[number]


def fingerprints(
    records: Iterable[Record], *, since: datetime.datetime | None = None, accepted: bool = False
) -> Fingerprints:
    """The fingerprints of completions that are long enough to prove anything.

    Args:
        records: all of a ledger, in order.
        since: leave out those from before.
        accepted: only those of which an editor has told that something was taken over.
    """
    limit = since.astimezone(datetime.timezone.utc).isoformat(timespec="microseconds") if since else ""
    found: list[tuple[str, Row]] = []
    taken: set[str] = set()
    head = ""
    for record in records:
        head = f"{record['seq']}:{record['hash']}"
        if record["kind"] == "event" and record["event"] in TAKEN:
            taken.add(str(record["id"]))
        row = _row(record)
        if row and row.tokens >= MIN_TOKENS and str(record["time"]) >= limit:
            found.append((str(record["tokens_sha256"]), row))
    return Fingerprints(once(item for item in found if not accepted or item[1].id in taken), head)


def _row(record: Record) -> Row | None:
    """A completion's record as a row; None for any other, and for one whose fingerprints can't be compared."""
    if record["kind"] != "completion" or record.get("winnow") != winnow.VERSION:
        return None
    import numpy as np

    named, nameless = (np.unique(unpacked(record.get(name))) for name in ("prints", "nameless"))
    return Row(str(record["id"]), model_name(record.get("model", {})), int(record["num_lexical"]), named, nameless)
