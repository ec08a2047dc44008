"""Own repositories: functions with examples of their own, cut out with what they need, and asked if they hold."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from buril.code.codefile import CodeFile, write_rows
from buril.core.artifact import Artifact
from buril.core.errors import BurilError
from buril.evaluate._examples import Example
from buril.evaluate._mined import Mined, mined
from buril.evaluate.suite import SuiteContext
from buril.evaluate.suites.own_repo import OwnRepo
from buril.generators._generator import Completion
from buril.sandboxes.namespaces import Namespaces
from tests.conftest import as_artifact

MODULE = '''"""Money, as the ledger writes it."""

from __future__ import annotations

import re
import numpy as np  # not needed by what is asked
from .other import unknown

SIGN = "$"
_PARTS = re.compile(r"[,.]")


class Odd:
    value = unknown


def cents(text):
    """The cents of an amount.

    >>> cents("$1.50")
    150
    """
    # the sign is left out
    parts = _PARTS.split(text.removeprefix(SIGN))
    return _sum(parts)


def _sum(parts):
    return int("".join(parts))


def shown(amount, sign=SIGN):
    """How an amount is shown."""
    return f"{sign}{amount // 100}.{amount % 100:02d}"


def wrong(n):
    """Says what it does not do.

    >>> wrong(1)
    2
    >>> wrong(2)
    3
    """
    return n  # as it was given, not one more


def silent(n):
    """Gives nothing, as an empty body does.

    >>> silent(1)
    None
    >>> silent(2)
    None
    """
    print("nothing comes of", n)


def lost(n):
    """Needs what is not here.

    >>> lost(1)
    1
    >>> lost(2)
    2
    """
    return unknown(n) or unknown(n + 1)


@property
def decorated(n):
    """>>> decorated(1)
    1
    """
    return n


def nothing(n):
    """>>> nothing(1)
    """


def line(n): return n  # nothing(1) == 1
'''
TESTS = """import unittest

from ledger.money import cents, shown


def test_cents():
    assert cents("$2.00") == 200
    assert 300 == cents("3.00")
    assert cents("$1.50") == 150
    assert cents(text="x") == 1
    assert shown(5) != "x"


class Shown(unittest.TestCase):
    def test_shown(self):
        self.assertEqual(shown(1234), "$12.34")
        self.assertEqual("€0.05", shown(5, "€"))
        self.assertEqual(shown(1234), "$12.34", "again")
"""


def rows(*more: CodeFile) -> list[CodeFile]:
    return [
        CodeFile("acme/ledger", "ledger/money.py", MODULE, language="python", license="MIT"),
        CodeFile("acme/ledger", "tests/test_money.py", TESTS, language="python", license="MIT"),
        CodeFile("acme/other", "tests/test_money.py", "assert cents('x') == 7\n", language="python"),
        CodeFile("acme/ledger", "ledger/broken.py", "def broken(:\n", language="python"),
        CodeFile("acme/ledger", "ledger/a.js", "function f() {}\n", language="javascript"),
        *more,
    ]


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Namespaces]:
    with Namespaces(Namespaces.Settings()) as made:
        yield made


def split_of(tmp_path: Path, files: list[CodeFile]) -> Artifact:
    write_rows(tmp_path / "split" / "test" / "00000.parquet", files)
    return as_artifact(tmp_path / "split", "split")


def test_functions_with_examples_are_found() -> None:
    found = {item.name: item for item in mined(rows())}
    assert set(found) == {"cents", "shown", "wrong", "silent", "lost"}
    cents = found["cents"]
    assert cents.shown == (Example(("$1.50",), 150),)
    assert cents.asserted == (Example(("$2.00",), 200), Example(("3.00",), 300)), "what is shown already is left out"
    assert found["shown"].asserted == (Example((1234,), "$12.34"), Example((5, "€"), "€0.05"))
    assert cents.examples == cents.asserted + cents.shown


def test_a_function_is_cut_out_with_what_it_needs() -> None:
    cents = next(item for item in mined(rows()) if item.name == "cents")
    assert cents.needs.split("\n") == [
        "from __future__ import annotations", "import re", "SIGN = '$'", "_PARTS = re.compile('[,.]')", "def _sum(parts):",
        "    return int(''.join(parts))", "",
    ]  # fmt: skip
    assert cents.head.startswith("def cents(text):\n") and cents.head.endswith('    """\n')
    assert cents.body.startswith("    # the sign is left out\n") and cents.body.endswith("return _sum(parts)\n")
    assert cents.before + cents.body in MODULE and cents.before.endswith(cents.head)
    shown = next(item for item in mined(rows()) if item.name == "shown")
    assert "SIGN = '$'" in shown.needs, "the default of an argument is used too"


def test_only_what_holds_is_asked(tmp_path: Path, sandbox: Namespaces) -> None:
    context = SuiteContext(None, split_of(tmp_path, rows()), lambda: sandbox)  # type: ignore[arg-type]  # no model yet
    suite = OwnRepo(OwnRepo.Settings())
    suite.check(context)
    names = [item.name for item in suite.problems(context)]
    assert names == ["acme/ledger/ledger/money.py#cents", "acme/ledger/ledger/money.py#shown"]
    assert [item.name for item in suite.problems(SuiteContext(None, context.split, context.sandbox, max_items=1))]  # type: ignore[arg-type]
    strict = OwnRepo(OwnRepo.Settings(min_examples=3))
    assert [item.name.rpartition("#")[2] for item in strict.problems(context)] == ["cents"]
    assert OwnRepo(OwnRepo.Settings(max_body_bytes=30)).problems(context) == []


class Writer:
    """It completes as the text before the body ends."""

    def __init__(self, **bodies: str) -> None:
        self.bodies, self.prompts = bodies, list[str]()

    def chat(self, messages: Any) -> str:
        raise BurilError("T017")

    def complete(self, requests: Any) -> Iterator[list[Completion]]:
        for request in requests:
            self.prompts.append(request.prompt)
            name = request.prompt.rpartition("\ndef ")[2].partition("(")[0]
            yield [Completion(self.bodies[name], (), "stop", 0.0)]


def test_answers_are_judged_by_all_examples(tmp_path: Path, sandbox: Namespaces) -> None:
    writer = Writer(
        cents="    return 150  # what the description shows\n",
        shown="    whole, part = divmod(amount, 100)\n    return sign + str(whole) + '.' + str(part).zfill(2)\n\n\nx = 1\n",
    )
    context = SuiteContext(writer, split_of(tmp_path, rows()), lambda: sandbox, max_prompt_bytes=400)  # type: ignore[arg-type]
    found = OwnRepo(OwnRepo.Settings()).run(context)
    assert found.measures["pass@1"].numerators == [0.0, 1.0] and not any(row["forgeable"] for row in found.samples)
    assert all(len(prompt) <= 400 and MODULE.count(prompt) == 1 for prompt in writer.prompts)
    assert "$2.00" not in writer.prompts[0], "the tests are hidden"


def test_without_such_functions_there_is_no_score(tmp_path: Path, sandbox: Namespaces) -> None:
    files = [CodeFile("acme/a", "a.py", "def f(a):\n    return a\n", language="python")]
    context = SuiteContext(Writer(), split_of(tmp_path, files), lambda: sandbox)  # type: ignore[arg-type]
    found = OwnRepo(OwnRepo.Settings()).run(context)
    assert found.measures["pass@1"].units == [] and found.measures["pass@1"].interval(0) is None


@pytest.mark.parametrize(
    "content", ["x = (" * 5000, "def f(a):\n    '''>>> f(1)\n    1'''\n    return a\n" * 2, "\x00", ""]
)
def test_odd_files_are_no_trouble(content: str) -> None:
    found: Callable[..., list[Mined]] = lambda: list(mined([CodeFile("a", "a.py", content, language="python")]))  # noqa: E731
    assert found() == []
