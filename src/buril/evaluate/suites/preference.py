"""Preference: of two forms of the same code, one with a weakness and one without, which does a model think likelier?

Nothing is written and nothing is run: both texts are scored. So it is cheap and sees small changes of a model. It is no
measure of what a model does: one that prefers the secure of two texts may write a third that is neither.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

from pydantic import Field

from buril.code.language import detect
from buril.core.artifact import sha256_file
from buril.core.errors import BurilError
from buril.core.settings import Settings as BaseSettings
from buril.evaluate.suite import Measure, SuiteContext, SuiteResult, drawn
from buril.evaluate.suites._files import lines_of
from buril.generators._changed import changed_places, shared_length

AT_ONCE = 16
"""Pairs scored at a time."""
NAMES = ("secure", "vulnerable", "cwe", "language", "pair_id", "path", "license")


class _Pair(NamedTuple):
    name: str
    cwe: str
    language: str
    secure: str
    vulnerable: str


class Preference:
    """Shares of pairs whose secure text is the likelier one, by the mean over tokens, and by how much.

    `preferred` compares the tokens in which the texts differ, `preferred-rest` all from where they part; `margin` is
    the mean of what `preferred` compares, in nats a token, above 0 where the secure text is the likelier one.
    """

    version: ClassVar[int] = 1

    class Settings(BaseSettings):
        """Which pairs."""

        shorthand: ClassVar[str | None] = "path"

        path: Path | None = None
        """A file of pairs (.jsonl, .jsonl.gz, .json, .parquet) or a folder of them; None takes the held-out pairs of
        the chain's own `pairs`. The bytes are part of the identity, the place is not."""
        columns: dict[str, str] = {}
        """What the set calls `secure`, `vulnerable`, `cwe`, `language`, `pair_id` and `path`; a name that is not given
        is the same there. Without a language, a path's ending tells it."""
        languages: tuple[str, ...] = ()
        """Languages that are scored; none named means all."""
        max_length: int = Field(1024, ge=16)
        """Tokens of a text; of a longer one the beginning is cut, and a pair that differs too late is left out."""

        def identity(self) -> dict[str, Any]:
            """The settings, with the digests of the files instead of their place."""
            found = [sha256_file(file) for file in _files(self.path)] if self.path else None
            return {**super().identity(), "path": found or str(self.path or "")}

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    @property
    def needs(self) -> tuple[str, ...]:
        """Stages that it reads beside the held-out files."""
        return () if self.settings.path else ("pairs",)

    def metrics(self) -> tuple[str, ...]:
        """Their names."""
        return ("preferred", "preferred-rest", "margin")

    def check(self, context: SuiteContext) -> None:
        """There must be pairs.

        Raises:
            BurilError: E008 without the file, E009 for a row that is no pair or where there is none.
        """
        if not self._pairs(context):
            raise BurilError("E009", path=self.settings.path or "pairs", line=0, problem="no pair")

    def run(self, context: SuiteContext) -> SuiteResult:
        """Score at most `max_items` pairs, chosen by a hash of their names."""
        pairs = sorted(self._pairs(context), key=lambda pair: drawn(pair.name, context.seed))[: context.max_items]
        result = SuiteResult(_measures())
        for start in range(0, len(pairs), AT_ONCE):
            self._score(pairs[start : start + AT_ONCE], context, result)
            context.progress(min(start + AT_ONCE, len(pairs)), len(pairs))
        return result

    def _score(self, pairs: list[_Pair], context: SuiteContext, result: SuiteResult) -> None:
        """Score some pairs at once."""
        held = []
        for pair in pairs:
            secure, vulnerable = (context.generator.encode(text) for text in (pair.secure, pair.vulnerable))
            over = max(0, max(len(secure), len(vulnerable)) - self.settings.max_length)
            if over < max(1, shared_length(secure, vulnerable)) and secure != vulnerable:
                held.append((pair, secure[over:], vulnerable[over:]))
        scores = context.generator.score([ids for _pair, *both in held for ids in both])
        for place, (pair, secure, vulnerable) in enumerate(held):
            begin = max(1, shared_length(secure, vulnerable))
            two = scores[2 * place], scores[2 * place + 1]
            changed = changed_places(secure, vulnerable)
            means = [float(one[places - 1].mean()) for one, places in zip(two, changed, strict=True)]
            rest = [float(one[begin - 1 :].mean()) if len(one) >= begin else 0.0 for one in two]
            self._add(result, pair, means[0] - means[1], rest[0] - rest[1])

    def _add(self, result: SuiteResult, pair: _Pair, margin: float, rest: float) -> None:
        for measures in result.tables(_measures, language=pair.language, cwe=pair.cwe):
            measures["preferred"].add(pair.name, float(margin > 0))
            measures["preferred-rest"].add(pair.name, float(rest > 0))
            measures["margin"].add(pair.name, margin)
        result.samples.append({
            "id": pair.name, "cwe": pair.cwe, "language": pair.language, "margin": round(margin, 4),
            "margin_rest": round(rest, 4), "status": "secure" if margin > 0 else "vulnerable",
        })  # fmt: skip

    def _pairs(self, context: SuiteContext) -> list[_Pair]:
        """The pairs of the languages that are scored.

        Raises:
            BurilError: E008, E009.
        """
        told = self.settings
        path = told.path or context.also["pairs"].path("test.parquet")
        found = [self._pair(row, number, file) for file in _files(path) for number, row in _rows(file)]
        return [pair for pair in found if not told.languages or pair.language in told.languages]

    def _pair(self, row: dict[str, Any], number: int, file: Path) -> _Pair:
        def value(name: str) -> str:
            return str(row.get(self.settings.columns.get(name, name)) or "")

        secure, vulnerable = value("secure"), value("vulnerable")
        if not secure or not vulnerable:
            raise BurilError("E009", path=file, line=number, problem="secure, vulnerable: ?")
        return _Pair(
            value("pair_id") or f"{file.parent.name}/{file.stem}/{number}", _cwe(value("cwe")),
            value("language") or detect(value("path"), secure), secure, vulnerable,
        )  # fmt: skip


def _measures() -> dict[str, Measure]:
    return {
        "preferred": Measure("share", "higher"), "preferred-rest": Measure("share", "higher"),
        "margin": Measure("ratio", "higher"),
    }  # fmt: skip


def _files(path: Path) -> list[Path]:
    """The files of pairs at a path."""
    if not path.is_dir():
        return [path]
    return sorted(file for file in path.rglob("*") if file.name.endswith((".jsonl", ".jsonl.gz", ".json", ".parquet")))


def _rows(file: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """The rows of a file, counted from 1."""
    if file.suffix == ".parquet" and file.is_file():
        import pyarrow.parquet as pq

        yield from enumerate(pq.read_table(file).to_pylist(), 1)
    else:
        yield from enumerate(lines_of(file, "preference"), 1)


def _cwe(text: str) -> str:
    """`cwe-089` and `89` as `CWE-89`."""
    digits = "".join(sign for sign in text if sign.isdigit())
    return f"CWE-{int(digits)}" if digits else text
