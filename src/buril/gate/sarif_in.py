"""SARIF 2.1.0 in: what other tools saw (CodeQL, semgrep, anything) as results of ours.

Readers of SARIF fail open easily: what is missing has a default, and a default of nothing is a clean file. So a run
that says that it failed, or could not read a file, is a file that was not analysed here too, and a result of a kind
that only a person can judge counts. A suppression by another tool counts where it gives a reason.
"""

from __future__ import annotations

import json
import posixpath
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple, cast
from urllib.parse import unquote, urlsplit

from buril.code.codefile import Finding
from buril.core.errors import BurilError
from buril.gate.result import SEVERITIES, Result, Suppression
from buril.gate.sarif import FINGERPRINT, Tool
from buril.scanners import INCONCLUSIVE, About, owasp

MAX_BYTES = 200_000_000
_LEVELS = {"error": "high", "warning": "medium", "note": "low", "none": "low"}
_COUNTED = ("fail", "open", "review")
_CWE = re.compile(r"\bcwe[-/_: ]{0,2}0*(\d+)", re.IGNORECASE)
_BROKEN = (ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError)
Json = Mapping[str, Any]


class Imported(NamedTuple):
    """What a file tells: its tools in their order, and all results."""

    tools: list[Tool]
    results: list[Result]


def read(path: Path, root: Path) -> Imported:
    """Read a log.

    Args:
        path: the file.
        root: what the results' paths are told relative to.

    Raises:
        BurilError: W231 when it can't be read or is no SARIF 2.1.0.
    """
    try:
        if path.stat().st_size > MAX_BYTES:
            raise ValueError(f"larger than {MAX_BYTES} bytes")
        log = json.loads(path.read_bytes().decode("utf-8-sig"))
        if not str(log["version"]).startswith("2.1"):
            raise ValueError(f"version {log['version']}")
        runs = [_Run(run, root, path.name) for run in log["runs"]]
        tools: dict[str, Tool] = {}
        for run in runs:
            before = tools.get(run.name, Tool(run.name, {})).rules
            tools[run.name] = Tool(run.name, {**before, **run.about()}, foreign=True)
        return Imported(list(tools.values()), [result for run in runs for result in run.results()])
    except OSError as problem:
        raise BurilError("W231", path=path, problem=problem.strerror or str(problem)) from problem
    except _BROKEN as problem:
        raise BurilError("W231", path=path, problem=f"{type(problem).__name__}: {problem}") from problem


class _Run:
    """One run of a log."""

    def __init__(self, run: Json, root: Path, source: str) -> None:
        self._run, self._root, self._source = run, root, source
        tool = run["tool"]
        self.name = _line(tool["driver"]["name"])
        self._components: list[Json] = [tool["driver"], *(tool.get("extensions") or ())]
        self._rules: dict[str, Json] = {
            str(rule["id"]): rule for part in self._components for rule in part.get("rules") or () if rule.get("id")
        }

    def about(self) -> dict[str, About]:
        """What its rules are about."""
        return {name: About(_text(rule), str(rule.get("helpUri") or "")) for name, rule in self._rules.items()}

    def results(self) -> Iterator[Result]:
        """What was seen and what was not analysed."""
        for invocation in self._run.get("invocations") or ():
            yield from self._unread(invocation)
        for told in self._run.get("results") or ():
            if told.get("kind", "fail") in _COUNTED and told.get("baselineState") != "absent":
                yield self._result(told)

    def _unread(self, invocation: Json) -> Iterator[Result]:
        """What a run says that it could not read; that it failed, of nothing in particular, stands for the log."""
        notes = invocation.get("toolExecutionNotifications") or ()
        paths = {
            self._path(place["physicalLocation"]["artifactLocation"])
            for note in notes
            if note.get("level", "warning") == "error"
            for place in note.get("locations") or ()
            if place.get("physicalLocation", {}).get("artifactLocation")
        }
        if not paths and invocation.get("executionSuccessful") is False:
            paths = {self._source}
        for path in sorted(paths):
            yield Result(path, Finding(self.name, INCONCLUSIVE, 1, "low", "the tool says that it failed here"))

    def _result(self, told: Json) -> Result:
        rule_id, rule = self._rule(told)
        places = [item["physicalLocation"] for item in told.get("locations") or () if "physicalLocation" in item]
        place: Json = places[0] if places else {}
        region: Json = place.get("region") or {}
        line = int(region.get("startLine") or 1)
        end = int(region.get("endLine") or line)
        columns = int(region.get("startColumn") or 0), int(region.get("endColumn") or 0)
        cwe = self._cwe(told, rule)
        finding = Finding(
            self.name, rule_id, line, _severity(told, rule), _message(told, rule), cwe, owasp(cwe),
            _confidence(told, rule), end if end > line else 0,
        )  # fmt: skip
        path = self._path(place.get("artifactLocation") or {})
        fingerprint = str((told.get("partialFingerprints") or {}).get(FINGERPRINT, ""))
        return Result(path, finding, columns if columns[0] else (0, 0), fingerprint, _suppression(told))

    def _rule(self, told: Json) -> tuple[str, Json]:
        """The id of a result's rule and what is told of it; an id may go on behind a slash of the rule's own."""
        reference: Json = told.get("rule") or {}
        name = str(told.get("ruleId") or reference.get("id") or "")
        part: Json = reference.get("toolComponent") or {}
        component = self._components[int(part["index"]) + 1 if "index" in part else 0]
        rules = component.get("rules") or ()
        index = int(reference.get("index", told.get("ruleIndex", -1)))
        if 0 <= index < len(rules):
            return _line(name or str(rules[index]["id"])), rules[index]
        return _line(name or "?"), self._rules.get(name) or self._rules.get(name.rpartition("/")[0]) or {}

    def _cwe(self, told: Json, rule: Json) -> str:
        """The weakness: of the result's or the rule's taxa, else of tags and properties."""
        references = [*(told.get("taxa") or ()), *(item["target"] for item in rule.get("relationships") or ())]
        for target in references:
            component = target.get("toolComponent") or {}
            number = re.search(r"\d+", str(target.get("id")))
            if number and "CWE" in (self._taxonomy(component) + str(target.get("id"))).upper():
                return f"CWE-{int(number[0])}"
        texts = [_words(holder.get("properties") or {}) for holder in (told, rule)]
        found = next((match for text in texts if (match := _CWE.search(text))), None)
        return f"CWE-{int(found[1])}" if found else ""

    def _taxonomy(self, component: Json) -> str:
        name, index = component.get("name"), int(component.get("index", -1))
        there = self._run.get("taxonomies") or ()
        return str(name or (there[index].get("name", "") if 0 <= index < len(there) else ""))

    def _path(self, artifact: Json) -> str:
        """A file's path from the root; as told where it lies elsewhere, and the log's own name where none is told."""
        if "uri" not in artifact and "index" in artifact:
            artifact = self._run["artifacts"][int(artifact["index"])]["location"]
        if not artifact.get("uri"):
            return self._source
        told, base = str(artifact["uri"]), str(artifact.get("uriBaseId", ""))
        full = told if _scheme(told) else self._base(base, 0) + told
        path = unquote(urlsplit(full).path if _scheme(full) else full, errors="surrogateescape")
        if _scheme(full) and _below(path, self._root) is None and not _scheme(told):
            path = unquote(told, errors="surrogateescape")  # made on another machine: below its root as below ours
        below = _below(path, self._root)
        return _line(below if below is not None else posixpath.normpath(path))

    def _base(self, name: str, depth: int) -> str:
        """The URI that a base stands for; "" where only those who made the log know it."""
        base: Json = (self._run.get("originalUriBaseIds") or {}).get(name) or {}
        uri = str(base.get("uri") or "")
        uri += "/" if uri and not uri.endswith("/") else ""
        if _scheme(uri) or not base.get("uriBaseId") or depth > len(self._run.get("originalUriBaseIds") or ()):
            return uri
        return self._base(str(base["uriBaseId"]), depth + 1) + uri


def _scheme(uri: str) -> bool:
    return uri.startswith("/") or re.match(r"[A-Za-z][A-Za-z0-9+.-]+:", uri) is not None


def _below(path: str, root: Path) -> str | None:
    """An absolute path relative to the root; a relative one, tidied; None for one that lies outside."""
    if path.startswith("/"):
        try:
            path = Path(posixpath.normpath(path)).relative_to(root).as_posix()
        except ValueError:
            return None
    path = posixpath.normpath(path)
    return None if path.startswith("..") else path


def _line(text: str) -> str:
    return " ".join(text.split())


def _text(rule: Json) -> str:
    """A sentence about a rule."""
    for name in ("shortDescription", "fullDescription"):
        if text := (rule.get(name) or {}).get("text"):
            return _line(str(text))
    return _line(str(rule.get("name") or ""))


def _message(told: Json, rule: Json) -> str:
    """A result's message, its placeholders filled; one that names a message of its rule has that."""
    message: Json = told.get("message") or {}
    text = message.get("text") or message.get("markdown")
    if not text and message.get("id"):
        text = ((rule.get("messageStrings") or {}).get(str(message["id"])) or {}).get("text")
    text = str(text or _text(rule))
    for place, argument in enumerate(cast("list[Any]", message.get("arguments") or [])):
        text = text.replace(f"{{{place}}}", str(argument))
    return _line(text)


def _severity(told: Json, rule: Json) -> str:
    """The rule's score where it has one (as GitHub reads it), else the level, of the result or by default."""
    for holder in (told, rule):
        score = (holder.get("properties") or {}).get("security-severity")
        if score is not None and re.fullmatch(r"\d+(\.\d+)?", str(score)):
            return "high" if float(score) >= 7 else "medium" if float(score) >= 4 else "low"
    default = (rule.get("defaultConfiguration") or {}).get("level", "warning")
    return _LEVELS.get(str(told.get("level") or default), "medium")


def _confidence(told: Json, rule: Json) -> str:
    words = ((told.get("properties") or {}).get("confidence"), (rule.get("properties") or {}).get("precision"))
    word = str(next((word for word in words if word), "")).lower().removeprefix("very-")
    return word if word in SEVERITIES else ""


def _suppression(told: Json) -> Suppression | None:
    """The first suppression with a reason; none where one is under review or was rejected."""
    there = told.get("suppressions") or ()
    if any(item.get("status", "accepted") != "accepted" for item in there):
        return None
    reasons = [_line(str(item["justification"])) for item in there if str(item.get("justification") or "").strip()]
    return Suppression(reasons[0]) if reasons else None


def _words(properties: Any) -> str:
    return json.dumps(properties)
