"""`buril scan` as a person, a hook and a pipeline call it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.gate.conftest import Repository

RUFF = ("--no-config", "--scanner", "ruff")
EVAL, SHELL = "eval(x)\n", "import os\nos.system(x)\n"


@pytest.fixture
def here(call: Callable[..., Any], tmp_path: Path) -> Repository:
    """The test's folder, as a repository."""
    return Repository(tmp_path)


def test_a_finding_of_the_severity_stops_it(call: Callable[..., Any], here: Repository) -> None:
    here.write("a.py", SHELL)
    done = call("scan", *RUFF)
    assert done.code == 3
    assert done.out.split() == ["a.py:2:1", "S605", "CWE-78", "high", "a", "command", "is", "run", "by", "a", "shell"]
    assert "error[W230]" in done.err and "severity high or worse: 1;" in done.err
    here.write("a.py", EVAL)
    assert call("scan", *RUFF).code == 0
    assert call("scan", *RUFF, "--fail-on", "medium").code == 3
    here.write("a.py", "x = 1\n")
    done = call("scan", *RUFF, "--fail-on", "low")
    assert (done.code, done.out) == (0, "") and "files: 1 " in done.err


def test_json(call: Callable[..., Any], here: Repository) -> None:
    here.write("a.py", SHELL + "eval(x)  # buril: ignore[S307] our own expression\n")
    here.write("b.py", "def f(:\n")
    here.write("c.png", b"\0")
    done = call("scan", *RUFF, "--json")
    told = done.json
    assert done.code == 3
    assert told["gate"] == {"passed": False, "fail_on": "high", "findings": 1, "inconclusive": 1}
    (finding,) = told["findings"]
    assert (finding["path"], finding["line"], finding["rule"], finding["cwe"]) == ("a.py", 2, "S605", "CWE-78")
    assert [(item["rule"], item["reason"]) for item in told["suppressed"]] == [("S307", "our own expression")]
    assert [item["path"] for item in told["inconclusive"]] == ["b.py"] and told["skipped"] == {"binary": 1}


def test_what_was_not_analysed_stops_it_unless_that_is_allowed(call: Callable[..., Any], here: Repository) -> None:
    here.write("a.py", "def f(:\n")
    done = call("scan", *RUFF, "--fail-on", "none")
    assert done.code == 3 and "not Python 3" in done.out and "files not analysed: 1" in done.err
    assert call("scan", *RUFF, "--allow-inconclusive").code == 0
    assert call("scan", *RUFF, "--allow-inconclusive", "--json").json["gate"]["passed"] is True


def test_sarif_goes_into_a_file_or_out(call: Callable[..., Any], here: Repository) -> None:
    here.write("a.py", EVAL)
    done = call("scan", *RUFF, "--sarif", "out/x.sarif")
    assert done.code == 0 and "a.py:1" in done.out
    written = (here.root / "out/x.sarif").read_text(encoding="utf-8")
    assert call("scan", *RUFF, "a.py", "--sarif", "-").out == written
    assert json.loads(written)["runs"][0]["results"][0]["ruleId"] == "S307"


def test_sarif_is_written_though_the_gate_fails(call: Callable[..., Any], here: Repository) -> None:
    here.write("a.py", SHELL)
    assert call("scan", *RUFF, "--sarif", "x.sarif").code == 3
    assert (here.root / "x.sarif").exists()


def test_a_text_on_the_standard_input(call: Callable[..., Any], here: Repository) -> None:
    assert call("scan", *RUFF, "-", "--language", "python", stdin=SHELL).code == 3
    done = call("scan", *RUFF, "-", "--name", "src/x.py", stdin=SHELL)
    assert done.code == 3 and done.out.startswith("src/x.py:2")
    assert call("scan", *RUFF, "-", "--name", "x.txt", stdin=SHELL).code == 0


def test_only_what_a_change_adds(call: Callable[..., Any], here: Repository) -> None:
    base = here.commit(a=SHELL)
    here.commit(b="x = 1\n")
    assert call("scan", *RUFF, f"--diff={base}").code == 0
    here.write("c.py", SHELL)
    done = call("scan", *RUFF, "--diff")
    assert done.code == 3 and [line.split()[0] for line in done.out.splitlines()] == ["c.py:2:1"]
    assert call("scan", *RUFF, "b.py", "--diff", base).code == 0, "a path narrows it"


def test_a_baseline_holds_what_was_known(call: Callable[..., Any], here: Repository) -> None:
    here.write("a.py", SHELL)
    written = call("scan", *RUFF, "--baseline", "known.json", "--write-baseline")
    assert written.code == 0 and "known before: 1" in written.err
    assert call("scan", *RUFF, "--baseline", "known.json").code == 0
    here.write("a.py", "y = 1\n" + SHELL + "os.system(y)\n")
    done = call("scan", *RUFF, "--baseline", "known.json")
    assert done.code == 3 and [line.split()[0] for line in done.out.splitlines()] == ["a.py:4:1"]


def test_what_could_not_be_read_is_no_baseline(call: Callable[..., Any], here: Repository) -> None:
    here.write("a.py", "def f(:\n")
    assert call("scan", *RUFF, "--baseline", "known.json", "--write-baseline").code == 3
    assert call("scan", *RUFF, "--baseline", "known.json").code == 3


def test_the_configuration_adds_its_scanners(call: Callable[..., Any], here: Repository) -> None:
    here.write("a.py", SHELL)
    here.write("buril.yaml", "collect: [{folder: {path: .}}]\nprepare:\n  scan: [bandit, {ruff: {ignore: [S605]}}]\n")
    done = call("scan", "--json")
    assert {item["rule"] for item in done.json["findings"]} == {"B605"}
    assert {item["rule"] for item in call("scan", "--no-config", "--json").json["findings"]} == {"S605"}
    assert call("scan", "--config", "other.yaml").code == 2


def test_secrets_are_among_what_is_looked_for_by_default(call: Callable[..., Any], here: Repository) -> None:
    token = "".join(("ghp_", "a1B2c3D4e5", "kR7mQ2xW9vB4nT6yU8pL3sD5fG"))[:40]
    here.write("notes.txt", f"token = '{token}'\n")
    done = call("scan", "--no-config")
    assert done.code == 3 and token not in done.out + done.err and "notes.txt:1" in done.out
    assert "a secret stands in the text" in done.out, "a finding without a message has its rule's"


def test_names_and_messages_do_nothing_to_a_terminal(call: Callable[..., Any], here: Repository) -> None:
    here.write("\x1b[31mred\n.py", SHELL)
    done = call("scan", *RUFF)
    assert "\x1b" not in done.out and len(done.out.splitlines()) == 1
    finding = {"ruleId": "R", "message": {"text": "\x1b]0;title\x07"}, "level": "error"}
    run = {"tool": {"driver": {"name": "T"}}, "results": [finding]}
    here.write("x.sarif", json.dumps({"version": "2.1.0", "runs": [run]}))
    assert "\x1b" not in call("scan", *RUFF, "--import", "x.sarif").out


def test_github_gets_annotations_that_nobody_can_forge(
    call: Callable[..., Any], here: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    summary = tmp_path.parent / f"{tmp_path.name}-summary.md"
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(summary))
    name = "a,b:c\n::set-output name=x::y <img src=x> |.py"
    here.write(name.replace("/", ""), SHELL + EVAL)
    done = call("scan", *RUFF, "--github")
    error, warning = done.out.splitlines()
    assert error.startswith(
        "::error file=a%2Cb%3Ac%0A%3A%3Aset-output name=x%3A%3Ay <img src=x> |.py,line=2,col=1,endColumn=10,title=ruff S605"
    )
    assert error.endswith("::a command is run by a shell") and warning.startswith("::warning file=")
    text = summary.read_text(encoding="utf-8")
    assert "buril scan: failed" in text and "<img" not in text
    assert len([line for line in text.splitlines() if line.startswith("| a")]) == 2
    summary.unlink()


@pytest.mark.parametrize(
    ("words", "code", "exit_code"),
    [
        (("missing.py",), "W235", 2),
        (("--diff",), "W232", 2),
        (("--import", "missing.sarif"), "W231", 2),
        (("--baseline", "missing.json"), "W234", 2),
        (("--write-baseline",), "W002", 2),
        (("-", "a.py"), "W002", 2),
        (("--scanner", "rufff"), "P001", 2),
        (("--scanner", "ruff: {ignor: [S1]}"), "W002", 2),
        (("--scanner", "a: b: c"), "W002", 2),
        (("--scanner", "3"), "W002", 2),
        (("-", "--language", "pyton"), "P001", 2),
        (("--fail-on", "highest"), "W002", 2),
        (("--sarif", "a.py/x.sarif"), "W236", 2),
    ],
)
def test_what_is_wrong_is_said(
    call: Callable[..., Any], tmp_path: Path, words: tuple[str, ...], code: str, exit_code: int
) -> None:
    (tmp_path / "a.py").write_text("x = 1\n")
    done = call("scan", "--no-config", *words)
    assert done.code == exit_code and f"error[{code}]" in done.err, done.err


def test_what_may_not_be_written(call: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text(EVAL)
    folder = tmp_path / "closed"
    folder.mkdir()
    done = call("scan", *RUFF, "--sarif", "closed")
    assert done.code == 2 and "error[W236]" in done.err
    assert folder.is_dir()
