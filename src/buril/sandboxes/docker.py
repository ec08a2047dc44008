"""Docker: runs untrusted code in containers, where a daemon is there. One job, one container, which then is gone.

Where `namespaces` works it is the better choice: it needs no daemon, no image and no root, and a job costs
milliseconds instead of half a second. This is for machines that allow containers and no user namespaces, and for
programs in languages that an image has and the machine has not.

A container has no network, no capabilities, a read-only image and a user of its own; memory, processes and the two
small tmpfs are bounded by the daemon. In it a job gets the limits and the filter of system calls that jails have. The
oracle is split as everywhere: expected values never enter. Images are never fetched: that is the user's to do.
"""

from __future__ import annotations

import shlex
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, ClassVar, TypeVar

from pydantic import Field

from buril.core.settings import Settings as BaseSettings
from buril.core.settings import runtime
from buril.core.text import _
from buril.sandboxes import _codec as codec
from buril.sandboxes._container import Container
from buril.sandboxes._probe import tried
from buril.sandboxes._sandbox import Job, Limits, Outcome, Program, Protection, Verdict
from buril.sandboxes._worker import ENVIRONMENT, Run, judge, outcome_of

_Kind = tuple[Limits, bool]
_Came = TypeVar("_Came", Verdict, Outcome)


class Docker:
    """The sandbox. A container is started ahead for each worker, so that its start costs less."""

    version: ClassVar[int] = 1

    class Settings(BaseSettings):
        """Where containers come from, and what a job may use where it does not say so itself."""

        image: str = Field(default="python:3.11-slim", min_length=1)
        """The image, which must be there already (`docker pull`): Python 3.10 or later, and for programs in other
        languages their compilers below `/usr`."""
        python: str = "python3"
        """The interpreter in it."""
        command: str = runtime("docker")
        """The client, with options: `podman`, `docker --host unix:///run/user/1000/docker.sock`."""
        cpu_s: int = 2
        """Processor seconds a job."""
        wall_s: float = 20.0
        """Wall seconds a job, its container's start left out."""
        memory_mb: int = 512
        """MiB a process may map and a job's processes may hold together."""
        disk_mb: int = 16
        """MiB in each of `/tmp` and `/dev/shm`."""
        processes: int = 16
        """Processes and threads at a time."""
        output_kb: int = 256
        """KiB a job may print before it is ended."""
        workers: int = runtime(2, ge=1)
        """Jobs at a time."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._limits = Limits(**settings.model_dump(exclude={"workers", "image", "python", "command"}))
        self._ahead: dict[_Kind, list[Container]] = {}
        self._lock = threading.Lock()
        self._closed = False

    def run(self, job: Job) -> Verdict:
        """Run one job; a container that breaks is tried once more before the verdict is `harness_error`.

        Raises:
            BurilError: E001 when there is no daemon or no image.
        """
        limits = job.limits or self._limits
        calls = [codec.encode(list(call.args)) for call in job.calls]
        told = {"source": job.source, "entry": job.entry, "calls": calls}
        return _again(lambda: judge(job, limits, *self._hand_over(told, limits, programs=False)))

    def run_all(self, jobs: Sequence[Job]) -> Iterator[Verdict]:
        """Run jobs, `workers` at a time; verdicts come in the order of the jobs.

        Raises:
            BurilError: E001 when there is no daemon or no image.
        """
        with ThreadPoolExecutor(self.settings.workers) as pool:
            yield from pool.map(self.run, jobs)

    def execute(self, program: Program) -> Outcome:
        """Run one program with the programs of the image.

        Raises:
            BurilError: E001 when there is no daemon or no image.
        """
        environment = {**ENVIRONMENT, **program.environment}
        told = {"files": dict(program.files), "commands": program.commands, "environment": environment}
        return _again(lambda: outcome_of(program, *self._hand_over(told, program.limits, programs=True)))

    def execute_all(self, programs: Sequence[Program]) -> Iterator[Outcome]:
        """Run programs, `workers` at a time; outcomes come in the order of the programs.

        Raises:
            BurilError: E001 when there is no daemon or no image.
        """
        with ThreadPoolExecutor(self.settings.workers) as pool:
            yield from pool.map(self.execute, programs)

    def capabilities(self) -> tuple[Protection, ...]:
        """What protects in a container of this image, each tried; one line that says why when there can be none."""
        names = {
            "processes": _("sees and signals no process of the machine"),
            "image": _("sees the image alone, writes only to two small tmpfs"),
            "network": _("no sockets, and a network namespace with nothing in it"),
            "rights": _("no capabilities, no new privileges"),
            "fork": _("a bounded number of processes"),
            "memory": _("bounded memory"),
            "environment": _("an empty environment"),
        }
        return tried(self.run, names)

    def close(self) -> None:
        """Remove the containers that wait."""
        with self._lock:
            self._closed = True
            waiting = [one for held in self._ahead.values() for one in held]
            self._ahead.clear()
        for container in waiting:
            container.stop()

    def __enter__(self) -> Docker:
        return self

    def __exit__(self, *problem: object) -> None:
        self.close()

    def _hand_over(self, told: dict[str, Any], limits: Limits, *, programs: bool) -> tuple[Run, list[dict[str, Any]]]:
        kind = (limits, programs)
        with self._lock:
            held = self._ahead.get(kind, [])
            container = held.pop() if held else None
        if container is None:
            self._let_go_of_others(kind)
            container = self._made(kind)
        next_one = self._made(kind)  # starts while this one works
        try:
            return container.run(told)
        finally:
            with self._lock:
                kept = not self._closed and len(self._ahead.get(kind, [])) < self.settings.workers
                if kept:
                    self._ahead.setdefault(kind, []).append(next_one)
            if not kept:
                next_one.stop()

    def _made(self, kind: _Kind) -> Container:
        told = self.settings
        return Container(tuple(shlex.split(told.command)), (told.image, told.python), kind[0], programs=kind[1])

    def _let_go_of_others(self, kind: _Kind) -> None:
        """Containers that wait with other limits: the jobs that follow have these."""
        with self._lock:
            others = [other for other in self._ahead if other != kind]
            waiting = [one for other in others for one in self._ahead.pop(other)]
        for container in waiting:
            container.stop()


def _again(act: Callable[[], _Came]) -> _Came:
    """What came of a job, which is tried once more where its container broke."""
    came = act()
    return act() if came.status == "harness_error" else came
