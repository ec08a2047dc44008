"""Grammars of answers: JSON of a schema, and calls of functions in the form that the model's template shows.

They are written as `llguidance` reads them: rules as Lark has them, with JSON Schemas in their places.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from buril.generators._calls import Form, Marks

SPACE = r"(\x20|\r?\n[\x20\t]{0,32})"
"""White space in JSON, once in a place: a space, or a new line with its indentation. A small model that may would go on
with it for ever."""
TIGHT = r"\x20"
"""The same where a call is all that may be written: a space, as models learnt calls. One that must write between marks
which it does not use of itself (Qwen2.5-Coder) otherwise writes indentation first."""


class Schema(NamedTuple):
    """A JSON Schema. One that is `strict` is kept in every respect or refused; else what can't be kept is left out."""

    told: Mapping[str, Any]
    strict: bool = False


OBJECT = Schema({"type": "object"})


class Function(NamedTuple):
    """A function that may be called, with what its arguments are like."""

    name: str
    arguments: Schema = OBJECT


class Calls(NamedTuple):
    """How functions may be called.

    Attributes:
        form: of the calls.
        functions: that may be called.
        must: nothing else than calls is written; else text may be, and calls of strict functions keep to their schema.
        several: one answer may hold more than one.
    """

    form: Form
    functions: Sequence[Function]
    must: bool = False
    several: bool = True


def of_json(schema: Schema) -> str:
    """The grammar of a JSON value. The order of an object's members is that of the schema."""
    return f"start: {_json(schema)}\n"


def of_calls(calls: Calls, id_of: Callable[[str], int | None], schema: Schema | None = None) -> str:
    """The grammar of an answer that may, or must, call functions.

    Args:
        calls: how they may be called.
        id_of: the id of a control token by its name, None for a text that is none.
        schema: of what may be written in the place of calls; None lets that be any text.
    """
    names = [f"call{number}" for number in range(len(calls.functions))]
    at_once = calls.must or schema is not None
    space = TIGHT if at_once else SPACE
    rules = [f"{name}: {_call(one, space, must=calls.must)}" for name, one in zip(names, calls.functions, strict=True)]
    rules += [f"call: {' | '.join(names)}", f"SPACE: /{space}/"]
    if at_once:
        rules += _at_once(calls, id_of, None if calls.must else schema)
    else:
        rules += _among_text(calls, id_of)
    return "\n".join(rules) + "\n"


def _at_once(calls: Calls, id_of: Callable[[str], int | None], schema: Schema | None) -> list[str]:
    """Calls and nothing else, or a value of the schema."""
    one = f"{_mark(calls.form.marks.opens, id_of)} {_body(calls.form.marks, id_of, several=calls.several)}"
    again = f' ("\\n" {one})*' if calls.several and calls.form.marks.closes else ""
    return [f"start: {one}{again}" + ("" if schema is None else f" | {_json(schema)}")]


def _among_text(calls: Calls, id_of: Callable[[str], int | None]) -> list[str]:
    """Text, and calls wherever one is opened, whatever marks open it."""
    # a text that begins with a brace may be a call without marks, and is one then
    rules = [r"TEXT: /(?s:.*)/", r"FREE: /([^{\s](?s:.*))?/"]
    for number, marks in enumerate(calls.form.all):
        body = _body(marks, id_of, several=calls.several)
        for name, text in ((f"first{number}", "FREE"), (f"more{number}", "TEXT")):
            if id_of(marks.opens) is None:  # text up to the marks ends with the first of them
                rules.append(f"{name}_led[lazy]: {text} {json.dumps(marks.opens)}")
                rules.append(f"{name}: {name}_led {body}")
            else:
                rules.append(f"{name}: {text} {_mark(marks.opens, id_of)} {body}")
    first, more = (" | ".join(f"{name}{number}" for number in range(len(calls.form.all))) for name in ("first", "more"))
    called = f"({first}) ({more})* TEXT" if calls.several else f"{first}"
    return [*rules, f"start: FREE | {called}" + (" | call" if calls.form.bare else "")]


def _mark(text: str, id_of: Callable[[str], int | None]) -> str:
    """What opens or closes a call: a control token, or text."""
    token = id_of(text)
    return json.dumps(text) if token is None else f"<[{token}]>"


def _body(marks: Marks, id_of: Callable[[str], int | None], *, several: bool) -> str:
    """What follows the opening of a call: it and its close, or a list where nothing closes it."""
    if marks.closes:
        return f'("\\n" | SPACE)? call ("\\n" | SPACE)? {_mark(marks.closes, id_of)}'
    more = ' (SPACE? "," SPACE? call)*' if several else ""
    return f'SPACE? "[" SPACE? call{more} SPACE? "]"'


def _call(function: Function, space: str, *, must: bool) -> str:
    """JSON of a call: its name, and its arguments as the schema says, which has its own definitions within."""
    arguments = function.arguments if function.arguments.strict or must else OBJECT
    members = [('"name"', json.dumps(json.dumps(function.name))), ('"arguments"', _json(arguments, space))]
    told = ' SPACE? "," SPACE? '.join(f'{json.dumps(name)} SPACE? ":" SPACE? {value}' for name, value in members)
    return f'"{{" SPACE? {told} SPACE? "}}"'


def _json(schema: Schema, space: str = SPACE) -> str:
    """A schema in a rule. What it says of `llguidance` itself is not taken over: that is for us to say."""
    options = {"whitespace_pattern": space, "lenient": not schema.strict}
    return "%json " + json.dumps({**schema.told, "x-guidance": options})
