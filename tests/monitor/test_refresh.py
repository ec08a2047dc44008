"""Refresh: what is promoted and what is not, the way back, and two at once, on a chain that trains for real."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from buril.core.artifact import Link
from buril.core.errors import BurilError
from buril.core.lock import hold
from buril.core.store import Store
from buril.monitor.champion import champion, promote, roll_back
from buril.train.trackers.mlflow import Mlflow
from tests.journeys.person import YAML, buril, module, project, repository

pytestmark = pytest.mark.slow

GATE = YAML + '  gate: {perplexity: "< 1e9"}\nmonitor: {rounds: 100}\n'


def links(name: str) -> dict[str, Link]:
    return {"train": Link("train", name * 64, name * 64)}


# --- the reference of what is served


def test_promotion_and_the_way_back(tmp_path: Path) -> None:
    store = Store(tmp_path)
    assert champion(store, "acme") == (None, None)
    with pytest.raises(BurilError) as told:
        roll_back(store, "acme")
    assert told.value.code == "V407"
    promote(store, "acme", "run-a", links("a"))
    promote(store, "acme", "run-a2", links("a"))
    assert champion(store, "acme")[1] is None, "the same model again is no promotion"
    promote(store, "acme", "run-b", links("b"))
    now, before = champion(store, "acme")
    assert now and before and (now.run, before.run) == ("run-b", "run-a2")
    assert roll_back(store, "acme").stages == links("a")
    assert store.refs()["acme@champion"] == links("a") and store.refs()["acme@previous"] == links("b")
    roll_back(store, "acme")
    assert store.refs()["acme@champion"] == links("b"), "twice is as if nothing had been"
    (path,) = (tmp_path / "refs").glob("*@champion.json")
    path.write_text("{")
    with pytest.raises(BurilError) as told:
        champion(store, "acme")
    assert told.value.code == "S002" and "acme@champion" not in store.refs()


def test_an_alias_is_no_run(tmp_path: Path) -> None:
    """The latest run stays the latest, and `gc` neither counts aliases as runs nor forgets what they name."""
    store = Store(tmp_path)
    store.set_ref("acme", links("c"), "20260101-000000-000001", finished=True)
    time.sleep(0.01)
    promote(store, "acme", "old", links("a"))
    promote(store, "acme", "new", links("b"))
    assert set(list(store.refs())[:2]) == {"acme@latest", "acme@20260101-000000-000001"}
    assert set(list(store.refs())[2:]) == {"acme@champion", "acme@previous"}
    assert not [path for path in store.garbage(keep_runs=1) if "@" in path.name]
    assert [path.stem for path in store.garbage(keep_runs=0)] == ["acme@20260101-000000-000001"]


# --- the command


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """A project after its first refresh, and what that told."""
    folder = project(tmp_path_factory.mktemp("done"), repos=4, modules=4)
    (folder / "buril.yaml").write_text(GATE)
    answer = buril("refresh", "--json", cwd=folder)
    assert answer.code == 0, answer.err
    return folder, json.loads(answer.out)


def copy(done: tuple[Path, dict[str, Any]], folder: Path) -> Path:
    return Path(shutil.copytree(done[0], folder / "copy", symlinks=True))


def served(folder: Path) -> tuple[str, str]:
    now, before = champion(Store(folder / ".buril"), "tiny")
    return now.stages["train"].digest if now else "", before.stages["train"].digest if before else ""


def test_the_first_refresh_promotes_and_tells(done: tuple[Path, dict[str, Any]]) -> None:
    folder, told = done
    assert told["promoted"] and told["before"] == "" and told["model"] == ["", served(folder)[0]]
    assert told["files"]["added"] > 0 and told["files"]["removed"] == told["files"]["same"] == 0
    before, now = told["metrics"]["perplexity.perplexity"]
    assert before is None and now["low"] <= now["value"] <= now["high"]
    assert json.loads((folder / ".buril" / "runs" / told["run"] / "refresh.json").read_text()) == told
    assert "monitor" in Store(folder / ".buril").refs()["tiny@champion"]


def test_what_is_new_is_promoted_what_is_not_is_reused_and_it_can_be_taken_back(
    done: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    folder = copy(done, tmp_path)
    first = served(folder)[0]
    same = json.loads(buril("refresh", "--json", cwd=folder).out)
    assert set(same["reused"]) >= {"train", "evaluate", "monitor", "pack"} and served(folder) == (first, "")
    repository(folder / "repos" / "repo9", {f"src/new{n}.py": module(f"novel{n}") for n in range(4)})
    answer = buril("refresh", cwd=folder)
    assert answer.code == 0, answer.err
    assert "files added" in answer.err
    assert "tiny@champion" in answer.err and "buril refresh --rollback" in answer.err and "→" in answer.err
    new = served(folder)
    assert new[1] == first != new[0]
    back = buril("refresh", "--rollback", cwd=folder)
    assert back.code == 0 and served(folder) == (first, new[0])
    found = json.loads(buril("show", "tiny@champion:train", "--json", cwd=folder).out)
    assert found["digest"] == first
    latest = json.loads(buril("show", "train", "--json", cwd=folder).out)
    assert latest["digest"] == new[0], "the latest run is the latest run, whatever is served"


def test_a_model_that_fails_the_gate_is_not_promoted(done: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
    folder = copy(done, tmp_path)
    first = served(folder)
    answer = buril(
        "refresh", "--json", "--set", "train.max_steps=4", "--set", 'evaluate.gate={perplexity: "< 1"}', cwd=folder
    )
    assert answer.code == 3 and "V404" in answer.err and "perplexity" in answer.err
    told = json.loads(answer.out)
    assert not told["promoted"] and told["reason"] and served(folder) == first
    assert told["model"][0] == first[0] != told["model"][1]


def test_without_a_gate_nothing_runs(done: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
    folder = copy(done, tmp_path)
    (folder / "buril.yaml").write_text(YAML)
    answer = buril("refresh", cwd=folder)
    assert answer.code == 2 and "V405" in answer.err
    assert len(list((folder / ".buril" / "runs").iterdir())) == len(list((done[0] / ".buril" / "runs").iterdir()))


def test_a_dry_run_changes_nothing(done: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
    folder = copy(done, tmp_path)
    before = sorted(str(path) for path in (folder / ".buril").rglob("*"))
    repository(folder / "repos" / "repo8", {"src/n.py": module("fresh")})
    told = json.loads(buril("refresh", "--dry-run", "--json", cwd=folder).out)
    assert told["stages"]["collect"] == "run" and told["stages"]["train"] == "wait"
    assert "collect" in buril("refresh", "--dry-run", cwd=folder).out
    assert sorted(str(path) for path in (folder / ".buril").rglob("*")) == before


def test_two_refreshes_at_once_are_one(done: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
    folder = copy(done, tmp_path)
    with hold(folder / ".buril" / "refs" / ".refresh.lock"):
        for words in (("refresh",), ("refresh", "--rollback")):
            answer = buril(*words, cwd=folder)
            assert answer.code == 4 and "V406" in answer.err, answer.err
    code = "import sys; sys.argv = ['buril', 'refresh', '--json', '--set', 'train.max_steps=5']; from buril.cli.main import main; main()"
    both = [
        subprocess.Popen(
            [sys.executable, "-c", code], cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        for _one in range(2)
    ]
    ended = [process.communicate(timeout=280) for process in both]
    assert sorted(process.returncode for process in both) in ([0, 4], [0, 0]), ended
    now, before = champion(Store(folder / ".buril"), "tiny")
    assert now and before and now.stages["train"] != before.stages["train"]


def test_mlflow_s_alias_follows(
    done: tuple[Path, dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mlflow = pytest.importorskip("mlflow")
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    folder = copy(done, tmp_path)
    uri = tmp_path / "mlruns"
    track = f"track=[{{mlflow: {{uri: {uri}, register_as: tiny, upload: false}}}}]"
    versions = {}
    for steps in (3, 4):
        words = ("--set", f"train.{track}", "--set", f"train.max_steps={steps}")
        answer = buril("refresh", "--json", *words, cwd=folder)
        assert answer.code == 0, answer.err
        versions[steps] = json.loads(answer.out)["model"][1]
    client = mlflow.MlflowClient(tracking_uri=uri.as_uri(), registry_uri=uri.as_uri())

    def aliases() -> list[str]:
        return [
            client.get_model_version_by_alias("tiny", alias).tags["buril.digest"] for alias in ("champion", "previous")
        ]

    assert aliases() == [versions[4], versions[3]]
    assert buril("refresh", "--rollback", "--set", f"train.{track}", cwd=folder).code == 0
    assert aliases() == [versions[3], versions[4]]
    made = Mlflow(Mlflow.Settings(uri=str(uri), register_as="tiny"))
    assert "no version" in made.point("champion", "f" * 64)
    assert Mlflow(Mlflow.Settings(uri=str(uri))).point("champion", "f" * 64) == "", "none is registered"


def test_it_speaks_spanish(done: tuple[Path, dict[str, Any]]) -> None:
    answer = buril("refresh", "--dry-run", cwd=done[0], lang="es")
    assert answer.code == 0 and "no se cambió nada" in answer.err + answer.out
