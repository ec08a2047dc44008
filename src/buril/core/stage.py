"""Stage: one step of the chain. It reads artifacts, writes files into a folder, and says what it needs and costs."""

from __future__ import annotations

import contextlib
import shutil
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from buril.core.artifact import SCRATCH, Artifact, atomic
from buril.core.estimate import Estimate, Past, scale
from buril.core.events import EventLog
from buril.core.settings import Settings as BaseSettings

Inputs = Mapping[str, Artifact]
Metrics = dict[str, Any]
PROGRESS_INTERVAL_S = 0.5


class Output:
    """The folder a stage writes into. Whatever an interrupted attempt left there is still there: that is the resume.

    `folder` becomes the artifact. `scratch` is for the stage's own resume state and never part of the artifact.
    `shared`: other processes write into it now; what looks left over by a crash may be theirs.
    """

    def __init__(
        self, folder: Path, events: EventLog, stage: str, *, resumed: bool = False, shared: bool = False
    ) -> None:
        self.folder = folder
        self.stage = stage
        self.resumed = resumed
        self.rows: dict[str, int] = {}
        self.earlier: tuple[Artifact, ...] = ()
        """Finished artifacts of the same stage, version, settings and plugins on other inputs, the latest first: what a
        stage may take results over from."""
        self._events = events
        self._shown = 0.0
        folder.mkdir(parents=True, exist_ok=True)
        for leftover in () if shared else folder.rglob(".*.tmp"):  # what a crash cut in the middle of a write
            leftover.unlink()

    @property
    def scratch(self) -> Path:
        """A folder for resume state; made on first use, deleted when the stage ends well."""
        path = self.folder / SCRATCH
        path.mkdir(exist_ok=True)
        return path

    @property
    def events_path(self) -> Path:
        """The log of the run's events, for a reader that belongs to the stage."""
        return self._events.path

    def path(self, name: str) -> Path:
        """Where a file of the artifact goes; its folder exists."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def has(self, name: str) -> bool:
        """Whether an earlier attempt finished this file (files appear whole, by rename, or not at all)."""
        return (self.folder / name).exists()

    @contextlib.contextmanager
    def write(self, name: str, *, rows: int | None = None) -> Iterator[Path]:
        """A temporary path that becomes the file `name` when the block ends well."""
        with atomic(self.path(name)) as temporary:
            yield temporary
        if rows is not None:
            self.rows[name] = rows

    def text(self, name: str, content: str) -> None:
        """Write a small text file whole."""
        with self.write(name) as path:
            path.write_text(content, encoding="utf-8")

    def progress(self, done: float, total: float, unit: str, **values: Any) -> None:
        """Say how far the stage is; at most two events a second reach the log, the last one always does."""
        now = time.monotonic()
        if done >= total or now - self._shown >= PROGRESS_INTERVAL_S:
            self._shown = now
            self._events.emit("progress", self.stage, done=done, total=total, unit=unit, **values)

    def metric(self, **values: Any) -> None:
        """Record measured values, e.g. `metric(step=10, loss=1.9)`; curves are drawn from these."""
        self._events.emit("metric", self.stage, **values)

    def note(self, text: str) -> None:
        """Tell the user something worth knowing."""
        self._events.emit("note", self.stage, text=text)

    def warn(self, text: str) -> None:
        """Tell the user something that may need attention."""
        self._events.emit("warning", self.stage, text=text)

    def finish(self) -> None:
        """Remove the resume state; called by the store when `run` has returned."""
        shutil.rmtree(self.folder / SCRATCH, ignore_errors=True)


class Stage(ABC):
    """Base of all stages. A subclass sets `name`, `version` and `Settings`, and writes `run`.

    `version` goes up whenever the same settings and inputs give other bytes than before.
    """

    name: ClassVar[str]
    version: ClassVar[int] = 1
    small: ClassVar[dict[str, Any]] = {}
    """Bounds that `--small` puts on settings: the smaller of the two numbers wins."""

    class Settings(BaseSettings):
        """A stage without settings."""

    def __init__(self, settings: Any) -> None:
        self.settings = settings

    def needs(self) -> tuple[str, ...]:
        """Names of the stages whose artifacts it reads; may depend on the settings."""
        return ()

    def parts(self) -> dict[str, int]:
        """Versions of the plugins and kernels that its bytes depend on; they enter the key."""
        return {}

    def observe(self) -> Any:
        """A fingerprint (plain JSON) of what it reads from outside the store: folders, packages, model files.

        It enters the key, so a changed source runs the stage again. Cheap: sizes and times, not contents.
        """
        return None

    def work(self, inputs: Inputs) -> float:
        """How much there is to do, in units that scale with time (default: bytes of the inputs)."""
        return float(sum(entry.bytes for artifact in inputs.values() for entry in artifact.manifest.files))

    def assume(self, work: float) -> Estimate:
        """The cost of `work` units when this store has never run the stage."""
        return Estimate(seconds=1.0 + work / 10e6, ram_mb=500, disk_mb=work / 1e6)

    def estimate(self, inputs: Inputs, past: Sequence[Past]) -> Estimate:
        """The cost to expect, scaled from past runs where there are any."""
        work = self.work(inputs)
        return scale(work, past, self.assume(work))

    @abstractmethod
    def run(self, inputs: Inputs, out: Output) -> Metrics:
        """Do the work: read `inputs`, write files into `out`, return the metrics worth keeping.

        The bytes written depend on the identity settings, `observe()` and the inputs' digests alone: never on the
        time, the number of workers, or whether an earlier attempt was interrupted.
        """
