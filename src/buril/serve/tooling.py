"""The form of a chat's answer: its tools, what guards read and the model is told of them, and what it is held to."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from buril.core.errors import BurilError
from buril.core.text import _
from buril.generators._calls import form_of
from buril.generators._generator import capabilities
from buril.generators._grammars import OBJECT, Calls, Function, Schema, of_calls, of_json
from buril.serve.guards import Piece
from buril.serve.outgoing import Calling

if TYPE_CHECKING:
    from buril.serve.chats import ChatRequest, Message


class Tooling:
    """The tools of a request, and its messages.

    Args:
        generator: that answers.
        body: the request.

    Raises:
        BurilError: V060 where another server renders chats, or an engine can't hold an answer to a schema, V063 for a
            model whose template takes no tools.
    """

    def __init__(self, generator: Any, body: ChatRequest) -> None:
        self._body = body
        told = body.offered
        self._tools = [tool.model_dump(exclude_unset=True, mode="json") for tool in told]
        self._schema = body.wanted
        self._id_of: Callable[[str], int | None] = lambda name: None
        self.calling: Calling | None = None
        self.spelt: tuple[int, ...] = ()
        if (held := self._held) and not capabilities(generator).grammars:
            raise refused(generator, held, _("it does not hold what it writes to a schema"))
        field = "tools" if self._tools else "messages" if any(map(_calls, body.messages)) else ""
        if not field:
            return
        if not capabilities(generator).tools:
            raise self._refused(generator, field)
        if self._tools:
            self._offer(generator, [tool.function.name for tool in told])

    @property
    def _held(self) -> str:
        """The field that asks for an answer to be held to a form; "" where none does."""
        body = self._body
        asked = {
            "response_format": bool(body.wanted),
            "tool_choice": body.must_call,
            "tools.function.strict": any(tool.function.strict for tool in body.offered),
            "parallel_tool_calls": body.parallel_tool_calls is False and bool(body.offered),
        }
        return next((field for field, is_asked in asked.items() if is_asked), "")

    def _refused(self, generator: Any, field: str) -> BurilError:
        if not capabilities(generator).ids:
            return refused(generator, field, _("the model's chat template is not rendered here"))
        return BurilError("V063", field=field)

    def _offer(self, generator: Any, names: Sequence[str]) -> None:
        loaded = generator.loaded
        form = form_of(loaded.tokenizer)
        assert form is not None, "the generator says that it takes tools"
        if self._schema:  # an answer of its form may look like a call that has no marks, or others
            form = form._replace(also=(), bare=False)
        control = loaded.encoder.control_ids
        self._id_of = lambda name: token if (token := loaded.encoder.id_of(name)) in control else None
        self.calling = Calling(form, frozenset(names))
        found = (loaded.encoder.id_of(marker) for marker in form.markers)
        self.spelt = tuple(token for token in found if token is not None)

    @property
    def pieces(self) -> tuple[Piece, ...]:
        """What guards read: of each message its text, and its calls, and of each tool all that is said of it.

        What a tool gave back others may have written; what the assistant is said to have written was the user's to
        send.
        """
        texts = [
            Piece(one.text, "third_party" if one.role == "tool" else "user", "", "tool" if one.role == "tool" else "")
            for one in self._body.messages
        ]
        calls = [Piece(call.function.arguments, "user", "json") for one in self._body.messages for call in _made(one)]
        tools = [Piece(json.dumps(tool, ensure_ascii=False), "user", "json") for tool in self._tools]
        schema = [Piece(json.dumps(self._schema.told, ensure_ascii=False), "user", "json")] if self._schema else []
        return (*texts, *calls, *tools, *schema)

    def turns(self, texts: Sequence[str]) -> list[dict[str, Any]]:
        """The messages as a template takes them, with the texts that the guards left.

        A call whose arguments they left no JSON of has none any more.
        """
        number = len(self._body.messages)
        left = iter(texts[number:])
        return [
            _turn(message, text, [_json(next(left)) for _call in _made(message)])
            for message, text in zip(self._body.messages, texts[:number], strict=True)
        ]

    def tools(self, texts: Sequence[str]) -> list[Mapping[str, Any]]:
        """The tools as the guards left them; one of which they left no JSON is not offered."""
        end = len(texts) - bool(self._schema)
        return [tool for tool in map(_json, texts[end - len(self._tools) : end]) if tool]

    def grammar(self, texts: Sequence[str]) -> str:
        """What the answer is held to, with the texts that the guards left; "" where it may be any."""
        if not self._held:
            return ""
        schema = Schema(_json(texts[-1]), bool(self._schema.strict)) if self._schema else None
        if self.calling is None:
            assert schema is not None
            return of_json(schema)
        body, strict = self._body, {tool.function.name: bool(tool.function.strict) for tool in self._body.callable}
        functions = [
            Function(one["name"], Schema(one.get("parameters") or OBJECT.told, strict[one["name"]]))
            for one in (tool["function"] for tool in self.tools(texts))
            if one["name"] in strict
        ]
        # a small model that must call goes on calling until it meets the limit: several are for who asks for them
        several = not body.must_call if body.parallel_tool_calls is None else body.parallel_tool_calls
        calls = Calls(self.calling.form, functions, body.must_call, several)
        return of_calls(calls, self._id_of, schema)


def refused(generator: Any, field: str, problem: str) -> BurilError:
    """What an engine can't do."""
    return BurilError("V060", engine=type(generator).__name__.lower(), field=field, problem=problem)


def _calls(message: Message) -> bool:
    return message.role == "tool" or bool(message.tool_calls)


def _made(message: Message) -> Sequence[Any]:
    return message.tool_calls or ()


def _turn(message: Message, text: str, arguments: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """A message as a template takes it."""
    role = "system" if message.role == "developer" else message.role
    found: dict[str, Any] = {"role": role, "content": text}
    if message.tool_calls:
        found["tool_calls"] = [
            {"id": call.id, "type": call.type, "function": {"name": call.function.name, "arguments": given}}
            for call, given in zip(message.tool_calls, arguments, strict=True)
        ]
    if message.tool_call_id is not None:
        found["tool_call_id"] = message.tool_call_id
    return found


def _json(text: str) -> dict[str, Any]:
    """An object; an empty one of what is none."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
