"""A listing of repositories: asked for once, kept on the disk, and the same for everything that a run does with it.

`observe` may ask GitHub, when the listing it last made is older than the user wants. From then on the process holds to
that one, so that what is collected is what the artifact's key was made from, whatever the clock or a server does.
"""

from __future__ import annotations

import datetime
import hashlib
import json
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from urllib.parse import urlsplit

from buril.core.artifact import atomic, canonical
from buril.core.errors import BurilError
from buril.core.text import _
from buril.data.sources._github_api import Api, Facts, distinct, moment
from buril.data.sources._github_coverage import GIVE_UP, Service
from buril.data.sources._github_settings import API, CODECOV, COVERALLS, HubSettings
from buril.data.sources._http import Failed, Http
from buril.data.sources._patience import secret
from buril.data.sources._places import writable

FORMAT = 1
_PINNED: dict[str, Listing] = {}
Find = Callable[[Api, datetime.date], Iterable[Facts]]
"""How a source finds its repositories: it is given the API and today's day (UTC)."""


@dataclass(frozen=True)
class Listing:
    """Repositories by name, the day their ages count to, and what the user should know."""

    as_of: str
    made: float
    facts: tuple[Facts, ...]
    notes: tuple[str, ...] = ()


class Lists:
    """Makes, keeps and gives the listing of one source's settings."""

    def __init__(self, settings: HubSettings, cache: Path, find: Find) -> None:
        self._settings, self._find = settings, find
        self._cache = writable(cache)
        self._token = secret(settings.token)
        self.http = Http(settings.api, cache, token=self._token, patience=settings.http)
        self.api = Api(self.http, settings.api, token=bool(self._token))
        identity = canonical([FORMAT, type(settings).__qualname__, settings.identity()])
        name = hashlib.sha256(identity + b"\0" + self._token.encode()).hexdigest()
        self._path = cache / "listings" / f"{name}.json"

    def renewed(self) -> Listing:
        """The listing in force now: the kept one while it is fresh, else a new one.

        Raises:
            BurilError: D032 to D035, D037 when GitHub can't be asked or does not know the owner.
        """
        kept = self._load()
        if kept is None or time.time() - kept.made >= self._settings.refresh_minutes * 60:
            kept = self._make()
        _PINNED[str(self._path)] = kept
        return kept

    def current(self) -> Listing:
        """The listing that was observed in this process; before that, the one that is in force."""
        return _PINNED.get(str(self._path)) or self.renewed()

    @property
    def host(self) -> str:
        """What rows call the server: `github.com`, or the host of an Enterprise Server."""
        return "github.com" if self._settings.api == API else urlsplit(self._settings.api).hostname or ""

    def fatal(self, problem: Failed) -> BurilError:
        """The user's error for a failure that concerns all repositories."""
        host = urlsplit(self._settings.api).hostname
        if problem.reason == "rate_limit":
            return BurilError("D033", host=host, until=problem.detail or "?")
        if problem.reason in ("unauthorised", "forbidden"):
            return BurilError("D034", host=host)
        if problem.reason in ("bad_json", "gone", "too_large", "redirects"):
            return BurilError("D037", api=self._settings.api, problem=problem.reason)
        detail = f"{problem.reason} {problem.detail}".strip()
        return BurilError("D035", host=host, problem=detail)

    def _make(self) -> Listing:
        self.http.fresh_s = self._settings.refresh_minutes * 60
        today = datetime.datetime.now(datetime.timezone.utc).date()
        as_of = self._settings.as_of or today
        self.api.notes.clear()
        try:
            found = self._chosen(distinct(self._find(self.api, today)))
            facts = list(self.api.complete(found))
        except Failed as problem:
            raise self.fatal(problem) from problem
        facts = [replace(item, place=item.place or f"{self.host}/{item.name}") for item in distinct(facts)]
        facts = self._with_coverage([self._with_signals(item, as_of) for item in facts])
        facts.sort(key=lambda item: item.place)
        made = Listing(as_of.isoformat(), time.time(), tuple(facts), tuple(self._notes()))
        self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with atomic(self._path) as temporary:
            temporary.write_text(json.dumps(asdict(made)), encoding="utf-8")
            temporary.chmod(0o600)
        return made

    def _load(self) -> Listing | None:
        try:
            told = json.loads(self._path.read_bytes())
            facts = tuple(Facts(**item) for item in told["facts"])
            return Listing(str(told["as_of"]), float(told["made"]), facts, tuple(told["notes"]))
        except (OSError, ValueError, TypeError, KeyError):
            return None

    def _chosen(self, found: Sequence[Facts]) -> list[Facts]:
        """Those that the settings take; with a maximum, the most starred."""
        told = self._settings
        languages = None if told.languages is None else {name.lower() for name in told.languages}
        taken = [
            item
            for item in found
            if item.named
            or not (item.archived and told.archived == "exclude")
            and not (item.fork and told.forks == "exclude")
            and not (item.private and told.private == "exclude")
            and (languages is None or bool(item.problem) or item.language.lower() in languages)
        ]
        taken.sort(key=lambda item: (-item.stars, item.name.lower()))
        return taken[: told.max_repositories]

    def _with_signals(self, item: Facts, as_of: datetime.date) -> Facts:
        found = {
            "stars": float(item.stars),
            "archived": float(item.archived),
            "fork": float(item.fork),
            "age_days": age(item.created, as_of),
            "last_commit_age_days": age(item.committed, as_of),
            "open_issue_age_days": 0.0 if item.oldest_issue == "none" else age(item.oldest_issue, as_of),
            **item.signals,
        }
        asked = {"stars", "archived", "fork", "age_days", "last_commit_age_days", "open_issue_age_days"}
        left_out = asked - set(self._settings.signals)
        return replace(item, signals={k: v for k, v in found.items() if v is not None and k not in left_out})

    def _with_coverage(self, facts: list[Facts]) -> list[Facts]:
        """Ask the services about those repositories that anyone may know of."""
        told = self._settings
        bases = {"codecov": (told.codecov, CODECOV), "coveralls": (told.coveralls, COVERALLS)}
        services = []
        for name in told.coverage if "coverage" in told.signals else ():
            base, usual = bases.get(name, ("", ""))
            if base and (told.api == API or base != usual):
                http = Http(base, self._cache, patience=told.http)
                http.fresh_s = told.refresh_minutes * 60
                services.append(Service(name, http, base))

        def known(item: Facts) -> Facts:
            for service in services if not item.private and not item.problem else ():
                share = service.share(item.name)
                if share is not None:
                    return replace(item, signals={**item.signals, "coverage": share})
            return item

        if not services:
            return facts
        with ThreadPoolExecutor(told.downloads) as pool:
            done = list(pool.map(known, facts))
        for service in services:
            if service.silent >= GIVE_UP:
                self.api.notes.append(
                    _("{service} does not answer: coverage may be unknown").format(service=service.name)
                )
        return done

    def _notes(self) -> list[str]:
        notes = list(dict.fromkeys(self.api.notes))
        if not self._token:
            host = urlsplit(self._settings.api).hostname
            notes.append(
                _("{host} is asked without a token: only what is public, 60 requests an hour").format(host=host)
            )
        return notes


def age(time_: str, as_of: datetime.date) -> float | None:
    """Calendar days (UTC) from a time to a day; 0 for later ones; None when it is unknown."""
    then = moment(time_) if time_ else None
    if then is None:
        return None
    return float(max(0, (as_of - then.date()).days))
