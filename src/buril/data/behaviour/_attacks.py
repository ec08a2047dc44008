"""What an attacker would send, by weakness, and the signs that it worked: all seen in the jail, none taken on trust."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple
from urllib.parse import urlsplit

CANARY, MARK, OUTSIDE, ROOT = "canary7f3a1c", "/tmp/mark", "/tmp/outside", "/tmp/w"  # noqa: S108  as the jail has them
SECRET_BYTES = 4242
MOST = 30
"""Inputs of an attack, at most."""
_SHELL = f"echo {CANARY} > {MARK}"
_EVAL = f"__import__('os').mkdir('{MARK}')"
_XXE = f'<!DOCTYPE r [<!ENTITY x SYSTEM "file://{OUTSIDE}/secret.txt">]>'
_FIELDS = ("title", "loc", "product", "total", "item")
_BOMB = '<!DOCTYPE r [<!ENTITY a "aaaaaaaa"><!ENTITY b "&a;&a;&a;">]><r><x>&b;</x></r>'
_TAG = "<script>x7c()</script>"
_UP = tuple(f"{up}outside/secret.txt" for up in ("../", "../../", "../../../", "../../../../"))
_INNER = (
    "http://127.0.0.1:8080/x",
    "http://169.254.169.254/latest",
    "http://localhost/x",
    "http://intranet.example/x",
    "http://[::1]/x",
    "http://127.0.0.1:8080/x?{host}",
)
_HOSTILE = ("https://evil.example/x", "//evil.example/x", "/\\evil.example/x")

Seen = dict[str, Any]


class Attack(NamedTuple):
    """Texts to put in the place of each argument, and what shows that one of them did its work."""

    texts: tuple[Any, ...]
    sign: Callable[[Seen, Any], bool]


def _shown(seen: Seen, text: str) -> bool:
    """Whether a text is in what came out: the value, the output, changed arguments, files."""
    return text in json.dumps([seen.get(name) for name in ("value", "out", "calls")], ensure_ascii=False)


def _raw_query(seen: Seen, payload: Any) -> bool:
    return any(str(payload) in text for text in seen["sql"])


def _owned(seen: Seen, payload: Any) -> bool:
    return bool(seen["marked"])


def _option(seen: Seen, payload: Any) -> bool:
    return any(name == "option" and value == payload for _call, name, value in seen["said"])


def _command(seen: Seen, payload: Any) -> bool:
    return bool(seen["marked"]) or (str(payload).startswith("-") and _option(seen, payload))


def _outside(seen: Seen, payload: Any) -> bool:
    touched = any(path.startswith(OUTSIDE) for path in seen["files"])
    return touched or _shown(seen, CANARY) or seen.get("value") == SECRET_BYTES or _shown(seen, '"secret.txt"')


def _tagged(seen: Seen, payload: Any) -> bool:
    return str(payload) in json.dumps([seen.get("value"), seen.get("out")], ensure_ascii=False).replace('\\"', '"')


def _led_away(seen: Seen, payload: Any) -> bool:
    """Whether what came out leads a browser to the other host."""
    texts = re.findall(r'"((?:[^"\\]|\\.)*)"', json.dumps([seen.get("value")], ensure_ascii=False))
    for text in texts:
        plain = text.encode().decode("unicode_escape") if "\\" in text else text
        try:
            if (urlsplit(plain.replace("\\", "/")).hostname or "").endswith("evil.example"):
                return True
        except ValueError:
            continue
    return False


def _asked(seen: Seen, payload: Any) -> bool:
    return json.dumps(payload) in json.dumps(seen["calls"])


def _accepted(seen: Seen, payload: Any) -> bool:
    return "value" in seen and seen["value"] not in (False, None)


def _says(name: str, *bad: str) -> Callable[[Seen, Any], bool]:
    return lambda seen, _payload: any(argument == name and value in bad for _call, argument, value in seen["said"])


def _algorithm(seen: Seen, payload: Any) -> bool:
    weak = {"md5", "sha1", "MD5", "SHA1"}
    return any(
        argument == "algorithm" and value.removeprefix("hmac-") in weak for _call, argument, value in seen["said"]
    )


def _quickly_hashed(seen: Seen, payload: Any) -> bool:
    slow = [int(value) for call, name, value in seen["said"] if call == "derive" and value.isdigit()]
    fast = any(argument == "algorithm" for _call, argument, _value in seen["said"])
    return (fast and not slow) or any(number < 10_000 for number in slow if number)


def _guessable(seen: Seen, payload: Any) -> bool:
    return _says("guessable", "True")(seen, payload) and not _says("unguessable", "True")(seen, payload)


def _unsafe_cookie(seen: Seen, payload: Any) -> bool:
    cookies = [
        (name, value) for call, name, value in seen["said"] if call == "set_cookie" and name in ("secure", "httponly")
    ]
    return any(value != "True" for _name, value in cookies)


def _open_to_others(seen: Seen, payload: Any) -> bool:
    return any(mode & 0o077 for mode in seen["modes"].values())


def _slow(seen: Seen, payload: Any) -> bool:
    return str(seen["end"]) == "timeout"


def _big(seen: Seen, payload: Any) -> bool:
    asked = any(name == "size" and value.isdigit() and int(value) > 10**6 for _call, name, value in seen["said"])
    return asked or len(json.dumps(seen.get("value"))) > 5_000 or seen.get("raised", {}).get("type") == "MemoryError"


def _own_secret(seen: Seen, payload: Any) -> bool:
    """Whether the secret of the text itself is used or accepted where the environment holds another."""
    return "value" in seen and (seen["value"] is True or str(payload) in json.dumps([seen["value"], seen["calls"]]))


def _assigned(seen: Seen, payload: Any) -> bool:
    """Whether what the attacker named besides became a part of something else than what they sent."""
    objects = [item for item in seen["arguments"].values() if isinstance(item, dict) and "is" in item]
    return "is_admin" in json.dumps([seen.get("value"), seen["calls"], objects])


def _not_in_time(seen: Seen, payload: Any) -> bool:
    return "value" in seen and not _says("in_time", "True")(seen, payload)


_QUERY = Attack(
    (f"x' OR '1'='1' -- {CANARY}", f'x" OR "1"="1" -- {CANARY}', f"1 OR 1=1 -- {CANARY}", f"id; -- {CANARY}"),
    _raw_query,
)
_COMMAND = Attack(
    (f"x; {_SHELL}", f"$({_SHELL})", f"x'; {_SHELL}; '", f'x"; {_SHELL}; "', f"--config={CANARY}"), _command
)
_PATH = Attack(
    (*_UP, f"{OUTSIDE}/secret.txt", "../outside", "../../outside", "../outside/made.txt", "../../outside/made.txt"),
    _outside,
)
_CODE = Attack((_EVAL, f"a', {_EVAL}, '", f"({_EVAL})", f"1) or {_EVAL} or (1"), _owned)
_UNPACKED = Attack(
    ({"kind": "packed", "hostile": True},),
    lambda seen, payload: (
        _owned(seen, payload)
        or _says("weights_only", "False")(seen, payload)
        or _says("allow_pickle", "True")(seen, payload)
    ),
)
_WEAK_HASH, _PLAIN = Attack(("alpha",), _algorithm), ("alpha",)
ATTACKS: dict[str, Attack] = {
    "CWE-89": _QUERY,
    "CWE-564": _QUERY,
    "CWE-78": _COMMAND,
    "CWE-77": _COMMAND,
    "CWE-88": _COMMAND,
    **dict.fromkeys(("CWE-22", "CWE-23", "CWE-36", "CWE-73"), _PATH),
    "CWE-94": _CODE,
    "CWE-95": _CODE,
    "CWE-502": _UNPACKED,
    "CWE-79": Attack((_TAG, '" onload="x7c()', "' onload='x7c()"), _tagged),
    "CWE-80": Attack((_TAG,), _tagged),
    "CWE-1336": Attack(("{{ 7191 * 7 }}",), lambda seen, _payload: _shown(seen, "50337")),
    "CWE-601": Attack(_HOSTILE, _led_away),
    "CWE-918": Attack(_INNER, _asked),
    "CWE-611": Attack(
        tuple(f"{_XXE}<r><{name}>&x;</{name}></r>" for name in _FIELDS), lambda seen, _payload: _shown(seen, CANARY)
    ),
    "CWE-776": Attack((_BOMB,), _accepted),
    "CWE-1333": Attack(tuple(f"{text * 40}!" for text in ("a", "1", "a1", "1,", "a=1;")), _slow),
    **dict.fromkeys(("CWE-306", "CWE-862", "CWE-863"), Attack(_PLAIN, _accepted)),
    "CWE-328": _WEAK_HASH,
    "CWE-327": _WEAK_HASH,
    "CWE-916": Attack(_PLAIN, _quickly_hashed),
    "CWE-759": Attack(_PLAIN, _quickly_hashed),
    "CWE-338": Attack(_PLAIN, _guessable),
    "CWE-330": Attack(_PLAIN, _guessable),
    "CWE-295": Attack(
        _PLAIN,
        lambda seen, payload: _says("verify", "False")(seen, payload) or _says("verify_mode", "0")(seen, payload),
    ),
    "CWE-614": Attack(_PLAIN, _unsafe_cookie),
    "CWE-1004": Attack(_PLAIN, _unsafe_cookie),
    "CWE-732": Attack(_PLAIN, _open_to_others),
    "CWE-377": Attack(_PLAIN, _says("guessable", "True")),
    "CWE-400": Attack(_PLAIN, _says("timeout", "None")),
    "CWE-489": Attack(_PLAIN, _says("debug", "True")),
    "CWE-208": Attack(_PLAIN, _not_in_time),
    "CWE-798": Attack(_PLAIN, _own_secret),
    "CWE-770": Attack(("100000000", 100000000), _big),
    "CWE-434": Attack(("shell.php", "shell.png.php", "shell.phtml"), _accepted),
    "CWE-942": Attack(("https://evil.example",), lambda seen, _payload: _shown(seen, "evil.example")),
    "CWE-113": Attack(
        ("x\r\nSet-Cookie: a=b", "x\nSet-Cookie: a=b"), lambda seen, _payload: _shown(seen, "\\nSet-Cookie")
    ),
    "CWE-93": Attack(("x\r\nBcc: a@b.example", "x\nBcc: a@b.example"), lambda seen, _payload: _shown(seen, "\\nBcc: ")),
    "CWE-117": Attack(
        ("x\nINFO forged",),
        lambda seen, _payload: _shown(seen, "x\\nINFO forged") or "x\\nINFO forged" in json.dumps(seen["files"]),
    ),
    "CWE-134": Attack(
        ("{0.__class__}", "{order.__class__}", "%(password)s"), lambda seen, _payload: _shown(seen, "class '")
    ),
    "CWE-1236": Attack(
        ("=1+1", "+1", "@SUM(1)"),
        lambda seen, payload: (
            json.dumps(payload) in json.dumps(seen.get("value")) or f"\\n{payload}" in json.dumps(seen.get("value"))
        ),
    ),
    "CWE-90": Attack(("*)(uid=*",), _tagged),
    "CWE-643": Attack(("' or '1'='1",), _tagged),
    "CWE-20": Attack((-5, "x@evil.example@", "x@not{host}", "x@{host}.evil.example"), _accepted),
    "CWE-209": Attack(({"kind": "callable", "raises": CANARY},), lambda seen, _payload: _shown(seen, CANARY)),
    "CWE-915": Attack(({"extra": "is_admin"},), _assigned),
}
"""What is known to show a weakness. Others can't be shown here, and no pair of theirs is said to be shown."""


def attacks(cwe: str, trial: dict[str, Any], constants: tuple[str, ...]) -> Iterator[tuple[dict[str, Any], Any]]:
    """The inputs of an attack: an ordinary one that works, with each text in the place of each of its values."""
    attack = ATTACKS.get(cwe)
    if attack is None:
        return
    base = copy.deepcopy({**trial, "attack": True})
    texts = attack.texts
    if cwe == "CWE-798":
        texts = tuple(dict.fromkeys(trial["env"].values()))
        base["env"] = dict.fromkeys(trial["env"], CANARY)
        yield from ((base, text) for text in texts)
    if cwe in ("CWE-306", "CWE-862", "CWE-863"):
        base["session"] = {}
    if cwe == "CWE-502" or texts == _PLAIN:
        yield base, "alpha"
    if texts == _PLAIN:
        return
    hosts = [text for text in constants if re.fullmatch(r"[a-z][\w-]*(?:\.[a-z][\w-]*)+", text)]
    number = 0
    for text in texts:
        payload = (
            text.replace("{host}", hosts[0] if hosts else "example.org")
            if isinstance(text, str) and "{host}" in text
            else text
        )
        for hostile in _placed(base, payload):
            if number == MOST:
                return
            number += 1
            yield hostile, payload


def _placed(base: dict[str, Any], payload: Any) -> Iterator[dict[str, Any]]:
    """The payload in the place of each argument, of each part of one, and of each value of a request."""
    for place in _places(base["arguments"], payload):
        found = copy.deepcopy(base)
        held: Any = found["arguments"]
        for step in place[:-1]:
            held = held[step]
        held[place[-1]] = _spec(held[place[-1]], payload)
        yield found
    if isinstance(payload, dict) and payload.get("kind") == "packed":
        for name in base["packed"]:
            yield {**copy.deepcopy(base), "packed": {name: payload}}
    if base["values"] and not isinstance(payload, dict):
        yield {**copy.deepcopy(base), "values": dict.fromkeys(base["values"], payload)}


def _places(specs: Any, payload: Any, before: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    items = specs.items() if isinstance(specs, dict) else enumerate(specs)
    for key, spec in items:
        kind = spec["kind"]
        wanted = payload.get("kind", "dict") if isinstance(payload, dict) else ""
        if wanted and kind == wanted:
            yield (*before, key)
        elif kind in ("dict", "list"):
            yield from _places(spec["items"], payload, (*before, key, "items"))
        elif not wanted and kind in ("plain", "bytes", "path"):
            yield (*before, key)


def _spec(old: dict[str, Any], payload: Any) -> dict[str, Any]:
    if isinstance(payload, dict) and "extra" in payload:
        return {"kind": "dict", "items": {**old["items"], payload["extra"]: {"kind": "plain", "value": 1}}}
    if isinstance(payload, dict):
        return {**old, **payload}
    if isinstance(old.get("value"), list):
        return {**old, "value": [payload, *old["value"][1:]]}
    return {**old, "value": payload if old["kind"] == "plain" else str(payload)}


EXECUTED = frozenset(
    {
        "CWE-22",
        "CWE-23",
        "CWE-36",
        "CWE-73",
        "CWE-77",
        "CWE-78",
        "CWE-89",
        "CWE-94",
        "CWE-95",
        "CWE-502",
        "CWE-564",
        "CWE-611",
    }
)
"""Weaknesses whose sign is the harm itself: a query with the attack in it, a file outside, a mark that the attack left.
A text that shows it has the weakness, whoever says otherwise."""
