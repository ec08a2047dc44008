"""The server as its clients see it: over a socket, with a model that writes."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
import time
from collections.abc import AsyncGenerator, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

for package in ("torch", "transformers", "fastapi", "uvicorn", "httpx", "prometheus_client"):
    pytest.importorskip(package, reason=f"{package} is not installed")

from buril.core.errors import BurilError  # noqa: E402
from buril.generators._generator import Request  # noqa: E402
from buril.generators._load import Loaded  # noqa: E402
from buril.generators.transformers import Transformers  # noqa: E402
from buril.serve.answer import Served  # noqa: E402
from buril.serve.http import EventStream  # noqa: E402
from buril.serve.keys import Keys, add, remove  # noqa: E402
from buril.serve.run import Serving, check, listen  # noqa: E402
from buril.serve.settings import ServeSettings  # noqa: E402
from tests.serve.running import Running, loaded_in, running  # noqa: E402

LOCAL: dict[str, Any] = {"port": 0, "guards": []}


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> Loaded:
    return loaded_in(tmp_path_factory.mktemp("served"))


@pytest.fixture(scope="module")
def server(loaded: Loaded) -> Iterator[Running]:
    with running(ServeSettings(**LOCAL), loaded) as found:
        yield found


@pytest.fixture(scope="module")
def alone(loaded: Loaded) -> Transformers:
    found = Transformers(Transformers.Settings(dtype="fp32", device="cpu"))
    found.use(loaded)
    return found


def text_of(alone: Transformers, request: Request) -> str:
    return next(iter(alone.complete([request])))[0].text


# --- answers


def test_a_completion_is_what_the_model_writes(server: Running, alone: Transformers) -> None:
    before = len(server.records)
    answer = server.post("/v1/completions", prompt="def add(", max_tokens=9, model="tiny")
    found = answer.json()
    assert answer.status_code == 200 and answer.headers["x-buril-model"] == "tiny"
    (choice,) = found["choices"]
    assert choice["text"] == text_of(alone, Request("def add(", max_tokens=9))
    assert choice["finish_reason"] == "length" and found["object"] == "text_completion"
    assert found["usage"]["completion_tokens"] == 9
    assert found["usage"]["total_tokens"] == 9 + found["usage"]["prompt_tokens"]
    assert found["buril"]["model"]["base"]["digest"] == "d" * 64 and len(found["buril"]["records"]) == 1
    (record,) = server.records[before:]
    assert record.text == choice["text"] and record.given == ("def add(",) and record.num_tokens == 9


def test_a_suffix_makes_a_hole(server: Running, alone: Transformers) -> None:
    found = server.post("/v1/completions", prompt="a = ", suffix="\nb", max_tokens=7).json()
    assert found["choices"][0]["text"] == text_of(alone, Request("a = ", "\nb", max_tokens=7))
    infill = server.post("/infill", input_prefix="a = ", input_suffix="\nb", n_predict=7).json()
    assert infill["content"] == found["choices"][0]["text"] and infill["stop"]
    assert infill["tokens_predicted"] == found["usage"]["completion_tokens"] <= 7
    with_prompt = server.post("/infill", input_prefix="a", prompt=" = ", input_suffix="\nb", n_predict=7).json()
    assert with_prompt["content"] == infill["content"]


def test_a_stream_comes_in_parts_that_are_the_whole(server: Running) -> None:
    asked: dict[str, Any] = {"prompt": "class Vault", "max_tokens": 20, "stream_options": {"include_usage": True}}
    whole = server.post("/v1/completions", **asked).json()
    events = server.events("/v1/completions", **asked)
    assert events[-1] == "[DONE]" and events[-2]["usage"] == whole["usage"] and events[-2]["choices"] == []
    parts = [event["choices"][0] for event in events[:-2]]
    assert "".join(part["text"] for part in parts) == whole["choices"][0]["text"]
    assert len(parts) > 5 and [part["finish_reason"] for part in parts] == [None] * (len(parts) - 1) + ["length"]
    assert events[-3]["buril"]["records"] and len({event["id"] for event in events[:-1]}) == 1
    infill = server.events("/infill", input_prefix="x", input_suffix="y", n_predict=9)
    assert infill[-1] != "[DONE]" and infill[-1]["stop"] and not infill[0]["stop"]


def test_a_chat_is_rendered_by_the_models_template(server: Running, alone: Transformers) -> None:
    turns = [{"role": "system", "content": "Be short."}, {"role": "user", "content": "add"}]
    expected = text_of(alone, Request(alone.chat(turns), max_tokens=8))
    found = server.post("/v1/chat/completions", messages=turns, max_tokens=8).json()
    assert found["choices"][0]["message"] == {"role": "assistant", "content": expected, "refusal": None}
    parts = [{"role": "developer", "content": [{"type": "text", "text": "Be "}, {"type": "text", "text": "short."}]}]
    again = server.post("/v1/chat/completions", messages=[*parts, turns[1]], max_completion_tokens=8).json()
    assert again["choices"][0]["message"]["content"] == expected
    events = server.events("/v1/chat/completions", messages=turns, max_tokens=8)
    assert events[0]["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    assert "".join(event["choices"][0]["delta"].get("content", "") for event in events[:-1]) == expected


def test_samples_and_several_prompts_are_told_apart(server: Running, alone: Transformers) -> None:
    asked = {"prompt": ["def", "class"], "n": 2, "temperature": 1.0, "seed": 5, "max_tokens": 6}
    found = server.post("/v1/completions", **asked).json()
    expected = [
        item.text
        for prompt in ("def", "class")
        for item in next(iter(alone.complete([Request(prompt, temperature=1.0, seed=5, max_tokens=6, num_samples=2)])))
    ]
    assert [choice["text"] for choice in found["choices"]] == expected
    assert [choice["index"] for choice in found["choices"]] == [0, 1, 2, 3]
    events = [event for event in server.events("/v1/completions", **asked) if event != "[DONE]"]
    streamed = ["".join(e["choices"][0]["text"] for e in events if e["choices"][0]["index"] == i) for i in range(4)]
    assert streamed == expected


def test_many_at_once_get_what_each_would_have_got_alone(server: Running, alone: Transformers) -> None:
    prompts = [f"def f{number}(a, b):\n" for number in range(12)]
    with ThreadPoolExecutor(12) as pool:
        found = list(
            pool.map(lambda prompt: server.post("/v1/completions", prompt=prompt, max_tokens=10).json(), prompts)
        )
    expected = [text_of(alone, Request(prompt, max_tokens=10)) for prompt in prompts]
    assert [one["choices"][0]["text"] for one in found] == expected


def test_special_tokens_that_a_text_spells_are_text(server: Running, alone: Transformers) -> None:
    spelt = "x = '<|fim_middle|><|im_start|>'"
    found = server.post("/v1/completions", prompt=spelt, suffix="<|fim_suffix|>", max_tokens=5).json()
    ids = alone.encode(spelt)
    assert not set(ids) & alone.loaded.encoder.control_ids
    assert found["usage"]["prompt_tokens"] == len(ids) + len(alone.encode("<|fim_suffix|>")) + 3


# --- what can't be answered


@pytest.mark.parametrize(
    ("path", "body", "told"),
    [
        ("/v1/completions", {"prompt": "a", "logprobs": 6}, "logprobs"),
        ("/v1/completions", {"prompt": "a", "tools": [{}]}, "tools"),
        ("/v1/completions", {"prompt": "a", "temperature": -1}, "temperature"),
        ("/v1/completions", {"prompt": "a", "temperature": "hot"}, "temperature"),
        ("/v1/completions", {"prompt": "a", "max_tokens": 0}, "max_tokens"),
        ("/v1/completions", {"prompt": "a", "n": 9}, "samples"),  # V006
        ("/v1/completions", {"prompt": ["a"] * 17}, "prompt"),
        ("/v1/completions", {"prompt": "a", "stop": ["x"] * 17}, "stop"),
        ("/v1/completions", {"prompt": 7}, "prompt"),
        ("/v1/chat/completions", {"messages": []}, "messages"),
        ("/v1/chat/completions", {"messages": [{"role": "wizard", "content": "a"}]}, "messages"),
        ("/v1/chat/completions", {"messages": [{"role": "user", "content": "a"}], "tools": [{"type": "x"}]}, "tools"),
    ],
)
def test_what_can_not_be_honoured_is_refused(server: Running, path: str, body: dict[str, Any], told: str) -> None:
    answer = server.post(path, **body)
    error = answer.json()["error"]
    assert answer.status_code == 400 and told in error["message"] + str(error["param"])
    assert error["type"] == "invalid_request_error"


def test_another_model_an_unknown_path_and_no_json_are_told_apart(server: Running) -> None:
    other = server.post("/v1/completions", prompt="a", model="gpt-9")
    assert other.status_code == 404 and other.json()["error"]["code"] == "model_not_found"
    assert server.client.get("/v1/models/gpt-9").status_code == 404
    assert server.client.get("/v1/models/tiny").json()["id"] == "tiny"
    assert [one["id"] for one in server.client.get("/v1/models").json()["data"]] == ["tiny"]
    assert server.client.get("/nowhere").json()["error"]["type"] == "not_found_error"
    assert server.client.get("/v1/completions").status_code == 405
    broken = server.client.post("/v1/completions", content=b'{"prompt": ', headers={"content-type": "application/json"})
    assert broken.status_code == 400 and "error" in broken.json()
    plain = server.client.post("/v1/completions", content=b'{"prompt": "a"}', headers={"content-type": "text/plain"})
    assert plain.status_code == 400, "a page in a browser could send that without asking"


def test_a_large_a_slow_and_a_foreign_request_do_not_get_far(loaded: Loaded) -> None:
    with running(ServeSettings(**LOCAL, body_kb=4, patience_s=0.6), loaded) as server:
        assert server.post("/v1/completions", prompt="a" * 5000).status_code == 413
        chunked = server.client.post("/v1/completions", content=iter([b'{"prompt": "', b"a" * 9000, b'"}']))
        assert chunked.status_code == 413
        huge = server.client.post("/v1/completions", content=b"a" * 10_000_000)  # more than what lies in sockets
        assert huge.status_code == 413, "it is read to its end, or the client would see no answer"
        rebound = server.client.post("/v1/completions", json={"prompt": "a"}, headers={"host": "evil.example"})
        assert rebound.status_code == 403
        host, port = server.url.removeprefix("http://").split(":")
        for half in (b"POST /v1/completions HTTP/1.1\r\nhost: localhost\r\n", b"", b"GET /healthz HTTP/1.1\r\n"):
            with socket.create_connection((host, int(port))) as wire:
                wire.sendall(half)
                wire.settimeout(5)
                assert wire.recv(100) == b"", "the head never came: closed"
        with socket.create_connection((host, int(port))) as wire:
            wire.sendall(b"POST /v1/completions HTTP/1.1\r\nhost: localhost\r\ncontent-length: 99\r\n\r\n{")
            wire.settimeout(5)
            assert b" 408 " in wire.recv(1000)
        with socket.create_connection((host, int(port))) as wire:
            wire.sendall(b"GET /" + b"a" * 100_000)
            wire.settimeout(5)
            assert b" 200 " not in wire.recv(1000)
        assert server.client.get("/healthz").json() == {"status": "ok"}


# --- time and room


def slow(loaded: Loaded, tmp: Any = None) -> dict[str, Any]:
    return {"prompt": "def f(", "max_tokens": 1500, "temperature": 1.0, "seed": 3}


def test_the_queue_is_bounded_and_says_when_to_come_again(loaded: Loaded) -> None:
    with running(ServeSettings(**LOCAL, queue=2, time_limit_s=4), loaded, endless=True) as server:
        with ThreadPoolExecutor(12) as pool:
            answers = list(pool.map(lambda _n: server.post("/v1/completions", **slow(loaded)), range(12)))
        codes = sorted(answer.status_code for answer in answers)
        assert set(codes) == {200, 429} and 4 <= codes.count(200) <= 7
        refused = next(answer for answer in answers if answer.status_code == 429)
        assert int(refused.headers["retry-after"]) >= 1 and refused.json()["error"]["code"] == "queue_full"
        idle(server)
        assert server.post("/v1/completions", prompt="a", max_tokens=2).status_code == 200
        text = server.client.get("/metrics").text
        assert 'buril_refused_total{reason="busy"}' in text and "buril_queue_depth 0.0" in text


def test_at_its_limit_of_time_an_answer_ends_where_it_is(loaded: Loaded) -> None:
    with running(ServeSettings(**LOCAL, time_limit_s=0.7), loaded, endless=True) as server:
        began = time.monotonic()
        found = server.post("/v1/completions", **slow(loaded), n=2).json()
        assert time.monotonic() - began < 5
        assert [choice["finish_reason"] for choice in found["choices"]] == ["length", "length"]
        assert 0 < found["usage"]["completion_tokens"] < 2900 and all(choice["text"] for choice in found["choices"])
        assert server.events("/infill", input_prefix="a", input_suffix="b", n_predict=1500, t_max_predict_ms=300)[-1][
            "stop"
        ]
        idle(server)


def idle(server: Running) -> None:
    until = time.monotonic() + 10
    while len(server.engine._session) and time.monotonic() < until:
        time.sleep(0.02)
    assert not len(server.engine._session) and not server.engine._tickets, "nobody waits for it any more"


@pytest.mark.parametrize("prompts", [1, 3])
@pytest.mark.parametrize("stream", [False, True])
def test_who_goes_frees_the_engine(loaded: Loaded, stream: bool, prompts: int) -> None:
    with running(ServeSettings(**LOCAL), loaded, endless=True) as server:
        host, port = server.url.removeprefix("http://").split(":")
        body = json.dumps({**slow(loaded), "prompt": ["def f("] * prompts, "stream": stream}).encode()
        with socket.create_connection((host, int(port))) as wire:
            head = f"POST /v1/completions HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: {len(body)}"
            wire.sendall(head.encode() + b"\r\n\r\n" + body)
            if stream:
                assert b"200" in wire.recv(300)
            else:
                time.sleep(0.5)
            until = time.monotonic() + 10
            while len(server.engine._session) < prompts and time.monotonic() < until:
                time.sleep(0.02)
            assert len(server.engine._session) == prompts
        idle(server)
        assert server.engine.tokens < 1400 * prompts and not server.records


@pytest.mark.parametrize("goes", [False, True])
def test_a_reader_that_does_not_read_or_goes_is_left(goes: bool) -> None:
    """A wire takes megabytes before it blocks: here it blocks at once."""
    closed: list[int] = []

    async def events() -> AsyncGenerator[Any]:
        try:
            for number in range(100):
                yield {"number": number}
        finally:
            closed.append(1)

    async def main() -> tuple[list[Any], float]:
        sent: list[Any] = []
        begun = asyncio.Event()

        async def send(message: Any) -> None:
            sent.append(message)
            if len(sent) == 4:
                begun.set()
                await asyncio.sleep(30)

        async def receive() -> Any:
            await begun.wait()
            await asyncio.sleep(0 if goes else 30)
            return {"type": "http.disconnect"}

        began = time.monotonic()
        stream = EventStream(events(), patience_s=30 if goes else 0.3, headers={"x-a": "b"})
        await stream({"type": "http"}, receive, send)
        return sent, time.monotonic() - began

    sent, seconds = asyncio.run(main())
    assert len(sent) == 4 and closed == [1] and (seconds < 0.2 if goes else 0.3 <= seconds < 5)
    names = {name for name, _value in sent[0]["headers"]}
    assert b"x-a" in names and b"content-length" not in names


def test_what_is_on_its_way_is_finished_at_the_end(loaded: Loaded) -> None:
    with running(ServeSettings(**LOCAL, grace_s=20), loaded, endless=True) as server:
        found: list[Any] = []
        asking = threading.Thread(
            target=lambda: found.append(server.events("/v1/completions", prompt="def", max_tokens=120))
        )
        asking.start()
        while not server.engine.num_running:
            time.sleep(0.01)
        server.serving._end()
        assert server.post("/v1/completions", prompt="a").status_code == 503 if _answers(server) else True
        asking.join(20)
        assert found and found[0][-1] == "[DONE]" and found[0][-2]["choices"][0]["finish_reason"] == "length"


def _answers(server: Running) -> bool:
    """Whether it still takes connections."""
    import httpx

    try:
        return server.client.get("/readyz").status_code == 503
    except httpx.TransportError:
        return False


def test_an_engine_that_fails_tells_all_and_ends_the_server(loaded: Loaded, monkeypatch: pytest.MonkeyPatch) -> None:
    with running(ServeSettings(**LOCAL), loaded, endless=True) as server:
        plain = server.engine._session.step
        steps: list[int] = []

        def fail() -> Any:
            steps.append(1)
            if len(steps) > 4:
                raise RuntimeError("out of everything")
            return plain()

        monkeypatch.setattr(server.engine._session, "step", fail)
        answer = server.post("/v1/completions", prompt="def", max_tokens=50)
        assert answer.status_code == 500 and answer.json()["error"]["code"] == "V005"
        server.thread.join(10)
        assert not server.thread.is_alive() and server.serving.failed is not None
        assert server.serving.failed.code == "V005"


# --- keys


def test_keys_say_who_may_ask_for_what(loaded: Loaded, tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("buril.serve.keys.LOOK_S", 0.0)
    path = tmp_path / "keys.json"
    ana = add(path, "ana", scopes=("complete",))
    bruno = add(path, "bruno", requests_per_minute=2)
    assert ana not in path.read_text() and path.stat().st_mode & 0o077 == 0
    with running(ServeSettings(**LOCAL, keys=path, metrics="key"), loaded) as server:

        def ask(key: str | None, route: str = "/v1/completions", **body: Any) -> int:
            headers = {"authorization": f"Bearer {key}"} if key else {}
            body = body or {"prompt": "a", "max_tokens": 1}
            return server.client.post(route, json=body, headers=headers).status_code

        chat = {"messages": [{"role": "user", "content": "a"}], "max_tokens": 1}
        assert ask(None) == ask("wrong") == 401 and ask(ana) == 200
        assert ask(ana, "/v1/chat/completions", **chat) == 403
        assert [ask(bruno), ask(bruno, "/v1/chat/completions", **chat), ask(bruno)] == [200, 200, 429]
        assert server.client.get("/metrics").status_code == 401
        assert server.client.get("/metrics", headers={"authorization": f"Bearer {ana}"}).status_code == 403
        prometheus = add(path, "prometheus", scopes=("metrics",))
        assert server.client.get("/metrics", headers={"authorization": f"Bearer {prometheus}"}).status_code == 200
        assert server.client.get("/healthz").status_code == 200
        assert remove(path, "ana") and not remove(path, "ana")
        assert ask(ana) == 401, "the file is read again"
        path.write_text("no json")
        assert ask(bruno) == 401, "a file that can't be read lets nobody in"


def test_quotas_fill_with_time_and_a_day_has_its_tokens(tmp_path: Any) -> None:
    clock = [1_000_000.0]
    path = tmp_path / "keys.json"
    made = add(path, "ana", requests_per_minute=3, tokens_per_day=100, expires="2030-01-01")
    keys = Keys(path, now=lambda: clock[0])
    header = f"Bearer {made}"

    def status() -> int:
        from buril.serve.keys import Refused

        try:
            keys.admit(header, "complete")
        except Refused as refused:
            assert refused.wait_s is None or refused.wait_s > 0
            return refused.status
        return 200

    assert [status() for _n in range(4)] == [200, 200, 200, 429]
    clock[0] += 20
    assert [status(), status()] == [200, 429]
    clock[0] += 600
    keys.use(keys.admit(header, "complete"), 100)
    assert status() == 429
    clock[0] += 86400
    assert status() == 200
    clock[0] = 1.9e9
    assert status() == 401, "it has expired"


@pytest.mark.parametrize(
    "text", ["", "[]", '{"keys": [{"name": "a"}]}', '{"keys": [{"name": "a b", "sha256": "x"}]}', '{"kyes": []}']
)
def test_a_file_of_keys_of_another_form_is_refused(tmp_path: Any, text: str) -> None:
    path = tmp_path / "keys.json"
    path.write_text(text)
    with pytest.raises(BurilError) as refused:
        Keys(path)
    assert refused.value.code == "V002"
    with pytest.raises(BurilError):
        Keys(tmp_path / "none.json")
    other = tmp_path / "other.json"
    add(other, "a")
    with pytest.raises(BurilError):
        add(other, "a")


# --- where it listens


def test_others_may_not_ask_without_keys_and_a_port_is_one_servers(tmp_path: Any) -> None:
    with pytest.raises(BurilError) as refused:
        check(ServeSettings(host="0.0.0.0"))
    assert refused.value.code == "V001"
    add(tmp_path / "keys.json", "a")
    check(ServeSettings(host="0.0.0.0", keys=tmp_path / "keys.json"))
    with listen(ServeSettings(port=0)) as first:
        port = first.getsockname()[1]
        with pytest.raises(BurilError) as taken:
            listen(ServeSettings(port=port))
        assert taken.value.code == "V003"
    with pytest.raises(BurilError):
        listen(ServeSettings(host="256.0.0.1"))


# --- what is kept, and what is shown of code


def test_an_answer_says_where_it_is_from_and_what_became_of_it_is_kept(server: Running) -> None:
    found = server.post("/v1/completions", prompt="def add(", max_tokens=4, n=2, temperature=1.0).json()
    assert found["buril"]["provenance"] == [[{"repo": "acme", "path": "a.py"}]] * 2
    events = server.events("/v1/completions", prompt="def add(", max_tokens=4)
    assert events[-2]["buril"]["provenance"] == [[{"repo": "acme", "path": "a.py"}]]
    told = {"id": "0123456789ab", "event": "accepted", "language": "python", "chars": 12, "lines": 1}
    assert server.post("/v1/events", **told).status_code == 204
    assert server.happened[-1] == ("0123456789ab", "accepted", {"language": "python", "chars": 12, "lines": 1})
    assert server.post("/v1/events", **{**told, "event": "liked"}).status_code == 400
    assert server.post("/v1/events", **{**told, "id": "../../etc"}).status_code == 400


class Says:
    """A stand-in for `seen`: whatever the model's tokens are, its text is this, a few letters a token."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __call__(self, row: Any, writer: Any) -> Any:
        from buril.generators._session import Seen

        del writer
        return Seen(self.text[: 3 * len(row.ids)], row.ended is not None)


@pytest.mark.parametrize("stream", [False, True])
def test_code_ends_where_it_is_complete_and_no_token_more_is_written(
    loaded: Loaded, monkeypatch: pytest.MonkeyPatch, stream: bool
) -> None:
    text = "    return a + b\n\n\ndef other():\n    return 1\n" * 30
    monkeypatch.setattr("buril.serve.engine.seen", Says(text))
    with running(ServeSettings(**LOCAL), loaded, endless=True) as server:
        asked: dict[str, Any] = {"prompt": "def add(a, b):\n", "suffix": "\n\nprint(add(1, 2))\n", "max_tokens": 400}
        asked |= {"language": "python"}
        if stream:
            events = [event for event in server.events("/v1/completions", **asked) if event != "[DONE]"]
            written = "".join(event["choices"][0]["text"] for event in events)
            reason = events[-1]["choices"][0]["finish_reason"]
        else:
            found = server.post("/v1/completions", **asked).json()
            written, reason = found["choices"][0]["text"], found["choices"][0]["finish_reason"]
            assert found["usage"]["completion_tokens"] < 40
        assert written == "    return a + b" and reason == "stop"
        idle(server)
        assert server.engine.tokens < 60, "it is taken out of the engine"
        assert server.records[-1].text == written and server.records[-1].asked.finish
        raw = server.post("/v1/completions", **asked, finish=False).json()["choices"][0]
        assert raw["text"] != written and raw["finish_reason"] == "length"
        infill = server.post("/infill", input_prefix=asked["prompt"], input_suffix=asked["suffix"], language="python")
        assert infill.json()["content"] == written


def test_a_guard_that_reads_answers_shows_whole_lines_and_ends_what_it_refuses(
    loaded: Loaded, monkeypatch: pytest.MonkeyPatch
) -> None:
    from buril.serve.guards.vulnerable import Vulnerable

    weak = "    import os\n    name = input()\n    os.system('ls ' + name)\n    return 1\n"
    monkeypatch.setattr("buril.serve.engine.seen", Says(weak))
    guard = Vulnerable(Vulnerable.Settings(high="block", medium="block"))
    with running(ServeSettings(**LOCAL), loaded, guard, endless=True) as server:
        asked: dict[str, Any] = {"prompt": "def run():\n", "max_tokens": 60, "language": "python", "finish": False}
        events = [event for event in server.events("/v1/completions", **asked) if event != "[DONE]"]
        written = "".join(event["choices"][0]["text"] for event in events)
        assert weak.startswith(written) and "os.system" not in written and "import os" in written
        assert events[-1]["choices"][0]["finish_reason"] == "content_filter"
        assert [item["guard"] for item in events[-1]["buril"]["guards"][0]] == ["vulnerable"]
        idle(server)
        assert all(event["choices"][0]["text"].endswith(("\n", "")) for event in events)
        chat = "Here:\n```python\nimport os\nos.system('ls ' + input())\n```\nDone.\n"
        monkeypatch.setattr("buril.serve.engine.seen", Says(chat))
        turns = [{"role": "user", "content": "list files"}]
        answer = server.post("/v1/chat/completions", messages=turns, max_tokens=60).json()["choices"][0]
        assert answer["finish_reason"] == "content_filter" and "os.system" not in answer["message"]["content"]


def test_who_is_on_their_way_when_the_engine_ends_is_told_so(loaded: Loaded) -> None:
    with running(ServeSettings(**LOCAL), loaded, endless=True) as server:
        found: list[Any] = []
        asking = threading.Thread(target=lambda: found.append(server.post("/v1/completions", **slow(loaded))))
        asking.start()
        while not server.engine.num_running:
            time.sleep(0.01)
        server.engine.close()
        asking.join(20)
        assert found[0].status_code == 503 and found[0].json()["error"]["code"] == "V004"


def test_an_engine_is_chosen_that_runs_the_model_and_says_why_not_the_others() -> None:
    from buril.core.plugins import PluginKind
    from buril.serve.choice import choose

    class Able:
        def capabilities(self) -> Any:
            from buril.generators._generator import Capabilities

            return Capabilities(sessions=True)

    def opened(name: str, given: Any) -> Any:
        if name in ("openvino", "openai"):
            raise BurilError("T017")
        return Able()

    found = choose(None, opened)
    assert found.name == "llamacpp" and len(found.passed_over) == 1 and found.passed_over[0].startswith("openvino: ")

    def none(name: str, given: Any) -> Any:
        raise BurilError("T017")

    with pytest.raises(BurilError) as refused:
        choose(None, none)
    assert refused.value.code == "V008" and "transformers" in str(refused.value.values["problem"])
    refs: Any = PluginKind("generator").parse(["transformers"])
    with pytest.raises(BurilError) as unable:
        choose(refs[0], lambda _name, _given: object())  # type: ignore[arg-type, return-value]  # it can do nothing
    assert unable.value.code == "V008"


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_model_that_fails_to_load_as_nobody_expected_ends_the_server() -> None:
    def load() -> Served:
        raise AssertionError("a mistake of ours")

    told = ServeSettings(**LOCAL)
    with pytest.raises(BurilError) as failed:
        Serving(told, check(told), load).run(listen(told))
    assert failed.value.code == "V005", "else it would never be ready, and nobody would start another"


def test_the_measurement_waits_for_an_answer_however_long_the_prompt_takes(
    loaded: Loaded, monkeypatch: pytest.MonkeyPatch
) -> None:
    from buril.serve import choice

    monkeypatch.setattr(choice, "MEASURE_S", 0.0)
    generator = Transformers(Transformers.Settings(dtype="fp32", device="cpu"))
    generator.use(loaded)
    speed = choice.measure(generator.session())
    assert speed.prompt > 0 and speed.answer > 0
