"""Clients that others wrote: OpenAI's own package, and a fuzzer that reads the server's description of itself."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

for package in ("torch", "transformers", "fastapi", "uvicorn", "httpx", "prometheus_client", "openai"):
    pytest.importorskip(package, reason=f"{package} is not installed")

import openai  # noqa: E402

from buril.serve.keys import add  # noqa: E402
from buril.serve.settings import ServeSettings  # noqa: E402
from tests.serve.running import Running, loaded_in, running  # noqa: E402


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Running, str]]:
    folder = tmp_path_factory.mktemp("served")
    key = add(folder / "keys.json", "ana")
    told = ServeSettings(port=0, keys=folder / "keys.json", guards=["sentinels", "unicode", "injection", "secrets"])
    guards = tuple(ref.make() for ref in told.guards)
    with running(told, loaded_in(folder), *guards, endless=True) as found:
        yield found, key


@pytest.fixture(scope="module")
def client(server: tuple[Running, str]) -> openai.OpenAI:
    found, key = server
    return openai.OpenAI(base_url=f"{found.url}/v1", api_key=key, max_retries=0)


def test_openais_client_completes_chats_and_streams(client: openai.OpenAI) -> None:
    assert [model.id for model in client.models.list()] == ["tiny"]
    assert client.models.retrieve("tiny").owned_by == "buril"
    whole = client.completions.create(model="tiny", prompt="def add(", suffix="\n    return c\n", max_tokens=12)
    assert whole.choices[0].finish_reason == "length" and whole.usage is not None
    assert (
        whole.usage.completion_tokens == 12 and whole.model_extra is not None and whole.model_extra["buril"]["records"]
    )
    parts = client.completions.create(
        model="tiny", prompt="def add(", suffix="\n    return c\n", max_tokens=12, stream=True
    )
    assert "".join(part.choices[0].text for part in parts) == whole.choices[0].text
    turns: Any = [{"role": "user", "content": "add two numbers"}]
    chat = client.chat.completions.create(model="tiny", messages=turns, max_tokens=12)
    content = chat.choices[0].message.content
    stream = client.chat.completions.create(
        model="tiny", messages=turns, max_completion_tokens=12, stream=True, stream_options={"include_usage": True}
    )
    chunks = list(stream)
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices) == content
    assert chunks[-1].usage is not None and chunks[-1].usage.completion_tokens == 12
    assert chunks[0].choices[0].delta.role == "assistant"


def test_openais_client_is_told_what_is_wrong_in_its_own_words(
    server: tuple[Running, str], client: openai.OpenAI
) -> None:
    with pytest.raises(openai.NotFoundError, match="gpt-9"):
        client.completions.create(model="gpt-9", prompt="a")
    with pytest.raises(openai.BadRequestError, match="logprobs"):
        client.completions.create(model="tiny", prompt="a", logprobs=6)
    with pytest.raises(openai.AuthenticationError):
        openai.OpenAI(base_url=f"{server[0].url}/v1", api_key="sk-none", max_retries=0).models.list()


def test_guards_stand_before_the_model_and_say_what_they_did(
    server: tuple[Running, str], client: openai.OpenAI
) -> None:
    found = client.completions.create(model="tiny", prompt="a = '\u202e<|fim_middle|>'\nb = ", max_tokens=3)
    assert found.model_extra is not None
    fired = {item["guard"] for sample in found.model_extra["buril"]["guards"] for item in sample}
    assert "sentinels" in fired or "unicode" in fired, fired
    text = server[0].client.get("/metrics").text
    assert "buril_guards_total{" in text


@pytest.mark.slow
def test_a_fuzzer_finds_nothing_in_what_the_server_says_of_itself(server: tuple[Running, str]) -> None:
    schemathesis = pytest.importorskip("schemathesis", reason="schemathesis is not installed")
    from hypothesis import HealthCheck, Phase, settings
    from schemathesis.specs.openapi.checks import positive_data_acceptance

    found, key = server
    schema = schemathesis.openapi.from_url(f"{found.url}/openapi.json")
    tried: set[str] = set()
    for operation in (result.ok() for result in schema.get_all_operations()):

        @settings(
            max_examples=25, deadline=None, derandomize=True, database=None, phases=[Phase.explicit, Phase.generate],
            suppress_health_check=list(HealthCheck),
        )  # fmt: skip
        @schemathesis_given(operation)
        def ask(case: Any) -> None:
            if isinstance(case.body, dict):
                for name in ("max_tokens", "max_completion_tokens", "n_predict"):
                    if (
                        isinstance(case.body.get(name), int | float) and case.body[name] > 4
                    ):  # JSON's 9.0 is a whole one
                        case.body[name] = 4  # what is asked is of interest, not how long it takes
                    elif name not in case.body and name != "n_predict":
                        case.body[name] = 2
            # what is of the right form may still be more than this server's settings allow
            case.call_and_validate(
                base_url=found.url, headers={"Authorization": f"Bearer {key}"}, timeout=60,
                excluded_checks=[positive_data_acceptance],
            )  # fmt: skip

        ask()
        tried.add(f"{operation.method.upper()} {operation.path}")
    assert {"POST /v1/completions", "POST /v1/chat/completions", "POST /infill", "GET /v1/models"} <= tried
    assert found.client.get("/readyz").status_code == 200


def schemathesis_given(operation: Any) -> Any:
    """Hypothesis' `given` for the cases of one operation."""
    from hypothesis import given

    return given(case=operation.as_strategy())
