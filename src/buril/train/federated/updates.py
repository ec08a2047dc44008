"""Updates: what a client sends, which of them are taken, and with what weight.

An update that is no number, of another size, much larger than the others or turned against them is left out and named.
This stops accidents and crude attacks. A poisoned update of ordinary size and direction looks like an honest one to
every such test; who is let in remains the first defence.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from buril.core.text import N_, _

AGAINST = -0.2
"""Cosine with the sum of the others below which an update is turned against them. Honest ones start from the same
weights and share a direction; random ones are nearly perpendicular in so many dimensions."""
COMPARED = 3
"""Updates from which on they are compared with each other: of two, nobody knows which is the odd one."""
LOST = N_("it did not answer in time, or its connection broke")
NOT_FINITE = N_("its update holds numbers that are none (NaN or infinity)")
WRONG_SIZE = N_("its update has {given} numbers, not {wanted}")
TOO_LARGE = N_("its update is {times:.1f} times as large as is usual")
TURNED = N_("its update is turned against the others (cosine {cosine:.2f})")


@dataclass(frozen=True)
class Update:
    """What a client learnt in a round.

    Attributes:
        delta: what it adds to the common vector; None where only the sum of all is known.
        tokens: of the client's training text, its weight in the average.
        first: steps that it had been asked for before this round.
        steps: of this round.
        read: tokens that these steps read.
        loss: mean training loss of its steps in nats, None where it did not say.
        sent: bytes of its answer.
    """

    delta: np.ndarray | None
    tokens: int
    first: int = 0
    steps: int = 0
    read: int = 0
    loss: float | None = None
    sent: int = 0


@dataclass(frozen=True)
class Reply:
    """The answer of one client in a round: an update, or why there is none."""

    client: str
    update: Update | None = None
    reason: str = ""


@dataclass
class Contribution:
    """A line of `contributions.parquet`: what came from a client in a round. `weight` is 0 where it was left out.

    Loss, norm and SHA-256 of the update are None where the server does not know them (`secure`), and where the noise
    of `privacy` would not cover them.
    """

    round: int
    client: str
    dataset: str
    sequences: int
    tokens: int
    first_step: int = 0
    steps: int = 0
    loss: float | None = None
    norm: float | None = None
    weight: float = 0.0
    accepted: bool = False
    reason: str = ""
    sha256: str | None = None
    sent_bytes: int = 0
    received_bytes: int = 0


def norm_of(delta: np.ndarray) -> float:
    """The Euclidean norm, summed in double precision."""
    return math.sqrt(float(np.square(delta, dtype=np.float64).sum()))


def clipped(delta: np.ndarray, limit: float) -> np.ndarray:
    """The update scaled down to a norm of `limit` at most; what is no number is left for `judge` to find."""
    norm = norm_of(delta)
    # a little below: rounding to fp32 must not lift it above the limit again
    return delta if not norm > limit else (delta * (limit * (1 - 1e-6) / norm)).astype(np.float32)


def judge(replies: Sequence[Reply], *, size: int, outlier: float, usual: Sequence[float]) -> dict[str, str]:
    """Which clients are left out of a round, and why.

    Args:
        replies: the answers.
        size: numbers that an update must have.
        outlier: how many times the usual norm is too much; 0 compares nothing.
        usual: norms of the updates that were taken in the round before.
    """
    reasons = {reply.client: reply.reason or _alone(reply, size) for reply in replies}
    if outlier:
        good = {reply.client: _delta(reply) for reply in replies if not reasons[reply.client]}
        reasons |= _beside(good, outlier, usual)
    return {client: reason for client, reason in reasons.items() if reason}


def _delta(reply: Reply) -> np.ndarray:
    assert reply.update is not None and reply.update.delta is not None
    return reply.update.delta


def _alone(reply: Reply, size: int) -> str:
    if reply.update is None:
        return _(LOST)
    delta = reply.update.delta
    if delta is None:
        return ""
    if delta.shape != (size,):
        return _(WRONG_SIZE).format(given=delta.size, wanted=size)
    return "" if bool(np.isfinite(delta).all()) and reply.update.tokens > 0 else _(NOT_FINITE)


def _beside(good: dict[str, np.ndarray], outlier: float, usual: Sequence[float]) -> dict[str, str]:
    """Updates much larger than the lower median of norms, and those turned against the sum of the others."""
    norms = {client: norm_of(delta) for client, delta in good.items()}
    pool = sorted([*norms.values(), *usual])
    median = pool[(len(pool) - 1) // 2] if pool else 0.0
    found = {
        client: _(TOO_LARGE).format(times=norm / median)
        for client, norm in norms.items()
        if median and norm > outlier * median
    }
    # as directions: how large another one is must not decide who is turned against whom
    units = {client: good[client].astype(np.float64) / norm for client, norm in norms.items() if norm}
    return found | _turned({client: unit for client, unit in units.items() if client not in found})


def _turned(units: dict[str, np.ndarray]) -> dict[str, str]:
    """The most turned against the others is left out first: beside it an honest one looks turned too."""
    found: dict[str, str] = {}
    while len(units) >= COMPARED:
        total = np.sum(list(units.values()), axis=0)
        cosines = {client: _cosine(unit, total - unit) for client, unit in units.items()}
        worst = min(cosines, key=lambda client: (cosines[client], client))
        if cosines[worst] >= AGAINST:
            break
        found[worst] = _(TURNED).format(cosine=cosines[worst])
        del units[worst]
    return found


def _cosine(unit: np.ndarray, others: np.ndarray) -> float:
    return float(unit @ others) / max(1e-30, float(np.linalg.norm(others)))


def weights_of(updates: Sequence[Update], *, equal: int | None) -> list[float]:
    """The share of each update in the mean.

    Args:
        updates: those that are taken.
        equal: None weighs by tokens; a number of clients gives each one by that number, whoever is missing, as the
            bound on what one client may change must not depend on the others.
    """
    if equal is not None:
        return [1 / equal for _update in updates]
    total = sum(update.tokens for update in updates)
    return [update.tokens / total for update in updates]
