"""ruff and bandit: what each sees, that two passes see what bandit alone sees, and that nothing unread passes as clean."""

from __future__ import annotations

import random
import stat
import sysconfig
from pathlib import Path
from typing import Any

import pytest

from buril.code.codefile import Finding
from buril.core.errors import BurilError
from buril.scanners import INCONCLUSIVE, PARTIAL, Text
from buril.scanners import ruff as ruff_module
from buril.scanners._python_parts import part_of
from buril.scanners._python_rules import RULES
from buril.scanners.bandit import Bandit
from buril.scanners.ruff import Ruff
from buril.testing import check_scanner

ALL, ALONE = Bandit(Bandit.Settings(ignore=())), Bandit(Bandit.Settings(first="none", ignore=()))


def rules(found: list[Finding]) -> list[tuple[str, int]]:
    return [(item.rule, item.line) for item in found]


def one(scanner: Any, text: str) -> list[Finding]:
    return list(scanner.scan(text, "python"))


def real(count: int) -> list[Text]:
    folder = Path(sysconfig.get_paths()["purelib"])
    paths = sorted(path for path in folder.glob("[a-p]*/**/*.py") if 500 < path.stat().st_size < 40_000)
    chosen = random.Random(5).sample(paths, min(count, len(paths)))
    return [Text(path.read_text(encoding="utf-8", errors="replace"), "python") for path in chosen]


def test_bandit_alone_keeps_the_contract() -> None:
    check_scanner(ALONE)


def test_a_finding_says_what_it_is() -> None:
    (found,) = one(Bandit(), "import os\n\n\nos.system(\n    command)\n")
    assert found == Finding(
        "bandit", "B605", 4, "high", "a command is run by a shell", "CWE-78", "A03:2021", "high", 5, 1, 13
    )
    assert one(Ruff(), "import os\nos.system(command)\n")[0][:4] == ("ruff", "S605", 2, "high")


def test_a_constant_command_is_graded_low_by_both() -> None:
    text = "import subprocess\nsubprocess.run('uptime', shell=True)\n"
    assert {item.severity for item in one(Ruff(), text)} == {"low"}
    assert {item.severity for item in one(ALL, text)} == {"low"}


def test_no_message_holds_a_password() -> None:
    text = 'password = "hunter2secret"\nconnect(password="hunter2secret")\n'
    for scanner in (Ruff(), ALL, ALONE):
        found = one(scanner, text)
        assert found
        assert "hunter2" not in str(found)


@pytest.mark.parametrize(
    "text",
    [
        "def f(x):\n    return pickle.loads(x)\n",
        "def f(x):\n    subprocess.call(x, shell=True)\n",
        "def f(c, x):\n    c.execute(\"SELECT a FROM b WHERE c = '%s'\" % x)\n",
        'def f(c, x):\n    sql = """\n      insert into a\n      values ({})\n    """.format(x)\n',
        "import torch\n\nmodel = torch.load('x')\n",
        "from transformers import AutoModel\n\nm = AutoModel.from_pretrained('a/b')\n",
        "def token():\n    return random.random()\n",
        "import pickle\nimport telnetlib\nimport xml.sax\nfrom xml.dom import minidom\n",
        "x = 1\n# \u202e hidden\n",
        "class A:\n    @property\n    def f(self):\n        return hashlib.md5(self.x)\n\n    def g(self):\n        return 1\n",
        "a = 1; b = os.system(x); c = 2\n",
        "from django.utils.safestring import mark_safe\n\ndef f(x):\n    return mark_safe(x)\n",
        "def f():\r\n    return 1\r\n\r\ndef g():\r\n    os.popen(x)\r\n",
    ],
)
def test_two_passes_see_what_bandit_sees_in_a_snippet(text: str) -> None:
    alone = {(item.rule, item.line, item.severity, item.confidence) for item in one(ALONE, text)}
    both = {(item.rule, item.line, item.severity, item.confidence) for item in one(ALL, text)}
    assert alone
    assert alone <= both


def test_two_passes_see_what_bandit_sees_in_real_files() -> None:
    """All but what only a type checker reads, passwords that ruff is stricter about, names that it resolves."""
    texts = real(120)
    missed = []
    total = 0
    for text, both, alone in zip(texts, ALL.scan_many(texts), ALONE.scan_many(texts), strict=True):
        before = ["", *text.content.splitlines()]
        lines = {(item.rule, line) for item in both for line in range(item.line, max(item.line, item.end_line) + 1)}
        for item in alone:
            total += 1
            reach = range(item.line, max(item.line, item.end_line) + 1)
            if before[item.line - 1].strip() == "if TYPE_CHECKING:":
                continue  # never run
            if item.rule == "B108" and "tempfile." in before[item.line]:
                continue  # a directory given to `tempfile`, which draws the name: ruff knows
            if item.rule not in ("B105", INCONCLUSIVE) and not any((item.rule, line) in lines for line in reach):
                missed.append((item.rule, item.line))
    assert total > 150
    assert [rule for rule, _line in missed if rule != "B311"] == []
    assert len(missed) <= total / 100


def test_only_the_statements_that_matter_are_read_twice() -> None:
    text = (
        "import os\n\n\ndef a():\n    return 1\n\n\nclass B:\n    x = 1\n\n    def c(self):\n        os.system('x')\n"
    )
    part = part_of(text)
    assert part is not None
    assert "def a" not in part.text
    assert "x = 1" not in part.text
    assert [text.split("\n")[number - 1] for number in part.lines] == part.text.split("\n")
    assert part_of("def f(x):\n    return x + 1\n") is None
    assert part_of('"""Select what to update from the set."""\n') is None


@pytest.mark.parametrize("scanner", [Ruff(), ALL, ALONE], ids=["ruff", "two passes", "bandit alone"])
@pytest.mark.parametrize("text", ["print 'two'\n", "def f(:\n", "x = = 1\n", "return )\n"])
def test_what_is_no_python_is_inconclusive(scanner: Any, text: str) -> None:
    found = one(scanner, text)
    assert found[0].rule == INCONCLUSIVE
    assert [item.rule for item in found].count(INCONCLUSIVE) == 1


def test_what_only_ruff_can_read_is_partial(monkeypatch: pytest.MonkeyPatch) -> None:
    def newer(text: str, seen: object = ()) -> None:
        raise SyntaxError

    monkeypatch.setattr("buril.scanners.bandit.part_of", newer)
    found = one(ALL, "eval(x)\n")
    assert [item.rule for item in found] == [PARTIAL, "B307"]


@pytest.mark.parametrize("scanner", [Ruff(), ALL, ALONE], ids=["ruff", "two passes", "bandit alone"])
def test_the_author_can_not_silence_it(scanner: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "ruff.toml").write_text("exclude = ['*.py']\n[lint]\nignore = ['S']\n")
    (tmp_path / ".bandit").write_text("[bandit]\nskips: B307\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    text = "# ruff: noqa\n# flake8: noqa\neval(x)  # nosec  # noqa: S307\n"
    assert [item.line for item in one(scanner, text)] == [3]


def test_findings_do_not_depend_on_the_batch() -> None:
    texts = [*real(6), Text("print 'x'\n", "python"), Text("", "python"), Text("eval(x)\n", "python")]
    for scanner in (Ruff(), ALL):
        assert scanner.scan_many(texts) == [list(scanner.scan(*text)) for text in texts]


def test_rules_that_are_ignored_are_left_out() -> None:
    assert one(Ruff(), "assert x\n") == one(Bandit(), "assert x\n") == []
    assert rules(one(ALL, "assert x\n")) == rules(one(ALONE, "assert x\n")) == [("B101", 1)]


def test_odd_texts() -> None:
    for text in ("", "\n", "\ufeffx = eval(y)\n", "x = '\\ud800'\n", "x = 'é'\nexec(x)\n", "\x0ceval(x)\n"):
        assert not any(item.rule == INCONCLUSIVE for item in one(ALL, text)), repr(text)
    assert one(ALL, "x = '\ud800'\neval(x)\n")[-1].rule == "B307"


def program(folder: Path, body: str) -> str:
    path = folder / "fake"
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return str(path)


@pytest.mark.parametrize("body", ["exit 2", "echo '[]'", "echo no json", "kill -9 $$"])
def test_a_ruff_that_does_not_work_is_not_silence(body: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It crashes, answers nothing or something else: every text is inconclusive, and the self-test fails."""
    fake = program(tmp_path, body)
    monkeypatch.setattr(Ruff, "_command", lambda self: [fake])
    with pytest.raises(BurilError, match="D222"):
        Ruff().seen([Text("eval(x)\n", "python")])
    assert [item.rule for item in one(Ruff(), "x = 1\n")] == [INCONCLUSIVE]
    assert set(Ruff().self_test()) == set(ruff_module._SAMPLES)


def test_a_file_that_breaks_ruff_is_found_and_the_others_are_scanned(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = Ruff.seen

    def fragile(self: Ruff, texts: list[Text]) -> Any:
        if any("poison" in text.content for text in texts):
            raise BurilError("D222", name="ruff", problem="panic")
        return seen(self, texts)

    monkeypatch.setattr(Ruff, "seen", fragile)
    texts = [Text("eval(x)\n", "python"), Text("poison\n", "python"), Text("exec(x)\n", "python"), Text("", "python")]
    found = Ruff().scan_many(texts)
    assert [[item.rule for item in each] for each in found] == [["S307"], [INCONCLUSIVE], ["S102"], []]


def test_the_table_of_rules_is_whole() -> None:
    from bandit.core.extension_loader import MANAGER

    known = {found.plugin._test_id[1:] for found in MANAGER.plugins if found.plugin._test_id}
    known |= {item["id"][1:] for items in MANAGER.blacklist.values() for item in items}
    assert known - RULES.keys() == set()
    assert all(rule.message and rule.cwe.startswith("CWE-") for rule in RULES.values())


def test_no_link_is_followed_and_nothing_is_left_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    import tempfile

    monkeypatch.setattr(tempfile, "tempdir", None)
    one(ALL, "os.system(x)\n")
    assert list(tmp_path.iterdir()) == []
