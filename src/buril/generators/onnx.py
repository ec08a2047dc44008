"""ONNX Runtime: the generator for the ONNX file that `export` writes, and for models that its builder knows.

The graph is that of ONNX Runtime GenAI's model builder. It is written from the chain's model and kept, or is one that
`path` names. ONNX Runtime computes the logits; the tokens are drawn by the code that the reference generator draws them
with. So requests mean the same to the last detail (token healing, stop strings, seeds, log-probabilities), prompts are
ids (a control token spelt in a text is no control token), and in fp32 the results are those of the reference.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from buril.core.errors import BurilError
from buril.core.settings import Settings as BaseSettings
from buril.core.settings import runtime
from buril.core.text import _
from buril.generators._generator import Completion, Request
from buril.generators._load import Loaded, inside, load, outline
from buril.generators._local import Local, in_order
from buril.generators._onnx_builder import Weights

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from buril.generators._onnx import Graph
    from buril.generators._session import Session
    from buril.generators._writer import Measure


class Onnx(Local):
    """Writes and scores with ONNX Runtime on a CPU."""

    version: ClassVar[int] = 1
    requires: ClassVar[tuple[str, ...]] = ("onnxruntime", "torch", "transformers", "tokenizers")

    class Settings(BaseSettings):
        """What it can be told."""

        weights: Weights = "fp32"
        """Format of the matrices in the graph that is written. `fp32` is the reference's own; `int8` takes a quarter of
        it and is faster, and its scores are those of a slightly other model; `int4` is more than a small model bears. A
        `path` has its own."""
        path: Path | None = None
        """A folder that ONNX Runtime GenAI's builder has written (`export: [onnx]`), to run in the place of the chain's
        model, with the same tokens. Its bytes are part of the identity, its place is not."""
        heal: bool = True
        """Whether a text may end within a token, as in the generator `transformers`."""
        threads: int | None = runtime(None, ge=1)
        """Threads that multiply; by default as many as torch would take (`OMP_NUM_THREADS`, else the cores)."""
        batch_size: int = runtime(16, ge=1, le=256)
        """Sequences written at one time; another begins as soon as one ends."""
        batch_tokens: int = runtime(256, ge=16)
        """Tokens of prompts that run in one step at most; longer ones take several, and others are written between."""
        cache_mb: int = runtime(1024, ge=1)
        """Memory in MB for the keys and values of the sequences on their way, in float32; fewer are written at a time
        where it is short. It is taken up only as far as it is used."""

        def identity(self) -> dict[str, Any]:
            """The settings, with the digest of the graph and its weights instead of their path."""
            from buril.generators._onnx_cache import digest_of_folder

            return {**super().identity(), **({"path": digest_of_folder(self.path)} if self.path else {})}

    def __init__(self, settings: Settings) -> None:
        super().__init__()
        self.settings = settings
        self._graph: Graph | None = None

    def open(
        self, base_dir: Path, tokenizer_dir: Path, *, adapter_dir: Path | None = None, model_dir: Path | None = None
    ) -> None:
        """Load a model; see `load` for what the folders hold. An adapter is merged into the weights in float32.

        Raises:
            BurilError: P002 also without the packages that write a graph, T012, T013, T016, T030 for a model that the
                builder does not know, T031 when the graph can't be run, T033 when `path` is another model's.
        """
        from buril.generators._kept import digest
        from buril.generators._onnx_cache import check, kept

        self._loaded = self._graph = None  # let go of the model before, so that there are never two in memory
        model = outline(model_dir or base_dir, tokenizer_dir)
        if self.settings.path is not None:
            path = self.settings.path.expanduser()
            if adapter_dir or model_dir:
                problem = _("the model was trained, and the file does not say it is this one")
                raise BurilError("T033", path=path, problem=problem)
            self._run(model, path)
            check(self.graph, model)
            return
        folders = [inside(model_dir or base_dir, "model"), inside(tokenizer_dir, "tokenizer")]

        def whole() -> Loaded:
            # rows of new tokens are then made in float32 too, as the reference makes them
            return load(
                base_dir, tokenizer_dir, adapter_dir=adapter_dir, model_dir=model_dir, dtype="fp32", device="cpu"
            )

        with kept(whole, digest([*folders, *filter(None, [adapter_dir])]), self.settings.weights) as path:
            self._run(model, path)

    def use(self, loaded: Loaded) -> None:
        """Take a model that is loaded already; its graph is written where nobody else sees it.

        Raises:
            BurilError: P002, T030, T031.
        """
        from tempfile import TemporaryDirectory

        from buril.generators._onnx_cache import write

        with TemporaryDirectory() as folder:
            path = Path(folder) / "model"
            write(loaded, path, self.settings.weights)
            self._run(loaded, path)  # what is mapped stays when its name goes

    def _run(self, loaded: Loaded, path: Path) -> None:
        """Run the graph of a loaded model, whose own weights are let go of."""
        import torch

        from buril.generators._onnx import Graph

        model = loaded.model.get_base_model() if hasattr(loaded.model, "get_base_model") else loaded.model
        self._graph = Graph(path, threads=self.settings.threads or torch.get_num_threads())
        super().use(replace(loaded, model=model.to("meta")))

    @property
    def graph(self) -> Graph:
        """What computes the logits."""
        assert self._graph is not None, "open() or use() comes first"
        return self._graph

    def complete(self, requests: Sequence[Request]) -> Iterator[list[Completion]]:
        """The completions of each request, in the order of the requests, each as soon as it and those before are there.

        Raises:
            BurilError: T015 when a request has a suffix and the model has no sentinels to say so, T021 when one does
                not fit into the cache, T031.
        """
        from buril.generators._ragged import Ragged

        told, writer = self.settings, self.writer(heal=self.settings.heal)
        engine = Ragged(self.graph, most=told.batch_size, cache_mb=told.cache_mb)
        rows = self.rows(requests, writer, max_positions=self._window())
        yield from in_order(requests, engine.write(rows, writer, step_tokens=told.batch_tokens), writer)

    def session(self) -> Session:
        """A session of its own cache: prompts that begin as earlier ones did are not run again as far as they agree."""
        from buril.generators._ragged import Ragged
        from buril.generators._running import Running
        from buril.generators._session import Session

        told, writer, window = self.settings, self.writer(heal=self.settings.heal), self._window()
        engine = Ragged(self.graph, most=told.batch_size, cache_mb=told.cache_mb, keep=True)
        running = Running(engine, writer, most=told.batch_size, step_tokens=told.batch_tokens)
        return Session(running, lambda requests: self.rows(requests, writer, max_positions=window))

    def _window(self) -> int:
        return min(int(self.loaded.model.config.max_position_embeddings), self.graph.window)

    def measured(self, sequences: Sequence[Sequence[int]], measure: Measure) -> list[NDArray[np.float32]]:
        """What a measure says of every token of each sequence but its first.

        Raises:
            BurilError: T021 when a sequence does not fit into the cache, T032 when it is longer than the model's
                window, before any is scored; T031.
        """
        from buril.generators._ragged import score

        return score(self.graph, sequences, cache_mb=self.settings.cache_mb, measure=measure)
