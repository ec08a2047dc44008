"""Echo: an answer that begins with its prompt, and what is told of the prompt's tokens.

So log-likelihoods of given texts are asked for (lm-evaluation-harness, `local-completions`): the prompt is scored whole
or refused, and its tokens are those that the model is given.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from buril.core.errors import BurilError
from buril.serve.likely import Sent, of_prompt
from buril.serve.surroundings import SENTINELS, tokens_of
from buril.serve.waiting import within
from buril.serve.writing import Busy

if TYPE_CHECKING:
    from buril.generators._generator import Request
    from buril.serve.answer import Asked, Served


class Echo(NamedTuple):
    """A prompt that is sent back; `tokens` are None where none are told."""

    text: str
    tokens: tuple[Sent, ...] | None


async def echoed(served: Served, asked: Asked, request: Request, text: str) -> Echo:
    """A prompt with what is told of its tokens, where that is asked for; its ids are in the request then.

    Raises:
        Busy: the engine did not come to it in time.
        BurilError: what the engine raises.
    """
    if request.logprobs is None:
        return Echo(text, None)
    assert not isinstance(request.prompt, str), "a prompt that is scored is made of ids"
    generator: Any = served.generator  # one that says `likeliest` in its capabilities runs here
    engine: Any = served.engine
    ids, bos = request.prompt, generator.loaded.fim["bos"]
    if not ids:
        return Echo(text, ())
    score = partial(generator.likeliest, ids, request.logprobs)
    try:
        found = await within(engine.scored(score), asked.time_limit_s)
    except asyncio.TimeoutError:
        raise Busy(engine.wait_s()) from None
    if asked.echo == "text" and ids[0] == bos:  # no token of the text: the next is its first
        found = [one._replace(logprob=None, top=()) for one in found[1:2]] + found[2:]
    return Echo(text, of_prompt(found))


def ids_of(generator: Any, text: str) -> tuple[int, ...]:
    """The ids of a text as a prompt."""
    bos = generator.loaded.fim["bos"]
    return (*([] if bos is None else [bos]), *generator.encode(text))


def check_fits(generator: Any, request: Request) -> None:
    """Refuse a prompt of which the engine would leave a part out.

    Raises:
        BurilError: V062.
    """
    tokens = tokens_of(generator, 0)
    assert tokens is not None and not isinstance(request.prompt, str)
    most = tokens.max_positions - request.max_tokens - SENTINELS
    if len(request.prompt) > most:
        raise BurilError("V062", tokens=len(request.prompt), most=max(0, most))


def check_known(generator: Any, ids: Sequence[int], field: str) -> None:
    """Refuse ids that are no tokens.

    Raises:
        BurilError: V061.
    """
    size = generator.loaded.encoder.num_ids
    unknown = next((token for token in ids if token >= size), None)
    if unknown is not None:
        raise BurilError("V061", field=field, token=unknown, last=size - 1)
