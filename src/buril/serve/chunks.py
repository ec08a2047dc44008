"""Server-sent events of another server, read with bounds, and what each says of a text.

Bytes are cut into lines before they are decoded, so it does not matter where the wire cuts them.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any, NamedTuple

from buril.core.text import _

LINE_BYTES = 1 << 20
"""Size of a line at most: a token with its probabilities takes a few hundred bytes."""
STREAM_BYTES = 64 << 20
"""Size of a stream at most."""
DONE = b"[DONE]"


class Odd(Exception):
    """What came is not of the API."""


class Chunk(NamedTuple):
    """What an event says: the new text, why it ended, and what the server has counted.

    Attributes:
        usage: tokens of the prompt and of the answer so far.
        logprobs: the log-probability of each new token.
    """

    text: str = ""
    reason: str | None = None
    usage: tuple[int, int] | None = None
    logprobs: tuple[float, ...] | None = None


async def events(parts: AsyncIterator[bytes]) -> AsyncIterator[Chunk]:
    """The events of a stream, up to `[DONE]` or the end of the wire.

    Raises:
        Odd: for what is too large, no JSON, of another form, or an error that the server tells.
    """
    held, read = b"", 0
    async for part in parts:
        read += len(part)
        *lines, held = (held + part).split(b"\n")
        if len(held) > LINE_BYTES or read > STREAM_BYTES:
            raise Odd(_("the answer is too large"))
        for line in lines:
            if not line.startswith(b"data:"):  # a comment, a name, the blank line between two
                continue
            data = line[5:].strip()
            if data == DONE:
                return
            yield _chunk(data)


def _chunk(data: bytes) -> Chunk:
    try:
        told = json.loads(data)
        if told.get("error"):
            error = told["error"]
            raise Odd(str(error.get("message", error) if isinstance(error, dict) else error))
        return _of_infill(told) if "content" in told and "choices" not in told else _of_choices(told)
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError) as problem:
        raise Odd(_("the answer is not of the API's form")) from problem


def _of_choices(told: dict[str, Any]) -> Chunk:
    usage = told.get("usage")
    counted = (int(usage.get("prompt_tokens") or 0), int(usage.get("completion_tokens") or 0)) if usage else None
    if not told["choices"]:
        return Chunk(usage=counted)
    choice = told["choices"][0]
    text = choice["delta"].get("content") if "delta" in choice else choice["text"]
    if not isinstance(text, str | None):
        raise TypeError
    return Chunk(text or "", choice.get("finish_reason"), counted, _logprobs(choice.get("logprobs")))


def _of_infill(told: dict[str, Any]) -> Chunk:
    """llama.cpp's `/infill`."""
    text = told["content"]
    if not isinstance(text, str):
        raise TypeError
    if not told.get("stop"):
        return Chunk(text)
    reason = "length" if told.get("stop_type") == "limit" else "stop"
    return Chunk(text, reason, (int(told.get("tokens_evaluated") or 0), int(told.get("tokens_predicted") or 0)))


def _logprobs(told: Any) -> tuple[float, ...] | None:
    """Those of the tokens of an event: vLLM lists them by themselves, llama.cpp with their tokens."""
    if not told:
        return None
    if told.get("token_logprobs") is not None:
        return tuple(float(one) for one in told["token_logprobs"] if one is not None)
    return tuple(float(one["logprob"]) for one in told.get("content") or ())
