"""Which kind of argument a parameter wants, by its name, its annotation and what both texts do with it."""

from __future__ import annotations

import re

from buril.data.behaviour._reading import Uses

NAMED: tuple[tuple[str, str], ...] = (
    (r"^(db|conn|connection|database|engine|sqlite|con)$", "db"),
    (r"^(cur|cursor|curs)$", "cursor"),
    (r"^(req|request)$", "request"),
    (r"^(resp|response|reply)$", "answer"),
    (r"(^|_)(archive|tar|tarball|tarfile|tf)$", "archive"),
    (
        r"^(root|folder|directory|dir|base|basedir|dirname|parent|dest|destination|outdir|workdir)$|_(dir|root|folder|directory)$",
        "folder",
    ),
    (r"(^|_)(path|file|filename|file_name|fname|filepath)$", "filename"),
    (r"(^|_)(url|uri|endpoint|webhook|href)$", "url"),
    (r"(^|_)(e?mail)$", "mail"),
    (r"(^|_)(host|hostname|domain)$", "host"),
    (r"(^|_)(ids|numbers|sizes|counts)$", "numbers"),
    (r"(^|_)origin$", "url"),
    (
        r"(^|_)(number|balance|stock|score|rating|total|price|cost|count|size|limit|page|age|id|n|amount|length|width|height|port|year|quantity|offset|index|num|seconds)$",
        "number",
    ),
    (r"^(flag|enabled|descending|reverse|force|verbose|strict)$|^(is|has|use)_", "flag"),
    (r"(^|_)(callback|func|fn|handler|make|job)$", "callable"),
    (r"(^|_)(log|logger|client|session|app|config|settings|self|cls|ctx|context)$", "named"),
    (r"(^|_)(stream|fp|fileobj|fh)$", "stream"),
    (r"(^|_)(names|items|words|lines|tags|fields|columns|values|args|parts|rows|files|addresses|lists?)$", "words"),
)
ANNOTATED = (
    (r"^str$|Optional\[str\]|^str \| None$", "word"),
    (r"^int$|Optional\[int\]", "number"),
    (r"^bool$", "flag"),
    (r"^bytes$", "bytes"),
    (r"^float$", "float"),
    (r"\bPath\b|PathLike", "path"),
    (r"(?i)^list\[int\]|^sequence\[int\]", "numbers"),
    (r"(?i)^(list|sequence|iterable|tuple)\b", "words"),
    (r"(?i)^(dict|mapping)\b", "record"),
    (r"Callable", "callable"),
    (r"sqlite3\.Connection|^Connection$", "db"),
    (r"(?i)request", "request"),
    (r"IO\b|BinaryIO|TextIO", "stream"),
)
LOADS = re.compile(
    r"\b(?:json|pickle|yaml|marshal|dill)\.(?:safe_|unsafe_|full_)?loads?\b|\byaml\.\w*load\w*|\bcPickle\.loads?"
)
_PLAIN = frozenset({*dir(str), *dir(bytes), *dir(list), *dir(dict), *dir(set)})
"""What texts and collections have: what is asked for more is another kind of object."""
OPENS = re.compile(r"\b(?:open|getsize|isfile|exists|stat|remove|unlink|rename|send_file|Path)\b")
ADDRESSES = re.compile(
    r"(?:requests|httpx|session|client)\.(?:get|post|put|head|request)|urlopen|urlparse|urlsplit|redirect"
)
_TEXT = frozenset(
    {"encode", "split", "strip", "lower", "upper", "replace", "startswith", "endswith", "partition", "rpartition"}
) | {"format", "rsplit", "splitlines"}
_METHODS: tuple[tuple[frozenset[str], str], ...] = (
    (frozenset({"extract", "extractall", "getmembers", "extractfile"}), "archive"),
    (frozenset({"items", "keys", "update", "setdefault", "get"}), "record"),
)
_GIVEN: tuple[tuple[str, str], ...] = (
    (LOADS.pattern, "packed"),
    (r"\b(?:fromstring|XML|parseString|XMLParser)\b", "xml"),
    (r"(?:^|\s)(?:ast\.literal_eval|literal_eval|eval)(?:\s|$)", "literal"),
    (r"\b(?:hmac\.(?:new|digest)|pbkdf2_hmac|scrypt|hashpw|hashlib\.\w+)\b", "bytes"),
)
_FILES = r"(?:^|\s)(?:open|os\.(?:path\.(?:getsize|isfile|exists)|stat|remove|listdir)|send_file|Path)(?:\s|$)"
_PATHS = re.compile(r"os\.path\.join|os\.path\.realpath|send_from_directory")


def named(name: str) -> str:
    """The kind that a name says; "" for none."""
    return next((kind for pattern, kind in NAMED if re.search(pattern, name.lower())), "")


def by_use(name: str, uses: Uses, *, loads: bool, as_bytes: bool) -> str:
    """The kind that is plain from what is done with a parameter; "" for none.

    Args:
        name: of the parameter.
        uses: of it in both texts.
        loads: whether the texts read values of a form such as JSON.
        as_bytes: whether what might be text is to be bytes.
    """
    if "called" in uses.roles:
        return "callable"
    if uses.choices:
        return "choice"
    given = " ".join(sorted(uses.given))
    bare = not uses.called and not uses.keys and not uses.roles & {"looped", "number"} and not OPENS.search(given)
    if as_bytes and not named(name) and bare:
        return "bytes"
    return _object(name, uses, given) or _place(name, uses, given) or _data(name, uses, given, loads=loads)


def _object(name: str, uses: Uses, given: str) -> str:  # noqa: PLR0911  one return a kind reads best
    """Kinds that are told by their methods, or by what takes them."""
    if named(name) in ("db", "cursor", "request", "answer", "archive"):
        return named(name)
    if uses.called & {"execute", "executemany", "cursor", "commit"}:
        return "cursor" if "fetchall" in uses.called and "cursor" not in uses.called else "db"
    if uses.read - uses.called:
        return "named"  # texts and collections have methods alone
    for methods, kind in _METHODS:
        if uses.called & methods:
            return kind
    if uses.keys and "sequence" not in uses.roles:
        return "record"
    for pattern, kind in _GIVEN:
        if re.search(pattern, given):
            return kind
    if re.search(r"\b(?:setattr|getattr)\b", given) and not uses.called:
        return "object" if "setattr" in given else "named"
    return "stream" if uses.called & {"read", "readline", "readlines"} else ""


def _place(name: str, uses: Uses, given: str) -> str:
    """Files, folders and addresses."""
    if re.search(_FILES, given):
        return "folder" if named(name) == "folder" or "listdir" in given else "filename"
    if "path" in uses.roles or _PATHS.search(given):
        return "folder" if named(name) == "folder" else "filename"
    return "url" if ADDRESSES.search(given) else ""


def _data(name: str, uses: Uses, given: str, *, loads: bool) -> str:  # noqa: PLR0911  as above
    """Numbers, collections, bytes and text."""
    if re.search(r"(?:^|\s)(?:int|float|Decimal|Fraction)(?:\s|$)", given):
        return "digits"
    if "number" in uses.roles or ("ordered" in uses.roles and any(type(item) is int for item in uses.compared)):
        return "number"
    if "looped" in uses.roles and not uses.called & {"split", "strip", "lower", "encode"}:
        return _collection(name, uses)
    if uses.called & {"decode", "hex"}:
        return "packed" if loads else "bytes"
    if named(name) in ("mail", "url", "host", "folder", "filename"):
        return named(name)
    if uses.called & _TEXT or "text" in uses.roles:
        return "words" if named(name) == "words" and "join" in given else "word"
    return "named" if (uses.called | uses.read) - _PLAIN else ""


def _collection(name: str, uses: Uses) -> str:
    items = uses.items
    if items and "looped" in items.roles and not items.called:
        return "table"
    if items and items.keys:
        return "records"
    return "numbers" if named(name) == "numbers" else "words"
