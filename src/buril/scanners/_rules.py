"""What secrets and personal data look like: one rule a published token format, in our own words.

A rule is looked at only where one of its keywords stands in the text, and its pattern is anchored there, so a rule
costs nothing in a file without its keyword. Patterns and keywords are bytes; group 1 is what is replaced.
Samples are put together from parts here, so that this file holds nothing that looks like a real token.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final, NamedTuple

SECRETS: Final = "secrets"
PERSONAL: Final = "personal"

_HEX, _DIGITS, _UPPER = "0123456789abcdef", "0123456789", "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_LETTERS = _UPPER + _UPPER.lower()
_ALNUM = _LETTERS + _DIGITS
_WORD = _ALNUM + "_-"


class Rule(NamedTuple):
    """One format.

    `keywords` start the match (case is checked by the pattern); `check` names a test of the value in `secrets.py`;
    `min_entropy` is in bits a character; `sample` must be found.
    """

    name: str
    keywords: tuple[bytes, ...]
    pattern: re.Pattern[bytes]
    sample: str
    group: str = SECRETS
    severity: str = "high"
    min_entropy: float = 2.5
    check: str = ""


def fill(alphabet: str, length: int) -> str:
    """A made-up value of `length` characters that looks random and is always the same."""
    state, made = 7919, []
    for _ in range(length):
        state = (state * 1103515245 + 12345) % (1 << 31)
        made.append(alphabet[(state >> 12) % len(alphabet)])
    return "".join(made)


def _token(
    name: str, starts: str | Sequence[str], rest: str, sample: str, *, after: tuple[str, str] = ("", "")
) -> Rule:
    r"""A token that begins with one of `starts`, goes on as `rest`, and is not part of a longer word.

    `after` is, for formats whose known part stands in the middle, what the sample has before it, and a look-behind.
    An escape such as `\n` in a string literal may stand right before the token.
    """
    prefixes = (starts,) if isinstance(starts, str) else tuple(starts)
    choice = "|".join(re.escape(prefix) for prefix in prefixes)
    lead, behind = after
    border = behind or (r"(?:(?<![A-Za-z0-9])|(?<=\\[nrt]))" if prefixes[0][0].isalnum() else "")
    pattern = re.compile(f"{border}((?:{choice}){rest})(?![A-Za-z0-9_])".encode())
    return Rule(name, tuple(prefix.encode() for prefix in prefixes), pattern, lead + prefixes[0] + sample)


def _near(name: str, keywords: Sequence[str], pattern: str, sample: str, **more: str | float) -> Rule:
    """A value that is known by what stands before it; `pattern` starts with a keyword."""
    compiled = re.compile(pattern.encode(), re.IGNORECASE)
    return Rule(name, tuple(word.encode() for word in keywords), compiled, sample, **more)  # type: ignore[arg-type]  # typed by Rule


CLOUDS = (
    _token("aws_access_key", ("AKIA", "ASIA", "ABIA", "ACCA"), "[A-Z2-7]{16}", fill(_UPPER, 16)),
    _near(
        "aws_secret_key",
        ("aws_secret", "aws-secret", "secretaccesskey", "secret_access_key", "secret_key"),
        r"""[\w-]{3,40}["']?\s*(?::|=>|=|,)\s*["']?([A-Za-z0-9/+]{40})(?![A-Za-z0-9/+=])""",
        "aws_secret_access_key = " + fill(_ALNUM, 40),
        min_entropy=3.5,
    ),
    _token("aws_bedrock_key", "ABSK", "[A-Za-z0-9+/]{109,269}={0,2}", fill(_ALNUM, 120)),
    _token("gcp_api_key", "AIza", r"[\w-]{35}", fill(_ALNUM, 35)),
    _token("gcp_oauth_token", "ya29.", r"[\w-]{20,500}", fill(_ALNUM, 60)),
    _token("gcp_oauth_secret", "GOCSPX-", r"[\w-]{28}", fill(_ALNUM, 28)),
    _near(
        "gcp_key_id",
        ("private_key_id",),
        r"""private_key_id["']?\s*[:=]\s*["']([0-9a-f]{40})\b""",
        '"private_key_id": "' + fill(_HEX, 40) + '"',
        severity="medium",
    ),
    _near(
        "azure_storage_key",
        ("accountkey=",),
        "AccountKey=([A-Za-z0-9+/]{86}==)",
        "Account" + "Key=" + fill(_ALNUM, 86) + "==",
    ),
    _near(
        "azure_shared_key",
        ("sharedaccesskey=",),
        "SharedAccessKey=([A-Za-z0-9+/]{43}=)",
        "SharedAccess" + "Key=" + fill(_ALNUM, 43) + "=",
    ),
    _near(
        "azure_sas", ("&sig=", "?sig="), "[?&]sig=([A-Za-z0-9%/+]{40,80}(?:%3D|=))", "&sig=" + fill(_ALNUM, 43) + "%3D"
    ),
    _token(
        "azure_client_secret",
        ("8Q~", "7Q~"),
        r"[\w~.-]{31,34}",
        fill(_ALNUM, 34),
        after=("aZ9", r"(?<=[\w~.-]{3})"),
    ),
    _token("alibaba_access_key", "LTAI", "[A-Za-z0-9]{16,26}", fill(_ALNUM, 20)),
    _token("digitalocean_token", ("dop_v1_", "doo_v1_", "dor_v1_"), "[a-f0-9]{64}", fill(_HEX, 64)),
    _token("heroku_key", "HRKU-AA", r"[\w-]{58}", fill(_ALNUM, 58)),
    _token("cloudflare_origin_key", "v1.0-", "[a-f0-9]{24}-[a-f0-9]{146}", fill(_HEX, 24) + "-" + fill(_HEX, 146)),
    _token("fly_token", ("fo1_", "fm2_"), r"[\w+/=-]{40,600}", fill(_ALNUM, 43)),
    _token("supabase_token", "sbp_", "[a-f0-9]{40}", fill(_HEX, 40)),
    _token("planetscale_token", ("pscale_tkn_", "pscale_pw_", "pscale_oauth_"), r"[\w.=-]{32,64}", fill(_ALNUM, 43)),
    _token("databricks_token", "dapi", "[a-f0-9]{32}(?:-[0-9])?", fill(_HEX, 32)),
    _token("yandex_key", "AQVN", r"[\w-]{35,38}", fill(_ALNUM, 36)),
)
FORGES = (
    _token("github_token", ("ghp_", "gho_", "ghu_", "ghs_", "ghr_"), "[A-Za-z0-9]{36,255}", fill(_ALNUM, 36)),
    _token(
        "github_fine_token", "github_pat_", "[A-Za-z0-9]{22}_[A-Za-z0-9]{59}", fill(_ALNUM, 22) + "_" + fill(_ALNUM, 59)
    ),
    _token(
        "gitlab_token",
        ("glpat-", "gldt-", "glrt-", "glcbt-", "glptt-", "glft-", "glimt-", "glagent-", "glsoat-", "GR1348941"),
        r"[\w-]{20,300}(?:\.[\w.]{9,40})?",
        fill(_ALNUM, 20),
    ),
    _token("bitbucket_token", "ATBB", "[A-Za-z0-9]{32}", fill(_ALNUM, 32)),
    _token("atlassian_token", ("ATATT3", "ATCTT3"), r"[\w=-]{100,300}", fill(_ALNUM, 180)),
    _token("npm_token", "npm_", "[A-Za-z0-9]{36}", fill(_ALNUM, 36)),
    _near(
        "npm_registry_auth",
        (":_authtoken", ":_auth"),
        r":_auth(?:Token)?\s*=\s*([\w+/=.-]{16,400})",
        "//r.invalid/:_auth" + "Token=" + fill(_ALNUM, 36),
        min_entropy=3.0,
    ),
    _token("pypi_token", ("pypi-AgEIcHlwaS5vcmc", "pypi-AgENdGVzdC5weXBpLm9yZ"), r"[\w-]{50,600}", fill(_ALNUM, 120)),
    _token("rubygems_key", "rubygems_", "[a-f0-9]{48}", fill(_HEX, 48)),
    _token("docker_token", ("dckr_pat_", "dckr_oat_"), r"[\w-]{27,32}", fill(_ALNUM, 27)),
    _token("jfrog_key", "AKCp", "[A-Za-z0-9]{66,72}", fill(_ALNUM, 69)),
    _token(
        "terraform_token",
        ".atlasv1.",
        r"[\w=-]{60,70}",
        fill(_ALNUM, 64),
        after=(fill(_ALNUM, 14), r"(?<=[A-Za-z0-9]{14})"),
    ),
    _token("pulumi_token", "pul-", "[a-f0-9]{40}", fill(_HEX, 40)),
    _token("vault_token", ("hvs.", "hvb.", "hvr."), r"[\w-]{24,300}", fill(_ALNUM, 90)),
    _token(
        "doppler_token",
        ("dp.pt.", "dp.st.", "dp.ct.", "dp.sa.", "dp.scim.", "dp.audit."),
        r"[\w.-]{40,64}",
        fill(_ALNUM, 43),
    ),
    _token("prefect_key", ("pnu_", "pnb_"), "[A-Za-z0-9]{36}", fill(_ALNUM, 36)),
    _token("age_key", "AGE-SECRET-KEY-1", "[0-9A-Z]{58}", fill(_UPPER + _DIGITS, 58)),
)
SERVICES = (
    _token(
        "slack_token",
        ("xoxb-", "xoxa-", "xoxp-", "xoxo-", "xoxs-", "xoxr-", "xoxe-", "xoxc-", "xoxd-", "xoxe."),
        r"[\w%.-]{10,300}",
        fill(_DIGITS, 12) + "-" + fill(_ALNUM, 24),
    ),
    _token(
        "slack_app_token",
        "xapp-",
        r"\d-[A-Z0-9]+-\d+-[A-Za-z0-9]+",
        "1-A0" + fill(_UPPER, 9) + "-" + fill(_DIGITS, 13) + "-" + fill(_HEX, 64),
    ),
    _token(
        "slack_webhook",
        "hooks.slack.com/",
        r"(?:services|workflows|triggers)/[\w+/]{40,80}",
        "services/T" + fill(_UPPER, 10) + "/B" + fill(_UPPER, 10) + "/" + fill(_ALNUM, 24),
    ),
    _token(
        "stripe_key",
        ("sk_live_", "sk_test_", "rk_live_", "rk_test_", "sk_prod_", "rk_prod_"),
        "[0-9A-Za-z]{16,250}",
        fill(_ALNUM, 24),
    ),
    _token("stripe_webhook", "whsec_", "[A-Za-z0-9+/]{32,64}={0,2}", fill(_ALNUM, 32)),
    _token("twilio_key", tuple("SK" + digit for digit in _HEX), "[0-9a-f]{31}", fill(_HEX, 31)),
    _token("sendgrid_key", "SG.", r"[\w-]{22}\.[\w-]{43}", fill(_ALNUM, 22) + "." + fill(_ALNUM, 43)),
    _token("mailgun_key", "key-", "[0-9a-f]{32}", fill(_HEX, 32)),
    _near(
        "mailchimp_key",
        ("mailchimp",),
        r"""mailchimp[\w.]{0,30}["']?\s*[:=,(]\s*["']?([0-9a-f]{32}-us\d{1,2})\b""",
        "MAILCHIMP_API_KEY=" + fill(_HEX, 32) + "-us12",
    ),
    _token("brevo_key", "xkeysib-", "[a-f0-9]{64}-[A-Za-z0-9]{16}", fill(_HEX, 64) + "-" + fill(_ALNUM, 16)),
    _token("shopify_token", ("shpat_", "shpca_", "shppa_", "shpss_"), "[a-fA-F0-9]{32}", fill(_HEX, 32)),
    _token("square_token", ("sq0atp-", "sq0csp-"), r"[\w-]{22,60}", fill(_ALNUM, 43)),
    _token("telegram_token", ":AA", r"[\w-]{33}", fill(_ALNUM, 33), after=(fill(_DIGITS, 10), r"(?<=\d{8})")),
    _token(
        "discord_webhook",
        ("discord.com/api/webhooks/", "discordapp.com/api/webhooks/"),
        r"\d{15,22}/[\w-]{50,90}",
        fill(_DIGITS, 18) + "/" + fill(_ALNUM, 68),
    ),
    _token(
        "teams_webhook",
        ".webhook.office.com/webhookb2/",
        r"[\w@/-]{80,300}",
        fill(_HEX, 36) + "@" + fill(_HEX, 36) + "/IncomingWebhook/" + fill(_HEX, 32),
    ),
    _token("linear_key", ("lin_api_", "lin_oauth_"), "[A-Za-z0-9]{40,64}", fill(_ALNUM, 40)),
    _token("notion_token", "ntn_", "[A-Za-z0-9]{43,50}", fill(_ALNUM, 46)),
    _token("figma_token", "figd_", r"[\w-]{40}", fill(_ALNUM, 40)),
    _token("postman_key", "PMAK-", "[a-f0-9]{24}-[a-f0-9]{34}", fill(_HEX, 24) + "-" + fill(_HEX, 34)),
    _token("newrelic_key", ("NRAK-", "NRJS-", "NRII-"), r"[A-Za-z0-9_-]{19,32}", fill(_UPPER, 27)),
    _token("grafana_token", ("glsa_", "glc_ey"), r"[\w+/=-]{32,400}", fill(_ALNUM, 32) + "_" + fill(_HEX, 8)),
    _token("sentry_token", ("sntrys_", "sntryu_"), r"[\w+/=-]{43,300}", fill(_HEX, 64)),
    _token("dynatrace_token", "dt0c01.", "[A-Z0-9]{24}\\.[A-Z0-9]{64}", fill(_UPPER, 24) + "." + fill(_UPPER, 64)),
    _token("dropbox_token", "sl.u.", r"[\w-]{130,1500}", fill(_ALNUM, 140)),
    _token("facebook_token", ("EAACEdEose0cBA", "EAAG", "EAAB"), "[A-Za-z0-9]{80,300}", fill(_ALNUM, 120)),
    _token("mapbox_token", "sk.ey", r"[\w-]{40,200}\.[\w-]{20,30}", fill(_ALNUM, 80) + "." + fill(_ALNUM, 22)),
)
MODELS = (
    _token(
        "openai_key",
        "sk-",
        r"(?:proj-|svcacct-|admin-|None-)?[\w-]{20,110}T3BlbkFJ[\w-]{20,110}",
        fill(_ALNUM, 20) + "T3Blbk" + "FJ" + fill(_ALNUM, 20),
    ),
    _token("anthropic_key", "sk-ant-", r"(?:api|admin|oat|ort)\d{2}-[\w-]{60,120}", "api" + "03-" + fill(_ALNUM, 95)),
    _token("openrouter_key", "sk-or-v1-", "[a-f0-9]{64}", fill(_HEX, 64)),
    _token("huggingface_token", ("hf_", "api_org_"), "[A-Za-z0-9]{34}", fill(_LETTERS, 34)),
    _token("groq_key", "gsk_", "[A-Za-z0-9]{52}", fill(_ALNUM, 52)),
    _token("replicate_token", "r8_", "[A-Za-z0-9]{37}", fill(_ALNUM, 37)),
    _token("perplexity_key", "pplx-", "[A-Za-z0-9]{48}", fill(_ALNUM, 48)),
    _token("xai_key", "xai-", "[A-Za-z0-9]{80}", fill(_ALNUM, 80)),
    _token(
        "langsmith_key", ("lsv2_pt_", "lsv2_sk_"), "[a-f0-9]{32}_[a-f0-9]{10}", fill(_HEX, 32) + "_" + fill(_HEX, 10)
    ),
)
_PASSWORDS = ("password", "passwd", "passphrase", "pwd")
_SECRETS = (
    "secret", "token", "api_key", "apikey", "api-key", "access_key", "accesskey", "private_key", "privatekey",
    "auth_key",
    "authkey", "credential", "encryption_key", "signing_key",
)  # fmt: skip
_ASSIGN = (
    r"""[\w-]{0,40}[\\"'\]]{0,3}\s{0,8}"""  # the rest of the name, the end of a key
    r"""(?:(?::\s{0,4}[A-Za-z][\w.\[\]|? ]{0,40})?(?::=|=>|={1,3})|:|\(|(?<=["']),(?! ?\n))[ ]{0,8}"""
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
        (b"-----begin",),
        re.compile(_KEY.encode()),
        "-----BEGIN "
        + "RSA PRIVATE KEY-----\n"
        + fill(_ALNUM, 64)
        + "\n"
        + fill(_ALNUM, 20)
        + "\n-----END RSA KEY-----",
    ),
    Rule(
        "jwt",
        (b"eyj",),
        re.compile(rb"(eyJ[\w-]{10,2000}\.ey[\w-]{10,4000}\.[\w-]{16,1000})(?![\w-])"),
        "ey" + "J" + fill(_ALNUM, 30) + ".ey" + "J" + fill(_ALNUM, 40) + "." + fill(_ALNUM, 43),
    ),
    Rule(
        "url_password",
        (b"://",),
        re.compile(rb"://[^\s:/@\"'`<>{}()$%\\]{0,80}:([^\s/@\"'`<>{}()$%\\:]{3,120})@[\w.\[-]"),
        "postgres://app:" + "k9!vR2xw" + "@db.invalid/app",
        min_entropy=2.0,
        check="password",
    ),
    _near(
        "authorization_header",
        ("authorization",),
        r"""authorization["'\]]{0,2}\s*[:=,(]\s*(?:=\s*)?["'`]?(?:basic|bearer|token)\s+([A-Za-z0-9+/_.=-]{16,2000})""",
        "Authorization: Bearer " + fill(_ALNUM, 40),
        min_entropy=3.2,
        check="token",
    ),
    _near(
        "ethereum_key",
        ("private_key", "privatekey", "private key", "deployer_key", "secret_key"),
        r"""[a-z_ ]{8,12}[\w]{0,20}["'\]]{0,2}\s*(?::=|=|:|\()\s*\[?\s*["'`]?((?:0x)?[0-9a-f]{64})\b""",
        "PRIVATE_KEY=0x" + fill(_HEX, 64),
        min_entropy=3.0,
    ),
    _near(
        "connection_password",
        ("password=", "pwd="),
        r"""(?:password|pwd)=([^\s;&"'`<>{}$%()\\]{6,100})(?=[;&"'`])""",
        "Server=db;Uid=app;Pwd=" + "k9!vR2xw" + ";",
        severity="medium",
        check="password",
    ),
    _near(
        "generic_password",
        _PASSWORDS,
        rf"(?:{'|'.join(_PASSWORDS)}){_ASSIGN}"
        rf"""(?:{_QUOTED.format(least=6, most=120)}|([^\s"'`#;,(){{}}<>\[\]\\]{{8,120}})(?=\s|$|[;,]))""",
        'password = "' + "t7$Qm2!zKe" + '"',
        severity="medium",
        min_entropy=2.5,
        check="password",
    ),
    _near(
        "generic_secret",
        _SECRETS,
        rf"(?:{'|'.join(_SECRETS)}){_ASSIGN}"
        rf"""(?:{_QUOTED.format(least=12, most=300)}|([\w+/=.~-]{{16,300}})(?=\s|$|[;,]))""",
        'api_key = "' + fill(_ALNUM, 32) + '"',
        severity="medium",
        min_entropy=3.5,
        check="token",
    ),
)
RULES: tuple[Rule, ...] = CLOUDS + FORGES + SERVICES + MODELS + GENERIC
"""All rules of secrets; where two see the same place the earlier one names it."""
