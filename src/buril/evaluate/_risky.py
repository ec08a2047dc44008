"""Risky: held-out functions that call what is often called insecurely, cut off right before such a call.

Which calls these are says a table of patterns, by language and weakness. A pattern says that a weakness is near, never
that it is there: what stands in the file is scanned as well, and that is the baseline.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from buril.code.codefile import CodeFile

if TYPE_CHECKING:
    from tree_sitter import Node, Tree

_SCRIPT = {
    "CWE-78": r"\b(?:execSync|execFile|spawn|spawnSync|exec)\s*\(",
    "CWE-79": r"\.innerHTML\b|\.outerHTML\b|\bdocument\.write(?:ln)?\s*\(|dangerouslySetInnerHTML",
    "CWE-89": r"\.(?:query|raw|execute)\s*\(",
    "CWE-95": r"(?<![\w.])eval\s*\(|\bnew\s+Function\s*\(",
    "CWE-328": r"\bcreateHash\s*\(",
}
CALLS: Final[dict[str, dict[str, str]]] = {
    "python": {
        "CWE-22": r"\.(?:extractall|unpack_archive)\s*\(",
        "CWE-78": r"\bos\.(?:system|popen)\s*\(|\bsubprocess\.(?:run|call|check_\w+|Popen|get\w*output)\s*\(",
        "CWE-79": r"\b(?:mark_safe|Markup)\s*\(|\bjinja2\.(?:Environment|Template)\s*\(",
        "CWE-89": r"\.(?:execute|executemany|executescript)\s*\(\s*[^)\s]",  # one of nothing runs no SQL
        "CWE-95": r"(?<![\w.])(?:eval|exec)\s*\(",
        "CWE-295": r"\bssl\.\w+\s*\(|\brequests\.(?:get|post|put|request|Session)\s*\(",
        "CWE-328": r"\bhashlib\.\w+\s*\(",
        "CWE-377": r"\btempfile\.\w+\s*\(|\bmktemp\s*\(",
        "CWE-502": r"\b(?:pickle|dill|marshal|shelve|joblib|yaml|torch)\.(?:loads?|load_all|Unpickler|open)\s*\(",
        "CWE-611": r"\b(?:ET|etree|ElementTree|minidom|sax)\.(?:parse|fromstring|parseString|iterparse|XML)\s*\(",
        "CWE-732": r"\bos\.chmod\s*\(|\.chmod\s*\(",
        "CWE-918": r"\burlopen\s*\(|\burlretrieve\s*\(",
    },
    "javascript": _SCRIPT,
    "typescript": _SCRIPT,
    "tsx": _SCRIPT,
    "java": {
        "CWE-78": r"\.exec\s*\(|\bnew\s+ProcessBuilder\s*\(",
        "CWE-89": r"\.(?:executeQuery|executeUpdate|prepareStatement|createQuery)\s*\(",
        "CWE-328": r"\bMessageDigest\.getInstance\s*\(",
        "CWE-502": r"\.readObject\s*\(",
        "CWE-611": r"\b(?:DocumentBuilderFactory|SAXParserFactory|XMLInputFactory)\.newInstance\s*\(",
    },
    "php": {
        "CWE-78": r"\b(?:shell_exec|exec|system|passthru|popen|proc_open)\s*\(",
        "CWE-89": r"\bmysqli_query\s*\(|->(?:query|exec)\s*\(",
        "CWE-95": r"(?<![\w>])eval\s*\(",
        "CWE-328": r"(?<![\w>])(?:md5|sha1)\s*\(",
        "CWE-502": r"\bunserialize\s*\(",
    },
    "go": {
        "CWE-78": r"\bexec\.Command(?:Context)?\s*\(",
        "CWE-89": r"\.(?:Query|QueryRow|Exec)(?:Context)?\s*\(",
        "CWE-295": r"\btls\.Config\s*\{",
        "CWE-328": r"\b(?:md5|sha1)\.(?:New|Sum)\s*\(",
    },
    "ruby": {
        "CWE-78": r"(?<![\w.])(?:system|exec)\b|\bOpen3\.\w+",
        "CWE-89": r"\.(?:where|find_by_sql|execute)\s*\(",
        "CWE-95": r"(?<![\w.])(?:eval|instance_eval)\b",
        "CWE-502": r"\b(?:Marshal|YAML)\.load\b",
    },
    "bash": {"CWE-95": r"(?<![\w.])eval\s"},
    "c": {"CWE-78": r"\b(?:system|popen)\s*\(", "CWE-120": r"\b(?:strcpy|strcat|sprintf|gets)\s*\("},
    "csharp": {"CWE-78": r"\bProcess\.Start\s*\(", "CWE-89": r"\bnew\s+Sql\w*Command\s*\("},
}
"""Where a weakness is near, by language."""
_PATTERNS: Final = {
    language: [(cwe, re.compile(pattern.encode())) for cwe, pattern in calls.items()]
    for language, calls in CALLS.items()
}
_BLOCKS = frozenset(
    (
        "block", "statement_block", "statement_list", "compound_statement", "body_statement", "function_body",
        "constructor_body", "program",
    )
)  # fmt: skip


@dataclass(frozen=True)
class RiskyHole:
    """A function that is cut off before a risky call.

    Attributes:
        file: where it stands.
        name: of the function.
        cwe: the weakness that is near.
        language: of the file.
        before: the file up to the line of the call's statement.
        head: the function from its line's start up to there.
        reference: what stands there, up to the function's end.
        after: what follows the function.
        place: where the hole begins, in bytes.
    """

    file: CodeFile
    name: str
    cwe: str
    language: str
    before: str
    head: str
    reference: str
    after: str
    place: int

    @property
    def key(self) -> str:
        """The unit's name: the row and where the hole begins in it."""
        return f"{self.file.row_id}:{self.place}"


def risky_holes(files: Iterable[CodeFile], languages: Iterable[str]) -> Iterator[RiskyHole]:
    """The functions with a risky call, in the order of the files; the first call of each counts."""
    wanted = set(languages) & _PATTERNS.keys()
    for file in files:
        if file.language in wanted:
            yield from _of(file)


def _of(file: CodeFile) -> Iterator[RiskyHole]:
    from buril.code.parse import functions, parse

    source = file.content.encode("utf-8", "replace")
    patterns = [(cwe, pattern) for cwe, pattern in _PATTERNS[file.language] if pattern.search(source)]
    if not patterns:
        return
    try:
        tree = parse(file.language, source)
    except ValueError:  # a text that no parser should be given
        return
    taken = -1
    for function in functions(tree, file.language):
        if function.start_byte < taken:
            continue  # within one that was cut
        found = _first(tree, source, patterns, function.body_start_byte, function.end_byte)
        if found is None:
            continue
        place, cwe = found
        taken = function.end_byte
        line = source.rfind(b"\n", 0, function.start_byte) + 1
        yield RiskyHole(
            file, function.name, cwe, file.language, _text(source[:place]), _text(source[line:place]),
            _text(source[place : function.end_byte]), _text(source[function.end_byte :]), place,
        )  # fmt: skip


def _first(
    tree: Tree, source: bytes, patterns: list[tuple[str, re.Pattern[bytes]]], start: int, end: int
) -> tuple[int, str] | None:
    """Where the line of the first risky statement begins, and its weakness; remarks and texts do not count."""
    best: tuple[int, int, str] | None = None
    for cwe, pattern in patterns:
        for match in pattern.finditer(source, start, end):
            node = tree.root_node.descendant_for_byte_range(match.start(), match.start() + 1)
            if node is None or "comment" in node.type or "string" in node.type:
                continue
            if best is None or match.start() < best[0]:
                best = (match.start(), _statement(node, match.start(), start), cwe)
            break
    if best is None:
        return None
    place = source.rfind(b"\n", 0, best[1]) + 1
    return (place, best[2]) if place >= start else None


def _statement(node: Node, place: int, start: int) -> int:
    """Where the statement begins that a node is part of; the node's own place where that is not to be seen."""
    current: Node | None = node
    while current is not None and current.start_byte >= start:
        if current.parent is not None and current.parent.type in _BLOCKS:
            return current.start_byte
        current = current.parent
    return place


def _text(source: bytes) -> str:
    return source.decode("utf-8", "replace")
