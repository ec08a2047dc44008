"""A gated feed-forward's last step with its adapter as one operation: silu(gate)·up is made anew on the way back.

These are the widest tensors of a layer. Kept by torch they are four (gate, its SiLU, up, the product) and with dropout
a fifth; here two, for two passes over memory more. The numbers are those of the separate operations to the bit.

Tensor suffixes: B batch (always 1), T tokens, I inner width, O features out, R rank.
"""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import torch

from buril.train.methods._dropout import Dropout, drop_
from buril.train.methods._lora_linear import ADAPTER, Weight, gradients, is_quickened, reader

GATED = ("LlamaMLP", "MistralMLP", "Qwen2MLP", "Qwen3MLP")
"""Classes of transformers whose forward is down(act(gate(x)) · up(x))."""


class _Fixed(NamedTuple):
    """What of the last layer is not trained; `stretch` is what dropout multiplies with what it keeps."""

    weight: Weight
    bias_O: torch.Tensor | None
    scale: float
    stretch: float


class _GatedDown(torch.autograd.Function):
    """(silu(gate)·up)·Wᵀ + b + scale · dropped·Aᵀ·Bᵀ with W frozen (Shazeer 2020, Hu et al. 2021)."""

    @staticmethod
    def forward(  # noqa: PLR0917  torch passes arguments by place
        ctx: Any,
        gate_TI: torch.Tensor,
        up_TI: torch.Tensor,
        kept_TI: torch.Tensor | None,
        down_RI: torch.Tensor,
        out_OR: torch.Tensor,
        fixed: _Fixed,
    ) -> torch.Tensor:
        low_RI, high_OR = down_RI.to(gate_TI.dtype), out_OR.to(gate_TI.dtype)
        product_TI = torch.nn.functional.silu(gate_TI).mul_(up_TI)
        found_TO = torch.nn.functional.linear(product_TI, fixed.weight(gate_TI.dtype), fixed.bias_O)
        inner_TR = drop_(product_TI, kept_TI, fixed.stretch) @ low_RI.T
        ctx.save_for_backward(gate_TI, up_TI, kept_TI, inner_TR, low_RI, high_OR)
        ctx.fixed = fixed
        return found_TO.addmm_(inner_TR, high_OR.T, alpha=fixed.scale)

    @staticmethod
    def backward(ctx: Any, grad_TO: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        gate_TI, up_TI, kept_TI, inner_TR, low_RI, high_OR = ctx.saved_tensors
        fixed: _Fixed = ctx.fixed
        silu_TI = torch.nn.functional.silu(gate_TI)
        used_TI = drop_(silu_TI * up_TI, kept_TI, fixed.stretch)
        grad_inner_TR, grad_down_RI, grad_out_OR = gradients(grad_TO, used_TI, inner_TR, high_OR, fixed.scale)
        grad_TI = grad_TO @ fixed.weight(grad_TO.dtype)
        if kept_TI is None:
            grad_TI.addmm_(grad_inner_TR, low_RI)
        else:
            grad_TI.add_(drop_(torch.mm(grad_inner_TR, low_RI, out=used_TI), kept_TI, fixed.stretch))
        grad_up_TI = silu_TI.mul_(grad_TI)
        grad_gate_TI = torch.ops.aten.silu_backward(grad_TI.mul_(up_TI), gate_TI)
        return grad_gate_TI, grad_up_TI, None, grad_down_RI, grad_out_OR, None


def quicken_gated(model: torch.nn.Module, dropout: Dropout) -> int:
    """Let the gated feed-forwards whose last layer has a plain adapter run so; returns how many there are."""
    found = [module for module in model.modules() if _is_gated(module)]
    for module in found:
        down: Any = module.down_proj
        module.forward = partial(_forward, module, reader(down.base_layer), dropout)
    return len(found)


def _is_gated(module: torch.nn.Module) -> bool:
    if type(module).__name__ not in GATED:
        return False
    silu = isinstance(module.act_fn, torch.nn.SiLU) or type(module.act_fn).__name__ == "SiLUActivation"
    return silu and is_quickened(module.down_proj)


def _forward(module: Any, weight: Weight, dropout: Dropout, input_BTD: torch.Tensor) -> torch.Tensor:
    gate_BTI, up_BTI = module.gate_proj(input_BTD), module.up_proj(input_BTD)
    width, down = gate_BTI.shape[-1], module.down_proj
    found_TO: torch.Tensor = _GatedDown.apply(  # type: ignore[no-untyped-call]  # torch does not type apply
        gate_BTI.reshape(-1, width),
        up_BTI.reshape(-1, width),
        dropout.kept(up_BTI.reshape(-1, width)) if down.training else None,
        down.lora_A[ADAPTER].weight,
        down.lora_B[ADAPTER].weight,
        _Fixed(weight, down.base_layer.bias, down.scaling[ADAPTER], dropout.stretch),
    )
    return found_TO.view(*input_BTD.shape[:-1], -1)
