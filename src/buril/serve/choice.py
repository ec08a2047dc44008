"""Which engine serves a model: the fastest that is installed and can run it, and how fast it is on this machine."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, NamedTuple

from buril.core.errors import BurilError
from buril.core.plugins import Ref
from buril.generators._generator import Generator, Request, capabilities

PREFERRED = ("openvino", "llamacpp", "onnx", "transformers")
"""In this order, by what they were measured to do (`benchmarks/engines.py`): the last runs whatever there is. `onnx`
writes faster than `llamacpp`, but keeps a model of the store in float32, and takes minutes to write it so at first."""
MEASURE_S = 2.0
"""Seconds of the measurement."""
LEAST = 4
"""Tokens of the answer that it waits for, however long the prompt took."""
_SAMPLE = (
    "def parse(path):\n    with open(path) as file:\n        for line in file:\n            yield line.split()\n\n\n"
    * 8
)


class Speed(NamedTuple):
    """Tokens a second, of a prompt and of one answer."""

    prompt: float
    answer: float


class Chosen(NamedTuple):
    """An open engine, its name, and why not the ones before it."""

    name: str
    generator: Generator
    passed_over: tuple[str, ...]


def choose(given: Ref | None, opened: Callable[[str, Ref | None], Generator]) -> Chosen:
    """Open the engine that is asked for, or the first of the preferred ones that runs the model.

    Args:
        given: the engine; None chooses.
        opened: opens a generator, by its name and its settings, on the model.

    Raises:
        BurilError: what the engine raises that was asked for, V030, V008 where none can run the
            model or it has no sessions.
    """
    if given is not None:
        generator = opened(given.name, given)
        if not capabilities(generator).sessions:
            raise BurilError("V008", problem=f"{given.name}: requests can't join and leave while it writes")
        return Chosen(given.name, generator, ())
    passed_over: list[str] = []
    for name in PREFERRED:
        try:
            return Chosen(name, opened(name, None), tuple(passed_over))
        except BurilError as problem:
            if problem.code == "V030":  # an adapter fits no better on another engine
                raise
            passed_over.append(f"{name}: {problem.cause}")
    raise BurilError("V008", problem="; ".join(passed_over))


def measure(session: Any) -> Speed:
    """Write for about two seconds, which also warms the engine up; what it can do."""
    began = time.monotonic()
    row = session.rows(Request(_SAMPLE, max_tokens=64))[0]
    session.add([row])
    while not row.ids and row.ended is None:
        session.step()
    prompt_s = time.monotonic() - began
    first, written = time.monotonic(), len(row.ids)
    while row.ended is None and (time.monotonic() - began < MEASURE_S or len(row.ids) - written < LEAST):
        session.step()
    answer_s, number = time.monotonic() - first, len(row.ids) - written
    if row.ended is None:
        session.cancel([row])
        while len(session):
            session.step()
    return Speed(len(row.prompt) / prompt_s, number / answer_s if number else 0.0)
