"""Job: what every process of a training is told. It is text, so that it can go through a file or a store."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from buril.core.artifact import SCRATCH, Artifact, Manifest
from buril.core.errors import BurilError
from buril.core.stage import Output
from buril.engines._plain import dumps, loads

FOLDER = "parallel"
"""In a training's scratch folder: the job, what its processes say, and how each of them ended."""


@dataclass(frozen=True)
class Job:
    """A training for several processes.

    Attributes:
        settings: of the stage, as `engines/_plain.py` writes values.
        inputs: the folder and the manifest of each artifact that it reads, by stage.
        folder: the unfinished artifact's.
        events: the log of the run.
    """

    settings: str
    inputs: dict[str, tuple[str, str]]
    folder: str
    events: str

    @classmethod
    def of(cls, settings: Any, inputs: Mapping[str, Artifact], out: Output) -> Job:
        """The job of a stage that runs."""
        told = {name: (str(item.folder.resolve()), item.manifest.to_json()) for name, item in inputs.items()}
        return cls(dumps(settings), told, str(out.folder.resolve()), str(out.events_path.resolve()))

    @classmethod
    def parse(cls, text: str) -> Job:
        """The job that `text` wrote."""
        return cls(**json.loads(text))

    def text(self) -> str:
        """The job as JSON."""
        return json.dumps(asdict(self))

    def artifacts(self) -> dict[str, Artifact]:
        """What it reads.

        Raises:
            BurilError: T163 when this machine does not see it.
        """
        for folder in (self.folder, *(folder for folder, _manifest in self.inputs.values())):
            if not Path(folder).is_dir():
                raise BurilError("T163", path=folder)
        return {name: Artifact(Path(at), Manifest.of(manifest)) for name, (at, manifest) in self.inputs.items()}

    def told(self) -> Any:
        """The settings."""
        return loads(self.settings)

    @property
    def scratch(self) -> Path:
        """The folder that all its processes see."""
        return Path(self.folder) / SCRATCH / FOLDER

    @property
    def checkpoints(self) -> Path:
        """The folder of the checkpoints: that of a training alone, which may go on from them."""
        return Path(self.folder) / SCRATCH / "checkpoints"

    @property
    def stop(self) -> Path:
        """The file that asks all to end after the step at hand."""
        return self.scratch / "stop"

    def log(self, rank: int) -> Path:
        """What a process says."""
        return self.scratch / f"rank-{rank}.log"

    def failure(self, rank: int) -> Path:
        """The error that a process ended with."""
        return self.scratch / f"rank-{rank}.json"

    @property
    def result(self) -> Path:
        """What the training came to."""
        return self.scratch / "result.json"
