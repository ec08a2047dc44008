"""A request that another server writes: what has come of each of its samples, and what is told of it."""

from __future__ import annotations

import asyncio
import math
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from buril.core.text import _
from buril.generators._encoder import well_formed
from buril.generators._generator import Completion, Request, TokenLogprob, begun, up_to
from buril.generators._upstream import Asked
from buril.serve.chunks import Chunk, Odd, tokens_of
from buril.serve.writing import Event

TOKEN_CHARS, SPARE_CHARS = 256, 1 << 16
"""A text is at most so many characters for each token that was asked for, and some: a server may not mind the limit."""
_HALF, _SURROGATE = re.compile("[\ud800-\udbff]"), re.compile("[\ud800-\udfff]")


@dataclass(eq=False)
class Sample:
    """One text on its way. `usage` and `logprob` are what the other server tells, None as long as it does not."""

    number: int
    text: str = ""
    chunks: int = 0
    usage: tuple[int, int] | None = None
    logprob: float | None = None
    told: list[TokenLogprob] = field(default_factory=list)
    """What it tells of each token, for a request that asks for it."""
    reason: str | None = None
    ended: bool = False
    waits: bool = True
    """It has no turn yet."""
    task: asyncio.Task[None] | None = None


@dataclass(eq=False)
class RemoteTicket:
    """A request on its way. All of it belongs to one loop."""

    request: Request
    asked: Asked
    samples: list[Sample]
    taken: asyncio.Future[None]
    """Whether the other server has taken it: done when the first of its streams has begun."""
    events: asyncio.Queue[Event] = field(default_factory=asyncio.Queue)
    came: float = field(default_factory=time.monotonic)
    first: float | None = None
    left: set[int] = field(default_factory=set)

    @property
    def prompt_tokens(self) -> int:
        """Tokens of the prompt."""
        told = next((sample.usage[0] for sample in self.samples if sample.usage), 0)
        return told if self.asked.prompt_tokens is None else self.asked.prompt_tokens

    @property
    def cached_tokens(self) -> int:
        """The other server does not say."""
        return 0

    def num_tokens(self, sample: int) -> int:
        """Tokens of a sample so far, as the other server counts them; events with text where it does not."""
        one = self.samples[sample]
        return one.usage[1] if one.usage else one.chunks

    def logprob(self, sample: int) -> float | None:
        """The sum of their natural log-probabilities, where the other server tells them."""
        found = self.samples[sample].logprob
        return found if found is not None and math.isfinite(found) else None

    def told(self, sample: int) -> Sequence[TokenLogprob]:
        """What is told of these tokens, for a request that asks for it."""
        return self.samples[sample].told

    def take(self, sample: Sample, chunk: Chunk) -> bool:
        """Take what an event says; whether there is all that is wanted, though the stream goes on.

        Raises:
            Odd: for a text that is much too long.
        """
        sample.usage, sample.reason = chunk.usage or sample.usage, chunk.reason or sample.reason
        if chunk.logprobs is not None:
            sample.logprob = (sample.logprob or 0.0) + math.fsum(chunk.logprobs)
        if chunk.told and self.request.logprobs is not None and not sample.ended:
            sample.told += tokens_of(chunk.told, self.request.logprobs)
        if chunk.text and not sample.ended and self._stopped(sample, chunk.text):
            return self.finish(sample)
        if sample.reason and sample.usage:  # else the counts are still to come
            self.finish(sample)
        elif chunk.text:
            shown = sample.text[: len(sample.text) - begun(sample.text, self.request.stop)]
            if shown and not _HALF.match(shown[-1]):  # else the other half of its last sign is still to come
                self.events.put_nowait(Event(sample.number, _sound(shown)))
        return False

    def _stopped(self, sample: Sample, text: str) -> bool:
        """Add to the text of a sample; whether a stop string is in it now."""
        self.first = self.first or time.monotonic()
        sample.chunks += 1
        stops = self.request.stop
        seen = max(0, len(sample.text) - max(map(len, stops), default=0))
        sample.text += text
        if len(sample.text) > SPARE_CHARS + TOKEN_CHARS * self.request.max_tokens:
            raise Odd(_("the answer is too large"))
        if not up_to(sample.text[seen:], stops)[1]:
            return False
        sample.text, sample.reason = up_to(sample.text, stops)[0], "stop"
        return True

    def finish(self, sample: Sample) -> bool:
        """Tell that a sample has ended, once; whether it has."""
        if sample.reason and not sample.ended:
            sample.ended = True
            text = _sound(sample.text)
            done = Completion(text, (), "length" if sample.reason == "length" else "eos", math.nan, sample.usage)
            self.tell(Event(sample.number, text, done))
        return sample.ended

    def tell(self, event: Event) -> None:
        """The last event of a sample; one that was taken out is told nothing."""
        if event.sample in self.left:
            self.left.discard(event.sample)
            self.events.put_nowait(event)


def _sound(text: str) -> str:
    """A text whose signs were told in two halves, put together."""
    return well_formed(text) if _SURROGATE.search(text) else text
