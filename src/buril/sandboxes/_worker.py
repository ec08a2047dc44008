"""The caller's side of one jail: starts the launcher, hands over jobs, reads what comes out, kills what goes too far.

The judge is here: `expected` is compared in this process with what came out as data.
"""

from __future__ import annotations

import json
import os
import secrets
import selectors
import signal
import socket
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from buril.core.errors import BurilError
from buril.core.text import _
from buril.sandboxes import _codec as codec
from buril.sandboxes._cgroup import Cgroup, make
from buril.sandboxes._launcher import BROKEN
from buril.sandboxes._plan import jail_plan
from buril.sandboxes._sandbox import PROGRAM_PATH, Call, CallResult, Job, Limits, Outcome, Program, Status, Verdict
from buril.sandboxes._watch import jail_kb

START_S = 30.0
TICK_S = 0.025
MAX_RESULT = 16 << 20
ENVIRONMENT = {"PATH": PROGRAM_PATH, "HOME": "/tmp", "TMPDIR": "/tmp", "LANG": "C.UTF-8"}  # noqa: S108  the jail's
"""What a program's commands find in their environment."""
_PROGRAM = (
    "import sys; sys.path.insert(0, sys.argv[1]); from buril.sandboxes._launcher import main; sys.path.pop(0); main()"
)


class Worker:
    """One launcher with its zygote; runs one job at a time. A job that had to be killed costs a new launcher.

    Args:
        programs: whether its jail shows the machine's programs and runs them, instead of Python functions.
        show: folders that such a jail shows too, read-only.
    """

    def __init__(self, *, programs: bool = False, show: tuple[Path, ...] = ()) -> None:
        self._programs, self._show = programs, show
        self._process: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None
        self.cgroup: Cgroup | None = None

    def start(self) -> None:
        """Build the jail, if it is not there yet.

        Raises:
            BurilError: E001 when this machine does not let us: nothing is ever run unprotected instead.
        """
        if self._process is not None:
            return
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with tempfile.TemporaryDirectory(prefix="buril-jail-") as staging:
            Path(staging).chmod(0o755)
            self.cgroup = make()
            entrances = self.cgroup.entrances if self.cgroup else []
            told = {"control": theirs.fileno(), "staging": staging, "cgroup": entrances}
            plan = {**told, **jail_plan(programs=self._programs, show=self._show)}
            source = str(Path(__file__).resolve().parents[2])
            command = [os.path.realpath(sys.executable), "-S", "-s", "-B", "-c", _PROGRAM, source, json.dumps(plan)]
            self._process = subprocess.Popen(  # noqa: S603  our own interpreter and program
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                cwd="/",
                start_new_session=True,
                env={"PYTHONHASHSEED": "0", "PYTHONUTF8": "1", "HOME": "/tmp", "PATH": ""},  # noqa: S108  the jail's
            )
            theirs.close()
            self._control = ours
            ours.settimeout(START_S)
            try:
                answer = json.loads(ours.recv(65536) or b'{"failed": "the launcher ended without a word"}')
            except (TimeoutError, OSError) as problem:
                answer = {"failed": str(problem)}
        if "failed" in answer:
            self.stop()
            raise BurilError("E001", problem=answer["failed"])

    def stop(self) -> None:
        """Kill the launcher; the kernel kills all that it holds."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        if self._control is not None:
            self._control.close()
        if self.cgroup is not None:
            self.cgroup.remove()
        self._process = self._control = self.cgroup = None

    def run(self, job: Job, limits: Limits) -> Verdict:
        """One job, judged; a jail that breaks is built anew once before the verdict is `harness_error`."""
        verdict = self._try(job, limits)
        return self._try(job, limits) if verdict.status == "harness_error" else verdict

    def _try(self, job: Job, limits: Limits) -> Verdict:
        calls = [codec.encode(list(call.args)) for call in job.calls]
        told = {"source": job.source, "entry": job.entry, "calls": calls}
        return judge(job, limits, *self._hand_over(told, limits))

    def execute(self, program: Program) -> Outcome:
        """One program; a jail that breaks is built anew once before the outcome is `harness_error`."""
        outcome = self._try_program(program)
        return self._try_program(program) if outcome.status == "harness_error" else outcome

    def _try_program(self, program: Program) -> Outcome:
        environment = {**ENVIRONMENT, **program.environment}
        told = {"files": dict(program.files), "commands": program.commands, "environment": environment}
        return outcome_of(program, *self._hand_over(told, program.limits))

    def _hand_over(self, told: dict[str, Any], limits: Limits) -> tuple[Run, list[dict[str, Any]]]:
        """Hand over what a job is, in a jail that is there; what came out, and the frames in it."""
        self.start()
        nonce = secrets.token_hex(8)
        payload = json.dumps({"nonce": nonce, **told}).encode("utf-8", "surrogatepass")
        run = self._exchange(payload, limits)
        if run.end != "done":
            self.stop()
        return run, frames_of(run.result, nonce)

    def _exchange(self, payload: bytes, limits: Limits) -> Run:
        assert self._process is not None and self._control is not None
        if self.cgroup:
            self.cgroup.limit(limits.memory_mb + 2 * limits.disk_mb, limits.processes)  # what lies in a tmpfs counts
        memory = os.memfd_create("job", os.MFD_CLOEXEC)
        result, result_end = os.pipe2(os.O_CLOEXEC)
        out, out_end = os.pipe2(os.O_CLOEXEC)
        try:
            os.write(memory, payload)
            os.lseek(memory, 0, os.SEEK_SET)
            started = time.monotonic()
            try:
                socket.send_fds(self._control, [json.dumps(asdict(limits)).encode()], [memory, result_end, out_end])
            except OSError:
                return Run("broken")
            finally:
                for fd in (memory, result_end, out_end):
                    os.close(fd)
            run = Run(pid=self._process.pid)
            _Reader(run, self._control, result, out, limits).read(started + limits.wall_s)
            run.wall_ms = round(1000 * (time.monotonic() - started))
            if self.cgroup and self.cgroup.killed() and run.end in ("done", "broken"):
                run.end = "memory"
            if run.end in ("wall", "output", "memory"):
                self.stop()
            return run
        finally:
            os.close(result)
            os.close(out)


@dataclass
class Run:
    """What came out of a jail. `end`: `done`, or why it was cut: `wall`, `output`, `memory`, `broken`."""

    end: str = ""
    pid: int = 0
    result: bytearray = field(default_factory=bytearray)
    out: bytearray = field(default_factory=bytearray)
    code: int = BROKEN
    cpu_ms: int = 0
    rss_kb: int = 0
    wall_ms: int = 0


class _Reader:
    """Reads a job's two pipes and the zygote's answer until the job ends or goes past a limit."""

    def __init__(self, run: Run, control: socket.socket, result: int, out: int, limits: Limits) -> None:
        self._run, self._control, self._limits = run, control, limits
        self._pipes = {result: "result", out: "out"}
        self._caps = {"result": MAX_RESULT, "out": limits.output_kb << 10}

    def read(self, deadline: float) -> None:
        with selectors.DefaultSelector() as selector:
            for fd in self._pipes:
                selector.register(fd, selectors.EVENT_READ)
            selector.register(self._control, selectors.EVENT_READ)
            looked = time.monotonic()
            while not self._run.end or (self._run.end == "done" and len(selector.get_map()) > 0):
                for key, _events in selector.select(TICK_S):
                    if not self._take(key.fd):
                        selector.unregister(key.fileobj)
                now = time.monotonic()
                if not self._run.end and now - looked >= TICK_S:
                    looked = now
                    self._watch(now, deadline)

    def _take(self, fd: int) -> bool:
        """Read what is there; False when that end is finished."""
        if fd == self._control.fileno():
            self._answered()
            return False
        name = self._pipes[fd]
        data = os.read(fd, 1 << 16)
        held: bytearray = getattr(self._run, name)
        held += data
        if len(held) > self._caps[name]:
            del held[self._caps[name] :]
            self._run.end = "output"
        return bool(data)

    def _answered(self) -> None:
        try:
            answer = json.loads(self._control.recv(4096) or b"{}")
        except OSError:
            answer = {}
        if "code" not in answer:
            self._run.end = "broken"
            return
        self._run.code, self._run.cpu_ms, self._run.rss_kb = answer["code"], answer["cpu_ms"], answer["rss_kb"]
        self._run.end = self._run.end or "done"

    def _watch(self, now: float, deadline: float) -> None:
        if now > deadline:
            self._run.end = "wall"
        elif jail_kb(self._run.pid) > self._limits.memory_mb << 10:
            self._run.end = "memory"


def outcome_of(program: Program, run: Run, frames: list[dict[str, Any]]) -> Outcome:
    """What came of a program, from what came out of its jail."""
    codes = [frame["code"] for frame in frames if isinstance(frame.get("code"), int)][: len(program.commands)]
    status, detail = _cut(run, program.limits)
    last = codes[-1] if codes and not status else None
    if not status and last is not None:
        status, detail = _by_signal(-last, run, program.limits)
    if not status:
        done = len(codes) == len(program.commands) and not any(codes)
        status = "pass" if done else "error"
        if not done and last is not None:
            detail = _("command {number} ended with {code}").format(number=len(codes), code=last)
        elif not done:
            detail = _ended(run)
    return Outcome(
        status, max(0, len(codes) - 1), last, detail, run.out.decode("utf-8", "replace"), run.cpu_ms, run.wall_ms,
        run.rss_kb,
    )  # fmt: skip


def frames_of(data: bytes | bytearray, nonce: str) -> list[dict[str, Any]]:
    """The frames that bear the job's nonce, parsed; reading stops at the first line that is not one."""
    frames: list[dict[str, Any]] = []
    for line in data.split(b"\n")[:-1]:
        mark, _space, text = line.partition(b" ")
        if mark != nonce.encode():
            break
        try:
            frame = json.loads(text.decode("utf-8", "surrogatepass"))
        except (ValueError, RecursionError):
            break
        if not isinstance(frame, dict):
            break
        frames.append(frame)
    return frames


def judge(job: Job, limits: Limits, run: Run, frames: list[dict[str, Any]]) -> Verdict:
    """The verdict on what came out. Exit codes decide nothing: only values that fit the expected ones pass."""
    loaded = bool(frames) and "ready" in frames[0]
    answers = frames[1:] if loaded else []
    results = [
        _judge_call(call, answers[index]) if index < len(answers) else CallResult("missing")
        for index, call in enumerate(job.calls)
    ]
    status, detail = _cut(run, limits)
    if not status:
        status, detail = _decide(frames, loaded, results, run)
    return Verdict(
        status, tuple(results), detail, run.out.decode("utf-8", "replace"), run.cpu_ms, run.wall_ms, run.rss_kb
    )


def _judge_call(call: Call, answer: dict[str, Any]) -> CallResult:
    if "raised" in answer:
        raised = str(answer["raised"])
        text = f"{raised}: {answer.get('message', '')}"[:400]
        return CallResult("pass" if call.raises and raised == call.raises else "error", text)
    if "value" not in answer:
        return CallResult("error", str(answer.get("error", "no answer"))[:400])
    if call.raises:
        return CallResult("wrong", codec.show(answer["value"]))
    try:
        if call.free:
            return CallResult("pass", codec.show(answer["value"]), answer["value"])
        right = codec.same(answer["value"], codec.encode(call.expected))
        return CallResult("pass" if right else "wrong", codec.show(answer["value"]))
    except (RecursionError, TypeError, ValueError) as problem:
        return CallResult("error", f"{type(problem).__name__}: {problem}"[:400])


def _cut(run: Run, limits: Limits) -> tuple[Status | None, str]:
    """The verdict of a job that did not end by itself, or was ended by a signal that says why."""
    cuts: dict[str, tuple[Status, str]] = {
        "broken": ("harness_error", _("the jail itself broke")),
        "wall": ("timeout_wall", _("more than {seconds} s of wall time").format(seconds=limits.wall_s)),
        "memory": ("oom", _("more than {size} MB in all processes together").format(size=limits.memory_mb)),
        "output": ("output_limit", _("more than {size} kB of output").format(size=limits.output_kb)),
    }
    if run.end == "done" and run.code == BROKEN:
        return cuts["broken"]
    if run.end in cuts:
        return cuts[run.end]
    return _by_signal(run.code - 100, run, limits)


def _by_signal(number: int, run: Run, limits: Limits) -> tuple[Status | None, str]:
    """The verdict of a process that a signal ended, where the signal says why; the times are not asked about SIGXCPU.

    The kernel sends that when the time is used up by its own count, which is some milliseconds ahead of what it tells.
    """
    if number == signal.SIGXCPU or (number == signal.SIGKILL and run.cpu_ms >= 1000 * limits.cpu_s):
        return "timeout_cpu", _("more than {seconds} s of processor time").format(seconds=limits.cpu_s)
    if number == signal.SIGSYS:
        return "sandbox_violation", _("a forbidden system call")
    return None, ""


def _decide(frames: list[dict[str, Any]], loaded: bool, results: list[CallResult], run: Run) -> tuple[Status, str]:
    if not loaded:
        told = frames[0].get("load") if frames else None
        if isinstance(told, list) and len(told) == 2:
            return "oom" if told[0] == "MemoryError" else "error", f"{told[0]}: {told[1]}"[:400]
        return "error", _ended(run)
    if results and all(result.status == "pass" for result in results):
        return "pass", ""
    first = next((result for result in results if result.status != "pass"), None)
    if first is None or first.status == "missing":
        return "error", _ended(run)
    if first.got.startswith("MemoryError:"):
        return "oom", first.got
    return ("wrong" if first.status == "wrong" else "error"), first.got


def _ended(run: Run) -> str:
    if run.code > 100:
        return _("ended by signal {number} before it answered").format(number=run.code - 100)
    return _("ended before it answered")
