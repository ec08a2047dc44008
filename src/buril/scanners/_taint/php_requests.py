"""Requests of PHP's frameworks: however one asks for a field, it is the same element of `request.input`.

`$request->name`, `$request->get("name")`, `$request->query->get("name")`, `request("name")` and
`$this->input->post("name")` name one input, so that what a test says of it holds for all. What rules of a validation
allow is told to the engine as checked (`@checked`).
"""

from __future__ import annotations

import re
from typing import Any

from buril.scanners._taint import ir
from buril.scanners._taint.php_names import REQUEST, SCOPE, call

_FIELDS = frozenset(
    ["input", "get", "query", "post", "string", "str", "old", "json", "getPost", "getGet", "getVar", "getPostGet",
     "getGetPost", "getQuery", "getData", "getParam", "get_param", "getBodyParam", "getQueryParam",
     "getParsedBodyParam",
     "get_post", "post_get", "getRawInputVar", "fromQuery", "fromPost", "fromRoute", "put", "getPut"]
)  # fmt: skip
"""Methods that give one field, or all where none is named."""
_WHOLE = frozenset(
    ["all", "getParsedBody", "getQueryParams", "get_params", "get_json_params", "get_body_params", "get_query_params",
     "toArray", "getParams", "getJSON", "getRawInput", "getBodyParams", "keys", "collect", "getJsonRawBody", "payload"]
)  # fmt: skip
_BAGS = {
    "query": "input", "request": "input", "get": "input", "post": "input", "data": "input", "params": "input",
    "queryParams": "input", "bodyParams": "input", "headers": "header", "header": "header", "cookies": "cookie",
    "cookie": "cookie", "files": "files", "attributes": "", "server": "", "session": "", "user": "",
}  # fmt: skip
_OTHERS = {
    "header": "header", "getHeader": "header", "getHeaderLine": "header", "get_header": "header", "cookie": "cookie",
    "getCookie": "cookie", "file": "files", "getFile": "files", "hasHeader": "", "getCookieParams": "cookie",
    "getUploadedFiles": "files", "allFiles": "files", "getFiles": "files", "getCookies": "cookie",
    "getHeaders": "header", "headers": "header", "bearerToken": "header",
}  # fmt: skip
_SAFE = re.compile(
    r"(?:^|\|)(?:int|integer|numeric|digits|digits_between|decimal|boolean|bool|uuid|ulid|alpha|alpha_num|alpha_dash|"
    r"alpha_numeric|is_natural|is_natural_no_zero|is_unique|in:|in_list|date|date_format|ip|ipv4|ipv6|timezone|exists|"
    r"mac_address|enum|hex_color|accepted|image|mimes|mimetypes|ext_in|is_image|regex:/\^[^.]*\$/|regex_match\[/\^[^.]*\$/)"
)  # fmt: skip
_RULES = frozenset(["Rule.in", "Rule.enum", "Enum", "Rule.exists", "File.image", "File.types", "Password.min"])
_REQUESTS = frozenset({"request", "_request"})


def is_request(of: Any) -> bool:
    """Whether an expression is the request that is being answered."""
    if isinstance(of, ir.Name):
        return of.id in SCOPE.requests or of.id == REQUEST
    if isinstance(of, ir.Attr):
        return of.name.lstrip("$") in _REQUESTS and not is_request(of.of)
    if isinstance(of, ir.Call) and isinstance(of.func, ir.Attr):
        return of.func.name in ("getRequest", "getCurrentRequest", "getHttpRequest", "request")
    return False


def _is_input(of: Any) -> bool:
    """`$this->input` of CodeIgniter, `$app->input` of Joomla."""
    return isinstance(of, ir.Attr) and of.name == "$input"


def place(line: int, name: str) -> Any:
    """A part of the request: its fields (`input`), headers, cookies or files."""
    return ir.Attr(line, ir.Name(line, REQUEST), name)


def field(line: int, name: str, args: list[Any]) -> Any:
    """A field of a part, or all of it where no name is given."""
    if not args:
        return place(line, name)
    found = ir.Item(line, place(line, name), args[0])
    second = args[1] if len(args) > 1 else None
    return found if second is None or isinstance(second, ir.Const) else ir.Logic(line, "or", found, second)


def member(line: int, of: Any, name: str) -> Any:
    """A member of a request; None where it is none of one."""
    if not is_request(of):
        return None
    if name in _BAGS:
        return place(line, _BAGS[name]) if _BAGS[name] else ir.Name(line, "@server")
    return ir.Item(line, place(line, "input"), ir.Const(line, name))


def method(line: int, of: Any, name: str, args: list[Any]) -> Any:
    """A call of a method of a request, or of one of its parts; None where it is none of one."""
    if isinstance(of, ir.Attr) and isinstance(of.of, ir.Name) and of.of.id == REQUEST and not of.name.startswith("$"):
        if name in ("get", "all", "getAlpha", "toArray"):
            return field(line, of.name, args) if name != "getAlpha" else ir.Name(line, "@number")
        return (
            ir.Name(line, "@number")
            if re.match(r"^(getInt|getDigits|getAlnum|getBoolean|getEnum|has)$", name)
            else None
        )
    if name == "validate" and args:
        made = rules_of(args[-1] if len(args) < 3 and isinstance(args[-1], ir.Make) else args[min(1, len(args) - 1)])
        if made is not None:
            return made
    if _is_input(of) and (name in _FIELDS or name in ("cookie", "getString", "server", "request_headers", "getCmd")):
        return field(line, "input", args[:1] if name != "server" else args)
    if name in ("fromQuery", "fromPost", "fromRoute"):
        return field(line, "input", args)
    return _of_request(line, name, args) if is_request(of) else None


def _of_request(line: int, name: str, args: list[Any]) -> Any:
    if name in _FIELDS:
        return field(line, "input", args)
    if name in _WHOLE:
        return place(line, "input")
    if name in _OTHERS:
        return field(line, _OTHERS[name], args) if _OTHERS[name] else ir.Name(line, "@number")
    if name == "only" and args:
        keys = [item for _key, item in args[0].items] if isinstance(args[0], ir.Make) else args
        return ir.Make(line, "dict", tuple((key, ir.Item(line, place(line, "input"), key)) for key in keys))
    return None


def helper(line: int, name: str, args: list[Any]) -> Any:
    """Functions that give the request or a field of it: `request("name")`, `filter_input(INPUT_GET, "name")`."""
    if name in ("request", "requests") and not args:
        return ir.Name(line, REQUEST)
    if name in ("request", "input", "old", "get_query_var") and args:
        return field(line, "input", args) if name != "input" or isinstance(args[0], ir.Const) else None
    return None


def static(line: int, of: str, name: str, args: list[Any]) -> Any:
    """`Request::input("name")`, `Input::get("name")`, `Validator::make($data, $rules)`."""
    if of == "Validator" and name in ("make", "validate") and len(args) > 1:
        return rules_of(args[1])
    if of in ("Request", "Input", "RequestFacade") and name not in ("create", "createFromGlobals", "capture"):
        return _of_request(line, name, args)
    if (of, name) in (("Request", "createFromGlobals"), ("Request", "capture"), ("Drupal", "request")):
        return ir.Name(line, REQUEST)
    return None


def rules_of(rules: Any) -> Any:
    """What a validation gives: the fields it names; those that its rules leave harmless are checked by it."""
    if not isinstance(rules, ir.Make) or rules.kind != "dict":
        return None
    line, checked, items = rules.line, [], []
    for key, rule in rules.items:
        if not isinstance(key, ir.Const):
            continue
        found = ir.Item(line, place(line, "input"), key)
        if _leaves_harmless(rule):
            checked += [call(line, "@checked", found), call(line, "@checked", ir.Item(line, place(line, "files"), key))]
        items.append((key, found))
    return ir.Other(line, (*checked, ir.Make(line, "dict", tuple(items))))


def _leaves_harmless(rule: Any) -> bool:
    if isinstance(rule, ir.Const):
        return _SAFE.search(str(rule.value)) is not None
    if isinstance(rule, ir.Make):
        return any(_leaves_harmless(item) for _key, item in rule.items)
    if isinstance(rule, ir.Text):
        return _leaves_harmless(rule.parts[0])
    if isinstance(rule, ir.Call) and isinstance(rule.func, ir.Attr):
        return _leaves_harmless(rule.func.of)
    return isinstance(rule, ir.Call) and isinstance(rule.func, ir.Name) and rule.func.id in _RULES
