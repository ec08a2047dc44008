"""What the tests of repositories add to pairs: proofs, what is dropped because a test fails, and how many of what."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa

from buril.code.codefile import CodeFile, Verdict
from buril.core.stage import Output
from buril.core.text import _
from buril.data._pair_judged import Work, judged, write_judged
from buril.data.pair import Pair
from buril.data.tested.prove import VERSION, OwnTests, Runner, Shown

FILE = "tests.parquet"
SCHEMA = pa.schema(
    [
        *((name, pa.string()) for name in ("pair_id", "cwe", "source", "scenario", "outcome", "reason")),
        ("reached", pa.int32()),
        ("test", pa.string()),
    ]
)
"""A row a pair that was tested: what came of it, how many tests came to the change, and the test that shows it."""


class Tested(NamedTuple):
    """A pair, with its proofs, and what the tests of its repository showed."""

    pair: Pair
    shown: Shown

    def dropped(self, row: CodeFile, step: str) -> dict[str, Any]:
        """The row of a pair whose secure text fails a test, with that test."""
        return row.dropped(step, Verdict(self.pair.source, "fails_a_test", self.shown.test))

    @property
    def false(self) -> bool:
        """Whether a test that passes with the vulnerable text fails with the secure one."""
        return self.shown.outcome == "differs"


def by_tests(pairs: Sequence[Pair], told: OwnTests, repositories: Sequence[Path], out: Output) -> list[Tested]:
    """What the tests show of the pairs, in their order; what is known from before an interruption is not run again."""
    runner = Runner(told, pairs, repositories, out.scratch / "tests")
    work = Work(told.workers, _("pairs tested"), "tests")
    return [Tested(*one) for one in judged(runner, pairs, proofs, work, out)]


def proofs(shown: Shown) -> tuple[str, ...]:
    """The proofs that what was seen amounts to."""
    return ("tests",) if shown.outcome == "same" else ()


def versions(told: OwnTests | None) -> dict[str, int]:
    """Versions of what pairs are judged by."""
    return {"tests": VERSION} if told else {}


def shares(tested: Sequence[Tested]) -> dict[str, float]:
    """The shares of the pairs that were tested that are proved, and that were dropped."""
    if not tested:
        return {}
    kinds: Counter[str] = Counter(one.shown.outcome for one in tested)
    return {
        name: round(kinds[kind] / len(tested), 4) for name, kind in (("tests", "same"), ("fails_a_test", "differs"))
    }


def summarised(tested: Sequence[Tested]) -> dict[str, Any]:
    """How many were tested, by what came of them and by source; and why what is unproven is."""
    by_source: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for one in tested:
        by_source[one.pair.source].update(["tested", one.shown.outcome])
    why = Counter(one.shown.reason for one in tested if one.shown.outcome == "unproven")
    return {
        "tested": len(tested),
        "outcomes": dict(Counter(one.shown.outcome for one in tested)),
        "mended_a_test": sum(one.shown.outcome == "same" and bool(one.shown.test) for one in tested),
        "unproven": dict(why.most_common(20)),
        "by_source": {source: dict(counts) for source, counts in sorted(by_source.items())},
    }


def write_tested(out: Output, tested: Sequence[Tested]) -> None:
    """Write `tests.parquet`: a row a pair, dropped ones too."""
    write_judged(out, FILE, SCHEMA, tested)
