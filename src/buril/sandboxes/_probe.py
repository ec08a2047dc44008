"""What a sandbox is asked to show what it protects from: each answer is True where an attempt failed."""

from __future__ import annotations

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
