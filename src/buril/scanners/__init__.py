"""Scanners: whatever looks for trouble in code. One file a scanner; `Scanner` is what each of them is."""

from buril.scanners._rules import PERSONAL, SECRETS
from buril.scanners._scanner import Scanner, Span

__all__ = ["PERSONAL", "SECRETS", "Scanner", "Span"]
