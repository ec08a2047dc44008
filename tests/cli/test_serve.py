"""`buril serve` and `buril keys` as a person runs them: real processes, one of which is killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

for package in ("torch", "transformers", "fastapi", "uvicorn", "httpx", "prometheus_client"):
    pytest.importorskip(package, reason=f"{package} is not installed")

import httpx  # noqa: E402
from tests.cli.test_complete import stages  # noqa: E402

from buril.core import plan  # noqa: E402
from buril.core.store import Store  # noqa: E402

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a store and a model in it."""
    found = tmp_path_factory.mktemp("served")
    plan.run(stages(fim_rate=0.5), Store(found / ".buril"), name="acme")
    return found


def buril(root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "buril", *arguments], cwd=root, capture_output=True, text=True, timeout=120, check=False
    )


class Process:
    """A server's process, its log and a client of it."""

    def __init__(self, root: Path, *arguments: str, engine: str | None = "transformers") -> None:
        self.log = root / f"log{time.monotonic_ns()}"
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "LC_ALL": "C"}
        chosen = ["--engine", engine] if engine else []
        command = [sys.executable, "-m", "buril", "serve", "--port", "0", *chosen, *arguments]
        with self.log.open("w") as log:
            self.process = subprocess.Popen(command, cwd=root, stderr=log, stdout=log, env=environment)
        self.client = httpx.Client(base_url=self.until("listening")["url"], timeout=60)

    def lines(self) -> list[dict[str, Any]]:
        """What it has said, line by line."""
        text = self.log.read_text()
        return [json.loads(line) for line in text.splitlines() if line.startswith("{") and line.endswith("}")]

    def until(self, event: str, number: int = 1) -> dict[str, Any]:
        """Wait for a line of the log."""
        until = time.monotonic() + 90
        while time.monotonic() < until:
            found = [line for line in self.lines() if line["event"] == event]
            if len(found) >= number:
                line = found[number - 1]
                return {**line, "url": f"http://{line.get('host')}:{line.get('port')}"}
            assert self.process.poll() is None, self.log.read_text()
            time.sleep(0.05)
        raise AssertionError(f"no {event}: {self.log.read_text()}")

    def end(self) -> int:
        """Tell it to end."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(30)
        finally:
            self.client.close()
            if self.process.poll() is None:
                self.process.kill()
                self.process.wait()


@contextmanager
def served(root: Path, *arguments: str, engine: str | None = "transformers") -> Iterator[Process]:
    found = Process(root, *arguments, engine=engine)
    try:
        found.until("ready")
        yield found
    finally:
        found.end()


def test_a_worker_that_is_killed_is_followed_by_another(root: Path) -> None:
    with served(root) as server:
        asked = {"prompt": "def add(a, b):\n", "max_tokens": 6}
        answer = server.client.post("/v1/completions", json=asked).json()
        record = answer["buril"]["records"][0]
        assert (root / f".buril/completions/{record}.json").is_file()
        traced = buril(root, "trace", record)
        assert traced.returncode == 0 and "base" in traced.stdout, traced.stderr
        children = Path(f"/proc/{server.process.pid}/task/{server.process.pid}/children").read_text().split()
        assert len(children) == 1
        os.kill(int(children[0]), signal.SIGKILL)
        server.until("restart")
        again = server.client.post("/v1/completions", json=asked)  # waits in the socket's queue until one is there
        until = time.monotonic() + 60
        while again.status_code == 503 and time.monotonic() < until:
            assert int(again.headers["retry-after"]) >= 1
            time.sleep(0.2)
            again = server.client.post("/v1/completions", json=asked)
        assert again.json()["choices"] == answer["choices"]
        lines = server.lines()
        assert {line["event"] for line in lines} >= {"listening", "engine", "ready", "request", "restart"}
        assert "def add" not in server.log.read_text(), "no code in the log"
        assert server.end() == 0
        assert server.lines()[-1]["event"] == "ended"


def test_a_worker_does_not_outlive_its_parent(root: Path) -> None:
    with served(root) as server:
        (child,) = Path(f"/proc/{server.process.pid}/task/{server.process.pid}/children").read_text().split()
        server.process.kill()
        server.process.wait()
        until = time.monotonic() + 20
        while Path(f"/proc/{child}").exists() and time.monotonic() < until:
            time.sleep(0.1)
        assert not Path(f"/proc/{child}").exists()


def test_the_yaml_says_how_it_is_served_and_keys_who_may_ask(root: Path) -> None:
    made = buril(root, "keys", "add", "ana", "--scope", "complete", "--tokens-per-day", "50")
    key = made.stdout.strip()
    assert made.returncode == 0 and key.startswith("bur_") and "once" in made.stderr
    assert json.loads(buril(root, "keys", "list", "--json").stdout)[0]["tokens_per_day"] == 50
    assert buril(root, "keys", "add", "ana").returncode == 2
    (root / "serve.yaml").write_text("name: acme\nserve: {keys: keys.json, guards: [], most_tokens: 4}\n")
    with served(root, "-c", "serve.yaml", "--no-supervise") as server:
        asked = {"model": "acme", "prompt": "def", "max_tokens": 90}
        assert server.client.post("/v1/completions", json=asked).status_code == 401
        found = server.client.post("/v1/completions", json=asked, headers={"authorization": f"Bearer {key}"}).json()
        assert found["usage"]["completion_tokens"] <= 4
        assert [line["key"] for line in server.lines() if line["event"] == "request"] == ["ana"]
    assert buril(root, "keys", "remove", "ana").returncode == 0
    assert buril(root, "keys", "remove", "ana").returncode == 2


def spent(usage: Path) -> int:
    """The tokens of all keys that a server's file tells."""
    return sum(key["tokens"] for key in json.loads(usage.read_text())["keys"].values()) if usage.exists() else 0


def test_what_a_key_has_used_outlives_a_server_that_is_killed(root: Path, tmp_path: Path) -> None:
    made = buril(root, "keys", "add", "eva", "--tokens-per-day", "12", "--file", str(tmp_path / "keys.json"))
    told = {"authorization": f"Bearer {made.stdout.strip()}"}
    asked = {"prompt": "def add(a, b):\n", "max_tokens": 12}
    given = ("--keys", str(tmp_path / "keys.json"), "--state", str(tmp_path / "state"), "--no-supervise")
    with served(root, *given) as server:
        assert server.client.post("/v1/completions", json=asked, headers=told).status_code == 200
        until = time.monotonic() + 20  # the file is there with the request alone where it is written between the two
        while spent(tmp_path / "state/usage.json") < 12 and time.monotonic() < until:
            time.sleep(0.1)
        server.process.kill()
        server.process.wait()
    with served(root, *given) as server:
        again = server.client.post("/v1/completions", json=asked, headers=told)
        assert again.status_code == 429 and int(again.headers["retry-after"]) > 0


def test_what_can_not_be_served_is_said_at_once(root: Path, tmp_path: Path) -> None:
    open_to_all = buril(root, "serve", "--host", "0.0.0.0")
    assert open_to_all.returncode == 2 and "V001" in open_to_all.stderr
    nothing = buril(tmp_path, "serve")
    assert nothing.returncode == 4 and "S010" in nothing.stderr
    (root / "wrong.yaml").write_text("serve: {prot: 1}\n")
    wrong = buril(root, "serve", "-c", "wrong.yaml")
    assert wrong.returncode == 2 and "port" in wrong.stderr
    none = buril(root, "serve", "--engine", "openai", "--port", "0", "--no-supervise")
    assert none.returncode != 0 and "error[" in none.stderr


def test_workers_that_die_early_end_it(root: Path, tmp_path: Path) -> None:
    from buril.core.errors import BurilError
    from buril.serve.run import listen
    from buril.serve.settings import ServeSettings
    from buril.serve.supervise import supervise

    (tmp_path / "sitecustomize.py").write_text("import os, sys\nif 'dies' in sys.argv: os._exit(9)\n")
    with listen(ServeSettings(port=0)) as listening, pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", f"{tmp_path}:{os.environ.get('PYTHONPATH', '')}")
        with pytest.raises(BurilError) as refused:
            supervise(listening, ["serve", "dies"])
    assert refused.value.code == "V007" and refused.value.values["times"] == 3
