"""`buril plugins`: everything is listed, nothing is imported for it, and what is missing says how to get it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from buril.core.plugins import KINDS, names

THIRD_PARTY = '''"""A module that must not be imported to be listed."""

import a_package_that_nobody_has

raise RuntimeError("imported")


class Rules:
    """Looks for what Acme forbids.

    More of it.
    """

    requires: tuple[str, ...] = ("another_missing_one",)
'''


def test_lists_every_plugin_with_its_line(call: Callable[..., Any]) -> None:
    found = call("plugins", "--json").json
    assert [(item["kind"], item["name"]) for item in found] == [(kind, name) for kind in KINDS for name in names(kind)]
    secrets = next(item for item in found if item["name"] == "secrets" and item["kind"] == "scanner")
    assert secrets["doc"].startswith("Finds secrets") and secrets["origin"] == "buril" and secrets["missing"] == []
    assert all(item["doc"] for item in found)


@pytest.mark.parametrize("word", ["scanner", "scanners"])
def test_one_kind(call: Callable[..., Any], word: str) -> None:
    answer = call("plugins", word)
    assert answer.code == 0
    assert answer.out.startswith("scanner\n") and "source" not in answer.out.splitlines()
    assert "next: buril new scanner NAME" in answer.err


def test_unknown_kind(call: Callable[..., Any]) -> None:
    answer = call("plugins", "scaner")
    assert answer.code == 2
    assert "W210" in answer.err and "`scanner`" in answer.err


def test_a_third_party_whose_packages_are_missing(tmp_path: Path) -> None:
    (tmp_path / "acme_rules").mkdir()
    (tmp_path / "acme_rules" / "__init__.py").write_text("raise RuntimeError('imported')\n")
    (tmp_path / "acme_rules" / "rules.py").write_text(THIRD_PARTY)
    info = tmp_path / "acme_rules-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-rules\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[buril.scanner]\nacme = acme_rules.rules:Rules\n")
    done = subprocess.run(
        [sys.executable, "-m", "buril.cli.main", "plugins", "scanner", "--json"],
        capture_output=True, text=True, check=True, env={**os.environ, "PYTHONPATH": str(tmp_path)},
    )  # fmt: skip
    acme = next(item for item in json.loads(done.stdout) if item["name"] == "acme")
    assert acme["doc"] == "Looks for what Acme forbids"
    assert acme["origin"] == "acme-rules"
    assert acme["missing"] == ["a_package_that_nobody_has", "another_missing_one"]
    assert acme["install"] == "a_package_that_nobody_has"
