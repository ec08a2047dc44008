"""Kept completions: a killed evaluation goes on where it was, and its results are those of one that was not."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from buril.evaluate import _kept
from buril.evaluate._kept import Kept
from buril.generators._generator import Completion, Request

REQUESTS = [Request(f"p{n}", num_samples=1 + n % 3, seed=n) for n in range(200)]


class Counting:
    """Writes what tells of its batch; what one batch gives depends on all of it, as with a real model in bf16."""

    def __init__(self, *, stop_after: int = 1 << 30) -> None:
        self.batches: list[list[Request]] = []
        self.stop_after = stop_after

    def complete(self, requests: Sequence[Request]) -> Iterator[list[Completion]]:
        self.batches.append(list(requests))
        if len(self.batches) > self.stop_after:
            raise KeyboardInterrupt
        for request in requests:
            text = f"{request.prompt} of {len(requests)} from {requests[0].prompt} “ñ”\n"
            yield [Completion(text, (n, 7), "eos", -0.1 / 3, (1, n)) for n in range(request.num_samples)]


def kept(path: Path, generator: Counting | None = None) -> tuple[list[list[Completion]], Counting]:
    writer = generator or Counting()
    return list(Kept(writer, path).complete(REQUESTS)), writer  # type: ignore[arg-type]


def test_what_is_written_is_not_written_again(tmp_path: Path) -> None:
    first, writer = kept(tmp_path / "a")
    assert [len(items) for items in first] == [request.num_samples for request in REQUESTS]
    sizes = [sum(request.num_samples for request in batch) for batch in writer.batches]
    assert len(sizes) > 2 and max(sizes) <= _kept.ROWS
    again, silent = kept(tmp_path / "a")
    assert again == first and silent.batches == []


@pytest.mark.parametrize("done", [0, 1, 2])
def test_an_interruption_changes_nothing(tmp_path: Path, done: int) -> None:
    whole, writer = kept(tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        kept(tmp_path / "cut", Counting(stop_after=done))
    found, rest = kept(tmp_path / "cut")
    assert found == whole and rest.batches == writer.batches[done:]


def test_half_a_line_is_nothing(tmp_path: Path) -> None:
    whole, writer = kept(tmp_path / "a")
    data = (tmp_path / "a").read_bytes()
    for size in (len(data) - 1, len(data) - 50, data.index(b"\n") + 2):
        (tmp_path / "a").write_bytes(data[:size])
        found, rest = kept(tmp_path / "a")
        assert found == whole and 0 < len(rest.batches) <= len(writer.batches)
        assert (tmp_path / "a").read_bytes() == data


def test_another_question_is_asked(tmp_path: Path) -> None:
    kept(tmp_path / "a")
    writer = Counting()
    list(Kept(writer, tmp_path / "a").complete([Request("p0", seed=1)]))  # type: ignore[arg-type]
    assert len(writer.batches) == 1


def test_kill_in_the_middle_of_a_batch(tmp_path: Path) -> None:
    """A real process, killed with SIGKILL while its third batch is written."""
    source = f"""
    import sys
    sys.path.insert(0, {str(Path(__file__).parents[2])!r})
    from pathlib import Path
    from buril.evaluate._kept import Kept
    from tests.evaluate.test_kept import REQUESTS, Counting
    import time
    class Slow(Counting):
        def complete(self, requests):
            for found in super().complete(requests):
                if len(self.batches) == 3:
                    print("third", flush=True)
                    time.sleep(60)
                yield found
    list(Kept(Slow(), Path({str(tmp_path / "a")!r})).complete(REQUESTS))
    """
    child = subprocess.Popen([sys.executable, "-c", textwrap.dedent(source)], stdout=subprocess.PIPE)
    assert child.stdout is not None and child.stdout.readline() == b"third\n"
    os.kill(child.pid, signal.SIGKILL)
    child.wait()
    child.stdout.close()
    assert len([json.loads(line) for line in (tmp_path / "a").read_text().splitlines()]) == 2
    found, rest = kept(tmp_path / "a")
    whole, writer = kept(tmp_path / "whole")
    assert found == whole and rest.batches == writer.batches[2:]
