"""Boilerplate: spans that are the same everywhere and say little of where a text is from.

They are told apart, not left out: what is common comes after everything else, and no policy holds it against anyone.
A long span is never common, however many repositories hold it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Literal

Boilerplate = Literal["", "repositories", "imports", "notice", "repetitive"]
LONG = 100
"""Tokens from which a span is nobody's idiom: about a dozen lines."""
FEW_WORDS = 4
"""Different words and numbers up to which a span is repetitive: lists of zeros, rows of braces."""
_IMPORT = re.compile(
    rb"^\s*(?:import\b|from\s+\S+\s+import\b|#\s*include\b|using\s|use\s|require(?:_once)?\b|package\s|pragma\s"
    rb"|(?:const|let|var)\s+.{1,80}=\s*require\(|export\s+\*\s+from\b|if\s+__name__\s*==)"
)
_LIST = re.compile(rb"^[\s\w.,(){}*\"'/@;:-]*$")
_NOTICE = re.compile(
    rb"licen[sc]|copyright|\(c\)|warrant|\bas is\b|all rights reserved|redistribut|permission|\bauthors?\b|codeauthor",
    re.IGNORECASE,
)
_CODE = re.compile(rb"[=;{}\[\]]|\bdef\b|\breturn\b")
_WORD = re.compile(rb"[\w\x80-\xff]+")


def kind_of(lines: Sequence[bytes], repositories: int, most: int, *, length: int) -> Boilerplate:
    """Why a span is common, or "".

    Args:
        lines: its text.
        repositories: how many hold it.
        most: repositories up to which a short span is not common.
        length: its tokens.
    """
    if _imports(lines):
        return "imports"
    if _notice(lines):
        return "notice"
    if len({word for line in lines for word in _WORD.findall(line)}) <= FEW_WORDS:
        return "repetitive"
    return "repositories" if repositories > most and length < LONG else ""


def _notice(lines: Sequence[bytes]) -> bool:
    """Whether the lines are words about rights and authors, as stand at the head of files."""
    said = [line for line in lines if _WORD.search(line)]
    about = sum(_NOTICE.search(line) is not None for line in said)
    return 0 < len(said) <= 2 * about and not any(_CODE.search(line) for line in said)


def _imports(lines: Sequence[bytes]) -> bool:
    """Whether all lines import something, or go on with a list that an import began."""
    opened = False
    counted = 0
    for line in lines:
        if not line.strip():
            continue
        begins = _IMPORT.match(line) is not None
        if not begins and not (opened and _LIST.match(line)):
            return False
        opened = opened or begins
        if begins:
            opened = line.count(b"(") > line.count(b")") or line.count(b"{") > line.count(b"}")
        elif b")" in line or b"}" in line:
            opened = False
        counted += 1
    return counted > 0
