"""A server whose answers are marked: all of them, whoever asks for what, and by the same numbers as before."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

for package in ("torch", "transformers", "fastapi", "uvicorn", "httpx", "prometheus_client", "cryptography"):
    pytest.importorskip(package, reason=f"{package} is not installed")

from pydantic import ValidationError  # noqa: E402

from buril.core.errors import BurilError  # noqa: E402
from buril.generators._generator import Request  # noqa: E402
from buril.generators._load import Loaded  # noqa: E402
from buril.generators.file import File  # noqa: E402
from buril.generators.openai import Openai  # noqa: E402
from buril.generators.transformers import Transformers  # noqa: E402
from buril.serve.keys import add  # noqa: E402
from buril.serve.marking import marked_by, watermark_of  # noqa: E402
from buril.serve.settings import ServeSettings  # noqa: E402
from buril.serve.watermark import Scored, Settings, Watermark, pooled  # noqa: E402
from tests.serve.running import Running, loaded_in, running  # noqa: E402

STRONG = {"delta": 8.0, "entropy": 0.0}
TURNS = [{"role": "user", "content": "add two numbers"}]
WARM: dict[str, Any] = {"temperature": 1.0, "max_tokens": 150}


@pytest.fixture(scope="module", autouse=True)
def key() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("BURIL_WATERMARK_KEY", "a key for the tests of marks")
        yield


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> Loaded:
    return loaded_in(tmp_path_factory.mktemp("served"))


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    path = tmp_path_factory.mktemp("keys") / "keys.json"
    return path, [add(path, "ana"), add(path, "beto", scopes=["complete", "chat", "events", "metrics"])]


@pytest.fixture(scope="module")
def server(loaded: Loaded, keys: tuple[Path, list[str]]) -> Iterator[Running]:
    told = ServeSettings(port=0, guards=[], keys=keys[0], watermark=STRONG)
    with running(told, loaded, endless=True) as found:
        found.client.headers["authorization"] = f"Bearer {keys[1][0]}"
        yield found


def chance(texts: list[str], loaded: Loaded) -> float:
    """How likely so many green pairs are without a mark. Half of what a random model writes is no UTF-8 and is lost."""
    encode = loaded.encoder.encode
    return pooled([Scored(encode(text)) for text in texts], Settings(**STRONG).green(), threshold=0.0).p


def test_every_way_of_asking_is_marked(server: Running, loaded: Loaded) -> None:
    asked: list[tuple[str, dict[str, Any]]] = [
        ("/v1/completions", {"prompt": "def add(", "n": 3, "seed": 1, **WARM}),
        ("/v1/completions", {"prompt": ["def a(", "class B"], "seed": 2, **WARM}),
        ("/v1/completions", {"prompt": "a = ", "suffix": "\nb", "seed": 3, **WARM}),
        ("/v1/completions", {"prompt": "def greedy(", "max_tokens": 150}),
        ("/v1/chat/completions", {"messages": TURNS, "seed": 4, **WARM}),
        ("/infill", {"input_prefix": "x = ", "input_suffix": "\n", "n_predict": 150, "temperature": 1.0}),
    ]
    for path, body in asked:
        before = len(server.records)
        told = server.post(path, **body).json()["buril"]
        assert told["watermark"] == {"key": Settings(**STRONG).green().key_id}, path
        assert chance([item.text for item in server.records[before:]], loaded) < 0.01, (path, body)
    (*_parts, last, _done) = server.events("/v1/completions", prompt="def add(", seed=9, **WARM)
    assert last["buril"]["watermark"] == {"key": Settings(**STRONG).green().key_id}


def test_no_client_can_switch_it_off(server: Running, loaded: Loaded, keys: tuple[Path, list[str]]) -> None:
    asked = {"prompt": "def add(", "seed": 5, **WARM}
    usual = server.post("/v1/completions", **asked).json()["choices"][0]["text"]
    off = {"watermark": False, "mark": None, "buril": {"watermark": "off"}, "extra_body": {"watermark": "off"}}
    assert server.post("/v1/completions", **asked, **off).json()["choices"][0]["text"] == usual
    assert server.post("/v1/completions", **asked, logit_bias={"5": -100}).status_code == 400
    for leaning in ({"logit_bias": {"5": -100}}, {"presence_penalty": 2.0}, {"frequency_penalty": -2.0}):
        error = server.post("/v1/completions", **asked, **leaning).json()["error"]
        assert error["code"] == "V060" and "marks what it writes" in error["message"]
    other = server.client.post("/v1/completions", json=asked, headers={"authorization": f"Bearer {keys[1][1]}"})
    assert other.json()["choices"][0]["text"] == usual
    header = server.client.post("/v1/completions", json=asked, headers={"x-buril-watermark": "off"})
    assert header.json()["choices"][0]["text"] == usual


def test_an_answer_that_is_held_to_a_schema_is_marked_too(server: Running, loaded: Loaded) -> None:
    schema = {
        "type": "array",
        "items": {"type": "string", "minLength": 12, "maxLength": 16},
        "minItems": 6,
        "maxItems": 6,
    }
    form = {"type": "json_schema", "json_schema": {"name": "words", "schema": schema, "strict": True}}
    asked = {"messages": TURNS, "response_format": form, "temperature": 1.0, "seed": 6, "max_tokens": 600}
    answer = server.post("/v1/chat/completions", **asked).json()
    text = answer["choices"][0]["message"]["content"]
    words = json.loads(text)
    assert len(words) == 6 and all(12 <= len(word) <= 16 for word in words)
    assert answer["buril"]["watermark"] and chance([text], loaded) < 0.01
    with running(ServeSettings(port=0, guards=[]), loaded, endless=True) as plain:
        free = plain.post("/v1/chat/completions", **asked).json()["choices"][0]["message"]["content"]
    assert chance([free], loaded) > 0.01


def test_seeds_say_what_is_written_whatever_came_before(server: Running, loaded: Loaded) -> None:
    """The same as the generator writes alone with the mark, also when the prompt is known already."""
    alone = Transformers(Transformers.Settings(dtype="fp32", device="cpu"))
    alone.use(loaded)
    request = Request("class Vault", temperature=1.0, max_tokens=30, seed=11, num_samples=2)
    asked = {"prompt": "class Vault", "temperature": 1.0, "max_tokens": 30, "seed": 11, "n": 2}
    texts = [[item["text"] for item in server.post("/v1/completions", **asked).json()["choices"]] for _turn in range(2)]
    plain = [item.text for item in next(iter(alone.complete([request])))]
    marked_by(alone, Watermark(Settings(**STRONG)), name="transformers")
    marked = next(iter(alone.complete([request])))
    assert texts[0] == texts[1] and texts[0] != plain
    # the server's model never ends by itself; this one may
    assert all(text.startswith(item.text) for text, item in zip(texts[0], marked, strict=True))


def test_off_leaves_no_trace(loaded: Loaded) -> None:
    with running(ServeSettings(port=0, guards=[], watermark=False), loaded) as server:
        answer = server.post("/v1/completions", prompt="def add(", max_tokens=5).json()
        assert "watermark" not in answer["buril"]
        texts = [server.post("/v1/completions", prompt="def add(", seed=seed, **WARM) for seed in range(3)]
        assert chance([item.json()["choices"][0]["text"] for item in texts], loaded) > 0.05
    assert watermark_of(ServeSettings()) is None


# --- what it is told


def test_on_off_and_settings() -> None:
    assert ServeSettings(watermark=True).watermark == Settings() == ServeSettings(watermark={}).watermark
    assert ServeSettings(watermark=False).watermark is None
    found = ServeSettings(watermark={"delta": 2, "entropy": 0.8}, engine="auto").watermark
    assert found is not None and (found.delta, found.entropy) == (2.0, 0.8)
    for wrong in ({"colour": "green"}, {"delta": 0}, "loud"):
        with pytest.raises(ValidationError):
            ServeSettings(watermark=wrong)


def test_an_engine_that_can_not_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    watermark = watermark_of(ServeSettings(watermark=True))
    remote = Openai(Openai.Settings(url="http://127.0.0.1:9/v1", model="m"))
    for generator, why in ((remote, "only be marked by that server"), (File(File.Settings(path="x")), "logits")):
        with pytest.raises(BurilError, match=why) as problem:
            marked_by(generator, watermark, name="other")
        assert problem.value.code == "V050" and problem.value.exit_code == 4
        assert marked_by(generator, None, name="other") is generator
    monkeypatch.delenv("BURIL_WATERMARK_KEY")
    with pytest.raises(BurilError) as problem:
        watermark_of(ServeSettings(watermark=True))
    assert problem.value.code == "V310"
