"""A model with LoRA adapters in training: the torch half of the method `lora`."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import torch

from buril.train.batch import Batch
from buril.train.methods._dropout import Dropout
from buril.train.methods._lora_linear import ADAPTER, quicken
from buril.train.methods._trainable import Trainable
from buril.train.objectives._head import Head


class Adapted(Trainable):
    """A PEFT model in training."""

    folder: ClassVar[str] = "adapter"

    def __init__(self, adapted: Any, dropout: Dropout) -> None:
        self._adapted = adapted
        self._dropout = dropout
        quicken(adapted, dropout)
        trained = {name: parameter for name, parameter in adapted.named_parameters() if parameter.requires_grad}
        super().__init__(adapted.get_base_model(), trained)

    def train(self, mode: bool) -> None:
        """As the base class; evaluation also lets go of the last dropout masks."""
        self._adapted.train(mode)
        if not mode:
            self._dropout.end()

    def begin(self, batch: Batch, *, seed: int, step: int) -> None:
        """New dropout masks."""
        self._dropout.begin(batch, seed=seed, step=step)

    def head(self) -> Head:
        """The frozen output layer, with the trained rows where there are new tokens."""
        output = self.base.get_output_embeddings()
        adapter = getattr(output, "token_adapter", None)
        if adapter is None:
            return Head(output.weight)
        rows_RD = adapter.trainable_tokens_delta[ADAPTER]
        index_R = torch.tensor(adapter.token_indices[ADAPTER], device=rows_RD.device)
        return Head(adapter.base_layer.weight, rows_RD, index_R)

    def save(self, folder: Path) -> None:
        """Write `adapter_config.json` and `adapter_model.safetensors`, without any path of this machine."""
        config = self._adapted.peft_config[ADAPTER]
        config.base_model_name_or_path = ""  # PEFT would fill None with a path of this machine
        config.inference_mode = True
        config.target_modules = sorted(config.target_modules)  # a set: its order would change with the hash seed
        self._adapted.save_pretrained(folder, save_embedding_layers=False)
        (folder / "README.md").unlink(missing_ok=True)  # a card without content; the audit stage writes the real one
