"""Teacher: a generator as data stages use it, whether it answers from this machine or from another."""

from __future__ import annotations

from typing import Any

from buril.core.errors import BurilError
from buril.core.plugins import Ref, plugin
from buril.core.stage import Inputs


def is_remote(chosen: Ref) -> bool:
    """Whether a generator answers from elsewhere, so that no model of the chain is loaded."""
    return bool(getattr(plugin("generator", chosen.name), "remote", False))


def open_generator(chosen: Ref, inputs: Inputs) -> Any:
    """A generator that is ready: one of this machine with the base model of the chain."""
    generator = chosen.make()
    if not is_remote(chosen):
        generator.open(inputs["base"].path("model"), inputs["tokenizer"].path("tokenizer"))
    return generator


def prompt_of(generator: Any, text: str) -> str | tuple[int, ...]:
    """The prompt that asks for something: by the model's chat template where it has one, else plain."""
    if getattr(type(generator), "remote", False):
        return text
    try:
        prompt: tuple[int, ...] = generator.chat([{"role": "user", "content": text}])
    except BurilError as problem:
        if problem.code != "T017":
            raise
        return text
    return prompt
