"""The weights of a model one at a time, an adapter's part in each: what a file is written from in little memory.

`merged` in `_load.py` gives a whole model with its adapter in it, in float32 where the adapter is; here a layer is in
float32 only while it is asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Part:
    """A weight. `make` gives it, merged; `adapted` says that an adapter adds to it; `place` is where it lies."""

    shape: tuple[int, ...]
    make: Callable[[], torch.Tensor]
    place: int
    adapted: bool = False


def parts(model: Any) -> dict[str, Part]:
    """The weights of a model by their names without an adapter. Where it has one, each can be made once only.

    Embeddings whose new rows an adapter brings, and modules that it replaces, are put in place now.
    """
    inner = model.get_base_model() if hasattr(model, "get_base_model") else model
    layers = dict(_adapted(inner)) if inner is not model else {}
    found: dict[str, Part] = {}
    for module in layers.values():
        if _replaces(module):
            _put_in_place(module)  # all of them first: two that are tied move together
    for name, module in layers.items():
        base = _unwrapped(module) if _replaces(module) else module.get_base_layer()
        for part, weight in base.state_dict().items():
            make = partial(_as_it_is, weight) if _replaces(module) else partial(_take, module, part)
            found[f"{name}.{part}"] = Part(tuple(weight.shape), make, weight.data_ptr(), not _replaces(module))
    for name, weight in inner.state_dict().items():
        if not any(name.startswith(f"{layer}.") for layer in layers):
            found[name] = Part(tuple(weight.shape), partial(_as_it_is, weight), weight.data_ptr())
    return found


def _as_it_is(weight: torch.Tensor) -> torch.Tensor:
    return weight


def _adapted(model: Any) -> Iterator[tuple[str, Any]]:
    """The outermost modules that an adapter has put in the place of others."""
    from peft.tuners.tuners_utils import BaseTunerLayer

    held: list[str] = []
    for name, module in model.named_modules():
        wraps = isinstance(module, BaseTunerLayer) or _replaces(module)
        if wraps and not any(name.startswith(f"{outer}.") for outer in held):
            held.append(name)
            yield name, module


def _replaces(module: Any) -> bool:
    """Whether it stands for a module that an adapter replaces whole or by rows, and does not add to."""
    return hasattr(module, "unload_and_optionally_merge_module")


def _put_in_place(module: Any) -> None:
    from peft.tuners.tuners_utils import BaseTunerLayer

    for below in module.modules():
        if isinstance(below, BaseTunerLayer):
            below.get_base_layer().float()
    module.unload_and_optionally_merge_module(merge=True, safe_merge=False, adapter_names=None)


def _unwrapped(module: Any) -> Any:
    return module.unload_and_optionally_merge_module(merge=False, safe_merge=False, adapter_names=None)


def _take(module: Any, part: str) -> torch.Tensor:
    """A weight of a layer, the adapter added in float32; once it is written its memory is free again."""
    base = module.get_base_layer()
    if part != "weight":
        found: torch.Tensor = base.state_dict()[part]
        return found
    base.float()
    module.merge()
    weight: torch.Tensor = base.weight.detach()
    base.weight.data = base.weight.data.new_empty(0)
    return weight
