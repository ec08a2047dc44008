"""The checks of `buril.testing` fail when a plugin breaks its contract, and say what is wrong."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest

from buril import testing
from buril.code.codefile import CodeFile, Finding, Verdict
from buril.code.language import Language
from buril.code.languages.python import Python
from buril.core.settings import Settings as BaseSettings
from buril.core.settings import runtime
from buril.data.sources.folder import Folder
from buril.data.step import Shared, Step
from buril.evaluate.metrics.exact_match import ExactMatch
from buril.evaluate.suite import Measure, SuiteContext, SuiteResult
from buril.evaluate.suites.perplexity import Perplexity
from buril.generators._generator import Request
from buril.sandboxes._sandbox import CallResult, Job, Protection
from buril.sandboxes._sandbox import Outcome as Ended
from buril.sandboxes._sandbox import Verdict as Outcome
from buril.scanners.secrets import Secrets
from buril.testing._programs import BAD


def fails(told: str, check: Any, *given: Any) -> None:
    with pytest.raises(AssertionError, match=re.escape(told)):
        check(*given)


# --- any plugin


class Bare:
    version = 1


class Unnumbered:
    """It has no version."""


class Loose:
    """Its settings take anything."""

    version = 1

    class Settings(BaseSettings, extra="allow"):
        """Loose."""


class Silent:
    """Its settings explain nothing."""

    version = 1

    class Settings(BaseSettings):
        """Silent."""

        depth: int = 3
        workers: int = runtime(2)
        """Processes."""


class Shortened(Secrets):
    """Its short form names no field."""

    class Settings(Secrets.Settings):
        """As before."""

        shorthand: ClassVar[str | None] = "nothing"


@pytest.mark.parametrize(
    ("plugin", "told"),
    [
        (Bare, "has no docstring"),
        (Unnumbered, "version is None"),
        (Loose, "relaxes `extra`"),
        (Silent, "does not explain depth:"),
        (Shortened, "shorthand names no field: 'nothing'"),
    ],
)
def test_any_plugin(plugin: type, told: str) -> None:
    fails(told, testing.check_plugin, "scanner", plugin)
    fails("is no kind of plugin", testing.check_plugin, "scaner", plugin)


def test_heavy_imports(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "acme_heavy.py").write_text("import acme_slow\nclass Heavy:\n    pass\n")
    (tmp_path / "acme_slow.py").write_text("")
    monkeypatch.syspath_prepend(str(tmp_path))
    from acme_heavy import Heavy  # type: ignore[import-not-found]

    testing.check_imports(Heavy)
    with pytest.raises(AssertionError, match="acme_heavy loads acme_slow: import them inside"):
        testing.check_imports(Heavy, heavy=("acme_slow",))


# --- sources


class Restless(Folder):
    """Its fingerprint is the time."""

    def observe(self) -> Any:
        return random.random()


class Telling(Folder):
    """Its fingerprint tells where the code stands."""

    def observe(self) -> Any:
        return str(self.settings.path)


class Shuffling(Folder):
    """It forgets a file now and then."""

    calls = 0

    def files(self, repository: Any) -> Iterator[Any]:
        Shuffling.calls += 1
        yield from list(super().files(repository))[Shuffling.calls % 2 :]


class Climbing(Folder):
    """It lists what is outside."""

    def files(self, repository: Any) -> Iterator[Any]:
        yield from (item._replace(path=f"../{item.path}") for item in super().files(repository))


@pytest.mark.parametrize(
    ("source", "told"),
    [
        (Restless, "observe() changes"),
        (Telling, "observe() tells where"),
        (Shuffling, "files() of"),
        (Climbing, "is not inside the repository"),
    ],
)
def test_sources(source: type[Folder], told: str, tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("x = 1\n")
    (tmp_path / "b.py").write_text("y = 1\n")
    fails(told, testing.check_source, source(source.Settings(path=tmp_path)))


def test_a_source_without_files_proves_nothing(tmp_path: Path) -> None:
    (tmp_path / "empty.py").write_text("")
    fails("no file could be read", testing.check_source, Folder(Folder.Settings(path=tmp_path)))
    fails("not the class", testing.check_source, Folder)


# --- steps


class Random(Step):
    """Its signal is chance."""

    def apply(self, file: CodeFile, shared: Shared) -> None:
        file.signals["chance"] = random.random()


class Raising(Step):
    """It takes the first character of an empty text."""

    def apply(self, file: CodeFile, shared: Shared) -> None:
        assert file.content[0] is not None


class Writing(Step):
    """It writes past the shared text."""

    def apply(self, file: CodeFile, shared: Shared) -> None:
        file.content = file.content.strip()


class Forgiving(Step):
    """It takes a verdict back."""

    def apply(self, file: CodeFile, shared: Shared) -> None:
        file.verdicts.clear()


class Renaming(Step):
    """It moves a file."""

    def apply(self, file: CodeFile, shared: Shared) -> None:
        file.path = file.path.lower() + "x"


class Guessing(Step):
    """It changes a language that was known."""

    def apply(self, file: CodeFile, shared: Shared) -> None:
        file.language = "go"


class Chatty(Step):
    """Its reason is a sentence."""

    def apply(self, file: CodeFile, shared: Shared) -> None:
        file.verdicts.append(Verdict("chatty", "This file is bad!"))


class Endless(Step):
    """Its signal is no number."""

    def apply(self, file: CodeFile, shared: Shared) -> None:
        file.signals["ratio"] = float("inf")


@pytest.mark.parametrize(
    ("step", "told"),
    [
        (Random, "two runs of the step differ"),
        (Raising, "raised IndexError('string index out of range') on empty text"),
        (Writing, "wrote to file.content"),
        (Forgiving, "took away or changed `verdicts` on a refused row"),
        (Renaming, "changed `path`"),
        (Guessing, "changed a language that was known"),
        (Chatty, "reason is no slug"),
        (Endless, "a signal is not finite"),
    ],
)
def test_steps(step: type[Step], told: str) -> None:
    fails(told, testing.check_step, step)


# --- languages


class Nowhere(Language):
    """It has no files."""

    name = "nowhere"
    grammar = "python"


class Greedy(Nowhere):
    """It takes Python's files."""

    extensions = (".py",)


class Loud(Nowhere):
    """Its ending is in capitals."""

    extensions = (".NOW",)


class Ungrammatical(Nowhere):
    """No such grammar."""

    grammar = "no_such_grammar"
    extensions = (".now",)


class Commented(Nowhere):
    """Its comments are not those of its grammar."""

    extensions = (".now",)
    block_comments = (("(*", "*)"),)


class Asking(Nowhere):
    """Its query is none."""

    extensions = (".now",)
    functions = "(no_such_node) @function"


class Nameless(Nowhere):
    """Its query names nothing."""

    extensions = (".now",)
    functions = "(function_definition body: (_) @body) @function"


class Unparsed(Nowhere):
    """Its claim is no expression."""

    claims: ClassVar[dict[str, str]] = {".h": "("}
    extensions = (".now",)


@pytest.mark.parametrize(
    ("language", "told"),
    [
        (Nowhere, "no file would ever be of it"),
        (Greedy, "nowhere and python both list ['.py']"),
        (Loud, "endings are lower case"),
        (Ungrammatical, "has no grammar 'no_such_grammar'"),
        (Commented, "does not read its comment '(*"),
        (Asking, "is no query of its grammar"),
        (Nameless, "@function, @body and @name are needed"),
        (Unparsed, "no regular expression"),
    ],
)
def test_languages(language: type[Language], told: str) -> None:
    fails(told, testing.check_language, language)
    testing.check_language(Python)


# --- scanners


class Blind(Secrets):
    """It sees nothing."""

    def spans(self, source: bytes, language: str) -> list[Any]:
        return []

    def _all(self, source: bytes, language: str) -> Iterator[Any]:
        yield from ()


class Remembering(Secrets):
    """It counts on."""

    seen = 0

    def scan(self, text: str, language: str) -> Iterator[Finding]:
        if "import" in text:
            self.seen += 1
            yield Finding("remembering", f"rule-{self.seen}", 1, "low")


class Misplacing(Secrets):
    """Its lines begin at 0."""

    def scan(self, text: str, language: str) -> Iterator[Finding]:
        if text:
            yield Finding("misplacing", "rule", 0, "low")


class Shouting(Secrets):
    """Its severity is none."""

    def scan(self, text: str, language: str) -> Iterator[Finding]:
        if text:
            yield Finding("shouting", "rule", 1, "critical")


class Overreaching(Secrets):
    """Its columns lie behind the line."""

    def scan(self, text: str, language: str) -> Iterator[Finding]:
        if text:
            yield Finding("overreaching", "rule", 1, "low", column=len(text.partition("\n")[0]) + 2)


class Backward(Secrets):
    """It ends where it has not begun."""

    def scan(self, text: str, language: str) -> Iterator[Finding]:
        if text:
            yield Finding("backward", "rule", 1, "low", end_column=1)


@pytest.mark.parametrize(
    ("scanner", "told"),
    [
        (Blind, "misses its own planted samples"),
        (Remembering, "findings depend on the texts"),
        (Misplacing, "line 0 is outside"),
        (Shouting, "'critical' is no severity"),
        (Overreaching, "is outside of the text"),
        (Backward, "an end without a beginning"),
    ],
)
def test_scanners(scanner: type[Secrets], told: str) -> None:
    fails(told, testing.check_scanner, scanner)


def test_a_scanner_without_samples_and_one_that_misses_another() -> None:
    from buril.scanners import Scanner

    class Untested(Scanner):
        """It plants nothing."""

        def scan(self, text: str, language: str) -> Iterator[Finding]:
            yield from ()

    fails("no self_test of its own", testing.check_scanner, Untested)
    fails("the rule eval-call does not see its sample", testing.check_scanner, Secrets, {"eval-call": "eval(1)\n"})


# --- metrics


class Harsh(ExactMatch):
    """An empty text is never right."""

    def score(self, text: str, reference: str) -> float:
        return float(bool(text) and text == reference)


class Percent(ExactMatch):
    """It counts to 100."""

    def score(self, text: str, reference: str) -> float:
        return 1.0 if text == reference else 50.0


class Half(ExactMatch):
    """It says `share`, but gives halves."""

    def score(self, text: str, reference: str) -> float:
        return 1.0 if text == reference else 0.5


class Generous(ExactMatch):
    """All is right."""

    def score(self, text: str, reference: str) -> float:
        return 1.0


class Strange(ExactMatch):
    """It takes something else."""

    def score(self, answer: str) -> float:  # type: ignore[override]
        return 1.0


class Positional(ExactMatch):
    """It asks for the language, but not by keyword."""

    def score(self, text: str, reference: str, language: str = "") -> float:
        return super().score(text, reference)


class Partial(ExactMatch):
    """With a language it measures something else."""

    def score(self, text: str, reference: str, *, language: str = "") -> float:
        return 0.0 if language == "python" else super().score(text, reference)


@pytest.mark.parametrize(
    ("metric", "told"),
    [
        (Positional, "`language` is no keyword"),
        (Partial, "a text against itself scores 0.0"),
        (Harsh, "a text against itself scores 0.0: ''"),
        (Percent, "50.0 is not from 0 to 1"),
        (Half, "`share` is True, but a score is 0.5"),
        (Generous, "texts that differ much"),
        (Strange, "takes other parameters"),
    ],
)
def test_metrics(metric: type[ExactMatch], told: str) -> None:
    fails(told, testing.check_metric, metric)


# --- suites


class Moody(Perplexity):
    """It asks for something else each time."""

    def run(self, context: SuiteContext) -> SuiteResult:
        list(context.generator.complete([Request(str(random.random()))]))
        return super().run(context)


class Quiet(Perplexity):
    """It asks nothing."""

    def run(self, context: SuiteContext) -> SuiteResult:
        return SuiteResult({name: Measure("ratio", "higher") for name in self.metrics()})


class Secretive(Perplexity):
    """It gives what it does not name."""

    def metrics(self) -> tuple[str, ...]:
        return ("perplexity",)


class Promising(Perplexity):
    """It names what it does not give."""

    def metrics(self) -> tuple[str, ...]:
        return (*super().metrics(), "speed")


@pytest.mark.parametrize(
    ("suite", "told"),
    [
        (Moody, "asks something else each time"),
        (Quiet, "asked nothing of the model"),
        (Secretive, "metrics() does not name, so no gate can refer to them: ['bits_per_byte']"),
        (Promising, "metrics() names what run() does not give: ['speed']"),
    ],
)
def test_suites(suite: type[Perplexity], told: str) -> None:
    fails(told, testing.check_suite, suite)


def test_what_a_suite_asks_is_hashed_with_the_expected_values(monkeypatch: pytest.MonkeyPatch) -> None:
    from dataclasses import replace

    from buril.evaluate.suites import basics

    before = testing.suite_data(basics.Basics)
    assert before == testing.suite_data(basics.Basics)
    task = basics.TASKS[0]
    call = replace(task.calls[0], expected="something else")
    changed = (replace(task, calls=(call, *task.calls[1:])), *basics.TASKS[1:])
    monkeypatch.setattr(basics, "TASKS", changed)
    assert testing.suite_data(basics.Basics) != before


# --- sandboxes


class Open:
    """It runs everything here, with the machine's files in reach: what a sandbox must never do."""

    version = 1

    def capabilities(self) -> tuple[Protection, ...]:
        return (Protection("isolation", available=True),)

    def run(self, job: Job) -> Outcome:
        if "os._exit" in job.source or "while True" in job.source or "open(" in job.source:
            return Outcome("pass")
        space: dict[str, Any] = {}
        try:
            exec(job.source, space)
            right = all(space[job.entry](*call.args) == call.expected for call in job.calls)
        except (ArithmeticError, LookupError, SyntaxError) as problem:
            return Outcome("error", detail=str(problem))
        return Outcome("pass" if right else "wrong")

    def run_all(self, jobs: Any) -> Iterator[Outcome]:
        yield from map(self.run, jobs)

    def execute_all(self, programs: Any) -> Iterator[Ended]:
        """It knows what comes of the check's programs."""
        assert len(list(programs)) == 3
        yield Ended("pass", 1, 0, "", "alone\ntext")
        yield Ended("error", 0, 3)
        yield Ended("error", 0, -9)


class Lazy(Open):
    """It passes nothing."""

    def run(self, job: Job) -> Outcome:
        return Outcome("error")


class Boastful(Open):
    """It refuses, though it says that it could."""

    def run(self, job: Job) -> Outcome:
        from buril.core.errors import BurilError

        raise BurilError("E001", problem="not today")


class Unlisted(Open):
    """It lists nothing."""

    def capabilities(self) -> tuple[Protection, ...]:
        return ()


@pytest.mark.parametrize(
    ("sandbox", "told"),
    [
        (Open, "an endless loop passes"),
        (Lazy, "a right program does not pass"),
        (Boastful, "though it says that all protections are available"),
        (Unlisted, "lists nothing"),
    ],
)
def test_sandboxes(sandbox: type[Open], told: str) -> None:
    fails(told, testing.check_sandbox, sandbox)


class Unwalled(Open):
    """It knows the bad programs by heart and runs the rest here."""

    def run(self, job: Job) -> Outcome:
        for known, statuses in BAD.values():
            if known.source == job.source:
                return Outcome(statuses[0] if statuses else "error")  # type: ignore[arg-type]
        space: dict[str, Any] = {}
        exec(job.source, space)
        right = all(space[job.entry](*call.args) == call.expected for call in job.calls)
        return Outcome("pass" if right else "wrong", (CallResult("pass"),))


@pytest.mark.parametrize(("place", "ended", "told"), [
    (0, Ended("pass", 1, 0, "", "/etc/passwd\ntext"), "sees the machine's files"),
    (0, Ended("error", 0, 1), "a right program does not end"),
    (1, Ended("error", 1, 3, "", "no\n"), "a command that fails is not the last"),
    (2, Ended("pass", 0, 0), "killed does not say so"),
])  # fmt: skip
def test_programs_of_sandboxes(place: int, ended: Ended, told: str) -> None:
    class Odd(Unwalled):
        """One of its answers is another."""

        def execute_all(self, programs: Any) -> Iterator[Ended]:
            for number, known in enumerate(super().execute_all(programs)):
                yield ended if number == place else known

    fails(told, testing.check_sandbox, Odd)


def test_walls() -> None:
    """A sandbox that judges right and isolates nothing is caught by the file and the port."""
    fails("reads files of the machine", testing.check_sandbox, Unwalled)


# --- models


@pytest.fixture
def torch() -> Any:
    return pytest.importorskip("torch", reason="torch is not installed")


def test_objectives(torch: Any) -> None:
    from buril.train.objectives.cross_entropy import CrossEntropy

    class Mean(CrossEntropy):
        """A mean, not a sum."""

        def loss_sum(self, hidden_TD: Any, head: Any, batch: Any) -> Any:
            return super().loss_sum(hidden_TD, head, batch) / batch.num_targets

    class Flat(CrossEntropy):
        """Nothing to learn from."""

        def loss_sum(self, hidden_TD: Any, head: Any, batch: Any) -> Any:
            return hidden_TD.sum() * 0 + batch.num_targets

    class Uneven(CrossEntropy):
        """Weights that do not add up."""

        def weight(self, batch: Any) -> float:
            return 1.0

    fails("losses of two batches do not add up", testing.check_objective, Mean)
    fails("no gradient reaches the hidden states", testing.check_objective, Flat)
    fails("weights of two batches do not add up", testing.check_objective, Uneven)


def test_methods(torch: Any, tmp_path: Path) -> None:
    from buril.train.methods.full import Full

    class Greedy(Full):
        """It names a part of what it trains."""

        def prepare(self, model: Any, **more: Any) -> Any:
            trainable = super().prepare(model, **more)
            trainable.parameters = dict([*trainable.parameters.items()][:1])
            return trainable

    class Chance(Full):
        """It begins anywhere."""

        def prepare(self, model: Any, **more: Any) -> Any:
            with torch.no_grad():
                for item in model.parameters():
                    item.add_(torch.rand(()))
            return super().prepare(model, **more)

    class Small(Full):
        """It keeps its weights in bf16."""

        def prepare(self, model: Any, **more: Any) -> Any:
            trainable = super().prepare(model, **more)
            trainable.base.bfloat16()
            return trainable

    class Rateless(Full):
        """It has no rate."""

        learning_rate: ClassVar[float] = 0.0

    fails("gradients reach what is not trained", testing.check_method, Greedy, tmp_path)
    fails("the same seed begins", testing.check_method, Chance, tmp_path)
    fails("is not in fp32", testing.check_method, Small, tmp_path)
    fails("learning_rate is 0.0", testing.check_method, Rateless, tmp_path)


def test_bases(tmp_path: Path) -> None:
    import json
    from dataclasses import replace

    from buril.train.bases.scratch import Scratch

    class Placed(Scratch):
        """It says where it was made."""

        def write(self, out: Any, tokenizer: Any) -> Any:
            return replace(super().write(out, tokenizer), source=str(tmp_path))

    class Dated(Scratch):
        """Its bytes are never the same."""

        def write(self, out: Any, tokenizer: Any) -> Any:
            out.text("model/README.md", str(random.random()))
            return super().write(out, tokenizer)

    class Pickled(Scratch):
        """It writes a pickle."""

        def write(self, out: Any, tokenizer: Any) -> Any:
            out.text("model/pytorch_model.bin", "")
            return super().write(out, tokenizer)

    fim = {"prefix": 1, "suffix": 2, "middle": 3, "eos": 0, "pad": 4, "bos": None, "added": [], "vocab_size": 300}
    (tmp_path / "fim.json").write_text(json.dumps(fim))
    for base, told in (
        (Placed, "`source` holds a path of this machine"), (Dated, "two writings differ"), (Pickled, "may run code"),
    ):  # fmt: skip
        made = base(base.Settings(depth=1))
        fails(told, testing.check_base, made, tmp_path / base.__name__, tmp_path)
    testing.check_base(Scratch(Scratch.Settings(depth=1)), tmp_path / "right", tmp_path)


def test_generators(torch: Any) -> None:
    from buril.testing._evaluate import Recorder

    class Fixed(Recorder):
        """It answers always the same, more than was asked for."""

        version = 1

    fails("complete() gives other numbers", testing.check_generator, _Lonely())
    fails("a stop string is part of the text", testing.check_generator, Fixed())


class _Lonely:
    """It gives one sample whatever is asked."""

    version = 1

    def encode(self, text: str) -> list[int]:
        return list(text.encode())

    def complete(self, requests: Any) -> Iterator[list[Any]]:
        from buril.generators._generator import Completion

        for _request in requests:
            yield [Completion("x", (1,), "length", -1.0)]
