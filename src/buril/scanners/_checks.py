"""Identifiers with check digits: is this value a valid one? One function each, with the rule's official source.

Each takes the value without separators, letters in upper case, and says whether form and check digits hold. None can
know whether the number was ever given to anybody. `_identifiers.py` says where in a text they are looked for.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Sequence

_STATES = frozenset(
    [
        "AS",
        "BC",
        "BS",
        "CC",
        "CS",
        "CH",
        "CL",
        "CM",
        "DF",
        "DG",
        "GT",
        "GR",
        "HG",
        "JC",
        "MC",
        "MN",
        "MS",
        "NT",
        "NL",
        "OC",
        "PL",
        "QT",
        "QR",
        "SP",
        "SL",
        "SR",
        "TC",
        "TS",
        "TL",
        "VZ",
        "YN",
        "ZS",
        "NE",
    ]
)
_CURP_SIGNS = "0123456789ABCDEFGHIJKLMNÑOPQRSTUVWXYZ"
_RFC_SIGNS = "0123456789ABCDEFGHIJKLMN&OPQRSTUVWXYZ Ñ"
_DNI_LETTERS = "TRWAGMYFPDXBNJZSQVHLCKE"
_CIF_LETTERS = "JABCDEFGHI"


def luhn(value: str) -> bool:
    """The mod-10 sum of Luhn (ISO/IEC 7812-1, annex B)."""
    total = 0
    for place, sign in enumerate(reversed(value)):
        digit = int(sign) * (1 + place % 2)
        total += digit - 9 * (digit > 9)
    return total % 10 == 0


def weighted(value: str, weights: Sequence[int]) -> int:
    """The sum of digits times weights."""
    return sum(int(sign) * weight for sign, weight in zip(value, weights, strict=False))


def curp(value: str) -> bool:
    """Mexico, CURP (18): DOF 18 Oct 2021, "Instructivo normativo para la asignación de la CURP" (RENAPO)."""
    if value[10] not in "HMX" or value[11:13] not in _STATES or not _day(value[4:10]):
        return False
    total = sum(_CURP_SIGNS.index(sign) * (18 - place) for place, sign in enumerate(value[:17]))
    return value[17] == str(-total % 10)


def rfc(value: str) -> bool:
    """Mexico, RFC (12 for companies, 13 for persons): SAT, "Procedimiento para obtener la clave del RFC", annex VI.

    The generic keys XAXX010101000 and XEXX010101000, and the test key of the SAT, name nobody.
    """
    if value in ("XAXX010101000", "XEXX010101000", "EKU9003173C9", "AAA010101AAA"):
        return False
    padded = value.rjust(13)
    if padded[10] not in "123456789ABCDEFGHIJKLMNOPQRSTUV" or padded[11] in "0&":
        return False  # the homonymy key: quotient and rest of a number below 1,000 by 34
    if not _day(padded[4:10]) or any(sign not in _RFC_SIGNS for sign in padded):
        return False
    rest = sum(_RFC_SIGNS.index(sign) * (13 - place) for place, sign in enumerate(padded[:12])) % 11
    return padded[12] == ("0" if rest == 0 else "A" if rest == 1 else str(11 - rest))


def nss(value: str) -> bool:
    """Mexico, NSS of the IMSS (11): ten digits and Luhn's (IMSS, "Asignación o localización de NSS")."""
    return luhn(value) and value[:2] != "00"


def clabe(value: str) -> bool:
    """Mexico, CLABE (18): weights 3, 7, 1 modulo 10 (Banco de México, circular 3/2012; bank codes of the ABM)."""
    total = sum(int(sign) * weight % 10 for sign, weight in zip(value[:17], (3, 7, 1) * 6, strict=False))
    return value[0] in "01679" and value[:3] != "000" and value[17] == str(-total % 10)


def cuit(value: str) -> bool:
    """Argentina, CUIT and CUIL (11): modulo 11 (AFIP, RG 10/97; ANSES)."""
    if value[:2] not in ("20", "23", "24", "25", "26", "27", "30", "33", "34"):
        return False
    return value[10] == "09987654321"[weighted(value, (5, 4, 3, 2, 7, 6, 5, 4, 3, 2)) % 11] and value[2:10] != "0" * 8


def cbu(value: str) -> bool:
    """Argentina, CBU and CVU (22): two blocks modulo 10 (BCRA, comunicación A 2559 and A 6510)."""
    bank, account = value[:8], value[8:]
    first = -weighted(bank[:7], (7, 1, 3, 9, 7, 1, 3)) % 10
    second = -weighted(account[:13], (3, 9, 7, 1) * 4) % 10
    return bank[7] == str(first) and account[13] == str(second) and value.strip("0") != ""


def plain_number(value: str) -> bool:
    """A number without check digit (DNI of Argentina, cédula of Colombia): not too small, no row of one digit."""
    return int(value) >= 1_000_000 and len(set(value)) > 2 and value not in "1234567890" and value not in "9876543210"


def cpf(value: str) -> bool:
    """Brazil, CPF (11): two digits modulo 11 (Receita Federal, IN RFB 1548/2015)."""
    first = _mod11(value[:9], range(10, 1, -1))
    return len(set(value)) > 1 and value[9:] == f"{first}{_mod11(value[:9] + str(first), range(11, 1, -1))}"


def cnpj(value: str) -> bool:
    """Brazil, CNPJ (14), letters allowed from July 2026: code minus 48, modulo 11 (IN RFB 2229/2024, annex XV)."""
    weights = (6, 5, 4, 3, 2, 9, 8, 7, 6, 5, 4, 3, 2)
    codes = [ord(sign) - 48 for sign in value]

    def digit(size: int) -> int:
        rest = sum(code * weight for code, weight in zip(codes[:size], weights[-size:], strict=True)) % 11
        return 0 if rest < 2 else 11 - rest

    return len(set(value[:12])) > 1 and codes[12] == digit(12) and codes[13] == digit(13)


def rut(value: str) -> bool:
    """Chile, RUT and RUN (8 or 9): modulo 11 with K for ten (DFL 3 of 1969, Registro Civil)."""
    rest = -sum(int(sign) * (2 + place % 6) for place, sign in enumerate(reversed(value[:-1]))) % 11
    return int(value[:-1]) >= 1_000_000 and len(set(value[:-1])) > 1 and value[-1] == ("K" if rest == 10 else str(rest))


def nit(value: str) -> bool:
    """Colombia, NIT (9 or 10 digits and one): modulo 11 (DIAN, orden administrativa 4 of 1989)."""
    weights = (3, 7, 13, 17, 19, 23, 29, 37, 41, 43)
    rest = weighted(value[-2::-1], weights) % 11
    return len(set(value)) > 2 and value[-1] == str(rest if rest < 2 else 11 - rest)


def ruc_peru(value: str) -> bool:
    """Peru, RUC (11): modulo 11 (SUNAT, resolución 210-2004)."""
    if value[:2] not in ("10", "15", "16", "17", "20"):
        return False
    return value[10] == str((11 - weighted(value, (5, 4, 3, 2, 7, 6, 5, 4, 3, 2)) % 11) % 10)


def rut_uruguay(value: str) -> bool:
    """Uruguay, RUT (12): modulo 11 (DGI, resolución 688/992)."""
    if not 1 <= int(value[:2]) <= 22 or value[2:8] == "000000" or value[8:11] != "001":
        return False
    return int(value[11]) == -weighted(value, (4, 3, 2, 9, 8, 7, 6, 5, 4, 3, 2)) % 11


def ci_uruguay(value: str) -> bool:
    """Uruguay, cédula de identidad (8): weights 2987634 modulo 10 (Dirección Nacional de Identificación Civil)."""
    return int(value[7]) == -weighted(value, (2, 9, 8, 7, 6, 3, 4)) % 10 and len(set(value)) > 2


def cedula_ecuador(value: str) -> bool:
    """Ecuador, cédula (10): province, third digit up to 6, Luhn (Registro Civil)."""
    return (1 <= int(value[:2]) <= 24 or value[:2] == "30") and value[2] <= "6" and luhn(value) and len(set(value)) > 2


def ruc_ecuador(value: str) -> bool:
    """Ecuador, RUC (13): of a person, a company (third digit 9) or the state (6) (SRI, modulo 10 and 11)."""
    if value[2] <= "6" and cedula_ecuador(value[:10]):
        return value[10:] != "000"
    if not (1 <= int(value[:2]) <= 24 or value[:2] == "30"):
        return False
    if value[2] == "9":
        return value[10:] != "000" and int(value[9]) == -weighted(value, (4, 3, 2, 7, 6, 5, 4, 3, 2)) % 11
    return value[2] == "6" and value[9:] != "0000" and int(value[8]) == -weighted(value, (3, 2, 7, 6, 5, 4, 3, 2)) % 11


def dni(value: str) -> bool:
    """Spain, DNI (8 digits, letter) and NIE (X, Y or Z first): modulo 23 (RD 1553/2005; Orden INT/2058/2008)."""
    number = value[:-1].translate(str.maketrans("XYZKLM", "012000"))
    return (
        int(number) > (100_000 if value[0].isdigit() else 0)
        and value[-1] == _DNI_LETTERS[int(number) % 23]
        and value != "12345678Z"
    )


def cif(value: str) -> bool:
    """Spain, NIF of companies, formerly CIF (9): Luhn's sum as digit or letter by kind (Orden EHA/451/2008)."""
    kind, number, control = value[0], value[1:8], value[8]
    if kind in "KLM":
        return control == _DNI_LETTERS[int(number) % 23]
    total = sum(sum(divmod(int(sign) * (2 - place % 2), 10)) for place, sign in enumerate(number))
    digit = -total % 10
    accepted = ("" if kind in "PQRSNW" else str(digit)) + ("" if kind in "ABEH" else _CIF_LETTERS[digit])
    return int(number) > 0 and control in accepted


IBAN_LENGTHS = {
    item[
        :2]: int(item[3:]) for item in ["AD:24", "AE:23", "AL:28", "AT:20", "AZ:28", "BA:20", "BE:16", "BG:22",
        "BH:22", "BI:27", "BR:29", "BY:28", "CH:21", "CR:22", "CY:28", "CZ:24", "DE:22", "DJ:27", "DK:18",
        "DO:28", "EE:20", "EG:29", "ES:24", "FI:18", "FK:18", "FO:18", "FR:27", "GB:22", "GE:22", "GI:23",
        "GL:18", "GR:27", "GT:28", "HN:28", "HR:21", "HU:28", "IE:22", "IL:23", "IQ:23", "IS:26", "IT:27",
        "JO:30", "KW:30", "KZ:20", "LB:28", "LC:32", "LI:21", "LT:20", "LU:20", "LV:21", "LY:25", "MC:27",
        "MD:24", "ME:22", "MK:19", "MN:20", "MR:27", "MT:31", "MU:30", "NI:28", "NL:18", "NO:15", "OM:23",
        "PK:24", "PL:28", "PS:29", "PT:25", "QA:29", "RO:24", "RS:22", "RU:33", "SA:24", "SC:31", "SD:18",
        "SE:24", "SI:19", "SK:24", "SM:27", "SO:23", "ST:25", "SV:28", "TL:23", "TN:24", "TR:26", "UA:29",
        "VA:22", "VG:24", "XK:20", "YE:30"
    ]
}  # fmt: skip
"""Letters of a country → length of its IBANs."""


def iban(value: str) -> bool:
    """IBAN of any country of SWIFT's registry (release 98): length, then modulo 97 (ISO 13616, ISO 7064)."""
    if len(value) != IBAN_LENGTHS.get(value[:2], 0):
        return False
    return int("".join(str(int(sign, 36)) for sign in value[4:] + value[:4])) % 97 == 1 and len(set(value[4:])) > 2


_ISSUERS = re.compile(
    r"4(?:\d{12}|\d{15}|\d{18})|(?:5[1-5]\d\d|222[1-9]|22[3-9]\d|2[3-6]\d\d|27[01]\d|2720)\d{12}|3[47]\d{13}"
    r"|(?:30[0-5]|36\d|38\d|39\d)\d{11}|(?:6011|64[4-9]\d|65\d\d)\d{12}|35(?:2[89]|[3-8]\d)\d{12}|62\d{14}(?:\d{3})?"
    r"|(?:6062|6370|6376|5067|5041|4011)\d{12}|(?:50|5[6-8]|6[37])\d{14}"
)
TEST_CARDS = frozenset(
    [
        "4242424242424242",
        "4000056655665556",
        "5555555555554444",
        "2223003122003222",
        "5200828282828210",
        "5105105105105100",
        "378282246310005",
        "371449635398431",
        "6011111111111117",
        "6011000990139424",
        "6011981111111113",
        "3056930009020004",
        "36227206271667",
        "6555900000604105",
        "3566002020360505",
        "6200000000000005",
        "6200000000000047",
        "6205500000000000004",
        "4111111111111111",
        "4012888888881881",
        "4222222222222",
        "4012000033330026",
        "30569309025904",
        "38520000023237",
        "3530111333300000",
        "378734493671000",
        "5610591081018250",
        "2222405343248877",
        "2222990905257051",
        "2223007648726984",
        "4917610000000000",
        "4988438843884305",
        "4166676667666746",
        "5454545454545454",
        "6304000000000000",
        "4444333322221111",
    ]
)
"""Numbers that Stripe, Visa, Mastercard, American Express, PayPal and Adyen publish for tests."""


def card(value: str) -> bool:
    """A payment card: issuer's prefix and length, then Luhn (ISO/IEC 7812-1)."""
    return _ISSUERS.fullmatch(value) is not None and luhn(value)


def test_card(value: str) -> bool:
    """Whether a card number is one that a payment provider publishes for tests (Stripe's 4000 00… series included)."""
    return (
        value in TEST_CARDS or value.startswith("40000000000") or value.startswith("4000000") and value[9:12] == "000"
    )


def _day(text: str) -> bool:
    """Whether six digits are a day, the century left open."""
    try:
        datetime.date(2000 + int(text[:2]), int(text[2:4]), int(text[4:]))
    except ValueError:
        return False
    return True


def _mod11(value: str, weights: Sequence[int]) -> int:
    rest = weighted(value, weights) % 11
    return 0 if rest < 2 else 11 - rest
