"""Excerpts of files: whole functions, what encloses them, and the imports that they use."""

from __future__ import annotations

import ast
import random

import pytest

from buril.code.excerpt import excerpt, halves, kept_spans, outermost, words
from buril.code.parse import parse
from tests.data.made import stdlib

PYTHON = '''"""A module."""
import os, sys
import re  # patterns
from a import (
    b,
    c,
)

X = 1  # one
Y = 2  # two


# about f
def f():
    return X + b


class A(B):
    """A class."""

    z = 1

    def g(self):
        return 1

    # about h
    @deco
    def h(self):
        return re.match("a", self.z)


def j():
    def k():
        return Y
    return k
'''
JAVA = """package a.b;

import java.util.List;
import java.sql.*;
import c.D;

/** A class. */
public class Foo extends Bar {
    private final List<String> x;
    public Foo() { x = null; }

    /** Gets. */
    @Get
    public List<String> get(int n) {
        return x;
    }
}
"""
C = """#ifndef A
#define A
#include <stdio.h>
#define N 10
#define M 20
static int g;
int f(char *s) { return N + g; }
int h(void) { return M; }
#endif
"""
GO = """package main

import (
	"fmt"
	"os"
)

var x = 1

// F does.
func F(a string) string { return fmt.Sprint(a) }

func (s *S) G() int { return x }
"""
JAVASCRIPT = """"use strict";
const fs = require("fs");
const cp = require("child_process");

module.exports = (app) => {
  app.get("/", (req, res) => { res.send(1) });
  function run(a) { cp.exec(a); }
};
"""
PHP = r"""<?php
namespace A;
use B\C;
use D\E;

class Foo {
    private $x = 1;
    public function get($id) { return C::q("a" . $id); }
    public function set() { }
}
"""


def of(language: str, text: str, name: str, most: int = 1_000) -> str:
    source = text.encode()
    tree = parse(language, source)
    span = next((item.start, item.end) for item in outermost(tree, language, most) if item.name == name)
    return excerpt(source, tree, [span], words(source, [span], language)).decode()


@pytest.mark.parametrize(
    ("language", "text", "name", "expected"),
    [
        (
            "python", PYTHON, "f",
            "from a import (\n    b,\n    c,\n)\n\nX = 1  # one\n\n\n# about f\ndef f():\n    return X + b\n",
        ),
        (
            "python", "import logging\nimport os\n\nNAME = 'x'\n_log = logging.getLogger(NAME)\n\n\ndef f():\n    _log.info(1)\n",
            "f", "import logging\n\nNAME = 'x'\n_log = logging.getLogger(NAME)\n\n\ndef f():\n    _log.info(1)\n",
        ),
        ("python", PYTHON, "A.g", "class A(B):\n\n    def g(self):\n        return 1\n"),
        (
            "python", PYTHON, "A.h",
            "import re  # patterns\nfrom a import (\n    b,\n    c,\n)\n\n\nclass A(B):\n\n    # about h\n    @deco\n"
            '    def h(self):\n        return re.match("a", self.z)\n',
        ),
        ("python", PYTHON, "j", "Y = 2  # two\n\n\ndef j():\n    def k():\n        return Y\n    return k\n"),
        (
            "java", JAVA, "Foo.get",
            "package a.b;\n\nimport java.util.List;\nimport java.sql.*;\n\n/** A class. */\npublic class Foo extends Bar {\n\n"
            "    /** Gets. */\n    @Get\n    public List<String> get(int n) {\n        return x;\n    }\n}\n",
        ),
        (
            "c", C, "A.f",
            "#ifndef A\n#include <stdio.h>\n#define N 10\nstatic int g;\nint f(char *s) { return N + g; }\n#endif\n",
        ),
        (
            "go", GO, "F",
            'package main\n\nimport (\n\t"fmt"\n\t"os"\n)\n\n// F does.\nfunc F(a string) string { return fmt.Sprint(a) }\n',
        ),
        ("go", GO, "G", "package main\n\nvar x = 1\n\nfunc (s *S) G() int { return x }\n"),
        (
            "php", PHP, "Foo.get",
            '<?php\nnamespace A;\nuse B\\C;\nuse D\\E;\n\nclass Foo {\n    public function get($id) { return C::q("a" . $id); }\n}\n',
        ),
    ],
)  # fmt: skip
def test_what_is_kept_around_a_function(language: str, text: str, name: str, expected: str) -> None:
    assert of(language, text, name) == expected


def test_a_function_in_one_that_is_too_long_stands_alone() -> None:
    assert of("javascript", JAVASCRIPT, "run", most=60) == (
        'const cp = require("child_process");\n\nmodule.exports = (app) => {\n  function run(a) { cp.exec(a); }\n};\n'
    )
    inner = [item.name for item in outermost(parse("python", PYTHON.encode()), "python", 30)]
    assert "j" not in inner and "j.k" in inner


def test_functions_of_one_name_are_numbered() -> None:
    source = b"def f():\n    return 1\n\n\ndef f(a):\n    return a\n"
    found = outermost(parse("python", source), "python", 1_000)
    assert [(item.name, item.signature) for item in found] == [("f", b"def f():\n"), ("f#2", b"def f(a):\n")]


def test_the_halves_are_the_imports_and_the_rest() -> None:
    source = PYTHON.encode()
    tree = parse("python", source)
    span = next((item.start, item.end) for item in outermost(tree, "python", 1_000) if item.name == "f")
    head, rest = halves(source, tree, [span], words(source, [span], "python"))
    assert rest == b"def f():\n    return X + b\n" and head.startswith(b"from a import")
    assert kept_spans(tree, [span]) == [span]


def test_excerpts_of_real_code_are_programs_made_of_its_lines() -> None:
    """Python's own parser reads what is left of every function of real files, and no line is new."""
    drawn = random.Random(3)
    seen = 0
    for _name, text in stdlib(25):
        source = text.encode()
        tree = parse("python", source)
        known = outermost(tree, "python", 100_000)
        for item in drawn.sample(known, min(8, len(known))):
            span = (item.start, item.end)
            found = excerpt(source, tree, [span], words(source, [span], "python"))
            ast.parse(found)
            assert source[item.start : item.end] in found
            lines = iter(source.splitlines())
            assert all(any(line == other for other in lines) for line in found.splitlines() if line.strip())
            seen += 1
    assert seen > 120
