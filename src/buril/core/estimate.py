"""What a stage will cost before it runs: time, memory, disk, energy and money, scaled from what was measured here.

An estimate is an expectation, never a promise: `basis` says where it comes from. A stage that has run on this store
before is scaled from that run (`measured`); one that has not uses the stage's own default rate (`assumed`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

JOULES_PER_KWH = 3.6e6


@dataclass(frozen=True)
class Machine:
    """What an hour on this machine costs; the defaults describe a small CPU machine at a common tariff."""

    watts: float = 65.0
    price_per_kwh: float = 0.15
    price_per_hour: float = 0.0


@dataclass(frozen=True)
class Estimate:
    """Expected cost of one stage. `seconds` of wall time, `*_mb` of 10^6 bytes, `kwh` of energy, `usd` of money."""

    seconds: float
    ram_mb: float = 0.0
    disk_mb: float = 0.0
    gpu_mb: float = 0.0
    basis: Literal["measured", "assumed"] = "assumed"

    def kwh(self, machine: Machine) -> float:
        """Energy at the machine's mean power."""
        return self.seconds * machine.watts / JOULES_PER_KWH

    def usd(self, machine: Machine) -> float:
        """Energy at its tariff plus the machine's rent."""
        return self.kwh(machine) * machine.price_per_kwh + self.seconds / 3600 * machine.price_per_hour

    def __add__(self, other: Estimate) -> Estimate:
        """Costs in sequence: times and disk add, memory is the larger of the two."""
        return Estimate(
            self.seconds + other.seconds,
            max(self.ram_mb, other.ram_mb),
            self.disk_mb + other.disk_mb,
            max(self.gpu_mb, other.gpu_mb),
            "measured" if self.basis == other.basis == "measured" else "assumed",
        )


@dataclass(frozen=True)
class Past:
    """One finished run of a stage: units of work done, and what it took."""

    work: float
    seconds: float
    ram_mb: float
    disk_mb: float
    expected_ram_mb: float = 0.0
    """What was computed before a probe measured `ram_mb`; 0 for a finished run, whose process did more than it."""


def scale(work: float, past: Sequence[Past], assumed: Estimate) -> Estimate:
    """Expected cost of `work` units: the nearest past run scaled linearly, else `assumed` (the stage's own guess).

    The run nearest in size is taken, so that fixed costs of a small run do not blow up the estimate of a large one.
    """
    known = [run for run in past if run.work > 0 and run.seconds > 0]
    if not known or work <= 0:
        return assumed
    near = min(known, key=lambda run: max(run.work, work) / min(run.work, work))
    ratio = work / near.work
    return replace(
        assumed,
        seconds=near.seconds * ratio,
        ram_mb=near.ram_mb or assumed.ram_mb,
        disk_mb=near.disk_mb * ratio,
        basis="measured",
    )
