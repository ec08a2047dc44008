"""Sandbox: what runs code that nobody has read, and says what came of it.

The oracle is split: the candidate runs inside the sandbox with the arguments of each call, the judge stands outside
and alone knows the expected values. So a candidate that walks frames, overloads `__eq__`, leaves with exit code 0 or
writes on the result pipe can only make itself fail: there is no verdict inside to forge.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, Protocol

Status = Literal[
    "pass", "wrong", "error", "timeout_cpu", "timeout_wall", "oom", "output_limit", "sandbox_violation", "harness_error"
]


@dataclass(frozen=True)
class Limits:
    """What one job may use. All are enforced by the kernel or from outside, never by the candidate's own process.

    `memory_mb` bounds each process's address space and the sum over the job's processes; `disk_mb` bounds each of
    `/tmp` and `/dev/shm`, and one file; `output_kb` what it may print. Megabytes are of 2^20 bytes.
    """

    cpu_s: int = 2
    wall_s: float = 10.0
    memory_mb: int = 512
    disk_mb: int = 16
    processes: int = 16
    output_kb: int = 256


@dataclass(frozen=True)
class Call:
    """One call of the entry point and what it must give: a value, or (`raises`) an exception's class name.

    Arguments and values are plain data: None, bool, int, float, str, bytes, complex, list, tuple, set, frozenset, dict.
    `expected` never enters the sandbox. Of a `free` call nothing is expected: any value passes, and is kept as data.
    """

    args: tuple[Any, ...] = ()
    expected: Any = None
    raises: str = ""
    free: bool = False


@dataclass(frozen=True)
class Job:
    """Untrusted Python `source` that defines `entry`, and the calls to make. `limits` None means the sandbox's own."""

    source: str
    entry: str
    calls: tuple[Call, ...]
    limits: Limits | None = None


PROGRAM_PATH = "/usr/local/bin:/usr/bin:/bin"
"""Where a program finds others: what its jail shows of the machine."""
PROGRAM_LIMITS = Limits(cpu_s=20, wall_s=120.0, memory_mb=2048, disk_mb=256, processes=256)
"""What a program may use: compilers take more than functions. `cpu_s` then holds for each of its processes."""


@dataclass(frozen=True)
class Program:
    """Untrusted `files` (path below the job's own folder → text) and the `commands` to run there, in any language.

    A command is run when the one before it ended with 0. They see the programs installed under `/usr`, read-only, and
    nothing else of the machine. `memory_mb` bounds their sum alone: the address space of a virtual machine is no
    measure of what it uses.
    """

    files: Mapping[str, str]
    commands: tuple[tuple[str, ...], ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    limits: Limits = PROGRAM_LIMITS


@dataclass(frozen=True)
class Outcome:
    """What came of a program: which command ran last, and its exit code (a signal's number below 0; None: it was cut).

    `status` is `pass` where every command ended with 0, which says nothing about whether it did what it should, and
    `error` where one did not. `out` is what all printed, cut at the limit.
    """

    status: Status
    command: int = 0
    code: int | None = None
    detail: str = ""
    out: str = ""
    cpu_ms: int = field(default=0, compare=False)
    wall_ms: int = field(default=0, compare=False)
    rss_kb: int = field(default=0, compare=False)


@dataclass(frozen=True)
class CallResult:
    """What came of one call: `pass`, `wrong`, `error`, or `missing` when the job ended before it.

    `got` is the value as text (cut short) or the exception as `Type: message`. `data` is the value of a `free` call in
    typed JSON, as it came: nothing in it was built or called, and it is not to be trusted.
    """

    status: Literal["pass", "wrong", "error", "missing"]
    got: str = ""
    data: Any = None


@dataclass(frozen=True)
class Verdict:
    """What came of a job. `pass` needs every call to pass; otherwise the first thing that went wrong names it.

    `cpu_ms`, `wall_ms` and `rss_kb` (peak of one process) are measurements: they differ from run to run. `out` is what
    it printed, cut at the limit. `forgeable` says that expected values were within the candidate's reach.
    """

    status: Status
    calls: tuple[CallResult, ...] = ()
    detail: str = ""
    out: str = ""
    cpu_ms: int = field(default=0, compare=False)
    wall_ms: int = field(default=0, compare=False)
    rss_kb: int = field(default=0, compare=False)
    forgeable: bool = False

    @property
    def passed(self) -> bool:
        """Whether every call gave what it should."""
        return self.status == "pass"


@dataclass(frozen=True)
class Protection:
    """One line of `doctor`: what is protected, by what, and whether it works on this machine."""

    name: str
    available: bool
    detail: str = ""


class Sandbox(Protocol):
    """What a plugin of kind `sandbox` offers. It never runs anything unprotected: it raises E001 instead."""

    version: ClassVar[int]

    def run(self, job: Job) -> Verdict:
        """Run one job."""
        ...

    def run_all(self, jobs: Sequence[Job]) -> Iterator[Verdict]:
        """Run jobs, several at a time; verdicts come in the order of the jobs."""
        ...

    def execute(self, program: Program) -> Outcome:
        """Run one program in any language."""
        ...

    def execute_all(self, programs: Sequence[Program]) -> Iterator[Outcome]:
        """Run programs, several at a time; outcomes come in their order."""
        ...

    def capabilities(self) -> tuple[Protection, ...]:
        """The protections of this machine, each one tried, not guessed."""
        ...

    def close(self) -> None:
        """End the sandbox's processes."""
        ...
