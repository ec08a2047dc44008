"""Evaluation files as n-grams: what the step `contamination` compares rows with.

A file may be JSON lines (also gzipped), a JSON list, or Parquet; a folder stands for all such files in it. Every text
of a task counts for itself, and its prompt and solution also as one text, for that is how a function is published.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from buril.code.minhash import F64, I64, Flags, Texts, shingles
from buril.core.artifact import sha256_file
from buril.core.errors import BurilError

ENDINGS = (".jsonl", ".jsonl.gz", ".json", ".parquet")
COLUMNS = (
    "prompt", "canonical_solution", "solution", "code", "text", "test", "tests", "test_list", "declaration",
    "challenge_test_list", "content", "input",
)  # fmt: skip
"""Names under which evaluation sets keep what must not be learnt."""
LONG, BRIEF = 10, 5
"""Words in an n-gram: 10, as in the contamination study of Llama 2 (Touvron et al. 2023, A.6) and within the 8 to 13 of
GPT-3 (Brown et al. 2020, appendix C); and 5 for texts of 5 to 9 words, all of whose 5-grams must be there."""


class Tasks(NamedTuple):
    """What is known of the texts (X): the task of each, how many different n-grams it has, whether it is brief."""

    task: tuple[str, ...]
    grams: I64
    brief: Flags
    ngrams: Any
    """A `_contained_kernel.Index`, whose module imports numba."""


def files_of(against: Sequence[str]) -> list[Path]:
    """The files that the paths stand for, in order.

    Raises:
        BurilError: D111 when there is none.
    """
    found: list[Path] = []
    for name in against:
        path = Path(name).expanduser()
        inside = sorted(item for item in path.rglob("*") if item.is_file() and item.name.endswith(ENDINGS))
        chosen = [path] if path.is_file() else inside
        if not chosen:
            raise BurilError("D111", path=name, endings=", ".join(ENDINGS))
        found += chosen
    return found


@cache
def digests(against: tuple[str, ...]) -> tuple[str, ...]:
    """SHA-256 of all files: they decide which rows are told, so they are part of what the rows were made with."""
    return tuple(sha256_file(path) for path in files_of(against))


@cache
def tasks_of(against: tuple[str, ...], digest: tuple[str, ...]) -> Tasks:
    """The n-grams of all texts; made once a process.

    Raises:
        BurilError: D112 for a file that can't be read, D113 when none holds a text of `BRIEF` words.
    """
    del digest  # it is there so that files that change are read again
    named: dict[str, str] = {}
    whole: set[str] = set()
    for path in files_of(against):
        for number, record in enumerate(_records(path)):
            task = str(record.get("task_id") or record.get("name") or record.get("id") or number)
            for text, is_whole in _texts(record):
                named.setdefault(text, f"{path.name.split('.')[0]}:{task}")
                whole.update([text] if is_whole else [])
    found = index_of(named, whole)
    if found is None:
        raise BurilError("D113", path=", ".join(against), columns=", ".join(COLUMNS), words=BRIEF)
    return found


def index_of(named: Mapping[str, str], whole: Collection[str]) -> Tasks | None:
    """The n-grams of texts; None where none of them is long enough to be told from others.

    Args:
        named: text → the task that it is of.
        whole: the texts that are whole ones: `BRIEF` words are enough for them, others need `LONG`.
    """
    texts = sorted(named)
    words = dict(zip(texts, np.diff(shingles(_laid(texts), 1).offsets).tolist(), strict=True))
    texts = [text for text in texts if words[text] >= (BRIEF if text in whole else LONG)]
    if not texts:
        return None
    brief_X = np.array([words[text] < LONG for text in texts], dtype=np.bool_)
    return _indexed(texts, tuple(named[text] for text in texts), brief_X)


class Finder:
    """How much of each text stands in a file.

    Args:
        tasks: the texts (X) as n-grams.
    """

    def __init__(self, tasks: Tasks) -> None:
        self._tasks = tasks
        slots = len(tasks.ngrams.hash_K)
        self._room = (np.zeros(slots, dtype=np.bool_), np.zeros(slots, dtype=np.int64))

    def shares(self, source: bytes) -> F64 | None:
        """The share (X,) of each text's different n-grams that stand in a file; None where it has none of any.

        Of a brief text all must stand there, else its share is 0.
        """
        from buril.code import _contained_kernel as kernel

        data, count_X = np.frombuffer(source, dtype=np.uint8), np.zeros(len(self._tasks.task), dtype=np.int64)
        if not kernel.count(data, (LONG, BRIEF), self._tasks.ngrams, kernel.Room(*self._room), count_X):
            return None
        share_X: F64 = count_X / self._tasks.grams
        share_X[self._tasks.brief & (share_X < 1)] = 0
        return share_X


def _laid(texts: Sequence[str]) -> Texts:
    return Texts.of([text.encode("utf-8", "replace") for text in texts])


def _indexed(texts: Sequence[str], names: tuple[str, ...], brief_X: Flags) -> Tasks:
    from buril.code import _contained_kernel as kernel

    parts = [np.zeros((0, 2), dtype=np.uint64)]
    for size, chosen in ((LONG, np.flatnonzero(~brief_X)), (BRIEF, np.flatnonzero(brief_X))):
        found = shingles(_laid([texts[place] for place in chosen.tolist()]), size)
        owner = np.repeat(chosen, np.diff(found.offsets)).astype(np.uint64)
        parts.append(np.stack([found.hashes, owner], axis=1))
    pairs = np.unique(np.concatenate(parts), axis=0)
    hashes, first = np.unique(pairs[:, 0], return_index=True)
    last = np.append(first[1:], len(pairs))
    hash_K = np.zeros(1 << max(4, (2 * len(hashes)).bit_length()), dtype=np.uint64)
    first_K, last_K = np.zeros(len(hash_K), dtype=np.int64), np.zeros(len(hash_K), dtype=np.int64)
    marked = np.zeros(kernel.MARKS, dtype=np.bool_)
    marked[(hashes & np.uint64(kernel.MARKS - 1)).astype(np.int64)] = True
    marks = np.packbits(marked, bitorder="little")
    for hashed, begin, end in zip(hashes, first, last, strict=True):
        slot = kernel.slot_of(hash_K, hashed)
        hash_K[slot], first_K[slot], last_K[slot] = hashed, begin, end
    grams = np.bincount(pairs[:, 1].astype(np.int64), minlength=len(texts))
    index = kernel.Index(marks, hash_K, first_K, last_K, pairs[:, 1].astype(np.int64))
    return Tasks(names, grams, brief_X, index)


def _texts(record: Mapping[str, Any]) -> Iterator[tuple[str, bool]]:
    """The texts of one task, and whether each is a whole one rather than a part that means little alone."""
    prompt, solution = record.get("prompt"), record.get("canonical_solution") or record.get("solution")
    joined = isinstance(prompt, str) and isinstance(solution, str)
    for name in COLUMNS:
        for text in _strings(record.get(name)):
            yield text, not joined
    if isinstance(prompt, str) and isinstance(solution, str):
        yield prompt + solution, True


def _strings(value: Any) -> Iterable[str]:
    if isinstance(value, str):
        return (value,)
    if isinstance(value, list):
        return ("\n".join(item for item in value if isinstance(item, str)),)
    return ()


def _records(path: Path) -> Iterator[Mapping[str, Any]]:
    """The tasks of one file.

    Raises:
        BurilError: D112 when it is not what its ending says.
    """
    try:
        if path.name.endswith(".parquet"):
            yield from pq.read_table(path).to_pylist()
            return
        raw = gzip.decompress(path.read_bytes()) if path.name.endswith(".gz") else path.read_bytes()
        text = raw.decode("utf-8")
        found = json.loads(text) if path.name.endswith(".json") else [json.loads(x) for x in text.splitlines() if x]
    except (OSError, EOFError, ValueError, pa.ArrowException) as problem:
        raise BurilError("D112", path=path, problem=str(problem).splitlines()[0][:200]) from problem
    yield from (record for record in (found if isinstance(found, list) else [found]) if isinstance(record, dict))
