from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from buril.sandboxes._codec import Unencodable, decode, encode, same, show

SCALARS = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5) | st.binary(max_size=4)
)
KEYS = st.booleans() | st.integers() | st.text(max_size=4) | st.tuples(st.integers(), st.text(max_size=2))
VALUES = st.recursive(
    SCALARS | st.sets(KEYS, max_size=4) | st.frozensets(st.integers(), max_size=3),
    lambda inner: st.lists(inner, max_size=4) | st.tuples(inner, inner) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=12,
)


@given(VALUES)
def test_round_trip_through_json(value: Any) -> None:
    data = json.loads(json.dumps(encode(value)))
    assert decode(data) == value and type(decode(data)) is type(value)
    assert same(data, encode(value))
    assert isinstance(show(data), str)


@given(VALUES, VALUES)
def test_same_says_what_python_says_of_other_values(first: Any, second: Any) -> None:
    if first != second and "float" not in repr((type(first), type(second))):
        assert not same(encode(first), encode(second)) or repr(first) != repr(second)


@pytest.mark.parametrize(
    ("got", "expected", "equal"),
    [
        (1, 1.0, True),
        (True, 1, False),
        (1, True, False),
        (0.1 + 0.2, 0.3, True),
        (0.3001, 0.3, False),
        (math.nan, math.nan, True),
        ([1], (1,), False),
        ({1, 2}, {2, 1}, True),
        ({1}, frozenset({1}), True),
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}, True),
        ({1: 0}, {1.0: 0}, True),
        (None, False, False),
        ("1", 1, False),
        (10**400, 10**400, True),
        (10**400, 1.0, False),
        ({1: "x"}, {1: "y"}, False),
        (b"a", "a", False),
        (1 + 2j, 1 + 2j, True),
        ([], {}, False),
        (set(), {}, False),
        (math.inf, math.inf, True),
    ],
)
def test_equality(got: Any, expected: Any, *, equal: bool) -> None:
    assert same(encode(got), encode(expected)) is equal


@pytest.mark.parametrize(
    "data",
    [
        {"dict": [[1]]},
        {"dict": 3},
        {"set": "abc"},
        {"set": None},
        {},
        {"a": 1, "b": 2},
        {"int": "zz"},
        {"int": None},
        {"float": []},
        {"tuple": {"tuple": []}},
        [[[]]],
        {"frozenset": [], "set": []},
        {"dict": [[[], []], 1]},
        {"unknown": [1]},
        None,
        True,
        "x",
        5,
    ],
)
@pytest.mark.parametrize("expected", [{1: 2}, {1, 2}, (1,), 7, "y", [1], b"x", 1j, None, 2.5, False])
def test_malformed_answers_are_unequal_not_errors(data: Any, expected: Any) -> None:
    assert same(data, encode(expected)) is False or (data is None and expected is None)
    assert isinstance(show(data), str)


def test_only_exact_types_cross() -> None:
    class Sly(int):
        def __eq__(self, other: object) -> bool:
            return True

        __hash__ = int.__hash__

    loop: list[Any] = []
    loop.append(loop)
    for value in (Sly(3), [Sly(3)], object(), iter([]), {}.keys(), loop, range(3)):
        with pytest.raises(Unencodable):
            encode(value)
