"""What two runs on one input say of a pair: the same, not the same, refused by the careful one, or nothing."""

from __future__ import annotations

import json
import re
from typing import Any, Literal, NamedTuple

from buril.core.text import _

Seen = dict[str, Any]
Said = Literal["equal", "differs", "refused", "misfit", "unknown"]

MISFITS = frozenset(
    {"TypeError", "AttributeError", "NotImplementedError", "RecursionError", "UnboundLocalError", "MemoryError"}
)
"""Exceptions of code that was given what it is not made for."""
BROKEN = frozenset({"NameError", "ImportError", "ModuleNotFoundError", "UnboundLocalError"})
"""Exceptions of code that can't work."""
BY_DESIGN = frozenset(
    {
        "CWE-200",
        "CWE-201",
        "CWE-209",
        "CWE-497",
        "CWE-532",
        "CWE-312",
        "CWE-759",
        "CWE-760",
        "CWE-916",
        "CWE-326",
        "CWE-327",
        "CWE-328",
        "CWE-330",
        "CWE-338",
        "CWE-347",
        "CWE-681",
        "CWE-117",
        "CWE-1236",
    }
)
"""Weaknesses whose cure changes what comes out, by its nature: there a difference proves nothing either way."""
GUARDED = frozenset(
    {
        "CWE-20",
        "CWE-22",
        "CWE-23",
        "CWE-73",
        "CWE-284",
        "CWE-285",
        "CWE-306",
        "CWE-352",
        "CWE-434",
        "CWE-601",
        "CWE-639",
        "CWE-770",
        "CWE-862",
        "CWE-863",
        "CWE-918",
        "CWE-942",
    }
)
"""Weaknesses that are cured by refusing: `None`, `False` or nothing may stand for "no"."""
LOCKED = frozenset(
    {"CWE-284", "CWE-285", "CWE-287", "CWE-306", "CWE-345", "CWE-347", "CWE-352", "CWE-639", "CWE-862", "CWE-863"}
)
"""Weaknesses that are cured by asking for proof: no made-up input has any, so being refused is no news."""
_NOTHING: tuple[Any, ...] = (None, False, "", {"list": []}, {"dict": []}, {"tuple": []})
_CATCHES = re.compile(r"^\s*except\b|\bsuppress\(", re.MULTILINE)
_LOGS = re.compile(r"(?i)^(?:self\.|\w+\.)?_?log(?:ger|ging)?\b\.")
_PARTS = ("value", "out", "files", "arguments", "calls")


class Word(NamedTuple):
    """What one input says, and how the two differ where they do."""

    said: Said
    what: str = ""


def compared(seen: dict[str, Any], texts: dict[str, str], cwe: str, *, sure: bool) -> Word:
    """What one ordinary input says of a pair; `sure` where its arguments are of kinds that are known."""
    word = _word(seen, texts, cwe, sure=sure)
    return word if sure or word.said not in ("differs", "refused") else Word("misfit", "unsure")


def _word(seen: dict[str, Any], texts: dict[str, str], cwe: str, *, sure: bool) -> Word:
    secure, vulnerable = seen["secure"], seen["vulnerable"]
    if vulnerable["end"] != "done":
        return Word("misfit", vulnerable["end"])
    if secure["end"] != "done":
        return Word("differs", _("the secure text does not end"))
    if "raised" in vulnerable:
        return _after_an_error(secure, vulnerable, texts)
    if "raised" in secure:
        word = _raised(secure["raised"], sure=sure)
        if (
            word.said == "differs"
            and secure["raised"]["type"] not in BROKEN
            and (secure["calls"]["list"] or seen_unknown(secure))
        ):
            return Word("unknown", secure["raised"]["type"])
        return word
    return _values(seen, cwe)


def _after_an_error(secure: Seen, vulnerable: Seen, texts: dict[str, str]) -> Word:
    problem = vulnerable["raised"]
    if (problem["type"] in MISFITS | BROKEN) and not problem["own"]:
        return Word("misfit", problem["type"])
    if "raised" in secure:
        other = secure["raised"]
        if other["type"] == problem["type"] and other["code"] == problem["code"]:
            return Word("equal") if problem["own"] else Word("misfit", problem["type"])
        if problem["own"] and problem["type"] not in other["of"]:
            return Word("differs", f"{problem['type']} → {other['type']}")
        return Word("misfit", problem["type"])
    swallowed = len(_CATCHES.findall(texts["secure"])) > len(_CATCHES.findall(texts["vulnerable"]))
    if problem["own"] or swallowed:
        return Word("differs", f"{problem['type']} → {_short(secure['value'])}")
    return Word("misfit", problem["type"])


def _raised(problem: dict[str, Any], *, sure: bool) -> Word:
    name = problem["type"]
    if name in BROKEN:
        return Word("differs", f"{name}: {problem['message']}")
    if problem["own"]:
        return Word("refused", name)
    if name in MISFITS and not sure:
        return Word("misfit", name)
    return Word("differs", f"{name}: {problem['message']}") if sure else Word("refused", name)


def _values(seen: dict[str, Any], cwe: str) -> Word:
    secure, vulnerable = seen["secure"], seen["vulnerable"]
    other = [name for name in _PARTS if _told(name, secure) != _told(name, vulnerable)]
    if not other:
        return Word("equal")
    known = '"unknown"' not in json.dumps(vulnerable["value"])
    if cwe in GUARDED and known and secure["value"] in _NOTHING and vulnerable["value"] not in _NOTHING:
        return Word("refused", _short(secure["value"]))
    again = seen.get("again", {})
    for name in list(other):
        pairs = [(seen[half].get(name), again.get(half, {}).get(name)) for half in ("secure", "vulnerable")]
        chance = bool(again) and any(once != later for once, later in pairs)
        if chance and _shape(secure.get(name)) == _shape(vulnerable.get(name)):
            other.remove(name)
        elif chance:
            return Word("unknown", "chance")
    if not other:
        return Word("equal")
    name = other[0]
    what = f"{name}: {_short(vulnerable.get(name))} → {_short(secure.get(name))}"
    if _is_unknown(secure, vulnerable, other):
        return Word("unknown", what)
    return Word("unknown", "by design") if cwe in BY_DESIGN else Word("differs", what)


def _is_unknown(secure: Seen, vulnerable: Seen, other: list[str]) -> bool:
    """Whether what differs comes of something of which nothing is known, so that it says nothing."""
    parts = json.dumps([[secure.get(name), vulnerable.get(name)] for name in other])
    if (
        '"unknown"' in parts
        or "<" in parts
        and re.search(r"<[\w.]+\(?\)?[\w.\[\]()']*>", parts)
        and '"calls"' not in other
        and "calls" in other
    ):
        return True
    names = [
        [call["list"][0] for call in one["calls"]["list"] if not _LOGS.match(call["list"][0])]
        for one in (secure, vulnerable)
    ]
    kinds = [[_kinds(call["list"]) for call in one["calls"]["list"]] for one in (secure, vulnerable)]
    return "calls" in other and (names[0] != names[1] or kinds[0] != kinds[1] or "run by a shell" in names[0])


def seen_unknown(seen: Seen) -> bool:
    """Whether anything that a run was given or gave is unknown."""
    return '"unknown"' in json.dumps([seen.get("value"), seen.get("arguments")])


def _told(name: str, seen: Seen) -> Any:
    """A part of what was seen, in the form that is compared: without the logs."""
    if name != "calls":
        return seen.get(name)
    calls = [call["list"] for call in seen["calls"]["list"] if not _LOGS.match(call["list"][0])]
    return [[name, args["list"], told] for name, args, told in calls]


def _kinds(call: list[Any]) -> list[Any]:
    """The kinds of a call's arguments, and which are named."""
    kinds = [sorted(item) if isinstance(item, dict) else type(item).__name__ for item in call[1]["list"]]
    return [*kinds, *sorted(str(name) for name, _value in call[2]["dict"])]


def _shape(value: Any) -> Any:
    """A value with texts and numbers by their kind alone."""
    if isinstance(value, dict):
        return {("…" if key.startswith("/") else key): _shape(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_shape(item) for item in value[:3]]
    if isinstance(value, str):
        return "text" if not value.startswith("run") else value
    return type(value).__name__


def _short(value: Any, most: int = 160) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= most else text[: most - 1] + "…"
