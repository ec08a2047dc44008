"""A rule: what begins a match of it (its heads, for the one pass over a text) and what says exactly where it stands.

All rules are looked for at once: every rule gives one or more *heads*, short patterns of a fixed length with which each
of its matches begins. The engine (`_engine.py`) finds where heads stand; `locate` then looks at that place alone, with
Python's `re`, check digits, entropy and context. So a rule costs nothing in a text that has none of its heads.
Samples are put together from parts, so that no file here holds anything that looks like a real token.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from buril.scanners._values import accept, documented, entropy

SECRETS: Final = "secrets"
PERSONAL: Final = "personal"
NEAR_BYTES = 24_000
"""How far a match may reach from where it begins: a private key of 16,384 bits fits."""
LITERAL_LANGUAGES = frozenset({"", "bash", "dockerfile", "env", "ini", "make", "properties", "toml", "yaml"})
"""Languages in which a value needs no quotes."""

HEX, DIGITS, UPPER = "0123456789abcdef", "0123456789", "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
ALNUM = UPPER + UPPER.lower() + DIGITS
WORD = ALNUM + "_-"
_HEAD_BYTES = 20  # a longer head tells nothing more, and costs the engine states
_UNIT = r"\[(?:\\.|[^\]\\])+\]|\\.|[^\\(\[{?*+|)^$.]"
_REPEATED = re.compile(rf"({_UNIT})(?:\{{(\d+)(,\d*)?\}})?(?![?*+])")
_TOP_CHOICE = r"\|(?![^(]*\))"
_CLASSES = {r"\w": WORD.replace("-", ""), r"\d": DIGITS}

Locate = Callable[[bytes, int, str], "tuple[int, int] | None"]
"""The span of a value in a source, given where a head stands and the language; None where it is none."""


class Head(NamedTuple):
    """What a match begins with.

    `expression` matches up to a point `length` bytes after the begin of the match; what it has before that (a border, a
    keyword) narrows the places. Without the engine's library, `words` or `plain` (a pattern of no width) find the same
    places and more, and `locate` sorts them out.
    """

    expression: bytes
    length: int
    caseless: bool = False
    words: tuple[bytes, ...] = ()
    lead: int = 0
    """Bytes from where a match begins to its word."""
    plain: bytes = b""


class Rule(NamedTuple):
    """One format. `sample` must be found; `group` is `secrets` or `personal`."""

    name: str
    heads: tuple[Head, ...]
    locate: Locate
    sample: str
    group: str = SECRETS
    severity: str = "high"


def fill(alphabet: str, length: int, seed: int = 7919) -> str:
    """A made-up value of `length` characters that looks random and is always the same."""
    state, made = seed, []
    for _ in range(length):
        state = (state * 1103515245 + 12345) % (1 << 31)
        made.append(alphabet[(state >> 12) % len(alphabet)])
    return "".join(made)


def literal(*words: str) -> Head:
    """A head that is any of some words, whatever their case."""
    found = tuple(word.encode() for word in words)
    choice = b"|".join(re.escape(word) for word in found)
    sizes = {len(word) for word in found}
    assert len(sizes) == 1, words
    return Head(b"(?:" + choice + b")", sizes.pop(), caseless=True, words=found)


def literals(words: Sequence[str]) -> tuple[Head, ...]:
    """Heads for words of any lengths."""
    by_size: dict[int, list[str]] = {}
    for word in words:
        by_size.setdefault(len(word.encode()), []).append(word)
    return tuple(literal(*same) for same in by_size.values())


def matching(
    text: bytes, *, caseless: bool = False, check: Callable[[bytes], bool] = accept, min_entropy: float = 2.5
) -> Locate:
    """Match the pattern `text` where a head stands; its last group is the value, group 3 one without quotes.

    Patterns are compiled when they are first needed: most of them never are.
    """
    compiled: list[re.Pattern[bytes]] = []

    def locate(source: bytes, place: int, language: str) -> tuple[int, int] | None:
        if not compiled:
            compiled.append(re.compile(text, re.IGNORECASE if caseless else 0))
        match = compiled[0].match(source, place, place + NEAR_BYTES)
        if match is None:
            return None
        group = match.lastindex or 0
        value = match[group]
        if group == 3 and language not in LITERAL_LANGUAGES:
            return None  # without quotes it is a name, not a value, unless the language has none
        if documented(value) or entropy(value) < min_entropy or not check(value):
            return None
        return match.span(group)

    return locate


def token(name: str, starts: str | Sequence[str], rest: str, *, severity: str = "high") -> Rule:
    r"""A token that begins with one of `starts`, goes on as `rest`, and is not part of a longer word.

    An escape such as `\n` in a string literal may stand right before the token.
    """
    prefixes = (starts,) if isinstance(starts, str) else tuple(starts)
    border = r"(?:(?<![A-Za-z0-9])|(?<=\\[nrt]))" if prefixes[0][0].isalnum() else ""
    pattern = f"{border}((?:{_choice(prefixes)}){rest})(?![A-Za-z0-9_])".encode()
    beginning, size = beginning_of(rest)
    heads = []
    for length in sorted({len(prefix) for prefix in prefixes}):
        same = [prefix for prefix in prefixes if len(prefix) == length]
        expression = f"(?:{_choice(same)}){beginning}".encode()
        heads.append(Head(expression, length + size, words=tuple(prefix.encode() for prefix in same)))
    return Rule(name, tuple(heads), matching(pattern), prefixes[0] + sample_of(rest), SECRETS, severity)


def middle(name: str, unit: str, sizes: Sequence[int], mark: str, rest: str) -> Rule:
    """A token whose known part stands in the middle: `unit` as many times as one of `sizes`, `mark`, then `rest`."""
    beginning, length = beginning_of(rest)
    choice = "|".join(f"{unit}{{{size}}}" for size in sizes)
    pattern = rf"(?<![A-Za-z0-9])((?:{choice}){re.escape(mark)}{rest})(?![A-Za-z0-9_])".encode()
    heads = tuple(
        Head(
            f"{unit}{{{min(size, _HEAD_BYTES)}}}{re.escape(mark)}{beginning}".encode(),
            size + len(mark) + length,
            words=(mark.encode(),),
            lead=size,
        )
        for size in sizes
    )
    return Rule(name, heads, matching(pattern), fill(alphabet_of(unit), sizes[0]) + mark + sample_of(rest))


def _choice(words: Sequence[str]) -> str:
    return "|".join(map(re.escape, words))


class Value(NamedTuple):
    """What is asked of a value, beside the pattern around it."""

    check: Callable[[bytes], bool] = accept
    min_entropy: float = 2.5
    """In bits a byte."""
    severity: str = "high"


def near(name: str, keywords: Sequence[str], pattern: str, sample: str, value: Value = Value()) -> Rule:  # noqa: B008  # frozen
    """A value that is known by what stands before it; `pattern` starts with a keyword, in any case."""
    locate = matching(pattern.encode(), caseless=True, check=value.check, min_entropy=value.min_entropy)
    return Rule(name, literals(keywords), locate, sample, SECRETS, value.severity)


def keyed(name: str, keywords: str | Sequence[str], value: str, *, severity: str = "high") -> Rule:
    """A value without a mark of its own, told by the provider's name in the name it is assigned to.

    Example:
        `keyed("datadog_key", ("datadog", "dd_api"), "[a-f0-9]{32}")` finds `DATADOG_API_KEY=…` and `"dd_api_key": "…"`.
    """
    words = (keywords,) if isinstance(keywords, str) else tuple(keywords)
    pattern = (
        rf"(?:{_choice(words)})[\w.-]{{0,40}}[\\\"'`\]]{{0,3}}[ \t]{{0,8}}"
        rf"(?:(?::[ ]?[A-Za-z&*][\w.&\[\]<>' ]{{0,24}})?(?::=|=>|={{1,3}})|:|,|\(|value=)[ \t]{{0,8}}"
        rf"(?:(?:bearer|token|basic)[ \t]+)?\\?[\"'`]?({value})(?![\w/+-])"
    )
    locate = matching(pattern.encode(), caseless=True, min_entropy=3.0)
    sample = f"{words[0].upper()}_KEY = '{sample_of(re.split(_TOP_CHOICE, value)[0])}'"
    return Rule(name, literals(words), locate, sample, SECRETS, severity)


def beginning_of(pattern: str) -> tuple[str, int]:
    r"""The part of a pattern that every match begins with and that has one length, and that length.

    Example:
        `beginning_of(r"[A-Z]{4}\.\w{10,20}x")` → `(r"[A-Z]{4}\.\w{10}", 15)`
    """
    made, size, at = "", 0, 0
    while size < _HEAD_BYTES and (match := _REPEATED.match(pattern, at)):
        times = int(match[2] or 1)
        take = min(times, _HEAD_BYTES - size)
        made, size, at = made + match[1] + (f"{{{take}}}" if match[2] else ""), size + take, match.end()
        if match[3] or take < times:
            break
    if "|" in re.sub(r"\(.*?\)|\[.*?\]|\\.", "", pattern):
        return "", 0
    return made, size


def sample_of(pattern: str) -> str:
    """A text that a simple pattern matches: units, `{n}`, `?`, groups of alternatives without nesting."""
    made, at = [], 0
    for match in re.finditer(rf"\((?:\?:)?([^()]*)\)(\?)?|({_UNIT})(?:\{{(\d+)(?:,\d*)?\}})?([?*+])?", pattern):
        assert match.start() == at, pattern
        at = match.end()
        if match[1] is not None:
            made.append("" if match[2] else sample_of(match[1].split("|")[0]))
        elif match[5] not in ("?", "*"):
            made.append(fill(alphabet_of(match[3]), int(match[4] or 1), 7919 + at))
    assert at == len(pattern), pattern
    return "".join(made)


def alphabet_of(unit: str) -> str:
    """The characters a unit of a pattern stands for, without those that end a token."""
    if unit in _CLASSES:
        return _CLASSES[unit]
    if not unit.startswith("["):
        return unit.removeprefix("\\")
    accepted = re.compile(unit)
    return "".join(sign for sign in ALNUM if accepted.match(sign)) or unit[1]
