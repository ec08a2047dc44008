"""What a sandbox is asked to show what it protects from: each answer is True where an attempt failed."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from buril.core.errors import BurilError
from buril.core.text import _
from buril.sandboxes._sandbox import Call, Job, Protection, Verdict

PROBE = """
import errno, os, socket

def refused(action):
    try:
        action()
    except OSError as problem:
        return errno.errorcode[problem.errno]
    return "allowed"

def probe(what):
    if what == "processes":
        return os.getpid() < 50 and refused(lambda: os.kill(1, 9)) == "allowed" and os.getppid() == 1
    if what == "files":
        return refused(lambda: os.stat("/etc/passwd")) == "ENOENT" and refused(lambda: open("/x", "w")) == "EROFS"
    if what == "image":
        return refused(lambda: open("/x", "w")) in ("EROFS", "EACCES")
    if what == "network":
        return refused(lambda: socket.socket()) == "EPERM" and (
            refused(lambda: os.stat("/sys/class/net")) == "ENOENT" or os.listdir("/sys/class/net") == ["lo"])
    if what == "rights":
        import ctypes
        held = (ctypes.c_uint32 * 6)()
        ctypes.CDLL(None).capget((ctypes.c_uint32 * 2)(0x20080522, 0), held)
        return not any(held) and refused(lambda: os.setuid(0)) != "allowed"
    if what == "fork":
        children = []
        try:
            for _ in range(40):
                pid = os.fork()
                if pid == 0:
                    import time
                    time.sleep(5)
                    os._exit(0)
                children.append(pid)
        except OSError:
            return True
        finally:
            for pid in children:
                os.kill(pid, 9)
        return False
    if what == "memory":
        try:
            bytearray(3 << 30)
        except MemoryError:
            return True
        return False
    if what == "environment":
        return sorted(os.environ) == [] and os.listdir("/tmp") == []
"""
TRAP = "import ctypes\ndef f():\n    ctypes.CDLL(None).ptrace(0, 0, 0, 0)\n"
"""Makes a system call that is forbidden."""


def tried(run: Callable[[Job], Verdict], names: Mapping[str, str]) -> tuple[Protection, ...]:
    """What of a sandbox's protections works, each tried in it; one line that says why when nothing can be run.

    Args:
        run: runs a job in the sandbox.
        names: what is probed, and how it is told.
    """
    try:
        verdict = run(Job(PROBE, "probe", tuple(Call((name,), True) for name in names)))
        trap = run(Job(TRAP, "f", (Call(),)))
    except BurilError as problem:
        return (Protection("isolation", available=False, detail=problem.cause),)
    found = [
        Protection(name, available=result.status == "pass", detail=text)
        for (name, text), result in zip(names.items(), verdict.calls, strict=True)
    ]
    filtered = trap.status == "sandbox_violation"
    return (
        *found,
        Protection("system calls", available=filtered, detail=_("ptrace, mount, bpf and 60 more are refused")),
    )
