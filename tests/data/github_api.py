"""A server on this machine that speaks GitHub's API: the shapes of its public documentation, its limits and its faults.

Two addresses: the API on 127.0.0.1, archives (what codeload.github.com is to GitHub) on 127.0.0.2. Everything asked is
in `requests`; `fault` makes the next answers to a path go wrong in a way of your choice.
"""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import io
import json
import re
import tarfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

MIT = """MIT License

Copyright (c) 2020 A

Permission is hereby granted, free of charge, to any person obtaining a copy of this software and associated
documentation files (the "Software"), to deal in the Software without restriction, including without limitation the
rights to use, copy, modify, merge, publish, distribute, sublicense, and/or sell copies of the Software, and to permit
persons to whom the Software is furnished to do so, subject to the following conditions:

The above copyright notice and this permission notice shall be included in all copies or substantial portions of the
Software.

THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR IMPLIED, INCLUDING BUT NOT LIMITED TO THE
WARRANTIES OF MERCHANTABILITY, FITNESS FOR A PARTICULAR PURPOSE AND NONINFRINGEMENT. IN NO EVENT SHALL THE AUTHORS OR
COPYRIGHT HOLDERS BE LIABLE FOR ANY CLAIM, DAMAGES OR OTHER LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR
OTHERWISE, ARISING FROM, OUT OF OR IN CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE SOFTWARE.
"""
Reply = tuple[int, dict[str, str], bytes]


@dataclass
class Repo:
    """A repository of the server. `issues`: (created, is a pull request), oldest first or not."""

    name: str
    files: dict[str, str | bytes] = field(default_factory=lambda: {"a.py": "x = 1\n", "LICENSE": MIT})
    stars: int = 5
    license: str | None = "MIT"
    language: str | None = "Python"
    created: str = "2020-01-02T03:04:05Z"
    committed: str = "2026-06-01T00:00:00Z"
    issues: list[tuple[str, bool]] = field(default_factory=list)
    has_issues: bool = True
    private: bool = False
    archived: bool = False
    fork: bool = False
    empty: bool = False
    topics: tuple[str, ...] = ()
    archive: bytes | None = None
    coverage: float | None = None
    status: int = 200

    @property
    def commit(self) -> str:
        said = json.dumps([self.name, self.committed, sorted((k, str(v)) for k, v in self.files.items())])
        return hashlib.sha1(said.encode()).hexdigest()

    @property
    def id(self) -> str:
        return "R_" + hashlib.sha1(self.name.encode()).hexdigest()[:10]

    def packed(self) -> bytes:
        return self.archive if self.archive is not None else tarball(self.files, self.name, self.commit)


def tarball(
    files: dict[str, str | bytes], name: str, commit: str, *, add: Callable[[tarfile.TarFile], None] | None = None
) -> bytes:
    """An archive as GitHub makes it: one folder, the commit in a global pax header."""
    held = io.BytesIO()
    top = f"{name.replace('/', '-')}-{commit[:7]}"
    told = {"comment": commit}
    with (
        gzip.GzipFile(fileobj=held, mode="wb", mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT, pax_headers=told) as tar,
    ):
        for path, content in files.items():
            raw = content if isinstance(content, bytes) else content.encode()
            info = tarfile.TarInfo(f"{top}/{path}")
            info.size = len(raw)
            tar.addfile(info, io.BytesIO(raw))
        if add:
            add(tar)
    return held.getvalue()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def handle_error(self, request: Any, client_address: Any) -> None:
        pass  # clients that go away in the middle are part of the tests


Fault = Callable[["Github", BaseHTTPRequestHandler], bool]


class Github:
    """The server. Change `repos` and `faults` while it runs."""

    def __init__(self) -> None:
        self.repos: dict[str, Repo] = {}
        self.renamed: dict[str, str] = {}
        self.requests: list[tuple[str, str, str]] = []
        """(host, `METHOD path?query`, Authorization), as they came."""
        self.statuses: list[int] = []
        self.token = "ghp_test"
        self.needs_token = False
        self.page = 100
        self.ranges = True
        self.graphql: Callable[[dict[str, Any]], dict[str, Any]] | None = None
        self.graphql_status = 200
        self.static: dict[str, bytes] = {}
        """Path → content of further files on 127.0.0.2, such as dumps of GH Archive."""
        self.left: int | None = None
        self.reset_s = 2
        self._faults: list[tuple[re.Pattern[str], Fault, int]] = []
        self._lock = threading.Lock()
        self._servers = [_Server((host, 0), self._handler()) for host in ("127.0.0.1", "127.0.0.2")]
        self.api, self.codeload = (f"http://{s.server_address[0]}:{s.server_address[1]}" for s in self._servers)
        for server in self._servers:
            threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()

    def close(self) -> None:
        for server in self._servers:
            server.shutdown()
            server.server_close()

    def add(self, *repos: Repo) -> None:
        self.repos.update({repo.name: repo for repo in repos})

    def fault(self, path: str, what: Fault | int, times: int = 1, **headers: str) -> None:
        """The next `times` requests whose path fits get that status (or whatever a function writes)."""
        if isinstance(what, int):
            status = what

            def what(_server: Github, handler: BaseHTTPRequestHandler) -> bool:
                send(
                    handler,
                    status,
                    {key.replace("_", "-"): value for key, value in headers.items()},
                    b'{"message": "no"}',
                )
                return True

        with self._lock:
            self._faults.append((re.compile(path), what, times))

    def asked(self, pattern: str) -> list[str]:
        return [path for _host, path, _auth in self.requests if re.search(pattern, path)]

    # --- the protocol

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                server._handle(self, b"")

            def do_POST(self) -> None:
                server._handle(self, self.rfile.read(int(self.headers["Content-Length"])))

            def log_message(self, *_: object) -> None:
                pass

            def send_response(self, code: int, message: str | None = None) -> None:
                server.statuses.append(code)
                super().send_response(code, message)

        return Handler

    def _handle(self, handler: BaseHTTPRequestHandler, body: bytes) -> None:
        host = handler.server.server_address[0]
        with self._lock:
            self.requests.append(
                (str(host), f"{handler.command} {handler.path}", handler.headers.get("Authorization", ""))
            )
            found = self._fault(handler.path)
        if found and found(self, handler):
            return
        if host == "127.0.0.2":
            self._archive(handler)
            return
        status, headers, raw = self._answer(handler, body)
        with self._lock:
            if self.left is not None:
                if status != 304:
                    self.left -= 1
                headers["X-RateLimit-Remaining"] = str(max(0, self.left))
                headers["X-RateLimit-Reset"] = str(int(time.time()) + self.reset_s)
                if self.left < 0:
                    status, raw = 403, b'{"message": "API rate limit exceeded for user"}'
        send(handler, status, headers, raw)

    def _fault(self, path: str) -> Fault | None:
        for number, (pattern, what, times) in enumerate(self._faults):
            if pattern.search(path):
                if times == 1:
                    self._faults.pop(number)
                else:
                    self._faults[number] = (pattern, what, times - 1)
                return what
        return None

    def _answer(self, handler: BaseHTTPRequestHandler, body: bytes) -> Reply:
        parts = urlsplit(handler.path)
        query = {key: values[-1] for key, values in parse_qs(parts.query).items()}
        authorised = handler.headers.get("Authorization", "") == f"Bearer {self.token}"
        if handler.headers.get("Authorization") and not authorised:
            return 401, {}, b'{"message": "Bad credentials"}'
        if self.needs_token and not authorised:
            return 401, {}, b'{"message": "Requires authentication"}'
        status, headers, value = self._route(parts.path, query, body, authorised=authorised)
        raw = value if isinstance(value, bytes) else json.dumps(value).encode()
        tag = '"' + hashlib.sha1(raw + headers.get("Link", "").encode()).hexdigest() + '"'
        if status == 200 and handler.command == "GET":
            headers["ETag"] = tag
            if handler.headers.get("If-None-Match") == tag:
                return 304, headers, b""
        return status, headers, raw

    def _route(  # noqa: PLR0911  one return a route
        self, path: str, query: dict[str, str], body: bytes, *, authorised: bool
    ) -> tuple[int, dict[str, str], Any]:
        if path in ("/graphql", "/api/graphql"):
            if not authorised:
                return 401, {}, {"message": "This endpoint requires you to be authenticated."}
            return self.graphql_status, {}, (self.graphql or self._graphql)(json.loads(body))
        if re.match(r"/api/v2/|/gh/|/github/|/repos/github/", path):
            return self._services(path)
        path = path.removeprefix("/api/v3")
        if match := re.fullmatch(r"/(orgs|users)/([^/]+)/repos", path):
            known = sorted(
                (r for r in self._seen(authorised) if r.name.startswith(match[2] + "/")), key=lambda r: r.name
            )
            if not known and match[2] != "nobody":
                return 404, {}, {"message": "Not Found"}
            return self._paged(path, query, [self._shape(repo) for repo in known])
        if path == "/search/repositories":
            return self._search(path, query, authorised=authorised)
        if match := re.fullmatch(r"/repos/([^/]+/[^/]+)(/.*)?", path):
            return self._repository(match[1], match[2] or "", query, authorised=authorised)
        return 404, {}, {"message": "Not Found"}

    def _seen(self, authorised: bool) -> list[Repo]:
        return [repo for repo in list(self.repos.values()) if authorised or not repo.private]

    def _paged(
        self, path: str, query: dict[str, str], items: list[Any], wrap: Callable[[list[Any]], Any] = list
    ) -> tuple[int, dict[str, str], Any]:
        size, number = min(self.page, int(query.get("per_page", "30"))), int(query.get("page", "1"))
        some = items[(number - 1) * size : number * size]
        links = []
        if number * size < len(items):
            links.append(f'<{self.api}{path}?{urlencode({**query, "page": number + 1})}>; rel="next"')
            links.append(f'<{self.api}{path}?{urlencode({**query, "page": -(-len(items) // size)})}>; rel="last"')
        if number > 1:
            links.insert(0, f'<{self.api}{path}?{urlencode({**query, "page": number - 1})}>; rel="prev"')
        return 200, {"Link": ", ".join(links)} if links else {}, wrap(some)

    def _search(self, path: str, query: dict[str, str], *, authorised: bool) -> tuple[int, dict[str, str], Any]:
        words = query["q"].split()
        found = self._seen(authorised)
        for word in words:
            key, _, value = word.partition(":")
            if key == "created":
                first, _, last = value.partition("..")
                found = [repo for repo in found if first <= repo.created[:10] <= last]
            elif key == "language":
                found = [repo for repo in found if (repo.language or "").lower() == value.lower()]
            elif key == "topic":
                found = [repo for repo in found if value in repo.topics]
            elif key == "stars":
                found = [repo for repo in found if repo.stars > int(value.lstrip(">"))]
        found.sort(key=lambda repo: (-repo.stars, repo.name))
        total = len(found)
        return self._paged(
            path, query, [self._shape(repo) for repo in found[:1000]],
            lambda some: {"total_count": total, "incomplete_results": False, "items": some},
        )  # fmt: skip

    def _repository(  # noqa: PLR0911  one return a route
        self, name: str, rest: str, query: dict[str, str], *, authorised: bool
    ) -> tuple[int, dict[str, str], Any]:
        if name in self.renamed:
            return 301, {"Location": f"{self.api}/repos/{self.renamed[name]}{rest}"}, {"message": "Moved Permanently"}
        repo = next((repo for repo in self._seen(authorised) if repo.name.lower() == name.lower()), None)
        if repo is None:
            return 404, {}, {"message": "Not Found"}
        if repo.status != 200:
            return repo.status, {}, {"message": "Repository access blocked", "block": {"reason": "dmca"}}
        if not rest:
            return 200, {}, self._shape(repo)
        if rest.startswith("/commits/"):
            if repo.empty:
                return 409, {}, {"message": "Git Repository is empty."}
            if rest[9:] not in ("main", "HEAD", "v1", repo.commit):
                return 422, {}, {"message": f"No commit found for SHA: {rest[9:]}"}
            return 200, {}, {"sha": repo.commit, "commit": {"committer": {"date": repo.committed}, "message": "x"}}
        if rest == "/issues":
            shown = [{"number": n, "created_at": at, **({"pull_request": {"url": "u"}} if pull else {})}
                     for n, (at, pull) in enumerate(sorted(repo.issues), 1)]  # fmt: skip
            return self._paged(f"/repos/{name}{rest}", query, shown)
        if rest.startswith("/tarball/"):
            return 302, {"Location": f"{self.codeload}/{name}/legacy.tar.gz/{rest[9:]}?token=SIGNED"}, b""
        return 404, {}, {"message": "Not Found"}

    def _services(self, path: str) -> tuple[int, dict[str, str], Any]:
        """Codecov and Coveralls, as far as they are asked."""
        if match := re.fullmatch(r"/api/v2/github/([^/]+)/repos/([^/]+)/", path):
            repo = self.repos.get(f"{match[1]}/{match[2]}")
            if repo is None or repo.coverage is None:
                return 404, {}, {"detail": "Not found."}
            return 200, {}, {"name": match[2], "active": True, "totals": {"files": 3, "coverage": repo.coverage * 100}}
        if match := re.fullmatch(r"/(?:gh/(\S+)/graph|repos/github/(\S+))/badge.svg", path):
            repo = self.repos.get(match[1] or match[2])
            shown = f"{repo.coverage * 100:.0f}%" if repo and repo.coverage is not None else "unknown"
            return (
                200,
                {},
                f'<svg xmlns="http://www.w3.org/2000/svg"><text>coverage</text><text>{shown}</text></svg>'.encode(),
            )
        if match := re.fullmatch(r"/github/(\S+)\.json", path):
            repo = self.repos.get(match[1])
            if repo is not None and repo.coverage is not None and repo.stars > 5:  # of others it has a badge alone
                return 200, {}, {"covered_percent": repo.coverage * 100, "commit_sha": repo.commit}
        return 404, {}, {"message": "Not Found"}

    def _shape(self, repo: Repo) -> dict[str, Any]:
        owner, _, name = repo.name.partition("/")
        return {
            "id": int(repo.id[2:], 16), "node_id": repo.id, "name": name, "full_name": repo.name, "private": repo.private,
            "owner": {"login": owner}, "html_url": f"https://github.com/{repo.name}", "fork": repo.fork,
            "created_at": repo.created, "pushed_at": repo.committed, "size": 7, "stargazers_count": repo.stars,
            "language": repo.language, "has_issues": repo.has_issues, "archived": repo.archived, "disabled": False,
            "license": repo.license and {"key": repo.license.lower(), "spdx_id": repo.license}, "default_branch": "main",
            "open_issues_count": len(repo.issues), "topics": list(repo.topics),
        }  # fmt: skip

    def _graphql(self, asked: dict[str, Any]) -> dict[str, Any]:
        assert "nodes(ids:$ids)" in asked["query"]
        by_id = {repo.id: repo for repo in self.repos.values()}
        nodes, errors = [], []
        for place, name in enumerate(asked["variables"]["ids"]):
            repo = by_id.get(name)
            if repo is None or repo.status != 200:
                nodes.append(None)
                errors.append({"type": "NOT_FOUND", "path": ["nodes", place], "message": "Could not resolve to a node"})
                continue
            open_ = sorted(at for at, pull in repo.issues if not pull)
            nodes.append({
                "id": repo.id, "nameWithOwner": repo.name, "isEmpty": repo.empty, "isDisabled": False,
                "stargazerCount": repo.stars, "hasIssuesEnabled": repo.has_issues,
                "licenseInfo": repo.license and {"spdxId": repo.license},
                "defaultBranchRef": None if repo.empty else {"target": {"oid": repo.commit, "committedDate": repo.committed}},
                "issues": {"totalCount": len(open_), "nodes": [{"createdAt": at} for at in open_[:1]]},
            })  # fmt: skip
        return {"data": {"nodes": nodes}, **({"errors": errors} if errors else {})}

    def _archive(self, handler: BaseHTTPRequestHandler) -> None:
        match = re.fullmatch(r"/([^/]+/[^/]+)/legacy.tar.gz/\w+", urlsplit(handler.path).path)
        repo = self.repos.get(match[1]) if match else None
        raw = repo.packed() if repo else self.static.get(handler.path)
        if raw is None:
            send(handler, 404, {}, b"404: Not Found")
            return
        tag = '"' + hashlib.sha1(raw).hexdigest() + '"'
        start = re.fullmatch(r"bytes=(\d+)-", handler.headers.get("Range", ""))
        if self.ranges and start and handler.headers.get("If-Range") == tag:
            at = int(start[1])
            if at >= len(raw):
                send(handler, 416, {}, b"")
                return
            send(handler, 206, {"ETag": tag, "Content-Range": f"bytes {at}-{len(raw) - 1}/{len(raw)}"}, raw[at:])
            return
        send(handler, 200, {"ETag": tag}, raw)


def send(
    handler: BaseHTTPRequestHandler, status: int, headers: dict[str, str], raw: bytes, *, most: int | None = None
) -> None:
    """Write one answer; with `most`, promise all of it and break off after so many bytes."""
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        handler.send_response(status)
        for key, value in headers.items():
            handler.send_header(key, value)
        if status != 304:
            handler.send_header("Content-Length", str(len(raw)))
        handler.end_headers()
        handler.wfile.write(raw if most is None else raw[:most])
        if most is not None:
            handler.wfile.flush()
            handler.close_connection = True


def hang(seconds: float) -> Fault:
    """Say nothing for a while, then hang up."""

    def fault(_server: Github, handler: BaseHTTPRequestHandler) -> bool:
        time.sleep(seconds)
        handler.close_connection = True
        return True

    return fault


@contextlib.contextmanager
def serving() -> Iterator[Github]:
    server = Github()
    try:
        yield server
    finally:
        server.close()
