"""C++."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from buril.code.language import Language


class Cpp(Language):
    """C++: headers with the ending of C are taken when they show classes, templates or namespaces."""

    name: ClassVar[str] = "cpp"
    grammar: ClassVar[str] = "cpp"
    extensions: ClassVar[tuple[str, ...]] = (
        ".cpp",
        ".cc",
        ".cxx",
        ".c++",
        ".hpp",
        ".hh",
        ".hxx",
        ".h++",
        ".ipp",
        ".tpp",
        ".inl",
    )
    claims: ClassVar[Mapping[str, str]] = {
        ".h": (
            r"^\s*(?:(?:inline\s+)?namespace\b[\w\s:]*\{|template\s*<|using\s+namespace\s|using\s+\w+\s*=|constexpr\b"
            r"|class\s+\w+\s*(?:final\s*)?(?:[:{;]|$)|(?:public|private|protected)\s*:\s*$"
            r"|#\s*include\s+<(?:algorithm|array|atomic|cassert|cmath|cst\w+|functional|initializer_list|iostream|iterator"
            r"|limits|map|memory|mutex|optional|ostream|set|sstream|string|string_view|tuple|type_traits|unordered_map"
            r"|utility|vector)>)|\bstd::\w|\bstatic_cast<"
        ),
    }
    line_comments: ClassVar[tuple[str, ...]] = ("//",)
    block_comments: ClassVar[tuple[tuple[str, str], ...]] = (("/*", "*/"),)
    functions: ClassVar[str] = """
        (function_definition declarator: (_) @declarator body: (compound_statement) @body) @function
    """
    parse_tolerance: ClassVar[float] = 0.1
