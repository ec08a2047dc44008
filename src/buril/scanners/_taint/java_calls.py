"""Calls of Java in the form of `ir.py`: what its library does with text and containers is said in the engine's words.

A builder of text is the text, `equals` is a comparison, `list.add` and `map.put` are what other languages call so. A
setting that makes a parser or an answer harmless changes the path of the object: `@safe.XStream`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Final

from tree_sitter import Node

from buril.scanners._taint import ir
from buril.scanners._taint.java_names import BUILDERS, Names, named
from buril.scanners._taint.java_text import BEHIND, kept
from buril.scanners._taint.nodes import line_of, text_of

_RENAMED: Final = {
    "toLowerCase": "lower", "toUpperCase": "upper", "trim": "strip", "addAll": "extend", "putAll": "update",
    "setProperty": "set", "getProperty": "get", "getOrDefault": "get", "remove": "pop", "entrySet": "items",
    "keySet": "keys", "addElement": "add", "addFirst": "add", "addLast": "add", "offer": "add", "elementAt": "get",
    "stream": "copy", "parallelStream": "copy", "toList": "copy", "distinct": "copy", "sorted": "copy",
    "normalize": "normpath", "toRealPath": "realpath", "poll": "pop", "putIfAbsent": "setdefault",
}  # fmt: skip
_SAME_WORDS: Final = (
    "toString toCharArray getBytes intern clone toURL toURI toURL toPath subSequence stripIndent "
    "translateEscapes toFile"
)
_SAME: Final = frozenset(_SAME_WORDS.split())
"""Methods whose result is what they belong to."""
_EQUAL: Final = frozenset(["equals", "equalsIgnoreCase", "contentEquals"])
_FILLS: Final = frozenset(["nextBytes", "read", "readFully", "readNBytes"])
_ON: Final = re.compile(r"(?i)disallow-doctype-decl|secure[-_]processing|DISALLOW_DOCTYPE")
_OFF: Final = re.compile(
    r"(?i)external-(general|parameter)-entities|load-external-dtd|SUPPORT_?DTD|SUPPORTING_?EXTERNAL_?ENTITIES|"
    r"EXTERNAL_(GENERAL|PARAMETER)"
)
_NOWHERE: Final = re.compile(r"(?i)ACCESS_?EXTERNAL_?(DTD|SCHEMA|STYLESHEET)")
_HARDENED: Final = frozenset(
    ["setEntityResolver", "setObjectInputFilter", "allowTypes", "allowTypesByWildcard", "allowTypeHierarchy",
     "allowTypesByRegExp", "addPermission", "setupDefaultSecurity", "denyTypes", "setXMLResolver"]
)  # fmt: skip
_NO_PAGE: Final = re.compile(r"(?i)json|text/plain|TEXT_PLAIN|octet|csv|pdf|image/(?!svg)|zip|javascript")
_SPEC: Final = re.compile(r"%(?:\d+\$)?[-#+ 0,(]*\d*(?:\.\d+)?([a-zA-Z%])")
_LAX: Final = frozenset(["put", "setProperty", "setConfig", "csrf"])
_NO_FILL: Final = re.compile(
    r"(?i)Response|Session|Statement|Logger|Model$|Factory$|Request$|Cipher|Signature|Builder$"
)

_BUILDING: Final = frozenset(["append", "insert", "reverse", "replace", "delete", "deleteCharAt", "setLength", "add"])
Static = Callable[[Any, Node, list[Node]], Any]
Method = Callable[[Any, Node, Node, list[Node]], Any]


class Calls(Names):
    """Reads calls. `Expressions` is built on it."""

    expression: Callable[[Node], Any]
    functions: ClassVar[Mapping[str, Static]] = {}
    methods: ClassVar[Mapping[str, Method]] = {}

    def __init__(self) -> None:
        super().__init__()
        self.texts: dict[str, str] = {}
        """Variables and fields that were given a text that stands in the program."""
        self.begun: dict[str, int] = {}
        """Builders of text: 1 once they hold what is not known, 2 when what comes after a host was begun."""

    def call(self, node: Node) -> Any:
        """A call of a method."""
        name = text_of(node.child_by_field_name("name"))
        inside = node.child_by_field_name("arguments")
        nodes = [child for child in inside.named_children if "comment" not in child.type] if inside is not None else []
        target = node.child_by_field_name("object")
        if target is None:
            known = self.functions.get(f"{self.imported.get(name, '')}.{name}")
            made = known(self, node, nodes) if known is not None else None
            return made if made is not None else self.plain(node, self.function(name, line_of(node)), nodes)
        if target.type == "super":
            return self.plain(node, ir.Attr(line_of(node), ir.Name(line_of(node), "super"), name), nodes)
        if name in self.components and name not in self.own and not nodes:
            return ir.Attr(line_of(node), self.expression(target), name)
        kind = self.is_class(target)
        known = self.functions.get(f"{kind}.{name}") if kind else None
        made = known(self, node, nodes) if known is not None else None
        if made is None and not kind:
            made = self._method(node, target, name, nodes)
        if made is not None:
            return made
        return self.plain(node, ir.Attr(line_of(node), self.expression(target), name), nodes)

    def plain(self, node: Node, func: Any, nodes: list[Node]) -> ir.Call:
        """A call as it stands; of a method that there are several of, with how many arguments it has."""
        args = tuple(self.expression(child) for child in nodes)
        name = func.name if isinstance(func, ir.Attr) else func.id if isinstance(func, ir.Name) else ""
        return self.made(node, func, args, counted=name in self.overloaded)

    @staticmethod
    def made(node: Node, func: Any, args: tuple[Any, ...], *, counted: bool = False) -> ir.Call:
        """A call of what was read already."""
        line = line_of(node)
        name = (("@count", ir.Const(line, len(args))),) if counted else ()
        return ir.Call(line, func, args, name, (), int(node.end_point[0]) + 1)

    def _method(self, node: Node, target: Node, name: str, nodes: list[Node]) -> Any:
        """A method of the library that the engine has a word for; None for all others."""
        kind = self.kind_of(text_of(target)) if target.type == "identifier" else ""
        made = self._state(target, kind, name, nodes)
        lax = _lax(name, [self.text(child) for child in nodes]) if name in _LAX else ""
        if made is None and lax:
            made = self.made(node, ir.Name(line_of(node), lax), (self.expression(target),))
        if made is not None or "Upload" in named(kind):
            return made
        if name in _EQUAL and len(nodes) == 1:
            return ir.Compare(line_of(node), "==", self.expression(target), self.expression(nodes[0]))
        if name in self.own and not self._foreign(target, kind):
            return None
        return self._of_library(node, target, name, nodes)

    def _of_library(self, node: Node, target: Node, name: str, nodes: list[Node]) -> Any:
        line, made = line_of(node), None
        if self.is_text(target) and name in _BUILDING:
            made = self._built(node, target, name, nodes)
        elif name in self.methods:
            made = self.methods[name](self, node, target, nodes)
        if made is None and name in _SAME:
            made = self._same(self.expression(target), name)
        if made is None and name in _FILLS and nodes and nodes[0].type == "identifier":
            call = self.plain(node, ir.Attr(line, self.expression(target), name), nodes)
            made = ir.Bind(line, self.variable(nodes[0]), call)
        if made is None:
            made = self._filled(node, target, name, nodes)
        if made is None and name in _RENAMED:
            made = self.plain(node, ir.Attr(line, self.expression(target), _RENAMED[name]), nodes)
        return made

    @staticmethod
    def _same(owner: Any, name: str) -> Any:
        """A text in another form; bytes of one that stands in the program are bytes."""
        if name == "getBytes" and isinstance(owner, ir.Const) and isinstance(owner.value, str):
            return ir.Const(owner.line, owner.value.encode("utf-8", "replace"))
        return owner

    def _foreign(self, target: Node, kind: str) -> bool:
        """Whether an object is none of a class of this file: a constant, or something of a type that is known."""
        if target.type == "method_invocation":
            kind = self.is_class(target.child_by_field_name("object"))
        return target.type == "string_literal" or (kind != "" and kind not in self.types and kind != "Object")

    # --- settings that change what an object is

    def _state(self, target: Node, kind: str, name: str, nodes: list[Node]) -> Any:
        if target.type not in ("identifier", "field_access"):
            return None
        kind = kind or self.kind_of(text_of(target).rpartition(".")[2])
        if not kind:
            return None
        mark = ""
        if name == "setFeature" and len(nodes) == 2 and text_of(nodes[1]) == "false" and self._secure(nodes[0]):
            mark = f"@lax.{kind}"
        elif name in _HARDENED or self._sets_harmless(name, nodes):
            mark = f"@safe.{kind}"
        elif kind == "HttpServletResponse" and self._sets_type(name, nodes):
            mark = f"@plain.{kind}"
        if not mark:
            return None
        owner = self.expression(target)
        return ir.Bind(line_of(target), owner, ir.Typed(line_of(target), owner, mark))

    def _secure(self, node: Node) -> bool:
        """Whether a feature is that of processing within limits."""
        return re.search(r"(?i)secure[-_]processing", self.text(node)) is not None

    def _sets_harmless(self, name: str, nodes: list[Node]) -> bool:
        if name == "setExpandEntities" and nodes:
            return text_of(nodes[0]) == "false"
        if name not in ("setFeature", "setProperty", "setAttribute") or len(nodes) != 2:
            return False
        what, value = self.text(nodes[0]), text_of(nodes[1]).lower()
        return bool(
            (_ON.search(what) and "true" in value)
            or (_OFF.search(what) and "false" in value)
            or (_NOWHERE.search(what) and self.text(nodes[1]) in ("", '""'))
        )

    def _sets_type(self, name: str, nodes: list[Node]) -> bool:
        if name in ("setHeader", "addHeader") and len(nodes) == 2 and self.text(nodes[0]).lower() == "content-type":
            nodes = nodes[1:]
        elif name != "setContentType":
            return False
        return bool(nodes) and _NO_PAGE.search(self.text(nodes[0])) is not None

    def text(self, node: Node) -> str:
        """A text that stands in the program, also under a name; else how the expression is written."""
        if node.type == "string_literal":
            return text_of(node).strip('"')
        written = text_of(node)
        return self.texts.get(written.rpartition(".")[2], written)

    def _filled(self, node: Node, target: Node, name: str, nodes: list[Node]) -> Any:
        """`x.setName(y)`: the call, and what it leaves behind in the object."""
        if not re.match(r"set[A-Z]", name) or len(nodes) != 1 or target.type != "identifier":
            return None
        kind = self.kind_of(text_of(target))
        flag = kind == "Cookie" and name in ("setSecure", "setHttpOnly", "setMaxAge")
        if not flag and (_NO_FILL.search(kind) or nodes[0].type.endswith("literal")):
            return None
        line, owner = line_of(node), self.expression(target)
        call = self.plain(node, ir.Attr(line, owner, name), nodes)
        return ir.Other(line, (call, ir.Bind(line, ir.Attr(line, owner, name[3:].lower()), call.args[0])))

    # --- text

    def is_text(self, node: Node) -> bool:
        """Whether an expression is a builder of text."""
        while node.type in ("method_invocation", "parenthesized_expression"):
            inner = node.child_by_field_name("object") if node.type == "method_invocation" else node.named_children[0]
            if inner is None or (
                node.type == "method_invocation" and text_of(node.child_by_field_name("name")) not in _BUILDING
            ):
                return False
            node = inner
        if node.type == "object_creation_expression":
            return text_of(node.child_by_field_name("type")).rpartition(".")[2] in BUILDERS
        return self.kind_of(text_of(node).removeprefix("this.")) in BUILDERS

    def _built(self, node: Node, target: Node, name: str, nodes: list[Node]) -> Any:
        """A builder of text is the text: it gets another one under its name."""
        line, owner = line_of(node), self.expression(target)
        place = owner.target if isinstance(owner, ir.Bind) else owner
        before = owner.value if isinstance(owner, ir.Bind) else owner
        args = [self.expression(child) for child in nodes]
        if name == "append" and args:
            args[0] = self._appended(place, args[0])
        if name in ("append", "add") and args:
            value: Any = ir.Op(line, "+", before, args[0])
        elif name == "insert" and len(args) > 1:
            first = isinstance(args[0], ir.Const) and args[0].value == 0
            value = ir.Op(line, "+", args[1], before) if first else ir.Other(line, (before, args[1]))
        elif name == "setLength":
            emptied = args and isinstance(args[0], ir.Const) and args[0].value == 0
            value = ir.Const(line, "") if emptied else ir.Other(line, (before,))
        elif name == "replace" and len(args) > 2:
            value = ir.Other(line, (before, args[2]))
        else:
            value = ir.Other(line, (before, *args))
        return ir.Bind(line, place, value) if isinstance(place, (ir.Name, ir.Attr)) else value

    def _appended(self, place: Any, item: Any) -> Any:
        """What is added to an address behind its path can't change its host."""
        key = place.id if isinstance(place, ir.Name) else place.name if isinstance(place, ir.Attr) else ""
        text = item.value if isinstance(item, ir.Const) and isinstance(item.value, str) else None
        state = self.begun.get(key, 0)
        if text is None:
            self.begun[key] = max(state, 1)
            return kept(item) if state == 2 and key else item
        if state == 1 and BEHIND.match(text):
            self.begun[key] = 2
        return item

    def formatted(self, node: Node, nodes: list[Node], *, call: bool = True) -> Any:
        """A format: the text between its places and what comes there; numbers can do no harm."""
        line = line_of(node)
        if nodes and re.match(r"Locale\b|(?:java\.util\.)?Locale\.", text_of(nodes[0])) and len(nodes) > 1:
            nodes = nodes[1:]
        args = [self.expression(child) for child in nodes]
        if not args:
            return None
        first = args[0].value if isinstance(args[0], ir.Const) else None
        if not isinstance(first, str):
            whole = self.made(node, ir.Name(line, "String.format"), tuple(args))
            return ir.Text(line, (args[0], whole) if call else tuple(args))
        parts: list[Any] = []
        end, number = 0, 1
        for found in _SPEC.finditer(first):
            parts.append(ir.Const(line, first[end : found.start()]))
            end = found.end()
            if found[1] in "%n":
                continue
            if number < len(args) and found[1] in "sScCvh":
                parts.append(args[number])
            number += 1
        parts.append(ir.Const(line, first[end:]))
        return ir.Text(line, tuple(part for part in parts if not (isinstance(part, ir.Const) and part.value == "")))


def _lax(name: str, texts: list[str]) -> str:
    """What the rules call a setting that turns a check off, which is known by its arguments alone."""
    if name != "csrf" and texts[:1] == ["StrictHostKeyChecking"]:
        return "@StrictHostKeyChecking" if texts[1:] == ["no"] else ""
    return "@csrf.disable" if name == "csrf" and len(texts) == 1 and "disable" in texts[0] else ""
