"""Method lora: low-rank adapters on a frozen model (Hu et al. 2021, arXiv 2106.09685), as plain PEFT files."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from buril.core.settings import Settings as BaseSettings

if TYPE_CHECKING:  # torch is loaded when training begins, not when a plan is made
    import torch

    from buril.train.methods._trainable import Trainable


class Lora:
    """Trains two thin matrices beside each chosen layer, and the rows of tokens that the base never knew."""

    version: ClassVar[int] = 1
    learning_rate: ClassVar[float] = 2e-4
    """Peak learning rate where none is given: adapters begin at zero and bear ten times that of full training."""
    trains_weights: ClassVar[bool] = False
    """Whether the base's own weights are trained: then they must be fp32, and may be random to begin with."""

    packages: ClassVar[tuple[str, ...]] = ("torch", "transformers", "peft")
    """What must be installed."""

    class Settings(BaseSettings):
        """The adapter's size and places."""

        shorthand: ClassVar[str | None] = "rank"
        rank: int = Field(16, ge=1)
        """Rank of the adapters; 16 is enough for a team's style and APIs, more for new knowledge."""
        alpha: float = Field(32, gt=0)
        """Adapters are scaled by alpha / rank; twice the rank is the custom that learning rates are given for."""
        dropout: float = Field(0.1, ge=0, lt=1)
        """Share of the adapters' inputs dropped in training; 0.1 as for small corpora."""
        targets: str | tuple[str, ...] = "all-linear"
        """Layers that get an adapter: `all-linear` (all but the output layer), or names such as `[q_proj, v_proj]`."""
        rslora: bool = False
        """Scale by alpha / √rank (Kalajdzievski 2023, arXiv 2312.03732): what a rank of 64 or more needs to learn."""
        dora: bool = False
        """Train the length of each row of a weight apart (Liu et al. 2024, arXiv 2402.09353): nearer to `full` at a low
        rank, for more time and memory."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    def convert(self, model: Any, device: torch.device, *, bf16: bool) -> None:
        """Give each weight the format it is used in, while it still lies in its file.

        Matrices that get an adapter keep the 16 bits of a file where multiplications are in fp32, and lie in its mapped
        pages: they are widened at each use. What else is used in fp32 leaves them.

        Args:
            model: a transformers model.
            device: where it goes; it is moved there later.
            bf16: multiply in bf16, else in fp32.
        """
        import torch

        from buril.train.methods._lora_linear import put_in

        del device
        put_in(model, torch.bfloat16 if bf16 else torch.float32, keep=not self.settings.dora)

    def prepare(self, model: Any, *, bf16: bool, new_tokens: list[int], seed: int) -> Trainable:
        """The model with fresh adapters, that change nothing yet.

        Args:
            model: a transformers model.
            bf16: multiply in bf16 (the frozen weights are kept in it), else in fp32.
            new_tokens: ids that the base never saw; their embedding rows are trained whole and saved with the adapter.
            seed: of the adapters' first matrices.

        Raises:
            BurilError: T107 when no layer fits the targets.
        """
        import torch

        from buril.train.methods._adapted import adapt

        dtype = torch.bfloat16 if bf16 else torch.float32
        self.convert(model, model.device, bf16=bf16)
        return adapt(model, self.settings, dtype=dtype, new_tokens=new_tokens, seed=seed)
