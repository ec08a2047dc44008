"""What of an answer may be shown: as it comes where no guard reads answers, else line by line after the guards.

A guard sees all that was written so far, to the end of its last whole line. What has been shown can't be taken back, so
where a guard would change it afterwards the answer ends there.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from buril.serve.guards import Fired, Guard, Piece, guarded

_FENCED = re.compile(r"```([\w+#-]+)\n(.*?)(?:```|\Z)", re.DOTALL)


class Shown(NamedTuple):
    """What is new of an answer, and whether it was stopped here."""

    text: str
    stopped: bool = False


class Release:
    """Lets the answer of one sample out.

    Args:
        guards: all of the server's; those that read no answers are left aside.
        language: of the code, "" where it is unknown.
        before: the code that stands before the answer.
        chat: an answer is prose with code in fences.
        remote: the model runs on another machine.
    """

    def __init__(
        self, guards: Sequence[Guard], *, language: str = "", before: str = "", chat: bool = False, remote: bool = False
    ) -> None:
        self._guards = [guard for guard in guards if "answer" in guard.origins]
        self._language, self._before, self._chat, self._remote = language, before, chat, remote
        self._read = 0
        self.shown = ""
        self.fired: list[Fired] = []
        self.stopped = False

    @property
    def reads(self) -> bool:
        """Whether any guard reads answers."""
        return bool(self._guards)

    def due(self, text: str, *, ended: bool) -> bool:
        """Whether `push` would have something to say of a text so far."""
        if self.stopped:
            return False
        return ended or (text.rfind("\n") + 1 > self._read if self.reads else len(text) > len(self.shown))

    def push(self, text: str, *, ended: bool) -> Shown:
        """Take the text so far; what may be shown of it that was not yet."""
        if self.stopped:
            return Shown("", True)
        if not self.reads:
            passed = text
        else:
            whole = text if ended else text[: text.rfind("\n") + 1]
            self._read = len(whole)
            passed = self._guarded(whole)
        if self.stopped or not passed.startswith(self.shown):
            self.stopped = self.stopped or self.reads
            return Shown("", self.stopped)
        new, self.shown = passed[len(self.shown) :], passed
        return Shown(new)

    def _guarded(self, text: str) -> str:
        """A text after the guards; what fired is that of the last look."""
        piece = Piece(text, "answer", "" if self._chat else self._language, before="" if self._chat else self._before)
        pieces = [piece]
        if self._chat:
            pieces += [Piece(block, "answer", language.lower()) for language, block in _FENCED.findall(text)]
        outcome = guarded(pieces, self._guards, remote=self._remote)
        self.fired = list(outcome.fired)
        self.stopped = outcome.refusal is not None
        return "" if self.stopped else outcome.pieces[0].text
