"""Method qlora: LoRA on a base of 4-bit weights (Dettmers et al. 2023, arXiv 2305.14314), as plain PEFT files."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from buril.train.methods.lora import Lora

if TYPE_CHECKING:  # torch is loaded when training begins, not when a plan is made
    import torch

    from buril.train.methods._trainable import Trainable


class Qlora:
    """Trains what `lora` trains, with the frozen linear layers in NF4: a quarter of their memory in bf16.

    They are dequantised for each multiplication, layer by layer, forward and backward: slower, never kept whole. The
    adapter fits the base in any format; on the base it was trained on, in NF4, it is as good as training said.
    """

    version: ClassVar[int] = 2
    learning_rate: ClassVar[float] = Lora.learning_rate
    """Peak learning rate where none is given: that of lora."""
    trains_weights: ClassVar[bool] = False
    """Whether the base's own weights are trained: 4 bits can't be."""
    packages: ClassVar[tuple[str, ...]] = (*Lora.packages, "bitsandbytes")
    """What must be installed."""

    class Settings(Lora.Settings):
        """The adapter's size and places, and the format of what stays as it is."""

        double: bool = True
        """Whether the scales of the 4-bit weights are quantised too: 4.13 bits a weight instead of 4.5."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    def convert(self, model: Any, device: torch.device, *, bf16: bool) -> None:
        """Quantise a model whose weights still lie in their file, and put it on the device.

        Args:
            model: a transformers model, on the CPU or where it shall stay.
            device: where it goes.
            bf16: multiply in bf16 (and keep embeddings and norms in it), else in fp32.
        """
        import torch

        from buril.train.methods._quantised import quantise

        quantise(model, device, dtype=torch.bfloat16 if bf16 else torch.float32, double=self.settings.double)

    def prepare(self, model: Any, *, bf16: bool, new_tokens: list[int], seed: int) -> Trainable:
        """The model with fresh adapters, that change nothing yet; quantised first where it is not yet.

        Raises:
            BurilError: T107 when no layer fits the targets.
        """
        import torch

        from buril.train.methods._adapted import adapt
        from buril.train.methods._quantised import library

        library()  # before PEFT imports it
        if not getattr(model, "is_loaded_in_4bit", False):
            self.convert(model, model.device, bf16=bf16)
        dtype = torch.bfloat16 if bf16 else torch.float32
        return adapt(model, self.settings, dtype=dtype, new_tokens=new_tokens, seed=seed)
