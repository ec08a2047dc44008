"""SARIF in: what real tools write, what the standard allows, and that no default turns a failure into a clean file."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from buril.core.errors import BurilError
from buril.gate.result import Result
from buril.gate.sarif_in import read
from buril.gate.scan import Report
from buril.scanners import _semgrep_rules as semgrep_rules
from tests.gate.conftest import Repository, seen

Look = Callable[..., Report]
CODE = (
    "import os\nfrom flask import request\n\n\ndef f():\n    q = request.args.get('q')\n    os.system('ls ' + q)\n"
    "    return eval(q)\n"
)


def log(*results: Any, **run: Any) -> dict[str, Any]:
    tool = run.pop("tool", {"driver": {"name": "T", "rules": run.pop("rules", [])}})
    return {"version": "2.1.0", "runs": [{"tool": tool, "results": list(results), **run}]}


def result(uri: str = "a.py", line: int = 1, **told: Any) -> dict[str, Any]:
    place = {"artifactLocation": {"uri": uri}, "region": {"startLine": line}}
    return {"ruleId": "R", "message": {"text": "m"}, "locations": [{"physicalLocation": place}], **told}


def told(tmp_path: Path, given: Any, encoding: str = "utf-8") -> list[Result]:
    (tmp_path / "x.sarif").write_text(json.dumps(given), encoding=encoding)
    return read(tmp_path / "x.sarif", tmp_path).results


# --- real tools


def made(repository: Repository, *words: str) -> Path:
    """What a tool writes about the code, as a log."""
    repository.write("a.py", CODE)
    done = subprocess.run(words, cwd=repository.root, capture_output=True, text=True, check=False)
    assert done.stdout, done.stderr
    repository.write("x.sarif", done.stdout)
    return repository.root / "x.sarif"


def rows(path: Path, root: Path) -> set[tuple[str, int, str, str, str]]:
    return {
        (item.path, item.finding.line, item.finding.rule.rpartition(".")[2], item.finding.severity, item.finding.cwe)
        for item in read(path, root).results
    }


def test_ruff(repository: Repository) -> None:
    words = ("-m", "ruff", "check", "--isolated", "--exit-zero", "--select", "S", "--output-format", "sarif", "a.py")
    found = rows(made(repository, sys.executable, *words), repository.root)
    assert found == {("a.py", 7, "S605", "high", ""), ("a.py", 8, "S307", "high", "")}


def test_bandit(repository: Repository) -> None:
    pytest.importorskip("sarif_om", reason="bandit[sarif] is not installed")
    found = rows(made(repository, sys.executable, "-m", "bandit", "-q", "-f", "sarif", "a.py"), repository.root)
    assert ("a.py", 7, "B605", "high", "CWE-78") in found
    assert ("a.py", 8, "B307", "medium", "CWE-78") in found


def test_semgrep(repository: Repository, semgrep: str) -> None:
    words = (semgrep, "scan", "--config", str(semgrep_rules.FOLDER / "python"), "--sarif", "--metrics", "off", "--quiet",
             "--disable-version-check", "--jobs", "1", "a.py")  # fmt: skip
    found = rows(made(repository, *words), repository.root)
    assert ("a.py", 7, "python-command-injection", "high", "CWE-78") in found
    assert ("a.py", 8, "python-code-injection", "high", "CWE-95") in found


def test_what_another_tool_saw_too_counts_once(repository: Repository, look: Look) -> None:
    words = ("-m", "ruff", "check", "--isolated", "--exit-zero", "--select", "S", "--output-format", "sarif", "a.py")
    path = made(repository, sys.executable, *words)
    report = look(imports=(path,))
    assert seen(report) == [("a.py", 7, "S605"), ("a.py", 8, "S307")]
    assert {item.also for item in report.counted} == {("ruff (imported) S605",), ("ruff (imported) S307",)}
    assert [tool.name for tool in report.tools] == ["ruff", "ruff (imported)"]


def test_codeql_names_rules_in_an_extension(tmp_path: Path) -> None:
    """CodeQL's form: rules in a pack that is an extension, CWEs in tags, a path through a base that only it knows."""
    rules = [
        {"id": "py/unused", "defaultConfiguration": {"level": "note"}, "properties": {"tags": ["maintainability"]}},
        {"id": "py/sql-injection", "name": "py/sql-injection", "shortDescription": {"text": "SQL from outside"},
         "defaultConfiguration": {"enabled": True, "level": "error"},
         "properties": {"tags": ["security", "external/cwe/cwe-089"], "precision": "very-high", "security-severity": "8.8"}},
    ]  # fmt: skip
    reference = {"id": "py/sql-injection", "index": 1, "toolComponent": {"index": 0}}
    place = {"artifactLocation": {"uri": "src/a.py", "uriBaseId": "%SRCROOT%", "index": 0},
             "region": {"startLine": 7, "startColumn": 9, "endColumn": 20}}  # fmt: skip
    found = told(tmp_path, log(
        {"ruleId": "py/sql-injection", "rule": reference, "message": {"text": "from [a value](1)."},
         "locations": [{"physicalLocation": place}], "partialFingerprints": {"primaryLocationLineHash": "39fa2ee980eb94b0:1"}},
        tool={"driver": {"name": "CodeQL", "rules": []}, "extensions": [{"name": "codeql/python-queries", "rules": rules}]},
    ))  # fmt: skip
    (one,) = found
    assert one.finding[:4] == ("CodeQL", "py/sql-injection", 7, "high")
    assert (one.path, one.finding.column, one.finding.end_column) == ("src/a.py", 9, 20)
    assert (one.finding.cwe, one.finding.confidence, one.finding.message) == ("CWE-89", "high", "from a value.")


# --- what the standard allows


def test_a_byte_order_mark_and_several_runs(tmp_path: Path) -> None:
    both = log(result())
    both["runs"] += log(result("b.py"), tool={"driver": {"name": "U"}})["runs"]
    assert [(item.path, item.finding.scanner) for item in told(tmp_path, both, "utf-8-sig")] == [
        ("a.py", "T"),
        ("b.py", "U"),
    ]


def test_what_is_missing_has_the_defaults_of_the_standard(tmp_path: Path) -> None:
    (one,) = told(tmp_path, log({"message": {"id": "d", "arguments": ["x"]}, "ruleIndex": 0}, rules=[
        {"id": "R", "messageStrings": {"d": {"text": "{0} is bad"}}}]))  # fmt: skip
    assert one.finding[:5] == ("T", "R", 1, "medium", "x is bad") and one.path == "x.sarif"


@pytest.mark.parametrize(
    ("given", "rule", "severity"),
    [
        ({"level": "error"}, {}, "high"),
        ({"level": "note"}, {}, "low"),
        ({}, {"defaultConfiguration": {"level": "error"}}, "high"),
        ({"level": "note"}, {"properties": {"security-severity": "9.8"}}, "high"),
        ({"level": "error"}, {"properties": {"security-severity": "4.0"}}, "medium"),
        ({"level": "error", "properties": {"security-severity": "1.0"}}, {}, "low"),
        ({"level": "error"}, {"properties": {"security-severity": "unknown"}}, "high"),
        ({"kind": "review", "level": "none"}, {}, "low"),
    ],
)
def test_severities(tmp_path: Path, given: dict[str, Any], rule: dict[str, Any], severity: str) -> None:
    (one,) = told(tmp_path, log(result(**given), rules=[{"id": "R", **rule}]))
    assert one.finding.severity == severity


@pytest.mark.parametrize(
    ("given", "rule"),
    [
        ({"taxa": [{"id": "89", "toolComponent": {"name": "CWE"}}]}, {}),
        ({"taxa": [{"id": "89", "toolComponent": {"index": 0}}]}, {}),
        ({}, {"relationships": [{"target": {"id": "CWE-89", "toolComponent": {"name": "cwe"}}}]}),
        ({}, {"properties": {"tags": ["external/cwe/cwe-089"]}}),
        ({}, {"properties": {"cwe": ["CWE-89: SQL Injection"]}}),
        ({"properties": {"cwe": "cwe_89"}}, {"properties": {"tags": ["external/cwe/cwe-020"]}}),
    ],
)
def test_weaknesses(tmp_path: Path, given: dict[str, Any], rule: dict[str, Any]) -> None:
    (one,) = told(tmp_path, log(result(**given), rules=[{"id": "R", **rule}], taxonomies=[{"name": "CWE"}]))
    assert (one.finding.cwe, one.finding.owasp) == ("CWE-89", "A03:2021")


def test_paths(tmp_path: Path) -> None:
    bases = {
        "ROOT": {"uri": tmp_path.as_uri() + "/"},
        "SRC": {"uri": "src/", "uriBaseId": "ROOT"},
        "ELSEWHERE": {"uri": "file:///github/workspace/"},
        "OPEN": {"description": {"text": "the root"}},
        "LOOP": {"uri": "x/", "uriBaseId": "LOOP"},
    }
    for uri, base, path in (
        ("a%20b/%C3%B1.py", "", "a b/ñ.py"),
        ("./a/../b.py", "", "b.py"),
        (tmp_path.as_uri() + "/c.py", "", "c.py"),
        ("d.py", "SRC", "src/d.py"),
        ("e.py", "ELSEWHERE", "e.py"),
        ("f.py", "OPEN", "f.py"),
        ("f.py", "UNKNOWN", "f.py"),
        ("file:///somewhere/g.py", "", "/somewhere/g.py"),
        ("../h.py", "ROOT", "../h.py"),
    ):
        given = result(uri)
        given["locations"][0]["physicalLocation"]["artifactLocation"] |= {"uriBaseId": base} if base else {}
        (one,) = told(tmp_path, log(given, originalUriBaseIds=bases))
        assert one.path == path, uri
    given = result()
    given["locations"][0]["physicalLocation"]["artifactLocation"] = {"index": 1}
    artifacts = [{"location": {"uri": "no.py"}}, {"location": {"uri": "yes.py"}}]
    assert told(tmp_path, log(given, artifacts=artifacts))[0].path == "yes.py"
    assert told(tmp_path, log(result("i.py", **{}), originalUriBaseIds=bases))[0].path == "i.py"


def test_what_passed_or_is_gone_is_no_finding(tmp_path: Path) -> None:
    gone = [result(kind=kind) for kind in ("pass", "notApplicable", "informational")] + [result(baselineState="absent")]
    assert told(tmp_path, log(*gone)) == []
    assert len(told(tmp_path, log(result(kind="open"), result(kind="fail")))) == 2


# --- it fails closed


def test_suppressions_count_with_a_reason_alone(tmp_path: Path) -> None:
    def reason(*given: dict[str, str]) -> Any:
        (one,) = told(tmp_path, log(result(suppressions=list(given))))
        return one.suppression and one.suppression.reason

    assert reason({"kind": "inSource", "justification": "ours"}) == "ours"
    assert reason({"kind": "external", "status": "accepted", "justification": "ours"}) == "ours"
    assert reason({"kind": "inSource"}) is None
    assert reason() is None
    assert reason({"kind": "external", "status": "underReview", "justification": "ours"}) is None


def test_a_tool_that_failed_makes_nothing_clean(tmp_path: Path, repository: Repository, look: Look) -> None:
    failed = log(invocations=[{"executionSuccessful": False}])
    assert [(item.path, item.unread) for item in told(tmp_path, failed)] == [("x.sarif", True)]
    place = {"physicalLocation": {"artifactLocation": {"uri": "a.py"}}}
    note = {"level": "error", "message": {"text": "parse error"}, "locations": [place]}
    of_a_file = log(invocations=[{"executionSuccessful": True, "toolExecutionNotifications": [note]}])
    assert [(item.path, item.unread) for item in told(tmp_path, of_a_file)] == [("a.py", True)]
    base = repository.commit(a="x = 1\n")
    (tmp_path / "x.sarif").write_text(json.dumps(failed))
    assert len(look(imports=(tmp_path / "x.sarif",), base=base).unread) == 1, "it is in no diff, and stops the gate"


def test_a_result_that_can_not_be_placed_stays_in_a_change(tmp_path: Path, repository: Repository, look: Look) -> None:
    base = repository.commit(a="x = 1\n", b="y = 1\n")
    repository.commit(a="x = 1\nz = 2\n")
    given = log(result("file:///elsewhere/a.py", 1), result("a.py", 1), result("a.py", 2), result("b.py", 1))
    (tmp_path / "x.sarif").write_text(json.dumps(given))
    report = look(imports=(tmp_path / "x.sarif",), base=base)
    assert seen(report) == [("/elsewhere/a.py", 1, "R"), ("a.py", 2, "R")]


def test_a_comment_suppresses_what_another_tool_says(tmp_path: Path, repository: Repository, look: Look) -> None:
    repository.write("a.py", "f(x)  # buril: ignore[R] it is a constant\nf(y)\n")
    (tmp_path / "x.sarif").write_text(json.dumps(log(result(line=1), result(line=2))))
    assert seen(look(imports=(tmp_path / "x.sarif",))) == [("a.py", 2, "R")]


@pytest.mark.parametrize(
    "text",
    ["", "{}", "[]", '{"version": "1.0.0", "runs": []}', '{"version": "2.1.0", "runs": [{}]}', '{"version": "2.1.0"}',
     '{"version": "2.1.0", "runs": [{"tool": {"driver": {"name": "T"}}, "results": [{"locations": 3}]}]}',
     '{"version": "2.1.0", "runs": [{"tool": {"driver": {"name": "T"}}, "results": ["x"]}]}', "[" * 100_000],
)  # fmt: skip
def test_what_is_no_sarif(tmp_path: Path, text: str) -> None:
    (tmp_path / "x.sarif").write_text(text)
    with pytest.raises(BurilError) as problem:
        read(tmp_path / "x.sarif", tmp_path)
    assert problem.value.code == "W231"
    with pytest.raises(BurilError):
        read(tmp_path / "missing.sarif", tmp_path)
