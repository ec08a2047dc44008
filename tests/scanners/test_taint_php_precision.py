"""What real PHP does that looks like a weakness and is none; beside each, what still is one."""

from __future__ import annotations

import pytest

from buril.scanners._taint.languages import may_hold
from buril.scanners._taint.php_text import groups
from buril.scanners.taint import Taint


def rules(text: str) -> set[str]:
    return {item.rule for item in Taint().scan("<?php\n" + text, "php")}


def lines(text: str) -> list[int]:
    """Lines with findings, the one after `<?php` being the first."""
    return [item.line - 1 for item in Taint().scan("<?php\n" + text, "php")]


@pytest.mark.parametrize("harmless", [
    "$key = hash('md5', serialize($a));", "$u->add('v', hash('sha1', $text));", "$mac = hash_hmac('sha1', $data, $k);",
    "function get_the_password_form() { $label = 'box-' . rand(); return $label; }", "$this->docStringEndToken = 'A' . mt_rand();",
    "$_SESSION['token'] = md5(random_bytes(8) . uniqid('a', true));", "$token = bin2hex(random_bytes(4)) . uniqid();",
    "const SETTINGS_PASSWORD = 'Settings:Password';",
    "$old = umask(0); mkdir($d, 0755); umask($old);", "new Cookie('XSRF-TOKEN', $v, 0, '/', '', true, false);",
    "namespace lib\\Crypt; $c = new DES();", "namespace lib\\Net; use lib\\Crypt\\RC4; $c = new RC4();",
])  # fmt: skip
def test_what_is_no_misuse(harmless: str) -> None:
    assert rules(harmless) == set()


@pytest.mark.parametrize(("weak", "rule"), [
    ("$token = hash('md5', $x);", "weak-hash"), ("function sign($x) { return hash('sha1', $x); }", "weak-hash"), ("$mac = hash_hmac('md5', $d, $k);", "weak-hash"),
    ("$a = hash_file('sha1', $f);", "weak-hash"), ("function password_token() { $t = 'a-' . rand(); return $t; }", "weak-random"),
    ("$token = md5('a' . uniqid());", "predictable-secret"), ("$api_password = 'Settings:bl-Marmot7';", "hard-coded-secret"),
    ("namespace app\\Net; use lib\\Crypt\\RC4; $c = new RC4();", "weak-cipher"), ("use lib\\Crypt\\DES; $c = new DES();", "weak-cipher"),
    ("umask(0);", "open-to-all"), ("new Cookie('session', $v, 0, '/', '', true, false);", "insecure-cookie"),
    ("namespace app; $c = new \\DES();", "weak-cipher"), ("mcrypt_encrypt(MCRYPT_DES, $k, $d, 'cbc');", "weak-cipher"),
])  # fmt: skip
def test_what_still_is_one(weak: str, rule: str) -> None:
    assert rule in rules(weak)


def test_groups_of_plain_signs_are_harmless_one_by_one() -> None:
    pattern = "'~([^:]+):([-0-9.]+)(_|$)~'"
    assert lines(f"preg_match({pattern}, $_GET['a'], $m);\necho $m[2] . $m[3];\necho $m[1];\necho $m[0];") == [3, 4]
    ordered = f"preg_match_all({pattern}, $_GET['a'], $m, PREG_SET_ORDER);\nforeach ($m as $one) {{\n"
    assert lines(ordered + "echo $one[2];\necho $one[1];\n}") == [4]
    by_group = f"preg_match_all({pattern}, $_GET['a'], $m);\nforeach ($m[2] as $v) {{ echo $v; }}\nforeach ($m[1] as $v) {{ echo $v; }}"
    assert lines(by_group) == [3]
    assert lines("preg_match($p, $_GET['a'], $m);\necho $m[1];") == [2], "a pattern that is not known"


@pytest.mark.parametrize(("pattern", "expected"), [
    ("([^:]+):([-0-9.]+)(_|$)", ["[^:]+", "[-0-9.]+", "_|$"]), (r"(?:a|(b))(?P<n>\d+)[(](x)\)", ["b", r"\d+", "x"]),
    (r"(?<!a)(?=b)(\w+)(?'q'a.)(?<z>[\w-]+)(?i)((a)b)", [r"\w+", "a.", r"[\w-]+", "(a)b", "a"]), ("a)(b", ["."]), ("", []),
])  # fmt: skip
def test_groups_of_a_pattern(pattern: str, expected: list[str]) -> None:
    assert groups(pattern) == expected


def test_a_doubled_sign_is_how_sql_escapes_it() -> None:
    asked = "mysql_query(\"select a from [\" . str_replace('%s', '%s', $_GET['a']) . \"]\");"
    assert rules(asked % ("]", "]]")) == set()
    assert rules(asked % ("]", "")) == {"sql"} and rules(asked % ("]", "]]]")) == {"sql"}


def test_what_comes_after_the_host_or_the_scheme_chooses_neither() -> None:
    assert rules("header('Location: ' . BASE . '/a.php?' . $_SERVER['QUERY_STRING']);") == set()
    for address in (
        "BASE . $_GET['a']",
        "$_GET['a'] . '/b?c'",
        "$scheme . '://' . $_GET['a']",
        "BASE . '/' . $_GET['a']",
    ):
        assert rules(f"header('Location: ' . {address});") == {"redirect"}, address
    assert rules("header('Location: ' . $_SERVER['PHP_SELF'] . '/a/b?' . $_GET['a']);") == set()
    assert rules("echo '<a href=\"' . htmlspecialchars(ME . 'a=' . $_GET['a']) . '\">';") == set()
    assert rules("echo '<a href=\"' . htmlspecialchars($_GET['a'] . 'b') . '\">';") == {"xss"}


ACTION = (
    "namespace App\\Controller;\nclass A extends Controller {\npublic function go($a, $response)%s { return %s; }\n}"
)


@pytest.mark.parametrize(("gives", "value", "expected"), [
    ("", "'<p>' . $a", {"xss"}), (": string", "'<p>' . $a", {"xss"}), (": ?string", "$a", {"xss"}), (": Response", "made($a)->with($a)", set()),
    (": Response", "$this->b->go($a)", set()), (": Response", "system($a)", {"command"}), ("", "$response->withStatus(204)", set()),
])  # fmt: skip
def test_an_object_is_no_page(gives: str, value: str, expected: set[str]) -> None:
    assert rules(ACTION % (gives, value)) == expected


def test_a_packed_program_is_left_out() -> None:
    body = "$a=$_GET['a'];" + "$b=1;" * 50 + "system($a);"
    assert rules(body) == set()
    assert rules(body.replace(";", ";\n")) == {"command"}


@pytest.mark.parametrize(("text", "expected"), [
    ("$o->get($k); $o->settle(); $t = isset($a);", False), ("$o->get($u, ['verify' => false]);", True), ("$n = rand(1, 6);", False),
    ("$token = rand(1, 6);", True), ("$keys = $primaryKey; $o->getNone();", False), ("array_map('md5', $tokens);", True),
    ("use function md5 as short; $token = short($x);", True), ("$TOKEN = MD5($x);", True), ("$zip->getNameIndex(0);", True),
    ("$r->set('Access-Control-Allow-Origin', '*');", True), ("$r->set('A', '*');", False),
])  # fmt: skip
def test_words_count_where_they_are_called(text: str, expected: bool) -> None:
    assert may_hold("php", "<?php\n" + text) is expected


def test_a_sign_that_is_none_of_the_plain_ones() -> None:
    asked = "$x = $_GET['x'];\nif (preg_match('%s', $x)) { exit; }\necho $x;\nreadfile($x);"
    assert lines(asked % r"/[^A-Za-z0-9_\-]/") == []
    assert lines(asked % "/[^a-z.]/i") == [4, 4], "two points are a folder"
    assert set(lines(asked % "/[^a-z<]/")) == set(lines(asked % "/[a-z]/")) == {3, 4}
    assert lines("$x = $_GET['x'];\nif (!preg_match('/[^a-z]/', $x)) { exit; }\necho $x;") == [3], "the other way"


def test_a_pattern_that_is_a_constant_elsewhere_was_written_to_be_met() -> None:
    asked = "if (!preg_match(%s, $_GET['a'])) { exit; }\necho $_GET['a'];"
    assert rules(asked % "MATCH_NAME") == set()
    assert rules(asked % "$pattern") == {"xss"} and rules(asked % "PATTERN") == {"xss"}


def test_escaping_for_every_place_makes_up_for_escaping_for_some() -> None:
    shown = '?><input value="<?php echo %s; ?>">'
    assert rules(shown % "esc_attr(sanitize_text_field($_GET['a']))") == set()
    assert rules(shown % "sanitize_text_field(esc_attr($_GET['a']))") == set()
    assert rules(shown % "sanitize_text_field($_GET['a'])") == {"xss"}


def test_who_is_asked_for_names_of_hosts_is_no_database() -> None:
    assert rules("$d['dns']->query($_GET['a'], 'PTR'); $this->resolver->query($_GET['a']);") == set()
    assert rules("$d['db']->query($_GET['a']);") == {"sql"}
