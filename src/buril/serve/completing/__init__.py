"""Completing: what a model is given for a completion, and what stands between its raw text and an editor.

What works on text alone lies in `buril.code.completing`, where evaluation finds it too, and is named again here.
"""

from buril.code.completing.cursor import Cursor
from buril.code.completing.finish import Finished, completed, finish
from buril.code.completing.mode import Mode, mode_of
from buril.code.completing.rank import Candidate, rank
from buril.code.completing.stop import Stopper, Visible
from buril.serve.completing.budget import Prompt, Tokens, prompt
from buril.serve.completing.cache import InFlight, Suggestions, scope_of
from buril.serve.completing.context import Around, context
from buril.serve.completing.debounce import Typing, Wait, wait
from buril.serve.completing.fixed import fixed
from buril.serve.completing.index import Index
from buril.serve.completing.snippet import Snippet

__all__ = [
    "Around", "Candidate", "Cursor", "Finished", "InFlight", "Index", "Mode", "Prompt", "Snippet", "Stopper",
    "Suggestions", "Tokens", "Typing", "Visible", "Wait", "completed", "context", "finish", "fixed", "mode_of",
    "prompt", "rank", "scope_of", "wait",
]  # fmt: skip
