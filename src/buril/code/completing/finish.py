"""Finish: what becomes of a text before it is shown: what is too much goes, brackets that are missing come.

Each change has a name. A change that would break a file that parses is not made, and what comes out stays as it is when
it is finished again.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from buril.code.completing._brackets import PAIRS, scan
from buril.code.completing._repeats import MOST_PERIOD, MOST_TIMES, circle, goes_round, same_line
from buril.code.completing.cursor import Cursor
from buril.code.completing.marks import mark_in
from buril.code.completing.stop import Stopper

REASONS = (
    "mark", "repeats_itself", "repeats_above", "repeats_suffix", "closers_doubled", "closers_missing", "spaces",
    "junk", "nothing", "unsettled",
)  # fmt: skip
"""What can become of a text, in the order in which it is looked for. The last three leave nothing to show."""
_ROUNDS = 12
_ALONE = frozenset(")]};:,\"'`0123456789")
"""Single signs that are worth showing."""
_SIGNS = " \t\r\n)]};,:"
_LEAST_OVERLAP = 3


@dataclass(frozen=True)
class Finished:
    """What is shown, and what was done to it. An empty text means: show nothing."""

    text: str
    reasons: tuple[str, ...] = ()

    @property
    def shown(self) -> bool:
        """Whether there is something to show."""
        return bool(self.text)


Step = Callable[[Cursor, str], str]


def finish(prefix: str, text: str, suffix: str = "", language: str = "", *, cursor: Cursor | None = None) -> Finished:
    """What is shown of a text between prefix and suffix.

    `cursor` may be given instead of the texts, where several candidates are finished for one.

    Example:
        `finish("f(a", ", b))", ")", "python")` → `Finished(", b", ("closers_doubled",))`
    """
    where = cursor or Cursor(prefix, suffix, language)
    reasons: dict[str, None] = {}
    for _round in range(_ROUNDS):
        before = text
        for name, step in _STEPS:
            changed = step(where, text)
            if changed == text or (changed.strip() and _breaks(where, text, changed)):
                continue
            reasons[name] = None
            if not changed.strip():
                return Finished("", tuple(reasons))
            text = changed
        if text == before:
            return Finished(text, tuple(reasons)) if text.strip() else Finished("", ("nothing",))
    return Finished("", (*reasons, "unsettled"))


def completed(cursor: Cursor, text: str) -> Finished:
    """What is shown of a model's whole raw text: cut where it is complete (`cut_…`), then finished."""
    told = Stopper("", cursor=cursor).feed(text, final=True)
    found = finish("", told.text, cursor=cursor)
    cut = (f"cut_{told.reason}",) if told.text != text else ()
    return Finished(found.text, (*cut, *found.reasons))


def _breaks(cursor: Cursor, text: str, changed: str) -> bool:
    return cursor.has_grammar and cursor.errors(text) == 0 and cursor.errors(changed) > 0


def _mark(cursor: Cursor, text: str) -> str:
    at = 0
    for line in text.split("\n"):
        cut = mark_in(line, cursor)
        if cut is not None:
            return text[: at + cut].rstrip()
        at += len(line) + 1
    return text


def _itself(cursor: Cursor, text: str) -> str:
    """Lines that go round, once; what circles within a line, up to where it does."""
    del cursor
    lines = text.split("\n")
    kept = [number for number, line in enumerate(lines) if line.strip()]
    for end in range(MOST_TIMES, len(kept) + 1):
        begin = max(0, end - MOST_TIMES * MOST_PERIOD)
        turn = goes_round([lines[number] for number in kept[begin:end]])
        if turn is not None:
            return "\n".join(lines[: kept[begin + turn[0] + turn[1] - 1] + 1])
    at = circle(text)
    return text if at is None else text[:at]


def _above(cursor: Cursor, text: str) -> str:
    """Nothing, where the first line is the one above again."""
    first = text.lstrip("\n").partition("\n")[0]
    full = cursor.line + first if text.startswith(first) else first
    return "" if cursor.above.text and same_line(full, cursor.above.text) else text


def _suffix(cursor: Cursor, text: str) -> str:
    """Without what stands after the cursor already: lines of it, or the rest of its line."""
    lines = text.split("\n")
    for number, line in enumerate(lines):
        if line.strip() and same_line(line if number else cursor.line + line, cursor.below.text):
            return "\n".join(lines[:number]).rstrip()
    rest, last = cursor.rest.rstrip(_SIGNS), text.rstrip(_SIGNS)
    if sum(map(str.isalnum, rest)) < _LEAST_OVERLAP or not last.endswith(rest):
        return text
    return last[: len(last) - len(rest)]


def _doubled(cursor: Cursor, text: str) -> str:
    """Without a closing bracket at the end that the text after the cursor brings."""
    end = text.rstrip(" \t\r\n;,")
    extra = scan(text, cursor.language).closed
    if not extra or extra[-1].at != len(end) - 1:
        return text
    changed = end[:-1] if "\n" not in end[len(end[:-1].rstrip()) :] else end[:-1].rstrip()
    if cursor.has_grammar:
        return changed if cursor.errors(changed) < cursor.errors(text) else text
    depth = len(cursor.before.opened) - (len(extra) - 1)
    return changed if cursor.brings(max(1, depth)) else text


def _missing(cursor: Cursor, text: str) -> str:
    """With the closing brackets of those that the text opened and nothing closes."""
    found = scan(text, cursor.language)
    owed = len(cursor.before.opened) - len(found.closed) + len(found.opened) - len(cursor.after.closed)
    number = min(len(found.opened), max(0, owed))
    if not number or found.inside:
        return text
    changed, row = text.rstrip(), text.rstrip().count("\n")
    for bracket in found.opened[::-1][:number]:
        its_row = text.count("\n", 0, bracket.at)
        if its_row != row:
            line = (cursor.line if not its_row else "") + text.split("\n")[its_row]
            changed += "\n" + line[: len(line) - len(line.lstrip(" \t"))]
            row = its_row
        changed += PAIRS[bracket.sign]
    return text if cursor.has_grammar and cursor.errors(changed) >= cursor.errors(text) else changed


def _spaces(cursor: Cursor, text: str) -> str:
    """Without spaces and line breaks at the end, unless something follows them on the line."""
    return text.rstrip() if not cursor.rest.strip() else text.rstrip("\r\n") if text.endswith("\n") else text


def _junk(cursor: Cursor, text: str) -> str:
    """Nothing, where there is one sign that says nothing: a letter at the end of a word, an operator."""
    left = text.strip()
    if len(left) != 1 or left in _ALONE:
        return text
    word = cursor.line[-1:].isalnum() or cursor.line[-1:] == "_"
    return text if left.isalnum() and not word else ""


_STEPS: tuple[tuple[str, Step], ...] = (
    ("mark", _mark),
    ("repeats_itself", _itself),
    ("repeats_above", _above),
    ("repeats_suffix", _suffix),
    ("closers_doubled", _doubled),
    ("closers_missing", _missing),
    ("spaces", _spaces),
    ("junk", _junk),
)
