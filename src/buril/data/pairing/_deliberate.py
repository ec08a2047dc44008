"""Weak code that is meant: what its surroundings ask for by name, so that a mended form would be another function."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

_HASHES: Final = frozenset({"CWE-326", "CWE-327", "CWE-328", "CWE-916"})
_NAMES: Final = re.compile(r"(?i)(?<![a-z])(?:md[245]|sha[-_]?1|des|rc4)(?![a-z0-9])")
"""Algorithms by name."""
_CHECKS: Final = frozenset({"CWE-295", "CWE-297"})
_ASKED: Final = re.compile(r"(?i)verif|valid|insecure|check|trust|cert_none|cert_reqs|skip|ssl|tls")
_BRANCH: Final = re.compile(r"\s*(?:\}\s*)?(?:if|elif|else if|else|case|unless)\b")
_OWN: Final = re.compile(r"\s*(?:self|this|\$this)\s*(?:\.|->)\s*(?:check_hostname|verify_mode|verify\w*)\s*=")


def deliberate(cwe: str, text: str, line: int) -> bool:
    """Whether a weakness is what its function is for: read off names and conditions, so it is a guess.

    A hash that the function names elsewhere too (`get_md5`, `sha1 = hashlib.sha1()`) is one that a format demands.
    Checks of certificates that are switched off where a setting asks for it (`if not verify:`), or that a class has as
    its own attribute, are a choice of whoever calls.

    Args:
        cwe: the weakness.
        text: the function with what stands around it.
        line: of the weakness in it, from 1.
    """
    lines = text.splitlines()
    if not 1 <= line <= len(lines):
        return False
    if cwe in _HASHES:
        here = _NAMES.findall(lines[line - 1].replace("_", " "))
        everywhere = {found.lower() for found in here}
        plain = (found.lower() for found in _NAMES.findall(text.replace("_", " ")))
        return sum(found in everywhere for found in plain) > 1
    if cwe in _CHECKS:
        return bool(_OWN.match(lines[line - 1])) or any(_asks(lines, place) for place in _around(lines, line - 1))
    return False


def _around(lines: list[str], place: int) -> Iterator[int]:
    """The lines with less indentation above a line, each further out than the one before."""
    depth = _depth(lines[place])
    for above in range(place - 1, -1, -1):
        if lines[above].strip() and _depth(lines[above]) < depth:
            depth = _depth(lines[above])
            yield above


def _asks(lines: list[str], place: int) -> bool:
    """Whether a line opens a branch that is taken where a setting says so; of an `else`, by its `if`."""
    if not _BRANCH.match(lines[place]):
        return False
    if _ASKED.search(lines[place]):
        return True
    depth = _depth(lines[place])
    for above in range(place - 1, -1, -1):
        if lines[above].strip() and _depth(lines[above]) <= depth:
            opens = _BRANCH.match(lines[above]) and _ASKED.search(lines[above])
            return bool(re.search(r"\belse\b", lines[place]) and opens)
    return False


def _depth(line: str) -> int:
    return len(line) - len(line.lstrip())
