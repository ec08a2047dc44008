"""Guard: an answer that sends secrets, the environment or private files elsewhere, by code or by a link, is stopped."""

from __future__ import annotations

from typing import ClassVar, Literal

from buril.core.settings import Settings as BaseSettings
from buril.scanners._injection.raw import sends
from buril.scanners._injection.rules import KINDS, SENDS
from buril.serve.guards._guard import ALLOW, ANSWER, Guard, Origin, Piece, Reason, Verdict, refused, warned

Policy = Literal["refuse", "warn", "ignore"]


class Exfiltration(Guard):
    """Answers that send out secrets, the environment or private files."""

    version: ClassVar[int] = 1
    origins: ClassVar[frozenset[Origin]] = ANSWER

    class Settings(BaseSettings):
        """What becomes of such an answer."""

        shorthand: ClassVar[str | None] = "high"

        high: Policy = "refuse"
        """Where there is hardly a doubt: the whole environment, a private key, `/etc/shadow`."""
        medium: Policy = "warn"
        """Where it may be meant so: a variable of the environment in an address."""

    settings: Settings

    def judge(self, piece: Piece, *, remote: bool) -> Verdict:
        """Refuse or tell, by how sure it is."""
        text, past = piece.before + piece.text, len(piece.before)
        policies = {"high": self.settings.high, "medium": self.settings.medium}
        hits = [hit for hit in sends(text) if hit.end > past and policies[hit.confidence] != "ignore"]
        if not hits:
            return ALLOW
        reasons = [
            Reason(SENDS, text.count("\n", past, max(past, hit.start)) + 1, KINDS[SENDS].message) for hit in hits
        ]
        stops = any(policies[hit.confidence] == "refuse" for hit in hits)
        return refused(piece, reasons) if stops else warned(reasons)

    def self_test(self) -> list[str]:
        """The planted call."""
        return [] if next(sends(KINDS[SENDS].sample), None) else [SENDS]
