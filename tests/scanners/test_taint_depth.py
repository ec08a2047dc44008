"""The limit of recursion while texts are analysed in several threads."""

from __future__ import annotations

import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from buril.scanners._taint.depth import Depth


def deep(calls: int) -> int:
    return 0 if calls == 0 else 1 + deep(calls - 1)


def test_who_is_still_inside_keeps_the_limit_and_the_last_one_puts_it_back() -> None:
    """The first of two that overlap leaves before the second has gone deep."""
    before = sys.getrecursionlimit()
    depth = Depth(before + 4_000)
    first_in, second_in, first_out = threading.Event(), threading.Event(), threading.Event()

    def first() -> None:
        with depth.raised():
            first_in.set()
            assert second_in.wait(10)
        first_out.set()

    def second() -> int:
        assert first_in.wait(10)
        with depth.raised():
            second_in.set()
            assert first_out.wait(10)
            return deep(before + 2_000)

    with ThreadPoolExecutor(2) as threads:
        done = [threads.submit(first), threads.submit(second)]
        assert done[1].result(20) == before + 2_000
        done[0].result(20)
    assert sys.getrecursionlimit() == before


def test_it_is_put_back_when_reading_fails() -> None:
    before = sys.getrecursionlimit()
    depth = Depth(before + 1)
    with pytest.raises(ValueError, match="no"), depth.raised():
        raise ValueError("no")
    assert sys.getrecursionlimit() == before


MANY = """
import sys
from concurrent.futures import ThreadPoolExecutor
from buril.code.parse import parse
from buril.scanners._taint.languages import analysed

before = sys.getrecursionlimit()
text = b"def f(a):\\n    x = a" + b" + 1" * 1500 + b"\\n    eval(x)\\n"
with ThreadPoolExecutor(4) as threads:
    found = threads.map(lambda _turn: len(analysed("python", parse("python", text), suspicious=True).hits), range(24))
    print(sorted(set(found)), sys.getrecursionlimit() == before)
"""


def test_many_threads_find_the_same_and_leave_the_limit_as_they_found_it() -> None:
    """In a process of its own, whose limit nobody else changes."""
    done = subprocess.run([sys.executable, "-c", MANY], capture_output=True, text=True, check=False)
    assert done.stdout == "[1] True\n", done.stdout + done.stderr[-2000:]
