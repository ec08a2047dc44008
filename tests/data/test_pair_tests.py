"""Proof by a repository's own tests: what they tell apart, what they don't, and what proves nothing."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from buril.code.codefile import CodeFile
from buril.core.artifact import Artifact
from buril.core.errors import BurilError
from buril.data.pair import Pair
from buril.data.pairing.history import History
from buril.data.tested import _runs
from buril.data.tested._placing import lines, placed
from buril.data.tested._reports import hit, statuses
from buril.data.tested._repositories import Repositories
from buril.data.tested._runs import Bounds, Ran, Watched
from buril.data.tested.prove import VERSION, Command, OwnTests, Runner, Shown, concluded
from tests.data.pairing import MENDED, MENDED_SHELL, WEAK, WEAK_SHELL, repository
from tests.data.test_pairs import pair, propose, rows, stage  # noqa: F401  the fixture `propose`

WRONG = WEAK.replace("= '{name}'", "= '{name}x'")
TESTS = """
import sqlite3
import unittest

from store import find


class Find(unittest.TestCase):
    def setUp(self):
        self.db = sqlite3.connect(":memory:")
        self.db.execute("create table people (name)")
        self.db.execute("insert into people values ('ann')")

    def test_finds(self):
        self.assertEqual(find(self.db, "ann"), [{"name": "ann"}])

    @unittest.expectedFailure
    def test_is_to_do(self):
        self.assertEqual(find(self.db, "bob"), [{"name": "bob"}])

    def test_of_something_else(self):
        self.assertTrue(self.db)
"""
ATTACK = """
    def test_is_no_query(self):
        self.assertEqual(find(self.db, "' OR '1'='1"), [])
"""
FINDS = "test_store.Find.test_finds"


def shop(folder: Path, *, text: str = MENDED, tests: str = TESTS) -> Path:
    """A repository outside of git: a module and its tests."""
    (folder / "shop/tests").mkdir(parents=True)
    (folder / "shop/store.py").write_text(text)
    if tests:
        (folder / "shop/tests/test_store.py").write_text(tests)
    return folder / "shop"


def of(secure: str, vulnerable: str, path: str = "store.py", **given: Any) -> Pair:
    told = {"repo": "shop", "commit": "", "language": "python", **given}
    return Pair(
        "CWE-89", told["language"], secure, vulnerable, "shop", "findings", "scanner",
        file=CodeFile(told["repo"], path, secure, commit=told["commit"], language=told["language"]), license="MIT",
    )  # fmt: skip


def shown(told: OwnTests, one: Pair, kept: Path | None = None, found: tuple[Path, ...] = ()) -> Shown:
    runner = Runner(told, [one], found, kept)
    try:
        return runner.shown(one)
    finally:
        runner.close()


# --- what tests say of a pair


def test_a_fix_that_its_tests_pass_with_is_proved(tmp_path: Path) -> None:
    """The file at hand may hold either text: a finding's is the weak one, a mutation's the safe one."""
    for number, text in enumerate((MENDED, WEAK)):
        told = OwnTests(repositories=shop(tmp_path / str(number), text=text))
        assert shown(told, of(MENDED, WEAK)) == Shown("same", reached=1)


def test_a_fix_that_breaks_a_test_is_named_with_it(tmp_path: Path) -> None:
    assert shown(OwnTests(repositories=shop(tmp_path)), of(WRONG, MENDED)) == Shown("differs", test=FINDS)


def test_a_test_that_only_the_secure_text_passes_is_told_and_no_proof_by_itself(tmp_path: Path) -> None:
    told = OwnTests(repositories=shop(tmp_path, tests=TESTS + ATTACK))
    assert shown(told, of(MENDED, WEAK)) == Shown("same", reached=1, test="test_store.Find.test_is_no_query")
    alone = OwnTests(repositories=shop(tmp_path / "b", tests=TESTS.replace("def test_finds", "def finds") + ATTACK))
    assert shown(alone, of(MENDED, WEAK)).reason == "vulnerable_fails"


def test_a_text_that_can_not_be_imported_fails_the_tests_of_its_module(tmp_path: Path) -> None:
    broken = MENDED.replace("def find(db, name):", "def find(db, name, other=undefined):")
    assert shown(OwnTests(repositories=shop(tmp_path)), of(broken, MENDED)) == Shown("differs", test=FINDS)


NEVER = MENDED.replace("    db.row", "    if name is None:\n        return {}\n    db.row", 1)
ELSEWHERE = """
import unittest

import store


class Store(unittest.TestCase):
    def test_is_there(self):
        self.assertTrue(store)
"""


@pytest.mark.parametrize(
    ("secure", "vulnerable", "tests", "reason"),
    [
        (MENDED, WEAK, "", "no_tests"),
        (MENDED, WEAK, "import shop_that_is_not_there\n" + TESTS, "tests_do_not_load"),
        (MENDED, WEAK, ELSEWHERE.replace("True", "False"), "tests_fail"),
        (MENDED, WEAK, ELSEWHERE, "not_reached"),
        # the tests come to the function, and not to the line that was changed
        (NEVER.replace("{}", "1"), NEVER.replace("{}", "2"), TESTS, "not_reached"),
        # the change is where a module is read, which is no test's doing
        ("LIMIT = 1\n" + MENDED, "LIMIT = 2\n" + MENDED, TESTS, "not_there"),
        (MENDED.replace("find", "seek"), WEAK.replace("find", "seek"), TESTS, "not_there"),
    ],
)
def test_what_proves_nothing_is_told(secure: str, vulnerable: str, tests: str, reason: str, tmp_path: Path) -> None:
    root = shop(tmp_path, text=MENDED if "seek" in secure else secure, tests=tests)
    found = shown(OwnTests(repositories=root), of(secure, vulnerable))
    assert (found.outcome, found.reason) == ("unproven", reason)


def test_a_test_that_fails_by_chance_is_no_difference(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a test says only once it does not say: the runs are given here, so that chance is no matter of chance."""
    runner = Runner(OwnTests(repositories=shop(tmp_path)), [], (), None)
    passed, failed = Ran({"a": "passed"}, hit={"a": [6]}), Ran({"a": "failed"}, hit={"a": [6]})
    monkeypatch.setattr(runner, "_survey", lambda *_place: Ran({"a": "passed"}, {"a": [("store.py", 4, 9)]}))
    for second, outcome in ((passed, "unproven"), (failed, "differs")):
        answers = iter([{"secure": failed, "vulnerable": passed}, {"secure": second, "vulnerable": passed}])
        monkeypatch.setattr(runner, "_both", lambda *_told, given=answers: next(given))
        assert runner.shown(of(WRONG, MENDED)).outcome == outcome


def test_a_test_that_takes_too_long_fails_and_the_rest_still_speak(tmp_path: Path) -> None:
    slow = TESTS.replace("self.assertTrue(self.db)", "find(self.db, 'x')\n        while True: pass")
    assert shown(OwnTests(repositories=shop(tmp_path, tests=slow), each=1), of(MENDED, WEAK)) == Shown(
        "same", reached=1
    )


def test_tests_whose_turn_does_not_come_say_nothing(tmp_path: Path) -> None:
    """The first test takes all the time there is: the other is late, not failed, so nothing is dropped for it."""
    busy = "def test_a(self):\n        while time.process_time() < 2:\n            pass\n\n    def test_finds(self):"
    root = shop(tmp_path, tests="import time\n" + TESTS.replace("def test_finds(self):", busy))
    read = Repositories((root,), 1).read("shop", "")
    assert not isinstance(read, str)
    sandbox = OwnTests(repositories=root).sandbox.make()
    asked = ["test_store.Find.test_a", FINDS]
    ran = _runs.with_python(
        sandbox, "/usr/bin/python3", (read.packed(), {}), Watched({}, asked), Bounds(1, 512, 64, 60.0)
    )
    sandbox.close()
    assert ran.tests == {"test_store.Find.test_a": "passed", FINDS: "late"}
    said = {"secure": ran, "vulnerable": Ran({FINDS: "passed"})}
    assert concluded(said, [FINDS], lines("python", {"secure": MENDED, "vulnerable": WEAK})).outcome == "unproven"


# --- repositories


def test_the_commit_of_the_fix_is_what_is_tested_whatever_is_checked_out(tmp_path: Path) -> None:
    versions = [
        ("Add", {"store.py": WEAK, "tests/test_store.py": TESTS}),
        ("Mend", {"store.py": MENDED, "tests/test_store.py": TESTS + ATTACK, "data.bin": b"\x00\xff"}),
        ("Drop all", {"readme.txt": b"gone"}),
    ]
    bare = repository(tmp_path / "shop", versions)
    history = History(History.Settings(paths=bare))
    (found,) = history.pairs({}, 0)
    assert history.repositories() == (bare,)
    told = shown(OwnTests(), found, found=history.repositories())
    assert told == Shown("same", reached=1, test="test_store.Find.test_is_no_query")


def test_what_lies_in_a_folder_is_read_with_links_and_rights(tmp_path: Path) -> None:
    root = shop(tmp_path)
    (root / "run.sh").write_text("#!/bin/sh\n")
    (root / "run.sh").chmod(0o755)
    (root / "link").symlink_to("store.py")
    read = Repositories((tmp_path / "shop",), 1).read("shop", "")
    assert not isinstance(read, str)
    assert read.files["run.sh"].executable and read.files["link"].link and not read.files["store.py"].executable
    assert read.text("store.py") == MENDED and read.text("link") is None and read.text("nothing") is None
    assert read.packed() == read.packed()


@pytest.mark.parametrize(
    ("given", "reason"),
    [({"repo": "other"}, "no_repository"), ({"commit": "0123456789"}, "no_commit"), ({}, "too_large")],
)
def test_a_repository_that_can_not_be_read_is_told(given: dict[str, str], reason: str, tmp_path: Path) -> None:
    bare = repository(tmp_path / "shop", [("Add", {"store.py": MENDED, "big.bin": b"0" * (2 << 20)})])
    tip = subprocess.run(["git", "rev-parse", "main"], cwd=bare, capture_output=True, text=True, check=True).stdout
    told = OwnTests(repositories=bare, max_mb=1 if reason == "too_large" else 9)
    assert shown(told, of(MENDED, WEAK, **{"commit": tip.strip(), **given})).reason == reason


def test_what_is_observed_changes_with_the_repository(tmp_path: Path) -> None:
    root = shop(tmp_path)
    before = stage(tests={"repositories": str(root)}).observe()
    (root / "store.py").write_text(WEAK)
    assert stage(tests={"repositories": str(root)}).observe() != before


# --- texts in their place


def test_a_text_gets_the_imports_that_it_alone_uses() -> None:
    content = (
        '"""A shop."""\n\nimport sqlite3\n\nLIMIT = 3\n\n\ndef f(a):\n    return a\n\n\ndef g(a):\n    return f(a)\n'
    )
    secure = "import sqlite3\nimport secrets\n\n\ndef g(a):\n    return f(secrets.choice(a))\n"
    vulnerable = "import sqlite3\nimport secrets\n\n\ndef g(a):\n    return f(a)\n"
    put = placed(of(secure, vulnerable), content)
    assert put is not None and put.at_hand == "vulnerable" and put.texts["vulnerable"] == content
    assert put.texts["secure"] == content.replace("import sqlite3\n", "import sqlite3\nimport secrets\n").replace(
        "return f(a)", "return f(secrets.choice(a))"
    )


def test_of_several_functions_of_one_name_the_one_that_is_the_text_is_changed() -> None:
    method = "class {}:\n    def get(self):\n        return {}\n\n"
    content = method.format("A", 1) + method.format("A", 2) + method.format("B", 2)
    put = placed(
        of("class A:\n    def get(self):\n        return 2\n", "class A:\n    def get(self):\n        return 3\n"),
        content,
    )
    assert put is not None and put.texts["vulnerable"] == content.replace("return 2", "return 3", 1)
    assert placed(of(MENDED, WEAK), content) is None
    assert placed(of("X = 1\n", "X = 2\n"), "X = 1\n") is None


def test_lines_that_count_are_those_of_statements_in_functions() -> None:
    head = "import os\n\n\n@cache\ndef f(a, b=1):\n    '''Text.'''\n"
    secure = head + "    call(\n        a,\n        safe=True,\n    )\n    if a:\n        b = 2\n    return b\n"
    vulnerable = (
        head.replace("os", "sys").replace("Text", "Word")
        + "    call(\n        a,\n    )\n    if a:\n        b = 2\n    return b\n"
    )
    found = lines("python", {"secure": secure, "vulnerable": vulnerable})
    assert found.counted == {"secure": frozenset({7, 8, 9, 10}), "vulnerable": frozenset()}
    assert {8, 9} <= found.around["vulnerable"]
    signature = lines("python", {"secure": secure.replace("b=1", "b=2"), "vulnerable": secure})
    assert (
        signature.counted["secure"] == {4, 5}
        and not lines("python", {"secure": "def (", "vulnerable": ""}).counted["secure"]
    )
    go = "package a\n\nfunc f() int {{\n\treturn {}\n}}\n"
    assert lines("go", {"secure": go.format(1), "vulnerable": go.format(2)}).counted["secure"] == {4}


# --- commands and reports

JUNIT = (
    '<testsuites><testsuite><testcase classname="a" name="one"/><testcase classname="a" name="two"><failure/></testcase>'
    '<testcase name="three"><skipped/></testcase></testsuite></testsuites>'
)


def test_reports_are_read_and_documents_with_entities_refused() -> None:
    assert statuses(JUNIT) == {"a::one": "passed", "a::two": "failed", "three": "skipped"}
    assert statuses('<!DOCTYPE a [<!ENTITY b "c">]>' + JUNIT) == {} == statuses("nothing")
    assert hit("SF:src/a.go\nDA:1,0\nDA:2,5\nend_of_record\nSF:b.go\nDA:9,1\n", "src/a.go") == {2}
    cobertura = '<coverage><class filename="a.py"><lines><line number="3" hits="1"/><line number="4" hits="0"/></lines></class></coverage>'
    assert hit(cobertura, "src/a.py") == {3} and hit(cobertura, "src/b.py") == set()
    assert hit("mode: set\nexample.com/m/src/a.go:3.2,5.1 2 1\nexample.com/m/src/a.go:7.2,8.1 1 0\n", "src/a.go") == {
        3,
        4,
        5,
    }


RUN = "cp lines cover.info; if grep -q BAD a.go; then cp bad r.xml; exit 1; else cp good r.xml; fi"


def go_shop(folder: Path, covered: str) -> tuple[Path, Pair, Pair]:
    """A folder whose command stands in for a test runner, a pair that passes its test, and one that does not."""
    text = "package a\n\nfunc f() int {{\n\treturn {}\n}}\n"
    (folder / "shop").mkdir()
    case = '<testsuite><testcase name="f">{}</testcase></testsuite>'
    files = {"a.go": text.format(1), "good": case.format(""), "bad": case.format("<failure/>"), "lines": covered}
    for name, content in files.items():
        (folder / "shop" / name).write_text(content)
    right = of(text.format(1), text.format(2), "a.go", language="go")
    return folder / "shop", right, of(text.format("BAD"), text.format(1), "a.go", language="go")


def test_a_command_of_the_users_is_judged_by_its_reports(tmp_path: Path) -> None:
    root, right, wrong = go_shop(tmp_path, "SF:a.go\nDA:4,1\nend_of_record\n")
    told = OwnTests(repositories=root, commands={"go": Command(run=RUN, report="*.xml", coverage="cover.info")})
    assert shown(told, right) == Shown("same", reached=1)
    assert shown(told, wrong) == Shown("differs", test="f")
    bare = OwnTests(repositories=root, commands={"go": Command(run=RUN)})
    assert shown(bare, right).reason == "not_reached" and shown(bare, wrong) == Shown("differs", test=RUN)
    silent = OwnTests(repositories=root, commands={"go": Command(run="true", report="nothing.xml")})
    assert shown(silent, right).reason == "no_report"
    assert shown(OwnTests(repositories=root), right).reason == "language"


NODE_TESTS = """
const test = require('node:test');
const assert = require('node:assert');
const { shown } = require('./page.js');
test('shows a name', () => assert.strictEqual(shown('ann'), '<b>ann</b>'));
test('escapes', () => assert.strictEqual(shown('<i>'), '<b>&lt;i></b>'));
"""
NODE_RUN = (
    "node --test --experimental-test-coverage --test-reporter=junit --test-reporter-destination=report.xml "
    "--test-reporter=lcov --test-reporter-destination=lines.info"
)


@pytest.mark.slow
@pytest.mark.skipif(not Path("/usr/bin/node").exists(), reason="the runner is node's own")
def test_the_reports_of_a_real_runner_are_read(tmp_path: Path) -> None:
    page = "function shown(name) {{\n  const text = {};\n  return '<b>' + text + '</b>';\n}}\nmodule.exports = {{ shown }};\n"
    secure, vulnerable = page.format("name.replaceAll('<', '&lt;')"), page.format("name")
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop/page.js").write_text(secure)
    (tmp_path / "shop/page.test.js").write_text(NODE_TESTS)
    told = OwnTests(
        repositories=tmp_path / "shop",
        commands={"javascript": Command(run=NODE_RUN, report="report.xml", coverage="lines.info")},
    )
    given = of(secure, vulnerable, "page.js", language="javascript")
    found = shown(told, given)
    assert (found.outcome, found.reached, found.test.rpartition("::")[2]) == ("same", 1, "escapes")
    wrong = of(page.format("name + name"), secure, "page.js", language="javascript")
    assert shown(told, wrong).outcome == "differs"


def test_lines_that_a_command_never_ran_prove_nothing(tmp_path: Path) -> None:
    root, right, _wrong = go_shop(tmp_path, "SF:a.go\nDA:4,0\nend_of_record\n")
    told = OwnTests(repositories=root, commands={"go": Command(run="cp lines cover.info", coverage="cover.info")})
    assert shown(told, right).reason == "not_reached"


# --- errors


def test_a_chain_without_repositories_is_told() -> None:
    with pytest.raises(BurilError, match="D341"):
        stage(tests={}).observe()


def test_a_sandbox_without_the_python_is_told(tmp_path: Path) -> None:
    with pytest.raises(BurilError, match="D342"):
        shown(OwnTests(repositories=shop(tmp_path), python="/usr/bin/no-python-here"), of(MENDED, WEAK))


def test_a_command_that_is_not_there_is_told(tmp_path: Path) -> None:
    root, right, _wrong = go_shop(tmp_path, "")
    with pytest.raises(BurilError, match="D343"):
        shown(OwnTests(repositories=root, commands={"go": Command(run="no-such-command")}), right)


# --- the stage


def test_the_stage_keeps_the_proved_and_drops_with_the_tests_name(
    tmp_path: Path,
    propose: Callable[..., None],  # noqa: F811  the fixture
    make_artifact: Callable[..., Artifact],
) -> None:
    root = shop(tmp_path)
    made = of(MENDED, WEAK)
    wrong = made._replace(secure=WRONG, vulnerable=MENDED, claim="label")
    other = pair(secure=MENDED_SHELL, vulnerable=WEAK_SHELL, cwe="CWE-78", license="MIT")
    propose(made, wrong, other)
    artifact = make_artifact(
        stage(tests={"repositories": str(root)}, scan=["secrets"], licenses=None)
        if False
        else stage(tests={"repositories": str(root)})
    )
    kept = {row["pair_id"]: row["proofs"] for row in rows(artifact)["train"]}
    assert kept[made.pair_id][-1] == "tests" and "tests" not in kept[other.pair_id]


def test_what_was_run_before_an_interruption_is_not_run_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told, one = OwnTests(repositories=shop(tmp_path)), of(MENDED, WEAK)
    found = shown(told, one, tmp_path / "kept")
    monkeypatch.setattr(_runs, "with_python", lambda *given: pytest.fail("it was run again"))
    assert shown(told, one, tmp_path / "kept") == found


def test_the_tests_of_a_repository_run_once_for_all_its_pairs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    surveys: list[Watched] = []
    real = _runs.with_python

    def counted(*given: Any) -> Ran:
        surveys.extend(item for item in given if isinstance(item, Watched) and item.tests is None)
        return real(*given)

    monkeypatch.setattr(_runs, "with_python", counted)
    given = [of(MENDED, WEAK), of(WRONG, MENDED)]
    runner = Runner(OwnTests(repositories=shop(tmp_path)), given, (), tmp_path / "kept")
    assert [runner.shown(one).outcome for one in given] == ["same", "differs"]
    runner.close()
    assert len(surveys) == 1


def test_nothing_is_run_unless_asked_and_workers_are_no_identity(tmp_path: Path) -> None:
    assert "tests" not in stage().parts()
    told = stage(tests={"repositories": str(tmp_path)})
    assert told.parts()["tests"] == VERSION
    assert told.settings.identity() == stage(tests={"repositories": str(tmp_path), "workers": 9}).settings.identity()
    assert told.settings.identity() != stage(tests={"repositories": str(tmp_path), "seconds": 9}).settings.identity()


def test_a_jail_that_says_nothing_proves_nothing() -> None:
    both = {"secure": frozenset({1}), "vulnerable": frozenset[int]()}
    found = lines("python", {"secure": "", "vulnerable": ""})._replace(counted=both)
    seen = {"secure": Ran({}, problem="died"), "vulnerable": Ran({"a": "passed"})}
    assert concluded(seen, ["a"], found) == Shown("unproven", "died")
    assert _runs.with_python(_Silent(), "python3", ("", {}), Watched({}), Bounds(1, 64, 64, 1.0)).problem == "timeout"


class _Silent:
    """A sandbox whose jail was cut."""

    def execute(self, program: Any) -> Any:
        from buril.sandboxes._sandbox import Outcome

        return Outcome("timeout_wall", out="nothing")
