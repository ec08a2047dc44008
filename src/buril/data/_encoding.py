"""From bytes to text: what collecting decodes, and how UTF-8 that was once read as Windows-1252 is mended.

Nothing is guessed that could turn one program into another: a byte sequence is decoded when it says what it is (a byte
order mark, valid UTF-8, a coding cookie), or when it is ASCII but for single accented letters of western Europe.
"""

from __future__ import annotations

import codecs
import re

_COOKIE = re.compile(rb"^[ \t\f]*(?:#|//|/\*|--|%|;).{0,80}?coding[:=][ \t]*([-\w.]+)")
_CHARSETS = frozenset(
    {
        "iso8859-1", "iso8859-2", "iso8859-5", "iso8859-7", "iso8859-9", "iso8859-15", "cp1250", "cp1251", "cp1252",
        "koi8-r", "koi8-u", "euc_jp", "shift_jis", "euc_kr", "gb2312", "gbk", "gb18030", "big5",
    }
)  # fmt: skip
"""Encodings that a coding cookie may name; others (`hex`, `rot13`, `unicode_escape`) are no charsets."""
_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),  # before UTF-16, whose mark begins alike
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_HIGH = re.compile(rb"[\x80-\xff]+")
_WESTERN = re.compile(rb"[\xa0-\xff\x80\x82-\x8c\x8e\x91-\x9c\x9e\x9f]{1,2}\Z")
MAX_WESTERN_SHARE = 0.05
"""Share of bytes beyond ASCII up to which a text without any mark may be Windows-1252."""

# what a UTF-8 sequence of two or three bytes looks like when each byte is taken for a character of Windows-1252
_FOLLOWING = "\u0080-\u00bf\u0152\u0153\u0160\u0161\u0178\u017d\u017e\u0192\u02c6\u02dc\u2013-\u203a\u20ac\u2122"
MOJIBAKE = re.compile(f"[\u00c2-\u00df][{_FOLLOWING}]|[\u00e0-\u00ef][{_FOLLOWING}]{{2}}")


def decode(raw: bytes) -> str | None:
    """The text of a file's bytes without its byte order mark; None where it is no text in a known encoding.

    In this order: a byte order mark (UTF-8, UTF-16, UTF-32), valid UTF-8, the charset that a coding cookie in the first
    two lines names (PEP 263, and its forms in other languages), and Windows-1252 where bytes beyond ASCII are few and
    stand alone or in pairs, as accented letters do; letters of Cyrillic or Asian charsets stand in runs.
    """
    for mark, name in _MARKS:
        if raw.startswith(mark):
            return _strict(raw[len(mark) :], name)
    text = _strict(raw, "utf-8")
    if text is not None:
        return text
    declared = _declared(raw)
    if declared:
        return _strict(raw, declared) if declared in _CHARSETS else None
    return _strict(raw, "cp1252") if _is_western(raw) else None


def is_wide(raw: bytes) -> bool:
    """Whether a byte order mark says that a character takes two or four bytes, so that NUL bytes mean nothing."""
    return any(raw.startswith(mark) for mark, name in _MARKS if name != "utf-8")


def _strict(raw: bytes, name: str) -> str | None:
    try:
        return raw.decode(name)
    except UnicodeDecodeError:
        return None


def _declared(raw: bytes) -> str:
    for line in raw.split(b"\n", 2)[:2]:
        found = _COOKIE.match(line)
        if found:
            try:
                return codecs.lookup(found[1].decode("ascii")).name
            except LookupError:
                return found[1].decode("ascii")
    return ""


def _is_western(raw: bytes) -> bool:
    runs = _HIGH.findall(raw)
    if sum(map(len, runs)) > MAX_WESTERN_SHARE * len(raw):
        return False
    return all(_WESTERN.match(run) for run in runs)


def mended(text: str) -> str:
    """Text with sequences such as `Ã©` and `â€™` turned back into `é` and `’`; all else as it is.

    Example:
        `mended("aÃ±o â€“ ok")` → `"año – ok"`
    """
    return MOJIBAKE.sub(_back, text)


def _back(match: re.Match[str]) -> str:
    # cp1252 leaves five bytes undefined, which decoders of the web pass through
    codes = [ord(sign) if 0x80 <= ord(sign) <= 0x9F else sign.encode("cp1252", "replace")[0] for sign in match[0]]
    try:
        return bytes(codes).decode("utf-8")
    except UnicodeDecodeError:
        return match[0]
