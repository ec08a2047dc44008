"""Secrets that stand in the code under a name that tells: a password in an assignment, an argument, a default."""

from __future__ import annotations

import re
from typing import Any, Final

NAME: Final = re.compile(
    r"(?i)(?:^|[_.-]|(?-i:(?<=[a-z0-9])(?=[A-Z])))(?:pass(?:word|wd|phrase)?|pwd|secret|secret_?key|api_?key|auth_?token|access_?token|access_?key|"
    r"private_?key|signing_?key|encryption_?key|admin_?token|client_?secret|jwt_?key)$"
)
KEY_NAME: Final = re.compile(r"(?i)^(?!.*public)(?:.*_)?(?:key|iv_?key|aes_?key|fernet_?key)$")
_WORDS: Final = re.compile(
    r"(?i)example|change_?me|placeholder|your[_-]|x{4}|dummy|<.*>|\{.*\}|%\(?|\$\{|\*{3}|todo|redacted"
)
_PLAIN: Final = re.compile(
    r"-{0,2}[A-Za-z]+(?:[_.-][A-Za-z]+)*|[A-Za-z]+:(?i:password|secret|token)|[\W_]*|\d{1,5}|[A-Za-z_.]+\d?"
)
"""Words, names and paths of members: what says which secret is meant, rather than being one."""


def is_secret(name: str, value: Any) -> bool:
    """Whether a constant under a name is likely to be the secret itself.

    Example:
        `is_secret("db_password", "bl-Marmot!Harbor7")` is true, `is_secret("password", "password_field")` is not.
    """
    if not name or not isinstance(value, (str, bytes)):
        return False
    text = value.decode("latin-1") if isinstance(value, bytes) else value
    if not 6 <= len(text) <= 200 or re.search(r"\s|^[./~]|://|^(?:env|http)", text) or _WORDS.search(text):
        return False
    if isinstance(value, bytes) and KEY_NAME.search(name):
        return len(set(text)) > 4
    if not NAME.search(name) or _PLAIN.fullmatch(text):
        return False
    return len(set(text)) > 4
