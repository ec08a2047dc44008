"""A linear layer with its adapter as one operation: PEFT's modules and files, fewer passes over memory.

PEFT's own forward makes a chain of small operations, adds their result in a new tensor, and multiplies in fp32 where
the adapter is fp32. Here the adapter's numbers stay fp32 (they are what the optimizer moves), the multiplications take
the base's format, and results are added in place. A test holds it to PEFT's values and gradients.

Tensor suffixes: B batch (always 1), T tokens, I and O features in and out, R rank.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import torch

from buril.train.methods._dropout import Dropout

ADAPTER = "default"


class _LoraLinear(torch.autograd.Function):
    """x·Wᵀ + scale · dropped·Aᵀ·Bᵀ with W frozen (Hu et al. 2021)."""

    @staticmethod
    def forward(  # noqa: PLR0917  torch passes arguments by place
        ctx: Any,
        input_TI: torch.Tensor,
        dropped_TI: torch.Tensor | None,
        weight_OI: torch.Tensor,
        bias_O: torch.Tensor | None,
        down_RI: torch.Tensor,
        up_OR: torch.Tensor,
        scale: float,
    ) -> torch.Tensor:
        used_TI = input_TI if dropped_TI is None else dropped_TI
        low_RI, high_OR = down_RI.to(input_TI.dtype), up_OR.to(input_TI.dtype)
        inner_TR = used_TI @ low_RI.T
        out_TO = torch.nn.functional.linear(input_TI, weight_OI, bias_O)
        ctx.save_for_backward(used_TI, inner_TR, weight_OI, low_RI, high_OR)
        ctx.scale, ctx.shared = scale, dropped_TI is None
        return out_TO.addmm_(inner_TR, high_OR.T, alpha=scale)

    @staticmethod
    def backward(ctx: Any, grad_TO: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        used_TI, inner_TR, weight_OI, low_RI, high_OR = ctx.saved_tensors
        grad_inner_TR = (grad_TO @ high_OR).mul_(ctx.scale)
        grad_up_OR = (grad_TO.T @ inner_TR).float().mul_(ctx.scale)
        grad_down_RI = (grad_inner_TR.T @ used_TI).float()
        grad_input_TI = grad_dropped_TI = None
        if ctx.needs_input_grad[0]:
            grad_input_TI = grad_TO @ weight_OI
        if ctx.shared and grad_input_TI is not None:
            grad_input_TI.addmm_(grad_inner_TR, low_RI)
        elif ctx.needs_input_grad[1]:
            grad_dropped_TI = grad_inner_TR @ low_RI
        return grad_input_TI, grad_dropped_TI, None, None, grad_down_RI, grad_up_OR, None


def quicken(model: torch.nn.Module, dropout: Dropout) -> int:
    """Let every plain LoRA linear layer of a PEFT model run as one operation; returns how many there are."""
    from peft.tuners.lora.layer import Linear

    layers = [module for module in model.modules() if type(module) is Linear]
    for layer in layers:
        layer.forward = partial(_forward, layer, dropout)
    return len(layers)


def _forward(layer: Any, dropout: Dropout, input_BTI: torch.Tensor) -> torch.Tensor:
    base = layer.base_layer
    found_TO: torch.Tensor = _LoraLinear.apply(  # type: ignore[no-untyped-call]  # torch does not type apply
        input_BTI.reshape(-1, input_BTI.shape[-1]),
        dropout(input_BTI) if layer.training else None,
        base.weight,
        base.bias,
        layer.lora_A[ADAPTER].weight,
        layer.lora_B[ADAPTER].weight,
        layer.scaling[ADAPTER],
    )
    return found_TO.view(*input_BTI.shape[:-1], -1)
