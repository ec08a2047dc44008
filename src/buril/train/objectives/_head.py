"""The last layer and its loss without the logits: a slice of tokens at a time, gradients made on the way forward.

The logits of 2,048 tokens over 49,152 words are 400 MB in fp32, and as much again for their gradient. Here they exist
for `CHUNK` tokens at a time; what is kept for the backward pass is the gradient of the hidden states, which is small.
Which loss it is says a `ChunkLoss`: it is given the logits of a slice and gives back the loss and its gradient.

Tensor suffixes: T tokens, D width, V words of the vocabulary, R trained rows of the head, C tokens of a chunk, N
illegal continuations.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple, Protocol

import torch

CHUNK = 512
"""Tokens whose logits exist at once: enough to multiply well, 100 MB for 49,152 words."""
ROWS = 8192
"""Words whose rows of a trained head get the gradient of a chunk at once: their product is a copy of the head less."""
MAX_PROBABILITY = 1 - 1e-5
"""A probability is taken for no more than this where 1 − p is divided by."""


class Head(NamedTuple):
    """The output layer: its weights, and the rows of it that are trained apart (new tokens of an adapter).

    `weight_VD` may need a gradient (full training) or not. `rows_RD` replace the rows `index_R` of a frozen weight.
    """

    weight_VD: torch.Tensor
    rows_RD: torch.Tensor | None = None
    index_R: torch.Tensor | None = None

    def whole(self, dtype: torch.dtype) -> torch.Tensor:
        """The weights in a number format, with the rows that are trained apart in their places."""
        used_VD = self.weight_VD.to(dtype)
        if self.rows_RD is None or self.index_R is None:
            return used_VD
        return used_VD.index_copy(0, self.index_R, self.rows_RD.to(dtype))


class ChunkLoss(Protocol):
    """A loss over logits that is a sum over tokens."""

    def chunk(self, logits_CV: torch.Tensor, part: slice, *, grad: bool) -> tuple[torch.Tensor, torch.Tensor]:
        """The sum of the losses of the tokens `part`, and its gradient by the logits.

        Args:
            logits_CV: in fp32; may be overwritten.
            part: which tokens these are.
            grad: whether the gradient is wanted; what is given back in its place is not looked at otherwise.
        """


class Illegal(NamedTuple):
    """Continuations that are wrong: after the token `place_N` (a row of the hidden states) the word `token_N`.

    `factor` is the weight of each beside a target of weight 1.
    """

    place_N: torch.Tensor
    token_N: torch.Tensor
    factor: float


class CrossEntropyLoss(NamedTuple):
    """Cross-entropy with a weight a token (none: 1), and unlikelihood of illegal continuations.

    Σ w·(−log p(target)) + factor·Σ −log(1 − p(illegal)). The second term is that of Welleck et al. 2019, "Neural Text
    Generation with Unlikelihood Training".
    """

    targets_T: torch.Tensor
    weights_T: torch.Tensor | None = None
    illegal: Illegal | None = None

    def chunk(self, logits_CV: torch.Tensor, part: slice, *, grad: bool) -> tuple[torch.Tensor, torch.Tensor]:
        """See `ChunkLoss`."""
        targets_C = self.targets_T[part]
        weights_C = None if self.weights_T is None else self.weights_T[part]
        logits_CV.sub_(logits_CV.amax(-1, keepdim=True))
        target_C = logits_CV.gather(1, targets_C[:, None])[:, 0]
        error_CV = logits_CV.exp_()  # in place, once: these are the largest arrays of the whole step
        sum_C = error_CV.sum(-1)
        loss_C = sum_C.log() - target_C
        loss = loss_C.sum() if weights_C is None else (loss_C * weights_C).sum()
        wrong = self._wrong(error_CV, sum_C, part)
        if wrong is not None:
            loss = loss + wrong.loss
        if grad:
            scale_C = sum_C.reciprocal()
            taken_C = torch.full_like(loss_C, -1.0) if weights_C is None else -weights_C
            if weights_C is not None:
                scale_C = scale_C * weights_C
            if wrong is not None:
                scale_C = scale_C.index_add(0, wrong.row_N, -wrong.pull_N / sum_C[wrong.row_N])
            error_CV.mul_(scale_C[:, None])
            error_CV.scatter_add_(1, targets_C[:, None], taken_C[:, None])
            if wrong is not None:
                error_CV.index_put_((wrong.row_N, wrong.token_N), wrong.pull_N, accumulate=True)
        return loss, error_CV

    def _wrong(self, mass_CV: torch.Tensor, sum_C: torch.Tensor, part: slice) -> _Wrong | None:
        if self.illegal is None:
            return None
        place_N, token_N, factor = self.illegal
        here_N = (place_N >= part.start) & (place_N < part.stop)
        row_N, token_N = place_N[here_N] - part.start, token_N[here_N]
        chance_N = (mass_CV[row_N, token_N] / sum_C[row_N]).clamp(max=MAX_PROBABILITY)
        loss = -factor * torch.log1p(-chance_N).sum()
        return _Wrong(row_N, token_N, factor * chance_N / (1 - chance_N), loss)


class _Wrong(NamedTuple):
    """The illegal continuations of a chunk. The gradient of −log(1 − p_i) by logit j is pull·(1[i = j] − p_j)."""

    row_N: torch.Tensor
    token_N: torch.Tensor
    pull_N: torch.Tensor
    loss: torch.Tensor


def parts(num_words: int) -> Iterator[slice]:
    """The words in runs of `ROWS`, the last with what is left over: a short run of its own is summed in other steps."""
    number = max(1, num_words // ROWS)
    for begin in range(0, number * ROWS, ROWS):
        yield slice(begin, num_words if begin == (number - 1) * ROWS else begin + ROWS)


class _Gradients(NamedTuple):
    """Where gradients add up; None where none is wanted."""

    hidden_TD: torch.Tensor | None
    weight_VD: torch.Tensor | None
    rows_RD: torch.Tensor | None

    def add(self, error_CV: torch.Tensor, hidden_CD: torch.Tensor, used_VD: torch.Tensor, place: _Place) -> None:
        """Put or add the gradients of a chunk where they belong, from the error of its logits."""
        if self.hidden_TD is not None:
            torch.mm(error_CV, used_VD, out=self.hidden_TD[place.part])
        if self.weight_VD is not None:
            for rows in parts(len(self.weight_VD)):
                self.weight_VD[rows].add_(error_CV[:, rows].T @ hidden_CD)
        if self.rows_RD is not None and place.index_R is not None:
            self.rows_RD.add_(error_CV[:, place.index_R].T @ hidden_CD)


class _Place(NamedTuple):
    part: slice
    index_R: torch.Tensor | None


class _HeadLoss(torch.autograd.Function):
    """A `ChunkLoss` of `hidden @ weight.T`."""

    @staticmethod
    def forward(  # noqa: PLR0917  torch passes arguments by place
        ctx: Any,
        hidden_TD: torch.Tensor,
        weight_VD: torch.Tensor,
        rows_RD: torch.Tensor | None,
        index_R: torch.Tensor | None,
        loss: ChunkLoss,
    ) -> torch.Tensor:
        used_VD = Head(weight_VD, rows_RD, index_R).whole(hidden_TD.dtype)
        needs = ctx.needs_input_grad
        grads = _Gradients(
            torch.empty_like(hidden_TD) if needs[0] else None,
            torch.zeros_like(weight_VD, dtype=torch.float32) if needs[1] else None,
            torch.zeros_like(rows_RD, dtype=torch.float32) if rows_RD is not None and needs[2] else None,
        )
        wanted = any(grad is not None for grad in grads)
        total = torch.zeros((), dtype=torch.float32, device=hidden_TD.device)
        for begin in range(0, hidden_TD.shape[0], CHUNK):
            part = slice(begin, begin + CHUNK)
            part_loss, error_CV = loss.chunk((hidden_TD[part] @ used_VD.T).float(), part, grad=wanted)
            total += part_loss
            if wanted:
                grads.add(error_CV.to(hidden_TD.dtype), hidden_TD[part], used_VD, _Place(part, index_R))
        ctx.save_for_backward(*grads)
        return total

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        scaled = (None if found is None else found.mul_(grad.to(found.dtype)) for found in ctx.saved_tensors)
        return (*scaled, None, None)


def head_loss(hidden_TD: torch.Tensor, head: Head, loss: ChunkLoss) -> torch.Tensor:
    """A loss over the logits of `hidden_TD`, which are never there all at once; fp32, no mean taken.

    It does not support a bias of the head or second derivatives.
    """
    found: torch.Tensor = _HeadLoss.apply(  # type: ignore[no-untyped-call]  # torch does not type apply
        hidden_TD, head.weight_VD, head.rows_RD, head.index_R, loss
    )
    return found


def linear_cross_entropy(
    hidden_TD: torch.Tensor,
    head: Head,
    targets_T: torch.Tensor,
    weights_T: torch.Tensor | None = None,
    illegal: Illegal | None = None,
) -> torch.Tensor:
    """Sum over tokens of the negative log-likelihood of their targets, in nats; fp32, no mean taken.

    Args:
        hidden_TD: last hidden states; their number format is that of the multiplications.
        head: the output layer.
        targets_T: a word for each token, all valid (leave out tokens that predict nothing before).
        weights_T: fp32, what each token counts; 1 where there are none.
        illegal: continuations whose probability is to fall.

    It does not support label smoothing.
    """
    return head_loss(hidden_TD, head, CrossEntropyLoss(targets_T, weights_T, illegal))
