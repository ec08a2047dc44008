"""Cache: completions that were written already, found again while their text is typed, and those still on their way.

All of it stays in this process' memory, within a bound in bytes, and nothing of it is written anywhere. A scope is what
must be equal for an answer to hold: the model's digest and the parameters. In deterministic mode nothing is looked up.
"""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

MAX_BYTES = 8_000_000
MOST_LOOKED_AT = 64
"""Completions of one scope and suffix that are compared with what is typed."""
_OVERHEAD = 200
How = Literal["exact", "typed", "indented"]


class Hit(NamedTuple):
    """What is left to write of a completion that is known, how it was found, and what was said when it was put."""

    text: str
    how: How
    told: Any = None


class Kept(NamedTuple):
    """A completion with its place."""

    prefix: str
    suffix: str
    text: str
    told: Any = None
    at: float = 0.0

    @property
    def size(self) -> int:
        """Its bytes, about."""
        return len(self.prefix) + len(self.suffix) + len(self.text) + _OVERHEAD


def scope_of(model_digest: str, parameters: Mapping[str, object], *, path: str = "") -> str:
    """The name of what must be equal for an answer to hold.

    Args:
        model_digest: of the weights in use, adapter included.
        parameters: all that changes what is written (`max_tokens`, `temperature`, guards, context, …).
        path: of the file, where the prompt names it.
    """
    told = json.dumps([model_digest, dict(parameters), path], sort_keys=True, default=str)
    return hashlib.sha256(told.encode("utf-8", "surrogatepass")).hexdigest()


class Suggestions:
    """Completions that were written, the latest kept.

    Args:
        max_bytes: what they may take together.
        max_age_s: seconds after which one is not found any more.

    Example:
        After `put(scope, "x = ", "", "foo(1)")`, `get(scope, "x = fo", "")` → `Hit("o(1)", "typed")`
    """

    def __init__(self, max_bytes: int = MAX_BYTES, *, max_age_s: float = math.inf) -> None:
        self.max_bytes, self.max_age_s = max_bytes, max_age_s
        self.num_bytes = 0
        self._kept: OrderedDict[tuple[str, str, str], Kept] = OrderedDict()
        self._by_suffix: dict[tuple[str, str], OrderedDict[str, None]] = {}

    def __len__(self) -> int:
        return len(self._kept)

    def put(self, scope: str, prefix: str, suffix: str, text: str, *, told: Any = None) -> None:
        """Remember a completion; an empty one too (there is nothing to show, which need not be asked again)."""
        key = (scope, suffix, prefix)
        self._drop(key)
        kept = Kept(prefix, suffix, text, told, time.monotonic())
        if kept.size > self.max_bytes:
            return
        self._kept[key] = kept
        self._by_suffix.setdefault(key[:2], OrderedDict())[prefix] = None
        self.num_bytes += kept.size
        while self.num_bytes > self.max_bytes:
            self._drop(next(iter(self._kept)))

    def _drop(self, key: tuple[str, str, str]) -> None:
        kept = self._kept.pop(key, None)
        if kept is not None:
            self.num_bytes -= kept.size
            held = self._by_suffix[key[:2]]
            del held[key[2]]
            if not held:
                del self._by_suffix[key[:2]]

    def get(self, scope: str, prefix: str, suffix: str) -> Hit | None:
        """What is known for a place: the same, one whose text was typed since, or one indented otherwise since."""
        oldest = time.monotonic() - self.max_age_s
        recent = list(self._by_suffix.get((scope, suffix), ()))[::-1][:MOST_LOOKED_AT]
        for before in dict.fromkeys((prefix, *recent)):
            kept = self._kept.get((scope, suffix, before))
            if kept is not None and kept.at < oldest:
                self._drop((scope, suffix, before))
            elif kept is not None:
                same = Hit(kept.text, "exact") if before == prefix else None
                found = same or typed_along(kept, prefix) or reindented(kept, prefix)
                if found is not None:
                    self._kept.move_to_end((scope, suffix, before))
                    return found._replace(told=kept.told)
        return None


def typed_along(kept: Kept, prefix: str) -> Hit | None:
    """What is left of a completion after its beginning was typed; None where something else was, or all of it."""
    if not prefix.startswith(kept.prefix):
        return None
    typed = prefix[len(kept.prefix) :]
    left = kept.text[len(typed) :]
    return Hit(left, "typed") if kept.text.startswith(typed) and left else None


def reindented(kept: Kept, prefix: str) -> Hit | None:
    """A completion of a blank line after that line was indented otherwise: its later lines move along."""
    old, new = (text[text.rfind("\n") + 1 :] for text in (kept.prefix, prefix))
    if (
        old.strip()
        or len(prefix) - len(new) != len(kept.prefix) - len(old)
        or not prefix.startswith(_head(kept.prefix))
    ):
        return None
    spaces = new[: len(new) - len(new.lstrip(" \t"))]
    first, _, rest = kept.text.partition("\n")
    whole = old + first
    own = whole[: len(whole) - len(whole.lstrip(" \t"))]
    text = whole[len(own) :] + ("\n" + _moved(rest, own, spaces) if rest else "")
    typed = new[len(spaces) :]
    left = text[len(typed) :]
    return Hit(left, "indented") if text.startswith(typed) and left.strip() else None


def _head(prefix: str) -> str:
    return prefix[: prefix.rfind("\n") + 1]


def _moved(lines: str, old: str, new: str) -> str:
    """Lines with the indentation `old` at their beginning replaced by `new`."""
    return "\n".join(new + line[len(old) :] if line.startswith(old) else line for line in lines.split("\n"))


class Running(NamedTuple):
    """A request on its way that will answer another as well: its ticket, and the characters to leave out of its text.

    Where `skip` is longer than what is written so far, the rest must come out as it was typed, or the join fails.
    """

    ticket: int
    skip: int


class InFlight:
    """Requests on their way, so that a key that agrees with what is being written starts none of its own."""

    def __init__(self) -> None:
        self._next = 0
        self._running: dict[int, tuple[str, Kept]] = {}

    def start(self, scope: str, prefix: str, suffix: str) -> int:
        """A ticket for a request that begins now."""
        self._next += 1
        self._running[self._next] = (scope, Kept(prefix, suffix, ""))
        return self._next

    def grow(self, ticket: int, text: str) -> None:
        """Say what a request has written so far."""
        if ticket in self._running:
            scope, kept = self._running[ticket]
            self._running[ticket] = (scope, kept._replace(text=text))

    def end(self, ticket: int) -> None:
        """A request has ended, or was given up."""
        self._running.pop(ticket, None)

    def join(self, scope: str, prefix: str, suffix: str) -> Running | None:
        """The latest request that agrees with what was typed since it began; None where none does."""
        for ticket, (other, kept) in reversed(self._running.items()):
            if other != scope or kept.suffix != suffix or not prefix.startswith(kept.prefix):
                continue
            typed = prefix[len(kept.prefix) :]
            if kept.text.startswith(typed) or typed.startswith(kept.text):
                return Running(ticket, len(typed))
        return None

    def stale(self, scope: str, prefix: str, suffix: str) -> list[int]:
        """Tickets of the scope that what is typed now has made useless: worth giving up, to free the engine."""
        joined = self.join(scope, prefix, suffix)
        return [
            ticket
            for ticket, (other, kept) in self._running.items()
            if other == scope
            and (joined is None or ticket != joined.ticket)
            and not (kept.suffix == suffix and kept.prefix.startswith(prefix))
        ]
