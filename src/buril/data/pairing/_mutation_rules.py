"""Rewrites as text: a name, a weakness, languages, and pieces of code of which each careful one has careless ones.

    @ unsafe-yaml CWE-502 python
    secure: yaml.safe_load(«X»)
    weak: yaml.load(«X», Loader=yaml.Loader)
    weak: yaml.unsafe_load(«X»)

A piece goes on in the lines that begin with `|`. `where: A lacks verify` and `where: H like sha256` ask something of
what stands in a slot (of `text`: in the whole text), `import weak:` names a line that the careless form needs. `claim:
construction` marks what is weak by what it is, whether or not a scanner sees it. `way: mutate` or `way: mend` marks
what can't be undone. `make: sql` has slots made of others, see `_mutation_make`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.resources import files
from typing import Final, Literal, NamedTuple

from tree_sitter import Tree

from buril.data.pair import Claim
from buril.data.pairing._mutation_edit import Change, Edit, laid_out
from buril.data.pairing._mutation_make import PLACEHOLDERS, TO_SECURE, TO_WEAK
from buril.data.pairing._mutation_match import Found, Pattern, filled, found, names, pattern

FOLDER: Final = "_mutations"
GUARDS: Final = "guards.txt"
"""The file of that folder that holds no rules; `_mutation_guard` reads it."""
Side = Literal["secure", "weak"]
_BEGIN: Final = re.compile(r"@ (?P<name>[\w-]+) (?P<cwe>CWE-\d+)(?P<languages>(?: \w+)+)")
_LINE: Final = re.compile(r"(?P<key>secure|weak|import secure|import weak|where|claim|way|make): (?P<value>.*)")
_WHERE: Final = re.compile(r"(\w+) (lacks|like) (.+)")


class Rule(NamedTuple):
    """Pieces of code that do the same with and without a weakness."""

    name: str
    cwe: str
    languages: tuple[str, ...]
    forms: Mapping[str, tuple[str, ...]]
    imports: Mapping[str, tuple[str, ...]]
    where: tuple[tuple[str, bool, re.Pattern[str]], ...]
    claim: Claim
    way: str
    make: str

    def holds(self, slots: Mapping[str, str]) -> bool:
        """Whether what stands in the slots is what the rule asks for."""
        return all(
            (asked.search(slots[name]) is not None) == wanted for name, wanted, asked in self.where if name in slots
        )


def changes(text: str, tree: Tree, language: str, to: Side) -> Iterator[Change]:
    """What the rules can make of a text: `to` is "weak" for mutants, "secure" for what mends."""
    start: Side = "secure" if to == "weak" else "weak"
    source = text.encode("utf-8", "replace")
    for rule in rules(language):
        if rule.way == ("mend" if to == "weak" else "mutate"):
            continue
        for before in rule.forms[start]:
            sought = _pattern(language, before)
            for place in found(sought, tree, language) if all(word in source for word in sought.words) else ():
                if rule.holds({**place.slots, "text": text}):
                    yield from _changed(rule, place, text, language, to)


def _changed(rule: Rule, place: Found, text: str, language: str, to: Side) -> Iterator[Change]:
    source = text.encode()
    line = source.rfind(b"\n", 0, place.start) + 1
    indent = re.match(r"\s*", source[line : place.start].decode())
    for slots in _made(rule, place.slots, text, language, to):
        fitting = [after for after in rule.forms[to] if names(after) <= slots.keys()]
        for after in fitting if to == "weak" else fitting[:1]:
            shown, was = filled(after, slots, indent[0] if indent else ""), source[place.start : place.end].decode()
            if "\n" in was and "\n" not in after and not rule.make:
                shown = laid_out(was, shown)
            yield Change(rule.name, rule.cwe, (Edit(place.start, place.end, shown),), rule.imports[to], rule.claim)


def _made(rule: Rule, slots: Mapping[str, str], text: str, language: str, to: Side) -> Iterator[Mapping[str, str]]:
    """What stands in the slots, and in those that are made of them."""
    if not rule.make:
        yield slots
        return
    makers = TO_WEAK if to == "weak" else TO_SECURE
    mark = next((mark for mark, asked in PLACEHOLDERS if asked.search(text)), "?")
    yield from makers[rule.make](language, {**slots, "mark": mark})


@cache
def _pattern(language: str, text: str) -> Pattern:
    return pattern(language, text)


def may_change(text: str, language: str) -> bool:
    """Whether a text has all words of a careful form."""
    source = text.encode("utf-8", "replace")
    return any(all(word in source for word in words) for words in _words(language))


@cache
def _words(language: str) -> tuple[frozenset[bytes], ...]:
    forms = [form for rule in rules(language) if rule.way != "mend" for form in rule.forms["secure"]]
    return tuple(dict.fromkeys(_pattern(language, form).words for form in forms))


@cache
def languages() -> frozenset[str]:
    """The languages that there are rules for."""
    return frozenset(name for rule in _every() for name in rule.languages)


@cache
def rules(language: str) -> tuple[Rule, ...]:
    """The rules of a language, by the name of their file and in its order.

    Raises:
        ValueError: where one is not in form.
    """
    return tuple(rule for rule in _every() if language in rule.languages)


@cache
def _every() -> tuple[Rule, ...]:
    folder = files(__package__).joinpath(FOLDER)
    paths = sorted((item for item in folder.iterdir() if item.name != GUARDS), key=lambda item: item.name)
    return tuple(rule for path in paths for rule in read(path.read_text(encoding="utf-8")))


def read(text: str) -> Iterator[Rule]:
    """The rules of a text.

    Raises:
        ValueError: see `rules`.
    """
    entries: list[tuple[re.Match[str], list[tuple[str, str]]]] = []
    for line in text.splitlines():
        begin, item = _BEGIN.fullmatch(line), _LINE.fullmatch(line)
        if begin:
            entries.append((begin, []))
        elif item and entries:
            entries[-1][1].append((item["key"], item["value"]))
        elif line.startswith("| ") and entries and entries[-1][1]:
            key, value = entries[-1][1][-1]
            entries[-1][1][-1] = (key, f"{value}\n{line[2:]}")
        elif line and not line.startswith("#"):
            raise ValueError(f"not a line of a rule: {line}")
    for begin, items in entries:
        yield _rule(begin, items)


def _rule(begin: re.Match[str], items: list[tuple[str, str]]) -> Rule:
    def of(key: str) -> tuple[str, ...]:
        return tuple(value for name, value in items if name == key)

    where = [_WHERE.fullmatch(value) for value in of("where")]
    sides = {side: of(side) for side in ("secure", "weak")}
    if not all(sides.values()) or None in where:
        raise ValueError(f"not a rule: {begin[0]}")
    asked = tuple((item[1], item[2] == "like", re.compile(item[3])) for item in where if item)
    claim: Claim = "construction" if of("claim") == ("construction",) else "scanner"
    return Rule(
        begin["name"], begin["cwe"], tuple(begin["languages"].split()), sides,
        {side: of(f"import {side}") for side in sides}, asked, claim, (*of("way"), "")[0],
        (*of("make"), "")[0],
    )  # fmt: skip
