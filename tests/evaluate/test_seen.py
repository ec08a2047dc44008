"""Contamination by lineage: which tasks stand in the rows that the model was trained on."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from buril.code.codefile import CodeFile, write_rows
from buril.core.artifact import Artifact
from buril.evaluate._seen import seen
from buril.evaluate.stage import Evaluate
from buril.evaluate.suite import Measure
from buril.evaluate.suites._basics_tasks import TASKS

MakeInputs = Callable[[], dict[str, Artifact]]
LEARNT = TASKS[3]
FILLER = "".join(f"def filler_{n}(a, b):\n    return a * {n} + b\n\n\n" for n in range(40))


@pytest.fixture
def trained(tmp_path: Path, inputs: MakeInputs) -> Callable[..., dict[str, Artifact]]:
    """Inputs whose training part holds some texts, among others."""

    def make(*texts: str) -> dict[str, Artifact]:
        rows = [CodeFile("acme/lib", f"f{n}.py", FILLER + text + FILLER, language="python", license="MIT")
                for n, text in enumerate(("", *texts))]  # fmt: skip
        write_rows(tmp_path / "in" / "split" / "train" / "00000.parquet", rows)
        return inputs()

    return make


def test_a_task_is_found_where_it_stands(trained: Callable[..., dict[str, Artifact]]) -> None:
    whole = LEARNT.prompt + LEARNT.solution
    split = trained(whole)["split"]
    texts = {task.name: [task.prompt, task.prompt + task.solution] for task in TASKS}
    (name,) = found = seen(texts, split)
    told = found[name]
    assert name == LEARNT.name and told.share == 1.0
    assert (told.repo, told.path, told.license) == ("acme/lib", "f1.py", "MIT") and told.row
    assert seen({"a": [whole], "b": [whole], "c": ["x"]}, split).keys() == {"a", "b"}, "a text may be of several tasks"
    assert seen({"c": ["too short"]}, split) == {} and seen({}, split) == {}


def test_a_part_of_a_task_counts_from_half_on(trained: Callable[..., dict[str, Artifact]]) -> None:
    words = " ".join(f"word{n}" for n in range(100))
    split = trained(" ".join(f"word{n}" for n in range(70)))["split"]
    assert 0.6 < seen({"most": [words]}, split)["most"].share < 0.7
    few = trained(" ".join(f"word{n}" for n in range(40)))["split"]
    assert seen({"few": [words]}, few) == {}


def evaluated(
    given: dict[str, Artifact], output: Callable[..., object], canned: str
) -> tuple[dict[str, object], object]:
    out = output("out")
    Evaluate(Evaluate.Settings(suites=("basics", "perplexity"), generator=canned)).run(given, out)  # type: ignore[arg-type]
    return json.loads((out.folder / "results.json").read_text())["suites"], out  # type: ignore[attr-defined]


def test_scores_without_what_was_learnt(
    trained: Callable[..., dict[str, Artifact]], output: Callable[..., object], canned: str
) -> None:
    suites, _out = evaluated(trained(LEARNT.prompt + LEARNT.solution), output, canned)
    told = suites["basics"]["seen"]  # type: ignore[index]
    assert (told["asked"], told["seen"]) == (len(TASKS), 1) and list(told["tasks"]) == [LEARNT.name]
    assert told["tasks"][LEARNT.name]["path"] == "f1.py"
    assert told["metrics_without"]["pass@1"]["tuned"]["n"] == len(TASKS) - 1
    assert suites["basics"]["metrics"]["pass@1"]["tuned"]["n"] == len(TASKS)  # type: ignore[index]
    assert "seen" not in suites["perplexity"], "what is held out is no task"  # type: ignore[operator]


def test_nothing_learnt_nothing_told(
    trained: Callable[..., dict[str, Artifact]], output: Callable[..., object], canned: str
) -> None:
    suites, _out = evaluated(trained("def nothing():\n    pass\n"), output, canned)
    assert suites["basics"]["seen"] == {"tasks": {}, "asked": len(TASKS), "seen": 0}  # type: ignore[index]


def test_a_task_told_in_several_ways_is_one() -> None:
    measure = Measure("share", "higher")
    for unit in ("T/0", "T/0:half", "T/1", "T/10"):
        measure.add(unit, 1)
    assert measure.without({"T/0"}).units == ["T/1", "T/10"] and len(measure.units) == 4
