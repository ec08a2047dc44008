"""Transformers: the reference generator. Any causal model that stock transformers loads, on a CPU or a GPU.

Shapes: B sequences, T positions, N tokens, V vocabulary, D width.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from buril.core.settings import Settings as BaseSettings
from buril.core.settings import runtime
from buril.generators._generator import Completion, Request
from buril.generators._load import load
from buril.generators._local import Local

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray

    from buril.generators._decode import Decoder, Head
    from buril.generators._load import Loaded
    from buril.generators._session import Session
    from buril.generators._worn import Worn
    from buril.generators._writer import Measure, Row, Writer

WINDOW = 4
"""Requests are sorted by length within this many batches, so that results still come in their order and soon."""
HEAD_TOKENS = 512
"""Tokens whose logits exist at one time while scoring: 512 rows of a 150,000-token vocabulary are 300 MB in float32."""


class Transformers(Local):
    """Writes and scores with stock transformers."""

    version: ClassVar[int] = 2
    takes_adapters: ClassVar[bool] = True
    requires: ClassVar[tuple[str, ...]] = ("torch", "transformers", "tokenizers")

    class Settings(BaseSettings):
        """What it can be told."""

        dtype: Literal["auto", "bf16", "fp16", "fp32"] = "auto"
        """Number format of the weights. `auto`: bf16 where the hardware multiplies it natively, else fp32."""
        device: str = runtime("auto")
        """Where it runs: `auto` (the first GPU, else the CPU), `cpu`, `cuda`, `cuda:1`, …"""
        heal: bool = True
        """Whether a text may end within a token: its last tokens are then written anew by the model, as the text says
        (token healing). Without it a model goes on from however its tokenizer cuts the end of the text."""
        batch_size: int = runtime(32, ge=1)
        """Sequences written at one time. A step reads all weights once for all of them, so more cost little more."""
        batch_tokens: int = runtime(16_384, ge=1)
        """Bound on padded prompt tokens in one batch; it bounds the memory of the prompt's own pass."""

    def __init__(self, settings: Settings) -> None:
        super().__init__()
        self.settings = settings
        self._worn: Worn | None = None

    def open(
        self, base_dir: Path, tokenizer_dir: Path, *, adapter_dir: Path | None = None, model_dir: Path | None = None
    ) -> None:
        """Load a model; see `load` for what the folders hold.

        Raises:
            BurilError: P002, T012, T013, T016.
        """
        self._loaded = None  # let go of the model before, so that there are never two in memory
        self.use(
            load(
                base_dir,
                tokenizer_dir,
                adapter_dir=adapter_dir,
                model_dir=model_dir,
                dtype=self.settings.dtype,
                device=self.settings.device,
            )
        )

    def use(self, loaded: Loaded) -> None:
        """Take a model that is loaded already.

        Raises:
            BurilError: V030.
        """
        from buril.generators._worn import worn_by

        if self._wanted is not None:
            self._worn, self._stack = worn_by(loaded.model, self._wanted)
        super().use(loaded)

    def _decoder(self, writer: Writer) -> Decoder:
        from buril.generators._decode import Decoder

        return Decoder(self.loaded.model, writer, self._worn)

    def complete(self, requests: Sequence[Request]) -> Iterator[list[Completion]]:
        """The completions of each request, in the order of the requests.

        Raises:
            BurilError: T015 when a request has a suffix and the model has no sentinels to say so.
        """
        decoder = self._decoder(self.writer(heal=self.settings.heal))
        size, start = WINDOW * self.settings.batch_size, 0
        while start < len(requests):
            end, rows = start, 0
            while end < len(requests) and (end == start or rows + requests[end].num_samples <= size):
                rows, end = rows + requests[end].num_samples, end + 1
            yield from self._window(requests[start:end], decoder)
            start = end

    def session(self) -> Session:
        """A session that writes in waves: who comes while others are written waits for their end."""
        from buril.generators._running import Running
        from buril.generators._session import Session, Waves

        told, writer = self.settings, self.writer(heal=self.settings.heal)
        decoder = self._decoder(writer)
        running = Running(Waves(decoder), writer, most=told.batch_size, step_tokens=told.batch_tokens)
        positions = decoder.head.max_positions
        return Session(running, lambda requests: self.rows(requests, writer, max_positions=positions))

    def measured(self, sequences: Sequence[Sequence[int]], measure: Measure) -> list[NDArray[np.float32]]:
        """What a measure says of every token of each sequence but its first.

        Logits exist for `HEAD_TOKENS` tokens at a time only. A sequence longer than the model's context is the
        caller's to cut.
        """
        import numpy as np
        import torch

        from buril.generators._decode import Head

        head = Head(self.loaded.model)
        found: list[NDArray[np.float32]] = [np.zeros(0, dtype=np.float32) for _ in sequences]
        order = sorted(
            (place for place in range(len(sequences)) if len(sequences[place]) > 1),
            key=lambda place: (-len(sequences[place]), place),
        )
        with torch.inference_mode():
            for places in self._score_batches(order, sequences):
                width = max(len(sequences[place]) for place in places)
                ids_BT = torch.tensor(
                    [list(sequences[place]) + [0] * (width - len(sequences[place])) for place in places],
                    device=head.device,
                )  # padding on the right needs no mask: a causal model never looks ahead
                hidden_BTD = head.hidden(ids_BT)
                for place, ids_T, hidden_TD in zip(places, ids_BT, hidden_BTD, strict=True):
                    size = len(sequences[place])
                    found[place] = _of_tokens(measure, head, hidden_TD[: size - 1], ids_T[1:size])
        return found

    def _window(self, requests: Sequence[Request], decoder: Decoder) -> Iterator[list[Completion]]:
        rows = list(self.rows(requests, decoder.writer, max_positions=decoder.head.max_positions))
        rows.sort(key=lambda row: (-len(row.prompt), row.position))
        done: dict[tuple[int, int], Completion] = {}
        for batch in self._batches(rows):
            decoder.run(batch)
            done.update({row.position: decoder.writer.completion(row) for row in batch})
        for index, request in enumerate(requests):
            yield [done[index, sample] for sample in range(request.num_samples)]

    def _batches(self, rows: list[Row]) -> Iterator[list[Row]]:
        """Rows, longest prompt first, in batches within both bounds; samples of one prompt count its tokens once."""
        batch: list[Row] = []
        prompts: set[tuple[int, ...]] = set()
        for row in rows:
            longest = len(batch[0].prompt) if batch else len(row.prompt)
            tokens = longest * len(prompts | {row.prompt})
            if batch and (len(batch) == self.settings.batch_size or tokens > self.settings.batch_tokens):
                yield batch
                batch, prompts = [], set()
            batch.append(row)
            prompts.add(row.prompt)
        if batch:
            yield batch

    def _score_batches(self, order: list[int], sequences: Sequence[Sequence[int]]) -> Iterator[list[int]]:
        while order:
            width = len(sequences[order[0]])
            size = max(1, min(self.settings.batch_size, self.settings.batch_tokens // width))
            yield order[:size]
            order = order[size:]


def _of_tokens(measure: Measure, head: Head, hidden_ND: torch.Tensor, ids_N: torch.Tensor) -> NDArray[np.float32]:
    import torch

    parts = []
    for start in range(0, len(ids_N), HEAD_TOKENS):
        part = slice(start, start + HEAD_TOKENS)
        parts.append(measure(head.logits(hidden_ND[part]), ids_N[part]))
    found: NDArray[np.float32] = torch.cat(parts).cpu().numpy()
    return found
