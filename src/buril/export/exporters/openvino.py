"""OpenVINO: a folder that OpenVINO GenAI and OpenVINO's model server open, made from buril's own graph.

The graph has a state and takes a mask, as these expect; the tokenizer stands beside it as a graph too, so that a
program needs neither transformers nor torch. buril's generator `openvino` builds its graph from the weights instead.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from buril.core.settings import Settings as BaseSettings
from buril.export.exporters._exporter import Bits, Source, Stepped

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

MODEL = "openvino_model.xml"
BITS: dict[str, Bits] = {"fp16": 16, "int8": 8}


class Openvino:
    """A folder for OpenVINO GenAI and OpenVINO's model server."""

    version: ClassVar[int] = 1
    requires: ClassVar[tuple[str, ...]] = ("openvino", "openvino_tokenizers", "torch", "transformers")
    engines: ClassVar[tuple[str, ...]] = ("openvino-genai", "openvino-model-server", "openvino-runtime")
    main: ClassVar[str] = "."

    class Settings(BaseSettings):
        """What is written."""

        shorthand: ClassVar[str | None] = "weights"

        weights: Literal["fp16", "int8"] = "int8"
        """Format of the matrices; `int8` has one scale for each row. The engine rounds what it multiplies with them to
        8 bits too, unless it is told otherwise."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    def name(self) -> str:
        """With the format of the weights."""
        return f"openvino-{self.settings.weights}"

    def bits(self, source: Source) -> Bits:
        """Of the weights."""
        del source
        return BITS[self.settings.weights]

    def usage(self) -> str:
        """The line of OpenVINO GenAI."""
        return 'openvino_genai.LLMPipeline("{folder}", "CPU")'

    def write(self, source: Source, folder: Path) -> None:
        """The graph, the tokenizer as graphs, and the configuration that both are read with.

        Raises:
            BurilError: T020 for a model of another kind.
        """
        from buril.generators._load import load
        from buril.generators._openvino import openvino
        from buril.generators._stateful_graph import build

        runtime = openvino()
        loaded = load(
            source.folder, source.folder, model_dir=source.folder, device="cpu", convert=lambda model, device: None
        )
        graph = build(loaded.model, self.settings.weights)
        runtime.save_model(graph, str(folder / MODEL), compress_to_fp16=False)
        _write_tokenizer(loaded.tokenizer, folder)
        for path in sorted(source.config.iterdir()):
            if path.is_file() and not (folder / path.name).exists():
                shutil.copyfile(path, folder / path.name)

    def open(self, source: Source, folder: Path) -> _Stateful:
        """With OpenVINO's runtime, in float32."""
        return _Stateful(source, folder)


def _write_tokenizer(tokenizer: Any, folder: Path) -> None:
    """The tokenizer and what turns ids back into text, as graphs."""
    from openvino_tokenizers import convert_tokenizer

    from buril.generators._openvino import openvino

    there, back = convert_tokenizer(tokenizer, with_detokenizer=True)
    openvino().save_model(there, str(folder / "openvino_tokenizer.xml"))
    openvino().save_model(back, str(folder / "openvino_detokenizer.xml"))


class _Stateful(Stepped):
    """A graph with a state, and how much it has read."""

    def __init__(self, source: Source, folder: Path) -> None:
        from buril.generators._openvino import openvino

        super().__init__(source)
        told = {
            "INFERENCE_PRECISION_HINT": "f32", "KV_CACHE_PRECISION": "f32", "DYNAMIC_QUANTIZATION_GROUP_SIZE": "0",
            "INFERENCE_NUM_THREADS": source.threads,
        }  # fmt: skip
        self._request: Any = openvino().Core().compile_model(str(folder / MODEL), "CPU", told).create_infer_request()
        self._read = 0

    def begin(self) -> None:
        """An empty state."""
        self._request.reset_state()
        self._read = 0

    def step(self, ids: Sequence[int]) -> NDArray[np.float32]:
        """One call for all of them."""
        import numpy as np

        whole = self._read + len(ids)
        found = self._request.infer(
            {
                "input_ids": np.array([list(ids)], np.int64),
                "attention_mask": np.ones((1, whole), np.int64),
                "position_ids": np.arange(self._read, whole, dtype=np.int64)[None],
                "beam_idx": np.zeros(1, np.int32),
            }
        )
        self._read = whole
        rows: NDArray[np.float32] = np.array(found["logits"])[0]
        return rows
