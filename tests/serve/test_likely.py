"""Log-probabilities: OpenAI's package reads them, they are the model's own, and they belong to the text that is sent."""

from __future__ import annotations

import json
import math
import re
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

for package in ("torch", "transformers", "fastapi", "uvicorn", "httpx", "prometheus_client", "openai"):
    pytest.importorskip(package, reason=f"{package} is not installed")

import openai  # noqa: E402
import torch  # noqa: E402

from buril.generators._generator import Request, TokenLogprob  # noqa: E402
from buril.generators._load import Loaded  # noqa: E402
from buril.serve.guards import Guard, Piece, Verdict  # noqa: E402
from buril.serve.guards._guard import ANSWER, Reason, refused, sanitised  # noqa: E402
from buril.serve.likely import Following, of_chat, of_completion  # noqa: E402
from buril.serve.settings import ServeSettings  # noqa: E402
from tests.serve.running import Running, running  # noqa: E402
from tests.serve.scripted import Script, loaded_in, speaking  # noqa: E402

LOCAL: dict[str, Any] = {"port": 0, "guards": []}


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> Loaded:
    return loaded_in(tmp_path_factory.mktemp("likely"))


@pytest.fixture(scope="module")
def server(loaded: Loaded) -> Iterator[Running]:
    with running(ServeSettings(**LOCAL), loaded) as found:
        yield found


@pytest.fixture(scope="module")
def spoken(loaded: Loaded) -> Iterator[tuple[Running, Script]]:
    generator, script = speaking(loaded)
    with running(ServeSettings(**LOCAL), loaded, generator=generator) as found:
        yield found, script


def client_of(server: Running) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=0)


def own(server: Running, prompt: Sequence[int], answer: Sequence[int]) -> list[float]:
    """What the model itself says of an answer's tokens, among those that are tokens: its embedding has more rows."""
    loaded = server.generator.loaded
    with torch.inference_mode():
        logits_TV = loaded.model(torch.tensor([[*prompt, *answer]])).logits[0, len(prompt) - 1 : -1]
    log_TV = logits_TV[:, : loaded.encoder.num_ids].float().log_softmax(dim=1)
    return [float(log_TV[place, token]) for place, token in enumerate(answer)]


# --- completions


def test_completions_tell_the_models_own_numbers(spoken: tuple[Running, Script], loaded: Loaded) -> None:
    server, script = spoken
    text = "año = left + right\n"
    script.says(text)
    prompt, ids = loaded.encoder.encode("def add(\n"), loaded.encoder.encode(text)
    found = client_of(server).completions.create(model="tiny", prompt="def add(\n", max_tokens=40, logprobs=3)
    told = found.choices[0].logprobs
    assert found.choices[0].text == text and told is not None and told.tokens is not None
    assert told.token_logprobs is not None and told.top_logprobs is not None and told.text_offset is not None
    assert told.tokens[-1] == "<|endoftext|>", "the token that ends the text is told as well"
    assert told.token_logprobs == pytest.approx(own(server, prompt, [*ids, loaded.fim["eos"]]), abs=1e-4)
    assert sum(told.token_logprobs) == pytest.approx(server.records[-1].logprob, abs=1e-4)
    whole = [
        (token, at) for token, at in zip(told.tokens[:-1], told.text_offset, strict=False) if "bytes:" not in token
    ]
    assert all(text[at : at + len(token)] == token for token, at in whole) and len(whole) >= len(ids) - 2
    for token, logprob, top in zip(told.tokens, told.token_logprobs, told.top_logprobs, strict=True):
        assert top[token] == logprob and len(top) in (3, 4) and logprob <= max(top.values())


def test_a_character_of_several_tokens_is_told_by_its_bytes(spoken: tuple[Running, Script]) -> None:
    server, script = spoken
    script.says("x = '🎻'\n")
    told = client_of(server).completions.create(model="tiny", prompt="a\n", max_tokens=40, logprobs=0).choices[0]
    assert told.logprobs is not None and told.logprobs.tokens is not None and told.logprobs.text_offset is not None
    parts = [token for token in told.logprobs.tokens if token.startswith("bytes:")]
    assert bytes.fromhex("".join(parts).replace("bytes:", "").replace("\\x", "")).decode() == "🎻"
    at = {told.logprobs.text_offset[place] for place, token in enumerate(told.logprobs.tokens) if token in parts}
    assert at == {told.text.index("🎻")}
    chat: Any = [{"role": "user", "content": "a"}]
    content = client_of(server).chat.completions.create(model="tiny", messages=chat, max_tokens=40, logprobs=True)
    likely = content.choices[0].logprobs
    assert likely is not None and likely.content is not None
    assert b"".join(bytes(one.bytes or []) for one in likely.content).decode() == told.text


@pytest.mark.parametrize("prompt", ["def add(left, ri", "class Vault", "año €", ""])
def test_streams_tell_the_same_and_healed_tokens_what_they_add(server: Running, prompt: str) -> None:
    client = client_of(server)
    asked: dict[str, Any] = {"model": "tiny", "prompt": prompt, "max_tokens": 24, "logprobs": 2}
    asked |= {"extra_body": {"finish": False}}
    whole = client.completions.create(**asked).choices[0]
    parts = list(client.completions.create(**asked, stream=True))
    text, joined = "", {"tokens": [], "token_logprobs": [], "top_logprobs": [], "text_offset": []}  # type: ignore[var-annotated]
    for part in parts:
        text += part.choices[0].text
        if told := part.choices[0].logprobs:
            for name in joined:
                joined[name] += getattr(told, name)
    assert (
        whole.logprobs is not None and text == whole.text and joined == whole.logprobs.model_dump(include=set(joined))
    )
    spelt = b"".join(
        bytes.fromhex(token[6:].replace("\\x", "")) if token.startswith("bytes:") else token.encode()
        for token in joined["tokens"]
    )
    assert re.sub(r"<\|\w+\|>$", "", spelt.decode("utf-8", "replace")) == text
    assert joined["text_offset"] == sorted(joined["text_offset"])


def test_samples_and_prompts_have_each_their_own(server: Running) -> None:
    found = client_of(server).completions.create(
        model="tiny", prompt=["def add(", "class"], n=2, temperature=1.0, seed=4, max_tokens=5, logprobs=1
    )
    told = [choice.logprobs for choice in found.choices]
    assert len(told) == 4 and all(one is not None and len(one.tokens or []) >= 1 for one in told)
    again = client_of(server).completions.create(
        model="tiny", prompt=["def add(", "class"], n=2, temperature=1.0, seed=4, max_tokens=5
    )
    assert [one.text for one in again.choices] == [one.text for one in found.choices], "telling changes no text"
    assert all(one.logprobs is None for one in again.choices)


# --- chats


def test_chats_tell_each_token_with_those_beside(spoken: tuple[Running, Script], loaded: Loaded) -> None:
    server, script = spoken
    script.says("return left\n")
    turns: Any = [{"role": "user", "content": "add"}]
    asked: dict[str, Any] = {"model": "tiny", "messages": turns, "max_tokens": 30, "logprobs": True, "top_logprobs": 4}
    choice = client_of(server).chat.completions.create(**asked).choices[0]
    assert choice.logprobs is not None and choice.logprobs.content is not None
    assert "".join(one.token for one in choice.logprobs.content) == choice.message.content == "return left\n"
    prompt, ids = server.generator.chat(turns), loaded.encoder.encode("return left\n")
    assert [one.logprob for one in choice.logprobs.content] == pytest.approx(own(server, prompt, ids), abs=1e-4)
    for one in choice.logprobs.content:
        assert len(one.top_logprobs) == 4 and bytes(one.bytes or []) == one.token.encode()
        assert [other.logprob for other in one.top_logprobs] == sorted(
            (o.logprob for o in one.top_logprobs), reverse=True
        )
    streamed = [
        one
        for part in client_of(server).chat.completions.create(**asked, stream=True)
        if part.choices[0].logprobs
        for one in part.choices[0].logprobs.content or []
    ]
    assert [one.model_dump() for one in streamed] == [one.model_dump() for one in choice.logprobs.content]
    bare = client_of(server).chat.completions.create(model="tiny", messages=turns, max_tokens=3, logprobs=True)
    assert bare.choices[0].logprobs and all(not one.top_logprobs for one in bare.choices[0].logprobs.content or [])


@pytest.mark.parametrize("more", [{"top_logprobs": 2}, {"logprobs": True, "top_logprobs": 21}, {"logprobs": 7}])
def test_a_chat_that_asks_otherwise_is_refused(server: Running, more: dict[str, Any]) -> None:
    answer = server.post("/v1/chat/completions", messages=[{"role": "user", "content": "a"}], **more)
    assert answer.status_code == 400 and "logprobs" in answer.json()["error"]["message"]


# --- the text that is sent is not all that was written


def told_of(answer: Any) -> tuple[str, str, Any]:
    """The text of an answer, its tokens in one, and what is told."""
    choice = answer.json()["choices"][0]
    return choice["text"], "".join(choice["logprobs"]["tokens"]), choice["logprobs"]


def test_a_stop_string_ends_what_is_told(spoken: tuple[Running, Script]) -> None:
    server, script = spoken
    script.says("left = right\nclass Vault:\n")
    text, tokens, told = told_of(
        server.post("/v1/completions", prompt="a\n", max_tokens=40, logprobs=2, stop=["ight\ncl"])
    )
    assert text == tokens == "left = r"
    assert told["tokens"][-1] != " right" and told["top_logprobs"][-1] is None, "of a token that is cut, no others"
    assert "ight" not in json.dumps(told)


def test_code_that_is_cut_and_mended_tells_what_was_written_of_it(spoken: tuple[Running, Script]) -> None:
    server, script = spoken
    script.says("    return left + right\n\n\nclass Vault:\n    pass\n")
    asked: dict[str, Any] = {"prompt": "def add(left, right):\n", "max_tokens": 60, "logprobs": 1, "language": "python"}
    text, tokens, told = told_of(server.post("/v1/completions", **asked))
    assert text == tokens == "    return left + right" and "Vault" not in json.dumps(told)
    script.says("add(left, right\n\n\n")
    text, tokens, told = told_of(server.post("/v1/completions", **{**asked, "prompt": "x = "}))
    assert text.startswith(tokens) and len(told["tokens"]) == len(told["token_logprobs"])
    assert text in ("", "add(left, right)"), "a bracket that is put behind it is nobody's token"


class Redacting(Guard):
    """Takes a word out of answers, or refuses them for it."""

    origins = ANSWER

    def __init__(self, word: str, *, refuses: bool = False) -> None:
        super().__init__()
        self._word, self._refuses = word, refuses

    def judge(self, piece: Piece, *, remote: bool) -> Verdict:
        if self._word not in piece.text:
            return Verdict()
        reasons = [Reason("word", 1)]
        changed = piece.text.replace(self._word, "«gone»")
        return refused(piece, reasons) if self._refuses else sanitised(piece, changed, reasons)

    def self_test(self) -> list[str]:
        return []


@pytest.mark.parametrize("refuses", [False, True])
@pytest.mark.parametrize("stream", [False, True])
def test_what_a_guard_takes_out_is_not_told_either(loaded: Loaded, refuses: bool, stream: bool) -> None:
    generator, script = speaking(loaded)
    script.says("left = 1\nkey = 'vault'\nright = 2\n")
    with running(ServeSettings(**LOCAL), loaded, Redacting("'vault'", refuses=refuses), generator=generator) as server:
        asked: dict[str, Any] = {"prompt": "a\n", "max_tokens": 60, "logprobs": 5, "finish": False}
        if stream:
            events = [one["choices"][0] for one in server.events("/v1/completions", **asked) if one != "[DONE]"]
            text = "".join(one["text"] for one in events)
            told = [one["logprobs"] for one in events if one["logprobs"]]
            tokens = "".join(token for one in told for token in one["tokens"])
            sizes = [(len(one["tokens"]), len(one["top_logprobs"])) for one in told]
            last = events[-1]["finish_reason"]
        else:
            text, tokens, all_of_it = told_of(server.post("/v1/completions", **asked))
            told, sizes = [all_of_it], [(len(all_of_it["tokens"]), len(all_of_it["top_logprobs"]))]
            last = server.records[-1].finish_reason
        assert text.startswith(tokens) and all(one == other for one, other in sizes)
        assert "vault" not in json.dumps([one["tokens"] for one in told]), "letters of what was taken out"
        if refuses:
            assert text == tokens == "left = 1\n" and last == "content_filter"
        else:
            assert text == "left = 1\nkey = «gone»\nright = 2\n" and tokens == "left = 1\nkey = "


# --- of what Following is told


def token(text: str, top: str = "z") -> TokenLogprob:
    return TokenLogprob(text.encode(), -1.0, ((top.encode(), -0.5),))


def test_following_tells_a_token_once_all_of_it_is_shown() -> None:
    tokens = [token("ab"), token("cd"), TokenLogprob("é".encode()[:1], -2.0), TokenLogprob("é".encode()[1:], -3.0)]
    found = Following(lambda: tokens, begin=10)
    assert [one.token for one in found.upto("abc", ended=False)] == [b"ab"]
    assert [one.token for one in found.upto("abcd", ended=False)] == [b"cd"]
    told = found.upto("abcdé", ended=False)
    assert [one.offset for one in told] == [14, 14] and b"".join(one.token for one in told).decode() == "é"
    assert not found.upto("abcdé)", ended=True, by_model=True)


def test_following_loses_a_text_that_is_changed_and_never_finds_it_again() -> None:
    found = Following(lambda: [token("abcd"), token("ef"), token("gh")])
    (cut,) = found.upto("abXXefgh", ended=False)
    assert cut.token == b"ab" and cut.top is None, "others in its place might tell what was taken out"
    assert not found.upto("abXXefgh and abcdefgh", ended=True, by_model=True)


def test_following_minds_a_decoder_that_drops_the_first_space() -> None:
    found = Following(lambda: [token(" def"), token(" x")])
    assert [one.token for one in found.upto("def x", ended=True)] == [b" def", b" x"]


def test_what_json_has_no_number_for_is_told_as_the_api_does() -> None:
    sent = Following(lambda: [TokenLogprob(b"a", -math.inf, ((b"b", -0.1),))]).upto("a", ended=True)
    assert of_completion(sent)["token_logprobs"] == [-9999.0] and of_chat(sent)["content"][0]["logprob"] == -9999.0
    json.dumps(of_completion(sent), allow_nan=False)


def test_nobody_who_does_not_ask_is_told(server: Running, loaded: Loaded) -> None:
    (row,) = server.generator.session().rows(Request("def add(", max_tokens=4))
    assert row.told is None and not row.biased
    del loaded


# --- echo


def test_a_prompt_is_sent_back_with_what_its_tokens_are_worth(server: Running, loaded: Loaded) -> None:
    prompt = "def add(left, right):\n    return año\n"
    ids = loaded.encoder.encode(prompt)
    expected = own(server, ids[:1], ids[1:])
    for given in (prompt, ids):
        answer = server.post("/v1/completions", prompt=given, max_tokens=0, echo=True, logprobs=2)
        choice = answer.json()["choices"][0]
        told = choice["logprobs"]
        assert choice["text"] == prompt and choice["finish_reason"] == "length"
        assert told["token_logprobs"][0] is None and told["top_logprobs"][0] is None
        assert told["token_logprobs"][1:] == pytest.approx(expected, abs=1e-4)
        assert [len(top) in (2, 3) for top in told["top_logprobs"][1:]] == [True] * (len(ids) - 1)
        assert answer.json()["usage"]["prompt_tokens"] == len(ids) and not answer.json()["usage"]["completion_tokens"]


def test_an_echo_goes_on_in_what_is_written(server: Running, loaded: Loaded) -> None:
    client = client_of(server)
    asked: dict[str, Any] = {"model": "tiny", "prompt": "class Vault:\n", "max_tokens": 6, "echo": True}
    found = client.completions.create(**asked, logprobs=1, n=2).choices
    number = len(loaded.encoder.encode("class Vault:\n"))
    for choice in found:
        assert choice.text.startswith("class Vault:\n") and len(choice.text) > len("class Vault:\n")
        assert choice.logprobs is not None and choice.logprobs.text_offset is not None
        assert choice.logprobs.text_offset[number] == len("class Vault:\n")
    parts = list(client.completions.create(**asked, logprobs=1, stream=True))
    assert (
        parts[0].choices[0].text == "class Vault:\n" and "".join(one.choices[0].text for one in parts) == found[0].text
    )
    plain = client.completions.create(**asked).choices[0]
    assert plain.logprobs is None and plain.text.startswith("class Vault:\n")
    assert server.records[-1].text == plain.text.removeprefix("class Vault:\n"), "records keep what the model wrote"


@pytest.mark.parametrize("more", [{"suffix": "b"}, {"file": "a.py"}, {"repository": "acme"}, {"finish": True}])
def test_an_echo_goes_with_nothing_that_moves_its_prompt(server: Running, more: dict[str, Any]) -> None:
    answer = server.post("/v1/completions", prompt="a", echo=True, **more)
    assert answer.status_code == 400 and "echo" in answer.json()["error"]["message"]


def test_ids_that_are_no_tokens_and_prompts_that_do_not_fit_are_refused(server: Running) -> None:
    unknown = server.post("/v1/completions", prompt=[1, 999_999], max_tokens=1)
    assert unknown.status_code == 400 and unknown.json()["error"]["code"] == "V061"
    long = server.post("/v1/completions", prompt=[20] * 4095, max_tokens=8, echo=True, logprobs=1)
    assert long.status_code == 400 and long.json()["error"]["code"] == "V062"
    none = server.post("/v1/completions", prompt="", max_tokens=0, echo=True, logprobs=1).json()["choices"][0]
    assert none["text"] == "" and none["logprobs"]["tokens"] == []


def test_prompts_of_ids_are_read_by_guards_and_taken_as_they_are(loaded: Loaded) -> None:
    from buril.serve.guards.unicode import Unicode

    with running(ServeSettings(**LOCAL), loaded, Unicode()) as server:
        ids = loaded.encoder.encode("a = 1\n")
        one = server.post("/v1/completions", prompt=ids, max_tokens=5, finish=False).json()["choices"][0]["text"]
        assert one == server.generator.loaded.encoder.decode(own_answer(server, ids, 5))
        hidden = loaded.encoder.encode("a = '\u202e'\n")
        found = server.post("/v1/completions", prompt=hidden, max_tokens=0, echo=True, logprobs=0).json()
        assert "\u202e" not in found["choices"][0]["text"] and found["buril"]["guards"][0]
        assert found["usage"]["prompt_tokens"] < len(hidden), "the model is given the text as the guards left it"


def own_answer(server: Running, ids: Sequence[int], number: int) -> tuple[int, ...]:
    ((found,),) = server.generator.complete([Request(tuple(ids), max_tokens=number)])
    return tuple(found.tokens)


def test_a_token_that_begins_every_text_is_no_token_of_the_prompt(loaded: Loaded, tmp_path: Path) -> None:
    begins = Loaded(loaded.model, loaded.tokenizer_dir, {**loaded.fim, "bos": 5})
    ids = loaded.encoder.encode("class Vault:\n")
    with running(ServeSettings(**LOCAL), begins) as server:
        asked: dict[str, Any] = {"max_tokens": 0, "echo": True, "logprobs": 0}
        text = server.post("/v1/completions", prompt="class Vault:\n", **asked).json()
        told = text["choices"][0]["logprobs"]
        assert "".join(told["tokens"]) == "class Vault:\n" and len(told["tokens"]) == len(ids)
        assert text["usage"]["prompt_tokens"] == len(ids) + 1
        assert told["token_logprobs"][1:] == pytest.approx(own(server, [5, ids[0]], ids[1:]), abs=1e-4)
        given = server.post("/v1/completions", prompt=[5, *ids], **asked).json()["choices"][0]["logprobs"]
        assert len(given["tokens"]) == len(ids) + 1, "ids are taken as they are"
        empty = server.post("/v1/completions", prompt="", **asked).json()["choices"][0]
        assert empty["text"] == "" and empty["logprobs"]["tokens"] == []


def test_scores_wait_for_room_beside_what_is_written(loaded: Loaded) -> None:
    from buril.core.errors import BurilError

    asked: dict[str, Any] = {"prompt": "a b", "max_tokens": 0, "echo": True, "logprobs": 1}
    with running(ServeSettings(**LOCAL, most_tokens=3000), loaded, endless=True) as server:
        real, calls = server.generator.likeliest, []

        def full(ids: Sequence[int], number: int) -> list[TokenLogprob]:
            calls.append(number)
            if len(calls) < 3 or len(calls) == 4:
                raise BurilError("T021", tokens=9, fits=8, cache_mb=1)
            found: list[TokenLogprob] = real(ids, number)
            return found

        server.generator.likeliest = full
        with server.client.stream(
            "POST", "/v1/completions", json={"prompt": "x\n", "max_tokens": 3000, "stream": True}
        ) as busy:
            lines = busy.iter_lines()  # let go of, it would close the stream
            next(lines)
            assert server.engine.num_running == 1
            answer = server.post("/v1/completions", **asked)
            assert answer.status_code == 200 and len(calls) == 3, (answer.text, calls)
        until_idle(server)
        answer = server.post("/v1/completions", **asked)
        assert answer.status_code == 400 and answer.json()["error"]["code"] == "T021" and len(calls) == 4
        assert server.engine.num_waiting == 0


def until_idle(server: Running) -> None:
    end = time.monotonic() + 20
    while server.engine.num_running or server.engine.num_waiting:
        assert time.monotonic() < end
        time.sleep(0.02)


def test_lm_evaluation_harness_gets_the_likelihoods_of_given_texts(
    server: Running, loaded: Loaded, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("lm_eval", reason="lm_eval is not installed")
    pytest.importorskip("tenacity", reason="lm_eval[api] is not installed")
    from lm_eval.api.instance import Instance
    from lm_eval.models.openai_completions import LocalCompletionsAPI

    monkeypatch.setenv("OPENAI_API_KEY", "none")
    model = LocalCompletionsAPI(
        base_url=f"{server.url}/v1/completions", model="tiny", tokenizer=str(loaded.tokenizer_dir),
        tokenizer_backend="huggingface", num_concurrent=1, max_retries=1, batch_size=2,
    )  # fmt: skip
    pairs = [("def add(", "left, right)"), ("class Vault", ":\n    pass\n"), ("return left", " + right")]
    asked = [Instance("loglikelihood", {}, pair, number) for number, pair in enumerate(pairs)]
    found = model.loglikelihood(asked)
    for (context, continuation), (logprob, _greedy) in zip(pairs, found, strict=True):
        whole, head = loaded.encoder.encode(context + continuation), loaded.encoder.encode(context)
        assert whole[: len(head)] == head, "else the harness cuts it otherwise"
        assert logprob == pytest.approx(sum(own(server, head, whole[len(head) :])), abs=1e-3)
    (text,) = server.post("/v1/completions", prompt="def add(\n", max_tokens=6, finish=False).json()["choices"]
    if text["finish_reason"] == "length":
        greedy = model.loglikelihood([Instance("loglikelihood", {}, ("def add(\n", text["text"]), 0)])
        assert isinstance(greedy[0][1], bool)


# --- who can't


def test_an_engine_that_can_not_tell_says_so(loaded: Loaded, monkeypatch: pytest.MonkeyPatch) -> None:
    from buril.generators.transformers import Transformers

    plain = Transformers.capabilities
    monkeypatch.setattr(
        Transformers, "capabilities", lambda self: plain(self)._replace(logprobs=False, likeliest=False, ids=False)
    )
    with running(ServeSettings(**LOCAL), loaded) as server:
        for path, body in (
            ("/v1/completions", {"prompt": "a", "logprobs": 1}),
            ("/v1/completions", {"prompt": [20], "max_tokens": 1}),
            ("/v1/chat/completions", {"messages": [{"role": "user", "content": "a"}], "logprobs": True}),
        ):
            answer = server.post(path, **body)  # type: ignore[arg-type]
            assert answer.status_code == 400 and answer.json()["error"]["code"] == "V060", answer.text
        assert server.post("/v1/completions", prompt="a", max_tokens=2, echo=True).status_code == 200


def test_the_other_engines_tell_the_same(tmp_path: Path) -> None:
    pytest.importorskip("openvino", reason="openvino is not installed")
    from buril.generators.openvino import Openvino

    fresh = loaded_in(tmp_path)
    fast = Openvino(Openvino.Settings(precision="fp32", threads=1, cache_mb=8))
    asked: dict[str, Any] = {"prompt": "def add(\n", "max_tokens": 6, "logprobs": 2, "echo": True}
    with running(ServeSettings(**LOCAL), fresh) as server:
        expected = server.post("/v1/completions", **asked).json()["choices"][0]
    with running(ServeSettings(**LOCAL), fresh, generator=fast) as server:
        found = server.post("/v1/completions", **asked).json()["choices"][0]
    assert found["text"] == expected["text"] and found["logprobs"]["tokens"] == expected["logprobs"]["tokens"]
    for one, other in zip(
        found["logprobs"]["token_logprobs"][1:], expected["logprobs"]["token_logprobs"][1:], strict=True
    ):
        assert one == pytest.approx(other, abs=1e-3)
