"""Synthesise: pairs of instruction and code that a larger model writes about real functions, each proved before kept.

A candidate is kept when its tests pass on its code and fail on a stub, inside the sandbox, the expected values
kept outside; when no scanner objects; when it copies neither its seed nor another row; and when it shares nothing with
the held-out parts. All others stand in `dropped.parquet` with the reason. Each answer is kept by the digest of
what was asked, so a run that was interrupted pays for no answer twice.

It does not judge whether a task is interesting, and its tests are the teacher's: they prove that the code does what the
teacher says of it, not that it is right.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Annotated, Any, ClassVar, NamedTuple

from pydantic import Field, model_validator

from buril.code.codefile import CodeFile, Verdict, read_rows, write_dropped, write_rows
from buril.core.artifact import atomic, canonical
from buril.core.errors import BurilError
from buril.core.estimate import Estimate
from buril.core.plugins import PluginKind, Ref, plugin
from buril.core.settings import Settings as BaseSettings
from buril.core.stage import Inputs, Metrics, Output, Stage
from buril.core.text import _
from buril.data._proof import Judge
from buril.data._seeds import Seed, seeds
from buril.data._tasks import Candidate, Kind, license_of, question, read_answer
from buril.data.augmenter import ORIGINS, Origin, derived, draw, write_origins
from buril.data.teacher import is_remote, open_generator, prompt_of
from buril.generators._generator import Request

AT_ONCE = 16
"""Questions asked at a time: what an interruption loses at most, and by what a budget may be overrun."""


class Answer(NamedTuple):
    """What a teacher answered, and the tokens that it took."""

    text: str
    tokens_in: int
    tokens_out: int


class Question(NamedTuple):
    """What is asked about a seed."""

    kind: Kind
    seed: Seed
    text: str


class Synthesise(Stage):
    """Lets a teacher write about functions of the training part, and keeps what holds."""

    name: ClassVar[str] = "synthesise"
    version: ClassVar[int] = 1
    small: ClassVar[dict[str, Any]] = {"max_samples": 8, "max_questions": 16}

    class Settings(BaseSettings):
        """Who is asked, what, and how much."""

        generator: Annotated[Ref, PluginKind("generator")]
        """The teacher: `openai: {url: …, model: …}`, or an engine of this machine with the chain's base model."""
        teacher_license: str = Field(min_length=2, pattern=r"^[A-Za-z0-9][\w.+() -]*$")
        """Under which licence or terms the teacher's texts may be used, e.g. `apache-2.0` or `LicenseRef-acme-terms`.
        There is no default: some providers forbid to train on what their models write."""
        kinds: tuple[Kind, ...] = ("instruct", "tests", "invent")
        """`instruct`: the task a function solves; `tests`: its tests; `invent`: a new task with its solution."""
        max_samples: int = Field(1000, ge=1)
        """Rows to keep, at most."""
        max_questions: int = Field(4000, ge=1)
        """Questions to ask, at most."""
        max_tokens: int | None = Field(None, ge=1)
        """Tokens to pay for, asked and answered together; none: no bound."""
        max_usd: float | None = Field(None, gt=0)
        """Money to spend, in US dollars, by the two prices below; none: no bound."""
        usd_per_million_in: float = Field(0.0, ge=0)
        """Price of a million tokens asked."""
        usd_per_million_out: float = Field(0.0, ge=0)
        """Price of a million tokens answered."""
        answer_tokens: int = Field(900, ge=16)
        """Tokens of one answer, at most."""
        temperature: float = Field(0.7, ge=0, le=2)
        """How freely the teacher writes; 0 gives each seed the same text on every run."""
        min_tests: int = Field(3, ge=1)
        """Tests that a candidate must have."""
        min_lines: int = Field(4, ge=1)
        """Lines of a function that serves as a seed: shorter ones have nothing to ask."""
        max_seed_bytes: int = Field(3000, ge=50)
        """Bytes of a function that serves as a seed."""
        scan: Annotated[tuple[Ref, ...], PluginKind("scanner")] = Field(default=("secrets",), validate_default=True)
        """Scanners that each text must pass: a finding of severity high drops it."""
        sandbox: Annotated[Ref, PluginKind("sandbox")] = Field(default="namespaces", validate_default=True)
        """What runs the code."""
        seed: int = 0
        """Chooses the functions and their order, and the teacher's samples."""

        @model_validator(mode="after")
        def _money_has_a_price(self) -> Synthesise.Settings:
            if self.max_usd is not None and not (self.usd_per_million_in or self.usd_per_million_out):
                raise BurilError("D305")
            return self

    settings: Settings

    def needs(self) -> tuple[str, ...]:
        """The training part; the base and its tokenizer for a teacher of this machine."""
        return ("split",) if is_remote(self.settings.generator) else ("split", "base", "tokenizer")

    def parts(self) -> dict[str, int]:
        """Versions of the teacher's engine, the scanners and the sandbox."""
        told = self.settings
        return {
            f"{ref.kind}:{ref.name}": plugin(ref.kind, ref.name).version
            for ref in (told.generator, *told.scan, told.sandbox)
        }

    def observe(self) -> Any:
        """Python's version, which reads and runs the code."""
        import sys

        return {"python": f"{sys.version_info[0]}.{sys.version_info[1]}"}

    def work(self, inputs: Inputs) -> float:
        """Tokens of the questions and answers that the settings allow, at most."""
        told = self.settings
        most = told.max_questions * (told.answer_tokens + told.max_seed_bytes / 3)
        return float(min(most, told.max_tokens or most))

    def assume(self, work: float) -> Estimate:
        """500 tokens a second of a server, 100 of a small model on two cores."""
        return Estimate(seconds=5 + work / (500 if is_remote(self.settings.generator) else 100), ram_mb=500, disk_mb=5)

    def run(self, inputs: Inputs, out: Output) -> Metrics:
        """Ask, prove, and write `train/00000.parquet`, `origins.parquet` and `dropped.parquet`.

        Raises:
            BurilError: E001 when code can't be isolated here, and what the teacher's engine raises.
        """
        teacher = _name(self.settings.generator, inputs)
        done = _Kept(self.settings, teacher)
        with contextlib.ExitStack() as stack:
            sandbox = self.settings.sandbox.make()
            stack.callback(sandbox.close)
            judge = Judge(sandbox, [ref.make() for ref in self.settings.scan], inputs["split"])
            for asked, answer in self._answers(inputs, out, done):
                done.take(asked, answer, judge)
                out.progress(done.asked, self.settings.max_questions, _("questions"), kept=len(done.rows))
        write_origins(out.path(ORIGINS), done.origins)
        write_dropped(out.path("dropped.parquet"), done.dropped)
        write_rows(out.path("train/00000.parquet"), done.rows)
        out.rows = {
            "train/00000.parquet": len(done.rows),
            ORIGINS: len(done.rows),
            "dropped.parquet": len(done.dropped),
        }
        if not done.rows:
            out.warn(_("nothing that the teacher wrote was kept, of {asked} answers").format(asked=done.asked))
        summary = done.summary()
        out.text("summary.json", json.dumps(summary, indent=1, sort_keys=True, ensure_ascii=False) + "\n")
        return summary

    def _questions(self, inputs: Inputs) -> list[Question]:
        """The questions in the order in which they are asked: by lot, one kind after the other for each seed."""
        told = self.settings
        found: dict[int, Seed] = {}
        for shard in inputs["split"].files("train/*.parquet"):
            for file in read_rows(shard):
                if file.language == "python":
                    for seed in seeds(file, min_lines=told.min_lines, max_bytes=told.max_seed_bytes):
                        found[draw(told.seed, seed.code, file.row_id)] = seed
        chosen = [found[number] for number in sorted(found)]
        asked = [Question(kind, seed, question(kind, seed, told.min_tests)) for seed in chosen for kind in told.kinds]
        return asked[: told.max_questions]

    def _answers(self, inputs: Inputs, out: Output, done: _Kept) -> Iterator[tuple[Question, Answer]]:
        """Questions with their answers, until a bound is reached; a teacher is made when an answer is missing."""
        asked, teacher = self._questions(inputs), None
        if not asked:
            out.warn(_("no function of the training part can serve as a seed: they must be Python and stand alone"))
        for start in range(0, len(asked), AT_ONCE):
            batch = asked[start : start + AT_ONCE]
            places = [out.scratch / f"{_digest(self.settings, item.text)}.json" for item in batch]
            missing = [item for item, place in zip(batch, places, strict=True) if not place.exists()]
            if missing and not done.is_full():
                teacher = teacher or open_generator(self.settings.generator, inputs)
                _ask(teacher, missing, self.settings, out)
            for item, place in zip(batch, places, strict=True):
                if done.is_full():
                    return
                yield item, Answer(**json.loads(place.read_text(encoding="utf-8")))


def _digest(settings: Synthesise.Settings, text: str) -> str:
    """The name of an answer: a digest of all that it depends on."""
    told = [settings.generator.identity(), settings.answer_tokens, settings.temperature, settings.seed, text]
    return hashlib.blake2b(canonical(told), digest_size=16).hexdigest()


def _ask(teacher: Any, missing: Sequence[Question], settings: Synthesise.Settings, out: Output) -> None:
    """Ask, and keep each answer as it comes."""
    requests = [
        Request(
            prompt_of(teacher, item.text), max_tokens=settings.answer_tokens, temperature=settings.temperature,
            seed=draw(settings.seed, "answer", item.text) >> 33,
        )
        for item in missing
    ]  # fmt: skip
    for item, request, found in zip(missing, requests, teacher.complete(requests), strict=True):
        size = found[0].usage
        if size is None:
            prompt = teacher.encode(request.prompt) if isinstance(request.prompt, str) else request.prompt
            size = (len(prompt), len(found[0].tokens))
        answer = Answer(found[0].text, *size)
        with atomic(out.scratch / f"{_digest(settings, item.text)}.json") as path:
            path.write_text(json.dumps(answer._asdict(), ensure_ascii=True), encoding="utf-8")


def _name(chosen: Ref, inputs: Inputs) -> str:
    """What the teacher is called: the model that a server was asked for, or the chain's base."""
    model = getattr(chosen.settings, "model", None)
    if model:
        return f"{chosen.name}:{model}"
    base = inputs["base"].path("base.json") if "base" in inputs else None
    found = json.loads(base.read_text(encoding="utf-8")).get("name", "") if base and base.is_file() else ""
    return f"{chosen.name}:{found}"


class _Kept:
    """What is kept and what is dropped so far, and what it has cost."""

    def __init__(self, settings: Synthesise.Settings, teacher: str) -> None:
        self.settings, self.teacher = settings, teacher
        self.rows: list[CodeFile] = []
        self.origins: list[Origin] = []
        self.dropped: list[dict[str, Any]] = []
        self.asked = self.tokens_in = self.tokens_out = 0

    @property
    def usd(self) -> float:
        """Money spent."""
        told = self.settings
        return (self.tokens_in * told.usd_per_million_in + self.tokens_out * told.usd_per_million_out) / 1e6

    def is_full(self) -> bool:
        """Whether a bound is reached."""
        told = self.settings
        if len(self.rows) >= told.max_samples:
            return True
        if told.max_tokens is not None and self.tokens_in + self.tokens_out >= told.max_tokens:
            return True
        return told.max_usd is not None and self.usd >= told.max_usd

    def take(self, asked: Question, answer: Answer, judge: Judge) -> None:
        """Judge one answer, and keep it or say why not."""
        self.asked += 1
        self.tokens_in, self.tokens_out = self.tokens_in + answer.tokens_in, self.tokens_out + answer.tokens_out
        found = read_answer(asked.kind, asked.seed, answer.text, self.settings.min_tests)
        file = asked.seed.file
        verdict = Verdict(asked.kind, found) if isinstance(found, str) else judge.verdict(found, asked)
        if verdict is not None or not isinstance(found, Candidate):
            assert verdict is not None
            self.dropped.append(file.dropped(Synthesise.name, verdict._replace(step=asked.kind)))
            return
        terms = license_of(file, self.settings.teacher_license, own=found.own)
        judge.keep(found)
        row = derived(file, found.content, by=asked.kind, license=terms)
        self.rows.append(row)
        detail = f"{self.teacher}, {asked.seed.name}, {len(found.calls)} tests"
        self.origins.append(Origin(row.row_id, file.row_id, Synthesise.name, asked.kind, detail))

    def summary(self) -> dict[str, Any]:
        """What came of it, for the manifest."""
        return {
            "rows": len(self.rows), "questions": self.asked, "teacher": self.teacher,
            "teacher_license": self.settings.teacher_license,
            "tokens_in": self.tokens_in, "tokens_out": self.tokens_out, "usd": round(self.usd, 4),
            "kept": dict(sorted(Counter(item.by for item in self.origins).items())),
            "dropped": dict(sorted(Counter(f"{row['step']}: {row['reason']}" for row in self.dropped).items())),
        }  # fmt: skip
