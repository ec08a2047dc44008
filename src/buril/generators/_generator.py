"""Generator: the one protocol of what writes and scores text. Evaluation, synthesis and serving speak it alike."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol

from buril.core.errors import BurilError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Request:
    """What to write.

    `prompt` is text, or token ids where the caller has rendered control tokens itself (a chat). With a `suffix` the
    text between the two is asked for. `prefill` is how the answer begins; it is not part of what comes back. A text may
    end within a word or a token: what comes back goes on from its last character. `temperature` 0 takes the likeliest
    token. `stop` strings end the text and are not part of it. The samples of a request differ by their number, and the
    same `seed` gives the same samples. A prompt that does not fit the model beside `max_tokens` loses its far ends: the
    prompt's head, the suffix's tail. `alone`: in a session it is computed by itself, with nothing of what others left,
    so that they change nothing of it. `adapter` names one that the generator was given, "" the model without. `name` is
    that of the task, for who looks completions up; it changes nothing else.

    The last six are for generators that say so in their capabilities. `logprobs`: in a session each token is told with
    its log-probability and so many of the likeliest in its place; None tells nothing. `spelt` are control tokens that
    the text spells out where the model writes them; others leave nothing in it. `presence_penalty` is taken off the
    logits of tokens that the sample has written already, `frequency_penalty` as often as it has, and `logit_bias`
    (token, number) is added to them; what is told of a token stays the model's own. `grammar`, as `_grammars` writes
    them, is what the text is held to; it goes with a prompt of ids and no `prefill`.
    """

    prompt: str | tuple[int, ...]
    suffix: str | None = None
    prefill: str = ""
    max_tokens: int = 256
    temperature: float = 0.0
    top_p: float = 1.0
    stop: tuple[str, ...] = ()
    seed: int = 0
    num_samples: int = 1
    alone: bool = field(default=False, repr=False)
    adapter: str = field(default="", repr=False)
    name: str = field(default="", repr=False, compare=False)
    logprobs: int | None = field(default=None, repr=False)
    spelt: tuple[int, ...] = field(default=(), repr=False)
    presence_penalty: float = field(default=0.0, repr=False)
    frequency_penalty: float = field(default=0.0, repr=False)
    logit_bias: tuple[tuple[int, float], ...] = field(default=(), repr=False)
    grammar: str = field(default="", repr=False)


def has_biases(request: Request) -> bool:
    """Whether a request adds anything to the logits that its tokens are drawn from."""
    return bool(request.presence_penalty or request.frequency_penalty or request.logit_bias)


class TokenLogprob(NamedTuple):
    """A token of a text, as it is told to who asked for log-probabilities.

    Attributes:
        text: the bytes that it adds to the text; none for one that ends it.
        logprob: its natural log-probability at temperature 1, before any mark, penalty or bias; None for the first of a
            text, which nothing stands before.
        top: the likeliest in its place, the likeliest first, each by its bytes.
        spelt: the bytes of the token itself, where it adds none or what is told is a given text.
    """

    text: bytes
    logprob: float | None
    top: tuple[tuple[bytes, float], ...] = ()
    spelt: bytes = b""


@dataclass(frozen=True)
class Completion:
    """What was written. `tokens` are the ids as sampled, what was cut at a stop string included, the end token not.

    Where the prompt ended within a token, the first of `tokens` begins with its last characters; `text` does not.
    `finish_reason`: `eos` the model ended it, `stop` a stop string was met, `length` the limit was.
    `logprob` is the sum of the natural log-probabilities of `tokens` and of the end token, at temperature 1, given the
    prompt's text; NaN from an engine that does not know it. `usage` are the tokens of the prompt and of the answer as a
    server counted them.
    """

    text: str
    tokens: tuple[int, ...]
    finish_reason: Literal["eos", "stop", "length"]
    logprob: float
    usage: tuple[int, int] | None = None


def up_to(text: str, stops: Sequence[str]) -> tuple[str, bool]:
    """A text up to the first of some stop strings, and whether there was one."""
    places = [text.find(stop) for stop in stops if stop in text]
    return (text[: min(places)], True) if places else (text, False)


def begun(text: str, stops: Sequence[str]) -> int:
    """How many characters at the end of a text may turn out to begin a stop string."""
    sizes = ((stop, size) for stop in stops for size in range(1, min(len(stop), len(text) + 1)))
    return max((size for stop, size in sizes if text.endswith(stop[:size])), default=0)


class Adapter(NamedTuple):
    """A LoRA adapter as PEFT writes it, put on the base unmerged.

    Attributes:
        folder: of the adapter.
        strength: what it adds is multiplied by it: 0 is the base, 1 the adapter as it was trained.
        digest: of its content; the same folder with another one is read again.
        title: what people call it, for errors.
    """

    folder: Path
    strength: float = 1.0
    digest: str = ""
    title: str = ""

    @property
    def identity(self) -> tuple[Path, str]:
        """Which matrices it has, whatever its strength."""
        return self.folder, self.digest


class Capabilities(NamedTuple):
    """What a generator can do beside writing.

    Attributes:
        sessions: requests may join and leave while it writes, and what is written is seen as it comes.
        fills: a suffix may be given.
        chats: the model has a template for chats.
        scores: it knows the log-probability of a given text.
        adapters: it has a method `adapters`, which takes adapters that requests may name, before `open` the first time.
        logprobs: it minds `logprobs` of a request.
        biases: it minds the penalties and `logit_bias` of a request.
        likeliest: it has a method `likeliest`, which scores a given text and tells the likeliest tokens beside.
        ids: it takes prompts of token ids.
        tools: its `chat` takes `tools`, and the model's template shows how a call of one is written.
        grammars: it holds what it writes to the `grammar` of a request.
    """

    sessions: bool = False
    fills: bool = False
    chats: bool = False
    scores: bool = False
    adapters: bool = False
    logprobs: bool = False
    biases: bool = False
    likeliest: bool = False
    ids: bool = False
    tools: bool = False
    grammars: bool = False


class Generator(Protocol):
    """A model ready to write and score. Plugins of the kind `generator` are classes of this shape."""

    def open(
        self, base_dir: Path, tokenizer_dir: Path, *, adapter_dir: Path | None = None, model_dir: Path | None = None
    ) -> None:
        """Load a model: a base (or `model_dir` in its place), a tokenizer, and an adapter where there is one."""

    def complete(self, requests: Sequence[Request]) -> Iterator[list[Completion]]:
        """The completions of each request, `num_samples` each, in the order of the requests."""

    def score(self, sequences: Sequence[Sequence[int]]) -> list[NDArray[np.float32]]:
        """Log-probabilities of token 1, 2, … of each sequence, given those before it: one fewer than its tokens."""

    def encode(self, text: str) -> list[int]:
        """The ids of a text, control tokens spelt in it being plain text."""

    def chat(self, messages: Sequence[Mapping[str, str]]) -> tuple[int, ...]:
        """The prompt of a chat (messages of `role` and `content`) by the model's own template, up to its answer."""


def without_adapters(requests: Sequence[Request], engine: str) -> None:
    """Refuse requests for an adapter, in the name of an engine that would overlook it.

    Raises:
        BurilError: V031.
    """
    if any(request.adapter for request in requests):
        raise BurilError("V031", engine=engine)


def capabilities(generator: Generator) -> Capabilities:
    """What a generator can do; one that does not say can write, and no more."""
    told = getattr(generator, "capabilities", None)
    found: Capabilities = told() if told else Capabilities()
    return found


def request_of_chat(
    generator: Generator, messages: Sequence[Mapping[str, Any]], tools: Sequence[Mapping[str, Any]] | None = None
) -> Request:
    """The request of a chat: its prompt by the model's own template, unless the generator has another way.

    `tools`, functions as OpenAI's API describes them, may be given where the generator's capabilities say so; so may
    messages that hold calls.

    Raises:
        BurilError: T017 for a model without a template.
    """
    more: dict[str, Any] = {"tools": tools} if tools else {}
    own = getattr(generator, "request_of_chat", None)
    found: Request = own(messages, **more) if own else Request(generator.chat(messages, **more))
    return found
