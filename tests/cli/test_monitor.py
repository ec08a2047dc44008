"""`buril monitor` as a person and as a scheduler use it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.journeys.person import buril
from tests.monitor.days import FIRST, MODEL, Days, write_traffic

from buril.core.artifact import Link
from buril.core.events import EventLog
from buril.core.stage import Inputs, Metrics, Output, Stage
from buril.core.store import Store


class Noting(Stage):
    """Stands where the reference of a training set would."""

    name = "monitor"

    def run(self, inputs: Inputs, out: Output) -> Metrics:
        out.text("reference.json", "{}")
        return {}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with three weeks of traffic, and nothing else."""
    folder = tmp_path_factory.mktemp("served")
    Store(folder / ".buril")
    days = Days(1)
    lines = days.lines(FIRST, 20, requests=60) + days.lines(FIRST + 20, 2, requests=60, other=1.0)
    write_traffic(folder / ".buril" / "traffic", lines)
    return folder


def test_the_table_the_files_and_the_exit_code(folder: Path, tmp_path: Path) -> None:
    files = ("--html", str(tmp_path / "page.html"), "--prometheus", str(tmp_path / "buril.prom"))
    answer = buril("monitor", *files, "--fail-on", "drift", cwd=folder)
    assert answer.code == 3 and "V403" in answer.err and "tokens-days" in answer.err
    assert MODEL[:12] in answer.out and "!!  tokens-days" in answer.out and "buril refresh" in answer.out
    assert "one day in 100" in answer.out and "next: buril refresh --dry-run" in answer.err
    assert "add the stage `monitor`" in answer.err, "it says how to get a reference of the training set"
    assert "tokens-days" in (tmp_path / "buril.prom").read_text() and "<html" in (tmp_path / "page.html").read_text()
    assert buril("monitor", cwd=folder).code == 0, "only who asks for it fails on drift"


def test_days_before_are_quiet_and_programs_get_json(folder: Path) -> None:
    answer = buril("monitor", "--json", "--fail-on", "drift", "--until", "2024-10-24", cwd=folder)
    assert answer.code == 0, answer.err
    told = json.loads(answer.out)
    assert told["alerts"] == [] and told["model"] == MODEL and told["format"] == 1
    elsewhere = buril("monitor", "--json", "--traffic", str(folder / ".buril" / "traffic"), cwd=folder.parent)
    assert {alert["clock"] for alert in json.loads(elsewhere.out)["alerts"]} == {"tokens-days"}, "no store is needed"


def test_what_is_not_there_is_told(folder: Path, tmp_path: Path) -> None:
    for words, code, number in (
        (("--traffic", str(tmp_path)), 4, "V400"),
        (("--model", "beef"), 2, "V401"),
        (("--html", str(folder / ".buril" / ".gitignore" / "x.html")), 2, "V402"),
        (("--prometheus", str(folder / ".buril" / ".gitignore" / "x.prom")), 2, "V402"),
        (("--reference", "nothing"), 2, "S001"),
    ):
        answer = buril("monitor", *words, cwd=folder)
        assert answer.code == code and number in answer.err, (words, answer.err)


def test_the_reference_is_that_of_the_model(tmp_path: Path) -> None:
    from buril.monitor.drift import reference_of

    store = Store(tmp_path)
    stage, events = Noting(Noting.Settings()), EventLog(tmp_path / "events.jsonl")
    noted, _there = store.make(stage, {}, events)
    links = {"train": Link("train", "1" * 64, MODEL), "monitor": noted.link}
    store.set_ref("acme", links, "20260101-000000-000001", finished=True)
    found = reference_of(store, MODEL)
    assert found and found.digest == noted.digest and reference_of(store, MODEL[:12])
    assert reference_of(store, "f" * 64) is None, "of another model nothing is known"
