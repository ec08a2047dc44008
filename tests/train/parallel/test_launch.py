"""Starting processes, watching them, and what happens when one is lost."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from buril.core.artifact import Artifact
from buril.core.errors import BurilError
from buril.core.events import EventLog, read_events
from buril.core.stage import Output
from buril.train.parallel import launch as launching
from buril.train.parallel.job import Job
from buril.train.parallel.settings import Parallel
from buril.train.parallel.world import follows, joined, started_by_others, world
from buril.train.stage import Train
from buril.train.state import Stored, write_tensors

pytestmark = pytest.mark.slow

REPO = Path(__file__).resolve().parents[3]


def train(inputs: dict[str, Artifact], folder: Path, processes: int, **told: Any) -> list[dict[str, float]]:
    settings = Train.Settings(
        method="full", batch_size=4, max_steps=24, epochs=10, eval_every=8, precision="fp32", device="cpu", threads=1,
        learning_rate=3e-3, micro_batch_tokens=96, checkpoint_every_s=0, parallel={"processes": processes, **told},
    )  # fmt: skip
    Train(settings).run(inputs, Output(folder, EventLog(folder.parent / "events.jsonl"), "train"))
    found: list[dict[str, float]] = json.loads((folder / "curve.json").read_text())
    return found


def at_step(events: Path, step: int, do: Callable[[], None]) -> threading.Thread:
    """Do something when a step has been told."""

    def watch() -> None:
        until = time.monotonic() + 120
        while time.monotonic() < until:
            if any(event["kind"] == "metric" and event.get("step", 0) >= step for event in read_events(events)):
                do()
                return
            time.sleep(0.02)

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    return thread


def ranks(folder: Path) -> list[int]:
    """The processes that train in a folder, by their number among them."""
    found = {}
    for entry in Path("/proc").iterdir():
        try:
            line = (entry / "cmdline").read_bytes().decode().split("\0") if entry.name.isdigit() else []
            if "buril.train.parallel.rank" in line and str(folder) in line[-2]:
                told = dict(item.split("=", 1) for item in (entry / "environ").read_text().split("\0") if "=" in item)
                found[int(told["RANK"])] = int(entry.name)
        except (OSError, IndexError):
            continue
    return [found[rank] for rank in sorted(found)]


def test_a_lost_process_and_a_ctrl_c_cost_a_step_at_most(inputs: dict[str, Artifact], tmp_path: Path) -> None:
    events, folder = tmp_path / "events.jsonl", tmp_path / "made"
    at_step(events, 5, lambda: os.kill(ranks(folder)[1], signal.SIGKILL))
    with pytest.raises(BurilError) as caught:
        train(inputs, folder, 2, shard="weights")
    assert (caught.value.code, caught.value.values["rank"], caught.value.values["problem"]) == ("T160", 1, "SIGKILL")
    saved = launching.last_step(folder / ".scratch/checkpoints")
    assert saved >= 4 and f"after step {saved}" in caught.value.hint
    assert ranks(folder) == []

    at_step(events, saved + 4, lambda: os.kill(os.getpid(), signal.SIGINT))
    with pytest.raises(KeyboardInterrupt):
        train(inputs, folder, 2)  # whole models now: a checkpoint is whole however it was trained
    assert saved + 4 <= launching.last_step(folder / ".scratch/checkpoints") < 24
    assert ranks(folder) == []

    found = train(inputs, folder, 1)
    (tmp_path / "other").mkdir()
    wanted = train(inputs, tmp_path / "other/alone", 1)
    assert len(found) == len(wanted)
    assert all(ours == pytest.approx(theirs, rel=1e-4) for ours, theirs in zip(found, wanted, strict=True))


TORCHRUN = """
import json, sys
from pathlib import Path
from buril.core.events import EventLog
from buril.core.stage import Output
from buril.train.parallel import world
from buril.train.stage import Train
from tests.train.small import inputs

root = Path(sys.argv[1])
settings = Train.Settings(method="lora", batch_size=4, max_steps=2, precision="fp32", device="cpu", threads=1,
                          micro_batch_tokens=96, parallel={"shard": "weights"})
if world.follows():
    world.follow()
else:
    with world.joined():
        for name in ("one", "two"):
            given = inputs(root / name / "in")
            print(Train(settings).run(given, Output(root / name / "out", EventLog(root / "events"), "train"))["steps"])
"""


def test_torchrun_starts_the_processes_as_well(tmp_path: Path) -> None:
    script = tmp_path / "train.py"
    script.write_text(TORCHRUN)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", str(script)]
    told = {**os.environ, "PYTHONPATH": f"{REPO / 'src'}:{REPO}", "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}
    done = subprocess.run([*command, str(tmp_path)], capture_output=True, text=True, timeout=240, env=told, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.split() == ["2", "2"]
    assert (tmp_path / "two/out/adapter/adapter_model.safetensors").exists()
    assert json.loads((tmp_path / "two/out/logs/machine.json").read_text())["processes"] == 2


def test_processes_end_with_the_one_that_started_them(tmp_path: Path) -> None:
    child = "from buril.train.parallel.rank import end_with_parent as e; e(); print('on', flush=True); input()"
    parent = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}])"
    with subprocess.Popen([sys.executable, "-c", parent], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"on\n"
        process.kill()
        assert process.stdout.read() == b""  # the pipe ends when its last holder has died; the child waits for input


def test_an_error_of_a_neighbour_is_not_taken_for_the_cause(tmp_path: Path, inputs: dict[str, Artifact]) -> None:
    job = Job.of(Train.Settings(), inputs, Output(tmp_path / "made", EventLog(tmp_path / "events"), "train"))
    job.scratch.mkdir(parents=True)
    job.log(0).write_text("Traceback\nRuntimeError: Connection closed by peer\n")
    with pytest.raises(BurilError) as caught:
        launching._say(job, [1, -11])
    assert (caught.value.values["rank"], caught.value.values["problem"]) == (1, "SIGSEGV")
    with pytest.raises(BurilError) as caught:
        launching._say(job, [1, 0])
    assert caught.value.values["problem"] == "RuntimeError: Connection closed by peer"
    job.failure(1).write_text(json.dumps({"code": "T162", "values": {"feature": "dora", "other": "tensor"}}))
    with pytest.raises(BurilError) as caught:
        launching._say(job, [1, 1])
    assert caught.value.code == "T162" and "dora" in caught.value.cause


def test_a_job_is_text_and_comes_back_whole(tmp_path: Path, inputs: dict[str, Artifact]) -> None:
    settings = Train.Settings(method={"lora": {"rank": 4}}, parallel={"processes": 2, "shard": "weights"})
    job = Job.of(settings, inputs, Output(tmp_path / "made", EventLog(tmp_path / "events"), "train"))
    again = Job.parse(job.text())
    assert again.told() == settings
    assert {name: item.digest for name, item in again.artifacts().items()} == {
        name: item.digest for name, item in inputs.items()
    }
    gone = Job.parse(job.text().replace(str(tmp_path), "/nowhere"))
    with pytest.raises(BurilError) as caught:
        gone.artifacts()
    assert caught.value.code == "T163"


def test_what_starts_processes_is_told_by_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.delenv(name, raising=False)
    assert not started_by_others() and not follows()
    with joined():
        assert world() is None
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert started_by_others() and follows()
    with pytest.raises(BurilError) as caught, joined():
        pass
    assert caught.value.code == "T165" and "MASTER_ADDR" in caught.value.cause


def test_a_process_without_a_gpu_of_its_own_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    from buril.train.parallel.group import device_of

    monkeypatch.setenv("LOCAL_RANK", "1")
    assert device_of("cpu").type == "cpu"
    with pytest.raises(BurilError) as caught:
        device_of("cuda")
    assert caught.value.code == "T164"


def test_settings_and_threads() -> None:
    told = Train.Settings(parallel=8)
    assert told.parallel == Parallel(processes=8) and told.parallel.shard == "none"
    assert "parallel" not in told.identity()
    assert launching.threads_of(8, 4) == 2 and launching.threads_of(1, 4) == 1
    assert launching.threads_of(0, 1) == len(os.sched_getaffinity(0))


def test_stored_tensors_are_read_one_by_one_and_a_cut_file_is_refused(tmp_path: Path) -> None:
    import torch
    from safetensors import SafetensorError

    path = tmp_path / "a.safetensors"
    write_tensors(path, {"b": torch.ones(3), "a": torch.arange(2)})
    stored = Stored(path)
    assert list(stored) == ["a", "b"] and len(stored) == 2
    path.unlink()  # what is open stays readable
    stored["b"].add_(1)
    assert stored["b"].tolist() == [1.0, 1.0, 1.0]
    write_tensors(path, {"b": torch.ones(300)})
    path.write_bytes(path.read_bytes()[:-4])
    with pytest.raises(SafetensorError):
        Stored(path)
