"""A result: a finding in a file, with what tells it from others when lines move, and what became of it at the gate."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from buril.code.attribution import Piece
from buril.code.codefile import Finding
from buril.scanners import INCONCLUSIVE, PARTIAL, PERSONAL, Span

SEVERITIES: Final = ("low", "medium", "high")
"""From the least to the worst."""
FINGERPRINT_HEX = 16
_ODD_LINE_END = re.compile("\r(?!\n)|[\x85\u2028\u2029]")


class Suppression(NamedTuple):
    """Why a result does not count: the reason that a person gave, and the line where it stands (0: not in the file)."""

    reason: str
    line: int = 0


@dataclass(frozen=True)
class Result:
    """A finding in a file.

    `path` is relative to the root, with forward slashes. `known` is None without a baseline. `also` names other
    scanners that saw the same. `generated`: what wrote the lines, where a ledger knows that a model did.
    """

    path: str
    finding: Finding
    fingerprint: str = ""
    suppression: Suppression | None = None
    known: bool | None = None
    also: tuple[str, ...] = ()
    generated: Piece | None = None

    @property
    def unread(self) -> bool:
        """Whether it says that nothing of the file was analysed."""
        return self.finding.rule == INCONCLUSIVE

    @property
    def partly(self) -> bool:
        """Whether it says that some lines were not analysed."""
        return self.finding.rule == PARTIAL

    @property
    def counts(self) -> bool:
        """Whether it is something seen that nobody suppressed and no baseline knows."""
        return not (self.unread or self.partly or self.suppression or self.known)

    @property
    def last_line(self) -> int:
        """The last line it is about."""
        return max(self.finding.line, self.finding.end_line)

    @property
    def order(self) -> tuple[Any, ...]:
        """By place, then by who says it."""
        return self.path, self.finding.line, self.finding.column, self.finding


def odd_lines(text: str) -> bool:
    r"""Whether a text has signs that some programs take for the end of a line and git does not, so that numbers differ.

    Example:
        `odd_lines("a\rb\n")` → True
    """
    return _ODD_LINE_END.search(text) is not None


def worst(severities: Iterable[str]) -> str:
    """The worst of some severities; "low" for none.

    Example:
        `worst(["low", "high"])` → "high"
    """
    return max(severities, key=SEVERITIES.index, default="low")


def located(path: str, text: str, findings: Sequence[Finding], spans: Sequence[Span] = ()) -> list[Result]:
    """The findings of one scanner in one text as results with fingerprints; its spans say where a person's data stand.

    A fingerprint is a hash of the scanner, the rule, the line without its spaces' widths, and which of such lines it is
    in the file: it stays when lines move, and columns are no part of it. A person's data are cut out of the line first,
    because a hash of a telephone number gives it away; a secret is not, because another secret in its place is another
    leak.
    """
    source = text.encode("utf-8", "surrogatepass")
    shown = _without(source, [span for span in spans if span.group == PERSONAL])
    lines = shown.splitlines() if odd_lines(text) else shown.split(b"\n")
    seen: Counter[tuple[str, str, bytes]] = Counter()
    results = []
    for finding in sorted(findings, key=lambda item: item.line):
        line = b" ".join(lines[finding.line - 1].split()) if finding.line <= len(lines) else b""
        same = (finding.scanner, finding.rule, line)
        seen[same] += 1
        results.append(Result(path, finding, _fingerprint(*same, seen[same])))
    return results


def _fingerprint(scanner: str, rule: str, line: bytes, nth: int) -> str:
    hashed = hashlib.sha256(b"\0".join((scanner.encode(), rule.encode(), line, b"%d" % nth)))
    return f"{hashed.hexdigest()[:FINGERPRINT_HEX]}:{nth}"


def _without(source: bytes, spans: Sequence[Span]) -> bytes:
    """A source without the values of some spans; it keeps its lines."""
    parts, past = [], 0
    for span in spans:
        parts += [source[past : span.start], b"\n" * source.count(b"\n", span.start, span.end)]
        past = span.end
    return b"".join([*parts, source[past:]])
