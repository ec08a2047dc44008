"""Guards: a test that ends a function before harm is done, taken out.

What a guard is for is read off it: it speaks of a path, and after it a file is opened under the same name. Where taint
can follow what the guard was about, a scanner has to see the harm; who may do what, and memory, no scanner of ours
knows, so those have to be plain: an owner that is compared and a refusal, a size that is compared and a copy.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.resources import files
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
_TAINTED: Final = ("python", "javascript", "typescript", "tsx", "java", "go", "php")
"""Languages that a scanner of ours follows untrusted input in."""
_SET: Final = re.compile(r"([\w.$>\]-]+)\s*[+*-]?=(?![=>])")
_SETS: Final = re.compile(r"(?i)err|^(?:\w*[.>])?(?:rc|ret|retval|result|status|code|message|msg)$")
_NEAR: Final = 160
"""Characters after what does harm within which a name of the guard has to stand."""
_BEGIN: Final = re.compile(r"@ (?P<name>[\w-]+) (?P<cwe>CWE-\d+)(?P<languages>(?: \w+)+)")
_LINE: Final = re.compile(r"(condition|after|body|before): (.+)")


class Guard(NamedTuple):
    """A test of one kind: what its condition, its body, what comes before and after it have to say."""

    name: str
    cwe: str
    languages: tuple[str, ...]
    asked: Mapping[str, re.Pattern[str]]


@cache
def guards(language: str) -> tuple[Guard, ...]:
    """The guards of a language, from their table."""
    found: list[Guard] = []
    asked: dict[str, re.Pattern[str]] = {}
    for line in (
        files(__package__).joinpath("_mutations").joinpath("guards.txt").read_text(encoding="utf-8").splitlines()
    ):
        if begin := _BEGIN.fullmatch(line):
            asked = {}
            found.append(Guard(begin["name"], begin["cwe"], tuple(begin["languages"].split()), asked))
        elif item := _LINE.fullmatch(line):
            asked[item[1]] = re.compile(item[2])
    return tuple(guard for guard in found if language in guard.languages)


def may_change(text: str, language: str) -> bool:
    """Whether a text has a test and, for one of the guards, the words that have to come after it."""
    if "if" not in text:
        return False
    return any((guard.asked.get("after") or guard.asked["body"]).search(text) for guard in guards(language))


def changes(text: str, tree: Tree, language: str) -> Iterator[Change]:
    """The guards that can be taken out of a text."""
    known = guards(language)
    if not known:
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
        for guard in known:
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
    told = {"condition": condition, "body": body, "before": before, "after": after}
    if not after.strip() or not all(pattern.search(told[name]) for name, pattern in guard.asked.items()):
        return False
    if any(not _SETS.search(name) for name in _SET.findall(re.sub(r"[!<>=]=", "", body))):
        return False  # it does something that what follows may need
    names = set(_NAME.findall(condition)) - _COMMON
    harms = guard.asked["after"].finditer(after) if "after" in guard.asked else ()
    near = [after[max(0, harm.start() - _NEAR // 2) : harm.end() + _NEAR] for harm in harms] or [after]
    return any(names & set(_NAME.findall(text)) for text in near)


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
