"""Stage pairs: code with a weakness beside the same code without it, proved, deduplicated, and split by scenario.

Sources propose pairs (`pairing/`). A pair is kept when both texts parse as well as each other, when what its source
claims holds (for a finding in somebody's code: a scanner sees the weakness in one text and not in the other), when no
scanner finds the same weakness in the text that is to be preferred, when its licence is allowed, and when it is neither
a copy of another nor of held-out code nor of a task that models are examined with. Which scenario is held out depends
on its name and the seed alone, so a pair that is added moves no other.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Annotated, Any, ClassVar

from pydantic import Field, model_validator

from buril.code.codefile import CodeFile, Verdict, write_dropped
from buril.code.language import language_of, languages
from buril.core.errors import BurilError
from buril.core.estimate import Estimate
from buril.core.plugins import PluginKind, Ref, plugin
from buril.core.settings import Settings as BaseSettings
from buril.core.stage import Inputs, Metrics, Output, Stage
from buril.core.text import _
from buril.data import _pair_tests as _tests
from buril.data import _scan
from buril.data._pair_behaviour import Told, by_behaviour, shares, summarised, versions, write_told
from buril.data._pair_proof import Prover
from buril.data._pair_tests import Tested, by_tests
from buril.data.augmenter import ORIGINS, Origin, write_origins
from buril.data.behaviour.prove import Behaviour, observed
from buril.data.pair import Pair, Pairing, write_pairs
from buril.data.select import PERMISSIVE
from buril.data.tested.prove import OwnTests
from buril.data.tested.prove import observed as tests_observed

PARTS = ("train", "valid", "test")
SHOWN_CWES = 40


class Pairs(Stage):
    """Finds, makes, proves and splits pairs."""

    name: ClassVar[str] = "pairs"
    version: ClassVar[int] = 2
    small: ClassVar[dict[str, Any]] = {"max_pairs": 64, "max_proposed": 400}

    class Settings(BaseSettings):
        """Where pairs come from, and what they must stand."""

        shorthand: ClassVar[str | None] = "sources"

        sources: Annotated[tuple[Ref, ...], PluginKind("pairing")] = Field(
            default=("templates",), validate_default=True
        )
        """Where pairs come from, such as `[templates, findings, {table: {path: pairs.jsonl, …}}]`."""
        scan: Annotated[tuple[Ref, ...], PluginKind("scanner")] = Field(
            default=({"taint": {"mode": "snippet"}},), validate_default=True
        )
        """Scanners that must tell the two texts of a pair apart where its source only proposes it."""
        languages: tuple[str, ...] = ()
        """Languages that are kept; none named means all."""
        licenses: tuple[str, ...] | None = PERMISSIVE
        """SPDX identifiers to allow, as in `select`; `unknown` stands for code without one. Null allows all."""
        against: tuple[str, ...] = ()
        """Evaluation files (.jsonl, .jsonl.gz, .json, .parquet) or folders of them, whose tasks no pair may hold."""
        valid: float = Field(0.1, ge=0, lt=1)
        """Share of the scenarios that training is watched with."""
        test: float = Field(0.1, ge=0, lt=1)
        """Share of the scenarios that no training sees."""
        held_out: bool = False
        """Also read the split, and leave out pairs that hold its validation or test code, where no source reads it."""
        max_bytes: int = Field(4000, ge=100)
        """Bytes of one text, at most; of longer ones only the functions with the change and what they use are kept."""
        max_pairs: int | None = Field(None, ge=1)
        """Pairs of each part that are kept, at most, spread over the weaknesses; none: no bound."""
        max_proposed: int | None = Field(None, ge=1)
        """Pairs of each source that are looked at, at most; none: no bound."""
        behaviour: Behaviour | None = None
        """Also run both texts and compare what they do; `{}` for the usual bounds. None: nothing is run."""
        tests: OwnTests | None = None
        """Also run the tests of the pairs' own repositories with either text in its place. None: no test is run."""
        seed: int = 0
        """Chooses the words of templates, which scenarios are held out, and what pairs are run on."""

        @model_validator(mode="after")
        def _leaves_some_to_learn(self) -> Pairs.Settings:
            if self.valid + self.test >= 1:
                raise ValueError(_("`valid` and `test` together leave nothing to learn from"))
            for name in self.languages:
                language_of(name)
            return self

    settings: Settings

    def needs(self) -> tuple[str, ...]:
        """What the sources read, and the split where held-out code is to be left out."""
        needed = [need for source in self._sources() for need in source.needs()]
        return tuple(dict.fromkeys((*needed, *(("split",) if self.settings.held_out else ()))))

    def parts(self) -> dict[str, int]:
        """Versions of the sources, of what they use, of the scanners and of the languages' facts."""
        told = self.settings
        found = {
            f"{ref.kind}:{ref.name}": int(plugin(ref.kind, ref.name).version) for ref in (*told.sources, *told.scan)
        }
        for source in self._sources():
            found.update(source.parts())
        found.update({**versions(told.behaviour), **_tests.versions(told.tests)})
        return {**found, **{f"language:{name}": language_of(name).version for name in languages()}}

    def observe(self) -> Any:
        """Versions of the grammars and the scanners' programs, what the sources read, and the evaluation files."""
        from importlib.metadata import version

        from buril.code.tasktexts import digests

        told = self.settings
        read = [[ref.name, source.observe()] for ref, source in zip(told.sources, self._sources(), strict=True)]
        grammars = {package: version(package) for package in ("tree-sitter", "tree-sitter-language-pack")}
        run = {"python": observed(told.behaviour)} if told.behaviour else {}
        if told.tests:
            run["tests"] = tests_observed(told.tests, _repositories(self._sources()))
        return {**grammars, **run, **_scan.observed(told.scan), "read": read, "against": list(digests(told.against))}

    def work(self, inputs: Inputs) -> float:
        """Bytes that the sources read."""
        return float(sum(source.work(inputs) for source in self._sources()))

    def assume(self, work: float) -> Estimate:
        """Some 0.1 MB a second of what the store holds compressed (40 files), and 200 templates' pairs.

        Where pairs are run, 500 of them at three seconds each, by several workers; a pair's tests take a quarter of
        the time that they may.
        """
        told = self.settings
        running = 3.0 * min(told.max_proposed or 500, 500) / told.behaviour.workers if told.behaviour else 0.0
        if told.tests:
            running += told.tests.seconds * min(told.max_proposed or 500, 500) / told.tests.workers / 4
        return Estimate(seconds=5 + work / 0.1e6 + running, ram_mb=400, disk_mb=2 + work / 50e6)

    def run(self, inputs: Inputs, out: Output) -> Metrics:
        """Write `train.parquet`, `valid.parquet`, `test.parquet`, `dropped.parquet` and `summary.json`.

        Raises:
            BurilError: D330 when no pair holds, D335 when all that do are held out, D221 when a scanner misses what is
                planted for it, D340 to D343 and E001 when pairs or tests are to be run and can't be, and what the
                sources raise.
        """
        _scan.check(self.settings.scan)
        prover = Prover(self.settings, inputs)
        kept: list[Pair] = []
        dropped: list[dict[str, Any]] = []
        sources = self._sources()
        for source in sources:
            source.scratch = out.scratch
        for number, pair in enumerate(self._proposed(sources, inputs), 1):
            proved = prover.proved(pair)
            if isinstance(proved, Verdict):
                dropped.append(_row(pair).dropped(self.name, proved))
            else:
                kept.append(proved)
            out.progress(number, number, _("pairs"), kept=len(kept))
        told = self._run(kept, out)
        kept, dropped = _sifted(told, kept, dropped)
        tested = self._tested(kept, sources, out)
        kept, dropped = _sifted(tested, kept, dropped)
        parts = {part: self._bounded([pair for pair in kept if self._part(pair) == part]) for part in PARTS}
        if not parts["train"]:
            raise self._nothing_to_learn(len(kept), self._reasons(dropped, sources))
        self._write(out, parts, dropped)
        summary = self._summary(parts, dropped)
        summary["left_out"] = self._left_out(sources)
        if told:
            summary["behaviour"] = summarised(told)
            write_told(out, told)
        if tested:
            summary["tests"] = _tests.summarised(tested)
            _tests.write_tested(out, tested)
        out.text("summary.json", json.dumps(summary, indent=1, sort_keys=True) + "\n")
        return {**{part: len(pairs) for part, pairs in parts.items()}, "dropped": len(dropped), **shares(told),
                **_tests.shares(tested)}  # fmt: skip

    def _run(self, kept: Sequence[Pair], out: Output) -> list[Told]:
        told = self.settings
        return by_behaviour(kept, told.behaviour, told.seed, out) if told.behaviour else []

    def _tested(self, kept: Sequence[Pair], sources: Sequence[Pairing], out: Output) -> list[Tested]:
        told = self.settings
        return by_tests(kept, told.tests, _repositories(sources), out) if told.tests else []

    def _nothing_to_learn(self, kept: int, reasons: str) -> BurilError:
        told = self.settings
        if kept:
            return BurilError("D335", number=kept, seed=told.seed)
        return BurilError("D330", sources=", ".join(ref.name for ref in told.sources), reasons=reasons or "–")

    def _write(self, out: Output, parts: Mapping[str, Sequence[Pair]], dropped: Sequence[dict[str, Any]]) -> None:
        for part, pairs in parts.items():
            write_pairs(out.path(f"{part}.parquet"), pairs)
            out.rows[f"{part}.parquet"] = len(pairs)
        origins = [
            Origin(pair.pair_id, pair.file.row_id, self.name, pair.source, f"{pair.cwe} {pair.change}".strip())
            for pairs in parts.values()
            for pair in pairs
            if pair.file is not None
        ]
        write_origins(out.path(ORIGINS), origins)
        write_dropped(out.path("dropped.parquet"), dropped)
        out.rows[ORIGINS], out.rows["dropped.parquet"] = len(origins), len(dropped)

    def _sources(self) -> list[Pairing]:
        return [ref.make() for ref in self.settings.sources]

    def _proposed(self, sources: Sequence[Pairing], inputs: Inputs) -> Iterator[Pair]:
        told = self.settings
        for source in sources:
            for pair in islice(source.pairs(inputs, told.seed), told.max_proposed):
                if not told.languages or pair.language in told.languages:
                    yield pair

    def _left_out(self, sources: Sequence[Pairing]) -> dict[str, int]:
        """What the sources could make no pair of, by source and reason."""
        found: Counter[str] = Counter()
        for ref, source in zip(self.settings.sources, sources, strict=True):
            found.update({f"{ref.name}: {reason}": number for reason, number in source.left_out.items()})
        return dict(found)

    def _reasons(self, dropped: Sequence[dict[str, Any]], sources: Sequence[Pairing]) -> str:
        """Why most were left out."""
        counts = Counter(f"{row['step']}: {row['reason']}" for row in dropped) + Counter(self._left_out(sources))
        return ", ".join(f"{reason} {number}" for reason, number in counts.most_common(3))

    def _part(self, pair: Pair) -> str:
        """The part of a pair's scenario: by its name and the seed alone."""
        told = self.settings
        digest = hashlib.blake2b(f"{told.seed}\0{pair.scenario}".encode(), digest_size=8).digest()
        place = int.from_bytes(digest, "big") / 2**64
        return "test" if place < told.test else "valid" if place < told.test + told.valid else "train"

    def _bounded(self, pairs: Sequence[Pair]) -> list[Pair]:
        """At most `max_pairs`, a pair of each weakness in turn; in the order in which they came."""
        if self.settings.max_pairs is None or len(pairs) <= self.settings.max_pairs:
            return list(pairs)
        turn: Counter[str] = Counter()
        order = []
        for place, pair in enumerate(pairs):
            order.append((turn[pair.cwe], place))
            turn[pair.cwe] += 1
        chosen = sorted(place for _turn, place in sorted(order)[: self.settings.max_pairs])
        return [pairs[place] for place in chosen]

    def _summary(self, parts: dict[str, list[Pair]], dropped: Sequence[dict[str, Any]]) -> dict[str, Any]:
        """What there is of what, for readers and for `align`."""
        every = [pair for pairs in parts.values() for pair in pairs]

        def counted(name: str) -> dict[str, int]:
            return dict(Counter(getattr(pair, name) for pair in every).most_common(SHOWN_CWES))

        return {
            "pairs": {part: len(pairs) for part, pairs in parts.items()},
            "scenarios": {part: len({pair.scenario for pair in pairs}) for part, pairs in parts.items()},
            **{f"by_{name}": counted(name) for name in ("cwe", "language", "source", "license")},
            "proved": dict(Counter("+".join(pair.proofs) or "-" for pair in every)),
            "dropped": dict(Counter(f"{row['step']}: {row['reason']}" for row in dropped)),
        }


def _repositories(sources: Sequence[Pairing]) -> list[Path]:
    return [path for source in sources for path in source.repositories()]


def _sifted(
    judged: Sequence[Told] | Sequence[Tested], kept: list[Pair], dropped: list[dict[str, Any]]
) -> tuple[list[Pair], list[dict[str, Any]]]:
    """What is kept and what is dropped, after pairs were run; as they are where none was."""
    if not judged:
        return kept, dropped
    gone = [one.dropped(_row(one.pair), Pairs.name) for one in judged if one.false]
    return [one.pair for one in judged if not one.false], [*dropped, *gone]


def _row(pair: Pair) -> CodeFile:
    """The row under which a dropped pair is told of: its file's, else one of its own."""
    return pair.file or CodeFile(
        repo=f"buril/{pair.source}", path=pair.scenario, content=pair.secure, language=pair.language,
        license=pair.license,
    )  # fmt: skip
