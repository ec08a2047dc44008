"""What is written, whichever engine computes the logits: which token is drawn, when a text ends, what comes back.

Shapes: B rows in flight, V vocabulary, N tokens, K the likeliest of them.

Sampling is by inverse transform from a stream of uniform numbers that belongs to the row (its request's seed and its
sample's number), so what a row draws does not depend on its neighbours. In bf16 the logits themselves do, in the last
bit, since the hardware sums in another order for another batch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import numpy as np
import torch

from buril.generators._biases import biased
from buril.generators._generator import Completion, Request, TokenLogprob, has_biases, up_to
from buril.generators._guide import Matcher, held
from buril.generators._sentinels import STRUCTURE
from buril.generators._telling import Teller, likeliest_of

if TYPE_CHECKING:
    from buril.generators._encoder import Encoder
    from buril.generators._heal import Healer
    from buril.generators._load import Loaded
    from buril.generators._mark import Mark

NUCLEUS = 1024
"""How many of the likeliest tokens are looked at for `top_p` before the whole vocabulary is sorted."""

Measure = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
"""What is told (N,) of rows of logits (N, V) and the tokens (N,) that came after them: `logprobs`, `entropies`."""


@dataclass
class Row:
    """One sample on its way. `position` says which request and which of its samples it is.

    `rest` is text which must be written first: the prompt's last characters, as far as they are not yet written.
    `matcher` is where it stands in its grammar.
    """

    position: tuple[int, int]
    request: Request
    prompt: tuple[int, ...]
    rest: bytes = b""
    ids: list[int] = field(default_factory=list)
    logprob: float = 0.0
    ended: Literal["eos", "stop", "length"] | None = None
    text: str | None = None
    cached: int = 0
    """Tokens of the prompt that were not run for this row, as the engine's cache held them."""
    matcher: Matcher | None = None

    def __post_init__(self) -> None:
        self.random = np.random.default_rng([self.request.seed, self.position[1]])
        self.again = self.rest.decode()
        """What of the written text stands in the prompt already."""
        self.rewriting = 0
        """Tokens that wrote nothing but what stands in the prompt already; they are not the answer's."""
        self.told: list[TokenLogprob] | None = [] if self.request.logprobs is not None else None
        """What is told of each token, where it was asked for. It only grows: others may read it meanwhile."""
        self.biased = has_biases(self.request)
        self.counts: dict[int, int] = {}
        """How often each token was written, where that matters."""
        if self.request.max_tokens <= 0:
            self.ended = "length"


class Writer:
    """Draws the tokens of rows and says when a row has ended.

    Args:
        encoder: turns ids into text, to find stop strings.
        end_ids: tokens that end a text.
        num_tokens: ids from here on are never drawn: rows of the embedding that no token stands for.
        healer: says which tokens agree with the text that a row must write first.
        mark: leans on the choice of tokens; log-probabilities stay those of the model alone.
    """

    def __init__(
        self,
        encoder: Encoder,
        *,
        end_ids: frozenset[int],
        num_tokens: int,
        healer: Healer | None = None,
        mark: Mark | None = None,
    ) -> None:
        self.encoder = encoder
        self.healer = healer
        self.mark = mark
        self.end_ids = end_ids
        self.num_tokens = num_tokens
        self.teller = Teller(encoder)

    def step(self, active: Sequence[Row], logits_BV: torch.Tensor) -> torch.Tensor:
        """Draw one token (B,) for each row, and end the rows that end with it. The logits are overwritten."""
        logits_BV[:, self.num_tokens :] = -torch.inf
        for place, row in enumerate(active):
            if row.rest and row.ended is None:
                assert self.healer is not None
                allowed_N = torch.from_numpy(self.healer.allowed(row.rest)).to(logits_BV.device)
                kept_N = logits_BV[place, allowed_N]
                logits_BV[place] = -torch.inf
                logits_BV[place, allowed_N] = kept_N
        leaned_BV = logits_BV if self.mark is None else self.mark.lean(active, logits_BV)
        picked_B = pick(held(active, biased(active, leaned_BV, logits_BV), logits_BV), active)
        sum_B = logits_BV.logsumexp(dim=1)
        logprob_B = logits_BV.gather(1, picked_B[:, None])[:, 0] - sum_B
        drawn = list(zip(active, picked_B.tolist(), logprob_B.tolist(), strict=True))
        if any(row.told is not None for row in active):
            self._tell(drawn, logits_BV, sum_B)
        for row, token, logprob in drawn:
            if row.ended is None:
                self._take(row, token, logprob)
        return picked_B

    def _tell(self, drawn: Sequence[tuple[Row, int, float]], logits_BV: torch.Tensor, sum_B: torch.Tensor) -> None:
        """Tell the rows that asked of the tokens that they get now."""
        places = [place for place, (row, *_drawn) in enumerate(drawn) if row.told is not None and row.ended is None]
        number = max((drawn[place][0].request.logprobs or 0 for place in places), default=0)
        for place, top in zip(places, likeliest_of(logits_BV[places], sum_B[places], number), strict=True):
            row, token, logprob = drawn[place]
            asked = row.request
            found = self.teller.told(token, logprob, top[: asked.logprobs], rest=row.rest, spelt=asked.spelt)
            if found is not None and row.told is not None:
                row.told.append(found)

    def _take(self, row: Row, token: int, logprob: float) -> None:
        row.logprob += logprob
        if token in self.end_ids:
            row.ended = "eos"
            return
        row.ids.append(token)
        if row.matcher is not None:
            row.matcher.take(token)
        if row.biased:
            row.counts[token] = row.counts.get(token, 0) + 1
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
        recent = self.encoder.decode(row.ids[-tail:], spelt=row.request.spelt)
        if not any(stop in recent for stop in row.request.stop):
            return False
        text = self.written(row)
        found, stopped = up_to(text, row.request.stop)
        row.text = found if stopped else None
        return stopped

    def completion(self, row: Row) -> Completion:
        """The result of an ended row."""
        assert row.ended is not None
        text = row.text if row.text is not None else self.written(row)
        return Completion(text, tuple(row.ids[row.rewriting :]), row.ended, row.logprob)

    def written(self, row: Row) -> str:
        """What a row adds to its prompt's text, as far as it is written."""
        return self.encoder.continuation(row.prompt[-1], row.ids, spelt=row.request.spelt)[len(row.again) :]


def logprobs(logits_NV: torch.Tensor, ids_N: torch.Tensor) -> torch.Tensor:
    """Natural log-probability (N,) of one token in each row of logits."""
    return logits_NV.gather(1, ids_N[:, None])[:, 0] - logits_NV.logsumexp(dim=1)


def entropies(logits_NV: torch.Tensor, ids_N: torch.Tensor) -> torch.Tensor:
    """Entropy (N,) in nats of each row of logits at temperature 1; which token came is not asked."""
    del ids_N
    log_NV = logits_NV.log_softmax(dim=1)
    return -(log_NV.exp() * log_NV.clamp_min(torch.finfo(log_NV.dtype).min)).sum(dim=1)


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


def end_ids(loaded: Loaded) -> frozenset[int]:
    """Tokens that end a text.

    Those that the model's generation settings name, the end of a document, and whatever opens another file or hole.
    """
    named = loaded.model.generation_config.eos_token_id
    listed = named if isinstance(named, list) else [named]
    vocabulary = loaded.encoder.vocabulary
    fim = loaded.fim
    also = (
        fim["eos"],
        fim["prefix"],
        fim["suffix"],
        fim["middle"],
        fim["pad"],
        *(vocabulary.get(token) for token in STRUCTURE),
    )
    return frozenset(int(token) for token in (*listed, *also) if token is not None)


def num_tokens(loaded: Loaded) -> int:
    """One more than the highest id that is a token: embeddings are often padded beyond it."""
    return loaded.encoder.num_ids
