"""Strength: weights part of the way from where a training began to where it ended.

Between a model and what a fine-tuning made of it lie models that keep most of what each is good at (Wortsman et al.
2022, arXiv 2109.01903). A preference is learnt from few pairs, so what it costs elsewhere grows faster than what it
gives.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch

from buril.train.methods._trainable import Trainable


def copied(trainable: Trainable) -> dict[str, torch.Tensor]:
    """The weights that are trained, as they are now."""
    return {name: parameter.detach().clone() for name, parameter in trainable.parameters.items()}


def lessen(trainable: Trainable, start: Mapping[str, torch.Tensor], share: float) -> None:
    """Take the weights back towards those at the start.

    What an adapter adds is a product. Where one factor began as nothing the other stays as it was learnt, so that the
    product itself is that share of what it was.

    Args:
        trainable: with the weights at the end.
        start: the weights at the start.
        share: of the way that is kept: 1 changes nothing, 0 would give those at the start.
    """
    with torch.no_grad():
        for name, parameter in trainable.parameters.items():
            other = start.get(name.replace("lora_A", "lora_B")) if "lora_A" in name else None
            if other is None or bool(other.any()):
                parameter.lerp_(start[name].to(parameter.device), 1 - share)
