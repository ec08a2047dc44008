"""Answers as the APIs tell them: whole, and in parts."""

from __future__ import annotations

import secrets
import time
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import Any

from buril.generators._calls import Call
from buril.serve.answer import Answer, End, Piecemeal, Served
from buril.serve.likely import of_chat, of_completion


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
        found: dict[int, Piecemeal] = {}
        async for index, part in together(answers):
            found[index] = _joined(found[index], part) if index in found else part
        ends = [(index, part.end) for index, part in sorted(found.items()) if part.end]
        choices = [self.choice(index, found[index], end) for index, end in ends]
        return {**self._head(served, self.kind), "choices": choices, "usage": usage(answers),
                "buril": told(served, [end for _index, end in ends])}  # fmt: skip

    async def stream(self, served: Served, answers: Sequence[Answer], body: Any) -> AsyncGenerator[dict[str, Any]]:
        """The answer in parts."""
        head = self._head(served, self.chunk)
        called: dict[int, int] = {}
        async for index, part in together(answers):
            if index not in called:
                called[index] = 0
                for choice in self.opening(index):
                    yield {**head, "choices": [choice]}
            if part.text or part.calls or part.tokens:
                yield {**head, "choices": [self.delta(index, part, called[index])]}
                called[index] += len(part.calls)
            if part.end:
                yield {**head, "choices": [self.closing(index, part.end)], "buril": told(served, [part.end])}
        if body.stream_options and body.stream_options.include_usage:
            yield {**head, "choices": [], "usage": usage(answers)}

    def _head(self, served: Served, kind: str) -> dict[str, Any]:
        return {"id": f"{self.prefix}-{secrets.token_hex(12)}", "object": kind, "created": int(time.time()),
                "model": served.name, "system_fingerprint": str(served.links.get("fingerprint", ""))}  # fmt: skip

    @abstractmethod
    def choice(self, index: int, part: Piecemeal, end: End) -> dict[str, Any]:
        """A sample, whole."""

    @abstractmethod
    def delta(self, index: int, part: Piecemeal, called: int) -> dict[str, Any]:
        """What is new of a sample, which had so many calls before."""

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

    def choice(self, index: int, part: Piecemeal, end: End) -> dict[str, Any]:
        """A sample, whole."""
        return {**self.delta(index, part, 0), "finish_reason": end.finish_reason}

    def delta(self, index: int, part: Piecemeal, called: int) -> dict[str, Any]:
        """What is new of a sample."""
        del called
        likely = None if part.tokens is None else of_completion(part.tokens)
        return {"index": index, "text": part.text, "finish_reason": None, "logprobs": likely}

    def closing(self, index: int, end: End) -> dict[str, Any]:
        """The last of a sample."""
        return {"index": index, "text": "", "finish_reason": end.finish_reason, "logprobs": None}


class ChatShape(Choices):
    """`/v1/chat/completions`."""

    prefix, kind, chunk = "chatcmpl", "chat.completion", "chat.completion.chunk"

    def choice(self, index: int, part: Piecemeal, end: End) -> dict[str, Any]:
        """A sample, whole."""
        calls = {"tool_calls": [_call(call) for call in part.calls]} if part.calls else {}
        content = None if part.calls and not part.text else part.text
        message = {"role": "assistant", "content": content, "refusal": None, **calls}
        likely = None if part.tokens is None else of_chat(part.tokens)
        return {"index": index, "message": message, "finish_reason": end.finish_reason, "logprobs": likely}

    def delta(self, index: int, part: Piecemeal, called: int) -> dict[str, Any]:
        """What is new of a sample."""
        calls = [{"index": called + number, **_call(call)} for number, call in enumerate(part.calls)]
        delta: dict[str, Any] = {"tool_calls": calls} if calls else {}
        if part.text or not calls:
            delta["content"] = part.text
        likely = None if part.tokens is None else of_chat(part.tokens)
        return {"index": index, "delta": delta, "finish_reason": None, "logprobs": likely}

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


def _joined(one: Piecemeal, more: Piecemeal) -> Piecemeal:
    """What came of a sample, and what is new of it."""
    tokens = None if one.tokens is None and more.tokens is None else (*(one.tokens or ()), *(more.tokens or ()))
    return Piecemeal(one.sample, one.text + more.text, more.end, (*one.calls, *more.calls), tokens)


def _call(call: Call) -> dict[str, Any]:
    """A call of a function, with an id by which its result is told."""
    function = {"name": call.name, "arguments": call.told}
    return {"id": f"call_{secrets.token_hex(12)}", "type": "function", "function": function}


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
