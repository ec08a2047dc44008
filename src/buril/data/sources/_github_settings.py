"""What the sources that read from GitHub can be told, whichever way they find the repositories."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Literal, get_args
from urllib.parse import urlsplit

from pydantic import Field, field_validator

from buril.code import license
from buril.core.settings import Settings as BaseSettings
from buril.core.settings import runtime
from buril.data.sources._listing import NOT_SOURCE
from buril.data.sources._patience import Patience

API = "https://api.github.com"
CODECOV, COVERALLS = "https://codecov.io", "https://coveralls.io"
Signal = Literal[
    "stars", "coverage", "open_issue_age_days", "last_commit_age_days", "age_days", "ci", "archived", "fork"
]
Choice = Literal["include", "exclude"]


class HubSettings(BaseSettings):
    """How to ask GitHub, and which of the repositories found to take."""

    token: str = runtime("")
    """`env:NAME`, the environment variable that holds a token; the token itself is never written anywhere. Without one
    only public repositories are seen, at 60 requests an hour in place of 5000."""
    api: str = API
    """The API's address. GitHub Enterprise Server: `https://HOST/api/v3`."""
    archived: Choice = "include"
    """Repositories that their owner has closed for good."""
    forks: Choice = "exclude"
    """Forks, but for those named in `repos`; left out by default, since most hold nothing that the original lacks."""
    private: Choice = "include"
    """Repositories that are not public, where the token sees any."""
    languages: tuple[str, ...] | None = None
    """Only repositories whose main language, as GitHub names it, is one of these. None: any. Spares downloads; which
    files are kept is said in `select`."""
    max_repositories: int | None = Field(None, ge=1)
    """How many repositories at most, the most starred first. None: all that are found."""
    max_repository_mb: int = Field(2000, ge=1)
    """The largest archive to take, in MB, packed and unpacked. The Linux kernel unpacks to some 1400."""
    license: str = ""
    """The licence (SPDX, or a word of your own such as `internal`) of repositories that state none that is known."""
    include: tuple[str, ...] = ()
    """Only paths that fit one of these globs (relative to the repository). Empty: all."""
    exclude: tuple[str, ...] = NOT_SOURCE
    """Paths to leave out, as globs; a name without a slash fits at any depth."""
    signals: tuple[Signal, ...] = get_args(Signal)
    """Which numbers about a repository its rows get. Fewer means fewer reasons to collect again: stars change daily."""
    coverage: tuple[Literal["codecov", "coveralls", "committed"], ...] = ("codecov", "coveralls", "committed")
    """Where test coverage is looked for: the services in this order, which are asked about public repositories alone,
    and what is committed (a report of a coverage tool, or a badge in the README). A service's word goes first, since a
    committed report may be old."""
    codecov: str = CODECOV
    """The address of Codecov. With another `api` the services are asked only if their address is another, too."""
    coveralls: str = COVERALLS
    """The address of Coveralls."""
    as_of: datetime.date | None = None
    """The day (UTC) that ages in days are counted to. None: the day of the listing, so that a listing of another day
    gives other ages; set it to keep them."""
    refresh_minutes: float = runtime(60.0, ge=0)
    """For how long a listing and what it asked hold. Afterwards `buril plan` and `buril run` ask again, with ETags, so
    that what has not changed costs nothing of the rate."""
    downloads: int = runtime(4, ge=1, le=16)
    """Archives that are fetched at once."""
    cache: Path | None = runtime(None)
    """Where answers and unpacked archives are kept. None: `~/.cache/buril/github`."""
    http: Patience = runtime(Patience())
    """Timeouts and retries."""

    @field_validator("api", "codecov", "coveralls")
    @classmethod
    def _address(cls, value: str) -> str:
        parts = urlsplit(value)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.username or parts.query:
            raise ValueError(f"{value!r} is not an address like https://HOST/api/v3")
        return value.rstrip("/")

    @field_validator("license")
    @classmethod
    def _known(cls, value: str) -> str:
        return license.declared(value)
