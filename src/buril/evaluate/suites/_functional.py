"""What suites of tasks with tests share: how tasks are put to a model, and how what it wrote is judged.

Every task proves itself before a model is loaded: its own solution passes and a function that does nothing fails, on
this machine. Tests are played back (`evaluate/_replay.py`), so that no verdict is within a candidate's reach.
"""

from __future__ import annotations

import gzip
import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal, NamedTuple

from pydantic import Field

from buril.core.artifact import sha256_file
from buril.core.errors import BurilError
from buril.core.settings import Settings as BaseSettings
from buril.evaluate._replay import Exam, Script, judged, scripts
from buril.evaluate.metrics.pass_at_k import PassAtK
from buril.evaluate.suite import Measure, SuiteContext, SuiteResult, drawn
from buril.evaluate.suites.basics import ADDRESS, name_of
from buril.generators._generator import Completion, Request
from buril.sandboxes._sandbox import Limits, Sandbox, Verdict

AT_ONCE = 64
"""Programs that are judged at once: enough for all workers, and progress shows."""
Form = Literal["plain", "chat"]


class Problem(NamedTuple):
    """A task as a suite puts it.

    Attributes:
        exam: its tests and its own solution.
        plain: a text to go on from.
        ask: what a user says in a chat.
        prefill: how the answer of the chat begins.
        head: what stands before a completion in the program that is judged.
    """

    exam: Exam
    plain: str
    ask: str
    prefill: str
    head: str


class Functional(ABC):
    """pass@1 of the likeliest completion of each task; with `samples`, also pass@k of completions at a temperature."""

    version: ClassVar[int] = 1
    name: ClassVar[str]
    """The suite's name in the YAML."""
    stops: ClassVar[tuple[str, ...]]
    """Texts that end a completion."""

    class Settings(BaseSettings):
        """Where the tasks are, how they are put, and how many completions are drawn."""

        path: Path | None = None
        """The file of the tasks; its bytes are part of the identity, its place is not."""
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

        def identity(self) -> dict[str, Any]:
            """The settings, with the digest of the file instead of its path."""
            found = super().identity()
            return {**found, "path": sha256_file(self.file()) if self.file().is_file() else str(self.path)}

        def file(self) -> Path:
            """The file of the tasks, there or not."""
            return self.path or Path("tasks.jsonl")

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._pass_at_k = PassAtK()
        self._scripts: dict[str, Script] = {}

    @abstractmethod
    def problem(self, line: dict[str, Any]) -> Problem:
        """A task from its line in the file; KeyError and TypeError where it is none."""

    @abstractmethod
    def text_of(self, completion: Completion) -> str:
        """What of a completion belongs to the program."""

    def metrics(self) -> tuple[str, ...]:
        """Their names: `pass@1` is of greedy completions, `pass@1 sampled` of samples, `… chat` of chats."""
        plain = ("pass@1", *map(name_of, self._ks()))
        forms = {"plain": ("",), "chat": (" chat",)}.get(self.settings.prompt, ("", " chat"))
        return tuple(name + form for form in forms for name in plain)

    def _ks(self) -> list[int]:
        return sorted({k for k in self.settings.k if 1 <= k <= self.settings.samples})

    def problems(self, context: SuiteContext) -> list[Problem]:
        """The tasks taken, in the file's order: all, or as many as the bound allows, chosen by a hash of their names.

        Raises:
            BurilError: E008 without the file, E009 when it holds something else.
        """
        path = self.settings.file()
        found = []
        for number, line in enumerate(self._lines(path), 1):
            try:
                found.append(self.problem(line))
            except (KeyError, TypeError, ValueError) as problem:
                raise BurilError(
                    "E009", path=path, line=number, problem=f"{type(problem).__name__}: {problem}"
                ) from None
        kept = sorted(found, key=lambda item: drawn(item.exam.name, context.seed))[: context.max_items]
        names = {item.exam.name for item in kept}
        return [item for item in found if item.exam.name in names]

    def _lines(self, path: Path) -> Iterable[dict[str, Any]]:
        """The file's objects: JSON lines, gzipped or not, or one JSON list."""
        try:
            raw = path.read_bytes()
            text = (gzip.decompress(raw) if raw[:2] == b"\x1f\x8b" else raw).decode("utf-8")
        except FileNotFoundError:
            raise BurilError("E008", suite=self.name, path=path) from None
        except (OSError, EOFError, UnicodeDecodeError) as problem:
            raise BurilError("E009", path=path, line=0, problem=problem) from problem
        try:
            found = json.loads(text) if text.lstrip().startswith("[") else [
                json.loads(line) for line in text.splitlines() if line.strip()
            ]  # fmt: skip
        except ValueError as problem:
            raise BurilError("E009", path=path, line=text[: getattr(problem, "pos", 0)].count("\n") + 1,
                             problem=problem) from problem  # fmt: skip
        return list(found)

    def check(self, context: SuiteContext) -> None:
        """Every task's own solution must pass its tests and an empty function must fail them, here and now.

        Raises:
            BurilError: E001 without isolation, E006 when a task does not hold, E008, E009.
        """
        problems, sandbox = self._prepared(context, holds=True), context.sandbox()
        good = self._judge(problems, [item.exam.solution for item in problems], sandbox)
        empty = [f"{item.head}\n\ndef {item.exam.entry}(*_all, **_named):\n    pass\n" for item in problems]
        for item, verdict, stub in zip(problems, good, self._judge(problems, empty, sandbox), strict=True):
            if not verdict.passed or stub.passed:
                self._does_not_hold(item, verdict, stub.status)

    def _prepared(self, context: SuiteContext, *, holds: bool = False) -> list[Problem]:
        """The tasks taken, with the scripts of their tests; with `holds` each must have one."""
        problems = self.problems(context)
        made = scripts([item.exam for item in problems], context.sandbox())
        for item, script in zip(problems, made, strict=True):
            if isinstance(script, Verdict):
                if holds:
                    self._does_not_hold(item, script, "–")
                script = Script(item.exam, Limits(), None)  # noqa: PLW2901  no one asked whether it holds
            self._scripts[item.exam.name] = script
        return problems

    def _does_not_hold(self, item: Problem, verdict: Verdict, stub: str) -> None:
        raise BurilError("E006", task=item.exam.name, good=verdict.status, stub=stub, detail=verdict.detail)

    def _judge(self, problems: Sequence[Problem], programs: Sequence[str], sandbox: Sandbox) -> list[Verdict]:
        asked = [(self._scripts[item.exam.name], program) for item, program in zip(problems, programs, strict=True)]
        found: list[Verdict] = []
        for start in range(0, len(asked), AT_ONCE):
            found += judged(asked[start : start + AT_ONCE], sandbox)
        for item, verdict in zip(problems, found, strict=True):
            if verdict.status == "harness_error":
                raise BurilError("E007", task=item.exam.name, detail=verdict.detail)
        return found

    def run(self, context: SuiteContext) -> SuiteResult:
        """Complete at most `max_items` tasks in each form and judge what came."""
        problems = self._prepared(context)
        result = SuiteResult({})
        for form, prompts in self._forms(problems, context).items():
            self._examine(form, problems, prompts, context, result)
        return result

    def _forms(self, problems: Sequence[Problem], context: SuiteContext) -> dict[Form, list[str | tuple[int, ...]]]:
        """The prompts by form. The last line break of a plain one is left to the model to write."""
        wanted = self.settings.prompt
        found: dict[Form, list[str | tuple[int, ...]]] = {}
        if wanted != "chat":
            found["plain"] = [item.plain for item in problems]
        if wanted != "plain":
            try:
                found["chat"] = [
                    context.generator.chat([{"role": "user", "content": item.ask}], item.prefill) for item in problems
                ]
            except BurilError as problem:
                if problem.code != "T017" or wanted != "auto":
                    raise
        return found

    def _examine(
        self,
        form: Form,
        problems: Sequence[Problem],
        prompts: Sequence[Any],
        context: SuiteContext,
        result: SuiteResult,
    ) -> None:
        told, suffix = self.settings, " chat" if form == "chat" else ""

        def complete(kind: str, **drawing: Any) -> list[tuple[int, int]]:
            common = {"max_tokens": context.max_tokens, "stop": self.stops, "seed": context.seed, **drawing}
            made = context.generator.complete([Request(prompt, **common) for prompt in prompts])
            return self._verdicts(
                problems, made, context, lambda *row: result.samples.append(_sample(form, kind, *row))
            )

        first = result.measures.setdefault(f"pass@1{suffix}", Measure("share", "higher"))
        for item, (num_passed, _n) in zip(problems, complete("greedy"), strict=True):
            first.add(item.exam.name, num_passed)
        if not self._ks():
            return
        counts = complete("sampled", temperature=told.temperature, top_p=told.top_p, num_samples=told.samples)
        for k in self._ks():
            measure = result.measures.setdefault(name_of(k) + suffix, Measure("ratio", "higher"))
            for item, (num_passed, n) in zip(problems, counts, strict=True):
                measure.add(item.exam.name, self._pass_at_k.score(n, num_passed, k))

    def _verdicts(
        self,
        problems: Sequence[Problem],
        made: Iterable[list[Completion]],
        context: SuiteContext,
        tell: Callable[[int, Problem, str, Verdict], None],
    ) -> list[tuple[int, int]]:
        """Judge what is generated; tells of each sample and returns (passed, all) for each task."""
        counts = []
        for number, (item, completions) in enumerate(zip(problems, made, strict=True), 1):
            texts = [self.text_of(completion) for completion in completions]
            verdicts = self._judge([item] * len(texts), [item.head + text for text in texts], context.sandbox())
            for place, (text, verdict) in enumerate(zip(texts, verdicts, strict=True)):
                tell(place, item, text, verdict)
            counts.append((sum(verdict.passed for verdict in verdicts), len(verdicts)))
            context.progress(number, len(problems))
        return counts


def _sample(form: Form, kind: str, *row: Any) -> dict[str, Any]:
    """A row of the samples; measurements are left out and addresses blanked, so that it is the same every time."""
    place, item, text, verdict = row
    return {
        "id": item.exam.name, "sample": f"{kind}-{place}", "form": form, "prompt": item.plain, "completion": text,
        "status": verdict.status, "detail": ADDRESS.sub("0x…", verdict.detail),
        "output": ADDRESS.sub("0x…", verdict.out[:2000]), "forgeable": verdict.forgeable,
    }  # fmt: skip
