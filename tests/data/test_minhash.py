"""MinHash: tokens and shingles against a plain reading of the definition, signatures against datasketch."""

from __future__ import annotations

import random
import re
import sysconfig
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from buril.data import minhash
from buril.data.minhash import Texts

WORD = re.compile(rb"[A-Za-z0-9_\x80-\xff]+")


def plain_shingles(text: bytes, size: int = 5) -> set[tuple[bytes, ...]]:
    words = WORD.findall(text)
    if not words:
        return set()
    return {tuple(words[at : at + size]) for at in range(max(1, len(words) - size + 1))}


def plain_jaccard(left: bytes, right: bytes) -> float:
    one, other = plain_shingles(left), plain_shingles(right)
    return len(one & other) / len(one | other) if one | other else 0.0


def stdlib_files(count: int, *, most: int = 40_000) -> list[bytes]:
    """Real code that is on every machine that runs Python."""
    folder = Path(sysconfig.get_paths()["stdlib"])
    found = sorted(path for path in folder.glob("*.py") if 2_000 < path.stat().st_size < most)
    return [path.read_bytes() for path in random.Random(5).sample(found, count)]


def edited(text: bytes, rate: float, seed: int) -> bytes:
    drawn = random.Random(seed)
    lines = text.split(b"\n")
    return b"\n".join(
        line if drawn.random() > rate else b"q%d = z(%d)" % (drawn.randrange(9**9), at) for at, line in enumerate(lines)
    )


pieces = st.lists(
    st.sampled_from([b"a", b"bc", b"long_identifier_of_code", b" ", b"\n", b"(", "ñ".encode(), b"x" * 17, b"\0"]),
    max_size=40,
)


@settings(max_examples=60, deadline=None)
@given(st.lists(pieces.map(b"".join), max_size=6), st.integers(1, 6))
def test_shingles_are_those_of_the_definition_whatever_stands_beside_a_text(texts: list[bytes], size: int) -> None:
    found = minhash.shingles(Texts.of(texts), size)
    for index, text in enumerate(texts):
        wanted = plain_shingles(text, size)
        assert len(found.unique(index)) == len(wanted)
        words = WORD.findall(text)
        assert found.offsets[index + 1] - found.offsets[index] == (max(1, len(words) - size + 1) if words else 0)
        alone = minhash.shingles(Texts.of([text]), size)
        assert np.array_equal(alone.unique(0), found.unique(index))


@settings(max_examples=60, deadline=None)
@given(pieces.map(b"".join), pieces.map(b"".join))
def test_exact_jaccard(left: bytes, right: bytes) -> None:
    found = minhash.shingles(Texts.of([left, right]))
    assert minhash.jaccard([found.unique(0)], [found.unique(1)])[0] == pytest.approx(plain_jaccard(left, right))


def test_words_of_any_length_and_any_ending_count() -> None:
    texts = [b"v" * 7, b"v" * 8, b"v" * 9, b"v" * 16, b"v" * 17, b"v" * 4000, b"v" * 4000 + b"w", b"w" + b"v" * 4000]
    found = minhash.shingles(Texts.of(texts))
    assert len(np.unique(found.hashes)) == len(texts)


def test_every_byte_of_a_word_counts() -> None:
    for length in (1, 7, 8, 9, 15, 16, 17, 40):
        word = b"v" * length
        texts = [word, *(word[:at] + b"w" + word[at + 1 :] for at in range(length))]
        assert len(np.unique(minhash.shingles(Texts.of(texts)).hashes)) == len(texts)


def test_order_of_words_counts() -> None:
    found = minhash.shingles(Texts.of([b"a b c d e", b"b a c d e", b"a b c d", b"a b c d e"]))
    assert len(np.unique(found.hashes)) == 3


def test_estimates_are_as_good_as_datasketch() -> None:
    datasketch = pytest.importorskip("datasketch")
    texts = []
    for at, text in enumerate(stdlib_files(40)):
        texts += [text, edited(text, (0.02, 0.06, 0.15, 0.3)[at % 4], at)]
    left = np.arange(0, len(texts), 2)
    signatures = minhash.sketch(Texts.of(texts))
    ours = minhash.similarity(signatures, left, left + 1)
    exact = np.array([plain_jaccard(texts[at], texts[at + 1]) for at in left])
    theirs = []
    for at in left:
        pair = [datasketch.MinHash(num_perm=128), datasketch.MinHash(num_perm=128)]
        for place in (0, 1):
            pair[place].update_batch([b" ".join(item) for item in plain_shingles(texts[at + place])])
        theirs.append(pair[0].jaccard(pair[1]))
    error = np.sqrt(np.mean((ours - exact) ** 2))
    theory = np.sqrt(np.mean(exact * (1 - exact) / 128))
    assert error < 1.5 * theory
    assert error < 1.5 * np.sqrt(np.mean((np.array(theirs) - exact) ** 2))
    assert np.abs(ours - exact).max() < 0.2
    assert abs(np.mean(ours - exact)) < 3 * theory / np.sqrt(len(left))


def test_short_texts_are_estimated_without_bias() -> None:
    drawn = random.Random(2)
    texts = []
    for _ in range(300):  # ten words of which the last is another: 5 of 7 shingles shared, most bins empty
        words = [b"w%d" % drawn.randrange(9**9) for _ in range(10)]
        texts += [b" ".join(words), b" ".join([*words[:-1], b"other"])]
    left = np.arange(0, len(texts), 2)
    found = minhash.similarity(minhash.sketch(Texts.of(texts)), left, left + 1)
    assert found.mean() == pytest.approx(5 / 7, abs=0.04)


def test_texts_without_words_resemble_nothing() -> None:
    signatures = minhash.sketch(Texts.of([b"", b"{}", b"{}", b"a"]))
    assert (minhash.similarity(signatures, np.array([0, 1, 1]), np.array([1, 2, 3])) == 0).all()
    assert len(minhash.link(signatures, threshold=0.7).doubt) == 0


def test_blocks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = Texts.of([*stdlib_files(12), b"", b"a b", b""])
    whole = minhash.sketch(texts)
    for num_bytes in (1, 10_000, 1 << 30):
        ranges = list(texts.blocks(num_bytes))
        assert [place for pair in ranges for place in pair][1:-1:2] == [first for first, _ in ranges][1:]
        parts = [minhash.sketch(texts.take(first, last)) for first, last in ranges]
        assert np.array_equal(np.concatenate(parts), whole)


def test_clusters_do_not_depend_on_the_order_of_texts() -> None:
    base = stdlib_files(25)
    texts = (
        base
        + [edited(text, 0.03, at) for at, text in enumerate(base[:12])]
        + [edited(text, 0.05, at) for at, text in enumerate(base[:6])]
    )
    expected = None
    for seed in range(4):
        order = list(range(len(texts)))
        random.Random(seed).shuffle(order)
        linked = minhash.link(minhash.sketch(Texts.of([texts[at] for at in order])), threshold=0.7)
        roots = linked.forest.all()
        clusters = {frozenset(order[at] for at in np.flatnonzero(roots == root)) for root in np.unique(roots)}
        doubts = {frozenset((order[left], order[right])) for left, right in linked.doubt}
        expected = expected or (clusters, doubts)
        assert (clusters, doubts) == expected
    assert max(len(cluster) for cluster in expected[0]) >= 3


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 19), st.integers(0, 19)), max_size=40), st.randoms())
def test_forest_finds_connected_components(edges: list[tuple[int, int]], drawn: random.Random) -> None:
    forest = minhash.Forest(20)
    shuffled = drawn.sample(edges, len(edges))
    half = len(edges) // 2
    for some in (shuffled[:half], shuffled[half:]):
        pairs = np.array(some, dtype=np.int64).reshape(-1, 2)
        forest.unite(pairs[:, 0], pairs[:, 1])
    root = {at: {at} for at in range(20)}
    for left, right in edges:
        joined = root[left] | root[right]
        for member in joined:
            root[member] = joined
    assert forest.all().tolist() == [min(root[at]) for at in range(20)]


def test_same_signatures_for_good() -> None:
    """A change of the kernel's hashes must come with a new `VERSION`."""
    signature = minhash.sketch(Texts.of([b"def add(left, right):\n    return left + right  # one two three\n"]))[0]
    assert minhash.VERSION == 1
    assert [int(value) for value in signature[:3]] == [4138679163, 2546599746, 2298220593]
