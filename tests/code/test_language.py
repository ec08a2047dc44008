from __future__ import annotations

import pytest

from buril.code.language import Language, detect, languages, may_be_source

WANTED = [
    "python",
    "javascript",
    "typescript",
    "tsx",
    "java",
    "go",
    "rust",
    "c",
    "cpp",
    "csharp",
    "php",
    "ruby",
    "swift",
    "kotlin",
    "scala",
    "lua",
    "perl",
    "r",
    "julia",
    "bash",
    "haskell",
    "ocaml",
    "dart",
    "solidity",
    "sql",
    "html",
    "css",
]


def test_every_language_is_there_under_its_own_name() -> None:
    assert set(WANTED) <= set(languages())
    for name, facts in languages().items():
        assert issubclass(facts, Language)
        assert facts.name == name
        assert 0 <= facts.parse_tolerance <= 1
        assert all(ending.startswith(".") and ending == ending.lower() for ending in facts.extensions)
        assert facts.line_comments or facts.block_comments


def test_no_two_languages_own_an_ending() -> None:
    owned = [ending for facts in languages().values() for ending in facts.extensions]
    assert len(owned) == len(set(owned))


def test_only_go_must_have_tabs() -> None:
    assert [name for name, facts in languages().items() if facts.tabs] == ["go"]


@pytest.mark.parametrize(
    ("path", "head", "language"),
    [
        ("a/b.py", "", "python"),
        ("A.PY", "", "python"),
        ("x.h", "", "c"),
        ("x.h", "#ifndef X\nint f(void);\n/* using the class of\nclass-less things */", "c"),
        ("x.h", "#pragma once\nnamespace a {\nclass B;\n}", "cpp"),
        ("x.h", "class List {\npublic:\n};", "cpp"),
        ("x.h", "#include <vector>\n", "cpp"),
        ("x.h", "#import <Foundation/Foundation.h>\n@interface A\n@end", ""),
        ("t.ts", '<?xml version="1.0"?>\n<!DOCTYPE TS>', ""),
        ("t.ts", "const a: number = 1", "typescript"),
        ("p.pl", ":- module(a, []).\n", ""),
        ("p.pl", "use strict;\n", "perl"),
        ("t/a.t", "use strict;\nuse Test::More;", "perl"),
        ("t/a.t", "something else", ""),
        ("i.pm", "/* XPM */\nstatic char", ""),
        ("run", "#!/usr/bin/env python3.11\n", "python"),
        ("run", "#!/usr/bin/env -S FOO=1 node --x\n", "javascript"),
        ("run", "#! /bin/sh\n", "bash"),
        ("run", "#!/usr/bin/env\n", ""),
        ("run", "#!\n", ""),
        ("run", "plain", ""),
        ("Rakefile", "", "ruby"),
        ("Makefile", "all:\n", ""),
        ("a.json", "{}", ""),
        ("x.mli", "", "ocaml_interface"),
        (".bashrc", "", "bash"),
        ("", "", ""),
    ],
)
def test_detect(path: str, head: str, language: str) -> None:
    assert detect(path, head) == language


def test_a_listing_knows_what_to_open() -> None:
    assert may_be_source("a.py") is True
    assert may_be_source("t/a.t") is True  # a claim that only the content can decide
    assert may_be_source("bin/run") is None
    assert may_be_source("a.png") is False
    assert may_be_source(".gitignore") is False
