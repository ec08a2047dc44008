"""tiktoken in the place of tokenizers: the same ids, or the reason why not."""

from __future__ import annotations

import builtins
import importlib.util
import json
import random
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

tokenizers = pytest.importorskip("tokenizers")
pytest.importorskip("tiktoken")

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers  # noqa: E402

from buril.generators import _quick  # noqa: E402
from buril.generators._encoder import EVIDENCE, Encoder  # noqa: E402
from buril.tokens import bpe  # noqa: E402

SOURCE = Path(builtins.__file__ if hasattr(builtins, "__file__") else json.__file__).parent
CODE = "\n".join(path.read_text(encoding="utf-8") for path in sorted(SOURCE.glob("*.py")))
ODD = "e\u0301 ſ's 'S ½ Ⅻ ٣٤ 日本語 \u3000\u2028 \x85 𝟙𐏑 🙂\u200d🙂 \ufeff ﬁ K \U000f0000"
BYTE_LEVEL = pre_tokenizers.ByteLevel(add_prefix_space=False)
WAYS = {
    "ours": pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(bpe.PATTERN), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    ),
    "qwen": pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(
                Regex(
                    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
                    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
                ),
                "isolated",
            ),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    ),
    "leaves gaps": pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(r"\p{L}+|\d\d"), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    ),
    "smollm": pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), BYTE_LEVEL]),
    "gpt2": BYTE_LEVEL,
}


def learn(way: str, *, alphabet: bool = True, vocab: int = 700) -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = WAYS[way]
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab,
        special_tokens=["<|endoftext|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet() if alphabet else [],
        show_progress=False,
    )
    tokenizer.train_from_iterator([CODE[:60_000], "aaaa aaaaaaaa abababab " * 50, ODD], trainer)
    return tokenizer


def encoder_of(folder: Path, tokenizer: Tokenizer, change: Any = None) -> Encoder:
    raw = json.loads(tokenizer.to_str())
    if change:
        change(raw)
    (folder / "tokenizer").mkdir(parents=True, exist_ok=True)
    (folder / "tokenizer/tokenizer.json").write_text(json.dumps(raw))
    return Encoder(folder)


@pytest.fixture(scope="module", params=sorted(WAYS))
def pair(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Encoder, Encoder]:
    """An encoder that uses tiktoken, and one that never does."""
    folder = tmp_path_factory.mktemp("quick")
    tokenizer = learn(request.param)
    if request.param == "qwen":
        tokenizer.normalizer = normalizers.NFC()
    quick = encoder_of(folder, tokenizer)
    assert quick.quicken() is None
    return quick, Encoder(folder, quick_after=None)


def test_the_same_ids_on_code_and_on_what_is_odd(pair: tuple[Encoder, Encoder]) -> None:
    quick, plain = pair
    texts = [CODE, CODE.replace("\n", "\r\n"), ODD, *_quick.sample(), "x<|endoftext|>y", "a\ud800b", "\ud83d\ude42"]
    texts += ["".join(random.Random(seed).choices("ab aA1\n\t'se\r=_é", k=400)) for seed in range(300)]
    assert quick.encode_batch(texts) == plain.encode_batch(texts)
    taken = [text for text in texts if quick._quick is not None and quick._quick.encode(text) is not None]
    assert len(taken) > 0.9 * len(texts)  # else tokenizers would be compared with itself


@given(text=st.text(max_size=60) | st.text("ab'sStlm 19\n\r\t={}_éſKǅ\u0301日", max_size=80))
@settings(max_examples=300, deadline=None)
def test_the_same_ids_on_any_text(pair: tuple[Encoder, Encoder], text: str) -> None:
    quick, plain = pair
    assert quick.encode(text) == plain.encode(text)


@given(
    words=st.lists(st.text("abc", min_size=1, max_size=8), min_size=3, max_size=30),
    vocab=st.integers(260, 300),
    texts=st.lists(st.text("abc", max_size=40), min_size=20, max_size=40),
)
@settings(max_examples=25, deadline=None)
def test_any_vocabulary_that_training_gives_passes_and_agrees(words: list[str], vocab: int, texts: list[str]) -> None:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = BYTE_LEVEL
    trainer = trainers.BpeTrainer(
        vocab_size=vocab, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False
    )
    tokenizer.train_from_iterator(words * 2, trainer)
    quick = _quick.Quick(json.loads(tokenizer.to_str()), tokenizer)
    assert [quick.encode(text) for text in texts] == [tokenizer.encode(text).ids for text in texts]


def test_bytes_that_the_vocabulary_lacks_are_left_to_tokenizers(tmp_path: Path) -> None:
    tokenizer = learn("smollm", alphabet=False)
    assert tokenizer.token_to_id("Ą") is None  # the byte 0x04
    quick = encoder_of(tmp_path, tokenizer)
    assert quick.quicken() is None and quick._quick is not None
    for lost in ("a\x04b", "\U00050000", "ש"):
        assert quick._quick.encode(lost) is None
        assert quick.encode(lost) == quick.encode_plainly([lost])[0]
    assert quick._quick.encode("def f(x):") is not None


def test_prompts_do_not_wait_for_tiktoken(tmp_path: Path) -> None:
    encoder = encoder_of(tmp_path, learn("gpt2"))
    encoder.encode("x" * 10)
    assert encoder._quick is None
    late = Encoder(tmp_path, quick_after=1000)
    late.encode_batch(["x" * 999])
    assert late._quick is None
    assert late.encode("x y") == encoder.encode("x y") and late._quick is not None


# --- what is left to tokenizers, and why


def _swap_merges(raw: dict[str, Any]) -> None:
    raw["model"]["merges"][3], raw["model"]["merges"][40] = raw["model"]["merges"][40], raw["model"]["merges"][3]


def _drop_merge(raw: dict[str, Any]) -> None:
    """A token whose own merge is gone but a second spelling of which is left: not reached alone."""
    model = raw["model"]
    last = max(model["vocab"].values())
    model["vocab"].update({"Ġqx": last + 1, "xz": last + 2, "Ġqxz": last + 3, "qx": last + 4, "Ġqxy": last + 5})
    model["merges"] += [["Ġ", "q"], ["x", "z"]] if "Ġq" not in model["vocab"] else [["x", "z"]]
    model["vocab"].setdefault("Ġq", last)
    model["merges"] = [merge for merge in model["merges"] if "".join(merge) in model["vocab"]]
    model["merges"] += [["Ġqx", "z"]]


REFUSED = {
    "another kind": lambda raw: raw.update(pre_tokenizer={"type": "Whitespace"}),
    "no pre-tokenizer": lambda raw: raw.update(pre_tokenizer=None),
    "prefix space": lambda raw: raw["pre_tokenizer"].update(add_prefix_space=True),
    "lowercases": lambda raw: raw.update(normalizer={"type": "Lowercase"}),
    "merges out of order": _swap_merges,
    "a merge of nothing": _drop_merge,
    "byte fallback": lambda raw: raw["model"].update(byte_fallback=True),
    "dropout": lambda raw: raw["model"].update(dropout=0.1),
    "an expression of Oniguruma alone": lambda raw: raw.update(
        pre_tokenizer={
            "type": "Sequence",
            "pretokenizers": [
                {"type": "Split", "pattern": {"Regex": r"\p{L}+|(?~a)"}, "behavior": "Isolated", "invert": False},
                {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False},
            ],
        }
    ),
    "an expression that may be empty": lambda raw: raw.update(
        pre_tokenizer={
            "type": "Sequence",
            "pretokenizers": [
                {"type": "Split", "pattern": {"Regex": r"\p{L}+|\p{N}*"}, "behavior": "Isolated", "invert": False},
                {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False},
            ],
        }
    ),
}


@pytest.mark.parametrize("change", REFUSED.values(), ids=REFUSED)
def test_what_is_not_known_to_agree_is_left_to_tokenizers(change: Any, tmp_path: Path) -> None:
    encoder = encoder_of(tmp_path, learn("gpt2"), change)
    before = encoder.encode_plainly(["def f(x): return 12  # ñ"])
    reason = encoder.quicken()
    assert reason and encoder.quicken() == reason and encoder._quick is None
    if '"dropout": 0.1' not in encoder._text:  # with dropout no two encodings are alike
        assert encoder.encode_batch(["def f(x): return 12  # ñ"]) == before


def test_a_token_that_its_merges_do_not_reach_is_noticed(tmp_path: Path) -> None:
    """`abc` is made of `ab` and `c`, but alone `bc` is joined first: tiktoken would join what tokenizers never does."""

    def change(raw: dict[str, Any]) -> None:
        letters = sorted(pre_tokenizers.ByteLevel.alphabet())
        made = ["bc", "ab", "abc"]
        raw["model"]["vocab"] = {token: number for number, token in enumerate([*letters, *made])}
        raw["model"]["merges"] = [["b", "c"], ["a", "b"], ["ab", "c"]]
        raw["added_tokens"] = []

    encoder = encoder_of(tmp_path, learn("gpt2"), change)
    assert "do not reach" in (encoder.quicken() or "")
    assert len(encoder.encode("abc")) == 2


def test_words_that_are_looked_up_whole_must_all_be_made_by_merges(tmp_path: Path) -> None:
    tokenizer = learn("gpt2")
    fine = encoder_of(tmp_path / "a", tokenizer, lambda raw: raw["model"].update(ignore_merges=True))
    assert fine.quicken() is None and fine.encode(CODE) == fine.encode_plainly([CODE])[0]

    def change(raw: dict[str, Any]) -> None:
        raw["model"].update(ignore_merges=True)
        raw["model"]["vocab"]["Ġzzzz"] = 5000

    odd = encoder_of(tmp_path / "b", tokenizer, change)
    assert odd.encode(" zzzz") == [5000] and odd.quicken() and odd.encode(" zzzz") == [5000]


def test_a_control_token_is_no_text_where_words_are_looked_up_whole(tmp_path: Path) -> None:
    tokenizer = learn("leaves gaps")
    encoder = encoder_of(tmp_path, tokenizer, lambda raw: raw["model"].update(ignore_merges=True))
    control = encoder.vocabulary["<|endoftext|>"]
    assert control not in encoder.encode("<|endoftext|>")
    encoder.quicken()
    assert control not in encoder.encode("<|endoftext|>")


def test_pieces_of_text_that_are_added_tokens_are_left_to_tokenizers(tmp_path: Path) -> None:
    tokenizer = learn("gpt2")
    tokenizer.add_tokens([AddedToken("        ", normalized=False)])
    encoder = encoder_of(tmp_path, tokenizer)
    assert "added tokens" in (encoder.quicken() or "")


def test_evidence_of_a_difference_is_believed(tmp_path: Path) -> None:
    encoder_of(tmp_path, learn("gpt2"))
    (tmp_path / "logs").mkdir()
    (tmp_path / EVIDENCE).write_text('{"same_ids": false}')
    assert "corpus" in (Encoder(tmp_path).quicken() or "")
    (tmp_path / EVIDENCE).write_text('{"same_ids": true}')
    assert Encoder(tmp_path).quicken() is None


def test_without_tiktoken_tokenizers_does_it_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *a: None if name == "tiktoken" else found(name, *a))
    encoder = encoder_of(tmp_path, learn("gpt2"))
    assert "not installed" in (encoder.quicken() or "") and encoder.encode("a b") == encoder.encode_plainly(["a b"])[0]


def test_classes_of_characters_are_compared_over_all_of_unicode(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where tiktoken's engine is asked for another class, the difference is exactly that of the classes."""
    assert len("".join(_quick._everything())) == 0x110000 - 0x800
    assert _quick.seen_differently(r"\p{L}") <= set(range(0x2E0, 0x110000))
    own = _quick._encoding
    monkeypatch.setattr(_quick, "_encoding", lambda pattern, ranks: own(pattern.replace("Lu", "Ll"), ranks))
    _quick.seen_differently.cache_clear()
    found = _quick.seen_differently(r"\p{Lu}")
    _quick.seen_differently.cache_clear()
    assert {ord("a"), ord("A"), ord("ñ"), ord("Я")} <= found and not {ord("1"), ord("日")} & found


def test_long_runs_take_linear_time(pair: tuple[Encoder, Encoder]) -> None:
    import time

    quick, _plain = pair
    assert quick._quick is not None
    assert quick._quick.encode(" " * (_quick.LONGEST + 1)) is None  # tiktoken would panic at a million
    for unit in ("a", " ", "\n", "=", "ab", "0", "\t\n"):
        took = []
        for size in (_quick.LONGEST // 16, _quick.LONGEST):
            started = time.process_time()
            quick._quick.encode(unit * size)
            took.append(time.process_time() - started)
        assert took[1] < 64 * max(took[0], 0.005), unit  # 16 times the text; a square would be 256 times
