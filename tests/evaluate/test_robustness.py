"""Robustness: tasks told in other ways that mean the same, and what a model loses by that."""

from __future__ import annotations

import ast
import json
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from buril.core.artifact import Artifact
from buril.core.errors import BurilError
from buril.evaluate._perturb import HALF, WHOLE, Told, half
from buril.evaluate.suite import SuiteContext
from buril.evaluate.suites.robustness import TRANSFORMS, Robustness
from buril.generators._generator import Completion
from buril.sandboxes.namespaces import Namespaces

MakeInputs = Callable[[], dict[str, Artifact]]
DATA = Path(__file__).resolve().parents[3] / "shared/data/eval/humaneval/HumanEval.jsonl.gz"
SHOWN = '''import math


def count_below(values, limit):
    """Count how many of the given values stand below the limit, ignoring everything else.
    >>> count_below([1, 5], 3)
    1
    """
'''
REST = """    found = 0
    for place in range(len(values)):
        if values[place] < limit + 0:
            found += 1
    found = max(found, 0)
    return found
"""
TESTS = "def check(candidate):\n    assert candidate([1, 5], 3) == 1\n    assert candidate([], 3) == 0\n    assert candidate([2, 2], 3) == 2\n"
TOLD = Told(SHOWN, REST, "count_below")
LINE = {"task_id": "T/0", "prompt": SHOWN, "canonical_solution": REST, "entry_point": "count_below", "test": TESTS}


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Namespaces]:
    with Namespaces(Namespaces.Settings()) as made:
        yield made


def changed(name: str, told: Told = TOLD, seed: int = 1) -> Told:
    begun = half(told) if name in HALF else told
    assert begun is not None
    made = TRANSFORMS[name](begun, random.Random(seed))
    assert made is not None
    return made


# --- transforms


@pytest.mark.parametrize("name", list(TRANSFORMS))
def test_a_transform_changes_what_is_shown_and_not_what_it_means(name: str) -> None:
    made = changed(name)
    begun = half(TOLD) if name in HALF else TOLD
    assert begun is not None and made.shown != begun.shown and made.source != TOLD.source
    space: dict[str, Any] = {}
    exec(compile(made.source, "made", "exec"), space)
    exec(TESTS, space)
    space["check"](space[made.entry])
    assert changed(name) == made, "the same seed gives the same text"


def test_names() -> None:
    made = changed("rename_function")
    assert made.entry.startswith("func_") and f"def {made.entry}(values, limit)" in made.shown
    assert f">>> {made.entry}([1, 5], 3)" in made.shown and "count_below" not in made.source
    made = changed("rename_arguments")
    assert "def count_below(arg0, arg1)" in made.shown and "given values" in made.shown, "the description stays"
    assert "arg0[place] < arg1" in made.rest and "values" not in made.rest
    made = changed("obfuscate")
    assert not {"found", "place", "values", "limit"} & {
        node.id for node in ast.walk(ast.parse(made.source)) if isinstance(node, ast.Name)
    }


def test_words_and_remarks() -> None:
    made = changed("docstring_typos", seed=3)
    assert made.shown.count("\n") == SHOWN.count("\n") and ">>> count_below([1, 5], 3)\n    1\n" in made.shown
    assert sorted(made.shown) == sorted(SHOWN), "letters change places, none is lost"
    made = changed("comments")
    lines = made.shown.split("\n")
    assert lines[3].startswith("#") and lines[4].startswith("def ") and lines[-2].startswith("    #")
    lines = changed("dead_code").shown.split("\n")
    assert "unused_" in lines[-2] and lines[-2].startswith("    u"), "the block is closed: who goes on is not in it"


def test_bodies() -> None:
    lines = REST.split("\n")
    assert half(TOLD) == Told(SHOWN + "\n".join([*lines[:3], ""]), "\n".join(lines[3:]), "count_below")
    assert half(Told("def f():\n", "    return 1\n", "f")) is None
    two = Told(SHOWN, "    if limit < 0:\n        return 0\n    return 1\n    pass\n", "count_below")
    made = changed("operands", two)
    assert made.shown.endswith("    if 0 > limit:\n        return 0\n") and made.rest == "    return 1\n    pass\n"
    made = changed("loops")
    assert "    place = 0\n    while place < len(values):\n" in made.shown and "        place += 1" in made.shown
    assert made.rest == "\n    found = max(found, 0)\n    return found\n"


@pytest.mark.parametrize("rest", [
    "    for n in range(3):\n        if n: continue\n    return n\n",
    "    for n in range(3):\n        n = 1\n    return n\n",
    "    for n in range(limit):\n        limit = 1\n    return n\n",
    "    for n in range(0, 9, 2):\n        pass\n    return n\n",
    "    for n in values:\n        pass\n    return n\n",
    "    for n in range(3): pass\n    return n\n",
    "    for n in range(3):\n        pass\n    else:\n        pass\n    return n\n",
])  # fmt: skip
def test_a_loop_that_could_count_otherwise_stays(rest: str) -> None:
    begun = half(Told(SHOWN, rest, "count_below"))
    assert begun is not None and HALF["loops"](begun, random.Random(1)) is None


def test_names_inside_of_texts_are_not_guessed() -> None:
    told = Told("def f(a):\n", '    return f"{a}"\n', "f")
    assert WHOLE["rename_arguments"](told, random.Random(1)) is None
    assert WHOLE["rename_function"](Told("def f(a):\n", "    global f\n    return f\n", "f"), random.Random(1)) is None


# --- the suite


class Writer:
    """Gives the right body to whoever shows what it wants to see, else a wrong one."""

    def __init__(self, wants: str) -> None:
        self.wants = wants

    def chat(self, messages: Any) -> str:
        raise BurilError("T017")

    def complete(self, requests: Any) -> Iterator[list[Completion]]:
        for request in requests:
            last = request.prompt.rstrip("\n").split("\n")[-1]
            names = request.prompt.split("(")[1].split(")")[0].split(", ")
            right = f"    return sum(one < {names[1]} for one in {names[0]})\n"
            if last.endswith(":"):
                right = " " * (len(last) - len(last.lstrip()) + 4) + f"pass\n{right}"
            yield [Completion(right if self.wants in request.prompt else "    return -1\n", (), "stop", 0.0)]


def suite(tmp_path: Path, *lines: Any, **told: Any) -> Robustness:
    path = tmp_path / "tasks.jsonl"
    path.write_text("\n".join(map(json.dumps, lines)))
    return Robustness(Robustness.Settings(path=path, prompt="plain", **told))


def test_the_worst_way_counts(tmp_path: Path, sandbox: Namespaces, inputs: MakeInputs) -> None:
    other = {**LINE, "task_id": "T/1", "prompt": SHOWN.replace("ignoring", "leaving out")}
    made = suite(tmp_path, LINE, other)
    context = SuiteContext(Writer("def count_below"), inputs()["split"], lambda: sandbox)  # type: ignore[arg-type]
    made.check(context)
    found = made.run(context)
    assert set(found.measures) == set(made.metrics()) - {name for name in made.metrics() if "chat" in name}
    scores = {name: item.numerators for name, item in found.measures.items()}
    assert scores["pass@1"] == [1.0, 1.0] == scores["pass@1 dead_code"] == scores["pass@1 half"]
    assert scores["pass@1 rename_function"] == [0.0, 0.0] == scores["pass@1 obfuscate"] == scores["worst@1"]
    drop = found.measures["drop"]
    assert (drop.numerators, drop.denominators, drop.better) == ([1.0, 1.0], [1.0, 1.0], "lower")
    assert not any(row["forgeable"] for row in found.samples)
    without = suite(tmp_path, LINE, other, transforms=("comments", "dead_code")).run(context)
    assert without.measures["worst@1"].numerators == [1.0, 1.0] and without.measures["drop"].numerators == [0.0, 0.0]


def test_what_does_not_hold_is_left_out_and_a_task_that_never_held_is_an_error(
    tmp_path: Path, sandbox: Namespaces, inputs: MakeInputs
) -> None:
    context = SuiteContext(None, inputs()["split"], lambda: sandbox)  # type: ignore[arg-type]  # no model is loaded yet
    named = {**LINE, "test": TESTS.replace("candidate([], 3)", "count_below([], 3)")}
    made = suite(tmp_path, named)
    before = {item.name for item in made.problems(context)}
    made.check(context)
    after = {item.name for item in made.problems(context)}
    assert before - after == {"T/0:rename_function", "T/0:obfuscate"}, "their tests ask for the old name"
    with pytest.raises(BurilError) as caught:
        suite(tmp_path, {**LINE, "canonical_solution": "    return -1\n"}).check(context)
    assert caught.value.code == "E006"
    with pytest.raises(BurilError) as caught:
        suite(tmp_path, {**LINE, "test": "def check(candidate):\n    candidate([], 3)\n"}).check(context)
    assert caught.value.code == "E006" and "an empty body `pass`" in caught.value.cause


def test_unknown_ways_are_named(tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match="no transform `loop`; did you mean `loops`"):
        Robustness.Settings(transforms=("loop",))
    assert Robustness.Settings(transforms=("loops", "comments")).transforms == ("comments", "loops")


def test_the_published_tasks_are_told_in_all_ways(sandbox: Namespaces, inputs: MakeInputs) -> None:
    if not DATA.exists():
        pytest.skip("the published tasks are not beside this checkout")
    made = Robustness(Robustness.Settings(path=DATA))
    context = SuiteContext(None, inputs()["split"], lambda: sandbox, max_items=40)  # type: ignore[arg-type]  # none is loaded
    made.check(context)
    problems = made.problems(context)
    numbers = {part: sum(made.part(item) == part for item in problems) for part in made.parts()}
    assert numbers[""] == 40 and min(numbers[f" {name}"] for name in WHOLE) >= 36 and numbers[" operands"] >= 8
