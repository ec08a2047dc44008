"""What is known of a language, as data: inputs, harms, what makes harmless, misuses; and how a call is matched to it.

A call is known by its dotted path: `os.system` for the function of a module however it was imported, `?.execute` for
a method of something unknown, `sqlite3.connect().cursor().execute` where it was followed. Patterns are as in a shell
(`*.execute`); several stand in one text. Conditions of a call are words that must all hold:

    shell=True      the argument of that name is that constant (`0=…`: the first by place)
    check!=False    it is not
    0~^(md5|sha1)$  the text of a constant argument matches
    0!~b            a constant that does not match, or no constant
    +timeout        it is given;  -timeout  it is not
    0?              it is given and no constant
    bits<2048       a smaller number;  mode&2  a number with this bit;  0:bytes  a constant of this type
    0:built         text that was put together from something that is not known
    0:many          a container

A dot goes into a container: `options.verify=False`. `self` is what a method belongs to.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from fnmatch import translate
from typing import Any, NamedTuple

from buril.scanners._taint.ir import NOTHING
from buril.scanners._taint.value import Facts, Value

CONDITION = re.compile(r"([+-]?)([\w.]+)(!=|=|!~|~|\?|<|&|:)?(.*)", re.DOTALL)
"""A condition of a call: a sign, the argument, what is asked of it, and what that is compared with."""
_CONSTANTS = {"True": True, "False": False, "None": None}
Place = int | str
_MAX_KNOWN = 20_000
"""So many paths are remembered with their rules: a file asks for the same few again and again."""


class Kind(NamedTuple):
    """A kind of harm: its weakness, how bad, and what the untrusted value gets to be."""

    cwe: int
    severity: str
    text: str
    confidence: str = "high"


class Source(NamedTuple):
    """Where input comes from: members and calls by pattern. `origin` as in `Taint`."""

    paths: str
    label: str = ""
    origin: str = "remote"
    safe: str = ""
    """Kinds of harm that it does not do."""


class Sink(NamedTuple):
    """Where input does harm: `places` are arguments by number or name (`*`: any)."""

    kind: str
    calls: str
    places: tuple[Place, ...] = (0,)
    when: str = ""


class Clean(NamedTuple):
    """A call whose result can do no harm of some kinds (`*`: of any)."""

    calls: str
    kinds: str = "*"


class Misuse(NamedTuple):
    """A call that is wrong by itself."""

    name: str
    cwe: int
    severity: str
    calls: str
    when: str
    text: str
    confidence: str = "high"
    named: str = ""
    """A pattern that the variable or function around it must match; with `=` before it, the variable alone."""
    but: str = ""
    """A pattern of names that do not count."""


class Fill(NamedTuple):
    """A call that puts something into its arguments, or into what it belongs to (`self`).

    It comes from the arguments at `places`, or, where there is a `label`, from outside. `text`: it is added to a text.
    """

    calls: str
    into: tuple[Place, ...]
    places: tuple[Place, ...] = ()
    label: str = ""
    origin: str = "remote"
    text: bool = False


class Rules(NamedTuple):
    """All of one language."""

    kinds: Mapping[str, Kind]
    sources: tuple[Source, ...]
    sinks: tuple[Sink, ...]
    cleans: tuple[Clean, ...]
    misuses: tuple[Misuse, ...]
    indirect: tuple[tuple[str, Place], ...] = ()
    """Calls that call what stands at a place, with what comes after it."""
    constants: tuple[tuple[str, Any], ...] = ()
    """Members of libraries whose value matters."""
    inert: str = ""
    """Calls whose result holds nothing of their arguments."""
    ends: str = ""
    """Calls after which nothing comes, by their whole path."""
    checks: str = ""
    """Calls that raise for anything but a harmless text: who comes past one has nothing to fear from it."""
    parses: str = ""
    """Calls that make objects of text: what somebody else chose may be any object then."""
    parts: str = "^$"
    """Names of methods that give a part of what they belong to, which is an input of its own."""
    declared: bool = False
    """Whether the fields of a class are declared: then what lies in one is in no other, even of a class elsewhere."""
    fills: tuple[Fill, ...] = ()
    library: tuple[tuple[str, Function], ...] = ()
    """Calls whose result is computed."""
    asks: tuple[tuple[str, Ask], ...] = ()
    """Calls whose result says something of their arguments."""
    fails: str = ""
    """Calls that give an error for anything but a harmless text."""
    typed: bool = False
    """Whether the path of a value is its declared type: its methods are none of this file."""


Function = Callable[["Value | None", "Given", Callable[[Value], Value]], "Value | None"]
"""What a call gives: of what it belongs to, its arguments, and how a container is gone through; None: not known."""
Ask = Callable[["Value | None", "Given"], tuple[Facts, Facts]]
"""What the result of a call says when it is true, and when it is not."""


class Matcher:
    """Rules by the last word of their patterns, so that a call is compared with few."""

    def __init__(self, rules: Iterable[tuple[str, Any]]) -> None:
        self._by_word: dict[str, list[tuple[re.Pattern[str], Any]]] = {}
        self._others: list[tuple[re.Pattern[str], Any]] = []
        self._known: dict[str, list[Any]] = {}
        for patterns, rule in rules:
            for pattern in patterns.split():
                compiled = re.compile(translate(pattern))
                word = pattern.rpartition(".")[2]
                plain = not re.search(r"[*?\[]", word)
                (self._by_word.setdefault(word, []) if plain else self._others).append((compiled, rule))

    def find(self, path: str) -> list[Any]:
        """The rules whose pattern is this path."""
        found = self._known.get(path)
        if found is None:
            near = self._by_word.get(path.rpartition(".")[2], ())
            found = [rule for pattern, rule in (*near, *self._others) if pattern.match(path)]
            if len(self._known) >= _MAX_KNOWN:
                self._known.clear()
            self._known[path] = found
        return found


class Given(NamedTuple):
    """The arguments of one call, evaluated."""

    args: tuple[Value, ...]
    named: Mapping[str, Value]
    spread: tuple[Value, ...] = ()
    owner: Value | None = None

    def at(self, place: Place) -> Value | None:
        """An argument by number or name."""
        if place == "self":
            return self.owner
        if isinstance(place, int):
            return self.args[place] if place < len(self.args) else None
        return self.named.get(place)

    def values(self) -> list[Value]:
        """All of them."""
        return [*self.args, *self.named.values(), *self.spread]


def holds(when: str, given: Given) -> bool:
    """Whether all conditions of a call hold.

    Example:
        `holds("verify=False", …)` for `requests.get(url, verify=False)` is true.
    """
    return all(_one(word, given) for word in when.split())


def _one(word: str, given: Given) -> bool:
    found = CONDITION.fullmatch(word)
    if found is None:
        raise ValueError(word)
    sign, name, operator, wanted = found.groups()
    first, *inner = name.split(".")
    value = given.at(int(first) if first.isdigit() else first)
    for key in inner:
        value = _slot(value, int(key) if key.isdigit() else key) if value is not None else None
    if sign:
        return (value is not None or bool(given.spread)) == (sign == "+")
    if operator == "?":
        return value is not None and value.const is NOTHING
    return _is(value, operator, wanted)


def _slot(value: Value, key: Any) -> Value | None:
    """A slot; None where all slots are known and it is none of them."""
    whole = value.parts is not None and value.rest is None and not value.taints
    return None if whole and key not in (value.parts or ()) else value.slot(key)


def _is(value: Value | None, operator: str, wanted: str) -> bool:
    const = value.const if value is not None else NOTHING
    if operator in ("=", "!="):
        expected = _CONSTANTS.get(wanted, int(wanted) if wanted.isdigit() else wanted)
        return (type(const) is type(expected) and const == expected) == (operator == "=")
    if operator in ("<", "&"):
        if not isinstance(const, int) or isinstance(const, bool):
            return False
        return const < int(wanted) if operator == "<" else bool(const & int(wanted))
    if operator == ":" and wanted == "built":
        return value is not None and value.parts is None and any(taint.built for taint in value.taints)
    if operator == ":":
        return type(const).__name__ == wanted or (wanted == "many" and value is not None and value.parts is not None)
    text = const if isinstance(const, str) else value.path if value is not None and value.path else None
    return (text is not None and re.search(wanted, text) is not None) == (operator == "~")
