"""What the server writes with, a session of this process or another process by URL, and what it tells of a text."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Sequence

    from buril.core.errors import BurilError
    from buril.generators._generator import Completion, Request, TokenLogprob


class Event(NamedTuple):
    """What is new of a sample: its whole text so far, and its completion when it has ended, or what went wrong.

    `num_tokens` are those written at that time: there may be more by the time this is read. None where nobody counts.
    """

    sample: int
    text: str
    completion: Completion | None = None
    problem: BurilError | None = None
    num_tokens: int | None = None


class Busy(Exception):
    """The queue is full; `wait_s` is when to come again."""

    def __init__(self, wait_s: float) -> None:
        super().__init__(wait_s)
        self.wait_s = wait_s


class AnyTicket(Protocol):
    """A request on its way.

    Attributes:
        events: what is new, put there in the loop of who asked.
        came: when it was taken, by the monotonic clock.
        first: when its first token was there.
        left: the numbers of the samples that have not ended.
    """

    request: Request
    events: asyncio.Queue[Event]
    came: float
    first: float | None
    left: set[int]

    @property
    def prompt_tokens(self) -> int:
        """Tokens of the prompt."""

    @property
    def cached_tokens(self) -> int:
        """Tokens of the prompt that had been read already, for another request."""

    def num_tokens(self, sample: int) -> int:
        """Tokens of a sample so far."""

    def logprob(self, sample: int) -> float | None:
        """The sum of the natural log-probabilities of these tokens; None where nobody knows."""

    def told(self, sample: int) -> Sequence[TokenLogprob]:
        """What is told of these tokens, for a request that asks for it. It grows as they come."""


class AnyEngine(Protocol):
    """Writes for many.

    Attributes:
        broken: what ended it; nothing is written any more.
    """

    broken: BurilError | None

    @property
    def down(self) -> BurilError | None:
        """Why nothing can be written just now, though later it may."""

    async def submit(self, request: Request) -> AnyTicket:
        """Take a request.

        Raises:
            Busy: there is no room.
            BurilError: it can't be written.
        """

    def cancel(self, ticket: AnyTicket) -> None:
        """Take a request out; from now on it is told nothing."""

    def stop(self, ticket: AnyTicket, sample: int) -> None:
        """Take one sample out: what is wanted of it is there."""

    @property
    def num_waiting(self) -> int:
        """Samples that have no turn yet."""

    @property
    def num_running(self) -> int:
        """Samples that are being written."""

    def wait_s(self) -> float:
        """Seconds after which a place is likely to be free."""

    def close(self) -> None:
        """End; what is on its way is told so."""
