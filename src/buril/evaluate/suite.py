"""Suite: one kind of examination of a model. It gets a generator and the held-out data, and gives measures and samples.

A measure keeps a numerator and a denominator for every unit (file, function, task), not just the score: so intervals
and paired differences between two models are computed in one place, the same way for every suite.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar, Literal, Protocol

from buril.code.codefile import CodeFile, read_rows
from buril.core.artifact import Artifact
from buril.evaluate.interval import Difference, Interval, Transform, bootstrap, paired_bootstrap, paired_shares, wilson
from buril.generators._generator import Generator, Request
from buril.sandboxes._sandbox import Sandbox

Better = Literal["higher", "lower"]


@dataclass
class Measure:
    """A score by units. The score is sum(numerators) / sum(denominators), and e to that for `exp`.

    `share` says that each unit is 0 or 1 out of 1: then the interval is Wilson's, that of a difference Agresti's
    and Min's, and the test McNemar's.
    """

    kind: Literal["share", "ratio", "exp"]
    better: Better
    units: list[str] = field(default_factory=list)
    numerators: list[float] = field(default_factory=list)
    denominators: list[float] = field(default_factory=list)

    def add(self, unit: str, numerator: float, denominator: float = 1.0) -> None:
        """Add one unit."""
        self.units.append(unit)
        self.numerators.append(float(numerator))
        self.denominators.append(float(denominator))

    def interval(self, seed: int) -> Interval | None:
        """The score with its interval; None over no units."""
        if not self.units or sum(self.denominators) <= 0:
            return None
        if self.kind == "share":
            return wilson(sum(self.numerators), len(self.units))
        return bootstrap(self.numerators, self.denominators, seed=seed, transform=self._transform())

    def difference(self, other: Measure, seed: int) -> Difference | None:
        """`other` minus this, over the units both have; None when they share none."""
        places = {unit: index for index, unit in enumerate(other.units)}
        pairs = [(index, places[unit]) for index, unit in enumerate(self.units) if unit in places]
        if not pairs:
            return None
        first = ([self.numerators[i] for i, _ in pairs], [self.denominators[i] for i, _ in pairs])
        second = ([other.numerators[j] for _, j in pairs], [other.denominators[j] for _, j in pairs])
        if self.kind != "share":
            return paired_bootstrap(first, second, seed=seed, transform=self._transform())
        split = list(zip(first[0], second[0], strict=True))
        return paired_shares(sum(a > b for a, b in split), sum(b > a for a, b in split), len(split))

    def without(self, tasks: Collection[str]) -> Measure:
        """The same without the units of some tasks; a unit's name begins with its task's, up to a colon."""
        kept = [place for place, unit in enumerate(self.units) if unit.partition(":")[0] not in tasks]
        return Measure(
            self.kind, self.better, [self.units[place] for place in kept],
            [self.numerators[place] for place in kept], [self.denominators[place] for place in kept],
        )  # fmt: skip

    def _transform(self) -> Transform | None:
        import numpy as np

        return np.exp if self.kind == "exp" else None


@dataclass
class SuiteResult:
    """What a suite found for one model. `samples` are plain JSON rows.

    `by_language` holds the same measures split by language, `by` by other groups: `by["repo"]["acme/tool"]`.
    `resources` are rows of what samples took (time, memory): they differ from run to run, so they stand apart.
    """

    measures: dict[str, Measure]
    by_language: dict[str, dict[str, Measure]] = field(default_factory=dict)
    samples: list[dict[str, Any]] = field(default_factory=list)
    resources: list[dict[str, Any]] = field(default_factory=list)
    by: dict[str, dict[str, dict[str, Measure]]] = field(default_factory=dict)

    def tables(self, empty: Callable[[], dict[str, Measure]], **groups: str) -> list[dict[str, Measure]]:
        """The measures that a unit counts in: all, and those of each of its groups (`language`, `repo`, …).

        `empty` makes those of a group that is new.
        """
        found = [self.measures]
        for group, name in groups.items():
            split = self.by_language if group == "language" else self.by.setdefault(group, {})
            found.append(split.setdefault(name or "unknown", empty()))
        return found

    def to_json(self) -> dict[str, Any]:
        """All but the rows, as plain JSON."""
        return {
            "measures": _told(self.measures),
            "by_language": {language: _told(found) for language, found in sorted(self.by_language.items())},
            "by": {
                group: {name: _told(found) for name, found in sorted(split.items())}
                for group, split in sorted(self.by.items())
            },
        }

    @classmethod
    def from_json(cls, raw: dict[str, Any]) -> SuiteResult:
        """What `to_json` gave."""
        return cls(
            _read(raw["measures"]),
            {language: _read(found) for language, found in raw["by_language"].items()},
            by={
                group: {name: _read(found) for name, found in split.items()}
                for group, split in raw.get("by", {}).items()
            },
        )


def _told(measures: dict[str, Measure]) -> dict[str, Any]:
    return {name: asdict(item) for name, item in measures.items()}


def _read(raw: dict[str, Any]) -> dict[str, Measure]:
    return {name: Measure(**item) for name, item in raw.items()}


@dataclass
class SuiteContext:
    """What a suite may use. The generator has its model open; the sandbox is made on first use.

    `max_items` bounds the files, functions or tasks; `max_tokens` one completion; `max_file_tokens` what is scored of
    a file; `max_prompt_bytes` what is shown of a file before a completion.
    """

    generator: Generator
    split: Artifact
    sandbox: Callable[[], Sandbox]
    seed: int = 0
    max_items: int = 200
    max_tokens: int = 192
    max_file_tokens: int = 4096
    max_prompt_bytes: int = 4096
    progress: Callable[[int, int], None] = lambda _done, _total: None
    also: Mapping[str, Artifact] = field(default_factory=dict)
    """What a suite asks for by `needs`, by stage."""

    def test_files(self) -> Iterator[CodeFile]:
        """The rows of the held-out test part, in its order."""
        return self._files("test")

    def train_files(self) -> Iterator[CodeFile]:
        """The rows that the tuned model was trained on, in their order."""
        return self._files("train")

    def _files(self, part: str) -> Iterator[CodeFile]:
        for path in self.split.files(f"{part}/*.parquet"):
            yield from read_rows(path)


class Suite(Protocol):
    """What a plugin of kind `suite` offers.

    It may also have `needs`, the names of stages whose artifacts it reads as `context.also`.
    """

    version: ClassVar[int]

    def metrics(self) -> tuple[str, ...]:
        """The names of the measures it gives; gates refer to them.

        Before `check` a name may end with `*`, for all that begin so.
        """
        ...

    def check(self, context: SuiteContext) -> None:
        """Fail before a model is loaded when the suite can't give a true result; the generator is not open yet."""
        ...

    def run(self, context: SuiteContext) -> SuiteResult:
        """Examine the open model; the same model, settings and data always give the same result."""
        ...


def asked(request: Request, words: str = "") -> dict[str, Any]:
    """What a sample's row says of its request.

    `prompt_hash` (64 bits) is of all that the model was given, token ids where it was ids; two samples with one hash
    were asked the same.

    Args:
        request: what was asked.
        words: what a person reads of it, where the prompt is token ids.
    """
    whole = repr((request.prompt, request.suffix, request.prefill))
    row: dict[str, Any] = {"prompt": request.prompt if isinstance(request.prompt, str) else words}
    if request.suffix is not None:
        row["suffix"] = request.suffix
    if request.prefill:
        row["prefill"] = request.prefill
    return {
        **row, "prompt_hash": hashlib.sha256(whole.encode("utf-8", "surrogatepass")).hexdigest()[:16],
        "seed": request.seed, "temperature": request.temperature,
    }  # fmt: skip


def drawn(name: str, seed: int) -> str:
    """A key to sort by that is as good as chance, the same on every machine: which items a bounded suite takes."""
    return hashlib.blake2b(f"{seed}\0{name}".encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()
