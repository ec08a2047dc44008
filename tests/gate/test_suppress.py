"""Suppressions: where they stand, what they need, and what they are no use for."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from buril.code.codefile import Finding
from buril.gate.result import Result
from buril.gate.scan import Report
from buril.gate.suppress import applied, marks
from tests.gate.conftest import Repository, seen

Look = Callable[..., Report]


def judged(text: str, language: str = "python", **told: object) -> list[Result]:
    line = int(str(told.pop("line", 1)))
    finding = Finding("ruff", "S602", line, "high", cwe="CWE-78", end_line=int(str(told.pop("end_line", 0))))
    return applied("a", [Result("a", finding)], marks(text, language), {"S602", "S307"})


def suppressed(text: str, language: str = "python", **told: object) -> bool:
    return judged(text, language, **told)[0].suppression is not None


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("x()  # buril: ignore[S602] a constant command", 1),
        ("x()  # buril: ignore[S602]: a constant command", 1),
        ("x()  #buril:ignore[ S307 , s602 ] a constant command", 1),
        ("x()  # buril: ignore[ruff/S602] a constant command", 1),
        ("x()  # buril: ignore[CWE-78] a constant command", 1),
        ("# buril: ignore[S602] a constant command\nx()", 2),
        ("# buril: ignore[S602] a constant command\n# and more words\nx()", 3),
        ("if x:\n    # buril: ignore[S602] a constant command\n    x()", 3),
    ],
)
def test_it_counts_behind_the_code_and_above_it(text: str, line: int) -> None:
    assert suppressed(text, line=line)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("x()  # buril: ignore[S602]", 1),
        ("x()  # buril: ignore[S602] -", 1),
        ("x()  # buril: ignore a constant command", 1),
        ("x()  # buril: ignore[] a constant command", 1),
        ("x()  # buril: ignore[S307] a constant command", 1),
        ("x()  # buril: ignore[bandit/S602] a constant command", 1),
        ("x()  # write buril: ignore[S602] reason to silence it", 1),
        ("x()  # noqa: S602", 1),
        ("x('# buril: ignore[S602] no comment')", 1),
        ('"""\n# buril: ignore[S602] no comment\n"""\nx()', 4),
        ("y()  # buril: ignore[S602] a constant command\nx()", 2),
        ("# buril: ignore[S602] a constant command\ny()\nx()", 3),
        ("x()\n# buril: ignore[S602] a constant command", 1),
    ],
)
def test_it_does_not_count(text: str, line: int) -> None:
    assert not suppressed(text, line=line)


@pytest.mark.parametrize(
    ("language", "text", "line"),
    [
        ("javascript", "run(x) // buril: ignore[S602] a constant", 1),
        ("javascript", "/* buril: ignore[S602] a constant */ run(x)", 1),
        ("java", "class A {\n  /*\n   * buril: ignore[S602] a constant\n   */\n  int x = f();\n}", 5),
        ("html", "<p>\n<!-- buril: ignore[S602] a constant -->\n<p>", 3),
        ("sql", "-- buril: ignore[S602] a constant\nselect 1;", 2),
        ("lua", "x() -- buril: ignore[S602] a constant", 1),
        ("bash", "eval x # buril: ignore[S602] a constant", 1),
        ("", "key = 1 # buril: ignore[S602] a constant", 1),
        ("", "; buril: ignore[S602] a constant\nkey = 1", 2),
    ],
)
def test_every_language_has_its_comments(language: str, text: str, line: int) -> None:
    (result, *_rest) = judged(text, language, line=line)
    assert result.suppression is not None and result.suppression.reason == "a constant"


def test_a_finding_of_several_lines_is_suppressed_at_its_ends_alone() -> None:
    text = "x(\n    1,  # buril: ignore[S602] inside\n)"
    assert not suppressed(text, end_line=3)
    assert suppressed(text.replace("x(", "x(  # buril: ignore[S602] first"), end_line=3)
    assert suppressed(text + "  # buril: ignore[S602] last", end_line=3)


def test_what_is_of_no_use_is_told() -> None:
    def told(text: str) -> list[tuple[str, int]]:
        return [(item.finding.rule, item.finding.line) for item in judged(text)[1:]]

    assert told("x()  # buril: ignore[S602]") == [("suppression-without-reason", 1)]
    assert told("x()  # buril: ignore because I say so") == [("suppression-without-rule", 1)]
    assert told("x()  # buril: ignore[S602, S307] a constant") == [("suppression-unused", 1)]
    assert told("x()  # buril: ignore[S602, CWE-78] a constant") == []
    assert told("x()  # buril: ignore[S602] a constant") == []
    assert told("x()  # buril: ignore[S602, B602] B602 is of a scanner that did not run") == []
    assert told("x()\ny()  # buril: ignore[CWE-79] a constant") == [("suppression-unused", 2)]


def test_what_was_not_analysed_is_not_suppressed(repository: Repository, look: Look) -> None:
    repository.write("a.py", "def f(:  # buril: ignore[inconclusive] trust me\n")
    assert [item.path for item in look().unread] == ["a.py"]


def test_a_suppression_can_not_suppress_what_is_said_of_it(repository: Repository, look: Look) -> None:
    repository.write("a.py", "# buril: ignore[suppression-unused] be quiet\neval(x)  # buril: ignore[S307]\n")
    assert ("a.py", 2, "suppression-without-reason") in seen(look())


def test_one_scanner_more_says_more(repository: Repository, look: Look) -> None:
    repository.write("a.py", "import os\nos.system(x)  # buril: ignore[S605] the operator's own command\n")
    assert seen(look()) == []
    assert seen(look(scanners=("ruff", "bandit"))) == [("a.py", 2, "B605")]
    repository.write("a.py", "import os\nos.system(x)  # buril: ignore[CWE-78] the operator's own command\n")
    assert seen(look(scanners=("ruff", "bandit"))) == []
