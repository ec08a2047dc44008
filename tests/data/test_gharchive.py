"""The source `gharchive`: hourly dumps become repositories, whatever state the dumps are in."""

from __future__ import annotations

import gzip
import hashlib
import json
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from buril.core.errors import BurilError
from buril.data.sources import _gharchive_events as events
from buril.data.sources.gharchive import Gharchive as Source
from tests.data.github_api import Github, Repo, send, serving
from tests.data.made import event

Make = Callable[..., Source]


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Github]:
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with serving() as found:
        yield found


@pytest.fixture
def source(server: Github, tmp_path: Path) -> Make:
    def make(**told: Any) -> Source:
        http = {"backoff_s": 0.01, "timeout_s": 5, "attempts": 2, "max_wait_s": 5}
        given = {
            "api": server.api, "base": f"{server.codeload}/dumps", "as_of": "2026-02-01", "cache": tmp_path / "cache",
            "since": "2026-01-01-9", "until": "2026-01-01-11", "http": http, "workers": 1, **told,
        }  # fmt: skip
        return Source(Source.Settings.model_validate(given))

    return make


def dump(*lines: bytes) -> bytes:
    return gzip.compress(b"".join(line + b"\n" for line in lines), mtime=0)


def publish(server: Github, hours: dict[int, list[bytes]]) -> None:
    server.static.update({f"/dumps/2026-01-01-{hour}.json.gz": dump(*lines) for hour, lines in hours.items()})


def issue(number: int, created: str, *, state: str = "open", pull: bool = False) -> dict[str, Any]:
    more = {"pull_request": {"url": "u"}} if pull else {}
    return {"number": number, "created_at": created, "state": state, "title": '{"id":"1","type":"WatchEvent"}', **more}


def test_events_become_repositories_with_signals(server: Github, source: Make) -> None:
    server.add(Repo("o/loved", stars=900), Repo("o/liked"), Repo("o/quiet"))
    publish(
        server,
        {
            9: [event("WatchEvent", "o/loved")] * 3 + [event("WatchEvent", "o/liked")] * 2 + [event("PushEvent", "o/quiet")],
            10: [
                event("ForkEvent", "o/loved"), event("PushEvent", "o/loved"), event("WatchEvent", "o/loved"),
                event("IssuesEvent", "o/loved", action="opened", issue=issue(9, "2026-01-01T10:00:00Z")),
                event("IssuesEvent", "o/loved", action="opened", issue=issue(3, "2025-12-01T00:00:00Z")),
                event("IssueCommentEvent", "o/loved", action="created", issue=issue(2, "2025-12-30T12:00:00Z")),
                event("IssueCommentEvent", "o/loved", action="created", issue=issue(1, "2020-01-01T00:00:00Z", pull=True)),
                event("PullRequestEvent", "o/loved", action="opened"),
            ],
            11: [event("IssuesEvent", "o/loved", action="closed", issue=issue(3, "2025-12-01T00:00:00Z"))],
        },
    )  # fmt: skip
    made = source(min_stars=2)
    observed: Any = made.observe()
    assert [item[0] for item in observed] == ["github.com/o/liked", "github.com/o/loved"]
    liked, loved = made.repositories()
    window = {name: value for name, value in loved.signals.items() if "window" in name or "seen" in name}
    assert window == {
        "stars_window": 4, "forks_window": 1, "pushes_window": 1, "pulls_window": 1, "issues_opened_window": 2,
        "issues_closed_window": 1, "oldest_issue_seen_days": 33,
    }  # fmt: skip
    assert loved.signals["stars"] == 900
    assert "oldest_issue_seen_days" not in liked.signals
    assert any(item.path == "a.py" for item in made.files(loved))
    assert "15 events in 3 hours" in made.notes()[0]
    assert len(source(min_stars=0, min_pushes=1).observe()) == 2  # type: ignore[arg-type]
    assert len(source(min_stars=0, max_repositories=1).observe()) == 1  # type: ignore[arg-type]


def test_an_hour_is_read_once(server: Github, source: Make, tmp_path: Path) -> None:
    server.add(Repo("o/a"))
    publish(
        server, {9: [event("WatchEvent", "o/a")], 10: [event("WatchEvent", "o/a")], 11: [event("WatchEvent", "o/a")]}
    )
    source(until="2026-01-01-10", min_stars=1).observe()
    assert len(server.asked("/dumps/")) == 2
    source(min_stars=1).observe()
    assert [path.rpartition("/")[2] for path in server.asked("/dumps/")] == [
        f"2026-01-01-{hour}.json.gz" for hour in (9, 10, 11)
    ]
    assert not list(tmp_path.rglob("*.json.gz")), "a dump is removed when it is counted"


def test_several_processes_count_the_same(server: Github, source: Make, tmp_path: Path) -> None:
    server.add(Repo("o/a"), Repo("o/b"))
    publish(server, {hour: [event("WatchEvent", "o/a"), event("WatchEvent", "o/b")] * hour for hour in (9, 10, 11)})
    assert source(workers=2, cache=tmp_path / "two").observe() == source(workers=1, cache=tmp_path / "one").observe()


def test_missing_hours_cut_dumps_and_broken_lines_are_counted(server: Github, source: Make) -> None:
    server.add(Repo("o/a"))
    many = [event("WatchEvent", "o/a", login=f"u{n * 7919 % 100003}") for n in range(4000)]
    publish(
        server,
        {
            9: [
                *many[:5],
                b"not json",
                many[0][:80],
                b'["a list"]',
                b'{"repo": 3}',
                b'{"type":"WatchEvent","repo":{"id":1,"name":2}}',
            ]
        },
    )
    whole = dump(*many)
    server.static["/dumps/2026-01-01-11.json.gz"] = whole[: len(whole) // 2]
    made = source()
    made.observe()
    (repo,) = made.repositories()
    assert 1000 < repo.signals["stars_window"] < 3500
    assert "1 hours are missing, 1 are cut short, 6 lines are broken" in made.notes()[1]


def test_a_broken_download_goes_on(server: Github, source: Make) -> None:
    server.add(Repo("o/a"))
    publish(server, {9: [event("WatchEvent", "o/a", login=f"u{n * 7919 % 100003}") for n in range(3000)]})
    raw = server.static["/dumps/2026-01-01-9.json.gz"]

    def cut(_server: Github, handler: Any) -> bool:
        send(handler, 200, {"ETag": '"' + hashlib.sha1(raw).hexdigest() + '"'}, raw, most=len(raw) // 2)
        return True

    server.fault("/dumps/2026-01-01-9", cut)
    made = source(until="")
    made.observe()
    assert server.statuses.count(206) == 1
    assert "3000 events in 1 hours" in made.notes()[0]


def test_a_folder_of_dumps_needs_no_download(server: Github, source: Make, tmp_path: Path) -> None:
    server.add(Repo("o/a"))
    (tmp_path / "dumps").mkdir()
    path = tmp_path / "dumps" / "2026-01-01-9.json.gz"
    path.write_bytes(dump(*[event("WatchEvent", "o/a")] * 5))
    told = {"folder": tmp_path / "dumps", "until": "", "refresh_minutes": 0}
    first = source(**told).observe()
    path.write_bytes(dump(*[event("WatchEvent", "o/a")] * 6))
    assert source(**told).observe() != first
    assert not server.asked("/dumps/")
    assert path.exists()
    with pytest.raises(BurilError) as caught:
        source(folder=tmp_path / "nowhere").observe()
    assert caught.value.code == "D001"


def test_a_repository_that_moved_keeps_its_last_name(server: Github, source: Make) -> None:
    server.add(Repo("new/name"))
    publish(
        server, {9: [event("WatchEvent", "old/name", repo=7)] * 3, 10: [event("WatchEvent", "new/name", repo=7)] * 3}
    )
    (found,) = source().observe()  # type: ignore[misc]
    assert found[0] == "github.com/new/name"  # type: ignore[index]
    assert found[2]["stars_window"] == 6  # type: ignore[index,call-overload]


def test_payloads_can_not_pass_for_events(tmp_path: Path) -> None:
    trick = event("PullRequestEvent", "o/a", text='"type":"WatchEvent","repo":{"id":5,"name":"evil/x"}')
    nested = json.dumps({"type": "WatchEvent", "repo": {"id": 5, "name": "o/b"}, "id": "1"}).encode()
    path = tmp_path / "x.json.gz"
    path.write_bytes(dump(trick, nested))
    seen = events.scan(path)
    assert (seen.events, seen.broken, sorted(seen.names.values())) == (2, 0, ["o/a", "o/b"])


@pytest.mark.parametrize("cut", [0, 1, 9, 10, 11, 500, -1, -8, -9])
def test_a_dump_cut_anywhere(tmp_path: Path, cut: int) -> None:
    lines = [event("WatchEvent", "o/a", login=f"u{n * 7919 % 100003}") for n in range(500)]
    path = tmp_path / "x.json.gz"
    path.write_bytes(dump(*lines)[:cut])
    seen = events.scan(path)
    assert seen.truncated
    assert seen.events + seen.broken <= 500


def test_gzip_members_in_a_row_and_large_blocks(tmp_path: Path) -> None:
    lines = [event("WatchEvent", "o/a", text="x" * 3000) for _ in range(8000)]
    path = tmp_path / "x.json.gz"
    path.write_bytes(dump(*lines[:4000]) + dump(*lines[4000:]))
    seen = events.scan(path)
    assert (seen.events, seen.broken, seen.truncated) == (8000, 0, False)


def test_windows(source: Make, server: Github) -> None:
    assert len(list(source(since="2026-01-01", until="")._hours())) == 24
    assert list(source(since="2026-01-01-23", until="2026-01-02-1")._hours()) == [
        "2026-01-01-23",
        "2026-01-02-0",
        "2026-01-02-1",
    ]
    for since in ("yesterday", "2026-13-01", "2026-01-01-24"):
        with pytest.raises(ValidationError):
            source(since=since)
    with pytest.raises(BurilError) as caught:
        source(since="2026-01-02", until="2026-01-01")
    assert caught.value.code == "D040"
    with pytest.raises(BurilError) as caught:
        source().observe()
    assert caught.value.code == "D041"
    server.fault("/dumps", 500, 10)
    with pytest.raises(BurilError) as caught:
        source().observe()
    assert caught.value.code == "D035"


@settings(max_examples=60, deadline=None)
@given(
    st.recursive(
        st.none()
        | st.booleans()
        | st.integers()
        | st.sampled_from(["", "a/b", "\ud800", "2026-01-01T00:00:00Z", "0001-01-01T00:00:00+23:59", "é"]),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["id", "type", "repo", "name", "payload", "issue", "action", "number", "created_at"]),
                inner,
            )
        ),
        max_leaves=12,
    ),
    st.sampled_from(["WatchEvent", "IssuesEvent", "IssueCommentEvent", None]),
    st.text(max_size=5),
)
def test_lines_of_any_shape_are_counted_or_broken(value: Any, kind: Any, name: str) -> None:
    lines = [
        json.dumps(value).encode(),
        json.dumps({"type": kind, "repo": {"id": 5, "name": name}, "payload": value}).encode(),
    ]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "2026-01-01-1.json.gz"
        path.write_bytes(dump(*lines))
        seen = events.scan(path)
        assert seen.events + seen.broken == 2
        events.read_hour(events.Hour("2026-01-01-1", path, Path(folder)))
        events.merged(Path(folder), ["2026-01-01-1"])
