"""HumanEvalFix, CRUXEval and infilling: what they ask, and that only what is right passes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from buril.core.errors import BurilError
from buril.evaluate.suites.cruxeval import Cruxeval
from buril.evaluate.suites.humaneval_fix import HumanevalFix
from buril.evaluate.suites.humaneval_infilling import HumanevalInfilling
from buril.generators._generator import Completion
from tests.evaluate.writer import Writer

DATA = Path(__file__).resolve().parents[3] / "shared/data/eval"
FIX = {
    "task_id": "Python/0", "entry_point": "inc", "declaration": "import math\n\n\ndef inc(n):\n",
    "prompt": 'import math\n\n\ndef inc(n):\n    """One more."""\n', "canonical_solution": "    return n + 1\n",
    "buggy_solution": "    return n - 1\n", "test": "\n\ndef check(inc):\n    assert inc(1) == 2\n\ncheck(inc)",
}  # fmt: skip
CRUX = [
    {"id": "s0", "code": "def f(a, b):\n    return (a + b) * 2", "input": "'x', ')'", "output": "'x)x)'"},
    {"id": "s1", "code": "def f():\n    return [1]", "input": "", "output": "[1]"},
]
HOLES = {
    "task_id": "HumanEval/0", "entry_point": "inc", "prompt": 'def inc(n):\n    """One more."""\n',
    "canonical_solution": "    # one\n    more = 1\n\n    return n + more\n",
    "test": "def check(candidate):\n    assert candidate(1) == 2\n",
}  # fmt: skip


def written(tmp_path: Path, *lines: Any) -> Path:
    path = tmp_path / "tasks.jsonl"
    path.write_text("\n".join(map(json.dumps, lines)))
    return path


# --- HumanEvalFix


@pytest.mark.parametrize(("body", "passed"), [("    return n + 1\n", 1.0), ("    return n - 1\n", 0.0)])
def test_a_bug_put_right_passes(tmp_path: Path, told: Any, body: str, passed: float) -> None:
    suite = HumanevalFix(HumanevalFix.Settings(path=written(tmp_path, FIX)))
    writer = Writer({"inc": body}, template=True)
    context = told(writer)
    suite.check(context)
    found = suite.run(context)
    assert {name: item.numerators for name, item in found.measures.items()} == {
        name: [passed] for name in ("pass@1", "tests@1", "pass@1 chat", "tests@1 chat")
    }
    plain, chat = writer.requests
    assert plain.prompt.endswith("without the bug:\n\nimport math\n\n\ndef inc(n):\n")
    assert "assert inc(1) == 2" in plain.prompt and "check(inc)\n\n" not in plain.prompt
    assert "return n - 1" in chat.prompt and "return n + 1" not in chat.prompt
    assert chat.prefill == f"```python\n{FIX['declaration']}"
    assert not any(row["forgeable"] for row in found.samples)


def test_the_docstring_may_be_shown_instead(tmp_path: Path, told: Any) -> None:
    suite = HumanevalFix(HumanevalFix.Settings(path=written(tmp_path, FIX), shown="docstring", prompt="plain"))
    writer = Writer({"inc": "    return n + 1\n"})
    assert suite.run(told(writer)).measures["pass@1"].numerators == [1.0]
    assert "One more." in writer.requests[0].prompt and "assert inc" not in writer.requests[0].prompt


def test_a_bug_that_no_test_finds_is_an_error(tmp_path: Path, told: Any) -> None:
    suite = HumanevalFix(HumanevalFix.Settings(path=written(tmp_path, {**FIX, "buggy_solution": "    return 1 + n\n"})))
    with pytest.raises(BurilError) as caught:
        suite.check(told())
    assert caught.value.code == "E006"


# --- CRUXEval


@pytest.mark.parametrize(("output", "given", "passed"), [
    (" 'x)x)'", "'x', ')') == 'x)x)'", (1.0, 1.0)),  # the second bracket closes the call
    (" 'x)' * 2\nassert 1", "a='x', b=')')", (1.0, 1.0)),
    (" 'x)x'", "')', 'x')", (0.0, 0.0)),
    (" f('x', ')')", "0) or ('x)x)'", (0.0, 0.0)),  # the function is not there; more than a call's arguments
    (" ", "", (0.0, 0.0)),
    (" (", "'x', ", (0.0, 0.0)),
])  # fmt: skip
def test_both_sides_are_judged_by_value(
    tmp_path: Path, told: Any, output: str, given: str, passed: tuple[float, float]
) -> None:
    suite = Cruxeval(Cruxeval.Settings(path=written(tmp_path, CRUX[0])))
    assert suite.metrics() == ("pass@1 output", "pass@1 input", "pass@1 output chat", "pass@1 input chat")
    context = told(Writer({"# f(??)": given, "==": output}))
    suite.check(context)
    found = suite.run(context)
    assert {name: item.numerators for name, item in found.measures.items()} == {
        "pass@1 output": [passed[0]], "pass@1 input": [passed[1]],
    }  # fmt: skip
    assert not any(row["forgeable"] for row in found.samples)


def test_more_than_the_arguments_of_a_call_is_no_answer(tmp_path: Path, told: Any) -> None:
    """Cut at the call's end or not: what stands behind it could be the value that is wanted."""
    suite = Cruxeval(Cruxeval.Settings(path=written(tmp_path, CRUX[0]), side="input"))
    problems = suite.problems(told())
    answers = ["0) or ('x)x)'", "'x', ')') and str('x)x)'", "'x', ')'"]
    found = suite.judge(problems * 3, answers, told())
    assert [verdict.status for verdict in found] == ["wrong", "wrong", "pass"]


def test_a_function_without_arguments_has_one_side(tmp_path: Path, told: Any) -> None:
    suite = Cruxeval(Cruxeval.Settings(path=written(tmp_path, *CRUX)))
    assert [item.name for item in suite.problems(told())] == ["s0:output", "s0:input", "s1:output"]
    one = Cruxeval(Cruxeval.Settings(path=written(tmp_path, *CRUX), side="input"))
    assert [item.name for item in one.problems(told())] == ["s0:input"] and one.metrics()[0] == "pass@1 input"


def test_a_function_that_gives_something_else_here_is_an_error(tmp_path: Path, told: Any) -> None:
    suite = Cruxeval(Cruxeval.Settings(path=written(tmp_path, {**CRUX[0], "output": "'x'"})))
    with pytest.raises(BurilError) as caught:
        suite.check(told())
    assert caught.value.code == "E006"
    with pytest.raises(BurilError) as caught:
        Cruxeval(Cruxeval.Settings(path=written(tmp_path, {**CRUX[0], "output": "f()"}))).problems(told())
    assert caught.value.code == "E009"


# --- infilling


def test_lines_are_left_out_in_turn(tmp_path: Path, told: Any) -> None:
    path = written(tmp_path, HOLES)
    suite = HumanevalInfilling(HumanevalInfilling.Settings(path=path))
    problems = suite.problems(told())
    assert [item.name for item in problems] == ["HumanEval/0/2", "HumanEval/0/4"], "no blank lines, no comments"
    assert all(item.task.solution == HOLES["prompt"] + HOLES["canonical_solution"] for item in problems)
    assert problems[0].head.endswith("# one\n") and problems[0].tail == "\n\n    return n + more\n"
    several = HumanevalInfilling(HumanevalInfilling.Settings(path=path, hole="lines")).problems(told())
    assert [item.name for item in several] == ["HumanEval/0/2-4"] and several[0].tail == "\n" and several[0].stops == ()


def test_a_hole_is_asked_by_what_stands_around_it(tmp_path: Path, told: Any) -> None:
    suite = HumanevalInfilling(HumanevalInfilling.Settings(path=written(tmp_path, HOLES)))
    assert suite.metrics() == ("pass@1", "tests@1")
    writer = Writer({"more =": "    return more + n", "": "    more = 0"})
    context = told(writer)
    suite.check(context)
    assert suite.run(context).measures["pass@1"].numerators == [0.0, 1.0]
    assert [request.suffix for request in writer.requests] == [item.tail for item in suite.problems(context)]
    assert {request.stop for request in writer.requests} == {("\n",)}


def test_what_goes_on_into_the_text_after_is_cut(tmp_path: Path, told: Any) -> None:
    more = {**HOLES, "canonical_solution": "    a = n\n    b = a\n    c = b\n    return c + 1\n"}
    suite = HumanevalInfilling(HumanevalInfilling.Settings(path=written(tmp_path, more), hole="lines"))
    problem = suite.problems(told())[0]
    assert problem.name == "HumanEval/0/1-2"
    text = suite.text_of(Completion("    a = n\n    b = a\n    c = b\n    return 7", (), "length", 0.0), problem)
    assert text == "    a = n\n    b = a"


def test_the_authors_files_are_read_as_they_are(tmp_path: Path, told: Any) -> None:
    line = {**HOLES, "task_id": "SingleLineInfilling/HumanEval/0/L0", "prompt": HOLES["prompt"], "suffix": "    return n + more\n",
            "canonical_solution": "    more = 1\n"}  # fmt: skip
    suite = HumanevalInfilling(HumanevalInfilling.Settings(path=written(tmp_path, line)))
    suite.check(told())
    writer = Writer({"": "    more = 1\n"})
    assert suite.run(told(writer)).measures["pass@1"].numerators == [1.0]
    assert writer.requests[0].suffix == "    return n + more\n"


# --- the published tasks


@pytest.mark.parametrize(("kind", "path", "number"), [
    (HumanevalFix, "humanevalpack/evaluation/create/humaneval-x/data/python/data/humanevalpack.jsonl", 164),
    (Cruxeval, "cruxeval/cruxeval.jsonl", 1599), (HumanevalInfilling, "humaneval/HumanEval.jsonl.gz", 1032),
])  # fmt: skip
def test_the_published_tasks_hold(kind: Any, path: str, number: int, told: Any) -> None:
    if not (DATA / path).exists():
        pytest.skip("the published tasks are not beside this checkout")
    suite = kind(kind.Settings(path=DATA / path))
    assert len(suite.problems(told(max_items=10_000))) == number
    suite.check(told(max_items=60))
