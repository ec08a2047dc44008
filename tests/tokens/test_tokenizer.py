"""Stage tokenizer: reuse with sentinels, training, encoding that reads no control tokens."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

tokenizers = pytest.importorskip("tokenizers")

from tokenizers import AddedToken, decoders, models, pre_tokenizers, trainers  # noqa: E402

from buril.code.codefile import CodeFile, write_rows  # noqa: E402
from buril.core.artifact import Artifact  # noqa: E402
from buril.core.errors import BurilError  # noqa: E402
from buril.generators._encoder import Encoder  # noqa: E402
from buril.generators._sentinels import FAMILIES  # noqa: E402
from buril.tokens import bpe  # noqa: E402
from buril.tokens.tokenizer import Tokenizer  # noqa: E402
from tests.conftest import as_artifact  # noqa: E402

PYTHON = "def add(left, right):\n    '''test'''\n    return left + right  # 2024\n"
SOLIDITY = "contract Vault {\n    mapping(address => uint256) balances;\n}\n"


def split_of(folder: Path, files: dict[str, list[CodeFile]]) -> Artifact:
    for part in ("train", "valid"):
        (folder / part).mkdir(parents=True, exist_ok=True)
        write_rows(folder / part / "00000.parquet", files.get(part, []))
    return as_artifact(folder, "split")


def rows(text: str, language: str, count: int, start: int = 0) -> list[CodeFile]:
    return [
        CodeFile(repo="acme", path=f"{language}/{i}", content=text.replace("2024", str(i)) * 3, language=language)
        for i in range(start, start + count)
    ]


@pytest.fixture
def split(tmp_path: Path) -> Artifact:
    train = rows(PYTHON, "python", 40) + rows(SOLIDITY, "solidity", 8)
    return split_of(tmp_path / "split", {"train": train, "valid": rows(PYTHON, "python", 5, 40)})


def base_of(folder: Path, *control: str, plain: tuple[str, ...] = (), rows: int = 0) -> Artifact:
    """A base with a byte-level vocabulary, its control tokens and an embedding of `rows` rows."""
    tokenizer = tokenizers.Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=300, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False
    )
    tokenizer.train_from_iterator([PYTHON * 9], trainer)
    tokenizer.add_special_tokens([AddedToken(token, normalized=False) for token in ("<|endoftext|>", *control)])
    tokenizer.add_tokens([AddedToken(token, normalized=False) for token in plain])
    (folder / "model").mkdir(parents=True)
    tokenizer.save(str(folder / "model/tokenizer.json"))
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "eos_token": "<|endoftext|>",
        "pad_token": {"content": "<|endoftext|>"},
    }
    (folder / "model/tokenizer_config.json").write_text(json.dumps(config))
    size = tokenizer.get_vocab_size(with_added_tokens=True)
    (folder / "model/config.json").write_text(json.dumps({"vocab_size": rows or size}))
    (folder / "base.json").write_text(json.dumps({"name": "tiny"}))
    return as_artifact(folder, "base")


def stage(**given) -> Tokenizer:
    return Tokenizer(Tokenizer.Settings(**given))


# --- settings


def test_reuse_is_the_default_and_one_of_the_three_is_enough() -> None:
    assert stage().settings.reuse == "base" and stage().needs() == ("base", "split")
    assert stage(train="bpe").settings.reuse is None and stage(train="bpe").needs() == ("split",)
    assert stage(extend=9).settings.reuse is None and stage(extend=9).needs() == ("base", "split")
    for several in ({"reuse": "base"}, {"extend": 9}):
        with pytest.raises(ValidationError, match="not several"):
            stage(train="bpe", **several)
    assert stage(train="bpe", compare="x").settings.identity() == stage(train="bpe").settings.identity()


# --- reuse


def test_a_base_without_sentinels_gets_three_at_the_end(
    split: Artifact, tmp_path: Path, make_artifact: Callable
) -> None:
    base = base_of(tmp_path / "b")
    old = len(Encoder(base.path("model")))
    art = make_artifact(stage(), {"base": base, "split": split})
    fim = art.json("fim.json")
    assert fim["added"] == [old, old + 1, old + 2] == [fim["prefix"], fim["suffix"], fim["middle"]]
    assert fim["vocab_size"] == old + 3 and fim["eos"] == old - 1
    encoder = Encoder(art.folder)
    assert encoder.decode([old], special=True) == "<|fim_prefix|>" and len(encoder) == old + 3
    assert encoder.encode(PYTHON) == Encoder(base.path("model")).encode(PYTHON)


def test_added_sentinels_first_fill_rows_that_the_embedding_has_spare(
    split: Artifact, tmp_path: Path, make_artifact: Callable
) -> None:
    art = make_artifact(stage(), {"base": base_of(tmp_path / "b", rows=512), "split": split})
    assert art.json("fim.json")["vocab_size"] == 512 and max(art.json("fim.json")["added"]) < 512


@pytest.mark.parametrize("family", FAMILIES, ids=[family.name for family in FAMILIES])
def test_a_base_keeps_its_own_sentinels(family, split: Artifact, tmp_path: Path, make_artifact: Callable) -> None:
    base = base_of(tmp_path / "b", plain=(family.middle, family.prefix, family.suffix))
    art = make_artifact(stage(), {"base": base, "split": split})
    fim, encoder = art.json("fim.json"), Encoder(art.folder)
    assert fim["added"] == []
    assert [encoder.decode([fim[k]], special=True) for k in ("prefix", "suffix", "middle")] == [
        family.prefix,
        family.suffix,
        family.middle,
    ]
    assert art.path("tokenizer/tokenizer.json").read_bytes() == base.path("model/tokenizer.json").read_bytes()
    assert not {fim["prefix"], fim["middle"]} & set(encoder.encode(f"a {family.prefix}b{family.middle}"))


def test_without_fim_the_vocabulary_is_the_bases(split: Artifact, tmp_path: Path, make_artifact: Callable) -> None:
    art = make_artifact(stage(fim=False), {"base": base_of(tmp_path / "b"), "split": split})
    assert art.json("fim.json")["prefix"] is None and art.json("fim.json")["added"] == []


def test_the_corpus_does_not_change_a_reused_vocabulary(
    split: Artifact, tmp_path: Path, make_artifact: Callable
) -> None:
    base = base_of(tmp_path / "b")
    other = split_of(tmp_path / "other", {"valid": rows(SOLIDITY, "solidity", 3)})
    first = make_artifact(stage(), {"base": base, "split": split}, folder="one")
    second = make_artifact(stage(), {"base": base, "split": other}, folder="two")
    assert first.digest == second.digest
    assert set(second.json("logs/fertility.json")) == {"solidity"}
    python = first.json("logs/fertility.json")["python"]
    texts = [row.content for row in rows(PYTHON, "python", 5, 40)]
    assert python["bytes"] == sum(map(len, texts))
    assert python["tokens"] == sum(map(len, Encoder(first.folder).encode_batch(texts)))


def test_a_base_without_a_tokenizer_says_so(split: Artifact, tmp_path: Path, output: Callable) -> None:
    base = base_of(tmp_path / "b")
    (base.folder / "model/tokenizer.json").unlink()
    with pytest.raises(BurilError) as caught:
        stage().run({"base": base, "split": split}, output("t"))
    assert caught.value.code == "T010" and "train: bpe" in str(caught.value)
    (base.folder / "model/tokenizer.json").write_text('{"model": {}}')
    with pytest.raises(BurilError) as caught:
        stage().run({"base": base, "split": split}, output("t"))
    assert caught.value.code == "T014"


# --- what comes back


def with_normalizer(base: Artifact, normalizer: dict[str, str]) -> Artifact:
    path = base.path("model/tokenizer.json")
    path.write_text(json.dumps({**json.loads(path.read_text()), "normalizer": normalizer}))
    return base


def said(log: Path, kind: str) -> list[str]:
    events = [json.loads(line) for line in log.read_text().splitlines()]
    return [event["text"] for event in events if event["kind"] == kind]


def test_a_vocabulary_that_does_not_give_texts_back_is_refused(
    split: Artifact, tmp_path: Path, output: Callable
) -> None:
    base = with_normalizer(base_of(tmp_path / "b"), {"type": "Replace", "pattern": {"String": "+"}, "content": "-"})
    with pytest.raises(BurilError) as caught:
        stage().run({"base": base, "split": split}, output("t"))
    assert caught.value.code == "T018" and "5 of 5" in str(caught.value) and "left + righ" in str(caught.value)


def test_few_texts_that_do_not_come_back_are_told(tmp_path: Path, output: Callable) -> None:
    """A vocabulary without some bytes, as SmolLM2's, drops what they spell: one text of many is no reason to stop."""
    base = base_of(tmp_path / "b")
    path = base.path("model/tokenizer.json")
    raw = json.loads(path.read_text())
    del raw["model"]["vocab"]["Ą"]  # how the byte 0x04 is spelt
    raw["model"]["vocab"].update({token["content"]: token["id"] for token in raw["added_tokens"]})
    path.write_text(json.dumps(raw))
    odd = [CodeFile(repo="acme", path="odd", content="x = 1\x04\n", language="python")]
    split = split_of(tmp_path / "s", {"valid": rows(PYTHON, "python", 200) + odd})
    out = output("t")
    stage().run({"base": base, "split": split}, out)
    (warning,) = said(out.folder.parent / "events.jsonl", "warning")
    assert warning.startswith("1 of 201 texts") and "x = 1\\x04" in warning


def test_texts_that_come_back_composed_are_told_and_never_refused(tmp_path: Path, output: Callable) -> None:
    base = with_normalizer(base_of(tmp_path / "b"), {"type": "NFC"})
    decomposed = [CodeFile(repo="a", path=str(n), content=f"# cafe\u0301 {n}\n", language="python") for n in range(4)]
    split = split_of(tmp_path / "s", {"valid": decomposed + rows(PYTHON, "python", 2)})
    out = output("t")
    stage().run({"base": base, "split": split}, out)
    (warning,) = said(out.folder.parent / "events.jsonl", "warning")
    assert warning.startswith("4 of 6 texts") and "NFC" in warning


def test_it_says_which_way_encodes_and_that_both_agree(
    split: Artifact, tmp_path: Path, make_artifact: Callable
) -> None:
    pytest.importorskip("tiktoken")
    art = make_artifact(stage(), {"base": base_of(tmp_path / "b"), "split": split}, folder="one")
    assert art.json("logs/encoding.json") == {"engine": "tiktoken", "reason": None, "same_ids": True, "texts": 5}
    base = with_normalizer(base_of(tmp_path / "c"), {"type": "NFD"})
    art = make_artifact(stage(), {"base": base, "split": split}, folder="two")
    told = art.json("logs/encoding.json")
    assert told["engine"] == "tokenizers" and "NFD" in told["reason"] and told["same_ids"] is None


def test_other_ids_on_the_corpus_are_found_and_tiktoken_is_left(
    split: Artifact, tmp_path: Path, output: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("tiktoken")
    from buril.generators import _quick

    own = _quick.Quick.encode
    monkeypatch.setattr(_quick.Quick, "encode", lambda self, text: own(self, text.replace("return left", "left")))
    out = output("t")
    stage().run({"base": base_of(tmp_path / "b"), "split": split}, out)
    assert any("other ids" in text for text in said(out.folder.parent / "events.jsonl", "warning"))
    encoder = Encoder(out.folder, quick_after=0)
    assert encoder.encode(PYTHON) == encoder.encode_plainly([PYTHON])[0]


# --- training


def test_a_trained_vocabulary_is_measured_beside_another(
    split: Artifact, tmp_path: Path, output: Callable, make_artifact: Callable
) -> None:
    other = base_of(tmp_path / "b").path("model")
    art = make_artifact(stage(train="bpe", vocab=512, compare=str(other)), {"split": split})
    texts = [row.content for row in rows(PYTHON, "python", 5, 40)]
    python = art.json("logs/fertility.json")["python"]
    assert python["base_tokens"] == sum(map(len, Encoder(other).encode_batch(texts))) != python["tokens"]
    assert art.manifest.metrics["base_bytes_per_token"] == round(python["bytes"] / python["base_tokens"], 3)
    assert art.manifest.metrics["bytes_per_token"] == round(python["bytes"] / python["tokens"], 3)
    with pytest.raises(BurilError) as caught:
        stage(train="bpe", vocab=512, compare=str(tmp_path / "none")).run({"split": split}, output("t"))
    assert caught.value.code == "T012"


def test_a_trained_vocabulary_loads_in_stock_transformers(split: Artifact, make_artifact: Callable) -> None:
    pytest.importorskip("transformers")
    from transformers import AutoTokenizer

    art = make_artifact(stage(train="bpe", vocab=512), {"split": split})
    found = AutoTokenizer.from_pretrained(art.path("tokenizer"))
    fim = art.json("fim.json")
    assert [fim[k] for k in ("eos", "prefix", "suffix", "middle", "pad")] == [0, 1, 2, 3, 4]
    assert found.eos_token_id == 0 and found.pad_token_id == 4 != found.eos_token_id
    assert len(found) == fim["vocab_size"] <= 512
    assert found(PYTHON)["input_ids"] == Encoder(art.folder).encode(PYTHON)
    assert found.decode(found(PYTHON)["input_ids"]) == PYTHON


def test_quotes_are_not_english_contractions(split: Artifact, make_artifact: Callable) -> None:
    encoder = Encoder(make_artifact(stage(train="bpe", vocab=512), {"split": split}).folder)
    assert [encoder.decode([token]) for token in encoder.encode("'''test'''")] == ["'''", "test", "'''"]


def test_training_gives_the_same_bytes_whatever_the_cores_and_the_hash_seed(split: Artifact, tmp_path: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from buril.tokens import bpe;"
        "sys.stdout.write(bpe.train(bpe.sample(Path(sys.argv[1]).glob('*.parquet')), 512).to_str())"
    )
    found = {
        subprocess.run(
            [sys.executable, "-c", script, str(split.path("train"))], check=True, capture_output=True, text=True,
            env={**os.environ, "RAYON_NUM_THREADS": cores, "PYTHONHASHSEED": cores, "TOKENIZERS_PARALLELISM": "true"},
        ).stdout
        for cores in ("1", "2", "7")
    }  # fmt: skip
    assert len(found) == 1 and len(found.pop()) > 5000


def test_small_languages_are_heard(split: Artifact) -> None:
    assert bpe.shares({"python": 90_000, "solidity": 10_000}, 40_000) == {"python": 30_000, "solidity": 10_000}
    assert bpe.shares({"a": 100}) == {"a": 100} and bpe.shares({}) == {}
    texts = list(bpe.sample(split.files("train/*.parquet"), budget=1500))
    taken = [sum("contract" in text for text in texts), sum("def" in text for text in texts)]
    assert taken[0] > 1 and taken[1] < 40


def test_an_empty_training_part_says_so(tmp_path: Path, output: Callable) -> None:
    with pytest.raises(BurilError) as caught:
        stage(train="bpe").run({"split": split_of(tmp_path / "s", {})}, output("t"))
    assert caught.value.code == "T011"


# --- encoding


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Encoder:
    folder = tmp_path_factory.mktemp("bpe")
    (folder / "tokenizer.json").write_text(bpe.train([PYTHON * 20, SOLIDITY * 20], 400).to_str())
    return Encoder(folder)


def test_every_byte_and_every_plane_comes_back(encoder: Encoder) -> None:
    text = "".join(map(chr, range(0x800))) + "\u2028日本\ufeff\uffff🙂\U0010ffff" + "\r\n \t" * 3
    assert {byte for byte in range(256) if bytes([byte]) in text.encode()} >= set(range(0x80))
    assert encoder.decode(encoder.encode(text)) == text
    assert set(pre_tokenizers.ByteLevel.alphabet()) <= set(encoder.vocabulary)


@given(st.text(st.characters(exclude_categories=["Cs"])))
@settings(max_examples=200, deadline=None)
def test_any_text_comes_back(encoder: Encoder, text: str) -> None:
    assert encoder.decode(encoder.encode(text)) == text


@pytest.mark.parametrize("token", bpe.CONTROL)
def test_a_control_token_in_a_text_is_text(encoder: Encoder, token: str) -> None:
    text = f"print('{token}'){token}"
    ids = encoder.encode(text)
    assert not encoder.control_ids & set(ids) and len(encoder.control_ids) == len(bpe.CONTROL)
    assert encoder.decode(ids) == text
    assert encoder.decode([*encoder.encode("a"), encoder.vocabulary[token]]) == "a"


def test_runs_of_spaces_kept_as_added_tokens_stay_tokens(tmp_path: Path) -> None:
    base = base_of(tmp_path / "b", plain=("        ", "  "))
    encoder = Encoder(base.path("model"))
    vocabulary = encoder.vocabulary
    assert {vocabulary["        "], vocabulary["  "]} <= set(encoder.encode("x        y  z"))
    assert encoder.decode(encoder.encode("x        y  z")) == "x        y  z"


def test_lone_surrogates_do_not_stop_a_batch(encoder: Encoder) -> None:
    assert encoder.decode(encoder.encode_batch(["ok", "a\ud800b"])[1]) == "a\ufffdb"


def test_a_folder_without_a_tokenizer_says_so(tmp_path: Path) -> None:
    with pytest.raises(BurilError) as caught:
        Encoder(tmp_path)
    assert caught.value.code == "T012"


def test_encoding_needs_neither_torch_nor_transformers() -> None:
    script = "import buril.generators._encoder, buril.tokens.tokenizer, sys; print({'torch', 'transformers'} & set(sys.modules))"
    assert (
        subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True).stdout == "set()\n"
    )
