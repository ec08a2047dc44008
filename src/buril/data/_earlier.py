"""What earlier runs of `prepare` made of the same files: an unchanged file is not parsed again.

The cache is the store itself. An artifact with the same version, settings, plugins and grammars holds, under the same
row id (repository, path and content), the very row that would be made now, with three exceptions that are looked at
row by row: the licence and the signals that `collect` gave it may have changed, and a step may say that its part
depends on other rows (`Step.stale`: a placeholder's number does).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from buril.code.codefile import CodeFile, from_table
from buril.core.artifact import Artifact, atomic

COLLECTED = "collected_signals"
"""The metric of `prepare` that names the signals that came with the rows, as opposed to those its steps gave."""
_MOST_ARTIFACTS = 4
_KEYS, _SHARDS = "keys.npy", "shards.json"
_U64 = npt.NDArray[np.uint64]


class _Index(NamedTuple):
    """Where the rows of earlier artifacts are. For each shard, the signals that its rows had from `collect`."""

    shards: tuple[Path, ...]
    collected: tuple[frozenset[str], ...]


def index(artifacts: Sequence[Artifact], folder: Path) -> Path | None:
    """Write down, once, where the rows of the latest artifacts are; gives the folder, None where there is none.

    `keys.npy` (2, N) holds row ids as numbers, ascending, and for each the place: shard × 2^32 + row.
    """
    if (folder / _SHARDS).exists():  # an interrupted run goes on with what it began with
        return folder
    shards: list[Path] = []
    collected: list[list[str]] = []
    keys, places = [np.zeros(0, dtype=np.uint64)], [np.zeros(0, dtype=np.uint64)]
    for artifact in artifacts[:_MOST_ARTIFACTS]:
        names = artifact.manifest.metrics.get(COLLECTED)
        for shard in artifact.files("rows/*.parquet") if names is not None else ():
            found = _numbers(pq.read_table(shard, columns=["row_id"])["row_id"])
            keys.append(found)
            places.append((np.uint64(len(shards)) << np.uint64(32)) + np.arange(len(found), dtype=np.uint64))
            shards.append(shard)
            collected.append(list(names or ()))
    key_N, first_N = np.unique(np.concatenate(keys), return_index=True)  # the first is of the latest artifact
    if not len(key_N):
        return None
    folder.mkdir(exist_ok=True)
    with atomic(folder / _KEYS) as temporary, temporary.open("wb") as stream:
        np.save(stream, np.stack([key_N, np.concatenate(places)[first_N]]), allow_pickle=False)
    with atomic(folder / _SHARDS) as temporary:
        said = {"shards": [str(shard) for shard in shards], "collected": collected}
        temporary.write_text(json.dumps(said), encoding="utf-8")
    return folder


def _numbers(column: pa.ChunkedArray) -> _U64:
    """Row ids (16 hexadecimal digits) as numbers."""
    return np.array([int(item, 16) for item in column.to_pylist()], dtype=np.uint64)


class Earlier:
    """Rows of earlier artifacts for the rows of one shard; nothing is read but the shards that have some."""

    def __init__(self, folder: Path | None, row_ids: pa.ChunkedArray) -> None:
        self._rows: Mapping[str, tuple[CodeFile, frozenset[str]]] = _read(folder, row_ids) if folder else {}

    def take(self, file: CodeFile) -> CodeFile | None:
        """The earlier row of `file` with its present commit and numbers; None where there is none that holds."""
        old, collected = self._rows.get(file.row_id, (None, frozenset()))
        if old is None or old.license != file.license:
            return None
        made = {name: value for name, value in old.signals.items() if name not in collected}
        if not made.keys().isdisjoint(file.signals):
            return None
        old.commit, old.signals = file.commit, {**file.signals, **made}
        return old


def _read(folder: Path, row_ids: pa.ChunkedArray) -> dict[str, tuple[CodeFile, frozenset[str]]]:
    said = json.loads((folder / _SHARDS).read_text(encoding="utf-8"))
    found = _Index(tuple(map(Path, said["shards"])), tuple(map(frozenset, said["collected"])))
    key_N, place_N = np.load(folder / _KEYS, mmap_mode="r")
    wanted = _numbers(row_ids)
    at = np.minimum(np.searchsorted(key_N, wanted), len(key_N) - 1)
    place = np.sort(place_N[at[key_N[at] == wanted]])
    rows: dict[str, tuple[CodeFile, frozenset[str]]] = {}
    for number in np.unique(place >> np.uint64(32)).tolist():
        if not found.shards[number].exists():  # tidied away since: its rows are made again
            continue
        inside = place[place >> np.uint64(32) == number] & np.uint64(0xFFFFFFFF)
        table = pq.read_table(found.shards[number]).take(pa.array(inside.astype(np.int64)))
        rows.update((file.row_id, (file, found.collected[number])) for file in from_table(table))
    return rows
