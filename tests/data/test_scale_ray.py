"""The engine ray on a real cluster of two nodes: the same bytes as processes, through dead workers, nodes and drivers."""

from __future__ import annotations

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
from tests.data.made import stdlib
from tests.data.ray_cluster import QUIET, parent, tasks

pytest.importorskip("ray", reason="the extra ray is not installed")
pytestmark = pytest.mark.slow
ROOT = Path(__file__).resolve().parents[2]
COMMAND = [sys.executable, "-m", "tests.data.ray_cluster"]
SHARDS = 9


def started(*words: str, **options: Any) -> subprocess.Popen[str]:
    environment = {**os.environ, **QUIET, "PYTHONPATH": f"{ROOT / 'src'}:{ROOT}"}
    environment.pop("RAY_ADDRESS", None)
    return subprocess.Popen([*COMMAND, *words], cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True, **options)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    with (tmp_path_factory.mktemp("ray") / "log").open("w") as log:
        process = started("serve", stdin=subprocess.PIPE, stderr=log, start_new_session=True)
    assert process.stdout is not None
    try:
        line = process.stdout.readline()
        assert line, "no cluster came up"
        yield json.loads(line)
    finally:
        pids = below(process.pid)
        try:
            process.communicate(timeout=30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
        end(pids)


def below(pid: int) -> set[int]:
    """A process and all that come from it."""
    found, all_pids = {pid}, [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]
    for _depth in range(5):
        found |= {other for other in all_pids if parent(other) in found}
    return found


def end(pids: set[int]) -> None:
    for pid in pids:
        if Path(f"/proc/{pid}").exists():
            os.kill(pid, signal.SIGKILL)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A YAML and real code for it, in shards that take half a second each."""
    path = tmp_path_factory.mktemp("chain")
    (path / "code").mkdir()
    for name, text in stdlib(40):
        (path / "code" / name).write_text(text + "# ask ana@acme-corp.com\n", encoding="utf-8")
    size = sum(item.stat().st_size for item in (path / "code").iterdir())
    (path / "buril.yaml").write_text(
        f"collect: {{sources: [{{folder: {{path: code, license: mit}}}}], shard_bytes: {size // (SHARDS - 1)}}}\n"
        "dedup: {}\nprepare: {}\n"
    )
    return path


@pytest.fixture(scope="module")
def expected(folder: Path) -> dict[str, str]:
    """What the engine `processes` makes."""
    made = Chain.from_yaml(folder / "buril.yaml").run(Store(folder / "store-local"))
    assert len(made.artifacts["prepare"].files("rows/*.parquet")) >= SHARDS - 2
    return {name: artifact.digest for name, artifact in made.artifacts.items()}


def collected_in(folder: Path, name: str) -> Path:
    """A store that has all but `prepare`: the tests that kill want that stage alone."""
    store = folder / f"store-{name}"
    for stage in ("collect", "dedup"):
        shutil.copytree(folder / "store-local" / stage, store / stage)
    return store


def drive(*words: str) -> dict[str, Any]:
    """Run a driver to its end; once more where Ray itself broke down, as its 2.60 does now and then on a busy machine."""
    for _attempt in range(2):
        process = started(*words, stderr=subprocess.PIPE)
        out, err = process.communicate(timeout=120)
        if "You have likely discovered a bug in Ray" not in err:
            break
    assert process.returncode == 0, err
    found: dict[str, Any] = json.loads(out)  # nothing else may be on stdout
    return found


def test_the_same_digests_as_processes(cluster: dict[str, Any], folder: Path, expected: dict[str, str]) -> None:
    assert drive("drive", str(folder), cluster["address"])["digests"] == expected


def test_a_cluster_that_does_not_fit_is_refused(cluster: dict[str, Any], tmp_path: Path) -> None:
    """Real nodes are asked; what this machine claims of itself is changed. The contract of engines holds as well."""
    told = drive("refusals", str(tmp_path), cluster["address"])
    assert "S021" in told["software"] and "numpy 0.1 here" in told["software"]
    assert "S022" in told["path"] and "seen only here" in told["path"]
    assert "S024" in told["size"]


def test_a_killed_worker_costs_one_try(cluster: dict[str, Any], folder: Path, expected: dict[str, str]) -> None:
    store = collected_in(folder, "worker")
    told = drive("drive", str(folder), cluster["address"], "worker")
    assert len(told["struck"]) == 1
    assert told["digests"] == expected
    events = read_events(next((store / "runs").glob("*/events.jsonl")))
    assert any(event["kind"] == "warning" and "worker died" in event["text"] for event in events)


def test_a_killed_driver_leaves_no_task_and_resumes(
    cluster: dict[str, Any], folder: Path, expected: dict[str, str], until: Callable[..., None]
) -> None:
    store = collected_in(folder, "driver")
    process = started("drive", str(folder), cluster["address"], "driver", stderr=subprocess.DEVNULL)
    until(lambda: list(store.glob("prepare/.*/rows/[0-9]*.parquet")))
    process.kill()
    process.communicate()
    until(lambda: not tasks("prepare"))
    kept = {path.name: path.stat().st_mtime_ns for path in store.glob("prepare/.*/rows/[0-9]*.parquet")}
    assert 0 < len(kept) < SHARDS
    made = Chain.from_yaml(folder / "buril.yaml").run(Store(store))
    assert {name: artifact.digest for name, artifact in made.artifacts.items()} == expected
    rows = made.artifacts["prepare"].path("rows")
    assert {name: (rows / name).stat().st_mtime_ns for name in kept} == kept, "what was there whole is not redone"


def test_a_killed_node_gives_its_tasks_to_the_other(
    cluster: dict[str, Any], folder: Path, expected: dict[str, str]
) -> None:
    """The last test of the cluster: one node is left."""
    collected_in(folder, str(cluster["raylet"]))
    told = drive("drive", str(folder), cluster["address"], str(cluster["raylet"]))
    assert told["struck"] == [cluster["raylet"]]
    assert told["digests"] == expected


@pytest.fixture
def until() -> Callable[..., None]:
    def wait(holds: Callable[[], object]) -> None:
        deadline = time.monotonic() + 60
        while not holds():
            assert time.monotonic() < deadline
            time.sleep(0.01)

    return wait


def test_no_cluster_is_a_coded_error(tmp_path: Path) -> None:
    code = (
        "from buril.engines.ray import Ray\n"
        "list(Ray(Ray.Settings(address='127.0.0.1:1')).each(print, [1, 2], 0, stage='check'))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **QUIET},
        timeout=60,
    )
    assert "S023" in done.stderr


def test_without_ray_the_extra_is_named(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    from buril.core import plugins

    monkeypatch.setattr("importlib.util.find_spec", lambda name, package=None: None)
    plugins.plugin.cache_clear()
    try:
        with pytest.raises(BurilError) as refused:
            Chain.from_yaml(folder / "buril.yaml").set("engine", "ray").stages()
        assert refused.value.code == "P002"
        assert "buril[ray]" in refused.value.hint
    finally:
        plugins.plugin.cache_clear()
