"""Licences: which one a text is, what a file or a package says of itself, and whether a set of them is allowed.

Everything ends in an SPDX expression (https://spdx.org/licenses) or in "" for unknown; a doubt is never resolved by
guessing. This is a classifier of texts, not legal advice.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from functools import lru_cache
from typing import Any

from buril.code._license_marks import (
    BEFORE,
    CONDITIONS,
    COVERS,
    EXCEPTIONS,
    GNU_NAMES,
    GNU_TEXTS,
    MARKS,
    NAMES,
    PROPRIETARY,
    Mark,
)

UNRECOGNISED = "LicenseRef-unrecognised"
"""What `spdx_header` gives for an identifier that is not SPDX: someone said something, but not what."""

HEADER_CHARS = 4096
_NOT_WORD = re.compile(r"[^a-z0-9]+")
_MARKUP = re.compile(r"<[a-zA-Z/!][^>\n]{0,200}>")
_COPYRIGHT = re.compile(r"^[^a-z0-9\n]*(?:portions )?(?:copyright|\(c\)|©)[^\n]*\d{4}[^\n]*$", re.MULTILINE)
_HEADER = re.compile(r"^\W{0,20}SPDX-License-Identifier:[ \t]*([^\n]{1,200})", re.MULTILINE)
_HEADER_END = re.compile(r"\s*(\*/|-->|#\}|--\]\]|-\}|\*\)|\"\"\"|'''|;;?)?\s*$")
_LATER = r"(?: of the license)?(?P<later> or (?:at your option )?any later version| or later)?"
_GNU_NOTICE = re.compile(
    r"under the terms of (?:version (?P<before>\d(?: \d)?) of )?the gnu (?P<family>lesser |library |affero )?"
    r"general public licenses?(?: as published by the free software foundation)?(?: either)?"
    r"(?: v(?:ersion)? ?(?P<after>\d(?: [01])?\b)" + _LATER + ")?"
)
_GNU_LATER = "of the license or at your option any later version"
_GNU_VERSION = re.compile(
    r"^(?P<family>[a-z ]+?) ?(?:version |v)?(?P<version>[123])(?: (?P<minor>[01]))?"
    r"(?P<later> or later| or any later version| or newer)?$"
)
_GNU_FAMILIES = {"": "GPL", "lesser ": "LGPL", "library ": "LGPL", "affero ": "AGPL"}
_GNU_KNOWN = frozenset(family for family, _, _ in GNU_TEXTS)


def words(text: str) -> str:
    r"""A text as plain words: lower case, letters and digits, one space between; markup and copyright lines left out.

    Example:
        `words("Apache License,\n  Version 2.0")` → "apache license version 2 0"
    """
    lowered = _MARKUP.sub(" ", text).lower().replace("\r\n", "\n")
    return _NOT_WORD.sub(" ", _COPYRIGHT.sub(" ", lowered)).strip()


@lru_cache(maxsize=4096)
def detect(text: str) -> str:
    """The SPDX expression of a licence text or notice; "" when it is none of those known.

    A text that holds several licences gives them all, joined by AND in the order they stand there: whoever uses what it
    covers must keep each. The bare text of a GNU licence says its version and no more, so it counts as `-only`;
    `-or-later` needs a notice that says so.
    """
    plain = words(text)
    found: dict[str, int] = {}
    for mark in MARKS:
        place = _place(plain, mark)
        if place is not None:
            found.setdefault(mark.license, place)
    for name in [name for name in found if name in COVERS]:
        for part in COVERS[name]:
            found.pop(part, None)
    found.update(_gnu(plain))
    for name, exception, phrase in EXCEPTIONS:
        for known in [item for item in found if item.startswith(name)]:
            if phrase in plain:
                found[f"{known} WITH {exception}"] = found.pop(known)
    if not found and any(phrase in plain for phrase in PROPRIETARY):
        return "LicenseRef-Proprietary"
    found.update({name: len(plain) for phrase, name in CONDITIONS if found and phrase in plain})
    return " AND ".join(sorted(found, key=lambda name: (found[name], name)))


def _place(plain: str, mark: Mark) -> int | None:
    """Where a mark fits in a text, or None."""
    place = plain.find(mark.need[0])
    while place >= 0:
        end = len(plain) if mark.span is None else place + mark.span
        window = plain[max(0, place - BEFORE) : end]
        if all(phrase in window for phrase in mark.need[1:]) and not any(phrase in window for phrase in mark.none):
            return place
        place = plain.find(mark.need[0], place + 1)
    return None


def _gnu(plain: str) -> dict[str, int]:
    """The GNU licence of a text, whole or by notice, and where it begins."""
    for family, title, body in GNU_TEXTS:
        start, inside = plain.find(title), plain.find(body)
        if start < 0 or inside < 0:
            continue
        later = plain.find(_GNU_LATER)
        notice_before = 0 <= later < start
        return {f"{family}-{'or-later' if notice_before else 'only'}": start}
    notice = _GNU_NOTICE.search(plain)
    version = (notice["after"] or notice["before"]) if notice else None
    if notice is None or version is None:
        return {}
    major, _, minor = version.partition(" ")
    name = f"{_GNU_FAMILIES[notice['family'] or '']}-{major}.{minor or 0}"
    later = bool(notice["later"]) or "or at your option any later version" in plain[notice.end() : notice.end() + 80]
    return {f"{name}-{'or-later' if later else 'only'}": notice.start()} if name in _GNU_KNOWN else {}


def spdx_header(content: str) -> str:
    """The licence that a file's own `SPDX-License-Identifier:` line states; "" without one.

    Only the first lines count, and only where the tag begins a line but for comment signs. Several tags are joined by
    AND. An identifier that is not SPDX gives `UNRECOGNISED`, so that nobody mistakes it for silence.
    """
    head = content[:HEADER_CHARS]
    if "SPDX-License-Identifier:" not in head:
        return ""
    stated = [_HEADER_END.sub("", match[1]).strip() for match in _HEADER.finditer(head)]
    if not stated:
        return ""
    known = list(dict.fromkeys(normalise(item) or UNRECOGNISED for item in stated))
    return known[0] if len(known) == 1 else normalise(" AND ".join(f"({item})" for item in known))


@lru_cache(maxsize=4096)
def normalise(expression: str) -> str:
    """The canonical SPDX expression of what a person or a package wrote; "" when it is unknown or ambiguous.

    Understands SPDX expressions in any case, retired identifiers, `LicenseRef-…`, names ("MIT License", "Apache 2.0"),
    trove classifiers ("License :: OSI Approved :: …") and the old `MIT/Apache-2.0`. "BSD" or "GPL" alone name a family,
    not a licence, and stay "".
    """
    text = " ".join(expression.split())
    if not text or len(text) > 400 or text.count("(") != text.count(")"):
        return ""
    for prefix in ("License :: OSI Approved :: ", "License :: "):
        text = text.removeprefix(prefix)
    if _plain_name(text) in GNU_NAMES:
        return ""
    return _by_name(text) or _by_expression(text) or _by_slash(text)


def declared(value: str) -> str:
    """The canonical form of a licence that a setting states, "" for none.

    Raises:
        ValueError: for what is no licence; the message says what to write instead.
    """
    known = normalise(value) if value else ""
    if value and not known:
        raise ValueError(f"{value!r} is not an SPDX expression; write LicenseRef-… for a licence of your own")
    return known


def _by_slash(text: str) -> str:
    if "/" not in text:
        return ""
    parts = [normalise(part) for part in text.split("/")]
    return normalise(" OR ".join(f"({part})" for part in parts)) if all(parts) else ""


def _plain_name(text: str) -> str:
    """A name as plain words, without those that say nothing."""
    plain = _NOT_WORD.sub(" ", text.lower().replace("+", " or later "))
    return " ".join(re.sub(r"\b(?:the|license|licence|licensed|under)\b", " ", plain).split())


def _by_name(text: str) -> str:
    plain = _plain_name(text)
    if plain in NAMES:
        return NAMES[plain]
    bracket = re.fullmatch(r"(.*\S)\s*\([^()]+\)", text)
    if bracket is not None and (before := _by_name(bracket[1])):  # "The MIT License (MIT)" says it twice
        return before
    # "GNU General Public License v3 or later (GPLv3+)": the short form in brackets says it again
    plain = re.sub(r" a?l?gplv[123](?: or later)?$", "", plain)
    match = _GNU_VERSION.match(plain)
    if match is None or match["family"].strip() not in GNU_NAMES:
        return ""
    name = f"{GNU_NAMES[match['family'].strip()]}-{match['version']}.{match['minor'] or 0}"
    return f"{name}-{'or-later' if match['later'] else 'only'}" if name in _GNU_KNOWN else ""


@lru_cache(maxsize=1)
def _licensing() -> Any:
    from license_expression import get_spdx_licensing

    return get_spdx_licensing()


def _by_expression(text: str) -> str:
    from license_expression import ExpressionError, ExpressionParseError

    try:
        parsed = _licensing().parse(text)
    except (ExpressionError, ExpressionParseError):
        return ""
    if parsed is None or any(not _is_reference(key) for key in _licensing().unknown_license_keys(parsed)):
        return ""
    return str(parsed)


def _is_reference(key: str) -> bool:
    return re.fullmatch(r"(?:DocumentRef-[\w.-]+:)?LicenseRef-[\w.-]+", key) is not None


def allowed(expression: str, allow: Collection[str]) -> bool:
    """Whether an SPDX expression can be met with the licences in `allow`: one side of an OR, every side of an AND.

    Names in `allow` are compared without regard to case; `internal` stands for `LicenseRef-internal`; `X-only` also
    allows `X-or-later` (the licensee may choose that version); a licence WITH an exception is allowed where the licence
    is, since exceptions only permit more. An unknown licence ("") is allowed by the name `unknown` alone.

    Example:
        `allowed("MIT OR GPL-2.0-only", {"mit"})` → True; `allowed("MIT AND GPL-2.0-only", {"mit"})` → False
    """
    return _allowed(expression, frozenset(_fold(normalise(name) or name) for name in allow))


@lru_cache(maxsize=4096)
def _allowed(expression: str, allow: frozenset[str]) -> bool:
    from license_expression import ExpressionError, ExpressionParseError, Licensing

    if not expression:
        return "unknown" in allow
    try:
        parsed = Licensing().parse(expression)
    except (ExpressionError, ExpressionParseError):
        return False
    return _met(parsed, allow)


def _met(node: Any, allow: frozenset[str]) -> bool:
    operator = getattr(node, "operator", "").strip().upper()
    if operator == "OR":
        return any(_met(part, allow) for part in node.args)
    if operator == "AND":
        return all(_met(part, allow) for part in node.args)
    whole = _fold(str(node))
    name = whole.split(" with ")[0]
    return bool({whole, name, name.removesuffix("-or-later") + "-only"} & allow)


_STRONG = ("gpl-", "agpl-", "sspl-", "osl-", "eupl-", "cc-by-sa-")
_WEAK = ("lgpl-", "mpl-", "epl-", "cddl-", "cpl-", "ms-rl", "cecill-c")
_PERMISSIVE = ("mit", "bsd-", "apache-", "isc", "zlib", "unlicense", "0bsd", "cc0-", "bsl-", "python-", "psf-", "wtfpl",
               "ncsa", "postgresql", "x11", "cc-by-4", "upl-", "blueoak-", "artistic-2", "ms-pl", "boost")  # fmt: skip
_FAMILIES = ("internal", "permissive", "weak copyleft", "copyleft", "other")
"""From the one that asks least to the one of which nothing is known."""


@lru_cache(maxsize=4096)
def family(expression: str) -> str:
    """What kind of licence an SPDX expression is: `permissive`, `weak copyleft`, `copyleft`, `internal`, `other`.

    Of an OR the one that asks least counts, of an AND the one that asks most; "" is `unknown`. It sorts figures and is
    no legal advice: what is not recognised by its name is `other`.

    Example:
        `family("MIT AND (Apache-2.0 OR GPL-3.0-only)")` → "permissive"
    """
    from license_expression import ExpressionError, ExpressionParseError, Licensing

    if not expression:
        return "unknown"
    try:
        parsed = Licensing().parse(expression)
    except (ExpressionError, ExpressionParseError):
        return "other"
    return _FAMILIES[_asks(parsed)]


def _asks(node: Any) -> int:
    operator = getattr(node, "operator", "").strip().upper()
    if operator in ("OR", "AND"):
        return (min if operator == "OR" else max)(_asks(part) for part in node.args)
    return _FAMILIES.index(_family(str(node)))


def _family(name: str) -> str:
    whole = _fold(name)
    if whole == "internal":
        return whole
    for kind, beginnings in (("copyleft", _STRONG), ("weak copyleft", _WEAK), ("permissive", _PERMISSIVE)):
        if whole.startswith(beginnings):
            return kind
    return "other"


def _fold(name: str) -> str:
    return name.strip().lower().removeprefix("licenseref-")
