"""Ctrl-C at an awkward moment: the exit code is 130 wherever it lands."""

import os
import subprocess
import sys
from pathlib import Path

MODULE = """
import buril.cli.main as command_line

command_line.cli.main = lambda **_: exec("raise KeyboardInterrupt")
command_line.main([])
"""


def test_an_interrupt_inside_code_from_a_string_exits_with_130(tmp_path: Path) -> None:
    (tmp_path / "interrupted.py").write_text(MODULE)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join((str(tmp_path), *sys.path))}
    done = subprocess.run(
        [sys.executable, "-m", "interrupted"], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 130, done.stderr
    assert "buril run" in done.stderr
