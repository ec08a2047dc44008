"""Members: the clients of a federation as the server sees them, wherever they are; and those simulated here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from buril.train.batch import PackedFile
from buril.train.federated.adapter import Vector
from buril.train.federated.client import Client, Order
from buril.train.federated.updates import Reply


@dataclass(frozen=True)
class Member:
    """A client that takes part: what it is called, and what it says of its data. No text of it ever leaves it."""

    name: str
    dataset: str
    sequences: int
    tokens: int


@dataclass(frozen=True)
class Answers:
    """The answers of a round.

    `total` is the mean of all updates in `replies`, by tokens, where the server gets to know nothing else (`secure`);
    their own `delta` is None then.
    """

    replies: Sequence[Reply]
    members: Mapping[str, Member]
    total: Vector | None = None


class Members(Protocol):
    """Where clients are."""

    def gather(self) -> Sequence[Member]:
        """Those that are there, once enough have come.

        Raises:
            BurilError: T177 when too few came in time.
        """

    def ask(self, order: Order, common: Vector) -> Answers:
        """Let all that are there train a round; those that fail are among the replies, with the reason."""

    def file(self, client: str) -> PackedFile | None:
        """The training text of a client where it is on this machine."""

    def finish(self, *, home: bool) -> None:
        """Let go of them: they are sent `home`, or may come back when the server does."""


class Simulated:
    """Clients on this machine, one after the other, with one model between them."""

    def __init__(self, clients: Sequence[Client], members: Sequence[Member]) -> None:
        self.clients, self._members = clients, members

    def gather(self) -> Sequence[Member]:
        """All of them."""
        return self._members

    def ask(self, order: Order, common: Vector) -> Answers:
        """One after the other."""
        replies = [client.train(order, common) for client in self.clients]
        return Answers(replies, {member.name: member for member in self._members})

    def file(self, client: str) -> PackedFile | None:
        """Its part of the data."""
        return next((item.task.train for item in self.clients if item.name == client), None)

    def finish(self, *, home: bool) -> None:
        """Nothing to do."""
