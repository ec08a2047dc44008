"""Completing: where a text ends, what of it is shown while it comes, and what is done to it before that."""

from __future__ import annotations

import time
from functools import cache
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from buril.code.completing._brackets import scan
from buril.code.completing.cursor import Cursor
from buril.code.completing.finish import REASONS, completed, finish
from buril.code.completing.mode import mode_of, opens_block
from buril.code.completing.rank import Candidate, rank
from buril.code.completing.stop import Stopper
from buril.code.language import languages
from tests.pace import pace

ROOT = Path(__file__).resolve().parents[2]
SOURCES = sorted((ROOT / "src" / "buril" / "core").glob("*.py"))


@cache
def source(number: int) -> str:
    return SOURCES[number % len(SOURCES)].read_text(encoding="utf-8")


# --- brackets

SCANS = [
    ("python", "f(a, [b, {", "([{", "", ""),
    ("python", "f('(') # (\n)", "", ")", ""),
    ("python", "x = '''\n(", "", "", "string"),
    ("python", "# a (", "", "", "comment"),
    ("python", ")]", "", ")]", ""),
    ("javascript", "const s = `(${a}`; f({", "({", "", ""),
    ("javascript", "x = /[(]/; g(", "(", "", ""),
    ("javascript", "/* (", "", "", "comment"),
    ("rust", "fn f<'a>(x: &'a str) {", "{", "", ""),
    ("rust", "let c = '('; g(", "(", "", ""),
    ("java", 'String s = "a\\"("; f(', "(", "", ""),
    ("c", "char c = '\\''; if (x) {", "{", "", ""),
    ("bash", "echo ${#x} (", "(", "", ""),
    ("ruby", 'x = "a\n(', "", "", "string"),
    ("lua", "-- (\nf(", "(", "", ""),
    ("go", "s := `(\n`\nf(", "(", "", ""),
    ("", "a (# (\n", "(", "", ""),
]


@pytest.mark.parametrize(("language", "text", "opened", "closed", "inside"), SCANS)
def test_brackets_are_found_outside_of_strings_and_comments(
    language: str, text: str, opened: str, closed: str, inside: str
) -> None:
    found = scan(text, language)
    assert "".join(item.sign for item in found.opened) == opened
    assert "".join(item.sign for item in found.closed) == closed
    assert found.inside == inside


@pytest.mark.parametrize("language", sorted(languages()))
def test_every_language_has_its_words(language: str) -> None:
    assert [item.sign for item in scan("f(a) { [", language).opened] == ["{", "["]


# --- one line or more

MODES = [
    ("python", "def f(a):\n    ", "\n", "block"),
    ("python", "def f(a):", "\n", "block"),
    ("python", "def f(\n    a,\n    b,\n) -> int:\n    ", "", "block"),
    ("python", 'def f(a):\n    """Doc."""\n    ', "\n\ndef g(): ...\n", "block"),
    ("python", "class A:\n    '''Doc.'''\n\n    ", "", "block"),
    ("python", 'x = """Doc."""\n', "", "line"),
    ("python", "if x:\n    ", "", "block"),
    ("python", "if x:\n    a\nelse:\n    ", "", "block"),
    ("python", "def f(a):\n    ", "\n    return a\n", "line"),
    ("python", "x = {'a':", "", "line"),
    ("python", "f = lambda x:", "", "line"),
    ("python", "def f(a):\n    return ", "", "line"),
    ("python", "print(", ")\n", "line"),
    ("python", "print(", ", b)\n", "line"),
    ("python", "# if x:", "", "line"),
    ("python", "x = 1\n", "", "line"),
    ("python", 'def f():\n    """Says', "", "line"),
    ("javascript", "function f(a) {", "}\n", "block"),
    ("javascript", "function f(a) {\n  ", "\n}\n", "block"),
    ("javascript", "const f = (a) => {", "", "block"),
    ("javascript", "foo(", ");", "line"),
    ("typescript", "class A {\n  f(x: number): string {\n    ", "\n  }\n}", "block"),
    ("go", "func f() error {\n\t", "\n}\n", "block"),
    ("go", "\tif err != nil {\n\t\t", "\n\t}\n", "block"),
    ("java", "class A {\n  int f() {\n    ", "\n  }\n}\n", "block"),
    ("java", "    int x = ", ";\n", "line"),
    ("c", "int f(void)\n{\n    ", "\n}\n", "block"),
    ("rust", "fn f() -> u8 {\n    ", "\n}\n", "block"),
    ("ruby", "def f(x)\n  ", "\nend\n", "block"),
    ("ruby", "xs.each do |x|\n  ", "\nend\n", "block"),
    ("ruby", "x = 1\n", "", "line"),
    ("lua", "function f(x)\n  ", "\nend\n", "block"),
    ("lua", "if x then\n  ", "", "block"),
    ("julia", "function f(x)\n    ", "\nend\n", "block"),
    ("bash", "for x in a b; do\n  ", "\ndone\n", "block"),
    ("bash", "if [ -f x ]; then\n  ", "\nfi\n", "block"),
    ("php", "<?php\nfunction f($a) {\n    ", "\n}\n", "block"),
    ("solidity", "contract A {\n  function f() public {\n    ", "\n  }\n}\n", "block"),
    ("csharp", "class A {\n  int F() {\n    ", "\n  }\n}\n", "block"),
    ("kotlin", "fun f(a: Int): Int {\n    ", "\n}\n", "block"),
    ("", "begin:\n  ", "", "block"),
    ("", "x = 1\n", "", "line"),
]


@pytest.mark.parametrize(("language", "prefix", "suffix", "mode"), MODES)
def test_the_grammar_says_whether_a_block_is_wanted(language: str, prefix: str, suffix: str, mode: str) -> None:
    assert mode_of(Cursor(prefix, suffix, language)) == mode


def test_a_continuation_opens_a_block_too() -> None:
    assert opens_block("    else:", "python")
    assert opens_block("  elsif x then", "ruby") or not opens_block("  x = 1", "ruby")
    assert not opens_block("    else_value = 1", "python")


# --- where it stops

STOPS = [
    # a line
    ("python", "x = ", "\n", "f(1)\ny = 2\n", "f(1)"),
    ("python", "x = ", "\n", "{\n    'a': 1,\n}\ny = 2\n", "{\n    'a': 1,\n}"),
    ("python", "    ", "\n", "for a in b:\n        c(a)\n    d()\n", "for a in b:\n        c(a)"),
    ("python", "# All that ", "\n", "is open (as it\nx = 1\n", "is open (as it"),
    ("javascript", "const x = ", "\n", "f(() => {\n  a();\n});\nconst y = 1;\n", "f(() => {\n  a();\n});"),
    ("javascript", "  ", "\n}", "if (a) {\n    b();\n  } else {\n    c();\n  }\n  d();\n",
     "if (a) {\n    b();\n  } else {\n    c();\n  }"),
    ("java", "    ", "\n  }\n}\n", "try {\n      a();\n    }\n    catch (E e) {\n      b();\n    }\n    c();\n",
     "try {\n      a();\n    }\n    catch (E e) {\n      b();\n    }"),
    ("java", "    ", "\n  }\n}\n", "if (a) {\n      a();\n    }\n    c();\n", "if (a) {\n      a();\n    }"),
    # arguments
    ("python", "foo(a", ")\n", ", b)\nbar()\n", ", b"),
    ("python", "foo(a", "\n", ", b)\nbar()\n", ", b)"),
    ("javascript", "foo(", ");\n", "a, (b), c);\nbar();\n", "a, (b), c"),
    ("go", "\tx := f(", ")\n", 'a, g("b)"))\n\treturn x\n', 'a, g("b)")'),
    # blocks
    ("python", "def f(a):\n    ", "\n", "return a\n\n\ndef g():\n    pass\n", "return a"),
    ("python", "def f(a):\n", "\n\ndef g(): pass\n", "    x = 1\n\n    return x\n\ndef g():\n", "    x = 1\n\n    return x"),
    ("python", 'def f(a):\n    """Doc."""\n', "", "    x = 1\n    if x:\n        y()\n    return x\n\nclass A:\n",
     "    x = 1\n    if x:\n        y()\n    return x"),
    ("python", "def f(a):\n    ", "\n", 'x = """\nat the margin\n"""\n    return x\n\ny = 1\n',
     'x = """\nat the margin\n"""\n    return x'),
    ("javascript", "function f(a) {\n  ", "\n}\n", "return a;\n}\n\nfunction g() {}\n", "return a;"),
    ("javascript", "function f(a) {\n", "", "  if (a) {\n    b();\n  }\n  return a;\n}\n\nf();\n",
     "  if (a) {\n    b();\n  }\n  return a;\n}"),
    ("javascript", "function f(a) {", "}\n", "\n  return a;\n}\n", "\n  return a;"),
    ("go", "func f() error {\n\t", "\n}\n", "if err != nil {\n\t\treturn err\n\t}\n\treturn nil\n}\n\nfunc",
     "if err != nil {\n\t\treturn err\n\t}\n\treturn nil"),
    ("c", "int f(void)\n{\n    ", "", "x();\n#ifdef A\n    y();\n#endif\n    return 0;\n}\n\nint g;\n",
     "x();\n#ifdef A\n    y();\n#endif\n    return 0;\n}"),
    ("rust", "fn f() -> u8 {\n    ", "\n}\n", "match x {\n        'a' => 1,\n        _ => 2,\n    }\n}\n\nfn g() {}\n",
     "match x {\n        'a' => 1,\n        _ => 2,\n    }"),
    ("ruby", "def f(x)\n  ", "\nend\n", "x.each do |y|\n    puts y\n  end\n  z\nend\n\ndef g\n",
     "x.each do |y|\n    puts y\n  end\n  z"),
    ("ruby", "def f(x)\n  ", "\n", "x + 1\nend\n\ndef g\n", "x + 1\nend"),
    ("lua", "function f(x)\n  ", "", "if x then\n    y()\n  end\n  return x\nend\n\nf(1)\n",
     "if x then\n    y()\n  end\n  return x\nend"),
    ("bash", "for x in a; do\n  ", "", "echo $x\ndone\necho b\n", "echo $x\ndone"),
    ("", "begin:\n  ", "", "foo\n  bar\nend of it\n", "foo\n  bar"),
    # what stands there already, what goes round, what is no code
    ("python", "    a = 1\n    ", "\n    c = 3\n    d = 4\n", "if a:\n        b = 2\n    c = 3\n    d = 4\n", "if a:\n        b = 2"),
    ("python", "def f():\n    ", "\n", "a = 1\n    go()\n    go()\n    go()\n    go()\n", "a = 1\n    go()"),
    ("python", "x = 1", "\n", "0<|file_sep|>b.py\nimport os\n", "0"),
    ("python", "def f():\n    ", "\n", "return 1\n```\nThis is\n", "return 1"),
]  # fmt: skip


@pytest.mark.parametrize(("language", "prefix", "suffix", "written", "shown"), STOPS)
def test_a_text_stops_where_it_is_complete(language: str, prefix: str, suffix: str, written: str, shown: str) -> None:
    told = Stopper(prefix, suffix, language).feed(written, final=True)
    assert told.text.rstrip() == shown
    assert told.done


@pytest.mark.parametrize(("language", "prefix", "suffix", "written", "shown"), STOPS)
def test_it_stops_at_once_and_shows_nothing_that_goes_again(
    language: str, prefix: str, suffix: str, written: str, shown: str
) -> None:
    final = completed(Cursor(prefix, suffix, language), written).text
    stopper = Stopper(prefix, suffix, language)
    seen = ""
    for size in range(len(written) + 1):
        told = stopper.feed(written[:size])
        assert told.text.startswith(seen)
        if told.done:
            break
        seen = told.text
        assert final.startswith(seen)
    assert told.done, "it never stopped"
    assert told.text.rstrip() == shown
    # what comes after the last thing shown decides: a line, the word that may go on from it, no more
    assert size - len(shown) <= 24


@given(number=st.integers(0, 40), where=st.floats(0.05, 0.95), noise=st.integers(0, 30), whole=st.booleans())
@settings(max_examples=120, deadline=None)
def test_what_is_shown_of_real_code_is_a_beginning_of_what_is_shown_in_the_end(
    number: int, where: float, noise: int, whole: bool
) -> None:
    text = source(number)
    at = int(len(text) * where)
    if whole:
        at = text.find("\n", at) + 1
    prefix, suffix = text[:at], text[at + noise :]
    written = text[at : at + 600]
    cursor = Cursor(prefix, suffix, "python")
    final = completed(cursor, written).text
    stopper = Stopper("", cursor=cursor)
    for size in range(0, len(written), 3):
        told = stopper.feed(written[:size])
        if told.done:
            break
        assert final.startswith(told.text)


def test_what_the_file_may_bring_waits_until_another_line_comes() -> None:
    stopper = Stopper("def f():\n    ", "\n", "python")
    assert stopper.feed("g(a)").text == ""
    assert stopper.feed("g(a)\n    h").text == "g(a"
    assert stopper.feed("g(a)\n    h(b)\n\n").text == "g(a)\n    h(b"
    assert stopper.feed("g(a)\n    h(b)\n\nx = 1\n") == ("g(a)\n    h(b)", True, "block")


def test_a_token_costs_a_millisecond_or_so() -> None:
    stopper = Stopper(source(3) + "\n\ndef compute_all():\n", "\n", "python")
    written = "\n".join(f"    value_{number} = compute(value_{number - 1}, [1, 2], key='x')" for number in range(40))
    steps = 0
    began = time.process_time()
    for size in range(0, len(written), 4):
        assert not stopper.feed(written[:size]).done
        steps += 1
    assert (time.process_time() - began) / steps < 3e-3 * pace()  # half a millisecond, on a quiet machine


# --- what is done to a text

FINISHES = [
    # brackets
    ("python", "f(a", ", b))", ")\n", ", b", "closers_doubled"),
    ("python", "x = ", "f(a, [b", "\n", "f(a, [b])", "closers_missing"),
    ("python", "x = ", "f(a, [b", "])\n", "f(a, [b", ""),
    ("python", "x = (", "a)", "\n", "a)", ""),
    ("javascript", "x = ", "f(() => {\n  a();", "\ny();\n", "f(() => {\n  a();\n})", "closers_missing"),
    ("javascript", "function f() {\n  ", "if (a) {\n    b();", "\n}\n", "if (a) {\n    b();\n  }", "closers_missing"),
    ("java", "class A { void f() { g(", "a)", "); } }\n", "a", "closers_doubled"),
    ("go", "package a\n\nfunc f() {\n\t", "g(map[string]int{", "\n}\n", "g(map[string]int{})", "closers_missing"),
    ("", "f(a", ", b))", ")\n", ", b", "closers_doubled"),
    # what stands there already
    ("python", "a = 1\n", "b = 2\nc = 3", "\nc = 3\nd = 4\n", "b = 2", "repeats_suffix"),
    ("python", "a = 1\n", "b = 2", "\nb = 2\n", "", "repeats_suffix"),
    ("python", "f(a, ", "b, key=c", "key=c)\n", "b, ", "repeats_suffix"),
    ("javascript", "a();\n", "foo(a,b)", "\nfoo(a, b);\n", "", "repeats_suffix"),
    ("python", "x1 = f(1)\n", "x2 = f(2)", "\nx3 = f(3)\n", "x2 = f(2)", ""),
    ("python", "total += price\n", "total += price", "\n", "", "repeats_above"),
    ("python", "", "else:\n    pass", "\nelse:\n", "else:\n    pass", ""),
    # round and round
    ("python", "x = 0\n", "aa()\nbb()\naa()\nbb()\naa()\nbb()", "\n", "aa()\nbb()", "repeats_itself"),
    ("python", "x = ", "'" + "abcd " * 12, "\n", "'abcd", "repeats_itself"),
    ("python", "x = ", "[0, 0, 0, 0, 0, 0, 0, 0, 0, 0]", "\n", "[0, 0, 0, 0, 0, 0, 0, 0, 0, 0]", ""),
    # what is no code
    ("python", "x = ", "1<|endoftext|>import os", "\n", "1", "mark"),
    ("python", "M = '<|endoftext|>'\nx = ", "'<|endoftext|>'", "\n", "'<|endoftext|>'", ""),
    ("python", "x = ", "1  \n\n", "\n", "1", "spaces"),
    ("python", "f(a, ", "b, ", "c)\n", "b, ", ""),
    ("python", "f(", "a", ")\n", "a", ""),
    ("python", "x = y", "s", "\n", "", "junk"),
    ("python", "print(x", ")", "\n", ")", ""),
    ("python", "x = ", "  \n", "\n", "", ""),
    ("python", "x = ", "", "\n", "", "nothing"),
]


@pytest.mark.parametrize(("language", "prefix", "text", "suffix", "shown", "reason"), FINISHES)
def test_what_is_too_much_goes_and_what_is_missing_comes(
    language: str, prefix: str, text: str, suffix: str, shown: str, reason: str
) -> None:
    found = finish(prefix, text, suffix, language)
    assert found.text == shown
    assert found.shown == bool(shown)
    if reason:
        assert reason in found.reasons
    elif shown:
        assert found.reasons == ()


def test_every_reason_is_named() -> None:
    seen = {reason for *_rest, reason in FINISHES if reason}
    assert seen <= set(REASONS)
    assert set(REASONS) - seen == {"unsettled"}


PIECES = st.sampled_from(
    ["f(", ")", "x", " = ", "\n", "    ", "if a:", "return b", "[", "]", "{", "}", "'", '"', "# c", ", ", "else:", "a()\n",
     "a()\n", "key=1", "<|file_sep|>", "```", "\t", "é", "x.y", ";", "=> {", "end\n", "total += price\n"]
)  # fmt: skip
TEXTS = st.lists(PIECES, max_size=14).map("".join)


@given(
    prefix=TEXTS, text=TEXTS, suffix=TEXTS, language=st.sampled_from(["python", "javascript", "go", "ruby", "c", ""])
)
@settings(max_examples=400, deadline=None)
def test_to_finish_twice_is_to_finish_once(prefix: str, text: str, suffix: str, language: str) -> None:
    once = finish(prefix, text, suffix, language).text
    assert finish(prefix, once, suffix, language).text == once


@given(
    prefix=TEXTS, text=TEXTS, suffix=TEXTS, language=st.sampled_from(["python", "javascript", "go", "ruby", "c", ""])
)
@settings(max_examples=300, deadline=None)
def test_what_is_shown_never_goes_again_whatever_is_written(prefix: str, text: str, suffix: str, language: str) -> None:
    cursor = Cursor(prefix, suffix, language)
    final = completed(cursor, text).text
    stopper = Stopper("", cursor=cursor)
    seen = ""
    for size in range(len(text) + 1):
        told = stopper.feed(text[:size])
        assert told.text.startswith(seen) or told.done
        if told.done:
            break
        seen = told.text
        assert not final or final.startswith(seen)


@given(number=st.integers(0, 40), where=st.floats(0.02, 0.9), length=st.integers(1, 300), add=TEXTS)
@settings(max_examples=150, deadline=None)
def test_what_parses_is_never_broken(number: int, where: float, length: int, add: str) -> None:
    """The middle of a real file, left whole or with something added to its end, between what stands around it."""
    text = source(number)
    at = int(len(text) * where)
    cursor = Cursor(text[:at], text[at + length :], "python")
    for written in (text[at : at + length], text[at : at + length] + add):
        found = finish("", written, cursor=cursor)
        if found.shown and cursor.errors(written) == 0:
            assert cursor.errors(found.text) == 0


def test_the_right_middle_of_real_code_is_mostly_left_alone() -> None:
    left = changed = 0
    for number in range(len(SOURCES)):
        lines = source(number).split("\n")
        for row in range(20, len(lines) - 2, 7):
            if not lines[row].strip():
                continue
            prefix, suffix = "\n".join(lines[:row]) + "\n", "\n" + "\n".join(lines[row + 1 :])
            if finish(prefix, lines[row], suffix, "python").text == lines[row].rstrip():
                left += 1
            else:
                changed += 1
    assert left > 300
    assert changed <= 0.02 * left


# --- which comes first


def test_what_parses_comes_first_then_what_is_likely_then_what_is_longer() -> None:
    cursor = Cursor("x = f(", ")\n", "python")
    found = [
        Candidate("a,, b", -1.0, 4),
        Candidate("a, b", -4.0, 4),
        Candidate("a", -1.0, 1),
        Candidate("a, c", -4.0, 4),
        Candidate("", 0.0, 1),
        Candidate("a, b, c", -7.0, 7),
        Candidate("a ", -9.0, 1),
        Candidate("d", float("nan"), 1),
    ]
    assert rank(cursor, found) == [5, 1, 3, 2, 7, 0, 4]
