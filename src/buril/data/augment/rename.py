"""Rename: the local names of a file change places, and everything still means what it meant."""

from __future__ import annotations

import random
from typing import ClassVar, Literal

from tree_sitter import Tree

from buril.code.codefile import CodeFile
from buril.code.parse import parse
from buril.code.scope import SCOPED, Refused, Unit, units
from buril.code.scope import rename as renamed
from buril.data.augment._alpha import same_but_for_locals
from buril.data.augmenter import Augmenter, AugmenterSettings, Made, Refusal
from buril.data.step import PARSE_LIMIT_BYTES

_WORDS_TEXT = """
    abs all any as async await bin bool break bytes case catch chr class const continue def default del dict dir do
    else enum eval exec export extends false filter float for format from func function get global hash hex id if
    import in input int interface is iter len let list long map match max min native new next nil None none not null
    object of oct open or ord package pass pow print private protected public range ref repr return reversed round self
    set short slice sorted static str struct sum super switch this throw true True False try tuple type typeof undefined
    union unsafe use using var vars void where while with yield zip
"""
_WORDS_OF_THE_LANGUAGE = frozenset(_WORDS_TEXT.split())
"""Words that a language may give a meaning of its own: no local takes one that it had not."""


class Rename(Augmenter):
    """Rotates identifiers: each local takes the name of another local of the file, so all names stay plausible.

    Only names that nothing outside their function can see change (see `buril.code.scope`); public names, attributes and
    parameters that may be passed by keyword stay. The text is parsed again, and has to have the same tree with the same
    names bound to the same places. Python is also compiled before and after, and the two programs have to be one but
    for the names of locals. Comments are not changed: one that speaks of a local may now speak of another.
    """

    version: ClassVar[int] = 2
    languages: ClassVar[tuple[str, ...]] = SCOPED

    class Settings(AugmenterSettings):
        """How many files, and what the new names are."""

        names: Literal["rotate", "neutral"] = "rotate"
        """`rotate`: names of other locals of the file. `neutral`: v1, v2, …, as an obfuscator leaves them."""
        min_names: int = 2
        """Names that must change, else the copy would teach next to nothing new."""

    def make(self, file: CodeFile, drawn: random.Random) -> Made | Refusal:
        """The file with its locals renamed; refuses `too_large`, `few_names`, `not_proved`, and what scopes do."""
        source = file.content.encode("utf-8", "surrogatepass")
        if file.language not in SCOPED:
            return Refusal("no_rules", file.language)
        if len(source) > PARSE_LIMIT_BYTES:
            return Refusal("too_large", str(len(source)))
        tree = parse(file.language, source)
        try:
            found = units(file.language, source, tree)
        except Refused as problem:
            return Refusal(problem.reason, problem.detail)
        pool = sorted({name for unit in found for name in unit.closed if name not in _WORDS_OF_THE_LANGUAGE})
        plans = [self._plan(unit, pool, drawn) for unit in found]
        changed = sum(old != new for plan in plans for old, new in plan.items())
        if changed < self.settings.min_names:
            return Refusal("few_names", str(changed))
        result = source
        for unit, plan in sorted(zip(found, plans, strict=True), key=lambda pair: -pair[0].start):
            result = renamed(result, unit, plan)
        if not _is_proved(file, (source, tree, found), result, plans):
            return Refusal("not_proved")
        return Made(result.decode("utf-8", "surrogatepass"), f"{changed} names")

    def _plan(self, unit: Unit, pool: list[str], drawn: random.Random) -> dict[str, str]:
        """Old name → new name for the closed names of a unit, one to one."""
        old = sorted(unit.closed)
        if self.settings.names == "neutral":
            free = (f"v{number}" for number in range(1, 10**6))
            fresh = (name for name in free if name not in unit.taken and name not in unit.closed)
            return dict(zip(old, fresh, strict=False))
        new = [name for name in pool if name in unit.closed or name not in unit.taken]
        rest = [name for name in new if name not in unit.closed]
        new = old + drawn.sample(rest, min(len(rest), len(old)))
        new = [name for name in new if name not in _WORDS_OF_THE_LANGUAGE]
        drawn.shuffle(new)
        plan: dict[str, str] = {}
        for name in old:
            choice = next((item for item in new if item != name), None)
            if choice is None or name in _WORDS_OF_THE_LANGUAGE:
                continue
            new.remove(choice)
            plan[name] = choice
        return _closed_over(plan, old)


def _closed_over(plan: dict[str, str], old: list[str]) -> dict[str, str]:
    """The plan without the names whose new name would meet one that stays."""
    while True:
        staying = set(old) - plan.keys()
        clashing = [name for name, new in plan.items() if new in staying]
        if not clashing:
            return plan
        for name in clashing:
            del plan[name]


def _is_proved(
    file: CodeFile, before: tuple[bytes, Tree, list[Unit]], result: bytes, plans: list[dict[str, str]]
) -> bool:
    source, tree, found = before
    if result == source:
        return False
    again = parse(file.language, result)
    if not same_shape(tree, again):
        return False
    if file.language == "python":
        return same_but_for_locals(file.content, result.decode("utf-8", "surrogatepass"))
    try:
        after = units(file.language, result, again)
    except Refused:
        return False
    wanted = [_counts(unit, plan) for unit, plan in zip(found, plans, strict=True)]
    return wanted == [_counts(unit, {}) for unit in after]


def _counts(unit: Unit, plan: dict[str, str]) -> dict[str, int]:
    """How often each name of a unit stands there, under its new name."""
    return {plan.get(name, name): len(spans) for name, spans in sorted(unit.closed.items())}


def same_shape(first: Tree, second: Tree) -> bool:
    """Whether two trees have the same kinds of nodes in the same order."""
    one, two = first.walk(), second.walk()
    while True:
        if one.node is None or two.node is None or one.node.kind_id != two.node.kind_id:
            return False
        if one.node.child_count != two.node.child_count:
            return False
        if one.goto_first_child():
            two.goto_first_child()
            continue
        while not one.goto_next_sibling():
            if not one.goto_parent():
                return True
            two.goto_parent()
        two.goto_next_sibling()
