"""The taint engine on Java: what is followed, what makes harmless, types and frameworks, and bad input."""

from __future__ import annotations

from typing import Any

import pytest

from buril.code.codefile import Finding
from buril.scanners import INCONCLUSIVE
from buril.scanners._taint import java_misuse, java_sinks
from buril.scanners._taint.java_rules import JAVA_KINDS
from buril.scanners._taint.rules import Given, holds
from buril.scanners.taint import Taint

SERVLET = """import java.io.*;
import java.util.*;
public class Page extends HttpServlet {
  %s
  @Override
  protected void doPost(HttpServletRequest request, HttpServletResponse response) throws Exception {
    String x = request.getParameter("x");
    %s
  }
  void exec(String c) throws IOException { Runtime.getRuntime().exec(c); }
}
"""


def found(text: str, **settings: Any) -> list[Finding]:
    return list(Taint(Taint.Settings(**settings)).scan(text, "java"))


def rules(body: str, members: str = "", **settings: Any) -> set[str]:
    return {item.rule for item in found(SERVLET % (members, body), **settings)}


@pytest.mark.parametrize("body", [
    'exec("ls " + x);', 'String c = "ls "; c += x; exec(c);', 'exec(String.format("ls %s %d", x, 3));',
    'exec("ls %s".formatted(x));', 'exec("ls ".concat(x.trim()));', 'exec(String.join(" ", "ls", x));',
    'StringBuilder b = new StringBuilder("ls "); b.append(1).append(x); exec(b.toString());',
    'exec(new StringBuilder().append("ls ").append(x).toString());',
    'StringBuilder b = new StringBuilder(x); exec(b.reverse().toString());',
    'Map<String, Object> m = new HashMap<>(); m.put("a", "b"); m.put("k", x); exec((String) m.get("k"));',
    'List<String> l = new ArrayList<>(); l.add("a"); l.add(x); l.add("b"); l.remove(0); exec(l.get(0));',
    'String[] a = {"b", x}; exec(a[1]);', 'for (String part : List.of("a", x)) { exec(part); }',
    'char t = "ABC".charAt(1); String y; switch (t) { case \'A\': y = "a"; break; case \'B\': y = x; break; default: y = "b"; }'
    " exec(y);",
    'String y = switch (x.length()) { case 1 -> "a"; default -> { yield x; } }; exec(y);',
    'String y = "a"; switch ("B".charAt(0)) { case \'B\': y = x; case \'C\': exec(y); break; default: }',
    'int n = 106; String y = (7 * 18) + n > 200 ? x : "a"; exec(y);', 'exec(x == null ? "a" : x);',
    'String y = new String(Base64.getDecoder().decode(Base64.getEncoder().encode(x.getBytes()))); exec(y);',
    'exec(java.net.URLDecoder.decode(x, "UTF-8"));', "exec(new Helper().made(x));", "exec(made(x)); ", "exec(made(x, 2));",
    "Maker maker = new Helper(); exec(maker.made(x));", "Runnable r = () -> { try { exec(x); } catch (Exception e) { } }; r.run();",
    'exec(List.of("a", x).stream().map(part -> "ls " + part).collect(java.util.stream.Collectors.joining(" ")));',
    "Holder h = new Holder(x); exec(h.value());", "Holder h = new Holder(); h.text = x; exec(h.get());",
    "Bean b = new Bean(); b.setName(x); exec(b.getName());", "try { exec(x); } finally { }",
    "String y = null; if (x != null) { y = x; } exec(y);", "this.kept = x; exec(kept);",
    "Enumeration<String> names = request.getHeaderNames(); while (names.hasMoreElements()) { exec(names.nextElement()); }",
    'for (Cookie c : request.getCookies()) { if (c.getName().equals("a")) { exec(c.getValue()); } }',
    'Map<String, String[]> m = request.getParameterMap(); String[] v = m.get("a"); if (v != null) { exec(v[0]); }',
    "BufferedReader r = request.getReader(); String line; while ((line = r.readLine()) != null) { exec(line); }",
    'String q = request.getQueryString(); exec(q.substring(q.indexOf("=") + 1));',
    'for (Map.Entry<String, String[]> e : request.getParameterMap().entrySet()) { exec(e.getKey()); }',
    'SeparateRequest other = new SeparateRequest(request); exec(other.getTheParameter("a"));',
    'new Object() { void go() throws IOException { exec(x); } }.go();', "new ProcessBuilder(\"sh\", \"-c\", x).start();",
    'List<String> c = new ArrayList<String>(); c.add("bash"); c.add("-c"); c.add("echo " + x); new ProcessBuilder(c).start();',
    'ProcessBuilder p = new ProcessBuilder(); p.command("cmd.exe", "/c", "dir " + x); p.start();',
    'String[] c = {"sh", "-c", "ls " + x}; Runtime r = Runtime.getRuntime(); r.exec(c);', "exec(Objects.toString(x));",
    'Optional<String> o = Optional.ofNullable(x); exec(o.orElse("a"));', "Object o = x; if (o instanceof String s) { exec(s); }",
])  # fmt: skip
def test_input_is_followed(body: str) -> None:
    assert "command" in rules(body, MEMBERS)


MEMBERS = """
  String kept;
  interface Maker { String made(String v); }
  static class Helper implements Maker { public String made(String v) { return "ls " + v; } }
  String made(String v) { return made(v, 1); }
  String made(String v, int n) { return n > 0 ? "ls " + v : "ls"; }
  static class Holder {
    String text; Holder() { this("a"); } Holder(String text) { this.text = text; }
    String value() { return text; } String get() { return this.text; }
  }
  record Pair(String left, String right) { }
"""


@pytest.mark.parametrize("body", [
    'Map<String, Object> m = new HashMap<>(); m.put("a", "b"); m.put("k", x); exec((String) m.get("a"));',
    'List<String> l = new ArrayList<>(); l.add("a"); l.add(x); l.add("b"); l.remove(0); exec(l.get(1));',
    'x = "a"; exec(x);', 'int n = 86; String y; if ((7 * 42) - n > 200) { y = "a"; } else { y = x; } exec(y);',
    'char t = "ABC".charAt(2); String y; switch (t) { case \'A\': y = x; break; case \'B\': y = x; break; default: y = "b"; break; }'
    " exec(y);", 'exec("kill " + Integer.parseInt(x));', 'int n = Integer.parseInt(x); exec("kill " + n);',
    'exec(String.format("kill %d", Long.valueOf(x)));', 'if (!List.of("a", "b").contains(x)) { return; } exec("ls " + x);',
    'Set<String> ok = new HashSet<>(Arrays.asList("a", "b")); if (ok.contains(x)) { exec("ls " + x); }',
    'if (!x.matches("[a-z]+")) { throw new ServletException(); } exec("ls " + x);',
    'if (!P.matcher(x).matches()) { throw new ServletException(); } exec("ls " + x);',
    'java.util.regex.Matcher m = P.matcher(x); if (!m.matches()) return; exec("ls " + x);',
    'if ("a".equals(x)) { exec(x); }', 'switch (x) { case "a": exec("ls"); break; default: exec("df"); }',
    'exec("ls " + x.replaceAll("[^a-z]", ""));', 'new ProcessBuilder("ls", "--", x).start();',
    'Runtime.getRuntime().exec(new String[] {"ls", x});', 'String[] c = {"ls", x}; Runtime.getRuntime().exec(c);',
    'exec(UUID.fromString(x).toString());', "if (!isOk(x)) { return; } exec(x);", "exec(Kind.valueOf(x).name());",
    'StringBuilder b = new StringBuilder(x); b.setLength(0); b.append("a"); exec(b.toString());',
    'if (ALLOWED.stream().noneMatch(x::equals)) { return; } exec(x);', 'exec(NAMES.get(x));', 'exec(NAMES.getOrDefault(x, "b"));',
    'Pair p = new Pair(x, "a"); exec(p.right());', "exec(fixed(x, 1));", "boolean go = 1 > 2; if (go) { exec(x); }",
])  # fmt: skip
def test_what_makes_harmless_is_understood(body: str) -> None:
    members = (
        MEMBERS
        + """
  private static final java.util.regex.Pattern P = java.util.regex.Pattern.compile("[a-z]+");
  private static final List<String> ALLOWED = List.of("a", "b");
  private static final Map<String, String> NAMES = Map.of("a", "b");
  enum Kind { ONE, TWO }
  private static boolean isOk(String v) { return v != null && ALLOWED.contains(v); }
  String fixed(String v) { return v; }
  String fixed(String v, int n) { return "a"; }
"""
    )
    assert "command" not in rules(body, members)


@pytest.mark.parametrize(("body", "rule"), [
    ("Statement s = c.createStatement(); s.execute(\"select a from b where d = '\" + x + \"'\");", "sql"),
    ("java.sql.PreparedStatement s = c.prepareStatement(\"select \" + x);", "sql"),
    ("template.query(\"select a from b where d = '\" + x + \"'\", mapper);", "sql"),
    ('File f = new File("/data", x); f.delete();', "path"), ("Files.readAllBytes(Paths.get(x));", "path"),
    ("PrintWriter out = response.getWriter(); out.println(x);", "xss"),
    ('response.getWriter().format("<p>%s", x);', "xss"), ('response.sendRedirect("/go?to=" + x);', ""),
    ('response.sendRedirect(x);', "redirect"), ('new URL("https://a.example/" + x).openStream();', ""),
    ("URL u = new URL(x); u.openConnection();", "ssrf"), ('request.getSession().setAttribute(x, "a");', "session"),
    ('HttpSession s = request.getSession(true); s.putValue("a", x);', "session"),
    ('XPath p = XPathFactory.newInstance().newXPath(); p.evaluate("/a[@b=\'" + x + "\']", document);', "xpath"),
    ('javax.naming.directory.DirContext d = open(); d.search("ou=a", "(uid=" + x + ")", controls);', "ldap"),
    ("new XStream().fromXML(x);", "deserialisation"), ("new Yaml().load(x);", "deserialisation"),
    ("new Yaml(new SafeConstructor(new LoaderOptions())).load(x);", ""), ("Class.forName(x);", "reflection"), ("MATCHER.matches(x);", ""), ('String y = "a"; y.matches(x);', "regex"),
    ("new InitialContext().lookup(x);", "lookup"), ("Pattern.compile(x);", "regex"),
    ('Cookie k = new Cookie("rememberMe", Long.toString(new Random().nextLong())); k.setSecure(true); k.setHttpOnly(true); '
     'response.addCookie(k);', "weak-random"),
    ('Random r = new java.security.SecureRandom(); Cookie k = new Cookie("a", "" + r.nextLong()); k.setSecure(true); '
     'k.setHttpOnly(true); response.addCookie(k);', ""),
    ('Cookie k = new Cookie("a", "b"); k.setSecure(false); k.setHttpOnly(true); response.addCookie(k);', "insecure-cookie"),
    ('Cookie k = new Cookie("a", "b"); k.setHttpOnly(true); response.addCookie(k);', "insecure-cookie"),
    ('response.setContentType("application/json"); response.getWriter().println(x);', ""),
    ("response.getWriter().println(Encode.forHtml(x));", ""), ('MessageDigest.getInstance("SHA-1");', "weak-hash"),
    ('Properties p = new Properties(); p.load(in); MessageDigest.getInstance(p.getProperty("hash", "MD5"));', "weak-hash"),
    ('Properties p = new Properties(); p.load(in); MessageDigest.getInstance(p.getProperty("hash", "SHA-512"));', ""),
    ('Cipher.getInstance("AES");', "ecb-mode"), ('Cipher.getInstance("DES/CBC/PKCS5Padding");', "weak-cipher"),
    ('Cipher.getInstance("AES/GCM/NoPadding");', ""), ('Cipher.getInstance("RSA/ECB/OAEPWithSHA-256AndMGF1Padding");', ""),
    ('KeyPairGenerator g = KeyPairGenerator.getInstance("RSA"); g.initialize(1024);', "small-key"),
    ('KeyPairGenerator g = KeyPairGenerator.getInstance("EC"); g.initialize(256);', ""),
    ("byte[] iv = new byte[16]; new IvParameterSpec(iv);", "static-iv"),
    ("byte[] iv = new byte[16]; new SecureRandom().nextBytes(iv); new IvParameterSpec(iv);", ""),
    ("connection.setHostnameVerifier((host, session) -> true);", "no-certificate-check"),
    ("http.csrf(AbstractHttpConfigurer::disable);", "no-csrf-check"),
])  # fmt: skip
def test_what_the_tables_say(body: str, rule: str) -> None:
    members = "private java.sql.Connection c; @Autowired JdbcTemplate template;"
    assert rules(body, members) == ({rule} if rule else set())


def test_one_shell_or_another_is_a_shell() -> None:
    body = """String a = ""; String b = "";
    if (File.separatorChar == '/') { a = "sh"; b = "-c"; } else { a = "cmd.exe"; b = "/c"; }
    String[] c = {a, b, "echo " + x};
    Runtime.getRuntime().exec(c);"""
    (item,) = found(SERVLET % ("", body))
    assert (item.rule, item.message) == (
        "command", "untrusted text becomes a command: the request (line 7) reaches Runtime.getRuntime().exec"
    )  # fmt: skip
    assert rules(body.replace('"cmd.exe"', '"ls"')) == set(), "who knows what it does with its arguments"


def test_what_comes_after_a_path_does_not_change_the_host() -> None:
    assert rules('response.sendRedirect(home() + "/a?b=" + x);') == set()
    assert rules("response.sendRedirect(home() + x);") == {"redirect"}
    built = (
        'StringBuilder b = new StringBuilder(home()); b.append("?"); b.append(x); response.sendRedirect(b.toString());'
    )
    assert rules(built) == set()
    assert rules(built.replace('b.append("?");', "")) == rules(built.replace('"?"', '"."')) == {"redirect"}
    assert rules('response.sendRedirect(home() + "/" + x);') == {"redirect"}


def test_what_is_in_one_field_is_in_no_other() -> None:
    members = 'private String kept, other; void keep(HttpServletRequest r) { kept = r.getParameter("k"); }'
    assert rules("exec(kept);", members) == {"command"} and rules("exec(other);", members) == set()


XML = """class Reader {
  void read(HttpServletRequest request) throws Exception {
    DocumentBuilderFactory factory = DocumentBuilderFactory.newInstance();
    %s
    DocumentBuilder builder = factory.newDocumentBuilder();
    builder.parse(request.getInputStream());
  }
}
"""


def test_a_parser_that_was_made_harmless_is_one() -> None:
    assert [item.rule for item in found(XML % "")] == ["xxe"]
    flag = '"http://apache.org/xml/features/disallow-doctype-decl"'
    assert found(XML % f"factory.setFeature({flag}, true);") == []
    assert found(XML % f"String f = {flag}; factory.setFeature(f, true);") == []
    assert [item.rule for item in found(XML % f"factory.setFeature({flag}, false);")] == ["external-entities", "xxe"]
    (item,) = found(
        XML % f"factory.setFeature({flag}, true); factory.setFeature(XMLConstants.FEATURE_SECURE_PROCESSING, false);"
    )
    assert (item.rule, item.cwe) == ("entities", "CWE-776")


CANONICAL = """class Files2 {
  void read(HttpServletRequest request, Path base) throws Exception {
    Path file = base.resolve(request.getParameter("f"))%s;
    if (!file.startsWith(base)) { throw new IOException(); }
    Files.readAllBytes(file);
    File other = new File("/data", request.getParameter("g"));
    if (other.getCanonicalPath().startsWith("/data/")) { new FileInputStream(other); }
  }
}
"""


def test_a_path_is_harmless_when_it_was_resolved_before_it_is_compared() -> None:
    assert found(CANONICAL % ".normalize()") == []
    assert [(item.rule, item.line) for item in found(CANONICAL % "")] == [("path", 5)]


SPRING = """@RestController
@RequestMapping("/users")
class Users {
  private final JdbcTemplate template;
  Users(JdbcTemplate template) { this.template = template; }
  @GetMapping("/{name}")
  public String one(@PathVariable String name, @RequestParam int page, Model model) {
    template.queryForList("select a from b limit " + page);
    template.queryForList("select a from b where c = '" + name + "'");
    return "<p>" + name;
  }
  @PostMapping
  public Answer make(@RequestBody UserRequest request, @AuthenticationPrincipal String user) throws IOException {
    Runtime.getRuntime().exec("id " + user);
    Runtime.getRuntime().exec("id " + request.getName());
    return new Answer(request.getName());
  }
  void helper(String name) throws IOException { Runtime.getRuntime().exec(name); }
}
"""


def test_what_handlers_get_is_input() -> None:
    expected = [("sql", 9), ("xss", 10), ("command", 15)]
    assert [(item.rule, item.line) for item in found(SPRING)] == expected
    assert ("command", 18) in [(item.rule, item.line) for item in found(SPRING, mode="snippet")]
    view = SPRING.replace("@RestController", "@Controller")
    assert ("template", 10) in [(item.rule, item.line) for item in found(view)]
    sent = view.replace('"<p>" + name', '"redirect:" + name')
    assert ("redirect", 10) in [(item.rule, item.line) for item in found(sent)]


def test_what_is_said_of_one_part_says_nothing_of_another() -> None:
    text = """@Controller class Go {
  @PostMapping("/a") public void go(@RequestBody Form form) throws IOException {
    if (form.getKind().equals("a")) { Runtime.getRuntime().exec(form.getName()); Runtime.getRuntime().exec(form.getKind()); }
    if (form.getSort().equals("b")) {
      Runtime.getRuntime().exec(form.getSort());
    }
  }
}
"""
    assert [(item.rule, item.line) for item in found(text)] == [("command", 3)]


def test_setters_of_an_action_and_resources() -> None:
    action = """public class Go extends ActionSupport {
  private String name;
  public void setName(String name) { this.name = name; }
  public String execute() throws Exception { Runtime.getRuntime().exec("ls " + name); return SUCCESS; }
}
"""
    assert [(item.rule, item.line) for item in found(action)] == [("command", 4)]
    assert found(action.replace("ActionSupport", "Base")) == []
    resource = """@Path("/a") class Go {
  @GET @Produces(MediaType.TEXT_HTML) public String go(@QueryParam("b") String b, @Context UriInfo info) { return "<p>" + b; }
}
"""
    assert [item.rule for item in found(resource)] == ["xss"]
    assert found(resource.replace("TEXT_HTML", "APPLICATION_JSON")) == []


def test_checks_that_let_everything_pass() -> None:
    manager = "class T implements X509TrustManager {\n  @Override\n  public void checkServerTrusted(X509Certificate[] c, String t) {%s}\n}\n"
    assert [(item.rule, item.line) for item in found(manager % "")] == [("no-certificate-check", 3)]
    assert found(manager % " check(c); ") == []


def test_the_rules_are_in_form() -> None:
    for sink in java_sinks.SINKS:
        assert sink.kind == "command-word" or sink.kind in JAVA_KINDS, sink
        holds(sink.when, Given((), {}))
    for misuse in java_misuse.MISUSES:
        assert misuse.severity in ("low", "medium", "high") and misuse.calls and misuse.text, misuse
        holds(misuse.when, Given((), {}))


def test_any_text_is_answered() -> None:
    for text in ("", "class", "class A {", "class A extends A { A a = new A(); void f() { a.b.c[0].d(); } }", "\ufeffclass A {}",
                 "class A { void f() { return " + "(" * 300 + "1" + ")" * 300 + "; } }", "@interface A { int b() default 1; }",
                 "class A { String s = " + " + ".join(['"a"', "b"] * 450) + "; }", "a" * 5000, "module a { requires b; }",
                 "class A { void f(HttpServletRequest r) { " + "if (a) {" * 120 + "}" * 120 + " } }",
                 "class A { int f(int n) { return f(n) + f(n - 1); } void f() { f(1); f(); } A() { this(1); } A(int n) { this(); } }",
                 "sealed interface A permits B { } record B<T>(T a, int... b) implements A { B { a = null; } static int c; }",
                 "enum A { B { int f() { return 1; } }, C(2); A(int... n) { } abstract int f(); { } static { } }",
                 "class A { Object f(Object o) { return switch (o) { case B(var x, C y) when x > 1 -> y; case null, default -> 0; }; } }",
                 "void main() { for (;;) { a: while (true) { continue a; } } }", 'class A { String s = """\n  a\\\n  b""" ; char c = \'\\u0041\'; }',
                 "class A { void f() { new int[3][]; int[] a[] = {{1}, {2}}; long b = 0xFFL + 0b11 + 1__0 + 08; A::new; int[]::new; } }",
                 "class A<T extends B & C> { <U> A(U u) { super(u); } void f(A<T> this, final int... a) { this.<T>g(a); } }"):  # fmt: skip
        for mode in ("strict", "snippet"):
            assert all(item.rule != INCONCLUSIVE or item.message for item in found(text, mode=mode))
