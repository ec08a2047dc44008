"""Monitor: what a served model learnt from, as token bags, and how far innocent requests are from it.

The bags of the training part, one a language, are what traffic is compared with. How far is far is not a constant: it
depends on how many requests there are, on the language, and most of all on how much repositories differ. So windows of
several sizes are drawn from the validation and test parts, which share no repository with the training part, and the
divergence of each is kept as quantiles. Drawn twice: file by file, as if every request came from another repository;
and repository by repository, as if a day's requests came from a few. The second is what days are like, and its limits
are far wider.

No code is kept: bags, counts and quantiles.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any, ClassVar, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import Field

from buril.code.codefile import write_table
from buril.code.tokenbag import BINS, I64, MAX_BYTES, bag
from buril.code.tokenbag import VERSION as BAG_VERSION
from buril.core.artifact import Artifact
from buril.core.estimate import Estimate
from buril.core.settings import Settings as BaseSettings
from buril.core.stage import Inputs, Metrics, Output, Stage
from buril.monitor.statistics import F64, jensen_shannon

SIZES = (20, 50, 100, 200, 500, 1000, 3000)
"""Requests of the windows that are drawn."""
CHANCES = (0.5, 0.1, 0.05, 0.02, 0.01, 0.005, 0.002, 0.001, 0.0005)
"""The chances of a false alarm for which a limit is kept."""
WAYS = ("file", "repository")
SCHEMA = pa.schema([("language", pa.string()), ("bins", pa.list_(pa.int64()))])
BAGS, SUMMARY = "bags.parquet", "reference.json"
MIN_HELD = 20
"""Pieces of a language that must be held out for it to have a limit."""


class Held(NamedTuple):
    """The held-out pieces (P) of a language: their bags, and the number of the repository of each."""

    bags_PB: F64
    repo_P: I64


class Monitor(Stage):
    """Writes the reference of the training set: what `buril monitor` compares traffic with."""

    name: ClassVar[str] = "monitor"
    version: ClassVar[int] = 1
    small: ClassVar[dict[str, Any]] = {"max_pieces": 500, "rounds": 400}

    class Settings(BaseSettings):
        """How requests are imitated, and how sure the limits are."""

        max_pieces: int = Field(4000, ge=100)
        """Held-out pieces of a language that windows are drawn from, at most: one of up to 2,000 bytes a file."""
        repositories: int = Field(5, ge=1)
        """Repositories that the requests of a day come from. Fewer make days more unlike one another, and the limits
        wider."""
        rounds: int = Field(2000, ge=100)
        """Windows of each size; chances below one in so many are read off the farthest one."""
        seed: int = 0
        """Draws the pieces and the windows."""

    settings: Settings

    def needs(self) -> tuple[str, ...]:
        """The parts of the data."""
        return ("split",)

    def parts(self) -> dict[str, int]:
        """The version of the bags."""
        return {"tokenbag": BAG_VERSION}

    def assume(self, work: float) -> Estimate:
        """Some 2 MB of compressed rows a second, and the windows of each language."""
        return Estimate(seconds=20 + work / 2e6, ram_mb=800, disk_mb=1)

    def run(self, inputs: Inputs, out: Output) -> Metrics:
        """Write `bags.parquet`, one row a language, and `reference.json` with the quantiles."""
        split = inputs["split"]
        bags, files = _training(split)
        held = _held_out(split, self.settings)
        rows = [{"language": language, "bins": bags[language].tolist()} for language in sorted(bags)]
        write_table(out.path(BAGS), pa.Table.from_pylist(rows, schema=SCHEMA))
        out.rows[BAGS] = len(rows)
        told = {}
        for place, language in enumerate(sorted(bags)):
            told[language] = {"files": files[language], **self._limits(bags[language], held.get(language), place)}
            out.progress(place + 1, len(bags), "languages")
        summary = {"sizes": SIZES, "chances": CHANCES, "dataset": split.digest, "languages": told}
        out.text(SUMMARY, json.dumps(summary, indent=1, sort_keys=True) + "\n")
        able = sum(1 for item in told.values() if item["limits"])
        return {"languages": len(told), "with_limits": able, "files": sum(files.values())}

    def _limits(self, reference: I64, held: Held | None, place: int) -> dict[str, Any]:
        """The quantiles of a language by way of drawing, one row a size; none where too little is held out."""
        if held is None or len(held.repo_P) < MIN_HELD:
            return {"limits": {}, "held_out": 0 if held is None else len(held.repo_P), "repositories": 0}
        random = np.random.Generator(np.random.PCG64([self.settings.seed, place]))
        num = len(np.unique(held.repo_P))
        ways = WAYS if num >= 2 else WAYS[:1]
        found = {way: self._drawn(reference, held, way, random) for way in ways}
        return {"limits": found, "held_out": len(held.repo_P), "repositories": num}

    def _drawn(self, reference: I64, held: Held, way: str, random: np.random.Generator) -> list[list[float]]:
        rows = []
        for size in SIZES:
            few = 0 if way == "file" else self.settings.repositories
            weights_RP = _windows(held, size, few, (self.settings.rounds, random))
            # counts stay far below 2**24, so that the product is exact whatever the order of the sums
            far_R = jensen_shannon(weights_RP.astype(np.float32) @ held.bags_PB.astype(np.float32), reference)
            limits = np.quantile(far_R, [1 - chance for chance in CHANCES], method="higher")
            rows.append([round(float(limit), 6) for limit in limits])
        return rows


def _windows(held: Held, size: int, repositories: int, drawn: tuple[int, np.random.Generator]) -> I64:
    """How often each piece is in each window (R, P): of all pieces, or of some repositories drawn first."""
    rounds, random = drawn
    num = len(held.repo_P)
    if not repositories:
        return random.multinomial(size, np.full(num, 1 / num), size=rounds)
    names, sizes = np.unique(held.repo_P, return_counts=True)
    weights = np.zeros((rounds, num), np.int64)
    for place in range(rounds):
        chosen = random.integers(0, len(names), repositories)
        shares = np.zeros(len(names))
        np.add.at(shares, chosen, 1 / repositories)
        weights[place] = random.multinomial(size, (shares / sizes)[np.searchsorted(names, held.repo_P)])
    return weights


def _pieces(split: Artifact, part: str) -> Iterator[tuple[str, str, str, str]]:
    """The rows of a part, as language, repository, row and text."""
    columns = ["language", "repo", "row_id", "content"]
    for shard in split.files(f"{part}/*.parquet"):
        with pq.ParquetFile(shard) as source:
            for group in source.iter_batches(batch_size=256, columns=columns):
                for row in group.to_pylist():
                    yield row["language"], row["repo"], row["row_id"], row["content"]


def _training(split: Artifact) -> tuple[dict[str, I64], dict[str, int]]:
    """The bag of each language's training files, piece by piece as requests would ask for them, and their number."""
    bags: dict[str, I64] = {}
    files: dict[str, int] = {}
    for language, _repo, _row, text in _pieces(split, "train"):
        total = bags.setdefault(language, np.zeros(BINS, np.int64))
        files[language] = files.get(language, 0) + 1
        for start in range(0, max(1, len(text)), MAX_BYTES):
            total += bag(text[start : start + MAX_BYTES])
    return bags, files


def _held_out(split: Artifact, settings: Monitor.Settings) -> dict[str, Held]:
    """A piece of each held-out file, at a place that the row and the seed decide; at most so many a language."""
    found: dict[str, list[tuple[int, str, str]]] = {}
    for part in ("valid", "test"):
        for language, repo, row, text in _pieces(split, part):
            number = int(np.random.PCG64([settings.seed, int(row, 16)]).random_raw())
            end = min(len(text), 200) + number % max(1, len(text) - 199)
            found.setdefault(language, []).append((number, repo, text[max(0, end - MAX_BYTES) : end]))
    return {language: _stacked(sorted(pieces)[: settings.max_pieces]) for language, pieces in found.items()}


def _stacked(pieces: Sequence[tuple[int, str, str]]) -> Held:
    numbers = {repo: number for number, repo in enumerate(sorted({repo for _draw, repo, _text in pieces}))}
    bags = np.stack([bag(text) for _draw, _repo, text in pieces]).astype(np.float64)
    return Held(bags, np.array([numbers[repo] for _draw, repo, _text in pieces], np.int64))


class Reference:
    """The reference of a training set, read: bags and limits by language.

    Raises:
        OSError, ValueError, KeyError: when the files of the artifact can't be read.
    """

    def __init__(self, artifact: Artifact) -> None:
        told = artifact.json(SUMMARY)
        self.digest = artifact.digest
        self.dataset = str(told["dataset"])
        self.files = {language: int(item["files"]) for language, item in told["languages"].items()}
        self._limits = {language: item["limits"] for language, item in told["languages"].items()}
        rows = pq.read_table(artifact.path(BAGS)).to_pylist()
        self.bags = {row["language"]: np.array(row["bins"], np.int64) for row in rows}

    def limit(self, language: str, size: int, *, chance: float, way: str = "repository") -> float | None:
        """How far `size` innocent requests are at most but for a chance; None where that is not known.

        Between two sizes the smaller one's limit is taken, between two chances that of the rarer.
        """
        rows = self._limits.get(language, {}).get(way)
        if not rows or size < SIZES[0]:
            return None
        row = rows[max(place for place, known in enumerate(SIZES) if known <= size)]
        place = next((place for place, known in enumerate(CHANCES) if known <= chance), len(CHANCES) - 1)
        return float(row[place])
