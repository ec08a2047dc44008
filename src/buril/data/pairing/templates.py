"""Pairing templates: programs of our own in which names and words vary, each with the weak form of what it does.

A template is a function that asks for care and does not say so, its careful bodies and its careless ones. What comes of
one template is one scenario: a model that is taught some of them is examined on others.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator
from typing import ClassVar

from pydantic import Field

from buril.core.settings import Settings as BaseSettings
from buril.core.stage import Inputs
from buril.data.augmenter import draw
from buril.data.pair import Pair, Pairing
from buril.data.pairing._template import Template, templates

LICENSE = "Apache-2.0"


class Templates(Pairing):
    """Fills every template several times, with other words each time."""

    version: ClassVar[int] = 1

    class Settings(BaseSettings):
        """How many, and of what."""

        shorthand: ClassVar[str | None] = "each"

        each: int = Field(6, ge=1)
        """Pairs of a template, at most: one that varies less gives fewer."""
        languages: tuple[str, ...] = ()
        """Languages of the templates; none named means all there are."""
        weaknesses: tuple[str, ...] = ()
        """Weaknesses, such as `CWE-89`; none named means all there are."""

    def pairs(self, inputs: Inputs, seed: int) -> Iterator[Pair]:
        """The pairs, template by template."""
        told = self.settings
        for one in templates():
            if told.languages and one.language not in told.languages:
                continue
            if told.weaknesses and one.cwe not in told.weaknesses:
                continue
            yield from filled(one, told.each, seed)


def filled(one: Template, number: int, seed: int) -> Iterator[Pair]:
    """At most `number` different pairs of a template."""
    drawn = random.Random(draw(seed, "templates", one.name))  # noqa: S311  words, no secrets
    seen: set[tuple[str, str]] = set()
    forms = itertools.cycle(one.forms())
    for _attempt in range(number * 4):
        if len(seen) == number:
            return
        words = {slot: drawn.choice(values) for slot, values in one.slots.items()}
        secure, vulnerable = (one.text(body, words) for body in next(forms))
        if (secure, vulnerable) not in seen:
            seen.add((secure, vulnerable))
            yield Pair(
                one.cwe, one.language, secure, vulnerable, f"template/{one.name}", "templates", "construction",
                change=one.name, license=LICENSE,
            )  # fmt: skip
