"""The steps of `prepare`: what they remove, what they keep, and that programs stay what they were."""

from __future__ import annotations

import ast
import random
import sysconfig
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from buril.code.codefile import CodeFile
from buril.code.parse import comments, parse
from buril.core.plugins import plugin
from buril.data.step import Edit, Numbers, Shared, apply
from buril.scanners._rules import fill
from tests.pace import pace

TOKEN = "gh" + "p_" + fill("ABCDEFGHabcdefgh0123456789", 36)


def done(content: str, *steps: str, language: str = "python", path: str = "a/x", **settings: Any) -> CodeFile:
    """A file after some steps; `settings` go to the step that has them."""
    file = CodeFile("r", path, content, language=language)
    shared = Shared(file)
    for name in steps:
        kind = plugin("step", name)
        own = {key: value for key, value in settings.items() if key in kind.Settings.model_fields}
        kind(kind.Settings(**own)).apply(file, shared)
    shared.finish()
    return file


def cleaned(content: str, language: str = "python", remove: str = "noise") -> str:
    return done(content, "comments", language=language, remove=remove).content


def real_python() -> Iterator[Path]:
    folder = Path(sysconfig.get_paths()["purelib"])
    files = sorted(path for path in folder.glob("[a-s]*/*.py") if 1_000 < path.stat().st_size < 14_000)
    yield from random.Random(3).sample(files, 230)


def dumped(text: str) -> str | None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return ast.dump(ast.parse(text))
        except (SyntaxError, ValueError):
            return None


def test_real_python_keeps_its_syntax_tree() -> None:
    compared = changed = tabbed = 0
    for number, path in enumerate(real_python()):
        text = path.read_bytes().decode("utf-8", "ignore")
        before = dumped(text)
        if before is None:
            continue
        if number % 3 == 0 and dumped(with_tabs(text)) == before:  # what is indented by two spaces is another program
            text = with_tabs(text)  # the same program as somebody with tabs and Windows would have it
            tabbed += 1
        file = done(text, "newlines", "syntax", "comments", "indent", remove="all" if number % 2 else "noise")
        compared, changed = compared + 1, changed + (file.content != text)
        assert dumped(file.content) == before, path
        assert not file.verdicts
    assert compared >= 200
    assert tabbed >= 60
    assert changed >= compared // 2


def with_tabs(text: str) -> str:
    """The same program indented by tabs, with white space at line ends and CR LF; lines inside strings as they were."""
    crossed: set[int] = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Constant | ast.JoinedStr) and node.end_lineno:
            crossed.update(range(node.lineno, node.end_lineno))  # lines whose end is inside a literal
    lines = []
    for number, line in enumerate(text.split("\n"), 1):
        indent = 0 if number - 1 in crossed else len(line) - len(line.lstrip(" "))
        end = "" if number in crossed or line.endswith("\\") else " \t"
        lines.append("\t" * (indent // 4) + " " * (indent % 4) + line[indent:] + end)
    return "\r\n".join(lines)


@pytest.mark.parametrize(
    ("language", "text"),
    [
        ("c", "/* Copyright 2020 A */\n#define A 1 // one\nint f(void) {\n\treturn A; /* a */ // b\n}\n"),
        ("go", 'package a\n\n// #include <x.h>\nimport "C"\n\n//go:build linux\nfunc f() {\n\tx := 1 // one\n}\n'),
        ("javascript", "// eslint-disable\nconst a = `\n\tkeep  \n// not a comment\n`; /* b */ f(a /* c */, 1);\n"),
        ("bash", "#!/bin/sh\ncat <<-EOF\n\t# text  \n\tEOF\n\techo 1 # one\n"),
        ("rust", '// fn old() { f(); }\n/// Doc\nfn f() {\n\tlet s = r#"\n\tx  "#; // s\n}\n'),
    ],
)
def test_other_languages_keep_their_tokens(language: str, text: str) -> None:
    for remove in ("noise", "all"):
        file = done(text, "comments", language=language, remove=remove)
        after = done(file.content, "indent", language=language).content
        assert _tokens(language, after) == _tokens(language, text)


def _tokens(language: str, text: str) -> list[bytes]:
    found: list[bytes] = []
    pending = [parse(language, text.encode()).root_node]
    while pending:
        node = pending.pop()
        if "comment" not in node.type:
            pending.extend(reversed(node.children))
            if not node.child_count and (node.text or b"").strip():
                found.append((node.text or b"").strip(b"\n"))
    return found


def test_noise_is_removed_and_the_rest_stays() -> None:
    text = (
        "#!/usr/bin/env python\n# -*- coding: utf-8 -*-\n# Copyright 2020 Acme\n# Licensed under the MIT License\n\n"
        '"""Doc # not a comment."""\n'
        "import os  # noqa: F401\n\n# ------------------\n# Helpers of the parser\n# ------------------\n"
        "# old = compute(1)\n# print(old)\n\n# Adds one, because callers count from zero (see f).\n"
        "def f(x):  # type: ignore\n    # TODO: speed up\n    y = x + 1  # the next one\n    return y\n"
    )
    assert cleaned(text) == (
        '#!/usr/bin/env python\n# -*- coding: utf-8 -*-\n\n"""Doc # not a comment."""\nimport os  # noqa: F401\n\n'
        "# Helpers of the parser\n# old = compute(1)\n# print(old)\n\n"
        "# Adds one, because callers count from zero (see f).\n"
        "def f(x):  # type: ignore\n    y = x + 1  # the next one\n    return y\n"
    )
    assert cleaned(text, remove="all").count("#") == 5


@pytest.mark.parametrize(
    ("language", "comment"),
    [
        ("python", "# old = compute(1)\n"),
        ("python", "# for x in y:\n#     print(x)\n"),
        ("python", "# import os\n"),
        ("python", "# self.close()\n"),
        ("c", "// foo(bar, 1);\n"),
        ("javascript", "// const a = f(b);\n"),
        ("java", "// int a = f(b);\n"),
        ("go", "// x := f(b)\n"),
        ("rust", "// let x = f(b);\n"),
        ("solidity", "// balances[a] = 1;\n"),
        ("c", "/* int x = f(1);\n * g(x); */\n"),
        ("python", "# -----\n"),
        ("python", "# FIXME later\n"),
        ("c", "/*********/\n"),
        ("python", "# TODO: later \t\n"),
    ],
)
def test_noise(language: str, comment: str) -> None:
    code = {"solidity": "contract A {}\n", "go": "package a\n", "python": "a = 1\n"}.get(language, "int a;\n")
    assert cleaned(code + comment + code, language) == code + code


@pytest.mark.parametrize(
    ("language", "comment"),
    [
        ("python", "# Note: this is subtle\n"),
        ("python", "# returns the width\n"),
        ("python", "# return value\n"),
        ("python", "# see f(x) and g(y).\n"),
        ("python", "# Example (optional)\n"),
        ("python", "# sqrt(x)\n"),
        ("python", "# x\n"),
        ("bash", "# see the manual\n"),
        ("c", "/** Doc: f(x); */\n"),
        ("rust", "/// let a = f(1);\n"),
        ("c", "// see below\n"),
        ("python", "# Usage:\n#   f(x)\n"),
        ("javascript", "// eslint-disable-next-line no-console\n"),
        ("go", "//go:generate stringer -type=A\n"),
        ("python", "# mypy: ignore-errors\n"),
        ("java", "// NOSONAR f(x);\n"),
    ],
)
def test_prose_documentation_and_directives_are_kept(language: str, comment: str) -> None:
    code = {"go": "package a\n", "python": "a = 1\n", "bash": "ls\n"}.get(language, "int a;\n")
    assert cleaned(code + comment + code, language) == code + comment + code


def test_a_comment_goes_with_the_space_around_it() -> None:
    assert cleaned("a = 1  # x \t\nb = 2 # y", remove="all") == "a = 1\nb = 2"
    assert cleaned("f(a/* x */b);\nint c; /* one\ntwo */ int d; /* y */\n", "c", "all") == (
        "f(a b);\nint c; /* one\ntwo */ int d;\n"
    )


def test_an_spdx_line_is_recorded_before_it_goes() -> None:
    file = done("// SPDX-License-Identifier: GPL-2.0-only OR MIT\nint a;\n", "comments", language="c")
    assert (file.license, file.content, file.signals["license_header"]) == ("GPL-2.0-only OR MIT", "int a;\n", 1.0)
    file = CodeFile("r", "x", "# SPDX-License-Identifier: GPL-3.0-only\na = 1\n", language="python", license="MIT")
    kind = plugin("step", "comments")
    kind(kind.Settings()).apply(file, Shared(file))
    assert file.license == "GPL-3.0-only"
    assert [(item.rule, item.line) for item in file.findings] == [("license_differs", 1)]
    text = "// SPDX-License-Identifier: MIT\npragma solidity ^0.8.0;\ncontract A {}\n"
    assert done(text, "comments", language="solidity", remove="all").content == text


def test_script_metadata_and_cgo_stay() -> None:
    text = '# /// script\n# dependencies = ["x"]\n# ///\nimport x\n'
    assert cleaned(text, remove="all") == text
    text = 'package a\n\n// #include <stdio.h>\nimport "C"\n'
    assert cleaned(text, "go", remove="all") == text


def test_indent_knows_languages_and_literals() -> None:
    def indented(text: str, language: str) -> str:
        return done(text, "newlines", "indent", language=language).content

    assert indented("if a:\r\n\tb = 1 \r\n", "python") == "if a:\n    b = 1\n"
    assert (
        indented("if a:\n        b\n\tc\n", "python") == "if a:\n        b\n        c\n"
    )  # a mixed file: stops of eight
    assert indented("function f() {\n\treturn 1\n}", "javascript") == "function f() {\n  return 1\n}\n"
    assert indented("package a\n\nfunc f() {\n\tg() \n}\n", "go") == "package a\n\nfunc f() {\n\tg()\n}\n"
    assert indented('a = """\n\tx \n"""\n\n\n', "python") == 'a = """\n\tx \n"""\n'
    assert indented("\ufeffa = 1", "python") == "a = 1\n"
    assert indented("cat <<EOF\n\tx \nEOF\n", "bash") == "cat <<EOF\n\tx \nEOF\n"
    assert indented("#define A \\ \n 1\n", "c") == "#define A \\ \n 1\n"


@pytest.mark.parametrize(
    ("path", "content", "reason"),
    [
        ("a_pb2.py", "a = 1\n", "generated"),
        ("x.py", "# Generated by the protocol buffer compiler.  DO NOT EDIT!\na = 1\n", "generated"),
        ("x.go", "// Code generated by stringer; DO NOT EDIT.\n", "generated"),
        ("a.min.js", "a\n", "minified"),
        ("b.js", "var a=1;" * 400, "minified"),
        ("b.py", "a = [" + "1, " * 400 + "]\n", "long_line"),
        ("yarn.lock", "a\n", "lockfile"),
        ("lib/vendor/a.py", "a = 1\n", "vendored"),
        ("a.py", "x = [\n" + "    0x1f, 0x2e, 0x3d, 0x4c,\n" * 300 + "]\n", "data"),
        ("a.py", "K = '''\n" + ("Ab9/" * 19 + "\n") * 60 + "'''\n", "data"),
        ("a.c", "{};" * 50 + "\n", "low_alphanumeric"),
        ("a.py", "", "empty"),
        ("ok.py", "def f():\n    return 'This file was generated by hand'\n", ""),
    ],
)
def test_generated(path: str, content: str, reason: str) -> None:
    file = done(content, "generated", language="javascript" if path.endswith("js") else "python", path=path)
    assert [verdict.reason for verdict in file.verdicts] == ([reason] if reason else [])


def test_generated_reads_thresholds_and_notes_signals() -> None:
    file = done("ab = 1\nc\n", "generated", max_line=5)
    assert [verdict.reason for verdict in file.verdicts] == ["long_line"]
    assert (file.signals["lines"], file.signals["line_max"]) == (2, 6)


def test_syntax_is_judged_by_the_language() -> None:
    assert [verdict.reason for verdict in done("def f(:\n  ]\n" * 5, "syntax").verdicts] == ["syntax_errors"]
    assert done("def f(): pass\n", "syntax").signals["parse_errors"] == 0
    macro = "int f(void) { return 1; }\n" * 40 + "FOO(a) BAR int g(\n"
    assert [verdict.reason for verdict in done(macro, "syntax", language="c").verdicts] == []
    assert done(macro, "syntax", language="c", tolerance=0.0).verdicts[0].reason == "syntax_errors"


def test_language_is_completed_or_refused() -> None:
    assert done("a = 1\n", "language", language="", path="a.py").language == "python"
    assert done("a\n", "language", language="", path="a.zzz").verdicts[0].reason == "unknown_language"


def test_redaction_keeps_the_syntax_and_the_number() -> None:
    text = f'a = "{TOKEN}"\nb = "x {TOKEN}"  # bob@acme-corp.com, amy@acme-corp.com, bob@acme-corp.com\nc = A@np.dot\n'
    file = done(text, "syntax", "secrets")
    assert TOKEN not in file.content
    assert file.content == (
        'a = "<SECRET_GITHUB_TOKEN_1>"\nb = "x <SECRET_GITHUB_TOKEN_1>"  # <EMAIL_1>, <EMAIL_2>, <EMAIL_1>\nc = A@np.dot\n'
    )
    assert [(item.rule, item.line) for item in file.redactions] == [
        ("github_token", 1),
        *[("github_token", 2)],
        *[("email", 2)] * 3,
    ]
    assert TOKEN not in repr(file)
    shell = done(f"export TOKEN={TOKEN}\n", "syntax", "secrets", language="bash")
    assert shell.content == "export TOKEN=SECRET_GITHUB_TOKEN_1\n"


def test_a_rejected_file_is_redacted_without_a_tree() -> None:
    file = done(f"def f(:\n x = {TOKEN}\n" * 3, "syntax", "comments", "secrets", "indent")
    assert file.verdicts
    assert TOKEN not in file.content


def test_numbers_are_by_repository_and_rule() -> None:
    numbers = Numbers({("big", "email", b"x"): 7})
    given_numbers = [
        numbers.of("a", "email", b"x"),
        numbers.of("a", "email", b"y"),
        numbers.of("a", "ip", b"x"),
        numbers.of("a", "email", b"x"),
    ]
    assert given_numbers == [1, 2, 1, 1]
    assert (numbers.of("b", "email", b"y"), numbers.of("big", "email", b"x")) == (1, 7)


@given(
    st.binary(max_size=60),
    st.lists(st.tuples(st.integers(0, 60), st.integers(0, 8), st.binary(max_size=3)), max_size=6),
)
def test_edits_touch_nothing_else(source: bytes, wanted: list[tuple[int, int, bytes]]) -> None:
    edits = [Edit(start, min(len(source), start + size), new) for start, size, new in wanted if start <= len(source)]
    edits = [edit for edit in edits if edit.end > edit.start]
    after = apply(source, edits)
    covered = {at for edit in edits for at in range(edit.start, edit.end)}
    kept = bytes(byte for at, byte in enumerate(source) if at not in covered)
    remaining = iter(after)
    assert all(byte in remaining for byte in kept)
    assert len(after) <= len(kept) + sum(len(edit.new) for edit in edits)
    assert apply(source, list(reversed(edits))) == after or len({(edit.start, edit.end) for edit in edits}) < len(edits)


@pytest.mark.parametrize(
    "text",
    [
        "\t" * 60_000 + "\n",
        " " * 60_000 + "x",
        "(" * 60_000,
        "a = [" * 20_000,
        "@" * 60_000,
        "://" * 30_000,
        "#" * 60_000,
        "# " + " " * 60_000 + "x\n",
        "x = '" + "Ab9/" * 16 + " " * 60_000,
        "1, " * 16 + " " * 60_000,
        "-----BEGIN PRIVATE KEY-----" * 900,
        "# a@b.cd\n" * 6_000,
        "password=" * 9_000,
        "a\\" * 30_000,
        "# Copyright\n" * 5_000,
    ],
    ids=range(15),
)
def test_no_text_takes_long(text: str) -> None:
    began = time.process_time()
    done(text, "generated", "newlines", "comments", "secrets", "indent")
    assert time.process_time() - began < 3 * pace()


def test_a_huge_file_is_not_parsed() -> None:
    huge = done("a = 1 \n" * 170_000, "syntax", "comments", "secrets", "indent")
    assert [verdict.reason for verdict in huge.verdicts] == ["too_large"]
    assert "parse_errors" not in huge.signals


SAMPLES = {
    "rust": '//! a\n/// doc\nfn f() { /* a /* in */ b */ let x = "// no"; // t\n}\n/** d */\nstruct A;\n',
    "php": "<?php\n# a\n// b\n/** c */\n$x = '# no'; #[Attr]\nfunction f() {}\n",
    "ruby": "# a\nx = '# no' # t\n",
    "lua": "-- a\n--[[ b\nc ]]\nlocal x = '-- no' -- t\n",
    "julia": '# a\n#= b #= n =# =#\nx = "# no" # t\n',
    "haskell": "{-# LANGUAGE X #-}\n-- a\n{- b {- n -} -}\n-- | doc\nf x = x\n",
    "ocaml": '(* a (* n *) *)\n(** doc *)\nlet x = "(* no *)" (* t *)\n',
    "csharp": '/// d\nclass A { /* a */ string x = "// no"; // t\n}\n',
    "tsx": "// a\nconst x = <div>{/* c */}// text</div>; /* t */\n",
    "typescript": "/// <reference path='x'/>\nlet x: string = `// no ${1 /* in */}`; /* t */\n",
    "sql": "-- a\nSELECT '-- no' /* b */ FROM t; -- c\n",
    "css": "/* a */\na { b: url(http://x) /* c */ }\n",
    "perl": "# a\nmy $x = '# no'; # t\n=pod\n\nx # y\n\n=cut\nprint 1; # z\n",
    "html": "<!-- a -->\n<p title='<!-- no'>b</p><!-- c -->\n",
}


@pytest.mark.parametrize("language", sorted(SAMPLES))
def test_comments_found_by_their_marks_are_those_of_the_tree(language: str) -> None:
    same_comments(SAMPLES[language], language)


def test_comments_of_real_python_are_those_of_the_tree() -> None:
    for path in list(real_python())[:40]:
        same_comments(path.read_text(encoding="utf-8", errors="ignore"), "python")


def same_comments(text: str, language: str) -> None:
    source = text.encode()
    of_tree = [source[start:end].rstrip() for start, end in comments(parse(language, source))]
    shared = Shared(CodeFile("r", "x", text, language=language))
    assert [source[start:end].rstrip() for start, end in shared.comments] == of_tree
    assert of_tree or language == "python"


def test_edits_that_meet() -> None:
    assert apply(b"abcdef", [Edit(1, 5, b""), Edit(2, 3, b"X")]) == b"af"
    assert apply(b"abcdef", [Edit(1, 3, b"X"), Edit(2, 5, b"Y")]) == b"aXYf"
    assert apply(b"abcdef", [Edit(1, 2, b"X"), Edit(2, 3, b"Y")]) == b"aXYdef"
