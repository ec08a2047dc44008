"""What GitHub shows of a report beside a change: annotations as workflow commands, and a summary in Markdown.

Names of files and messages come from whoever made the change. In a command every sign is escaped that could end it or
begin another; in the summary nothing of theirs is Markdown or HTML.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from buril.core.text import _
from buril.gate.generated import Generated, message, wrote
from buril.gate.result import SEVERITIES, Result
from buril.gate.scan import Report

SHOWN_ROWS = 100
SHOWN_NOTICES = 10
_DATA = {"%": "%25", "\r": "%0D", "\n": "%0A"}
_PROPERTY = {**_DATA, ":": "%3A", ",": "%2C"}
_MARKDOWN = {sign: f"&#{ord(sign)};" for sign in "&<>|`*_[]()\\!#~@$:"}


def commands(report: Report, least: str) -> Iterator[str]:
    """Workflow commands: errors for what stops the gate, warnings and notices for the rest, the worst first.

    Args:
        report: what came out.
        least: the severity from which the gate stops, or "none".
    """
    stops = {id(item) for item in report.worse(least)}
    for item in sorted(report.counted, key=lambda item: (-SEVERITIES.index(item.finding.severity), item.order)):
        level = "error" if id(item) in stops else "notice" if item.finding.severity == "low" else "warning"
        yield _command(level, item)
    for item in report.unread:
        yield _command("error", item)
    if report.generated is not None:
        yield from _notices(report.generated)


def _notices(generated: Generated) -> Iterator[str]:
    """A notice for each run of lines that a model wrote, the longest first; GitHub shows ten."""
    pieces = sorted(generated.pieces, key=lambda found: (found[1].first - found[1].last, found[0], found[1].first))
    for path, piece in pieces[:SHOWN_NOTICES]:
        place = {"file": path, "line": str(piece.first), "endLine": str(piece.last), "title": "buril ledger"}
        told = ",".join(f"{name}={_escaped(value, _PROPERTY)}" for name, value in place.items())
        yield f"::notice {told}::{_escaped(wrote(piece), _DATA)}"


def _command(level: str, item: Result) -> str:
    finding = item.finding
    place = {"file": item.path, "line": str(finding.line)}
    if finding.end_line > finding.line:
        place["endLine"] = str(finding.end_line)
    elif finding.column:  # GitHub shows columns on one line alone
        place["col"] = str(finding.column)
        if finding.end_column:
            place["endColumn"] = str(finding.end_column)
    place["title"] = " ".join(part for part in (finding.scanner, finding.rule, finding.cwe) if part)
    told = ",".join(f"{name}={_escaped(value, _PROPERTY)}" for name, value in place.items())
    return f"::{level} {told}::{_escaped(message(item), _DATA)}"


def _escaped(text: str, signs: dict[str, str]) -> str:
    kept = "".join(signs.get(sign, sign if sign.isprintable() else "\N{REPLACEMENT CHARACTER}") for sign in text)
    return kept.encode("utf-8", "replace").decode()


def summary(report: Report, least: str) -> str:
    """The report in Markdown: the verdict, a table of findings, what was not analysed, what was left out."""
    stops, unread = len(report.worse(least)), len(report.unread)
    head = _("passed") if not stops and not unread else _("failed")
    counts = Counter(item.finding.severity for item in report.counted)
    numbers = " · ".join(f"{name}: {counts[name]}" for name in reversed(SEVERITIES))
    told = _("files: {files} · {numbers} · not analysed: {unread}").format(
        files=report.num_files, numbers=numbers, unread=unread
    )
    rows = [f"### buril scan: {head}", "", told, ""]
    if report.generated is not None:
        rows += [_escaped(report.generated.sentence(report.counted), _MARKDOWN), ""]
    found = [*report.unread, *sorted(report.counted, key=lambda item: -SEVERITIES.index(item.finding.severity))]
    if found:
        rows += [f"| {_('place')} | {_('rule')} | CWE | {_('severity')} | {_('message')} |", "|---|---|---|---|---|"]
        rows += [_row(item) for item in found[:SHOWN_ROWS]]
    if len(found) > SHOWN_ROWS:
        rows += ["", _("more of them in the SARIF file: {number}").format(number=len(found) - SHOWN_ROWS)]
    if report.uncovered:
        languages = ", ".join(f"{name} {number}" for name, number in report.uncovered.items())
        rows += ["", _("no scanner is made for: {languages}; only what any text may hold was looked for").format(
            languages=languages)]  # fmt: skip
    suppressed = sum(item.suppression is not None for item in report.results)
    known = sum(bool(item.known) for item in report.results)
    if suppressed or known:
        rows += ["", _("suppressed with a reason: {suppressed} · known before: {known}").format(
            suppressed=suppressed, known=known)]  # fmt: skip
    return "\n".join(rows) + "\n"


def _row(item: Result) -> str:
    finding = item.finding
    column = f":{finding.column}" if finding.column else ""
    cells = (f"{item.path}:{finding.line}{column}", finding.rule, finding.cwe, finding.severity, message(item))
    return "| " + " | ".join(_escaped(cell, _MARKDOWN) for cell in cells) + " |"
