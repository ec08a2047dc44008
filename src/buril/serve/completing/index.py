"""Index: the files of an open repository, found by the words they share with what is being written.

BM25 (Robertson and Zaragoza 2009, "The Probabilistic Relevance Framework") over windows of lines, whose words are
identifiers and their parts. A file that changes is read again alone: its old windows are dead, and are swept out when a
third of all are. Everything stays in this process' memory.
"""

from __future__ import annotations

import math
import re
from array import array
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from buril.code.language import detect
from buril.core.errors import BurilError
from buril.serve.completing._files import as_code, is_secret, paths_of, read
from buril.serve.completing._words import terms

WINDOW_LINES = 30
MOST_FILES = 20_000
MOST_TERMS = 64
"""Terms of a query; the rarest count."""
_K1, _B = 1.2, 0.5
_TIMES_BITS = 4
_MOST_TIMES = (1 << _TIMES_BITS) - 1
_DEAD_SHARE = 1 / 3
_DEFINED = re.compile(
    r"\b(?:def|class|func|function|fn|interface|struct|type|trait|enum|module|contract|record|object|protocol)"
    r"\s+(?:\([^)\n]{0,80}\)\s*)?([A-Za-z_]\w+)"
    r"|^(?:export\s+)?(?:const|let|var)\s+([A-Za-z_]\w+)\s*=\s*(?:async\s*)?(?:\(|function)"
    r"|^(?:(?:public|private|protected|static|final|extern|inline|unsigned|const)\s+)*[A-Za-z_][\w<>\[\]*]*[\s*]+"
    r"([A-Za-z_]\w+)\s*\(",
    re.MULTILINE,
)


class Window(NamedTuple):
    """Lines of a file, the first from 0."""

    path: str
    start: int
    end: int
    num_terms: int


class Hit(NamedTuple):
    """A window that a query found."""

    window: Window
    score: float
    matched: int


class Held(NamedTuple):
    """A file of the index."""

    text: str
    language: str
    windows: range
    defines: frozenset[str]


class Index:
    """The files of a folder.

    Args:
        folder: its root; nothing outside of it is read.

    It is not safe to share between threads.

    Raises:
        BurilError: V600 where the folder is none.
    """

    def __init__(self, folder: Path) -> None:
        if not folder.is_dir():
            raise BurilError("V600", path=folder)
        self.folder = folder
        self.files: dict[str, Held] = {}
        self._windows: list[Window | None] = []
        self._postings: dict[str, array[int]] = {}
        self._defined: dict[str, set[str]] = {}
        self._dead = self._total = 0
        self.num_bytes = 0
        """Of the texts; the words by which they are found take about as much again."""

    @classmethod
    def of(cls, folder: Path, *, most_files: int = MOST_FILES) -> Index:
        """The index of a folder as it is now. 5,000 files take some seconds: build it beside the first requests."""
        found = cls(folder)
        for number, path in enumerate(paths_of(folder)):
            if number >= most_files:
                break
            found.update(path)
        return found

    @property
    def num_windows(self) -> int:
        """Windows that can be found."""
        return len(self._windows) - self._dead

    def update(self, path: str, text: str | None = None) -> bool:
        """Take a file as it is on disk, or as `text` says where an editor holds it unsaved; whether it is kept.

        A path that is gone, secret, or holds no code of people leaves the index.
        """
        self.remove(path)
        inside = not path.startswith(("/", "../")) and "/../" not in path
        if not inside or is_secret(path):
            return False
        code = read(self.folder, path) if text is None else as_code(text)
        language = detect(path, code or "") if code else ""
        if not code or not language:
            return False
        first = len(self._windows)
        lines = code.split("\n")
        for start in range(0, len(lines), WINDOW_LINES):
            self._add(path, start, lines[start : start + WINDOW_LINES])
        defines = frozenset(next(filter(None, found)) for found in _DEFINED.findall(code))
        for name in defines:
            self._defined.setdefault(name, set()).add(path)
        self.files[path] = Held(code, language, range(first, len(self._windows)), defines)
        self.num_bytes += len(code)
        return True

    def _add(self, path: str, start: int, lines: list[str]) -> None:
        counts = Counter(terms("\n".join(lines)))
        number = len(self._windows) << _TIMES_BITS
        self._windows.append(Window(path, start, start + len(lines), counts.total()))
        self._total += counts.total()
        for term, times in counts.items():
            postings = self._postings.get(term)
            if postings is None:
                postings = self._postings[term] = array("Q")
            postings.append(number | min(times, _MOST_TIMES))

    def remove(self, path: str) -> None:
        """Forget a file."""
        held = self.files.pop(path, None)
        if held is None:
            return
        self.num_bytes -= len(held.text)
        for name in held.defines:
            self._defined[name].discard(path)
        for number in held.windows:
            window = self._windows[number]
            if window is not None:
                self._total -= window.num_terms
                self._windows[number] = None
        self._dead += len(held.windows)
        if self._dead > 1_000 and self._dead > _DEAD_SHARE * len(self._windows):
            self._sweep()

    def settle(self) -> None:
        """Leave no trace of what files were before: searches find what they would in an index that is made anew."""
        if self._dead:
            self._sweep()

    def _sweep(self) -> None:
        """Number the windows anew, without the dead ones."""
        alive = np.array([window is not None for window in self._windows])
        renumbered = np.cumsum(alive) - 1
        for term in list(self._postings):
            packed = np.frombuffer(self._postings[term], dtype=np.uint64)
            numbers = (packed >> _TIMES_BITS).astype(np.int64)
            kept = alive[numbers]
            left = (renumbered[numbers[kept]].astype(np.uint64) << np.uint64(_TIMES_BITS)) | (
                packed[kept] & np.uint64(_MOST_TIMES)
            )
            del packed
            if left.size:
                self._postings[term] = array("Q", left.tobytes())
            else:
                del self._postings[term]
        for path, held in self.files.items():
            first = int(renumbered[held.windows.start]) if held.windows else 0
            self.files[path] = held._replace(windows=range(first, first + len(held.windows)))
        self._windows = [window for window in self._windows if window is not None]
        self._dead = 0

    def search(self, text: str, *, most: int = 8, without: Iterable[str] = ()) -> list[Hit]:
        """The windows that share most with a text, the best first; at most one in two of them of one file."""
        if not self.num_windows:
            return []
        scores = np.zeros(len(self._windows), dtype=np.float32)
        matched = np.zeros(len(self._windows), dtype=np.uint8)
        mean = self._total / self.num_windows
        for weight, packed in self._weighted(text):
            numbers = (packed >> np.uint64(_TIMES_BITS)).astype(np.int64)
            times = (packed & np.uint64(_MOST_TIMES)).astype(np.float32)
            # every window has about as many lines, so their length in words is only roughly allowed for
            scores[numbers] += weight * times * (_K1 + 1) / (times + _K1)
            matched[numbers] += 1
        return self._best(scores, matched, most=most, mean=mean, without=frozenset(without))

    def _weighted(self, text: str) -> list[tuple[float, np.ndarray]]:
        """The rarest terms of a query, each with its weight and where it stands."""
        known = [(len(self._postings[term]), term) for term in dict.fromkeys(terms(text)) if term in self._postings]
        total = len(self._windows)
        return [
            (math.log1p((total - count + 0.5) / (count + 0.5)), np.frombuffer(self._postings[term], dtype=np.uint64))
            for count, term in sorted(known)[:MOST_TERMS]
        ]

    def _best(
        self, scores: np.ndarray, matched: np.ndarray, *, most: int, mean: float, without: frozenset[str]
    ) -> list[Hit]:
        able = min(len(scores), 4 * most + 64)
        best = np.argpartition(-scores, able - 1)[:able]
        found = []
        for number in best.tolist():
            window = self._windows[number]
            if window is not None and scores[number] > 0 and window.path not in without:
                longer = 1 - _B + _B * window.num_terms / mean
                found.append(Hit(window, float(scores[number]) / max(0.5, longer), int(matched[number])))
        found.sort(key=lambda hit: (-hit.score, hit.window.path, hit.window.start))
        return found[:most]

    def text_of(self, window: Window) -> str:
        """The lines of a window."""
        return "\n".join(self.files[window.path].text.split("\n")[window.start : window.end])

    def defining(self, name: str) -> list[str]:
        """The files that seem to define a name, by path."""
        return sorted(self._defined.get(name, ()))
