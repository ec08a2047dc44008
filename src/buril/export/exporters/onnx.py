"""ONNX: what ONNX Runtime runs, on CPUs of any make, on Windows, in browsers and on phones.

Written by the model builder of ONNX Runtime GenAI, which is also what reads it back here.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from buril.core.errors import BurilError
from buril.core.settings import Settings as BaseSettings
from buril.export.exporters._exporter import Bits, Source, Stepped
from buril.generators._onnx_builder import PACKAGES, Weights

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

ROOM = 2048
"""Tokens that a session has room for: the engine takes the memory of all of them at once."""
BITS: dict[str, Bits] = {"fp32": 32, "int8": 8, "int4": 4}


class Onnx:
    """A folder for ONNX Runtime GenAI, and for buril's generator `onnx`."""

    version: ClassVar[int] = 2
    requires: ClassVar[tuple[str, ...]] = PACKAGES
    engines: ClassVar[tuple[str, ...]] = ("onnx", "onnxruntime-genai")
    main: ClassVar[str] = "."

    class Settings(BaseSettings):
        """What is written."""

        shorthand: ClassVar[str | None] = "weights"

        weights: Weights = "int8"
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
        from buril.generators._onnx_builder import build

        problem = build(source.folder, folder, self.settings.weights)
        if problem is not None:
            raise BurilError("V106", format=self.name(), problem=problem)

    def open(self, source: Source, folder: Path) -> _Onnx:
        """With ONNX Runtime GenAI."""
        return _Onnx(source, folder)


class _Onnx(Stepped):
    """A model of ONNX Runtime GenAI, and what it has read."""

    def __init__(self, source: Source, folder: Path) -> None:
        from buril.generators._onnx import silent

        super().__init__(source)
        self._engine: Any = silent("onnxruntime_genai")
        self._model: Any = self._engine.Model(str(folder))
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
