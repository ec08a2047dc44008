"""Editing: what a server does for editors beside writing, and what it remembers for it, in memory alone."""

from __future__ import annotations

import statistics
from collections import deque
from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from buril.serve.completing.debounce import Typing, wait
from buril.serve.completing.repositories import Repositories
from buril.serve.completing.snippet import Snippet
from buril.serve.guards import Fired, Guard, Piece, guarded
from buril.serve.log import line
from buril.serve.reuse import Reuse
from buril.serve.surroundings import tokens_of

if TYPE_CHECKING:
    from buril.serve.answer import Asked
    from buril.serve.schemas import Coding
    from buril.serve.settings import ServeSettings

KEPT_VERDICTS = 2048
RECENT = 20
"""Answers whose time says how long the next takes."""


class Editing:
    """Context of repositories, answers that are known already, and how long to wait.

    Args:
        told: the server's settings.
        generator: that writes; where it runs here, prompts are cut by its tokens and laid out as it was trained.
        guards: of the server. A guard says the same of the same piece, so of a piece of a repository it is asked once.

    Raises:
        BurilError: V600 where a folder of `repositories` is none.
    """

    def __init__(self, told: ServeSettings, generator: Any, guards: Sequence[Guard] = ()) -> None:
        self.tokens = tokens_of(generator, told.context_tokens)
        self.repositories = Repositories(told.repositories, tell=line)
        self.reuse = Reuse(told.cache_mb * 1_000_000) if told.cache_mb and not told.deterministic else None
        self._guards = tuple(guards)
        self._verdict = lru_cache(maxsize=KEPT_VERDICTS)(self._judge)
        self._took: deque[float] = deque(maxlen=RECENT)

    def start(self) -> None:
        """Begin to read the repositories."""
        self.repositories.start()

    def judged(self, snippet: Snippet, *, remote: bool) -> tuple[Snippet, tuple[Fired, ...]]:
        """A piece as the guards leave it; one that they refuse is empty, and the request goes on without it."""
        text, fired = self._verdict(Piece(snippet.text, "third_party", snippet.language, snippet.path), remote)
        return snippet._replace(text=text), fired

    def _judge(self, piece: Piece, remote: bool) -> tuple[str, tuple[Fired, ...]]:
        outcome = guarded([piece], self._guards, remote=remote)
        return "" if outcome.refusal else outcome.pieces[0].text, outcome.fired

    def took(self, seconds: float) -> None:
        """Learn how long an answer took."""
        self._took.append(seconds)

    def wait_ms(self, body: Coding, asked: Asked) -> int:
        """Milliseconds that the client should wait after its next key before it asks again."""
        told = body.typing
        assert told is not None, "who asks brings it"
        before, after = asked.pieces[0].text, asked.pieces[1].text if asked.fim else ""
        seconds = told.latency_ms / 1000 if told.latency_ms is not None else statistics.median(self._took or [0.0])
        found = wait(Typing(
            tuple(gap / 1000 for gap in told.gaps_ms), seconds, told.last, before[before.rfind("\n") + 1 :],
            after.partition("\n")[0], at_file_end=not after.strip(),
        ))  # fmt: skip
        return round(1000 * found.seconds)
