"""Basics: short Python tasks of our own, from easy to middling, judged by running what the model wrote in the sandbox.

Before a model is loaded every task proves itself: its own solution passes and an empty body fails, on this machine. So
a score of 0 is the model's, never the harness's.
"""

from __future__ import annotations

import re
from typing import Any, ClassVar, Literal

from buril.core.errors import BurilError
from buril.core.settings import Settings as BaseSettings
from buril.evaluate.metrics.pass_at_k import PassAtK
from buril.evaluate.suite import Measure, SuiteContext, SuiteResult, drawn
from buril.evaluate.suites._basics_tasks import TASKS, Task
from buril.generators._generator import Completion, Request
from buril.sandboxes._sandbox import Job, Verdict

STOPS = (
    "\ndef ",
    "\nclass ",
    "\nif ",
    "\nprint",
    "\nassert ",
    "\n@",
    "\n#",
    "\nfor ",
    "\nwhile ",
    "\n```",
    "\nimport ",
    "\nfrom ",
)
"""A line that starts with one of these is no longer the body. A line break must come before it."""
ADDRESS = re.compile(r"\b0x[0-9a-f]{6,}\b")
_STUB = "    pass\n"
_EXAMPLES = '''def double(number):
    """Return twice the number."""
    return number * 2


def first_letter(text):
    """Return the first letter of text, or "" if it is empty."""
    return text[0] if text else ""


'''
Form = Literal["chat", "examples", "plain"]


class Basics:
    """pass@1 of the likeliest completion; with `samples`, also pass@k of completions at a temperature."""

    version: ClassVar[int] = 1

    class Settings(BaseSettings):
        """How many completions, and how they are drawn."""

        prompt: Literal["auto", "chat", "examples", "plain"] = "auto"
        """How a task is put: as a `chat` whose answer begins with the function, after two solved `examples`, or
        `plain`. `auto` is a chat where the model has a template, else examples: a form it knows."""
        samples: int = 0
        """Completions drawn of each task besides the greedy one, for pass@k; 0 leaves pass@k out."""
        k: tuple[int, ...] = (1, 10)
        """Which pass@k to estimate from the samples; those above `samples` are left out."""
        temperature: float = 0.8
        """Temperature of the samples: high enough that they differ."""
        top_p: float = 0.95
        """Share of the probability that samples are drawn from."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._pass_at_k = PassAtK()

    def metrics(self) -> tuple[str, ...]:
        """Their names. `pass@1` is of the greedy completions, `pass@1 sampled` of the samples."""
        return ("pass@1", *(name_of(k) for k in self._ks()))

    def _ks(self) -> list[int]:
        return sorted({k for k in self.settings.k if 1 <= k <= self.settings.samples})

    def check(self, context: SuiteContext) -> None:
        """Every task's own solution must pass and an empty body must fail, here and now.

        Raises:
            BurilError: E001 without isolation, E006 when a task does not hold.
        """
        tasks = chosen(context)
        programs = [(task, task.prompt + body) for task in tasks for body in (task.solution, _STUB)]
        verdicts = list(context.sandbox().run_all([job(task, program) for task, program in programs]))
        for index, task in enumerate(tasks):
            good, stub = verdicts[2 * index], verdicts[2 * index + 1]
            if not good.passed or stub.passed:
                raise BurilError("E006", task=task.name, good=good.status, stub=stub.status, detail=good.detail)

    def run(self, context: SuiteContext) -> SuiteResult:
        """Complete at most `max_items` tasks and judge what came."""
        tasks = chosen(context)
        form, prompts = self._prompts(tasks, context)
        greedy = [Request(prompt, max_tokens=context.max_tokens, stop=STOPS, seed=context.seed) for prompt in prompts]
        result = SuiteResult({"pass@1": Measure("share", "higher")})
        counts = self._judge(tasks, greedy, context, result, kind="greedy")
        for task, (num_passed, _n) in zip(tasks, counts, strict=True):
            result.measures["pass@1"].add(task.name, num_passed)
        if self._ks():
            drawn_requests = [
                Request(
                    prompt,
                    max_tokens=context.max_tokens,
                    temperature=self.settings.temperature,
                    top_p=self.settings.top_p,
                    stop=STOPS,
                    seed=context.seed,
                    num_samples=self.settings.samples,
                )
                for prompt in prompts
            ]
            counts = self._judge(tasks, drawn_requests, context, result, kind="sampled")
            for k in self._ks():
                measure = result.measures.setdefault(name_of(k), Measure("ratio", "higher"))
                for task, (num_passed, n) in zip(tasks, counts, strict=True):
                    measure.add(task.name, self._pass_at_k.score(n, num_passed, k))
        for sample in result.samples:
            sample["form"] = form
        return result

    def _prompts(self, tasks: list[Task], context: SuiteContext) -> tuple[Form, list[str | tuple[int, ...]]]:
        """The form taken, and the tasks in it. The last line break is left to the model to write."""
        wanted = self.settings.prompt
        heads = [task.prompt.rstrip() for task in tasks]
        if wanted in ("auto", "chat"):
            ask = "Complete this Python function.\n\n```python\n{}\n```"
            try:
                return "chat", [
                    context.generator.chat([{"role": "user", "content": ask.format(head)}], f"```python\n{head}")
                    for head in heads
                ]
            except BurilError as problem:
                if problem.code != "T017" or wanted == "chat":
                    raise
        return ("plain", [*heads]) if wanted == "plain" else ("examples", [_EXAMPLES + head for head in heads])

    def _judge(
        self, tasks: list[Task], requests: list[Request], context: SuiteContext, result: SuiteResult, *, kind: str
    ) -> list[tuple[int, int]]:
        """Generate and run; adds the samples and returns (passed, all) for each task."""
        counts = []
        sandbox = context.sandbox()
        for index, (task, completions) in enumerate(zip(tasks, context.generator.complete(requests), strict=True)):
            texts = [body_of(completion) for completion in completions]
            verdicts = list(sandbox.run_all([job(task, task.prompt.rstrip() + text) for text in texts]))
            broken = next((verdict for verdict in verdicts if verdict.status == "harness_error"), None)
            if broken is not None:
                raise BurilError("E007", task=task.name, detail=broken.detail)
            for number, (text, verdict) in enumerate(zip(texts, verdicts, strict=True)):
                result.samples.append(_sample(task, f"{kind}-{number}", text, verdict))
            counts.append((sum(verdict.passed for verdict in verdicts), len(verdicts)))
            context.progress(index + 1, len(tasks))
        return counts


def name_of(k: int) -> str:
    """What pass@k of drawn samples is called; pass@1 alone is that of greedy completions."""
    return "pass@1 sampled" if k == 1 else f"pass@{k}"


def chosen(context: SuiteContext) -> list[Task]:
    """The tasks taken, in their order: all, or as many as the bound allows, chosen by a hash of their names."""
    kept = sorted(TASKS, key=lambda task: drawn(task.name, context.seed))[: context.max_items]
    return [task for task in TASKS if task in kept]


def job(task: Task, program: str) -> Job:
    """A program as the sandbox takes it."""
    return Job(program, task.entry, task.calls)


def body_of(completion: Completion) -> str:
    """What belongs to the function: the lines up to the first that is neither blank nor indented."""
    lines = ("\n" + completion.text.lstrip("\r\n")).split("\n")
    kept = 1
    while kept < len(lines) and (not lines[kept].strip() or lines[kept][0] in " \t"):
        kept += 1
    return "\n".join(lines[:kept]).rstrip() + "\n"


def _sample(task: Task, sample: str, text: str, verdict: Verdict) -> dict[str, Any]:
    """A row of the samples; measurements are left out and addresses blanked, so that it is the same every time."""
    return {
        "id": task.name,
        "sample": sample,
        "prompt": task.prompt,
        "completion": text,
        "status": verdict.status,
        "detail": ADDRESS.sub("0x…", verdict.detail),
        "output": ADDRESS.sub("0x…", verdict.out[:2000]),
        "forgeable": verdict.forgeable,
        "calls": [
            {
                "args": repr(call.args)[1:-1].rstrip(",")[:200],
                "expected": call.raises or repr(call.expected)[:200],
                "status": found.status,
                "got": ADDRESS.sub("0x…", found.got),
            }
            for call, found in zip(task.calls, verdict.calls, strict=True)
        ],
    }
