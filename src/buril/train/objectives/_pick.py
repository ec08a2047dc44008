"""Log-probabilities of chosen tokens, and nearness to a distribution that was kept, a slice of tokens at a time.

Unlike a sum of losses, what a preference makes of log-probabilities is not known before all of them are: so the logits
of a slice are made twice, once for the probabilities and once for their gradients, and are never there all at once.

Tensor suffixes: N tokens, D width, V words of the vocabulary, R trained rows of the head, C tokens of a chunk, K the
words that were kept.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch

from buril.train.objectives._head import CHUNK, Head, _Gradients, _Place
from buril.train.objectives._nearness import kept_divergence


class _Pick(torch.autograd.Function):
    """log softmax(hidden @ weight.T) at one word of each row."""

    @staticmethod
    def forward(  # noqa: PLR0917  torch passes arguments by place
        ctx: Any,
        hidden_ND: torch.Tensor,
        weight_VD: torch.Tensor,
        rows_RD: torch.Tensor | None,
        index_R: torch.Tensor | None,
        targets_N: torch.Tensor,
    ) -> torch.Tensor:
        used_VD = Head(weight_VD, rows_RD, index_R).whole(hidden_ND.dtype)
        found_N = torch.empty(len(targets_N), dtype=torch.float32, device=hidden_ND.device)
        total_N = torch.empty_like(found_N)
        for begin in range(0, len(targets_N), CHUNK):
            part = slice(begin, begin + CHUNK)
            logits_CV = (hidden_ND[part] @ used_VD.T).float()
            total_N[part] = logits_CV.logsumexp(-1)
            found_N[part] = logits_CV.gather(1, targets_N[part, None])[:, 0] - total_N[part]
        ctx.save_for_backward(hidden_ND, weight_VD, rows_RD, index_R, targets_N, total_N)
        return found_N

    @staticmethod
    def backward(ctx: Any, grad_N: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        hidden_ND, weight_VD, rows_RD, index_R, targets_N, total_N = ctx.saved_tensors
        used_VD = Head(weight_VD, rows_RD, index_R).whole(hidden_ND.dtype)
        needs = ctx.needs_input_grad
        grads = _Gradients(
            torch.empty_like(hidden_ND) if needs[0] else None,
            torch.zeros_like(weight_VD, dtype=torch.float32) if needs[1] else None,
            torch.zeros_like(rows_RD, dtype=torch.float32) if rows_RD is not None and needs[2] else None,
        )
        for begin in range(0, len(targets_N), CHUNK):
            part = slice(begin, begin + CHUNK)
            error_CV = (hidden_ND[part] @ used_VD.T).float().sub_(total_N[part, None]).exp_()
            error_CV.mul_(-grad_N[part, None])
            error_CV.scatter_add_(1, targets_N[part, None], grad_N[part, None])
            grads.add(error_CV.to(hidden_ND.dtype), hidden_ND[part], used_VD, _Place(part, index_R))
        return (*grads, None, None)


def log_probabilities(hidden_ND: torch.Tensor, head: Head, targets_N: torch.Tensor) -> torch.Tensor:
    """The natural log-probability of each target, fp32, with gradients; none of the second order.

    Args:
        hidden_ND: last hidden states; their number format is that of the multiplications.
        head: the output layer.
        targets_N: a word for each.
    """
    found: torch.Tensor = _Pick.apply(  # type: ignore[no-untyped-call]  # torch does not type apply
        hidden_ND, head.weight_VD, head.rows_RD, head.index_R, targets_N
    )
    return found


class KeptNearness(NamedTuple):
    """Σ w · KL(q ‖ p) over the words that were kept of q and, as one more, all others. A `ChunkLoss`.

    With p the model's softmax, the gradient by logit j is w·(p_j − q_j) for a kept word, w·p_j·(1 − q_rest/p_rest) for
    another.
    """

    word_NK: torch.Tensor
    chance_NK: torch.Tensor
    weight_N: torch.Tensor

    def chunk(self, logits_CV: torch.Tensor, part: slice, *, grad: bool) -> tuple[torch.Tensor, torch.Tensor]:
        """See `ChunkLoss`."""
        loss_C, error_CV = kept_divergence(logits_CV.softmax(-1), self.word_NK[part], self.chance_NK[part])
        weight_C = self.weight_N[part]
        return (loss_C * weight_C).sum(), error_CV.mul_(weight_C[:, None]) if grad else error_CV


def likeliest(hidden_ND: torch.Tensor, head: Head, number: int) -> tuple[torch.Tensor, torch.Tensor]:
    """The likeliest words after each token and their probabilities, N·K; no gradients."""
    words, chances = [], []
    with torch.no_grad():
        used_VD = head.whole(hidden_ND.dtype)
        for begin in range(0, len(hidden_ND), CHUNK):
            logits_CV = (hidden_ND[begin : begin + CHUNK] @ used_VD.T).float()
            chance_CK, word_CK = logits_CV.softmax(-1).topk(min(number, logits_CV.shape[1]), dim=-1)
            words.append(word_CK.to(torch.int32))
            chances.append(chance_CK)
    return torch.cat(words), torch.cat(chances)
