"""API keys: who may ask for what, and how much. The file holds SHA-256s of keys, never keys.

A key is 256 random bits, so a plain hash of it is as safe as a slow one. The file is read again when it changes: a key
that is taken out of it is refused at once.
"""

from __future__ import annotations

import datetime
import hashlib
import json
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal, get_args

from pydantic import Field, ValidationError

from buril.core.artifact import atomic
from buril.core.errors import BurilError
from buril.core.settings import Settings as BaseSettings
from buril.serve import usage
from buril.serve.usage import Account

Scope = Literal["complete", "chat", "events", "metrics"]
SCOPES: tuple[Scope, ...] = get_args(Scope)
PREFIX = "bur_"
"""What keys begin with, so that scanners of secrets know them."""
LOOK_S = 2.0
"""Seconds between two looks at the file."""


class Key(BaseSettings):
    """A key's entry in the file."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._@-]{0,63}$")
    """Whose it is: logs and counts carry it."""
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    """Of the key."""
    scopes: tuple[Scope, ...] = ("complete", "chat", "events")
    """What it may ask for."""
    models: tuple[str, ...] | None = None
    """Names of the models that it may ask; None: all."""
    requests_per_minute: int | None = Field(None, ge=1)
    """None: as many as the server takes."""
    tokens_per_day: int | None = Field(None, ge=1)
    """Tokens of prompts and answers in a day of UTC; None: as many as the server takes."""
    expires: datetime.date | None = None
    """The last day on which it is taken."""


class KeyFile(BaseSettings):
    """The file."""

    keys: tuple[Key, ...] = ()


class Refused(Exception):
    """A request that a key does not allow: the status to answer with, and when to come again."""

    def __init__(self, status: int, told: str, wait_s: float | None = None) -> None:
        super().__init__(told)
        self.status, self.told, self.wait_s = status, told, wait_s


@dataclass
class Keys:
    """The keys of a file, and what each has used.

    Args:
        path: of the file; None lets anybody in.
        now: the wall clock, in seconds.
        kept_at: file that what was used is kept in (`keep_at`); None forgets it at the end.
    """

    path: Path | None
    now: Callable[[], float] = time.time
    kept_at: Path | None = None
    _saved_at: float = -1e9
    _used: bool = False
    _accounts: dict[str, Account] = field(default_factory=dict)
    _keys: dict[str, Key] = field(default_factory=dict)
    _looked: float = -1e9
    _stamp: tuple[int, int] = (0, 0)

    def __post_init__(self) -> None:
        if self.path is not None:
            self._keys = {key.sha256: key for key in read(self.path).keys}
            self._stamp = _stamp(self.path)

    def admit(self, header: str | None, scope: Scope) -> Key | None:
        """The key of a header `Authorization: Bearer …`; None where none is needed. A request is counted.

        Raises:
            Refused: 401 without a key that counts, 403 beyond its scopes, 429 beyond its quota.
        """
        if self.path is None:
            return None
        self._look(self.path)
        kind, _space, given = (header or "").partition(" ")
        if kind.lower() != "bearer" or not given:
            raise Refused(401, "an API key is needed: Authorization: Bearer KEY")
        # looked up by its hash: what can be timed says nothing of the key
        key = self._keys.get(digest(given.strip()))
        if key is None or (key.expires and self._today() > key.expires):
            raise Refused(401, "this API key is not known, or no longer")
        if scope not in key.scopes:
            raise Refused(403, f"this API key is not for `{scope}`")
        self._count(key)
        return key

    def use(self, key: Key | None, tokens: int) -> None:
        """Count tokens that a key has used."""
        if key is not None:
            self._account(key).tokens += tokens
            self._used = True

    def keep_at(self, path: Path) -> None:
        """Go on from what a file says was used, and keep it there from now on."""
        if self.path is not None:
            self.kept_at, self._accounts = path, usage.read(path)

    def save(self, *, now: bool = False) -> Callable[[], None] | None:
        """What writes down what was used, in any thread; None where nothing is due. `now`: at the server's end."""
        if self.kept_at is None or not self._used or (time.monotonic() - self._saved_at < usage.SAVE_S and not now):
            return None
        self._saved_at, self._used = time.monotonic(), False
        path, today = self.kept_at, self._today()
        counting = {key: replace(account) for key, account in self._accounts.items() if account.day == today}

        def write() -> None:
            self._used |= not usage.write(path, counting)

        return write

    def _count(self, key: Key) -> None:
        account, now = self._account(key), self.now()
        self._used = True
        if key.tokens_per_day is not None and account.tokens >= key.tokens_per_day:
            tomorrow = 86400 - now % 86400
            raise Refused(429, "the tokens of today are used up", tomorrow)
        if key.requests_per_minute is None:
            return
        rate = key.requests_per_minute / 60
        account.requests = max(0.0, account.requests - max(0.0, now - account.at) * rate)
        account.at = now
        if account.requests + 1 > key.requests_per_minute:
            raise Refused(429, "too many requests in a minute", (account.requests + 1 - key.requests_per_minute) / rate)
        account.requests += 1

    def _account(self, key: Key) -> Account:
        account = self._accounts.setdefault(key.sha256, Account(at=self.now()))
        if account.day != self._today():
            account.day, account.tokens = self._today(), 0
        return account

    def _today(self) -> datetime.date:
        return datetime.datetime.fromtimestamp(self.now(), datetime.timezone.utc).date()

    def _look(self, path: Path) -> None:
        """Read the file again where it has changed; one that can't be read lets nobody in that it did not before."""
        if time.monotonic() - self._looked < LOOK_S:
            return
        self._looked = time.monotonic()
        try:
            stamp = _stamp(path)
            if stamp != self._stamp:
                self._keys = {key.sha256: key for key in read(path).keys}
                self._stamp = stamp
        except (OSError, BurilError):
            self._keys = {}
            self._stamp = (0, 0)


def allows(key: Key | None, model: str) -> bool:
    """Whether a key may ask a model; where none is needed, anybody may."""
    return key is None or key.models is None or model in key.models


def digest(key: str) -> str:
    """What a file holds of a key."""
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()


def read(path: Path) -> KeyFile:
    """The keys of a file.

    Raises:
        BurilError: V002 for one that is not there or not of its form.
    """
    try:
        return KeyFile.model_validate(json.loads(path.read_text(encoding="utf-8")))
    except ValidationError as problem:
        first = problem.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise BurilError("V002", path=path, problem=f"{place}: {first['msg']}") from problem
    except (OSError, ValueError) as problem:
        said = problem.strerror if isinstance(problem, OSError) else "no JSON"
        raise BurilError("V002", path=path, problem=said) from problem


def add(path: Path, name: str, **told: object) -> str:
    """Make a key, put its hash into the file under a name, and give the key: it is seen this once.

    Raises:
        BurilError: V002.
    """
    kept = read(path).keys if path.exists() else ()
    if any(key.name == name for key in kept):
        raise BurilError("V002", path=path, problem=f"{name}: there is a key of this name")
    made = PREFIX + secrets.token_urlsafe(32)
    try:
        key = Key.model_validate({"name": name, "sha256": digest(made), **told})
    except ValidationError as problem:
        raise BurilError("V002", path=path, problem=problem.errors()[0]["msg"]) from problem
    _write(path, KeyFile(keys=(*kept, key)))
    return made


def remove(path: Path, name: str) -> bool:
    """Take a key out of the file; whether there was one.

    Raises:
        BurilError: V002.
    """
    kept = read(path).keys
    left = tuple(key for key in kept if key.name != name)
    if len(left) < len(kept):
        _write(path, KeyFile(keys=left))
    return len(left) < len(kept)


def _write(path: Path, file: KeyFile) -> None:
    with atomic(path) as temporary:
        temporary.touch(mode=0o600)
        temporary.write_text(json.dumps(file.model_dump(mode="json"), indent=1) + "\n", encoding="utf-8")


def _stamp(path: Path) -> tuple[int, int]:
    stat = path.stat()
    return stat.st_mtime_ns, stat.st_ino
