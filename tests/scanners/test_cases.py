"""The labelled programs are in form: each weak one and its twin, whole texts, lines that exist, and no label told."""

from __future__ import annotations

import ast
import re
from collections import Counter
from difflib import SequenceMatcher
from functools import cache

import pytest

from buril.code.parse import comments, error_bytes, functions, parse
from tests.scanners.cases import FOLDER, Case, cases, read

FEWEST = {"go": 55, "java": 75, "javascript": 100, "php": 75, "python": 240, "solidity": 45, "typescript": 30}
"""Pairs that a language has at least."""
TELLING = re.compile(
    r"\b(vulnerab\w*|(?:un|in)?safe(?:ly)?|(?:in)?secure(?:ly)?|bad|good|sanitiz\w*|sanitis\w*|taint\w*|attack\w*"
    r"|exploit\w*|malicious|injection|traversal|xss|ssrf|cwe\S*)\b",
    re.IGNORECASE,
)
STATEMENT = re.compile(r"\s*(?!(?:import|from|use|package)\b|#|//|\*)\S*\w")
"""What a line begins with that can be a sink: no import and no comment."""
LONGEST = 40


@cache
def everything() -> tuple[Case, ...]:
    return tuple(cases())


def pairs() -> list[tuple[Case, Case]]:
    """Each bad program and the good one that stands behind it."""
    found = everything()
    return list(zip(found[::2], found[1::2], strict=True))


def told(case: Case) -> str:
    return f"{case.language} {case.cwe} {'bad' if case.bad else 'good'} {case.name}"


def test_every_folder_is_a_language_with_enough_pairs() -> None:
    counted = Counter(bad.language for bad, _ in pairs())
    assert set(counted) == {path.name for path in FOLDER.iterdir() if path.is_dir() and path.name != "__pycache__"}
    assert counted.keys() == FEWEST.keys()
    assert not {name: counted[name] for name, fewest in FEWEST.items() if counted[name] < fewest}


def test_every_bad_one_is_followed_by_its_good_twin() -> None:
    for bad, good in pairs():
        assert (bad.bad, good.bad, bad[:3]) == (True, False, good[:3]), told(bad)


def test_names_and_texts_are_unique() -> None:
    named = Counter((bad.language, bad.name) for bad, _ in pairs())
    assert not [name for name, times in named.items() if times > 1]
    texts = Counter(case.text for case in everything())
    assert not [told(case) for case in everything() if texts[case.text] > 1]


def test_only_bad_ones_expect_and_their_lines_exist_in_the_weakness_of_the_file() -> None:
    for case in everything():
        assert bool(case.expected) == case.bad, told(case)
        assert len(set(case.expected)) == len(case.expected), told(case)
        lines = case.text.splitlines()
        for cwe, line in case.expected:
            assert cwe == case.cwe, told(case)
            assert line <= len(lines) and STATEMENT.match(lines[line - 1]), told(case)


@pytest.mark.parametrize("language", sorted(FEWEST))
def test_texts_parse_whole(language: str) -> None:
    for case in everything():
        if case.language == language:
            tree = parse(language, case.text.encode())
            assert error_bytes(tree) == 0 and not tree.root_node.has_error, told(case)


def test_python_compiles() -> None:
    for case in everything():
        if case.language == "python":
            ast.parse(case.text, told(case))


def test_twins_differ_by_little() -> None:
    for bad, good in pairs():
        ratio = SequenceMatcher(None, bad.text.split(), good.text.split(), autojunk=False).ratio()
        assert 0.5 <= ratio < 1, (told(bad), ratio)


def test_texts_are_short_and_tidy() -> None:
    for case in everything():
        lines = case.text.splitlines()
        assert 4 <= len(lines) <= LONGEST, (told(case), len(lines))
        assert all(line == line.rstrip() and len(line) <= 120 for line in lines), told(case)
        assert case.text.isascii(), told(case)


def test_no_comment_and_no_name_of_a_function_gives_the_label_away() -> None:
    for case in everything():
        source = case.text.encode()
        tree = parse(case.language, source)
        said = [source[start:end].decode() for start, end in comments(tree)]
        said += [re.sub(r"_|(?<=[a-z])(?=[A-Z])", " ", item.name) for item in functions(tree, case.language)]
        assert not [word for text in said for word in TELLING.findall(text)], told(case)


@pytest.mark.parametrize(
    "text",
    ["x = 1\n", "### bad: a\n### expect: 89 line 1\nx\n", "### bad: a\nx\n### expect: CWE-89 line 1\n",
     "### Bad: a\nx\n", "### bad: a b\nx\n", "### expect: CWE-89 line 1\n"],
)  # fmt: skip
def test_a_file_out_of_form_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="python CWE-89"):
        list(read(text, "python", "CWE-89"))


def test_a_file_is_read_as_it_stands() -> None:
    text = "### bad: a-b\n### expect: CWE-89 line 2\n### expect: CWE-78 line 3\nx\n\ny\n\n### good: a-b\nz\n"
    bad, good = read(text, "python", "CWE-89")
    assert bad == Case("python", "CWE-89", "a-b", True, "x\n\ny\n", (("CWE-89", 2), ("CWE-78", 3)))
    assert good == Case("python", "CWE-89", "a-b", False, "z\n", ())
