"""What running the pairs adds: proofs, what is dropped because it does something else, and how many of what."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Any, NamedTuple

import pyarrow as pa

from buril.code.codefile import CodeFile, Verdict
from buril.core.stage import Output
from buril.core.text import _
from buril.data._pair_judged import Work, judged, write_judged
from buril.data.behaviour.prove import VERSION, Behaviour, Runner, Shown
from buril.data.pair import Pair

FILE = "behaviour.parquet"
SCHEMA = pa.schema(
    [
        *((name, pa.string()) for name in ("pair_id", "cwe", "source", "scenario", "outcome", "exploit", "reason")),
        ("inputs", pa.int32()),
        ("example", pa.string()),
    ]
)
"""A row a pair that was run: what came of it, on how many inputs, and the input that shows it."""


class Told(NamedTuple):
    """A pair, with its proofs, and what running it showed."""

    pair: Pair
    shown: Shown

    def dropped(self, row: CodeFile, step: str) -> dict[str, Any]:
        """The row of a pair that is no pair, with the input that shows it."""
        reason = "behaves_differently" if self.shown.outcome == "differs" else "still_exploitable"
        detail = f"{self.shown.reason} | {self.shown.example}"
        return row.dropped(step, Verdict(self.pair.source, reason, detail))

    @property
    def false(self) -> bool:
        """Whether the secure text does something else, or has the weakness itself."""
        return self.shown.outcome == "differs" or self.shown.exploit == "still_open"


def by_behaviour(pairs: Sequence[Pair], told: Behaviour, seed: int, out: Output) -> list[Told]:
    """What running the pairs shows, in their order; what is known from before an interruption is not run again."""
    runner = Runner(told, seed, out.scratch / "behaviour")
    work = Work(told.workers, _("pairs run"), "behaviour")
    return [Told(*one) for one in judged(runner, pairs, proofs, work, out)]


def proofs(shown: Shown) -> tuple[str, ...]:
    """The proofs that what was seen amounts to."""
    behaviour = ("behaviour",) if shown.outcome == "equal" else ()
    return (*behaviour, *(("exploit",) if shown.exploit == "told_apart" else ()))


def versions(told: Behaviour | None) -> dict[str, int]:
    """Versions of what pairs are judged by."""
    return {"behaviour": VERSION} if told else {}


def shares(told: Sequence[Told]) -> dict[str, float]:
    """The shares of the pairs that were run that are proved, and that were dropped."""
    if not told:
        return {}
    kinds = Counter(kind for one in told for kind in (one.shown.outcome, one.shown.exploit) if kind)
    names = {"behaviour": "equal", "exploit": "told_apart", "behaves_differently": "differs"}
    return {name: round(kinds[kind] / len(told), 4) for name, kind in names.items()}


def summarised(told: Sequence[Told]) -> dict[str, Any]:
    """How many were run, by what came of them, by weakness and by source; and why what is unproven is."""

    def table(name: str) -> dict[str, dict[str, int]]:
        found: defaultdict[str, Counter[str]] = defaultdict(Counter)
        for one in told:
            found[getattr(one.pair, name)].update(["run", one.shown.outcome, *filter(None, [one.shown.exploit])])
        return {key: dict(counts) for key, counts in sorted(found.items())}

    why = Counter(one.shown.reason for one in told if one.shown.outcome == "unproven")
    return {
        "run": len(told),
        "outcomes": dict(Counter(one.shown.outcome for one in told)),
        "exploits": dict(Counter(one.shown.exploit for one in told if one.shown.exploit)),
        "unproven": dict(why.most_common(20)),
        "by_cwe": table("cwe"),
        "by_source": table("source"),
    }


def write_told(out: Output, told: Sequence[Told]) -> None:
    """Write `behaviour.parquet`: a row a pair, dropped ones too."""
    write_judged(out, FILE, SCHEMA, told)
