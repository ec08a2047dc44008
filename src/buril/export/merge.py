"""The model as one plain folder: weights with the adapter in them, configuration, tokenizer. All formats are of it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from buril.core.artifact import Artifact

if TYPE_CHECKING:
    import torch

MODEL_JSON = "model.json"
GENERATION = "generation_config.json"


def folders(base: Artifact, tokenizer: Artifact, tuned: Artifact | None) -> dict[str, Path]:
    """What `load` is called with for a model of the chain."""
    there = {f"{name}_dir": tuned.path(name) for name in ("adapter", "model")} if tuned else {}
    found = {name: path for name, path in there.items() if path.is_dir()}
    return {"base_dir": base.folder, "tokenizer_dir": tokenizer.folder, **found}


def write_config(place: Path, whole: Path, made_from: Mapping[str, Any]) -> None:
    """The same without weights, and what the model was made from.

    Args:
        place: where to.
        whole: the folder that `write_whole` wrote.
        made_from: artifacts by stage, as `bundle.json` names them.
    """
    place.mkdir(parents=True, exist_ok=True)
    for path in sorted(whole.iterdir()):
        if path.is_file() and path.suffix != ".safetensors" and not path.name.endswith(".index.json"):
            shutil.copyfile(path, place / path.name)
    text = json.dumps(made_from, indent=1, sort_keys=True) + "\n"
    (place / MODEL_JSON).write_text(text, encoding="utf-8")


def write_whole(place: Path, model: Mapping[str, Any]) -> bool:
    """Write the model into an empty folder; gives whether nothing was rounded.

    Args:
        place: where to.
        model: what `folders` gives.
    """
    from buril.generators._load import inside, load
    from buril.generators._whole import write

    loaded = load(**model, device="cpu", convert=lambda model, device: None)
    exact = write(loaded, place, stored_dtype(inside(model["base_dir"], "model")))
    given = inside(model["base_dir"], "model") / GENERATION
    if given.is_file():
        shutil.copyfile(given, place / GENERATION)
    return exact


def stored_dtype(folder: Path) -> torch.dtype:
    """The type that most numbers of a folder's weights are stored in."""
    import torch

    sizes: dict[str, int] = {}
    for kind, number in _stored(folder):
        sizes[kind] = sizes.get(kind, 0) + number
    kinds = {"F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}
    known = {kind: number for kind, number in sizes.items() if kind in kinds}
    return kinds[max(known, key=lambda kind: known[kind])] if known else torch.float32


def _stored(folder: Path) -> Iterator[tuple[str, int]]:
    """The type and the number of numbers of each stored tensor."""
    from math import prod

    from safetensors import safe_open

    for path in sorted(folder.glob("*.safetensors")):
        with safe_open(path, framework="pt") as file:
            for name in file.keys():  # noqa: SIM118  it is no mapping
                part = file.get_slice(name)
                yield str(part.get_dtype()), prod(part.get_shape())
