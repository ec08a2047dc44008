r"""What stands for what in a PHP file: classes by their short name, variables with their `$`, and where we are in it.

Variables and properties keep the `$` (`$this.$db`), since a function, a class or a method may have the same name.
Functions are written in small letters, as PHP doesn't tell `MD5` from `md5`. Classes go by the last part of their name
(`\Illuminate\Support\Facades\DB` is `DB`), whatever a file calls them.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from tree_sitter import Node

from buril.scanners._taint import ir
from buril.scanners._taint.nodes import Reader, line_of, text_of

THIS, REQUEST = "$this", "request"
_OUTGOING = re.compile(r"^\\?(GuzzleHttp|Nyholm|Psr\\Http\\Message\\RequestInterface|Saloon)\b")
"""Namespaces whose requests are sent, not received."""
_REQUEST = re.compile(r"^(\w*Request|ServerRequestInterface|IRequest)$")
_PLAIN_TYPE = re.compile(r"^\??(?:[a-z]\w*\|?)+$")
SKIPPED = frozenset({"comment", "ERROR", "attribute_list", "text_interpolation", "php_tag", "reference_modifier"})
READER = Reader(SKIPPED)
children, at, expression, whole = READER.children, READER.at, READER.expression, READER.whole
"""How nodes are read, by their type: expressions hold each other, so that the files that read them meet here."""
NAMES = frozenset({"name", "qualified_name", "relative_name", "namespace_name"})


class Scope:
    """Where in a file we are: what its `use` lines say, its classes, the class and the function around."""

    def __init__(self) -> None:
        self.uses: dict[str, str] = {}
        self.functions: dict[str, str] = {}
        self.classes: set[str] = set()
        self.own: set[str] = set()
        """Functions, methods and classes of this file."""
        self.namespace = ""
        self.parent = ""
        self.requests: set[str] = {"$request", "$req"}
        self.plain = False
        """What is printed is not a page."""
        self.hidden: list[Any] = []
        """Classes without a name, which stand within expressions."""
        self.body: Callable[[Node | None], tuple[Any, ...]] = lambda _node: ()
        self.members: Callable[[Node, str], Any] = lambda _node, _name: None


SCOPE = Scope()
"""Of the file that is being read; `lower` begins a new one."""


def begin(body: Callable[[Node | None], tuple[Any, ...]], members: Callable[[Node, str], Any]) -> None:
    """Forget the last file; `body` reads statements, `members` a class."""
    SCOPE.__dict__.update(Scope().__dict__)  # the one object is known by all who read
    SCOPE.body, SCOPE.members = body, members


def full_name(node: Node) -> str:
    """A name of a class as its `use` line has it."""
    text = text_of(node)
    first, _, rest = text.lstrip("\\").partition("\\")
    known = SCOPE.uses.get(first) if not text.startswith("\\") else None
    return f"{known}\\{rest}".rstrip("\\") if known else text.lstrip("\\")


def short_name(node: Node) -> str:
    """The last part of the name of a class."""
    return full_name(node).rpartition("\\")[2]


def is_own(node: Node) -> bool:
    """Whether a class is of the package that the file is a part of: their namespaces begin alike."""
    name, text = full_name(node), text_of(node)
    if "\\" not in name and not text.startswith("\\") and text not in SCOPE.uses:
        return SCOPE.namespace != ""
    return name.partition("\\")[0] == SCOPE.namespace.partition("\\")[0]


def function_name(node: Node) -> str:
    """The name of a function, in small letters."""
    name = text_of(node).rpartition("\\")[2].lower()
    return SCOPE.functions.get(name, name)


def class_at(node: Node, line: int) -> Any:
    """A class that something static is asked of: an expression, or the name of one that the file does not have."""
    if node.type == "relative_scope":
        if text_of(node) != "parent":
            return ir.Name(line, THIS)
        return ir.Name(line, SCOPE.parent) if SCOPE.parent in SCOPE.classes else SCOPE.parent or "parent"
    if node.type in NAMES:
        name = short_name(node)
        return ir.Name(line, name) if name in SCOPE.classes else name
    return None


def is_request(kind: Node | None) -> bool:
    """Whether a type is that of the request that is being answered."""
    if kind is None:
        return False
    named = kind if kind.type == "named_type" else kind.named_children[0] if kind.named_children else kind
    inner = named.named_children[0] if named.type == "named_type" and named.named_children else named
    if inner.type not in NAMES:
        return False
    return _REQUEST.match(short_name(inner)) is not None and not _OUTGOING.match(full_name(inner))


def type_of(kind: Node | None) -> str:
    """A type as the engine asks for it: a class of this file by its name, any other class is `object`."""
    if kind is None:
        return ""
    text = text_of(kind)
    if _PLAIN_TYPE.match(text):
        return text
    short = text.lstrip("?\\").rpartition("\\")[2]
    return short if short in SCOPE.classes else "object" if re.fullmatch(r"\w+", short) else text


def is_form(node: Any) -> bool:
    """Whether an expression is one of `$_GET`, `$_POST` and the like."""
    return isinstance(node, ir.Name) and node.id.startswith("$_")


def end_of(node: Node) -> int:
    """The last line of a node."""
    return int(node.end_point[0]) + 1


def call(line: int, name: str, *args: Any) -> ir.Call:
    """A call of a function by name."""
    return ir.Call(line, ir.Name(line, name), args)


def method(of: Any, name: str, *args: Any) -> ir.Call:
    """A call of a method."""
    line = of.line if of is not None else 0
    return ir.Call(line, ir.Attr(line, of, name), args)


def variable(node: Node) -> ir.Name:
    """A variable, with its `$`."""
    return ir.Name(line_of(node), text_of(node))


# --- reading
