"""A real repository of git to change, and the gate called on it."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from buril.core.plugins import PluginKind, Ref
from buril.gate.scan import Report, Request, run
from tests.scanners.conftest import semgrep_program

IDENTITY = ["-c", "user.name=A", "-c", "user.email=a@example.com", "-c", "commit.gpgsign=false"]
CLEAN = {"PATH": os.environ.get("PATH", os.defpath), "HOME": "/nonexistent", "GIT_CONFIG_GLOBAL": os.devnull}


class Repository:
    """A folder with a repository."""

    def __init__(self, root: Path) -> None:
        self.root = root
        root.mkdir(exist_ok=True)
        self.git("init", "-q", "-b", "main")

    def git(self, *words: str) -> str:
        done = subprocess.run(
            ["git", *IDENTITY, *words], cwd=self.root, env=CLEAN, capture_output=True, text=True, check=True
        )
        return done.stdout.strip()

    def write(self, name: str, content: str | bytes) -> None:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)

    def commit(self, **files: str) -> str:
        for name, content in files.items():
            self.write(name.replace("__", "/") + ".py", content)
        self.git("add", "-A")
        self.git("commit", "-q", "--allow-empty", "-m", "x")
        return self.git("rev-parse", "HEAD")


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return Repository((tmp_path / "repository").resolve())


@pytest.fixture(scope="session")
def semgrep() -> str:
    """The program; tests that need it are skipped without it."""
    found = semgrep_program()
    if found is None:
        pytest.skip("semgrep is not installed: scripts/semgrep-venv")
    return found


def refs(*given: Any) -> tuple[Ref, ...]:
    return tuple(PluginKind("scanner").parse(item) for item in given)


@pytest.fixture
def look(repository: Repository) -> Callable[..., Report]:
    """Scan the repository with ruff, and what is asked for."""

    def report(**told: Any) -> Report:
        scanners = refs(*told.pop("scanners", ("ruff",)))
        paths = told.pop("paths", (repository.root,))
        return run(Request(repository.root, paths, scanners, **told))

    return report


def seen(report: Report) -> list[tuple[str, int, str]]:
    """What counts: path, line, rule."""
    return [(item.path, item.finding.line, item.finding.rule) for item in report.counted]
