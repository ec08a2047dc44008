"""The automaton kept between processes: the same places, and a file that is not to be trusted is not read."""

import stat
from pathlib import Path
from typing import Any

import pytest

from buril.scanners._database import database

hyperscan = pytest.importorskip("hyperscan", reason="no wheel of hyperscan for this machine")
PATTERNS = [(b"ghp_[a-z]{4}", False), (b"password", True)]
TEXT = b"x ghp_abcd PassWord"


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "buril/patterns"


def places(found: Any) -> list[tuple[int, int]]:
    seen: list[tuple[int, int]] = []
    found.scan(TEXT, match_event_handler=lambda number, _start, end, _flags, _context: seen.append((number, end)))
    return sorted(seen)


def refuse_to_compile(monkeypatch: pytest.MonkeyPatch) -> None:
    def compile_(*_: object, **__: object) -> None:
        raise AssertionError("it was compiled again")

    monkeypatch.setattr(hyperscan, "Database", type("Database", (), {"compile": compile_}))


def test_a_kept_database_is_read_and_finds_the_same(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = places(database(hyperscan, PATTERNS))
    assert made == [(0, 10), (1, 19)]
    refuse_to_compile(monkeypatch)
    assert places(database(hyperscan, PATTERNS)) == made
    (path,) = cache.iterdir()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_other_patterns_are_another_file(cache: Path) -> None:
    database(hyperscan, PATTERNS)
    assert places(database(hyperscan, [(b"ghp_[a-z]{4}", False), (b"password", False)])) == [(0, 10)]
    assert len(list(cache.iterdir())) == 2


@pytest.mark.parametrize("harm", ["cut short", "other bytes", "others may write"])
def test_a_file_that_is_not_to_be_trusted_is_made_again(
    cache: Path, harm: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    database(hyperscan, PATTERNS)
    (path,) = cache.iterdir()
    whole = path.read_bytes()
    if harm == "others may write":
        path.chmod(0o666)
    else:
        path.write_bytes(whole[:60] if harm == "cut short" else whole[:60] + b"\xff" * 8 + whole[68:])
    assert places(database(hyperscan, PATTERNS)) == [(0, 10), (1, 19)]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert path.read_bytes() == whole


def test_a_home_that_cannot_be_written_costs_nothing_but_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert places(database(hyperscan, PATTERNS)) == [(0, 10), (1, 19)]
    monkeypatch.delenv("XDG_CACHE_HOME")

    def homeless(_cls: type[Path]) -> Path:
        raise RuntimeError("no home")

    monkeypatch.setattr(Path, "home", classmethod(homeless))
    assert places(database(hyperscan, PATTERNS)) == [(0, 10), (1, 19)]
    assert not Path("/dev/null/buril").exists()
