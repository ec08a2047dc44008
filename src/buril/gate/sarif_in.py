"""SARIF 2.1.0 in: what other tools saw (CodeQL, semgrep, anything) as results of ours.

Readers of SARIF fail open easily: what is missing has a default, and a default of nothing is a clean file. So a run
that says that it failed, or could not read a file, is a file that was not analysed here too, and a result of a kind
that only a person can judge counts. A suppression by another tool counts where it gives a reason; what another tool
calls unchanged is not known to us: only `absent` is gone.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from buril.code.codefile import Finding
from buril.core.errors import BurilError
from buril.gate.result import Result, Suppression
from buril.gate.sarif import FINGERPRINT, Tool
from buril.gate.sarif_places import Places
from buril.gate.sarif_rules import Json, Rules, about, confidence, line, severity
from buril.scanners import INCONCLUSIVE, About, owasp

MAX_BYTES = 200_000_000
_COUNTED = ("fail", "open", "review")
_NOTES = ("toolExecutionNotifications", "toolConfigurationNotifications")
_GZIP = b"\x1f\x8b"
_BROKEN = (ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError, zlib.error)


class Imported(NamedTuple):
    """What a file tells: its tools in their order, and all results."""

    tools: list[Tool]
    results: list[Result]


def read(path: Path, root: Path) -> Imported:
    """Read a log, which may be compressed with gzip, in UTF-8 or with a mark that says otherwise.

    Args:
        path: the file.
        root: what the results' paths are told relative to.

    Raises:
        BurilError: W231 when it can't be read or is no SARIF 2.1.0.
    """
    try:
        log = json.loads(_content(path))
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


def _content(path: Path) -> bytes:
    """The bytes of a log, unpacked, and never more than `MAX_BYTES` of them: a few may stand for any number.

    Raises:
        ValueError: for more.
    """
    with path.open("rb") as stream:
        content = stream.read(MAX_BYTES + 1)
    if content.startswith(_GZIP) and len(content) <= MAX_BYTES:
        unpacked, parts, room = zlib.decompressobj(wbits=31), [], MAX_BYTES + 1
        while content and room > 0:  # it may be made of several
            parts.append(unpacked.decompress(content, room))
            room -= len(parts[-1])
            if not unpacked.eof and room > 0:
                raise ValueError("cut off")
            content, unpacked = unpacked.unused_data, zlib.decompressobj(wbits=31)
        content = b"".join(parts)
    if len(content) > MAX_BYTES:
        raise ValueError(f"larger than {MAX_BYTES} bytes")
    return content


class _Run:
    """One run of a log."""

    def __init__(self, run: Json, root: Path, source: str) -> None:
        self._run, self._source = run, source
        self.name = line(run["tool"]["driver"]["name"])
        self._rules, self._places = Rules(run), Places(run, root, source)

    def about(self) -> dict[str, About]:
        """What its rules are about."""
        return {name: About(about(rule), str(rule.get("helpUri") or "")) for name, rule in self._rules.by_id.items()}

    def results(self) -> Iterator[Result]:
        """What was seen and what was not analysed."""
        for invocation in self._run.get("invocations") or ():
            yield from self._unread(invocation)
        for told in self._run.get("results") or ():
            if told.get("kind", "fail") in _COUNTED and told.get("baselineState") != "absent":
                yield self._result(told)

    def _unread(self, invocation: Json) -> Iterator[Result]:
        """What a run says that it could not read; that it failed, of nothing in particular, stands for the log."""
        notes = [note for name in _NOTES for note in invocation.get(name) or ()]
        paths = {
            self._places.path(place["physicalLocation"]["artifactLocation"])
            for note in notes
            if note.get("level", "warning") == "error"
            for place in note.get("locations") or ()
            if (place.get("physicalLocation") or {}).get("artifactLocation")
        }
        if not paths and invocation.get("executionSuccessful") is False:
            paths = {self._source}
        for path in sorted(paths):
            yield Result(path, Finding(self.name, INCONCLUSIVE, 1, "low", "the tool says that it failed here"))

    def _result(self, told: Json) -> Result:
        rule_id, rule = self._rules.of(told)
        place, cwe = self._places.of(told), self._rules.cwe(told, rule)
        finding = Finding(
            self.name, rule_id, place.line, severity(told, rule, self._rules.level(told, rule_id, rule)),
            self._rules.message(told, rule), cwe, owasp(cwe), confidence(told, rule), *place[2:],
        )  # fmt: skip
        fingerprint = str((told.get("partialFingerprints") or {}).get(FINGERPRINT, ""))
        return Result(place.path, finding, fingerprint, _suppression(told))


def _suppression(told: Json) -> Suppression | None:
    """The first suppression with a reason; none where one is under review or was rejected."""
    there = told.get("suppressions") or ()
    if any(item.get("status", "accepted") != "accepted" for item in there):
        return None
    reasons = [line(str(item["justification"])) for item in there if str(item.get("justification") or "").strip()]
    return Suppression(reasons[0]) if reasons else None
