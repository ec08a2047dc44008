"""Tasks of lm-evaluation-harness whose data are on this machine: its own ones, with a file of ours instead of the hub."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

CHOICES = [
    ("What gives plants their green colour?", ["chlorophyll", "granite", "salt", "helium"], "A"),
    ("Which of these is a planet?", ["oxygen", "Saturn", "gravity", "copper"], "B"),
    ("What do bees make?", ["milk", "paper", "honey", "iron"], "C"),
    ("Which animal lays eggs?", ["dog", "cow", "horse", "hen"], "D"),
]
SUMS = [(12, 30), (1, 1), (2, 2), (20, 20)]


def stock(name: str) -> str:
    """The path of one of the harness's own tasks."""
    import lm_eval

    return str(Path(lm_eval.__file__).parent / "tasks" / name)


def rows(path: Path, *told: dict[str, Any]) -> str:
    """Write JSON lines; their path."""
    path.write_text("".join(json.dumps(row) + "\n" for row in told), encoding="utf-8")
    return str(path)


def task(folder: Path, name: str, text: str) -> None:
    """Write a task."""
    (folder / f"{name}.yaml").write_text(f"task: {name}\n{text}", encoding="utf-8")


def write(folder: Path) -> Path:
    """`my_arc` is ARC and `my_sums` the harness's arithmetic, each over four questions of ours."""
    folder.mkdir(parents=True, exist_ok=True)
    arc = rows(folder / "arc.jsonl", *(
        {"id": str(place), "question": question, "choices": {"text": texts, "label": list("ABCD")}, "answerKey": right}
        for place, (question, texts, right) in enumerate(CHOICES)
    ))  # fmt: skip
    task(folder, "my_arc", (
        f"include: {stock('arc/arc_easy.yaml')}\ndataset_path: json\ndataset_name: null\n"
        f"dataset_kwargs: {{data_files: {{test: {arc}}}}}\ntraining_split: null\nvalidation_split: null\n"
    ))  # fmt: skip
    sums = rows(folder / "sums.jsonl", *(
        {"context": f"Question: What is {a} plus {b}?\n\nAnswer:", "completion": f" {a + b}"} for a, b in SUMS
    ))  # fmt: skip
    task(folder, "my_sums", (
        f"include: {stock('arithmetic/arithmetic_2da.yaml')}\ndataset_kwargs: {{data_files: {{validation: {sums}}}}}\n"
    ))  # fmt: skip
    return folder
