"""Export: a split or a data set as files of another format, in shards, as a stream: no part has to fit into memory.

- `tfrecord`: `PART-00000-of-00004.tfrecord` (see `buril.data.tfrecord`), and `features.json` with their types.
- `jsonl`: `PART-00000-of-00004.jsonl`, one row a line, all its columns.
- `parquet`: the files as they are, with the card, Croissant and the mixture where they were made.

Every export has a `SHA256SUMS` that `sha256sum -c` reads. The same rows always give the same bytes.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO, Literal, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from buril.core.artifact import Artifact, atomic, sha256_file
from buril.core.errors import BurilError
from buril.data import tfrecord

Format = Literal["tfrecord", "parquet", "jsonl"]
FORMATS: tuple[Format, ...] = ("tfrecord", "parquet", "jsonl")
PARTS = ("train", "valid", "test")
SHARD_BYTES = 256_000_000
"""Text of a shard. TensorFlow's guide asks for shards of at least 100 MB."""
BATCH_ROWS = 512
SUMS = "SHA256SUMS"

Progress = Callable[[float, float], None]
"""Told the bytes of text that are done and those there are."""


class Written(NamedTuple):
    """What an export wrote: rows and files by part, bytes of text and of files."""

    rows: dict[str, int]
    files: tuple[str, ...]
    text_bytes: int
    file_bytes: int


def export(
    artifact: Artifact, to: Path, form: Format, *, shard_bytes: int = SHARD_BYTES, progress: Progress | None = None
) -> Written:
    """Write the parts of a `split` or `dataset` artifact into a folder that is new or empty.

    Raises:
        BurilError: D320 when the artifact has no parts, D321 when the folder is not empty, D322 when it can't be
            written.
    """
    shards = {part: artifact.files(f"{part}/*.parquet") for part in PARTS}
    if not any(shards.values()):
        raise BurilError("D320", stage=artifact.manifest.stage)
    try:
        if to.exists() and any(to.iterdir()):
            raise BurilError("D321", path=to)
        to.mkdir(parents=True, exist_ok=True)
        said = progress or (lambda done, total: None)
        rows = _copy(artifact, to) if form == "parquet" else _convert(shards, to, form, shard_bytes, said)
        names = sorted(path.relative_to(to).as_posix() for path in to.rglob("*") if path.is_file())
        with atomic(to / SUMS) as temporary:
            temporary.write_text("".join(f"{sha256_file(to / name)}  {name}\n" for name in names), encoding="utf-8")
    except OSError as problem:
        raise BurilError("D322", path=to, problem=problem.strerror or problem) from problem
    text = sum(_text_bytes(path) for paths in shards.values() for path in paths)
    return Written(rows, tuple(names), text, sum((to / name).stat().st_size for name in names))


def _copy(artifact: Artifact, to: Path) -> dict[str, int]:
    """The artifact's own files, but for what only the store needs."""
    rows = dict.fromkeys(PARTS, 0)
    for entry in artifact.manifest.files:
        part = entry.path.partition("/")[0]
        if part in rows:
            rows[part] += int(pq.read_metadata(artifact.path(entry.path)).num_rows)
        elif artifact.manifest.stage != "dataset":
            continue
        with atomic(to / entry.path) as temporary:
            shutil.copyfile(artifact.path(entry.path), temporary)
    return rows


def _convert(
    shards: dict[str, list[Path]], to: Path, form: Format, shard_bytes: int, progress: Progress
) -> dict[str, int]:
    """Rows of each part in new shards of about `shard_bytes` of text."""
    total = sum(_text_bytes(path) for paths in shards.values() for path in paths)
    rows, done = dict.fromkeys(PARTS, 0), 0
    lines = tfrecord.records if form == "tfrecord" else _json_lines
    for part, paths in shards.items():
        size = sum(_text_bytes(path) for path in paths)
        if not any(pq.read_metadata(path).num_rows for path in paths):
            continue
        count = max(1, -(-size // shard_bytes))
        batches, start = _batches(paths), done
        for number in range(count):
            last = size if number + 1 == count else size * (number + 1) // count
            with atomic(to / f"{part}-{number:05d}-of-{count:05d}.{form}") as path, path.open("wb") as stream:
                while done - start < last or (number + 1 == count):
                    batch = next(batches, None)
                    if batch is None:
                        break
                    _write(stream, lines(batch))
                    rows[part] += batch.num_rows
                    done += sum(batch.column("bytes").to_pylist())
                    progress(done, total)
    if form == "tfrecord":
        schema = pq.read_schema(next(path for paths in shards.values() for path in paths))
        text = json.dumps({"rows": rows, "features": tfrecord.feature_types(schema)}, indent=1) + "\n"
        with atomic(to / "features.json") as path:
            path.write_text(text, encoding="utf-8")
    return rows


def _batches(paths: Sequence[Path]) -> Iterator[pa.RecordBatch]:
    for path in paths:
        with pq.ParquetFile(path) as source:
            yield from source.iter_batches(batch_size=BATCH_ROWS)


def _write(stream: IO[bytes], lines: Iterator[bytes]) -> None:
    for line in lines:
        stream.write(line)


def _json_lines(batch: pa.RecordBatch) -> Iterator[bytes]:
    for row in batch.to_pylist():
        yield (json.dumps(row, ensure_ascii=False) + "\n").encode("utf-8", "surrogatepass")


def _text_bytes(path: Path) -> int:
    with pq.ParquetFile(path) as source:
        return sum(source.read(columns=["bytes"])["bytes"].to_pylist())
