"""The graph of `_paged_graph.py` in the form that others read: a model with a state, as OpenVINO GenAI expects it.

Inputs `input_ids`, `attention_mask`, `position_ids` and `beam_idx`, output `logits` for every token; the cache of keys
and values is a state. Written as XML with its weights beside, it is what OpenVINO GenAI, its model server and plain
OpenVINO open; the former two make paged attention of it themselves.

Shapes: B sequences, T new tokens, S tokens so far and new ones.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from buril.generators._openvino import openvino
from buril.generators._paged_graph import Graph, Weights, check

if TYPE_CHECKING:
    from transformers import PreTrainedModel

MASKED = np.float32(-65504.0)
"""What is added to the score of a token that must not be seen: the least number of fp16."""


def build(model: PreTrainedModel, weights: Weights) -> Any:
    """The graph: an `openvino.Model`.

    Args:
        model: without adapters. Its weights are read one at a time and not changed.
        weights: `fp16`, or `int8` with one scale for each row of a matrix; norms and biases stay in float32.

    Raises:
        BurilError: T020 for a model of another kind.
    """
    check(model)
    return _Stateful(model, weights).graph()


class _Stateful(Graph):
    def graph(self) -> Any:
        """The model with a state for each cache, and logits for every token."""
        op = self.op
        inputs = [
            self._input(name, rank, kind)
            for name, rank, kind in (
                ("input_ids", 2, "i64"), ("attention_mask", 2, "i64"), ("position_ids", 2, "i64"),
                ("beam_idx", 1, "i32"),
            )
        ]  # fmt: skip
        ids, self.seen, self.positions, self.beam = inputs
        self.batch = op.gather(op.shape_of(ids), self._ints(0), self._axis(0))
        self.causal = self._causal(ids)
        table = self._matrix("model.embed_tokens.weight")
        hidden = op.gather(table, op.convert(ids, "i32"), self._axis(0))
        rotation = self._rotation()
        for number in range(self.config.num_hidden_layers):
            hidden = self._layer(hidden, f"model.layers.{number}", rotation)
        logits = op.matmul(self._norm(hidden, "model.norm"), self._matrix("lm_head.weight"), False, True)
        result = op.result(logits)
        result.output(0).get_tensor().set_names({"logits"})
        self._check_all_used()
        return openvino().Model([result], self.states, inputs, "causal")

    def _mask(self) -> Any:
        return self.causal

    def _causal(self, ids: Any) -> Any:
        """What is added to the scores, (B, 1, T, S): a token sees those before it that the mask lets it see."""
        op = self.op
        whole, new = (
            op.squeeze(op.gather(op.shape_of(part), self._ints(1), self._axis(0)), self._ints(0))
            for part in (self.seen, ids)
        )
        one = op.constant(np.int64(1))
        keys = op.range(op.constant(np.int64(0)), whole, one, "i64")
        queries = op.range(op.subtract(whole, new), whole, one, "i64")
        before = op.less_equal(op.unsqueeze(keys, self._ints(0)), op.unsqueeze(queries, self._ints(1)))
        there = op.not_equal(op.unsqueeze(self.seen, self._ints(1, 2)), op.constant(np.int64(0)))
        both = op.logical_and(op.unsqueeze(before, self._ints(0, 1)), there)
        return op.select(both, op.constant(np.float32(0)), op.constant(MASKED))
