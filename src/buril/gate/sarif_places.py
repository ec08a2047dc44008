"""Where a result of SARIF stands: a file below the root, lines, and columns in characters.

Columns count UTF-16 code units unless the run says otherwise (3.14.17), and some tools say nothing and count bytes or
characters; they become characters by the text of the file. Where the file is not here they stay as told.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple
from urllib.parse import unquote, urlsplit

from buril.gate.files import decoded, inside
from buril.gate.sarif_rules import line as one_line

Json = Mapping[str, Any]
UTF_16, BYTES, CHARACTERS = "utf-16-le", "utf-8", ""
_KINDS: Final = {"unicodeCodePoints": CHARACTERS, "utf16CodeUnits": UTF_16}
_SILENT: Final = {"bandit": BYTES, "opengrep": BYTES, "ruff": CHARACTERS, "semgrep": BYTES}
"""First words of the names of tools that do not say what they count → what they were seen to count."""


class Place(NamedTuple):
    """A file's path from the root, and a region of it as a finding has it; `end_line` 0 is the same line."""

    path: str
    line: int = 1
    end_line: int = 0
    column: int = 0
    end_column: int = 0


class Places:
    """The places of one run."""

    def __init__(self, run: Json, root: Path, source: str) -> None:
        self._run, self._root, self._source = run, root, source
        self._texts: dict[str, list[str]] = {}
        silent = _SILENT.get(str(run["tool"]["driver"]["name"]).lower().partition(" ")[0], UTF_16)
        self._unit = _KINDS.get(str(run.get("columnKind")), silent)

    def of(self, told: Json) -> Place:
        """Where a result is: its first location, else the end of its first flow; the log itself where it tells none."""
        places = [item["physicalLocation"] for item in told.get("locations") or () if item.get("physicalLocation")]
        flows = [flow for item in told.get("codeFlows") or () for flow in item.get("threadFlows") or ()]
        if not places and flows:
            steps = [item.get("location") or {} for item in flows[0].get("locations") or ()]
            places = [item["physicalLocation"] for item in steps if item.get("physicalLocation")][-1:]
        if not places:
            return Place(self._source)
        return self._region(self.path(places[0].get("artifactLocation") or {}), places[0].get("region") or {})

    def _region(self, path: str, region: Json) -> Place:
        """A region by lines (3.30); what is told by bytes or characters of the whole file alone has no line."""
        start = int(region.get("startLine") or 1)
        end = max(start, int(region.get("endLine") or start))
        told = int(region.get("startColumn") or 0), int(region.get("endColumn") or 0)
        if "startLine" in region and "startColumn" not in region and told[1]:
            told = 1, told[1]  # its default
        column, end_column = self._column(path, start, told[0]), self._column(path, end, told[1])
        return Place(path, start, end if end > start else 0, column, end_column if column else 0)

    def _column(self, path: str, number: int, told: int) -> int:
        """A column in characters."""
        if self._unit == CHARACTERS or told <= 1:
            return max(0, told)
        lines = self._lines(path)
        if number > len(lines) or lines[number - 1].isascii():
            return told
        width = 2 if self._unit == UTF_16 else 1
        before = lines[number - 1].encode(self._unit, "surrogatepass")[: width * (told - 1)]
        return len(before.decode(self._unit, "replace")) + 1

    def _lines(self, path: str) -> list[str]:
        if path not in self._texts:
            file = inside(self._root, path)
            try:
                text = decoded(file.read_bytes()) if file else ""
            except OSError:
                text = ""
            self._texts[path] = text.split("\n")
        return self._texts[path]

    def path(self, artifact: Json) -> str:
        """A file's path from the root; as told where it lies elsewhere, and the log's own name where none is told."""
        if "uri" not in artifact and int(artifact.get("index", -1)) >= 0:
            artifact = self._run["artifacts"][int(artifact["index"])].get("location") or {}
        if not artifact.get("uri"):
            return self._source
        told = str(artifact["uri"]).replace("\\", "/")  # no sign of a URI, but of paths on Windows
        base = str(artifact.get("uriBaseId", ""))
        full = told if _scheme(told) else self._base(base, 0) + told
        path = unquote(urlsplit(full).path if _scheme(full) else full, errors="surrogateescape")
        if _scheme(full) and _below(path, self._root) is None and not _scheme(told):
            path = unquote(told, errors="surrogateescape")  # made on another machine: below its root as below ours
        below = _below(path, self._root)
        return one_line(below if below is not None else posixpath.normpath(path))

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
