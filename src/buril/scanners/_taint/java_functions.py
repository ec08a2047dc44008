"""Functions of Java's library for which the engine has a form of its own: formats, lists written out, addresses."""

from __future__ import annotations

from typing import Any, Final

from tree_sitter import Node

from buril.scanners._taint import ir
from buril.scanners._taint.java_calls import Calls, Static
from buril.scanners._taint.nodes import line_of, text_of


def _function(name: str, place: int = 0) -> Static:
    """A function of the library that the engine knows by another name, with one of its arguments."""

    def read(calls: Calls, node: Node, nodes: list[Node]) -> Any:
        if len(nodes) <= place:
            return None
        return calls.made(node, ir.Name(line_of(node), name), (calls.expression(nodes[place]),))

    return read


def _same(calls: Calls, _node: Node, nodes: list[Node]) -> Any:
    return calls.expression(nodes[0]) if nodes else None


def _compared(calls: Calls, node: Node, nodes: list[Node]) -> Any:
    if len(nodes) != 2:
        return None
    return ir.Compare(line_of(node), "==", *(calls.expression(child) for child in nodes))


def _list_of(calls: Calls, node: Node, nodes: list[Node]) -> Any:
    return ir.Make(line_of(node), "list", tuple((None, calls.expression(child)) for child in nodes))


def _pieces(calls: Calls, node: Node, nodes: list[Node]) -> Any:
    return ir.Text(line_of(node), tuple(calls.expression(child) for child in nodes))


def _map_of(calls: Calls, node: Node, nodes: list[Node]) -> Any:
    values = [calls.expression(child) for child in nodes]
    return ir.Make(line_of(node), "dict", tuple(zip(values[::2], values[1::2], strict=False)))


def _join(calls: Calls, node: Node, nodes: list[Node]) -> Any:
    if len(nodes) < 2:
        return None
    line, args = line_of(node), [calls.expression(child) for child in nodes]
    what = args[1] if len(args) == 2 else ir.Make(line, "list", tuple((None, item) for item in args[1:]))
    return calls.made(node, ir.Attr(line, args[0], "join"), (what,))


def _path(calls: Calls, node: Node, nodes: list[Node]) -> Any:
    if len(nodes) < 2:
        return None
    line = line_of(node)
    parts: list[Any] = []
    for child in nodes:
        parts += [ir.Const(line, "/"), calls.expression(child)]
    return ir.Typed(line, ir.Text(line, tuple(parts[1:])), "Path")


def _address(kind: str) -> Static:
    def read(calls: Calls, node: Node, nodes: list[Node]) -> Any:
        return ir.Typed(line_of(node), calls.expression(nodes[0]), kind) if len(nodes) == 1 else None

    return read


def _arraycopy(calls: Calls, node: Node, nodes: list[Node]) -> Any:
    if len(nodes) != 5 or nodes[2].type != "identifier":
        return None
    line, target = line_of(node), calls.variable(nodes[2])
    return ir.Bind(line, target, ir.Other(line, (target, calls.expression(nodes[0]))))


def _keyed(calls: Calls, node: Node, nodes: list[Node]) -> Any:
    """A generator of keys is one of its algorithm."""
    said = calls.text(nodes[0]) if nodes else ""
    if not said.isalnum():
        return None
    line = line_of(node)
    kind = text_of(node.child_by_field_name("object")).rpartition(".")[2]
    made = calls.plain(node, ir.Attr(line, ir.Name(line, kind), "getInstance"), nodes)
    return ir.Typed(line, made, f"{kind}.{said.upper()}")


def _predicate(calls: Calls, node: Node, nodes: list[Node]) -> Any:
    if not nodes:
        return None
    return calls.made(node, ir.Attr(line_of(node), calls.expression(nodes[0]), "isdigit"), ())


def _matches(calls: Calls, node: Node, nodes: list[Node]) -> Any:
    if len(nodes) != 2:
        return None
    args = tuple(calls.expression(child) for child in nodes)
    return calls.made(node, ir.Name(line_of(node), "re.fullmatch"), args)


def _extension(calls: Calls, node: Node, nodes: list[Node]) -> Any:
    return ir.Attr(line_of(node), calls.expression(nodes[0]), "extension") if nodes else None


FUNCTIONS: Final[dict[str, Static]] = {
    "String.format": Calls.formatted, "String.join": _join, "MessageFormat.format": _pieces,
    "Paths.get": _path, "Path.of": _path, "URI.create": _address("URI"), "URL.of": _address("URL"),
    "HttpUrl.parse": _address("URL"), "HttpUrl.get": _address("URL"), "System.arraycopy": _arraycopy,
    "KeyPairGenerator.getInstance": _keyed, "KeyGenerator.getInstance": _keyed, "Pattern.matches": _matches,
    "Pattern.compile": _function("re.compile"), "FilenameUtils.getExtension": _extension,
    "Files.getFileExtension": _extension, "StringUtils.getFilenameExtension": _extension,
    **dict.fromkeys(("Objects.equals", "StringUtils.equals", "StringUtils.equalsIgnoreCase", "Objects.deepEquals",
                     "ObjectUtils.nullSafeEquals"), _compared),
    **dict.fromkeys(("String.valueOf", "Objects.toString", "String.copyValueOf", "Integer.toString", "Long.toString"),
                    _function("str")),
    **dict.fromkeys(("Objects.requireNonNull", "Preconditions.checkNotNull", "Collections.unmodifiableList",
                     "Collections.unmodifiableSet", "Collections.unmodifiableMap", "Collections.synchronizedList",
                     "Collections.synchronizedMap", "List.copyOf", "Set.copyOf", "Map.copyOf", "Arrays.stream",
                     "Arrays.copyOf", "Optional.of", "Optional.ofNullable"), _same),
    **dict.fromkeys(("Arrays.asList", "List.of", "Set.of", "Collections.singletonList", "Collections.singleton",
                     "ImmutableList.of", "ImmutableSet.of", "Stream.of", "Lists.newArrayList", "Sets.newHashSet",
                     "EnumSet.of", "Collections.emptyList", "Collections.emptySet"), _list_of),
    **dict.fromkeys(("Map.of", "ImmutableMap.of", "Collections.singletonMap", "Collections.emptyMap"), _map_of),
    **dict.fromkeys(("StringUtils.isNumeric", "StringUtils.isAlphanumeric", "StringUtils.isAlpha",
                     "NumberUtils.isDigits", "NumberUtils.isCreatable", "NumberUtils.isParsable",
                     "StringUtils.isAlphanumericSpace"), _predicate),
}  # fmt: skip
"""Functions of the library that the engine has a form for. Methods stand in `java_methods.py`."""
