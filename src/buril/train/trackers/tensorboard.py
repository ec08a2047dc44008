"""Tracker tensorboard: the curves as event files in the artifact, for `tensorboard --logdir .buril/train`."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from buril.core.settings import Settings as BaseSettings

if TYPE_CHECKING:
    from buril.train.trackers._tracker import Point, Tracked

FOLDER = "logs/tensorboard"


class Tensorboard:
    """Writes records in TensorBoard's own format, by its own code, into `logs/tensorboard/` of the artifact.

    Its usual writer puts the host's name into the file's name, where it would travel with the model; this one does not.
    """

    version: ClassVar[int] = 1
    requires: ClassVar[tuple[str, ...]] = ("tensorboard",)

    class Settings(BaseSettings):
        """Nothing to set."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._stream: Any = None
        self._writer: Any = None
        self._going_on = False

    def check(self) -> None:
        """Nothing can be wrong."""

    def open(self, run: Tracked) -> None:
        """Begin a file beside those of earlier attempts."""
        from tensorboard.summary.writer.record_writer import RecordWriter

        folder = run.folder / FOLDER
        folder.mkdir(parents=True, exist_ok=True)
        self._going_on = any(folder.iterdir())
        path = _unused(folder)
        self._stream = path.open("wb")
        self._writer = RecordWriter(self._stream)
        self._put(wall_time=time.time(), file_version="brain.Event:2")
        self._stream.flush()

    def record(self, points: Sequence[Point]) -> None:
        """Write a scalar for each value; after an interruption, steps that were lost with it are first withdrawn."""
        from tensorboard.compat.proto.event_pb2 import SessionLog
        from tensorboard.compat.proto.summary_pb2 import Summary

        for point in points:
            if self._going_on and point.step:
                self._put(wall_time=point.time, step=point.step, session_log=SessionLog(status=SessionLog.START))
                self._going_on = False
            values = [Summary.Value(tag=name, simple_value=value) for name, value in point.values.items()]
            self._put(wall_time=point.time, step=point.step, summary=Summary(value=values))
        self._stream.flush()

    def finish(self, files: Path, digest: str) -> None:
        """Nothing: the model is in the same folder."""

    def close(self, end: Literal["finished", "failed", "interrupted"]) -> None:
        """Close the file."""
        if self._stream:
            self._stream.close()

    def _put(self, **told: Any) -> None:
        from tensorboard.compat.proto.event_pb2 import Event

        from buril.train.trackers._tracker import Unreachable

        try:
            self._writer.write(Event(**told).SerializeToString())
        except OSError as problem:
            raise Unreachable(str(problem)) from problem


def _unused(folder: Path) -> Path:
    """A name that sorts after those that are there: TensorBoard reads files in the order of their names."""
    number = len(list(folder.iterdir()))
    return folder / f"events.out.tfevents.{int(time.time()):010d}.{number:04d}.buril"
