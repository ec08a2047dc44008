"""Collect, dedup and prepare through killed workers and drivers, and as the parts of an index array: the same bytes."""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from buril.chain import Chain
from buril.core.errors import BurilError
from buril.core.events import read_events
from buril.core.store import Store
from buril.core.workers import LISTS, using
from buril.data.steps.language import Language
from buril.engines.array import Array, Part, part_of
from tests.data.made import stdlib

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
STAGES = ("collect", "dedup", "prepare")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Real code of one repository, near copies among it, in nine shards."""
    path = tmp_path_factory.mktemp("chain")
    (path / "code").mkdir()
    for name, text in stdlib(24, most=12_000):
        (path / "code" / name).write_text(text + "# ask ana@acme-corp.com\n", encoding="utf-8")
        (path / "code" / f"copy_{name}").write_text("# a copy\n" + text, encoding="utf-8")
    size = sum(item.stat().st_size for item in (path / "code").iterdir())
    (path / "buril.yaml").write_text(
        f"collect: {{sources: [{{folder: {{path: code, license: mit}}}}], shard_bytes: {size // 8}, workers: 2}}\n"
        "dedup: {}\nprepare: {workers: 2}\n"
    )
    return path


@pytest.fixture(scope="module")
def expected(folder: Path) -> dict[str, str]:
    return digests(chain(folder).run(Store(folder / "expected")).artifacts)


def digests(artifacts: Any) -> dict[str, str]:
    return {name: artifact.digest for name, artifact in artifacts.items()}


def chain(folder: Path) -> Chain:
    return Chain.from_yaml(folder / "buril.yaml")


def store_with(folder: Path, tmp_path: Path, *stages: str) -> Path:
    """A new store that has these stages made."""
    for stage in stages:
        shutil.copytree(folder / "expected" / stage, tmp_path / "store" / stage)
    return tmp_path / "store"


def buril(folder: Path, store: Path, *words: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "buril.cli.main", "run", *words, "--json", "--no-report"]
    return subprocess.Popen(
        [*command, "-c", str(folder / "buril.yaml"), "--store", str(store)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def end(process: subprocess.Popen[str]) -> dict[str, Any]:
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    told: dict[str, Any] = json.loads(out)
    return told


def made(told: dict[str, Any]) -> dict[str, str]:
    return {name: stage["digest"] for name, stage in told["stages"].items()}


def until(holds: Callable[[], object], process: subprocess.Popen[str] | None = None) -> None:
    deadline = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < deadline
        assert process is None or process.poll() is None, "it ended too early to be killed"
        time.sleep(0.002)


def children_of(pid: int) -> list[int]:
    try:
        tasks = list(Path(f"/proc/{pid}/task").iterdir())
        return [int(word) for task in tasks for word in (task / "children").read_text().split()]
    except OSError:
        return []


# --- this machine


@pytest.mark.parametrize("stage", STAGES)
def test_a_killed_worker_does_not_end_the_run(
    folder: Path, tmp_path: Path, expected: dict[str, str], stage: str
) -> None:
    """Real processes, real SIGKILL, at whatever the worker is doing then."""
    store = store_with(folder, tmp_path, *STAGES[: STAGES.index(stage)])
    process = buril(folder, store, stage)
    until(lambda: len(children_of(process.pid)) == 2, process)
    os.kill(children_of(process.pid)[0], signal.SIGKILL)
    assert made(end(process))[stage] == expected[stage]
    log = max((store / "runs").glob("*/events.jsonl"))
    warnings = [event["text"] for event in read_events(log) if event["kind"] == "warning"]
    assert len([text for text in warnings if "SIGKILL" in text]) == 1


RESULTS = {"collect": "rows/[0-9]*", "dedup": ".scratch/near/[0-9]*", "prepare": "rows/[0-9]*"}


@pytest.mark.parametrize("stage", STAGES)
def test_a_killed_driver_leaves_no_process_and_resumes(
    folder: Path, tmp_path: Path, expected: dict[str, str], stage: str
) -> None:
    store = store_with(folder, tmp_path, *STAGES[: STAGES.index(stage)])
    process = buril(folder, store, stage)
    until(lambda: list(store.glob(f"{stage}/.*.partial/{RESULTS[stage]}")), process)
    process.kill()
    process.communicate()
    until(lambda: alive(process.pid) == 0)
    kept = {path.name: path.stat().st_mtime_ns for path in store.glob(f"{stage}/.*.partial/{RESULTS[stage]}")}
    assert digests(chain(folder).run(Store(store), stage).artifacts)[stage] == expected[stage]
    for name, stamp in kept.items():
        if stage != "dedup":  # whose results are scratch, and gone
            assert next(store.glob(f"{stage}/[0-9a-f]*/rows/{name}")).stat().st_mtime_ns == stamp


def alive(group: int) -> int:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return 0
    return 1


# --- an index array


def test_three_parts_make_what_one_run_makes(folder: Path, tmp_path: Path, expected: dict[str, str]) -> None:
    """The whole chain by three processes at once; each shard is done once, each artifact appears once."""
    parts = [buril(folder, tmp_path / "store", "--shard", f"{number}/3") for number in range(3)]
    told = [end(process) for process in parts]
    assert all(made(item) == expected for item in told)
    for stage in STAGES:
        assert sum(not item["stages"][stage]["reused"] for item in told) == 1, "one of the parts finished it"
        assert [path.name for path in (tmp_path / "store" / stage).iterdir() if ".lock" not in path.name] == [
            path.name for path in (folder / "expected" / stage).iterdir() if ".lock" not in path.name
        ]


def test_a_part_that_is_killed_and_run_again(folder: Path, tmp_path: Path, expected: dict[str, str]) -> None:
    store = store_with(folder, tmp_path, "collect", "dedup")
    parts = [buril(folder, store, "prepare", "--shard", f"{number}/3") for number in range(3)]
    until(lambda: list(store.glob(f"prepare/.*.partial/{LISTS}/done.jsonl")))
    parts[1].kill()
    parts[1].communicate()
    until(lambda: alive(parts[1].pid) == 0)
    again = buril(folder, store, "prepare", "--shard", "1/3")
    assert [made(end(process))["prepare"] for process in (parts[0], again, parts[2])] == [expected["prepare"]] * 3


def member(shard: str, wait_s: float = 0.0) -> Array:
    return Array(Array.Settings(shard=shard, wait_s=wait_s))


def parts(folder: Path, store: Path, *shards: str, stage: str = "prepare") -> Iterator[Any]:
    for shard in shards:
        yield chain(folder).set("engine", {"array": {"shard": shard, "wait_s": 0.0}}).run(Store(store), stage)


def test_parts_one_after_another_leave_the_rest_to_a_merge(
    folder: Path, tmp_path: Path, expected: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """No part waits: each ends with its own jobs done. What they did is not done again."""
    store = store_with(folder, tmp_path, "collect", "dedup")
    first, second = parts(folder, store, "0/3", "1/3")
    assert first.unfinished.stage == second.unfinished.stage == "prepare"
    assert 0 < second.unfinished.num_left < first.unfinished.num_left
    (done,) = store.glob(f"prepare/.*.partial/{LISTS}/done.jsonl")
    before = [json.loads(line)[0] for line in done.read_text().splitlines()]
    assert len(before) == len(set(before))
    (run,) = parts(folder, store, "merge")
    assert run.unfinished is None
    assert digests(run.artifacts)["prepare"] == expected["prepare"]
    assert not list(store.glob("prepare/.*.partial"))


def test_a_plain_run_finishes_what_parts_began(folder: Path, tmp_path: Path, expected: dict[str, str]) -> None:
    """Before and after: what the parts wrote whole stays as it is; a list is void once another engine went on."""
    store = store_with(folder, tmp_path, "collect")
    (part,) = parts(folder, store, "1/2", stage="dedup")
    assert part.unfinished.stage == "dedup"
    assert digests(chain(folder).run(Store(store)).artifacts) == expected


def test_the_last_part_goes_on_alone(folder: Path, tmp_path: Path, expected: dict[str, str]) -> None:
    store = store_with(folder, tmp_path, "collect")
    for _round in range(4):  # dedup asks for work on shards twice: as many rounds as it has steps, and none more
        runs = list(parts(folder, store, "0/2", "1/2", stage="dedup"))
        if runs[-1].unfinished is None:
            break
    assert digests(runs[-1].artifacts)["dedup"] == expected["dedup"]


def test_parts_of_other_software_are_refused(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = store_with(folder, tmp_path, "collect", "dedup")
    list(parts(folder, store, "0/3"))
    monkeypatch.setattr("buril.engines._lists.software", lambda: {"buril": "9.9"})
    with pytest.raises(BurilError, match="S028") as refused:
        list(parts(folder, store, "1/3"))
    assert "buril 9.9 here" in refused.value.cause


def test_a_record_cut_short_by_a_crash_costs_one_job(folder: Path, tmp_path: Path, expected: dict[str, str]) -> None:
    store = store_with(folder, tmp_path, "collect", "dedup")
    list(parts(folder, store, "0/2"))
    (done,) = store.glob(f"prepare/.*.partial/{LISTS}/done.jsonl")
    done.write_bytes(done.read_bytes()[:-5])
    runs = list(parts(folder, store, "1/2", "0/2", "1/2"))  # the cut job is part 0's; then comes the second step
    assert [bool(run.unfinished) for run in runs] == [True, True, False]
    assert digests(runs[-1].artifacts)["prepare"] == expected["prepare"]


def test_a_worker_that_dies_in_a_part_is_told(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("torch", "ray"):  # with these, workers are spawned: the fault stays here
        monkeypatch.delitem(sys.modules, name, raising=False)
    store = store_with(folder, tmp_path, "collect", "dedup")
    monkeypatch.setattr(Language, "apply", lambda *_: os.kill(os.getpid(), signal.SIGKILL))
    with pytest.raises(BurilError, match="S009"):
        list(parts(folder, store, "0/2"))


def test_a_file_system_without_locks_is_a_coded_error(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr("fcntl.flock", refuse)
    with pytest.raises(BurilError, match="S020"):
        chain(folder).run(Store(tmp_path / "store"))


def test_work_that_can_not_be_written_down_is_a_coded_error(output: Callable[..., Any]) -> None:
    with using(member("0/2")) as chosen, pytest.raises(BurilError, match="S027") as refused:
        chosen.begin(output("toy"))
        list(chosen.each(print, [object(), object()], 1, stage="toy"))
    assert "toy" in refused.value.cause


@pytest.mark.parametrize(
    ("shard", "environment", "part"),
    [
        ("0/1", {}, Part(0, 1)),
        ("7/8", {}, Part(7, 8)),
        ("merge", {}, None),
        ("auto", {"JOB_COMPLETION_INDEX": "2", "BURIL_SHARDS": "8"}, Part(2, 8)),
        ("auto", {"SLURM_ARRAY_TASK_ID": "3", "SLURM_ARRAY_TASK_COUNT": "4"}, Part(3, 4)),
        (
            "auto",
            {
                "SLURM_ARRAY_TASK_ID": "9",
                "SLURM_ARRAY_TASK_COUNT": "4",
                "SLURM_ARRAY_TASK_MIN": "3",
                "SLURM_ARRAY_TASK_STEP": "2",
            },
            Part(3, 4),
        ),
        ("auto", {"SLURM_ARRAY_TASK_ID": "5", "SLURM_ARRAY_TASK_COUNT": "1", "BURIL_SHARDS": "8"}, Part(5, 8)),
    ],
)
def test_parts_have_numbers(shard: str, environment: dict[str, str], part: Part | None) -> None:
    assert part_of(shard, environment) == part


@pytest.mark.parametrize(
    ("shard", "environment", "code"),
    [
        ("3/3", {}, "S025"),
        ("-1/3", {}, "S025"),
        ("a/b", {}, "S025"),
        ("", {}, "S025"),
        ("0/0", {}, "S025"),
        ("auto", {}, "S026"),
        ("auto", {"JOB_COMPLETION_INDEX": "2"}, "S026"),
        ("auto", {"JOB_COMPLETION_INDEX": "2", "BURIL_SHARDS": "2"}, "S025"),
    ],
)
def test_what_is_no_part_is_refused(shard: str, environment: dict[str, str], code: str) -> None:
    with pytest.raises(BurilError, match=code):
        part_of(shard, environment)


def test_shard_is_for_an_array(folder: Path, tmp_path: Path) -> None:
    process = buril(folder, tmp_path / "store", "--engine", "ray", "--shard", "0/2")
    _out, err = process.communicate(timeout=60)
    assert process.returncode == 2
    assert "S029" in err


def test_the_engine_is_no_part_of_an_identity(folder: Path) -> None:
    plan = chain(folder).set("engine", {"array": {"shard": "0/2"}}).plan(Store(folder / "expected", make=False))
    assert [step.action for step in plan] == ["reuse"] * 3
