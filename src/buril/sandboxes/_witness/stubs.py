"""What of the standard library would leave the jail, or can't be compared: programs, the network, hashes, chance."""

from __future__ import annotations

import functools
import hashlib
import hmac
import os
import random
import secrets
import shlex
import socket
import ssl
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterable
from typing import Any

from buril.sandboxes._witness.scene import ROOT, scene
from buril.sandboxes._witness.unknown import Unknown, note

_SPECIAL = frozenset(";|&$`<>(){}\n*?~#")
_REAL = subprocess.Popen
_OWN = hashlib.sha256
_HASHES = ("md5", "sha1", "sha224", "sha256", "sha384", "sha512", "blake2b", "blake2s", "sha3_256", "sha3_512")
_GUESSABLE = ("choice", "choices", "randint", "randrange", "random", "getrandbits", "sample", "randbytes", "uniform")
_GUESSED = ("choice", "randbelow", "randbits", "token_bytes", "token_hex", "token_urlsafe")


def _put(place: Any, **made: Any) -> None:
    """Put stand-ins in the places of what they stand for."""
    for name, item in made.items():
        setattr(place, name, item)


def ran(command: Any, *, shell: bool) -> None:
    """Note the words of a program that would be run; a shell's text is run by a shell with no programs, if hostile."""
    text = command if isinstance(command, str) else None
    if text is not None and shell:
        if not _SPECIAL & set(text):
            _note(shlex.split(text))
            return
        scene.calls.append(["run by a shell", [text], {}])
        if scene.attack:
            scene.mark("shell")
            shell_words = ["/bin/sh", "-c", text]
            _REAL(shell_words, cwd=ROOT, env={"PATH": "/none"}, stdout=-3, stderr=-3, stdin=-3).wait(5)
        return
    words: list[Any] = [
        os.fspath(word) if hasattr(word, "__fspath__") else word for word in ([text] if text else list(command))
    ]
    if not all(isinstance(word, str | bytes) for word in words):
        raise TypeError("expected str, bytes or os.PathLike object")
    _note(word.decode() if isinstance(word, bytes) else word for word in words)


def _note(words: Iterable[str]) -> None:
    """Note what is run; the `--` that says where options end is no other command, and is told apart."""
    listed = list(words)
    scene.calls.append(["run", [word for word in listed if word != "--"], {}])
    for place, word in enumerate(listed):
        if word.startswith("-") and word != "--" and "--" not in listed[:place]:
            scene.say("run", "option", word)


class Popen:
    """A program that ends at once, well, and says `ok`."""

    def __init__(self, args: Any, *more: Any, **told: Any) -> None:
        ran(args, shell=bool(told.get("shell")))
        scene.say("Popen", "shell", bool(told.get("shell")))
        self.args, self.returncode, self.pid, self.stdin = args, 0, 4242, Unknown("stdin")
        text = told.get("text") or told.get("universal_newlines") or told.get("encoding")
        self._said: Any = "ok\n" if text else b"ok\n"
        self.stdout = self.stderr = Unknown("pipe")

    def communicate(self, input: Any = None, timeout: Any = None) -> tuple[Any, Any]:
        """What it says, and nothing."""
        if input is not None:
            scene.calls.append(["written to a program", [input], {}])
        return self._said, self._said[:0]

    def wait(self, timeout: Any = None) -> int:
        """0: it ended well."""
        return 0

    poll = wait

    def kill(self) -> None:
        """It has ended."""

    def __enter__(self) -> Popen:
        return self

    def __exit__(self, *problem: object) -> None:
        return None


def _programs() -> None:
    def run(args: Any, *more: Any, **told: Any) -> Any:
        given = told.pop("input", None)
        done = Popen(args, *more, **told)
        said, errors = done.communicate(given)
        return subprocess.CompletedProcess(args, 0, said, errors)

    def system(command: str) -> int:
        ran(command, shell=True)  # noqa: S604  notes it, and runs what is hostile in the jail
        return 0

    def popen(command: str, *more: Any) -> Any:
        ran(command, shell=True)  # noqa: S604  as above
        import io

        return io.StringIO("ok\n")

    def _said(text: str) -> str:
        ran(text, shell=True)  # noqa: S604  as above
        return "ok"

    given: dict[str, Any] = {
        "Popen": Popen,
        "run": run,
        "call": lambda *args, **told: run(*args, **told).returncode,
        "check_call": lambda *args, **told: run(*args, **told).returncode,
        "check_output": lambda *args, **told: run(*args, **told).stdout,
        "getoutput": _said,
        "getstatusoutput": lambda text: (0, _said(text)),
    }
    _put(subprocess, **given)
    _put(os, system=system, popen=popen)


def _network() -> None:
    def resolved(host: Any, port: Any = None, *more: Any, **told: Any) -> list[Any]:
        import ipaddress

        address = {"localhost": "127.0.0.1", "intranet.example": "10.0.0.5"}.get(str(host), str(host))
        try:
            ipaddress.ip_address(address)
        except ValueError:
            address = "93.184.216.34"
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port or 0))]

    def wrapped(self: ssl.SSLContext, *args: Any, **told: Any) -> Any:
        scene.say("wrap_socket", "verify_mode", int(self.verify_mode))
        return Unknown("tls")

    def opened(address: Any, *args: Any, **told: Any) -> Any:
        context = told.pop("context", None)
        scene.say("urlopen", "verify_mode", int(context.verify_mode) if isinstance(context, ssl.SSLContext) else 2)
        note("urlopen", (getattr(address, "full_url", address), *args), told)
        return Unknown("urlopen()")

    connect = Unknown("connection")
    _put(socket, getaddrinfo=resolved, gethostbyname=lambda host: resolved(host)[0][4][0], create_connection=connect)
    _put(ssl.SSLContext, wrap_socket=wrapped)
    _put(urllib.request, urlopen=opened)


def _hashing() -> None:
    def noted(name: str, made: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(made)
        def called(*args: Any, **told: Any) -> Any:
            scene.say("hash", "algorithm", name if name != "new" else args[0])
            return Digest(made(*args, **told), _first(name, args, told))

        return called

    for name in (*_HASHES, "new"):
        setattr(hashlib, name, noted(name, getattr(hashlib, name)))
    hashlib.pbkdf2_hmac = _derived("pbkdf2_hmac", hashlib.pbkdf2_hmac, 3)
    hashlib.scrypt = _derived("scrypt", hashlib.scrypt, 9)
    compare = hmac.compare_digest

    def compared(one: Any, other: Any) -> bool:
        scene.say("compare", "in_time", True)
        return compare(one, other)

    signed = hmac.HMAC.digest

    def signature(self: hmac.HMAC) -> bytes:
        scene.say("hash", "algorithm", self.name)
        found = signed(self)
        scene.digests.append((found, ""))
        return found

    _put(hmac.HMAC, digest=signature, hexdigest=lambda self: signature(self).hex())
    _put(hmac, compare_digest=compared)
    _put(secrets, compare_digest=compared)


def _derived(name: str, made: Callable[..., bytes], rounds: int) -> Callable[..., bytes]:
    @functools.wraps(made)
    def called(*args: Any, **told: Any) -> bytes:
        number = args[rounds] if rounds < len(args) else told.get("iterations", told.get("n", 0))
        scene.say("derive", name, number)
        if name == "pbkdf2_hmac":
            args = (*args[:rounds], min(int(number), 1000), *args[rounds + 1 :])  # dear, and compared by shape
            told.pop("iterations", None)
        found = made(*args, **told)
        scene.digests.append((found, ""))
        return found

    return called


def _first(name: str, args: tuple[Any, ...], told: dict[str, Any]) -> bytes:
    given = args[1:] if name == "new" else args
    found = given[0] if given else told.get("data", told.get("string", b""))
    return bytes(found)


class Digest:
    """A hash whose results are known again, with what was hashed."""

    def __init__(self, inner: Any, data: bytes = b"") -> None:
        self._inner, self._data = inner, data

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def update(self, data: Any) -> None:
        """More to hash."""
        self._data += bytes(data)
        self._inner.update(data)

    def copy(self) -> Digest:
        """Another of the same state."""
        return Digest(self._inner.copy(), self._data)

    def digest(self, *args: Any) -> bytes:
        """The digest, noted with a name of what was hashed."""
        found: bytes = self._inner.digest(*args)
        scene.digests.append((found, _OWN(self._data).hexdigest()[:12]))
        return found

    def hexdigest(self, *args: Any) -> str:
        """The digest in hexadecimal, noted."""
        return self.digest(*args).hex()


def _chance(seed: int) -> None:
    random.seed(seed)
    for name in _GUESSABLE:
        setattr(random, name, _drawn("guessable", getattr(random, name)))
    for name in _GUESSED:
        setattr(secrets, name, _drawn("unguessable", getattr(secrets, name)))
    made = tempfile.mktemp

    def named(*args: Any, **told: Any) -> str:
        scene.say("mktemp", "guessable", True)
        return made(*args, **told)

    tempfile.mktemp = named


def _drawn(kind: str, made: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(made)
    def called(*args: Any, **told: Any) -> Any:
        scene.say("drawn", kind, True)
        return made(*args, **told)

    return called


def install(seed: int) -> None:
    """Put all of them in place, in a process that runs nothing else."""
    _put(time, sleep=lambda _seconds: None)
    tempfile.tempdir = "/tmp"  # noqa: S108  the jail's own
    _programs()
    _network()
    _hashing()
    _chance(seed)
