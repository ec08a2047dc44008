"""Tools of a chat: what guards read of them, what the model is told of them, and how it may answer.

Nothing here makes a model call a function, or call it as its schema says: where that is asked for it is refused.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from buril.core.errors import BurilError
from buril.core.text import _
from buril.generators._calls import form_of
from buril.generators._generator import capabilities
from buril.serve.guards import Piece
from buril.serve.outgoing import Calling

if TYPE_CHECKING:
    from buril.serve.schemas import ChatRequest, Message


class Tooling:
    """The tools of a request, and its messages.

    Args:
        generator: that answers.
        body: the request.

    Raises:
        BurilError: V060 where another server renders chats, V063 for a model whose template takes no tools, V064 for
            what nobody can promise.
    """

    def __init__(self, generator: Any, body: ChatRequest) -> None:
        self._body = body
        told = body.offered
        self._tools = [tool.model_dump(exclude_unset=True, mode="json") for tool in told]
        self.calling: Calling | None = None
        self.spelt: tuple[int, ...] = ()
        _check_choice(body)
        field = "tools" if self._tools else "messages" if any(map(_calls, body.messages)) else ""
        if not field:
            return
        if not capabilities(generator).tools:
            raise self._refused(generator, field)
        if self._tools:
            self._offer(generator, [tool.function.name for tool in told])

    def _refused(self, generator: Any, field: str) -> BurilError:
        if not capabilities(generator).ids:
            return refused(generator, field, _("the model's chat template is not rendered here"))
        return BurilError("V063", field=field)

    def _offer(self, generator: Any, names: Sequence[str]) -> None:
        loaded = generator.loaded
        form = form_of(loaded.tokenizer)
        assert form is not None, "the generator says that it takes tools"
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
        return (*texts, *calls, *tools)

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
        left = texts[len(texts) - len(self._tools) :] if self._tools else ()
        return [tool for tool in map(_json, left) if tool]


def _check_choice(body: ChatRequest) -> None:
    """Refuse what nobody can promise.

    Raises:
        BurilError: V064.
    """
    if body.tool_choice is not None and body.tool_choice not in ("none", "auto"):
        raise BurilError("V064", field="tool_choice")
    if any(tool.function.strict for tool in body.offered):
        raise BurilError("V064", field="tools.function.strict")


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
