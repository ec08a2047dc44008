"""The keys that sign a ledger: Ed25519 (RFC 8032), one private key at a time, public keys in the chain itself."""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Any

from buril.core.artifact import atomic
from buril.core.errors import BurilError
from buril.core.plugins import require
from buril.core.text import _

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

SEED = KEY_BYTES = 32
ID_CHARS = 16


class Signer:
    """Signs with a private key. `key_id` names its public half."""

    def __init__(self, private: Ed25519PrivateKey) -> None:
        self._private = private
        self.public = base64.b64encode(private.public_key().public_bytes_raw()).decode()
        self.key_id = key_id(self.public)

    def sign(self, what: str, content: bytes) -> str:
        """The signature of a content; `what` it is keeps one kind from being shown as another."""
        return base64.b64encode(self._private.sign(_framed(what, content))).decode()


def key_id(public: str) -> str:
    """The name of a public key: the start of its SHA-256."""
    return hashlib.sha256(base64.b64decode(public)).hexdigest()[:ID_CHARS]


def is_public(text: object) -> bool:
    """Whether a text has the form of a public key."""
    try:
        return isinstance(text, str) and len(base64.b64decode(text, validate=True)) == KEY_BYTES
    except ValueError:  # binascii's is one
        return False


def signed(public: str, signature: str, what: str, content: bytes) -> bool:
    """Whether a signature is that of a public key."""
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    try:
        key = Ed25519PublicKey.from_public_bytes(base64.b64decode(public, validate=True))
        key.verify(base64.b64decode(signature, validate=True), _framed(what, content))
    except (InvalidSignature, ValueError, binascii.Error):
        return False
    return True


def _framed(what: str, content: bytes) -> bytes:
    return f"buril ledger {what}\0".encode() + content


def signer(place: str | None, own: Path) -> Signer:
    """The signer of a ledger: by `env:NAME` or `file:PATH`, else its own key, which is made where there is none.

    Call it while the ledger's lock is held.

    Raises:
        BurilError: V301 for a key that can't be used, P002 without the package `cryptography`.
    """
    require("cryptography", kind="ledger", name="key")
    if place is None:
        if not own.exists():
            write_own(own, new())
        return _of_file(own, str(own))
    kind, _colon, name = place.partition(":")
    if kind == "env":
        return _parsed(os.environ.get(name, "").strip().encode(), place)
    if kind == "file":
        return _of_file(Path(name).expanduser(), place)
    raise BurilError("V301", key="…", problem=_("it begins neither with `env:` nor with `file:`"))


def new() -> Ed25519PrivateKey:
    """A fresh private key."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    return Ed25519PrivateKey.generate()


def write_own(own: Path, private: Any) -> None:
    """Write a private key to a file that nobody else may read."""
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    with atomic(own) as path:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        os.fchmod(handle, 0o600)
        with os.fdopen(handle, "wb") as stream:
            stream.write(private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))


def _of_file(path: Path, place: str) -> Signer:
    try:
        mode = path.stat().st_mode
        content = path.read_bytes().strip()
    except OSError as problem:
        raise BurilError("V301", key=place, problem=problem.strerror or str(problem)) from problem
    if stat.S_IMODE(mode) & 0o077:
        raise BurilError("V301", key=place, problem=_("others may read it; `chmod 600` it"))
    return _parsed(content, place)


def _parsed(content: bytes, place: str) -> Signer:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    if content.startswith(b"-----BEGIN"):
        try:
            found = load_pem_private_key(content, None)
        except (ValueError, TypeError) as problem:
            raise BurilError("V301", key=place, problem=_("its PEM can't be read")) from problem
        if isinstance(found, Ed25519PrivateKey):
            return Signer(found)
        raise BurilError("V301", key=place, problem=_("it is no Ed25519 key"))
    for decode in (bytes.fromhex, lambda text: base64.b64decode(text, validate=True)):
        try:
            seed = decode(content.decode("ascii"))
        except ValueError:
            continue
        if len(seed) == SEED:
            return Signer(Ed25519PrivateKey.from_private_bytes(seed))
    raise BurilError("V301", key=place, problem=_("it is empty or of another form"))
