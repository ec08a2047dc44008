"""Mutations: safe code made weak in one place, weak code mended, and the pieces of files that this is done to."""

from __future__ import annotations

import ast
import random
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from buril.code.codefile import CodeFile, Verdict, write_rows
from buril.code.language import language_of
from buril.code.parse import parse
from buril.data._pair_proof import Prover
from buril.data.pair import Pair
from buril.data.pairing import _mutation_compile, _mutation_guard, _mutation_rules
from buril.data.pairing._mutation import Mutant, languages, mend, mutate
from buril.data.pairing._mutation_edit import Edit, edited, with_imports
from buril.data.pairing._mutation_match import filled, found, pattern
from buril.data.pairing._mutation_text import listed, put_together, taken_apart
from buril.data.pairing._mutation_unit import pieces
from buril.data.pairing.mutations import Mutations, chosen
from buril.data.pairs import Pairs
from tests.conftest import as_artifact
from tests.data.made import stdlib

LANGUAGES = ("python", "javascript", "typescript", "tsx", "java", "go", "php", "c", "solidity")


def places(language: str, shape: str, text: str) -> list[tuple[str, dict[str, str]]]:
    source = text.encode()
    known = found(pattern(language, shape), parse(language, source), language)
    return [(source[place.start : place.end].decode(), dict(place.slots)) for place in known]


def weakened(text: str, language: str, name: str) -> list[str]:
    """The lines that mutants of one rewrite have and the text has not, a mutant a line."""
    mutants = [mutant for mutant in mutate(text, language) if mutant.change == name]
    for mutant in mutants:
        assert not parse(language, mutant.vulnerable.encode()).root_node.has_error, mutant.vulnerable
    return [difference(mutant.secure, mutant.vulnerable) for mutant in mutants]


def difference(before: str, after: str) -> str:
    known = before.splitlines()
    return " ".join(line.strip() for line in after.splitlines() if line not in known and line.strip())


# --- patterns


def test_a_pattern_is_found_however_it_is_written() -> None:
    text = "def f(s):\n    return yaml.safe_load(\n        s.read(),  # all of it\n    )\n"
    assert places("python", "yaml.safe_load(«X»)", text) == [
        ("yaml.safe_load(\n        s.read(),  # all of it\n    )", {"X": "s.read()"})
    ]
    assert places("python", "yaml.safe_load(«X»)", "yaml.load(s)\nyaml.safe_load()\nother.safe_load(s)\n") == []


def test_slots_hold_any_number_of_things_the_same_thing_twice_and_what_strings_hold() -> None:
    shape = "requests.«M»(«A…», verify=False, «B…»)"
    text = "requests.get(verify=False)\nrequests.put(u, a=1, verify=False, b=2)\nrequests.get(u, verify=True)\n"
    assert [slots for _text, slots in places("python", shape, text)] == [
        {"M": "get", "A": "", "B": ""},
        {"M": "put", "A": "u, a=1", "B": "b=2"},
    ]
    assert [text for text, _slots in places("python", "«A» == «A»", "a == a\na == b\n")] == ["a == a"]
    assert places("go", 'os.Getenv("«K»")', 'package p\nfunc f() string { return os.Getenv("API_KEY") }\n') == [
        ('os.Getenv("API_KEY")', {"K": "API_KEY"})
    ]
    assert places("python", 'f("a")', "f('a')\nf('b')\n") == [("f('a')", {})]


def test_statements_in_a_row_are_a_pattern() -> None:
    shape = "«P» = malloc(«A…»);\nif («P» == NULL) «S»;"
    text = "int f(void) { p = malloc(3); /* none? */ if (p == NULL) { g(); return 1; } q = malloc(2); h(); return 0; }"
    assert [slots for _text, slots in places("c", shape, text)] == [{"P": "p", "A": "3", "S": "{ g(); return 1; }"}]


def test_a_pattern_that_is_no_code_says_so() -> None:
    with pytest.raises(ValueError, match="not a pattern"):
        pattern("python", "def (")


def test_what_is_filled_in_is_indented_and_leaves_no_commas() -> None:
    assert filled("f(«A…», b=1, «B…»)", {"A": "", "B": ""}, "") == "f(b=1)"
    assert filled("with «X»:\n    f()", {"X": "y"}, "    ") == "with y:\n        f()"
    assert filled("f((«A…»,))", {"A": "a"}, "") == "f((a,))"
    assert filled("f((«A…»,))", {"A": "a, b"}, "") == "f((a, b))"
    assert filled("«N^»", {"N": "self.api_key"}, "") == "SELF_API_KEY"


# --- the table


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_form_of_every_rule_is_found_in_itself(language: str) -> None:
    """A form that its own pattern does not find would be dead, or find something else."""
    names = set()
    for rule in _mutation_rules.rules(language):
        assert rule.name not in names
        names.add(rule.name)
        for side, forms in rule.forms.items():
            if rule.way != ("mend" if side == "secure" else "mutate"):
                for form in forms:
                    assert places(language, form, sample(language, form)), f"{rule.name}: {form}"


def sample(language: str, form: str) -> str:
    """A program that has the form with something in its slots."""
    from buril.data.pairing._mutation_match import _AROUND, _ENDED

    text = re.sub(r"\$?«(\w+)…»", lambda slot: f"{slot[1]}1, {slot[1]}2", form)
    text = re.sub(
        r"\$?«(\w+)»", lambda slot: f"${slot[1]}1" if language == "php" and "$«" in slot[0] else f"{slot[1]}1", text
    )
    before, after = _AROUND.get(language, ("", ""))
    end = ";" if language in _ENDED and not text.rstrip().endswith((";", "}")) else ""
    return f"{before}{text}{end}{after}"


def test_a_rule_out_of_form_says_which() -> None:
    with pytest.raises(ValueError, match="not a line"):
        list(_mutation_rules.read("@ a CWE-1 python\nsecret: x\n"))
    with pytest.raises(ValueError, match="not a rule: @ half"):
        list(_mutation_rules.read("@ half CWE-1 python\nsecure: x\n"))


def test_rules_name_languages_that_there_are() -> None:
    for name in languages():
        assert language_of(name).name == name
    assert languages() >= set(LANGUAGES)


# --- texts that are put together

WAYS = (
    ("python", 'f"a {x} b {y.z}"'), ("python", '"a %s b %s" % (x, y.z)'), ("python", '"a {} b {}".format(x, y.z)'),
    ("python", '"a {1} b {0}".format(y.z, x)'), ("python", '"a {u} b {v}".format(u=x, v=y.z)'),
    ("python", '"a " + x + " b " + str(y.z)'), ("python", '("a " f"{x} b {y.z}")'), ("javascript", "`a ${x} b ${y.z}`"),
    ("javascript", "'a ' + x + ' b ' + y.z"), ("go", 'fmt.Sprintf("a %s b %v", x, y.z)'), ("go", '"a " + x + " b " + y.z'),
    ("java", '"a " + x + " b " + y.z'), ("java", 'String.format("a %s b %s", x, y.z)'),
)  # fmt: skip


@pytest.mark.parametrize(("language", "text"), WAYS)
def test_a_text_is_taken_apart_whatever_way_it_was_put_together(language: str, text: str) -> None:
    parts = taken_apart(language, text)
    assert parts is not None
    assert [(part.text, part.code) for part in parts if part.text] == [
        ("a ", False),
        ("x", True),
        (" b ", False),
        ("y.z", True),
    ]
    for again in put_together(language, parts):
        assert taken_apart(language, again) == parts, again


def test_what_a_python_text_is_put_together_from_gives_the_same_text() -> None:
    values: dict[str, Any] = {"x": "it's", "y": 7}
    parts = taken_apart("python", 'f"{{a}} 100% {x} \\"q\\" {y}"')
    assert parts is not None
    texts = list(put_together("python", parts))
    assert len(texts) == 4
    assert {eval(text, dict(values)) for text in texts} == {'{a} 100% it\'s "q" 7'}


@pytest.mark.parametrize(
    "text", ["f'{x:>8}'", "f'{x!r}'", "'%(a)s' % {'a': 1}", "'%s %s' % x", "b'a' + x", "'{}'.format()", "x + y"]
)
def test_what_is_more_than_parts_is_left_alone(text: str) -> None:
    parts = taken_apart("python", text)
    assert parts is None or not any(part.code for part in parts)


def test_arguments_are_told_apart() -> None:
    assert listed("a, f(b, c), 'd,e', [g, h]") == ["a", "f(b, c)", "'d,e'", "[g, h]"]
    assert listed("") == []
    assert listed("a,") == ["a"]


# --- mutants and what is mended

_F = "import sqlite3\n\n\ndef f(db, name, number):\n    {}\n"
MUTANTS = [
    ("text-as-sql", 'return db.execute("SELECT a FROM t WHERE b = ? AND c > ?", (name, number))',
     "return db.execute(f\"SELECT a FROM t WHERE b = '{name}' AND c > {number}\")"),
    ("text-as-sql", "db.execute('SELECT a FROM t WHERE b = :n', {'n': name})",
     "db.execute(f\"SELECT a FROM t WHERE b = '{name}'\")"),
    ("text-as-statement", 'q = "DELETE FROM t WHERE b = ?"\n    db.execute(q, (name,))',
     "q = f\"DELETE FROM t WHERE b = '{name}'\" db.execute(q)"),
    ("shell-text", 'subprocess.run(["git", "clone", f"--depth={number}", name], check=True)',
     'subprocess.run(f"git clone --depth={number} {name}", shell=True, check=True)'),
    ("no-certificate-check", "requests.get(name, timeout=3)", "requests.get(name, timeout=3, verify=False)"),
    ("context-check-off", "c = ssl.create_default_context()",
     "c.check_hostname = False c.verify_mode = ssl.CERT_NONE"),
    ("guessable-choice", "return secrets.choice(name)", "return random.choice(name)"),
    ("unsafe-yaml", "yaml.safe_load(name)", "yaml.load(name, Loader=yaml.Loader)"),
    ("weak-hash", "hashlib.sha256(name).hexdigest()", "hashlib.md5(name).hexdigest()"),
    ("ecb-mode", "Cipher(algorithms.AES(k), modes.CBC(iv))", "Cipher(algorithms.AES(k), modes.ECB())"),
    ("compare-in-time", "return hmac.compare_digest(name, number)", "return name == number"),
    ("unsigned-token", 'jwt.decode(name, number, algorithms=["HS256"])',
     'jwt.decode(name, options={"verify_signature": False})'),
    ("file-name-kept", "open(os.path.join(D, secure_filename(name)))", "open(os.path.join(D, name))"),
    ("cookie-over-http", "r.set_cookie('a', name, secure=True, httponly=True)",
     "r.set_cookie('a', name, secure=False, httponly=True)"),
    ("path-guard", "if '..' in name:\n        raise ValueError(name)\n    return open(name)", ""),
    ("owner-guard", "n = get(number)\n    if n.owner_id != name:\n        raise PermissionError(name)\n    return n", ""),
]  # fmt: skip


@pytest.mark.parametrize(("name", "before", "after"), MUTANTS)
def test_python_is_made_weak(name: str, before: str, after: str) -> None:
    made = weakened(_F.format(before), "python", name)
    assert made
    assert after in made


def test_a_mutant_differs_in_its_place_alone_and_both_texts_import_what_either_needs() -> None:
    text = "import secrets\n\n\ndef code(signs):\n    return secrets.choice(signs)\n"
    mutant = next(mutant for mutant in mutate(text, "python") if mutant.cwe == "CWE-338")
    assert mutant == Mutant(
        "CWE-338",
        "import secrets\nimport random\n\n\ndef code(signs):\n    return secrets.choice(signs)\n",
        "import secrets\nimport random\n\n\ndef code(signs):\n    return random.choice(signs)\n",
        "guessable-choice", "scanner", text.index("secrets.choice"),
    )  # fmt: skip


def test_a_guard_stays_where_nothing_follows_that_it_guards() -> None:
    kept = "def f(name, path):\n    if '..' in name:\n        raise ValueError(name)\n    return open(path)\n"
    assert not [mutant for mutant in mutate(kept, "python") if mutant.change == "path-guard"]
    does = "def f(name):\n    if '..' in name:\n        name = 'a'\n        return None\n    return open(name)\n"
    assert not [mutant for mutant in mutate(does, "python") if mutant.change == "path-guard"]


_C = "#include <string.h>\n#include <stdlib.h>\nint f(char *out, const char *in, size_t n) {{\n    {}\n    return 0;\n}}\n"
_JS = 'const crypto = require("crypto");\nasync function f(db, name, res) {{\n  {}\n}}\n'
OTHERS = [
    ("c", "bounds-guard", _C, "if (n > sizeof(buffer))\n        return -1;\n    memcpy(out, in, n);", ""),
    ("c", "null-guard", _C, "char *p = malloc(n);\n    if (!p)\n        return -1;\n    p[0] = 1;", ""),
    ("c", "c-bounded-print", _C, 'snprintf(out, n, "%s", in);', 'sprintf(out, "%s", in);'),
    ("c", "c-freed-and-read", _C, "next = p->next;\n    free(p);", ""),
    ("c", "c-format", _C, 'printf("%s", in);', "printf(in);"),
    ("javascript", "js-text-as-sql", _JS, 'await db.query("SELECT a FROM t WHERE b = $1", [name]);',
     "await db.query(`SELECT a FROM t WHERE b = '${name}'`);"),
    ("typescript", "js-markup-for-text", _JS, "res.textContent = name;", "res.innerHTML = name;"),
    ("javascript", "js-shell-sync", _JS, 'execFileSync("ls", ["-l", name]);', "execSync(`ls -l ${name}`);"),
    ("javascript", "js-unsigned-token", _JS, 'return jwt.verify(name, key, { algorithms: ["HS256"] });',
     "return jwt.decode(name);"),
    ("php", "php-text-as-sql", "<?php\nfunction f($db, $name) {{\n    {}\n}}\n",
     '$q = $db->prepare("SELECT a FROM t WHERE b = ?");\n    $q->execute([$name]);',
     "$q = $db->query(\"SELECT a FROM t WHERE b = '{$name}'\");"),
    ("php", "php-not-escaped", "<?php\nfunction f($name) {{\n    {}\n}}\n", "echo htmlspecialchars($name);", "echo $name;"),
    ("java", "java-text-as-sql", "class A {{ void f(Connection c, String name) throws Exception {{\n    {}\n}} }}\n",
     'PreparedStatement s = c.prepareStatement("SELECT a FROM t WHERE b = ?");\n    s.setString(1, name);\n'
     "    ResultSet r = s.executeQuery();",
     "Statement s = c.createStatement(); "
     "ResultSet r = s.executeQuery(\"SELECT a FROM t WHERE b = '\" + name + \"'\");"),
    ("java", "java-weak-hash", "class A {{ Object f() throws Exception {{ {} }} }}\n",
     'return MessageDigest.getInstance("SHA-256");', 'class A { Object f() throws Exception { return MessageDigest.getInstance("MD5"); } }'),
    ("go", "go-certificate-check-new", "package p\n\nfunc f() {{\n\t{}\n}}\n", "use(&tls.Config{})",
     "use(&tls.Config{InsecureSkipVerify: true})"),
    ("solidity", "sol-order-zero", "contract A {{ function f(uint x) external {{\n    {}\n}} }}\n",
     'due[msg.sender] = 0;\n    (bool sent, ) = msg.sender.call{value: x}("");\n    require(sent, "no");', ""),
    ("solidity", "sol-origin", "contract A {{ function f() external {{\n    {}\n}} }}\n",
     'require(msg.sender == owner, "no");', 'require(tx.origin == owner, "no");'),
]  # fmt: skip


@pytest.mark.parametrize(("language", "name", "frame", "before", "after"), OTHERS)
def test_other_languages_are_made_weak(language: str, name: str, frame: str, before: str, after: str) -> None:
    assert after in weakened(frame.format(before), language, name)


def test_the_order_of_effects_is_what_changes() -> None:
    frame, before = OTHERS[-2][2], OTHERS[-2][3]
    mutant = next(item for item in mutate(frame.format(before), "solidity") if item.change == "sol-order-zero")
    assert mutant.secure.index("= 0") < mutant.secure.index(".call") < mutant.secure.index("require")
    assert mutant.vulnerable.index(".call") < mutant.vulnerable.index("require") < mutant.vulnerable.index("= 0")


def test_c_mutants_compile_as_their_originals_do(tmp_path: Path) -> None:
    if shutil.which("gcc") is None:
        pytest.skip("gcc is not installed")
    text = (
        "#include <stdio.h>\n#include <stdlib.h>\n#include <string.h>\nstruct n { struct n *next; };\n"
        "int f(char *out, const char *in, size_t n) {\n    char b[8];\n    char *p = malloc(n);\n    if (!p)\n"
        "        return -1;\n    p[0] = 1;\n    if (n > sizeof(b))\n        return -1;\n    memcpy(b, in, n);\n"
        '    printf("%s", in);\n    snprintf(out, n, "%s", in);\n    free(p);\n    return 0;\n}\n'
        "void g(struct n *p) {\n    while (p) {\n        struct n *next = p->next;\n        free(p);\n        p = next;\n    }\n}\n"
    )
    changes = set()
    for mutant in mutate(text, "c"):
        for name, content in (("secure", mutant.secure), ("weak", mutant.vulnerable)):
            (tmp_path / f"{name}.c").write_text(content)
            done = subprocess.run(
                ["gcc", "-fsyntax-only", f"{name}.c"], cwd=tmp_path, capture_output=True, text=True, check=False
            )
            assert done.returncode == 0, f"{mutant.change}: {done.stderr}"
        changes.add(mutant.change)
    assert changes >= {"null-guard", "bounds-guard", "c-format", "c-bounded-print", "c-freed-and-followed"}


MENDED = [
    ("python", "CWE-89", "db.execute(f\"SELECT a FROM t WHERE b = '{x}' AND c LIKE '%{y}%'\")",
     'db.execute("SELECT a FROM t WHERE b = ? AND c LIKE ?", (x, f"%{y}%"))'),
    ("python", "CWE-89", "q = \"SELECT a FROM t WHERE b = '%s'\" % x\ndb.execute(q)",
     'q = "SELECT a FROM t WHERE b = ?" db.execute(q, (x,))'),
    ("python", "CWE-89", 'import psycopg2\ndb.execute("DELETE FROM t WHERE b = " + str(x))',
     'db.execute("DELETE FROM t WHERE b = %s", (x,))'),
    ("python", "CWE-78", 'subprocess.run(f"ls -l {x}", shell=True, check=True)', 'subprocess.run(["ls", "-l", x], check=True)'),
    ("python", "CWE-77", "os.system(\"convert '\" + x + \"' a.png\")", 'import subprocess subprocess.call(["convert", x, "a.png"])'),
    ("python", "CWE-502", "yaml.load(x)", "yaml.load(x, Loader=yaml.SafeLoader)"),
    ("python", "CWE-94", "eval(x)", "import ast ast.literal_eval(x)"),
    ("python", "CWE-295", "requests.get(u, verify=False, timeout=3)", "requests.get(u, timeout=3)"),
    ("python", "CWE-327", "hashlib.md5(x)", "hashlib.sha256(x)"),
    ("python", "CWE-798", "API_KEY = 'abc-def-123'", 'import os API_KEY = os.environ["API_KEY"]'),
    ("python", "CWE-338", "random.choice(x)", "import secrets secrets.choice(x)"),
    ("javascript", "CWE-89", "db.query(`SELECT a FROM t WHERE b = '${x}'`);", 'db.query("SELECT a FROM t WHERE b = ?", [x]);'),
    ("javascript", "CWE-79", "el.innerHTML = x;", "el.textContent = x;"),
    ("javascript", "CWE-78", 'child_process.execSync("ls " + x);', 'child_process.execFileSync("ls", [x]);'),
    ("go", "CWE-78", 'package p\nfunc f() { exec.Command("sh", "-c", "ls "+x).Run() }', 'func f() { exec.Command("ls", x).Run() }'),
]  # fmt: skip


@pytest.mark.parametrize(("language", "cwe", "before", "after"), MENDED)
def test_weak_code_is_mended(language: str, cwe: str, before: str, after: str) -> None:
    assert after in [difference(before, text) for text in mend(before, language, cwe)]


@pytest.mark.parametrize("text", [
    'db.execute(f"SELECT a FROM {table}")', 'db.execute(f"SELECT a FROM t ORDER BY {column}")',
    "db.execute(f\"SELECT a FROM t WHERE b = '{x}-{y}'\")",
        "db.execute(f\"SELECT a FROM t WHERE b = '{x}-1'\")", 'db.execute("SELECT a FROM t WHERE b = 1")',
    'subprocess.run(f"ls {x} | wc", shell=True)', 'subprocess.run("ls *.txt " + x, shell=True)',
])  # fmt: skip
def test_what_no_placeholder_or_word_can_stand_for_is_not_mended(text: str) -> None:
    assert [*mend(text, "python", "CWE-89"), *mend(text, "python", "CWE-78")] == []


def test_what_was_mended_whole_comes_first_and_then_each_place() -> None:
    text = "a = hashlib.md5(x)\nb = hashlib.sha1(y)\n"
    assert list(mend(text, "python", "CWE-328")) == [
        "a = hashlib.sha256(x)\nb = hashlib.sha256(y)\n",
        "a = hashlib.sha256(x)\nb = hashlib.sha1(y)\n",
        "a = hashlib.md5(x)\nb = hashlib.sha256(y)\n",
    ]
    assert list(mend(text, "python", "CWE-89")) == []


@pytest.mark.parametrize(
    "words", ["[tool]", '["ls", *names]', '["ls", name.encode("utf-8")]', '["ls", "-l"]', '["ls", "a b", name]']
)
def test_words_that_make_no_command_of_their_own_stay_a_list(words: str) -> None:
    assert weakened(f"def f(tool, name, names):\n    subprocess.run({words})\n", "python", "shell-text") == []


def test_mutants_of_sql_and_shell_are_mended_to_what_they_were() -> None:
    for before, cwe in (
        ('db.execute("SELECT a FROM t WHERE b = ? AND c = ?", (name, number))', "CWE-89"),
        ('subprocess.run(["git", "log", name], check=True)', "CWE-78"),
    ):
        text = f"import subprocess\n\n\ndef f(db, name, number):\n    {before}\n"
        mutants = [mutant for mutant in mutate(text, "python") if mutant.cwe == cwe]
        assert len(mutants) == 4
        for mutant in mutants:
            assert next(mend(mutant.vulnerable, "python", cwe)) == text, mutant.vulnerable


def test_texts_that_are_hard_or_broken_give_nothing() -> None:
    assert list(mutate("(" * 2000, "python")) == []
    assert list(mend("(" * 2000, "python", "CWE-89")) == []
    assert list(mutate("def f(:\n    return hashlib.sha256(x)\n", "python")) == []


def test_imports_go_after_those_that_are_there() -> None:
    assert (
        with_imports("import os\n\nx = 1\n", ("import re", "import os"), "python") == "import os\nimport re\n\nx = 1\n"
    )
    assert with_imports("x = 1\n", ("import re",), "python") == "import re\n\nx = 1\n"
    go = 'package p\n\nimport (\n\t"crypto/sha256"\n)\n\nvar x = md5.New()\n'
    assert (
        with_imports(go, ('import "crypto/md5"',), "go")
        == 'package p\n\nimport (\n\t"crypto/md5"\n)\n\nvar x = md5.New()\n'
    )
    module = 'import fs from "fs";\n\nf();\n'
    line = 'const crypto = require("crypto");'
    assert with_imports(module, (line,), "javascript") == 'import fs from "fs";\nimport crypto from "crypto";\n\nf();\n'
    assert with_imports("<?php\nf();\n", (), "php") == "<?php\nf();\n"


def test_an_argument_goes_without_the_lines_of_the_others() -> None:
    text = "def f(u):\n    return requests.get(\n        u,\n        timeout=3,\n        stream=True,\n    )\n"
    made = [item.vulnerable for item in mutate(text, "python") if item.change == "no-timeout"]
    assert made == ["def f(u):\n    return requests.get(\n        u,\n        stream=True\n    )\n"]


def test_edits_that_overlap_are_made_once() -> None:
    assert edited("abcdef", [Edit(2, 4, "X"), Edit(3, 5, "Y"), Edit(5, 6, "é")]) == "abXeé"


# --- pieces and the source

FILE = '''"""A file."""
import hashlib
import os
import sys

ROUNDS = 3
OTHER = 4


class Store(Base):
    """Keeps things."""

    salt = b"1234"
    unused = 1

    # Makes a key.
    def key(self, name):
        return hashlib.sha256(self.salt + name * ROUNDS).hexdigest()


def home():
    return os.environ
'''


def all_pieces(text: str, language: str, most: int = 80) -> list[str]:
    return list(pieces(parse(language, text.encode()), language, most, lambda _own: True))


def test_a_piece_is_a_function_with_what_it_names() -> None:
    found = all_pieces(FILE, "python")
    key = next(piece for piece in found if "def key" in piece)
    assert key == (
        'import hashlib\nROUNDS = 3\n\n\nclass Store(Base):\n    salt = b"1234"\n    # Makes a key.\n'
        "    def key(self, name):\n        return hashlib.sha256(self.salt + name * ROUNDS).hexdigest()\n"
    )
    home = next(piece for piece in found if "def home" in piece)
    assert home == "import os\n\n\ndef home():\n    return os.environ\n"
    assert not [piece for piece in all_pieces(FILE, "python", most=1) if "def key" in piece]


def test_pieces_of_real_files_are_programs() -> None:
    seen = 0
    for _name, text in stdlib(25):
        for piece in all_pieces(text, "python"):
            seen += 1
            ast.parse(piece)
    assert seen > 200


def test_pieces_of_braces_are_closed() -> None:
    java = "package a;\n\nimport b.C;\nimport d.E;\n\npublic class A {\n    private C c;\n    int f() { return c.g(); }\n    int h() { return 1; }\n}\n"
    first = all_pieces(java, "java")[0]
    assert not parse("java", first.encode()).root_node.has_error
    assert "import b.C;" in first and "import d.E;" not in first and "private C c;" in first and "int h" not in first


def source(**given: Any) -> Mutations:
    return Mutations(Mutations.Settings(**given))


def test_a_file_gives_pairs_that_a_scanner_tells_apart() -> None:
    file = CodeFile("acme/tools", "a.py", FILE, commit="7", language="python", license="MIT")
    pair = next(source().of(file, 3))
    assert (pair.cwe, pair.scenario, pair.source, pair.claim) == ("CWE-328", "acme/tools", "mutations", "scanner")
    assert (pair.license, pair.file) == ("MIT", file)
    assert pair.row()["commit"] == "7"
    proved = Prover(Pairs.Settings(), {}).proved(pair)
    assert isinstance(proved, Pair)
    assert proved.proofs == ("parses", "scanner")


def test_what_no_scanner_sees_is_dropped_with_its_reason() -> None:
    text = "import hashlib\n\n\ndef f(x):\n    return 1 if x else hashlib.sha256(b'')\n\n\ndef g(a):\n    return [re.escape(a)]\n"
    pairs = list(source(per_file=9).of(CodeFile("a", "b.py", text, language="python", license="MIT"), 0))
    pair = next(pair for pair in pairs if pair.cwe == "CWE-1333")
    verdict = Prover(Pairs.Settings(), {}).proved(pair)
    assert isinstance(verdict, Verdict)
    assert verdict.reason == "nothing_seen"


def test_a_mutant_of_c_compiles_where_its_original_does(monkeypatch: pytest.MonkeyPatch) -> None:
    if not _mutation_compile.compiler():
        pytest.skip("no C compiler")
    whole = '#include <stdio.h>\nvoid f(const char *s) {\n    printf("%s", s);\n}\n'
    (pair,) = source().of(CodeFile("a", "f.c", whole, language="c"), 0)
    assert (pair.cwe, pair.proofs) == ("CWE-134", ("compiles",))
    (pair,) = source().of(CodeFile("a", "g.c", whole.replace("const char", "const strange"), language="c"), 0)
    assert pair.proofs == ()
    twice = "#include <stdio.h>\n#include <string.h>\nint f(char *a, const char *b) {\n    return strncpy(a, b, 3), a[2] = 0;\n}\n"
    assert _mutation_compile.both_compile(twice, twice.replace("a[2]", "c[2]")) is False
    monkeypatch.setattr("buril.data.pairing.mutations.both_compile", lambda *texts: False)
    assert list(source().of(CodeFile("a", "f.c", whole, language="c"), 0)) == []
    assert "gcc" in source().observe().lower() or "clang" in source().observe().lower()


def test_settings_bound_what_is_made() -> None:
    lines = "".join(f"def f{n}(x):\n    return hashlib.sha256(x), secrets.choice(x)\n\n\n" for n in range(9))
    file = CodeFile("a", "b.py", f"import hashlib\nimport secrets\n\n\n{lines}", language="python")
    pairs = list(source(per_file=5).of(file, 1))
    assert len(pairs) == 5
    assert [pair.cwe for pair in pairs[:2]] != [pairs[0].cwe] * 2
    assert {pair.cwe for pair in source(weaknesses=("CWE-338",)).of(file, 1)} == {"CWE-338"}
    assert list(source(languages=("c",)).of(file, 1)) == []
    assert list(source(max_lines=3).of(file, 1)) != []
    guarded = "def f(db, user):\n    n = db.get(1)\n    if n.owner_id != user:\n        raise PermissionError(user)\n    return n\n"
    other = CodeFile("a", "c.py", guarded, language="python")
    assert [pair.claim for pair in source().of(other, 1)] == ["construction"]
    assert [pair.claim for pair in source(claims="scanner").of(other, 1)] == ["scanner"]


def test_chance_comes_from_the_seed_and_the_file() -> None:
    file = CodeFile("a", "b.py", FILE.replace("sha256", "sha512"), language="python")
    assert list(source().of(file, 1)) == list(source().of(file, 1))
    assert len({next(source().of(file, seed)).vulnerable for seed in range(20)}) > 1


def test_of_one_place_one_mutant_is_chosen() -> None:
    mutants = [Mutant("CWE-1", "s", f"v{n}", "c", "scanner", place) for n, place in enumerate([1, 1, 2, 3])]
    mutants.append(Mutant("CWE-2", "s", "w", "c", "scanner", 1))
    assert len(chosen(mutants, 10, random.Random(1))) == 4
    assert {mutant.cwe for mutant in chosen(mutants, 2, random.Random(1))} == {"CWE-1", "CWE-2"}


def test_only_the_training_part_is_read(tmp_path: Path) -> None:
    for part, name in (("train", "sha256"), ("valid", "sha384"), ("test", "sha512")):
        row = CodeFile("acme", f"{part}.py", FILE.replace("sha256", name), language="python", license="MIT")
        write_rows(tmp_path / part / "00000.parquet", [row])
    split = as_artifact(tmp_path, "split")
    pairs = list(source().pairs({"split": split}, 0))
    assert source().needs() == ("split",)
    assert {pair.file.path for pair in pairs if pair.file} == {"train.py"}


def test_guards_are_read_from_their_table() -> None:
    names = [guard.name for guard in _mutation_guard.guards("c")]
    assert names == ["bounds-guard", "index-guard", "null-guard", "overflow-guard"]
    assert _mutation_guard.guards("haskell") == ()
