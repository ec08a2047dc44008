"""Adapters on a model of transformers: its linear layers add what the adapter of each row gives, in one batch.

Shapes: B rows, R ranks of all adapters together.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch

from buril.core.errors import BurilError
from buril.core.text import _
from buril.generators._adapters import Stack, layers_of
from buril.generators._generator import Adapter


class Worn:
    """What the rows of the pass that runs now wear; outside of one the model is the base.

    Args:
        model: whose linear layers are told of it.
        stack: of its adapters.
    """

    def __init__(self, model: torch.nn.Module, stack: Stack) -> None:
        self._stack = stack
        self._mask_B1R: torch.Tensor | None = None
        for name in stack.layers:
            model.get_submodule(name).register_forward_hook(self._hook(name))

    @contextmanager
    def by(self, names: Sequence[str]) -> Iterator[None]:
        """Let each row of a batch be adapted by the adapter of this name, "" by none."""
        if any(names):
            first = next(iter(self._stack.matrices.values())).first_RI
            self._mask_B1R = self._stack.mask(names, [1] * len(names))[:, None, :].to(first)
        try:
            yield
        finally:
            self._mask_B1R = None

    def _hook(self, name: str) -> Any:
        def add(_module: torch.nn.Module, given: tuple[torch.Tensor, ...], found: torch.Tensor) -> torch.Tensor:
            if self._mask_B1R is None:
                return found
            assert given[0].ndim == 3, "rows apart: the mask is one for each"
            first_RI, second_OR = self._stack.matrices[name]
            return found + (given[0] @ first_RI.T * self._mask_B1R) @ second_OR.T

        return add


def worn_by(model: Any, wanted: Mapping[str, Adapter]) -> tuple[Worn, Stack]:
    """A model's adapters.

    Raises:
        BurilError: V030.
    """
    if hasattr(model, "peft_config"):
        name = next(iter(wanted), "")
        raise BurilError("V030", name=name, path=name, problem=_("the model has an adapter of its own already"))
    stack = Stack(layers_of(model), dtype=model.dtype, device=model.device)
    stack.put(wanted)
    return Worn(model, stack), stack
