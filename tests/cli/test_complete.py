"""`buril complete`: what it prints comes from the model, and its record leads back to it."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from buril.cli.complete import offset, read_hole
from buril.code.codefile import CodeFile, write_rows
from buril.core import plan
from buril.core.errors import BurilError
from buril.core.settings import Settings as BaseSettings
from buril.core.stage import Inputs, Output, Stage
from buril.core.store import Store

TEXT = "def add(a, b):\n    return a + b\n\n\ndef sub(a, b):\n    return a - b\n"


class Split(Stage):
    """A split with a little code to learn a vocabulary from."""

    name = "split"

    def run(self, inputs: Inputs, out: Output) -> dict[str, Any]:
        for part in ("train", "valid", "test"):
            rows = [CodeFile("acme", f"{part}{number}.py", TEXT * 3 + f"x = {number}\n") for number in range(4)]
            write_rows(out.path(f"{part}/00000.parquet"), rows)
        return {}


class Pack(Stage):
    """Says how much was packed for filling in the middle; the train stage below needs no more."""

    name = "pack"

    class Settings(BaseSettings):
        """As the real one."""

        fim_rate: float = 0.5
        """Share."""

    def needs(self) -> tuple[str, ...]:
        return ("split", "tokenizer")

    def run(self, inputs: Inputs, out: Output) -> dict[str, Any]:
        out.text("summary.json", json.dumps(self.settings.fim_rate))
        return {}


class Train(Stage):
    """Hands the base's weights on as the trained ones."""

    name = "train"

    def needs(self) -> tuple[str, ...]:
        return ("base", "tokenizer", "pack")

    def run(self, inputs: Inputs, out: Output) -> dict[str, Any]:
        shutil.copytree(inputs["base"].path("model"), out.path("model"), dirs_exist_ok=True)
        return {}


def stages(*, fim_rate: float, upto: str = "train") -> list[Stage]:
    from buril.tokens.tokenizer import Tokenizer
    from buril.train.base import Base

    found = [
        Split(Split.Settings()), Tokenizer(Tokenizer.Settings(train="bpe", vocab=512)),
        Base(Base.Settings(base="scratch", depth=1, max_length=256)),
        Pack(Pack.Settings(fim_rate=fim_rate)), Train(Train.Settings()),
    ]  # fmt: skip
    return found[: [stage.name for stage in found].index(upto) + 1]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with a tiny model, once for all tests."""
    for package in ("torch", "transformers", "tokenizers"):
        pytest.importorskip(package, reason=f"{package} is not installed")
    root = tmp_path_factory.mktemp("made") / ".buril"
    plan.run(stages(fim_rate=0.5), Store(root), name="acme")
    return root


@pytest.fixture
def store(made: Path, tmp_path: Path) -> Store:
    """The store in the test's folder."""
    shutil.copytree(made, tmp_path / ".buril")
    return Store(tmp_path / ".buril")


def records(store: Store) -> list[dict[str, Any]]:
    return [json.loads(path.read_text()) for path in sorted((store.root / "completions").glob("*.json"))]


def test_prints_the_completion_and_keeps_its_record(call: Callable[..., Any], store: Store) -> None:
    answer = call("complete", "--prompt", "def add(", "--max-tokens", "5")
    assert answer.code == 0, answer.err
    (record,) = records(store)
    printed = answer.out if answer.out.endswith("\n") else answer.out + "\n"
    shas = {hashlib.sha256(text.encode()).hexdigest() for text in (printed, printed[:-1])}
    assert record["text_sha256"] in shas
    assert record["prompt_sha256"] == hashlib.sha256(b"def add(").hexdigest() and "prompt" not in record
    chain = store.chain()
    for name in ("base", "tokenizer", "train"):
        link = chain[name].link
        assert record["model"][name] == {"stage": name, "key": link.key, "digest": link.digest}
    assert record["parameters"]["max_tokens"] == 5 and len(record["id"]) == 12
    assert answer.err.splitlines()[-2:] == [f"completion {record['id']}", f"next: buril trace {record['id']}"]


def test_the_same_completion_has_the_same_id(call: Callable[..., Any], store: Store) -> None:
    first, again, other = (
        call("complete", "--prompt", prompt, "--max-tokens", "4", "--json").json[0] for prompt in ("a", "a", "b")
    )
    assert first["id"] == again["id"] != other["id"]
    assert first["text"] == again["text"]


def test_trace_walks_from_the_id(call: Callable[..., Any], store: Store) -> None:
    record = call("complete", "--prompt", "x", "--max-tokens", "2", "--json").json[0]
    answer = call("trace", record["id"], "--json")
    assert answer.code == 0, answer.err
    assert answer.json["completion"]["id"] == record["id"]
    assert answer.json["graph"]["digest"] == store.chain()["train"].digest


def test_samples_differ_and_each_has_its_record(call: Callable[..., Any], store: Store) -> None:
    found = call("complete", "--prompt", "def ", "--samples", "3", "--max-tokens", "8", "--json", "--keep-prompt").json
    assert len({item["id"] for item in found}) == 3 == len(records(store))
    assert len({item["text"] for item in found}) > 1
    assert found[0]["parameters"]["temperature"] == 0.8
    assert all(record["prompt"] == "def " for record in records(store))


def test_fills_in_the_middle_at_a_cursor(call: Callable[..., Any], store: Store, tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text(TEXT)
    found = call("complete", "a.py", "--line", "2", "--column", "12", "--max-tokens", "3", "--json", "--raw").json[0]
    assert found["parameters"]["fim"] is True
    assert found["prompt_sha256"] == hashlib.sha256(TEXT[:26].encode()).hexdigest()
    assert found["suffix_sha256"] == hashlib.sha256(TEXT[26:].encode()).hexdigest()
    piped = call(
        "complete", "-", "--line", "2", "--column", "12", "--max-tokens", "3", "--json", "--raw", stdin=TEXT
    ).json[0]
    assert piped["id"] == found["id"]
    atend = call("complete", "a.py", "--max-tokens", "3", "--json").json[0]
    assert atend["parameters"]["fim"] is False and atend["suffix_sha256"] is None


def test_a_model_that_never_saw_a_hole_is_not_asked_to_fill_one(
    call: Callable[..., Any], store: Store, tmp_path: Path
) -> None:
    plan.run(stages(fim_rate=0.0), store, name="plain")
    words = ("complete", "--prompt", "a", "--suffix", "b", "--max-tokens", "2", "--json")
    answer = call(*words, "--model", "plain")
    assert answer.json[0]["parameters"]["fim"] is False
    assert "knows no fill-in-the-middle" in answer.err
    assert call(*words, "--model", "acme").json[0]["parameters"]["fim"] is True
    assert call(*words, "--model", "base").json[0]["parameters"]["fim"] is False


def test_a_model_by_run_by_key_and_the_base(call: Callable[..., Any], store: Store) -> None:
    train = store.chain()["train"]
    for ref in (f"train@{train.key[:12]}", "acme@latest", "acme", train.digest[:10]):
        found = call("complete", "--prompt", "a", "--max-tokens", "1", "--json", "--model", ref)
        assert found.json[0]["model"]["train"]["digest"] == train.digest
    base = call("complete", "--prompt", "a", "--max-tokens", "1", "--json", "--model", "base").json[0]
    assert set(base["model"]) == {"base", "tokenizer"}


@pytest.mark.parametrize("ref", ["nope", "base@00000000"])
def test_an_unknown_model(call: Callable[..., Any], store: Store, ref: str) -> None:
    answer = call("complete", "--prompt", "a", "--model", ref)
    assert answer.code == 2 and "S001" in answer.err


def test_before_anything_was_trained(call: Callable[..., Any], tmp_path: Path) -> None:
    assert "S010" in call("complete", "--prompt", "a").err
    Store(tmp_path / ".buril")
    answer = call("complete", "--prompt", "a")
    assert answer.code == 2 and "error[S007]: stage `train`" in answer.err
    assert "S007" in call("complete", "--prompt", "a", "--model", "base").err


def test_what_the_command_line_may_not_say(call: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "bytes").write_bytes(b"\xff\xfe")
    (tmp_path / "a.py").write_text(TEXT)
    for code, words in (
        ("W222", ()), ("W222", ("a.py", "--prompt", "x")), ("W222", ("--prompt", "x", "--line", "1")),
        ("W222", ("a.py", "--column", "1")), ("W222", ("a.py", "--line", "1", "--suffix", "x")),
        ("W220", ("bytes",)), ("W220", ("nowhere.py",)), ("W220", (".",)),
        ("W221", ("a.py", "--line", "99")), ("W221", ("a.py", "--line", "1", "--column", "99")),
    ):  # fmt: skip
        answer = call("complete", *words)
        assert answer.code == 2 and f"error[{code}]" in answer.err, words


# --- the cursor


@given(st.text(st.sampled_from("ab\n\r"), max_size=30), st.data())
def test_every_place_of_a_text_has_its_line_and_column(text: str, data: st.DataObject) -> None:
    place = data.draw(st.integers(0, len(text)))
    before = text[:place]
    line, column = before.count("\n") + 1, place - (before.rfind("\n") + 1) + 1
    at_the_end = text.split("\n")[line - 1]
    if column - 1 <= len(at_the_end.removesuffix("\r")):  # nobody's cursor stands between \r and \n
        assert offset(text, line, column) == place


def test_the_end_of_a_line_is_before_its_line_break() -> None:
    assert offset("ab\r\ncd", 1, None) == 2
    assert offset("ab\ncd", 2, None) == 5
    with pytest.raises(BurilError):
        offset("ab", 1, 4)


def test_a_hole_from_a_prompt() -> None:
    hole = read_hole(None, "a", suffix="b")
    assert (hole.prefix, hole.suffix) == ("a", "b")
