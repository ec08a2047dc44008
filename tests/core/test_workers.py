"""Work on shards by processes of this machine: all of it, once, whatever happens to a worker."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from functools import partial
from pathlib import Path
from typing import NamedTuple

import pytest

from buril.core.artifact import atomic
from buril.core.errors import BurilError
from buril.core.events import EventLog, read_events
from buril.core.machine import cpus, memory_mb
from buril.core.stage import Output
from buril.core.workers import each, engine, shard_of, using
from buril.engines.processes import Processes

ROOT = Path(__file__).resolve().parents[2]


class Job(NamedTuple):
    number: int
    folder: Path


@pytest.fixture(autouse=True)
def forked(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("torch", "ray", "grpc"):  # with these, workers are spawned and need an importable main module
        monkeypatch.delitem(sys.modules, name, raising=False)


def jobs(folder: Path, count: int) -> list[Job]:
    return [Job(number, folder) for number in range(count)]


def note(job: Job) -> int:
    """How often this job was begun, counted on disk."""
    with (job.folder / f"{job.number}.begun").open("a") as stream:
        stream.write("x")
    return len((job.folder / f"{job.number}.begun").read_text())


def double(job: Job) -> int:
    note(job)
    return job.number * 2


def die_until(job: Job, victim: int, tries: int) -> int:
    """One job's worker is killed in its first tries."""
    if job.number == victim and note(job) <= tries:
        os.kill(os.getpid(), signal.SIGKILL)
    return job.number


def memory_until(job: Job, tries: int) -> int:
    if job.number == 1 and note(job) <= tries:
        raise MemoryError
    return job.number


def alone(job: Job) -> int:
    """A job that is killed where another runs beside it."""
    mark = job.folder / f"{os.getpid()}.running"
    if job.number == 0:
        time.sleep(0.15)
        if list(job.folder.glob("*.running")):
            os.kill(os.getpid(), signal.SIGKILL)
    else:
        mark.touch()
        time.sleep(0.1)
        mark.unlink()
    return job.number


class Unsendable(Exception):
    def __init__(self, first: object, second: object) -> None:
        super().__init__("told")
        self.lock = threading.Lock()


def fail(job: Job) -> int:
    raise Unsendable(1, 2) if job.number else ValueError("of the work")


def test_every_job_is_done_once_in_any_order(tmp_path: Path) -> None:
    assert sorted(each(double, jobs(tmp_path, 7), 3, stage="toy")) == [0, 2, 4, 6, 8, 10, 12]
    assert {path.read_text() for path in tmp_path.glob("*.begun")} == {"x"}
    assert list(each(double, [], 3, stage="toy")) == []
    assert isinstance(engine(), Processes)


def test_a_killed_worker_costs_its_shard_at_hand_alone(tmp_path: Path) -> None:
    out = Output(tmp_path / "out", EventLog(tmp_path / "events.jsonl"), "toy")
    with using(Processes(Processes.Settings())) as chosen:
        chosen.begin(out)
        work = partial(die_until, victim=2, tries=2)
        assert sorted(each(work, jobs(tmp_path, 6), 2, stage="toy")) == [0, 1, 2, 3, 4, 5]
    told = [event["text"] for event in read_events(tmp_path / "events.jsonl")]
    assert len(told) == 2
    assert all("00002" in text and "SIGKILL" in text for text in told)


def test_a_shard_that_kills_every_worker_is_named_and_the_others_are_done(tmp_path: Path) -> None:
    found = []
    with pytest.raises(BurilError) as refused:
        for number in each(partial(die_until, victim=3, tries=99), jobs(tmp_path, 8), 2, stage="toy"):
            found.append(number)
    assert sorted(found) == [0, 1, 2, 4, 5, 6, 7]
    assert refused.value.code == "S009"
    assert "00003" in refused.value.cause and "3 times" in refused.value.cause
    assert len((tmp_path / "3.begun").read_text()) == 3


def test_no_retries(tmp_path: Path) -> None:
    settings = Processes.Settings(retries=0)
    with using(Processes(settings)), pytest.raises(BurilError, match="S009"):
        list(each(partial(die_until, victim=0, tries=1), jobs(tmp_path, 3), 2, stage="toy"))


def test_the_last_try_is_made_alone(tmp_path: Path) -> None:
    assert sorted(each(alone, jobs(tmp_path, 9), 2, stage="toy")) == list(range(9))


def test_a_worker_out_of_memory_is_tried_alone_then_told(tmp_path: Path) -> None:
    assert sorted(each(partial(memory_until, tries=2), jobs(tmp_path, 4), 2, stage="toy")) == [0, 1, 2, 3]
    (tmp_path / "1.begun").unlink()
    with pytest.raises(MemoryError):
        list(each(partial(memory_until, tries=9), jobs(tmp_path, 4), 2, stage="toy"))


def test_errors_arrive_as_they_were_raised_with_their_place(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="of the work") as raised:
        list(each(fail, [Job(0, tmp_path), Job(0, tmp_path)], 2, stage="toy"))
    assert "in fail" in str(raised.value.__cause__)
    with pytest.raises(RuntimeError, match="Unsendable: told"):
        list(each(fail, [Job(1, tmp_path), Job(1, tmp_path)], 2, stage="toy"))


def test_who_stops_listening_leaves_no_process(tmp_path: Path) -> None:
    before = set(children_of(os.getpid()))  # what other tests of this process keep
    found = each(double, jobs(tmp_path, 50), 2, stage="toy")
    next(found)
    children = set(children_of(os.getpid())) - before
    assert children
    found.close()  # type: ignore[attr-defined]  it is a generator
    assert not children & set(children_of(os.getpid()))


def children_of(pid: int) -> list[int]:
    return [
        int(word) for task in Path(f"/proc/{pid}/task").iterdir() for word in (task / "children").read_text().split()
    ]


SCRIPT = textwrap.dedent(
    """
    import sys, time
    from pathlib import Path
    from buril.core.workers import each
    def slow(number):
        Path(sys.argv[1], f"{number}.begun").touch()
        time.sleep(0.4)
        Path(sys.argv[1], f"{number}.done").touch()
        return number
    try:
        for number in each(slow, list(range(20)), 2, stage="toy"):
            print(number, flush=True)
    except KeyboardInterrupt:
        print("interrupted", flush=True)
    """
)


def started(tmp_path: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", SCRIPT, str(tmp_path)]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, start_new_session=True)


def test_a_killed_parent_takes_its_workers_with_it(tmp_path: Path) -> None:
    with started(tmp_path) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.kill()
        process.wait()
        assert process.stdout.read() is not None  # ends when the last process that holds the pipe has ended
    deadline = time.monotonic() + 10
    with pytest.raises(ProcessLookupError):
        while time.monotonic() < deadline:  # until the system has tidied up after them
            os.killpg(process.pid, 0)
            time.sleep(0.02)


def test_ctrl_c_finishes_the_shard_at_hand(tmp_path: Path) -> None:
    with started(tmp_path) as process:
        assert process.stdout is not None
        process.stdout.readline()
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to the parent and its workers
        rest = process.stdout.read().split()
    assert rest[-1] == "interrupted"
    assert {path.stem for path in tmp_path.glob("*.begun")} == {path.stem for path in tmp_path.glob("*.done")}
    assert len(list(tmp_path.glob("*.done"))) < 20


def test_no_semaphores_are_needed(tmp_path: Path) -> None:
    """A container's /dev/shm may be read-only or a few kilobytes; `multiprocessing`'s queues would fail there."""
    probe = subprocess.run(["unshare", "-Urm", "true"], capture_output=True, check=False)
    if probe.returncode:
        pytest.skip("needs user and mount namespaces")
    script = tmp_path / "script.py"
    script.write_text("from buril.core.workers import each\nprint(sorted(each(abs, [-3, -2, -1], 2, stage='toy')))\n")
    commands = f"mount -t tmpfs -o ro,size=4k none /dev/shm; exec {sys.executable} {script}"
    done = subprocess.run(
        ["unshare", "-Urm", "sh", "-ec", commands], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.stdout.strip() == "[1, 2, 3]", done.stderr


def test_shards_have_names() -> None:
    class Shard(NamedTuple):
        shard: Path

    assert shard_of(Shard(Path("rows/00007.parquet")), 1) == "00007.parquet"
    assert shard_of(Job(4, Path("x")), 1) == "00004"
    assert shard_of("plain", 1) == "00001"


def test_temporary_names_never_meet(tmp_path: Path) -> None:
    """Two machines that share a store may have processes of the same number."""
    with atomic(tmp_path / "a") as first, atomic(tmp_path / "a") as second:
        assert first != second
        first.write_text("1")
        second.write_text("2")
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"cpu.max": "150000 100000"}, 1),
        ({"cpu.max": "max 100000"}, None),
        ({"cpu.max": "50000 100000"}, 1),
        ({"cpu/cpu.cfs_quota_us": "-1"}, None),
        ({}, None),
    ],
)
def test_processors_are_those_of_the_control_group(tmp_path: Path, files: dict[str, str], expected: int | None) -> None:
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text + "\n")
    assert cpus(tmp_path) == (expected or len(os.sched_getaffinity(0)))


def test_memory_is_that_of_the_control_group_less_what_is_held(tmp_path: Path) -> None:
    (tmp_path / "memory.max").write_text("2000000000\n")
    (tmp_path / "memory.current").write_text("1500000000\n")
    (tmp_path / "memory.stat").write_text("anon 1\ninactive_file 600000000\nactive_file 100000000\n")
    total, free = memory_mb(tmp_path)
    assert total == 2000
    assert free == pytest.approx(min(1200, free))
    (tmp_path / "memory.max").write_text("max\n")
    assert memory_mb(tmp_path)[0] > 2000 or memory_mb(tmp_path)[0] == memory_mb()[0]


def test_no_more_workers_than_memory_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    chosen = Processes(Processes.Settings(worker_mb=500))
    monkeypatch.setattr("buril.engines.processes.cpus", lambda: 64)
    for free, count in ((10_000.0, 20), (900.0, 1), (100.0, 1), (0.0, 64), (10**6, 64)):
        monkeypatch.setattr("buril.engines.processes.memory_mb", lambda free=free: (free, free))
        assert chosen.count() == count
