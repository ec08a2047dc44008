"""What server and clients say to each other over Flower's gRPC stream, and how Flower is kept quiet.

Flower carries messages; who may join and what is trained is said in them as JSON, and only the client's own installed
software runs on its machine. `flwr` 1.41 has two transports: HTTP for its SuperNodes, which run code that the server
sends, and the older gRPC stream, which does not. It is the latter that is used.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from buril.core.plugins import require

PROTOCOL = 1
"""Goes up whenever the messages change; client and server must have the same."""
STATUS_OK = 0
MESSAGE_BYTES = 2**31 - 1
"""Largest message that gRPC carries."""
QUIET = {"FLWR_TELEMETRY_ENABLED": "0", "FLWR_TELEMETRY_LOGGING": "0", "FLWR_DISABLE_UPDATE_CHECK": "1"}
"""Flower would report every start to its makers and ask them for updates."""


@dataclass(frozen=True)
class Terms:
    """What a client must agree with, and what it needs to know to train as the others do.

    Attributes:
        base: digest of the base model.
        tokenizer: digest of the tokenizer.
        layout: digest of the names and shapes of the adapter.
        method: name and settings of the method.
        objective: name and settings of the objective.
        average: which parts of the adapter are shared.
        seed: of the adapter's first weights.
    """

    base: str
    tokenizer: str
    layout: str
    method: Mapping[str, Any]
    objective: Mapping[str, Any]
    average: str
    seed: int

    def text(self) -> str:
        """As JSON."""
        return json.dumps(asdict(self))

    @classmethod
    def read(cls, text: str) -> Terms:
        """From JSON."""
        return cls(**json.loads(text))


@dataclass(frozen=True)
class Hello:
    """How a client introduces itself: counts and digests, no text."""

    name: str
    secret: str
    base: str
    tokenizer: str
    dataset: str
    sequences: int
    tokens: int
    protocol: int = PROTOCOL

    def properties(self) -> dict[str, Any]:
        """As Flower's properties."""
        return asdict(self)


def prepare_flower() -> None:
    """Check that Flower is there, and switch off what it says to others than us.

    Raises:
        BurilError: P002.
    """
    for package in ("flwr", "grpc"):
        require(package, kind="setting", name="train.federated")
    os.environ.update(QUIET)
    # gRPC would otherwise start threads before a fork and say so on the terminal
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")

    for name in ("flwr", "grpc"):  # a client that goes is no error of the server, and is told in our own words
        logging.getLogger(name).setLevel(logging.CRITICAL)
