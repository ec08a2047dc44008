"""OCaml."""

from __future__ import annotations

from typing import ClassVar

from buril.code.language import Language


class Ocaml(Language):
    """The facts of OCaml."""

    name: ClassVar[str] = "ocaml"
    grammar: ClassVar[str] = "ocaml"
    extensions: ClassVar[tuple[str, ...]] = (".ml",)
    interpreters: ClassVar[tuple[str, ...]] = ("ocaml", "ocamlrun")
    block_comments: ClassVar[tuple[tuple[str, str], ...]] = (("(*", "*)"),)
    functions: ClassVar[str] = """
        (let_binding pattern: (value_name) @name (parameter) body: (_) @body) @function
    """
    parse_tolerance: ClassVar[float] = 0.1
    indent: ClassVar[int] = 2
