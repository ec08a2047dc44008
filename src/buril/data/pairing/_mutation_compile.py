"""What a C compiler says of a mutant: where the original compiles by itself, the mutant has to as well.

Most functions do not compile without the rest of their project; of those nothing can be said. Nothing is run, and
nothing is written: the compiler reads the text and stops before it makes code.
"""

from __future__ import annotations

import shutil
import subprocess
from functools import cache
from typing import Final

COMPILERS: Final = ("gcc", "clang", "cc")
_FLAGS: Final = ("-fsyntax-only", "-w", "-x", "c", "-")
_LIMIT_S: Final = 20


@cache
def compiler() -> str:
    """The path of a C compiler; "" where there is none."""
    return next((path for path in map(shutil.which, COMPILERS) if path), "")


def version() -> str:
    """The first line of what the compiler says of itself; "" where there is none."""
    if not compiler():
        return ""
    command = [compiler(), "--version"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=_LIMIT_S, check=False)  # noqa: S603  its path
    return done.stdout.split("\n", 1)[0]


def compiles(text: str) -> bool:
    """Whether a text of C compiles by itself."""
    try:
        done = subprocess.run(  # noqa: S603  a compiler by its path, which runs nothing of the text
            [compiler(), *_FLAGS], input=text.encode("utf-8", "replace"), capture_output=True, timeout=_LIMIT_S,
            check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return False
    return done.returncode == 0


def both_compile(secure: str, vulnerable: str) -> bool | None:
    """Whether both texts compile; None where that can't be known, because the first does not or there's no compiler."""
    if not compiler() or not compiles(secure):
        return None
    return compiles(vulnerable)
