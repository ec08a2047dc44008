"""An engine behind a URL: llama.cpp's server in a process of its own, and servers that answer badly."""

from __future__ import annotations

import asyncio
import json
import shutil
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

for package in ("torch", "transformers", "fastapi", "uvicorn", "httpx", "prometheus_client", "gguf", "xllamacpp"):
    pytest.importorskip(package, reason=f"{package} is not installed")

import httpx  # noqa: E402

from buril.generators._chat import render  # noqa: E402
from buril.generators._generator import Request  # noqa: E402
from buril.generators._load import Loaded  # noqa: E402
from buril.generators._prompt import prompt_ids  # noqa: E402
from tests.serve.running import loaded_in  # noqa: E402
from tests.serve.upstreams import STREAM, Llama, Odd, Relayed, event, gguf_of, relayed, until, whole  # noqa: E402

FINISHED = event("", "stop", usage={"prompt_tokens": 3, "completion_tokens": 2}) + b"data: [DONE]\n\n"


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> Loaded:
    return loaded_in(tmp_path_factory.mktemp("known"))


@pytest.fixture(scope="module")
def file(loaded: Loaded, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return gguf_of(loaded, tmp_path_factory.mktemp("gguf") / "model.gguf")


@pytest.fixture(scope="module")
def llama(file: Path) -> Iterator[Llama]:
    found = Llama(file, file.with_suffix(".log"))
    yield found
    found.end()


@pytest.fixture(scope="module")
def server(loaded: Loaded, llama: Llama) -> Iterator[Relayed]:
    with relayed(loaded, openai={"url": llama.url}) as found:
        yield found


def ids_of(loaded: Loaded, request: Request) -> list[int]:
    return list(prompt_ids(request, loaded, max_positions=4096)[0])


# --- llama.cpp's server


def test_it_is_asked_by_ids_and_measured(server: Relayed) -> None:
    told = server.serving.server.served
    assert told is not None and told.generator.way == "ids" and told.generator.counts  # type: ignore[attr-defined]
    assert server.speed.prompt > 0 and server.speed.answer > 0


@pytest.mark.parametrize("prompt", ["def add(left, right):\n", "class Vault", "año € 🎻 = ", ""])
def test_an_answer_is_what_the_other_server_writes(server: Relayed, llama: Llama, loaded: Loaded, prompt: str) -> None:
    direct = llama.ask(prompt=ids_of(loaded, Request(prompt)), max_tokens=24)
    asked: dict[str, Any] = {"prompt": prompt, "max_tokens": 24, "stream_options": {"include_usage": True}}
    found = server.post("/v1/completions", **asked).json()
    assert found["choices"][0]["text"] == llama.streamed(prompt=ids_of(loaded, Request(prompt)), max_tokens=24)
    assert found["choices"][0]["finish_reason"] == direct["choices"][0]["finish_reason"]
    assert found["usage"]["prompt_tokens"] == direct["usage"]["prompt_tokens"]
    assert found["usage"]["completion_tokens"] == direct["usage"]["completion_tokens"]
    events = server.events("/v1/completions", **asked)
    assert "".join(one["choices"][0]["text"] for one in events[:-2]) == found["choices"][0]["text"]
    assert events[-2]["usage"] == found["usage"]


def test_a_hole_and_a_chat_are_rendered_here(server: Relayed, llama: Llama, loaded: Loaded) -> None:
    direct = llama.streamed(prompt=ids_of(loaded, Request("a = ", "\nb")), max_tokens=9)
    assert (
        server.post("/v1/completions", prompt="a = ", suffix="\nb", max_tokens=9).json()["choices"][0]["text"] == direct
    )
    assert server.post("/infill", input_prefix="a = ", input_suffix="\nb", n_predict=9).json()["content"] == direct
    turns = [{"role": "user", "content": "add <|endoftext|>"}]
    ids = render(loaded, turns)
    assert loaded.fim["eos"] not in ids
    direct = llama.streamed(prompt=ids, max_tokens=9)
    found = server.post("/v1/chat/completions", messages=turns, max_tokens=9).json()
    assert found["choices"][0]["message"]["content"] == direct and found["usage"]["prompt_tokens"] == len(ids)


def test_a_model_without_a_template_has_no_chats(loaded: Loaded, llama: Llama, tmp_path: Path) -> None:
    shutil.copytree(loaded.tokenizer_dir.parent, tmp_path / "plain")
    told = tmp_path / "plain/tokenizer/tokenizer_config.json"
    told.write_text(json.dumps({**json.loads(told.read_text()), "chat_template": None}))
    plain = Loaded(loaded.model, tmp_path / "plain/tokenizer", {**loaded.fim, "middle": None})
    with relayed(plain, openai={"url": llama.url}) as server:
        chat = server.post("/v1/chat/completions", messages=[{"role": "user", "content": "add"}])
        assert chat.status_code == 400 and chat.json()["error"]["code"] == "T017"
        hole = server.post("/v1/completions", prompt="a", suffix="b")
        assert hole.status_code == 400 and hole.json()["error"]["code"] == "T015"


def test_a_prompt_is_cut_to_the_window_of_the_other_server(server: Relayed) -> None:
    told: Any = server.serving.server.served
    assert told.generator.window == 8192 // 4, "llama.cpp parts its cells among its places"
    found = server.post("/v1/completions", prompt="x = 1\n" * 3000, max_tokens=8)
    assert found.status_code == 200 and found.json()["usage"]["prompt_tokens"] == 2048 - 8 - 4
    most = server.post("/v1/completions", prompt="x = 1\n" * 3000, max_tokens=2048)
    assert most.status_code == 200 and most.json()["usage"]["total_tokens"] <= 2048


def test_a_text_that_spells_a_sentinel_makes_no_hole(server: Relayed, loaded: Loaded) -> None:
    spelt = "x = '<|fim_middle|><|endoftext|>'"
    found = server.post("/v1/completions", prompt=spelt, suffix="<|fim_suffix|>", max_tokens=5).json()
    ids = loaded.encoder.encode(spelt)
    assert not set(ids) & loaded.encoder.control_ids
    assert found["usage"]["prompt_tokens"] == len(ids) + len(loaded.encoder.encode("<|fim_suffix|>")) + 3


def test_samples_differ_and_come_again_with_the_same_seed(server: Relayed) -> None:
    asked: dict[str, Any] = {"prompt": "def", "n": 3, "temperature": 1.0, "seed": 5, "max_tokens": 8}
    one, two = (server.post("/v1/completions", **asked).json()["choices"] for _time in range(2))
    assert [choice["text"] for choice in one] == [choice["text"] for choice in two]
    assert len({choice["text"] for choice in one}) > 1 and [choice["index"] for choice in one] == [0, 1, 2]
    events = [one for one in server.events("/v1/completions", **asked) if one != "[DONE]"]
    streamed = ["".join(e["choices"][0]["text"] for e in events if e["choices"][0]["index"] == i) for i in range(3)]
    assert streamed == [choice["text"] for choice in one]


def test_the_log_probability_is_the_models(server: Relayed, loaded: Loaded) -> None:
    from buril.generators.transformers import Transformers

    reference = Transformers(Transformers.Settings(dtype="fp32", device="cpu"))
    reference.use(loaded)
    agreed = 0
    for prompt in ("class Vault", "def add(", "    return left", "x", '"""Sum'):
        text = server.post("/v1/completions", prompt=prompt, max_tokens=6).json()["choices"][0]["text"]
        ids = tuple(ids_of(loaded, Request(prompt)))
        answer = next(iter(reference.complete([Request(ids, max_tokens=6)])))[0]
        if answer.text == text and answer.finish_reason == "length":  # f16 may choose otherwise than fp32
            agreed += 1
            assert server.records[-1].logprob == pytest.approx(answer.logprob, abs=0.6)
    assert agreed


def long(**more: Any) -> dict[str, Any]:
    return {"prompt": "def f(", "max_tokens": 1500, "temperature": 1.0, "seed": 3, **more}


@pytest.mark.parametrize("stream", [False, True])
def test_who_goes_is_not_written_for_any_more(loaded: Loaded, llama: Llama, stream: bool) -> None:
    with relayed(loaded, endless=True, openai={"url": llama.url}) as server:
        host, port = server.url.removeprefix("http://").split(":")
        body = json.dumps({**long(n=2, max_tokens=2000), "stream": stream}).encode()
        with socket.create_connection((host, int(port))) as wire:
            head = f"POST /v1/completions HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: {len(body)}"
            wire.sendall(head.encode() + b"\r\n\r\n" + body)
            until(lambda: server.engine.num_running == 2)
            until(lambda: llama.running() == 2)
        until(lambda: llama.running() == 0, 3)
        until(lambda: server.engine.num_running == server.engine.num_waiting == 0)
        assert not server.records


def test_at_its_limit_of_time_and_where_it_is_complete_the_stream_is_closed(loaded: Loaded, llama: Llama) -> None:
    with relayed(loaded, endless=True, openai={"url": llama.url}, told={"time_limit_s": 0.5}) as server:
        found = server.post("/v1/completions", **long(n=2)).json()
        assert [choice["finish_reason"] for choice in found["choices"]] == ["length", "length"]
        assert 0 < found["usage"]["completion_tokens"] < 2900
        until(lambda: llama.running() == 0)


def test_the_queue_is_bounded(loaded: Loaded, llama: Llama) -> None:
    told = {"queue": 1, "time_limit_s": 2}
    with relayed(loaded, endless=True, openai={"url": llama.url, "concurrency": 2}, told=told) as server:
        answers: list[Any] = []
        asking = [
            threading.Thread(target=lambda: answers.append(server.post("/v1/completions", **long()))) for _n in range(6)
        ]
        for one in asking:
            one.start()
        for one in asking:
            one.join(30)
        codes = sorted(answer.status_code for answer in answers)
        assert codes.count(429) >= 3 and codes.count(200) >= 2, codes
        refused = next(answer for answer in answers if answer.status_code == 429)
        assert int(refused.headers["retry-after"]) >= 1 and refused.json()["error"]["code"] == "queue_full"
        until(lambda: server.engine.num_running == server.engine.num_waiting == 0)


def test_it_dies_is_missed_and_comes_back(loaded: Loaded, file: Path, tmp_path: Path) -> None:
    llama = Llama(file, tmp_path / "log")
    try:
        with relayed(loaded, openai={"url": llama.url}) as server:
            wanted = server.post("/v1/completions", prompt="def", max_tokens=9).json()["choices"]
            llama.end()
            until(lambda: server.client.get("/readyz").status_code == 503, 10)
            refused = server.post("/v1/completions", prompt="def", max_tokens=9)
            assert refused.status_code == 503 and refused.json()["error"]["code"] == "V010"
            assert str(llama.port) not in refused.text, "where it is, is no client's matter"
            assert int(refused.headers["retry-after"]) >= 1
            for _time in range(12):
                assert server.client.get("/readyz").status_code == 503, "it stays so"
                time.sleep(0.2)
            assert "buril_ready 0.0" in server.client.get("/metrics").text
            llama = Llama(file, tmp_path / "log", llama.port)
            until(lambda: server.client.get("/readyz").status_code == 200, 20)
            assert server.post("/v1/completions", prompt="def", max_tokens=9).json()["choices"] == wanted
    finally:
        llama.end()


def test_what_comes_back_may_be_another(loaded: Loaded) -> None:
    def counted(text: str) -> int:
        return len(loaded.encoder.encode(text))

    answers = sends(STREAM, event("x"), FINISHED)
    with Odd(answers, texts=counted) as odd, relayed(loaded, openai={"url": odd.url}) as server:
        told: Any = server.serving.server.served
        assert told.generator.way == "ids" and told.generator.window == 1000
        odd.__exit__()
        until(lambda: server.client.get("/readyz").status_code == 503, 20)
        with Odd(answers, texts=counted, ids=False, port=odd.port) as other:
            until(lambda: server.client.get("/readyz").status_code == 200, 20)
            assert told.generator.way == "own"
            assert server.post("/v1/completions", prompt="a").status_code == 200
            assert other.asked[-1]["prompt"] == "a"


def test_it_dies_while_it_writes(loaded: Loaded, file: Path, tmp_path: Path) -> None:
    llama = Llama(file, tmp_path / "log")
    with relayed(loaded, endless=True, openai={"url": llama.url}) as server:
        events = []
        with httpx.stream("POST", f"{server.url}/v1/completions", json=long(stream=True), timeout=30) as response:
            for line in response.iter_lines():
                if line.startswith("data: {"):
                    events.append(json.loads(line[6:]))
                if len(events) == 5:
                    llama.end()
        assert events[-1]["error"]["code"] == "V011" and len(events) > 5
        assert server.engine.num_running == 0
        assert server.client.get("/healthz").status_code == 200


def test_it_is_not_there_yet(loaded: Loaded, file: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    from tests.serve.upstreams import free_port

    port = free_port()
    with relayed(loaded, openai={"url": f"http://127.0.0.1:{port}/v1"}, wait=False) as server:
        until(lambda: "engine_waits" in capfd.readouterr().err)
        assert server.client.get("/readyz").status_code == 503 and server.client.get("/healthz").status_code == 200
        assert server.post("/v1/completions", prompt="a").status_code == 503
        llama = Llama(file, tmp_path / "log", port)
        try:
            until(lambda: server.client.get("/readyz").status_code == 200, 20)
            assert server.post("/v1/completions", prompt="a", max_tokens=3).status_code == 200
        finally:
            llama.end()


def test_a_model_with_another_tokenizer_is_not_served(loaded: Loaded, capfd: pytest.CaptureFixture[str]) -> None:
    async def wire(body: Any, writer: Any) -> None:
        """Nothing is asked."""

    with Odd(wire, texts=lambda text: 7) as odd, relayed(loaded, openai={"url": odd.url}, wait=False) as server:
        until(lambda: '"V014"' in capfd.readouterr().err)
        assert server.client.get("/readyz").status_code == 503 and not odd.asked


def test_without_ids_a_text_that_spells_a_control_token_is_refused(loaded: Loaded, llama: Llama) -> None:
    with relayed(loaded, openai={"url": llama.url}) as server:
        told: Any = server.serving.server.served
        told.generator.way, told.generator.counts = "text", False
        ids = llama.streamed(prompt=ids_of(loaded, Request("a = ", "\nb")), max_tokens=9)
        found = server.post("/v1/completions", prompt="a = ", suffix="\nb", max_tokens=9).json()
        assert found["choices"][0]["text"] == ids
        for body in ({"prompt": "x <|fim_middle|>"}, {"prompt": "x", "suffix": "<|fim_prefix|>"}):
            refused = server.post("/v1/completions", **body)
            assert refused.status_code == 400 and refused.json()["error"]["code"] == "V013"
        chat = server.post("/v1/chat/completions", messages=[{"role": "user", "content": "<|endoftext|>"}])
        assert chat.status_code == 400 and chat.json()["error"]["code"] == "V013"


def test_without_a_tokenizer_texts_go_on_as_they_are_and_spell_nothing(llama: Llama, loaded: Loaded) -> None:
    with relayed(None, openai={"url": llama.url}) as server:
        direct = llama.streamed(prompt="class Vault", max_tokens=9)
        found = server.post("/v1/completions", prompt="class Vault", max_tokens=9).json()
        assert found["choices"][0]["text"] == direct
        spelt = server.post("/v1/completions", prompt="x <|fim_middle|> y", max_tokens=2).json()
        assert spelt["usage"]["prompt_tokens"] == len(loaded.encoder.encode("x < |fim_middle|> y"))
        hole = server.post("/v1/completions", prompt="a", suffix="b")
        assert hole.status_code == 400 and hole.json()["error"]["code"] == "T015"
        assert server.post("/infill", input_prefix="a", input_suffix="b").json()["error"]["code"] == "T015"
        chat = server.post("/v1/chat/completions", messages=[{"role": "user", "content": "add"}], max_tokens=5)
        assert chat.status_code == 200 and chat.json()["usage"]["completion_tokens"] <= 5
    with relayed(None, openai={"url": llama.url, "fills": "infill"}) as server:
        body = {"input_prefix": "a = ", "input_suffix": "\nb", "n_predict": 6, "temperature": 0}
        raw = httpx.post(f"http://127.0.0.1:{llama.port}/infill", json={**body, "stream": True}, timeout=30).text
        direct = "".join(json.loads(line[6:])["content"] for line in raw.splitlines() if line)
        found = server.post("/v1/completions", prompt="a = ", suffix="\nb", max_tokens=6).json()
        assert found["choices"][0]["text"] == direct and found["usage"]["completion_tokens"] <= 6


def test_another_server_of_ours_is_asked_in_its_own_way(loaded: Loaded) -> None:
    from buril.serve.settings import ServeSettings
    from tests.serve.running import running

    with running(ServeSettings(port=0, guards=[]), loaded) as ours:
        settings = {"url": f"{ours.url}/v1", "model": "tiny", "fills": "suffix"}
        with relayed(loaded, openai=settings) as server:
            told: Any = server.serving.server.served
            assert told.generator.way == "own", "it takes no ids, and reads no control token in a text"
            for body in ({"prompt": "def add("}, {"prompt": "a = ", "suffix": "\nb"}):
                direct = ours.post("/v1/completions", **body, max_tokens=12).json()
                found = server.post("/v1/completions", **body, max_tokens=12).json()
                assert found["choices"][0]["text"] == direct["choices"][0]["text"]
                assert found["usage"] == direct["usage"]
            turns = [{"role": "user", "content": "add"}]
            direct = ours.post("/v1/chat/completions", messages=turns, max_tokens=12).json()
            found = server.post("/v1/chat/completions", messages=turns, max_tokens=12).json()
            assert found["choices"][0]["message"] == direct["choices"][0]["message"]
            assert server.records[-1].logprob is None


# --- servers that answer badly

Wire = Callable[[Any, asyncio.StreamWriter], Any]


def ask(wire: Wire, loaded: Loaded, times: int = 1, told: Any = None, **settings: Any) -> Any:
    """What a client of ours gets of a server that answers so; the last answer, and the server."""
    with Odd(wire, texts=lambda text: len(loaded.encoder.encode(text))) as odd:
        with relayed(loaded, openai={"url": odd.url, "tries": 2, **settings}, told=told) as server:
            body = {"prompt": "a", "max_tokens": 20, "stop": ["END", "\n\n"]}
            for _time in range(times):
                answer = server.post("/v1/completions", **body)
            until(lambda: server.engine.num_running == server.engine.num_waiting == 0)
            assert server.client.get("/healthz").status_code == 200
        return answer, odd


def sends(*parts: bytes, pause_s: float = 0.0) -> Wire:
    """Sends these bytes, a part at a time."""

    async def wire(body: Any, writer: asyncio.StreamWriter) -> None:
        for part in parts:
            writer.write(part)
            await writer.drain()
            await asyncio.sleep(pause_s)

    return wire


def test_what_is_sent(loaded: Loaded) -> None:
    answer, odd = ask(sends(STREAM, event("x"), FINISHED), loaded)
    assert answer.json()["choices"][0]["text"] == "x" and answer.json()["usage"]["completion_tokens"] == 2
    (body,) = odd.asked
    assert body["prompt"] == loaded.encoder.encode("a") and body["model"] == "odd" and body["n"] == 1
    assert body["stream"] and body["stream_options"] == {"include_usage": True, "continuous_usage_stats": True}
    assert set(body["stop_token_ids"]) >= {0, 1, 2, 3} and body["stop"] == ["END", "\n\n"] and body["logprobs"] == 1
    assert (body["top_k"], body["repetition_penalty"], body["temperature"]) == (0, 1.0, 0.0)
    assert "accept-encoding: identity" in odd.heads[-1].lower()


@pytest.mark.parametrize("size", [1, 2, 3, 7])
def test_stop_strings_and_signs_are_cut_over_parts(loaded: Loaded, size: int) -> None:
    text = "año € 🎻 EN, E END no more"
    tokens = [text[at : at + size] for at in range(0, len(text), size)]
    raw = b"".join(event(token) for token in tokens) + FINISHED
    parts = [raw[at : at + size] for at in range(0, len(raw), size)]
    answer, _odd = ask(sends(STREAM, *parts), loaded)
    choice = answer.json()["choices"][0]
    assert choice["text"] == "año € 🎻 EN, E " and choice["finish_reason"] == "stop"


def test_a_sign_in_two_halves_is_one(loaded: Loaded) -> None:
    halves = [
        json.dumps({"choices": [{"text": half, "finish_reason": None}]}) for half in ("a\ud83c", "\udfbb", "\udfbb")
    ]
    answer, _odd = ask(sends(STREAM, *(f"data: {half}\n\n".encode() for half in halves), FINISHED), loaded)
    assert answer.json()["choices"][0]["text"] == "a🎻\ufffd"


@pytest.mark.parametrize(
    ("wire", "status", "code", "tries"),
    [
        (sends(whole(429, {"error": "busy"}, retry_after="7")), 429, "queue_full", 1),
        (sends(whole(503, b"loading", retry_after="9")), 429, "queue_full", 1),
        (sends(whole(500, b"oh")), 503, "V010", 2),
        (sends(whole(400, {"error": {"message": "too long"}})), 400, "V012", 1),
        (sends(whole(404, {"error": {"message": "no such model"}})), 502, "V012", 1),
        (sends(whole(200, b"{}")), 502, "V011", 1),
        (sends(b""), 503, "V010", 2),
        (sends(b"\x00\xff garbage\r\n\r\n"), 503, "V010", 2),
        (sends(STREAM), 503, "V010", 2),
        (sends(STREAM, b"data: {]\n\n"), 502, "V011", 1),
        (sends(STREAM, b'data: {"choices": 7}\n\n'), 502, "V011", 1),
        (sends(STREAM, b'data: {"choices": [{"text": 7}]}\n\n'), 502, "V011", 1),
        (sends(STREAM, b'data: {"choices": [], "usage": {"prompt_tokens": Infinity}}\n\n'), 502, "V011", 1),
        (sends(STREAM, b"data: " + b"[" * 100_000 + b"\n\n"), 502, "V011", 1),
        (sends(STREAM, b'data: {"error": {"message": "out of memory"}}\n\n'), 502, "V011", 1),
        (sends(STREAM, event("a"), b'data: {"cho'), 502, "V011", 1),
        (sends(STREAM, b"data: " + b"x" * (3 << 20)), 502, "V011", 1),
        (sends(STREAM, *(event("y" * 30_000) for _part in range(4))), 502, "V011", 1),
    ],
)
def test_what_is_no_answer_ends_that_request_alone(
    loaded: Loaded, wire: Wire, status: int, code: str, tries: int
) -> None:
    answer, odd = ask(wire, loaded)
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code), answer.text
    assert len(odd.asked) == tries
    if status == 429:
        assert answer.headers["retry-after"] in ("7", "9")
    if code == "V012":
        assert ("too long" in answer.text) or ("no such model" in answer.text)


def test_a_stream_that_goes_silent_is_left(loaded: Loaded) -> None:
    began = time.monotonic()
    answer, odd = ask(sends(STREAM + event("a"), pause_s=30), loaded, timeout_s=0.6)
    assert answer.status_code == 502 and answer.json()["error"]["code"] == "V011" and len(odd.asked) == 1
    answer, odd = ask(sends(STREAM, pause_s=30), loaded, timeout_s=0.6)
    assert answer.status_code == 503 and answer.json()["error"]["code"] == "V010" and len(odd.asked) == 2
    answer, odd = ask(sends(STREAM + event("a"), pause_s=30), loaded, told={"time_limit_s": 0.6})
    assert answer.json()["choices"][0] == {"index": 0, "text": "a", "finish_reason": "length", "logprobs": None}
    assert time.monotonic() - began < 25


def test_what_fails_before_the_first_token_is_tried_again(loaded: Loaded) -> None:
    times: list[int] = []

    async def wire(body: Any, writer: asyncio.StreamWriter) -> None:
        times.append(1)
        writer.write(STREAM + (event("x") + FINISHED if len(times) > 1 else b""))
        await writer.drain()

    answer, odd = ask(wire, loaded)
    assert answer.json()["choices"][0]["text"] == "x" and len(odd.asked) == 2


def test_a_stream_without_counts_or_an_end_mark_is_counted_here(loaded: Loaded) -> None:
    answer, _odd = ask(sends(STREAM, event("a"), event("b"), event("c", "length")), loaded)
    assert answer.json()["choices"][0]["text"] == "abc" and answer.json()["choices"][0]["finish_reason"] == "length"
    assert answer.json()["usage"]["completion_tokens"] == 3
    comments = sends(STREAM, b": ping\r\n\r\nevent: x\r\n", event("a").replace(b"\n", b"\r\n"), FINISHED)
    assert ask(comments, loaded)[0].json()["choices"][0]["text"] == "a"


def test_connections_are_used_again(loaded: Loaded) -> None:
    async def wire(body: Any, writer: asyncio.StreamWriter) -> None:
        raw = event("x") + FINISHED
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n")
        writer.write(f"content-length: {len(raw)}\r\n\r\n".encode() + raw)
        await writer.drain()

    class Keeping(Odd):
        async def _one(self, reader: Any, writer: Any) -> bool:
            await super()._one(reader, writer)
            return True

    counted = Keeping(wire, texts=lambda text: len(loaded.encoder.encode(text)))
    with counted as odd, relayed(loaded, openai={"url": odd.url}) as server:
        before = odd.connections
        for _time in range(8):
            assert server.post("/v1/completions", prompt="a").json()["choices"][0]["text"] == "x"
        assert odd.connections - before <= 2


def test_the_end_is_told_to_who_is_on_their_way(loaded: Loaded) -> None:
    silent = Odd(sends(STREAM + event("a"), pause_s=30), texts=lambda text: len(loaded.encoder.encode(text)))
    with silent as odd, relayed(loaded, openai={"url": odd.url}) as server:
        found: list[Any] = []
        asking = threading.Thread(target=lambda: found.append(server.post("/v1/completions", prompt="a")))
        asking.start()
        until(lambda: server.engine.num_running == 1)
        server.engine.close()
        asking.join(20)
        assert found[0].status_code == 503 and found[0].json()["error"]["code"] == "V004"


def test_guards_know_that_it_is_elsewhere(loaded: Loaded) -> None:
    from buril.cli.behind import Behind
    from buril.serve.guards.sentinels import Sentinels

    for url, elsewhere in (
        ("http://127.0.0.1:1/v1", False), ("http://localhost/v1", False), ("http://[::1]:8/v1", False),
        ("http://127.9.9.9/v1", False), ("http://10.0.0.7/v1", True), ("https://engine.example/v1", True),
        ("http://localhost.example/v1", True),
    ):  # fmt: skip
        assert Behind(url, "m").is_elsewhere is elsewhere, url
    with Odd(sends(STREAM, event("x"), FINISHED), texts=lambda text: len(loaded.encoder.encode(text))) as odd:
        for remote in (False, True):
            with relayed(loaded, Sentinels(Sentinels.Settings()), openai={"url": odd.url}, remote=remote) as server:
                server.post("/v1/completions", prompt="<|fim_middle|>")
            wanted = "< |fim_middle|>" if remote else "<|fim_middle|>"
            assert odd.asked[-1]["prompt"] == loaded.encoder.encode(wanted)


# --- log-probabilities and tools


def test_log_probabilities_are_passed_on_where_the_other_server_tells_them(
    server: Relayed, llama: Llama, loaded: Loaded
) -> None:
    asked: dict[str, Any] = {"prompt": "def add(left, right):\n", "max_tokens": 12}
    found = server.post("/v1/completions", **asked, logprobs=3).json()["choices"][0]
    told = found["logprobs"]
    direct = llama.ask(prompt=ids_of(loaded, Request(asked["prompt"])), max_tokens=12, logprobs=3)
    theirs = direct["choices"][0]["logprobs"]["content"]
    pairs = [(token, number) for token, number in zip(told["tokens"], told["token_logprobs"], strict=True) if token]
    assert pairs and pairs == [(one["token"], one["logprob"]) for one in theirs if one["bytes"]]
    assert "".join(told["tokens"]) == found["text"]
    if found["finish_reason"] == "stop":
        assert told["token_logprobs"][-1] == theirs[-1]["logprob"], "that of the end, which has no text there"
    assert all(1 <= len(top) <= 4 for top in told["top_logprobs"])
    events = [one for one in server.events("/v1/completions", **asked, logprobs=3) if one != "[DONE]"]
    streamed = [one["choices"][0]["logprobs"] for one in events if one["choices"][0]["logprobs"]]
    assert [token for one in streamed for token in one["tokens"]] == told["tokens"]
    plain = server.post("/v1/completions", **asked).json()["choices"][0]
    assert plain["logprobs"] is None and plain["text"] == found["text"]


def test_what_the_other_server_can_not_be_asked_is_refused(server: Relayed, loaded: Loaded) -> None:
    for body in (
        {"prompt": "a", "echo": True, "logprobs": 1},
        {"prompt": "a", "presence_penalty": 1.0},
        {"prompt": "a", "logit_bias": {"20": 5}},
    ):
        answer = server.post("/v1/completions", **body)
        assert answer.status_code == 400 and answer.json()["error"]["code"] == "V060", answer.text
    ids = loaded.encoder.encode("def add(left, right):\n")
    text = server.post("/v1/completions", prompt="def add(left, right):\n", max_tokens=9).json()["choices"][0]["text"]
    assert server.post("/v1/completions", prompt=ids, max_tokens=9).json()["choices"][0]["text"] == text


@pytest.mark.parametrize(
    ("told", "tokens"),
    [
        (
            {"tokens": ["a", "b"], "token_logprobs": [-1.0, None], "top_logprobs": [{"x": -3, "y": -2}, None]},
            [(b"a", -1.0, ((b"y", -2.0),)), (b"b", None, ())],
        ),
        ({"tokens": ["a"], "token_logprobs": [-1]}, [(b"a", -1.0, ())]),
        (
            {
                "content": [
                    {"token": "?", "bytes": [195], "logprob": -1, "top_logprobs": [{"token": "é", "logprob": -2}]}
                ]
            },
            [(b"\xc3", -1.0, (("é".encode(), -2.0),))],
        ),
        (None, []),
    ],
)
def test_tokens_of_both_forms_are_read(told: Any, tokens: list[Any]) -> None:
    from buril.serve.chunks import tokens_of

    assert [found[:3] for found in tokens_of(told, 1)] == tokens


@pytest.mark.parametrize(
    "told",
    [{"tokens": ["a"], "token_logprobs": [-1, -2]}, {"tokens": [7], "token_logprobs": [-1]}, {"content": [{"token": "a"}]},
     {"content": [{"token": "a", "bytes": [999], "logprob": -1}]}, [1]],
)  # fmt: skip
def test_tokens_of_no_form_are_odd(told: Any) -> None:
    from buril.serve.chunks import Odd as NoAnswer
    from buril.serve.chunks import tokens_of

    with pytest.raises(NoAnswer):
        tokens_of(told, 1)


def test_a_server_that_only_passes_texts_on_tells_no_more(llama: Llama) -> None:
    with relayed(None, openai={"url": llama.url}) as server:
        for path, body in (
            ("/v1/completions", {"prompt": "a", "logprobs": 1}),
            ("/v1/completions", {"prompt": [20]}),
            ("/v1/chat/completions", {"messages": [{"role": "user", "content": "a"}], "logprobs": True}),
            (
                "/v1/chat/completions",
                {
                    "messages": [{"role": "user", "content": "a"}],
                    "tools": [{"type": "function", "function": {"name": "f"}}],
                },
            ),
        ):
            answer = server.post(path, **body)
            assert answer.status_code == 400 and answer.json()["error"]["code"] == "V060", answer.text
