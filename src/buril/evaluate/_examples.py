"""Examples: the calls that a task's own text shows, and what it says of them; and answers chosen by them.

Nothing of the hidden tests is used: a program is run with what stands in the prompt alone, as anyone could who was
given the task. Only examples whose arguments and values are literals are taken.
"""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from buril.sandboxes._codec import encode, same
from buril.sandboxes._sandbox import Call, CallResult, Job, Limits, Sandbox

_SIGN = r"(?:=+>|==|➞|-+>|→|\breturns?\b|\bshould return\b|\bis equal to\b|=)"
_WORDS = {"true": True, "false": False, "null": None, "none": None}
"""Values as texts spell them that were written for several languages."""
_FAILED = ("error: ", "missing: ")
"""How what came of a call begins where it gave no value."""
MOST = 12
"""Examples of a task that are run, at most."""
LIMITS = Limits(cpu_s=2, wall_s=10.0)


@dataclass(frozen=True)
class Example:
    """A call and the value that the text says it gives."""

    arguments: tuple[Any, ...]
    value: Any


def examples_of(text: str, entry: str) -> list[Example]:
    """The examples of a function in a text: `>>> f(1)` and the line after, and `f(1) == 2` with any usual sign."""
    found: list[Example] = []
    lines = text.split("\n")
    for number, line in enumerate(lines):
        for place in re.finditer(rf"\b{re.escape(entry)}\(", line):
            call = _call(line[place.start() :])
            if call is None:
                continue
            arguments, length = call
            rest = line[place.start() + length :].strip()
            told = re.match(_SIGN, rest)
            if told:
                value = _literal(rest[told.end() :])
            elif not rest and line.lstrip().startswith(">>>") and number + 1 < len(lines):
                value = _literal(lines[number + 1])
            else:
                continue
            if value is not None:
                found.append(Example(arguments, value[0]))
    return found[:MOST]


def _call(text: str) -> tuple[tuple[Any, ...], int] | None:
    """The literal arguments of the call that a text begins with, and how long it is."""
    for place, letter in enumerate(text):
        if letter != ")":
            continue
        try:
            node = ast.parse(text[: place + 1], mode="eval").body
            if isinstance(node, ast.Call) and not node.keywords:
                return tuple(map(ast.literal_eval, node.args)), place + 1
        except (SyntaxError, ValueError, MemoryError, RecursionError):
            continue
    return None


def _literal(text: str) -> tuple[Any] | None:
    """The value that a text begins with, in a tuple; None where it is none."""
    text = text.strip().rstrip(".;,").strip()
    if text in _WORDS:
        return (_WORDS[text],)
    for end in (len(text), *(place for place in (text.find("  "), text.find(" #"), text.find(" (")) if place > 0)):
        try:
            return (ast.literal_eval(text[:end].strip()),)
        except (SyntaxError, ValueError, MemoryError, RecursionError):
            continue
    return None


@dataclass(frozen=True)
class Behaviour:
    """What a program gave for each example, as text, how many of the examples it keeps, and which is the first not."""

    given: tuple[str, ...]
    kept: int
    broken: int | None = None


def behaviours(asked: Sequence[tuple[str, str, Sequence[Example]]], sandbox: Sandbox) -> list[Behaviour]:
    """How programs behave: each is a source, the function's name and its examples.

    Raises:
        BurilError: E001 without isolation.
    """
    jobs = [
        Job(source, entry, tuple(Call(example.arguments, free=True) for example in examples), LIMITS)
        for source, entry, examples in asked
    ]
    found = []
    for (_source, _entry, examples), verdict in zip(asked, sandbox.run_all(jobs), strict=True):
        keeps = [_keeps(result, example) for result, example in zip(verdict.calls, examples, strict=True)]
        given = tuple(_told(result) for result in verdict.calls)
        found.append(Behaviour(given, sum(keeps), keeps.index(False) if False in keeps else None))
    return found


def _keeps(result: CallResult, example: Example) -> bool:
    try:
        return result.status == "pass" and same(result.data, encode(example.value))
    except (RecursionError, TypeError, ValueError):
        return False


def _told(result: CallResult) -> str:
    return result.got if result.status == "pass" else f"{result.status}: {result.got.partition(':')[0] or 'no value'}"


def first_broken(entry: str, examples: Sequence[Example], found: Behaviour) -> str:
    """What a program does instead of the first example that it does not keep, in words; nothing where it keeps all."""
    if found.broken is None:
        return ""
    example, given = examples[found.broken], found.given[found.broken]
    call = f"{entry}({', '.join(map(repr, example.arguments))})"
    does = f"ends with {given.partition(': ')[2]}" if given.startswith(_FAILED) else f"gives `{given}`"
    return f"`{call}` {does}, and should give `{example.value!r}`."


def by_examples(found: Sequence[Behaviour]) -> int:
    """The first program that keeps most of the examples."""
    return max(range(len(found)), key=lambda place: (found[place].kept, -place))


def by_vote(found: Sequence[Behaviour]) -> int:
    """The first program that behaves as most do; those that fail on an example have no vote where others do not."""
    sound = [item.given for item in found if not any(told.startswith(_FAILED) for told in item.given)]
    votes = Counter(sound or [item.given for item in found])
    return max(range(len(found)), key=lambda place: (votes[found[place].given], -place))
