"""What generators share that run a model of the chain on this machine: its tokens, its chats, what they are asked."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, ClassVar

from buril.core.errors import BurilError
from buril.generators._generator import Adapter, Capabilities, Completion, Request
from buril.generators._load import Loaded

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from buril.generators._adapters import Stack
    from buril.generators._mark import Mark
    from buril.generators._writer import Measure, Row, Writer


class Local(ABC):
    """A generator whose model is loaded here."""

    takes_adapters: ClassVar[bool] = False
    """Whether adapters can be put on the model while it runs."""

    def __init__(self) -> None:
        self._loaded: Loaded | None = None
        self._stack: Stack | None = None
        self._wanted: Mapping[str, Adapter] | None = None
        self.mark: Mark | None = None
        """What leans on the choice of the tokens that are written from now on; None for nothing."""

    @abstractmethod
    def entropies(self, sequences: Sequence[Sequence[int]]) -> list[NDArray[np.float32]]:
        """Entropy in nats of what may come as token 1, 2, … of each sequence: one fewer than its tokens.

        It is that at temperature 1, before any mark. Sequences are taken as in `score`.
        """

    def _entropies(self) -> Measure:
        """What tells the entropy over the tokens there are: embeddings are often padded beyond them."""
        from buril.generators._writer import entropies, num_tokens

        limit = num_tokens(self.loaded)
        return lambda logits_NV, ids_N: entropies(logits_NV[:, :limit], ids_N)

    def adapters(self, given: Mapping[str, Adapter]) -> None:
        """Take adapters, by the names that requests give, in the place of those before.

        Before `open` it makes room for them: an engine that was opened without has none. Later it may be called between
        two steps of a session; no row on its way may name one that goes.

        Raises:
            BurilError: V030 for one that does not fit, and all stays as it was; V031 where the engine can't do it.
        """
        if not self.takes_adapters:
            raise BurilError("V031", engine=type(self).__name__.lower())
        if self._stack is not None:
            self._stack.put(given)
        else:
            assert self._loaded is None, "adapters() comes before open() the first time"
            self._wanted = dict(given)

    def _check_adapter(self, name: str) -> None:
        if self._stack is not None:
            self._stack.check(name)
        elif name:
            raise BurilError("V032" if self.takes_adapters else "V031", name=name, engine=type(self).__name__.lower())

    def use(self, loaded: Loaded) -> None:
        """Take a model that is loaded already."""
        self._loaded = loaded

    @property
    def loaded(self) -> Loaded:
        """The model in use."""
        assert self._loaded is not None, "open() or use() comes first"
        return self._loaded

    def encode(self, text: str) -> list[int]:
        """The ids of a text, control tokens spelt in it being plain text."""
        return self.loaded.encoder.encode(text)

    def chat(self, messages: Sequence[Mapping[str, str]]) -> tuple[int, ...]:
        """The prompt of a chat by the model's own template.

        A control token spelt in a message can't open or end a turn: the template is rendered around placeholders,
        and such messages are encoded as plain text between its parts.

        Raises:
            BurilError: T017 when the model has no chat template.
        """
        from buril.generators._chat import render

        return tuple(render(self.loaded, messages))

    def capabilities(self) -> Capabilities:
        """What the engine can do with this model."""
        fim = self.loaded.fim
        fills = None not in (fim["prefix"], fim["suffix"], fim["middle"])
        chats = bool(self.loaded.tokenizer.chat_template)
        return Capabilities(sessions=True, fills=fills, chats=chats, scores=True, adapters=self.takes_adapters)

    def writer(self, *, heal: bool) -> Writer:
        """What draws the tokens of this model and ends its texts."""
        from buril.generators._writer import Writer, end_ids, num_tokens

        loaded = self.loaded
        return Writer(
            loaded.encoder,
            end_ids=end_ids(loaded),
            num_tokens=num_tokens(loaded),
            healer=loaded.healer if heal else None,
            mark=self.mark,
        )

    def rows(self, requests: Sequence[Request], writer: Writer, *, max_positions: int) -> Iterator[Row]:
        """The samples that are asked for, request after request.

        Raises:
            BurilError: T015 when a request has a suffix and the model has no sentinels to say so, V031, V032 for an
                adapter that is not there.
        """
        from buril.generators._prompt import prompt_ids
        from buril.generators._writer import Row

        for index, request in enumerate(requests):
            self._check_adapter(request.adapter)
            prompt, rest = prompt_ids(request, self.loaded, max_positions=max_positions, healer=writer.healer)
            for sample in range(request.num_samples):
                yield Row((index, sample), request, prompt, rest)


def in_order(requests: Sequence[Request], written: Iterator[Row], writer: Writer) -> Iterator[list[Completion]]:
    """The completions of each request, in the order of the requests, from rows that come as they end."""
    done: dict[tuple[int, int], Completion] = {}
    for index, request in enumerate(requests):
        wanted = [(index, sample) for sample in range(request.num_samples)]
        while not done.keys() >= set(wanted):
            row = next(written)
            done[row.position] = writer.completion(row)
        yield [done.pop(position) for position in wanted]
