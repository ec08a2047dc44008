"""The HTTP client by itself: what it keeps, waits for, refuses, and whom it tells the token."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from buril.core.errors import BurilError
from buril.data.sources._http import Failed, Http, _joined
from buril.data.sources._patience import Patience, secret
from buril.data.sources._places import cache_folder, is_loopback, origin, writable
from tests.data.github_api import Github, Repo, send, serving

QUICK = Patience(backoff_s=0.01, timeout_s=5, attempts=3, max_wait_s=5)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Github]:
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with serving() as found:
        found.add(Repo("a/x"))
        yield found


def client(server: Github, tmp_path: Path, **told: Any) -> Http:
    return Http(server.api, tmp_path, **{"patience": QUICK, **told})


def test_an_answer_is_kept_by_url_and_by_who_asks(server: Github, tmp_path: Path) -> None:
    url = f"{server.api}/repos/a/x"
    anonymous, known = client(server, tmp_path), client(server, tmp_path, token=server.token)
    for http in (anonymous, known):
        http.fresh_s = 60
        assert http.get(url).value == http.get(url).value
    assert len(server.requests) == 2, "one may see what the other may not"
    assert (anonymous.told.requests, anonymous.told.cached) == (1, 1)
    server.repos["a/x"].private = True
    assert client(server, tmp_path, token=server.token).get(url).value["private"] is True
    with pytest.raises(Failed, match="gone"):
        client(server, tmp_path).get(url)


def test_a_kept_answer_that_is_damaged_is_asked_for_again(server: Github, tmp_path: Path) -> None:
    http = client(server, tmp_path)
    http.fresh_s = 60
    first = http.get(f"{server.api}/repos/a/x")
    (path,) = (tmp_path / "answers").rglob("*.json")
    for text in ("", "{", "[]", '{"asked": "then"}'):
        path.write_text(text)
        assert http.get(f"{server.api}/repos/a/x") == first
    assert len(server.requests) == 5


def test_the_wait_for_a_limit_is_as_long_as_the_server_says(server: Github, tmp_path: Path) -> None:
    http = client(server, tmp_path)
    server.fault("/repos", 429, 1, Retry_After="1")
    start = time.monotonic()
    http.get(f"{server.api}/repos/a/x")
    assert 1 <= time.monotonic() - start < 4
    assert http.told.waited_s == 1
    server.left, server.reset_s = 1, 1
    http.get(f"{server.api}/repos/a/x/issues")
    server.left = None
    sent = len(server.requests)
    start = time.monotonic()
    http.get(f"{server.api}/repos/a/x/commits/main")
    assert time.monotonic() - start > 0.5, "the limit was known to be used up, so nothing was sent before the reset"
    assert len(server.requests) == sent + 1


def test_limits_are_counted_apart(server: Github, tmp_path: Path) -> None:
    http = client(server, tmp_path, patience=Patience(max_wait_s=0, attempts=1))
    server.left, server.reset_s = 1, 1000
    http.get(f"{server.api}/search/repositories?q=x")
    server.left = None
    http.get(f"{server.api}/repos/a/x")
    with pytest.raises(Failed, match="rate_limit"):
        http.get(f"{server.api}/search/repositories?q=y")


def test_a_server_that_always_says_wait(server: Github, tmp_path: Path) -> None:
    server.fault("/repos", 429, 1000, Retry_After="0")
    with pytest.raises(Failed, match="rate_limit"):
        client(server, tmp_path).get(f"{server.api}/repos/a/x")
    assert len(server.requests) == 21


def test_errors_are_tried_as_often_as_told(server: Github, tmp_path: Path) -> None:
    server.fault("/repos", 500, 1000)
    with pytest.raises(Failed, match="http_500"):
        client(server, tmp_path).get(f"{server.api}/repos/a/x")
    assert len(server.requests) == 3
    for status, reason in ((400, "http_400"), (404, "gone"), (418, "http_418"), (451, "blocked")):
        server.requests.clear()
        server.fault("/user", status)
        with pytest.raises(Failed, match=reason):
            client(server, tmp_path).get(f"{server.api}/user?{status}")
        assert len(server.requests) == 1, "a refusal is no accident"


def test_a_body_without_end(server: Github, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("buril.data.sources._http.MAX_BODY", 1000)

    def big(_server: Github, handler: Any) -> bool:
        import gzip

        raw = gzip.compress(b" " * 5_000_000)
        send(handler, 200, {"Content-Encoding": "gzip"}, raw)
        return True

    server.fault("/repos", big)
    with pytest.raises(Failed, match="too_large"):
        client(server, tmp_path).get(f"{server.api}/repos/a/x")
    server.static["/f"] = b"x" * 5000
    with pytest.raises(Failed, match="too_large"):
        client(server, tmp_path).download(f"{server.codeload}/f", tmp_path / "f", max_bytes=4999)
    assert not (tmp_path / "f").exists()
    client(server, tmp_path).download(f"{server.codeload}/f", tmp_path / "f", max_bytes=5000)
    assert (tmp_path / "f").read_bytes() == b"x" * 5000


def test_a_file_that_changed_is_fetched_from_its_beginning(server: Github, tmp_path: Path) -> None:
    server.static["/f"] = b"new" * 1000
    (tmp_path / "f.part").write_bytes(b"old" * 100)
    (tmp_path / "f.etag").write_text('"old"')
    client(server, tmp_path).download(f"{server.codeload}/f", tmp_path / "f", max_bytes=5000)
    assert (tmp_path / "f").read_bytes() == b"new" * 1000
    (tmp_path / "g.part").write_bytes(b"part without its etag")
    server.static["/g"] = b"g"
    client(server, tmp_path).download(f"{server.codeload}/g", tmp_path / "g", max_bytes=5000)
    assert (tmp_path / "g").read_bytes() == b"g"
    assert sorted(path.name for path in tmp_path.glob("?.*")) == []


def test_a_part_that_was_whole_already(server: Github, tmp_path: Path) -> None:
    import hashlib

    server.static["/f"] = raw = b"0123456789"
    (tmp_path / "f.part").write_bytes(raw)
    (tmp_path / "f.etag").write_text('"' + hashlib.sha1(raw).hexdigest() + '"')
    client(server, tmp_path).download(f"{server.codeload}/f", tmp_path / "f", max_bytes=5000)
    assert (tmp_path / "f").read_bytes() == raw
    assert server.statuses == [416, 200]


def test_redirects_keep_the_token_at_home(server: Github, tmp_path: Path) -> None:
    http = client(server, tmp_path, token=server.token)
    server.static["/there"] = b'{"at": "codeload"}'

    def away(_server: Github, handler: Any) -> bool:
        send(handler, 302, {"Location": f"{server.codeload}/back"}, b"")
        return True

    def back(_server: Github, handler: Any) -> bool:
        send(handler, 307, {"Location": f"{server.api}/repos/a/x"}, b"")
        return True

    server.fault("/away", away)
    server.fault("/back", back)
    assert http.get(f"{server.api}/away").value["full_name"] == "a/x"
    assert [(host, bool(auth)) for host, _path, auth in server.requests] == [
        ("127.0.0.1", True), ("127.0.0.2", False), ("127.0.0.1", True),
    ]  # fmt: skip
    server.fault("/graphql", away)
    with pytest.raises(Failed, match="redirects"):
        http.post(f"{server.api}/graphql", {})
    for odd in ("http://[", "", "ftp://127.0.0.1/x", "//"):
        server.fault("/odd", 302, 1, Location=odd)
        with pytest.raises(Failed, match="redirects|bad_url|network"):
            http.get(f"{server.api}/odd?{odd}")


def test_https_is_not_left() -> None:
    for location in ("http://api.github.com/x", "file:///etc/passwd", "http://["):
        with pytest.raises(Failed, match="redirects"):
            _joined("https://api.github.com/a", location)
    assert _joined("https://api.github.com/a", "//codeload.github.com/b") == "https://codeload.github.com/b"


def test_what_a_host_is() -> None:
    assert origin("https://API.github.com/x") == ("https", "api.github.com", 443)
    assert origin("http://h:99999/x") == ("", "", 0)
    assert [is_loopback(host) for host in ("127.0.0.1", "::1", "localhost")] == [True] * 3
    assert not any(
        is_loopback(host) for host in ("127.0.0.1.evil.org", "127.evil.org", "10.0.0.1", "", "localhost.evil")
    )
    with pytest.raises(BurilError) as caught:
        Http("http://127.evil.org", Path("x"), token="t")
    assert caught.value.code == "D031"


def test_delays_grow_are_capped_and_can_be_repeated() -> None:
    told = Patience(backoff_s=1)
    delays = [told.delay("u", attempt) for attempt in range(1, 12)]
    assert delays == [told.delay("u", attempt) for attempt in range(1, 12)]
    assert all(2.0 ** (n - 1) / 2 <= delay <= min(60.0, 2.0 ** (n - 1)) for n, delay in enumerate(delays[:6], 1))
    assert max(delays) <= 60
    assert len({told.delay(f"u{n}", 1) for n in range(50)}) > 45


def test_secrets_and_caches(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("T", "value")
    assert (secret("env:T"), secret("")) == ("value", "")
    for wrong in ("value", "env:", "env:NOT_THERE", "file:x"):
        with pytest.raises(BurilError) as caught:
            secret(wrong)
        assert caught.value.code == "D036"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder(None, "github") == tmp_path / "buril" / "github"
    assert cache_folder(tmp_path / "c", "github") == tmp_path / "c"
    (tmp_path / "file").write_text("")
    with pytest.raises(BurilError) as caught:
        writable(tmp_path / "file" / "below")
    assert caught.value.code == "D043"
