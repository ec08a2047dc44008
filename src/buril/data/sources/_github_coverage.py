"""Test coverage that a service knows of a public repository: Codecov and Coveralls, by their API, else by their badge.

Formats: docs.codecov.com/reference (v2, `/api/v2/github/OWNER/repos/NAME/`), `https://coveralls.io/github/OWNER/NAME.json`.
A service that does not know the repository, or does not answer, leaves the coverage unknown.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from buril.data import _coverage
from buril.data.sources._http import Failed, Http

GIVE_UP = 3
"""After so many repositories in a row that got no answer, a service is asked no more."""


class Service:
    """A coverage service: asks its API, then its badge."""

    def __init__(self, name: str, http: Http, base: str) -> None:
        self.name, self._http, self._base = name, http, base
        self.silent = 0

    def share(self, repository: str) -> float | None:
        """The coverage of `owner/name`, 0 to 1; None when it is unknown."""
        if self.silent >= GIVE_UP:
            return None
        try:
            found = self._try(lambda: self._api(repository))
            found = self._try(lambda: self._badge(repository)) if found is None else found
        except Failed:
            self.silent += 1
            return None
        self.silent = 0
        return found

    @staticmethod
    def _try(ask: Callable[[], float | None]) -> float | None:
        """An answer, or None for a refusal, which says only that the repository is not known here.

        Raises:
            Failed: the service does not answer.
        """
        try:
            return ask()
        except Failed as problem:
            if problem.again or problem.reason == "rate_limit":
                raise
            return None

    def _api(self, repository: str) -> float | None:
        owner, _, name = repository.partition("/")
        if self.name == "codecov":
            value = self._http.get(f"{self._base}/api/v2/github/{owner}/repos/{name}/", accept="application/json").value
            totals = value.get("totals") if isinstance(value, dict) else None
            return _percent(totals, "coverage")
        value = self._http.get(f"{self._base}/github/{repository}.json", accept="application/json").value
        return _percent(value, "covered_percent")

    def _badge(self, repository: str) -> float | None:
        place = {"codecov": f"gh/{repository}/graph/badge.svg", "coveralls": f"repos/github/{repository}/badge.svg"}
        url = f"{self._base}/{place[self.name]}"
        return _coverage.of_badge(str(self._http.get(url, accept="image/svg+xml", json=False).value))


def _percent(value: Any, name: str) -> float | None:
    number = value.get(name) if isinstance(value, Mapping) else None
    found = _coverage.covered(number, 100) if isinstance(number, int | float | str) else None
    return found.share if found else None
