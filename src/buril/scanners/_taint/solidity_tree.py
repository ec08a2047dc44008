"""What a file of Solidity declares: contracts with their variables, functions, modifiers and bases.

Trees are tree-sitter's. A contract sees what its bases declare in the same file; a base from elsewhere is `unknown`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from difflib import SequenceMatcher
from typing import Final, NamedTuple

from tree_sitter import Node, Tree

from buril.scanners._taint.nodes import line_of, text_of

_FUNCTIONS: Final = {
    "function_definition": "function", "constructor_definition": "constructor", "modifier_definition": "modifier",
    "fallback_receive_definition": "fallback",
}  # fmt: skip
_WRAPPERS: Final = frozenset({"expression", "parenthesized_expression", "call_argument", "statement"})
_NEWEST: Final = (0, 8)
_NAMED: Final = (0, 5)
_ALIKE: Final = 0.8
"""Names that are less alike than this are not the same name misspelt."""


class Variable(NamedTuple):
    """A variable of a contract, a parameter, or one of a function; `place` is `memory`, `storage`, `calldata` or ""."""

    name: str
    type: str
    line: int
    fixed: bool = False
    place: str = ""
    value: Node | None = None


class Function(NamedTuple):
    """A function, constructor, modifier or fallback. `uses` are its modifiers with their arguments."""

    name: str
    kind: str
    contract: str
    line: int
    params: tuple[Variable, ...]
    visibility: str
    mutability: str
    uses: tuple[tuple[str, tuple[Node, ...]], ...]
    body: Node | None
    returns: tuple[Variable, ...] = ()

    @property
    def open(self) -> bool:
        """Whether anybody may call it."""
        return self.kind in ("function", "fallback") and self.visibility in ("", "public", "external")


class Contract(NamedTuple):
    """A contract, library or interface; `bases` by name, most basic first."""

    name: str
    kind: str
    line: int
    bases: tuple[str, ...]
    variables: dict[str, Variable]
    functions: tuple[Function, ...]
    structs: frozenset[str]
    using: frozenset[str]


class Unit(NamedTuple):
    """A file: its contracts by name, and the oldest version of the compiler that it is written for."""

    contracts: dict[str, Contract]
    version: tuple[int, int]

    def family(self, contract: Contract) -> list[Contract]:
        """A contract and its bases of this file, the most derived first."""
        found: list[Contract] = []
        pending = [contract.name]
        while pending:
            name = pending.pop(0)
            known = self.contracts.get(name)
            if known is not None and known not in found:
                found.append(known)
                pending += reversed(known.bases)
        return found

    def unknown(self, contract: Contract) -> bool:
        """Whether a contract has a base that is not in this file."""
        return any(base not in self.contracts for known in self.family(contract) for base in known.bases)


def inner(node: Node) -> Node:
    """A node without the wrappers that mean nothing."""
    while node.type in _WRAPPERS and len(node.named_children) == 1:
        node = node.named_children[0]
    return node


def walk(node: Node, *kinds: str) -> Iterator[Node]:
    """All nodes of some kinds, in the order of the text."""
    pending = [node]
    while pending:
        found = pending.pop()
        if found.type in kinds:
            yield found
        pending += reversed(found.named_children)


def misnamed(unit: Unit, contract: Contract, function: Function) -> bool:
    """Whether a function was meant for a constructor.

    Before 0.5 a constructor was called like its contract: one that is not is a function that anybody may call.
    """
    if unit.version >= _NAMED or contract.kind != "contract" or function.body is None or function.uses:
        return False
    if (
        function.kind != "function"
        or not function.open
        or any(item.kind == "constructor" for item in contract.functions)
    ):
        return False
    alike = SequenceMatcher(None, function.name.lower(), contract.name.lower()).ratio() >= _ALIKE
    capital = function.name[:1].isupper() and function.name not in contract.structs
    return (alike or capital) and re.search(r"\b\w+\s*=\s*msg\.sender\s*;", text_of(function.body)) is not None


def unit(tree: Tree) -> Unit:
    """What a file declares."""
    contracts: dict[str, Contract] = {}
    for node in tree.root_node.named_children:
        if node.type in ("contract_declaration", "library_declaration", "interface_declaration"):
            made = _contract(node)
            contracts[made.name] = made
    if not contracts:
        part = _fragment(tree.root_node)
        contracts = {part.name: part} if part.functions else {}
    return Unit(contracts, _version(tree.root_node))


def _fragment(root: Node) -> Contract:
    """Functions without their contract: those that say that anybody may call them are taken for its own."""
    made = [_function(node, "") for node in walk(root, *_FUNCTIONS)]
    named = [item._replace(visibility=item.visibility or "internal") for item in made]
    variables = [_variable(node) for node in walk(root, "state_variable_declaration")]
    structs = frozenset(text_of(node.child_by_field_name("name")) for node in walk(root, "struct_declaration"))
    known = {item.name: item for item in variables}
    return Contract("", "contract", 1, ("?",), known, tuple(named), structs, frozenset())


def _version(root: Node) -> tuple[int, int]:
    for node in root.named_children:
        if node.type == "pragma_directive":
            found = re.search(r"(?<!<)(?<!<=)(?:^|[\s^>=~])v?(\d+)\.(\d+)", text_of(node))
            if found and "solidity" in text_of(node):
                return int(found[1]), int(found[2])
    return _NEWEST


def _contract(node: Node) -> Contract:
    name = text_of(node.child_by_field_name("name"))
    body = node.child_by_field_name("body")
    inside = body.named_children if body is not None else []
    bases = tuple(
        text_of(child.child_by_field_name("ancestor")).rpartition(".")[2]
        for child in node.named_children
        if child.type == "inheritance_specifier"
    )
    functions = [_function(child, name) for child in inside if child.type in _FUNCTIONS]
    variables = [_variable(child) for child in inside if child.type == "state_variable_declaration"]
    return Contract(
        name, node.type.partition("_")[0], line_of(node), bases, {item.name: item for item in variables},
        tuple(functions),
        frozenset(text_of(child.child_by_field_name("name")) for child in inside if child.type == "struct_declaration"),
        frozenset(text_of(child) for child in inside if child.type == "using_directive"),
    )  # fmt: skip


def _variable(node: Node) -> Variable:
    words = {child.type for child in node.children} | {text_of(child) for child in node.children}
    return Variable(
        text_of(node.child_by_field_name("name")), text_of(node.child_by_field_name("type")), line_of(node),
        bool(words & {"constant", "immutable"}), text_of(node.child_by_field_name("location")),
        node.child_by_field_name("value"),
    )  # fmt: skip


def _function(node: Node, contract: str) -> Function:
    kind = _FUNCTIONS[node.type]
    name = text_of(node.child_by_field_name("name")) or kind
    uses: list[tuple[str, tuple[Node, ...]]] = []
    visibility = mutability = ""
    for child in node.named_children:
        if child.type == "visibility":
            visibility = text_of(child)
        elif child.type == "state_mutability":
            mutability = text_of(child)
        elif child.type == "modifier_invocation":
            args = tuple(item for item in child.named_children if item.type == "call_argument")
            uses.append((text_of(child.named_children[0]).rpartition(".")[2], args))
    params = tuple(_variable(child) for child in node.named_children if child.type == "parameter")
    told = node.child_by_field_name("return_type")
    returns = (
        [_variable(child) for child in told.named_children if child.type == "parameter"] if told is not None else []
    )
    if kind == "function" and name == contract:  # before 0.5
        kind = "constructor"
    return Function(
        name, kind, contract, line_of(node), params, visibility, mutability, tuple(uses),
        node.child_by_field_name("body"), tuple(item for item in returns if item.name),
    )  # fmt: skip
