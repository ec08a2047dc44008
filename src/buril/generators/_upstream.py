"""What a server asks another one, by URL, for the texts that it serves: prompts of token ids where that can be.

Whoever knows the tokenizer of the model behind the URL (`open`) renders holes and chats itself and sends ids: so a
control token that a text only spells is text, whatever the other server makes of texts. How the other server may be
asked (`way`) is found out by asking it:

- `ids`: it takes prompts of ids.
- `text`: it takes texts alone, and reads control tokens in them. What is rendered is spelt; a text of a user that
  spells a control token is refused.
- `own`: nothing is rendered. Texts go on as they are, chats are rendered there, holes are filled as `fills` says.

Prompts are sent whole: the last token of a text is not healed, for what would heal it is a choice among tokens that
another server does not offer. A hole has no open last token.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, NamedTuple

from buril.core.errors import BurilError
from buril.core.text import _
from buril.generators._calls import form_of
from buril.generators._generator import Capabilities, Request
from buril.generators._load import Loaded, outline
from buril.generators.openai import Openai

Way = Literal["ids", "text", "own"]
EXACTLY: dict[str, float] = {"logprobs": 1, "top_k": 0, "min_p": 0.0, "repetition_penalty": 1.0,
                             "presence_penalty": 0.0, "frequency_penalty": 0.0}  # fmt: skip
"""What a server is told beside a prompt of ids: to count, and not to draw otherwise than it is asked to. What is not
said vLLM takes from the model's `generation_config.json`, such as a penalty on repetition; llama.cpp has its own."""


@dataclass(frozen=True)
class Chat(Request):
    """A chat as it is, for a server that renders it."""

    messages: tuple[tuple[str, str], ...] = ()

    def plain(self) -> list[dict[str, str]]:
        """The messages as the API has them."""
        return [{"role": role, "content": content} for role, content in self.messages]


class Asked(NamedTuple):
    """A request as it is sent: where to, its JSON, and the tokens of its prompt, where they are known."""

    url: str
    body: dict[str, Any]
    prompt_tokens: int | None = None


class Upstream(Openai):
    """A model behind a URL, and its tokenizer where that is at hand."""

    def __init__(self, settings: Openai.Settings) -> None:
        super().__init__(settings)
        self.loaded: Loaded | None = None
        self.way: Way = "own"
        self.counts = False
        """Whether it also tells log-probabilities and counts as it goes, and ends at the tokens that it is told."""
        self.window: int | None = None
        """Tokens of a prompt and its answer together, as the server says."""

    def open(
        self, base_dir: Path, tokenizer_dir: Path, *, adapter_dir: Path | None = None, model_dir: Path | None = None
    ) -> None:
        """Read the tokenizer of the model, and what the model says of itself; its weights are the server's matter.

        Raises:
            BurilError: P002, T012, T016.
        """
        del adapter_dir
        self.loaded = outline(model_dir or base_dir, tokenizer_dir)

    def capabilities(self) -> Capabilities:
        """What it can do, as it is asked now."""
        if self.loaded is None or self.way == "own":
            return Capabilities(fills=self.settings.fills is not None, chats=True)
        fim = self.loaded.fim
        fills = self.settings.fills is not None or None not in (fim["prefix"], fim["suffix"], fim["middle"])
        chats, ids = bool(self.loaded.tokenizer.chat_template), self.way == "ids"
        tools = chats and ids and form_of(self.loaded.tokenizer) is not None
        return Capabilities(fills=fills, chats=chats, logprobs=self.counts and ids, ids=ids, tools=tools)

    def encode(self, text: str) -> list[int]:
        """The ids of a text.

        Raises:
            BurilError: D313 where the tokenizer is not at hand.
        """
        return super().encode(text) if self.loaded is None else self.loaded.encoder.encode(text)

    def chat(
        self, messages: Sequence[Mapping[str, Any]], *, tools: Sequence[Mapping[str, Any]] = ()
    ) -> tuple[int, ...]:
        """The prompt of a chat by the model's own template.

        Raises:
            BurilError: D313 where the tokenizer is not at hand, T017 where the model has no template.
        """
        from buril.generators._chat import render

        return super().chat(messages) if self.loaded is None else tuple(render(self.loaded, messages, tools))

    def request_of_chat(
        self, messages: Sequence[Mapping[str, Any]], *, tools: Sequence[Mapping[str, Any]] = ()
    ) -> Request:
        """The request of a chat; where chats are rendered there, with its messages as they are.

        Raises:
            BurilError: T017 where the model has no template, V013 for control tokens that can't be sent as text.
        """
        if self.way == "own":
            return Chat("", messages=tuple((message["role"], message["content"]) for message in messages))
        if self.way == "text":
            self._check_plain([message["content"] for message in messages])
        return Request(self.chat(messages, tools=tools))

    def asked(self, request: Request) -> Asked:
        """A request as it is sent.

        Raises:
            BurilError: T015 for a hole that nobody can fill, V013 for control tokens that can't be sent as text.
        """
        fills = self.settings.fills
        if isinstance(request, Chat):
            return self._put("chat/completions", request, messages=request.plain())
        if request.suffix is not None and fills == "infill":
            return self._infill(request)
        if request.suffix is not None and fills == "suffix":
            return self._put("completions", request, prompt=_text(request), suffix=request.suffix)
        if self.way == "own":
            if request.suffix is not None:
                raise BurilError("T015")
            return self._put("completions", request, prompt=_text(request))
        return self._rendered(request)

    def _rendered(self, request: Request) -> Asked:
        """A prompt that is put together here."""
        from buril.generators._prompt import prompt_ids

        loaded = self._known()
        positions = int(getattr(loaded.model.config, "max_position_embeddings", 0) or 1 << 20)
        ids, _rest = prompt_ids(request, loaded, max_positions=min(positions, self.window or positions))
        if self.window is not None:  # beyond it a server refuses rather than end there
            request = replace(request, max_tokens=max(1, min(request.max_tokens, self.window - len(ids))))
        if self.way == "ids":
            return self._put("completions", request, prompt=list(ids))._replace(prompt_tokens=len(ids))
        texts = (request.prompt if isinstance(request.prompt, str) else "", request.suffix or "", request.prefill)
        self._check_plain(texts)
        ids = ids[1:] if ids[0] == loaded.fim["bos"] else ids  # which the server puts there itself
        return self._put("completions", request, prompt=loaded.encoder.decode(ids, special=True))

    def _put(self, path: str, request: Request, **more: Any) -> Asked:
        body = {**self.sampled(request), **more, "stream": True, "stream_options": {"include_usage": True}}
        if self.counts and self.way != "own" and path == "completions":
            from buril.generators._writer import end_ids

            body |= {**EXACTLY, "stop_token_ids": sorted(end_ids(self._known()))}
            body["logprobs"] = max(1, request.logprobs or 0)
            body["stream_options"] = {"include_usage": True, "continuous_usage_stats": True}
        return Asked(self.at(path), body)

    def _infill(self, request: Request) -> Asked:
        body = {
            "input_prefix": _text(request), "input_suffix": request.suffix, "n_predict": request.max_tokens,
            "temperature": request.temperature, "top_p": request.top_p, "stop": list(request.stop), "stream": True,
        }  # fmt: skip
        return Asked(f"{self.at('').rstrip('/').removesuffix('/v1')}/infill", body)

    def at(self, path: str) -> str:
        """The address of a part of the API."""
        return f"{self.settings.url.rstrip('/')}/{path}"

    def _known(self) -> Loaded:
        assert self.loaded is not None, "open() comes first"
        return self.loaded

    def _check_plain(self, texts: Sequence[str]) -> None:
        encoder = self._known().encoder
        for token in encoder.control_ids:
            spelt = encoder.decode([token], special=True)
            if spelt and any(spelt in text for text in texts):
                raise BurilError("V013", token=spelt)


def _text(request: Request) -> str:
    """The text before what is asked for.

    Raises:
        BurilError: D313 for ids, which the server would not read as such.
    """
    if not isinstance(request.prompt, str):
        raise BurilError("D313", what=_("take a prompt of token ids"))
    return request.prompt + request.prefill
