"""The server's side of the network: clients that connect are asked who they are, let in or turned away, and trained."""

from __future__ import annotations

import hmac
import os
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

from buril.core.errors import BurilError
from buril.core.stage import Output
from buril.core.text import _
from buril.train.batch import PackedFile
from buril.train.federated.adapter import Shared, Vector
from buril.train.federated.client import Order
from buril.train.federated.join import instructions_of
from buril.train.federated.members import Answers, Member
from buril.train.federated.settings import Federated
from buril.train.federated.updates import LOST, Reply, Update
from buril.train.federated.wire import MESSAGE_BYTES, PROTOCOL, Hello, Terms, prepare_flower

POLL_S = 0.05
HELLO_S = 60.0
"""Seconds in which a client must say who it is: its model is loaded before it connects."""
MOST = 2**48
"""No count of tokens or steps is as large."""
THREADS = 256
"""Most clients at a time: each holds a thread of the server."""


class Remote:
    """Clients on other machines.

    Args:
        told: the settings.
        terms: what clients must agree with.
        shared: the server's adapter, of which new clients get the fixed part.
        out: events go there.
    """

    def __init__(self, told: Federated, terms: Terms, shared: Shared, out: Output) -> None:
        prepare_flower()
        self.told, self._terms, self._shared, self._out = told, terms, shared, out
        self._secret = _secret(told)
        self._lock = threading.Lock()
        self._members: dict[str, tuple[Member, Any]] = {}
        self._greeted: set[str] = set()
        self._complete = False
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="federation")
        self.server, self.address = self._listen()

    def _listen(self) -> tuple[Any, str]:
        import grpc
        from flwr.proto.transport_pb2_grpc import add_FlowerServiceServicer_to_server
        from flwr.server import SimpleClientManager
        from flwr.server.superlink.fleet.grpc_bidi.flower_service_servicer import FlowerServiceServicer

        remote = self

        class Manager(SimpleClientManager):  # type: ignore[misc]  # Flower is not there for mypy
            """Asks whoever connects who it is."""

            def register(self, client: Any) -> bool:
                remote._pool.submit(remote._admit, client)
                return bool(super().register(client))

            def unregister(self, client: Any) -> None:
                super().unregister(client)
                remote._gone(client)

        options = [(f"grpc.max_{way}_message_length", MESSAGE_BYTES) for way in ("send", "receive")]
        # a machine that vanished without a word is noticed in a minute
        options += [("grpc.keepalive_time_ms", 30_000), ("grpc.keepalive_timeout_ms", 30_000)]
        options += [("grpc.http2.max_pings_without_data", 0), ("grpc.so_reuseport", 0)]
        server = grpc.server(ThreadPoolExecutor(THREADS), options=options)
        add_FlowerServiceServicer_to_server(FlowerServiceServicer(Manager()), server)
        address = self.told.listen or ""
        try:
            tls = self.told.tls
            port = server.add_secure_port(address, _credentials(tls)) if tls else server.add_insecure_port(address)
        except RuntimeError as problem:
            raise BurilError("T187", address=address, problem=str(problem).splitlines()[0]) from problem
        server.start()
        host = address.rpartition(":")[0]
        self._out.note(_("clients are waited for at {address}").format(address=f"{host}:{port}"))
        return server, f"{host}:{port}"

    def _admit(self, client: Any) -> None:
        """Ask a client who it is, and let it in or turn it away with the reason."""
        from flwr.common import GetPropertiesIns, ReconnectIns
        from flwr.server.superlink.fleet.grpc_bidi.grpc_bridge import GrpcBridgeClosed

        try:
            said = client.get_properties(GetPropertiesIns({}), timeout=HELLO_S, group_id=None).properties
            hello = _hello(said)
            code, values = self._refusal(hello, client)
            if code:
                self._out.warn(BurilError(code, where=None, **values).cause)
            answer = {"terms": self._terms.text()} if not code else {"code": code, **values}
            client.get_properties(GetPropertiesIns(answer), timeout=HELLO_S, group_id=None)
            if code:
                client.reconnect(ReconnectIns(seconds=None), timeout=HELLO_S, group_id=None)
        except GrpcBridgeClosed:
            with self._lock:
                self._members = {name: item for name, item in self._members.items() if item[1] is not client}
            return
        if hello and not code:
            self._out.note(_("client `{client}` has joined").format(client=hello.name))
            with self._lock:
                self._greeted.add(client.cid)

    def _refusal(self, hello: Hello | None, client: Any) -> tuple[str, dict[str, str]]:
        """The code of the error that a client gets; "" lets it in, under its name at once."""
        if hello is None or hello.protocol != PROTOCOL:
            return "T180", {"client": hello.name if hello else "?", "what": "protocol"}
        if self.told.secret and not hmac.compare_digest(hello.secret.encode(), self._secret.encode()):
            return "T181", {"client": hello.name}
        for what in ("base", "tokenizer"):
            if getattr(hello, what) != getattr(self._terms, what):
                return "T180", {"client": hello.name, "what": what}
        with self._lock:
            if hello.name in self._members:
                return "T182", {"client": hello.name}
            self._members[hello.name] = (Member(hello.name, hello.dataset, hello.sequences, hello.tokens), client)
        return "", {}

    def _gone(self, client: Any) -> None:
        with self._lock:
            names = [name for name, (_member, known) in self._members.items() if known is client]
            for name in names:
                del self._members[name]
            self._greeted.discard(client.cid)

    def present(self) -> dict[str, tuple[Member, Any]]:
        """Clients that were let in and are connected, with Flower's proxy of each, by name."""
        with self._lock:
            found = {name: item for name, item in self._members.items() if item[1].cid in self._greeted}
        return dict(sorted(found.items()))

    def gather(self) -> Sequence[Member]:
        """Before the first round all are waited for; later those that are there are enough, if they are enough.

        Raises:
            BurilError: T177.
        """
        end = time.monotonic() + self.told.timeout_s
        wanted = self.told.least if self._complete else self.told.clients
        while len(self.present()) < wanted and time.monotonic() < end:
            time.sleep(POLL_S)
        found = [member for member, _client in self.present().values()]
        if len(found) < self.told.least:
            raise BurilError(
                "T177", given=len(found), least=self.told.least, seconds=f"{self.told.timeout_s:g}",
                address=self.address,
            )  # fmt: skip
        self._complete = True
        return found

    def ask(self, order: Order, common: Vector) -> Answers:
        """All at the same time; who fails or is late is among the replies with the reason."""
        present = self.present()
        members = {name: member for name, (member, _client) in present.items()}
        told = instructions_of(order, common, self._shared.fixed_vector())
        ends = {name: partial(self._send, client, order.round) for name, (_member, client) in present.items()}
        if self.told.secure:
            from buril.train.federated.secure import secure_answers

            return secure_answers(ends, members, told, self.told, together=True)
        jobs = {name: self._pool.submit(end, told) for name, end in ends.items()}
        results = {name: job.result() for name, job in jobs.items()}
        replies = [
            Reply(name, reason=_(LOST)) if result is None else reply_of(name, result)
            for name, result in results.items()
        ]
        return Answers(replies, members)

    def _send(self, client: Any, number: int, told: Any) -> Any:
        """Instructions to a client and its result back; None when it is gone or late."""
        from flwr.server.superlink.fleet.grpc_bidi.grpc_bridge import GrpcBridgeClosed

        try:
            return client.fit(told, timeout=self.told.timeout_s, group_id=number)
        except GrpcBridgeClosed:
            return None

    def file(self, client: str) -> PackedFile | None:
        """None: it is on the client's machine and stays there."""
        return None

    def finish(self, *, home: bool) -> None:
        """Close the port; clients that are not sent home try to come back for a while."""
        from flwr.common import ReconnectIns
        from flwr.server.superlink.fleet.grpc_bidi.grpc_bridge import GrpcBridgeClosed

        def dismiss(client: Any) -> None:
            try:
                client.reconnect(ReconnectIns(seconds=None), timeout=HELLO_S, group_id=None)
            except GrpcBridgeClosed:
                return

        present = self.present().values() if home else ()
        for job in [self._pool.submit(dismiss, client) for _member, client in present]:
            job.result()
        self.server.stop(grace=1.0 if home else 0).wait()
        self._pool.shutdown(wait=False, cancel_futures=True)


def _hello(said: dict[str, Any]) -> Hello | None:
    """What a client said of itself; None where it is no client of ours."""
    kinds = {"name": str, "secret": str, "base": str, "tokenizer": str, "dataset": str}
    numbers = ("sequences", "tokens", "protocol")
    fits = all(isinstance(said.get(key), kind) for key, kind in kinds.items())
    if not fits or not all(isinstance(said.get(key), int) for key in numbers) or not said["name"].isprintable():
        return None
    return Hello(**{key: said[key] for key in (*kinds, *numbers)})


def reply_of(name: str, result: Any) -> Reply:
    """Flower's result as a reply; a client may send anything, so nothing of it is trusted to be there."""
    import numpy as np
    from flwr.common import parameters_to_ndarrays

    told = result.metrics
    if told.get("reason"):
        return Reply(name, reason=str(told["reason"]))
    try:
        delta = np.asarray(parameters_to_ndarrays(result.parameters)[0], dtype=np.float32).reshape(-1)
        loss = told.get("loss")
        update = Update(
            delta, int(result.num_examples), int(told["first"]), int(told["steps"]), int(told["read"]),
            None if loss is None else float(loss), sum(map(len, result.parameters.tensors)),
        )  # fmt: skip
        check_counts(update)
    except (ValueError, TypeError, KeyError, IndexError, EOFError) as problem:
        return Reply(name, reason=_("its answer can't be read: {problem}").format(problem=problem))
    return Reply(name, update)


def check_counts(update: Update) -> None:
    """Refuse counts that can't be: steps order the rounds that a model is kept of.

    Raises:
        ValueError: when one is.
    """
    told = {"tokens": update.tokens, "steps": update.steps, "first": update.first + 1, "read": update.read}
    wrong = [name for name, number in told.items() if not 0 < number < MOST]
    if wrong:
        raise ValueError(", ".join(wrong))


def _secret(told: Federated) -> str:
    """What clients must know; "" where nothing is asked of them.

    Raises:
        BurilError: C006 when it is to be read from a variable that is not set: an empty secret would let in everybody.
    """
    if not told.secret:
        return ""
    variable = told.secret.removeprefix("env:")
    found = os.environ.get(variable, "")
    if not found:
        raise BurilError("C006", name="train.federated.secret", variable=variable)
    return found


def _credentials(tls: Any) -> Any:
    import grpc

    pair = (read_pem(tls.key), read_pem(tls.certificate))
    return grpc.ssl_server_credentials([pair], root_certificates=read_pem(tls.ca), require_client_auth=False)


def read_pem(path: Path) -> bytes:
    """The bytes of a PEM file.

    Raises:
        BurilError: T186 when it can't be read or is none.
    """
    try:
        content = path.expanduser().read_bytes()
    except OSError as problem:
        raise BurilError("T186", path=path, problem=problem.strerror) from problem
    if b"-----BEGIN " not in content:
        raise BurilError("T186", path=path, problem=_("it is no PEM"))
    return content
