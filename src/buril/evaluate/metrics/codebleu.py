"""CodeBLEU: how near code is to a reference as tokens, as keywords, as a syntax tree and as data flow.

Source: Ren et al., "CodeBLEU: a Method for Automatic Evaluation of Code Synthesis" (2020), arXiv 2009.10297. The four
parts are BLEU-4; BLEU-4 in which keywords weigh five times as single tokens; the share of the reference's subtrees that
the text has as well; and the share of its edges of data flow. A shape that stands twice in the reference must stand
twice in the text.

A part that the reference doesn't have says nothing and is left out, and its weight goes to the others by their own
weights: no data flow in a text without variables or in a language without tables for it, no syntax in an empty text,
BLEU-4 alone without a language. So scores of different languages do not compare; those of two models on one text do.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable
from functools import cache
from typing import Any, ClassVar

from pydantic import Field, model_validator

from buril.code.parse import HardParse, keywords, parse
from buril.code.similarity import bleu
from buril.core.plugins import names, normal
from buril.core.settings import Settings as BaseSettings
from buril.core.text import _

_OPENING = {"php": "<?php "}
"""What a grammar wants before any code of its language."""


class Codebleu:
    """From 0 to 1; a suite reports the mean over its texts."""

    version: ClassVar[int] = 1
    share: ClassVar[bool] = False

    class Settings(BaseSettings):
        """What the parts weigh; the weights need not add up to 1."""

        ngram: float = Field(default=0.25, ge=0)
        """Weight of BLEU-4."""
        keyword: float = Field(default=0.25, ge=0)
        """Weight of BLEU-4 with heavier keywords."""
        syntax: float = Field(default=0.25, ge=0)
        """Weight of the share of subtrees."""
        dataflow: float = Field(default=0.25, ge=0)
        """Weight of the share of edges of data flow."""

        @model_validator(mode="after")
        def _weigh_tokens(self) -> Codebleu.Settings:
            """Tokens are what every text has: without a weight on them some texts could not be scored at all."""
            if self.ngram <= 0:
                raise ValueError(_("`ngram` must weigh something: it is the one part that every text has"))
            return self

    def __init__(self, settings: Settings | None = None) -> None:
        self.settings = settings or self.Settings()

    def score(self, text: str, reference: str, *, language: str = "", head: str = "") -> float:
        """CodeBLEU of `text`.

        Args:
            text: what was written.
            reference: what should have been.
            language: the name of their language; without it only tokens are compared.
            head: what stands before both, such as a function's signature: it is parsed with them and not scored.
        """
        found = self.parts(text, reference, language=language, head=head)
        weights = {name: getattr(self.settings, name) for name in found}
        return float(sum(weights[name] * value for name, value in found.items()) / sum(weights.values()))

    def parts(self, text: str, reference: str, *, language: str = "", head: str = "") -> dict[str, float]:
        """The parts by name, without those that the reference does not have."""
        found = {"ngram": bleu(text, reference)}
        if normal(language or "-") not in names("language"):
            return found
        found["keyword"] = bleu(text, reference, keywords=_keywords(language))
        return found | _trees(text, reference, language, head)


@cache
def _keywords(language: str) -> frozenset[str]:
    return frozenset(word.decode() for word in keywords(language))


def _trees(text: str, reference: str, language: str, head: str) -> dict[str, float]:
    """The parts that need a tree."""
    from buril.code.dataflow import FLOWING, edges
    from buril.code.subtrees import Shapes

    opening = _OPENING.get(language, "")
    head = head if opening.strip() in head + reference else opening + head
    start, shapes = len(head.encode("utf-8", "replace")), Shapes()
    trees = [_parsed(head, code, language) for code in (text, reference)]
    if trees[1] is None:
        return {}
    shapes_X = [shapes.of(tree, start_byte=start) if tree else Counter() for tree in trees]
    pairs: dict[str, list[Counter[Any]]] = {"syntax": shapes_X}
    if language in FLOWING:
        edges_X = [(edges(language, tree) or []) if tree else [] for tree in trees]
        pairs["dataflow"] = [Counter(edge[1:] for edge in found if edge.byte >= start) for found in edges_X]
    return {name: _covered(mine, wanted) for name, (mine, wanted) in pairs.items() if wanted}


def _parsed(head: str, code: str, language: str) -> Any:
    """The tree of a head with what follows it; None for what no parser can be asked about."""
    if head.endswith("\n"):
        code = code.lstrip("\n")  # a model begins the body with the line break that the head ends with
    try:
        return parse(language, (head + code).encode("utf-8", "replace"))
    except HardParse:
        return None


def _covered(mine: Counter[Hashable], wanted: Counter[Hashable]) -> float:
    return (mine & wanted).total() / wanted.total()
