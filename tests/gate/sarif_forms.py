"""Logs in the form in which each tool writes SARIF, made for one small project; what tells them apart is kept.

Facts of form are from the tools' documentation and their public outputs; every text here is our own.
"""

from __future__ import annotations

from typing import Any

SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"
APP = (
    "import os, subprocess\nfrom flask import request\n\n\ndef list_files():\n"
    "    name = request.args['name']; title = '\N{EARTH GLOBE AMERICAS} ñ'; os.system('ls ' + name)\n"
    "    return title\n"
)
SHOP = "const title = '\N{EARTH GLOBE AMERICAS} ñ'; db.query('select * from a where b = ' + req.query.b);\n"
FILES = {"src/app.py": APP, "web/my shop.js": SHOP, "Src/Größe.cs": "class A { string q = title; }\n"}
CALL = "os.system('ls ' + name)"
QUERY = "db.query('select * from a where b = ' + req.query.b)"


def units(text: str, encoding: str) -> int:
    """How wide a text is in code units of an encoding."""
    return len(text.encode(encoding)) // (2 if encoding == "utf-16-le" else 1)


def region(text: str, wanted: str, encoding: str = "utf-16-le") -> dict[str, Any]:
    """Where `wanted` stands, its columns counted as the tool counts."""
    before = text[: text.index(wanted)]
    start = units(before.rpartition("\n")[2], encoding) + 1
    return {"startLine": before.count("\n") + 1, "startColumn": start, "endColumn": start + units(wanted, encoding)}


def place(uri: str, where: dict[str, Any] | None, **artifact: Any) -> dict[str, Any]:
    there = {"region": where} if where else {}
    return {"physicalLocation": {"artifactLocation": {"uri": uri, **artifact}, **there}}


def log(**run: Any) -> dict[str, Any]:
    return {"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}


def codeql() -> dict[str, Any]:
    """Rules in a pack that is an extension; a message with links; flows; a diagnostic for each file that was read."""
    injection = {
        "id": "py/command-line-injection", "name": "py/command-line-injection",
        "shortDescription": {"text": "Commands made of input"}, "fullDescription": {"text": "Input reaches a shell."},
        "defaultConfiguration": {"enabled": True, "level": "error"},
        "properties": {
            "tags": ["correctness", "security", "external/cwe/cwe-078", "external/cwe/cwe-088"], "kind": "path-problem",
            "precision": "high", "problem.severity": "error", "security-severity": "9.8",
        },
    }  # fmt: skip
    unused = {
        "id": "py/unused-import", "name": "py/unused-import", "shortDescription": {"text": "An import of no use"},
        "defaultConfiguration": {"enabled": True, "level": "note"},
        "properties": {"tags": ["maintainability"], "kind": "problem", "precision": "very-high"},
    }  # fmt: skip
    read = {"id": "py/diagnostics/successfully-extracted-files", "name": "read", "shortDescription": {"text": "Read"}}
    app = {"uriBaseId": "%SRCROOT%", "index": 0}
    source = place("src/app.py", region(APP, "request.args"), **app)
    sink = place("src/app.py", region(APP, "'ls ' + name"), **app)
    result = {
        "ruleId": "py/command-line-injection", "ruleIndex": 1,
        "rule": {"id": "py/command-line-injection", "index": 1, "toolComponent": {"index": 0}},
        "message": {"text": "This command depends on [a \\[given\\] value](1) of [the request](2)."},
        "locations": [sink], "relatedLocations": [{"id": 1, **source}, {"id": 2, **source}],
        "partialFingerprints": {"primaryLocationLineHash": "39fa2ee980eb94b0:1",
                                "primaryLocationStartColumnFingerprint": "4"},
        "codeFlows": [{"threadFlows": [{"locations": [{"location": source}, {"location": sink}]}]}],
    }  # fmt: skip
    small = {
        "ruleId": "py/unused-import", "ruleIndex": 0, "message": {"text": "Import of 'subprocess' is not used."},
        "rule": {"id": "py/unused-import", "index": 0, "toolComponent": {"index": 0}},
        "locations": [place("src/app.py", region(APP, "import os, subprocess"), **app)],
    }  # fmt: skip
    note = {"level": "none", "message": {"text": ""}, "descriptor": {"id": read["id"], "index": 0},
            "locations": [place("src/app.py", None, **app)]}  # fmt: skip
    return log(
        tool={
            "driver": {"name": "CodeQL", "organization": "GitHub", "semanticVersion": "2.23.0", "notifications": [read],
                       "rules": []},
            "extensions": [{"name": "codeql/python-queries", "semanticVersion": "1.6.5", "rules": [unused, injection]},
                           {"name": "codeql/python-all", "semanticVersion": "4.0.15"}],
        },
        invocations=[{"toolExecutionNotifications": [note], "executionSuccessful": True}],
        artifacts=[{"location": {"uri": "src/app.py", "uriBaseId": "%SRCROOT%", "index": 0}}],
        results=[result, small], columnKind="utf16CodeUnits", newlineSequences=["\r\n", "\n", "\u2028", "\u2029"],
        automationDetails={"id": "/language:python/"}, properties={"semmle.formatSpecifier": "sarif-latest"},
    )  # fmt: skip


def semgrep() -> dict[str, Any]:
    """Columns in bytes, though nothing says so; how sure it is in a tag; a comment that silences gives no reason."""
    rule = {
        "id": "python.lang.security.os-system", "name": "python.lang.security.os-system",
        "shortDescription": {"text": "Semgrep Finding: python.lang.security.os-system"},
        "fullDescription": {"text": "A shell runs what was given."}, "defaultConfiguration": {"level": "error"},
        "help": {"text": "A shell runs what was given."},
        "properties": {"precision": "very-high", "tags": [
            "CWE-78: Improper Neutralization of Special Elements used in an OS Command", "LOW CONFIDENCE",
            "OWASP-A03:2021 - Injection", "security"]},
    }  # fmt: skip
    result = {
        "ruleId": rule["id"], "message": {"text": "A shell runs what was given."}, "properties": {},
        "fingerprints": {"matchBasedId/v1": "requires login"},
        "locations": [place("src/app.py", region(APP, CALL, "utf-8"), uriBaseId="%SRCROOT%")],
        "suppressions": [{"kind": "inSource"}],
    }  # fmt: skip
    return log(
        tool={"driver": {"name": "Semgrep OSS", "semanticVersion": "1.140.0", "rules": [rule]}}, results=[result],
        invocations=[{"executionSuccessful": True, "toolExecutionNotifications": []}],
    )  # fmt: skip


def bandit() -> dict[str, Any]:
    """Columns in bytes; how sure it is on the result; no level where it is the default."""
    rule = {
        "id": "B605", "name": "start_process_with_a_shell", "helpUri": "https://bandit.readthedocs.io/",
        "properties": {"tags": ["security", "external/cwe/cwe-78"], "precision": "high"},
        "defaultConfiguration": {"level": "error"},
    }  # fmt: skip
    result = {
        "ruleId": "B605", "ruleIndex": 0, "message": {"text": "Starting a process with a shell."}, "level": "error",
        "locations": [place("src/app.py", region(APP, CALL, "utf-8"))],
        "properties": {"issue_confidence": "MEDIUM", "issue_severity": "HIGH"},
    }  # fmt: skip
    return log(
        tool={"driver": {"name": "Bandit", "organization": "PyCQA", "version": "1.9.4", "rules": [rule]}},
        invocations=[{"executionSuccessful": True, "endTimeUtc": "2026-01-01T00:00:00Z"}], results=[result],
        properties={"metrics": {"_totals": {"loc": 6}}},
    )  # fmt: skip


def snyk() -> dict[str, Any]:
    """Several weaknesses as a list; a message with arguments; an issue that somebody ignored, and why."""
    rule = {
        "id": "javascript/Sqli", "name": "Sqli", "shortDescription": {"text": "SQL Injection"},
        "defaultConfiguration": {"level": "error"}, "help": {"markdown": "## Details", "text": ""},
        "properties": {"tags": ["javascript", "Sqli", "Security", "SourceServer"], "categories": ["Security"],
                       "precision": "very-high", "cwe": ["CWE-89"]},
    }  # fmt: skip
    where = {**region(SHOP, QUERY), "endLine": 1}
    at = place("web/my%20shop.js", where, uriBaseId="%SRCROOT%")
    result = {
        "ruleId": "javascript/Sqli", "ruleIndex": 0, "level": "error",
        "message": {"text": "Unsanitized input from {0} {1} into {2}.", "markdown": "Unsanitized input from {0} {1} into {2}.",
                    "arguments": ["[an HTTP parameter](0)", "[flows](1)", "[query](2)"]},
        "locations": [at], "codeFlows": [{"threadFlows": [{"locations": [{"location": {"id": 0, **at}}]}]}],
        "fingerprints": {"0": "d3b0", "1": "c157"}, "properties": {"priorityScore": 806, "isAutofixable": False},
    }  # fmt: skip
    ignored = {
        **result,
        "suppressions": [
            {"guid": "8c1f5d5e-5a0c-4a0b-9f0e-0f3d7c1b2a34", "kind": "external", "status": "accepted",
             "justification": "the value is one of three", "properties": {"category": "not-vulnerable"}},
        ],
    }  # fmt: skip
    return log(
        tool={"driver": {"name": "SnykCode", "semanticVersion": "1.0.0", "version": "1.0.0", "rules": [rule]}},
        results=[result, ignored],
        properties={"coverage": [{"isSupported": True, "lang": "JavaScript", "files": 1, "type": "SUPPORTED"}]},
    )  # fmt: skip


def sonar() -> dict[str, Any]:
    """SonarAnalyzer through the log of the C# compiler: levels by configuration, paths of Windows, weaknesses in the help."""
    rules = [
        {"id": "S2077", "shortDescription": {"text": "Formatting SQL queries is security-sensitive"},
         "fullDescription": {"text": "Queries put together from text may run other queries. See CWE-89."},
         "helpUri": "https://rules.sonarsource.com/csharp/RSPEC-2077", "properties": {"category": "Major Security Hotspot"}},
        {"id": "S1481", "shortDescription": {"text": "Unused local variables should be removed"},
         "defaultConfiguration": {"level": "note"}, "properties": {"category": "Minor Code Smell"}},
    ]  # fmt: skip
    where = {"startLine": 1, "startColumn": 11, "endLine": 1, "endColumn": 27}
    results = [
        {"ruleId": "S2077", "ruleIndex": 0, "message": {"text": "Make sure this query is safe."},
         "locations": [place("file:///C:/agent/work/Src/Gr%C3%B6%C3%9Fe.cs", where)],
         "suppressions": [{"kind": "inSource", "justification": "constant"}]},
        {"ruleId": "S1481", "ruleIndex": 1, "level": "note", "message": {"text": "Remove it."},
         "locations": [place("Src\\Größe.cs", where, uriBaseId="SRC")]},
    ]  # fmt: skip
    overrides = [
        {"descriptor": {"id": "S2077", "index": 0}, "configuration": {"level": "error"}},
        {"descriptor": {"id": "S1481", "index": 1}, "configuration": {"parameters": {"strict": True}}},
    ]
    return log(
        tool={"driver": {"name": "Microsoft (R) Visual C# Compiler", "version": "4.14.0", "language": "en-US", "rules": rules}},
        invocations=[{"executionSuccessful": True, "ruleConfigurationOverrides": overrides}],
        originalUriBaseIds={"SRC": {"uri": "file:///C:/agent/work/"}}, results=results, columnKind="utf16CodeUnits",
    )  # fmt: skip


def fortify() -> dict[str, Any]:
    """A rule of its own for each issue, the weakness in its help; the place of one only at the end of its flow."""
    rules = [
        {"id": name, "shortDescription": {"text": "Command Injection"}, "fullDescription": {"text": "Input in a command."},
         "help": {"text": "Weakness by CWE ID 78 and by OWASP A03; CWE-78 again."},
         "properties": {"tags": ["Critical"], "precision": "low", "security-severity": "9.8"}}
        for name in ("A1B2C3", "D4E5F6")
    ]  # fmt: skip
    at = place("src/app.py", {"startLine": 6, "endLine": 6, "startColumn": 1, "endColumn": 80})
    results = [
        {"ruleId": "A1B2C3", "message": {"text": "list_files() sends input to a shell."}, "level": "warning",
         "locations": [at], "partialFingerprints": {"issueInstanceId": "A1B2C3"}},
        {"ruleId": "D4E5F6", "message": {"text": "Again."}, "level": "warning",
         "codeFlows": [{"threadFlows": [{"locations": [
             {"location": place("src/app.py", {"startLine": 2})}, {"location": place("src/app.py", {"startLine": 6})}]}]}]},
    ]  # fmt: skip
    return log(tool={"driver": {"name": "SCA", "version": "24.4.0", "rules": rules}}, results=results)


def eslint(root: str) -> dict[str, Any]:
    """Absolute paths; comments that silence with their reason; a file that it can't parse fails the run as configuration."""
    rules = [
        {"id": "security/detect-sql", "shortDescription": {"text": "SQL from parts"}, "properties": {"category": "x"}}
    ]
    shop = {"uri": f"{root}/web/my%20shop.js"}
    where = {**region(SHOP, QUERY), "endLine": 1}
    result = {
        "ruleId": "security/detect-sql", "ruleIndex": 0, "level": "warning", "message": {"text": "SQL from parts"},
        "locations": [place(shop["uri"], where, index=0)],
    }  # fmt: skip
    quiet = {**result, "suppressions": [{"kind": "inSource", "justification": "b is a number here"}]}
    broken = {
        "descriptor": {"id": "ESL0999"}, "level": "error", "message": {"text": "Parsing error: Unexpected token"},
        "locations": [place(f"{root}/web/broken.js", {"startLine": 3, "startColumn": 5}, index=1)],
    }  # fmt: skip
    return log(
        tool={"driver": {"name": "ESLint", "informationUri": "https://eslint.org", "version": "9.39.1", "rules": rules}},
        artifacts=[{"location": shop}, {"location": {"uri": f"{root}/web/broken.js"}}], results=[result, quiet],
        invocations=[{"toolConfigurationNotifications": [broken], "executionSuccessful": False}],
    )  # fmt: skip
