"""What a person can get wrong, and the message each mistake gets: a code, a cause, a hint, never a traceback."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pyarrow.parquet as pq
import pytest

from .person import ROOT, YAML, buril, git, module, project, repository


class Case(NamedTuple):
    """A mistake: how to make it, the command, the exit code, and what the answer must say."""

    name: str
    yaml: str | None
    words: tuple[str, ...]
    code: int
    says: tuple[str, ...]
    prepare: Callable[[Path], None] | None = None


def edit(old: str, new: str) -> str:
    assert old in YAML
    return YAML.replace(old, new)


def no_licence(folder: Path) -> None:
    repository(folder / "bare" / "repo", {"a.py": module("nolicence")}, licence=False)


def pickles(folder: Path) -> None:
    (folder / "model").mkdir()
    (folder / "model" / "config.json").write_text('{"model_type": "llama", "architectures": ["LlamaForCausalLM"]}')
    (folder / "model" / "pytorch_model.bin").write_bytes(b"\x80\x02")


def nothing(folder: Path) -> None:
    (folder / "empty").mkdir()


CASES = [
    Case(
        "misspelt stage",
        edit("collect:", "colect:"),
        ("plan",),
        2,
        ("C001", "did you mean `collect`", "buril.yaml:3:1"),
    ),
    Case(
        "misspelt setting", edit("max_steps: 6", "max_step: 6"), ("plan",), 2, ("C001", "max_steps", "buril.yaml:12:3")
    ),
    Case(
        "wrong type", edit("max_steps: 6", "max_steps: many"), ("plan",), 2, ("C002", "whole number", "buril.yaml:12:3")
    ),
    Case("wrong choice", edit("vocab: 512", "vocab: 512, reuse: tokens"), ("plan",), 2, ("C002", "reuse")),
    Case(
        "fractions that do not add up", YAML + "split: {train: 0.9, valid: 0.2, test: 0.1}\n", ("plan",), 2, ("split",)
    ),
    Case("unknown plugin", edit("- folder:", "- floder:"), ("plan",), 2, ("P001", "did you mean `folder`", ":4:5")),
    Case(
        "unknown plugin setting", edit("{path: repos}", "{pth: repos}"), ("plan",), 2, ("C001", "did you mean `path`")
    ),
    Case("missing plugin setting", edit("- folder: {path: repos}", "- folder"), ("plan",), 2, ("C009", "path")),
    Case("no configuration", None, ("run",), 2, ("C003", "buril init")),
    Case("broken YAML", edit("{max_files: 1000}", "{max_files: 1000"), ("plan",), 2, ("C004", "buril.yaml:")),
    Case("a key twice", YAML + "seed: 4\n", ("plan",), 2, ("C005", "line 2")),
    Case(
        "variable not set", edit("name: tiny", "name: env:NO_SUCH_NAME"), ("plan",), 4, ("C006", "export NO_SUCH_NAME")
    ),
    Case("a list, not a mapping", "- collect\n", ("plan",), 2, ("C008",)),
    Case("extends in a circle", "extends: buril.yaml\n", ("plan",), 2, ("C010",)),
    Case("--set without a value", YAML, ("plan", "--set", "train.epochs"), 2, ("C011", "train.epochs=1")),
    Case(
        "nothing to collect",
        YAML.split("collect:")[0] + "train: {base: scratch, method: full}\n",
        ("plan",),
        2,
        ("C013",),
    ),
    Case(
        "scratch without a tokenizer", edit("{train: bpe, vocab: 512}", "{reuse: base}"), ("plan",), 2, ("C014", "bpe")
    ),
    Case("missing folder", edit("path: repos", "path: repso"), ("run",), 4, ("error[D", "repso")),
    Case("a file for a folder", edit("path: repos", "path: buril.yaml"), ("run",), 2, ("error[D", "buril.yaml")),
    Case("nothing in the folder", edit("path: repos", "path: empty"), ("run",), 2, ("error[D",), nothing),
    Case("no licence anywhere", edit("path: repos", "path: bare"), ("run",), 2, ("error[D", "licen"), no_licence),
    Case("no such model", edit("base: scratch", "base: ./nowhere"), ("plan",), 2, ("error[T", "nowhere")),
    Case(
        "a model of pickles",
        edit("base: scratch", "base: ./model"),
        ("run", "--until", "base"),
        2,
        ("error[T", "safetensors"),
        pickles,
    ),
    Case("unknown stage", YAML, ("run", "--until", "trian"), 2, ("S005", "did you mean `train`")),
    Case("two stages", YAML, ("run", "collect", "dedup"), 2, ("W102",)),
    Case("unknown command", YAML, ("pln",), 2, ("W001", "did you mean `buril plan`")),
    Case("unknown option", YAML, ("plan", "--smal"), 2, ("W002", "--small")),
    Case("no store yet", YAML, ("status",), 4, ("S010", "buril run")),
    Case("trace before a run", YAML, ("trace", "model"), 4, ("S010",)),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name.replace(" ", "-"))
def test_a_mistake_gets_its_message(case: Case, tmp_path: Path) -> None:
    project(tmp_path, repos=1, modules=1)
    (tmp_path / "buril.yaml").unlink()
    if case.yaml is not None:
        (tmp_path / "buril.yaml").write_text(case.yaml)
    if case.prepare:
        case.prepare(tmp_path)
    answer = buril(*case.words, cwd=tmp_path)
    assert answer.code == case.code, answer.err
    for text in case.says:
        assert text in answer.err, answer.err
    assert answer.err.count("error[") == 1, answer.err


def test_the_same_mistake_in_spanish(tmp_path: Path) -> None:
    (tmp_path / "buril.yaml").write_text(edit("max_steps: 6", "max_step: 6"))
    answer = buril("plan", cwd=tmp_path, lang="es_MX")
    assert "error[C001]: " in answer.err
    assert "¿quiso decir `max_steps`?" in answer.err
    assert "unknown" not in answer.err


def dropped(folder: Path) -> dict[str, str]:
    path = next((folder / ".buril" / "collect").glob("[!.]*/dropped.parquet"))
    return {row["path"]: row["reason"] for row in pq.read_table(path).to_pylist()}


def test_broken_files_are_dropped_with_their_reason_and_the_run_goes_on(tmp_path: Path) -> None:
    files: dict[str, str | bytes] = {
        "good.py": module("good"),
        "binary.py": b"\x00\x01\x02" * 100,
        "latin.py": "name = 'ñandú'\n".encode("latin-1"),
        "empty.py": b"",
    }
    folder = repository(tmp_path / "repos" / "odd", files)
    with (folder / "huge.py").open("wb") as stream:  # one line of 2 GB, sparse: its size must be enough to leave it out
        stream.seek(2 * 10**9)
        stream.write(b"x")
    (folder / "dangling.py").symlink_to("/nowhere")
    git(folder, "add", "dangling.py", "--force")
    subprocess.run(
        ["git", "update-index", "--add", "--cacheinfo", f"100644,{'e' * 40},huge.py"], cwd=folder, check=False
    )
    (tmp_path / "buril.yaml").write_text("name: odd\ncollect:\n  - folder: {path: repos}\n")
    answer = buril("run", "--until", "collect", "--json", cwd=tmp_path)
    assert answer.code == 0, answer.err
    assert json.loads(answer.out)["stages"]["collect"]["metrics"]["files"] == 1
    reasons = dropped(tmp_path)
    assert reasons["binary.py"] == "binary"
    assert reasons["latin.py"] == "encoding"
    assert reasons["empty.py"] == "empty"
    assert "good.py" not in reasons
    assert reasons.get("huge.py", "too_large") == "too_large"


def test_an_empty_repository_is_said(tmp_path: Path) -> None:
    repository(tmp_path / "repos" / "new", {}, licence=False, commit=False)
    (tmp_path / "buril.yaml").write_text("name: odd\ncollect:\n  - folder: {path: repos}\n")
    answer = buril("run", "--until", "collect", cwd=tmp_path)
    assert answer.code == 2
    assert "error[D" in answer.err


def test_a_missing_extra_names_the_pip_line(tmp_path: Path) -> None:
    project(tmp_path, repos=3, modules=3)
    code = (
        "import sys\n"
        "for name in ('torch', 'transformers', 'tokenizers', 'peft', 'safetensors'): sys.modules[name] = None\n"
        "from buril.cli.main import main\n"
        "main(['run'])\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert "Traceback" not in done.stderr, done.stderr
    assert done.returncode == 4, done.stderr
    assert 'pip install "buril[train]"' in done.stderr


def test_a_plan_writes_nothing(tmp_path: Path) -> None:
    project(tmp_path, repos=1, modules=1)
    answer = buril("plan", cwd=tmp_path)
    assert answer.code == 0, answer.err
    assert "nothing was changed" in answer.out
    assert sorted(path.name for path in tmp_path.iterdir()) == ["buril.yaml", "repos"]


def test_a_file_for_a_store_is_said(tmp_path: Path) -> None:
    project(tmp_path, repos=1, modules=1)
    answer = buril("run", "--store", "buril.yaml/store", cwd=tmp_path)
    assert answer.code == 4
    assert "S003" in answer.err


def test_why_of_an_unknown_file_suggests_the_nearest(tmp_path: Path) -> None:
    repository(tmp_path / "repos" / "one", {"src/ledger.py": module("ledger")})
    (tmp_path / "buril.yaml").write_text("name: odd\ncollect:\n  - folder: {path: repos}\n")
    assert buril("run", "--until", "collect", cwd=tmp_path).code == 0
    answer = buril("why", "src/leger.py", cwd=tmp_path)
    assert answer.code == 2
    assert "W101" in answer.err
    assert "src/ledger.py" in answer.err


@pytest.mark.skipif(
    subprocess.run(["unshare", "-Urm", "true"], capture_output=True, check=False).returncode != 0,
    reason="needs user and mount namespaces to mount a small and a read-only disk",
)
@pytest.mark.parametrize(("option", "code"), [("size=64k", "S004"), ("size=1m,ro", "S003")])
def test_a_full_and_a_read_only_disk(tmp_path: Path, option: str, code: str) -> None:
    project(tmp_path, repos=4, modules=30)
    (tmp_path / "disk").mkdir()
    script = (
        f"mount -t tmpfs -o {option} none {tmp_path}/disk; cd {tmp_path};"
        f"PYTHONPATH={ROOT}/src {sys.executable} -m buril.cli.main run --until prepare --store {tmp_path}/disk/store"
    )
    done = subprocess.run(["unshare", "-Urm", "sh", "-c", script], capture_output=True, text=True, check=False)
    assert "Traceback" not in done.stderr, done.stderr
    assert done.returncode == 4, done.stderr
    assert f"error[{code}]" in done.stderr
