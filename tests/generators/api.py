"""A local server that speaks the OpenAI HTTP API as servers do: both forms, usage, limits, failures on demand."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Reply = Callable[[str], str]


def canned(prompt: str) -> str:
    return f"answer to {prompt[-20:]}\nsecond line\n"


class Api:
    """Answers on loopback. `failures` are taken first, one a request: a status, `"cut"`, `"text"`, `"form"` or `"slow"`."""

    def __init__(self, reply: Reply = canned, *, key: str = "", failures: list[Any] | None = None) -> None:
        self.reply, self.key, self.failures = reply, key, failures or []
        self.asked: list[dict[str, Any]] = []
        self.paths: list[str] = []
        self.most_at_once = self._now = 0
        self._lock = threading.Lock()
        api = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                with api._lock:
                    api._now += 1
                    api.most_at_once = max(api.most_at_once, api._now)
                try:
                    api._answer(self)
                finally:
                    with api._lock:
                        api._now -= 1

            def log_message(self, *_more: Any) -> None:
                """Quiet."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/v1"

    def __enter__(self) -> Api:
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return self

    def __exit__(self, *_problem: object) -> None:
        self.server.shutdown()
        self.server.server_close()

    def _answer(self, handler: BaseHTTPRequestHandler) -> None:
        body = json.loads(handler.rfile.read(int(handler.headers["content-length"])))
        with self._lock:
            self.asked.append(body)
            self.paths.append(handler.path)
            failure = self.failures.pop(0) if self.failures else None
        if self.key and handler.headers.get("authorization") != f"Bearer {self.key}":
            self._send(handler, 401, {"error": {"message": f"wrong key {handler.headers.get('authorization')}"}})
        elif isinstance(failure, int):
            self._send(handler, failure, {"error": {"message": "not now"}}, {"retry-after": "0.01"})
        elif failure == "cut":
            handler.send_response(200)
            handler.send_header("content-length", "1000")
            handler.end_headers()
            handler.wfile.write(b'{"choices"')
            handler.close_connection = True
        elif failure == "text":
            self._send(handler, 200, "<html>busy</html>")
        elif failure == "form":
            self._send(handler, 200, {"choices": []})
        elif failure == "slow":
            threading.Event().wait(1.0)
            self._send(handler, 200, self._choice(handler.path, body))
        else:
            self._send(handler, 200, self._choice(handler.path, body))

    def _choice(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        prompt = body["messages"][-1]["content"] if path.endswith("chat/completions") else body["prompt"]
        text = self.reply(prompt)
        words = len(text.split())
        message = {"message": {"role": "assistant", "content": text}} if "messages" in body else {"text": text}
        finish = "length" if words > body["max_tokens"] else "stop"
        usage = {"prompt_tokens": len(prompt.split()), "completion_tokens": words}
        return {"id": "x", "choices": [{"index": 0, "finish_reason": finish, **message}], "usage": usage}

    @staticmethod
    def _send(handler: BaseHTTPRequestHandler, status: int, body: Any, more: dict[str, str] | None = None) -> None:
        raw = body.encode() if isinstance(body, str) else json.dumps(body).encode()
        handler.send_response(status)
        handler.send_header("content-type", "application/json")
        handler.send_header("content-length", str(len(raw)))
        for name, value in (more or {}).items():
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(raw)
