"""Personal data: each family's numbers where they count and where they do not; addresses, telephones, names."""

from __future__ import annotations

import pytest

from buril.scanners import FAMILIES, PERSONAL_RULES
from buril.scanners._families import FAMILIES as RULES_BY_FAMILY
from buril.scanners.secrets import Secrets

ALL = Secrets(Secrets.Settings(rules=("personal",)))


def found(text: str, scanner: Secrets = ALL) -> list[tuple[str, str]]:
    source = text.encode()
    return [(span.rule, source[span.start : span.end].decode()) for span in scanner.spans(source, "python")]


@pytest.mark.parametrize(
    ("line", "rule", "value"),
    [
        ('curp = "HEGG560427MVZRRL04"', "curp", "HEGG560427MVZRRL04"),
        ("# alumno HEGG560427MVZRRL04", "curp", "HEGG560427MVZRRL04"),
        ('rfc: "GODE561231GR8"', "rfc", "GODE561231GR8"),
        ("clabe = 032180000118359719", "clabe", "032180000118359719"),
        ("# CUIT 20-26756539-3", "cuit", "20-26756539-3"),
        ('cuit: "20267565393"', "cuit", "20267565393"),
        ("clienteDni = 27345118", "dni_argentina", "27345118"),
        ('{"cbu": "2850590940090418135201"}', "cbu", "2850590940090418135201"),
        ('cpf = "390.533.447-05"', "cpf", "390.533.447-05"),
        ("cpf = 39053344705", "cpf", "39053344705"),
        ('cnpj = "16.727.230/0001-97"', "cnpj", "16.727.230/0001-97"),
        ('cnpj = "12.ABC.345/01DE-35"', "cnpj_letters", "12.ABC.345/01DE-35"),
        ('CNPJ: "12ABC34501DE35"', "cnpj_letters", "12ABC34501DE35"),
        ("rut 12.531.909-2", "rut_chile", "12.531.909-2"),
        ('"rut": "76086428-5"', "rut_chile", "76086428-5"),
        ("NIT: 213.123.432-1", "nit", "213.123.432-1"),
        ("cédula: 1.032.456.789", "cedula_colombia", "1.032.456.789"),
        ("RUC=20512333797", "ruc_peru", "20512333797"),
        ("rut = '211003420017'", "rut_uruguay", "211003420017"),
        ("cedula = '1714307103'", "cedula_ecuador", "1714307103"),
        ("ruc = '1792060346001'", "ruc_ecuador", "1792060346001"),
        ('dni = "54362315K"', "dni_spain", "54362315K"),
        ('nie = "X2482300W"', "nie", "X2482300W"),
        ("CIF A13585625", "cif", "A13585625"),
        ('iban = "ES9121000418450200051332"', "iban", "ES9121000418450200051332"),
        ("# ES91 2100 0418 4502 0005 1332", "iban", "ES91 2100 0418 4502 0005 1332"),
        ('card = "4532015112830366"', "card", "4532015112830366"),
        ("4532-0151-1283-0366", "card", "4532-0151-1283-0366"),
        ("amex: 374245455400126", "card", "374245455400126"),
        ('tel = "+52 55 8421 7736"', "phone", "+52 55 8421 7736"),
        ('phone = "+5491145678822"', "phone", "+5491145678822"),
        ("# phone: (415) 867-5309", "phone_national", "(415) 867-5309"),
        ('"teléfono": "614 223 908"', "phone_national", "614 223 908"),
        ('host = "2606:2800:220:1:248:1893:25c8:1946"', "ipv6", "2606:2800:220:1:248:1893:25c8:1946"),
        ("# @author Maria Quiroga", "name", "Maria Quiroga"),
        ("# Copyright (c) 2019 Jane de la Cruz", "name", "Jane de la Cruz"),
        ("# Signed-off-by: Linus Example-Person", "name", "Linus Example-Person"),
        ("# Autor: José Pérez", "name", "José Pérez"),
        ("# Escrito por Ana Núñez", "name", "Ana Núñez"),
        ("# TODO(mquiroga): later", "handle", "mquiroga"),
    ],
)  # fmt: skip
def test_found(line: str, rule: str, value: str) -> None:
    assert (rule, value) in found(line)


@pytest.mark.parametrize(
    "line",
    [
        'curp = "HEGG560427MVZRRL05"',  # a wrong check digit
        'rfc = "GODE561231GR9"',
        "rfc = 'XAXX010101000'",
        "clabe = 032180000118359718",
        "x = 032180000118359719",
        "# 20-26756539-4",
        "cpf = 39053344706",
        "x = 39053344705",
        "n = 27345118",
        "init = 27345118",
        "truth = 12531909",
        'iban = "ES9121000418450200051333"',
        'card = "4242424242424242"',
        'card = "4532015112830367"',
        "x = 4532015112830366",
        "t = 1700000000000",
        "550e8400-e29b-41d4-a716-446655440000",
        "9fceb02d0ae598e95dc970b74767f19372d61af8",
        "sha512-oM7k3pYH7tU0n1z6Yp1qX2r8s9V5w4a3b2c1d0e9f8g7h6i5j4k3l2m1n0o9p8q7==",
        'host = "2001:db8::1"',
        "phone: 555-0142",
        "x = a +12345678901",
        "# Copyright 2020 The Acme Authors",
        "# Copyright (c) 2020 Acme Inc",
        "THE AUTHORS OR COPYRIGHT HOLDERS BE LIABLE",
        "# TODO(bug-12): x",
        "colour = '#20267565'",
        "cnpj = 10000000000002",
    ],
)
def test_not_found(line: str) -> None:
    assert found(line) == []


def test_published_card_numbers_by_setting() -> None:
    told = Secrets(Secrets.Settings(rules=("cards",), test_cards=True))
    assert found("4242 4242 4242 4242", told) == [("card", "4242 4242 4242 4242")]
    assert found("4242 4242 4242 4242") == []


def test_families_hold_what_they_say() -> None:
    names = {family: {rule.name for rule in rules} for family, rules in RULES_BY_FAMILY.items()}
    assert set(names) == set(FAMILIES)
    assert names["mexico"] == {"curp", "rfc", "nss", "clabe"}
    assert names["argentina"] == {"cuit", "dni_argentina", "cbu"}
    assert names["latam"] == set.union(*(names[country] for country in (
        "mexico", "argentina", "brazil", "chile", "colombia", "peru", "uruguay", "ecuador")))  # fmt: skip
    assert names["personal"] >= names["latam"] | names["spain"] | names["cards"] | (names["gdpr"] - {"mac"})
    assert names["gdpr"] >= {"email", "ip", "ipv6", "phone", "name", "iban", "dni_spain", "mac"}
    assert not names["secrets"] & PERSONAL_RULES
    chosen = Secrets(Secrets.Settings(rules=("mexico",)))
    assert found("HEGG560427MVZRRL04 bob@acme-corp.com", chosen) == [("curp", "HEGG560427MVZRRL04")]


def test_a_mac_is_personal_under_the_gdpr_alone() -> None:
    told = Secrets(Secrets.Settings(rules=("gdpr",)))
    assert found("mac = '3c:22:fb:9a:04:d1'", told) == [("mac", "3c:22:fb:9a:04:d1")]
    assert found("mac = '3c:22:fb:9a:04:d1'") == []
