"""Methods of Java's library for which the engine has a form of its own: comparisons, patterns, parts of a text."""

from __future__ import annotations

from typing import Any, Final

from tree_sitter import Node

from buril.scanners._taint import ir
from buril.scanners._taint.java_calls import Calls, Method
from buril.scanners._taint.nodes import line_of, text_of

_ASKED: Final = {"matches": "fullmatch", "find": "search", "lookingAt": "match"}


def _contains(calls: Calls, node: Node, target: Node, nodes: list[Node]) -> Any:
    if len(nodes) != 1:
        return None
    return ir.Compare(line_of(node), "in", calls.expression(nodes[0]), calls.expression(target))


def _ends(calls: Calls, node: Node, target: Node, nodes: list[Node]) -> Any:
    """`name.endsWith(".png")` asks for the extension."""
    line = line_of(node)
    if len(nodes) != 1 or not calls.text(nodes[0]).startswith("."):
        return None
    asked = ir.Attr(line, calls.expression(target), "extension")
    return ir.Compare(line, "in", asked, ir.Make(line, "list", ((None, calls.expression(nodes[0])),)))


def _pattern(calls: Calls, node: Node, target: Node, nodes: list[Node]) -> Any:
    """`text.matches(pattern)`, or a matcher that was made before."""
    line = line_of(node)
    if len(nodes) == 1 and text_of(node.child_by_field_name("name")) == "matches":
        known = nodes[0].type == "string_literal" or calls.text(nodes[0]) != text_of(nodes[0])
        if not known and calls.kind_of(text_of(target)) != "String":
            return None  # a matcher of requests, say
        args = (calls.expression(nodes[0]), calls.expression(target))
        return calls.made(node, ir.Name(line, "re.fullmatch"), args)
    found: tuple[Node, Node] | None = None
    if target.type == "method_invocation" and text_of(target.child_by_field_name("name")) == "matcher":
        found = matcher(target)
    elif target.type == "identifier":
        found = calls.matching.get(text_of(target))
    if nodes or found is None:
        return None
    name = _ASKED[text_of(node.child_by_field_name("name"))]
    return calls.made(node, ir.Attr(line, calls.expression(found[0]), name), (calls.expression(found[1]),))


def matcher(node: Node) -> tuple[Node, Node] | None:
    """The pattern and the text of `pattern.matcher(text)`."""
    if node.type != "method_invocation" or text_of(node.child_by_field_name("name")) != "matcher":
        return None
    pattern, inside = node.child_by_field_name("object"), node.child_by_field_name("arguments")
    if pattern is None or inside is None or len(inside.named_children) != 1:
        return None
    return pattern, inside.named_children[0]


def _replaced(calls: Calls, node: Node, target: Node, nodes: list[Node]) -> Any:
    """`text.replaceAll(pattern, new)`."""
    if len(nodes) != 2:
        return None
    line = line_of(node)
    pattern = calls.made(node, ir.Name(line, "re.compile"), (calls.expression(nodes[0]),))
    func = ir.Attr(line, calls.expression(target), "replace")
    return calls.made(node, func, (pattern, calls.expression(nodes[1])))


def _part(calls: Calls, node: Node, target: Node, nodes: list[Node]) -> Any:
    line = line_of(node)
    return ir.Item(line, calls.expression(target), ir.Other(line, tuple(calls.expression(child) for child in nodes)))


def _char(calls: Calls, node: Node, target: Node, nodes: list[Node]) -> Any:
    if len(nodes) != 1:
        return None
    return ir.Item(line_of(node), calls.expression(target), calls.expression(nodes[0]))


def _length(calls: Calls, node: Node, target: Node, nodes: list[Node]) -> Any:
    if nodes:
        return None
    return calls.made(node, ir.Name(line_of(node), "len"), (calls.expression(target),))


def _added(calls: Calls, node: Node, target: Node, nodes: list[Node]) -> Any:
    if len(nodes) != 2 or not calls.kind_of(text_of(target)).endswith(("List", "Vector")):
        return None
    return calls.plain(node, ir.Attr(line_of(node), calls.expression(target), "insert"), nodes)


def _put(calls: Calls, node: Node, target: Node, nodes: list[Node]) -> Any:
    name = "set" if len(nodes) == 2 else "put"
    return calls.plain(node, ir.Attr(line_of(node), calls.expression(target), name), nodes)


def _held(calls: Calls, node: Node, target: Node, nodes: list[Node]) -> Any:
    """`reference.set(x)`."""
    if len(nodes) != 1 or not calls.kind_of(text_of(target)).startswith(("Atomic", "ThreadLocal")):
        return None
    return calls.plain(node, ir.Attr(line_of(node), calls.expression(target), "add"), nodes)


def _default(calls: Calls, node: Node, target: Node, nodes: list[Node]) -> Any:
    """A setting with what it is when it is missing."""
    if len(nodes) != 2 or nodes[1].type != "string_literal":
        return None
    line = line_of(node)
    made = calls.plain(node, ir.Attr(line, calls.expression(target), "get"), nodes)
    return ir.Typed(line, made, f"@default.{calls.text(nodes[1])}")


def _entry(place: int) -> Method:
    def read(calls: Calls, node: Node, target: Node, nodes: list[Node]) -> Any:
        if nodes or calls.kind_of(text_of(target)) != "Entry":
            return None
        return ir.Item(line_of(node), calls.expression(target), ir.Const(line_of(node), place))

    return read


def _member(name: str) -> Method:
    def read(calls: Calls, node: Node, target: Node, nodes: list[Node]) -> Any:
        return ir.Attr(line_of(node), calls.expression(target), name) if not nodes else None

    return read


def _joined(calls: Calls, node: Node, target: Node, nodes: list[Node]) -> Any:
    """`path.resolve(name)` puts a slash between."""
    if len(nodes) != 1:
        return None
    line = line_of(node)
    parts = (calls.expression(target), ir.Const(line, "/"), calls.expression(nodes[0]))
    return ir.Typed(line, ir.Text(line, parts), "Path")


def _concat(calls: Calls, node: Node, target: Node, nodes: list[Node]) -> Any:
    if len(nodes) != 1:
        return None
    return ir.Op(line_of(node), "+", calls.expression(target), calls.expression(nodes[0]))


def _formatted(calls: Calls, node: Node, target: Node, nodes: list[Node]) -> Any:
    return calls.formatted(node, [target, *nodes])


def _collected(calls: Calls, node: Node, target: Node, nodes: list[Node]) -> Any:
    """What a stream is put into: text, or a container of what it has."""
    line, what = line_of(node), text_of(nodes[0]) if nodes else ""
    if "joining(" not in what:
        return calls.expression(target)
    inside = nodes[0].child_by_field_name("arguments")
    first = inside.named_children[0] if inside is not None and inside.named_children else None
    sign = calls.expression(first) if first is not None else ir.Const(line, "")
    return calls.made(node, ir.Attr(line, sign, "join"), (calls.expression(target),))


def _any(negative: str) -> Method:
    """`allowed.stream().anyMatch(text::equals)` asks whether it is one of them."""

    def read(calls: Calls, node: Node, target: Node, nodes: list[Node]) -> Any:
        asked = _equal_to(nodes[0]) if len(nodes) == 1 else None
        if asked is None:
            return None
        return ir.Compare(line_of(node), negative + "in", calls.expression(asked), calls.expression(target))

    return read


def _equal_to(node: Node) -> Node | None:
    """What each is compared with, in `text::equals` and in `each -> each.equals(text)`."""
    if node.type == "method_reference" and text_of(node.named_children[-1]) in ("equals", "equalsIgnoreCase"):
        return node.named_children[0]
    body, param = node.child_by_field_name("body"), text_of(node.child_by_field_name("parameters")).strip("() ")
    if body is None or body.type != "method_invocation" or not param.isidentifier():
        return None
    inside, owner = body.child_by_field_name("arguments"), body.child_by_field_name("object")
    name = text_of(body.child_by_field_name("name"))
    if name not in ("equals", "equalsIgnoreCase") or inside is None or owner is None or not inside.named_children:
        return None
    return inside.named_children[0] if text_of(owner) == param else owner if text_of(inside)[1:-1] == param else None


def _command(calls: Calls, node: Node, target: Node, nodes: list[Node]) -> Any:
    """`exec` of words is not one of a text; so it is with `command` of a `ProcessBuilder`."""
    words = len(nodes) > 0 and is_words(calls, nodes[0])
    line, name = line_of(node), text_of(node.child_by_field_name("name"))
    args = tuple(calls.expression(child) for child in nodes)
    if name == "command" and nodes and not words:
        args = (ir.Make(line, "list", tuple((None, item) for item in args)),)
    elif name == "exec" and words:
        name = "exec@words"
    return calls.made(node, ir.Attr(line, calls.expression(target), name), args)


def is_words(calls: Calls, node: Node) -> bool:
    """Whether an expression is a list of words by its form or the type of its variable."""
    if node.type in ("array_creation_expression", "array_initializer"):
        return True
    if node.type == "method_invocation":
        return bool(calls.is_class(node.child_by_field_name("object"))) and text_of(
            node.child_by_field_name("name")
        ) in ("asList", "of")
    kind = calls.kind_of(text_of(node).removeprefix("this."))
    return kind.endswith("[]") or kind.endswith("List") or kind == "Collection"


METHODS: Final[dict[str, Method]] = {
    "contains": _contains, "containsKey": _contains, "endsWith": _ends, "matches": _pattern, "find": _pattern,
    "lookingAt": _pattern, "replaceAll": _replaced, "substring": _part, "charAt": _char, "length": _length,
    "size": _length, "add": _added, "put": _put, "set": _held, "getProperty": _default, "getKey": _entry(0),
    "getValue": _entry(1), "getHost": _member("host"), "resolve": _joined, "concat": _concat,
    "formatted": _formatted, "collect": _collected, "anyMatch": _any(""), "noneMatch": _any("not "),
    "exec": _command, "command": _command,
}  # fmt: skip
