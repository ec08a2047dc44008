"""ONNX Runtime: a model that ONNX Runtime GenAI's builder has written, run here with a cache that is ours.

The graph takes the keys and values so far and gives them with those of the new tokens; both are given the same memory,
so nothing is copied. Rows of one call may have any lengths, if each adds one token; a row that adds several runs alone.

Shapes: B rows of one call, T new tokens of each, S tokens that the cache has room for, H heads of it, D their width,
V vocabulary.
"""

from __future__ import annotations

import importlib
import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from buril.core.errors import BurilError
from buril.core.text import _

CONFIG = "genai_config.json"
"""What the builder tells of the graph."""
SILENT = "ORT_DISABLE_TELEMETRY"
FAILURES = ("Fail", "InvalidArgument", "InvalidGraph", "InvalidProtobuf", "NoSuchFile", "NoModel", "NotImplemented",
            "RuntimeException", "EPFail")  # fmt: skip
"""How ONNX Runtime names what it raises; each is a class of its own."""


def silent(name: str) -> Any:
    """A package of ONNX Runtime, `onnxruntime` or `onnxruntime_genai`; the only place that may import one first.

    Since 1.29 loading it sends events to Microsoft and leaves an identifier in the cache folder, unless this variable
    is set beforehand (seen in 1.32; on Linux and macOS). Processes that are started from here inherit it. A program
    that has imported one by itself is not kept from anything.
    """
    os.environ[SILENT] = "1"
    return importlib.import_module(name)


def installed() -> str:
    """The version of ONNX Runtime."""
    try:
        return version("onnxruntime")
    except PackageNotFoundError:
        return "?"


class Graph:
    """A model in use. It holds no text: the cache is given with each call.

    Args:
        folder: what the builder has written: `genai_config.json`, the graph, its weights.
        threads: that multiply.

    Raises:
        BurilError: T031 for a folder without a model of that kind, or one that ONNX Runtime can't run.
    """

    def __init__(self, folder: Path, *, threads: int) -> None:
        self.folder = folder
        told = self._told()
        self.layers, self.heads, self.width = (
            int(told[name]) for name in ("num_hidden_layers", "num_key_value_heads", "head_size")
        )
        self.window = int(told["context_length"])
        """Tokens that a text may have at most."""
        self.cell_bytes = 2 * self.layers * self.heads * self.width * 4
        """What the cache takes for a token: keys and values, in float32."""
        self._past, self._present = (
            [told[part][f"{side}_{kind}_names"] % number for number in range(self.layers) for kind in ("key", "value")]
            for part, side in (("inputs", "past"), ("outputs", "present"))
        )
        self._engine = silent("onnxruntime")
        with self._failing():
            self._session = self._opened(folder / told["filename"], threads)
        self.vocabulary = self._checked()
        self._logits = np.empty(0, np.float32)
        one = [np.zeros((1, self.heads, 1, self.width), np.float32) for _part in range(2 * self.layers)]
        self.run(one, np.zeros((1, 1), np.int64), [1], logits=True)  # what is wrong with it shows now

    def _told(self) -> dict[str, Any]:
        """What `genai_config.json` says of the graph.

        Raises:
            BurilError: T031.
        """
        try:
            raw = json.loads((self.folder / CONFIG).read_text(encoding="utf-8"))
            model, shares = raw["model"], raw["search"]["past_present_share_buffer"]
            told: dict[str, Any] = {**model["decoder"], "context_length": model["context_length"]}
            names = [told["filename"], *(told[part][f"{side}_{kind}_names"] % 0 for kind in ("key", "value")
                     for part, side in (("inputs", "past"), ("outputs", "present")))]  # fmt: skip
            sizes = [told[name] for name in ("num_hidden_layers", "num_key_value_heads", "head_size", "context_length")]
        except (OSError, ValueError, KeyError, TypeError) as problem:
            raise self._refused(f"{CONFIG}: {problem}") from problem
        if not all(isinstance(size, int) and size > 0 for size in sizes) or Path(names[0]).name != names[0]:
            raise self._refused(_("{file} says what can't be").format(file=CONFIG))
        if not shares or "sliding_window" in told:
            raise self._refused(_("its attention does not keep the whole cache in place"))
        return told

    def _opened(self, path: Path, threads: int) -> Any:
        options = self._engine.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
        options.enable_mem_pattern = False  # it helps only where shapes stay the same
        options.log_severity_level = 4  # what fails is raised
        return self._engine.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])

    def _checked(self) -> int:
        """The size of the vocabulary, once inputs and outputs are seen to be the known ones.

        Raises:
            BurilError: T031.
        """
        inputs = {port.name: port for port in self._session.get_inputs()}
        outputs = {port.name: port for port in self._session.get_outputs()}
        self._asks_positions = "position_ids" in inputs
        unknown = inputs.keys() - {"input_ids", "attention_mask", "position_ids", *self._past}
        lacking = {"input_ids", "attention_mask", *self._past} - inputs.keys()
        lacking |= {"logits", *self._present} - outputs.keys()
        if unknown or lacking:
            raise self._refused(_("unexpected or missing: {names}").format(names=", ".join(sorted(unknown | lacking))))
        numbers = {port.type for port in (*inputs.values(), *outputs.values()) if port.name not in _IDS}
        if numbers != {"tensor(float)"} or not isinstance(outputs["logits"].shape[-1], int):
            raise self._refused(_("its numbers are {types}, not float32").format(types=", ".join(sorted(numbers))))
        return int(outputs["logits"].shape[-1])

    def run(
        self, cache: Sequence[NDArray[np.float32]], ids_BT: NDArray[np.int64], ends: Sequence[int], *, logits: bool
    ) -> NDArray[np.float32]:
        """Run the next tokens of some rows; the logits (B, T, V), or none where they are not wanted.

        They lie in memory that the next call writes to.

        Args:
            cache: keys and values of each layer (B, H, S, D), which are written to: the rows' own, one after another.
            ids_BT: the tokens.
            ends: how many tokens each row has then.
            logits: whether they are wanted. The output matrix runs all the same: the graph is not asked in parts.

        Raises:
            BurilError: T031.
        """
        size = max(ends)
        told = {"input_ids": ids_BT, "attention_mask": (np.arange(size) < np.array(ends)[:, None]).astype(np.int64)}
        if self._asks_positions:
            told["position_ids"] = np.array(ends)[:, None] - ids_BT.shape[1] + np.arange(ids_BT.shape[1])
        binding = self._session.io_binding()
        for name, values in told.items():
            binding.bind_cpu_input(name, np.ascontiguousarray(values, np.int64))
        for past, present, part in zip(self._past, self._present, cache, strict=True):
            place = ("cpu", 0, np.float32, part.shape, part.ctypes.data)
            binding.bind_input(past, *place)
            binding.bind_output(present, *place)
        found = self._room((*ids_BT.shape, self.vocabulary)) if logits else np.empty((*ids_BT.shape, 0), np.float32)
        if logits:
            binding.bind_output("logits", "cpu", 0, np.float32, found.shape, found.ctypes.data)
        with self._failing():
            self._session.run_with_iobinding(binding)
        return found

    def _room(self, shape: tuple[int, ...]) -> NDArray[np.float32]:
        number = int(np.prod(shape))
        if self._logits.size < number:
            self._logits = np.empty(number, np.float32)
        return self._logits[:number].reshape(shape)

    @contextmanager
    def _failing(self) -> Iterator[None]:
        """Say what ONNX Runtime says.

        Raises:
            BurilError: T031.
        """
        known = self._engine.capi.onnxruntime_pybind11_state
        kinds = tuple(getattr(known, name) for name in FAILURES if hasattr(known, name))
        try:
            yield
        except (*kinds, RuntimeError, ValueError) as problem:
            said = [line.strip() for line in str(problem).splitlines() if line.strip()]
            raise self._refused(said[0][:300] if said else type(problem).__name__) from problem

    def _refused(self, problem: str) -> BurilError:
        return BurilError("T031", version=installed(), path=self.folder, problem=problem)


_IDS = ("input_ids", "attention_mask", "position_ids")
