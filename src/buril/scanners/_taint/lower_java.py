"""The trees of Java in the form of `ir.py`: statements. Classes are read by `java_classes.py`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, ClassVar, Final

from tree_sitter import Node, Tree

from buril.scanners._taint import ir
from buril.scanners._taint.java_classes import Classes
from buril.scanners._taint.java_expressions import SKIPPED
from buril.scanners._taint.java_methods import matcher
from buril.scanners._taint.java_names import simple
from buril.scanners._taint.nodes import line_of, text_of

_LEAVES: Final = {"throw_statement": "raise", "break_statement": "break", "continue_statement": "continue"}
_CLASSES: Final = frozenset(
    ["class_declaration", "interface_declaration", "enum_declaration", "record_declaration",
     "annotation_type_declaration"]
)  # fmt: skip
Case = tuple[Any, tuple[Any, ...], bool]
"""A case of a switch: its test (None: any other), its statements, whether it runs on into the next."""


def lower(tree: Tree) -> tuple[Any, ...]:
    """The statements of a file."""
    reader = Lower()
    reader.gather(tree.root_node)
    return tuple(item for child in tree.root_node.named_children for item in reader.statement(child))


class Lower(Classes):
    """Reads statements of one file."""

    def body_of(self, node: Node | None) -> tuple[Any, ...]:
        """The statements in a node."""
        if node is None:
            return ()
        inside = node.named_children if node.type in ("block", "constructor_body") else [node]
        return tuple(item for child in inside for item in self.statement(child))

    def statement(self, node: Node) -> Iterator[Any]:
        """One statement: as many as it stands for."""
        known = self._STATEMENTS.get(node.type)
        if known is not None:
            yield from known(self, node)
        elif node.type in _CLASSES:
            yield from self.class_of(node, text_of(node.child_by_field_name("name")))
        elif node.type in _LEAVES:
            value = self.expression(node.named_children[0]) if node.type == "throw_statement" else None
            yield ir.Leave(line_of(node), _LEAVES[node.type], value)
        elif node.type not in SKIPPED:
            yield self._do(node)

    def _do(self, node: Node) -> Any:
        value = self.whole(node) if node.type == "expression_statement" else self.expression(node)
        if isinstance(value, ir.Bind):
            return ir.Assign(value.line, (value.target,), value.value)
        return ir.Do(line_of(node), value)

    def _nothing(self, _node: Node) -> Iterator[Any]:
        return iter(())

    def _import(self, node: Node) -> Iterator[Any]:
        """Only what is static matters: types are known by their last word."""
        words = text_of(node).rstrip(";").split()
        if len(words) != 3 or words[1] != "static" or words[2].endswith("*"):
            return
        parts = words[2].split(".")
        if len(parts) > 1:
            self.imported[parts[-1]] = parts[-2]
            yield ir.Import(line_of(node), ((parts[-1], ".".join(parts[-2:])),))

    def _declaration(self, node: Node) -> Iterator[Any]:
        kind = simple(node.child_by_field_name("type"))
        for child in node.children_by_field_name("declarator"):
            name, value = child.child_by_field_name("name"), child.child_by_field_name("value")
            if name is None:
                continue
            array = "[]" if child.child_by_field_name("dimensions") is not None else ""
            yield self.declared(name, kind + array, value)

    def declared(self, name: Node, kind: str, value: Node | None) -> Any:
        """A variable and what it begins with."""
        line, called = line_of(name), text_of(name)
        made: Any = ir.Other(line, ())
        if value is not None:
            kind = self.inferred(kind, value)
            plain = self.expression(value)
            if isinstance(plain, ir.Make) and kind == "byte[]":
                plain = self._bytes(line, [item for _key, item in plain.items])
            made = self.typed(kind, plain, line)
            given = plain.args[0] if isinstance(plain, ir.Call) and plain.args else plain
            self.begun[called] = int(not isinstance(given, ir.Const))
            self.keep_text(called, value)
        self.declare(called, kind)
        found = matcher(value) if value is not None else None
        if found is not None:
            self.matching[called] = found
        return ir.Assign(line, (ir.Name(line, called),), made)

    def _if(self, node: Node) -> Iterator[Any]:
        alternative = node.child_by_field_name("alternative")
        test = self.at(node, "condition")
        yield ir.If(line_of(node), test, self.body_of(node.child_by_field_name("consequence")),
                    self.body_of(alternative))  # fmt: skip

    def _loop(self, node: Node) -> Iterator[Any]:
        for first in node.children_by_field_name("init"):
            yield from self.statement(first)
        test = self.at(node, "condition")
        body = self.body_of(node.child_by_field_name("body"))
        after = tuple(self._do(step) for step in node.children_by_field_name("update"))
        yield ir.Loop(line_of(node), None, None, test if node.type != "for_statement" else None, (*body, *after))

    def _each(self, node: Node) -> Iterator[Any]:
        name, line = node.child_by_field_name("name"), line_of(node)
        through, kind = self.at(node, "value"), simple(node.child_by_field_name("type"))
        target = ir.Name(line, text_of(name))
        self.declare(target.id, kind)
        typed = self.typed(kind, target, line)
        first = (ir.Assign(line, (target,), typed),) if typed is not target else ()
        yield ir.Loop(line, target, through, None, (*first, *self.body_of(node.child_by_field_name("body"))))

    def _try(self, node: Node) -> Iterator[Any]:
        resources = node.child_by_field_name("resources")
        for child in resources.named_children if resources is not None else ():
            name = child.child_by_field_name("name")
            if name is not None:
                kind = simple(child.child_by_field_name("type"))
                yield self.declared(name, kind, child.child_by_field_name("value"))
        body = self.body_of(node.child_by_field_name("body"))
        handlers: list[tuple[str, tuple[Any, ...]]] = []
        last: tuple[Any, ...] = ()
        for child in node.named_children:
            if child.type == "catch_clause":
                given = next((part for part in child.named_children if part.type == "catch_formal_parameter"), None)
                name = given.child_by_field_name("name") if given is not None else None
                self.declare(text_of(name), "Exception")
                handlers.append((text_of(name), self.body_of(child.child_by_field_name("body"))))
            elif child.type == "finally_clause":
                last = tuple(item for part in child.named_children for item in self.body_of(part))
        yield ir.Try(line_of(node), body, tuple(handlers), (), last)

    # --- switch

    def _switch(self, node: Node) -> Iterator[Any]:
        """Cases as branches; what runs on into the next case has its statements too."""
        subject = self.at(node, "condition")
        cases = self._cases(node, subject)
        otherwise: tuple[Any, ...] = ()
        bodies = [body for _test, body, _on in cases]
        for number in reversed(range(len(cases))):
            if cases[number][2] and number + 1 < len(cases):
                bodies[number] = (*bodies[number], *bodies[number + 1])
        for (test, _body, _on), body in zip(cases, bodies, strict=True):
            if test is None:
                otherwise = body
        line = line_of(node)
        made = otherwise
        for (test, _body, _on), body in reversed(list(zip(cases, bodies, strict=True))):
            if test is not None:
                made = (ir.If(line, test, body, made),)
        if any(_breaks(body) for body in bodies):
            made = (ir.Loop(line, None, None, ir.Const(line, True), (*made, ir.Leave(line, "break"))),)
        yield from made

    def _cases(self, node: Node, subject: Any) -> list[Case]:
        inside = node.child_by_field_name("body")
        found: list[Case] = []
        tests: list[Any] = []
        for case in inside.named_children if inside is not None else ():
            if case.type not in ("switch_block_statement_group", "switch_rule"):
                continue
            for label in case.named_children:
                if label.type == "switch_label":
                    tests.append(self._label(label, subject))
            body = tuple(
                item for part in case.named_children if part.type != "switch_label" for item in self.body_of(part)
            )
            if not body and case.type == "switch_block_statement_group":
                continue
            runs_on = case.type == "switch_block_statement_group" and not _ends(body)
            if body and isinstance(body[-1], ir.Leave) and body[-1].kind == "break":
                body = body[:-1]
            known = [test for test in tests if test is not None]
            if len(known) < len(tests) or not known:
                found.append((None, body, runs_on))
            else:
                test = known[0]
                for other in known[1:]:
                    test = ir.Logic(line_of(case), "or", test, other)
                found.append((test, body, runs_on))
            tests = []
        return found

    def _label(self, label: Node, subject: Any) -> Any:
        """The test of one label; None for `default`."""
        line = line_of(label)
        if not label.named_children and text_of(label).startswith("default"):
            return None
        values = [child for child in label.named_children if child.type not in SKIPPED]
        made: Any = None
        for child in values:
            constant = text_of(child) if child.type == "identifier" and text_of(child).isupper() else None
            value = ir.Const(line, constant) if constant else self.expression(child)
            one = ir.Compare(line, "==", subject, value)
            made = one if made is None else ir.Logic(line, "or", made, one)
        return made if made is not None else ir.Other(line, ())

    def chosen(self, node: Node) -> Any:
        """A switch that is an expression: a choice; where a case has statements, a function that is called at once."""
        line = line_of(node)
        subject = self.at(node, "condition")
        made: Any = ir.Other(line, ())
        for test, body, _on in reversed(self._cases(node, subject)):
            if len(body) == 1 and isinstance(body[0], ir.Do):
                value: Any = body[0].value
            elif len(body) == 1 and isinstance(body[0], ir.Return):
                value = body[0].value
            elif body and isinstance(body[-1], ir.Leave):
                value = ir.Other(line, ())
            else:
                value = ir.Call(line, ir.Function(line, "", (), body), ())
            made = value if test is None else ir.Choose(line, test, value, made)
        return made

    def _return(self, node: Node) -> Iterator[Any]:
        parts = [child for child in node.named_children if child.type not in SKIPPED]
        line = line_of(node)
        value = self.expression(parts[0]) if parts else ir.Const(line, None)
        scope = self.scopes[-1]
        if isinstance(scope, dict) and "@view" in scope and not _sent_on(value):
            value = ir.Call(line, ir.Name(line, "@view"), (value,), (), (), int(node.end_point[0]) + 1)
        yield ir.Return(line, value)

    def _block(self, node: Node) -> Iterator[Any]:
        yield from self.body_of(node)

    def _inside(self, node: Node) -> Iterator[Any]:
        yield from self.body_of(node.child_by_field_name("body") or node.named_children[-1])

    def _construct(self, node: Node) -> Iterator[Any]:
        """`this(…)` and `super(…)`."""
        inside, around, line = node.child_by_field_name("arguments"), self.around(), line_of(node)
        if inside is None or around is None:
            return
        nodes = [child for child in inside.named_children if child.type not in SKIPPED]
        called = text_of(node.child_by_field_name("constructor"))
        this = self.this(line)
        if called == "this":
            yield ir.Do(line, self.plain(node, ir.Attr(line, this, "constructor"), nodes))
        elif around.base:
            call = self.plain(node, ir.Attr(line, ir.Name(line, around.base), "constructor"), nodes)
            yield ir.Do(line, call._replace(args=(this, *call.args)))

    _STATEMENTS: ClassVar[dict[str, Callable[[Any, Node], Iterator[Any]]]] = {
        "package_declaration": _nothing, "import_declaration": _import, "local_variable_declaration": _declaration,
        "if_statement": _if, "while_statement": _loop, "for_statement": _loop, "do_statement": _loop,
        "enhanced_for_statement": _each, "try_statement": _try, "try_with_resources_statement": _try,
        "switch_expression": _switch, "switch_statement": _switch, "return_statement": _return,
        "yield_statement": _return, "block": _block, "synchronized_statement": _inside,
        "labeled_statement": _inside, "explicit_constructor_invocation": _construct,
        "module_declaration": _nothing, "assert_statement": _nothing,
    }  # fmt: skip


def _sent_on(value: Any) -> bool:
    """Whether a view is an address: `redirect:` or `forward:`."""
    first = value.parts[0] if isinstance(value, ir.Text) and value.parts else value
    return isinstance(first, ir.Const) and str(first.value).startswith(("redirect:", "forward:"))


def _ends(body: tuple[Any, ...]) -> bool:
    """Whether nothing comes after some statements."""
    last = body[-1] if body else None
    if isinstance(last, ir.If):
        return bool(last.no) and _ends(last.yes) and _ends(last.no)
    return isinstance(last, (ir.Leave, ir.Return)) or (isinstance(last, ir.Try) and _ends(last.body))


def _breaks(body: tuple[Any, ...]) -> bool:
    """Whether a case is left from within."""
    for item in body:
        if isinstance(item, ir.Leave) and item.kind == "break":
            return True
        if isinstance(item, ir.If) and (_breaks(item.yes) or _breaks(item.no)):
            return True
        if isinstance(item, ir.Try) and (_breaks(item.body) or any(_breaks(inner) for _name, inner in item.handlers)):
            return True
    return False
