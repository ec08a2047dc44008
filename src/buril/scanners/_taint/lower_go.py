"""The trees of Go in the form of `ir.py`."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

from tree_sitter import Node, Tree

from buril.scanners._taint import ir
from buril.scanners._taint.go_expressions import (
    SKIPPED,
    at,
    called,
    children,
    condition,
    expression,
    function,
    member_of,
    names,
    params_of,
    statements_by,
    whole,
)
from buril.scanners._taint.go_sifting import sifts
from buril.scanners._taint.go_types import by_need, class_of, declared, imported
from buril.scanners._taint.ir import OUTSIDE
from buril.scanners._taint.nodes import line_of, text_of

_LEAVES = {"break_statement": "break", "continue_statement": "continue", "goto_statement": "continue"}
_SAYS = re.compile(r"^(err|ok|okay|found|exists|present|matched|_)\d*$|[eE]rr(or)?$|^(has|is|ok)[A-Z]\w*$|Ok$|OK$")
"""Names of what says whether the other answers of a call are worth anything."""
_STANDARD: Final = (
    "net.http os.exec os fmt strings strconv io io.ioutil path path.filepath html html.template net.url database.sql "
    "encoding.json encoding.xml crypto.md5 crypto.sha1 crypto.sha256 crypto.aes crypto.des crypto.rc4 crypto.cipher "
    "crypto.tls crypto.rsa crypto.hmac crypto.x509 bytes bufio errors log regexp net archive.zip archive.tar context "
    "encoding.base64 encoding.hex time sort"
)
"""Packages that a piece of a file, which has no imports, names by their own."""


def lower(tree: Tree) -> tuple[Any, ...]:
    """The statements of a file: what a package holds is known before the first line runs."""
    statements_by(body_of)
    names.begin(tree.root_node)
    top = tree.root_node.named_children
    imports = [item for node in top if node.type == "import_declaration" for item in imported(node)]
    if not imports:
        imports = [ir.Import(1, tuple((path.rpartition(".")[2], path) for path in _STANDARD.split()))]
    names.packages.update(pair for item in imports for pair in item.names)
    for node in top:
        declared(node)
    methods: dict[str, list[Node]] = {}
    for node in top:
        if node.type == "method_declaration":
            receiver = params_of(node.child_by_field_name("receiver"))
            methods.setdefault(receiver[0].type if receiver else "_", []).append(node)
    classes = [class_of(name, methods.pop(name, [])) for name in by_need([*names.types])]
    classes += [class_of(name, nodes) for name, nodes in methods.items()]
    first: list[Any] = []
    rest: list[Any] = []
    for node in top:
        if node.type in ("import_declaration", "method_declaration", "type_declaration", "package_clause"):
            continue
        for item in _statement(node):
            (first if isinstance(item, ir.Function) or node.type == "const_declaration" else rest).append(item)
    return (*imports, *(made for made in classes if made is not None), *first, *(_may_change(item) for item in rest))


def _may_change(item: Any) -> Any:
    """A variable of a package may be set in another file: what it is at first is no constant, unless it is a text."""
    value = getattr(item, "value", None)
    if (
        isinstance(item, ir.Assign)
        and isinstance(value, ir.Const)
        and (not isinstance(value.value, str) or not value.value)
    ):
        return item._replace(value=ir.Other(item.line, ()))
    return item


def body_of(node: Node | None) -> tuple[Any, ...]:
    """The statements in a block, whose variables are its own."""
    names.enter()
    made = tuple(_statements(node.named_children if node is not None else ()))
    names.leave()
    return made


def _statements(nodes: Sequence[Node]) -> Iterator[Any]:
    for child in nodes:
        if child.type == "statement_list":
            yield from _statements(child.named_children)
        else:
            yield from _statement(child)


def _statement(node: Node) -> Iterator[Any]:
    known = _STATEMENTS.get(node.type)
    if known is not None:
        yield from known(node)
    elif node.type in _LEAVES:
        yield ir.Leave(line_of(node), _LEAVES[node.type])
    elif node.type not in SKIPPED:
        yield ir.Do(line_of(node), expression(node))


# --- variables


def _type(node: Node) -> Iterator[Any]:
    """Types that a function declares for itself."""
    for name in declared(node):
        made = class_of(name, [])
        if made is not None:
            yield made


def _assigned(node: Node, left: Sequence[Node], right: Sequence[Node], *, new: bool) -> Iterator[Any]:
    line = line_of(node)
    values = [expression(child) for child in right]
    targets = [_target(child, new=new) for child in left]
    plain = [text_of(child) for child in left if child.type == "identifier"]
    kind = OUTSIDE if not new and any(names.is_outside(name) for name in plain) else ""
    if len(values) == len(targets):
        if new or len(values) == 1:
            for number, target in enumerate(targets):
                yield ir.Assign(line_of(right[number]), (target,), values[number], kind)
        else:
            pairs = (tuple((None, item) for item in items) for items in (targets, values))
            into, made = (ir.Make(line, "tuple", items) for items in pairs)
            yield ir.Assign(line, (into,), made, kind)
    elif len(values) == 1:
        if right[0].type == "index_expression" and len(targets) == 2:
            yield ir.Assign(line, (targets[1],), member_of(right[0]), kind)
            yield ir.Assign(line, (targets[0],), values[0], kind)
            return
        items = tuple(("says" if _SAYS.search(text_of(child)) else None, target)
                      for child, target in zip(left, targets, strict=True))  # fmt: skip
        yield ir.Assign(line, (ir.Make(line, "answers", items),), values[0], kind)


def _target(node: Node, *, new: bool) -> Any:
    if new and node.type == "identifier":
        return ir.Name(line_of(node), names.declare(text_of(node)))
    return expression(node)


def _short(node: Node) -> Iterator[Any]:
    left, right = node.child_by_field_name("left"), node.child_by_field_name("right")
    if left is not None and right is not None:
        yield from _assigned(node, children(left), children(right), new=True)


def _assignment(node: Node) -> Iterator[Any]:
    left, right = node.child_by_field_name("left"), node.child_by_field_name("right")
    operator = text_of(node.child_by_field_name("operator"))
    if left is None or right is None:
        return
    if operator not in ("=", ""):
        target = whole(left)
        outer = OUTSIDE if isinstance(target, ir.Name) and names.is_outside(text_of(left)) else ""
        yield ir.Assign(line_of(node), (target,), ir.Op(line_of(node), operator[:-1], target, whole(right)), outer)
    else:
        yield from _assigned(node, children(left), children(right), new=False)


def _counted(node: Node) -> Iterator[Any]:
    target, line = whole(node), line_of(node)
    yield ir.Assign(
        line, (target,), ir.Op(line, "+" if node.type == "inc_statement" else "-", target, ir.Const(line, 1))
    )


def _declaration(node: Node) -> Iterator[Any]:
    for child in node.named_children:
        if child.type == "var_spec_list":
            yield from _declaration(child)
        if child.type not in ("var_spec", "const_spec"):
            continue
        left, value = child.children_by_field_name("name"), child.child_by_field_name("value")
        kind = child.child_by_field_name("type")
        if value is not None:
            yield from _assigned(child, left, children(value), new=True)
        elif child.type == "var_spec":
            for name in left:
                yield ir.Assign(line_of(name), (_target(name, new=True),), names.zero(kind))


# --- ways


def _if(node: Node) -> Iterator[Any]:
    names.enter()
    first = node.child_by_field_name("initializer")
    if first is not None:
        yield from _statement(first)
    test = condition(node.child_by_field_name("condition"))
    yes = body_of(node.child_by_field_name("consequence"))
    other = node.child_by_field_name("alternative")
    no = tuple(_if(other)) if other is not None and other.type == "if_statement" else body_of(other)
    names.leave()
    yield ir.If(line_of(node), test, yes, no)


def _loop(node: Node) -> Iterator[Any]:
    names.enter()
    line, body = line_of(node), node.child_by_field_name("body")
    head = next((child for child in children(node) if child != body), None)
    if head is not None and head.type == "range_clause":
        loop = _range(node, head, body)
        yield loop
        text = at(head, "right")
        if isinstance(text, ir.Name) and sifts(loop.body):
            yield ir.Do(line, called(line, "@sifted", text))
    elif head is not None and head.type == "for_clause":
        first, step = head.child_by_field_name("initializer"), head.child_by_field_name("update")
        if first is not None:
            yield from _statement(first)
        inner = (*body_of(body), *(_statement(step) if step is not None else ()))
        yield ir.Loop(line, None, None, None if head.child_by_field_name("condition") else ir.Const(line, True), inner)
    else:
        test = condition(head) if head is not None else ir.Const(line, True)
        yield ir.Loop(line, None, None, test, body_of(body))
    names.leave()


def _range(node: Node, head: Node, body: Node | None) -> ir.Loop:
    left, line = head.child_by_field_name("left"), line_of(node)
    through = called(line, "@range", at(head, "right"))
    new = any(child.type == ":=" for child in head.children)
    targets = [_target(child, new=new) for child in (children(left) if left is not None else ())]
    target = ir.Make(line, "tuple", tuple((None, item) for item in targets))
    return ir.Loop(line, target, through, None, body_of(body))


def _switch(node: Node) -> Iterator[Any]:
    """Cases as branches; one that runs on into the next is taken for one that does not."""
    names.enter()
    first, value = node.child_by_field_name("initializer"), node.child_by_field_name("value")
    if first is not None:
        yield from _statement(first)
    made: list[tuple[Any, tuple[Any, ...]]] = []
    for case in node.named_children:
        if case.type in ("expression_case", "default_case"):
            found = case.child_by_field_name("value")
            tests = [_is(case, value, item) for item in (children(found) if found is not None else ())]
            made.append((_any(line_of(case), tests) if case.type != "default_case" else None, _case(case)))
        elif case.type in ("type_case", "communication_case"):
            made.append((ir.Other(line_of(case), ()), _case(case)))
    names.leave()
    yield from _branches(node, made)


def _is(case: Node, subject: Node | None, value: Node) -> Any:
    return ir.Compare(line_of(case), "==", expression(subject), expression(value)) if subject is not None \
        else condition(value)  # fmt: skip


def _any(line: int, tests: list[Any]) -> Any:
    found = tests[0] if tests else ir.Other(line, ())
    for test in tests[1:]:
        found = ir.Logic(line, "or", found, test)
    return found


def _case(case: Node) -> tuple[Any, ...]:
    """The statements of a case; one of a switch over types knows its variable by the type."""
    names.enter()
    made: list[Any] = []
    switch, line = case.parent, line_of(case)
    alias = switch.child_by_field_name("alias") if switch is not None else None
    if alias is not None and switch is not None:
        kinds = {names.type_of(kind) for kind in case.children_by_field_name("type")}
        plain = bool(kinds) and all(re.fullmatch(r"u?int\d*|float\d+|bool|byte|rune|nil|error", kind) for kind in kinds)
        value = called(
            line, "@number" if plain else "@as.string" if kinds == {"string"} else "@as", at(switch, "value")
        )
        made.append(ir.Assign(line, (ir.Name(line, names.declare(text_of(alias))),), value))
    sent = case.child_by_field_name("communication")
    made += _statement(sent) if sent is not None else ()
    given = ("value", "type", "communication")
    inside = [child for number, child in enumerate(case.children)
              if child.is_named and case.field_name_for_child(number) not in given]  # fmt: skip
    made += _statements(inside)
    names.leave()
    return tuple(made)


def _branches(node: Node, made: list[tuple[Any, tuple[Any, ...]]]) -> Iterator[Any]:
    otherwise = next((body for test, body in made if test is None), ())
    for test, body in reversed(made):
        left = _unbroken(otherwise)
        otherwise = (ir.If(test.line, test, _unbroken(body), left),) if test is not None else left
    inner = "break" in text_of(node) and any(_breaks(item) for item in otherwise)
    if inner:
        line = line_of(node)
        yield ir.Loop(line, None, None, ir.Const(line, True), (*otherwise, ir.Leave(line, "break")))
    else:
        yield from otherwise


def _unbroken(body: tuple[Any, ...]) -> tuple[Any, ...]:
    return body[:-1] if body and isinstance(body[-1], ir.Leave) and body[-1].kind == "break" else body


def _breaks(item: Any) -> bool:
    """Whether something leaves the switch from within a branch."""
    if isinstance(item, ir.If):
        return any(_breaks(inner) for inner in (*item.yes, *item.no))
    return isinstance(item, ir.Leave) and item.kind == "break"


# --- calls and ends


def _do(node: Node) -> Iterator[Any]:
    """A call for its effect; who says that an answer is no page makes it none."""
    inner = children(node)
    if not inner:
        return
    value = expression(inner[-1])
    yield ir.Do(line_of(node), value)
    if node.type != "expression_statement" and isinstance(value, ir.Call) and isinstance(value.func, ir.Function):
        for around in names.later[-1:]:  # what comes until the end of the function is seen by it
            around.append(ir.Do(line_of(node), value))
    if not isinstance(value, ir.Call) or len(value.args) != 2 or not isinstance(value.func, ir.Attr):
        return
    func, name = value.func, value.args[0]
    headers = func.of.func if isinstance(func.of, ir.Call) else None
    if func.name in ("Set", "Add") and isinstance(headers, ir.Attr) and headers.name == "Header":
        known = isinstance(name, ir.Const) and str(name.value).lower() == "content-type"
        if known and isinstance(headers.of, ir.Name):
            yield ir.Assign(value.line, (headers.of,), called(value.line, "@typed", headers.of, value.args[1]))


def _sent(node: Node) -> Iterator[Any]:
    channel, line = node.child_by_field_name("channel"), line_of(node)
    target = at(node, "channel")
    outer = OUTSIDE if channel is not None and names.is_outside(text_of(channel)) else ""
    yield ir.Assign(line, (target,), called(line, "@append", target, at(node, "value")), outer)


def _return(node: Node) -> Iterator[Any]:
    line = line_of(node)
    inside = next(iter(children(node)), None)
    given = children(inside) if inside is not None else []
    named, only, token = names.results[-1] if names.results else ((), "", False)
    if not given:
        values: list[Any] = [ir.Name(line, names.find(name)) for name in named]
    else:
        values = [condition(given[0])] if only == "bool" and len(given) == 1 else [expression(item) for item in given]
    if token and values:
        yield ir.Do(line, called(line, "jwt.@key", values[0]))
    if len(values) < 2:
        yield ir.Return(line, values[0] if values else ir.Const(line, None))
    else:
        yield ir.Return(line, ir.Make(line, "answers", tuple((None, value) for value in values)))


def _function(node: Node) -> Iterator[Any]:
    yield function(node, text_of(node.child_by_field_name("name")))


def _labeled(node: Node) -> Iterator[Any]:
    yield from _statements(children(node))


_STATEMENTS: dict[str, Callable[[Node], Iterator[Any]]] = {
    "short_var_declaration": _short, "receive_statement": _short, "assignment_statement": _assignment,
    "inc_statement": _counted, "dec_statement": _counted, "var_declaration": _declaration,
    "var_spec_list": _declaration,
    "const_declaration": _declaration, "type_declaration": _type, "function_declaration": _function,
    "if_statement": _if, "for_statement": _loop, "expression_switch_statement": _switch,
    "type_switch_statement": _switch, "select_statement": _switch, "expression_statement": _do, "go_statement": _do,
    "defer_statement": _do, "send_statement": _sent, "return_statement": _return, "labeled_statement": _labeled,
    "block": lambda node: iter(body_of(node)), "fallthrough_statement": lambda _node: iter(()),
    "empty_statement": lambda _node: iter(()),
}  # fmt: skip
