"""Fixtures that every test may use."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from buril.core.allocator import give_back
from buril.core.artifact import Artifact, FileEntry, Link, Manifest, digest_of, sha256_file
from buril.core.events import EventLog
from buril.core.stage import Output, Stage

GROWN = 64 << 20
"""Bytes that a module of tests may add to a process before they are asked back."""

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as a shell starts what it puts into the background
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_configure(config: pytest.Config) -> None:
    if not hasattr(config, "workerinput"):
        config.pluginmanager.register(AtOnce(config), "at-once")


class AtOnce:
    """Tells a failure when it happens: of a run that is cut short, nothing would be known."""

    def __init__(self, config: pytest.Config) -> None:
        self.config = config

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        terminal: Any = self.config.pluginmanager.getplugin("terminalreporter")
        if report.failed and terminal is not None:
            last = "\n".join(report.longreprtext.splitlines()[-30:])
            terminal.ensure_newline()
            terminal.write_line(f"{report.nodeid} ({report.when}, {report.duration:.0f} s)\n{last}")


@pytest.fixture(scope="module", autouse=True)
def memory() -> Iterator[None]:
    """A module that loaded a model gives its memory back before the next one loads another."""
    before = _resident()
    yield
    if _resident() - before > GROWN:
        give_back()


def _resident() -> int:
    """Bytes of this process in memory; 0 where that is not told."""
    with contextlib.suppress(OSError):
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return 0


@pytest.fixture
def output(tmp_path: Path) -> Callable[..., Output]:
    """Make an `Output` for a stage name in the test's folder; the same name gives the same folder again."""

    def make(name: str, *, resumed: bool = False) -> Output:
        return Output(tmp_path / name, EventLog(tmp_path / "events.jsonl"), name, resumed=resumed)

    return make


@pytest.fixture
def make_artifact(output: Callable[..., Output]) -> Callable[..., Artifact]:
    """Run a stage into the test's folder, outside any store, and give its artifact."""

    def make(stage: Stage, inputs: Mapping[str, Artifact] | None = None, *, folder: str | None = None) -> Artifact:
        out = output(folder or stage.name)
        metrics = stage.run(inputs or {}, out)
        out.finish()
        return as_artifact(out.folder, stage.name, metrics, rows=out.rows)

    return make


def as_artifact(
    folder: Path, stage: str, metrics: dict[str, Any] | None = None, *, rows: dict[str, int] | None = None
) -> Artifact:
    """An artifact around the files of a folder."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    files = tuple(
        FileEntry(
            str(path.relative_to(folder)),
            path.stat().st_size,
            sha256_file(path),
            (rows or {}).get(str(path.relative_to(folder))),
        )
        for path in paths
    )
    digest = digest_of({entry.path: entry.sha256 for entry in files})
    inputs: dict[str, Link] = {}
    return Artifact(folder, Manifest(stage, 1, "0" * 64, digest, {}, inputs, files, metrics or {}))
