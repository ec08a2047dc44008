"""Contract checks of what examines a model: metrics, suites, generators, sandboxes."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import inspect
import math
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from buril.code.codefile import CodeFile, write_rows
from buril.core.artifact import Artifact, Manifest
from buril.core.errors import BurilError
from buril.evaluate.suite import SuiteContext, SuiteResult
from buril.generators._generator import Completion, Request
from buril.sandboxes._sandbox import CallResult, Job, Outcome, Program, Protection, Verdict
from buril.testing._common import check_plugin, class_of, expect, make, plain, same

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

TEXTS = (
    "return a + b\n",
    "return a - b\n",
    "",
    "for item in items:\n    yield item\n",
    "año = '世界'\n",
    "x" * 3000,
    "\n\n  \n",
)
"""Bodies as a model writes them, none like another."""
COUNTS = ((1, 0, 1), (1, 1, 1), (10, 3, 1), (10, 3, 5), (10, 10, 10), (20, 0, 10))
"""Samples, passed among them, k."""


def check_metric(metric: Any) -> None:
    """A metric is 1 for a text against itself, stays from 0 to 1, takes any text, and gives the same each time.

    A metric of texts has `score(text, reference)` and `share`, and may ask by keyword for the `language` of the two and
    for the `head` that stands before both; one of counts has `score(num_samples, num_passed, k)`.
    """
    check_plugin("metric", metric)
    metric = make(metric)
    parameters = [*inspect.signature(metric.score).parameters]
    if parameters == ["num_samples", "num_passed", "k"]:
        _check_counts(metric)
        return
    more = [name for name in ("language", "head") if name in parameters]
    same(parameters, ["text", "reference", *more], "score() takes other parameters than a metric of texts or of counts")
    told = inspect.signature(metric.score).parameters
    for name in more:
        keyword = told[name].kind is inspect.Parameter.KEYWORD_ONLY and told[name].default == ""
        expect(keyword, f'score(): `{name}` is no keyword with the default ""')
    share: Any = getattr(metric, "share", None)
    expect(isinstance(share, bool), "`share` says whether every score is 0 or 1: it must be True or False")
    _check_texts(metric.score, share=share)
    for language in ("python", "cobol") if "language" in more else ():
        _check_texts(functools.partial(metric.score, language=language), share=share)


def _check_texts(compare: Callable[[str, str], float], *, share: bool) -> None:
    for text in TEXTS:
        expect(compare(text, text) == 1.0, f"a text against itself scores {compare(text, text)}: {text[:30]!r}")
        for other in TEXTS:
            score = compare(text, other)
            expect(
                math.isfinite(score) and 0 <= score <= 1, f"{score} is not from 0 to 1: {text[:30]!r} {other[:30]!r}"
            )
            expect(not share or score in (0, 1), f"`share` is True, but a score is {score}")
            same(score, compare(text, other), "the same texts get two scores")
    expect(compare(TEXTS[3], TEXTS[0]) < 1, "texts that differ much score 1 as well")


def _check_counts(metric: Any) -> None:
    for num_samples, num_passed, k in COUNTS:
        score = metric.score(num_samples, num_passed, k)
        told = f"score({num_samples}, {num_passed}, {k}) is {score}"
        expect(math.isfinite(score) and 0 <= score <= 1, f"{told}, not from 0 to 1")
        expect(num_passed != num_samples or score == 1, f"{told}, though all passed")
        expect(num_passed != 0 or score == 0, f"{told}, though none passed")


# --- suites


class Recorder:
    """A generator that always answers the same and keeps what it was asked; it loads no model."""

    def __init__(self) -> None:
        self.asked: list[Any] = []

    def open(self, *_folders: Path, **_more: Path | None) -> None:
        """There is nothing to load."""

    def complete(self, requests: Sequence[Request]) -> Iterator[list[Completion]]:
        """The same text for every request."""
        for request in requests:
            self.asked.append(["complete", repr(request)])
            yield [Completion("    return 1\n", (1, 2), "stop", -1.0) for _ in range(request.num_samples)]

    def score(self, sequences: Sequence[Sequence[int]]) -> list[NDArray[np.float32]]:
        """Every token as likely as one in e."""
        import numpy as np

        self.asked += [["score", list(ids)] for ids in sequences]
        return [np.full(max(0, len(ids) - 1), -1.0, dtype=np.float32) for ids in sequences]

    def encode(self, text: str) -> list[int]:
        """The bytes."""
        return list(text.encode())

    def chat(self, messages: Sequence[Mapping[str, str]]) -> tuple[int, ...]:
        """The bytes of the messages."""
        return tuple(self.encode("\n".join(item["content"] for item in messages)))


class RecordingSandbox:
    """A sandbox that runs nothing: every call comes out wrong. It keeps the jobs, expected values included."""

    version: ClassVar[int] = 1

    def __init__(self, asked: list[Any]) -> None:
        self.asked = asked

    def run(self, job: Job) -> Verdict:
        """Keep a job."""
        calls = [[_stable(call.args), _stable(call.expected), call.raises] for call in job.calls]
        self.asked.append(["run", job.source, job.entry, calls])
        return Verdict("wrong", tuple(CallResult("wrong") for _ in job.calls))

    def run_all(self, jobs: Sequence[Job]) -> Iterator[Verdict]:
        """Keep several."""
        yield from map(self.run, jobs)

    def execute(self, program: Program) -> Outcome:
        """Keep a program."""
        self.asked.append(["execute", sorted(program.files), [list(command[1:]) for command in program.commands]])
        return Outcome("error", detail="nothing runs")

    def execute_all(self, programs: Sequence[Program]) -> Iterator[Outcome]:
        """Keep several."""
        yield from map(self.execute, programs)

    def capabilities(self) -> tuple[Protection, ...]:
        """Nothing runs, so nothing is to be protected."""
        return ()

    def close(self) -> None:
        """Nothing is open."""


def check_suite(suite: Any, files: Sequence[CodeFile] | None = None) -> None:
    """A suite names its measures, asks the same of every model, and gives results that survive JSON.

    The model and the sandbox are stand-ins that answer always the same, so this needs neither torch nor isolation;
    `suite.check` is left out.

    Args:
        suite: the suite, or its class.
        files: the rows of the test part, where it needs others than a few short ones.
    """
    check_plugin("suite", suite)
    suite = make(suite)
    names = suite.metrics()
    expect(isinstance(names, tuple) and names and len(set(names)) == len(names), f"metrics() is {names!r}: some names")
    expect(all(isinstance(item, str) and item for item in names), f"metrics() is {names!r}: names are texts")
    first, asked = _examined(suite, files)
    # another instance: a suite may remember what it found out about its tasks
    second, asked_again = _examined(type(suite)(suite.settings) if hasattr(suite, "settings") else suite, files)
    expect(asked, "the suite asked nothing of the model on a split of two languages")
    same(asked, asked_again, "the suite asks something else each time")
    same(_as_json(first), _as_json(second), "the same answers give two results")
    strange = sorted(item for item in first.measures if not any(_means(name, item) for name in names))
    expect(not strange, f"run() gives measures that metrics() does not name, so no gate can refer to them: {strange}")
    missing = sorted(name for name in names if not any(_means(name, item) for item in first.measures))
    expect(not missing, f"metrics() names what run() does not give: {missing}")
    for group, split in {"language": first.by_language, **first.by}.items():
        for key, measures in split.items():
            expect(set(measures) <= set(first.measures), f"the {group} {key!r} has measures of its own")
    for name, measure in first.measures.items():
        sizes = {len(measure.units), len(measure.numerators), len(measure.denominators)}
        expect(len(sizes) == 1, f"{name}: units, numerators and denominators differ in number")
        expect(len(set(measure.units)) == len(measure.units), f"{name}: a unit is counted twice")
    same(SuiteResult.from_json(first.to_json()).to_json(), first.to_json(), "the result does not survive JSON")


def _means(name: str, measure: str) -> bool:
    """Whether a name of `metrics()` is that of a measure; one that ends with `*` is that of all that begin so."""
    return measure.startswith(name[:-1]) if name.endswith("*") else measure == name


def suite_data(suite: Any, files: Sequence[CodeFile] | None = None) -> str:
    """SHA-256 of all that a suite asks of a model and of the sandbox on a fixed split, or on one of other files.

    It changes when tasks, prompts or expected values change: then the suite's `version` must go up, because scores
    before and after do not compare.
    """
    return hashlib.sha256(plain(_examined(make(suite), files)[1], "the suite asks what is no plain JSON")).hexdigest()


def _examined(suite: Any, given: Sequence[CodeFile] | None = None) -> tuple[SuiteResult, list[Any]]:
    """What a suite finds of the recorder, and what it asked."""
    generator = Recorder()
    with tempfile.TemporaryDirectory(prefix="buril-suite-") as name:
        folder = Path(name)
        files = given or [
            CodeFile("acme/vault", path, text, language=language)
            for path, text, language in (
                ("a.py", _PYTHON, "python"), ("b.js", _JAVASCRIPT, "javascript"), ("c.py", "x = 1\n", "python"),
            )
        ]  # fmt: skip
        write_rows(folder / "test" / "00000.parquet", files)
        write_rows(folder / "train" / "00000.parquet", _TRAINING)
        split = Artifact(folder, Manifest("split", 1, "0" * 64, "0" * 64, {}, {}, ()))
        sandbox = RecordingSandbox(generator.asked)
        context = SuiteContext(generator=generator, split=split, sandbox=lambda: sandbox, seed=7)
        result: SuiteResult = suite.run(context)
        return result, generator.asked


def _as_json(result: SuiteResult) -> bytes:
    return plain([result.to_json(), result.samples], "the suite's result is no plain JSON")


def _stable(value: Any) -> str:
    """The text of a value, the same whatever the order of a set."""
    if isinstance(value, set | frozenset):
        return f"{type(value).__name__}({sorted(map(_stable, value))})"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_stable(key)}: {_stable(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list | tuple):
        return f"{type(value).__name__}({', '.join(map(_stable, value))})"
    return repr(value)


_PYTHON = '''def total(items):
    """Add the prices."""
    result = 0
    for item in items:
        result += item.price
    return result


def label(name, width=20):
    text = name.strip().title()
    return text.ljust(width)
'''
_TRAINING = [
    CodeFile("acme/vault", "d.py", _PYTHON.replace("item", "row"), language="python", license="MIT"),
    CodeFile("acme/other", "e.py", _PYTHON[::-1], language="python"),
]
_JAVASCRIPT = """function total(items) {
  let result = 0;
  for (const item of items) result += item.price;
  return result;
}
"""


# --- generators


def check_generator(generator: Any) -> None:
    """An open generator answers in order and in number, keeps to limits, and gives the same for the same seed.

    One that answers from elsewhere (`remote`) may refuse what is about token ids and scores, by an error of buril.

    Args:
        generator: a generator whose model is open, or the class of one that needs none; what it writes does not matter.
            Filling in the middle and chats are left out: not every model can do them.
    """
    check_plugin("generator", generator)
    generator = make(generator)
    if getattr(class_of(generator), "remote", False):
        _check_remote(generator)
        return
    ids = generator.encode("def add(a, b):\n    return a + b\n")
    expect(ids and all(isinstance(item, int) and item >= 0 for item in ids), f"encode() gave no ids: {ids[:5]}")
    same(ids, generator.encode("def add(a, b):\n    return a + b\n"), "encode() gives two answers")
    requests = [
        Request("def add(a, b):", max_tokens=6),
        Request("x = ", max_tokens=3, temperature=0.8, num_samples=3, seed=5),
        Request(tuple(ids), max_tokens=4, stop=("\n", "return")),
    ]
    found, again = list(generator.complete(requests)), list(generator.complete(requests))
    same([len(item) for item in found], [1, 3, 1], "complete() gives other numbers of samples than asked")
    same(found, again, "the same requests and seeds give two answers")
    for request, completions in zip(requests, found, strict=True):
        for item in completions:
            _check_completion(request, item)
    same(list(generator.complete([])), [], "complete() of nothing gives something")
    _check_scores(generator, ids)


def agreement(reference: Any, other: Any, requests: Sequence[Request]) -> float:
    """The share of completions that two open generators give the same text of: how far one may stand in for the other.

    Args:
        reference: usually `transformers`.
        other: a generator with the same model.
        requests: what both are asked; at temperature 0, unless both draw with the same random numbers.
    """
    pairs = [
        (one.text, two.text)
        for ones, twos in zip(reference.complete(requests), other.complete(requests), strict=True)
        for one, two in zip(ones, twos, strict=True)
    ]
    same_texts = sum(int(one == two) for one, two in pairs)
    return same_texts / len(pairs)


def _check_remote(generator: Any) -> None:
    """What holds for a generator without token ids of its own."""
    requests = [
        Request("def add(a, b):", max_tokens=6),
        Request("x = ", max_tokens=3, temperature=0.8, num_samples=3, seed=5),
        Request("y = ", max_tokens=4, stop=("\n", "return")),
    ]
    found = list(generator.complete(requests))
    same([len(item) for item in found], [1, 3, 1], "complete() gives other numbers of samples than asked")
    for request, completions in zip(requests, found, strict=True):
        for item in completions:
            expect(not any(stop in item.text for stop in request.stop), f"a stop string is in the text: {item.text!r}")
            expect(item.finish_reason in ("eos", "stop", "length"), f"{item.finish_reason!r} is no reason to finish")
    same(list(generator.complete([])), [], "complete() of nothing gives something")
    for what, act in (("encode", generator.encode), ("score", generator.score)):
        with contextlib.suppress(BurilError):
            expect(act("x = 1") is not None, f"{what}() gives nothing and does not refuse")


def _check_completion(request: Request, item: Completion) -> None:
    expect(
        len(item.tokens) <= request.max_tokens, f"{len(item.tokens)} tokens, though {request.max_tokens} were the most"
    )
    expect(not any(stop in item.text for stop in request.stop), f"a stop string is part of the text: {item.text!r}")
    expect(item.finish_reason in ("eos", "stop", "length"), f"{item.finish_reason!r} is no reason to finish")
    expect(math.isfinite(item.logprob) and item.logprob <= 1e-6, f"{item.logprob} is the logarithm of no probability")


def _check_scores(generator: Any, ids: list[int]) -> None:
    import numpy as np

    sequences = [ids, ids[:1], ids[: max(2, len(ids) // 2)]]
    scores = generator.score(sequences)
    same([len(item) for item in scores], [len(item) - 1 for item in sequences], "score() gives other lengths")
    for sequence, item in zip(sequences, scores, strict=True):
        expect(np.isfinite(item).all() and (item <= 1e-6).all(), "a score is the logarithm of no probability")
        alone = generator.score([sequence])[0]
        expect(np.allclose(item, alone, atol=1e-3), "a sequence scores otherwise beside others")
    # a token's score depends on what comes before it alone
    expect(
        np.allclose(scores[0][: len(scores[2])], scores[2], atol=1e-3), "later tokens change the score of earlier ones"
    )
