"""The taint engine reads Go: input is followed, what makes it harmless is understood, and any text is answered."""

from __future__ import annotations

from typing import Any

import pytest

from buril.code.codefile import Finding
from buril.scanners import INCONCLUSIVE, PARTIAL
from buril.scanners._taint import go_rules
from buril.scanners._taint.engine import compiled
from buril.scanners._taint.go_library import LIBRARY
from buril.scanners._taint.go_misuse import MISUSES
from buril.scanners._taint.go_names import package_path
from buril.scanners._taint.kinds import KINDS
from buril.scanners._taint.languages import may_hold
from buril.scanners._taint.rules import Given, holds
from buril.scanners.taint import Taint

HEAD = """package main
import ("bytes"; "context"; "crypto/aes"; "crypto/cipher"; "crypto/rand"; "database/sql"; "encoding/json"; "errors"; "fmt"
"io"; "net/http"; "net/url"; "os"; "os/exec"; "path/filepath"; "regexp"; "slices"; "strconv"; "strings"; "time"
"github.com/gin-gonic/gin"; "github.com/golang-jwt/jwt/v5"; mrand "math/rand")
"""
HANDLER = """%s
func page(w http.ResponseWriter, r *http.Request) {
x := r.FormValue("x")
%s
}
func run(text string) { exec.Command("sh", "-c", text).Run() }
"""


def found(text: str, **settings: Any) -> list[Finding]:
    return list(Taint(Taint.Settings(**settings)).scan(text, "go"))


def rules(body: str, before: str = "", **settings: Any) -> set[str]:
    """The rules of what is found in a handler whose input is `x`."""
    return {item.rule for item in found(HEAD + HANDLER % (before, body), **settings)}


FOLLOWED = {
    "a text": ('run("ls " + x)', ""),
    "a format": ('run(fmt.Sprintf("ls %s", x))', ""),
    "a format that is handed on": ('args := []any{x}\nrun(fmt.Sprintf("ls %s", args...))', ""),
    "several answers": ('y, err := io.ReadAll(r.Body)\nif err != nil { return }\nrun(string(y))', ""),
    "an answer that is declared again": ('y, err := a()\nz, err := b(x)\n_ = err\nrun(y + z)', ""),
    "a function with an error": ("y, err := made(x)\nif err != nil { return }\nrun(y)",
                                 'func made(v string) (string, error) {\nif v == "" { return "", errors.New("a") }\nreturn "ls " + v, nil\n}'),
    "named results": ("run(made(x))", "func made(v string) (y string) {\ny = v\nreturn\n}"),
    "a method": ("t := &T{v: x}\nt.run()", "type T struct { v string }\nfunc (t *T) run() { run(t.v) }"),
    "a method that sets": ("t := T{}\nt.set(x)\nrun(t.v)", "type T struct { v string }\nfunc (t *T) set(v string) { t.v = v }"),
    "fields by place": ("t := T{1, x}\nrun(t.b)", "type T struct { a int; b string }"),
    "a map": ('m := map[string]string{"a": x, "b": "c"}\nrun(m["a"])', ""),
    "a map that is filled": ('m := make(map[string]string)\nm["a"] = x\nrun(m["a"])', ""),
    "a slice": ('s := []string{"a"}\ns = append(s, x)\nrun(s[1])', ""),
    "slices together": ('s := []string{"a"}\ns = append(s, []string{x}...)\nrun(strings.Join(s, " "))', ""),
    "a range": ("for _, part := range strings.Split(x, \",\") { run(part) }", ""),
    "a range over a form": ("for key, v := range r.Form { run(key); _ = v }", ""),
    "a closure": ('go func() { run(x) }()', ""),
    "a closure that sets": ('y := "ls"\nfunc() { y = x }()\nrun(y)', ""),
    "a closure with an argument": ("func(v string) { run(v) }(x)", ""),
    "defer": ("defer run(x)", ""),
    "a channel": ("c := make(chan string, 1)\nc <- x\nrun(<-c)", ""),
    "a channel in a closure": ("c := make(chan string)\ngo func() { c <- x }()\ny := <-c\nrun(y)", ""),
    "a switch over types": ("var v any = x\nswitch t := v.(type) {\ncase string:\nrun(t)\n}", ""),
    "an assertion": ("var v any = x\ny, ok := v.(string)\nif ok { run(y) }", ""),
    "a builder": ('var b strings.Builder\nb.WriteString("ls ")\nb.WriteString(x)\nrun(b.String())', ""),
    "a buffer": ('var b bytes.Buffer\nfmt.Fprintf(&b, "ls %s", x)\nrun(b.String())', ""),
    "JSON in a struct": ("var in struct { Name string; N int }\njson.NewDecoder(r.Body).Decode(&in)\nrun(in.Name)", ""),
    "JSON in a type": ("var in In\nif err := json.NewDecoder(r.Body).Decode(&in); err != nil { return }\nrun(in.Of.Name)",
                       "type Of struct { Name string }\ntype In struct { Of Of }"),
    "by address": ("var y string\nfill(&y, x)\nrun(y)", "func fill(to *string, v string) { *to = v }"),
    "another function": ("other(w, r)", "func other(w http.ResponseWriter, r *http.Request) { run(r.URL.Query().Get(\"a\")) }"),
    "hidden by another of that name": ('if true {\nx := "ls"\n_ = x\n}\nrun(x)', ""),
    "a check that is not of the whole": ("if ok, _ := regexp.MatchString(`[a-z]+`, x); !ok { return }\nrun(x)", ""),
    "a check with no end": ('if !slices.Contains([]string{"a"}, x) { fmt.Println("no") }\nrun(x)', ""),
    "a select": ("c := make(chan string, 1)\nc <- x\nselect {\ncase y := <-c:\nrun(y)\ncase <-time.After(1):\n}", ""),
    "a method of that name in this file": ("run(r.PostFormValue(\"y\"))", "type T struct{}\nfunc (t *T) PostFormValue(k string) string { return \"ls\" }"),
    "another field": ('var in struct { A, B string }\njson.NewDecoder(r.Body).Decode(&in)\nif in.A != "a" { return }\nrun(in.B)', ""),
    "some bad signs": ("for _, c := range x {\nif c == ';' { return }\n}\nrun(x)", ""),
    "a variable of the package": ("held = x\nlater()", "var held string\nfunc later() { run(held) }"),
    "the program itself": ("exec.Command(x).Run()", ""),
    "words of a shell": ('args := []string{"-c", x}\nexec.CommandContext(r.Context(), "bash", args...).Run()', ""),
}  # fmt: skip


@pytest.mark.parametrize(("body", "before"), FOLLOWED.values(), ids=FOLLOWED)
def test_input_is_followed(body: str, before: str) -> None:
    assert "command" in rules(body, before)


HARMLESS = {
    "overwritten": ('x = "ls"\nrun(x)', ""),
    "another element": ('m := map[string]string{"a": x, "b": "c"}\nrun(m["b"])', ""),
    "another field": ('t := T{a: x, b: "ls"}\nrun(t.b)', "type T struct { a, b string }"),
    "a number": ('n, err := strconv.Atoi(x)\nif err != nil { return }\nrun(fmt.Sprintf("kill %d", n))', ""),
    "it was a number": ("if _, err := strconv.Atoi(x); err != nil { return }\nrun(\"kill \" + x)", ""),
    "an argument": ('exec.Command("ls", x).Run()', ""),
    "never runs": ("if 7*6 < 40 { run(x) }", ""),
    "one of a map": ('ok := map[string]bool{"a": true}\nif !ok[x] { return }\nrun(x)', ""),
    "one of a map, said apart": ('known := map[string]string{"a": "b"}\nif _, ok := known[x]; !ok { return }\nrun(x)', ""),
    "looked up": ('known := map[string]string{"a": "b"}\ny, ok := known[x]\nif !ok { return }\nrun(y)', ""),
    "one of a list": ('if !slices.Contains([]string{"a", "b"}, x) { return }\nrun(x)', ""),
    "one of a list, by hand": ("if !allowed(x) { return }\nrun(x)",
                               'func allowed(v string) bool {\nfor _, one := range []string{"a", "b"} {\nif one == v { return true }\n}\nreturn false\n}'),
    "a switch": ('switch x {\ncase "a", "b":\nrun(x)\ndefault:\nreturn\n}', ""),
    "a switch that ends": ('switch x {\ncase "a", "b":\ndefault:\nreturn\n}\nrun(x)', ""),
    "matched": ("if !word.MatchString(x) { return }\nrun(x)", "var word = regexp.MustCompile(`^[a-z]+$`)"),
    "checked by a function that says an error": ("if err := check(x); err != nil { return }\nrun(x)",
        'func check(v string) error {\nif !regexp.MustCompile(`^[a-z]+$`).MatchString(v) { return errors.New("no") }\nreturn nil\n}'),
    "checked with an answer": ("y, err := check(x)\nif err != nil { return }\nrun(y)",
        'func check(v string) (string, error) {\nif v != "a" { return "", fmt.Errorf("no %s", v) }\nreturn v, nil\n}'),
    "checked in another file": ("if err := validateName(x); err != nil { return }\nrun(x)", ""),
    "sign by sign": ("for _, c := range x {\nif !(c >= 'a' && c <= 'z') { return }\n}\nrun(x)", ""),
    "sign by sign in a function": ("if !plain(x) { return }\nrun(x)",
        "func plain(v string) bool {\nfor _, c := range v {\nif c >= 'a' && c <= 'z' { continue }\nreturn false\n}\nreturn true\n}"),
    "sign by sign in a switch": ("for _, c := range x {\nswitch {\ncase c >= 'a' && c <= 'z':\ndefault:\nreturn\n}\n}\nrun(x)", ""),
    "cleaned": ('run("ls " + regexp.MustCompile(`[^a-z]`).ReplaceAllString(x, ""))', ""),
    "a number of a struct": ('var in struct { N int }\njson.NewDecoder(r.Body).Decode(&in)\nrun(fmt.Sprint("kill ", in.N))', ""),
    "it ends": ('if x != "a" { panic(x) }\nrun(x)', ""),
    "what says that it failed": ("_, err := made(x)\nif err != nil { run(err.Error()) }", ""),
    "the inner one": ('if x := "ls"; r.Body != nil {\nrun(x)\n}', ""),
    "an element of a struct that is of another type": ("t := T{}\nt.other(x)\nrun(t.v)",
                                                      "type T struct { v string }\nfunc (t *T) other(v string) { fmt.Println(v) }"),
}  # fmt: skip


@pytest.mark.parametrize(("body", "before"), HARMLESS.values(), ids=HARMLESS)
def test_what_makes_harmless_is_understood(body: str, before: str) -> None:
    assert "command" not in rules(body, before)


@pytest.mark.parametrize(("rule", "body"), [
    ("sql", 'db.Query("select a from b where c = \'" + x + "\'")'),
    ("sql", 'db.QueryRowContext(r.Context(), fmt.Sprintf("select a from b where c = %s", x))'),
    ("path", 'os.ReadFile(filepath.Join("/data", x))'), ("path", "http.ServeFile(w, r, x)"),
    ("xss", 'fmt.Fprintf(w, "<p>%s</p>", x)'), ("xss", 'w.Header().Set("Content-Type", "text/html")\nw.Write([]byte(x))'),
    ("ssrf", "http.Get(x)"), ("ssrf", 'req, _ := http.NewRequest("GET", x, nil)\nhttp.DefaultClient.Do(req)'),
    ("redirect", "http.Redirect(w, r, x, 302)"), ("redirect", 'w.Header().Set("Location", x)'),
    ("insecure-cookie", 'http.SetCookie(w, &http.Cookie{Name: "a", Value: x, HttpOnly: true})'),
    ("weak-random", 'token := mrand.Intn(9)\n_ = token'),
    ("hard-coded-secret", 'dbPassword := "bl-Marmot!Harbor7"\n_ = dbPassword'),
    ("hard-coded-secret", 'sql.Open("mysql", "root:bl-Marmot7@tcp(db:3306)/a")'),
    ("hard-coded-secret", 'jwt.Parse(x, func(t *jwt.Token) (any, error) { return []byte("lamp-river"), nil })'),
    ("static-iv", 'iv := make([]byte, 16)\ncipher.NewCBCEncrypter(block, iv)'),
])  # fmt: skip
def test_harm_is_seen(rule: str, body: str) -> None:
    assert rule in rules(body)


@pytest.mark.parametrize(("rule", "body"), [
    ("sql", 'db.Query("select a from b where c = ?", x)'), ("sql", 'db.Exec(fmt.Sprintf("delete from b where c = %d", len(x)))'),
    ("path", 'os.ReadFile(filepath.Join("/data", filepath.Base(x)))'),
    ("path", 'p := filepath.Join("/data", x)\nif !strings.HasPrefix(p, "/data/") { return }\nos.ReadFile(p)'),
    ("path", 'if strings.Contains(x, "..") { return }\nos.ReadFile("/data/" + x)'),
    ("path", "if !filepath.IsLocal(x) { return }\nos.ReadFile(x)"),
    ("xss", 'w.Header().Set("Content-Type", "application/json")\nfmt.Fprintf(w, "%s", x)'),
    ("xss", 'fmt.Fprintf(os.Stderr, "<p>%s</p>", x)'), ("xss", 'json.NewEncoder(w).Encode(map[string]string{"a": x})'),
    ("ssrf", 'http.Get("https://a.example/" + url.PathEscape(x))'), ("ssrf", 'http.Get(fmt.Sprintf("https://a.example/%s", x))'),
    ("ssrf", 'u, err := url.Parse(x)\nif err != nil || u.Host != "a.example" { return }\nhttp.Get(u.String())'),
    ("redirect", 'http.Redirect(w, r, "/a?b="+url.QueryEscape(x), 302)'),
    ("insecure-cookie", 'http.SetCookie(w, &http.Cookie{Name: "a", Value: x, Secure: true, HttpOnly: true})'),
    ("insecure-cookie", 'c := &http.Cookie{Name: "a", Value: x}\nc.Secure = true\nc.HttpOnly = true\nhttp.SetCookie(w, c)'),
    ("static-iv", 'iv := make([]byte, 16)\nrand.Read(iv)\ncipher.NewCBCEncrypter(block, iv)'),
    ("static-iv", 'out := make([]byte, 16+len(x))\niv := out[:aes.BlockSize]\nio.ReadFull(rand.Reader, iv)\ncipher.NewCTR(block, iv)'),
    ("hard-coded-secret", 'key := []byte(os.Getenv("KEY"))\naes.NewCipher(key)'), ("weak-random", 'wait := mrand.Intn(9)\n_ = wait'),
])  # fmt: skip
def test_harmless_uses_are_let_pass(rule: str, body: str) -> None:
    assert rule not in rules(body)


def test_frameworks_are_known_by_the_types_of_parameters() -> None:
    handler = HEAD + 'func page(c %s) {\n%s\nexec.Command("sh", "-c", x).Run()\n}\n'
    for kind, body in (
        ("*gin.Context", 'x := c.Query("a")'), ("*gin.Context", 'var in struct { X string `json:"x"` }\nc.BindJSON(&in)\nx := in.X'),
        ("echo.Context", 'x := c.QueryParam("a")'), ("*fiber.Ctx", 'x := c.Params("a")'), ("events.APIGatewayProxyRequest", "x := c.Body"),
        ("*http.Request", 'x := mux.Vars(c)["a"]'), ("*http.Request", 'x := chi.URLParam(c, "a")'),
        ("net.Conn", 'x, _ := bufio.NewReader(c).ReadString(10)'), ("*pb.RunRequest", "x := c.GetCommand()"),
    ):  # fmt: skip
        assert [item.rule for item in found(handler % (kind, body))] == ["command"], (kind, body)
    assert found(handler % ("string", "x := c")) == [], "a parameter is nobody's attack"
    assert found(handler % ("*gin.Context", 'x := c.GetInt("a")')) == []


def test_a_tag_that_lets_only_plain_text_in_is_believed() -> None:
    text = (
        HEAD
        + 'func page(c *gin.Context) {\nvar in struct { X string `binding:"%s"` }\nc.BindJSON(&in)\nexec.Command("sh", "-c", in.X).Run()\n}\n'
    )
    assert [item.rule for item in found(text % "required")] == ["command"]
    assert found(text % "required,alphanum") == []


def test_names_out_of_an_archive_are_followed() -> None:
    text = 'package a\nimport ("archive/zip"; "os"; "path/filepath"; "strings")\nfunc out(a, to string) {\nr, _ := zip.OpenReader(a)\n' \
           'for _, f := range r.File {\np := filepath.Join(to, f.Name)\n%s\nos.Create(p)\n}\n}\n'  # fmt: skip
    assert [item.rule for item in found(text % "")] == ["path"]
    assert found(text % "if !strings.HasPrefix(p, filepath.Clean(to)+string(os.PathSeparator)) { continue }") == []


def test_pieces_without_a_package_are_read() -> None:
    piece = 'func run(name string) {\n\texec.Command("sh", "-c", "ls "+name).Run()\n}\n'
    assert [item.rule for item in found(piece, mode="snippet")] == ["command"]
    assert found(piece) == []


def test_tests_and_generated_code_are_passed_over() -> None:
    text = 'package a\n%s\nimport "crypto/tls"\nvar c = tls.Config{InsecureSkipVerify: true}\n'
    assert [item.rule for item in found(text % "")] == ["no-certificate-check"]
    for aside in ('import "testing"', "// Code generated by a tool. DO NOT EDIT."):
        assert found(text % aside) == [] != found(text % aside, mode="snippet")


def test_a_setting_is_told_at_its_own_line() -> None:
    text = 'package a\nimport "crypto/tls"\nvar c = &tls.Config{\n\tServerName: "a",\n\tInsecureSkipVerify: true,\n}\n'
    (item,) = found(text)
    assert (item.rule, item.line, item.cwe) == ("no-certificate-check", 5, "CWE-295")


def test_packages_by_their_address() -> None:
    for address, name in (
        ("net/http", "net.http"), ("gopkg.in/yaml.v3", "yaml"), ("github.com/golang-jwt/jwt/v5", "jwt"),
        ("github.com/dgrijalva/jwt-go", "jwt"), ("github.com/mattn/go-sqlite3", "sqlite3"), ("", "?"),
    ):  # fmt: skip
        assert package_path(address) == name


def test_the_rules_are_in_form() -> None:
    for sink in go_rules.SINKS:
        assert sink.kind == "command-word" or sink.kind in KINDS, sink
        holds(sink.when, Given((), {}))
    for misuse in MISUSES:
        assert misuse.severity in ("low", "medium", "high") and misuse.calls and misuse.text, misuse
        holds(misuse.when, Given((), {}))
    assert all(callable(function) for _calls, function in LIBRARY) and compiled
    assert not may_hold("go", "package a\nfunc add(a, b int) int { return a + b }\n")


def test_any_text_is_answered() -> None:
    deep = "package a\nfunc f() {\n" + "if a {\n" * 200 + "}\n" * 200 + "}\n"
    for text in (
        "", "package", "func (", "package a\nimport (\n", "package a\nvar x = " + "(" * 300 + "1" + ")" * 300 + "\n",
        "package a\nfunc f() { a, b := }\n", "package a\nfunc f() (a, b int) { return }\n", "type A struct { *A; B []A }\n",
        "package a\ntype A struct { b B }\ntype B struct { a A }\nfunc (a A) f(b B) A { return b.a.f(b) }\n",
        "package a\ntype T T\nvar x T\n", "package a\nfunc f() { for { switch { case a: break; default: continue } } }\n",
        "package a\nfunc f[T any](x T) { g[int](x); var y G[T]; _ = y }\n", "package a\nfunc f() { L: for { break L }; goto L }\n",
        "package a\nconst (A = iota; B; C)\nvar a, b = f()\nfunc f() { x, y = y, x; a[1:2:3] = b; *p.q = 3; <-c }\n",
        'package a\nfunc f() { _ = "\\x4\\uD800\\400" + \'\\\'\' + `a`; _ = 0x1p-2 + 1_0i }\n', deep,
        "package a\nfunc f() { x := " + ' + '.join(['r.URL.Path'] * 900) + " }\n", "package a\nfunc f(...) {}\nfunc (t) g() { t.g() }\n",
        "package a\nfunc f() { select { case x, ok := <-c: g(x, ok); case c <- 1: default: } }\n", "package a\nfunc f() { return f() }\n",
    ):  # fmt: skip
        for mode in ("strict", "snippet"):
            assert not {INCONCLUSIVE, PARTIAL} & {item.rule for item in found(text, mode=mode)}, text[:80]
