"""semgrep: every rule of the pack finds its bad sample and not its good one; nothing unread passes as clean."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from buril.code.codefile import Finding
from buril.core.errors import BurilError
from buril.scanners import INCONCLUSIVE, PARTIAL, Text, owasp, top_25
from buril.scanners import _semgrep_rules as rules_of
from buril.scanners.semgrep import PROGRAM_VARIABLE, Semgrep, _unread

RULES = rules_of.load((rules_of.PACK,))
PLACES = [(rule.name, language) for rule in RULES for language in sorted(rule.languages)]
BY_NAME = {rule.name: rule for rule in RULES}


@cache
def pack(program: str) -> dict[tuple[str, str, str], list[Finding]]:
    """What the whole pack sees in every sample: one process."""
    asked = [(name, language, kind) for name, language in PLACES for kind in ("bad", "good")]
    texts = [Text(getattr(BY_NAME[name], kind), language) for name, language, kind in asked]
    scanner = Semgrep(Semgrep.Settings(program=program))
    return dict(zip(asked, scanner.scan_many(texts), strict=True))


@pytest.mark.parametrize(("name", "language"), PLACES)
def test_rule(name: str, language: str, semgrep: str) -> None:
    found = pack(semgrep)
    bad, good = found[name, language, "bad"], found[name, language, "good"]
    assert name in {item.rule for item in bad}
    assert name not in {item.rule for item in good}
    assert not {PARTIAL, INCONCLUSIVE} & {item.rule for item in [*bad, *good]}, "the sample does not parse"
    rule = BY_NAME[name]
    item = next(item for item in bad if item.rule == name)
    assert (item.scanner, item.severity, item.cwe, item.message) == ("semgrep", rule.severity, rule.cwe, rule.message)


def test_the_pack_is_in_form() -> None:
    assert len(RULES) >= 160
    for rule in RULES:
        assert rule.bad and rule.good and rule.bad != rule.good, rule.name
        assert rule.message.endswith("."), rule.name
        assert rule.cwe.startswith("CWE-") and rule.confidence in ("low", "medium", "high"), rule.name
        assert owasp(rule.cwe, 2025) or owasp(rule.cwe) or top_25(rule.cwe) or rule.cwe in UNMAPPED, rule.name
        assert set(rule.rule["metadata"]) == set(), "samples must not reach semgrep"


UNMAPPED = {"CWE-1321", "CWE-1333", "CWE-134", "CWE-367", "CWE-400", "CWE-415", "CWE-943"}
"""Weaknesses that neither of OWASP's lists nor the Top 25 of 2024 and 2025 name, and that are worth a rule."""


def test_the_pack_covers_what_a_pattern_can_see() -> None:
    """Injection, path traversal, cross-site scripting, deserialisation, ciphers and certificates in every web language."""
    wanted = {"CWE-89", "CWE-78", "CWE-22", "CWE-79", "CWE-918", "CWE-601", "CWE-328", "CWE-295"}
    for language in ("python", "javascript", "typescript", "go", "php", "ruby", "csharp"):
        have = {rule.cwe for rule in RULES if language in rule.languages}
        assert wanted <= have, (language, wanted - have)
    every = {rule.cwe for rule in RULES}
    top = {
        f"CWE-{number}"
        for number in (79, 787, 89, 352, 22, 125, 78, 416, 434, 94, 20, 77, 287, 502, 918, 476, 798, 190, 400, 120, 284)
    }
    assert top <= every, top - every
    assert {owasp(cwe, 2025)[:3] for cwe in every} >= {"A01", "A02", "A04", "A05", "A06", "A07", "A08", "A09", "A10"}


def test_scanner(semgrep: str) -> None:
    scanner = Semgrep(Semgrep.Settings(program=semgrep))
    assert scanner.self_test() == []
    told = scanner.observe()
    assert told["semgrep"].startswith("1.") and len(told["semgrep rules"]) == 16
    small = Semgrep(Semgrep.Settings(program=semgrep, max_bytes=40))
    texts = [
        Text("eval(request.args['a'])  # nosemgrep\n", "python"),
        Text("eval(1)\n", "css"),
        Text("  \n", "python"),
        Text("x = 1  # " + "a" * 50, "python"),
        Text("void f(void) { char a[8]; gets(a);\n", "c"),
    ]
    found = small.scan_many(texts)
    assert {item.rule for item in found[0]} == {"python-code-injection"}, "the author can not silence it"
    assert found[1] == found[2] == []
    assert [(item.rule, item.message) for item in found[3]] == [(INCONCLUSIVE, "larger than 40 bytes")]
    assert found[4], "a file that can't be parsed is found out, or read all the same"


def test_a_program_may_be_told_from_where_one_stands(
    semgrep: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    found = Semgrep(Semgrep.Settings(program=os.path.relpath(semgrep, tmp_path))).scan("eval(input())\n", "python")
    assert INCONCLUSIVE not in {item.rule for item in found}


def test_rules_of_a_user(tmp_path: Path, semgrep: str) -> None:
    rule: dict[str, Any] = {
        "id": "acme-print", "languages": ["python"], "severity": "INFO", "message": "no print",
        "metadata": {"cwe": ["CWE-532: a log"]}, "pattern": "print(...)",
    }  # fmt: skip
    path = tmp_path / "acme.yaml"
    path.write_text(json.dumps({"rules": [rule]}))
    scanner = Semgrep(Semgrep.Settings(program=semgrep, rules=(str(tmp_path),)))
    assert list(scanner.scan("print(1)\neval(input())\n", "python")) == [
        Finding("semgrep", "acme-print", 1, "low", "no print", "CWE-532", "A09:2021", "", 0, 1, 9)
    ]
    path.write_text(json.dumps({"rules": [{**rule, "pattern": "print((("}]}))
    rules_of.load.cache_clear()
    with pytest.raises(BurilError, match="D223"):
        scanner.scan_many([Text("x = 1\n", "python")])


@pytest.mark.parametrize("text", ["- a\n- b\n", "rules: 3\n", "rules: [{id: a}]\n", "a: [\n", "{}"])
def test_a_file_that_holds_no_rules(text: str, tmp_path: Path) -> None:
    (tmp_path / "rules.yaml").write_text(text)
    with pytest.raises(BurilError, match="D223"):
        rules_of.load((str(tmp_path / "rules.yaml"),))
    with pytest.raises(BurilError, match="D223"):
        rules_of.load((str(tmp_path / "absent.yaml"),))


def test_two_rules_of_one_name(tmp_path: Path) -> None:
    rule = "rules: [{id: a, languages: [python], severity: INFO, message: m, pattern: f()}]\n"
    (tmp_path / "a.yaml").write_text(rule)
    (tmp_path / "b.yaml").write_text(rule)
    with pytest.raises(BurilError, match="D223") as told:
        rules_of.load((str(tmp_path),))
    assert "two rules have the id a" in told.value.cause


def test_without_the_program_the_error_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv(PROGRAM_VARIABLE, raising=False)
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    with pytest.raises(BurilError, match="D220") as told:
        Semgrep().observe()
    assert "pipx install semgrep" in told.value.hint and PROGRAM_VARIABLE in told.value.hint
    assert told.value.exit_code == 4
    monkeypatch.setenv(PROGRAM_VARIABLE, str(tmp_path / "no-such-program"))
    with pytest.raises(BurilError, match="D220") as told:
        Semgrep().observe()
    assert "no-such-program" in told.value.cause


def test_what_semgrep_could_not_read_is_said() -> None:
    span = {"start": {"line": 3}, "end": {"line": 7}}
    partial = _unread({"type": ["PartialParsing", [span]], "spans": [span], "path": "000000.c"})
    assert (partial.rule, partial.line, partial.end_line) == (PARTIAL, 3, 7)
    assert _unread({"type": "Timeout", "path": "000000.c"}).rule == PARTIAL
    for kind in ("Syntax error", "Lexical error", "Out of memory", None):
        assert _unread({"type": kind, "path": "000000.c"}).rule == INCONCLUSIVE


def fake(folder: Path, told: dict[str, Any], code: int = 0) -> str:
    path = folder / "semgrep"
    path.write_text(f"#!{sys.executable}\nprint({json.dumps(told)!r})\nraise SystemExit({code})\n")
    path.chmod(0o755)
    return str(path)


def test_a_file_that_semgrep_leaves_out_is_inconclusive(tmp_path: Path) -> None:
    """An engine that scans nothing and ends well is the way in which such a gate fails open."""
    program = fake(tmp_path, {"results": [], "errors": [], "paths": {"scanned": []}})
    scanner = Semgrep(Semgrep.Settings(program=program))
    assert [item.rule for item in scanner.scan("os.system(x)\n", "python")] == [INCONCLUSIVE]
    assert scanner.self_test() != []


@pytest.mark.parametrize("code", [0, 2, 3])
def test_a_program_that_breaks(code: int, tmp_path: Path) -> None:
    path = Path(fake(tmp_path, {"results": [], "errors": [], "paths": {"scanned": []}}, code))
    if code == 0:
        path.write_text("#!/bin/sh\necho 'no json'\n")
    found = Semgrep(Semgrep.Settings(program=str(path))).scan("x = 1\n", "python")
    assert [item.rule for item in found] == [INCONCLUSIVE]


def test_it_needs_no_network(semgrep: str) -> None:
    """In a network namespace of its own, without even a loopback, the answer is the same."""
    if shutil.which("unshare") is None or subprocess.run(["unshare", "-rn", "true"], check=False).returncode:
        pytest.skip("this machine allows no network namespace")
    code = (
        "from buril.scanners.semgrep import Semgrep\n"
        "print([item.rule for item in Semgrep().scan('import os\\nos.system(input())\\n', 'python')])"
    )
    done = subprocess.run(
        ["unshare", "-rn", sys.executable, "-c", code],
        env={**os.environ, PROGRAM_VARIABLE: semgrep}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.stdout.strip() == "['python-command-injection']", done.stderr


def test_the_page_of_the_coverage_is_in_step() -> None:
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run(
        [sys.executable, str(root / "scripts/scanning.py"), "--check"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
