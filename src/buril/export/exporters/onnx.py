"""ONNX: what ONNX Runtime GenAI runs, on CPUs of any make, on Windows, in browsers and on phones.

Written by its own model builder, in a process of its own: it prints, keeps what it loads, and looks for files of a hub,
which that process is told to do without. A model with tied embeddings keeps one matrix for both where it is quantised.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from buril.core.errors import BurilError
from buril.core.settings import Settings as BaseSettings
from buril.export.exporters._exporter import Bits, Source, Stepped

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

BUILDER = "onnxruntime_genai.models.builder"
ROOM = 2048
"""Tokens that a session has room for: the engine takes the memory of all of them at once."""
BITS: dict[str, Bits] = {"fp32": 32, "int8": 8, "int4": 4}
OPTIONS = {
    "fp32": (),
    "int8": ("shared_embeddings=true", "algo_config=rtn"),
    "int4": ("shared_embeddings=true", "algo_config=rtn", "matmul_mixed_precision=last_matmul:int8"),
}
"""What the builder is told for each precision."""


class Onnx:
    """A folder for ONNX Runtime GenAI."""

    version: ClassVar[int] = 1
    requires: ClassVar[tuple[str, ...]] = ("onnxruntime_genai", "onnx", "onnx_ir", "torch", "transformers")
    engines: ClassVar[tuple[str, ...]] = ("onnxruntime-genai",)
    main: ClassVar[str] = "."

    class Settings(BaseSettings):
        """What is written."""

        shorthand: ClassVar[str | None] = "weights"

        weights: Literal["fp32", "int8", "int4"] = "int8"
        """Format of the matrices. `int4` (with the output matrix in 8 bits) is what this engine is fastest with, and
        more than a small model bears; `fp32` rounds nothing and is twice the size of the published model."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    def name(self) -> str:
        """With the format of the weights."""
        return f"onnx-{self.settings.weights}"

    def bits(self, source: Source) -> Bits:
        """Of the weights; float32 holds the merged weights, which may have been rounded."""
        found = BITS[self.settings.weights]
        return 16 if found == 32 and not source.exact else found

    def usage(self) -> str:
        """The line of ONNX Runtime GenAI."""
        return 'onnxruntime_genai.Model("{folder}")'

    def write(self, source: Source, folder: Path) -> None:
        """Run the builder.

        Raises:
            BurilError: V106 when it fails.
        """
        with TemporaryDirectory() as cache:
            words = [
                sys.executable, "-m", BUILDER, "-i", str(source.folder), "-o", str(folder), "-c", cache,
                "-p", self.settings.weights, "-e", "cpu", "--extra_options", "hf_token=false",
                *OPTIONS[self.settings.weights],
            ]  # fmt: skip
            done = subprocess.run(  # noqa: S603  this Python, a module of a package that is required
                words, capture_output=True, text=True, errors="replace", check=False, cwd=cache, env=_environment()
            )
        if done.returncode or not (folder / "genai_config.json").is_file():
            raise BurilError("V106", format=self.name(), problem=_last_line(done.stderr))

    def open(self, source: Source, folder: Path) -> _Onnx:
        """With ONNX Runtime GenAI."""
        return _Onnx(source, folder)


def _environment() -> dict[str, str]:
    """Of the builder: no network, and no more threads than this process has."""
    return {**os.environ, "HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1", "PYTHONIOENCODING": "utf-8"}


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1][:300] if lines else "?"


class _Onnx(Stepped):
    """A model of ONNX Runtime GenAI, and what it has read."""

    def __init__(self, source: Source, folder: Path) -> None:
        import onnxruntime_genai as engine

        super().__init__(source)
        self._engine: Any = engine
        self._model: Any = engine.Model(str(folder))
        self._session: Any = None
        told = json.loads((folder / "genai_config.json").read_text(encoding="utf-8"))
        self._room = min(ROOM, int(told["model"]["context_length"]))

    def begin(self) -> None:
        """A new session."""
        told = self._engine.GeneratorParams(self._model)
        told.set_search_options(max_length=self._room, do_sample=False)
        self._session = self._engine.Generator(self._model, told)

    def step(self, ids: Sequence[int]) -> NDArray[np.float32]:
        """Tokens are appended, so that the engine draws none of its own."""
        import numpy as np

        self._session.append_tokens(np.array([list(ids)], dtype=np.int32))
        found: NDArray[np.float32] = np.array(self._session.get_output("logits"))[0].astype(np.float32)
        return found
