"""Mutation: safe code made weak, and weak code made safe, by rewrites on the tree.

A rewrite knows the shape of a piece of code and another that does the same with or without a weakness. It does not know
whether a place matters: that a hash guards something, that a text comes from outside. So what is made is proposed, and
whoever asks has a scanner look at both texts.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from typing import NamedTuple

from buril.code.parse import HardParse, parse
from buril.data._pair_proof import same
from buril.data.pair import Claim
from buril.data.pairing import _mutation_guard, _mutation_rules
from buril.data.pairing._mutation_edit import Change, Edit, edited, with_imports


class Mutant(NamedTuple):
    """A text made weak, beside the same text as it was but for imports that both have.

    `place` is where it was changed, in bytes: of several mutants of one place and weakness one will do.
    """

    cwe: str
    secure: str
    vulnerable: str
    change: str
    claim: Claim
    place: int


def languages() -> frozenset[str]:
    """The languages that there are rewrites for."""
    return _mutation_rules.languages() | {"cpp"}


def may_change(text: str, language: str) -> bool:
    """Whether a text has the words of a rewrite, which costs next to nothing to know."""
    return _mutation_rules.may_change(text, language) or _mutation_guard.may_change(text, language)


def mutate(text: str, language: str) -> Iterator[Mutant]:
    """What can be made of a text, one weakness at one place at a time; nothing of a text that is hard to parse.

    Example:
        `secrets.choice(x)` gives `random.choice(x)` (CWE-338), and both texts import both modules.
    """
    try:
        tree = parse(language, text.encode("utf-8", "replace"), bounded=True)
    except HardParse:
        return
    if tree.root_node.has_error:
        return
    found = chain(_mutation_rules.changes(text, tree, language, "weak"), _mutation_guard.changes(text, tree, language))
    for change in found:
        vulnerable = with_imports(edited(text, change.edits), change.imports, language)
        secure = with_imports(text, change.imports if language != "go" else (), language)
        if vulnerable != secure:
            yield Mutant(change.cwe, secure, vulnerable, change.name, change.claim, change.edits[0].start)


def mend(text: str, language: str, cwe: str) -> Iterator[str]:
    """Texts in which a weakness may be gone, those with most places mended first; nothing where no rewrite is known.

    Whether it is gone is for a scanner to say.

    Example:
        `mend('subprocess.run(f"ls {x}", shell=True)', "python", "CWE-78")` gives `subprocess.run(["ls", x])`.
    """
    try:
        tree = parse(language, text.encode("utf-8", "replace"), bounded=True)
    except HardParse:
        return
    found = [change for change in _mutation_rules.changes(text, tree, language, "secure") if same(cwe, change.cwe)]
    given = {text}
    for changes in (found, *([change] for change in found)):
        mended = _made(text, changes, language)
        if mended not in given:
            given.add(mended)
            yield mended


def _made(text: str, changes: list[Change], language: str) -> str:
    edits: list[Edit] = [edit for change in changes for edit in change.edits]
    imports = tuple(dict.fromkeys(line for change in changes for line in change.imports))
    return with_imports(edited(text, edits), imports, language)
