"""Nearness to a teacher: cross-entropy and a divergence from the teacher's likeliest words, slice by slice.

Tensor suffixes: T tokens, D width, V words, C tokens of a chunk, K the teacher's likeliest words.
"""

from __future__ import annotations

from typing import NamedTuple

import torch

SMALLEST = 1e-12
"""A probability is taken for no less than this where its logarithm is taken."""


class Nearness(NamedTuple):
    """(1 − share)·−log p(target) + share·T²·KL(teacher ‖ student), at temperature T, over top-k words and the rest.

    A `ChunkLoss`: the teacher's logits too exist for a slice of tokens only. `seen_TD` are its last hidden states.
    """

    targets_T: torch.Tensor
    seen_TD: torch.Tensor
    teacher_VD: torch.Tensor
    share: float
    temperature: float
    top_k: int

    def chunk(self, logits_CV: torch.Tensor, part: slice, *, grad: bool) -> tuple[torch.Tensor, torch.Tensor]:
        """See `ChunkLoss`."""
        targets_C = self.targets_T[part]
        chance_CV = torch.softmax(logits_CV, -1)
        likely_C = torch.log_softmax(logits_CV, -1).gather(1, targets_C[:, None])[:, 0]
        found_C, error_CV = self._divergence(logits_CV, part)
        scale = self.share * self.temperature**2
        loss = -(1 - self.share) * likely_C.sum() + scale * found_C.sum()
        if grad:
            chance_CV.scatter_add_(1, targets_C[:, None], torch.full_like(likely_C, -1.0)[:, None])
            error_CV.mul_(scale).add_(chance_CV, alpha=1 - self.share)
        return loss, error_CV

    def _divergence(self, logits_CV: torch.Tensor, part: slice) -> tuple[torch.Tensor, torch.Tensor]:
        """KL(q ‖ p) of each token over K + 1 classes, and its gradient by the student's logits.

        With p the student's softmax at T, the gradient by logit j is (p_j − q_j)/T for a word of the K, and
        p_j·(1 − q_rest/p_rest)/T for another.
        """
        theirs_CV = (self.seen_TD[part] @ self.teacher_VD[: logits_CV.shape[1]].T).float()
        wanted_CV = torch.softmax(theirs_CV / self.temperature, -1)
        wanted_CK, word_CK = wanted_CV.topk(min(self.top_k, wanted_CV.shape[1]), dim=-1)
        loss_C, error_CV = kept_divergence(torch.softmax(logits_CV / self.temperature, -1), word_CK, wanted_CK)
        return loss_C, error_CV.div_(self.temperature)


def kept_divergence(
    chance_CV: torch.Tensor, word_CK: torch.Tensor, wanted_CK: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """KL(q ‖ p) of each token over the words that are known of q and, as one, all others; and its gradient.

    Args:
        chance_CV: p, the softmax of the logits that the gradient is by.
        word_CK: the words that are known.
        wanted_CK: q of these.
    """
    rest_C = (1 - wanted_CK.sum(-1)).clamp(min=0)
    chance_CK = chance_CV.gather(1, word_CK)
    left_C = chance_CV.scatter(1, word_CK, 0.0).sum(-1)  # 1 − Σ would leave rounding where almost nothing is left
    loss_C = (wanted_CK * (_log(wanted_CK) - _log(chance_CK))).sum(-1) + rest_C * (_log(rest_C) - _log(left_C))
    error_CV = chance_CV * (1 - rest_C / left_C.clamp(min=SMALLEST))[:, None]
    error_CV.scatter_(1, word_CK, chance_CK - wanted_CK)
    return loss_C, error_CV


def _log(chance: torch.Tensor) -> torch.Tensor:
    return chance.clamp(min=SMALLEST).log()
