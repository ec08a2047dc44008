r"""Suppressions: a comment `buril: ignore[RULE, …] reason`, behind the code or on the line above it.

A name is a rule (`S602`), a scanner's rule (`ruff/S602`) or a weakness (`CWE-78`). Without a reason it does not count.
Comments are what the language's grammar says: the same words in a string are a string. Where there is no grammar, a
line counts on which a comment's sign stands before the words.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from buril.code.codefile import Finding
from buril.code.parse import HardParse, comments, parse
from buril.gate.result import Result, Suppression, odd_lines
from buril.scanners import About

SCANNER = "suppressions"
RULES = {
    "suppression-without-reason": About("a suppression gives no reason, so it does not count"),
    "suppression-without-rule": About("a suppression names no rule, so it does not count"),
    "suppression-unused": About("a suppression suppresses nothing"),
}
_MARK = re.compile(r"^\W*buril:\s*ignore\b\s*(?:\[(?P<names>[^\]\n]*)\])?(?P<reason>.*)$")
_LOOSE = re.compile(r"(?:^|\s)(?:#|//|--|;|%|<!--|/\*)\s*(?=buril:\s*ignore\b)")
_WORD = re.compile(r"\w{3}")
_AROUND = " \t\r-\N{EN DASH}\N{EM DASH}:*/#>"


@dataclass(frozen=True)
class Mark:
    """A suppression as it stands in a text: on `line`, about `target`. `sure`: a grammar says that it is a comment."""

    line: int
    target: int
    names: tuple[str, ...]
    reason: str
    sure: bool = True

    @property
    def valid(self) -> bool:
        """Whether it counts: it names something, and gives a reason."""
        return bool(self.names) and _WORD.search(self.reason) is not None


def marks(text: str, language: str) -> list[Mark]:
    """All suppressions in a text, in the order of the lines; none where nobody can say which line is meant."""
    if "buril:" not in text or odd_lines(text):
        return []
    if not language:
        return list(_loose(text))
    source = text.encode("utf-8", "surrogatepass")
    try:
        spans = comments(parse(language, source, bounded=True))
    except HardParse:
        return []
    return list(_in_comments(source, spans))


def _loose(text: str) -> Iterator[Mark]:
    lines = text.split("\n")
    for number, line in enumerate(lines, 1):
        if (sign := _LOOSE.search(line)) and (found := _MARK.match(line[sign.end() :])):
            alone = not line[: sign.start()].strip()
            yield _mark(found, number, number + 1 if alone else number, sure=False)


def _in_comments(source: bytes, spans: Sequence[tuple[int, int]]) -> Iterator[Mark]:
    """The marks in comments; one alone on its line is about the next line that is more than a comment."""
    alone: set[int] = set()
    for start, end in spans:
        if not _before(source, start).strip() and not _behind(source, end).strip():
            alone.update(range(_line(source, start), _line(source, end) + 1))
    for start, end in spans:
        first, last = _line(source, start), _line(source, end)
        for number, line in enumerate(source[start:end].decode("utf-8", "replace").split("\n"), first):
            if found := _MARK.match(line):
                yield _mark(found, number, _below(last, alone) if first in alone else _beside(source, start, last))


def _beside(source: bytes, start: int, last: int) -> int:
    """The line of a comment that shares it with code: code before it, else code behind its end."""
    return _line(source, start) if _before(source, start).strip() else last


def _below(line: int, alone: Collection[int]) -> int:
    line += 1
    while line in alone:
        line += 1
    return line


def _line(source: bytes, offset: int) -> int:
    return source.count(b"\n", 0, offset) + 1


def _before(source: bytes, start: int) -> bytes:
    return source[source.rfind(b"\n", 0, start) + 1 : start]


def _behind(source: bytes, end: int) -> bytes:
    stop = source.find(b"\n", end)
    return source[end : stop if stop >= 0 else len(source)]


def _mark(found: re.Match[str], line: int, target: int, *, sure: bool = True) -> Mark:
    names = tuple(name.strip() for name in (found["names"] or "").split(",") if name.strip())
    reason = found["reason"].removesuffix("-->").removesuffix("*/").strip(_AROUND)
    return Mark(line, target, names, reason, sure)


def applied(path: str, results: Iterable[Result], found: Sequence[Mark], known: Collection[str]) -> list[Result]:
    """The results of one file with their suppressions, and a result for each suppression that is of no use.

    Args:
        path: the file's.
        results: what was seen in it.
        found: its suppressions.
        known: rules of the scanners that ran; whether another rule's suppression is of use nobody can say.
    """
    valid = [mark for mark in found if mark.valid]
    used: set[tuple[Mark, str]] = set()
    judged = []
    for result in results:
        for mark in valid:
            if names := _hits(mark, result):
                used.update((mark, name) for name in names)
                result = replace(result, suppression=result.suppression or Suppression(mark.reason, mark.line))  # noqa: PLW2901  the same result, judged
        judged.append(result)
    return judged + [Result(path, finding) for mark in found if mark.sure for finding in _useless(mark, used, known)]


def _hits(mark: Mark, result: Result) -> list[str]:
    """The names in a mark that are about a result. What was not analysed can't be suppressed."""
    finding = result.finding
    if result.unread or result.partly or mark.target not in (finding.line, result.last_line):
        return []
    meant = {finding.rule.lower(), f"{finding.scanner}/{finding.rule}".lower(), finding.cwe.lower()} - {""}
    return [name for name in mark.names if name.lower() in meant]


def _useless(mark: Mark, used: Collection[tuple[Mark, str]], known: Collection[str]) -> Iterator[Finding]:
    if not mark.valid:
        rule = "suppression-without-reason" if mark.names else "suppression-without-rule"
        yield Finding(SCANNER, rule, mark.line, "medium", RULES[rule].message)
        return
    ran = {name.lower() for name in known}
    for name in mark.names:
        could_be = name.lower().rpartition("/")[2] in ran or name.lower().startswith("cwe-")
        if (mark, name) not in used and could_be:
            message = f"{RULES['suppression-unused'].message}: {name}"
            yield Finding(SCANNER, "suppression-unused", mark.line, "low", message)
