"""Seen: which tasks of a suite stand in what the model was trained on, and in which row.

What a base model has learnt before nobody can say. What was learnt here stands in the split's training part, row by
row, so for that it is no guess. Compared are word n-grams, as in the step `contamination`, which keeps such rows out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from buril.code.codefile import read_rows
from buril.code.tasktexts import Finder, index_of
from buril.core.artifact import Artifact

THRESHOLD = 0.5
"""Share of a text's n-grams from which it counts as seen: a function with some lines changed."""


@dataclass(frozen=True)
class Sighting:
    """Where most of a task stands: the share of its n-grams, and the training row with its place."""

    share: float
    row: str
    repo: str
    path: str
    license: str


def seen(texts: Mapping[str, Sequence[str]], split: Artifact) -> dict[str, Sighting]:
    """The tasks that stand in the training part, whole or in large part.

    Args:
        texts: task → its texts, the last of which is the whole of it; a task is seen when one of them is.
        split: the artifact whose training rows are looked through.
    """
    owners: dict[str, list[str]] = {}
    for task, its in texts.items():
        for text in its:
            owners.setdefault(text, []).append(task)
    # a text may be that of several tasks (one told in two ways): it is looked for once
    keys = {text: str(number) for number, text in enumerate(owners)}
    index = index_of(keys, {its[-1] for its in texts.values() if its})
    if index is None:
        return {}
    its_tasks = list(owners.values())
    tasks_X = [its_tasks[int(number)] for number in index.task]
    finder, found = Finder(index), dict[str, Sighting]()
    for path in split.files("train/*.parquet"):
        for row in read_rows(path):
            share_X = finder.shares(row.content.encode("utf-8", "replace"))
            if share_X is None:
                continue
            for place in np.flatnonzero(share_X >= THRESHOLD).tolist():
                share = round(float(share_X[place]), 4)
                for task in tasks_X[place]:
                    if task not in found or share > found[task].share:
                        found[task] = Sighting(share, row.row_id, row.repo, row.path, row.license or "")
    return found
