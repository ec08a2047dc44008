"""Chat prompts that a message can't break out of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from buril.core.errors import BurilError

if TYPE_CHECKING:
    from buril.generators._load import Loaded

_PLACE = "\x02buril{}\x03"


def render(loaded: Loaded, messages: Sequence[Mapping[str, str]]) -> list[int]:
    """The ids of a chat up to the answer, by the model's own template.

    Where no message spells a control token this is exactly what the model's tokenizer gives. Else the parts of the
    template are encoded with their control tokens and the messages between them as plain text.

    Raises:
        BurilError: T017 when the model has no chat template.
    """
    tokenizer = loaded.tokenizer
    if not tokenizer.chat_template:
        raise BurilError("T017")
    plain = [dict(message) for message in messages]
    spelt = {loaded.encoder.decode([token], special=True) for token in loaded.encoder.control_ids}
    if not any(token and token in message["content"] for message in plain for token in spelt):
        text = tokenizer.apply_chat_template(plain, add_generation_prompt=True, tokenize=False)
        return list(tokenizer(text, add_special_tokens=False)["input_ids"])
    places = [_PLACE.format(number) for number in range(len(plain))]
    held = [{**message, "content": place} for message, place in zip(plain, places, strict=True)]
    rest: str = tokenizer.apply_chat_template(held, add_generation_prompt=True, tokenize=False)
    ids: list[int] = []
    for place, message in zip(places, plain, strict=True):
        before, found, after = rest.partition(place)
        if found:  # a template may leave a message out
            ids += tokenizer(before, add_special_tokens=False)["input_ids"]
            ids += loaded.encoder.encode(message["content"])
            rest = after
    return ids + list(tokenizer(rest, add_special_tokens=False)["input_ids"])
