"""Score: suites on generators that need no model of a chain, such as a file of completions or a server; two compare."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from buril.core.artifact import Artifact, Manifest
from buril.core.errors import BurilError
from buril.core.plugins import Ref, plugin, settings_of
from buril.evaluate._once import once
from buril.evaluate._table import table
from buril.evaluate.suite import SuiteContext, SuiteResult
from buril.sandboxes.namespaces import Namespaces

ONE, TWO = ("score",), ("base", "tuned")
"""How one generator is called, and how the first and the second of two are: the second is compared with the first."""
KS = (1, 5, 10, 25, 50, 100)
"""The pass@k that are told where a file has as many completions of every task."""


@dataclass(frozen=True)
class Bounds:
    """What bounds an examination; see `SuiteContext`."""

    max_items: int = 10_000
    max_tokens: int = 512
    seed: int = 0


@dataclass(frozen=True)
class Scored:
    """What suites found: for each the results of the generators, in their order, by the generators' names."""

    generators: dict[str, Ref]
    found: dict[str, dict[str, SuiteResult]]
    seed: int = 0

    def to_json(self) -> dict[str, Any]:
        """Scores with their intervals and the paired differences, in the form of `results.json`."""
        return {
            "suites": {suite: {"metrics": self._table(results)} for suite, results in self.found.items()},
            "generators": {name: ref.identity() for name, ref in self.generators.items()},
        }

    def _table(self, results: dict[str, SuiteResult]) -> dict[str, Any]:
        """The measures that are over something."""
        rows = table({name: result.measures for name, result in results.items()}, self.seed)
        return {metric: row for metric, row in rows.items() if any(row[name] for name in results)}


def score(
    suites: Sequence[Ref], generators: Sequence[Ref], bounds: Bounds = Bounds(), *, sandbox: Ref | None = None
) -> Scored:
    """Examine one or two generators.

    Args:
        suites: the suites; where a file has several completions of every task, those that can also tell pass@k.
        generators: what writes; see `Generator`.
        bounds: of the examination.
        sandbox: what runs programs, `namespaces` where none is named.

    Raises:
        BurilError: E024 for a generator that needs a model of a chain, and what suites and generators raise.
    """
    for ref in generators:
        if not getattr(plugin("generator", ref.name), "remote", False):
            raise BurilError("E024", generator=ref.name)
    named = dict(zip(TWO if len(generators) > 1 else ONE, generators, strict=True))
    samples = min(map(_samples, generators), default=0)
    found: dict[str, dict[str, SuiteResult]] = {}
    with ExitStack() as stack:
        empty = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="buril-score-")))
        split = Artifact(empty, Manifest("split", 1, "0" * 64, "0" * 64, {}, {}, ()))  # for suites that ask for one
        isolation = sandbox or Ref(kind="sandbox", name="namespaces", settings=Namespaces.Settings())
        jail = once(isolation, stack)
        for given in suites:
            ref = _with_samples(given, samples)
            suite = ref.make()
            for name, generator in named.items():
                context = SuiteContext(
                    generator.make(), split, jail, bounds.seed, bounds.max_items, bounds.max_tokens
                )  # fmt: skip
                if ref.name not in found:
                    suite.check(context)
                found.setdefault(ref.name, {})[name] = suite.run(context)
    return Scored(named, found, bounds.seed)


def _samples(ref: Ref) -> int:
    """How many samples besides a greedy one every task of a file has; 0 of what is no file."""
    generator = ref.make()
    counts = []
    for lines in generator.lines().values() if hasattr(generator, "lines") else ():
        greedy = sum(line.greedy for line in lines)
        counts.append(len(lines) - greedy if len(lines) > greedy else len(lines))
    return min(counts, default=0)


def _with_samples(ref: Ref, samples: int) -> Ref:
    """A suite that draws as many samples as there are, unless its settings say otherwise."""
    known = settings_of("suite", ref.name).model_fields
    if samples < 2 or not {"samples", "k"} <= known.keys() or "samples" in ref.settings.model_fields_set:
        return ref
    changed = ref.settings.model_copy(update={"samples": samples, "k": tuple(k for k in KS if k <= samples)})
    return ref.model_copy(update={"settings": changed})
