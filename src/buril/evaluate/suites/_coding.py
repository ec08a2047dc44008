"""What all suites of programming tasks share: how tasks are put to a model, how many answers it gives, what is counted.

A suite says what its tasks are, how each is put, and how programs are judged; the rest is here, once.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, ClassVar, Literal

from pydantic import Field

from buril.core.errors import BurilError
from buril.core.settings import Settings as BaseSettings
from buril.evaluate.metrics.pass_at_k import PassAtK
from buril.evaluate.suite import Measure, SuiteContext, SuiteResult, asked, drawn
from buril.evaluate.suites._judged import Judged, Repair
from buril.generators._generator import Completion, Request
from buril.sandboxes._sandbox import Verdict

ADDRESS = re.compile(r"\b0x[0-9a-f]{6,}\b")
AT_ONCE = 16
"""Programs that are judged together: enough for all workers, and progress shows."""
SHOWN = 2000
"""Characters of a program's output that a sample keeps."""


Tell = Callable[[tuple[int, "Problem", Completion, str], Verdict], None]
"""Takes a sample (its place among a task's, the task, what was written, what of it counts) and its verdict."""


@dataclass(frozen=True)
class Problem:
    """A task as a suite puts it.

    Attributes:
        name: of the task.
        task: what the suite judges it by.
        plain: a text to go on from.
        ask: what a user says in a chat.
        prefill: how the answer of the chat begins.
        head: what stands before a completion in the program that is judged.
        stops: texts that end a completion.
        language: of the program.
        tail: what stands after a completion.
    """

    name: str
    task: Any
    plain: str
    ask: str
    prefill: str
    head: str
    stops: tuple[str, ...]
    language: str = "python"
    tail: str = ""


class Coding(ABC):
    """pass@1 of the likeliest completion of each task; with `samples`, also pass@k of completions at a temperature."""

    version: ClassVar[int]
    name: ClassVar[str]
    """The suite's name in the YAML."""
    by_language: ClassVar[bool] = False
    """Whether its measures are also kept by language."""
    one_form: ClassVar[bool] = False
    """Whether tasks are put in one form alone, so that names of measures need not tell it."""

    class Settings(BaseSettings):
        """How tasks are put, and how many completions are drawn."""

        prompt: Literal["auto", "plain", "chat", "both"] = "auto"
        """How a task is put: `plain`, as a text to go on from; as a `chat` whose answer is begun; or `both`, each with
        scores of its own. `auto` is both where the model has a chat template, else plain: which one a model is better
        at is part of what is measured."""
        samples: int = Field(0, ge=0)
        """Completions drawn of each task besides the greedy one, for pass@k; 0 leaves pass@k out."""
        k: tuple[int, ...] = (1, 10)
        """Which pass@k to estimate from the samples; those above `samples` are left out."""
        temperature: float = Field(0.8, gt=0)
        """Temperature of the samples: high enough that they differ."""
        top_p: float = Field(0.95, gt=0, le=1)
        """Share of the probability that samples are drawn from."""

    def __init__(self, settings: Any) -> None:
        self.settings = settings
        self._pass_at_k = PassAtK()

    # --- what a suite says

    @abstractmethod
    def problems(self, context: SuiteContext) -> list[Problem]:
        """The tasks taken."""

    @abstractmethod
    def check(self, context: SuiteContext) -> None:
        """Fail before a model is loaded when no true result can come of it."""

    @abstractmethod
    def judge(self, problems: Sequence[Problem], programs: Sequence[str], context: SuiteContext) -> list[Verdict]:
        """The verdict on each problem's program."""

    @abstractmethod
    def text_of(self, completion: Completion, problem: Problem) -> str:
        """What of a completion belongs to the program."""

    def prepare(self, problems: Sequence[Problem], context: SuiteContext) -> None:  # noqa: B027  most have nothing to do
        """What comes before the first verdict."""

    def more(self, problem: Problem, verdict: Verdict) -> dict[str, Any]:
        """What a sample's row has besides."""
        return {}

    def parts(self) -> tuple[str, ...]:
        """What the names of measures have in them for each kind of task, where kinds have scores of their own."""
        return ("",)

    def part(self, problem: Problem) -> str:
        """Which kind a task is of."""
        return ""

    def extra(self) -> dict[str, Literal["share", "ratio"]]:
        """Measures of greedy answers besides whether they pass: name → kind."""
        return {}

    def scores(self, problem: Problem, verdict: Verdict) -> dict[str, float]:
        """What such measures say of one answer; one that says nothing of it is left out."""
        return {}

    def choices(self) -> tuple[str, ...]:
        """In which ways one of a task's samples is chosen as its answer."""
        return ()

    def choose(self, held: Sequence[tuple[Problem, list[str]]], context: SuiteContext) -> list[dict[str, int]]:
        """For each task the place of the sample that each way chooses."""
        return [{} for _one in held]

    def rounds(self) -> int:
        """How often an answer may be put right."""
        return 0

    def repairs(
        self, problems: Sequence[Problem], texts: Sequence[str], context: SuiteContext
    ) -> list[Repair | None] | None:
        """What is asked to put answers right, None for those that seem right; None for all where it can't be asked."""
        return None

    def texts(self, context: SuiteContext) -> dict[str, list[str]]:
        """What of each task must not have been learnt, by the name that its measures have: prompt, solution, both."""
        return {item.name: self.texts_of(item) for item in self.problems(context)}

    def texts_of(self, problem: Problem) -> list[str]:
        """That of one task."""
        solution = getattr(problem.task, "solution", "")
        return [problem.plain, *([solution] if isinstance(solution, str) and solution else [])]

    # --- what is the same for all

    def metrics(self) -> tuple[str, ...]:
        """Their names: `pass@1` is of greedy completions, `pass@1 sampled` of samples, `… chat` of chats."""
        plain = ("pass@1", *self.extra(), *(f"repair@{number}" for number in range(1, self.rounds() + 1)))
        plain = (*plain, *map(name_of, self._ks()), *map(self._chosen_name, self.choices()))
        return tuple(name + part + suffix for suffix in self.suffixes() for part in self.parts() for name in plain)

    def suffixes(self) -> tuple[str, ...]:
        """What the names of measures end with, for each form that there may be."""
        wanted = self.settings.prompt
        forms = (wanted,) if self.one_form or wanted in ("plain", "chat") else ("plain", "chat")
        return tuple(map(self.suffix, forms))

    def _ks(self) -> list[int]:
        return sorted({k for k in self.settings.k if 1 <= k <= self.settings.samples})

    def run(self, context: SuiteContext) -> SuiteResult:
        """Complete at most `max_items` tasks in each form and judge what came."""
        problems = self.problems(context)
        self.prepare(problems, context)
        result = SuiteResult({})
        for form, requests in self.forms(problems, context).items():
            self._examine(form, problems, requests, context, result)
        return result

    def forms(self, problems: Sequence[Problem], context: SuiteContext) -> dict[str, list[Request]]:
        """What is asked, by form."""
        wanted = self.settings.prompt
        found: dict[str, list[Request]] = {}
        if wanted != "chat":
            found["plain"] = [request(item.plain, item, context) for item in problems]
        if wanted != "plain":
            try:
                found["chat"] = chats(problems, context)
            except BurilError as problem:
                if problem.code != "T017" or wanted != "auto":
                    raise
        return found

    def suffix(self, form: str) -> str:
        """What the names of a form's measures end with."""
        return " chat" if form == "chat" and not self.one_form else ""

    def _examine(
        self,
        form: str,
        problems: Sequence[Problem],
        requests: Sequence[Request],
        context: SuiteContext,
        result: SuiteResult,
    ) -> None:
        told, suffix = self.settings, self.suffix(form)

        def complete(kind: str, **drawing: Any) -> list[Judged]:
            drawn = [replace(one, **drawing) for one in requests]
            return self._complete((form, kind), problems, drawn, context, result)

        for part in self.parts():  # a kind without tasks has a measure too, over none
            result.measures.setdefault(f"pass@1{part}{suffix}", Measure("share", "higher"))
            for name, measure in self.extra().items():
                result.measures.setdefault(f"{name}{part}{suffix}", Measure(measure, "higher"))
        greedy = complete("greedy")
        for item, judged in zip(problems, greedy, strict=True):
            self._add(result, f"pass@1{self.part(item)}{suffix}", "share", item, float(sum(judged.passed)))
            for name, score in judged.scores.items():
                self._add(result, f"{name}{self.part(item)}{suffix}", self.extra()[name], item, score)
        self._repair(form, problems, greedy, context, result)
        if not self._ks() and not self.choices():
            return
        counts = complete("sampled", temperature=told.temperature, top_p=told.top_p, num_samples=told.samples)
        for item, judged in zip(problems, counts, strict=True):
            for k in self._ks():
                name = name_of(k) + self.part(item) + suffix
                score = self._pass_at_k.score(len(judged.passed), sum(judged.passed), k)
                self._add(result, name, "ratio", item, score)
            for way, place in judged.chosen.items():
                name = self._chosen_name(way) + self.part(item) + suffix
                self._add(result, name, "share", item, float(judged.passed[place]))

    def _repair(
        self,
        form: str,
        problems: Sequence[Problem],
        greedy: Sequence[Judged],
        context: SuiteContext,
        result: SuiteResult,
    ) -> None:
        """The rounds in which answers are put right: a score for each, over all tasks."""
        texts, passed = [judged.texts[0] for judged in greedy], [judged.passed[0] for judged in greedy]
        for number in range(1, self.rounds() + 1):
            repairs = self.repairs(problems, texts, context)
            if repairs is None:
                return
            places = [place for place, one in enumerate(repairs) if one is not None]
            put = [replace(problems[place], ask=one.ask) for place, one in enumerate(repairs) if one is not None]
            requests = [one.request for one in repairs if one is not None]
            judged = self._complete((form, f"repair-{number}"), put, requests, context, result)
            for place, found in zip(places, judged, strict=True):
                texts[place], passed[place] = found.texts[0], found.passed[0]
            for item, right in zip(problems, passed, strict=True):
                self._add(result, f"repair@{number}{self.part(item)}{self.suffix(form)}", "share", item, float(right))

    def _complete(
        self,
        of: tuple[str, str],
        problems: Sequence[Problem],
        requests: Sequence[Request],
        context: SuiteContext,
        result: SuiteResult,
    ) -> list[Judged]:
        """Ask for each problem's samples, judge them, and keep them as those of a form and a kind."""
        told = {item.name: asked(one, item.ask) for item, one in zip(problems, requests, strict=True)}
        made = context.generator.complete(requests)
        return self._verdicts(problems, made, context, partial(self._tell, result, (*of, told)))

    def _tell(
        self,
        result: SuiteResult,
        of: tuple[str, str, dict[str, dict[str, Any]]],
        sample: tuple[int, Problem, Completion, str],
        verdict: Verdict,
    ) -> None:
        """Keep a sample: what was asked, written and found is always the same; what it took differs from run to run."""
        (form, kind, told), (place, item, completion, text) = of, sample
        key = {"id": item.name, "sample": f"{kind}-{place}", "form": form}
        result.samples.append({
            **key, "language": item.language, **told[item.name], "completion": text,
            "tokens": len(completion.tokens), "finish_reason": completion.finish_reason, "status": verdict.status,
            "detail": ADDRESS.sub("0x…", verdict.detail), "output": ADDRESS.sub("0x…", verdict.out[:SHOWN]),
            "forgeable": verdict.forgeable, **self.more(item, verdict),
        })  # fmt: skip
        result.resources.append({**key, "cpu_ms": verdict.cpu_ms, "wall_ms": verdict.wall_ms, "rss_kb": verdict.rss_kb})

    def _chosen_name(self, way: str) -> str:
        """What pass@1 of answers chosen from the samples is called: its price stands in its name."""
        return f"{way}@{self.settings.samples}"

    def _add(
        self, result: SuiteResult, name: str, kind: Literal["share", "ratio"], item: Problem, score: float
    ) -> None:
        places = [result.measures]
        if self.by_language:
            places.append(result.by_language.setdefault(item.language, {}))
        for measures in places:
            measures.setdefault(name, Measure(kind, "higher")).add(item.name, score)

    def _verdicts(
        self,
        problems: Sequence[Problem],
        made: Iterable[list[Completion]],
        context: SuiteContext,
        tell: Tell,
    ) -> list[Judged]:
        """Judge what is generated, and tell of each sample."""
        counts: list[Judged] = []
        held: list[tuple[Problem, list[Completion]]] = []
        for item, completions in zip(problems, made, strict=True):
            held.append((item, completions))
            if sum(len(written) for _item, written in held) >= AT_ONCE or len(counts) + len(held) == len(problems):
                counts += self._judged(held, context, tell)
                held = []
                context.progress(len(counts), len(problems))
        return counts

    def _judged(
        self,
        held: Sequence[tuple[Problem, list[Completion]]],
        context: SuiteContext,
        tell: Tell,
    ) -> list[Judged]:
        """What came of several tasks, whose programs are judged together: several run at a time."""
        read = [(item, [self.text_of(one, item) for one in completions]) for item, completions in held]
        programs = [(item, item.head + text + item.tail) for item, texts in read for text in texts]
        verdicts = iter(self.judge([item for item, _text in programs], [text for _item, text in programs], context))
        found = []
        several = [pair for pair in read if len(pair[1]) > 1]
        chosen = iter(self.choose(several, context) if self.choices() and several else ())
        for (item, texts), (_item, completions) in zip(read, held, strict=True):
            its: list[Verdict] = []
            scores: dict[str, float] = {}
            for place, (text, completion) in enumerate(zip(texts, completions, strict=True)):
                verdict = next(verdicts)
                if verdict.status == "harness_error":
                    raise BurilError("E007", task=item.name, detail=verdict.detail)
                tell((place, item, completion, text), verdict)
                scores = scores or (self.scores(item, verdict) if place == 0 else {})
                its.append(verdict)
            found.append(Judged(texts, its, next(chosen, {}) if len(texts) > 1 else {}, scores))
        return found


def request(prompt: str | tuple[int, ...], item: Problem, context: SuiteContext, *, prefill: str = "") -> Request:
    """A problem's greedy request."""
    return Request(
        prompt, prefill=prefill, max_tokens=context.max_tokens, stop=item.stops, seed=context.seed, name=item.name
    )


def chats(problems: Sequence[Problem], context: SuiteContext) -> list[Request]:
    """Each problem as a chat whose answer is begun.

    Raises:
        BurilError: T017 when the model has no chat template.
    """
    asked = [context.generator.chat([{"role": "user", "content": item.ask}]) for item in problems]
    return [request(ids, item, context, prefill=item.prefill) for ids, item in zip(asked, problems, strict=True)]


def name_of(k: int) -> str:
    """What pass@k of drawn samples is called; pass@1 alone is that of greedy completions."""
    return "pass@1 sampled" if k == 1 else f"pass@{k}"


def taken(problems: Sequence[Problem], context: SuiteContext) -> list[Problem]:
    """As many as the bound allows, chosen by a hash of their names, in their own order."""
    kept = sorted(problems, key=lambda item: drawn(item.name, context.seed))[: context.max_items]
    names = {item.name for item in kept}
    return [item for item in problems if item.name in names]


def does_not_hold(item: Problem, verdict: Verdict, stub: str) -> BurilError:
    """The error for a task whose own solution fails, or whose tests pass what does nothing."""
    return BurilError("E006", task=item.name, good=verdict.status, stub=stub, detail=verdict.detail)
