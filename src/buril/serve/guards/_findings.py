"""What a scanner sees in an answer and not in the code that stood before it."""

from __future__ import annotations

from buril.scanners import INCONCLUSIVE, PARTIAL, Scanner, reads
from buril.serve.guards._guard import Piece, Reason


def added(scanner: Scanner, piece: Piece) -> list[tuple[Reason, str]]:
    """Findings in the lines of an answer, each with its severity; lines are counted within the answer.

    The answer is read with what stands before it, since half a function alone is no program.
    """
    if not reads(scanner, piece.language):
        return []
    above = piece.before.count("\n")
    found = scanner.scan(piece.before + piece.text, piece.language)
    return [
        (Reason(item.rule, item.line - above, item.message), item.severity)
        for item in found
        if item.rule not in (INCONCLUSIVE, PARTIAL) and (item.end_line or item.line) > above
        and not (piece.before and item.line <= above)
    ]  # fmt: skip
