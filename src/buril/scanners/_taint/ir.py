"""The form that programs of all languages are brought into: expressions and structured statements, nothing else.

What a language writes in many ways is one thing here: every way of putting text together is `Text`, every loop is
`Loop`, a comprehension is a loop that makes something. What has no form of its own is `Other`: a value that may be any
of its parts. Lines count from 1.
"""

from __future__ import annotations

from typing import Any, NamedTuple


class Place(int):
    """A line that also knows where on it something begins, and where it ends: columns in bytes from 0.

    It is a line to everyone who asks no more, so that nothing between a tree and a finding has to carry columns.
    """

    column: int
    end_line: int
    end_column: int


class Const(NamedTuple):
    """A value that stands in the program: text, number, truth, nothing."""

    line: int
    value: Any


class Name(NamedTuple):
    """A variable."""

    line: int
    id: str


class Attr(NamedTuple):
    """A member by name."""

    line: int
    of: Any
    name: str


class Item(NamedTuple):
    """An element by key or place."""

    line: int
    of: Any
    key: Any


class Call(NamedTuple):
    """A call: `args` by place, `named` by name; `spread` are those that stand for many (`*args`, `**kwargs`)."""

    line: int
    func: Any
    args: tuple[Any, ...]
    named: tuple[tuple[str, Any], ...] = ()
    spread: tuple[Any, ...] = ()
    end_line: int = 0


class Text(NamedTuple):
    """Text put together from parts, in order: concatenation, a format, an interpolation."""

    line: int
    parts: tuple[Any, ...]


class Op(NamedTuple):
    """Two operands and an operator (`+` may be text: the values tell)."""

    line: int
    op: str
    left: Any
    right: Any


class Compare(NamedTuple):
    """A comparison: `==`, `!=`, `<`, `<=`, `>`, `>=`, `in`, `not in`."""

    line: int
    op: str
    left: Any
    right: Any


class Logic(NamedTuple):
    """`and` or `or`: the value of one of them."""

    line: int
    op: str
    left: Any
    right: Any


class Not(NamedTuple):
    """The opposite."""

    line: int
    of: Any


class Choose(NamedTuple):
    """A conditional expression."""

    line: int
    test: Any
    yes: Any
    no: Any


class Make(NamedTuple):
    """A container written out: pairs of a key (None: the next place; `SPREAD`: all of another) and a value.

    `answers` are what a function gives that gives several. `type` is the path of a type whose fields are written out.
    """

    line: int
    kind: str
    items: tuple[tuple[Any, Any], ...]
    type: str = ""
    end_line: int = 0


class Each(NamedTuple):
    """A comprehension: `element` for every round of nested loops (target, what is gone through, conditions)."""

    line: int
    kind: str
    element: Any
    rounds: tuple[tuple[Any, Any, tuple[Any, ...]], ...]


class Bind(NamedTuple):
    """An assignment that is an expression."""

    line: int
    target: Any
    value: Any


class Typed(NamedTuple):
    """A value that is known by its declared type; unless `sure`, only where nothing else is known of it."""

    line: int
    of: Any
    type: str
    sure: bool = True


class Other(NamedTuple):
    """Anything else: it may be any of its parts."""

    line: int
    parts: tuple[Any, ...]


class Param(NamedTuple):
    """A parameter; `kind` is "" or `*` (the rest by place) or `**` (the rest by name); `shared`: by reference."""

    name: str
    type: str = ""
    default: Any = None
    kind: str = ""
    shared: bool = False


class Function(NamedTuple):
    """A function, also one without a name (""). `decorators` are expressions."""

    line: int
    name: str
    params: tuple[Param, ...]
    body: tuple[Any, ...]
    decorators: tuple[Any, ...] = ()
    end_line: int = 0


class Class(NamedTuple):
    """A class and the statements of its body."""

    line: int
    name: str
    bases: tuple[Any, ...]
    body: tuple[Any, ...]
    decorators: tuple[Any, ...] = ()


class Assign(NamedTuple):
    """`value` goes into every target: names, members, elements, `Make` for several at once.

    `type` is the declared one, or `OUTSIDE` for a variable of a function around.
    """

    line: int
    targets: tuple[Any, ...]
    value: Any
    type: str = ""


class Do(NamedTuple):
    """An expression for its effect."""

    line: int
    value: Any


class Return(NamedTuple):
    """The function's value; `more` for one that goes on after it (`yield`)."""

    line: int
    value: Any
    more: bool = False


class Leave(NamedTuple):
    """The end of this way: `raise`, `break`, `continue`."""

    line: int
    kind: str
    value: Any = None


class If(NamedTuple):
    """A branch."""

    line: int
    test: Any
    yes: tuple[Any, ...]
    no: tuple[Any, ...] = ()


class Loop(NamedTuple):
    """A loop: over `through` into `target`, or while `test` holds (None: as often as there is something)."""

    line: int
    target: Any
    through: Any
    test: Any
    body: tuple[Any, ...]
    otherwise: tuple[Any, ...] = ()


class Try(NamedTuple):
    """`handlers`: the name that the problem gets ("" for none), and statements."""

    line: int
    body: tuple[Any, ...]
    handlers: tuple[tuple[str, tuple[Any, ...]], ...]
    otherwise: tuple[Any, ...] = ()
    final: tuple[Any, ...] = ()


class Import(NamedTuple):
    """Names and the dotted places that they stand for."""

    line: int
    names: tuple[tuple[str, str], ...]


SPREAD = object()
"""The key of an item of `Make` that stands for all elements of its value."""
SETTINGS = "@settings"
"""The name of an argument by name that holds, if it is a container that is known, arguments by name."""
OUTSIDE = "@outside"
"""What `type` of an `Assign` is where the variable belongs to a function around this one."""
NOTHING = object()
"""No constant is known."""
