"""The caller's side of one container: starts it, hands over one job, reads what comes out, kills what goes too far."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import selectors
import subprocess
import time
from dataclasses import asdict
from pathlib import Path
from typing import IO, Any

from buril.core.errors import BurilError
from buril.core.text import _
from buril.sandboxes._contained import ENDED
from buril.sandboxes._sandbox import Limits
from buril.sandboxes._worker import MAX_RESULT, Run, frames_of

START_S = 60.0
TICK_S = 0.05
SENT = ("_codec", "_linux", "_seccomp", "_solver", "_launcher", "_contained")
"""The modules that the job's own side needs, each after those that it imports."""
FOLDER = "/tmp"  # noqa: S108  the container's own
_FIRST_ID = 1_500_000_000
"""Each container has a user that nobody else has: the limit on processes counts by user."""
_BOOT = """
import json, sys, types
sys.stdout.buffer.write(b"ready\\n")
sys.stdout.buffer.flush()
told = json.loads(sys.stdin.buffer.read())
for name in ("buril", "buril.sandboxes"):
    sys.modules[name] = types.ModuleType(name)
for name, source in told.pop("modules"):
    module = types.ModuleType(name)
    sys.modules[name] = module
    setattr(sys.modules["buril.sandboxes"], name.rpartition(".")[2], module)
    exec(compile(source, name, "exec"), module.__dict__)
module.main(told)
"""


class Container:
    """One container, which waits for one job.

    Args:
        command: the client of the daemon, and what tells it where that is.
        image: has a Python of 3.10 or later, named `python`.
        limits: of the job, which the daemon enforces too.
        programs: whether the job runs commands; then what it writes may be run.
    """

    def __init__(self, command: tuple[str, ...], image: tuple[str, str], limits: Limits, *, programs: bool) -> None:
        self.limits, self.programs = limits, programs
        self._command = command
        self._name = f"buril-{secrets.token_hex(6)}"
        python = [*image, "-I", "-S", "-B", "-c", _BOOT]
        told = [*command, "run", *self._options(), "--name", self._name, *python]
        try:
            self._process = subprocess.Popen(  # noqa: S603  the daemon's own client
                told, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True
            )
        except OSError as problem:
            raise BurilError("E001", problem=f"{command[0]}: {problem.strerror or problem}") from problem

    def _options(self) -> list[str]:
        limits, identity = self.limits, _FIRST_ID + secrets.randbelow(1 << 24)
        flags = f"rw,nosuid,nodev,{'exec' if self.programs else 'noexec'},size={limits.disk_mb}m,mode=1777"
        memory = f"{limits.memory_mb + 64}m"  # the limit on one process is met first; the first process needs some too
        return [
            "--rm", "--interactive", "--pull", "never", "--network", "none", "--read-only", "--cap-drop", "ALL",
            "--security-opt", "no-new-privileges", "--user", f"{identity}:{identity}", "--hostname", "jail",
            "--tmpfs", f"{FOLDER}:{flags}", "--workdir", FOLDER, "--shm-size", f"{limits.disk_mb}m",
            "--memory", memory, "--memory-swap", memory, "--pids-limit", str(limits.processes + 8),
            "--log-driver", "none",
        ]  # fmt: skip

    def run(self, job: dict[str, Any]) -> tuple[Run, list[dict[str, Any]]]:
        """Hand over a job; what came out, and the frames in it. The container is gone afterwards.

        Raises:
            BurilError: E001 when the daemon or the image does not let us.
        """
        nonce = secrets.token_hex(8)
        run = Run()
        try:
            self._wait_until_ready()
            self._send({"job": {"nonce": nonce, **job}, "limits": asdict(self.limits), "programs": self.programs})
            started = time.monotonic()
            self._read(run, started + self.limits.wall_s)
            run.wall_ms = round(1000 * (time.monotonic() - started))
            if not run.end:  # it ends by itself: there is nothing to remove, and its exit code tells
                with contextlib.suppress(subprocess.TimeoutExpired):
                    self._process.wait(START_S)
        finally:
            self.stop()
        return run, self._ending(run, nonce)

    def stop(self) -> None:
        """Kill the container, if it is still there, and the client."""
        if self._process.poll() is None:
            with contextlib.suppress(OSError, subprocess.TimeoutExpired):
                subprocess.run(  # noqa: S603  the daemon's own client
                    [*self._command, "rm", "--force", self._name], capture_output=True, timeout=START_S, check=False
                )
            self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout, self._process.stderr):
            if stream is not None:
                with contextlib.suppress(OSError):
                    stream.close()

    def _wait_until_ready(self) -> None:
        out = _there(self._process.stdout)
        with selectors.DefaultSelector() as selector:
            selector.register(out, selectors.EVENT_READ)
            said = os.read(out.fileno(), 6) if selector.select(START_S) else None
        if said != b"ready\n":
            # one that said nothing in time may still be there and is removed by `run`; of another the client tells why
            raw = b"" if said is None else _there(self._process.stderr).read()
            told = raw.decode("utf-8", "replace").strip().splitlines()
            problem = next((line for line in told if line.strip()), _("the container did not start"))
            raise BurilError("E001", problem=problem.removeprefix("docker: "))

    def _send(self, told: dict[str, Any]) -> None:
        here = Path(__file__).parent
        modules = [(f"buril.sandboxes.{name}", (here / f"{name}.py").read_text(encoding="utf-8")) for name in SENT]
        stdin = _there(self._process.stdin)
        with contextlib.suppress(BrokenPipeError):
            stdin.write(json.dumps({**told, "modules": modules}).encode("utf-8", "surrogatepass"))
            stdin.close()

    def _read(self, run: Run, deadline: float) -> None:
        """Both streams until both end or a limit is met."""
        caps = {"result": MAX_RESULT, "out": self.limits.output_kb << 10}
        with selectors.DefaultSelector() as selector:
            selector.register(_there(self._process.stdout), selectors.EVENT_READ, "result")
            selector.register(_there(self._process.stderr), selectors.EVENT_READ, "out")
            while selector.get_map() and not run.end:
                for key, _events in selector.select(TICK_S):
                    data = os.read(key.fd, 1 << 16)
                    held: bytearray = getattr(run, key.data)
                    held += data
                    if not data:
                        selector.unregister(key.fileobj)
                    elif len(held) > caps[key.data]:
                        del held[caps[key.data] :]
                        run.end = "output"
                if time.monotonic() > deadline:
                    run.end = run.end or "wall"

    def _ending(self, run: Run, nonce: str) -> list[dict[str, Any]]:
        """The frames; how the job ended is told by the first process's line, which is the last."""
        frames = frames_of(run.result, nonce)
        last = run.result.rstrip(b"\n").rpartition(b"\n")[2] + b"\n"
        end = next(iter(frames_of(last, nonce)), {})
        if run.end:
            return frames
        if ENDED not in end:
            run.end = "memory" if self._process.returncode == 137 else "broken"
            return frames
        run.code, run.cpu_ms, run.rss_kb = end[ENDED], end["cpu_ms"], end["rss_kb"]
        run.end = "memory" if end["oom"] else "done"
        return [frame for frame in frames if ENDED not in frame]


def _there(stream: IO[bytes] | None) -> IO[bytes]:
    assert stream is not None
    return stream
