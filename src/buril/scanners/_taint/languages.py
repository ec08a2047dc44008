"""The languages that can be analysed: how their trees are read, their tables, and a planted sample of each harm."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from functools import cache
from typing import Any, Final

from tree_sitter import Tree

from buril.scanners._taint import javascript_rules, lower_javascript, lower_python, python_rules, solidity
from buril.scanners._taint.engine import Compiled, compiled
from buril.scanners._taint.entries import Analysis, Entries, analyse
from buril.scanners._taint.hints import hints
from buril.scanners._taint.kinds import KINDS
from buril.scanners._taint.python_misuse import MISUSES
from buril.scanners._taint.rules import Rules

_RECURSION: Final = 8_000
_PYTHON: Final = Rules(
    KINDS, python_rules.SOURCES, python_rules.SINKS, python_rules.CLEANS, MISUSES, python_rules.INDIRECT,
    python_rules.CONSTANTS, python_rules.INERT,
    python_rules.ENDS, python_rules.CHECKS, python_rules.PARSES,
)  # fmt: skip
_JAVASCRIPT: Final = Rules(
    KINDS, javascript_rules.SOURCES, javascript_rules.SINKS, javascript_rules.CLEANS, javascript_rules.MISUSES,
    javascript_rules.INDIRECT, javascript_rules.CONSTANTS, javascript_rules.INERT,
    javascript_rules.ENDS,
)  # fmt: skip
_READ: dict[str, tuple[Callable[[Tree], tuple[Any, ...]], Rules, Entries]] = {
    "python": (lower_python.lower, _PYTHON, python_rules.ENTRIES),
    **dict.fromkeys(
        ("javascript", "typescript", "tsx"), (lower_javascript.lower, _JAVASCRIPT, javascript_rules.ENTRIES)
    ),
}
_OWN: Final[dict[str, tuple[Callable[[Tree], Analysis], re.Pattern[str]]]] = {
    "solidity": (solidity.analysed, solidity.INPUTS),
}
"""Languages with an analysis of their own, and what every text has in which that can find anything."""
LANGUAGES: Final = frozenset(_READ) | frozenset(_OWN)
_HINTS: Final = {name: hints(rules.misuses, entries.inputs) for name, (_read, rules, entries) in _READ.items()}
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
SAMPLES: Final[dict[str, dict[str, str]]] = {
    **dict.fromkeys(("javascript", "typescript", "tsx"), _SCRIPTS),
    "solidity": _CONTRACTS,
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


def analysed(language: str, tree: Tree, *, suspicious: bool) -> Analysis:
    """Analyse a tree of one of `LANGUAGES`; `suspicious` as in `analyse`."""
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(max(before, _RECURSION))  # a text of a thousand additions is as deep as they are many
    try:
        if language in _OWN:
            return _OWN[language][0](tree)
        read, _plain, entries = _READ[language]
        return analyse(read(tree), _rules(language), entries, suspicious=suspicious)
    finally:
        sys.setrecursionlimit(before)


def may_hold(language: str, text: str) -> bool:
    """Whether a text has a word of any rule; without one `analysed` finds nothing unless it is suspicious."""
    hint = _OWN[language][1] if language in _OWN else _HINTS[language]
    return hint.search(text) is not None


@cache
def _rules(language: str) -> Compiled:
    """The rules of a language, ready to be matched; made when the first file of it comes."""
    return compiled(_READ[language][1])
