"""Control groups: what the kernel bounds as a sum, and that none is left behind."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

from buril.sandboxes import _cgroup
from buril.sandboxes._cgroup import Cgroup, make
from buril.sandboxes._sandbox import Call, Job, Limits
from buril.sandboxes._worker import Worker

TRUE = (Call((), True),)


@pytest.fixture
def group() -> Iterator[Cgroup]:
    made = make()
    if made is None:
        pytest.skip("this machine lets us make no control group")
    yield made
    made.remove()


@pytest.fixture
def worker(group: Cgroup) -> Iterator[Worker]:
    made = Worker()
    yield made
    made.stop()


def groups() -> set[str]:
    """The groups of this process that are there."""
    mine = f"{_cgroup.PREFIX}{os.getpid()}-"
    return {
        str(path) for places, _version in _cgroup._places() for folder in places for path in folder.glob(f"{mine}*")
    }


def test_all_that_runs_in_a_jail_is_in_its_group(worker: Worker) -> None:
    assert worker.run(Job("def f():\n    return True\n", "f", TRUE), Limits()).passed
    assert worker.cgroup and worker._process
    inside = {int(line) for line in Path(worker.cgroup.entrances[0]).read_text().split()}
    assert worker._process.pid in inside and len(inside) == 2, "the launcher and the zygote"
    assert os.getpid() not in inside


def test_where_the_watcher_sees_nothing_the_kernel_does(worker: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    """It kills one process; the job ends at its wall time at the latest, and the worker serves on."""
    monkeypatch.setattr("buril.sandboxes._worker.jail_kb", lambda _pid: 0)
    source = textwrap.dedent("""
        import os, time
        def f():
            for _ in range(8):
                if os.fork() == 0:
                    held = b"x" * (60 << 20)
                    time.sleep(20)
            time.sleep(20)
        """)
    verdict = worker.run(Job(source, "f", TRUE), Limits(memory_mb=100, wall_s=5))
    assert verdict.status in ("oom", "timeout_wall"), verdict
    again = worker.run(Job("def f():\n    return b'x' * (1 << 20) and True\n", "f", TRUE), Limits(memory_mb=100))
    assert again.passed, "the worker serves on"


def test_memory_that_ran_out_is_told(worker: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("buril.sandboxes._worker.jail_kb", lambda _pid: 0)
    source = textwrap.dedent("""
        import os
        def f():
            children = []
            for _ in range(8):
                pid = os.fork()
                if pid == 0:
                    held = b"x" * (60 << 20)
                    os.read(0, 1)
                    import time
                    time.sleep(1)
                    os._exit(0)
                children.append(pid)
            return all(os.waitpid(pid, 0)[1] == 0 for pid in children)
        """)
    verdict = worker.run(Job(source, "f", TRUE), Limits(memory_mb=100, wall_s=15))
    assert verdict.status == "oom" and "100 MB" in verdict.detail


def test_limits_are_set_and_follow_the_job(group: Cgroup) -> None:
    name = "memory.max" if group.second_version else "memory.limit_in_bytes"
    for size, processes in ((100, 16), (300, 8)):
        group.limit(size, processes)
        assert int((group.memory / name).read_text()) == (size + _cgroup.MARGIN_MB) << 20
        assert int((group.pids / "pids.max").read_text()) == processes + _cgroup.MARGIN_PROCESSES
    assert not group.killed()


def test_no_group_is_left(group: Cgroup) -> None:
    before = groups()
    with_job = Worker()
    assert with_job.run(Job("def f():\n    return True\n", "f", TRUE), Limits()).passed
    assert groups() > before
    with_job.stop()
    assert groups() == before
    assert with_job.run(
        Job("def f():\n    import time\n    time.sleep(9)\n", "f", TRUE), Limits(wall_s=0.5)
    ).status == ("timeout_wall")
    assert groups() == before, "one that was killed"


def test_what_a_killed_run_left_is_removed(group: Cgroup) -> None:
    code = "import os; from buril.sandboxes._cgroup import make; make(); os._exit(9)"
    done = subprocess.Popen([sys.executable, "-c", code])
    assert done.wait() == 9
    left = [path for places, _version in _cgroup._places() for folder in places
            for path in folder.glob(f"{_cgroup.PREFIX}{done.pid}-*")]  # fmt: skip
    assert left
    another = make()
    assert another
    another.remove()
    assert not any(path.exists() for path in left)


def test_without_groups_the_other_limits_stand(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_cgroup, "_places", list)
    assert make() is None
    worker = Worker()
    try:
        assert worker.run(Job("def f():\n    return True\n", "f", TRUE), Limits()).passed
        assert worker.cgroup is None
    finally:
        worker.stop()


def test_a_group_that_may_not_be_made_is_none(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(
        _cgroup, "_places", lambda: [((tmp_path, tmp_path), True), ((tmp_path / "no", tmp_path), False)]
    )
    assert make() is None and list(tmp_path.iterdir()) == [], "no controllers in it: it is removed again"


def test_our_own_place_is_read_below_what_is_mounted() -> None:
    assert _cgroup._below("/sys/fs/cgroup/memory", "/", "/a/b") == Path("/sys/fs/cgroup/memory/a/b")
    assert _cgroup._below("/sys/fs/cgroup", "/docker/x", "/docker/x") == Path("/sys/fs/cgroup")
    assert _cgroup._below("/sys/fs/cgroup", "/docker/x", "/docker/x/in") == Path("/sys/fs/cgroup/in")
