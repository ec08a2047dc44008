"""What scanners see of a function: the weaknesses that a source of pairs goes by."""

from __future__ import annotations

from collections.abc import Sequence

from buril.code.codefile import Finding
from buril.core.plugins import Ref, plugin
from buril.core.settings import Json
from buril.data import _scan
from buril.scanners import INCONCLUSIVE, PARTIAL, Scanner, reads

GRADES = {"low": 0, "medium": 1, "high": 2}
DEFAULT = ({"taint": {"mode": "snippet"}},)
"""The scanner that is asked where none is named."""


class Seeing:
    """Asks scanners for weaknesses of severity medium and higher."""

    def __init__(self, refs: Sequence[Ref]) -> None:
        self._scanners: list[Scanner] = [ref.make() for ref in refs]

    def reads(self, language: str) -> bool:
        """Whether any scanner is made for a language."""
        return any(reads(scanner, language) for scanner in self._scanners)

    def weaknesses(self, text: str, language: str) -> dict[str, Finding] | None:
        """The gravest finding of each weakness, the gravest first; None where a scanner can't read the text."""
        found: list[Finding] = []
        for scanner in self._scanners:
            if reads(scanner, language):
                found += scanner.scan(text, language)
        if any(item.rule in (INCONCLUSIVE, PARTIAL) for item in found):
            return None
        grave = [item for item in found if item.cwe and GRADES.get(item.severity, 0) >= GRADES["medium"]]
        grave.sort(key=lambda item: (-GRADES[item.severity], item.line))
        kept: dict[str, Finding] = {}
        for item in grave:
            kept.setdefault(item.cwe, item)
        return kept


def parts_of(refs: Sequence[Ref]) -> dict[str, int]:
    """Versions of the scanners, for `Pairing.parts`."""
    return {f"scanner:{ref.name}": int(plugin("scanner", ref.name).version) for ref in refs}


def observed(refs: Sequence[Ref]) -> Json:
    """What their findings depend on outside of their settings, for `Pairing.observe`."""
    return dict(_scan.observed(refs))
