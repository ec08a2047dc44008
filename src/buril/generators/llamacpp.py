"""llama.cpp: the generator that runs on any CPU, from a GGUF file, by the wheel `xllamacpp`.

The file is made from the chain's model and kept, or is one that `path` names: a quantised one of the same model, say.
llama.cpp computes the logits; the tokens are drawn by the code that the reference generator draws them with. So
requests mean the same to the last detail (token healing, stop strings, seeds, log-probabilities), and prompts are ids:
a control token spelt in a text is no control token.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from buril.core.artifact import sha256_file
from buril.core.settings import Settings as BaseSettings
from buril.core.settings import runtime
from buril.generators._generator import Completion, Request
from buril.generators._load import Loaded, has_weights, inside, load, outline
from buril.generators._local import Local, in_order

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from buril.generators._session import Session
    from buril.generators._slots import Slots
    from buril.generators._writer import Measure


class Llamacpp(Local):
    """Writes and scores with llama.cpp on a CPU."""

    version: ClassVar[int] = 1
    requires: ClassVar[tuple[str, ...]] = ("xllamacpp", "gguf", "torch", "transformers", "tokenizers")

    class Settings(BaseSettings):
        """What it can be told."""

        weights: Literal["f16", "bf16", "q8_0"] = "f16"
        """Format of the matrices in the file that is made, and of what is multiplied with them. `f16` is nearest to the
        reference; `bf16` holds a published model exactly and rounds what it is multiplied with more; `q8_0` takes half
        the memory and is faster, and its scores are those of a slightly other model. A `path` has its own."""
        path: Path | None = None
        """A GGUF file to run in the place of the chain's model, with the same tokens. Its bytes are part of the
        identity, its place is not."""
        heal: bool = True
        """Whether a text may end within a token, as in the generator `transformers`."""
        threads: int | None = runtime(None, ge=1)
        """Threads that multiply; by default as many as torch would take (`OMP_NUM_THREADS`, else the cores). More than
        the cores that are free make it many times slower: the threads wait for each other without sleeping."""
        batch_size: int = runtime(16, ge=1, le=256)
        """Sequences written at one time; another begins as soon as one ends."""
        batch_tokens: int = runtime(512, ge=64)
        """Tokens that run in one step at most; longer prompts take several."""
        cache_mb: int = runtime(512, ge=1)
        """Memory in MB for the keys and values of the sequences on their way, taken when the model is opened; fewer
        are written at a time where it is short."""

        def identity(self) -> dict[str, Any]:
            """The settings, with the digest of the file instead of its path."""
            found = super().identity()
            if self.path is None:
                return found
            path = self.path.expanduser()
            return {**found, "path": sha256_file(path) if path.is_file() else str(self.path)}

    def __init__(self, settings: Settings) -> None:
        super().__init__()
        self.settings = settings
        self._engine: Slots | None = None

    def open(
        self, base_dir: Path, tokenizer_dir: Path, *, adapter_dir: Path | None = None, model_dir: Path | None = None
    ) -> None:
        """Load a model; see `load` for what the folders hold. An adapter is merged into the weights in float32.

        Raises:
            BurilError: P002, T012, T013, T016, T190 for a model that GGUF has no place for, T191 when the file can't be
                run, T192 when `path` is another model's, T193.
        """
        from buril.generators._gguf_cache import kept
        from buril.generators._gguf_given import check
        from buril.generators._kept import digest

        self._loaded = self._engine = None  # let go of the model before, so that there are never two in memory
        if self.settings.path is not None and not adapter_dir and not has_weights(model_dir or base_dir):
            loaded = outline(model_dir or base_dir, tokenizer_dir)  # as in a bundle that has no other format
        else:
            loaded = load(
                base_dir, tokenizer_dir, adapter_dir=adapter_dir, model_dir=model_dir, device="cpu", convert=_as_stored
            )
        folders = [inside(model_dir or base_dir, "model"), inside(tokenizer_dir, "tokenizer")]
        source = digest([*folders, *filter(None, [adapter_dir])])
        if self.settings.path is not None:
            path = self.settings.path.expanduser()
            check(path, loaded.encoder, source, tuned=bool(adapter_dir or model_dir))
            self._run(loaded, path)
            return
        with kept(loaded, source, self.settings.weights) as path:
            self._run(loaded, path)

    def use(self, loaded: Loaded) -> None:
        """Take a model that is loaded already; its weights are written to a file that nobody else sees.

        Raises:
            BurilError: T190, T191, T193.
        """
        from tempfile import TemporaryDirectory

        from buril.generators._gguf_writer import write

        with TemporaryDirectory() as folder:
            path = Path(folder) / "model.gguf"
            write(loaded, path, weights=self.settings.weights, source="", bare=True)
            self._run(loaded, path)  # what is mapped stays when its name goes

    def _run(self, loaded: Loaded, path: Path) -> None:
        """Run the file that holds a loaded model, whose own weights are let go of."""
        import torch

        from buril.generators._gguf_writer import bare_model
        from buril.generators._llamacpp import Llama
        from buril.generators._slots import Slots

        told, model = self.settings, bare_model(loaded.model)
        config = model.config
        width = int(getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads)
        heads = int(getattr(config, "num_key_value_heads", None) or config.num_attention_heads)
        cell = 2 * 2 * int(config.num_hidden_layers) * heads * width  # keys and values, in f16
        llama = Llama(
            path,
            cells=max(1, min(told.cache_mb * 2**20 // cell, told.batch_size * int(config.max_position_embeddings))),
            sequences=told.batch_size,
            batch=told.batch_tokens,
            threads=told.threads or torch.get_num_threads(),
        )
        self._engine = Slots(llama, cache_mb=told.cache_mb)
        super().use(replace(loaded, model=model.to("meta")))

    @property
    def engine(self) -> Slots:
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
        written = self.engine.write(rows, writer, step_tokens=told.batch_tokens)
        yield from in_order(requests, written, writer)

    def session(self) -> Session:
        """A session; prompts that begin alike run once while both are written."""
        from buril.generators._running import Running
        from buril.generators._session import Session

        told, engine, writer = self.settings, self.engine, self.writer(heal=self.settings.heal)
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
