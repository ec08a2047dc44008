"""What calls do: code of the file is run, sinks and misuses are noted, inputs are followed through everything else."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from buril.scanners._taint import guards, ir
from buril.scanners._taint.builtin import METHODS, PLACES, RESULTS, result_of
from buril.scanners._taint.engine import Base
from buril.scanners._taint.fills import filled, place_of, read_by
from buril.scanners._taint.ir import NOTHING
from buril.scanners._taint.rules import Given
from buril.scanners._taint.value import ALL, EMPTY, NO_FACTS, State, Value, joined, without

if TYPE_CHECKING:
    from buril.scanners._taint.run import Frame

_READS = frozenset(["get", "Get", "getlist", "getall", "getone", "get_argument", "getfirst", "getvalue"])
_JOINING = frozenset(["join", "joinpath", "Path", "PurePath", "PosixPath", "urljoin", "resolve"])
"""Calls that make one text of several, the way `+` does."""


_EACH = frozenset(["map", "forEach", "filter", "then", "some", "every", "find", "flatMap", "reduce"])
"""Methods that call what they get with what they belong to, or with each of its elements."""
_TAKEN = re.compile(r"(Get|Find|Load|Lookup|Fetch|List|Select|Count)[A-Z]")
_WRAPPER, _REQUEST = re.compile(r"(?i)request|wrap|adapter"), re.compile(r"(^|\.)request$|^HttpServletRequest$")
"""A request that was given to something that is called like another form of it is still one."""


class Calls(Base):
    """Evaluates calls. `Expressions` and `Machine` are built on it."""

    frames: list[Frame]
    given_back: Value | None = None
    """What a function that was handed on gave, for the call that handed it on."""
    value: Callable[[Any, State], Value]
    store: Callable[[Any, Value, State], None]
    member: Callable[[Value, str, int], Value]
    element: Callable[[Value], Value]
    call_code: Callable[[ir.Function, State, dict[str, Value], State], Value]

    def code(self, function: ir.Function, state: State) -> Value:
        """A function as a value, with what it can see from where it stands."""
        self.functions.setdefault(id(function), (function, state))
        return Value(path=f"@code.{function.name}", code=(function, state))

    def call(self, node: ir.Call, state: State) -> Value:
        """The value of a call, and all that it does."""
        func, owner = self._func(node, state)
        given = Given(
            tuple(self._argument(item, state) for item in node.args),
            {name: self._argument(item, state) for name, item in node.named},
            tuple(self.value(item, state) for item in node.spread),
            owner,
        )
        given = _unfolded(given)
        if ir.SETTINGS in given.named:
            given = _settings(given)
        for name, item in given.named.items():
            self.kept_secret(name, item, node.line)
        if func.code is not None and isinstance(func.code[0], ir.Function):
            return self._into(node, func, given, state)
        if func.code is not None:
            return self._made(node, func, given, state)
        path = func.path or "?"
        if func.taints and isinstance(node.func, ir.Name):
            self.look("@called", node, Given((self.cleared(func, state),), {}), state)
        if path == "@enter":
            return given.args[0] if given.args else EMPTY
        method = self._by_name(node, path)
        if method is not None:
            return self._into(node, method, given, state)
        self.look(path, node, given, state)
        for place in self.indirect.find(path):
            self._indirect(place, node, given, state)
        self._callbacks(path, owner, given, state)
        self._changes(node, path, owner, given, state)
        if self.typed:
            self._fills(node, path, given, state)
        return self._result(node, path, owner, given, state)

    def _func(self, node: ir.Call, state: State) -> tuple[Value, Value | None]:
        if isinstance(node.func, ir.Attr):
            owner = self.value(node.func.of, state)
            return self.member(owner, node.func.name, node.line), owner
        found = self.value(node.func, state)
        return found, found.owner

    def _argument(self, node: Any, state: State) -> Value:
        return self.cleared(self.value(node, state), state)

    def _by_name(self, node: ir.Call, path: str) -> Value | None:
        """A method that one class of the file alone has, called on something unknown."""
        name = node.func.name if isinstance(node.func, ir.Attr) else ""
        classes = self.methods.get(name, ()) if name and not path.startswith("@") else ()
        if len(classes) != 1 or name in METHODS or name in RESULTS or self.sinks.find(path) or self.cleans.find(path):
            return None
        if self.typed and re.match(r"[a-z]\w*\.", path.removesuffix(f".{name}")):
            return None  # of a library
        return (classes[0].parts or {})[name].but(owner=self.instance(classes[0]))

    def _indirect(self, place: Any, node: ir.Call, given: Given, state: State) -> None:
        """A function that is handed on together with what it shall get."""
        func = given.at(place)
        if func is None:
            return
        if isinstance(place, int):
            rest = Given(given.args[place + 1 :], given.named, given.spread)
        else:
            args = given.at("args")
            rest = Given(tuple((args.parts or {}).values()) if args is not None else (), {})
        if func.code is not None and isinstance(func.code[0], ir.Function):
            self._into(ir.Call(node.line, None, ()), func, rest, state)
        else:
            self.look(func.path or "?", node, rest, state)

    # --- code of this file

    def _into(self, node: ir.Call, func: Value, given: Given, state: State) -> Value:
        function, outer = func.code
        bound = self._bound(function, func.owner, given)
        found = self.call_code(function, outer, bound, state)
        names = [param.name for param in function.params if not param.kind]
        shared = {param.name for param in function.params if param.shared}
        method = bool(func.owner is not None and names)
        if method and isinstance(node.func, ir.Attr) and isinstance(node.func.of, (ir.Name, ir.Attr)):
            changed = bound[names[0]]
            if changed is not func.owner and changed.parts is not None:
                self.store(node.func.of, changed, state)
        for name, item in zip(names[method:], node.args, strict=False):
            place = place_of(item) if self.typed else item
            shares = isinstance(item, ir.Name) and (bound[name].parts is not None or name in shared)
            if shares or place is not item:  # it may be filled
                self.store(place, bound[name], state)
        return found

    def _bound(self, function: ir.Function, owner: Value | None, given: Given) -> dict[str, Value]:
        plain = [param for param in function.params if not param.kind]
        values = [*([owner] if owner is not None else []), *given.args]
        bound = {param.name: value for param, value in zip(plain, values, strict=False)}
        more = joined(self.element(value) for value in given.spread) if given.spread else None
        for param in plain:
            if param.name in given.named:
                bound[param.name] = given.named[param.name]
            elif param.name not in bound and (more is not None or param.default is None):
                bound[param.name] = more if more is not None else EMPTY
        rest = values[len(plain) :]
        for param in function.params:
            if param.kind == "*":
                bound[param.name] = Value(parts=dict(enumerate(rest)), rest=more)
            elif param.kind == "**":
                known = {param.name for param in plain}
                bound[param.name] = Value(parts={k: v for k, v in given.named.items() if k not in known}, rest=more)
        return bound

    def _made(self, node: ir.Call, func: Value, given: Given, state: State) -> Value:
        """An object of a class of this file, after its `__init__`."""
        if "Enum" in func.path:
            return EMPTY  # one of its values, or an error
        made = self.instance(func)
        start = (func.parts or {}).get("__init__") or (func.parts or {}).get("constructor")
        start = start or (func.parts or {}).get("__construct")
        if start is None or start.code is None:
            places = [item.targets[0].id for item in func.code[0].body
                      if isinstance(item, ir.Assign) and item.type
                      and isinstance(item.targets[0], ir.Name)]  # fmt: skip
            fields = {**dict(zip(places, given.args, strict=False)), **given.named}
            return made.but(parts={**(made.parts or {}), **fields}, rest=joined(given.args) if given.args else None)
        function, outer = start.code
        bound = self._bound(function, made, given)
        self.call_code(function, outer, bound, state)
        names = [param.name for param in function.params if not param.kind]
        return bound[names[0]] if names else made

    @staticmethod
    def instance(made_of: Value) -> Value:
        """An object of a class, before anything was done with it."""
        return Value(path=made_of.path.replace("@class", "@object"), parts={}, owner=made_of)

    def _callbacks(self, path: str, owner: Value | None, given: Given, state: State) -> None:
        """Functions of the file that are handed on are called with what the call has."""
        method = path.rpartition(".")[2]
        each = method in _EACH and owner is not None and path != "functools.reduce"
        for value in given.values():
            if value.code is None or not isinstance(value.code[0], ir.Function) or (len(given.args) < 2 and not each):
                continue
            others = owner if each and owner is not None else joined(item for item in given.args if item is not value)
            function, outer = value.code
            params = [param.name for param in function.params if not param.kind]
            if any(re.search(self.requests, name) for name in params) or any(
                param.type and re.search(self.types, param.type) for param in function.params
            ):
                continue  # it is called from outside
            one = self.element(others) if path in ("map", "filter") or (each and method != "then") else others
            found = self.call_code(function, outer, dict.fromkeys(params, one), state)
            if method == "filter" and found.facts[0] and owner is not None:
                self.given_back = without(owner, found.facts[0])
            elif each:
                self.given_back = Value(rest=found, parts={}) if method in ("map", "flatMap") else found

    # --- everything else

    def _changes(self, node: ir.Call, path: str, owner: Value | None, given: Given, state: State) -> None:
        """Methods that fill the container they belong to."""
        method = path.rpartition(".")[2]
        change = METHODS.get(method)
        if change is None or owner is None or not isinstance(node.func, ir.Attr):
            return
        changed = change(owner, given)
        if changed is not None and isinstance(node.func.of, (ir.Name, ir.Attr, ir.Item)):
            self.store(node.func.of, changed, state)

    def _fills(self, node: ir.Call, path: str, given: Given, state: State) -> None:
        """Calls that put something into their arguments; what is handed on by its address may hold anything then."""
        fills = self.fills.find(path)
        of = node.func.of if isinstance(node.func, ir.Attr) else None
        for number, item, value in (
            (-1, of, given.owner),
            *zip(range(len(given.args)), node.args, given.args, strict=False),
        ):
            place = place_of(item)
            wanted = [fill for fill in fills if (number if number >= 0 else "self") in fill.into]
            if value is None or not (wanted or place is not item or (number >= 0 and value.path == "@zeros()")):
                continue
            if path == "@ref" or not isinstance(place, (ir.Name, ir.Attr, ir.Item)):
                continue
            taints = frozenset(taint for fill in wanted for taint in read_by(fill, given, path, node.line))
            texts = [given.args[n] for fill in wanted if fill.text for n in fill.places
                     if isinstance(n, int) and n < len(given.args)]  # fmt: skip
            self.store(place, filled(value, taints, texts if wanted and wanted[0].text else None), state)

    def _result(self, node: ir.Call, path: str, owner: Value | None, given: Given, state: State) -> Value:
        if path in self.checks and given.args:
            state.cleared |= guards.about(given.args[0])
        known, self.given_back = self.given_back, None
        for computed in self.library.find(path) if known is None else ():
            known = computed(owner, given, self.element)
        if known is None:
            known = result_of(path, owner, given, self.element)
        if known is None:
            known = self._through(path, owner, given)
        if path in self.parses:
            known = known.but(taints=frozenset(taint._replace(id=f"{taint.id}(json)") for taint in known.inside()))
        asks = self.asks.find(path)
        facts = asks[0](owner, given) if asks else guards.asked(path, owner, list(given.args))
        if path in self.fails and given.args:
            facts = (NO_FACTS, guards.about(given.args[0]))
        for kinds in self.cleans.find(path):
            known = self.made_safe(known, kinds.kinds)
        if path.rpartition(".")[2] in _READS and owner is not None and owner.parts is None:
            known = self.keyed(known, _first_text(given) or NOTHING)
        elif owner is not None and owner.taints and self.parts.search(path.rpartition(".")[2]):
            known = self.keyed(known, _first_text(given) or path.rpartition(".")[2])
        made = self.sourced(f"{path}()", node.line, known, key=_first_text(given))
        return made.but(facts=facts) if facts[0] or facts[1] else made

    def _through(self, path: str, owner: Value | None, given: Given) -> Value:
        """What comes out of something unknown holds what went in."""
        if self.inert.find(path):
            return EMPTY
        name = path.rpartition(".")[2]
        taken = self.typed and _TAKEN.match(name) is not None  # by a key, which is not in it
        taints = frozenset(taint for value in given.values() for taint in value.inside() if not taken)
        if owner is not None:
            taints |= owner.inside()
        if _WRAPPER.search(name) and any(_REQUEST.search(value.path) for value in given.args):
            return Value(path="wrapped.request", taints=taints)
        if name in _JOINING and len(given.args) + (name == "joinpath") > 1:
            taints = frozenset(taint._replace(built=True) for taint in taints)
        return Value(taints=taints, lead=given.args[0].lead if name in ("join", "Path") and given.args else "")

    @staticmethod
    def keyed(value: Value, key: Any) -> Value:
        """An element of an input is an input of its own: what is said of one says nothing of the others."""
        if not isinstance(key, str) or not value.taints:
            return value
        return value.but(taints=frozenset(taint._replace(id=f"{taint.id}[{key}]") for taint in value.taints))

    @staticmethod
    def made_safe(value: Value, kinds: str) -> Value:
        if kinds == ALL:
            return value.but(taints=frozenset(), parts=None, rest=None)
        names = frozenset(kinds.split())
        taints = frozenset(taint._replace(safe=_safer(taint.safe, names)) for taint in value.inside())
        return value.but(taints=taints, parts=None, rest=None)

    def answered(self, value: Value, statement: ir.Return, state: State) -> None:
        """What the function that runs gives back; of a web handler it goes to the browser."""
        if self.suspicious and re.match(r"\s*<[a-zA-Z!]", value.lead) and value.parts is None:
            self.reach("xss", self.cleared(value, state), statement.line, statement.line)
        if not self.frames[-1].web:
            return
        if value.parts is not None:  # with a status beside it; an object is sent as JSON
            value = value.parts.get(0, EMPTY)
        if value.parts is None:
            self.reach("xss", self.cleared(value, state), statement.line, statement.line)

    def assigned(self, owner: Value, target: ir.Attr | ir.Item, value: Value, state: State) -> None:
        """A member or an element is set: some places are sinks."""
        path = owner.path or "?"
        place = f"{path}.{target.name}=" if isinstance(target, ir.Attr) else f"{path}@="
        key = self.value(target.key, state) if isinstance(target, ir.Item) else EMPTY
        given = Given((self.cleared(value, state), self.cleared(key, state)), {})
        for sink in self.sinks.find(place):
            self.at_sink(sink, target, given, place)
        self.misused(place, target, given)


def _safer(known: frozenset[str], more: frozenset[str]) -> frozenset[str]:
    """Kinds that are harmless by now: what escapes for every place makes up for what did so for some."""
    for kind, marks in PLACES:
        if kind in more and not more & marks:
            known = known - marks
        elif kind in known and not known & marks:
            more = more - marks
    return known | more


def _unfolded(given: Given) -> Given:
    """Arguments by name that were handed on as a container that is known."""
    known = {str(name): part for value in given.spread if value.rest is None and not value.taints
             for name, part in (value.parts or {}).items() if isinstance(name, str)}  # fmt: skip
    return given._replace(named={**known, **given.named}) if known else given


def _settings(given: Given) -> Given:
    """Arguments by name that were handed on in a variable."""
    named = {name: value for name, value in given.named.items() if name != ir.SETTINGS}
    value = given.named[ir.SETTINGS]
    if value.code is None and not value.path.startswith("@"):
        named = {**{name: part for name, part in (value.parts or {}).items() if isinstance(name, str)}, **named}
    return given._replace(named=named)


def _first_text(given: Given) -> str:
    return str(given.args[0].const) if given.args and isinstance(given.args[0].const, str) else ""
