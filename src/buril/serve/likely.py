"""Log-probabilities as they are told: those of the tokens of the text that is sent, and of no other.

What an engine writes and what is sent may differ: a stop string or the end of a block cuts the text, closing brackets
are put behind it, a guard changes it. Tokens are told as far as the text that is sent is theirs, letter for letter. One
that is cut is told as far as it was sent, without what else was likely there; behind the first change nothing is told.
"""

from __future__ import annotations

import codecs
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from buril.generators._generator import TokenLogprob

LEAST = -9999.0
"""What OpenAI's API tells of what can't be: JSON has no infinity."""


class Sent(NamedTuple):
    """A token as it is told.

    Attributes:
        token: its bytes, as far as they were sent.
        logprob: None for the first of a text.
        top: the likeliest in its place; None where they are not told.
        offset: characters of the text before it.
    """

    token: bytes
    logprob: float | None
    top: tuple[tuple[bytes, float], ...] | None
    offset: int


class _Group(NamedTuple):
    """Tokens that make whole characters together, mostly one, and these."""

    tokens: tuple[TokenLogprob, ...]
    text: str


class Following:
    """Follows a text on its way with the tokens that were written.

    Args:
        tokens: gives those of the sample so far.
        begin: characters that stand before it.
        ends: whether the token by which a model ends a text is told too.
    """

    def __init__(self, tokens: Callable[[], Sequence[TokenLogprob]], *, begin: int = 0, ends: bool = False) -> None:
        self._tokens, self._begin, self._ends = tokens, begin, ends
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._read = self._at = 0
        self._open: list[TokenLogprob] = []
        self._groups: list[_Group] = []
        self._lost = False

    def upto(self, shown: str, *, ended: bool, by_model: bool = False) -> tuple[Sent, ...]:
        """What is new of the tokens of all that was sent so far; `by_model`: it is the model that ended it."""
        self._group(ended=ended)
        found: list[Sent] = []
        while self._groups and not self._lost:
            group = self._groups[0]
            text = self._fitting(group.text, shown)
            left = shown[self._at : self._at + len(text)]
            if left == text:
                found += [Sent(one.text, one.logprob, one.top, self._begin + self._at) for one in group.tokens]
                self._groups.pop(0)
                self._at += len(text)
            elif text.startswith(left) and not ended:
                break
            else:
                found += self._cut(group, text, left)
                self._lost = True
        if ended and by_model and self._ends and not self._lost and self._at == len(shown):
            found += self._end()
        return tuple(found)

    def _group(self, *, ended: bool) -> None:
        """Put the tokens together that make whole characters."""
        for token in self._tokens()[self._read :]:
            self._read += 1
            if not token.text:  # it adds nothing: a control token
                continue
            self._open.append(token)
            self._close(self._decoder.decode(token.text))
        if ended:
            self._close(self._decoder.decode(b"", final=True))

    def _close(self, text: str) -> None:
        if text:
            self._groups.append(_Group(tuple(self._open), text))
            self._open = []

    def _fitting(self, text: str, shown: str) -> str:
        """A group's text; decoders of the SentencePiece kind drop the first space of a text."""
        drops = not self._at and text[:1] == " " and shown[:1] not in ("", " ")
        return text[1:] if drops else text

    def _cut(self, group: _Group, text: str, left: str) -> list[Sent]:
        """A token that was sent in part."""
        size = next((at for at, (one, other) in enumerate(zip(text, left, strict=False)) if one != other), len(left))
        if not size or len(group.tokens) > 1:
            return []
        return [Sent(text[:size].encode("utf-8", "replace"), group.tokens[0].logprob, None, self._begin + self._at)]

    def _end(self) -> list[Sent]:
        """The token that ended the text, where one did."""
        tokens = self._tokens()
        if not tokens or tokens[-1].text:
            return []
        last = tokens[-1]
        return [Sent(last.spelt, last.logprob, last.top, self._begin + self._at)]


def of_prompt(tokens: Sequence[TokenLogprob]) -> tuple[Sent, ...]:
    """The tokens of a prompt that is sent back."""
    decoder, found, at = codecs.getincrementaldecoder("utf-8")("replace"), [], 0
    for token in tokens:
        found.append(Sent(token.spelt, token.logprob, token.top if token.logprob is not None else None, at))
        at += len(decoder.decode(token.text))
    return tuple(found)


def of_completion(sent: Sequence[Sent]) -> dict[str, Any]:
    """As `/v1/completions` tells them."""
    return {
        "tokens": [_name(one.token) for one in sent],
        "token_logprobs": [None if one.logprob is None else _told(one.logprob) for one in sent],
        "top_logprobs": [_by_name(one) for one in sent],
        "text_offset": [one.offset for one in sent],
    }


def of_chat(sent: Sequence[Sent]) -> dict[str, Any]:
    """As `/v1/chat/completions` tells them."""

    def entry(token: bytes, logprob: float | None) -> dict[str, Any]:
        told = LEAST if logprob is None else _told(logprob)
        return {"token": _name(token, ""), "logprob": told, "bytes": list(token)}

    content = [
        {**entry(one.token, one.logprob), "top_logprobs": [entry(*other) for other in one.top or ()]} for one in sent
    ]
    return {"content": content, "refusal": None}


def _by_name(one: Sent) -> dict[str, float] | None:
    """The likeliest by their names, and the token that came."""
    if one.top is None or one.logprob is None:
        return None
    found: dict[str, float] = {}
    for token, logprob in (*one.top, (one.token, one.logprob)):
        found.setdefault(_name(token), _told(logprob))
    return found


def _told(logprob: float) -> float:
    return max(logprob, LEAST)


def _name(token: bytes, head: str = "bytes:") -> str:
    """A token as text; one that is no whole character by its bytes."""
    try:
        return token.decode()
    except UnicodeDecodeError:
        return head + "".join(f"\\x{byte:02x}" for byte in token)
