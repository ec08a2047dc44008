"""Runtime: how a program of one language is compiled and run with its tests, and how one sees that they passed.

The tests of MultiPL-E (Cassano et al. 2023, arXiv 2208.08227) are programs that end badly when a value is not what it
should be. That they ended well decides nothing here: a program that leaves before its tests ends well too, and C# and
Racket end well whatever their tests found. So the tests are made to print a mark after the last of them, a number
drawn for each program, and a program passes when it ended well, printed the mark and reported no failed test.

Candidate and tests share a process, since values can't cross between eighteen languages: what looks for the mark in
its own program could print it. So such verdicts are marked as forgeable.
"""

from __future__ import annotations

import re
import secrets
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar

from buril.core.text import _
from buril.sandboxes._sandbox import PROGRAM_PATH, Outcome, Program, Sandbox, Verdict

TOOL_PATH = PROGRAM_PATH
"""Where compilers are looked for."""
_SECONDS = re.compile(r"\b\d+([.,]\d+)? ?(ms|s|sec|seconds?)\b")
"""What differs each time in what a test tool prints."""
_TELLING = re.compile(r"error|exception|assert|expected|undefined|panic|fail(ed|ure)?\b", re.IGNORECASE)


@dataclass(frozen=True)
class Probe:
    """A function with its tests in MultiPL-E's form, by which a runtime shows that it can tell right from wrong.

    Attributes:
        head: what stands before the body, as in a prompt.
        right: a body that gives one more than it is given.
        wrong: one that gives what it is given.
        leaves: one that ends the program with exit code 0.
        broken: one that does not compile or run.
        tests: the tests, as MultiPL-E writes them.
    """

    head: str
    right: str
    wrong: str
    leaves: str
    broken: str
    tests: str


@lru_cache
def _ends_well(command: tuple[str, ...]) -> bool:
    """Whether a command of ours ends with 0, in half a minute; a process asks each once."""
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=30, check=False)  # noqa: S603  a tool of `TOOL_PATH`
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0


class Runtime:
    """One language. A subclass says what it needs, what is run, and where the mark goes."""

    version: ClassVar[int] = 1
    code: ClassVar[str]
    """The language's name in MultiPL-E's files."""
    tools: ClassVar[tuple[str, ...]]
    """Programs that it needs."""
    libraries: ClassVar[tuple[str, ...]] = ()
    """What the first tool is asked, to see whether the libraries of the tests are there as well: it then ends well."""
    package: ClassVar[str]
    """What installs them: Debian packages, or a whole command."""
    file: ClassVar[str]
    """What the program's file is called."""
    end: ClassVar[str]
    """A regular expression for the end of the tests that is put off until the mark is printed."""
    mark: ClassVar[str]
    """The statement that prints the mark `{}`."""
    fence: ClassVar[str]
    """What a block of this language is called in Markdown."""
    failure: ClassVar[str | None] = None
    """A regular expression for what a failed test prints, where the exit code does not tell."""
    environment: ClassVar[Mapping[str, str]] = {}
    after: ClassVar[bool] = False
    """Whether the mark goes after the end of the tests, as where that calls them; else it goes before."""
    probe: ClassVar[Probe]

    def commands(self, tool: Mapping[str, str]) -> tuple[tuple[str, ...], ...]:
        """What is run for one program; `tool` has the path of each tool. The first runs the file, unless told else."""
        return ((tool[self.tools[0]], self.file),)

    def found(self) -> dict[str, str] | None:
        """The paths of the tools; None where one is missing, or a library that the tests need."""
        paths = {name: path for name in self.tools if (path := shutil.which(name, path=TOOL_PATH))}
        return paths if len(paths) == len(self.tools) and self.complete(paths) else None

    def complete(self, tool: Mapping[str, str]) -> bool:
        """Whether the libraries of the tests are there."""
        return not self.libraries or _ends_well((tool[self.tools[0]], *self.libraries))

    def marked(self, tests: str, mark: str) -> str:
        """The tests with the statement that prints the mark after the last of them.

        Raises:
            ValueError: for tests of another form.
        """
        found = re.search(rf"({self.end})\s*$", tests)
        if found is None:
            raise ValueError(_("the tests do not end as tests of this language do"))
        return f"{tests[: found.start()]}{self.ending(found[1], self.mark.format(mark))}\n"

    def ending(self, end: str, statement: str) -> str:
        """The end of the tests with the statement in it."""
        return f"{end}\n{statement}" if self.after else f"\n{statement}{end}"

    def program(self, source: str, tests: str, mark: str) -> Program:
        """A program with its tests."""
        tools = self.found()
        assert tools is not None, "asked only where its tools are found"
        return Program({self.file: source + self.marked(tests, mark)}, self.commands(tools), self.environment)

    def verdict(self, program: Program, outcome: Outcome, mark: str) -> Verdict:
        """What came of a program."""
        text = outcome.out
        reported = re.search(self.failure, text, re.MULTILINE) if self.failure else None
        status, detail = outcome.status, outcome.detail
        if status == "pass" and (reported or mark not in text):
            status, detail = "wrong", reported[0].strip() if reported else _("it left before the end of its tests")
        elif status == "error" and outcome.code is not None:
            status = "wrong" if outcome.command == len(program.commands) - 1 else "error"
            detail = _telling_line(text, mark) or _("a test failed")
        shown = _SECONDS.sub("… s", text.replace(mark, "✓"))
        return Verdict(status, (), detail[:400], shown, outcome.cpu_ms, outcome.wall_ms, outcome.rss_kb, forgeable=True)


def _telling_line(text: str, mark: str) -> str:
    """The line of what a compiler or a failed test prints that says most: the first that speaks of a failure."""
    lines = [line.strip() for line in text.replace(mark, "").splitlines() if line.strip()]
    telling = next((line for line in lines if _TELLING.search(line)), lines[0] if lines else "")
    return _SECONDS.sub("… s", telling)


def examined(runtime: Runtime, programs: Sequence[tuple[str, str]], sandbox: Sandbox) -> Iterator[Verdict]:
    """The verdicts on programs, each a source and its tests, in their order.

    Raises:
        BurilError: E001 without isolation.
        ValueError: for tests of another form.
    """
    marks = [secrets.token_hex(16) for _one in programs]
    jobs = [runtime.program(source, tests, mark) for (source, tests), mark in zip(programs, marks, strict=True)]
    for job, outcome, mark in zip(jobs, sandbox.execute_all(jobs), marks, strict=True):
        yield runtime.verdict(job, outcome, mark)


@dataclass(frozen=True)
class Capability:
    """What a machine can do of one language: `missing` tools, or what the probe came to, right first, with its time."""

    name: str
    works: bool
    missing: tuple[str, ...] = ()
    statuses: tuple[str, ...] = ()
    wall_ms: int = 0
    detail: str = ""


def capability(name: str, runtime: Runtime, sandbox: Sandbox) -> Capability:
    """Whether a right program passes here and those that are wrong, leave early or are broken do not.

    Raises:
        BurilError: E001 without isolation.
    """
    if runtime.found() is None:
        missing = tuple(tool for tool in runtime.tools if not shutil.which(tool, path=TOOL_PATH))
        return Capability(name, works=False, missing=missing, detail=runtime.package)
    probe = runtime.probe
    bodies = (probe.right, probe.wrong, probe.leaves, probe.broken)
    found = list(examined(runtime, [(probe.head + body, probe.tests) for body in bodies], sandbox))
    statuses = tuple(verdict.status for verdict in found)
    works = found[0].passed and not any(verdict.passed for verdict in found[1:])
    detail = "" if works else next((item.detail for item in found if item.passed != (item is found[0])), "")
    return Capability(name, works, (), statuses, found[0].wall_ms, detail)
