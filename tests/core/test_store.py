"""The store: keys, early cut-off, resume, two runs at once, crashes, full and read-only disks, gc, references."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from typing import Any

import pytest

from buril.core.artifact import Artifact
from buril.core.errors import BurilError
from buril.core.events import EventLog, read_events
from buril.core.plan import plan, run
from buril.core.stage import Inputs, Output
from buril.core.store import Store

from .toy import Words, chain

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def digests(made: dict[str, Artifact]) -> dict[str, str]:
    return {name: artifact.digest for name, artifact in made.items()}


def test_a_second_run_reuses_everything(store: Store) -> None:
    first = run(chain(), store, name="toy")
    second = run(chain(), store, name="toy")
    assert first.reused == frozenset()
    assert second.reused == {"words", "count", "double"}
    assert digests(first.artifacts) == digests(second.artifacts)


def test_a_runtime_setting_changes_nothing(store: Store) -> None:
    run(chain(sleep_s=0.0), store, name="toy")
    assert [step.action for step in plan(chain(sleep_s=0.001), store)] == ["reuse"] * 3


def test_one_changed_setting_reruns_only_what_depends_on_it(store: Store) -> None:
    run(chain(), store, name="toy")
    steps = plan(chain(steps=5), store)
    assert [step.action for step in steps] == ["reuse", "run", "wait"]
    assert "steps: 3 → 5" in steps[1].reason
    assert run(chain(steps=5), store, name="toy").reused == {"words", "double"}, (
        "the same count came out: early cut-off"
    )


def test_a_new_version_with_the_same_bytes_leaves_what_follows_reused(store: Store) -> None:
    run(chain(version=1), store, name="toy")
    steps = plan(chain(version=2), store)
    assert [step.action for step in steps] == ["reuse", "run", "wait"]
    assert "version: 1 → 2" in steps[1].reason
    assert steps[2].artifact is not None, "the plan knows what is reused if the bytes stay"
    assert run(chain(version=2), store, name="toy").reused == {"words", "double"}


def test_other_bytes_run_what_follows(store: Store) -> None:
    run(chain(), store, name="toy")
    made = run(chain(words=("abc",)), store, name="toy")
    assert made.reused == frozenset()
    assert made.artifacts["double"].json("double.json") == 6


def test_a_failed_stage_keeps_its_place_and_goes_on(store: Store) -> None:
    with pytest.raises(RuntimeError):
        run(chain(fail_at=2), store, name="toy")
    assert not list((store.root / "count").glob("[!.]*")), "no half artifact under a good name"
    made = run(chain(), store, name="toy")
    manifest = made.artifacts["count"].manifest
    assert manifest.metrics["resumed_from"] == 2
    assert manifest.resumed
    assert not list(made.artifacts["count"].folder.glob(".scratch"))


def test_digest_is_of_the_bytes_and_logs_do_not_count(store: Store, tmp_path: Path) -> None:
    first = run(chain(), store, name="toy").artifacts["words"]
    other = run(chain(), Store(tmp_path / "other"), name="toy").artifacts["words"]
    assert first.digest == other.digest
    (first.folder / "0.txt").write_text("z")
    assert first.damage(deep=True) is not None
    assert first.damage() is None, "same size: only the deep check can see it"


def test_a_damaged_artifact_is_made_again(store: Store) -> None:
    made = run(chain(), store, name="toy").artifacts["words"]
    (made.folder / "0.txt").unlink()
    assert plan(chain(), store)[0].action == "run"
    again = run(chain(), store, name="toy")
    assert "words" not in again.reused
    assert again.artifacts["words"].digest == made.digest
    assert [path for path in store.garbage(damaged=True) if ".damaged." in path.name]


def test_manifest_is_json_with_all_it_should_say(store: Store) -> None:
    manifest = json.loads((run(chain(), store, name="toy").artifacts["count"].folder / "manifest.json").read_text())
    assert manifest["stage"] == "count"
    assert manifest["identity"]["settings"] == {"rounded": False, "steps": 3}
    assert manifest["inputs"]["words"]["digest"]
    assert manifest["files"][0]["path"] == "count.json"
    assert manifest["environment"]["python"]


SCRIPT = textwrap.dedent(
    """
    import sys
    from pathlib import Path
    from buril.core.plan import run
    from buril.core.store import Store
    from tests.core.toy import chain
    made = run(chain(steps=int(sys.argv[2]), sleep_s=float(sys.argv[3])), Store(Path(sys.argv[1])), name="toy")
    print(sorted(made.reused), made.artifacts["double"].digest, made.artifacts["count"].manifest.metrics["resumed_from"])
    """
)


def start(store: Path, steps: int, sleep_s: float) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(store), str(steps), str(sleep_s)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_two_runs_at_once_share_one_store(tmp_path: Path) -> None:
    both = [start(tmp_path / "store", 4, 0.1) for _ in range(2)]
    results = [process.communicate(timeout=60) for process in both]
    assert all(process.returncode == 0 for process in both), results
    reused = sorted(out.split("]")[0] for out, _err in results)
    assert len({out.split("]")[1] for out, _err in results}) <= 2
    assert reused[0] != reused[1], "one made the count, the other waited and reused it"
    store = Store(tmp_path / "store")
    assert len(list(store.artifacts("count"))) == 1


@pytest.mark.parametrize("after_s", [0.15, 0.3, 0.5, 0.8, 1.1])
def test_kill_9_at_any_moment_resumes_to_the_same_bytes(tmp_path: Path, after_s: float) -> None:
    process = start(tmp_path / "store", 8, 0.1)
    time.sleep(after_s)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    again = start(tmp_path / "store", 8, 0.0)
    out, err = again.communicate(timeout=60)
    assert again.returncode == 0, err
    expected = run(chain(steps=8), Store(tmp_path / "clean"), name="toy").artifacts["double"].digest
    assert expected in out


def test_gc_keeps_what_references_reach(store: Store) -> None:
    old = [run(chain(words=("x" * n,)), store, name="toy") for n in range(1, 6)]
    garbage = store.garbage(keep_runs=2)
    assert old[0].artifacts["count"].folder in garbage
    assert old[4].artifacts["count"].folder not in garbage
    assert old[3].artifacts["words"].folder not in garbage
    for path in garbage:
        store.remove(path)
    assert all(step.action == "reuse" for step in plan(chain(words=("x" * 5,)), store))


def test_gc_leaves_what_is_being_made(store: Store, tmp_path: Path) -> None:
    process = start(store.root, 30, 0.1)
    try:
        while not list(store.root.glob("count/.*.partial")):
            time.sleep(0.05)
            assert process.poll() is None
        assert not [path for path in store.garbage(partial=True) if ".partial" in path.name]
    finally:
        process.kill()
        process.communicate()
    assert [path for path in store.garbage(partial=True) if ".partial" in path.name]


def test_resolve_finds_by_stage_key_digest_and_folder(store: Store) -> None:
    made = run(chain(), store, name="toy").artifacts["count"]
    refs = ("count", f"count@{made.key[:8]}", made.key[:10], made.digest[:10], str(made.folder))
    for ref in (*refs, "toy@latest:count", "toy:count"):
        assert store.resolve(ref).folder == made.folder, ref
    with pytest.raises(BurilError, match="S001"):
        store.resolve("nothing")
    with pytest.raises(BurilError, match="S001"):
        store.resolve("ab")


def test_resolve_refuses_what_fits_several(store: Store) -> None:
    first = run(chain()[:1], store, name="toy").artifacts["words"]
    second = run(chain(words=("zz",))[:1], store, name="toy").artifacts["words"]
    twin = first.key[:6] + second.key[6:]  # another key that starts like the first
    manifest = json.loads((second.folder / "manifest.json").read_text())
    (second.folder / "manifest.json").write_text(json.dumps({**manifest, "key": twin}))
    with pytest.raises(BurilError, match="S006"):
        store.resolve(first.key[:6])
    assert store.resolve(first.key[:12]).folder == first.folder


def test_events_tell_the_run_and_survive_a_cut_line(store: Store) -> None:
    made = run(chain(), store, name="toy")
    path = store.root / "runs" / made.identifier / "events.jsonl"
    kinds = [event["kind"] for event in read_events(path)]
    assert kinds[0] == "run_start"
    assert kinds[-1] == "run_end"
    assert kinds.count("stage_end") == 3
    with path.open("a") as stream:
        stream.write('{"kind": "progr')
    assert [event["kind"] for event in read_events(path)] == kinds


def test_estimates_scale_from_what_was_measured(store: Store) -> None:
    run(chain(sleep_s=0.05), store, name="toy")
    step = plan(chain(words=("abcdefgh",) * 4), store)[1]
    assert step.estimate is not None
    assert step.estimate.basis == "measured"


unshare = pytest.mark.skipif(
    not shutil.which("unshare")
    or subprocess.run(["unshare", "-Urm", "true"], capture_output=True, check=False).returncode != 0,
    reason="needs user and mount namespaces to mount a small or read-only disk",
)

DISK = textwrap.dedent(
    """
    import sys
    from pathlib import Path
    from buril.core.errors import BurilError
    from buril.core.plan import run
    from buril.core.store import Store
    from tests.core.toy import chain
    try:
        run(chain(words=("x" * int(sys.argv[2]),) * 8), Store(Path(sys.argv[1])), name="toy")
    except BurilError as error:
        print(error.code)
    root = Path(sys.argv[1])
    print([path.name for path in root.glob("words/*") if not path.name.startswith(".")] if root.exists() else [])
    """
)


def in_namespace(commands: str) -> str:
    done = subprocess.run(
        ["unshare", "-Urm", "sh", "-ec", commands], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@unshare
def test_a_full_disk_is_a_coded_error_and_leaves_no_half_artifact(tmp_path: Path) -> None:
    (tmp_path / "disk.py").write_text(DISK)
    out = in_namespace(
        f"mkdir {tmp_path}/d; mount -t tmpfs -o size=1m none {tmp_path}/d;"
        f"export PYTHONPATH={ROOT}; {sys.executable} {tmp_path}/disk.py {tmp_path}/d/store 400000;"
        f"{sys.executable} {tmp_path}/disk.py {tmp_path}/d/store2 1000 || true"
    )
    assert out.splitlines()[:2] == ["S004", "[]"]


@unshare
def test_a_read_only_store_is_a_coded_error(tmp_path: Path) -> None:
    (tmp_path / "disk.py").write_text(DISK)
    out = in_namespace(
        f"mkdir {tmp_path}/d; mount -t tmpfs -o size=1m,ro none {tmp_path}/d;"
        f"export PYTHONPATH={ROOT}; {sys.executable} {tmp_path}/disk.py {tmp_path}/d/store 10"
    )
    assert out.splitlines()[0] == "S003"


def test_the_store_is_never_committed_by_mistake(store: Store) -> None:
    assert (store.root / ".gitignore").read_text() == "*\n"


def test_a_store_below_a_file_is_a_coded_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(BurilError, match="S003"):
        Store(tmp_path / "file" / "store")


def test_ctrl_c_is_recorded_and_resumes(tmp_path: Path) -> None:
    process = start(tmp_path / "store", 50, 0.1)
    while not list((tmp_path / "store").glob("count/.*.partial")):
        time.sleep(0.05)
        assert process.poll() is None
    process.send_signal(signal.SIGINT)
    process.communicate()
    log = max((tmp_path / "store" / "runs").glob("*/events.jsonl"))
    assert read_events(log)[-1]["outcome"] == "interrupted"
    assert (tmp_path / "store" / "count").exists()


def test_event_lines_from_two_writers_never_mix(tmp_path: Path) -> None:
    logs = [EventLog(tmp_path / "events.jsonl") for _ in range(2)]
    for n in range(200):
        logs[n % 2].emit("note", text="x" * n)
    assert len(read_events(tmp_path / "events.jsonl")) == 200


class Hungry(Words):
    """Asks for more memory than there is."""

    name = "hungry"

    def run(self, inputs: Inputs, out: Output) -> dict[str, Any]:
        raise MemoryError


def test_no_memory_is_a_coded_error(store: Store, tmp_path: Path) -> None:
    with pytest.raises(BurilError, match="S008"):
        run([Hungry(Hungry.Settings())], store, name="toy")
