"""What clients send, as OpenAI's API names it; what can't be honoured is refused rather than overlooked.

Fields that are not named here are ignored: clients add their own. Those of the API that would change an answer and that
no engine here knows are named, and refused where they ask for more than their default.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    model_validator,
)

Text = Annotated[str, StringConstraints(max_length=4_000_000)]
NEUTRAL: dict[str, tuple[Any, ...]] = {
    "logprobs": (None, False, 0), "top_logprobs": (None, 0), "echo": (None, False), "logit_bias": (None, {}),
    "presence_penalty": (None, 0), "frequency_penalty": (None, 0), "tools": (None, []), "functions": (None, []),
    "tool_choice": (None, "none", "auto"), "function_call": (None, "none", "auto"),
    "parallel_tool_calls": (None, True), "response_format": (None, {"type": "text"}), "modalities": (None, ["text"]),
    "audio": (None,), "prediction": (None,),
}  # fmt: skip
"""Fields of OpenAI's API with the values at which they change nothing. Where a request has no field of this name, any
other value can't be honoured."""
BIAS, PENALTY = 100.0, 2.0
"""What the API lets be added to a logit, and what a penalty may be, at most."""


def _unless_false(given: Any) -> Any:
    """Some clients say `false` where none are asked for."""
    if given is True:
        raise ValueError("a number, from 0 to 5")
    return None if given is False else given


Ids = Annotated[list[Annotated[int, Field(ge=0, le=2**31 - 1, strict=True)]], Field(min_length=1)]
TokenId = Annotated[str, StringConstraints(pattern=r"^[0-9]{1,9}$")]


class Lenient(BaseModel):
    """What a client sends: fields that are not known are ignored, those that can't be honoured are refused."""

    model_config = ConfigDict(extra="ignore", allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _honoured(cls, given: Any) -> Any:
        if isinstance(given, dict):
            for name, values in NEUTRAL.items():
                if name not in cls.model_fields and name in given and given[name] not in values:
                    raise ValueError(f"{name}: this server has only {values[-1]!r} for it")
        return given


class TypingHint(BaseModel):
    """How the user types, for `buril.wait_ms` of the answer; an extension of this server."""

    model_config = ConfigDict(extra="ignore", allow_inf_nan=False)
    gaps_ms: Annotated[list[Annotated[float, Field(ge=0, le=1e7)]], Field(max_length=64)] = []
    """Milliseconds between the last keys, the latest last."""
    last: str = Field("", max_length=8)
    """The character typed last; "" where the cursor was moved."""
    latency_ms: float | None = Field(None, ge=0, le=1e7)
    """What an answer takes as the client sees it; None takes what the server's last ones took."""


class Coding(Lenient):
    """What a request says of the place that it is for: extensions of this server."""

    file: str | None = Field(None, max_length=4096)
    """Of the cursor: its path in the repository, or in the client's file system, or its URI."""
    repository: str | None = Field(None, max_length=200)
    """The name that the server knows its repository by."""
    finish: bool | None = None
    """Whether a completion ends where it is complete, and is mended; by default where its language is known. Chats are
    never finished."""
    typing: TypingHint | None = None
    deterministic: bool | None = None
    """The same request gives the same text, whatever else is being written; it is computed by itself."""
    metadata: dict[str, Any] | None = Field(None, max_length=64)
    """OpenAI's: here `file` and `repository` may stand as well, for clients that can send no other fields."""

    def named(self, name: Literal["file", "repository"]) -> str:
        """The file or the repository, wherever it stands; "" where it does not."""
        found = getattr(self, name) or (self.metadata or {}).get(name)
        return found[:4096] if isinstance(found, str) else ""


class StreamOptions(BaseModel):
    """`stream_options`."""

    model_config = ConfigDict(extra="ignore")
    include_usage: bool = False


class Sampling(Coding):
    """What both kinds of completion are told."""

    model: str = Field("", max_length=512)
    """The served model's name; empty takes it."""
    temperature: float = Field(0.0, ge=0, le=2)
    """0 takes the likeliest token: the default here, as code is asked for."""
    top_p: float = Field(1.0, gt=0, le=1)
    n: int = Field(1, ge=1, le=64)
    stop: (
        Annotated[str, StringConstraints(max_length=1000)]
        | list[Annotated[str, StringConstraints(max_length=1000)]]
        | None
    ) = Field(None, json_schema_extra={"maxItems": 16})
    seed: int | None = Field(None, ge=0, lt=2**63)
    stream: bool = False
    stream_options: StreamOptions | None = None
    user: str | None = Field(None, max_length=512)
    language: str | None = Field(None, max_length=40)
    """Language of the code, for guards and for `finish`; by default that of `file`. An extension of this server."""
    presence_penalty: float | None = Field(None, ge=-PENALTY, le=PENALTY)
    """Taken off the logits of tokens that the answer has already."""
    frequency_penalty: float | None = Field(None, ge=-PENALTY, le=PENALTY)
    """The same, as often as the answer has them."""
    logit_bias: dict[TokenId, Annotated[float, Field(ge=-BIAS, le=BIAS)]] | None = Field(None, max_length=1024)
    """What is added to the logits of tokens, by their ids in the model's tokenizer."""

    @property
    def likeliest(self) -> int | None:
        """How many of the likeliest tokens are told beside each; None where no log-probabilities are asked for."""
        raise NotImplementedError

    @property
    def biases(self) -> tuple[tuple[int, float], ...]:
        """`logit_bias`, by the ids of tokens."""
        return tuple((int(token), more) for token, more in (self.logit_bias or {}).items())

    @property
    def stops(self) -> tuple[str, ...]:
        """The stop strings, empty ones left out."""
        given = [self.stop] if isinstance(self.stop, str) else self.stop or []
        return tuple(stop for stop in given if stop)

    @model_validator(mode="after")
    def _few_stops(self) -> Sampling:
        if len(self.stops) > 16:
            raise ValueError("stop: at most 16 strings")
        return self


class CompletionRequest(Sampling):
    """`POST /v1/completions`."""

    prompt: (
        Text
        | Annotated[list[Text], Field(min_length=1, max_length=16)]
        | Ids
        | Annotated[list[Ids], Field(min_length=1, max_length=16)]
    ) = ""
    """Text, or ids of the model's tokens; one or several."""
    suffix: Text | None = None
    """What follows the hole: fill in the middle."""
    max_tokens: int | None = Field(None, ge=0)
    """0 writes nothing, which is of use with `echo` alone."""
    best_of: int | None = Field(None, ge=1, le=1)
    logprobs: Annotated[int | None, BeforeValidator(_unless_false)] = Field(None, ge=0, le=5)
    """Tells each token's log-probability, and so many of the likeliest in its place."""
    echo: bool | None = None
    """The answer begins with the prompt, whose log-probabilities are told as well."""

    @property
    def likeliest(self) -> int | None:
        """How many of the likeliest tokens are told beside each; None where no log-probabilities are asked for."""
        return self.logprobs

    @property
    def prompts(self) -> list[str] | list[list[int]]:
        """The prompts, each as it was given."""
        given: Any = self.prompt
        return given if isinstance(given, list) and not isinstance(given[0], int) else [given]

    @model_validator(mode="after")
    def _echoes(self) -> CompletionRequest:
        if self.echo and (self.suffix or self.finish or self.named("file") or self.named("repository")):
            raise ValueError("echo: it goes with no `suffix`, `finish`, `file` or `repository`")
        if self.max_tokens == 0 and not self.echo:
            raise ValueError("max_tokens: 0 goes with `echo` alone")
        return self


class Extra(BaseModel):
    """A piece of another file: `input_extra` of llama.cpp's `/infill`."""

    model_config = ConfigDict(extra="ignore")
    text: Text
    filename: str = Field("", max_length=4096)


class InfillRequest(Coding):
    """`POST /infill`, as llama.cpp's server has it: what editors' plugins send."""

    model: str = Field("", max_length=512)
    input_prefix: Text = ""
    input_suffix: Text = ""
    input_extra: Annotated[list[Extra], Field(max_length=256)] = []
    prompt: Text = ""
    n_predict: int = Field(128, ge=-1)
    temperature: float = Field(0.0, ge=0, le=2)
    top_p: float = Field(1.0, gt=0, le=1)
    seed: int | None = Field(None, ge=-1, lt=2**63)
    stop: Annotated[list[Annotated[str, StringConstraints(max_length=1000)]], Field(max_length=16)] = []
    stream: bool = False
    t_max_predict_ms: int = Field(0, ge=0)
    """Milliseconds after which it ends where it is; 0 leaves the server's own limit."""
    language: str | None = Field(None, max_length=40)


class EventRequest(BaseModel):
    """`POST /v1/events`: what became of a completion in an editor."""

    model_config = ConfigDict(extra="ignore")
    id: str = Field(pattern=r"^[0-9a-f]{12}$")
    """Of its record: `buril.records` of the answer."""
    event: Literal["shown", "accepted", "partial", "rejected", "persisted"]
    language: str = Field("", max_length=40)
    chars: int = Field(0, ge=0, lt=2**31)
    """Characters that were taken."""
    lines: int = Field(0, ge=0, lt=2**31)
