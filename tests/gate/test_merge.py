"""Several scanners, one weakness; one scanner, several weaknesses."""

from __future__ import annotations

from dataclasses import replace

from buril.code.attribution import Piece
from buril.code.codefile import Finding
from buril.gate.merge import family, merged
from buril.gate.result import Result


def result(scanner: str, line: int, cwe: str = "CWE-78", severity: str = "high", path: str = "a.py") -> Result:
    return Result(path, Finding(scanner, f"{scanner}-rule", line, severity, cwe=cwe))


def shape(results: list[Result]) -> list[tuple[str, int, int]]:
    return [(item.finding.scanner, item.finding.line, len(item.also)) for item in merged(results)]


def test_near_lines_and_one_family_are_one() -> None:
    assert shape([result("ruff", 10), result("codeql", 12, "CWE-88"), result("bandit", 9)]) == [("ruff", 10, 2)]


def test_far_lines_other_families_and_other_files_are_not() -> None:
    found = [
        result("ruff", 10),
        result("codeql", 13),
        result("semgrep", 10, "CWE-89"),
        result("bandit", 10, path="b.py"),
    ]
    assert len(merged(found)) == 4


def test_two_of_one_scanner_are_two_and_each_finds_its_own() -> None:
    found = [result("ruff", 10), result("ruff", 12), result("bandit", 12), result("bandit", 10)]
    assert shape(found) == [("ruff", 10, 1), ("ruff", 12, 1)]
    assert shape([result("ruff", 10), result("bandit", 10), result("bandit", 11)]) == [
        ("ruff", 10, 1),
        ("bandit", 11, 0),
    ]


def test_the_worst_severity_stays() -> None:
    (one,) = merged([result("ruff", 1, severity="low"), result("codeql", 1, severity="high")])
    assert one.finding.severity == "high" and one.also == ("codeql codeql-rule",)


def test_what_wrote_any_of_the_lines_stays() -> None:
    piece = Piece(11, 12, "abc123abc123", "7a7a7a7a7a7a", 1.0, "named")
    (one,) = merged([result("ruff", 10), replace(result("bandit", 11), generated=piece)])
    assert one.finding.scanner == "ruff" and one.generated == piece


def test_what_has_no_weakness_stays_alone() -> None:
    assert len(merged([result("ruff", 1, ""), result("codeql", 1, "")])) == 2


def test_families() -> None:
    assert family("CWE-78") == family("CWE-88") != family("CWE-89")
    assert family("CWE-1004") == "CWE-1004"
    assert family("") == "" == family("NVD-CWE-noinfo")
