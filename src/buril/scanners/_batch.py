"""Programs that scan: one process for many texts, which lie as files without names of their own in a folder.

Nothing of the repository's own settings lies beside them, so none can switch a rule off.
"""

from __future__ import annotations

import contextlib
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from buril.code.codefile import Finding
from buril.core.errors import BurilError
from buril.scanners._scanner import Text, inconclusive

TIME_LIMIT_S = 3600
"""How long one process may take for a shard; none has ever needed a tenth of it."""
_PROBLEM_CHARS = 300
Run = Callable[[Sequence[Text]], list[list[Finding]]]


class Answer(NamedTuple):
    """What a program wrote and how it ended."""

    code: int
    out: str
    error: str


@contextlib.contextmanager
def folder(contents: Sequence[str], names: Callable[[int], str]) -> Iterator[Path]:
    """A temporary folder with each text as a file; `names` gives the name of the n-th."""
    with tempfile.TemporaryDirectory(prefix="buril-scan-") as made:
        place = Path(made)
        for number, content in enumerate(contents):
            (place / names(number)).write_bytes(content.encode("utf-8", "replace"))
        yield place


def numbered(extension: str) -> Callable[[int], str]:
    """Names such as `000012.py`.

    Example:
        `numbered("py")(12)` → "000012.py"
    """
    return lambda number: f"{number:06}.{extension}"


def call(name: str, command: Sequence[str], place: Path, env: Mapping[str, str]) -> Answer:
    """Run a scanner's program in a folder.

    Args:
        name: the scanner's, for the error.
        command: the program and its arguments.
        place: the working folder, with the texts.
        env: the whole environment of the process.

    Raises:
        BurilError: D222 when it can't be started or does not end.
    """
    try:
        done = subprocess.run(  # noqa: S603  a scanner's own program and options; texts are named by number
            list(command), cwd=place, env=dict(env), stdin=subprocess.DEVNULL, capture_output=True, text=True,
            encoding="utf-8", errors="replace", timeout=TIME_LIMIT_S, check=False,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired) as problem:
        raise failed(name, str(problem)) from problem
    return Answer(done.returncode, done.stdout, done.stderr)


def failed(name: str, problem: str) -> BurilError:
    """The error of a program that broke: it ended badly, or did not see what was planted for it."""
    shown = " ".join(problem.split())[-_PROBLEM_CHARS:]
    return BurilError("D222", name=name, problem=shown or "?")


def halved(name: str, texts: Sequence[Text], run: Run) -> list[list[Finding]]:
    """What `run` gives for the texts; where it breaks, the text that broke it is found and is inconclusive.

    A tool that falls over one file must neither take the whole shard with it nor hide that file.
    """
    if not texts:
        return []
    try:
        return run(texts)
    except BurilError as broken:
        if broken.code != "D222":
            raise
    if len(texts) == 1:
        return [[inconclusive(name, "the program failed on it")]]
    middle = len(texts) // 2
    return halved(name, texts[:middle], run) + halved(name, texts[middle:], run)
