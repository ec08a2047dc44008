"""Expressions of Java in the form of `ir.py`; calls are read by `java_calls.py`, statements by `lower_java.py`."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, ClassVar, Final

from tree_sitter import Node

from buril.scanners._taint import ir
from buril.scanners._taint.java_calls import Calls
from buril.scanners._taint.java_functions import FUNCTIONS
from buril.scanners._taint.java_methods import METHODS, is_words
from buril.scanners._taint.java_names import BUILDERS, KEEPS, PLAIN, named, simple
from buril.scanners._taint.java_text import put_together, unescaped
from buril.scanners._taint.nodes import line_of, text_of

SKIPPED: Final = frozenset({
    "line_comment", "block_comment", "ERROR", "modifiers", "type_arguments", "type_parameters", "dimensions",
    "type_identifier", "integral_type", "floating_point_type", "boolean_type", "generic_type", "array_type",
    "scoped_type_identifier", "void_type", "marker_annotation",
})  # fmt: skip
_LISTS_WORDS: Final = (
    "ArrayList LinkedList Vector HashSet LinkedHashSet TreeSet ArrayDeque Stack CopyOnWriteArrayList PriorityQueue "
    "ConcurrentLinkedQueue LinkedBlockingQueue"
)
_LISTS: Final = frozenset(_LISTS_WORDS.split())
_MAPS_WORDS: Final = "HashMap LinkedHashMap TreeMap ConcurrentHashMap Hashtable Properties WeakHashMap IdentityHashMap"
_MAPS: Final = frozenset(_MAPS_WORDS.split())
_ADDRESSES: Final = {"URL": "URL", "URI": "URI", "UrlResource": "UrlResource"}
_NOT_FOUND: Final = {"!=": "in", ">": "in", ">=": "in", "==": "not in", "<": "not in"}
_COMPARISONS: Final = frozenset(["==", "!=", "<", "<=", ">", ">="])


class Expressions(Calls):
    """Reads expressions. `Lower` is built on it."""

    functions: ClassVar = FUNCTIONS
    methods: ClassVar = METHODS
    body_of: Callable[[Node | None], tuple[Any, ...]]
    class_of: Callable[[Node, str], list[Any]]
    chosen: Callable[[Node], Any]
    params_of: Callable[[Node | None], tuple[tuple[ir.Param, ...], tuple[Any, ...]]]

    def expression(self, node: Node) -> Any:
        """An expression."""
        known = self._EXPRESSIONS.get(node.type)
        return known(self, node) if known is not None else self.whole(node)

    def whole(self, node: Node) -> Any:
        """Anything without a form of its own."""
        parts = tuple(self.expression(child) for child in node.named_children if child.type not in SKIPPED)
        return parts[0] if len(parts) == 1 else ir.Other(line_of(node), parts)

    def at(self, node: Node, name: str) -> Any:
        """The expression at a field; None where there is none."""
        child = node.child_by_field_name(name)
        return self.expression(child) if child is not None else None

    def typed(self, kind: str, value: Any, line: int) -> Any:
        """A value that goes into something of a type: where its type says what its methods do, it is known by it."""
        kind = named(kind)
        if kind in PLAIN or kind.endswith("[]") or len(kind) < 2 or isinstance(value, (ir.Function, ir.Make)):
            return value
        if isinstance(value, ir.Typed) and value.sure:
            return value
        return ir.Typed(line, value, kind, kind not in KEEPS)

    # --- constants

    def _string(self, node: Node) -> Any:
        text = text_of(node)
        plain = text[3:-3].lstrip("\n\r \t") if text.startswith('"""') else text[1:-1]
        return ir.Const(line_of(node), unescaped(plain))

    def _number(self, node: Node) -> Any:
        text = text_of(node).replace("_", "")
        try:
            if node.type.endswith("floating_point_literal"):
                return ir.Const(line_of(node), float(text.rstrip("fFdD")))
            text = text.rstrip("lL")
            octal = re.fullmatch(r"0[0-7]+", text)
            return ir.Const(line_of(node), int(text, 8) if octal else int(text, 0))
        except ValueError:
            return ir.Other(line_of(node), ())

    # --- operators

    def _binary(self, node: Node) -> Any:
        operator, line = text_of(node.child_by_field_name("operator")), line_of(node)
        if operator == "+":
            return self._added(node)
        left, right = node.child_by_field_name("left"), node.child_by_field_name("right")
        if left is None or right is None:
            return self.whole(node)
        if operator in _NOT_FOUND and text_of(right) in ("-1", "0") and left.type == "method_invocation":
            found = self._found(left, operator, text_of(right))
            if found is not None:
                return found
        one, other = self.expression(left), self.expression(right)
        if operator in _COMPARISONS:
            return ir.Compare(line, operator, one, other)
        if operator in ("&&", "||"):
            return ir.Logic(line, "and" if operator == "&&" else "or", one, other)
        return ir.Op(line, "//" if operator == "/" else operator, one, other)

    def _found(self, call: Node, operator: str, number: str) -> Any:
        """`text.indexOf(x) != -1` asks whether it is in it."""
        inside, target = call.child_by_field_name("arguments"), call.child_by_field_name("object")
        asks = text_of(call.child_by_field_name("name")) in ("indexOf", "lastIndexOf") and target is not None
        if not asks or inside is None or len(inside.named_children) != 1:
            return None
        if number == "0" and operator not in (">=", "<") or number == "-1" and operator in (">=", "<"):
            return None
        return ir.Compare(line_of(call), _NOT_FOUND[operator], self.expression(inside.named_children[0]),
                          self.expression(target) if target is not None else None)  # fmt: skip

    def _added(self, node: Node) -> Any:
        """A long sum is as deep as it is long: read from its end."""
        operands: list[Node] = []
        first: Node | None = node
        while first is not None and first.type == "binary_expression" and _operator(first) == "+":
            right = first.child_by_field_name("right")
            if right is not None:
                operands.append(right)
            first = first.child_by_field_name("left")
        if first is not None:
            operands.append(first)
        operands.reverse()
        values = [self.expression(child) for child in operands]
        line = line_of(node)
        if any(isinstance(item, ir.Const) and isinstance(item.value, str) for item in values[:2]):
            return put_together(line, values)
        made = values[0]
        for item in values[1:]:
            made = ir.Op(line, "+", made, item)
        return made

    def _unary(self, node: Node) -> Any:
        operator, value = text_of(node.child_by_field_name("operator")), self.at(node, "operand")
        if operator == "!":
            return ir.Not(line_of(node), value)
        if operator == "-" and isinstance(value, ir.Const) and isinstance(value.value, (int, float)):
            return ir.Const(line_of(node), -value.value)
        return ir.Other(line_of(node), (value,))

    def _update(self, node: Node) -> Any:
        target = self.whole(node)
        sign = "+" if "++" in text_of(node) else "-"
        return ir.Bind(line_of(node), target, ir.Op(line_of(node), sign, target, ir.Const(line_of(node), 1)))

    def _assignment(self, node: Node) -> Any:
        left, right = node.child_by_field_name("left"), node.child_by_field_name("right")
        if left is None or right is None:
            return self.whole(node)
        line, target, value = line_of(node), self.expression(left), self.expression(right)
        sign = text_of(node.child_by_field_name("operator")).rstrip("=")
        if sign:
            value = ir.Op(line, "//" if sign == "/" else sign, target, value)
        else:
            name = text_of(left).removeprefix("this.")
            self.keep_text(name, right)
            value = self.typed(self.kind_of(name), value, line)
        return ir.Bind(line, target if isinstance(target, (ir.Name, ir.Attr, ir.Item)) else ir.Name(line, "_"), value)

    def keep_text(self, name: str, node: Node) -> None:
        """Remember a text under a name, for settings that are looked at while reading."""
        if node.type == "string_literal":
            self.texts[name] = text_of(node).strip('"')
        else:
            self.texts.pop(name, None)

    def _instance(self, node: Node) -> Any:
        left, name = self.at(node, "left"), node.child_by_field_name("name")
        if name is None:
            return ir.Other(line_of(node), ())
        self.declare(text_of(name), simple(node.child_by_field_name("right")))
        return ir.Other(line_of(node), (ir.Bind(line_of(node), ir.Name(line_of(node), text_of(name)), left),))

    def _cast(self, node: Node) -> Any:
        value, kind = self.at(node, "value"), simple(node.child_by_field_name("type"))
        if kind in ("int", "long", "short", "double", "float"):
            return value if isinstance(value, ir.Const) else ir.Other(line_of(node), (value,))
        return self.typed(kind, value, line_of(node))

    # --- members

    def _field(self, node: Node) -> Any:
        line, of, name = line_of(node), node.child_by_field_name("object"), node.child_by_field_name("field")
        if name is not None and name.type == "this":
            return self.this(line, text_of(of))
        plain = self.is_class(node)
        if plain:
            words = [word for word in text_of(node).split(".") if word[:1].isupper()]
            made: Any = ir.Name(line, words[0])
            for word in words[1:]:
                made = ir.Attr(line, made, word)
            return made
        owner = self.expression(of) if of is not None else None
        return ir.Attr(line, owner, text_of(name))

    def _array(self, node: Node) -> Any:
        """An array written out; bytes that are all known are a constant."""
        inside = node.child_by_field_name("value") or node
        line, kind = line_of(node), simple(node.child_by_field_name("type"))
        if inside.type == "array_initializer":
            items = [self.expression(child) for child in inside.named_children if child.type not in SKIPPED]
            return self._bytes(line, items) if kind == "byte" else _list(line, items)
        size = node.child_by_field_name("dimensions")
        length = self.whole(size) if size is not None else None
        if kind == "byte" and isinstance(length, ir.Const) and isinstance(length.value, int):
            return ir.Const(line, bytes(min(max(length.value, 0), 64)))
        return ir.Other(line, ())

    @staticmethod
    def _bytes(line: int, items: list[Any]) -> Any:
        numbers = [item.value for item in items if isinstance(item, ir.Const) and isinstance(item.value, int)]
        if len(numbers) == len(items) and items:
            return ir.Const(line, bytes(number & 255 for number in numbers))
        return _list(line, items)

    # --- objects

    def _new(self, node: Node) -> Any:
        """A new object. What is written out is a container, text is text, an address is what it was made of."""
        body = next((child for child in node.named_children if child.type == "class_body"), None)
        kind, line = simple(node.child_by_field_name("type")), line_of(node)
        if body is not None:
            made = self.class_of(node, f"@{kind}{line}")
            called = self.made(node, ir.Name(line, f"@{kind}{line}"), ())
            return ir.Call(line, ir.Function(line, "", (), (*made, ir.Return(line, called))), ())
        inside = node.child_by_field_name("arguments")
        nodes = [child for child in inside.named_children if child.type not in SKIPPED] if inside is not None else []
        known = self._known(node, kind, nodes)
        if known is not None:
            return known
        safe = kind == "Yaml" and any("SafeConstructor" in text_of(child) for child in nodes)
        call = self.plain(node, self._class_name(node.child_by_field_name("type"), kind), nodes)
        if kind in ("SAXBuilder", "SAXReader") and any("Safe" in text_of(child) for child in nodes):
            safe = True
        return ir.Typed(line, call, f"@safe.{kind}" if safe else named(kind))

    def _known(self, node: Node, kind: str, nodes: list[Node]) -> Any:
        """What the engine has a form for; None for all others."""
        line = line_of(node)
        made: Any = None
        sized = not nodes or nodes[0].type == "decimal_integer_literal"
        if kind in _LISTS or kind in _MAPS:
            called = "dict" if kind in _MAPS else "list"
            made = (ir.Make(line, called, ()) if sized else
                    self.made(node, ir.Name(line, called), (self.expression(nodes[0]),)))  # fmt: skip
        elif kind in BUILDERS or kind == "String":
            made = ir.Const(line, "") if sized else self._text(node, nodes)
        elif kind in _ADDRESSES and len(nodes) in (1, 2, 4):
            made = ir.Typed(line, self._text(node, nodes), kind)
        elif kind == "File" and len(nodes) == 2:
            parts = (self.expression(nodes[0]), ir.Const(line, "/"), self.expression(nodes[1]))
            made = ir.Typed(line, self.made(node, ir.Name(line, "File"), (ir.Text(line, parts),)), "File")
        elif kind == "ProcessBuilder" and nodes and not (len(nodes) == 1 and is_words(self, nodes[0])):
            words = _list(line, [self.expression(child) for child in nodes])
            made = ir.Typed(line, self.made(node, ir.Name(line, kind), (words,)), kind)
        elif kind == "Cookie" and len(nodes) == 2:
            made = self._cookie(node, nodes)
        return made

    def _text(self, node: Node, nodes: list[Node]) -> Any:
        first = self.made(node, ir.Name(line_of(node), "str"), (self.expression(nodes[0]),))
        if len(nodes) == 1 or simple(node.child_by_field_name("type")) == "String":
            return first
        return ir.Text(line_of(node), tuple(self.expression(child) for child in nodes))

    def _cookie(self, node: Node, nodes: list[Node]) -> Any:
        """A cookie whose settings are not made yet."""
        line = line_of(node)
        held = self.plain(node, ir.Name(line, "Cookie"), nodes)
        unset = ir.Const(line, "unset")
        items = tuple((ir.Const(line, key), value)
                      for key, value in (("secure", unset), ("httponly", unset), ("value", held)))  # fmt: skip
        return ir.Typed(line, ir.Make(line, "dict", items), "Cookie")

    def _class_name(self, node: Node | None, kind: str) -> Any:
        line = line_of(node) if node is not None else 0
        words = [word for word in re.sub(r"<.*", "", text_of(node), flags=re.DOTALL).split(".") if word[:1].isupper()]
        made: Any = ir.Name(line, words[0] if words else kind)
        for word in words[1:]:
            made = ir.Attr(line, made, word.strip())
        return made

    # --- functions

    def _lambda(self, node: Node) -> Any:
        given, body, line = node.child_by_field_name("parameters"), node.child_by_field_name("body"), line_of(node)
        self.scopes.append({})
        taken: tuple[Any, ...] = ()
        if given is not None and given.type == "formal_parameters":
            params, taken = self.params_of(given)
        else:
            alone = given is not None and given.type == "identifier"
            names = [given] if alone and given is not None else given.named_children if given is not None else []
            params = tuple(ir.Param(text_of(child)) for child in names)
            for param in params:
                self.declare(param.name, "")
        if body is not None and body.type == "block":
            inner = self.body_of(body)
        else:
            inner = (ir.Return(line, self.expression(body) if body is not None else None),)
        self.scopes.pop()
        if len(params) == 2 and body is not None and body.type == "true":
            return ir.Name(line, "@always")
        return ir.Function(line, "", params, (*taken, *inner), (), int(node.end_point[0]) + 1)

    def _reference(self, node: Node) -> Any:
        """`Type::method` is a function of what it is given."""
        line, parts = line_of(node), node.named_children
        given = (ir.Name(line, "@given"),)
        if not parts:
            return ir.Other(line, ())
        if len(parts) == 1 or parts[-1].type != "identifier":
            func: Any = ir.Name(line, simple(parts[0]))
        elif parts[0].type == "this":
            func = self.function(text_of(parts[-1]), line)
        else:
            func = ir.Attr(line, self.expression(parts[0]), text_of(parts[-1]))
        return ir.Function(line, "", (ir.Param("@given"),), (ir.Return(line, ir.Call(line, func, given)),))

    def annotation(self, node: Node) -> Any:
        """An annotation is a call of its name; one without arguments a name."""
        line, name = line_of(node), text_of(node.child_by_field_name("name")).rpartition(".")[2]
        inside = node.child_by_field_name("arguments")
        if name in ("Select", "Update", "Delete", "Insert"):
            name = f"@ibatis.{name}"
        if inside is None:
            return ir.Name(line, name)
        args: list[Any] = []
        pairs: list[tuple[str, Any]] = []
        for child in inside.named_children:
            if child.type == "element_value_pair":
                pairs.append((text_of(child.child_by_field_name("key")), self.at(child, "value")))
            elif child.type not in SKIPPED:
                args.append(self.expression(child))
        return ir.Call(line, ir.Name(line, name), tuple(args), tuple(pairs), (), int(node.end_point[0]) + 1)

    def _choose(self, node: Node) -> Any:
        return ir.Choose(line_of(node), self.at(node, "condition"), self.at(node, "consequence"),
                         self.at(node, "alternative"))  # fmt: skip

    _EXPRESSIONS: ClassVar[dict[str, Callable[[Any, Node], Any]]] = {
        "identifier": Calls.variable, "this": lambda self, node: self.this(line_of(node)),
        "super": lambda self, node: ir.Name(line_of(node), "super"), "field_access": _field,
        "scoped_identifier": _field, "string_literal": _string, "text_block": _string, "character_literal": _string,
        **dict.fromkeys(("decimal_integer_literal", "hex_integer_literal", "octal_integer_literal",
                         "binary_integer_literal", "decimal_floating_point_literal",
                         "hex_floating_point_literal"), _number),
        "true": lambda _self, node: ir.Const(line_of(node), True),
        "false": lambda _self, node: ir.Const(line_of(node), False),
        "null_literal": lambda _self, node: ir.Const(line_of(node), None),
        "class_literal": lambda _self, node: ir.Name(line_of(node), f"{simple(node.named_children[0])}.class"),
        "binary_expression": _binary, "unary_expression": _unary, "update_expression": _update,
        "assignment_expression": _assignment, "instanceof_expression": _instance, "cast_expression": _cast,
        "array_access": lambda self, node: ir.Item(line_of(node), self.at(node, "array"), self.at(node, "index")),
        "array_creation_expression": _array, "array_initializer": _array, "object_creation_expression": _new,
        "element_value_array_initializer": lambda self, node: _list(
            line_of(node), [self.expression(child) for child in node.named_children]),
        "method_invocation": Calls.call, "lambda_expression": _lambda, "method_reference": _reference,
        "ternary_expression": _choose, "switch_expression": lambda self, node: self.chosen(node),
        "annotation": annotation, "marker_annotation": annotation,
    }  # fmt: skip


def _operator(node: Node) -> str:
    return text_of(node.child_by_field_name("operator"))


def _list(line: int, items: list[Any]) -> ir.Make:
    return ir.Make(line, "list", tuple((None, item) for item in items))
