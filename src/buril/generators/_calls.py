"""Calls of functions in a model's answer: how its template shows that they are written, and how they are read.

A template that takes `tools` shows the model a form, and the model writes calls in that form. What is in no known form,
or names no function that was offered, is text.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, NamedTuple

from buril.generators._generator import begun


class Marks(NamedTuple):
    """What stands around the JSON of a call; a `closes` of "" ends with the JSON."""

    opens: str
    closes: str


class Form(NamedTuple):
    """How calls are written: JSON between `marks`.

    `shown` is what a template of this form holds, `never` what only templates of another form hold. `also` are marks
    that models write in their place though their template shows others. `bare`: an answer that is a call and nothing
    else may have no marks.
    """

    name: str
    marks: Marks
    shown: tuple[str, ...]
    never: tuple[str, ...] = ()
    also: tuple[Marks, ...] = ()
    bare: bool = False

    @property
    def markers(self) -> tuple[str, ...]:
        """What stands around a call."""
        return tuple(filter(None, self.marks))

    @property
    def all(self) -> tuple[Marks, ...]:
        """Whatever may stand around a call."""
        return (self.marks, *self.also)

    def begins_in(self, text: str) -> bool:
        """Whether anything in a text may be a call."""
        return any(marks.opens in text for marks in self.all) or (self.bare and _bare(text).may_be)


FENCE = Marks("```json", "```")
"""A block of JSON: how Qwen2.5-Coder writes calls, whose template shows tags."""
FORMS = (
    Form(
        "hermes",
        Marks("<tool_call>", "</tool_call>"),
        ("<tool_call>", "arguments"),
        ("<function=",),
        (FENCE,),
        bare=True,
    ),
    Form("mistral", Marks("[TOOL_CALLS]", ""), ("[TOOL_CALLS]",), ("[ARGS]", "[CALL_ID]")),
)
"""The known forms: of Hermes 2 Pro, Qwen2.5, Qwen3 and SmolLM2, and of Mistral 7B v0.3. Another is one more line."""
_TAKES = re.compile(r"\btools\b")


class Call(NamedTuple):
    """A call of a function."""

    name: str
    arguments: Mapping[str, Any]

    @property
    def told(self) -> str:
        """Its arguments as JSON, as OpenAI's API tells them."""
        return json.dumps(self.arguments, ensure_ascii=False)


class Part(NamedTuple):
    """A part of an answer, from one place to another: text, or calls."""

    start: int
    end: int
    text: str = ""
    calls: tuple[Call, ...] = ()


def form_of(tokenizer: Any) -> Form | None:
    """The form that the chat template of a tokenizer shows; None where it takes no tools, or shows no known form."""
    if not tokenizer.chat_template:
        return None
    template = str(tokenizer.get_chat_template(tools=[{}]))
    if not _TAKES.search(template):
        return None
    return next(
        (
            form
            for form in FORMS
            if all(part in template for part in form.shown) and not any(part in template for part in form.never)
        ),
        None,
    )


class Reader:
    """Reads an answer as it is written; what may still become a call waits.

    Args:
        form: of the calls.
        names: of the functions that may be called.
    """

    def __init__(self, form: Form, names: Collection[str]) -> None:
        self._form, self._names = form, names
        self._at = 0
        self._called = False

    def feed(self, text: str, *, ended: bool) -> list[Part]:
        """What is new of the whole text so far, in its order. White space beside a call is left out."""
        found: list[Part] = []
        bare = _bare(text) if self._form.bare and self._at == 0 else _NOT_BARE
        if bare.may_be and not ended:
            return []
        if bare.may_be and (calls := self._calls(bare.value)):
            self._at = len(text)
            return [Part(0, len(text), calls=calls)]
        while self._at < len(text):
            start, marks = self._next(text)
            if marks is None:
                waiting = begun(text[self._at :], [one.opens for one in self._form.all])
                most = len(text) if ended else len(text) - waiting
                self._say(found, text, most, settled=ended)
                break
            part = self._call(text, start, marks, ended=ended)
            if part is not None and not part.calls:
                self._say(found, text, part.end, settled=True)
                continue
            self._say(found, text, start, settled=False)
            if part is None:
                break
            found.append(part)
            self._at, self._called = part.end, True
        return found

    def _next(self, text: str) -> tuple[int, Marks | None]:
        """Where the next call may begin, and the marks that it has there."""
        places = [(text.find(marks.opens, self._at), marks) for marks in self._form.all]
        return min((item for item in places if item[0] >= 0), default=(-1, None), key=lambda item: item[0])

    def _say(self, found: list[Part], text: str, end: int, *, settled: bool) -> None:
        """Tell text up to a place; white space before it waits unless it is settled that no call follows."""
        said = text[self._at : end]
        said = said if settled else said.rstrip()
        end = self._at + len(said)
        said = said.lstrip() if self._called else said
        if said:
            found.append(Part(self._at, end, said))
            self._called = False
        self._at = end

    def _call(self, text: str, start: int, marks: Marks, *, ended: bool) -> Part | None:
        """What begins at a place: calls, or text that is none; None while that is open."""
        try:
            value, after = _DECODER.raw_decode(text, _past_space(text, start + len(marks.opens)))
        except (ValueError, RecursionError) as problem:
            goes_on = _goes_on(problem, text)
            limits = (start, start + len(marks.opens))
            return _no_call(text, limits, marks.closes, ended=ended, waits=goes_on)
        end = after
        if marks.closes:
            rest = text[_past_space(text, after) :]
            if marks.closes.startswith(rest):  # it stands there in part, or not at all
                if not ended and rest != marks.closes:
                    return None
                end = len(text)
            elif rest.startswith(marks.closes):
                end = len(text) - len(rest) + len(marks.closes)
            else:
                return _no_call(text, (start, after), marks.closes, ended=ended, waits=False)
        return Part(start, end, calls=self._calls(value))

    def _calls(self, value: Any) -> tuple[Call, ...]:
        """The calls of what was read; none where one of them is no call of a function that was offered."""
        found = [self._of(one) for one in (value if isinstance(value, list) else [value])]
        return tuple(call for call in found if call) if all(found) else ()

    def _of(self, told: Any) -> Call | None:
        if not isinstance(told, dict) or not isinstance(told.get("name"), str) or told["name"] not in self._names:
            return None
        arguments = told.get("arguments")
        if isinstance(arguments, str):
            try:
                arguments = _DECODER.decode(arguments)
            except (ValueError, RecursionError):
                return None
        return Call(told["name"], arguments) if isinstance(arguments, dict) else None


def _no_call(text: str, limits: tuple[int, int], closes: str, *, ended: bool, waits: bool) -> Part | None:
    """What is written as no call is, up to where it closes; None while that may still change.

    `limits` are where it began, and where its close is looked for.
    """
    start, after = limits
    close = text.find(closes, after) if closes else -1
    if close >= 0 and (ended or not waits):
        return Part(start, close + len(closes))
    return Part(start, len(text)) if ended else None


class _Bare(NamedTuple):
    """Whether a text may be a call without marks, and what it holds where it is whole."""

    may_be: bool
    value: Any = None


_NOT_BARE = _Bare(False)
_HEAD = '{"name"'


def _bare(text: str) -> _Bare:
    head = "".join(text[:80].split())[: len(_HEAD)]
    if not head or not _HEAD.startswith(head):
        return _NOT_BARE
    try:
        return _Bare(True, _DECODER.decode(text))
    except (ValueError, RecursionError) as problem:
        return _Bare(_goes_on(problem, text))


def _goes_on(problem: Exception, text: str) -> bool:
    """Whether what is no JSON may become some when more is written."""
    return "Unterminated" in str(problem) or getattr(problem, "pos", 0) >= len(text.rstrip())


def _refused(constant: str) -> Any:
    """`NaN` and `Infinity` are no JSON."""
    raise ValueError(constant)


_DECODER = json.JSONDecoder(parse_constant=_refused)


def _past_space(text: str, at: int) -> int:
    return len(text) - len(text[at:].lstrip())


def written(form: Form, calls: Sequence[Call]) -> str:
    """Calls as the model would write them."""
    bodies = [json.dumps({"name": call.name, "arguments": call.arguments}, ensure_ascii=False) for call in calls]
    opens, closes = form.marks
    if closes:
        return "\n".join(f"{opens}\n{body}\n{closes}" for body in bodies)
    return f"{opens}[{', '.join(bodies)}]"


def open_at(text: str, form: Form) -> int:
    """Where a text begins that may be a call which is still being written; the text's length where none is."""
    starts = [(text.rfind(marks.opens), marks) for marks in form.all]
    if form.bare and _bare(text).may_be:
        return 0
    still = [at for at, (opens, closes) in starts if at >= 0 and not (closes and closes in text[at + len(opens) :])]
    return min(still, default=len(text))


def strings(value: Any) -> list[str]:
    """The texts in a JSON value, in their order, names of members too."""
    if isinstance(value, str):
        return [value]
    if isinstance(value, Mapping):
        return [text for name, one in value.items() for text in (str(name), *strings(one))]
    return [text for one in value for text in strings(one)] if isinstance(value, list | tuple) else []


def mapped(value: Any, change: Callable[[str], str]) -> Any:
    """A JSON value with its texts changed, names of members too."""
    if isinstance(value, str):
        return change(value)
    if isinstance(value, Mapping):
        return {change(str(name)): mapped(one, change) for name, one in value.items()}
    return [mapped(one, change) for one in value] if isinstance(value, list | tuple) else value
