"""The same work by the engines `processes` and `ray` on this machine: what Ray costs where one machine would do.

    python benchmarks/scale.py [--size small|full]

Two figures, each by both engines in alternating runs, medians: the stage `prepare` over shards of real Python code
(MB/s of wall time), and tasks that write two bytes (milliseconds each). Ray is started once, for this benchmark alone,
on the loopback address; what that takes is printed and not counted. The digests of both are compared. Wall time,
because waiting is what an engine costs; on a busy machine the spread is wide. Ray's workers stay warm between runs
while those of `processes` start anew, which shows while a run takes seconds (`small`).
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import statistics
import subprocess
import sys
import sysconfig
import tempfile
import time
from functools import partial
from pathlib import Path

from buril.chain import Chain
from buril.core import plan
from buril.core.store import Store
from buril.core.workers import Engine, each, using
from buril.engines.processes import Processes
from buril.engines.ray import Ray
from buril.testing._engine import _Shard, _write

SIZES = {"small": (3_000_000, 40, 3), "full": (60_000_000, 400, 3)}
SHARDS = 12


def engine(name: str) -> Engine:
    """An engine for one run; Ray is running already, and this one joins it."""
    return Ray(Ray.Settings()) if name == "ray" else Processes(Processes.Settings())


def corpus(folder: Path, num_bytes: int) -> int:
    """Real files, in an order that does not depend on the machine's; gives their bytes."""
    paths = sorted(Path(sysconfig.get_paths()["purelib"]).rglob("*.py"))
    random.Random(7).shuffle(paths)
    size = 0
    for number, path in enumerate(paths):
        text = path.read_bytes()
        if 1_000 < len(text) < 100_000:
            (folder / f"{number:06d}.py").write_bytes(text)
            size += len(text)
        if size > num_bytes:
            break
    return size


def stage(folder: Path, name: str, run: int) -> tuple[float, str]:
    """Seconds of `prepare`, and its digest; what it reads is there."""
    store = Store(folder / f"{name}-{run}")
    for before in ("collect", "dedup"):
        (store.root / before).symlink_to(folder / "made" / before)
    with using(engine(name)):
        made = plan.run(Chain.from_yaml(folder / "buril.yaml").stages(), store, name="scale")
    artifact = made.artifacts["prepare"]
    return artifact.manifest.seconds, artifact.digest


def tasks(folder: Path, name: str, count: int) -> float:
    """Milliseconds a task that writes two bytes."""
    jobs = [_Shard(number, folder / f"{number}.txt") for number in range(count)]
    with using(engine(name)):
        clock = time.perf_counter()
        assert len(list(each(partial(_write, times=1), jobs, 0, stage="scale"))) == count
        return (time.perf_counter() - clock) * 1000 / count


def measured(folder: Path, name: str, run: int, num_tasks: int) -> tuple[float, str, float]:
    """Both figures of one engine. `processes` has a process of its own, in which ray is not loaded: there it forks."""
    if name == "ray":
        return (*stage(folder, name, run), tasks(folder, name, num_tasks))
    command = [sys.executable, __file__, "--child", str(folder), str(run), str(num_tasks)]
    found = json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)
    return found[0], found[1], found[2]


def row(name: str, ours: float, peer: float, unit: str, ratio: float) -> dict[str, object]:
    import ray

    told = f"ray {ray.__version__}"
    machine = f"{platform.machine()}, {os.cpu_count()} CPUs, Python {platform.python_version()}"
    return {
        "name": name, "ours": round(ours, 3), "peer": round(peer, 3), "peer_name": told, "unit": unit,
        "ratio": round(ratio, 3), "target": ">= 1", "met": ratio >= 1, "machine": machine,
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--size", choices=[*SIZES], default="small")
    parser.add_argument("--child", nargs=3, metavar=("FOLDER", "RUN", "TASKS"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        folder, run, count = Path(options.child[0]), int(options.child[1]), int(options.child[2])
        print(json.dumps([*stage(folder, "processes", run), tasks(folder, "processes", count)]))
        return
    num_bytes, num_tasks, runs = SIZES[options.size]
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        (folder / "code").mkdir()
        size = corpus(folder / "code", num_bytes)
        (folder / "buril.yaml").write_text(
            f"collect: {{sources: [{{folder: {{path: code}}}}], shard_bytes: {size // SHARDS}}}\n"
            "dedup: {}\nprepare: {}\n"
        )
        made = Chain.from_yaml(folder / "buril.yaml").run(Store(folder / "made"), "dedup")
        print(f"{size / 1e6:.1f} MB, {made.artifacts['dedup'].manifest.metrics['kept_mb']:.1f} MB after dedup")
        clock = time.perf_counter()
        kept = engine("ray")
        few = [_Shard(number, folder / "x.txt") for number in range(4)]
        list(kept.each(partial(_write, times=1), few, 0, stage="scale"))
        print(f"start of Ray and its first workers: {time.perf_counter() - clock:.1f} s (once)")
        seconds: dict[str, list[float]] = {"processes": [], "ray": []}
        each_ms: dict[str, list[float]] = {"processes": [], "ray": []}
        digests = set()
        for run in range(runs):
            for name in ("processes", "ray"):
                took, digest, per_task = measured(folder, name, run, num_tasks)
                seconds[name].append(took)
                digests.add(digest)
                each_ms[name].append(per_task)
        kept.close()
        assert len(digests) == 1, "the engines made other bytes"
        mb = made.artifacts["dedup"].manifest.metrics["kept_mb"]
        rate = {name: mb / statistics.median(found) for name, found in seconds.items()}
        ms = {name: statistics.median(found) for name, found in each_ms.items()}
        print(f"seconds {seconds}\nms a task {each_ms}\nsame digest {digests.pop()[:12]}")
        rows = [
            row("scale: prepare", rate["processes"], rate["ray"], "MB/s", rate["processes"] / rate["ray"]),
            row("scale: empty task", ms["processes"], ms["ray"], "ms", ms["ray"] / ms["processes"]),
        ]
        print(json.dumps(rows))


if __name__ == "__main__":
    main()
