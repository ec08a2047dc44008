"""Select: every file that is left out has its reason, and thresholds, licences, mixtures and maxima hold."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from buril.code.codefile import CodeFile, Finding, Verdict, write_dropped
from buril.core.artifact import Artifact
from buril.core.errors import BurilError
from buril.core.events import read_events
from buril.data.dedup import Dedup
from buril.data.select import Select, days
from tests.conftest import as_artifact
from tests.data import made

Make = Callable[..., Artifact]


@pytest.fixture
def chosen(make_artifact: Make, tmp_path: Path) -> Callable[..., tuple[set[str], dict[str, tuple[str, ...]], Artifact]]:
    """Run dedup and select over files; gives the paths selected, the reasons of the others, and the artifact."""

    def run(files: list[CodeFile], **told: Any) -> tuple[set[str], dict[str, tuple[str, ...]], Artifact]:
        number = len(list(tmp_path.iterdir()))
        collect = made.collected(tmp_path / f"collect{number}", files, shard_files=9)
        dedup = make_artifact(Dedup(Dedup.Settings(workers=1)), {"collect": collect}, folder=f"dedup{number}")
        prepare = made.prepared(tmp_path / f"prepare{number}", collect, dedup)
        inputs = {"collect": collect, "dedup": dedup, "prepare": prepare}
        artifact = make_artifact(Select(Select.Settings(**told)), inputs, folder=f"select{number}")
        kept = made.table(artifact, "selected.parquet")
        shards = [made.contents(prepare, f"rows/{path.name}") for path in prepare.files("rows/*.parquet")]
        assert all(shards[row["shard"]][row["index"]].row_id == row["row_id"] for row in kept)
        dropped = made.table(artifact, "dropped.parquet")
        assert {row["path"] for row in kept} | {row["path"] for row in dropped} == {file.path for file in files}
        assert len(kept) + len(dropped) == len(files)
        reasons = {row["path"]: (row["stage"], row["step"], row["reason"], row["detail"]) for row in dropped}
        return {row["path"] for row in kept}, reasons, artifact

    return run


def file(path: str, seed: int, **told: Any) -> CodeFile:
    return CodeFile("r", path, made.code(seed), **{"license": "MIT", "language": "python", **told})


def test_every_reason(chosen: Any) -> None:
    copy = CodeFile("r", "b.py", made.code(1, changed=2), license="MIT", language="python")
    files = [
        file("a.py", 1, signals={"coverage": 0.9, "open_issue_age_days": 10, "stars": 5}),
        copy,
        file("c.py", 3, license="GPL-3.0-only"),
        file("d.py", 4, license=""),
        file("e.py", 5, language="cobol"),
        file("f.py", 6, verdicts=[Verdict("heuristics", "minified", "lines of 9000")]),
        file("g.py", 7, findings=[Finding("bandit", "B105", 3, "low"), Finding("bandit", "B602", 12, "high")]),
        file("h.py", 8, signals={"coverage": 0.5}),
        file("i.py", 9, signals={"coverage": 0.95, "open_issue_age_days": 200, "stars": 5}),
        file("j.py", 10, signals={"coverage": 0.95, "open_issue_age_days": 10, "stars": 1}),
        file("k.py", 11, signals={"stars": 9, "open_issue_age_days": 10}),
    ]
    kept, reasons, artifact = chosen(
        files, languages=["Python"], min_coverage=0.8, max_open_issue_age="26w", min={"stars": 2}
    )
    assert kept == {"a.py"}
    detail = reasons.pop("b.py")
    assert detail[:3] == ("dedup", "near", "duplicate")
    assert detail[3].startswith("duplicate of r/a.py (0.")
    assert reasons == {
        "c.py": ("select", "licenses", "license", "GPL-3.0-only"),
        "d.py": ("select", "licenses", "unknown_license", ""),
        "e.py": ("select", "languages", "language", "cobol"),
        "f.py": ("prepare", "heuristics", "minified", "lines of 9000"),
        "g.py": ("select", "findings", "finding_high", "bandit B602, line 12"),
        "h.py": ("select", "coverage", "below_minimum", "0.5 < 0.8"),
        "i.py": ("select", "open_issue_age_days", "above_maximum", "200 > 182"),
        "j.py": ("select", "stars", "below_minimum", "1 < 2"),
        "k.py": ("select", "coverage", "unknown_signal", ""),
    }
    summary = artifact.json("summary.json")
    assert summary["selected"]["files"] == 1
    assert summary["selected"]["languages"] == {"python": {"files": 1, "bytes": files[0].bytes}}
    assert summary["dropped"]["files"] == 10
    assert summary["dropped"]["reasons"]["prepare.heuristics.minified"] == 1
    assert sum(summary["dropped"]["reasons"].values()) == sum(summary["dropped"]["stages"].values()) == 10


def test_what_is_told_to_be_kept_is_kept(chosen: Any) -> None:
    files = [
        file("a.py", 1, license=""),
        file("b.py", 2, license="GPL-3.0-only"),
        file("c.py", 3, verdicts=[Verdict("heuristics", "minified")]),
        file("d.py", 4, findings=[Finding("bandit", "B602", 12, "high")]),
        file("e.py", 5, findings=[Finding("bandit", "B602", 12, "medium")]),
        file("f.py", 6, signals={"coverage": 0.1}),
        file("g.py", 7, license="MIT OR GPL-3.0-only"),
    ]
    kept, _, _ = chosen(
        files, unknown_license="keep", licenses=None, ignore=["minified"], unknown="keep", min_coverage=0.05,
        findings={"high": "keep", "medium": "drop"},
    )  # fmt: skip
    assert kept == {"a.py", "b.py", "c.py", "d.py", "f.py", "g.py"}
    kept, _, _ = chosen(files, licenses=["mit"])
    assert kept == {"e.py", "f.py", "g.py"}


def test_what_collect_dropped_stays_told(make_artifact: Make, tmp_path: Path) -> None:
    collect = made.collected(tmp_path / "collect", [file("a.py", 1)])
    write_dropped(
        collect.folder / "dropped.parquet", [CodeFile("r", "x.bin", "").dropped("collect", Verdict("folder", "binary"))]
    )
    collect = as_artifact(collect.folder, "collect")
    dedup = make_artifact(Dedup(Dedup.Settings(workers=1)), {"collect": collect})
    prepare = made.prepared(tmp_path / "prepare", collect, dedup)
    artifact = make_artifact(Select(Select.Settings()), {"collect": collect, "dedup": dedup, "prepare": prepare})
    assert [(row["path"], row["stage"], row["reason"]) for row in made.table(artifact, "dropped.parquet")] == [
        ("x.bin", "collect", "binary")
    ]


def test_mixture_and_maxima(chosen: Any) -> None:
    files = [file(f"{at}.py", at) for at in range(20)] + [
        file(f"{at}.js", 100 + at, language="javascript") for at in range(60)
    ]
    kept, reasons, artifact = chosen(files, mixture={"javascript": 0.5})
    languages = artifact.json("summary.json")["selected"]["languages"]
    assert languages["python"]["files"] == 20
    assert 18 <= languages["javascript"]["files"] <= 20
    assert {reason[2] for reason in reasons.values()} == {"mixture"}
    again, _, _ = chosen(files, mixture={"javascript": 0.5})
    other, _, _ = chosen(files, mixture={"javascript": 0.5}, seed=1)
    assert again == kept != other
    kept, _, _ = chosen(files, max_files=7)
    assert len(kept) == 7
    kept, _, artifact = chosen(files, max_bytes=5_000)
    assert 4_000 < artifact.json("summary.json")["selected"]["bytes"] <= 5_000


def test_a_mixture_of_all_languages_that_leaves_a_gap(chosen: Any) -> None:
    files = [file(f"{at}.py", at) for at in range(4)]
    with pytest.raises(BurilError) as raised:
        chosen(files, mixture={"python": 0.5})
    assert raised.value.code == "D104"
    assert len(chosen(files, mixture={"python": 1.0})[0]) == 4


@pytest.mark.parametrize(
    ("told", "said"),
    [
        ({"languages": ["solidity"]}, "python"),
        ({"licenses": ["isc"]}, "found: MIT"),
        ({"min_coverage": 0.5}, "select.unknown"),
    ],
)
def test_nothing_left_says_why_and_what_to_change(chosen: Any, told: dict[str, Any], said: str) -> None:
    with pytest.raises(BurilError) as raised:
        chosen([file("a.py", 1), file("b.py", 2)], **told)
    assert raised.value.code == "D102"
    assert "2 of 2" in raised.value.cause
    assert said in raised.value.hint


def test_nothing_collected(chosen: Any) -> None:
    with pytest.raises(BurilError) as raised:
        chosen([])
    assert raised.value.code == "D102"
    assert "collect" in raised.value.hint


def test_a_signal_that_no_file_has(chosen: Any, tmp_path: Path) -> None:
    files = [file("a.py", 1, signals={"stars": 3})]
    with pytest.raises(BurilError) as raised:
        chosen(files, min={"starz": 1})
    assert raised.value.code == "D103"
    assert "`stars`" in raised.value.hint
    assert chosen(files, min={"starz": 1}, unknown="keep")[0] == {"a.py"}
    assert any(
        "starz" in event["text"] for event in read_events(tmp_path / "events.jsonl") if event["kind"] == "warning"
    )


def test_ages() -> None:
    assert [days(value) for value in ("180d", "26w", "6m", "1y", 5)] == [180, 182, 180, 365, 5]
    with pytest.raises(ValidationError):
        Select.Settings(max_open_issue_age="soon")


def test_same_bytes_twice(chosen: Any) -> None:
    files = [file(f"{at}.py", at) for at in range(9)]
    assert chosen(files, max_files=5)[2].digest == chosen(files, max_files=5)[2].digest
