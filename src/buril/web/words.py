"""How the pages say numbers: grouped digits, sizes, durations, intervals and verdicts, in the language in force.

Every function takes a plain value and returns text; `None` becomes an en dash, so that a missing value is seen.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from buril.core.text import N_, _, language

NOTHING = "–"
SPACE = "\u00a0"
THIN = "\u202f"
"""Narrow no-break space: between a number and its unit, and between groups of digits in Spanish."""

STATUS = {
    "run": N_("run"),
    "reused": N_("reused"),
    "failed": N_("failed"),
    "stopped": N_("not finished"),
    "made": N_("made"),
}
"""What happened to a stage in the run that the page is about; `made` when no run is at hand."""

VERDICTS = {
    "better": N_("better"),
    "worse": N_("worse"),
    "changed": N_("changed"),
    "none": N_("no measurable difference"),
    "unknown": N_("not compared"),
}
"""How base and tuned compare; `changed` where it is not known which direction is good."""

METHODS = {
    "lora": N_("LoRA"),
    "qlora": N_("QLoRA"),
    "full": N_("full training"),
    "scratch": N_("training from scratch"),
}
"""How methods of training are usually written."""

METRICS = {
    "perplexity": N_("Perplexity on held-out code"),
    "bits_per_byte": N_("Bits per byte of held-out code"),
    "pass@1": N_("Tasks solved at the first attempt"),
    "tests@1": N_("Tests of a task passed at the first attempt"),
    "insecure_rate": N_("Completions with a security finding"),
    "exact_match": N_("Held-out code written exactly as it stands"),
    "edit_similarity": N_("Edit similarity to the held-out code"),
    "bleu": N_("BLEU of completions against the held-out code"),
}
"""Plain words for the metrics that a reader meets in the headline; others keep their own name."""


def number(value: float | None, digits: int | None = None) -> str:
    """A number with grouped digits.

    Args:
        value: what to write.
        digits: digits after the decimal mark; by default none for whole numbers and three significant ones else.

    Example:
        `number(41207)` → `41,207` (English), `41 207` (Spanish).
    """
    if value is None or not math.isfinite(value):
        return NOTHING
    if digits is None:
        if 0 < abs(value) < 1e-3:
            return _scientific(value)
        digits = 0 if float(value).is_integer() else _decimals(abs(value))
    text = f"{value:,.{digits}f}".replace("-", "−")
    return _spanish(text) if language() == "es" else text


def _decimals(size: float) -> int:
    """Decimals that keep three significant digits; large numbers lose theirs."""
    return 0 if size >= 100 else 2 - math.floor(math.log10(size))


def _scientific(value: float) -> str:
    mantissa, exponent = f"{value:.2e}".split("e")
    mantissa = mantissa.rstrip("0").rstrip(".")
    mark = "," if language() == "es" else "."
    return f"{mantissa.replace('.', mark).replace('-', '−')}·10{_superscript(int(exponent))}"


def _superscript(power: int) -> str:
    return str(power).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))


def _spanish(text: str) -> str:
    """Decimal comma; groups apart by a thin space, from five digits on (as the Academy writes them)."""
    whole, _dot, decimals = text.partition(".")
    groups = whole.split(",")
    joined = "".join(groups) if len("".join(groups).lstrip("−")) < 5 else THIN.join(groups)
    return f"{joined},{decimals}" if decimals else joined


def ticks(values: Sequence[float]) -> list[str]:
    """The round numbers of an axis, all with as many decimals as the one that has most."""
    largest = max(map(abs, values), default=0.0)
    if 0 < largest < 1e-3:
        power = math.floor(math.log10(largest))
        return [f"{text}·10{_superscript(power)}" if value else "0" for value, text in
                zip(values, ticks([value / 10**power for value in values]), strict=True)]  # fmt: skip
    decimals = max((len(f"{value:.6f}".rstrip("0").partition(".")[2]) for value in values), default=0)
    return [number(value, decimals) for value in values]


def percent_ticks(values: Sequence[float]) -> list[str]:
    """The shares of an axis as whole percentages."""
    return [percent(value, 0) for value in values]


def percent(share: float | None, digits: int = 1) -> str:
    """A share of one as a percentage: `0.421` → `42.1 %`."""
    return NOTHING if share is None else f"{number(share * 100, digits)}{THIN}%"


def size(num_bytes: float | None) -> str:
    """Bytes in decimal units: `12,3 MB` is 12.3 · 10⁶ bytes."""
    if num_bytes is None:
        return NOTHING
    for unit, scale in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if num_bytes >= scale:
            return f"{number(num_bytes / scale, 1)}{THIN}{unit}"
    return f"{number(num_bytes, 0)}{THIN}B"


def duration(seconds: float | None) -> str:
    """Seconds as a person says them: `12 ms`, `0.8 s`, `3 min 52 s`, `2 h 05 min`."""
    if seconds is None:
        return NOTHING
    if 0 < seconds < 0.0995:
        return f"{number(seconds * 1000, 0)}{THIN}ms"
    if seconds < 59.5:
        return f"{number(seconds, 0 if seconds >= 10 else 1)}{THIN}s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes}{THIN}min {rest:02d}{THIN}s"
    return f"{number(minutes // 60)}{THIN}h {minutes % 60:02d}{THIN}min"


def energy(kwh: float) -> str:
    """Energy in Wh below one kWh, else in kWh."""
    return f"{number(kwh, 2)}{THIN}kWh" if kwh >= 1 else f"{number(kwh * 1000, 1)}{THIN}Wh"


def short(digest: str) -> str:
    """The first twelve digits of a key or digest: how the store names it."""
    return digest[:12] or NOTHING


def quantity(value: float | None, unit: str) -> str:
    """A measured value: a percentage where `unit` is `share`, else a number."""
    return percent(value) if unit == "share" else number(value)


def points(value: float | None, unit: str) -> str:
    """A difference, with its sign; of shares in percentage points."""
    if value is None:
        return NOTHING
    sign = "+" if value > 0 else ""
    return f"{sign}{number(value * 100, 1)}{THIN}{_('pp')}" if unit == "share" else f"{sign}{number(value)}"


def interval(low: float | None, high: float | None, unit: str) -> str:
    """An interval of values as `6.02 to 6.31`, or a dash where there is none."""
    if low is None or high is None:
        return NOTHING
    first = number(low * 100, 1) if unit == "share" else number(low)
    return _("{low} to {high}").format(low=first, high=quantity(high, unit)).replace(" ", SPACE)


def change(low: float | None, high: float | None, unit: str) -> str:
    """An interval of differences as `−2.5 to −2.1`, signs written; a dash where there is none."""
    if low is None or high is None:
        return NOTHING
    first = points(low, unit).removesuffix(f"{THIN}{_('pp')}")
    return _("{low} to {high}").format(low=first, high=points(high, unit)).replace(" ", SPACE)


def metric_name(metric: str) -> str:
    """Plain words for a metric, or its own name."""
    return _(METRICS[metric]) if metric in METRICS else metric


def method(name: str) -> str:
    """How a method of training is usually written, or its own name."""
    return _(METHODS[name]) if name in METHODS else name


def verdict(name: str) -> str:
    """The words of a verdict (a key of `VERDICTS`)."""
    return _(VERDICTS[name])


def status(name: str) -> str:
    """The words of a stage's status (a key of `STATUS`)."""
    return _(STATUS[name])
