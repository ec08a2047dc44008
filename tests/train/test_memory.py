"""What is computed before a training: counts against what torch keeps, estimates, and the probe that corrects them."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner

from buril.cli import plan as plan_command
from buril.core.artifact import Artifact
from buril.core.errors import BurilError
from buril.core.estimate import Past
from buril.core.settings import Settings
from buril.core.stage import Output
from buril.core.store import Store
from buril.tokens.pack import Pack
from buril.tokens.tokenizer import Tokenizer
from buril.train import attention, expect, memory, probe
from buril.train.base import Base
from buril.train.memory import Load, Method, Model, activations, layers_twice
from buril.train.methods.full import Full
from buril.train.methods.lora import Lora
from buril.train.monitor import Work
from buril.train.objectives import _head
from buril.train.stage import Train, count
from tests.train.small import write_base, write_tokenizer
from tests.train.test_loop import sequence, stage
from tests.train.test_methods import kept_bytes


def model_of(kind: str, *, layers: int = 3) -> tuple[Any, Model]:
    from transformers import LlamaConfig, LlamaForCausalLM, Qwen2Config, Qwen2ForCausalLM

    torch.manual_seed(0)
    config, cls = (LlamaConfig, LlamaForCausalLM) if kind == "llama" else (Qwen2Config, Qwen2ForCausalLM)
    model = cls(
        config(
            vocab_size=256, hidden_size=128, intermediate_size=352, num_hidden_layers=layers, num_attention_heads=4,
            num_key_value_heads=2, max_position_embeddings=4096, tie_word_embeddings=kind == "qwen2",
        )
    )  # fmt: skip
    return model, Model.of(model.config.to_dict())


# --- counts


def test_the_numbers_taken_over_are_those_of_the_code_that_loads_torch() -> None:
    assert memory.BLOCK == attention.BLOCK
    assert (memory.CHUNK, memory.ROWS) == (_head.CHUNK, _head.ROWS)


@pytest.mark.parametrize("kind", ["llama", "qwen2"])
@pytest.mark.parametrize("told", [{}, {"rank": 3, "targets": ["q_proj", "down_proj"]}])
def test_parameters_are_counted_without_the_model(kind: str, told: dict[str, Any]) -> None:
    model, sizes = model_of(kind)
    method = Lora(Lora.Settings(**told))
    found = count(method.prepare(model, bf16=False, new_tokens=[], seed=0))
    assert Method.of(method).trained(sizes) == found["trainable"]
    assert sizes.parameters == found["parameters"] - found["trainable"]


METHODS: dict[str, Callable[[], Any]] = {
    "lora": lambda: Lora(Lora.Settings()),
    "no dropout": lambda: Lora(Lora.Settings(dropout=0)),
    "some": lambda: Lora(Lora.Settings(rank=4)),
    "full": lambda: Full(Full.Settings()),
}


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize(("length", "kind"), [(96, "llama"), (300, "qwen2"), (1100, "llama")])
def test_the_count_of_activations_is_what_torch_keeps(name: str, length: int, kind: str) -> None:
    """In fp32, to a hundredth. The first layer may keep less: nothing before it is trained."""
    found = []
    for layers, twice in ((1, 0), (3, 0), (3, 2)):
        method = METHODS[name]()
        model, sizes = model_of(kind, layers=layers)
        trainable = method.prepare(model, bf16=False, new_tokens=[], seed=0)
        trainable.recompute(twice)
        found.append(kept_bytes(trainable, length))
    load, stream = Load(length, length, bf16=False), length * sizes.width * 4
    one = memory.layer_activations(sizes, Method.of(method), load)
    assert (found[1] - found[0]) / 2 == pytest.approx(one, rel=0.01)
    assert activations(sizes, Method.of(method), load) == pytest.approx(found[1], abs=3 * stream)
    assert found[2] == pytest.approx(one + 2 * stream, abs=3 * stream)


@pytest.mark.parametrize("name", ["lora", "full"])
def test_the_count_holds_in_bf16(name: str) -> None:
    method = METHODS[name]()
    model, sizes = model_of("llama")
    kept = kept_bytes(method.prepare(model, bf16=True, new_tokens=[], seed=0), 600)
    assert activations(sizes, Method.of(method), Load(600, 600, bf16=True)) == pytest.approx(kept, rel=0.1)


def test_layers_are_computed_twice_until_it_fits() -> None:
    sizes = model_of("llama")[1]
    method, load = Method(whole=False), Load(2048, 1024, bf16=False)
    totals = [memory.memory(sizes, method, replace(load, twice=twice)).total for twice in range(3)]
    assert totals[0] > totals[1] > totals[2]
    for twice, total in enumerate(totals):
        assert layers_twice(sizes, method, load, free=total) == twice
    assert layers_twice(sizes, method, load, free=totals[0] * 2) == 0
    assert layers_twice(sizes, method, load, free=1) == 3


def test_four_bits_and_few_layers_take_less() -> None:
    config = {
        "vocab_size": 32000, "hidden_size": 4096, "intermediate_size": 11008, "num_hidden_layers": 32,
        "num_attention_heads": 32, "num_key_value_heads": 32, "tie_word_embeddings": False, "torch_dtype": "bfloat16",
    }  # fmt: skip
    sizes, load = Model.of(config), Load(2048, 2048, bf16=True, gpu=True)
    assert sizes.parameters == 6_738_415_616  # Llama-2-7B
    plain, four = (memory.memory(sizes, Method(False, four_bit=bits), load) for bits in (None, memory.NF4_BYTES))
    assert plain.weights == 2 * sizes.parameters and four.weights / plain.weights == pytest.approx(0.29, abs=0.01)
    assert memory.memory(sizes, Method(True), load).trained == 12 * sizes.parameters


def test_loading_copies_what_is_used_in_another_format() -> None:
    """Matrices beside adapters stay in the pages of a 16-bit file; what is copied is there twice for a moment."""
    config, four = model_of("qwen2")[0].config.to_dict(), Method(False, four_bit=memory.NF4_BYTES)
    for kind, file_bytes in (("bfloat16", 2), ("float32", 4)):
        sizes, load = Model.of(config | {"torch_dtype": kind, "dtype": kind}), Load(128, 128, bf16=False)
        copied = 2 if file_bytes == 2 else 0
        wanted = {Method(False): copied * sizes.table, Method(True, quick=False): copied * sizes.parameters}
        for method, more in {**wanted, four: copied * sizes.table + 64 * 128 * 352}.items():
            found = memory.memory(sizes, method, load)
            assert found.loading == found.libraries + found.weights + more
        lora = memory.memory(sizes, Method(False), load)
        assert lora.weights == file_bytes * sizes.linear + 4 * (sizes.parameters - sizes.linear)
        on_gpu = memory.memory(sizes, Method(False), replace(load, gpu=True))
        assert on_gpu.loading == on_gpu.libraries + on_gpu.weights


@pytest.mark.parametrize("kind", ["llama", "qwen2"])
def test_the_plan_and_the_monitor_count_the_same_operations(kind: str) -> None:
    model, sizes = model_of(kind)
    trainable = Full(Full.Settings()).prepare(model, bf16=False, new_tokens=[], seed=0)
    load = Load(100, 100, bf16=False)
    counted = memory.operations(sizes, Method(True, quick=False), load)
    assert Work(trainable).of([sequence(0, [100, 100])]) == pytest.approx(200 * counted)
    assert memory.operations(sizes, Method(False), load) < counted
    again = memory.operations(sizes, Method(True, quick=False), replace(load, twice=3)) - counted
    assert again == memory.forward_operations(sizes, load) - 2 * sizes.table


# --- estimates


def test_an_estimate_follows_the_settings(inputs: dict[str, Artifact]) -> None:
    found = stage().estimate(inputs, [])
    assert found.basis == "assumed" and found.seconds > expect.START_S and found.ram_mb > 400
    assert "8 steps of about" in found.note and found.disk_mb > 0 and found.gpu_mb == 0
    longer = stage(max_steps=16).estimate(inputs, [])
    assert longer.seconds > found.seconds and longer.ram_mb == found.ram_mb
    whole = stage(method="full").estimate(inputs, [])
    assert whole.disk_mb > found.disk_mb and stage(method="full").work(inputs) > stage().work(inputs)
    assert stage(device="cuda").estimate(inputs, []).gpu_mb > 600


def test_a_probe_corrects_what_was_computed(inputs: dict[str, Artifact]) -> None:
    computed = stage().estimate(inputs, [])
    run = Past(stage().work(inputs) / 2, 100.0, 300.0, 1.0)
    probed = Past(stage().work(inputs) / 100, 1.0, 600.0, 0.0, expected_ram_mb=500.0)
    found = stage().estimate(inputs, [probed, run])
    assert found.basis == "measured" and found.seconds == pytest.approx(200)
    assert found.ram_mb == pytest.approx(computed.ram_mb * 1.2)
    for told in (computed, found):  # the parts that a plan names are what it says in all
        parts = [float(number) for number in re.findall(r"(-?[0-9.]+) GB", told.note)]
        assert sum(parts) * 1000 == pytest.approx(told.ram_mb, abs=40)
    assert "by the last probe 0.1" in found.note and "probe" not in computed.note


def test_auto_takes_the_memory_that_is_free(
    inputs: dict[str, Artifact], make_artifact: Callable[..., Artifact], monkeypatch: pytest.MonkeyPatch
) -> None:
    full = make_artifact(stage(max_steps=1), inputs, folder="much")
    assert full.json("logs/machine.json")["checkpoint_layers"] == 0
    monkeypatch.setattr(expect, "memory_mb", lambda: (1.0, 1.0))
    tight = make_artifact(stage(max_steps=1), inputs, folder="little")
    assert tight.json("logs/machine.json")["checkpoint_layers"] == 2
    assert tight.path("curve.json").read_bytes() == full.path("curve.json").read_bytes()


# --- the probe


@pytest.mark.slow
def test_a_probe_measures_a_process_of_its_own(inputs: dict[str, Artifact], tmp_path: Path) -> None:
    before = {path for artifact in inputs.values() for path in artifact.folder.rglob("*")}
    found = probe.probe(stage(method="full").settings, inputs, tmp_path / "probe", steps=3)
    assert found.steps == 3 and found.tokens > 0 and found.tokens_per_s > 0 and 300 < found.ram_mb < 3000
    assert found.work > 0 and found.expected_mb > 400
    assert before == {path for artifact in inputs.values() for path in artifact.folder.rglob("*")}


def test_a_probe_ends_when_its_time_is_over(inputs: dict[str, Artifact], tmp_path: Path) -> None:
    folders = {name: str(artifact.folder) for name, artifact in inputs.items()}
    found = probe.measure(stage(max_steps=50).settings, folders, str(tmp_path), 0.0)
    assert found["steps"] == 1


class Deadly(Settings):
    """Settings that end the process which unpickles them, as the kernel does for memory."""

    name: str = "deadly"

    def __reduce__(self) -> Any:
        return (os._exit, (9,))


def test_a_probe_that_is_killed_is_said(inputs: dict[str, Artifact], tmp_path: Path) -> None:
    settings = stage().settings.model_copy(update={"objective": Deadly()})
    with pytest.raises(BurilError) as raised:
        probe.probe(settings, inputs, tmp_path / "probe")
    assert raised.value.code == "T141"


@pytest.mark.slow
def test_a_probe_makes_what_it_needs_and_asks_for_the_rest(tmp_path: Path) -> None:
    base, tokenizer = write_base(tmp_path / "base"), write_tokenizer(tmp_path / "tok")
    for path in (tokenizer.folder / "tokenizer").iterdir():
        (base.folder / "model" / path.name).write_bytes(path.read_bytes())
    stages: dict[str, Any] = {
        "base": Base(Base.Settings(base=str(base.folder / "model"))),
        "tokenizer": Tokenizer(Tokenizer.Settings(reuse="base", fim=False)),
        "pack": Pack(Pack.Settings(max_length=64)),
    }
    made = probe.probe_inputs(stages, {}, tmp_path / "made")
    assert made["pack"].json("summary.json")["max_length"] == 64
    found = probe.probe(Train.Settings(threads=1, precision="fp32"), made, tmp_path / "probe", steps=2)
    assert found.steps == 2
    stages |= {
        "base": Base(Base.Settings(base="scratch")),
        "tokenizer": Tokenizer(Tokenizer.Settings(reuse=None, train="bpe")),
    }
    with pytest.raises(BurilError, match="run --until tokenizer") as raised:
        probe.probe_inputs(stages, {}, tmp_path / "scratch")
    assert raised.value.code == "T142"
    with pytest.raises(BurilError) as raised:
        probe.probe_inputs(
            {**stages, "base": Base(Base.Settings(base="./gone")), "tokenizer": Tokenizer(Tokenizer.Settings())}, {},
            tmp_path / "none",
        )  # fmt: skip
    assert raised.value.code.startswith("T0")


@pytest.mark.slow
def test_the_plan_tells_and_remembers_a_probe(tmp_path: Path, output: Callable[..., Output]) -> None:
    base, tokenizer = write_base(tmp_path / "base"), write_tokenizer(tmp_path / "tok")
    for path in (tokenizer.folder / "tokenizer").iterdir():
        (base.folder / "model" / path.name).write_bytes(path.read_bytes())
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "a.py").write_text("x = 1\n")
    config = tmp_path / "buril.yaml"
    config.write_text(
        "collect: [{folder: {path: code, license: mit}}]\ntokenizer: {reuse: base, fim: false}\n"
        f"train: {{base: {base.folder / 'model'}, max_length: 64, threads: 1, precision: fp32}}\n"
    )
    told = ["-c", str(config), "--store", str(tmp_path / "store")]
    found = CliRunner().invoke(plan_command.command, [*told, "--probe", "2", "--json"])
    assert found.exit_code == 0, found.output
    assert json.loads(found.stdout)["probe"]["steps"] == 2
    store = Store(tmp_path / "store")
    assert [run.expected_ram_mb > 0 for run in store.past("train")] == [True]
    assert not list(store.artifacts())
    shown = CliRunner().invoke(plan_command.command, [*told, "--probe", "2"])
    assert "tokens/s" in shown.stdout and "were expected" in shown.stdout and len(store.past("train")) == 2
