"""A server that runs for real: a small model, an engine, a socket on this machine, and a client that speaks HTTP."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx

from buril.generators._load import Loaded
from buril.generators.transformers import Transformers
from buril.serve.answer import Answered, Kept, Served
from buril.serve.editing import Editing
from buril.serve.engine import Engine
from buril.serve.guards import Guard
from buril.serve.marking import marked_by, watermark_of
from buril.serve.metrics import Metrics
from buril.serve.run import Serving, check, listen
from buril.serve.settings import ServeSettings
from tests.generators.tiny import make, named_tokenizer

TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def loaded_in(folder: Path, *, template: str | None = TEMPLATE, **more: Any) -> Loaded:
    """A small model with sentinels and a chat template."""
    root = named_tokenizer(folder)
    config = root / "tokenizer/tokenizer_config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), "chat_template": template}))
    sizes = {"max_position_embeddings": 4096, **more}
    return Loaded(make("llama", **sizes), root / "tokenizer", json.loads((root / "fim.json").read_text()))


class Running:
    """A server, a client of it, and what it has recorded."""

    def __init__(self, told: ServeSettings, loaded: Loaded, guards: tuple[Guard, ...] = (), **more: Any) -> None:
        self.records: list[Answered] = []
        self.happened: list[Any] = []
        self.told, self._loaded, self._guards, self._more = told, loaded, guards, more
        self.serving = Serving(told, check(told), self._load)
        self._listening = listen(told)
        host, port = self._listening.getsockname()[:2]
        self.url = f"http://{host}:{port}"
        self.client = httpx.Client(base_url=self.url, timeout=60)
        self.ended: BaseException | None = None
        self.thread = threading.Thread(target=self._run, daemon=True)

    def _run(self) -> None:
        import asyncio

        async def serve() -> None:
            await self.serving._serve(self._listening)

        try:
            loading = threading.Thread(target=self.serving._prepare, daemon=True)
            loading.start()
            asyncio.run(serve())
        except (OSError, RuntimeError, AssertionError) as problem:
            self.ended = problem

    def _load(self) -> Served:
        generator: Any = self._more.get("generator")  # another engine than the reference
        generator = generator or Transformers(Transformers.Settings(dtype="fp32", device="cpu", batch_size=4))
        generator.use(self._loaded)
        self.generator = generator
        mark = watermark_of(self.told)
        marked_by(generator, mark, name="transformers")
        waiting = self._more.get("queue", self.told.queue)
        session = generator.session()
        if self._more.get("endless"):  # random weights end a text soon: here only limits and clients do
            session.writer.end_ids = frozenset()
        engine = Engine(session, most_waiting=waiting)
        links = {"base": {"stage": "base", "digest": "d" * 64}, "fingerprint": "f" * 12}
        editing = Editing(self.told, generator, self._guards)
        editing.start()
        metrics, told = Metrics("tiny", "f" * 12), mark.record() if mark else None
        return Served("tiny", engine, generator, self._guards, metrics, links, self, editing=editing, watermark=told)

    def __call__(self, answered: Answered) -> Kept:
        """Keep an answer."""
        self.records.append(answered)
        return Kept(f"id{len(self.records)}", ({"repo": "acme", "path": "a.py"},))

    def event(self, id_: str, event: str, **told: Any) -> None:
        """Keep what became of one."""
        self.happened.append((id_, event, told))

    def close(self) -> None:
        """Nothing is held back."""

    def post(self, path: str, **body: Any) -> httpx.Response:
        """Ask."""
        return self.client.post(path, json=body)

    def events(self, path: str, **body: Any) -> list[Any]:
        """Ask for a stream; its events."""
        found = []
        with self.client.stream("POST", path, json={**body, "stream": True}) as response:
            assert response.status_code == 200, response.read()
            for line in response.iter_lines():
                if line:
                    assert line.startswith("data: ")
                    found.append(line[6:])
        return [one if one == "[DONE]" else json.loads(one) for one in found]

    @property
    def engine(self) -> Engine:
        """The engine, once it is there."""
        served = self.serving.server.served
        assert served is not None
        return served.engine


@contextlib.contextmanager
def running(told: ServeSettings, loaded: Loaded, *guards: Guard, **more: Any) -> Iterator[Running]:
    """A server that is ready, and ended afterwards."""
    import time

    found = Running(told, loaded, guards, **more)
    found.thread.start()
    try:
        until = time.monotonic() + more.get("ready_s", 60)
        while found.client.get("/readyz").status_code != 200:
            assert time.monotonic() < until and found.thread.is_alive(), found.ended or found.serving.failed
            time.sleep(0.02)
        yield found
    finally:
        found.serving._end()
        found.thread.join(20)
        found.client.close()
        if found.serving.server.served is not None:
            found.engine.close()
    assert not found.thread.is_alive()
