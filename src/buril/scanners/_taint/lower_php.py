"""PHP's trees in the form of `ir.py`: statements, functions, classes, and what stands between `?>` and `<?php`."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

from tree_sitter import Node, Tree

from buril.code.parse import HardParse, parse
from buril.scanners._taint import ir, php_expressions
from buril.scanners._taint.nodes import line_of, text_of
from buril.scanners._taint.php_classes import class_of, constants, define, members
from buril.scanners._taint.php_functions import apart, assigned, augmented, printed
from buril.scanners._taint.php_members import arguments
from buril.scanners._taint.php_names import (
    NAMES,
    SCOPE,
    SKIPPED,
    THIS,
    at,
    begin,
    children,
    end_of,
    expression,
    function_name,
    method,
    whole,
)
from buril.scanners._taint.php_operators import any_of

_UNLESS = {"abort_if": True, "throw_if": True, "abort_unless": False, "throw_unless": False}
"""Functions that end what runs, and whether they do so when what they are given holds."""
_FIRST = (ir.Function, ir.Class)
_TAIL = 300
"""So much of a page's text is kept to tell where in it something is printed."""


def lower(tree: Tree) -> tuple[Any, ...]:
    """The statements of a file. A text without `<?php` is a part of a program."""
    root = tree.root_node
    if not any(child.type == "php_tag" for child in root.children):
        text = root.text or b""
        if b"$" not in text or text.lstrip()[:1] == b"<":
            return ()
        try:
            root = parse("php", b"<?php " + text).root_node
        except HardParse:
            return ()
    php_expressions.use()
    begin(body_of, members)
    for node in root.named_children:
        _known(node)
    body = body_of(root)
    return (*SCOPE.hidden, *body)


def _known(node: Node) -> None:
    """What a file says at its beginning, and which classes it has."""
    if node.type == "namespace_use_declaration":
        _use(node)
    elif node.type in ("class_declaration", "trait_declaration", "enum_declaration", "interface_declaration"):
        SCOPE.classes.add(text_of(node.child_by_field_name("name")))
        SCOPE.own.add(text_of(node.child_by_field_name("name")))
        body = node.child_by_field_name("body")
        SCOPE.own |= {text_of(child.child_by_field_name("name")) for child in (body.named_children if body else ())
                      if child.type == "method_declaration"}  # fmt: skip
    elif node.type == "function_definition":
        SCOPE.own.add(text_of(node.child_by_field_name("name")).lower())
    elif node.type in ("namespace_definition", "compound_statement", "if_statement", "colon_block"):
        SCOPE.namespace = text_of(node.child_by_field_name("name")) or SCOPE.namespace
        for child in node.named_children:
            _known(child)


def _use(node: Node) -> None:
    prefix = next((text_of(child) for child in node.named_children if child.type == "namespace_name"), "")
    group = next((child for child in node.named_children if child.type == "namespace_use_group"), node)
    functions = any(child.type == "function" for child in node.children)
    for clause in group.named_children:
        if not clause.type.startswith("namespace_use") or not clause.named_children:
            continue
        name = text_of(clause.named_children[0]).lstrip("\\")
        full = f"{prefix}\\{name}" if prefix else name
        last = full.rpartition("\\")[2]
        alias = text_of(clause.child_by_field_name("alias")) or last
        if functions or any(child.type == "function" for child in clause.children):
            SCOPE.functions[alias.lower()] = last.lower()
        else:
            SCOPE.uses[alias] = full


def body_of(node: Node | None) -> tuple[Any, ...]:
    """The statements in a node; functions and classes first, as they are known before the first line runs."""
    if node is None:
        return ()
    inside = node.named_children if node.type in _BLOCKS else [node]
    made = list(_statements(inside))
    first = [item for item in made if isinstance(item, _FIRST)]
    return (*first, *(item for item in made if not isinstance(item, _FIRST))) if first else tuple(made)


def _statements(nodes: list[Node]) -> Iterator[Any]:
    """Statements with the text of the page between them: what is printed is judged by where in a tag it lands."""
    page, echoing = "", False
    for node in nodes:
        if node.type in ("text_interpolation", "text", "php_tag"):
            text = text_of(node)
            between = re.sub(r"^\?>\n?|<\?(?:php|=)$", "", text)
            page = (page + between)[-_TAIL:]
            echoing = text.endswith("<?=")
        elif node.type == "echo_statement" or (echoing and node.type in ("expression_statement", "ERROR")):
            yield ir.Do(line_of(node), printed(line_of(node), _shown(node, page), end_of(node)))
            page, echoing = page + "x" if page else "", echoing and node.type == "ERROR"
        else:
            yield from _statement(node)


def _shown(node: Node, page: str) -> list[Any]:
    parts = children(node)
    while len(parts) == 1 and parts[0].type in ("sequence_expression", "parenthesized_expression"):
        parts = children(parts[0])
    shown = [expression(part) for part in parts]
    if shown and page and "<" in page:
        begin_of = page[page.rindex("<") :]
        rest = shown[0].parts if isinstance(shown[0], ir.Text) else (shown[0],)
        shown[0] = ir.Text(line_of(node), (ir.Const(line_of(node), begin_of), *rest))
    return shown


def _statement(node: Node) -> Iterator[Any]:
    known = _STATEMENTS.get(node.type)
    if known is not None:
        yield from known(node)
    elif node.type not in SKIPPED and node.is_named:
        yield ir.Do(line_of(node), whole(node))


def _expression_statement(node: Node) -> Iterator[Any]:
    parts = children(node)
    if parts:
        yield from _do(parts[0])


def _do(node: Node) -> Iterator[Any]:
    """An expression as a statement."""
    line = line_of(node)
    if node.type == "parenthesized_expression" and children(node):
        yield from _do(children(node)[0])
    elif node.type in ("assignment_expression", "reference_assignment_expression"):
        yield from _assign(node)
    elif node.type == "augmented_assignment_expression":
        yield ir.Assign(line, (at(node, "left"),), augmented(node))
    elif node.type == "throw_expression":
        yield ir.Leave(line, "raise", whole(node))
    elif node.type == "function_call_expression" and _ends(node):
        yield from _exit(node)
    elif node.type == "function_call_expression" and _function(node) in ("extract", "define", "array_walk"):
        yield from _with_variables(node)
    elif (branch := _branch(node)) is not None:
        yield branch
    else:
        yield ir.Do(line, expression(node))


def _function(node: Node) -> str:
    func = node.child_by_field_name("function")
    return function_name(func) if func is not None and func.type in NAMES else ""


def _ends(node: Node) -> bool:
    return _function(node) in ("exit", "die") or text_of(node).lower() in ("exit", "die")


def _branch(node: Node) -> Any:
    """`$a or die()` is a branch."""
    name = _function(node) if node.type == "function_call_expression" else ""
    if name in _UNLESS:
        args = arguments(node.child_by_field_name("arguments"))[0]
        leave = (ir.Leave(line_of(node), "raise"),)
        return ir.If(line_of(node), args[0] if args else None, *((leave, ()) if _UNLESS[name] else ((), leave)))
    if node.type != "binary_expression":
        return None
    operator = text_of(node.child_by_field_name("operator")).lower()
    right = node.child_by_field_name("right")
    if operator not in ("or", "||", "and", "&&") or right is None:
        return None
    then = tuple(_exit(right)) if _ends(right) or right.type == "exit_statement" else tuple(_do(right))
    yes, no = (then, ()) if operator in ("and", "&&") else ((), then)
    return ir.If(line_of(node), at(node, "left"), yes, no)


def _exit(node: Node) -> Iterator[Any]:
    """The end of the program, which prints what it is given."""
    inside = node.child_by_field_name("arguments")
    parts = arguments(inside)[0] if inside is not None else [expression(child) for child in children(node)]
    if parts and node.type != "name":
        yield ir.Do(line_of(node), printed(line_of(node), parts, end_of(node)))
    yield ir.Leave(line_of(node), "raise")


def _assign(node: Node) -> Iterator[Any]:
    left, right, line = node.child_by_field_name("left"), at(node, "right"), line_of(node)
    if left is None:
        return
    if left.type in ("list_literal", "array_creation_expression"):
        taken = ir.Name(line, "@taken")
        yield ir.Assign(line, (taken,), right)
        for target, part in apart(left, taken):
            yield ir.Assign(line, (target,), part)
        return
    made = assigned(line, left, right)
    if isinstance(made, ir.Bind):
        yield ir.Assign(line, (made.target,), made.value)
    else:
        yield ir.Do(line, made)


def _with_variables(node: Node) -> Iterator[Any]:
    """`define` names a constant; `array_walk` changes what it is given; `extract` sets variables of any name."""
    line, name = line_of(node), _function(node)
    made = expression(node)
    args = arguments(node.child_by_field_name("arguments"))[0]
    if isinstance(made, ir.Bind):
        yield ir.Assign(line, (made.target,), made.value)
        return
    yield ir.Do(line, made)
    if name == "array_walk" and len(args) > 1 and isinstance(args[0], (ir.Name, ir.Attr)):
        func = args[1]
        if isinstance(func, ir.Function) and func.params:
            changed = ir.Return(line, ir.Name(line, func.params[0].name))
            inner: Any = ir.Call(line, func._replace(body=(*func.body, changed)), (ir.Name(line, "@item"),))
            rounds = ((ir.Name(line, "@item"), method(args[0], "values"), ()),)
            yield ir.Assign(line, (args[0],), ir.Each(line, "list", inner, rounds))
    elif name == "extract" and args:
        for used in sorted(_variables(node)):
            yield ir.Assign(line, (ir.Name(line, used),), ir.Logic(
                line, "or", ir.Item(line, args[0], ir.Const(line, used[1:])), ir.Name(line, used)))  # fmt: skip


def _variables(node: Node) -> set[str]:
    """The variables that a function, or a file outside of functions, reads after a place."""
    around: Node = node
    while around.parent is not None and around.type not in _FUNCTIONS:
        around = around.parent
    found: set[str] = set()
    waiting = [around]
    while waiting and len(found) < 50:
        item = waiting.pop()
        if item.end_byte > node.end_byte and (item is around or item.type not in _FUNCTIONS):
            waiting += item.named_children
        if item.type == "variable_name" and item.start_byte > node.end_byte:
            found.add(text_of(item))
    return found - {THIS}


# --- branches and loops


def _if(node: Node) -> Iterator[Any]:
    no: tuple[Any, ...] = ()
    for clause in reversed(node.children_by_field_name("alternative")):
        body = body_of(clause.child_by_field_name("body"))
        asked = clause.type == "else_if_clause"
        no = (ir.If(line_of(clause), at(clause, "condition"), body, no),) if asked else body
    yield ir.If(line_of(node), at(node, "condition"), body_of(node.child_by_field_name("body")), no)


def _foreach(node: Node) -> Iterator[Any]:
    line = line_of(node)
    parts = [child for child in children(node) if child != node.child_by_field_name("body")]
    if len(parts) < 2:
        return
    through, each = expression(parts[0]), parts[1]
    inner, key = (children(each)[-1], children(each)[0]) if each.type == "pair" and children(each) else (each, None)
    changed = inner.type == "by_ref"
    inner = children(inner)[0] if changed and children(inner) else inner
    body = body_of(node.child_by_field_name("body"))
    nested = inner.type in ("list_literal", "array_creation_expression")
    target = ir.Name(line, "@each") if nested else expression(inner)
    if nested:
        body = (*(ir.Assign(line, (item,), part) for item, part in apart(inner, target)), *body)
    if key is not None:
        both = ir.Make(line, "list", ((None, expression(key)), (None, target)))
        yield ir.Loop(line, both, method(through, "items"), None, body)
    else:
        yield ir.Loop(line, target, method(through, "values"), None, body)
    if changed and isinstance(through, (ir.Name, ir.Attr, ir.Item)):
        yield ir.Assign(line, (through,), ir.Make(line, "dict", ((ir.Name(line, "@any"), target),)))


def _for(node: Node) -> Iterator[Any]:
    for first in node.children_by_field_name("initialize"):
        yield from _do(first)
    after = tuple(item for step in node.children_by_field_name("update") for item in _do(step))
    tests = tuple(ir.Do(line_of(test), expression(test)) for test in node.children_by_field_name("condition"))
    body = tuple(item for child in node.children_by_field_name("body") for item in body_of(child))
    yield ir.Loop(line_of(node), None, None, None, (*tests, *body, *after))


def _while(node: Node) -> Iterator[Any]:
    test = at(node, "condition") if node.type == "while_statement" else None
    yield ir.Loop(line_of(node), None, None, test, body_of(node.child_by_field_name("body")))


def _switch(node: Node) -> Iterator[Any]:
    """Cases as branches; one that runs on into the next is taken for one that does not, but where it is empty."""
    subject, inside = at(node, "condition"), node.child_by_field_name("body")
    otherwise: tuple[Any, ...] = ()
    later: tuple[Any, ...] = ()
    for case in reversed(inside.named_children if inside is not None else []):
        value = case.child_by_field_name("value")
        nodes = [child for child in case.named_children if value is None or child != value]
        body = tuple(_statements(nodes))
        body = body[:-1] if body and isinstance(body[-1], ir.Leave) and body[-1].kind == "break" else body
        body = later = body if nodes else later
        if case.type == "default_statement":
            otherwise = body
        elif value is not None:
            truth = isinstance(subject, ir.Const) and subject.value is True
            test = expression(value) if truth else ir.Compare(line_of(case), "==", subject, expression(value))
            otherwise = (_case(case, test, body, otherwise),)
    if any(_breaks(item) for item in otherwise):  # somewhere within: what is left then is the switch
        end = ir.Leave(line_of(node), "break")
        yield ir.Loop(line_of(node), None, None, ir.Const(line_of(node), True), (*otherwise, end))
    else:
        yield from otherwise


def _case(case: Node, test: Any, body: tuple[Any, ...], otherwise: tuple[Any, ...]) -> Any:
    """A case before others: with the next one's test where both do the same."""
    after = otherwise[-1] if len(otherwise) == 1 else None
    if isinstance(after, ir.If) and after.yes is body and body:
        return after._replace(test=any_of([test, after.test]))
    return ir.If(line_of(case), test, body, otherwise)


def _breaks(item: Any) -> bool:
    if isinstance(item, ir.Leave):
        return item.kind != "raise"
    if isinstance(item, ir.If):
        return any(_breaks(inner) for inner in (*item.yes, *item.no))
    return isinstance(item, ir.Try) and any(_breaks(inner) for inner in item.body)


def _try(node: Node) -> Iterator[Any]:
    handlers: list[tuple[str, tuple[Any, ...]]] = []
    final: tuple[Any, ...] = ()
    for child in node.named_children:
        if child.type == "catch_clause":
            name = text_of(child.child_by_field_name("name"))
            handlers.append((name, body_of(child.child_by_field_name("body"))))
        elif child.type == "finally_clause":
            final = body_of(child.child_by_field_name("body"))
    yield ir.Try(line_of(node), body_of(node.child_by_field_name("body")), tuple(handlers), (), final)


def _return(node: Node) -> Iterator[Any]:
    parts = children(node)
    yield ir.Return(line_of(node), expression(parts[0]) if parts else ir.Const(line_of(node), None))


def _leave(node: Node) -> Iterator[Any]:
    yield ir.Leave(line_of(node), "continue" if node.type == "continue_statement" else "break")


def _block(node: Node) -> Iterator[Any]:
    yield from body_of(node)


_FUNCTIONS = frozenset({"function_definition", "method_declaration", "anonymous_function", "arrow_function"})
_BLOCKS = frozenset({"compound_statement", "colon_block", "program", "declaration_list"})
_STATEMENTS: dict[str, Callable[[Node], Iterator[Any]]] = {
    "expression_statement": _expression_statement, "if_statement": _if, "foreach_statement": _foreach,
    "for_statement": _for, "while_statement": _while, "do_statement": _while, "switch_statement": _switch,
    "try_statement": _try, "return_statement": _return, "break_statement": _leave, "continue_statement": _leave,
    "compound_statement": _block, "colon_block": _block, "exit_statement": _exit, "const_declaration": constants,
    "function_static_declaration": constants, "function_definition": define, "class_declaration": class_of,
    "trait_declaration": class_of, "enum_declaration": class_of, "interface_declaration": class_of,
    "namespace_definition": lambda node: iter(body_of(node.child_by_field_name("body"))),
    **dict.fromkeys(
        ("namespace_use_declaration", "global_declaration", "unset_statement", "declare_statement", "goto_statement",
         "named_label_statement", "empty_statement"), lambda _node: iter(())
    ),
}  # fmt: skip
