"""The taint engine: labelled programs and their twins, what it understands, what it does not claim, and bad input."""

from __future__ import annotations

import ast
import json
import sysconfig
import textwrap
from pathlib import Path
from typing import Any

import pytest

from buril.code.codefile import Finding
from buril.scanners import INCONCLUSIVE, PARTIAL
from buril.scanners._taint import engine, javascript_rules
from buril.scanners._taint.languages import LANGUAGES, may_hold
from buril.scanners._taint.python_misuse import MISUSES
from buril.scanners._taint.python_rules import SINKS
from buril.scanners._taint.rules import Given, holds
from buril.scanners._taint.samples import SAMPLES
from buril.scanners._taint.secrets import is_secret
from buril.scanners._taint.value import Value
from buril.scanners.taint import Taint
from tests.scanners.cases import Case, cases

SAME = {"CWE-95": "CWE-94", "CWE-77": "CWE-78", "CWE-259": "CWE-798"}
"""Weaknesses that are named one way or the other."""
KNOWN = Path(__file__).with_name("taint_known.json")
SVEN = Path(__file__).resolve().parents[3] / "shared/data/eval/sven/data_train_val"
HEAD = "from flask import Flask, request, redirect, abort\nimport os, re, sqlite3\napp = Flask(__name__)\n"


def found(text: str, language: str = "python", **settings: Any) -> list[Finding]:
    return list(Taint(Taint.Settings(**settings)).scan(text, language))


def view(body: str, **settings: Any) -> list[tuple[str, int]]:
    """Rules and lines within a view whose input is `x`."""
    inner = textwrap.indent(textwrap.dedent(body).strip("\n"), "    ")
    text = f"{HEAD}@app.route('/')\ndef page():\n    x = request.args['x']\n{inner}\n"
    return [(item.rule, item.line - 6) for item in found(text, **settings)]


def seen(case: Case) -> bool:
    """Whether a weak program is seen at the place that it is weak at; whether a good one raises a false alarm."""
    places = {
        (SAME.get(item.cwe, item.cwe), line)
        for item in found(case.text, case.language)
        for line in range(item.line, max(item.line, item.end_line) + 1)
    }
    if case.bad:
        return all((SAME.get(cwe, cwe), line) in places for cwe, line in case.expected)
    return any(cwe == SAME.get(case.cwe, case.cwe) for cwe, _line in places)


FEWEST = {
    "python": (480, 0.08),
    "javascript": (200, 0.11),
    "typescript": (66, 0.03),
    "go": (116, 0.03),
    "java": (150, 0.06),
    "php": (150, 0.03),
    "solidity": (100, 0.02),
}
"""Programs of a language, and the most of them that may be judged wrongly."""


@pytest.mark.parametrize("language", FEWEST)
def test_labelled_programs(language: str) -> None:
    """What is missed and what is falsely seen is written down; a change of either is looked at, not let pass."""
    told: dict[str, list[str]] = {"missed": [], "false alarms": []}
    number = 0
    for case in cases(language):
        number += 1
        if seen(case) != case.bad:
            told["missed" if case.bad else "false alarms"].append(f"{case.cwe} {case.name}")
    known = json.loads(KNOWN.read_text())[language]
    assert told == known, json.dumps(told, indent=1)
    fewest, wrong = FEWEST[language]
    assert number >= fewest and len(told["missed"]) + len(told["false alarms"]) <= number * wrong


def test_the_planted_samples_are_seen() -> None:
    assert Taint().self_test() == []
    assert Taint(Taint.Settings(mode="snippet")).self_test() == []
    assert set(SAMPLES) == LANGUAGES


def test_the_rules_are_in_form() -> None:
    for sink in (*SINKS, *javascript_rules.SINKS):
        assert sink.kind == "command-word" or sink.kind in engine_kinds(), sink
        holds(sink.when, Given((), {}))
    for misuse in (*MISUSES, *javascript_rules.MISUSES):
        assert misuse.severity in ("low", "medium", "high") and misuse.calls and misuse.text, misuse
        holds(misuse.when, Given((), {}))


def test_every_finding_has_a_rule_that_is_told() -> None:
    told = Taint().rules()
    rules = {item.rule for language in FEWEST for case in cases(language)
             for item in found(case.text, language, mode="snippet", min_confidence="low")}  # fmt: skip
    assert rules <= set(told) and all(about.message for about in told.values())


def engine_kinds() -> set[str]:
    from buril.scanners._taint.kinds import KINDS

    return set(KINDS)


@pytest.mark.parametrize(
    "body",
    {
        "a slot": "d = {'a': x, 'b': 'c'}\nos.system('ls ' + d['a'])",
        "a list": "d = ['a']\nd.append(x)\nd.insert(0, 'b')\nos.system('ls ' + d[2])",
        "unpacked": "a, b = x, 'c'\nos.system(f'ls {a}')",
        "joined": "os.system(' '.join(['ls', x]))",
        "formatted": "os.system('ls {}'.format(x))",
        "percent": "os.system('ls %s' % x)",
        "added to": "c = 'ls '\nc += x\nos.system(c)",
        "a loop": "c = ''\nfor _ in range(3):\n    c = c + x\nos.system(c)",
        "a comprehension": "os.system(' '.join(part.strip() for part in [x]))",
        "a branch": "c = 'ls'\nif len(x) > 3:\n    c = 'ls ' + x\nos.system(c)",
        "a helper": "def made(v):\n    return 'ls ' + v\nos.system(made(x))",
        "a lambda": "made = lambda v: 'ls ' + v\nos.system(made(x))",
        "a closure": "def go():\n    os.system('ls ' + x)\ngo()",
        "an object": "class A:\n    def __init__(self, v):\n        self.v = v\n    def go(self):\n        os.system(self.v)\nA(x).go()",
        "a conditional": "os.system('ls ' + (x if x else 'a'))",
        "a walrus": "if (y := x.strip()):\n    os.system(y)",
        "a filled argument": "def fill(into, v):\n    into.append(v)\nd = []\nfill(d, x)\nos.system(d[0])",
        "an exception": "try:\n    y = x\nexcept ValueError:\n    y = 'a'\nos.system(y)",
        "with": "with open('/a') as stream:\n    os.system(x)",
    }.values(),
)
def test_input_is_followed(body: str) -> None:
    assert "command" in {rule for rule, _line in view(body)}


@pytest.mark.parametrize(
    "body",
    {
        "the other slot": "d = {'a': x, 'b': 'c'}\nos.system('ls ' + d['b'])",
        "the other place": "d = ['a', x]\nos.system('ls ' + d[0])",
        "overwritten": "x = 'a'\nos.system(x)",
        "never runs": "if 7 * 6 < 40:\n    os.system(x)",
        "a number": "os.system('ls %d' % int(x))",
        "quoted": "import shlex\nos.system('ls ' + shlex.quote(x))",
        "one of some": "if x not in ('a', 'b'):\n    abort(400)\nos.system('ls ' + x)",
        "replaced unless": "if x not in ('a', 'b'):\n    x = 'a'\nos.system('ls ' + x)",
        "matched": "if not re.fullmatch('[a-z]+', x):\n    return ''\nos.system('ls ' + x)",
        "digits": "if x.isdigit():\n    os.system('ls ' + x)",
        "raises": "int(x)\nos.system('kill ' + x)",
        "a predicate of this file": "def ok(v):\n    if v in ('a', 'b'):\n        return True\n    return False\nif ok(x):\n    os.system(x)",
        "looked up": "os.system({'a': 'ls', 'b': 'df'}.get(x, 'ls'))",
        "an argument of a list": "import subprocess\nsubprocess.run(['ls', x])",
        "cleaned": "os.system('ls ' + re.sub('[^a-z]', '', x))",
    }.values(),
)
def test_what_makes_harmless_is_understood(body: str) -> None:
    assert "command" not in {rule for rule, _line in view(body)}


@pytest.mark.parametrize("body", [
    "exec(`ls ${x}`);", "const { a } = { a: x, b: 'c' };\nexec('ls ' + a);", "const d = ['a'];\nd.push(x);\nexec(d[1]);",
    "const c = ['ls', x].join(' ');\nexec(c);", "let c = 'ls ';\nc += x;\nexec(c);", "for (const part of [x]) exec(part);",
    "const made = (v) => 'ls ' + v;\nexec(made(x));", "Promise.resolve(x).then((v) => exec(v));",
    "class A { constructor(v) { this.v = v; } go() { exec(this.v); } }\nnew A(x).go();", "exec(x ? x : 'a');",
    "switch (x.length) { case 1: exec(x); break; default: exec('ls'); }", "[x].map((v) => 'ls ' + v).forEach((v) => exec(v));",
    "try { exec(x); } catch (problem) { exec('ls'); }", "const run = require('util').promisify(exec);\nrun(x);",
])  # fmt: skip
def test_input_is_followed_in_scripts(body: str) -> None:
    assert "command" in {item.rule for item in found(SCRIPT % body, "javascript")}
    assert "command" in {item.rule for item in found(SCRIPT % body, "typescript")}


@pytest.mark.parametrize("body", [
    "const { b } = { a: x, b: 'c' };\nexec('ls ' + b);", "x = 'a';\nexec(x);", "if (7 * 6 < 40) exec(x);", "exec('kill ' + Number(x));",
    "if (!['a', 'b'].includes(x)) return;\nexec(x);", "if (!/^[a-z]+$/.test(x)) throw new Error();\nexec(x);",
    "exec('ls ' + x.replace(/[^a-z]/g, ''));", "require('child_process').execFile('ls', [x]);",
    "switch (x) { case 'a': exec('ls'); break; default: exec('df'); }",
])  # fmt: skip
def test_what_makes_harmless_is_understood_in_scripts(body: str) -> None:
    assert "command" not in {item.rule for item in found(SCRIPT % body, "javascript")}


SCRIPT = """const { exec } = require("child_process");
const app = require("express")();
app.get("/", (req, res) => {
let x = req.query.x;
%s
});
"""


def test_any_script_is_answered() -> None:
    for text in (
        "",
        "const {",
        "a?.b?.[c]?.(d)\n",
        "export default () => {}\n",
        "label: for (;;) { break label; }\n",
        "const {a: {b = 1, ...c}, ...d} = e\n",
        "x = a ? b : c ? d : e\n",
        "`${`${a}`}`\n",
        "class { static #a = 1 }\n",
        "async function* f() { yield* g(); for await (const x of y) {} }\n",
        "<A b={c} {...d}>{e}</A>\n",
        "0x1f + 1_000n + .5\n",
    ):
        for language in ("javascript", "typescript", "tsx"):
            found(text, language, mode="snippet")


def test_what_is_said_of_one_input_says_nothing_of_another() -> None:
    body = "y = request.args['y']\nif x in ('a', 'b'):\n    os.system(y)"
    assert ("command", 3) in view(body)
    again = "if request.args['x'] in ('a', 'b'):\n    os.system(request.args['x'])"
    assert view(again) == []


def test_a_cleaning_for_one_harm_is_none_for_another() -> None:
    text = "from html import escape\ny = escape(x)\nos.system(y)\nreturn '<p>' + y + '</p>'"
    assert view(text) == [("command", 3)]
    assert ("xss", 3) in view("from html import escape\ny = escape(x)\nreturn '<img alt=' + y + '>'"), "without quotes"


def test_a_request_in_another_form_is_one_and_what_can_be_guessed_is_no_secret() -> None:
    wrapped = "from lib import RequestAdapter\nseen = RequestAdapter(request)\nos.system(seen.field('a'))"
    assert ("command", 3) in view(wrapped) and view(wrapped.replace("(request)", "(app)")) == []
    guessed = (
        "import random\nvalue = str(random.random())[2:]\nanswer.set_cookie('id', value, secure=True, httponly=True)"
    )
    assert view(guessed) == [("weak-random", 3)]
    assert view(guessed.replace("random.random()", "random.SystemRandom().random()")) == []
    assert view(guessed.replace("answer.set_cookie('id', value, secure=True, httponly=True)", "os.system(value)")) == []


def test_where_a_finding_points() -> None:
    (item,) = found(f"{HEAD}@app.route('/')\ndef page():\n    x = request.args['x']\n    os.system(\n        x)\n")
    assert (item.scanner, item.rule, item.line, item.end_line) == ("taint", "command", 7, 8)
    assert (item.cwe, item.owasp, item.severity, item.confidence) == ("CWE-78", "A03:2021", "high", "high")
    assert item.message == "untrusted text becomes a command: the request (line 6) reaches os.system"


def test_parameters_are_input_in_snippets_alone() -> None:
    text = "import os\ndef run(name):\n    os.system('ls ' + name)\n"
    assert found(text) == []
    (item,) = found(text, mode="snippet")
    assert item.rule == "command" and item.confidence == "medium"
    called = text + "run('a')\n"
    assert found(called, mode="snippet") == [], "who is called here is judged by what it is called with"


def test_settings() -> None:
    text = "import hashlib\nhashlib.md5(b'a')\n"
    assert [item.rule for item in found(text)] == ["weak-hash"]
    assert found(text, ignore=["weak-hash"]) == [] == found(text, min_confidence="high")
    assert found("import os\nos.system(a)\n") == []
    assert [item.rule for item in found("import os\nos.system(a)\n", min_confidence="low")] == ["shell-text"]


@pytest.mark.parametrize(("name", "value", "expected"), [
    ("db_password", "bl-Marmot!Harbor7", True), ("password", "password", False), ("password", "password_field", False),
    ("api_key", "<your key>", False), ("secret", "https://a.example/x9", False), ("key", b"9f2-lamp-river", True),
    ("token_type", "bearer9-x1", False), ("api_key", "", False), ("password", None, False),
])  # fmt: skip
def test_secrets_by_name(name: str, value: object, expected: bool) -> None:
    assert is_secret(name, value) is expected


def test_conditions_of_calls() -> None:
    given = Given((Value(const="md5"), Value()), {"check": Value(const=False), "o": Value(parts={"a": Value(const=3)})})
    for when in (
        "check=False",
        "check!=True",
        "0~^md",
        "0!~sha",
        "+check",
        "-other",
        "1?",
        "o.a=3",
        "o.a<4",
        "o.a&1",
        "0:str",
        "",
    ):
        assert holds(when, given), when
    for when in (
        "check=True",
        "check!=False",
        "0!~^md",
        "0~sha",
        "-check",
        "+other",
        "0?",
        "o.a=4",
        "o.a<3",
        "o.a&4",
        "0:int",
    ):
        assert not holds(when, given), when
    with pytest.raises(ValueError):
        holds("!", given)


def test_the_look_for_words_loses_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """With and without it the same is found, in every labelled program."""
    programs = [case for language in FEWEST for case in cases(language)]
    with_look = [found(case.text, case.language) for case in programs]
    monkeypatch.setattr("buril.scanners.taint.may_hold", lambda _language, _text: True)
    assert with_look == [found(case.text, case.language) for case in programs]
    assert not may_hold("python", "def add(a, b):\n    return a + b\n")


def test_any_text_is_answered() -> None:
    for text in ("", "def (", "x = " + "(" * 300 + "1" + ")" * 300, "a" * 5000, "\ufeffimport os\n", "def f():\n\treturn\n  y\n",
                 "x = " + " + ".join(["request.args['a']"] * 900) + "\n", "class A(A): pass\nA().b.c[0]()\n",
                 "def f(a=f()): return f\nf()()()\n", "def f(*a, **k):\n    return f(*a, **k)\nf(1)\n", "lambda: (yield)\n",
                 "match request:\n    case {'a': b} | [b, *_]: eval(b)\n    case _: pass\n"):  # fmt: skip
        for mode in ("strict", "snippet"):
            assert all(item.rule not in (INCONCLUSIVE,) or item.message for item in found(text, mode=mode))


def test_a_file_with_too_many_ways_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "MAX_STEPS", 20)
    text = HEAD + "x = request.args['x']\n" + "a = 1\n" * 100 + "os.system(x)\n"
    assert PARTIAL in {item.rule for item in found(text)}


def test_real_code_is_read_whole_and_nearly_silent() -> None:
    """The standard library: every file is analysed, and next to nothing is said of it."""
    lines = findings = 0
    for path in sorted(Path(sysconfig.get_path("stdlib")).glob("*.py"))[::3]:
        text = path.read_text(encoding="utf-8", errors="replace")
        ast.parse(text)
        lines += text.count("\n")
        items = found(text)
        assert not {PARTIAL, INCONCLUSIVE} & {item.rule for item in items}, path
        findings += len(items)
    assert lines > 15_000 and findings / lines < 0.001


@pytest.mark.skipif(not SVEN.is_dir(), reason=f"the data set SVEN is not here: {SVEN}")
def test_real_weak_functions_are_told_from_their_fixes() -> None:
    told = fixed = number = 0
    scanner = Taint(Taint.Settings(mode="snippet"))
    for path in sorted(SVEN.glob("*/cwe-089.jsonl")):
        for line in path.read_text().splitlines():
            row = json.loads(line)
            if row["file_name"].endswith(".py"):
                number += 1
                told += any(item.cwe == "CWE-89" for item in scanner.scan(row["func_src_before"], "python"))
                fixed += any(item.cwe == "CWE-89" for item in scanner.scan(row["func_src_after"], "python"))
    assert number > 100 and told / number > 0.75 and fixed / number < 0.06


@pytest.mark.parametrize(
    ("check", "passes"),
    [
        ("if not x.startswith('/') or x.startswith(('//', '/\\\\')):\n    x = '/'", True),
        ("if not x.startswith('/') or x.startswith('//'):\n    return abort(400)", True),
        ("if not (x.startswith('/') and not x.startswith('//')):\n    x = '/'", True),
        ("if not x.startswith('/'):\n    x = '/'", False),
        ("if x.startswith('//'):\n    x = '/'", False),
        ("if not x.startswith('/') or x.startswith('http'):\n    x = '/'", False),
        ("if not x.startswith('//a') or x.startswith('//b'):\n    x = '/'", False),
        ("if x.startswith('/') or not x.startswith('//'):\n    pass", False),
    ],
)
def test_an_address_of_this_host_has_one_slash_and_not_two(check: str, passes: bool) -> None:
    found = {rule for rule, _line in view(f"{check}\nreturn redirect(x)")}
    assert ("redirect" not in found) is passes
