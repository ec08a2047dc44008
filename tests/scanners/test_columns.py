"""Columns point at the very characters that a finding is about, whatever stands before them on the line."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from buril.code.codefile import SCHEMA, CodeFile, Finding, from_table, read_rows, to_table, write_rows
from buril.scanners import INCONCLUSIVE, PARTIAL, Scanner, Text, bandit
from buril.scanners._columns import Cursor, Lines, num_chars
from buril.scanners._taint.samples import SAMPLES
from buril.scanners.bandit import Bandit
from buril.scanners.packages import Packages
from buril.scanners.ruff import Ruff
from buril.scanners.secrets import Secrets
from buril.scanners.semgrep import Semgrep
from buril.scanners.taint import Taint
from buril.scanners.unicode import Unicode

ODD = (
    "",
    "a",
    "\t",
    "ñ",
    "e\u0301",
    "日本",
    "\N{EARTH GLOBE AMERICAS}",
    "\U0001f469\u200d\U0001f467",
    " ",
    "שלום",
    "ﬁ",
)
"""One unit, two and three bytes, two UTF-16 units, marks that join what stands before them."""
ENDS = ("\n", "\r\n")
TOKEN = "".join(("ghp_", "a1B2c3D4e5", "kR7mQ2xW9vB4nT6yU8pL3sD5fG"))[:40]
NUM_TEXTS = 60
Make = Callable[[random.Random], tuple[str, list[str]]]
"""A text made by chance, and the pieces in it that findings are about, in their order."""


def odd(chance: random.Random) -> str:
    return "".join(chance.choices(ODD, k=chance.randrange(6)))


def piece(text: str, found: Finding) -> str:
    """What a finding points at: from its column on its line to its end column on its last line."""
    lines = text.split("\n")
    last = max(found.line, found.end_line)
    chosen = lines[found.line - 1 : last]
    chosen[-1] = chosen[-1][: found.end_column - 1]
    chosen[0] = chosen[0][found.column - 1 :]
    return "\n".join(chosen)


def joined(chance: random.Random, lines: list[str], *, mark: bool = True) -> str:
    end = chance.choice(ENDS)
    return ("\ufeff" if mark and chance.random() < 0.2 else "") + end.join([*lines, ""])


def python(chance: random.Random) -> tuple[str, list[str]]:
    calls = [f'eval("{odd(chance)}" + x)' for _ in range(3)]
    calls[2] = calls[2].replace(" + x", chance.choice(ENDS).replace("\r", "") + "  + x")
    lines = [
        f'a = "{odd(chance)}"; {calls[0]}',
        f"if a:\n\t{calls[1]}  # {odd(chance)}",
        f"x = ['{odd(chance)}', {calls[2]}]",
    ]
    text = joined(chance, lines)
    end = "\r\n" if "\r\n" in text else "\n"
    text = text.replace("\r\n", "\n").replace("\n", end)
    return text, [call.replace("\n", end) for call in calls]


def flask(chance: random.Random) -> tuple[str, list[str]]:
    calls = [f'os.system("{odd(chance)}" + x)', f"os.system(\n        x + '{odd(chance)}'\n    )"]
    head = "import os\nfrom flask import request\n@app.route('/')\ndef f():\n    x = request.args['x']"
    text = "\n".join([head, f'    y = "{odd(chance)}"; {calls[0]}', f"    z = '{odd(chance)}', {calls[1]}", ""])
    end = chance.choice(ENDS)
    return text.replace("\n", end), [call.replace("\n", end) for call in calls]


def express(chance: random.Random) -> tuple[str, list[str]]:
    call = f'db.query(`select a from b where c = "{odd(chance)}${{x}}"`)'
    head = "const app = require('express')();\napp.get('/', (req, res) => {\n  const x = req.query.x;"
    text = "\n".join([head, f'\tconst y = "{odd(chance)}"; {call}; // {odd(chance)}', "});", ""])
    return text.replace("\n", chance.choice(ENDS)), [call]


def secret(chance: random.Random) -> tuple[str, list[str]]:
    body = "".join("".join(chance.choices("abcXYZ0189+/", k=64)) + "\n" for _ in range(3))
    key = f"-----BEGIN RSA PRIVATE KEY-----\n{body}-----END RSA PRIVATE KEY-----"
    end = chance.choice(ENDS)
    text = end.join(
        [odd(chance), f"{odd(chance)} token = '{TOKEN}' {odd(chance)}", odd(chance), f"\t{key}", odd(chance)]
    )
    return text.replace("\r\n", "\n").replace("\n", end), [TOKEN, body.strip().replace("\n", end)]


def hidden(chance: random.Random) -> tuple[str, list[str]]:
    before = odd(chance).replace("\u200d", "")
    return joined(chance, ["x = 1", f'y = "{before}"; is\u200badmin = 1  # {before}'], mark=False), ["\u200b"]


def imports(chance: random.Random) -> tuple[str, list[str]]:
    lines = [f'a = "{odd(chance)}"; import zzunheard_of as b', f"'{odd(chance)}'; from yyunheard.part import c"]
    return joined(chance, lines, mark=False), ["zzunheard_of", "yyunheard.part"]


def installs(chance: random.Random) -> tuple[str, list[str]]:
    lines = [f"echo '{odd(chance)}' && pip install -q zzunheard[x]==1", "sudo npm install -g @zz/unheard@2 requests"]
    return joined(chance, lines, mark=False), ["zzunheard", "@zz/unheard"]


def shown(scanner: Scanner, make: Make, language: str) -> Iterator[tuple[str, list[Finding], list[str]]]:
    """What a scanner says of many texts, whole runs of the program for all of them."""
    chance = random.Random(0)
    made = [make(chance) for _ in range(NUM_TEXTS)]
    answers = scanner.scan_many([Text(text, language) for text, _ in made])
    for (text, pieces), found in zip(made, answers, strict=True):
        assert not [item for item in found if item.rule in (INCONCLUSIVE, PARTIAL)], text
        yield text, found, pieces


@pytest.mark.parametrize(
    ("scanner", "make", "language", "rules"),
    [
        (Ruff(), python, "python", "S307"),
        (Bandit(), python, "python", "B307"),
        (Bandit(Bandit.Settings(first="none")), python, "python", "B307"),
        (Taint(), flask, "python", "command"),
        (Taint(), express, "javascript", "sql"),
        (Secrets(Secrets.Settings(rules=("secrets",))), secret, "", "github_token private_key"),
        (Unicode(), hidden, "python", "invisible-in-code"),
        (Packages(Packages.Settings(modules=("own",))), imports, "python", "unknown-package misspelt-package"),
        (Packages(Packages.Settings(modules=("own", "requests"))), installs, "bash", "unknown-package"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Scanner) else getattr(value, "__name__", None),
)  # fmt: skip
def test_columns_point_at_the_characters(scanner: Scanner, make: Make, language: str, rules: str) -> None:
    for text, found, pieces in shown(scanner, make, language):
        told = [item for item in found if item.rule in rules.split()]
        assert len(told) == len(pieces), (text, found)
        for item, expected in zip(told, pieces, strict=True):
            assert piece(text, item) == expected, (text, item)


def test_semgreps_bytes_become_characters(semgrep: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BURIL_SEMGREP", semgrep)
    for text, found, pieces in shown(Semgrep(), flask, "python"):
        told = [piece(text, item) for item in found if item.rule == "python-command-injection"]
        assert told == pieces, (text, found)


def test_two_on_one_line_that_say_the_same_stay_one() -> None:
    """Else a baseline written before findings had columns would not know the second."""
    text = "eval(x); eval(y)\n"
    for scanner in (Ruff(), Bandit(), Bandit(Bandit.Settings(first="none"))):
        (found,) = scanner.scan_many([Text(text, "python")])
        assert [(item.line, item.column) for item in found] == [(1, 1)], scanner


def test_an_end_on_a_line_that_a_finding_does_not_name_is_unknown() -> None:
    """What a view returns is told by the line of its `return`."""
    head = "from flask import request\n@app.route('/')\ndef f():\n    x = request.args['x']\n"
    text = head + "    return (\n        '<b>' + x + '</b> and more words than the line of the return has'\n    )\n"
    (found,) = [item for item in Taint().scan(text, "python") if item.rule == "xss"]
    assert (found.line, found.end_line, found.column, found.end_column) == (5, 0, 5, 0)


def test_in_a_text_that_is_no_unicode_columns_are_unknown() -> None:
    """Half of a pair of UTF-16 is three bytes that are no character: nothing counts it alike."""
    (found,) = [item for item in Unicode().scan("a = '\ud800'; \u202e b\n", "") if item.rule.startswith("bidi")]
    assert (found.line, found.column, found.end_column) == (1, 0, 0)


def test_bandit_says_no_column_of_an_argument_on_another_line() -> None:
    """It tells the line of `shell=True` with the column of the call."""
    (found,) = Bandit(Bandit.Settings(first="none")).scan_many(
        [Text("import subprocess\nsubprocess.run(\n    x,\n    shell=True,\n)\n", "python")]
    )
    (call,) = [item for item in found if item.rule == "B602"]
    assert (call.line, call.column, call.end_column) == (4, 0, 0)


def test_bandits_tests_of_strings_are_those_that_are_known() -> None:
    """They tell the lines of what is around the string with the columns of the string."""
    from bandit.core.extension_loader import MANAGER  # type: ignore[import-untyped]  # it brings no types

    tests = {name for name, found in MANAGER.plugins_by_id.items() if "Str" in found.plugin._checks}
    assert tests == bandit._STRINGS
    text = "db.execute('''select a from b\n  where c = %s''' %\n  x)\nq = 'select a from b where c = %s' % x\n"
    (found,) = Bandit(Bandit.Settings(first="none")).scan_many([Text(text, "python")])
    assert [(item.line, item.end_line, item.column, item.end_column) for item in found] == [
        (1, 3, 12, 0),
        (4, 0, 5, 35),
    ]


def test_counting() -> None:
    chance = random.Random(1)
    for _ in range(500):
        line, rest = odd(chance) + odd(chance), "b" + odd(chance)
        source = (line + "\n" + rest).encode()
        assert num_chars(line.encode()) == len(line)
        at = chance.randrange(len(line) + 1)
        assert Lines(source).column(1, len(line[:at].encode())) == at + 1
        cursor, start = Cursor(source), len(line[:at].encode())
        assert cursor.over(start, len(source)) == (1, 2, at + 1, len(rest) + 1)
        assert Cursor(source + b"\r\n").over(start, len(source) + 2) == (1, 2, at + 1, len(rest) + 1)
    assert Lines(b"abc").column(2, 0) == Lines(b"abc").column(1, 4) == Lines(b"abc").column(0, 0) == 0
    assert num_chars("a\ud800b".encode("utf-8", "surrogatepass")) == 3


def test_rows_written_before_there_were_columns_are_read(tmp_path: Path) -> None:
    """By themselves, and beside rows of today."""
    old = pa.schema([field if field.name != "findings" else _without_columns(field) for field in SCHEMA])
    file = CodeFile(
        "r", "a.py", "x\n", findings=[Finding("ruff", "S307", 1, "high", "m", "CWE-95", "A03:2021", "high", 2)]
    )
    rows = to_table([file]).to_pylist()
    for item in rows[0]["findings"]:
        del item["column"], item["end_column"]
    pq.write_table(pa.Table.from_pylist(rows, schema=old), tmp_path / "old.parquet")
    assert list(read_rows(tmp_path / "old.parquet")) == [file]
    today = CodeFile("r", "b.py", "x\n", findings=[file.findings[0]._replace(column=3, end_column=9)])
    write_rows(tmp_path / "new.parquet", [today])
    both = pa.concat_tables([pq.read_table(tmp_path / f"{name}.parquet", schema=SCHEMA) for name in ("old", "new")])
    assert list(from_table(both)) == [file, today]


def _without_columns(field: pa.Field) -> pa.Field:
    kept = [inner for inner in field.type.value_type if inner.name not in ("column", "end_column")]
    return pa.field("findings", pa.list_(pa.struct(kept)))


@pytest.mark.parametrize("language", sorted(set(SAMPLES) - {"solidity"}))
def test_taint_knows_the_columns_of_every_planted_sample(language: str) -> None:
    for text in SAMPLES[language].values():
        for item in Taint().scan(text, language):
            line = text.splitlines()[item.line - 1]
            assert 1 <= item.column <= len(line) and line[item.column - 1] not in " \t", (item.rule, item.column)
