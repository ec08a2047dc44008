"""Secrets and personal data: tokens, keys, passwords, e-mail addresses, public IPv4 addresses.

The formats are those that the providers publish; see `_rules.py`. It looks at one text, verifies nothing over the
network, and cannot know a secret that looks like an ordinary word: it lowers the risk, it does not remove it.
"""

from __future__ import annotations

import ipaddress
import math
import re
from bisect import bisect
from collections import Counter
from collections.abc import Callable, Iterator
from typing import ClassVar, Literal

from buril.code.codefile import Finding
from buril.core.settings import Settings as BaseSettings
from buril.scanners._cwe import owasp
from buril.scanners._keywords import Keywords
from buril.scanners._rules import PERSONAL, RULES, SECRETS, Rule
from buril.scanners._scanner import Scanner, Span

_CWE = {SECRETS: "CWE-798", PERSONAL: "CWE-359"}
NEAR_BYTES = 24_000
"""How far a match may reach from its keyword: a private key of 16,384 bits fits."""

_LITERAL_LANGUAGES = frozenset({"", "bash", "dockerfile", "env", "ini", "make", "properties", "toml", "yaml"})
_PLACEHOLDER = re.compile(
    rb"example|change.?me|place.?holder|x{4}|\*{3}|\.{3}|your|dummy|sample|redacted|insert|replace|foobar|qwerty|passw|"
    rb"secret|token|\{\{|\$\{|\$\(|<|%\(|%s|0{8}|1234567|abcdefg|test|fake|mock|todo|none|null|undefined|localhost|default",
    re.IGNORECASE,
)
_DOCUMENTED = re.compile(rb"EXAMPLE(?:KEY)?$|^(.)\1+$|X{8}|x{8}|0{12}|\.\.\.|\*{4}")
_PIECES = re.compile(rb"[A-Z]?[a-z]+|[A-Z]+")
_PROSE = frozenset(b"-_./ :+,")
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
_IPV4 = re.compile(rb"\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})(?![\w-]|\.\d|/\d)")
_OBJECT_IDENTIFIER = re.compile(r"0\.|1\.[0-3]\.|2\.(?:5|16|23)\.")
_NO_PERSON = frozenset({"8.8.8.8", "8.8.4.4", "1.1.1.1", "1.0.0.1", "9.9.9.9", "208.67.222.222", "208.67.220.220"})


class Secrets(Scanner):
    """Finds secrets by format, and personal data by form; says where, so that both can be replaced."""

    version: ClassVar[int] = 2

    class Settings(BaseSettings):
        """What to look for."""

        shorthand: ClassVar[str | None] = "rules"

        rules: tuple[Literal["secrets", "personal"], ...] = (SECRETS, PERSONAL)
        """Families of rules: `secrets` (tokens, keys, passwords), `personal` (e-mail addresses, public IPv4)."""

    def __init__(self, settings: Settings | None = None) -> None:
        super().__init__(settings)
        self._rules: dict[bytes, list[tuple[int, Rule]]] = {}
        for rank, rule in enumerate(RULES if SECRETS in self.settings.rules else ()):
            for word in rule.keywords:
                self._rules.setdefault(word.lower(), []).append((rank, rule))
        self._keywords = Keywords(self._rules)
        self._personal = PERSONAL in self.settings.rules

    def scan(self, text: str, language: str) -> Iterator[Finding]:
        """One finding a place, in the order of the text; a finding never holds the value."""
        source = text.encode("utf-8", "surrogatepass")
        line, seen = 1, 0
        for span in self.spans(source, language):
            line, seen = line + source.count(b"\n", seen, span.start), span.start
            cwe = _CWE[span.group]
            yield Finding("secrets", span.rule, line, span.severity, cwe=cwe, owasp=owasp(cwe))

    def spans(self, source: bytes, language: str) -> list[Span]:
        """Where values stand in UTF-8 text, in order and without overlap."""
        found = list(self._secrets(source, language))
        if self._personal:
            found.extend((len(RULES), span) for span in self._emails(source))
            found.extend((len(RULES), span) for span in self._addresses(source))
        if not found:
            return []
        taken: list[Span] = []
        for _, span in sorted(found):
            at = bisect(taken, span)
            clear_left = at == 0 or taken[at - 1].end <= span.start
            if clear_left and (at == len(taken) or span.end <= taken[at].start):
                taken.insert(at, span)
        return taken

    def _secrets(self, source: bytes, language: str) -> Iterator[tuple[int, Span]]:
        for word, places in self._keywords.find(source).items():
            for rank, rule in self._rules[word]:
                past = -1
                for place in places:
                    if place < past:
                        continue
                    match = rule.pattern.match(source, place, place + NEAR_BYTES)
                    if match and _accepts(rule, match, language):
                        past = match.end(match.lastindex or 0)
                        yield rank, Span(*match.span(match.lastindex or 0), rule.name, rule.severity, rule.group)

    def _emails(self, source: bytes) -> Iterator[Span]:
        if b"@" not in source:
            return
        for match in _DOMAIN.finditer(source):
            local = _LOCAL.search(source, max(0, match.start() - 64), match.start())
            if local is None or _RESERVED_DOMAIN.search(match[1]):
                continue
            start = local.start() + _escape_before(source, local.start())
            before = source[start - 1 : start] if start else b" "
            if source[start : match.start()] not in (b"", b"git", b"hg", b"svn") and before not in b":/":
                yield Span(start, match.end(), "email", "low", PERSONAL)

    def _addresses(self, source: bytes) -> Iterator[Span]:
        for match in _IPV4.finditer(source):
            start = match.start()
            while start and source[start - 1 : start].isdigit():
                start -= 1
            before = source[start - 1 : start] if start else b" "
            stands_alone = 1 <= match.start() - start <= 3 and not (before.isalnum() or before in b"._-=~^/")
            if stands_alone and _is_public(source[start : match.end()].decode()):
                yield Span(start, match.end(), "ip", "low", PERSONAL)

    def self_test(self) -> list[str]:
        """Names of the rules that do not find their own planted sample."""
        missed = []
        for rule in RULES if SECRETS in self.settings.rules else ():
            planted = f"x = 1\n{rule.sample}\n".encode()
            if not any(span.rule == rule.name for _, span in self._secrets(planted, "")):
                missed.append(rule.name)
        if self._personal:
            seen = {
                span.rule for span in self.spans(b"# mail jane@" + b"buril-mail.org from 93.184.216." + b"34\n", "")
            }
            missed.extend(sorted({"email", "ip"} - seen))
        return missed


def entropy(value: bytes) -> float:
    """Shannon's entropy of the bytes of `value`, in bits a byte.

    Example:
        `entropy(b"aabb")` → 1.0
    """
    size = len(value)
    return -sum(count / size * math.log2(count / size) for count in Counter(value).values()) if size else 0.0


def _accepts(rule: Rule, match: re.Match[bytes], language: str) -> bool:
    value: bytes = match[match.lastindex or 0]
    if _DOCUMENTED.search(value) or entropy(value) < rule.min_entropy:
        return False
    if match.lastindex == 3 and language not in _LITERAL_LANGUAGES:
        return False  # without quotes it is a name, not a value, unless the language has none
    return _CHECKS[rule.check](value)


def _any(value: bytes) -> bool:
    return bool(value)


def _like_password(value: bytes) -> bool:
    """Letters mixed with digits or signs, and neither words, a path, a variable nor a known placeholder."""
    if _PLACEHOLDER.search(value) or _reads_as_words(value) or value[:1] in b"/$%&#@\\" or b"://" in value:
        return False
    text = value.decode("utf-8", "replace")
    kinds = (
        any(sign.islower() for sign in text), any(sign.isupper() for sign in text),
        any(sign.isdigit() for sign in text), any(not sign.isalnum() for sign in text),
    )  # fmt: skip
    return kinds[2] and (kinds[0] or kinds[1]) and (sum(kinds) >= 3 or len(text) >= 10)


def _reads_as_words(value: bytes) -> bool:
    """Whether its letters come in runs as words do (three and more on average), joined by nothing unusual.

    Random letters and digits give runs below two; `Qwen3ForCausalLM` and `sha256_crypt` read as words.
    """
    if any(not (48 <= code <= 57 or 65 <= code <= 90 or 97 <= code <= 122 or code in _PROSE) for code in value):
        return False
    runs = _PIECES.findall(value)
    return not runs or sum(map(len, runs)) / len(runs) >= 3


def _like_token(value: bytes) -> bool:
    """Letters and at least two digits in one run that no person would write as words."""
    if _PLACEHOLDER.search(value) or _reads_as_words(value) or value[:1] in b"/$%&#@\\." or b"://" in value:
        return False
    digits = sum(48 <= code <= 57 for code in value)
    return digits >= 2 and any(65 <= code <= 90 or 97 <= code <= 122 for code in value) and value.isascii()


_CHECKS: dict[str, Callable[[bytes], bool]] = {"": _any, "password": _like_password, "token": _like_token}


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
