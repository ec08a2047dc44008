"""The languages that can be analysed: how their trees are read, and their tables."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache
from typing import Any, Final

from tree_sitter import Tree

from buril.scanners._taint import (
    go_rules,
    java_misuse,
    java_rules,
    java_sinks,
    javascript_rules,
    lower_go,
    lower_java,
    lower_javascript,
    lower_php,
    lower_python,
    php_misuse,
    php_rules,
    python_rules,
    solidity,
)
from buril.scanners._taint.depth import Depth
from buril.scanners._taint.engine import Compiled, compiled
from buril.scanners._taint.entries import Analysis, Entries, analyse
from buril.scanners._taint.go_library import ASKS, LIBRARY
from buril.scanners._taint.go_misuse import MISUSES as GO_MISUSES
from buril.scanners._taint.hints import hints
from buril.scanners._taint.kinds import KINDS
from buril.scanners._taint.python_misuse import MISUSES
from buril.scanners._taint.rules import Rules

_DEPTH: Final = Depth(8_000)
"""A text of a thousand additions is as deep as they are many."""
_PYTHON: Final = Rules(
    KINDS, python_rules.SOURCES, python_rules.SINKS, python_rules.CLEANS, MISUSES, python_rules.INDIRECT,
    python_rules.CONSTANTS, python_rules.INERT,
    python_rules.ENDS, python_rules.CHECKS, python_rules.PARSES, declared=True,
)  # fmt: skip
_JAVASCRIPT: Final = Rules(
    KINDS, javascript_rules.SOURCES, javascript_rules.SINKS, javascript_rules.CLEANS, javascript_rules.MISUSES,
    javascript_rules.INDIRECT, javascript_rules.CONSTANTS, javascript_rules.INERT,
    javascript_rules.ENDS,
)  # fmt: skip
_JAVA: Final = Rules(
    java_rules.JAVA_KINDS, java_rules.SOURCES, java_sinks.SINKS, java_rules.CLEANS, java_misuse.MISUSES,
    inert=java_rules.INERT, ends=java_rules.ENDS, checks=java_rules.CHECKS, parts=java_rules.PARTS, declared=True,
)  # fmt: skip
_GO: Final = Rules(
    KINDS, go_rules.SOURCES, go_rules.SINKS, go_rules.CLEANS, GO_MISUSES, go_rules.INDIRECT, go_rules.CONSTANTS,
    go_rules.INERT, go_rules.ENDS, go_rules.CHECKS,
    fills=go_rules.FILLS, library=LIBRARY, asks=ASKS, fails=go_rules.FAILS, typed=True,
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
    "java": (lower_java.lower, _JAVA, java_rules.ENTRIES),
    "go": (lower_go.lower, _GO, go_rules.ENTRIES),
}
_OWN: Final[dict[str, tuple[Callable[[Tree], Analysis], re.Pattern[str]]]] = {
    "solidity": (solidity.analysed, solidity.INPUTS),
}
"""Languages with an analysis of their own, and what every text has in which that can find anything."""
LANGUAGES: Final = frozenset(_READ) | frozenset(_OWN)
_HINTS: Final = {
    name: hints(rules.misuses, entries.inputs, called=name == "php")  # its names are everyday words: `get`, `set`
    for name, (_read, rules, entries) in _READ.items()
}


def analysed(language: str, tree: Tree, *, suspicious: bool) -> Analysis:
    """Analyse a tree of one of `LANGUAGES`; `suspicious` as in `analyse`."""
    with _DEPTH.raised():
        if language in _OWN:
            return _OWN[language][0](tree)
        read, _plain, entries = _READ[language]
        return analyse(read(tree), _rules(language), entries, suspicious=suspicious)


def may_hold(language: str, text: str) -> bool:
    """Whether a text has a word of any rule; without one `analysed` finds nothing unless it is suspicious.

    Tests and generated code of a language that tells them by the text hold nothing.
    """
    if language in _OWN:
        return _OWN[language][1].search(text) is not None
    aside = _READ[language][2].aside
    if aside and re.search(aside, text):
        return False
    return _HINTS[language].search(text)


@cache
def _rules(language: str) -> Compiled:
    """The rules of a language, ready to be matched; made when the first file of it comes."""
    return compiled(_READ[language][1])
