"""What is looked for in the text as it stands: control tokens, made-up turns and results, secrets that are sent out."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator
from typing import Final, NamedTuple

from buril.scanners._injection.rules import SENDS, TOKENS, TOOL, TURNS


class Raw(NamedTuple):
    """A place in a text, the kind of what stands there, and how sure that is."""

    start: int
    end: int
    kind: str
    confidence: str


CONTROL: Final = re.compile(
    r"<\|(?:im_(?:start|end|sep)|endoftext|end_?of_?text|begin_of_text|start_header_id|end_header_id|eot_id|eom_id"
    r"|python_tag|system"
    r"|user|assistant|channel|fim_(?:prefix|suffix|middle|pad)|repo_name|file_sep|file_separator"
    r"|tool_calls?|startoftext|endofprompt|observation|turn>|eot|START_OF_TURN_TOKEN|END_OF_TURN_TOKEN)\|>"
    r"|<\uff5c[^\uff5c\n]{1,30}\uff5c>|\[/?INST\]|<</?SYS>>|<(?:start|end)_of_turn>|<fim[_-](?:prefix|suffix|middle)>"
    r"|<\[fim-(?:prefix|suffix|middle)\]>|<\|?(?:end|begin)_of_sentence\|?>|</s>\s{0,3}(?:<s>|\[INST\])|</?(?:bos"
    r"|eos)><"
)
"""Control tokens of the known model families, as their vocabularies spell them."""
_TURN = re.compile(
    r"^[ \t]{0,40}(?:#{1,6}|//|/?\*{1,3}|--|;|%|>|\"{3}|'{3})?[ \t]{0,8}(?:#{2,4} ?)?(?:\*\*)?"
    r"(?P<who>Human|User|Assistant|System|Instruction|Response)(?:\*\*)?:(?:\*\*)?(?:[ \t]|$)", re.MULTILINE,
)  # fmt: skip
_ANSWERS, _ASKS = frozenset(("Assistant", "Response")), frozenset(("Human", "User", "System", "Instruction"))
_TURNS_NEAR = 600
_TOOL = re.compile(
    r"```(?:tool_?(?:result|output|response|code|call)s?|function_?(?:result|call|output|response)s?)\b"
    r"|<(?:function_(?:results?|calls?)|tool_(?:response|results?|output|calls?)|system-reminder|system_reminder)>"
    r"|\[(?:SYSTEM|TOOL) [A-Z]{3,12}\]|<(?:system|SYSTEM)>[^<\n]{0,80}?\b(?:policy|operator|assistant|instruction"
    r"|override|must)\b",
)  # fmt: skip

_HOME = r"(?:~|\$HOME|\$\{HOME\}|/root|/home/[\w.-]{1,30})"
_FILES = (rf"(?:/etc/(?:passwd|shadow)|(?:{_HOME})?/?\.(?:ssh|aws|gnupg|kube|docker)/[\w./-]{{1,60}}"
          rf"|[\w./~$-]{{0,60}}(?:id_(?:rsa|ed25519|ecdsa))"
          rf"|(?:{_HOME}/)?\.(?:netrc|pgpass|npmrc|git-credentials|bash_history)|(?<![\w.])\.env\b(?!\.))")  # fmt: skip
_FOLDERS = rf"(?:{_HOME}/)?\.(?:ssh|aws|gnupg|kube)\b"
_OUT = r"(?:curl|wget|nc|ncat|netcat|socat|telnet)\b"
_TAKES = r"(?:\bwhoami\b|\bhostname\b|\bprintenv\b|\benv\b|\bid\b|\bcat\s|\bhistory\b|\bbase64\s|\bxxd\s|\buname\b)"
_SECRETS = (
    r"(?:key|token|secret|passw|cookie|credential|prompt|session|auth|env\b|conversation|history|context"
    r"|private)"
)
_NAMED = (
    rf"(?:\{{\{{[^}}\n]{{0,40}}{_SECRETS}[^}}\n]{{0,40}}\}}\}}|\$\{{[^}}\n]{{0,40}}{_SECRETS}[^}}\n]{{0,40}}\}}"
    rf"|\$[A-Z_]{{0,30}}(?:KEY|TOKEN|SECRET|PASSW)\w{{0,20}}|<[A-Z_]{{0,30}}(?:KEY|TOKEN|SECRET|PROMPT"
    rf"|PASSW)[A-Z_]{{0,30}}>)"
)
_VALUE = r"(?:sk-[A-Za-z0-9_-]{12,}|gh[pousr]_[A-Za-z0-9]{20,}|AKIA[0-9A-Z]{12,}|xox[bp]-[\w-]{12,})"
_PLACE = r"\$\{?[A-Z_]{3,30}\}?"
_WEB = r"(?:https?:)?//[^\s)\"'<>]{1,200}?"
_SENDING: Final = (
    ("high", ("](",), rf"!?\[[^\]\n]{{0,120}}\]\(\s?{_WEB}[?&/=][^\s)]{{0,80}}?(?:{_NAMED}|{_VALUE})"),
    ("medium", ("](",), rf"!\[[^\]\n]{{0,120}}\]\(\s?{_WEB}\?[^\s)]{{0,80}}?=(?:{_PLACE}|\{{\{{|<[A-Z_]{{3,30}}>)"),
    ("high", ("<img",), rf"<img[^>\n]{{0,120}}?\bsrc=[\"']?{_WEB}\?[^\s\"'>]{{0,80}}?(?:{_NAMED}|{_VALUE}|{_PLACE})"),
    ("high", ("curl", "wget", "nc", "socat", "telnet"),
     rf"\b{_OUT}[^\n]{{0,200}}?(?:@|--post-file[= ]|--upload-file |-T |<\s?)[\"']?{_FILES}"),
    ("high", ("curl", "wget", "nc", "socat", "telnet"),
     rf"(?:\b(?:printenv|env|set)\b|\b(?:cat|base64|xxd|head|tail) [^|\n]{{0,60}}?{_FILES}"
     rf"|\btar [^|\n]{{0,60}}?{_FOLDERS})[^|\n]{{0,60}}(?:\|[^|\n]{{0,60}}){{0,2}}\|\s?{_OUT}"),
    ("high", ("curl", "wget", "nc", "http"),
     rf"\b(?:curl|wget|http)\b[^\n]{{0,120}}?(?:https?://)[^\n]{{0,80}}?\$\((?:printenv|env"
     rf"|cat\s[^)\n]{{0,60}}?{_FILES}|whoami|history)\b"),
    ("high", ("nslookup", "dig", "host", "ping"),
     rf"\b(?:nslookup|dig|host|ping)\b[^\n]{{0,40}}?\$\([^)\n]{{0,20}}{_TAKES}[^\n]{{0,100}}?\)\.[\w$.(-]{{1,60}}"),
    ("high", ("os.environ",),
     r"\b(?:requests|httpx|urllib\.request|aiohttp|session|client|http|urllib3)\b[\w.()]{0,30}\.(?:post|get|put"
     r"|request|urlopen|Request)\("
     r"[^\n]{0,160}?(?:dict\(os\.environ\)|os\.environ\.copy\(\)|=\s?os\.environ\s?[,)]|str\(os\.environ\)"
     r"|dumps\((?:dict\()?os\.environ)"),
    ("medium", ("os.environ", "getenv"),
     r"\.(?:post|get|put|request|urlopen)\(\s?f?[\"']https?://[^\"\n]{0,100}\?[^\n]{0,60}?(?:\{os\.(?:environ"
     r"|getenv)|[\"'] ?\+ ?os\.(?:environ|getenv))"),
    ("high", ("/etc/", ".ssh", ".aws", "id_rsa", ".env", ".netrc"),
     rf"\.(?:post|get|put|request|urlopen|sendall|send)\([^\n]{{0,140}}?(?:open|Path|read_text|read_bytes"
     rf"|readFileSync)\([\"'](?:{_FILES})"),
    ("high", ("gethostbyname", "getaddrinfo"),
     r"\b(?:gethostbyname|getaddrinfo|resolve)\([^\n]{0,120}?(?:os\.environ|getenv|open\(|token|secret"
     r"|passw)[^\n]{0,60}?\+\s?f?[\"']\."),
    ("high", ("process.env", "document.cookie", "localStorage"),
     r"\b(?:fetch|axios(?:\.\w{1,10})?|sendBeacon|XMLHttpRequest|got"
     r"|superagent\.\w{1,8})\(\s?[\"'`](?:https?:)?//[^\n]{0,180}?"
     r"(?:process\.env\s?[,})]|process\.env\)|document\.cookie|localStorage\.getItem\([\"'][^\"'\n]{0,30}(?:token"
     r"|key|secret|passw|jwt|session|auth)|JSON\.stringify\((?:process\.env|localStorage)\b(?!\.))"),
    ("high", ("document.cookie",), r"\.src\s?=\s?[\"'`](?:https?:)?//[^\n]{0,120}?document\.cookie"),
)  # fmt: skip
SENDING: Final = tuple(
    (sure, words, re.compile(pattern, re.IGNORECASE if "<img" in words else 0)) for sure, words, pattern in _SENDING
)
_CARRIES = re.compile(
    r"!\[[^\]\n]{0,120}\]\(\s?https?://[^\s)\"'<>]{1,120}?[?/=]([A-Za-z0-9+/_-]{32,400}={0,2})(?=[)&\s])"
)


_ENDS = re.compile(
    r"\bEND OF (?:USER |PROMPT |THE )?INPUT\b[^A-Za-z\n]{0,20}\n?[^A-Za-z\n]{0,10}(?:system|admin"
    r"|developer)\b",
    re.IGNORECASE,
)
_SURE = re.compile(
    r"^[ \t#/*>-]{0,12}(?:assistant|AI|model): ?(?:sure|of course|certainly|okay|ok|here is"
    r"|here\'s)\b",
    re.IGNORECASE | re.MULTILINE,
)


def tokens(text: str) -> Iterator[Raw]:
    """Control tokens, turns of a conversation and results of tools that a text spells."""
    if "<" in text or "[" in text or "```" in text:
        for found in CONTROL.finditer(text):
            yield Raw(found.start(), found.end(), TOKENS, "medium")
        for found in _TOOL.finditer(text):
            yield Raw(found.start(), found.end(), TOOL, "medium")
    for pattern, kind in ((_ENDS, TOOL), (_SURE, TURNS)):
        for found in pattern.finditer(text):
            yield Raw(found.start(), found.end(), kind, "medium")
    if "Assistant" in text or "Response" in text:
        yield from _turns(text)


def _turns(text: str) -> Iterator[Raw]:
    """Turns of both sides near one another."""
    last: tuple[int, str] | None = None
    for found in _TURN.finditer(text):
        who = found["who"]
        near = last is not None and found.start() - last[0] < _TURNS_NEAR
        if last is not None and near and {who, last[1]} & _ANSWERS and {who, last[1]} & _ASKS:
            yield Raw(last[0], found.end(), TURNS, "medium")
        last = (found.start("who"), who)


def sends(text: str) -> Iterator[Raw]:
    """Code and links that send out secrets."""
    for confidence, words, pattern in SENDING:
        if any(word in text for word in words):
            for found in pattern.finditer(text):
                yield Raw(found.start(), found.end(), SENDS, confidence)
    if "](" in text:
        for found in _CARRIES.finditer(text):
            if prose(found[1]):
                yield Raw(found.start(), found.end(), SENDS, "high")


def prose(packed: str) -> str:
    """The text that a base64 string holds; "" where it holds bytes of anything else."""
    plain = packed.rstrip("=").replace("-", "+").replace("_", "/")
    try:
        found = base64.b64decode(plain + "=" * (-len(plain) % 4), validate=True).decode("utf-8")
    except (binascii.Error, ValueError):
        return ""
    letters = sum(sign.isalpha() or sign in " .,:;!?'\"=/\n" for sign in found)
    return found if letters >= 0.8 * len(found) > 0 else ""
