"""The stage export: bundles of a tiny model with an adapter, in every way that they can be wrong."""

from __future__ import annotations

import json
import math
import random
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
gguf = pytest.importorskip("gguf")
for package in ("transformers", "peft", "xllamacpp"):
    pytest.importorskip(package)

from buril.chain import Chain  # noqa: E402
from buril.core.artifact import Artifact  # noqa: E402
from buril.core.errors import BurilError  # noqa: E402
from buril.export.exporters.gguf import Gguf  # noqa: E402
from buril.export.exporters.safetensors import Safetensors  # noqa: E402
from buril.export.learnt import expression  # noqa: E402
from buril.export.parity import Answers, Limit, Questions, _agreed, compare, judge  # noqa: E402
from buril.export.stage import Export  # noqa: E402
from buril.generators._bundle import digest_of_bundle, read_bundle  # noqa: E402
from buril.generators._generator import Request  # noqa: E402
from buril.generators.transformers import Transformers  # noqa: E402
from tests.generators.tiny import TEXT  # noqa: E402

from .small import export, inputs  # noqa: E402

KEYS = {"format", "name", "created", "digest", "made_from", "formats", "data", "base", "fills_in", "files"}
PART = {"name", "format", "version", "bits", "main", "engines", "usage", "parity"}
PARITY = {
    "tokens", "prompts", "first_difference", "max_logprob", "mean_logprob", "reference_perplexity", "perplexity",
    "perplexity_change", "perplexity_error", "text_tokens", "held", "problem",
}  # fmt: skip


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Artifact]:
    return inputs(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def bundle(model: dict[str, Artifact], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return export(model, tmp_path_factory.mktemp("out") / "export")


@pytest.fixture
def copy(bundle: Path, tmp_path: Path) -> Path:
    return shutil.copytree(bundle, tmp_path / "copy")


def code_of(call: Any) -> tuple[str, str]:
    with pytest.raises(BurilError) as caught:
        call()
    return caught.value.code, str(caught.value)


def content(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "bundle.json").read_text(encoding="utf-8"))
    return found


def rewrite(folder: Path, *, signed: bool = True, **changes: Any) -> None:
    """Change `bundle.json`, its digest as well, as who is up to no good would."""
    told = {**content(folder), **changes}
    if signed:
        told["digest"] = digest_of_bundle(told)
    (folder / "bundle.json").write_text(json.dumps(told), encoding="utf-8")


# --- what is in a bundle


def test_a_bundle_says_what_it_is(bundle: Path, model: dict[str, Artifact]) -> None:
    told = content(bundle)
    assert told.keys() == KEYS
    assert all(part.keys() == PART and part["parity"].keys() == PARITY for part in told["formats"])
    assert [part["name"] for part in told["formats"]] == ["safetensors", "gguf-q8_0"]
    assert told["made_from"].keys() == {"base", "tokenizer", "train"}
    assert told["made_from"]["train"]["digest"] == model["train"].digest
    assert told["name"] == "toy" and told["fills_in"] is True
    assert told["data"] == {
        "digests": {"split": model["split"].digest}, "files": 4, "unknown": 1, "counted": "read",
        "licenses": {"MIT": 2, "GPL-2.0-only OR BSD-3-Clause": 1}, "expression": "(GPL-2.0-only OR BSD-3-Clause) AND MIT",
    }  # fmt: skip
    listed = {entry["path"] for entry in told["files"]}
    there = {path.relative_to(bundle).as_posix() for path in bundle.rglob("*") if path.is_file()}
    assert listed == there - {"bundle.json"}
    assert {"fim.json", "README.md", "config/config.json", "safetensors/adapter/adapter_config.json"} <= listed
    assert str(model["base"].folder.parent) not in (bundle / "bundle.json").read_text()
    readme = (bundle / "README.md").read_text()
    assert "AND MIT" in readme and "gguf-q8_0/model-q8_0.gguf" in readme and "from_pretrained" in readme


def test_the_merged_weights_are_the_model(bundle: Path, model: dict[str, Artifact]) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    told = content(bundle)["formats"][0]
    assert told["bits"] == 32 and told["parity"]["tokens"] == 1.0 and told["parity"]["prompts"] == "10/10"
    merged, report = AutoModelForCausalLM.from_pretrained(bundle / "safetensors", output_loading_info=True)
    assert not report["missing_keys"] and not report["unexpected_keys"]
    assert merged.config.tie_word_embeddings and "lm_head.weight" not in _stored(bundle / "safetensors")
    assert AutoTokenizer.from_pretrained(bundle / "safetensors").chat_template
    reference = Transformers(Transformers.Settings(dtype="fp32"))
    adapter = model["train"].path("adapter")
    reference.open(model["base"].folder, model["tokenizer"].folder, adapter_dir=adapter)
    ids = torch.tensor([reference.encode(TEXT)[:99]])
    with torch.no_grad():
        wanted, found = reference.loaded.model(ids).logits, merged(ids).logits
    assert torch.allclose(wanted, found, atol=1e-4)
    beside = bundle / "safetensors/adapter/adapter_model.safetensors"
    assert beside.read_bytes() == (adapter / "adapter_model.safetensors").read_bytes()


def _stored(folder: Path) -> set[str]:
    from safetensors import safe_open

    with safe_open(folder / "model.safetensors", framework="pt") as file:
        return set(file.keys())


def test_every_engine_opens_it(bundle: Path) -> None:
    found = read_bundle(bundle)
    assert found.engines() == ["transformers", "llamacpp", "openvino"]
    request = Request(TEXT[:40], max_tokens=6)
    firsts, means = [], []
    for engine, told in (("transformers", {"dtype": "fp32"}), ("llamacpp", {"threads": 1, "cache_mb": 4})):
        generator = found.open(engine, **told)
        firsts.append(next(generator.complete([request]))[0].tokens[:1])
        means.append(float(generator.score([generator.encode(TEXT)[:60]])[0].mean()))
    assert firsts[0] == firsts[1] and means[0] == pytest.approx(means[1], abs=0.1)
    assert code_of(lambda: found.open("vllm"))[0] == "V104"


def test_a_file_for_llama_cpp_alone_needs_no_weights_beside_it(model: dict[str, Artifact], tmp_path: Path) -> None:
    made = export(model, tmp_path / "export", {"gguf": "f16"}, {"gguf": "q4_0"}, parity="report")
    assert not list(made.rglob("*.safetensors"))
    found = read_bundle(made)
    assert found.engines() == ["llamacpp"] and [part.bits for part in found.parts] == [16, 4]
    generator = found.open(threads=1, cache_mb=4)
    assert generator.loaded.fim["middle"] == 3
    assert np.isfinite(generator.score([generator.encode(TEXT)[:50]])[0]).all()
    sizes = [(made / part.name / part.main).stat().st_size for part in found.parts]
    assert sizes[1] < sizes[0]
    kinds = {item.name: item.tensor_type.name for item in gguf.GGUFReader(made / "gguf-q4_0/model-q4_0.gguf").tensors}
    assert kinds["token_embd.weight"] == "Q8_0" and kinds["blk.0.ffn_up.weight"] == "Q4_0"
    assert kinds["output_norm.weight"] == "F32"


def test_a_whole_training_and_weights_of_16_bits(tmp_path: Path) -> None:
    whole = inputs(tmp_path / "whole", dtype=torch.bfloat16, adapter=False)
    made = export(whole, tmp_path / "export", "safetensors", parity="report")
    told = content(made)["formats"][0]
    assert told["bits"] == 16 and not (made / "safetensors/adapter").exists()
    assert json.loads((made / "config/config.json").read_text())["dtype"] == "bfloat16"


def test_the_bytes_are_the_same_again(model: dict[str, Artifact], bundle: Path, tmp_path: Path) -> None:
    again = export(model, tmp_path / "export")
    assert content(again)["digest"] == content(bundle)["digest"]
    assert (again / "gguf-q8_0/model-q8_0.gguf").read_bytes() == (bundle / "gguf-q8_0/model-q8_0.gguf").read_bytes()


# --- what is refused


@pytest.mark.parametrize(
    "name",
    ["fim.json", "README.md", "config/tokenizer.json", "safetensors/model.safetensors", "gguf-q8_0/model-q8_0.gguf",
     "safetensors/adapter/adapter_model.safetensors"],
)  # fmt: skip
def test_a_changed_a_shortened_and_a_missing_file_are_refused(copy: Path, name: str) -> None:
    path = copy / name
    whole = bytearray(path.read_bytes())
    middle = len(whole) // 2
    path.write_bytes(bytes(whole[:middle]) + bytes([whole[middle] ^ 1]) + bytes(whole[middle + 1 :]))
    code, said = code_of(lambda: read_bundle(copy))
    assert code == "V102" and name in said
    read_bundle(copy, check="sizes")
    path.write_bytes(whole[:-1])
    assert code_of(lambda: read_bundle(copy, check="sizes"))[0] == "V102"
    path.unlink()
    assert code_of(lambda: read_bundle(copy, check="sizes"))[0] == "V102"


def test_what_is_not_listed_is_refused(copy: Path) -> None:
    (copy / "safetensors/modeling_evil.py").write_text("import os\n")
    code, said = code_of(lambda: read_bundle(copy))
    assert code == "V102" and "modeling_evil.py" in said


def test_links_are_refused(copy: Path, tmp_path: Path) -> None:
    fim = copy / "fim.json"
    shutil.copyfile(fim, tmp_path / "outside.json")
    fim.unlink()
    fim.symlink_to(tmp_path / "outside.json")
    assert code_of(lambda: read_bundle(copy))[0] == "V103"
    fim.unlink()
    shutil.copyfile(tmp_path / "outside.json", fim)
    read_bundle(copy)
    (copy / "more").symlink_to(tmp_path, target_is_directory=True)
    assert code_of(lambda: read_bundle(copy, check="sizes"))[0] == "V103"


@pytest.mark.parametrize(
    "name", ["../secret", "/etc/passwd", "a/../../b", "a\\b", "", "C:x", "./fim.json", "bundle.json"]
)
def test_paths_that_lead_out_are_refused(copy: Path, name: str) -> None:
    rewrite(copy, files=[*content(copy)["files"], {"path": name, "bytes": 0, "sha256": "0" * 64}])
    assert code_of(lambda: read_bundle(copy))[0] == "V103"


def test_a_format_may_not_lie_outside_either(copy: Path) -> None:
    parts = content(copy)["formats"]
    rewrite(copy, formats=[{**parts[0], "name": ".."}, *parts[1:]])
    assert code_of(lambda: read_bundle(copy))[0] == "V103"


def test_a_changed_record_is_refused(copy: Path) -> None:
    rewrite(copy, signed=False, name="other")
    assert code_of(lambda: read_bundle(copy))[0] == "V102"
    rewrite(copy, name="other")
    assert read_bundle(copy).name == "other", "a digest is no signature"


def test_what_is_no_bundle_is_told(copy: Path, tmp_path: Path) -> None:
    assert code_of(lambda: read_bundle(tmp_path))[0] == "V100"
    rewrite(copy, format=2)
    assert code_of(lambda: read_bundle(copy))[0] == "V101"
    for text in ("{", "[]", "{}", '{"format": 1}', '{"format": 1, "files": [1]}', "[" * 100_000):
        (copy / "bundle.json").write_text(text)
        assert code_of(lambda: read_bundle(copy))[0] == "V100", text[:20]


# --- parity


def test_broken_weights_fail_and_leave_nothing(
    model: dict[str, Artifact], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from safetensors.torch import load_file, save_file

    write = Safetensors.write

    def broken(self: Safetensors, source: Any, folder: Path) -> None:
        write(self, source, folder)
        weights = load_file(folder / "model.safetensors")
        weights["model.layers.1.mlp.down_proj.weight"] *= -1
        save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})

    monkeypatch.setattr(Safetensors, "write", broken)
    code, said = code_of(lambda: export(model, tmp_path / "export", "safetensors"))
    assert code == "V105" and "safetensors" in said and "log-probability" in said
    left = [path for path in (tmp_path / "export").rglob("*") if path.name == "safetensors"]
    assert not left and not (tmp_path / "export/bundle/bundle.json").exists()
    told = content(export(model, tmp_path / "other", "safetensors", parity="report"))["formats"][0]["parity"]
    assert not told["held"] and told["problem"] and told["tokens"] < 1 and told["first_difference"]


def test_an_interrupted_stage_goes_on(
    model: dict[str, Artifact], bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(Gguf, "open", _interrupt)
        with pytest.raises(KeyboardInterrupt):
            export(model, tmp_path / "export")
    place = tmp_path / "export"
    first = (place / "bundle/safetensors/model.safetensors").stat().st_ino
    assert not list(place.rglob("*.gguf")), "a half-written format stayed"
    for left in (place / ".scratch/gguf-q8_0", place / "bundle/gguf-q8_0"):  # as a process that is killed leaves it
        left.mkdir()
        (left / "half.gguf").write_bytes(b"GGUF")
    made = export(model, place)
    assert (made / "safetensors/model.safetensors").stat().st_ino == first
    assert content(made)["digest"] == content(bundle)["digest"] and not (place / ".scratch").exists()
    read_bundle(made)


def _interrupt(*_told: Any) -> None:
    raise KeyboardInterrupt


def test_limits_judge_each_number() -> None:
    limit = Limit(perplexity=0.01, logprob=0.1, tokens=0.5)
    found = {"perplexity_change": -0.009, "perplexity_error": 0.0, "mean_logprob": 0.1, "tokens": 0.5}
    assert judge(found, limit) == []
    assert len(judge({**found, "perplexity_change": -0.011, "mean_logprob": 0.2, "tokens": 0.4}, limit)) == 3
    assert judge({**found, "perplexity_change": -0.011, "perplexity_error": 0.0006}, limit) == []  # chance explains it
    assert judge({**found, "perplexity_change": 0.02, "perplexity_error": 0.004}, limit)
    assert judge({**found, "mean_logprob": None}, limit)


def test_the_error_of_a_change_is_that_of_its_mean() -> None:
    """Over many texts whose true change is known, the change lies within two standard errors as often as it should."""
    drawn, asked = random.Random(3), Questions(((1,),), tuple(range(401)), ("code 1",))
    within = 0
    for _text in range(400):
        before = [-drawn.expovariate(0.5) for _token in range(400)]
        after = [score - drawn.gauss(0.01, 0.1) for score in before]
        found = compare(asked, Answers(((),), tuple(before)), Answers(((),), tuple(after)))
        within += abs(found["perplexity_change"] - (math.exp(0.01) - 1)) < 2 * found["perplexity_error"]
    assert 0.92 < within / 400 < 0.98


def test_tokens_agree_up_to_the_first_difference() -> None:
    assert _agreed((1, 2, 3), (1, 2, 3)) == 4
    assert _agreed((1, 2, 3), (1, 9, 3)) == 1
    assert _agreed((1, 2), (1, 2, 3)) == 2
    assert _agreed((), (5,)) == 0


# --- settings and the chain


def test_two_of_a_kind_are_refused() -> None:
    assert code_of(lambda: Export(Export.Settings(formats=["gguf", {"gguf": "q8_0"}])))[0] == "V107"
    names = [item.make().name() for item in Export.Settings(formats=["gguf", {"gguf": "f16"}]).formats]
    assert names == ["gguf-q8_0", "gguf-f16"]


def test_one_expression_for_many_licences() -> None:
    assert expression({"MIT": 1}) == "MIT" and expression({}) == ""
    assert expression({"A OR B": 1}) == "A OR B" and expression({"A OR B": 1, "C": 2}) == "(A OR B) AND C"


def test_the_chain_says_whose_model_it_is(tmp_path: Path) -> None:
    (tmp_path / "code").mkdir()
    chain = {"name": "acme", "collect": [{"folder": {"path": "code"}}], "train": {"base": "scratch"}}
    for more, whose, data in (
        ({}, "train", {"split", "pack"}),
        ({"pairs": ["templates"], "align": {}}, "align", {"split", "pairs", "pack", "train"}),
    ):
        made = Chain.from_values({**chain, **more, "export": ["safetensors"]}, tmp_path).stages()
        stage = next(item for item in made if item.name == "export")
        assert stage.settings.model == whose and stage.settings.called == "acme"
        assert set(stage.settings.data) == data
        assert set(stage.needs()) == {"base", "tokenizer", whose} | data
