"""Answers chosen from samples: by the examples of the task's own text, and by vote."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from buril.core.artifact import Artifact
from buril.core.errors import BurilError
from buril.evaluate._examples import Behaviour, Example, behaviours, by_examples, by_vote, examples_of, first_broken
from buril.evaluate.suite import SuiteContext
from buril.evaluate.suites.humaneval import Humaneval
from buril.generators._generator import Completion
from buril.sandboxes.namespaces import Namespaces

MakeInputs = Callable[[], dict[str, Artifact]]


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Namespaces]:
    with Namespaces(Namespaces.Settings()) as made:
        yield made


@pytest.mark.parametrize(("text", "found"), [
    (">>> f([1, 2], 'a')\n    3\n", [(([1, 2], "a"), 3)]),
    ("f(')') == 1\nf(2) ==> [2]\n* f(3) => true\n", [((")",), 1), ((2,), [2]), ((3,), True)]),
    ('For f("x") -> None.\nf(5) ➞ (1, 2)   # first\n', [(("x",), None), ((5,), (1, 2))]),
    ("f(1) should return 2;\nf(2) returns 'b'", [((1,), 2), ((2,), "b")]),
    (">>> f(x)\n    3\n>>> f(1, k=2)\n    4\n>>> g(1)\n    2\nf(1)\nthen\ndef f(1):\n", []),
    (">>> round(f(1.5), 1)\n    2.0\n>>> f(2)\nsome words\n", []),
])  # fmt: skip
def test_examples_are_read(text: str, found: list[Any]) -> None:
    assert examples_of(text, "f") == [Example(arguments, value) for arguments, value in found]


def test_behaviour_is_what_came(sandbox: Namespaces) -> None:
    examples = [Example((1,), 2), Example((0,), 1), Example((2,), True)]
    programs = ["def f(n):\n    return n + 1\n", "def f(n):\n    return 2 // n\n", "def g():\n    pass\n", "(", ""]
    found = behaviours([(program, "f", examples) for program in programs], sandbox)
    assert [item.kept for item in found] == [2, 1, 0, 0, 0], "types count: 3 is not True"
    assert found[0].given == ("2", "1", "3") and found[1].given[1] == "error: ZeroDivisionError"


def test_the_first_that_keeps_most_and_the_first_of_most() -> None:
    found = [Behaviour(given, kept) for given, kept in (
        (("1", "2"), 0), (("error: X", "2"), 1), (("error: X", "2"), 1), (("error: X", "2"), 1), (("1", "3"), 2), (("1", "3"), 2),
    )]  # fmt: skip
    assert by_examples(found) == 4 and by_vote(found) == 4, "what fails has no vote"
    assert by_vote([Behaviour(("error: X",), 0), Behaviour(("error: Y",), 0), Behaviour(("error: Y",), 0)]) == 1
    assert by_examples(found[:1]) == by_vote(found[:1]) == 0


LINES = [
    {"task_id": "T/0", "entry_point": "inc", "prompt": 'def inc(n):\n    """One more.\n    >>> inc(1)\n    2\n    """\n',
     "canonical_solution": "    return n + 1\n", "test": "def check(candidate):\n    assert candidate(7) == 8\n"},
    {"task_id": "T/1", "entry_point": "dec", "prompt": 'def dec(n):\n    """One less."""\n',
     "canonical_solution": "    return n - 1\n", "test": "def check(candidate):\n    assert candidate(1) == 0\n"},
]  # fmt: skip


class Writer:
    """Five samples of the first task: wrong twice in one way, then right twice, once in a third way."""

    def chat(self, messages: Any) -> str:
        raise BurilError("T017")

    def complete(self, requests: Any) -> Iterator[list[Completion]]:
        for request in requests:
            bodies = ["return n", "return n", "return 1 + n", "return n + 1", "return n * 2"]
            if "dec" in request.prompt:
                bodies = ["return n", "return n - 1", "return n - 1", "return n - 1", "return 3"]
            yield [Completion(f"    {body}\n", (), "stop", 0.0) for body in bodies[: request.num_samples]]


def test_chosen_answers_have_scores_of_their_own(tmp_path: Path, sandbox: Namespaces, inputs: MakeInputs) -> None:
    path = tmp_path / "tasks.jsonl"
    path.write_text("\n".join(map(json.dumps, LINES)))
    suite = Humaneval(Humaneval.Settings(path=path, samples=5, k=(5,), choose=("examples", "vote")))
    assert suite.metrics() == (
        "pass@1", "tests@1", "pass@5", "examples@5", "vote@5",
        "pass@1 chat", "tests@1 chat", "pass@5 chat", "examples@5 chat", "vote@5 chat",
    )  # fmt: skip
    found = suite.run(SuiteContext(Writer(), inputs()["split"], lambda: sandbox))  # type: ignore[arg-type]
    assert {name: item.numerators for name, item in found.measures.items()} == {
        "pass@1": [0.0, 0.0], "tests@1": [0.0, 0.0], "pass@5": [1.0, 1.0],
        "examples@5": [1.0, 0.0],  # the second task has no examples: its first sample is taken
        "vote@5": [1.0, 0.0],  # 2 and 2 and 2: `n * 2` of 1 is 2 as well
    }  # fmt: skip
    assert found.measures["vote@5"].kind == "share"


def test_without_samples_there_is_no_choice(tmp_path: Path) -> None:
    assert Humaneval(Humaneval.Settings(path=tmp_path, choose=("vote",))).metrics()[::2] == ("pass@1", "pass@1 chat")


class Repairing:
    """Its first answer is wrong; told why, it puts it right at the second asking."""

    def __init__(self, *, template: bool) -> None:
        self.template, self.asked = template, list[str]()

    def chat(self, messages: Any) -> str:
        if not self.template:
            raise BurilError("T017")
        return str(messages[0]["content"])

    def complete(self, requests: Any) -> Iterator[list[Completion]]:
        for request in requests:
            self.asked.append(request.prompt)
            body = "return n"
            if "is wrong" in request.prompt:
                body = "return n + 1" if "`inc(1)` gives `3`" in request.prompt else "return n + 2"
            yield [Completion(f"    {body}\n", (), "stop", 0.0)]


def test_answers_are_put_right_in_rounds(tmp_path: Path, sandbox: Namespaces, inputs: MakeInputs) -> None:
    path = tmp_path / "tasks.jsonl"
    path.write_text("\n".join(map(json.dumps, LINES)))
    suite = Humaneval(Humaneval.Settings(path=path, prompt="plain", repair=2))
    assert suite.metrics() == ("pass@1", "tests@1", "repair@1", "repair@2")
    writer = Repairing(template=True)
    found = suite.run(SuiteContext(writer, inputs()["split"], lambda: sandbox))  # type: ignore[arg-type]
    assert {name: item.numerators for name, item in found.measures.items()} == {
        "pass@1": [0.0, 0.0], "tests@1": [0.0, 0.0], "repair@1": [0.0, 0.0], "repair@2": [1.0, 0.0],  # the second task has no examples
    }  # fmt: skip
    first, second = writer.asked[2:]
    assert first.startswith(
        "This Python function is wrong: `inc(1)` gives `1`, and should give `2`.\n\n```python\ndef inc(n):"
    )
    assert "`inc(1)` gives `3`" in second and "return n + 2" in second
    assert [row["sample"] for row in found.samples] == ["greedy-0", "greedy-0", "repair-1-0", "repair-2-0"]
    mute = Repairing(template=False)
    assert set(suite.run(SuiteContext(mute, inputs()["split"], lambda: sandbox)).measures) == {"pass@1", "tests@1"}  # type: ignore[arg-type]


def test_what_is_told_of_a_broken_example(sandbox: Namespaces) -> None:
    examples = [Example((1,), 1), Example(("a", [2]), {"b": 1})]
    found = behaviours([(f"def f(*a):\n    {body}\n", "f", examples) for body in (
        "return 1 if a == (1,) else 'x: y'", "return 1 // (a == (1,))", "return {'b': 1} if len(a) > 1 else 1",
    )], sandbox)  # fmt: skip
    assert first_broken("f", examples, found[0]) == "`f('a', [2])` gives `'x: y'`, and should give `{'b': 1}`."
    assert (
        first_broken("f", examples, found[1])
        == "`f('a', [2])` ends with ZeroDivisionError, and should give `{'b': 1}`."
    )
    assert first_broken("f", examples, found[2]) == ""
