"""What of an answer may be shown: as it comes where no guard reads answers, else line by line after the guards.

A guard sees all that was written so far, to the end of its last whole line. What has been shown can't be taken back, so
where a guard would change it afterwards the answer ends there.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from buril.generators._calls import Reader, mapped, open_at, written
from buril.serve.guards import Fired, Guard, Piece, guarded

if TYPE_CHECKING:
    from buril.serve.outgoing import Calling

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

    Attributes:
        calling: how calls of functions stand in the answer, where there may be some: one is let out whole, once the
            guards have read each text of its arguments as it is meant.
    """

    calling: Calling | None = None

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
        return ended or (self._whole(text) > self._read if self.reads else len(text) > len(self.shown))

    def _whole(self, text: str) -> int:
        """Where what the guards may read ends: with a line, and before a call that is still being written."""
        whole = text.rfind("\n") + 1
        return min(whole, open_at(text[:whole], self.calling.form)) if self.calling else whole

    def push(self, text: str, *, ended: bool) -> Shown:
        """Take the text so far; what may be shown of it that was not yet."""
        if self.stopped:
            return Shown("", True)
        if not self.reads:
            passed = text
        else:
            whole = text if ended else text[: self._whole(text)]
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
        if self.stopped:
            return ""
        passed = outcome.pieces[0].text
        return self._called(passed) if self.calling and self.calling.form.begins_in(passed) else passed

    def _called(self, text: str) -> str:
        """A text whose calls the guards have read as they are meant: in JSON a line break is two letters."""
        assert self.calling is not None
        form, found, at = self.calling.form, [], 0
        for part in Reader(*self.calling).feed(text, ended=True):
            calls = [call._replace(arguments=mapped(call.arguments, self._meant)) for call in part.calls]
            if self.stopped:
                return ""
            if list(part.calls) != calls:
                found += [text[at : part.start], written(form, calls)]
                at = part.end
        return "".join([*found, text[at:]])

    def _meant(self, text: str) -> str:
        """A text of a call's arguments after the guards."""
        if self.stopped:
            return ""
        outcome = guarded([Piece(text, "answer", self._language)], self._guards, remote=self._remote)
        self.fired += outcome.fired
        self.stopped = outcome.refusal is not None
        return "" if self.stopped else outcome.pieces[0].text
