"""BLEU-4 of one piece of code against one reference, smoothed for short texts; `buril.code.similarity` computes it."""

from __future__ import annotations

from typing import ClassVar

from buril.code.similarity import bleu
from buril.core.settings import Settings as BaseSettings


class Bleu:
    """From 0 to 1; a suite reports the mean over its texts."""

    version: ClassVar[int] = 1
    share: ClassVar[bool] = False

    class Settings(BaseSettings):
        """There is nothing to set."""

    def __init__(self, settings: Settings | None = None) -> None:
        self.settings = settings or self.Settings()

    def score(self, text: str, reference: str) -> float:
        """BLEU-4 of `text`; 0 where no token is shared."""
        return bleu(text, reference)
