"""Statements of Solidity in the order that they run in: branches, loops, modifiers, functions that are called."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Final

from tree_sitter import Node

from buril.scanners._taint.nodes import text_of
from buril.scanners._taint.solidity_expressions import Expr, expression
from buril.scanners._taint.solidity_state import NONE, Val, Way, Words, joined, met
from buril.scanners._taint.solidity_tree import Contract, Function, Unit, Variable, inner
from buril.scanners._taint.solidity_values import PLAIN, Values

_DEPTH: Final = 8
_HARMLESS: Final = re.compile(r"(?i)paused|^(?:lock|nonreent|noreent|payable|ensure|checkdeadline|beforedeadline|"
                              r"not(?:zero|null|delegated)|nondelegate|virtual|override$|when|valid|non(?:zero|empty))|"
                              r"log|stats|duration|after|before|time")  # fmt: skip
"""Modifiers, by name, that do not ask who calls."""
_LOCKS: Final = re.compile(r"(?i)^_*(?:nonreent\w*|noreent\w*|lock|locked|mutex|single\w*entr\w*|prevent\w*reent\w*)")
_STARTS: Final = re.compile(r"(?i)^(?:re)?initiali[sz]er$|^onlyinitiali[sz]ing$|^(?:proxy)?initial|uninit|^init")


class Frame:
    """A function that is being run: the ways that ended in it, and what it gives back."""

    __slots__ = ("ends", "function", "loops", "returned")

    def __init__(self, function: Function) -> None:
        self.function = function
        self.ends: list[Way] = []
        self.loops: list[list[Way]] = []
        self.returned: list[Val] = []


class Flow(Values):
    """Runs the functions of a contract."""

    def __init__(self, unit: Unit) -> None:
        self.unit = unit
        self.frames: list[Frame] = []
        self.rest: list[Callable[[Way], Way | None]] = []
        self.unchecked = False
        self.read: dict[int, Expr] = {}

    def at(self, node: Node | None, way: Way) -> Val:
        """The value of an expression that stands in the tree."""
        if node is None:
            return Val()
        found = self.read.get(node.id)
        if found is None:
            found = self.read[node.id] = expression(node)
        return self.value(found, way)

    def enter(self, contract: Contract, function: Function) -> Way | None:
        """Run a function as anybody may call it; what is known at its end."""
        self.contract, self.family = contract, self.unit.family(contract)
        given = [Val(frozenset([f"param:{param.name}"]), type=param.type) for param in function.params]
        way = Way({})
        self.run_function(function, given, way)
        return None if way.dead else way

    def run_function(self, function: Function, given: list[Val], way: Way) -> Val:
        """Run a function with what it is given; the way goes on after it."""
        if len(self.frames) > _DEPTH or any(frame.function is function for frame in self.frames):
            return joined(given)._replace(alias="", yes=NONE, no=NONE)
        frame = Frame(function)
        self.frames.append(frame)
        kept, unchecked, self.unchecked = way.locals, self.unchecked, False
        inside = way.copy()
        inside.locals = {
            param.name: value._replace(type=param.type, alias=_alias(param, value))
            for param, value in zip(function.params, given, strict=False)
        }
        inside.locals |= {item.name: _given_back(item) for item in function.returns}
        ended = self._around(function, 0, inside)
        if ended is not None and not function.uses:
            frame.returned += [ended.locals.get(item.name, Val()) for item in function.returns]
        self.frames.pop()
        self.unchecked = unchecked
        after = met([*frame.ends, ended])
        if after is None:
            way.dead = True
            return Val()
        way.become(after)
        way.locals = kept
        return _answer(frame.returned)

    def _around(self, function: Function, number: int, way: Way) -> Way | None:
        """A function within its modifiers from one on."""
        if number == len(function.uses):
            return self.run(function.body.named_children if function.body is not None else [], way)
        name, args = function.uses[number]
        modifier = next((made for item in self.family for made in item.functions
                         if made.kind == "modifier" and made.name == name), None)  # fmt: skip
        if modifier is None or modifier.body is None:
            way.facts |= _told_by(name)
            return self._around(function, number + 1, way)
        outside = way.locals
        if _LOCKS.search(name):
            way.facts |= {"locked"}
        given = [self.at(arg, way) for arg in args]
        way.locals = {param.name: value for param, value in zip(modifier.params, given, strict=False)}
        within = way.locals

        def goes_on(here: Way) -> Way | None:
            here.locals = dict(outside)
            frame = self.frames[-1]
            before, frame.ends = frame.ends, []
            last = self._around(function, number + 1, here)
            ended = met([*frame.ends, last])
            frame.ends = before
            if ended is not None:
                ended.locals = dict(within)
            return ended

        self.rest.append(goes_on)
        ended = self.run(modifier.body.named_children, way)
        self.rest.pop()
        return ended

    # --- statements

    def run(self, statements: Iterable[Node], way: Way | None) -> Way | None:
        """What is known after some statements; None where none goes on."""
        for statement in statements:
            if way is None or way.dead:
                return None
            way = self._statement(inner(statement), way)
        return None if way is None or way.dead else way

    def _statement(self, node: Node, way: Way) -> Way | None:
        known = _STATEMENTS.get(node.type)
        if known is not None:
            return known(self, node, way)
        if node.type == "assembly_statement":
            return self._assembly(node, way)
        if node.type == "statement":
            return self.run(node.named_children, way)
        self.at(node, way)
        return None if way.dead else way

    def _do(self, node: Node, way: Way) -> Way | None:
        inside = inner(node.named_children[0]) if node.named_children else node
        if inside.type == "identifier" and text_of(inside) == "_" and self.rest:
            goes_on = self.rest.pop()
            ended = goes_on(way)
            self.rest.append(goes_on)
            return ended
        self.at(inside, way)
        return None if way.dead else way

    def _block(self, node: Node, way: Way) -> Way | None:
        before = self.unchecked
        self.unchecked = before or any(child.type == "unchecked" for child in node.children)
        ended = self.run([child for child in node.named_children if child.type != "unchecked"], way)
        self.unchecked = before
        return ended

    def _declare(self, node: Node, way: Way) -> Way | None:
        found = self.at(node.child_by_field_name("value"), way)
        for child in node.named_children:
            names = child.named_children if child.type == "variable_declaration_tuple" else [child]
            for item in names if child.type.startswith("variable_declaration") else ():
                if item.type == "identifier":
                    way.locals[text_of(item)] = found._replace(alias="")
                    continue
                made = Variable(text_of(item.child_by_field_name("name")), text_of(item.child_by_field_name("type")), 0,
                                False, text_of(item.child_by_field_name("location")))  # fmt: skip
                kind = found.type if made.type == "var" else made.type
                way.locals[made.name] = found._replace(type=kind, alias=_alias(made._replace(type=kind), found))
        return None if way.dead else way

    def _if(self, node: Node, way: Way) -> Way | None:
        test = self.at(node.child_by_field_name("condition"), way)
        if way.dead:
            return None
        bodies = node.children_by_field_name("body")
        yes = self.run(bodies[:1], way.copy(test.yes))
        no = way.copy(test.no)
        other = self.run(bodies[1:], no) if len(bodies) > 1 else no
        for ended, facts in ((yes, test.yes), (other, test.no)):
            if ended is not None:
                self.believed(facts)
        return met([yes, other])

    def _loop(self, node: Node, way: Way) -> Way | None:
        first = node.child_by_field_name("initial")
        if first is not None and self._statement(inner(first), way) is None:
            return None
        frame = self.frames[-1]
        frame.loops.append([])
        after: Way | None = way
        for _round in range(2):
            before = met([way, after])
            if before is None:
                break
            condition = node.child_by_field_name("condition")
            test = self._holds_in(condition, before)
            bodies = node.children_by_field_name("body")
            after = self.run(bodies, before.copy(test))
            if after is not None:
                self.at(node.child_by_field_name("update"), after)
        return met([way, after, *frame.loops.pop()])

    def _holds_in(self, condition: Node | None, way: Way) -> Words:
        if condition is None:
            return NONE
        inside = condition.named_children[0] if condition.type == "expression_statement" else condition
        return self.at(inside, way).yes

    def _leave(self, node: Node, way: Way) -> Way | None:
        if self.frames[-1].loops:
            self.frames[-1].loops[-1].append(way)
        return None

    def _return(self, node: Node, way: Way) -> Way | None:
        found = self.at(node.named_children[0], way) if node.named_children else Val()
        if not way.dead:
            self.frames[-1].returned.append(found._replace(yes=found.yes | way.facts, no=found.no | way.facts))
            self.frames[-1].ends.append(way)
        return None

    def _revert(self, node: Node, way: Way) -> Way | None:
        for child in node.named_children:
            self.at(child, way.copy())
        return None

    def _try(self, node: Node, way: Way) -> Way | None:
        self.at(node.child_by_field_name("attempt"), way)
        ways: list[Way | None] = []
        for child in node.named_children:
            if child.type == "block_statement":
                ways.append(self.run([child], way.copy()))
            elif child.type == "catch_clause":
                ways.append(self.run(child.children_by_field_name("body"), way.copy()))
        return met(ways)

    def _assembly(self, node: Node, way: Way) -> Way | None:
        text = text_of(node)
        if re.search(r"\bsstore\s*\(", text):
            way.writes |= {"@slot"}
        if re.search(r"\bcaller\s*\(", text):
            way.facts |= {"own", "auth", "trusted"}  # what it is compared with can't be told
        for name in re.findall(r"(\w+)\s*:=", text):
            if name in way.locals:
                way.locals[name] = Val(frozenset(["answer"]), type=way.locals[name].type)
        return way


def _given_back(made: Variable) -> Val:
    """What a function gives back, under its name, before it is set."""
    if made.place == "storage":  # a place that assembly chooses
        return Val(frozenset(["state:@slot"]), "@slot", made.type)
    return Val(type=made.type)


def _alias(made: Variable, value: Val) -> str:
    """What storage a variable stands for: one of a plain type, or in memory, is a copy."""
    if PLAIN.match(made.type) or made.place in ("memory", "calldata"):
        return ""
    return value.alias


def _answer(returned: list[Val]) -> Val:
    """What a function gives back, and what that says when it is true or not."""
    made = joined(returned)
    ways = [[value.yes for value in returned if "false" not in value.origins],
            [value.no for value in returned if "true" not in value.origins]]  # fmt: skip
    yes, no = (frozenset.intersection(*facts) if facts else NONE for facts in ways)
    return made._replace(origins=made.origins - {"true", "false"}, yes=yes, no=no)


def _told_by(name: str) -> Words:
    """What a modifier from elsewhere says by its name."""
    if _LOCKS.search(name):
        return frozenset(["locked"])
    if _STARTS.search(name):
        return frozenset(["starts"])
    return NONE if _HARMLESS.search(name) else frozenset(["auth", "trusted"])


_STATEMENTS: Final[dict[str, Callable[[Flow, Node, Way], Way | None]]] = {
    "expression_statement": Flow._do, "block_statement": Flow._block, "function_body": Flow._block,
    "variable_declaration_statement": Flow._declare, "if_statement": Flow._if, "for_statement": Flow._loop,
    "while_statement": Flow._loop, "do_while_statement": Flow._loop, "break_statement": Flow._leave,
    "continue_statement": Flow._leave, "return_statement": Flow._return, "revert_statement": Flow._revert,
    "try_statement": Flow._try,
}  # fmt: skip
