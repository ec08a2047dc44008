"""Guard: an answer that stands word for word in training code of a licence that is not allowed is told of, or stopped.

Where an answer is from says the provenance index of the training set. Without one this guard refuses to work, since it
could find nothing.
"""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import ClassVar

from buril.core.errors import BurilError
from buril.core.text import N_, _
from buril.serve.guards._guard import ALLOW, ANSWER, Guard, Origin, Piece, Reason, Verdict, refused, warned
from buril.serve.provenance.lookup import MIN_TOKENS, Match, ProvenanceIndex, Query
from buril.serve.provenance.policy import Judgement, Policy, cite, judge

_TELLS = N_("{tokens} tokens as in {source}")
_SAMPLE = Match(
    "verbatim", 0, 1, 10**9, 1.0, 1.0, "", 1, 1, "0" * 16, "planted", "", "planted.py", "LicenseRef-planted", "", 1, 1
)  # fmt: skip


class License(Guard):
    """Answers that are copies of training code whose licence is not allowed."""

    version: ClassVar[int] = 1
    origins: ClassVar[frozenset[Origin]] = ANSWER

    class Settings(Policy):
        """The policy, and where to look up what an answer is a copy of."""

        shorthand: ClassVar[str | None] = "index"

        index: Path | None = None
        """Folder of the provenance index: an artifact of the stage `index`."""

    settings: Settings

    def judge(self, piece: Piece, *, remote: bool) -> Verdict:
        """Refuse or tell; what is told is the source as it is cited.

        Raises:
            BurilError: V203 without an index, V201 or V202 for one that can't be read.
        """
        told = self.settings
        query = Query(min_tokens=min(MIN_TOKENS, told.verbatim_tokens))
        found = self._index.look_up(piece.text, piece.language, before=piece.before, query=query)
        verdict = judge(found.matches, told)
        if verdict.action == "allow":
            return ALLOW
        reasons = [_reason(piece, match, verdict) for match in verdict.matches]
        return refused(piece, reasons) if verdict.action == "block" else warned(reasons)

    def self_test(self) -> list[str]:
        """A planted match that the policy lets pass, and what the index does not find of itself.

        Raises:
            BurilError: V203 without an index, V201 or V202 for one that can't be read.
        """
        missed = self._index.self_test()
        return missed if judge([_SAMPLE], self.settings).matches else [*missed, "planted"]

    @cached_property
    def _index(self) -> ProvenanceIndex:
        if self.settings.index is None:
            raise BurilError("V203")
        return ProvenanceIndex.open(self.settings.index.expanduser())


def _reason(piece: Piece, match: Match, verdict: Judgement) -> Reason:
    line = piece.text.count("\n", 0, match.start) + 1
    return Reason(f"license-{verdict.action}", line, _(_TELLS).format(tokens=match.tokens, source=cite(match)))
