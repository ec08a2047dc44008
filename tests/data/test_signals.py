"""What a repository's own files say of it, in the source `folder` and by itself, and thresholds on what nobody knows."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest

from buril.core.errors import BurilError
from buril.data import _signals
from buril.data.sources.folder import Folder
from tests.data import made
from tests.data.test_select import chosen, file

__all__ = ["chosen"]
LCOV = "SF:a\nLF:{all}\nLH:{hit}\nend_of_record\n"


def signals(files: dict[str, str]) -> dict[str, float]:
    return _signals.repository_signals(files, lambda path, most: files[path].encode()[:most])


@pytest.mark.parametrize(
    "path",
    [
        ".github/workflows/ci.yml",
        ".gitlab-ci.yml",
        ".circleci/config.yml",
        "Jenkinsfile",
        "azure-pipelines.yaml",
        ".travis.yml",
    ],
)
def test_ci(path: str) -> None:
    assert signals({path: "", "a.py": ""}) == {"ci": 1.0}
    assert signals({f"vendor/{path}": "", "a.py": ""}) == {"ci": 0.0}


def test_coverage_is_summed_over_modules_of_one_form() -> None:
    files = {
        "core/lcov.info": LCOV.format(all=90, hit=90), "web/lcov.info": LCOV.format(all=10, hit=0),
        "coverage.json": '{"totals": {"covered_lines": 1, "num_statements": 100}}',
    }  # fmt: skip
    assert signals(files)["coverage"] == 0.9
    assert signals({**files, "core/lcov.info": "broken", "web/lcov.info": ""})["coverage"] == 0.01


def test_a_report_goes_before_a_badge() -> None:
    readme = "![](https://img.shields.io/badge/coverage-30%25-red)"
    assert signals({"README.md": readme})["coverage"] == 0.3
    assert signals({"README.md": readme, "lcov.info": LCOV.format(all=2, hit=1)})["coverage"] == 0.5
    assert "coverage" not in signals({"docs/README.md": readme})
    assert _signals.is_needed("README.md")
    assert not _signals.is_needed("a.md")


def test_a_folder_and_its_repositories_have_signals(tmp_path: Path) -> None:
    def write(path: str, text: str) -> None:
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)

    write("tool/a.py", "x = 1\n")
    write("tool/.github/workflows/t.yml", "on: push\n")
    write("tool/lcov.info", LCOV.format(all=10, hit=8))
    write("loose.py", "y = 1\n")
    write("secret.info", LCOV.format(all=10, hit=10))
    for command in (["init", "-q"], ["add", "-A"], ["-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qm", "1"]):
        subprocess.run(["git", *command], cwd=tmp_path / "tool", check=True)
    (tmp_path / "tool" / "coverage.xml").symlink_to(tmp_path / "secret.info")
    found = {repo.name: repo.signals for repo in Folder(Folder.Settings(path=tmp_path)).repositories()}
    assert found == {"tool": {"ci": 1.0, "coverage": 0.8}, tmp_path.name: {"ci": 0.0}}
    before = Folder(Folder.Settings(path=tmp_path)).observe()
    write("tool/lcov.info", LCOV.format(all=10, hit=9))
    assert Folder(Folder.Settings(path=tmp_path)).observe() != before


# --- thresholds: what unknown means, by signal

FILES = {
    "both.py": {"coverage": 0.9, "open_issue_age_days": 5.0},
    "no_coverage.py": {"open_issue_age_days": 5.0},
    "no_issues.py": {"coverage": 0.9},
    "neither.py": {},
    "low.py": {"coverage": 0.79, "open_issue_age_days": 5.0},
    "old.py": {"coverage": 0.8, "open_issue_age_days": 181.0},
    "edge.py": {"coverage": 0.8, "open_issue_age_days": 180.0},
}
SOUND = {"both.py", "edge.py"}


@pytest.mark.parametrize(
    ("unknown", "more"),
    [
        ("drop", set()),
        ("keep", {"no_coverage.py", "no_issues.py", "neither.py"}),
        ({"coverage": "drop", "open_issue_age_days": "keep"}, {"no_issues.py"}),
        ({"coverage": "keep"}, {"no_coverage.py"}),
        ({}, set()),
    ],
)
def test_what_unknown_means_is_said_by_signal(chosen: Any, unknown: Any, more: set[str]) -> None:
    files = [file(path, number, signals=signals) for number, (path, signals) in enumerate(FILES.items())]
    kept, reasons, artifact = chosen(files, min_coverage=0.8, max_open_issue_age="180d", unknown=unknown)
    assert kept == SOUND | more
    assert reasons["low.py"][1:] == ("coverage", "below_minimum", "0.79 < 0.8")
    assert reasons["old.py"][1:] == ("open_issue_age_days", "above_maximum", "181 > 180")
    missing = {
        path: reason[1:3] for path, reason in reasons.items() if path in {"no_coverage.py", "no_issues.py"} - more
    }
    assert set(missing.values()) <= {("coverage", "unknown_signal"), ("open_issue_age_days", "unknown_signal")}
    assert len(made.table(artifact, "dropped.parquet")) == len(files) - len(kept)


def test_an_unknown_for_what_no_threshold_asks(chosen: Any) -> None:
    with pytest.raises(BurilError) as caught:
        chosen([file("a.py", 1, signals={"coverage": 1.0})], min_coverage=0.8, unknown={"covrage": "keep"})
    assert caught.value.code == "D042"
    assert "coverage" in caught.value.hint
