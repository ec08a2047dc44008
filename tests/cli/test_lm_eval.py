"""`buril lm-eval`: suites go out as tasks, tasks run on the store's model, results come in."""

from __future__ import annotations

import json
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from tests.cli.test_complete import made, store
from tests.evaluate import lm_tasks

from buril.core.store import Store

__all__ = ["made", "store"]
pytestmark = pytest.mark.skipif(
    find_spec("lm_eval") is None, reason="lm_eval is not installed: pip install buril[lm-eval]"
)
Call = Callable[..., Any]
INC = {
    "task_id": "T/0", "entry_point": "inc", "prompt": "def inc(n):\n", "canonical_solution": "    return n + 1\n",
    "test": "def check(f):\n    assert f(1) == 2\n",
}  # fmt: skip


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import datasets

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")


def test_out_run_and_in_again(call: Call, store: Store, tmp_path: Path) -> None:
    (tmp_path / "tasks.jsonl").write_text(json.dumps(INC) + "\n")
    (tmp_path / "buril.yaml").write_text(
        "collect: [{folder: {path: .}}]\nevaluate: {suites: [perplexity, {humaneval: {path: tasks.jsonl}}], max_tokens: 9}\n"
    )
    out = call("lm-eval", "export", "out", "--suite", "humaneval", "--suite", "perplexity", "--json")
    assert out.code == 0 and out.json["tasks"] == ["buril_humaneval", "buril_humaneval_chat", "buril_perplexity"], (
        out.err
    )
    told = (tmp_path / "out/buril_humaneval.yaml").read_text()
    assert "max_gen_toks: 9" in told and "!function" in told
    assert len((tmp_path / "out/buril_perplexity.jsonl").read_text().splitlines()) == 4
    ran = call(
        "lm-eval", "run", "--include-path", "out", "--tasks", "buril_humaneval, buril_perplexity", "--to", "found"
    )
    assert ran.code == 0, ran.err
    lines = dict(line.split(None, 2)[:2] for line in ran.out.splitlines())
    assert set(lines) == {"buril_humaneval", "buril_perplexity"} and "bits_per_byte" in ran.out
    assert "next: buril lm-eval import found" in ran.err
    back = call("lm-eval", "import", "found", "--base", "found", "--to", "in/results.json")
    assert back.code == 0 and "[" in back.out, back.err
    rows = json.loads((tmp_path / "in/results.json").read_text())["suites"]["lm_eval"]["metrics"]
    assert rows["buril_perplexity bits_per_byte"]["difference"]["value"] == 0
    assert rows["buril_perplexity bits_per_byte"]["tuned"]["n"] == 4


def test_a_stock_task_of_the_harness_over_local_data(call: Call, store: Store, tmp_path: Path) -> None:
    lm_tasks.write(tmp_path / "own")
    found = call(
        "lm-eval", "run", "--include-path", "own", "--tasks", "my_arc", "--model", "base", "--limit", "3", "--json"
    )
    assert found.code == 0, found.err
    assert found.json["metrics"]["my_arc acc"]["tuned"]["n"] == 3 and found.json["left_out"] == []
    assert "it/s" not in found.err, "no progress bar of the harness"


def test_without_a_configuration_the_defaults_are_exported(call: Call, tmp_path: Path) -> None:
    out = call("lm-eval", "export", "out", "--suite", "basics", "--set", "evaluate.max_items=2")
    assert out.code == 0 and out.out.split() == ["buril_basics", "buril_basics_chat"], out.err
    assert len((tmp_path / "out/buril_basics.jsonl").read_text().splitlines()) == 2
    wrong = call("lm-eval", "export", "out", "--suite", "basics", "--set", "evaluate.max_items")
    assert wrong.code == 2 and "C011" in wrong.err


@pytest.mark.parametrize(("words", "code"), [
    (("export", "out", "--suite", "humanevl"), "P001"),
    (("export", "out", "--suite", "completion"), "E013"),
    (("export", "out", "--suite", "perplexity"), "S010"),
    (("import", "nowhere"), "E012"),
    (("export", "file/out", "--suite", "basics"), "W203"),
    (("run", "--tasks", "arc_easy", "--to", "file/out"), "W203"),
])  # fmt: skip
def test_mistakes_have_codes(call: Call, tmp_path: Path, words: tuple[str, ...], code: str) -> None:
    (tmp_path / "file").write_text("")
    answer = call("lm-eval", *words)
    assert answer.code != 0 and f"error[{code}]" in answer.err and "hint: " in answer.err
