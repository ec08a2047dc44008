"""Sensitive names of variables: those that hold a company's or a person's name become `var_1`, file by file.

Only what can be renamed without changing the program is: a name all of whose uses in the file are plain variables,
parameters or functions of that file. It stays when it is imported, exported, an attribute or a field that others may
ask for, a keyword argument, the name of a type, part of a macro, or the whole of a string (a key, `getattr`). Names in
another file that refers to a module-level variable here are not followed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import ClassVar, NamedTuple

from pydantic import field_validator
from tree_sitter import Node

from buril.code.codefile import CodeFile, Redaction
from buril.code.parse import error_bytes, parse
from buril.core.errors import BurilError
from buril.core.settings import Settings as BaseSettings
from buril.data.step import Edit, Shared, Step, apply
from buril.scanners.secrets import Secrets as Scanner

LANGUAGES = frozenset({"python", "javascript", "typescript", "tsx", "java", "go", "c"})
MIN_LETTERS = 3
_WORD = re.compile(rb"[A-Za-z_$][A-Za-z0-9_$]*")
_PARTS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")
_ADDRESS = re.compile(r"[a-z0-9]+_at_[a-z0-9_]+_(?:com|org|net|io|edu|gov|mx|ar|br|cl|co|pe|uy|ec|es)$")
_OTHER_SPACE = frozenset({"property_identifier", "private_property_identifier", "field_identifier"})
"""Kinds of names that are looked up in an object: a variable of the same name is another thing."""
_SEEN_ELSEWHERE = frozenset(
    [
        "import_statement",
        "import_from_statement",
        "aliased_import",
        "dotted_name",
        "import_specifier",
        "import_clause",
        "namespace_import",
        "export_specifier",
        "import_declaration",
        "scoped_identifier",
        "package_declaration",
        "import_spec",
        "package_clause",
        "method_declaration",
        "class_declaration",
        "interface_declaration",
        "enum_constant",
        "enum_declaration",
        "preproc_def",
        "preproc_function_def",
        "enumerator",
        "keyed_element",
        "literal_element",
    ]
)
_ROLES = frozenset({("attribute", "attribute"), ("keyword_argument", "name"), ("method_invocation", "name"),
                    ("field_access", "field"), ("function_declarator", "declarator"),
                    ("class_definition", "name")})  # fmt: skip
_BINDS = {
    "assignment": "left", "augmented_assignment": "left", "default_parameter": "name",
    "typed_default_parameter": "name",
    "for_statement": "left",
    "for_in_clause": "left", "function_definition": "name", "named_expression": "name",
    "variable_declarator": "name", "function_declaration": "name", "arrow_function": "parameter",
    "catch_clause": "parameter", "assignment_pattern": "left", "required_parameter": "pattern",
    "optional_parameter": "pattern", "formal_parameter": "name", "enhanced_for_statement": "name",
    "catch_formal_parameter": "name", "resource": "name", "init_declarator": "declarator", "declaration": "declarator",
    "parameter_declaration": "", "pointer_declarator": "", "array_declarator": "declarator", "var_spec": "name",
    "const_spec": "name", "expression_list": "", "parameters": "", "lambda_parameters": "", "typed_parameter": "",
    "as_pattern_target": "", "pattern_list": "", "tuple_pattern": "", "list_pattern": "", "list_splat_pattern": "",
    "dictionary_splat_pattern": "", "formal_parameters": "", "array_pattern": "", "rest_pattern": "",
    "inferred_parameters": "", "for_in_statement": "left",
}  # fmt: skip
"""Kinds of nodes that bind a name, and in which field; "" for any child."""


class _Use(NamedTuple):
    start: int
    end: int


class Names(Step):
    """Renames variables whose names hold one of `names`, an e-mail address or a CURP.

    `acme_token` becomes `var_1`, `ACME_TOKEN` becomes `VAR_1`, `acmeToken` stays one word (`var1`), the same in all of
    the file. Python, JavaScript, TypeScript, Java, Go and C; a file whose tree has more errors afterwards is left as it
    was. Files in other languages are not touched.
    """

    version: ClassVar[int] = 1

    class Settings(BaseSettings):
        """Whose names."""

        shorthand: ClassVar[str | None] = "names"

        names: tuple[str, ...] = ()
        """Companies, customers, people, as words: `acme`, `juan perez`; case and separators do not matter. Without any,
        the step does nothing: which names are sensitive, only you know."""

        @field_validator("names")
        @classmethod
        def _usable(cls, names: tuple[str, ...]) -> tuple[str, ...]:
            for name in names:
                if sum(sign.isalpha() for sign in name) < MIN_LETTERS:
                    raise BurilError("D210", name=name, number=MIN_LETTERS)
            return names

    def __init__(self, settings: Settings | None = None) -> None:
        super().__init__(settings)
        self._names = [_parts(name) for name in self.settings.names]
        self._joined = {"".join(parts) for parts in self._names}
        firsts = sorted({parts[0] for parts in self._names} | {"_at_", "curp"})
        self._hint = re.compile("|".join(map(re.escape, firsts)).encode(), re.IGNORECASE)
        self._numbers = Scanner(Scanner.Settings(rules=("mexico",)))

    def apply(self, file: CodeFile, shared: Shared) -> None:
        """Edits and a redaction for each name that can be renamed."""
        if (
            not self._names
            or file.language not in LANGUAGES
            or not self._hint.search(shared.source)
            or shared.tree is None
        ):
            return
        uses, blocked = self._uses(shared, file.language)
        taken = set(_WORD.findall(shared.source))
        edits, renamed = [], []
        for number, name in enumerate((name for name in uses if name not in blocked), 1):
            new = _generic(name, number, taken)
            taken.add(new)
            renamed.append(Redaction("name_of_variable", shared.line(uses[name][0].start), new.decode()))
            edits += [Edit(use.start, use.end, new) for use in uses[name]]
        if not edits:
            return
        after = parse(file.language, apply(shared.source, edits))
        if error_bytes(after) <= error_bytes(shared.tree):
            file.redactions.extend(renamed)
            for edit in edits:
                shared.edit(*edit)

    def _uses(self, shared: Shared, language: str) -> tuple[dict[bytes, list[_Use]], set[bytes]]:
        """Where each sensitive name stands as a variable, in the order of the text, and those that must stay."""
        assert shared.tree is not None
        uses: dict[bytes, list[_Use]] = {}
        blocked: set[bytes] = set()
        bound: set[bytes] = set()
        known: dict[bytes, bool] = {}
        for match in _WORD.finditer(shared.source):
            name = match[0]
            if name not in known:
                known[name] = self._is_sensitive(name)
            if not known[name]:
                continue
            node = shared.tree.root_node.descendant_for_byte_range(*match.span())
            if node is None or node.type in _OTHER_SPACE:
                continue
            if node.type == "identifier" and (node.start_byte, node.end_byte) == match.span():
                uses.setdefault(name, []).append(_Use(*match.span()))
                if _is_seen_elsewhere(node, language):
                    blocked.add(name)
                elif _binds(node):
                    bound.add(name)
            elif not shared.in_text(match.start()) or _is_whole_string(shared.source, match.span()):
                blocked.add(name)
        return uses, blocked | (uses.keys() - bound)

    def _is_sensitive(self, name: bytes) -> bool:
        text = name.decode()
        parts = _parts(text)
        if any(_holds(parts, wanted) for wanted in self._names) or not self._joined.isdisjoint(parts):
            return True
        if _ADDRESS.search(text.lower()):
            return True
        return any(self._numbers.spans(part.encode(), "") for part in text.split("_") if len(part) == 18)


def _parts(name: str) -> list[str]:
    """The words of a name, in lower case: `clienteAcme_Token` → cliente, acme, token."""
    return [part.lower() for part in _PARTS.findall(name)]


def _holds(parts: list[str], wanted: list[str]) -> bool:
    size = len(wanted)
    return any(parts[place : place + size] == wanted for place in range(len(parts) - size + 1))


def _generic(name: bytes, number: int, taken: Iterable[bytes]) -> bytes:
    """A name in the style of the old one that the file does not use."""
    text = name.decode()
    if text.isupper():
        form = "VAR_{}"
    elif "_" in text.strip("_") or text.islower():
        form = "var_{}"
    else:
        form = "Var{}" if text[0].isupper() else "var{}"
    for count in _counts(number):
        new = form.format(count).encode()
        if new not in taken:
            return new
    raise AssertionError("there are more numbers than names")


def _counts(first: int) -> Iterator[int]:
    while True:
        yield first
        first += 1


def _is_seen_elsewhere(node: Node, language: str) -> bool:
    """Whether what an identifier names may be asked for by that name from outside of the file."""
    parent = node.parent
    if parent is None:
        return True
    if language == "go" and (node.text or b"")[:1].isupper():
        return True
    if any(parent.child_by_field_name(field) == node for kind, field in _ROLES if kind == parent.type):
        return True
    above: Node | None = parent
    for _ in range(4):
        if above is None:
            break
        if above.type in _SEEN_ELSEWHERE and (
            above == parent or above.type not in ("method_declaration", "class_declaration")
        ):
            return True
        if above.type == "export_statement" or (
            above.type == "field_declaration" and b"private" not in (above.text or b"")[:80]
        ):
            return True
        above = above.parent
    return False


def _binds(node: Node) -> bool:
    """Whether this is where a name is declared or assigned: one that the file never binds belongs to somebody else."""
    parent = node.parent
    if parent is None or parent.type not in _BINDS:
        return False
    field = _BINDS[parent.type]
    return not field or node in parent.children_by_field_name(field)


def _is_whole_string(source: bytes, span: tuple[int, int]) -> bool:
    before, after = source[span[0] - 1 : span[0]], source[span[1] : span[1] + 1]
    return before == after and before in (b'"', b"'", b"`")
