"""Ledger and watermark as commands: a completion is kept, traced, found in files and commits, and named in messages."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("cryptography", reason="cryptography is not installed")

from tests.cli.test_complete import stages

from buril.core import plan
from buril.core.store import Store
from buril.serve.ledger import Entry, Ledger

SOURCE = Path(__file__).resolve().parents[2] / "src" / "buril"
TEXT = (SOURCE / "code" / "winnow.py").read_text("utf-8")
PIECE = TEXT[TEXT.index("def prints(") : TEXT.index("def _mixed(")]
OTHER = (SOURCE / "core" / "lock.py").read_text("utf-8")
MODEL = {"base": "b" * 64, "train": "7a" * 32}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """A store whose ledger knows one completion."""
    store = Store(tmp_path / ".buril")
    Ledger(store.root / "ledger").append(Entry("abc123abc123", PIECE, "openvino", MODEL))
    return store


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with a tiny model."""
    for package in ("torch", "transformers", "tokenizers"):
        pytest.importorskip(package, reason=f"{package} is not installed")
    root = tmp_path_factory.mktemp("made") / ".buril"
    plan.run(stages(fim_rate=0.5), Store(root), name="acme")
    return root


@pytest.fixture
def trained(made: Path, tmp_path: Path) -> Store:
    shutil.copytree(made, tmp_path / ".buril")
    return Store(tmp_path / ".buril")


# --- complete and trace


def test_a_completion_is_in_the_ledger_and_its_trace_is_signed(call: Callable[..., Any], trained: Store) -> None:
    record = call("complete", "--prompt", "def add(", "--max-tokens", "40", "--json").json[0]
    kept = Ledger(trained.root / "ledger").of(record["id"])
    chain = trained.chain()
    assert kept[0]["model"]["train"] == chain["train"].digest and kept[0]["data"] == chain["pack"].digest
    assert kept[0]["text_sha256"] == record["text_sha256"] and kept[0]["num_tokens"] == record["num_tokens"]
    traced = call("trace", record["id"], "--json").json
    assert traced["ledger"]["seq"] == 1 and traced["ledger"]["key"] == kept[0]["key"]
    assert "signed: record 1 of the ledger" in call("trace", record["id"]).out
    assert call("ledger", "verify").code == 0
    assert call("gc").code == 0 and (trained.root / "ledger" / "head.json").exists()


def test_a_record_that_was_changed_is_not_traced(call: Callable[..., Any], trained: Store) -> None:
    record = call("complete", "--prompt", "a", "--max-tokens", "2", "--json").json[0]
    path = trained.root / "completions" / f"{record['id']}.json"
    path.write_text(path.read_text().replace('"num_tokens": 2', '"num_tokens": 3'))
    answer = call("trace", record["id"])
    assert answer.code == 3 and "error[V303]" in answer.err and "was changed since" in answer.err
    shutil.rmtree(trained.root / "ledger")
    assert "not signed" in call("trace", record["id"]).out


def test_what_cant_be_kept_is_not_shown(call: Callable[..., Any], trained: Store, monkeypatch: Any) -> None:
    (trained.root / "ledger" / "00000000.jsonl").mkdir(parents=True)
    answer = call("complete", "--prompt", "a", "--max-tokens", "2")
    assert answer.code == 4 and "error[V304]" in answer.err and answer.out == ""


def test_a_marked_completion_is_found_with_the_models_entropies(
    call: Callable[..., Any], trained: Store, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("BURIL_WATERMARK_KEY", "a key for the tests")
    words = ("--temperature", "1", "--max-tokens", "100", "--samples", "4", "--guards", "none", "--json")
    yaml = "{delta: 9, entropy: 0.1}"
    texts = {}
    for name, more in (("plain", ()), ("marked", ("--watermark", yaml))):
        found = call("complete", "--prompt", "def add(", *words, *more).json
        assert all(("watermark" in item) == (name == "marked") for item in found)
        texts[name] = [item["text"] for item in found]
        for number, text in enumerate(texts[name]):
            (tmp_path / f"{name}{number}.py").write_text(text, errors="replace")
    assert texts["plain"] != texts["marked"]
    shutil.rmtree(trained.root / "ledger")
    for how in ((), ("--entropies",)):
        told = {}
        for name in texts:
            files = [f"{name}{number}.py" for number in range(4)]
            told[name] = call("watermark", "check", *files, "--watermark", yaml, *how, "--json").json["watermark"]
        assert told["marked"]["found"] and not told["plain"]["found"] and told["marked"]["p"] < 1e-4
        assert told["marked"]["by_entropy"] is bool(how)
    shown = call("watermark", "check", *(f"marked{number}.py" for number in range(4)), "--watermark", yaml).out
    assert "watermark: found" in shown and "a mark would be found in" in shown


def test_settings_of_a_watermark_that_are_none(call: Callable[..., Any], store: Store) -> None:
    for text in ("{delta: -1}", "maybe", "{colour: green}", "[", "{key: x}"):
        answer = call("complete", "--prompt", "a", "--watermark", text)
        assert answer.code in (2, 4) and ("error[W002]" in answer.err or "error[V310]" in answer.err), text


# --- check


def test_check_tells_what_the_ledger_knows(call: Callable[..., Any], store: Store, tmp_path: Path) -> None:
    (tmp_path / "whole.py").write_text("# mine\n" + PIECE)
    (tmp_path / "part.py").write_text(OTHER + "\n\n" + PIECE)
    (tmp_path / "other.py").write_text(OTHER)
    answer = call("watermark", "check", "whole.py", "part.py", "other.py", "--json")
    assert answer.code == 0
    whole, part, other = answer.json["texts"]
    assert whole["covered"] == 1.0 and whole["matches"][0]["how"] == "exact"
    assert part["known"] and 0.1 < part["covered"] < 0.9 and part["matches"][0]["id"] == "abc123abc123"
    assert not other["known"] and other["covered"] == 0.0
    assert answer.json["watermark"] is None and "BURIL_WATERMARK_KEY" in answer.json["not_tested"]
    shown = call("watermark", "check", "whole.py", "other.py", "--watermark", "off")
    assert "abc123abc123 (exact 100%)" in shown.out and "unknown" in shown.out and "no proof" not in shown.out
    unknown = call("watermark", "check", "-", stdin=OTHER)
    assert unknown.code == 0 and "no proof that a person wrote it" in unknown.out


def test_check_of_what_is_not_there(call: Callable[..., Any], store: Store, tmp_path: Path) -> None:
    (tmp_path / "bytes").write_bytes(b"\xff")
    for code, words in (("W222", ()), ("W220", ("none.py",)), ("W220", ("bytes",)), ("W232", ("--commit", "HEAD"))):
        answer = call("watermark", "check", *words)
        assert answer.code == 2 and f"error[{code}]" in answer.err, words


def test_check_of_a_folder_tells_the_lines_of_what_is_known(
    call: Callable[..., Any], store: Store, tmp_path: Path
) -> None:
    folder = tmp_path / "code"
    (folder / "deep").mkdir(parents=True)
    (folder / "lock.py").write_text(OTHER)
    (folder / "deep/mixed.py").write_text(OTHER + "\n\n" + PIECE)
    (folder / "image.png").write_bytes(b"\x89PNG\0")
    told = call("watermark", "check", "code", "--watermark", "off", "--json").json
    found = {item["name"]: item for item in told["texts"]}
    assert found.keys() == {"code/lock.py", "code/deep/mixed.py"}
    (piece,) = found["code/deep/mixed.py"]["pieces"]
    rows = (folder / "deep/mixed.py").read_text().split("\n")
    assert rows[piece["first"] - 1].startswith("def prints(") and piece["id"] == "abc123abc123"
    assert piece["last"] - piece["first"] + 1 >= PIECE.rstrip().count("\n")
    assert told["generated"] == found["code/deep/mixed.py"]["generated"] > 20 and not found["code/lock.py"]["known"]
    shown = call("watermark", "check", "code", "--watermark", "off").out
    assert "mixed.py" in shown and "lock.py" not in shown
    assert f"lines that a model wrote: {told['generated']} of {told['lines']}, in 1 of 2 texts" in shown


def test_fingerprints_for_others(call: Callable[..., Any], store: Store, tmp_path: Path) -> None:
    ledger = Ledger(store.root / "ledger")
    ledger.append(Entry("def456def456", OTHER, "openvino", MODEL), Entry("aaa111aaa111", PIECE, "openvino", MODEL))
    ledger.append(Entry("bbb222bbb222", "return x\n", "openvino", MODEL))
    ledger.event("def456def456", "accepted")
    told = call("ledger", "fingerprints", "a.parquet", "--json").json
    assert told["completions"] == 2 and told["bytes"] == (tmp_path / "a.parquet").stat().st_size
    assert told["head"] == ledger.verify().head
    assert call("ledger", "fingerprints", "b.parquet", "--accepted", "--json").json["completions"] == 1
    assert call("ledger", "fingerprints", "b.parquet", "--since", "2999-01-01", "--json").json["completions"] == 0
    assert call("ledger", "fingerprints", "b.parquet", "--since", "1d").code == 0
    (tmp_path / "file").write_text("")
    assert "error[W236]" in call("ledger", "fingerprints", "file/a.parquet").err
    (tmp_path / "new.py").write_text(OTHER + "\n" + PIECE)
    ids = {}
    for given in ("a.parquet", str(store.root), str(store.root / "ledger")):
        found = call("scan", "new.py", "--no-config", "--scanner", "ruff", "--ledger", given, "--json").json[
            "generated"
        ]
        ids[given] = {piece["id"] for item in found["files"] for piece in item["pieces"]}
        assert found["generated"] > 0.9 * found["lines"]
    assert set(map(frozenset, ids.values())) == {frozenset({"abc123abc123", "def456def456"})}, "each text once"


def test_what_is_no_ledger(call: Callable[..., Any], store: Store, tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text(PIECE)
    (tmp_path / "empty").mkdir()
    for given in ("a.py", "empty", "nowhere"):
        answer = call("scan", "a.py", "--no-config", "--scanner", "ruff", "--ledger", given)
        assert answer.code == 2 and "error[W245]" in answer.err, given
    answer = call("scan", "a.py", "--no-config", "--scanner", "ruff", "--generated-fail-on", "low")
    assert answer.code == 2 and "error[W002]" in answer.err and "--ledger" in answer.err


# --- ledger


def test_ledger_verify_export_forget_rotate(call: Callable[..., Any], store: Store, tmp_path: Path) -> None:
    told = call("ledger", "verify", "--json").json
    assert told["ok"] and told["records"] == 2
    assert call("ledger", "rotate").code == 0
    assert call("ledger", "export", "all.jsonl").code == 0
    records = [json.loads(line) for line in (tmp_path / "all.jsonl").read_text().splitlines()]
    assert [record["kind"] for record in records] == ["key", "completion", "key"]
    assert call("ledger", "forget", "--older-than", "30d", "--json").json["forgotten"] == 0
    assert call("ledger", "forget", "--older-than", "2999-01-01", "--json").json["forgotten"] == 1
    after = call("ledger", "verify", "--signed-by", told["keys"][0], "--json").json
    assert after["ok"] and after["kinds"] == {"key": 2, "tombstone": 1, "forgotten": 1}
    wrong = call("ledger", "verify", "--head", told["head"][:-1] + "x")
    assert wrong.code == 3 and "error[V300]" in wrong.err
    answer = call("ledger", "forget", "--older-than", "soon")
    assert answer.code == 2 and "error[V305]" in answer.err


def test_ledger_verify_tells_of_a_change(call: Callable[..., Any], store: Store) -> None:
    path = store.root / "ledger" / "00000000.jsonl"
    path.write_text(path.read_text().replace("openvino", "llamacpp"))
    answer = call("ledger", "verify")
    assert answer.code == 3 and "record 1: it is not what was signed" in answer.out and "error[V300]" in answer.err


def test_a_key_of_ones_own(call: Callable[..., Any], store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BURIL_LEDGER_KEY", "33" * 32)
    answer = call("ledger", "forget", "--older-than", "2999-01-01")
    assert answer.code == 2 and "error[V302]" in answer.err
    assert (
        call("ledger", "rotate", "--to", "env:BURIL_LEDGER_KEY", "--key", f"file:{store.root}/ledger/key.pem").code == 0
    )
    assert call("ledger", "forget", "--older-than", "2999-01-01").code == 0
    monkeypatch.setenv("BURIL_LEDGER_KEY", "33")
    assert "error[V301]" in call("ledger", "forget", "--older-than", "2999-01-01").err


# --- git


class Repository:
    """A real one."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.run("init", "-q", "-b", "main")
        for name, value in (("user.name", "a"), ("user.email", "a@example.org"), ("commit.gpgsign", "false")):
            self.run("config", name, value)

    def run(self, *words: str) -> str:
        env = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
        done = subprocess.run(["git", *words], cwd=self.root, env=env, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def commit(self, files: dict[str, str], message: str, *more: str) -> str:
        for name, text in files.items():
            (self.root / name).write_text(text)
        self.run("add", *files)
        self.run("commit", "-q", "-m", message, *more)
        return self.run("log", "-1", "--format=%B").strip()


@pytest.fixture
def repository(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Repository:
    if shutil.which("git") is None:
        pytest.skip("git is not installed")
    monkeypatch.setenv("PYTHONPATH", str(SOURCE.parent))
    (tmp_path / ".gitignore").write_text(".buril\n")
    return Repository(tmp_path)


LINE = "AI-Generated-By: buril model=7a7a7a7a7a7a ledger=abc123abc123"


def test_the_hook_names_what_was_generated_and_nothing_else(call: Callable[..., Any], repository: Repository) -> None:
    assert call("watermark", "trailer", "--install").code == 0
    assert call("watermark", "trailer", "--install").code == 0
    assert repository.commit({"lock.py": OTHER}, "by hand") == "by hand"
    told = repository.commit({"winnow.py": "import numpy\n\n\n" + PIECE}, "with help\n\nReviewed-by: b")
    assert told == f"with help\n\nReviewed-by: b\n{LINE}"
    repository.run("commit", "-q", "--amend", "--no-edit")
    assert repository.run("log", "-1", "--format=%B").strip() == told
    (repository.root / "lock.py").write_text(OTHER + "\n" + PIECE)
    repository.run("commit", "-q", "-a", "-m", "by -a")
    assert repository.run("log", "-1", "--format=%B").strip() == f"by -a\n\n{LINE}"
    assert repository.commit({"more.py": OTHER[:300]}, "again by hand") == "again by hand"


def test_the_hook_never_fails_a_commit(call: Callable[..., Any], repository: Repository, store: Store) -> None:
    call("watermark", "trailer", "--install")
    shutil.rmtree(store.root)
    assert repository.commit({"a.py": PIECE}, "no store") == "no store"
    (repository.root / ".git/hooks/prepare-commit-msg").write_text(
        (repository.root / ".git/hooks/prepare-commit-msg").read_text().replace(sys.executable, "/nonexistent")
    )
    assert repository.commit({"b.py": PIECE}, "no python") == "no python"


def test_a_hook_of_others_stays(call: Callable[..., Any], repository: Repository) -> None:
    path = repository.root / ".git/hooks/prepare-commit-msg"
    path.parent.mkdir(exist_ok=True)
    path.write_text("#!/bin/sh\ntrue\n")
    answer = call("watermark", "trailer", "--install")
    assert answer.code == 2 and "error[V312]" in answer.err and path.read_text() == "#!/bin/sh\ntrue\n"


def test_trailers_of_what_is_staged_and_since(call: Callable[..., Any], repository: Repository) -> None:
    repository.commit({"lock.py": OTHER}, "first")
    assert call("watermark", "trailer").out == ""
    (repository.root / "lock.py").write_text(OTHER + "\n" + PIECE)
    assert call("watermark", "trailer").out == ""
    repository.run("add", "lock.py")
    assert call("watermark", "trailer").out == LINE + "\n"
    repository.run("commit", "-q", "-m", "second")
    assert call("watermark", "trailer").out == ""
    assert call("watermark", "trailer", "--since", "HEAD~1", "--json").json == [LINE]
    assert call("watermark", "trailer", "--since", "nowhere").code == 2


def test_check_of_commits_and_ranges(call: Callable[..., Any], repository: Repository) -> None:
    repository.commit({"lock.py": OTHER}, "first")
    repository.commit({"lock.py": OTHER + "\n" + PIECE}, "second")
    repository.commit({"b.py": "x = 1\n", "bytes": "\x00"}, "third")
    found = {
        words: call("watermark", "check", "--commit", words, "--json").json["texts"]
        for words in ("HEAD~2", "HEAD~1", "HEAD~2..HEAD", "HEAD")
    }
    assert [item["known"] for item in found["HEAD~2"]] == [False]
    assert [(item["name"], item["known"]) for item in found["HEAD~1"]] == [("lock.py", True)]
    assert found["HEAD~1"][0]["covered"] > 0.9
    assert found["HEAD~1"][0]["generated"] >= found["HEAD~1"][0]["lines"] - 1 > 15
    assert {item["name"]: item["known"] for item in found["HEAD~2..HEAD"]} == {"lock.py": True, "b.py": False}
    assert call("watermark", "check", "--commit", "nowhere..HEAD").code == 2
