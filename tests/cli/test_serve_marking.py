"""What `buril serve` writes with a watermark, found again by `buril watermark check` and by the ledger."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

for package in ("torch", "transformers", "fastapi", "uvicorn", "httpx", "prometheus_client", "cryptography"):
    pytest.importorskip(package, reason=f"{package} is not installed")

from tests.cli.test_complete import stages  # noqa: E402
from tests.cli.test_serve import Process, served  # noqa: E402

from buril.core import plan  # noqa: E402
from buril.core.store import Store  # noqa: E402
from buril.serve.ledger import Ledger  # noqa: E402
from buril.serve.watermark import Settings  # noqa: E402

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a store, a model in it, and a configuration by which it marks."""
    found = tmp_path_factory.mktemp("served")
    plan.run(stages(fim_rate=0.5), Store(found / ".buril"), name="acme")
    (found / "buril.yaml").write_text("serve:\n  watermark: {delta: 6, entropy: 0.2}\n  guards: []\n")
    return found


def asked(server: Process) -> list[tuple[str, str, dict[str, Any]]]:
    """Many requests; of each sample its text, the id of its record, and what the answer says of it."""
    found = []
    for seed in range(4):
        body = {"prompt": f"def f{seed}(", "n": 3, "temperature": 1.0, "seed": seed, "max_tokens": 60}
        answers = [
            server.client.post("/v1/completions", json=body).json(),
            server.client.post("/v1/completions", json={**body, "suffix": "\n    return x\n", "n": 1}).json(),
        ]
        for answer in answers:
            texts = [choice["text"] for choice in answer["choices"]]
            found += [(text, id_, answer["buril"]) for text, id_ in zip(texts, answer["buril"]["records"], strict=True)]
    return found


def test_what_was_served_is_found_together_and_one_by_one(
    root: Path, call: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BURIL_WATERMARK_KEY", "a key for the tests of marks")

    def check(*words: str) -> dict[str, Any]:
        done = call(
            "watermark", "check", *words, "--config", f"{root}/buril.yaml", "--store", f"{root}/.buril", "--json"
        )
        assert done.code == 0, done.err
        found: dict[str, Any] = done.json
        return found

    key = Settings().green().key_id
    with served(root, "--no-supervise") as server:
        found = asked(server)
        assert next(line for line in server.lines() if line["event"] == "keeping")["watermark"] == key
    ledger = Ledger(root / ".buril/ledger")
    for number, (text, id_, told) in enumerate(found):
        assert told["watermark"] == {"key": key}
        record = json.loads((root / f".buril/completions/{id_}.json").read_text())
        wanted = {"key": key, "context": 1, "delta": 6.0, "entropy": 0.2, "gamma": 0.5}
        assert record["watermark"] == ledger.of(id_)[0]["watermark"] == wanted
        (root / f"marked{number}.py").write_text(text, "utf-8", "replace")
    words = ("--samples", "12", "--max-tokens", "60", "--temperature", "1", "--store", f"{root}/.buril", "--json")
    for number, item in enumerate(call("complete", "--prompt", "def f0(", *words).json):
        assert "watermark" not in item
        (root / f"plain{number}.py").write_text(item["text"], "utf-8", "replace")
    texts = {name: sorted(map(str, root.glob(f"{name}*.py"))) for name in ("marked", "plain")}
    marked, plain = (check(*texts[name]) for name in ("marked", "plain"))
    assert marked["watermark"]["found"] and marked["watermark"]["p"] < 1e-6
    assert not plain["watermark"]["found"] and plain["watermark"]["p"] > 0.01
    long = [item for item in marked["texts"] if item["tokens"] >= 12]
    assert len(long) > 8 and all(item["known"] for item in long), "the ledger knows each"
    other = check(*texts["marked"], "--watermark", "{delta: 6, entropy: 0.2, context: 0}")
    assert not other["watermark"]["found"], "with other lists there is nothing"
    assert check(*texts["marked"], "--entropies")["watermark"]["p"] < 1e-6


def test_a_server_that_was_told_to_mark_never_writes_without(
    root: Path, call: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ("serve", "--port", "0", "--store", f"{root}/.buril", "--config")
    monkeypatch.delenv("BURIL_WATERMARK_KEY", raising=False)
    no_key = call(*words, f"{root}/buril.yaml")
    assert no_key.code == 4 and "error[V310]" in no_key.err
    wrong = call(*words, f"{root}/buril.yaml", "--watermark", "loud")
    assert wrong.code == 2 and "error[W002]" in wrong.err and "buril serve" in wrong.err
    monkeypatch.setenv("BURIL_WATERMARK_KEY", "a key for the tests of marks")
    remote = "serve: {engine: {openai: {url: 'http://127.0.0.1:9/v1', model: m}}, watermark: on}\n"
    (root / "remote.yaml").write_text(remote)
    refused = call(*words, f"{root}/remote.yaml")
    assert refused.code == 4 and "error[V050]" in refused.err
