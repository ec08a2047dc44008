"""What clients send of a chat: messages, the functions that may be called, and the form of the answer."""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, Field, model_validator

from buril.serve.schemas import Sampling, Text

DEPTH = 64
"""How deep the schema of a function, and what it is called with, may be nested."""


def _flat(given: Any, depth: int = 0) -> Any:
    """A JSON value that is not nested without end."""
    if depth > DEPTH:
        raise ValueError(f"nested deeper than {DEPTH}")
    for one in given.values() if isinstance(given, dict) else given if isinstance(given, list) else ():
        _flat(one, depth + 1)
    return given


def _object(given: str) -> str:
    """JSON of an object."""
    try:
        found = json.loads(given)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(_flat(found), dict):
        raise ValueError("no JSON object")  # noqa: TRY004 (pydantic tells the client of a ValueError alone)
    return given


class Part(BaseModel):
    """A part of a message; text is the only kind."""

    type: Literal["text"]
    text: Text


class Function(BaseModel):
    """A function that a model may call."""

    name: str = Field(pattern=r"^[a-zA-Z0-9_-]{1,64}$")
    description: str | None = Field(None, max_length=100_000)
    parameters: Annotated[dict[str, Any], AfterValidator(_flat)] | None = None
    """JSON Schema of its arguments."""
    strict: bool | None = None


class Tool(BaseModel):
    """A tool; functions are the only kind."""

    type: Literal["function"]
    function: Function


class Named(BaseModel):
    """A function, by its name."""

    name: str = Field(max_length=64)


class NamedTool(BaseModel):
    """The tool that a model is to call."""

    type: Literal["function"]
    function: Named


class Called(BaseModel):
    """A function that was called, with its arguments as JSON."""

    name: str = Field(pattern=r"^[a-zA-Z0-9_-]{1,64}$")
    arguments: Annotated[Text, AfterValidator(_object)]


class ToolCall(BaseModel):
    """A call, as an answer told it."""

    id: str = Field("", max_length=200)
    type: Literal["function"] = "function"
    function: Called


class Message(BaseModel):
    """A message of a chat."""

    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: Text | list[Part] | None = None
    """May be left out of a message of the assistant with calls."""
    tool_calls: Annotated[list[ToolCall], Field(max_length=128)] | None = None
    """What the assistant called."""
    tool_call_id: str | None = Field(None, max_length=200)
    """The call that a message of the role `tool` answers."""

    @property
    def text(self) -> str:
        """Its parts in one."""
        given = self.content or ""
        return given if isinstance(given, str) else "".join(part.text for part in given)

    @model_validator(mode="after")
    def _whole(self) -> Message:
        if self.content is None and not (self.role == "assistant" and self.tool_calls):
            raise ValueError("content: only a message of the assistant with `tool_calls` has none")
        if self.tool_calls and self.role != "assistant":
            raise ValueError("tool_calls: they are the assistant's")
        if (self.role == "tool") != (self.tool_call_id is not None):
            raise ValueError("tool_call_id: messages of the role `tool` have it, and no others")
        return self


class OfKind(BaseModel):
    """An answer that is any text, or any JSON object."""

    type: Literal["text", "json_object"]


class Schema(BaseModel):
    """A JSON Schema with its name."""

    name: str = Field("", max_length=64)
    description: str | None = Field(None, max_length=100_000)
    told: Annotated[dict[str, Any], AfterValidator(_flat)] = Field({}, alias="schema")
    strict: bool | None = None
    """Whether what can't be followed of the schema is refused; else it is left out of account."""


class OfSchema(BaseModel):
    """An answer that is JSON of a schema."""

    type: Literal["json_schema"]
    json_schema: Schema


class ChatRequest(Sampling):
    """`POST /v1/chat/completions`."""

    messages: Annotated[list[Message], Field(min_length=1, max_length=256)]
    max_tokens: int | None = Field(None, ge=1)
    max_completion_tokens: int | None = Field(None, ge=1)
    logprobs: bool | None = None
    """Tells each token's log-probability."""
    top_logprobs: int | None = Field(None, ge=0, le=20)
    """How many of the likeliest are told in a token's place; goes with `logprobs`."""
    tools: Annotated[list[Tool], Field(max_length=128)] | None = None
    """Functions that the model may call."""
    tool_choice: Literal["none", "auto", "required"] | NamedTool | None = None
    """`auto` leaves it to the model; with `required`, or a function's name, the answer is a call."""
    parallel_tool_calls: bool | None = None
    """Whether an answer may hold several calls; None: where the model calls of itself, not where it must."""
    response_format: Annotated[OfKind | OfSchema, Field(discriminator="type")] | None = None
    """What form an answer has that is no call."""

    @property
    def likeliest(self) -> int | None:
        """How many of the likeliest tokens are told beside each; None where no log-probabilities are asked for."""
        return (self.top_logprobs or 0) if self.logprobs else None

    @property
    def offered(self) -> list[Tool]:
        """The functions that the model is told of."""
        return [] if self.tool_choice == "none" else self.tools or []

    @property
    def callable(self) -> list[Tool]:
        """Those of them that may be called."""
        chosen = self.tool_choice.function.name if isinstance(self.tool_choice, NamedTool) else None
        return [tool for tool in self.offered if chosen in (None, tool.function.name)]

    @property
    def must_call(self) -> bool:
        """Whether the answer is a call whatever else the model would write."""
        return self.tool_choice == "required" or isinstance(self.tool_choice, NamedTool)

    @property
    def wanted(self) -> Schema | None:
        """The schema of an answer that is no call; None where it may be any text."""
        asked = self.response_format
        if isinstance(asked, OfSchema):
            return asked.json_schema
        return Schema.model_validate({"schema": {"type": "object"}}) if asked and asked.type == "json_object" else None

    @model_validator(mode="after")
    def _goes_together(self) -> ChatRequest:
        if self.top_logprobs is not None and not self.logprobs:
            raise ValueError("top_logprobs: it goes with `logprobs: true`")
        if self.tool_choice not in (None, "none", "auto") and not self.callable:
            raise ValueError("tool_choice: it names no function of `tools`")
        if self.logprobs and self.offered:
            raise ValueError("logprobs: they are not told of an answer that may be a call of `tools`")
        return self
