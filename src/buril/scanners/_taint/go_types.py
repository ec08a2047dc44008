"""The packages that a Go file imports and the types that it declares, in the form of `ir.py`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tree_sitter import Node

from buril.scanners._taint import ir
from buril.scanners._taint.go_expressions import function, names, params_of
from buril.scanners._taint.go_names import package_path
from buril.scanners._taint.nodes import line_of, text_of


def imported(node: Node) -> Iterator[ir.Import]:
    """Packages, by the name that they have in the file."""
    inside = next((child for child in node.named_children if child.type == "import_spec_list"), node)
    found = []
    for child in inside.named_children:
        if child.type != "import_spec":
            continue
        path = package_path(text_of(child.child_by_field_name("path")).strip('"`'))
        name = text_of(child.child_by_field_name("name")) or path.rpartition(".")[2]
        if name not in ("_", "."):
            found.append((name, path))
    if found:
        yield ir.Import(line_of(node), tuple(found))


def declared(node: Node) -> list[str]:
    """Remember the types that are declared."""
    found = []
    for child in node.named_children if node.type == "type_declaration" else ():
        kind, name = child.child_by_field_name("type"), text_of(child.child_by_field_name("name"))
        if kind is not None and name:
            names.types[name] = kind
            found.append(name)
    return found


def by_need(found: list[str]) -> list[str]:
    """Types after those that they have fields of."""
    made: list[str] = []

    def add(name: str, above: tuple[str, ...]) -> None:
        if name in made or name in above or name not in found:
            return
        if names.is_struct(name):
            for _field, kind, _tag in names.fields(names.under(names.types[name])):
                add(names.type_of(kind).replace("[]", "").replace("map", ""), (*above, name))
        made.append(name)

    for name in found:
        add(name, ())
    return made


def _unknown(zero: Any) -> Any:
    """What a field of a type may hold: a number, a text, anything."""
    if isinstance(zero, ir.Call):
        return ir.Other(zero.line, ())
    if not isinstance(zero, ir.Const):
        return zero
    number = isinstance(zero.value, (bool, int))
    return (
        ir.Name(zero.line, "@numeric") if number else ir.Name(zero.line, "@anything" if zero.value is None else "@text")
    )


def class_of(name: str, methods: list[Node]) -> ir.Class | None:
    """A type with its fields and methods, wherever they stand."""
    kind = names.types.get(name)
    if not methods and not names.is_struct(name):
        return None
    struct = names.under(kind) if names.is_struct(name) else None
    line = line_of(kind) if kind is not None else line_of(methods[0])
    body: list[Any] = []
    bases = []
    for field, of, tag in names.fields(struct):
        body.append(ir.Assign(line, (ir.Name(line, field),), _unknown(names.zero(of, tag)), names.type_of(of)))
        if names.type_of(of).rpartition(".")[2] == field:
            bases.append(ir.Name(line, names.type_of(of)))
    for node in methods:
        receiver = params_of(node.child_by_field_name("receiver"))
        body.append(function(node, text_of(node.child_by_field_name("name")), receiver[:1]))
    return ir.Class(line, name, tuple(bases), tuple(body))
