"""Look-up: a planted span is found at its exact borders, what is not there is never told, and near copies are near."""

from __future__ import annotations

import random
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from buril.code import lexical
from buril.code.lexical import END
from buril.serve.provenance import Match, ProvenanceIndex, Query
from buril.serve.provenance._boilerplate import kind_of
from buril.serve.provenance._suffixes import suffix_array
from tests.serve.provenance.small import file, function, index_of

FILES = [file(number, "\n\n".join(function(100 * number + at) for at in range(5))) for number in range(40)]


@pytest.fixture(scope="module", params=[1 << 24, 2000], ids=["one segment", "many segments"])
def index(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> ProvenanceIndex:
    return index_of(tmp_path_factory.mktemp("index"), FILES, segment_tokens=request.param)


def verbatim(index: ProvenanceIndex, text: str, least: int = 20, **told: str) -> list[Match]:
    found = index.look_up(text, "python", query=Query(min_tokens=least), **told)
    return [match for match in found.matches if match.kind == "verbatim"]


def words(text: str) -> list[str]:
    """Tokens in plain Python, for text without comments."""
    return re.findall(r"\w+|[^\w\s]", text)


# --- the suffix array


def plainly(tokens: list[int]) -> list[int]:
    """Every place by what follows, as Python sorts lists; each end is larger than the one before."""
    ends = iter(range(len(tokens)))
    named = [(1, next(ends)) if token == int(END) else (0, token) for token in tokens]
    return sorted(range(len(tokens)), key=lambda place: named[place:])


@given(st.lists(st.lists(st.integers(0, 3), max_size=30), min_size=1, max_size=6))
def test_suffixes_are_in_the_order_of_what_follows(texts: list[list[int]]) -> None:
    tokens = [token for text in texts for token in [*text, int(END)]]
    assert suffix_array(np.array(tokens, dtype=np.uint32)).tolist() == plainly(tokens)


def test_long_repeats_are_sorted_to_their_end() -> None:
    tokens = [*([5] * 700), int(END), *([5] * 700), int(END), *([5, 6] * 300), int(END)]
    assert suffix_array(np.array(tokens, dtype=np.uint32)).tolist() == plainly(tokens)


# --- verbatim spans


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, len(FILES) - 1), st.integers(0, 10_000), st.integers(20, 120), st.integers(0, 10**6))
def test_a_planted_span_is_found_with_exact_borders(
    index: ProvenanceIndex, number: int, drawn: int, length: int, seed: int
) -> None:
    source = FILES[number].content
    every = list(re.finditer(r"\w+|[^\w\s]", source))
    start = drawn % (len(every) - length)
    planted = source[every[start].start() : every[start + length - 1].end()]
    text = f"zq{seed}\n{planted}\nqz{seed}\n"
    (best,) = [match for match in verbatim(index, text) if match.tokens >= length and match.path == FILES[number].path]
    assert text[best.start : best.end] == planted and best.tokens == length
    assert (best.line, best.end_line) == (
        source.count("\n", 0, every[start].start()) + 1, source.count("\n", 0, every[start + length - 1].start()) + 1
    )  # fmt: skip
    assert (best.row_id, best.repo, best.commit, best.license) == (
        FILES[number].row_id, FILES[number].repo, FILES[number].commit, "MIT"
    )  # fmt: skip


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, 10**6), st.integers(4, 30))
def test_what_is_told_stands_there_and_nothing_longer_is_missed(index: ProvenanceIndex, seed: int, least: int) -> None:
    """Pieces of rows, put together at random, against a search in plain Python."""
    draw = random.Random(seed)
    pieces = []
    for _ in range(5):
        source = words(draw.choice(FILES).content)
        at = draw.randrange(len(source) - 40)
        pieces.append(source[at : at + draw.randrange(2, 40)])
    said = [word for piece in pieces for word in piece]
    text = " ".join(said)
    rows = [" " + " ".join(words(file.content)) + " " for file in FILES]
    found = verbatim(index, text, least)
    spans = {(match.start, match.end) for match in found}
    for match in found:
        row = next(file for file in FILES if file.row_id == match.row_id)
        assert f" {text[match.start : match.end]} " in rows[FILES.index(row)]
        assert match.tokens >= least and len(text[match.start : match.end].split()) == match.tokens
    starts = np.cumsum([0, *(len(word) + 1 for word in said)]).tolist()
    for first in range(len(said) - least + 1):
        last = first + least
        if any(f" {' '.join(said[first:last])} " in row for row in rows):
            assert any(start <= starts[first] and starts[last] - 1 <= end for start, end in spans)


def test_layout_and_comments_do_not_hide_a_copy(index: ProvenanceIndex) -> None:
    lines = FILES[3].content.splitlines()
    commented = "\n".join(f"{line}  # note {number}" for number, line in enumerate(lines))
    spread = re.sub(r"([(,=+])", r" \1 ", FILES[3].content.replace("    ", "\t\t"))
    for text in (commented, spread, FILES[3].content.replace("'", '"')):
        (match, *_others) = verbatim(index, text)
        assert match.path == FILES[3].path and match.share == 1.0
        assert (match.line, match.end_line) == (1, len(lines))


def test_code_that_is_nowhere_is_never_told(index: ProvenanceIndex) -> None:
    for seed in range(10**6, 10**6 + 50):
        assert verbatim(index, function(seed), 30) == []


def test_one_token_fewer_is_not_told(index: ProvenanceIndex) -> None:
    planted = " ".join(words(FILES[0].content)[10:40])
    assert [match.tokens for match in verbatim(index, planted, 30)][:1] == [30]
    assert verbatim(index, planted, 31) == []


def test_only_the_answer_is_looked_up_and_what_stands_before_it_says_how_to_read_it(index: ProvenanceIndex) -> None:
    source = FILES[5].content
    cut = source.index("\n    ", len(source) // 2) + 5
    (match, *_others) = verbatim(index, source[cut:], before=source[:cut])
    assert match.start == 0 and match.end == len(source.rstrip()) - cut and match.share == 1.0
    assert match.line == source.count("\n", 0, cut) + 1
    inside = verbatim(index, '"""\n' + FILES[5].content, before='x = """ # not a comment')
    assert inside[0].tokens == len(words(FILES[5].content))


def test_an_unknown_language_is_read_in_the_way_that_finds_most(index: ProvenanceIndex) -> None:
    commented = FILES[7].content.replace("\n", "  # a comment\n")
    found = index.look_up(commented)
    assert found.matches[0].path == FILES[7].path and found.covered == 1.0


# --- near matches


def renamed(text: str) -> str:
    """Other names everywhere but in strings."""
    names = r"'[^']*'|total|value|items|left|right|count"
    return re.sub(names, lambda word: word[0] if word[0].startswith("'") else f"other_{word[0]}", text)


def test_renamed_copies_are_near_their_file(index: ProvenanceIndex) -> None:
    for row in FILES[:10]:
        found = index.look_up(renamed(row.content), "python")
        best = next(match for match in found.matches if match.row_id == row.row_id and match.kind == "near")
        assert best.score > 0.99
        assert best.line <= 3 and best.end_line >= row.content.count("\n") - 3


def test_a_renamed_function_is_placed_in_its_file(index: ProvenanceIndex) -> None:
    body = function(1102)
    (match, *_others) = (
        match for match in index.look_up(renamed(body), "python").matches if match.path == FILES[11].path
    )
    start = FILES[11].content[: FILES[11].content.index(body)].count("\n") + 1
    assert abs(match.line - start) <= 3 and abs(match.end_line - (start + body.count("\n") - 1)) <= 3


def test_what_is_not_like_any_file_is_near_none(index: ProvenanceIndex) -> None:
    texts = [Path(module).read_text() for module in (__file__, re.__file__, np.__file__, random.__file__)]
    for text in texts:
        assert [match for match in index.look_up(text, "python").matches if match.kind == "near"] == []


# --- boilerplate


def test_what_many_repositories_hold_is_told_apart(tmp_path: Path) -> None:
    idiom = "parser = make_parser(prog, description=text)\nparser.add('--verbose', action=store, help=words)\n"
    files = [file(number, function(number) + "\n" + idiom) for number in range(6)]
    index = index_of(tmp_path, files)
    found = index.look_up(function(3) + "\n" + idiom, "python")
    telling = [match for match in found.matches if not match.common]
    assert [match.path for match in telling] == ["src/m3.py"]
    alone = index.look_up(idiom, "python")
    assert {match.common for match in alone.matches} == {"repositories"} and alone.covered == 0
    assert alone.matches[0].files == alone.matches[0].repositories == 6
    assert len(alone.matches) == Query().max_files


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("import os\nimport sys\nfrom a.b import (\n    c,\n    d,\n)\n", "imports"),
        ('#include <stdio.h>\n#include "a.h"\n', "imports"),
        ("import os\nx = compute(os)\ny, z = other(x)\n", ""),
        ("0, 0, 0, 0, 1, 0, 0, 0, 1, 1, 0,\n", "repetitive"),
        ("}\n  }\n}\n", "repetitive"),
        ("def first(a, b):\n    return a + b\n", ""),
        ('by the authors, see AUTHORS.\n    :license: BSD, see LICENSE for details.\n"""', "notice"),
        ("license = self.license\ncopyright = read(license, author)\n", ""),
    ],
)
def test_kinds_of_boilerplate(text: str, kind: str) -> None:
    assert kind_of(text.encode().splitlines(), 1, 3, length=30) == kind


def test_a_long_span_is_never_common(tmp_path: Path) -> None:
    body = function(1, statements=20)
    index = index_of(tmp_path, [file(number, body, path=f"p{number}.py") for number in range(8)])
    (match, *_others) = index.look_up(body, "python").matches
    assert match.repositories == 8 and match.common == ""


# --- which files are told


def test_one_file_of_every_licence_is_told(tmp_path: Path) -> None:
    body = function(1)
    files = [file(number, body, license="GPL-3.0-only" if number == 9 else "MIT") for number in range(10)]
    found = index_of(tmp_path, files).look_up(body, "python").matches
    assert [match.license for match in found] == ["MIT", "MIT", "MIT", "GPL-3.0-only"]
    assert {match.files for match in found} == {10}


def test_a_file_that_holds_a_span_twice_is_one_file(tmp_path: Path) -> None:
    body = function(1)
    (match,) = index_of(tmp_path, [file(0, body + "x = 1\n" + body)]).look_up(body, "python").matches
    assert match.files == 1 and match.line == 1


# --- odd texts


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\0\xff\x00binary\x00" * 40,
        "\ud800 lone",
        "é = 'ñandú' + 日本\n" * 9,
        "x" * 300_000,
        "#" * 100,
        "'''\n" * 50,
    ],
)
def test_any_text_may_be_looked_up(index: ProvenanceIndex, text: str) -> None:
    found = index.look_up(text, "python")
    assert not found.matches and found.covered == 0
    assert index.look_up(text).tokens >= 0


def test_characters_are_counted_not_bytes(index: ProvenanceIndex, tmp_path: Path) -> None:
    body = "ñandú = número + 日本 * größe(ñandú, número)\n" * 3
    small = index_of(tmp_path, [file(0, "# café\n" + body)])
    text = "naïve = 1\n" + body
    (match,) = [match for match in small.look_up(text, "python").matches if match.kind == "verbatim"]
    assert text[match.start : match.end] == body.rstrip() and (match.line, match.end_line) == (2, 4)


def test_a_huge_file_of_one_line(tmp_path: Path) -> None:
    line = ";".join(f"v{number}=f({number * 7},w{number % 91})" for number in range(8_000))
    index = index_of(tmp_path, [file(0, line, language="javascript", path="bundle.js")])
    piece = ";".join(line.split(";")[4_000:4_030])
    (match, *_others) = index.look_up(piece, "javascript").matches
    assert (match.line, match.end_line, match.share) == (1, 1, 1.0)
    whole = index.look_up(line, "javascript")
    assert whole.covered == 1.0


def test_an_empty_training_set_knows_nothing(tmp_path: Path) -> None:
    index = index_of(tmp_path, [])
    assert index.look_up(function(1), "python").matches == () and index.self_test() == []


def test_files_without_tokens(tmp_path: Path) -> None:
    index = index_of(tmp_path, [file(0, ""), file(1, "# only a comment\n"), file(2, function(2)), file(3, "\n")])
    (match,) = index.look_up(function(2), "python").matches
    assert match.path == "src/m2.py"
    assert lexical.spelt(b"", "python").starts.tolist() == []


def test_the_self_test_fails_where_the_arrays_do_not_belong_together(tmp_path: Path) -> None:
    index = index_of(tmp_path, FILES[:5])
    assert index.self_test() == []
    index.parts[0].suffixes = index.parts[0].suffixes[::-1].copy()
    assert index.self_test() == ["src/m0.py"]


def test_runs_longer_than_is_looked_at_everywhere_are_followed_to_their_ends(tmp_path: Path) -> None:
    """Two rows with a long part in common: the text goes on as the one that is not the first in any order."""
    shared = "\n".join(function(seed) for seed in range(20))
    rows = [
        file(number, f"begin_{number} = 0\n{shared}\nend_{number} = {number}\nx = {number} * 2\n")
        for number in range(9)
    ]
    index = index_of(tmp_path, rows)
    for row in rows:
        told = [match for match in verbatim(index, f"other()\n{row.content}") if match.row_id == row.row_id]
        assert told[0].tokens == len(words(row.content)) > 1500
        assert (told[0].line, told[0].end_line) == (1, row.content.count("\n"))
    pieces = f"new()\n{rows[1].content}new()\n{rows[2].content}"
    best = {match.row_id: match.tokens for match in reversed(verbatim(index, pieces)) if match.files == 1}
    assert all(best[row.row_id] == len(words(row.content)) for row in rows[1:3])


def test_spans_that_overlap_are_told_both(tmp_path: Path) -> None:
    tokens = [f"t{number}" for number in range(31)]
    index = index_of(tmp_path, [file(0, " ".join(tokens[:-1])), file(1, " ".join(tokens[1:]))])
    text = " ".join(tokens)
    found = {(match.path, text[match.start : match.end]) for match in verbatim(index, text, 30)}
    assert found == {("src/m0.py", " ".join(tokens[:-1])), ("src/m1.py", " ".join(tokens[1:]))}
