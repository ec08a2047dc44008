"""The taint engine on PHP: what it follows, what it takes for harmless, frameworks, pages with text between, bad input."""

from __future__ import annotations

import json
from typing import Any

import pytest

from buril.code.codefile import Finding
from buril.scanners import INCONCLUSIVE, PARTIAL
from buril.scanners._taint import php_misuse, php_rules
from buril.scanners._taint.kinds import KINDS
from buril.scanners._taint.languages import SAMPLES, may_hold
from buril.scanners._taint.rules import Given, holds
from buril.scanners.taint import Taint
from tests.scanners.cases import cases
from tests.scanners.test_taint import KNOWN, seen

FEWEST, WRONG = 200, 0.12
"""Programs, and the most of them that may be judged wrongly."""
HEAD = "<?php\n$x = $_GET['x'];\n"


def found(text: str, **settings: Any) -> list[Finding]:
    return list(Taint(Taint.Settings(**settings)).scan(text, "php"))


def rules(text: str, **settings: Any) -> set[str]:
    return {item.rule for item in found(text, **settings)}


def test_labelled_programs() -> None:
    told: dict[str, list[str]] = {"missed": [], "false alarms": []}
    number = 0
    for case in cases("php"):
        number += 1
        if seen(case) != case.bad:
            told["missed" if case.bad else "false alarms"].append(f"{case.cwe} {case.name}")
    assert told == json.loads(KNOWN.read_text())["php"], json.dumps(told, indent=1)
    assert number >= FEWEST and len(told["missed"]) + len(told["false alarms"]) <= number * WRONG


@pytest.mark.parametrize("body", [
    "system(\"ls $x\");", "system(\"ls {$x}\");", "system('ls ' . $x . ' -l');", "$c = 'ls '; $c .= $x; system($c);",
    "$d = ['a' => $x, 'b' => 'c']; system('ls ' . $d['a']);", "$d = ['a' => $x]; system(\"ls $d[a]\");",
    "$d = []; $d[] = 'a'; $d[] = $x; system($d[1]);", "[$a, $b] = ['ls', $x]; system($b);",
    "['k' => $a] = ['k' => $x]; system($a);", "list(, $b) = ['ls', $x]; system($b);",
    "$c = implode(' ', ['ls', $x]); system($c);", "system(sprintf('ls %s', $x));", "$r = `ls $x`;",
    "$c = <<<EOT\nls $x\nEOT;\nsystem($c);", "foreach ([$x] as $part) { system($part); }",
    "foreach (['a' => $x] as $k => $v) { system($v); }", "function made($v) { return 'ls ' . $v; } system(made($x));",
    "$made = fn($v) => 'ls ' . $v; system($made($x));", "$made = function ($v) use ($x) { return $x; }; system($made(1));",
    "class A { private $v; function __construct($v) { $this->v = $v; } function go() { system($this->v); } } (new A($x))->go();",
    "class A { function __construct(private string $v) {} function go() { system($this->v); } } $a = new A($x); $a->go();",
    "class A { static function go($v) { system($v); } } A::go($x);",
    "class A { static function go($v) { self::run($v); } private static function run($v) { exec($v); } } A::go($x);",
    "class B { function run($v) { exec($v); } } class A extends B { function go($v) { parent::run($v); } } (new A)->go($x);",
    "trait T { function run($v) { exec($v); } } class A { use T; function go($v) { $this->run($v); } } (new A)->go($x);",
    "system($x ? $x : 'a');", "system($x ?: 'a');", "system($y ?? $x);", "system(match (true) { $a => 'ls', default => $x });",
    "switch ($a) { case 1: system($x); break; default: system('ls'); }", "try { system($x); } catch (\\Exception $e) { }",
    "function fill(&$into, $v) { $into = $v; } fill($c, $x); system($c);", "system(array_map('trim', [$x])[0]);",
    "$f = ['a', $x]; system(array_pop($f));", "if (preg_match('/(.*)/', $x, $m)) { system($m[1]); }",
    "$ok = strlen($x) > 3; if ($ok) { system($x); }", "while (true) { system($x); break; }", "system(trim(strtolower($x)));",
    "system(\\str_replace(';', '', $x));", "SYSTEM($x);", "extract($_GET); system($name);", "parse_str($x, $o); system($o['a']);",
    "if ($x === '') { exit; } system($x);", "$v = 'x'; $x2 = $$v; system($_REQUEST['c']);", "passthru(filter_input(INPUT_GET, 'c'));",
    "$o = new class { function go($v) { system($v); } }; $o->go($x);", "define('A', 'ls '); system(A . $x);",
    "$x = &$_POST['y']; exec($x);", "system(json_decode(file_get_contents('php://input'))->cmd);",
    "if (!preg_match('/[a-z]+/', $x)) { exit; } system($x);", "if (in_array($x, ['a']) || $y) { system($x); }",
    "echo 'a'; system($_SERVER['HTTP_USER_AGENT']);", "global $z; $z = $x; system($z);",
    "function f() { system($_COOKIE['a']); }", "namespace A\\B; use C\\D; function g($v) { \\system($v); } g($_POST['q']);",
    "$n = 'system'; call_user_func($n, $x) ; call_user_func('exec', $x);",
])  # fmt: skip
def test_input_is_followed(body: str) -> None:
    assert "command" in rules(HEAD + body)


@pytest.mark.parametrize("body", [
    "$d = ['a' => $x, 'b' => 'c']; system('ls ' . $d['b']);", "$d = ['a', $x]; system($d[0]);", "$x = 'a'; system($x);",
    "if (7 * 6 < 40) { system($x); }", "system('kill ' . (int) $x);", "system('kill ' . intval($x));",
    "system(sprintf('kill %d', $x));", "system('ls ' . escapeshellarg($x));", "system('kill ' . ($x + 0));",
    "if (!in_array($x, ['a', 'b'], true)) { exit; } system($x);", "if (!in_array($x, ['a', 'b'])) die('no'); system($x);",
    "if (!preg_match('/^[a-z]+$/', $x)) { throw new E(); } system($x);", "if (preg_match('/^\\w+\\z/D', $x) !== 1) { return; } system($x);",
    "if (preg_match('#^[0-9]+$#', $x) === 1) { system($x); }", "if (!ctype_digit($x)) { die(); } system($x);",
    "if (!is_numeric($x)) { http_response_code(400); exit; } system($x);", "system(preg_replace('/[^a-z0-9]/', '', $x));",
    "$m = ['a' => 'ls', 'b' => 'df']; system($m[$x] ?? 'ls');", "$m = ['a' => 'ls']; if (!isset($m[$x])) exit; system($x);",
    "if (!array_key_exists($x, A::NAMES)) { exit(); } system($x);", "switch ($x) { case 'a': case 'b': break; default: die(); } system($x);",
    "if ($x !== 'a') { exit; } system($x);", "$x === 'a' or die('no'); system($x);", "settype($x, 'int'); system($x);",
    "foreach ($_POST['a'] as &$v) { $v = (int) $v; } $n = array_map('intval', $_POST['a']); system(implode(' ', $n));",
    "function ok($v) { return in_array($v, ['a', 'b'], true); } if (!ok($x)) { exit; } system($x);",
    "$n = filter_var($x, FILTER_VALIDATE_INT); system(\"kill $n\");", "if (!filter_var($x, FILTER_VALIDATE_IP)) exit; system($x);",
    "$n = filter_input(INPUT_GET, 'n', FILTER_VALIDATE_INT); system(\"kill $n\");", "proc_open(['ls', $x], [], $p);",
    "system(match ($x) { 'a' => 'ls', default => 'df' });", "$c = $x === 'a' ? 'ls' : 'df'; system($c);",
    "system('ls'); echo strlen($x);", "class A { const OK = ['a']; static function go($v) { if (!in_array($v, self::OK, true)) { return; } system($v); } } A::go($x);",
    "if (strcmp($x, 'a') !== 0) { exit; } system($x);", "$x = md5($x); system(\"ls $x\");", "system($_SERVER['DOCUMENT_ROOT']);",
    "function clean(&$s) { $s = (int) $s; } clean($x); system($x);", "$rows = $db->query('select a from b')->fetchAll(); system($rows[0]['a']);",
    "enum E: string { case A = 'a'; } $e = E::from($x); system($e->value);",
])  # fmt: skip
def test_what_makes_harmless_is_understood(body: str) -> None:
    assert "command" not in rules(HEAD + body)
