"""What methods and functions that many languages share do with values: containers are filled and read, text is made.

`METHODS` are those that change what they belong to; `result_of` gives what comes out, None for what is not known here.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from buril.scanners._taint.ir import NOTHING
from buril.scanners._taint.kinds import KINDS
from buril.scanners._taint.rules import Given
from buril.scanners._taint.value import EMPTY, Taint, Value, joined

Change = Callable[[Value, Given], "Value | None"]
Element = Callable[[Value], Value]
_KEEPS_LEAD = frozenset(["strip", "lstrip", "rstrip", "encode", "decode"])
_CASE: dict[str, Callable[[str], str]] = {
    "lower": str.lower,
    "upper": str.upper,
    "strip": str.strip,
    "title": str.title,
    "casefold": str.casefold,
}
_UNQUOTED = re.compile(r"<[a-zA-Z][^<>]*\s[\w-]+=$")
_ADDRESS = re.compile(r"(?i)<[a-z][^<>]*\s(?:href|src|action|formaction)=[\"']$")
_PAST_HOST = re.compile(r"[?#]|(?<![:/])/\w")
"""What comes after it, and after something else, can't choose the host of an address."""
_UNDONE = (
    ("in-quotes", re.compile(r"(?i)(?:[=<>,(]|\b(?:limit|offset|by|in|like|and|or|from|set))\s*$"), "sql"),
    ("no-tags", re.compile(r"<[a-zA-Z][^<>]*$"), "xss"),
    ("double-quotes", re.compile(r"=\s*'[^'<>]*$"), "xss"),
)
"""What is made harmless for one place alone, by a mark among its kinds: a text before it that is not the place, and the
harm that it does there."""
PLACES = tuple((kind, frozenset(mark for mark, _place, of in _UNDONE if of == kind)) for kind in ("sql", "xss"))
"""The marks of each harm that has some."""
_ONLY_PLAIN = re.compile(r"\[\^(?:\\[wds]|\w-\w|[\w .,_@/-])*\][+*]?")
_NUMBERS = frozenset(
    ["len", "int", "float", "bool", "ord", "hash", "id", "abs", "round", "isinstance", "hasattr", "callable", "divmod"]
)


def _append(owner: Value, given: Given) -> Value | None:
    if not given.args:
        return None
    if owner.parts is not None and owner.rest is None and all(isinstance(key, int) for key in owner.parts):
        return owner.with_slot(len(owner.parts), given.args[0])
    return owner.with_slot(NOTHING, given.args[0])


def _insert(owner: Value, given: Given) -> Value | None:
    if len(given.args) < 2:
        return None
    place, value = given.args[0].const, given.args[1]
    if isinstance(place, int) and owner.parts is not None and owner.rest is None and 0 <= place <= len(owner.parts):
        items = list(owner.parts.values())
        items.insert(place, value)
        return owner.but(parts=dict(enumerate(items)))
    return owner.with_slot(NOTHING, value)


def _extend(owner: Value, given: Given) -> Value | None:
    changed = owner
    for value in given.args:
        if value.parts is not None and value.rest is None:
            numbered = changed.parts is not None and all(isinstance(key, int) for key in changed.parts)
            for key, part in value.parts.items():
                changed = changed.with_slot(len(changed.parts or ()) if numbered else key, part)
        else:
            changed = changed.with_slot(NOTHING, value)
    for name, value in given.named.items():
        changed = changed.with_slot(name, value)
    return changed


def _remove(owner: Value, given: Given) -> Value | None:
    if owner.parts is None or owner.rest is not None:
        return None
    if not given.args:
        return owner.but(parts=dict(list(owner.parts.items())[:-1]))
    key = given.args[0].const
    if key is NOTHING or key not in owner.parts:
        return None
    left = {name: part for name, part in owner.parts.items() if name != key}
    if all(isinstance(name, int) for name in left):
        left = dict(enumerate(left.values()))
    return owner.but(parts=left)


def _remove_value(owner: Value, given: Given) -> Value | None:
    if owner.parts is None or owner.rest is not None or not given.args:
        return None
    for key, part in owner.parts.items():
        if part.const is not NOTHING and part.const == given.args[0].const:
            return _remove(owner, Given((Value(const=key),), {}))
    return None


def _clear(owner: Value, _given: Given) -> Value | None:
    return owner.but(parts={}, rest=None, taints=frozenset(), const=NOTHING)


def _set(owner: Value, given: Given) -> Value | None:
    """`set(section, key, value)` and the like: all but the last are the place."""
    if len(given.args) < 2:
        return None
    keys = tuple(value.const for value in given.args[:-1])
    place = NOTHING if NOTHING in keys else keys if len(keys) > 1 else keys[0]
    return owner.with_slot(place, given.args[-1])


_ALL_KINDS = frozenset(KINDS)

METHODS: dict[str, Change] = {
    "append": _append, "appendleft": _append, "add": _append, "push": _append, "put": _append, "insert": _insert,
    "extend": _extend, "update": _extend, "setdefault": _set, "set": _set, "pop": _remove, "popitem": _remove,
    "remove": _remove_value, "clear": _clear, "write": _append, "writelines": _extend, "unshift": _append,
}  # fmt: skip


def result_of(path: str, owner: Value | None, given: Given, element: Element) -> Value | None:
    """The result of a call that is known to do something simple with what it gets; None for all others."""
    name = path.rpartition(".")[2]
    if owner is not None:
        known = RESULTS.get(name)
        found = known(owner, given, element) if known is not None else None
        found = _case(name, owner, given) if found is None else found
        if found is not None:
            return found
    plain = _FUNCTIONS.get(path)
    if plain is not None:
        return plain(given, element)
    return _number(path, given) if path in _NUMBERS else None


def _case(name: str, owner: Value, given: Given) -> Value | None:
    if name in _CASE and isinstance(owner.const, str) and not given.args:
        changed = _CASE[name](owner.const)
        return Value(const=changed, lead=changed)
    if name in _KEEPS_LEAD:
        return Value(taints=owner.inside() | _all(given), lead=owner.lead, parts=owner.parts, rest=owner.rest)
    return None


def _bytes(given: Given, _element: Element) -> Value:
    first = given.args[0] if given.args else EMPTY
    if isinstance(first.const, int) and 0 <= first.const <= _MAX_BYTES:
        return Value(const=bytes(first.const))
    return Value(taints=first.inside())


def _all(given: Given) -> frozenset[Any]:
    return frozenset(taint for value in given.values() for taint in value.inside())


def _number(path: str, given: Given) -> Value:
    first = given.args[0] if given.args else EMPTY
    if path == "len" and first.parts is not None and first.rest is None:
        return Value(const=len(first.parts))
    if path in _EXACT and isinstance(first.const, (str, int)):
        try:
            return Value(const=_EXACT[path](first.const))
        except (ValueError, TypeError):
            return EMPTY
    return EMPTY


def _get(owner: Value, given: Given, _element: Element) -> Value | None:
    if owner.path in ("Map()", "WeakMap()"):
        return Value(taints=owner.inside())
    if owner.parts is None or not given.args:
        return None
    keys = tuple(value.const for value in given.args)
    if len(keys) > 1 and keys in owner.parts:  # a section and a key
        return owner.parts[keys]
    found = owner.slot(keys[0])
    known = keys[0] is not NOTHING and keys[0] in owner.parts
    return found if known or len(given.args) < 2 else joined([found, given.args[1]])


def _pop(owner: Value, given: Given, _element: Element) -> Value | None:
    if owner.parts is None:
        return None
    if not given.args and owner.rest is None and owner.parts:
        return list(owner.parts.values())[-1]
    return owner.slot(given.args[0].const if given.args else NOTHING)


def _join(owner: Value, given: Given, element: Element) -> Value | None:
    if owner.path.endswith("path"):
        return None
    if owner.parts is not None:  # list.join(sign)
        parts = list(owner.parts.values())
        return _text(parts) if owner.rest is None and parts else _text([EMPTY, element(owner)])
    if not given.args:
        return None
    first = given.args[0]
    if first.parts is not None and first.rest is None and first.parts:
        return _text([*first.parts.values()])
    return _text([owner.but(lead=""), element(first)])


def _format(owner: Value, given: Given, _element: Element) -> Value | None:
    if isinstance(owner.const, str) and not given.spread:
        pieces: list[Value] = []
        number = 0
        for literal, field in re.findall(r"([^{}]*)(\{[^{}]*\})?", owner.const):
            pieces.append(Value(const=literal))
            if field:
                name = re.split(r"[.\[!:]", field[1:-1])[0]
                value = (
                    given.named.get(name) if name and not name.isdigit() else given.at(int(name) if name else number)
                )
                number += 1
                pieces.append(value if value is not None else EMPTY)
        return _text(pieces)
    return _text([owner, *given.values()])


def _values(owner: Value, given: Given, _element: Element) -> Value | None:
    if owner.parts is None or given.args:
        return None
    return Value(rest=owner.slot(NOTHING), parts={})


def _items(owner: Value, given: Given, _element: Element) -> Value | None:
    if owner.parts is None or given.args:
        return None
    key = Value(taints=owner.taints)
    return Value(rest=Value(parts={0: key, 1: owner.slot(NOTHING)}), parts={})


def _keys(owner: Value, given: Given, _element: Element) -> Value | None:
    return Value(parts={}, rest=Value(taints=owner.taints)) if owner.parts is not None and not given.args else None


def _copy(owner: Value, given: Given, _element: Element) -> Value | None:
    return owner if not given.args else None


def _split(owner: Value, given: Given, _element: Element) -> Value | None:
    return Value(rest=Value(taints=owner.inside()), parts={}) if owner.inside() else None


def _replace(owner: Value, given: Given, _element: Element) -> Value | None:
    if len(given.args) == 2 and all(isinstance(value.const, str) for value in (owner, *given.args)):
        made = owner.const.replace(given.args[0].const, given.args[1].const)
        return Value(const=made, lead=made)
    if len(given.args) > 1 and given.args[0].path == "re.compile()" and _ONLY_PLAIN.fullmatch(given.args[0].lead):
        return EMPTY
    if len(given.args) > 1 and given.args[0].path == "re.compile()" and re.search(r"\[[^\]]*<", given.args[0].lead):
        return Value(taints=frozenset(taint._replace(safe=taint.safe | {"xss"}) for taint in owner.inside()))
    safe = {"..": "path", "../": "", "\n": "log header", "\r": "log header"}.get(str(given.args[0].const), "") \
        if given.args else ""  # fmt: skip
    kinds = frozenset(safe.split())
    return Value(taints=frozenset(taint._replace(safe=taint.safe | kinds) for taint in owner.inside() | _all(given)))


_EXACT: dict[str, Any] = {"int": int, "len": len, "ord": ord}
_MAX_BYTES = 64

RESULTS: dict[str, Callable[[Value, Given, Element], Value | None]] = {
    "get": _get, "pop": _pop, "join": _join, "format": _format, "values": _values, "items": _items, "keys": _keys,
    "copy": _copy, "split": _split, "rsplit": _split, "splitlines": _split, "replace": _replace, "getvalue": _values,
    "setdefault": _get, "popleft": _pop,
}  # fmt: skip


def _text(parts: list[Value]) -> Value:
    if all(isinstance(part.const, (str, int)) for part in parts):
        made = "".join(str(part.const) for part in parts)
        return Value(const=made, lead=made)
    return pieces(parts)


def pieces(parts: list[Value]) -> Value:
    """Text of parts of which some are not known: how it begins, and the inputs in it.

    What was escaped for a page does no good where a page takes it without quotes, or as an address. What comes after
    something else can't choose the scheme of an address, and after a path not its host.
    """
    lead, before, begun, later, past_host = "", "", False, False, False
    taints = set()
    for number, part in enumerate(parts):
        known = str(part.const) if isinstance(part.const, (str, int)) else None
        if not begun:
            lead += known if known is not None else part.lead
            begun = known is None
        gained = {kind for kind, is_so in (("scheme", later), ("redirect", past_host)) if is_so}
        taints |= {_placed(taint, before, gained) for taint in part.inside()}
        before = before + known if known is not None else ""
        past_host = past_host or (number > 0 and known is not None and _PAST_HOST.search(known) is not None)
        later = later or bool(known) or (known is None and not part.inside())
    return Value(taints=frozenset(taints), lead=lead)


def _placed(taint: Taint, before: str, gained: set[str]) -> Taint:
    """An input as a part of a text, after what is known to stand before it."""
    address = _ADDRESS.search(before) is not None
    lost = {kind for mark, place, kind in _UNDONE if mark in taint.safe and not taint.built and place.search(before)}
    if (address or _UNQUOTED.search(before)) and not ("scheme" in taint.safe and address):
        lost.add("xss")
    return taint._replace(built=True, safe=(taint.safe | gained) - lost)


def _sub(given: Given, _element: Element) -> Value:
    """All but some plain signs are taken out: nothing harmful is left. Anything else keeps what it had."""
    pattern, new = (given.args[number].const if len(given.args) > number else NOTHING for number in (0, 1))
    if isinstance(pattern, str) and _ONLY_PLAIN.fullmatch(pattern) and isinstance(new, str) and len(new) <= 1:
        unsafe = bool(re.search(r"[./]", pattern.replace("\\.", ".")))
        subject = given.args[2] if len(given.args) > 2 else EMPTY
        kinds = {"path", "redirect", "ssrf"} if unsafe else set()
        return Value(taints=frozenset(taint._replace(safe=_ALL_KINDS - kinds) for taint in subject.inside())) \
            if kinds else EMPTY  # fmt: skip
    return Value(taints=_all(given))


def _findall(given: Given, _element: Element) -> Value:
    pattern = given.args[0].const if given.args else NOTHING
    plain = isinstance(pattern, str) and re.fullmatch(r"(?:\[[\w-]+\]|\\[dw])(?:[+*]|\{\d+(?:,\d*)?\})?", pattern)
    return Value(parts={}, rest=EMPTY if plain else Value(taints=_all(given)))


def _compile(given: Given, _element: Element) -> Value:
    return Value(lead=str(given.args[0].const) if given.args and isinstance(given.args[0].const, str) else "",
                 taints=_all(given))  # fmt: skip


def _same(given: Given, _element: Element) -> Value:
    return given.args[0] if given.args else EMPTY


def _str(given: Given, _element: Element) -> Value:
    first = given.args[0] if given.args else EMPTY
    if isinstance(first.const, (str, int)):
        return Value(const=str(first.const), lead=str(first.const))
    return Value(taints=first.inside(), lead=first.lead, path=first.path)


def _dict(given: Given, element: Element) -> Value:
    base = given.args[0] if given.args else EMPTY
    return Value(taints=base.taints, parts={**(base.parts or {}), **given.named}, rest=base.rest)


def _list(given: Given, _element: Element) -> Value:
    first = given.args[0] if given.args else Value(parts={})
    return first if first.parts is not None else Value(taints=first.taints, rest=first.rest, path=first.path)


def _enumerate(given: Given, element: Element) -> Value:
    item = element(given.args[0]) if given.args else EMPTY
    return Value(rest=Value(parts={0: EMPTY, 1: item}), parts={})


def _zip(given: Given, element: Element) -> Value:
    return Value(rest=Value(parts=dict(enumerate(element(value) for value in given.args))), parts={})


def _map(given: Given, element: Element) -> Value:
    if len(given.args) < 2 or given.args[0].path in _NUMBERS:
        return EMPTY
    return Value(rest=Value(taints=element(given.args[1]).inside()), parts={})


_FUNCTIONS: dict[str, Callable[[Given, Element], Value]] = {
    "@after": _same,
    "re.sub": _sub, "re.compile": _compile, "re.findall": _findall, "util.promisify": _same, "bytes": _bytes,
    "str": _str, "dict": _dict, "list": _list, "tuple": _list,
    "sorted": _list, "reversed": _list, "set": _list, "frozenset": _list, "iter": _same,
    "enumerate": _enumerate, "zip": _zip, "map": _map, "copy.copy": _same,
    "copy.deepcopy": _same, "typing.cast": lambda given, _element: given.args[1] if len(given.args) > 1 else EMPTY,
}  # fmt: skip
