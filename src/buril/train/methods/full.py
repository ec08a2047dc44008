"""Method full: every weight is trained; the result is a plain Hugging Face folder."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from buril.core.settings import Settings as BaseSettings

if TYPE_CHECKING:  # torch is loaded when training begins, not when a plan is made
    from buril.train.methods._trainable import Trainable


class Full:
    """Trains all weights, kept in fp32; bf16 is used for multiplications alone (autocast)."""

    version: ClassVar[int] = 1
    learning_rate: ClassVar[float] = 5e-5
    """Peak learning rate where none is given: the custom for pretrained code models."""
    trains_weights: ClassVar[bool] = True
    """Whether the base's own weights are trained: then they must be fp32, and may be random to begin with."""

    packages: ClassVar[tuple[str, ...]] = ("torch", "transformers")
    """What must be installed."""

    class Settings(BaseSettings):
        """Nothing to set."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    def prepare(self, model: Any, *, bf16: bool, new_tokens: list[int], seed: int) -> Trainable:
        """The model in fp32 with gradients for everything; `new_tokens` are among it, and nothing here is random."""
        import torch

        from buril.train.methods._whole import Whole

        del new_tokens, seed
        model.float().requires_grad_(True)
        return Whole(model, dict(model.named_parameters()), autocast=torch.bfloat16 if bf16 else None)
