"""Filling in the middle: nothing is lost, nothing depends on anything but seed and row, no text becomes a sentinel."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from buril.tokens.fim import MIN_CHARACTERS, Sentinels, arrange, choose_order, cut, generator, transform

SENTINELS = Sentinels(prefix=-1, suffix=-2, middle=-3, eos=-4)


def code_points(texts: Sequence[str]) -> list[list[int]]:
    return [[ord(letter) for letter in text] for text in texts]


def put_back(ids: list[int], order: str) -> str:
    """The text that a transformed sequence was made from, by the definition of the two orders."""
    assert ids[0] == -1 and ids[-1] == -4 and ids.count(-2) == ids.count(-3) == 1
    suffix_at, middle_at = ids.index(-2), ids.index(-3)
    suffix = ids[suffix_at + 1 : middle_at]
    rest = ids[middle_at + 1 : -1]
    prefix = ids[1:suffix_at]
    if order == "spm":
        assert not prefix  # prefix and middle follow the middle sentinel in one run
    return "".join(map(chr, [*prefix, *rest, *suffix]))


@given(st.text(min_size=MIN_CHARACTERS), st.sampled_from(["psm", "spm"]), st.integers(0, 2**31), st.text())
def test_every_character_comes_back(text: str, order: str, seed: int, row_id: str) -> None:
    random = generator(seed, row_id.encode("utf-8", "replace").decode())
    ids = transform(text, order, random=random, sentinels=SENTINELS, encode=code_points)  # type: ignore[arg-type]
    assert put_back(ids, order) == text


def test_orders_are_as_the_paper_has_them() -> None:
    parts = [[1], [2], [3]]  # prefix, middle, suffix
    assert arrange(parts, "psm", SENTINELS) == [-1, 1, -2, 3, -3, 2, -4]
    assert arrange(parts, "spm", SENTINELS) == [-1, -2, 3, -3, 1, 2, -4]
    with_bos = Sentinels(prefix=-1, suffix=-2, middle=-3, eos=-4, bos=-5)
    assert arrange(parts, "psm", with_bos)[0] == -5


def test_a_row_is_cut_the_same_way_for_ever() -> None:
    text = "def area(radius):\n    return 3.14 * radius ** 2\n"
    assert cut(text, generator(7, "row")) == cut(text, generator(7, "row"))
    cuts = {cut(text, generator(7, f"row{number}")) for number in range(20)}
    assert len(cuts) > 15
    assert cut(text, generator(7, "row", 1)) != cut(text, generator(7, "row", 0))
    # A golden value: when this changes, so do the bytes of every pack, and the stage's version must go up.
    assert [len(part) for part in cut(text, generator(7, "row"))] == GOLDEN


GOLDEN = [7, 18, 23]


@pytest.mark.parametrize(("rate", "spm_rate"), [(0.5, 0.5), (0.9, 0.1), (0.0, 0.5), (1.0, 1.0)])
def test_shares_are_those_asked_for(rate: float, spm_rate: float) -> None:
    orders = [choose_order(generator(0, str(row)), rate=rate, spm_rate=spm_rate) for row in range(2000)]
    moved = [order for order in orders if order != "none"]
    assert len(moved) / len(orders) == pytest.approx(rate, abs=0.04)
    if moved:
        assert moved.count("spm") / len(moved) == pytest.approx(spm_rate, abs=0.05)
