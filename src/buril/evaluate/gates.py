"""Gates: lines that the evaluation must hold, such as `pass@1: ">= base - 0.02"`; and targets, lines to work towards.

Both are judged when the results are written and recorded in them. Whoever ran the chain then decides to fail on gates;
nothing fails on a target.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from buril.core.errors import BurilError, GateFailed, nearest
from buril.core.plugins import normal

MODELS = ("base", "tuned", "difference")
_WANTED = re.compile(r"\s*(<=|>=|<|>)\s*(base)?\s*([+-]?\s*\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)?\s*\Z")
_HOLDS = {"<=": lambda a, b: a <= b, ">=": lambda a, b: a >= b, "<": lambda a, b: a < b, ">": lambda a, b: a > b}


@dataclass(frozen=True)
class Gate:
    """One line, taken apart: `suite.metric` of `model` against `number`, or against the base's score plus `number`."""

    name: str
    wanted: str
    suite: str
    metric: str
    model: str
    operator: str
    against_base: bool
    number: float

    def judge(self, suites: Mapping[str, Any]) -> dict[str, Any]:
        """The outcome for `results.json`; what could not be measured does not hold."""
        found = suites.get(self.suite, {}).get("metrics", {}).get(self.metric, {})
        value = (found.get(self.model) or {}).get("value")
        base = (found.get("base") or {}).get("value") if self.against_base else 0.0
        held = value is not None and base is not None and bool(_HOLDS[self.operator](value, base + self.number))
        return {
            "gate": self.name,
            "wanted": self.wanted,
            "suite": self.suite,
            "metric": self.metric,
            "model": self.model,
            "value": value,
            "held": held,
        }


TARGETS: dict[str, str] = {"perplexity": "< 4", "pass@10": "> 0.6", "bleu": "> 0.45"}
"""What an adapted model of code is expected to reach where a project names no targets of its own."""


def judge_target(gate: Gate, suites: Mapping[str, Any]) -> dict[str, Any]:
    """The outcome of a target for `results.json`: whether the score reaches it, and whether all of its interval does.

    `met` and `sure` are None where nothing was measured.
    """
    outcome = gate.judge(suites)
    found = suites.get(gate.suite, {}).get("metrics", {}).get(gate.metric, {}).get(gate.model) or {}
    known = outcome["value"] is not None
    base = suites[gate.suite]["metrics"][gate.metric]["base"] if known and gate.against_base else None
    bound = gate.number + (base["value"] if base else 0.0)
    ends = [found[end] for end in ("low", "high") if found.get(end) is not None]
    sure = outcome["held"] and len(ends) == 2 and all(_HOLDS[gate.operator](end, bound) for end in ends)
    return {
        "target": gate.name, "wanted": gate.wanted, "suite": gate.suite, "metric": gate.metric, "model": gate.model,
        "value": outcome["value"], "low": found.get("low"), "high": found.get("high"), "n": found.get("n"),
        "met": outcome["held"] if known else None, "sure": sure if known else None,
    }  # fmt: skip


def parse_targets(given: Mapping[str, str] | None, metrics: Mapping[str, Sequence[str]]) -> list[Gate]:
    """Targets as settings give them, or `TARGETS`; one that several suites measure is one of each of them.

    A metric of chats (`pass@10 chat`) has the target of its plain form.

    Raises:
        BurilError: E003 for a name that no suite measures, E004 for a condition that can't be read; not for `TARGETS`.
    """
    found = []
    for name, wanted in sorted((TARGETS if given is None else given).items()):
        fits = [
            f"{suite}.{metric}" for suite, known in metrics.items() for metric in known
            if name in (metric, metric.removesuffix(" chat"))
        ]  # fmt: skip
        if not fits and given is not None:
            fits = [name]
        found += [_parse(fit, wanted, metrics) for fit in fits]
    return found


def parse_gates(given: Mapping[str, str], metrics: Mapping[str, Sequence[str]]) -> list[Gate]:
    """Gates as settings give them. A name is `[suite.]metric[.model]`; the model is `tuned` where none is named.

    Args:
        given: name → condition, `<= 10` or `>= base - 0.02`.
        metrics: suite → names of its metrics; one that ends with `*` stands for all that begin so.

    Raises:
        BurilError: E003 for a name that fits no metric or several, E004 for a condition that can't be read.
    """
    return [_parse(name, wanted, metrics) for name, wanted in sorted(given.items())]


def _parse(name: str, wanted: str, metrics: Mapping[str, Sequence[str]]) -> Gate:
    path, _dot, last = name.rpartition(".")
    place, model = (path, last) if last in MODELS and path else (name, "tuned")
    known = [(suite, metric) for suite, found in metrics.items() for metric in found]
    suite, dot, metric = place.partition(".")
    names = (place, f"{normal(suite)}{dot}{metric}")  # a suite may be spelt with dashes, as in the list of suites
    fits = [pair for pair in known if pair[1] == place or ".".join(pair) in names]
    fits = fits or [found for pair in known for found in _begun(pair, names)]
    if not fits and place in metrics and place in metrics[place]:
        fits = [(place, place)]
    if len(fits) != 1:
        raise BurilError("E003", name=name, suggestion=nearest(place, [".".join(pair) for pair in known]))
    read = _WANTED.match(wanted)
    if not read or not (read[2] or read[3]):
        raise BurilError("E004", name=name, wanted=wanted)
    number = float((read[3] or "0").replace(" ", ""))
    return Gate(name, wanted.strip(), *fits[0], model, read[1], bool(read[2]), number)


def _begun(pair: tuple[str, str], names: Sequence[str]) -> list[tuple[str, str]]:
    """The suite and the metric that a name means where the suite says only how its metrics begin."""
    suite, begin = pair[0], pair[1].removesuffix("*")
    if begin == pair[1]:
        return []
    found = {name.removeprefix(f"{suite}.") for name in names}
    return [(suite, metric) for metric in sorted(found) if metric.startswith(begin) and metric != begin]


def check(results: Mapping[str, Any]) -> None:
    """Raise for the first gate in `results.json` that did not hold.

    Raises:
        GateFailed: E002.
    """
    for outcome in results["gates"]:
        if not outcome["held"]:
            value = outcome["value"]
            raise GateFailed(
                "E002",
                gate=outcome["gate"],
                wanted=outcome["wanted"],
                model=outcome["model"],
                value="—" if value is None else f"{value:.4g}",
            )
