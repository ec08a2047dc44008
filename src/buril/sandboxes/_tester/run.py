"""Runs the Python tests of a repository and notes which of them came to which functions and lines.

    python run.py PLAN RESULT

The tests run with pytest where this Python has it, else those of `unittest` do. The plan (JSON) says where the
repository is (`root`), which `files` of it are watched and which of their lines count (none: functions are told
instead), which `tests` are run (none: all), and for how long: `seconds` of the processor in all, `each` of the clock
for one. The result holds the `tests` with what came of each, and what each `called` or `hit` while it ran; what is run
to import a module is not noted.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import json
import os
import re
import signal
import sys
import threading
import time
import types
import unittest
from pathlib import Path
from typing import Any

FUNCTION = 1
"""The flag of code that has local names of its own: no module, no body of a class."""
TEST_FILE = re.compile(r"(?:test[^/]*|[^/]*_tests?)\.py")
SKIPPED_FOLDERS = frozenset({"node_modules", "__pycache__", "site-packages", "build", "dist"})
IDLE = 4
"""How much longer than its share of the processor a run may take on the clock."""


class TooLongError(Exception):
    """A test took longer than one may."""


class Watch:
    """Sees which functions and lines of some files a test comes to.

    Args:
        root: the folder that the files' paths begin at.
        files: path → the lines that count; None for a file whose functions are noted instead.
    """

    def __init__(self, root: str, files: dict[str, Any]) -> None:
        self._paths = {os.path.realpath(Path(root, name)): name for name in files}
        self._lines = {name: None if lines is None else set(lines) for name, lines in files.items()}
        self._known: dict[str, Any] = {}
        self._now = ""
        self.called: dict[str, set[tuple[str, int, int]]] = {}
        self.hit: dict[str, set[int]] = {}

    def begin(self, test: str, seconds: float) -> None:
        """From now on what is seen is of this test."""
        self._now = test
        signal.signal(signal.SIGALRM, _too_long)
        signal.setitimer(signal.ITIMER_REAL, seconds)
        threading.settrace(self._call)
        sys.settrace(self._call)

    def end(self) -> None:
        """What is seen from now on is of no test."""
        signal.setitimer(signal.ITIMER_REAL, 0)
        sys.settrace(None)
        self._now = ""

    def _call(self, frame: types.FrameType, _event: str, _argument: Any) -> Any:
        code = frame.f_code
        name = self._known.get(code.co_filename, self)
        if name is self:
            name = self._known[code.co_filename] = self._paths.get(os.path.realpath(code.co_filename))
        if name is None or not self._now or not code.co_flags & FUNCTION:
            return None
        lines = self._lines[name]
        if lines is None:
            self.called.setdefault(self._now, set()).add((name, code.co_firstlineno, _last_line(code)))
            return None
        if code.co_firstlineno in lines:
            self._note(code.co_firstlineno)
        return self._line

    def _line(self, frame: types.FrameType, event: str, _argument: Any) -> Any:
        lines = self._lines[self._known[frame.f_code.co_filename]]
        if event == "line" and lines is not None and frame.f_lineno in lines:
            self._note(frame.f_lineno)
        return self._line

    def _note(self, line: int) -> None:
        if self._now:
            self.hit.setdefault(self._now, set()).add(line)


def _last_line(code: types.CodeType) -> int:
    """The last line of a function, those of functions in it too."""
    inner = [_last_line(item) for item in code.co_consts if isinstance(item, types.CodeType)]
    table = code.co_lines() if hasattr(code, "co_lines") else ((0, 0, line) for _at, line in _starts(code))
    return max([code.co_firstlineno, *(line for _start, _end, line in table if line), *inner])


def _starts(code: types.CodeType) -> Any:
    """The starts of lines, for a Python that has no `co_lines`."""
    import dis

    return dis.findlinestarts(code)


def _too_long(_number: int, _frame: Any) -> None:
    raise TooLongError


class Clock:
    """Says when the time of all tests together is up."""

    def __init__(self, seconds: float) -> None:
        self._cpu_s, self._wall_s = seconds, time.monotonic() + IDLE * seconds

    @property
    def up(self) -> bool:
        """Whether no other test may begin."""
        return time.process_time() > self._cpu_s or time.monotonic() > self._wall_s


class Found:
    """What came of each test, the worst of its phases; what was skipped or expected to fail is neither good nor bad."""

    _RANKS = ("passed", "skipped", "failed")

    def __init__(self) -> None:
        self.tests: dict[str, str] = {}
        self.broken = 0
        """Files with tests that could not be read."""

    def add(self, test: str, status: str) -> None:
        """A phase of a test."""
        before = self.tests.get(test, "passed")
        self.tests[test] = max(before, status, key=self._RANKS.index)


class Plugin:
    """What pytest tells of each test, and which of them it runs."""

    def __init__(self, plan: dict[str, Any], watch: Watch, found: Found, clock: Clock) -> None:
        self._plan, self._watch, self._found, self._clock = plan, watch, found, clock
        self._session: Any = None

    def pytest_collection_modifyitems(self, session: Any, items: list[Any]) -> None:
        """Keep the tests that are asked for."""
        self._session = session
        if self._plan["tests"] is not None:
            wanted = set(self._plan["tests"])
            items[:] = [item for item in items if item.nodeid in wanted]

    def pytest_collectreport(self, report: Any) -> None:
        """A file was read."""
        self._found.broken += bool(report.failed)

    def pytest_runtest_logstart(self, nodeid: str, location: Any) -> None:
        """A test begins."""
        self._watch.begin(nodeid, self._plan["each"])

    def pytest_runtest_logreport(self, report: Any) -> None:
        """A phase of a test has ended."""
        expected = hasattr(report, "wasxfail")
        status = "skipped" if report.skipped or expected else "passed" if report.passed else "failed"
        self._found.add(report.nodeid, status)

    def pytest_runtest_logfinish(self, nodeid: str, location: Any) -> None:
        """A test has ended."""
        self._watch.end()
        if self._clock.up and self._session is not None:
            self._session.shouldstop = "time"


def with_pytest(plan: dict[str, Any], watch: Watch, found: Found, clock: Clock) -> str:
    """Run with pytest; what it had to say where it could not begin."""
    import pytest

    files = sorted({test.split("::")[0] for test in plan["tests"] or ()})
    without = [item for name in ("cacheprovider", "xdist", "cov", "randomly", "sugar") for item in ("-p", f"no:{name}")]
    told = ["-q", "-o", "addopts=", "--continue-on-collection-errors", "--rootdir", plan["root"], *without, *files]
    told += ["-W", "ignore::pytest.PytestConfigWarning"]  # a repository may turn warnings into errors
    code = int(pytest.main(told, plugins=[Plugin(plan, watch, found, clock)]))
    return "" if code in (0, 1, 2, 5) else f"pytest {code}"


class Result(unittest.TestResult):
    """What `unittest` tells of each test."""

    def __init__(self, plan: dict[str, Any], watch: Watch, found: Found, clock: Clock) -> None:
        super().__init__()
        self._plan, self._watch, self._found, self._clock = plan, watch, found, clock

    def startTest(self, test: Any) -> None:
        """A test begins."""
        super().startTest(test)
        self._watch.begin(test.id(), self._plan["each"])

    def stopTest(self, test: Any) -> None:
        """A test has ended."""
        super().stopTest(test)
        self._watch.end()
        if self._clock.up:
            self.stop()

    def addSuccess(self, test: Any) -> None:
        """It passed."""
        self._found.add(test.id(), "passed")

    def addFailure(self, test: Any, err: Any) -> None:
        """It failed."""
        self._found.add(test.id(), "failed")

    def addError(self, test: Any, err: Any) -> None:
        """It did not end as it should."""
        self._found.add(test.id(), "failed")

    def addSubTest(self, test: Any, subtest: Any, err: Any) -> None:
        """A part of it ended."""
        if err is not None:
            self._found.add(test.id(), "failed")

    def addSkip(self, test: Any, reason: str) -> None:
        """It was left out."""
        self._found.add(test.id(), "skipped")

    def addExpectedFailure(self, test: Any, err: Any) -> None:
        """It failed, as is known."""
        self._found.add(test.id(), "skipped")

    def addUnexpectedSuccess(self, test: Any) -> None:
        """It passed, though it should not have."""
        self._found.add(test.id(), "failed")


def with_unittest(plan: dict[str, Any], watch: Watch, found: Found, clock: Clock) -> str:
    """Run with `unittest`: the classes of all files that are named as tests are."""
    wanted = None if plan["tests"] is None else set(plan["tests"])
    result = Result(plan, watch, found, clock)
    loader = unittest.TestLoader()
    for name in _modules(plan["root"]):
        if wanted is not None and not any(test.startswith(f"{name}.") for test in wanted):
            continue
        if result.shouldStop:
            break
        try:
            suite = loader.loadTestsFromModule(importlib.import_module(name))
        except BaseException:  # noqa: BLE001  a module of somebody's may raise anything, or leave
            found.broken += 1
            continue
        chosen = [test for test in _flat(suite) if wanted is None or test.id() in wanted]
        unittest.TestSuite(chosen).run(result)
    return ""


def _modules(root: str) -> Any:
    """The names of the modules with tests, each to be imported from where its package begins."""
    for folder, names, files in os.walk(root):
        names[:] = sorted(name for name in names if not name.startswith(".") and name not in SKIPPED_FOLDERS)
        for file in sorted(files):
            if not TEST_FILE.fullmatch(file):
                continue
            parts = [file[: -len(".py")]]
            top = Path(folder)
            while (top / "__init__.py").exists() and top != Path(root):
                parts.insert(0, top.name)
                top = top.parent
            if str(top) not in sys.path:
                sys.path.insert(0, str(top))
            yield ".".join(parts)


def _flat(suite: Any) -> Any:
    for item in suite:
        if isinstance(item, unittest.TestSuite):
            yield from _flat(item)
        elif type(item).__name__ not in ("_FailedTest", "ModuleSkipped"):
            yield item


def _ready(root: str) -> None:
    """What a test finds: its repository as the current folder, and the repository's modules."""
    os.chdir(root)
    sys.dont_write_bytecode = True
    sys.path[:] = [item for item in sys.path if item != str(Path(__file__).parent)]
    for name in ("lib", "src", ""):
        folder = Path(root, name)
        if folder.is_dir():
            sys.path.insert(0, str(folder))


def main() -> None:
    """See the module."""
    plan = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    target = Path(sys.argv[2]).absolute()
    _ready(plan["root"])
    watch, found, clock = Watch(plan["root"], plan["files"]), Found(), Clock(plan["seconds"])
    runner = with_pytest if importlib.util.find_spec("pytest") else with_unittest
    problem = "died"
    try:
        problem = runner(plan, watch, found, clock)
        if plan["tests"] is None and found.broken and not found.tests:
            problem = problem or "nothing could be read"
    finally:
        with contextlib.suppress(ValueError):
            watch.end()
        told = {
            "runner": runner.__name__[len("with_") :],
            "problem": problem,
            "late": clock.up,
            "tests": found.tests,
            "called": {test: sorted(places) for test, places in watch.called.items()},
            "hit": {test: sorted(lines) for test, lines in watch.hit.items()},
        }
        target.write_text(json.dumps(told), encoding="utf-8")


if __name__ == "__main__":
    main()
