"""Secrets that no provider's format gives away: keys in files, passwords in URLs, values told by a name beside them."""

from __future__ import annotations

from buril.scanners._rules import ALNUM, HEX, Head, Rule, Value, fill, literals, matching, near
from buril.scanners._values import like_key, like_password, like_token

_PASSWORDS = (
    "password", "passwd", "passphrase", "passcode", "pwd", "_pass", "dbpass", "userpass", "contrasena", "contraseña",
    "senha", "clave_acceso", "clave_secreta",
)  # fmt: skip
_SECRETS = (
    "secret", "token", "api_key", "apikey", "api-key", "access_key", "accesskey", "private_key", "privatekey",
    "auth_key", "authkey", "credential", "encryption_key", "signing_key", "master_key", "account_key", "app_key",
    "session_key", "service_key", "clave_api",
)  # fmt: skip
_KEYS = ("key", "salt", "_auth", "hmac", "bearer", "_seed", "cookie", "_cert", "llave", "clave")
_WIDTHS = tuple(
    (closers, left, sign, right) for closers in (0, 1, 2) for left in (0, 1) for sign in (1, 2) for right in (0, 1)
)
"""Signs that close the name, spaces, width of the sign of assignment, spaces: between the name and the quote."""


def _assigned(words: tuple[str, ...]) -> tuple[Head, ...]:
    """Heads for words that are common in code: only where a quoted value is assigned to what ends with them."""
    heads = []
    for word in words:
        for closers, left, sign, right in _WIDTHS:
            between = rf"[\"'\]\\]{{{closers}}} {{{left}}}{('[:=]', '(?::=|=>)')[sign - 1]} {{{right}}}[\"'`\\bru]"
            expression = (word + between).replace("{1}", "").replace(" {0}", "").replace(r"[\"'\]\\]{0}", "")
            length = len(word) + closers + left + sign + right + 1
            heads.append(Head(expression.encode(), length, caseless=True, words=(word.encode(),)))
    return tuple(heads)


_ASSIGN = (
    r"""[\w-]{0,40}[\\"'\]]{0,3}\s{0,8}"""  # the rest of the name, the end of a key
    r"""(?:(?::\s{0,4}[A-Za-z&*][\w.\[\]|?<>&' ]{0,40})?(?::=|=>|={1,3})|:|\(|(?<=["']),(?! ?\n)"""
    r"""|(?<=\s)value ?=)[ ]{0,8}"""
)
_QUOTED = r"""[bru]{{0,2}}\\?(["'`])([^"'`\s\\]{{{least},{most}}})\\?\1"""
_GAP = r"""(?:\\[nrt]|[\s"'#*,;\\]|\+ | \+|// ){0,40}"""
_HEADERS = rf"(?:[A-Za-z-]{{3,20}}: [^\n\\\"']{{1,80}}{_GAP}){{0,5}}"
_LINE = r"[A-Za-z0-9+/=]{40,}"
_LAST_LINE = rf"(?:{_GAP}[A-Za-z0-9+/]{{1,64}}={{0,2}}(?={_GAP}-----END))?"
_KEY = (
    rf"-----BEGIN (?:[A-Z0-9]+ ){{0,4}}PRIVATE KEY(?: BLOCK)?-----{_GAP}{_HEADERS}"
    rf"({_LINE}(?:{_GAP}{_LINE}){{0,400}}{_LAST_LINE})"
)
GENERIC = (
    Rule(
        "private_key",
        literals(("-----begin",)),
        matching(_KEY.encode()),
        "-----BEGIN "
        + "RSA PRIVATE KEY-----\n"
        + fill(ALNUM, 64)
        + "\n"
        + fill(ALNUM, 20)
        + "\n-----END RSA KEY-----",
    ),
    near(
        "putty_key", ("private-lines:",),
        r"private-lines:[ \t]{0,4}\d{1,3}\s{1,4}((?:[A-Za-z0-9+/=]{10,80}\s{1,2}){1,60})",
        "Private-Lines: 1\n" + fill(ALNUM, 64) + "\n",
    ),
    Rule(
        "jwt",
        literals(("eyj",)),
        matching(rb"(eyJ[\w-]{10,2000}\.ey[\w-]{10,4000}\.[\w-]{16,1000})(?![\w-])"),
        "ey" + "J" + fill(ALNUM, 30) + ".ey" + "J" + fill(ALNUM, 40) + "." + fill(ALNUM, 43),
    ),
    Rule(
        "url_password",
        literals(("://",)),
        matching(
            rb"://[^\s:/@\"'`<>{}()$%\\]{0,80}:([^\s/@\"'`<>{}()$%\\:]{3,120})@[\w.\[-]",
            check=like_password,
            min_entropy=2.0,
        ),
        "postgres://app:" + "k9!vR2xw" + "@db.invalid/app",
    ),
    near(
        "authorization_header",
        ("authorization",),
        r"""authorization["'\]]{0,2}\s*[:=,(]\s*(?:=\s*)?["'`]?(?:basic|bearer|token)\s+([A-Za-z0-9+/_.=-]{16,2000})""",
        "Authorization: Bearer " + fill(ALNUM, 40), Value(min_entropy=3.2, check=like_token)),
    near(
        "ethereum_key",
        ("private_key", "privatekey", "private key", "deployer_key", "secret_key"),
        r"""[a-z_ ]{8,12}[\w]{0,20}["'\]]{0,2}\s*(?::=|=|:|\()\s*\[?\s*["'`]?((?:0x)?[0-9a-f]{64})\b""",
        "PRIVATE_KEY=0x" + fill(HEX, 64), Value(min_entropy=3.0)),
    near(
        "connection_password",
        ("password=", "pwd="),
        r"""(?:password|pwd)=([^\s;&"'`<>{}$%()\\]{6,100})(?=[;&"'`])""",
        "Server=db;Uid=app;Pwd=" + "k9!vR2xw" + ";", Value(severity="medium", check=like_password)),
    near(
        "django_key", ("django-insecure-",), r"""(django-insecure-(?:[^\s"'`<>\\)\]]|\)(?!["'])|\](?!\])){30,60})""",
        "django-" + "insecure-" + fill(ALNUM, 50),
    ),
    near(
        "laravel_key", ("app_key=base64:", "app_key: base64:"), r"app_key(?:=|: )base64:([A-Za-z0-9+/]{43}=)",
        "APP_KEY=base64:" + fill(ALNUM, 43) + "=",
    ),
    near(
        "rails_key", ("secret_key_base",), r"""secret_key_base["']?\s{0,3}[:=]\s{0,3}["']?([0-9a-f]{64,128})\b""",
        "secret_key_base: " + fill(HEX, 128),
    ),
    near(
        "machine_key", ("validationkey=", "decryptionkey="),
        r"""(?:validation|decryption)key=\\?["']([0-9A-F]{32,128})\\?["']""",
        'decryptionKey="' + fill(HEX, 48).upper() + '"',
    ),
    near(
        "curl_user", ("curl ",),
        r"""curl [^\n|;]{0,200}?(?:-u|--user)[ =]["']?[^\s:"'$]{1,60}:([^\s"'`$<>{}]{6,100})""",
        "curl -u app:" + "k9!vR2xw" + " https://db.invalid", Value(check=like_password)),
    near(
        "generic_password",
        _PASSWORDS,
        rf"(?:{'|'.join(_PASSWORDS)}){_ASSIGN}"
        rf"""(?:{_QUOTED.format(least=6, most=120)}|([^\s"'`#;,(){{}}<>\[\]\\]{{8,120}})(?=\s|$|[;,]))""",
        'password = "' + "t7$Qm2!zKe" + '"', Value(severity="medium", check=like_password)),
    near(
        "generic_secret",
        _SECRETS,
        rf"(?:{'|'.join(_SECRETS)}){_ASSIGN}"
        rf"""(?:{_QUOTED.format(least=12, most=300)}|([\w+/=.~-]{{16,300}})(?=\s|$|[;,]))""",
        'api_key = "' + fill(ALNUM, 32) + '"', Value(severity="medium", min_entropy=3.2, check=like_token)),
    Rule(
        "generic_key",
        _assigned(_KEYS),
        matching(
            rf"(?:{'|'.join(_KEYS)})[\\\"'\]]{{0,2}} ?(?:[:=]|:=|=>) ?[bru]?".encode()
            + rb"""\\?(["'`])([A-Za-z0-9+/_-]{32,200}={0,2})\\?\1""",
            caseless=True,
            check=like_key,
            min_entropy=3.0,
        ),
        'hash_key = "' + fill(HEX, 64) + '"',
        severity="medium",
    ),
)  # fmt: skip
