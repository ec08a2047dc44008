"""Ordinary inputs for a function: arguments, a request's values and files, by names, annotations and uses, from a seed.

An input is ordinary when no check that a careful author may add has a reason to refuse it: short words, small numbers,
names of files that are there. What can't be guessed is tried as several kinds, and the run tells which of them fit.
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable
from typing import Any, NamedTuple

from buril.data.behaviour._kinds import ANNOTATED, LOADS, NAMED, OPENS, by_use
from buril.data.behaviour._reading import Parameter, Reading, Uses

ROOT = "/tmp/w"  # noqa: S108  where the jail has a run's files
WORDS = ("alpha", "beta", "gamma", "delta", "omega", "sigma")
NAMES = ("notes", "report", "photo", "letter")


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
        self._loads = bool(LOADS.search(both))
        self._text = both
        self._suffixes = _suffixes(reading.texts["secure"])
        self.words = list(WORDS)
        self._tags = [text for text in reading.constants if re.fullmatch(r"[a-z]{2,12}", text)][:6]
        self._new = cwe == "CWE-732" or bool(re.search(r"\b(?:makedirs|mkdir)\(", both))
        self._listing = bool(re.search(r"\b(?:listdir|scandir|iterdir|walk)\(", both)) and not OPENS.search(both)
        self.folders = ("", "files/", *_folders(reading))

    def files(self) -> dict[str, str]:
        """The files that each folder has."""
        known = {key: self._by_name(key, 0) for key in self._reading.keys} or {"name": "alpha", "count": 3}
        text = json.dumps(known) if self._loads else "alpha\nbeta: 1\ngamma\n"
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
            "attack": False,
            "arguments": arguments,
            "positional": names[:skipped],
            "packed": packed,
            "values": {key: self._by_name(key, place) for key in self._reading.keys},
            "session": {"user": "alpha"},
            "env": _environment(self._reading),
            "attributes": {},
        }
        return Input(trial, sure)

    def _is_loaded(self, name: str) -> bool:
        """Whether the file that a parameter names is read as a value."""
        return self._loads and bool(re.search(rf"open\(\s*{re.escape(name)}\b", self._text))

    def _kind(self, parameter: Parameter, place: int) -> tuple[str, bool]:
        for pattern, kind in ANNOTATED:
            if parameter.annotation and re.search(pattern, parameter.annotation):
                use = by_use(parameter.name, parameter.uses, loads=self._loads, as_bytes=self._turn == 1)
                narrower = kind == "word" and use in ("filename", "folder", "url", "digits", "mail", "packed")
                return (use if narrower else kind), True
        found = by_use(parameter.name, parameter.uses, loads=self._loads, as_bytes=self._turn == 1)
        if found:
            plural = any(kind == "words" and re.search(pattern, parameter.name.lower()) for pattern, kind in NAMED)
            if found == "words" and not plural and parameter.uses.items is None:
                return ("word", "words")[place % 2], False
            return found, found not in ("words", "table") or plural
        for pattern, kind in NAMED:
            if re.search(pattern, parameter.name.lower()):
                return kind, kind not in ("words", "callable")
        if self._turn and not parameter.annotation:
            return ("bytes", "number")[self._turn - 1], self._turn == 1
        guesses = ("word", "word", "number", "word", "words", "record", "bytes", "word")
        if "put into text" in parameter.uses.roles or "text" in parameter.uses.roles or parameter.uses.given:
            guesses = ("word", "word", "word", "number", "word", "word", "word", "words")
        guess = guesses[place % len(guesses)]
        return guess, guess == "word" and not parameter.uses.roles & {"indexed", "sequence"}

    def _value(self, kind: str, name: str, uses: Uses, place: int) -> dict[str, Any]:
        """What the plan says of an argument of a kind."""
        if kind == "record":
            keys = sorted(uses.keys) or (list(self._reading.keys) if place % 2 == 0 else [])
            return _dictionary({key: self._by_name(key, place) for key in keys})
        if kind == "table":
            return {"kind": "list", "items": [_plain(self._drawn.sample(WORDS, 2)) for _row in range(2)]}
        if kind == "records":
            one = uses.items or Uses()
            return {"kind": "list", "items": [self._value("record", name, one, place + step) for step in range(3)]}
        others: dict[str, dict[str, Any]] = {
            "path": {"value": f"{ROOT}/files/{self._filename(place)}"},
            "bytes": {"value": self._drawn.choice(self.words)},
            "stream": {"value": "alpha\nbeta\ngamma\n", "binary": "bytes" in name or place % 2 == 1},
            "packed": {
                "value": self._record(place),
                "text": not uses.called & {"decode"} and place % 3 == 2,
                "coded": "b64decode" in self._text,
            },
            "callable": {"value": self._drawn.choice(self.words)},
            "named": {"name": name},
            "archive": {"names": ["alpha.txt", "sub/beta.txt"]},
            **dict.fromkeys(("db", "cursor", "request", "answer", "object"), {}),
        }
        return {"kind": kind, **others[kind]} if kind in others else _plain(self._simple(kind, name, uses, place))

    def _simple(self, kind: str, name: str, uses: Uses, place: int) -> Any:
        """A value that JSON can say."""
        draw = self._drawn
        makers: dict[str, Callable[[], Any]] = {
            "word": lambda: self._by_name(name, place),
            "number": lambda: (draw.randint(1, 6), place % 6 + 1)[place % 2],
            "choice": lambda: draw.choice(uses.choices),
            "literal": lambda: draw.choice(("7", "[1, 2]", "{'a': 1}", "'x'", "(1, 2.5)")),
            "xml": self._document,
            "flag": lambda: bool(place % 2),
            "float": lambda: draw.choice((0.5, 1.25, 2.0)),
            "digits": lambda: str(draw.randint(1, 9)),
            "numbers": lambda: draw.sample(range(1, 7), 3),
            "words": lambda: draw.sample(self.words, 2),
            "filename": lambda: self._filename(place),
            "folder": lambda: f"{ROOT}/files",
            "url": lambda: self._url(place),
            "mail": lambda: f"{draw.choice(WORDS)}@{self._host()}",
            "host": self._host,
        }
        return makers[kind]()

    def _document(self) -> str:
        """XML with the elements that the texts may ask for."""
        cells = zip((*self._tags, "item"), self.words, strict=False)
        return f"<r>{''.join(f'<{tag}>{word}</{tag}>' for tag, word in cells)}</r>"

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


def _plain(value: Any) -> dict[str, Any]:
    return {"kind": "plain", "value": value}


def _dictionary(values: dict[str, Any]) -> dict[str, Any]:
    return {"kind": "dict", "items": {key: _plain(value) for key, value in values.items()}}
