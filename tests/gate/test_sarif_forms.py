"""The forms in which tools write SARIF become right findings; units, compression and references as the standard has them."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from buril.core.errors import BurilError
from buril.gate import sarif_in
from buril.gate.result import Result
from buril.gate.sarif_in import read
from tests.gate import sarif_forms as forms
from tests.gate.sarif_forms import APP, CALL, QUERY, SHOP
from tests.gate.test_sarif import schema
from tests.gate.test_sarif_in import log, result

Told = Callable[[dict[str, Any]], list[Result]]


@pytest.fixture
def told(tmp_path: Path) -> Told:
    """The results of a log, which the schema accepts, beside the project that it is about."""
    for name, text in forms.FILES.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8", newline="")

    def results(given: dict[str, Any]) -> list[Result]:
        jsonschema.Draft4Validator(schema(), format_checker=jsonschema.FormatChecker()).validate(given)
        (tmp_path / "x.sarif").write_text(json.dumps(given), encoding="utf-8")
        return read(tmp_path / "x.sarif", tmp_path).results

    return results


def row(item: Result) -> tuple[Any, ...]:
    """What a form must tell: place, rule, weakness, how bad, how sure, why it does not count."""
    found = item.finding
    reason = item.suppression.reason if item.suppression else ""
    return item.path, found.line, found.rule, found.cwe, found.severity, found.confidence, reason


def piece(text: str, item: Result) -> str:
    """The characters that a result of one line points at."""
    found = item.finding
    return text.split("\n")[found.line - 1][found.column - 1 : found.end_column - 1]


def test_codeql(told: Told) -> None:
    injection, unused = told(forms.codeql())
    assert row(injection) == ("src/app.py", 6, "py/command-line-injection", "CWE-78", "high", "high", "")
    assert injection.finding.message == "This command depends on a [given] value of the request."
    assert piece(APP, injection) == "'ls ' + name"
    assert row(unused) == ("src/app.py", 1, "py/unused-import", "", "low", "high", "")


def test_semgrep(told: Told) -> None:
    (one,) = told(forms.semgrep())
    assert row(one) == ("src/app.py", 6, "python.lang.security.os-system", "CWE-78", "high", "low", "")
    assert piece(APP, one) == CALL


def test_bandit(told: Told) -> None:
    (one,) = told(forms.bandit())
    assert row(one) == ("src/app.py", 6, "B605", "CWE-78", "high", "medium", "")
    assert piece(APP, one) == CALL


def test_snyk(told: Told) -> None:
    one, ignored = told(forms.snyk())
    expected = ("web/my shop.js", 1, "javascript/Sqli", "CWE-89", "high", "high")
    assert row(one) == (*expected, "") and row(ignored) == (*expected, "the value is one of three")
    assert one.finding.message == "Unsanitized input from an HTTP parameter flows into query."
    assert piece(SHOP, one) == QUERY


def test_sonar(told: Told) -> None:
    query, unused = told(forms.sonar())
    assert row(query) == ("/C:/agent/work/Src/Größe.cs", 1, "S2077", "CWE-89", "high", "", "constant")
    assert row(unused) == ("Src/Größe.cs", 1, "S1481", "", "low", "", "")
    assert piece(forms.FILES["Src/Größe.cs"], unused) == "string q = title"


def test_fortify(told: Told) -> None:
    one, other = told(forms.fortify())
    assert row(one) == ("src/app.py", 6, "A1B2C3", "CWE-78", "high", "low", "")
    assert row(other) == ("src/app.py", 6, "D4E5F6", "CWE-78", "high", "low", "")
    assert (one.finding.column, other.finding.column) == (1, 0)


def test_eslint(told: Told, tmp_path: Path) -> None:
    broken, one, quiet = told(forms.eslint(tmp_path.as_uri()))
    assert (broken.path, broken.unread) == ("web/broken.js", True)
    expected = ("web/my shop.js", 1, "security/detect-sql", "", "medium", "")
    assert row(one) == (*expected, "") and row(quiet) == (*expected, "b is a number here")
    assert piece(SHOP, one) == QUERY


@pytest.mark.parametrize("tool", ["ruff", "bandit", "semgrep"])
def test_what_real_tools_count(tmp_path: Path, tool: str, request: pytest.FixtureRequest) -> None:
    """None of the three says what its columns count: ruff counts characters, the others bytes."""
    words: tuple[str, ...] = (sys.executable, "-m", "ruff", "check", "--isolated", "--exit-zero", "--select", "S",
                              "--output-format", "sarif", "a.py")  # fmt: skip
    if tool == "bandit":
        pytest.importorskip("sarif_om", reason="bandit[sarif] is not installed")
        words = (sys.executable, "-m", "bandit", "-q", "-f", "sarif", "a.py")
    if tool == "semgrep":
        rule = {"id": "e", "languages": ["python"], "severity": "ERROR", "message": "m", "pattern": "eval(...)"}
        (tmp_path / "rules.json").write_text(json.dumps({"rules": [rule]}))
        words = (request.getfixturevalue("semgrep"), "scan", "--config", "rules.json", "--sarif", "--metrics", "off",
                 "--quiet", "--disable-version-check", "--jobs", "1", "a.py")  # fmt: skip
    text = "y = '\N{EARTH GLOBE AMERICAS} ñ'; eval('\N{EARTH GLOBE AMERICAS}' + y)\n"
    (tmp_path / "a.py").write_text(text, encoding="utf-8")
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, encoding="utf-8", check=False)
    (tmp_path / "x.sarif").write_text(done.stdout, encoding="utf-8")
    assert "columnKind" not in json.loads(done.stdout)["runs"][0]
    (one,) = read(tmp_path / "x.sarif", tmp_path).results
    assert piece(text, one) == "eval('\N{EARTH GLOBE AMERICAS}' + y)"


# --- columns


def columns(told: Told, where: dict[str, Any], **run: Any) -> tuple[int, ...]:
    given = result("src/app.py")
    given["locations"][0]["physicalLocation"]["region"] = where
    (one,) = told(log(given, **run))
    return one.finding[8:11]


def test_both_kinds_of_columns_and_the_default(told: Told) -> None:
    """The globe before the call is one character and two units."""
    start = APP.split("\n")[5].index(CALL) + 1
    characters = {"startLine": 6, "startColumn": start, "endColumn": start + len(CALL)}
    in_units = {"startLine": 6, "startColumn": start + 1, "endColumn": start + 1 + len(CALL)}
    expected = (0, start, start + len(CALL))
    assert columns(told, characters, columnKind="unicodeCodePoints") == expected
    assert columns(told, in_units, columnKind="utf16CodeUnits") == columns(told, in_units) == expected


def test_what_a_region_may_leave_out(told: Told) -> None:
    assert columns(told, {"startLine": 6}) == (0, 0, 0)
    assert columns(told, {"startLine": 6, "endColumn": 9}) == (0, 1, 9)
    assert columns(told, {"startLine": 1, "endLine": 6, "startColumn": 3}) == (6, 3, 0)
    assert columns(told, {"startLine": 6, "endLine": 2, "startColumn": 3}) == (0, 3, 0)
    assert columns(told, {"charOffset": 5, "charLength": 3}) == (0, 0, 0)
    assert columns(told, {"startLine": 600, "startColumn": 3, "endColumn": 4}) == (0, 3, 4)
    (one,) = told(log({"ruleId": "R", "message": {"text": "m"}}))
    assert (one.path, one.finding[8:11]) == ("x.sarif", (0, 0, 0))


# --- rules and levels


def test_rules_in_the_tool_in_extensions_and_by_guid(told: Told) -> None:
    guid = "0f3d7c1b-2a34-4d5e-8c1f-5d5e5a0c4a0b"
    tool = {
        "driver": {"name": "T", "rules": [{"id": "A", "defaultConfiguration": {"level": "note"}}]},
        "extensions": [
            {"name": "one", "rules": [{"id": "A", "defaultConfiguration": {"level": "error"}}]},
            {"name": "two", "rules": [{"id": "B", "guid": guid, "defaultConfiguration": {"level": "error"}}]},
        ],
    }
    cases: list[tuple[dict[str, Any], tuple[str, str]]] = [
        ({"ruleId": "A"}, ("A", "low")),
        ({"ruleId": "A", "ruleIndex": 0}, ("A", "low")),
        ({"ruleIndex": 0}, ("A", "low")),
        ({"rule": {"index": 0}}, ("A", "low")),
        ({"rule": {"index": 0, "toolComponent": {"index": 0}}}, ("A", "high")),
        ({"ruleId": "A/x", "rule": {"id": "A/x", "index": 0, "toolComponent": {"name": "one"}}}, ("A/x", "high")),
        ({"ruleId": "B", "ruleIndex": 0}, ("B", "high")),
        ({"rule": {"guid": guid.upper()}}, ("B", "high")),
        ({"ruleId": "B", "ruleIndex": 7}, ("B", "high")),
        ({"ruleId": "C", "ruleIndex": 0}, ("C", "medium")),
    ]
    for given, expected in cases:
        (one,) = told(log({"message": {"text": "m"}, **given}, tool=tool))
        assert (one.finding.rule, one.finding.severity) == expected, given


def test_a_level_is_the_results_the_runs_or_the_rules(told: Told) -> None:
    def severity(*invocations: dict[str, Any], **given: Any) -> str:
        rules = [{"id": "R", "defaultConfiguration": {"level": "error"}}]
        (one,) = told(log(result(**given), rules=rules, invocations=[
            {"executionSuccessful": True, **item} for item in invocations]))  # fmt: skip
        return one.finding.severity

    def override(level: str, **descriptor: Any) -> dict[str, Any]:
        chosen = descriptor or {"id": "R"}
        return {"ruleConfigurationOverrides": [{"descriptor": chosen, "configuration": {"level": level}}]}

    assert severity() == "high"
    assert severity(override("note")) == severity(override("note", index=0)) == "low"
    assert severity(override("note", id="Q")) == "high"
    assert severity(override("note"), level="warning") == "medium"
    assert severity(override("note"), override("warning")) == "medium", "nobody says of which run it is: the worst"
    assert severity(override("note"), override("warning"), provenance={"invocationIndex": 0}) == "low"
    assert (
        severity({"ruleConfigurationOverrides": [{"descriptor": {"id": "R"}, "configuration": {"enabled": True}}]})
        == "high"
    )
    (one,) = told(log(result(ruleId="S"), invocations=[{"executionSuccessful": True, **override("error", id="S")}]))
    assert one.finding.severity == "high", "a rule that the log does not describe"


def test_messages_of_the_tool_and_links(told: Told) -> None:
    def message(text: str = "", **given: Any) -> str:
        body = {"text": text, **given} if text else given
        driver = {"name": "T", "globalMessageStrings": {"g": {"text": "all: {0}"}}}
        (one,) = told(log({**result(), "message": body}, tool={"driver": driver}))
        return one.finding.message

    assert message(id="g", arguments=["x"]) == "all: x"
    assert message("see [here](https://example.com/a_b) and [there](3)") == "see here and there"
    assert message("a[0](x) and [b] (1) and \\[c\\](1)") == "a[0](x) and [b] (1) and [c](1)"


# --- files


def test_compressed_logs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = json.dumps(log(result())).encode()
    path = tmp_path / "x.sarif.gz"
    path.write_bytes(gzip.compress(text[:40]) + gzip.compress(text[40:]))
    assert [item.path for item in read(path, tmp_path).results] == ["a.py"]
    for broken in (gzip.compress(text)[:-20], gzip.compress(text) + b"rest", b"\x1f\x8b"):
        path.write_bytes(broken)
        with pytest.raises(BurilError, match="W231"):
            read(path, tmp_path)
    monkeypatch.setattr(sarif_in, "MAX_BYTES", 100_000)
    path.write_bytes(gzip.compress(b"[" * 30_000_000))
    tracemalloc.start()
    with pytest.raises(BurilError, match="larger than 100000 bytes"):
        read(path, tmp_path)
    assert tracemalloc.get_traced_memory()[1] < 3_000_000, "no more is unpacked than may be there"
    tracemalloc.stop()
    path.write_bytes(b" " * 100_001)
    with pytest.raises(BurilError, match="larger than 100000 bytes"):
        read(path, tmp_path)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_marks_of_an_encoding(tmp_path: Path, encoding: str) -> None:
    """What a shell of Windows makes of a redirected output is UTF-16."""
    (tmp_path / "x.sarif").write_text(json.dumps(log(result("ñ.py")), ensure_ascii=False), encoding=encoding)
    assert [item.path for item in read(tmp_path / "x.sarif", tmp_path).results] == ["ñ.py"]


def test_states_of_other_baselines(told: Told) -> None:
    """What another tool calls unchanged is not known here; what is gone is gone."""
    states = ("new", "unchanged", "updated", "absent")
    found = told(log(*(result(line=number, baselineState=state) for number, state in enumerate(states, 1))))
    assert [(item.finding.line, item.known) for item in found] == [(1, None), (2, None), (3, None)]
