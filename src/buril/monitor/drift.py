"""Drift: a look at the traffic of one model, as readings and alerts that name the model and the data it learnt from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from buril.code.traffic import DAY_S
from buril.core.artifact import Artifact
from buril.core.errors import BurilError
from buril.core.store import Store
from buril.core.text import N_, _
from buril.monitor.champion import model_of
from buril.monitor.clocks import MAX_DAYS, Reading, Watched, ask_all
from buril.monitor.history import ALL, History
from buril.monitor.reference import Reference

FORMAT = 1
ALPHA = 0.01
TITLES: dict[str, str] = {
    "tokens": N_("prompts against the training set"),
    "tokens-days": N_("prompts against earlier days"),
    "languages": N_("shares of the languages"),
    "logprob": N_("mean log-probability of answers"),
    "parse-errors": N_("parse errors in answers"),
    "acceptance": N_("acceptance"),
    "persistence": N_("persistence of what was accepted"),
    "findings": N_("findings in accepted lines"),
    "latency": N_("latency against the model before"),
}
ADVICE: dict[str, str] = {
    "tokens": N_("people ask about code that is unlike the training set: add those repositories, then `buril refresh`"),
    "tokens-days": N_("the prompts have changed: see what came new (repository, framework), then `buril refresh`"),
    "languages": N_("other languages are asked for than before: see whether the model learnt them (`buril data`)"),
    "logprob": N_("the model is surer or less sure of its answers: evaluate it on recent code, then `buril refresh`"),
    "parse-errors": N_("answers break more files: look at the stop rules and the template before the model"),
    "acceptance": N_("people accept less: compare with the model before; `buril refresh --rollback` brings it back"),
    "persistence": N_("people undo what they accepted: look at findings and parse errors before training again"),
    "findings": N_("accepted code holds more weaknesses: set guards to refuse, and align on pairs of these findings"),
    "latency": N_("it answers more slowly than the model before: look at load, engine and cache"),
}


@dataclass(frozen=True)
class Drift:
    """What a look found. Times are in seconds since the epoch; digests are "" where they are not known.

    Attributes:
        model: digest of the model that is looked at.
        before: digest of the model that was served before it.
        dataset: digest of the data that the model learnt from.
        reference: digest of the artifact that describes those data.
        since: begin of the window.
        until: end of the window.
        alpha: the chance of a false alarm of all questions together, a day.
        requests: in the window.
        readings: one a question.
        course: day by day, by name: what the page draws.
    """

    model: str
    before: str
    dataset: str
    reference: str
    since: float
    until: float
    alpha: float
    requests: int
    readings: tuple[Reading, ...]
    course: dict[str, list[tuple[float, float]]]

    @property
    def alerts(self) -> list[Reading]:
        """The readings that are above their limits."""
        return [reading for reading in self.readings if reading.state == "drift"]

    def plain(self) -> dict[str, Any]:
        """As JSON, each alert with what to do."""
        told = {**asdict(self), "format": FORMAT, "readings": [asdict(reading) for reading in self.readings]}
        told["alerts"] = [
            {**asdict(alert), "dataset": self.dataset, "advice": _(ADVICE[alert.clock])} for alert in self.alerts
        ]
        return told


@dataclass(frozen=True)
class How:
    """How a look is taken.

    Attributes:
        model: beginning of the digest of a model; by default the one that began to be served last.
        days: length of the window.
        alpha: the chance of a false alarm a day, of all questions together.
        way: whether a day's requests come from a few repositories or each from another (`file`).
        until: the window ends with the day before this time; by default with the last day that has traffic.
    """

    model: str = ""
    days: int = 1
    alpha: float = ALPHA
    way: str = "repository"
    until: float | None = None


def look(traffic: Path, find: Callable[[str], Artifact | None], how: How = How()) -> Drift:
    """Ask all clocks about the traffic in a folder.

    Args:
        traffic: where the server writes its counts.
        find: gives the reference of the data that a model learnt from, by the model's digest; None where there is none.
        how: what is looked at.

    Raises:
        BurilError: V400 without traffic, V401 for a model that was not served, S002 for a reference that can't be read.
    """
    history = History.read(traffic, until=how.until if how.until is not None else float("inf"))
    model, before = models_of(history, how.model)
    reference = find(model)
    try:
        known = Reference(reference) if reference else None
    except (OSError, ValueError, KeyError, TypeError) as problem:
        raise BurilError("S002", path=reference.folder if reference else "", problem=problem) from problem
    last = history.days(model)[-1] if how.until is None else int(how.until // DAY_S) - 1
    watched = Watched(history, model, before, known, how.days, how.way)
    window = range(last - how.days + 1, last + 1)
    return Drift(
        model, before or "", known.dataset if known else "", known.digest if known else "",
        float(window[0] * DAY_S), float((last + 1) * DAY_S), how.alpha,
        history.counts(model, ALL, window).numbers["requests"], tuple(ask_all(watched, last, how.alpha)),
        _course(history, model, last),
    )  # fmt: skip


def models_of(history: History, wanted: str) -> tuple[str, str | None]:
    """The model that is looked at, and the one that was served before it."""
    models = history.models()
    fits = [model for model in models if model.startswith(wanted)]
    if not fits:
        raise BurilError("V401", model=wanted, known=", ".join(model[:12] for model in models))
    rest = models[models.index(fits[0]) + 1 :]
    return fits[0], rest[0] if rest else None


def _course(history: History, model: str, last: int) -> dict[str, list[tuple[float, float]]]:
    """Rates of the last four weeks, day by day."""
    found: dict[str, list[tuple[float, float]]] = {"requests": [], "acceptance": [], "findings": [], "latency_ms": []}
    for day in (day for day in history.days(model) if last - MAX_DAYS < day <= last):
        numbers = history.counts(model, ALL, [day]).numbers
        taken = numbers["accepted"] + numbers["partial"]
        rates = {
            "requests": (numbers["requests"], 1),
            "acceptance": (taken, numbers["shown"]),
            "findings": (1000 * numbers["accepted_findings"], numbers["accepted_lines"]),
            "latency_ms": (numbers["latency_ms"], numbers["requests"]),
        }
        for name, (above, below) in rates.items():
            if below:
                found[name].append((float(day * DAY_S), above / below))
    return found


def reference_of(store: Store, model: str) -> Artifact | None:
    """The reference of the data that a model of a store learnt from; None where the store knows of none.

    Args:
        store: where its chain was run.
        model: its digest, or the beginning of it.
    """
    for links in store.refs().values():
        if "monitor" in links and model_of(links).startswith(model):
            return store.linked(links["monitor"])
    return None
