"""Templates of pairs: every form parses, and those that run do the same when nobody attacks, and not when somebody does."""

from __future__ import annotations

import ast
import builtins
import bz2
import contextlib
import hashlib
import hmac
import io
import json
import logging
import os
import pickle
import random
import re
import shutil
import sqlite3
import stat
import subprocess
import sys
import tarfile
import time
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import pytest

from buril.code.parse import parse
from buril.data.pairing._template import Template, read, templates
from buril.data.pairing.templates import Templates, filled

EVERY = {one.name: one for one in templates()}
Call = Callable[..., Any]
FLAG = "buril-was-here"


class Case(NamedTuple):
    """How a function is called: `usual` gives what it does, `attack` whether harm was done (an exception is none)."""

    usual: Callable[[Call, Path], Any]
    attack: Callable[[Call, Path], Any]


class Harm:
    """Makes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = str(path)

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (self.path,)


class Watched(str):
    """A text that notes when it is compared as a whole."""

    seen = 0

    def __eq__(self, other: object) -> bool:
        Watched.seen += 1
        return str.__eq__(self, other)

    __hash__ = str.__hash__


def database(*statements: str) -> sqlite3.Connection:
    db = sqlite3.connect(":memory:")
    for statement in statements:
        db.execute(statement)
    return db


def rows(db: sqlite3.Connection, table: str) -> list[Any]:
    return db.execute(f"SELECT * FROM {table} ORDER BY 1, 2").fetchall()


def on(statements: tuple[str, ...], table: str, usual: tuple[Any, ...], attack: tuple[Any, ...]) -> Case:
    """A function of SQL: what it returns and leaves in a table, and what it leaves when attacked is not as if nothing."""

    def run(call: Call, arguments: tuple[Any, ...]) -> Any:
        db = database(*statements)
        return call(db, *arguments), rows(db, table)

    def attacked(call: Call, place: Path) -> bool:
        found, left = run(call, attack)
        return bool(found) or left != rows(database(*statements), table)

    return Case(lambda call, place: run(call, usual), attacked)


def shell(usual: tuple[Any, ...], attack: tuple[Any, ...]) -> Case:
    """A function that starts a program: with what words, and whether a text in them made a file."""

    def programs(place: Path) -> Path:
        folder = place / "bin"
        folder.mkdir(exist_ok=True)
        for name in ("convert", "grep", "git", "file", "tar", "dig"):
            (folder / name).write_text('#!/bin/sh\nprintf "%s\\n" "$0" "$@" >> words\necho done\n')
            (folder / name).chmod(0o755)
        return folder

    def run(call: Call, place: Path, arguments: tuple[Any, ...]) -> Any:
        before, path = Path.cwd(), os.environ["PATH"]
        os.environ["PATH"] = f"{programs(place)}:{path}"
        os.chdir(place)
        try:
            found = call(*arguments)
            given = Path("words").read_text().splitlines() if Path("words").exists() else []
            return found, [word for word in given if word != "--"]
        finally:
            os.environ["PATH"] = path
            os.chdir(before)

    def attacked(call: Call, place: Path) -> bool:
        with contextlib.suppress(OSError, subprocess.SubprocessError):
            run(call, place, attack)
        return (place / FLAG).exists()

    return Case(lambda call, place: run(call, place, usual), attacked)


def guessed(call: Call, *arguments: Any) -> bool:
    """Whether what a function draws is the same again, or the time."""
    random.seed(11)
    first = call(*arguments)
    random.seed(11)
    return bool(first == call(*arguments)) or (
        isinstance(first, str) and first.isdigit() and abs(int(first) / 1000 - time.time()) < 10
    )


def tree(place: Path) -> Path:
    """A folder with a file in it, and a secret beside it."""
    (place / "in").mkdir()
    (place / "in" / "a.txt").write_text("inside")
    (place / "secret.txt").write_text("outside it is")
    return place / "in"


def open_to_others(path: Path) -> bool:
    return bool(stat.S_IMODE(path.stat().st_mode) & 0o077)


def took(call: Call, *arguments: Any) -> float:
    """Seconds of the processor."""
    start = time.process_time()
    call(*arguments)
    return time.process_time() - start


def web(call: Call, address: str) -> list[str]:
    """The addresses that a function asks for."""
    asked: list[str] = []

    def get(address: str, **_told: Any) -> Any:
        asked.append(address)
        return SimpleNamespace(text="answer", content=b"answer")

    module = types.ModuleType("requests")
    module.get = get  # type: ignore[attr-defined]
    before = sys.modules.get("requests")
    sys.modules["requests"] = module
    try:
        call(address)
    finally:
        sys.modules.pop("requests")
        if before is not None:
            sys.modules["requests"] = before
    return asked


def either(call: Call, first: Callable[[], Any], second: Callable[[], Any]) -> Any:
    """What a function makes of one of two forms of the same content."""
    try:
        return call(first())
    except (ValueError, pickle.UnpicklingError):
        return call(second())


def archive(place: Path) -> tarfile.TarFile:
    path = place / "a.tar"
    (place / "to").mkdir()
    with tarfile.open(path, "w") as stream:
        for name in ("plain.txt", f"../{FLAG}"):
            info = tarfile.TarInfo(name)
            info.size = 2
            stream.addfile(info, io.BytesIO(b"ok"))
    return tarfile.open(path)


def with_environment(name: str, value: str, call: Call, *arguments: Any) -> Any:
    os.environ[name] = value
    try:
        return call(*arguments)
    finally:
        del os.environ[name]


def logged(call: Call, form: dict[str, str]) -> str:
    stream = io.StringIO()
    log = logging.getLogger("a-test-of-templates")
    handler = logging.StreamHandler(stream)
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    call(log, form)
    log.removeHandler(handler)
    return stream.getvalue()


def cookie(call: Call) -> dict[str, Any]:
    told: dict[str, Any] = {}
    call(SimpleNamespace(set_cookie=lambda *names, **flags: told.update(flags, names=names)), "abc")
    return told


class Machine:
    """A machine with two methods that may be called and one that may not."""

    def __init__(self) -> None:
        self.broken = False

    def add(self) -> str:
        return "added"

    def remove(self) -> str:
        return "removed"

    def destroy(self) -> None:
        self.broken = True


def destroyed(call: Call, place: Path) -> bool:
    machine = Machine()
    with contextlib.suppress(ValueError):
        call(machine, "destroy")
    return machine.broken


def kept(call: Call, place: Path) -> list[str]:
    call(place / "words", ["one", "two"])
    return (place / "words").read_text().splitlines()


_INVOICES = ("CREATE TABLE invoices (reference, total)", "INSERT INTO invoices VALUES ('A1', 3), ('B2', 4)")
_PAYMENTS = (
    "CREATE TABLE payments (created, amount)",
    "INSERT INTO payments VALUES ('2024-01-05', 3), ('2023-01-05', 4)",
)
_PROJECTS = ("CREATE TABLE projects (id, title)", "INSERT INTO projects VALUES (1, 'a'), (2, 'b')")
_SESSIONS = ("CREATE TABLE sessions (id, owner)", "INSERT INTO sessions VALUES (1, 'ann'), (2, 'ben')")
_VISITORS = (
    "CREATE TABLE visitors (name, value)", "CREATE TABLE old_visitors (name, value)",
    "INSERT INTO visitors VALUES ('ann', 1), ('ben', 2)",
)  # fmt: skip
_ARTICLES = ("CREATE TABLE articles (id, name)", "INSERT INTO articles VALUES (1, 'a'), (2, 'b'), (3, 'c')")
_PRODUCTS = ("CREATE TABLE products (id, name)", "INSERT INTO products VALUES (1, 'b'), (2, 'a'), (3, 'c')")
_BOOKINGS = ("CREATE TABLE bookings (id, user_id)", "INSERT INTO bookings VALUES (1, 7), (2, 8)")
_PERSON = {"name": "Ann", "city": "Lima", "email": "a@b.example", "phone": "1", "rating": 5}
_OR = "x' OR '1'='1"

CASES: dict[str, Case] = {
    "rows-by-column": on(_INVOICES, "invoices", ("A1",), (_OR,)),
    "count-between": on(_PAYMENTS, "payments", ("2024-01-01", "2024-02-01"), ("z", _OR)),
    "rename-row": on(_PROJECTS, "projects", (1, "new"), (9, "x' WHERE id = 2 --")),
    "remove-rows": on(_SESSIONS, "sessions", ("ann",), (_OR,)),
    "insert-record": on(_VISITORS, "old_visitors", ("ann",), (_OR,)),
    "many-ids": on(_ARTICLES, "articles", ([1, 3],), (["0) OR (1=1"],)),
    "ordered-page": on(_PRODUCTS, "products", ("name", True, 2), ("(SELECT 1)", False, 2)),
    "cancel-own": on(_BOOKINGS, "bookings", (7, 1), (7, 2)),
    "convert-file": shell(("a.png", "b.png"), (f"a; mkdir {FLAG};", "b")),
    "search-text": shell(("word", "log"), (f"'; mkdir {FLAG}; '", f"log; mkdir {FLAG}")),
    "clone-repository": shell(("git://a", "main", "b"), ("git://a", f"main; mkdir {FLAG};", "b")),
    "file-type": shell(("a",), (f"a; mkdir {FLAG}",)),
    "compress-folder": shell(("in", "out.tgz"), (f"in; mkdir {FLAG};", "out.tgz")),
    "name-lookup": shell(("example.org",), (f"example.org; mkdir {FLAG}",)),
    "parse-literal": Case(
        lambda call, place: call("{'a': [1, 2.5, 'b']}"),
        lambda call, place: call(f"__import__('os').mkdir({str(place / FLAG)!r})") or (place / FLAG).exists(),
    ),
    "dispatch-operation": Case(lambda call, place: call(Machine(), "add"), destroyed),
    "sort-key": Case(
        lambda call, place: call([{"age": 3}, {"age": 1}], "age"),
        lambda call, place: (
            call([{"age": 3}], f"age'] or __import__('os').mkdir({str(place / FLAG)!r}) or item['age")
            or (place / FLAG).exists()
        ),
    ),
    "unit-price": Case(
        lambda call, place: [float(call(10, rule)) for rule in ("+5", "-5", "*5")],
        lambda call, place: call(10, "+len('ab')"),
    ),
    "greeting-page": Case(lambda call, place: call("Ann", "Lima"), lambda call, place: "<b>" in call("<b>", "Lima")),
    "table-rows": Case(lambda call, place: call([["a", 1], ["b", 2]]), lambda call, place: "<b>" in call([["<b>"]])),
    "attribute-value": Case(
        lambda call, place: call("q", "word"), lambda call, place: 'x" onfocus="' in call("q", 'x" onfocus="y')
    ),
    "ldap-group": Case(lambda call, place: call("abc"), lambda call, place: "=*)(" in call("*)(uid=*")),
    "xpath-variable": Case(
        lambda call, place: [item.get("n") for item in call(books(), "ann")],
        lambda call, place: call(books(), "x' or '1'='1"),
    ),
    "log-search": Case(
        kept, lambda call, place: call(place / "w", ["a\nadmin"]) or "\nadmin" in (place / "w").read_text()
    ),
    "cookie-line": Case(lambda call, place: call("en"), lambda call, place: "\r\n" in call("en\r\nSet-Cookie: a=b")),
    "mail-subject": Case(
        lambda call, place: call("a@b", "c@d", "hi"),
        lambda call, place: "\r\nBcc" in call("a@b", "c@d", "hi\r\nBcc: e@f"),
    ),
    "sheet-cell": Case(
        lambda call, place: call([{"name": "Ann", "comment": "good"}]),
        lambda call, place: call([{"name": "=1+1", "comment": ""}]).startswith("="),
    ),
    "message-format": Case(
        lambda call, place: call("{year}-{title}", 2024, SimpleNamespace(title="sea")),
        lambda call, place: "SimpleNamespace" in call("{photo.__class__}", 2024, SimpleNamespace(title="sea")),
    ),
    "picture-path": Case(
        lambda call, place: call(tree(place), "a.txt"), lambda call, place: call(tree(place), "../secret.txt")
    ),
    "remove-attachment": Case(
        lambda call, place: (call(tree(place), "a.txt"), call(place / "in", "none"), list((place / "in").iterdir())),
        lambda call, place: call(tree(place), "../secret.txt"),
    ),
    "store-document": Case(
        lambda call, place: (call(str(tree(place)), "a.txt", "more"), (place / "in" / "a.txt").read_text()),
        lambda call, place: (
            call(str(tree(place)), "../secret.txt", "more") or "more" in (place / "secret.txt").read_text()
        ),
    ),
    "list-below": Case(lambda call, place: call(place, tree(place).name), lambda call, place: call(tree(place), "..")),
    "extract-tar": Case(
        lambda call, place: (call(archive(place), "plain.txt", place / "to"), (place / "to" / "plain.txt").read_text()),
        lambda call, place: call(archive(place), f"../{FLAG}", place / "to") or (place / FLAG).exists(),
    ),
    "work-file": Case(
        lambda call, place: call(["cat"], "some text"),
        lambda call, place: call(["stat", "-c", "%a"], "some text").strip() != "600",
    ),
    "secret-file": Case(
        lambda call, place: (call(place / "f", {"a": "b"}), json.loads((place / "f").read_text())),
        lambda call, place: call(place / "f", {"a": "b"}) or open_to_others(place / "f"),
    ),
    "socket-folder": Case(
        lambda call, place: (call(place / "d"), call(place / "d"), (place / "d").is_dir()),
        lambda call, place: call(place / "d") and open_to_others(place / "d"),
    ),
    "load-state": Case(
        lambda call, place: either(call, lambda: json.dumps([1, "a"]).encode(), lambda: pickle.dumps([1, "a"])),
        lambda call, place: call(pickle.dumps(Harm(place / FLAG))) or (place / FLAG).exists(),
    ),
    "cached-answer": Case(
        lambda call, place: [call(place / "c", lambda: {"a": 1}), call(place / "c", lambda: {"a": 2})],
        lambda call, place: (
            (place / "c").write_bytes(pickle.dumps(Harm(place / FLAG)))
            and (call(place / "c", dict) or (place / FLAG).exists())
        ),
    ),
    "read-yaml": Case(
        lambda call, place: (place / "y").write_text("a: [1, b]") and call(place / "y"),
        lambda call, place: (
            (place / "y").write_text(f"!!python/object/apply:os.mkdir [{place / FLAG}]")
            and (call(place / "y") or (place / FLAG).exists())
        ),
    ),
    "feed-titles": Case(
        lambda call, place: call(b"<feed><title>a</title><title>b</title></feed>"),
        lambda call, place: (
            "outside"
            in str(
                call(
                    f'<!DOCTYPE f [<!ENTITY e SYSTEM "file://{tree(place).parent}/secret.txt">]><f><title>&e;</title></f>'.encode()
                )
            )
        ),
    ),
    "entity-bomb": Case(
        lambda call, place: call("<menu><soup/><fish/></menu>"),
        lambda call, place: call('<!DOCTYPE m [<!ENTITY a "aa"><!ENTITY b "&a;&a;">]><m><c>&b;</c></m>'),
    ),
    "upload-suffix": Case(
        lambda call, place: [call("a.png"), call("b.JPG"), call("c.gif")], lambda call, place: call("shell.php")
    ),
    "body-limit": Case(
        lambda call, place: call(io.BytesIO(b"abc"), 2), lambda call, place: call(io.BytesIO(b"abc"), 10**9)
    ),
    "inflate": Case(
        lambda call, place: call(bz2.compress(b"a\nb\nc\n")), lambda call, place: call(bz2.compress(b"a\n" * 600_000))
    ),
    "invitation-code": Case(
        lambda call, place: [len(part) for part in call().split("-")], lambda call, place: guessed(call)
    ),
    "session-id": Case(lambda call, place: type(call()), lambda call, place: guessed(call)),
    "api-key": Case(
        lambda call, place: (call("ann")["client"], len(call("ann")["key"])), lambda call, place: guessed(call, "ann")
    ),
    "one-time-pin": Case(lambda call, place: (len(set(call())), max(call()) < 40), lambda call, place: guessed(call)),
    "draw-winner": Case(lambda call, place: call(["a"]), lambda call, place: guessed(call, list(range(10_000)))),
    "hash-password": Case(
        lambda call, place: [type(part) for part in call("a-password")], lambda call, place: fast(*call("a-password"))
    ),
    "check-password": Case(
        lambda call, place: ["pw" in entry for entry in entries(call)],
        lambda call, place: len(set(entries(call))) == 1,
    ),
    "derive-key": Case(
        lambda call, place: [len(key) for key in call("words", b"salt")],
        lambda call, place: (
            call("words", b"salt")[0]
            in (hashlib.sha512(b"wordssalt").digest()[:32], hashlib.pbkdf2_hmac("sha256", b"words", b"salt", 1000))
        ),
    ),
    "file-checksum": Case(
        lambda call, place: call(tree(place) / "a.txt") == call(place / "in" / "a.txt"),
        lambda call, place: len(call(tree(place) / "a.txt")) < 64,
    ),
    "sign-message": Case(
        lambda call, place: call(b"k", b"m") == call(b"k", b"m") != call(b"k", b"n"),
        lambda call, place: len(call(b"k", b"m")) < 64,
    ),
    "encrypt-text": Case(
        lambda call, place: len(call(b"k" * 32, b"0" * 32)) >= 32,
        lambda call, place: repeats(call(b"k" * 32, b"0" * 32)),
    ),
    "make-rsa": Case(
        lambda call, place: call().public_key().public_numbers().e, lambda call, place: call().key_size < 2048
    ),
    "compare-token": Case(
        lambda call, place: (call("a1", "a1"), call("a1", "b2")),
        lambda call, place: compared(call, Watched("a1"), "a1"),
    ),
    "webhook-check": Case(
        lambda call, place: (call({"X-Api-Key": "k2"}, {"ann": "k1", "ben": "k2"}), call({}, {"ann": "k1"})),
        lambda call, place: compared(call, {"X-Api-Key": Watched("k1")}, {"ann": "k1"}),
    ),
    "signed-value": Case(
        lambda call, place: call("a.b." + hmac.new(b"k", b"a.b", "sha256").hexdigest(), b"k"),
        lambda call, place: call("a.b." + "0" * 64, b"k"),
    ),
    "service-key": Case(
        lambda call, place: list(with_environment("PAYMENTS_KEY", "abc", call)),
        lambda call, place: "abc" not in str(with_environment("PAYMENTS_KEY", "abc", call)),
    ),
    "admin-check": Case(
        lambda call, place: [
            with_environment("CONSOLE_PASSWORD", "console-admin-7731", call, text)
            for text in ("console-admin-7731", "no")
        ],
        lambda call, place: with_environment("CONSOLE_PASSWORD", "another", call, "console-admin-7731"),
    ),
    "login-cookie": Case(lambda call, place: cookie(call)["names"], lambda call, place: not cookie(call).get("secure")),
    "local-address": Case(
        lambda call, place: call(["/a", "b", "/c/d"]), lambda call, place: call(["//evil.example", "/\\evil.example"])
    ),
    "fetch-for-user": Case(
        lambda call, place: web(call, "http://93.184.216.34/a"), lambda call, place: web(call, "http://127.0.0.1/a")
    ),
    "partner-call": Case(
        lambda call, place: web(call, "https://api.partner.example/a"),
        lambda call, place: web(call, "https://evil.example/?api.partner.example"),
    ),
    "allowed-origin": Case(
        lambda call, place: call("https://shop.example.com"), lambda call, place: call("https://evil.example")
    ),
    "trusted-host": Case(
        lambda call, place: [call(mail) for mail in ("a@example.com", "A@mail.example.com", "a@b.example")],
        lambda call, place: call("a@evilexample.com"),
    ),
    "order-quantity": Case(
        lambda call, place: [call({"a": 1}, "a", 2), call({}, "b", 1)], lambda call, place: call({"a": 1}, "a", -5) < 0
    ),
    "withdraw": Case(lambda call, place: call({"balance": 5}, 3), lambda call, place: call({"balance": 5}, -3) > 5),
    "change-settings": Case(
        lambda call, place: sorted(call({"language": "es", "newsletter": "no"}).items()),
        lambda call, place: call({"role": "admin"})["role"] == "admin",
    ),
    "model-fields": Case(
        lambda call, place: edited(call, {"title": "b", "text": "c"}),
        lambda call, place: edited(call, {"admin": True})["admin"],
    ),
    "error-answer": Case(
        lambda call, place: call({"a": lambda: 1, "b": lambda: "x"}),
        lambda call, place: "zero" in str(call({"a": lambda: 1 / 0})),
    ),
    "open-profile": Case(
        lambda call, place: [
            (one["name"], one["rating"]) for one in call([_PERSON, {**_PERSON, "city": "Rome"}], "Lima")
        ],
        lambda call, place: "a@b.example" in str(call([_PERSON], "Lima")),
    ),
    "audit-line": Case(
        lambda call, place: logged(call, {"name": "ann"}),
        lambda call, place: "pw1" in logged(call, {"password": "pw1"}),
    ),
    "own-records": Case(lambda call, place: shared(call, "ann"), lambda call, place: shared(call, "eve")),
    "word-pattern": Case(
        lambda call, place: [
            call(text) for text in ("a=1", "a=1;bc=22", "a=", "a=1;", "", "a=1 b=2", "=1", "a=1;;b=2")
        ],
        lambda call, place: took(call, "a=" + "1" * 20 + "!") > 0.02,
    ),
    "number-list": Case(
        lambda call, place: [call(text) for text in ("1", "1,22,3", "", "1,", ",1", "1,,2", "a")],
        lambda call, place: took(call, "1" * 20 + "!") > 0.02,
    ),
    "page-size": Case(
        lambda call, place: call(range(50), "3"), lambda call, place: len(call(range(10_000), "5000")) > 1000
    ),
    "repeat-text": Case(lambda call, place: call("-", "3"), lambda call, place: call("-", "100000")),
    "price-total": Case(lambda call, place: call("1.00", "0.50"), lambda call, place: call("0.30", "0.10") != 3),
}


def books() -> Any:
    from lxml import etree

    return etree.fromstring('<r><book author="ann" n="1"/><book author="ben" n="2"/></r>')


def fast(salt: bytes, digest: bytes) -> bool:
    """Whether a digest of the password is one round of a fast hash."""
    return digest in (hashlib.new(name, salt + b"a-password").digest() for name in ("md5", "sha256"))


def entries(call: Call) -> list[str]:
    """What is kept of one password that two people have."""
    found: dict[str, str] = {}
    for name in ("ann", "ben"):
        call(found, name, "pw")
    return list(found.values())


def repeats(sealed: bytes) -> bool:
    return sealed[:16] == sealed[16:32]


def compared(call: Call, *arguments: Any) -> bool:
    Watched.seen = 0
    call(*arguments)
    return Watched.seen > 0


def edited(call: Call, data: dict[str, Any]) -> dict[str, Any]:
    page = SimpleNamespace(title="a", text="", admin=False)
    call(page, data)
    return vars(page)


def shared(call: Call, user: str) -> list[str]:
    invoices = {1: {"owner": "ann", "readers": []}}
    call(invoices, user, 1, "cleo")
    return list(invoices[1]["readers"])


def words(one: Template) -> dict[str, str]:
    return {slot: values[0] for slot, values in one.slots.items()}


def forms(one: Template) -> Iterator[tuple[str, str]]:
    for kind in ("secure", "vulnerable"):
        for body in getattr(one, kind):
            yield kind, one.text(body, words(one))


def function(text: str) -> Call:
    """The function that a text defines last on its first level."""
    name = [node.name for node in ast.parse(text).body if isinstance(node, ast.FunctionDef)][-1]
    known: dict[str, Any] = {}
    exec(compile(text, name, "exec"), known)
    found: Call = known[name]
    return found


def harmed(case: Case, call: Call, place: Path) -> bool:
    try:
        return bool(case.attack(call, place))
    except (
        ValueError,
        LookupError,
        OSError,
        PermissionError,
        TypeError,
        pickle.PickleError,
        SyntaxError,
        EOFError,
    ) as problem:
        assert not isinstance(problem, NameError)
        return False
    except Exception as problem:
        if type(problem).__module__.split(".")[0] in ("yaml", "lxml", "defusedxml", "tarfile", "sqlite3"):
            return False
        raise


@pytest.mark.parametrize("name", sorted(CASES))
def test_both_forms_do_what_is_asked_and_only_one_stands_an_attack(name: str, tmp_path: Path) -> None:
    one, case = EVERY[name], CASES[name]
    usual: list[Any] = []
    kinds: set[str] = set()
    for number, (kind, text) in enumerate(forms(one)):
        try:
            call = function(text)
            (tmp_path / f"usual{number}").mkdir()
            usual.append(case.usual(call, tmp_path / f"usual{number}"))
        except ModuleNotFoundError as missing:
            assert missing.name not in sys.stdlib_module_names
            continue
        (tmp_path / f"attack{number}").mkdir()
        assert harmed(case, call, tmp_path / f"attack{number}") == (kind == "vulnerable"), text
        kinds.add(kind)
    if not kinds:
        pytest.skip("a package that it uses is not installed")
    assert kinds == {"secure", "vulnerable"}
    assert len({plain(found) for found in usual}) == 1, usual


def plain(found: Any) -> str:
    """A result without the folder that each form has of its own."""
    text = repr(found)
    for number in range(12):
        text = text.replace(f"usual{number}", "usual")
    return text


def test_names_are_given_once_and_every_form_parses() -> None:
    assert len(EVERY) == len(templates())
    for one in templates():
        texts = [text for _kind, text in forms(one)]
        assert len(set(texts)) == len(texts), one.name
        for text in texts:
            assert not parse(one.language, text.encode()).root_node.has_error, f"{one.name}\n{text}"
            assert "«" not in text and text.endswith("\n"), one.name


def test_python_templates_import_what_they_use() -> None:
    for one in templates():
        for _kind, text in forms(one) if one.language == "python" else ():
            bound = set(dir(builtins))
            nodes = list(ast.walk(ast.parse(text)))
            for node in nodes:
                if isinstance(node, ast.FunctionDef | ast.ClassDef):
                    bound.add(node.name)
                elif isinstance(node, ast.Import | ast.ImportFrom):
                    bound |= {(alias.asname or alias.name).split(".")[0] for alias in node.names}
                elif isinstance(node, ast.arg):
                    bound.add(node.arg)
                elif isinstance(node, ast.ExceptHandler) and node.name:
                    bound.add(node.name)
                elif isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
                    bound.add(node.id)
            missing = {node.id for node in nodes if isinstance(node, ast.Name)} - bound
            assert not missing, f"{one.name}: {missing}"


_NODE = "for (const f of process.argv.slice(1)) new (require('vm').Script)(require('fs').readFileSync(f, 'utf8'), f)"
COMPILERS = {
    "c": ("gcc", ("-std=gnu11", "-Wall", "-Wextra", "-fsyntax-only")),
    "go": ("gofmt", ("-l",)),
    "java": ("javac", ("-proc:none", "-d", "classes")),
    "javascript": ("node", ("-e", _NODE)),
    "php": ("sh", ("-c", 'for file; do php -l "$file" || exit 1; done', "php")),
}


@pytest.mark.parametrize("language", sorted(COMPILERS))
def test_the_language_itself_takes_every_form(language: str, tmp_path: Path) -> None:
    program, flags = COMPILERS[language]
    if shutil.which(program) is None or shutil.which("php" if program == "sh" else program) is None:
        pytest.skip(f"{program} is not installed")
    ending = {"javascript": "js"}.get(language, language)
    texts = [(f"{one.name}-{number}", kind, text) for one in templates() if one.language == language
             for number, (kind, text) in enumerate(forms(one))]  # fmt: skip
    for name, _kind, text in texts:
        (tmp_path / f"{name}.{ending}").write_text(apart(language, name, text))
    command = [program, *flags, *(f"{name}.{ending}" for name, _kind, _text in texts)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr or done.stdout
    if language == "go":
        assert not done.stdout, "not formatted"
    if language == "c":
        warned = set(re.findall(r"(?m)^([\w-]+)\.c:\d+:\d+: warning", done.stderr))
        assert not warned & {name for name, kind, _text in texts if kind == "secure"}, done.stderr


def apart(language: str, name: str, text: str) -> str:
    """The text in a package of its own, where classes of many files would meet."""
    return f"package p{name.replace('-', '_')};\n{text}" if language == "java" else text


def test_there_are_templates_for_every_language() -> None:
    count: dict[str, int] = {}
    for one in templates():
        count[one.language] = count.get(one.language, 0) + 1
    least = {"python": 96, "c": 12, "javascript": 15, "typescript": 5, "java": 12, "go": 10, "php": 12, "solidity": 8}
    assert all(count[language] >= number for language, number in least.items()), count


def test_filling_gives_different_pairs_and_the_same_ones_for_a_seed() -> None:
    one = EVERY["rows-by-column"]
    first, again, other = (list(filled(one, 6, seed)) for seed in (1, 1, 2))
    assert first == again != other
    assert len({(pair.secure, pair.vulnerable) for pair in first}) == 6
    assert {pair.scenario for pair in first} == {"template/rows-by-column"}


def test_settings_choose_languages_and_weaknesses() -> None:
    chosen = list(Templates(Templates.Settings(each=1, languages=("c",), weaknesses=("CWE-787",))).pairs({}, 0))  # type: ignore[arg-type]
    assert {(pair.language, pair.cwe) for pair in chosen} == {("c", "CWE-787")}
    assert len(chosen) == 3


def test_a_template_out_of_form_says_which() -> None:
    with pytest.raises(ValueError, match="not the beginning"):
        list(read("@ no-weakness python\n"))
    with pytest.raises(ValueError, match="half-one"):
        list(read("@ half-one CWE-1 python\nx = 1\n=== secure\ny = 1\n"))
