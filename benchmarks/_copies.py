"""Copies of source files as people make them, and how similar two files truly are.

Five kinds of near copy, each a function of the text, its language and a drawn seed. They work on lines and words with
each language's comment signs, not on syntax: a copy need not compile, as pasted code often does not.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from functools import cache

import numpy as np
import numpy.typing as npt

U64 = npt.NDArray[np.uint64]


def _names(words: str) -> frozenset[str]:
    return frozenset(words.split())


C_LIKE = (("//",), (("/*", "*/"),))
HASH: tuple[tuple[str, ...], tuple[tuple[str, str], ...]] = (("#",), ())
COMMENTS: dict[str, tuple[tuple[str, ...], tuple[tuple[str, str], ...]]] = {
    **dict.fromkeys(_names("c cpp csharp d dart go java javascript kotlin objc rust scala solidity swift tsx"), C_LIKE),
    **dict.fromkeys(_names("typescript vala"), C_LIKE),
    **dict.fromkeys(_names("bash elixir julia nim perl python r ruby tcl"), HASH),
    "clojure": ((";",), ()),
    "css": ((), (("/*", "*/"),)),
    "elm": (("--",), (("{-", "-}"),)),
    "erlang": (("%",), ()),
    "fortran": (("!",), ()),
    "haskell": (("--",), (("{-", "-}"),)),
    "html": ((), (("<!--", "-->"),)),
    "lisp": ((";",), ()),
    "lua": (("--",), (("--[[", "]]"),)),
    "ocaml": ((), (("(*", "*)"),)),
    "php": (("//", "#"), (("/*", "*/"),)),
    "scheme": ((";",), (("#|", "|#"),)),
    "sql": (("--",), (("/*", "*/"),)),
}
"""Language → signs that begin a comment to the end of the line, and pairs around a longer one."""
NO_NAMES = frozenset({"css", "html"})
"""Languages whose words are not identifiers."""
_QUOTES_OF_ONE = _names(
    "c cpp csharp d dart go java javascript kotlin objc python scala solidity swift tsx typescript "
    "vala bash elixir perl php r ruby lua nim sql julia"
)
"""Languages in which a single quote begins a string or a character, and not a lifetime, a type or a quoted symbol."""
KEYWORDS = _names(
    """abs abstract actor alias and any array arguments as asm assert async auto await base begin bool boolean break
    byte call case cast catch chan char class close cond const constexpr constructor continue contract cout debugger
    declare decltype def default defer defmodule defp defn del delegate delete deriving dict div do done double dynamic
    each echo elif else elseif elsif emit empty end endif ensure enum error esac eval event except exit export extends
    extern external fallthrough false family fi final finally float fmt fn for foreach forall foreign from fun func
    function functor get global go goto guard has if impl implements implicit import in include init inherit initializer
    inline inout input insert instance instanceof int integer interface internal into is isset join lambda lateinit lazy
    len length let local lock long loop macro main make map mapping match memory method mod modifier module move must
    mut mutable my namespace native new next nil none nonlocal not null number object of open operator option or out
    override package params pass payable perform pragma print printf private procedure program protected protocol pub
    public pure put raise range readonly rec receive redo ref register require rescue return returns revert sealed
    select self set shift short signed size sizeof static storage str strictfp string struct sub subroutine super switch
    symbol synchronized table template then this throw throws to trait transient true try type typealias typedef typeof
    undef undefined unfold union unless unsafe unset unsigned until update use using val value values var vec view
    virtual void volatile when where while with xor yield create primary key foreign references index integer varchar
    text from order group having limit offset inner left right outer on case end undefined module require exports
    window document console process std"""
)
"""Words that are never renamed: what some language reserves, and what is built into one."""


@cache
def _scanner(language: str) -> re.Pattern[str]:
    """What is no code: strings (group `text`) and comments (group `comment`)."""
    lines, pairs = COMMENTS[language]
    strings = [r'"""[\s\S]*?"""', r"'''[\s\S]*?'''"] if language in ("python", "julia", "elixir", "scala") else []
    strings.append(r'"(?:\\.|[^"\\\n])*"')
    if language in _QUOTES_OF_ONE:
        strings.append(r"'(?:\\.|[^'\\\n])*'")
    if language in ("javascript", "typescript", "tsx", "go"):
        strings.append(r"`(?:\\.|[^`\\])*`")
    comments = [f"{re.escape(start)}[\\s\\S]*?{re.escape(end)}" for start, end in pairs]
    # `#` within a word or an expansion is none, and `://` belongs to an address
    comments += [f"(?<![\\w$&:]){re.escape(sign)}[^\\n]*" for sign in lines]
    return re.compile(f"(?P<comment>{'|'.join(comments)})|(?P<text>{'|'.join(strings)})")


def header(text: str, language: str, drawn: random.Random) -> str:
    """A licence header in front, and another indentation: tabs for spaces, or twice as deep."""
    lines, pairs = COMMENTS[language]
    who = drawn.choice(("Example Corp", "The Acme Authors", "J. Doe", "Sample Foundation"))
    words = [
        f"Copyright (c) {drawn.randrange(1995, 2026)} {who}. All rights reserved.",
        "This file is part of a larger work and is distributed under the terms of its licence,",
        "which stands in the file LICENSE at the root of this repository. It comes without any",
        f"warranty, express or implied. Ticket {drawn.randrange(10**6)}.",
    ]
    top = [f"{lines[0]} {word}" for word in words] if lines else [pairs[0][0], *words, pairs[0][1]]
    if "\n\t" in text:
        body = re.sub(r"(?m)^\t+", lambda found: "    " * len(found[0]), text)
    else:
        body = re.sub(r"(?m)^ +", lambda found: found[0] * 2, text)
    shebang, rest = body.split("\n", 1) if body.startswith("#!") else ("", body)
    return (shebang + "\n" if shebang else "") + "\n".join(top) + "\n\n" + rest


def lines(text: str, language: str, drawn: random.Random) -> str:
    """1 to 8 % of the lines left out, doubled, or with one word or number changed."""
    del language
    every = text.split("\n")
    count = max(1, round(len(every) * drawn.uniform(0.01, 0.08)))
    for at in sorted({drawn.randrange(len(every)) for _ in range(count)}, reverse=True):
        what = drawn.random()
        words = re.findall(r"[A-Za-z_]\w{2,}|\d+", every[at])
        if words and what < 0.6:
            word = drawn.choice(words)
            other = str(drawn.randrange(1000)) if word.isdigit() else f"{word}_{drawn.randrange(100)}"
            every[at] = every[at].replace(word, other, 1)
        elif what < 0.8:
            del every[at]
        else:
            every.insert(at, every[at])
    return "\n".join(every)


def truncate(text: str, language: str, drawn: random.Random) -> str:
    """The last 5 to 35 % of the lines left out."""
    del language
    every = text.split("\n")
    return "\n".join(every[: max(1, int(len(every) * drawn.uniform(0.65, 0.95)))])


def comments(text: str, language: str, drawn: random.Random) -> str:
    """All comments left out, and the lines that held nothing else."""
    del drawn

    def without(found: re.Match[str]) -> str:
        return "\0" if found["comment"] is not None else found[0]

    bare = _scanner(language).sub(without, text)
    return re.sub(r"(?m)^[ \t]*\0[ \t\0]*\n", "", bare).replace("\0", "")


def rename(text: str, language: str, drawn: random.Random) -> str:
    """2 to 8 identifiers get other names wherever they stand in code; strings and comments stay."""
    if language in NO_NAMES:
        return text
    code = _scanner(language).sub(" ", text)
    count: dict[str, int] = {}
    for name in re.findall(r"(?<![\w$@#])[A-Za-z_]\w{2,40}\b", code):
        count[name] = count.get(name, 0) + 1
    names = sorted(name for name, times in count.items() if times > 1 and name.lower() not in KEYWORDS)
    if len(names) < 2:
        return text
    drawn.shuffle(names)
    chosen = names[: drawn.randrange(2, 9)]
    new = {name: _like(name, drawn) for name in chosen}
    word = re.compile(r"\b(?:" + "|".join(map(re.escape, chosen)) + r")\b")
    parts, at = [], 0
    for found in _scanner(language).finditer(text):
        parts += [word.sub(lambda hit: new[hit[0]], text[at : found.start()]), found[0]]
        at = found.end()
    return "".join(parts) + word.sub(lambda hit: new[hit[0]], text[at:])


_SYLLABLES = (
    "ba",
    "de",
    "fi",
    "go",
    "ku",
    "la",
    "me",
    "ni",
    "or",
    "pa",
    "qu",
    "re",
    "sa",
    "ti",
    "un",
    "va",
    "xi",
    "zu",
)


def _like(name: str, drawn: random.Random) -> str:
    """A new name in the style of the old one: Upper, UPPER or lower, with its underscores in front."""
    made = "".join(drawn.choice(_SYLLABLES) for _ in range(drawn.randrange(2, 5))) + str(drawn.randrange(1000))
    if name.isupper():
        made = made.upper()
    elif name.lstrip("_")[:1].isupper():
        made = made.capitalize()
    return "_" * (len(name) - len(name.lstrip("_"))) + made


KINDS: dict[str, Callable[[str, str, random.Random], str]] = {
    "header": header,
    "lines": lines,
    "truncate": truncate,
    "comments": comments,
    "rename": rename,
}

WORD = re.compile(rb"[A-Za-z0-9_\x80-\xff]+")
GRAM = 5


class Grams:
    """Sets of word 5-grams. Every distinct token has a number of its own and every number a random 64-bit value.

    Two different 5-grams have the same hash with a chance of 2⁻⁶⁴. Shares no code with `buril.code.minhash`.
    """

    def __init__(self) -> None:
        self._numbers: dict[bytes, int] = {}

    def of(self, text: str) -> U64:
        """The sorted set of a text; a text of 1 to 4 tokens is one gram."""
        numbers = self._numbers
        found = [numbers.setdefault(word, len(numbers) + 1) for word in WORD.findall(text.encode("utf-8"))]
        if not found:
            return np.zeros(0, dtype=np.uint64)
        tokens = np.array(found + [0] * max(0, GRAM - len(found)), dtype=np.uint64)
        total = np.zeros(len(tokens) - GRAM + 1, dtype=np.uint64)
        for place in range(GRAM):
            total = _spread(total + tokens[place : place + len(total)] + np.uint64(place))
        return np.unique(total)


def _spread(values: U64) -> U64:
    """splitmix64's finaliser."""
    values = values + np.uint64(0x9E3779B97F4A7C15)
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    spread: U64 = values ^ (values >> np.uint64(31))
    return spread


def jaccard(left: U64, right: U64) -> float:
    """|A ∩ B| / |A ∪ B|, 0 where both are empty."""
    common = len(np.intersect1d(left, right, assume_unique=True))
    return common / max(1, len(left) + len(right) - common)


def without_twins(sets: list[U64], threshold: float) -> list[bool]:
    """Which texts to keep, in this order, so that no two that stay have a Jaccard similarity of `threshold` or more.

    Exact, by prefix filtering (Bayardo, Ma and Srikant 2007): two sets that similar share one of the rarest grams of
    either. A text most of whose grams stand nowhere else can't have a twin and costs nothing.
    """
    every, times = np.unique(np.concatenate(sets), return_counts=True)
    kept: list[bool] = []
    index: dict[int, list[int]] = {}
    for at, grams in enumerate(sets):
        often = times[np.searchsorted(every, grams)]
        need = int(np.ceil(threshold * len(grams)))
        if not len(grams) or int((often > 1).sum()) < need:
            kept.append(bool(len(grams)))
            continue
        prefix = grams[np.lexsort((grams, often))][: len(grams) - need + 1]
        prefix = prefix[times[np.searchsorted(every, prefix)] > 1].tolist()
        others = {other for gram in prefix for other in index.get(gram, ())}
        twin = any(jaccard(grams, sets[other]) >= threshold for other in sorted(others))
        kept.append(not twin)
        if not twin:
            for gram in prefix:
                index.setdefault(gram, []).append(at)
    return kept
