"""A model in use as one plain folder of Hugging Face's: weights with the adapter in them, configuration, tokenizer."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from buril.generators._merge import parts

if TYPE_CHECKING:
    import torch

    from buril.generators._load import Loaded

SHARD = "5GB"
"""Size of one file of weights at most, as hubs ask for."""


def write(loaded: Loaded, place: Path, wanted: torch.dtype) -> bool:
    """Write a model into an empty folder; gives whether nothing was rounded. Its own weights are used up by it.

    Args:
        loaded: the model, its adapter unmerged.
        place: where to.
        wanted: the type of all weights.
    """
    weights, exact = _merged(loaded.model, wanted)
    bare = loaded.model.get_base_model() if hasattr(loaded.model, "get_base_model") else loaded.model
    if "lm_head.weight" in weights and bare.config.tie_word_embeddings:
        bare.config.tie_word_embeddings = _same(weights, "lm_head.weight", "model.embed_tokens.weight")
    with quietly():
        bare.save_pretrained(place, state_dict=weights, max_shard_size=SHARD)
    _say_type(place / "config.json", wanted)
    for path in sorted(loaded.tokenizer_dir.iterdir()):
        if path.is_file():
            shutil.copyfile(path, place / path.name)
    return exact


def _say_type(path: Path, wanted: torch.dtype) -> None:
    """The configuration tells the type that was stored; transformers writes that of the model in memory."""
    told = json.loads(path.read_text(encoding="utf-8"))
    told["dtype"] = str(wanted).removeprefix("torch.")
    path.write_text(json.dumps(told, indent=1, sort_keys=True) + "\n", encoding="utf-8")


@contextmanager
def quietly() -> Iterator[None]:
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
