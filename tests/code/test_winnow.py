"""Fingerprints: what formatters and renaming change does not change them, and any shared run of tokens shares one."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from buril.code import winnow
from tests.pace import pace

CODE = '''def total(values, *, start=0):
    """Add them up."""
    result = start  # from here on
    for value in values:
        if value is None:
            continue
        result += value * 2
    print("total", result, start, len(values), 'a long text that makes the line too long for it', sep="; ")
    return {"result": result, "start": start, "half": result / 2.5E1}
'''


def shared(one: str, other: str, shape: tuple[int, int]) -> float:
    """The share of a text's fingerprints that the other has."""
    tokens = [winnow.lexical(text) for text in (one, other)]
    if shape == winnow.NAMELESS:
        tokens = [winnow.nameless(item) for item in tokens]
    first, second = (set(winnow.prints(item, shape).hashes.tolist()) for item in tokens)
    return len(first & second) / len(first)


def test_what_formatters_change_is_not_seen() -> None:
    shown = "x = f('a',)  # call\n"
    assert winnow.lexical(shown) == ["x", "=", "f", "(", '"a', ")"] == winnow.lexical('x=f("a")  ;\n/* b */ // c')
    done = subprocess.run(
        [sys.executable, "-m", "ruff", "format", "--isolated", "--line-length", "40", "-"],
        input=CODE, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout != CODE
    assert winnow.lexical(done.stdout) == winnow.lexical(CODE)
    assert winnow.lexical(re.sub(r"#.*", "", CODE)) == winnow.lexical(CODE)


def test_a_comment_in_a_string_is_none() -> None:
    assert '"see https://x # y' in winnow.lexical('a = "see https://x # y" + b')
    assert winnow.lexical("#include <a.h>\n# not this\n#[derive(Debug)]")[:3] == ["#", "include", "<"]


def test_renaming_is_seen_with_names_and_not_without() -> None:
    other = re.sub(r"\b(total|values|start|result|value)\b(?!\")", r"other_\1", CODE).replace('"other_', '"')
    assert shared(CODE, other, winnow.NAMED) < 0.3
    assert shared(CODE, other, winnow.NAMELESS) == 1.0
    assert winnow.nameless(["return", "x", '"x', "7"]) == ["return", "a", '"x', "7"]


@given(st.lists(st.sampled_from("abcdef()=+"), min_size=0, max_size=60), st.integers(0, 40), st.integers(0, 40))
def test_a_shared_run_shares_a_fingerprint(run: list[str], before: int, after: int) -> None:
    k, window = winnow.NAMED
    other = ["q"] * before + run + ["z"] * after
    first, second = (winnow.prints(tokens, winnow.NAMED) for tokens in (run, other))
    assert (len(run) < k) == (len(first.hashes) == 0)
    if len(run) >= k + window - 1:
        assert set(first.hashes.tolist()) & set(second.hashes.tolist())


@given(st.lists(st.sampled_from(["a", "b", "(", ")", "1"]), min_size=6, max_size=200))
def test_no_gap_is_wider_than_a_window(tokens: list[str]) -> None:
    found = winnow.prints(tokens, winnow.NAMED)
    k, window = winnow.NAMED
    places = found.places.tolist()
    assert places == sorted(set(places)) and places[0] < window
    assert all(second - first <= window for first, second in zip(places, places[1:], strict=False))
    assert len(tokens) - k - places[-1] < window


def test_hashes_stay_what_they_are() -> None:
    """Records that were written are compared with them for years: a change needs another `VERSION`."""
    found = winnow.prints(winnow.lexical(CODE), winnow.NAMED)
    assert winnow.VERSION == 1
    assert [int(value) for value in found.hashes[:3]] == [8074735581109948803, 7153283496133763672, 4829176346074241973]
    assert winnow.digest(winnow.lexical(CODE))[:16] == "f48a6170fcdc4dad"


@pytest.mark.parametrize("text", ["", "   \n", "\x00", "'''", "/*", "\ud800", "é" * 100, '"' * 999, "(" * 5000])
def test_any_text_is_read(text: str) -> None:
    tokens = winnow.lexical(text)
    winnow.digest(tokens)
    winnow.prints(tokens, winnow.NAMED)


def test_hostile_texts_take_no_long_time() -> None:
    import time

    began = time.process_time()
    for text in ("'" * 20_000, "/*" * 20_000, '"\\' * 20_000, "'''" * 10_000, "a'" * 20_000, "#" * 50_000):
        winnow.lexical(text)
    assert time.process_time() - began < 5 * pace()
