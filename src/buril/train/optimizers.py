"""What moves the weights: AdamW, and Muon for the matrices inside the layers.

AdamW: Loshchilov and Hutter 2019. Muon: Jordan et al. 2024, with the scaling of Liu et al. 2025 (arXiv 2502.16982),
under which both make steps of about the same size: one learning rate means the same to either.

`torch.optim.Muon` does its iteration in bf16 everywhere. On a CPU without instructions for it that is emulated: a step
of a model of six layers took 4.9 s there and takes 0.23 s here, in fp32, which a test holds to torch's values.

Tensor suffixes: R rows and C columns of a matrix, S the shorter of its sides, L the longer.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any, Literal

import torch

from buril.train.parallel.team import assembled, local, piece_of

Choice = Literal["adamw", "muon"]
Tensors = dict[str, torch.Tensor]
BETAS = (0.9, 0.999)
SHORT_BETAS = (0.9, 0.95)
"""Beside Muon: a training from scratch is short, and a mean over 1,000 steps would still remember its beginning."""
MOMENTUM = 0.95
ROOT_STEPS = 5
ROOT_COEFFICIENTS = (3.4445, -4.7750, 2.0315)
"""Of the quintic polynomial by Jordan et al., steepest at zero: singular values end between 0.7 and 1.2."""
RMS_OF_ADAMW = 0.2
PREFIX = "optimizer."


class Muon(torch.optim.Optimizer):
    """Momentum whose matrix is made orthogonal before each step: every direction is learnt at the same rate.

    Args:
        matrices: parameters of two dimensions.
        weight_decay: the share of a weight, times the rate, that each step takes from it.
    """

    def __init__(self, matrices: Iterable[torch.nn.Parameter], *, weight_decay: float) -> None:
        super().__init__(matrices, {"lr": 0.0, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]  # no closure is ever given
        """Move every matrix that has a gradient."""
        for group in self.param_groups:
            for weight_RC in group["params"]:
                if weight_RC.grad is None:
                    continue
                state = self.state[weight_RC]
                if not state:
                    state["momentum"] = torch.zeros_like(weight_RC)
                mean_RC = state["momentum"].lerp_(weight_RC.grad, 1 - MOMENTUM)
                ahead_RC = weight_RC.grad.lerp(mean_RC, MOMENTUM)  # Nesterov's
                weight_RC.mul_(1 - group["lr"] * group["weight_decay"])
                size = RMS_OF_ADAMW * math.sqrt(max(weight_RC.shape))
                moved_RC = piece_of(orthogonal(assembled(ahead_RC)), weight_RC)  # no piece of it can be made alone
                local(weight_RC).add_(local(moved_RC), alpha=-group["lr"] * size)


def orthogonal(matrix_RC: torch.Tensor) -> torch.Tensor:
    """About U·Vᵀ of the singular value decomposition U·S·Vᵀ, by a Newton–Schulz iteration: multiplications alone.

    bf16 on a GPU, where it is quick and exact enough; the matrix's own format elsewhere.
    """
    a, b, c = ROOT_COEFFICIENTS
    used_RC = matrix_RC.bfloat16() if matrix_RC.device.type == "cuda" else matrix_RC
    tall = used_RC.shape[0] > used_RC.shape[1]
    found_SL = used_RC.T if tall else used_RC
    found_SL = found_SL / found_SL.norm().clamp(min=1e-7)
    for _step in range(ROOT_STEPS):
        square_SS = found_SL @ found_SL.T
        factor_SS = torch.addmm(square_SS, square_SS, square_SS, beta=b, alpha=c)
        found_SL = torch.addmm(found_SL, factor_SS, found_SL, beta=a)
    return (found_SL.T if tall else found_SL).to(matrix_RC.dtype)


class Optimizers:
    """The optimizers of a training, as one.

    Args:
        parameters: what is trained, by name.
        choice: `adamw` for everything, or `muon` for matrices inside the layers and AdamW for all else.
        weight_decay: of matrices; norms and biases have no size to be kept small.
    """

    def __init__(self, parameters: Mapping[str, torch.nn.Parameter], *, choice: Choice, weight_decay: float) -> None:
        self._parameters = parameters
        chosen = {name for name, parameter in parameters.items() if choice == "muon" and suits_muon(name, parameter)}
        rest = [parameter for name, parameter in parameters.items() if name not in chosen]
        self.each: list[torch.optim.Optimizer] = []
        if chosen:
            self.each.append(Muon([parameters[name] for name in sorted(chosen)], weight_decay=weight_decay))
        if rest:
            self.each.append(_adamw(rest, weight_decay, SHORT_BETAS if choice == "muon" else BETAS))

    def step(self, learning_rate: float, scaler: torch.amp.GradScaler) -> None:
        """Move the weights by gradients that the scaler has unscaled already, then forget the gradients."""
        for optimizer in self.each:
            for group in optimizer.param_groups:
                group["lr"] = learning_rate
            scaler.step(optimizer)
        self.forget()

    def unscale(self, scaler: torch.amp.GradScaler) -> None:
        """Divide the gradients by the scale that the loss was multiplied with."""
        for optimizer in self.each:
            scaler.unscale_(optimizer)

    def forget(self) -> None:
        """Let go of the gradients."""
        for optimizer in self.each:
            optimizer.zero_grad(set_to_none=True)

    def tensors(self) -> Tensors:
        """What they remember, by slot and parameter: `optimizer.exp_avg.NAME` and so on."""
        return {
            f"{PREFIX}{slot}.{name}": value
            for name, parameter in self._parameters.items()
            for optimizer in self.each
            if parameter in optimizer.state
            for slot, value in optimizer.state[parameter].items()
        }

    def restore(self, tensors: Mapping[str, torch.Tensor]) -> None:
        """Put back what `tensors` gave."""
        owner = {
            parameter: optimizer
            for optimizer in self.each
            for group in optimizer.param_groups
            for parameter in group["params"]
        }
        for key in tensors:
            if key.startswith(PREFIX):
                slot, _dot, name = key.removeprefix(PREFIX).partition(".")
                parameter, value = self._parameters[name], tensors[key]
                value = piece_of(value, parameter) if value.shape == parameter.shape else value
                owner[parameter].state[parameter][slot] = value.to(parameter.device)


def suits_muon(name: str, parameter: torch.nn.Parameter) -> bool:
    """Whether a parameter is a matrix between features; rows of embeddings and outputs are words, each its own."""
    return parameter.ndim == 2 and not any(part in name for part in ("embed", "lm_head", "token_adapter"))


def _adamw(parameters: list[torch.nn.Parameter], weight_decay: float, betas: tuple[float, float]) -> torch.optim.AdamW:
    # whole ones and pieces, and pieces of different grids, can't be moved by one call
    kinds: dict[tuple[bool, object], list[torch.nn.Parameter]] = {}
    for parameter in parameters:
        kinds.setdefault((parameter.ndim < 2, getattr(parameter, "device_mesh", None)), []).append(parameter)
    ordered = sorted(kinds.items(), key=lambda kind: kind[0][0])
    groups = [{"params": found, "weight_decay": 0.0 if vectors else weight_decay} for (vectors, _), found in ordered]
    return torch.optim.AdamW(groups, lr=0.0, betas=betas, fused=True)
