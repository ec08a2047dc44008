"""GGUF to a plain Hugging Face folder, for the architectures llama and qwen2, without torch or transformers.

Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md, read with gguf-py.

Weights are dequantised to bf16, in which these models were published: an F16 file gives the published numbers back, a
quantised one keeps its noise. Two things differ between the formats. llama.cpp interleaves the rows of q and k of a
llama for its rotary embedding, which is undone here. And it may store a tied embedding twice, in two quantisations,
which are recognised as one matrix and stored once.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from buril.core.artifact import sha256_file
from buril.core.errors import BurilError
from buril.core.stage import Output
from buril.core.text import _
from buril.generators._gguf_format import UNUSED, place_of
from buril.train.bases._base import MODEL, Description, count_parameters, has_fim, spdx
from buril.train.bases._gguf_tokenizer import end_ids, tokenizer_config, tokenizer_json
from buril.train.bases._safetensors import Floats, Lazy, write_safetensors

CLASSES = {"llama": "LlamaForCausalLM", "qwen2": "Qwen2ForCausalLM"}
SAME_MATRIX = 0.9
"""Cosine of two rows that are two quantisations of one: 0.99 at 4 bits, 0.95 at 2; an untied head's are near 0."""
ODD_ROWS = 0.01
"""Share of rows that may lie below it: tokens never seen in training have rows of almost nothing but noise."""


class Gguf:
    """A GGUF file opened for reading: its fields by name, its tensors as float32."""

    def __init__(self, path: Path) -> None:
        from gguf import GGUFReader

        self.path = path
        try:
            self._reader = GGUFReader(path)
            self.tensors = {tensor.name: tensor for tensor in self._reader.tensors}
        except (ValueError, KeyError, IndexError, OSError, TypeError, OverflowError) as problem:
            raise BurilError("T007", path=path, problem=str(problem) or type(problem).__name__) from problem
        self.architecture = str(self.get("general.architecture", "?"))

    def get(self, name: str, default: Any = None) -> Any:
        """A field's value, or the default where there is none."""
        found = self._reader.fields.get(name)
        return default if found is None else found.contents()

    def need(self, name: str) -> Any:
        """A field's value.

        Raises:
            BurilError: T007 when there is none.
        """
        found = self.get(name)
        if found is None:
            raise BurilError("T007", path=self.path, problem=_("it has no field `{name}`").format(name=name))
        return found

    def shaped(self, name: str, default: Any = None) -> Any:
        """A field of the architecture (`block_count` is `llama.block_count`); needed where no default is given."""
        full = f"{self.architecture}.{name}"
        return self.need(full) if default is None else self.get(full, default)

    def shape(self, name: str) -> tuple[int, ...]:
        """The shape of a tensor, rows first."""
        return tuple(int(size) for size in reversed(self.tensors[name].shape))

    def floats(self, name: str) -> Floats:
        """A tensor, dequantised."""
        from gguf import dequantize

        tensor = self.tensors[name]
        found: Floats = np.ascontiguousarray(dequantize(tensor.data, tensor.tensor_type), dtype=np.float32)
        return found.reshape(self.shape(name))

    def bits(self, name: str) -> float:
        """Bits a weight takes in the file."""
        return float(8 * self.tensors[name].n_bytes / max(1, self.tensors[name].n_elements))


def convert(path: Path, out: Output, *, kind: Literal["gguf", "wheel"], source: str, name: str = "") -> Description:
    """Write `model/` from a GGUF file; the model is called `name`, else what the file calls itself.

    Raises:
        BurilError: T006 for another architecture, T007 for a damaged file or one with parts that have no place in a
            plain llama or qwen2 (experts, adapters, scaled rotary embeddings, another tokenizer).
    """
    file = Gguf(path)
    _check(file)
    tied = is_tied(file)
    texts = {
        "tokenizer.json": tokenizer_json(file),
        "tokenizer_config.json": tokenizer_config(file),
        "generation_config.json": _generation(file),
        "config.json": _json(config(file, tied=tied)),
    }
    if not out.has(f"{MODEL}/model.safetensors"):
        with out.write(f"{MODEL}/model.safetensors") as temporary:
            write_safetensors(temporary, _told(weights(file, tied=tied), out), dtype="BF16")
    for part, text in texts.items():
        out.text(f"{MODEL}/{part}", text)
    written = out.path(MODEL)
    return Description(
        name=name or str(file.get("general.name") or path.stem),
        kind=kind,
        source=source,
        sha256=sha256_file(path),
        license=spdx(str(file.get("general.license") or "")),
        parameters=count_parameters(written),
        fim=has_fim(written),
    )


def _told(tensors: dict[str, Lazy], out: Output) -> dict[str, Lazy]:
    """The same tensors, with progress said as they are made."""
    done = iter(range(1, len(tensors) + 1))

    def make(tensor: Lazy) -> Floats:
        values = tensor.make()
        out.progress(next(done), len(tensors), _("tensors"))
        return values

    return {name: Lazy(tensor.shape, partial(make, tensor)) for name, tensor in tensors.items()}


def _check(file: Gguf) -> None:
    """Refuse what would convert into a model that runs and is wrong."""
    if file.architecture not in CLASSES:
        supported = ", ".join(CLASSES)
        raise BurilError("T006", path=file.path, architecture=file.architecture, supported=supported)
    unknown = sorted(name for name in file.tensors if place_of(name) is None)
    scaling = file.get(f"{file.architecture}.rope.scaling.type", "none")
    if unknown:
        raise BurilError(
            "T007",
            path=file.path,
            problem=_("it has tensors of another kind of model (`{name}`)").format(name=unknown[0]),
        )
    if scaling != "none":
        raise BurilError(
            "T007", path=file.path, problem=_("its rotary embedding is scaled (`{name}`)").format(name=scaling)
        )
    if file.architecture == "llama" and "blk.0.attn_q.bias" in file.tensors:
        raise BurilError(
            "T007",
            path=file.path,
            problem=_("it has tensors of another kind of model (`{name}`)").format(name="blk.0.attn_q.bias"),
        )
    model = file.need("tokenizer.ggml.model")
    if model != "gpt2":
        problem = _("its tokenizer is of the kind `{name}`, not byte-level BPE").format(name=model)
        raise BurilError("T007", path=file.path, problem=problem)


def is_tied(file: Gguf) -> bool:
    """Whether input and output embedding are one matrix: there is no second one, or it is the first quantised again."""
    if "output.weight" not in file.tensors:
        return True
    if file.shape("output.weight") != file.shape("token_embd.weight"):
        return False
    types = np.asarray(file.need("tokenizer.ggml.token_type"))
    real = np.flatnonzero(types[: file.shape("output.weight")[0]] != UNUSED)
    cosines = cosine_rows(file.floats("token_embd.weight")[real], file.floats("output.weight")[real])
    return bool(np.quantile(cosines, ODD_ROWS) > SAME_MATRIX)


def cosine_rows(one: Floats, other: Floats) -> NDArray[np.float32]:
    """Cosine of each row of one matrix with the same row of another; 1 where both are zero."""
    dots = np.einsum("vd,vd->v", one, other)
    sizes = np.sqrt(np.einsum("vd,vd->v", one, one) * np.einsum("vd,vd->v", other, other))
    found: NDArray[np.float32] = np.where(sizes > 0, dots / np.maximum(sizes, 1e-30), 1.0).astype(np.float32)
    return found


def weights(file: Gguf, *, tied: bool) -> dict[str, Lazy]:
    """The tensors by their Hugging Face names, not yet read. Of a tied pair the one with more bits is kept."""
    embedding = "token_embd.weight"
    if tied and "output.weight" in file.tensors:
        embedding = max(("token_embd.weight", "output.weight"), key=file.bits)
    found: dict[str, Lazy] = {}
    for name in file.tensors:
        place = place_of(name)
        assert place is not None, "_check() has refused unknown tensors"
        if tied and name == "output.weight":
            continue
        source = embedding if name == "token_embd.weight" else name
        found[place] = Lazy(file.shape(source), _maker(file, source))
    return found


def _maker(file: Gguf, name: str) -> Callable[[], Floats]:
    part = name.split(".")[2] if name.startswith("blk.") else ""
    if file.architecture == "llama" and part in ("attn_q", "attn_k"):
        heads = int(file.shaped("attention.head_count"))
        if part == "attn_k":
            heads = int(file.shaped("attention.head_count_kv", heads))
        return lambda: half_split(file.floats(name), heads)
    return lambda: file.floats(name)


def half_split(rows: Floats, heads: int) -> Floats:
    """Rows of q or k from pairs side by side, as llama.cpp rotates them, to halves, as Hugging Face does.

    Example:
        with one head of width 4: rows 0 1 2 3 → 0 2 1 3.
    """
    width = rows.shape[0] // heads
    found: Floats = rows.reshape(heads, width // 2, 2, *rows.shape[1:]).swapaxes(1, 2).reshape(rows.shape)
    return found


def config(file: Gguf, *, tied: bool) -> dict[str, Any]:
    """`config.json`."""
    heads, width = int(file.shaped("attention.head_count")), int(file.shaped("embedding_length"))
    found: dict[str, Any] = {
        "architectures": [CLASSES[file.architecture]],
        "model_type": file.architecture,
        "vocab_size": file.shape("token_embd.weight")[0],
        "hidden_size": width,
        "intermediate_size": int(file.shaped("feed_forward_length")),
        "num_hidden_layers": int(file.shaped("block_count")),
        "num_attention_heads": heads,
        "num_key_value_heads": int(file.shaped("attention.head_count_kv", heads)),
        "hidden_act": "silu",
        "max_position_embeddings": int(file.shaped("context_length")),
        # stored as float32: 1e-5 comes back as 9.99999975e-06
        "rms_norm_eps": float(f"{float(file.shaped('attention.layer_norm_rms_epsilon')):.6g}"),
        "rope_theta": float(file.shaped("rope.freq_base", 10000.0)),
        "tie_word_embeddings": tied,
        "attention_dropout": 0.0,
        "initializer_range": 0.02,
        "use_cache": True,
        "dtype": "bfloat16",
        "bos_token_id": file.get("tokenizer.ggml.bos_token_id"),
        "eos_token_id": file.get("tokenizer.ggml.eos_token_id"),
        "pad_token_id": file.get("tokenizer.ggml.padding_token_id"),
    }
    if file.architecture == "llama":
        found.update(
            attention_bias=False, mlp_bias=False, head_dim=int(file.shaped("attention.key_length", width // heads))
        )
    else:
        found.update(use_sliding_window=False)
    return found


def _generation(file: Gguf) -> str:
    pad, bos = file.get("tokenizer.ggml.padding_token_id"), file.get("tokenizer.ggml.bos_token_id")
    return _json({"bos_token_id": bos, "eos_token_id": end_ids(file), "pad_token_id": pad})


def _json(value: dict[str, Any]) -> str:
    return json.dumps({name: item for name, item in value.items() if item is not None}, indent=1) + "\n"
