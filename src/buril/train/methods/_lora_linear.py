"""A linear layer with its adapter as one operation: PEFT's modules and files, fewer passes over memory.

PEFT's own forward makes a chain of small operations, adds their result in a new tensor, and multiplies in fp32 where
the adapter is fp32. Here the adapter's numbers stay fp32 (they are what the optimizer moves), the multiplications take
the base's format, and results are added in place. A base of 4 bits is dequantised on the way forward and again on the
way back, never kept. Tests hold both to PEFT's values and gradients.

Tensor suffixes: B batch (always 1), T tokens, I and O features in and out, R rank.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch

from buril.train.machine import forget_pages
from buril.train.methods._dropout import WHOLE, Dropout, Part
from buril.train.methods._quantised import dequantised, is_quantised

ADAPTER = "default"
QUICKENED = ("Linear", "Linear4bit")
"""Names of PEFT's layers that compute nothing else than the operation below."""
Weight = Callable[[torch.dtype], torch.Tensor]
"""Gives the weight of a frozen layer, O·I, in the format named, which it is multiplied in."""


class _LoraLinear(torch.autograd.Function):
    """x·Wᵀ + scale · dropped·Aᵀ·Bᵀ with W frozen (Hu et al. 2021). `weight` gives W whenever it is asked."""

    @staticmethod
    def forward(  # noqa: PLR0917  torch passes arguments by place
        ctx: Any,
        input_TI: torch.Tensor,
        dropped_TI: torch.Tensor | None,
        weight: Weight,
        bias_O: torch.Tensor | None,
        down_RI: torch.Tensor,
        up_OR: torch.Tensor,
        scale: float,
    ) -> torch.Tensor:
        used_TI = input_TI if dropped_TI is None else dropped_TI
        low_RI, high_OR = down_RI.to(input_TI.dtype), up_OR.to(input_TI.dtype)
        inner_TR = used_TI @ low_RI.T
        out_TO = torch.nn.functional.linear(input_TI, weight(input_TI.dtype), bias_O)
        ctx.save_for_backward(used_TI, inner_TR, low_RI, high_OR)
        ctx.weight, ctx.scale, ctx.shared = weight, scale, dropped_TI is None
        return out_TO.addmm_(inner_TR, high_OR.T, alpha=scale)

    @staticmethod
    def backward(ctx: Any, grad_TO: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        used_TI, inner_TR, low_RI, high_OR = ctx.saved_tensors
        grad_inner_TR, grad_down_RI, grad_up_OR = gradients(grad_TO, used_TI, inner_TR, high_OR, ctx.scale)
        grad_input_TI = grad_dropped_TI = None
        if ctx.needs_input_grad[0]:
            grad_input_TI = grad_TO @ ctx.weight(grad_TO.dtype)
        if ctx.shared and grad_input_TI is not None:
            grad_input_TI.addmm_(grad_inner_TR, low_RI)
        elif ctx.needs_input_grad[1]:
            grad_dropped_TI = grad_inner_TR @ low_RI
        return grad_input_TI, grad_dropped_TI, None, None, grad_down_RI, grad_up_OR, None


def gradients(
    grad_TO: torch.Tensor, used_TI: torch.Tensor, inner_TR: torch.Tensor, high_OR: torch.Tensor, scale: float
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """The gradients of what is inside an adapter, T·R, and of its two matrices, R·I and O·R, these in fp32."""
    grad_inner_TR = (grad_TO @ high_OR).mul_(scale)
    grad_up_OR = (grad_TO.T @ inner_TR).float().mul_(scale)
    return grad_inner_TR, (grad_inner_TR.T @ used_TI).float(), grad_up_OR


class _Dropped(torch.nn.Module):
    """Our dropout in the place of torch's, for adapters that keep PEFT's own forward."""

    def __init__(self, dropout: Dropout, part: Part = WHOLE) -> None:
        super().__init__()
        self._dropout, self._part = dropout, part

    def forward(self, input_BTI: torch.Tensor) -> torch.Tensor:
        """The input with a share of it dropped in training."""
        found_TI = self._dropout(input_BTI, self._part) if self.training else None
        return input_BTI if found_TI is None else found_TI.view(input_BTI.shape)


def quicken(model: torch.nn.Module, dropout: Dropout) -> int:
    """Let every plain LoRA linear layer of a PEFT model run as one operation; returns how many there are.

    A variant such as DoRA computes more than this operation does: it keeps PEFT's forward, with our dropout.
    """
    from peft.tuners.lora.layer import LoraLayer

    plain = 0
    for layer in [module for module in model.modules() if isinstance(module, LoraLayer)]:
        if is_quickened(layer):
            shrink(layer.base_layer)
            layer.forward = partial(_forward, layer, reader(layer.base_layer), dropout)
            plain += 1
        elif ADAPTER in layer.lora_dropout:
            layer.lora_dropout[ADAPTER] = _Dropped(dropout)
    return plain


def part(model: torch.nn.Module, dropout: Dropout, share: Part, cut: Sequence[torch.nn.Module]) -> None:
    """Undo `quicken`: PEFT's own layers are chains of plain ones, each of which torch can cut in parts.

    Args:
        model: a PEFT model.
        dropout: what drops in its adapters.
        share: which part of how many this process will have.
        cut: the layers whose input will be cut too.
    """
    from peft.tuners.lora.layer import LoraLayer

    wide = next(weight.dtype for weight in model.parameters() if weight.ndim == 1 and not weight.requires_grad)
    parted = {id(layer) for layer in cut}
    for module in model.modules():
        if isinstance(module, LoraLayer):
            vars(module).pop("forward", None)
            base: Any = module.base_layer
            base.weight.data = base.weight.data.to(wide)
            if ADAPTER in module.lora_dropout:
                module.lora_dropout[ADAPTER] = _Dropped(dropout, share if id(module) in parted else WHOLE)
        elif isinstance(getattr(module, "down_proj", None), LoraLayer):
            vars(module).pop("forward", None)


def is_quickened(layer: Any) -> bool:
    """Whether `quicken` takes a layer."""
    adapted = ADAPTER in getattr(layer, "lora_A", ())
    return type(layer).__name__ in QUICKENED and adapted and ADAPTER not in layer.lora_variant


def shrink(base: Any) -> None:
    """Keep a frozen weight of 32 bits in 16 where that loses nothing: published models have bf16 numbers.

    It is widened at each use, a hundredth of the multiplication's time at a thousand tokens.
    """
    weight = base.weight
    if not is_quantised(base) and weight.dtype == torch.float32 and not weight.is_meta:
        short = weight.data.bfloat16()
        if torch.equal(short.float(), weight.data):
            weight.data = short


def put_in(model: Any, dtype: torch.dtype, *, keep: bool) -> None:
    """Put a model's own weights in the format of multiplications, weight by weight.

    Args:
        model: a transformers model, whose weights may still lie in the mapped pages of their file.
        dtype: that format.
        keep: leave the matrices of linear layers, the output's aside, in 16 bits where the format has 32.
    """
    if dtype != torch.float32:
        model.to(dtype)
        return
    head = model.get_output_embeddings()
    layers = [layer for layer in model.modules() if type(layer) is torch.nn.Linear and layer is not head]
    kept = {id(layer.weight) for layer in layers if keep}
    for tensor in (*model.parameters(), *model.buffers()):
        if tensor.is_floating_point() and tensor.dtype != dtype and id(tensor) not in kept:
            read = tensor.data
            tensor.data = read.to(dtype)
            forget_pages(read)


def widen(model: torch.nn.Module, dtype: torch.dtype) -> None:
    """Give `dtype` to the linear layers that no operation of ours runs: torch multiplies in the weight's own format."""
    from peft.tuners.lora.layer import LoraLayer

    ours = {id(layer.base_layer) for layer in model.modules() if isinstance(layer, LoraLayer) and is_quickened(layer)}
    for layer in model.modules():
        if type(layer) is torch.nn.Linear and id(layer) not in ours and not layer.weight.requires_grad:
            layer.weight.data = layer.weight.data.to(dtype)


def reader(base: Any) -> Weight:
    """What gives the weight of a frozen layer, however it is kept."""
    if is_quantised(base):
        return lambda _kind: dequantised(base)

    def widened(kind: torch.dtype) -> torch.Tensor:
        found: torch.Tensor = base.weight.to(kind)
        return found

    return widened


def _forward(layer: Any, weight: Weight, dropout: Dropout, input_BTI: torch.Tensor) -> torch.Tensor:
    found_TO: torch.Tensor = _LoraLinear.apply(  # type: ignore[no-untyped-call]  # torch does not type apply
        input_BTI.reshape(-1, input_BTI.shape[-1]),
        dropout(input_BTI) if layer.training else None,
        weight,
        layer.base_layer.bias,
        layer.lora_A[ADAPTER].weight,
        layer.lora_B[ADAPTER].weight,
        layer.scaling[ADAPTER],
    )
    return found_TO.view(*input_BTI.shape[:-1], -1)
