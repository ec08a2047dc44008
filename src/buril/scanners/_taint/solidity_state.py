"""What is known of values and of the way to a place, in Solidity, and what a comparison says.

An origin is a word: `param:x`, `sender`, `value` (the ether that came along), `state:x` (storage), `mine` (storage
that belongs to who calls), `time`, `block`, `balance`, `signer`, `answer` (of other code), `hash:7` and `sum:7` (made
in line 7). A fact is what a test has shown: `auth` (who calls was compared with somebody), `trusted` (with one, not one
of many), `own` (it was the caller's own), `tested:param:x`, `known:param:x` (it was found in storage).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NamedTuple

Words = frozenset[str]
NONE: Final[Words] = frozenset()


class Val(NamedTuple):
    """A value: its origins, the storage that it stands for, its type, and what it says when it is true, or not."""

    origins: Words = NONE
    alias: str = ""
    type: str = ""
    yes: Words = NONE
    no: Words = NONE
    key: bool = False
    """Whether it is one of many that storage holds by a key."""


class Pending(NamedTuple):
    """A call that handed over control, and the storage that had been read by then."""

    line: int
    sure: bool
    read: Words


class Way:
    """What is known at a place on all ways to it."""

    __slots__ = ("calls", "dead", "facts", "locals", "marks", "reads", "sums", "writes")

    def __init__(self, variables: dict[str, Val]) -> None:
        self.locals = variables
        self.facts: Words = NONE
        self.reads: Words = NONE
        self.writes: Words = NONE
        self.marks: Words = NONE
        self.sums: frozenset[tuple[int, Words]] = frozenset()
        self.calls: frozenset[Pending] = frozenset()
        self.dead = False

    def copy(self, facts: Words = NONE) -> Way:
        """A way that goes on from here, knowing more."""
        made = Way(dict(self.locals))
        for name in ("reads", "writes", "marks", "sums", "calls"):
            setattr(made, name, getattr(self, name))
        made.facts = self.facts | facts
        return made

    def become(self, other: Way) -> None:
        """Take over what another way knows, but for its variables."""
        for name in ("facts", "reads", "writes", "marks", "sums", "calls"):
            setattr(self, name, getattr(other, name))


def met(ways: Iterable[Way | None]) -> Way | None:
    """Where ways come together; None where none goes on."""
    alive = [way for way in ways if way is not None and not way.dead]
    if not alive:
        return None
    made = alive[0].copy()
    for way in alive[1:]:
        made.facts &= way.facts
        for name in ("reads", "writes", "marks", "sums", "calls"):
            setattr(made, name, getattr(made, name) | getattr(way, name))
        for name, value in way.locals.items():
            before = made.locals.get(name)
            made.locals[name] = value if before is None or before == value else joined([before, value])
    return made


def joined(values: Iterable[Val]) -> Val:
    """A value that may be any of some."""
    found: Val | None = None
    for value in values:
        if found is None:
            found = value
        else:
            found = Val(
                found.origins | value.origins, found.alias or value.alias, found.type or value.type,
                found.yes & value.yes, found.no & value.no, found.key or value.key,
            )  # fmt: skip
    return found if found is not None else Val()


def told(operator: str, left: Val, right: Val) -> tuple[Words, Words]:
    """What a comparison says when it holds, and when not."""
    words = left.origins | right.origins
    sums = any(word.startswith("sum:") for word in words)  # what ran over by then says nothing of its parts
    both = {f"tested:{word}" for word in words if word == "value" or word.startswith("state:")}
    both |= {f"tested:{word}" for word in words if word.startswith("param:") and not sums}
    if "answer" in words:
        both.add("tested:state:@answer")
    if "mine" in words:
        both.add("own")
    if "signer" in words and "zero" in words:
        both.add("signer")
    said: set[str] = set()
    if operator in ("==", "!=") and any(word.startswith("state:") for word in words):
        said |= {f"known:{word}" for word in words if word.startswith("param:")}
    for one, other in ((left, right), (right, left)):
        if operator not in ("==", "!=") or not {"sender", "signer"} & one.origins:
            continue
        if any(word.startswith(("state:", "fixed", "answer")) or word == "const" for word in other.origins):
            several = other.key  # each has an own: nobody is trusted thereby
            said |= {"auth", "own"} if several else {"auth", "trusted", "own"}
            said |= {f"by:{other.alias}"} if "sender" in one.origins else set()
        elif other.origins & {"this"}:
            said |= {"auth", "trusted", "own"}
        elif any(word.startswith("param:") for word in other.origins):
            said.add("own")
    if "sender" in words and operator in ("==", "!="):  # that somebody is not who is asked for says nothing
        said |= {word for word in both if word.startswith("tested:state:")}
        both -= said
    if operator == "!=":
        return frozenset(both), frozenset(both | said)
    return frozenset(both | said), frozenset(both)
