"""Sums: gradients added up over the readers while the backward pass still makes others.

Gradients travel in buckets, in the order in which a backward pass makes them, each as soon as it is full (Li et al.
2020, PyTorch Distributed, arXiv 2006.15704, section 3.2). The first backward pass only shows that order.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, NamedTuple

import torch
import torch.distributed as dist

from buril.train.parallel.team import local

BUCKET_NUMBERS = 4 * 2**20
"""Numbers of a bucket, at least: 16 MB in fp32. Smaller ones set out earlier, larger ones keep a network busier."""


class Flight(NamedTuple):
    """A bucket on its way: `flat` is what travels, a copy where the bucket holds more than one gradient."""

    work: Any
    flat: torch.Tensor
    grads: Sequence[torch.Tensor]

    def land(self) -> None:
        """Wait for the sum, and put it where the gradients are."""
        self.work.wait()
        if self.flat is not self.grads[0]:
            parts = torch.split(self.flat, [grad.numel() for grad in self.grads])
            for grad, part in zip(self.grads, parts, strict=True):
                grad.copy_(part.view_as(grad))


class Sums:
    """The gradients of one set of parameters.

    Args:
        parameters: what has gradients, by name; the same names on all processes.
        group: the processes that add up.
        tell: gives all processes the leader's text; buckets must be the same and set out in one order everywhere.
    """

    def __init__(self, parameters: Mapping[str, torch.nn.Parameter], *, group: Any, tell: Callable[[str], str]) -> None:
        self._parameters, self._group, self._tell = parameters, group, tell
        self._buckets: list[list[str]] = []
        self._bucket_of: dict[str, int] = {}
        self._made: dict[str, None] = {}
        self._missing: list[int] = []
        self._flights: list[Flight] = []

    @contextmanager
    def following(self) -> Iterator[None]:
        """Within the block runs the last backward pass of a step; after it all gradients are sums."""
        self._made, self._flights = {}, []
        self._missing = [len(bucket) for bucket in self._buckets]
        hooks = [
            parameter.register_post_accumulate_grad_hook(partial(self._ready, name))  # type: ignore[no-untyped-call]  # torch does not type it
            for name, parameter in self._parameters.items()
        ]
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()
        if not self._buckets:
            self._deal(json.loads(self._tell(json.dumps(list(self._made)))))
        self._depart(len(self._buckets))
        for flight in self._flights:
            flight.land()

    def _ready(self, name: str, _parameter: torch.Tensor) -> None:
        """A gradient is made: send the buckets that are full and have none before them that is not."""
        assert name not in self._made, f"{name} has a gradient twice in one backward pass"
        self._made[name] = None
        if not self._buckets:
            return
        self._missing[self._bucket_of[name]] -= 1
        full = len(self._flights)
        while full < len(self._buckets) and not self._missing[full]:
            full += 1
        self._depart(full)

    def _depart(self, until: int) -> None:
        for names in self._buckets[len(self._flights) : until]:
            grads = [local(grad) for name in names if (grad := self._parameters[name].grad) is not None]
            whole = len(grads) == 1 and grads[0].is_contiguous()
            flat = grads[0] if whole else torch.cat([grad.reshape(-1) for grad in grads])
            self._flights.append(Flight(dist.all_reduce(flat, group=self._group, async_op=True), flat, grads))

    def _deal(self, order: Sequence[str]) -> None:
        """Fill buckets with parameters of one number format; one that has no gradient is in none."""
        size, dtype = 0, None
        for name in order:
            parameter = self._parameters[name]
            if not self._buckets or size >= BUCKET_NUMBERS or parameter.dtype != dtype:
                self._buckets.append([])
                size, dtype = 0, parameter.dtype
            self._buckets[-1].append(name)
            self._bucket_of[name] = len(self._buckets) - 1
            size += local(parameter).numel()
