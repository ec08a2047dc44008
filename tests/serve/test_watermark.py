"""The watermark: rightly put on, off without a trace, found where it is, and not found where it is not."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")
pytest.importorskip("cryptography", reason="cryptography is not installed")

from buril.core.errors import BurilError  # noqa: E402
from buril.core.plugins import plugin  # noqa: E402
from buril.generators._generator import Request  # noqa: E402
from buril.generators._load import load  # noqa: E402
from buril.generators._writer import Row, entropies  # noqa: E402
from buril.generators.openai import Openai  # noqa: E402
from buril.serve.watermark import Green, Scored, Settings, Watermark, marked, pooled  # noqa: E402
from buril.serve.watermark.detect import OVERLAP, WINDOW, encoded  # noqa: E402
from buril.serve.watermark.statistics import needed, power, tail, z_of  # noqa: E402
from tests.generators.tiny import make, own_tokenizer  # noqa: E402

KEY = "a key for the tests of marks"
VOCAB = 50_000


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BURIL_WATERMARK_KEY", KEY)


def mark(**more: Any) -> Watermark:
    return Watermark(Settings(**more))


# --- green lists


@pytest.mark.parametrize("gamma", [0.1, 0.25, 0.5, 0.9])
def test_a_list_is_of_its_size_and_one_entry_is_that_of_the_list(gamma: float) -> None:
    green = Green(b"k" * 16, gamma=gamma)
    whole = green.after(7, VOCAB)
    assert abs(whole.mean() - gamma) < 5 * math.sqrt(gamma * (1 - gamma) / VOCAB)
    tokens = list(range(0, VOCAB, 617))
    assert green.are([7] * len(tokens), tokens).tolist() == whole[tokens].tolist()
    assert len(green.after(7, 3)) == 3


def test_lists_differ_by_token_and_by_key_and_are_the_same_tomorrow() -> None:
    green = Green(KEY.encode(), gamma=0.5)
    one, other = green.after(1, VOCAB), green.after(2, VOCAB)
    assert abs((one == other).mean() - 0.5) < 0.02
    assert abs((one == Green(b"another key of 16 bytes", gamma=0.5).after(1, VOCAB)).mean() - 0.5) < 0.02
    assert one[:32].astype(int).tolist() == [
        1,
        0,
        0,
        0,
        1,
        1,
        1,
        1,
        0,
        1,
        1,
        0,
        1,
        1,
        1,
        0,
        1,
        1,
        0,
        1,
        0,
        0,
        1,
        0,
        0,
        0,
        1,
        1,
        0,
        0,
        0,
        0,
    ]
    assert green.key_id == "07da1dd0" and KEY not in green.key_id


def test_one_list_everywhere() -> None:
    green = Green(KEY.encode(), gamma=0.5, context=0)
    assert (green.after(1, VOCAB) == green.after(99, VOCAB)).all()


# --- what is added


def rows(number: int, **more: Any) -> list[Row]:
    return [Row((place, 0), Request("a", **more), (place + 5,)) for place in range(number)]


def test_only_unsure_places_are_leaned_on_and_nothing_is_overwritten() -> None:
    torch.manual_seed(0)
    logits = torch.randn(3, 1000)
    logits[1, 4] = 60.0  # sure of its token
    before = logits.clone()
    watermark = mark()
    leaned = watermark.lean(rows(3), logits)
    assert torch.equal(logits, before) and torch.equal(leaned[1], before[1])
    for place in (0, 2):
        green = torch.from_numpy(watermark.green.after(place + 5, 1000))
        assert torch.equal(leaned[place][green], before[place][green] + 3.0)
        assert torch.equal(leaned[place][~green], before[place][~green])
    sure = before[1:2]
    assert watermark.lean(rows(1), sure) is sure
    assert not torch.equal(mark(entropy=0.0).lean(rows(1), sure), sure)


def test_rows_that_have_ended_or_must_write_their_prompt_anew_are_left_alone() -> None:
    torch.manual_seed(0)
    logits = torch.randn(2, 1000)
    first, second = rows(2)
    first.ended = "eos"
    second.rest = b"def"
    assert mark().lean([first, second], logits) is logits


def test_entropies_are_those_of_the_distribution() -> None:
    logits = torch.tensor([[0.0, 0.0, -torch.inf, 0.0], [50.0, 0.0, 0.0, 0.0], [1.0, 2.0, 3.0, 4.0]])
    found = entropies(logits, torch.empty(0))
    shares = torch.softmax(logits[2], 0)
    assert found.tolist() == pytest.approx([math.log(3), 0.0, float(-(shares * shares.log()).sum())], abs=1e-6)


# --- the engines


@pytest.fixture(scope="module", params=["transformers", "openvino", "llamacpp"])
def engine(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Each of our engines with one small model."""
    from importlib.util import find_spec

    needs = {"openvino": "openvino", "llamacpp": "xllamacpp"}.get(request.param, "torch")
    if find_spec(needs) is None:
        pytest.skip(f"{needs} is not installed")
    root = tmp_path_factory.mktemp(request.param)
    own_tokenizer(root)
    make("llama").save_pretrained(root / "model")
    found = plugin("generator", request.param)
    told = {"openvino": {"precision": "fp32", "cache_mb": 16}, "transformers": {"dtype": "fp32"}}
    generator = found(found.Settings(**told.get(request.param, {})))
    generator.open(root, root)
    generator.loaded_again = load(root, root, dtype="fp32", device="cpu")
    return generator


@pytest.fixture
def generator(engine: Any) -> Iterator[Any]:
    yield engine
    engine.mark = None


ASKED = [
    Request("def add(", max_tokens=40, temperature=1.0, seed=3, num_samples=3),
    Request("class Va", max_tokens=40, temperature=0.7, top_p=0.9, seed=4),
    Request("return le", max_tokens=30),
    Request("def add(", suffix="\n    pass", max_tokens=20, temperature=1.0),
    Request("def ", max_tokens=40, temperature=1.0, stop=("e", "\n")),
]


def written(generator: Any, asked: list[Request]) -> list[Any]:
    return [completion for found in generator.complete(asked) for completion in found]


def test_a_mark_is_found_and_off_is_as_before(generator: Any) -> None:
    plain = written(generator, ASKED)
    marked(generator, watermark := mark(entropy=0.0, delta=8.0))
    leaned = written(generator, ASKED)
    assert [item.tokens for item in leaned] != [item.tokens for item in plain]
    assert leaned[4].tokens != plain[4].tokens or leaned[3].tokens != plain[3].tokens  # greedy is leaned on too
    texts = [Scored([1, *item.tokens], 2) for item in leaned]
    verdict = pooled(texts, watermark.green, threshold=0.0)
    assert verdict.found and verdict.p < 1e-6 and verdict.green > 0.85 * verdict.scored
    unmarked = pooled([Scored([1, *item.tokens], 2) for item in plain], watermark.green, threshold=0.0)
    assert not unmarked.found
    generator.mark = None
    assert written(generator, ASKED) == plain


def test_the_same_seed_gives_the_same_samples_whatever_stands_beside(generator: Any) -> None:
    marked(generator, mark())
    together = written(generator, ASKED)
    assert written(generator, ASKED) == together
    assert [item.text for item in written(generator, ASKED[:1])] == [item.text for item in together[:3]]
    assert [item.text for item in written(generator, ASKED[4:])] == [item.text for item in together[6:]]


def test_stops_healing_and_scores_stay_right(generator: Any) -> None:
    marked(generator, mark(entropy=0.0, delta=6.0))
    for item in written(generator, [ASKED[4]]):
        assert "e" not in item.text and "\n" not in item.text
    (healed,) = written(generator, [ASKED[2]])
    prompt = generator.encode("return ")
    if healed.finish_reason == "length":
        ids = generator.encode("return le")
        assert healed.text and len(ids) >= 1
    (item,) = written(generator, [Request((5, 6, 7), max_tokens=12, temperature=1.0)])
    if item.finish_reason == "length":  # of the end token there is no id here
        (scores,) = generator.score([[5, 6, 7, *item.tokens]])
        assert float(scores[2:].sum()) == pytest.approx(item.logprob, abs=2e-2)
    assert prompt


def test_entropies_of_a_text_are_the_models(generator: Any) -> None:
    ids = generator.encode("def add(left, right):\n    return left + right\n")
    found = generator.entropies([ids, ids[:5], ids[:1]])
    with torch.no_grad():
        logits = generator.loaded_again.model(torch.tensor([ids])).logits[0].float()
    num_tokens = max(generator.loaded.encoder.vocabulary.values()) + 1
    assert num_tokens < logits.shape[1]  # else nothing would be cut off
    wanted = entropies(logits[:-1, :num_tokens], torch.empty(0)).numpy()
    assert [len(item) for item in found] == [len(ids) - 1, 4, 0]
    assert np.abs(found[0] - wanted).max() < 0.05
    assert np.abs(found[1] - wanted[:4]).max() < 0.05


def test_the_gate_lets_the_same_places_count_as_were_leaned_on(generator: Any) -> None:
    """Of a marked text, the places above the threshold are nearly all green, those below as many as chance gives."""
    asked = [Request((number + 5, 7), max_tokens=60, temperature=1.0, seed=number) for number in range(12)]
    plain = [[number + 5, 7, *item.tokens] for number, item in enumerate(written(generator, asked))]
    middle = float(np.median(np.concatenate(generator.entropies(plain))))
    marked(generator, watermark := mark(entropy=middle, delta=15.0))
    whole = [[number + 5, 7, *item.tokens] for number, item in enumerate(written(generator, asked))]
    told = [Scored(ids, 2, found) for ids, found in zip(whole, generator.entropies(whole), strict=True)]
    above = pooled(told, watermark.green, threshold=middle)
    turned = [Scored(item.tokens, item.start, -item.entropies) for item in told if item.entropies is not None]
    below = pooled(turned, watermark.green, threshold=-middle)
    assert above.scored > 40 and above.green > 0.93 * above.scored
    assert below.scored > 40 and below.green < 0.75 * below.scored


# --- engines that can't


def test_what_cant_be_marked_says_so(tmp_path: Path) -> None:
    server = Openai(Openai.Settings(url="http://127.0.0.1:9/v1", model="m"))
    for generator, more in ((object(), {}), (server, {}), (server, {"num_tokens": 100})):
        with pytest.raises(BurilError) as problem:
            marked(generator, mark(), **more)
        assert problem.value.code == "V311"
    one = mark(context=0, entropy=0.0, delta=2.0)
    marked(server, one, num_tokens=100)
    assert set(server.logit_bias) == set(np.flatnonzero(one.green.after(0, 100)).tolist())
    assert set(server.logit_bias.values()) == {2.0}


def test_a_server_is_told_the_one_list() -> None:
    from tests.generators.api import Api

    with Api() as api:
        server = Openai(Openai.Settings(url=api.url, model="m"))
        written(server, [Request("a")])
        marked(server, mark(context=0, entropy=0.0), num_tokens=300)
        written(server, [Request("a")])
    assert "logit_bias" not in api.asked[0]
    assert api.asked[1]["logit_bias"] == {str(token): 3.0 for token in server.logit_bias}


@pytest.mark.parametrize("place", ["env:NOT_SET", "env:SHORT", "file:none", "a key in the settings"])
def test_a_key_that_cant_be_used(place: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SHORT", "short")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BurilError) as problem:
        mark(key=place)
    assert problem.value.code == "V310" and "a key in" not in str(problem.value)


def test_a_key_in_a_file(tmp_path: Path) -> None:
    (tmp_path / "key").write_text(KEY + "\n")
    assert mark(key=f"file:{tmp_path}/key").green.key_id == mark().green.key_id
    assert mark().record() == {
        "key": mark().green.key_id, "context": 1, "delta": 3.0, "entropy": 0.6, "gamma": 0.5,
    }  # fmt: skip


# --- statistics


@pytest.mark.parametrize("gamma", [0.25, 0.5])
def test_unmarked_texts_are_found_as_seldom_as_is_said(gamma: float) -> None:
    """z over texts that nobody marked is standard normal, and 1 % of them are called marked, within its interval."""
    random_ = random.Random(1)
    green = Green(KEY.encode(), gamma=gamma)
    number = 600
    texts = [[random_.randrange(VOCAB) for _ in range(120)] for _ in range(number)]
    found = [pooled([Scored(text)], green, threshold=0.0) for text in texts]
    zs = [item.z for item in found]
    assert abs(np.mean(zs)) < 4 / math.sqrt(number) and abs(np.std(zs) - 1) < 0.12
    wrong = sum(item.found for item in found)
    assert tail(wrong, number, 0.01) > 1e-4
    hits = sum(item.p <= 0.2 for item in found)
    assert tail(hits, number, 0.2) > 1e-4 and hits > 0.1 * number


def test_repeated_text_is_no_evidence() -> None:
    green = Green(KEY.encode(), gamma=0.5)
    ids = list(range(40, 60))
    once, often = (pooled([Scored(ids * times)], green, threshold=0.0) for times in (1, 50))
    assert often.scored == once.scored + 1


def test_pools_are_stronger_than_their_texts() -> None:
    random_ = random.Random(2)
    green = Green(KEY.encode(), gamma=0.5)

    def text() -> list[int]:
        ids = [random_.randrange(VOCAB)]
        while len(ids) < 30:
            token = random_.randrange(VOCAB)
            if random_.random() < 0.4 or green.are([ids[-1]], [token])[0]:
                ids.append(token)
        return ids

    texts = [Scored(text()) for _ in range(8)]
    alone = [pooled([item], green, threshold=0.0) for item in texts]
    together = pooled(texts, green, threshold=0.0)
    assert together.p < min(item.p for item in alone) and together.found
    assert together.power > max(item.power for item in alone)


@given(st.integers(0, 60), st.integers(0, 60), st.sampled_from([0.1, 0.5, 0.8]))
def test_the_tail_is_the_binomial_one(green: int, scored: int, share: float) -> None:
    wanted = sum(math.comb(scored, k) * share**k * (1 - share) ** (scored - k) for k in range(green, scored + 1))
    assert tail(green, scored, share) == pytest.approx(wanted, abs=1e-9)


@pytest.mark.parametrize("green", [1_000, 499_000, 500_000, 501_500, 510_000, 1_000_000])
def test_the_tail_of_a_whole_tree_is_as_exact(green: int) -> None:
    """What it leaves out has no digit: two tails beside each other differ by the one term."""
    scored = 1_000_000
    log = math.lgamma(scored + 1) - math.lgamma(green + 1) - math.lgamma(scored - green + 1) + scored * math.log(0.5)
    assert tail(green, scored, 0.5) - tail(green + 1, scored, 0.5) == pytest.approx(math.exp(log), rel=1e-6, abs=1e-12)
    assert tail(scored - green + 1, scored, 0.5) == pytest.approx(1 - tail(green, scored, 0.5), abs=1e-9)


def test_power_and_the_least_count() -> None:
    least = needed(100, 0.5, 0.01)
    assert tail(least, 100, 0.5) <= 0.01 < tail(least - 1, 100, 0.5)
    assert needed(3, 0.5, 0.01) == 4 and power(3, 0.5, 0.9, 0.01) == 0.0
    assert 0.9 < power(40, 0.5, 0.8, 0.01) < 1 and z_of(75, 100, 0.5) == 5.0 and z_of(0, 0, 0.5) == 0.0


@pytest.mark.parametrize("size", [0, 1, OVERLAP, WINDOW, WINDOW + 1, 5000])
def test_long_texts_are_scored_whole_and_once(size: int) -> None:
    found = encoded(["x" * size], lambda text: list(range(len(text))))
    assert sum(len(item.tokens) - max(1, item.start) for item in found if item.tokens) == max(0, size - 1)
    scored = [token for item in found for token in item.tokens[max(1, item.start) :]]
    assert scored == list(range(1, size))
    assert all(len(item.tokens) <= WINDOW for item in found)
