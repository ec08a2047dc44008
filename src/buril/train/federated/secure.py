"""Secure aggregation: the server gets to know the sum of the updates and nothing of any single one.

The protocol is Flower's SecAgg+ (Bell et al. 2020, eprint 2020/704): clients add masks that cancel in the sum, and
share what opens them so that some may fall out. Its server and its clients' half are Flower's own code; here stand the
two ends that carry its messages over the stream, and what it needs to know of ours.

It protects against a server that follows the protocol and is curious. One that lies about the clients' keys could read
along; the numbers are rounded to 22 bits of the range before they are masked.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from types import SimpleNamespace
from typing import Any

import numpy as np

from buril.core.text import _
from buril.train.batch import PackedFile
from buril.train.federated.adapter import Vector
from buril.train.federated.client import Order
from buril.train.federated.members import Answers, Member
from buril.train.federated.remote import check_counts
from buril.train.federated.settings import Federated
from buril.train.federated.updates import LOST, NOT_FINITE, Reply, Update

RANGE = 1.0
"""Largest absolute value of a number of an update; adapters' numbers change by hundredths in a round."""
LEVELS = 2**22
"""Steps that the range is rounded to. A sum of a thousand clients still fits 32 bits."""
SHARE = 2 / 3
"""Share of the clients that must stay until the end of a round for its sum to be opened."""


class Masked:
    """A client's half: Flower's, around the training of a round.

    Args:
        train: answers instructions without masks.
    """

    def __init__(self, train: Callable[[Any], Any]) -> None:
        from flwr.app import Context, RecordDict

        self._train = train
        self._context = Context(0, 0, {}, RecordDict(), {})

    def answer(self, instructions: Any) -> Any:
        """Take one step of the protocol."""
        from flwr.app import Message
        from flwr.client.mod import secaggplus_mod
        from flwr.common import Code, FitRes, Parameters, Status, parameters_to_ndarrays
        from flwr.compat.common import recorddict_compat as compat

        def inner(message: Any, _context: Any) -> Any:
            result = self._train(compat.recorddict_to_fitins(message.content, keep_input=True))
            if result.metrics.get("reason"):
                raise Unable(str(result.metrics["reason"]))
            if not all(np.isfinite(item).all() for item in parameters_to_ndarrays(result.parameters)):
                raise Unable(_(NOT_FINITE))  # masked, nobody else could see it
            if instructions.config.get("equal"):  # all count the same: the bound on one must not depend on its size
                result.num_examples = 1
            return Message(compat.fitres_to_recorddict(result, keep_input=True), reply_to=message)

        message = message_of(instructions.config["secure"], int(instructions.config["node"]))
        try:
            reply = secaggplus_mod(message, self._context, inner)
        except (Unable, ValueError, KeyError, TypeError) as problem:
            return FitRes(Status(Code(0), ""), Parameters([], ""), 0, {"reason": str(problem)})
        return FitRes(Status(Code(0), ""), Parameters([], ""), 0, {"secure": bytes_of(reply.content)})


class Unable(Exception):
    """A client has nothing to add; it falls out of the round."""


def bytes_of(record: Any) -> bytes:
    """A record of Flower's as bytes."""
    from flwr.common.serde import recorddict_to_proto

    found: bytes = recorddict_to_proto(record).SerializeToString()
    return found


def record_of(content: bytes) -> Any:
    """The record that `bytes_of` wrote."""
    from flwr.common.serde import recorddict_from_proto
    from flwr.proto.recorddict_pb2 import RecordDict as Record

    record = Record()
    record.ParseFromString(content)
    return recorddict_from_proto(record)


def message_of(content: bytes, node: int) -> Any:
    """A message to a node from the bytes of its record."""
    from flwr.app import DEFAULT_TTL, Metadata
    from flwr.app.message import make_message

    told = Metadata(
        run_id=0, message_id=str(uuid.uuid4()), src_node_id=1, dst_node_id=node, reply_to_message_id="", group_id="",
        created_at=time.time(), ttl=DEFAULT_TTL, message_type="train",
    )  # fmt: skip
    return make_message(metadata=told, content=record_of(content))


End = Callable[[Any], Any]
"""Carries instructions to a client and its result back; None where it does not answer."""


def secure_answers(
    ends: Mapping[str, End], members: Mapping[str, Member], instructions: Any, told: Federated, *, together: bool
) -> Answers:
    """A round of the protocol.

    Args:
        ends: the clients' ends, by name.
        members: what is known of them.
        instructions: what to train.
        told: the settings.
        together: ask clients at the same time.
    """
    from flwr.app import ConfigRecord, Context, RecordDict
    from flwr.compat.common import recorddict_compat as compat
    from flwr.server.compat.legacy_context import LegacyContext
    from flwr.server.workflow import SecAggPlusWorkflow
    from flwr.supercore.task_identity import TaskIdentity

    TaskIdentity.run_id = TaskIdentity.task_id = TaskIdentity.node_id = 0  # its messages ask for them
    nodes = dict(enumerate(sorted(ends), 1))
    grid = _Ends({node: ends[name] for node, name in nodes.items()}, equal=told.privacy is not None, together=together)
    proxies = [(SimpleNamespace(node_id=node, cid=name), instructions) for node, name in nodes.items()]
    strategy = _Strategy(proxies)
    state = RecordDict(
        {
            "config": ConfigRecord({"current_round": 1}),
            "parameters": compat.parameters_to_arrayrecord(instructions.parameters, True),
        }
    )
    manager = SimpleNamespace(num_available=lambda: len(nodes))
    context = LegacyContext(Context(0, 0, {}, state, {}), None, strategy, manager)
    heaviest = 1.0 if told.privacy else float(max(members[name].tokens for name in nodes.values()))
    workflow = SecAggPlusWorkflow(
        1.0, SHARE, max_weight=heaviest, clipping_range=RANGE, quantization_range=LEVELS
    )  # fmt: skip
    workflow(grid, context)
    replies = [
        _reply(members[name], strategy.metrics.get(node), grid.reasons.get(node, ""), grid.sent.get(node, 0))
        for node, name in nodes.items()
    ]
    return Answers(replies, members, strategy.total)


class _Strategy:
    """What Flower's workflow asks of a strategy: who takes part, and what to do with the mean."""

    def __init__(self, proxies: Sequence[Any]) -> None:
        self._proxies = proxies
        self.total: Vector | None = None
        self.metrics: dict[int, dict[str, Any]] = {}

    def configure_fit(self, _round: int, _parameters: Any, _manager: Any) -> Sequence[Any]:
        """All of them."""
        return self._proxies

    def aggregate_fit(self, _round: int, results: Sequence[Any], _failures: Any) -> tuple[None, dict[str, Any]]:
        """Keep the mean; whose updates are in it is the list of results."""
        from flwr.common import parameters_to_ndarrays

        self.metrics = {proxy.node_id: dict(result.metrics) for proxy, result in results}
        if results:
            self.total = parameters_to_ndarrays(results[0][1].parameters)[0].astype(np.float32).reshape(-1)
        return None, {}


def _reply(member: Member, metrics: dict[str, Any] | None, reason: str, sent: int) -> Reply:
    if metrics is None:
        return Reply(member.name, reason=reason or _(LOST))
    try:
        first, steps, read = (int(metrics[key]) for key in ("first", "steps", "read"))
        update = Update(None, member.tokens, first, steps, read, None, sent)
        check_counts(update)
    except (ValueError, TypeError, KeyError):  # its update is in the sum, whatever it counts
        update = Update(None, max(1, member.tokens), 0, 1, 1, None, sent)
    return Reply(member.name, update)


class _Ends:
    """Flower's way to send messages (its `Grid`), as much of it as the workflow uses, over our ends.

    Attributes:
        reasons: why a node has fallen out, where it said.
        sent: bytes that came from each node.
    """

    def __init__(self, ends: Mapping[int, End], *, equal: bool, together: bool) -> None:
        self._ends, self._equal, self._together = ends, equal, together
        self.reasons: dict[int, str] = {}
        self.sent: dict[int, int] = {}

    def send_and_receive(self, messages: Iterable[Any], *, timeout: float | None = None) -> list[Any]:
        """The replies of those that answer; each end knows how long to wait."""
        listed = list(messages)
        with ThreadPoolExecutor(max(1, len(listed)) if self._together else 1) as pool:
            return [reply for reply in pool.map(self._one, listed) if reply is not None]

    def _one(self, message: Any) -> Any:
        from flwr.app import Message
        from flwr.common import FitIns, Parameters

        node = message.metadata.dst_node_id
        config = {"secure": bytes_of(message.content), "node": node, "equal": self._equal}
        result = self._ends[node](FitIns(Parameters([], ""), config))
        if result is None or "secure" not in result.metrics:
            self.reasons[node] = str(result.metrics.get("reason", "")) if result is not None else ""
            return None
        self.sent[node] = self.sent.get(node, 0) + len(result.metrics["secure"])
        return Message(record_of(result.metrics["secure"]), reply_to=message)


class Local:
    """Simulated clients under the protocol: what is masked is masked, though all is on one machine."""

    def __init__(self, members: Any, told: Federated) -> None:
        from buril.train.federated.wire import prepare_flower

        prepare_flower()
        self._members, self._told = members, told

    def gather(self) -> Sequence[Member]:
        """All of them."""
        found: Sequence[Member] = self._members.gather()
        return found

    def ask(self, order: Order, common: Vector) -> Answers:
        """One step of the protocol after the other."""
        from buril.train.federated.join import instructions_of, obey

        ends = {client.name: Masked(partial(obey, client)).answer for client in self._members.clients}
        members = {member.name: member for member in self.gather()}
        fixed = self._members.clients[0].shared.fixed_vector()
        return secure_answers(ends, members, instructions_of(order, common, fixed), self._told, together=False)

    def file(self, client: str) -> PackedFile | None:
        """Its part of the data."""
        found: PackedFile | None = self._members.file(client)
        return found

    def finish(self, *, home: bool) -> None:
        """Nothing to do."""
