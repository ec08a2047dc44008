"""A client process of the tests: as `buril join`, on artifacts that are there; it may be told to misbehave."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import numpy as np
import peft  # noqa: F401  loaded once for all clients
import torch
import transformers  # noqa: F401  as well

from buril.cli import main as cli
from buril.core.errors import BurilError
from buril.train.federated.client import Client, Order
from buril.train.federated.join import Connection, Guest
from buril.train.federated.start import open_client
from buril.train.federated.updates import Reply, Update
from buril.train.federated.wire import Hello, prepare_flower
from buril.train.stage import Train
from tests.conftest import as_artifact


def misbehave(how: str) -> None:
    """Let this process's client die in its second round, be late, or send what is no number."""
    honest, times = Client.train, iter(range(10**6))

    def train(client: Client, order: Order, common: np.ndarray) -> Reply:
        if how == "die" and order.round == 1:
            os._exit(9)
        if how == "late":
            time.sleep(600)
        reply = honest(client, order, common)
        bad = how == "nan" or (how == "once" and order.round == 1 and next(times) == 0)
        if bad and reply.update is not None and reply.update.delta is not None:
            return Reply(reply.client, Update(**{**vars(reply.update), "delta": reply.update.delta * np.nan}))
        return reply

    Client.train = train  # type: ignore[method-assign]


def main(folder: Path, name: str, address: str, told: dict[str, str]) -> None:
    """Take part; what is said goes to a file, and the process ends with the code that `buril join` would."""
    os.environ["HOME"] = told["home"]
    torch.set_num_threads(1)
    with Path(told["log"]).open("w", buffering=1, encoding="utf-8") as log:
        sys.stdout = sys.stderr = log
        sys.exit(take_part(folder, name, address, told))


def take_part(folder: Path, name: str, address: str, told: dict[str, str]) -> int:
    if "command" in told:
        cli.main(["join", address, "--name", name, *told["command"].split("\n")])
    misbehave(told.get("behave", ""))
    inputs = {stage: as_artifact(folder / stage, stage) for stage in ("base", "tokenizer", "pack")}
    pack = inputs["pack"].json("summary.json")
    hello = Hello(
        name, told.get("secret", ""), inputs["base"].digest, inputs["tokenizer"].digest, inputs["pack"].digest,
        pack["sequences"], pack["tokens"],
    )  # fmt: skip
    settings = Train.Settings(threads=1, precision="fp32")
    memory = folder.parent / f"memory-{name}"
    guest = Guest(hello, lambda terms: open_client(settings, inputs, terms, name, memory), print)
    ca = Path(told["ca"]).read_bytes() if "ca" in told else None
    try:
        guest.stay(Connection(address, ca, plain=ca is None, wait_s=float(told.get("wait", "60"))))
    except BurilError as error:
        print(error)
        return error.exit_code
    telemetry = sys.modules.get("flwr.supercore.telemetry")
    print(f"rounds {guest.rounds} telemetry {getattr(telemetry, 'FLWR_TELEMETRY_ENABLED', '0')}")
    return 0


prepare_flower()
