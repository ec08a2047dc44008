"""Bash and the POSIX shell."""

from __future__ import annotations

from typing import ClassVar

from buril.code.language import Language


class Bash(Language):
    """The facts of Bash and the POSIX shell."""

    name: ClassVar[str] = "bash"
    grammar: ClassVar[str] = "bash"
    extensions: ClassVar[tuple[str, ...]] = (".sh", ".bash", ".bats", ".ksh", ".zsh")
    filenames: ClassVar[tuple[str, ...]] = (
        ".bashrc",
        ".bash_profile",
        ".bash_aliases",
        ".profile",
        "PKGBUILD",
        "APKBUILD",
    )
    interpreters: ClassVar[tuple[str, ...]] = ("sh", "bash", "dash", "ksh", "zsh", "ash")
    line_comments: ClassVar[tuple[str, ...]] = ("#",)
    functions: ClassVar[str] = """
        (function_definition name: (_) @name body: (compound_statement) @body) @function
    """
    parse_tolerance: ClassVar[float] = 0.05
    indent: ClassVar[int] = 2
