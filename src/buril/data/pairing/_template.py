"""Templates as text: a name, a weakness, a language, words to choose from, a head, careful and careless bodies.

    @ rows-by-column CWE-89 python
    $ noun: invoice, parcel
    def load_«noun»s(db, code):
        ...
    === secure
        return db.execute("SELECT * FROM «noun» WHERE code = ?", (code,))
    === vulnerable
        return db.execute(f"SELECT * FROM «noun» WHERE code = '{code}'")

What stands before the first `===` begins both texts. There may be several bodies of each kind. `«noun»` is the chosen
word, `«Noun»` the same with a capital.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.resources import files
from typing import Final, NamedTuple

FOLDER: Final = "_templates"
_BEGIN = re.compile(r"^@ (?P<name>[\w-]+) (?P<cwe>CWE-\d+) (?P<language>\w+)$")
_WORDS = re.compile(r"^\$ (?P<slot>\w+): (?P<words>.+)$")
_BODY = re.compile(r"^=== (?P<kind>secure|vulnerable)$")
_SLOT = re.compile(r"«(\w+)»")


class Template(NamedTuple):
    """A program with slots; `bodies` are its careful and its careless endings."""

    name: str
    cwe: str
    language: str
    slots: Mapping[str, tuple[str, ...]]
    head: str
    secure: tuple[str, ...]
    vulnerable: tuple[str, ...]

    def forms(self) -> list[tuple[str, str]]:
        """Each careful body with each careless one, so that a few of them already differ in both."""
        grid = list(itertools.product(range(len(self.secure)), range(len(self.vulnerable))))
        grid.sort(key=lambda place: ((place[1] - place[0]) % len(self.vulnerable), place))
        return [(self.secure[good], self.vulnerable[bad]) for good, bad in grid]

    def text(self, body: str, words: Mapping[str, str]) -> str:
        """The whole program with one of the bodies and a word in each slot."""

        def word(found: re.Match[str]) -> str:
            slot = found[1]
            if slot in words:
                return words[slot]
            small = words[slot[0].lower() + slot[1:]]
            return small[0].upper() + small[1:]

        return _SLOT.sub(word, self.head + body)


@cache
def templates() -> tuple[Template, ...]:
    """All templates, by the name of their file and in its order.

    Raises:
        ValueError: where one is not in form: its name stands in the message.
    """
    folder = files(__package__).joinpath(FOLDER)
    found: list[Template] = []
    for path in sorted(folder.iterdir(), key=lambda item: item.name):
        found += read(path.read_text(encoding="utf-8"))
    return tuple(found)


def read(text: str) -> Iterator[Template]:
    """The templates of a text.

    Raises:
        ValueError: see `templates`.
    """
    lines = text.splitlines()
    starts = [number for number, line in enumerate(lines) if line.startswith("@ ")]
    for start, end in itertools.pairwise([*starts, len(lines)]):
        yield _template(lines[start], lines[start + 1 : end])


def _template(first: str, lines: list[str]) -> Template:
    begin = _BEGIN.match(first)
    if begin is None:
        raise ValueError(f"not the beginning of a template: {first}")
    slots: dict[str, tuple[str, ...]] = {}
    head: list[str] = []
    bodies: dict[str, list[list[str]]] = {"secure": [], "vulnerable": []}
    place = head
    for line in lines:
        if words := _WORDS.match(line):
            slots[words["slot"]] = tuple(word.strip() for word in words["words"].split(","))
        elif body := _BODY.match(line):
            place = []
            bodies[body["kind"]].append(place)
        else:
            place.append(line)
    secure, vulnerable = (tuple(map(_joined, bodies[kind])) for kind in ("secure", "vulnerable"))
    if not secure or not vulnerable:
        raise ValueError(f"a template without two kinds of bodies: {begin['name']}")
    return Template(begin["name"], begin["cwe"], begin["language"], slots, "\n".join(head) + "\n", secure, vulnerable)


def _joined(lines: list[str]) -> str:
    return "\n".join(lines).rstrip() + "\n"
