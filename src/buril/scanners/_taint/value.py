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
_SAYS_NOTHING: tuple[Facts, Facts] = (NO_FACTS, NO_FACTS)


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


_NO_TAINTS: frozenset[Taint] = frozenset()


class Value:
    """What is known of one value. `lead` is how its text begins for sure; `facts` what holds when it is true, or false.

    `parts` are slots by key or members by name, `rest` what any other slot may hold; `code` is a function or a class of
    this file with what it can see, and `owner` the object that a method belongs to.
    """

    __slots__ = (
        "_inside",
        "_keys",
        "code",
        "const",
        "depth",
        "facts",
        "lead",
        "owner",
        "parts",
        "path",
        "rest",
        "taints",
    )

    def __init__(self, **known: Any) -> None:
        get = known.get
        self.taints: frozenset[Taint] = get("taints") or _NO_TAINTS
        self.const: Any = get("const", NOTHING)
        self.parts: Mapping[Any, Value] | None = get("parts")
        self.rest: Value | None = get("rest")
        path: str = get("path") or ""
        self.path = path if len(path) <= MAX_PATH else "?"
        self.code: Any = get("code")
        self.owner: Value | None = get("owner")
        self.lead: str = get("lead") or ""
        self.facts: tuple[Facts, Facts] = get("facts") or _SAYS_NOTHING
        self._keys: list[Key | None] | None = None
        self._inside: frozenset[Taint] | None = None
        self.depth: int = _depth(self.parts, self.rest) if self.parts or self.rest is not None else 0

    def but(self, **known: Any) -> Value:
        """The same value but for what is told."""
        made = object.__new__(Value)
        made.taints, made.const, made.parts, made.rest = self.taints, self.const, self.parts, self.rest
        made.path, made.code, made.owner, made.lead = self.path, self.code, self.owner, self.lead
        made.facts, made.depth = self.facts, self.depth
        made._keys = made._inside = None
        for name, value in known.items():
            setattr(made, name, value)
        if "path" in known:
            made.path = "" if not made.path else made.path if len(made.path) <= MAX_PATH else "?"
        if "parts" in known or "rest" in known:
            made.depth = _depth(made.parts, made.rest) if made.parts or made.rest is not None else 0
        return made

    def inside(self, depth: int = 4) -> frozenset[Taint]:
        """The inputs in it and in all its slots, so many containers deep."""
        if not self.parts and self.rest is None:
            return self.taints
        whole = self.depth <= depth
        if whole and self._inside is not None:
            return self._inside
        found = set(self.taints)
        if depth:
            for part in (self.parts or {}).values():
                found |= part.inside(depth - 1)
            if self.rest is not None:
                found |= self.rest.inside(depth - 1)
        made = frozenset(found)
        if whole:
            self._inside = made
        return made

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
        """Something equal for values that the engine treats alike, so many containers deep (at most 3)."""
        if depth > self.depth:
            depth = self.depth + 1 if self.parts is not None else self.depth  # deeper there is nothing
        if self._keys is None:
            self._keys = [None] * 4
        made = self._keys[depth]
        if made is None:
            parts: Any = None
            if depth and self.parts is not None:
                parts = tuple([(str(name), part.key(depth - 1)) for name, part in self.parts.items()])
            rest = self.rest.key(depth - 1) if depth and self.rest is not None else None
            const = self.const if _hashable(self.const) else str(self.const)
            code = id(self.code[0]) if isinstance(self.code, tuple) else None
            made = Key((self.taints, type(const).__name__, const, parts, rest, self.path, code, self.lead))
            self._keys[depth] = made
        return made


class Key:
    """What a value is known by. Its hash is computed once: the same parts lie in many values."""

    __slots__ = ("_hash", "made")

    def __init__(self, made: tuple[Any, ...]) -> None:
        self.made, self._hash = made, hash(made)

    def __hash__(self) -> int:
        return self._hash

    def __eq__(self, other: object) -> bool:
        return self is other or (isinstance(other, Key) and self._hash == other._hash and self.made == other.made)


def _depth(parts: Mapping[Any, Value] | None, rest: Value | None) -> int:
    """How many containers deep something is that has slots."""
    deepest = rest.depth if rest is not None else 0
    for part in parts.values() if parts else ():
        deepest = max(deepest, part.depth)
    return 1 + deepest


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
    if not all(isinstance(item.const, str) or item.path.startswith("@shell") for item in (one, other)):
        return ""
    for path, pattern in _SAME_ROLE:
        if all(item.path == path or (isinstance(item.const, str) and pattern.fullmatch(item.const))
               for item in (one, other)):  # fmt: skip
            return path
    return ""


def _slots(one: Value, other: Value) -> tuple[dict[Any, Value], Value | None]:
    left, right = one.parts or {}, other.parts or {}
    parts = dict(left)
    for name, part in right.items():
        before = left.get(name)
        parts[name] = part if before is None else before if before is part else _both(before, part)
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
    taints = value.inside()
    if not taints or not cleared:
        return False
    names = {name for name, _kind in cleared}
    return any(taint.id in names for taint in taints)


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
