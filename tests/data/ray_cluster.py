"""A Ray cluster of two nodes on the loopback address, and drivers for it: each a process of its own.

    python -m tests.data.ray_cluster serve              prints one line of JSON, ends with its standard input
    python -m tests.data.ray_cluster drive FOLDER ADDRESS [worker|RAYLET|driver]    runs the chain; may kill a worker or a node

The tests' own process never loads ray: its threads don't survive the forks that other tests make.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0", "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0", "RAY_AUTH_MODE": "token",
    "RAY_AUTH_TOKEN": "0" * 64,
}  # fmt: skip
BYTES = 80 * 2**20


def serve() -> None:
    from ray.cluster_utils import Cluster

    soon = {"health_check_initial_delay_ms": 0, "health_check_period_ms": 500, "health_check_failure_threshold": 4}
    node = {"num_cpus": 1, "object_store_memory": BYTES}
    cluster = Cluster(initialize_head=True, head_node_args={**node, "include_dashboard": False, "_system_config": soon})
    try:
        second = cluster.add_node(**node)
        raylet = second.all_processes["raylet"][0].process.pid
        print(json.dumps({"address": cluster.address, "raylet": raylet}), flush=True)
        sys.stdin.read()
    finally:
        cluster.shutdown()


def drive(folder: Path, address: str, target: str) -> dict[str, Any]:
    from buril.chain import Chain
    from buril.core.store import Store

    chain = Chain.from_yaml(folder / "buril.yaml").set("engine", {"ray": {"address": address}})
    struck: list[int] = []
    if target and target != "driver":
        threading.Thread(target=strike, args=(target, struck), daemon=True).start()
    made = chain.run(Store(folder / f"store-{target or 'ray'}"))
    digests = {name: artifact.digest for name, artifact in made.artifacts.items()}
    return {"digests": digests, "struck": struck}


def strike(target: str, struck: list[int], stage: str = "prepare") -> None:
    """Kill the first worker seen in a task of `stage`; or the raylet with that process id, while a worker of it is.

    A worker is held first and looked at again: on a busy machine it may have answered meanwhile.
    """
    while not struck:
        for pid in tasks(stage):
            if target == "worker" or parent(pid) == int(target):
                os.kill(pid, signal.SIGSTOP)
                if pid not in tasks(stage):
                    os.kill(pid, signal.SIGCONT)
                    continue
                victim = pid if target == "worker" else int(target)
                os.kill(victim, signal.SIGKILL)
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGCONT)  # the worker of a raylet ends by itself
                struck.append(victim)
                return
        time.sleep(0.005)


def tasks(stage: str) -> list[int]:
    """Processes that are in a task of a stage now: Ray names them after it."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                if (entry / "cmdline").read_bytes().startswith(f"ray::buril {stage}".encode()):
                    found.append(int(entry.name))
    return found


def parent(pid: int) -> int:
    with contextlib.suppress(OSError):
        return int((Path("/proc") / str(pid) / "stat").read_text().rpartition(")")[2].split()[1])
    return 0


def refusals(folder: Path, address: str) -> dict[str, str]:
    """The code of each error that a cluster which does not fit is answered with; and the contract of engines."""
    from unittest import mock

    from buril.core.errors import BurilError
    from buril.core.workers import using
    from buril.engines import ray as engines
    from buril.testing import check_engine
    from buril.testing._engine import _Shard

    engine = engines.Ray(engines.Ray.Settings(address=address))
    told = {}
    other = {**engines.software(), "numpy": "0.1"}
    jobs = [_Shard(number, folder / f"{number}.txt") for number in range(2)]
    for name, patch in {
        "software": mock.patch.object(engines, "software", lambda: other),
        "path": mock.patch.object(engines, "_paths", lambda jobs: [folder / "seen only here"]),
        "size": mock.patch.object(engine, "settings", engines.Ray.Settings(address=address, num_cpus=64)),
    }.items():
        with patch:
            try:
                list(engine.each(_write_once, jobs, 0, stage="check"))
            except BurilError as error:
                told[name] = str(error)
    check_engine(engine)
    with using(engine):
        return told


def _write_once(job: Any) -> int:
    return int(job.number)


if __name__ == "__main__":
    os.environ.update(QUIET)
    if sys.argv[1] == "serve":
        serve()
    elif sys.argv[1] == "refusals":
        print(json.dumps(refusals(Path(sys.argv[2]), sys.argv[3])))
    else:
        print(json.dumps(drive(Path(sys.argv[2]), sys.argv[3], *[*sys.argv[4:], ""][:1])))
