"""The last layer and its loss without the logits: a slice of tokens at a time, gradients made on the way forward.

The logits of 2,048 tokens over 49,152 words are 400 MB in fp32, and as much again for their gradient. Here they exist
for `CHUNK` tokens at a time; what is kept for the backward pass is the gradient of the hidden states, which is small.

Tensor suffixes: T tokens, D width, V words of the vocabulary, R trained rows of the head, C tokens of a chunk.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch

CHUNK = 512
"""Tokens whose logits exist at once: enough to multiply well, 100 MB for 49,152 words."""


class Head(NamedTuple):
    """The output layer: its weights, and the rows of it that are trained apart (new tokens of an adapter).

    `weight_VD` may need a gradient (full training) or not. `rows_RD` replace the rows `index_R` of a frozen weight.
    """

    weight_VD: torch.Tensor
    rows_RD: torch.Tensor | None = None
    index_R: torch.Tensor | None = None


class _Gradients(NamedTuple):
    """Where gradients add up; None where none is wanted."""

    hidden_TD: torch.Tensor | None
    weight_VD: torch.Tensor | None
    rows_RD: torch.Tensor | None


class _LinearCrossEntropy(torch.autograd.Function):
    """Sum over tokens of the cross-entropy of `hidden @ weight.T`."""

    @staticmethod
    def forward(  # noqa: PLR0917  torch passes arguments by place
        ctx: Any,
        hidden_TD: torch.Tensor,
        weight_VD: torch.Tensor,
        rows_RD: torch.Tensor | None,
        index_R: torch.Tensor | None,
        targets_T: torch.Tensor,
    ) -> torch.Tensor:
        used_VD = weight_VD.to(hidden_TD.dtype)
        if rows_RD is not None and index_R is not None:
            used_VD = used_VD.index_copy(0, index_R, rows_RD.to(hidden_TD.dtype))
        needs = ctx.needs_input_grad
        grads = _Gradients(
            torch.empty_like(hidden_TD) if needs[0] else None,
            torch.zeros_like(weight_VD, dtype=torch.float32) if needs[1] else None,
            torch.zeros_like(rows_RD, dtype=torch.float32) if rows_RD is not None and needs[2] else None,
        )
        total = torch.zeros((), dtype=torch.float32, device=hidden_TD.device)
        for begin in range(0, hidden_TD.shape[0], CHUNK):
            part = slice(begin, begin + CHUNK)
            total += _chunk(hidden_TD[part], used_VD, targets_T[part], part=part, grads=grads, index_R=index_R)
        ctx.save_for_backward(*grads)
        return total

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        scaled = (None if found is None else found * grad.to(found.dtype) for found in ctx.saved_tensors)
        return (*scaled, None, None)


def _chunk(
    hidden_CD: torch.Tensor,
    weight_VD: torch.Tensor,
    targets_C: torch.Tensor,
    *,
    part: slice,
    grads: _Gradients,
    index_R: torch.Tensor | None,
) -> torch.Tensor:
    """The loss of a few tokens; their gradients are put or added where they belong."""
    logits_CV = (hidden_CD @ weight_VD.T).float()
    logits_CV.sub_(logits_CV.amax(-1, keepdim=True))
    target_C = logits_CV.gather(1, targets_C[:, None])[:, 0]
    error_CV = logits_CV.exp_()  # in place, once: these are the largest arrays of the whole step
    sum_C = error_CV.sum(-1)
    loss_C = sum_C.log() - target_C
    if any(grad is not None for grad in grads):
        error_CV.mul_(sum_C.reciprocal()[:, None])
        error_CV.scatter_add_(1, targets_C[:, None], torch.full_like(loss_C, -1.0)[:, None])
        error_CV = error_CV.to(hidden_CD.dtype)
        if grads.hidden_TD is not None:
            torch.mm(error_CV, weight_VD, out=grads.hidden_TD[part])
        if grads.weight_VD is not None:
            grads.weight_VD.add_(error_CV.T @ hidden_CD)
        if grads.rows_RD is not None and index_R is not None:
            grads.rows_RD.add_(error_CV[:, index_R].T @ hidden_CD)
    return loss_C.sum()


def linear_cross_entropy(hidden_TD: torch.Tensor, head: Head, targets_T: torch.Tensor) -> torch.Tensor:
    """Sum over tokens of the negative log-likelihood of their targets, in nats; fp32, no mean taken.

    Args:
        hidden_TD: last hidden states; their number format is that of the multiplications.
        head: the output layer.
        targets_T: a word for each token, all valid (leave out tokens that predict nothing before).

    It does not support a bias of the head, label smoothing or second derivatives.
    """
    found: torch.Tensor = _LinearCrossEntropy.apply(  # type: ignore[no-untyped-call]  # torch does not type apply
        hidden_TD, head.weight_VD, head.rows_RD, head.index_R, targets_T
    )
    return found
