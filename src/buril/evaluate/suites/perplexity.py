"""Perplexity and bits per byte on the held-out test part: how well a model expects code it has not learnt from.

Perplexity is e to the mean loss of a token; it compares models with the same tokenizer only. Bits per byte is the loss
in bits over the bytes of the text: it compares any two models.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import ClassVar

from buril.code.codefile import CodeFile
from buril.core.settings import Settings as BaseSettings
from buril.evaluate.suite import Measure, SuiteContext, SuiteResult, drawn

BATCH = 16


class Perplexity:
    """Scores files in windows that overlap by half, so that every token but the first few has context."""

    version: ClassVar[int] = 1

    class Settings(BaseSettings):
        """How files are read."""

        context: int = 1024
        """Tokens of one window; the later half of each is scored with the earlier half as its context."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    def metrics(self) -> tuple[str, ...]:
        """Their names."""
        return ("perplexity", "bits_per_byte")

    def check(self, context: SuiteContext) -> None:
        """Nothing can be missing."""

    def run(self, context: SuiteContext) -> SuiteResult:
        """Score the test files, at most `max_items`, each up to `max_file_tokens`."""
        files = files_of(context)
        result = SuiteResult(_measures())
        for start in range(0, len(files), BATCH):
            for file, loss, num_tokens, num_bytes in self._score(files[start : start + BATCH], context):
                self._add(result, file, (loss, num_tokens, num_bytes))
            context.progress(min(start + BATCH, len(files)), len(files))
        return result

    def _add(self, result: SuiteResult, file: CodeFile, found: tuple[float, int, int]) -> None:
        loss, num_tokens, num_bytes = found
        if not num_tokens:
            return
        for measures in result.tables(_measures, language=file.language, repo=file.repo):
            measures["perplexity"].add(file.row_id, loss, num_tokens)
            measures["bits_per_byte"].add(file.row_id, loss / math.log(2), num_bytes)
        result.samples.append(
            {
                "id": file.row_id,
                "repo": file.repo,
                "path": file.path,
                "language": file.language,
                "tokens": num_tokens,
                "bytes": num_bytes,
                "perplexity": round(math.exp(loss / num_tokens), 4),
                "bits_per_byte": round(loss / math.log(2) / num_bytes, 5),
            }
        )

    def _score(self, files: list[CodeFile], context: SuiteContext) -> Iterator[tuple[CodeFile, float, int, int]]:
        """Loss in nats, tokens and bytes of each file.

        A line break before the file stands for what precedes its first token, which no causal model scores otherwise.
        """
        windows: list[list[int]] = []
        plan: list[
            tuple[int, list[tuple[int, int]]]
        ] = []  # bytes, and for each window: its place, the tokens already scored
        for file in files:
            text, ids = head_of(file.content, context)
            places = []
            for start, done in windows_of(len(ids), self.settings.context):
                places.append((len(windows), done))
                windows.append(ids[start : start + self.settings.context])
            plan.append((len(text.encode("utf-8", "replace")), places))
        scores = context.generator.score(windows)
        for file, (num_bytes, places) in zip(files, plan, strict=True):
            parts = [scores[place][done:] for place, done in places]
            loss = -sum(float(part.sum(dtype="float64")) for part in parts)
            yield file, loss, sum(len(part) for part in parts), num_bytes


def files_of(context: SuiteContext) -> list[CodeFile]:
    """The files that are scored: at most `max_items` of the test part, chosen by a hash of their names."""
    files = sorted(
        (file for file in context.test_files() if file.content.strip()),
        key=lambda file: drawn(file.row_id, context.seed),
    )
    return files[: context.max_items]


def windows_of(length: int, size: int) -> Iterator[tuple[int, int]]:
    """Start of each window over so many tokens, and how many of its scores an earlier window gave."""
    step = size // 2
    yield 0, 0
    start = 0
    while start + size < length:
        start += step
        yield start, size - step - 1


def _measures() -> dict[str, Measure]:
    return {"perplexity": Measure("exp", "lower"), "bits_per_byte": Measure("ratio", "lower")}


def head_of(content: str, context: SuiteContext) -> tuple[str, list[int]]:
    """The beginning of a file that is scored, cut at a line so that its bytes and tokens are of the same text."""
    limit = context.max_file_tokens
    text = content[: limit * 8]
    ids = context.generator.encode("\n" + text)
    while len(ids) > limit + 1 and text:
        shorter = text[: max(1, int(len(text) * (limit + 1) / len(ids)))]
        line = shorter.rfind("\n", 1)
        text = shorter[: line + 1] if line > 0 else shorter[: max(1, len(shorter) * 9 // 10)]
        ids = context.generator.encode("\n" + text)
        if len(text) <= 1:
            break
    return text, ids
