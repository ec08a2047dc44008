"""MinHash: tokens and shingles against a plain reading of the definition, signatures against datasketch."""

from __future__ import annotations

import random
import re
import subprocess
import sys
import sysconfig
import tempfile
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from buril.code import minhash
from buril.code.minhash import Texts
from buril.data import _pairs
from buril.data._sorted import descending, sort_table
from tests.data import plain
from tests.pace import pace

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
    one, other = found.unique(0), found.unique(1)
    starts = np.array([[0, len(one)], [len(one), len(one) + len(other)]])
    sets = _pairs.Sets(np.concatenate([one, other]), starts)
    assert _pairs.jaccard(sets, 0, 1) == pytest.approx(plain_jaccard(left, right))


any_bytes = st.one_of(pieces.map(b"".join), st.binary(max_size=60), st.text(max_size=40).map(str.encode))


@settings(max_examples=40, deadline=None)
@given(st.lists(any_bytes, max_size=6), st.integers(1, 7), st.sampled_from([16, 128]))
def test_the_compiled_kernel_is_the_plain_one(texts: list[bytes], size: int, num_perm: int) -> None:
    laid, order = Texts.of(texts), minhash.order(num_perm).tolist()
    found = minhash.shingles(laid, size)
    assert [found.hashes[a:b].tolist() for a, b in zip(found.offsets, found.offsets[1:], strict=False)] == [
        plain.shingles(text, size) for text in texts
    ]
    signatures = minhash.sketch(laid, size=size, num_perm=num_perm).tolist()
    assert signatures == [plain.signature(plain.shingles(text, size), order) for text in texts]
    assert [tuple(pair) for pair in minhash.digests(laid).tolist()] == [plain.digest(text) for text in texts]


def test_the_compiled_kernel_is_the_plain_one_on_real_code() -> None:
    texts = [b"  x", *stdlib_files(6, most=9_000)]
    order = minhash.order(128).tolist()
    signatures = minhash.sketch(Texts.of(texts)).tolist()
    assert signatures == [plain.signature(plain.shingles(text, 5), order) for text in texts]


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


def test_blocks_change_nothing() -> None:
    texts = Texts.of([*stdlib_files(12), b"", b"a b", b""])
    whole = minhash.sketch(texts)
    for num_bytes in (1, 10_000, 1 << 30):
        ranges = list(texts.blocks(num_bytes))
        assert [place for pair in ranges for place in pair][1:-1:2] == [first for first, _ in ranges][1:]
        parts = [minhash.sketch(texts.take(first, last)) for first, last in ranges]
        assert np.array_equal(np.concatenate(parts), whole)


def bucket(texts: list[bytes]) -> tuple[np.ndarray, _pairs.Signed]:
    """All texts as if they shared one key."""
    numbers = np.arange(len(texts))
    records = np.stack([np.zeros(len(texts)), numbers], axis=1).astype(np.uint64)
    return records, _pairs.Signed(minhash.sketch(Texts.of(texts)), numbers)


def clusters(records: np.ndarray, signed: _pairs.Signed, at_once: int) -> list[int]:
    parent, start = np.arange(len(records)), 0
    found = np.empty((8192, 3), dtype=np.uint64)
    while start < len(records):
        first = max(0, start - _pairs.NEIGHBOURS)
        filled, done = _pairs.bucket_pairs(records[first : first + at_once], signed, _pairs.Rule(0.7, 0.6, 0.8), found)
        sure = found[:filled][found[:filled, 2] == 1]
        _pairs.unite(parent, sure)
        start = first + done
    _pairs.flatten(parent)
    return parent.tolist()


def test_a_bucket_gives_the_same_clusters_however_it_is_cut() -> None:
    base = stdlib_files(30, most=9_000)
    texts = [*base, *(edited(text, 0.01, at) for at, text in enumerate(base))]
    texts += [edited(base[0], 0.01, at) for at in range(90)]
    random.Random(3).shuffle(texts)
    records, signed = bucket(texts)
    whole = clusters(records, signed, 10_000)
    assert 30 <= len(set(whole)) < 45, "only pairs more than 64 apart are missed"
    assert clusters(records, signed, 4 * _pairs.NEIGHBOURS) == whole
    assert clusters(records, signed, 2 * _pairs.NEIGHBOURS) == whole


def test_a_huge_bucket_of_strangers_is_linear() -> None:
    """20,000 different texts with one key: 64 comparisons each, not 20,000."""
    drawn = np.random.default_rng(1)
    rows = drawn.integers(0, 1 << 31, (20_000, 16), dtype=np.uint32)
    records = np.stack([np.zeros(20_000), np.arange(20_000)], axis=1).astype(np.uint64)
    found = np.empty((8192, 3), dtype=np.uint64)
    rule = _pairs.Rule(0.7, 0.6, 0.8)
    _pairs.bucket_pairs(records[:100], _pairs.Signed(rows, np.arange(20_000)), rule, found)
    began = time.process_time()
    assert _pairs.bucket_pairs(records, _pairs.Signed(rows, np.arange(20_000)), rule, found) == (0, 20_000)
    assert time.process_time() - began < 2 * pace()


@settings(max_examples=12, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 3)), max_size=60), st.integers(1, 12), st.booleans())
def test_tables_are_sorted_the_same_whatever_the_memory(rows: list[tuple[int, int]], most: int, unique: bool) -> None:
    table = np.array(rows, dtype=np.uint64).reshape(-1, 2)
    expected = sorted(set(rows)) if unique else sorted(rows)
    with tempfile.TemporaryDirectory() as folder:
        chunks = [table[start : start + 7] for start in range(0, len(table), 7)]
        found = sort_table(chunks, Path(folder) / "t.npy", width=2, memory=most * 64, unique=unique)
        assert [tuple(row) for row in found.tolist()] == expected
        assert [path.name for path in Path(folder).iterdir()] == ["t.npy"]


@given(st.lists(st.floats(allow_nan=False, width=64), min_size=1))
def test_descending_numbers(values: list[float]) -> None:
    found = descending(np.array(values))
    assert [values[at] + 0.0 for at in np.argsort(found, kind="stable")] == sorted(values, reverse=True)


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
    assert minhash.VERSION == 2
    assert [int(value) for value in signature[:3]] == [2813456572, 3041021270, 2137946056]


def python(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()


def test_numba_is_loaded_by_the_first_use_and_not_before() -> None:
    code = "import sys, buril.cli.main, buril.data.dedup, buril.code.blind; print('numba' in sys.modules)"
    assert python(code) == "False"


@pytest.mark.slow  # it compiles
def test_without_a_folder_for_machine_code_the_kernel_still_works() -> None:
    code = """
import numba.core.caching as caching
caching.CacheImpl._locator_classes = []
from buril.code import minhash
print(minhash.sketch(minhash.Texts.of([b"a b c"]), num_perm=16)[0, 0])
"""
    assert python(code) == str(minhash.sketch(Texts.of([b"a b c"]), num_perm=16)[0, 0])
