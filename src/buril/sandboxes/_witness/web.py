"""What is known of packages that are not there: of Flask, Django, Jinja, YAML and XML as much as weaknesses turn on."""

from __future__ import annotations

import html
import json
import os
import re
from typing import Any
from urllib.parse import urljoin
from xml.etree import ElementTree

from buril.sandboxes._witness.scene import MARK, scene
from buril.sandboxes._witness.unknown import Unknown, note

_HOLE = re.compile(r"\{\{\s*(.+?)\s*\}\}")
_ENTITY = re.compile(r"<!ENTITY\s+(\w+)\s+SYSTEM\s+\"(?:file://)?([^\"]+)\"\s*>")


class Stop(Exception):
    """What `abort` raises: an answer with an error's number."""

    def __init__(self, code: int = 500, *more: object) -> None:
        super().__init__(code)
        self.code = code


class Markup(str):
    """Text that is markup already."""

    __slots__ = ()

    def format(self, *args: Any, **told: Any) -> Markup:
        """Filled with escaped values."""
        return Markup(str.format(self, *map(escape, args), **{name: escape(value) for name, value in told.items()}))

    def __mod__(self, values: Any) -> Markup:
        escaped = tuple(map(escape, values)) if isinstance(values, tuple) else escape(values)
        return Markup(str.__mod__(self, escaped))

    def __add__(self, other: Any) -> Markup:
        return Markup(str.__add__(self, escape(other)))

    def join(self, parts: Any) -> Markup:
        """Escaped parts, joined."""
        return Markup(str.join(self, map(escape, parts)))


def escape(value: Any) -> Markup:
    """Escaped, unless it is markup."""
    return value if isinstance(value, Markup) else Markup(html.escape(str(value)).replace("&#x27;", "&#39;"))


class Values(dict[str, Any]):
    """A request's values: any key that is asked for has one, unless the visitor is nobody."""

    def __missing__(self, key: str) -> Any:
        return scene.values[key]

    def get(self, key: str, default: Any = None, *more: Any, **told: Any) -> Any:
        """The value of a key."""
        return scene.values.get(key, default)

    def getlist(self, key: str) -> list[Any]:
        """All values of a key."""
        return [scene.values[key]] if key in scene.values else []

    def __contains__(self, key: object) -> bool:
        return key in scene.values


class Session(dict[str, Any]):
    """What is known of a visitor: everything is true of one who is logged in."""

    def __missing__(self, key: str) -> Any:
        if scene.session:
            return 1
        raise KeyError(key)

    def get(self, key: str, default: Any = None) -> Any:
        """What is known."""
        return dict.get(self, key, 1 if scene.session else default)

    def __contains__(self, key: object) -> bool:
        return bool(scene.session)


class Request(Unknown):
    """A request, of Flask's or Django's kind."""

    def __init__(self, name: str = "request") -> None:
        super().__init__(name)
        if name == "request":
            for one in (
                "args",
                "form",
                "values",
                "json",
                "headers",
                "cookies",
                "GET",
                "POST",
                "COOKIES",
                "META",
                "params",
            ):
                self.__dict__[one] = Values(scene.values)
            self.__dict__.update(host="shop.example", host_url="http://shop.example/", url_root="http://shop.example/")
            self.__dict__.update(method="POST", session=Session(), data=b"alpha", remote_addr="10.1.1.1", path="/page")
            self.__dict__.update(get_json=lambda *_more, **_told: Values(scene.values), get_host=lambda: "shop.example")
            self.__dict__.update(is_secure=lambda: False, body=b"alpha", scheme="http", user=Unknown("user"))


class Answer:
    """An answer: its text, its headers, its number."""

    def __init__(self, text: Any = "", status: Any = 200, headers: Any = None, **told: Any) -> None:
        self.data, self.status, self.headers = text, status, dict(headers or {})
        self.kind = told.get("mimetype") or told.get("content_type")

    def set_cookie(self, *args: Any, **told: Any) -> None:
        """Note a cookie."""
        for name in ("secure", "httponly", "samesite"):
            scene.say("set_cookie", name, told.get(name))
        note("set_cookie", args, told)

    def __setitem__(self, key: str, value: Any) -> None:
        self.headers[key] = value


class Redirect(Answer):
    """An answer that leads elsewhere."""

    def __init__(self, address: Any, *more: Any, **told: Any) -> None:
        super().__init__("", 302, {"Location": urljoin("http://shop.example/", str(address))})


def _sent(folder: Any, name: Any = None, **told: Any) -> Answer:
    path = str(os.fspath(folder)) if name is None else _within(folder, name)
    if path is None:
        raise Stop(404)
    with open(path, "rb") as stream:  # noqa: PTH123  what a caller wraps
        return Answer(stream.read().decode("utf-8", "replace"))


def _within(folder: Any, *names: Any) -> str | None:
    """Werkzeug's `safe_join`: a path below the folder, or None."""
    path = str(os.fspath(folder))
    for name in names:
        plain = os.path.normpath(name) if name else name
        if os.path.isabs(plain) or plain == ".." or plain.startswith("../"):  # noqa: PTH117  as the original does
            return None
        path = os.path.join(path, plain)  # noqa: PTH118  as the original does
    return path


def _rendered(text: str, told: dict[str, Any], *, escaped: bool) -> str:
    """A template of variables and sums; Jinja's other words are left as they are."""

    def value(found: re.Match[str]) -> str:
        name, _bar, how = (part.strip() for part in found[1].partition("|"))
        if re.fullmatch(r"\d+ ?\* ?\d+", name):
            one, other = name.split("*")
            return str(int(one) * int(other))
        if name not in told:
            return ""
        if how == "safe":
            return str(told[name])
        return str(escape(told[name])) if escaped or how in ("e", "escape") else str(told[name])

    return _HOLE.sub(value, str(text))


class Environment:
    """Jinja's: what it makes of templates depends on `autoescape`."""

    def __init__(self, **told: Any) -> None:
        self.escaped = bool(told.get("autoescape"))
        self.loader = told.get("loader")

    def from_string(self, text: str) -> Template:
        """A template of a text."""
        return Template(text, autoescape=self.escaped)

    def get_template(self, name: str) -> Template:
        """A template by name, which says all that it is told."""
        mapping = getattr(self.loader, "mapping", None)
        return self.from_string(
            mapping[name] if isinstance(mapping, dict) else "{{ " + " }}{{ ".join(scene.values) + " }}"
        )


class Loader:
    """Templates by name, from a dictionary."""

    def __init__(self, mapping: Any = None, *more: Any) -> None:
        self.mapping = mapping


class Template:
    """A template."""

    def __init__(self, text: str, autoescape: bool = False, **_told: Any) -> None:
        self._text, self._escaped = text, autoescape

    def render(self, *given: Any, **told: Any) -> str:
        """Its text with values."""
        return _rendered(
            self._text, {**(given[0] if given and isinstance(given[0], dict) else {}), **told}, escaped=self._escaped
        )


def _yaml(*, safe: bool) -> Any:
    def load(stream: Any, Loader: Any = None, **told: Any) -> Any:
        text = stream.read() if hasattr(stream, "read") else stream
        text = text.decode() if isinstance(text, bytes) else str(text)
        careful = safe or "Safe" in str(Loader) or "Base" in str(Loader)
        scene.say("yaml", "safe", careful)
        if "!!python" in text:
            if careful:
                raise ValueError("could not determine a constructor")
            os.mkdir(MARK)  # noqa: PTH102  what the text says
            return None
        return json.loads(text)

    return load


class Parser:
    """The parser of lxml: whether it puts in what entities name."""

    def __init__(self, **told: Any) -> None:
        self.resolves = told.get("resolve_entities", True)


def _tree(text: Any, parser: Any = None, **_told: Any) -> Any:
    text = text.decode() if isinstance(text, bytes) else str(text)
    resolves = getattr(parser, "resolves", True)
    for name, path in _ENTITY.findall(text):
        with open(path, encoding="utf-8", errors="replace") as stream:  # noqa: PTH123  what a caller wraps
            text = text.replace(f"&{name};", stream.read() if resolves else "")
    return ElementTree.fromstring(_ENTITY.sub("", text))  # noqa: S314  in the jail


def _parsed(source: Any, parser: Any = None, **told: Any) -> Any:
    if not hasattr(source, "read"):
        with open(source, "rb") as stream:  # noqa: PTH123  as above
            return ElementTree.ElementTree(_tree(stream.read(), parser))
    return ElementTree.ElementTree(_tree(source.read(), parser))


def _defused(way: Any) -> Any:
    def parse(source: Any, *more: Any, **told: Any) -> Any:
        text = source
        if way is ElementTree.parse:
            if hasattr(source, "read"):
                text = source.read()
                source.seek(0)
            else:
                with open(source, "rb") as stream:  # noqa: PTH123  as above
                    text = stream.read()
        raw = text if isinstance(text, bytes) else str(text).encode()
        if b"<!ENTITY" in raw:
            raise type("EntitiesForbidden", (ValueError,), {})("an entity")
        return way(source)

    return parse


def _secure_filename(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9_.-]", "", "_".join(os.path.normpath("/" + name).replace("/", " ").split())).strip("._")


def _stop(code: int = 500, *_more: object, **_told: object) -> None:
    raise Stop(code)


def _page(name: Any, **told: Any) -> Answer:
    """A page by its name, and the values that a template of it would show escaped."""
    return Answer([name, {key: str(escape(value)) for key, value in told.items()}])


def modules() -> dict[str, dict[str, Any]]:
    """What is known, by the name of a module."""
    marks = {"escape": escape, "Markup": Markup}
    return {
        "flask": _flask(marks),
        "markupsafe": marks,
        **_django(marks),
        "werkzeug.utils": {"secure_filename": _secure_filename, "safe_join": _within, "redirect": Redirect},
        "werkzeug.security": {"safe_join": _within},
        "jinja2": {
            "Environment": Environment,
            "Template": Template,
            **dict.fromkeys(("DictLoader", "FileSystemLoader", "BaseLoader"), Loader),
            "select_autoescape": lambda *_args, **_told: True,
            **marks,
        },
        "yaml": {
            "safe_load": _yaml(safe=True),
            **dict.fromkeys(("load", "unsafe_load", "full_load"), _yaml(safe=False)),
        },
        "lxml.etree": {"XMLParser": Parser, **dict.fromkeys(("fromstring", "XML"), _tree), "parse": _parsed},
        "defusedxml.ElementTree": {
            **dict.fromkeys(("fromstring", "XML"), _defused(ElementTree.fromstring)),
            "parse": _defused(ElementTree.parse),
            "ParseError": ElementTree.ParseError,
        },
        **dict.fromkeys(("sqlalchemy", "sqlalchemy.sql"), {"text": str}),
    }


def _answer(*args: Any, **told: Any) -> Answer:
    return Answer(*args, **told)


def _django(marks: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {
        "django.http": {
            **dict.fromkeys(("HttpResponse", "JsonResponse", "FileResponse"), Answer),
            "HttpResponseRedirect": Redirect,
        },
        "django.utils.safestring": dict.fromkeys(("mark_safe", "SafeString"), Markup),
        "django.shortcuts": {
            "redirect": Redirect,
            "render": lambda _request, name, told=None: _page(name, **(told or {})),
        },
        "django.utils.html": {**marks, "format_html": lambda text, *args, **told: Markup(text).format(*args, **told)},
    }


def _flask(marks: dict[str, Any]) -> dict[str, Any]:
    return {
        "request": Request(),
        "session": Session(),
        "redirect": Redirect,
        "abort": _stop,
        "send_file": _sent,
        "send_from_directory": _sent,
        "make_response": _answer,
        "Response": Answer,
        "jsonify": lambda *args, **told: Answer(args[0] if args else told),
        "render_template_string": lambda text, **told: _rendered(text, told, escaped=True),
        "render_template": _page,
        "url_for": lambda name, **_told: "/" + name,
        **marks,
    }
