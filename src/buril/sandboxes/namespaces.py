"""Namespaces: runs untrusted Python in Linux namespaces of its own, as root or as an ordinary user, with no daemon.

A job has its own process, mount, network, IPC, host-name and user namespaces; a read-only root that holds the standard
library and nothing of the machine's files; two small tmpfs; no capabilities, no new privileges, filtered system calls
and resource limits; an empty environment and no inherited descriptor but the pipes of its own results. What limits per
process do not bound (wall time, the sum of memory, output) is watched from outside and ends the whole jail.

It does not defend against flaws of the kernel itself: for code that is hostile on purpose use a virtual machine.
"""

from __future__ import annotations

import queue
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import ClassVar

from pydantic import field_validator

from buril.core.errors import BurilError
from buril.core.settings import Settings as BaseSettings
from buril.core.settings import runtime
from buril.core.text import _
from buril.sandboxes._probe import tried
from buril.sandboxes._sandbox import Job, Limits, Outcome, Program, Protection, Verdict
from buril.sandboxes._worker import Worker

_OWN = frozenset({"tmp", "dev", "proc", "sys", "etc", "run"})
"""Folders below `/` of which the jail has its own, or none."""


class _Crew:
    """Workers that take turns; their jails are built on first use."""

    def __init__(self, number: int, *, programs: bool, show: tuple[Path, ...] = ()) -> None:
        self._idle: queue.SimpleQueue[Worker] = queue.SimpleQueue()
        self._workers = [Worker(programs=programs, show=show) for _ in range(number)]
        for worker in self._workers:
            self._idle.put(worker)

    @contextmanager
    def one(self) -> Iterator[Worker]:
        """A worker that is free."""
        worker = self._idle.get()
        try:
            yield worker
        finally:
            self._idle.put(worker)

    def stop(self) -> None:
        """End all jails."""
        for worker in self._workers:
            worker.stop()


class Namespaces:
    """The sandbox. Jails are built on first use and kept warm; `close()` ends them."""

    version: ClassVar[int] = 1

    class Settings(BaseSettings):
        """What a job may use where it does not say so itself."""

        cpu_s: int = 2
        """Processor seconds a job; time on the processor, so that a busy machine changes no verdict."""
        wall_s: float = 20.0
        """Wall seconds a job: only against what sleeps for ever, so ten times the processor time."""
        memory_mb: int = 512
        """MiB a process may map and a job's processes may hold together; a Python takes 30."""
        disk_mb: int = 16
        """MiB in each of `/tmp` and `/dev/shm`."""
        processes: int = 16
        """Processes and threads at a time."""
        output_kb: int = 256
        """KiB a job may print before it is ended."""
        show: tuple[Path, ...] = ()
        """Folders of this machine that programs see too, at their own place and read-only, beside `/usr`: a virtual
        environment, and the Python that it was made of. Whatever is in them can be read by code that nobody trusts."""
        workers: int = runtime(2, ge=1)
        """Jobs at a time; each worker keeps one warm jail of about 20 MB."""

        @field_validator("show")
        @classmethod
        def _can_be_shown(cls, value: tuple[Path, ...]) -> tuple[Path, ...]:
            for path in (path.expanduser().absolute() for path in value):
                if path == Path("/") or ".." in path.parts or path.parts[1] in _OWN:
                    raise ValueError(_("`{path}` can't be shown: the jail has its own").format(path=path))
            return value

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._limits = Limits(**settings.model_dump(exclude={"workers", "show"}))
        self._functions = _Crew(settings.workers, programs=False)
        self._programs = _Crew(settings.workers, programs=True, show=settings.show)

    def run(self, job: Job) -> Verdict:
        """Run one job.

        Raises:
            BurilError: E001 when this machine does not allow isolation.
        """
        with self._functions.one() as worker:
            return worker.run(job, job.limits or self._limits)

    def run_all(self, jobs: Sequence[Job]) -> Iterator[Verdict]:
        """Run jobs, `workers` at a time; verdicts come in the order of the jobs.

        Raises:
            BurilError: E001 when this machine does not allow isolation.
        """
        with ThreadPoolExecutor(self.settings.workers) as pool:
            yield from pool.map(self.run, jobs)

    def execute(self, program: Program) -> Outcome:
        """Run one program in any language, with the programs of `/usr` in sight.

        Raises:
            BurilError: E001 when this machine does not allow isolation.
        """
        with self._programs.one() as worker:
            return worker.execute(program)

    def execute_all(self, programs: Sequence[Program]) -> Iterator[Outcome]:
        """Run programs, `workers` at a time; outcomes come in the order of the programs.

        Raises:
            BurilError: E001 when this machine does not allow isolation.
        """
        with ThreadPoolExecutor(self.settings.workers) as pool:
            yield from pool.map(self.execute, programs)

    def capabilities(self) -> tuple[Protection, ...]:
        """What protects on this machine, each tried inside a jail; one line that says why when there can be no jail."""
        with self._functions.one() as worker:
            with suppress(BurilError):
                worker.start()
            grouped = worker.cgroup is not None
        names = {
            "processes": _("sees and signals no process of the machine"),
            "files": _("sees no file of the machine, writes only to two small tmpfs"),
            "network": _("no sockets, and a network namespace with nothing in it"),
            "rights": _("no capabilities, no new privileges"),
            "fork": _("a bounded number of processes"),
            "memory": _("bounded memory, by the kernel for all processes together") if grouped else _("bounded memory"),
            "environment": _("an empty environment"),
        }
        return tried(self.run, names)

    def close(self) -> None:
        """End all jails; running jobs become harness errors."""
        self._functions.stop()
        self._programs.stop()

    def __enter__(self) -> Namespaces:
        return self

    def __exit__(self, *problem: object) -> None:
        self.close()
