"""Signals that a repository's own files give: whether it is tested by a CI service, and how much its tests reach.

Numbers by name, the same for every source; one that nobody knows is left out. What only a server knows (stars, issues)
the source adds.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from pathlib import PurePosixPath

from buril.data import _coverage

CI, COVERAGE = "ci", "coverage"
_CI_FILE = re.compile(
    r"\.github/workflows/[^/]+\.ya?ml|\.gitlab-ci\.ya?ml|\.travis\.ya?ml|\.circleci/config\.ya?ml|jenkinsfile"
    r"|azure-pipelines\.ya?ml|\.azure-pipelines/[^/]+\.ya?ml|\.?appveyor\.ya?ml|bitbucket-pipelines\.ya?ml"
    r"|\.cirrus\.ya?ml|\.drone\.ya?ml|\.woodpecker\.ya?ml|\.woodpecker/[^/]+\.ya?ml|\.buildkite/[^/]+\.ya?ml"
    r"|\.semaphore/[^/]+\.ya?ml|\.gitea/workflows/[^/]+\.ya?ml|\.forgejo/workflows/[^/]+\.ya?ml|\.builds/[^/]+\.ya?ml",
    re.IGNORECASE,
)
_README = re.compile(r"readme(?:\.(?:md|rst|txt|markdown|adoc))?", re.IGNORECASE)
Read = Callable[[str, int], bytes]


def repository_signals(paths: Iterable[str], read: Read) -> dict[str, float]:
    """`ci` (0 or 1) always, `coverage` (0 to 1) where a committed report or a static badge in the README states it.

    Args:
        paths: the files of the repository, from its root.
        read: gives at most that many bytes of one of them, b"" when it can't be read.
    """
    reports: dict[int, list[str]] = {}
    readmes: list[str] = []
    tested = 0.0
    for path in paths:
        if tested == 0 and _CI_FILE.fullmatch(path):
            tested = 1.0
        place = _coverage.rank(path)
        if place is not None:
            reports.setdefault(place, []).append(path)
        elif _README.fullmatch(path):
            readmes.append(path)
    found = {CI: tested}
    share = _committed(reports, read)
    for path in sorted(readmes) if share is None else ():
        share = _coverage.of_readme(read(path, 200_000).decode("utf-8", "replace"))
        if share is not None:
            break
    return found if share is None else {**found, COVERAGE: share}


def is_needed(path: str) -> bool:
    """Whether a file may bear on the signals, so that a source must have it at hand though it is no source code."""
    return _coverage.rank(path) is not None or _README.fullmatch(path) is not None


def _committed(reports: dict[int, list[str]], read: Read) -> float | None:
    """The share over all reports of the first form that can be read: one a module is usual, two forms are one run."""
    for place in sorted(reports):
        by_folder: dict[str, _coverage.Covered] = {}
        for path in sorted(reports[place]):
            found = _coverage.of_file(path, read(path, _coverage.MAX_REPORT_BYTES + 1))
            if found is not None:
                by_folder.setdefault(str(PurePosixPath(path).parent), found)
        if by_folder:
            hit, total = (sum(item[at] for item in by_folder.values()) for at in (0, 1))
            return hit / total
    return None
