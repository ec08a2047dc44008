"""The samples of the evaluation section: each task with both models' answers, which of them show, and all as cells."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from buril.core.artifact import Artifact
from buril.web.training import first, read_lines

MAX_SHOWN = {-1: 40, 1: 20, 0: 12}
"""Samples that the page shows of what was lost, what was gained and what stayed."""
MAX_CELLS = 1200
"""Tasks of a suite that are drawn as cells."""
MAX_NOTE = 300
"""Characters shown of what a judge said."""
MAX_TEXT = 1600
"""Characters shown of a prompt or a completion."""
MAX_FINDINGS = 8
"""Findings of scanners shown of one answer."""
SCORES = ("edit_similarity", "exact_match", "bleu", "codebleu", "passed_share")
"""Fields of a sample that tell how near it came, the most telling first."""


@dataclass(frozen=True)
class Answer:
    """One model's answer to a sample: its text and what was said of it.

    `passed` is None without a judge; `score` is what tells two answers apart (None where nothing does); `measured`
    are the scores it got where it was compared with a text. `output` is what its program printed, `cpu_ms` and
    `rss_kb` what it took (None where nothing ran), `findings` what scanners saw in it.
    """

    text: str
    passed: bool | None
    note: str
    score: float | None = None
    measured: tuple[tuple[str, float], ...] = ()
    output: str = ""
    cpu_ms: float | None = None
    rss_kb: float | None = None
    findings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Sample:
    """One task with the answers of both models; texts longer than `MAX_TEXT` are cut.

    `form` is how it was put (`plain`, `chat`; empty where there is but one). `place` says where a held-out task was
    taken from, `reference` what stands there.
    """

    suite: str
    task: str
    form: str
    place: str
    prompt: str
    reference: str
    base: Answer | None
    tuned: Answer | None

    @property
    def change(self) -> int:
        """1 where the tuned model did better, -1 where worse, 0 where both did the same or can't be compared."""
        before, after = (answer.score if answer else None for answer in (self.base, self.tuned))
        return 0 if before is None or after is None else (after > before) - (after < before)


@dataclass(frozen=True)
class Strip:
    """The judged tasks of a suite in one form, in their order: each a name and whether base and tuned solved it."""

    suite: str
    form: str
    cells: tuple[tuple[str, bool, bool], ...]

    def count(self, base: bool, tuned: bool) -> int:
        """Tasks of one kind."""
        return sum((before, after) == (base, tuned) for _name, before, after in self.cells)


def read_samples(artifact: Artifact) -> list[Sample]:
    """The samples of all suites, base and tuned joined by task and form.

    A task may have been tried several times: its first answer, the greedy one, stands for the others.
    """
    found: dict[tuple[str, str, str], dict[str, Mapping[str, Any]]] = {}
    taken: dict[tuple[str, str, str, str], Mapping[str, Any]] = {}
    for path in artifact.files("samples/*.jsonl"):
        suite, _dot, model = path.name.removesuffix(".jsonl").rpartition(".")
        for index, row in enumerate(read_lines(artifact, f"samples/{path.name}")):
            task = str(first_said(row, "task", "task_id", "id", "row_id") or index)
            found.setdefault((suite, task, str(row.get("form") or "")), {}).setdefault(model, row)
        for row in read_lines(artifact, f"logs/resources/{path.name}"):
            taken.setdefault((suite, str(row.get("id")), str(row.get("form") or ""), model), row)
    return [
        _sample(key, {model: (row, taken.get((*key, model), {})) for model, row in rows.items()})
        for key, rows in sorted(found.items(), key=_natural)
    ]


def _natural(item: tuple[tuple[str, ...], object]) -> list[tuple[bool, int, str]]:
    """Sorts `task/9` before `task/10`."""
    parts = re.split(r"(\d{1,18})", "\0".join(item[0]))
    return [(part.isdecimal(), int(part) if part.isdecimal() else 0, part) for part in parts]


Row = tuple[Mapping[str, Any], Mapping[str, Any]]
"""A sample's row and that of what it took."""


def _sample(key: tuple[str, str, str], rows: Mapping[str, Row]) -> Sample:
    (suite, task, form), (one, _taken) = key, next(iter(rows.values()))
    place = " · ".join(str(one[name]) for name in ("repo", "path") if one.get(name))
    return Sample(
        suite=suite,
        task=str(first_said(one, "function", "name") or task),
        form=form,
        place=place,
        prompt=_end(first_said(one, "prompt", "prefix", "input")),
        reference=_cut(first_said(one, "reference", "expected")),
        base=_answer(rows.get("base")),
        tuned=_answer(rows.get("tuned")),
    )


def first_said(row: Mapping[str, Any], *names: str) -> Any:
    """The first of some fields that a row has."""
    return next((row[name] for name in names if row.get(name) is not None), None)


def _answer(found: Row | None) -> Answer | None:
    if found is None:
        return None
    row, taken = found
    text = first_said(row, "completion", "output", "text", "answer")
    if text is None and isinstance(row.get("completions"), list) and row["completions"]:
        text = row["completions"][0]
    passed = row.get("passed")
    status = str(row.get("status") or "")
    if not isinstance(passed, bool):
        passed = status == "pass" if status else None
    measured = tuple((name, value) for name in SCORES if (value := first(row, name)) is not None)
    score = float(passed) if passed is not None else measured[0][1] if measured else None
    return Answer(
        _cut(text), passed, "" if passed else _note(row)[:MAX_NOTE], score, measured,
        output=_cut(row.get("output")) if "completion" in row else "", cpu_ms=first(taken, "cpu_ms"),
        rss_kb=first(taken, "rss_kb"), findings=tuple(_findings(row)),
    )  # fmt: skip


def _note(row: Mapping[str, Any]) -> str:
    """What the judge said of a failure: its own words, else the first call that went wrong, else the bare status."""
    said = first_said(row, "verdict", "detail", "error", "note")
    if said:
        return str(said)
    calls = row.get("calls")
    for call in calls if isinstance(calls, list) else ():
        if isinstance(call, Mapping) and call.get("status") != "pass":
            return f"({call.get('args', '')}) → {call.get('got', '')} ≠ {call.get('expected', '')}"
    return str(row.get("status") or "")


def _findings(row: Mapping[str, Any]) -> list[str]:
    """Each finding in a line: its rule, its weakness, its severity and its line."""
    given = row.get("findings")
    lines = []
    for item in given[:MAX_FINDINGS] if isinstance(given, list) else ():
        if isinstance(item, Mapping):
            parts = [item.get("rule"), item.get("cwe"), item.get("severity")]
            line = f"{item['line']}: " if item.get("line") else ""
            lines.append(line + " · ".join(str(part) for part in parts if part))
    return lines


def _cut(text: object) -> str:
    full = "" if text is None else str(text)
    return full if len(full) <= MAX_TEXT else full[:MAX_TEXT] + " …"


def _end(text: object) -> str:
    """The end of a prompt, from the start of a line: what the answer goes on from."""
    full = "" if text is None else str(text)
    if len(full) <= MAX_TEXT:
        return full
    tail = full[-MAX_TEXT:]
    return "…\n" + (tail.partition("\n")[2] or tail)


def chosen(samples: Sequence[Sample]) -> list[Sample]:
    """Samples that show: losses, gains and ties, each in turn from every suite in the order of the tasks.

    None is picked by hand; what was lost has the most room, since that is what one has to look at.
    """
    found = []
    for change, most in MAX_SHOWN.items():
        suites: dict[str, list[Sample]] = {}
        for sample in samples:
            if sample.change == change and any(answer and answer.text for answer in (sample.base, sample.tuned)):
                suites.setdefault(sample.suite, []).append(sample)
        deepest = max(map(len, suites.values()), default=0)
        turn = [part[depth] for depth in range(deepest) for part in suites.values() if depth < len(part)]
        found += turn[:most]
    return found


def strips(samples: Sequence[Sample]) -> list[Strip]:
    """The tasks that were judged in both models, by suite and form."""
    cells: dict[tuple[str, str], list[tuple[str, bool, bool]]] = {}
    for sample in samples:
        before, after = (answer.passed if answer else None for answer in (sample.base, sample.tuned))
        if before is not None and after is not None:
            cells.setdefault((sample.suite, sample.form), []).append((sample.task, before, after))
    return [Strip(suite, form, tuple(found[:MAX_CELLS])) for (suite, form), found in cells.items()]
