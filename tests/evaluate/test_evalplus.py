"""HumanEval+ and MBPP+: what their files say is read as meant, and an answer counts when it is the solution's."""

from __future__ import annotations

import gzip
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from buril.core.errors import BurilError
from buril.evaluate._plus import Plus, agrees, read
from buril.evaluate._replay import Script, scripts
from buril.evaluate.suite import SuiteContext
from buril.evaluate.suites.evalplus import Evalplus
from buril.evaluate.suites.humaneval import Humaneval
from buril.sandboxes._codec import decode, encode
from buril.sandboxes.namespaces import Namespaces
from tests.evaluate.writer import Writer

HUMANEVAL = Path(__file__).resolve().parents[3] / "shared/data/eval/humaneval/HumanEval.jsonl.gz"
INC = {
    "task_id": "HumanEval/900", "entry_point": "inc", "prompt": 'def inc(n):\n    """One more."""\n', "atol": 0,
    "canonical_solution": "    return n + 1\n", "contract": "    assert n < 9\n", "base_input": [[1], [2]],
    "plus_input": [[-1], [10**20], [0.5]],
}  # fmt: skip
SHARED = {
    "task_id": "Mbpp/2", "entry_point": "similar_elements", "atol": 0,
    "prompt": '"""\nWrite a function to find the shared elements from the given two lists.\n'
              'assert set(similar_elements((3, 4), (5, 4))) == set((4,))\n"""\n',
    "canonical_solution": "\ndef similar_elements(a, b):\n    assert type(a) is tuple\n    return tuple(set(a) & set(b))\n",
    "base_input": [[[3, 4, 5], [5, 4, 7]]], "plus_input": [[[], []], [[9, 8, 7], [7, 8, 9]]],
}  # fmt: skip
ORIGIN = {
    "task_id": "HumanEval/901", "entry_point": "half", "prompt": 'def half(x):\n    """Half of it."""\n',
    "canonical_solution": "    return x / 2\n",
    "test": "import numpy as np\n\ndef check(candidate):\n    inputs = [[1], [-3.5], [inf], [float('nan')]]\n"
            "    results = [0.5]\n    for i, (inp, exp) in enumerate(zip(inputs, results)):\n"
            "        assertion(candidate(*inp), exp, 0)\n",
}  # fmt: skip
HUB = {
    "task_id": 903, "code": "def both(a, b):\n    return a | b", "prompt": "Write a function to join two sets.",
    "test_list": ["assert both({1}, {2}) == {1, 2}"],
    "test": "inputs = [[{1, 2}, set()], [{(1, 2)}, {3}]]\nresults = []\nfor i, (inp, exp) in enumerate(zip(inputs, results)):"
            "\n    assertion(both(*inp), exp, 0)\n",
}  # fmt: skip


def suite(tmp_path: Path, *lines: Any, **more: Any) -> Evalplus:
    path = tmp_path / "tasks.jsonl"
    path.write_text("\n".join(map(json.dumps, lines)))
    return Evalplus(Evalplus.Settings(path=path, **more))


def test_every_form_of_file_holds_here(tmp_path: Path, told: Callable[..., SuiteContext]) -> None:
    made = suite(tmp_path, INC, SHARED, ORIGIN, HUB)
    context = told()
    made.check(context)
    names = [item.name for item in made.problems(context)]
    assert names == ["HumanEval/900", "Mbpp/2", "HumanEval/901", "Mbpp/903"]
    half = made.problems(context)[2].task
    assert half.inputs[:3] == ((1,), (-3.5,), (math.inf,)) and math.isnan(half.inputs[3][0])
    joined = made.problems(context)[3]
    assert joined.task.entry == "both" and joined.task.inputs == (({1, 2}, set()), ({(1, 2)}, {3}))
    assert "join two sets" in joined.plain and "assert both({1}" in joined.plain and joined.head == ""


def test_the_earlier_tests_have_a_score_and_parts_have_credit(
    tmp_path: Path, told: Callable[..., SuiteContext]
) -> None:
    writer = Writer({
        "One more": "    return {1: 2, 2: 3}.get(n, n)\n",  # right before, wrong with the new tests
        "Half": "    return x * 0.5\n",
        "shared elements": "def similar_elements(a, b):\n    return [x for x in b if x in a]\n",  # a list will do
        "join two sets": "def both(a, b):\n    return a\n",
    })  # fmt: skip
    made = suite(tmp_path, INC, SHARED, ORIGIN, HUB, prompt="plain")
    context = told(writer)
    made.check(context)
    result = made.run(context)
    assert set(result.measures) == {"pass@1", "pass@1 base", "tests@1"} == set(made.metrics())
    scores = {name: dict(zip(one.units, one.numerators, strict=True)) for name, one in result.measures.items()}
    assert scores["pass@1"] == {"HumanEval/900": 0, "Mbpp/2": 1, "HumanEval/901": 1, "Mbpp/903": 0}
    assert scores["pass@1 base"] == {"HumanEval/900": 1, "Mbpp/2": 1}, "the others do not tell which were before"
    assert scores["tests@1"] == {"HumanEval/900": 0.4, "Mbpp/2": 1, "HumanEval/901": 1, "Mbpp/903": 0.5}
    row = next(row for row in result.samples if row["id"] == "HumanEval/900")
    assert (row["tests"], row["passed_tests"], row["status"], row["forgeable"]) == (5, 2, "wrong", False)
    assert row["calls"] == [{"args": "-1", "expected": "0", "status": "wrong", "got": "-1"}]


@pytest.mark.parametrize(
    "body",
    [
        "    class Always:\n        __eq__ = lambda *_: True\n    return Always()\n",
        "    import os\n    os._exit(0)\n",
        "    raise SystemExit(0)\n",
        "    return None\n",
        "    return n + 2\n",
        "    return str(n + 1)\n",
    ],
)
def test_what_is_not_the_answer_fails(tmp_path: Path, told: Callable[..., SuiteContext], body: str) -> None:
    made = suite(tmp_path, INC, prompt="plain")
    context = told(Writer({"One more": body}))
    made.check(context)
    result = made.run(context)
    assert [result.measures[name].numerators for name in ("pass@1", "pass@1 base", "tests@1")] == [[0], [0], [0]]


def test_a_file_that_is_none_and_a_task_that_does_not_hold(tmp_path: Path, told: Callable[..., SuiteContext]) -> None:
    for broken in (
        {**INC, "base_input": [], "plus_input": []},
        {"task_id": "HumanEval/1"},
        {**ORIGIN, "test": "x = 1"},
    ):
        with pytest.raises(BurilError) as caught:
            suite(tmp_path, broken).check(told())
        assert caught.value.code == "E009"
    for broken in (
        {**INC, "canonical_solution": "    raise ValueError\n"},
        {**INC, "canonical_solution": "    pass\n"},
    ):
        with pytest.raises(BurilError) as caught:
            suite(tmp_path, broken).check(told())
        assert caught.value.code == "E006", broken["canonical_solution"]


def test_tests_that_the_solution_has_no_answer_to_do_not_count(
    tmp_path: Path, told: Callable[..., SuiteContext]
) -> None:
    line = {**INC, "plus_input": [["text"], [4]]}
    made = suite(tmp_path, line, prompt="plain")
    context = told(Writer({"One more": "    return n + 1 if n != 'text' else 7\n"}))
    made.check(context)
    result = made.run(context)
    assert result.measures["pass@1"].numerators == [1] and result.samples[0]["tests"] == 3


def _task(entry: str, *, mbpp: bool, atol: float = 0) -> Plus:
    return Plus("T/1", entry, "", ((1,),), 0, atol, mbpp)


@pytest.mark.parametrize(
    ("task", "got", "wanted", "right"),
    [
        (_task("f", mbpp=False), 1, True, True),  # as Python says
        (_task("f", mbpp=False), (1, 2), [1, 2], False),
        (_task("f", mbpp=False), 0.3000001, 0.3, True),
        (_task("f", mbpp=False), 0.30001, 0.3, False),
        (_task("f", mbpp=False), [0.5, 0.2500001], [0.5, 0.25], True),
        (_task("f", mbpp=False), [0.5], [0.5, 0.25], False),
        (_task("f", mbpp=False), (0.5,), [0.5000001], False),
        (_task("f", mbpp=False), 3, 3.0000001, False),  # another kind of number, unless it is equal
        (_task("f", mbpp=False), 3, 3.0, True),
        (_task("f", mbpp=False, atol=0.5), 3.4, 3.0, True),
        (_task("f", mbpp=False), math.nan, math.nan, True),
        (_task("f", mbpp=False), "a", "b", False),
        (_task("similar_elements", mbpp=True), [2, 1, 1], (1, 2), True),
        (_task("similar_elements", mbpp=True), [2], (1, 2), False),
        (_task("similar_elements", mbpp=True), "12", (1, 2), False),
        (_task("similar_elements", mbpp=False), [2, 1], (1, 2), False),
        (_task("check_str", mbpp=True), "found", True, True),
        (_task("check_str", mbpp=True), None, True, False),
        (_task("check_str", mbpp=True), None, None, True),
        (_task("check_str", mbpp=True), False, None, True),
        (_task("are_equivalent", mbpp=True), False, True, True),  # so put that a constant answers it
        (_task("sum_div", mbpp=True), 0, 5, True),
        (_task("sum_div", mbpp=True), 4, 5, False),
    ],
)
def test_when_an_answer_counts(task: Plus, got: Any, wanted: Any, right: bool) -> None:
    assert agrees(task, (1,), encode(got), encode(wanted)) is right


@pytest.mark.parametrize(("got", "right"), [(-0.5, True), (-0.50001, True), (0.5, False), ("x", False), (1e300, False)])
def test_a_root_is_where_the_polynomial_is_near_zero(got: Any, right: bool) -> None:
    task = _task("find_zero", mbpp=False, atol=1e-4)
    assert agrees(task, ([1, 2, 0, 0],), encode(got), encode(-0.5)) is right


@pytest.mark.parametrize(
    ("number", "given", "meant"),
    [
        (116, [[1, 2]], ((1, 2),)),
        (63, [[[1, 2], [3]]], ([(1, 2), (3,)],)),
        (75, [[[6, 24]], 6], ([(6, 24)], 6)),
        (106, [[1], [2, 3]], ([1], (2, 3))),
        (307, [[1, []], 1, 50], ((1, []), 1, 50)),
        (401, [[[1, 3]], [[6]]], (((1, 3),), ((6,),))),
        (278, [[1, [2]]], ((1, (2,)),)),
        (115, [[[1], [], {}]], ([{1}, {}, {}],)),
        (722, [{"a": [1, 2]}, 3], ({"a": (1, 2)}, 3)),
        (252, ["1j"], (1j,)),
        (124, ["0", "1j"], (0.0, 1j)),
        (615, [[[1, 2], [3]]], (((1, 2), (3,)),)),
        (903, [[1, [2]]], ([1, [2]],)),
    ],
)
def test_lists_that_are_none_are_told_by_the_number_of_the_task(number: int, given: Any, meant: Any) -> None:
    line = {**SHARED, "task_id": f"Mbpp/{number}", "base_input": [given], "plus_input": []}
    assert read(line).inputs == (meant,)


@pytest.mark.skipif(not HUMANEVAL.exists(), reason="needs HumanEval beside the checkout")
def test_its_verdicts_are_those_of_humaneval_on_the_same_tests(
    tmp_path: Path, told: Callable[..., SuiteContext], sandbox: Namespaces
) -> None:
    """HumanEval's own tests as arguments: its solutions pass both ways, and so fail those of the next task."""
    known = {row["task_id"]: row for row in map(json.loads, gzip.decompress(HUMANEVAL.read_bytes()).splitlines())}
    plain, context = Humaneval(Humaneval.Settings(path=HUMANEVAL)), told(max_items=40)
    asked = plain.problems(context)
    plain.prepare(asked, context)
    lines = []
    for item, script in zip(asked, scripts([one.task for one in asked], sandbox), strict=True):
        assert isinstance(script, Script) and script.calls
        row = {key: known[item.name][key] for key in ("task_id", "prompt", "canonical_solution", "entry_point")}
        lines.append({**row, "base_input": [decode(call) for call in script.calls], "plus_input": [], "atol": 1e-4})
    made = suite(tmp_path, *lines)
    problems = made.problems(context)
    made.check(context)
    programs = [item.task.solution for item in problems]
    for index, line in enumerate(lines[1:]):  # a right head with another task's body
        programs.append(problems[index].head + "\n" + line["canonical_solution"])
    twice, again = [*problems, *problems[:-1]], [*asked, *asked[:-1]]
    ours = made.judge(twice, programs, context)
    theirs = plain.judge(again, programs, context)
    assert [one.passed for one in ours] == [one.passed for one in theirs]
    assert all(one.passed for one in ours[:40]) and not any(one.passed for one in ours[40:])
