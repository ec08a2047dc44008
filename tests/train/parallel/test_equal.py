"""Several processes train what one would: the same losses, norms and weights, but for rounding."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file

from buril.core.artifact import Artifact
from buril.core.events import EventLog, read_events
from buril.core.stage import Output
from buril.train.parallel.job import Job
from buril.train.stage import Train
from tests.train import fresh
from tests.train.parallel import ranks
from tests.train.small import inputs as make_inputs

pytestmark = pytest.mark.slow

PLAIN = {
    "batch_size": 5, "max_steps": 4, "eval_every": 2, "precision": "fp32", "learning_rate": 3e-3,
    "micro_batch_tokens": 96, "device": "cpu", "threads": 1,
}  # fmt: skip
TWO = {
    "data": {"method": "full"},
    "gradients": {"method": "full", "ema": 0.5, "optimizer": "muon"},
    "weights": {"method": "lora", "checkpoint_layers": 1},
    "new-tokens": {"method": "lora", "inputs": "added"},
    "tensor": {"method": "lora", "inputs": "added"},
    "tensor-full": {"method": "full", "clip": 0.1},
    "half": {"method": "full", "precision": "fp16"},
    "samples": {"method": {"lora": {"dora": True}}, "sample_completions": 2},
}
PARALLEL = {
    "data": {}, "gradients": {"shard": "gradients"}, "weights": {"shard": "weights"},
    "new-tokens": {"shard": "weights"}, "tensor": {"tensor": 2}, "tensor-full": {"tensor": 2}, "half": {},
    "samples": {"shard": "weights"},
}  # fmt: skip
REFUSED = {
    "qlora": ("T162", {"method": "qlora"}, {"shard": "weights"}),
    "fp16": ("T162", {"method": "full", "precision": "fp16"}, {"shard": "weights"}),
    "dora": ("T162", {"method": {"lora": {"dora": True}}}, {"tensor": 2}),
    "nan": ("T105", {"method": "full", "learning_rate": 1e30, "max_steps": 8}, {"shard": "weights"}),
}


def settings(told: dict[str, Any], parallel: dict[str, Any], size: int) -> Any:
    given = {name: value for name, value in told.items() if name != "inputs"}
    return Train.Settings(**{**PLAIN, **given}, parallel={"processes": size, **parallel})


@dataclass
class Done:
    """What trainings by several processes left, by name."""

    root: Path
    inputs: dict[str, dict[str, Artifact]]

    def told(self, name: str, rank: int = 0) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.root / name / f"told-{rank}.json").read_text())
        return found

    def curve(self, name: str) -> list[dict[str, float]]:
        assert "metrics" in self.told(name), self.told(name).get("trace", self.told(name))
        found: list[dict[str, float]] = json.loads((self.root / name / "curve.json").read_text())
        return found


def together(root: Path, inputs: dict[str, dict[str, Artifact]], jobs: dict[str, Any], size: int) -> Done:
    """Train every job with the same few processes."""
    for name, (told, parallel) in jobs.items():
        out = Output(root / name, EventLog(root / name / "events.jsonl"), "train")
        job = Job.of(settings(told, parallel, size), inputs[told.get("inputs", "plain")], out)
        job.scratch.mkdir(parents=True)
        (root / name / "job.json").write_text(job.text())
    world = {"WORLD_SIZE": str(size), "LOCAL_WORLD_SIZE": str(size), "GLOO_SOCKET_IFNAME": "lo"}
    folders = [str(root / name) for name in jobs]
    processes = [
        fresh.start(ranks.main, folders, log=root / f"rank-{rank}.log",
                    environment={**world, "RANK": str(rank), "LOCAL_RANK": str(rank)})
        for rank in range(size)
    ]  # fmt: skip
    try:
        for process in processes:
            process.join(timeout=400)
        codes = [process.exitcode for process in processes]
    finally:
        for process in processes:
            process.kill()
            process.join()
    assert codes == [0] * size, (root / "rank-0.log").read_text()[-3000:]
    return Done(root, inputs)


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Artifact]]:
    root = tmp_path_factory.mktemp("inputs")
    return {"plain": make_inputs(root / "plain"), "added": make_inputs(root / "added", added=True)}


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory, inputs: dict[str, dict[str, Artifact]]) -> Done:
    jobs = {name: (told, PARALLEL[name]) for name, told in TWO.items()}
    jobs |= {f"refused-{name}": (told, parallel) for name, (_code, told, parallel) in REFUSED.items()}
    return together(tmp_path_factory.mktemp("two"), inputs, jobs, 2)


def alone(folder: Path, told: dict[str, Any], inputs: dict[str, dict[str, Artifact]]) -> list[dict[str, float]]:
    out = Output(folder, EventLog(folder.with_suffix(".jsonl")), "train")
    Train(settings(told, {}, 1)).run(inputs[told.get("inputs", "plain")], out)
    found: list[dict[str, float]] = json.loads((folder / "curve.json").read_text())
    return found


def check_equal(done: Done, name: str, told: dict[str, Any], folder: Path) -> None:
    wanted, found = alone(folder, told, done.inputs), done.curve(name)
    assert len(found) == len(wanted)
    for ours, theirs in zip(found, wanted, strict=True):
        assert ours == pytest.approx(theirs, rel=2e-3 if told.get("precision") == "fp16" else 2e-5)
    weights = sorted(
        path.relative_to(folder) for path in folder.rglob("*.safetensors") if "checkpoints" not in path.parts
    )
    assert len(weights) == 1
    ours, theirs = load_file(done.root / name / weights[0]), load_file(folder / weights[0])
    assert ours.keys() == theirs.keys()
    for tensor, values in theirs.items():
        assert ours[tensor].dtype == values.dtype
        far = (ours[tensor].float() - values.float()).abs().max().item()
        assert far <= 2e-2 * values.float().abs().max().item() + 1e-6, tensor
    config = next(folder.glob("*/*config.json")).relative_to(folder)
    assert (done.root / name / config).read_text() == (folder / config).read_text()


@pytest.mark.parametrize("name", TWO)
def test_two_processes_train_what_one_would(two: Done, tmp_path: Path, name: str) -> None:
    check_equal(two, name, TWO[name], tmp_path / "alone")


def test_rows_seen_and_steps_told_are_those_of_the_whole_step(two: Done, tmp_path: Path) -> None:
    alone(tmp_path / "alone", TWO["data"], two.inputs)
    assert (two.root / "data/seen.parquet").read_bytes() == (tmp_path / "alone/seen.parquet").read_bytes()
    speed = [json.loads(line)["tokens"] for line in (two.root / "data/logs/speed.jsonl").read_text().splitlines()]
    plain = [json.loads(line)["tokens"] for line in (tmp_path / "alone/logs/speed.jsonl").read_text().splitlines()]
    assert speed == plain
    machine = json.loads((two.root / "data/logs/machine.json").read_text())
    assert (machine["processes"], machine["shard"], machine["tensor"]) == (2, "none", 1)


def test_only_the_leader_tells(two: Done) -> None:
    assert two.told("data", 1) == {"metrics": {}}
    events = read_events(two.root / "data/events.jsonl")
    steps = [event["step"] for event in events if event["kind"] == "metric" and "loss" in event]
    assert steps == [1, 2, 3, 4]


@pytest.mark.parametrize("name", REFUSED)
def test_all_processes_refuse_together(two: Done, name: str) -> None:
    code = REFUSED[name][0]
    assert [two.told(f"refused-{name}", rank).get("code") for rank in (0, 1)] == [code, code], two.told(
        f"refused-{name}"
    )


def test_numbers_that_are_none_are_said_with_their_rows(two: Done) -> None:
    told = json.loads((two.root / "refused-nan/logs/not_finite.json").read_text())
    assert told["module"].startswith("model.") and told["rows"]


def test_a_grid_of_four_trains_what_one_would(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, inputs: dict[str, dict[str, Artifact]]
) -> None:
    told = {"method": "full", "clip": 0.1}
    jobs = {"grid": (told, {"tensor": 2, "shard": "weights"}), "uneven": (told, {"tensor": 4})}
    done = together(tmp_path_factory.mktemp("four"), inputs, jobs, 4)
    check_equal(done, "grid", told, tmp_path / "alone")
    assert done.told("uneven")["code"] == "T161"  # two key-value heads
