"""From a listing to repositories on this disk: archives, licences, signals, for every source that reads GitHub."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from buril.code import license
from buril.core.artifact import atomic
from buril.core.settings import Json
from buril.core.text import _
from buril.data import _signals
from buril.data.source import Dropped, Repository, SourceFile, read_head
from buril.data.sources._github_api import Facts
from buril.data.sources._github_archive import Archives, Unpacked
from buril.data.sources._github_listing import Find, Lists
from buril.data.sources._github_settings import HubSettings
from buril.data.sources._http import Failed
from buril.data.sources._licenses import LicenseMap, is_license_text, of_repository
from buril.data.sources._listing import Lister, globs
from buril.data.sources._places import cache_folder

NOBODY_SAYS = frozenset({"", "NOASSERTION", "OTHER"})
IN_A_ROW = 3
"""After so many repositories in a row that the network kept back, it is the network that is broken, not they."""
_FILE_BYTES = 5_000
"""The size of a source file, where only the size of all of them is known."""
CONFLICT = "license_conflict"


@dataclass(frozen=True)
class _Had:
    """A repository of the listing: its files here, or why it could not be had."""

    facts: Facts
    files: Unpacked | None = None
    problem: str = ""
    detail: str = ""
    passing: bool = False


class Hub:
    """The repositories of one source's settings."""

    def __init__(self, settings: HubSettings, find: Find) -> None:
        self.settings = settings
        self._cache = cache_folder(settings.cache, "github")
        self._lists = Lists(settings, self._cache, find)
        self._archives = Archives(self._lists.http, self._cache, max_bytes=settings.max_repository_mb * 1_000_000)
        self._excluded = globs(settings.exclude)
        self._included = globs(settings.include) if settings.include else lambda path: True
        self._had: dict[str, _Had] = {}
        self._notes: list[str] = []

    def observe(self) -> Json:
        """Of each repository: its commit, what the API says of it, and how often the network kept it back so far."""
        seen: list[Json] = []
        for item in self._lists.renewed().facts:
            told: dict[str, Json] = dict(sorted(item.signals.items()))
            told.update(license=item.license, problem=item.problem)
            failures = self._failures(item)
            seen.append([item.place, item.commit, told, *([failures] if failures else [])])
        return seen

    def expected(self) -> tuple[int, int]:
        """Bytes and files there will be to read, as the API tells sizes: nothing is fetched for an estimate."""
        total = sum(item.bytes for item in self._lists.current().facts if not item.problem)
        return total, -(-total // _FILE_BYTES)

    def notes(self) -> list[str]:
        """What the user should know of the listing and of the repositories given so far."""
        return list(dict.fromkeys([*self._lists.current().notes, *self._notes]))

    def repositories(self) -> Iterator[Repository]:
        """The repositories by name, each brought here before it is given.

        Raises:
            BurilError: D033 to D035 when what keeps one back keeps all back.
        """
        facts = self._lists.current().facts
        in_a_row = 0
        for had in _ahead(self._have, facts, self.settings.downloads):
            in_a_row = in_a_row + 1 if had.passing else 0
            if in_a_row >= min(IN_A_ROW, len(facts)):
                raise self._lists.fatal(Failed(had.problem, had.detail))
            self._had[had.facts.place] = had
            yield self._described(had)

    def files(self, repository: Repository) -> Iterator[SourceFile | Dropped]:
        """The files of one repository, by path; of one that could not be had, the reason."""
        had = self._had.get(repository.name)
        if had is None:
            facts = next(item for item in self._lists.current().facts if item.place == repository.name)
            had = self._had[repository.name] = self._have(facts)
        if had.files is None:
            yield Dropped("", had.facts.bytes, had.problem, had.detail, "fetch")
            return
        lister = Lister(had.files.root)
        written = [entry.path for entry in had.files.entries if not entry.reason]
        licenses = LicenseMap(had.files.root, written, repository.license)
        for path, size, reason in had.files.entries:
            if reason:
                yield Dropped(path, size, reason)
            elif self._excluded(path) or not self._included(path):
                yield Dropped(path, size, "excluded")
            else:
                yield lister.look(path, licenses.of(path))

    # --- one repository

    def _have(self, item: Facts) -> _Had:
        """Bring the files of a repository here, unless they are here."""
        if item.problem or not item.commit:
            return _Had(item, None, item.problem or "empty_repository", item.detail)
        try:
            return _Had(item, self._archives.get(item.place, self._lists.api.archive(item), item.commit))
        except Failed as problem:
            if problem.reason in ("rate_limit", "unauthorised"):
                raise self._lists.fatal(problem) from problem
            passing = problem.reason in ("network", "timeout") or problem.status >= 500
            if passing:
                self._failed_again(item)
            return _Had(item, None, problem.reason, problem.detail, passing)

    def _described(self, had: _Had) -> Repository:
        item = had.facts
        if had.files is None:
            return Repository(item.place, "git", self._archives.empty(), item.url, item.commit)
        root = had.files.root
        paths = [entry.path for entry in had.files.entries]
        stated, conflict = agreed(item.license, root, [entry.path for entry in had.files.entries if not entry.reason])
        if conflict:
            note = _("{repo}: GitHub names the licence {api}, its files say {files}: it counts as unknown")
            self._notes.append(note.format(repo=item.place, api=item.license, files=conflict))
        own = _signals.repository_signals(paths, lambda path, most: read_head(root / path, most))
        if "committed" not in self.settings.coverage:
            own.pop(_signals.COVERAGE, None)
        own = {name: value for name, value in own.items() if name in self.settings.signals}
        signals = {**own, **item.signals, **({CONFLICT: 1.0} if conflict else {})}
        if not conflict:
            stated = stated or self.settings.license
        return Repository(item.place, "git", root, item.url, item.commit, stated, signals)

    # --- what the network kept back

    def _failures(self, item: Facts) -> int:
        try:
            return int(self._counter(item).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return 0

    def _failed_again(self, item: Facts) -> None:
        """Count it. The count is part of what is observed, so the next run has another key and tries again."""
        count = self._failures(item) + 1
        path = self._counter(item)
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with atomic(path) as temporary:
            temporary.write_text(str(count), encoding="utf-8")

    def _counter(self, item: Facts) -> Path:
        return self._cache / "failures" / f"{item.place.lower().replace('/', '+')}+{item.commit}"


def agreed(api: str, root: Path, paths: list[str]) -> tuple[str, str]:
    """The licence that GitHub and the repository's own files agree on, and what the files say where they do not.

    The files are read anew, since GitHub looks at one text alone. GitHub's word holds where the files say nothing. A
    text at the root that is not recognised, or another licence than GitHub's, makes it unknown: the stricter view.
    """
    told = "" if api.upper() in NOBODY_SAYS else license.normalise(api)
    own = of_repository(root, paths)
    if not told or own == told:
        return own, ""
    texts = [path for path in paths if "/" not in path and is_license_text(path)]
    if not own:
        return ("", "?") if texts else (told, "")
    # `MIT OR Apache-2.0` in the metadata, two texts at the root, and GitHub names one of them: no conflict
    parts = {_family(part) for part in own.replace("(", " ").replace(")", " ").split() if part not in ("AND", "OR")}
    return (own, "") if _family(told) in parts else ("", own)


def _family(name: str) -> str:
    """A GNU licence without what says whether later versions are allowed, which no bare text tells."""
    return name.lower().removesuffix("-only").removesuffix("-or-later")


def _ahead(have: Callable[[Facts], _Had], facts: Iterable[Facts], workers: int) -> Iterator[_Had]:
    """`have` of each, in order, a few of them ahead of the one that is asked for."""
    waiting: deque[Future[_Had]] = deque()
    with ThreadPoolExecutor(workers) as pool:
        try:
            for item in facts:
                waiting.append(pool.submit(have, item))
                if len(waiting) > 2 * workers:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
