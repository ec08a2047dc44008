"""The decoding loop of transformers: many prompts at once, left-padded, rows dropped as they end.

Shapes: B rows in flight, T positions, V vocabulary, D width.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from inspect import signature
from typing import TYPE_CHECKING, Any

import torch

from buril.generators._writer import Row, Writer

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from buril.generators._worn import Worn

COMPACT_BELOW = 0.75
"""Ended rows are taken out of the batch when fewer than this share of its rows go on: taking out copies the cache."""


class Decoder:
    """Writes with a causal model.

    Args:
        model: any causal language model of transformers, adapters included.
        writer: draws the tokens and ends the rows.
        worn: puts adapters on the rows of a pass.
    """

    def __init__(self, model: PreTrainedModel, writer: Writer, worn: Worn | None = None) -> None:
        self.writer, self._worn = writer, worn
        self.head = Head(model)

    def run(self, rows: Sequence[Row]) -> None:
        """Decode rows to their ends; their results are left in them."""
        for _step in self.steps(rows):
            pass

    @torch.inference_mode()
    def steps(self, rows: Sequence[Row]) -> Iterator[None]:
        """Decode rows to their ends, a token each a step; a row that is ended by others meanwhile is let go of."""
        from transformers import DynamicCache

        cache = DynamicCache()
        active = [row for row in rows if row.ended is None]
        if not active:
            return
        hidden_BD, mask_BT = self._prefill(active, cache)
        while True:
            picked_B = self.writer.step(active, self.head.logits(hidden_BD))
            yield
            going = [place for place, row in enumerate(active) if row.ended is None]
            if not going:
                return
            if len(going) < COMPACT_BELOW * len(active):
                keep_B = torch.tensor(going, device=mask_BT.device)
                cache.batch_select_indices(keep_B)
                active, mask_BT, picked_B = [active[place] for place in going], mask_BT[keep_B], picked_B[keep_B]
            mask_BT = torch.cat([mask_BT, mask_BT.new_ones((len(active), 1))], dim=1)
            with self._adapted([row.request.adapter for row in active]):
                hidden_BD = self.head.hidden(picked_B[:, None], mask_BT, cache)[:, -1]

    def _adapted(self, names: Sequence[str]) -> AbstractContextManager[None]:
        return self._worn.by(names) if self._worn else nullcontext()

    def _prefill(self, active: list[Row], cache: Any) -> tuple[torch.Tensor, torch.Tensor]:
        """Run every distinct prompt once for each adapter, then give each row its prompt's cache."""
        distinct = sorted({(row.prompt, row.request.adapter) for row in active})
        prompts = [prompt for prompt, _adapter in distinct]
        place_of = {prompt: place for place, prompt in enumerate(distinct)}
        width = max(map(len, prompts))
        ids_BT = torch.tensor(
            [[0] * (width - len(prompt)) + list(prompt) for prompt in prompts], device=self.head.device
        )
        mask_BT = torch.tensor(
            [[0] * (width - len(prompt)) + [1] * len(prompt) for prompt in prompts], device=self.head.device
        )
        with self._adapted([adapter for _prompt, adapter in distinct]):
            hidden_BD = self.head.hidden(ids_BT, mask_BT, cache)[:, -1]
        rows_B = torch.tensor([place_of[row.prompt, row.request.adapter] for row in active], device=self.head.device)
        if len(prompts) != len(active) or rows_B.tolist() != list(range(len(prompts))):
            cache.batch_select_indices(rows_B)
        return hidden_BD[rows_B], mask_BT[rows_B]


class Head:
    """A causal model taken in two: the layers, and the output head, which is only run where its result is used."""

    def __init__(self, model: PreTrainedModel) -> None:
        inner = model.get_base_model() if hasattr(model, "get_base_model") else model
        self.layers = inner.get_decoder()
        self.head = inner.get_output_embeddings()
        config = inner.config.get_text_config()
        self.scale = float(getattr(config, "logit_scale", None) or 1.0) / float(
            getattr(config, "logits_scaling", None) or 1.0
        )
        self.softcap = getattr(config, "final_logit_softcapping", None)
        self.max_positions = int(getattr(config, "max_position_embeddings", 0) or 1 << 20)
        self.device: torch.device = self.head.weight.device
        # transformers renames the argument: 5.24 knows both names, 5.40 the new one alone
        self.cache = "cache" if "cache" in signature(self.layers.forward).parameters else "past_key_values"

    def hidden(self, ids_BT: torch.Tensor, mask_BT: torch.Tensor | None = None, cache: Any = None) -> torch.Tensor:
        """Last hidden states (B, T, D). `mask_BT` covers the cache too; without one nothing is padded on the left."""
        more: dict[str, Any] = {self.cache: cache}
        if mask_BT is not None:
            positions_BT = (mask_BT.cumsum(dim=1) - 1).clamp_min(0)[:, -ids_BT.shape[1] :]
            more |= {"position_ids": positions_BT, "attention_mask": None if bool(mask_BT.all()) else mask_BT}
        told = self.layers(input_ids=ids_BT, use_cache=cache is not None, **more)
        hidden_BTD: torch.Tensor = told.last_hidden_state
        return hidden_BTD

    def logits(self, hidden_BD: torch.Tensor) -> torch.Tensor:
        """Logits (B, V) in float32."""
        logits_BV: torch.Tensor = self.head(hidden_BD).float()
        if self.scale != 1.0:
            logits_BV = logits_BV * self.scale
        return self.softcap * torch.tanh(logits_BV / self.softcap) if self.softcap else logits_BV
