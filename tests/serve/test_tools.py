"""Tools: OpenAI's package offers functions, and gets calls of them, whole and in parts; guards read what is called."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

for package in ("torch", "transformers", "fastapi", "uvicorn", "httpx", "prometheus_client", "openai"):
    pytest.importorskip(package, reason=f"{package} is not installed")

import openai  # noqa: E402

from buril.generators._calls import FORMS, Call, Form, Reader, form_of, open_at, written  # noqa: E402
from buril.generators._chat import render  # noqa: E402
from buril.generators._load import Loaded  # noqa: E402
from buril.serve.guards import Guard, Piece, Verdict  # noqa: E402
from buril.serve.guards._guard import ANSWER, REQUEST, Reason, refused, sanitised  # noqa: E402
from buril.serve.settings import ServeSettings  # noqa: E402
from tests.serve.running import Running, running  # noqa: E402
from tests.serve.scripted import TOOLS, Script, loaded_in, speaking  # noqa: E402

MODELS = Path(os.environ.get("BURIL_TEST_MODELS", "/work/models"))
QWEN = MODELS / "qwen2.5-coder-0.5b-instruct"
LOCAL: dict[str, Any] = {"port": 0, "guards": []}
ASKED: Any = [{"role": "user", "content": "What is the weather in Oaxaca?"}]
WEATHER: Any = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "The weather of a place.",
        "parameters": {
            "type": "object",
            "properties": {"place": {"type": "string"}, "days": {"type": "integer"}},
            "required": ["place"],
        },
    },
}
TIME: Any = {"type": "function", "function": {"name": "time"}}
CALL = '<tool_call>\n{"name": "weather", "arguments": {"place": "Oaxaca", "days": 2}}\n</tool_call>'
OTHER = '<tool_call>\n{"name": "time", "arguments": {}}\n</tool_call>'
HERMES = FORMS[0]


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> Loaded:
    return loaded_in(tmp_path_factory.mktemp("tools"), template=TOOLS)


@pytest.fixture(scope="module")
def spoken(loaded: Loaded) -> Iterator[tuple[Running, Script]]:
    generator, script = speaking(loaded)
    with running(ServeSettings(**LOCAL, max_tokens=400), loaded, generator=generator) as found:
        yield found, script


def client_of(server: Running) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=0)


# --- calls


def test_a_call_comes_as_openais_package_reads_it(spoken: tuple[Running, Script]) -> None:
    server, script = spoken
    script.says(f"Let me look.\n{CALL}")
    found = client_of(server).chat.completions.create(model="tiny", messages=ASKED, tools=[WEATHER, TIME])
    choice = found.choices[0]
    assert choice.finish_reason == "tool_calls" and choice.message.content == "Let me look."
    assert choice.message.tool_calls is not None
    (call,) = choice.message.tool_calls
    assert call.type == "function" and call.id.startswith("call_") and call.function.name == "weather"
    assert json.loads(call.function.arguments) == {"place": "Oaxaca", "days": 2}
    record = server.records[-1]
    assert record.finish_reason == "tool_calls" and record.text.split("\n") == [
        "Let me look.", "weather", "place", "Oaxaca", "days",
    ]  # fmt: skip


@pytest.mark.parametrize("text", [f"{CALL}\n{OTHER}\n", f"Two.\n\n{CALL}{OTHER}"])
def test_several_calls_in_a_stream_are_put_together(spoken: tuple[Running, Script], text: str) -> None:
    server, script = spoken
    script.says(text)
    client = client_of(server)
    with client.chat.completions.stream(model="tiny", messages=ASKED, tools=[WEATHER, TIME]) as stream:
        final = stream.get_final_completion().choices[0]
    whole = client.chat.completions.create(model="tiny", messages=ASKED, tools=[WEATHER, TIME]).choices[0]
    assert final.finish_reason == whole.finish_reason == "tool_calls"
    assert final.message.tool_calls is not None and whole.message.tool_calls is not None
    for calls in (final.message.tool_calls, whole.message.tool_calls):
        assert [call.function.name for call in calls if call.type == "function"] == ["weather", "time"]
        assert [json.loads(call.function.arguments) for call in calls if call.type == "function"] == [
            {"place": "Oaxaca", "days": 2}, {},
        ]  # fmt: skip
    assert whole.message.content == ("Two." if text.startswith("Two") else None)
    events = server.events("/v1/chat/completions", messages=ASKED, tools=[WEATHER, TIME])
    deltas = [event["choices"][0]["delta"] for event in events[:-1]]
    assert [call["index"] for delta in deltas for call in delta.get("tool_calls", [])] == [0, 1]
    assert "".join(delta.get("content") or "" for delta in deltas) == (whole.message.content or "")


@pytest.mark.parametrize(
    "text",
    [
        "<tool_call>\n{'name': 'weather', 'arguments': {}}\n</tool_call>",
        '<tool_call>\n{"name": "weather", "arguments": [1]}\n</tool_call>',
        '<tool_call>\n{"name": "launch", "arguments": {}}\n</tool_call>',
        'It is <tool_call> {"name": "weather", "argu',
        "no call at all <tool_c",
        '```json\n{"place": "Oaxaca"}\n```\nThat is JSON.',
        "```python\nweather()\n```",
        'As JSON: ```json\n{"name": "weather", "argu',
        '{"name": "Ana", "age": 3}',
        '{"name": "weather", "arguments": {}} is how a call looks',
        '{"names": []}',
        "{ x }",
    ],
)
def test_what_is_no_call_stays_text(spoken: tuple[Running, Script], text: str) -> None:
    server, script = spoken
    script.says(text)
    choice = client_of(server).chat.completions.create(model="tiny", messages=ASKED, tools=[WEATHER]).choices[0]
    assert choice.message.content == text and choice.message.tool_calls is None and choice.finish_reason == "stop"
    parts = client_of(server).chat.completions.create(model="tiny", messages=ASKED, tools=[WEATHER], stream=True)
    assert "".join(part.choices[0].delta.content or "" for part in parts) == text


def test_a_call_that_the_limit_cuts_is_none(spoken: tuple[Running, Script]) -> None:
    server, script = spoken
    script.says(CALL)
    found = client_of(server).chat.completions.create(model="tiny", messages=ASKED, tools=[WEATHER], max_tokens=12)
    assert found.choices[0].finish_reason == "length" and found.choices[0].message.tool_calls is None


def test_without_tools_or_with_none_chosen_nothing_is_a_call(spoken: tuple[Running, Script]) -> None:
    server, script = spoken
    script.says(CALL)
    for more in ({}, {"tools": [WEATHER], "tool_choice": "none"}, {"tools": []}):
        answer = server.post("/v1/chat/completions", messages=ASKED, **more).json()["choices"][0]
        assert answer["message"]["content"] == CALL and answer["finish_reason"] == "stop"
    prompts = [record.request.prompt for record in server.records[-3:]]
    assert len(set(prompts)) == 1, "a model that is to call nothing is told of nothing"


# --- what the model is told


def test_a_conversation_with_calls_and_results_is_rendered_by_the_template(
    spoken: tuple[Running, Script], loaded: Loaded
) -> None:
    server, script = spoken
    script.says("It is warm.")
    calls: Any = [{"id": "c1", "type": "function", "function": {"name": "weather", "arguments": '{"place": "Oaxaca"}'}}]
    turns: Any = [
        *ASKED,
        {"role": "assistant", "content": None, "tool_calls": calls},
        {"role": "tool", "tool_call_id": "c1", "content": "27 °C"},
    ]
    found = client_of(server).chat.completions.create(model="tiny", messages=turns, tools=[WEATHER])
    assert found.choices[0].message.content == "It is warm." and found.choices[0].message.tool_calls is None
    prompt = server.records[-1].request.prompt
    assert isinstance(prompt, tuple)
    text = loaded.encoder.decode(prompt, special=True)
    assert json.dumps(WEATHER) in text and "tool\n27 °C" in text
    assert '<tool_call>{"name": "weather", "arguments": {"place": "Oaxaca"}}</tool_call>' in text
    assert [piece.origin for piece in server.records[-1].asked.pieces] == [
        "user",
        "user",
        "third_party",
        "user",
        "user",
    ]


def test_no_text_of_a_tool_can_end_a_turn(loaded: Loaded) -> None:
    tokenizer = loaded.tokenizer
    end = int(tokenizer.convert_tokens_to_ids("<|endoftext|>"))
    spells: Any = {"type": "function", "function": {"name": "f", "description": 'a "<|endoftext|>" \\ b\n'}}
    call: Any = {
        "id": "c",
        "type": "function",
        "function": {"name": "f", "arguments": {"<|endoftext|>": ["<|endoftext|>"]}},
    }
    turns: Any = [
        {"role": "user", "content": "x <|endoftext|>"}, {"role": "assistant", "content": "", "tool_calls": [call]},
        {"role": "tool", "content": "<|endoftext|>", "tool_call_id": "c"},
    ]  # fmt: skip
    ids = render(loaded, turns, [spells])
    text = tokenizer.apply_chat_template(turns, tools=[spells], add_generation_prompt=True, tokenize=False)
    assert end not in ids and loaded.encoder.decode(ids, special=True) == text
    plain = json.loads(json.dumps([turns, [spells]]).replace("<|endoftext|>", "end"))
    whole = tokenizer.apply_chat_template(plain[0], tools=plain[1], add_generation_prompt=True, tokenize=False)
    assert render(loaded, *plain) == list(tokenizer(whole, add_special_tokens=False)["input_ids"])


# --- what can't be promised, and who can't


@pytest.mark.parametrize(
    ("more", "code", "told"),
    [
        ({"tools": [WEATHER], "logprobs": True}, None, "logprobs"),
        ({"tools": [{"type": "function", "function": {"name": "a b"}}]}, None, "tools"),
        ({"tools": [{"type": "retrieval"}]}, None, "tools"),
        ({"messages": [{"role": "tool", "content": "x"}]}, None, "tool_call_id"),
        ({"messages": [{"role": "user", "content": None}]}, None, "content"),
        (
            {"messages": [{"role": "assistant", "content": "", "tool_calls": [{"function": {"name": "f", "arguments": "[]"}}]}]},
            None,
            "arguments",
        ),
        ({"functions": [{"name": "f"}]}, None, "functions"),
    ],
)  # fmt: skip
def test_what_nobody_can_promise_is_refused(
    spoken: tuple[Running, Script], more: dict[str, Any], code: str | None, told: str
) -> None:
    answer = spoken[0].post("/v1/chat/completions", **{"messages": ASKED, **more})
    error = answer.json()["error"]
    assert answer.status_code == 400 and error["code"] == code, error
    assert told in f"{error['message']} {error['param']}"


def test_schemas_without_end_are_refused(spoken: tuple[Running, Script]) -> None:
    deep: Any = {}
    for _level in range(200):
        deep = {"properties": {"a": deep}}
    tool = {"type": "function", "function": {"name": "f", "parameters": deep}}
    answer = spoken[0].post("/v1/chat/completions", messages=ASKED, tools=[tool])
    assert answer.status_code == 400 and "nested" in answer.json()["error"]["message"]


def test_a_template_that_knows_no_tools_gets_none(tmp_path: Path) -> None:
    generator, _script = speaking(plain := loaded_in(tmp_path))
    with running(ServeSettings(**LOCAL), plain, generator=generator) as server:
        answer = server.post("/v1/chat/completions", messages=ASKED, tools=[WEATHER])
        assert answer.status_code == 400 and answer.json()["error"]["code"] == "V063"
        turns = [*ASKED, {"role": "tool", "tool_call_id": "x", "content": "y"}]
        answer = server.post("/v1/chat/completions", messages=turns)
        assert answer.status_code == 400 and answer.json()["error"]["code"] == "V063"


# --- guards


class Word(Guard):
    """Takes a word out of texts of an origin, or refuses them for it."""

    def __init__(self, word: str, origins: frozenset[Any], *, refuses: bool = False) -> None:
        super().__init__()
        self.origins = origins  # type: ignore[misc]
        self._word, self._refuses = word, refuses

    def judge(self, piece: Piece, *, remote: bool) -> Verdict:
        if self._word not in piece.text:
            return Verdict()
        reasons = [Reason("word", 1)]
        return (
            refused(piece, reasons) if self._refuses else sanitised(piece, piece.text.replace(self._word, "…"), reasons)
        )

    def self_test(self) -> list[str]:
        return []


@pytest.mark.parametrize("stream", [False, True])
def test_guards_read_arguments_as_they_are_meant(loaded: Loaded, stream: bool) -> None:
    key = "BEGIN\nsecret"  # in JSON the line break is two letters
    text = "One.\n<tool_call>\n" + json.dumps({"name": "weather", "arguments": {"place": ["x", key]}}, indent=1)
    generator, script = speaking(loaded)
    script.says(f"{text}\n</tool_call>\n{OTHER}")
    with running(ServeSettings(**LOCAL, max_tokens=400), loaded, Word(key, ANSWER), generator=generator) as server:
        client = client_of(server)
        asked: dict[str, Any] = {"model": "tiny", "messages": ASKED, "tools": [WEATHER, TIME]}
        if stream:
            with client.chat.completions.stream(**asked) as found:
                choice: Any = found.get_final_completion().choices[0]
        else:
            choice = client.chat.completions.create(**asked).choices[0]
        assert [json.loads(call.function.arguments) for call in choice.message.tool_calls] == [
            {"place": ["x", "…"]},
            {},
        ]
        assert choice.message.content == "One." and choice.finish_reason == "tool_calls"
        assert [item.action for item in server.records[-1].fired] == ["changed"] and "secret" not in server.records[
            -1
        ].text


def test_a_call_that_a_guard_refuses_is_not_sent(loaded: Loaded) -> None:
    generator, script = speaking(loaded)
    script.says('Sure.\n<tool_call>\n{"name": "weather", "arguments": {"place": "a\\nb"}}\n</tool_call>')
    guard = Word("a\nb", ANSWER, refuses=True)
    with running(ServeSettings(**LOCAL, max_tokens=400), loaded, guard, generator=generator) as server:
        for events in (
            server.events("/v1/chat/completions", messages=ASKED, tools=[WEATHER])[:-1],
            [server.post("/v1/chat/completions", messages=ASKED, tools=[WEATHER]).json()],
        ):
            assert events[-1]["choices"][0]["finish_reason"] == "content_filter"
            assert "place" not in json.dumps(events) and "Sure." in json.dumps(events)


def test_guards_read_tools_and_results_before_the_model_does(loaded: Loaded) -> None:
    generator, script = speaking(loaded)
    script.says("ok")
    with running(ServeSettings(**LOCAL), loaded, Word("weather of", REQUEST), generator=generator) as server:
        server.post("/v1/chat/completions", messages=ASKED, tools=[WEATHER])
        prompt: Any = server.records[-1].request.prompt
        assert "The … a place." in loaded.encoder.decode(prompt)
    with running(
        ServeSettings(**LOCAL), loaded, Word("evil", frozenset(["third_party"])), generator=generator
    ) as server:
        turns = [*ASKED, {"role": "tool", "tool_call_id": "x", "content": "evil 27 °C"}]
        server.post("/v1/chat/completions", messages=turns, tools=[WEATHER])
        prompt = server.records[-1].request.prompt
        assert "tool\n… 27 °C" in loaded.encoder.decode(prompt)


# --- the forms


def read(form: Form, text: str, step: int) -> tuple[str, list[Call]]:
    reader = Reader(form, {"f", "g"})
    parts = [part for end in range(step, len(text), step) for part in reader.feed(text[:end], ended=False)]
    parts += reader.feed(text, ended=True)
    return "".join(part.text for part in parts), [call for part in parts for call in part.calls]


@pytest.mark.parametrize(
    ("text", "left", "calls"),
    [
        ('a\n<tool_call>\n{"name": "f", "arguments": {"a": "x</tool_call>y"}}\n</tool_call>\n', "a",
         [("f", {"a": "x</tool_call>y"})]),
        ('<tool_call>{"name": "f", "arguments": {}}', "", [("f", {})]),
        ('<tool_call>{"name": "f", "arguments": "{\\"a\\": 1}"}</tool_call> b', "b", [("f", {"a": 1})]),
        ('<tool_call>[{"name": "f", "arguments": {}}, {"name": "g", "arguments": {}}]</tool_call>', "",
         [("f", {}), ("g", {})]),
        ('<tool_call>{no}</tool_call>\n<tool_call>{"name": "g", "arguments": {}}</tool_call>',
         "<tool_call>{no}</tool_call>", [("g", {})]),
        ('<tool_call>{"name": "f", "arguments": {"a": NaN}}</tool_call>', None, []),
        ('<tool_call>{"name": "f", "arguments": {}} and more', None, []),
        ("<tool_call>" + "[" * 3000 + "</tool_call>", None, []),
        ("a <b> c\n\n", None, []),
        ('So:\n```json\n{"name": "f", "arguments": {"a": "```"}}\n```\nDone.', "So:Done.", [("f", {"a": "```"})]),
        ('```json\n{"a": 1}\n```\n<tool_call>{"name": "g", "arguments": {}}</tool_call>', '```json\n{"a": 1}\n```',
         [("g", {})]),
        ('\n{\n  "name": "f",\n  "arguments": {"a": 1}\n}\n', "", [("f", {"a": 1})]),
        ('{"name": "h", "arguments": {}}', None, []),
        ('{"name": "f", "arguments": {}} or {"name": "g", "arguments": {}}', None, []),
    ],
)  # fmt: skip
def test_calls_are_read_alike_however_they_come(text: str, left: str | None, calls: list[Any]) -> None:
    for step in (1, 7, 1000) if len(text) < 1000 else (1000,):
        found, called = read(HERMES, text, step)
        assert found == (text if left is None else left) and [tuple(call) for call in called] == calls, step


def test_mistrals_form_is_read_too() -> None:
    form = FORMS[1]
    calls = [Call("f", {"a": 1}), Call("g", {})]
    text = "so: " + written(form, calls)
    assert read(form, text, 3) == ("so:", calls) and read(HERMES, written(HERMES, calls), 5) == ("", calls)
    assert (
        open_at(text, form) == 4 and open_at(f"{CALL} x", HERMES) == len(CALL) + 2 and open_at(CALL[:-3], HERMES) == 0
    )
    fenced = 'a\n```json\n{"name": "f", "arguments": {}}'
    assert open_at(fenced, HERMES) == 2 and open_at(f"{fenced}\n```\n", HERMES) == len(fenced) + 5
    assert open_at('{"name": "f", ', HERMES) == 0 and open_at('{"name": x', HERMES) == 10


class Tells:
    """What of a tokenizer says how it renders chats."""

    def __init__(self, template: str) -> None:
        self.chat_template = template

    def get_chat_template(self, tools: Sequence[Any]) -> str:
        return self.chat_template


@pytest.mark.parametrize(
    ("template", "name"),
    [
        (TOOLS, "hermes"),
        ("{% if tools %}[AVAILABLE_TOOLS]{{ tools }}{% endif %}[TOOL_CALLS]", "mistral"),
        ("{{ tools }}<tool_call><function=f><parameter=a></function> arguments", None),
        ("{{ messages }} <tool_call> arguments", None),
        ("{{ tools }}", None),
        ("", None),
    ],
)
def test_a_template_shows_its_form(template: str, name: str | None) -> None:
    form = form_of(Tells(template))
    assert (form and form.name) == name


# --- the real ones


def qwen() -> Path:
    if not (QWEN / "tokenizer.json").is_file():
        pytest.skip("the real model is not here")
    return QWEN


def test_qwens_own_tokens_for_calls_are_spelt_out_where_there_may_be_calls(tmp_path: Path) -> None:
    """Qwen2.5 has `<tool_call>` as one token, which no text shows otherwise."""
    from tests.generators.tiny import make

    fim: Any = {"prefix": 151659, "suffix": 151661, "middle": 151660, "eos": 151643, "pad": 151662, "bos": None,
                "added": [], "vocab_size": 151936}  # fmt: skip
    real = Loaded(make("qwen2", vocab_size=151936, max_position_embeddings=4096), qwen(), fim)
    opens, closes = real.encoder.id_of("<tool_call>"), real.encoder.id_of("</tool_call>")
    assert opens in real.encoder.control_ids and closes is not None and form_of(real.tokenizer) is HERMES
    generator, script = speaking(real)
    body = real.encoder.encode('\n{"name": "weather", "arguments": {"place": "Oaxaca"}}\n')
    script.says_ids([*real.encoder.encode("Look:\n"), opens, *body, closes])  # type: ignore[list-item]
    with running(ServeSettings(**LOCAL), real, generator=generator) as server:
        client = client_of(server)
        choice = client.chat.completions.create(model="tiny", messages=ASKED, tools=[WEATHER]).choices[0]
        assert choice.message.tool_calls and choice.message.content == "Look:"
        plain = client.chat.completions.create(model="tiny", messages=ASKED).choices[0].message.content
        assert plain is not None and "tool_call" not in plain and '"name": "weather"' in plain
        prompt: Any = server.records[-2].request.prompt
        text = real.tokenizer.apply_chat_template(ASKED, tools=[WEATHER], add_generation_prompt=True, tokenize=False)
        assert real.encoder.decode(prompt, special=True) == text and "# Tools" in text


def test_qwens_own_template_renders_calls_and_results(tmp_path: Path) -> None:
    from tests.generators.tiny import make

    fim: Any = {"prefix": 151659, "suffix": 151661, "middle": 151660, "eos": 151643, "pad": 151662, "bos": None,
                "added": [], "vocab_size": 151936}  # fmt: skip
    real = Loaded(make("qwen2", max_position_embeddings=64), qwen(), fim)
    turns: Any = [
        *ASKED,
        {
            "role": "assistant",
            "content": "",
            "tool_calls": [
                {"id": "c", "type": "function", "function": {"name": "weather", "arguments": {"place": "ñ"}}}
            ],
        },
        {"role": "tool", "content": "27 °C", "tool_call_id": "c"},
    ]
    text = real.tokenizer.apply_chat_template(turns, tools=[WEATHER], add_generation_prompt=True, tokenize=False)
    assert '<tool_call>\n{"name": "weather", "arguments": {"place": "ñ"}}\n</tool_call>' in text
    assert "<tool_response>\n27 °C\n</tool_response>" in text
    assert render(real, turns, [WEATHER]) == list(real.tokenizer(text, add_special_tokens=False)["input_ids"])


@pytest.mark.slow
def test_qwen_goes_on_from_calls_and_results() -> None:
    """The smallest Qwen2.5-Coder seldom writes a call in its template's form, but in a block of JSON."""
    from buril.generators.transformers import Transformers

    folder = qwen()
    generator = Transformers(Transformers.Settings(device="cpu"))
    generator.use(real_of(folder))
    before: Any = {"type": "function", "function": {"name": "weather", "arguments": '{"place": "Puebla", "days": 1}'}}
    shown: Any = [
        {"role": "user", "content": "What is the weather in Puebla?"},
        {"role": "assistant", "content": None, "tool_calls": [{"id": "c0", **before}]},
        {"role": "tool", "tool_call_id": "c0", "content": '{"sky": "clear", "degrees": 19}'},
        {"role": "assistant", "content": "It is clear in Puebla, 19 degrees."},
    ]
    with running(
        ServeSettings(**LOCAL, time_limit_s=900), generator.loaded, generator=generator, ready_s=300
    ) as server:
        turns: Any = [*shown, *ASKED]
        asked: Any = {"model": "tiny", "messages": turns, "tools": [WEATHER], "max_tokens": 80}
        choice = client_of(server).chat.completions.create(**asked).choices[0]
        called = choice.message.tool_calls or []
        assert choice.finish_reason == ("tool_calls" if called else "stop")
        told = [call.function.arguments for call in called if call.type == "function"] or [choice.message.content or ""]
        assert all("oaxaca" in text.lower() for text in told), told
        runs: Any = {"type": "function", "function": {
            "name": "run_tests", "description": "Run the tests of a folder",
            "parameters": {"type": "object", "properties": {"path": {"type": "string"}}, "required": ["path"]},
        }}  # fmt: skip
        asked["messages"] = [{"role": "user", "content": "Run the tests in the folder tests/serve with the tool."}]
        choice = client_of(server).chat.completions.create(**{**asked, "tools": [runs]}).choices[0]
        assert choice.finish_reason == "tool_calls" and choice.message.tool_calls is not None, choice.message.content
        (call,) = choice.message.tool_calls
        assert call.type == "function" and json.loads(call.function.arguments) == {"path": "tests/serve"}


def real_of(folder: Path) -> Loaded:
    """The real model, with the sentinels that its family has."""
    import torch
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.bfloat16).eval()
    fim: Any = {"prefix": 151659, "suffix": 151661, "middle": 151660, "eos": 151643, "pad": 151662, "bos": None,
                "added": [], "vocab_size": 151936}  # fmt: skip
    return Loaded(model, folder, fim)
