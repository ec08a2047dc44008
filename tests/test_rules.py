"""The rules of the house that no linter knows: sizes, reasons, the core's budget, messages used and explained."""

from __future__ import annotations

import ast
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

from buril.core.errors import MESSAGES

ROOT = Path(__file__).resolve().parent.parent
SOURCE = ROOT / "src" / "buril"
FILES = sorted(SOURCE.rglob("*.py"))
MAX_FUNCTION, MAX_PARAMETERS, MAX_FILE, CORE_BUDGET = 40, 5, 400, 1200

# These lists only shrink: take a line out when the code allows it, never add one.
LONG_FILES: set[str] = {"core/errors.py"}  # the message table
LONG_FUNCTIONS: set[str] = set()
MANY_PARAMETERS: set[str] = {
    "generators/_load.py:load",  # what a model is made of, each by name
    "train/attention.py:attend",  # the signature is transformers'
    "train/methods/_gated.py:forward",
    "train/methods/_lora_linear.py:forward",  # autograd functions take tensors one by one
    "train/objectives/_head.py:forward",
    "train/objectives/_pick.py:forward",
}


def name_of(path: Path) -> str:
    return path.relative_to(SOURCE).as_posix()


def functions(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def body_lines(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines of a function without its docstring."""
    first = node.body[0]
    documented = (
        isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str)
    )
    docstring = (first.end_lineno or 0) - first.lineno + 1 if documented else 0
    return (node.end_lineno or 0) - node.lineno + 1 - docstring


def test_files_are_short() -> None:
    long = {name_of(path) for path in FILES if len(path.read_text(encoding="utf-8").splitlines()) > MAX_FILE}
    assert long == LONG_FILES


def test_functions_are_short() -> None:
    long = {
        f"{name_of(path)}:{node.name}" for path in FILES for node in functions(path) if body_lines(node) > MAX_FUNCTION
    }
    assert long == LONG_FUNCTIONS


def test_functions_take_few_parameters() -> None:
    """Click commands take one parameter an option and are called by name; they are left out."""
    many = set()
    for path in FILES:
        for node in functions(path):
            names = [
                a.arg
                for a in (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)
                if a.arg not in ("self", "cls")
            ]
            if len(names) > MAX_PARAMETERS and not (name_of(path).startswith("cli/") and node.decorator_list):
                many.add(f"{name_of(path)}:{node.name}")
    assert many == MANY_PARAMETERS


def code_lines(path: Path) -> int:
    """Lines that hold code: no blanks, comments, docstrings, nor the message table."""
    with path.open("rb") as stream:
        tokens = list(tokenize.tokenize(stream.readline))
    skip = (
        tokenize.COMMENT,
        tokenize.NL,
        tokenize.NEWLINE,
        tokenize.INDENT,
        tokenize.DEDENT,
        tokenize.ENCODING,
        tokenize.ENDMARKER,
    )
    lines = {line for token in tokens if token.type not in skip for line in range(token.start[0], token.end[0] + 1)}
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        text = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
        table = isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.target.id == "MESSAGES"
        if text or table:
            lines -= set(range(node.lineno, (node.end_lineno or 0) + 1))  # type: ignore[attr-defined]  both have lines
    return len(lines)


def test_the_core_fits_in_a_head() -> None:
    assert sum(code_lines(path) for path in (SOURCE / "core").glob("*.py")) <= CORE_BUDGET


def test_every_exception_to_a_lint_gives_its_reason() -> None:
    bare = []
    for path in FILES:
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            for mark in (r"#\s*noqa(?::\s*[A-Z0-9, ]+)?", r"#\s*type:\s*ignore(?:\[[^\]]*\])?"):
                found = re.search(mark, line)
                if found and not re.search(r"\w{3}", line[found.end() :]):
                    bare.append(f"{name_of(path)}:{number}")
    assert not bare


def test_broad_excepts_stand_only_at_the_border() -> None:
    broad = set()
    for path in FILES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ExceptHandler) and (
                node.type is None
                or (isinstance(node.type, ast.Name) and node.type.id in ("Exception", "BaseException"))
            ):
                broad.add(name_of(path))
    library = {"tokens/tokenizer.py"}  # `tokenizers` raises a bare Exception for a file that is no tokenizer
    assert {name for name in broad if not name.startswith("sandboxes/")} <= {"cli/main.py"} | library


def used_codes() -> set[str]:
    texts = {path: path.read_text(encoding="utf-8") for path in FILES if path.name != "errors.py"}
    raised = set(re.findall(r'(?:BurilError|GateFailed)\(\s*"([A-Z]\d{3})"', "\n".join(texts.values())))
    # ruff's rules look like our codes
    named = "\n".join(text for path, text in texts.items() if path.parent.name != "scanners")
    return raised | set(re.findall(r'"([CPSDTEWV]\d{3})"', named))


def test_every_message_is_raised_somewhere_and_every_raised_code_has_its_message() -> None:
    assert used_codes() - MESSAGES.keys() == set()
    assert MESSAGES.keys() - used_codes() == set()


@pytest.mark.parametrize("code", sorted(MESSAGES))
def test_every_message_is_triggered_by_a_test_and_explained(code: str) -> None:
    tests = "\n".join(
        path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("*.py") if path.name != "test_rules.py"
    )
    assert re.search(rf"\b{code}\b", tests), f"no test triggers {code}"
    assert f"### {code}" in (ROOT / "docs" / "reference" / "errors.md").read_text(encoding="utf-8"), (
        f"{code} is not explained"
    )


def test_no_path_of_a_machine_is_written_down() -> None:
    path_of_a_machine = re.compile(r"(?<![~\w.])/(?:work|root|home/\w+)/")
    told = []
    files = [
        *ROOT.glob("*.md"),
        *(ROOT / "docs").rglob("*.md"),
        *FILES,
        *(ROOT / "scripts").glob("*"),
        ROOT / "Makefile",
    ]
    for path in files:
        if path.is_file() and path_of_a_machine.search(path.read_text(encoding="utf-8")):
            told.append(path.name)
    assert not told
