"""`buril score`: completions of files and servers, without a chain, and what two of them differ by."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.generators.api import Api

TASKS = [
    {"task_id": f"T/{number}", "entry_point": "f", "prompt": f"def f(n):\n    # plus {number}\n",
     "canonical_solution": f"    return n + {number}\n",
     "test": f"def check(f):\n    assert f(1) == 1 + {number}\n    assert f(5) == 5 + {number}\n"}
    for number in range(1, 5)
]  # fmt: skip


@pytest.fixture
def told(tmp_path: Path) -> Callable[..., Path]:
    """Writes rows, one a line; the tasks are there."""

    def write(name: str, rows: list[Any]) -> Path:
        path = tmp_path / name
        path.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
        return path

    write("tasks.jsonl", TASKS)
    return write


SUITE = "humaneval: {path: tasks.jsonl}"


def right(number: int) -> str:
    return f"    return n + {number}\n\nprint('more')\n"


def test_a_file_is_scored_and_what_goes_on_is_cut(call: Callable[..., Any], told: Callable[..., Path]) -> None:
    told("a.jsonl", [{"task_id": f"T/{number}", "completion": right(number)} for number in (1, 2, 3)]
         + [{"task_id": "T/4", "completion": "    return n + 4 if n == 1 else 0\n"}])  # fmt: skip
    done = call("score", "a.jsonl", "--suite", SUITE, "--json")
    assert done.code == 0, done.err
    found = json.loads(done.out)
    metrics = found["suites"]["humaneval"]["metrics"]
    assert metrics["pass@1"]["score"]["value"] == 0.75 and metrics["pass@1"]["score"]["n"] == 4
    assert metrics["tests@1"]["score"]["value"] == 0.875
    assert found["generators"]["score"]["name"] == "file"
    assert len(found["generators"]["score"]["settings"]["path"]) == 64, "its bytes, not its place"


def test_two_files_are_compared_task_by_task(
    call: Callable[..., Any], told: Callable[..., Path], tmp_path: Path
) -> None:
    told("a.jsonl", [{"task_id": f"T/{number}", "completion": right(number)} for number in (1, 2, 3, 4)])
    told(
        "b.jsonl",
        [{"task_id": f"T/{number}", "solution": TASKS[number - 1]["prompt"] + right(1)} for number in range(1, 5)],
    )
    done = call("score", "a.jsonl", "b.jsonl", "--suite", SUITE, "--out", "scored")
    assert done.code == 0, done.err
    line = next(line for line in done.out.splitlines() if "pass@1" in line)
    assert line.split()[1] == "1" and "n=4" in line and "-0.75" in line
    rows = [json.loads(row) for row in (tmp_path / "scored/samples/humaneval.tuned.jsonl").read_text().splitlines()]
    assert [row["status"] for row in rows] == ["pass", "wrong", "wrong", "wrong"]
    results = json.loads((tmp_path / "scored/results.json").read_text())
    assert set(results["suites"]["humaneval"]["metrics"]["pass@1"]) == {"base", "tuned", "difference", "better"}


def test_several_completions_of_every_task_give_pass_at_k(
    call: Callable[..., Any], told: Callable[..., Path], tmp_path: Path
) -> None:
    rows = [{"id": f"T/{number}", "completion": right(number if place == 3 else 9)}
            for number in range(1, 5) for place in range(5)]  # fmt: skip
    (tmp_path / "a.jsonl.gz").write_bytes(gzip.compress("\n".join(map(json.dumps, rows)).encode()))
    done = call("score", "a.jsonl.gz", "--suite", SUITE, "--json")
    metrics = json.loads(done.out)["suites"]["humaneval"]["metrics"]
    assert metrics["pass@5"]["score"]["value"] == 1 and metrics["pass@1 sampled"]["score"]["value"] == pytest.approx(
        0.2
    )
    assert metrics["pass@1"]["score"]["value"] == 0, "the first stands for the greedy one"


def test_rows_of_an_evaluation_are_scored_again(call: Callable[..., Any], told: Callable[..., Path]) -> None:
    rows = []
    for number in range(1, 5):
        row = {"id": f"T/{number}", "form": "plain"}
        rows += [{**row, "sample": f"sampled-{place}", "completion": "    pass\n"} for place in range(2)]
        rows += [{**row, "sample": "greedy-0", "completion": right(number)}]
        rows += [{**row, "sample": "greedy-0", "form": "chat", "completion": "    pass\n"}]
    told("rows.jsonl", rows)
    metrics = json.loads(call("score", "rows.jsonl", "--suite", SUITE, "--json").out)["suites"]["humaneval"]["metrics"]
    assert metrics["pass@1"]["score"]["value"] == 1 and metrics["pass@1 sampled"]["score"]["value"] == 0
    chat = call("score", "--generator", "file: {path: rows.jsonl, form: chat}", "--suite", SUITE, "--json")
    assert json.loads(chat.out)["suites"]["humaneval"]["metrics"]["pass@1"]["score"]["value"] == 0


def test_a_server_is_scored(call: Callable[..., Any], told: Callable[..., Path]) -> None:
    def reply(prompt: str) -> str:
        return right(int(prompt.rstrip()[-1]))

    with Api(reply) as api:
        generator = f"openai: {{url: '{api.url}', model: m, api: completions}}"
        done = call("score", "--generator", generator, "--suite", SUITE, "--max-items", "2", "--json")
    assert done.code == 0, done.err
    score = json.loads(done.out)["suites"]["humaneval"]["metrics"]["pass@1"]["score"]
    assert (score["value"], score["n"]) == (1, 2)
    assert len(api.asked) == 2 and all(asked["prompt"] in {row["prompt"] for row in TASKS} for asked in api.asked)


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("few.jsonl", "--suite", SUITE), "E020", "did you mean"),
        (("broken.jsonl", "--suite", SUITE), "E021", "line 2"),
        (("missing.jsonl", "--suite", SUITE), "E021", "missing.jsonl"),
        (("alien.jsonl", "--suite", SUITE), "E021", "solution"),
        (("nameless.jsonl", "--suite", SUITE), "E021", "task_id"),
        (("few.jsonl", "--suite", "perplexity"), None, ""),
        (("--generator", "transformers", "--suite", SUITE), "E024", "buril run evaluate"),
        (("few.jsonl", "--suite", "humaneval: {pth: x}"), "W002", "pth"),
        (("few.jsonl", "--suite", "humanevil"), "P001", "humaneval"),
        (("few.jsonl", "--suite", "a: b: c"), "W002", "YAML"),
        (("--suite", SUITE), "W002", "file"),
        (("few.jsonl",), "W002", "--suite"),
    ],
)
def test_what_is_wrong_is_said(
    call: Callable[..., Any],
    told: Callable[..., Path],
    tmp_path: Path,
    words: tuple[str, ...],
    code: str | None,
    said: str,
) -> None:
    told("few.jsonl", [{"task_id": "T/11", "completion": "    pass\n"}])
    told("alien.jsonl", [{"task_id": f"T/{number}", "solution": "def g():\n    pass\n"} for number in range(1, 5)])
    told("nameless.jsonl", [{"completion": "    pass\n"}])
    (tmp_path / "broken.jsonl").write_text('{"task_id": "T/1", "completion": "x"}\n{"task_id": "T/2", \n')
    done = call("score", *words)
    if code is None:
        assert done.code == 0, "no file of a split is there: there is nothing to score"
        return
    assert done.code != 0 and f"error[{code}" in done.err and said in done.err, done.err
