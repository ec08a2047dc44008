"""What a value reads like: entropy, words, placeholders. Bytes in, a yes or a number out."""

from __future__ import annotations

import math
import re
from collections import Counter

_PLACEHOLDER = re.compile(
    rb"example|change.?me|place.?holder|x{4}|\*{3}|\.{3}|your|dummy|sample|redacted|insert|replace|foobar|qwerty|passw|"
    rb"secret|token|\{\{|\$\{|\$\(|<|%\(|%s|0{8}|1234567|abcdefg|test|fake|mock|todo|none|null|undefined|localhost|"
    rb"default|contrase|ejemplo",
    re.IGNORECASE,
)
_DOCUMENTED = re.compile(rb"EXAMPLE(?:KEY)?$|^(.)\1+$|X{8}|x{8}|0{12}|\.\.\.|\*{4}")
_PIECES = re.compile(rb"[A-Z]?[a-z]+|[A-Z]+")
_VOWEL = re.compile(rb"[aeiouyAEIOUY]")
_PROSE = frozenset(b"-_./ :+,")
_UUID = re.compile(rb"[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}\Z")
_DIGEST = re.compile(rb"(?:sha(?:1|224|256|384|512)|md5)[-:=]|\Adata:|\A(?:[0-9a-f]{2}:)+")


def accept(value: bytes) -> bool:
    """Any value that is there."""
    return bool(value)


def entropy(value: bytes) -> float:
    """Shannon's entropy of the bytes of `value`, in bits a byte.

    Example:
        `entropy(b"aabb")` → 1.0
    """
    size = len(value)
    return -sum(count / size * math.log2(count / size) for count in Counter(value).values()) if size else 0.0


def documented(value: bytes) -> bool:
    """Whether a value is one that manuals print: `…EXAMPLE`, one sign repeated, rows of `x` or `0`."""
    return _DOCUMENTED.search(value) is not None


def like_password(value: bytes) -> bool:
    """Letters mixed with digits or signs, and neither words, a path, a variable nor a known placeholder."""
    if _PLACEHOLDER.search(value) or reads_as_words(value) or value[:1] in b"/$%&#@\\" or b"://" in value:
        return False
    if _UUID.match(value) or _DIGEST.match(value):
        return False
    text = value.decode("utf-8", "replace")
    kinds = (
        any(sign.islower() for sign in text), any(sign.isupper() for sign in text),
        any(sign.isdigit() for sign in text), any(not sign.isalnum() for sign in text),
    )  # fmt: skip
    return kinds[2] and (kinds[0] or kinds[1]) and (sum(kinds) >= 3 or len(text) >= 10)


def reads_as_words(value: bytes) -> bool:
    """Whether its letters come in runs as words do (three and more on average), joined by nothing unusual.

    A run of four and more without a vowel is no word and counts for one letter.

    Random letters and digits give runs below two; `Qwen3ForCausalLM` and `sha256_crypt` read as words.
    """
    if any(not (48 <= code <= 57 or 65 <= code <= 90 or 97 <= code <= 122 or code in _PROSE) for code in value):
        return False
    runs = _PIECES.findall(value)
    letters = sum(1 if len(run) > 3 and not _VOWEL.search(run) else len(run) for run in runs)
    return not runs or letters / len(runs) >= 3


def like_token(value: bytes) -> bool:
    """Letters and at least two digits in one run that no person would write as words."""
    if _PLACEHOLDER.search(value) or reads_as_words(value) or value[:1] in b"/$%&#@\\." or b"://" in value:
        return False
    if _UUID.match(value) or _DIGEST.match(value):
        return False
    digits = sum(48 <= code <= 57 for code in value)
    return digits >= 2 and any(65 <= code <= 90 or 97 <= code <= 122 for code in value) and value.isascii()


def like_key(value: bytes) -> bool:
    """A token with the entropy of random hexadecimal (3 bits) or of random base64 (4 bits) characters."""
    if not like_token(value):
        return False
    if re.fullmatch(rb"[0-9a-fA-F]+", value):
        return len(value) >= 32 and entropy(value) >= 3.0 and value.lower() in (value, value.swapcase())
    return entropy(value) >= 4.0 and any(65 <= c <= 90 for c in value) and any(97 <= c <= 122 for c in value)
