"""Reading what test runners of any language write: which tests passed (JUnit), and which lines they came to.

Lines are read from LCOV, from Cobertura's XML and from Go's profiles, whichever it is. XML is read as a stream of tags
and refused where it declares entities, since who wrote it ran untrusted code.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any
from xml.parsers import expat

_GO = re.compile(r"(\S.*):(\d+)\.\d+,(\d+)\.\d+ \d+ (\d+)")
_BAD = frozenset({"failure", "error"})


class _RefusedError(Exception):
    """The document declares entities."""


def statuses(text: str) -> dict[str, str]:
    """Test → `passed`, `failed` or `skipped`, of a JUnit report; what is none of these gives none.

    Example:
        `<testcase classname="shop" name="adds"/>` gives `{"shop::adds": "passed"}`.
    """
    found: dict[str, str] = {}
    now = ""

    def start(name: str, attributes: dict[str, str]) -> None:
        nonlocal now
        if name == "testcase":
            now = "::".join(filter(None, (attributes.get("classname", ""), attributes.get("name", ""))))
            found[now] = max(found.get(now, "passed"), "passed", key=_rank)
        elif now and name in _BAD:
            found[now] = "failed"
        elif now and name == "skipped":
            found[now] = max(found[now], "skipped", key=_rank)

    def end(name: str) -> None:
        nonlocal now
        now = "" if name == "testcase" else now

    return found if _read(text, start, end) else {}


def _rank(status: str) -> int:
    return ("passed", "skipped", "failed").index(status)


def hit(text: str, path: str) -> frozenset[int]:
    """The lines of one file that a report says were run; none where it does not know the file.

    Args:
        text: an LCOV, Cobertura or Go report.
        path: of the file in its repository. Reports may have it with folders before it.
    """
    text = text.lstrip("\ufeff \t\r\n")
    read = _of_xml if text.startswith("<") else _of_go if text.startswith("mode:") else _of_lcov
    return frozenset(line for name, line in read(text) if _is_same(name, path))


def _is_same(told: str, path: str) -> bool:
    told = told.replace("\\", "/").removeprefix("./")
    return told == path or told.endswith("/" + path) or (len(told) > 1 and path.endswith("/" + told))


def _of_lcov(text: str) -> Iterator[tuple[str, int]]:
    file = ""
    for line in text.splitlines():
        tag, _colon, value = line.strip().partition(":")
        if tag == "SF":
            file = value
        elif tag == "DA":
            number, _comma, count = value.partition(",")
            count = count.partition(",")[0].strip()
            if number.isdecimal() and count.isdecimal() and int(count):
                yield file, int(number)


def _of_go(text: str) -> Iterator[tuple[str, int]]:
    for line in text.splitlines():
        found = _GO.fullmatch(line.strip())
        if found and int(found[4]):
            yield from ((found[1], number) for number in range(int(found[2]), int(found[3]) + 1))


def _of_xml(text: str) -> Iterator[tuple[str, int]]:
    found: list[tuple[str, int]] = []
    file = ""

    def start(name: str, attributes: dict[str, str]) -> None:
        nonlocal file
        number, count = attributes.get("number", ""), attributes.get("hits", "")
        if name == "class":
            file = attributes.get("filename", "")
        elif name == "line" and number.isdecimal() and count.isdecimal() and int(count):
            found.append((file, int(number)))

    return iter(found if _read(text, start, lambda _name: None) else ())


def _read(text: str, start: Callable[[str, dict[str, str]], None], end: Callable[[str], None]) -> bool:
    """Go through the tags of a document; False for what is none."""

    def refuse(*_declared: Any) -> int:
        raise _RefusedError

    parser = expat.ParserCreate("utf-8")
    parser.EntityDeclHandler = refuse
    parser.ExternalEntityRefHandler = refuse
    parser.StartElementHandler = start
    parser.EndElementHandler = end
    try:
        parser.Parse(text.encode("utf-8", "replace"), True)
    except (expat.ExpatError, _RefusedError, ValueError, LookupError):
        return False
    return True
