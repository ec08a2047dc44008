"""Marks: what a model writes where it goes on with something else than the file: control tokens, fences of a chat."""

from __future__ import annotations

import re

from buril.code.completing.cursor import Cursor

_MARK = re.compile(
    r"<\|[a-z_]{2,24}\|>|<(?:fim_prefix|fim_suffix|fim_middle|fim_pad|file_sep|repo_name|reponame|filename|gh_stars)>"
    r"|<｜[^｜\n]{2,30}｜>|^\s*```"
)


def mark_in(line: str, cursor: Cursor) -> int | None:
    """Where a mark begins in a line; None where there is none, or where the file itself holds it."""
    for found in _MARK.finditer(line):
        if found[0].strip() not in cursor.prefix and found[0].strip() not in cursor.suffix:
            return found.start()
    return None
