"""Classes of Java in the form of `ir.py`: fields, methods, constructors, and what annotations make of them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

from tree_sitter import Node

from buril.scanners._taint import ir
from buril.scanners._taint.guards import LOOSE
from buril.scanners._taint.java_expressions import Expressions
from buril.scanners._taint.java_names import Around, named, simple
from buril.scanners._taint.nodes import line_of, text_of

_ROUTES_WORDS: Final = (
    "GetMapping PostMapping PutMapping DeleteMapping PatchMapping RequestMapping GET POST PUT DELETE PATCH HEAD "
    "OPTIONS "
    "MessageMapping SubscribeMapping KafkaListener RabbitListener JmsListener SqsListener OnMessage WebMethod "
    "QueryMapping MutationMapping SchemaMapping Get Post Put Delete Patch Query Mutation Incoming ActionMapping "
    "ResourceMapping RenderMapping StreamListener Path"
)
ROUTES: Final = frozenset(_ROUTES_WORDS.split())
"""Annotations of methods that a framework calls with what comes from outside."""
_TRUSTED_WORDS: Final = (
    "AuthenticationPrincipal SessionAttribute RequestAttribute Context Suspended Value Autowired CurrentUser Inject "
    "BeanParam SessionAttributes CurrentSecurityContext Bean Qualifier Named"
)
_TRUSTED: Final = frozenset(_TRUSTED_WORDS.split())
_PAGES: Final = re.compile(
    r"^(?:(?:ResponseEntity|HttpEntity|Mono|Flux|Callable|CompletableFuture|DeferredResult)"
    r"(?:<(?:String|\?|Object|CharSequence|byte\[\])>)?|String|CharSequence|Object)$"
)
_MEMBERS: Final = ("class_body", "interface_body", "enum_body", "enum_body_declarations", "annotation_type_body")
_NESTED: Final = frozenset(
    ["class_declaration", "interface_declaration", "enum_declaration", "record_declaration"]
)  # fmt: skip
_METHODS: Final = frozenset(["method_declaration", "constructor_declaration", "compact_constructor_declaration"])
_NO_PAGE: Final = re.compile(r"(?i)json|text/plain|TEXT_PLAIN|octet|csv|pdf|image|xml")
_HARMLESS_FIELDS_WORDS: Final = (
    "int long short byte boolean double float Integer Long Short Byte Boolean Double Float BigInteger BigDecimal UUID "
    "LocalDate LocalDateTime Instant Date"
)
HARMLESS_FIELDS: Final = frozenset(_HARMLESS_FIELDS_WORDS.split())
"""Types of fields that can't hold text of somebody's choice, also in an object that was read as a whole."""
_EMPTY: Final = frozenset(["null_literal", "true", "false", "decimal_integer_literal"])


class Classes(Expressions):
    """Reads classes. `Lower` is built on it."""

    def gather(self, node: Node) -> None:
        """The names of methods that classes of the file have, before anything is read."""
        for child in _members(node):
            if child.type in _NESTED:
                self._gather_class(child)

    def _gather_class(self, node: Node) -> None:
        seen: set[str] = set()
        self.types.add(text_of(node.child_by_field_name("name")))
        if node.type == "enum_declaration":
            self.enums.add(text_of(node.child_by_field_name("name")))
        for child in _members(node.child_by_field_name("body")):
            if child.type in ("method_declaration", "constructor_declaration"):
                constructs = child.type == "constructor_declaration"
                name = text_of(child.child_by_field_name("name"))
                key = "constructor" if constructs else name
                if child.child_by_field_name("body") is not None:
                    if key in seen:
                        self.overloaded.update((name, key))
                    seen.add(key)
                    self.own.add(key)
            elif child.type in _NESTED:
                self._gather_class(child)
        if node.type == "record_declaration":
            self.components.update(name for name, _kind in _components(node))

    def inferred(self, kind: str, value: Node) -> str:
        """The type of a variable that is declared without one, or with one that says little."""
        if kind != "var":
            return kind
        if value.type == "object_creation_expression":
            return simple(value.child_by_field_name("type"))
        if value.type == "cast_expression":
            return simple(value.child_by_field_name("type"))
        if value.type == "method_invocation":
            name = text_of(value.child_by_field_name("name"))
            made = self.is_class(value.child_by_field_name("object"))
            return made if name in ("newInstance", "getInstance", "create", "newDefaultInstance") else ""
        return ""

    # --- a class

    def class_of(self, node: Node, name: str) -> list[Any]:
        """A class, after what its annotations call."""
        depth = sum(isinstance(scope, Around) for scope in self.scopes)
        around = Around(name, depth)
        around.marks = marks_of(node)
        body = node.child_by_field_name("body") or next(
            (child for child in node.named_children if child.type == "class_body"), None
        )
        members = list(_members(body))
        bases = self._bases(node)
        around.base = bases[0].id if bases else ""
        self._learn(around, members, everything=node.type == "interface_declaration")
        if node.type == "record_declaration":
            around.fields.update(_components(node))
        if node.type == "object_creation_expression":  # nobody gathered it
            self.own.update(around.methods)
        called = [ir.Do(line_of(item), self.annotation(item)) for item in annotations_of(node)]
        self.scopes.append(around)
        made = self._body(node, members, around)
        self.scopes.pop()
        return [*called, ir.Class(line_of(node), name, bases, tuple(made))]

    @staticmethod
    def _bases(node: Node) -> tuple[ir.Name, ...]:
        line = line_of(node)
        if node.type == "enum_declaration":
            return (ir.Name(line, "Enum"),)
        if node.type == "object_creation_expression":
            return (ir.Name(line, simple(node.child_by_field_name("type"))),)
        found = []
        for name in ("superclass", "interfaces"):
            child = node.child_by_field_name(name)
            for part in child.named_children if child is not None else ():
                found += [ir.Name(line, simple(item)) for item in
                          (part.named_children if part.type == "type_list" else [part])]  # fmt: skip
        return tuple(found)

    def _learn(self, around: Around, members: list[Node], *, everything: bool) -> None:
        for child in members:
            static = everything or "static" in _modifiers(child)
            if child.type in ("field_declaration", "constant_declaration"):
                kind = simple(child.child_by_field_name("type"))
                where = around.statics if static or child.type == "constant_declaration" else around.fields
                for part in child.children_by_field_name("declarator"):
                    value = part.child_by_field_name("value")
                    array = "[]" if part.child_by_field_name("dimensions") is not None else ""
                    where[text_of(part.child_by_field_name("name"))] = kind + array
                    if value is not None:
                        self.keep_text(text_of(part.child_by_field_name("name")), value)
            elif child.type == "method_declaration":
                static = "static" in _modifiers(child)
                (around.functions if static else around.methods).add(text_of(child.child_by_field_name("name")))
            elif child.type == "enum_constant":
                around.statics[text_of(child.child_by_field_name("name"))] = around.name

    def _body(self, node: Node, members: list[Node], around: Around) -> list[Any]:
        """Classes inside, then functions, fields and what is run once."""
        classes = [item for child in members if child.type in _NESTED
                   for item in self.class_of(child, text_of(child.child_by_field_name("name")))]  # fmt: skip
        functions = [self._method_of(child, around) for child in members
                     if child.type in _METHODS and child.child_by_field_name("body") is not None]  # fmt: skip
        called = [ir.Do(line_of(item), self.annotation(item)) for child in members
                  if child.type == "method_declaration" and child.child_by_field_name("body") is None
                  for item in annotations_of(child)]  # fmt: skip
        if node.type == "record_declaration":
            functions = self._record(node, functions, around)
        fields = [item for child in members for item in self._field_of(child)]
        for name, kind in _components(node) if node.type == "record_declaration" else ():
            if kind in self.enums or kind in HARMLESS_FIELDS:
                fields.append(ir.Assign(line_of(node), (ir.Name(line_of(node), name),), ir.Other(line_of(node), ())))
        blocks: list[Any] = []
        self.scopes.append({})
        for child in members:
            if child.type in ("static_initializer", "block"):
                inside = child.named_children[-1] if child.type == "static_initializer" else child
                blocks += self.body_of(inside)
        self.scopes.pop()
        return [*classes, *_told_apart(functions, around.this), *called, *fields, *blocks]

    def _record(self, node: Node, functions: list[ir.Function], around: Around) -> list[ir.Function]:
        """A record's constructor: the checks that stand in it, then each component goes into its field."""
        line, this = line_of(node), ir.Name(line_of(node), around.this)
        checks = [item for item in functions if item.name == "constructor" and len(item.params) == 1]
        names = [name for name, _kind in _components(node)]
        body = [statement for item in checks for statement in item.body]
        body += [ir.Assign(line, (ir.Attr(line, this, name),), ir.Name(line, name)) for name in names]
        params = (ir.Param(around.this), *(ir.Param(name) for name in names))
        made = ir.Function(line, "constructor", params, tuple(body))
        return [*(item for item in functions if item not in checks), made]

    def _field_of(self, node: Node) -> Iterator[Any]:
        if node.type == "enum_constant":
            line = line_of(node)
            yield ir.Assign(line, (ir.Name(line, text_of(node.child_by_field_name("name"))),), ir.Other(line, ()))
        if node.type not in ("field_declaration", "constant_declaration"):
            return
        for item in annotations_of(node):
            yield ir.Do(line_of(item), self.annotation(item))
        kind, modifiers = simple(node.child_by_field_name("type")), _modifiers(node)
        fixed = "final" in modifiers or node.type == "constant_declaration"
        for part in node.children_by_field_name("declarator"):
            name, value = part.child_by_field_name("name"), part.child_by_field_name("value")
            line = line_of(part)
            target = (ir.Name(line, text_of(name)),)
            if value is not None and (fixed or value.type not in _EMPTY):
                plain = self.expression(value)
                if isinstance(plain, ir.Make) and kind == "byte[]":
                    plain = self._bytes(line, [item for _key, item in plain.items])
                yield ir.Assign(line, target, self.typed(kind, plain, line))
                if not fixed and isinstance(plain, ir.Const):  # it may be set by now
                    yield ir.Assign(line, target, ir.Other(line, (plain,)))
            elif kind in self.enums or kind in HARMLESS_FIELDS:
                yield ir.Assign(line, target, ir.Other(line, ()))
            elif self.typed(kind, None, line) is not None:
                yield ir.Assign(line, target, self.typed(kind, ir.Other(line, ()), line))

    # --- a method

    def _method_of(self, node: Node, around: Around) -> ir.Function:
        marks = marks_of(node)
        name = text_of(node.child_by_field_name("name"))
        static = "static" in _modifiers(node)
        if node.type != "method_declaration":
            name = "constructor"
        self.scopes.append(self._scope(node, marks, around))
        routed = bool(marks.keys() & ROUTES)
        params, taken = self.params_of(node.child_by_field_name("parameters"), routed=routed, marks=marks)
        if name == "main" and static and len(params) == 1:
            target = ir.Name(line_of(node), params[0].name)
            taken = (ir.Assign(line_of(node), (target,), ir.Name(line_of(node), "@argv")),)
        body = node.child_by_field_name("body")
        inner = (*self._lax(node, name, body), *taken, *self.body_of(body))
        self.scopes.pop()
        decorators = self._decorators(node, name, marks, around)
        line = line_of(node.child_by_field_name("name") or node)
        own = () if static else (ir.Param(around.this),)
        if static:
            decorators = (*decorators, ir.Name(line, "staticmethod"))
        return ir.Function(line, name, (*own, *params), inner, decorators, int(node.end_point[0]) + 1)

    @staticmethod
    def _scope(node: Node, marks: dict[str, str], around: Around) -> dict[str, str]:
        """Variables of a method; what a controller gives back is the name of a view, unless it is the body."""
        view = "Controller" in around.marks and bool(marks.keys() & ROUTES) and "ResponseBody" not in marks
        kind = simple(node.child_by_field_name("type"))
        return {"@view": ""} if view and kind == "String" and "ResponseBody" not in around.marks else {}

    def _decorators(self, node: Node, name: str, marks: dict[str, str], around: Around) -> tuple[Any, ...]:
        """Annotations; those of a route whose answer is a page are told apart. A setter of an action is one too."""
        body = bool({"ResponseBody", "RestController"} & (marks.keys() | around.marks.keys()))
        kind = re.sub(r"\s", "", text_of(node.child_by_field_name("type")))
        said = " ".join((*marks.values(), *around.marks.values()))
        produces = re.search(r"(?:produces\s*=|@Produces)[^@]*", said)
        page = body and _PAGES.match(kind) is not None and not (produces and _NO_PAGE.search(produces[0]))
        if produces and re.search(r"(?i)text/html|TEXT_HTML", produces[0]) and "@Produces" in said:
            page = True
        found: list[Any] = []
        for item in annotations_of(node):
            made = self.annotation(item)
            called = made.func if isinstance(made, ir.Call) else made
            if page and called.id in ROUTES:
                called = called._replace(id=f"page.{called.id}")
                made = made._replace(func=called) if isinstance(made, ir.Call) else called
            found.append(made)
        if re.match(r"set[A-Z]", name) and re.search(r"ActionSupport$|Action$", around.base):
            found.append(ir.Name(line_of(node), "@setter"))
        return tuple(found)

    @staticmethod
    def _lax(node: Node, name: str, body: Node | None) -> tuple[Any, ...]:
        """A check of certificates or hosts that lets everything pass."""
        inside = [child for child in body.named_children if "comment" not in child.type] if body is not None else []
        line = line_of(node.child_by_field_name("name") or node)
        if name == "checkServerTrusted" and all(text_of(child) in ("return;", ";") for child in inside):
            return (ir.Do(line, ir.Call(line, ir.Name(line, "@checkServerTrusted"), ())),)
        asked = name == "verify" and "SSLSession" in text_of(node.child_by_field_name("parameters"))
        if asked and len(inside) == 1 and text_of(inside[0]) == "return true;":
            return (ir.Do(line, ir.Call(line, ir.Name(line, "@SSLSession"), ())),)
        return ()

    def params_of(
        self, node: Node | None, *, routed: bool = False, marks: dict[str, str] | None = None
    ) -> tuple[tuple[ir.Param, ...], tuple[Any, ...]]:
        """The parameters of a function, and statements that say of which type they are."""
        made: list[ir.Param] = []
        taken: list[Any] = []
        said = " ".join((marks or {}).values())
        for child in node.named_children if node is not None else ():
            if child.type not in ("formal_parameter", "spread_parameter"):
                continue
            inner = next((part for part in child.named_children if part.type == "variable_declarator"), child)
            name, line = text_of(inner.child_by_field_name("name")), line_of(child)
            plain = child.child_by_field_name("type") or next(
                (part for part in child.named_children if part.type not in ("modifiers", "variable_declarator")), None
            )
            kind = simple(plain) + ("[]" if child.type == "spread_parameter" else "")
            self.declare(name, kind)
            target = ir.Name(line, name)
            typed = self.typed(kind, target, line)
            if typed is not target:
                taken.append(ir.Assign(line, (target,), typed))
            told = _told(child, kind, name, said) if routed else named(kind)
            told = f"{kind}'" if told == kind and kind in self.types else told  # whatever others call so
            made.append(ir.Param(name, told, None, "*" if child.type == "spread_parameter" else ""))
        return tuple(made), tuple(taken)


def _told(node: Node, kind: str, name: str, said: str) -> str:
    """How the type of a handler's parameter is told: what a framework fills in is no input, nor what is matched."""
    marks = marks_of(node)
    pattern = re.search(r'regexp\s*=\s*"([^"]*)"', marks.get("Pattern", ""))
    bound = re.search(rf"\{{{re.escape(name)}\s*:([^/\"]+)\}}", said)
    for found in (pattern, bound):
        if found is not None and not LOOSE.search(found[1].replace("\\\\", "\\")):
            return "@trusted"
    if marks.keys() & _TRUSTED:
        return "@trusted"
    if named(kind) != kind or not kind.endswith("Request") or kind in ("HttpServletRequest", "ServerHttpRequest"):
        return named(kind)
    return kind + "'"  # an object of the file's own, not the request of the framework


def _told_apart(functions: list[ir.Function], this: str) -> list[ir.Function]:
    """Functions of one name get numbers, and one of the name itself that calls them by how many arguments there are."""
    groups: dict[str, list[ir.Function]] = {}
    for item in functions:
        groups.setdefault(item.name, []).append(item)
    made: list[ir.Function] = []
    for name, group in groups.items():
        if len(group) == 1:
            made.append(group[0])
            continue
        apart = [item._replace(name=f"{name}#{number}") for number, item in enumerate(group, 1)]
        made += [*apart, _sorter(name, apart, this)]
    return made


def _sorter(name: str, apart: list[ir.Function], this: str) -> ir.Function:
    line = apart[0].line
    static = any(isinstance(mark, ir.Name) and mark.id == "staticmethod" for mark in apart[0].decorators)
    own = 0 if static else 1
    most = max(len(item.params) - own for item in apart)
    names = [f"@{number}" for number in range(most)]
    body: list[Any] = []
    for item in apart:
        count = len(item.params) - own
        bare = any(isinstance(mark, ir.Name) and mark.id == "staticmethod" for mark in item.decorators)
        func: Any = ir.Name(line, item.name) if bare or static else ir.Attr(line, ir.Name(line, this), item.name)
        call = ir.Call(line, func, tuple(ir.Name(line, given) for given in names[:count]))
        more = any(param.kind for param in item.params)
        test: Any = ir.Compare(line, ">=" if more else "==", ir.Name(line, "@count"), ir.Const(line, count - more))
        alike = sum(len(other.params) == len(item.params) for other in apart) > 1
        test = ir.Logic(line, "and", test, ir.Other(line, ())) if alike else test
        body.append(ir.If(line, test, (ir.Return(line, call),)))
    params = tuple(ir.Param(given, default=ir.Other(line, ())) for given in (*names, "@count"))
    head = () if static else (ir.Param(this),)
    decorators = (ir.Name(line, "staticmethod"),) if static else ()
    return ir.Function(line, name, (*head, *params), tuple(body), decorators)


def _members(node: Node | None) -> Iterator[Node]:
    for child in node.named_children if node is not None else ():
        if child.type in _MEMBERS:
            yield from _members(child)
        else:
            yield child


def _components(node: Node) -> list[tuple[str, str]]:
    inside = node.child_by_field_name("parameters")
    return [(text_of(child.child_by_field_name("name")), simple(child.child_by_field_name("type")))
            for child in (inside.named_children if inside is not None else ())
            if child.type == "formal_parameter"]  # fmt: skip


def _modifiers(node: Node) -> list[str]:
    first = next((child for child in node.named_children if child.type == "modifiers"), None)
    return [text_of(child) for child in first.children if not child.is_named] if first is not None else []


def annotations_of(node: Node) -> list[Node]:
    """The annotations of a declaration."""
    first = next((child for child in node.named_children if child.type == "modifiers"), None)
    return [child for child in (first.named_children if first is not None else ())
            if child.type in ("annotation", "marker_annotation")]  # fmt: skip


def marks_of(node: Node) -> dict[str, str]:
    """The annotations of a declaration by name, with their text."""
    found = annotations_of(node)
    return {text_of(item.child_by_field_name("name")).rpartition(".")[2]: text_of(item) for item in found}
