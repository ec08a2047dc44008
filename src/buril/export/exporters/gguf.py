"""GGUF: one file for llama.cpp and everything built on it (Ollama, LM Studio), weights, tokenizer and chat template.

Written by buril's own writer. The embedding and the output matrix keep 8 bits where the others have 4.
"""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Literal

from buril.core.settings import Settings as BaseSettings
from buril.export.exporters._exporter import Bits, Generated, Source

BITS: dict[str, Bits] = {"f16": 16, "bf16": 16, "q8_0": 8, "q4_1": 4, "q4_0": 4}


class Gguf:
    """One file for llama.cpp, and for the programs that are built on it."""

    version: ClassVar[int] = 1
    requires: ClassVar[tuple[str, ...]] = ("gguf", "xllamacpp", "torch", "transformers")
    engines: ClassVar[tuple[str, ...]] = ("llamacpp", "llama.cpp", "openvino-genai")

    class Settings(BaseSettings):
        """What is written."""

        shorthand: ClassVar[str | None] = "weights"

        weights: Literal["f16", "bf16", "q8_0", "q4_1", "q4_0"] = "q8_0"
        """Format of the matrices. `q8_0` halves the size of 16 bits and answers nearly as the model does; `q4_0` and
        `q4_1` are a little over half of that and cost quality; `f16` is for who quantises it further."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    @property
    def main(self) -> str:
        """The file."""
        return f"model-{self.settings.weights}.gguf"

    def name(self) -> str:
        """With the format of the weights."""
        return f"gguf-{self.settings.weights}"

    def bits(self, source: Source) -> Bits:
        """Of the weights."""
        del source
        return BITS[self.settings.weights]

    def usage(self) -> str:
        """The line of llama.cpp's server."""
        return f"llama-server -m {{folder}}/{self.main}"

    def write(self, source: Source, folder: Path) -> None:
        """The file; its metadata name the model that it was made from.

        Raises:
            BurilError: T190 for a model or tokenizer that has no place in the format.
        """
        from buril.generators._gguf_writer import write
        from buril.generators._kept import digest
        from buril.generators._load import load

        loaded = load(
            source.folder, source.folder, model_dir=source.folder, device="cpu", convert=lambda model, device: None
        )
        made_of = digest([source.config, source.config])
        write(loaded, folder / self.main, weights=self.settings.weights, source=made_of)

    def open(self, source: Source, folder: Path) -> Generated:
        """With llama.cpp."""
        from buril.generators.llamacpp import Llamacpp

        told = Llamacpp.Settings(path=folder / self.main, heal=False, threads=source.threads, batch_size=8)
        generator = Llamacpp(told)
        generator.open(source.config, source.config)
        return Generated(generator)
