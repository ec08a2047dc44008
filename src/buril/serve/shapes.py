"""Answers as the APIs tell them: whole, and in parts."""

from __future__ import annotations

import secrets
import time
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import Any

from buril.serve.answer import Answer, End, Piecemeal, Served


class Shape(ABC):
    """One API's form of answers."""

    done: str | None = None
    """What a stream ends with."""

    @abstractmethod
    async def whole(self, served: Served, answers: Sequence[Answer]) -> dict[str, Any]:
        """The answer in one."""

    @abstractmethod
    def stream(self, served: Served, answers: Sequence[Answer], body: Any) -> AsyncGenerator[dict[str, Any]]:
        """The answer in parts."""


class Choices(Shape):
    """OpenAI's form: an object with `choices`, one for each sample."""

    done = "[DONE]"
    prefix: str
    kind: str
    chunk: str

    async def whole(self, served: Served, answers: Sequence[Answer]) -> dict[str, Any]:
        """The answer in one."""
        texts: dict[int, str] = {}
        ends: dict[int, End] = {}
        async for index, part in together(answers):
            texts[index] = texts.get(index, "") + part.text
            if part.end:
                ends[index] = part.end
        choices = [self.choice(index, texts[index], ends[index]) for index in sorted(ends)]
        return {**self._head(served, self.kind), "choices": choices, "usage": usage(answers),
                "buril": told(served, [ends[index] for index in sorted(ends)])}  # fmt: skip

    async def stream(self, served: Served, answers: Sequence[Answer], body: Any) -> AsyncGenerator[dict[str, Any]]:
        """The answer in parts."""
        head = self._head(served, self.chunk)
        begun: set[int] = set()
        async for index, part in together(answers):
            if index not in begun:
                begun.add(index)
                for choice in self.opening(index):
                    yield {**head, "choices": [choice]}
            if part.text:
                yield {**head, "choices": [self.delta(index, part.text)]}
            if part.end:
                yield {**head, "choices": [self.closing(index, part.end)], "buril": told(served, [part.end])}
        if body.stream_options and body.stream_options.include_usage:
            yield {**head, "choices": [], "usage": usage(answers)}

    def _head(self, served: Served, kind: str) -> dict[str, Any]:
        return {"id": f"{self.prefix}-{secrets.token_hex(12)}", "object": kind, "created": int(time.time()),
                "model": served.name, "system_fingerprint": str(served.links.get("fingerprint", ""))}  # fmt: skip

    @abstractmethod
    def choice(self, index: int, text: str, end: End) -> dict[str, Any]:
        """A sample, whole."""

    @abstractmethod
    def delta(self, index: int, text: str) -> dict[str, Any]:
        """What is new of a sample."""

    @abstractmethod
    def closing(self, index: int, end: End) -> dict[str, Any]:
        """The last of a sample."""

    def opening(self, index: int) -> list[dict[str, Any]]:
        """What comes before the first of a sample."""
        del index
        return []


class CompletionShape(Choices):
    """`/v1/completions`."""

    prefix, kind, chunk = "cmpl", "text_completion", "text_completion"

    def choice(self, index: int, text: str, end: End) -> dict[str, Any]:
        """A sample, whole."""
        return {"index": index, "text": text, "finish_reason": end.finish_reason, "logprobs": None}

    def delta(self, index: int, text: str) -> dict[str, Any]:
        """What is new of a sample."""
        return {"index": index, "text": text, "finish_reason": None, "logprobs": None}

    def closing(self, index: int, end: End) -> dict[str, Any]:
        """The last of a sample."""
        return self.choice(index, "", end)


class ChatShape(Choices):
    """`/v1/chat/completions`."""

    prefix, kind, chunk = "chatcmpl", "chat.completion", "chat.completion.chunk"

    def choice(self, index: int, text: str, end: End) -> dict[str, Any]:
        """A sample, whole."""
        message = {"role": "assistant", "content": text, "refusal": None}
        return {"index": index, "message": message, "finish_reason": end.finish_reason, "logprobs": None}

    def delta(self, index: int, text: str) -> dict[str, Any]:
        """What is new of a sample."""
        return {"index": index, "delta": {"content": text}, "finish_reason": None, "logprobs": None}

    def closing(self, index: int, end: End) -> dict[str, Any]:
        """The last of a sample."""
        return {"index": index, "delta": {}, "finish_reason": end.finish_reason, "logprobs": None}

    def opening(self, index: int) -> list[dict[str, Any]]:
        """Who speaks."""
        delta = {"role": "assistant", "content": ""}
        return [{"index": index, "delta": delta, "finish_reason": None, "logprobs": None}]


class InfillShape(Shape):
    """llama.cpp's `/infill`."""

    async def whole(self, served: Served, answers: Sequence[Answer]) -> dict[str, Any]:
        """The answer in one."""
        text, end = "", None
        async for _index, part in together(answers):
            text, end = text + part.text, part.end or end
        return self._told(served, answers[0], text, end)

    async def stream(self, served: Served, answers: Sequence[Answer], body: Any) -> AsyncGenerator[dict[str, Any]]:
        """The answer in parts."""
        del body
        async for _index, part in together(answers):
            yield self._told(served, answers[0], part.text, part.end)

    def _told(self, served: Served, answer: Answer, text: str, end: End | None) -> dict[str, Any]:
        found: dict[str, Any] = {"content": text, "stop": end is not None}
        if end:
            kind = {"stop": "eos", "length": "limit"}.get(end.finish_reason, end.finish_reason)
            seconds = time.monotonic() - answer.came
            found |= {
                "model": served.name, "tokens_predicted": answer.num_tokens, "tokens_evaluated": answer.prompt_tokens,
                "tokens_cached": answer.cached_tokens, "truncated": False, "stop_type": kind, "stopping_word": "",
                "timings": {"prompt_n": answer.prompt_tokens, "predicted_n": answer.num_tokens,
                            "prompt_ms": 1000 * (answer.first_s or 0.0),
                            "predicted_ms": 1000 * (seconds - (answer.first_s or 0.0))},
                "buril": told(served, [end]),
            }  # fmt: skip
        return found


async def together(answers: Sequence[Answer]) -> AsyncGenerator[tuple[int, Piecemeal]]:
    """The parts of several answers, each with the number of its sample among all."""
    begin = 0
    for answer in answers:
        parts = answer.parts()
        try:
            async for part in parts:
                yield begin + part.sample, part
        finally:
            await parts.aclose()
        begin += answer.ticket.request.num_samples if answer.ticket else 0


def usage(answers: Sequence[Answer]) -> dict[str, Any]:
    """Tokens of prompts and answers."""
    prompt = sum(answer.prompt_tokens for answer in answers)
    written = sum(answer.num_tokens for answer in answers)
    cached = sum(answer.cached_tokens for answer in answers)
    return {"prompt_tokens": prompt, "completion_tokens": written, "total_tokens": prompt + written,
            "prompt_tokens_details": {"cached_tokens": cached}}  # fmt: skip


def told(served: Served, ends: Sequence[End]) -> Mapping[str, Any]:
    """What is known of an answer beside its text: the field `buril`."""
    return {
        "model": dict(served.links),
        "records": [end.kept.record_id for end in ends],
        "guards": [[item.record() for item in end.fired] for end in ends],
        "provenance": [list(end.kept.provenance) for end in ends],
        **({"watermark": {"key": served.watermark["key"]}} if served.watermark else {}),
        **({"context": [list(end.context) for end in ends]} if any(end.context for end in ends) else {}),
        **{name: value for end in ends for name, value in end.told.items()},
    }


COMPLETION, CHAT, INFILL = CompletionShape(), ChatShape(), InfillShape()
