"""Exact match: the text as written is the reference, but for white space at line ends and around it."""

from __future__ import annotations

from typing import ClassVar

from buril.code.similarity import same_text
from buril.core.settings import Settings as BaseSettings


class ExactMatch:
    """1 or 0."""

    version: ClassVar[int] = 1
    share: ClassVar[bool] = True

    class Settings(BaseSettings):
        """There is nothing to set."""

    def __init__(self, settings: Settings | None = None) -> None:
        self.settings = settings or self.Settings()

    def score(self, text: str, reference: str) -> float:
        """Whether the two are equal, white space at line ends and around the whole aside."""
        return float(same_text(text, reference))
