"""From what a client sends to what the model is asked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from buril.core.errors import BurilError
from buril.core.text import _
from buril.generators._generator import Request, capabilities, request_of_chat
from buril.serve.answer import Asked, Served
from buril.serve.echo import check_fits, check_known, ids_of
from buril.serve.guards import Piece
from buril.serve.surroundings import steadied, surrounded
from buril.serve.tooling import Tooling, refused

if TYPE_CHECKING:
    from buril.serve.chats import ChatRequest
    from buril.serve.schemas import Coding, CompletionRequest, InfillRequest, Sampling
    from buril.serve.settings import ServeSettings


def asked_of_completion(served: Served, body: CompletionRequest, told: ServeSettings) -> list[Asked]:
    """A request for each prompt.

    Raises:
        BurilError: V006 for more samples than are allowed, T015 for a suffix that the model can't mind, V060, V061.
    """
    prompts = body.prompts
    fim = bool(body.suffix)
    if fim and not capabilities(served.generator).fills:
        raise BurilError("T015")
    _few(body.n * len(prompts), told)
    check_able(served, body)
    return [_asked_of_prompt(served, body, prompt, told) for prompt in prompts]


def _asked_of_prompt(
    served: Served, body: CompletionRequest, prompt: str | Sequence[int], told: ServeSettings
) -> Asked:
    """The request of one prompt. Of ids the guards read the text; where they change it, its ids are made anew."""
    generator: Any = served.generator
    fim, language, echo = bool(body.suffix), body.language or "", bool(body.echo)
    by_ids = not isinstance(prompt, str)
    text = prompt if isinstance(prompt, str) else generator.loaded.encoder.decode(prompt)
    scores = echo and body.likeliest is not None

    def request(texts: Sequence[str]) -> Request:
        given: str | tuple[int, ...] = texts[0]
        if not isinstance(prompt, str) and texts[0] == text:
            given = tuple(prompt)
        elif scores:
            given = ids_of(generator, texts[0])
        made = _sampled(Request(given, texts[1] if fim else None), body, body.max_tokens, told)
        if scores:
            check_fits(generator, made)
        return made

    pieces = tuple(Piece(one, "trusted", language) for one in ([text, body.suffix or ""] if fim else [text]))
    asked = Asked(pieces, request, told.time_limit_s, language, fim=fim, alone=_alone(body, told))
    if echo:
        return replace(asked, echo="ids" if by_ids else "text")
    return surrounded(served, body, asked)


def asked_of_chat(served: Served, body: ChatRequest, told: ServeSettings) -> list[Asked]:
    """The request of a chat. What the assistant is said to have written was, for a guard, written by the user.

    Raises:
        BurilError: V006, T017 for a model without a template, V060, V061, V063.
    """
    if not capabilities(served.generator).chats:
        raise BurilError("T017")
    _few(body.n, told)
    check_able(served, body)
    tooling = Tooling(served.generator, body)

    def request(texts: Sequence[str]) -> Request:
        made = request_of_chat(served.generator, tooling.turns(texts), tooling.tools(texts))
        limit = body.max_completion_tokens or body.max_tokens
        return _sampled(replace(made, spelt=tooling.spelt, grammar=tooling.grammar(texts)), body, limit, told)

    alone = _alone(body, told)
    return [Asked(tooling.pieces, request, told.time_limit_s, body.language or "", chat=True, alone=alone,
                  calling=tooling.calling)]  # fmt: skip


def check_able(served: Served, body: Sampling) -> None:
    """Refuse what the engine can't do, rather than overlook it.

    Raises:
        BurilError: V060, V061 for ids that are no tokens.
    """
    generator: Any = served.generator
    can = capabilities(generator)
    prompts: Sequence[Any] = getattr(body, "prompts", ())
    by_ids = any(not isinstance(prompt, str) for prompt in prompts)
    if by_ids and not can.ids:
        raise refused(generator, "prompt", _("it takes texts alone, no token ids"))
    if body.likeliest is not None and not can.logprobs:
        raise refused(generator, "logprobs", _("it does not tell what each token was worth"))
    if getattr(body, "echo", None) and body.likeliest is not None:
        if not can.likeliest:
            raise refused(generator, "echo", _("it can't score a given text"))
        if served.adapter:
            raise refused(generator, "echo", _("a given text is scored by the base, and `model` names an adapter"))
    biases = {name: getattr(body, name) for name in ("presence_penalty", "frequency_penalty", "logit_bias")}
    if asked := next((name for name, value in biases.items() if value), None):
        if not can.biases:
            marks = _("it marks what it writes, and nothing else may lean on the choice of its tokens")
            raise refused(generator, asked, marks if served.watermark else _("nothing can be added to its logits"))
        check_known(generator, [token for token, _more in body.biases], "logit_bias")
    for prompt in prompts if by_ids else ():
        check_known(generator, prompt, "prompt")


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
    limit = told.max_tokens if limit is None else limit
    asked = replace(
        request, max_tokens=min(limit, told.most_tokens), temperature=body.temperature, top_p=body.top_p,
        stop=body.stops, seed=body.seed or 0, num_samples=body.n, logprobs=body.likeliest,
        presence_penalty=body.presence_penalty or 0.0, frequency_penalty=body.frequency_penalty or 0.0,
        logit_bias=body.biases,
    )  # fmt: skip
    return steadied(asked, alone=_alone(body, told), seeded=body.seed is not None)
