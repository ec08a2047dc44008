"""Tokens: only the name of an environment variable is ever written down."""

from __future__ import annotations

import os
import re

from buril.core.errors import BurilError

_NAME = re.compile(r"env:[A-Za-z_]\w*")


def checked(reference: str) -> str:
    """A reference to a token, or "".

    Raises:
        ValueError: it is something else, for example the token itself.
    """
    if reference and not _NAME.fullmatch(reference):
        raise ValueError("write env:NAME, the environment variable that holds the token; never the token itself")
    return reference


def value(reference: str) -> str:
    """The token that a reference names, read now; "" for none. Never store the result.

    Raises:
        BurilError: C006 when the variable is not set.
    """
    if not reference:
        return ""
    name = reference.removeprefix("env:")
    if not os.environ.get(name):
        raise BurilError("C006", name="token", variable=name)
    return os.environ[name]
