"""What stands in a slot made into what stands in others: SQL with placeholders and a command as a list of words.

`sql`: `Q`, what a literal with placeholders holds, and `A`, the values, become `SQL`, an expression that puts the
values into the text. `shell`: `W`, words of a list, become `CMD`, a text for a shell. Each goes both ways.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Final

from buril.data.pairing._mutation_text import Part, Parts, listed, literal, put_together, taken_apart

Slots = Mapping[str, str]
_MARK: Final = re.compile(r"\?|%s|%\((\w+)\)s|\$\d+|(?<![:\w]):([a-z]\w*)")
_NUMBER: Final = re.compile(r"(?i)(?:^|[_.])(?:id|ids|limit|offset|count|number|num|size|page|n)$|Id$|^len\(|^int\(")
_NO_QUOTES: Final = re.compile(r"(?i)\b(?:limit|offset)\s*$")
_VALUE: Final = re.compile(
    r"(?is)(?:[=<>]\s*|\b(?:like|ilike|limit|offset|between|and|values\s*\(|in\s*\()\s*|\bvalues\s*\([^)]*,\s*|\bin\s*\([^)]*,\s*)$"
)
_SQL: Final = re.compile(r"(?is)^\s*(?:select|insert|update|delete|replace|with)\b")
PLACEHOLDERS: Final = (
    ("%s", re.compile(r"psycopg|pymysql|MySQLdb|mysql\.connector|mysqlclient|django|asyncmy|aiomysql")),
    ("$", re.compile(r"[\"']pg[\"']|lib/pq|jackc/pgx|asyncpg|postgres")),
)
"""How a database writes a placeholder, and what tells that it is meant; else it is `?`."""
_SPECIAL: Final = re.compile(r"[|;&<>*$`~(){}\[\]\\!?#\n]")
_WORDS: Final = re.compile(r"(\s+)")


def to_sql(language: str, slots: Slots) -> Iterator[Slots]:
    """`Q` and `A` to `SQL`, one for each way to put a text together."""
    query = slots["Q"]
    if not _SQL.match(query):
        return
    marks = list(_MARK.finditer(query))
    values = _values(slots["A"], marks)
    if not marks or values is None:
        return
    starts, ends = [0, *(mark.end() for mark in marks)], [*(mark.start() for mark in marks), len(query)]
    pieces = [query[start:end] for start, end in zip(starts, ends, strict=True)]
    parts: list[Part] = []
    for before, value in zip(pieces, values, strict=False):
        quote = "" if _NUMBER.search(value) or _NO_QUOTES.search(before) else "'"
        parts += [Part(before + quote), Part(value, code=True), Part(quote)]
    parts.append(Part(pieces[-1]))
    for text in put_together(language, tuple(parts)):
        yield {**slots, "SQL": text}


def _values(arguments: str, marks: list[re.Match[str]]) -> list[str] | None:
    """The value of each placeholder; None where they don't go together, or are no plain values."""
    given = listed(arguments)
    if any(value.startswith(("*", "...")) or value.endswith("...") for value in given):
        return None
    names = [mark[1] or mark[2] for mark in marks]
    if any(names):
        pairs = [re.fullmatch(r"(?s)[\"']?(\w+)[\"']?\s*:\s*(.+)", value) for value in given]
        by_name = {pair[1]: pair[2] for pair in pairs if pair}
        return [by_name[name] for name in names] if all(name in by_name for name in names) else None
    if any(re.match(r"[\"']?\w+[\"']?\s*:", value) for value in given):
        return None
    return given if len(given) == len(marks) else None


def from_sql(language: str, slots: Slots) -> Iterator[Slots]:
    """`SQL` to `Q` and `A`, with the placeholders of the database that the text seems to be for."""
    parts = taken_apart(language, slots["SQL"])
    if not parts or not _SQL.match(parts[0].text) or not any(part.code for part in parts):
        return
    values: list[str] = []
    text, done = "", 0
    for number, part in enumerate(parts):
        if not part.code:
            text, done = text + part.text[done:], 0
            continue
        following = parts[number + 1].text if number + 1 < len(parts) and not parts[number + 1].code else ""
        before, after = re.search(r"'(%?)$", text), re.match(r"(%?)'", following)
        text = text[: before.start()] if before else text
        if not _VALUE.search(text) or bool(before) != bool(after):
            return
        value = part.text
        if before and after and (before[1] or after[1]):
            value = next(put_together(language, (Part(before[1]), Part(value, code=True), Part(after[1]))))
        text, done = text + "\0", len(after[0]) if after else 0
        values.append(value)
    numbers = iter(range(1, 1 + len(values)))
    mark = slots.get("mark", "?")
    query = re.sub("\0", lambda _: f"${next(numbers)}" if mark == "$" else mark, text)
    shown = literal((Part(query),))
    if shown is not None:
        yield {**slots, "Q": query, "QS": shown, "A": ", ".join(values)}


def to_command(language: str, slots: Slots) -> Iterator[Slots]:
    """`W` to `CMD`; nothing where a word is no word, or where all or none of them come from elsewhere."""
    parts: list[Part] = []
    for word in listed(slots["W"]):
        if word.startswith(("*", "...")) or word.endswith("...") or ".encode(" in word:
            return
        pieces: Parts | None = taken_apart(language, word)
        pieces = pieces if pieces is not None else (Part(word, code=True),)
        if any(not piece.code and (_SPECIAL.search(piece.text) or " " in piece.text) for piece in pieces):
            return
        parts += [*([Part(" ")] if parts else []), *pieces]
    if not any(part.code for part in parts) or not any(part.text.strip() for part in parts if not part.code):
        return
    for text in put_together(language, tuple(parts)):
        yield {**slots, "CMD": text}


def to_command_of(language: str, slots: Slots) -> Iterator[Slots]:
    """As `to_command`, where the program stands apart from its words: `P` is what its literal holds."""
    yield from to_command(language, {**slots, "W": f'"{slots["P"]}", {slots["W"]}'})


def from_command(language: str, slots: Slots) -> Iterator[Slots]:
    """`CMD` to `W`; nothing where the text is more than words."""
    parts = taken_apart(language, slots["CMD"])
    if not parts:
        return
    words: list[list[Part]] = [[]]
    for part in parts:
        if part.code:
            words[-1].append(part)
            continue
        if _SPECIAL.search(part.text):
            return
        for piece in _WORDS.split(part.text.replace("'", "").replace('\\"', "").replace('"', "")):
            if piece and not piece.strip():
                words.append([])
            elif piece:
                words[-1].append(Part(piece))
    shown = [_word(language, tuple(word)) for word in words if word]
    if shown and not shown[0].startswith(("*", "-")):
        yield {**slots, "W": ", ".join(shown), "W0": shown[0], "WS": ", ".join(shown[1:])}


def _word(language: str, parts: Parts) -> str:
    if len(parts) == 1 and parts[0].code:
        return parts[0].text
    return literal(parts) or next(put_together(language, parts))


TO_WEAK: Final[Mapping[str, Callable[[str, Slots], Iterator[Slots]]]] = {
    "sql": to_sql, "shell": to_command, "program": to_command_of,
}  # fmt: skip
TO_SECURE: Final[Mapping[str, Callable[[str, Slots], Iterator[Slots]]]] = {
    "sql": from_sql, "shell": from_command,
}  # fmt: skip
