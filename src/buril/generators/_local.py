"""What generators share that run a model of the chain on this machine: its tokens, its chats, what they are asked."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, ClassVar

from buril.core.errors import BurilError
from buril.generators._calls import form_of
from buril.generators._generator import Adapter, Capabilities, Completion, Request, TokenLogprob
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
    def measured(self, sequences: Sequence[Sequence[int]], measure: Measure) -> list[NDArray[np.float32]]:
        """What a measure says of every token of each sequence but its first. Sequences are taken as in `score`."""

    def score(self, sequences: Sequence[Sequence[int]]) -> list[NDArray[np.float32]]:
        """Natural log-probability of every token of each sequence but its first, given those before it.

        A sequence longer than the model's context is the caller's to cut.

        Raises:
            BurilError: T021 from an engine with a cache when a sequence does not fit into it, T031 and T032 as the
                engine `onnx` says.
        """
        from buril.generators._writer import logprobs

        return self.measured(sequences, logprobs)

    def entropies(self, sequences: Sequence[Sequence[int]]) -> list[NDArray[np.float32]]:
        """Entropy in nats of what may come as token 1, 2, … of each sequence: one fewer than its tokens.

        It is that at temperature 1, before any mark, over the tokens there are: embeddings are often padded beyond
        them. Sequences are taken as in `score`.
        """
        from buril.generators._writer import entropies, num_tokens

        limit = num_tokens(self.loaded)
        return self.measured(sequences, lambda logits_NV, ids_N: entropies(logits_NV[:, :limit], ids_N))

    def likeliest(self, ids: Sequence[int], number: int) -> list[TokenLogprob]:
        """What is told of every token of a given text, with the `number` likeliest in its place.

        The first has no log-probability. The text is taken as a sequence of `score`, by the model without adapters.

        Raises:
            BurilError: as `score`.
        """
        from buril.generators._telling import Teller, measure_of, scored
        from buril.generators._writer import num_tokens

        (flat,) = self.measured([ids], measure_of(max(1, number), num_tokens(self.loaded)))
        return scored(Teller(self.loaded.encoder), ids, flat, number)

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

    def chat(
        self, messages: Sequence[Mapping[str, Any]], *, tools: Sequence[Mapping[str, Any]] = ()
    ) -> tuple[int, ...]:
        """The prompt of a chat by the model's own template, with the functions that it may call.

        A control token spelt in a message can't open or end a turn: the template is rendered around placeholders,
        and such messages are encoded as plain text between its parts.

        Raises:
            BurilError: T017 when the model has no chat template.
        """
        from buril.generators._chat import render

        return tuple(render(self.loaded, messages, tools))

    def capabilities(self) -> Capabilities:
        """What the engine can do with this model."""
        fim = self.loaded.fim
        fills = None not in (fim["prefix"], fim["suffix"], fim["middle"])
        chats = bool(self.loaded.tokenizer.chat_template)
        spells = bool(self.loaded.encoder.spellings)  # else nobody knows which text is whose
        return Capabilities(
            sessions=True, fills=fills, chats=chats, scores=True, adapters=self.takes_adapters, logprobs=spells,
            biases=self.mark is None, likeliest=spells, ids=True,
            tools=chats and form_of(self.loaded.tokenizer) is not None,
            grammars=spells and find_spec("llguidance") is not None,
        )  # fmt: skip

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
                adapter that is not there, V064 for a grammar that can't be followed.
        """
        from buril.generators._prompt import prompt_ids
        from buril.generators._writer import Row

        for index, request in enumerate(requests):
            self._check_adapter(request.adapter)
            prompt, rest = prompt_ids(request, self.loaded, max_positions=max_positions, healer=writer.healer)
            for sample in range(request.num_samples):
                assert not (request.grammar and rest), "what must be written anew is not of the grammar"
                matcher = self.loaded.guide.matcher(request.grammar) if request.grammar else None
                yield Row((index, sample), request, prompt, rest, matcher=matcher)


def in_order(requests: Sequence[Request], written: Iterator[Row], writer: Writer) -> Iterator[list[Completion]]:
    """The completions of each request, in the order of the requests, from rows that come as they end."""
    done: dict[tuple[int, int], Completion] = {}
    for index, request in enumerate(requests):
        wanted = [(index, sample) for sample in range(request.num_samples)]
        while not done.keys() >= set(wanted):
            row = next(written)
            done[row.position] = writer.completion(row)
        yield [done.pop(position) for position in wanted]
