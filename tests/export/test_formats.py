"""The formats of other engines: each gives the model back, read by its own engine; a model without a place is refused."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
pytest.importorskip("peft")

from buril.core.errors import BurilError  # noqa: E402
from buril.export.exporters._exporter import Source  # noqa: E402
from buril.export.merge import folders  # noqa: E402
from buril.generators._bundle import read_bundle  # noqa: E402
from buril.generators._generator import Request  # noqa: E402
from buril.generators.transformers import Transformers  # noqa: E402
from tests.generators.tiny import SIZES, TEXT  # noqa: E402

from .small import export, inputs  # noqa: E402


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def parities(bundle: Path) -> dict[str, Any]:
    told = json.loads((bundle / "bundle.json").read_text(encoding="utf-8"))
    return {part["name"]: {**part["parity"], "bits": part["bits"]} for part in told["formats"]}


@pytest.mark.slow
def test_onnx_is_the_model(tmp_path: Path) -> None:
    if find_spec("onnxruntime_genai") is None:  # importing it is left to the place that keeps it from telling others
        pytest.skip("onnxruntime-genai is not installed")
    model = inputs(tmp_path / "model")
    bundle = export(model, tmp_path / "export", {"onnx": "fp32"}, {"onnx": "int8"}, parity="report")
    found = parities(bundle)
    assert found["onnx-fp32"]["bits"] == 32 and found["onnx-fp32"]["tokens"] == 1.0
    assert found["onnx-fp32"]["mean_logprob"] < 1e-4 < found["onnx-int8"]["mean_logprob"] < 0.3
    assert (bundle / "onnx-fp32/genai_config.json").is_file()
    read = read_bundle(bundle)
    assert read.engines() == ["onnx"] and read.parts[0].engines == ("onnx", "onnxruntime-genai")
    generator = read.open(threads=1, cache_mb=8)  # the first of its format: the exact one
    made = Transformers(Transformers.Settings(dtype="fp32", device="cpu"))
    made.open(**folders(*(model[name] for name in ("base", "tokenizer", "train"))))
    requests = [Request(TEXT[:place], max_tokens=8) for place in (20, 33)] + [Request("a =", suffix="b", max_tokens=4)]
    written = [[found[0].tokens for found in one.complete(requests)] for one in (generator, made)]
    assert written[0] == written[1]


def test_openvino_is_the_model(tmp_path: Path) -> None:
    pytest.importorskip("openvino_tokenizers")
    formats = ({"openvino": "fp16"}, "openvino")
    bundle = export(inputs(tmp_path / "model"), tmp_path / "export", *formats, parity="report")
    found = parities(bundle)
    assert found["openvino-fp16"]["mean_logprob"] < 0.01 < found["openvino-int8"]["mean_logprob"] < 0.3
    there = {path.name for path in (bundle / "openvino-int8").iterdir()}
    assert {"openvino_model.xml", "openvino_model.bin", "openvino_tokenizer.xml", "openvino_detokenizer.xml",
            "config.json", "generation_config.json"} <= there  # fmt: skip


def test_openvino_genai_writes_with_it(tmp_path: Path) -> None:
    engine = pytest.importorskip("openvino_genai")
    bundle = export(
        inputs(tmp_path / "model"), tmp_path / "export", "safetensors", {"openvino": "fp16"}, parity="report"
    )
    place = str(bundle / "openvino-fp16")
    pipeline = engine.LLMPipeline(place, "CPU", ATTENTION_BACKEND="SDPA", INFERENCE_PRECISION_HINT="f32")
    text = pipeline.generate("def add(", max_new_tokens=6, do_sample=False, apply_chat_template=False)
    model = transformers.AutoModelForCausalLM.from_pretrained(bundle / "safetensors", dtype="float32")
    tokenizer = transformers.AutoTokenizer.from_pretrained(bundle / "safetensors")
    told = tokenizer("def add(", return_tensors="pt")
    written = model.generate(**told, max_new_tokens=6, do_sample=False)[0][told["input_ids"].shape[1] :]
    assert text == tokenizer.decode(written, skip_special_tokens=True)


@pytest.mark.slow
def test_the_builder_says_what_it_does_not_know(tmp_path: Path) -> None:
    if find_spec("onnxruntime_genai") is None:  # importing it is left to the place that keeps it from telling others
        pytest.skip("onnxruntime-genai is not installed")
    from buril.export.exporters.onnx import Onnx

    told = {key: SIZES[key] for key in ("vocab_size",)}
    config = transformers.AutoConfig.for_model("gpt2", n_embd=32, n_layer=1, n_head=2, **told)
    transformers.AutoModelForCausalLM.from_config(config).save_pretrained(tmp_path / "model")
    (tmp_path / "out").mkdir()
    with pytest.raises(BurilError) as caught:
        Onnx(Onnx.Settings()).write(Source(tmp_path / "model", tmp_path / "model"), tmp_path / "out")
    assert caught.value.code == "V106" and "onnx-int8" in str(caught.value)
