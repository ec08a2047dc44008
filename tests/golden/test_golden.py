"""The bytes of the stages: a change of them must be meant, and says so by a bumped `version`."""

from __future__ import annotations

import copy
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from buril.core.artifact import MANIFEST, Artifact

from .corpus import MAIL, TOKEN
from .digests import (
    NEEDS,
    STAGES,
    Golden,
    changes,
    content,
    content_digest,
    golden,
    identity_files,
    make,
    places_of,
    read,
    verdict,
)
from .update import unbumped, write


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("golden-place")


@pytest.fixture(scope="module")
def artifacts(folder: Path) -> dict[str, Artifact]:
    return make(folder)


@pytest.fixture(scope="module")
def now(artifacts: dict[str, Artifact]) -> Golden:
    return golden(artifacts)


@pytest.mark.parametrize("name", STAGES)
def test_the_bytes_are_those_of_golden_json(now: Golden, name: str) -> None:
    old = read()
    above = [need for need in NEEDS[name] if need in old and changes(old[need], now[need])]
    problem = verdict(name, old.get(name), now[name], above)
    assert not problem, problem


def test_golden_json_knows_no_stage_that_is_gone() -> None:
    assert read().keys() == set(STAGES)


def test_the_corpus_touches_what_stages_react_to(artifacts: dict[str, Artifact]) -> None:
    """Without these rows an unchanged digest would prove little."""
    dropped = pq.read_table(artifacts["select"].path("dropped.parquet")).to_pylist()
    reasons = {(row["stage"], row["reason"]) for row in dropped}
    assert reasons >= {
        ("collect", "binary"), ("collect", "empty"), ("collect", "encoding"), ("collect", "language"),
        ("dedup", "duplicate"), ("prepare", "syntax_errors"), ("prepare", "generated"), ("prepare", "minified"),
        ("select", "license"),
    }  # fmt: skip
    kinds = Counter(pq.read_table(artifacts["dedup"].path("duplicates.parquet"))["kind"].to_pylist())
    assert kinds.keys() == {"unique", "exact", "near"}
    rows = {f"{row['repo']}/{row['path']}": row for row in _rows(artifacts["prepare"])}
    assert [item["rule"] for item in rows["alpha/private/token.py"]["redactions"]] == ["github_token"]
    assert len(rows["alpha/private/mail.py"]["redactions"]) == 2
    assert "\r" not in rows["alpha/mixed/crlf.py"]["content"] and "\t" not in rows["alpha/mixed/tabs.py"]["content"]
    assert "\t" in rows["alpha/core/part0.go"]["content"], "tabs are the rule of Go"
    licenses = {row["license"] for row in rows.values()}
    assert {"MIT", "GPL-3.0-only", "Apache-2.0"} < licenses
    assert {row["language"] for row in rows.values()} >= {"python", "javascript", "go", "c", "bash"}


def test_no_secret_outlives_prepare(artifacts: dict[str, Artifact]) -> None:
    for name in STAGES[1:]:
        for path in identity_files(artifacts[name]):
            if path.endswith((".parquet", ".json")):
                text = str(content(artifacts[name].path(path)))
                assert TOKEN not in text and MAIL not in text, (name, path)


def test_no_artifact_says_where_it_was_made(artifacts: dict[str, Artifact], folder: Path) -> None:
    """What a stage writes is the same in every folder; a table or JSON with a path of this machine is not."""
    for name in STAGES:
        for path in identity_files(artifacts[name]):
            raw = artifacts[name].path(path)
            told = list(places_of(content(raw), str(folder))) if path.endswith((".parquet", ".json")) else []
            assert not told and str(folder).encode() not in raw.read_bytes(), (name, path, told)


# A source is told its folder, so `collect` alone runs again when that moves; what comes after it is reused.
TOLD_IN_MANIFESTS = {"collect": re.compile(r"identity\.settings\.sources\[\d+\]\.settings\.path")}


def test_manifests_name_no_place_but_that_of_the_source(artifacts: dict[str, Artifact], folder: Path) -> None:
    for name in STAGES:
        told = list(places_of(content(artifacts[name].path(MANIFEST)), str(folder)))
        allowed = TOLD_IN_MANIFESTS.get(name)
        assert [place for place in told if not (allowed and allowed.fullmatch(place))] == [], name


def test_needs_are_those_of_the_stages(artifacts: dict[str, Artifact]) -> None:
    """`update` lets a stage's bytes change when a stage before it was bumped; so it must know who reads whom."""
    assert {name: set(found.manifest.inputs) for name, found in artifacts.items()} == {
        name: set(needs) for name, needs in NEEDS.items()
    }


# --- the check checks


@pytest.mark.parametrize("name", STAGES)
def test_changed_bytes_ask_for_a_new_version(now: Golden, name: str) -> None:
    old = copy.deepcopy(now[name])
    changed = sorted(old["files"])[0]
    old["files"][changed] = "0" * 64
    told = verdict(name, old, now[name])
    assert f"bytes of {name} changed: bump `version` (was {old['version']})" in told
    assert "python -m tests.golden.update" in told and changed in told
    assert "changed with those of collect: mend that first" in verdict(name, old, now[name], ["collect"])
    bumped = {**now[name], "version": old["version"] + 1}
    told = verdict(name, old, bumped)
    assert "version was bumped" in told and "golden.json is old" in told
    assert verdict(name, None, now[name]) == f"{name} is not in golden.json: run `python -m tests.golden.update`"
    assert "the bytes did not" in verdict(name, {**now[name], "version": 0}, now[name])
    assert verdict(name, now[name], now[name]) == ""


def _edited(now: Golden, **stages: dict[str, Any]) -> Golden:
    made = copy.deepcopy(now)
    for name, change in stages.items():
        made[name].update(change)
    return made


def test_update_refuses_what_was_not_bumped(now: Golden, tmp_path: Path) -> None:
    other = {"files": {"x": "0" * 64}}
    file = tmp_path / "golden.json"
    assert write(now, file) == []
    before = file.read_bytes()
    assert write(_edited(now, dedup=other), file) == ["dedup"]
    assert file.read_bytes() == before
    assert write(_edited(now, dedup={**other, "version": 99}), file) == []
    assert write(now, file, force=True) == []
    assert file.read_bytes() == before


def test_a_bump_explains_what_comes_after_it(now: Golden) -> None:
    other = {"files": {"x": "0" * 64}}
    bumped = {**other, "version": 99}
    assert unbumped(now, _edited(now, prepare=bumped, select=other, split=other, pack=other)) == []
    assert unbumped(now, _edited(now, prepare=other, select=other)) == ["prepare"]
    assert unbumped(now, _edited(now, prepare=bumped, collect=other)) == ["collect"]
    assert unbumped(now, _edited(now, prepare={**other, "parts": {"step:new": 1}})) == []


def test_a_table_counts_by_its_rows(tmp_path: Path) -> None:
    table = pa.table({"a": [1, 2], "b": ["x", None]})
    for name, compression in (("zstd", "zstd"), ("none", "none")):
        pq.write_table(table, tmp_path / f"{name}.parquet", compression=compression)
    pq.write_table(pa.table({"a": [1, 3], "b": ["x", None]}), tmp_path / "other.parquet")
    found = {path.stem: content_digest(path) for path in tmp_path.glob("*.parquet")}
    assert found["zstd"] == found["none"] != found["other"]


def _rows(artifact: Artifact) -> list[dict[str, Any]]:
    return [row for path in artifact.files("rows/*.parquet") for row in pq.read_table(path).to_pylist()]
