"""Changes of a text: what is put where, and the imports that it then needs."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from buril.data.pair import Claim

_IMPORT: Final = {
    "python": r"(?:import|from) [\w.]+.*$",
    "javascript": r"(?:import\b.*|(?:const|let|var) .*=\s*require\(.*)$",
    "java": r"import [\w.]+(?:\.\*)?;$",
    "go": r"import (?:[\w.]+ )?\"[^\"]+\"$",
    "php": r"use [\w\\]+;$",
    "c": r"#\s*include\b.*$",
}
_ONLY_COMMON: Final = re.compile(r"(?:const|let|var) (\w+) = require\(\"([^\"]+)\"\);")
_TOKEN: Final = re.compile(r"(\s*)(\w+|[^\w\s])")
_IN_BLOCK: Final = re.compile(r"(?m)^import \($")


class Edit(NamedTuple):
    """Text that takes the place of the bytes from `start` to `end`."""

    start: int
    end: int
    text: str


class Change(NamedTuple):
    """A rewrite that was found to be possible in a text."""

    name: str
    cwe: str
    edits: tuple[Edit, ...]
    imports: tuple[str, ...] = ()
    claim: Claim = "scanner"


def edited(text: str, edits: Iterable[Edit]) -> str:
    """The text with the edits made; of two that overlap the later one is left out."""
    source, end, parts = text.encode(), 0, []
    for edit in sorted(edits, key=lambda edit: (edit.start, edit.end)):
        if edit.start >= end:
            parts += [source[end : edit.start], edit.text.encode()]
            end = edit.end
    return b"".join([*parts, source[end:]]).decode()


def laid_out(before: str, after: str) -> str:
    """The text `after` with the line breaks and spaces of `before` where both have the same words."""
    old, new = (_TOKEN.findall(text) for text in (before, after))
    matcher = difflib.SequenceMatcher(
        None, [token for _gap, token in old], [token for _gap, token in new], autojunk=False
    )
    parts: list[str] = []
    for kind, start, end, first, last in matcher.get_opcodes():
        kept = old[start:end] if kind == "equal" else new[first:last]
        parts += [gap + token for gap, token in kept]
    shown = "".join(parts).strip()
    return shown if shown.split() and "".join(shown.split()) == "".join(after.split()) else after


def with_imports(text: str, imports: Sequence[str], language: str) -> str:
    """The text with the lines that import something, where it has them not; after those that it has."""
    for line in imports:
        if not _has(text, line):
            text = _with_import(text, line, language)
    return _without_unused(text) if language == "go" else text


def _has(text: str, line: str) -> bool:
    if (common := _ONLY_COMMON.fullmatch(line)) is not None:
        name = re.escape(common[1])
        return re.search(rf"\bimport (?:\* as )?{name}\b|\b{name}\s*=\s*require\(", text) is not None
    if line.startswith('import "'):
        return re.search(rf"(?m)^\s*(?:import )?{re.escape(line[7:])}$", text) is not None
    return re.search(rf"(?m)^\s*{re.escape(line)}\s*(?:#.*)?$", text) is not None


def _with_import(text: str, line: str, language: str) -> str:
    kind = "javascript" if language in ("typescript", "tsx") else "c" if language == "cpp" else language
    common = _ONLY_COMMON.fullmatch(line)
    if common and re.search(r"(?m)^import\b.*\bfrom\b", text):
        line = f'import {common[1]} from "{common[2]}";'
    if language == "go" and (block := _IN_BLOCK.search(text)):
        return f"{text[: block.end()]}\n\t{line[7:]}{text[block.end() :]}"
    last = max(re.finditer(rf"(?m)^{_IMPORT[kind]}", text), key=re.Match.end, default=None)
    if last is not None and not last[0].endswith(("(", "\\", "{")):
        return f"{text[: last.end()]}\n{line}{text[last.end() :]}"
    first = re.match(r"(?:#!.*\n|<\?php\s*\n|package .*\n|\s*\n)+", text) if language != "python" else None
    place = first.end() if first else 0
    return f"{text[:place]}{line}\n{'' if last else chr(10)}{text[place:]}"


def _without_unused(text: str) -> str:
    """Go: the text without imports that nothing in it names, which its compiler takes for errors."""
    lines = text.split("\n")
    kept = []
    for line in lines:
        imported = re.fullmatch(r"\s*(?:import )?(?:(\w+) )?\"([\w./-]+)\"", line)
        name = imported and (imported[1] or re.sub(r"/v\d+$", "", imported[2]).rsplit("/", 1)[-1])
        if name and name != "_" and not re.search(rf"\b{re.escape(name)}\.", text.replace(line, "", 1)):
            continue
        kept.append(line)
    return re.sub(r"(?m)^import \(\n\)\n", "", "\n".join(kept))
