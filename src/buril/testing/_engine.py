"""Contract check of what does the work on shards."""

from __future__ import annotations

import tempfile
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from buril.core.artifact import atomic
from buril.core.errors import BurilError
from buril.core.settings import is_runtime
from buril.core.workers import Engine, each, using
from buril.testing._common import check_plugin, expect, make, same


class _Shard(NamedTuple):
    number: int
    target: Path


class _Told(NamedTuple):
    shard: str
    size: int


def _write(job: _Shard, times: int) -> _Told:
    with atomic(job.target) as temporary:
        temporary.write_text(f"{job.number}\n" * times, encoding="utf-8")
    return _Told(job.target.name, times)


def _refuse(job: _Shard) -> None:
    raise BurilError("S001", ref=str(job.number))


def check_engine(engine: Any) -> None:
    """An engine does every job, gives each result once, and hands on an error as it was raised.

    All its settings are runtime: an engine is no part of an identity. No jobs, one and several are tried, as is a
    `functools.partial`. The results lie in a temporary folder of this machine.
    """
    check_plugin("engine", engine)
    made = make(engine)
    expect(isinstance(made, Engine), "it is no subclass of buril.core.workers.Engine")
    fields = getattr(type(made), "Settings", None)
    bearing = [
        name for name, info in (fields.model_fields.items() if fields else ()) if not is_runtime(info.json_schema_extra)
    ]
    expect(not bearing, f"declare {', '.join(bearing)} with runtime(...): engines change no byte")
    with tempfile.TemporaryDirectory() as folder, using(made):
        for count in (0, 1, 5):
            _check_work(Path(folder), count)
        jobs = [_Shard(number, Path(folder) / "none") for number in range(2)]
        try:
            list(each(_refuse, jobs, 2, stage="check"))
        except BurilError as error:
            same(error.code, "S001", "an error of the work arrives as another")
        else:
            expect(False, "an error of the work is not raised")


def _check_work(folder: Path, count: int) -> None:
    jobs = [_Shard(number, folder / f"{count}-{number:05d}.txt") for number in range(count)]
    told = sorted(each(partial(_write, times=2), jobs, 2, stage="check"))
    same(told, [_Told(job.target.name, 2) for job in jobs], f"the results of {count} jobs are not each given once")
    texts = [job.target.read_text(encoding="utf-8") if job.target.exists() else None for job in jobs]
    same(texts, [f"{job.number}\n" * 2 for job in jobs], "a job that was given a result did not write its file")
