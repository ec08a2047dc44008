"""History: the counts of served traffic by model, language and day, as the clocks read them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from buril.code.tokenbag import BINS, I64
from buril.code.traffic import DAY_S, HOUR_S, Counts, Line, read_traffic
from buril.core.errors import BurilError
from buril.monitor.statistics import F64

ALL = ""
"""The language that stands for all of them together."""


class History:
    """Counts by day and by hour. A day is a number: whole days since the epoch, in UTC."""

    def __init__(self, lines: Iterable[Line]) -> None:
        self._days: dict[tuple[str, str], dict[int, Counts]] = {}
        self._hours: dict[str, dict[int, Counter[str]]] = {}
        for line in lines:
            for language in (line.key.language, ALL):
                days = self._days.setdefault((line.key.model, language), {})
                days.setdefault(line.start // DAY_S, Counts()).add(line.counts)
            hours = self._hours.setdefault(line.key.model, {})
            hours.setdefault(line.start // HOUR_S, Counter()).update(line.counts.numbers)

    @classmethod
    def read(cls, folder: Path, *, since: float = 0.0, until: float = float("inf")) -> History:
        """The history in a folder.

        Raises:
            BurilError: V400 when there is no traffic in it.
        """
        history = cls(read_traffic(folder, since=since, until=until))
        if not history._days:
            raise BurilError("V400", path=folder)
        return history

    def models(self) -> list[str]:
        """Digests of the models that were served, the one that began last first."""
        first = {model: min(days) for (model, language), days in self._days.items() if language == ALL}
        return sorted(first, key=lambda model: (first[model], self.days(model)[-1]), reverse=True)

    def languages(self, model: str) -> list[str]:
        """The languages that a model was asked for."""
        return sorted(language for found, language in self._days if found == model and language != ALL)

    def days(self, model: str, language: str = ALL) -> list[int]:
        """The days on which it was asked."""
        return sorted(self._days.get((model, language), {}))

    def last_day(self) -> int:
        """The last day of all."""
        return max(max(days) for days in self._days.values())

    def counts(self, model: str, language: str, days: Iterable[int]) -> Counts:
        """The sum of some days."""
        total, found = Counts(), self._days.get((model, language), {})
        for day in days:
            if day in found:
                total.add(found[day])
        return total

    def histogram(self, model: str, language: str, name: str, days: Iterable[int]) -> F64:
        """A histogram (D, B), one row a day."""
        found = self._days.get((model, language), {})
        rows = [found[day].histograms.get(name, Counter()) if day in found else Counter() for day in days]
        width = max((max(row) for row in rows if row), default=0) + 1
        return np.array([[row[place] for place in range(width)] for row in rows], np.float64).reshape(len(rows), width)

    def numbers(self, model: str, names: tuple[str, ...], hours: Iterable[int]) -> F64:
        """Sums (S) of some numbers, hour by hour."""
        found = self._hours.get(model, {})
        return np.array(
            [sum(found[hour][name] for name in names) if hour in found else 0 for hour in hours], np.float64
        )

    def bag(self, model: str, language: str, kind: str, days: Iterable[int]) -> tuple[I64, int]:
        """The token bag of some days, and how many requests are in it."""
        counts = self.counts(model, language, days)
        return counts.bags.get(kind, np.zeros(BINS, np.int64)), counts.numbers[f"bag.{kind}"]
