"""MultiPL-E: HumanEval's tasks translated to eighteen languages (Cassano et al. 2023, arXiv 2208.08227).

The tests are programs of their language that run beside the candidate, so the verdicts are forgeable, and say so; see
`evaluate/runtimes` for what is done about programs that leave early. The tasks must never be trained on: their licence
forbids it.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

from pydantic import Field, field_validator

from buril.core.artifact import sha256_file
from buril.core.errors import BurilError, nearest
from buril.core.plugins import names, normal, plugin
from buril.core.text import _
from buril.evaluate.runtimes._runtime import Runtime, capability, examined
from buril.evaluate.suite import SuiteContext
from buril.evaluate.suites._coding import Coding, Problem, taken
from buril.evaluate.suites._files import tasks_of
from buril.generators._generator import Completion
from buril.sandboxes._sandbox import Verdict

FILE = "humaneval-{}.jsonl"


class MultiplE(Coding):
    """pass@1 and pass@k over languages; the machine must have a language's tools for it to be asked."""

    version: ClassVar[int] = 1
    name: ClassVar[str] = "multipl_e"
    by_language: ClassVar[bool] = True

    class Settings(Coding.Settings):
        """Where the tasks are, and in which languages."""

        path: Path | None = None
        """The folder with `humaneval-cpp.jsonl` and its like, or one such file. The bytes of the files that are used
        are part of the identity, their place is not."""
        languages: tuple[str, ...] = Field(default=())
        """Which languages, by buril's names or MultiPL-E's (`rust`, `rs`); none means all that this machine runs, and
        then another machine may measure others. A language that is named and does not run here is an error."""

        @field_validator("languages")
        @classmethod
        def _known(cls, languages: tuple[str, ...]) -> tuple[str, ...]:
            return tuple(dict.fromkeys(map(_language, languages)))

        def identity(self) -> dict[str, Any]:
            """The settings, with the languages that are asked and the digests of their files instead of the path."""
            files = {name: path for name, path in self.files().items() if path.is_file()}
            found = {**super().identity(), "path": {name: sha256_file(path) for name, path in sorted(files.items())}}
            return {**found, "languages": sorted(self.asked())}

        def files(self) -> dict[str, Path]:
            """The file of each language that may be asked, there or not."""
            path = self.path or Path("multipl-e")
            codes = {name: FILE.format(_runtime(name).code) for name in names("runtime")}
            if not path.suffix:
                return {
                    name: path / file for name, file in codes.items() if not self.languages or name in self.languages
                }
            return {name: path for name, file in codes.items() if file == path.name}

        def asked(self) -> dict[str, Path]:
            """The files of the languages that are asked: those named, else those whose tools and file are here."""
            files = self.files()
            if self.languages:
                return files
            return {name: path for name, path in files.items() if path.is_file() and _runtime(name).found()}

    def problems(self, context: SuiteContext) -> list[Problem]:
        """The tasks taken, at most `max_items` of each language.

        Raises:
            BurilError: E008 without the files, E009 when one holds something else, E010 when none can be asked.
        """
        files = self.settings.asked()
        if not files:
            missing = next((path for path in self.settings.files().values() if not path.is_file()), self.settings.path)
            raise BurilError("E008", suite=self.name, path=missing)
        found: list[Problem] = []
        for name, path in files.items():
            read = partial(_problem, name=name, runtime=_runtime(name))
            found += taken(tasks_of(path, self.name, read), context)
        return found

    def check(self, context: SuiteContext) -> None:
        """In each language a right program must pass, and one that is wrong, broken or leaves early must not.

        Raises:
            BurilError: E001 without isolation, E008, E009, E010 when a language does not run here as it should.
        """
        self.problems(context)
        for name in self.settings.asked():
            found = capability(name, _runtime(name), context.sandbox())
            if not found.works:
                told = _("{tools} not found").format(tools=", ".join(found.missing)) if found.missing else found.detail
                raise BurilError("E010", language=name, problem=told, package=_runtime(name).package)

    def judge(self, problems: Sequence[Problem], programs: Sequence[str], context: SuiteContext) -> list[Verdict]:
        """Each program runs with its tests; the problems of one call are of one language or several."""
        found: dict[int, Verdict] = {}
        for name in dict.fromkeys(item.language for item in problems):
            places = [place for place, item in enumerate(problems) if item.language == name]
            asked = [(programs[place] + "\n", problems[place].task) for place in places]
            found.update(zip(places, examined(_runtime(name), asked, context.sandbox()), strict=True))
        return [found[place] for place in range(len(problems))]

    def texts_of(self, problem: Problem) -> list[str]:
        """The prompt and the tests; there are no solutions."""
        return [problem.plain, str(problem.task)]

    def text_of(self, completion: Completion, problem: Problem) -> str:
        """All of it: what ends a completion is told by its task."""
        return completion.text


def _runtime(name: str) -> Runtime:
    found: Runtime = plugin("runtime", name)()
    return found


def _language(name: str) -> str:
    """A language's name, from its own or from MultiPL-E's for it."""
    known = names("runtime")
    if normal(name) in known:
        return normal(name)
    codes = {_runtime(item).code: item for item in known}
    if name not in codes:
        suggestion = nearest(name, [*known, *codes])
        raise ValueError(_("no runtime for `{name}`; {suggestion}").format(name=name, suggestion=suggestion))
    return codes[name]


def _problem(line: dict[str, Any], name: str, runtime: Runtime) -> Problem:
    """One line: `name`, `prompt`, `tests` and `stop_tokens`."""
    prompt, tests = str(line["prompt"]), str(line["tests"])
    runtime.marked(tests, "")  # that they are of the form known is said now
    ask = f"Complete this {name} function.\n\n```{runtime.fence}\n{prompt.rstrip()}\n```"
    stops = (*map(str, line["stop_tokens"]), "\n```")
    prefill = f"```{runtime.fence}\n{prompt}"
    return Problem(f"{name}/{line['name']}", tests, prompt, ask, prefill, prompt, stops, name)
