"""pass@k: the chance that at least one of k samples passes, estimated without bias from n ≥ k samples.

Source: Chen et al., "Evaluating Large Language Models Trained on Code" (2021), equation 1.
"""

from __future__ import annotations

from typing import ClassVar

from buril.core.settings import Settings as BaseSettings


class PassAtK:
    """1 − C(n−c, k) / C(n, k), as a product that neither overflows nor cancels."""

    version: ClassVar[int] = 1

    class Settings(BaseSettings):
        """There is nothing to set."""

    def __init__(self, settings: Settings | None = None) -> None:
        self.settings = settings or self.Settings()

    def score(self, num_samples: int, num_passed: int, k: int) -> float:
        """pass@k of one task.

        Example:
            `PassAtK().score(10, 3, 1)` is 0.3.
        """
        assert 0 <= num_passed <= num_samples and 1 <= k <= num_samples
        if num_samples - num_passed < k:
            return 1.0
        miss = 1.0
        for i in range(num_samples - num_passed + 1, num_samples + 1):
            miss *= 1.0 - k / i
        return 1.0 - miss
