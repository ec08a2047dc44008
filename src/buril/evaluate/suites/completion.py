"""Completion: held-out functions are cut off after their signature and docstring, and the model writes the body.

What it wrote is compared with the body as text. That says how near a model comes to the team's own way of writing; a
body may be right and differ, so functional suites stand beside this one.
"""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

from pydantic import Field, field_validator

from buril.code.codefile import CodeFile
from buril.core.plugins import PluginKind, Ref, plugin
from buril.core.settings import Settings as BaseSettings
from buril.core.text import _
from buril.evaluate.suite import Measure, SuiteContext, SuiteResult, asked, drawn
from buril.generators._generator import Request

_METRICS: Any = Field(default=("exact_match", "edit_similarity", "bleu"))  # read as the YAML is


@dataclass(frozen=True)
class Hole:
    """A function whose body is to be written. `head` is its own text from its line's start up to the body."""

    file: CodeFile
    name: str
    start_byte: int
    prompt: str
    head: str
    body: str

    @property
    def key(self) -> str:
        """The unit's name: the row and where the function starts in it."""
        return f"{self.file.row_id}:{self.start_byte}"


class Completion:
    """Greedy completions of function bodies, compared by the metrics of the settings."""

    version: ClassVar[int] = 2

    class Settings(BaseSettings):
        """Which functions, and how they are compared."""

        metrics: Annotated[tuple[Ref, ...], PluginKind("metric")] = _METRICS
        """Text metrics, each a plugin."""

        @field_validator("metrics")
        @classmethod
        def _compare_texts(cls, metrics: tuple[Ref, ...]) -> tuple[Ref, ...]:
            """Refuse metrics that count passed samples: there is nothing to pass here."""
            wrong = [item.name for item in metrics if not hasattr(plugin("metric", item.name), "share")]
            if wrong:
                raise ValueError(_("`{name}` does not compare texts").format(name=wrong[0]))
            return metrics

        min_body_bytes: int = 24
        """Shorter bodies (`pass`, `return self.x`) are left out: they are matched by luck."""
        max_body_bytes: int = 600
        """Longer bodies are left out: no completion of `max_tokens` could match them."""
        per_file: int = 3
        """Most functions of one file, so that no file rules the score."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._scorers: dict[str, Any] = {item.name: item.make() for item in settings.metrics}

    def metrics(self) -> tuple[str, ...]:
        """Their names."""
        return tuple(self._scorers)

    def check(self, context: SuiteContext) -> None:
        """Nothing can be missing."""

    def run(self, context: SuiteContext) -> SuiteResult:
        """Complete the bodies of at most `max_items` functions of the test part."""
        holes = self.holes(context)
        requests = [
            Request(hole.prompt.rstrip(), max_tokens=context.max_tokens, seed=context.seed, name=hole.key)
            for hole in holes
        ]
        # the white space before a body is left to the model: it is one token with what follows
        result = SuiteResult(self._measures())
        made = context.generator.complete(requests)
        for index, (hole, one, completions) in enumerate(zip(holes, requests, made, strict=True)):
            self._add(result, hole, one, completions[0].text)
            context.progress(index + 1, len(holes))
        return result

    def holes(self, context: SuiteContext) -> list[Hole]:
        """The functions taken: the same for every model, chosen by a hash of row and place."""
        found: list[Hole] = []
        for file in context.test_files():
            mine = sorted(
                self._holes_of(file, context.max_prompt_bytes), key=lambda hole: drawn(hole.key, context.seed)
            )
            found += mine[: self.settings.per_file]
        return sorted(found, key=lambda hole: drawn(hole.key, context.seed))[: context.max_items]

    def _holes_of(self, file: CodeFile, prompt_bytes: int) -> list[Hole]:
        from buril.code.parse import functions, parse
        from buril.core.plugins import names, normal

        if normal(file.language or "-") not in names("language"):
            return []
        source = file.content.encode("utf-8", "replace")
        holes = []
        for function in functions(parse(file.language, source), file.language):
            body = source[function.body_start_byte : function.end_byte].decode("utf-8", "replace")
            if not self.settings.min_body_bytes <= len(body.strip().encode()) <= self.settings.max_body_bytes:
                continue
            line = source.rfind(b"\n", 0, function.start_byte) + 1
            first = max(0, function.body_start_byte - prompt_bytes)
            if first:
                first = source.find(b"\n", first, function.body_start_byte) + 1 or first
            prompt = source[first : function.body_start_byte].decode("utf-8", "replace")
            head = source[line : function.body_start_byte].decode("utf-8", "replace")
            holes.append(Hole(file, function.name, function.start_byte, prompt, head, body))
        return holes

    def _add(self, result: SuiteResult, hole: Hole, request: Request, written: str) -> None:
        text = cut(hole.head.rstrip(), written, hole.file.language)
        scores = {
            name: scorer.score(text, hole.body, **_wanted(scorer, language=hole.file.language, head=hole.head))
            for name, scorer in self._scorers.items()
        }
        language = result.by_language.setdefault(hole.file.language, self._measures())
        for name, score in scores.items():
            result.measures[name].add(hole.key, score)
            language[name].add(hole.key, score)
        result.samples.append(
            {
                "id": hole.key,
                "repo": hole.file.repo,
                "path": hole.file.path,
                "language": hole.file.language,
                "function": hole.name,
                **asked(request),
                "completion": text,
                "reference": hole.body,
                **{name: round(score, 5) for name, score in scores.items()},
            }
        )

    def _measures(self) -> dict[str, Measure]:
        return {
            name: Measure("share" if getattr(scorer, "share", False) else "ratio", "higher")
            for name, scorer in self._scorers.items()
        }


def _wanted(scorer: Any, **known: str) -> dict[str, str]:
    """What of a function a metric asks for besides the two texts, by the parameters of its `score`."""
    asked = inspect.signature(scorer.score).parameters
    return {name: value for name, value in known.items() if name in asked}


def cut(head: str, written: str, language: str) -> str:
    """What was written up to the function's end, by the language's own grammar; all of it where that finds no end."""
    from buril.code.parse import functions, parse

    start = len(head.encode()) - len(head.lstrip().encode())
    source = (head + written).encode("utf-8", "replace")
    for function in functions(parse(language, source), language):
        if function.start_byte == start:
            return source[len(head.encode()) : function.end_byte].decode("utf-8", "replace")
    return written
