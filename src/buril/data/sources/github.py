"""GitHub: the repositories of an organisation, a user, a search or a list of names, at a commit."""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from functools import cached_property
from typing import ClassVar

from pydantic import field_validator

from buril.core.errors import BurilError
from buril.core.settings import Json
from buril.data.source import Dropped, Repository, SourceFile
from buril.data.sources._github_api import FULL_NAME, Api, Facts
from buril.data.sources._github_hub import Hub
from buril.data.sources._github_settings import HubSettings

EVERY = 1 << 40


class Github:
    """Repositories of GitHub or of a GitHub Enterprise Server, as archives at a commit, never as clones.

    What is there is asked for once and kept: an interrupted run goes on where it was, and a later one asks with ETags.
    A repository that can't be had (gone, blocked, empty, an archive that is damaged or too large) is left out with its
    reason. Nothing of a repository is executed, and no link in an archive is followed.
    """

    version: ClassVar[int] = 1
    requires: ClassVar[tuple[str, ...]] = ("httpx",)

    class Settings(HubSettings):
        """Which repositories, and how to ask for them."""

        shorthand: ClassVar[str | None] = "repos"

        org: str = ""
        """All repositories of this organisation."""
        user: str = ""
        """All repositories that this user owns."""
        repos: tuple[str, ...] = ()
        """Repositories by name: `owner/name`, or `owner/name@ref` for a branch, a tag or a commit."""
        search: str = ""
        """A search as on the site: `language:python stars:>100`. More than 1000 results are asked for in windows of
        their days of creation."""
        topics: tuple[str, ...] = ()
        """All repositories with one of these topics."""

        @field_validator("repos", mode="before")
        @classmethod
        def _one(cls, value: object) -> object:
            return (value,) if isinstance(value, str) else value

        @field_validator("repos")
        @classmethod
        def _named(cls, value: tuple[str, ...]) -> tuple[str, ...]:
            for name in value:
                if not FULL_NAME.fullmatch(name.partition("@")[0]) or name.endswith("@"):
                    raise ValueError(f"{name!r} is not of the form owner/name or owner/name@ref")
            return value

    def __init__(self, settings: Settings) -> None:
        """Ask nothing yet.

        Raises:
            BurilError: D030 when the settings name nothing.
        """
        if not (settings.org or settings.user or settings.repos or settings.search or settings.topics):
            raise BurilError("D030")
        self.settings = settings

    def observe(self) -> Json:
        """Of each repository: its commit, licence and signals. Asks GitHub when the last listing is too old."""
        return self._hub.observe()

    def repositories(self) -> Iterator[Repository]:
        """The repositories that were observed, by name, each brought here before it is given."""
        return self._hub.repositories()

    def files(self, repository: Repository) -> Iterator[SourceFile | Dropped]:
        """The files of one repository at its commit, by path."""
        return self._hub.files(repository)

    def expected(self) -> tuple[int, int]:
        """Bytes and files there will be to read, as the API tells sizes."""
        return self._hub.expected()

    def notes(self) -> list[str]:
        """What the user should know of what was asked."""
        return self._hub.notes()

    @cached_property
    def _hub(self) -> Hub:
        return Hub(self.settings, self._find)

    def _find(self, api: Api, today: datetime.date) -> Iterator[Facts]:
        told = self.settings
        if told.org:
            yield from api.of_owner("orgs", told.org)
        if told.user:
            yield from api.of_owner("users", told.user)
        for name, _at, ref in (item.partition("@") for item in told.repos):
            yield api.named(name, ref)
        searches = ([told.search] if told.search else []) + [f"topic:{topic}" for topic in told.topics]
        for words in searches:
            yield from api.search(words, today, told.max_repositories or EVERY)
