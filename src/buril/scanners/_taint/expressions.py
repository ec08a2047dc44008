"""Expressions: what is known of their value, and where a value goes when it is assigned."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable
from typing import Any

from buril.scanners._taint import guards, ir
from buril.scanners._taint.builtin import pieces
from buril.scanners._taint.calls import Calls
from buril.scanners._taint.ir import NOTHING
from buril.scanners._taint.rules import Given
from buril.scanners._taint.value import EMPTY, State, Value, joined

_MAX_CONSTANT = 2_000
"""Constants longer than this are not computed."""
_OPERATORS: dict[str, Callable[[Any, Any], Any]] = {
    "+": operator.add, "-": operator.sub, "*": operator.mul, "//": operator.floordiv, "/": operator.truediv,
    "%": operator.mod, "&": operator.and_, "|": operator.or_, "^": operator.xor,
}  # fmt: skip
_COMPARISONS: dict[str, Callable[[Any, Any], Any]] = {
    "==": operator.eq, "!=": operator.ne, "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge,
    "in": lambda left, right: left in right, "not in": lambda left, right: left not in right,
}  # fmt: skip
_TEXT_FORMAT = re.compile(r"%(?:\([^)]*\))?[-#0 +]*[\d.*]*[^diouxXeEfFgG%\d.]")
_FORM = re.compile(r"(?:^|\.)(?:req|ctx|event|request)\.(?:body|query|params|headers|cookies|queryStringParameters)$")
"""What holds several inputs by name."""
_MARKS = ("@safe.", "@lax.", "@plain.", "@default.")
"""How paths begin that say more than a type: what was made harmless, or not; what something is when it is missing."""
_WRONG = (TypeError, ValueError, ArithmeticError, MemoryError, LookupError)


class Expressions(Calls):
    """Evaluates expressions of `ir.py` in a state."""

    def value(self, node: Any, state: State) -> Value:
        """The value of an expression."""
        self.steps += 1
        return self._EXPRESSIONS[type(node)](self, node, state)

    def _const(self, node: ir.Const, state: State) -> Value:
        value = node.value
        return Value(const=value, lead=value if isinstance(value, str) else "")

    def _name(self, node: ir.Name, state: State) -> Value:
        found = state.find(node.id)
        return found if found is not None else self.sourced(node.id, node.line, EMPTY)

    def _attr(self, node: ir.Attr, state: State) -> Value:
        owner = self.value(node.of, state)
        return self.member(owner, node.name, node.line)

    def member(self, owner: Value, name: str, line: int) -> Value:
        """A member of a value: one that was set, code of its class, or a path that may be a source."""
        of_class = owner.path.startswith("@class") and owner.code is not None
        if name == "@tag" and owner.code is not None:
            return owner  # a function of the file before a template
        if owner.parts is not None and name in owner.parts:
            return self._bound_to(owner, owner.parts[name], "classmethod") if of_class else owner.parts[name]
        made_of = owner.owner
        if made_of is not None and owner.path.startswith("@object") and name in (made_of.parts or ()):
            return self._bound_to(owner, (made_of.parts or {})[name], "")
        path = f"{owner.path or '?'}.{name}"
        apart = self.declared or name.startswith("$")  # what lies in one field is in no other
        known = apart and owner.path.startswith("@object") and (owner.parts is not None or not self.declared)
        found = Value(taints=owner.taints if known else owner.inside())
        if _FORM.search(owner.path):
            found = self.keyed(found, name)
        for clean in self.cleans.find(path) if found.taints else ():
            found = self.made_safe(found, clean.kinds)
        return self.sourced(path, line, found)

    def _bound_to(self, owner: Value, found: Value, needed: str) -> Value:
        """A function of a class, as a member of an object or of the class itself; a property is its value."""
        if found.code is None or not isinstance(found.code[0], ir.Function):
            return found
        function, outer = found.code
        kinds = {item.id if isinstance(item, ir.Name) else getattr(item, "name", "") for item in function.decorators}
        if needed and needed not in kinds:
            return found
        if kinds & {"property", "cached_property"} and function.params:
            return self.call_code(function, outer, {function.params[0].name: owner}, State({}))
        if "classmethod" in kinds and owner.owner is not None:
            return found.but(owner=owner.owner)
        return found if "staticmethod" in kinds else found.but(owner=owner)

    def _item(self, node: ir.Item, state: State) -> Value:
        owner = self.value(node.of, state)
        key = self.value(node.key, state)
        if isinstance(owner.const, (str, bytes, tuple)) and isinstance(key.const, int):
            try:
                return Value(const=owner.const[key.const])
            except IndexError:
                return EMPTY
        found = owner.slot(self.place(owner, key.const))
        if isinstance(node.key, ir.Other):  # a part of it, not an element
            found = owner.but(const=NOTHING, lead="")
        elif found is EMPTY and owner.path:
            return self.sourced(f"{owner.path}[]", node.line, Value(taints=owner.inside()))
        return self.keyed(found, key.const) if owner.parts is None else found

    @staticmethod
    def place(owner: Value, key: Any) -> Any:
        """A place counted from the end, as one from the beginning."""
        if isinstance(key, int) and not isinstance(key, bool) and key < 0 and owner.parts and owner.rest is None:
            return len(owner.parts) + key
        return key

    def _text(self, node: ir.Text, state: State) -> Value:
        return self.put_together([self.value(part, state) for part in node.parts])

    @staticmethod
    def put_together(parts: list[Value]) -> Value:
        """Text made of parts, in order."""
        if all(isinstance(part.const, (str, int, float)) for part in parts):
            text = "".join(str(part.const) for part in parts)
            if len(text) <= _MAX_CONSTANT:
                return Value(const=text, lead=text)
        return pieces(parts)

    def _op(self, node: ir.Op, state: State) -> Value:
        left, right = self.value(node.left, state), self.value(node.right, state)
        if left.const is not NOTHING and right.const is not NOTHING and right.parts is None:
            known = _computed(_OPERATORS.get(node.op), left.const, right.const)
            if known is not NOTHING:
                return Value(const=known, lead=known if isinstance(known, str) else "")
        if node.op == "+" and (left.parts is not None or right.parts is not None):
            return joined([left, right])
        if node.op == "%" and isinstance(left.const, str):
            return self._formatted(left, right)
        if node.op == "/" and self.is_path(left):  # pathlib's way to join
            return self.put_together([left, Value(const="/"), right]).but(path="pathlib.Path()")
        if node.op in ("+", "%"):
            return self.put_together([left, right])
        return joined([left, right]).but(const=NOTHING, lead="", path="")

    def _formatted(self, left: Value, right: Value) -> Value:
        """The old way to format: numbers alone are harmless."""
        if not _TEXT_FORMAT.search(left.const):
            return EMPTY
        return self.put_together([Value(const=left.const.split("%")[0]), Value(taints=right.inside())])

    def _compare(self, node: ir.Compare, state: State) -> Value:
        left, right = self.value(node.left, state), self.value(node.right, state)
        known = NOTHING
        if left.const is not NOTHING and right.const is not NOTHING:
            known = _computed(_COMPARISONS.get(node.op), left.const, right.const)
        elif (
            left.const is not NOTHING and node.op in ("in", "not in") and right.parts is not None and right.rest is None
        ):
            inside = [part.const for part in right.parts.values()] if 0 in right.parts else list(right.parts)
            if NOTHING not in inside:
                known = (left.const in inside) == (node.op == "in")
        for side, other in ((node.left, right), (node.right, left)):
            if node.op in ("==", "!=") and isinstance(side, (ir.Name, ir.Attr)):
                self.kept_secret(side.id if isinstance(side, ir.Name) else side.name, other, node.line)
        return Value(const=known, facts=guards.compared(node.op, left, right))

    def _logic(self, node: ir.Logic, state: State) -> Value:
        left = self.value(node.left, state)
        known = guards.truth(left)
        if known is not None and known != (node.op == "and"):
            return left
        right = self.value(node.right, state.copy(left.facts[0 if node.op == "and" else 1]))
        if known is not None:
            return right
        return joined([left, right]).but(const=NOTHING, facts=guards.both(node.op, left, right))

    def _not(self, node: ir.Not, state: State) -> Value:
        value = self.value(node.of, state)
        known = guards.truth(value)
        return Value(const=NOTHING if known is None else not known, facts=guards.opposite(value.facts))

    def _choose(self, node: ir.Choose, state: State) -> Value:
        test = self.value(node.test, state)
        known = guards.truth(test)
        if known is not None:
            return self.value(node.yes if known else node.no, state)
        yes_state, no_state = state.copy(test.facts[0]), state.copy(test.facts[1])
        yes, no = self.value(node.yes, yes_state), self.value(node.no, no_state)
        return joined([self.cleared(yes, yes_state), self.cleared(no, no_state)])

    def _make(self, node: ir.Make, state: State) -> Value:
        parts: dict[Any, Value] = {}
        rests: list[Value] = []
        for key, item in node.items:
            value = self.value(item, state)
            if key is ir.SPREAD:
                inner = joined([Value(taints=value.taints), *(value.parts or {}).values()])
                rests.append(self.element(value) if node.kind != "dict" else inner)
                continue
            place = len(parts) if key is None else self.value(key, state).const
            try:
                if place is NOTHING or rests:
                    rests.append(value)
                else:
                    parts[place] = value
            except TypeError:
                rests.append(value)
        made = Value(parts=parts, rest=joined(rests) if rests else None)
        if node.type:
            return self._written(node, made, state)
        return made.but(path="@answers") if node.kind == "answers" else made

    def _written(self, node: ir.Make, made: Value, state: State) -> Value:
        """An object whose fields are written out, of a type of the file or of a library."""
        found = state.find(node.type)
        own = found is not None and found.code is not None and isinstance(found.code[0], ir.Class)
        whole = self.instance(found).but(parts=made.parts, rest=made.rest) if found is not None and own \
            else made.but(path=node.type)  # fmt: skip
        named = {name: part for name, part in (made.parts or {}).items() if isinstance(name, str)}
        for key, item in node.items:
            name = key.value if isinstance(key, ir.Const) else None
            if isinstance(name, str) and name in named:
                self.kept_secret(name, named[name], item.line)
                self.assigned(whole, ir.Attr(item.line, None, name), named[name], state)
        if not own:
            listed = tuple(part for name, part in (made.parts or {}).items() if name not in named)
            self.look(node.type, ir.Call(node.line, None, (), end_line=node.end_line), Given(listed, named), state)
        return whole

    def _each(self, node: ir.Each, state: State) -> Value:
        inner = state.copy()
        for target, through, tests in node.rounds:
            self.store(target, self.element(self.value(through, inner)), inner)
            for test in tests:
                inner = inner.copy(self.value(test, inner).facts[0])
        element = self.value(node.element, inner)
        return Value(rest=self.cleared(element, inner), parts={})

    def _bind(self, node: ir.Bind, state: State) -> Value:
        value = self.value(node.value, state)
        self.store(node.target, value, state)
        return value

    def _typed(self, node: ir.Typed, state: State) -> Value:
        value = self.value(node.of, state)
        marked = value.path.startswith(_MARKS) and not node.type.startswith(_MARKS)
        own = value.code is not None or value.owner is not None or value.path == "wrapped.request"
        if own or marked or (value.path and not node.sure):
            return value
        return value.but(path=node.type)

    def _other(self, node: ir.Other, state: State) -> Value:
        return joined(self.value(part, state) for part in node.parts if part is not None).but(const=NOTHING, lead="")

    def _lambda(self, node: ir.Function, state: State) -> Value:
        return self.code(node, state)

    def element(self, value: Value) -> Value:
        """What going through a value gives."""
        if isinstance(value.const, str):
            return EMPTY
        if value.parts is not None and value.parts and all(isinstance(key, str) for key in value.parts):
            return Value(taints=value.taints)  # keys that stand in the program
        if value.parts is None and value.rest is None and value.path:
            return self.sourced(f"{value.path}[]", 0, Value(taints=value.inside()))
        found = value.slot(NOTHING)
        return found.but(const=NOTHING) if found.const is not NOTHING else found

    def store(self, target: Any, value: Value, state: State) -> None:
        """Put a value where a target says."""
        if isinstance(target, ir.Name):
            state.variables[target.id] = value
        elif isinstance(target, ir.Make) and target.kind == "answers":
            for number, (key, item) in enumerate(target.items):
                said = Value(path=value.path, facts=value.facts) if key is not None else value
                self.store(item, value.slot(number) if value.path == "@answers" else said, state)
        elif isinstance(target, ir.Make):
            for number, (key, item) in enumerate(target.items):
                inner = self.element(value) if value.parts is None else value.slot(number)
                self.store(item, Value(rest=self.element(value)) if key is ir.SPREAD else inner, state)
        elif isinstance(target, (ir.Attr, ir.Item)):
            owner = self.value(target.of, state)
            key = target.name if isinstance(target, ir.Attr) else self.place(owner, self.value(target.key, state).const)
            self.assigned(owner, target, value, state)
            if isinstance(target.of, (ir.Name, ir.Attr, ir.Item)):
                self.store(target.of, owner.with_slot(key, value), state)

    def is_path(self, value: Value) -> bool:
        """Whether a value is an object that stands for a path of files."""
        return bool(re.match(r"(pathlib\.)?(Pure|Posix|Windows)*Path(\(\)|\.)|pathlib", value.path))

    _EXPRESSIONS: dict[type, Callable[..., Value]] = {
        ir.Const: _const, ir.Name: _name, ir.Attr: _attr, ir.Item: _item, ir.Text: _text, ir.Op: _op,
        ir.Compare: _compare, ir.Logic: _logic, ir.Not: _not, ir.Choose: _choose, ir.Make: _make, ir.Each: _each,
        ir.Bind: _bind, ir.Typed: _typed, ir.Other: _other, ir.Function: _lambda, ir.Call: Calls.call,
        type(None): lambda self, _node, _state: EMPTY,
    }  # fmt: skip


def _computed(operation: Callable[[Any, Any], Any] | None, left: Any, right: Any) -> Any:
    """What an operator makes of two constants; nothing where it can't be told."""
    if operation is None or (operation is operator.mul and (not isinstance(right, int) or right > _MAX_CONSTANT)):
        return NOTHING
    try:
        if operation is operator.mod and isinstance(left, str):
            made: Any = left % (tuple(right) if isinstance(right, list) else right)
        else:
            made = operation(left, right)
    except _WRONG:
        return NOTHING
    return made if not isinstance(made, (str, bytes)) or len(made) <= _MAX_CONSTANT else NOTHING
