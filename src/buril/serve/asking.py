"""From what a client sends to what the model is asked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from buril.core.errors import BurilError
from buril.generators._generator import Request, capabilities, request_of_chat
from buril.serve.answer import Asked, Served
from buril.serve.guards import Piece
from buril.serve.surroundings import steadied, surrounded

if TYPE_CHECKING:
    from buril.serve.schemas import ChatRequest, Coding, CompletionRequest, InfillRequest, Sampling
    from buril.serve.settings import ServeSettings


def asked_of_completion(served: Served, body: CompletionRequest, told: ServeSettings) -> list[Asked]:
    """A request for each prompt.

    Raises:
        BurilError: V006 for more samples than are allowed, T015 for a suffix that the model can't mind.
    """
    prompts = [body.prompt] if isinstance(body.prompt, str) else body.prompt
    fim = bool(body.suffix)
    if fim and not capabilities(served.generator).fills:
        raise BurilError("T015")
    _few(body.n * len(prompts), told)
    language = body.language or ""

    def request(texts: Sequence[str]) -> Request:
        return _sampled(Request(texts[0], texts[1] if fim else None), body, body.max_tokens, told)

    return [
        surrounded(served, body, Asked(
            tuple(Piece(text, "trusted", language) for text in ([prompt, body.suffix or ""] if fim else [prompt])),
            request, told.time_limit_s, language, fim=fim, alone=_alone(body, told),
        ))
        for prompt in prompts
    ]  # fmt: skip


def asked_of_chat(served: Served, body: ChatRequest, told: ServeSettings) -> list[Asked]:
    """The request of a chat. What the assistant is said to have written was, for a guard, written by the user.

    Raises:
        BurilError: V006, T017 for a model without a template.
    """
    if not capabilities(served.generator).chats:
        raise BurilError("T017")
    _few(body.n, told)
    roles = ["system" if message.role == "developer" else message.role for message in body.messages]

    def request(texts: Sequence[str]) -> Request:
        turns = [{"role": role, "content": text} for role, text in zip(roles, texts, strict=True)]
        limit = body.max_completion_tokens or body.max_tokens
        return _sampled(request_of_chat(served.generator, turns), body, limit, told)

    pieces = tuple(Piece(message.text, "user", "") for message in body.messages)
    return [Asked(pieces, request, told.time_limit_s, body.language or "", chat=True, alone=_alone(body, told))]


def asked_of_infill(served: Served, body: InfillRequest, told: ServeSettings) -> list[Asked]:
    """The request of an editor, with pieces of other files. One for no token at all warms the cache up.

    Raises:
        BurilError: T015.
    """
    if not capabilities(served.generator).fills:
        raise BurilError("T015")
    language = body.language or ""
    own = (Piece(body.input_prefix + body.prompt, "trusted", language), Piece(body.input_suffix, "trusted", language))
    others = tuple(Piece(extra.text, "third_party", "", extra.filename) for extra in body.input_extra)
    limit, alone = max(1, body.n_predict) if body.n_predict >= 0 else None, _alone(body, told)
    seconds = min(told.time_limit_s, (not alone and body.t_max_predict_ms / 1000) or told.time_limit_s)

    def request(texts: Sequence[str]) -> Request:
        asked = Request(
            texts[0], texts[1], max_tokens=min(limit or told.max_tokens, told.most_tokens),
            temperature=body.temperature, top_p=body.top_p, stop=tuple(filter(None, body.stop)),
            seed=max(0, body.seed or 0),
        )  # fmt: skip
        return steadied(asked, alone=alone, seeded=(body.seed or -1) >= 0)

    asked = Asked((*own, *others), request, seconds, language, fim=True, alone=alone)
    return [surrounded(served, body, asked, given=[extra.filename for extra in body.input_extra])]


def _alone(body: Coding, told: ServeSettings) -> bool:
    """Whether nothing else that is written may change the answer: the server says so, or the request asks for it."""
    return told.deterministic or bool(body.deterministic)


def _few(samples: int, told: ServeSettings) -> None:
    if samples > told.most_samples:
        raise BurilError("V006", samples=samples, most=told.most_samples)


def _sampled(request: Request, body: Sampling, limit: int | None, told: ServeSettings) -> Request:
    """A request as the body says that it be sampled."""
    from dataclasses import replace

    asked = replace(
        request, max_tokens=min(limit or told.max_tokens, told.most_tokens), temperature=body.temperature,
        top_p=body.top_p, stop=body.stops, seed=body.seed or 0, num_samples=body.n,
    )  # fmt: skip
    return steadied(asked, alone=_alone(body, told), seeded=body.seed is not None)
