"""Real code as training set and as requests: packages of Python's own library, a repository each."""

from __future__ import annotations

import random
import sysconfig
from collections import Counter
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np

from buril.code.codefile import CodeFile, write_rows
from buril.code.tokenbag import bag
from buril.code.traffic import LATENCY_MS, Counts, Key, Line
from buril.core.artifact import Artifact
from tests.conftest import as_artifact

LIBRARY = Path(sysconfig.get_paths()["stdlib"])
FIRST, MODEL, EARLIER = 20_000, "ab" * 32, "cd" * 32
TRAIN = ("asyncio", "concurrent", "ctypes", "distutils", "email", "html", "importlib", "json", "logging", "unittest")
HELD = ("collections", "curses", "dbm", "encodings", "http", "multiprocessing", "sqlite3", "urllib", "wsgiref", "xml")


@cache
def files(package: str) -> tuple[tuple[str, str], ...]:
    """Paths and texts of a package."""
    paths = sorted((LIBRARY / package).rglob("*.py"))[:40]
    found = [(str(path.relative_to(LIBRARY)), path.read_text(encoding="utf-8", errors="replace")) for path in paths]
    return tuple((path, text) for path, text in found if len(text) > 400)


def write_split(folder: Path, *, train: tuple[str, ...] = TRAIN, held: tuple[str, ...] = HELD) -> Artifact:
    """A split whose parts share no repository."""
    parts = {"train": train, "valid": held[::2], "test": held[1::2]}
    for part, packages in parts.items():
        rows = [
            CodeFile(package, path, text, language="python") for package in packages for path, text in files(package)
        ]
        (folder / part).mkdir(parents=True)
        write_rows(folder / part / "00000.parquet", rows)
    return as_artifact(folder, "split")


def piece(drawn: random.Random, text: str) -> str:
    place = drawn.randrange(200, len(text))
    return text[max(0, place - 2000) : place]


SCRIPT = (
    "import React from 'react';\nexport const %s = async (props) => {\n  const [state, setState] = useState(null);\n"
    "  useEffect(() => { fetch(`/api/${props.id}`).then((r) => r.json()).then(setState); }, []);\n"
    '  return state === undefined ? null : <div className="%s">{state?.map((x) => x.name)}</div>;\n};\n'
)


def script(drawn: random.Random, text: str) -> str:
    """A prompt that is no Python."""
    name = "".join(drawn.choices("abcdefgh", k=6))
    return SCRIPT % (name, name) * 3


Change = Callable[[int, Counts, np.random.Generator], None]


class Days:
    """Days of served traffic: requests of real code, and outcomes that vary from day to day."""

    def __init__(self, seed: int = 0, *, model: str = MODEL, packages: tuple[str, ...] = HELD) -> None:
        self.drawn, self.random, self.model = random.Random(seed), np.random.default_rng(seed), model
        self.texts = [text for package in packages for _path, text in files(package)]

    def lines(
        self, first: int, num: int, *, requests: int = 120, other: float = 0.0, change: Change | None = None
    ) -> list[Line]:
        """Some days; `other` is the share of requests that are no Python, `change` may do anything to an hour."""
        found = []
        for day in range(first, first + num):
            share, slow = self.random.beta(60, 140), self.random.normal(0, 0.05)
            for hour in range(8, 18):
                counts = self._hour(requests // 10, share, slow, other)
                if change:
                    change(day, counts, self.random)
                found.append(Line(day * 86_400 + hour * 3600, Key("python", self.model), counts))
                few = Counts(Counter({"requests": int(self.random.poisson(3))}))
                found.append(Line(day * 86_400 + hour * 3600, Key("go", self.model), few))
        return found

    def _hour(self, requests: int, share: float, slow: float, other: float) -> Counts:
        counts, random = Counts(), self.random
        bags = [
            bag((script if self.drawn.random() < other else piece)(self.drawn, self.drawn.choice(self.texts)))
            for _request in range(requests)
        ]
        counts.bags["prompt"] = np.sum(bags, 0)
        shown = int(random.poisson(40))
        accepted = int(random.binomial(shown, share))
        counts.numbers.update(
            {"requests": requests, "bag.prompt": requests, "shown": shown, "accepted": accepted,
             "persisted": int(random.binomial(accepted, 0.8)), "accepted_lines": 3 * accepted,
             "accepted_findings": int(random.poisson(0.02 * accepted)), "latency_ms": 200 * requests}
        )  # fmt: skip
        times = 200 * np.exp(random.normal(slow, 0.4, requests))
        counts.histograms["latency_ms"] = Counter(np.searchsorted(LATENCY_MS, times).tolist())
        sure = np.minimum(49, 2 + random.gamma(2, 1, requests)).astype(int)
        counts.histograms["logprob"] = Counter(sure.tolist())
        counts.histograms["parse_errors"] = Counter(random.binomial(1, 0.06, requests).tolist())
        return counts


def write_traffic(folder: Path, lines: list[Line]) -> Path:
    """The lines as a server would have left them."""
    from datetime import datetime, timezone

    from buril.code.traffic import _append, _text

    folder.mkdir(parents=True, exist_ok=True)
    for line in lines:
        day = datetime.fromtimestamp(line.start, timezone.utc).strftime("%Y-%m-%d")
        _append(folder / f"{day}.jsonl", _text(line, 3600))
    return folder
