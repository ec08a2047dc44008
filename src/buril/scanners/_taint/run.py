"""Statements, run on abstract values: both ways of a branch, a loop twice, code of the file where it is called."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from buril.scanners._taint import ir
from buril.scanners._taint.engine import DROPPED
from buril.scanners._taint.expressions import Expressions
from buril.scanners._taint.guards import truth
from buril.scanners._taint.ir import OUTSIDE
from buril.scanners._taint.rules import Given
from buril.scanners._taint.value import EMPTY, NO_FACTS, Facts, State, Value, joined, met


class Frame:
    """A function that is being run: what it returned so far, the states at its ends, and loops that were left."""

    __slots__ = ("answers", "breaks", "ends", "function", "returned", "web")

    def __init__(self, function: ir.Function | None, *, web: bool = False) -> None:
        self.function, self.web = function, web
        self.returned: list[Value] = []
        self.answers: list[tuple[Value, Facts]] = []
        self.ends: list[State] = []
        self.breaks: list[list[State]] = []


class Machine(Expressions):
    """Runs statements. `Expressions` evaluates, `Calls` (its base) knows what calls do."""

    def run(self, body: Sequence[Any], state: State | None) -> State | None:
        """The state after some statements; None where none goes on."""
        for statement in body:
            if state is None or self.spent():
                return state
            state = self._STATEMENTS[type(statement)](self, statement, state)
        return state

    def _assign(self, statement: ir.Assign, state: State) -> State:
        self.naming.append(_name_of(statement.targets[0]))
        value = self.value(statement.value, state)
        self.naming.pop()
        if self.typed and isinstance(value.const, bool) and state.cleared:  # a flag: it says what is known here
            value = value.but(facts=(state.cleared, NO_FACTS) if value.const else (NO_FACTS, state.cleared))
        for target in statement.targets:
            self.store(target, value, state)
            if statement.type == OUTSIDE:
                _store_outside(target, value, state)
            self.kept_secret(_name_of(target), value, statement.line)
            if isinstance(target, ir.Name) and len(self.frames) == 1:
                self.misused(f"{target.id}=", target, Given((value,), {}))
        return state

    def _do(self, statement: ir.Do, state: State) -> State | None:
        self.naming.append(DROPPED)
        found = self.value(statement.value, state)
        self.naming.pop()
        return None if found.path.endswith("()") and found.path[:-2] in self.ends else state

    def _return(self, statement: ir.Return, state: State) -> State | None:
        frame = self.frames[-1]
        self.naming.append("")
        found = self.value(statement.value, state) if statement.value is not None else EMPTY
        self.naming.pop()
        if statement.more:
            frame.returned.append(Value(rest=found))
            return state
        self.answered(found, statement, state)
        frame.returned.append(found)
        frame.answers.append((found, state.cleared))
        frame.ends.append(state)
        return None

    def _leave(self, statement: ir.Leave, state: State) -> None:
        if statement.value is not None:
            self.value(statement.value, state)
        breaks = self.frames[-1].breaks
        if statement.kind != "raise" and breaks:
            breaks[-1].append(state)

    def _if(self, statement: ir.If, state: State) -> State | None:
        test = self.value(statement.test, state) if statement.test is not None else EMPTY
        known = truth(test)
        yes = self.run(statement.yes, state.copy(test.facts[0])) if known is not False else None
        no = self.run(statement.no, state.copy(test.facts[1])) if known is not True else None
        return met([yes, no])

    def _loop(self, statement: ir.Loop, state: State) -> State | None:
        frame = self.frames[-1]
        frame.breaks.append([])
        goes_on: State | None = state
        endless = False
        for _round in range(2):
            before = met([state, goes_on])
            if before is None:
                break
            inner = before.copy()
            if statement.through is not None:
                self.store(statement.target, self.element(self.value(statement.through, inner)), inner)
            if statement.test is not None:
                test = self.value(statement.test, inner)
                inner = inner.copy(test.facts[0])
                endless = truth(test) is True
            goes_on = self.run(statement.body, inner)
        left = frame.breaks.pop()
        done = None if endless else met([state, goes_on])
        if done is not None and statement.otherwise:
            done = self.run(statement.otherwise, done)
        return met([done, *left])

    def _try(self, statement: ir.Try, state: State) -> State | None:
        before = state.copy()
        after = self.run(statement.body, state.copy())
        ways = [self.run(statement.otherwise, after) if after is not None else None]
        start = met([before, State(after.variables, before.cleared, before.outer) if after is not None else None])
        for name, body in statement.handlers:
            if start is not None:
                inner = start.copy()
                if name:
                    inner.variables[name] = Value(path="@problem")
                ways.append(self.run(body, inner))
        done = met(ways)
        if statement.final:
            ended = self.run(statement.final, done if done is not None else before)
            return ended if done is not None else None
        return done

    def _function(self, statement: ir.Function, state: State) -> State:
        for decorator in statement.decorators:
            path = self.value(decorator, state).path
            self.misused(f"{path}@", decorator, Given((), {}))
        for param in statement.params:
            if isinstance(param.default, ir.Const):
                self.kept_secret(param.name, Value(const=param.default.value), param.default.line)
        state.variables[statement.name] = self.code(statement, state)
        return state

    def _class(self, statement: ir.Class, state: State) -> State:
        bases = [self.value(base, state) for base in statement.bases]
        inner = State({}, state.cleared, state)
        self.run(statement.body, inner)
        parts = dict(inner.variables)
        for base in bases:
            if base.code is not None and base.parts:
                parts = {**base.parts, **parts}
        path = next((base.path for base in bases if base.path), "")
        made = Value(path=f"@class.{path or statement.name}", parts=parts, code=(statement, state))
        state.variables[statement.name] = made
        self.classes.append(made)
        for name, part in inner.variables.items():
            if part.code is not None and isinstance(part.code[0], ir.Function) and not name.startswith("__"):
                self.methods.setdefault(name, []).append(made)
        if self.typed:
            inner.variables.clear()  # a method is no name within another one
        return state

    def _import(self, statement: ir.Import, state: State) -> State:
        for alias, dotted in statement.names:
            if state.find(alias) is None or alias not in self.defined:
                state.variables[alias] = Value(path=dotted)
        return state

    # --- code of the file

    def call_code(self, function: ir.Function, outer: State, bound: dict[str, Value], state: State) -> Value:
        """Run a function of the file with its parameters bound; what it showed harmless is so for the caller."""
        seen = outer if outer.outer is not None else None  # what a function within another sees differs by the call
        key = (id(function), seen, tuple((name, value.key()) for name, value in bound.items()), state.cleared)
        sees = self.typed and not function.name and outer.outer is not None  # what it sees may have changed
        known = self.memory.get(key) if not sees else None
        if known is None:
            if len(self.frames) > self.DEPTH or any(frame.function is function for frame in self.frames):
                return joined(Value(taints=value.inside()) for value in bound.values()) if bound else EMPTY
            known = self.memory[key] = self._called(function, outer, bound, state)
        returned, cleared, after = known  # of `_called`
        state.cleared |= cleared
        bound.update(after)
        return returned

    def _called(
        self, function: ir.Function, outer: State, bound: dict[str, Value], state: State
    ) -> tuple[Value, Facts, dict[str, Value]]:
        frame = Frame(function)
        self.frames.append(frame)
        inner = State({**self._defaults(function, outer), **bound}, state.cleared, outer)
        end = self.run(function.body, inner)
        self.frames.pop()
        ends = [*frame.ends, *([end] if end is not None else [])]
        last = met(ends)
        if end is not None and frame.ends:
            frame.returned.append(Value(const=None))
        if end is not None:
            frame.answers.append((Value(const=None), end.cleared))
        cleared = frozenset.intersection(*(item.cleared for item in ends)) if ends else state.cleared
        after = {name: last.variables.get(name, value) for name, value in bound.items()} if last else {}
        self.called.add(id(function))
        return _with_facts(joined(frame.returned), frame.answers), cleared, after

    def _defaults(self, function: ir.Function, outer: State) -> dict[str, Value]:
        return {param.name: self.value(param.default, outer) for param in function.params if param.default is not None}

    def enter(self, function: ir.Function, outer: State, bound: dict[str, Value], *, web: bool) -> State | None:
        """Run a function as somebody from outside would call it; the state at its end."""
        self.frames.append(Frame(function, web=web))
        inner = State({**self._defaults(function, outer), **bound}, outer=outer)
        end = self.run(function.body, inner)
        frame = self.frames.pop()
        return met([*frame.ends, end])

    _STATEMENTS: dict[type, Callable[..., State | None]] = {
        ir.Assign: _assign, ir.Do: _do, ir.Return: _return, ir.Leave: _leave, ir.If: _if, ir.Loop: _loop,
        ir.Try: _try, ir.Function: _function, ir.Class: _class, ir.Import: _import,
    }  # fmt: skip


def _store_outside(target: Any, value: Value, state: State) -> None:
    """A variable of a function around may hold this as well."""
    if isinstance(target, ir.Make):
        for number, (_key, item) in enumerate(target.items):
            _store_outside(item, value.slot(number) if value.parts is not None else value, state)
        return
    scope = state.outer if isinstance(target, ir.Name) else None
    while scope is not None:
        before = scope.variables.get(target.id)
        if before is not None:
            scope.variables[target.id] = joined([before, value])
            return
        scope = scope.outer


def _with_facts(value: Value, answers: Sequence[tuple[Value, Facts]]) -> Value:
    """What a function gives, with what it says of inputs; of several answers the last one says it."""
    if value.path != "@answers" or not value.parts:
        return value.but(facts=_facts(answers))
    last = max(value.parts)
    said = _facts([(answer.slot(last), cleared) for answer, cleared in answers if answer.path == "@answers"])
    return value.but(parts={**value.parts, last: value.parts[last].but(facts=said)})


def _facts(answers: Sequence[tuple[Value, Facts]]) -> tuple[Facts, Facts]:
    """What the answer of a function says of inputs, when it is true and when it is false."""
    found = []
    for way in (True, False):
        ways = [cleared | value.facts[0 if way else 1] for value, cleared in answers if truth(value) in (None, way)]
        found.append(frozenset.intersection(*ways) if ways else NO_FACTS)
    return found[0], found[1]


def _name_of(target: Any) -> str:
    """What a target is called, for rules that look at names."""
    if isinstance(target, ir.Name):
        return target.id
    if isinstance(target, ir.Attr):
        return target.name
    if isinstance(target, ir.Item) and isinstance(target.key, ir.Const):
        return str(target.key.value)
    return ""
