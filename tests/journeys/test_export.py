"""A model leaves its store as a bundle, as a person would: run, export again, check, complete without a store, trace."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from .person import YAML, buril, project

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = project(tmp_path_factory.mktemp("exported"), repos=3, modules=4)
    told = YAML.replace("evaluate:\n  suites: [perplexity]\n", "export: [safetensors]\n")
    (place / "buril.yaml").write_text(told)
    done = buril("run", "--json", "--no-report", cwd=place, timeout_s=1500)
    assert done.code == 0, done.err
    assert json.loads(done.out)["stages"]["export"]["metrics"]["parity"] == "1/1"
    return place


def test_the_verb_gives_what_the_chain_gave_and_copies_it(folder: Path, tmp_path: Path) -> None:
    made = buril("export", "--to", str(tmp_path / "acme"), "--json", cwd=folder)
    assert made.code == 0, made.err
    told = json.loads(made.out)
    assert told["name"] == "tiny" and told["data"]["expression"] == "MIT" and told["data"]["counted"] == "read"
    shown = json.loads(buril("show", "export", "--json", cwd=folder).out)
    kept = json.loads((Path(shown["folder"]) / "bundle/bundle.json").read_text())
    assert kept["digest"] == told["digest"], "it was made again"
    again = buril("export", "--to", str(tmp_path / "acme"), cwd=folder)
    assert again.code == 2 and "error[V108]" in again.err
    more = buril("export", "openvino:fp16", "--report", "--json", cwd=folder)
    assert more.code == 0 or "P002" in more.err, more.err
    refused = buril("export", "gguf", cwd=folder)
    assert refused.code == 2 and "error[T190]" in refused.err, "GGUF has no name for how our tokenizer cuts text"


def test_a_bundle_needs_no_store(folder: Path, tmp_path: Path) -> None:
    place = tmp_path / "elsewhere"
    place.mkdir()
    assert buril("export", "--to", str(place / "acme"), cwd=folder).code == 0
    checked = buril("export", "check", "acme", cwd=place)
    assert checked.code == 0 and "tiny" in checked.out and "safetensors" in checked.out and "MIT" in checked.out
    words = ("complete", "--model", "acme", "--prompt", "def f(x):", "--suffix", "\n", "--max-tokens", "6", "--json")
    done = buril(*words, cwd=place)
    assert done.code == 0, done.err
    assert not (place / ".buril").exists() and "buril trace acme" in done.err
    record = json.loads(done.out)[0]
    assert record["model"].keys() == {"base", "tokenizer", "train"} and record["parameters"]["fim"] is True
    here = json.loads(buril("complete", *words[3:], cwd=folder).out)[0]
    assert here["text"] == record["text"] and here["id"] == record["id"]
    traced = buril("trace", str(place / "acme"), cwd=folder)
    assert traced.code == 0 and "train@" in traced.out and "split@" in traced.out and "MIT" in traced.out


def test_a_damaged_bundle_is_not_opened(folder: Path, tmp_path: Path) -> None:
    assert buril("export", "--to", str(tmp_path / "acme"), cwd=folder).code == 0
    weights = tmp_path / "acme/safetensors/model.safetensors"
    raw = bytearray(weights.read_bytes())
    raw[-1] ^= 1
    weights.write_bytes(raw)
    for words in (("export", "check", "acme"), ("complete", "--model", "acme", "--prompt", "x")):
        answer = buril(*words, cwd=tmp_path)
        assert answer.code == 2 and "error[V102]" in answer.err and "model.safetensors" in answer.err
    assert buril("export", "check", "--quick", "acme", cwd=tmp_path).code == 0


def test_another_store_does_not_know_it(folder: Path, tmp_path: Path) -> None:
    other = project(tmp_path / "other", repos=2, modules=3)
    (tmp_path / "other/.buril/refs").mkdir(parents=True)
    shown = json.loads(buril("show", "export", "--json", cwd=folder).out)
    shutil.copytree(Path(shown["folder"]) / "bundle", tmp_path / "acme")
    answer = buril("trace", str(tmp_path / "acme"), cwd=other)
    assert answer.code == 2 and "error[V109]" in answer.err
