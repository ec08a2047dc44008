"""What `buril watermark` looks at, text by text, and what the ledger knows of each: how much, and which lines."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from buril.core.errors import BurilError
from buril.core.text import _

if TYPE_CHECKING:
    from buril.code.attribution import Attributed
    from buril.serve.ledger import Found, Ledger, Match

PATH_CHARS = 44
ROW = "{name:<44} {tokens:>7} {covered:>8} {nameless:>8} {lines:>9}  {what}"
IDS = 3
"""Completions that a row names."""


@dataclass(frozen=True)
class Text:
    """What is looked at as one: a file, or the pieces that a commit added to one.

    `whole` is the file, `added` the lines that are asked about (None for all); `of_folder`: nobody named it by itself.
    """

    name: str
    parts: tuple[str, ...]
    whole: str
    added: tuple[range, ...] | None = None
    of_folder: bool = False


@dataclass(frozen=True)
class Seen:
    """What the ledger knows of a text: shares over all of its parts, completions, the nearest first, and lines."""

    text: Text
    tokens: int
    covered: float
    nameless: float
    matches: tuple[Match, ...]
    lines: Attributed

    @property
    def known(self) -> bool:
        """Whether a model that the ledger belongs to wrote some of it."""
        return bool(self.matches or self.lines.pieces)

    def record(self) -> dict[str, Any]:
        """As plain JSON."""
        listed = [{**item._asdict(), "share": round(item.share, 3)} for item in self.matches]
        shares = {"covered": round(self.covered, 3), "covered_nameless": round(self.nameless, 3)}
        lines = {"lines": self.lines.lines, "generated": self.lines.generated,
                 "pieces": [piece.record() for piece in self.lines.pieces]}  # fmt: skip
        return {
            "name": self.text.name,
            "tokens": self.tokens,
            **shares,
            "known": self.known,
            "matches": listed,
            **lines,
        }


# --- texts


def named(name: str) -> Iterator[Text]:
    """A file as one text, a folder as all texts in it that git would track.

    Raises:
        BurilError: W220 for one that can't be read.
    """
    path = Path(name)
    if name != "-" and path.is_dir():
        from buril.gate.files import Limits, find, root_of

        for target in find((path,), root_of((path,)), Limits(generated=True)).targets:
            if target.file and (text := _read(str(target.file), strict=False)):
                yield Text(target.path, (text,), text, of_folder=True)
        return
    text = _read(name)
    yield Text(name, (text,), text)


def _read(name: str, *, strict: bool = True) -> str:
    try:
        raw = sys.stdin.buffer.read() if name == "-" else Path(name).read_bytes()
        return raw.decode("utf-8", "strict" if strict else "replace")
    except UnicodeDecodeError as problem:
        raise BurilError("W220", path=name, problem=_("it is not UTF-8")) from problem
    except OSError as problem:
        raise BurilError("W220", path=name, problem=problem.strerror or str(problem)) from problem


def committed(revision: str) -> Iterator[Text]:
    """What a commit or a range added, file by file.

    Raises:
        BurilError: W232.
    """
    from buril.gate import git

    top = root()
    end, files = git.committed(top, revision)
    for path, file in files.items():
        text = git.content(top, end, path).decode("utf-8", "replace")
        yield from added_pieces(path, text, file.lines)


def root() -> Path:
    """The repository around the working folder.

    Raises:
        BurilError: W232 where there is none.
    """
    from buril.gate import git

    found = git.top(Path.cwd())
    if found is None:
        raise BurilError("W232", problem=_("`{path}` lies in no repository of git").format(path=Path.cwd()))
    return found


def added_pieces(path: str, text: str, ranges: Sequence[range] | None) -> Iterator[Text]:
    """The pieces of a file that were added, where it is text."""
    if "\0" in text:
        return
    lines = text.split("\n")
    parts = [text] if ranges is None else ["\n".join(lines[part.start - 1 : part.stop - 1]) + "\n" for part in ranges]
    if parts:
        yield Text(path, tuple(parts), text, None if ranges is None else tuple(ranges))


# --- the ledger


def looked(ledger: Ledger, text: Text) -> Seen:
    """What the ledger knows of a text. Of a folder's, only those are looked at closer of which a model wrote lines."""
    from buril.serve.ledger import NOTHING

    lines = ledger.lines(text.whole, text.added)
    skip = text.of_folder and not lines.pieces
    found: list[Found] = [NOTHING] if skip else [ledger.find(part) for part in text.parts]
    tokens = sum(item.tokens for item in found)
    covered, nameless = (
        sum(getattr(item, name) * item.tokens for item in found) / max(1, tokens)
        for name in ("covered", "covered_nameless")
    )
    best: dict[str, Match] = {}
    for match in (match for item in found for match in item.matches):
        if match.id not in best or best[match.id].share < match.share:
            best[match.id] = match
    return Seen(text, tokens, covered, nameless, tuple(sorted(best.values(), key=lambda match: -match.share)), lines)


# --- the table


def heading() -> str:
    """What the columns are."""
    heads = {"tokens": _("tokens"), "covered": _("known"), "nameless": _("renamed"), "lines": _("lines")}
    return ROW.format(name=_("text"), **heads, what=_("completions"))


def row(item: Seen) -> str:
    """A text and what is known of it."""
    ids = [f"{match.id} ({match.how} {match.share:.0%})" for match in item.matches]
    ids = ids or [f"{piece.id} ({piece.how} {piece.share:.0%})" for piece in item.lines.pieces]
    name = item.text.name if len(item.text.name) <= PATH_CHARS else "…" + item.text.name[1 - PATH_CHARS :]
    shares = {"covered": f"{item.covered:.0%}", "nameless": f"{item.nameless:.0%}"}
    lines = f"{item.lines.generated}/{item.lines.lines}"
    what = ", ".join(dict.fromkeys(ids[:IDS])) or _("unknown")
    return ROW.format(name=name, tokens=item.tokens, **shares, lines=lines, what=what)
