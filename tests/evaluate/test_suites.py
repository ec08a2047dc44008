from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from buril.core.artifact import Artifact
from buril.core.errors import BurilError
from buril.core.plugins import plugin
from buril.evaluate.suite import SuiteContext
from buril.evaluate.suites import basics
from buril.evaluate.suites._basics_tasks import TASKS
from buril.evaluate.suites._python import body_of
from buril.evaluate.suites.basics import Basics
from buril.evaluate.suites.completion import Completion as CompletionSuite
from buril.evaluate.suites.completion import cut
from buril.evaluate.suites.perplexity import Perplexity
from buril.generators._generator import Completion
from buril.sandboxes._sandbox import Verdict
from buril.sandboxes.namespaces import Namespaces

MakeInputs = Callable[[], dict[str, Artifact]]


@pytest.fixture(scope="module")
def sandbox() -> Any:
    with Namespaces(Namespaces.Settings()) as made:
        yield made


def context(split: Artifact, generator: Any = None, **limits: Any) -> SuiteContext:
    return SuiteContext(generator, split, lambda: pytest.fail("no sandbox needed"), **limits)


def opened(canned: str, given: dict[str, Artifact], *, tuned: bool = False) -> Any:
    kind = plugin("generator", canned)
    generator = kind(kind.Settings())
    extra = {"adapter_dir": given["train"].path("adapter")} if tuned else {}
    generator.open(given["base"].path("model"), given["tokenizer"].path("tokenizer"), **extra)
    return generator


# --- basics


def test_every_solution_passes_and_every_stub_fails(sandbox: Namespaces) -> None:
    suite, told = Basics(Basics.Settings()), SuiteContext(None, None, lambda: sandbox)  # type: ignore[arg-type]
    problems = suite.problems(told)
    assert [item.name for item in problems] == [task.name for task in TASKS]
    assert len(TASKS) >= 48 and len({task.name for task in TASKS}) == len(TASKS)
    assert all(len(task.calls) >= 5 and task.prompt.endswith('"""\n') for task in TASKS)
    solved = suite.judge(problems, [task.prompt + task.solution for task in TASKS], told)
    assert [task.name for task, verdict in zip(TASKS, solved, strict=True) if not verdict.passed] == []
    for body in ("    pass\n", "    return None\n", "    return 0\n", "    return True\n", "    return []\n"):
        stubs = suite.judge(problems, [task.prompt + body for task in TASKS], told)
        assert [task.name for task, verdict in zip(TASKS, stubs, strict=True) if verdict.passed] == []


def test_a_task_that_does_not_hold_stops_before_generation(
    sandbox: Namespaces, inputs: MakeInputs, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dataclasses import replace

    monkeypatch.setattr(basics, "TASKS", (TASKS[0], replace(TASKS[1], solution="    return 'wrong'\n")))
    told = SuiteContext(None, inputs()["split"], lambda: sandbox)  # type: ignore[arg-type]  # no model is loaded yet
    with pytest.raises(BurilError) as caught:
        Basics(Basics.Settings()).check(told)
    assert caught.value.code == "E006" and TASKS[1].name in caught.value.cause


class Broken(Namespaces):
    """A sandbox whose workers die under it, as when somebody kills them."""

    def run_all(self, jobs: Any) -> Any:
        return [Verdict("harness_error", detail="the worker is gone") for _job in jobs]


def test_a_sandbox_that_breaks_is_no_verdict_on_the_model(inputs: MakeInputs, canned: str) -> None:
    given = inputs()
    told = SuiteContext(opened(canned, given), given["split"], lambda: Broken(Namespaces.Settings()), max_items=2)
    with pytest.raises(BurilError) as caught:
        Basics(Basics.Settings()).run(told)
    assert caught.value.code == "E007" and "the worker is gone" in caught.value.cause


def test_a_bound_takes_the_same_tasks_always(inputs: MakeInputs) -> None:
    split, suite = inputs()["split"], Basics(Basics.Settings())

    def chosen(**limits: int) -> list[str]:
        return [item.name for item in suite.problems(context(split, **limits))]

    few = chosen(max_items=5)
    assert len(few) == 5 and few == chosen(max_items=5)
    assert set(few) < set(chosen(max_items=9)) and few != chosen(max_items=5, seed=1)


def test_the_body_ends_with_its_indentation() -> None:
    made = Completion("    x = 1\n\n    return x\nprint(1)\n    y", (), "eos", 0.0)
    assert body_of(made) == "\n    x = 1\n\n    return x\n"


# --- completion


@pytest.mark.parametrize(
    ("language", "head", "written", "kept"),
    [
        ("python", "def f(a):\n", "    return a\n\n\ndef g():\n    pass\n", "    return a"),
        (
            "python",
            "    def f(self):\n",
            "        if self:\n            return 1\n        return 2\n\n    x = 3\n",
            "        if self:\n            return 1\n        return 2",
        ),
        (
            "javascript",
            "function f(a) {",
            "\n  if (a) { return 1; }\n  return 2;\n}\nf(3);\n",
            "\n  if (a) { return 1; }\n  return 2;\n}",
        ),
        ("go", "func f(a int) int {", "\n\treturn a\n}\n\nfunc g() {\n}\n", "\n\treturn a\n}"),
    ],
)
def test_what_follows_the_function_is_cut(language: str, head: str, written: str, kept: str) -> None:
    assert cut(head, written, language).rstrip() == kept


def test_holes_are_the_same_for_every_model_and_bounded(inputs: MakeInputs) -> None:
    suite, split = CompletionSuite(CompletionSuite.Settings(per_file=1)), inputs()["split"]
    holes = suite.holes(context(split))
    assert len(holes) == 9 and len({hole.file.row_id for hole in holes}) == 9
    assert [hole.key for hole in suite.holes(context(split, max_items=4))] == [hole.key for hole in holes[:4]]
    for hole in holes:
        assert (hole.prompt + hole.body) in hole.file.content and hole.prompt.endswith(hole.head)


# --- perplexity


@pytest.mark.parametrize("size", [8, 16, 33, 1000])
def test_windows_score_every_token_once(canned: str, inputs: MakeInputs, size: int) -> None:
    """The canned scores depend on the token alone, so windows of any size must give the same sums."""
    given = inputs()
    generator = opened(canned, given)
    result = Perplexity(Perplexity.Settings(context=size)).run(context(given["split"], generator))
    whole = Perplexity(Perplexity.Settings(context=100_000)).run(context(given["split"], generator))
    for name, measure in result.measures.items():
        assert measure.numerators == pytest.approx(whole.measures[name].numerators)
        assert measure.denominators == whole.measures[name].denominators
    sizes = {file.row_id: len(file.content.encode()) for file in context(given["split"]).test_files()}
    per_file = dict(
        zip(whole.measures["bits_per_byte"].units, whole.measures["bits_per_byte"].denominators, strict=True)
    )
    assert per_file == sizes


def test_a_long_file_is_cut_at_a_line(canned: str, inputs: MakeInputs) -> None:
    given = inputs()
    result = Perplexity(Perplexity.Settings()).run(context(given["split"], opened(canned, given), max_file_tokens=60))
    assert all(0 < sample["tokens"] <= 60 and sample["tokens"] == sample["bytes"] for sample in result.samples)


def test_by_language_adds_up(canned: str, inputs: MakeInputs) -> None:
    given = inputs()
    result = Perplexity(Perplexity.Settings()).run(context(given["split"], opened(canned, given)))
    for name, measure in result.measures.items():
        parts = [found[name] for found in result.by_language.values()]
        assert sum(measure.numerators) == pytest.approx(sum(sum(part.numerators) for part in parts))
        assert len(measure.units) == sum(len(part.units) for part in parts) == 9


def test_the_body_starts_on_a_line_of_its_own() -> None:
    for text in ("    return 1", "\n    return 1\n", "\n\n    return 1\n\n"):
        assert body_of(Completion(text, (), "eos", 0.0)) == "\n    return 1\n"


def test_the_form_of_the_prompt_follows_the_model(canned: str, inputs: MakeInputs, sandbox: Namespaces) -> None:
    given = inputs()
    made = SuiteContext(opened(canned, given), given["split"], lambda: sandbox, max_items=2)
    assert {row["form"] for row in Basics(Basics.Settings()).run(made).samples} == {"examples"}
    assert {row["form"] for row in Basics(Basics.Settings(prompt="plain")).run(made).samples} == {"plain"}
    with pytest.raises(BurilError) as caught:
        Basics(Basics.Settings(prompt="chat")).run(made)
    assert caught.value.code == "T017"


def test_a_metric_of_passed_samples_is_refused_before_the_run() -> None:
    with pytest.raises(ValueError, match="does not compare texts"):
        CompletionSuite.Settings.model_validate({"metrics": ["pass_at_k"]})
    assert CompletionSuite.Settings.model_validate({"metrics": ["bleu"]}).metrics[0].name == "bleu"
