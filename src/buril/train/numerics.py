"""Number formats and numbers that are none: fp16 with a scaled loss, averaged weights, and where a NaN came from."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping

import torch

from buril.train.batch import Batch
from buril.train.methods._trainable import Trainable
from buril.train.parallel.team import local

Parameters = Mapping[str, torch.nn.Parameter]
FIRST_SCALE = 65536.0
"""What the loss is multiplied with at first under fp16: gradients below 6e-8 would be zero in it."""
LEAST_SCALE = 1.0
"""A gradient that overflows unscaled is no matter of the scale: the training stops."""
GROWTH_STEPS = 2000
"""Steps without an overflow after which the scale is doubled."""


def use_fp16(trainable: Trainable, *, trains_weights: bool) -> None:
    """Let a model that was prepared in fp32 multiply in fp16.

    What is trained stays fp32. Weights that are trained are turned at each use (autocast); frozen ones once, for good.
    """
    if trains_weights:
        trainable.autocast = torch.float16
        return
    trained = {id(parameter) for parameter in trainable.parameters.values()}
    for parameter in trainable.base.parameters():
        if id(parameter) not in trained and parameter.is_floating_point():
            parameter.data = parameter.data.half()


def make_scaler(device: torch.device, *, fp16: bool, scale: float, growth: int) -> torch.amp.GradScaler:
    """What scales the loss; it leaves everything as it is but under fp16.

    Args:
        device: of the gradients.
        fp16: whether to scale.
        scale: where the scale stands: 0 for a new training.
        growth: steps since it last changed.
    """
    scaler = torch.amp.GradScaler(
        device.type, enabled=fp16, init_scale=scale or FIRST_SCALE, growth_interval=GROWTH_STEPS
    )
    if fp16 and scale:
        scaler.load_state_dict({**scaler.state_dict(), "_growth_tracker": growth})
    return scaler


class Average:
    """The exponential moving average of the weights (Polyak and Juditsky 1992; as in Morales-Brotons et al. 2024).

    Args:
        parameters: what is trained.
        decay: how much of the average a step keeps. It begins lower, so that the first weights are soon forgotten.
    """

    def __init__(self, parameters: Parameters, decay: float) -> None:
        self._parameters = parameters
        self.decay = decay
        self.values = {name: parameter.detach().clone() for name, parameter in parameters.items()}

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Take in the weights after a step (counted from 1)."""
        decay = min(self.decay, (1 + step) / (10 + step))
        for name, parameter in self._parameters.items():
            local(self.values[name]).lerp_(local(parameter), 1 - decay)

    @contextlib.contextmanager
    def in_place(self) -> Iterator[None]:
        """The averages in the model's place; the weights come back to the bit, whatever happens."""
        self._exchange()
        try:
            yield
        finally:
            self._exchange()

    def _exchange(self) -> None:
        for name, parameter in self._parameters.items():
            ours, theirs = local(parameter.data), local(self.values[name])
            kept = ours.clone()
            ours.copy_(theirs)
            theirs.copy_(kept)


def first_bad_output(trainable: Trainable, batch: Batch) -> str:
    """The first module, in the order of the forward pass, whose output is not finite; "" where none is.

    It runs the batch again without dropout: what it names is where the numbers went wrong, not by whose fault.
    """
    found: list[str] = []

    def watch(name: str) -> Callable[..., None]:
        def look(_module: torch.nn.Module, _given: object, output: object) -> None:
            tensor = output[0] if isinstance(output, tuple) else output
            if not found and isinstance(tensor, torch.Tensor) and not bool(tensor.isfinite().all()):
                found.append(name)

        return look

    # inner modules end before those around them, so the innermost is the first that is seen
    handles = [module.register_forward_hook(watch(name)) for name, module in trainable.base.named_modules() if name]
    try:
        trainable.train(False)
        with torch.no_grad():
            trainable.run(lambda: trainable.hidden(batch))
    finally:
        for handle in handles:
            handle.remove()
    return found[0] if found else "lm_head"


def first_bad_gradient(trainable: Trainable) -> str:
    """The first module, in the order of the backward pass (the output first), whose gradient is not finite."""
    trained = {id(parameter): name for name, parameter in trainable.parameters.items()}
    ordered = [trained[id(parameter)] for parameter in trainable.base.parameters() if id(parameter) in trained]
    for name in reversed([*ordered, *sorted(set(trained.values()) - set(ordered))]):
        gradient = trainable.parameters[name].grad
        if gradient is not None and not bool(local(gradient).isfinite().all()):
            return name.rpartition(".")[0]
    return ""
