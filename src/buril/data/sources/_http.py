"""A small HTTP client for the sources that ask a server: patient, thrifty, and careful with what it carries.

- What was asked is kept on the disk. Within `fresh_s` it is not asked again, which is how an interrupted listing goes
  on; later it is asked with its ETag, and an answer 304 costs nothing of GitHub's rate.
- Limits that the server tells (`X-RateLimit-*`, `Retry-After`, the secondary limits of 403 and 429) are waited for, up
  to a maximum. Broken connections, timeouts and 5xx are tried again with a growing, capped, reproducible delay.
- Downloads go on where they broke off, when the server's ETag says that it is still the same file.
- A token goes to the server it is for and nowhere else: never over plain HTTP but to this machine, never on to another
  host by a redirect, never into a file, an error or a cache's name in the clear.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar
from urllib.parse import urljoin, urlsplit

from buril.core.artifact import atomic
from buril.core.errors import BurilError
from buril.data.sources._patience import Patience
from buril.data.sources._places import is_loopback, origin, resource, server_time

if TYPE_CHECKING:
    import httpx

MAX_REDIRECTS = 5
MAX_WAITS = 20
"""How often one request may be told to wait before it is given up."""
MAX_BODY = 64_000_000
"""Bytes of an answer that is held in memory."""
SLOWEST = 1_000
"""Bytes a second below which a body counts as hanging."""
SECONDARY_WAIT_S = 60.0
"""What GitHub asks for when a secondary limit comes without `Retry-After`."""
USER_AGENT = "buril"
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_REASONS = {
    401: "unauthorised", 403: "forbidden", 404: "gone", 409: "conflict", 410: "gone", 422: "refused", 451: "blocked",
}  # fmt: skip
_NEGATIVE = frozenset({404, 409, 410, 451})
"""Refusals that are kept as well: a repository that is gone is not asked for once more on every resume."""
_NEXT = re.compile(r'<([^<>]+)>\s*;[^,]*\brel="?next"?')
Result = TypeVar("Result")


class Failed(Exception):
    """A request that gave no answer to use. `reason` is a slug, `status` the HTTP status or 0."""

    def __init__(self, reason: str, detail: str = "", *, status: int = 0, again: bool = False) -> None:
        super().__init__(reason, detail)
        self.reason, self.detail, self.status, self.again = reason, detail, status, again


class Answer(NamedTuple):
    """What was asked for: the JSON or text, and the URL of the next page ("" on the last)."""

    value: Any
    next: str = ""


class Ask(NamedTuple):
    """A request: the body is JSON; `json` says what the answer is."""

    url: str
    body: bytes | None = None
    accept: str = "application/vnd.github+json"
    json: bool = True


@dataclass
class Told:
    """What the client met, for those who want to say it: requests sent, answers from the cache, seconds waited."""

    requests: int = 0
    unchanged: int = 0
    cached: int = 0
    waited_s: float = 0.0
    remaining: dict[str, int] = field(default_factory=dict)


class Http:
    """The client of one server and of those it points to. Safe to use from several threads."""

    def __init__(self, base: str, cache: Path, *, token: str = "", patience: Patience | None = None) -> None:
        """Ask nothing yet.

        Args:
            base: where the token may go: scheme, host and port of this URL.
            cache: a folder of its own.
            token: sent as `Authorization: Bearer`; "" for none.
            patience: timeouts and retries.

        Raises:
            BurilError: D031 when the token would travel in the clear.
        """
        self._origin = origin(base)
        if token and self._origin[0] != "https" and not is_loopback(self._origin[1]):
            raise BurilError("D031", host=self._origin[1])
        self._cache, self._token = cache, token
        self.patience = patience or Patience()
        self.told = Told()
        self.fresh_s = 0.0
        self._reset: dict[str, float] = {}
        self._lock = threading.Lock()
        self._client: httpx.Client | None = None

    def get(self, url: str, *, accept: str = Ask._field_defaults["accept"], json: bool = True) -> Answer:
        """The answer to a GET, from the cache while it is fresh or unchanged.

        Raises:
            Failed: no answer, or a refusal.
        """
        return self._ask(Ask(url, None, accept, json))

    def post(self, url: str, value: Any) -> Answer:
        """The answer to a POST of JSON that changes nothing (GraphQL), from the cache while it is fresh."""
        return self._ask(Ask(url, json.dumps(value, sort_keys=True).encode()))

    def close(self) -> None:
        """Close the connections."""
        if self._client is not None:
            self._client.close()

    # --- answers that are kept

    def _ask(self, ask: Ask) -> Answer:
        path = self._place(ask)
        kept = _load(path)
        if kept and time.time() - kept["asked"] < self.fresh_s:
            self.told.cached += 1
            return self._answer(kept, ask)
        headers: dict[str, str] = {}
        if kept and kept.get("etag") and ask.body is None:
            headers["If-None-Match"] = kept["etag"]
        try:
            kept = self._again(ask, headers, lambda response: _take(response, ask, kept))
        except Failed as problem:
            if problem.status not in _NEGATIVE:
                raise
            kept = {"failed": [problem.reason, problem.detail, problem.status]}
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with atomic(path) as temporary:
            temporary.write_text(json.dumps({**kept, "asked": time.time()}), encoding="utf-8")
            temporary.chmod(0o600)
        return self._answer(kept, ask)

    def _answer(self, kept: Mapping[str, Any], ask: Ask) -> Answer:
        if "failed" in kept:
            reason, detail, status = kept["failed"]
            raise Failed(reason, detail, status=status)
        following = kept.get("next", "")
        if following and origin(following) != self._origin:
            following = ""  # a page elsewhere is none of this server's
        return Answer(json.loads(kept["body"]) if ask.json else kept["body"], following)

    def _place(self, ask: Ask) -> Path:
        scope = hashlib.sha256(self._token.encode()).digest() if self._carries(ask.url) else b""
        name = hashlib.sha256(b"\0".join([ask.url.encode(), ask.accept.encode(), ask.body or b"", scope])).hexdigest()
        return self._cache / "answers" / name[:2] / f"{name}.json"

    # --- downloads

    def download(self, url: str, to: Path, *, max_bytes: int) -> None:
        """Bring a file to the disk, whole; a part from an earlier attempt is gone on with where the server can.

        Raises:
            Failed: no answer, a refusal, or `too_large`.
        """
        if to.exists():
            return
        part, tag = to.with_name(to.name + ".part"), to.with_name(to.name + ".etag")
        to.parent.mkdir(parents=True, exist_ok=True, mode=0o700)

        def headers() -> dict[str, str]:
            known = tag.read_text(encoding="utf-8") if tag.exists() and part.exists() else ""
            size = part.stat().st_size if known else 0
            more = {"Range": f"bytes={size}-", "If-Range": known} if size else {}
            return {"Accept-Encoding": "identity", **more}

        ask = Ask(url, None, "*/*", json=False)
        self._again(ask, headers, lambda response: self._save(response, part, tag, max_bytes))
        part.replace(to)
        tag.unlink(missing_ok=True)

    def _save(self, response: httpx.Response, part: Path, tag: Path, max_bytes: int) -> None:
        size = part.stat().st_size if part.exists() else 0
        if response.status_code == 416 or (response.status_code == 206 and _first_byte(response) != size):
            part.unlink(missing_ok=True)
            raise Failed("range", again=True)
        if response.status_code != 206:
            size = 0
            strong = response.headers.get("ETag", "")
            part.unlink(missing_ok=True)
            tag.write_text("" if strong.startswith("W/") else strong, encoding="utf-8")
        length = response.headers.get("Content-Length", "")
        if length.isdecimal() and size + int(length) > max_bytes:
            raise Failed("too_large", f"{size + int(length)} > {max_bytes}")
        with part.open("ab") as stream:
            for chunk in _chunks(response.iter_raw(), self.patience.timeout_s):
                size += len(chunk)
                if size > max_bytes:
                    stream.truncate(0)
                    raise Failed("too_large", f"> {max_bytes}")
                stream.write(chunk)

    # --- one request, as often as it takes

    def _again(
        self,
        ask: Ask,
        headers: Mapping[str, str] | Callable[[], Mapping[str, str]],
        use: Callable[[httpx.Response], Result],
    ) -> Result:
        """Send until `use` has what it wants; wait where the server says so, come back where it broke off."""
        import httpx

        attempt = waits = 0
        while True:
            self._hold(ask.url)
            try:
                with self._open(ask, headers() if callable(headers) else headers) as response:
                    wait = self._limited(response, ask.url, waits)
                    if wait is None:
                        return use(_passed(response))
                waits += 1
                self._sleep(wait if waits <= MAX_WAITS else math.inf)
                continue
            except httpx.TimeoutException:
                problem = Failed("timeout", again=True)
            except (httpx.TransportError, httpx.DecodingError) as broken:
                problem = Failed("network", type(broken).__name__, again=True)
            except httpx.InvalidURL:
                raise Failed("bad_url") from None
            except Failed as failed:
                problem = failed
            if not problem.again or (attempt := attempt + 1) >= self.patience.attempts:
                raise problem
            time.sleep(self.patience.delay(ask.url, attempt))

    @contextlib.contextmanager
    def _open(self, ask: Ask, headers: Mapping[str, str]) -> Iterator[httpx.Response]:
        """Send one request and follow where it leads; the token goes only to the host it is for."""
        client, url = self._made(), ask.url
        for _hop in range(MAX_REDIRECTS + 1):
            sent = {"Accept": ask.accept, "User-Agent": USER_AGENT, "X-GitHub-Api-Version": "2022-11-28", **headers}
            if self._carries(url):
                sent["Authorization"] = f"Bearer {self._token}"
            request = client.build_request("GET" if ask.body is None else "POST", url, headers=sent, content=ask.body)
            response = client.send(request, stream=True)
            self.told.requests += 1
            try:
                if response.status_code not in _REDIRECTS:
                    yield response
                    return
                location = response.headers.get("Location", "")
            finally:
                response.close()
            before, url = url, _joined(url, location)
            if ask.body is not None or url == before:
                raise Failed("redirects", "not followed")
        raise Failed("redirects", f"more than {MAX_REDIRECTS}")

    def _made(self) -> httpx.Client:
        import httpx

        with self._lock:
            if self._client is None:
                self._client = httpx.Client(timeout=self.patience.timeout_s, follow_redirects=False)
            return self._client

    def _carries(self, url: str) -> bool:
        return bool(self._token) and origin(url) == self._origin

    # --- limits

    def _limited(self, response: httpx.Response, url: str, waits: int) -> float | None:
        """Seconds to wait when the answer says that a limit is used up; None when it is an answer."""
        left, reset = response.headers.get("X-RateLimit-Remaining", ""), response.headers.get("X-RateLimit-Reset", "")
        kind = response.headers.get("X-RateLimit-Resource") or resource(url)
        reset_in = float(reset) - server_time(response.headers.get("Date", "")) + 1 if reset.isdecimal() else None
        if left.isdecimal():
            with self._lock:
                self.told.remaining[kind] = int(left)
                self._reset[kind] = time.time() + (reset_in or 0.0)
        if response.status_code not in (403, 429):
            return None
        after = response.headers.get("Retry-After", "")
        if after.isdecimal():
            return float(after)
        if left == "0" and reset_in is not None:
            return max(0.0, reset_in)
        if response.status_code == 429 or "rate limit" in _body(response, 100_000).decode("utf-8", "replace").lower():
            return float(min(SECONDARY_WAIT_S * 2.0**waits, 900.0))
        raise Failed("forbidden", status=403)

    def _hold(self, url: str) -> None:
        """Wait before a request that would only be refused."""
        kind = resource(url)
        if origin(url) == self._origin and self.told.remaining.get(kind) == 0:
            wait = self._reset.get(kind, 0.0) - time.time()
            if wait > 0:
                self._sleep(wait)

    def _sleep(self, seconds: float) -> None:
        """Wait, unless it would take longer than the user has patience for."""
        if seconds > self.patience.max_wait_s:
            until = time.localtime(time.time() + min(seconds, 86_400.0))
            raise Failed("rate_limit", time.strftime("%H:%M", until))
        self.told.waited_s += seconds
        time.sleep(seconds)


def _joined(url: str, location: str) -> str:
    """Where a redirect leads.

    Raises:
        Failed: to no address, to another protocol, or from HTTPS to plain HTTP.
    """
    try:
        found = urljoin(url, location)
        scheme = urlsplit(found).scheme
    except ValueError:
        raise Failed("redirects", "to no address") from None
    if scheme != "https" and (scheme != "http" or urlsplit(url).scheme == "https"):
        raise Failed("redirects", "to plain HTTP" if scheme == "http" else "to another protocol")
    return found


def _take(response: httpx.Response, ask: Ask, kept: dict[str, Any] | None) -> dict[str, Any]:
    """An answer as it is kept; one that is no JSON is asked for again."""
    if response.status_code == 304 and kept is not None and "body" in kept:
        return kept
    body = _body(response, MAX_BODY).decode("utf-8", "replace")
    if ask.json:
        try:
            value = json.loads(body)
        except (ValueError, RecursionError):
            raise Failed("bad_json", again=True) from None
        if ask.body is not None and isinstance(value, dict) and value.get("errors") and not value.get("data"):
            raise Failed("graphql", again=True)  # an error or a limit of its own: the status says 200 all the same
    following = _NEXT.search(response.headers.get("Link", ""))
    return {"etag": response.headers.get("ETag", ""), "next": following[1] if following else "", "body": body}


def _passed(response: httpx.Response) -> httpx.Response:
    """The response, where it is one to use.

    Raises:
        Failed: a refusal, or an error of the server, which is worth another try.
    """
    status = response.status_code
    if status in (200, 203, 206, 304, 416):
        return response
    raise Failed(_REASONS.get(status, f"http_{status}"), status=status, again=status >= 500 or status in (408, 425))


def _body(response: httpx.Response, most: int) -> bytes:
    found = bytearray()
    for chunk in _chunks(response.iter_bytes(1 << 16), response.request.extensions["timeout"]["read"]):
        found += chunk
        if len(found) > most:
            raise Failed("too_large", f"> {most}")
    return bytes(found)


def _chunks(chunks: Iterator[bytes], timeout_s: float) -> Iterator[bytes]:
    """The chunks of a body that comes at a speed worth waiting for."""
    start, size = time.monotonic(), 0
    for chunk in chunks:
        size += len(chunk)
        late = time.monotonic() - start
        if late > timeout_s and size < late * SLOWEST:
            raise Failed("timeout", "too slow", again=True)
        yield chunk


def _first_byte(response: httpx.Response) -> int:
    found = re.match(r"bytes (\d+)-", response.headers.get("Content-Range", ""))
    return int(found[1]) if found else -1


def _load(path: Path) -> dict[str, Any] | None:
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) and isinstance(found.get("asked"), float) else None
