"""Chat prompts that a message can't break out of."""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from buril.core.errors import BurilError
from buril.generators._calls import mapped, strings
from buril.generators._encoder import well_formed

if TYPE_CHECKING:
    from buril.generators._load import Loaded


def render(loaded: Loaded, messages: Sequence[Mapping[str, Any]], tools: Sequence[Mapping[str, Any]] = ()) -> list[int]:
    """The ids of a chat up to the answer, by the model's own template.

    Where no message spells a control token this is exactly what the model's tokenizer gives. Else the parts of the
    template are encoded with their control tokens and the messages between them as plain text; so are those texts in
    tools and calls that spell one.

    Args:
        loaded: the model.
        messages: of `role` and `content`; those of the assistant may have `tool_calls`, with arguments as objects.
        tools: functions that may be called, as OpenAI's API describes them.

    Raises:
        BurilError: T017 when the model has no chat template.
    """
    tokenizer = loaded.tokenizer
    if not tokenizer.chat_template:
        raise BurilError("T017")
    plain: list[dict[str, Any]] = [dict(message) for message in messages]
    spelt = {loaded.encoder.decode([token], special=True) for token in loaded.encoder.control_ids} - {""}

    def spells(value: Any) -> bool:
        return any(token in text for text in strings(value) for token in spelt)

    more: dict[str, Any] = {"tools": list(tools)} if tools else {}
    if not spells([*plain, *tools]):
        text = tokenizer.apply_chat_template(plain, add_generation_prompt=True, tokenize=False, **more)
        return list(tokenizer(well_formed(text), add_special_tokens=False)["input_ids"])
    places = Places()
    held = [{name: places.held(value, name, spells=spells) for name, value in message.items()} for message in plain]
    if tools:
        more["tools"] = [places.held(tool, "tool", spells=spells) for tool in tools]
    rest: str = tokenizer.apply_chat_template(held, add_generation_prompt=True, tokenize=False, **more)
    ids: list[int] = []
    for number, part in enumerate(places.pattern.split(rest)):
        if number % 2:
            ids += loaded.encoder.encode(places.texts[int(part)])
        elif part:
            ids += tokenizer(well_formed(part), add_special_tokens=False)["input_ids"]
    return ids


class Places:
    """Stand-ins for texts in what a template is given. Nobody can guess one, so no text can spell one."""

    def __init__(self) -> None:
        self._nonce = secrets.token_hex(8)
        self.texts: list[str] = []
        self.pattern = re.compile(f"buril{self._nonce}x([0-9]+)x")
        """What finds them again; it is of letters and digits, which JSON leaves as they are."""

    def held(self, value: Any, name: str, *, spells: Any) -> Any:
        """A field of a message, or a tool: a message's text is held whole, of other values the texts that spell."""
        if name in ("role", "type"):
            return value
        if name == "content" and isinstance(value, str):
            return self._place(value) if value else value  # templates ask whether there is any

        def change(text: str) -> str:  # such values stand in a prompt as JSON
            return self._place(json.dumps(text, ensure_ascii=False)[1:-1]) if spells(text) else text

        return mapped(value, change)

    def _place(self, text: str) -> str:
        self.texts.append(text)
        return f"buril{self._nonce}x{len(self.texts) - 1}x"
