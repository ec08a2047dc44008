"""Lines of a change that a model wrote: told beside the findings, and held to a stricter bound where that is asked."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

pytest.importorskip("cryptography", reason="cryptography is not installed")

from buril.code.fingerprints import Fingerprints
from buril.gate import github, sarif
from buril.gate.scan import Report
from buril.serve.ledger import Entry, Ledger
from tests.gate.conftest import Repository

Look = Callable[..., Report]
MODEL = {"base": "b" * 64, "train": "7a" * 32}
WEAK = (
    "    names = [name.strip() for name in given.split(',') if name.strip()]\n"
    "    total = sum(eval(name) for name in names)\n"
    "    print('total of', len(names), 'names is', total)\n"
    "    return names, total\n"
)
"""A completion with a finding of a medium severity."""
BEFORE = "def before(x):\n    return eval(x)\n\n\n"
HUMAN = "\n\ndef after(y):\n    # a person's\n    return y or eval(y)\n"


@pytest.fixture
def written(tmp_path: Any) -> Fingerprints:
    ledger = Ledger(tmp_path / "ledger")
    ledger.append(Entry("abc123abc123", WEAK, "openvino", MODEL), Entry("ffffffffffff", "return x\n", "x", MODEL))
    return ledger.fingerprints()


def change(repository: Repository) -> str:
    base = repository.commit(a=BEFORE)
    repository.commit(a=BEFORE + "def total(given):\n" + WEAK + HUMAN)
    return base


def test_findings_and_lines_say_who_wrote_them(repository: Repository, look: Look, written: Fingerprints) -> None:
    report = look(base=change(repository), written=written)
    found = {item.finding.line: item.generated for item in report.counted}
    assert set(found) == {7, 14} and found[14] is None
    piece = found[7]
    assert piece is not None and (piece.id, piece.model, piece.share) == ("abc123abc123", "7a" * 6, 1.0)
    told = report.generated
    assert told is not None and (told.generated, told.lines) == (4, 8)
    assert told.summary(report.counted) == {
        "lines": 8, "generated": 4, "findings": 1,
        "models": [{"model": "7a" * 6, "lines": 4, "completions": ["abc123abc123"]}],
    }  # fmt: skip
    assert told.sentence(report.counted) == (
        f"lines that a model wrote: 4 of 8, findings on them: 1; by {'7a' * 6} (abc123abc123)"
    )


def test_what_was_there_before_is_not_part_of_it(repository: Repository, look: Look, written: Fingerprints) -> None:
    base = repository.commit(a="def total(given):\n" + WEAK)
    repository.commit(a="def total(given):\n" + WEAK + HUMAN)
    told = look(base=base, written=written).generated
    assert told is not None and (told.generated, told.lines) == (0, 3)
    assert told.sentence([]) == "lines that a model wrote: none of 3"
    whole = look(written=written).generated
    assert whole is not None and (whole.generated, whole.lines) == (4, 8), "without a change all lines are asked about"


def test_without_a_ledger_nothing_is_different(repository: Repository, look: Look) -> None:
    report = look(base=change(repository))
    assert report.generated is None and all(item.generated is None for item in report.counted)
    assert "model" not in github.summary(report, "high") and len(list(github.commands(report, "high"))) == 2
    assert "generated" not in sarif.document(report.tools, report.results, report.generated)


@pytest.mark.parametrize(
    ("least", "generated", "lines"),
    [("high", "none", []), ("high", "medium", [7]), ("high", "low", [7]), ("medium", "none", [7, 14]),
     ("medium", "high", [7, 14]), ("none", "medium", [7]), ("none", "none", [])],
)  # fmt: skip
def test_the_stricter_bound_counts(
    repository: Repository, look: Look, written: Fingerprints, least: str, generated: str, lines: list[int]
) -> None:
    report = look(base=change(repository), written=written, generated_least=generated)
    assert [item.finding.line for item in report.worse(least)] == lines
    levels = [line.split(" ")[0] for line in github.commands(report, least)]
    assert levels.count("::error") == len(lines)
    assert ("failed" if lines else "passed") in github.summary(report, least)


def test_one_weakness_of_two_scanners_keeps_it(repository: Repository, look: Look, written: Fingerprints) -> None:
    report = look(base=change(repository), written=written, scanners=("ruff", "bandit"))
    (first, _second) = report.counted
    assert first.also and first.generated is not None


def test_sarif_says_it(repository: Repository, look: Look, written: Fingerprints) -> None:
    report = look(base=change(repository), written=written)
    (run,) = json.loads(sarif.document(report.tools, report.results, report.generated))["runs"]
    told = {item["locations"][0]["physicalLocation"]["region"]["startLine"]: item["properties"].get("generated")
            for item in run["results"]}  # fmt: skip
    assert told == {7: {"completion": "abc123abc123", "model": "7a" * 6, "share": 1.0}, 14: None}
    assert run["properties"]["generated"]["generated"] == 4 and run["properties"]["generated"]["findings"] == 1


def test_github_says_it(repository: Repository, look: Look, written: Fingerprints) -> None:
    report = look(base=change(repository), written=written)
    lines = list(github.commands(report, "high"))
    assert sum("written by the model" in line for line in lines) == 2
    (notice,) = [line for line in lines if line.startswith("::notice")]
    assert notice.startswith("::notice file=a.py,line=6,endLine=9,title=buril ledger::written by the model 7a7a")
    summary = github.summary(report, "high")
    assert "lines that a model wrote&#58; 4 of 8" in summary
    assert summary.count("abc123abc123") == 2, "in the sentence and in the row of its finding"
