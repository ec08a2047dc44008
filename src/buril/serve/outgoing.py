"""What of one sample goes out: its text after the guards, the calls in it, and what is told of its tokens."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import NamedTuple

from buril.generators._calls import Call, Form, Reader, strings
from buril.serve.likely import Following, Sent
from buril.serve.release import Release


class Calling(NamedTuple):
    """How a model writes calls, and the functions that it may call."""

    form: Form
    names: Collection[str]


class New(NamedTuple):
    """What is new of a sample, and whether a guard stopped it here. `tokens` are None where none are told."""

    text: str
    stopped: bool = False
    calls: tuple[Call, ...] = ()
    tokens: tuple[Sent, ...] | None = None


@dataclass(frozen=True)
class Ending:
    """Whether a sample has ended, and whether it was the model that ended it."""

    ended: bool = False
    by_model: bool = False


class Outgoing:
    """Lets a sample out.

    Args:
        release: what the guards let pass.
        calling: how calls are written; None where there can be none.
        following: the tokens that are told; None where none are.
    """

    def __init__(self, release: Release, calling: Calling | None, following: Following | None) -> None:
        self.release, self._following = release, following
        self._reader = Reader(*calling) if calling else None
        self.calls: list[Call] = []
        self._said: list[str] = []

    def push(self, text: str, ending: Ending) -> New:
        """Take the text so far; what goes out of it that did not yet."""
        shown = self.release.push(text, ended=ending.ended)
        ended = ending.ended or shown.stopped
        by_model = ending.by_model and not shown.stopped
        tokens = self._following.upto(self.release.shown, ended=ended, by_model=by_model) if self._following else None
        if self._reader is None:
            return New(shown.text, shown.stopped, (), tokens)
        # what a guard stopped may have begun to be a call: that is kept back
        parts = self._reader.feed(self.release.shown, ended=ended and not shown.stopped)
        calls = tuple(call for part in parts for call in part.calls)
        said = "".join(part.text for part in parts)
        self.calls += calls
        self._said.append(said)
        return New(said, shown.stopped, calls, tokens)

    @property
    def kept(self) -> str:
        """What records are told that was written: the text as it was shown, and of calls each text as it is meant.

        In a call code is a JSON string. As such nobody would know it again.
        """
        if not self.calls:
            return self.release.shown
        told = [text for call in self.calls for text in (call.name, *strings(call.arguments))]
        return "\n".join(filter(None, ("".join(self._said), *told)))
