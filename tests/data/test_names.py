"""Sensitive names of variables: renamed where the program stays the same, left where somebody else asks for them."""

from __future__ import annotations

import ast
import builtins
import random
import sysconfig
from pathlib import Path

import pytest

from buril.code.codefile import CodeFile
from buril.code.parse import error_bytes, parse
from buril.core.errors import BurilError
from buril.data.step import Shared
from buril.data.steps.names import Names

STEP = Names(Names.Settings(names=("acme", "Juan Pérez", "juan perez")))


def renamed(text: str, language: str = "python", step: Names = STEP) -> str:
    file = CodeFile("r", "a/x", text, language=language)
    shared = Shared(file)
    step.apply(file, shared)
    shared.finish()
    return file.content


@pytest.mark.parametrize(
    ("language", "before", "after"),
    [
        ("python", "acme_token = 1\nprint(acme_token)\n", "var_1 = 1\nprint(var_1)\n"),
        ("python", "CURP_JUAN_PEREZ = x\ny = CURP_JUAN_PEREZ\n", "VAR_1 = x\ny = VAR_1\n"),
        ("python", "def f(juan_perez_password):\n    return juan_perez_password\n", "def f(var_1):\n    return var_1\n"),
        ("python", "var_1 = 0\nacme = 2\n", "var_1 = 0\nvar_2 = 2\n"),
        ("python", "ana_at_firma_com_mx = 1\n", "var_1 = 1\n"),
        ("javascript", "const clienteAcmeToken = 1; f(clienteAcmeToken, o.acmeKey);", "const var1 = 1; f(var1, o.acmeKey);"),
        ("typescript", "let acme_key: string = k(acme_key2);", "let var_1: string = k(acme_key2);"),
        ("java", "class A { void f() { String acmeToken = g(); h(acmeToken); } }", "class A { void f() { String var1 = g(); h(var1); } }"),
        ("java", "class A { private String acmeToken; String f() { return acmeToken; } }", "class A { private String var1; String f() { return var1; } }"),
        ("go", "package a\n\nfunc f() {\n\tacmeToken := 1\n\tg(acmeToken)\n}\n", "package a\n\nfunc f() {\n\tvar1 := 1\n\tg(var1)\n}\n"),
        ("c", "int f(void) { int acme_n = 1; return acme_n + s->acme_n; }", "int f(void) { int var_1 = 1; return var_1 + s->acme_n; }"),
    ],
)  # fmt: skip
def test_variables_get_generic_names_in_the_whole_file(language: str, before: str, after: str) -> None:
    assert renamed(before, language) == after


@pytest.mark.parametrize(
    ("language", "text"),
    [
        ("python", "import acme\nacme.run()\n"),
        ("python", "from acme import acme_client\nacme_client()\n"),
        ("python", "f(acme_token=1)\nacme_token = 2\n"),
        ("python", "x.acme_token = 1\nacme_token = 2\n"),
        ("python", 'acme_token = 1\nprint(d["acme_token"])\n'),
        ("python", "class AcmeClient:\n    pass\n"),
        ("python", "acmeist = 1\npacmen = 2\n"),
        ("javascript", "export const acmeToken = 1;"),
        ("javascript", "import { acmeToken } from './a'; f(acmeToken);"),
        ("javascript", "const acmeToken = 1; f({ acmeToken });"),
        ("java", "class A { public String acmeToken; }"),
        ("java", "class A { void acmeRun() { acmeRun(); } }"),
        ("go", "package a\n\nvar AcmeToken = 1\n"),
        ("c", "#define ACME_N 3\nint a = ACME_N;\n"),
        ("ruby", "acme_token = 1\n"),
    ],
)  # fmt: skip
def test_names_that_others_ask_for_stay(language: str, text: str) -> None:
    assert renamed(text, language) == text


def test_without_names_nothing_happens() -> None:
    assert renamed("acme_token = 1\n", step=Names()) == "acme_token = 1\n"


def test_a_name_of_two_letters_is_refused() -> None:
    with pytest.raises(BurilError) as error:
        Names.Settings(names=("x1",))
    assert error.value.code == "D210"


def test_real_python_keeps_its_bindings() -> None:
    """Words that real code is full of, renamed: the same tree but for names, and every name used is still bound."""
    step = Names(Names.Settings(names=("value", "name", "path", "result", "data")))
    files = sorted(
        path
        for path in Path(sysconfig.get_paths()["purelib"]).glob("[a-s]*/*.py")
        if 2_000 < path.stat().st_size < 14_000
    )
    changed = 0
    for path in random.Random(3).sample(files, 60):
        text = path.read_bytes().decode("utf-8", "ignore").replace("\r\n", "\n")
        try:
            before = ast.parse(text)
        except (SyntaxError, ValueError):
            continue
        after_text = renamed(text, step=step)
        changed += after_text != text
        after = ast.parse(after_text)
        assert shape(before) == shape(after), path
        assert unbound(after) <= unbound(before), path
        assert error_bytes(parse("python", after_text.encode())) == error_bytes(parse("python", text.encode()))
    assert changed >= 20


def shape(tree: ast.AST) -> list[str]:
    return [type(node).__name__ for node in ast.walk(tree)]


def unbound(tree: ast.AST) -> set[str]:
    """Names that are read somewhere and bound nowhere in the file."""
    read, bound = set(), set(dir(builtins))
    for node in ast.walk(tree):
        if isinstance(node, ast.Name):
            (read if isinstance(node.ctx, ast.Load) else bound).add(node.id)
        elif isinstance(node, ast.arg):
            bound.add(node.arg)
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            bound.add(node.name)
        elif isinstance(node, ast.alias):
            bound.add((node.asname or node.name).split(".")[0])
        elif isinstance(node, ast.ExceptHandler) and node.name:
            bound.add(node.name)
    return read - bound
