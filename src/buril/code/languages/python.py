"""Python."""

from __future__ import annotations

from typing import ClassVar

from buril.code.language import Language


class Python(Language):
    """Python: its grammar also accepts Python 2, so that any error means a damaged file."""

    name: ClassVar[str] = "python"
    grammar: ClassVar[str] = "python"
    extensions: ClassVar[tuple[str, ...]] = (".py", ".pyi", ".pyw")
    filenames: ClassVar[tuple[str, ...]] = ("SConstruct", "SConscript", "wscript")
    interpreters: ClassVar[tuple[str, ...]] = ("python", "pypy")
    line_comments: ClassVar[tuple[str, ...]] = ("#",)
    docstrings: ClassVar[bool] = True
    functions: ClassVar[str] = """
        (function_definition name: (identifier) @name ":" @open body: (block) @body) @function
    """
    parse_tolerance: ClassVar[float] = 0.002
