"""Trackers: what arrives in TensorBoard and MLflow, and that nothing they do reaches the training."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from buril.core.artifact import Artifact
from buril.core.errors import BurilError
from buril.core.events import Event, EventLog, read_events
from buril.core.stage import Output
from buril.train.trackers import _tracker
from buril.train.trackers._tracker import Following, Point, Tracked, Unreachable, flatten, following, point_of
from buril.train.trackers.mlflow import Mlflow
from tests.train.test_loop import stage
from tests.train.test_numerics import Stopping


def curve(out: Output, name: str) -> list[tuple[int, float]]:
    return [(event["step"], event[name]) for event in mine(out) if event["kind"] == "metric" and name in event]


def warnings(out: Output) -> list[str]:
    return [event["text"] for event in mine(out) if event["kind"] == "warning"]


def mine(out: Output) -> list[Event]:
    return [event for event in read_events(out.events_path) if event["stage"] == out.stage]


# --- what an event becomes


def test_an_event_becomes_a_point() -> None:
    event = {"time": 5.0, "kind": "metric", "stage": "train", "step": 3, "loss": 1, "norms": {"mlp": 2}, "each": [1, 4]}
    assert point_of(event, "train") == Point(3, 5.0, {"loss": 1, "norms/mlp": 2, "each/00": 1, "each/01": 4})
    assert point_of(event, "pack") is None and point_of({**event, "kind": "note"}, "train") is None
    assert flatten({"text": "no", "flag": True, "none": None}) == {}


# --- tensorboard


def test_tensorboard_reads_the_curves_of_the_events(
    inputs: dict[str, Artifact], output: Callable[..., Output], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(socket, "gethostname", lambda: "a-host-of-somebody")  # short ones stand in any file
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    out = output("train")
    stage(track=["tensorboard"], sample_completions=1).run(inputs, out)
    (file,) = (out.folder / "logs/tensorboard").iterdir()
    assert socket.gethostname() not in file.name and socket.gethostname().encode() not in file.read_bytes()
    found = accumulator.EventAccumulator(str(file.parent))
    found.Reload()
    names = {"loss", "valid_loss", "valid_perplexity", "lr", "tokens_per_s", "mfu", "kwh", "usd", "valid_bleu"}
    names |= {"grad_norms/attention", "grad_norms/mlp", "grad_norm_layers/00", "grad_norm_layers/01"}
    assert names <= set(found.Tags()["scalars"])
    for name in ("loss", "valid_loss", "valid_bleu"):
        wanted = curve(out, name)
        assert len(wanted) >= 5
        assert [(item.step, item.value) for item in found.Scalars(name)] == [
            (step, pytest.approx(value, rel=1e-6)) for step, value in wanted
        ]


def test_tensorboard_forgets_the_steps_that_an_interruption_lost(tmp_path: Path) -> None:
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    from buril.train.trackers.tensorboard import Tensorboard

    run = Tracked(tmp_path / "artifact", tmp_path, {}, {})
    for steps in ([1, 2, 3, 4], [3, 4, 5]):  # it was saved at 2
        tracker = Tensorboard(Tensorboard.Settings())
        tracker.open(run)
        tracker.record([Point(step, time.time(), {"loss": 10.0 * len(steps) + step}) for step in steps])
        tracker.close("finished")
    found = accumulator.EventAccumulator(str(tmp_path / "artifact/logs/tensorboard"))
    found.Reload()
    assert [(item.step, item.value) for item in found.Scalars("loss")] == [(1, 41), (2, 42), (3, 33), (4, 34), (5, 35)]


# --- mlflow, in a folder


def test_mlflow_holds_parameters_curves_files_and_a_version_with_its_lineage(
    inputs: dict[str, Artifact], make_artifact: Callable[..., Artifact], tmp_path: Path
) -> None:
    mlflow = pytest.importorskip("mlflow")
    uri = tmp_path / "mlruns"
    told = {"mlflow": {"uri": str(uri), "experiment": "acme", "register_as": "acme-coder"}}
    trained = make_artifact(stage(track=[told], batch_size=8), inputs)
    client = mlflow.MlflowClient(tracking_uri=uri.as_uri(), registry_uri=uri.as_uri())
    (run,) = client.search_runs([client.get_experiment_by_name("acme").experiment_id])
    assert run.info.status == "FINISHED"
    assert run.data.params["method"] == "lora" and run.data.params["batch_size"] == "8"
    assert int(run.data.params["trainable"]) == trained.json("train.json")["trainable_parameters"]
    points = {name: client.get_metric_history(run.info.run_id, name) for name in ("loss", "valid_loss")}
    for name, history in points.items():
        wanted = {point["step"]: point[name] for point in trained.json("curve.json") if name in point}
        assert {item.step: item.value for item in history} == wanted
    files = {item.path for item in client.list_artifacts(run.info.run_id, "adapter")}
    assert files == {"adapter/adapter_config.json", "adapter/adapter_model.safetensors"}
    (version,) = client.search_model_versions("name = 'acme-coder'")
    lineage = {f"buril.{name}": artifact.digest for name, artifact in inputs.items()}
    assert version.run_id == run.info.run_id
    assert version.tags == {**lineage, "buril.digest": trained.digest}, "the digest that the artifact has"
    assert version.source.endswith("/adapter")
    people = {name: value for name, value in run.data.tags.items() if "user" in name or "source" in name}
    assert not people


def test_an_interrupted_training_goes_on_in_the_same_run(
    inputs: dict[str, Artifact], output: Callable[..., Output], tmp_path: Path
) -> None:
    mlflow = pytest.importorskip("mlflow")
    uri = tmp_path / "mlruns"
    told = {"track": [{"mlflow": {"uri": str(uri)}}]}
    plain = output("plain")
    out = Stopping(plain.folder.parent / "stopped", EventLog(plain.folder.parent / "e.jsonl"), "train")
    with pytest.raises(KeyboardInterrupt):
        stage(**told).run(inputs, out)
    client = mlflow.MlflowClient(tracking_uri=uri.as_uri())
    experiment = client.get_experiment_by_name("buril").experiment_id
    assert [run.info.status for run in client.search_runs([experiment])] == ["KILLED"]
    out.resumed = True
    stage(**told).run(inputs, out)
    (run,) = client.search_runs([experiment])
    assert run.info.status == "FINISHED"
    assert {item.step for item in client.get_metric_history(run.info.run_id, "loss")} == set(range(1, 9))


def test_mlflow_says_what_address_it_can_not_use(
    inputs: dict[str, Artifact], output: Callable[..., Output], monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("mlflow")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    for told, code in (("mlflow", "T150"), ({"mlflow": {"uri": "gopher://x"}}, "T151")):
        out = output("train")
        with pytest.raises(BurilError) as raised:
            stage(track=[told]).run(inputs, out)
        assert raised.value.code == code
        assert not mine(out), "before anything is loaded or trained"


def test_a_tracker_is_named_once() -> None:
    with pytest.raises(ValueError, match="tensorboard"):
        stage(track=["tensorboard", "tensorboard"])


# --- mlflow, over http


class Server(ThreadingHTTPServer):
    """The part of MLflow's documented REST interface that a run needs; it can be slow, and out of order for a while."""

    daemon_threads = True

    def __init__(self, *, delay_s: float = 0.0, failures: int = 0) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.delay_s, self.failures = delay_s, failures
        self.asked: list[tuple[str, dict[str, Any]]] = []
        self.uploaded: dict[str, bytes] = {}

    @property
    def uri(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def metrics(self, name: str) -> dict[int, float]:
        return {
            int(item["step"]): float(item["value"])
            for path, body in self.asked
            if path == "runs/log-batch"
            for item in body.get("metrics", [])
            if item["key"] == name
        }


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._answer()

    def do_PATCH(self) -> None:
        self._answer()

    def do_PUT(self) -> None:
        self.server.uploaded[self.path.partition("/artifacts/")[2]] = self._body()
        self._say(200, {})

    def log_message(self, *_told: Any) -> None:
        pass

    def _body(self) -> bytes:
        if "chunked" in self.headers.get("Transfer-Encoding", ""):
            parts = []
            while size := int(self.rfile.readline(), 16):
                parts.append(self.rfile.read(size))
                self.rfile.readline()
            return b"".join(parts)
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def _answer(self) -> None:
        body = json.loads(self._body() or b"{}")
        time.sleep(self.server.delay_s)
        if self.server.failures:
            self.server.failures -= 1
            self._say(500, {"error_code": "INTERNAL_ERROR", "message": "out of order"})
            return
        path = self.path.partition("?")[0].partition("/mlflow/")[2]
        self.server.asked.append((path, body))
        info = {
            "run_id": "r1", "run_uuid": "r1", "experiment_id": "7", "status": "RUNNING", "start_time": 1,
            "artifact_uri": "mlflow-artifacts:/7/r1/artifacts", "lifecycle_stage": "active", "run_name": "train",
        }  # fmt: skip
        run = {"run": {"info": info, "data": {}}}
        version = {"model_version": {"name": "acme", "version": "1", "creation_timestamp": 1}}
        known: dict[str, tuple[int, dict[str, Any]]] = {
            "experiments/get-by-name": (404, {"error_code": "RESOURCE_DOES_NOT_EXIST", "message": "no such"}),
            "experiments/create": (200, {"experiment_id": "7"}),
            "runs/create": (200, run), "runs/get": (200, run), "runs/update": (200, {"run_info": info}),
            "registered-models/search": (200, {}),
            "registered-models/create": (200, {"registered_model": {"name": "acme"}}),
            "model-versions/create": (200, version),
        }  # fmt: skip
        self._say(*known.get(path, (200, {})))

    def _say(self, status: int, body: dict[str, Any]) -> None:
        text = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)


@pytest.fixture
def serve() -> Iterator[Callable[..., Server]]:
    pytest.importorskip("mlflow")
    started: list[Server] = []

    def start(**told: Any) -> Server:
        server = Server(**told)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        started.append(server)
        return server

    yield start
    for server in started:
        server.shutdown()
        server.server_close()


def test_mlflow_over_http(
    inputs: dict[str, Artifact], output: Callable[..., Output], serve: Callable[..., Server]
) -> None:
    server, out = serve(), output("train")
    stage(track=[{"mlflow": {"uri": server.uri, "register_as": "acme"}}]).run(inputs, out)
    assert warnings(out) == []
    assert server.metrics("loss") == dict(curve(out, "loss"))
    assert (
        server.uploaded["7/r1/artifacts/adapter/adapter_model.safetensors"]
        == (out.folder / "adapter/adapter_model.safetensors").read_bytes()
    )
    (version,) = (body for path, body in server.asked if path == "model-versions/create")
    assert {"key": "buril.pack", "value": inputs["pack"].digest} in version["tags"]
    ends = [body["status"] for path, body in server.asked if path == "runs/update" and "status" in body]
    assert ends == ["FINISHED"]


def test_what_a_server_missed_while_it_was_out_of_order_arrives_later(
    serve: Callable[..., Server], output: Callable[..., Output], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_tracker, "RETRY_S", (0.1, 0.2))
    monkeypatch.setattr(_tracker, "INTERVAL_S", 0.05)
    server, out = serve(failures=12), output("train")
    run = Tracked(out.folder, out.scratch, {"method": "lora"}, {})
    readers = Following({"mlflow": Mlflow(Mlflow.Settings(uri=server.uri))}, run, out)
    for delivery in readers._deliveries:
        delivery._tracker.check()
    for step in range(30):
        out.metric(step=step, loss=float(step))
        time.sleep(0.02)
    deadline = time.monotonic() + 60
    while server.failures and time.monotonic() < deadline:
        time.sleep(0.05)
    readers.end("finished")
    assert server.metrics("loss") == {step: float(step) for step in range(30)}
    assert len(warnings(out)) == 1 and "mlflow" in warnings(out)[0]


@pytest.mark.parametrize("how", ["down", "slow"])
def test_a_server_that_is_down_or_slow_costs_a_training_nothing(
    how: str,
    inputs: dict[str, Artifact],
    output: Callable[..., Output],
    serve: Callable[..., Server],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(_tracker, "PATIENCE_S", 1.0)
    uri = "http://127.0.0.1:9" if how == "down" else serve(delay_s=30).uri
    plain, out = output("plain"), output("tracked")
    stage().run(inputs, plain)
    stage(track=[{"mlflow": {"uri": uri}}]).run(inputs, out)
    assert len(warnings(out)) == 1 and "mlflow" in warnings(out)[0]
    assert (plain.folder / "curve.json").read_bytes() == (out.folder / "curve.json").read_bytes()
    lines = (out.folder / "logs/speed.jsonl").read_text().splitlines()
    assert sum(json.loads(line)["seconds"] for line in lines) < 20, "no step waited for it"


# --- the thread between


class Slow:
    """A tracker that takes its time, and remembers."""

    def __init__(self, seconds: float = 0.0) -> None:
        self.seconds, self.points, self.ends = seconds, list[Point](), list[str]()

    def check(self) -> None:
        pass

    def open(self, run: Tracked) -> None:
        time.sleep(self.seconds)

    def record(self, points: Sequence[Point]) -> None:
        time.sleep(self.seconds)
        if any("bad" in point.values for point in points):
            raise Unreachable("bad")
        self.points += points

    def finish(self, files: Path, digest: str) -> None:
        self.ends.append(digest)

    def close(self, end: str) -> None:
        self.ends.append(end)


def test_trackers_are_waited_for_together_and_get_all_in_order(output: Callable[..., Output]) -> None:
    out, trackers = output("train"), {"one": Slow(0.3), "two": Slow(0.3)}
    run = Tracked(out.folder, out.scratch, {}, {})
    with following(trackers, run, out) as readers:
        began = time.monotonic()
        for step in range(1000):
            out.metric(step=step, loss=1.0)
        assert time.monotonic() - began < 1.0
        readers.end("finished", (out.folder, "digest"))
    for tracker in trackers.values():
        assert [point.step for point in tracker.points] == list(range(1000))
        assert tracker.ends == ["digest", "finished"]


def test_a_tracker_with_a_fault_of_its_own_ends_alone(
    output: Callable[..., Output], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Faulty(Slow):
        def record(self, points: Sequence[Point]) -> None:
            raise ZeroDivisionError

    seen: list[object] = []
    monkeypatch.setattr(threading, "excepthook", lambda told: seen.append(told.exc_type))
    out, whole = output("train"), Slow()
    with following({"faulty": Faulty(), "whole": whole}, Tracked(out.folder, out.scratch, {}, {}), out):
        out.metric(step=1, loss=1.0)
    assert seen == [ZeroDivisionError] and whole.ends == ["finished"] and len(whole.points) == 1
    assert len(warnings(out)) == 1 and "faulty" in warnings(out)[0]


def test_a_training_that_fails_is_closed_as_such(output: Callable[..., Output]) -> None:
    for problem, end in ((KeyboardInterrupt(), "interrupted"), (BurilError("T102"), "failed")):
        out, tracker = output(end), Slow()
        with pytest.raises(type(problem)), following({"one": tracker}, Tracked(out.folder, out.scratch, {}, {}), out):
            raise problem
        assert tracker.ends == [end]
