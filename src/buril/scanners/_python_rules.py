"""What ruff's S rules and bandit's B tests mean: they share their numbers (S602 is B602), so one table serves both.

Severity and confidence are bandit's own (where it grades a call by its arguments, its usual grade: bandit's own grade
wins where bandit has looked). The CWE is ours: the weakness itself rather than bandit's broad class. The messages are
ours too, because some of the tools' hold the password that they found.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NamedTuple

from buril.code.codefile import Finding
from buril.scanners._cwe import owasp


class PythonRule(NamedTuple):
    """One test: how bad, how sure, which weakness, and what to tell."""

    severity: str
    confidence: str
    cwe: str
    message: str


def _rules(severity: str, confidence: str, rows: dict[str, tuple[int, str]]) -> dict[str, PythonRule]:
    return {number: PythonRule(severity, confidence, f"CWE-{cwe}", message) for number, (cwe, message) in rows.items()}


RULES: Final[dict[str, PythonRule]] = {
    **_rules("low", "high", {
        "101": (703, "an assert vanishes under python -O"),
        "110": (703, "an exception is swallowed (try, except, pass)"),
        "112": (703, "an exception is swallowed (try, except, continue)"),
        "311": (330, "the random module is not for secrets"),
        "403": (502, "imports pickle or one of its kind"),
        "404": (78, "imports subprocess"),
        "405": (611, "imports xml.etree, which expands entities"),
        "406": (611, "imports xml.sax, which expands entities"),
        "407": (611, "imports xml.parsers.expat, which expands entities"),
        "408": (611, "imports xml.dom.minidom, which expands entities"),
        "409": (611, "imports xml.dom.pulldom, which expands entities"),
        "603": (78, "a process is started: check what its arguments may hold"),
        "607": (426, "a program is named without its full path"),
    }),
    **_rules("low", "medium", {
        "105": (798, "a password stands in the code"),
        "106": (798, "a password is given as an argument"),
        "107": (798, "a password is the default of a parameter"),
        "504": (327, "TLS is opened without a version"),
        "606": (78, "a process is started without a shell: check what its arguments may hold"),
    }),
    **_rules("medium", "low", {
        "113": (400, "a request without a time limit can wait for good"),
        "604": (78, "a call with shell=True"),
        "608": (89, "SQL is put together from strings"),
    }),
    **_rules("medium", "medium", {
        "104": (605, "listens on all interfaces"),
        "108": (377, "a fixed name in a directory for temporary files"),
        "503": (327, "an old version of TLS is the default of a parameter"),
        "601": (78, "a command is run over SSH: check what it may hold"),
        "610": (89, "SQL is put together for QuerySet.extra"),
        "611": (89, "SQL is put together for RawSQL"),
    }),
    **_rules("medium", "high", {
        "102": (95, "exec runs text as code"),
        "103": (732, "a file's permissions are too wide"),
        "301": (502, "pickle and its kind run code when they load data"),
        "302": (502, "marshal can't be trusted with data from outside"),
        "303": (328, "MD2, MD4, MD5 or SHA-1"),
        "305": (327, "a weak mode of a cipher"),
        "306": (377, "mktemp leaves time to put another file in its place"),
        "307": (95, "eval runs text as code"),
        "308": (79, "mark_safe switches off the escaping of HTML"),
        "310": (918, "urlopen also opens file: and other schemes"),
        "313": (611, "xml.etree.cElementTree expands entities"),
        "314": (611, "xml.etree.ElementTree expands entities"),
        "315": (611, "xml.sax.expatreader expands entities"),
        "316": (611, "xml.dom.expatbuilder expands entities"),
        "317": (611, "xml.sax expands entities"),
        "318": (611, "xml.dom.minidom expands entities"),
        "319": (611, "xml.dom.pulldom expands entities"),
        "323": (295, "a TLS context that checks no certificate"),
        "505": (326, "a key that is too short"),
        "506": (502, "yaml.load builds any object"),
        "508": (319, "SNMP without encryption"),
        "509": (319, "SNMPv3 without authentication and privacy"),
        "612": (94, "logging.config.listen takes code over a socket"),
        "614": (502, "torch.load runs code when it loads data"),
        "615": (494, "a download from a hub without a fixed revision"),
        "702": (79, "Mako's templates escape nothing by default"),
        "703": (79, "mark_safe switches off the escaping of HTML"),
        "704": (79, "Markup switches off the escaping of HTML"),
    }),
    **_rules("high", "medium", {
        "201": (489, "Flask's debugger lets anyone run code"),
        "502": (327, "an old, broken version of TLS"),
        "507": (295, "an SSH host key is accepted unseen"),
        "609": (155, "a wildcard in a command: a file's name may become an option"),
        "613": (1007, "bidirectional control characters: code reads otherwise than it runs"),
    }),
    **_rules("high", "high", {
        "202": (22, "tarfile.extractall may write outside of its folder"),
        "304": (327, "a broken cipher"),
        "312": (319, "telnet sends everything in clear"),
        "321": (319, "FTP sends everything in clear"),
        "324": (328, "a broken hash (MD4, MD5, SHA-1)"),
        "401": (319, "imports telnetlib"),
        "402": (319, "imports ftplib"),
        "411": (611, "imports xmlrpc, which expands entities"),
        "412": (284, "wsgiref's CGI handler lets a request set HTTP_PROXY"),
        "413": (327, "imports pycrypto, which nobody maintains"),
        "415": (319, "imports pyghmi: IPMI is not encrypted"),
        "501": (295, "a certificate is not checked"),
        "602": (78, "a command is run by a shell (shell=True)"),
        "605": (78, "a command is run by a shell"),
        "701": (79, "Jinja2 without autoescape"),
    }),
}  # fmt: skip
_UNKNOWN = PythonRule("low", "low", "", "")
_HARMLESS = "seems safe"


class Seen(NamedTuple):
    """What a tool reported: its rule (`S602`, `B602`), the lines, what it graded itself, if it did, and the columns.

    Columns are those of `Finding`.
    """

    rule: str
    line: int
    end_line: int
    message: str = ""
    severity: str = ""
    confidence: str = ""
    column: int = 0
    end_column: int = 0

    @property
    def said(self) -> tuple[str, ...]:
        """What makes it another one; two on one line that say the same are one, the first."""
        return self.rule, str(self.line), str(self.end_line), self.message, self.severity, self.confidence


def once(seen: Iterable[Seen]) -> list[Seen]:
    """Each once, by line; of those that differ by their columns alone the first."""
    found: dict[tuple[str, ...], Seen] = {}
    for item in sorted(seen, key=lambda item: (item.line, item)):
        found.setdefault(item.said, item)
    return list(found.values())


def finding(scanner: str, rule: str, seen: Seen) -> Finding:
    """A finding of ours from what a tool reported; a rule that is newer than the table keeps the tool's own words."""
    known = RULES.get(seen.rule[1:], _UNKNOWN)
    severity = seen.severity or known.severity
    if not seen.severity and _HARMLESS in seen.message:
        severity = "low"  # a constant command in a shell: ruff says so in words, bandit by its grade
    return Finding(
        scanner, rule, seen.line, severity, known.message or seen.message, known.cwe, owasp(known.cwe),
        seen.confidence or known.confidence, seen.end_line if seen.end_line > seen.line else 0, seen.column,
        seen.end_column,
    )  # fmt: skip
