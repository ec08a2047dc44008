"""What values remember of themselves is what they would compute anew."""

from __future__ import annotations

import random
from typing import Any

from buril.scanners._taint.ir import NOTHING
from buril.scanners._taint.rules import Matcher
from buril.scanners._taint.value import MAX_PATH, Taint, Value


def made(source: random.Random, depth: int) -> Value:
    """A value with containers up to a depth."""
    taints = frozenset(Taint(source.choice("abc"), "a", 1) for _ in range(source.randrange(3)))
    parts: Any = None
    if depth and source.random() < 0.8:
        parts = {source.choice(["x", "y", 0, 1]): made(source, depth - 1) for _ in range(source.randrange(3))}
    rest = made(source, depth - 1) if depth and source.random() < 0.4 else None
    const = source.choice([NOTHING, 1, True, "a", None])
    return Value(taints=taints, parts=parts, rest=rest, const=const, path=source.choice(["", "p"]))


def inside(value: Value, depth: int) -> set[Taint]:
    found = set(value.taints)
    if depth:
        for part in [*(value.parts or {}).values(), *([value.rest] if value.rest is not None else [])]:
            found |= inside(part, depth - 1)
    return found


def key(value: Value, depth: int) -> Any:
    deeper = depth > 0 and value.parts is not None
    parts = tuple((str(name), key(part, depth - 1)) for name, part in (value.parts or {}).items()) if deeper else None
    rest = key(value.rest, depth - 1) if depth and value.rest is not None else None
    return value.taints, type(value.const).__name__, value.const, parts, rest, value.path, value.lead


def test_inputs_and_keys_are_those_of_a_slow_walk() -> None:
    source = random.Random(3)
    values = [made(source, source.randrange(7)) for _ in range(400)]
    for _twice in range(2):  # what was remembered, and what was not
        for value in values:
            for depth in source.sample(range(7), 4):
                assert value.inside(depth) == inside(value, depth)
    for one in values:
        other = source.choice(values)
        assert (one.key() == other.key()) == (key(one, 3) == key(other, 3))
        assert one.key() == one.but().key() and hash(one.key()) == hash(one.but().key())


def test_a_changed_value_remembers_nothing_of_the_one_it_came_from() -> None:
    taint = Taint("a", "a", 1)
    plain = Value(parts={"x": Value()}, path="p")
    assert plain.inside() == frozenset() and plain.key() is plain.key()
    changed = plain.but(parts={"x": Value(parts={"y": Value(taints=frozenset([taint]))})})
    assert changed.inside() == {taint} and changed.key() != plain.key() and (changed.depth, plain.depth) == (2, 1)
    assert plain.but(parts=None, rest=None).depth == 0 and plain.but(path="a" * (MAX_PATH + 1)).path == "?"
    assert Value(const=1).key() != Value(const=True).key()


def test_a_path_is_matched_once() -> None:
    matcher = Matcher([("a.*", 1), ("*.b", 2), ("a.b", 3)])
    assert matcher.find("a.b") == [2, 3, 1] and matcher.find("a.b") is matcher.find("a.b") and matcher.find("c") == []
