"""The parts of a Python file that bandit must read after ruff has read it all.

Two tools that share their tests differ in few places, and each of these has a word that must stand in the text: bandit
knows `pickle.loads` without an import, reads SQL in more forms, grades a shell command by what it runs, and has tests
that ruff lacks. bandit looks at one statement at a time, so statements of a module or of a class without such a word
are left out, and the lines that stay keep their numbers in a list. What bandit would find in the rest ruff has found
already, which a test holds on real files.
"""

from __future__ import annotations

import ast
import re
from bisect import bisect_left
from collections.abc import Collection, Iterator, Sequence
from typing import Final, NamedTuple

SAME_TESTS: Final = frozenset({"B101", "B102", "B104", "B105", "B106", "B107", "B108", "B110", "B112", "B307"})
"""Tests in which ruff sees what bandit sees, or is the stricter of the two (B105 to B107: `"pad_token": "<pad>"` is no
password); they are not run again."""

_BIDI: Final = "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u200f"
_WORDS: Final = tuple(
    word.encode()
    for word in (
        "subprocess", "popen", "os.system", "os.spawn", "os.exec", "os.startfile", "commands.", "shell=", "shell =",
        "exec_command", "requests.", "httpx.", "torch.load", "load_state_dict", "pickle", "dill.", "shelve", "marshal",
        "hashlib", "md2", "md4", "md5", "sha1", "crypto.", "cryptodome", "hazmat", "mktemp", "mark_safe", "markup",
        "mako", "environment(", "urlopen", "urlretrieve", "urlopener", "telnetlib", "ftplib", "xml.", "import xml",
        "from xml", "httpoxy", "wsgiref", "pyghmi", "unverified_context", "verify=false", "verify = false",
        "protocol_", "sslv", "ssl_version", "yaml.load", "host_key_policy", "communitydata", "usmuserdata", "chmod",
        "chown", ".extra(", "rawsql", "logging.config", "generate_private_key", "extractall", "debug=true",
        "debug = true", *_BIDI,
    )
)  # fmt: skip
_DOWNLOADS: Final = (
    b".from_pretrained(", b"load_dataset", b"hf_hub_download", b"snapshot_download",
)  # fmt: skip
_HUBS: Final = re.compile(rb"(?:from|import)[ \t]+(?:transformers|datasets|huggingface_hub)\b")
"""bandit counts a download from a hub only where one of these is imported."""
_RANDOM: Final = re.compile(rb"(?<![.\w])random\.")
_IMPORTS_RANDOM: Final = re.compile(rb"\bimport[ \t]+random\b|\bfrom[ \t]+random\b")
"""Where it is imported ruff sees its calls as bandit does."""
_VERB: Final = re.compile(
    rb"\b(SELECT|DELETE|INSERT|UPDATE)(?=[\s\\])|(?<=[\"'])(select|delete|insert|update)(?=[\s\\])"
)
"""A verb of SQL: in capitals, or at the beginning of a string; in prose neither is usual."""
_SQL_BYTES: Final = 4000
"""How far the second word of a statement of SQL may stand from its verb."""
_SECOND: Final = {b"select": b"from", b"delete": b"from", b"insert": b"into", b"update": b"set"}


class Part(NamedTuple):
    """Statements of a text, and for each line of them its number in the whole text."""

    text: str
    lines: list[int]


def part_of(text: str, seen: Collection[int] = ()) -> Part | None:
    """The statements of a Python text that bandit must read; None when there are none.

    Args:
        text: the whole text.
        seen: lines whose statements are to be read in any case, from 1.

    Raises:
        SyntaxError, ValueError, RecursionError, MemoryError: the text can't be parsed by this Python.
    """
    whole = text.replace("\r\n", "\n").replace("\r", "\n")
    source = whole.encode("utf-8", "replace")
    hits = _hits(source)
    if not hits and not seen:
        return None
    tree = ast.parse(whole)
    lines = whole.split("\n")
    if b"mark_safe" in source or any(sign in whole for sign in _BIDI):
        return Part(whole, list(range(1, len(lines) + 1)))  # bandit follows a name through the file, or reads comments
    starts = [0, *(match.end() for match in re.finditer(rb"\n", source)), len(source)]
    rows = sorted({*seen, *(_row(starts, source, hit) for hit in hits)})
    left_out: set[int] = set()
    for first, last in _unneeded(tree.body, [row for row in rows if row]):
        left_out.update(range(first, last + 1))
    kept = [number for number in range(1, len(lines) + 1) if number not in left_out]
    return Part("\n".join(lines[number - 1] for number in kept), kept)


def _hits(source: bytes) -> list[tuple[int, bytes]]:
    """Places of words, and of verbs of SQL with the word that must follow in the same statement."""
    lower = source.lower()
    words = [*_WORDS, *(_DOWNLOADS if _HUBS.search(source) else ())]
    found: list[tuple[int, bytes]] = []
    for word in words:
        at = lower.find(word)
        while at >= 0:
            found.append((at, b""))
            at = lower.find(word, at + len(word))
    if b"random." in source and not _IMPORTS_RANDOM.search(source):
        found.extend((match.start(), b"") for match in _RANDOM.finditer(source))
    for match in _VERB.finditer(source):
        second = _SECOND[match[0].lower()]
        if lower.find(second, match.end()) >= 0:
            found.append((match.start(), second))
    return found


def _row(starts: Sequence[int], source: bytes, hit: tuple[int, bytes]) -> int:
    """The line of a place; 0 for a verb of SQL without its second word nearby."""
    place, second = hit
    if second and second not in source[place : place + _SQL_BYTES].lower():
        return 0
    return bisect_left(starts, place + 1)


def _unneeded(body: Sequence[ast.stmt], rows: Sequence[int]) -> Iterator[tuple[int, int]]:
    """First and last lines of the statements that hold none of the rows; imports stay, bandit needs their names."""
    shared = _shared(body)
    for statement in body:
        first, last = _lines(statement)
        if isinstance(statement, ast.Import | ast.ImportFrom) or first in shared or last in shared:
            continue
        if not _any(rows, first, last):
            yield first, last
        elif (
            isinstance(statement, ast.ClassDef)
            and statement.body[0].lineno > statement.lineno
            and any(_any(rows, *_lines(inner)) for inner in statement.body)
        ):
            yield from _unneeded(statement.body, rows)


def _any(rows: Sequence[int], first: int, last: int) -> bool:
    return bisect_left(rows, first) < bisect_left(rows, last + 1)


def _lines(statement: ast.stmt) -> tuple[int, int]:
    """The first and the last line of a statement, decorators included."""
    decorators: list[ast.expr] = getattr(statement, "decorator_list", [])
    return min([statement.lineno, *(item.lineno for item in decorators)]), statement.end_lineno or statement.lineno


def _shared(body: Sequence[ast.stmt]) -> set[int]:
    """Lines that two statements share, as in `a = 1; b = 2`."""
    seen: set[int] = set()
    shared: set[int] = set()
    for statement in body:
        ends = set(_lines(statement))
        shared |= ends & seen
        seen |= ends
    return shared
