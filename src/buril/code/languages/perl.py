"""Perl."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from buril.code.language import Language


class Perl(Language):
    """Perl: Prolog shares one of its endings, bitmaps of X another."""

    name: ClassVar[str] = "perl"
    grammar: ClassVar[str] = "perl"
    extensions: ClassVar[tuple[str, ...]] = (".pl", ".pm", ".psgi")
    interpreters: ClassVar[tuple[str, ...]] = ("perl",)
    claims: ClassVar[Mapping[str, str]] = {
        ".t": r"\A#!.*\bperl|^\s*use\s+(?:strict|warnings|Test::\w+|v?5)\b",
    }
    refuses: ClassVar[Mapping[str, str]] = {
        ".pl": r"^\s*:-\s|^[a-z]\w*\([^)\n]*\)\s*:-",
        ".pm": r"\A\s*/\* XPM \*/",
    }
    line_comments: ClassVar[tuple[str, ...]] = ("#",)
    block_comments: ClassVar[tuple[tuple[str, str], ...]] = (("=pod", "=cut"),)
    functions: ClassVar[str] = """
        (subroutine_declaration_statement name: (_) @name body: (_) @body) @function
    """
    parse_tolerance: ClassVar[float] = 0.1
