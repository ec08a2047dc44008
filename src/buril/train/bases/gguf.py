"""A base from a GGUF file: dequantised to bf16 safetensors, its tokenizer rebuilt."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from buril.core.errors import BurilError
from buril.core.settings import Json
from buril.core.settings import Settings as BaseSettings
from buril.core.stage import Output
from buril.train.bases._base import Description, stamp
from buril.train.bases._gguf import convert


class Gguf:
    """Turns a GGUF file into a plain model folder. The noise of its quantisation stays in the weights."""

    version: ClassVar[int] = 1
    requires: ClassVar[tuple[str, ...]] = ("gguf",)

    class Settings(BaseSettings):
        """Where it is."""

        shorthand: ClassVar[str | None] = "path"

        path: str
        """A .gguf file of the architecture llama or qwen2; `~` is the home folder."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.path = Path(settings.path).expanduser()

    def needs(self) -> tuple[str, ...]:
        """Nothing."""
        return ()

    def observe(self) -> Json:
        """Size and time of the file."""
        if not self.path.is_file():
            raise BurilError("T002", path=self.settings.path, suggestion="")
        return stamp(self.path)

    def size(self) -> int:
        """Bytes of the file."""
        return self.path.stat().st_size

    def write(self, out: Output, tokenizer: Path | None) -> Description:
        """Convert the file."""
        return convert(self.path, out, kind="gguf", source=self.path.name)
