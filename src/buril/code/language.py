"""Language: what buril knows of a programming language, and which language a file is written in.

Each language is one file in `languages/`: a class with the facts below and no code. `detect` reads the path first
and the beginning of the content only where the path leaves a doubt, so that it costs microseconds a file.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from pathlib import PurePosixPath
from typing import ClassVar

from buril.core.plugins import names, plugin

HEAD_CHARS = 16_384
"""How much of a file's beginning `detect` makes use of, in characters."""

_SHEBANG = re.compile(r"#!\s*(\S+)(.*)")
_INTERPRETER_VERSION = re.compile(r"[\d.]+(\.exe)?$")


class Language:
    """Base of all languages. A subclass only states facts.

    Endings are lower case and start with a dot. A file that several languages could claim goes to the one whose
    `claims` are seen in it, else to the one that lists the ending in `extensions`.
    """

    name: ClassVar[str]
    """Its name, equal to the name of its file."""
    version: ClassVar[int] = 1
    grammar: ClassVar[str]
    """The name of its tree-sitter grammar in tree-sitter-language-pack."""
    extensions: ClassVar[tuple[str, ...]] = ()
    """Endings of its files."""
    filenames: ClassVar[tuple[str, ...]] = ()
    """Whole file names that need no ending."""
    interpreters: ClassVar[tuple[str, ...]] = ()
    """Programs in a `#!` line that run it, without version numbers."""
    claims: ClassVar[Mapping[str, str]] = {}
    """Endings it shares with others: ending → regular expression that, seen in the head, decides for it."""
    refuses: ClassVar[Mapping[str, str]] = {}
    """Endings that other formats use too: ending → regular expression that, seen in the head, makes it none of ours."""
    line_comments: ClassVar[tuple[str, ...]] = ()
    """What starts a comment that ends with the line."""
    block_comments: ClassVar[tuple[tuple[str, str], ...]] = ()
    """What opens and closes a comment that may span lines."""
    docstrings: ClassVar[bool] = False
    """Whether a string that opens a function's body documents it."""
    functions: ClassVar[str] = ""
    """A tree-sitter query with the captures @function, @name (or @declarator, which holds the name) and @body;
    @open, where given, is the token that ends the signature. Empty where the language has no functions."""
    parse_tolerance: ClassVar[float] = 0.01
    """Share of a file's bytes (0 to 1) that may lie in parse errors before the file counts as broken. Small where the
    grammar accepts all released code, large where macros or dialects defeat it."""
    tabs: ClassVar[bool] = False
    """Whether indentation by tabs is the rule of the language, so that normalising must keep it."""
    indent: ClassVar[int] = 4
    """Customary width of one level of indentation, in columns."""


@cache
def languages() -> dict[str, type[Language]]:
    """All languages by name, those of other packages included; their small files are imported on the first call."""
    return {name: plugin("language", name) for name in names("language")}


def language_of(name: str) -> type[Language]:
    """The facts of one language.

    Raises:
        BurilError: P001 for an unknown name.
    """
    found: type[Language] = plugin("language", name)
    return found


class _Index:
    """What the languages claim, turned around for look-ups."""

    def __init__(self) -> None:
        self.owner: dict[str, str] = {}
        self.filename: dict[str, str] = {}
        self.interpreter: dict[str, str] = {}
        self.claims: dict[str, list[tuple[str, re.Pattern[str]]]] = {}
        self.refuses: dict[str, re.Pattern[str]] = {}
        for name, facts in languages().items():
            self.owner.update(dict.fromkeys(facts.extensions, name))
            self.filename.update(dict.fromkeys(facts.filenames, name))
            self.interpreter.update(dict.fromkeys(facts.interpreters, name))
            self.refuses.update({ending: re.compile(text, re.MULTILINE) for ending, text in facts.refuses.items()})
            for ending, text in facts.claims.items():
                self.claims.setdefault(ending, []).append((name, re.compile(text, re.MULTILINE)))


@cache
def _index() -> _Index:
    return _Index()


def detect(path: str, head: str) -> str:
    """The language of a file from its path and the beginning of its content; "" when it is none we know.

    Args:
        path: with forward slashes; only its last part matters.
        head: the first characters of the content (`HEAD_CHARS` are enough; more is ignored). With "" the answer is
            the most usual language of the ending, so a listing can be made without opening files.

    Example:
        `detect("src/list.h", "class List { public: …")` → "cpp"
    """
    index = _index()
    name = path.rsplit("/", 1)[-1]
    if name in index.filename:
        return index.filename[name]
    ending = PurePosixPath(name).suffix.lower()
    if not ending:
        return _by_shebang(head)
    head = head[:HEAD_CHARS]
    if head and ending in index.refuses and index.refuses[ending].search(head):
        return ""
    if head:
        for claimant, pattern in index.claims.get(ending, ()):
            if pattern.search(head):
                return claimant
    return index.owner.get(ending, "")


def may_be_source(path: str) -> bool | None:
    """Whether a path alone says that a file is source code: None when only its `#!` line can tell (no ending)."""
    index = _index()
    name = path.rsplit("/", 1)[-1]
    ending = PurePosixPath(name).suffix.lower()
    if name in index.filename or ending in index.owner or ending in index.claims:
        return True
    return None if not ending and not name.startswith(".") else False


def _by_shebang(head: str) -> str:
    if not head.startswith("#!"):
        return ""
    match = _SHEBANG.match(head.split("\n", 1)[0])
    if match is None:
        return ""
    program = match[1].rsplit("/", 1)[-1]
    if program == "env":
        words = [word for word in match[2].split() if not word.startswith("-") and "=" not in word]
        program = words[0].rsplit("/", 1)[-1] if words else ""
    return _index().interpreter.get(_INTERPRETER_VERSION.sub("", program), "")
