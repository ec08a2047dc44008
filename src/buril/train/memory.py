"""What a training takes, computed from the model's `config.json` before anything is loaded: memory, work and disk.

The activations are counted tensor by tensor as this package's own layers keep them (a test compares the count with what
torch really keeps); on top come the frozen weights, what is trained with its gradients and AdamW's two moments, the
buffers of the output layer, the largest temporaries of a layer, and the libraries themselves.

It knows decoders of the Llama family: attention with grouped keys, a gated feed-forward, RMS norms. Others are counted
as if they were such. Units: bytes, tokens, multiply-adds counted as two operations.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

FP32, BF16 = 4, 2
BLOCK = 128
"""Of `attention.py`, which loads torch: a test holds it equal."""
CHUNK = 512
"""Of `objectives/_head.py`."""
NF4_BYTES = (4 + 8 / 64 + 32 / (64 * 256)) / 8
NF4_SIMPLE_BYTES = (4 + 32 / 64) / 8
"""Bytes of a 4-bit weight with its scales, quantised or not."""
LIBRARIES = 600e6
"""Python with torch, transformers, PEFT and a tokenizer, measured here (torch 2.13 for CPUs, bitsandbytes present)."""
CUDA_LIBRARIES = 3.0e9
"""Memory of the host that torch for CUDA takes; not measured here."""
CUDA_CONTEXT = 600e6
"""Memory of a GPU that CUDA and its libraries take before the first tensor; not measured here."""
LOST, LOST_WITHOUT_CACHE = 1.0, 0.35
"""What glibc's allocator loses between the pieces, as a share of activations and output layer, measured here (2.36).

It aligns tensors by cutting slivers off larger pieces; its cache of small pieces hands those out, and a piece that is
freed is then too small, by a sliver, for a tensor of its own size. Without that cache
(`GLIBC_TUNABLES=glibc.malloc.tcache_count=0` before the process starts) about a third of it is.
"""


@dataclass(frozen=True)
class Model:
    """The sizes of a decoder. `file_bytes` are of a weight in its file."""

    vocabulary: int
    width: int
    layers: int
    heads: int
    kv_heads: int
    head: int
    inner: int
    tied: bool
    biases: bool
    file_bytes: int

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> Model:
        """The sizes that a `config.json` tells."""
        heads, width = config["num_attention_heads"], config["hidden_size"]
        kind = str(config.get("dtype") or config.get("torch_dtype") or "float32")
        return cls(
            vocabulary=config["vocab_size"],
            width=width,
            layers=config["num_hidden_layers"],
            heads=heads,
            kv_heads=config.get("num_key_value_heads") or heads,
            head=config.get("head_dim") or width // heads,
            inner=config.get("intermediate_size") or 4 * width,
            tied=bool(config.get("tie_word_embeddings", False)),
            biases=bool(config.get("attention_bias", config.get("model_type") == "qwen2")),
            file_bytes=FP32 if "32" in kind else BF16,
        )

    @property
    def matrices(self) -> dict[str, tuple[int, int]]:
        """The linear layers of a block: inputs and outputs."""
        queries, keys = self.heads * self.head, self.kv_heads * self.head
        return {
            "q_proj": (self.width, queries), "k_proj": (self.width, keys), "v_proj": (self.width, keys),
            "o_proj": (queries, self.width), "gate_proj": (self.width, self.inner),
            "up_proj": (self.width, self.inner), "down_proj": (self.inner, self.width),
        }  # fmt: skip

    @property
    def linear(self) -> int:
        """Weights of all blocks' linear layers."""
        return self.layers * sum(inputs * outputs for inputs, outputs in self.matrices.values())

    @property
    def table(self) -> int:
        """Weights of the embedding."""
        return self.vocabulary * self.width

    @property
    def parameters(self) -> int:
        """All weights; a tied matrix counts once."""
        biases = (self.heads + 2 * self.kv_heads) * self.head if self.biases else 0
        return self.table * (1 if self.tied else 2) + self.linear + self.layers * (2 * self.width + biases) + self.width


@dataclass(frozen=True)
class Method:
    """What of the model is trained, and how the rest is kept.

    Attributes:
        whole: every weight is trained; else adapters of `rank` beside the layers named in `targets` (None: all).
        four_bit: bytes of a frozen linear weight where they are quantised, else None.
        dropout: whether the adapters' inputs are dropped: a mask and a copy are then kept.
        quick: whether adapted layers run as one operation, which widens 16-bit weights at each use.
    """

    whole: bool
    rank: int = 16
    targets: tuple[str, ...] | None = None
    dropout: bool = True
    four_bit: float | None = None
    quick: bool = True

    @classmethod
    def of(cls, plugin: Any) -> Method:
        """What a method plugin with its settings does; a foreign one counts as what its class says of itself."""
        told = plugin.settings
        targets = getattr(told, "targets", None)
        return cls(
            whole=bool(plugin.trains_weights),
            rank=getattr(told, "rank", 16),
            targets=None if targets is None or isinstance(targets, str) else tuple(targets),
            dropout=bool(getattr(told, "dropout", 0.1)),
            four_bit=(NF4_BYTES if told.double else NF4_SIMPLE_BYTES) if hasattr(told, "double") else None,
            quick=not plugin.trains_weights and not getattr(told, "dora", False),
        )

    def adapted(self, model: Model) -> dict[str, tuple[int, int]]:
        """The layers of a block that have an adapter."""
        found = model.matrices.items()
        return {} if self.whole else {k: v for k, v in found if self.targets is None or k in self.targets}

    def trained(self, model: Model) -> int:
        """Numbers that the optimizer moves."""
        if self.whole:
            return model.parameters
        return model.layers * self.rank * sum(sum(shape) for shape in self.adapted(model).values())


@dataclass(frozen=True)
class Load:
    """How a step is run. `row` tokens at once, in documents of `document` tokens at most; `twice` layers recomputed."""

    row: int
    document: int
    bf16: bool
    gpu: bool = False
    twice: int = 0

    @property
    def unit(self) -> int:
        """Bytes of a number that is multiplied."""
        return BF16 if self.bf16 else FP32


@dataclass(frozen=True)
class Memory:
    """Bytes at the worst moment, by what they are for."""

    libraries: float
    weights: float
    trained: float
    activations: float
    head: float
    work: float
    slack: float
    loading: float
    """The worst moment of loading instead, libraries included."""

    @property
    def total(self) -> float:
        """The peak."""
        parts = (self.libraries, self.weights, self.trained, self.activations, self.head, self.work, self.slack)
        return max(sum(parts), self.loading)


def memory(model: Model, method: Method, load: Load) -> Memory:
    """The memory of a training on the device that trains."""
    trained = method.trained(model)
    weights = _weights(model, method, load)
    kept = activations(model, method, load)
    head, work = _head(model, method, load), _work(model, method, load)
    moving = 12.0 * trained + (
        0 if method.whole else 4.0 * trained
    )  # AdamW's two moments, a gradient; an adapter itself
    libraries = CUDA_CONTEXT if load.gpu else LIBRARIES
    slack = lost(load) * (kept + head)
    loading = (
        libraries
        + max(weights, load.unit * model.parameters * (method.four_bit is None))
        + model.parameters * model.file_bytes * (0 if load.gpu else 1)
    )
    return Memory(libraries, weights, moving, kept, head, work, slack, loading)


def lost(load: Load) -> float:
    """Bytes lost between the pieces, for each byte that comes and goes with a step."""
    if load.gpu:
        return 0.1  # torch's own allocator there; not measured here
    cached = "glibc.malloc.tcache_count=0" not in os.environ.get("GLIBC_TUNABLES", "")
    return LOST if cached else LOST_WITHOUT_CACHE


def _weights(model: Model, method: Method, load: Load) -> float:
    """Bytes of the model's own weights."""
    if method.whole:
        return float(FP32 * model.parameters)
    if method.four_bit is None:
        short = sum(inputs * outputs for inputs, outputs in method.adapted(model).values()) if method.quick else 0
        return float(load.unit * model.parameters - max(0, load.unit - model.file_bytes) * short * model.layers)
    return method.four_bit * model.linear + load.unit * (model.parameters - model.linear)


def activations(model: Model, method: Method, load: Load) -> float:
    """Bytes that the forward pass keeps for the way back, without the output layer's."""
    twice = min(load.twice, model.layers)
    one = layer_activations(model, method, load)
    stream = FP32 if method.whole else load.unit  # the hidden states between the layers
    again = one if twice else 0.0  # the layer that is computed a second time
    return one * (model.layers - twice) + twice * load.row * model.width * stream + again * (twice == model.layers)


def layer_activations(model: Model, method: Method, load: Load) -> float:
    """Bytes that one layer keeps for the way back."""
    queries, keys = model.heads * model.head, model.kv_heads * model.head
    if not load.gpu and not _in_blocks(load):
        keys = queries  # torch's own attention gives every query head keys and values of its own
    remade = method.quick and "down_proj" in method.adapted(model)  # then gate and up alone are kept
    plain = (
        2 * queries + 2 * keys + (2 if remade else 4) * model.inner
    )  # q, k, v and the attended; gate, its SiLU, up, their product
    norms = 2 * FP32 * (model.width + 1)  # what each norm was given, in fp32, and its scale
    if method.whole:
        norms += 4 * FP32 * model.width + (
            BF16 * model.width if load.bf16 else 0
        )  # their results with and without gain
        fixed = BF16 * model.linear // model.layers if load.bf16 else 0  # autocast's copies
    else:
        adapted = method.adapted(model)
        plain += 2 * model.width + method.rank * len(adapted)  # inputs of the projections; inside the adapters
        norms += 2 * load.unit * model.width if load.bf16 else 0
        fixed = BF16 * method.rank * sum(sum(shape) for shape in adapted.values()) if load.bf16 else 0
    masks = 0 if method.whole or not method.dropout else _masks(model, method)
    return load.row * (plain * load.unit + norms + masks) + fixed + _attention(model, load)


def _masks(model: Model, method: Method) -> int:
    """Bytes of dropout masks of a token: one an element of each input that adapted layers share."""
    names = set(method.adapted(model))
    shared = {("q_proj", "k_proj", "v_proj"): model.width, ("o_proj",): model.heads * model.head,
              ("gate_proj", "up_proj"): model.width, ("down_proj",): model.inner}  # fmt: skip
    return sum(size for layers, size in shared.items() if names & set(layers))


def _attention(model: Model, load: Load) -> float:
    """Bytes of the attention weights that one layer keeps for its documents."""
    if not _in_blocks(load):
        return float(FP32 * load.row * model.heads)  # torch's own attention keeps one sum a query
    whole, rest = divmod(load.row, load.document)
    return float(load.unit * model.heads * (whole * _blocks(load.document) + _blocks(rest)))


def _in_blocks(load: Load) -> bool:
    """Whether attention runs in blocks whose weights are kept."""
    return not load.gpu and load.bf16


def _blocks(length: int) -> int:
    """Keys that the blocks of queries of one document see, added up over the queries."""
    ends = [*range(BLOCK, length, BLOCK), length] if length else []
    return sum(end * (end - begin) for begin, end in zip([0, *ends], ends, strict=False))


def _head(model: Model, method: Method, load: Load) -> float:
    """Bytes of the output layer: its chunk of logits, the gradients it makes, and copies it needs."""
    chunk = min(CHUNK, load.row)
    logits = chunk * model.vocabulary * (FP32 + (2 * BF16 if load.bf16 else 0))
    hidden = load.row * model.width * (2 * FP32 + 3 * load.unit)  # the last norm's, the kept tokens', their gradient
    gradients = 2 * FP32 * model.table if method.whole else 0  # the matrix's, and that of a chunk
    copies = BF16 * model.table if method.whole and load.bf16 else 0
    return float(logits + hidden + gradients + copies)


def _work(model: Model, method: Method, load: Load) -> float:
    """Bytes of the largest temporaries of a layer on the way back."""
    largest = max(size for shape in model.matrices.values() for size in shape)
    whole = (
        load.unit * model.linear / model.layers / 3 if method.four_bit is not None else 0.0
    )  # one matrix dequantised
    return 2.0 * load.row * largest * load.unit + whole


def layers_twice(model: Model, method: Method, load: Load, *, free: float) -> int:
    """The fewest layers to compute twice so that a training fits into `free` bytes; all where none are enough."""
    for twice in range(model.layers):
        if memory(model, method, replace(load, twice=twice)).total <= free:
            return twice
    return model.layers


def operations(model: Model, method: Method, load: Load) -> float:
    """Floating-point operations of a token of training: forward, backward, and what is computed twice."""
    attention = 2.0 * model.heads * model.head * load.document  # causal: half of the square, for scores and for values
    forward = 2.0 * model.linear + model.layers * attention
    backward = 2.0 * model.linear * (2 if method.whole else 1) + 2.5 * model.layers * attention
    head = 2.0 * model.table * (3 if method.whole else 2)
    twice = forward * min(load.twice, model.layers) / model.layers
    return forward + backward + head + twice


def forward_operations(model: Model, load: Load) -> float:
    """Floating-point operations of a token that is only evaluated."""
    return 2.0 * (model.linear + model.table) + model.layers * 2.0 * model.heads * model.head * load.document


def disk(model: Model, method: Method) -> tuple[float, float]:
    """Bytes of the finished files, and of the checkpoints while it runs: two states, the best weights twice."""
    trained = method.trained(model)
    return float((BF16 if method.whole else FP32) * trained), (2.0 * 12 + 2.0 * 4) * trained
