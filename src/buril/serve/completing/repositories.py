"""Repositories: folders that a server may read for context, each with its index, kept up with what changes on disk.

Nothing of the disk is read but what lies in a folder that was named, that git does not ignore, and that is no link. An
index is built beside the first requests, and looked at again at most every `REFRESH_S` seconds, and only while somebody
asks. What it takes in memory is bounded.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

from buril.code.language import detect
from buril.core.errors import BurilError
from buril.serve.completing._files import paths_of
from buril.serve.completing.context import Around, context, steady
from buril.serve.completing.index import MOST_FILES, Index
from buril.serve.completing.snippet import Snippet

REFRESH_S = 3.0
MOST_BYTES = 64_000_000
"""Text that the indexes hold together; files that come later by their path are left out."""
KEPT_ANSWERS = 256
LEAST_LINES, SAME_SHARE = 5, 0.7
"""Lines around a cursor that say something, and the share of them that a file must have to be the cursor's."""
Tell = Callable[..., None]


class Located(NamedTuple):
    """A file of a repository."""

    repository: str
    path: str


class Found(NamedTuple):
    """What the repositories give for a cursor: the file it is in, where that is known, its language, and snippets."""

    file: Located | None
    language: str = ""
    snippets: tuple[Snippet, ...] = ()


class Repository:
    """A folder and its index. Any thread may ask it.

    Raises:
        BurilError: V600 where the folder is none.
    """

    def __init__(self, name: str, folder: Path, *, most_bytes: int = MOST_BYTES) -> None:
        self.name, self.folder, self.most_bytes = name, folder.expanduser().resolve(), most_bytes
        self.index = Index(self.folder)
        self.lock = threading.RLock()
        self.left_out = 0
        self.version = 0
        """Rises with each change."""
        self.looked = -1e9
        self._refreshing = threading.Lock()
        self._stamps: dict[str, tuple[int, int, int]] = {}

    def refresh(self) -> None:
        """Take up what has changed on disk since the last time."""
        with self._refreshing:
            now = {path: stamp for path in self._listed() if (stamp := _stamp(self.folder / path))}
            changed = [path for path, stamp in now.items() if self._stamps.get(path) != stamp]
            gone = [path for path in self._stamps if path not in now]
            for path in gone:
                with self.lock:
                    self.index.remove(path)
            self.left_out = 0
            for path in changed:
                self._take(path, now)
            if changed or gone:
                with self.lock:
                    self.index.settle()
                    self.version += 1
            self._stamps, self.looked = now, time.monotonic()

    def _listed(self) -> list[str]:
        return [path for number, path in enumerate(paths_of(self.folder)) if number < MOST_FILES]

    def _take(self, path: str, now: dict[str, tuple[int, int, int]]) -> None:
        with self.lock:
            held = self.index.files.get(path)
            if self.index.num_bytes - (len(held.text) if held else 0) + now[path][1] > self.most_bytes:
                self.left_out += 1
                self.index.remove(path)
            else:
                self.index.update(path)

    def within(self, file: str) -> str | None:
        """The path of a file of the index that a client means: by its path here, or by the end of one elsewhere."""
        text = unquote(urlsplit(file).path) if file.startswith("file:") else file
        parts = PurePosixPath(text.replace("\\", "/")).parts
        if ".." in parts:
            return None
        with self.lock:
            ends = ("/".join(parts[start:]) for start in range(len(parts)))
            return next((path for path in ends if path in self.index.files), None)


class Repositories:
    """The folders of a server.

    Args:
        folders: by the names that clients call them.
        tell: writes a line of the log.

    Raises:
        BurilError: V600 where a folder is none.
    """

    def __init__(self, folders: Mapping[str, Path], *, tell: Tell | None = None) -> None:
        most = MOST_BYTES // max(1, len(folders))
        self._all = {name: Repository(name, folder, most_bytes=most) for name, folder in folders.items()}
        self._tell = tell
        self._answers: OrderedDict[object, Found] = OrderedDict()
        self._lock = threading.Lock()

    def __bool__(self) -> bool:
        return bool(self._all)

    @property
    def version(self) -> int:
        """Rises with each change of a file."""
        return sum(one.version for one in self._all.values())

    def check(self, name: str) -> None:
        """Refuse a repository that is not there.

        Raises:
            BurilError: V040.
        """
        if self._all and name and name not in self._all:
            raise BurilError("V040", name=name[:100], known=", ".join(sorted(self._all)))

    def start(self) -> None:
        """Build the indexes, each beside what else is done."""
        for one in self._all.values():
            threading.Thread(target=self._build, args=(one,), name="buril-index", daemon=True).start()

    def _build(self, one: Repository) -> None:
        began = time.monotonic()
        one.refresh()
        if self._tell:
            self._tell("repository", name=one.name, files=len(one.index.files), left_out=one.left_out,
                       mb=round(one.index.num_bytes / 1e6, 1), s=round(time.monotonic() - began, 1))  # fmt: skip

    def _keep_up(self, *, settled: bool) -> None:
        """Look at what is older than `REFRESH_S`; with `settled` at all, and now."""
        for one in self._all.values():
            if settled:
                one.refresh()
            elif one.version and time.monotonic() - one.looked > REFRESH_S:
                one.looked = time.monotonic()
                threading.Thread(target=one.refresh, name="buril-index", daemon=True).start()

    def locate(self, file: str, repository: str = "") -> Located | None:
        """The file that a client means, in the repository it names or in any."""
        ones = [self._all[repository]] if repository in self._all else list(self._all.values())
        return next((Located(one.name, path) for one in ones if (path := one.within(file))), None)

    def find(self, around: Around, repository: str = "", *, settled: bool = False, guess: bool = False) -> Found:
        """What they give for a cursor.

        Args:
            around: the edited file; its path as the client has it, "" where it does not say.
            repository: the name of that which it is in, "" where the client does not say.
            settled: look at the disk first, so that the same files give the same.
            guess: a file that is not named is known by the lines around the cursor.
        """
        self._keep_up(settled=settled)
        placed = steady(around)
        key = (self.version, repository, guess, around.path, around.language, hash(placed.prefix), hash(placed.suffix))
        with self._lock:
            known = self._answers.get(key)
            if known is not None:
                self._answers.move_to_end(key)
                return known
        found = self._find(placed, repository, guess=guess)
        with self._lock:
            self._answers[key] = found
            while len(self._answers) > KEPT_ANSWERS:
                self._answers.popitem(last=False)
        return found

    def _find(self, around: Around, repository: str, *, guess: bool) -> Found:
        file = self.locate(around.path, repository) if around.path else self._guessed(around) if guess else None
        one = self._all.get(file.repository if file else repository if around.path else "")
        if one is None and len(self._all) == 1 and _may_be_new(around.path):
            one = next(iter(self._all.values()))
        if one is None:
            return Found(file)
        path = file.path if file else shown(around.path)
        language = around.language or detect(path, around.prefix)
        with one.lock:
            snippets = context(one.index, replace(around, path=path, language=language))
        return Found(file or Located(one.name, path), language, tuple(snippets))

    def _guessed(self, around: Around) -> Located | None:
        """The file whose lines stand around the cursor, where there is one that has most of them."""
        near = _lines(around.near.split("\n"))
        if len(near) < LEAST_LINES:
            return None
        best: tuple[float, Located] | None = None
        for one in self._all.values():
            with one.lock:
                for path in dict.fromkeys(hit.window.path for hit in one.index.search(around.near, most=4)):
                    share = len(near & _lines(one.index.files[path].text.split("\n"))) / len(near)
                    if share >= SAME_SHARE and (best is None or share > best[0]):
                        best = share, Located(one.name, path)
        return best[1] if best else None


def _may_be_new(file: str) -> bool:
    """Whether a path that no repository has is one in a repository nevertheless: that of a file not saved yet."""
    path = PurePosixPath(file.replace("\\", "/"))
    return bool(file) and not path.is_absolute() and ".." not in path.parts and ":" not in path.parts[0]


def shown(file: str) -> str:
    """A path as a prompt may have it: one that leads through a client's file system by its name alone."""
    return file if _may_be_new(file) else PurePosixPath(file.replace("\\", "/")).name


def _lines(lines: Iterable[str]) -> frozenset[str]:
    """The lines that say something."""
    return frozenset(line for line in map(str.strip, lines) if len(line) > 3)


def _stamp(path: Path) -> tuple[int, int, int] | None:
    """What changes with a file; None where it can't be looked at."""
    try:
        told = path.lstat()
    except OSError:
        return None
    return told.st_mtime_ns, told.st_size, told.st_ino
