"""How patient a source is with a server, and what a value that stands in an environment variable is."""

from __future__ import annotations

import hashlib
import os

from pydantic import Field

from buril.core.errors import BurilError
from buril.core.settings import Settings as BaseSettings

LONGEST_DELAY_S = 60.0


class Patience(BaseSettings):
    """Timeouts and retries. They change how long a run takes, not what comes out."""

    timeout_s: float = Field(default=30.0, gt=0)
    """Seconds without an answer, or at less than 1 kB/s, after which a request counts as failed."""
    attempts: int = Field(default=5, ge=1)
    """How often a request is sent at most when connections break, time out, or the server has an error."""
    backoff_s: float = Field(default=0.5, ge=0)
    """Seconds before the second attempt; doubled for each one after it, 60 at most."""
    max_wait_s: float = Field(default=900.0, ge=0)
    """The longest wait for a rate limit, in seconds. A longer one ends the run with an error; the next run goes on.
    GitHub's limits run by the hour, so 3600 waits for any of them."""

    def delay(self, url: str, attempt: int) -> float:
        """Seconds before another attempt: doubling, capped, spread by a hash so that many don't come back at once.

        Example:
            `Patience().delay("https://example.org/a", 1)` is between 0.25 and 0.5
        """
        spread = hashlib.blake2b(f"{url}\0{attempt}".encode(), digest_size=2).digest()
        share = 0.5 + int.from_bytes(spread, "big") / 131072
        return min(LONGEST_DELAY_S, self.backoff_s * 2.0 ** (attempt - 1)) * share


def secret(reference: str) -> str:
    """The value of the environment variable that `env:NAME` names; "" for no reference. Never store the result.

    Raises:
        BurilError: D036 when it is no reference, or the variable is not set.
    """
    if not reference:
        return ""
    value = os.environ.get(reference.removeprefix("env:"), "") if reference.startswith("env:") else ""
    if not value:
        shown = reference if reference.startswith("env:") else "…"
        raise BurilError("D036", reference=shown)
    return value
