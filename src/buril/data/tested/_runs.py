"""One run of a repository's tests in the jail, with a file of it as it stands or with another text in its place."""

from __future__ import annotations

import json
import secrets
import shlex
from collections.abc import Collection, Mapping, Sequence
from importlib.resources import files
from typing import Any, NamedTuple

from buril.core.errors import BurilError
from buril.data.tested._reports import hit, statuses
from buril.sandboxes._sandbox import Limits, Outcome, Program, Sandbox

IDLE = 4
"""How much longer than its share of the processor a run may take on the clock."""
LATE = "late"
"""What came of a test whose turn did not come before the time was up."""
_NONE = "buril: no such program"
_ROOT = "/tmp/repo"  # noqa: S108  the jail's own
_SHELL = "/bin/sh"
_UNPACK = "mkdir -p repo && base64 -d < repo.b64 | tar -xzf - -C repo && rm repo.b64"
_ENVIRONMENT = {"PYTHONHASHSEED": "0", "PYTHONDONTWRITEBYTECODE": "1", "CI": "true"}


class Ran(NamedTuple):
    """What came of a run.

    Attributes:
        tests: what came of each test: `passed`, `failed`, `skipped` or `late`.
        called: test → functions that it came to, as path, first and last line.
        hit: test → lines that count and that it came to; "" stands for all tests together.
        problem: why nothing can be said, as a slug; "" where something can.
        said: the end of what was printed.
    """

    tests: Mapping[str, str]
    called: Mapping[str, Sequence[tuple[str, int, int]]] = {}
    hit: Mapping[str, Sequence[int]] = {}
    problem: str = ""
    said: str = ""


class Bounds(NamedTuple):
    """What a run may use: processor seconds, MiB of memory and of disk, and seconds of the clock for one test."""

    seconds: int
    memory_mb: int
    disk_mb: int
    each: float

    @property
    def limits(self) -> Limits:
        """For the sandbox."""
        return Limits(self.seconds + 10, IDLE * self.seconds + 30.0, self.memory_mb, self.disk_mb, 256, 32_768)


class Watched(NamedTuple):
    """What is looked at in a run: the files and their lines (None: functions instead), and which tests run."""

    files: Mapping[str, Collection[int] | None]
    tests: Sequence[str] | None = None


def with_python(
    sandbox: Sandbox, python: str, repository: tuple[str, Mapping[str, str]], watched: Watched, bounds: Bounds
) -> Ran:
    """Run the tests of a repository in Python.

    Args:
        sandbox: where.
        python: the interpreter in it.
        repository: the packed repository, and texts that take the place of files of it.
        watched: what is looked at.
        bounds: what it may use.

    Raises:
        BurilError: D342 where the sandbox has no such Python.
    """
    tester = files("buril.sandboxes").joinpath("_tester").joinpath("run.py").read_text(encoding="utf-8")
    plan = {
        "root": _ROOT, "seconds": bounds.seconds, "each": bounds.each,
        "tests": None if watched.tests is None else list(watched.tests),
        "files": {path: None if lines is None else sorted(lines) for path, lines in watched.files.items()},
    }  # fmt: skip
    mark = secrets.token_hex(8)
    name = shlex.quote(python)
    script = "\n".join((
        f"command -v {name} >/dev/null || {{ echo '{_NONE}'; exit 0; }}",
        f"{_UNPACK} && {_put(repository[1])} || exit 0",
        f"{name} -B -X utf8 tester/run.py plan.json result.json 2>&1 </dev/null | tail -c 2000",
        f"echo; echo {mark}; cat result.json",
    ))  # fmt: skip
    given = {"tester/run.py": tester, "plan.json": json.dumps(plan)}
    outcome = _executed(sandbox, script, repository, given, bounds)
    said, _mark, told = outcome.out.partition(f"\n{mark}\n")
    if _NONE in said:
        raise BurilError("D342", python=python)
    try:
        found: dict[str, Any] = json.loads(told)
    except ValueError:
        return Ran({}, problem=_cut(outcome), said=said[-500:])
    called = {test: [(path, first, last) for path, first, last in places] for test, places in found["called"].items()}
    problem = "tests_do_not_load" if found["problem"] else ""
    late = dict.fromkeys(watched.tests or () if found["late"] else (), LATE)
    return Ran({**late, **found["tests"]}, called, found["hit"], problem, said[-500:])


class Command(NamedTuple):
    """A command line for a shell, and where it leaves its reports; "" for none."""

    run: str
    report: str
    coverage: str


def with_command(
    sandbox: Sandbox, command: Command, repository: tuple[str, Mapping[str, str]], path: str, bounds: Bounds
) -> Ran:
    """Run the tests of a repository with a command of the user's; the lines of `path` that were run are in `hit`.

    Without a report the whole command is one test.

    Raises:
        BurilError: D343 where the command is not there.
    """
    mark = secrets.token_hex(8)
    script = "\n".join((
        f"{_UNPACK} && {_put(repository[1])} || exit 0",
        "cd repo",
        f"{_SHELL} -c {shlex.quote(command.run)} >../said 2>&1 </dev/null; code=$?",
        f"tail -c 2000 ../said; echo; echo {mark} code; echo $code",
        *(f'for file in {place}; do [ -f "$file" ] && echo {mark} {kind} && cat "$file" && echo; done'
          for kind, place in (("report", command.report), ("coverage", command.coverage)) if place),
        "exit 0",
    ))  # fmt: skip
    outcome = _executed(sandbox, script, repository, {}, bounds)
    said, *sections = outcome.out.split(f"\n{mark} ")
    told = [section.partition("\n")[::2] for section in sections]
    code = next((text.strip() for kind, text in told if kind == "code"), "")
    if code in ("126", "127"):
        raise BurilError("D343", command=command.run, said=said.strip()[-300:] or "–")
    if not code or outcome.status != "pass":
        return Ran({}, problem=_cut(outcome), said=said[-500:])
    tests: dict[str, str] = {}
    for kind, text in told:
        if kind == "report":
            tests.update(statuses(text))
    if not command.report:
        tests = {command.run: "passed" if code == "0" else "failed"}
    lines = sorted({line for kind, text in told if kind == "coverage" for line in hit(text, path)})
    return Ran(tests, hit={"": lines}, problem="" if tests else "no_report", said=said[-500:])


def _put(texts: Mapping[str, str]) -> str:
    """Shell words that lay texts in the place of files."""
    return " && ".join((":", *(f"cat put/{number} > repo/{shlex.quote(path)}" for number, path in enumerate(texts))))


def _executed(
    sandbox: Sandbox, script: str, repository: tuple[str, Mapping[str, str]], given: Mapping[str, str], bounds: Bounds
) -> Outcome:
    packed, texts = repository
    laid = {f"put/{number}": text for number, text in enumerate(texts.values())}
    command = (_SHELL, "-c", script)
    return sandbox.execute(Program({"repo.b64": packed, **laid, **given}, (command,), _ENVIRONMENT, bounds.limits))


def _cut(outcome: Outcome) -> str:
    """Why a run has no result."""
    return {"timeout_cpu": "timeout", "timeout_wall": "timeout", "oom": "memory"}.get(outcome.status, "died")
