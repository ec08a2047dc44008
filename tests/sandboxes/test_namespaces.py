"""The sandbox: honest programs get their verdict, hostile ones get nowhere. All attacks are bounded."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import textwrap
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from buril.core.errors import EXIT_PREREQUISITE, BurilError
from buril.sandboxes import _worker
from buril.sandboxes._sandbox import Call, Job, Limits, Verdict
from buril.sandboxes._watch import children, descendants
from buril.sandboxes.namespaces import Namespaces


def run(sandbox: Namespaces, source: str, *calls: Call, limits: Limits | None = None) -> Verdict:
    return sandbox.run(Job(textwrap.dedent(source), "f", calls or (Call((), True),), limits))


# --- honest programs


def test_values_cross_typed_and_are_judged_outside(sandbox: Namespaces) -> None:
    verdict = run(
        sandbox,
        """
        def f(a, b):
            print("hi", a)
            return (a, [b], {a: {b}}, 1.5, b"x", 2j, None)
        """,
        Call((1, "z"), (1, ["z"], {1: {"z"}}, 1.5, b"x", 2j, None)),
        Call((2**80, "ñ"), (2**80, ["ñ"], {2**80: {"ñ"}}, 1.5, b"x", 2j, None)),
    )
    assert verdict.passed and verdict.out == f"hi 1\nhi {2**80}\n" and not verdict.forgeable
    assert verdict.rss_kb > 1000


def test_partial_credit_and_the_first_failure_names_the_verdict(sandbox: Namespaces) -> None:
    verdict = run(sandbox, "def f(x):\n    return 10 // x\n", Call((5,), 2), Call((0,), 0), Call((3,), 99))
    assert [item.status for item in verdict.calls] == ["pass", "error", "wrong"]
    assert verdict.status == "error" and verdict.calls[1].got.startswith("ZeroDivisionError:")


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ("def f(:\n", "SyntaxError"),
        ("x = 1\n", "NameError: `f`"),
        ("raise OSError('no')\n", "OSError: no"),
        ("def f():\n    return f\n", "Unencodable"),
    ],
)
def test_what_is_wrong_is_told(sandbox: Namespaces, source: str, told: str) -> None:
    verdict = run(sandbox, source)
    assert verdict.status == "error" and told in verdict.detail


def test_an_expected_exception(sandbox: Namespaces) -> None:
    call = Call((), raises="KeyError")
    assert run(sandbox, "def f():\n    raise KeyError(1)\n", call).passed
    assert run(sandbox, "def f():\n    return 1\n", call).status == "wrong"


def test_verdicts_come_in_the_order_of_the_jobs(sandbox: Namespaces) -> None:
    jobs = [
        Job(f"def f():\n    return {number}\n", "f", (Call((), number if number % 3 else -1),)) for number in range(20)
    ]
    assert [verdict.passed for verdict in sandbox.run_all(jobs)] == [bool(number % 3) for number in range(20)]


def test_the_standard_library_works(sandbox: Namespaces) -> None:
    source = """
    import asyncio, collections, dataclasses, datetime, decimal, hashlib
    import random, re, tempfile, threading, zoneinfo
    def f():
        async def one():
            return 1
        seen = []
        thread = threading.Thread(target=seen.append, args=(asyncio.run(one()),))
        thread.start(); thread.join()
        with tempfile.TemporaryFile() as file:
            file.write(b"x" * 1000)
        return seen == [1] and hashlib.sha256(b"").hexdigest()[:4] == "e3b0" and random.random() == 0.8444218515250481
    """
    verdict = run(sandbox, source)
    assert verdict.passed, verdict


def test_jobs_leave_nothing_to_one_another() -> None:
    with Namespaces(Namespaces.Settings(workers=1)) as sandbox:
        write = """
        import builtins
        builtins.left = 1
        def f():
            open("/tmp/left", "w").write("x")
            open("/dev/shm/left", "w")
            return True
        """
        look = """
        import builtins, os
        def f():
            return os.listdir("/tmp") + os.listdir("/dev/shm") + [hasattr(builtins, "left")]
        """
        assert run(sandbox, write).passed
        assert run(sandbox, look, Call((), [False])).passed


# --- attacks on the machine: each function answers True when it was contained

ATTACKS: dict[str, str] = {
    "fork": """
        import os, time
        def f():
            children = []
            try:
                for _ in range(64):
                    pid = os.fork()
                    if pid == 0:
                        time.sleep(20); os._exit(0)
                    children.append(pid)
            except BlockingIOError:
                return 8 <= len(children) <= 20
            return False
        """,
    "daemon": """
        import os, time
        def f():
            if os.fork() == 0:
                os.setsid()
                if os.fork() == 0:
                    time.sleep(30)
                os._exit(0)
            return True
        """,
    "memory": """
        def f():
            try:
                held = bytearray(1 << 30)
            except MemoryError:
                return True
            return False
        """,
    "disk": """
        import errno
        def f():
            for place in ("/tmp/a", "/dev/shm/a"):
                written = 0
                try:
                    with open(place, "wb") as file:
                        for _ in range(64):
                            written += file.write(bytes(1 << 20)); file.flush()
                except OSError as problem:
                    if problem.errno not in (errno.ENOSPC, errno.EFBIG) or written > 17 << 20:
                        return False
                else:
                    return False
            return True
        """,
    "write outside": """
        import os
        def f():
            for place in ("/x", "/etc/x", "/dev/x", "/usr/x", os.__file__):
                try:
                    open(place, "a")
                except OSError:
                    continue
                return False
            return True
        """,
    "read the machine's files": """
        import glob, os
        def f():
            for place in ("/etc/shadow", "/etc/passwd", "/proc/1/environ", "/proc/self/mem", "/sys", "/home", "/var"):
                if os.path.exists(place):
                    return False
            os.symlink("/../../etc/shadow", "/tmp/link")
            return not os.path.exists("/tmp/link") and sorted(os.environ) == []
        """,
    "inherited descriptors": """
        import os
        def f():
            return [fd for fd in range(3, 64) if _open(fd)] == [4]
        def _open(fd):
            try:
                os.fstat(fd)
            except OSError:
                return False
            return True
        """,
    "kill the parent": """
        import os, signal
        def f():
            for number in (signal.SIGKILL, signal.SIGTERM, signal.SIGSTOP):
                try:
                    os.kill(os.getppid(), number)
                except OSError:
                    pass
            return os.getppid() == 1
        """,
    "network": """
        import socket
        def f():
            for family in (socket.AF_INET, socket.AF_INET6, socket.AF_UNIX, getattr(socket, "AF_NETLINK", 16)):
                try:
                    socket.socket(family)
                except PermissionError:
                    continue
                return False
            try:
                socket.create_connection(("127.0.0.1", PORT), timeout=1)
            except OSError:
                return True
            return False
        """,
    "rights": """
        import os, ctypes
        def f():
            libc = ctypes.CDLL(None, use_errno=True)
            held = (ctypes.c_uint32 * 6)()
            libc.capget((ctypes.c_uint32 * 2)(0x20080522, 0), held)
            try:
                os.setgroups([0]); return False
            except OSError:
                pass
            return not any(held) and libc.prctl(39, 0, 0, 0, 0) == 1
        """,
}


@pytest.mark.parametrize("name", list(ATTACKS))
def test_attack_is_contained(sandbox: Namespaces, name: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        source = ATTACKS[name].replace("PORT", str(server.getsockname()[1]))
        verdict = run(sandbox, source)
        assert verdict.passed, verdict
        server.settimeout(0)
        with pytest.raises(BlockingIOError):
            server.accept()
    assert not any(len(descendants(pid)) > 1 for pid in _launchers(sandbox)), "nothing is left behind"


def _launchers(sandbox: Namespaces) -> list[int]:
    return [worker._process.pid for worker in sandbox._functions._workers if worker._process]


@pytest.mark.parametrize(
    "call",
    [
        "ptrace(0, 0, 0, 0)",
        "mount(b'a', b'/tmp', b'tmpfs', 0, None)",
        "unshare(0x10000000)",
        "syscall(425, 1, 0)",
        "setns(0, 0)",
        "syscall(56 if M == 'x86_64' else 220, 0x10000011, 0, 0, 0, 0)",
        "chroot(b'/tmp')",
        "syscall(101 if M == 'x86_64' else 117, 0, 0, 0, 0)",
    ],
)
def test_forbidden_system_calls_end_the_job(sandbox: Namespaces, call: str) -> None:
    verdict = run(
        sandbox, f"import ctypes, os\nM = os.uname().machine\ndef f():\n    ctypes.CDLL(None).{call}\n    return True\n"
    )
    assert verdict.status == "sandbox_violation"


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="the x32 table belongs to x86-64")
def test_the_x32_table_is_no_way_around(sandbox: Namespaces) -> None:
    assert (
        run(
            sandbox, "import ctypes\ndef f():\n    ctypes.CDLL(None).syscall(0x40000000 + 39)\n    return True\n"
        ).status
        == "sandbox_violation"
    )


# --- limits


def test_a_busy_loop_ends_at_its_processor_time(sandbox: Namespaces) -> None:
    verdict = run(sandbox, "def f():\n    while True: pass\n", limits=Limits(cpu_s=1))
    # The kernel's limit counts ticks, ours is measured: on a busy machine a job may be charged for its neighbour's.
    assert verdict.status == "timeout_cpu" and 500 <= verdict.cpu_ms < 2500


def test_a_sleeper_that_ignores_all_signals_ends_at_its_wall_time(sandbox: Namespaces) -> None:
    source = """
    import signal, time
    def f():
        for number in range(1, 65):
            try: signal.signal(number, signal.SIG_IGN)
            except (OSError, ValueError): pass
        time.sleep(60)
    """
    started = time.monotonic()
    verdict = run(sandbox, source, limits=Limits(wall_s=0.5))
    assert verdict.status == "timeout_wall" and time.monotonic() - started < 5
    assert run(sandbox, "def f():\n    return True\n").passed, "the worker serves on"


def test_memory_is_bounded_over_all_processes(sandbox: Namespaces) -> None:
    source = """
    import os, time
    def f():
        for _ in range(4):
            if os.fork() == 0:
                held = bytearray(40 << 20)
                time.sleep(20)
        time.sleep(20)
    """
    assert run(sandbox, source, limits=Limits(memory_mb=100, wall_s=10)).status == "oom"


def test_too_much_memory_in_one_process_is_oom(sandbox: Namespaces) -> None:
    verdict = run(sandbox, "def f():\n    return len(bytearray(1 << 30))\n")
    assert verdict.status == "oom" and "MemoryError" in verdict.detail


def test_a_flood_of_output_is_cut(sandbox: Namespaces) -> None:
    verdict = run(sandbox, "def f():\n    while True: print('x' * 1000)\n", limits=Limits(output_kb=64))
    assert verdict.status == "output_limit" and len(verdict.out) == 64 << 10


def test_a_flood_of_results_is_cut(sandbox: Namespaces) -> None:
    assert run(sandbox, "def f():\n    return 'x' * (5 << 20)\n").status == "error"
    flood = "import os\ndef f():\n    while True: os.write(4, b'y' * 65536)\n"
    assert run(sandbox, flood).status == "output_limit"


# --- forgeries: a wrong body that wants to pass

SECRET = 987_654_321
WALK = """
    import gc, sys
    def fits(v): return type(v) is int and v % 10**6 == 654321 and v > 10**8
    def f(x):
        frame = sys._getframe()
        while frame:
            for value in list(frame.f_locals.values()) + list(frame.f_globals.values()):
                if fits(value): return value
            frame = frame.f_back
        for thing in gc.get_objects():
            if type(thing) in (list, tuple, dict):
                for value in list(thing.values() if type(thing) is dict else thing):
                    if fits(value): return value
        return None
    """
FORGERIES: dict[str, str] = {
    "equal to everything": """
        class Any(int):
            def __eq__(self, other): return True
            def __hash__(self): return 0
            def __getattribute__(self, name): return lambda *a: True
        def f(x): return Any()
        """,
    "walks the frames": WALK,
    "leaves with exit code 0": "import os\ndef f(x): os._exit(0)\n",
    "leaves with exit code 0 at import": "import os\nos._exit(0)\n",
    "leaves by sys.exit": "import sys\ndef f(x): sys.exit(0)\n",
    "writes verdicts on every descriptor": """
        import os
        def f(x):
            for fd in range(64):
                try: os.write(fd, b'{"status": "pass"}\\n{"code": 0}\\npassed\\n')
                except OSError: pass
            return None
        """,
    "knows the nonce": """
        import os, sys, json
        def f(x):
            frame, nonce = sys._getframe(), None
            while frame:
                job = frame.f_locals.get("job")
                if isinstance(job, dict): nonce = job["nonce"]
                frame = frame.f_back
            os.write(4, (nonce + ' {"value": true}\\n' + nonce + ' {"status": "pass"}\\n').encode() * 9)
            os._exit(0)
        """,
    "replaces the encoder": """
        import json, builtins, buril.sandboxes._solver as solver, buril.sandboxes._codec as codec
        codec.same = solver.encode = codec.encode = lambda *a: True
        json.dumps = lambda *a, **k: '{"value": true}'
        def f(x): return True
        """,
    "nests for ever": "def f(x):\n    a = []\n    a.append(a)\n    return a\n",
    "not a number of its own": "class N(float): pass\ndef f(x): return N(7)\n",
}


@pytest.mark.parametrize("name", list(FORGERIES))
def test_forgery_fails(sandbox: Namespaces, name: str) -> None:
    verdict = run(sandbox, FORGERIES[name], Call((1,), SECRET), Call((2,), SECRET + 10**6))
    assert not verdict.passed and not any(item.status == "pass" for item in verdict.calls), verdict


def test_the_search_of_the_forgery_does_find_what_is_there(sandbox: Namespaces) -> None:
    """Only so is its failure above worth something: an expected value that is also an argument is in reach."""
    assert run(sandbox, WALK, Call(([SECRET],), SECRET)).passed


# --- the machine


def test_no_isolation_is_an_error_never_a_fallback(monkeypatch: pytest.MonkeyPatch) -> None:
    def nowhere(**more: bool) -> dict[str, Any]:
        return {**plan(**more), "folders": ["/nowhere-at-all"]}

    plan = _worker.jail_plan
    monkeypatch.setattr(_worker, "jail_plan", nowhere)
    with Namespaces(Namespaces.Settings(workers=1)) as sandbox:
        with pytest.raises(BurilError) as caught:
            run(sandbox, "def f():\n    return True\n")
        assert caught.value.code == "E001" and caught.value.exit_code == EXIT_PREREQUISITE
        (only,) = sandbox.capabilities()
        assert not only.available and "/nowhere-at-all" in only.detail


def test_every_protection_is_there(sandbox: Namespaces) -> None:
    found = sandbox.capabilities()
    assert len(found) == 8 and all(item.available for item in found), found


def test_a_jail_that_dies_is_built_anew(sandbox: Namespaces) -> None:
    with Namespaces(Namespaces.Settings(workers=1)) as mine:
        assert run(mine, "def f():\n    return True\n").passed
        (launcher,) = _launchers(mine)
        os.kill(children(launcher)[0], 9)
        assert run(mine, "def f():\n    return True\n").passed


def test_nothing_survives_the_caller() -> None:
    source = """
    import os, sys, threading, time
    from buril.sandboxes._sandbox import Call, Job
    from buril.sandboxes.namespaces import Namespaces
    from buril.sandboxes._watch import descendants
    sandbox = Namespaces(Namespaces.Settings(workers=1))
    job = Job("import time\\ndef f(): time.sleep(15)\\n", "f", (Call(),))
    threading.Thread(target=sandbox.run, args=(job,), daemon=True).start()
    while len(descendants(os.getpid())) < 4: time.sleep(0.02)
    print(*descendants(os.getpid()), flush=True)
    os.kill(os.getpid(), 9)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(source)], stdout=subprocess.PIPE, timeout=60, check=False
    )
    pids = done.stdout.split()
    assert len(pids) >= 4
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline and any(_alive(int(pid)) for pid in pids):
        time.sleep(0.05)
    assert not any(_alive(int(pid)) for pid in pids)


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def test_limits_of_the_job_win_over_those_of_the_settings(sandbox: Namespaces) -> None:
    limits = replace(Limits(), disk_mb=1)
    verdict = run(
        sandbox,
        "import shutil\ndef f():\n    return shutil.disk_usage('/tmp').total\n",
        Call((), 1 << 20),
        limits=limits,
    )
    assert verdict.passed


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become an ordinary user")
def test_an_ordinary_user_gets_the_same_jail() -> None:
    """Runs with the machine's own Python, where one exists that another user may read, and our packages by path."""
    python = Path(f"/usr/bin/python3.{sys.version_info.minor}")
    packages = next((path for path in sys.path if path.endswith("site-packages")), "")
    readable = (
        python.exists()
        and Path(packages).exists()
        and all(parent.stat().st_mode & 1 for parent in Path(packages).resolve().parents)
    )
    if not readable:
        pytest.skip("no Python here that another user may read")
    source = (
        "from buril.sandboxes.namespaces import Namespaces\n"
        "from buril.sandboxes._sandbox import Program\n"
        "with Namespaces(Namespaces.Settings(workers=1)) as s:\n"
        "    print(all(p.available for p in s.capabilities()))\n"
        "    p = Program({}, (('/bin/bash', '-c', 'id -u; ls /proc | grep -c ^[0-9]; test -e /etc/passwd'),))\n"
        "    print(s.execute(p).out)"
    )
    root = str(Path(_worker.__file__).parents[2])
    done = subprocess.run(
        [python, "-c", source],
        user=54321,
        group=54321,
        extra_groups=[],
        capture_output=True,
        text=True,
        timeout=60,
        env={"PYTHONPATH": f"{root}:{packages}"},
        cwd="/",
        check=False,
    )
    assert done.stdout.split() == ["True", "1000", "5"], done
