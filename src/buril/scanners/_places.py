"""Personal data by form: e-mail and network addresses, telephone numbers, account numbers, names after their marks."""

from __future__ import annotations

import ipaddress
import re

from buril.scanners._checks import IBAN_LENGTHS, iban
from buril.scanners._rules import PERSONAL, Head, Rule, literals

_DOMAIN = re.compile(
    rb"@((?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.){1,6}[A-Za-z]{2,24})(?![A-Za-z0-9-]|\.[A-Za-z0-9]|@|\()"
)
_LOCAL = re.compile(rb"[A-Za-z0-9](?:[A-Za-z0-9_%+.-]{0,62}[A-Za-z0-9_+-])?\Z")
_RESERVED_DOMAIN = re.compile(
    rb"(?:^|\.)(?:example|test|invalid|localhost|local|internal|lan|domain|"
    rb"(?:example|domain|email|test|foo|bar|host|server|company|your-?domain|my-?domain)\.\w+)$|"
    rb"\.(?:png|jpe?g|gif|svg|webp|css|scss|js|mjs|ts|tsx|jsx|json|html?|py|md|service|so|sock)$",
    re.IGNORECASE,
)
_IPV4 = re.compile(rb"\d{1,3}\.\d{1,3}\.\d{1,3}\.\d{1,3}(?![\w-]|\.\d|/\d| -?\d*\.\d+[ -])")
_IPV6 = re.compile(rb"[23][0-9A-Fa-f]{3}:[0-9A-Fa-f:]{2,34}(?![\w:/])")
_OBJECT_IDENTIFIER = re.compile(r"0\.|1\.[0-3]\.|2\.(?:5|16|23)\.")
_NO_PERSON = frozenset({"8.8.8.8", "8.8.4.4", "1.1.1.1", "1.0.0.1", "9.9.9.9", "208.67.222.222", "208.67.220.220"})
_RESOLVERS = (b"2606:4700:4700:", b"2001:4860:4860:", b"2620:fe:")
_MAC = re.compile(rb"(?:[0-9A-Fa-f]{2}([:-]))(?:[0-9A-Fa-f]{2}\1){4}[0-9A-Fa-f]{2}(?![\w:-])")
_QUOTES = b"\"'` \t\n(:=,<>[{|"


def _email(source: bytes, place: int, _language: str) -> tuple[int, int] | None:
    """`place` is the last byte before the @."""
    match = _DOMAIN.match(source, place + 1)
    if match is None or _RESERVED_DOMAIN.search(match[1]):
        return None
    at = match.start()
    local = _LOCAL.search(source, max(0, at - 64), at)
    if local is None:
        return None
    start = local.start() + _escape_before(source, local.start())
    before = source[start - 1 : start] if start else b" "
    if source[start:at] in (b"", b"git", b"hg", b"svn") or before in b":/" and source[start - 7 : start] != b"mailto:":
        return None
    return start, match.end()


def _ip(source: bytes, place: int, _language: str) -> tuple[int, int] | None:
    """`place` is the last digit of the first part."""
    start = place
    while start and place - start < 3 and source[start - 1 : start].isdigit():
        start -= 1
    before = source[start - 1 : start] if start else b" "
    match = _IPV4.match(source, start)
    if match is None or before.isalnum() or before in b"._-=~^/" or not _is_public(match[0].decode()):
        return None
    return match.span()


def _ipv6(source: bytes, place: int, _language: str) -> tuple[int, int] | None:
    match = _IPV6.match(source, place)
    if match is None or (place and source[place - 1 : place] in b":_.-"):
        return None
    text = match[0].rstrip(b":") if not match[0].endswith(b"::") else match[0]
    try:
        parsed = ipaddress.IPv6Address(text.decode())
    except ipaddress.AddressValueError:
        return None
    public = parsed.is_global and text.count(b":") >= 2 and not text.startswith(_RESOLVERS)
    return (place, place + len(text)) if public else None


def _mac(source: bytes, place: int, _language: str) -> tuple[int, int] | None:
    match = _MAC.match(source, place)
    digits = match[0].replace(b":", b"").replace(b"-", b"").lower() if match else b""
    before = source[place - 1 : place] if place else b" "
    return match.span() if match and len(set(digits)) > 4 and before in _QUOTES else None


_ACCOUNT = re.compile(rb"[A-Z]{2}\d{2}(?:[A-Z0-9]{11,30}|(?: [A-Z0-9]{4}){2,7}(?: [A-Z0-9]{1,3})?)")
_E164 = re.compile(rb"\+[1-9]\d{9,14}(?![\w.])")
_INTERNATIONAL = re.compile(rb"\+[1-9]\d{0,2}[ .-]?(?:\(\d{1,4}\)[ .-]?)?\d{1,5}(?:[ .-]\d{2,5}){1,5}(?![\w.-])")
_FICTIONAL = re.compile(rb"555.?.?01\d\d$|1234567|(\d)\1{6}|0{5}|987654")
_SEPARATED = re.compile(rb"[^0-9]+")


def _phone(source: bytes, place: int, _language: str) -> tuple[int, int] | None:
    """A number with a country code: compact (E.164) or in groups, 10 to 15 digits."""
    before = source[place - 1 : place] if place else b" "
    match = _E164.match(source, place) or _INTERNATIONAL.match(source, place)
    if match is None or before not in _QUOTES:
        return None
    digits = _SEPARATED.sub(b"", match[0])
    groups = len(_SEPARATED.findall(match[0][1:]))
    if not 10 <= len(digits) <= 15 or _FICTIONAL.search(digits) or (groups < 2 and b" " in match[0]):
        return None
    return match.span()


def _national_phone(source: bytes, place: int, _language: str) -> tuple[int, int] | None:
    """A number without country code after a word such as `phone`; `place` is where the word begins."""
    before = _TO_NUMBER.match(source, place, place + 44)
    match = _NATIONAL.match(source, before.end()) if before and before[0][-1:] in _QUOTES else None
    if match is None:
        return None
    digits = _SEPARATED.sub(b"", match[0])
    return None if _FICTIONAL.search(digits) or len(set(digits)) <= 3 else match.span()


_SIGN_OF_NAME = (
    r"(?:[\w\x80-\xbf\xc3-]|'(?=[A-Za-z]))"  # an apostrophe inside a name, never a quote that ends a literal
)
_LONG_WORD = rf"[A-Z\xc3](?:[a-z\x80-\xbf\xc3-]|'(?=[A-Z])){_SIGN_OF_NAME}{{0,24}}"
_NAME = (
    rf"(?:(?:{_LONG_WORD}|[A-Z]\.)(?:[ ](?:de|del|la|da|dos|van|von|der|den|le|y|e|di|al|el|bin|ter)){{0,3}}[ ]){{1,3}}"
    rf"{_LONG_WORD}"
)
_MARKS = {
    "@author": r"@authors?[ \t:]{1,4}",
    "signed-off-by:": r"signed-off-by:[ ]",
    "co-authored-by:": r"co-authored-by:[ ]",
    "reviewed-by:": r"reviewed-by:[ ]",
    "reported-by:": r"reported-by:[ ]",
    "tested-by:": r"tested-by:[ ]",
    "acked-by:": r"acked-by:[ ]",
    "written by": r"written[ ]by:?[ ]",
    "created by": r"created[ ]by:?[ ]",
    "author:": r"authors?:[ \t]{1,4}",
    "autor:": r"autora?:[ \t]{1,4}",
    "autora:": r"autora:[ \t]{1,4}",
    "escrito por": r"escrito[ ]por:?[ ]",
    "creado por": r"creado[ ]por:?[ ]",
    "criado por": r"criado[ ]por:?[ ]",
    "copyright": r"copyright[ ]{1,2}(?:\(c\)|\xc2\xa9)?[ ]?"
    r"(?:\d{4}(?:[ ]?[-,\xe2\x80\x93]{1,3}[ ]?(?:\d{4}|present))*,?[ ])?(?:by[ ])?",
}
_COMPANY = re.compile(
    rb"\b(?:Inc|Ltd|LLC|L\.L\.C|Corp|Corporation|Co|Company|GmbH|AG|S\.?A|SAS|SRL|S\.?L|B\.?V|PLC|Foundation|Group|Team|"
    rb"Project|Developers?|Contributors?|Authors?|Community|Committee|Labs?|University|Institute|Technologies|Software|"
    rb"Systems|Council|Consortium|Center|Centre|Association|Microsoft|Google|Facebook|Meta|Apple|Amazon|Intel|Nvidia|"
    rb"NVIDIA|IBM|Oracle|Adobe|Red Hat|Mozilla|Apache|Python|The|All|Rights|Reserved|This|License|Holders?|Owner|"
    rb"Notice|Open|Source|Data|Research|Network|Networks|Bank|Services?|Solutions|International|Limited|Regents|Free|"
    rb"Public|Your|Name|Here|Unknown|None|See|Class|File|Code|Generated|Using|Based|Version|Copyright|Statement|Law|"
    rb"Act|And|Or|Of)\b"
)
_NAMED = re.compile(
    "(?:{})({})(?![a-z\\xc3])".format("|".join(f"(?i:{mark})" for mark in _MARKS.values()), _NAME).encode("latin-1")
)
_HANDLE = re.compile(rb"(?:TODO|FIXME|XXX|HACK|NOTE)\(@?([a-z][a-z0-9_.-]{2,30})\)")
_NO_HANDLE = re.compile(
    rb"(?:bug|issue|later|v\d|[a-z]+-\d+|gh|none|all|perf|test|api|docs?|name|user(?:name)?|me|you)", re.IGNORECASE
)


def _name(source: bytes, place: int, _language: str) -> tuple[int, int] | None:
    match = _NAMED.match(source, place, place + 200)
    return match.span(1) if match and not _COMPANY.search(match[1]) else None


def _handle(source: bytes, place: int, _language: str) -> tuple[int, int] | None:
    match = _HANDLE.match(source, place)
    return match.span(1) if match and not _NO_HANDLE.fullmatch(match[1]) else None


def _iban(source: bytes, place: int, _language: str) -> tuple[int, int] | None:
    """An account number in one piece or in groups of four; how long it is, its country says."""
    match = _ACCOUNT.match(source, place)
    if match is None or (place and (source[place - 1 : place].isalnum() or source[place - 1 : place] in b"_+/")):
        return None
    text, length = match[0].decode(), IBAN_LENGTHS.get(match[0][:2].decode(), 0)
    value = text.replace(" ", "")[:length]
    if not length or not iban(value):
        return None
    end = place + (length + (length - 1) // 4 if " " in text else length)
    return (
        (place, end)
        if not source[end : end + 1].isalnum() and source[end : end + 1] not in (b"+", b"/", b"=")
        else None
    )


def _escape_before(source: bytes, start: int) -> int:
    r"""1 where the byte at `start` is the letter of an escape such as `\n`, so that the escape stays whole."""
    return int(start > 0 and source[start - 1 : start] == b"\\" and source[start : start + 1] in (b"n", b"r", b"t"))


def _is_public(address: str) -> bool:
    """Whether an address is of the public internet; what reads like a version (all parts below 32) is not counted."""
    try:
        parsed = ipaddress.IPv4Address(address)
    except ipaddress.AddressValueError:
        return False
    if _OBJECT_IDENTIFIER.match(address) or address in _NO_PERSON:
        return False
    return parsed.is_global and not parsed.is_multicast and max(parsed.packed) >= 32


def _shaped(patterns: tuple[bytes, ...], lengths: tuple[int, ...], *, border: bool = False) -> tuple[Head, ...]:
    before, behind = (b"(?:^|[^A-Za-z0-9_.])", b"(?<![A-Za-z0-9_.])") if border else (b"", b"")
    return tuple(
        Head(before + pattern, length, plain=behind + b"(?=" + pattern + b")")
        for pattern, length in zip(patterns, lengths, strict=True)
    )


_PHONE_WORDS = ("phone", "telefon", "teléfon", "telephon", "tel:", "tel.", "tel ", '"tel"', "celular",
                "movil", "móvil", "mobile", "whatsapp", "fax")  # fmt: skip
_TO_NUMBER = re.compile(rb"[^0-9(\n]{3,44}")
_NATIONAL = re.compile(
    rb"(?:\(\d{2,4}\) ?\d{3,5}[ -]\d{4}|\d{3}[-. ]\d{3}[-. ]\d{4}|\d{2} \d{4} \d{4}|\d{3} \d{3} \d{3}|"
    rb"\d{3} \d{2} \d{2} \d{2}|\d \d{4} \d{4}|\d{4}-\d{4}|\d{2} \d{4,5}-\d{4}|\d{9,10})(?![\w.-])"
)
_QUADS = tuple((a, b) for a in (1, 2, 3) for b in (1, 2, 3))
EMAIL = Rule(
    "email", _shaped((rb"[A-Za-z0-9_+%-]@[A-Za-z0-9]",), (3,)), _email, "# jane@" + "buril-mail.org", PERSONAL, "low"
)
IP = Rule(
    "ip",
    _shaped(tuple(rb"\d\.\d{%d}\.\d{%d}\.\d" % quad for quad in _QUADS), tuple(a + b + 5 for a, b in _QUADS)),
    _ip, "# 93.184.216." + "34", PERSONAL, "low",
)  # fmt: skip
IPV6 = Rule(
    "ipv6", _shaped((rb"\b[23][0-9A-Fa-f]{3}:[0-9A-Fa-f:]{2}",), (7,)), _ipv6,
    "# 2606:2800:220:1:248:1893:25c8:1946", PERSONAL, "low",
)  # fmt: skip
MAC = Rule(
    "mac",
    _shaped((rb"\b[0-9A-Fa-f]{2}:[0-9A-Fa-f]{2}:[0-9A-Fa-f]{2}:",
             rb"\b[0-9A-Fa-f]{2}-[0-9A-Fa-f]{2}-[0-9A-Fa-f]{2}-"), (9, 9)),
    _mac, "mac = '3c:22:fb:9a:04:d1'", PERSONAL, "low",
)  # fmt: skip
PHONE = Rule(
    "phone",
    _shaped(
        (rb"\+[1-9]\d{9}", rb"\+[1-9][ .(-][(\d]", rb"\+[1-9]\d[ .(-][(\d]", rb"\+[1-9]\d\d[ .(-][(\d]"),
        (11, 4, 5, 6),
    ),
    _phone, "tel: +52 55 8421 7736", PERSONAL, "low",
)  # fmt: skip
NATIONAL_PHONE = Rule(
    "phone_national", literals(_PHONE_WORDS), _national_phone, "phone: (415) 867-5309", PERSONAL, "low",
)  # fmt: skip
NAME = Rule("name", literals(tuple(_MARKS)), _name, "# @author Maria Del Carmen Quiroga", PERSONAL, "low")
HANDLE = Rule(
    "handle",
    literals(("todo(", "fixme(", "xxx(", "hack(", "note(")),
    _handle,
    "# TODO(mquiroga): tidy",
    PERSONAL,
    "low",
)
IBAN = Rule(
    "iban",
    _shaped((rb"[A-Z]{2}\d{2}[ A-Z0-9]",), (5,), border=True),
    _iban,
    "ES91 2100 0418 4502 0005 1332",
    PERSONAL,
    "medium",
)
