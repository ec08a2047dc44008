"""The model as one plain folder: weights with the adapter in them, configuration, tokenizer. All formats are of it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from buril.core.artifact import Artifact

if TYPE_CHECKING:
    import torch

SHARD = "5GB"
"""Size of one file of weights at most, as hubs ask for."""
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

    loaded = load(**model, device="cpu", convert=lambda model, device: None)
    wanted = stored_dtype(inside(model["base_dir"], "model"))
    weights, exact = _merged(loaded.model, wanted)
    bare = loaded.model.get_base_model() if hasattr(loaded.model, "get_base_model") else loaded.model
    if "lm_head.weight" in weights and bare.config.tie_word_embeddings:
        bare.config.tie_word_embeddings = _same(weights, "lm_head.weight", "model.embed_tokens.weight")
    with _quietly():
        bare.save_pretrained(place, state_dict=weights, max_shard_size=SHARD)
    _say_type(place / "config.json", wanted)
    for path in sorted(loaded.tokenizer_dir.iterdir()):
        if path.is_file():
            shutil.copyfile(path, place / path.name)
    given = inside(model["base_dir"], "model") / GENERATION
    if given.is_file():
        shutil.copyfile(given, place / GENERATION)
    return exact


def _say_type(path: Path, wanted: torch.dtype) -> None:
    """The configuration tells the type that was stored; transformers writes that of the model in memory."""
    told = json.loads(path.read_text(encoding="utf-8"))
    told["dtype"] = str(wanted).removeprefix("torch.")
    path.write_text(json.dumps(told, indent=1, sort_keys=True) + "\n", encoding="utf-8")


@contextmanager
def _quietly() -> Iterator[None]:
    """Progress goes through events, never straight to the terminal."""
    from transformers.utils import logging

    drawing = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if drawing:
            logging.enable_progress_bar()


def _merged(model: Any, wanted: torch.dtype) -> tuple[dict[str, torch.Tensor], bool]:
    """The weights by name in one type, tied ones as one tensor, and whether the type holds each of them exactly."""
    from buril.generators._merge import parts

    found: dict[str, torch.Tensor] = {}
    places: dict[int, torch.Tensor] = {}
    exact = True
    for name, part in parts(model).items():
        if not part.adapted and part.place in places:
            found[name] = places[part.place]
            continue
        made = part.make().detach()
        stored = made.to(wanted) if made.is_floating_point() else made
        exact = exact and bool((stored.to(made.dtype) == made).all())
        found[name] = stored.contiguous()
        if not part.adapted:
            places[part.place] = found[name]
    return found, exact


def _same(weights: Mapping[str, torch.Tensor], one: str, other: str) -> bool:
    return other in weights and weights[one].data_ptr() == weights[other].data_ptr()


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
