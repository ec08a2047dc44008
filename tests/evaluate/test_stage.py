from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from buril.core.artifact import Artifact
from buril.core.errors import EXIT_GATE, BurilError, GateFailed
from buril.core.stage import Output
from buril.evaluate.gates import check, parse_gates
from buril.evaluate.stage import Evaluate

MakeInputs = Callable[[], dict[str, Artifact]]
MakeOutput = Callable[..., Output]


def stage(generator: Any, **settings: Any) -> Evaluate:
    return Evaluate(Evaluate.Settings.model_validate({"generator": generator, "max_items": 12, **settings}))


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_results_say_how_the_models_differ(canned: str, inputs: MakeInputs, output: MakeOutput) -> None:
    out = output("evaluate")
    gates = {"perplexity": "<= 5", "basics.pass@1": ">= base + 0.9", "bits_per_byte.difference": "< 0"}
    metrics = stage(canned, gate=gates).run(inputs(), out)
    out.finish()
    results = json.loads((out.folder / "results.json").read_text())
    perplexity = results["suites"]["perplexity"]["metrics"]["perplexity"]
    assert (
        16 < perplexity["base"]["value"] < 24 and 4 < perplexity["tuned"]["value"] < 5 and perplexity["base"]["n"] == 9
    )
    assert perplexity["base"]["low"] <= perplexity["base"]["value"] <= perplexity["base"]["high"]
    assert (
        perplexity["difference"]["high"] < 0
        and perplexity["difference"]["p"] < 0.01
        and perplexity["better"] == "lower"
    )
    languages = results["suites"]["perplexity"]["by_language"]
    assert set(languages) == {"javascript", "python"}
    assert all(found["perplexity"]["base"]["value"] > 10 > found["perplexity"]["tuned"]["value"]
               for found in languages.values())  # fmt: skip
    solved = results["suites"]["basics"]["metrics"]["pass@1"]
    assert (solved["base"]["value"], solved["tuned"]["value"]) == (
        pytest.approx(4 / 12, abs=1e-5),
        pytest.approx(9 / 12),
    )
    assert metrics["basics.pass@1.tuned"] == 0.75
    assert [(gate["gate"], gate["held"]) for gate in results["gates"]] == [
        ("basics.pass@1", False),
        ("bits_per_byte.difference", True),
        ("perplexity", True),
    ]
    with pytest.raises(GateFailed) as caught:
        check(results)
    assert (caught.value.code, caught.value.exit_code) == ("E002", EXIT_GATE) and "0.75" in caught.value.cause


def test_samples_show_prompt_completion_and_verdict(canned: str, inputs: MakeInputs, output: MakeOutput) -> None:
    out = output("evaluate")
    stage(canned).run(inputs(), out)
    rows = [json.loads(line) for line in (out.folder / "samples/basics.tuned.jsonl").read_text().splitlines()]
    assert len(rows) == 12 and {row["status"] for row in rows} == {"pass", "error"}
    good = next(row for row in rows if row["status"] == "pass")
    assert "print" not in good["completion"] and all(call["status"] == "pass" for call in good["calls"])
    bad = next(row for row in rows if row["status"] == "error")
    assert "Unencodable" in bad["detail"]
    written = [json.loads(line) for line in (out.folder / "samples/completion.tuned.jsonl").read_text().splitlines()]
    assert not any("def other" in row["completion"] for row in written if row["language"] == "python"), "cut at its end"
    exact = [row for row in written if row["exact_match"] == 1]
    assert exact and all(
        row["edit_similarity"] == 1 == row["bleu"] and row["function"].startswith("area_") for row in exact
    )
    assert all(row["prompt"].rstrip().endswith(('"""', ":", "{")) for row in written)


def test_the_same_bytes_every_time_and_after_an_interruption(
    canned: str, inputs: MakeInputs, output: MakeOutput, tmp_path: Path
) -> None:
    given, flag = inputs(), tmp_path / "flag"
    settings = {canned: {"stop_before": str(flag)}}
    first = output("first")
    stage(settings).run(given, first)
    first.finish()
    flag.touch()
    second = output("second")
    with pytest.raises(KeyboardInterrupt):
        stage(settings).run(given, second)
    flag.unlink()
    kept = (second.folder / "samples/basics.base.jsonl").stat().st_mtime_ns
    again = output("second", resumed=True)
    stage(settings).run(given, again)
    again.finish()
    assert (second.folder / "samples/basics.base.jsonl").stat().st_mtime_ns == kept, (
        "what was finished is not done again"
    )
    found, found_again = files(first.folder), files(second.folder)
    measured = {f"logs/resources/basics.{model}.jsonl" for model in ("base", "tuned")}
    assert measured <= set(found), "what programs took is told, and is not the same each time"
    for name in measured:
        del found[name], found_again[name]
    assert found == found_again
    assert set(found) == {
        "results.json",
        *(f"samples/{s}.{m}.jsonl" for s in ("basics", "completion", "perplexity") for m in ("base", "tuned")),
    }


def test_a_sample_tells_what_was_asked_of_what_and_what_its_program_took(
    canned: str, inputs: MakeInputs, output: MakeOutput
) -> None:
    out = output("evaluate")
    told = {"basics": {"prompt": "plain", "samples": 2, "k": [1, 2]}}
    stage(canned, suites=[told, "completion"], max_items=3, seed=5).run(inputs(), out)
    rows = [json.loads(line) for line in (out.folder / "samples/basics.tuned.jsonl").read_text().splitlines()]
    greedy = [row for row in rows if row["sample"] == "greedy-0"]
    sampled = [row for row in rows if row["sample"].startswith("sampled")]
    assert len(greedy) == 3 and len(sampled) == 6
    assert {(row["engine"], row["seed"]) for row in rows} == {(canned, 5)}
    assert {row["temperature"] for row in greedy} == {0.0} and {row["temperature"] for row in sampled} == {0.8}
    hashes = {row["id"]: row["prompt_hash"] for row in greedy}
    assert len(set(hashes.values())) == 3 and all(hashes[row["id"]] == row["prompt_hash"] for row in sampled)
    assert all(row["finish_reason"] in ("stop", "eos", "length") and row["tokens"] >= 0 for row in rows)
    taken = [json.loads(line) for line in (out.folder / "logs/resources/basics.tuned.jsonl").read_text().splitlines()]
    keys = ("id", "sample", "form")
    assert [[row[key] for key in keys] for row in taken] == [[row[key] for key in keys] for row in rows]
    assert all(row["wall_ms"] >= 0 and row["rss_kb"] > 1000 for row in taken)
    written = [json.loads(line) for line in (out.folder / "samples/completion.base.jsonl").read_text().splitlines()]
    assert all(row["engine"] == canned and len(row["prompt_hash"]) == 16 for row in written)
    assert json.loads((out.folder / "results.json").read_text())["generators"]["base"]["name"] == canned


def test_a_split_without_test_files_gives_empty_measures(
    canned: str, inputs: MakeInputs, output: MakeOutput, tmp_path: Path
) -> None:
    given = inputs()
    for path in given["split"].files("test/*.parquet"):
        path.unlink()
    out = output("evaluate")
    stage(canned, suites=["perplexity", "completion"], gate={"perplexity": "<= 5"}).run(given, out)
    results = json.loads((out.folder / "results.json").read_text())
    assert results["suites"]["perplexity"]["metrics"]["perplexity"]["base"] is None
    assert not results["gates"][0]["held"], "what was not measured does not hold"


def test_sampling_gives_pass_at_k(canned: str, inputs: MakeInputs, output: MakeOutput) -> None:
    out = output("evaluate")
    stage(canned, suites=[{"basics": {"samples": 3, "k": [1, 2, 10]}}], max_items=5).run(inputs(), out)
    found = json.loads((out.folder / "results.json").read_text())["suites"]["basics"]["metrics"]
    assert set(found) == {"pass@1", "tests@1", "pass@1 sampled", "pass@2"} and found["pass@2"]["tuned"]["value"] == 0.8


def test_a_suite_is_spelt_with_dashes_or_without() -> None:
    metrics = {"multipl_e": ("pass@1", "pass@1 chat"), "basics": ("pass@1",)}
    found = parse_gates({"multipl-e.pass@1 chat": ">= 0.1", "multipl_e.pass@1.base": "> 0"}, metrics)
    assert [(gate.suite, gate.metric, gate.model) for gate in found] == [
        ("multipl_e", "pass@1 chat", "tuned"), ("multipl_e", "pass@1", "base"),
    ]  # fmt: skip
    with pytest.raises(BurilError) as caught:
        parse_gates({"pass@1": "> 0"}, metrics)
    assert caught.value.code == "E003"


@pytest.mark.parametrize(
    ("gate", "code"),
    [
        ({"perplexit": "<= 1"}, "E003"),
        ({"nope.pass@1": "<= 1"}, "E003"),
        ({"perplexity": "about 3"}, "E004"),
        ({"perplexity": "<="}, "E004"),
    ],
)
def test_gates_are_checked_before_anything_runs(gate: dict[str, str], code: str) -> None:
    with pytest.raises(BurilError) as caught:
        stage("transformers", gate=gate)
    assert caught.value.code == code


def test_a_suite_twice_is_refused() -> None:
    with pytest.raises(BurilError) as caught:
        stage("transformers", suites=["basics", "basics"])
    assert caught.value.code == "E005"


def test_settings_in_short_forms() -> None:
    settings = Evaluate.Settings.model_validate({"suites": ["basics", {"perplexity": {"context": 64}}]})
    assert [item.name for item in settings.suites] == ["basics", "perplexity"]
    assert settings.suites[1].settings.context == 64  # type: ignore[attr-defined]
    assert settings.sandbox.name == "namespaces"
    assert "workers" not in settings.identity()["sandbox"]["settings"]
    with pytest.raises(ValidationError):
        Evaluate.Settings.model_validate({"max_items": 0})
    assert math.isfinite(stage("transformers").assume(1000.0).seconds)
