"""What of a text is an instruction to a model: all rules at work, each place judged by where it stands."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cached_property
from typing import Final, NamedTuple

from buril.scanners._injection import encoded, raw
from buril.scanners._injection.anchors import Anchors
from buril.scanners._injection.fold import Folded
from buril.scanners._injection.requests import requests
from buril.scanners._injection.rules import ENCODED, ENGLISH, REQUEST, SENDS, TOKENS, TOOL, TURNS, Phrase, compiled
from buril.scanners._injection.rules_es import PORTUGUESE, SPANISH
from buril.scanners._regions import Region, Regions

_LOOSE = compiled(
    r"\b(?:ignore|disregard|forget|bypass|override|ignora|olvida) (?:<3>)(?:rules|instructions|prompts?|guidelines"
    r"|polic\w{1,3}"
    r"|reglas|instrucciones)\b|\b(?:reveal|print|send|repeat) (?:<3>)(?:secrets?|system prompt|passwords?|keys"
    r"|credentials)\b"
)
"""What counts as an instruction in a text that somebody took the trouble to encode."""
GRADES: Final = ("low", "medium", "high")
PHRASES: Final[tuple[Phrase, ...]] = (*ENGLISH, *SPANISH, *PORTUGUESE)
AROUND: Final = 250
"""Characters on both sides of a word in which a phrase that holds it ends."""
_OPENS = re.compile(r"[\"'`\u201c\u2018\u00ab(\[>][\s*_#-]{0,3}(?:[A-Za-z]{1,12}:\s?)?\Z")
_MODELS = re.compile(
    r"\b(llms?|openai|anthropic|chatgpt|gpt 4|gpt-\d|gpt4|claude|gemini|llama|mistral|langchain|huggingface"
    r"|chat completions?|system prompt"
    r"|user prompt|prompt template|prompts?|prompt injections?|jailbreaks?|guardrails?|language models?|tokenizers?"
    r"|embeddings?|fine-?tun\w{1,4}"
    r"|few-?shot|max tokens|logits|agents?|ai assistants?|ai models?|modelos? de lenguaje|inyeccion de prompts?"
    r"|red ?team\w{0,4}"
    r"|role: (?:user|assistant|system)|transformers|special tokens?|vocab\w{0,6}|fim|attention mask)\b"
)
_DISTINCT, _TIMES = 3, 6
"""How many different words about models, and how many in all, make a text one about models."""
_AROUND = 60
"""Characters around a place that do not count when it is asked what a text is about: no attack vouches for itself."""


class Hit(NamedTuple):
    """A place in a text, in characters, the kind of what stands there and how sure that is."""

    start: int
    end: int
    kind: str
    confidence: str


class Judge:
    """The rules at work on one text. `by_context` lowers the confidence in texts that are themselves about models."""

    def __init__(self, text: str, language: str, *, by_context: bool = True) -> None:
        self._text, self._language, self._by_context = text, language, by_context
        self._folded = Folded(text)

    def hits(self) -> list[Hit]:
        """Every place, in order; of two of one kind that meet, the surer."""
        found = [*self._phrases(), *self._raw(), *self._encoded()]
        judged = (hit._replace(confidence=self._confidence(hit)) for hit in found)
        return _apart(judged)

    def _phrases(self) -> Iterator[Hit]:
        for start, end, kind, confidence in phrases(self._folded.text):
            yield Hit(*self._folded.origin(start, end), kind, confidence)

    def _raw(self) -> Iterator[Hit]:
        for place in (*raw.tokens(self._text), *raw.sends(self._text)):
            yield Hit(*place)

    def _encoded(self) -> Iterator[Hit]:
        for inner in (*encoded.packed(self._text), *encoded.spread(self._text)):
            if _instructs(inner.content):
                yield Hit(inner.start, inner.end, ENCODED, "high")
        folded = self._folded.text
        plain = {(start, end) for start, end, _, _ in phrases(folded)}
        for other in encoded.turned(folded):
            for start, end, _kind, _sure in phrases(other):
                if (start, end) not in plain and folded[start:end] != other[start:end]:
                    yield Hit(*self._folded.origin(start, end), ENCODED, "high")
        if encoded.is_reversed(self._text.lower()):
            yield from self._reversed()

    def _reversed(self) -> Iterator[Hit]:
        back, size = Folded(self._text[::-1]), len(self._text)
        for start, end, _kind, _sure in phrases(back.text):
            first, last = back.origin(start, end)
            yield Hit(size - last, size - first, ENCODED, "high")

    def _confidence(self, hit: Hit) -> str:
        """A place's confidence, lowered in code and, in texts about models, there and once more in quotes."""
        if hit.kind in (SENDS, ENCODED):
            return hit.confidence
        lower = 0
        if hit.kind not in (TOKENS, TURNS, TOOL) and self._region(hit.start) == "code":
            lower += 1
        if self._by_context and self._is_about_models(hit):
            lower += 1 + self._is_quoted(hit.start)
        return GRADES[max(0, GRADES.index(hit.confidence) - lower)]

    def _region(self, at: int) -> Region:
        return self._regions.at(len(self._text[:at].encode("utf-8", "surrogatepass")))

    @cached_property
    def _regions(self) -> Regions:
        return Regions(self._text.encode("utf-8", "surrogatepass"), self._language)

    def _is_quoted(self, at: int) -> bool:
        return self._region(at) == "string" or bool(_OPENS.search(self._text[max(0, at - 20) : at]))

    @cached_property
    def _about(self) -> list[tuple[int, int, str]]:
        places = _MODELS.finditer(self._folded.text)
        return [(*self._folded.origin(*found.span()), found[1]) for found in places]

    def _is_about_models(self, hit: Hit) -> bool:
        first, last = hit.start - _AROUND, hit.end + _AROUND
        words = [word for start, end, word in self._about if end < first or start > last]
        return len(words) >= _TIMES and len(set(words)) >= _DISTINCT


def phrases(folded: str) -> Iterator[tuple[int, int, str, str]]:
    """Every phrase in folded text: where, its kind, and how sure it is."""
    anchors = Anchors(folded)
    for phrase in PHRASES:
        for found in anchors.find(phrase.pattern, phrase.words, AROUND):
            yield found.start(), found.end(), phrase.kind, phrase.confidence
    for asked in requests(folded, anchors):
        yield asked.start, asked.end, REQUEST, asked.confidence


def _instructs(content: str) -> bool:
    """Whether a text that another holds is an instruction."""
    folded = Folded(content).text
    if _LOOSE.search(folded) or next(phrases(folded), None) is not None:
        return True
    return next(raw.tokens(content), None) is not None


def _apart(hits: Iterator[Hit]) -> list[Hit]:
    kept: dict[str, list[Hit]] = {}
    for hit in sorted(hits, key=lambda item: (item.start, item.end)):
        same = kept.setdefault(hit.kind, [])
        if same and hit.start < same[-1].end:
            last = same[-1]
            sure = max(last.confidence, hit.confidence, key=GRADES.index)
            same[-1] = last._replace(end=max(last.end, hit.end), confidence=sure)
        else:
            same.append(hit)
    return sorted(hit for group in kept.values() for hit in group)
