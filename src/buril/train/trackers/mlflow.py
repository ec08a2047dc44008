"""Tracker mlflow: parameters, curves and files of a training in MLflow, and a version in its model registry."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, TypeVar

from pydantic import Field

from buril.core.artifact import atomic
from buril.core.errors import BurilError
from buril.core.settings import Settings as BaseSettings

if TYPE_CHECKING:
    from buril.train.trackers._tracker import Point, Tracked

Answer = TypeVar("Answer")
VARIABLE = "MLFLOW_TRACKING_URI"
ENVIRONMENT = {
    "MLFLOW_DISABLE_TELEMETRY": "true",  # it would report its use to its makers
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",  # what fails is tried again here, with all that has come since
}
PER_CALL = 1000
"""Metrics that MLflow takes at once."""
LONGEST_VALUE = 500
MEMORY = "mlflow.run"


class Mlflow:
    """Logs to a server or to a folder, and registers what came out with the digests it was made from."""

    version: ClassVar[int] = 1
    requires: ClassVar[tuple[str, ...]] = ("mlflow",)

    class Settings(BaseSettings):
        """Where, and under which names."""

        shorthand: ClassVar[str | None] = "uri"
        uri: str = ""
        """A server (`http://…`), a folder, or `sqlite:///…` with MLflow's full package. Nothing means the environment
        variable MLFLOW_TRACKING_URI. Passwords and tokens come from MLflow's own variables, never from here."""
        experiment: str = Field("buril", min_length=1)
        """The experiment; it is made where it is not there."""
        run: str = Field("train", min_length=1)
        """What the run is called."""
        register_as: str = Field("", pattern=r"^[^/:]*$")
        """The registered model that the result becomes a version of; nothing means none."""
        upload: bool = True
        """Send the adapter or the model too; off, MLflow gets numbers alone."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._client: Any = None
        self._run_id = ""
        self._artifact_uri = ""
        self._tags: Mapping[str, str] = {}

    def check(self) -> None:
        """Whether there is an address that MLflow understands.

        Raises:
            BurilError: T150 without an address, T151 for one that MLflow can't use here.
        """
        self._client = self._connect()

    def open(self, run: Tracked) -> None:
        """Begin a run, or go on with the one of an interrupted attempt."""
        from mlflow.entities import Param

        memory = run.memory / MEMORY
        self._tags = {f"buril.{name}": value for name, value in run.tags.items()}
        known = memory.read_text(encoding="utf-8") if memory.exists() else ""
        if known:
            found = self._ask(lambda: self._client.get_run(known))
            self._ask(lambda: self._client.update_run(known, status="RUNNING"))
        else:
            experiment = self._ask(self._experiment)
            found = self._ask(
                lambda: self._client.create_run(experiment, run_name=self.settings.run, tags=dict(self._tags))
            )
        self._run_id, self._artifact_uri = found.info.run_id, found.info.artifact_uri
        with atomic(memory) as temporary:
            temporary.write_text(self._run_id, encoding="utf-8")
        told = {name: str(value)[:LONGEST_VALUE] for name, value in run.parameters.items()}
        params = [Param(name, value) for name, value in told.items() if found.data.params.get(name) != value]
        self._ask(lambda: self._client.log_batch(self._run_id, params=params))

    def record(self, points: Sequence[Point]) -> None:
        """Log every value at its step."""
        from mlflow.entities import Metric

        metrics = [
            Metric(name, value, int(point.time * 1000), point.step)
            for point in points
            for name, value in point.values.items()
        ]
        for begin in range(0, len(metrics), PER_CALL):
            part = metrics[begin : begin + PER_CALL]
            self._ask(lambda part=part: self._client.log_batch(self._run_id, metrics=part))  # type: ignore[misc]  # bound now

    def finish(self, files: Path, digest: str) -> None:
        """Upload the files, and register them with the digests of everything they come from."""
        tags = {**self._tags, "buril.digest": digest}
        self._ask(lambda: self._client.set_tag(self._run_id, "buril.digest", digest))
        if self.settings.upload:
            self._ask(lambda: self._client.log_artifacts(self._run_id, str(files), files.name))
        name = self.settings.register_as
        if name:
            self._ask(lambda: self._register(name))
            source = f"{self._artifact_uri}/{files.name}" if self.settings.upload else str(files)
            told = {"run_id": self._run_id, "tags": tags, "await_creation_for": 0}
            self._ask(lambda: self._client.create_model_version(name, source, **told))

    def close(self, end: Literal["finished", "failed", "interrupted"]) -> None:
        """Say how it ended."""
        status = {"finished": "FINISHED", "failed": "FAILED", "interrupted": "KILLED"}[end]
        if self._run_id:
            self._ask(lambda: self._client.set_terminated(self._run_id, status=status))

    def point(self, alias: str, digest: str) -> str:
        """Point an alias of the registered model at the version of a digest; gives why that could not be done, or "".

        Example:
            `point("champion", artifact.digest)`
        """
        from buril.train.trackers._tracker import Unreachable

        name = self.settings.register_as
        if not name:
            return ""
        try:
            self.check()
            fits = self._ask(lambda: self._client.search_model_versions(f"name = '{name}'"))
            versions = [int(item.version) for item in fits if item.tags.get("buril.digest") == digest]
            if not versions:
                return f"no version of `{name}` has the digest {digest[:12]}"
            self._ask(lambda: self._client.set_registered_model_alias(name, alias, str(max(versions))))
        except (Unreachable, BurilError) as problem:
            return _first_line(problem)
        return ""

    def _connect(self) -> Any:
        uri = self.settings.uri or os.environ.get(VARIABLE, "")
        if not uri:
            raise BurilError("T150", variable=VARIABLE)
        for name, value in ENVIRONMENT.items():
            os.environ.setdefault(name, value)
        if "://" not in uri:
            uri = Path(uri).expanduser().resolve().as_uri()
        if uri.startswith("file:"):
            os.environ.setdefault("MLFLOW_ALLOW_FILE_STORE", "true")  # it is named outright, so it is meant
        from mlflow import MlflowClient
        from mlflow.exceptions import MlflowException

        try:
            return MlflowClient(tracking_uri=uri, registry_uri=uri)
        except (MlflowException, ImportError) as problem:
            raise BurilError("T151", uri=uri, problem=_first_line(problem)) from problem

    def _experiment(self) -> str:
        name = self.settings.experiment
        found = self._client.get_experiment_by_name(name)
        return str(found.experiment_id if found else self._client.create_experiment(name))

    def _register(self, name: str) -> None:
        if not self._client.search_registered_models(f"name = '{name}'"):
            self._client.create_registered_model(name)

    @staticmethod
    def _ask(job: Callable[[], Answer]) -> Answer:
        """Do something that may fail for reasons of the network or the server's.

        Raises:
            Unreachable: when it did.
        """
        from mlflow.exceptions import MlflowException

        from buril.train.trackers._tracker import Unreachable

        try:
            return job()
        except (MlflowException, OSError) as problem:  # requests' errors are of the latter
            raise Unreachable(_first_line(problem)) from problem


def _first_line(problem: BaseException) -> str:
    return (str(problem).strip().splitlines() or [type(problem).__name__])[0][:200]
