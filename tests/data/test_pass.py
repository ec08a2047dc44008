"""A row that kills its worker costs two tries and then itself, not the run."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from buril.code.codefile import CodeFile, Verdict
from buril.data import _pass
from buril.data._pass import _Marks
from buril.data.prepare import Prepare
from buril.data.step import Numbers
from buril.data.steps.syntax import Syntax
from tests.data.made import contents
from tests.data.test_prepare import Make, inputs, real

PROGRAM = """
import os, signal, sys
from pathlib import Path
from buril.data.steps.syntax import Syntax
from buril.chain import Chain
from buril.core.store import Store

honest = Syntax.apply
def deadly(self, file, shared):
    if "KILL" in file.content:
        os.kill(os.getpid(), signal.SIGKILL)
    honest(self, file, shared)
Syntax.apply = deadly
values = {
    "collect": {"sources": [{"folder": {"path": "repo", "license": "mit"}}], "shard_bytes": 4000},
    "dedup": {"method": "exact"},
    "prepare": {"workers": int(sys.argv[2])},
}
Chain.from_values(values, Path(sys.argv[1])).run(Store(Path(sys.argv[1]) / "store"), "prepare")
"""


def go(folder: Path, workers: int) -> int:
    command = [sys.executable, "-c", PROGRAM, str(folder), str(workers)]
    return subprocess.run(command, check=False, timeout=100, stderr=subprocess.DEVNULL).returncode


@pytest.mark.parametrize("workers", [1, 2])
def test_a_row_that_kills_workers_is_refused_the_third_time(tmp_path: Path, workers: int) -> None:
    (tmp_path / "repo").mkdir()
    for number in range(12):
        text = "KILL = 'ask somebody@real-corp.com'\n" if number == 7 else ""
        (tmp_path / f"repo/m{number:02d}.py").write_text(text + f"def function_{number}():\n    return value\n" * 30)
    codes = [go(tmp_path, workers) for _ in range(3 if workers == 1 else 1)]
    assert codes == ([-signal.SIGKILL] * 2 + [0] if workers == 1 else [0])
    from buril.core.artifact import Artifact, Manifest

    (folder,) = (tmp_path / "store/prepare").glob("[!.]*")
    rows = contents(Artifact(folder, Manifest.read(folder)), "rows/*.parquet")
    assert len(rows) == 12
    (bad,) = [row for row in rows if row.verdicts]
    assert bad.path == "m07.py"
    assert bad.verdicts == [Verdict("prepare", "killed_worker", "2")]
    assert "real-corp" not in bad.content


def test_marks_forget_a_shard_that_was_done(tmp_path: Path, make_artifact: Make) -> None:
    path = tmp_path / "at"
    for _attempt in range(5):
        with _Marks(path) as marks:
            assert marks.deaths(3) == 0
    assert not path.exists()
    for row, expected in ((3, 0), (3, 1), (2, 0), (3, 0)):  # what killed workers leave behind
        left = _Marks(path)
        assert left.deaths(row) == expected
        os.close(left._handle)
    with _Marks(path) as marks:
        assert [marks.deaths(2), marks.deaths(3)] == [0, 1]
    assert signal.getitimer(signal.ITIMER_PROF) == (0.0, 0.0)


def test_nothing_is_left_in_the_artifact(tmp_path: Path, make_artifact: Make) -> None:
    made = make_artifact(Prepare(Prepare.Settings(workers=1)), inputs(tmp_path, make_artifact, real(6)))
    assert sorted(path.name for path in made.folder.rglob("*.at")) == []


def test_a_row_that_takes_for_ever_ends_its_worker(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    pid = os.fork()
    if not pid:
        monkeypatch.setattr(_pass, "MAX_ROW_S", 0.2)
        _Marks(tmp_path / "at").deaths(0)
        while True:
            CodeFile("r", "p", "x")
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGPROF


def test_a_text_that_held_a_worker_is_given_up_by_the_next(tmp_path: Path) -> None:
    """`=>` over and over takes the grammar of CSS the square of its length."""
    file = CodeFile("r", "a.css", "=>" * 30_000, language="css")
    _pass._row(file, [Syntax()], Numbers(), deaths=1)
    assert [verdict.reason for verdict in file.verdicts] == ["too_hard"]
