"""What exported tasks call from within lm-evaluation-harness: their documents, and the verdicts of their suite.

All answers of a task are judged at once, in the sandbox. Nothing that a model wrote runs in the harness's process.
"""

from __future__ import annotations

import atexit
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from buril.core.errors import BurilError
from buril.core.plugins import plugin, settings_of
from buril.evaluate.metrics.pass_at_k import PassAtK
from buril.evaluate.suite import SuiteContext
from buril.evaluate.suites._coding import Coding, Problem
from buril.generators._generator import Completion
from buril.sandboxes._sandbox import Sandbox

AT_ONCE = 64
"""Programs that are judged together: enough for all workers."""
ALL = 1 << 40
"""No bound on the tasks: which are asked is told by the documents."""


@dataclass(frozen=True)
class _Examiner:
    """A suite that judges, what it judges with, and its problems by name."""

    suite: Coding
    context: SuiteContext
    problems: Mapping[str, Problem]


def documents(path: Path) -> dict[str, Any]:
    """The documents of an exported task, as the harness takes data that it did not fetch itself."""
    from datasets import Dataset

    with path.open(encoding="utf-8") as lines:
        return {"test": Dataset.from_list([json.loads(line) for line in lines])}


def verdicts(
    folder: Path, answers: Sequence[Sequence[str]], asked: Sequence[Mapping[str, Any]]
) -> list[list[dict[str, Any]]]:
    """Of each document's answers: the status, whether it passed, and whether that could be forged.

    Raises:
        BurilError: E001 without isolation, E007 when the sandbox broke.
    """
    programs = [
        (_examiner(folder, str(item["suite"])), str(item["id"]), text)
        for item, texts in zip(asked, answers, strict=True)
        for text in texts
    ]
    found: list[dict[str, Any]] = []
    for start in range(0, len(programs), AT_ONCE):
        found += _judged(programs[start : start + AT_ONCE])
    told = iter(found)
    return [[next(told) for _text in texts] for texts in answers]


def scores(
    folder: Path, document: Mapping[str, Any], results: Sequence[Sequence[Mapping[str, Any]]]
) -> dict[str, float]:
    """pass@1 of a document's one answer, or pass@k of its samples, as its suite's settings say."""
    passed = [bool(verdict["passed"]) for verdict in results[0]]
    if len(passed) == 1:
        return {"pass@1": float(passed[0])}
    settings = _examiner(folder, str(document["suite"])).suite.settings
    ks = [k for k in settings.k if 1 <= k <= len(passed)]
    return {f"pass@{k}": PassAtK().score(len(passed), sum(passed), k) for k in ks}


def _judged(programs: Sequence[tuple[_Examiner, str, str]]) -> Iterator[dict[str, Any]]:
    """The verdicts on answers to problems of one suite."""
    examiner = programs[0][0]
    problems = [examiner.problems[name] for _examiner, name, _text in programs]
    examiner.suite.prepare(problems, examiner.context)
    texts = [
        examiner.suite.text_of(Completion(text, (), "stop", 0.0), problem)
        for (_examiner, _name, text), problem in zip(programs, problems, strict=True)
    ]
    whole = [problem.head + text + problem.tail for problem, text in zip(problems, texts, strict=True)]
    for problem, verdict in zip(problems, examiner.suite.judge(problems, whole, examiner.context), strict=True):
        if verdict.status == "harness_error":
            raise BurilError("E007", task=problem.name, detail=verdict.detail)
        yield {"passed": verdict.passed, "status": verdict.status, "forgeable": verdict.forgeable}


@cache
def _examiner(folder: Path, name: str) -> _Examiner:
    """The suite of an exported folder, ready to judge."""
    told = json.loads((folder / f"{name}.suite.json").read_text(encoding="utf-8"))
    settings = dict(told["settings"])
    if settings.get("path"):
        settings["path"] = folder / settings["path"]
    suite: Coding = plugin("suite", name)(settings_of("suite", name).model_validate(settings))
    nothing: Any = None
    context = SuiteContext(nothing, nothing, _sandbox, int(told["seed"]), ALL)
    return _Examiner(suite, context, {item.name: item for item in suite.problems(context)})


@cache
def _sandbox() -> Sandbox:
    """One sandbox for this process."""
    made: Sandbox = plugin("sandbox", "namespaces")(settings_of("sandbox", "namespaces")())
    atexit.register(made.close)
    return made
