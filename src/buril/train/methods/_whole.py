"""A model all of whose weights are in training: the torch half of the method `full`."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import torch

from buril.train.methods._trainable import Trainable
from buril.train.objectives._head import Head


class Whole(Trainable):
    """A model all of whose weights are trained."""

    folder: ClassVar[str] = "model"

    def head(self) -> Head:
        """The output layer; where it is tied to the input, both gradients add up."""
        return Head(self.base.get_output_embeddings().weight)

    def save(self, folder: Path) -> None:
        """Write `config.json` and `model.safetensors`, the weights in bf16 as published models have them."""
        self.base.config._attn_implementation = "sdpa"
        self.base.to(torch.bfloat16).save_pretrained(folder, max_shard_size="100GB")
