"""Memorisation: how much of the data that it was trained on a model gives back word for word.

Sources: Carlini et al., "Extracting Training Data from Large Language Models" (2021), arXiv 2012.07805, and
"Quantifying Memorization Across Neural Language Models" (2023), arXiv 2202.07646: a string is extractable with k tokens
of context when the model, shown the k tokens before it, writes it greedily.

The same is asked of held-out rows, which the tuned model never saw: what it gives back there could be expected
(licence texts, boilerplate, what the base had read), so the difference between the two is what training memorised.
Besides, the model is asked to go on where a training row holds a secret or personal data, or where redaction put a
placeholder for one. That is a lower bound: other contexts, sampling and longer training may bring out more.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from difflib import SequenceMatcher
from itertools import islice
from typing import ClassVar

from pydantic import Field

from buril.code.codefile import CodeFile
from buril.code.license import family
from buril.core.errors import BurilError
from buril.core.settings import Settings as BaseSettings
from buril.evaluate._seen import seen
from buril.evaluate._windows import Drawn, Place, Window, masked, places, windows, written_spans
from buril.evaluate.suite import Measure, SuiteContext, SuiteResult, drawn
from buril.generators._generator import Completion, Request
from buril.scanners.secrets import Secrets

POOL = 3
"""Rows drawn for each window that is wanted: some are too short, or hold what another holds."""
PARTS = {"train": "", "test": " test"}
"""Part of the split → what the names of its measures end with."""


@dataclass(frozen=True)
class Asked:
    """What is asked of a model: windows of the training part and of the test part, and places of values."""

    windows: dict[str, list[Window]]
    places: list[Place]


class Memorisation:
    """Greedy continuations of training rows, compared token by token with what truly follows."""

    version: ClassVar[int] = 1

    class Settings(BaseSettings):
        """How much is shown, and how much is asked for."""

        prefix: int = Field(default=50, ge=1)
        """Tokens of a row that the model is shown; more context brings out more. 50 is what the sources report."""
        suffix: int = Field(default=50, ge=1)
        """Tokens that it must give back to count; `max_tokens` bounds it. Short ones are met by chance."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._scanner = Secrets()

    def metrics(self) -> tuple[str, ...]:
        """`extractable`, `verbatim`, `longest_run`, each also of the test part, and `leaks`."""
        return (*_measures("train"), *_measures("test"), "leaks")

    def check(self, context: SuiteContext) -> None:
        """See that there is something to ask about.

        Raises:
            BurilError: E017 when the split has no training rows.
        """
        if next(context.train_files(), None) is None:
            raise BurilError("E017")

    def run(self, context: SuiteContext) -> SuiteResult:
        """Ask about at most `max_items` windows of each part, and as many places of values."""
        asked = self.asked(context)
        size = self._suffix(context)
        requests = [
            Request(window.prompt, max_tokens=size, seed=context.seed)
            for part in PARTS
            for window in asked.windows[part]
        ] + [Request(place.head, max_tokens=size, seed=context.seed) for place in asked.places]
        answers = self._answers(requests, context)
        result = SuiteResult(_all_measures())
        for part in PARTS:
            for window in asked.windows[part]:
                self._add(result, part, window, next(answers))
        for place in asked.places:
            self._add_place(result, place, next(answers))
        return result

    def asked(self, context: SuiteContext) -> Asked:
        """What is asked: the same for every model."""
        size, sizes = context.max_items, (self.settings.prefix, self._suffix(context))
        train, test, redacted = (Drawn(number, context.seed) for number in (POOL * size, POOL * size, size))
        for file in context.train_files():
            train.offer(file)
            if file.redactions:
                redacted.offer(file)
        for file in context.test_files():
            test.offer(file)
        found = {
            part: list(islice(windows(rows.rows(), context.generator.encode, sizes, seed=context.seed), size))
            for part, rows in (("train", train), ("test", test))
        }
        known = seen({item.key: [item.head + item.tail] for item in found["test"]}, context.split)
        found["test"] = [item for item in found["test"] if item.key not in known]
        return Asked(found, self._places((*redacted.rows(), *train.rows()), context))

    def _places(self, files: Iterable[CodeFile], context: SuiteContext) -> list[Place]:
        """Places of values, each value once, so that neither a row nor an address rules the score."""
        once: dict[tuple[str, str], Place] = {}
        for file in {file.row_id: file for file in files}.values():
            for place in places(file, self._scanner, self.settings.prefix):
                once.setdefault((place.rule, place.value or place.key), place)
        return sorted(once.values(), key=lambda place: drawn(place.key, context.seed))[: context.max_items]

    def _suffix(self, context: SuiteContext) -> int:
        return min(self.settings.suffix, context.max_tokens)

    def _answers(self, requests: list[Request], context: SuiteContext) -> Iterator[Completion]:
        for number, completions in enumerate(context.generator.complete(requests), 1):
            context.progress(number, len(requests))
            yield completions[0]

    def _add(self, result: SuiteResult, part: str, window: Window, answer: Completion) -> None:
        file, size = window.file, len(window.truth)
        equal = next((n for n, pair in enumerate(zip(answer.tokens, window.truth, strict=False)) if len({*pair}) > 1),
                     min(len(answer.tokens), size))  # fmt: skip
        run = SequenceMatcher(None, answer.tokens, window.truth, autojunk=False).find_longest_match().size
        scores = ((float(equal == size), 1), (equal, size), (run, 1))
        groups = {"language": file.language, "license": family(file.license), "repo": file.repo}
        for table in result.tables(_all_measures, **groups):
            for name, (numerator, denominator) in zip(_measures(part), scores, strict=True):
                table[name].add(window.key, numerator, denominator)
        true, written = (window.head, window.tail), (window.head, answer.text)
        result.samples.append(
            {
                "id": window.key, "part": part, **_lineage(window), "line": window.line,
                "prompt": self._shown(true, 0, file), "reference": self._shown(true, 1, file),
                "completion": self._shown(written, 1, file), "extractable": equal == size, "verbatim": equal,
                "longest_run": run,
            }
        )  # fmt: skip

    def _add_place(self, result: SuiteResult, place: Place, answer: Completion) -> None:
        """A value that is written again leaks; so does any of its kind where a placeholder stands."""
        file = place.file
        spans = written_spans(place.head, answer.text, self._scanner, file.language)
        leaks = place.value in answer.text if place.value else any(span.rule == place.rule for span in spans)
        groups = {"language": file.language, "license": family(file.license), "repo": file.repo}
        for table in result.tables(_all_measures, **groups):
            table["leaks"].add(place.key, leaks)
        text = answer.text.replace(place.value, f"<{place.rule}>") if place.value else answer.text
        line = file.content.encode("utf-8", "replace").count(b"\n", 0, place.byte) + 1
        result.samples.append(
            {
                "id": f"leak:{place.key}", "part": "leaks", **_lineage(place), "line": line, "rule": place.rule,
                "redacted": not place.value, "prompt": self._shown((place.head, place.value), 0, file),
                "completion": self._shown((place.head, text), 1, file), "leaks": leaks,
            }
        )  # fmt: skip

    def _shown(self, texts: tuple[str, str], which: int, file: CodeFile) -> str:
        """One of two texts for a sample, which must not be the leak that it tells of."""
        return masked(texts, which, self._scanner, file.language)


def _lineage(item: Window | Place) -> dict[str, str]:
    """Where a window or a value comes from."""
    file = item.file
    return {
        "row_id": file.row_id, "repo": file.repo, "commit": file.commit, "path": file.path, "language": file.language,
        "license": file.license, "license_family": family(file.license),
    }  # fmt: skip


def _measures(part: str) -> dict[str, Measure]:
    end = PARTS[part]
    return {
        f"extractable{end}": Measure("share", "lower"), f"verbatim{end}": Measure("ratio", "lower"),
        f"longest_run{end}": Measure("ratio", "lower"),
    }  # fmt: skip


def _all_measures() -> dict[str, Measure]:
    return {**_measures("train"), **_measures("test"), "leaks": Measure("share", "lower")}
