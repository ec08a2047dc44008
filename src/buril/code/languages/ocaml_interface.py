"""OCaml interfaces."""

from __future__ import annotations

from typing import ClassVar

from buril.code.language import Language


class OcamlInterface(Language):
    """The facts of OCaml interfaces."""

    name: ClassVar[str] = "ocaml_interface"
    grammar: ClassVar[str] = "ocaml_interface"
    extensions: ClassVar[tuple[str, ...]] = (".mli",)
    block_comments: ClassVar[tuple[tuple[str, str], ...]] = (("(*", "*)"),)
    parse_tolerance: ClassVar[float] = 0.1
    indent: ClassVar[int] = 2
