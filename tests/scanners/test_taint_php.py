"""The taint engine on PHP: what it follows, what it takes for harmless, frameworks, pages with text between, bad input."""

from __future__ import annotations

from typing import Any

import pytest

from buril.code.codefile import Finding
from buril.scanners import INCONCLUSIVE, PARTIAL
from buril.scanners._taint import php_misuse, php_rules
from buril.scanners._taint.kinds import KINDS
from buril.scanners._taint.languages import may_hold
from buril.scanners._taint.rules import Given, holds
from buril.scanners._taint.samples import SAMPLES
from buril.scanners.taint import Taint

HEAD = "<?php\n$x = $_GET['x'];\n"


def found(text: str, **settings: Any) -> list[Finding]:
    return list(Taint(Taint.Settings(**settings)).scan(text, "php"))


def rules(text: str, **settings: Any) -> set[str]:
    return {item.rule for item in found(text, **settings)}


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


def test_a_file_without_the_tag_is_a_part_of_a_program() -> None:
    assert "command" in rules("function run($name) {\n    system('ls ' . $name);\n}\n", mode="snippet")
    assert rules("function run($name) {\n    system('ls ' . $name);\n}\n") == set()
    assert rules("function run(int $name) {\n    system('ls ' . $name);\n}\n", mode="snippet") == set()
    assert rules("<p>eval($a);</p>\n", mode="snippet") == set(), "a page without a program"


@pytest.mark.parametrize(("body", "rule"), [
    ("include $x . '.php';", "include"), ("require_once('pages/' . $x);", "include"), ("eval(\"return $x;\");", "code"),
    ("assert($x);", "code"), ("preg_replace('/a/e', $x, 'a');\ncreate_function('$a', $x);", "code"), ("$x();", "code"),
    ("$c = new $x();", "code"), ("$o->$x();", "code"), ("usort($a, $x);", "code"),
    ("mysqli_query($c, \"select * from a where b = '$x'\");", "sql"), ("$pdo->query('select 1 from a where b=' . $x);", "sql"),
    ("$pdo->prepare(\"select a from b where c = '$x'\")->execute();", "sql"), ("pg_query($c, 'delete from a where b=' . $x);", "sql"),
    ("$e = mysqli_real_escape_string($c, $x); $c->query(\"select a from b where c = $e\");", "sql"),
    ("global $wpdb; $wpdb->get_results(\"select a from b where c = '$x'\");", "sql"), ("DB::select(\"select a where b='$x'\");", "sql"),
    ("User::whereRaw(\"name = '$x'\")->get();", "sql"), ("$qb->where(\"u.name = '$x'\");", "sql"),
    ("fetch_rows(\"select a from b where c = '$x'\");", "sql"), ("readfile('/srv/' . $x);", "path"), ("unlink(\"/srv/$x\");", "path"),
    ("file_get_contents($x);", "ssrf"), ("file_get_contents('http://' . $x . '/a');", "ssrf"), ("$s = new SplFileObject($x);", "path"),
    ("move_uploaded_file($_FILES['f']['tmp_name'], 'up/' . $_FILES['f']['name']);", "upload"), ("curl_setopt($c, CURLOPT_URL, $x);", "ssrf"),
    ("curl_setopt_array($c, [CURLOPT_URL => $x]);", "ssrf"), ("(new GuzzleHttp\\Client())->get($x);", "ssrf"), ("wp_remote_get($x);", "ssrf"),
    ("header('Location: ' . $x);", "redirect"), ("header(\"Location: $x\");", "redirect"), ("wp_redirect($x);", "redirect"),
    ("unserialize($x);", "deserialisation"), ("unserialize(base64_decode($x), ['allowed_classes' => true]);", "deserialisation"),
    ("simplexml_load_string($x, 'SimpleXMLElement', LIBXML_NOENT);", "xxe"), ("$d->loadXML($x, LIBXML_NOENT | LIBXML_DTDLOAD);", "xxe"),
    ("ldap_search($c, $b, \"(uid=$x)\");", "ldap"), ("$p = new DOMXPath($d); $p->query(\"//a[@b='$x']\");", "xpath"),
    ("$xml->xpath('//a[b=' . $x . ']');", "xpath"), ("$twig->createTemplate($x);", "template"), ("Blade::render($x);", "template"),
    ("$users->findOne(['name' => $_POST['name']]);", "nosql"), ("preg_match('/' . $x . '/', 'a');", "regex"), ("mail('a', 'b', 'c', 'd', $x);", "command"),
    ("foreach ($_POST as $k => $v) { $user->$k = $v; }", "attribute"), ("extract($_POST);", "attribute"),
    ("setcookie('reset', mt_rand(), 0, '/', '', true, true);", "weak-random"), ("header('Access-Control-Allow-Origin: ' . $_SERVER['HTTP_ORIGIN']);", "origin"),
])  # fmt: skip
def test_each_harm(body: str, rule: str) -> None:
    assert rule in rules(HEAD + body)


@pytest.mark.parametrize(("body", "rule"), [
    ("$p = ['a' => 'a.php']; include $p[$x] ?? 'a.php';", "include"), ("include basename($x) . '.php';", "include"),
    ("$s = $pdo->prepare('select a from b where c = ?'); $s->execute([$x]);", "sql"), ("$c->query(\"select a from b where c = '\" . $c->real_escape_string($x) . \"'\");", "sql"),
    ("$pdo->query('select a from b where c = ' . $pdo->quote($x));", "sql"), ("$c->query('select a from b where c = ' . (int) $x);", "sql"),
    ("$in = implode(',', array_fill(0, count($_POST['a']), '?')); $pdo->prepare(\"select a where b in ($in)\");", "sql"),
    ("$wpdb->query($wpdb->prepare('delete from a where b = %s', $x));", "sql"), ("DB::select('select a from b where c = ?', [$x]);", "sql"),
    ("readfile('/srv/' . basename($x));", "path"), ("$r = realpath('/srv/' . $x); if (strpos($r, '/srv/') !== 0) exit; readfile($r);", "path"),
    ("$r = realpath(\"/srv/$x\"); if ($r === false || !str_starts_with($r, '/srv/')) { exit; } readfile($r);", "path"),
    ("if (strpos($x, '..') !== false) { exit; } readfile(\"/srv/$x\");", "path"), ("$r = realpath($x); if (substr($r, 0, 5) !== '/srv/') exit; readfile($r);", "path"),
    ("$e = pathinfo($_FILES['f']['name'], PATHINFO_EXTENSION); if (!in_array($e, ['png'], true)) exit; move_uploaded_file($_FILES['f']['tmp_name'], 'a.' . $e);", "upload"),
    ("$h = parse_url($x, PHP_URL_HOST); if (!in_array($h, ['a.example'], true)) exit; curl_init($x);", "ssrf"), ("curl_init('https://a.example/' . urlencode($x));", "ssrf"),
    ("file_get_contents('/srv/' . $x);", "ssrf"), ("$p = parse_url($x); if ($p['host'] !== 'a.example') { exit; } curl_init($x);", "ssrf"),
    ("header('Location: /a/' . $x);", "redirect"), ("header('Location: index.php?a=' . $x);", "redirect"), ("header('Location: ' . $_SERVER['HTTP_REFERER']);", "redirect"),
    ("unserialize($x, ['allowed_classes' => false]);", "deserialisation"), ("$m = hash_hmac('sha256', $x, $k); if (!hash_equals($m, $_GET['m'])) exit; unserialize($x);", "deserialisation"),
    ("simplexml_load_string($x);", "xxe"), ("ldap_search($c, $b, '(uid=' . ldap_escape($x, '', LDAP_ESCAPE_FILTER) . ')');", "ldap"),
    ("$users->findOne(['name' => (string) $_POST['name']]);", "nosql"), ("preg_match('/' . preg_quote($x, '/') . '/', 'a');", "regex"),
    ("foreach ($_POST as $k => $v) { if (in_array($k, ['a'], true)) { $user->$k = $v; } }", "attribute"), ("if (!is_callable($x) || !in_array($x, ['a'])) exit; $x();", "code"),
    ("usort($_POST['a'], [$this, 'compare']);", "code"), ("register_shutdown_function([$_POST['a'], 'end']);", "code"),
    ("if (method_exists($o, $x)) { $o->$x(); }", "code"), ("if (validate_file($x) !== 0) { exit; } include \"/srv/$x\";", "include"),
    ("system($_SERVER[$name]);", "command"), ("$in = \"'\" . addslashes($x) . \"'\"; $c->query('select a from b where c in (' . $in . ')');", "sql"),
    ("class A { function a() { $this->b = $_GET['b']; } function c() { system($this->d); } }", "command"), ("echo lib_escape($x);", "xss"),
    ("echo implode(array_map('lib_escape', [$x]));", "xss"), ("$c->query('KILL ' . number($x));", "sql"),
])  # fmt: skip
def test_what_keeps_from_each_harm(body: str, rule: str) -> None:
    assert rule not in rules(HEAD + body)


def pages(text: str) -> list[int]:
    return [item.line for item in found(text) if item.rule == "xss"]


def test_text_between_tags() -> None:
    assert pages("<p><?= $_GET['a'] ?></p>\n<b><?php echo $_GET['b']; ?></b>\n") == [1, 2]
    assert pages("<p><?= htmlspecialchars($_GET['a']) ?></p>\n<a title=\"<?= htmlspecialchars($_GET['b']) ?>\">") == []
    assert pages("<p>\n<a title=<?= htmlspecialchars($_GET['a']) ?>>") == [2], "no quotes"
    assert pages("<a class=\"<?= 'a' ?>\" href=\"<?= htmlspecialchars($_GET['a']) ?>\">") == [1], "an address"
    assert pages("<a href=\"/a?<?= htmlspecialchars($_GET['a']) ?>\">") == []
    assert pages(
        "<?php if ($a): ?>\n<p><?= $_GET['a'] ?></p>\n<?php else: ?>\n<i><?= $_GET['b'] ?></i>\n<?php endif ?>\n"
    ) == [2, 4]
    assert pages("<?php foreach ($_GET['a'] as $v): ?>\n<p><?= $v ?></p>\n<?php endforeach ?>\n") == [2]
    assert pages("<img alt=\"<?= strip_tags($_GET['a']) ?>\">\n<p><?= strip_tags($_GET['a']) ?></p>") == [1]


def test_what_is_no_page() -> None:
    assert pages("<?php\nheader('Content-Type: application/json');\necho $_GET['a'];\n") == []
    assert pages("<?php\nheader('Content-Type: text/html');\necho $_GET['a'];\n") == [3]
    assert pages("<?php\necho json_encode($_GET['a']);\nexit($_GET['b']);\n") == [3]
    assert pages("<?php\nreturn new Response($_GET['a'], 200, ['Content-Type' => 'text/plain']);\n") == []
    assert pages("<?php\nprintf('%d %s', $_GET['a'], htmlspecialchars($_GET['b']));\nprintf('%s', $_GET['a']);\n") == [
        3
    ]


LARAVEL = """<?php
namespace App\\Http\\Controllers;
use Illuminate\\Http\\Request;
use Illuminate\\Support\\Facades\\DB;
class UserController extends Controller {
    public function show(Request $request, string $id) {
%s
    }
    private function made($v) { return "<p>$v"; }
}
"""


@pytest.mark.parametrize(("body", "expected"), [
    ("DB::select(\"select a from b where c = '$id'\");", {"sql"}), ("return '<p>' . $id;", {"xss"}), ("return view('a', ['id' => $id]);", set()),
    ("system($request->input('c'));", {"command"}), ("system($request->c);", {"command"}), ("system($request->query('c'));", {"command"}),
    ("system(request('c'));", {"command"}), ("system($request->integer('c'));", set()), ("return redirect($request->next);", {"redirect"}),
    ("$d = $request->validate(['c' => 'required|in:a,b', 'e' => 'string']); system($d['c']);", set()),
    ("$d = $request->validate(['c' => 'required|in:a,b', 'e' => 'string']); system($d['e']);", {"command"}),
    ("$request->validate(['c' => ['required', 'integer']]); system($request->c);", set()), ("User::create($request->all());", {"attribute"}),
    ("User::create($request->only(['name']));", set()), ("User::create(['name' => $request->name]);", set()),
    ("if (!in_array($request->input('c'), ['a'])) abort(400); system($request->c);", set()), ("return response()->json($request->all());", set()),
    ("abort_unless(in_array($id, ['a'], true), 404); system($id);", set()), ("return $this->made($id);", {"xss"}),
    ("return User::where('name', $id)->first();", set()), ("$request->file('f')->move('up', $request->file('f')->getClientOriginalName());", {"upload"}),
    ("$request->file('f')->store('up');", set()), ("Http::withoutVerifying()->get('https://a.example');", {"no-certificate-check"}),
])  # fmt: skip
def test_laravel(body: str, expected: set[str]) -> None:
    assert rules(LARAVEL % body) == expected


@pytest.mark.parametrize(("text", "rule"), [
    ("use Symfony\\Component\\Routing\\Annotation\\Route;\nclass A extends AbstractController {\n#[Route('/a/{n}')]\n"
     "public function a(string $n, Request $r): Response { return new Response('<p>' . $r->query->get('a')); } }", "xss"),
    ("class A { /** @Route(\"/a/{n}\") */ public function a($n) { system($n); } }", "command"),
    ("use Psr\\Http\\Message\\ServerRequestInterface as R;\n$app->get('/a/{n}', function (R $request, $response, array $args) {\n"
     "$response->getBody()->write('<p>' . $args['n']); return $response; });", "xss"),
    ("Route::get('/a/{n}', function ($n) { return \"<p>$n\"; });", "xss"), ("Route::post('/a', fn() => system(request()->input('a')));", "command"),
    ("class A extends CI_Controller { function a() { system($this->input->post('a')); } }", "command"),
    ("class A extends BaseController { public function a() { $n = $this->request->getGet('a'); $this->db->query(\"select a from b where c = '$n'\"); } }", "sql"),
    ("class A extends Controller { function actionA() { system(\\Yii::$app->request->get('a')); } }", "command"),
    ("register_rest_route('a', 'b', ['callback' => function ($request) { system($request->get_param('a')); }]);", "command"),
    ("add_action('wp_ajax_a', 'my_a'); function my_a() { echo $_POST['a']; wp_die(); }", "xss"),
    ("function a(Request $r) { $d = json_decode($r->getContent(), true); exec($d['a']); }", "command"),
    ("class VerifyCsrfToken extends Middleware { protected $except = ['a/*']; }", "no-csrf-check"),
])  # fmt: skip
def test_frameworks(text: str, rule: str) -> None:
    assert rule in rules("<?php\n" + text)


@pytest.mark.parametrize(("body", "rule"), [
    ("$token = md5(time());", "weak-hash"), ("$h = hash('sha256', $password);", "fast-password-hash"), ("$token = mt_rand();", "weak-random"),
    ("$token = uniqid();", "predictable-secret"), ("openssl_encrypt($d, 'des-cbc', $k, 0, $iv);", "weak-cipher"), ("openssl_encrypt($d, 'aes-128-ecb', $k);", "ecb-mode"),
    ("openssl_encrypt($d, 'aes-256-cbc', $k, 0, '1234567890123456');", "static-iv"), ("openssl_encrypt($d, 'aes-256-cbc', $k, 0, str_repeat(\"\\0\", 16));", "static-iv"),
    ("curl_setopt($c, CURLOPT_SSL_VERIFYHOST, 0);", "no-certificate-check"), ("$o = [CURLOPT_SSL_VERIFYPEER => false]; curl_setopt_array($c, $o);", "no-certificate-check"),
    ("$c = new Client(['verify' => false]);", "no-certificate-check"), ("stream_context_create(['ssl' => ['verify_peer' => false]]);", "no-certificate-check"),
    ("$mail->SMTPOptions = ['ssl' => ['verify_peer' => false]];", "no-certificate-check"), ("libxml_disable_entity_loader(false);", "external-entities"),
    ("JWT::decode($t, $k, ['none']);", "token-not-verified"), ("setcookie('sid', $v, 0, '/', '', false, true);", "insecure-cookie"),
    ("setcookie('session', $v);", "insecure-cookie"), ("header('Access-Control-Allow-Origin: *');", "any-origin"), ("chmod($f, 0777);", "open-to-all"),
    ("file_put_contents('/tmp/a.txt', $d);", "temporary-name"), ("password_hash($p, PASSWORD_BCRYPT, ['cost' => 4]);", "few-rounds"),
    ("$password = 'bl-Marmot!Harbor7';", "hard-coded-secret"), ("new PDO('mysql:a', 'root', 'marmot-harbor');", "hard-coded-secret"),
    ("$c = ['password' => 'bl-Marmot!Harbor7'];", "hard-coded-secret"), ("define('DB_PASSWORD', 'bl-Marmot!Harbor7');", "hard-coded-secret"),
    ("class A { private $apiKey = 'bl-Marmot!Harbor7'; }", "hard-coded-secret"), ("if ($password === 'bl-Marmot!Harbor7') { }", "hard-coded-secret"),
])  # fmt: skip
def test_misuses(body: str, rule: str) -> None:
    assert rule in rules("<?php\n" + body)


@pytest.mark.parametrize("body", [
    "$key = md5($url);", "$h = hash('sha256', $data);", "$n = mt_rand(1, 6);", "$token = bin2hex(random_bytes(16));", "$token = sha1(random_bytes(20));",
    "openssl_encrypt($d, 'aes-256-gcm', $k, 0, $iv, $tag);", "curl_setopt($c, CURLOPT_SSL_VERIFYPEER, true);", "curl_setopt($c, CURLOPT_SSL_VERIFYHOST, 2);",
    "setcookie('sid', $v, ['secure' => true, 'httponly' => true]);", "setcookie('sid', '', time() - 3600);", "setcookie('sid', $v, $options);",
    "chmod($f, 0644);", "file_put_contents(tempnam(sys_get_temp_dir(), 'a'), $d);", "$password = getenv('PASSWORD');", "new PDO($d, 'root', '');",
    "$d->loadXML($x);", "JWT::decode($t, new Key($k, 'HS256'));", "password_hash($p, PASSWORD_DEFAULT);", "$r = ['/user-password' => 'A\\\\B\\\\C'];",
])  # fmt: skip
def test_what_is_no_misuse(body: str) -> None:
    assert rules("<?php\n" + body) == set()


def test_any_text_is_answered() -> None:
    deep = "".join(f"if ($a{number}) {{\n" for number in range(150))
    for text in (
        "", "<?php", "<?php class {", "<?php function (", "<?= $a", "?>", "<?php $a = [", "<?php <<<A\n$b", "<?php $$$a->{$b}[] = &$c::$d;",
        "<?php match(true) {};", "<?php new class(1) extends A { use B; };", "<?php " + deep, "<?php $x = " + "(" * 300 + "1" + ")" * 300 + ";",
        "<?php $x = " + " . ".join(["$_GET['a']"] * 900) + ";\nsystem($x);", "<?php $x = " + " + ".join(["$a"] * 900) + ";",
        "<?php $a" + "->b()" * 400 + ";", "<?php " + "if ($a) { } else" * 300 + " { }", "<?php function f(&...$a) { return f(...$a); } f(1);",
        "<?php class A extends A { function f() { return parent::f(); } } (new A)->f();", "<?php goto a; a: exit; ?><?php ?>\xff", "a" * 5000,
        "<?php switch ($a) { case 1: if ($b) { break; } default: }", "<?php f(a: 1, ...$b); g(...); [, $a] = $b; list() = $c;",
        "<?php preg_match('', $a); sprintf('%9$s', $a); header(''); array_map(); implode(); define('A'); extract();",
    ):  # fmt: skip
        for mode in ("strict", "snippet"):
            assert all(item.rule != PARTIAL for item in found(text, mode=mode)), text[:40]
    assert INCONCLUSIVE in rules("<?php $_GET;" + "(" * 2000)


def test_the_tables_are_in_form() -> None:
    for sink in php_rules.SINKS:
        assert sink.kind in ("command-word", "file-or-url", "code-name") or sink.kind in KINDS, sink
        holds(sink.when, Given((), {}))
    for misuse in php_misuse.MISUSES:
        assert misuse.severity in ("low", "medium", "high") and misuse.calls and misuse.text, misuse
        holds(misuse.when, Given((), {}))
    for clean in php_rules.CLEANS:
        marks = {"*", "scheme", "in-quotes", "no-tags", "double-quotes"}
        assert set(clean.kinds.split()) <= marks | set(KINDS), clean
    told = Taint().rules()
    assert {misuse.name for misuse in php_misuse.MISUSES} <= set(told) and set(SAMPLES["php"]) <= set(told)


def test_a_file_without_a_word_of_the_rules_is_not_read() -> None:
    assert not may_hold("php", "<?php\nfunction sum($a, $b) {\n    return $a + $b;\n}\n")
    assert may_hold("php", "<?php\n$c = ['db_password' => 'a'];\n")
