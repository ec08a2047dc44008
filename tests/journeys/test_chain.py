"""The whole chain as a person runs it: a tiny model from nothing, on small repositories, through the command line."""

from __future__ import annotations

import json
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from .person import BURIL, YAML, buril, project

pytestmark = pytest.mark.slow

STAGES = ["collect", "dedup", "prepare", "select", "split", "tokenizer", "base", "pack", "train", "evaluate"]


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run; tests that change it take a copy."""
    folder = project(tmp_path_factory.mktemp("done"))
    answer = buril("run", cwd=folder)
    assert answer.code == 0, answer.err
    return folder


def digests(folder: Path) -> dict[str, str]:
    ref = json.loads((folder / ".buril" / "refs" / "tiny@latest.json").read_text())
    return {stage: link["digest"] for stage, link in ref["stages"].items()}


def actions(folder: Path, *words: str) -> dict[str, str]:
    plan = json.loads(buril("plan", "--json", *words, cwd=folder).out)
    return {step["stage"]: step["action"] for step in plan["stages"]}


def run_json(folder: Path, *words: str) -> dict[str, Any]:
    answer = buril("run", "--json", *words, cwd=folder)
    assert answer.code == 0, answer.err
    found: dict[str, Any] = json.loads(answer.out)
    return found


def test_the_same_run_twice_is_all_reuse(done: Path) -> None:
    assert set(actions(done).values()) == {"reuse"}
    answer = buril("run", cwd=done)
    assert answer.code == 0
    assert answer.err.count("reused") >= len(STAGES)


def test_one_changed_knob_reruns_only_what_depends_on_it(done: Path) -> None:
    found = actions(done, "--set", "train.max_steps=7")
    assert found["pack"] == "reuse"
    assert found["train"] == "run"
    assert found["evaluate"] == "wait"
    found = actions(done, "--set", "dedup.threshold=0.8")
    assert found["collect"] == "reuse"
    assert found["dedup"] == "run"
    assert found["train"] == "wait"


def test_a_changed_knob_with_the_same_bytes_leaves_training_reused(done: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(done, tmp_path / "copy", symlinks=True))
    yaml = (folder / "buril.yaml").read_text().replace("path: repos", f"path: {done}/repos")
    (folder / "buril.yaml").write_text(yaml)
    found = run_json(folder, "--set", "dedup.threshold=0.75")
    assert not found["stages"]["dedup"]["reused"]
    assert found["stages"]["train"]["reused"], "the same files were kept: the early cut-off spares the training"


def test_every_look_at_a_run_answers_and_says_what_next(done: Path) -> None:
    sequence = ("show", "pack", "--sequence", "0")
    looks = (
        ("status",),
        ("show", "train"),
        sequence,
        ("trace", "model"),
        ("why", "src/m00.py"),
        ("report",),
        ("plan",),
    )
    for words in looks:
        answer = buril(*words, cwd=done)
        assert answer.code == 0, answer.err
        assert "next: " in answer.err, words
        if words != ("report",):
            assert json.loads(buril(*words, "--json", cwd=done).out), words
    assert "<html" in (done / "report.html").read_text()
    assert "T121" in buril("show", "pack", "--sequence", "9999", cwd=done).err
    assert "T121" in buril("show", "train", "--sequence", "0", cwd=done).err


def test_why_tells_the_story_of_a_kept_and_a_dropped_file(done: Path) -> None:
    kept = json.loads(buril("why", "src/m00.py", "--json", cwd=done).out)[0]
    assert kept["kept"]
    assert kept["part"] in ("train", "valid", "test")
    assert [moment[0] for moment in kept["moments"]][0] == "collect"
    dropped = json.loads(buril("why", "LICENSE", "--json", cwd=done).out)
    assert all(not story["kept"] for story in dropped)


def test_trace_walks_both_ways(done: Path) -> None:
    model = json.loads(buril("trace", "model", "--json", cwd=done).out)
    assert model["learnt_from"]["licenses"] == {"MIT": model["learnt_from"]["files"]}
    stages, todo = set(), [model["graph"]]
    while todo:
        node = todo.pop()
        stages.add(node["stage"])
        todo += node["inputs"]
    assert {"train", "pack", "split", "prepare", "collect", "tokenizer", "base"} <= stages
    assert model["learnt_from"]["source"] == "train", "counted is what the kept weights had read, not what was offered"
    seen = pq.read_table(next((done / ".buril" / "train").glob("[!.]*/seen.parquet"))).to_pylist()
    assert len(seen) == model["learnt_from"]["files"]
    file = json.loads(buril("trace", seen[0]["row_id"], "--json", cwd=done).out)["files"][0]
    assert file["part"] == "train"
    assert file["models"][0]["tokens"] == seen[0]["tokens"]
    assert file["models"][0]["digest"] == model["graph"]["digest"]


def test_a_completion_can_be_traced(done: Path) -> None:
    answer = buril("complete", "--prompt", "def total(", "--max-tokens", "4", cwd=done)
    assert answer.code == 0, answer.err
    found = re.search(r"buril trace ([0-9a-f]{12})", answer.err)
    assert found, answer.err
    traced = json.loads(buril("trace", found[1], "--json", cwd=done).out)
    assert traced["completion"]["id"] == found[1]
    assert traced["learnt_from"]["files"] > 0
    assert "def total(" not in json.dumps(traced["completion"]), "the prompt is not kept unless asked"


def test_diff_of_two_runs_says_what_changed(done: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(done, tmp_path / "copy", symlinks=True))
    found = run_json(folder, "--set", "split.seed=9", "--until", "split")
    first = next(path.stem for path in sorted((folder / ".buril" / "refs").glob("tiny@2*.json")))
    answer = json.loads(buril("diff", first, f"tiny@{found['run']}", "--json", cwd=folder).out)
    split = next(item for item in answer if item["stage"] == "split")
    assert ["seed", 3, 9] in split["identity"]
    assert next(item for item in answer if item["stage"] == "train")["only"] == "a"


def test_gc_frees_what_nothing_needs(done: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(done, tmp_path / "copy", symlinks=True))
    for seed in (11, 12, 13, 14):
        run_json(folder, "--set", f"split.seed={seed}", "--until", "split", "--no-report")
    dry = json.loads(buril("gc", "--keep", "1", "--dry-run", "--json", cwd=folder).out)
    assert any(path.startswith("split/") for path in dry["removed"])
    assert json.loads(buril("gc", "--keep", "1", "--json", cwd=folder).out)["bytes"] > 0
    assert json.loads(buril("gc", "--keep", "1", "--dry-run", "--json", cwd=folder).out)["removed"] == []


def test_a_missed_gate_ends_with_three_and_keeps_the_model(done: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(done, tmp_path / "copy", symlinks=True))
    text = (folder / "buril.yaml").read_text() + '  gate: {perplexity.tuned: "<= 1.01"}\n'
    (folder / "buril.yaml").write_text(text)
    answer = buril("run", cwd=folder)
    assert answer.code == 3, answer.err
    assert "error[E002]" in answer.err
    assert (folder / "report.html").exists()
    assert buril("trace", "model", cwd=folder).code == 0


def test_a_run_speaks_spanish(done: Path) -> None:
    answer = buril("run", cwd=done, lang="es_AR")
    assert "listo en" in answer.err
    assert "informe: " in answer.err
    assert "siguiente: " in answer.err
    assert '<html lang="es"' in (done / "report.html").read_text()
    assert buril("--lang", "en", "run", cwd=done, lang="es_AR").err.count("done in") == 1


def kill_during(folder: Path, stage: str) -> bool:
    """Start a run and kill it with SIGKILL as soon as the stage has begun to write; True when it was caught at work."""
    process = subprocess.Popen(
        [*BURIL, "run", "--no-report"],
        cwd=folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    caught = False
    while process.poll() is None:
        if list((folder / ".buril" / stage).glob(".*.partial/*")) or list(
            (folder / ".buril" / stage).glob(".*.partial/.scratch/*")
        ):
            caught = True
            break
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()
    return caught


@pytest.mark.parametrize("stage", ["dedup", "prepare", "train"])
def test_kill_9_then_run_gives_the_bytes_of_an_uninterrupted_run(done: Path, tmp_path: Path, stage: str) -> None:
    (tmp_path / "buril.yaml").write_text(YAML.replace("path: repos", f"path: {done}/repos"))
    caught = kill_during(tmp_path, stage)
    assert caught, f"{stage} was over before it could be killed"
    answer = buril("run", "--no-report", cwd=tmp_path)
    assert answer.code == 0, answer.err
    assert digests(tmp_path) == digests(done)
    assert not list((tmp_path / ".buril").rglob("*.tmp"))


def test_ctrl_c_says_how_to_go_on(done: Path, tmp_path: Path) -> None:
    (tmp_path / "buril.yaml").write_text(YAML.replace("path: repos", f"path: {done}/repos"))
    # the command itself: under `-m` CPython ends by the signal, not by the code, where it passed through code from a string
    command = [str(Path(sys.executable).with_name("buril")), "run"]
    process = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    while not (tmp_path / ".buril" / "train").exists():
        assert process.poll() is None
        time.sleep(0.02)
    time.sleep(1.5)
    process.send_signal(signal.SIGINT)
    _out, err = process.communicate(timeout=60)
    if process.returncode == 0:
        pytest.skip("the machine was too fast: the run was over before the signal")
    assert process.returncode == 130, err
    assert "Traceback" not in err
    assert "buril run" in err
    assert buril("run", "--no-report", cwd=tmp_path).code == 0
    assert digests(tmp_path) == digests(done)
