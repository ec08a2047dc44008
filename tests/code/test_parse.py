from __future__ import annotations

import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from buril.code import parse as parsing
from buril.code.language import languages
from buril.code.parse import HardParse, comments, error_bytes, error_ratio, functions, parse
from buril.core.errors import BurilError

FUNCTIONS = {
    "python": ("def f(x):\n    return x\n", "f", "    return x"),
    "javascript": ("const f = (x) => { return x }", "f", " return x }"),
    "typescript": ("class A { private f(y: string) { return y } }", "f", " return y }"),
    "tsx": ("const f = () => <div/>;", "f", "<div/>"),
    "java": ("class A { int f(int x) { return x; } }", "f", " return x; }"),
    "go": ("package a\nfunc (s *T) f() int { return 1 }\n", "f", " return 1 }"),
    "rust": ("impl A { pub fn f(x: i32) -> i32 { x } }", "f", " x }"),
    "c": ("int *f(int x) { return 0; }", "f", " return 0; }"),
    "cpp": ("int A::f(int x) { return x; }", "A::f", " return x; }"),
    "csharp": ("class A { int f() => 1; }", "f", " 1;"),
    "php": ("<?php\nfunction f($x) { return 1; }", "f", " return 1; }"),
    "ruby": ("def f(x)\n  x + 1\nend\n", "f", "  x + 1\nend"),
    "swift": ("func f(x: Int) -> Int { return x }", "f", " return x }"),
    "kotlin": ("fun f(x: Int) = x", "f", " x"),
    "scala": ("object A { def f(x: Int): Int = { x } }", "f", " x }"),
    "lua": ("local function f(x) return x end", "f", "return x end"),
    "perl": ("sub f { return 1; }", "f", " return 1; }"),
    "r": ("f <- function(x) { x }", "f", " x }"),
    "julia": ("function f(x)\n  x\nend", "f", "  x\nend"),
    "bash": ("f() { echo 1; }", "f", " echo 1; }"),
    "haskell": ("f x = x + 1\n", "f", " x + 1"),
    "ocaml": ("let f x y = x + y", "f", "x + y"),
    "dart": ("class A { void f() { x(); } }", "f", " x(); }"),
    "solidity": ("contract A { function f() public { x = 1; } }", "f", " x = 1; }"),
    "sql": ("CREATE FUNCTION f(x int) RETURNS int AS $$ SELECT 1; $$ LANGUAGE sql;", "f", None),
}
COMMENTS = {
    "python": ("# c\nx = '# no'\n", ["# c"]),
    "javascript": ("/* a */ x // b\n", ["/* a */", "// b"]),
    "rust": ("/// doc\nfn f() {}\n", ["/// doc"]),
    "c": ('char *s = "/* no */"; // b', ["// b"]),
    "lua": ("-- c\n--[[ b ]]", ["-- c", "--[[ b ]]"]),
    "perl": ("# c\n=pod\n\nx\n\n=cut\n", ["# c", "=pod\n\nx\n\n=cut"]),
    "haskell": ("-- c\nf = 1 {- b -}\n", ["-- c", "{- b -}"]),
    "sql": ("SELECT 1; -- c\n/* b */", ["-- c", "/* b */"]),
    "html": ("<p><!-- c --></p>", ["<!-- c -->"]),
    "css": ("/* c */ a { b: c }", ["/* c */"]),
    "dart": ("/// d\nint x = 1; // c\n", ["/// d", "// c"]),
}


@pytest.mark.parametrize("language", sorted(languages()))
def test_every_grammar_is_there_and_its_queries_compile(language: str) -> None:
    tree = parse(language, b"")
    assert error_bytes(tree) == 0
    assert comments(tree) == []
    assert functions(tree, language) == []


@pytest.mark.parametrize("language", sorted(FUNCTIONS))
def test_functions(language: str) -> None:
    text, name, body = FUNCTIONS[language]
    source = text.encode()
    (found,) = functions(parse(language, source), language)
    assert found.name == name
    assert 0 <= found.start_byte < found.body_start_byte <= found.end_byte <= len(source)
    if body is not None:
        assert source[found.body_start_byte : found.end_byte].decode() == body


@pytest.mark.parametrize("language", sorted(COMMENTS))
def test_comments(language: str) -> None:
    text, wanted = COMMENTS[language]
    source = text.encode()
    assert [source[start:end].decode() for start, end in comments(parse(language, source))] == wanted


def test_python_bodies_begin_after_the_docstring_with_their_indentation() -> None:
    source = (
        b"\n\nclass A:\n    @d\n    def f(self,\n          x={'a': 1}) -> int:  # noqa\n"
        b'        """Doc."""\n        # why\n        return x\n\ndef g():\n    """Only."""\n\n'
        b"def h(): return 1\n\nasync def i():\n    # why\n    def j():\n        pass\n    return j\n"
    )
    found = {
        item.name: source[item.body_start_byte : item.end_byte] for item in functions(parse("python", source), "python")
    }
    assert found["f"] == b"        # why\n        return x"
    assert found["g"] == b""
    assert found["h"] == b"return 1"
    assert found["i"].startswith(b"    # why\n    def j")
    assert found["j"] == b"        pass"


def test_errors_are_counted_in_bytes_and_only_where_they_are() -> None:
    clean = b"def f():\n    return 1\n" * 50
    assert error_bytes(parse("python", clean)) == 0
    broken = clean + b"x = = 1\n" + clean
    assert 0 < error_bytes(parse("python", broken)) < 40
    assert 0 < error_ratio(parse("python", broken)) < 0.05
    assert error_bytes(parse("java", b"class A { void f() { int x = 1 } }")) == 1  # a missing semicolon


def test_an_unknown_language_is_refused() -> None:
    with pytest.raises(BurilError) as refused:
        parse("pyhton", b"")
    assert refused.value.code == "P001"


@settings(max_examples=40, deadline=None)
@given(st.sampled_from(["python", "c", "javascript", "bash"]), st.binary(max_size=200))
def test_any_bytes_parse(language: str, source: bytes) -> None:
    tree = parse(language, source)
    assert 0.0 <= error_ratio(tree) <= 1.0
    end = 0
    for start, stop in comments(tree):
        assert end <= start <= stop <= len(source)
        end = stop
    for item in functions(tree, language):
        assert 0 <= item.start_byte <= item.body_start_byte <= item.end_byte <= len(source)


@pytest.mark.parametrize(
    ("language", "unit"),
    [("java", "a<"), ("csharp", "<a"), ("c", "%w("), ("dart", "#{"), ("css", "=>"), ("python", "[")],
)
def test_a_text_made_to_be_hard_is_given_up(language: str, unit: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parsing, "MAX_PARSE_S", 2.0)
    began = time.process_time()
    with pytest.raises(HardParse):
        parse(language, (unit * 60_000)[:60_000].encode(), bounded=True)
    assert time.process_time() - began < 10
    assert not parse(language, b"").root_node.has_error  # the parser starts anew


def test_code_with_many_comparisons_and_arrows_is_not_hard() -> None:
    parse("r", b"x <- 1\n" * 3_000)
    parse("c", b"void f() {\n" + b"  if (a < b) c();\n" * 3_000 + b"}\n")
    parse("python", b"y = [\n" + b"  (1, [2]),\n" * 3_000 + b"]\n")


def test_a_bounded_tree_is_the_same_tree() -> None:
    source = Path(parsing.__file__).read_bytes()
    assert str(parse("python", source, bounded=True).root_node) == str(parse("python", source).root_node)
