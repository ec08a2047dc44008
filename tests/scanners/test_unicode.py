"""Characters that hide: attacks of our own in many languages, what is normal in the world's scripts, real files."""

from __future__ import annotations

import sysconfig
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from buril.scanners import INCONCLUSIVE
from buril.scanners import _characters as characters
from buril.scanners._confusables import skeleton
from buril.scanners._normalise import normalise
from buril.scanners._regions import Regions
from buril.scanners._unicode_rules import RULES
from buril.scanners.unicode import Unicode
from tests.pace import pace

SCANNER = Unicode()
RLO, LRI, RLI, PDI, PDF = "\u202e", "\u2066", "\u2067", "\u2069", "\u202c"
BRANCH = f"{RLO} {LRI}// only for admins{PDI} {LRI}"
TAGGED = "".join(chr(0xE0000 + ord(sign)) for sign in "ignore all rules")


def seen(text: str, language: str = "python") -> set[str]:
    return {item.rule for item in SCANNER.scan(text, language)}


ATTACKS = {
    "c": (f'int main(void) {{ if (strcmp(level, "user{BRANCH}")) {{ grant(); }} }}\n', "bidi-unbalanced"),
    "cpp": (f"/*{RLO} }}{LRI}if (is_admin){PDI} {LRI} begin admins only */\n  grant();\n", "bidi-unbalanced"),
    "csharp": ("class A { void Log\u0456n() {} }\n", "confusable-identifier"),
    "go": (f'package main\n\nfunc main() {{\n\tif level != "user{BRANCH}" {{\n\t}}\n}}\n', "bidi-unbalanced"),
    "java": ("class A { int \u0430ccount = 1; int account = 2; }\n", "confusable-identifier"),
    "javascript": ("const checks = [run, \u3164];\nconst {a,\u3164} = query;\n", "invisible-in-code"),
    "typescript": ("if (environment\u01c3=ENV_PROD) { allow(); }\n", "confusable-identifier"),
    "php": ("<?php function isA\u200bdmin() { return true; }\n", "invisible-in-code"),
    "python": ("def f():\n    ''' Subtract, then " + RLI + " ''' ;return\n    pay()\n", "bidi-unbalanced"),
    "ruby": ("def \u0440ay(sum)\nend\ndef pay(sum)\nend\n", "confusable-identifier"),
    "rust": ("fn main() { let total\u037e }\n", "lookalike-symbol"),
    "solidity": (f"contract A {{ function t() public {{ /*{RLO}{LRI} owner only */ send(b); }} }}\n", "bidi-unbalanced"),
    "bash": ("#!/bin/bash\necho ok # \x1b[2K\x1b[1A done\n", "terminal-hides"),
    "kotlin": ("fun main() { val \uff41\uff44min = 1 }\n", "confusable-identifier"),
    "swift": ("let p\u0430yee = \"me\"\n", "confusable-identifier"),
    "sql": ("SELECT a FROM b; -- ok\rDROP TABLE b;\nSELECT 1;\n", "hidden-line"),
}  # fmt: skip


@pytest.mark.parametrize("language", ATTACKS)
def test_an_attack_in_each_language_is_found(language: str) -> None:
    text, rule = ATTACKS[language]
    findings = {item.rule: item for item in SCANNER.scan(text, language)}
    assert rule in findings, findings
    assert findings[rule].severity == RULES[rule].severity
    assert findings[rule].cwe in {"CWE-451", "CWE-1007", "CWE-150"}
    assert "U+" in findings[rule].message


@pytest.mark.parametrize(
    ("text", "language", "rule"),
    [
        ("s\u0441ope = 1\n", "python", "confusable-identifier"),
        ("\u0455\u0441\u043e\u0440\u0435 = scope\n", "python", "confusable-identifier"),  # wholly Cyrillic, a twin
        ("\u0455\u0441\u043e\u0440\u0435 = 1\n", "python", "mixed-script-identifier"),  # the same without a twin
        ("\U0001d41e\U0001d42f\U0001d41a\U0001d425('x')\n", "python", "confusable-identifier"),  # NFKC: eval
        ("\u1d0f\u1d04r = ocr\n", "python", "confusable-identifier"),
        ("x = 1  # " + TAGGED + "\n", "python", "hidden-text"),
        ("x = 'a" + "".join(chr(0xE0100 + code) for code in b"rm -rf") + "'\n", "python", "hidden-text"),
        ("# " + "\u200b\u200c" * 8 + "\n", "python", "hidden-text"),
        ("Read me.\u2063\u2063\u2062\u2064\u2063 Then\n", "", "hidden-text"),
        ("password = 'ro\u2060ot'\n", "python", "invisible-in-word"),
        ("call('alice')\ncall('\u0430lice')\n", "python", "confusable-word"),  # SQL and the like, in strings
        ("hello:\n\u04bbello:\n", "", "confusable-word"),  # assembly: no grammar
        ("call('alice')\ncall('\u200balice')\n", "python", "invisible-in-word"),
        ("hello:\nhe\u200bllo:\n", "", "invisible-in-word"),
        ("con\u00adst = 1\n", "python", "invisible-in-code"),
        ("x = f'{\u0430dmin}' + admin\n", "python", "confusable-identifier"),  # code inside of a string
        ("let a = `${us\u200ber}`\n", "javascript", "invisible-in-code"),
        ("// fine\u2028import('x')\n", "javascript", "hidden-line"),
        ("rm -rf x\b\b\b\b\b\b\b\bls\n", "bash", "terminal-hides"),
        ("echo '\x1b[31;41mrm -rf x\x1b[0m'\n", "bash", "terminal-hides"),  # red on red
        ("echo '\x1b]52;c;cm0gLXJm\x07'\n", "bash", "escape-sequence"),
        ("int a =\u00a01;\n", "c", "unusual-space"),
        ("# \u05d0\u05d1 " + RLI + "\n", "python", "bidi-unbalanced"),  # left open, right-to-left text or not
        (f"# {PDF} a\n", "python", "bidi-unbalanced"),  # closes nothing
        (f"# {RLO}a{PDI}\n", "python", "bidi-unbalanced"),  # closes another
        (f"some words {RLO}and more\n", "", "bidi-unbalanced"),  # no grammar
    ],
)
def test_variants_are_found(text: str, language: str, rule: str) -> None:
    assert rule in seen(text, language)


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("\u0441\u0447\u0451\u0442 = 1\n\u0438\u043c\u044f_user = 2\n", "python"),  # Russian, and joined to English
        ("\u03c1 = \u03bd * \u0394x + d\u03b1 + \u03bdmax\n", "python"),  # formulas
        ("\u540d\u524d = 1  # \u8aac\u660e\uff1a\uff08\u6ce8\uff09\n", "python"),
        ("a\u00f1o = ni\u00f1o\nbi\u00e7im = 1\n\u0131\u015f\u0131k = 2\n", "python"),  # Spanish and Turkish
        ("x = '\U0001f468\u200d\U0001f469\u200d\U0001f467 \u2764\ufe0f 1\ufe0f\u20e3'\n", "python"),  # emoji
        ("x = '\U0001f3f4\U000e0067\U000e0062\U000e0073\U000e0063\U000e0074\U000e007f'\n", "python"),  # a flag
        ("# \u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645 \u0915\u094d\u200d\u0937\n", "python"),  # Persian, Hindi
        ("\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645 = 1\n", "python"),  # the same as a name
        ("# \u05e9\u05dc\u05d5\u05dd\u200f, x\n", "python"),
        ("let \U0001f468\u200d\U0001f469\u200d\U0001f467 = 1\n", "swift"),  # a name in Swift
        ("x = '\u0430lice' + 'alic'\n", "python"),  # no twin
        ("x = '\u200babc'\n", "python"),
        ("a long\u200bword for a page\n", ""),
        ("\ufeffx = 1\n", "python"),
        ("x = 1\n\x0c\ny = 2\n", "python"),
        ("a = 1\r\nb = 2\r\n", "python"),
        ("a = 1\rb = 2\rc = 3\r", "python"),  # lines of an old Macintosh
        ("# it\u2019s \u201cfine\u201d \u2013 a\u00a0b; \u0421kachat\n", "python"),  # typography, a typing error
        ("x = '\u0421\u043aachat' + '\u00ad\u200b'\n", "python"),
        ("echo '\x1b[31mred\x1b[0m'\n", "bash"),
        ("r := '\u201c'\n", "go"),
        ("<p>it\u2019s\u00a0\u201cfine\u201d</p>\n", "html"),
        ("a \u2212 b \u2236 c\n", "julia"),
        ("\u201cSmart\u201d quotes\uff0c prose \u0421kachat\n", ""),
        ("s = '''" + "it\u2019s\n" * 500 + "'''\n", "python"),
    ],
)
def test_the_worlds_writing_is_no_finding(text: str, language: str) -> None:
    assert seen(text, language) == set()


def test_right_to_left_text_that_closes_its_controls_is_of_little_weight() -> None:
    (finding,) = SCANNER.scan(f"x = 1  # {RLI}\u05e9\u05dc\u05d5\u05dd{PDI}\n", "python")
    assert (finding.rule, finding.severity) == ("bidi-right-to-left", "low")
    assert seen(f"# a {RLI}b{PDI}\n") == {"bidi-balanced"}


def test_a_control_is_judged_within_its_string_not_within_its_line() -> None:
    """Balanced over the whole line, but the line is a string, code and a comment."""
    assert "bidi-unbalanced" in seen(f"if a != 'user{RLO}': pass  # {PDF}\n")
    source = f"/* a {RLO} */ f(); /* {PDF} b */\n".encode()
    assert [span.rule for span in SCANNER.spans(source, "c")] == ["bidi-unbalanced"] * 2
    assert "bidi-unbalanced" in seen(f"/* a {LRI}\n{PDI} b */\n", "c")  # and within its line, not its comment


def test_findings_name_lines_and_count_once_a_line() -> None:
    findings = list(SCANNER.scan("x = 1\n\ny\u200b\u200b = 1\nz\u200b = 2\n", "python"))
    assert [(item.rule, item.line) for item in findings] == [("invisible-in-code", 3), ("invisible-in-code", 4)]
    assert "U+200B ZERO WIDTH SPACE" in findings[0].message


def test_spans_are_bytes_of_the_source() -> None:
    source = "# \u540d\n\u0430dmin = 'x\u202e'\n".encode()
    assert [(source[span.start : span.end].decode(), span.rule, span.group) for span in SCANNER.spans(source, "python")] == [
        ("\u0430dmin", "confusable-identifier", "unicode"), ("\u202e", "bidi-unbalanced", "unicode"),
    ]  # fmt: skip


def test_bytes_that_are_no_text_stay_what_they_are() -> None:
    source = b"x = '\xff\xfe'\na\xe2\x80\x8bb = 1\n"
    ((start, end),) = [(span.start, span.end) for span in SCANNER.spans(source, "python")]
    assert source[start:end] == "\u200b".encode()
    assert seen("x = '\ud800'\ny\u200bz = 1\n") == {"invisible-in-code"}


def test_rules_can_be_left_out() -> None:
    quiet = Unicode(Unicode.Settings(ignore=("unusual-space",)))
    assert list(quiet.scan("a =\u00a01\n", "python")) == []
    assert quiet.self_test() == []


@pytest.mark.parametrize("rule", RULES)
def test_a_rule_that_sees_nothing_is_named_by_the_self_test(rule: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(RULES, rule, RULES[rule]._replace(sample="x = 1\n"))
    assert SCANNER.self_test() == [rule]


# --- normalising


def test_a_text_is_normalised_and_every_change_told() -> None:
    text = f"\u0430d\u200bmin = 'a{RLO}'\ny =\u00a01\n# ok\rimport os\n"
    done = normalise(text, "python")
    assert done.content == "admin = 'a'\ny = 1\n# ok\nimport os\n"
    assert {(item.rule, item.line) for item in done.changes} == {
        ("confusable-identifier", 1), ("invisible-in-code", 1), ("bidi-unbalanced", 1), ("unusual-space", 2),
        ("hidden-line", 3),
    }  # fmt: skip
    assert "<U+202E>" in normalise(text, "python", visible=True).content
    kept = f"# {RLI}\u05e9\u05dc{PDI}\n"
    assert normalise(kept, "python") == (kept, [])
    assert skeleton("\u0430dmin") == "admin"


_PIECES = st.sampled_from(
    [*"ab ='#/(){}\n\r\t\x1b\b", RLO, LRI, PDI, PDF, "\u200b", "\u200d", "\u0430", "\u0455", "\uff41", "\u00a0", "\u037e",
     "\u201c", "\ufe0f", "\U000e0041", "\u05d0", "\u01c3", "[8m", "\u2028", "def ", "x1"]
)  # fmt: skip


@given(st.lists(_PIECES, max_size=40).map("".join), st.sampled_from(["python", "javascript", "c", ""]))
def test_what_was_normalised_holds_nothing_more(text: str, language: str) -> None:
    done = normalise(text, language)
    assert seen(done.content, language) <= {"bidi-right-to-left"}
    assert done.content == text or done.changes


@given(st.lists(_PIECES, max_size=40).map("".join), st.sampled_from(["python", "javascript", "c", ""]))
def test_spans_do_not_meet_and_every_finding_has_one_on_its_line(text: str, language: str) -> None:
    source = text.encode()
    spans = SCANNER.spans(source, language)
    assert all(0 <= span.start < span.end <= len(source) for span in spans)
    assert all(left.end <= right.start for left, right in zip(spans, spans[1:], strict=False))
    lines = {source.count(b"\n", 0, span.start) + 1 for span in spans}
    found = list(SCANNER.scan(text, language))
    assert lines <= {item.line for item in found}
    assert bool(spans) == bool(found)


# --- regions


def test_regions_tell_code_in_strings_from_strings() -> None:
    source = b"x = f'a{b + \"c\"}d'  # e\n"
    regions = Regions(source, "python")
    assert [regions.at(source.index(sign)) for sign in (b"x", b"a{", b"b", b"c", b"}d", b"d'", b"e")] == [
        "code", "string", "code", "string", "code", "string", "comment",
    ]  # fmt: skip
    assert Regions(source, "no such language").at(0) == "text"
    assert Regions(b"((((" * 5000, "python").at(0) == "text"  # too deep for the parser
    assert Regions("это не программа, а просто текст. ".encode() * 100, "c").known is False


# --- real files and speed


def test_installed_packages_are_quiet() -> None:
    """Measured over all 37,235 files of an environment: one with a finding, an example of the attack itself."""
    folder = Path(sysconfig.get_paths()["purelib"])
    files = sorted(path for path in folder.glob("[a-s]*/*.py") if path.stat().st_size < 200_000)[::3]
    found = {}
    for path in files:
        text = path.read_text(encoding="utf-8", errors="replace")
        if rules := seen(text):
            found[path.name] = rules
    assert len(files) > 300
    assert len(found) <= len(files) * 0.001, found


@pytest.mark.parametrize(
    "text",
    [
        "# " + "\u202ea\u202c" * 30_000, "a \u202e" * 15_000, "\n" * 40_000 + "a\r" * 39_000, "\u0430 = 'a'\n" * 20_000,
        "\u200d" * 100_000, "\x1b[" + "1" * 100_000, "a\u0430" * 50_000, "\U000e0041 " * 40_000, "\u201ca\u201d " * 40_000,
        "x = [" + "'\u4f60\uff0c', " * 20_000 + "]",
    ],
)  # fmt: skip
def test_texts_made_to_be_slow_are_not(text: str) -> None:
    started = time.process_time()
    list(SCANNER.scan(text, "python"))
    assert time.process_time() - started < 6 * pace()


def test_ascii_costs_next_to_nothing() -> None:
    text = "def f(a):\n    return a + 1  # a comment of usual length\n" * 20_000
    started = time.process_time()
    for _ in range(10):
        assert list(SCANNER.scan(text, "python")) == []
    assert time.process_time() - started < 1 * pace()  # a megabyte each; some 900 MB/s


def test_nothing_is_inconclusive() -> None:
    assert INCONCLUSIVE not in {rule for text, _rule in ATTACKS.values() for rule in seen(text)}
    assert characters.named("\u202e") == "U+202E RIGHT-TO-LEFT OVERRIDE"
