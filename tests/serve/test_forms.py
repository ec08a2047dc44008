"""The form of an answer: OpenAI's package asks for JSON of a schema and for calls, and a model of random weights gives them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from importlib.util import find_spec
from typing import Any, Literal

import pytest

for package in ("torch", "transformers", "fastapi", "uvicorn", "httpx", "prometheus_client", "openai", "llguidance"):
    pytest.importorskip(package, reason=f"{package} is not installed")

import jsonschema  # noqa: E402
import openai  # noqa: E402
from pydantic import BaseModel, ConfigDict, Field  # noqa: E402

from buril.generators import _local  # noqa: E402
from buril.generators._load import Loaded  # noqa: E402
from buril.serve.guards._guard import REQUEST  # noqa: E402
from buril.serve.settings import ServeSettings  # noqa: E402
from tests.serve.running import Running, running  # noqa: E402
from tests.serve.scripted import TOOLS, loaded_in  # noqa: E402
from tests.serve.test_tools import Word  # noqa: E402

LOCAL: dict[str, Any] = {"port": 0, "guards": []}
ASKED: Any = [{"role": "user", "content": "What is the weather in Oaxaca?"}]


class Place(BaseModel):
    """What is asked for."""

    model_config = ConfigDict(extra="forbid")
    place: Literal["Oaxaca", "Xalapa"]
    days: Literal[1, 2, 3]
    wet: bool
    sort: list[Literal["sun", "rain"]] = Field(max_length=2)


class Deep(BaseModel):
    """One with definitions."""

    model_config = ConfigDict(extra="forbid")
    places: list[Place] = Field(min_length=1, max_length=1)


WEATHER: Any = openai.pydantic_function_tool(Place, name="weather", description="The weather of a place.")
DEEP: Any = openai.pydantic_function_tool(Deep, name="deep")
TIME: Any = {
    "type": "function",
    "function": {"name": "time", "parameters": {"type": "object", "additionalProperties": False}},
}


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> Loaded:
    return loaded_in(tmp_path_factory.mktemp("forms"), template=TOOLS)


@pytest.fixture(scope="module")
def server(loaded: Loaded) -> Iterator[Running]:
    with running(ServeSettings(**LOCAL, max_tokens=400), loaded) as found:
        yield found


@pytest.fixture
def client(server: Running) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=0)


def called(answer: Any) -> list[tuple[str, Any]]:
    calls = answer.choices[0].message.tool_calls or []
    return [(call.function.name, json.loads(call.function.arguments)) for call in calls]


# --- json


@pytest.mark.parametrize("seed", range(3))
def test_an_answer_is_what_a_pydantic_model_says(client: openai.OpenAI, seed: int) -> None:
    found = client.chat.completions.parse(
        model="tiny", messages=ASKED, response_format=Deep, temperature=1.0, seed=seed
    )
    choice = found.choices[0]
    assert choice.finish_reason == "stop" and isinstance(choice.message.parsed, Deep)
    assert len(choice.message.parsed.places) == 1 and not choice.message.tool_calls


def test_a_stream_is_held_as_well_and_says_the_same(client: openai.OpenAI) -> None:
    asked: Any = {"model": "tiny", "messages": ASKED, "temperature": 1.0, "seed": 5}
    with client.chat.completions.stream(**asked, response_format=Place) as stream:
        streamed = stream.get_final_completion().choices[0].message
    whole = client.chat.completions.parse(**asked, response_format=Place).choices[0].message
    assert streamed.parsed == whole.parsed and isinstance(whole.parsed, Place)


def test_an_object_and_text(server: Running) -> None:
    asked = {"messages": ASKED, "temperature": 1.0, "max_tokens": 40}
    free = server.post("/v1/chat/completions", **asked, response_format={"type": "text"}).json()["choices"][0]
    assert free == server.post("/v1/chat/completions", **asked).json()["choices"][0]
    one = server.post("/v1/chat/completions", **asked, response_format={"type": "json_object"}).json()["choices"][0]
    assert one["message"]["content"].startswith("{") and server.records[-1].request.grammar
    assert one["finish_reason"] == "length" or isinstance(json.loads(one["message"]["content"]), dict)
    assert not server.records[-2].request.grammar


def test_what_is_drawn_by_chance_follows_from_the_schema_too(server: Running) -> None:
    asked = {"messages": ASKED, "temperature": 1.5, "deterministic": True, "max_tokens": 60}
    seeds = set()
    for kind in ({"type": "text"}, {"type": "json_object"}):
        answers = [server.post("/v1/chat/completions", **asked, response_format=kind).json() for _time in range(2)]
        assert answers[0]["choices"] == answers[1]["choices"]
        seeds.add(server.records[-1].request.seed)
    assert len(seeds) == 2


# --- calls


@pytest.mark.parametrize("stream", [False, True])
def test_a_call_that_is_required_comes(client: openai.OpenAI, stream: bool) -> None:
    asked: Any = {"model": "tiny", "messages": ASKED, "tools": [WEATHER, TIME], "tool_choice": "required",
                  "temperature": 1.0}  # fmt: skip
    seen = set()
    for seed in range(4):
        if stream:
            with client.chat.completions.stream(**asked, seed=seed) as found:
                answer = found.get_final_completion()
        else:
            answer = client.chat.completions.create(**asked, seed=seed)
        ((name, arguments),) = called(answer)
        assert answer.choices[0].finish_reason == "tool_calls" and not answer.choices[0].message.content
        jsonschema.validate(arguments, {"weather": WEATHER, "time": TIME}[name]["function"]["parameters"])
        seen.add(name)
    assert seen <= {"weather", "time"}


def test_the_function_that_is_named_is_called(client: openai.OpenAI, server: Running, loaded: Loaded) -> None:
    asked: Any = {"model": "tiny", "messages": ASKED, "tools": [WEATHER, DEEP, TIME]}
    for name in ("deep", "time"):
        choice: Any = {"type": "function", "function": {"name": name}}
        answer = client.chat.completions.create(**asked, tool_choice=choice, temperature=1.0)
        ((found, arguments),) = called(answer)
        assert found == name
        if name == "deep":
            Deep.model_validate(arguments)
    prompt: Any = server.records[-1].request.prompt
    assert "weather" in loaded.encoder.decode(prompt), "the model is told of all of them"


def test_several_calls_may_come(client: openai.OpenAI, server: Running) -> None:
    never = {str(token): -100 for token in server.generator.writer(heal=False).end_ids}  # else random weights end soon
    asked: Any = {
        "model": "tiny",
        "messages": ASKED,
        "tools": [TIME],
        "tool_choice": "required",
        "parallel_tool_calls": True,
    }
    answer = client.chat.completions.create(**asked, logit_bias=never, temperature=1.0, max_tokens=300)
    calls = called(answer)
    assert len(calls) >= 2 and all(call == ("time", {}) for call in calls)


def test_a_strict_function_leaves_text_free(client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(model="tiny", messages=ASKED, tools=[WEATHER], temperature=1.0, seed=1)
    assert WEATHER["function"]["strict"] is True and (answer.choices[0].message.content or called(answer))


def test_a_schema_beside_functions(client: openai.OpenAI, server: Running) -> None:
    seen = set()
    for seed in range(6):
        answer = client.chat.completions.parse(model="tiny", messages=ASKED, tools=[WEATHER], response_format=Deep,
                                               temperature=1.0, seed=seed)  # fmt: skip
        message = answer.choices[0].message
        assert isinstance(message.parsed, Deep) or [name for name, _given in called(answer)] == ["weather"]
        seen.add(bool(message.tool_calls))
    assert seen


# --- what is refused


@pytest.mark.parametrize(
    ("more", "code", "told"),
    [
        ({"response_format": {"type": "json_schema", "json_schema": {"name": "x", "strict": True, "schema": {"not": {}}}}},
         "V064", "not"),
        ({"tools": [{"type": "function", "function": {"name": "f", "strict": True, "parameters": {"if": {}}}}]}, "V064", "if"),
        ({"response_format": {"type": "json_schema"}}, None, "json_schema"),
        ({"response_format": {"type": "xml"}}, None, "response_format"),
        ({"tool_choice": "required"}, None, "tool_choice"),
        ({"tools": [TIME], "tool_choice": {"type": "function", "function": {"name": "g"}}}, None, "tool_choice"),
        ({"tools": [TIME], "tool_choice": "any"}, None, "tool_choice"),
    ],
)  # fmt: skip
def test_what_can_not_be_held_is_refused(server: Running, more: dict[str, Any], code: str | None, told: str) -> None:
    for stream in (False, True):
        answer = server.post("/v1/chat/completions", messages=ASKED, stream=stream, **more)
        error = answer.json()["error"]
        assert answer.status_code == 400 and error["code"] == code, error
        assert told in f"{error['message']} {error['param']}"


def test_completions_have_no_form(server: Running) -> None:
    answer = server.post("/v1/completions", prompt="x", response_format={"type": "json_object"})
    assert answer.status_code == 400 and "response_format" in answer.json()["error"]["message"]


@pytest.mark.parametrize(
    ("more", "field"),
    [
        ({"response_format": {"type": "json_object"}}, "response_format"),
        ({"tools": [TIME], "tool_choice": "required"}, "tool_choice"),
        ({"tools": [WEATHER]}, "strict"),
        ({"tools": [TIME], "parallel_tool_calls": False}, "parallel_tool_calls"),
    ],
)
def test_an_engine_that_can_not_is_asked_for_none(
    server: Running, monkeypatch: pytest.MonkeyPatch, more: dict[str, Any], field: str
) -> None:
    monkeypatch.setattr(_local, "find_spec", lambda name: None if name == "llguidance" else find_spec(name))
    answer = server.post("/v1/chat/completions", messages=ASKED, **more)
    assert answer.status_code == 400 and answer.json()["error"]["code"] == "V060"
    assert field in answer.json()["error"]["message"]
    assert server.post("/v1/chat/completions", messages=ASKED, tools=[TIME]).status_code == 200


def test_guards_read_the_schema_before_the_model_is_held_to_it(loaded: Loaded) -> None:
    asked = {"type": "json_schema", "json_schema": {"name": "x", "schema": {"enum": ["secret"]}}}
    with running(ServeSettings(**LOCAL), loaded, Word("secret", REQUEST)) as server:
        answer = server.post("/v1/chat/completions", messages=ASKED, tools=[TIME], response_format=asked).json()
        message = answer["choices"][0]["message"]
        assert message["content"] == '"…"' or message["tool_calls"][0]["function"]["name"] == "time"
    with running(ServeSettings(**LOCAL), loaded, Word("secret", REQUEST, refuses=True)) as server:
        refused = server.post("/v1/chat/completions", messages=ASKED, response_format=asked)
        assert refused.status_code == 400 and not server.records
