"""Secrets and personal data: recall, precision and speed beside detect-secrets and Presidio.

python benchmarks/privacy.py --size small|full

The labelled set is made here from a seed: lines of code in many languages with a value in them, or with something that
only looks like one (wrong check digits, digests, UUIDs, lock files, base64 noise, placeholders, versions). Values are
made by this file's own generators, written from the issuers' descriptions, not from buril's rules: each format is a
function below, and check digits are computed here by other code than the one that is measured. A line counts as found
when a tool reports anything of the right kind on it. The peers live in their own environment
(`build/peers/privacy`, made on first use). Presidio runs without a statistical model (a blank spaCy pipeline): its
pattern recognisers, which is the part that can be compared on numbers and addresses.
"""

from __future__ import annotations

import argparse
import base64
import json
import random
import statistics
import string
import subprocess
import sysconfig
import tempfile
import time
import uuid
import venv
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from all import machine

from buril.scanners import PERSONAL_RULES
from buril.scanners.secrets import Secrets

LINES = {"small": 2400, "full": 9000}
SPEED_MB = {"small": 12, "full": 60}
PEER_MB = {"small": 0.6, "full": 3}
PINS = ("detect-secrets==1.5.0", "presidio-analyzer==2.2.366")
PEERS = Path(__file__).resolve().parent.parent / "build" / "peers" / "privacy"
LOWER, UPPER, DIGITS = string.ascii_lowercase, string.ascii_uppercase, string.digits
ALNUM = string.ascii_letters + DIGITS
HEX = "0123456789abcdef"


class Line(NamedTuple):
    """`kind` is `secret`, `personal` or `clean`; `value` is what must not survive (empty for clean lines)."""

    family: str
    kind: str
    text: str
    value: str


def pick(rng: random.Random, alphabet: str, size: int) -> str:
    return "".join(rng.choice(alphabet) for _ in range(size))


# --- numbers with check digits, from their issuers' descriptions


def luhn_digit(body: str) -> str:
    doubled = [int(sign) if place % 2 else sum(map(int, str(2 * int(sign)))) for place, sign in enumerate(body[::-1])]
    return str((10 - sum(doubled) % 10) % 10)


def mod11(body: str, weights: list[int], table: dict[int, str]) -> str:
    rest = sum(int(sign) * weight for sign, weight in zip(body, weights)) % 11  # noqa: B905  # both have one length
    return table.get(rest, str(11 - rest))


def person_letters(rng: random.Random) -> str:
    return rng.choice("BCDFGHLMNPRSTV") + rng.choice("AEIOU") + pick(rng, "BCDFGHLMNPRSTV", 2)


def birth(rng: random.Random) -> str:
    return f"{rng.randint(40, 99):02}{rng.randint(1, 12):02}{rng.randint(1, 28):02}"


def curp(rng: random.Random) -> str:
    body = person_letters(rng) + birth(rng) + rng.choice("HM") + rng.choice(["DF", "JC", "NL", "VZ", "OC"])
    body += pick(rng, "BCDFGHLMNPRSTV", 3) + rng.choice("012")
    signs = DIGITS + "ABCDEFGHIJKLMN" + "\u00d1" + "OPQRSTUVWXYZ"
    total = sum(signs.index(sign) * (18 - place) for place, sign in enumerate(body))
    return body + str((10 - total % 10) % 10)


def rfc(rng: random.Random) -> str:
    body = person_letters(rng) + birth(rng) + rng.choice("123456789ABCDEFG") + rng.choice("123456789ABCDEFGHIJ")
    signs = DIGITS + "ABCDEFGHIJKLMN&OPQRSTUVWXYZ \u00d1"
    rest = sum(signs.index(sign) * (13 - place) for place, sign in enumerate(body)) % 11
    return body + {0: "0", 1: "A"}.get(rest, str(11 - rest))


def clabe(rng: random.Random) -> str:
    body = rng.choice(["002", "012", "014", "021", "072", "646"]) + pick(rng, DIGITS, 14)
    total = sum(int(sign) * weight % 10 for sign, weight in zip(body, [3, 7, 1] * 6))  # noqa: B905  # the last is unused
    return body + str((10 - total % 10) % 10)


def nss(rng: random.Random) -> str:
    body = f"{rng.randint(1, 97):02}" + pick(rng, DIGITS, 8)
    return body + luhn_digit(body)


def cuit(rng: random.Random) -> str:
    while True:
        body = rng.choice(["20", "27", "30"]) + pick(rng, "123456789", 8)
        digit = mod11(body, [5, 4, 3, 2, 7, 6, 5, 4, 3, 2], {0: "0", 1: "x"})
        if digit != "x":
            return body + digit


def cbu(rng: random.Random) -> str:
    bank, account = pick(rng, DIGITS, 7), pick(rng, DIGITS, 13)

    def digit(body: str, weights: list[int]) -> str:
        return str((10 - sum(int(sign) * w for sign, w in zip(body, weights)) % 10) % 10)  # noqa: B905  # one length

    return bank + digit(bank, [7, 1, 3, 9, 7, 1, 3]) + account + digit(account, [3, 9, 7, 1] * 3 + [3])


def cpf(rng: random.Random) -> str:
    body = pick(rng, DIGITS, 9)
    for size in (10, 11):
        body += mod11(body, list(range(size, 1, -1)), {0: "0", 1: "0"})
    return body


def cnpj(rng: random.Random, alphabet: str = DIGITS) -> str:
    body = pick(rng, alphabet, 8) + "0001"
    for _ in range(2):
        weights = [2 + place % 8 for place in range(len(body))][::-1]
        rest = sum((ord(sign) - 48) * weight for sign, weight in zip(body, weights)) % 11  # noqa: B905  # one length
        body += "0" if rest < 2 else str(11 - rest)
    return body


def rut(rng: random.Random) -> str:
    body = str(rng.randint(5_000_000, 25_000_000))
    weights = [2 + place % 6 for place in range(len(body))][::-1]
    return body + "-" + mod11(body, weights, {0: "0", 1: "K"})


def nit(rng: random.Random) -> str:
    body = str(rng.randint(800_000_000, 999_999_999))
    rest = sum(int(sign) * weight for sign, weight in zip(body, [41, 37, 29, 23, 19, 17, 13, 7, 3])) % 11  # noqa: B905  # one length
    return body + "-" + str(rest if rest < 2 else 11 - rest)


def ruc(rng: random.Random) -> str:
    body = rng.choice(["10", "20"]) + pick(rng, DIGITS, 8)
    return body + mod11(body, [5, 4, 3, 2, 7, 6, 5, 4, 3, 2], {0: "1", 1: "0"})


def cedula_ec(rng: random.Random) -> str:
    body = f"{rng.randint(1, 24):02}" + rng.choice("012345") + pick(rng, DIGITS, 6)
    return body + luhn_digit(body)


def dni(rng: random.Random) -> str:
    number = rng.randint(10_000_000, 79_999_999)
    return f"{number}{'TRWAGMYFPDXBNJZSQVHLCKE'[number % 23]}"


def nie(rng: random.Random) -> str:
    first, rest = rng.choice("XYZ"), pick(rng, DIGITS, 7)
    return f"{first}{rest}{'TRWAGMYFPDXBNJZSQVHLCKE'[int(str('XYZ'.index(first)) + rest) % 23]}"


def iban(rng: random.Random) -> str:
    country, size = rng.choice([("ES", 20), ("DE", 18), ("IT", 0), ("FR", 0), ("PT", 21), ("BE", 12)])
    body = (
        pick(rng, DIGITS, size)
        if size
        else rng.choice(UPPER) + pick(rng, DIGITS, 22)
        if country == "IT"
        else pick(rng, DIGITS, 23)
    )
    digits = "".join(str(int(sign, 36)) for sign in body + country + "00")
    return f"{country}{98 - int(digits) % 97:02}{body}"


def card(rng: random.Random) -> str:
    body = rng.choice(["4", "51", "54", "2301", "6011"])
    size = 15
    if rng.random() < 0.2:
        body, size = "37", 14
    body += pick(rng, DIGITS, size - len(body))
    return body + luhn_digit(body)


PERSONAL_VALUES: dict[str, tuple[Callable[[random.Random], str], tuple[str, ...]]] = {
    "curp": (curp, ("curp", "CURP", "clave_unica")),
    "rfc": (rfc, ("rfc", "RFC", "rfcEmisor")),
    "clabe": (clabe, ("clabe", "CLABE", "cuenta_clabe")),
    "nss": (nss, ("nss", "NSS", "imss_nss")),
    "cuit": (cuit, ("cuit", "cuil", "CUIT")),
    "cbu": (cbu, ("cbu", "CVU", "cbuDestino")),
    "dni_ar": (lambda rng: str(rng.randint(15_000_000, 46_000_000)), ("dni", "DNI", "dniCliente")),
    "cpf": (cpf, ("cpf", "CPF", "cpf_titular")),
    "cnpj": (cnpj, ("cnpj", "CNPJ")),
    "cnpj_letters": (lambda rng: cnpj(rng, DIGITS + UPPER), ("cnpj", "CNPJ")),
    "rut": (rut, ("rut", "RUT", "run")),
    "nit": (nit, ("nit", "NIT")),
    "ruc_pe": (ruc, ("ruc", "RUC")),
    "cedula_ec": (cedula_ec, ("cedula", "cédula")),
    "dni_es": (dni, ("dni", "nif", "DNI")),
    "nie": (nie, ("nie", "NIE")),
    "iban": (iban, ("iban", "IBAN", "account")),
    "card": (card, ("card_number", "cardNumber", "tarjeta", "pan")),
}
NO_KEYWORD = frozenset({"curp", "iban", "card", "rfc", "cuit", "cpf", "cnpj", "cbu", "clabe", "dni_es", "nie"})


def spaced(value: str, family: str, rng: random.Random) -> str:
    """The value as people write it: in one piece, or as it is printed."""
    if rng.random() < 0.5:
        return value
    forms: dict[str, Callable[[str], str]] = {
        "cuit": lambda v: f"{v[:2]}-{v[2:10]}-{v[10]}",
        "cpf": lambda v: f"{v[:3]}.{v[3:6]}.{v[6:9]}-{v[9:]}",
        "cnpj": lambda v: f"{v[:2]}.{v[2:5]}.{v[5:8]}/{v[8:12]}-{v[12:]}",
        "cnpj_letters": lambda v: f"{v[:2]}.{v[2:5]}.{v[5:8]}/{v[8:12]}-{v[12:]}",
        "rut": lambda v: f"{int(v[:-2]):,}".replace(",", ".") + v[-2:],
        "nit": lambda v: f"{v[:3]}.{v[3:6]}.{v[6:]}",
        "dni_ar": lambda v: f"{v[:2]}.{v[2:5]}.{v[5:]}",
        "iban": lambda v: " ".join(v[at : at + 4] for at in range(0, len(v), 4)),
        "card": lambda v: f"{v[:4]} {v[4:8]} {v[8:12]} {v[12:]}" if len(v) == 16 else f"{v[:4]} {v[4:10]} {v[10:]}",
        "dni_es": lambda v: f"{v[:8]}-{v[8]}",
        "nss": lambda v: f"{v[:2]}-{v[2:4]}-{v[4:6]}-{v[6:10]}-{v[10]}",
    }  # fmt: skip
    return forms.get(family, lambda v: v)(value)


# --- contact data


def email(rng: random.Random) -> str:
    domain = f"{pick(rng, LOWER, 8)}.{rng.choice(['com', 'com.mx', 'org', 'io', 'com.ar'])}"
    return f"{pick(rng, LOWER, 5)}.{pick(rng, LOWER, 6)}@{domain}"


def ipv4(rng: random.Random) -> str:
    return (
        f"{rng.choice([52, 81, 93, 143, 187, 200])}.{rng.randint(32, 250)}.{rng.randint(1, 250)}.{rng.randint(1, 250)}"
    )


def ipv6(rng: random.Random) -> str:
    return f"{rng.choice(['2a00', '2606', '2800'])}:" + ":".join(pick(rng, HEX[1:], 4) for _ in range(7))


def phone(rng: random.Random) -> str:
    return rng.choice([
        f"+52 55 {rng.randint(2000, 9999)} {rng.randint(1000, 9999)}", f"+54911{rng.randint(20000000, 69999999)}",
        f"+34 {rng.randint(600, 699)} {rng.randint(100, 999)} {rng.randint(100, 999)}",
        f"+1-{rng.randint(212, 989)}-{rng.randint(220, 549)}-{rng.randint(1000, 9999)}",
        f"+55 (11) 9{rng.randint(1000, 9999)}-{rng.randint(1000, 9999)}",
    ])  # fmt: skip


NAMES = (
    "Lucía Fernández",
    "Mateo Quiroga",
    "Ana de la Cruz",
    "Wei Zhang",
    "Priya Raman",
    "John Abernathy",
    "Søren Dahl",
)
NAME_MARKS = (
    "@author {}",
    "Copyright (c) 2021 {}",
    "Signed-off-by: {}",
    "Written by {}",
    "Autor: {}",
    "Escrito por {}",
)

# --- secrets: formats from the providers' documentation


def jwt(rng: random.Random) -> str:
    def part(value: object) -> str:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")

    return (
        f"{part({'alg': 'HS256', 'typ': 'JWT'})}.{part({'sub': pick(rng, DIGITS, 8), 'iat': 1})}.{pick(rng, ALNUM, 43)}"
    )


def password(rng: random.Random) -> str:
    return pick(rng, LOWER, 3) + pick(rng, UPPER, 2) + pick(rng, DIGITS, 3) + rng.choice("!_*+") + pick(rng, ALNUM, 4)


SECRET_VALUES: dict[str, Callable[[random.Random], str]] = {
    "aws": lambda r: "AKIA" + pick(r, UPPER + "234567", 16),
    "github": lambda r: "ghp_" + pick(r, ALNUM, 36),
    "gitlab": lambda r: "glpat-" + pick(r, ALNUM, 20),
    "slack": lambda r: f"xoxb-{pick(r, DIGITS, 12)}-{pick(r, DIGITS, 12)}-{pick(r, ALNUM, 24)}",
    "stripe": lambda r: "sk_live_" + pick(r, ALNUM, 24),
    "twilio": lambda r: "SK" + pick(r, HEX, 32),
    "sendgrid": lambda r: f"SG.{pick(r, ALNUM, 22)}.{pick(r, ALNUM, 43)}",
    "npm": lambda r: "npm_" + pick(r, ALNUM, 36),
    "pypi": lambda r: "pypi-AgEIcHlwaS5vcmc" + pick(r, ALNUM, 70),
    "openai": lambda r: f"sk-{pick(r, ALNUM, 20)}T3BlbkFJ{pick(r, ALNUM, 20)}",
    "square": lambda r: "sq0csp-" + pick(r, ALNUM, 43),
    "mailchimp": lambda r: f"{pick(r, HEX, 32)}-us{r.randint(1, 20)}",
    "artifactory": lambda r: "AKCp" + pick(r, ALNUM, 69),
    "telegram": lambda r: f"{pick(r, '123456789', 10)}:AA{pick(r, ALNUM, 33)}",
    "jwt": jwt,
    "basic_auth": lambda r: f"https://{pick(r, LOWER, 6)}:{password(r)}@{pick(r, LOWER, 8)}.io/x",
    "google": lambda r: "AIza" + pick(r, ALNUM, 35),
    "digitalocean": lambda r: "dop_v1_" + pick(r, HEX, 64),
    "azure": lambda r: "AccountKey=" + pick(r, ALNUM, 86) + "==",
    "discord": lambda r: f"https://discord.com/api/webhooks/{pick(r, '123456789', 18)}/{pick(r, ALNUM, 68)}",
}
KEYED = {  # values without a mark, known by the name they are given
    "keyword_password": (("password", "db_password", "passwd", "user_pwd"), password),
    "keyword_secret": (("api_key", "client_secret", "auth_token", "access_key"), lambda r: pick(r, ALNUM, 32)),
    "hex_key": (("secret_key", "signing_key", "encryption_key"), lambda r: pick(r, HEX, 64)),
    "ibm": (("ibm_cloud_api_key", "ibmcloud_api_key"), lambda r: pick(r, ALNUM + "_-", 44)),
    "cloudant": (("cloudant_password", "cloudant_apikey"), lambda r: pick(r, HEX, 64)),
    "softlayer": (("softlayer_api_key",), lambda r: pick(r, HEX, 64)),
    "datadog": (("DATADOG_API_KEY", "DD_API_KEY"), lambda r: pick(r, HEX, 32)),
}
WRAPPERS = (
    '{name} = "{value}"', "const {name} = '{value}';", 'String {name} = "{value}";', '  "{name}": "{value}",',
    "{name}: '{value}'", '{name} := "{value}"', "$config['{name}'] = '{value}';", 'let {name}: &str = "{value}";',
    'private const string {name} = "{value}";', "# {name}: {value}", "// {name} = {value}", "{name}='{value}'",
    'char *{name} = "{value}"; /* x */', '<add key="{name}" value="{value}"/>',
)  # fmt: skip
UNQUOTED = ("export {name}={value}", "{name}: {value}", "{name} = {value}")

# --- lines that only look like it


def clean(rng: random.Random) -> tuple[str, str]:
    makers: list[tuple[str, Callable[[], str]]] = [
        ("uuid", lambda: f'id = "{uuid.UUID(int=rng.getrandbits(128))}"'),
        ("git_sha", lambda: f'commit: "{pick(rng, HEX, 40)}"'),
        ("sha256", lambda: f"sha256 = '{pick(rng, HEX, 64)}'"),
        ("integrity", lambda: f'"integrity": "sha512-{base64.b64encode(rng.randbytes(64)).decode()}"'),
        ("yarn",
         lambda: f'  resolved "https://registry.yarnpkg.com/a/-/a-1.{rng.randint(0, 9)}.0.tgz#{pick(rng, HEX, 40)}"'),
        ("cargo", lambda: f'checksum = "{pick(rng, HEX, 64)}"'),
        ("go_sum",
         lambda: f"github.com/a/b v1.{rng.randint(0, 20)}.0 h1:{base64.b64encode(rng.randbytes(32)).decode()}"),
        ("base64", lambda: f'img = "data:image/png;base64,{base64.b64encode(rng.randbytes(90)).decode()}"'),
        ("noise", lambda: f'  "{base64.b64encode(rng.randbytes(57)).decode()}"'),
        ("colour", lambda: f"color: #{pick(rng, HEX, 6)}; background: #{pick(rng, HEX, 8)};"),
        ("placeholder", lambda: rng.choice(['password = "changeme"', 'api_key = "YOUR_API_KEY"', 'token: "${TOKEN}"',
                                            'secret = os.environ["SECRET"]', 'password = "xxxxxxxxxxxx"'])),
        ("expression", lambda: f"token = tokenizer.next_{pick(rng, LOWER, 6)}(stream, {rng.randint(1, 99)})"),
        ("number", lambda: f"{pick(rng, LOWER, 5)} = {pick(rng, '123456789', rng.choice([8, 10, 11, 13, 16, 18]))}"),
        ("table", lambda: ", ".join(pick(rng, "123456789", 8) for _ in range(8))),
        ("timestamp", lambda: f"created_at = {rng.randint(1_500_000_000_000, 1_800_000_000_000)}"),
        ("version",
         lambda: f'version = "{rng.randint(1, 20)}.{rng.randint(0, 30)}.{rng.randint(0, 30)}.{rng.randint(0, 9)}"'),
        ("private_ip", lambda: f'host = "192.168.{rng.randint(0, 255)}.{rng.randint(1, 254)}"'),
        ("minified",
         lambda: f"!function(e,t){{var n={rng.randint(1, 9)};e.{pick(rng, LOWER, 2)}=t[n]}}(a,{pick(rng, LOWER, 1)});"),
        ("decorator", lambda: f"@app.route('/{pick(rng, LOWER, 6)}')"),
        ("scp", lambda: f"git clone git@github.com:{pick(rng, LOWER, 6)}/{pick(rng, LOWER, 6)}.git"),
        ("matrix", lambda: f"y = A@{pick(rng, LOWER, 3)}.dot(B)"),
        ("test_card", lambda: f'card = "{rng.choice(["4242424242424242", "5555555555554444", "378282246310005"])}"'),
        ("date",
         lambda: f"// {rng.randint(2000, 2026)}-{rng.randint(10, 12)}-{rng.randint(10, 28)} 10:{rng.randint(10, 59)}"),
    ]  # fmt: skip
    name, make = rng.choice(makers)
    return name, make()


def broken(rng: random.Random) -> tuple[str, str]:
    """A number with its keyword and a wrong check digit."""
    unchecked = (
        "dni_ar",
        "cedula_ec",
    )  # any ten digits after `cedula` may be one of Colombia, which has no check digit
    family = rng.choice([name for name in PERSONAL_VALUES if name not in unchecked])
    make, names = PERSONAL_VALUES[family]
    value = make(rng)
    places = [place for place, sign in enumerate(value) if sign.isdigit()]
    place = places[-1] if family not in ("dni_es", "nie") else places[3]
    wrong = value[:place] + str((int(value[place]) + rng.randint(1, 4)) % 10) + value[place + 1 :]
    return f"wrong_{family}", rng.choice(WRAPPERS).format(name=rng.choice(names), value=spaced(wrong, family, rng))


def labelled(size: int, seed: int = 20) -> list[Line]:
    rng = random.Random(seed)
    lines: list[Line] = []
    while len(lines) < size:
        turn = len(lines) % 5
        if turn == 0:
            family = rng.choice(list(SECRET_VALUES))
            value = SECRET_VALUES[family](rng)
            name = rng.choice(
                ("key", "value", "config", "endpoint", "MAILCHIMP_KEY" if family == "mailchimp" else "cfg")
            )
            text = rng.choice(WRAPPERS).format(name=name, value=value)
            lines.append(Line(family, "secret", text, value))
        elif turn == 1 and rng.random() < 0.6:
            family = rng.choice(list(KEYED))
            names, make = KEYED[family]
            value = make(rng)
            text = rng.choice(WRAPPERS + UNQUOTED).format(name=rng.choice(names), value=value)
            lines.append(Line(family, "secret", text, value))
        elif turn in (1, 2):
            family = rng.choice(list(PERSONAL_VALUES))
            make_value, names = PERSONAL_VALUES[family]
            value = spaced(make_value(rng), family, rng)
            bare = family in NO_KEYWORD and rng.random() < 0.3
            text = rng.choice(WRAPPERS[:10]).format(name="value" if bare else rng.choice(names), value=value)
            lines.append(Line(family, "personal", text, value))
        elif turn == 3 and rng.random() < 0.6:
            family = rng.choice(["email", "ipv4", "ipv6", "phone", "name"])
            if family == "name":
                value = rng.choice(NAMES)
                text = rng.choice(["# ", "// ", " * ", "-- "]) + rng.choice(NAME_MARKS).format(value)
            else:
                value = {"email": email, "ipv4": ipv4, "ipv6": ipv6, "phone": phone}[family](rng)
                text = rng.choice(WRAPPERS).format(name=rng.choice(["contact", "host", "x", "phone"]), value=value)
            lines.append(Line(family, "personal", text, value))
        else:
            family, text = broken(rng) if rng.random() < 0.25 else clean(rng)
            lines.append(Line(family, "clean", text, ""))
    return lines


# --- the tools


def ours(lines: list[Line]) -> list[set[str]]:
    """Per line the kinds that buril reports."""
    scanner = Secrets()
    found: list[set[str]] = []
    for line in lines:
        spans = scanner.spans(line.text.encode(), "")
        found.append({"personal" if span.rule in PERSONAL_RULES else "secret" for span in spans})
    return found


PEER = """
import json, sys, time
told = json.load(open(sys.argv[1]))
out = {"secret": [], "personal": []}
from detect_secrets.core.scan import scan_file
from detect_secrets.settings import default_settings
with default_settings():
    lines = {found.line_number for found in scan_file(told["labelled"])}
    out["secret"] = [number in lines for number in range(1, len(told["lines"]) + 1)]
    began = time.process_time()
    for path in told["files"]:
        for _ in scan_file(path):
            pass
    out["secret_s"] = time.process_time() - began
import spacy
from presidio_analyzer import AnalyzerEngine, RecognizerRegistry
from presidio_analyzer.nlp_engine import SpacyNlpEngine
class Blank(SpacyNlpEngine):
    def __init__(self):
        super().__init__(models=[{"lang_code": "en", "model_name": "blank"}])
        self.nlp = {"en": spacy.blank("en")}
    def load(self):
        pass
registry = RecognizerRegistry()
registry.load_predefined_recognizers(languages=["en"])
from presidio_analyzer.predefined_recognizers import EsNifRecognizer, EsNieRecognizer
for kind in (EsNifRecognizer, EsNieRecognizer):
    registry.add_recognizer(kind(supported_language="en"))
engine = AnalyzerEngine(registry=registry, nlp_engine=Blank(), supported_languages=["en"])
for text in told["lines"]:
    hits = [hit.entity_type for hit in engine.analyze(text, language="en", score_threshold=0.4)]
    out["personal"].append(bool(set(hits) - {"URL", "DATE_TIME"}))
began = time.process_time()
for path in told["files"][: told["presidio_files"]]:
    engine.analyze(open(path, encoding="utf-8", errors="replace").read(), language="en", score_threshold=0.4)
out["personal_s"] = time.process_time() - began
json.dump(out, open(sys.argv[2], "w"))
"""


def peers(lines: list[Line], files: list[Path], presidio_files: int) -> dict[str, list[bool]] | None:
    """Per line whether the peers report anything, and their seconds for `files`; None where they can't be installed."""
    python = PEERS / "bin" / "python"
    if not (PEERS / "ready").exists():
        PEERS.mkdir(parents=True, exist_ok=True)
        venv.create(PEERS, with_pip=True)
        if subprocess.run([python, "-m", "pip", "install", "-q", *PINS], check=False).returncode:
            return None
        (PEERS / "ready").write_text("\n".join(PINS))
    with tempfile.TemporaryDirectory() as folder:
        told, got, script = (Path(folder) / name for name in ("told.json", "got.json", "peer.py"))
        script.write_text(PEER)
        (Path(folder) / "lines.txt").write_text("\n".join(line.text for line in lines) + "\n")
        given = {
            "labelled": str(Path(folder) / "lines.txt"),
            "lines": [line.text for line in lines],
            "files": [str(path) for path in files],
            "presidio_files": presidio_files,
        }
        told.write_text(json.dumps(given))
        subprocess.run([python, script, told, got], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        found: dict[str, list[bool]] = json.loads(got.read_text())
    return found


def rates(lines: list[Line], flagged: list[bool], kind: str) -> tuple[float, float]:
    """Recall on lines of a kind, precision over that kind and the clean lines."""
    right = sum(flag for line, flag in zip(lines, flagged, strict=True) if line.kind == kind)
    wrong = sum(flag for line, flag in zip(lines, flagged, strict=True) if line.kind == "clean")
    total = sum(line.kind == kind for line in lines)
    return right / total, right / max(1, right + wrong)


def code(megabytes: float) -> list[Path]:
    root = Path(sysconfig.get_paths()["purelib"])
    paths = sorted(path for path in root.rglob("*") if path.suffix in (".py", ".js", ".h", ".c", ".cpp", ".css", ".sh"))
    random.Random(1).shuffle(paths)
    chosen, size = [], 0
    for path in paths:
        chosen.append(path)
        size += path.stat().st_size
        if size > megabytes * 1e6:
            break
    return chosen


def speed(paths: list[Path], rounds: int = 3) -> float:
    """MB/s of processor time, all families, medians."""
    scanner, texts = Secrets(), [path.read_bytes() for path in paths]
    taken = []
    for _ in range(rounds):
        began = time.process_time()
        for text in texts:
            scanner.spans(text, "python")
        taken.append(time.process_time() - began)
    return sum(map(len, texts)) / 1e6 / statistics.median(taken)


def report(lines: list[Line], found: dict[str, list[bool]], theirs: dict[str, list[bool]] | None) -> None:
    table: dict[tuple[str, str], list[int]] = defaultdict(lambda: [0, 0, 0])
    for place, line in enumerate(lines):
        kinds = [line.kind] if line.kind != "clean" else ["secret", "personal"]
        row = table[line.kind, line.family]
        row[0] += 1
        row[1] += any(found[kind][place] for kind in kinds)
        row[2] += any(theirs[kind][place] for kind in kinds) if theirs else 0
    print(f"{'kind':9} {'family':18} {'lines':>5} {'buril':>6} {'peer':>6}   (share of lines reported)")
    for (kind, family), (count, mine, peer) in sorted(table.items(), reverse=True):
        print(f"{kind:9} {family:18} {count:5} {mine / count:6.2f} {peer / count:6.2f}")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--size", choices=tuple(LINES), default="small")
    options = parser.parse_args()
    lines = labelled(LINES[options.size])
    kinds = ours(lines)
    found = {kind: [kind in seen for seen in kinds] for kind in ("secret", "personal")}
    small = code(PEER_MB[options.size])
    few = max(1, len(small) // 4)
    theirs = peers(lines, small, few)
    report(lines, found, theirs)
    ours_rate = speed(code(SPEED_MB[options.size]))
    results = []

    def result(name: str, mine: float, peer: float | None, *, peer_name: str, target: float) -> None:
        ratio = round(mine / peer, 3) if peer else None
        rate = name.startswith("privacy_speed")
        results.append(
            {
                "name": name,
                "ours": round(mine, 4),
                "peer": None if peer is None else round(peer, 4),
                "peer_name": peer_name,
                "unit": "MB/s per core" if rate else "share of lines",
                "ratio": ratio,
                "target": f">= {target}",
                "met": ((ratio or 0) if rate else mine) >= target,
                "machine": machine(),
            }
        )

    for kind, peer_name in (
        ("secret", "detect-secrets 1.5.0"),
        ("personal", "Presidio 2.2.366, patterns without model"),
    ):
        mine = rates(lines, found[kind], kind)
        peer = rates(lines, theirs[kind], kind) if theirs else (None, None)
        result(f"privacy_{kind}_recall", mine[0], peer[0], peer_name=peer_name, target=0.95)
        result(f"privacy_{kind}_precision", mine[1], peer[1], peer_name=peer_name, target=0.95)
    size = sum(path.stat().st_size for path in small) / 1e6
    part = sum(path.stat().st_size for path in small[:few]) / 1e6
    peer_rate = size / float(theirs["secret_s"]) if theirs else None  # type: ignore[arg-type]  # a number beside the lists
    result("privacy_speed", ours_rate, peer_rate, peer_name="detect-secrets 1.5.0", target=100)
    peer_rate = part / float(theirs["personal_s"]) if theirs else None  # type: ignore[arg-type]  # a number beside the lists
    result(
        "privacy_speed_personal", ours_rate, peer_rate, peer_name="Presidio 2.2.366, patterns without model", target=100
    )
    print(json.dumps(results))


if __name__ == "__main__":
    main()
