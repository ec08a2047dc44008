"""The clients of a federated training: what each gave, what was left out of it, and why."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pyarrow.parquet as pq

from buril.audit.lineage import contributors
from buril.core.artifact import Artifact
from buril.web.training import read_json

CONTRIBUTIONS = "contributions.parquet"


@dataclass(frozen=True)
class ClientPart:
    """A client's part. `weight` is its mean share of the rounds that are kept, between 0 and 1.

    `left_out` are rounds of which nothing of it was taken, `reason` why that was the last time.
    """

    name: str
    dataset: str
    tokens: int
    rounds: int
    left_out: int
    weight: float
    sent: int
    reason: str


@dataclass(frozen=True)
class FederationPart:
    """A federated training as the page shows it. `epsilon` is None where there is no privacy that can be counted."""

    rounds: int
    kept_rounds: int
    simulated: bool
    secure: bool
    strategy: str
    average: str
    epsilon: float | None
    delta: float | None
    clients: tuple[ClientPart, ...]


def gather_federation(train: Artifact | None) -> FederationPart | None:
    """What the contributions of a training say; None where it was trained at one place."""
    told = read_json(train, "train.json").get("federated")
    if train is None or not isinstance(told, dict) or not train.path(CONTRIBUTIONS).is_file():
        return None
    rows = pq.read_table(train.path(CONTRIBUTIONS)).to_pylist()
    weights = {(item.client, item.dataset): item.weight for item in contributors(train)}
    names = sorted({(str(row["client"]), str(row["dataset"])) for row in rows})
    privacy = told.get("privacy") or {}
    return FederationPart(
        rounds=int(told["rounds"]), kept_rounds=int(told["kept_rounds"]),
        simulated=bool(told["simulated"]), secure=bool(told["secure"]),
        strategy=str(told["strategy"]), average=str(told["average"]), epsilon=privacy.get("epsilon"),
        delta=privacy.get("delta"), clients=tuple(_client(name, rows, weights.get(name, 0.0)) for name in names),
    )  # fmt: skip


def _client(name: tuple[str, str], rows: list[dict[str, Any]], weight: float) -> ClientPart:
    own = [row for row in rows if (row["client"], row["dataset"]) == name]
    out = [row for row in own if not row["accepted"]]
    return ClientPart(
        *name, tokens=int(own[-1]["tokens"]), rounds=len(own) - len(out), left_out=len(out),
        weight=weight, sent=sum(int(row["sent_bytes"]) for row in own),
        reason=str(out[-1]["reason"]) if out else "",
    )  # fmt: skip
