"""Guards: what looks at a request before a model sees it, and at an answer before a person does. One file a guard."""

from buril.serve.guards._guard import Guard, Piece, Reason, Verdict
from buril.serve.guards._run import Fired, Outcome, guarded

__all__ = ["Fired", "Guard", "Outcome", "Piece", "Reason", "Verdict", "guarded"]
