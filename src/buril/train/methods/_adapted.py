"""A model with LoRA adapters in training: the torch half of the methods `lora` and `qlora`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import torch

from buril.core.errors import BurilError
from buril.train.batch import Batch
from buril.train.methods._dropout import Dropout
from buril.train.methods._gated import quicken_gated
from buril.train.methods._lora_linear import ADAPTER, part, quicken, widen
from buril.train.methods._trainable import Trainable
from buril.train.objectives._head import Head

if TYPE_CHECKING:
    from buril.train.methods.lora import Lora


class Adapted(Trainable):
    """A PEFT model in training."""

    folder: ClassVar[str] = "adapter"

    def __init__(self, adapted: Any, dropout: Dropout) -> None:
        self._adapted = adapted
        self._dropout = dropout
        quicken(adapted, dropout)
        quicken_gated(adapted, dropout)
        trained = {name: parameter for name, parameter in adapted.named_parameters() if parameter.requires_grad}
        super().__init__(adapted.get_base_model(), trained)
        self.holder = adapted

    def train(self, mode: bool) -> None:
        """As the base class; evaluation also lets go of the last dropout masks."""
        self._adapted.train(mode)
        if not mode:
            self._dropout.end()

    def begin(self, batch: Batch, *, seed: int, step: int) -> None:
        """New dropout masks."""
        self._dropout.begin(batch, seed=seed, step=step)

    def contexts(self) -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
        """The second draws the dropout masks of the layer again."""
        return nullcontext(), self._dropout.again()

    def part(self, number: int, of: int, cut: Sequence[torch.nn.Module]) -> None:
        """Back to PEFT's own layers: those know how to be cut."""
        part(self._adapted, self._dropout, (number, of), cut)

    def head(self) -> Head:
        """The frozen output layer, with the trained rows where there are new tokens."""
        output = self.base.get_output_embeddings()
        adapter = getattr(output, "token_adapter", None)
        if adapter is None:
            return Head(output.weight)
        rows_RD = adapter.trainable_tokens_delta[ADAPTER]
        index_R = torch.tensor(adapter.token_indices[ADAPTER], device=rows_RD.device)
        return Head(adapter.base_layer.weight, rows_RD, index_R)

    def save(self, folder: Path, state: Mapping[str, torch.Tensor] | None = None) -> None:
        """Write `adapter_config.json` and `adapter_model.safetensors`, without any path of this machine."""
        config = self._adapted.peft_config[ADAPTER]
        config.base_model_name_or_path = ""  # PEFT would fill None with a path of this machine
        config.inference_mode = True
        config.target_modules = sorted(config.target_modules)  # a set: its order would change with the hash seed
        told = {} if state is None else {"state_dict": dict(state)}
        self._adapted.save_pretrained(folder, save_embedding_layers=False, **told)
        (folder / "README.md").unlink(missing_ok=True)  # a card without content; the audit stage writes the real one


def adapt(model: Any, told: Lora.Settings, *, dtype: torch.dtype, new_tokens: list[int], seed: int) -> Adapted:
    """A model with fresh adapters, that change nothing yet.

    Args:
        model: its own weights are in `dtype`; matrices of linear layers may be in 16 or in 4 bits.
        told: the adapters' size and places.
        dtype: of multiplications.
        new_tokens: ids whose embedding rows are trained whole.
        seed: of the adapters' first matrices.

    Raises:
        BurilError: T107 when no layer fits the targets.
    """
    from peft import LoraConfig, get_peft_model

    config = LoraConfig(
        r=told.rank, lora_alpha=told.alpha, lora_dropout=told.dropout, task_type="CAUSAL_LM", use_rslora=told.rslora,
        use_dora=told.dora, target_modules=told.targets if isinstance(told.targets, str) else list(told.targets),
        trainable_token_indices=token_indices(model, new_tokens),
    )  # fmt: skip
    torch.manual_seed(seed)
    try:
        with _seeming(model, dtype):
            adapted = get_peft_model(model, config)
    except ValueError as problem:
        if "target modules" not in str(problem).lower():
            raise
        raise BurilError("T107", targets=told.targets) from problem
    for parameter in adapted.parameters():
        if parameter.requires_grad:
            parameter.data = parameter.data.float()
    made = Adapted(adapted, Dropout(told.dropout))
    widen(adapted, dtype)
    return made


@contextmanager
def _seeming(model: torch.nn.Module, dtype: torch.dtype) -> Iterator[None]:
    """Let matrices of 16 bits seem to be of `dtype`, in one number's memory: PEFT rounds adapters to what it finds."""
    layers = [layer for layer in model.modules() if type(layer) is torch.nn.Linear and layer.weight.dtype != dtype]
    kept = [layer.weight.data for layer in layers]
    for layer, weight in zip(layers, kept, strict=True):
        layer.weight.data = torch.zeros((), dtype=dtype, device=weight.device).expand(weight.shape)
    try:
        yield
    finally:
        for layer, weight in zip(layers, kept, strict=True):
            layer.weight.data = weight


def token_indices(model: Any, new_tokens: list[int]) -> dict[str, list[int]] | None:
    """Which rows of which embeddings PEFT is to train: the new tokens', in the output layer too where it is its own."""
    if not new_tokens:
        return None
    names = {module: name.rsplit(".", 1)[-1] for name, module in model.named_modules()}
    embedding, head = model.get_input_embeddings(), model.get_output_embeddings()
    found = {names[embedding]: sorted(new_tokens)}
    if head.weight.data_ptr() != embedding.weight.data_ptr():
        found[names[head]] = sorted(new_tokens)
    return found
