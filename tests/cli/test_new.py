"""`buril new`: what it writes passes the linter and its own test, for every kind, in a checkout and outside of one."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from buril.core.plugins import KINDS

ROOT = Path(__file__).resolve().parents[2]
HEAVY = ("method", "objective", "exporter")
"""Kinds whose tests load torch."""
LIGHT = tuple(kind for kind in KINDS if kind not in HEAVY)


def outside(call: Callable[..., Any], folder: Path, kinds: tuple[str, ...]) -> list[Path]:
    """A package for each kind, below `folder`."""
    for kind in kinds:
        answer = call("new", kind, f"acme-{kind}", "--into", str(folder))
        assert answer.code == 0, answer.err
    return [folder / f"buril-acme-{kind}" for kind in kinds]


def checkout(call: Callable[..., Any], folder: Path, kinds: tuple[str, ...]) -> Path:
    """A checkout of buril with a new plugin of each kind."""
    root = folder / "checkout"
    shutil.copytree(ROOT / "src", root / "src", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", root)
    for kind in kinds:
        answer = call("new", kind, f"acme_{kind}", "--into", str(root / "src"), "--json")
        assert answer.code == 0, answer.err
        assert all(Path(path).is_file() for path in answer.json["files"])
    return root


def pytest_passes(folder: Path, *paths: str, search: list[Path]) -> int:
    """Run tests in a process of their own; gives how many passed."""
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", *paths],
        cwd=folder, capture_output=True, text=True, check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(map(str, search))},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return int(done.stdout.strip().splitlines()[-1].split(" passed")[0].split()[-1])


def lint(folder: Path, *words: str) -> None:
    pytest.importorskip("ruff", reason="ruff is not installed")
    command = [sys.executable, "-m", "ruff", "check", *words]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


@pytest.mark.slow
def test_packages_of_their_own(call: Callable[..., Any], tmp_path: Path) -> None:
    packages = outside(call, tmp_path, LIGHT)
    for package in packages:
        lint(package)
    tests = [str(package / "tests") for package in packages]
    assert pytest_passes(tmp_path, *tests, search=[package / "src" for package in packages]) >= len(LIGHT)


def test_files_of_a_checkout(call: Callable[..., Any], tmp_path: Path) -> None:
    root = checkout(call, tmp_path, LIGHT)
    lint(root, *(f"src/{KINDS[kind].replace('.', '/')}/acme_{kind}.py" for kind in LIGHT), "tests")
    assert pytest_passes(root, "tests", search=[root / "src"]) >= len(LIGHT)
    seen = subprocess.run(
        [sys.executable, "-m", "buril.cli.main", "plugins"],
        cwd=root, capture_output=True, text=True, check=True, env={**os.environ, "PYTHONPATH": str(root / "src")},
    )  # fmt: skip
    assert all(f"  acme_{kind} " in seen.stdout for kind in LIGHT)


@pytest.mark.slow
def test_the_kinds_that_load_torch(call: Callable[..., Any], tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="torch is not installed")
    packages = outside(call, tmp_path, HEAVY)
    root = checkout(call, tmp_path, HEAVY)
    for package in packages:
        lint(package)
    lint(root, *(f"src/{KINDS[kind].replace('.', '/')}/acme_{kind}.py" for kind in HEAVY), "tests")
    tests = [str(package / "tests") for package in packages]
    assert pytest_passes(tmp_path, *tests, search=[package / "src" for package in packages]) >= len(HEAVY)
    assert pytest_passes(root, "tests", search=[root / "src"]) >= len(HEAVY)


def test_a_package_offers_its_plugin(call: Callable[..., Any], tmp_path: Path) -> None:
    """Installed, its entry point is found: the same metadata as an installation writes, without one."""
    (package,) = outside(call, tmp_path, ("scanner",))
    text = (package / "pyproject.toml").read_text()
    assert (
        '[project.entry-points."buril.scanner"]\nacme_scanner = "buril_acme_scanner.acme_scanner:AcmeScanner"' in text
    )
    info = package / "src" / "buril_acme_scanner-0.1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: buril-acme-scanner\nVersion: 0.1.0\n")
    entry = text.split('[project.entry-points."buril.scanner"]\n')[1].split("\n")[0].replace('"', "")
    (info / "entry_points.txt").write_text(f"[buril.scanner]\n{entry}\n")
    code = "from buril.core.plugins import plugin; print(plugin('scanner', 'acme-scanner').__name__)"
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True, text=True, check=True, env={**os.environ, "PYTHONPATH": str(package / "src")},
    )  # fmt: skip
    assert done.stdout.strip() == "AcmeScanner"


@pytest.mark.parametrize("name", ["Acmé", "2fast", "a.b", "class", "../evil", "_hidden", "test_it", "x" * 41, ""])
def test_names_that_cannot_be(call: Callable[..., Any], tmp_path: Path, name: str) -> None:
    answer = call("new", "scanner", "--", name)
    assert answer.code == 2 and "W211" in answer.err
    assert list(tmp_path.iterdir()) == []


def test_names_that_are_taken(call: Callable[..., Any], tmp_path: Path) -> None:
    taken = call("new", "scanner", "secrets")
    assert taken.code == 2 and "W212" in taken.err
    assert call("new", "scanner", "acme").code == 0
    before = (tmp_path / "buril-acme" / "src" / "buril_acme" / "acme.py").read_text()
    again = call("new", "scanner", "acme")
    assert again.code == 2 and "W213" in again.err
    assert (tmp_path / "buril-acme" / "src" / "buril_acme" / "acme.py").read_text() == before


def test_a_test_that_is_there_is_not_written_over(call: Callable[..., Any], tmp_path: Path) -> None:
    for name in ("src/buril/core/plugins.py", "pyproject.toml", "tests/scanners/test_acme.py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("# mine\n")
    answer = call("new", "scanner", "acme")
    assert answer.code == 2 and "W213" in answer.err
    assert (tmp_path / "tests" / "scanners" / "test_acme.py").read_text() == "# mine\n"
    assert not (tmp_path / "src" / "buril" / "scanners").exists()


def test_an_unknown_kind_and_a_place_that_cannot_be_written(call: Callable[..., Any], tmp_path: Path) -> None:
    assert "W210" in call("new", "skaner", "acme").err
    (tmp_path / "file").write_text("")
    answer = call("new", "metric", "acme", "--into", str(tmp_path / "file" / "below"))
    assert answer.code == 2 and "W203" in answer.err


def test_the_next_command_runs_the_test(call: Callable[..., Any]) -> None:
    answer = call("new", "metric", "acme")
    assert answer.err.splitlines()[-1] == "next: cd buril-acme && python -m pytest tests/test_acme.py"
