"""Lua."""

from __future__ import annotations

from typing import ClassVar

from buril.code.language import Language


class Lua(Language):
    """The facts of Lua."""

    name: ClassVar[str] = "lua"
    grammar: ClassVar[str] = "lua"
    extensions: ClassVar[tuple[str, ...]] = (".lua", ".rockspec")
    interpreters: ClassVar[tuple[str, ...]] = ("lua", "luajit")
    line_comments: ClassVar[tuple[str, ...]] = ("--",)
    block_comments: ClassVar[tuple[tuple[str, str], ...]] = (("--[[", "]]"),)
    functions: ClassVar[str] = """
        (function_declaration name: (_) @name body: (_) @body) @function
    """
