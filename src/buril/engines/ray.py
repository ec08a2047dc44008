"""Engine ray: one task a shard on a Ray cluster, over a store that every node sees.

Ray Core tasks over whole shards, not Ray Data, whose blocks are copied through its object store. Only jobs (paths and
small values) and what the work gives back travel; rows are read and written where the store is. Ray itself tries a task
again whose worker or node died, on whatever node is left.
"""

from __future__ import annotations

import os
import platform
import secrets
import shutil
import socket
import tempfile
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import fields, is_dataclass
from multiprocessing.reduction import ForkingPickler
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, TypeVar

from buril.core.errors import BurilError
from buril.core.settings import Settings as BaseSettings
from buril.core.settings import runtime
from buril.core.text import _
from buril.core.workers import Engine, shard_of
from buril.engines._answer import answer
from buril.engines._software import difference, software

Job = TypeVar("Job")
Result = TypeVar("Result")
OBJECT_STORE_BYTES = 80 * 2**20
"""Ray takes no less than 75 MiB; no data passes through it."""
_MOST_PATHS, _MOST_CHARS, _KNOCK_S = 500, 200, 10.0
_IN_FLIGHT = 2


class Ray(Engine):
    """Does each shard as a task of a Ray cluster: the one named, the one of RAY_ADDRESS, or its own on this machine."""

    requires: ClassVar[tuple[str, ...]] = ("ray",)

    class Settings(BaseSettings):
        """Which cluster, and what a task takes of it."""

        shorthand: ClassVar[str | None] = "address"

        address: str | None = runtime(None)
        """`HOST:PORT` of the cluster's head, or `auto` for the cluster of this machine. None: RAY_ADDRESS, and without
        it a Ray of this run alone, on this machine's loopback address."""
        num_cpus: float = runtime(1.0, gt=0)
        """Processors a task takes: the work on a shard is done by one. More leave each task more of a node's memory."""
        retries: int = runtime(3, ge=0)
        """How often a shard whose worker or node died is tried again; the last try has a node for itself."""

    settings: Settings

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self._own = False
        self._seen: set[str] = set()

    def each(self, work: Callable[[Job], Result], jobs: Sequence[Job], workers: int, *, stage: str) -> Iterator[Result]:
        """Do `work` on every job, on as many processors as the cluster has; `workers` is of one machine, and not used.

        Raises:
            BurilError: S009 when a shard killed its worker in every try; S021 and S022 when a node has other software
                or does not see the store; S023 without a cluster; S024 when no node is large enough.
        """
        if not jobs:
            return
        ray = self._connected()
        self._check_nodes(ray, jobs)
        retries = self.settings.retries
        failed: list[_Task] = []
        todo = [_Task(number, job) for number, job in enumerate(jobs)]
        for tries, alone in ((max(0, retries - 1), False), (0, True)):
            if alone and (not failed or not retries):
                break
            pending, failed = (failed if alone else todo), []
            cpus = self._largest(ray) if alone else self.settings.num_cpus
            remote = ray.remote(num_cpus=cpus, max_retries=tries, name=f"buril {stage}")(_do)
            for task, blob in self._run(ray, remote, work, pending):
                if isinstance(blob, bytes):
                    yield ForkingPickler.loads(blob).value()
                else:
                    failed.append(task._replace(died=blob))
                    if not alone and retries:
                        text = _("a worker died on shard {shard} ({reason}); the shard is tried again")
                        self.warn(text.format(shard=shard_of(task.job, task.number), reason=blob))
        if failed:
            shards = ", ".join(shard_of(task.job, task.number) for task in failed)
            raise BurilError("S009", stage=stage, shards=shards, times=retries + 1, reason=failed[-1].died)

    def _run(self, ray: Any, remote: Any, work: Callable[[Job], Result], tasks: Sequence[_Task]) -> Iterator[Any]:
        """Each task with the bytes of its answer, or with how it died; at the end what is not done is called off."""
        waiting: deque[_Task] = deque(tasks)
        running: dict[Any, _Task] = {}
        told = software()
        try:
            while waiting or running:
                room = max(1, int(_IN_FLIGHT * ray.cluster_resources().get("CPU", 1) / self.settings.num_cpus))
                while waiting and len(running) < room:
                    task = waiting.popleft()
                    running[remote.remote(work, task.job, told)] = task
                done, _rest = ray.wait(list(running), num_returns=1)
                for reference in done:
                    task = running.pop(reference)
                    try:
                        yield task, ray.get(reference)
                    except ray.exceptions.RayError as problem:
                        yield task, _reason(problem)
        finally:
            for reference in running:
                ray.cancel(reference, force=True)

    def _connected(self) -> Any:
        """The package ray, connected to a cluster.

        Raises:
            BurilError: S023 when there is none, or it refuses.
        """
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        address = self.settings.address or os.environ.get("RAY_ADDRESS")
        if not address:  # before ray is imported
            for name, value in _LOOPBACK.items():
                os.environ.setdefault(name, value)
        import ray

        if ray.is_initialized():
            return ray
        options: dict[str, Any] = {"log_to_driver": False, "logging_level": "error", "configure_logging": False}
        if address:
            options["address"] = address
        else:
            from buril.core.machine import cpus

            options |= {"num_cpus": cpus(), "include_dashboard": False, "object_store_memory": OBJECT_STORE_BYTES}
            if _free_bytes(Path("/dev/shm")) < 2 * OBJECT_STORE_BYTES:  # noqa: S108  where Ray maps its store by default
                options["_plasma_directory"] = tempfile.gettempdir()
        try:
            _knock(address or "")
            ray.init(**options)
        except (ConnectionError, OSError, RuntimeError, TimeoutError, ValueError) as problem:
            told = str(problem).strip().split("\n")[0]
            raise BurilError("S023", address=address or "127.0.0.1", problem=told) from problem
        self._own = True
        self._hear()
        return ray

    def _hear(self) -> None:
        """Let what Ray has to say become warnings of the run: by itself it prints to stdout, where data belongs."""
        from ray._private import worker

        def hear(data: Mapping[str, Any], **_options: object) -> None:
            for line in data.get("lines", ()):
                first = str(line).strip().split(". ")[0].split("\n")[0][:_MOST_CHARS]
                if not first.startswith("Task _do failed"):  # said already by how its worker ended
                    self.warn(f"Ray: {first}")

        if hasattr(worker, "print_to_stdstream"):
            worker.print_to_stdstream = hear  # type: ignore[assignment]  # Ray has no setting for it

    def _largest(self, ray: Any) -> float:
        return max(float(node["Resources"].get("CPU", 0.0)) for node in ray.nodes() if node["Alive"])

    def _check_nodes(self, ray: Any, jobs: Sequence[object]) -> None:
        """Ask every node that can take a task, once each, for its software and for the paths that jobs name.

        Raises:
            BurilError: S021, S022, S024.
        """
        nodes = [node for node in ray.nodes() if node["Alive"]]
        fit = [node for node in nodes if node["Resources"].get("CPU", 0.0) >= self.settings.num_cpus]
        if not fit:
            raise BurilError("S024", num_cpus=f"{self.settings.num_cpus:g}")
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        with self._token() as token:
            paths = [str(path) for path in (*token, *_paths(jobs))]
            asked = {}
            for node in fit:
                place = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
                look = ray.remote(num_cpus=0, max_retries=0, scheduling_strategy=place)(_look())
                asked[look.remote(paths)] = node["NodeManagerAddress"]
            for reference, address in asked.items():
                try:
                    there, missing = ray.get(reference)
                except ray.exceptions.RayError:  # it died since: its tasks go elsewhere
                    continue
                if told := difference(software(), there):
                    raise BurilError("S021", node=address, difference=told)
                if missing:
                    raise BurilError("S022", node=address, path=missing)

    @contextmanager
    def _token(self) -> Iterator[tuple[Path, ...]]:
        """A file with a name nobody guesses, in the stage's folder: a node that sees it sees this very store."""
        if self.out is None:
            yield ()
            return
        path = self.out.scratch / f".ray-{secrets.token_hex(8)}.tmp"
        path.touch()
        try:
            yield (path,)
        finally:
            path.unlink(missing_ok=True)

    def close(self) -> None:
        """Leave the cluster; a Ray of this run's own ends."""
        if self._own:
            import ray

            ray.shutdown()
            self._own = False


class _Task(NamedTuple):
    number: int
    job: Any
    died: str = ""


_LOOPBACK = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0", "RAY_AUTH_MODE": "token"}
"""What makes a Ray of our own listen on the loopback address alone, and to none without a token of this user's."""


def _knock(address: str) -> None:
    """Fail at once where nobody listens; Ray itself would go on trying for minutes."""
    host, _colon, port = address.rpartition(":")
    if host and port.isdigit() and "/" not in host:
        socket.create_connection((host.strip("[]"), int(port)), timeout=_KNOCK_S).close()


def _do(work: Callable[[Any], Any], job: Any, told: Mapping[str, str]) -> bytes:
    """The task: do the work on a job, if this node (which may have come lately) has the driver's software."""
    if other := difference(told, software()):
        raise BurilError("S021", node=platform.node(), difference=other)
    return answer(work, job)


def _look() -> Callable[[Sequence[str]], tuple[dict[str, str], str]]:
    """A function that travels by value, so that it runs on a node without buril too."""

    def look(paths: Sequence[str]) -> tuple[dict[str, str], str]:
        import importlib
        import pathlib

        missing = next((path for path in paths if not pathlib.Path(path).exists()), "")
        try:
            return importlib.import_module("buril.engines._software").software(), missing
        except ImportError:
            return {}, missing

    return look


def _paths(jobs: Sequence[object]) -> list[Path]:
    """Paths that jobs name and this machine has: shards, sources. Of very many, some spread evenly."""
    found = dict.fromkeys(path for job in jobs for path in _inside(job))
    there = [path for path in found if path.is_absolute()]
    return [path for path in there[:: 1 + len(there) // _MOST_PATHS] if path.exists()]


def _inside(value: object) -> Iterator[Path]:
    if isinstance(value, Path):
        yield value
    elif isinstance(value, tuple | list):
        for item in value[:_MOST_PATHS]:
            yield from _inside(item)
    elif isinstance(value, dict):
        for item in value.values():
            yield from _inside(item)
    elif is_dataclass(value):
        for field in fields(value):
            yield from _inside(getattr(value, field.name))


def _reason(problem: Exception) -> str:
    """How a task ended, in a few words."""
    cause = getattr(problem, "cause", None)
    if isinstance(cause, BurilError):
        raise cause
    name = type(problem).__name__
    known = {"OutOfMemoryError": _("out of memory"), "WorkerCrashedError": _("its process was killed")}
    return known.get(name, f"{name}: {str(problem).strip().splitlines()[-1][:200]}" if str(problem) else name)


def _free_bytes(path: Path) -> int:
    try:
        return shutil.disk_usage(path).free
    except OSError:
        return 0
