"""Abstract values: what is known of a value at a place, and of all values at once (`State`).

A value may be tainted (it comes, changed or not, from somebody who is not trusted), a constant, a container whose slots
are known one by one, something with a dotted path (a module, a member, what a call gave), or code of the same file.
Values never change: an assignment to a slot makes another value. A taint has an identity, so that what a test says of
one value (`if name in ALLOWED`) holds for all that was made from the same input.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from buril.scanners._taint.ir import NOTHING

ALL = "*"
"""Stands for every kind of harm."""
MAX_PARTS, MAX_TAINTS, MAX_PATH, MAX_DEPTH = 64, 12, 160, 4
"""More slots, more inputs in one value, longer paths or deeper containers than these are not kept apart."""
_SAME_ROLE = (
    ("@shell", re.compile(r"(?:.*[/\\])?(?:(?:ba|da|z|k|c)?sh|cmd(?:\.exe)?)")),
    ("@shell.runs", re.compile(r"-l?c|/[cC]")),
)
Facts = frozenset[tuple[str, str]]
"""Inputs, by identity, that can do no harm of a kind (or `ALL`) any more."""
NO_FACTS: Facts = frozenset()


class Taint(NamedTuple):
    """One input. `origin` is `remote`, `local` (who starts the program), `param`, or `random` for what can be guessed.

    `safe` are kinds made harmless. `built`: it is by now a part of something, rather than the whole.
    """

    id: str
    label: str
    line: int
    origin: str = "remote"
    built: bool = False
    safe: frozenset[str] = frozenset()


class Value:
    """What is known of one value. `lead` is how its text begins for sure; `facts` what holds when it is true, or false.

    `parts` are slots by key or members by name, `rest` what any other slot may hold; `code` is a function or a class of
    this file with what it can see, and `owner` the object that a method belongs to.
    """

    __slots__ = ("_key", "code", "const", "depth", "facts", "lead", "owner", "parts", "path", "rest", "taints")

    def __init__(self, **known: Any) -> None:
        self.taints: frozenset[Taint] = known.get("taints") or frozenset()
        self.const: Any = known.get("const", NOTHING)
        self.parts: Mapping[Any, Value] | None = known.get("parts")
        self.rest: Value | None = known.get("rest")
        path: str = known.get("path") or ""
        self.path = path if len(path) <= MAX_PATH else "?"
        self.code: Any = known.get("code")
        self.owner: Value | None = known.get("owner")
        self.lead: str = known.get("lead") or ""
        self.facts: tuple[Facts, Facts] = known.get("facts") or (NO_FACTS, NO_FACTS)
        self._key: Any = None
        inner = [*self.parts.values()] if self.parts else []
        if self.rest is not None:
            inner.append(self.rest)
        self.depth: int = 1 + max([value.depth for value in inner]) if inner else 0

    def but(self, **known: Any) -> Value:
        """The same value but for what is told."""
        kept = {name: getattr(self, name) for name in self.__slots__ if name not in ("_key", "depth")}
        return Value(**{**kept, **known})

    def inside(self, depth: int = 4) -> frozenset[Taint]:
        """The inputs in it and in all its slots."""
        if not self.parts and self.rest is None:
            return self.taints
        found = set(self.taints)
        if depth:
            for part in (self.parts or {}).values():
                found |= part.inside(depth - 1)
            if self.rest is not None:
                found |= self.rest.inside(depth - 1)
        return frozenset(found)

    def slot(self, key: Any) -> Value:
        """What stands at a key; where it is not known, what any slot may hold."""
        if self.parts is not None:
            try:
                if key is not NOTHING and key in self.parts:
                    return self.parts[key]
            except TypeError:
                key = NOTHING
            if key is NOTHING:
                return joined([*self.parts.values(), *([self.rest] if self.rest is not None else [])])
        found = self.rest if self.rest is not None else EMPTY
        return joined([found, Value(taints=self.taints)]) if self.taints else found

    def with_slot(self, key: Any, value: Value) -> Value:
        """The container with a slot set; at an unknown key any slot may be it."""
        parts = dict(self.parts or {})
        if value.depth >= MAX_DEPTH:
            value = Value(taints=value.inside(), path=value.path, owner=value.owner)
        if key is NOTHING or not _hashable(key) or (len(parts) >= MAX_PARTS and key not in parts):
            rest = joined([self.rest, value]) if self.rest is not None else value
            return self.but(
                const=NOTHING, parts={name: joined([part, value]) for name, part in parts.items()}, rest=rest
            )
        return self.but(const=NOTHING, parts={**parts, key: value})

    def key(self, depth: int = 3) -> Any:
        """Something equal for values that the engine treats alike."""
        if self._key is None or depth != 3:
            parts: Any = None
            if depth and self.parts is not None:
                parts = tuple((str(name), part.key(depth - 1)) for name, part in self.parts.items())
            rest = self.rest.key(depth - 1) if depth and self.rest is not None else None
            const = self.const if _hashable(self.const) else str(self.const)
            code = id(self.code[0]) if isinstance(self.code, tuple) else None
            made = (self.taints, type(const).__name__, const, parts, rest, self.path, code, self.lead)
            if depth != 3:
                return made
            self._key = made
        return self._key


EMPTY = Value()


def _hashable(value: Any) -> bool:
    try:
        hash(value)
    except TypeError:
        return False
    return True


def joined(values: Iterable[Value]) -> Value:
    """What may be any of some values."""
    found: Value | None = None
    for value in values:
        found = value if found is None else _both(found, value)
    return found if found is not None else EMPTY


def _both(one: Value, other: Value) -> Value:
    if one is other or (one.parts is None and other.parts is None and one.rest is None and _same(one, other)):
        return one
    taints = one.taints | other.taints
    same = type(one.const) is type(other.const) and bool(one.const == other.const)
    parts = rest = None
    if one.parts is not None or other.parts is not None:
        parts, rest = _slots(one, other)
    elif one.rest is not None or other.rest is not None:
        rest = joined([item for item in (one.rest, other.rest) if item is not None])
    return Value(
        taints=frozenset(sorted(taints)[:MAX_TAINTS]) if len(taints) > MAX_TAINTS else taints,
        const=one.const if same else NOTHING, parts=parts, rest=rest, path=_path(one, other),
        code=one.code if one.code is not None else other.code,
        owner=one.owner if one.owner is not None else other.owner,
        lead=one.lead if one.lead == other.lead else "",
        facts=(_either(one, other, 0), _either(one, other, 1)),
    )  # fmt: skip


def _either(one: Value, other: Value, way: int) -> Facts:
    """What holds when either of two is true (`way` 0), or not (1); what is never so says nothing against it."""
    never = way == 0
    if isinstance(one.const, bool) and one.const is not never:
        return other.facts[way]
    if isinstance(other.const, bool) and other.const is not never:
        return one.facts[way]
    return one.facts[way] & other.facts[way]


def _same(one: Value, other: Value) -> bool:
    """Whether two values without slots are alike."""
    alike = one.const is other.const and one.code is other.code and other.rest is None
    return alike and (one.taints, one.path, one.lead, one.facts) == (other.taints, other.path, other.lead, other.facts)


def _path(one: Value, other: Value) -> str:
    if one.path == other.path or other.const is None:
        return one.path or _role(one, other)
    return other.path if one.const is None else _role(one, other)


def _role(one: Value, other: Value) -> str:
    """What is known of two constants that do the same: one shell or another, and what makes it run a text."""
    for path, pattern in _SAME_ROLE:
        if all(item.path == path or (isinstance(item.const, str) and pattern.fullmatch(item.const))
               for item in (one, other)):  # fmt: skip
            return path
    return ""


def _slots(one: Value, other: Value) -> tuple[dict[Any, Value], Value | None]:
    left, right = one.parts or {}, other.parts or {}
    parts = {name: _both(part, right[name]) if name in right else part for name, part in left.items()}
    parts.update({name: part for name, part in right.items() if name not in left})
    rests = [value for value in (one.rest, other.rest) if value is not None]
    return parts, joined(rests) if rests else None


class State:
    """The variables at a place, and the inputs that tests have shown harmless on the way there."""

    __slots__ = ("cleared", "outer", "variables")

    def __init__(self, variables: dict[str, Value], cleared: Facts = NO_FACTS, outer: State | None = None) -> None:
        self.variables, self.cleared, self.outer = variables, cleared, outer

    def copy(self, facts: Facts = NO_FACTS) -> State:
        """A way that goes on from here, knowing more."""
        return State(dict(self.variables), self.cleared | facts, self.outer)

    def find(self, name: str) -> Value | None:
        """A variable, in this scope or one around it."""
        scope: State | None = self
        while scope is not None:
            found = scope.variables.get(name)
            if found is not None:
                return found
            scope = scope.outer
        return None


def without(value: Value, cleared: Facts, depth: int = 3) -> Value:
    """A value without the inputs that are harmless by some facts."""
    taints = set()
    for taint in value.taints:
        kinds = {kind for name, kind in cleared if name == taint.id}
        if ALL not in kinds:
            taints.add(taint._replace(safe=taint.safe | kinds) if kinds else taint)
    parts, rest = value.parts, value.rest
    if depth and parts is not None:
        parts = {name: without(part, cleared, depth - 1) for name, part in parts.items()}
    if depth and rest is not None:
        rest = without(rest, cleared, depth - 1)
    return value.but(taints=frozenset(taints), parts=parts, rest=rest)


def concerned(value: Value, cleared: Facts) -> bool:
    """Whether facts say something of a value."""
    names = {name for name, _kind in cleared}
    return any(taint.id in names for taint in value.inside())


def _settled(state: State, common: Facts) -> State:
    """A state whose own facts are in its values, before it meets one that does not share them."""
    own = state.cleared - common
    if not own:
        return state
    variables = {
        name: without(value, own) if concerned(value, own) else value for name, value in state.variables.items()
    }
    return State(variables, state.cleared, state.outer)


def met(states: Iterable[State | None]) -> State | None:
    """Where ways come together again; a way that ended is none (None when all did)."""
    ways = [state for state in dict.fromkeys(states) if state is not None]
    if len(ways) > 1:
        common = frozenset.intersection(*(state.cleared for state in ways))
        ways = [_settled(state, common) for state in ways]
    found: State | None = None
    for state in ways:
        if found is None:
            found = state
            continue
        variables = dict(found.variables)
        for name, value in state.variables.items():
            before = variables.get(name)
            variables[name] = value if before is None or before is value else _both(before, value)
        found = State(variables, found.cleared & state.cleared, found.outer)
    return found
