"""MultiPL-E: programs of other languages, judged by their own tests in the sandbox."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from buril.core.artifact import Artifact
from buril.core.errors import EXIT_PREREQUISITE, BurilError
from buril.core.plugins import names, plugin
from buril.evaluate.runtimes import _runtime
from buril.evaluate.runtimes._runtime import Runtime, capability, examined
from buril.evaluate.runtimes.bash import Bash
from buril.evaluate.suite import SuiteContext
from buril.evaluate.suites.multipl_e import MultiplE
from buril.sandboxes._sandbox import Outcome, Program
from buril.sandboxes.namespaces import Namespaces
from tests.evaluate.writer import Writer

DATA = Path(__file__).resolve().parents[3] / "shared/data/eval/multipl-e-humaneval"
MakeInputs = Callable[[], dict[str, Artifact]]
BASH = {
    "name": "HumanEval_0_inc", "prompt": "#!/bin/bash\n# One more.\ninc() {\n", "stop_tokens": ["\n}"],
    "tests": '}\n\ncandidate() {\n    inc "$@"\n}\n\nset -e\nrun_test() {\n    [[ $(candidate 1) = 2 ]]\n}\n\nrun_test',
}  # fmt: skip
JAVASCRIPT = {
    "name": "HumanEval_0_inc", "prompt": "//One more.\nfunction inc(n){\n", "stop_tokens": ["\nfunction "],
    "tests": "const assert = require('node:assert');\n\nfunction test() {\n  assert.deepEqual(inc(1),2);\n}\n\ntest();",
}  # fmt: skip


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Namespaces]:
    with Namespaces(Namespaces.Settings()) as made:
        yield made


@pytest.fixture
def tasks(tmp_path: Path) -> Path:
    """Two tasks of Bash, the second not like the first, and one of JavaScript."""
    again = {**BASH, "name": "HumanEval_1_inc", "prompt": BASH["prompt"].replace("One more.", "Once again.")}  # type: ignore[attr-defined]
    (tmp_path / "humaneval-sh.jsonl").write_text(f"{json.dumps(BASH)}\n{json.dumps(again)}\n")
    (tmp_path / "humaneval-js.jsonl").write_text(json.dumps(JAVASCRIPT))
    return tmp_path


def context(split: Artifact, sandbox: Any, writer: Any = None, **more: Any) -> SuiteContext:
    return SuiteContext(writer, split, lambda: sandbox, **more)


def test_each_language_has_its_score_and_its_form(tasks: Path, sandbox: Namespaces, inputs: MakeInputs) -> None:
    texts = {"One more.\ninc": "    echo $(($1 + 1))", "Once": "    echo $1", "function": "  return n + 1;\n}"}
    writer = Writer(texts, template=True)
    suite = MultiplE(MultiplE.Settings(path=tasks, languages=("js", "bash"), samples=2, k=(2,)))
    told = context(inputs()["split"], sandbox, writer)
    suite.check(told)
    found = suite.run(told)
    assert sorted(found.measures) == ["pass@1", "pass@1 chat", "pass@2", "pass@2 chat"] == sorted(suite.metrics())
    scores = {name: found.by_language[name]["pass@1"].numerators for name in found.by_language}
    assert scores == {"bash": [1.0, 0.0], "javascript": [1.0]}
    assert found.measures["pass@1"].units == [
        "bash/HumanEval_0_inc",
        "bash/HumanEval_1_inc",
        "javascript/HumanEval_0_inc",
    ]
    assert all(row["forgeable"] for row in found.samples), "tests and candidate share a process"
    assert found.to_json() == suite.run(told).to_json()
    plain = [request for request in writer.requests if request.prompt in (BASH["prompt"], JAVASCRIPT["prompt"])]
    assert {request.stop for request in plain} == {("\n}", "\n```"), ("\nfunction ", "\n```")}
    chat = next(request for request in writer.requests if request.prompt.startswith("Complete this bash function"))
    assert chat.prefill == f"```bash\n{BASH['prompt']}"


def test_samples_are_the_same_every_time_and_hold_no_mark(tasks: Path, sandbox: Namespaces, inputs: MakeInputs) -> None:
    suite = MultiplE(MultiplE.Settings(path=tasks, languages=("bash",), prompt="plain"))
    told = context(inputs()["split"], sandbox, Writer({"bash": "    echo $(($1 + 1))"}))
    first = suite.run(told).samples
    assert first == suite.run(told).samples and {row["output"] for row in first} == {"✓\n"}


def test_a_bound_is_for_each_language(tasks: Path, inputs: MakeInputs) -> None:
    suite = MultiplE(MultiplE.Settings(path=tasks, languages=("bash", "javascript")))
    found = suite.problems(context(inputs()["split"], None, max_items=1))
    assert sorted(item.language for item in found) == ["bash", "javascript"]


# --- what is asked


def test_languages_are_known_by_both_names(tasks: Path) -> None:
    told = MultiplE.Settings(path=tasks, languages=("rs", "rust", "js", "C++".lower().replace("+", "p")))
    assert told.languages == ("rust", "javascript", "cpp")
    with pytest.raises(ValidationError, match="no runtime for `rusty`; did you mean `rust`"):
        MultiplE.Settings(languages=("rusty",))


def test_without_names_it_is_what_the_machine_and_the_folder_have(tasks: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told = MultiplE.Settings(path=tasks)
    assert sorted(told.asked()) == ["bash", "javascript"]
    assert told.identity()["languages"] == ["bash", "javascript"] and set(told.identity()["path"]) == {
        "bash",
        "javascript",
    }
    monkeypatch.setattr(_runtime, "TOOL_PATH", "/nowhere")
    assert told.asked() == {}, "a language without tools is not asked for"
    assert sorted(MultiplE.Settings(path=tasks, languages=("js",)).asked()) == ["javascript"], "unless it is named"
    assert list(MultiplE.Settings(path=tasks / "humaneval-sh.jsonl").files()) == ["bash"]


def test_other_bytes_are_another_identity(tasks: Path) -> None:
    before = MultiplE.Settings(path=tasks, languages=("bash",)).identity()
    (tasks / "humaneval-js.jsonl").write_text("{}")
    assert MultiplE.Settings(path=tasks, languages=("bash",)).identity() == before, "what is not asked is no part of it"
    (tasks / "humaneval-sh.jsonl").write_text(json.dumps(BASH))
    assert MultiplE.Settings(path=tasks, languages=("bash",)).identity() != before


def test_a_language_that_does_not_run_here_is_an_error(
    tasks: Path, sandbox: Namespaces, inputs: MakeInputs, monkeypatch: pytest.MonkeyPatch
) -> None:
    suite = MultiplE(MultiplE.Settings(path=tasks, languages=("javascript",)))
    monkeypatch.setattr(_runtime, "TOOL_PATH", "/nowhere")
    with pytest.raises(BurilError) as caught:
        suite.check(context(inputs()["split"], sandbox))
    assert caught.value.code == "E010" and caught.value.exit_code == EXIT_PREREQUISITE
    assert "node not found" in caught.value.cause and "nodejs" in caught.value.hint


def test_a_folder_without_tasks_and_a_file_with_others_are_errors(
    tmp_path: Path, tasks: Path, inputs: MakeInputs
) -> None:
    told = context(inputs()["split"], None)
    with pytest.raises(BurilError) as caught:
        MultiplE(MultiplE.Settings(path=tmp_path / "empty")).problems(told)
    assert caught.value.code == "E008"
    (tasks / "humaneval-sh.jsonl").write_text(json.dumps({**BASH, "tests": "}\nrun_something_else"}))
    with pytest.raises(BurilError) as caught:
        MultiplE(MultiplE.Settings(path=tasks, languages=("bash",))).problems(told)
    assert caught.value.code == "E009" and "do not end as tests of this language do" in caught.value.cause


# --- runtimes


def test_a_probe_finds_a_runtime_that_can_be_left_early(sandbox: Namespaces) -> None:
    class Trusting(Bash):
        def verdict(self, program: Program, outcome: Outcome, mark: str) -> Any:
            return super().verdict(program, Outcome(outcome.status, outcome.command, outcome.code, "", mark), mark)

    assert capability("bash", Bash(), sandbox).works
    found = capability("bash", Trusting(), sandbox)
    assert not found.works and found.statuses[2] == "pass", "it lets what leaves with 0 pass"


def test_a_mark_is_another_for_each_program(sandbox: Namespaces, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    real = Bash.program
    monkeypatch.setattr(Bash, "program", lambda self, *told: seen.append(told[2]) or real(self, *told))  # type: ignore[func-returns-value]
    probe = Bash.probe
    assert [item.passed for item in examined(Bash(), [(probe.head + probe.right, probe.tests)] * 3, sandbox)] == [
        True
    ] * 3
    assert len(set(seen)) == 3 and all(len(mark) == 32 for mark in seen)


@pytest.mark.parametrize("name", [name for name in names("runtime") if plugin("runtime", name).code != "python"])
def test_every_published_task_can_be_marked(name: str) -> None:
    runtime: Runtime = plugin("runtime", name)()
    path = DATA / f"humaneval-{runtime.code}.jsonl"
    if not path.exists():
        pytest.skip("the published tasks are not beside this checkout")
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    assert len(lines) > 150
    for line in lines:
        marked = runtime.marked(line["tests"], "THE-MARK")
        assert marked.count("THE-MARK") == 1


def test_tools_without_the_libraries_of_their_tests_are_not_found() -> None:
    class Bare(Bash):
        libraries = ("-c", "exit 1")

    class Whole(Bash):
        libraries = ("-c", "exit 0")

    assert Bare().found() is None and Whole().found() == Bash().found() is not None
