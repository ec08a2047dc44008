"""Guard: an answer with a weakness is told of, or stopped, by how bad it is. The scanner `taint` reads it."""

from __future__ import annotations

from typing import ClassVar, Literal

from buril.core.settings import Settings as BaseSettings
from buril.scanners.taint import Taint
from buril.serve.guards._findings import added
from buril.serve.guards._guard import ALLOW, ANSWER, Guard, Origin, Piece, Verdict, refused, warned

Policy = Literal["block", "warn", "ignore"]
_SAMPLE = Piece("import os\n\ndef run(name):\n    os.system('ls ' + name)\n", "answer", "python")


class Vulnerable(Guard):
    """Answers with weaknesses: told of or stopped, by severity."""

    version: ClassVar[int] = 1
    origins: ClassVar[frozenset[Origin]] = ANSWER

    class Settings(BaseSettings):
        """What becomes of an answer, by the worst that is seen in it."""

        shorthand: ClassVar[str | None] = "high"

        high: Policy = "warn"
        """An attacker runs code or reads the database, if input gets there."""
        medium: Policy = "warn"
        """A weakness that needs more to be used."""
        low: Policy = "ignore"
        """Worth a look."""
        min_confidence: Literal["low", "medium", "high"] = "medium"
        """What is less sure does not count."""

    settings: Settings

    def judge(self, piece: Piece, *, remote: bool) -> Verdict:
        """Refuse or tell, by severity. A language that `taint` does not read passes unseen."""
        found = added(self._scanner(), piece)
        seen = [(reason, getattr(self.settings, severity)) for reason, severity in found]
        reasons = [reason for reason, policy in seen if policy != "ignore"]
        if not reasons:
            return ALLOW
        return refused(piece, reasons) if any(policy == "block" for _, policy in seen) else warned(reasons)

    def self_test(self) -> list[str]:
        """The planted command."""
        return [] if added(self._scanner(), _SAMPLE) else ["command"]

    def _scanner(self) -> Taint:
        return Taint(Taint.Settings(mode="snippet", min_confidence=self.settings.min_confidence))
