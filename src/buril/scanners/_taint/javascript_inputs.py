"""What frameworks of JavaScript and TypeScript put into parameters: by a decorator, by a handler's place or its name.

Each is said as an assignment at the beginning of the function, from where the same input is found in Express
(`@Body() dto` is `dto = req.body`), so that one table of sources is enough.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

from tree_sitter import Node

from buril.scanners._taint import ir
from buril.scanners._taint.nodes import line_of, text_of

FILLED: Final = "@filled"
"""The type of a parameter that a framework fills: what is untrusted of it is assigned, the rest is not."""
_PLACES: Final = {
    "Body": "req.body", "BodyParam": "req.body", "BodyParams": "req.body", "BodyProp": "req.body",
    "RequestBody": "req.body", "requestBody": "req.body", "RawBody": "req.rawBody", "FormField": "req.body",
    "Query": "req.query", "QueryParam": "req.query", "QueryParams": "req.query", "Queries": "req.query",
    "Param": "req.params", "Params": "req.params", "PathParams": "req.params", "PathParam": "req.params",
    "Path": "req.params", "Headers": "req.headers", "Header": "req.headers", "HeaderParam": "req.headers",
    "HeaderParams": "req.headers", "Cookies": "req.cookies", "Cookie": "req.cookies", "CookieParam": "req.cookies",
    "CookieParams": "req.cookies", "HostParam": "req.hostname", "UploadedFile": "req.file",
    "UploadedFiles": "req.files", "Req": "req", "Request": "req", "Ctx": "ctx", "Context": "ctx", "Res": "res",
    "Response": "res", "Arg": "graphql.args", "Args": "graphql.args", "Payload": "message.data",
    "MessageBody": "message.data", "param.path": "req.params", "param.query": "req.query",
    "param.header": "req.headers",
}  # fmt: skip
"""Decorators of NestJS, routing-controllers, tsoa, Ts.ED, LoopBack, type-graphql."""
_HARMLESS: Final = re.compile(r"(?:number|boolean|bigint|Date)\b")
_CLASS: Final = re.compile(r"(?!Record\b|Object\b|Map\b|Any\b)[A-Z]\w*")
"""A class that says which fields a body has: frameworks check it against that, as they do a text in the query."""
_PIPE: Final = re.compile(r"\bParse(?:Int|Float|Bool|UUID|Enum|Date|ObjectId)Pipe\b")
_CHECKED: Final = re.compile(
    r"@(?:Is(?:Int|Number|Boolean|Enum|In|UUID|Date|DateString|ISO8601|MongoId|IP|Port|NumberString|Alphanumeric|Alpha|"
    r"Hexadecimal|Decimal|Positive|Negative|BooleanString|Locale|ISO31661Alpha2)|Min|Max|Equals)\("
    r"|@Type\(\(\)\s*=>\s*(?:Number|Boolean|Date)\)|@Matches\(/\^(?:\[[\w-]+\]|\\[dw])(?:[+*]|\{[\d,]+\})?\$/"
)
"""Decorators of a field after which it holds no text of somebody else's choice."""
_NUMBERS: Final = re.compile(r"z(?:\.coerce)?\.(?:number|boolean|bigint|date|enum|nativeEnum|literal|int)\(|"
                             r"\.(?:uuid|cuid2?|ulid|datetime|ip)\(")  # fmt: skip
_HANDLERS: Final = re.compile(r"^(?:GET|POST|PUT|PATCH|DELETE|HEAD|OPTIONS|load|loader|action|getServerSideProps)$")
"""Names under which Next.js, Remix and SvelteKit call what a file exports."""
_ROUTES: Final = re.compile(r"^(?:get|post|put|patch|delete|all|use|route|options)$")
_QUIET: Final = frozenset(["connect", "connection", "close", "error", "open", "disconnect", "end", "drain", "timeout",
                           "listening", "ready", "secureConnect", "finish", "upgrade", "lookup", "exit"])  # fmt: skip
_SOCKET: Final = re.compile(r"(?i)^(?:this\.)?(?:\w*socket|ws|wss|conn|connection)$")


def place(path: str, line: int) -> Any:
    """A dotted place as an expression."""
    first, *rest = path.split(".")
    found: Any = ir.Name(line, first)
    for name in rest:
        found = ir.Attr(line, found, name)
    return found


def decorated(param: Node, kind: str) -> Any | None:
    """What the decorators of a parameter put into it; nothing untrusted is `ir.Other`, None where there are none."""
    decorators = [child for child in param.named_children if child.type == "decorator"]
    found: Any | None = None
    for decorator in decorators:
        line, text = line_of(decorator), text_of(decorator)
        found = ir.Other(line, ()) if found is None else found
        name, _, arguments = text.lstrip("@").partition("(")
        path = _PLACES.get(name.rpartition(".")[0] if name.startswith("param.") else name)
        if path is None or _HARMLESS.match(kind) or _PIPE.search(arguments):
            continue
        if (path == "req.body" and _CLASS.match(kind)) or (path == "req.query" and kind == "string"):
            path = "checked." + path.partition(".")[2]
        found = place(path, line)
        key = re.match(r"\s*[\"'`]([^\"'`]+)[\"'`]", arguments)
        if key and "." in path:
            found = ir.Item(line, found, ir.Const(line, key[1]))
    return found


def kept(param: Node) -> bool:
    """Whether a parameter of a constructor is a field as well."""
    return any(child.type in ("accessibility_modifier", "override_modifier", "readonly") for child in param.children)


def checked_fields(param: Node, kind: str) -> Iterator[str]:
    """Fields of a class of this file, the type of a parameter, that hold no text of somebody else's choice."""
    root = param
    while root.parent is not None:
        root = root.parent
    for child in root.named_children:
        made = child.child_by_field_name("declaration") if child.type == "export_statement" else child
        if made is not None and made.type == "class_declaration" and text_of(made.child_by_field_name("name")) == kind:
            body = made.child_by_field_name("body")
            for field in body.named_children if body is not None else ():
                told = text_of(field.child_by_field_name("type")).lstrip(": ")
                if field.type == "public_field_definition" and (
                    _HARMLESS.match(told) or _CHECKED.search(text_of(field))
                ):
                    yield text_of(field.child_by_field_name("name"))


def filled(param: Node, name: str, kind: str) -> list[Any] | None:
    """The assignments for a parameter with decorators; None for one without."""
    value = decorated(param, kind)
    if value is None:
        return None
    line = line_of(param)
    made: list[Any] = [ir.Assign(line, (ir.Name(line, name),), value)]
    if not isinstance(value, ir.Other):
        made += [
            ir.Assign(line, (ir.Attr(line, ir.Name(line, name), field),), ir.Other(line, ()))
            for field in checked_fields(param, kind)
        ]
    return made


def given(function: ir.Function, number: int, path: str, member: str = "") -> ir.Function:
    """A function whose parameter of a number, or a member of it, is what stands at a place."""
    params = [param for param in function.params if param.name != "this"]
    if number >= len(params) or _HARMLESS.match(params[number].type):
        return function
    line, name = function.line, params[number].name
    if member:  # it alone: the other members are the framework's
        return function._replace(body=_replaced(function.body, name, member, place(path, line)))
    return function._replace(body=(ir.Assign(line, (ir.Name(line, name),), place(path, line)), *function.body))


def _replaced(node: Any, name: str, member: str, value: Any) -> Any:
    """A tree in which a member of a variable is another expression."""
    if isinstance(node, ir.Attr) and node.name == member and isinstance(node.of, ir.Name) and node.of.id == name:
        return value
    if not isinstance(node, tuple):
        return node
    parts = [_replaced(part, name, member, value) for part in node]
    return type(node)(*parts) if hasattr(node, "_fields") else tuple(parts)


def exported(function: ir.Function, *, default: bool, action: bool) -> ir.Function:
    """A function that a file exports, as the frameworks that know it by its name or place call it."""
    if action:  # a server action: the browser chooses what it gets
        for number in range(len(function.params)):
            function = given(function, number, "action.input")
        return function
    pattern = bool(function.params) and function.params[0].name == "@0"
    if _HANDLERS.match(function.name):
        if function.name == "getServerSideProps" and pattern:
            return given(function, 0, "ctx")
        if pattern:
            for member, path in (("request", "req"), ("params", "req.params"), ("url", "req.nextUrl")):
                function = given(function, 0, path, member)
        return given(function, 1, "req.params", "params")
    if pattern and function.name == "handler":
        return given(function, 0, "event")
    if default and pattern:
        for member in ("searchParams", "params"):
            function = given(function, 0, f"page.{member}", member)
    return function


def is_action(node: Node) -> bool:
    """Whether a file or the body of a function says that the browser may call it (`"use server"`)."""
    first = node.named_children[0] if node.named_children else None
    return first is not None and first.type == "expression_statement" and "use server" in text_of(first)[:14]


def called_back(call: Node, args: list[Any]) -> list[Any]:
    """The arguments of a call that hands functions to a framework, which get what the framework gives them."""
    func = call.child_by_field_name("function")
    if func is None or func.type != "member_expression" or not args:
        return args
    owner, method = func.child_by_field_name("object"), text_of(func.child_by_field_name("property"))
    first = args[0].value if isinstance(args[0], ir.Const) else None
    if method in ("query", "mutation", "subscription") and isinstance(args[-1], ir.Function) and owner is not None:
        return [*args[:-1], _procedure(owner, args[-1])]
    if _ROUTES.match(method) and isinstance(first, str) and first.startswith("/"):
        return [given(item, 0, "req") if isinstance(item, ir.Function) and _by_pattern(item) else item for item in args]
    listens = method in ("on", "addListener") and isinstance(first, str) and first not in _QUIET and len(args) == 2
    if listens and isinstance(args[1], ir.Function) and owner is not None and _SOCKET.match(text_of(owner)):
        return [args[0], given(args[1], 0, "message.data")]
    return args


def _by_pattern(function: ir.Function) -> bool:
    return bool(function.params) and function.params[0].name == "@0"


def _procedure(owner: Node, function: ir.Function) -> ir.Function:
    """A procedure of tRPC: its input is what the schema before it lets through."""
    text = text_of(owner)
    begin = text.rfind(".input(")
    if begin < 0:
        return function
    schema = text[begin:]
    if _NUMBERS.search(schema) and "z.object(" not in schema:
        return function
    line, name = function.line, "@input"
    made: list[Any] = [ir.Assign(line, (ir.Name(line, name),), place("trpc.input", line))]
    for key, kind in re.findall(r"(\w+)\s*:\s*((?:[^,{}()]|\([^()]*\))+)", schema):
        if _NUMBERS.search(kind):
            made.append(ir.Assign(line, (ir.Attr(line, ir.Name(line, name), key),), ir.Other(line, ())))
    found = given(function, 0, name, "input")
    return found._replace(body=(*made, *found.body))


def resolved(key: str, value: Any) -> Any:
    """An object of GraphQL's resolvers: the second parameter of each is what was asked with."""
    if key not in ("Query", "Mutation", "Subscription") or not isinstance(value, ir.Make):
        return value
    items = tuple(
        (name, given(item, 1, "graphql.args") if isinstance(item, ir.Function) and len(item.params) > 1 else item)
        for name, item in value.items
    )
    return value._replace(items=items)


def lets_all_in(key: str, value: Any) -> Any:
    """`origin: (origin, done) => done(null, origin)` lets in whoever asks, as `origin: true` does."""
    if key != "origin" or not isinstance(value, ir.Function) or len(value.params) != 2 or len(value.body) != 1:
        return value
    call = getattr(value.body[0], "value", None)
    asked, done = (param.name for param in value.params)
    if isinstance(call, ir.Call) and isinstance(call.func, ir.Name) and call.func.id == done and len(call.args) == 2:
        answer = call.args[1]
        if (isinstance(answer, ir.Name) and answer.id == asked) or getattr(answer, "value", None) is True:
            return ir.Const(value.line, True)
    return value
