"""A loaded model as one GGUF file, written a few rows at a time: its weights, what shapes them, and its tokenizer.

Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md, written with gguf-py. Architectures: `llama` (Mistral
too) and `qwen2`. llama.cpp rotates neighbouring numbers of a llama's q and k, Hugging Face those half a head apart, so
their rows are put in another order; a qwen2 is rotated as at Hugging Face. Matrices take the format that is asked for,
norms and biases float32. bf16 holds a bf16 model exactly; f16 does but for numbers below
2**-17, which it moves by 2**-25 at most.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from buril.core.artifact import atomic
from buril.core.errors import BurilError
from buril.core.text import _
from buril.generators._gguf_format import name_of
from buril.generators._gguf_vocabulary import NoPlace, chat_template, special_ids, vocabulary
from buril.generators._merge import parts

if TYPE_CHECKING:
    import torch
    from gguf import GGMLQuantizationType, GGUFWriter
    from transformers import PreTrainedModel

    from buril.generators._load import Loaded

ARCHITECTURES = {"llama": "llama", "mistral": "llama", "qwen2": "qwen2"}
"""Hugging Face's name, and that of the format."""
FACTORS = ("linear", "llama3")
"""Scaled rotary embeddings that are factors on the frequencies, whatever the text's length, and nothing else."""
FILE_TYPES = {"f16": 1, "q4_0": 2, "q4_1": 3, "q8_0": 7, "bf16": 32}
FINER = {"q4_0": "q8_0", "q4_1": "q8_0"}
"""What the embedding and the output matrix have in a file of four bits: each of their rows is a whole token."""
TABLES = ("token_embd.weight", "output.weight")
"""Matrices with a row for each token."""
CHUNK = 1 << 22
"""Numbers in memory at one time, as float32: 16 MB."""
MOST_FP16 = 65504.0
ALIGNMENT = 32
VERSION = 1
"""Of the bytes that are written: a file of another version is another file."""

Weights = Literal["bf16", "f16", "q8_0", "q4_1", "q4_0"]


@dataclass(frozen=True)
class Tensor:
    """A tensor of the file, not yet read."""

    shape: tuple[int, ...]
    kind: GGMLQuantizationType
    make: Callable[[], torch.Tensor]


def write(loaded: Loaded, path: Path, *, weights: Weights, source: str, bare: bool = False) -> None:
    """Write a model; its adapter, where it has one, is merged into the weights layer by layer, which uses it up.

    Args:
        loaded: the model. Without an adapter it is read and not changed.
        path: the file; it is there whole or not at all.
        weights: format of the matrices. A matrix whose rows are no multiple of 32 has f16 where blocks of 32 are asked
            for; the embedding and the output matrix have q8_0 where four bits are.
        source: digest of what the model was made from; `buril.source.sha256` in the file.
        bare: whether a file without a tokenizer will do where the format can't say this one; only ids can be fed to it.

    Raises:
        BurilError: T190 for a model or tokenizer that has no place in the format.
    """
    from gguf import GGUFWriter

    inner = bare_model(loaded.model)
    check(inner)
    tensors = _tensors(loaded.model, weights)
    with atomic(path) as temporary:
        out = GGUFWriter(temporary, ARCHITECTURES[inner.config.model_type])
        out.data_alignment = ALIGNMENT
        _describe(out, inner, weights, source)
        _tokens(out, loaded, rows=tensors["token_embd.weight"].shape[0], bare=bare)
        for name, tensor in tensors.items():
            out.add_tensor_info(name, tensor.shape, np.dtype(np.float32), _num_bytes(tensor), tensor.kind)
        out.write_header_to_file()
        out.write_kv_data_to_file()
        out.write_ti_data_to_file()
        out.close()
        with temporary.open("ab") as stream:
            _write_tensors(stream, tensors, inner.config.model_type)


def bare_model(model: Any) -> PreTrainedModel:
    """The model below an adapter, where there is one."""
    found: PreTrainedModel = model.get_base_model() if hasattr(model, "get_base_model") else model
    return found


def check(model: PreTrainedModel) -> None:
    """Refuse what would become a file that runs and is another model.

    Raises:
        BurilError: T190.
    """
    config = model.config
    kind, window = config.model_type, getattr(config, "sliding_window", None)
    if kind not in ARCHITECTURES:
        raise _no_place(kind, _("its architecture is none of {known}").format(known=", ".join(ARCHITECTURES)))
    rotary = model.get_decoder().rotary_emb
    scaled = rotary.rope_type != "default"
    if scaled and (ARCHITECTURES[kind] != "llama" or rotary.rope_type not in FACTORS or rotary.attention_scaling != 1):
        raise _no_place(kind, _("its rotary embedding is scaled by `{name}`").format(name=rotary.rope_type))
    if window and window < config.max_position_embeddings and getattr(config, "use_sliding_window", True):
        raise _no_place(kind, _("its attention sees the last {window} tokens only").format(window=window))
    if config.hidden_act != "silu":
        raise _no_place(kind, _("its activation is `{name}`").format(name=config.hidden_act))


def _no_place(architecture: str, problem: str) -> BurilError:
    return BurilError("T190", architecture=architecture, problem=problem)


# --- fields


def _describe(out: GGUFWriter, model: PreTrainedModel, weights: Weights, source: str) -> None:
    """The numbers that shape the model, and where it comes from."""
    config = model.config
    heads, width = int(config.num_attention_heads), _head_width(config)
    out.add_name(f"buril-{source[:12]}")
    out.add_file_type(FILE_TYPES[weights])
    out.add_quantization_version(2)
    out.add_string("buril.source.sha256", source)
    out.add_uint32("buril.version", VERSION)
    out.add_context_length(int(config.max_position_embeddings))
    out.add_embedding_length(int(config.hidden_size))
    out.add_block_count(int(config.num_hidden_layers))
    out.add_feed_forward_length(int(config.intermediate_size))
    out.add_head_count(heads)
    out.add_head_count_kv(int(getattr(config, "num_key_value_heads", None) or heads))
    out.add_key_length(width)
    out.add_value_length(width)
    out.add_rope_dimension_count(width)
    out.add_rope_freq_base(float(config.rope_parameters["rope_theta"]))
    out.add_layer_norm_rms_eps(float(config.rms_norm_eps))


def _head_width(config: Any) -> int:
    return int(getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads)


def _tokens(out: GGUFWriter, loaded: Loaded, *, rows: int, bare: bool) -> None:
    """The tokenizer."""
    out.add_vocab_size(rows)
    folder = loaded.tokenizer_dir
    try:
        found = vocabulary(folder, rows)
    except NoPlace as reason:
        if not bare:
            raise _no_place(bare_model(loaded.model).config.model_type, str(reason)) from reason
        out.add_tokenizer_model("none")
        return
    out.add_tokenizer_model("gpt2")
    out.add_tokenizer_pre(found.pre)
    out.add_token_list(found.tokens)
    out.add_token_types(found.types)
    out.add_token_merges(found.merges)
    for name, token in special_ids(loaded).items():
        out.add_uint32(name, token)
    out.add_add_bos_token(loaded.fim["bos"] is not None)
    template = chat_template(folder)
    if template is not None:
        out.add_chat_template(template)


# --- weights


def _tensors(model: Any, weights: Weights) -> dict[str, Tensor]:
    """The tensors by GGUF's names, layer after layer.

    Raises:
        BurilError: T190 for one that has no place.
    """
    inner = bare_model(model)
    kind, weights_of = inner.config.model_type, parts(model)
    head, table = weights_of.get("lm_head.weight"), weights_of["model.embed_tokens.weight"]
    if head and head.place == table.place:
        if head.adapted or table.adapted:  # what is added to one of the two would be added to both
            raise _no_place(kind, _("its adapter changes one of two matrices that are tied"))
        del weights_of["lm_head.weight"]
    found: dict[str, Tensor] = {}
    for place, part in weights_of.items():
        name = name_of(place)
        if name is None or (kind != "qwen2" and name.endswith(".bias")):
            raise _no_place(kind, _("it has weights of another kind of model (`{name}`)").format(name=place))
        kind_of = _kind(part.shape, FINER.get(weights, weights) if name in TABLES else weights)
        found[name] = Tensor(part.shape, kind_of, _ordered(name, part.make, inner.config))
    if inner.get_decoder().rotary_emb.rope_type != "default":
        factors = _factors(inner)
        found["rope_freqs.weight"] = Tensor(tuple(factors.shape), _kind(tuple(factors.shape), weights), lambda: factors)
    return dict(sorted(found.items(), key=lambda item: (_layer(item[0]), item[0])))


def _layer(name: str) -> int:
    return int(name.split(".")[1]) if name.startswith("blk.") else -1


def _ordered(name: str, make: Callable[[], torch.Tensor], config: Any) -> Callable[[], torch.Tensor]:
    """What makes a tensor, its rows in the format's order."""
    part = name.split(".")[2] if name.startswith("blk.") else ""
    if ARCHITECTURES[config.model_type] != "llama" or part not in ("attn_q", "attn_k"):
        return make
    heads = config.num_attention_heads if part == "attn_q" else config.num_key_value_heads
    return lambda: interleaved(make(), heads)


def _factors(model: PreTrainedModel) -> torch.Tensor:
    """What llama.cpp divides the plain frequencies by, to have the model's own."""
    import torch

    inv_freq = model.get_decoder().rotary_emb.inv_freq.double().cpu()
    width = _head_width(model.config)
    powers = torch.arange(0, width, 2, dtype=torch.float64) / width
    plain: torch.Tensor = float(model.config.rope_parameters["rope_theta"]) ** -powers
    found: torch.Tensor = (plain / inv_freq).float()
    return found


def _kind(shape: tuple[int, ...], weights: str) -> GGMLQuantizationType:
    from gguf import GGMLQuantizationType

    if len(shape) == 1:
        return GGMLQuantizationType.F32
    if weights.startswith("q") and shape[-1] % 32:
        return GGMLQuantizationType.F16
    return GGMLQuantizationType[weights.upper()]


def _num_bytes(tensor: Tensor) -> int:
    from gguf import GGML_QUANT_SIZES

    block, size = GGML_QUANT_SIZES[tensor.kind]
    return int(prod(tensor.shape) // block * size)


def _write_tensors(stream: Any, tensors: Mapping[str, Tensor], model_type: str) -> None:
    """The data: each tensor begins at a multiple of the alignment."""
    for name, tensor in tensors.items():
        stream.write(bytes(-stream.tell() % ALIGNMENT))
        try:
            for chunk in _encoded(tensor):
                stream.write(chunk.data)
        except OverflowError as reason:
            problem = _("{name} has numbers beyond what {kind} holds").format(name=name, kind="f16")
            raise _no_place(model_type, problem) from reason
    stream.write(bytes(-stream.tell() % ALIGNMENT))


def _encoded(tensor: Tensor) -> Iterator[NDArray[Any]]:
    """The bytes of a tensor, a few rows at a time."""
    values = tensor.make().detach()
    rows = max(1, CHUNK // (tensor.shape[-1] if len(tensor.shape) > 1 else 1))
    for start in range(0, tensor.shape[0], rows):
        yield np.ascontiguousarray(_encode(values[start : start + rows], tensor.kind)).view(np.uint8).reshape(-1)


def _encode(values: torch.Tensor, kind: GGMLQuantizationType) -> NDArray[Any]:
    import torch
    from gguf import GGMLQuantizationType, quants

    found: NDArray[Any]
    if kind == GGMLQuantizationType.BF16:
        found = values.bfloat16().contiguous().view(torch.int16).numpy()
    elif kind == GGMLQuantizationType.F16:
        if values.abs().max() > MOST_FP16:
            raise OverflowError
        found = values.half().numpy()
    else:
        found = quants.quantize(values.float().contiguous().numpy(), kind)
    return found


def interleaved(rows: torch.Tensor, heads: int) -> torch.Tensor:
    """Rows of q or k from halves, as Hugging Face rotates them, to pairs side by side, as llama.cpp does.

    Example:
        with one head of width 4: rows 0 1 2 3 → 0 2 1 3.
    """
    width = rows.shape[0] // heads
    return rows.reshape(heads, 2, width // 2, *rows.shape[1:]).transpose(1, 2).reshape(rows.shape)
