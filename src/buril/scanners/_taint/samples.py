"""A planted sample of each harm, by language: what a scanner that works must see."""

from __future__ import annotations

from typing import Final

from buril.scanners._taint import php_samples

_FLASK: Final = "from flask import request\nimport os\n@app.route('/')\ndef page():\n    x = request.args['x']\n"
_EXPRESS: Final = "const app = require('express')();\napp.get('/', (req, res) => {\n  const x = req.query.x;\n"
_SCRIPTS: Final = {
    "command": _EXPRESS + "  require('child_process').exec('ls ' + x);\n});\n",
    "code": _EXPRESS + "  eval(x);\n});\n",
    "sql": _EXPRESS + "  db.query(`select a from b where c = '${x}'`);\n});\n",  # noqa: S608  a sample
    "path": "const fs = require('fs');\n" + _EXPRESS + "  fs.readFile('/data/' + x, done);\n});\n",
    "xss": _EXPRESS + "  res.send('<p>' + x);\n});\n",
    "ssrf": _EXPRESS + "  fetch(x);\n});\n",
    "redirect": _EXPRESS + "  res.redirect(x);\n});\n",
    "weak-hash": "require('crypto').createHash('md5');\n",
}
_ETHER: Final = "mapping(address => uint) a; address o; address[] l; uint n; bytes32 h;"
_CONTRACTS: Final = {
    rule: f"pragma solidity {version}; contract A {{ {_ETHER} {text} }}\n"
    for rule, version, text in (
        (
            "reentrancy",
            "^0.8.0",
            "function f() external { msg.sender.call{value: a[msg.sender]}(''); a[msg.sender] = 0; }",
        ),
        ("unchecked-call", "^0.4.0", "function f() { o.send(1); }"),
        ("origin-as-caller", "^0.8.0", "modifier m() { require(tx.origin == o); _; }"),
        ("unprotected-selfdestruct", "^0.4.0", "function f() { suicide(msg.sender); }"),
        (
            "unprotected-owner",
            "^0.8.0",
            "function f() public { o = msg.sender; } function g() public { require(msg.sender == o); }",
        ),
        ("unprotected-withdrawal", "^0.5.0", "function f() public { msg.sender.transfer(address(this).balance); }"),
        (
            "delegatecall",
            "^0.8.0",
            "function f(address t, bytes memory d) public { (bool k, ) = t.delegatecall(d); require(k); }",
        ),
        ("block-randomness", "^0.8.0", "function f() public { n = uint(blockhash(block.number - 1)) % 6; }"),
        ("block-time", "^0.4.0", "function f() public { if (now % 7 == 0) { n = 1; } }"),
        ("overflow", "^0.4.0", "function f(uint x) public { n += x; }"),
        (
            "signer-zero",
            "^0.8.0",
            "function f(uint8 v, bytes32 r, bytes32 s) public { require(ecrecover(h, v, r, s) == o); }",
        ),
    )
}
_SERVLET: Final = (
    "class Page extends HttpServlet {\n"
    "  protected void doGet(HttpServletRequest request, HttpServletResponse response) throws Exception {\n"
    '    String x = request.getParameter("x");\n'
)
_SERVLETS: Final = {
    "command": '    Runtime.getRuntime().exec("ls " + x);\n',
    "code": '    new ScriptEngineManager().getEngineByName("js").eval(x);\n',
    "sql": '    connection.createStatement().executeQuery("select a from b where c = \'" + x + "\'");\n',
    "path": '    new FileInputStream("/data/" + x);\n',
    "xss": '    response.getWriter().println("<p>" + x);\n',
    "deserialisation": "    new ObjectInputStream(request.getInputStream()).readObject();\n",
    "ssrf": "    new URL(x).openStream();\n",
    "redirect": "    response.sendRedirect(x);\n",
    "xxe": "    DocumentBuilderFactory.newInstance().newDocumentBuilder().parse(request.getInputStream());\n",
    "ldap": '    new InitialDirContext().search("ou=people", "(uid=" + x + ")", null);\n',
    "xpath": '    XPathFactory.newInstance().newXPath().evaluate("//user[@name=\'" + x + "\']", document);\n',
    "expression": "    new SpelExpressionParser().parseExpression(x);\n",
    "weak-hash": '    MessageDigest.getInstance("MD5");\n',
}
_HANDLER: Final = (
    'package main\nimport (\n"%s"\n"net/http"\n)\nfunc page(w http.ResponseWriter, r *http.Request) {\n'
    '\tx := r.FormValue("x")\n'
)
_PROGRAMS: Final = {
    "command": _HANDLER % "os/exec" + '\texec.Command("sh", "-c", "ls "+x).Run()\n}\n',
    "sql": _HANDLER % "database/sql" + '\tdb.Query("select a from b where c = \'" + x + "\'")\n}\n',  # noqa: S608  a sample
    "path": _HANDLER % "os" + '\tos.Open("/data/" + x)\n}\n',
    "xss": _HANDLER % "fmt" + '\tfmt.Fprintf(w, "<p>%s", x)\n}\n',
    "ssrf": _HANDLER % "fmt" + "\thttp.Get(x)\n}\n",
    "redirect": _HANDLER % "fmt" + "\thttp.Redirect(w, r, x, 302)\n}\n",
    "template": _HANDLER % "text/template" + '\ttemplate.New("a").Parse(x)\n}\n',
    "ldap": _HANDLER % "github.com/go-ldap/ldap/v3"
    + '\tc.Search(ldap.NewSearchRequest("", 0, 0, 0, 0, false, "(a="+x, nil, nil))\n}\n',
    "no-certificate-check": 'package a\nimport "crypto/tls"\nvar c = &tls.Config{InsecureSkipVerify: true}\n',
    "weak-hash": 'package a\nimport "crypto/md5"\nvar h = md5.New()\n',
    "insecure-cookie": _HANDLER % "fmt" + '\thttp.SetCookie(w, &http.Cookie{Name: "a", Value: x})\n}\n',
}
SAMPLES: Final[dict[str, dict[str, str]]] = {
    **dict.fromkeys(("javascript", "typescript", "tsx"), _SCRIPTS),
    "solidity": _CONTRACTS,
    "go": _PROGRAMS,
    "php": php_samples.SAMPLES,
    "java": {kind: f"{_SERVLET}{body}  }}\n}}\n" for kind, body in _SERVLETS.items()},
    "python": {
        "command": _FLASK + "    os.system('ls ' + x)\n",
        "code": _FLASK + "    eval(x)\n",
        "sql": _FLASK + "    db.execute(f\"select a from b where c = '{x}'\")\n",  # noqa: S608  a sample
        "path": _FLASK + "    open(os.path.join('/data', x))\n",
        "xss": _FLASK + "    return '<p>' + x\n",
        "deserialisation": _FLASK + "    import pickle\n    pickle.loads(x)\n",
        "ssrf": _FLASK + "    import requests\n    requests.get(x)\n",
        "redirect": _FLASK + "    from flask import redirect\n    return redirect(x)\n",
        "no-certificate-check": "import requests\nrequests.get('https://a.example', verify=False)\n",
        "weak-hash": "import hashlib\nhashlib.md5(b'')\n",
    },
}  # fmt: skip
