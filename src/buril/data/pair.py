"""Pair: the same code twice, once with a weakness and once without; and what finds or makes such pairs.

A pair is what a model can be taught a preference by: both texts begin alike and part where the weakness is. It keeps
the weakness, and where it is from: the row, repository, commit, path and licence of the code that it was made of, so
that what is learnt from it can be traced as any other training text.
"""

from __future__ import annotations

import hashlib
import json
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from buril.code.codefile import CodeFile, write_table
from buril.core.artifact import atomic, canonical
from buril.core.settings import Settings as BaseSettings
from buril.core.stage import Inputs

Claim = Literal["construction", "label", "scanner"]
"""What a source says for its pairs: that they are so by `construction` (written as pairs, or by hand), by somebody's
`label`, or that a `scanner` must tell the two apart before anybody believes it."""

PAIR_SCHEMA = pa.schema(
    [
        *((name, pa.string()) for name in ("pair_id", "cwe", "language", "scenario", "source", "claim", "change")),
        *((name, pa.string()) for name in ("row_id", "repo", "commit", "path", "license")),
        ("secure", pa.large_string()),
        ("vulnerable", pa.large_string()),
        ("proofs", pa.list_(pa.string())),
    ]
)
"""A pair's row. `row_id` names the row in `split` that it was made of, or the pair itself where there is none."""


class Pair(NamedTuple):
    """Two texts in one language, whole and in the same state but for the weakness.

    Attributes:
        cwe: the weakness of one of them, such as `CWE-89`.
        language: of both.
        secure: the text without it.
        vulnerable: the text with it.
        scenario: what pairs have in common that are no news to each other (a template, a repository): they are all
            learnt from or all held out.
        source: the plugin that found or made it.
        claim: see `Claim`.
        change: what was changed, in a few words; or the commit that changed it.
        file: the code that it was made of; None for code of our own.
        license: of both texts, SPDX; "" for unknown.
        proofs: what was found to hold: `parses`, `scanner`, `behaviour` (both do the same on ordinary inputs),
            `exploit` (an attack works on one and not on the other), `tests` (the repository's own tests pass with
            both).
    """

    cwe: str
    language: str
    secure: str
    vulnerable: str
    scenario: str
    source: str
    claim: Claim
    change: str = ""
    file: CodeFile | None = None
    license: str = ""
    proofs: tuple[str, ...] = ()

    @property
    def pair_id(self) -> str:
        """16 hex digits of a hash of both texts."""
        both = f"{self.language}\0{self.secure}\0{self.vulnerable}".encode("utf-8", "surrogatepass")
        return hashlib.blake2b(both, digest_size=8).hexdigest()

    def row(self) -> dict[str, Any]:
        """The row of `PAIR_SCHEMA`."""
        file = self.file
        plain = {name: getattr(self, name) for name in PAIR_SCHEMA.names if name in self._fields}
        return {
            **plain, "pair_id": self.pair_id, "row_id": file.row_id if file else self.pair_id,
            "repo": file.repo if file else f"buril/{self.source}", "commit": file.commit if file else "",
            "path": file.path if file else self.scenario, "license": self.license, "proofs": list(self.proofs),
        }  # fmt: skip


class Found(NamedTuple):
    """What a source found in a part of what it reads: `seen` units of it, and by reason what gave no pair."""

    pairs: list[Pair]
    left_out: dict[str, int]
    seen: int = 0


class Pairing(ABC):
    """Base of all sources of pairs. A subclass sets `version`, may extend `Settings`, and writes `pairs`.

    `version` goes up whenever the same settings and inputs give other pairs than before. A source proposes; what it
    proposes is proved by the stage, the same way for all.

    Attributes:
        left_out: what it saw and could make no pair of, by reason, as far as `pairs` has come.
        scratch: where it may keep what an interrupted run should not do again; None: nowhere. The stage sets it.
    """

    version: ClassVar[int] = 1

    class Settings(BaseSettings):
        """A source without settings."""

    def __init__(self, settings: Any = None) -> None:
        self.settings: Any = settings if settings is not None else type(self).Settings()
        self.left_out: Counter[str] = Counter()
        self.scratch: Path | None = None

    def needs(self) -> tuple[str, ...]:
        """Stages whose artifacts it reads."""
        return ()

    def work(self, inputs: Inputs) -> float:
        """Bytes of what it reads, for an estimate; by default those of its inputs."""
        return float(sum(entry.bytes for name in self.needs() for entry in inputs[name].manifest.files))

    def repositories(self) -> tuple[Path, ...]:
        """The repositories on this disk that its pairs are of, as far as it reads them itself."""
        return ()

    def parts(self) -> dict[str, int]:
        """Versions of what its pairs depend on beside its own."""
        return {}

    def observe(self) -> Any:
        """A fingerprint (plain JSON) of what it reads from outside the store."""
        return None

    def remembered(self, key: Any, make: Callable[[], Found]) -> Found:
        """What `make` finds, or found before an interruption; its reasons are counted. No text of a file is kept.

        Args:
            key: plain JSON that says all that it depends on.
            make: what takes long.
        """
        name = hashlib.blake2b(canonical(key), digest_size=16).hexdigest()
        path = self.scratch / f"{name}.json" if self.scratch else None
        if path is not None and path.exists():
            found = _read(json.loads(path.read_text(encoding="utf-8")))
        else:
            found = make()
            if path is not None:
                with atomic(path) as temporary:
                    temporary.write_text(json.dumps(_plain(found)), encoding="utf-8")
        self.left_out.update(found.left_out)
        return found

    @abstractmethod
    def pairs(self, inputs: Inputs, seed: int) -> Iterator[Pair]:
        """The pairs that it proposes, in the same order every time; all chance comes from `seed`."""


def write_pairs(path: Path, pairs: Sequence[Pair]) -> None:
    """Write pairs as Parquet, whole or not at all; the same pairs always give the same bytes."""
    rows: list[Mapping[str, Any]] = [pair.row() for pair in pairs]
    write_table(path, pa.Table.from_pylist(rows, schema=PAIR_SCHEMA))


def read_pairs(path: Path) -> list[dict[str, Any]]:
    """The rows of a file of pairs, as `Pair.row` gives them."""
    found: list[dict[str, Any]] = pq.read_table(path, schema=PAIR_SCHEMA).to_pylist()
    return found


_FILE = ("repo", "path", "sha256", "commit", "language", "license", "bytes", "row_id")


def _plain(found: Found) -> dict[str, Any]:
    pairs = [
        {**item._asdict(), "file": {name: getattr(item.file, name) for name in _FILE} if item.file else None}
        for item in found.pairs
    ]
    return {**found._asdict(), "pairs": pairs}


def _read(told: dict[str, Any]) -> Found:
    pairs = [
        Pair(**{
            **item, "file": CodeFile(content="", **item["file"]) if item["file"] else None,
            "proofs": tuple(item["proofs"]),
        })
        for item in told["pairs"]
    ]  # fmt: skip
    return Found(pairs, told["left_out"], told["seen"])
