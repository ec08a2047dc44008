"""The languages that can be analysed: how their trees are read, their tables, and a planted sample of each harm."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import cache
from typing import Any, Final

from tree_sitter import Tree

from buril.scanners._taint import (
    javascript_rules,
    lower_javascript,
    lower_php,
    lower_python,
    php_misuse,
    php_rules,
    php_samples,
    python_rules,
)
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
_PHP: Final = Rules(
    KINDS, php_rules.SOURCES, php_rules.SINKS, php_rules.CLEANS, php_misuse.MISUSES, php_rules.INDIRECT,
    php_rules.CONSTANTS, php_rules.INERT,
    php_rules.ENDS, php_rules.CHECKS, php_rules.PARSES,
)  # fmt: skip
_READ: dict[str, tuple[Callable[[Tree], tuple[Any, ...]], Rules, Entries]] = {
    "python": (lower_python.lower, _PYTHON, python_rules.ENTRIES),
    "php": (lower_php.lower, _PHP, php_rules.ENTRIES),
    **dict.fromkeys(
        ("javascript", "typescript", "tsx"), (lower_javascript.lower, _JAVASCRIPT, javascript_rules.ENTRIES)
    ),
}
LANGUAGES: Final = frozenset(_READ)
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
SAMPLES: Final[dict[str, dict[str, str]]] = {
    **dict.fromkeys(("javascript", "typescript", "tsx"), _SCRIPTS),
    "php": php_samples.SAMPLES,
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
    read, _plain, entries = _READ[language]
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(max(before, _RECURSION))  # a text of a thousand additions is as deep as they are many
    try:
        return analyse(read(tree), _rules(language), entries, suspicious=suspicious)
    finally:
        sys.setrecursionlimit(before)


def may_hold(language: str, text: str) -> bool:
    """Whether a text has a word of any rule; without one `analysed` finds nothing unless it is suspicious."""
    return _HINTS[language].search(text) is not None


@cache
def _rules(language: str) -> Compiled:
    """The rules of a language, ready to be matched; made when the first file of it comes."""
    return compiled(_READ[language][1])
