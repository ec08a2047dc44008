"""Scanners: whatever looks for trouble in code. One file a scanner; `Scanner` is what each of them is."""

from buril.scanners._families import NAMES as FAMILIES
from buril.scanners._families import PERSONAL_RULES, Family
from buril.scanners._rules import PERSONAL, SECRETS
from buril.scanners._scanner import Scanner, Span

__all__ = ["FAMILIES", "PERSONAL", "PERSONAL_RULES", "SECRETS", "Family", "Scanner", "Span"]
