"""What the file names of a repository tell of how it is kept: whether it has tests."""

from __future__ import annotations

import re
from collections.abc import Iterable

_TEST = re.compile(
    r"(?:.*/)?(?:tests?|specs?|__tests__|testing|t)/.+\.\w+"
    r"|(?:.*/)?(?:test_[^/]*\.py|[^/]*_test\.(?:py|go|cc|cpp|dart|exs)|[^/]*[.-](?:test|spec)\.[cm]?[jt]sx?"
    r"|[^/]*(?:_spec\.rb|_test\.rb|Tests?\.(?:java|kt|cs|php|scala|swift)))"
)


def has_tests(paths: Iterable[str]) -> bool:
    """Whether a repository holds files that are called tests, in the ways usual in its languages."""
    return any(_TEST.fullmatch(path) for path in paths)
