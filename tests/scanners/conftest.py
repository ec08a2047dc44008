"""Where semgrep is for the tests: on the PATH, named by the environment, or as `scripts/semgrep-venv` installs it."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from buril.scanners.semgrep import PROGRAM_VARIABLE

INSTALLED = Path(__file__).resolve().parents[2] / "build/tools/semgrep/bin/semgrep"


def semgrep_program() -> str | None:
    told = os.environ.get(PROGRAM_VARIABLE) or shutil.which("semgrep")
    return told or (str(INSTALLED) if INSTALLED.exists() else None)


@pytest.fixture(scope="session")
def semgrep() -> str:
    """The program; tests that need it are skipped without it."""
    found = semgrep_program()
    if found is None:
        pytest.skip("semgrep is not installed: scripts/semgrep-venv")
    return found
