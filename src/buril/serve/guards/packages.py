"""Guard: an answer that imports or installs a package which none of your lists knows is told of, or stopped.

Models invent names of packages, and someone may have registered the name. What is known is what the scanner `packages`
is given; without a list this guard refuses to work, since it could find nothing.
"""

from __future__ import annotations

from functools import cached_property
from typing import ClassVar, Literal

from buril.scanners.packages import Packages as Scanner
from buril.serve.guards._findings import added
from buril.serve.guards._guard import ALLOW, ANSWER, Guard, Origin, Piece, Verdict, refused, warned


class Packages(Guard):
    """Answers that name packages which none of your lists knows."""

    version: ClassVar[int] = 1
    origins: ClassVar[frozenset[Origin]] = ANSWER

    class Settings(Scanner.Settings):
        """What is known, and what becomes of an answer that names something else."""

        shorthand: ClassVar[str | None] = "lockfiles"

        unknown: Literal["warn", "refuse"] = "warn"
        """What becomes of such an answer."""

    settings: Settings

    def judge(self, piece: Piece, *, remote: bool) -> Verdict:
        """Refuse or tell.

        Raises:
            BurilError: D224 without any list, D225 for one that can't be read.
        """
        self._scanner.observe()
        reasons = [reason for reason, _severity in added(self._scanner, piece)]
        if not reasons:
            return ALLOW
        return refused(piece, reasons) if self.settings.unknown == "refuse" else warned(reasons)

    def self_test(self) -> list[str]:
        """What the scanner misses of its own samples."""
        return self._scanner.self_test()

    @cached_property
    def _scanner(self) -> Scanner:
        told = {name: getattr(self.settings, name) for name in Scanner.Settings.model_fields}
        return Scanner(Scanner.Settings(**told))
