"""Proof by the repository's own tests: they run with the secure and with the vulnerable text of a pair in its place.

`tests` holds where at least one test that came to the changed lines passed with both, and none passed with the
vulnerable text alone. One that did drops the pair. A test that passes with the secure text alone is what a fix brings
with it: it is told, and proves by itself nothing. Tests that don't run, or never come to the change, prove nothing.

As with `behaviour` the code reports on itself from within the jail: it could deceive, behind the sandbox's walls.
"""

from __future__ import annotations

import hashlib
import threading
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, NamedTuple

from pydantic import Field

from buril.core.artifact import canonical
from buril.core.errors import BurilError
from buril.core.plugins import PluginKind, Ref
from buril.core.settings import Json, runtime
from buril.core.settings import Settings as BaseSettings
from buril.data._pair_judged import Memory
from buril.data.pair import Pair
from buril.data.tested import _runs
from buril.data.tested._placing import HALVES, Lines, Placed, lines, placed
from buril.data.tested._repositories import Repositories, Snapshot
from buril.data.tested._runs import Bounds, Ran, Watched
from buril.sandboxes._lazy import Lazy

VERSION = 1
"""Goes up whenever a pair may be judged in another way than before."""
MOST_HELD = 2
"""Packed repositories that are kept in memory."""

Outcome = Literal["same", "differs", "unproven"]


class Command(BaseSettings):
    """How the tests of a language are run, and where they leave what they found."""

    shorthand: ClassVar[str | None] = "run"

    run: str = Field(min_length=1)
    """A command line for the shell of the sandbox, in the folder of the repository: `go test ./...`."""
    report: str = ""
    """The JUnit report that it writes, as a path or glob in the repository; "": the whole command is one test."""
    coverage: str = ""
    """The report of lines that it writes: LCOV, Cobertura or a Go profile. Without one nothing is proved: a test that
    fails with the secure text alone still drops a pair."""


class OwnTests(BaseSettings):
    """Whose tests are run, how and where."""

    shorthand: ClassVar[str | None] = "repositories"

    repositories: Path | tuple[Path, ...] = ()
    """Repositories on this disk, or folders of them, beside those of `history`. Relative to the YAML."""
    python: str = Field("/usr/bin/python3", min_length=1)
    """The Python of the sandbox that runs tests in Python, with `pytest` where it has it, else with `unittest`."""
    commands: Mapping[str, Command] = {}
    """How the tests of other languages are run, by language; `python` here takes the place of the above."""
    seconds: int = Field(120, ge=1, le=3600)
    """Processor seconds of one run, and four times as many on the clock; tests whose turn does not come by then
    are left out."""
    each: int = Field(30, ge=1, le=600)
    """Seconds on the clock of one test in Python."""
    memory_mb: int = Field(2048, ge=64)
    """MiB of memory of a run."""
    max_mb: int = Field(64, ge=1, le=1024)
    """MiB of the files of a repository; a larger one's pairs stay unproven. The sandbox has four times as much disk."""
    sandbox: Annotated[Ref, PluginKind("sandbox")] = Field(default="namespaces", validate_default=True)
    """What the tests run in. They need there what they need anywhere: `show` of `namespaces` shows a virtual
    environment, and an image of `docker` may hold anything."""
    workers: int = runtime(1, ge=1, le=64)
    """Pairs at a time."""

    @property
    def paths(self) -> tuple[Path, ...]:
        """The repositories, as a tuple."""
        return (self.repositories,) if isinstance(self.repositories, Path) else self.repositories


class Shown(NamedTuple):
    """What the tests showed of a pair.

    Attributes:
        outcome: whether the tests say the same of both.
        reason: why it is unproven.
        reached: tests that passed with both and came to the changed lines.
        test: one that passes with the vulnerable text alone; else one that passes with the secure text alone; or "".
    """

    outcome: Outcome
    reason: str = ""
    reached: int = 0
    test: str = ""


def observed(told: OwnTests, repositories: Sequence[Path]) -> Json:
    """A fingerprint of the repositories and of the Python that tests run on."""
    path = Path(told.python)
    python = [path.resolve().name, path.stat().st_size] if path.exists() else []
    return [python, Repositories(_all(told, repositories), told.max_mb).observe()]


def _all(told: OwnTests, repositories: Sequence[Path]) -> tuple[Path, ...]:
    found = tuple(dict.fromkeys(path.expanduser() for path in (*told.paths, *repositories)))
    if not found:
        raise BurilError("D341")
    return found


class Runner:
    """Runs the tests for pairs; what it found is kept in a folder, so that an interrupted run does nothing twice.

    Args:
        told: the settings.
        pairs: all that will be asked for: the functions of their files are watched when a repository's tests first run.
        repositories: those that the sources of pairs read.
        kept: the folder; None: nowhere.

    Raises:
        BurilError: D341 where there is no repository.
    """

    def __init__(self, told: OwnTests, pairs: Sequence[Pair], repositories: Sequence[Path], kept: Path | None) -> None:
        self._told, self._memory, self._sandbox = told, Memory(kept), Lazy(told.sandbox)
        self._repositories = Repositories(_all(told, repositories), told.max_mb)
        self._bounds = Bounds(told.seconds, told.memory_mb, 4 * told.max_mb, float(told.each))
        self._files: defaultdict[tuple[str, str], set[str]] = defaultdict(set)
        for pair in pairs:
            if pair.file is not None and pair.language == "python":
                self._files[pair.file.repo, pair.file.commit].add(pair.file.path)
        self._held: dict[tuple[str, str], tuple[Snapshot, str] | str] = {}
        self._locks: defaultdict[tuple[str, str], threading.Lock] = defaultdict(threading.Lock)
        self._making = threading.Lock()

    def close(self) -> None:
        """End the jails."""
        self._sandbox.close()

    def shown(self, pair: Pair) -> Shown:
        """What the tests show of a pair.

        Raises:
            BurilError: D342 where the sandbox has no Python, D343 where a command is not there, E001 where there can
                be no sandbox.
        """
        file = pair.file
        if file is None:
            return Shown("unproven", "no_repository")
        if pair.language != "python" and pair.language not in self._told.commands:
            return Shown("unproven", "language")
        key = ["pair", VERSION, pair.pair_id, file.repo, file.commit, file.path]
        return Shown(*self._remembered(key, lambda: list(self._judged(pair, file.repo, file.commit, file.path))))

    def _judged(self, pair: Pair, repo: str, commit: str, path: str) -> Shown:
        held = self._at(repo, commit)
        if isinstance(held, str):
            return Shown("unproven", held)
        content = held[0].text(path)
        put = placed(pair, content) if content is not None else None
        if put is None:
            return Shown("unproven", "not_there")
        found = lines(pair.language, put.texts)
        if not any(found.counted.values()):
            return Shown("unproven", "not_in_a_function")
        if pair.language in self._told.commands:
            return self._by_command(pair.language, (held[0], held[1], path), put, found)
        return self._by_python((repo, commit, path), put, found)

    # --- Python

    def _by_python(self, place: tuple[str, str, str], put: Placed, found: Lines) -> Shown:
        repo, commit, path = place
        survey = self._survey(repo, commit)
        if survey.problem:
            return Shown("unproven", survey.problem)
        passing = [test for test, status in survey.tests.items() if status == "passed"]
        if not passing:
            return Shown("unproven", "tests_fail" if survey.tests else "no_tests")
        near = found.around[put.at_hand]
        chosen = [
            test for test, status in survey.tests.items()
            if status != "skipped" and any(
                name == path and not near.isdisjoint(range(first, last + 1))
                for name, first, last in survey.called.get(test, ())
            )
        ]  # fmt: skip
        if not chosen:
            return Shown("unproven", "not_reached")
        seen = self._both(place, put, found, chosen)
        odd = [test for test in chosen if seen["secure"].tests.get(test) != seen["vulnerable"].tests.get(test)]
        if odd:
            again = self._both(place, put, found, odd)
            seen = {half: _steady(seen[half], again[half], odd) for half in HALVES}
        return concluded(seen, chosen, found)

    def _both(self, place: tuple[str, str, str], put: Placed, found: Lines, tests: Sequence[str]) -> dict[str, Ran]:
        repo, commit, path = place
        held = self._at(repo, commit)
        assert not isinstance(held, str)
        seen = {}
        for half in HALVES:
            watched = Watched({path: found.counted[half]}, tests)
            given = (held[1], {path: put.texts[half]})
            seen[half] = _runs.with_python(self._sandbox.get(), self._told.python, given, watched, self._bounds)
        return seen

    def _survey(self, repo: str, commit: str) -> Ran:
        """All tests of a repository as it is, once, with the functions that each came to in the files of pairs."""
        watched = sorted(self._files[repo, commit])
        with self._locks[repo, commit]:
            held = self._at(repo, commit)
            assert not isinstance(held, str)

            def make() -> Json:
                given: tuple[str, Mapping[str, str]] = (held[1], {})
                told = Watched(dict.fromkeys(watched))
                return list(_runs.with_python(self._sandbox.get(), self._told.python, given, told, self._bounds))

            tests, called, hit, problem, said = self._remembered(
                ["survey", VERSION, repo, held[0].digest, watched], make
            )
            return Ran(tests, called, hit, problem, said)

    # --- a command

    def _by_command(self, language: str, place: tuple[Snapshot, str, str], put: Placed, found: Lines) -> Shown:
        snapshot, packed, path = place
        told = self._told.commands[language]
        command = _runs.Command(told.run, told.report, told.coverage)

        def run(half: str) -> Ran:
            given = (packed, {path: put.texts[half]})
            return _runs.with_command(self._sandbox.get(), command, given, path, self._bounds)

        as_it_is = put.at_hand
        key = ["command", VERSION, told.identity(), snapshot.digest, path]
        with self._locks[snapshot.digest, path]:
            kept = self._remembered(key, lambda: list(run(as_it_is)))
        seen = {half: Ran(*kept) if half == as_it_is else run(half) for half in HALVES}
        if seen[as_it_is].problem:
            return Shown("unproven", seen[as_it_is].problem)
        tests = sorted({test for ran in seen.values() for test in ran.tests})
        if "passed" not in seen[as_it_is].tests.values():
            return Shown("unproven", "tests_fail" if seen[as_it_is].tests else "no_tests")
        odd = [test for test in tests if seen["secure"].tests.get(test) != seen["vulnerable"].tests.get(test)]
        if odd:
            seen = {half: _steady(seen[half], run(half), odd) for half in HALVES}
        return concluded(seen, tests, found)

    # --- what is held

    def _at(self, repo: str, commit: str) -> tuple[Snapshot, str] | str:
        """A repository at a commit, packed; a slug where it can't be read."""
        with self._making:
            held = self._held.get((repo, commit))
            if held is None:
                read = self._repositories.read(repo, commit)
                held = read if isinstance(read, str) else (read, read.packed())
                while len(self._held) >= MOST_HELD:
                    del self._held[next(iter(self._held))]
                self._held[repo, commit] = held
            return held

    def _remembered(self, key: Json, make: Callable[[], Any]) -> Any:
        """What `make` finds, or found before an interruption."""
        return self._memory.get(hashlib.blake2b(canonical(key), digest_size=16).hexdigest(), make)


def _steady(first: Ran, second: Ran, odd: Sequence[str]) -> Ran:
    """A run without the tests of which a second run says something else."""
    if second.problem:
        return first._replace(problem=second.problem)
    chance = {test for test in odd if first.tests.get(test) != second.tests.get(test)}
    return first._replace(tests={test: "chance" if test in chance else status for test, status in first.tests.items()})


def concluded(seen: Mapping[str, Ran], tests: Sequence[str], found: Lines) -> Shown:
    """The word on a pair, of what its tests said with either text in place."""
    for half in HALVES:
        if seen[half].problem:
            return Shown("unproven", seen[half].problem)
    said = {test: (seen["secure"].tests.get(test, ""), seen["vulnerable"].tests.get(test, "")) for test in tests}
    worse = [test for test, (secure, vulnerable) in said.items() if vulnerable == "passed" and secure in ("failed", "")]
    if worse:
        return Shown("differs", test=min(worse))
    mended = min((test for test, both in said.items() if both in (("passed", "failed"), ("passed", ""))), default="")
    both = [test for test, of in said.items() if of == ("passed", "passed")]
    reached = [test for test in both if all(_came(seen[half], test, found.counted[half]) for half in HALVES)]
    if reached:
        return Shown("same", reached=len(reached), test=mended)
    if not both:
        return Shown("unproven", "vulnerable_fails" if mended else "tests_fail", test=mended)
    return Shown("unproven", "not_reached", test=mended)


def _came(ran: Ran, test: str, wanted: frozenset[int]) -> bool:
    """Whether a test came to a line that counts; where none is known by test, whether any did."""
    lines_hit = ran.hit.get(test, ran.hit.get("", ()))
    return not wanted or not wanted.isdisjoint(lines_hit)
