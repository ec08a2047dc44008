"""What a comment is: a directive, a licence header, a banner, a to-do, code that was switched off, or prose."""

from __future__ import annotations

import re
from typing import Any

from tree_sitter import Node

from buril.code.language import Language
from buril.code.parse import HardParse, keywords, parse

_DIRECTIVES = (
    # Python
    r"type:", r"noqa", r"pragma\b", r"pylint:", r"mypy:", r"pyright:", r"pytype:", r"ruff:", r"flake8:", r"isort:",
    r"fmt:",
    r"yapf:", r"nosec", r"cython:", r"distutils:", r"-\*-", r"(?:en)?coding[:=]", r"vim?:", r"%%", r"nopycln", r"pyre-",
    # JavaScript and TypeScript
    r"eslint", r"tslint:", r"@ts-", r"prettier-ignore", r"istanbul ", r"[cv]8 ignore", r"@flow", r"@noflow", r"@jsx",
    r"<reference", r"<amd-", r"webpack\w+:", r"@vite", r"[@#]__\w+__", r"[#@] ?source(?:Mapping)?URL", r"js[hl]int",
    r"globals? ",
    r"exported ", r"biome-ignore", r"deno-",
    # C, C++, Go, Rust, Java, C#
    r"NOLINT", r"clang-", r"IWYU", r"LCOV_", r"GCOV", r"[Ff]all-?s?.?through", r"FALL-?THROUGH", r"FALLTHRU",
    r"cppcheck",
    r"coverity", r"go:\w", r"\+build", r"nolint", r"export \w+$", r"extern \w+$", r"line .*:\d+", r"Output:",
    r"Unordered output:",
    r"CHECKSTYLE", r"NOSONAR", r"NOPMD", r"noinspection", r"@formatter", r"ReSharper", r"language=",
    # shells, Ruby, PHP, Swift, Dart, Solidity, Lua, SQL, HTML
    r"shellcheck", r"rubocop:", r"frozen_string_literal:", r"typed:", r":nodoc:", r"warn_indent:", r"phpcs:",
    r"phpstan",
    r"psalm", r"@codeCoverage", r"swiftlint:", r"swift-", r"sourcery:", r"ignore(?:_for_file)?:", r"@dart",
    r"dart format",
    r"solhint", r"slither-", r"@solidity", r"luacheck",
    r"\[if ", r"\[endif", r"<!\[", r"#include", r"/ script", r"\+ ", r"no critic", r"use critic",
)  # fmt: skip
_DIRECTIVE = re.compile(rf"(?:\A|[#/*]\s*)(?:{'|'.join(dict.fromkeys(_DIRECTIVES))})".encode())
_MARKS = b"#/*-!;%<>{}()[]=|'\"~+.:_ \t\r\n"
_LICENSE = re.compile(
    rb"copyright|\(c\)\s*\d{4}|\xc2\xa9|\blicen[cs]ed\b|SPDX-|all rights reserved|redistribution and use|public domain|"
    rb"\b(?:mit|bsd|apache|gpl|lgpl|agpl|mpl|isc|public|this|see|terms of|under) (?:[\w. -]{0,24} )?licen[cs]e\b|"
    rb"permission is hereby granted|without warrant", re.IGNORECASE,
)  # fmt: skip
_SPDX = re.compile(
    rb"SPDX-License-Identifier:[ \t]*([A-Za-z0-9.+()-]+(?:[ \t]+(?:AND|OR|WITH)[ \t]+[A-Za-z0-9.+()-]+)*)"
)
_TODO = re.compile(rb"(?:TODO|FIXME|XXX|HACK)\b")
_DOCUMENTING = (b"/**", b"///", b"//!", b"/*!", b"#'", b"--|", b"-- |", b"---", b"{-|", b"(**", b"##'")
_PUNCTUATION = re.compile(rb"[=({\[]|^\s*(?:import|from|#include|using|use|package|require)\b", re.MULTILINE)
_THREE_WORDS = re.compile(rb"(?<![^\s(])[A-Za-z]{2,} [a-z]{2,} [a-z]{2,}(?![\w.=(:\[{<>*&])")
_CODE_LANGUAGES = frozenset(
    {
        "python", "javascript", "typescript", "tsx", "java", "c", "cpp", "csharp", "go", "rust", "kotlin", "swift",
        "scala",
        "dart", "solidity",
    }
)  # fmt: skip
"""Languages whose grammar refuses prose; in the others (`see the manual` is a command of a shell) nothing is told."""

_WRAPPERS = {"solidity": (b"contract C { function f() public {\n", b"\n} }\n")}
_STATEMENTS = (
    "statement",
    "declaration",
    "definition",
    "assignment",
    "import",
    "include",
    "directive",
    "call",
    "function",
    "item",
)
_WEAK = ("labeled_statement", "empty_statement", "expression_statement", "type_definition")


def body(text: bytes) -> bytes:
    """A comment without the marks that open it."""
    return text.lstrip(_MARKS)


def is_directive(text: bytes) -> bool:
    """Whether a tool reads the comment: linters, type checkers, formatters, build tags, editors."""
    return (
        text.startswith((b"#!", b"---@"))
        or _DIRECTIVE.search(text.lstrip(b"#/*-!;<{( \t'")) is not None
        or b"/// script" in text
    )


def is_license(text: bytes) -> bool:
    """Whether it speaks of copyright or licence."""
    return _LICENSE.search(text) is not None


def spdx_of(text: bytes) -> str:
    """The SPDX expression it declares, or ""."""
    match = _SPDX.search(text)
    return match[1].decode().strip("()") if match else ""


def is_banner(text: bytes) -> bool:
    """Whether it is a rule: four or more signs without a letter or digit."""
    return not body(text).rstrip(_MARKS) and len(text.strip()) >= 4


def is_todo(text: bytes) -> bool:
    """Whether it opens with a note to oneself."""
    return _TODO.match(body(text)) is not None


def is_code(texts: list[bytes], language: type[Language]) -> bool:
    """Whether comments that follow one another are statements of the language, switched off.

    The text between the marks must parse without an error and hold at least one statement with an effect; one line
    that is only a name, a label or `f(x)` may be prose and is kept.
    """
    if language.name not in _CODE_LANGUAGES or texts[0].startswith(_DOCUMENTING):
        return False
    text = _plain(texts, language)
    if not _PUNCTUATION.search(text) or text.rstrip()[-1:] in b".?!" or _is_prose(text, language.name):
        return False
    before, after = _WRAPPERS.get(language.name, (b"", b""))
    try:
        root = parse(language.name, before + text + after).root_node
    except HardParse:
        return False
    if root.has_error:
        return False
    return bool(before) or _has_effect(root, text)


def _is_prose(text: bytes, language: str) -> bool:
    """Whether three words follow one another that mean nothing to the language: no statement, so no need to parse.

    Text with quotes is never taken for prose here, since a string may hold any words.
    """
    if b'"' in text or b"'" in text or b"`" in text:
        return False
    known = keywords(language)
    return any(known.isdisjoint(match[0].split()) for match in _THREE_WORDS.finditer(text))


def _plain(texts: list[bytes], language: type[Language]) -> bytes:
    """The text of the comments without their marks and their common indentation."""
    lines: list[bytes] = []
    for text in texts:
        opened = next(((a, b) for a, b in language.block_comments if text.startswith(a.encode())), None)
        if opened:
            inner = text[len(opened[0]) :].removesuffix(opened[1].encode())
            lines += [re.sub(rb"^\s*\*(?= |$)", b"", line) for line in inner.split(b"\n")]
        else:
            mark = max(
                (mark.encode() for mark in language.line_comments if text.startswith(mark.encode())),
                key=len,
                default=b"",
            )
            lines.append(text[len(mark) :])
    used = [line for line in lines if line.strip()]
    margin = min((len(line) - len(line.lstrip(b" ")) for line in used), default=0)
    return b"\n".join(line[margin:].rstrip() for line in lines).strip(b"\n") + b"\n"


def _has_effect(root: Node, text: bytes) -> bool:
    strong = False
    for child in root.named_children:
        inner: Any = child
        while inner.type == "expression_statement" and inner.named_child_count == 1:
            inner = inner.named_children[0]
        if not any(part in inner.type for part in _STATEMENTS) or inner.type in _WEAK:
            return False
        strong = strong or _is_strong(inner, text)
    return strong


def _is_strong(node: Node, text: bytes) -> bool:
    written = (node.text or b"").strip()
    if "call" in node.type:
        callee = node.named_children[0] if node.named_children else None
        if callee is None or (node.text or b"")[callee.end_byte - node.start_byte :].startswith(b" "):
            return False
        telling = any(sign in written for sign in (b'"', b"'", b"=", b"self.", b"this.", b"print("))
        return telling or text.count(b"\n") > 1 or text.rstrip().endswith(b";")
    if node.type == "assignment":
        return node.child_by_field_name("right") is not None
    return any(sign in written for sign in (b"=", b"(", b"{", b"import", b"include", b"use")) or b":\n" in written
