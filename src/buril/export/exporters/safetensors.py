"""Safetensors: a plain Hugging Face folder, the adapter merged in, as transformers, vLLM and most programs read it.

Weights have the type of the base's; the adapter was added in float32 and the sum rounded once. Where there is an
adapter, it stands beside it as it was trained, for servers that change adapters on one base.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import ClassVar

from buril.core.settings import Settings as BaseSettings
from buril.export.exporters._exporter import Bits, Generated, Source

ADAPTER = "adapter"


class Safetensors:
    """The weights as transformers and vLLM load them, and the adapter by itself."""

    version: ClassVar[int] = 1
    requires: ClassVar[tuple[str, ...]] = ("torch", "transformers", "safetensors")
    engines: ClassVar[tuple[str, ...]] = ("transformers", "openvino", "vllm")
    main: ClassVar[str] = "."

    class Settings(BaseSettings):
        """What is written."""

        adapter: bool = True
        """Whether the adapter is also put into the folder, in `adapter/`, as it was trained."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    def name(self) -> str:
        """There is one such folder."""
        return "safetensors"

    def bits(self, source: Source) -> Bits:
        """Nothing is rounded, unless an adapter is merged into weights of 16 bits."""
        return 32 if source.exact else 16

    def usage(self) -> str:
        """The line of transformers."""
        return 'AutoModelForCausalLM.from_pretrained("{folder}")'

    def write(self, source: Source, folder: Path) -> None:
        """The source is such a folder already."""
        for path in sorted(source.folder.iterdir()):
            if path.is_file():
                shutil.copyfile(path, folder / path.name)
        if source.adapter and self.settings.adapter:
            shutil.copytree(source.adapter, folder / ADAPTER)

    def open(self, source: Source, folder: Path) -> Generated:
        """With transformers, in float32."""
        from buril.generators.transformers import Transformers

        generator = Transformers(Transformers.Settings(dtype="fp32", device="cpu", heal=False))
        generator.open(folder, folder, model_dir=folder)
        return Generated(generator)
