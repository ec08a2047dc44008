"""The decoding loop: many prompts at once, left-padded, rows dropped as they end.

Shapes: B rows in flight, T positions, V vocabulary, D width.

Sampling is by inverse transform from a stream of uniform numbers that belongs to the row (its request's seed and its
sample's number), so what a row draws does not depend on its neighbours. In bf16 the logits themselves do, in the last
bit, since the hardware sums in another order for another batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from inspect import signature
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch

from buril.generators._generator import Completion, Request

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from buril.generators._encoder import Encoder
    from buril.generators._heal import Healer

NUCLEUS = 1024
"""How many of the likeliest tokens are looked at for `top_p` before the whole vocabulary is sorted."""
COMPACT_BELOW = 0.75
"""Ended rows are taken out of the batch when fewer than this share of its rows go on: taking out copies the cache."""


@dataclass
class Row:
    """One sample on its way. `position` says which request and which of its samples it is.

    `rest` is text which must be written first: the prompt's last characters, as far as they are not yet written.
    """

    position: tuple[int, int]
    request: Request
    prompt: tuple[int, ...]
    rest: bytes = b""
    ids: list[int] = field(default_factory=list)
    logprob: float = 0.0
    ended: Literal["eos", "stop", "length"] | None = None
    text: str | None = None

    def __post_init__(self) -> None:
        self.random = np.random.default_rng([self.request.seed, self.position[1]])
        self.again = self.rest.decode()
        """What of the written text stands in the prompt already."""
        self.rewriting = 0
        """Tokens that wrote nothing but what stands in the prompt already; they are not the answer's."""


class Decoder:
    """Writes with a causal model.

    Args:
        model: any causal language model of transformers, adapters included.
        encoder: turns ids into text, to find stop strings.
        end_ids: tokens that end a text.
        num_tokens: ids from here on are never drawn: rows of the embedding that no token stands for.
        healer: says which tokens agree with the text that a row must write first.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        encoder: Encoder,
        *,
        end_ids: frozenset[int],
        num_tokens: int,
        healer: Healer | None = None,
    ) -> None:
        self.encoder = encoder
        self.healer = healer
        self.end_ids = end_ids
        self.num_tokens = num_tokens
        self.head = Head(model)

    @torch.inference_mode()
    def run(self, rows: Sequence[Row]) -> None:
        """Decode rows to their ends; their results are left in them."""
        from transformers import DynamicCache

        cache = DynamicCache()
        active = [row for row in rows if row.request.max_tokens > 0]
        for row in rows:
            row.ended = None if row.request.max_tokens > 0 else "length"
        if not active:
            return
        hidden_BD, mask_BT = self._prefill(active, cache)
        while True:
            picked_B = self._step(active, self.head.logits(hidden_BD))
            going = [place for place, row in enumerate(active) if row.ended is None]
            if not going:
                return
            if len(going) < COMPACT_BELOW * len(active):
                keep_B = torch.tensor(going, device=mask_BT.device)
                cache.batch_select_indices(keep_B)
                active, mask_BT, picked_B = [active[place] for place in going], mask_BT[keep_B], picked_B[keep_B]
            mask_BT = torch.cat([mask_BT, mask_BT.new_ones((len(active), 1))], dim=1)
            hidden_BD = self.head.hidden(picked_B[:, None], mask_BT, cache)[:, -1]

    def _prefill(self, active: list[Row], cache: Any) -> tuple[torch.Tensor, torch.Tensor]:
        """Run every distinct prompt once, then give each row its prompt's cache."""
        prompts = sorted({row.prompt for row in active})
        place_of = {prompt: place for place, prompt in enumerate(prompts)}
        width = max(map(len, prompts))
        ids_BT = torch.tensor(
            [[0] * (width - len(prompt)) + list(prompt) for prompt in prompts], device=self.head.device
        )
        mask_BT = torch.tensor(
            [[0] * (width - len(prompt)) + [1] * len(prompt) for prompt in prompts], device=self.head.device
        )
        hidden_BD = self.head.hidden(ids_BT, mask_BT, cache)[:, -1]
        rows_B = torch.tensor([place_of[row.prompt] for row in active], device=self.head.device)
        if len(prompts) != len(active) or rows_B.tolist() != list(range(len(prompts))):
            cache.batch_select_indices(rows_B)
        return hidden_BD[rows_B], mask_BT[rows_B]

    def _step(self, active: list[Row], logits_BV: torch.Tensor) -> torch.Tensor:
        """Draw one token for each row, and end the rows that end with it."""
        logits_BV[:, self.num_tokens :] = -torch.inf
        for place, row in enumerate(active):
            if row.rest and row.ended is None:
                assert self.healer is not None
                allowed_N = torch.from_numpy(self.healer.allowed(row.rest)).to(logits_BV.device)
                kept_N = logits_BV[place, allowed_N]
                logits_BV[place] = -torch.inf
                logits_BV[place, allowed_N] = kept_N
        picked_B = pick(logits_BV, active)
        logprob_B = logits_BV.gather(1, picked_B[:, None])[:, 0] - logits_BV.logsumexp(dim=1)
        for row, token, logprob in zip(active, picked_B.tolist(), logprob_B.tolist(), strict=True):
            if row.ended is None:
                self._take(row, token, logprob)
        return picked_B

    def _take(self, row: Row, token: int, logprob: float) -> None:
        row.logprob += logprob
        if token in self.end_ids:
            row.ended = "eos"
            return
        row.ids.append(token)
        if row.rest:
            assert self.healer is not None
            row.rest, new = self.healer.after(row.rest, token)
            row.rewriting += not new
        if row.rest:
            return
        if row.request.stop and self._stopped(row):
            row.ended = "stop"
        elif len(row.ids) - row.rewriting >= row.request.max_tokens:
            row.ended = "length"

    def _stopped(self, row: Row) -> bool:
        """Whether a stop string is in the text; it is looked for in a tail that must hold a fresh one."""
        tail = 4 * max(map(len, row.request.stop)) + 4
        recent = self.encoder.decode(row.ids[-tail:])
        if not any(stop in recent for stop in row.request.stop):
            return False
        text = self._written(row)
        places = [text.find(stop) for stop in row.request.stop if stop in text]
        row.text = text[: min(places)] if places else None
        return bool(places)

    def completion(self, row: Row) -> Completion:
        """The result of an ended row."""
        assert row.ended is not None
        text = row.text if row.text is not None else self._written(row)
        return Completion(text, tuple(row.ids[row.rewriting :]), row.ended, row.logprob)

    def _written(self, row: Row) -> str:
        """What a row adds to its prompt's text."""
        return self.encoder.continuation(row.prompt[-1], row.ids)[len(row.again) :]


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


def pick(logits_BV: torch.Tensor, rows: Sequence[Row]) -> torch.Tensor:
    """One token for each row: the likeliest at temperature 0, else one drawn with the row's own random numbers."""
    picked_B = logits_BV.argmax(dim=1)
    drawing = [place for place, row in enumerate(rows) if row.request.temperature > 0 and row.ended is None]
    if not drawing:
        return picked_B
    device = logits_BV.device
    heat_B = torch.tensor([rows[place].request.temperature for place in drawing], device=device)
    uniform_B = torch.tensor([rows[place].random.random() for place in drawing], dtype=torch.float64, device=device)
    probs_BV = torch.softmax(logits_BV[drawing] / heat_B[:, None], dim=1)
    for place, row in enumerate(drawing):
        picked_B[row] = draw(probs_BV[place], uniform_B[place], rows[row].request.top_p)
    return picked_B


def draw(probs_V: torch.Tensor, uniform: torch.Tensor, top_p: float) -> torch.Tensor:
    """A token by inverse transform, from the smallest set of likeliest tokens that holds `top_p` of the probability.

    Source: Holtzman et al. 2020, The Curious Case of Neural Text Degeneration (nucleus sampling).
    """
    if top_p >= 1.0:
        mass_V = probs_V.cumsum(dim=0, dtype=torch.float64)
        return torch.searchsorted(mass_V, uniform * mass_V[-1], right=True).clamp_max(len(probs_V) - 1)
    best_K, ids_K = probs_V.topk(min(NUCLEUS, len(probs_V)))
    if float(best_K.sum()) < top_p:
        best_K, ids_K = probs_V.sort(descending=True)
    mass_K = best_K.cumsum(dim=0, dtype=torch.float64)
    size = int((mass_K - best_K < top_p).sum())
    place = torch.searchsorted(mass_K[:size], uniform * mass_K[size - 1], right=True).clamp_max(size - 1)
    return ids_K[place]
