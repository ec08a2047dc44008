"""`buril data`: facets, reasons and rows of a real run, counted as a slow count counts; exports; wrong words."""

from __future__ import annotations

import json
import subprocess
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from tests.cli.conftest import Answer
from tests.golden import corpus

from buril.chain import Chain
from buril.core.artifact import Artifact
from buril.core.store import Store

Call = Callable[..., Answer]
DATA = ("collect", "dedup", "prepare", "select", "split")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data stages, run once over the small corpus."""
    folder = tmp_path_factory.mktemp("data")
    values = {name: value for name, value in corpus.build(folder).items() if name in (*DATA, "name", "seed")}
    values |= {"select": {}, "split": {}, "dataset": {"title": "Small code"}}
    Chain.from_values(values, folder).run(Store(folder / ".buril"))
    return folder / ".buril"


def chain(store: Path) -> dict[str, Artifact]:
    return Store(store).chain()


def rows(artifact: Artifact, pattern: str) -> list[dict[str, Any]]:
    return [row for path in artifact.files(pattern) for row in pq.read_table(path).to_pylist()]


def explore(call: Call, store: Path, *words: str) -> Any:
    answer = call("data", "explore", *words, "--store", str(store), "--json", "--limit", "1000")
    assert answer.code == 0, answer.err
    return answer.json


def test_the_facets_are_the_counts(call: Call, store: Path) -> None:
    told, made = explore(call, store), chain(store)
    assert told["stages"] == list(DATA)
    kept, dropped = rows(made["select"], "selected.parquet"), rows(made["select"], "dropped.parquet")
    found = rows(made["collect"], "rows/*.parquet") + rows(made["collect"], "dropped.parquet")
    assert told["totals"]["found"]["files"] == len(kept) + len(dropped)
    assert [told["totals"][name]["files"] for name in ("found", "kept", "dropped")] == [
        len(found), len(kept), len(dropped)
    ]  # fmt: skip
    for by in ("language", "license", "repo"):
        expected = Counter(row[by] for row in kept)
        assert {row[by]: row["files"] for row in told["facets"][by]} == dict(expected)
    parts = Counter(row["part"] for row in rows(made["split"], "assignment.parquet"))
    assert {row["part"]: row["files"] for row in told["facets"]["part"]} == dict(parts)
    reasons = Counter((row["stage"], row["step"], row["reason"]) for row in dropped)
    assert {(row["stage"], row["step"], row["reason"]): row["files"] for row in told["dropped"]} == dict(reasons)
    prepared = rows(made["prepare"], "rows/*.parquet")
    times = Counter(item["rule"] for row in prepared for item in row["redactions"])
    files = Counter(rule for row in prepared for rule in {item["rule"] for item in row["redactions"]})
    assert times and {row["rule"]: (row["times"], row["files"]) for row in told["redactions"]} == {
        rule: (count, files[rule]) for rule, count in times.items()
    }
    findings = Counter(
        (item["scanner"], item["rule"], item["severity"]) for row in prepared for item in row["findings"]
    )
    assert {(row["scanner"], row["rule"], row["severity"]): row["times"] for row in told["findings"]} == dict(findings)
    assert len(told["kept_rows"]) == len(kept) and "content" not in told["kept_rows"][0]


def test_filters(call: Call, store: Path) -> None:
    made = chain(store)
    kept, dropped = rows(made["select"], "selected.parquet"), rows(made["select"], "dropped.parquet")
    told = explore(call, store, "--language", "python", "--repo", "alpha")
    expected = [row for row in kept if row["language"] == "python" and row["repo"] == "alpha"]
    assert told["totals"]["kept"] == {"files": len(expected), "bytes": sum(row["bytes"] for row in expected)}
    assert {row["path"] for row in told["kept_rows"]} == {row["path"] for row in expected}
    first = dropped[0]
    for reason in (first["reason"], f"{first['step']}.{first['reason']}", "{stage}.{step}.{reason}".format(**first)):
        told = explore(call, store, "--reason", reason)
        assert {row["reason"] for row in told["dropped_rows"]} == {first["reason"]} and not told["kept_rows"]
        assert sum(row["files"] for row in told["facets"]["repo"]) == told["totals"]["dropped"]["files"] > 0
    told = explore(call, store, "--part", "test")
    assert {row["part"] for row in told["kept_rows"]} == {"test"} and not told["dropped"]


def test_a_run_a_stage_and_a_key_are_references(call: Call, store: Path) -> None:
    whole = explore(call, store)
    split = chain(store)["split"]
    for ref in ("golden", "golden@latest", "split", f"split@{split.key[:12]}"):
        assert explore(call, store, ref)["totals"] == whole["totals"]
    assert explore(call, store, "collect")["stages"] == ["collect"]
    totals = explore(call, store, "collect")["totals"]
    assert totals["kept"]["files"] + totals["dropped"]["files"] == totals["found"]["files"]


def test_the_table_for_a_person(call: Call, store: Path) -> None:
    answer = call("data", "explore", "--store", str(store))
    assert answer.code == 0 and "next: buril why" in answer.err
    for word in ("found", "kept", "dropped", "language", "python", "licence", "why dropped", "redactions", "▇"):
        assert word in answer.out, word
    spanish = call("--lang", "es", "data", "explore", "--store", str(store))
    assert spanish.code == 0


def test_wrong_values_are_answered_with_the_nearest(call: Call, store: Path) -> None:
    answer = call("data", "explore", "--language", "pyhton", "--store", str(store))
    assert answer.code == 2 and "D324" in answer.err and "python" in answer.err
    assert "S001" in call("data", "explore", "nothing", "--store", str(store)).err


def test_a_reference_without_data(call: Call, tmp_path: Path) -> None:
    from buril.core.artifact import Link

    empty = Store(tmp_path / "store")
    empty.set_ref("other", {"train": Link("train", "0" * 64, "0" * 64)}, "run1")
    answer = call("data", "explore", "--store", str(tmp_path / "store"))
    assert answer.code == 2 and "D323" in answer.err


@pytest.mark.parametrize("form", ["tfrecord", "jsonl", "parquet"])
def test_exports(call: Call, store: Path, tmp_path: Path, form: str) -> None:
    answer = call("data", "export", "--format", form, "--to", "out", "--store", str(store), "--json")
    assert answer.code == 0, answer.err
    parts = Counter(row["part"] for row in rows(chain(store)["split"], "assignment.parquet"))
    assert {part: count for part, count in answer.json["rows"].items() if count} == dict(parts)
    check = subprocess.run(
        ["sha256sum", "--strict", "-c", "SHA256SUMS"], cwd=tmp_path / "out", capture_output=True, check=False
    )
    assert check.returncode == 0
    again = call("data", "export", "--format", form, "--to", "out", "--store", str(store))
    assert again.code == 2 and "D321" in again.err
    if form == "parquet":
        assert json.loads((tmp_path / "out/croissant.json").read_text())["name"] == "Small code"
        assert "# Small code" in (tmp_path / "out/README.md").read_text()
        for path in (tmp_path / "out").rglob("*"):
            assert not path.is_file() or str(store.parent).encode() not in path.read_bytes()
