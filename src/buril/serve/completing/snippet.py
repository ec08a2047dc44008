"""Snippet: a piece of another file that a prompt shows, and what the guards must know of it."""

from __future__ import annotations

from typing import Literal, NamedTuple

Kind = Literal["definitions", "similar", "given"]
_OTHERS = frozenset(("vendor", "vendored", "node_modules", "third_party", "thirdparty", "third-party"))
_OTHERS = _OTHERS | {"site-packages", "external", "extern", "deps", "bower_components"}


class Snippet(NamedTuple):
    """Lines of a file.

    `kind`: `definitions` are signatures of what is used near the cursor, `similar` are lines that share its words,
    `given` is what a client sent along, the latest last.
    `line` is the first of them, from 1. `origin` is that of `buril.serve.guards.Piece`.
    """

    path: str
    text: str
    language: str
    kind: Kind
    line: int = 1

    @property
    def origin(self) -> Literal["trusted", "third_party"]:
        """Whether others wrote it, by the folder it stands in."""
        return "third_party" if is_foreign(self.path) else "trusted"


def is_foreign(path: str) -> bool:
    """Whether a path lies in a folder for what others wrote.

    Example:
        `is_foreign("web/node_modules/left-pad/index.js")` is true.
    """
    return not _OTHERS.isdisjoint(path.lower().split("/")[:-1])
