"""Contract check of trackers: they take a run, the same points twice, the files, and leave what is not theirs alone."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from buril.core.artifact import sha256_file
from buril.testing._common import check_plugin, expect, make, same


def check_tracker(tracker: Any, folder: Path) -> None:
    """A tracker takes a whole run, and goes on with one that was interrupted, without touching the artifact.

    Args:
        tracker: a tracker with settings whose place can be reached.
        folder: an empty folder.
    """
    from buril.train.trackers._tracker import Point, Tracked

    check_plugin("tracker", tracker)
    memory, adapter = folder / "memory", folder / "artifact" / "adapter"
    for path in (memory, adapter):
        path.mkdir(parents=True)
    (adapter / "adapter_config.json").write_text("{}")
    before = _sums(folder / "artifact")
    run = Tracked(folder / "artifact", memory, {"method": "lora", "batch_size": 4, "clip": None}, {"pack": "0" * 64})
    points = [Point(step, time.time(), {"loss": 2.0 / step, "grad_norms/mlp": 0.5}) for step in range(1, 4)]
    first = make(tracker)
    expect(first.check() is None, "check() returns something: it raises what is wrong, or does nothing")
    first.open(run)
    first.record(points)
    first.record([])
    first.close("interrupted")
    second = type(first)(first.settings)
    second.check()
    second.open(run)  # the training goes on: what was sent after the last checkpoint comes again
    second.record(points[2:])
    second.finish(adapter, "1" * 64)
    second.close("finished")
    after = {name: found for name, found in _sums(folder / "artifact").items() if not name.startswith("logs/")}
    same(before, after, "it changes the artifact outside of logs/")


def _sums(folder: Path) -> dict[str, str]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): sha256_file(path) for path in files}
