"""SARIF 2.1.0 out (OASIS, with errata 01): one run a scanner, the same bytes for the same results.

No time, no place on this machine and no order of processes enters it. What a scanner could not read stands as a
notification, and its run says then that it did not succeed. GitHub reads `security-severity`, `precision` and the tags
of a rule; it makes the hash it tells alerts apart by itself when a file is uploaded, from the checked-out code.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple
from urllib.parse import quote

from buril import __version__
from buril.gate.generated import Generated
from buril.gate.result import SEVERITIES, Result, worst
from buril.scanners import INCONCLUSIVE, PARTIAL, About

SCHEMA: Final = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
ROOT: Final = "%SRCROOT%"
FINGERPRINT: Final = "burilLine/v1"
_LEVELS: Final = {"high": "error", "medium": "warning", "low": "note"}
_SCORES: Final = {"high": "8.0", "medium": "5.0", "low": "2.0"}
_UNREAD: Final = {
    INCONCLUSIVE: "nothing of a file was analysed",
    PARTIAL: "some lines of a file were not analysed",
}


class Tool(NamedTuple):
    """A scanner as a reader of its results needs it: what its rules are about, and the versions of what it ran."""

    name: str
    rules: Mapping[str, About]
    versions: Mapping[str, str] = {}
    foreign: bool = False
    """Whether another program ran it, and we read its results."""


def document(tools: Sequence[Tool], results: Sequence[Result], generated: Generated | None = None) -> str:
    """The log as text: a run for each tool, also for one that saw nothing.

    Where a ledger was asked, each run tells in `properties.generated` how many lines a model wrote, and how many of its
    own findings are on them.
    """
    by_tool: dict[str, list[Result]] = {tool.name: [] for tool in tools}
    for result in sorted(results, key=lambda item: item.order):
        by_tool.setdefault(result.finding.scanner, []).append(result)
    told = {tool.name: tool for tool in tools}
    runs = [_run(told.get(name, Tool(name, {})), found) for name, found in by_tool.items()]
    if generated is not None:
        for run, found in zip(runs, by_tool.values(), strict=True):
            run["properties"] = {"generated": generated.summary(found)}
    log = {"$schema": SCHEMA, "version": "2.1.0", "runs": runs}
    return json.dumps(log, indent=1, ensure_ascii=False, sort_keys=True) + "\n"


def _run(tool: Tool, results: Sequence[Result]) -> dict[str, Any]:
    seen = [item for item in results if not item.unread and not item.partly]
    unread = [item for item in results if item.unread or item.partly]
    weaknesses = sorted({_number(item) for item in seen} - {0})
    rules = sorted({item.finding.rule for item in seen})
    run: dict[str, Any] = {
        "tool": {"driver": _driver(tool, [_rule(tool, name, seen, weaknesses) for name in rules], weaknesses)},
        "originalUriBaseIds": {ROOT: {"description": {"text": "the root of what was scanned"}}},
        "columnKind": "unicodeCodePoints",
        "invocations": [_invocation(unread)],
        "results": [_result(item, rules, weaknesses) for item in seen],
    }
    if any(item.suppression for item in seen):  # all results of a run have the list, or none has it
        for told, item in zip(run["results"], seen, strict=True):
            told["suppressions"] = _suppressions(item)
    if weaknesses:
        run["taxonomies"] = [_taxonomy(weaknesses)]
    return run


def _driver(tool: Tool, rules: list[dict[str, Any]], weaknesses: Sequence[int]) -> dict[str, Any]:
    driver: dict[str, Any] = {
        "name": tool.name if tool.foreign else f"buril {tool.name}",
        "rules": rules,
        "notifications": [{"id": name, "shortDescription": {"text": text}} for name, text in sorted(_UNREAD.items())],
    }
    if not tool.foreign:
        driver["version"] = __version__
    if tool.versions:
        driver["properties"] = {"versions": dict(sorted(tool.versions.items()))}
    if weaknesses:
        driver["supportedTaxonomies"] = [{"name": "CWE", "index": 0}]
    return driver


def _rule(tool: Tool, name: str, seen: Sequence[Result], weaknesses: Sequence[int]) -> dict[str, Any]:
    """A rule by what its scanner tells, and by its findings: severity and weakness are theirs."""
    mine = [item for item in seen if item.finding.rule == name]
    about = tool.rules.get(name, About(""))
    severity = worst(item.finding.severity for item in mine)
    numbers = sorted({_number(item) for item in mine} - {0})
    sure = [item.finding.confidence for item in mine if item.finding.confidence in SEVERITIES]
    help_uri = about.help_uri or (_page(numbers[0]) if numbers else "")
    tags = ["security", *(f"external/cwe/cwe-{number:03}" for number in numbers)]
    properties = {"tags": tags, "security-severity": _SCORES[severity]}
    if sure:
        properties["precision"] = worst(sure)
    rule: dict[str, Any] = {
        "id": name,
        "shortDescription": {"text": about.message or mine[0].finding.message or name},
        "defaultConfiguration": {"level": _LEVELS[severity]},
        "properties": properties,
    }
    if help_uri:
        rule["helpUri"] = help_uri
    if numbers:
        rule["relationships"] = [{"target": _taxon(number, weaknesses), "kinds": ["superset"]} for number in numbers]
    return rule


def _result(item: Result, rules: Sequence[str], weaknesses: Sequence[int]) -> dict[str, Any]:
    finding = item.finding
    told: dict[str, Any] = {
        "ruleId": finding.rule,
        "ruleIndex": rules.index(finding.rule),
        "level": _LEVELS[finding.severity],
        "message": {"text": finding.message or finding.rule},
        "locations": [{"physicalLocation": _place(item)}],
    }
    if item.fingerprint:
        told["partialFingerprints"] = {FINGERPRINT: item.fingerprint}
    if number := _number(item):
        told["taxa"] = [_taxon(number, weaknesses)]
    if item.known is not None:
        told["baselineState"] = "unchanged" if item.known else "new"
    properties = {key: value for key, value in (("confidence", finding.confidence), ("owasp", finding.owasp)) if value}
    told["properties"] = {**properties, "security-severity": _SCORES[finding.severity]}
    if wrote := item.generated:
        share = {"completion": wrote.id, "model": wrote.model, "share": round(wrote.share, 3)}
        told["properties"]["generated"] = share
    return told


def _place(item: Result) -> dict[str, Any]:
    finding = item.finding
    region: dict[str, int] = {"startLine": max(1, finding.line)}
    if finding.column:
        region["startColumn"] = finding.column
    if finding.end_line > finding.line:
        region["endLine"] = finding.end_line
    if finding.column and finding.end_column:
        region["endColumn"] = finding.end_column
    return {"artifactLocation": {"uri": uri(item.path), "uriBaseId": ROOT}, "region": region}


def uri(path: str) -> str:
    """A relative path as a URI: every sign that could be read as something else is escaped.

    Example:
        `uri("a b/ñ:1.py")` → "a%20b/%C3%B1%3A1.py"
    """
    return quote(path.encode("utf-8", "surrogateescape"))


def _suppressions(item: Result) -> list[dict[str, Any]]:
    """How a result is suppressed, and where in its file that stands."""
    if item.suppression is None:
        return []
    reason, line = item.suppression
    told: dict[str, Any] = {"kind": "inSource" if line else "external", "status": "accepted", "justification": reason}
    if line:
        artifact = {"uri": uri(item.path), "uriBaseId": ROOT}
        told["location"] = {"physicalLocation": {"artifactLocation": artifact, "region": {"startLine": line}}}
    return [told]


def _invocation(unread: Sequence[Result]) -> dict[str, Any]:
    """How the run went: not well where a file was not analysed."""
    notes = [
        {
            "level": "error" if item.unread else "warning",
            "message": {"text": item.finding.message or _UNREAD[item.finding.rule]},
            "descriptor": {"id": item.finding.rule, "index": sorted(_UNREAD).index(item.finding.rule)},
            "locations": [{"physicalLocation": _place(item)}],
        }
        for item in unread
    ]
    return {"executionSuccessful": not any(item.unread for item in unread), "toolExecutionNotifications": notes}


# --- weaknesses


def _number(item: Result) -> int:
    text = item.finding.cwe.removeprefix("CWE-")
    return int(text) if text.isdigit() else 0


def _page(number: int) -> str:
    return f"https://cwe.mitre.org/data/definitions/{number}.html"


def _taxon(number: int, weaknesses: Sequence[int]) -> dict[str, Any]:
    return {"id": str(number), "index": weaknesses.index(number), "toolComponent": {"name": "CWE", "index": 0}}


def _taxonomy(weaknesses: Sequence[int]) -> dict[str, Any]:
    return {
        "name": "CWE",
        "organization": "MITRE",
        "informationUri": "https://cwe.mitre.org/",
        "shortDescription": {"text": "Common Weakness Enumeration"},
        "isComprehensive": False,
        "taxa": [{"id": str(number), "helpUri": _page(number)} for number in weaknesses],
    }
