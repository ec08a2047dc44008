"""What names stand for in a Go file: packages, types with their zero values, and variables of blocks within blocks."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from tree_sitter import Node

from buril.scanners._taint import ir
from buril.scanners._taint.nodes import line_of, text_of

_NUMBERS = re.compile(r"^(u?int(8|16|32|64|ptr)?|float(32|64)|complex(64|128)|byte|rune|uintptr)$")
_PLAIN_TAG = re.compile(
    r"(?:binding|validate):\\?\"[^\"]*\b(?:alphanum|alpha|numeric|number|uuid\w*|oneof|ipv?[46]?|hexadecimal|boolean)\b"
)
"""A field that its tag allows only harmless text in; who fills it checks that."""
_BEFORE = {
    "generic_type": ("", "type"), "slice_type": ("[]", "element"), "array_type": ("[]", "element"),
    "implicit_length_array_type": ("[]", "element"), "map_type": ("map[]", "value"),
}  # fmt: skip
"""What a type is called that is made of another one, and where that stands."""
_MAX_NESTED = 3


def package_path(address: str) -> str:
    """A package by its address: `net/http` is `net.http`; of those of others the name alone is kept.

    Example:
        `package_path("gopkg.in/yaml.v3")` is `yaml`.
    """
    parts = [part for part in address.split("/") if part and not re.fullmatch(r"v\d+", part)]
    if not parts:
        return "?"
    if "." not in parts[0]:
        return ".".join(parts).replace("-", "_")
    name = re.sub(r"\.v\d+$", "", parts[-1])
    return re.sub(r"^go-|[-.]go$", "", name).replace("-", "_").replace(".", "_")


class Names:
    """The names of one file, while it is read."""

    def __init__(self) -> None:
        self.packages: dict[str, str] = {}
        self.types: dict[str, Node] = {}
        self.results: list[tuple[tuple[str, ...], str, bool]] = []
        """Of each function around: its named results, the type of the only one, whether it gives the key of a token."""
        self._blocks: list[tuple[bool, dict[str, str]]] = []
        self._number = 0
        self.later: list[list[Any]] = []
        """Of each function around: calls that run beside it or at its end."""

    def begin(self, root: Node) -> None:
        """A file begins."""
        for kept in (self.packages, self.types, self.results, self._blocks, self.later):
            kept.clear()
        self._number = 0

    def enter(self, *names: str, function: bool = False) -> None:
        """A block begins, perhaps a function's, with its parameters."""
        self._blocks.append((function, {name: name for name in names}))

    def leave(self) -> None:
        """A block ends."""
        self._blocks.pop()

    def declare(self, name: str) -> str:
        """What a variable that is declared here is called: a name of its own when it hides another of the function."""
        if name == "_" or not self._blocks:
            return name
        function, here = self._blocks[-1]
        if name not in here:
            hides = False
            for is_function, block in reversed([] if function else self._blocks[:-1]):
                hides = hides or name in block
                if is_function:
                    break
            self._number += hides
            here[name] = f"{name}@{self._number}" if hides else name
        return here[name]

    def find(self, name: str) -> str:
        """What a name is called here."""
        return next((block[name] for _function, block in reversed(self._blocks) if name in block), name)

    def is_outside(self, name: str) -> bool:
        """Whether a variable belongs to a function around the one that is read, or to the package."""
        inside = True
        for function, block in reversed(self._blocks):
            if name in block:
                return not inside
            inside = inside and not function
        return bool(self._blocks) and name != "_"

    def type_of(self, node: Node | None) -> str:
        """A type as a path: `*http.Request` is `net.http.Request`, `[]T` begins with brackets."""
        if node is None:
            return ""
        if node.type in ("pointer_type", "parenthesized_type") and node.named_children:
            return self.type_of(node.named_children[-1])
        if node.type == "qualified_type":
            package = text_of(node.child_by_field_name("package"))
            return f"{self.packages.get(package, package)}.{text_of(node.child_by_field_name('name'))}"
        if node.type in _BEFORE:
            before, inner = _BEFORE[node.type]
            return before + self.type_of(node.child_by_field_name(inner))
        return text_of(node) if node.type == "type_identifier" else node.type.removesuffix("nel_type")

    def under(self, node: Node | None) -> Node | None:
        """The type that one of this file was made of."""
        for _step in range(4):
            if node is None or node.type not in ("type_identifier", "generic_type", "pointer_type"):
                return node
            if node.type == "pointer_type":
                node = node.named_children[-1] if node.named_children else None
                continue
            name = self.type_of(node)
            if name not in self.types:
                return node
            node = self.types[name]
        return node

    def is_struct(self, name: str) -> bool:
        """Whether a type of this file has fields."""
        found = self.under(self.types.get(name))
        return found is not None and found.type == "struct_type"

    def fields(self, struct: Node | None) -> Iterator[tuple[str, Node | None, str]]:
        """The fields of a struct: name, type, and what its tag says; one without a name is called as its type."""
        inside = next((child for child in struct.named_children if child.type == "field_declaration_list"), None) \
            if struct is not None else None  # fmt: skip
        for child in inside.named_children if inside is not None else ():
            if child.type != "field_declaration":
                continue
            kind, tag = child.child_by_field_name("type"), text_of(child.child_by_field_name("tag"))
            names = child.children_by_field_name("name")
            for name in names:
                yield text_of(name), kind, tag
            if not names:
                yield self.type_of(kind).rpartition(".")[2], kind, tag

    def zero(self, node: Node | None, tag: str = "", depth: int = _MAX_NESTED) -> Any:
        """What a variable of a type holds before anything is put there."""
        line = line_of(node) if node is not None else 0
        kind = self.type_of(node)
        if _NUMBERS.match(kind) or _PLAIN_TAG.search(tag):
            return ir.Const(line, 0)
        if kind in ("string", "bool", "error", "any"):
            return ir.Const(line, {"string": "", "bool": False}.get(kind))
        if self.is_struct(kind):
            return ir.Make(line, "dict", (), kind)
        if "." in kind and not kind.startswith(("[", "map")):
            return ir.Make(line, "dict", (), kind) if node is not None and node.type != "pointer_type" \
                else ir.Name(line, kind)  # fmt: skip
        return self._zero_of_many(node, self.under(node), depth)

    def _zero_of_many(self, node: Node | None, real: Node | None, depth: int) -> Any:
        """Of containers, and of types of this file that are called something else."""
        line = line_of(node) if node is not None else 0
        if real is None or not depth:
            return ir.Other(line, ())
        if real is not node and real.type not in ("struct_type", "map_type", "slice_type"):
            return self.zero(real, depth=depth - 1)
        bytes_of = real.type == "array_type" and self.type_of(real) in ("[]byte", "[]uint8")
        if bytes_of or real.type == "channel_type":
            return ir.Call(line, ir.Name(line, "@zeros" if bytes_of else "@chan"), ())
        if real.type in ("slice_type", "array_type", "struct_type", "map_type"):
            items: tuple[Any, ...] = ()
            if real.type == "struct_type":
                items = tuple(
                    (ir.Const(line, name), self.zero(of, tag, depth - 1)) for name, of, tag in self.fields(real)
                )
            elif real.type == "map_type":
                items = ((ir.Name(line, "@any"), self.zero(real.child_by_field_name("value"), depth=depth - 1)),)
            return ir.Make(line, "dict" if items or real.type in ("struct_type", "map_type") else "list", items)
        return ir.Const(line, None) if real.type == "interface_type" else ir.Other(line, ())
