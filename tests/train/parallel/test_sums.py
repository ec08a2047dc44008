"""Gradients set out while others are still made."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
import torch.distributed as dist

from buril.train.parallel import sums
from buril.train.parallel.sums import Sums

LAYERS = 4


@pytest.fixture
def group() -> Iterator[None]:
    dist.init_process_group("gloo", rank=0, world_size=1, store=dist.HashStore())
    yield
    dist.destroy_process_group()


@pytest.fixture
def model() -> torch.nn.Sequential:
    torch.manual_seed(0)
    return torch.nn.Sequential(*[torch.nn.Linear(8, 8) for _layer in range(LAYERS)])


def backward(model: torch.nn.Sequential, sums_: Sums) -> dict[str, torch.Tensor]:
    model.zero_grad()
    with sums_.following():
        model(torch.ones(2, 8)).square().sum().backward()
    return {name: parameter.grad.clone() for name, parameter in model.named_parameters() if parameter.grad is not None}


def test_buckets_set_out_in_the_order_of_the_backward_pass(
    group: None, model: torch.nn.Sequential, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sums, "BUCKET_NUMBERS", 8 * 8 + 8)
    story: list[str] = []
    plain = dist.all_reduce

    def sent(tensor: torch.Tensor, **told: Any) -> Any:
        story.append(f"{tensor.numel()} sent")
        return plain(tensor, **told)

    monkeypatch.setattr(dist, "all_reduce", sent)
    parameters = dict(model.named_parameters())
    adding = Sums(parameters, group=None, tell=lambda text: text)
    first = backward(model, adding)
    assert story == ["72 sent"] * LAYERS
    story.clear()
    for name, parameter in parameters.items():
        parameter.register_hook(lambda grad, name=name: story.append(name))  # type: ignore[no-untyped-call,misc]  # torch does not type it
    second = backward(model, adding)
    assert story.count("72 sent") == LAYERS
    assert story.index("72 sent") < story.index(f"{LAYERS - 2}.weight"), "the last layer's went while others were made"
    assert all(torch.equal(second[name], grad) for name, grad in first.items())


def test_one_large_gradient_travels_without_a_copy_and_formats_do_not_mix(
    group: None, model: torch.nn.Sequential, monkeypatch: pytest.MonkeyPatch
) -> None:
    model[2].double()
    travelled: list[tuple[int, torch.dtype, bool]] = []
    plain = dist.all_reduce
    parameters = dict(model.named_parameters())

    def sent(tensor: torch.Tensor, **told: Any) -> Any:
        own = any(parameter.grad is not None and tensor is parameter.grad for parameter in parameters.values())
        travelled.append((tensor.numel(), tensor.dtype, own))
        return plain(tensor, **told)

    monkeypatch.setattr(dist, "all_reduce", sent)
    adding = Sums(parameters, group=None, tell=lambda text: text)
    with adding.following():
        hidden = model[1](model[0](torch.ones(2, 8))).double()
        model[3](model[2](hidden).float()).sum().backward()
    assert [(numbers, kind) for numbers, kind, _own in travelled] == [
        (72, torch.float32), (72, torch.float64), (144, torch.float32),
    ]  # fmt: skip
    monkeypatch.setattr(sums, "BUCKET_NUMBERS", 1)
    travelled.clear()
    with Sums(parameters, group=None, tell=lambda text: text).following():
        model[1](model[0](torch.ones(2, 8))).sum().backward()
    assert len(travelled) == 4 and all(own for _numbers, _kind, own in travelled)
