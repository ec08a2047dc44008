"""Completions from a file: whose they are, where they are cut, and what can't be had without a model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from buril.core.errors import BurilError
from buril.evaluate.stage import Evaluate
from buril.generators._generator import Request
from buril.generators.file import File
from buril.testing import check_generator


def file(tmp_path: Path, *rows: Any, **more: Any) -> File:
    path = tmp_path / "rows.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    return File(File.Settings(path=path, **more))


def test_keeps_the_contract(tmp_path: Path) -> None:
    check_generator(file(tmp_path, *({"task_id": "", "completion": f" {n}\nreturn"} for n in range(3))))


def test_each_request_has_its_own(tmp_path: Path) -> None:
    rows = [{"task_id": name, "completion": f"{name}{place}\nx"} for name in ("a", "b") for place in range(3)]
    made = file(tmp_path, *rows)
    asked = [Request("p", name="b", num_samples=2, temperature=0.5), Request("p", name="a", stop=("\n",))]
    first, second = made.complete(asked)
    assert [one.text for one in first] == ["b0\nx", "b1\nx"] and [one.finish_reason for one in first] == ["eos", "eos"]
    assert [(one.text, one.finish_reason) for one in second] == [("a0", "stop")]


def test_what_needs_a_model_is_refused(tmp_path: Path) -> None:
    made = file(tmp_path, {"task_id": "a", "completion": "x"})
    for act in (lambda: made.score([[1]]), lambda: made.encode("x")):
        with pytest.raises(BurilError) as caught:
            act()
        assert caught.value.code == "E022"
    with pytest.raises(BurilError) as caught:
        made.chat([{"role": "user", "content": "x"}])
    assert caught.value.code == "T017"


def test_its_bytes_are_the_identity(tmp_path: Path) -> None:
    first = file(tmp_path, {"task_id": "a", "completion": "x"}).settings.identity()
    assert first == file(tmp_path, {"task_id": "a", "completion": "x"}).settings.identity()
    assert first != file(tmp_path, {"task_id": "a", "completion": "y"}).settings.identity()


def test_an_evaluation_needs_two_of_what_answers_from_elsewhere(tmp_path: Path) -> None:
    """A file has one model's completions: with one alone, base and tuned would be the same."""
    with pytest.raises(BurilError) as caught:
        Evaluate(Evaluate.Settings.model_validate({"generator": {"file": {"path": "a"}}, "suites": ["completion"]}))
    assert caught.value.code == "E023" and "base_generator" in str(caught.value)
    told = {"generator": {"file": {"path": "a"}}, "base_generator": {"file": {"path": "b"}}, "suites": ["completion"]}
    made = Evaluate(Evaluate.Settings.model_validate(told))
    assert [made._generator(model).settings.path.name for model in ("base", "tuned")] == ["b", "a"]
