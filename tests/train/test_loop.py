"""The training loop: what a step is, that stopping changes nothing, and what it refuses."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from buril.core.artifact import Artifact
from buril.core.errors import BurilError
from buril.core.events import EventLog
from buril.core.stage import Output
from buril.generators._load import load
from buril.train.attention import attend_document
from buril.train.batch import IGNORE, Packed, PackedFile, lay_out, micro_batches, step_sequences
from buril.train.methods.full import Full
from buril.train.methods.lora import Lora
from buril.train.objectives._head import CrossEntropyLoss, Head, linear_cross_entropy, parts
from buril.train.objectives.cross_entropy import CrossEntropy
from buril.train.schedule import factor, num_steps
from buril.train.stage import Train
from buril.train.state import Checkpoints, Progress
from tests.train import fresh
from tests.train.small import inputs as make_inputs
from tests.train.small import write_base, write_tokenizer

REPO = Path(__file__).resolve().parents[2]


def stage(**told: Any) -> Train:
    defaults = {
        "batch_size": 4,
        "max_steps": 8,
        "eval_every": 2,
        "threads": 1,
        "precision": "fp32",
        "learning_rate": 3e-3,
    }
    return Train(Train.Settings(**{**defaults, **told}))


def sequence(index: int, lengths: list[int], seed: int = 0) -> Packed:
    random = np.random.default_rng([seed, index])
    return Packed(
        index,
        random.integers(0, 256, sum(lengths)).astype(np.int32),
        tuple(lengths),
        tuple(str(n) for n in range(len(lengths))),
    )


def model_of(folder: Path, **told: Any) -> Any:
    base, tokenizer = write_base(folder / "base", **told), write_tokenizer(folder / "tokenizer")
    return load(base.folder, tokenizer.folder, dtype="fp32", device="cpu").model


# --- the loss


@pytest.mark.parametrize("trained", ["head", "hidden", "rows"])
def test_chunked_loss_is_plain_cross_entropy_in_value_and_gradient(trained: str) -> None:
    torch.manual_seed(0)
    hidden, weight, rows = torch.randn(1100, 16), torch.randn(50, 16), torch.randn(3, 16)
    targets, index = torch.randint(0, 50, (1100,)), torch.tensor([4, 7, 49])
    found, wanted = [], []
    for collect, ours in ((found, True), (wanted, False)):
        h = hidden.clone().requires_grad_()
        w = weight.clone().requires_grad_(trained == "head")
        r = rows.clone().requires_grad_(trained == "rows")
        if ours:
            head = Head(w, r, index) if trained == "rows" else Head(w)
            loss = linear_cross_entropy(h, head, targets)
        else:
            used = w.index_copy(0, index, r) if trained == "rows" else w
            loss = torch.nn.functional.cross_entropy(h @ used.T, targets, reduction="sum")
        (loss / 7).backward()
        collect += [loss, h.grad, w.grad, r.grad]
    for ours, plain in zip(found, wanted, strict=True):
        assert (ours is None) == (plain is None)
        if ours is not None:
            torch.testing.assert_close(ours, plain, rtol=2e-4, atol=2e-5)


@pytest.mark.parametrize(("words", "runs"), [(49_155, 6), (16_390, 2), (50, 1)])
def test_a_trained_head_takes_its_gradient_in_runs_of_words_to_the_bit(words: int, runs: int) -> None:
    """Each number is the same sum over the same tokens; the product of the whole head is never there."""
    torch.manual_seed(0)
    hidden, weight, targets = torch.randn(300, 16), torch.randn(words, 16), torch.randint(0, words, (300,))
    assert len(list(parts(words))) == runs
    weight.requires_grad_()
    linear_cross_entropy(hidden, Head(weight), targets).backward()
    _loss, error = CrossEntropyLoss(targets).chunk((hidden @ weight.detach().T).float(), slice(0, 300), grad=True)
    assert weight.grad is not None and torch.equal(weight.grad, error.T @ hidden)


@pytest.mark.parametrize("length", [1, 2, 127, 128, 129, 300])
def test_block_attention_is_attention(length: int) -> None:
    torch.manual_seed(length)
    found, wanted = [], []
    parts = [torch.randn(heads, length, 8) for heads in (6, 2, 2)]
    for collect, ours in ((found, True), (wanted, False)):
        query, key, value = (part.clone().requires_grad_() for part in parts)
        if ours:
            out = attend_document(query, key, value, 0.3)
        else:
            score = query @ key.repeat_interleave(3, 0).transpose(1, 2) * 0.3
            hidden = torch.ones(length, length, dtype=torch.bool).triu(1)
            out = score.masked_fill(hidden, float("-inf")).softmax(-1) @ value.repeat_interleave(3, 0)
        (out * torch.arange(8)).sum().backward()
        collect += [out, query.grad, key.grad, value.grad]
    for ours, plain in zip(found, wanted, strict=True):
        torch.testing.assert_close(ours, plain, rtol=1e-4, atol=1e-4)


@settings(max_examples=15, deadline=None)
@given(st.lists(st.integers(2, 40), min_size=1, max_size=6))
def test_packed_loss_is_the_sum_of_the_documents_alone(shared_model: Any, lengths: list[int]) -> None:
    trainable, model = shared_model
    packed = sequence(0, lengths)
    batch = lay_out([packed])
    ours = CrossEntropy(CrossEntropy.Settings()).loss_sum(trainable.hidden(batch), trainable.head(), batch)
    model.set_attn_implementation("eager")
    alone, at = 0.0, 0
    for length in lengths:
        ids = torch.from_numpy(packed.input_ids[at : at + length].astype(np.int64))[None]
        with torch.no_grad():
            logits = model(input_ids=ids).logits[0, :-1].float()
        alone += float(torch.nn.functional.cross_entropy(logits, ids[0, 1:], reduction="sum"))
        at += length
    model.set_attn_implementation("buril_documents")
    assert float(ours.detach()) == pytest.approx(alone, rel=1e-5)


@pytest.fixture(scope="module")
def shared_model(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Any]:
    model = model_of(tmp_path_factory.mktemp("model"))
    trainable = Full(Full.Settings()).prepare(model, bf16=False, new_tokens=[], seed=0)
    trainable.train(False)
    return trainable, model


def test_targets_never_cross_documents() -> None:
    batch = lay_out([sequence(0, [3, 2]), sequence(1, [4])])
    ids = batch.input_ids_T
    assert batch.targets_T.tolist() == [ids[1], ids[2], IGNORE, ids[4], IGNORE, ids[6], ids[7], ids[8], IGNORE]
    assert batch.position_ids_T.tolist() == [0, 1, 2, 0, 1, 0, 1, 2, 3]
    assert batch.num_targets == 6


# --- a step


@settings(max_examples=8, deadline=None)
@given(
    st.lists(st.lists(st.integers(2, 30), min_size=1, max_size=4), min_size=2, max_size=6),
    st.integers(1, 200),
    st.sampled_from([0.0, 0.3]),
)
def test_a_step_is_the_same_however_it_is_split(
    lora_model: Any, lengths: list[list[int]], size: int, dropout: float
) -> None:
    """Also with dropout, whose masks belong to the sequences."""
    trainable, set_dropout = lora_model
    set_dropout(dropout)
    sequences = [sequence(index, part) for index, part in enumerate(lengths)]
    whole, split = (gradients(trainable, sequences, num_tokens=tokens) for tokens in (10_000, size))
    for name, gradient in whole.items():
        torch.testing.assert_close(split[name], gradient, rtol=1e-3, atol=1e-6)


@pytest.fixture(scope="module")
def lora_model(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Callable[[float], None]]:
    model = model_of(tmp_path_factory.mktemp("lora"))
    trainable = Lora(Lora.Settings(dropout=0.3)).prepare(model, bf16=False, new_tokens=[], seed=0)
    torch.manual_seed(1)
    with torch.no_grad():
        for parameter in trainable.parameters.values():
            parameter.normal_(std=0.1)  # a fresh adapter's second matrix is zero, and so would be half of the gradients

    def set_dropout(share: float) -> None:
        trainable._dropout._threshold = round(share * 65536)  # type: ignore[attr-defined]
        trainable._dropout._scale = 1 / (1 - share)  # type: ignore[attr-defined]

    return trainable, set_dropout


def gradients(trainable: Any, sequences: list[Packed], *, num_tokens: int) -> dict[str, torch.Tensor]:
    objective = CrossEntropy(CrossEntropy.Settings())
    trainable.train(True)
    batches = list(micro_batches(sequences, num_tokens=num_tokens))
    total = sum(objective.weight(batch) for batch in batches)
    for batch in batches:
        trainable.begin(batch, seed=3, step=5)
        (objective.loss_sum(trainable.hidden(batch), trainable.head(), batch) / total).backward()
    found = {name: parameter.grad for name, parameter in trainable.parameters.items()}
    for parameter in trainable.parameters.values():
        parameter.grad = None
    return found  # type: ignore[return-value]


def test_the_quick_adapter_is_pefts_in_value_and_gradient(tmp_path: Path) -> None:
    trainable = Lora(Lora.Settings(dropout=0)).prepare(model_of(tmp_path), bf16=False, new_tokens=[], seed=0)
    with torch.no_grad():
        for parameter in trainable.parameters.values():
            parameter.normal_(std=0.1)
    sequences = [sequence(0, [9, 5])]
    ours = gradients(trainable, sequences, num_tokens=100)
    for module in trainable.base.modules():
        module.__dict__.pop("forward", None)  # back to PEFT's own
    plain = gradients(trainable, sequences, num_tokens=100)
    assert len(ours) == 28
    for name, gradient in plain.items():
        torch.testing.assert_close(ours[name], gradient, rtol=1e-4, atol=1e-6)


def stirred(trainable: Any) -> Any:
    """With adapters that do something: fresh ones are zero, and so are half of their gradients."""
    torch.manual_seed(1)
    with torch.no_grad():
        for parameter in trainable.parameters.values():
            parameter.normal_(std=0.1)
    return trainable


@pytest.mark.parametrize("bf16", [False, True])
@pytest.mark.parametrize("dropout", [0, 0.2])
def test_the_remade_product_changes_no_bit(bf16: bool, dropout: float, tmp_path: Path) -> None:
    method = Lora(Lora.Settings(dropout=dropout))
    trainable = stirred(method.prepare(model_of(tmp_path), bf16=bf16, new_tokens=[], seed=0))
    sequences = [sequence(0, [9, 5]), sequence(1, [30])]
    ours = gradients(trainable, sequences, num_tokens=100)
    gated = [module for module in trainable.base.modules() if type(module).__name__ == "LlamaMLP"]
    assert len(gated) == 2
    for module in gated:
        del module.forward  # back to transformers' own, its layers still ours
    plain = gradients(trainable, sequences, num_tokens=100)
    assert all(torch.equal(ours[name], gradient) for name, gradient in plain.items())


def test_weights_of_16_bits_change_no_bit(tmp_path: Path) -> None:
    found = []
    for kept in (torch.bfloat16, torch.float32):
        model = model_of(tmp_path / str(kept))
        for parameter in model.parameters():
            parameter.data = parameter.data.bfloat16().float()  # as published weights are
        trainable = stirred(Lora(Lora.Settings()).prepare(model, bf16=False, new_tokens=[], seed=0))
        layers = [layer.base_layer for name, layer in trainable.base.named_modules() if name.endswith("_proj")]
        assert len(layers) == 14 and {layer.weight.dtype for layer in layers} == {torch.bfloat16}
        for layer in layers:
            layer.weight.data = layer.weight.data.to(kept)
        found.append(gradients(trainable, [sequence(0, [9, 5])], num_tokens=100))
    assert all(torch.equal(gradient, found[1][name]) for name, gradient in found[0].items())


def test_dropout_drops_the_share_asked_for_and_keeps_the_mean() -> None:
    from buril.train.methods._dropout import Dropout

    dropout = Dropout(0.1)
    dropout.begin(lay_out([sequence(0, [500]), sequence(1, [300])]), seed=0, step=0)
    ones = torch.ones(1, 800, 64)
    found = dropout(ones)
    assert found is not None
    assert (found == 0).float().mean() == pytest.approx(0.1, abs=0.005)
    assert found.mean() == pytest.approx(1.0, abs=0.01)
    assert dropout(ones) is found and not torch.equal(dropout(ones.clone()), found)  # type: ignore[arg-type]
    assert Dropout(0.0)(ones) is None


@given(st.integers(1, 200), st.floats(0, 1), st.sampled_from(["cosine", "linear", "constant"]))
def test_the_rate_rises_then_falls(steps: int, warmup: float, schedule: Any) -> None:
    rates = [factor(step, num_steps=steps, warmup=warmup, schedule=schedule) for step in range(steps)]
    assert all(0 < rate <= 1 for rate in rates) and max(rates) == 1
    peak = rates.index(1)
    assert rates[: peak + 1] == sorted(rates[: peak + 1])
    assert rates[peak:] == sorted(rates[peak:], reverse=True)


def test_an_epoch_reads_every_sequence_once(inputs: dict[str, Artifact]) -> None:
    file = PackedFile(inputs["pack"].path("train.parquet"))
    steps = num_steps(len(file), batch_size=5, epochs=2, max_steps=None)
    seen = [[item.index for item in step_sequences(file, step, batch_size=5, seed=0)] for step in range(steps)]
    first, second = sum(seen[: steps // 2], []), sum(seen[steps // 2 :], [])
    assert sorted(first) == sorted(second) == list(range(24))
    assert first != second


# --- a training


def test_training_learns_and_says_so(inputs: dict[str, Artifact], make_artifact: Callable[..., Artifact]) -> None:
    trained = make_artifact(stage(method={"lora": {"rank": 4}}, max_steps=30, eval_every=10), inputs)
    told, curve = trained.json("train.json"), trained.json("curve.json")
    assert told["best_valid_loss"] < told["first_valid_loss"] - 0.05
    assert told["method"] == "lora" and told["steps"] == 18 and 0 < told["trainable_share"] < 0.2
    assert [point["step"] for point in curve if "loss" in point] == list(range(1, 19))
    assert [point["step"] for point in curve if "valid_loss" in point] == [0, 10, 18]
    assert set(curve[1]) == {"step", "tokens", "loss", "lr", "grad_norm"}
    assert trained.manifest.metrics["tokens_per_s"] > 0
    lines = trained.path("logs/speed.jsonl").read_text().splitlines()
    assert len(lines) == 18 and json.loads(lines[0])["tokens_per_s"] > 0
    config = trained.json("adapter/adapter_config.json")
    assert config["r"] == 4 and config["target_modules"] == sorted(config["target_modules"])
    assert not config["base_model_name_or_path"]


def test_the_curve_is_the_same_however_steps_are_split(
    inputs: dict[str, Artifact], make_artifact: Callable[..., Artifact]
) -> None:
    curves = [
        make_artifact(stage(micro_batch_tokens=size), inputs, folder=f"split{size}").json("curve.json")
        for size in (1, 10_000)
    ]
    for one, other in zip(*curves, strict=True):
        assert one == pytest.approx(other, rel=1e-3)


@pytest.mark.parametrize("tied", [True, False])
def test_a_saved_adapter_with_new_tokens_gives_the_same_loss(
    tied: bool, tmp_path: Path, make_artifact: Callable[..., Artifact]
) -> None:
    given_ = make_inputs(tmp_path / "in", added=True, vocabulary=257, tied=tied)
    trained = make_artifact(stage(max_steps=6), given_)
    loaded = load(
        given_["base"].folder,
        given_["tokenizer"].folder,
        adapter_dir=trained.path("adapter"),
        dtype="fp32",
        device="cpu",
    )
    model = loaded.model.get_base_model()  # type: ignore[operator]
    assert loss_of(loaded.model, given_["pack"]) == pytest.approx(
        trained.json("train.json")["best_valid_loss"], rel=1e-5
    )
    plain = load(given_["base"].folder, given_["tokenizer"].folder, dtype="fp32", device="cpu").model
    after, before = (part.get_output_embeddings()(torch.eye(32)).T for part in (model, plain))
    moved = (after - before).abs().amax(1)
    assert moved[257:].min() > 1e-4 and moved[:257].max() == 0  # the new tokens' rows were trained, and no others
    inside, was = (part.get_input_embeddings()(torch.tensor([257])) for part in (model, plain))
    assert ((inside - was).abs().max() > 1e-4) == tied


def test_a_saved_model_gives_the_same_loss(inputs: dict[str, Artifact], make_artifact: Callable[..., Artifact]) -> None:
    trained = make_artifact(stage(method="full"), inputs)
    loaded = load(
        inputs["base"].folder, inputs["tokenizer"].folder, model_dir=trained.path("model"), dtype="fp32", device="cpu"
    )
    told = trained.json("train.json")
    assert str(inputs["base"].folder).encode() not in b"".join(path.read_bytes() for path in trained.files("model/*"))
    assert told["trainable_share"] == 1
    assert told["best_valid_loss"] < told["first_valid_loss"] - 0.3
    assert loss_of(loaded.model, inputs["pack"]) == pytest.approx(told["best_valid_loss"], abs=0.02)  # saved in bf16


def loss_of(model: Any, pack: Artifact) -> float:
    """The mean loss of the validation part, document by document, by the model's own forward."""
    file, total, number = PackedFile(pack.path("valid.parquet")), 0.0, 0
    for index in range(len(file)):
        packed, at = file[index], 0
        for length in packed.lengths:
            ids = torch.from_numpy(packed.input_ids[at : at + length].astype(np.int64))[None]
            with torch.no_grad():
                logits = model(input_ids=ids).logits[0, :-1].float()
            total += float(torch.nn.functional.cross_entropy(logits, ids[0, 1:], reduction="sum"))
            number += length - 1
            at += length
    return total / number


def test_bf16_trains_close_to_fp32(inputs: dict[str, Artifact], make_artifact: Callable[..., Artifact]) -> None:
    for method in ("lora", "qlora", "full"):
        found = [
            make_artifact(stage(method=method, precision=precision), inputs, folder=f"{method}-{precision}").json(
                "train.json"
            )
            for precision in ("bf16", "fp32")
        ]
        assert found[0]["best_valid_loss"] == pytest.approx(found[1]["best_valid_loss"], abs=0.03)


def test_training_stops_early_and_keeps_the_best(
    inputs: dict[str, Artifact], make_artifact: Callable[..., Artifact]
) -> None:
    trained = make_artifact(
        stage(method="full", learning_rate=0.3, clip=0, schedule="constant", max_steps=18, eval_every=1, patience=2),
        inputs,
    )
    told, curve = trained.json("train.json"), trained.json("curve.json")
    valid = [point["valid_loss"] for point in curve if "valid_loss" in point]
    assert told["stopped_early"] and told["steps"] < 18
    assert told["best_valid_loss"] == min(valid) and valid[-2:] == [v for v in valid[-2:] if v > min(valid)]
    loaded = load(
        inputs["base"].folder, inputs["tokenizer"].folder, model_dir=trained.path("model"), dtype="fp32", device="cpu"
    )
    assert loss_of(loaded.model, inputs["pack"]) == pytest.approx(min(valid), abs=0.05)


# --- stopping and going on

FRESH = """
import sys
from pathlib import Path
from tests.train.fresh import train
train(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3])
"""


def begin(folder: Path, inputs: dict[str, Artifact], method: str, seed: str) -> Any:
    """A training in a process of its own; that of `lora` in a new Python, in which sets have another order."""
    data = inputs["pack"].folder.parent
    if method != "lora":
        return fresh.start(fresh.train, folder, data, method, log=folder.with_suffix(".log"), environment={})
    environment = {**os.environ, "PYTHONPATH": f"{REPO / 'src'}:{REPO}", "PYTHONHASHSEED": seed}
    return subprocess.Popen([sys.executable, "-c", FRESH, str(folder), str(data), method], env=environment, cwd=REPO)


def ended(process: Any) -> int | None:
    """The exit code, None while it runs."""
    found: int | None = process.poll() if isinstance(process, subprocess.Popen) else process.exitcode
    return found


def end(process: Any) -> int:
    """Wait for it; the exit code."""
    if isinstance(process, subprocess.Popen):
        return process.wait()
    process.join()
    return int(process.exitcode)


@pytest.mark.slow
@pytest.mark.parametrize("method", ["lora", "qlora", "full"])
def test_a_killed_training_goes_on_to_the_same_bytes(method: str, inputs: dict[str, Artifact], tmp_path: Path) -> None:
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    assert end(begin(whole, inputs, method, "1")) == 0
    victim = begin(broken, inputs, method, "2")
    checkpoints = broken / "train/.scratch/checkpoints"
    deadline = time.monotonic() + 120
    while not list(checkpoints.glob("state-*[4-9].json")) and ended(victim) is None and time.monotonic() < deadline:
        time.sleep(0.002)
    victim.kill()
    assert end(victim) == -signal.SIGKILL  # it was in the middle
    assert not (broken / "train/curve.json").exists()
    assert end(begin(broken, inputs, method, "3")) == 0
    events = (broken / "events.jsonl").read_text()
    assert "training goes on after step" in events
    names = [
        path.relative_to(whole) for path in (whole / "train").rglob("*") if path.is_file() and "logs" not in path.parts
    ]
    assert len(names) >= 4
    for name in names:
        assert (whole / name).read_bytes() == (broken / name).read_bytes(), name


def test_an_interrupt_checkpoints_first(inputs: dict[str, Artifact], output: Callable[..., Output]) -> None:
    class Stopped(Output):
        def metric(self, **values: Any) -> None:
            super().metric(**values)
            if values["step"] == 3 and not self.resumed:
                raise KeyboardInterrupt

    plain = output("plain")
    stage().run(inputs, plain)
    out = Stopped(plain.folder.parent / "stopped", EventLog(plain.folder.parent / "e.jsonl"), "train")
    with pytest.raises(KeyboardInterrupt):
        stage().run(inputs, out)
    found = Checkpoints(out.scratch / "checkpoints").load()
    assert found is not None and found[0].step == 3
    out.resumed = True
    stage().run(inputs, out)
    assert (out.folder / "curve.json").read_bytes() == (plain.folder / "curve.json").read_bytes()


def test_a_damaged_checkpoint_gives_way_to_the_one_before(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path)
    for step in range(4):
        checkpoints.save(Progress(step=step), {"parameter.w": torch.full((3,), float(step))})
    assert len(list(tmp_path.iterdir())) == 4  # two generations
    (tmp_path / "state-000000003.safetensors").write_bytes(b"torn")
    found = checkpoints.load()
    assert found is not None
    progress, tensors = found
    assert progress.step == 2 and tensors["parameter.w"].tolist() == [2.0] * 3


# --- what it refuses


def test_a_loss_that_is_no_number_stops_with_step_and_rows(
    inputs: dict[str, Artifact], output: Callable[..., Output], tmp_path: Path
) -> None:
    from safetensors.torch import load_file, save_file

    base = write_base(tmp_path / "bad")
    path = base.path("model/model.safetensors")
    weights = load_file(path)
    file = PackedFile(inputs["pack"].path("train.parquet"))
    weights["model.embed_tokens.weight"][int(file[5].input_ids[0])] = float("inf")
    save_file(weights, path, metadata={"format": "pt"})
    out = output("train")
    with pytest.raises(BurilError) as raised:
        stage(eval_tokens=1).run({**inputs, "base": base}, out)
    assert raised.value.code == "T105" and "train" in str(raised.value.values["rows"])
    assert raised.value.values["quantity"] == "loss"  # seen before the backward pass, so that the rows are few
    rows = json.loads((out.folder / "logs/not_finite.json").read_text())["rows"]
    assert set(rows) <= {row for index in range(len(file)) for row in file[index].row_ids}
    found = Checkpoints(out.scratch / "checkpoints").load()
    assert found is not None and found[0].step == raised.value.values["step"] - 1  # type: ignore[operator]


def refusal(given_: dict[str, Artifact], output: Callable[..., Output], **told: Any) -> str:
    with pytest.raises(BurilError) as raised:
        stage(**told).run(given_, output("train"))
    return raised.value.code


def test_what_can_not_be_trained_is_said(
    inputs: dict[str, Artifact], output: Callable[..., Output], tmp_path: Path
) -> None:
    scratch = write_base(tmp_path / "scratch", kind="scratch")
    assert refusal({**inputs, "base": scratch}, output) == "T104"
    assert refusal(inputs, output, method={"lora": {"targets": ["no_such_layer"]}}) == "T107"
    small = make_inputs(tmp_path / "short", max_length=300)
    assert refusal(small, output) == "T103"
    tokens = PackedFile(inputs["pack"].path("train.parquet")).largest_token
    few = dataclasses.replace(inputs["tokenizer"], folder=tmp_path / "few")
    write_tokenizer(tmp_path / "few")
    told = json.loads((tmp_path / "few/fim.json").read_text())
    (tmp_path / "few/fim.json").write_text(json.dumps({**told, "vocab_size": 200}))
    assert tokens >= 200
    assert (
        refusal({**inputs, "tokenizer": few, "base": write_base(tmp_path / "tiny", vocabulary=200)}, output) == "T108"
    )


def test_a_model_with_other_attention_or_output_is_refused(tmp_path: Path, inputs: dict[str, Artifact]) -> None:
    from buril.train.attention import check_plain
    from buril.train.fits import check_same_output

    with pytest.raises(BurilError, match="T106"):
        check_plain(torch.nn.Linear(1, 1), {"softcap": 30.0}, longest=10)
    with pytest.raises(BurilError, match="T106"):
        check_plain(torch.nn.Linear(1, 1), {"sliding_window": 8}, longest=10)
    check_plain(torch.nn.Linear(1, 1), {"sliding_window": 16, "softcap": None}, longest=10)
    trainable = Full(Full.Settings()).prepare(model_of(tmp_path), bf16=False, new_tokens=[], seed=0)
    file = PackedFile(inputs["pack"].path("train.parquet"))
    check_same_output(trainable, file)
    forward = trainable.base.lm_head.forward
    trainable.base.lm_head.forward = lambda hidden: forward(hidden) / 8  # as models with scaled logits have it
    with pytest.raises(BurilError, match="T106"):
        check_same_output(trainable, file)


def test_settings_that_change_bytes_are_identity_and_others_are_not() -> None:
    plain = Train.Settings().identity()
    assert Train.Settings(micro_batch_tokens=99, device="cpu", threads=3, checkpoint_every_s=1).identity() == plain
    assert Train.Settings(batch_size=8).identity() != plain
    assert plain["method"]["name"] == "lora" and plain["method"]["settings"]["rank"] == 16
    assert Train.Settings(method={"lora": {"rank": 4}}).identity() != plain  # type: ignore[arg-type]
    assert Train(Train.Settings(precision="fp32")).observe() == {"precision": "fp32"}
