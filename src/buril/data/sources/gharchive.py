"""GH Archive: the repositories that had the most stars in a window of time, found in the hourly dumps of all events."""

from __future__ import annotations

import datetime
import hashlib
import json
import re
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

from pydantic import Field, field_validator, model_validator

from buril.core.errors import BurilError
from buril.core.settings import Json, runtime
from buril.core.text import _
from buril.core.workers import each
from buril.data.source import Dropped, Repository, SourceFile
from buril.data.sources import _gharchive_events as events
from buril.data.sources._github_api import Api, Facts
from buril.data.sources._github_hub import Hub
from buril.data.sources._github_listing import age
from buril.data.sources._github_settings import HubSettings
from buril.data.sources._http import Failed, Http
from buril.data.sources._places import cache_folder, locked

BASE = "https://data.gharchive.org"
MAX_HOUR_BYTES = 4_000_000_000
AT_ONCE = 8
"""Hours that are on the disk as dumps at the same time; each is removed as soon as it is counted."""
_HOUR = re.compile(r"(\d{4}-\d{2}-\d{2})(?:-(\d{1,2}))?")


class Gharchive:
    """Repositories chosen by what happened to them: stars, pushes, issues within some hours, days or months.

    The dumps are read as a stream, hour by hour; what is counted of an hour is kept, so an interrupted run goes on and
    a longer window asks only for the hours it adds. The repositories found are then read from GitHub as the source
    `github` does it, with what the events said as further signals: `stars_window`, `forks_window`, `pushes_window`,
    `pulls_window`, `issues_opened_window`, `issues_closed_window`, and `oldest_issue_seen_days`, the age of the oldest
    issue that an event of the window showed open. A dump that is cut short or has broken lines is used as far as it
    goes, and said.
    """

    version: ClassVar[int] = 1
    requires: ClassVar[tuple[str, ...]] = ("httpx",)

    class Settings(HubSettings):
        """Which hours, which repositories of those that had events in them, and how to ask GitHub for these."""

        shorthand: ClassVar[str | None] = "since"

        since: str
        """The first hour (UTC), `2026-01-01-15`, or a day from its first hour on, `2026-01-01`."""
        until: str = ""
        """The last hour, or a day up to its last hour. Empty: the same as `since`."""
        base: str = BASE
        """Where the dumps are, as `BASE/2026-01-01-15.json.gz`."""
        folder: Path | None = None
        """A folder of this machine that holds the dumps; nothing is downloaded then."""
        min_stars: int = Field(5, ge=0)
        """Least number of stars given within the window."""
        min_pushes: int = Field(0, ge=0)
        """Least number of pushes within the window: above 0 leaves out what nobody works on."""
        max_repositories: int | None = Field(100, ge=1)
        """How many repositories at most, those with the most stars in the window first. None: all that qualify."""
        workers: int = runtime(0, ge=0)
        """Processes that read dumps. 0: one a processor."""

        @field_validator("since", "until")
        @classmethod
        def _hour(cls, value: str) -> str:
            if value:
                _moment(value, last=False)
            return value

        @model_validator(mode="after")
        def _forward(self) -> Gharchive.Settings:
            if _moment(self.since, last=False) > _moment(self.until or self.since, last=True):
                raise BurilError("D040", since=self.since, until=self.until)
            return self

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        place = str(settings.folder.expanduser()) if settings.folder else settings.base
        kind = hashlib.sha256(f"{events.VERSION}\0{place}".encode()).hexdigest()[:12]
        self._counts = cache_folder(settings.cache, "github") / "gharchive" / kind
        self._told: list[str] = []

    def observe(self) -> Json:
        """Of each repository: its commit, licence and signals. The first time this reads the dumps of the window."""
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
        """What the user should know of the dumps and of what was asked."""
        return [*self._hub.notes()]

    @cached_property
    def _hub(self) -> Hub:
        return Hub(self.settings, self._find)

    def _find(self, api: Api, today: datetime.date) -> Iterator[Facts]:
        told = self.settings
        found = [row for row in self._rows(api) if row["stars"] >= told.min_stars and row["pushes"] >= told.min_pushes]
        for row in found[: told.max_repositories]:
            item = api.named(row["name"])
            signals = {
                f"{name}_window": float(row[name]) for name in events.COLUMNS if name not in ("created", "public")
            }
            if row["oldest_issue"] is not None:
                opened = datetime.datetime.fromtimestamp(row["oldest_issue"], datetime.timezone.utc).isoformat()
                days = age(opened, told.as_of or today)
                signals.update({} if days is None else {"oldest_issue_seen_days": days})
            yield Facts(**{**vars(item), "named": False, "signals": signals})

    def _rows(self, api: Api) -> list[dict[str, Any]]:
        """What the events of the window say of each repository, the most starred first.

        Raises:
            BurilError: D001 for a folder that is not there, D035 when the dumps can't be had, D041 when there are none.
        """
        wanted = list(self._hours())
        if self.settings.folder is not None:
            self._forget_changed(self.settings.folder.expanduser(), wanted)
        with locked(self._counts / ".lock"):  # another run may be at the same hours
            waiting = [name for name in wanted if not (self._counts / f"{name}.json").exists()]
            for start in range(0, len(waiting), AT_ONCE):
                here = self._fetched(waiting[start : start + AT_ONCE])
                for name in each(events.read_hour, here, self.settings.workers, stage="collect"):
                    (self._counts / f"{name}.json.gz").unlink(missing_ok=True)
        had = [name for name in wanted if (self._counts / f"{name}.json").exists()]
        if not had:
            raise BurilError("D041", since=wanted[0], until=wanted[-1])
        api.notes.extend(self._said(had, len(wanted)))
        return events.merged(self._counts, had)

    def _hours(self) -> Iterator[str]:
        now = _moment(self.settings.since, last=False)
        last = _moment(self.settings.until or self.settings.since, last=True)
        while now <= last:
            yield f"{now:%Y-%m-%d}-{now.hour}"
            now += datetime.timedelta(hours=1)

    def _fetched(self, names: list[str]) -> list[events.Hour]:
        """The dumps of some hours, on this disk; an hour that was never published is left out."""
        if self.settings.folder is not None:
            folder = self.settings.folder.expanduser()
            found = [events.Hour(name, folder / f"{name}.json.gz", self._counts) for name in names]
            return [hour for hour in found if hour.file.is_file()]
        http = Http(self.settings.base, self._counts, patience=self.settings.http)
        here = []
        for name in names:
            file = self._counts / f"{name}.json.gz"
            try:
                http.download(f"{self.settings.base.rstrip('/')}/{name}.json.gz", file, max_bytes=MAX_HOUR_BYTES)
            except Failed as problem:
                if problem.reason not in ("gone", "forbidden"):
                    raise BurilError("D035", host=self.settings.base, problem=problem.reason) from problem
                continue
            here.append(events.Hour(name, file, self._counts))
        http.close()
        return here

    def _forget_changed(self, folder: Path, names: list[str]) -> None:
        """Count an hour anew when its file is another one."""
        if not folder.is_dir():
            raise BurilError("D001", path=folder)
        self._counts.mkdir(parents=True, exist_ok=True, mode=0o700)
        for name in names:
            file, mark = folder / f"{name}.json.gz", self._counts / f"{name}.stamp"
            stamp = f"{file.stat().st_size} {file.stat().st_mtime_ns}" if file.is_file() else "-"
            if not mark.exists() or mark.read_text(encoding="utf-8") != stamp:
                (self._counts / f"{name}.json").unlink(missing_ok=True)
                mark.write_text(stamp, encoding="utf-8")

    def _said(self, had: list[str], num_wanted: int) -> Iterator[str]:
        told = [json.loads((self._counts / f"{name}.json").read_text(encoding="utf-8")) for name in had]
        broken, cut = sum(item["broken"] for item in told), sum(item["truncated"] for item in told)
        yield _("GH Archive: {num_events} events in {num_hours} hours").format(
            num_events=sum(item["events"] for item in told), num_hours=len(had)
        )
        if broken or cut or len(had) < num_wanted:
            yield _("GH Archive: {missing} hours are missing, {cut} are cut short, {broken} lines are broken").format(
                missing=num_wanted - len(had), cut=cut, broken=broken
            )


def _moment(text: str, *, last: bool) -> datetime.datetime:
    """The first or last hour that `2026-01-01` or `2026-01-01-15` means.

    Raises:
        ValueError: it is neither.
    """
    match = _HOUR.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is neither a day (2026-01-01) nor an hour (2026-01-01-15)")
    hour = int(match[2]) if match[2] else 23 if last else 0
    return datetime.datetime.fromisoformat(f"{match[1]}T{hour:02d}:00:00")
