"""OpenAI: any server that speaks the OpenAI HTTP API (vLLM, llama.cpp, Ollama, LM Studio, a provider), no SDK needed.

Two forms are spoken: `chat` (`POST /chat/completions`) and `completions` (`POST /completions`), without streaming.
What is passing (no connection, a time-out, 408, 409, 425, 429, 5xx, an answer that is not of the API) is tried again
with a wait that doubles, or as long as `Retry-After` says; anything else ends with the server's own words.

It can't score: the API gives no log-probabilities of a text that it is given, and those of an answer differ from server
to server. `score`, `encode` and `chat` (all about token ids) are refused, and `Completion.logprob` is NaN.
"""

from __future__ import annotations

import hashlib
import math
import os
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NoReturn

from pydantic import Field

from buril.core.errors import BurilError
from buril.core.settings import Settings as BaseSettings
from buril.core.settings import runtime
from buril.core.text import _
from buril.generators._generator import Completion, Request, up_to, without_adapters

if TYPE_CHECKING:
    import httpx
    import numpy as np
    from numpy.typing import NDArray

PASSING = frozenset({408, 409, 425, 429, *range(500, 600)})
"""Statuses of what may be gone in a moment."""
MAX_WAIT_S = 60.0
"""Seconds between two tries, at most."""
_SHOWN = 300


class _Passing(Exception):  # not an error that leaves this file: a reason to try again
    """What may be gone in a moment; `wait_s` is what the server asks to wait."""

    def __init__(self, told: str, wait_s: float | None = None) -> None:
        self.wait_s = wait_s
        super().__init__(told)


class Openai:
    """Writes with a model behind a URL."""

    version: ClassVar[int] = 1
    requires: ClassVar[tuple[str, ...]] = ("httpx",)
    remote: ClassVar[bool] = True
    """It answers from elsewhere: no model of the chain is loaded, and there are no token ids."""

    class Settings(BaseSettings):
        """Which server and which model."""

        url: str = Field(pattern=r"^https?://[^\s@]+$")
        """The API's address up to its version, e.g. `http://127.0.0.1:8000/v1`; no user name or password in it."""
        model: str = Field(min_length=1)
        """The model's name as the server knows it."""
        key: str | None = runtime(None)
        """`env:NAME`: the variable that holds the API key; none for a server that asks for none."""
        api: Literal["chat", "completions"] = "chat"
        """`chat`: the prompt is a user's message; `completions`: the text to go on from, with a suffix where given."""
        fills: Literal["suffix", "infill"] | None = None
        """How `buril serve` lets the server fill a hole by itself: by the field `suffix`, or by llama.cpp's `/infill`.
        None: holes are put into the prompt here, for which the model's tokenizer must be at hand."""
        concurrency: int | None = runtime(None, ge=1, le=1024)
        """Requests on their way at a time; None: 4, and 64 for `buril serve`, which answers many."""
        timeout_s: float = runtime(120.0, gt=0)
        """Seconds until an answer counts as not coming."""
        tries: int = runtime(6, ge=1)
        """How often a request is sent until it counts as failed; the waits of six add up to half a minute."""
        wait_s: float = runtime(1.0, ge=0)
        """Seconds before the second try; each further wait is twice as long, a minute at most."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.usage = [0, 0]
        """Tokens of prompts and of answers so far, as the server counted them."""
        self.logit_bias: dict[int, float] = {}
        """What the server is asked to add to the logits of tokens, by their ids in its model; nothing by default."""
        self._key = _reveal(settings.key)

    def open(
        self, base_dir: Path, tokenizer_dir: Path, *, adapter_dir: Path | None = None, model_dir: Path | None = None
    ) -> None:
        """Refused: which model answers is the server's matter.

        Raises:
            BurilError: D313.
        """
        self._refuse(_("load a model of this machine"))

    def complete(self, requests: Sequence[Request]) -> Iterator[list[Completion]]:
        """The completions of each request, in their order, `concurrency` on their way at a time.

        Raises:
            BurilError: D311 without an answer, D312 when the server refuses, D313 for token ids or a suffix in a chat,
                V031 for an adapter.
        """
        import httpx

        without_adapters(requests, "openai")
        bodies = [
            (request, self._body(request, number)) for request in requests for number in range(request.num_samples)
        ]
        with (
            httpx.Client(timeout=self.settings.timeout_s, headers=self.head) as client,
            ThreadPoolExecutor(self.settings.concurrency or 4) as pool,
        ):
            futures = [pool.submit(self._answer, client, request, body) for request, body in bodies]
            try:
                waiting = iter(futures)
                for request in requests:
                    yield [self._counted(next(waiting).result()) for _sample in range(request.num_samples)]
            finally:
                for future in futures:
                    future.cancel()

    def score(self, sequences: Sequence[Sequence[int]]) -> list[NDArray[np.float32]]:
        """Refused (D313): the API gives no log-probabilities of a given text."""
        self._refuse(_("give the log-probabilities of a text"))

    def encode(self, text: str) -> list[int]:
        """Refused (D313): the tokens are the server's."""
        self._refuse(_("give the token ids of a text"))

    def chat(self, messages: Sequence[Mapping[str, str]]) -> tuple[int, ...]:
        """Refused (D313): the chat template is the server's; a text prompt is sent as a user's message.

        Where texts are gone on from (`completions`) there is no template at all (T017): who can do without one goes on.
        """
        if self.settings.api == "completions":
            raise BurilError("T017")
        self._refuse(_("give the token ids of a chat"))

    def _refuse(self, what: str) -> NoReturn:
        raise BurilError("D313", what=what)

    def _counted(self, completion: Completion) -> Completion:
        for at, tokens in enumerate(completion.usage or (0, 0)):
            self.usage[at] += tokens
        return completion

    def _body(self, request: Request, number: int) -> dict[str, Any]:
        """The JSON of one sample's request."""
        if not isinstance(request.prompt, str):
            self._refuse(_("take a prompt of token ids"))
        told, body = self.settings, {**self.sampled(request), "seed": seed_of(request, number), "stream": False}
        if told.api == "completions":
            body["prompt"] = request.prompt + request.prefill
            if request.suffix is not None:
                body["suffix"] = request.suffix
        elif request.suffix is not None:
            self._refuse(_("fill in the middle of a text in a chat"))
        elif request.prefill:
            self._refuse(_("go on from the beginning of an answer in a chat"))
        else:
            body["messages"] = [{"role": "user", "content": request.prompt}]
        return body

    def sampled(self, request: Request) -> dict[str, Any]:
        """What the JSON of a request says of how the text is drawn and where it ends; the seed is the sample's."""
        body: dict[str, Any] = {
            "model": self.settings.model, "max_tokens": request.max_tokens, "temperature": request.temperature,
            "top_p": request.top_p, "n": 1,
        }  # fmt: skip
        if self.logit_bias:
            body["logit_bias"] = {str(token): more for token, more in self.logit_bias.items()}
        if request.stop:
            body["stop"] = list(request.stop[:4])  # the API takes four; all are looked for in the answer
        return body

    @property
    def head(self) -> dict[str, str]:
        """What says who asks."""
        return {"Authorization": f"Bearer {self._key}"} if self._key else {}

    def _answer(self, client: httpx.Client, request: Request, body: Mapping[str, Any]) -> Completion:
        problem = ""
        for attempt in range(self.settings.tries):
            try:
                return _completion(self._post(client, body), request)
            except _Passing as passing:
                problem = str(passing)
                wait_s = self.settings.wait_s * 2**attempt if passing.wait_s is None else passing.wait_s
            if attempt + 1 < self.settings.tries:
                time.sleep(min(wait_s, MAX_WAIT_S))
        raise BurilError("D311", url=self.settings.url, tries=self.settings.tries, problem=problem)

    def _post(self, client: httpx.Client, body: Mapping[str, Any]) -> Any:
        import httpx

        path = "chat/completions" if self.settings.api == "chat" else "completions"
        try:
            answer = client.post(f"{self.settings.url.rstrip('/')}/{path}", json=dict(body))
        except httpx.TransportError as problem:
            raise _Passing(f"{type(problem).__name__}: {problem}") from problem
        if answer.status_code in PASSING:
            raise _Passing(f"{answer.status_code} {self.shown(answer.text)}", retry_after(answer))
        if answer.status_code != 200:
            problem_told = self.shown(answer.text)
            raise BurilError("D312", url=self.settings.url, status=answer.status_code, problem=problem_told)
        try:
            return answer.json()
        except ValueError as problem:
            raise _Passing(_("the answer is no JSON")) from problem

    def shown(self, text: str) -> str:
        """What a server said, on one line, without the key that it may repeat."""
        line = " ".join(text.split())[:_SHOWN]
        return line.replace(self._key, "…") if self._key else line


def seed_of(request: Request, number: int) -> int:
    """The seed of a sample: those of a request differ, and the same request has the same ones."""
    drawn = hashlib.blake2b(f"{request.seed}\0{number}".encode(), digest_size=4).digest()
    return int.from_bytes(drawn, "big") >> 1


def _reveal(key: str | None) -> str:
    """The key itself, read now from its variable; it stays in memory.

    Raises:
        BurilError: D310 for a key that stands in the settings, or a variable that is not set.
    """
    if key is None:
        return ""
    if not re.fullmatch(r"env:\w+", key):
        raise BurilError("D310", problem=_("it does not begin with `env:`"))
    value = os.environ.get(key[4:], "")
    if not value:
        raise BurilError("D310", problem=_("{name} is not set").format(name=key[4:]))
    return value


def retry_after(answer: httpx.Response) -> float | None:
    """Seconds that a server asks to wait; None where it gives no number."""
    try:
        wait_s = float(answer.headers.get("retry-after", ""))
    except ValueError:
        return None
    return wait_s if math.isfinite(wait_s) and wait_s >= 0 else None


def _completion(answer: Any, request: Request) -> Completion:
    """The completion in an answer of either form."""
    try:
        choice = answer["choices"][0]
        text = choice["message"]["content"] if "message" in choice else choice["text"]
        told = answer.get("usage") or {}
        usage = (int(told.get("prompt_tokens") or 0), int(told.get("completion_tokens") or 0))
        reason = choice.get("finish_reason")
    except (KeyError, IndexError, TypeError, ValueError, AttributeError) as problem:
        raise _Passing(_("the answer is not of the API's form")) from problem
    if not isinstance(text, str):  # a tool call, or a refusal without words
        text = ""
    text, stopped = up_to(text, request.stop)
    finish: Literal["eos", "stop", "length"] = "stop" if stopped else "length" if reason == "length" else "eos"
    return Completion(text, (), finish, math.nan, usage)
