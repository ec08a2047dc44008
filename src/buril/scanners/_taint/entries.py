"""A file is run: first its own statements, then each function as somebody from outside would call it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from buril.scanners._taint import ir
from buril.scanners._taint.engine import Compiled, Hit
from buril.scanners._taint.run import Frame, Machine
from buril.scanners._taint.value import EMPTY, State, Taint, Value, joined


class Entries(NamedTuple):
    """How a language's frameworks call code: patterns for decorators, classes, parameters and their types."""

    decorators: str
    """Paths of decorators that make a function a web handler."""
    bases: str
    """Paths of classes whose methods `methods` are web handlers."""
    methods: str
    requests: str
    """Names of parameters that are a request."""
    pages: str
    """Those of `decorators` whose functions answer with a page when they answer with text."""
    inputs: str
    """What every text has that has an input."""
    harmless: str
    """Types of parameters that can't carry text of somebody else's choice."""
    answers: str
    """Names of parameters that stand for what is sent back, by their own name."""
    from_address: bool
    """Whether parameters beside a request come from its address."""
    called: Mapping[str, str]
    """Names of parameters for which sources have another one."""
    events: str = r"^(lambda_)?handler$|_handler$"
    """Names of functions that take an event from outside as their first of two parameters."""
    services: str = r"^$"
    """Types of parameters under whose names tables know what they do."""
    aside: str = ""
    """What a file holds that nobody runs for others, or that nobody wrote: tests, generated code."""
    types: str = ""
    """Declared types of parameters that say all that is known of them."""


class How(NamedTuple):
    """How a function is entered: `this` is the object that it is a method of, `web` whether a framework calls it."""

    entries: Entries
    this: Value | None = None
    web: bool = False


class Analysis(NamedTuple):
    """What was found, and whether the whole file was looked at."""

    hits: list[Hit]
    whole: bool


def analyse(body: Sequence[Any], rules: Compiled, entries: Entries, *, suspicious: bool) -> Analysis:
    """Analyse a file's statements.

    Args:
        body: the file in the form of `ir.py`.
        rules: of its language.
        entries: how its frameworks call code.
        suspicious: parameters of functions that nobody here calls are untrusted.
    """
    machine = Machine(rules, suspicious=suspicious)
    machine.requests, machine.types = entries.requests, entries.types or "^$"
    machine.defined = {item.name for item in body if isinstance(item, (ir.Function, ir.Class))}
    top = State({})
    machine.frames.append(Frame(None))
    machine.run(body, top)
    for made in list(machine.classes):
        _class(machine, made, entries)
    _enter_all(machine, entries)
    if machine.typed and any(value.inside() for value in top.variables.values() if value.code is None):
        machine.memory.clear()  # what one function put into a variable of the package, another one takes out
        for made in list(machine.classes):
            _class(machine, made, entries)
        _enter_all(machine, entries)
    hits = sorted(machine.hits.values(), key=lambda hit: (hit.line, hit.rule))
    return Analysis(hits, not machine.spent())


def _enter_all(machine: Machine, entries: Entries) -> None:
    """Each function that is no method, also those that come to light on the way."""
    done: set[int] = set()
    while left := [pair for key, pair in machine.functions.items() if key not in done and not machine.spent()]:
        for function, outer in left:
            done.add(id(function))
            asked = any(re.search(entries.requests, param.name) for param in function.params)
            if (function.name or asked or id(function) not in machine.called) and not _in_class(machine, function):
                _enter(machine, function, outer, How(entries))


def _in_class(machine: Machine, function: ir.Function) -> bool:
    return any(function is item for made in machine.classes for item in made.code[0].body)


def _class(machine: Machine, made: Value, entries: Entries) -> None:
    """Each method of a class, on an object whose fields hold what any method puts there."""
    this = machine.instance(made)
    methods = [
        value.code for value in (made.parts or {}).values() if value.code and isinstance(value.code[0], ir.Function)
    ]
    body = {id(item) for item in made.code[0].body}
    own = [(function, outer) for function, outer in methods if id(function) in body]
    own.sort(key=lambda pair: pair[0].name not in ("__init__", "__construct", "constructor"))
    for _round in range(2):
        before = this.key()
        for function, outer in own:
            if machine.spent():
                return
            web = re.search(entries.bases, made.path) is not None
            ended = _enter(machine, function, outer, How(entries, this, web))
            name = function.params[0].name if function.params else ""
            after = ended.find(name) if ended is not None and name else None
            if after is not None and after.parts is not None:
                this = joined([this, after]).but(path=this.path)
        if this.key() == before:
            break


def _enter(machine: Machine, function: ir.Function, outer: State, how: How) -> State | None:
    entries, this = how.entries, how.this
    decorators = [machine.value(item, outer).path for item in function.decorators]
    routes = [path for path in decorators if re.search(entries.decorators, path)]
    handler = bool(routes) or (how.web and re.search(entries.methods, function.name) is not None)
    static = any(path.rpartition(".")[2] == "staticmethod" for path in decorators)
    params = list(function.params)
    bound: dict[str, Value] = {}
    if this is not None and params and not static:
        bound[params.pop(0).name] = this
    event = len(params) == 2 and re.search(entries.events, function.name) and params[0].name == "event"
    plain = _plain_places(function) if routes else {}
    for number, param in enumerate(params):
        trusted = _harmless(param, entries) or plain.get(param.name, False)
        if entries.types and re.search(entries.types, param.type):
            bound[param.name] = Value(path=param.type)
        elif re.search(entries.requests, param.name) or (
            not entries.types and re.search(r"(^|\.)\w*Request$", param.type)
        ):
            bound[param.name] = Value(path=entries.called.get(param.name.lstrip("_"), param.name.lstrip("_")))
            handler = handler or (number == 0 and entries.from_address)
        elif trusted or _of_few(outer.find(param.type) if param.type else None):
            bound[param.name] = EMPTY
        elif (known := _of_class(machine, param.type)) is not None:
            bound[param.name] = known.but(taints=_input(param, function, "remote").taints) if routes else known
        elif (handler or (event and number == 0)) and not re.search(entries.answers, param.name.lstrip("_")):
            bound[param.name] = _input(param, function, "remote")
        elif machine.suspicious and id(function) not in machine.called and function.name[:2] not in ("", "__"):
            bound[param.name] = _input(param, function, "param")
        else:
            plain_name = param.name.lstrip("_")
            known_as = re.search(entries.answers, plain_name) is not None
            bound[param.name] = Value(path=entries.called.get(plain_name, plain_name)) if known_as else EMPTY
            if not known_as and (typed := re.search(entries.services, param.type)):
                bound[param.name] = Value(path=typed[0])
    page = any(re.search(entries.pages, path) for path in routes)
    return machine.enter(function, outer, bound, web=page)


def _of_few(kind: Value | None) -> bool:
    """Whether a type allows only values that stand in the program."""
    return kind is not None and ("Literal" in kind.path or "Enum" in kind.path)


def _of_class(machine: Machine, kind: str) -> Value | None:
    """An object of the class of this file that a parameter is said to be."""
    for made in machine.classes if kind else ():
        if made.code[0].name == kind.strip("\"'"):
            return machine.instance(made)
    return None


def _input(param: ir.Param, function: ir.Function, origin: str) -> Value:
    sort = "files" if "UploadFile" in param.type else "json" if re.search(r"(?i)dict|any$|json", param.type) else ""
    taint = Taint(f"{param.name}@{function.line}{sort}", f"the parameter {param.name}", function.line, origin)
    return Value(taints=frozenset([taint]), rest=Value(taints=frozenset([taint])) if param.kind else None)


def _harmless(param: ir.Param, entries: Entries) -> bool:
    if param.type and re.search(entries.harmless, param.type):
        return True
    default = param.default
    if isinstance(default, ir.Call) and isinstance(default.func, (ir.Name, ir.Attr)):
        name = default.func.id if isinstance(default.func, ir.Name) else default.func.name
        return name in ("Depends", "Security")
    return isinstance(default, ir.Const) and isinstance(default.value, (int, float))


def _plain_places(function: ir.Function) -> Mapping[str, bool]:
    """Parameters of a route that its pattern allows numbers alone for: `/users/<int:id>`."""
    found: dict[str, bool] = {}
    for decorator in function.decorators:
        for item in getattr(decorator, "args", ()):
            if isinstance(item, ir.Const) and isinstance(item.value, str):
                for kind, name in re.findall(r"<(?:(\w+)(?:\([^)]*\))?:)?(\w+)>", item.value):
                    found[name] = kind in ("int", "float", "uuid")
    return found
