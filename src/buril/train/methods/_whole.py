"""A model all of whose weights are in training: the torch half of the method `full`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import torch

from buril.train.methods._trainable import Trainable
from buril.train.objectives._head import Head


class Whole(Trainable):
    """A model all of whose weights are trained."""

    folder: ClassVar[str] = "model"

    def head(self) -> Head:
        """The output layer; where it is tied to the input, both gradients add up."""
        return Head(self.base.get_output_embeddings().weight)

    def save(self, folder: Path, state: Mapping[str, torch.Tensor] | None = None) -> None:
        """Write `config.json` and `model.safetensors`, the weights in bf16 as published models have them."""
        self.base.config._attn_implementation = "sdpa"
        model = self.base if state is None else _assembled(self.base, state)
        model.to(torch.bfloat16).save_pretrained(folder, max_shard_size="100GB")


def _assembled(base: Any, state: Mapping[str, torch.Tensor]) -> Any:
    """A model of the same kind with weights that are whole, in main memory."""
    with torch.device("meta"):
        model = type(base)(base.config)
    short = {name: tensor.to(torch.bfloat16) for name, tensor in state.items()}
    model.load_state_dict(short, strict=False, assign=True)
    model.tie_weights()
    model.generation_config = base.generation_config
    return model
