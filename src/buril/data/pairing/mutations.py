"""Pairing mutations: safe functions of one's own code, each made weak in one place.

What is preferred is code that people wrote. The training part of `split` alone is read, one function at a time with
the imports before it. Most mutants are only proposed: the stage's scanners have to see the weakness in what was made
and not in what it was made of. Who may do what, memory, and languages that no scanner of the stage reads can't be
proved so; there the rewrite itself is the reason (`claims`). A mutant of C that does not compile where its original
does is no pair; one that does has the proof `compiles`.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from functools import partial
from typing import ClassVar, Final, Literal

from pydantic import Field

from buril.code.codefile import CodeFile, read_rows
from buril.code.parse import HardParse, parse
from buril.core.settings import Settings as BaseSettings
from buril.core.stage import Inputs
from buril.data.augmenter import draw
from buril.data.pair import Claim, Pair, Pairing
from buril.data.pairing._mutation import Mutant, languages, may_change, mutate
from buril.data.pairing._mutation_compile import both_compile, version
from buril.data.pairing._mutation_unit import pieces
from buril.data.step import PARSE_LIMIT_BYTES

MOST_CHARS: Final = 3900
"""Characters of a function with what stands before it: what is longer the stage would cut."""


class Mutations(Pairing):
    """Takes the care out of safe code."""

    version: ClassVar[int] = 2

    class Settings(BaseSettings):
        """How many, and of what."""

        shorthand: ClassVar[str | None] = "per_file"

        per_file: int = Field(4, ge=1)
        """Pairs of a file, at most; different weaknesses first."""
        languages: tuple[str, ...] = ()
        """Languages that are read; none named means all there are rewrites for."""
        weaknesses: tuple[str, ...] = ()
        """Weaknesses, such as `CWE-89`; none named means all there are rewrites for."""
        claims: Literal["scanner", "all"] = "all"
        """`scanner`: a scanner has to tell the two forms apart, whatever the rewrite. `all`: where a rewrite
        vouches for its pairs (weaknesses that scanners see badly), this will do."""
        max_lines: int = Field(80, ge=3)
        """Lines of a function, at most."""

    def needs(self) -> tuple[str, ...]:
        """The training part."""
        return ("split",)

    def observe(self) -> str:
        """The C compiler that mutants of C are shown to."""
        return version()

    def pairs(self, inputs: Inputs, seed: int) -> Iterator[Pair]:
        """The pairs, file by file."""
        for shard in inputs["split"].files("train/*.parquet"):
            for file in read_rows(shard):
                yield from self.of(file, seed)

    def of(self, file: CodeFile, seed: int) -> Iterator[Pair]:
        """The pairs of one file."""
        told = self.settings
        if file.language not in (told.languages or languages()) or not may_change(file.content, file.language):
            return
        drawn = random.Random(draw(seed, "mutations", file.row_id))  # noqa: S311  which mutants, no secrets
        mutants = [mutant for mutant in self._mutants(file) if not told.weaknesses or mutant.cwe in told.weaknesses]
        for mutant in chosen(mutants, told.per_file, drawn):
            compiled = both_compile(mutant.secure, mutant.vulnerable) if file.language == "c" else None
            if compiled is False:
                continue
            claim: Claim = "scanner" if told.claims == "scanner" else mutant.claim
            yield Pair(
                mutant.cwe, file.language, mutant.secure, mutant.vulnerable, file.repo or file.row_id, "mutations",
                claim, change=mutant.change, file=file, license=file.license,
                proofs=("compiles",) if compiled else (),
            )  # fmt: skip

    def _mutants(self, file: CodeFile) -> Iterator[Mutant]:
        source = file.content.encode("utf-8", "surrogatepass")
        if len(source) > PARSE_LIMIT_BYTES:
            return
        try:
            tree = parse(file.language, source, bounded=True)
        except HardParse:
            return
        wanted = partial(may_change, language=file.language)
        for piece in pieces(tree, file.language, self.settings.max_lines, wanted):
            if len(piece) > MOST_CHARS:
                continue
            yield from mutate(piece, file.language)


def chosen(mutants: list[Mutant], number: int, drawn: random.Random) -> list[Mutant]:
    """At most `number` mutants: of those of one place one, and of every weakness one before a second of any."""
    places: dict[tuple[str, str, int], list[Mutant]] = {}
    for mutant in mutants:
        places.setdefault((mutant.cwe, mutant.secure, mutant.place), []).append(mutant)
    ones = [drawn.choice(found) for found in places.values()]
    drawn.shuffle(ones)
    turns: dict[str, int] = {}
    ranked = []
    for order, mutant in enumerate(ones):
        turns[mutant.cwe] = turns.get(mutant.cwe, 0) + 1
        ranked.append((turns[mutant.cwe], order, mutant))
    return [mutant for _turn, _order, mutant in sorted(ranked, key=lambda item: item[:2])[:number]]
