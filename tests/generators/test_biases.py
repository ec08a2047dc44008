"""Penalties and biases lean on the choice of tokens; what is told of tokens stays the model's own."""

from __future__ import annotations

import json
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from buril.generators._biases import biased  # noqa: E402
from buril.generators._generator import Request, has_biases  # noqa: E402
from buril.generators._load import Loaded  # noqa: E402
from buril.generators._telling import Teller, measure_of  # noqa: E402
from buril.generators._writer import Row  # noqa: E402
from buril.generators.transformers import Transformers  # noqa: E402
from tests.generators.tiny import make, named_tokenizer  # noqa: E402


@pytest.fixture(scope="module")
def generator(tmp_path_factory: pytest.TempPathFactory) -> Transformers:
    folder = named_tokenizer(tmp_path_factory.mktemp("tok"))
    found = Transformers(Transformers.Settings(dtype="fp32", device="cpu", batch_size=3))
    found.use(Loaded(make("llama"), folder / "tokenizer", json.loads((folder / "fim.json").read_text())))
    return found


def row(**more: Any) -> Row:
    return Row((0, 0), Request("a", **more), (20,))


def test_penalties_come_off_the_logits_of_what_was_written() -> None:
    given = torch.zeros(2, 6)
    one = row(presence_penalty=0.5, frequency_penalty=0.25, logit_bias=((4, 3.0), (1, 1.0)))
    other = row()
    one.counts = {1: 2, 2: 1}
    found = biased([one, other], given, given)
    assert found[0].tolist() == [0.0, 0.0, -0.75, 0.0, 3.0, 0.0] and not found[1].any()
    assert not given.any(), "the logits that scores are told of stay"
    assert biased([other], given, given) is given and not has_biases(other.request) and has_biases(one.request)
    one.rest = b"x"
    assert biased([one], given, given) is given, "what must be written anew is no choice"


def test_a_bias_chooses_and_the_score_stays_the_models(generator: Transformers) -> None:
    loaded = generator.loaded
    wanted = loaded.encoder.encode("left")[-1]
    request = Request((20, 21), max_tokens=3, logit_bias=((wanted, 100.0),), logprobs=1)
    ((found,),) = generator.complete([request])
    assert found.tokens == (wanted,) * 3
    limit = loaded.encoder.num_ids
    with torch.inference_mode():
        logits = loaded.model(torch.tensor([[20, 21, *found.tokens]])).logits[0, 1:-1, :limit].log_softmax(-1)
    assert found.logprob == pytest.approx(float(logits[:, wanted].sum()), abs=1e-3)
    never = Request((20, 21), max_tokens=8, logit_bias=((wanted, 100.0),), frequency_penalty=2.0, presence_penalty=2.0)
    ((spread,),) = generator.complete([Request((20, 21), max_tokens=8)])
    ((penalised,),) = generator.complete([Request((20, 21), max_tokens=8, presence_penalty=2.0, frequency_penalty=2.0)])
    assert len(set(penalised.tokens)) >= len(set(spread.tokens)) and next(iter(generator.complete([never])))[0].tokens


def test_an_end_that_is_banned_does_not_come(generator: Transformers) -> None:
    ends = generator.writer(heal=False).end_ids
    banned = tuple((token, -100.0) for token in sorted(ends))
    for seed in range(3):
        request = Request((20,), max_tokens=40, temperature=1.0, seed=seed, logit_bias=banned)
        ((found,),) = generator.complete([request])
        assert found.finish_reason == "length" and len(found.tokens) == 40


# --- what is told


def test_a_healed_token_is_told_by_what_it_adds(generator: Transformers) -> None:
    encoder = generator.loaded.encoder
    teller, (whole,) = Teller(encoder), encoder.encode("left")[-1:]
    name = encoder.spellings[whole]
    assert len(name) > 2
    told = teller.told(whole, -1.0, [(whole, -1.0), (encoder.encode("x")[0], -2.0)], rest=name[:2])
    assert told is not None and told.text == name[2:] and told.top == ((name[2:], -1.0),)
    assert teller.told(whole, -1.0, [], rest=name) is None, "it writes nothing but what stands there"
    eos = generator.loaded.fim["eos"]
    end = teller.told(eos, -1.0, [(eos, -1.0), (whole, -float("inf"))])
    assert end is not None and (end.text, end.spelt, end.top) == (b"", b"<|endoftext|>", ((b"<|endoftext|>", -1.0),))
    assert teller.adds(eos, (eos,)) == b"<|endoftext|>"


def test_a_given_text_is_told_as_it_is_scored(generator: Transformers) -> None:
    ids = generator.loaded.encoder.encode("def add(left, right):\n")
    told = generator.likeliest(ids, 2)
    limit = generator.loaded.encoder.num_ids
    with torch.inference_mode():
        logits = generator.loaded.model(torch.tensor([ids])).logits[0, :-1, :limit].log_softmax(-1)
    expected = logits.gather(1, torch.tensor(ids[1:])[:, None])[:, 0].tolist()
    assert told[0].logprob is None and [one.logprob for one in told[1:]] == pytest.approx(expected, abs=1e-4)
    best = logits.topk(2).values.tolist()
    for one, values in zip(told[1:], best, strict=True):
        assert [number for _name, number in one.top] == pytest.approx(values, abs=1e-4)
    assert b"".join(one.text for one in told).decode() == "def add(left, right):\n"
    assert [one.top for one in generator.likeliest(ids, 0)[1:]] == [()] * (len(ids) - 1)
    assert [one.logprob for one in generator.likeliest(ids[:1], 3)] == [None]


def test_ids_keep_their_value_in_the_measure() -> None:
    logits = torch.full((1, 200_000), -5.0)
    logits[0, 199_999], logits[0, 131_071] = 9.0, 8.0
    flat = measure_of(2, 200_000)(logits, torch.tensor([7])).numpy()
    assert (
        flat[3:].tolist() == [199_999.0, 131_071.0] and measure_of(2, 150_000)(logits, torch.tensor([7]))[3] == 131_071
    )


def test_rows_that_ask_and_rows_that_do_not_share_a_step(generator: Transformers) -> None:
    session = generator.session()
    (asks,), (asks_not,) = (
        session.rows(Request("def ", max_tokens=6, logprobs=3)),
        session.rows(Request("class ", max_tokens=6)),
    )
    session.add([asks, asks_not])
    while len(session):
        session.step()
    assert asks.told and asks_not.told is None
    alone: Any = generator.session()
    (same,) = alone.rows(Request("class ", max_tokens=6))
    alone.add([same])
    while len(alone):
        alone.step()
    assert same.ids == asks_not.ids
