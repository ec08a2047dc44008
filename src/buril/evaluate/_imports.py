"""Imports that a completion leaves out, added as an editor adds them.

A function that is asked for alone can't begin its file, so that a model that means `secrets.choice` has no place to
import it. Without this a program would fail for a reason that says nothing about it, and scanners, which know calls by
what is imported, would not see what it calls.
"""

from __future__ import annotations

import ast
import builtins

_MODULES = frozenset((
    "argparse", "ast", "base64", "binascii", "bisect", "bz2", "calendar", "codecs", "collections", "contextlib",
    "copy", "csv", "ctypes", "dataclasses", "datetime", "decimal", "email", "enum", "fnmatch", "fractions", "ftplib",
    "functools", "getpass", "glob", "gzip", "hashlib", "heapq", "hmac", "html", "http", "imaplib", "io", "ipaddress",
    "itertools", "json", "linecache", "logging", "lzma", "marshal", "math", "mimetypes", "operator", "os", "pathlib",
    "pickle", "pickletools", "platform", "posixpath", "pprint", "queue", "random", "re", "secrets", "select",
    "shelve", "shlex", "shutil", "signal", "smtplib", "socket", "sqlite3", "ssl", "stat", "statistics", "string",
    "struct", "subprocess", "sys", "tarfile", "telnetlib", "tempfile", "textwrap", "threading", "time", "traceback",
    "types", "typing", "unicodedata", "urllib", "uuid", "warnings", "weakref", "xml", "xmlrpc", "zipfile", "zlib",
))  # fmt: skip
_WHOLE = {
    "urllib": "import urllib.error, urllib.parse, urllib.request",
    "xml": "import xml.dom.minidom, xml.etree.ElementTree, xml.sax, xml.sax.handler",
    "http": "import http.client, http.cookies",
    "email": "import email.message",
}
_NAMES = {
    "Path": "from pathlib import Path",
    "Decimal": "from decimal import Decimal",
    "ET": "import xml.etree.ElementTree as ET",
    "ElementTree": "from xml.etree import ElementTree",
    "Counter": "from collections import Counter",
    "OrderedDict": "from collections import OrderedDict",
    "defaultdict": "from collections import defaultdict",
    "escape": "from html import escape",
    "quote": "from urllib.parse import quote",
    "unquote": "from urllib.parse import unquote",
    "urlencode": "from urllib.parse import urlencode",
    "urljoin": "from urllib.parse import urljoin",
    "urlparse": "from urllib.parse import urlparse",
    "urlsplit": "from urllib.parse import urlsplit",
    "urlopen": "from urllib.request import urlopen",
    "uuid4": "from uuid import uuid4",
    "BytesIO": "from io import BytesIO",
    "StringIO": "from io import StringIO",
    "NamedTemporaryFile": "from tempfile import NamedTemporaryFile",
    "compare_digest": "from hmac import compare_digest",
    "sha256": "from hashlib import sha256",
    "parseString": "from xml.dom.minidom import parseString",
    "ZipFile": "from zipfile import ZipFile",
    "Any": "from typing import Any",
    "Dict": "from typing import Dict",
    "List": "from typing import List",
    "Optional": "from typing import Optional",
}


def imports_for(program: str) -> str:
    """Lines that import what a program of Python uses and nowhere binds; "" for one that is no Python.

    Only modules of the standard library and names that stand for one thing there are known.

    Example:
        `imports_for("f = secrets.token_hex")` → "import secrets" and a line break
    """
    try:
        tree = ast.parse(program)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return ""
    used = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)}
    missing = used - _bound(tree) - set(dir(builtins))
    lines = [_WHOLE.get(name, f"import {name}") for name in sorted(missing & _MODULES)]
    if "datetime" in missing and not _has_module_form(tree):
        lines[lines.index("import datetime")] = "from datetime import datetime"
    lines += [_NAMES[name] for name in sorted(missing & _NAMES.keys())]
    return "".join(f"{line}\n" for line in lines)


def _bound(tree: ast.AST) -> set[str]:
    """Every name that is bound anywhere: in doubt nothing is added."""
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
            found.add(node.id)
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            found.add(node.name)
        elif isinstance(node, ast.arg):
            found.add(node.arg)
        elif isinstance(node, ast.alias):
            found.add((node.asname or node.name).partition(".")[0])
        elif isinstance(node, ast.ExceptHandler) and node.name:
            found.add(node.name)
    return found


def _has_module_form(tree: ast.AST) -> bool:
    """Whether `datetime.datetime` and the like stand in a program: then the name is the module's."""
    parts = ("datetime", "timedelta", "timezone")
    return any(
        isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and node.value.id == "datetime"
        and node.attr in parts
        for node in ast.walk(tree)
    )
