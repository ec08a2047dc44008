"""Activation checkpointing: a layer forgets what it computed and computes it again on the way back (Chen et al. 2016).

Sublinear memory cost, arXiv 1604.06174. A layer then costs its input instead of all its activations, and one more
forward pass: about a third more time. What is random in it is drawn again as it was, so no bit of a step changes.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from typing import Any

import torch
from torch.utils.checkpoint import checkpoint

from buril.core.errors import BurilError

Contexts = Callable[[], tuple[AbstractContextManager[None], AbstractContextManager[None]]]
"""Called when a layer begins: what it runs in, and what it runs in when it is computed again."""


def recompute(model: Any, num_layers: int, contexts: Contexts) -> int:
    """Let the first layers of a transformers model keep nothing but their input; returns how many do.

    The first, as they are the last that the backward pass comes to: the others' activations are gone by then.

    Raises:
        BurilError: T140 when the model has no list of layers.
    """
    layers = layers_of(model)[:num_layers]
    if not layers:
        raise BurilError("T140", model=type(model).__name__)
    for layer in layers:
        layer.forward = partial(_run, layer.forward, contexts)
    return len(layers)


def layers_of(model: Any) -> list[torch.nn.Module]:
    """The layers of a transformers model, from the input up; none where it keeps them in no list."""
    lists = (child for child in model.get_decoder().children() if isinstance(child, torch.nn.ModuleList))
    found: list[list[torch.nn.Module]] = [list(child) for child in lists]
    return max(found, key=len, default=[])


def _run(forward: Callable[..., Any], contexts: Contexts, *given: Any, **told: Any) -> Any:
    if not torch.is_grad_enabled():
        return forward(*given, **told)
    return checkpoint(forward, *given, use_reentrant=False, context_fn=contexts, **told)
