"""Guards: a test that ends a function before harm is done, taken out.

What a guard is for is read off it: it speaks of a path, and after it a file is opened under the same name. Where taint
can follow what the guard was about, a scanner has to see the harm; who may do what, and memory, no scanner of ours
knows, so those have to be plain: an owner that is compared and a refusal, a size that is compared and a copy.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from typing import Final, NamedTuple

from tree_sitter import Node, Query, QueryCursor, Tree

from buril.code.parse import grammar
from buril.data.pair import Claim
from buril.data.pairing._mutation_edit import Change, Edit

_MOST_STATEMENTS: Final = 3
_EXIT: Final = re.compile(
    r"\b(?:raise|return|throw|abort|exit|die|goto|revert|panic|HttpResponse\w*|sendStatus|next|process\.exit)\b"
)
_NAME: Final = re.compile(r"\$?\b[A-Za-z_]\w*\b")
_COMMON: Final = frozenset(("not", "in", "is", "None", "null", "NULL", "nil", "len", "os", "path", "and", "or", "self",
                            "this", "true", "false", "sizeof", "int", "str", "size_t", "return", "if"))  # fmt: skip
_REFUSED: Final = r"(?i)\b(40[134]|forbidden|permission\w*|denied|unauthori[sz]ed?|accessdenied\w*|not allowed)\b|Permission|Forbidden|Denied"
_ALL: Final = ("python", "javascript", "typescript", "tsx", "java", "go", "php")
_TAINTED: Final = ("python", "javascript", "typescript", "tsx")


class Guard(NamedTuple):
    """A test of one kind: what its condition, its body, what comes before and after it have to say."""

    name: str
    cwe: str
    languages: tuple[str, ...]
    condition: str
    after: str = ""
    body: str = ""
    before: str = ""


GUARDS: Final = (
    Guard("path-guard", "CWE-22", _ALL,
          r"(?i)commonpath|commonprefix|starts_?with|hasprefix|is_relative_to|is_?abs|\.\.|parents|os\.sep|strpos|"
          r"path\.relative|filepath\.rel|isLocal",
          r"\bopen\(|send_file|read_text|read_bytes|write_text|write_bytes|unlink|remove|rmtree|rename|readFile|"
          r"createReadStream|createWriteStream|writeFile|sendFile|os\.(?:Open|Create|ReadFile|WriteFile)|Files\.|"
          r"new File\w*\(|file_get_contents|fopen|readfile|\brm\("),
    Guard("redirect-guard", "CWE-601", _ALL, r"(?i)netloc|starts_?with|hasprefix|allowed_host|is_safe|host|scheme|strpos",
          r"(?i)redirect|location"),
    Guard("address-guard", "CWE-918", _ALL,
          r"(?i)host(name)?|netloc|scheme|is_private|is_global|is_loopback|allow|protocol|isPrivate|isLoopback",
          r"requests\.\w+\(|urlopen|\bfetch\(|axios|httpx|http\.(?:Get|get|request)|client\.Do|openConnection|curl_"),
    Guard("list-guard", "CWE-89", _ALL, r"\bnot in\b|!.*\.(?:includes|has|contains)\(|in_array",
          r"(?i)\b(?:execute|query|raw|prepare)\w*\("),
    Guard("program-guard", "CWE-78", _ALL, r"\bnot in\b|!.*\.(?:includes|has|contains|test)\(|fullmatch|in_array|\.match\(",
          r"subprocess|os\.system|popen|\bexec(?:Sync)?\(|spawn|shell_exec|exec\.Command|ProcessBuilder"),
    Guard("owner-guard", "CWE-639", (*_ALL, "solidity"),
          r"(?i)(?=.*(?:!=|!==|<>|not .*==|!.*equals))(?=.*(?:owner|author|user_?id|created_?by|account_?id))", "", _REFUSED),
    Guard("login-guard", "CWE-306", _ALL,
          r"(?i)(?:\bnot\b|!)[^=]*(?:is_authenticated|is_admin|is_staff|is_superuser|logged_?in|session|isAdmin|"
          r"isAuthenticated|current_user)", r"\S", _REFUSED + r"|(?i:login)"),
    Guard("size-guard", "CWE-770", _ALL, r"(?i)(?=.*[<>])(?=.*(?:len|size|length|count|limit|bytes))", r"\S",
          r"(?i)413|too (?:large|long|many|big)|exceed|limit|maximum"),
    Guard("bounds-guard", "CWE-787", ("c", "cpp"), r"(?=.*[<>])(?=.*(?:sizeof|size|len|cap|max|MAX|SIZE|LEN|\d))",
          r"\b(?:memcpy|memmove|strcpy|strcat|sprintf|memset|fread|read|recv|strncpy)\s*\(|\w\[[^\]]+\]\s*=[^=]"),
    Guard("index-guard", "CWE-125", ("c", "cpp"), r"(?=.*[<>])(?=.*(?:size|len|count|num|max|MAX|SIZE|COUNT|\bn\b))",
          r"(?:return|=|\()\s*[\w>.-]+\[[^\]]+\](?!\s*=[^=])"),
    Guard("null-guard", "CWE-476", ("c", "cpp"), r"^\(\s*(?:!\s*[\w>.-]+|[\w>.-]+\s*==\s*(?:NULL|0)|NULL\s*==\s*[\w>.-]+)\s*\)$",
          r"->|\[|\*|\w+\(", "", r"=\s*(?:\([^)]*\)\s*)?(?:\w*(?:malloc|calloc|realloc|strdup|alloc)\w*|fopen|getenv)\s*\([^;]*;\s*$"),
    Guard("overflow-guard", "CWE-190", ("c", "cpp"), r"(?:SIZE|INT|UINT|LONG|ULONG|SSIZE)\d*_MAX",
          r"\b\w*(?:alloc)\w*\s*\(|\*|\+"),
    Guard("sender-guard", "CWE-862", ("solidity",), r"(?=.*(?:msg\.sender|_msgSender))(?=.*!=)", r"\S", r"revert"),
)  # fmt: skip


def may_change(text: str, language: str) -> bool:
    """Whether a text has a test and, for one of the guards, the words that have to come after it."""
    if "if" not in text:
        return False
    return any(language in guard.languages and re.search(guard.after or guard.body, text) for guard in GUARDS)


def changes(text: str, tree: Tree, language: str) -> Iterator[Change]:
    """The guards that can be taken out of a text."""
    guards = [guard for guard in GUARDS if language in guard.languages]
    if not guards:
        return
    source = text.encode()
    for node in QueryCursor(_tests(language)).captures(tree.root_node).get("node", []):
        condition, body = node.child_by_field_name("condition"), _body(node)
        if condition is None or body is None or node.child_by_field_name("alternative") is not None:
            continue
        if body.named_child_count > _MOST_STATEMENTS or not _EXIT.search(_text(body)):
            continue
        statement = _statement(node)
        before, after = _around(statement, source)
        for guard in guards:
            if _is(guard, _text(condition), _text(body), before, after):
                edit = Edit(*_lines(source, statement), "")
                claim: Claim = "scanner" if language in _TAINTED and guard.cwe not in _UNSEEN else "construction"
                yield Change(guard.name, guard.cwe, (edit,), (), claim)


_UNSEEN: Final = ("CWE-639", "CWE-306", "CWE-770", "CWE-862")
"""Weaknesses that no analysis of one file sees."""


@cache
def _tests(language: str) -> Query:
    query: Query = Query(grammar(language), "(if_statement) @node")
    return query


def _body(node: Node) -> Node | None:
    return node.child_by_field_name("consequence") or node.child_by_field_name("body")


def _statement(node: Node) -> Node:
    """The statement that a test is, under what only wraps it."""
    while node.parent is not None and node.parent.type == "statement":
        node = node.parent
    return node


def _around(node: Node, source: bytes) -> tuple[str, str]:
    """What stands in the same block before and after a statement."""
    block = node.parent
    assert block is not None
    before, after = source[block.start_byte : node.start_byte], source[node.end_byte : block.end_byte]
    return before.decode("utf-8", "replace"), after.decode("utf-8", "replace").rstrip("} \n\t")


def _is(guard: Guard, condition: str, body: str, before: str, after: str) -> bool:
    asked = ((guard.condition, condition), (guard.after, after), (guard.body, body), (guard.before, before))
    if not after.strip() or not all(re.search(pattern, text) for pattern, text in asked if pattern):
        return False
    names = set(_NAME.findall(condition)) - _COMMON
    return bool(names & set(_NAME.findall(after)))


def _lines(source: bytes, node: Node) -> tuple[int, int]:
    """The span of a statement with the line breaks around it, where it stands alone on its lines."""
    start, end = source.rfind(b"\n", 0, node.start_byte) + 1, source.find(b"\n", node.end_byte)
    end = len(source) if end < 0 else end + 1
    if source[start : node.start_byte].strip() or source[node.end_byte : end].strip():
        return node.start_byte, node.end_byte
    if source[end : end + 1] == b"\n":
        end += 1
    return start, end


def _text(node: Node) -> str:
    return (node.text or b"").decode("utf-8", "replace")
