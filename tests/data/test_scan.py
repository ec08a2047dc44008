"""Scanners in the data pass: findings reach the rows, what can't be read does not pass, `select` acts on both."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import pyarrow.parquet as pq
import pytest

from buril.code.codefile import CodeFile, Finding, read_rows, write_rows
from buril.core.artifact import Artifact
from buril.core.errors import BurilError
from buril.core.plugins import Ref
from buril.data import _scan
from buril.data.dedup import Dedup
from buril.data.prepare import Prepare
from buril.data.select import Select
from buril.scanners import INCONCLUSIVE, PARTIAL, Scanner, Text
from buril.scanners.bandit import Bandit
from tests.data.made import collected

Make = Callable[..., Artifact]
BAD = "import os\n\n\ndef run(command):\n    os.system(command)\n"
GOOD = "def add(first, second):\n    return first + second\n"
FINDING = Finding("bandit", "B605", 5, "high", "a command is run by a shell", "CWE-78", "A03:2021", "high", 0, 5, 23)


def prepared(tmp_path: Path, make_artifact: Make, files: list[CodeFile], **settings: Any) -> dict[str, Artifact]:
    collect = collected(tmp_path / "collect", files, shard_files=2)
    dedup = make_artifact(Dedup(Dedup.Settings(method="exact", workers=1)), {"collect": collect})
    stage = Prepare(Prepare.Settings(**{"scan": ["bandit"], "workers": 1, **settings}))
    prepare = make_artifact(stage, {"collect": collect, "dedup": dedup})
    return {"collect": collect, "dedup": dedup, "prepare": prepare}


def file(path: str, content: str, language: str = "python") -> CodeFile:
    return CodeFile("r", path, content, language=language, license="MIT")


def findings(artifact: Artifact) -> dict[str, list[Finding]]:
    return {row.path: row.findings for path in artifact.files("rows/*.parquet") for row in read_rows(path)}


def chosen(make_artifact: Make, given: dict[str, Artifact], folder: str, **settings: Any) -> dict[str, Any]:
    """What was selected, what was dropped and why, and the candidates for pairs."""
    made = make_artifact(Select(Select.Settings(**settings)), given, folder=folder)
    dropped = pq.read_table(made.path("dropped.parquet")).to_pylist()
    return {
        "kept": pq.read_table(made.path("selected.parquet"))["path"].to_pylist(),
        "dropped": {row["path"]: (row["reason"], row["detail"]) for row in dropped},
        "pairs": pq.read_table(made.path("pairs_candidates.parquet")).to_pylist(),
    }


def test_findings_are_on_the_rows_and_survive_parquet(tmp_path: Path, make_artifact: Make) -> None:
    given = prepared(
        tmp_path, make_artifact, [file("bad.py", BAD), file("good.py", GOOD), file("a.c", "int x;\n", "c")]
    )
    assert findings(given["prepare"]) == {"bad.py": [FINDING], "good.py": [], "a.c": []}
    assert given["prepare"].manifest.metrics["findings"] == {"bandit:B605": 1}
    row = CodeFile("r", "x.py", "x", findings=[FINDING._replace(end_line=9)])
    write_rows(tmp_path / "x.parquet", [row])
    assert next(read_rows(tmp_path / "x.parquet")).findings == row.findings


def test_select_drops_pairs_or_keeps_by_severity(tmp_path: Path, make_artifact: Make) -> None:
    copyleft = CodeFile("r", "gpl.py", BAD.replace("run", "go"), language="python", license="GPL-3.0-only")
    given = prepared(tmp_path, make_artifact, [file("bad.py", BAD), file("good.py", GOOD), copyleft])
    told = chosen(make_artifact, given, "drop")
    assert told["kept"] == ["good.py"]
    assert told["dropped"]["bad.py"] == ("finding_high", "bandit B605 CWE-78, line 5")
    assert told["pairs"] == []
    told = chosen(make_artifact, given, "pair", findings={"high": "pair"})
    assert told["kept"] == ["good.py"]
    assert told["dropped"]["bad.py"] == ("finding_high_pair", "bandit B605 CWE-78, line 5")
    assert told["dropped"]["gpl.py"][0] == "license", "what may not be used is no candidate either"
    (pair,) = told["pairs"]
    assert (pair["path"], pair["findings"][0]["cwe"]) == ("bad.py", "CWE-78")
    row = list(read_rows(given["prepare"].files("rows/*.parquet")[pair["shard"]]))[pair["index"]]
    assert row.row_id == pair["row_id"] and row.content == BAD
    assert chosen(make_artifact, given, "keep", findings={"high": "keep"})["kept"] == ["bad.py", "good.py"]


def test_a_file_that_could_not_be_scanned_is_dropped_unless_told_otherwise(tmp_path: Path, make_artifact: Make) -> None:
    """Python 2 that tree-sitter accepts: `print` as a statement. It has findings of nothing, which is no acquittal."""
    old = file("old.py", "print 'hello'\nexec code\n")
    given = prepared(tmp_path, make_artifact, [old, file("good.py", GOOD)])
    assert [item.rule for item in findings(given["prepare"])["old.py"]] == [INCONCLUSIVE]
    told = chosen(make_artifact, given, "drop")
    assert told["dropped"]["old.py"] == ("finding_inconclusive", "bandit inconclusive, line 1")
    assert chosen(make_artifact, given, "keep", findings={"inconclusive": "keep"})["kept"] == ["good.py", "old.py"]


def test_partly_read_files_stay_by_default() -> None:
    told = Select.Settings().findings
    assert told.of(Finding("semgrep", PARTIAL, 3, "low")) == "keep"
    assert told.of(Finding("semgrep", INCONCLUSIVE, 1, "low")) == "drop"
    strict = Select.Settings.model_validate({"findings": {"partial": "drop", "low": "keep"}}).findings
    assert strict.of(Finding("semgrep", PARTIAL, 3, "low")) == "drop"


def test_a_scanner_that_misses_what_is_planted_stops_the_stage(
    tmp_path: Path, make_artifact: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Bandit, "scan_many", lambda self, texts: [[] for _text in texts])
    with pytest.raises(BurilError, match="D221") as told:
        prepared(tmp_path, make_artifact, [file("bad.py", BAD)])
    assert "B102" in told.value.cause


def test_the_version_of_a_program_is_part_of_the_identity(monkeypatch: pytest.MonkeyPatch) -> None:
    stage = Prepare(Prepare.Settings(scan=["bandit"]))  # type: ignore[arg-type]  # the short form
    before = stage.observe()
    assert {"ruff", "bandit", "python"} <= before.keys()
    monkeypatch.setattr("importlib.metadata.version", lambda name: "0.0.1")
    assert stage.observe() != before
    assert Prepare(Prepare.Settings()).observe().keys() == {"tree-sitter", "tree-sitter-language-pack"}


class Fragile(Scanner):
    """It falls over some texts."""

    languages: ClassVar[frozenset[str] | None] = frozenset({"python"})

    def scan(self, text: str, language: str) -> Iterator[Finding]:
        if "poison" in text:
            raise ValueError(text)
        yield Finding("fragile", "seen", 1, "low")


def test_one_text_can_not_break_a_shard(monkeypatch: pytest.MonkeyPatch) -> None:
    found = Fragile().scan_many([Text("a", "python"), Text("poison secret", "python"), Text("b", "python")])
    assert [[item.rule for item in each] for each in found] == [["seen"], [INCONCLUSIVE], ["seen"]]
    assert "secret" not in str(found)
    monkeypatch.setattr(Ref, "make", lambda self: Fragile())
    ref = Ref(kind="scanner", name="bandit", settings=Bandit.Settings())
    files = [file("a.py", "a"), file("b.c", "b", "c"), file("c.py", "c")]
    _scan.scan(files, (ref,))
    assert [len(item.findings) for item in files] == [1, 0, 1]
