"""Comments: the words of a file's comments and docstrings in another language, its code untouched."""

from __future__ import annotations

import hashlib
import random
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar, NamedTuple

import yaml
from tree_sitter import Node, Tree

from buril.code.codefile import CodeFile
from buril.code.language import language_of, languages
from buril.code.parse import comments, parse
from buril.core.errors import BurilError
from buril.core.plugins import PluginKind, Ref
from buril.core.stage import Inputs
from buril.core.text import _
from buril.data.augment.rename import same_shape
from buril.data.augmenter import Augmenter, AugmenterSettings, Made, Refusal
from buril.data.step import PARSE_LIMIT_BYTES
from buril.data.teacher import is_remote, open_generator, prompt_of
from buril.generators._generator import Request

_OPENING = re.compile(r"""\s*(?:#+|//+[!/]?|/\*+|\*+(?!/)|--+|;+|%+|\"{3}|'{3})?[ \t]*""")
"""What stands before the words of a line."""
_CLOSINGS = ("*/", '"""', "'''", "-->")
_DIRECTIVE = re.compile(
    r"noqa|type:\s*ignore|pylint|eslint|SPDX|copyright|-\*-|go:|region|fmt:|pragma|@\w+|https?:", re.I
)
_ASK = "Translate this comment of a program into {to}. Answer with the translation alone, on one line.\n\n{text}"
_LETTERS = re.compile(r"[^\W\d_]{2,}")


class _Line(NamedTuple):
    """The words of one line of a comment, in bytes of the source."""

    start: int
    end: int
    text: str


class Comments(Augmenter):
    """Translates comments and docstrings, with a glossary or with any generator; there is no rule that makes it up.

    Works line by line, and leaves alone what a tool reads (`noqa`, `type: ignore`, SPDX, tags, links). A copy is kept
    only if it has the same tree, so no translation can end its comment early. A glossary replaces whole words and
    phrases, longest first; it is as good as its author. A generator's text is taken as it comes, if it is one line.
    """

    version: ClassVar[int] = 1

    class Settings(AugmenterSettings):
        """What translates, and into which language."""

        shorthand: ClassVar[str | None] = None

        to: str = "Spanish"
        """The language asked of the generator, by its English name."""
        glossary: Path | None = None
        """A YAML or JSON file that maps words and phrases to their translation."""
        generator: Annotated[Ref | None, PluginKind("generator")] = None
        """The engine that translates, e.g. `openai: {url: …, model: …}`; a local one reads the base model."""
        max_tokens: int = 120
        """Tokens of one translated line, at most."""

    def __init__(self, settings: Any) -> None:
        super().__init__(settings)
        if (settings.glossary is None) == (settings.generator is None):
            raise BurilError("D302")
        self.alone = settings.generator is not None  # type: ignore[misc]  # one with a glossary works in any process
        self._glossary: dict[str, str] | None = None
        self._generator: Any = None

    def needs(self) -> tuple[str, ...]:
        """The base and its tokenizer, for an engine of this machine."""
        chosen = self.settings.generator
        return () if chosen is None or is_remote(chosen) else ("base", "tokenizer")

    def observe(self) -> Any:
        """The glossary's bytes."""
        path = self.settings.glossary
        return hashlib.sha256(path.read_bytes()).hexdigest() if path and path.is_file() else None

    def open(self, inputs: Inputs) -> None:
        """Read the glossary, or get the generator ready.

        Raises:
            BurilError: D303 for a glossary that can't be read.
        """
        if self.settings.generator is None:
            self._glossary = read_glossary(self.settings.glossary)
            return
        self._generator = open_generator(self.settings.generator, inputs)

    def make(self, file: CodeFile, drawn: random.Random) -> Made | Refusal:
        """The translated file; refuses `no_grammar`, `parse_errors`, `no_comments`, `unchanged`, `breaks_code`."""
        source = file.content.encode("utf-8", "surrogatepass")
        if file.language not in languages() or len(source) > PARSE_LIMIT_BYTES:
            return Refusal("no_grammar", file.language)
        tree = parse(file.language, source)
        if tree.root_node.has_error:
            return Refusal("parse_errors")
        lines = list(_lines(tree, source, file.language))
        if not lines:
            return Refusal("no_comments")
        texts = self._translated([line.text for line in lines])
        result, done, changed = b"", 0, 0
        for line, text in zip(lines, texts, strict=True):
            result += source[done : line.start] + text.encode()
            done, changed = line.end, changed + (text != line.text)
        result += source[done:]
        if not changed:
            return Refusal("unchanged")
        if not same_shape(tree, parse(file.language, result)):
            return Refusal("breaks_code")
        return Made(result.decode("utf-8", "surrogatepass"), f"{changed} lines")

    def _translated(self, texts: Sequence[str]) -> list[str]:
        if self._glossary is not None:
            return [_glossed(text, self._glossary) for text in texts]
        assert self._generator is not None, "open() comes first"
        asked = [prompt_of(self._generator, _ASK.format(to=self.settings.to, text=text)) for text in texts]
        requests = [Request(prompt, max_tokens=self.settings.max_tokens) for prompt in asked]
        answers = [found[0].text.strip() for found in self._generator.complete(requests)]
        return [answer if answer and "\n" not in answer else text for text, answer in zip(texts, answers, strict=True)]


def read_glossary(path: Path) -> dict[str, str]:
    """A glossary, the longest phrases first.

    Raises:
        BurilError: D303 when it is no mapping of texts to texts.
    """
    try:
        found = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as problem:
        raise BurilError("D303", path=path, problem=problem) from problem
    if not isinstance(found, dict) or not found or not all(isinstance(v, str) and v for v in found.values()):
        raise BurilError("D303", path=path, problem=_("it is no mapping of words to words"))
    ordered = sorted(found.items(), key=lambda item: (-len(str(item[0])), str(item[0])))
    return {str(name).lower(): value for name, value in ordered}


def _glossed(text: str, glossary: dict[str, str]) -> str:
    pattern = re.compile(r"(?<!\w)(?:" + "|".join(map(re.escape, glossary)) + r")(?!\w)", re.IGNORECASE)

    def put(match: re.Match[str]) -> str:
        word = glossary[match[0].lower()]
        return word[:1].upper() + word[1:] if match[0][:1].isupper() else word

    return pattern.sub(put, text)


def _lines(tree: Tree, source: bytes, language: str) -> list[_Line]:
    """The lines of comments and docstrings that hold words a person reads."""
    spans = comments(tree)
    if language_of(language).docstrings:
        spans = sorted([*spans, *_docstrings(tree)])
    found = []
    for start, end in spans:
        at = start
        for line in source[start:end].split(b"\n"):
            words, before = _words(line.decode("utf-8", "replace"))
            if _LETTERS.search(words) and not _DIRECTIVE.search(line.decode("utf-8", "replace")):
                first = at + len(before.encode())
                found.append(_Line(first, first + len(words.encode()), words))
            at += len(line) + 1
    return found if all(source[item.start : item.end].decode("utf-8", "replace") == item.text for item in found) else []


def _words(line: str) -> tuple[str, str]:
    """The words of a line of a comment, without what closes it, and what stands before them."""
    opening = _OPENING.match(line)
    before = opening[0] if opening else ""
    words = line[len(before) :].rstrip()
    for closing in _CLOSINGS:
        words = words.removesuffix(closing)
    return words.rstrip(" \t*"), before


def _docstrings(tree: Tree) -> list[tuple[int, int]]:
    """Spans of the strings that open a module, class or function."""
    found, pending = [], [tree.root_node]
    while pending:
        node: Node = pending.pop()
        if node.type in ("module", "block"):
            first = next((child for child in node.named_children if child.type != "comment"), None)
            if first is not None and first.type == "expression_statement" and first.named_child_count == 1:
                first = first.named_children[0]
            above = node.parent
            owner = above is None or above.type in ("class_definition", "function_definition")
            if first is not None and first.type == "string" and owner:
                found.append((first.start_byte, first.end_byte))
        pending.extend(node.named_children)
    return found
