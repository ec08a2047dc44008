"""Structure: what carries syntax, and that what is called illegal is."""

from __future__ import annotations

import ast

import pytest

from buril.code.parse import parse
from buril.code.structure import END, Gap, blocks, breaks, by_indentation, illegal_signs, leaves, structure

PYTHON = b'''import os


def total(items, rate):
    """Adds (all) of them: [not] {these}."""
    found = [item * rate for item in items]  # a comment )
    if not found:
        return 0, {}
    return sum(found), {"a": "x]y"}
'''


def marked(language: str, source: bytes) -> list[bytes]:
    return [source[start:end] for start, end in structure(language, source, parse(language, source)).spans]


def test_python_marks_keywords_brackets_delimiters_quotes_and_indentation() -> None:
    found = marked("python", PYTHON)
    line = [b"\n    ", b"[", b"for", b"in", b"]"]
    assert any(found[place : place + 5] == line for place in range(len(found)))
    assert {b"import", b"def", b"(", b",", b")", b":", b"if", b"not", b"return", b"\n        ", b'"""', b'"'} <= {
        *found
    }
    assert not {b"total", b"items", b"=", b"*", b"0", b"os"} & {*found}
    inside = PYTHON.index(b"(all)"), PYTHON.index(b"comment )") + 8
    spans = structure("python", PYTHON, parse("python", PYTHON)).spans
    assert not any(start <= place < end for place in inside for start, end in spans)


def test_indentation_counts_where_it_makes_blocks() -> None:
    assert by_indentation("python") and not by_indentation("java")
    assert marked("java", b"class A {\n    int f() { return 1; }\n}\n") == [
        b"class", b"{", b"int", b"(", b")", b"{", b"return", b";", b"}", b"}",
    ]  # fmt: skip


def gap_after(source: bytes, text: bytes, language: str = "python") -> Gap:
    end = source.index(text) + len(text)
    gaps = structure(language, source, parse(language, source)).gaps
    return next(gap for gap in gaps if gap.byte == end)


@pytest.mark.parametrize(
    ("after", "illegal"),
    [
        (b"def", {")", "]", "}", ":", ","}),
        (b"total(", {"]", "}", ":", ",", END}),
        (b"items, rate", {"]", "}", END}),
        (b"item * ", None),
        (b"[item *", {")", "]", "}", ":", ",", END}),
        (b"return 0", {")", "]", "}"}),
        (b'{"a"', {")", "]", END}),
    ],
)
def test_illegal_signs_are_those_no_program_has_there(after: bytes, illegal: set[str] | None) -> None:
    if illegal is None:  # a space: no token ends there
        with pytest.raises(StopIteration):
            gap_after(PYTHON, after)
        return
    assert set(illegal_signs("python", gap_after(PYTHON, after))) == illegal


def test_no_gap_is_inside_a_string_or_a_comment() -> None:
    gaps = structure("python", PYTHON, parse("python", PYTHON)).gaps
    for text in (b"(all)", b"[not]", b"comment", b"x]"):
        begin = PYTHON.index(text)
        assert not any(begin <= gap.byte < begin + len(text) for gap in gaps)


def test_what_breaks_for_tree_sitter_breaks_for_python_too() -> None:
    """Every sign that is called illegal and confirmed: Python's own parser takes no text with it either."""
    tree = parse("python", PYTHON)
    found = 0
    for gap in structure("python", PYTHON, tree).gaps:
        for sign in illegal_signs("python", gap):
            if breaks("python", PYTHON, tree, byte=gap.byte, sign=sign):
                found += 1
                edited = PYTHON[: gap.byte] + (b"" if sign == END else sign.encode() + PYTHON[gap.byte :])
                with pytest.raises(SyntaxError):
                    ast.parse(edited)
    assert found > 100


def test_what_does_not_break_is_said_not_to() -> None:
    tree = parse("python", PYTHON)
    assert not breaks("python", PYTHON, tree, byte=PYTHON.index(b"items]") + 5, sign=",")  # past its statement's end
    damaged = PYTHON.replace(b"(items", b"((items")
    assert not breaks("python", damaged, parse("python", damaged), byte=damaged.index(b"total"), sign=")")


@pytest.mark.parametrize(
    ("language", "source", "after", "sign"),
    [
        ("javascript", b"function f(a) { return [a, 1]; }\n", b"[a", ")"),
        ("typescript", b"const f = (a: number): number => (a + 1);\n", b"(a + 1", "]"),
        ("go", b"package a\n\nfunc f(a int) int { return (a + 1) }\n", b"(a + 1", "]"),
        ("java", b"class A { int f(int a) { return g(a, 1); } }\n", b"g(a", "}"),
        ("c", b"int f(int a) { return g(a, 1); }\n", b"g(a", "}"),
        ("rust", b"fn f(a: i32) -> i32 { g(a, 1) }\n", b"g(a", "]"),
    ],
)
def test_other_languages(language: str, source: bytes, after: bytes, sign: str) -> None:
    gap = gap_after(source, after, language)
    assert sign in illegal_signs(language, gap)
    assert breaks(language, source, parse(language, source), byte=gap.byte, sign=sign)


def test_blocks_are_whole_parts_of_the_syntax() -> None:
    found = [PYTHON[start:end] for start, end in blocks(parse("python", PYTHON))]
    assert b"return 0, {}" in found and b"(items, rate)" not in found and b"(found)" in found
    assert any(part.startswith(b"if not found:") and part.endswith(b"{}") for part in found)
    assert PYTHON not in found
    together = b"".join(PYTHON[leaf.start_byte : leaf.end_byte] for leaf in leaves(parse("python", PYTHON)))
    assert together.replace(b" ", b"").replace(b"\n", b"") == PYTHON.replace(b" ", b"").replace(b"\n", b"")
