"""What the file names of a repository tell of how it is kept: a CI service's files, tests."""

from __future__ import annotations

import re
from collections.abc import Iterable

_CI = re.compile(
    r"\.github/workflows/[^/]+\.ya?ml|\.gitlab-ci\.ya?ml|\.travis\.ya?ml|\.circleci/config\.ya?ml|jenkinsfile"
    r"|azure-pipelines\.ya?ml|\.?appveyor\.ya?ml|bitbucket-pipelines\.ya?ml|\.cirrus\.ya?ml|\.drone\.ya?ml"
    r"|\.woodpecker\.ya?ml|\.buildkite/[^/]+\.ya?ml|\.(?:gitea|forgejo)/workflows/[^/]+\.ya?ml|\.builds/[^/]+\.ya?ml",
    re.IGNORECASE,
)
_TEST = re.compile(
    r"(?:.*/)?(?:tests?|specs?|__tests__|testing|t)/.+\.\w+"
    r"|(?:.*/)?(?:test_[^/]*\.py|[^/]*_test\.(?:py|go|cc|cpp|dart|exs)|[^/]*[.-](?:test|spec)\.[cm]?[jt]sx?"
    r"|[^/]*(?:_spec\.rb|_test\.rb|Tests?\.(?:java|kt|cs|php|scala|swift)))"
)


def has_ci(paths: Iterable[str]) -> bool:
    """Whether a repository says how a CI service tests it."""
    return any(_CI.fullmatch(path) for path in paths)


def has_tests(paths: Iterable[str]) -> bool:
    """Whether a repository holds files that are called tests, in the ways usual in its languages."""
    return any(_TEST.fullmatch(path) for path in paths)
