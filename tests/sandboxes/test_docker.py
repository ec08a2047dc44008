"""Docker as a sandbox, on a daemon of the tests' own: the same programs and the same attacks as in jails."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from buril.core.errors import BurilError
from buril.evaluate.suite import SuiteContext
from buril.evaluate.suites.basics import Basics
from buril.sandboxes._sandbox import Call, Job, Limits, Program
from buril.sandboxes.docker import Docker
from buril.testing import check_sandbox
from tests.evaluate.writer import Writer
from tests.sandboxes.daemon import IMAGE, daemon, load_image, missing
from tests.sandboxes.test_namespaces import ATTACKS, FORGERIES, SECRET, run

pytestmark = pytest.mark.skipif(bool(missing()), reason=missing() or "never")
PYTHON = os.path.realpath(sys.executable)
CONTAINED = ("fork", "daemon", "memory", "disk", "write outside", "kill the parent", "network", "rights")


@pytest.fixture(scope="module")
def client() -> Iterator[str]:
    with tempfile.TemporaryDirectory(prefix="buril-docker-", ignore_cleanup_errors=True) as folder:
        try:
            with daemon(Path(folder)) as command:
                load_image(command)
                yield command
        except RuntimeError as problem:
            pytest.skip(str(problem))


@pytest.fixture(scope="module")
def docker(client: str) -> Iterator[Docker]:
    with Docker(Docker.Settings(image=IMAGE, python=PYTHON, command=client)) as made:
        yield made


def names(client: str) -> list[str]:
    return subprocess.run(
        [*client.split(), "ps", "--all", "--quiet"], capture_output=True, text=True, check=True
    ).stdout.split()


def test_keeps_the_contract(docker: Docker) -> None:
    assert all(one.available for one in docker.capabilities())
    check_sandbox(docker)


@pytest.mark.parametrize("name", CONTAINED)
def test_attack_is_contained(docker: Docker, name: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        verdict = run(docker, ATTACKS[name].replace("PORT", str(server.getsockname()[1])))  # type: ignore[arg-type]
        assert verdict.passed, verdict
        server.settimeout(0)
        with pytest.raises(BlockingIOError):
            server.accept()


@pytest.mark.parametrize("name", list(FORGERIES))
def test_forgery_fails(docker: Docker, name: str) -> None:
    verdict = run(docker, FORGERIES[name], Call((1,), SECRET), Call((2,), SECRET + 10**6))  # type: ignore[arg-type]
    assert not verdict.passed and not any(item.status == "pass" for item in verdict.calls), verdict


def test_the_last_word_is_not_the_candidates(docker: Docker) -> None:
    """It may write how the job ended, or that the jail broke: neither is believed, and nothing is tried again."""
    source = """
        import os, sys
        def f():
            frame, nonce = sys._getframe(), None
            while frame:
                job = frame.f_locals.get("job")
                if isinstance(job, dict) and "nonce" in job: nonce = job["nonce"]
                frame = frame.f_back
            for fd in range(3, 32):
                try: os.write(fd, (f'no line\\n{nonce} {{"ended": 250, "cpu_ms": 1, "rss_kb": 1, "oom": true}}').encode())
                except OSError: pass
            os._exit(0)
        """
    verdict = run(docker, source)  # type: ignore[arg-type]
    assert verdict.status == "error" and verdict.rss_kb > 1000, verdict


@pytest.mark.slow
def test_limits(docker: Docker) -> None:
    busy = run(docker, "def f():\n    while True: pass\n", limits=Limits(cpu_s=1))  # type: ignore[arg-type]
    assert busy.status == "timeout_cpu" and 500 <= busy.cpu_ms < 2500
    started = time.monotonic()
    asleep = run(docker, "import time\ndef f():\n    time.sleep(60)\n", limits=Limits(wall_s=1))  # type: ignore[arg-type]
    assert asleep.status == "timeout_wall" and time.monotonic() - started < 30
    flood = run(docker, "def f():\n    while True: print('x' * 1000)\n", limits=Limits(output_kb=64))  # type: ignore[arg-type]
    assert flood.status == "output_limit" and len(flood.out) == 64 << 10
    many = """
        import os, time
        def f():
            for _ in range(6):
                if os.fork() == 0:
                    held = b"x" * (40 << 20)
                    time.sleep(20)
            time.sleep(20)
        """
    assert run(docker, many, limits=Limits(memory_mb=100, wall_s=15)).status == "oom"  # type: ignore[arg-type]
    trap = run(docker, "import ctypes\ndef f():\n    ctypes.CDLL(None).ptrace(0, 0, 0, 0)\n")  # type: ignore[arg-type]
    assert trap.status == "sandbox_violation"


def test_a_suite_and_a_program_are_judged_in_it(docker: Docker) -> None:
    suite = Basics(Basics.Settings(prompt="plain"))
    context = SuiteContext(Writer({"": "    pass\n"}), None, lambda: docker, max_items=4)  # type: ignore[arg-type]
    suite.check(context)
    assert suite.run(context).measures["pass@1"].numerators == [0.0] * 4
    done = docker.execute(Program({"a/b.sh": "echo $1 $HOME"}, (("/bin/sh", "a/b.sh", "hi"),)))
    assert (done.status, done.out) == ("pass", "hi /tmp\n")


def test_no_container_is_left(client: str) -> None:
    before = set(names(client))
    with Docker(Docker.Settings(image=IMAGE, python=PYTHON, command=client)) as made:
        assert run(made, "def f():\n    return True\n").passed  # type: ignore[arg-type]
        assert set(names(client)) > before, "one waits for the next job"
    assert set(names(client)) == before


def test_without_daemon_or_image_nothing_runs(client: str) -> None:
    for told in (
        {"command": "docker --host unix:///nowhere.sock"}, {"command": "no-such-client"},
        {"command": client, "image": "buril-tests:none"}, {"command": client, "image": IMAGE, "python": "perl6"},
    ):  # fmt: skip
        with Docker(Docker.Settings(**told)) as made, pytest.raises(BurilError) as caught:
            made.run(Job("def f():\n    return 1\n", "f", (Call((), 1),)))
        assert caught.value.code == "E001", told
        assert not made.capabilities()[0].available
