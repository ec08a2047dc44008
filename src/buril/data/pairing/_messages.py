"""What the message of a commit says of a weakness that it mends: that it mends one, and which."""

from __future__ import annotations

import re
from typing import Final

_NAMED: Final = re.compile(r"\b(?:CVE-\d{4}-\d{4,}|GHSA(?:-[0-9a-z]{4}){3}|CWE-\d+)\b", re.IGNORECASE)
"""An identifier of a vulnerability: whoever writes it says that there is one."""
_SAID: Final = re.compile(
    r"(?i)\b(?:vulnerab\w+|security (?:fix|hole|issue|flaw|bug|problem|release|advisory)|exploit(?:able|ed)?)\b"
)
_UNDONE: Final = re.compile(r"(?i)^\s*(?:revert|merge)\b|\bregression\b")
"""What takes a mend back, or mends the mend: its old text is not the weak one."""
_CWE: Final = re.compile(r"\bCWE-0*(\d{1,4})\b", re.IGNORECASE)

_ALTERNATIVES: Final = (
    ("CWE-89", r"\bsql[ -]?injection", r"\bsqli\b"),
    ("CWE-78", r"\bcommand[ -]injection", r"\bshell injection", r"\bshell[ -](?:quot|escap)\w+"),
    ("CWE-88", r"\bargument injection", r"\boption injection"),
    ("CWE-1336", r"\btemplate injection", r"\bssti\b"),
    ("CWE-90", r"\bldap injection"),
    ("CWE-117", r"\blog (?:injection|forging|spoofing)"),
    ("CWE-643", r"\bxpath injection"),
    ("CWE-113", r"\b(?:header|crlf|response) (?:injection|splitting)", r"\bcrlf\b"),
    ("CWE-444", r"\brequest smuggling", r"\bdesync"),
    ("CWE-79", r"\bcross[- ]site scripting", r"\bxss\b", r"(?:script|html|javascript) injection",
     r"\bescap(?:e|es|ed|ing) (?:\w+ )?html\b"),
    ("CWE-352", r"\bcross[- ]site request forgery", r"\b[cx]srf\b"),
    ("CWE-918", r"\bserver[- ]side request forgery", r"\bssrf\b"),
    ("CWE-601", r"\bopen redirect"),
    ("CWE-611", r"\bxml external entit", r"\bxxe\b"),
    ("CWE-776", r"\bbillion laughs", r"\bentity expansion", r"\bxml bomb"),
    ("CWE-22", r"\b(?:path|directory)[ -]tra(?:ns)?vers(?:al|ing)", r"\bzip[ -]?slip",
     r"\boutside (?:of )?(?:the|its) (?:\w+ )?(?:directory|folder|root)"),
    ("CWE-59", r"\bsym(?:bolic )?-?links?\b", r"\blink following", r"\bhard-?links?\b"),
    ("CWE-502", r"\bdeseriali[sz]", r"\b(?:unsafe|untrusted) (?:pickle|yaml)", r"\bobject injection"),
    ("CWE-1321", r"\bprototype pollution"),
    ("CWE-1333", r"\bregular expression denial", r"\bredos\b", r"\bcatastrophic backtracking", r"\bpolynomial regex",
     r"\b(?:regex|regular expression)\w* .{0,60}\b(?:denial|dos|quadratic|exponential|slow|complexity)\b"),
    ("CWE-407", r"\b(?:quadratic|exponential|algorithmic) (?:time|complexity|behaviou?r|runtime|performance)",
     r"\bhash (?:collision|flood)", r"\bcomplexity attack"),
    ("CWE-835", r"\binfinite loop", r"\bendless loop", r"\bloops? forever"),
    ("CWE-674", r"\bstack (?:overflow|exhaustion)", r"\brecursion (?:limit|depth)", r"\binfinite recursion",
     r"\bRecursionError\b",
     r"\b(?:uncontrolled|unbounded|excessive|excessively deep|deep|deeply)[ -](?:nest\w+|recurs\w+)"),
    ("CWE-409", r"\b(?:decompression|zip) bomb", r"\bhighly compressed"),
    ("CWE-416", r"\b(?:double[ -]|use[ -]after[ -])free\b"),
    ("CWE-787", r"\bout[- ]of[- ]bounds? write", r"\bheap overflow", r"\bbuffer over(?:flow|run)"),
    ("CWE-125", r"\bout[- ]of[- ]bounds?\b", r"\bover-?read"),
    ("CWE-190", r"\binteger (?:over|under)flow"),
    ("CWE-476", r"\b(?:null|nil)[- ](?:pointer|ptr|deref\w*)"),
    ("CWE-208", r"\btiming (?:attack|side|oracle|leak|channel)", r"\bconstant[- ]time", r"\bside[- ]channel",
     r"\bbleichenbacher", r"\buser(?:name)? enumeration"),
    ("CWE-297", r"\bhost ?name (?:verif|validat|check|match)\w*"),
    ("CWE-295", r"\bcertificate (?:verif|validat|check)\w*"),
    ("CWE-347", r"\bsignature (?:verif|validat|check)\w*", r"\balgorithm confusion",
     r"\bforged? signature", r"\bsignature forgery"),
    ("CWE-384", r"\bsession fixation"),
    ("CWE-338", r"\b(?:weak|insecure|predictable) random", r"\bpredictable (?:token|id|seed)"),
    ("CWE-94", r"\bcode (?:injection|execution)", r"\barbitrary code", r"\brce\b",
     r"\bsandbox (?:escape|bypass|break)"),
    ("CWE-287", r"\b(?:auth\w*|login) bypass", r"\bbypass\w* (?:of )?(?:the )?(?:auth|login)"),
    ("CWE-367", r"\brace condition", r"\btoctou\b", r"\btime[- ]of[- ]check"),
    ("CWE-403", r"\bleak\w* .{0,40}\b(?:fds?|file descriptors?|handles?)\b", r"\bO_CLOEXEC\b"),
    ("CWE-200", r"\binformation (?:leak|disclosure|exposure)",
     r"\b(?:leak|expos|disclos)\w* .{0,40}\b(?:credential|password|token|secret|cookie|header|propert|private)",
     r"\bsensitive (?:headers?|propert(?:y|ies)|information|data)\b"),
    ("CWE-693", r"\bsandbox\w*"),
)  # fmt: skip
"""Words for weaknesses, the most telling first."""
_BROAD: Final = (
    ("CWE-400", r"\bdenial[- ]of[- ]service", r"\bdos\b", r"\b(?:memory|resource|cpu|disk) (?:exhaust\w+|consumption)",
     r"\bexhaust\w* .{0,20}(?:memory|resource)", r"\bout of memory"),
    ("CWE-770", r"\blimit\w* (?:the |max\w* |allowed )*(?:\w+ )?(?:number|size|length|depth|count)",
     r"\bunbounded \w+"),
    ("CWE-862", r"\b(?:privilege|permission) (?:escalation|check|bypass)", r"\baccess (?:control|check|rights?)",
     r"\bunauthori[sz]ed", r"\bwithout (?:\w+ )?(?:permission|authori[sz]ation)"),
    ("CWE-290", r"\bspoof\w*", r"\borigin (?:check|validation)"),
    ("CWE-200", r"\bdisclos(?:e|ure)\b"),
    ("CWE-20", r"\b(?:input|improper) validation"),
)  # fmt: skip
"""Words that a message may use of something else as well: they count in its first line alone."""


def _compiled(table: tuple[tuple[str, ...], ...]) -> tuple[tuple[re.Pattern[str], str], ...]:
    return tuple((re.compile("|".join(words), re.IGNORECASE), cwe) for cwe, *words in table)


_WORDS: Final = _compiled(_ALTERNATIVES)
_FIRST_LINE: Final = _compiled((*_ALTERNATIVES, *_BROAD))


def mends(message: str) -> bool:
    """Whether a message says that its commit mends a vulnerability; one that takes a commit back mends none.

    Example:
        `mends("Escape the title (CVE-2021-32052)")` → True
    """
    if _UNDONE.search(message.partition("\n")[0]):
        return False
    return bool(_NAMED.search(message) or _SAID.search(message))


def weakness(message: str) -> str:
    """The weakness that a message speaks of: by its identifier, else by the words of its first line, else by others.

    "" where it says nothing that is known: a number of a vulnerability alone tells no weakness.

    Example:
        `weakness("Fix open redirect in login")` → "CWE-601"
    """
    stated = _CWE.search(message)
    if stated:
        return f"CWE-{stated[1]}"
    for text, table in ((message.partition("\n")[0], _FIRST_LINE), (message, _WORDS)):
        flat = " ".join(text.split())
        for pattern, cwe in table:
            if pattern.search(flat):
                return cwe
    return ""
