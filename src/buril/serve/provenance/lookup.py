"""Look-up: a text to the training rows that hold parts of it word for word, and to those that it resembles.

Verbatim spans are exact: every run of at least so many tokens that stands in the training set is found at its whole
length, up to chance equality of 32-bit hashes at its borders. Near matches are by the share of fingerprints that stand
together somewhere in a row; they are an estimate, and nothing is decided by them alone.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeAlias

import numpy as np

from buril.code import lexical
from buril.code.lexical import Spelt
from buril.code.minhash import U32
from buril.core.errors import BurilError
from buril.serve.provenance._boilerplate import Boilerplate, kind_of
from buril.serve.provenance._near import nearest_rows
from buril.serve.provenance._part import DEEP, Part, Run
from buril.serve.provenance.segments import FORMAT, INDEX, segment_name

MIN_TOKENS = 20
"""Tokens of the shortest verbatim span that is told where nothing else is said."""
MOST_SPANS = 50
"""Spans of one text that are told, the longest first."""
LANGUAGES_TRIED = ("python", "javascript", "c", "java", "")
"""One of each way to write comments, for a text whose language is not known."""


Held: TypeAlias = tuple[Part, int]
"""A row: the segment that it is in, and its number there."""


class Query(NamedTuple):
    """What a look-up tells.

    Attributes:
        min_tokens: tokens of the shortest verbatim span: words and single signs, so 20 are about two lines.
        max_files: files that are told of each span, besides one of every further licence; of near matches altogether.
        near_score: share of a text's fingerprints from which a row is near it; 1 tells the wholly renamed only.
        repositories: a short span in more repositories than this is common: told last, and held against nobody.
    """

    min_tokens: int = MIN_TOKENS
    max_files: int = 3
    near_score: float = 0.5
    repositories: int = 3


class Match(NamedTuple):
    """A part of a text, and a training row that holds it.

    Attributes:
        kind: `verbatim`, token for token, or `near`: with other names, or only in part.
        start: the first character of the part, from 0.
        end: one past the last.
        tokens: how many tokens it has.
        share: of the tokens of the text.
        score: 1.0 for a verbatim span; of a near match the share of fingerprints that the row has in one place.
        common: why it says little of where the text is from (`repositories`, `imports`, `notice`, `repetitive`), or "".
        files: training rows that hold the span, with this one.
        repositories: repositories that these are of.
        row_id: the training row.
        repo: its repository.
        commit: its commit.
        path: its path.
        license: its licence, an SPDX expression; "" where it is not known.
        language: its language.
        line: the first line of the part in the row, from 1.
        end_line: the last.
        origin: the row that a made text was made of, or "".
        made_by: the stage that made it, or "".
    """

    kind: Literal["verbatim", "near"]
    start: int
    end: int
    tokens: int
    share: float
    score: float
    common: Boilerplate
    files: int
    repositories: int
    row_id: str
    repo: str
    commit: str
    path: str
    license: str
    language: str
    line: int
    end_line: int
    origin: str = ""
    made_by: str = ""


class Provenance(NamedTuple):
    """What is known of where a text is from.

    Attributes:
        tokens: the tokens of the text.
        covered: the share of them in verbatim spans that are not common.
        matches: telling ones first, then verbatim before near ones, the longest first.
    """

    tokens: int
    covered: float
    matches: tuple[Match, ...]


class ProvenanceIndex:
    """An index on disk, mapped: opening reads the table of rows and nothing else.

    Example:
        `ProvenanceIndex.open(folder).look_up(text, "python").matches`
    """

    def __init__(self, folder: Path, summary: dict[str, Any], parts: list[Part]) -> None:
        self.folder, self.summary, self.parts = folder, summary, parts

    @classmethod
    def open(cls, folder: Path) -> ProvenanceIndex:
        """The index that the stage wrote.

        Raises:
            BurilError: V201 when it can't be read, V202 when it is of another version.
        """
        try:
            summary = json.loads((folder / INDEX).read_text(encoding="utf-8"))
            ours = {"format": FORMAT, "lexical": lexical.VERSION, "window": lexical.WINDOW, "step": lexical.STEP}
            other = [name for name, value in ours.items() if summary[name] != value]
            if other:
                raise BurilError("V202", path=folder, problem=", ".join(f"{name} {summary[name]}" for name in other))
            parts = [Part.open(folder / segment_name(number)) for number in range(summary["segments"])]
        except (OSError, ValueError, KeyError, TypeError) as problem:
            raise BurilError("V201", path=folder, problem=str(problem) or type(problem).__name__) from problem
        return cls(folder, summary, parts)

    def look_up(self, text: str, language: str = "", *, before: str = "", query: Query | None = None) -> Provenance:
        """Where a text is from.

        Args:
            text: of any length; binary and broken text give what their words give.
            language: its name, "" where unknown: then it is read in several ways, and the one that finds most counts.
            before: the code that stands before it, so that it is read as what it is; only the text is looked up.
            query: what is told.
        """
        asked = query or Query()
        ways = [language] if language and lexical.family(language) else LANGUAGES_TRIED
        found: Provenance | None = None
        for way in dict.fromkeys(ways):
            here = self._look_up(text, way, before, asked)
            if found is None or _weight(here) > _weight(found):
                found = here
        assert found is not None
        return found

    def _look_up(self, text: str, language: str, before: str, asked: Query) -> Provenance:
        head = before.encode("utf-8", "replace")
        source = head + text.encode("utf-8", "replace")
        said = _Said(source, len(head), lexical.spelt(source, language))
        telling = np.zeros(len(said.tokens), dtype=np.bool_)
        matches: list[Match] = []
        copied: Counter[Held] = Counter()
        for run in self._runs(said, asked.min_tokens):
            held = self._holders(said.tokens[run.start : run.start + run.length])
            told = list(self._told(run, held, said, asked))
            telling[run.start : run.start + run.length] |= not told[0].common
            matches += told
            copied.update({(part, row): run.length for part, row, _place in held})
        matches += self._near(said, asked, copied)
        covered = float(telling.mean()) if len(telling) else 0.0
        return Provenance(len(said.tokens), round(covered, 4), tuple(sorted(matches, key=_order)))

    def _runs(self, said: _Said, least: int) -> list[Run]:
        """The maximal runs of the text that stand in some row, the longest first."""
        longest_Q = np.zeros(len(said.tokens), dtype=np.int64)
        for part in self.parts:
            np.maximum(longest_Q, part.longest(said.tokens), out=longest_Q)
        starts = np.flatnonzero((longest_Q >= least) & (longest_Q < DEEP))
        starts = starts[(starts == 0) | (longest_Q[starts - 1] <= longest_Q[starts])]  # not the rest of a longer one
        runs = {Run(int(start), int(longest_Q[start])) for start in starts}
        runs.update(self._deep(said.tokens, np.flatnonzero(longest_Q == DEEP).tolist()))
        return sorted((run for run in runs if run.length >= least), key=lambda run: (-run.length, run.start))[
            :MOST_SPANS
        ]

    def _deep(self, query_Q: U32, starts: list[int]) -> Iterator[Run]:
        """The runs longer than is looked for at every place: one is followed to its end, then the next one begins."""
        after = 0
        for start in starts:
            if start >= after:
                run = max((part.widest(query_Q, start) for part in self.parts), key=lambda run: run.length)
                after = run.start + run.length - DEEP + 1
                yield run

    def _holders(self, tokens_R: U32) -> list[tuple[Part, int, int]]:
        """The rows that hold a run, in their order, each with the first place where it does."""
        rows: dict[Held, tuple[Part, int, int]] = {}
        for part in self.parts:
            for place in part.holders(tokens_R):
                row = part.row_at(place)
                rows.setdefault((part, row), (part, row, place))
        return list(rows.values())

    def _told(self, run: Run, held: list[tuple[Part, int, int]], said: _Said, asked: Query) -> Iterator[Match]:
        """The files of a run that are told: the first ones, and one of every further licence."""
        repositories = len({part.repo(row) for part, row, _place in held})
        common = kind_of(said.words(run), repositories, asked.repositories, length=run.length)
        licenses: set[str] = set()
        for number, (part, row, place) in enumerate(held):
            license = part.license(row)
            if number < asked.max_files or license not in licenses:
                yield Match(
                    "verbatim", said.char(run.start), said.char(run.start + run.length - 1, end=True), run.length,
                    round(run.length / len(said.tokens), 4), 1.0, common, len(held), repositories,
                    **part.place(row, place, run.length),
                )  # fmt: skip
            licenses.add(license)

    def _near(self, said: _Said, asked: Query, copied: Mapping[Held, int]) -> Iterator[Match]:
        """The rows that hold most of the text's fingerprints in one place, and not just as verbatim spans."""
        found = nearest_rows(self.parts, said.prints, said.places, asked.near_score)
        found = [near for near in found if 2 * copied.get((near.part, near.row), 0) < near.last - near.first]
        for near in found[: asked.max_files]:
            first = int(near.first) - said.first
            last = min(int(near.last) + lexical.WINDOW, said.first + len(said.tokens)) - said.first - 1
            length = last - first + 1
            yield Match(
                "near", said.char(first), said.char(last, end=True), length, round(length / len(said.tokens), 4),
                round(near.score, 4), "", len(found), len({each.part.repo(each.row) for each in found}),
                **near.part.place(near.row, near.place, near.span),
            )  # fmt: skip

    def self_test(self) -> list[str]:
        """What is missed of the index itself: the beginning of its first long row must be found in it."""
        for part in self.parts:
            row = part.long_row(MIN_TOKENS)
            if row is not None:
                tokens_R = part.tokens_of(row)[:MIN_TOKENS]
                return [] if any(part.row_at(place) == row for place in part.holders(tokens_R)) else [part.path(row)]
        return []


def _weight(found: Provenance) -> tuple[float, float]:
    """How much a reading of a text finds."""
    return found.covered, sum(match.share * match.score for match in found.matches)


def _order(match: Match) -> tuple[bool, bool, int, float, int]:
    return bool(match.common), match.kind == "near", -match.tokens, -match.score, match.start


class _Said:
    """A text as it was said: its tokens behind `before`, and where they stand in characters."""

    def __init__(self, source: bytes, head: int, whole: Spelt) -> None:
        self.first = first = int(np.searchsorted(whole.starts, head))
        self.source, self.head = source, head
        self.tokens = whole.lexemes.tokens[first:-1]
        self.starts, self.stops = whole.starts[first:], whole.stops[first:]
        mine = whole.lexemes.places >= first
        self.prints, self.places = whole.lexemes.prints[mine], whole.lexemes.places[mine]

    def char(self, token: int, *, end: bool = False) -> int:
        """The character of the text at which a token begins, or one past its last."""
        at = int(self.stops[token] if end else self.starts[token])
        return len(self.source[self.head : at].decode("utf-8", "replace"))

    def words(self, run: Run) -> list[bytes]:
        """The lines of a run."""
        last = run.start + run.length - 1
        return self.source[int(self.starts[run.start]) : int(self.stops[last])].splitlines()
