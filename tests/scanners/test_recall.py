"""The page of what the scanners see is measured, whole, and noticed when it is old."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from buril.core.errors import BurilError
from buril.scanners import owasp
from buril.scanners._cwe import TOP_25
from tests.scanners.cases import Case, cases

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"


@pytest.fixture(scope="module")
def scripts() -> Iterator[tuple[ModuleType, ModuleType]]:
    """The two modules behind `scripts/scanning.py`."""
    before = list(sys.path)
    sys.path.insert(0, str(SCRIPTS))
    import recall  # type: ignore[import-not-found]  # a script beside others, no package
    import scan_coverage  # type: ignore[import-not-found]  # a script beside others, no package

    yield recall, scan_coverage
    sys.path[:] = before


@pytest.fixture(scope="module")
def told(scripts: tuple[Any, Any]) -> Any:
    """What is measured and kept."""
    return scripts[0].measured(write=False)


def test_what_is_kept_of_programs_is_what_they_see(scripts: tuple[Any, Any], told: Any) -> None:
    recall, _page = scripts
    programs = list(cases())
    assert told.stale == [] and tuple(told.seen) == recall.SCANNERS
    for name, scanner in (("ruff", recall.Ruff), ("bandit", recall.Bandit)):
        assert recall._look(scanner(), programs) == told.seen[name], f"{name}: run scripts/scanning.py"


def test_semgreps_share_is_what_it_sees(
    scripts: tuple[Any, Any], told: Any, semgrep: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A part of the programs, so that it takes seconds."""
    recall, _page = scripts
    monkeypatch.setenv("BURIL_SEMGREP", semgrep)
    programs = list(cases())[::25]
    kept = told.seen["semgrep"]
    for key, seen in recall._look(recall.Semgrep(), programs).items():
        names = {case.name for case in programs if (case.language, case.cwe) == key}
        assert seen.found == {case.name for case in programs if case.bad and case.name in kept[key].found & names
                              and (case.language, case.cwe) == key}, key  # fmt: skip


def test_a_program_is_found_at_its_place_alone(scripts: tuple[Any, Any]) -> None:
    recall, _page = scripts
    text = "import os\n\n\ndef f(x):\n    eval(x)\n"
    asked = [
        Case("python", "CWE-95", "here", True, text, (("CWE-95", 5),)),
        Case("python", "CWE-95", "there", True, text, (("CWE-95", 4),)),
        Case("python", "CWE-89", "other", True, text, (("CWE-89", 5),)),
        Case("python", "CWE-94", "kin", True, text, (("CWE-94", 5),)),
        Case("python", "CWE-95", "twin", False, text, ()),
        Case("python", "CWE-89", "twin", False, text, ()),
        Case("go", "CWE-95", "go", True, text, (("CWE-95", 5),)),
    ]
    seen = recall._look(recall.Ruff(), asked)
    assert seen == {
        ("python", "CWE-95"): recall.Seen(frozenset(["here"]), frozenset(["twin"])),
        ("python", "CWE-89"): recall.Seen(frozenset(), frozenset()),
        ("python", "CWE-94"): recall.Seen(frozenset(["kin"]), frozenset()),
    }


def test_other_programs_make_what_is_kept_stale(
    scripts: tuple[Any, Any], told: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    recall, page = scripts
    more = [*cases("python"), Case("python", "CWE-95", "one-more", True, "eval(x)\n", (("CWE-95", 1),))]
    monkeypatch.setattr(recall, "cases", lambda: iter(more))
    other = recall.measured(write=False)
    assert other.stale == list(recall._PROGRAMS)
    assert "| go |" in page.page(told) and "| go |" not in page.page(other)
    monkeypatch.setattr(recall, "cases", lambda: cases("python"))
    assert recall.measured(write=False).stale == ["semgrep"], "ruff and bandit read Python alone"


def test_a_scanner_that_is_not_here_keeps_no_figures(
    scripts: tuple[Any, Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    recall, _page = scripts

    def missing(_self: Any) -> dict[str, str]:
        raise BurilError("D220", name="ruff", program="ruff", suggestion="")

    monkeypatch.setattr(recall, "KEPT", tmp_path / "recall.json")
    for scanner in (recall.Ruff, recall.Bandit, recall.Semgrep):
        monkeypatch.setattr(scanner, "observe", missing)
    told = recall.measured(write=True)
    assert set(told.seen) == {"taint", "secrets"} and told.stale == list(recall._PROGRAMS)


def test_the_page_names_all_that_it_is_about(scripts: tuple[Any, Any]) -> None:
    _recall, page = scripts
    assert set(TOP_25[2025]) <= set(page.NAMES)
    assert set(page.BLIND) <= set(TOP_25[2025])
    assert {862, 863, 306, 639} <= set(page.BLIND), "what nobody can see is said so"
    for year in (2021, 2025):
        listed = {owasp(f"CWE-{number}", year)[:3] for number in range(1, 1500)} - {""}
        assert listed == set(page.TOP_TEN[year]) and set(page.UNSEEN[year]) <= listed
    assert len(TOP_25[2024]) == len(set(TOP_25[2024])) == len(TOP_25[2025]) == len(set(TOP_25[2025])) == 25
