"""4-bit weights: the linear layers of a model in NF4 (Dettmers et al. 2023, QLoRA, arXiv 2305.14314), by bitsandbytes.

A weight takes 4 bits, and a scale for each 64 of them; with double quantisation the scales take 8 bits each and share
one fp32 number for each 256: 4.127 bits a weight in all, against 16 of bf16.

Tensor suffixes: T tokens (with whatever stands before them), I and O features in and out.
"""

from __future__ import annotations

import copy
import importlib
import sys
from functools import partial
from math import prod
from typing import Any

import torch

from buril.train.machine import forget_pages

BLOCK = 64
"""Weights that share a scale: what NF4 was published with."""


def library() -> Any:
    """The package bitsandbytes, imported so that it fetches nothing.

    On processors with AVX512-BF16 its import asks the package `kernels`, where that is installed, for machine code from
    a server, and runs it. Training needs no such kernel: for the time of the import `kernels` is not to be found.
    """
    missing = object()
    found = sys.modules.get("kernels", missing)
    if "bitsandbytes" in sys.modules:
        return sys.modules["bitsandbytes"]
    sys.modules["kernels"] = None  # type: ignore[assignment]  # Python's own mark of a module that can't be imported
    try:
        return importlib.import_module("bitsandbytes")
    finally:
        del sys.modules["kernels"]
        if found is not missing:
            sys.modules["kernels"] = found  # type: ignore[assignment]  # it was a module


def is_quantised(layer: torch.nn.Module) -> bool:
    """Whether a layer holds 4-bit weights."""
    return "bitsandbytes" in sys.modules and isinstance(layer, library().nn.Linear4bit)


def quantise(model: Any, device: torch.device, *, dtype: torch.dtype, double: bool) -> int:
    """Turn every linear layer but the output layer to NF4, one by one, and the rest to `dtype`; all on `device`.

    Where the model's weights still lie in the pages of their file, no more than one layer is in memory at full size.

    Args:
        model: a transformers model.
        device: where the weights go.
        dtype: of multiplications, and of what is not quantised: embeddings, norms and biases.
        double: whether the scales are quantised too.

    Returns:
        How many layers were quantised.
    """
    head = model.get_output_embeddings()
    layers = [
        (name, layer) for name, layer in model.named_modules() if type(layer) is torch.nn.Linear and layer is not head
    ]
    for name, layer in layers:
        model.set_submodule(name, _four_bit(layer, device, dtype=dtype, double=double))
        forget_pages(layer.weight.data)
        del layer.weight  # the last one to hold it, so that its memory goes now
    for tensor in (*model.parameters(), *model.buffers()):
        if tensor.is_floating_point():
            read = tensor.data
            tensor.data = read.to(device=device, dtype=dtype if isinstance(tensor, torch.nn.Parameter) else None)
            if tensor.dtype != read.dtype:
                forget_pages(read)
        elif tensor.device != device and not hasattr(tensor, "quant_state"):
            tensor.data = tensor.data.to(device)
    model.is_loaded_in_4bit = True  # what PEFT asks before it takes the layers for 4-bit ones
    return len(layers)


def _four_bit(layer: Any, device: torch.device, *, dtype: torch.dtype, double: bool) -> torch.nn.Module:
    bnb = library()
    made = bnb.nn.Linear4bit(
        layer.in_features, layer.out_features, bias=layer.bias is not None, compute_dtype=dtype,
        compress_statistics=double, quant_type="nf4", device="meta",
    )  # fmt: skip
    weight = bnb.nn.Params4bit(
        layer.weight.data, requires_grad=False, blocksize=BLOCK, compress_statistics=double, quant_type="nf4",
        module=made,
    ).to(device)  # fmt: skip
    weight.quant_state.dtype = dtype  # what it is dequantised to
    made.weight, made.bias = weight, layer.bias
    # Otherwise one evaluation on a processor with AVX512-BF16 packs the weights anew, for inference, and the training
    # step after it fails: the packed form has no backward pass.
    made.support_avx512bf16_for_cpu = False
    if layer.in_features % BLOCK:
        made.forward = partial(_forward, made)
    return made.requires_grad_(False)  # type: ignore[no-any-return]  # bitsandbytes is not typed


def dequantised(layer: Any) -> torch.Tensor:
    """The weight of a 4-bit layer, O·I, in the format of its multiplications; made anew at each call.

    Blocks run through the whole matrix. bitsandbytes' kernel for AVX-512 (0.50) begins a new one with each row, which
    is the same where rows are whole blocks; other matrices are dequantised as one row.
    """
    state = layer.weight.quant_state
    shape = state.shape
    if shape[-1] % BLOCK:
        state = copy.copy(state)
        state.shape = torch.Size((1, prod(shape)))
    found: torch.Tensor = library().functional.dequantize_4bit(layer.weight.data, state)
    return found.view(shape)


class _Frozen(torch.autograd.Function):
    """x·Wᵀ with W dequantised on the way forward and again on the way back."""

    @staticmethod
    def forward(ctx: Any, input_TI: torch.Tensor, layer: Any) -> torch.Tensor:
        ctx.layer = layer
        return torch.nn.functional.linear(input_TI, dequantised(layer).to(input_TI.dtype), layer.bias)

    @staticmethod
    def backward(ctx: Any, grad_TO: torch.Tensor) -> tuple[torch.Tensor, None]:
        return grad_TO @ dequantised(ctx.layer).to(grad_TO.dtype), None


def _forward(layer: Any, input_TI: torch.Tensor) -> torch.Tensor:
    """What a 4-bit layer computes whose rows are no whole blocks."""
    found: torch.Tensor = _Frozen.apply(input_TI, layer)  # type: ignore[no-untyped-call]  # torch does not type apply
    return found


def num_weights(parameter: Any) -> int:
    """The weights that a parameter holds, also where two share a byte."""
    state = getattr(parameter, "quant_state", None)
    return prod(state.shape) if state is not None else int(parameter.numel())


def num_bytes(parameter: Any) -> int:
    """The bytes that a parameter takes, with the scales of a 4-bit one."""
    state = getattr(parameter, "quant_state", None)
    tensors = [parameter]
    if state is not None:
        tensors.append(state.absmax)
        tensors += [state.offset, state.state2.absmax] if state.nested else []  # code tables are shared by all layers
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)
