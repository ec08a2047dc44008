"""The source `github` against a server on this machine that speaks the real API, faults included."""

from __future__ import annotations

import contextlib
import datetime
import hashlib
import io
import json
import tarfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from buril.core.errors import BurilError
from buril.data.source import Dropped, SourceFile
from buril.data.sources import _github_api
from buril.data.sources._github_listing import age
from buril.data.sources.github import Github as Source
from tests.data.github_api import MIT, Github, Repo, hang, send, serving, tarball

Make = Callable[..., Source]


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Github]:
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with serving() as found:
        monkeypatch.setenv("GH_TEST", found.token)
        yield found


@pytest.fixture
def source(server: Github, tmp_path: Path) -> Make:
    def make(**told: Any) -> Source:
        http = {"backoff_s": 0.01, "timeout_s": 5, "attempts": 3, "max_wait_s": 5, **told.pop("http", {})}
        given = {"api": server.api, "token": "env:GH_TEST", "as_of": "2026-07-01", "cache": tmp_path / "cache", **told}
        return Source(Source.Settings.model_validate({**given, "http": http}))

    return make


def rows(source: Source) -> dict[str, dict[str, str]]:
    """Repository → path → reason ("" for a file to read)."""
    source.observe()
    return {
        repo.name: {item.path: item.reason if isinstance(item, Dropped) else "" for item in source.files(repo)}
        for repo in source.repositories()
    }


def why(source: Source) -> dict[str, str]:
    """Repository → the reason it could not be had, "" for one that could."""
    return {name: files.get("", "") for name, files in rows(source).items()}


def many(owner: str, count: int) -> list[Repo]:
    return [Repo(f"{owner}/r{number:03d}", stars=number) for number in range(count)]


# --- what is found


def test_an_organisation_page_by_page(server: Github, source: Make) -> None:
    server.page = 10
    server.add(*many("acme", 25), Repo("other/x"), Repo("acme/fork", fork=True), Repo("acme/secret", private=True))
    assert sorted(rows(source(org="acme"))) == [f"github.com/acme/r{n:03d}" for n in range(25)] + [
        "github.com/acme/secret"
    ]
    assert [path.split("page=")[-1] for path in server.asked("/orgs/acme")] == [
        "10&type=all&sort=full_name".replace("10&", "100&"),
        "2",
        "3",
    ]
    assert len(server.asked("POST /graphql")) == 1, "the facts of 26 repositories are one query"
    assert len(server.asked("^GET /repos/[^/]+/[^/]+$")) == 0


def test_the_facts_of_a_repository(server: Github, source: Make) -> None:
    issues = [("2026-05-31T12:00:00Z", False), ("2025-01-01T00:00:00Z", True)]
    server.add(
        Repo(
            "acme/tool",
            {"a.py": "x = 1\n", "b/c.js": "let x = 1\n", "LICENSE": MIT, "logo.png": b"\x89PNG\0", "README.md": "hi",
             ".github/workflows/ci.yml": "on: push", "coverage.xml": '<coverage lines-covered="9" lines-valid="10"/>'},
            issues=issues, stars=12, created="2026-06-21T23:00:00Z", committed="2026-06-30T01:00:00Z",
        )
    )  # fmt: skip
    made = source(user="acme")
    made.observe()
    (repo,) = made.repositories()
    assert (repo.name, repo.url, repo.kind) == ("github.com/acme/tool", "https://github.com/acme/tool", "git")
    assert (repo.commit, repo.license) == (server.repos["acme/tool"].commit, "MIT")
    assert repo.signals == {
        "stars": 12, "open_issue_age_days": 31, "last_commit_age_days": 1, "age_days": 10, "archived": 0, "fork": 0,
        "ci": 1, "coverage": 0.9,
    }  # fmt: skip
    files = {item.path: item for item in made.files(repo)}
    assert isinstance(files["b/c.js"], SourceFile)
    assert (repo.root / "b/c.js").read_text() == "let x = 1\n"
    assert not (repo.root / "logo.png").exists()
    assert files["logo.png"] == Dropped("logo.png", 5, "language")
    assert made.expected() == (7 * 1024, 2)


def test_no_issue_open_is_no_age_and_no_issues_at_all_is_unknown(server: Github, source: Make) -> None:
    server.add(
        Repo("a/none"), Repo("a/off", has_issues=False), Repo("a/pulls", issues=[("2020-01-01T00:00:00Z", True)] * 40)
    )
    for token in ("env:GH_TEST", ""):
        made = source(user="a", token=token)
        made.observe()
        ages = {repo.name[-4:]: repo.signals.get("open_issue_age_days") for repo in made.repositories()}
        assert ages == {"none": 0.0, "/off": None, "ulls": 0.0}, token


def test_without_a_token_rest_says_the_same(server: Github, source: Make) -> None:
    server.add(*many("acme", 3))
    server.repos["acme/r000"].issues = [("2026-06-01T00:00:00Z", True), ("2026-06-11T00:00:00Z", False)]
    with_token, without = source(org="acme"), source(org="acme", token="")
    assert with_token.observe() == without.observe()
    assert not [auth for _h, path, auth in server.requests if auth and "issues" in path]
    assert "without a token" in "\n".join(without.notes())
    assert with_token.notes() == []


def test_graphql_that_is_not_allowed_falls_back(server: Github, source: Make) -> None:
    server.add(*many("acme", 3))
    known = source(org="acme").observe()
    server.graphql_status = 403
    made = source(org="acme", refresh_minutes=0)
    assert made.observe() == known
    assert "GraphQL" in made.notes()[0]


def test_graphql_with_errors_and_partial_data(server: Github, source: Make) -> None:
    server.add(*many("acme", 4))
    whole = server._graphql

    def partly(asked: dict[str, Any]) -> dict[str, Any]:
        answer = whole(asked)
        answer["data"]["nodes"][1] = None
        return {**answer, "errors": [{"type": "INTERNAL", "path": ["nodes", 1], "message": "Something went wrong"}]}

    server.graphql = partly
    assert len(why(source(org="acme"))) == 4
    assert set(why(source(org="acme")).values()) == {""}
    assert len(server.asked("/commits/main")) == 1, "the one that GraphQL kept to itself"
    server.graphql = lambda asked: {"data": None, "errors": [{"message": "timedout"}]}
    assert set(why(source(org="acme", max_repositories=3)).values()) == {""}
    server.graphql = lambda asked: {
        "data": {"nodes": [{"id": 7}, "no", {"id": server.repos["acme/r000"].id, "issues": []}]}
    }
    assert set(why(source(org="acme", max_repositories=2)).values()) == {""}


def test_named_repositories_and_refs(server: Github, source: Make) -> None:
    server.add(Repo("a/one", fork=True), Repo("a/two"))
    commit = server.repos["a/two"].commit
    made = source(repos=["a/one", f"a/two@{commit}"])
    assert sorted(rows(made)) == ["github.com/a/one", "github.com/a/two"]
    assert why(source(repos=["a/two@v1", "a/one@nowhere"])) == {
        "github.com/a/one": "no_such_ref", "github.com/a/two": "",
    }  # fmt: skip
    assert source(repos="a/one").settings.repos == ("a/one",)


def test_a_renamed_repository_is_followed_once(server: Github, source: Make) -> None:
    server.add(Repo("new/name"))
    server.renamed["old/name"] = "new/name"
    assert list(rows(source(repos=["old/name@v1", "new/name"]))) == ["github.com/new/name"]


def test_a_search_beyond_a_thousand_is_split_by_days(
    server: Github, source: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    days = [f"20{y:02d}-{m:02d}-{d:02d}T00:00:00Z" for y in range(10, 26) for m in (1, 5, 9) for d in range(1, 29)]
    server.add(*(Repo(f"o/r{n:04d}", created=day, archive=b"") for n, day in enumerate(days)))
    server.add(Repo("o/java", language="Java"))
    assert len(server.repos) == 1345
    made = source(search="language:python")
    observed: Any = made.observe()
    assert len(observed) == 1344
    assert len(server.asked("/search")) < 30
    assert len(source(search="language:python", max_repositories=150).observe()) == 150  # type: ignore[arg-type]
    narrow = source(search="language:python created:2010-01-01..2025-12-31")
    assert len(narrow.observe()) == 1000  # type: ignore[arg-type]
    assert "1344" in narrow.notes()[0]


def test_topics_and_choices(server: Github, source: Make) -> None:
    server.add(
        Repo("a/x", topics=("ml",)), Repo("b/y", topics=("ml", "db"), archived=True), Repo("c/z", topics=("db",)),
        Repo("d/p", topics=("db",), private=True), Repo("e/f", topics=("ml",), fork=True), Repo("f/c", topics=("ml",), language="C"),
    )  # fmt: skip

    def names(**told: Any) -> set[str]:
        return {name.removeprefix("github.com/") for name in rows(source(topics=["ml", "db"], **told))}

    assert names() == {"a/x", "b/y", "c/z", "d/p", "f/c"}
    assert names(archived="exclude", private="exclude") == {"a/x", "c/z", "f/c"}
    assert names(forks="include", languages=["python"]) == {"a/x", "b/y", "c/z", "d/p", "e/f"}


def test_paths_and_licences(server: Github, source: Make) -> None:
    server.add(
        Repo("a/agree"), Repo("a/conflict", license="Apache-2.0"), Repo("a/text", {"a.py": "x\n", "LICENSE": "my own words"}),
        Repo("a/says", {"a.py": "x\n"}), Repo("a/silent", {"a.py": "x\n"}, license=None),
        Repo("a/or", {"a.rs": "x", "LICENSE-MIT": MIT, "Cargo.toml": '[package]\nlicense = "MIT OR Apache-2.0"\n'}, license="Apache-2.0"),
        Repo("a/other", license="NOASSERTION"),
    )  # fmt: skip
    made = source(user="a", license="internal", exclude=["*.rs"])
    made.observe()
    found = {repo.name[13:]: repo for repo in made.repositories()}
    assert {name: repo.license for name, repo in found.items()} == {
        "agree": "MIT", "conflict": "", "text": "", "says": "MIT", "silent": "LicenseRef-internal",
        "or": "MIT OR Apache-2.0", "other": "MIT",
    }  # fmt: skip
    assert [name for name, repo in found.items() if "license_conflict" in repo.signals] == ["conflict", "text"]
    assert "Apache-2.0" in made.notes()[0]
    assert {item.path: item.reason for item in made.files(found["or"]) if isinstance(item, Dropped)}[
        "a.rs"
    ] == "excluded"


def test_the_coverage_of_a_service_goes_before_a_committed_one(server: Github, source: Make) -> None:
    committed = {"a.py": "x = 1\n", "lcov.info": "SF:a\nLF:10\nLH:5\nend_of_record\n"}
    server.add(
        Repo("a/both", committed, coverage=0.83), Repo("a/file", committed), Repo("a/none"),
        Repo("a/private", committed, coverage=0.9, private=True),
    )  # fmt: skip

    def coverage(**told: Any) -> dict[str, float | None]:
        made = source(user="a", **told)
        made.observe()
        return {repo.name[13:]: repo.signals.get("coverage") for repo in made.repositories()}

    assert coverage() == {"both": 0.5, "file": 0.5, "none": None, "private": 0.5}
    assert not server.asked("/api/v2/"), "another GitHub's repositories are no matter of the public service"
    assert coverage(codecov=server.api) == {"both": 0.83, "file": 0.5, "none": None, "private": 0.5}
    assert not [path for path in server.asked("api/v2|gh/") if "private" in path]
    assert not [auth for _h, path, auth in server.requests if "api/v2" in path and auth], "no token for a service"
    assert coverage(coveralls=server.api, coverage=["coveralls"]) == {
        "both": 0.83,
        "file": None,
        "none": None,
        "private": None,
    }
    server.repos["a/none"] = Repo("a/none", stars=9, coverage=0.25)
    assert coverage(coveralls=server.api, coverage=["coveralls"], refresh_minutes=0)["none"] == 0.25
    server.fault("api/v2|badge", 503, 1000)
    server.add(*many("b", 5))
    made = source(user="b", codecov=server.api, http={"attempts": 1}, downloads=1)
    made.observe()
    assert len(server.asked("repos/r.*/|gh/b")) == 3
    assert "codecov does not answer" in made.notes()[0]


def test_fewer_signals_give_fewer_reasons_to_run_again(server: Github, source: Make) -> None:
    server.add(Repo("a/x"))
    before = source(user="a", signals=["ci"], refresh_minutes=0).observe()
    server.repos["a/x"].stars += 1
    assert source(user="a", signals=["ci"], refresh_minutes=0).observe() == before
    made = source(user="a", signals=[])
    made.observe()
    assert [repo.signals for repo in made.repositories()] == [{}]


# --- what it costs


def test_a_second_look_costs_nothing(server: Github, source: Make) -> None:
    server.add(*many("acme", 5))
    first = source(org="acme")
    assert rows(first)
    asked = len(server.requests)
    again = source(org="acme")
    assert again.observe() == first.observe()
    assert rows(again) == rows(first)
    assert len(server.requests) == asked, "within refresh_minutes nothing is asked"


def test_later_it_asks_with_etags(server: Github, source: Make) -> None:
    server.add(*many("acme", 3))
    known = source(org="acme", token="").observe()
    server.statuses.clear()
    assert source(org="acme", token="", refresh_minutes=0).observe() == known
    assert set(server.statuses) == {304}
    server.repos["acme/r001"].files["a.py"] = "x = 2\n"
    changed: Any = source(org="acme", token="", refresh_minutes=0).observe()
    assert [item[0] for item in changed if item not in known] == ["github.com/acme/r001"]  # type: ignore[operator]


def test_what_was_observed_is_what_is_collected(server: Github, source: Make) -> None:
    """A push between the plan and the run changes nothing of the run."""
    server.add(Repo("a/x"))
    made = source(user="a", refresh_minutes=0)
    observed: Any = made.observe()
    server.repos["a/x"].files["a.py"] = "x = 3\n"
    commits = [repo.commit for repo in source(user="a", refresh_minutes=0).repositories()]
    assert commits == [observed[0][1]]


def test_two_runs_at_once_share_what_they_fetch(server: Github, source: Make) -> None:
    server.add(*many("acme", 6))
    first, second = source(org="acme"), source(org="acme")
    assert first.observe() == second.observe()
    with ThreadPoolExecutor(2) as pool:
        one, two = pool.map(lambda made: [repo.signals for repo in made.repositories()], (first, second))
    assert one == two
    assert len(server.asked("legacy")) == 6


# --- limits


def test_a_used_up_limit_is_waited_for(server: Github, source: Make) -> None:
    server.add(*many("acme", 3))
    server.left, server.reset_s = 1, 1

    def reset(_server: Github, _handler: Any) -> bool:
        server.left = None
        return False

    server.fault("/graphql", 403, 1, X_RateLimit_Remaining="0", X_RateLimit_Reset="1")
    server.fault("/graphql", reset)
    assert len(why(source(org="acme"))) == 3


def test_a_limit_beyond_patience_ends_the_run_and_the_next_goes_on(server: Github, source: Make) -> None:
    server.page = 1
    server.add(*many("acme", 6))
    server.left, server.reset_s = 3, 3000
    with pytest.raises(BurilError) as caught:
        source(org="acme").observe()
    assert caught.value.code == "D033"
    asked = server.asked("/orgs")
    assert len(asked) == 3, "a request that would be refused is not sent"
    server.left = None
    assert len(why(source(org="acme"))) == 6
    assert len(server.asked("/orgs")) == len(set(server.asked("/orgs"))) == 6


@pytest.mark.parametrize(
    ("status", "headers"),
    [
        (429, {"Retry_After": "0"}),
        (403, {"Retry_After": "0"}),
        (403, {"X_RateLimit_Remaining": "0", "X_RateLimit_Reset": "1"}),
        (500, {}),
        (502, {}),
        (503, {}),
    ],
)
def test_refusals_that_pass(server: Github, source: Make, status: int, headers: dict[str, str]) -> None:
    server.add(*many("acme", 2))
    for path in ("/orgs", "/graphql", "/tarball", "legacy.tar.gz"):
        server.fault(path, status, 2, **headers)
    # one of the two may meet all the refusals of an archive and of where it leads
    assert set(why(source(org="acme", http={"attempts": 5})).values()) == {""}


def test_a_secondary_limit_without_a_time_waits_a_minute(server: Github, source: Make) -> None:
    def secondary(_server: Github, handler: Any) -> bool:
        send(handler, 403, {}, b'{"message": "You have exceeded a secondary rate limit"}')
        return True

    server.fault("/orgs", secondary)
    with pytest.raises(BurilError) as caught:
        source(org="acme").observe()
    assert caught.value.code == "D033"


# --- what breaks


def test_bodies_that_are_no_json(server: Github, source: Make) -> None:
    server.add(*many("acme", 2))

    def cut(_server: Github, handler: Any) -> bool:
        send(handler, 200, {}, b'[{"full_name": "acme/r0')
        return True

    server.fault("/orgs", cut, 2)
    assert len(why(source(org="acme"))) == 2
    server.fault("/orgs", cut, 3)
    with pytest.raises(BurilError) as caught:
        source(org="acme", refresh_minutes=0).observe()
    assert caught.value.code == "D037"

    def odd(_server: Github, handler: Any) -> bool:
        send(handler, 200, {}, json.dumps([1, {"full_name": "../x"}, {"full_name": "a/..", "license": 3}, {}]).encode())
        return True

    server.fault("/orgs", odd)
    assert source(org="acme", refresh_minutes=0, max_repositories=9).observe() == []


def test_an_archive_that_breaks_off_is_gone_on_with(server: Github, source: Make) -> None:
    repo = Repo(
        "a/x", {"a.py": "x = 1\n" * 1000, "b.py": "".join(f"y{n} = {n * 7919 % 10007}\n" for n in range(50_000))}
    )
    server.add(repo)
    raw = repo.packed()

    def cut(_server: Github, handler: Any) -> bool:
        send(handler, 200, {"ETag": '"1"'}, raw, most=len(raw) // 2)
        return True

    for ranges in (False, True):
        server.ranges = ranges
        server.fault("legacy", cut)
        assert why(source(user="a", cache=source(user="a").settings.cache / str(ranges))) == {"github.com/a/x": ""}
    assert len(server.asked("legacy")) == 4


def test_a_range_is_asked_for_with_the_etag(server: Github, source: Make) -> None:
    repo = Repo("a/x", {"b.py": "".join(f"y{n} = {n * 7919 % 10007}\n" for n in range(50_000))})
    server.add(repo)
    raw = repo.packed()
    ranges: list[str] = []

    def cut(_server: Github, handler: Any) -> bool:
        ranges.append(handler.headers.get("Range", ""))
        send(handler, 200, {"ETag": '"' + hashlib.sha1(raw).hexdigest() + '"'}, raw, most=len(raw) // 2)
        return True

    server.fault("legacy", cut)
    made = source(user="a")
    assert why(made) == {"github.com/a/x": ""}
    assert server.statuses.count(206) == 1
    assert ranges == [""]


def truncated(raw: bytes) -> bytes:
    return raw[: len(raw) // 2]


def test_archives_that_stay_broken_are_left_out_with_their_reason(server: Github, source: Make) -> None:
    good = {"a.py": "".join(f"y{n} = {n * 7919 % 10007}\n" for n in range(20_000))}
    bomb = tarball({"a.py": b"0" * 30_000_000}, "a/bomb", Repo("a/bomb").commit)
    server.add(
        Repo("a/good", good), Repo("a/cut", good, archive=truncated(tarball(good, "a/cut", "1" * 40))),
        Repo("a/html", archive=b"<html>oops"), Repo("a/none", archive=b""), Repo("a/bomb", archive=bomb),
        Repo("a/wrong", archive=tarball(good, "a/wrong", "2" * 40)), Repo("a/empty", empty=True),
        Repo("a/big", {"a.py": b"\x00".join(bytes([n % 251, n % 13]) for n in range(10))}, archive=b"x" * 21_000_000),
    )  # fmt: skip
    known = Repo("a/cut", good).commit
    server.repos["a/cut"].archive = truncated(tarball(good, "a/cut", known))
    made = source(user="a", max_repository_mb=20, http={"attempts": 2})
    assert why(made) == {
        "github.com/a/good": "", "github.com/a/cut": "archive_truncated", "github.com/a/html": "archive_corrupt",
        "github.com/a/none": "archive_truncated", "github.com/a/bomb": "archive_too_large",
        "github.com/a/wrong": "archive_other_commit", "github.com/a/empty": "empty_repository", "github.com/a/big": "too_large",
    }  # fmt: skip
    assert len(server.asked("a/cut/legacy")) == 2
    assert len(server.asked("a/bomb/legacy")) == 1


def test_gone_blocked_and_empty_repositories(server: Github, source: Make) -> None:
    server.add(Repo("a/good"), Repo("a/dmca", status=451), Repo("a/empty", empty=True))
    expected = {
        "github.com/a/good": "", "127.0.0.1/a/dmca": "blocked", "github.com/a/empty": "empty_repository",
        "127.0.0.1/a/gone": "gone",
    }  # fmt: skip
    asked = {"repos": ["a/good", "a/dmca", "a/empty", "a/gone"]}
    for token in ("env:GH_TEST", ""):
        assert why(source(token=token, **asked)) == expected
    number = len(server.requests)
    why(source(**asked))
    assert len(server.requests) == number, "what is gone is not asked for again either"


def test_an_archive_that_is_taken_down_after_the_listing(server: Github, source: Make) -> None:
    server.add(*many("a", 3))
    made = source(user="a")
    made.observe()
    server.fault("r001/tarball", 451)
    assert {repo.name: [item.reason for item in made.files(repo) if isinstance(item, Dropped) and not item.path] for repo in made.repositories()} == {
        "github.com/a/r000": [], "github.com/a/r001": ["blocked"], "github.com/a/r002": [],
    }  # fmt: skip


def test_a_hanging_server_and_a_slow_one(server: Github, source: Make) -> None:
    server.add(Repo("a/x"))
    server.fault("/users", hang(2))
    assert why(source(user="a", http={"timeout_s": 0.3})) == {"github.com/a/x": ""}

    def drip(_server: Github, handler: Any) -> bool:
        handler.send_response(200)
        handler.send_header("Content-Length", "1000000")
        handler.end_headers()
        with contextlib.suppress(OSError):
            for _ in range(60):
                handler.wfile.write(b"x")
                handler.wfile.flush()
                time.sleep(0.05)
        handler.close_connection = True
        return True

    server.fault("/users", drip)
    assert why(source(user="a", http={"timeout_s": 0.3}, refresh_minutes=0)) == {"github.com/a/x": ""}


def test_what_the_network_kept_back_is_tried_again_by_the_next_run(server: Github, source: Make) -> None:
    server.add(*many("a", 3))
    made = source(user="a")
    first = made.observe()
    server.fault("r001/legacy", 503, 3)
    assert why(made)["github.com/a/r001"] == "http_503"
    second = source(user="a").observe()
    assert second != first, "another key: the artifact that lacks it is not taken for whole"
    assert why(source(user="a"))["github.com/a/r001"] == ""
    assert source(user="a").observe() == second, "and then it is stable"


def test_a_network_that_is_down_ends_the_run(server: Github, source: Make) -> None:
    server.add(*many("a", 9))
    made = source(user="a")
    made.observe()
    server.fault("tarball", 503, 1000)
    with pytest.raises(BurilError) as caught:
        list(made.repositories())
    assert caught.value.code == "D035"
    with pytest.raises(BurilError) as caught:
        source(user="a", api="http://127.0.0.1:9").observe()
    assert caught.value.code == "D035"


# --- where the token goes


def test_the_token_goes_to_its_own_server_alone(server: Github, source: Make) -> None:
    server.needs_token = True
    server.add(*many("a", 2))
    assert set(why(source(user="a")).values()) == {""}
    told = {(host, auth) for host, _path, auth in server.requests}
    assert told == {("127.0.0.1", f"Bearer {server.token}"), ("127.0.0.2", "")}


def test_a_token_is_written_nowhere(server: Github, source: Make, tmp_path: Path) -> None:
    server.add(*many("a", 2))
    made = source(user="a", token="env:GH_TEST")
    rows(made)
    for path in (tmp_path / "cache").rglob("*"):
        if path.is_file():
            raw = path.read_bytes()
            assert server.token.encode() not in raw and b"SIGNED" not in raw, path
            assert path.stat().st_mode & 0o077 == 0 or "repositories" in path.parts, path
    assert server.token not in json.dumps(made.settings.identity())
    assert server.token not in repr(made.settings)


def test_pages_of_another_server_are_not_asked_for(server: Github, source: Make) -> None:
    def elsewhere(_server: Github, handler: Any) -> bool:
        send(handler, 200, {"Link": f'<{server.codeload}/orgs/a/repos?page=2>; rel="next"'}, b"[]")
        return True

    server.fault("/orgs", elsewhere)
    assert source(org="a").observe() == []
    assert {host for host, _p, _a in server.requests} == {"127.0.0.1"}


def test_a_redirect_loop_and_a_redirect_out_of_http(server: Github, source: Make) -> None:
    server.add(*many("a", 2))

    def around(_server: Github, handler: Any) -> bool:
        send(handler, 302, {"Location": f"{server.codeload}/round/{len(server.requests)}"}, b"")
        return True

    def out(_server: Github, handler: Any) -> bool:
        send(handler, 302, {"Location": "file:///etc/passwd"}, b"")
        return True

    server.fault("r000/tarball|/round/", around, 100)
    server.fault("r001/tarball", out)
    assert why(source(user="a")) == {"github.com/a/r000": "redirects", "github.com/a/r001": "redirects"}
    assert len(server.asked("round")) == 5


# --- hostile archives


def test_a_hostile_archive_stays_where_it_belongs(server: Github, source: Make, tmp_path: Path) -> None:
    def add(tar: tarfile.TarFile) -> None:
        def put(name: str, raw: bytes = b"x = 1\n", kind: bytes = tarfile.REGTYPE, link: str = "") -> None:
            info = tarfile.TarInfo(name)
            info.type, info.linkname, info.size = kind, link, 0 if link else len(raw)
            tar.addfile(info, None if link else io.BytesIO(raw))

        put("top/../../../../evil.py")
        put("/tmp/buril-evil.py")
        put("top//etc/evil.py")
        put("top/link.py", kind=tarfile.SYMTYPE, link="/etc/passwd")
        put("top/folder", kind=tarfile.SYMTYPE, link="/tmp")
        put("top/folder/evil.py")
        put("top/hard.py", kind=tarfile.LNKTYPE, link="../../etc/passwd")
        put("top/pipe.py", b"", kind=tarfile.FIFOTYPE)
        put("top/device.py", b"", kind=tarfile.CHRTYPE)
        put("top/a.py", b"again = 2\n")
        put("top/a.py/below.py")
        put("top/" + "n" * 300 + ".py")
        put("top/" + "d/" * 3000 + "x.py")
        put("top/ok.py")

    repo = Repo("a/evil")
    repo.archive = tarball(repo.files, repo.name, repo.commit, add=add)
    server.add(repo)
    found = rows(source(user="a"))["github.com/a/evil"]
    assert {path: reason for path, reason in found.items() if len(path) < 100} == {
        "LICENSE": "language", "a.py": "", "ok.py": "", "folder/evil.py": "", "link.py": "symlink", "folder": "symlink",
        "hard.py": "symlink", "pipe.py": "not_a_file", "device.py": "not_a_file", "a.py/below.py": "path",
        "(outside)/evil.py": "outside", "(outside)/tmp/buril-evil.py": "outside", "(outside)/etc/evil.py": "outside",
    }  # fmt: skip
    assert sorted(reason for path, reason in found.items() if len(path) >= 100) == ["path", "path"]
    root = next(path for path in (tmp_path / "cache").rglob("files"))
    assert (root / "a.py").read_text() == "x = 1\n"
    everything = {path.name for path in tmp_path.rglob("*evil.py")}
    assert everything == {"evil.py"}
    assert not any(path.is_symlink() for path in tmp_path.rglob("*"))
    assert not Path("/tmp/buril-evil.py").exists()


# --- settings and errors


def test_settings_that_can_not_be(server: Github, source: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    for told in ({"repos": ["nope"]}, {"repos": ["a/.."]}, {"repos": ["a/b@"]}, {"org": "a", "api": "github.com"},
                 {"org": "a", "license": "x y"}, {"org": "a", "as_of": "then"}):  # fmt: skip
        with pytest.raises(ValidationError):
            source(**told)
    errors = {
        "D030": lambda: Source(Source.Settings()),
        "D031": lambda: source(org="a", api="http://192.0.2.1").observe(),
        "D032": lambda: source(org="unknown").observe(),
        "D036": lambda: source(org="a", token="env:NOT_SET").observe(),
    }
    for code, what in errors.items():
        with pytest.raises(BurilError) as caught:
            what()
        assert caught.value.code == code
    with pytest.raises(BurilError) as caught:
        source(org="a", token="ghp_in_the_open").observe()
    assert caught.value.code == "D036"
    assert "ghp" not in str(caught.value)
    monkeypatch.setenv("GH_TEST", "wrong")
    with pytest.raises(BurilError) as caught:
        source(org="a").observe()
    assert caught.value.code == "D034"


def test_an_enterprise_server(server: Github, source: Make) -> None:
    server.add(*many("acme", 2))
    made = source(org="acme", api=f"{server.api}/api/v3/")
    assert made.settings.api == f"{server.api}/api/v3"
    assert len(why(made)) == 2
    assert server.asked("POST /api/graphql")


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.sampled_from(["", "a/b", "\ud800", "2026-01-01T00:00:00Z", "0001-01-01T00:00:00+23:59", "é"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)
REST = ("full_name", "node_id", "html_url", "license", "language", "stargazers_count", "size", "private", "created_at", "default_branch")  # fmt: skip
NODE = ("id", "hasIssuesEnabled", "issues", "licenseInfo", "defaultBranchRef", "stargazerCount", "isDisabled")


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(st.sampled_from(REST), JSON), st.dictionaries(st.sampled_from(NODE), JSON), JSON)
def test_shapes_that_no_documentation_knows(item: Any, node: Any, commit: Any) -> None:
    assert list(_github_api._facts(commit)) == []
    for facts in _github_api._facts({"full_name": "a/b", **item}):
        told = _github_api._told(facts, node)
        found = _github_api._committed(told, {"sha": "0" * 40, "commit": commit})
        json.dumps(vars(found), ensure_ascii=False).encode()
        for name in ("created", "committed", "oldest_issue"):
            age(getattr(found, name), datetime.date(2026, 1, 1))
