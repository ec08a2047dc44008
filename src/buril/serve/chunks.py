"""Server-sent events of another server, read with bounds, and what each says of a text.

Bytes are cut into lines before they are decoded, so it does not matter where the wire cuts them.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any, NamedTuple

from buril.core.text import _
from buril.generators._generator import TokenLogprob

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
        told: what the server says of each new token, as it says it.
    """

    text: str = ""
    reason: str | None = None
    usage: tuple[int, int] | None = None
    logprobs: tuple[float, ...] | None = None
    told: Any = None


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
    told = choice.get("logprobs")
    return Chunk(text or "", choice.get("finish_reason"), counted, _logprobs(told), told)


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


def tokens_of(told: Any, number: int) -> list[TokenLogprob]:
    """The tokens of an event, each with `number` likeliest at most.

    vLLM names tokens by their texts, in which half a character is U+FFFD; llama.cpp tells their bytes.

    Raises:
        Odd: for another form.
    """
    if not told:
        return []
    try:
        return _listed(told, number) if told.get("token_logprobs") is not None else _with_bytes(told, number)
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError) as problem:
        raise Odd(_("the answer is not of the API's form")) from problem


def _listed(told: Any, number: int) -> list[TokenLogprob]:
    """Of vLLM's form."""
    tops = told.get("top_logprobs") or [None] * len(told["tokens"])
    found = []
    for token, logprob, top in zip(told["tokens"], told["token_logprobs"], tops, strict=True):
        others = sorted((top or {}).items(), key=lambda item: -float(item[1]))[:number]
        likely = tuple((_bytes(name), float(value)) for name, value in others)
        found.append(TokenLogprob(_bytes(token), None if logprob is None else float(logprob), likely))
    return found


def _with_bytes(told: Any, number: int) -> list[TokenLogprob]:
    return [_token(one, number) for one in told.get("content") or ()]


def _token(told: Any, number: int) -> TokenLogprob:
    """A token of llama.cpp's form."""
    top = tuple((_bytes_of(one), float(one["logprob"])) for one in (told.get("top_logprobs") or ())[:number])
    return TokenLogprob(_bytes_of(told), float(told["logprob"]), top)


def _bytes_of(told: Any) -> bytes:
    return bytes(told["bytes"]) if told.get("bytes") is not None else _bytes(told["token"])


def _bytes(token: Any) -> bytes:
    if not isinstance(token, str):
        raise TypeError
    return token.encode("utf-8", "replace")
