"""Adapters beside each other: each row gets what the merged model would write, whoever its neighbours are."""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("peft")

from peft import LoraConfig, PeftModel, get_peft_model  # noqa: E402

from buril.core.errors import BurilError  # noqa: E402
from buril.generators._adapters import Stack, layers_of, read  # noqa: E402
from buril.generators._generator import Adapter, Request, capabilities  # noqa: E402
from buril.generators._load import Loaded, merged  # noqa: E402
from buril.generators.transformers import Transformers  # noqa: E402
from tests.generators.tiny import TEXT, make, named_tokenizer  # noqa: E402

ENGINES = ("openvino", "transformers")
PROMPT = TEXT[:180]  # longer than a block of the cache
KINDS: dict[str, dict[str, Any]] = {
    "wide": {"r": 8, "lora_alpha": 16, "target_modules": "all-linear"},
    "thin": {"r": 2, "lora_alpha": 3, "target_modules": ["q_proj", "down_proj"], "use_rslora": True},
    "mixed": {
        "r": 4, "lora_alpha": 8, "target_modules": ["v_proj", "o_proj", "up_proj"],
        "rank_pattern": {"o_proj": 6}, "alpha_pattern": {"layers.1.self_attn.v_proj": 20},
    },
}  # fmt: skip


def write_adapter(folder: Path, seed: int, **told: Any) -> Path:
    """A PEFT folder whose matrices are random, none of them zero."""
    model = get_peft_model(make("llama"), LoraConfig(task_type="CAUSAL_LM", init_lora_weights=False, **told))
    torch.manual_seed(seed)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "lora_" in name:
                weight.normal_(std=0.2)
    model.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def tokens(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return named_tokenizer(tmp_path_factory.mktemp("tok"))


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("adapters")
    return {name: write_adapter(root / name, 5 + place, **KINDS[name]) for place, name in enumerate(KINDS)}


def loaded_in(tokens: Path, model: Any) -> Loaded:
    return Loaded(model, tokens / "tokenizer", json.loads((tokens / "fim.json").read_text()))


def made(name: str) -> Any:
    if name == "openvino":
        if find_spec("openvino") is None:
            pytest.skip("openvino is not installed")
        from buril.generators.openvino import Openvino

        return Openvino(Openvino.Settings(precision="fp32", threads=1, cache_mb=8, batch_size=4, batch_tokens=64))
    return Transformers(Transformers.Settings(dtype="fp32", device="cpu", batch_size=4))


def engine_with(name: str, tokens: Path, given: Mapping[str, Adapter]) -> Any:
    found = made(name)
    found.adapters(given)
    found.use(loaded_in(tokens, make("llama")))
    return found


def alone(tokens: Path, folder: Path | None, strength: float = 1.0) -> list[str]:
    """What the reference writes with the adapter merged into the weights, its strength by PEFT's own scale."""
    model = make("llama")
    if folder is not None:
        model = PeftModel.from_pretrained(model, str(folder))
        for module in model.modules():
            if hasattr(module, "set_scale"):
                module.set_scale("default", strength)
        model = merged(model)
    reference = made("transformers")
    reference.use(loaded_in(tokens, model))
    return [found[0].text for found in reference.complete(requests(""))]


def requests(adapter: str) -> list[Request]:
    prompts = [PROMPT, PROMPT[:50], TEXT[20:75]]
    return [Request(prompt, max_tokens=12, adapter=adapter) for prompt in prompts]


def written(session: Any, asked: list[Request]) -> list[str]:
    """What a session writes when one more request joins at each step, and another that joined has gone."""
    rows = [session.rows(request)[0] for request in asked]
    goes = session.rows(Request(PROMPT + "x", max_tokens=40, adapter=asked[0].adapter))
    session.add(goes)
    for row in rows:
        session.add([row])
        session.step()
    session.cancel(goes)
    while len(session):
        session.step()
    return [session.writer.completion(row).text for row in rows]


@pytest.mark.parametrize("name", ENGINES)
def test_rows_of_a_batch_are_written_as_the_merged_models_would(
    name: str, tokens: Path, folders: dict[str, Path]
) -> None:
    given = {kind: Adapter(folder) for kind, folder in folders.items()}
    given |= {"half": Adapter(folders["wide"], 0.5), "none": Adapter(folders["wide"], 0.0)}
    expected = {kind: alone(tokens, folders[kind]) for kind in folders}
    expected |= {"": alone(tokens, None), "half": alone(tokens, folders["wide"], 0.5), "none": alone(tokens, None)}
    assert len({tuple(texts) for texts in expected.values()}) == len(expected) - 1, "all but `none` write otherwise"
    engine = engine_with(name, tokens, given)
    assert capabilities(engine).adapters
    asked = [request for trio in zip(*map(requests, expected), strict=True) for request in trio]
    right = [text for trio in zip(*expected.values(), strict=True) for text in trio]
    assert [found[0].text for found in engine.complete(asked)] == right
    session = engine.session()
    assert written(session, asked) == right, "as they join and leave"
    assert written(session, asked) == right, "with what the cache remembers"


@pytest.mark.parametrize("name", ENGINES)
def test_adapters_come_and_go_between_two_steps(name: str, tokens: Path, folders: dict[str, Path]) -> None:
    expected = {kind: alone(tokens, folders[kind])[0] for kind in folders}
    engine = engine_with(name, tokens, {"one": Adapter(folders["wide"])})
    session = engine.session()
    (row,) = session.rows(requests("one")[0])
    session.add([row])
    session.step()
    engine.adapters({"two": Adapter(folders["thin"]), "one": Adapter(folders["wide"])})  # its columns move
    (other,) = session.rows(requests("two")[0])
    session.add([other])
    while len(session):
        session.step()
    assert session.writer.completion(row).text == expected["wide"]
    assert session.writer.completion(other).text == expected["thin"]
    with pytest.raises(BurilError) as broken:
        engine.adapters({"three": Adapter(folders["mixed"].parent / "nowhere")})
    assert broken.value.code == "V030"
    assert written(session, requests("two")[:1]) == [expected["thin"]], "those before are still there"
    engine.adapters({"one": Adapter(folders["mixed"])})  # the name is another's now
    assert written(session, requests("one")[:1]) == [expected["mixed"]]
    with pytest.raises(BurilError) as gone:
        session.rows(Request("a", adapter="two"))
    assert gone.value.code == "V032"


@pytest.mark.skipif(find_spec("openvino") is None, reason="openvino is not installed")
def test_in_bf16_the_matrices_are_the_same_but_for_their_rounding(tokens: Path, folders: dict[str, Path]) -> None:
    from buril.generators._openvino import cpu_runs_bf16
    from buril.generators.openvino import Openvino

    if not cpu_runs_bf16():
        pytest.skip("this CPU has no instructions for bf16")
    found: dict[str, Any] = {}
    for precision in ("fp32", "bf16"):
        engine = Openvino(Openvino.Settings(precision=precision, threads=1, cache_mb=8, batch_size=4))
        engine.adapters({"wide": Adapter(folders["wide"]), "none": Adapter(folders["wide"], 0.0)})
        engine.use(loaded_in(tokens, make("llama")))
        session, logits = engine.session(), engine.engine._logits
        seen: list[Any] = []

        def kept(*told: Any, logits: Any = logits, seen: list[Any] = seen) -> Any:
            seen.append(logits(*told).copy())
            return seen[-1].copy()

        engine.engine._logits = kept  # type: ignore[method-assign]
        for name in ("wide", "none"):
            session.add(session.rows(Request(PROMPT, max_tokens=1, adapter=name)))
            while len(session):
                session.step()
            found[precision, name] = seen[-1]
    for name in ("wide", "none"):
        near = abs(found["fp32", name] - found["bf16", name]).mean()
        assert near < 0.1 * abs(found["fp32", "wide"] - found["fp32", "none"]).mean(), name


def test_the_same_folder_with_other_content_is_read_again(tmp_path: Path) -> None:
    stack = Stack(layers_of(make("llama")), dtype=torch.float32, device=torch.device("cpu"))
    folder = write_adapter(tmp_path / "a", 1, **KINDS["thin"])
    stack.put({"a": Adapter(folder, digest="1")})
    first = {name: part.first_RI.clone() for name, part in stack.matrices.items()}
    write_adapter(folder, 2, **KINDS["thin"])
    stack.put({"a": Adapter(folder, digest="1"), "b": Adapter(folder, 0.5, digest="1")})
    assert all(torch.equal(part.first_RI, first[name]) for name, part in stack.matrices.items()), "once, and not again"
    stack.put({"a": Adapter(folder, digest="2")})
    name = "model.layers.0.self_attn.q_proj"
    assert not torch.equal(stack.matrices[name].first_RI, first[name])


@pytest.mark.parametrize(
    ("told", "why"),
    [
        ({"use_dora": True}, "use_dora"),
        ({"trainable_token_indices": [3]}, "trainable_token_indices"),
        ({"modules_to_save": ["norm"]}, "modules_to_save"),
    ],
)
def test_what_is_more_than_two_matrices_a_layer_is_refused(tmp_path: Path, told: dict[str, Any], why: str) -> None:
    write_adapter(tmp_path / "a", 1, **{**KINDS["thin"], **told})
    with pytest.raises(BurilError) as refused:
        read(tmp_path / "a", "ours")
    assert refused.value.code == "V030" and why in refused.value.cause and "ours" in refused.value.cause


def test_what_is_no_adapter_of_this_model_is_refused(tmp_path: Path, folders: dict[str, Path]) -> None:
    other = Stack(layers_of(make("llama", hidden_size=32)), dtype=torch.float32, device=torch.device("cpu"))
    with pytest.raises(BurilError, match="of its size"):
        other.put({"a": Adapter(folders["thin"])})
    cut = tmp_path / "cut"
    cut.mkdir()
    (cut / "adapter_config.json").write_bytes((folders["thin"] / "adapter_config.json").read_bytes())
    (cut / "adapter_model.safetensors").write_bytes((folders["thin"] / "adapter_model.safetensors").read_bytes()[:-40])
    with pytest.raises(BurilError) as refused:
        read(cut)
    assert refused.value.code == "V030"
    (cut / "adapter_config.json").write_text("[]")
    (cut / "adapter_model.safetensors").write_bytes((folders["thin"] / "adapter_model.safetensors").read_bytes())
    with pytest.raises(BurilError, match="no LoRA"):
        read(cut)


def test_an_engine_that_has_no_room_for_adapters_says_so(tokens: Path) -> None:
    from buril.generators.file import File
    from buril.generators.llamacpp import Llamacpp
    from buril.generators.openai import Openai

    with pytest.raises(BurilError) as refused:
        Llamacpp(Llamacpp.Settings()).adapters({})
    assert refused.value.code == "V031" and "llamacpp" in refused.value.cause
    asked = [Request("a", adapter="one")]
    for other in (Openai(Openai.Settings(url="http://127.0.0.1:1/v1", model="m")), File(File.Settings(path="none"))):
        with pytest.raises(BurilError) as refused:
            list(other.complete(asked))
        assert refused.value.code == "V031"
    plain = made("transformers")
    plain.use(loaded_in(tokens, make("llama")))
    with pytest.raises(BurilError) as unknown:
        list(plain.complete([Request("a", adapter="one")]))
    assert unknown.value.code == "V032"
