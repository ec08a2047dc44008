"""What runs inside a container as its first process: one job, confined once more, and the word on how it ended.

The container is the outer wall; in it the job's own process gets the limits and the filter that jails have. It is sent
as text, so the image needs nothing but a Python of 3.10 or later.
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import signal
import time
from pathlib import Path
from typing import Any

from buril.sandboxes import _linux as linux
from buril.sandboxes._launcher import BROKEN, _limit
from buril.sandboxes._seccomp import Filter
from buril.sandboxes._solver import carry_out, solve

ENDED = "ended"
TICK_S = 0.005
_KILLS = ("/sys/fs/cgroup/memory.events", "/sys/fs/cgroup/memory/memory.oom_control")
"""Where a container tells whether its memory ran out: cgroup v2, and v1."""


def main(told: dict[str, Any]) -> None:
    """Run the job. Frames go out on what was standard output, what the job prints on standard error.

    The last line is this process's own: all others are dead by then.
    """
    result = os.dup(1)
    os.dup2(2, 1)
    linux.prctl(linux.PR_SET_DUMPABLE, 0)  # closed to the job, which has the same user
    payload = os.memfd_create("job", os.MFD_CLOEXEC)
    os.write(payload, json.dumps(told["job"]).encode("utf-8", "surrogatepass"))
    os.lseek(payload, 0, os.SEEK_SET)
    solver = os.fork()
    if solver == 0:
        _solve(told, payload, result)
    os.close(payload)
    code = _see_it_out(solver)
    with contextlib.suppress(ProcessLookupError):
        os.kill(-1, signal.SIGKILL)
    with contextlib.suppress(ChildProcessError):
        while True:
            os.wait()
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    end = {
        ENDED: code, "cpu_ms": round(1000 * (usage.ru_utime + usage.ru_stime)), "rss_kb": usage.ru_maxrss,
        "oom": _out_of_memory(),
    }  # fmt: skip
    os.write(result, f"\n{told['job']['nonce']} {json.dumps(end)}\n".encode())
    os._exit(0)


def _solve(told: dict[str, Any], payload: int, result: int) -> None:
    """The job's own process. Never returns."""
    code = BROKEN
    try:
        os.dup2(os.open("/dev/null", os.O_RDONLY), 0)
        os.setsid()
        os.environ.clear()
        os.chdir("/tmp")  # noqa: S108  the container's own, a fresh tmpfs
        _limit(told["limits"], programs=told["programs"])
        linux.prctl(linux.PR_SET_NO_NEW_PRIVS, 1)
        Filter(os.uname().machine).install()
        code = 0
        (carry_out if told["programs"] else solve)(payload, result)
    finally:
        os._exit(code)


def _see_it_out(solver: int) -> int:
    """Reap what ends until the solver does, or memory ran out: then the kernel has killed one, and all shall end."""
    while True:
        pid, status = os.waitpid(-1, os.WNOHANG)
        if pid == solver:
            code = os.waitstatus_to_exitcode(status)
            return 100 - code if code < 0 else min(code, 1)
        if pid == 0:
            if _out_of_memory():
                return 100 + signal.SIGKILL
            time.sleep(TICK_S)


def _out_of_memory() -> bool:
    """Whether the kernel killed for want of memory in this container."""
    for name in _KILLS:
        with contextlib.suppress(OSError):
            words = Path(name).read_text(encoding="ascii").split()
            return "oom_kill" in words and words[words.index("oom_kill") + 1] != "0"
    return False
