"""What judging pairs by running them shares, whatever is run: a loop, a memory, and the table of what came of each."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple, Protocol, TypeVar

import pyarrow as pa

from buril.code.codefile import write_table
from buril.core.artifact import atomic
from buril.core.stage import Output
from buril.data.pair import Pair

Shown_co = TypeVar("Shown_co", covariant=True)


class Runner(Protocol[Shown_co]):
    """What runs something of a pair."""

    def shown(self, pair: Pair) -> Shown_co:
        """What that shows."""

    def close(self) -> None:
        """End the jails."""


class Judged(Protocol):
    """A pair and what was shown of it, a named tuple."""

    @property
    def pair(self) -> Pair:
        """With its proofs."""

    @property
    def shown(self) -> Any:
        """By the names of the table's columns."""


class Work(NamedTuple):
    """How many pairs at a time, what progress calls them, and the proof that it counts."""

    workers: int
    unit: str
    proof: str


def judged(
    runner: Runner[Shown_co],
    pairs: Sequence[Pair],
    proofs: Callable[[Shown_co], tuple[str, ...]],
    work: Work,
    out: Output,
) -> Iterator[tuple[Pair, Shown_co]]:
    """Each pair with its new proofs, and what was shown of it, in their order; the runner is closed at the end."""
    pool = ThreadPoolExecutor(work.workers)
    proved = 0
    try:
        for number, (pair, shown) in enumerate(zip(pairs, pool.map(runner.shown, pairs), strict=True), 1):
            new = proofs(shown)
            proved += work.proof in new
            out.progress(number, len(pairs), work.unit, proved=proved)
            yield pair._replace(proofs=(*pair.proofs, *new)), shown
    finally:
        pool.shutdown(cancel_futures=True)
        runner.close()


class Memory:
    """What was found already, a file each, so that an interrupted run does nothing twice.

    Args:
        folder: where; None keeps nothing.
    """

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder

    def get(self, name: str, make: Callable[[], Any]) -> Any:
        """What `make` finds, as JSON has it, or found before an interruption under this name."""
        if self._folder is None:
            return make()
        path = self._folder / f"{name}.json"
        if path.exists():
            return json.loads(path.read_text(encoding="utf-8"))
        found = make()
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic(path) as temporary:
            temporary.write_text(json.dumps(found), encoding="utf-8")
        return found


def write_judged(out: Output, file: str, schema: pa.Schema, found: Sequence[Judged]) -> None:
    """Write a row a pair, dropped ones too."""
    rows = [
        {
            "pair_id": one.pair.pair_id,
            "cwe": one.pair.cwe,
            "source": one.pair.source,
            "scenario": one.pair.scenario,
            **one.shown._asdict(),
        }
        for one in found
    ]
    write_table(out.path(file), pa.Table.from_pylist(rows, schema=schema))
    out.rows[file] = len(rows)
