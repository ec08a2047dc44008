"""Drift of served traffic on real code: what is found, that innocent days raise nothing, and what is told of it."""

from __future__ import annotations

import json
import re
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from buril.chain import Chain
from buril.code.tokenbag import bag
from buril.code.traffic import Counts, Line
from buril.core.artifact import Artifact
from buril.core.errors import BurilError
from buril.core.text import set_language
from buril.monitor.clocks import CLOCKS, Reading, Watched, ask_all
from buril.monitor.drift import ADVICE, TITLES, Drift, How, look
from buril.monitor.history import History
from buril.monitor.prometheus import METRICS, render, write
from buril.monitor.reference import CHANCES, SIZES, Monitor, Reference
from buril.web.monitor import render_page, write_page
from tests.conftest import as_artifact
from tests.monitor.days import EARLIER, FIRST, MODEL, TRAIN, Days, files, write_split, write_traffic

ROOT = Path(__file__).resolve().parents[2]
WARM = 20


@pytest.fixture(scope="module")
def split(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    return write_split(tmp_path_factory.mktemp("split"))


def make(folder: Path, split: Artifact, **settings: Any) -> Artifact:
    from buril.core.events import EventLog
    from buril.core.stage import Output

    stage = Monitor(Monitor.Settings(**{"rounds": 400, **settings}))
    out = Output(folder / "monitor", EventLog(folder / "events.jsonl"), "monitor")
    metrics = stage.run({"split": split}, out)
    out.finish()
    return as_artifact(out.folder, "monitor", metrics, rows=out.rows)


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory, split: Artifact) -> Artifact:
    return make(tmp_path_factory.mktemp("reference"), split)


def asked(
    lines: list[Line], reference: Artifact | None, day: int, *, before: str | None = None, alpha: float = 0.01
) -> dict[str, Reading]:
    watched = Watched(History(lines), MODEL, before, Reference(reference) if reference else None, 1, "repository")
    return {f"{item.clock} {item.language}".strip(): item for item in ask_all(watched, day, alpha)}


# --- the reference


def test_the_reference_holds_the_training_part_and_limits_that_shrink(reference: Artifact, split: Artifact) -> None:
    found = Reference(reference)
    assert found.dataset == split.digest and list(found.bags) == ["python"]
    texts = [text for package in TRAIN for _path, text in files(package)]
    assert found.files["python"] == len(texts)
    whole = sum(bag(text[at : at + 2000]) for text in texts for at in range(0, len(text), 2000))
    assert (found.bags["python"] == whole).all()
    limits = [found.limit("python", size, chance=0.05, way="file") for size in SIZES]
    assert limits == sorted(limits, reverse=True) and 0 < limits[-1] < limits[0] < 1  # type: ignore[operator,type-var]
    for size in SIZES:
        file, repository = (found.limit("python", size, chance=0.01, way=way) for way in ("file", "repository"))
        assert file < repository, "days of few repositories are farther away"  # type: ignore[operator]
    assert found.limit("python", 19, chance=0.05) is None and found.limit("cobol", 500, chance=0.05) is None
    by_chance = [found.limit("python", 100, chance=chance) for chance in (*CHANCES, 1e-9)]
    assert by_chance == sorted(by_chance)  # type: ignore[type-var]
    assert found.limit("python", 150, chance=0.05) == found.limit("python", 100, chance=0.05)


def test_the_reference_is_the_same_bytes_again_and_holds_no_code(
    reference: Artifact, split: Artifact, tmp_path: Path
) -> None:
    assert make(tmp_path, split).digest == reference.digest
    assert make(tmp_path / "other", split, seed=1).digest != reference.digest
    text = b"".join(path.read_bytes() for path in reference.folder.rglob("*") if path.is_file())
    for word in (b"getLogger", b"asyncio", b"HTTPConnection", b"multiprocessing"):
        assert word not in text


def test_a_language_of_which_little_is_held_out_has_no_limit(tmp_path: Path) -> None:
    split = write_split(tmp_path / "split", train=("json", "logging"), held=("dbm", "wsgiref"))
    made = make(tmp_path, split)
    assert made.manifest.metrics == {"languages": 1, "with_limits": 0, "files": made.manifest.metrics["files"]}
    assert Reference(made).limit("python", 500, chance=0.05) is None
    one = write_split(tmp_path / "one", train=("json",), held=("encodings",))
    only = Reference(make(tmp_path / "of_one", one))
    assert only.limit("python", 500, chance=0.05, way="file") and only.limit("python", 500, chance=0.05) is None


def test_it_is_a_stage_of_the_chain() -> None:
    chain = Chain.from_values({"collect": ["packages"], "monitor": {"repositories": 3}})
    assert [stage.name for stage in chain.stages()][-2:] == ["split", "monitor"]
    assert chain.small().settings("monitor").rounds == 400  # type: ignore[attr-defined]


# --- the clocks


def test_twenty_innocent_days_raise_no_alarm(reference: Artifact) -> None:
    days = Days(1)
    lines = days.lines(FIRST, WARM + 20)
    watched = Watched(History(lines), MODEL, None, Reference(reference), 1, "repository")
    raised = [
        (day, item)
        for day in range(FIRST + WARM, FIRST + WARM + 20)
        for item in ask_all(watched, day, 0.01)
        if item.state != "ok"
    ]
    waiting = {(item.clock, item.language) for _day, item in raised if item.state == "waiting"}
    assert waiting == {
        ("latency", ""),
        *((clock, "go") for clock in ("tokens", "tokens-days", "logprob", "parse-errors")),
    }
    assert [item for _day, item in raised if item.state == "drift"] == []


def test_other_code_is_found_on_the_day_it_comes(reference: Artifact) -> None:
    days = Days(2)
    lines = days.lines(FIRST, WARM) + days.lines(FIRST + WARM, 2, other=0.9)
    found = asked(lines, reference, FIRST + WARM + 1)
    assert found["tokens python"].state == found["tokens-days python"].state == "drift"
    assert found["tokens-days python"].since == (FIRST + WARM) * 86_400, "both days are found, those before are not"
    assert found["acceptance"].state == found["languages"].state == found["logprob python"].state == "ok"
    assert found["tokens python"].value > found["tokens python"].limit > 0  # type: ignore[operator]


def test_a_share_of_other_code_is_found_against_earlier_days() -> None:
    days = Days(3)
    lines = days.lines(FIRST, WARM, requests=300) + days.lines(FIRST + WARM, 1, requests=300, other=0.3)
    assert asked(lines, None, FIRST + WARM)["tokens-days python"].state == "drift"
    assert asked(lines, None, FIRST + WARM)["tokens python"].state == "waiting", "nothing is known of the training set"


def worse(name: str) -> Callable[[int, Counts, np.random.Generator], None]:
    def change(day: int, counts: Counts, random: np.random.Generator) -> None:
        numbers, requests = counts.numbers, counts.numbers["requests"]
        if name == "acceptance":
            numbers["accepted"] = int(random.binomial(numbers["shown"], 0.18))
            numbers["persisted"] = int(random.binomial(numbers["accepted"], 0.8))
        elif name == "persistence":
            numbers["persisted"] = int(random.binomial(numbers["accepted"], 0.5))
        elif name == "findings":
            numbers["accepted_findings"] += int(random.poisson(0.08 * numbers["accepted"]))
        elif name == "logprob":
            counts.histograms["logprob"] = Counter(
                {place + 2: number for place, number in counts.histograms["logprob"].items()}
            )
        elif name == "parse-errors":
            counts.histograms["parse_errors"] = Counter(random.binomial(1, 0.6, requests).tolist())
        elif name == "languages":
            numbers["requests"] //= 10

    return change


@pytest.mark.parametrize("name", ["acceptance", "persistence", "findings", "logprob", "parse-errors", "languages"])
def test_what_gets_worse_is_found_by_its_clock_alone(name: str) -> None:
    days = Days(4)
    lines = days.lines(FIRST, 30) + days.lines(FIRST + 30, 8, change=worse(name))
    found = asked(lines, None, FIRST + 37)
    alarms = {key.split()[0] for key, item in found.items() if item.state == "drift"}
    assert alarms == {name}
    (alarm,) = (item for item in found.values() if item.state == "drift")
    assert alarm.since is not None and abs(alarm.since / 86_400 - FIRST - 30) <= 3, "it says when it began"


def test_a_slower_model_is_found_and_a_faster_one_is_not() -> None:
    def slower(factor: int) -> Callable[[int, Counts, np.random.Generator], None]:
        def change(day: int, counts: Counts, random: np.random.Generator) -> None:
            counts.histograms["latency_ms"] = Counter(
                {place + factor: n for place, n in counts.histograms["latency_ms"].items()}
            )

        return change

    before = Days(5, model=EARLIER).lines(FIRST, 14)
    for factor, state in ((3, "drift"), (-3, "ok"), (0, "ok")):
        lines = before + Days(6).lines(FIRST + 14, 3, change=slower(factor))
        assert asked(lines, None, FIRST + 16, before=EARLIER)["latency"].state == state


def test_there_is_nothing_to_say_of_the_first_days() -> None:
    found = asked(Days(7).lines(FIRST, 4), None, FIRST + 3)
    assert {item.state for item in found.values()} == {"waiting"}


# --- what is told


@pytest.fixture(scope="module")
def traffic(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that was served for a month, then one that is accepted less after a time."""
    days = Days(8)
    lines = Days(9, model=EARLIER).lines(FIRST - 10, 10) + days.lines(FIRST, 24)
    lines += days.lines(FIRST + 24, 8, other=0.9, change=worse("acceptance"))
    return write_traffic(tmp_path_factory.mktemp("store") / "traffic", lines)


@pytest.fixture(scope="module")
def drift(traffic: Path, reference: Artifact) -> Drift:
    return look(traffic, lambda _model: reference, How())


def test_an_alert_names_model_data_limit_time_and_remedy(drift: Drift, split: Artifact, reference: Artifact) -> None:
    assert (drift.model, drift.before) == (MODEL, EARLIER)
    assert (drift.dataset, drift.reference) == (split.digest, reference.digest)
    told = json.loads(json.dumps(drift.plain()))
    assert {alert["clock"] for alert in told["alerts"]} == {"tokens", "tokens-days", "acceptance"}
    for alert in told["alerts"]:
        assert alert["model"] == MODEL and alert["dataset"] == split.digest and alert["advice"]
        assert alert["value"] > alert["limit"] and abs(alert["since"] / 86_400 - FIRST - 24) <= 3
        assert 0 < alert["alpha"] < 0.01
    assert sum(item["alpha"] or 0 for item in told["readings"]) == pytest.approx(0.01)
    assert told["requests"] > 120 and len(told["course"]["acceptance"]) == 28
    assert set(CLOCKS) == TITLES.keys() == ADVICE.keys() == {item["clock"] for item in told["readings"]}


def test_another_window_and_another_model_can_be_asked_for(traffic: Path, reference: Artifact) -> None:
    assert not look(traffic, lambda _model: reference, How(until=float((FIRST + 24) * 86_400))).alerts
    assert look(traffic, lambda _model: reference, How(model=EARLIER[:8])).model == EARLIER
    assert look(traffic, lambda _model: reference, How(days=3)).requests > 3 * 120
    with pytest.raises(BurilError) as told:
        look(traffic, lambda _model: reference, How(model="0123"))
    assert told.value.code == "V401" and EARLIER[:12] in told.value.cause
    with pytest.raises(BurilError) as told:
        look(traffic / "empty", lambda _model: None)
    assert told.value.code == "V400"


def test_a_reference_that_is_damaged_is_told(traffic: Path, reference: Artifact, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(reference.folder, tmp_path / "broken"))
    (folder / "reference.json").write_text("{}")
    with pytest.raises(BurilError) as told:
        look(traffic, lambda _model: Artifact(folder, reference.manifest))
    assert told.value.code == "S002"


SAMPLE = re.compile(r'([a-z_]+)\{((?:[a-z]+="(?:[^"\\\n]|\\.)*",?)*)\} (-?[0-9.e+-]+|\+Inf)$')


def test_the_file_for_prometheus_has_its_form(drift: Drift, tmp_path: Path) -> None:
    path = tmp_path / "buril.prom"
    write(path, drift)
    text = path.read_text()
    assert text == render(drift) and text.endswith("\n") and path.stat().st_mode & 0o777 == 0o644
    assert [item.name for item in tmp_path.iterdir()] == ["buril.prom"]
    seen: list[str] = []
    for line in text.splitlines():
        if line.startswith("# "):
            mark, name, *_rest = line[2:].split(" ", 2)
            assert mark in ("HELP", "TYPE") and name in METRICS
            continue
        found = SAMPLE.match(line)
        assert found, line
        seen.append(found[0])
    assert len(seen) == len(set(seen))
    value = f'buril_drift{{clock="acceptance",language="",model="{MODEL}",dataset="{drift.dataset}"}} 1'
    assert value in seen
    with pytest.raises(BurilError) as told:
        write(tmp_path / "buril.prom" / "no" / "folder.prom", drift)
    assert told.value.code == "V402"


def test_the_alert_rules_have_the_structure_of_rules_and_name_what_is_written(drift: Drift) -> None:
    rules = yaml.safe_load((ROOT / "deploy/prometheus/alerts.yaml").read_text())
    assert rules.keys() == {"groups"}
    names = {match[1] for match in map(SAMPLE.match, render(drift).splitlines()) if match}
    known: set[str] = set()
    for group in rules["groups"]:
        assert group.keys() <= {"name", "interval", "rules"} and group["name"]
        for rule in group["rules"]:
            assert (
                {"alert", "expr"} <= rule.keys() <= {"alert", "expr", "for", "labels", "annotations", "keep_firing_for"}
            )
            assert re.fullmatch(r"[A-Za-z_]\w*", rule["alert"]) and re.fullmatch(r"\d+[smhd]", rule.get("for", "0s"))
            assert all(isinstance(text, str) for text in (*rule["labels"].values(), *rule["annotations"].values()))
            assert set(re.findall(r"\bburil_\w+", rule["expr"])) <= names
            for listed in re.findall(r'clock=~?"([^"]+)"', rule["expr"]):
                known |= set(listed.split("|"))
            labels = set(re.findall(r"\$labels\.(\w+)", json.dumps(rule["annotations"])))
            assert labels <= {"clock", "language", "model", "dataset"}
    assert known == set(CLOCKS), "each clock is in a rule"


def test_the_page_tells_the_alerts_in_both_languages(drift: Drift, tmp_path: Path) -> None:
    set_language("en")
    text = render_page(drift)
    assert "Alerts: 3" in text and MODEL in text and "<script" not in text and "http" not in text.split("</style>")[1]
    assert text.count("<svg") >= 3 and text.count('class="mark bad"') == 6
    write_page(tmp_path / "page.html", drift)
    assert (tmp_path / "page.html").read_text() == text
    with pytest.raises(BurilError) as told:
        write_page(tmp_path / "page.html" / "in" / "it.html", drift)
    assert told.value.code == "V402"
    quiet = render_page(Drift(MODEL, "", "", "", 0.0, 86_400.0, 0.01, 0, (), {}))
    assert "Nothing has drifted" in quiet and "the first one" in quiet
