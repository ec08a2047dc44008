"""What is wrong with contracts by its form alone: results nobody reads, `tx.origin`, packed hashes, old pointers."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final, NamedTuple

from tree_sitter import Node

from buril.scanners._taint.nodes import line_of, text_of
from buril.scanners._taint.solidity_expressions import Called, Expr, called, expression
from buril.scanners._taint.solidity_tree import Contract, Function, Unit, misnamed, walk

Found = tuple[int, str, str]
"""A line, a rule, how sure."""
_DYNAMIC: Final = re.compile(r"^(?:string|bytes)$|\[\]$")
_COMMENT: Final = re.compile(r"//[^\n]*|/\*.*?\*/", re.DOTALL)
_NOBODY: Final = re.compile(r"msg\.sender|_msgSender\(\)|address\(\w*\)|0x?\w*|this")
"""What `tx.origin` is compared with to know whether a contract calls, or nobody does."""
_WHOLE: Final = re.compile(r"0x\w+|\d+(?:e\d+)?|2\*\*\d+|\(.*\)")
_HASHES: Final = frozenset({"keccak256", "sha3", "sha256"})
_OLD_POINTERS: Final = (0, 5)


class _Part(NamedTuple):
    """An expression that stands by itself in a function, and the kind of statement that it stands in."""

    statement: Node
    kind: str
    root: Expr


def forms(unit: Unit) -> Iterator[Found]:
    """What is found in a file."""
    for contract in unit.contracts.values():
        for function in contract.functions:
            if function.body is None:
                continue
            parts = list(_parts(function.body))
            for part in parts:
                yield from _unread(function, part)
                yield from _comparisons(function, part)
                yield from _divisions(part)
                yield from _hashes(function, part)
                yield from _signers(contract, function, part)
                yield from _lengths(unit, contract, function, part)
            yield from _loops(contract, function.body)
            if unit.version < _OLD_POINTERS:
                yield from _pointers(contract, function.body)
        for function in contract.functions:
            if misnamed(unit, contract, function):
                yield function.line, "constructor-name", "high"


def _parts(body: Node) -> Iterator[_Part]:
    pending = [body]
    while pending:
        node = pending.pop()
        for child in node.named_children:
            if child.type in ("expression", "call_argument"):
                yield _Part(node, node.type, expression(child))
            else:
                pending.append(child)


def _plain(node: Node | None) -> str:
    return _COMMENT.sub("", text_of(node))


def _calls(root: Expr) -> Iterator[Called]:
    return (called(node) for node in root.all("call"))


def _above(node: Expr) -> Expr | None:
    """What a node is a part of, brackets apart."""
    found = node.up
    while found is not None and found.kind == "group":
        found = found.up
    return found


def _unread(function: Function, part: _Part) -> Iterator[Found]:
    """Calls of addresses whose result nobody reads."""
    for call in _calls(part.root):
        unsent = call.name in ("value", "gas") and call.owner is not None and call.owner.text.endswith(".call")
        if (
            not (call.low or unsent)
            or _above(call.node) is not None
            or (call.owner is not None and call.owner.text == "super")
        ):
            continue
        if part.kind == "expression_statement":
            yield call.node.line, "unchecked-call", "high"
        elif part.kind == "variable_declaration_statement":
            names = [text_of(item.child_by_field_name("name")) for item in walk(part.statement, "variable_declaration")]
            first = names[0] if names and re.match(r"\s*\(?\s*(?:bool|var)\b", text_of(part.statement)) else ""
            times = len(re.findall(rf"\b{re.escape(first)}\b", _plain(function.body))) if first else 0
            if times == 1 and not _given_back(function, first):
                yield call.node.line, "unchecked-call", "high"


def _given_back(function: Function, name: str) -> bool:
    """Whether a name is one of those that the function gives back."""
    whole = function.body.parent if function.body is not None else None
    told = whole.child_by_field_name("return_type") if whole is not None else None
    return told is not None and re.search(rf"\b{re.escape(name)}\b", text_of(told)) is not None


def _comparisons(function: Function, part: _Part) -> Iterator[Found]:
    """`tx.origin` as who may do something; a balance that must be exact."""
    for node in part.root.all("member"):
        if node.text == "tx.origin" and _decides(node, part) and not _calls_it(function, _other_side(node)[1]):
            yield node.line, "origin-as-caller", "high"
        elif node.text in ("this.balance", "address(this).balance"):
            operator, other = _other_side(node)
            if operator in ("==", "!=") and other != "0" and not re.search(r"(?i)balance|before", other):
                yield node.line, "exact-balance", "medium"


def _other_side(node: Expr) -> tuple[str, str]:
    """The comparison that a node is a side of: the operator and the other side."""
    above = _above(node)
    while above is not None and above.kind == "cast":
        node, above = above, _above(above)
    if above is None or above.kind != "binary":
        return "", ""
    left, right = above.parts
    return above.name, (right if left.bare() is node.bare() else left).text


def _calls_it(function: Function, name: str) -> bool:
    """Whether a name is one for who calls."""
    sender = rf"\b{re.escape(name)}\s*=\s*(?:_msgSender\(\)|msg\.sender)"
    return bool(name) and re.search(sender, _plain(function.body)) is not None


def _decides(node: Expr, part: _Part) -> bool:
    operator, other = _other_side(node)
    if operator:
        return operator in ("==", "!=") and not _NOBODY.fullmatch(other)
    above = _above(node)
    while above is not None and above.kind in ("item", "member", "unary", "cast"):
        if above.kind == "item" and above.parts[0].bare() is not node:
            return _asked(above, part)
        node, above = above, _above(above)
    return False


def _asked(node: Expr, part: _Part) -> bool:
    """Whether a value is itself what is tested."""
    above = _above(node)
    while above is not None and (above.kind == "unary" or (above.kind == "binary" and above.name in ("&&", "||"))):
        above = _above(above)
    if above is None:
        return part.kind in ("if_statement", "return_statement")
    return above.kind == "call" and above.parts[0].text in ("require", "assert")


def _divisions(part: _Part) -> Iterator[Found]:
    """A quotient, which was cut to a whole number, is multiplied."""
    for node in part.root.all("binary"):
        if node.name == "*":
            left, right = node.parts[0].bare(), node.parts[1].text
            divided = left.kind == "binary" and left.name == "/"
            if divided and left.parts[1].text != right and not _WHOLE.fullmatch(right):
                yield node.line, "division-first", "medium"


def _hashes(function: Function, part: _Part) -> Iterator[Found]:
    """Several texts or lists of somebody else's choice, packed without their lengths, are hashed."""
    if not function.open:
        return
    dynamic = {param.name for param in function.params if _DYNAMIC.search(param.type)}
    for call in _calls(part.root):
        above = _above(call.node)
        outer = above.parts[0].text if above is not None and above.kind == "call" else ""
        packed = call.name == "encodePacked" and outer in _HASHES
        loose = call.owner is None and call.name in _HASHES
        if (packed or loose) and sum(arg.text in dynamic for arg in call.args) > 1:
            yield call.node.line, "packed-hash", "medium"


def _signers(contract: Contract, function: Function, part: _Part) -> Iterator[Found]:
    """The signer that `ecrecover` gives is zero for a signature that is none."""
    text = _plain(function.body)
    for call in _calls(part.root):
        if call.owner is not None or call.name != "ecrecover":
            continue
        named = re.search(r"(\w+)\s*=\s*ecrecover\b", text)
        if named is None:
            operator, other = _other_side(call.node)
            zero = rf"\b{re.escape(other)}\s*!=\s*address\(\s*0"
            if operator == "==" and not re.search(r"msg\.sender|_msgSender", other) and not re.search(zero, text):
                yield call.node.line, "signer-zero", "medium"
            continue
        name, zero = re.escape(named[1]), r"(?:address\(\s*0(?:x0+)?\s*\)|0(?:x0+)?\b)"
        asked = re.search(rf"\b{name}\s*[!=]=\s*{zero}|{zero}\s*[!=]=\s*{name}\b|\b{name}\s*>\s*{zero}", text)
        sides = re.findall(rf"\b{name}\s*==\s*([\w.]+)|([\w.]+)\s*==\s*{name}\b", text)
        others = {one or other for one, other in sides} - {"msg.sender"}
        others = {other for other in others if not re.search(rf"\b{re.escape(other)}\s*!=\s*{zero}", text)}
        looked_at = function.open or others & set(contract.variables)
        if not asked and others and looked_at and not _given_back(function, named[1]):
            yield call.node.line, "signer-zero", "medium"


def _loops(contract: Contract, body: Node) -> Iterator[Found]:
    """A loop over a list that others make longer sends ether in every round."""
    for loop in walk(body, "for_statement", "while_statement"):
        names = re.findall(r"\b(\w+)\.length\b", text_of(loop.child_by_field_name("condition")))
        if not any(contract.variables[name].type.endswith("[]") for name in names if name in contract.variables):
            continue
        for part in _parts(loop):
            for call in _calls(part.root):
                sends = call.owner is not None and call.name in ("transfer", "send") and len(call.args) == 1
                if sends or (call.low and call.value is not None):
                    yield call.node.line, "paying-loop", "medium"


def _lengths(unit: Unit, contract: Contract, function: Function, part: _Part) -> Iterator[Found]:
    """A list is made shorter than nothing, or as long as somebody says, and reaches all of storage then."""
    if not function.open or unit.version >= (0, 6) or function.uses:
        return
    text, params = _plain(function.body), {param.name for param in function.params}
    for node in part.root.all("update", "assign", "unary"):
        found = re.fullmatch(r"(\w+)\.length", node.parts[0].text)
        if found is None or found[1] not in contract.variables:
            continue
        right = set(re.findall(r"\w+", node.parts[-1].text)) if node.kind == "assign" else set()
        shorter = node.name in ("--", "-=")
        length = rf"\b{found[1]}\.length"
        asked = re.search(rf"{length}\s*(?:>(?!=)|!=|>=\s*[1-9])|<\s*{length}|{length}\s*==\s*0", text)
        grown = node.kind == "assign" and bool(right & params)
        if ((shorter and not asked) or grown) and "msg.sender ==" not in text:
            yield node.line, "any-storage", "medium"


def _pointers(contract: Contract, body: Node) -> Iterator[Found]:
    """A variable for a structure that is given none points at the first place of storage."""
    for node in walk(body, "variable_declaration_statement"):
        if node.child_by_field_name("value") is not None:
            continue
        for item in walk(node, "variable_declaration"):
            kind = text_of(item.child_by_field_name("type"))
            place = text_of(item.child_by_field_name("location"))
            if place != "memory" and (kind in contract.structs or kind.endswith("[]")):
                yield line_of(node), "loose-pointer", "high"
