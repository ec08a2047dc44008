"""What settings of a training mean that are left open: it depends on whether the weights are pretrained or random."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from buril.core.artifact import Artifact

TUNED: dict[str, Any] = {"optimizer": "adamw", "batch_size": 32, "schedule": "cosine", "warmup": 0.1}
"""For a pretrained base: the customs of tuning."""
SCRATCH: dict[str, Any] = {"optimizer": "muon", "batch_size": 8, "schedule": "wsd", "warmup": 0.02}
"""For random weights: what learnt most in a few minutes of two cores."""
SCRATCH_RATES = {"adamw": 1e-3, "muon": 5e-3}
"""Peak learning rates for random weights where none is given: they bear more than twenty times that of tuning."""
EPOCHS = 3.0
"""Passes over the data where neither they nor `minutes` are given."""


def settled(settings: Any, inputs: Mapping[str, Artifact]) -> Any:
    """The settings of a training with nothing left open but `epochs` where `minutes` ends it, and the learning rate.

    Args:
        settings: of the stage `train`.
        inputs: the base among them.
    """
    defaults = SCRATCH if inputs["base"].json("base.json")["kind"] == "scratch" else TUNED
    found = {name: value for name, value in defaults.items() if getattr(settings, name) in (None, "auto")}
    epochs = settings.epochs or (None if settings.minutes else EPOCHS)
    return settings.model_copy(update={**found, "epochs": epochs})
