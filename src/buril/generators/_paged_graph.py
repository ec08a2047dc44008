"""A causal model of transformers as an OpenVINO graph with paged attention, built here from its weights.

Several sequences of any lengths run in one call, laid end to end; each names the blocks of one cache that hold its keys
and values (Kwon et al. 2023, Efficient Memory Management for Large Language Model Serving with PagedAttention). The
graph is written with a state for each cache, and OpenVINO's own pass, which its server uses too, makes paged attention
of it. Logits are computed for the tokens that are asked for only.

Shapes: N tokens of all sequences, D width, H heads, K heads of keys and values, E width of a head.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from buril.core.errors import BurilError
from buril.core.text import _
from buril.generators._adapters import layers_of
from buril.generators._openvino import openvino

if TYPE_CHECKING:
    from transformers import PreTrainedModel

ARCHITECTURES = ("llama", "mistral", "qwen2", "qwen3")
ROTATIONS = ("default", "linear", "llama3", "yarn")
"""Rotary embeddings whose frequencies are the same whatever the length of the text."""
MOST_FP16 = 65504.0

Weights = Literal["fp16", "int8"]
Adapters = Literal["bf16", "f32"]
MASK, FIRST, SECOND = "mask", "{layer}.first", "{layer}.second"
"""Inputs of adapters: who wears which, and the two matrices of a layer."""
Floats = NDArray[np.float32]


def check(model: PreTrainedModel) -> None:
    """Refuse what would become a graph that runs and is wrong.

    Raises:
        BurilError: T020.
    """
    config = model.config
    kind, window = config.model_type, getattr(config, "sliding_window", None)
    if kind not in ARCHITECTURES:
        raise _unreadable(kind, _("its architecture is none of {known}").format(known=", ".join(ARCHITECTURES)))
    rotation = model.get_decoder().rotary_emb.rope_type
    if rotation not in ROTATIONS:
        raise _unreadable(kind, _("its rotary embedding is scaled by `{name}`").format(name=rotation))
    if window and window < config.max_position_embeddings:
        raise _unreadable(kind, _("its attention sees the last {window} tokens only").format(window=window))
    if config.hidden_act != "silu":
        raise _unreadable(kind, _("its activation is `{name}`").format(name=config.hidden_act))


def _unreadable(architecture: str, problem: str) -> BurilError:
    return BurilError("T020", architecture=architecture, problem=problem)


def build(
    model: PreTrainedModel, weights: Weights, adapters: Adapters | None = None, held: list[Any] | None = None
) -> Any:
    """The graph: an `openvino.Model`.

    Args:
        model: without adapters. Its weights are read one at a time and not changed.
        weights: `fp16`, or `int8` with one scale for each row of a matrix; norms and biases stay in float32.
        adapters: format of the matrices of adapters, which are inputs then (`FIRST`, `SECOND` of each layer, and
            `mask`); None leaves no room for any.
        held: with it, matrices that the model has in 16 bits are not copied: the graph, and what is compiled from it,
            reads the model's own memory, which is kept for as long as this list is. It must not change any more.

    Raises:
        BurilError: T020 for a model of another kind.
    """
    openvino()
    from openvino._offline_transformations import paged_attention_transformation

    check(model)
    graph = Graph(model, weights, adapters, held).graph()
    paged_attention_transformation(graph)
    return graph


class Graph:
    """What makes the graph of a model, part by part."""

    def __init__(
        self, model: PreTrainedModel, weights: Weights, adapters: Adapters | None = None, held: list[Any] | None = None
    ) -> None:
        self.op: Any = openvino().opset15
        self.config, self.weights, self.held = model.config, weights, held
        self.left = dict(model.state_dict())
        """Weights that are not yet in the graph."""
        self.matrices: dict[int, Any] = {}
        """Those that are, by their place in memory: tied embeddings are one."""
        self.heads, self.kv_heads = int(self.config.num_attention_heads), int(self.config.num_key_value_heads)
        self.width = int(getattr(self.config, "head_dim", None) or self.config.hidden_size // self.heads)
        rotary = model.get_decoder().rotary_emb
        self.frequencies: Floats = rotary.inv_freq.float().cpu().numpy()
        self.rotary_scale = float(rotary.attention_scaling)
        self.states: list[Any] = []
        self.adapters, self.worn = adapters, list[Any]()
        self.layers = layers_of(model) if adapters else {}

    def graph(self) -> Any:
        """The model with a state for each cache."""
        op = self.op
        inputs = [
            self._input(name, rank, kind)
            for name, rank, kind in (
                ("input_ids", 2, "i64"), ("position_ids", 2, "i64"), ("beam_idx", 1, "i32"), ("wanted", 1, "i64"),
            )
        ]  # fmt: skip
        ids, self.positions, self.beam, wanted = inputs
        self.mask = self._worn(MASK, (-1, -1), "f32") if self.adapters else None
        self.batch = op.gather(op.shape_of(ids), self._ints(0), self._axis(0))
        table = self._matrix("model.embed_tokens.weight")
        hidden = op.gather(table, op.convert(ids, "i32"), self._axis(0))
        rotation = self._rotation()
        for number in range(self.config.num_hidden_layers):
            hidden = self._layer(hidden, f"model.layers.{number}", rotation)
        hidden = self._norm(hidden, "model.norm")
        flat = op.reshape(hidden, self._ints(-1, int(self.config.hidden_size)), special_zero=False)
        logits = op.matmul(op.gather(flat, wanted, self._axis(0)), self._matrix("lm_head.weight"), False, True)
        result = op.result(logits)
        result.output(0).get_tensor().set_names({"logits"})
        self._check_all_used()
        return openvino().Model([result], self.states, [*inputs, *self.worn], "paged")

    def _check_all_used(self) -> None:
        if self.left:
            problem = _("it has weights of another kind of model (`{name}`)").format(name=min(self.left))
            raise _unreadable(self.config.model_type, problem)

    # --- parts of a model

    def _layer(self, hidden: Any, name: str, rotation: tuple[Any, Any]) -> Any:
        op = self.op
        normed = self._norm(hidden, f"{name}.input_layernorm")
        hidden = op.add(hidden, self._attention(normed, f"{name}.self_attn", rotation))
        normed = self._norm(hidden, f"{name}.post_attention_layernorm")
        gate = op.swish(self._linear(normed, f"{name}.mlp.gate_proj"))
        inner = op.multiply(gate, self._linear(normed, f"{name}.mlp.up_proj"))
        return op.add(hidden, self._linear(inner, f"{name}.mlp.down_proj"))

    def _attention(self, hidden: Any, name: str, rotation: tuple[Any, Any]) -> Any:
        op = self.op
        query, key, value = (
            self._split(self._linear(hidden, f"{name}.{part}_proj"), heads, f"{name}.{part}_norm")
            for part, heads in (("q", self.heads), ("k", self.kv_heads), ("v", self.kv_heads))
        )
        query, key = self._rotated(query, rotation), self._rotated(key, rotation)
        keys, values = self._remembered(key, f"{name}.key"), self._remembered(value, f"{name}.value")
        told = op.scaled_dot_product_attention(query, self._shared(keys), self._shared(values), self._mask())
        flat = op.reshape(
            op.transpose(told, self._ints(0, 2, 1, 3)), self._ints(0, 0, self.heads * self.width), special_zero=True
        )
        return self._linear(flat, f"{name}.o_proj")

    def _mask(self) -> Any:
        """What is added to the scores: nothing, for the pass puts the causal mask of paged attention in its place."""
        return self.op.constant(np.zeros((1, 1, 1, 1), np.float32))

    def _split(self, flat: Any, heads: int, norm: str) -> Any:
        """Heads apart, (B, heads, T, E), each normed where the model does so (qwen3)."""
        op = self.op
        split = op.reshape(flat, self._ints(0, 0, heads, self.width), special_zero=True)
        if f"{norm}.weight" in self.left:
            split = self._norm(split, norm)
        return op.transpose(split, self._ints(0, 2, 1, 3))

    def _shared(self, kept: Any) -> Any:
        """Heads of keys or values, each as often as there are heads of queries for it."""
        if self.kv_heads == self.heads:
            return kept
        op = self.op
        shape = op.shape_of(kept)
        first, last = (op.gather(shape, self._ints(*places), self._axis(0)) for places in ((0, 1), (2, 3)))
        wanted = op.concat([first, self._ints(self.heads // self.kv_heads), last], 0)
        wide = op.broadcast(op.unsqueeze(kept, self._ints(2)), wanted, broadcast_spec="BIDIRECTIONAL")
        return op.reshape(wide, self._ints(0, self.heads, -1, self.width), special_zero=True)

    def _remembered(self, new: Any, name: str) -> Any:
        """What a cache holds, with what is new."""
        from openvino.op.util import Variable, VariableInfo

        op, info = self.op, VariableInfo()
        info.data_shape = openvino().PartialShape([-1, self.kv_heads, -1, self.width])
        info.data_type, info.variable_id = openvino().Type.f32, name
        variable = Variable(info)
        shape = op.concat([self.batch, self._ints(self.kv_heads, 0, self.width)], 0)
        past = op.read_value(op.broadcast(op.constant(np.float32(0)), shape), variable)
        found = op.concat([op.gather(past, self.beam, self._axis(0)), new], 2)
        self.states.append(op.assign(found, variable))
        return found

    def _rotation(self) -> tuple[Any, Any]:
        """Cosines and sines (B, 1, T, E) of the positions' angles."""
        op = self.op
        places = op.convert(op.unsqueeze(self.positions, self._ints(1)), "f32")
        angles = op.matmul(op.constant(self.frequencies.reshape(1, -1, 1)), places, False, False)
        angles = op.transpose(angles, self._ints(0, 2, 1))
        both = op.concat([angles, angles], -1)
        parts = [op.unsqueeze(part, self._ints(1)) for part in (op.cos(both), op.sin(both))]
        if self.rotary_scale != 1.0:
            parts = [op.multiply(part, op.constant(np.float32(self.rotary_scale))) for part in parts]
        return parts[0], parts[1]

    def _rotated(self, rows: Any, rotation: tuple[Any, Any]) -> Any:
        op, half = self.op, self.width // 2
        low, high = (
            op.slice(rows, self._ints(start), self._ints(stop), self._ints(1), self._ints(3))
            for start, stop in ((0, half), (half, self.width))
        )
        minus = op.constant(np.full((1, 1, 1, 1), -1, np.float32))
        turned = op.concat([op.multiply(high, minus), low], -1)
        return op.add(op.multiply(rows, rotation[0]), op.multiply(turned, rotation[1]))

    def _norm(self, hidden: Any, name: str) -> Any:
        op, eps = self.op, np.float32(self.config.rms_norm_eps)
        mean = op.reduce_mean(op.power(hidden, op.constant(np.float32(2))), self._ints(-1), keep_dims=True)
        scale = op.divide(op.constant(np.float32(1)), op.sqrt(op.add(mean, op.constant(eps))))
        return op.multiply(op.constant(self._floats(f"{name}.weight")), op.multiply(hidden, scale))

    def _linear(self, hidden: Any, name: str) -> Any:
        found = self.op.matmul(hidden, self._matrix(f"{name}.weight"), False, True)
        if f"{name}.bias" in self.left:
            found = self.op.add(found, self.op.constant(self._floats(f"{name}.bias")))
        return self.op.add(found, self._low_rank(hidden, found, name)) if self.adapters else found

    def _low_rank(self, hidden: Any, found: Any, name: str) -> Any:
        """What adapters add to a layer's result: (x·Aᵀ ∘ mask)·Bᵀ, all tokens end to end as the mask has them."""
        op, (out, into) = self.op, self.layers[name]
        first = self._worn(FIRST.format(layer=name), (-1, into), self.adapters)
        second = self._worn(SECOND.format(layer=name), (out, -1), self.adapters)
        flat = op.reshape(hidden, self._ints(-1, into), special_zero=False)
        low = op.multiply(op.matmul(flat, op.convert(first, "f32"), False, True), self.mask)
        high = op.matmul(low, op.convert(second, "f32"), False, True)
        return op.reshape(high, op.shape_of(found), special_zero=False)

    def _worn(self, name: str, shape: tuple[int, ...], kind: Any) -> Any:
        found = self.op.parameter(list(shape), getattr(openvino().Type, kind))
        found.set_friendly_name(name)
        found.output(0).get_tensor().set_names({name})
        self.worn.append(found)
        return found

    # --- numbers

    def _matrix(self, name: str) -> Any:
        place = self.left[name].data_ptr()
        if place not in self.matrices:
            self.matrices[place] = self._as_stored(name) or compressed(self.op, self._floats(name), self.weights)
        self.left.pop(name, None)
        return self.matrices[place]

    def _as_stored(self, name: str) -> Any:
        """A matrix of 16 bits in the memory that it has; None where it has to be copied."""
        import torch

        matrix, kinds = self.left[name].detach(), {torch.bfloat16: "bf16", torch.float16: "f16"}
        if self.held is None or self.weights != "fp16" or matrix.dtype not in kinds or not matrix.is_contiguous():
            return None
        bits = matrix.view(torch.int16).numpy()
        self.held.append(bits)
        stored = openvino().Tensor(bits, list(bits.shape), getattr(openvino().Type, kinds[matrix.dtype]))
        return self.op.convert(self.op.constant(stored, shared_memory=True), "f32")

    def _floats(self, name: str) -> Floats:
        found: Floats = self.left.pop(name).detach().float().cpu().numpy()
        return found

    def _input(self, name: str, rank: int, kind: str) -> Any:
        found = self.op.parameter([-1] * rank, getattr(openvino().Type, kind))
        found.set_friendly_name(name)  # the pass looks for this one
        found.output(0).get_tensor().set_names({name})
        return found

    def _ints(self, *values: int) -> Any:
        return self.op.constant(np.array(values, np.int64))

    def _axis(self, number: int) -> Any:
        return self.op.constant(np.int64(number))


def compressed(op: Any, matrix: Floats, weights: Weights) -> Any:
    """A matrix in the format it takes in memory; it is widened where it is used.

    One that fp16 can't hold stays in float32.
    """
    if weights == "int8":
        steps, scales = quantised(matrix)
        return op.convert(op.multiply(op.convert(op.constant(steps), "f16"), op.constant(scales)), "f32")
    if float(np.abs(matrix).max(initial=0)) > MOST_FP16:
        return op.constant(matrix)
    return op.convert(op.constant(matrix.astype(np.float16)), "f32")


def quantised(matrix: Floats) -> tuple[NDArray[np.int8], NDArray[np.float16]]:
    """Eight-bit steps and the size of a step for each row, so that the row's largest number is 127 steps.

    Example:
        the row `[254.0, -127.0]` is `[127, -64]` steps of 2.
    """
    tiny = float(np.finfo(np.float16).tiny)
    scales = np.maximum(np.abs(matrix).max(axis=1, keepdims=True) / 127, tiny).astype(np.float16)
    steps = np.clip(np.rint(matrix / scales.astype(np.float32)), -127, 127).astype(np.int8)
    return steps, scales
