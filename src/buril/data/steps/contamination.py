"""Decontamination: files that hold tasks of an evaluation set, so that no model is tested on what it learnt."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from pydantic import Field

from buril.code.codefile import CodeFile, Verdict
from buril.code.tasktexts import Finder, digests, tasks_of
from buril.core.settings import Settings as BaseSettings
from buril.data.step import Shared, Step


class Contamination(Step):
    """Refuses files in which an evaluation task stands, whole or in large part, wherever in the file.

    Compared are word n-grams (tokens as in dedup): a text counts as contained by the share of its different 10-grams
    that stand in the file (`buril.code.tasktexts` says where the 10 is from). A whole function of 5 to 9 words counts
    when all its 5-grams do; shorter ones, and short bodies, are found with their prompt. A file twenty times as long as
    the task is found all the same, which similarity of whole files can't do; a task with some lines changed is found
    down to the threshold. What it does not do: see through renamed identifiers or other languages.
    """

    version: ClassVar[int] = 1

    class Settings(BaseSettings):
        """What to compare with."""

        shorthand: ClassVar[str | None] = "against"

        against: tuple[str, ...] = Field(min_length=1)
        """Evaluation files (.jsonl, .jsonl.gz, .json, .parquet) or folders of them; their bytes are part of the
        identity."""
        threshold: float = Field(0.5, gt=0, le=1)
        """Share of a text's 10-grams from which a file counts as contaminated; half is a function with some lines
        changed, and more than what unrelated code shares by chance."""

        def identity(self) -> dict[str, Any]:
            """The settings, with the digests of the files instead of their paths."""
            return {**super().identity(), "against": list(digests(self.against))}

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self._tasks = tasks_of(settings.against, digests(settings.against))
        self._finder = Finder(self._tasks)

    def apply(self, file: CodeFile, shared: Shared) -> None:
        """Signal `contamination`: the largest share of a task's n-grams that stands in the file (0 to 1)."""
        share, task = 0.0, ""
        share_X = self._finder.shares(shared.source)
        if share_X is not None:
            place = int(np.argmax(share_X))
            share, task = float(share_X[place]), self._tasks.task[place]
        file.signals["contamination"] = round(share, 4)
        if share >= self.settings.threshold:
            file.verdicts.append(Verdict("contamination", "contaminated", f"{task} ({share:.2f})"))
