"""Ordinary inputs for a function: arguments, a request's values and files, by names, annotations and uses, from a seed.

An input is ordinary when no check that a careful author may add has a reason to refuse it: short words, small numbers,
names of files that are there. What can't be guessed is tried as several kinds, and the run tells which of them fit.
"""

from __future__ import annotations

import random
import re
from typing import Any, NamedTuple

from buril.data.behaviour._reading import Parameter, Reading, Uses

ROOT = "/tmp/w"  # noqa: S108  where the jail has a run's files
WORDS = ("alpha", "beta", "gamma", "delta", "omega", "sigma")
NAMES = ("notes", "report", "photo", "letter")
_NAMED: tuple[tuple[str, str], ...] = (
    (r"^(db|conn|connection|database|engine|sqlite|con)$", "db"),
    (r"^(cur|cursor|curs)$", "cursor"),
    (r"^(req|request)$", "request"),
    (r"^(resp|response|reply)$", "answer"),
    (r"(^|_)(archive|tar|tarball|tarfile|tf)$", "archive"),
    (r"^(root|folder|directory|dir|base|basedir|dirname|parent|dest|destination|outdir|workdir)$|_(dir|root|folder|directory)$", "folder"),
    (r"(^|_)(path|file|filename|file_name|fname|filepath)$", "filename"),
    (r"(^|_)(url|uri|endpoint|webhook|href)$", "url"),
    (r"(^|_)(e?mail)$", "mail"),
    (r"(^|_)(host|hostname|domain)$", "host"),
    (r"(^|_)(ids|numbers|sizes|counts)$", "numbers"),
    (r"(^|_)origin$", "url"),
    (r"(^|_)(number|balance|stock|score|rating|total|price|cost|count|size|limit|page|age|id|n|amount|length|width|height|port|year|quantity|offset|index|num|seconds)$", "number"),
    (r"^(flag|enabled|descending|reverse|force|verbose|strict)$|^(is|has|use)_", "flag"),
    (r"(^|_)(callback|func|fn|handler|make|job)$", "callable"),
    (r"(^|_)(log|logger|client|session|app|config|settings|self|cls|ctx|context)$", "named"),
    (r"(^|_)(stream|fp|fileobj|fh)$", "stream"),
    (r"(^|_)(names|items|words|lines|tags|fields|columns|values|args|parts|rows|files|addresses|lists?)$", "words"),
)  # fmt: skip
_ANNOTATED = (
    (r"^str$|Optional\[str\]|^str \| None$", "word"), (r"^int$|Optional\[int\]", "number"), (r"^bool$", "flag"),
    (r"^bytes$", "bytes"), (r"^float$", "float"), (r"\bPath\b|PathLike", "path"), (r"(?i)^list\[int\]|^sequence\[int\]", "numbers"),
    (r"(?i)^(list|sequence|iterable|tuple)\b", "words"), (r"(?i)^(dict|mapping)\b", "record"), (r"Callable", "callable"),
    (r"sqlite3\.Connection|^Connection$", "db"), (r"(?i)request", "request"), (r"IO\b|BinaryIO|TextIO", "stream"),
)  # fmt: skip
_LOADS = re.compile(
    r"\b(?:json|pickle|yaml|marshal|dill)\.(?:safe_|unsafe_|full_)?loads?\b|\byaml\.\w*load\w*|\bcPickle\.loads?"
)
_PLAIN = frozenset({*dir(str), *dir(bytes), *dir(list), *dir(dict), *dir(set)})
"""What texts and collections have: what is asked for more is another kind of object."""
_OPENS = re.compile(r"\b(?:open|getsize|isfile|exists|stat|remove|unlink|rename|send_file|Path)\b")
_ADDRESSES = re.compile(
    r"(?:requests|httpx|session|client)\.(?:get|post|put|head|request)|urlopen|urlparse|urlsplit|redirect"
)


class Input(NamedTuple):
    """One input as the jail's plan has it, and whether each argument's kind is more than a guess."""

    trial: dict[str, Any]
    sure: bool


class Maker:
    """Makes inputs of one entry."""

    def __init__(self, reading: Reading, cwe: str, seed: int, turn: int = 0) -> None:
        self._turn = turn
        self._reading, self._cwe = reading, cwe
        self._drawn = random.Random(f"{seed} {reading.entry} {len(reading.texts['secure'])}")  # noqa: S311  inputs, no secrets
        both = "\n".join(reading.texts.values())
        self._loads = bool(_LOADS.search(both))
        self._text = both
        self._suffixes = _suffixes(reading.texts["secure"])
        self.words = list(WORDS)
        self._tags = [text for text in reading.constants if re.fullmatch(r"[a-z]{2,12}", text)][:6]
        self._new = cwe == "CWE-732" or bool(re.search(r"\b(?:makedirs|mkdir)\(", both))
        self._listing = bool(re.search(r"\b(?:listdir|scandir|iterdir|walk)\(", both)) and not _OPENS.search(both)
        self.folders = ("", "files/", *_folders(reading))

    def files(self) -> dict[str, str]:
        """The files that each folder has."""
        text = '{"name": "alpha", "count": 3}\n' if "json.load" in self._text else "alpha\nbeta: 1\ngamma\n"
        names = [f"{name}{suffix}" for suffix in (self._suffixes or (".txt",)) for name in NAMES]
        found = {f"{folder}{name}": text for folder in self.folders for name in names}
        return {**found, **{f"{folder}sub/inner.txt": text for folder in self.folders}}

    def make(self, number: int) -> list[Input]:
        """Some inputs, each other than the ones before where the kinds allow."""
        return [self._one(place) for place in range(number)]

    def _one(self, place: int) -> Input:
        arguments: dict[str, Any] = {}
        sure, packed = True, {}
        for parameter in self._reading.parameters:
            if parameter.optional and place % 2:
                continue
            kind, known = self._kind(parameter, place)
            if kind == "filename" and self._is_loaded(parameter.name):
                arguments[parameter.name] = {"kind": "plain", "value": f"{ROOT}/state{place}"}
                packed[f"state{place}"] = {"kind": "packed", "value": self._record(place)}
                continue
            arguments[parameter.name] = self._value(kind, parameter.name, parameter.uses, place)
            sure = sure and known
        names = [name for name in self._reading.positional if name in arguments]
        skipped = next((at for at, name in enumerate(self._reading.positional) if name not in arguments), len(names))
        trial = {
            "attack": False, "arguments": arguments, "positional": names[:skipped], "packed": packed,
            "values": {key: self._by_name(key, place) for key in self._reading.keys}, "session": {"user": "alpha"},
            "env": _environment(self._reading), "attributes": {},
        }  # fmt: skip
        return Input(trial, sure)

    def _is_loaded(self, name: str) -> bool:
        """Whether the file that a parameter names is read as a value."""
        return self._loads and bool(re.search(rf"open\(\s*{re.escape(name)}\b", self._text))

    def _kind(self, parameter: Parameter, place: int) -> tuple[str, bool]:
        for pattern, kind in _ANNOTATED:
            if parameter.annotation and re.search(pattern, parameter.annotation):
                by_use = self._by_use(parameter.name, parameter.uses)
                return (
                    by_use
                    if kind == "word" and by_use in ("filename", "folder", "url", "digits", "mail", "packed")
                    else kind
                ), True
        found = self._by_use(parameter.name, parameter.uses)
        if found:
            plural = any(kind == "words" and re.search(pattern, parameter.name.lower()) for pattern, kind in _NAMED)
            if found == "words" and not plural and parameter.uses.items is None:
                return ("word", "words")[place % 2], False
            return found, found not in ("words", "table") or plural
        for pattern, kind in _NAMED:
            if re.search(pattern, parameter.name.lower()):
                return kind, kind not in ("number", "words", "callable")
        if self._turn and not parameter.annotation:
            return ("bytes", "number")[self._turn - 1], self._turn == 1
        guesses = ("word", "word", "number", "word", "words", "record", "bytes", "word")
        if "put into text" in parameter.uses.roles or "text" in parameter.uses.roles or parameter.uses.given:
            guesses = ("word", "word", "word", "number", "word", "word", "word", "words")
        return guesses[place % len(guesses)], guesses[place % len(guesses)] == "word"

    def _by_use(self, name: str, uses: Uses) -> str:  # noqa: PLR0911, PLR0912  one line a kind reads best
        given = " ".join(sorted(uses.given))
        named = next((kind for pattern, kind in _NAMED if re.search(pattern, name.lower())), "")
        if "called" in uses.roles:
            return "callable"
        if uses.choices:
            return "choice"
        if (
            self._turn == 1
            and not named
            and uses.called <= {"encode"} - {"encode"}
            and not uses.keys
            and not uses.roles & {"looped", "number"}
            and not _OPENS.search(given)
        ):
            return "bytes"
        if named in ("db", "cursor", "request", "answer", "archive"):
            return named
        if uses.called & {"execute", "executemany", "cursor", "commit"}:
            return "cursor" if "fetchall" in uses.called and "cursor" not in uses.called else "db"
        if uses.called & {"extract", "extractall", "getmembers", "extractfile"}:
            return "archive"
        if uses.called & {"items", "keys", "update", "setdefault", "get"} or (
            uses.keys and "sequence" not in uses.roles
        ):
            return "record"
        if _LOADS.search(given):
            return "packed"
        if re.search(r"\b(?:fromstring|XML|parseString|XMLParser)\b", given):
            return "xml"
        if re.search(r"(?:^|\s)(?:ast\.literal_eval|literal_eval|eval)(?:\s|$)", given):
            return "literal"
        if re.search(r"\b(?:setattr|getattr)\b", given) and not uses.called:
            return "object" if "setattr" in given else "named"
        if re.search(r"\b(?:hmac\.(?:new|digest)|pbkdf2_hmac|scrypt|hashpw|hashlib\.\w+)\b", given):
            return "bytes"
        if uses.called & {"read", "readline", "readlines"}:
            return "stream"
        if _OPENS.search(given) and re.search(
            r"(?:^|\s)(?:open|os\.(?:path\.(?:getsize|isfile|exists)|stat|remove|listdir)|send_file|Path)(?:\s|$)",
            given,
        ):
            return "folder" if named == "folder" or "listdir" in given else "filename"
        if (
            "os.path.join" in given
            or "path" in uses.roles
            or "os.path.realpath" in given
            or "send_from_directory" in given
        ):
            return "folder" if named == "folder" else "filename"
        if _ADDRESSES.search(given):
            return "url"
        if re.search(r"(?:^|\s)(?:int|float|Decimal|Fraction)(?:\s|$)", given):
            return "digits"
        if "number" in uses.roles or ("ordered" in uses.roles and any(type(item) is int for item in uses.compared)):
            return "number"
        if "looped" in uses.roles and not uses.called & {"split", "strip", "lower", "encode"}:
            if uses.items and "looped" in uses.items.roles and not uses.items.called:
                return "table"
            return "records" if uses.items and uses.items.keys else "numbers" if named == "numbers" else "words"
        if uses.called & {"decode", "hex"}:
            return "packed" if self._loads else "bytes"
        if uses.called & {"mail"} or named in ("mail", "url", "host", "folder", "filename"):
            return named
        if (
            uses.called
            & {
                "encode",
                "split",
                "strip",
                "lower",
                "upper",
                "replace",
                "startswith",
                "endswith",
                "partition",
                "rpartition",
                "format",
                "rsplit",
                "splitlines",
            }
            or "text" in uses.roles
        ):
            return "words" if named == "words" and "join" in given else "word"
        if (uses.called | uses.read) - _PLAIN:
            return "named"
        return ""

    def _value(self, kind: str, name: str, uses: Uses, place: int) -> dict[str, Any]:
        draw = self._drawn
        plain = {
            "word": lambda: self._by_name(name, place), "number": lambda: (draw.randint(1, 6), place % 6 + 1)[place % 2],
            "choice": lambda: draw.choice(uses.choices), "literal": lambda: draw.choice(("7", "[1, 2]", "{'a': 1}", "'x'", "(1, 2.5)")),
            "xml": lambda: f"<r>{''.join(f'<{tag}>{word}</{tag}>' for tag, word in zip((*self._tags, 'item'), self.words))}</r>", "flag": lambda: bool(place % 2),
            "float": lambda: draw.choice((0.5, 1.25, 2.0)), "digits": lambda: str(draw.randint(1, 9)),
            "numbers": lambda: draw.sample(range(1, 7), 3), "words": lambda: draw.sample(self.words, min(2, len(self.words))),
            "filename": lambda: self._filename(place), "folder": lambda: f"{ROOT}/files", "url": lambda: self._url(place),
            "mail": lambda: f"{draw.choice(WORDS)}@{self._host()}", "host": self._host,
        }  # fmt: skip
        if kind in plain:
            return {"kind": "plain", "value": plain[kind]()}
        if kind == "record":
            keys = sorted(uses.keys) or (list(self._reading.keys) if place % 2 == 0 else [])
            return {
                "kind": "dict",
                "items": {key: {"kind": "plain", "value": self._by_name(key, place)} for key in keys},
            }
        if kind == "table":
            return {"kind": "list", "items": [{"kind": "plain", "value": draw.sample(WORDS, 2)} for _row in range(2)]}
        if kind == "records":
            one = uses.items or Uses()
            return {"kind": "list", "items": [self._value("record", name, one, place + step) for step in range(3)]}
        others: dict[str, dict[str, Any]] = {
            "path": {"value": f"{ROOT}/files/{self._filename(place)}"}, "bytes": {"value": draw.choice(self.words)},
            "stream": {"value": "alpha\nbeta\ngamma\n", "binary": "bytes" in name or place % 2 == 1},
            "packed": {"value": self._record(place), "text": not uses.called & {"decode"} and place % 3 == 2,
                       "coded": "b64decode" in self._text},
            "callable": {"value": draw.choice(self.words)}, "named": {"name": name}, "archive": {"names": ["alpha.txt", "sub/beta.txt"]},
        }  # fmt: skip
        return {"kind": kind, **others.get(kind, {})}

    def _record(self, place: int) -> Any:
        return {"name": self.words[place % len(self.words)], "count": place + 1, "list": [1, 2, place]}

    def _by_name(self, name: str, place: int) -> Any:
        """A text that suits a name."""
        low = name.lower()
        draw = self._drawn
        if re.search(r"(^|_)(next|back|continue|target|return|redirect|goto|url|link|address)(_|$|to)", low):
            return self._url(place) if self._cwe != "CWE-601" else draw.choice(("/home", "/list/2", "/a"))
        if re.search(r"(file|path|attachment|document|image|photo)", low) or (
            low == "name" and self._cwe in ("CWE-22", "CWE-23", "CWE-73")
        ):
            return self._filename(place)
        if re.search(
            r"(^|_)(id|count|page|size|limit|number|age|year|quantity|amount|price|balance|total|stock|score|rating)$",
            low,
        ):
            return draw.randint(1, 9)
        if "mail" in low:
            return f"{draw.choice(WORDS)}@{self._host()}"
        if "host" in low or "domain" in low:
            return self._host()
        fit = [word for word in self._reading.constants if re.fullmatch(r"[a-z][a-z_]{1,15}", word)]
        return draw.choice(fit) if fit and place % 3 == 1 else self.words[(place + len(name)) % len(self.words)]

    def _filename(self, place: int) -> str:
        if self._new:
            return f"{ROOT}/new{place}"
        if self._listing:
            return "sub"
        if place % 4 == 3 and not self._suffixes and "basename" not in self._text:
            return "sub/inner.txt"
        return f"{NAMES[place % len(NAMES)]}{self._drawn.choice(self._suffixes or ('.txt',))}"

    def _url(self, place: int) -> str:
        known = [text for text in self._reading.constants if re.fullmatch(r"https?://[\w.-]+\S*", text)]
        if known:
            return known[place % len(known)]
        return f"https://{self._host()}/{self.words[place % len(self.words)]}"

    def _host(self) -> str:
        named = [word for word in self._reading.constants if re.fullmatch(r"[a-z][\w-]*(?:\.[a-z][\w-]*)+", word)]
        hosts = [word for word in named if not word.endswith((".txt", ".py", ".json", ".html", ".png", ".jpg"))]
        return hosts[0] if hosts else "www.example.org"


def _suffixes(secure: str) -> tuple[str, ...]:
    """Endings of file names that the careful text names: others it may refuse."""
    found = re.findall(r"[\"'](\.?(?:png|jpe?g|gif|txt|pdf|csv|json|md|webp))[\"']", secure)
    return tuple(dict.fromkeys("." + item.lstrip(".") for item in found))


def _folders(reading: Reading) -> list[str]:
    """Folders below the root that the texts name."""
    found = re.findall(rf"{re.escape(ROOT)}/([\w./-]*)", "\n".join(reading.texts.values()))
    return sorted({item.rstrip("/") + "/" for item in found if item and "." not in item.rsplit("/", 1)[-1]})


def _environment(reading: Reading) -> dict[str, str]:
    """What the careful text asks of the environment has the value that the other text holds."""
    pattern = (
        r"environ(?:\.get)?[\[(]\s*[\"']([\w.]+)[\"']|getenv\(\s*[\"']([\w.]+)[\"']|environ\[[\"']([\w]+)[\"']\.upper"
    )
    names = [next(filter(None, item)) for item in re.findall(pattern, reading.texts["secure"])]
    if not names:
        return {}
    prefixes = [text for text in reading.constants if text not in reading.secrets]
    other = [
        text.removeprefix(next((one for one in prefixes if one.endswith(" ") and text.startswith(one)), ""))
        for text in reading.secrets
    ]
    secret = max((text for text in other if re.fullmatch(r"\S{4,}", text)), key=len, default="alpha")
    return {form: secret for name in names for form in (name, name.upper())}
