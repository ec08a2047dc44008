"""Blind shingles: what they keep, what they don't see, and what they leave alone."""

from __future__ import annotations

import random

import numpy as np
import pyarrow as pa
import pytest

from buril.code import blind
from buril.code._keywords import FAMILIES
from buril.code.minhash import EMPTY, Texts
from tests.data import plain

CODE = """
def first(values, limit):
    total = 0
    for value in values:
        if value < limit:
            total = total + value * 3
    return total if total else first(values, limit - 1)

def second(rows):
    return [first(row, len(row)) for row in rows if row] + [first(rows, 7)]

def third(left, right, middle):
    for item in left:
        if item in right:
            middle = middle + item
    return middle
"""


def windows(text: str, language: str = "python") -> list[int]:
    laid = Texts.of([text.encode()])
    return blind.shingles(laid, blind.families(pa.array([language]))).of(0).tolist()


def long(seed: int, count: int = 60) -> str:
    """Code of no repetition, long enough that comments don't count."""
    drawn = random.Random(seed)
    names = [f"name{n}" for n in range(9)]
    return "".join(
        f"if {drawn.choice(names)} {drawn.choice('+-*/%<>')} {drawn.choice(names)}: {drawn.choice(names)} = {drawn.choice(names)}[{n}]\n"
        for n in range(count)
    )


def test_windows_are_equal_where_the_plain_ones_are() -> None:
    found, wanted = windows(CODE * 2), plain.blind(CODE * 2, blind.WINDOW)
    assert len(found) == len(wanted)
    assert len(set(found)) == len(set(wanted)) == len(set(zip(found, wanted, strict=True)))


def test_a_consistent_renaming_changes_nothing_and_another_does() -> None:
    text = long(1)
    assert windows(text.replace("name", "other")) == windows(text)
    assert windows(text.replace("name3", "x")) == windows(text)
    assert windows(text.replace("name3", "name4")) != windows(text), "two names became one"
    assert windows(text.replace("if", "while")) != windows(text)
    assert windows(text.replace("[7]", "[8]")) != windows(text)


@pytest.mark.parametrize(
    ("language", "comment"),
    [("python", "# {}\n"), ("c", "// {}\n"), ("c", "/* {} \n {} */"), ("lua", "-- {}\n"), ("ocaml", "(* {} *)"), ("erlang", "% {}\n")],
)  # fmt: skip
def test_comments_count_in_short_texts_only(language: str, comment: str) -> None:
    one, other = comment.replace("{}", "it's one"), comment.replace("{}", "another thing")
    assert windows(one + long(1), language) == windows(other + long(1), language) == windows(long(1), language)
    short = long(1, 6)
    assert windows(one + short, language) != windows(other + short, language)


@pytest.mark.parametrize(
    ("language", "string"),
    [("python", '"{}"'), ("python", "'{}'"), ("python", '"""{}\n{}"""'), ("javascript", "`{}\n{}`"), ("c", '"\\"{}"')],
)
def test_what_stands_in_strings_is_no_name(language: str, string: str) -> None:
    one, other = (string.replace("{}", word) + "\n" for word in ("some word", "other word"))
    assert windows(one + long(1), language) != windows(other + long(1), language)


def test_what_has_no_names_or_too_little_code_resembles_nothing() -> None:
    texts = Texts.of([long(1).encode(), long(1).encode(), b"def f(x):\n    return x\n", b""])
    families = blind.families(pa.array(["css", None, "python", "python"]))
    assert families[0] == -1
    assert families[1] == 0
    signatures = blind.sketch(texts, families)
    assert [bool((row == EMPTY).all()) for row in signatures] == [True, False, True, True]
    assert np.array_equal(np.diff(blind.shingles(texts, families).offsets) > 0, [False, True, False, False])


def test_families_do_not_meet() -> None:
    assert not set(windows(long(1), "python")) & set(windows(long(1), "c"))
    names = [name for family, _style, _words in FAMILIES for name in family]
    assert len(names) == len(set(names))


def test_same_windows_for_good() -> None:
    """A change of the tokens, the keywords or the hashes must come with a new `VERSION`."""
    assert blind.VERSION == 1
    assert [sum(windows(CODE, name)) % 10**6 for name in ("python", "c", "ruby")] == [942485, 504623, 682693]
