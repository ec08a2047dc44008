"""What a federated training can be told. Nothing here loads torch."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import Field, model_validator

from buril.core.errors import BurilError
from buril.core.settings import Settings as BaseSettings
from buril.core.settings import runtime

Average = Literal["b", "product"]
LOOPBACK = ("localhost", "127.0.0.1", "::1", "[::1]")
SECURE_CLIENTS = 3
"""Fewest clients of a secure sum: of two, each knows what the other sent."""


class Privacy(BaseSettings):
    """Differential privacy for each client as a whole: nobody can tell from the model whether a client took part.

    Every update is scaled down to a norm of `clip` at most, and Gaussian noise of deviation `noise` times `clip` is
    added to their sum (McMahan et al. 2018, arXiv 1710.06963). All clients then count the same.
    """

    clip: float | None = Field(None, gt=0)
    """Largest norm of a client's update, in units of the adapter's numbers; `contributions.parquet` of a run without
    privacy shows what norms there are."""
    noise: float | None = Field(None, gt=0)
    """Deviation of the noise on the sum of the updates, as a multiple of `clip`. 1 and more protect, and need dozens of
    clients before the model still learns."""
    delta: float = Field(1e-5, gt=0, lt=1)
    """The chance for which ε need not hold; well below one by the number of clients."""

    @model_validator(mode="after")
    def _whole(self) -> Privacy:
        """Noise protects nothing without a bound on what it hides, and a bound alone is no privacy."""
        if self.clip is None or self.noise is None:
            raise BurilError("T171", missing="clip" if self.clip is None else "noise")
        return self


class Tls(BaseSettings):
    """The server's certificate, so that clients know whom they talk to and nobody reads along."""

    certificate: Path
    """The server's certificate as PEM, with the names or addresses that clients call it by."""
    key: Path
    """Its private key as PEM."""
    ca: Path
    """The certificate of who signed it, as PEM; clients get this file: `buril join --ca FILE`."""


class Federated(BaseSettings):
    """How clients train together. `epochs` and `max_steps` of the stage count for each client, all rounds together."""

    rounds: int = Field(5, ge=1)
    """Times that the clients' updates are averaged. More rounds stay nearer to training on all data at one place; each
    costs sending the adapter to every client and back."""
    clients: int = Field(3, ge=1)
    """Clients of the federation: those that are waited for, or how many a simulation divides the data among."""
    min_clients: int | None = Field(None, ge=1)
    """Updates without which a round is not averaged; None means all clients. Fewer let a client fall out."""
    strategy: Literal["fedavg", "fedprox"] = "fedavg"
    """`fedavg` is the mean of the updates, weighted by tokens (McMahan et al. 2017). `fedprox` also holds each client's
    weights near the common ones (Li et al. 2020, arXiv 1812.06127), for data that differ much."""
    mu: float = Field(0.01, ge=0)
    """How strongly `fedprox` holds: each gradient gets mu times the distance from the common weights."""
    local_steps: int | None = Field(None, ge=1)
    """Steps of a client in a round; None means the stage's epochs or steps divided by the rounds."""
    average: Average = "b"
    """How adapters are averaged: `b` fixes the first matrix of each, the same for all, and averages the second, which
    is exact (FFA-LoRA: Sun et al. 2024, arXiv 2403.12313); `product` trains both and takes the nearest matrices of the
    same rank to the mean of their products. Averaging the two apart would give something else than the mean."""
    secure: bool = False
    """Whether the server gets to know the sum of the updates only (SecAgg+, Bell et al. 2020), not each of them."""
    privacy: Privacy | None = None
    """Differential privacy; None leaves it out."""
    outlier: float = Field(5.0, ge=0)
    """An update is left out when its norm is more than so many times the usual one; 0 leaves none out for that. Under
    `secure` and `privacy` clients' updates are not compared."""
    listen: str | None = runtime(None)
    """Where clients are waited for, as HOST:PORT. None simulates them all on this machine, with the training data
    divided by repository."""
    tls: Tls | None = runtime(None)
    """The server's certificate; needed wherever others than this machine can reach the address."""
    secret: str | None = runtime(None, pattern=r"^env:\w+$")
    """What a client must know to take part, as `env:NAME`; never the secret itself."""
    timeout_s: float = runtime(3600.0, gt=0)
    """Seconds that clients are waited for: to come, and to answer in a round. A client that is late is left out of the
    round."""

    @model_validator(mode="after")
    def _fits(self) -> Federated:
        """Refuse what can't work or would not protect."""
        if self.min_clients is not None and self.min_clients > self.clients:
            raise BurilError("T172", least=self.min_clients, clients=self.clients)
        if self.average == "product" and (self.secure or self.privacy):
            raise BurilError("T173", setting="secure" if self.secure else "privacy")
        if self.secure and self.least < SECURE_CLIENTS:
            raise BurilError("T174", least=SECURE_CLIENTS, given=self.least)
        host = self.listen.rpartition(":")[0] if self.listen else LOOPBACK[0]
        if self.tls is None and host not in LOOPBACK:
            raise BurilError("T175", address=self.listen)
        return self

    @property
    def least(self) -> int:
        """Updates without which a round is not averaged."""
        return self.clients if self.min_clients is None else self.min_clients

    @property
    def open(self) -> bool:
        """Whether the bytes depend on who takes part, or on noise that nobody can draw again."""
        return self.listen is not None or self.secure or self.privacy is not None

    @property
    def pull(self) -> float:
        """What FedProx multiplies the distance from the common weights with; 0 for FedAvg."""
        return self.mu if self.strategy == "fedprox" else 0.0


def check_goes_with(settings: Any) -> None:
    """Refuse settings of the stage that a federated training can't follow.

    Args:
        settings: of the stage `train`.

    Raises:
        BurilError: T170.
    """
    refused = (
        ("method", settings.method.name not in ("lora", "qlora")),
        ("method.dora", getattr(settings.method.settings, "dora", False)),
        ("minutes", settings.minutes is not None),
        ("ema", settings.ema > 0),
        ("parallel", settings.parallel.processes > 1 or settings.parallel.split),
    )
    for name, wrong in refused:
        if wrong:
            raise BurilError("T170", setting=name)
