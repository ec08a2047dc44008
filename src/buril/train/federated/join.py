"""The client's side of the network: it connects, says who it is, trains when it is told to, and leaves when sent."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from buril.core.errors import BurilError
from buril.core.text import _
from buril.train.federated.adapter import Vector
from buril.train.federated.client import Client, Order
from buril.train.federated.updates import Reply
from buril.train.federated.wire import MESSAGE_BYTES, STATUS_OK, Hello, Terms, prepare_flower

RETRY_S = (0.5, 30.0)
"""First and longest wait between attempts to connect; each is twice the one before."""
FLOWER_TRAIN, FLOWER_PROPERTIES, FLOWER_END = "train", "get_properties", "reconnect"
"""Kinds of Flower's messages."""
ACKNOWLEDGED = 4
"""Flower's code of an orderly end."""
REFUSALS = ("T180", "T181", "T182")
"""What a server may say to a client that it turns away."""


@dataclass
class Connection:
    """Where the server is and how it is reached.

    Attributes:
        address: HOST:PORT.
        ca: the certificate of who signed the server's, as PEM; None for those that the system trusts.
        plain: without encryption, within one machine.
        wait_s: seconds that are tried to reach the server, at first and whenever the connection breaks.
    """

    address: str
    ca: bytes | None
    plain: bool
    wait_s: float


class Guest:
    """A client that takes part in a federation elsewhere.

    Args:
        hello: how it introduces itself.
        open_client: makes the client from the server's terms: the model is loaded then.
        say: tells a person what goes on.
        secure_only: send nothing that is not masked; else the server's settings alone decide.
    """

    def __init__(
        self,
        hello: Hello,
        open_client: Callable[[Terms], Client],
        say: Callable[[str], None],
        *,
        secure_only: bool = False,
    ) -> None:
        prepare_flower()
        self._secure_only = secure_only
        self.hello, self._open, self._say = hello, open_client, say
        self._client: Client | None = None
        self._terms: Terms | None = None
        self._secure: Any = None
        self.rounds = 0

    def stay(self, connection: Connection) -> None:
        """Take part until the server ends it; a connection that breaks is made again.

        Raises:
            BurilError: T180–T182 when the server turns it away, T183 when it can't be reached, T184 and T185 when it
                wants what this client does not give.
        """
        import grpc

        began, pause = time.monotonic(), RETRY_S[0]
        while True:
            try:
                return self._connected(connection)
            except (grpc.RpcError, StopIteration) as problem:
                told = problem.details() if isinstance(problem, grpc.Call) else _("the server went away")
                if self._terms is not None:  # it was in: the time to come back counts from now
                    began, pause, self._terms = time.monotonic(), RETRY_S[0], None
                    self._say(_("the connection broke ({problem}); it is made again").format(problem=told))
                if time.monotonic() - began > connection.wait_s:
                    raise BurilError("T183", address=connection.address, problem=told) from problem
            time.sleep(pause)
            pause = min(2 * pause, RETRY_S[1])

    def _connected(self, connection: Connection) -> None:
        from flwr.compat.client.grpc_client.connection import grpc_connection

        with grpc_connection(
            connection.address, connection.plain, None, MESSAGE_BYTES, connection.ca
        ) as (receive, send, *_others):  # fmt: skip
            while True:
                message = receive()
                reply, ends = self._answer(message)
                send(reply)
                if ends:
                    time.sleep(RETRY_S[0])  # the last word must leave before the channel is closed
                    return

    def _answer(self, message: Any) -> tuple[Any, bool]:
        from flwr.app import ConfigRecord, Message, RecordDict
        from flwr.compat.common import recorddict_compat as compat

        kind, content = message.metadata.message_type, message.content
        if kind == FLOWER_END:
            record = RecordDict({"config": ConfigRecord({"reason": ACKNOWLEDGED})})
            return Message(record, reply_to=message), True
        if kind == FLOWER_PROPERTIES:
            answer = self._introduce(compat.recorddict_to_getpropertiesins(content).config)
            return Message(compat.getpropertiesres_to_recorddict(answer), reply_to=message), False
        result = self.fit(compat.recorddict_to_fitins(content, keep_input=False))
        return Message(compat.fitres_to_recorddict(result, keep_input=False), reply_to=message), False

    def _introduce(self, config: dict[str, Any]) -> Any:
        """Say who this is; or take what the server says to that: its terms, or why it wants no such client."""
        from flwr.common import Code, GetPropertiesRes, Status

        if config.get("code") in REFUSALS:
            values = {key: value for key, value in config.items() if key != "code"}
            raise BurilError(str(config["code"]), **values)
        if "terms" in config:
            self._terms = Terms.read(str(config["terms"]))
            if self._client is None:
                self._client = self._open(self._terms)
            self._say(_("joined as `{name}`").format(name=self.hello.name))
        return GetPropertiesRes(Status(Code(STATUS_OK), ""), self.hello.properties())

    def fit(self, instructions: Any) -> Any:
        """Train a round; under `secure` the steps of the protocol around it come here too."""
        if "secure" in instructions.config:
            from buril.train.federated.secure import Masked

            self._secure = self._secure or Masked(self._plain)
            return self._secure.answer(instructions)
        if self._secure_only:
            raise BurilError("T185")
        return self._plain(instructions)

    def _plain(self, instructions: Any) -> Any:
        assert self._client is not None, "the terms come before the first order"
        order = Order.read(str(instructions.config["order"]))
        self._say(_("round {round} of {rounds}").format(round=order.round + 1, rounds=order.rounds))
        self.rounds += 1
        return obey(self._client, instructions)


def instructions_of(order: Order, common: Vector, fixed: Vector) -> Any:
    """An order as Flower's: the common vector, and what is the same for all beside it."""
    from flwr.common import FitIns, ndarrays_to_parameters

    return FitIns(ndarrays_to_parameters([common, fixed]), {"order": order.text()})


def obey(client: Client, instructions: Any) -> Any:
    """Let a client train as it is told; returns Flower's result."""
    from flwr.common import parameters_to_ndarrays

    common, fixed = parameters_to_ndarrays(instructions.parameters)
    client.shared.put_fixed(fixed)
    return result_of(client.train(Order.read(str(instructions.config["order"])), common))


def result_of(reply: Reply) -> Any:
    """A reply as Flower's result."""
    from flwr.common import Code, FitRes, Status, ndarrays_to_parameters

    update = reply.update
    if update is None or update.delta is None:
        told = {"reason": reply.reason}
        return FitRes(Status(Code(STATUS_OK), ""), ndarrays_to_parameters([np.zeros(0, np.float32)]), 0, told)
    metrics: dict[str, Any] = {"first": update.first, "steps": update.steps, "read": update.read}
    if update.loss is not None:
        metrics["loss"] = update.loss
    return FitRes(Status(Code(STATUS_OK), ""), ndarrays_to_parameters([update.delta]), update.tokens, metrics)
