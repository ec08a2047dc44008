"""What a test says: inputs that can do no harm any more where it holds, or where it does not.

A test speaks of an input, whatever variable it lies in by now: `if name not in ALLOWED: return` makes `name` and all
that is made from it harmless below. Each function gives the pair of `Value.facts`.
"""

from __future__ import annotations

import re
from typing import Any

from buril.scanners._taint.ir import NOTHING
from buril.scanners._taint.kinds import KINDS
from buril.scanners._taint.value import ALL, NO_FACTS, Facts, Value

PREDICATES = frozenset(["isdigit", "isnumeric", "isdecimal", "isalnum", "isalpha", "isidentifier"])
"""Methods of a text that hold only for harmless ones."""
ROOTED, HOSTLESS = "@rooted", "@hostless"
"""What makes a redirect harmless when both are known of its address; `///` and `/\\` are left to who checks them."""
LISTED = "@listed"
"""The path of what is one of several values that stand in the program."""
_HOSTS = re.compile(r"\.(netloc|hostname|host|origin|Host(name\(\))?)(\.lower\(\))?$")
_VALIDATOR = re.compile(
    r"(^|[._])(is_?)?(valid|safe|allowed|permitted|trusted|whitelisted|allowlisted|authorized_(url|path|host)|"
    r"url_has_allowed_host_and_scheme)|(^|[._])(validate|check)_\w+", re.IGNORECASE)  # fmt: skip
_OTHER_SIGNS = re.compile(r"\[\^((?:\\[wd]|\w-\w|[\w .,@/-])+)\]\+?")
"""Any sign but some plain ones."""
_WITH_PATHS = ("path", "redirect", "ssrf", "include")
"""What a point or a slash may still do."""
_NAMED_PATTERN = re.compile(r"[A-Z][A-Z0-9]*_[A-Z0-9_]+")
"""A pattern that is a constant of another file was written to be met."""
LOOSE = re.compile(r"(?<!\\)(?:\.[*+]|\.\{|\[\^|\\[SWD][*+])")
_PART = re.compile(r"\(\)\.\w+$")
"""A member of what a call gave: a part of the input, not the whole."""
_ENDING = re.compile(
    r"(suffix|splitext\(\)|content_type|mimetype|rsplit\(\)|filetype\w*\(\)|extension|Ext\(\))(\[\])?(\.lower\(\))?$"
)
_RESOLVED = re.compile(r"(realpath|abspath|resolve|normpath|canonical)\w*\(\)", re.IGNORECASE)
_RELATIVE = re.compile(r"(^|\.)(relative|relpath)\(\)$")
"""The way from a folder to a file: one that begins with `..` leaves it."""
_URL = re.compile(r"[a-z][a-z0-9+.-]*://[^/?#]+/", re.IGNORECASE)


def about(value: Value, kind: str = ALL) -> Facts:
    """The facts that all inputs in a value are harmless."""
    return frozenset((taint.id, kind) for taint in value.inside() if kind not in taint.safe)


def compared(op: str, left: Value, right: Value) -> tuple[Facts, Facts]:
    """What a comparison says when it holds, and when it does not."""
    negative = op in ("!=", "not in")
    if not left.inside() and not right.inside():
        return NO_FACTS, NO_FACTS
    if op in ("==", "!="):
        yes = _equal(left, right)
    elif op in ("in", "not in"):
        if right.path.endswith(".parents") and right.inside():
            yes = about(right, "path")
        elif left.inside() and not right.inside() and (right.parts is not None or right.const is NOTHING):
            yes = _member(left)
        elif left.const in ("..", "../", "..\\", "/") and right.inside():
            # what is asked is the bad case: the input is harmless where it does not hold
            return (about(right, "path"), NO_FACTS) if negative else (NO_FACTS, about(right, "path"))
        else:
            yes = NO_FACTS
    else:
        return NO_FACTS, NO_FACTS
    return (NO_FACTS, yes) if negative else (yes, NO_FACTS)


def _equal(left: Value, right: Value) -> Facts:
    for one, other in ((left, right), (right, left)):
        if one.inside() and other.path == LISTED:
            return _member(one)
        if one.inside() and other.inside():
            made = {taint.id: taint.safe for taint in other.inside()}
            same = frozenset(
                (taint.id, kind) for taint in one.inside() for kind in made.get(taint.id, frozenset()) - taint.safe
            )
            if same:  # it is what was made harmless
                return same
        if one.inside() and not other.inside():
            kinds = _settled_by(one.path, other.const)
            return frozenset().union(*(about(one, kind) for kind in kinds))
    return NO_FACTS


def _settled_by(path: str, const: Any) -> tuple[str, ...]:
    """The kinds of harm that are out when something of this path equals a constant."""
    if _HOSTS.search(path):
        return "ssrf", "redirect"
    if re.search(r"commonpath|commonprefix|dirname\(\)$", path):
        return ("path",)
    if path == "@typeof()":
        return ("nosql" if const == "string" else ALL,)
    if _PART.search(path) or const is NOTHING or const in (None, "", 0, True, False):
        return ()
    return (ALL,)


def _member(left: Value) -> Facts:
    if _HOSTS.search(left.path):
        return about(left, "ssrf") | about(left, "redirect")
    if _ENDING.search(left.path):
        return about(left, "upload")
    return NO_FACTS if _PART.search(left.path) else about(left)


def asked(path: str, owner: Value | None, args: list[Value]) -> tuple[Facts, Facts]:
    """What the result of a call says when it is true, and when it is false."""
    if not (owner is not None and owner.inside()) and not any(value.inside() for value in args):
        return NO_FACTS, NO_FACTS
    name = path.rpartition(".")[2]
    if name in ("match", "fullmatch", "test", "search") and args:
        return _matched(path, owner, args)
    if name in PREDICATES and owner is not None:
        return about(owner), NO_FACTS
    if name in ("startswith", "startsWith") and owner is not None and args and _RELATIVE.search(owner.path):
        return NO_FACTS, about(owner, "path") if str(args[0].const).startswith("..") else NO_FACTS
    local = _local(owner, args[0]) if name in ("startswith", "startsWith") and owner is not None and args else None
    found = _holds(path, name, owner, args)
    return (found | local[0], local[1]) if local else (found, NO_FACTS)


def _local(owner: Value, prefix: Value) -> tuple[Facts, Facts]:
    """Halves of "an address of this host": it begins with one slash (`ROOTED`), and not with two (`HOSTLESS`)."""
    values = [prefix] if prefix.parts is None else list(prefix.parts.values())
    begins = [value.const for value in values]
    yes = bool(begins) and all(isinstance(text, str) and text[:1] == "/" and text[:2] != "//" for text in begins)
    return about(owner, ROOTED) if yes else NO_FACTS, about(owner, HOSTLESS) if "//" in begins else NO_FACTS


def _holds(path: str, name: str, owner: Value | None, args: list[Value]) -> Facts:
    """What other calls say when their result is true."""
    if owner is not None and args:
        if name in ("includes", "has", "contains", "hasOwn") and not owner.inside() and args[-1].inside():
            return _member(args[-1])
        if name in ("startswith", "startsWith", "is_relative_to"):
            return _begins(owner, args[0])
    if path == "isinstance" and len(args) == 2:
        kind = {"int": ALL, "float": ALL, "bool": ALL, "str": "nosql"}.get(args[1].path)
        return about(args[0], kind) if kind else NO_FACTS
    if _VALIDATOR.search(name) and args:
        return frozenset().union(*(about(value) for value in args))
    return NO_FACTS


def _matched(path: str, owner: Value | None, args: list[Value]) -> tuple[Facts, Facts]:
    if owner is not None and args[0].path.startswith("re.compile()") and owner.inside():  # text.match(/…/)
        args, owner = [owner], args[0]
        path = "re.compile().search"
    compiled = owner is not None and owner.lead != "" and path.startswith("re.compile()")
    pattern = owner.lead if compiled and owner is not None else args[0].const
    subject = args[0] if compiled else args[1] if len(args) > 1 else None
    name = path.rpartition(".")[2]
    if subject is not None and not isinstance(pattern, str) and _NAMED_PATTERN.fullmatch(args[0].path):
        return about(subject), NO_FACTS
    if isinstance(pattern, str) and subject is not None and name in ("search", "test"):
        others = _OTHER_SIGNS.fullmatch(pattern)
        if others is not None:  # no other sign is in it where this does not hold
            loose = _WITH_PATHS if re.search(r"[./]", others[1]) else ()
            return NO_FACTS, frozenset().union(*(about(subject, kind) for kind in KINDS if kind not in loose))
    if not isinstance(pattern, str) or subject is None or LOOSE.search(pattern):
        return NO_FACTS, NO_FACTS
    starts = name in ("match", "fullmatch") or pattern.startswith(("^", r"\A"))
    ends = name == "fullmatch" or pattern.endswith(("$", r"\Z", r"\z"))
    return (about(subject) if starts and ends else NO_FACTS), NO_FACTS


def _begins(owner: Value, prefix: Value) -> Facts:
    if owner.const is not NOTHING or prefix.inside():
        return NO_FACTS
    found = about(owner, "path") if _RESOLVED.search(owner.path) else NO_FACTS
    if isinstance(prefix.const, str) and _URL.match(prefix.const):
        found |= about(owner, "ssrf") | about(owner, "redirect")
    if isinstance(prefix.const, str) and prefix.const.startswith(("http", "/")):
        found |= about(owner, "scheme")
    return found


def opposite(facts: tuple[Facts, Facts]) -> tuple[Facts, Facts]:
    """Of `not`."""
    return facts[1], facts[0]


def both(op: str, left: Value, right: Value) -> tuple[Facts, Facts]:
    """Of `and` and `or`."""
    (left_yes, left_no), (right_yes, right_no) = left.facts, right.facts
    if op == "and":
        return left_yes | right_yes, left_no & right_no
    return left_yes & right_yes, left_no | right_no


def truth(value: Value) -> Any:
    """Whether a value is true; None where that is not known."""
    if value.const is NOTHING:
        return None
    return bool(value.const)
