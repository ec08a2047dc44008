"""The sandbox's own processes: a launcher that builds the jail, and a zygote in it that forks one job at a time.

    caller (the judge) ── launcher ── zygote: pid 1 of its own pid namespace, Python warm, in the read-only root
                                        └── init of a job: pid 1 again, own mount and IPC namespaces, fresh tmpfs
                                              └── solver: the candidate, no capabilities, filtered system calls

Killing the zygote ends everything below it at once: that is how the caller enforces what the kernel does not. It is
run as a program of its own (`python -c`), never forked from the caller, whose memory holds the expected values.
Only the standard library is imported here.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import os
import resource
import select
import signal
import socket
import sys
import traceback
from pathlib import Path
from typing import Any

from buril.sandboxes import _linux as linux
from buril.sandboxes._seccomp import Filter
from buril.sandboxes._solver import carry_out, solve

INSIDE_ID = 1000
OUTSIDE_IDS = (1_500_000_000, 65534)
"""Identities a launcher that is root takes before it makes user namespaces: one nobody has, else `nobody`.

The process limit does not bind root; inside a container only low numbers may be mapped.
"""
WARM = [
    "abc",
    "array",
    "base64",
    "bisect",
    "calendar",
    "cmath",
    "collections",
    "collections.abc",
    "copy",
    "dataclasses",
    "datetime",
    "decimal",
    "enum",
    "fractions",
    "functools",
    "heapq",
    "io",
    "itertools",
    "json",
    "math",
    "numbers",
    "operator",
    "random",
    "re",
    "statistics",
    "string",
    "textwrap",
    "time",
    "types",
    "typing",
    "unicodedata",
]
DEVICES = ("null", "zero", "full", "random", "urandom")
OPEN_FILES, PROGRAM_OPEN_FILES = 64, 1024
BROKEN = 250
"""Exit code of an init that could not build its world; 100 + n says that signal n ended the solver."""


def main() -> None:
    """Build the jail and serve; the plan comes as JSON in the last argument, the control socket by number in it."""
    plan = json.loads(sys.argv[-1])
    control = socket.socket(fileno=plan["control"])
    _enter(plan["cgroup"])
    try:
        world = _build_world(plan)
    except OSError as problem:
        control.send(json.dumps({"failed": str(problem)}).encode())
        return
    child = os.fork()
    if child:
        control.close()
        os.waitpid(child, 0)
        return
    try:
        linux.prctl(linux.PR_SET_PDEATHSIG, signal.SIGKILL)
        own = os.open("self/ns/pid", os.O_RDONLY | os.O_CLOEXEC, dir_fd=world)
        os.close(world)
        Zygote(control, own, plan["machine"], programs=plan["programs"]).serve()
    except OSError:
        control.send(json.dumps({"failed": traceback.format_exc(limit=3)}).encode())
    os._exit(0)


def _enter(groups: list[str]) -> None:
    """Be in control groups, with all that is started from here; without, where that is not allowed."""
    for name in groups:
        with contextlib.suppress(OSError):
            Path(name).write_text("0", encoding="ascii")


def _build_world(plan: dict[str, Any]) -> int:
    """Enter all namespaces with a read-only root; returns a descriptor of the host's /proc, closed before any job."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    importlib.invalidate_caches()
    for name in WARM:
        importlib.import_module(name)
    proc = os.open("/proc", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    as_root = os.geteuid() == 0
    if as_root:
        linux.unshare(linux.NEWNS)
        _build_root(plan)
        _become_nobody()
        linux.prctl(linux.PR_SET_DUMPABLE, 1)  # else root would own our own uid_map
    else:
        _enter_user_namespace(proc, linux.NEWNS)
        _build_root(plan)
    flags = linux.NEWPID | linux.NEWIPC | linux.NEWUTS | linux.NEWNET
    if as_root:
        _enter_user_namespace(proc, flags | linux.NEWNS)
    else:
        linux.unshare(flags)
    return proc


def _become_nobody() -> None:
    os.setgroups([])
    for identity in OUTSIDE_IDS:
        try:
            os.setresgid(identity, identity, identity)
            os.setresuid(identity, identity, identity)
        except OSError:
            continue
        return
    raise PermissionError("no unprivileged identity to change to")


def _enter_user_namespace(proc: int, flags: int) -> None:
    user, group = os.geteuid(), os.getegid()
    linux.unshare(linux.NEWUSER | flags)
    for name, text in (
        ("setgroups", "deny"),
        ("uid_map", f"{INSIDE_ID} {user} 1"),
        ("gid_map", f"{INSIDE_ID} {group} 1"),
    ):
        file = os.open(f"self/{name}", os.O_WRONLY, dir_fd=proc)
        try:
            os.write(file, text.encode())
        finally:
            os.close(file)


def _build_root(plan: dict[str, Any]) -> None:
    """A tmpfs root that holds the standard library, shared libraries and five devices, all read-only; enter it."""
    linux.mount("none", "/", None, linux.MS_REC | linux.MS_PRIVATE)
    root = plan["staging"]
    linux.mount("tmpfs", root, "tmpfs", linux.MS_NOSUID | linux.MS_NODEV, "size=1m,nr_inodes=4096,mode=0755")
    for name in ("tmp", "dev", "dev/shm", "etc", "proc"):
        Path(root, name).mkdir(mode=0o755)
    for link, target in plan["links"]:
        Path(root + link).parent.mkdir(parents=True, exist_ok=True)
        Path(root + link).symlink_to(target)
    for path in plan["folders"]:
        Path(root + path).mkdir(parents=True, exist_ok=True)
        linux.bind_read_only(path, root + path)
    for path in plan["hidden"]:
        linux.mount(
            "tmpfs", root + path, "tmpfs", linux.MS_NOSUID | linux.MS_NODEV | linux.MS_RDONLY, "size=4k,mode=0555"
        )
    for path in [f"/dev/{name}" for name in DEVICES] + plan["files"]:
        os.close(os.open(root + path, os.O_CREAT | os.O_WRONLY, 0o444))
        linux.bind_read_only(path, root + path, devices=path.startswith("/dev/"))
    if plan["programs"]:
        # A process namespace may mount its own /proc only where another is wholly visible. Each job covers it.
        linux.mount("/proc", root + "/proc", None, linux.MS_BIND | linux.MS_REC)
    linux.mount(
        "none", root, None, linux.MS_REMOUNT | linux.MS_BIND | linux.MS_RDONLY | linux.MS_NOSUID | linux.MS_NODEV
    )
    linux.pivot_into(root, plan["machine"])


class Zygote:
    """Serves jobs one at a time: receives three descriptors and the limits, answers with how the job ended."""

    def __init__(self, control: socket.socket, own_pid_namespace: int, machine: str, *, programs: bool) -> None:
        self._control = control
        self._programs = programs
        self._own = own_pid_namespace
        self._filter = Filter(machine)

    def serve(self) -> None:
        """Until the caller closes the control socket."""
        os.environ.clear()
        gc.collect()
        gc.freeze()  # forked jobs leave these pages shared
        self._control.send(json.dumps({"ready": os.getuid()}).encode())
        while True:
            message, fds, _, _ = socket.recv_fds(self._control, 4096, 3)
            if not message:
                return
            self._serve_one(json.loads(message), fds)

    def _serve_one(self, limits: dict[str, int], fds: list[int]) -> None:
        linux.unshare(linux.NEWPID)
        init = os.fork()
        if init == 0:
            self._init(limits, fds)
        linux.setns(self._own, linux.NEWPID)
        for fd in fds:
            os.close(fd)
        self._wait(init)
        _, status, usage = os.wait4(init, 0)
        answer = {
            "code": os.waitstatus_to_exitcode(status),
            "cpu_ms": round(1000 * (usage.ru_utime + usage.ru_stime)),
            "rss_kb": usage.ru_maxrss,
        }
        self._control.send(json.dumps(answer).encode())

    def _wait(self, init: int) -> None:
        """Until the job ends, or the caller is gone: then leave, and the whole namespace dies with us."""
        handle = os.pidfd_open(init)
        try:
            poll = select.poll()
            poll.register(handle, select.POLLIN)
            poll.register(self._control.fileno(), select.POLLHUP)
            if any(fd != handle for fd, _ in poll.poll()):
                os._exit(1)
        finally:
            os.close(handle)

    def _init(self, limits: dict[str, int], fds: list[int]) -> None:
        """Pid 1 of a job: prepare its world, give up all rights, fork the solver and see it out. Never returns."""
        code = BROKEN
        try:
            self._confine(limits, fds)
            solver = os.fork()
            if solver == 0:
                code = 0
                (carry_out if self._programs else solve)(3, 4)
            else:
                for fd in (1, 2, 3, 4):
                    os.close(fd)
                code = _see_out(solver)
        finally:
            os._exit(code)

    def _confine(self, limits: dict[str, int], fds: list[int]) -> None:
        linux.unshare(linux.NEWNS | linux.NEWIPC)
        flags = linux.MS_NOSUID | linux.MS_NODEV | (0 if self._programs else linux.MS_NOEXEC)
        for path in ("/tmp", "/dev/shm"):  # noqa: S108  inside the jail's own root
            options = f"size={limits['disk_mb']}m,nr_inodes={16384 if self._programs else 4096},mode=0777"
            linux.mount("tmpfs", path, "tmpfs", flags, options)
        if self._programs:
            _own_proc()
        os.chdir("/tmp")  # noqa: S108  the sandbox's own, a fresh tmpfs
        null = os.open("/dev/null", os.O_RDONLY)
        spare = [os.dup2(fd, 100 + index, inheritable=False) for index, fd in enumerate([null, *fds])]
        for target, source in ((0, 0), (1, 3), (2, 3), (3, 1), (4, 2)):
            os.dup2(spare[source], target, inheritable=False)
        linux.close_from(5)
        os.setsid()
        _limit(limits, programs=self._programs)
        linux.drop_capabilities()
        linux.prctl(linux.PR_SET_NO_NEW_PRIVS, 1)
        self._filter.install()


def _own_proc() -> None:
    """The job's own processes in /proc; an empty folder where the kernel does not let us (the machine's is covered)."""
    flags = linux.MS_NOSUID | linux.MS_NODEV | linux.MS_NOEXEC
    try:
        linux.mount("proc", "/proc", "proc", flags)
    except OSError:
        linux.mount("tmpfs", "/proc", "tmpfs", flags | linux.MS_RDONLY, "size=4k,mode=0555")


def _limit(limits: dict[str, int], *, programs: bool) -> None:
    disk, memory = limits["disk_mb"] << 20, limits["memory_mb"] << 20
    memory = resource.RLIM_INFINITY if programs else memory
    files = PROGRAM_OPEN_FILES if programs else OPEN_FILES
    for kind, soft, hard in (
        (resource.RLIMIT_CPU, limits["cpu_s"], limits["cpu_s"] + 1),
        (resource.RLIMIT_AS, memory, memory),
        (resource.RLIMIT_FSIZE, disk, disk),
        (resource.RLIMIT_NOFILE, files, files),
        # the launcher, the zygote and init count too: they live in the same user namespace
        (resource.RLIMIT_NPROC, limits["processes"] + 3, limits["processes"] + 3),
        (resource.RLIMIT_CORE, 0, 0),
        (resource.RLIMIT_MEMLOCK, 0, 0),
        (resource.RLIMIT_STACK, 8 << 20, 8 << 20),
    ):
        resource.setrlimit(kind, (soft, hard))


def _see_out(solver: int) -> int:
    """Reap whatever ends until the solver does; its signal, or 0 and 1 for a clean and another exit."""
    while True:
        pid, status = os.wait()
        if pid == solver:
            code = os.waitstatus_to_exitcode(status)
            return 100 - code if code < 0 else min(code, 1)
