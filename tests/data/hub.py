"""A server on this machine that speaks the API of the Hugging Face hub, with its real paths, headers and faults."""

from __future__ import annotations

import hashlib
import json
import re
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

COMMIT = "0123456789abcdef0123456789abcdef01234567"


class Hub:
    """Data sets by name: path → bytes. `faults` maps a path of the API to answers that come first."""

    def __init__(self) -> None:
        self.sets: dict[str, dict[str, bytes]] = {}
        self.gated: dict[str, str] = {}
        self.faults: dict[str, list[tuple[int, dict[str, str]]]] = {}
        self.cut: dict[str, list[int]] = {}
        self.page = 2
        self.asked: Counter[str] = Counter()
        self.ranges: list[str] = []
        self.tokens: set[str] = set()
        self.url = ""
        self.cdn = ""


class _Answer(BaseHTTPRequestHandler):
    hub: Hub
    protocol_version = "HTTP/1.1"

    def log_message(self, *arguments: Any) -> None:
        pass

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def _answer(self) -> None:
        path = unquote(urlsplit(self.path).path)
        self.hub.asked[f"{self.command} {path}"] += 1
        token = self.headers.get("Authorization", "").removeprefix("Bearer ")
        if token:
            self.hub.tokens.add(token)
        for faulty, answers in self.hub.faults.items():
            if faulty in path and answers:
                status, headers = answers.pop(0)
                return self._say(status, b"{}", headers)
        if path.startswith("/cdn/"):
            return self._cdn(path.removeprefix("/cdn/"))
        found = re.fullmatch(r"/api/datasets/([\w.-]+(?:/[\w.-]+)?)/(revision|tree)/(.+)", path)
        file = re.fullmatch(r"/datasets/([\w.-]+/[\w.-]+)/resolve/([^/]+)/(.+)", path)
        name, revision = (found[1], found[3]) if found else (file[1], file[2]) if file else ("", "")
        if name not in self.hub.sets:
            return self._refuse(401 if not token else 404, "RepoNotFound", "Repository not found")
        if revision not in ("main", COMMIT):
            return self._refuse(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        if file:
            return self._resolve(name, file[3], token)
        return self._info(name) if found and found[2] == "revision" else self._tree(name)

    def _info(self, name: str) -> None:
        files = [{"rfilename": path} for path in sorted(self.hub.sets[name])]
        told = {
            "_id": "6",
            "id": name,
            "sha": COMMIT,
            "private": False,
            "gated": name in self.hub.gated and "auto",
            "siblings": files,
            "tags": [],
            "downloads": 1,
            "likes": 0,
        }
        self._say(200, json.dumps(told).encode())

    def _tree(self, name: str) -> None:
        items: list[dict[str, Any]] = [{"type": "directory", "oid": "d" * 40, "size": 0, "path": "data"}]
        for path, raw in sorted(self.hub.sets[name].items()):
            lfs = {"oid": hashlib.sha256(raw).hexdigest(), "size": len(raw), "pointerSize": 132}
            items.append(
                {"type": "file", "oid": hashlib.sha1(raw).hexdigest(), "size": len(raw), "path": path, "lfs": lfs}
            )
        start = int(parse_qs(urlsplit(self.path).query).get("cursor", ["0"])[0])
        headers = {}
        if start + self.hub.page < len(items):
            base = f"{self.hub.url}{urlsplit(self.path).path}"
            headers["Link"] = f'<{base}?recursive=true&cursor={start + self.hub.page}>; rel="next"'
        self._say(200, json.dumps(items[start : start + self.hub.page]).encode(), headers)

    def _resolve(self, name: str, path: str, token: str) -> None:
        if self.hub.gated.get(name, token) != token:
            message = f"Access to dataset {name} is restricted. Visit https://huggingface.co/datasets/{name} to ask for access."
            return self._refuse(403 if token else 401, "GatedRepo", message)
        raw = self.hub.sets[name].get(path)
        if raw is None:
            return self._refuse(404, "EntryNotFound", "Entry not found")
        digest = hashlib.sha256(raw).hexdigest()
        self._say(
            302,
            b"Found",
            {
                "Location": f"{self.hub.cdn}/cdn/{name}/{path}?Signature=x",
                "X-Repo-Commit": COMMIT,
                "X-Linked-Size": str(len(raw)),
                "X-Linked-ETag": f'"{digest}"',
                "ETag": f'"{digest}"',
                "Accept-Ranges": "bytes",
            },
        )

    def _cdn(self, path: str) -> None:
        owner, name, file = path.split("/", 2)
        raw = self.hub.sets[f"{owner}/{name}"][file]
        first, status, headers = 0, 200, {"ETag": f'"{hashlib.sha256(raw).hexdigest()}"'}
        asked = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        if asked:
            first, status = int(asked[1]), 206
            self.hub.ranges.append(self.headers["Range"])
            headers["Content-Range"] = f"bytes {first}-{len(raw) - 1}/{len(raw)}"
        body = raw[first:]
        cuts = self.hub.cut.get(file, [])
        if cuts and self.command == "GET":
            keep = cuts.pop(0)
            self._start(status, len(body), headers)
            self.wfile.write(body[:keep])
            self.wfile.flush()
            self.close_connection = True
            return
        self._say(status, body, headers)

    def _refuse(self, status: int, code: str, message: str) -> None:
        self._say(status, json.dumps({"error": message}).encode(), {"X-Error-Code": code, "X-Error-Message": message})

    def _say(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self._start(status, len(body), {"Content-Type": "application/json", **(headers or {})})
        if self.command == "GET":
            self.wfile.write(body)

    def _start(self, status: int, size: int, headers: dict[str, str]) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(size))
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()


@contextmanager
def serve() -> Iterator[Hub]:
    hub = Hub()
    handler = type("Answer", (_Answer,), {"hub": hub})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    hub.url = f"http://127.0.0.1:{server.server_address[1]}"
    hub.cdn = hub.url.replace("127.0.0.1", "localhost")  # contents lie at another host
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
