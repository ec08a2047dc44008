"""What GitHub says of repositories: which there are (REST), and their facts in bulk (GraphQL, else REST).

Sources: docs.github.com/en/rest (2022-11-28: repos, search, commits, issues; paging by `Link`) and /en/graphql
(`nodes`, `Repository`). Listing is by REST, since conditional requests cost nothing there and no token is needed; the
node ids it gives ask GraphQL for a hundred repositories at once. Every repository ends as `Facts`, one that can't be
had with its reason: none of them ever ends a listing.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import quote, urlencode

from buril.core.errors import BurilError
from buril.core.text import _
from buril.data.sources import _git
from buril.data.sources._http import Failed, Http

PAGE = 100
BULK = 50
"""Repositories a GraphQL query: a hundred are allowed, and time out now and then."""
SEARCH_MOST = 1000
"""A search gives no more than this, however many there are."""
FIRST_DAY = datetime.date(2007, 10, 1)
"""No repository on GitHub is older."""
ISSUE_PAGES = 10
"""Pages of open issues and pull requests looked through for the oldest issue, by REST."""
FULL_NAME = re.compile(r"(?![.]+/)[A-Za-z0-9._-]{1,100}/(?![.]+$)[A-Za-z0-9._-]{1,100}")
_COMMIT = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")
_QUERY = """query($ids:[ID!]!){nodes(ids:$ids){...on Repository{id nameWithOwner isEmpty isDisabled
stargazerCount hasIssuesEnabled licenseInfo{spdxId} defaultBranchRef{target{oid ...on Commit{committedDate}}}
issues(states:OPEN,first:1,orderBy:{field:CREATED_AT,direction:ASC}){totalCount nodes{createdAt}}}}}"""


@dataclass(frozen=True)
class Facts:
    """What the API says of a repository. Times are ISO 8601 in UTC, "" when unknown; `problem` is why it can't be had.

    `oldest_issue` is the time of the oldest open issue, `none` when none is open, "" when nobody knows. `named`: the
    user asked for this very repository, at `ref` where that is not "".
    """

    name: str
    id: str = ""
    place: str = ""
    url: str = ""
    commit: str = ""
    license: str = ""
    language: str = ""
    stars: int = 0
    bytes: int = 0
    private: bool = False
    archived: bool = False
    fork: bool = False
    created: str = ""
    committed: str = ""
    oldest_issue: str = ""
    branch: str = ""
    ref: str = ""
    named: bool = False
    has_issues: bool = True
    problem: str = ""
    detail: str = ""
    signals: Mapping[str, float] = field(default_factory=dict)


class Api:
    """One GitHub, or one GitHub Enterprise Server (`https://HOST/api/v3`)."""

    def __init__(self, http: Http, base: str, *, token: bool) -> None:
        self._http, self._base, self._bulk = http, base.rstrip("/"), token
        self.notes: list[str] = []

    @property
    def _graphql(self) -> str:
        return self._base.removesuffix("/v3") + "/graphql"

    def archive(self, facts: Facts) -> str:
        """Where the archive of a repository at its commit is asked for."""
        return f"{self._base}/repos/{facts.name}/tarball/{facts.commit}"

    # --- which

    def of_owner(self, kind: str, owner: str) -> Iterator[Facts]:
        """All repositories of an organisation (`orgs`) or a user (`users`).

        Raises:
            BurilError: D032 when there is no such owner.
        """
        query = {"orgs": "type=all&sort=full_name", "users": "type=owner&sort=full_name"}[kind]
        try:
            for item in self._pages(f"{self._base}/{kind}/{quote(owner, safe='')}/repos?per_page={PAGE}&{query}"):
                yield from _facts(item)
        except Failed as problem:
            if problem.reason == "gone":
                raise BurilError("D032", owner=owner) from problem
            raise

    def search(self, query: str, until: datetime.date, most: int) -> Iterator[Facts]:
        """The repositories that a search finds, the most starred first within each window of days of creation."""
        yield from self._window(query, FIRST_DAY, until, most)

    def named(self, name: str, ref: str = "") -> Facts:
        """One repository by its name, at a ref; a new name or owner is followed."""
        asked = Facts(name, ref=ref, named=True)
        try:
            answer = self._http.get(f"{self._base}/repos/{name}").value
        except Failed as problem:
            return self._failed(asked, problem)
        found = next(_facts(answer), replace(asked, problem="bad_json"))
        return replace(found, ref=ref, named=True)

    def _window(self, query: str, first: datetime.date, last: datetime.date, most: int) -> Iterator[Facts]:
        """A search over the repositories created between two days, halved while it has more than a search gives."""
        whole = first == FIRST_DAY and "created:" in query
        words = query if whole else f"{query} created:{first}..{last}"
        arguments = urlencode({"q": words, "sort": "stars", "order": "desc", "per_page": PAGE})
        url = f"{self._base}/search/repositories?{arguments}"
        answer = self._http.get(url)
        total = _count(_map(answer.value).get("total_count"))
        if total > SEARCH_MOST and most > SEARCH_MOST:
            if not whole and first < last:
                middle = first + (last - first) // 2
                yield from self._window(query, first, middle, most)
                yield from self._window(query, middle + datetime.timedelta(days=1), last, most)
                return
            self.notes.append(
                _("the search `{query}` has {total} results, GitHub gives the first {most}").format(
                    query=words, total=total, most=SEARCH_MOST
                )
            )
        for number, item in enumerate(self._pages(url)):
            if number >= most:
                return
            yield from _facts(item)

    def _pages(self, url: str) -> Iterator[Any]:
        """The items of all pages, one page asked for at a time."""
        seen: set[str] = set()
        while url and url not in seen:
            seen.add(url)
            answer = self._http.get(url)
            items = answer.value
            if isinstance(items, dict):
                if items.get("incomplete_results"):
                    self.notes.append(_("GitHub gave the results of a search in part only: it took too long there"))
                items = items.get("items")
            if not isinstance(items, list):
                raise Failed("bad_json", "no list")
            yield from items
            url = answer.next

    # --- what of each

    def complete(self, listed: Sequence[Facts]) -> Iterator[Facts]:
        """The facts of each, with its commit (of its ref, else of its default branch) and its oldest open issue."""
        for start in range(0, len(listed), BULK):
            some = listed[start : start + BULK]
            known = self._by_graphql([item for item in some if item.id and not item.problem]) if self._bulk else {}
            for item in some:
                if item.problem:
                    yield item
                    continue
                found = known.get(item.id) or self._by_rest(item)
                yield self._at(found) if item.ref and not found.problem else found

    def _by_graphql(self, some: Sequence[Facts]) -> dict[str, Facts]:
        """Node id → facts, for all that GraphQL tells whole; errors about some leave the others."""
        if not some:
            return {}
        try:
            answer = self._http.post(self._graphql, {"query": _QUERY, "variables": {"ids": [item.id for item in some]}})
        except Failed as problem:
            if problem.reason in ("rate_limit", "network", "timeout", "unauthorised"):
                raise
            self._bulk = False  # not allowed, or not there: REST says the same, a repository at a time
            self.notes.append(_("GraphQL can't be used ({reason}): asking by REST").format(reason=problem.reason))
            return {}
        nodes = _map(_map(answer.value).get("data")).get("nodes")
        by_id = {_text(_map(node).get("id")): _map(node) for node in (nodes if isinstance(nodes, list) else ())}
        return {item.id: _told(item, by_id[item.id]) for item in some if item.id in by_id}

    def _by_rest(self, item: Facts) -> Facts:
        repository = f"{self._base}/repos/{item.name}"
        try:
            if not item.ref:
                branch = quote(item.branch or "HEAD", safe="")
                item = _committed(item, self._http.get(f"{repository}/commits/{branch}").value)
            return replace(item, oldest_issue=self._oldest(repository) if item.has_issues else "")
        except Failed as problem:
            return self._failed(item, problem)

    def _at(self, item: Facts) -> Facts:
        try:
            answer = self._http.get(f"{self._base}/repos/{item.name}/commits/{quote(item.ref, safe='')}").value
            return _committed(replace(item, commit="", committed=""), answer)
        except Failed as problem:
            return self._failed(item, problem)

    def _oldest(self, repository: str) -> str:
        """The time of the oldest open issue; pull requests, which the list holds too, are passed over."""
        url = f"{repository}/issues?state=open&sort=created&direction=asc&per_page=30"
        for _page in range(ISSUE_PAGES):
            answer = self._http.get(url)
            for issue in answer.value if isinstance(answer.value, list) else ():
                if isinstance(issue, dict) and "pull_request" not in issue:
                    return _time(issue.get("created_at"))
            if not answer.next:
                return "none"
            url = answer.next
        return ""

    @staticmethod
    def _failed(item: Facts, problem: Failed) -> Facts:
        """A repository that can't be had; what concerns all of them goes on."""
        if problem.reason in ("rate_limit", "network", "timeout", "unauthorised"):
            raise problem
        reasons = {"conflict": "empty_repository", "refused": "no_such_ref"}
        return replace(item, problem=reasons.get(problem.reason, problem.reason), detail=problem.detail)


def _facts(item: Any) -> Iterator[Facts]:
    """A repository as REST gives it; nothing for what has not its form."""
    name = item.get("full_name") if isinstance(item, dict) else None
    if not isinstance(name, str) or not FULL_NAME.fullmatch(name):
        return
    url = _text(item.get("html_url"))
    yield Facts(
        name,
        id=_text(item.get("node_id")),
        place=_git.place(url) or f"github.com/{name}",
        url=url,
        license=_text(_map(item.get("license")).get("spdx_id")),
        language=_text(item.get("language")),
        stars=_count(item.get("stargazers_count")),
        bytes=_count(item.get("size")) * 1024,
        private=item.get("private") is not False,
        archived=item.get("archived") is True,
        fork=item.get("fork") is True,
        created=_time(item.get("created_at")),
        branch=_text(item.get("default_branch")),
        has_issues=item.get("has_issues") is not False,
        problem="disabled" if item.get("disabled") is True else "",
    )


def _told(item: Facts, node: Mapping[str, Any]) -> Facts:
    """Facts with what GraphQL adds."""
    target = _map(_map(node.get("defaultBranchRef")).get("target"))
    issues, enabled = _map(node.get("issues")), node.get("hasIssuesEnabled") is True
    nodes = issues.get("nodes")
    first = _map(nodes[0]) if isinstance(nodes, list) and nodes else {}
    oldest = _time(first.get("createdAt")) or ("none" if issues.get("totalCount") == 0 else "")
    commit = _text(target.get("oid"))
    return replace(
        item,
        stars=_count(node.get("stargazerCount")),
        license=_text(_map(node.get("licenseInfo")).get("spdxId")) or item.license,
        commit=commit if _COMMIT.fullmatch(commit) else "",
        committed=_time(target.get("committedDate")),
        oldest_issue=oldest if enabled else "",
        has_issues=enabled,
        problem="disabled" if node.get("isDisabled") is True else "" if commit else "empty_repository",
    )


def _committed(item: Facts, answer: Any) -> Facts:
    """Facts with the commit that REST names."""
    commit = _text(answer.get("sha")) if isinstance(answer, dict) else ""
    if not _COMMIT.fullmatch(commit):
        return replace(item, problem="bad_json")
    dated = _map(_map(answer.get("commit")).get("committer"))
    return replace(item, commit=commit, committed=_time(dated.get("date")))


def _map(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _text(value: Any) -> str:
    """A text that can be written: JSON may hold halves of characters."""
    return value.encode("utf-8", "replace").decode() if isinstance(value, str) else ""


def _count(value: Any) -> int:
    return value if isinstance(value, int) and 0 <= value < 1 << 40 else 0


def _time(value: Any) -> str:
    """A time that can be read, else ""."""
    return value if isinstance(value, str) and moment(value) is not None else ""


def moment(value: str) -> datetime.datetime | None:
    """A time as GitHub writes it, `2026-01-02T03:04:05Z`, in UTC; None for what is none."""
    try:
        found = datetime.datetime.fromisoformat(value.replace("Z", "+00:00"))
        found = found if found.tzinfo else found.replace(tzinfo=datetime.timezone.utc)
        return found.astimezone(datetime.timezone.utc)
    except (ValueError, OverflowError):
        return None


def distinct(found: Iterable[Facts]) -> list[Facts]:
    """Each repository once, by its name without regard to case."""
    first: dict[str, Facts] = {}
    for item in found:
        first.setdefault(item.name.lower(), item)
    return list(first.values())
