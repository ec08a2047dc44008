"""Method full: every weight is trained; the result is a plain Hugging Face folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import torch

from buril.core.settings import Settings as BaseSettings
from buril.train.methods._trainable import Trainable
from buril.train.objectives._head import Head


class Full:
    """Trains all weights, kept in fp32; bf16 is used for multiplications alone (autocast)."""

    version: ClassVar[int] = 1
    learning_rate: ClassVar[float] = 5e-5
    """Peak learning rate where none is given: the custom for pretrained code models."""
    trains_weights: ClassVar[bool] = True
    """Whether the base's own weights are trained: then they must be fp32, and may be random to begin with."""

    class Settings(BaseSettings):
        """Nothing to set."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    def prepare(self, model: Any, *, bf16: bool, new_tokens: list[int], seed: int) -> Trainable:
        """The model in fp32 with gradients for everything; `new_tokens` are among it, and nothing here is random."""
        del new_tokens, seed
        model.float().requires_grad_(True)
        return _Whole(model, dict(model.named_parameters()), autocast=torch.bfloat16 if bf16 else None)


class _Whole(Trainable):
    """A model all of whose weights are trained."""

    folder: ClassVar[str] = "model"

    def head(self) -> Head:
        """The output layer; where it is tied to the input, both gradients add up."""
        return Head(self.base.get_output_embeddings().weight)

    def save(self, folder: Path) -> None:
        """Write `config.json` and `model.safetensors`, the weights in bf16 as published models have them."""
        self.base.config._attn_implementation = "sdpa"
        self.base.to(torch.bfloat16).save_pretrained(folder, max_shard_size="100GB")
