"""Commands that load a model begin with an allocator that keeps less."""

from __future__ import annotations

import platform
import subprocess
import sys
import time
from pathlib import Path

import pytest

from buril.core.allocator import KEPT, NO_CACHE, SIZES, TUNABLES, frugal


def test_what_a_user_has_set_stands() -> None:
    assert frugal({"A": "1"}) == {"A": "1", TUNABLES: NO_CACHE, SIZES: KEPT}
    assert frugal({TUNABLES: "glibc.malloc.check=1"})[TUNABLES] == f"glibc.malloc.check=1:{NO_CACHE}"
    chosen = {TUNABLES: "glibc.malloc.tcache_count=16", SIZES: "1024"}
    assert frugal(chosen) == chosen
    assert frugal(frugal({})) == frugal({}), "it is done once"


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the allocator is told so on Linux with glibc only")
@pytest.mark.parametrize(("verb", "told"), [("plan", True), ("status", False)])
def test_a_command_that_may_load_a_model_starts_itself_again(tmp_path: Path, verb: str, told: bool) -> None:
    code = (
        "import os, sys\n"
        "import buril.cli.main as main\n"
        "main.cli.main = lambda **_told: print(os.getpid(), os.environ.get('GLIBC_TUNABLES', ''), *sys.argv[1:]) or 0\n"
        "sys.exit(main.main())\n"
    )
    script = tmp_path / "buril"
    script.write_text(code, encoding="utf-8")
    process = subprocess.Popen(
        [sys.executable, str(script), "--lang", "es", verb, "a b"], stdout=subprocess.PIPE, text=True, env={"LANG": "C"}
    )
    began = time.monotonic()
    shown = process.communicate(timeout=60)[0].split(" ", 2)
    assert time.monotonic() - began < 60 and process.returncode == 0
    assert shown[0] == str(process.pid), "it stays one process"
    assert shown[1] == (NO_CACHE if told else "")
    assert shown[2] == f"--lang es {verb} a b\n"


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="elsewhere nothing can be asked back")
def test_what_is_free_is_given_back() -> None:
    done = subprocess.run([sys.executable, "-c", _FREED], capture_output=True, text=True, check=True)
    assert int(done.stdout) > 60 << 20, "of 125 MB that are free but lie between others"


_FREED = """
import os
from pathlib import Path
from buril.core.allocator import give_back

def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

kept = []
for _piece in range(2000):  # small enough to come from the heap, each with one behind it that stays
    kept += [b"x" * (64 << 10), b"y" * (600 + _piece % 2)]
kept[::2] = [None] * (len(kept) // 2)
before = resident()
give_back()
print(before - resident())
"""
