"""Spread a model over the processes of a group: layers cut in pieces (FSDP2), matrices held together (tensor parallel).

Both are torch's own (`fully_shard`, `parallelize_module`); which matrices are cut along which side says the model in
transformers. Sources: Rajbhandari et al. 2020 (ZeRO, arXiv 1910.02054), Zhao et al. 2023 (FSDP, arXiv 2304.11277),
Shoeybi et al. 2019 (Megatron-LM, arXiv 1909.08053: columns first, then rows, one sum a block).
"""

from __future__ import annotations

import re
from typing import Any

import torch
from torch import nn
from torch.distributed.fsdp import FSDPModule, MixedPrecisionPolicy, fully_shard, register_fsdp_forward_method
from torch.distributed.tensor.parallel import ColwiseParallel, ParallelStyle, RowwiseParallel, parallelize_module

from buril.core.errors import BurilError
from buril.train.methods._recompute import layers_of
from buril.train.methods._trainable import Trainable
from buril.train.parallel.group import Group

COLUMNS, ROWS, NORM = "colwise", "rowwise", "replicated_with_grad_allreduce"
"""What transformers calls a layer whose outputs are cut, one whose inputs are, and a norm of one head's width."""


def spread(trainable: Trainable, group: Group) -> None:
    """Leave of a model what this process holds, on its device; every process calls it, with the same model.

    Raises:
        BurilError: T161 when heads can't be dealt out evenly, T162 when the method or the model can't be spread so.
    """
    if group.told.tensor > 1:
        _hold_together(trainable, group)
    if group.told.shard != "none":
        _shard(trainable, group)
    trainable.base.to(group.device)
    trainable.device = group.device
    trainable.parameters = _again(trainable)


def _shard(trainable: Trainable, group: Group) -> None:
    base: Any = trainable.base
    layers = layers_of(base)
    if not layers:
        raise BurilError("T162", feature=type(base).__name__, other="shard")
    policy = MixedPrecisionPolicy(
        param_dtype=trainable.autocast, reduce_dtype=torch.float32 if trainable.autocast else None,
        cast_forward_inputs=False,
    )  # fmt: skip
    mesh = group.mesh["data"]
    for layer in layers:
        fully_shard(layer, mesh=mesh, mp_policy=policy, reshard_after_forward=group.told.shard == "weights")
    # the embeddings are at work from the first layer to the loss: they are put together once a step
    fully_shard(base, mesh=mesh, mp_policy=policy, reshard_after_forward=False)
    base.buril_run = lambda work: work()
    register_fsdp_forward_method(base, "buril_run")
    trainable.run = base.buril_run
    parted = [module for module in base.modules() if isinstance(module, FSDPModule)]

    def rest() -> None:
        for module in parted:
            module.reshard()

    trainable.rest = rest


def _hold_together(trainable: Trainable, group: Group) -> None:
    base: Any = trainable.base
    _check_heads(base.config.get_text_config(), group.told.tensor)
    styles = {name: style for name, style in (base._tp_plan or {}).items() if style in {COLUMNS, ROWS, NORM}}
    if COLUMNS not in styles.values():
        raise BurilError("T162", feature=type(base).__name__, other="tensor")
    trainable.part(group.mesh["tensor"].get_local_rank(), group.told.tensor, cut=_cut(base, styles, ROWS))
    plan: dict[str, ParallelStyle] = {}
    for name, module in base.named_modules():
        style = styles.get(_pattern(name))
        if style in {COLUMNS, ROWS}:
            plan |= _pieces(name, module, columns=style == COLUMNS)
        elif style == NORM and any(parameter.requires_grad for parameter in module.parameters()):
            _add_up(module, group)
    parallelize_module(base, group.mesh["tensor"], plan)


def _check_heads(config: Any, tensor: int) -> None:
    heads = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
    if heads % tensor or config.num_attention_heads % tensor:
        raise BurilError("T161", processes=f"{heads} key-value heads", tensor=tensor)


def _cut(base: Any, styles: dict[str, str], wanted: str) -> list[nn.Module]:
    return [module for name, module in base.named_modules() if styles.get(_pattern(name)) == wanted]


def _pattern(name: str) -> str:
    """The name of a module as transformers' plans write it.

    Example:
        `_pattern("model.layers.3.mlp.up_proj")` is `model.layers.*.mlp.up_proj`.
    """
    return re.sub(r"\.\d+\.", ".*.", name)


def _pieces(name: str, module: Any, *, columns: bool) -> dict[str, ParallelStyle]:
    """What of a layer is cut. Of an adapter it is the matrix at the side that the layer is cut at."""
    if not hasattr(module, "base_layer"):
        return {name: ColwiseParallel() if columns else RowwiseParallel()}
    if columns:
        return {f"{name}.base_layer": ColwiseParallel(), f"{name}.lora_B.default": ColwiseParallel()}
    return {f"{name}.base_layer": RowwiseParallel(), f"{name}.lora_A.default": RowwiseParallel()}


def _add_up(module: nn.Module, group: Group) -> None:
    """A norm that every process applies to its own heads: its gradient is the sum of all of theirs."""
    if group.told.shard != "none":
        raise BurilError("T162", feature="q_norm, k_norm", other="shard + tensor")
    process_group = group.mesh["tensor"].get_group()

    def add(grad: torch.Tensor) -> torch.Tensor:
        found = grad.contiguous().clone()
        torch.distributed.all_reduce(found, group=process_group)
        return found

    for parameter in module.parameters():
        parameter.register_hook(add)  # type: ignore[no-untyped-call]  # torch does not type it


def _again(trainable: Trainable) -> dict[str, nn.Parameter]:
    """What is trained, by the same names: spreading a model puts new parameters in the places of the old."""
    found = dict(trainable.holder.named_parameters())
    return {name: found[name] for name in trainable.parameters}
