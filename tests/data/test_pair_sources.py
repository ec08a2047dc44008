"""Where pairs come from: tables, the history of repositories, and what scanners find in the own code."""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import json
import subprocess
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pydantic import ValidationError

from buril.audit import lineage
from buril.chain import Chain
from buril.code.codefile import row_id
from buril.core.errors import BurilError
from buril.core.plugins import PluginKind
from buril.core.store import Store
from buril.data.pair import Pair, read_pairs
from buril.data.pairing._asking import Flaw, question, read_answer
from buril.data.pairing._commits import commits
from buril.data.pairing._deliberate import deliberate
from buril.data.pairing._messages import weakness as said
from buril.data.pairing.findings import Findings, set_aside
from buril.data.pairing.history import History
from buril.data.pairing.table import Table, weakness
from tests.data.pairing import (
    MENDED,
    MENDED_SHELL,
    PLAIN,
    WEAK,
    WEAK_SHELL,
    inputs,
    noted,
    python,
    repository,
)
from tests.data.test_sources_git import MIT, git

# --- table

ROW = {"good": MENDED, "bad": WEAK, "kind": "cwe-089", "file": "a.py", "link": "github.com/acme/shop/commit/c0ffee1234"}
TOLD = {"secure": "good", "vulnerable": "bad", "cwe": "kind", "license": "MIT", "file": "file"}


def table(path: Path | tuple[Path, ...], **given: Any) -> Table:
    return Table(Table.Settings.model_validate({"path": path, **TOLD, **given}))


def lines(path: Path, *rows: dict[str, Any] | str) -> Path:
    path.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows))
    return path


def all_of(source: Any, given: Any = None) -> list[Pair]:
    return list(source.pairs(given or {}, 0))


def test_a_table_is_read_in_each_form(tmp_path: Path) -> None:
    rows = [ROW, {**ROW, "good": MENDED_SHELL, "bad": WEAK_SHELL, "kind": "CWE-78"}]
    text = "".join(json.dumps(row) + "\n" for row in rows)
    (tmp_path / "rows.jsonl").write_text(text)
    (tmp_path / "rows.jsonl.gz").write_bytes(gzip.compress(text.encode()))
    sheet = io.StringIO(newline="")
    writer = csv.DictWriter(sheet, list(ROW))
    writer.writeheader()
    writer.writerows(rows)
    (tmp_path / "rows.csv").write_text("\ufeff" + sheet.getvalue(), newline="")
    (tmp_path / "rows.csv.gz").write_bytes(gzip.compress(sheet.getvalue().encode()))
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "rows.parquet")
    found = {path.name: all_of(table(path)) for path in sorted(tmp_path.iterdir())}
    assert len(found) == 5 and all(len(pairs) == 2 for pairs in found.values())
    ids = {tuple(pair.pair_id for pair in pairs) for pairs in found.values()}
    assert len(ids) == 1
    assert [pair.cwe for pair in found["rows.csv"]] == ["CWE-89", "CWE-78"]
    # a folder holds them all, in the order of names; a glob those that fit
    assert len(all_of(table(tmp_path))) == 10
    assert len(all_of(table((tmp_path / "*.gz",)))) == 4


def test_what_a_row_says_and_what_is_said_for_all(tmp_path: Path) -> None:
    path = lines(tmp_path / "rows.jsonl", {**ROW, "terms": "Apache 2.0", "lang": "Py", "meta": {"case": "x"}})
    (pair,) = all_of(
        table(path, license="terms", language="lang", repo="link", commit="link", scenario="meta.case", file="")
    )
    assert (pair.license, pair.language, pair.claim, pair.scenario) == ("Apache-2.0", "python", "label", "table/x")
    assert pair.file is not None and (pair.file.repo, pair.file.commit) == ("github.com/acme/shop", "c0ffee1234")
    (pair,) = all_of(table(path, cwe="798", language="javascript", repo="link"))
    assert (pair.cwe, pair.language, pair.scenario) == ("CWE-798", "javascript", "table/github.com/acme/shop")
    (pair,) = all_of(table(path, commit="link"))
    assert pair.scenario == "table/github.com/acme/shop"  # the address names both
    (pair,) = all_of(table(path))
    assert pair.file is not None and pair.scenario == f"table/{pair.file.row_id}"


def test_a_row_that_is_no_pair_is_counted_with_its_reason(tmp_path: Path) -> None:
    path = lines(
        tmp_path / "rows.jsonl",
        ROW, "{broken", "[1]", "", {**ROW, "good": None}, {**ROW, "bad": "x" * 1_000_001}, {**ROW, "kind": "bug"},
        {**ROW, "file": "a.unknown"}, {**ROW, "bad": "\ud800"},
    )  # fmt: skip
    source = table(path)
    assert len(all_of(source)) == 1
    assert source.left_out == {
        "broken_json": 1, "wrong_type": 1, "no_text": 1, "too_large": 1, "no_weakness": 1, "no_language": 1,
        "encoding": 1,
    }  # fmt: skip
    (tmp_path / "cut.jsonl.gz").write_bytes(gzip.compress(path.read_bytes())[:-30])
    source = table(tmp_path / "cut.jsonl.gz")
    all_of(source)
    assert source.left_out["truncated"] == 1
    (tmp_path / "rows.csv").write_text("good,bad,kind,file\na,b,89\nx = 1,x = 2,89,a.py\n")
    source = table(tmp_path / "rows.csv")
    assert len(all_of(source)) == 1 and source.left_out == {"wrong_columns": 1}


def test_a_method_that_was_cut_out_is_moved_to_the_margin(tmp_path: Path) -> None:
    path = lines(
        tmp_path / "a.jsonl",
        {**ROW, "good": "    def f(self):\r\n        return 1", "bad": "    def f(self):\n        return 2"},
    )
    (pair,) = all_of(table(path))
    assert pair.secure == "def f(self):\n    return 1\n" and pair.vulnerable == "def f(self):\n    return 2\n"


@pytest.mark.parametrize(
    ("setting", "value"),
    [("secure", "godo"), ("cwe", "kinds"), ("license", "none of these"), ("language", "klingon"), ("scenario", "no")],
)
def test_a_setting_that_is_neither_column_nor_value_is_told(tmp_path: Path, setting: str, value: str) -> None:
    path = lines(tmp_path / "rows.jsonl", ROW)
    with pytest.raises(BurilError, match="D331") as problem:
        all_of(table(path, **{setting: value}))
    assert f"table.{setting}: {value}" in str(problem.value)


def test_a_table_that_is_not_there_is_told(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("x")
    for path in (tmp_path / "no.jsonl", tmp_path / "a.txt", tmp_path / "*.csv"):
        with pytest.raises(BurilError, match="D333"):
            all_of(table(path))
    (tmp_path / "a.parquet").write_text("x")
    with pytest.raises(BurilError, match="D014"):
        all_of(table(tmp_path / "a.parquet"))
    with pytest.raises(ValidationError, match="license"):
        Table.Settings.model_validate({"path": tmp_path, "secure": "a", "vulnerable": "b", "cwe": "c"})


@pytest.mark.parametrize(
    ("stated", "expected"),
    [
        ("cwe-089", "CWE-89"), ("89", "CWE-89"), (89, "CWE-89"), ("CWE-89", "CWE-89"), ("CWE_079: XSS", "CWE-79"),
        ("bug", ""), ("", ""), (None, ""), ("0", ""), (True, ""), ("CWE-89x", ""),
    ],
)  # fmt: skip
def test_a_weakness_is_read_however_it_is_written(stated: Any, expected: str) -> None:
    assert weakness(stated) == expected


def test_a_table_that_changes_is_seen(tmp_path: Path) -> None:
    path = lines(tmp_path / "rows.jsonl", ROW)
    source = table(path)
    before, work = source.observe(), source.work({})
    lines(path, ROW, ROW)
    assert table(path).observe() != before and table(path).work({}) > work > 0


# --- history

ANOTHER = WEAK.replace("find", "look_up")
ANOTHER_MENDED = MENDED.replace("find", "look_up")
GENERATED = "# Code generated by a tool. DO NOT EDIT.\n"


def history(paths: Path | tuple[Path, ...], **given: Any) -> History:
    return History(History.Settings.model_validate({"paths": paths, **given}))


def both(first: str, second: str) -> str:
    return first + "\n\n" + second.split("\n\n\n", 1)[1]


def test_three_hundred_commits_give_the_pairs_that_are_there_and_no_others(tmp_path: Path) -> None:
    """Between many commits that mend nothing: three that do, one across a renaming, and some that only seem to."""
    text = both(WEAK, ANOTHER)
    moved = "from helpers import run\n\n\ndef find(db, name):\n    return run(db, name)\n"
    story: list[tuple[str, dict[str, str | bytes]]] = [("begin", {"LICENSE": MIT, "src/db.py": text})]

    def then(message: str, **changed: str | bytes | None) -> None:
        files = {**story[-1][1]}
        for name, content in changed.items():
            path = name.replace("__", "/").replace("_dot_", ".")
            if content is None:
                files.pop(path)
            else:
                files[path] = content
        story.append((message, files))

    for number in range(140):
        then(f"note {number}", src__notes_dot_py=PLAIN + f"NOTE = {number}\n")
    then("Ask the database, not the text", src__db_dot_py=both(MENDED, ANOTHER))
    then("move and mend", src__db_dot_py=None, src__store_dot_py=both(MENDED, ANOTHER_MENDED))
    then("shell", src__sh_dot_py=WEAK_SHELL)
    then("Mend `archive`\n\nA long story.", src__sh_dot_py=MENDED_SHELL)
    then("weak again", src__w_dot_py=WEAK, src__g_dot_py=GENERATED + WEAK, src__b_dot_py=WEAK, src__v_dot_py=WEAK)
    then("no mends", src__w_dot_py=moved, src__g_dot_py=GENERATED + MENDED, src__b_dot_py=b"\0\1\2", src__v_dot_py=None)
    then("huge", src__h_dot_py=WEAK + "# x\n" * 60_000)
    then("huge mended", src__h_dot_py=MENDED + "# x\n" * 60_000)
    then("many weak", **{f"src__m{n}_dot_py": WEAK for n in range(31)})
    then("many mended", **{f"src__m{n}_dot_py": MENDED for n in range(31)})
    then("not in a script", src__t_dot_txt=WEAK)
    then("text mended", src__t_dot_txt=MENDED)
    then("two weaknesses", src__two_dot_py=WEAK.replace("found.sort", "eval(name)\n    found.sort"))
    then("one mended", src__two_dot_py=MENDED.replace("found.sort", "eval(name)\n    found.sort"))
    merge = len(story) + 2
    then("weak before a merge", src__merged_dot_py=WEAK)
    then("a merge that mends", src__merged_dot_py=MENDED)
    for number in range(300 - len(story)):
        then(f"later {number}", src__notes_dot_py=PLAIN + f"LATER = {number}\n")
    path = repository(tmp_path / "shop.git", story, merge_at=merge)
    source = history(path, together="commit")
    found = all_of(source)
    assert len(story) == 300
    told = [(pair.change, pair.cwe, pair.file.path if pair.file else "") for pair in found]
    assert told == [
        ("Mend `archive`", "CWE-78", "src/sh.py"), ("move and mend", "CWE-89", "src/store.py"),
        ("Ask the database, not the text", "CWE-89", "src/db.py"),
    ]  # fmt: skip
    assert source.left_out == {
        "other_code": 1, "generated": 1, "binary": 1, "too_large": 1, "many_files": 1, "still_weak": 1
    }  # fmt: skip
    pair = found[0]
    assert (pair.secure, pair.vulnerable) == (MENDED_SHELL, WEAK_SHELL)
    assert pair.license == "MIT" and pair.claim == "scanner" and pair.file is not None
    commit = subprocess.run(
        ["git", "log", "-1", "--format=%H", "--grep=Mend `archive`"],
        cwd=tmp_path / "shop.git", check=True, capture_output=True, text=True,
    ).stdout.strip()  # fmt: skip
    assert pair.file.commit == commit and pair.scenario == f"shop/{commit}"
    # the row is the one that a source of files would give the file of that commit
    digest = hashlib.sha256(MENDED_SHELL.encode()).hexdigest()
    assert pair.file.row_id == row_id("shop", "src/sh.py", digest) and pair.file.bytes == len(MENDED_SHELL)
    # of the pair in a file of two functions, only the one that was mended
    assert "look_up" in found[1].secure and "def find" not in found[1].secure
    assert found[1].secure == ANOTHER_MENDED and found[1].vulnerable == ANOTHER


def test_bounds_of_a_history(tmp_path: Path) -> None:
    story: list[tuple[str, dict[str, str | bytes]]] = []
    for number in range(6):
        name = f"{number}.py"
        story += [(f"add {number}", {name: WEAK}), (f"mend {number}", {name: MENDED})]
    path = repository(tmp_path / "shop", story)
    assert len(all_of(history(path))) == 6
    newest = all_of(history(path, max_commits=4))
    assert [pair.change for pair in newest] == ["mend 5", "mend 4"]
    # the commits were made a day apart, the last on the 26th of November
    assert [pair.change for pair in all_of(history(path, since="2023-11-25"))] == ["mend 5"]
    older = git(path, "rev-parse", "main~2")
    assert all_of(history(path, revision=older))[0].change == "mend 4"
    with pytest.raises(ValidationError, match="branch"):
        history(path, revision="main~2")
    assert len(all_of(history(path, exclude=["0.py", "1.py"]))) == 4
    assert {pair.scenario for pair in all_of(history(path))} == {"shop"}
    assert {pair.scenario for pair in all_of(history(path, together="file"))} == {f"shop/{n}.py" for n in range(6)}
    assert len(all_of(history(path, min_alike=0.99))) == 0
    assert len(all_of(history((path, repository(tmp_path / "other", story[:2]))))) == 7


def test_both_texts_have_the_imports_of_either(tmp_path: Path) -> None:
    """So that they part where the weakness is, though the commit added an import."""
    weak = "import pickle\n\n\ndef load(request):\n    name = request.args['name']\n    print(name)\n    data = pickle.loads(request.data)\n    return name, data\n"
    secure = weak.replace("import pickle", "import json").replace("pickle.loads", "json.loads")
    (pair,) = all_of(history(repository(tmp_path / "shop", [("a", {"a.py": weak}), ("b", {"a.py": secure})])))
    assert pair.vulnerable.startswith("import json\nimport pickle\n") or pair.vulnerable.startswith(
        "import pickle\nimport json\n"
    )
    assert pair.secure.replace("json.loads", "pickle.loads") == pair.vulnerable


def test_a_licence_is_that_of_the_commit(tmp_path: Path) -> None:
    story: list[tuple[str, dict[str, str | bytes]]] = [
        ("a", {"a.py": WEAK}), ("b", {"a.py": MENDED}), ("c", {"b.py": WEAK_SHELL, "LICENSE": MIT}),
        ("d", {"b.py": MENDED_SHELL, "LICENSE": MIT}),
        ("e", {"b.py": MENDED_SHELL, "LICENSE": MIT, "c.py": "# SPDX-License-Identifier: ISC\n" + ANOTHER}),
        ("f", {"b.py": MENDED_SHELL, "LICENSE": MIT, "c.py": "# SPDX-License-Identifier: ISC\n" + ANOTHER_MENDED}),
    ]  # fmt: skip
    path = repository(tmp_path / "shop", story)
    assert [pair.license for pair in all_of(history(path))] == ["ISC", "MIT", ""]
    assert [pair.license for pair in all_of(history(path, license="0BSD"))] == ["ISC", "MIT", "0BSD"]
    with pytest.raises(ValidationError, match="SPDX"):
        history(path, license="some words")


def test_a_clone_without_history_is_told(tmp_path: Path) -> None:
    path = repository(tmp_path / "shop", [("a", {"a.py": WEAK}), ("b", {"a.py": MENDED})])
    subprocess.run(["git", "clone", "-q", "--depth=1", f"file://{path}", "cut"], cwd=tmp_path, check=True)
    with pytest.raises(BurilError, match="D334"):
        all_of(history(tmp_path / "cut"))
    with pytest.raises(BurilError, match="D011"):
        all_of(history(path, revision="nowhere"))
    with pytest.raises(BurilError, match="D001"):
        all_of(history(tmp_path / "none"))
    with pytest.raises(BurilError, match="D006"):
        all_of(history(tmp_path))


def test_a_commit_that_is_added_is_seen(tmp_path: Path) -> None:
    story: list[tuple[str, dict[str, str | bytes]]] = [("a", {"a.py": WEAK}), ("b", {"a.py": MENDED})]
    one, two = (
        history(repository(tmp_path / name / "shop", story[:count])) for name, count in (("one", 1), ("two", 2))
    )
    assert one.observe() != two.observe() and one.parts() == {"scanner:taint": two.parts()["scanner:taint"]}


CHECK = "def read(folder, name):\n    path = folder / name\n    print(path)\n{}    text = path.read_text()\n    return text\n"
UNCHECKED = CHECK.format("")
CHECKED = CHECK.format("    if not path.is_relative_to(folder):\n        raise ValueError(name)\n")


@pytest.mark.parametrize(
    ("message", "more", "found"),
    [
        ("Refuse names outside\n\nA path traversal (CVE-2021-32052).", {}, "CWE-22"),
        ("Security fix: CWE-073", {"tests/test_a.py": "def test_read():\n    assert 1\n"}, "CWE-73"),
        # the number alone tells no weakness
        ("CVE-2021-32052", {}, "weakness_not_said"),
        # another file was changed too: which of them was weak is not known
        ("Path traversal (CVE-2021-32052)", {"b.py": PLAIN.replace("result = 0", "result = 0.0")}, "several_files"),
        ("Tell who asked\n\nAccess control, CVE-2021-32052", {}, "weakness_not_said"),
        ('Revert "Path traversal (CVE-2021-32052)"', {}, ""),
        ("Path traversal (CVE-2021-32052), regression of the last release", {}, ""),
        ("Tell whether a path is in a folder", {}, ""),
    ],
)
def test_a_message_that_says_what_was_mended_is_a_label(
    message: str, more: dict[str, str | bytes], found: str, tmp_path: Path
) -> None:
    before: dict[str, str | bytes] = {
        "a.py": UNCHECKED,
        "b.py": PLAIN,
        "tests/test_a.py": "def test_read():\n    pass\n",
    }
    path = repository(tmp_path / "shop", [("a", before), (message, {**before, "a.py": CHECKED, **more})])
    source = history(path)
    pairs = all_of(source)
    if found.startswith("CWE"):
        assert [(pair.cwe, pair.claim, pair.change) for pair in pairs] == [(found, "label", message.partition("\n")[0])]
        assert (pairs[0].secure, pairs[0].vulnerable) == (CHECKED, UNCHECKED)
    else:
        assert not pairs and list(source.left_out) == ([found] if found else [])
    assert not all_of(history(path, fixes=["seen"]))


def test_a_label_holds_all_functions_that_were_changed_and_what_came_with_them(tmp_path: Path) -> None:
    """A helper that a changed function uses belongs to the fix; another new function does not."""
    weak = UNCHECKED + "\n\n" + UNCHECKED.replace("read(", "load(")
    helper = "def inside(folder, path):\n    return path.is_relative_to(folder)\n"
    other = "def unused(text):\n    return text\n"
    check = CHECKED.replace("path.is_relative_to(folder)", "inside(folder, path)")
    secure = "\n\n".join((helper, check, check.replace("read(", "load("), other))
    path = repository(tmp_path / "shop", [("a", {"a.py": weak}), ("Path traversal, CVE-2021-1234", {"a.py": secure})])
    (pair,) = all_of(history(path))
    assert pair.vulnerable == weak and pair.secure == secure.replace("\n\n" + other, "")


def test_what_a_scanner_sees_is_not_told_twice(tmp_path: Path) -> None:
    path = repository(tmp_path / "shop", [("a", {"a.py": WEAK}), ("SQL injection, CVE-2021-1234", {"a.py": MENDED})])
    assert [pair.claim for pair in all_of(history(path))] == ["scanner"]
    assert [pair.claim for pair in all_of(history(path, fixes=["said"]))] == ["label"]


@pytest.mark.parametrize(
    ("message", "cwe"),
    [
        ("Fix XSS in titles", "CWE-79"),
        ("Compare digests in constant-time", "CWE-208"),
        ("Fixed CVE-2024-1 -- Potential denial-of-service in urlize()\n\nThe regex took quadratic time.", "CWE-400"),
        ("Fix a ReDoS", "CWE-1333"),
        ("Strip headers\n\nAn open redirect to another host", "CWE-601"),
        ("CWE-79 and path traversal", "CWE-79"),
        ("Add a button", ""),
    ],
)
def test_words_for_weaknesses(message: str, cwe: str) -> None:
    assert said(message) == cwe


def test_nothing_of_a_repository_is_run(tmp_path: Path) -> None:
    path = repository(
        tmp_path / "shop", [("a", {"a.py": WEAK}), ("b", {"a.py": MENDED, ".gitattributes": "*.py diff=x\n"})]
    )
    mark = tmp_path / "ran"
    for name, value in (("diff.external", f"touch {mark}"), ("diff.x.textconv", f"touch {mark}"), ("core.pager", f"touch {mark}"),
                        ("log.showSignature", "true"), ("gpg.program", f"touch {mark}")):  # fmt: skip
        subprocess.run(["git", "config", name, value], cwd=path, check=True)
    assert len(all_of(history(path))) == 1 and not mark.exists()


def test_paths_and_messages_may_hold_anything(tmp_path: Path) -> None:
    path = repository(
        tmp_path / "shop",
        [("\x02 a \x1f b", {"0.py": PLAIN}), ("c", {'0 "1" é.py': WEAK}), (":100644 d", {'0 "1" é.py': MENDED})],
    )
    found = list(commits(path, "main", (0, 10)))
    assert [item.subject for item in found[:2]] == [":100644 d", "c"]
    assert len(all_of(history(path))) == 1


# --- findings

CONTEXT = "def context(self, verify):\n    made = ssl.create_default_context()\n{}    return made\n"


@pytest.mark.parametrize(
    ("cwe", "text", "line", "meant"),
    [
        ("CWE-328", "def get_md5(file):\n    return hashlib.md5(file.read()).hexdigest()\n", 2, True),
        ("CWE-328", "def accept(key):\n    sha1 = hashlib.sha1()\n    sha1.update(key)\n    return sha1\n", 2, True),
        ("CWE-328", "def hash_pin(pin):\n    return hashlib.sha1(pin).hexdigest()\n", 2, False),
        ("CWE-295", CONTEXT.format("    made.check_hostname = False\n"), 3, False),
        ("CWE-295", CONTEXT.format("    if not verify:\n        made.check_hostname = False\n"), 4, True),
        ("CWE-295", CONTEXT.format("    if made:\n        made.check_hostname = False\n"), 4, False),
        (
            "CWE-295",
            CONTEXT.format("    if verify:\n        pass\n    else:\n        made.check_hostname = False\n"),
            6,
            True,
        ),
        ("CWE-295", CONTEXT.format("    self.check_hostname = False\n"), 3, True),
        ("CWE-89", "def verify(a):\n    if a:\n        run(f'{a}')\n", 3, False),
        ("CWE-295", "a\n", 9, False),
    ],
)
def test_weak_code_that_is_meant_is_left_alone(cwe: str, text: str, line: int, meant: bool) -> None:
    assert deliberate(cwe, text, line) is meant


def test_what_is_meant_is_told_and_no_pair(tmp_path: Path) -> None:
    text = 'import hashlib\n\n\ndef sha1_of(pin):\n    return hashlib.sha1(f"{pin} salt".encode()).hexdigest()\n'
    given = inputs(tmp_path, [python("a.py", text), python("b.py", text.replace("sha1_of", "digest"))])
    source = findings()
    found = all_of(source, given)
    assert [pair.file.path for pair in found if pair.file] == ["b.py"] and source.left_out["deliberate"] == 1


def findings(**given: Any) -> Findings:
    return Findings(Findings.Settings.model_validate(given))


def test_what_was_set_aside_is_read_with_its_text(tmp_path: Path) -> None:
    aside = [noted(python("b.py", WEAK_SHELL), 6), noted(python("c.py", WEAK), 5)]
    given = inputs(tmp_path, [python("a.py", PLAIN)], aside=aside)
    assert [file.path for file in set_aside(given["select"], given["prepare"])] == ["b.py", "c.py"]
    found = all_of(findings(read=["set_aside"]), given)
    assert [(pair.cwe, pair.file and pair.file.path) for pair in found] == [("CWE-78", "b.py"), ("CWE-89", "c.py")]


def test_weak_functions_are_mended_by_rewrites(tmp_path: Path) -> None:
    text = PLAIN + "\n\n" + WEAK
    given = inputs(
        tmp_path, [python("a.py", text), python("s.py", MENDED_SHELL)], aside=[noted(python("b.py", WEAK_SHELL), 6)]
    )
    source = findings()
    assert source.needs() == ("prepare", "select", "split") and source.work(given) > 0
    shell, query = all_of(source, given)
    assert query.vulnerable == WEAK and query.claim == "scanner" and query.scenario == "acme/shop"
    assert 'execute("SELECT * FROM people WHERE name = ?", (name,))' in query.secure and "def total" not in query.secure
    assert query.license == "MIT" and query.file is not None and query.file.commit == "c0ffee"
    assert query.file.row_id == python("a.py", text).row_id
    assert "shell=True" in shell.vulnerable and "shell=True" not in shell.secure
    assert query.change.startswith("rewrite: ")
    assert all_of(findings(rewrites=False), given) == []
    assert {pair.scenario for pair in all_of(findings(together="file"), given)} == {"acme/shop/a.py", "acme/shop/b.py"}
    assert len(all_of(findings(max_files=1), given)) == 1


def test_a_finding_of_prepare_says_which_functions_are_looked_at(tmp_path: Path) -> None:
    text = WEAK + "\n\n" + WEAK_SHELL
    line = text.splitlines().index(WEAK_SHELL.splitlines()[5]) + 1
    given = inputs(tmp_path, [noted(python("a.py", text), line)])
    assert [pair.cwe for pair in all_of(findings(), given)] == ["CWE-78"]
    given = inputs(tmp_path / "again", [python("a.py", text)])
    assert [pair.cwe for pair in all_of(findings(), given)] == ["CWE-89", "CWE-78"]


def fenced(text: str) -> str:
    return f"Here it is.\n```python\n{text}```\n"


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (fenced(MENDED), ""),
        ("I can't.", "answer_no_answer"),
        (fenced(MENDED) + fenced(MENDED), "answer_no_answer"),
        (fenced(WEAK), "answer_still_weak"),
        (fenced(MENDED.replace("def find(db, name)", "def find(db, name, limit)")), "answer_signature"),
        (fenced(MENDED.replace("def find", "def search")), "answer_signature"),
        (fenced(MENDED.replace("return found", "return (found")), "answer_does_not_parse"),
        (fenced("def find(db, name):\n    return db.execute('SELECT 1').fetchall()\n"), "answer_other_code"),
        (fenced(MENDED.replace("found.sort(key=str)", "found.sort(key=eval(name))")), "answer_still_weak"),
        (fenced(WEAK.replace(WEAK.splitlines()[5], "    rows = []")), "answer_does_less"),
        (fenced(MENDED.replace(", (name,))", ")").replace("name = ?", "name = 'name'")), "answer_forgets_input"),
    ],
)
def test_a_generator_is_asked_where_no_rewrite_fits(tmp_path: Path, answer: str, reason: str) -> None:
    pytest.importorskip("httpx", reason="httpx is not installed")
    from tests.generators.api import Api

    given = inputs(tmp_path, [python("a.py", WEAK)])
    with Api(lambda _prompt: answer) as api:
        told = {"openai": {"url": api.url, "model": "mender", "wait_s": 0.01, "tries": 1}}
        source = findings(rewrites=False, generator=told, teacher_license="LicenseRef-acme-terms")
        source.scratch = tmp_path / "scratch"
        source.scratch.mkdir()
        found = all_of(source, given)
        asked = len(api.asked)
        again = findings(rewrites=False, generator=told, teacher_license="LicenseRef-acme-terms")
        again.scratch = source.scratch
        assert [pair.pair_id for pair in all_of(again, given)] == [pair.pair_id for pair in found]
        assert len(api.asked) == asked  # an answer that was kept is not asked for again
    assert [pair.secure for pair in found] == ([MENDED] if not reason else [])
    assert source.left_out == ({reason: 1} if reason else {})
    if found:
        assert found[0].license == "MIT AND LicenseRef-acme-terms" and found[0].change.startswith("generator: ")


def test_a_command_line_without_a_shell_is_no_mend(tmp_path: Path) -> None:
    pytest.importorskip("httpx", reason="httpx is not installed")
    from tests.generators.api import Api

    given = inputs(tmp_path, [python("a.py", WEAK_SHELL)])
    for text, reason in ((WEAK_SHELL.replace("shell=True", "shell=False"), "answer_no_program"), (MENDED_SHELL, "")):
        with Api(lambda _prompt, text=text: fenced(text)) as api:
            told = {"openai": {"url": api.url, "model": "mender", "wait_s": 0.01, "tries": 1}}
            source = findings(rewrites=False, generator=told, teacher_license="LicenseRef-acme-terms")
            assert [pair.secure for pair in all_of(source, given)] == ([] if reason else [text])
            assert source.left_out == ({reason: 1} if reason else {})


def test_a_generator_needs_terms_and_one_of_this_machine_a_base() -> None:
    with pytest.raises(BurilError, match="D332"):
        findings(generator="transformers")
    source = findings(generator="transformers", teacher_license="apache-2.0")
    assert source.needs() == ("prepare", "select", "split", "base", "tokenizer")
    assert set(source.parts()) >= {"scanner:taint", "generator:transformers"}


def test_a_question_shows_the_line() -> None:
    text = question(Flaw("python", WEAK, "CWE-89", "a query", 6))
    assert "CWE-89: a query" in text and WEAK in text and f"\n    {WEAK.splitlines()[5].strip()}\n" in text
    assert "as parameters of the query" in text
    assert "Rewrite that line. Give" in question(Flaw("python", WEAK, "CWE-1", "odd", 900))
    assert read_answer("```py\nx = 1\n```") == "x = 1\n" and read_answer("x = 1") == ""


# --- the chain


def test_pairs_of_a_chain_from_files_to_lineage(tmp_path: Path) -> None:
    """What `prepare` finds and `select` sets aside becomes pairs that lead back to the file, whole and by its id."""
    code = tmp_path / "code"
    (code / "shop").mkdir(parents=True)
    for number in range(12):
        (code / "shop" / f"plain{number}.py").write_text(
            PLAIN.replace("total", f"total{number}").replace("result", f"sum{number}")
        )
    (code / "shop" / "people.py").write_text(WEAK)
    (code / "shop" / "tar.py").write_text(WEAK_SHELL)
    chain = Chain.from_values(
        {
            "collect": [{"folder": {"path": str(code), "license": "mit"}}],
            "prepare": {"scan": [{"taint": {"mode": "snippet"}}]},
            "select": {"findings": {"high": "pair", "medium": "pair"}},
            "pairs": {"sources": [{"findings": {"read": ["set_aside"]}}], "valid": 0, "test": 0},
        }
    )
    store = Store(tmp_path / "store")
    artifacts = chain.run(store).artifacts
    pairs = read_pairs(artifacts["pairs"].path("train.parquet"))
    assert {row["path"] for row in pairs} == {"shop/people.py", "shop/tar.py"}
    for row in pairs:
        assert row["proofs"] == ["parses", "scanner"] and row["license"] == "MIT"
        (story,) = lineage.stories(artifacts, row["pair_id"])
        assert story.row_id == row["row_id"] and story.path == row["path"]
        assert ("pairs", "noted") in {(moment.stage, moment.outcome) for moment in story.moments}
        assert ("select", "dropped") in {(moment.stage, moment.outcome) for moment in story.moments}
    summary = json.loads(artifacts["pairs"].path("summary.json").read_text())
    assert summary["by_source"] == {"findings": 2} and Counter(summary["by_cwe"]) == {"CWE-89": 1, "CWE-78": 1}


def test_sources_are_named_shortly_in_the_yaml(tmp_path: Path) -> None:
    path = repository(tmp_path / "shop", [("a", {"a.py": WEAK}), ("b", {"a.py": MENDED})])
    refs = PluginKind("pairing").parse(["templates", {"history": str(path)}, {"findings": ["set_aside"]}])
    assert [ref.name for ref in refs] == ["templates", "history", "findings"]
    assert refs[2].settings.read == ("set_aside",)
