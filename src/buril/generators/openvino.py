"""OpenVINO: the fast generator for CPUs. Llama, Mistral, Qwen2 and Qwen3 in continuous batches.

The model's graph is built here from its weights and run by OpenVINO's runtime; the tokens are drawn by the code that
the reference generator draws them with. So requests mean the same to the last detail (token healing, stop strings,
seeds, log-probabilities), and in fp32 so do the results.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from buril.core.errors import BurilError
from buril.core.settings import Settings as BaseSettings
from buril.core.settings import runtime
from buril.generators._generator import Adapter, Completion, Request
from buril.generators._load import Loaded, cpu_has_bf16, load, merged
from buril.generators._local import Local, in_order
from buril.generators._openvino import cpu_runs_bf16

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from buril.generators._adapters import Stack
    from buril.generators._paged import Paged
    from buril.generators._paged_graph import Adapters
    from buril.generators._session import Session
    from buril.generators._writer import Measure


class Openvino(Local):
    """Writes and scores with OpenVINO on a CPU."""

    version: ClassVar[int] = 1
    takes_adapters: ClassVar[bool] = True
    requires: ClassVar[tuple[str, ...]] = ("openvino", "torch", "transformers", "tokenizers")

    class Settings(BaseSettings):
        """What it can be told."""

        weights: Literal["fp16", "int8"] = "fp16"
        """Format of the weights in memory. `fp16` keeps what published models are; `int8` takes half of it and rounds
        what is multiplied with the weights to 8 bits as well, so its scores are those of a slightly other model."""
        precision: Literal["auto", "bf16", "fp32"] = "auto"
        """What is multiplied in. `auto`: bf16 where the CPU has instructions for it, else fp32."""
        heal: bool = True
        """Whether a text may end within a token, as in the generator `transformers`."""
        threads: int | None = runtime(None, ge=1)
        """Threads that multiply; by default as many as torch would take (`OMP_NUM_THREADS`, else the cores)."""
        batch_size: int = runtime(32, ge=1)
        """Sequences written at one time; another begins as soon as one ends."""
        batch_tokens: int = runtime(1024, ge=64)
        """Tokens that run in one step at most; longer prompts take several."""
        cache_mb: int = runtime(1024, ge=1)
        """Memory in MB for the keys and values of the sequences on their way; fewer are written at a time where it is
        short. It is taken up only as far as it is used."""

    def __init__(self, settings: Settings) -> None:
        super().__init__()
        self.settings = settings
        self._engine: Paged | None = None
        self._held: list[Any] | None = None
        """Weights in the pages of their file that the engine reads."""

    def open(
        self, base_dir: Path, tokenizer_dir: Path, *, adapter_dir: Path | None = None, model_dir: Path | None = None
    ) -> None:
        """Load a model; see `load` for what the folders hold. An adapter is merged into the weights in float32.

        Raises:
            BurilError: P002, T012, T013, T016, T020 for an architecture that is not built here, T022, T023.
        """
        self._loaded = self._engine = None  # let go of the model before, so that there are never two in memory
        self._take(
            load(
                base_dir, tokenizer_dir, adapter_dir=adapter_dir, model_dir=model_dir, device="cpu", convert=_as_stored
            ),
            held=[],
        )
        self.loaded.model.to("meta")  # its weights stand in the graph now; what it says of itself stays

    def use(self, loaded: Loaded) -> None:
        """Take a model that is loaded already; an adapter that is on it is merged into it.

        Raises:
            BurilError: T020, T022, T023, V030.
        """
        self._take(loaded, held=None)

    def _take(self, loaded: Loaded, held: list[Any] | None) -> None:
        """Compile a model; `held` as in `build`, of one that nobody else has."""
        import torch

        from buril.generators._paged import Paged
        from buril.generators._paged_graph import build

        told = self.settings
        loaded = replace(loaded, model=merged(loaded.model))
        if told.precision == "bf16" and not cpu_runs_bf16():
            raise BurilError("T023")
        automatic = "bf16" if cpu_has_bf16() and cpu_runs_bf16() else "fp32"
        precision = automatic if told.precision == "auto" else told.precision
        stack = self._stacked(loaded.model, precision)
        worn: Adapters | None = None if stack is None else "bf16" if precision == "bf16" else "f32"
        self._engine = Paged(
            build(loaded.model, told.weights, worn, held),
            precision=precision,
            threads=told.threads or torch.get_num_threads(),
            cache_mb=told.cache_mb,
        )
        self._held = held
        if stack is not None:
            self._engine.wear(stack)
        self._stack = stack
        super().use(loaded)

    def adapters(self, given: Mapping[str, Adapter]) -> None:
        """Take adapters in the place of those before, between two steps.

        Raises:
            BurilError: V030, and all stays as it was.
        """
        super().adapters(given)
        if self._stack is not None:
            self.engine.wear(self._stack)

    def _stacked(self, model: Any, precision: str) -> Stack | None:
        import torch

        from buril.generators._adapters import Stack, layers_of

        if self._wanted is None:
            return None
        dtype = torch.bfloat16 if precision == "bf16" else torch.float32
        stack = Stack(layers_of(model), dtype=dtype, device=torch.device("cpu"))
        stack.put(self._wanted)
        return stack

    @property
    def engine(self) -> Paged:
        """What computes the logits."""
        assert self._engine is not None, "open() or use() comes first"
        return self._engine

    def complete(self, requests: Sequence[Request]) -> Iterator[list[Completion]]:
        """The completions of each request, in the order of the requests, each as soon as it and those before are there.

        Raises:
            BurilError: T015 when a request has a suffix and the model has no sentinels to say so, T021 when one does
                not fit into the cache.
        """
        told, writer = self.settings, self.writer(heal=self.settings.heal)
        rows = self.rows(requests, writer, max_positions=int(self.loaded.model.config.max_position_embeddings))
        written = self.engine.write(rows, writer, most=told.batch_size, step_tokens=told.batch_tokens)
        yield from in_order(requests, written, writer)

    def session(self) -> Session:
        """A session of its own cache: prompts that begin as earlier ones did are not run again as far as they agree."""
        from buril.generators._paged import Blocks
        from buril.generators._running import Running
        from buril.generators._session import Session

        told, engine, writer = self.settings, self.engine, self.writer(heal=self.settings.heal)
        engine.call -= 1
        engine.blocks = Blocks(engine.blocks.number, engine.blocks.size, keep=True)
        running = Running(engine, writer, most=told.batch_size, step_tokens=told.batch_tokens)
        positions = int(self.loaded.model.config.max_position_embeddings)
        return Session(running, lambda requests: self.rows(requests, writer, max_positions=positions))

    def measured(self, sequences: Sequence[Sequence[int]], measure: Measure) -> list[NDArray[np.float32]]:
        """What a measure says of every token of each sequence but its first.

        A sequence longer than the model's context is the caller's to cut.

        Raises:
            BurilError: T021 when a sequence does not fit into the cache, before any is scored.
        """
        return self.engine.score(sequences, measure)


def _as_stored(model: Any, device: Any) -> None:
    """Leave the weights in the format and the pages of their file: they are read once."""
