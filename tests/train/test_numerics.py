"""Number formats, averages, optimizers: what they compute, and that stopping changes nothing of it."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from buril.core.artifact import Artifact
from buril.core.errors import BurilError
from buril.core.events import EventLog
from buril.core.stage import Output
from buril.generators._load import load
from buril.train.batch import lay_out
from buril.train.loop import Loop
from buril.train.methods.full import Full
from buril.train.methods.lora import Lora
from buril.train.numerics import FIRST_SCALE, Average, first_bad_gradient, first_bad_output, make_scaler
from buril.train.optimizers import Muon, Optimizers, orthogonal, suits_muon
from buril.train.state import Checkpoints
from tests.train.small import write_base
from tests.train.test_loop import gradients, model_of, sequence, stage

# --- optimizers


@pytest.mark.parametrize("shape", [(24, 24), (48, 16), (16, 48)])
def test_muon_makes_the_step_of_torchs_own(shape: tuple[int, int]) -> None:
    torch.manual_seed(0)
    start, ours, theirs = torch.randn(shape), [], []
    for collect, make in (
        (ours, lambda weights: Muon(weights, weight_decay=0.1)),
        (theirs, lambda weights: torch.optim.Muon(weights, lr=0.01, weight_decay=0.1, adjust_lr_fn="match_rms_adamw")),
    ):
        weight = torch.nn.Parameter(start.clone())
        optimizer = make([weight])
        torch.manual_seed(1)
        for _step in range(3):
            weight.grad = torch.randn(shape)
            optimizer.param_groups[0]["lr"] = 0.01
            optimizer.step()
            collect.append(weight.detach().clone())
    for mine, other in zip(ours, theirs, strict=True):
        # theirs is rounded to bf16 in every multiplication, and steps are 0.01 in size
        torch.testing.assert_close(mine, other, rtol=0, atol=6e-4)
    assert (ours[-1] - start).abs().max() > 0.01


def test_an_orthogonal_matrix_has_singular_values_near_one() -> None:
    torch.manual_seed(0)
    values = torch.linalg.svdvals(orthogonal(torch.randn(30, 20) @ torch.diag(torch.logspace(0, 0.7, 20))))
    assert values.min() > 0.6 and values.max() < 1.3


def test_embeddings_heads_norms_and_biases_are_no_matrices_for_muon(tmp_path: Path) -> None:
    model = model_of(tmp_path, tied=False)
    taken = {name for name, parameter in model.named_parameters() if suits_muon(name, parameter)}
    assert len(taken) == 14 and all("_proj.weight" in name for name in taken)
    optimizers = Optimizers(dict(model.named_parameters()), choice="muon", weight_decay=0.1)
    held = {id(item) for one in optimizers.each for group in one.param_groups for item in group["params"]}
    assert held == {id(parameter) for parameter in model.parameters()}
    undecayed = {
        id(p) for one in optimizers.each for g in one.param_groups if not g["weight_decay"] for p in g["params"]
    }
    assert undecayed == {id(parameter) for parameter in model.parameters() if parameter.ndim == 1}


def test_random_weights_get_their_own_recipe(tmp_path: Path) -> None:
    random, known = ({"base": write_base(tmp_path / kind, kind=kind)} for kind in ("scratch", "folder"))
    scratch = stage(method="full", batch_size=None, learning_rate=None)._recipe(random)
    assert (scratch.optimizer, scratch.schedule, scratch.batch_size, scratch.warmup) == ("muon", "wsd", 8, 0.02)
    tuned = stage(method="full", batch_size=None, learning_rate=None)._recipe(known)
    assert (tuned.optimizer, tuned.schedule, tuned.batch_size, tuned.warmup) == ("adamw", "cosine", 32, 0.1)
    assert (tuned.learning_rate, tuned.weight_decay, tuned.epochs, tuned.clip) == (5e-5, 0.01, 3, 1)
    assert stage(method="full", optimizer="adamw", learning_rate=None)._recipe(random).learning_rate == 1e-3
    assert stage(minutes=1.0)._recipe(known).epochs is None


# --- stopping and going on


class Stopping(Output):
    """Interrupts once, at a step."""

    at = 3

    def metric(self, **values: Any) -> None:
        super().metric(**values)
        if values["step"] == self.at and "loss" in values and not self.resumed:
            raise KeyboardInterrupt


def both_ways(inputs: dict[str, Artifact], output: Callable[..., Output], **told: Any) -> Path:
    """A training run through, and one interrupted and resumed: the same bytes. Returns the folder of the second."""
    plain = output("plain")
    stage(**told).run(inputs, plain)
    plain.finish()
    out = Stopping(plain.folder.parent / "stopped", EventLog(plain.folder.parent / "e.jsonl"), "train")
    with pytest.raises(KeyboardInterrupt):
        stage(**told).run(inputs, out)
    assert not (out.folder / "curve.json").exists()
    out.resumed = True
    stage(**told).run(inputs, out)
    out.finish()
    names = [path.relative_to(plain.folder) for path in plain.folder.rglob("*") if path.is_file()]
    compared = [name for name in names if "logs" not in name.parts]
    assert len(compared) >= 4
    for name in compared:
        assert (plain.folder / name).read_bytes() == (out.folder / name).read_bytes(), name
    return out.folder


@pytest.mark.parametrize(
    "told",
    [
        {"method": "full", "optimizer": "muon", "schedule": "wsd"},
        {"method": "lora", "optimizer": "muon"},
        {"method": "full", "ema": 0.7},
        {"method": "lora", "ema": 0.7},
        {"method": "full", "precision": "fp16"},
        {"method": "lora", "precision": "fp16", "ema": 0.5},
        {"method": "lora", "sample_completions": 2},
    ],
    ids=str,
)
def test_a_stopped_training_goes_on_to_the_same_bytes(
    told: dict[str, Any], inputs: dict[str, Artifact], output: Callable[..., Output]
) -> None:
    folder = both_ways(inputs, output, **told)
    assert json.loads((folder / "train.json").read_text())["best_step"] > 3, "it learnt after it went on"


# --- fp16


@pytest.mark.parametrize("method", ["lora", "full"])
def test_fp16_trains_close_to_fp32(
    method: str, inputs: dict[str, Artifact], make_artifact: Callable[..., Artifact]
) -> None:
    found = [
        make_artifact(stage(method=method, precision=precision), inputs, folder=precision).json("train.json")
        for precision in ("fp16", "fp32")
    ]
    assert found[0]["first_valid_loss"] != found[1]["first_valid_loss"]
    assert found[0]["best_valid_loss"] == pytest.approx(found[1]["best_valid_loss"], abs=0.01)
    assert found[0]["steps"] == found[1]["steps"]


@pytest.mark.parametrize("method", ["lora", "full"])
def test_a_scale_that_overflows_is_halved_and_no_step_is_lost(
    method: str, inputs: dict[str, Artifact], output: Callable[..., Output], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("buril.train.numerics.FIRST_SCALE", 2.0**40)
    out = output("train")
    metrics = stage(method=method, precision="fp16", checkpoint_every_s=0).run(inputs, out)
    assert metrics["steps"] == 8
    found = Checkpoints(out.scratch / "checkpoints").load()
    assert found is not None and 1 <= found[0].scale < 2.0**40
    assert 1 <= found[0].growth <= 8, "steps since it was halved count towards a larger one"


def test_the_scale_changes_no_gradient(tmp_path: Path) -> None:
    trainable = Full(Full.Settings()).prepare(model_of(tmp_path), bf16=False, new_tokens=[], seed=0)
    wanted = gradients(trainable, [sequence(0, [9, 5])], num_tokens=100)
    scaler = make_scaler(torch.device("cpu"), fp16=True, scale=0.0, growth=0)
    optimizers = Optimizers(trainable.parameters, choice="adamw", weight_decay=0.0)
    hooks = [parameter.register_hook(scaler.scale) for parameter in trainable.parameters.values()]
    gradients_scaled = gradients(trainable, [sequence(0, [9, 5])], num_tokens=100)
    for hook in hooks:
        hook.remove()
    for name, parameter in trainable.parameters.items():
        parameter.grad = gradients_scaled[name]
        assert gradients_scaled[name].abs().max() >= wanted[name].abs().max() * FIRST_SCALE * 0.99
    optimizers.unscale(scaler)
    for name, parameter in trainable.parameters.items():
        assert torch.equal(parameter.grad, wanted[name])  # type: ignore[arg-type]  a power of two


# --- averages


def test_an_average_is_exchanged_to_the_bit_and_back() -> None:
    weight = torch.nn.Parameter(torch.ones(3))
    average = Average({"w": weight}, 0.9)
    with torch.no_grad():
        weight.fill_(2.0)
    average.update(1)  # decay (1 + 1) / (10 + 1)
    wanted = 1 * (2 / 11) + 2 * (9 / 11)
    with pytest.raises(RuntimeError, match="inside"), average.in_place():
        assert weight.tolist() == pytest.approx([wanted] * 3)
        raise RuntimeError("inside")
    assert weight.tolist() == [2.0] * 3
    for step in range(2, 300):
        average.update(step)
    assert average.values["w"].tolist() == pytest.approx([2.0] * 3)


def test_what_is_written_is_the_average(inputs: dict[str, Artifact], make_artifact: Callable[..., Artifact]) -> None:
    from tests.train.test_loop import loss_of

    trained = make_artifact(stage(method="full", ema=0.8, learning_rate=0.01, patience=0), inputs)
    told = trained.json("train.json")
    plain = make_artifact(stage(method="full", learning_rate=0.01, patience=0), inputs, folder="plain")
    assert told["ema"] == 0.8 and told["best_valid_loss"] != plain.json("train.json")["best_valid_loss"]
    training = [[point["loss"] for point in item.json("curve.json") if "loss" in point] for item in (trained, plain)]
    assert training[0] == training[1], "the average does not take part in the steps"
    loaded = load(
        inputs["base"].folder, inputs["tokenizer"].folder, model_dir=trained.path("model"), dtype="fp32", device="cpu"
    )
    assert loss_of(loaded.model, inputs["pack"]) == pytest.approx(told["best_valid_loss"], abs=0.02)  # saved in bf16


# --- numbers that are none


def test_the_adapted_layer_where_numbers_go_wrong_is_named(tmp_path: Path) -> None:
    trainable = Lora(Lora.Settings(rank=2)).prepare(model_of(tmp_path), bf16=False, new_tokens=[], seed=0)
    name = next(name for name in trainable.parameters if "layers.1.mlp.up_proj.lora_A" in name)
    with torch.no_grad():
        trainable.parameters[name].fill_(float("nan"))
    assert first_bad_output(trainable, lay_out([sequence(0, [9, 5])])) == "model.layers.1.mlp.up_proj"


def test_the_place_where_numbers_go_wrong_is_named(tmp_path: Path) -> None:
    trainable = Full(Full.Settings()).prepare(model_of(tmp_path), bf16=False, new_tokens=[], seed=0)
    batch = lay_out([sequence(0, [9, 5])])
    assert first_bad_output(trainable, batch) == "lm_head"
    with torch.no_grad():
        trainable.base.model.layers[1].mlp.gate_proj.weight[0, 0] = float("nan")
    assert first_bad_output(trainable, batch) == "model.layers.1.mlp.gate_proj"
    for parameter in trainable.parameters.values():
        parameter.grad = torch.zeros_like(parameter)
    assert first_bad_gradient(trainable) == ""
    for layer in (0, 1):
        trainable.base.model.layers[layer].self_attn.q_proj.weight.grad[0, 0] = float("inf")
    assert first_bad_gradient(trainable) == "model.layers.1.self_attn.q_proj"


def test_a_gradient_that_is_no_number_names_its_module(
    inputs: dict[str, Artifact], output: Callable[..., Output], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A layer whose forward is right and whose backward is not: the loss says nothing of it."""
    accumulate = Loop._accumulate

    def broken(self: Loop, sequences: Any, step: int) -> float:
        layer = self.task.trainable.base.model.layers[1].mlp.down_proj
        handle = layer.weight.register_hook(lambda grad: grad * float("inf")) if step == 2 else None
        loss = accumulate(self, sequences, step)
        if handle:
            handle.remove()
        return loss

    monkeypatch.setattr(Loop, "_accumulate", broken)
    out = output("train")
    with pytest.raises(BurilError) as raised:
        stage(method="full").run(inputs, out)
    assert raised.value.code == "T105" and raised.value.values["module"] == "model.layers.1.mlp.down_proj"
    told = json.loads((out.folder / "logs/not_finite.json").read_text())
    assert told["quantity"] == "gradient" and told["step"] == 3 and told["module"] == raised.value.values["module"]


def test_under_fp16_a_nan_is_no_overflow_for_ever(
    inputs: dict[str, Artifact], output: Callable[..., Output], tmp_path: Path
) -> None:
    """Halving a scale cures no NaN: it ends."""
    from safetensors.torch import load_file, save_file

    base = write_base(tmp_path / "bad")
    weights = load_file(base.path("model/model.safetensors"))
    weights["model.layers.0.mlp.up_proj.weight"][3, 3] = 1e30  # beyond fp16
    save_file(weights, base.path("model/model.safetensors"), metadata={"format": "pt"})
    with pytest.raises(BurilError) as raised:
        stage(method="full", precision="fp16", eval_tokens=1).run({**inputs, "base": base}, output("train"))
    assert raised.value.code in ("T105", "T106")


def test_copies_of_a_model_do_not_share_averages(tmp_path: Path) -> None:
    model = model_of(tmp_path)
    average = Average(dict(copy.deepcopy(model).named_parameters()), 0.5)
    assert all(not value.requires_grad for value in average.values.values())
