"""The generator behind a URL, against a real server on loopback."""

from __future__ import annotations

import math
from typing import Any

import pytest

from buril.core.errors import BurilError
from buril.generators._generator import Request

from .api import Api

pytest.importorskip("httpx", reason="httpx is not installed")
from buril.generators.openai import Openai


def openai(server: Api, **settings: Any) -> Openai:
    told = {"url": server.url, "model": "canned", "wait_s": 0.01, "timeout_s": 5.0, **settings}
    return Openai(Openai.Settings.model_validate(told))


def texts(generator: Openai, *requests: Request) -> list[list[str]]:
    return [[item.text for item in found] for found in generator.complete(requests)]


def test_a_chat_and_a_completion_are_asked_in_the_form_of_the_api() -> None:
    with Api() as api:
        (one,) = openai(api).complete([Request("say it", max_tokens=50, temperature=0.5, top_p=0.9, seed=3)])
        openai_text = openai(api, api="completions")
        (two,) = openai_text.complete([Request("go on", suffix="the end", max_tokens=50)])
    assert api.paths == ["/v1/chat/completions", "/v1/completions"]
    body = api.asked[0]
    assert body["messages"] == [{"role": "user", "content": "say it"}]
    assert (body["model"], body["max_tokens"], body["temperature"], body["top_p"]) == ("canned", 50, 0.5, 0.9)
    assert body["stream"] is False and 0 <= body["seed"] < 2**31
    assert (api.asked[1]["prompt"], api.asked[1]["suffix"]) == ("go on", "the end")
    assert one[0].text == two[0].text.replace("go on", "say it") == "answer to say it\nsecond line\n"
    assert one[0].usage == (2, 6) and math.isnan(one[0].logprob) and one[0].tokens == ()
    assert openai_text.usage == [2, 6]


def test_answers_come_in_order_and_samples_differ_by_their_seed() -> None:
    with Api() as api:
        found = texts(openai(api, concurrency=8), *[Request(f"q{n}", num_samples=2, seed=4) for n in range(12)])
        seeds = {body["seed"] for body in api.asked}
        texts(openai(api), Request("again", num_samples=2, seed=4))
        assert {body["seed"] for body in api.asked[-2:]} == seeds and len(seeds) == 2
    assert [item[0].split("\n")[0] for item in found] == [f"answer to q{n}" for n in range(12)]


def test_the_limit_of_concurrency_holds() -> None:
    with Api(failures=["slow"] * 4) as api:
        texts(openai(api, concurrency=2), *[Request(f"q{n}") for n in range(8)])
        assert api.most_at_once == 2


def test_stop_strings_beyond_the_fourth_and_length() -> None:
    with Api() as api:
        (one,) = openai(api).complete([Request("x", stop=("a1", "a2", "a3", "a4", "\nsecond"), max_tokens=50)])
        (two,) = openai(api).complete([Request("x", max_tokens=2)])
    assert len(api.asked[0]["stop"]) == 4
    assert (one[0].text, one[0].finish_reason) == ("answer to x", "stop")
    assert two[0].finish_reason == "length"


@pytest.mark.parametrize("failure", [429, 500, 502, 503, 408, "cut", "text", "form", "slow"])
def test_what_is_passing_is_tried_again(failure: Any) -> None:
    with Api(failures=[failure, failure]) as api:
        generator = openai(api, timeout_s=0.4 if failure == "slow" else 5.0)
        assert texts(generator, Request("x")) == [["answer to x\nsecond line\n"]]
        assert len(api.asked) == 3


@pytest.mark.parametrize("failure", [429, "text", "form"])
def test_what_does_not_pass_is_told(failure: Any) -> None:
    with Api(failures=[failure] * 9) as api, pytest.raises(BurilError, match="D311") as told:
        texts(openai(api, tries=3), Request("x"))
    assert len(api.asked) == 3 and "3 tries" in told.value.cause


def test_a_server_that_is_not_there() -> None:
    with Api() as api:
        url = api.url
    with pytest.raises(BurilError, match="D311"):
        texts(openai(api, url=url, tries=2), Request("x"))


def test_a_refusal_ends_at_once_and_never_shows_the_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEACHER_KEY", "sk-right")
    with Api(key="sk-right") as api:
        assert texts(openai(api, key="env:TEACHER_KEY"), Request("x"))
        monkeypatch.setenv("TEACHER_KEY", "sk-secret-wrong")
        with pytest.raises(BurilError, match="D312") as told:
            texts(openai(api, key="env:TEACHER_KEY"), Request("x"))
    assert "401" in told.value.cause and "sk-secret-wrong" not in told.value.cause
    assert len(api.asked) == 2


def test_a_key_never_stands_in_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    with Api() as api:
        with pytest.raises(BurilError, match="D310"):
            openai(api, key="sk-in-the-yaml")
        monkeypatch.delenv("NO_SUCH_KEY", raising=False)
        with pytest.raises(BurilError, match="D310"):
            openai(api, key="env:NO_SUCH_KEY")
        monkeypatch.setenv("TEACHER_KEY", "sk-right")
        assert "key" not in openai(api, key="env:TEACHER_KEY").settings.identity()


@pytest.mark.parametrize("url", ["ftp://x/v1", "127.0.0.1:8000", "http://user:pass@host/v1", ""])
def test_what_is_no_address_of_an_api(url: str) -> None:
    with pytest.raises(ValueError, match="url"):
        Openai.Settings(url=url, model="m")


def test_what_it_can_not_do_is_refused() -> None:
    with Api() as api:
        generator = openai(api)
        acts = (
            lambda: generator.score([[1, 2]]),
            lambda: generator.encode("x"),
            lambda: generator.chat([{"role": "user", "content": "x"}]),
            lambda: texts(generator, Request((1, 2))),
            lambda: texts(generator, Request("x", suffix="y")),
            lambda: generator.open(None, None),  # type: ignore[arg-type]  # nothing is read
        )
        for act in acts:
            with pytest.raises(BurilError, match="D313"):
                act()
        assert api.asked == []


def test_an_answer_without_words_is_empty() -> None:
    from buril.generators.openai import _completion

    found = _completion({"choices": [{"message": {"content": None}, "finish_reason": "tool_calls"}]}, Request("x"))
    assert (found.text, found.finish_reason, found.usage) == ("", "eos", (0, 0))
