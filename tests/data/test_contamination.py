"""Decontamination: every task planted in a larger file is found, ordinary code is not; files decide the identity."""

from __future__ import annotations

import gzip
import json
import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from buril.code.codefile import CodeFile
from buril.core.errors import BurilError
from buril.core.plugins import Ref
from buril.data.prepare import Prepare
from buril.data.step import Shared
from buril.data.steps.contamination import Contamination
from tests.data import made

EVAL = Path(__file__).parents[3] / "shared/data/eval"
TASK = "def sum_of_odd_cubes(values, limit):\n    total = 0\n    for value in values:\n        if value % 2 and value < limit:\n            total += value ** 3\n    return total\n"
BRIEF = "def copy_it(xs):\n  return xs[:]\n"


def step(against: object, **told: object) -> Contamination:
    return Contamination(Contamination.Settings.model_validate({"against": [str(against)], **told}))


def judged(chosen: Contamination, text: str) -> CodeFile:
    file = CodeFile("r", "a.py", text)
    chosen.apply(file, Shared(file))
    return file


@pytest.fixture
def tasks(tmp_path: Path) -> Path:
    path = tmp_path / "own.jsonl"
    records = [
        {"task_id": "own/1", "code": TASK},
        {"task_id": "own/2", "code": BRIEF},
        {"task_id": "own/3", "code": "x"},
    ]
    path.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
    return path


def test_a_task_inside_a_larger_file(tasks: Path) -> None:
    chosen, around = step(tasks), made.code(1, count=3000)
    clean = judged(chosen, around)
    assert clean.signals["contamination"] == 0
    assert not clean.verdicts
    planted = judged(chosen, around + TASK + around)
    assert planted.signals["contamination"] == 1
    assert planted.verdicts == [("contamination", "contaminated", "own:own/1 (1.00)")]
    brief = judged(chosen, around + BRIEF + around)
    assert brief.verdicts[0].detail == "own:own/2 (1.00)"
    assert not judged(chosen, around).verdicts, "one file leaves nothing behind for the next"
    assert not judged(chosen, "").verdicts


def test_a_changed_task_is_found_down_to_the_threshold(tasks: Path) -> None:
    changed = TASK.replace("total += value ** 3", "total = total + pow(value, 3)")
    share = judged(step(tasks), changed).signals["contamination"]
    assert 0.4 < share < 1
    assert judged(step(tasks, threshold=share - 0.01), changed).verdicts
    assert not judged(step(tasks, threshold=share + 0.01), changed).verdicts
    assert not judged(step(tasks), BRIEF.replace("xs", "ys")).verdicts, "a brief text must be there as a whole"


@pytest.mark.parametrize("ending", [".jsonl", ".jsonl.gz", ".json", ".parquet"])
def test_kinds_of_files(tmp_path: Path, ending: str) -> None:
    path = tmp_path / "sets" / f"own{ending}"
    path.parent.mkdir()
    record = {"task_id": "own/1", "code": TASK, "test_list": ["assert 1"]}
    if ending == ".parquet":
        pq.write_table(pa.Table.from_pylist([record]), path)
    elif ending == ".json":
        path.write_text(json.dumps([record]), encoding="utf-8")
    else:
        raw = (json.dumps(record) + "\n").encode()
        path.write_bytes(gzip.compress(raw) if ending.endswith(".gz") else raw)
    assert judged(step(path), TASK).verdicts
    assert judged(step(path.parent), TASK).verdicts


def test_the_bytes_of_the_files_are_part_of_the_identity_and_their_place_is_not(tasks: Path, tmp_path: Path) -> None:
    moved = tmp_path / "elsewhere.jsonl"
    shutil.copy(tasks, moved)
    changed = tmp_path / "changed.jsonl"
    changed.write_text(tasks.read_text(encoding="utf-8").replace("own/1", "own/9"), encoding="utf-8")
    one, same, other = (
        Prepare.Settings.model_validate({"steps": [{"contamination": [str(path)]}]}) for path in (tasks, moved, changed)
    )
    assert one.identity() == same.identity() != other.identity()
    assert isinstance(one.steps[0], Ref)


def test_wrong_files(tmp_path: Path) -> None:
    def code_of(path: Path) -> str:
        with pytest.raises(BurilError) as raised:
            step(path)
        return raised.value.code

    assert code_of(tmp_path / "none.jsonl") == "D111"
    assert code_of(tmp_path) == "D111"
    broken = tmp_path / "broken.jsonl"
    broken.write_text("{", encoding="utf-8")
    assert code_of(broken) == "D112"
    short = tmp_path / "short.jsonl"
    short.write_text('{"code": "x = 1"}\n{"other": "a b c d e f g h i j k"}\n', encoding="utf-8")
    assert code_of(short) == "D113"


@pytest.mark.skipif(not EVAL.is_dir(), reason="the evaluation files of ../shared are not here")
def test_humaneval_and_mbpp() -> None:
    chosen = Contamination(Contamination.Settings(against=(str(EVAL / "humaneval"), str(EVAL / "mbpp"))))
    library = [text for _name, text in made.stdlib(60)]
    assert [judged(chosen, text).verdicts for text in library] == [[]] * len(library)
    with gzip.open(EVAL / "humaneval/HumanEval.jsonl.gz", "rt", encoding="utf-8") as stream:
        planted = [task["prompt"] + task["canonical_solution"] for task in map(json.loads, stream)]
    with (EVAL / "mbpp/mbpp.jsonl").open(encoding="utf-8") as stream:
        planted += [task["code"] for task in map(json.loads, stream)]
    assert len(planted) > 1100
    for at, task in enumerate(planted):
        text = f"{library[at % 60]}\n{task}\n{library[(at + 1) % 60]}"
        assert judged(chosen, text).verdicts, task
