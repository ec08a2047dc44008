"""Token healing: where a prompt is cut changes nothing of what a model makes of its text."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from transformers import LlamaConfig, LlamaForCausalLM  # noqa: E402

from buril.generators._encoder import Encoder  # noqa: E402
from buril.generators._generator import Completion, Request  # noqa: E402
from buril.generators._heal import Healer  # noqa: E402
from buril.generators.transformers import Transformers  # noqa: E402
from buril.tokens import bpe  # noqa: E402

TEXT = 'def total(values):\n    """Sum the values, año, €."""\n    return sum(values)\n\n\nclass Vault:\n    pass\n' * 9
VOCAB = 330


@pytest.fixture(scope="module")
def generator(tmp_path_factory: pytest.TempPathFactory) -> Transformers:
    """A tiny llama that has learnt `TEXT` by heart, so that it has opinions about how its tokens follow."""
    root = tmp_path_factory.mktemp("tiny")
    (root / "tok/tokenizer").mkdir(parents=True)
    trained = bpe.train([TEXT], VOCAB)
    (root / "tok/tokenizer/tokenizer.json").write_text(trained.to_str())
    (root / "tok/tokenizer/tokenizer_config.json").write_text(bpe.config_json())
    fim = {"prefix": 1, "suffix": 2, "middle": 3, "eos": 0, "pad": 4, "bos": None, "added": [],
           "vocab_size": trained.get_vocab_size()}  # fmt: skip
    (root / "tok/fim.json").write_text(json.dumps(fim))
    torch.manual_seed(3)
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=VOCAB, hidden_size=64, intermediate_size=96, num_hidden_layers=2, num_attention_heads=4,
            num_key_value_heads=2, max_position_embeddings=512, tie_word_embeddings=True, eos_token_id=0,
            bos_token_id=None, pad_token_id=4,
        )
    )  # fmt: skip
    ids = torch.tensor([[0, *Encoder(root / "tok").encode(TEXT)]])
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    for _step in range(120):
        loss = model(input_ids=ids, labels=ids).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    assert loss.item() < 0.1, loss.item()
    model.save_pretrained(root / "base/model")
    found = Transformers(Transformers.Settings(dtype="fp32", device="cpu", batch_size=8))
    found.open(root / "base", root / "tok")
    return found


def written(generator: Transformers, *requests: Request) -> list[Completion]:
    return [found for (found,) in generator.complete(requests)]


def test_whatever_the_cut_the_text_goes_on_as_learnt(generator: Transformers) -> None:
    places = range(20, 230)
    healed = written(generator, *[Request(TEXT[:place], max_tokens=12) for place in places])
    wrong = [place for place, made in zip(places, healed, strict=True) if not TEXT.startswith(TEXT[:place] + made.text)]
    assert wrong == [] and all(made.text for made in healed)
    bare = Transformers(generator.settings.model_copy(update={"heal": False}))
    bare.use(generator.loaded)
    plain = written(bare, *[Request(TEXT[:place], max_tokens=12) for place in places])
    lost = [place for place, made in zip(places, plain, strict=True) if not TEXT.startswith(TEXT[:place] + made.text)]
    assert len(lost) > 5, "the cuts do no harm to this model: it shows nothing"


def test_the_tokens_are_those_of_the_whole_text(generator: Transformers) -> None:
    encode = generator.encode
    for place in (40, 41, 42, 43, 57, 99):
        (made,) = written(generator, Request(TEXT[:place], max_tokens=12))
        whole = encode(TEXT[:place] + made.text)
        assert tuple(whole[len(whole) - len(made.tokens) :]) == made.tokens


def test_the_written_tokens_alone_count(generator: Transformers) -> None:
    for place in range(60, 100):
        (made,) = written(generator, Request(TEXT[:place], max_tokens=1))
        assert made.finish_reason == "length" and made.text, "a token that only repeats the prompt is not the answer"
        assert len(written(generator, Request(TEXT[:place], max_tokens=0))[0].tokens) == 0


def test_a_prefill_begins_the_answer_and_is_not_in_it(generator: Transformers) -> None:
    asked = tuple(generator.encode(TEXT)[:30])
    head = generator.loaded.encoder.decode(asked)
    rest = TEXT[len(head) :]
    for size in (1, 2, 3, 7, 12):
        (made,) = written(generator, Request(asked, prefill=rest[:size], max_tokens=8))
        assert rest[size:].startswith(made.text) and made.text
        (same,) = written(generator, Request(head, prefill=rest[:size], max_tokens=8))
        assert rest[size:].startswith(same.text) and same.text


def test_a_hole_may_have_a_prefill(generator: Transformers) -> None:
    (made,) = written(generator, Request("a = ", suffix="\n", prefill="(", max_tokens=4))
    assert made.tokens and generator.loaded.encoder.decode(made.tokens).startswith("(" + made.text)


def test_a_stop_string_of_the_prompt_is_no_stop(generator: Transformers) -> None:
    place = TEXT.index("return") + 3
    (made,) = written(generator, Request(TEXT[:place], max_tokens=30, stop=("ret", "class ")))
    assert made.finish_reason == "stop" and TEXT[place:].startswith(made.text + "class ")


def test_samples_keep_to_the_text_and_their_logprob_is_given_it(generator: Transformers) -> None:
    place = TEXT.index("values") + 3
    request = Request(TEXT[:place], max_tokens=5, temperature=2.0, num_samples=40, seed=5)
    (made,) = generator.complete([request])
    decode = generator.loaded.encoder.decode
    assert len({item.text for item in made}) > 20
    tails = [decode(item.tokens).partition(item.text)[0] if item.text else "" for item in made]
    assert all(TEXT[:place].endswith(tail) for tail in tails)
    (sure,) = written(generator, replace(request, num_samples=1, temperature=0.0, max_tokens=1))
    assert -0.1 < sure.logprob <= 0, "what the text leaves no choice about costs nothing"


def test_the_sets_hold_what_agrees_and_nothing_else(generator: Transformers) -> None:
    healer, spelt = generator.loaded.healer, generator.loaded.encoder.token_bytes()
    for rest in (b"ret", b"    ", b'"""', b"x", "año".encode(), b"\n", b"\xc3"):
        expected = {token for token, text in spelt.items() if text.startswith(rest) or (text and rest.startswith(text))}
        assert set(healer.allowed(rest).tolist()) == expected
    assert not set(spelt) & generator.loaded.encoder.control_ids


def test_only_whole_characters_are_taken_back(generator: Transformers) -> None:
    encode, healer = generator.encode, generator.loaded.healer
    for text in ("x = '漢", "x = '🙂", "año", "", "é"):
        kept, rest = healer.split(encode(text))
        rest.decode()
        assert generator.loaded.encoder.decode(kept) + rest.decode() == text


def test_pieces_of_sentencepiece_are_spelt_out(tmp_path: Path) -> None:
    pieces = [
        "<unk>",
        "<s>",
        "</s>",
        *(f"<0x{byte:02X}>" for byte in range(256)),
        "▁",
        "r",
        "e",
        "t",
        "re",
        "▁re",
        "▁ret",
    ]
    merges = ["r e", "▁ re", "▁re t"]
    tokenizer = {
        "version": "1.0", "truncation": None, "padding": None, "post_processor": None, "pre_tokenizer": None,
        "added_tokens": [{"id": place, "content": text, "special": True, "single_word": False, "lstrip": False,
                          "rstrip": False, "normalized": False} for place, text in enumerate(pieces[:3])],
        "normalizer": {"type": "Replace", "pattern": {"String": " "}, "content": "▁"},
        "decoder": {"type": "Sequence", "decoders": [
            {"type": "Replace", "pattern": {"String": "▁"}, "content": " "}, {"type": "ByteFallback"}, {"type": "Fuse"}]},
        "model": {"type": "BPE", "dropout": None, "unk_token": "<unk>", "continuing_subword_prefix": None,
                  "end_of_word_suffix": None, "fuse_unk": True, "byte_fallback": True, "ignore_merges": False,
                  "vocab": {piece: place for place, piece in enumerate(pieces)}, "merges": merges},
    }  # fmt: skip
    (tmp_path / "tokenizer.json").write_text(json.dumps(tokenizer))
    encoder = Encoder(tmp_path)
    spelt = encoder.token_bytes()
    vocabulary = encoder.vocabulary
    assert spelt[vocabulary["▁ret"]] == b" ret" and spelt[vocabulary["<0x0A>"]] == b"\n" and 0 not in spelt
    kept, rest = Healer(encoder).split(encoder.encode("x re"))
    assert rest == b" re" and vocabulary["▁ret"] in Healer(encoder).allowed(rest) and len(kept) == 1


def test_a_tokenizer_that_tells_no_bytes_is_left_alone(tmp_path: Path) -> None:
    tokenizer = {
        "version": "1.0", "truncation": None, "padding": None, "added_tokens": [], "normalizer": None,
        "pre_tokenizer": {"type": "Whitespace"}, "post_processor": None, "decoder": None,
        "model": {"type": "WordLevel", "vocab": {"a": 0, "b": 1}, "unk_token": "a"},
    }  # fmt: skip
    (tmp_path / "tokenizer.json").write_text(json.dumps(tokenizer))
    encoder = Encoder(tmp_path)
    assert encoder.token_bytes() == {} and Healer(encoder).split(encoder.encode("b b")) == ([1, 1], b"")
    assert isinstance(Healer(encoder).allowed(b""), np.ndarray)
