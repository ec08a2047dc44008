"""Texts that a program puts together: taken to pieces, whatever way it does it, and put together in another way.

`f"a{x}"`, `"a%s" % x`, `"a" + x` and `` `a${x}` `` are the same two parts. That is what a statement of SQL with
placeholders is made into, and a list of words for a program; and what both are made of again.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from tree_sitter import Node

from buril.code.parse import parse


class Part(NamedTuple):
    """A piece of a text as its literal writes it, or the code of what is put in."""

    text: str
    code: bool = False


Parts = tuple[Part, ...]
_CONTENTS: Final = ("string_content", "string_fragment", "escape_sequence", "interpreted_string_literal_content",
                    "encapsed_string_content")  # fmt: skip
_PUT_IN: Final = ("interpolation", "template_substitution")
_STRINGS: Final = ("string", "template_string", "string_literal", "interpreted_string_literal", "encapsed_string",
                   "raw_string_literal")  # fmt: skip
_BINARY: Final = ("binary_operator", "binary_expression")
_WRAPPERS: Final = ("parenthesized_expression", "expression_statement", "expression_list")
_FORMATS: Final = re.compile(r"fmt\.Sprintf|String\.format|sprintf")
_TEXT_NAME: Final = re.compile(r"[a-z_]*(?:name|text|path|email|key|title|user|code|date|word)")
_MARK: Final = re.compile(r"%[sdvq]")
_BRACES: Final = re.compile(r"(?<!\{)\{(\w*)\}(?!\})")


def taken_apart(language: str, code: str) -> Parts | None:
    """The parts of the text that an expression makes; None where it makes no text of literals."""
    head = {"php": "<?php ", "go": "package p\nvar _ = ", "java": "class A { Object a = "}.get(language, "")
    tail = {"php": ";", "java": "; }"}.get(language, "")
    tree = parse(language, f"{head}{code}{tail}".encode())
    start = len(head.encode())
    node = tree.root_node.named_descendant_for_byte_range(start, start + len(code.encode()))
    if node is None or tree.root_node.has_error:
        return None
    parts = _merged(_parts(node) or ())
    return parts if parts and any(not part.code for part in parts) else None


def _parts(node: Node) -> Parts | None:
    if node.type in _WRAPPERS and node.named_child_count == 1:
        return _parts(node.named_children[0])
    if node.type in _STRINGS:
        return _of_string(node)
    sign = next((child.type for child in node.children if not child.is_named), "")
    if node.type == "concatenated_string" or (node.type in _BINARY and sign in ("+", ".")):
        return _joined(node.named_children)
    if node.type in _BINARY:
        return _of_percent(*node.named_children) if sign == "%" else None
    if node.type in ("call", "call_expression", "method_invocation", "function_call_expression"):
        formatted = _of_call(node)
        if formatted is not None:
            return formatted
    return (Part(_text(node), code=True),)


def _of_call(node: Node) -> Parts | None:
    """`str(x)` is x; `"…".format(x)` and `Sprintf("…", x)` are their parts."""
    arguments = node.child_by_field_name("arguments")
    name = _text(node)[: -len(_text(arguments))] if arguments is not None else ""
    given = [child for child in arguments.named_children if "comment" not in child.type] if arguments else []
    if name in ("str", "String", "String.valueOf") and len(given) == 1:
        return (Part(_text(given[0]), code=True),)
    if _FORMATS.fullmatch(name) and given:
        return _of_percent(given[0], *given[1:])
    function = node.child_by_field_name("function")
    if function is None or not name.endswith(".format"):
        return None
    pattern = function.child_by_field_name("object")
    literal = _parts(pattern) if pattern is not None and pattern.type in (*_STRINGS, "concatenated_string") else None
    if not literal or any(part.code for part in literal):
        return None
    return _of_braces("".join(part.text for part in literal), given)


def _of_braces(text: str, given: Sequence[Node]) -> Parts | None:
    named = {_text(item.named_children[0]): _text(item.named_children[1]) for item in given
             if item.type == "keyword_argument"}  # fmt: skip
    listed = [_text(item) for item in given if item.type != "keyword_argument"]
    parts: list[Part] = []
    end = 0
    for number, hole in enumerate(_BRACES.finditer(text)):
        place = hole[1]
        value = named.get(place)
        if value is None and (not place or place.isdigit()):
            index = int(place) if place else number
            value = listed[index] if index < len(listed) else None
        if value is None:
            return None
        parts += [Part(text[end : hole.start()]), Part(value, code=True)]
        end = hole.end()
    rest = "".join(part.text for part in parts if not part.code) + text[end:]
    return None if re.search(r"\{[^{}]*\}", rest) else (*parts, Part(text[end:]))


def _of_percent(pattern: Node, *given: Node) -> Parts | None:
    literal = _parts(pattern)
    if not literal or any(part.code for part in literal):
        return None
    values = given
    if len(given) == 1 and given[0].type == "tuple":
        values = tuple(given[0].named_children)
    pieces = _MARK.split("".join(part.text for part in literal))
    if len(pieces) != len(values) + 1 or any(value.type == "dictionary" for value in values):
        return None
    parts: list[Part] = []
    for piece, value in zip(pieces, values, strict=False):
        parts += [Part(piece.replace("%%", "%")), Part(_text(value), code=True)]
    return (*parts, Part(pieces[-1].replace("%%", "%")))


def _joined(nodes: Sequence[Node]) -> Parts | None:
    parts: list[Part] = []
    for node in nodes:
        inner = _parts(node)
        if inner is None:
            return None
        parts += inner
    return tuple(parts)


def _of_string(node: Node) -> Parts | None:
    parts: list[Part] = []
    source = node.text or b""
    if re.match(rb"[brBR]+[fF]?[\"']", source):
        return None
    is_format = re.match(rb"[fF]", source) is not None
    for child in node.children:
        if child.type in _PUT_IN or (child.type.startswith("variable") and child.is_named):
            inner = child if child.type.startswith("variable") else child.named_child(0)
            if inner is None or (child.type in _PUT_IN and child.named_child_count != 1):
                return None  # a format or a conversion
            parts.append(Part(_text(inner), code=True))
        elif child.type in _CONTENTS:
            text = _text(child)
            parts.append(Part(text.replace("{{", "{").replace("}}", "}") if is_format else text))
        elif child.is_named and child.type not in ("string_start", "string_end"):
            return None
    if node.type == "encapsed_string":
        parts = [Part(part.text, part.code) for part in parts if part.text not in ("{", "}")]
    return tuple(parts) or (Part(""),)


def _text(node: Node) -> str:
    return (node.text or b"").decode("utf-8", "replace")


def put_together(language: str, parts: Parts) -> Iterator[str]:
    """Expressions that make the text of these parts, what is most usual in the language first."""
    parts = _merged(parts)
    mark = '"""' if any("\n" in part.text for part in parts if not part.code) else '"'
    plain = all(not re.search(r"[\"\\\n`]", part.text) for part in parts if part.code)
    if language == "python":
        yield from _python(parts, mark, plain=plain)
        return
    if mark != '"' and language not in ("javascript", "typescript", "tsx", "php"):
        return
    if language in ("javascript", "typescript", "tsx"):
        if plain:
            body = "".join(f"${{{part.text}}}" if part.code else part.text.replace("`", "\\`") for part in parts)
            yield f"`{body}`"
        if mark != '"':
            return
    if language == "go" and not any("%" in part.text for part in parts if not part.code):
        body = "".join("%v" if part.code else _quoted(part.text) for part in parts)
        yield f'fmt.Sprintf("{body}", {", ".join(part.text for part in parts if part.code)})'
    if language == "php" and all(re.fullmatch(r"\$\w+", part.text) for part in parts if part.code):
        yield '"' + "".join("{" + part.text + "}" if part.code else _quoted(part.text) for part in parts) + '"'
    sign = " . " if language == "php" else " + "
    yield sign.join(_operand(part, language) for part in parts)


def _python(parts: Parts, mark: str, *, plain: bool) -> Iterator[str]:
    codes = [part.text for part in parts if part.code]
    texts = [part if part.code else Part(_quoted(part.text, mark)) for part in parts]
    doubled = [part if part.code else Part(part.text.replace("{", "{{").replace("}", "}}")) for part in texts]
    if plain:
        yield f"f{mark}{''.join(f'{{{part.text}}}' if part.code else part.text for part in doubled)}{mark}"
    body = "".join("%s" if part.code else part.text.replace("%", "%%") for part in texts)
    simple = len(codes) == 1 and re.fullmatch(r"[\w.\[\]\"']+", codes[0])
    yield f"{mark}{body}{mark} % {codes[0] if simple else '(' + ', '.join(codes) + (',)' if len(codes) == 1 else ')')}"
    yield f"{mark}{''.join('{}' if part.code else part.text for part in doubled)}{mark}.format({', '.join(codes)})"
    if mark == '"':
        yield " + ".join(_operand(part, "python") for part in parts)


def _operand(part: Part, language: str) -> str:
    if not part.code:
        return f'"{_quoted(part.text)}"'
    if language == "python" and not _TEXT_NAME.fullmatch(part.text) and not part.text.startswith("str("):
        return f"str({part.text})"
    return part.text if re.fullmatch(r"[\w.$>()\[\]\"'-]+", part.text) else f"({part.text})"


def _quoted(text: str, mark: str = '"') -> str:
    """A piece of a literal as it stands between these marks."""
    return text if mark != '"' else re.sub(r'(?<!\\)"', r"\"", text)


def _merged(parts: Parts) -> Parts:
    """Neighbouring literals as one, and none that is empty."""
    merged: list[Part] = []
    for part in parts:
        if merged and not part.code and not merged[-1].code:
            merged[-1] = Part(merged[-1].text + part.text)
        elif part.text:
            merged.append(part)
    return tuple(merged)


def listed(arguments: str) -> list[str]:
    """The arguments of a call, which commas outside of brackets and strings separate.

    Example:
        `listed("a, f(b, c), 'd,e'")` → `["a", "f(b, c)", "'d,e'"]`.
    """
    found, depth, quote, start = [], 0, "", 0
    for place, sign in enumerate(arguments):
        if quote:
            quote = "" if sign == quote and arguments[place - 1] != "\\" else quote
        elif sign in "\"'`":
            quote = sign
        elif sign == "," and not depth:
            found.append(arguments[start:place].strip())
            start = place + 1
        depth += 0 if quote else (sign in "([{") - (sign in ")]}")
    last = arguments[start:].strip()
    return [*found, last] if last else found


def literal(parts: Parts, mark: str = '"') -> str | None:
    """The literal of parts without code; None where there is code among them."""
    if any(part.code for part in parts):
        return None
    text = "".join(part.text for part in parts)
    mark = '"""' if "\n" in text else mark
    return f"{mark}{_quoted(text, mark)}{mark}"
