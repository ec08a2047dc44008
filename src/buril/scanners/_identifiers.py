"""Numbers of people, companies, accounts and cards: in what forms they are written, and what must stand beside them.

One in ten strings of digits passes a check of modulo 10, so a valid check digit alone says little. A value counts when
it is *formatted* as the number is printed (`20-26756539-3`), or is a whole literal with a check that few numbers pass
(*quoted*), or is *bare* and one of the rule's words (`cuit`) stands in the 64 bytes before it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import NamedTuple

from buril.scanners import _checks as checks
from buril.scanners._rules import PERSONAL, Head, Rule, literals

WINDOW_BYTES = 64
"""How far before a bare value its word may begin."""
_SEPARATORS = re.compile(rb"[ ./-]")
_MADE = re.compile(r"^1?0{5,}\d{0,4}$|(\d)\1{6,}")
"""What redaction itself writes for a bare number, and rows of one digit."""
_SIZED = re.compile(r"(\[(?:\\.|[^\]\\])+\]|\\.|.)(?:\{(\d+)\})?")
_DIGIT_RUN = re.compile(r"(?:\\d(?:\{\d+\})?){2,}")
_RUN_LENGTH = re.compile(r"d(?:\{(\d+)\})?")
_AFTER = rb"(?![A-Za-z0-9_]|[-.]\d|-[A-Z]\b|[-/]\w+[-/])"


class Forms(NamedTuple):
    """Patterns of a fixed length, without groups, in which a value may be written. See the module's text."""

    formatted: tuple[str, ...] = ()
    quoted: tuple[str, ...] = ()
    bare: tuple[str, ...] = ()


def identifier(
    name: str, check: Callable[[str], bool], sample: str, *, forms: Forms, words: Sequence[str] = ()
) -> Rule:
    """A rule for one kind of number. `check` sees the value without separators, in upper case."""
    bodies = dict.fromkeys(body for same in forms for body in same)
    heads = tuple(dict.fromkeys(_head(body) for body in bodies))
    kinds = [(re.compile(body.encode() + _AFTER), kind) for kind, bodies in forms._asdict().items() for body in bodies]
    context = _Context(words)

    def locate(source: bytes, place: int, _language: str) -> tuple[int, int] | None:
        if _goes_on(source, place):
            return None
        for pattern, kind in kinds:
            match = pattern.match(source, place)
            if match and (kind == "formatted" or _stands(source, match.span(), None if kind == "quoted" else context)):
                value = _SEPARATORS.sub(b"", match[0]).decode("utf-8", "replace").upper()
                if not _MADE.search(value) and check(value):
                    return match.span()
        return None

    return Rule(name, heads, locate, sample, PERSONAL, "medium")


def _head(body: str) -> Head:
    """What a form begins with, made so coarse that forms share heads: the automaton costs by the number of its heads.

    Digits of any range are digits, letters are letters. It ends before the first separator after seven digits, or after
    the six or seven digits that follow a letter; of leading letters three are enough, and need no border.
    """
    made, length, digits = "", 0, 0
    units = [(_coarse(match[1]), int(match[2] or 1)) for match in _SIZED.finditer(body)]
    letters = units[0][0].startswith("[A-Z")
    for place, (unit, times) in enumerate(units):
        shown = min(times, 3) if letters and not made else times
        made, length = made + (f"{unit}{{{shown}}}" if shown > 1 else unit), length + times
        digits += times * (unit == r"\d")
        following = units[place + 1][0] if place + 1 < len(units) else ""
        if letters and digits >= 6:
            break
        if digits >= 7 and following not in (r"\d", "[A-Z&]", "[0-9A-Z]"):
            made += r"\b"
            break
    border, pattern = b"(?:^|[^A-Za-z0-9_.])", _joined(made).encode()
    plain = (
        b"(?<![A-Za-z0-9_.])(?="
        + (rb".{%d}" % (units[0][1] - 3) if letters and units[0][1] > 3 else b"")
        + pattern
        + b")"
    )
    return Head(pattern if letters else border + pattern, length, plain=plain)


def _coarse(unit: str) -> str:
    if re.fullmatch(r"\[[0-9-]+\]|\\d|\d", unit):
        return r"\d"
    if re.fullmatch(r"\[[A-Z&-]+\]", unit):
        return "[A-Z&]"
    return "[0-9A-Z]" if unit in ("[0-9A-Z]", "[A-Z0-9]", "[0-9A-J]") else unit


def _joined(pattern: str) -> str:
    r"""Neighbouring runs of digits as one: `\d{2}\d` → `\d{3}`, so that equal heads look equal."""
    return _DIGIT_RUN.sub(lambda found: f"\\d{{{sum(int(n or 1) for n in _RUN_LENGTH.findall(found[0]))}}}", pattern)


def _goes_on(source: bytes, place: int) -> bool:
    """Whether what begins at `place` goes on something before it: a word, a longer number, a path of digits."""
    before = source[max(0, place - 2) : place]
    if not before:
        return False
    return before[-1:].isalnum() or before[-1:] == b"_" or (before[-1:] in b".-/" and before[:1].isdigit())


def _stands(source: bytes, span: tuple[int, int], context: _Context | None) -> bool:
    """Whether a value is a whole literal, or has one of its words before it where a context is asked for."""
    start, end = span
    if context is not None:
        return context.before(source, start)
    quote = source[start - 1 : start] if start else b""
    return quote in (b'"', b"'", b"`") and source[end : end + 1] == quote


class _Context:
    """One of the words as a word of its own or of a name: `cuit`, `CUIT_`, `clientCuit`; not `circuit`."""

    def __init__(self, words: Sequence[str]) -> None:
        low = "|".join(words)
        high = "|".join(word[:1].upper() + word[1:] for word in words)
        self._pattern = re.compile(rf"(?:(?<![A-Za-z])(?i:{low})|(?<=[a-z])(?:{high}))(?:s|es)?(?![a-z])".encode())
        stems = {re.split(r"[^a-z]", word)[0].encode() for word in words}
        self._stems = tuple(stem for stem in stems if stem)

    def before(self, source: bytes, start: int) -> bool:
        """Whether a word stands in the window before `start`; most windows are told by their plain letters."""
        first = max(0, start - WINDOW_BYTES)
        window = source[first:start].lower()
        return any(stem in window for stem in self._stems) and self._pattern.search(source, first, start) is not None


def rule(name: str, check: Callable[[str], bool], sample: str, words: str, **forms: tuple[str, ...]) -> Rule:
    """A line of the tables below: `words` are parted by spaces, an underscore stands for any separator."""
    listed = [word.replace("_", "[ _-]?") for word in words.split()]
    return identifier(name, check, sample, forms=Forms(**forms), words=listed)


_CNPJ = re.compile(rb"[0-9A-Z]{2}\.[0-9A-Z]{3}\.[0-9A-Z]{3}/[0-9A-Z]{4}-\d{2}" + _AFTER)
_CNPJ_NAMED = re.compile(rb"(?i:cnpj)[^\n0-9A-Z]{1,24}([0-9A-Z]{12}\d{2})" + _AFTER)


def _cnpj_letters(source: bytes, place: int, _language: str) -> tuple[int, int] | None:
    """The CNPJ with letters, as printed, or in one piece after its name."""
    match = _CNPJ.match(source, place) or _CNPJ_NAMED.match(source, place)
    if match is None or (match.re is _CNPJ and _goes_on(source, place)):
        return None
    group = match.lastindex or 0
    return match.span(group) if checks.cnpj(_SEPARATORS.sub(b"", match[group]).decode()) else None


def _real_card(value: str) -> bool:
    return checks.card(value) and len(set(value)) > 3 and not checks.test_card(value)


_CARD = {
    "formatted": (
        r"[2-6]\d{3} \d{4} \d{4} \d{4}", r"[2-6]\d{3}-\d{4}-\d{4}-\d{4}", r"3[47]\d{2} \d{6} \d{5}",
        r"3[47]\d{2}-\d{6}-\d{5}", r"3[0689]\d{2} \d{6} \d{4}",
    ),
    "quoted": (r"[2-6]\d{15}", r"3[47]\d{13}"),
    "bare": (r"[2-6]\d{15}", r"3[47]\d{13}", r"3[0689]\d{12}", r"[46]\d{18}", r"4\d{12}"),
}  # fmt: skip
_CARD_WORDS = (
    "card credit_card debit_card cardnum card_number ccnum cc_number cc pan visa mastercard amex tarjeta "
    "numero_tarjeta cartao cart(?:a|ã)o num_tarjeta diners discover jcb unionpay elo hipercard payment"
)
CARDS = (
    rule("card", _real_card, "4532 0151 1283 0366", _CARD_WORDS, **_CARD),
)  # fmt: skip
TEST_CARDS = (rule("card", checks.card, "4242 4242 4242 4242", _CARD_WORDS, **_CARD),)
"""The same with the numbers that payment providers publish for tests."""
MEXICO = (
    rule("curp", checks.curp, "HEGG560427MVZRRL04", "curp", formatted=(r"[A-Z]{4}\d{6}[HMX][A-Z]{5}[A-Z0-9]\d",)),
    rule(
        "rfc", checks.rfc, "rfc = 'GODE561231GR8'", "rfc factura contribuyente sat emisor receptor",
        formatted=(r"[A-Z]{4}-\d{6}-[A-Z0-9]{3}", r"[A-Z&]{3}-\d{6}-[A-Z0-9]{3}"),
        quoted=(r"[A-Z]{4}\d{6}[A-Z0-9]{3}", r"[A-Z&]{3}\d{6}[A-Z0-9]{3}"),
        bare=(r"[A-Z]{4}\d{6}[A-Z0-9]{3}", r"[A-Z&]{3}\d{6}[A-Z0-9]{3}"),
    ),
    rule(
        "nss", checks.nss, "nss: 12-34-56-7890-3", "nss imss seguro_social seguridad_social numero_seguro afiliacion",
        formatted=(r"\d{2}-\d{2}-\d{2}-\d{4}-\d",), bare=(r"\d{11}", r"\d{2} \d{2} \d{2} \d{4} \d"),
    ),
    rule("clabe", checks.clabe, "clabe = '032180000118359719'", "clabe interbancaria spei",
         quoted=(r"\d{18}",), bare=(r"\d{18}", r"\d{3} \d{3} \d{11} \d", r"\d{3}-\d{3}-\d{11}-\d")),
)  # fmt: skip
ARGENTINA = (
    rule("cuit", checks.cuit, "20-26756539-3", "cuit cuil", formatted=(r"\d{2}-\d{8}-\d",), quoted=(r"\d{11}",),
         bare=(r"\d{11}", r"\d{2} \d{8} \d", r"\d{2}\.\d{8}\.\d")),
    rule("dni_argentina", checks.plain_number, "dni = 27345118", "dni documento nro_documento num_documento libreta",
         bare=(r"\d{8}", r"\d{7}", r"\d{2}\.\d{3}\.\d{3}", r"\d\.\d{3}\.\d{3}")),
    rule("cbu", checks.cbu, "cbu = '2850590940090418135201'", "cbu cvu", quoted=(r"\d{22}",),
         bare=(r"\d{22}", r"\d{8}[ -]\d{14}")),
)  # fmt: skip
BRAZIL = (
    rule("cpf", checks.cpf, "390.533.447-05", "cpf", formatted=(r"\d{3}\.\d{3}\.\d{3}-\d{2}", r"\d{9}-\d{2}"),
         quoted=(r"\d{11}",), bare=(r"\d{11}",)),
    rule(
        "cnpj", checks.cnpj, "16.727.230/0001-97", "cnpj",
        formatted=(r"\d{2}\.\d{3}\.\d{3}/\d{4}-\d{2}", r"\d{8}/\d{4}-\d{2}"), quoted=(r"\d{14}",), bare=(r"\d{14}",),
    ),
    Rule("cnpj_letters",
         (Head(rb"/[0-9A-Z]{4}-\d{2}\b", 18, plain=rb"(?=[0-9A-Z.]{10}/[0-9A-Z]{4}-\d)"), *literals(("cnpj",))),
         _cnpj_letters, "12.ABC.345/01DE-35", PERSONAL, "medium"),
)  # fmt: skip
CHILE = (
    rule(
        "rut_chile", checks.rut, "12.531.909-2", "rut run rol_unico",
        formatted=(r"\d{2}\.\d{3}\.\d{3}-[0-9kK]", r"\d\.\d{3}\.\d{3}-[0-9kK]"),
        quoted=(r"\d{8}-[0-9kK]", r"\d{7}-[0-9kK]"),
        bare=(r"\d{8}-[0-9kK]", r"\d{7}-[0-9kK]", r"\d{8}[0-9kK]"),
    ),
)  # fmt: skip
COLOMBIA = (
    rule("nit", checks.nit, "NIT 213.123.432-1", "nit",
         formatted=(r"\d{3}\.\d{3}\.\d{3}-\d",), bare=(r"\d{9}-\d", r"\d{10}", r"\d{9} \d")),
    rule("cedula_colombia", checks.plain_number, "cedula: 1.032.456.789",
         "c(?:e|é)dula cc c\\.c\\. ciudadan(?:i|í)a cedula_ciudadania",
         bare=(r"\d\.\d{3}\.\d{3}\.\d{3}", r"\d{2}\.\d{3}\.\d{3}", r"\d{10}", r"\d{8}")),
)  # fmt: skip
PERU = (
    rule(
        "ruc_peru",
        checks.ruc_peru,
        "ruc = '20512333797'",
        "ruc sunat",
        quoted=(r"[12]0\d{9}",),
        bare=(r"[12][0-7]\d{9}",),
    ),
)
URUGUAY = (
    rule("rut_uruguay", checks.rut_uruguay, "rut: 211003420017", "rut rut_empresa", quoted=(r"\d{8}001\d",),
         bare=(r"\d{8}001\d",), formatted=(r"\d{2}-\d{6}-001-\d",)),
    rule("ci_uruguay", checks.ci_uruguay, "1.234.567-2", "c(?:e|é)dula identidad documento cedula_identidad",
         formatted=(r"\d\.\d{3}\.\d{3}-\d",), bare=(r"\d{7}-\d", r"\d{8}")),
)  # fmt: skip
ECUADOR = (
    rule(
        "cedula_ecuador",
        checks.cedula_ecuador,
        "cedula = '1714307103'",
        "c(?:e|é)dula identidad identificacion",
        formatted=(r"\d{9}-\d",),
        bare=(r"\d{10}",),
    ),
    rule(
        "ruc_ecuador", checks.ruc_ecuador, "ruc = '1792060346001'", "ruc sri", quoted=(r"\d{10}001",), bare=(r"\d{13}",)
    ),
)
SPAIN = (
    rule("dni_spain", checks.dni, "dni: 54362315K", "dni nif documento",
         formatted=(r"\d{8}-[A-Z]", r"\d{2}\.\d{3}\.\d{3}-[A-Z]"), quoted=(r"\d{8}[A-Z]",),
         bare=(r"\d{8}[A-Z]", r"\d{8} [A-Z]")),
    rule("nie", checks.dni, "X-2482300-W", "nie nif dni extranjero", formatted=(r"[XYZ]-\d{7}-[A-Z]",),
         quoted=(r"[XYZ]\d{7}[A-Z]",), bare=(r"[XYZ]\d{7}[A-Z]", r"[XYZ]\d{7}-[A-Z]")),
    rule("cif", checks.cif, "cif = 'A13585625'", "cif nif vat empresa",
         formatted=(r"[A-HJ-NP-SUVW]-\d{7}-[0-9A-J]",), bare=(r"[A-HJ-NP-SUVW]\d{7}[0-9A-J]", r"[A-HJ-NP-SUVW]-\d{8}")),
)  # fmt: skip
