"""`buril config`: mistakes with their place, keys explained with their value here, a schema that editors can use."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from buril.chain import STAGES
from buril.cli.explain import explained, first_sentence
from buril.cli.schema import DIALECT, fields_of, json_schema

GOOD = """\
name: acme
seed: 7
collect:
  - folder: {path: src, license: internal}
  - packages
dedup: exact
prepare:
select: {languages: [python], findings: {high: keep}}
split: {train: 0.8, valid: 0.1, test: 0.1}
tokenizer: {train: bpe, vocab: 1024}
train:
  base: scratch
  method: full
  max_length: 512
  epochs: 1.5
evaluate: {suites: [perplexity, {completion: {}}]}
"""


@pytest.fixture
def good(tmp_path: Path) -> Path:
    """A configuration without mistakes."""
    (tmp_path / "src").mkdir()
    path = tmp_path / "buril.yaml"
    path.write_text(GOOD)
    return path


# --- check


def test_check_counts_what_is_there(call: Callable[..., Any], good: Path) -> None:
    answer = call("config", "check")
    assert (answer.code, answer.out) == (0, "ok  buril.yaml: 10 stages, 20 settings\n")
    assert answer.err == "next: buril plan\n"


def test_check_tells_every_stage_that_is_wrong(call: Callable[..., Any], good: Path) -> None:
    good.write_text(GOOD.replace("epochs: 1.5", "epoch: 1").replace("test: 0.1", "tests: 0.1") + "sed: 3\n")
    answer = call("config", "check")
    assert answer.code == 2
    assert "did you mean `epochs`?" in answer.err and "--> buril.yaml:15:3" in answer.err
    assert "`split.tests`" in answer.err and "did you mean `seed`?" in answer.err
    assert "next:" not in answer.err


def test_check_as_json(call: Callable[..., Any], good: Path) -> None:
    answer = call("config", "check", "--json")
    assert answer.code == 0 and answer.json["ok"] is True and answer.json["stages"][0] == "collect"
    good.write_text(GOOD.replace("method: full", "method: ful"))
    answer = call("config", "check", "--json")
    assert answer.code == 2 and answer.json["ok"] is False
    (error,) = answer.json["errors"]
    assert (error["code"], error["file"], error["line"]) == ("P001", "buril.yaml", 13)


@pytest.mark.parametrize(
    ("text", "code"), [("- a\n", "C008"), ("a: [\n", "C004"), ("split: {}\n", "C013"), ("seed: x\ndedup: {}\n", "C002")]
)
def test_check_of_what_is_no_chain(call: Callable[..., Any], good: Path, text: str, code: str) -> None:
    good.write_text(text)
    answer = call("config", "check", "--json")
    assert answer.code == 2
    assert [error["code"] for error in answer.json["errors"]] == [code]


def test_check_applies_set(call: Callable[..., Any], good: Path) -> None:
    assert call("config", "check", "--set", "train.epochs=2").code == 0
    assert "must be" in call("config", "check", "--set", "train.epochs=0").err


def test_check_without_a_file(call: Callable[..., Any]) -> None:
    answer = call("config", "check")
    assert answer.code == 2 and "C003" in answer.err


# --- explain


@pytest.mark.parametrize(
    ("key", "value", "where"),
    [
        ("train.method", "full", "buril.yaml:13:3"),
        ("train.max_length", "512", "buril.yaml:14:3"),
        ("train.base", "scratch", "buril.yaml:12:3"),
        ("train.weight_decay", "0.01", "default"),
        ("collect.folder.path", "src", "buril.yaml:4:14"),
        ("collect.0.folder.license", "internal", "buril.yaml:4:25"),
        ("collect.sources.packages", "{}", "buril.yaml:5:5"),
        ("dedup.method", "exact", "buril.yaml:6:1"),
        ("select.findings.high", "keep", "buril.yaml:8:42"),
        ("select.findings.medium", "keep", "default"),
        ("select.seed", "7", "from other settings"),
        ("pack.max_length", "512", "from other settings"),
        ("seed", "7", "buril.yaml:2:1"),
        ("watts", "65.0", "default"),
        ("evaluate.suites.perplexity", "{}", "buril.yaml:16:21"),
        ("evaluate.completion", "{}", "buril.yaml:16:34"),
    ],
)
def test_the_value_of_a_key_and_where_it_is_set(
    call: Callable[..., Any], good: Path, key: str, value: str, where: str
) -> None:
    found = call("config", "explain", key, "--json").json
    assert found["now"] == [{"value": value, "where": where}]


def test_explains_type_default_limits_and_effect(call: Callable[..., Any], good: Path) -> None:
    threshold = call("config", "explain", "dedup.threshold", "--json").json
    assert threshold["type"] == "number" and threshold["default"] == "0.7" and threshold["limits"] == ["> 0", "≤ 1"]
    assert threshold["effect"].startswith("the result")
    assert call("config", "explain", "dedup.workers", "--json").json["effect"].startswith("speed only")
    method = call("config", "explain", "train.method", "--json").json
    assert "lora" in method["keys"] and method["type"].startswith("a plugin of kind method: ")
    path = call("config", "explain", "collect.folder.path", "--json").json
    assert path["default"].startswith("none")


def test_explains_as_text(call: Callable[..., Any], good: Path) -> None:
    answer = call("config", "explain", "split.train")
    assert answer.code == 0
    assert answer.out.splitlines()[0] == "split.train  Share of the bytes to learn from."
    assert "  now      0.8  (buril.yaml:9:9)" in answer.out
    assert answer.err.startswith("next: ")


@pytest.mark.parametrize(
    ("key", "near"),
    [
        ("train.methd", "`method`"),
        ("trian", "`train`"),
        ("collect.foldr.path", "`folder`"),
        ("collect.folder.pth", "`path`"),
        ("select.findings.hihg", "`high`"),
        ("seed.x", "known"),
        ("", "known"),
    ],
)
def test_an_unknown_key_is_answered_with_the_nearest(call: Callable[..., Any], key: str, near: str) -> None:
    answer = call("config", "explain", key)
    assert answer.code == 2 and "C001" in answer.err and near in answer.err


def test_a_key_is_explained_beside_a_broken_configuration(call: Callable[..., Any], good: Path) -> None:
    good.write_text("train: [\n")
    answer = call("config", "explain", "train.epochs")
    assert answer.code == 0 and answer.out.startswith("train.epochs") and "C004" in answer.err


def test_every_setting_of_every_stage_is_explained() -> None:
    for stage in STAGES:
        for name in fields_of(stage):
            found = explained(f"{stage}.{name}", None)
            assert found["about"] and found["type"], f"{stage}.{name}"


def test_first_sentence() -> None:
    assert first_sentence("One line. Another.") == "One line"
    assert first_sentence("Spans\n  lines: yes.\n\nMore.") == "Spans lines: yes"
    assert first_sentence("") == ""


# --- schema


def faults(value: Any, schema: dict[str, Any], root: dict[str, Any], place: str = "") -> Iterator[str]:
    """What is wrong with a value by a JSON Schema: the part of draft 2020-12 that ours uses."""
    if "$ref" in schema:
        target = root
        for part in schema["$ref"].removeprefix("#/").split("/"):
            target = target[part]
        yield from faults(value, target, root, place)
    if "anyOf" in schema and all(list(faults(value, option, root, place)) for option in schema["anyOf"]):
        yield f"{place}: none of the forms"
    if "enum" in schema and value not in schema["enum"]:
        yield f"{place}: not one of {schema['enum']}"
    if "const" in schema and value != schema["const"]:
        yield f"{place}: not {schema['const']}"
    kinds = {
        "object": dict, "array": list, "string": str, "number": (int, float), "integer": int, "boolean": bool,
        "null": type(None),
    }  # fmt: skip
    kind = schema.get("type")
    if kind and (not isinstance(value, kinds[kind]) or (isinstance(value, bool) and kind in ("number", "integer"))):
        yield f"{place}: not a {kind}"
        return
    yield from _limits(value, schema, place)
    if isinstance(value, dict):
        yield from _object_faults(value, schema, root, place)
    if isinstance(value, list):
        if len(value) < schema.get("minItems", 0):
            yield f"{place}: too few"
        for number, item in enumerate(value):
            yield from faults(item, schema.get("items", {}), root, f"{place}/{number}")


def _limits(value: Any, schema: dict[str, Any], place: str) -> Iterator[str]:
    if isinstance(value, int | float) and not isinstance(value, bool):
        low, high = schema.get("minimum", value), schema.get("maximum", value)
        above, below = schema.get("exclusiveMinimum", value - 1), schema.get("exclusiveMaximum", value + 1)
        if not (low <= value <= high and above < value < below):
            yield f"{place}: out of range"
    if isinstance(value, str) and "pattern" in schema and not re.search(schema["pattern"], value):
        yield f"{place}: not of the form"


def _object_faults(value: dict[str, Any], schema: dict[str, Any], root: dict[str, Any], place: str) -> Iterator[str]:
    known = schema.get("properties", {})
    if len(value) > schema.get("maxProperties", len(value)) or len(value) < schema.get("minProperties", 0):
        yield f"{place}: wrong number of keys"
    for name in schema.get("required", []):
        if name not in value:
            yield f"{place}/{name}: missing"
    for name, item in value.items():
        if name in known:
            yield from faults(item, known[name], root, f"{place}/{name}")
        elif schema.get("additionalProperties") is False:
            yield f"{place}/{name}: unknown"
        elif isinstance(schema.get("additionalProperties"), dict):
            yield from faults(item, schema["additionalProperties"], root, f"{place}/{name}")


@pytest.fixture(scope="module")
def schema() -> dict[str, Any]:
    """The schema, made once."""
    return json_schema()


def test_the_schema_is_printed_as_json(call: Callable[..., Any], schema: dict[str, Any]) -> None:
    answer = call("config", "schema")
    assert answer.code == 0 and answer.json == json.loads(json.dumps(schema))
    assert schema["$schema"] == DIALECT


def test_every_reference_of_the_schema_leads_somewhere(schema: dict[str, Any]) -> None:
    text = json.dumps(schema)
    targets = set(re.findall(r'"\$ref": "#/\$defs/([^"]+)"', text))
    assert targets and targets <= set(schema["$defs"])
    assert "x-buril" not in text


def test_every_key_has_its_description(schema: dict[str, Any]) -> None:
    for stage in STAGES:
        if stage != "base":
            form = schema["$defs"][stage]["anyOf"][0]
            assert all(item.get("description") for item in form["properties"].values()), stage


def test_a_good_configuration_fits_the_schema(schema: dict[str, Any]) -> None:
    assert list(faults(yaml.safe_load(GOOD), schema, schema)) == []


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("epochs: 1.5", "epoch: 1.5"),
        ("epochs: 1.5", "epochs: 0"),
        ("epochs: 1.5", "epochs: many"),
        ("method: full", "method: ful"),
        ("method: full", "method: {full: {rank: 3}}"),
        ("- packages", "- package"),
        ("license: internal", "licence: internal"),
        ("path: src, ", ""),
        ("dedup: exact", "dedup: almost"),
        ("seed: 7", "seed: -7"),
        ("name: acme", "name: a b"),
        ("{high: keep}", "{high: maybe}"),
        ("split:", "splitt:"),
        ("{completion: {}}", "{completion: {}, perplexity: {}}"),
    ],
)
def test_a_wrong_one_does_not(schema: dict[str, Any], old: str, new: str) -> None:
    assert old in GOOD
    assert list(faults(yaml.safe_load(GOOD.replace(old, new)), schema, schema))


@pytest.mark.parametrize(
    "new",
    [
        "method: lora", "method: {lora: {rank: 8}}", "method: {lora: 8}", "method: {lora: }",
        "base: ./models/x", "epochs: 2", "learning_rate: null",
    ],
)  # fmt: skip
def test_all_forms_of_a_plugin_fit(schema: dict[str, Any], new: str) -> None:
    values = {"collect": ["packages"], "train": yaml.safe_load(new)}
    assert list(faults(values, schema, schema)) == []
