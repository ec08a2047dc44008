"""Methods: 4-bit bases, variants of adapters, and what of their results loads elsewhere."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

from buril.core.artifact import Artifact
from buril.core.errors import BurilError
from buril.core.stage import Output
from buril.generators._load import load
from buril.train.batch import lay_out
from buril.train.machine import forget_pages
from buril.train.methods._quantised import dequantised, num_bytes, num_weights, quantise
from buril.train.methods.lora import Lora
from buril.train.methods.qlora import Qlora
from buril.train.stage import count
from tests.train.small import inputs as make_inputs
from tests.train.small import write_base, write_tokenizer
from tests.train.test_loop import gradients, loss_of, model_of, sequence, stage, stirred

bnb = pytest.importorskip("bitsandbytes")


def layers_of(model: Any) -> list[Any]:
    return [module for module in model.modules() if isinstance(module, bnb.nn.Linear4bit)]


# --- 4-bit weights


def both_ways(folder: Path, *, bf16: bool) -> list[dict[str, torch.Tensor]]:
    """Gradients and hidden states of a 4-bit model by our operation and by PEFT's own layers."""
    trainable = stirred(
        Qlora(Qlora.Settings(dropout=0, rank=4)).prepare(model_of(folder), bf16=bf16, new_tokens=[], seed=0)
    )
    assert type(trainable.base.model.layers[0].mlp.up_proj).__name__ == "Linear4bit"
    sequences = [sequence(0, [9, 5]), sequence(1, [30])]
    found = []
    for _ in range(2):
        found.append(gradients(trainable, sequences, num_tokens=100))
        found[-1]["hidden"] = trainable.hidden(lay_out(sequences)).detach().float()
        for module in trainable.base.modules():
            if type(module).__module__.startswith("peft."):
                module.__dict__.pop("forward", None)  # back to PEFT's own
    assert len(found[0]) == 29
    return found


def test_the_quick_4_bit_layer_is_pefts_in_value_and_gradient(tmp_path: Path) -> None:
    ours, peft = both_ways(tmp_path / "fp32", bf16=False)
    for name, gradient in peft.items():
        torch.testing.assert_close(ours[name], gradient, rtol=1e-3, atol=1e-5)
    rounded, _peft = both_ways(tmp_path / "bf16", bf16=True)  # PEFT multiplies adapters in fp32, we in bf16
    errors = [float((rounded[name] - exact).norm() / exact.norm()) for name, exact in peft.items()]
    assert 0 < sum(errors) / len(errors) < 0.07


def test_dequantised_weights_are_the_nearest_of_the_sixteen_levels(tmp_path: Path) -> None:
    """Recomputed without the library's kernels: block by block, from the published levels."""
    model = model_of(tmp_path)
    before = {name: weight.clone() for name, weight in model.named_parameters() if "_proj" in name}
    assert quantise(model, torch.device("cpu"), dtype=torch.float32, double=False) == 14
    levels = bnb.functional.get_4bit_type("nf4", device="cpu")
    for name, weight in before.items():
        layer = model.get_submodule(name.removesuffix(".weight"))
        blocks = weight.reshape(-1, 64)
        scale = blocks.abs().amax(1, keepdim=True)
        nearest = levels[(blocks[..., None] / scale[..., None] - levels).abs().argmin(-1)] * scale
        torch.testing.assert_close(dequantised(layer), nearest.reshape(weight.shape), rtol=1e-3, atol=1e-4)
    assert model.lm_head.weight.dtype == torch.float32 and not isinstance(model.lm_head, bnb.nn.Linear4bit)


@pytest.mark.parametrize("width", [32, 96, 100, 128])
def test_a_4_bit_layer_computes_with_its_blocks_whatever_their_place_in_rows(width: int) -> None:
    """Also alone, without an adapter, forward and backward."""
    torch.manual_seed(0)
    model = torch.nn.ModuleDict({"layer": torch.nn.Linear(width, 24), "head": torch.nn.Linear(24, 8)})
    model.get_output_embeddings = lambda: model["head"]
    numbers = torch.nn.functional.pad(model["layer"].weight.detach().reshape(-1), (0, -24 * width % 64))
    blocks = numbers.reshape(-1, 64)
    scale = blocks.abs().amax(1, keepdim=True)
    levels = bnb.functional.get_4bit_type("nf4", device="cpu")
    nearest = levels[(blocks[..., None] / scale[..., None] - levels).abs().argmin(-1)] * scale
    weight = nearest.reshape(-1)[: 24 * width].reshape(24, width)
    assert quantise(model, torch.device("cpu"), dtype=torch.float32, double=False) == 1
    inputs = torch.randn(2, 5, width, requires_grad=True)
    found = model["layer"](inputs)
    torch.testing.assert_close(found, inputs @ weight.T + model["layer"].bias, rtol=1e-4, atol=1e-5)
    found.square().sum().backward()
    torch.testing.assert_close(inputs.grad, (2 * found @ weight).detach(), rtol=1e-3, atol=1e-4)


def test_double_quantisation_saves_what_it_should() -> None:
    """4 bits and 32/64 for a scale; doubled, 8/64 and 32/(64·256): 4.5 against 4.127 bits a weight."""
    from buril.testing._train import tiny_model

    found = {}
    for double in (False, True):
        model = tiny_model()
        model.model.layers[0].mlp.up_proj = torch.nn.Linear(512, 1024, bias=False)
        quantise(model, torch.device("cpu"), dtype=torch.float32, double=double)
        weight = model.model.layers[0].mlp.up_proj.weight
        assert num_weights(weight) == 512 * 1024
        found[double] = 8 * num_bytes(weight) / num_weights(weight)
    assert found[False] == 4.5
    assert found[True] == pytest.approx(4 + 8 / 64 + 32 / (64 * 256), abs=1e-3)
    assert 1 - found[True] / 16 > 0.7  # against bf16


def test_training_goes_on_after_an_evaluation(tmp_path: Path) -> None:
    """An evaluation must not repack the weights for inference: the step after it would fail."""
    trainable = stirred(Qlora(Qlora.Settings()).prepare(model_of(tmp_path), bf16=False, new_tokens=[], seed=0))
    layers = layers_of(trainable.base)
    assert len(layers) == 14 and not any(layer.support_avx512bf16_for_cpu for layer in layers)
    sequences = [sequence(0, [9, 5])]
    first = gradients(trainable, sequences, num_tokens=100)
    trainable.train(False)
    with torch.no_grad():
        trainable.base(input_ids=torch.arange(8)[None], lengths=(8,))
        layers[0](torch.randn(3, 32))
    assert not any(getattr(layer.weight.quant_state, "packing_format_for_cpu", False) for layer in layers)
    again = gradients(trainable, sequences, num_tokens=100)
    assert all(torch.equal(first[name], again[name]) for name in first)


def test_the_import_fetches_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    from buril.train.methods import _quantised

    seen = []
    monkeypatch.delitem(sys.modules, "bitsandbytes")
    monkeypatch.setitem(sys.modules, "kernels", sys)
    monkeypatch.setattr(_quantised.importlib, "import_module", lambda name: seen.append((name, sys.modules["kernels"])))
    _quantised.library()
    assert seen == [("bitsandbytes", None)] and sys.modules["kernels"] is sys


def test_the_model_never_stands_in_memory_at_full_size(tmp_path: Path) -> None:
    """Weights lie in the pages of their file until their layer is quantised; then they go."""
    base, tokenizer = write_base(tmp_path / "base"), write_tokenizer(tmp_path / "tokenizer")
    path, method = base.path("model/model.safetensors"), Qlora(Qlora.Settings())
    lying = []

    def convert(model: Any, device: torch.device) -> None:
        lying.append(in_file(model.model.layers[0].mlp.up_proj.weight, path))
        method.convert(model, device, bf16=False)

    loaded = load(base.folder, tokenizer.folder, device="cpu", convert=convert)
    weight: Any = loaded.model.model.layers[0].mlp.up_proj.weight
    assert lying == [True]
    assert weight.untyped_storage().nbytes() == 32 * 64 // 2 and num_bytes(weight) < 32 * 64 * 0.6


def in_file(tensor: torch.Tensor, path: Path) -> bool:
    """Whether a tensor's memory is a mapped file, by what Linux says of this process."""
    for line in Path("/proc/self/maps").read_text().splitlines():
        first, last = (int(number, 16) for number in line.split()[0].split("-"))
        if first <= tensor.data_ptr() < last:
            return line.endswith(str(path))
    return False


def test_counts_are_of_weights_not_of_bytes(tmp_path: Path) -> None:
    shares = [
        count(method.prepare(model_of(tmp_path / str(number)), bf16=False, new_tokens=[], seed=0))
        for number, method in enumerate((Lora(Lora.Settings()), Qlora(Qlora.Settings())))
    ]
    assert shares[0] == shares[1]


@pytest.mark.parametrize("added", [False, True])
def test_an_adapter_trained_in_4_bits_loads_on_both_bases(
    added: bool, tmp_path: Path, make_artifact: Callable[..., Artifact]
) -> None:
    from peft import PeftModel

    given = make_inputs(tmp_path / "in", added=added, vocabulary=257 if added else 260)
    trained = make_artifact(stage(method={"qlora": {"rank": 8}}, learning_rate=1e-2), given)
    told = trained.json("train.json")
    assert told["best_valid_loss"] < told["first_valid_loss"] - 0.01
    found = {}
    for name, convert in (("plain", None), ("4-bit", Qlora(Qlora.Settings()).convert)):
        more = {"convert": lambda model, device, convert=convert: convert(model, device, bf16=False)} if convert else {}
        model = load(given["base"].folder, given["tokenizer"].folder, dtype="fp32", device="cpu", **more).model
        before = loss_of(model, given["pack"])
        adapted = PeftModel.from_pretrained(model, str(trained.path("adapter")))
        found[name] = loss_of(adapted, given["pack"])
        assert found[name] < before - 0.01
    assert found["4-bit"] == pytest.approx(told["best_valid_loss"], rel=1e-4)  # what was trained on
    assert found["plain"] == pytest.approx(told["best_valid_loss"], abs=0.05)
    config = trained.json("adapter/adapter_config.json")
    assert config["peft_type"] == "LORA" and not config["base_model_name_or_path"]


def test_a_missing_package_is_said_with_the_line_that_installs_it(
    inputs: dict[str, Artifact], output: Callable[..., Output], monkeypatch: pytest.MonkeyPatch
) -> None:
    import importlib.util

    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *more: None if name == "bitsandbytes" else find(name, *more)
    )
    with pytest.raises(BurilError, match="bitsandbytes") as raised:
        stage(method="qlora").run(inputs, output("train"))
    assert raised.value.code == "P002" and "pip install" in str(raised.value)


# --- weights of 16 bits under multiplications in fp32


def in_format(base: Artifact, dtype: torch.dtype, *, rounded: torch.dtype | None = None) -> Artifact:
    """A base with its weights in another format, rounded to a third before."""
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(base.path("model"))
    for parameter in model.parameters():
        parameter.data = parameter.data.to(rounded or dtype)
    model.to(dtype).save_pretrained(base.path("model"))
    assert json.loads(base.path("model/config.json").read_text())["dtype"] == str(dtype).removeprefix("torch.")
    return base


@pytest.mark.parametrize("short", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize(
    "method",
    [{"lora": {"rank": 4}}, {"lora": {"rank": 2, "targets": ["q_proj"]}}, {"lora": {"rank": 2, "dora": True}}, "qlora"],
)
def test_the_format_of_the_file_changes_no_byte(
    short: torch.dtype, method: Any, tmp_path: Path, make_artifact: Callable[..., Artifact]
) -> None:
    """Also where tokens are new to the base: their rows are made in fp32."""
    written = []
    for name, wide in (("short", False), ("wide", True)):
        given = make_inputs(tmp_path / name, added=True, vocabulary=257, tied=False)
        in_format(given["base"], torch.float32 if wide else short, rounded=short)
        trained = make_artifact(stage(method=method, max_steps=3), given, folder=f"{name}-out")
        files = ("adapter/adapter_model.safetensors", "adapter/adapter_config.json", "curve.json")
        written.append([trained.path(file).read_bytes() for file in files])
    assert written[0] == written[1]


def test_frozen_matrices_stay_in_their_file_and_true_fp32_stays(tmp_path: Path) -> None:
    """What an adapter stands beside lies in the mapped pages in 16 bits; what is used in fp32 is its own copy."""
    for dtype in (torch.bfloat16, torch.float32):
        base, tokenizer = write_base(tmp_path / f"{dtype}"), write_tokenizer(tmp_path / f"{dtype}-tokenizer")
        in_format(base, dtype)
        method, path = Lora(Lora.Settings()), base.path("model/model.safetensors")
        loaded = load(base.folder, tokenizer.folder, device="cpu", convert=partial(method.convert, bf16=False))
        model = method.prepare(loaded.model, bf16=False, new_tokens=[], seed=0).base
        layers = [layer.base_layer for name, layer in model.named_modules() if name.endswith("_proj")]
        assert len(layers) == 14
        assert all(layer.weight.dtype == dtype and in_file(layer.weight, path) for layer in layers)
        table = model.get_input_embeddings().weight
        assert table.dtype == torch.float32 and in_file(table, path) == (dtype == torch.float32)


def test_only_pages_of_a_file_are_given_back(tmp_path: Path) -> None:
    import safetensors.torch

    path = tmp_path / "big.safetensors"
    safetensors.torch.save_file({"before": torch.ones(8), "big": torch.arange(4 << 20)}, path)
    mapped = safetensors.torch.load_file(path)
    assert int(mapped["big"].sum()) > 0 and resident_mb(path) > 32
    forget_pages(mapped["big"])
    assert resident_mb(path) < 1
    assert torch.equal(mapped["big"], torch.arange(4 << 20)) and torch.equal(mapped["before"], torch.ones(8))
    own = torch.arange(4 << 20)
    forget_pages(own)
    assert torch.equal(own, torch.arange(4 << 20))


def resident_mb(path: Path) -> float:
    """What of a mapped file is in this process's memory, by what Linux says of it."""
    lines = iter(Path("/proc/self/smaps").read_text().splitlines())
    found = 0
    for line in lines:
        if line.endswith(str(path)):
            found += next(int(more.split()[1]) for more in lines if more.startswith("Rss:"))
    return found / 1024


# --- variants of adapters


@pytest.mark.parametrize(
    ("config", "told", "share"),
    [("smollm2", {"rank": 2, "targets": ["q_proj", "v_proj"]}, 0.0009), ("smollm2", {"rank": 4, "targets": ["q_proj"]}, 0.0011), ("qwen", {"rank": 4, "targets": ["q_proj", "v_proj"]}, 0.0006)],
)  # fmt: skip
def test_a_thousandth_of_the_parameters_can_be_enough(config: str, told: dict[str, Any], share: float) -> None:
    """By the published shapes, without weights; the guide's figure is a share of about 0.1 %."""
    from transformers import LlamaConfig, LlamaForCausalLM, Qwen2Config, Qwen2ForCausalLM

    with torch.device("meta"):
        if config == "smollm2":
            model = LlamaForCausalLM(LlamaConfig(
                vocab_size=49152, hidden_size=576, intermediate_size=1536, num_hidden_layers=30, num_attention_heads=9,
                num_key_value_heads=3, tie_word_embeddings=True,
            ))  # fmt: skip
        else:
            model = Qwen2ForCausalLM(Qwen2Config(
                vocab_size=151936, hidden_size=896, intermediate_size=4864, num_hidden_layers=24,
                num_attention_heads=14, num_key_value_heads=2, tie_word_embeddings=True,
            ))  # fmt: skip
        trainable = Lora(Lora.Settings(**told)).prepare(model, bf16=True, new_tokens=[], seed=0)
    found = count(trainable)["share"]
    assert share * 0.8 < found < share


def test_rslora_scales_by_the_root_of_the_rank(tmp_path: Path) -> None:
    trainable = Lora(Lora.Settings(rank=16, alpha=32, rslora=True)).prepare(
        model_of(tmp_path), bf16=False, new_tokens=[], seed=0
    )
    assert trainable.base.model.layers[0].mlp.up_proj.scaling["default"] == 8
    assert "forward" in trainable.base.model.layers[0].mlp.up_proj.__dict__


@pytest.mark.parametrize("method", [Lora, Qlora])
def test_dora_trains_through_pefts_own_forward_with_our_dropout(method: Any, tmp_path: Path) -> None:
    trainable = method(method.Settings(dora=True, dropout=0.3)).prepare(
        model_of(tmp_path), bf16=False, new_tokens=[], seed=0
    )
    names = [name for name in trainable.parameters if "magnitude" in name]
    assert len(names) == 14 and "forward" not in trainable.base.model.layers[0].mlp.up_proj.__dict__
    torch.manual_seed(1)
    with torch.no_grad():
        for name, parameter in trainable.parameters.items():
            if name not in names:
                parameter.normal_(std=0.1)
    sequences = [sequence(0, [9, 5]), sequence(1, [30]), sequence(2, [4, 4, 4])]
    whole, split = (gradients(trainable, sequences, num_tokens=size) for size in (1000, 15))
    assert all(float(whole[name].abs().sum()) > 0 for name in names)
    for name, gradient in whole.items():
        torch.testing.assert_close(split[name], gradient, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("variant", ["dora", "rslora"])
def test_a_saved_variant_gives_the_same_loss(
    variant: str, inputs: dict[str, Artifact], make_artifact: Callable[..., Artifact]
) -> None:
    trained = make_artifact(stage(method={"lora": {"rank": 4, variant: True}}, max_steps=6), inputs)
    assert json.loads(trained.path("adapter/adapter_config.json").read_text())[f"use_{variant}"] is True
    loaded = load(
        inputs["base"].folder, inputs["tokenizer"].folder, adapter_dir=trained.path("adapter"), dtype="fp32",
        device="cpu",
    )  # fmt: skip
    told = trained.json("train.json")
    assert told["best_valid_loss"] < told["first_valid_loss"]
    assert loss_of(loaded.model, inputs["pack"]) == pytest.approx(told["best_valid_loss"], rel=1e-5)


# --- activation checkpointing


@pytest.mark.parametrize("dora", [False, True])
def test_layers_computed_twice_change_no_bit_of_a_gradient(dora: bool, tmp_path: Path) -> None:
    """Also with dropout: the masks are drawn again as they were, and the later layers draw what they drew."""
    sequences = [sequence(0, [9, 5]), sequence(1, [30]), sequence(2, [4, 4, 4])]
    found = []
    for number in range(3):
        trainable = stirred(
            Lora(Lora.Settings(dropout=0.3, dora=dora)).prepare(
                model_of(tmp_path / str(number)), bf16=False, new_tokens=[], seed=0
            )
        )
        assert trainable.recompute(number) == number
        found.append(gradients(trainable, sequences, num_tokens=40))
    for name, gradient in found[0].items():
        assert torch.equal(gradient, found[1][name]) and torch.equal(gradient, found[2][name]), name
    set_apart = Lora(Lora.Settings(dropout=0.3)).prepare(model_of(tmp_path / "b"), bf16=False, new_tokens=[], seed=0)
    set_apart._dropout._threshold = 0
    without = gradients(stirred(set_apart), sequences, num_tokens=40)
    assert dora or not all(torch.equal(gradient, without[name]) for name, gradient in found[0].items())


@pytest.mark.parametrize("method", ["lora", "qlora", "full"])
def test_a_training_with_layers_computed_twice_gives_the_same_bytes(
    method: str, inputs: dict[str, Artifact], make_artifact: Callable[..., Artifact]
) -> None:
    made = [
        make_artifact(stage(method=method, max_steps=3, checkpoint_layers=number), inputs, folder=f"{number}")
        for number in (0, 9)
    ]
    assert made[0].manifest.digest == made[1].manifest.digest or [
        entry.path
        for entry, other in zip(made[0].manifest.files, made[1].manifest.files, strict=True)
        if entry.sha256 != other.sha256
    ] == ["logs/machine.json", "logs/speed.jsonl"]
    assert made[1].json("logs/machine.json")["checkpoint_layers"] == 2


def kept_bytes(trainable: Any, length: int) -> int:
    """What the forward pass keeps for the way back, each memory once, without the weights."""
    weights = {tensor.untyped_storage().data_ptr() for tensor in trainable.base.parameters()}
    kept: dict[int, int] = {}

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    batch = lay_out([sequence(0, [length])])
    trainable.train(True)
    trainable.begin(batch, seed=0, step=0)
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        hidden = trainable.hidden(batch)
    del hidden
    return sum(kept.values())


def test_layers_computed_twice_keep_a_tenth(tmp_path: Path) -> None:
    found = []
    for number in range(3):
        trainable = Lora(Lora.Settings()).prepare(model_of(tmp_path / str(number)), bf16=False, new_tokens=[], seed=0)
        trainable.recompute(number)
        found.append(kept_bytes(trainable, 200))
    assert found[1] < 0.6 * found[0] and found[2] < 0.15 * found[0]


def test_a_model_without_a_list_of_layers_is_said(tmp_path: Path) -> None:
    trainable = Lora(Lora.Settings()).prepare(model_of(tmp_path), bf16=False, new_tokens=[], seed=0)
    trainable.base.model.layers = torch.nn.Sequential(*trainable.base.model.layers)
    with pytest.raises(BurilError, match="T140"):
        trainable.recompute(1)
