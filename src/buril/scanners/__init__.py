"""Scanners: whatever looks for trouble in code. One file a scanner; `Scanner` is what each of them is."""

from buril.scanners._cwe import owasp, top_25
from buril.scanners._families import NAMES as FAMILIES
from buril.scanners._families import PERSONAL_RULES, Family
from buril.scanners._normalise import Change, Normalised, normalise
from buril.scanners._rules import PERSONAL, SECRETS
from buril.scanners._scanner import INCONCLUSIVE, PARTIAL, About, Scanner, Span, Text, inconclusive, reads

__all__ = [
    "FAMILIES", "INCONCLUSIVE", "PARTIAL", "PERSONAL", "PERSONAL_RULES", "SECRETS", "About", "Change", "Family",
    "Normalised", "Scanner", "Span", "Text", "inconclusive", "normalise", "owasp", "reads", "top_25",
]  # fmt: skip
