"""What a training takes, computed from the model's `config.json` before anything is loaded: memory, work and disk.

The activations are counted tensor by tensor as this package's own layers keep them (a test compares the count with what
torch really keeps); on top come the frozen weights, what is trained with its gradients and AdamW's two moments, the
buffers of the output layer, the largest temporaries of a layer, and the libraries themselves.

It knows decoders of the Llama family: attention with grouped keys, a gated feed-forward, RMS norms. Others are counted
as if they were such. Units: bytes, tokens, multiply-adds counted as two operations.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from buril.core.allocator import is_frugal

FP32, BF16 = 4, 2
BLOCK = 128
"""Of `attention.py`, which loads torch: a test holds it equal."""
CHUNK, ROWS = 512, 8192
"""Of `objectives/_head.py`."""
NF4_BYTES = (4 + 8 / 64 + 32 / (64 * 256)) / 8
NF4_SIMPLE_BYTES = (4 + 32 / 64) / 8
"""Bytes of a 4-bit weight with its scales, quantised or not."""
QUANTISING = 64
"""Bytes of temporaries for each weight of the matrix that bitsandbytes quantises on a CPU, measured."""
LIBRARIES = 500e6
"""Python with torch, transformers and PEFT, their code that has run included; measured (torch 2.13 for CPUs)."""
TOKEN = 300
"""Bytes of a word of the vocabulary that reading its names leaves behind; the tokenizer is read when it is used."""
CUDA_LIBRARIES = 3.0e9
"""Memory of the host that torch for CUDA takes; not measured here."""
CUDA_CONTEXT = 600e6
"""Memory of a GPU that CUDA and its libraries take before the first tensor; not measured here."""
LOST = {("fp32", "cached"): 1.5, ("fp32", "frugal"): 1.2, ("bf16", "cached"): 0.5, ("bf16", "frugal"): 0.33}
"""What the allocator loses between the pieces, as a share of activations and output layer, measured here (glibc 2.36).
The numbers of this file that are fitted; two runs of one training differ by a fifth of it.

`frugal` is how the command runs, see `core/allocator.py`. In fp32 it was 0.7 to 2.0 in three trainings, most where
frozen weights are widened; in bf16 0.1 to 0.5 in eleven.
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
    libraries = CUDA_CONTEXT if load.gpu else LIBRARIES + TOKEN * model.vocabulary
    slack = lost(load) * (kept + head)
    loading = libraries + weights + _read(model, method, load)
    return Memory(libraries, weights, moving, kept, head, work, slack, loading)


def lost(load: Load) -> float:
    """Bytes lost between the pieces, for each byte that comes and goes with a step."""
    if load.gpu:
        return 0.1  # torch's own allocator there; not measured here
    return LOST["bf16" if load.bf16 else "fp32", "frugal" if is_frugal() else "cached"]


def _read(model: Model, method: Method, load: Load) -> float:
    """Bytes that loading takes for a moment besides: the file's pages of what is copied in another format, and more."""
    if load.gpu or model.file_bytes == (FP32 if method.whole else load.unit):  # then the weights stay in these pages
        pages = 0
    else:  # those of a matrix that was copied are given back, but all are there under `full`
        pages = model.file_bytes * (model.parameters if method.whole else model.table)
    largest = max(inputs * outputs for inputs, outputs in model.matrices.values())
    return float(pages + (0 if method.four_bit is None else QUANTISING * largest))


def _short(model: Model, method: Method, load: Load) -> int:
    """Frozen weights that stay in the 16 bits of their file though multiplications are in 32."""
    if method.four_bit is not None or not method.quick or load.unit <= model.file_bytes:
        return 0
    return model.layers * sum(inputs * outputs for inputs, outputs in method.adapted(model).values())


def _weights(model: Model, method: Method, load: Load) -> float:
    """Bytes of the model's own weights."""
    if method.whole:
        return float(FP32 * model.parameters)
    if method.four_bit is None:
        short = _short(model, method, load)
        return float(load.unit * (model.parameters - short) + model.file_bytes * short)
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
    rows = model.vocabulary - ROWS * max(0, model.vocabulary // ROWS - 1)  # the last run of them, the longest
    gradients = FP32 * (model.table + rows * model.width) if method.whole else 0  # the matrix's, and rows' by a chunk
    copies = BF16 * model.table if method.whole and load.bf16 else 0
    return float(logits + hidden + gradients + copies)


def _work(model: Model, method: Method, load: Load) -> float:
    """Bytes of the largest temporaries of a layer on the way back."""
    largest = max(size for shape in model.matrices.values() for size in shape)
    made = method.four_bit is not None or _short(model, method, load) > 0  # one matrix is dequantised, or widened
    whole = max(inputs * outputs for inputs, outputs in model.matrices.values()) if made else 0
    return load.unit * (2.0 * load.row * largest + whole)


def layers_twice(
    model: Model, method: Method, load: Load, *, free: float, cost: Callable[[Model, Method, Load], Memory] = memory
) -> int:
    """The fewest layers to compute twice so that a training fits into `free` bytes; all where none are enough."""
    for twice in range(model.layers):
        if cost(model, method, replace(load, twice=twice)).total <= free:
            return twice
    return model.layers


def token_operations(frozen: float, trained: float, attended: float) -> float:
    """Floating-point operations that a token of training needs: multiplications of matrices, nothing recomputed.

    Args:
        frozen: weights that are not trained: two operations forward, two backward to their inputs.
        trained: weights that are: two more.
        attended: width of all heads of all layers, times the tokens of the document: causal attention takes two forward
            (half of the square is hidden, for scores and for values) and twice that backward.
    """
    return 4.0 * frozen + 6.0 * trained + 6.0 * attended


def operations(model: Model, method: Method, load: Load) -> float:
    """Floating-point operations of a token of training, with what is computed twice; an adapter's own are left out."""
    weights, attended = model.linear + model.table, model.layers * model.heads * model.head * load.document
    needed = token_operations(*((0, weights) if method.whole else (weights, 0)), attended)
    twice = 2.0 * (model.linear + attended) * min(load.twice, model.layers) / model.layers
    return needed + twice


def forward_operations(model: Model, load: Load) -> float:
    """Floating-point operations of a token that is only evaluated."""
    return 2.0 * (model.linear + model.table) + model.layers * 2.0 * model.heads * model.head * load.document


def disk(model: Model, method: Method) -> tuple[float, float]:
    """Bytes of the finished files, and of the checkpoints while it runs: two states, the best weights twice."""
    trained = method.trained(model)
    return float((BF16 if method.whole else FP32) * trained), (2.0 * 12 + 2.0 * 4) * trained
