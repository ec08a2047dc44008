"""Imports: what is read, what it means among the paths of a repository, and an order that respects it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from buril.code.imports import Repository, imports, in_order
from buril.code.parse import parse


@pytest.mark.parametrize(
    ("language", "source", "names"),
    [
        ("python", "import a.b, c as d\nfrom .e import (f,\n g)\nfrom . import h\nfrom i import *\nx = 'import j'\n",
         [".", ".e", ".e.f", ".e.g", ".h", "a.b", "c", "i"]),
        ("javascript", 'import a from "./x"; const b = require("../y"); export * from "z"; other("w");',
         ["../y", "./x", "z"]),
        ("typescript", "import {a} from './x';", ["./x"]),
        ("go", 'package a\nimport (\n "fmt"\n x "m/y"\n)\n', ["fmt", "m/y"]),
        ("java", "import a.b.C;\nimport static a.D.e;\n", ["a.D.e", "a.b.C"]),
        ("c", '#include <stdio.h>\n#include "x/y.h"\n', ["stdio.h", "x/y.h"]),
        ("ruby", "require 'x'", []),
    ],
)  # fmt: skip
def test_what_a_file_imports(language: str, source: str, names: list[str]) -> None:
    assert imports(language, parse(language, source.encode())) == names


PATHS = [
    "src/shop/__init__.py", "src/shop/money.py", "src/shop/cart/__init__.py", "src/shop/cart/items.py", "web/app.ts",
    "web/lib/index.ts", "web/lib/net.js", "go/store/a.go", "go/store/b.go", "java/com/acme/Cart.java", "c/inc/list.h",
    "c/main.c",
]  # fmt: skip


@pytest.mark.parametrize(
    ("language", "path", "name", "targets"),
    [
        ("python", "src/shop/cart/items.py", "shop.money", ["src/shop/money.py"]),
        ("python", "src/shop/cart/items.py", "..money", ["src/shop/money.py"]),
        ("python", "src/shop/cart/items.py", ".", ["src/shop/cart/__init__.py"]),
        ("python", "src/shop/cart/items.py", "shop.cart", ["src/shop/cart/__init__.py"]),
        ("python", "src/shop/cart/items.py", "os.path", []),
        ("typescript", "web/app.ts", "./lib", ["web/lib/index.ts"]),
        ("typescript", "web/lib/index.ts", "./net", ["web/lib/net.js"]),
        ("typescript", "web/lib/index.ts", "./nothing", []),
        ("go", "go/main.go", "acme.org/x/store", []),
        ("go", "go/main.go", "acme.org/go/store", ["go/store/a.go", "go/store/b.go"]),
        ("java", "x/Main.java", "com.acme.Cart", ["java/com/acme/Cart.java"]),
        ("c", "c/main.c", "inc/list.h", ["c/inc/list.h"]),
        ("c", "c/main.c", "list.h", ["c/inc/list.h"]),
        ("c", "c/main.c", "stdio.h", []),
    ],
)
def test_what_an_import_means(language: str, path: str, name: str, targets: list[str]) -> None:
    assert Repository(PATHS).targets(language, path, name) == targets


def test_files_come_after_what_they_need() -> None:
    assert in_order(["a", "b", "c", "d"], {"a": ["c"], "c": ["d"]}) == ["b", "d", "c", "a"]
    assert in_order(["a", "b", "c"], {"a": ["b"], "b": ["a"]}) == ["c", "a", "b"]
    assert in_order(["b", "a"], {"a": ["a", "elsewhere"]}) == ["a", "b"]


@given(st.dictionaries(st.integers(0, 12).map(str), st.lists(st.integers(0, 12).map(str), max_size=4), max_size=13))
def test_order_is_whole_respects_what_it_can_and_depends_on_nothing_else(needs: dict[str, list[str]]) -> None:
    paths = sorted(needs)
    found = in_order(paths, needs)
    assert sorted(found) == paths
    assert in_order(paths[::-1], {path: needs[path][::-1] for path in paths[::-1]}) == found
    acyclic = {path: [other for other in needs[path] if other < path] for path in paths}
    place = {path: number for number, path in enumerate(in_order(paths, acyclic))}
    assert all(place[other] < place[path] for path in paths for other in acyclic[path] if other in place)
