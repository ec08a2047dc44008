"""From pairs to a model that prefers the secure text, as a person would: run, complete, trace, look at the page."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from .person import buril, module, repository

pytestmark = pytest.mark.slow

YAML = """\
name: safer
seed: 3
collect:
  - folder: {path: code, license: apache-2.0}
pairs:
  sources: [{templates: {each: 2, weaknesses: [CWE-89, CWE-78, CWE-338, CWE-502]}}]
  languages: [python]
tokenizer: {train: bpe, vocab: 600}
pack: {max_length: 128}
train: {base: scratch, depth: 2, method: full, max_length: 512, max_steps: 20, batch_size: 8}
align: {objective: contrastive, max_steps: 12, batch_size: 4, learning_rate: 2.0e-3, retain: {tokens: 32}}
evaluate: {suites: [preference], max_items: 40}
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("safer")
    files: dict[str, str | bytes] = {
        f"src/part{number}/mod{letter}.py": module(f"{letter}{'xyzuvw'[number]}lo{letter}", 5)
        for number in range(6)
        for letter in "abcd"
    }
    repository(place / "code", files)
    (place / "buril.yaml").write_text(YAML)
    return place


def test_a_chain_aligns_and_says_what_came_of_it(folder: Path) -> None:
    planned = buril("plan", "--json", cwd=folder)
    assert planned.code == 0, planned.err
    stages = [step["stage"] for step in json.loads(planned.out)["stages"]]
    assert stages.index("train") < stages.index("align") < stages.index("evaluate")
    assert stages.index("pairs") < stages.index("align")
    done = buril("run", "--json", cwd=folder, timeout_s=300)
    assert done.code == 0, done.err
    shown = json.loads(buril("show", "align", "--json", cwd=folder).out)
    told = json.loads((Path(shown["folder"]) / "align.json").read_text())
    assert told["start"] == "train" and told["method"] == "lora"
    train = told["margins"]["train"]
    assert train["mean_after"] > train["mean_before"]
    results = json.loads((Path(json.loads(buril("show", "evaluate", "--json", cwd=folder).out)["folder"])
                          / "results.json").read_text())  # fmt: skip
    row = results["suites"]["preference"]["metrics"]["margin"]
    assert row["base"]["n"] == row["tuned"]["n"] == told["pairs"]["test"]
    assert "align" in results["models"]["tuned"]


def test_the_aligned_model_is_the_one_in_use_and_can_be_traced(folder: Path) -> None:
    made = buril("complete", "--prompt", "def f(x):", "--max-tokens", "8", "--json", cwd=folder)
    assert made.code == 0, made.err
    record = json.loads(made.out)[0]
    assert "align" in json.dumps(record["model"])
    traced = buril("trace", "model", cwd=folder)
    assert traced.code == 0, traced.err
    assert "align@" in traced.out and "pairs@" in traced.out and "Apache-2.0" in traced.out
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert "Preference" in page and "CWE-" in page


def test_without_training_it_starts_from_the_base_it_names(folder: Path) -> None:
    code = "collect: [{folder: {path: code}}]\n"
    (folder / "alone.yaml").write_text(f"name: alone\n{code}pairs: [templates]\nalign: {{base: scratch, retain: 0}}\n")
    planned = buril("plan", "-c", "alone.yaml", "--json", cwd=folder)
    stages = [step["stage"] for step in json.loads(planned.out)["stages"]]
    assert planned.code == 0 and "train" not in stages and "pack" not in stages and stages[-1] == "align"
