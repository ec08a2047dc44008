"""Fingerprints of completions as a file: what a CI needs of a ledger to know its lines again, and nothing else of it.

One row a completion, in Parquet: its id, the model's name, how many lexical tokens it has, and 48 bits of each
fingerprint. No code, no prompt, no time. Texts that are the same, token for token, have one row. 48 bits are
enough: three of them must agree for one completion, and stand together.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from buril.code import winnow
from buril.code.attribution import How, Written
from buril.core.artifact import atomic

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

VERSION = 1
BYTES = 6
"""Of a fingerprint."""
COMMON = 128
"""Completions beyond which a fingerprint is everybody's, and tells nothing."""
KEY = b"buril"
"""Under which the file says what it is."""
COLUMNS = ("id", "model", "tokens", "named", "nameless")


class Row(NamedTuple):
    """A completion: as `Written`, with its fingerprints as hashes of 64 bits, each once."""

    id: str
    model: str
    tokens: int
    named: NDArray[np.uint64]
    nameless: NDArray[np.uint64]


class NotFingerprints(ValueError):
    """A file that holds no fingerprints, or such as this version can't compare."""


class _Index(NamedTuple):
    """Hashes ascending, and whose they are."""

    hash_N: NDArray[np.uint64]
    owner_N: NDArray[np.int64]


@dataclass(frozen=True)
class Fingerprints:
    """The completions of a ledger, to look lines up in; a `Source`.

    `head`: number and hash of the last record of the ledger when they were taken.
    """

    rows: Sequence[Row]
    head: str = ""

    def __len__(self) -> int:
        return len(self.rows)

    def written(self, number: int) -> Written | None:
        """The completion of a number."""
        row = self.rows[number]
        return Written(row.id, row.model, row.tokens, len(row.named), len(row.nameless))

    def hits(self, asked: NDArray[np.uint64], how: How) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Pairs of the place of a hash among those asked for, and the number of a completion that has it."""
        import numpy as np

        index = self._indices[how]
        short = _short(asked)
        low, high = (np.searchsorted(index.hash_N, short, side) for side in ("left", "right"))
        count = high - low
        count[count > COMMON] = 0
        places = np.repeat(low - np.cumsum(count) + count, count) + np.arange(count.sum())
        return np.repeat(np.arange(len(asked)), count), index.owner_N[places]

    @cached_property
    def _indices(self) -> dict[How, _Index]:
        return {"named": _index([row.named for row in self.rows]),
                "nameless": _index([row.nameless for row in self.rows])}  # fmt: skip

    # --- as a file

    def write(self, path: Path) -> None:
        """Write them; the same rows give the same bytes.

        Raises:
            OSError: the file can't be written.
        """
        import pyarrow as pa
        import pyarrow.parquet as pq

        told = json.dumps({"fingerprints": VERSION, "winnow": winnow.VERSION, "head": self.head}, sort_keys=True)
        table = pa.table(
            {
                "id": pa.array([row.id for row in self.rows], pa.string()),
                "model": pa.array([row.model for row in self.rows], pa.string()),
                "tokens": pa.array([row.tokens for row in self.rows], pa.int32()),
                "named": pa.array([_packed(row.named) for row in self.rows], pa.binary()),
                "nameless": pa.array([_packed(row.nameless) for row in self.rows], pa.binary()),
            }
        ).replace_schema_metadata({KEY: told})
        with atomic(path) as temporary:  # hashes can't be compressed
            pq.write_table(table, temporary, compression="zstd", use_dictionary=["model"], write_statistics=False)


def read(path: Path) -> Fingerprints:
    """The fingerprints of a file.

    Raises:
        OSError: it can't be read.
        NotFingerprints: it holds none, or of another version.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(path)
        told = json.loads((table.schema.metadata or {})[KEY])
        columns = [table.column(name).to_pylist() for name in COLUMNS]
    except (pa.ArrowException, KeyError, ValueError) as problem:
        raise NotFingerprints(str(problem).splitlines()[0] if str(problem) else type(problem).__name__) from problem
    if (told.get("fingerprints"), told.get("winnow")) != (VERSION, winnow.VERSION):
        raise NotFingerprints(f"version {told.get('fingerprints')}.{told.get('winnow')}")
    rows = [Row(id_, model, tokens, _unpacked(named), _unpacked(nameless))
            for id_, model, tokens, named, nameless in zip(*columns, strict=True)]  # fmt: skip
    return Fingerprints(rows, str(told.get("head", "")))


def once(rows: Iterable[tuple[str, Row]]) -> list[Row]:
    """Rows without those whose text, named by its digest, came before."""
    found: dict[str, Row] = {}
    for digest, row in rows:
        found.setdefault(digest, row)
    return list(found.values())


def _short(hashes: NDArray[np.uint64]) -> NDArray[np.uint64]:
    import numpy as np

    found: NDArray[np.uint64] = hashes & np.uint64((1 << 8 * BYTES) - 1)
    return found


def _packed(hashes: NDArray[np.uint64]) -> bytes:
    import numpy as np

    pairs = np.unique(_short(hashes)).astype("<u8").view(np.uint8).reshape(-1, 8)
    return pairs[:, :BYTES].tobytes()


def _unpacked(raw: bytes) -> NDArray[np.uint64]:
    import numpy as np

    wide = np.zeros((len(raw) // BYTES, 8), np.uint8)
    wide[:, :BYTES] = np.frombuffer(raw, np.uint8)[: len(wide) * BYTES].reshape(-1, BYTES)
    return wide.view("<u8")[:, 0].astype(np.uint64)


def _index(hashes: Sequence[NDArray[np.uint64]]) -> _Index:
    import numpy as np

    whole = np.concatenate([np.zeros(0, np.uint64), *(_short(item) for item in hashes)])
    owner = np.repeat(np.arange(len(hashes)), [len(item) for item in hashes])
    order = np.argsort(whole, kind="stable")
    return _Index(whole[order], owner[order])
