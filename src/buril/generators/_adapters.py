"""LoRA adapters side by side on one base, unmerged: each token of a batch is adapted by its own row's adapter, or none.

The matrices of all adapters are stacked along their ranks, so that two multiplications with thin matrices do for all of
them (Chen et al. 2023, Punica, arXiv 2310.18547; Sheng et al. 2023, S-LoRA, arXiv 2311.03285, gather rows instead):

    y = x·Wᵀ + ((x·Aᵀ) ∘ m)·Bᵀ

A row of the mask m holds the strength of its adapter in the columns of that adapter's ranks, and 0 elsewhere. So
batches mix adapters, and the same adapter at two strengths is there once.

Shapes: N tokens, R ranks of all adapters together, I and O features in and out of a layer.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from buril.core.errors import BurilError
from buril.core.text import _
from buril.generators._generator import Adapter

if TYPE_CHECKING:
    import torch

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
_NAME = re.compile(r"base_model\.model\.(?P<layer>.+)\.lora_(?P<part>[AB])\.weight")
_MOVES_BASE = ("pissa", "olora", "corda", "loftq", "eva")
"""Ways to begin a LoRA that may change the weights below it: such an adapter alone does not say what it was."""


class Matrices(NamedTuple):
    """A layer's two matrices: (R, I), and (O, R) with the adapter's own scale in it."""

    first_RI: torch.Tensor
    second_OR: torch.Tensor


def layers_of(model: Any) -> dict[str, tuple[int, int]]:
    """Features out and in of each linear layer of a model of transformers, the output layer left out."""
    import torch

    head = model.get_output_embeddings()
    return {
        name: (module.out_features, module.in_features)
        for name, module in model.named_modules()
        if isinstance(module, torch.nn.Linear) and module is not head
    }


class Stack:
    """The adapters of a generator.

    Args:
        layers: of the model, by name, with their features out and in.
        dtype: of the matrices; those of training otherwise.
        device: where they lie.
    """

    def __init__(self, layers: Mapping[str, tuple[int, int]], *, dtype: torch.dtype, device: torch.device) -> None:
        self.layers, self._dtype, self._device = dict(layers), dtype, device
        self._given: dict[str, Adapter] = {}
        self._places: dict[tuple[Path, str], slice] = {}
        self.rank = 1  # a column of zeros stands first: engines need not know of a stack without adapters
        self.matrices = {name: self._zeros(name, 1) for name in self.layers}

    def put(self, given: Mapping[str, Adapter]) -> None:
        """Take these adapters in the place of those before; one that is there already is not read again.

        Raises:
            BurilError: V030, and all stays as it was.
        """
        places: dict[tuple[Path, str], slice] = {}
        parts: list[Mapping[str, Matrices]] = [{name: self._zeros(name, 1) for name in self.layers}]
        rank = 1
        for name, adapter in given.items():
            if adapter.identity in places:
                continue
            held = self._places.get(adapter.identity)
            part = self._cut(held) if held else self._read(adapter.title or name, adapter)
            size = next(iter(part.values())).first_RI.shape[0]
            places[adapter.identity] = slice(rank, rank + size)
            parts.append(part)
            rank += size
        self.matrices = {name: self._joined([part[name] for part in parts]) for name in self.layers}
        self._given, self._places, self.rank = dict(given), places, rank

    def check(self, name: str) -> None:
        """Refuse an adapter that is not there.

        Raises:
            BurilError: V032.
        """
        if name and name not in self._given:
            raise BurilError("V032", name=name)

    def adapter(self, name: str) -> Adapter | None:
        """The adapter of a name; None for ""."""
        return self._given.get(name)

    def mask(self, names: Sequence[str], sizes: Sequence[int]) -> torch.Tensor:
        """The mask (N, R): how strong each rank is for each token.

        Args:
            names: of the adapters of some rows, "" for none.
            sizes: how many tokens each row has.
        """
        import torch

        mask_NR = torch.zeros((sum(sizes), self.rank))
        start = 0
        for name, size in zip(names, sizes, strict=True):
            if name:
                adapter = self._given[name]
                mask_NR[start : start + size, self._places[adapter.identity]] = adapter.strength
            start += size
        return mask_NR

    def _zeros(self, name: str, rank: int) -> Matrices:
        import torch

        out, into = self.layers[name]
        told: dict[str, Any] = {"dtype": self._dtype, "device": self._device}
        return Matrices(torch.zeros((rank, into), **told), torch.zeros((out, rank), **told))

    def _cut(self, place: slice) -> dict[str, Matrices]:
        return {name: Matrices(one[place], other[:, place]) for name, (one, other) in self.matrices.items()}

    def _joined(self, parts: Sequence[Matrices]) -> Matrices:
        import torch

        firsts, seconds = zip(*parts, strict=True)
        return Matrices(torch.cat(firsts), torch.cat(seconds, dim=1).contiguous())

    def _read(self, name: str, adapter: Adapter) -> dict[str, Matrices]:
        """The matrices of an adapter for all layers, those it leaves alone zero, all of its largest rank."""
        found = read(adapter.folder, name)
        rank = max(one.shape[0] for one, _other in found.values())
        whole = {layer: self._zeros(layer, rank) for layer in self.layers}
        for layer, (first_RI, second_OR) in found.items():
            wanted = self.layers.get(layer)
            if wanted != (second_OR.shape[0], first_RI.shape[1]) or first_RI.shape[0] != second_OR.shape[1]:
                raise _unfit(
                    name, adapter.folder, _("the model has no layer `{layer}` of its size").format(layer=layer)
                )
            size = first_RI.shape[0]
            whole[layer].first_RI[:size] = first_RI
            whole[layer].second_OR[:, :size] = second_OR
        return whole


def read(folder: Path, name: str = "") -> dict[str, Matrices]:
    """The matrices of a PEFT folder by layer, in float32.

    Args:
        folder: with `adapter_config.json` and `adapter_model.safetensors`.
        name: what it is called in an error.

    Raises:
        BurilError: V030 for what is no LoRA alone, or can't be read.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
        tensors = load_file(folder / WEIGHTS)
    except OSError as problem:
        raise _unfit(name, folder, f"{Path(problem.filename or folder).name}: {problem.strerror}") from problem
    except (ValueError, SafetensorError) as problem:
        raise _unfit(name, folder, str(problem).splitlines()[0]) from problem
    _check(config, name, folder)
    parts: dict[str, dict[str, torch.Tensor]] = {}
    for key, tensor in tensors.items():
        match = _NAME.fullmatch(key)
        if match is None or tensor.ndim != 2:
            raise _unfit(name, folder, _("it trains more than LoRA's matrices (`{key}`)").format(key=key))
        parts.setdefault(match["layer"], {})[match["part"]] = tensor.float()
    if not parts or any(part.keys() != {"A", "B"} for part in parts.values()):
        raise _unfit(name, folder, _("it has a matrix without the other"))
    return {
        layer: Matrices(part["A"], part["B"] * _scale(config, layer, part["A"].shape[0]))
        for layer, part in parts.items()
    }


def _check(config: Any, name: str, folder: Path) -> None:
    """Refuse what would be something else without more than the two matrices of each layer."""
    if not isinstance(config, dict) or config.get("peft_type") != "LORA":
        raise _unfit(name, folder, _("it is no LoRA"))
    begun = config.get("init_lora_weights")
    odd = [key for key in ("use_dora", "modules_to_save", "lora_bias", "layer_replication", "fan_in_fan_out",
                           "alora_invocation_tokens", "trainable_token_indices") if config.get(key)]  # fmt: skip
    if config.get("bias", "none") != "none":
        odd.append("bias")
    if isinstance(begun, str) and begun.lower().startswith(_MOVES_BASE):
        odd.append("init_lora_weights")
    if odd:
        raise _unfit(name, folder, _("it trains more than LoRA's matrices (`{key}`)").format(key=odd[0]))


def _scale(config: Mapping[str, Any], layer: str, rank: int) -> float:
    """What an adapter's product is multiplied by in a layer."""
    patterns: Mapping[str, float] = config.get("alpha_pattern") or {}
    own = next((value for key, value in patterns.items() if re.fullmatch(rf"(.*\.)?({key})", layer)), None)
    alpha = float(config["lora_alpha"] if own is None else own)
    return alpha / (math.sqrt(rank) if config.get("use_rslora") else rank)


def _unfit(name: str, folder: Path, problem: str) -> BurilError:
    return BurilError("V030", name=name or folder.name, path=folder, problem=problem)
