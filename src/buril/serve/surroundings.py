"""Surroundings: the file that a request for code is in, what of other files its prompt shows, and how that is laid out.

What a client sends along and what the repositories give is all `third_party` to the guards: who asks did not choose it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from buril.code.language import detect, languages
from buril.generators._generator import Request
from buril.serve.completing.budget import LEAST_ROOM, RESERVE, Tokens, prompt
from buril.serve.completing.context import Around
from buril.serve.completing.fixed import fixed
from buril.serve.completing.repositories import shown
from buril.serve.completing.snippet import Snippet
from buril.serve.guards import Fired

if TYPE_CHECKING:
    from buril.serve.answer import Asked, Served
    from buril.serve.schemas import Coding

_TEXTS = {
    "prompt", "suffix", "input_prefix", "input_suffix", "input_extra", "stream", "stream_options", "user", "typing",
}  # fmt: skip
SENTINELS = 4
"""Tokens of a prompt that are no text."""


@dataclass
class Surroundings:
    """The place of one request for code.

    Attributes:
        file: as the client says; "" where it does not.
        repository: its name, as the client says.
        language: as the client says, or by the name of the file.
        finish: whether the answer is to be finished, as the client says.
        given: names of the files of which the client sends pieces.
        alone: what is written must not depend on what else is.
        fim: there is a suffix.
        shown: the places that the prompt shows, once it is made.
    """

    file: str
    repository: str
    language: str
    finish: bool | None
    given: tuple[str, ...] = ()
    alone: bool = False
    fim: bool = False
    shown: tuple[str, ...] = ()
    found: tuple[Snippet, ...] = ()
    fired: tuple[Fired, ...] = ()

    def look(self, served: Served, asked: Asked, given: Sequence[str]) -> Asked:
        """Ask the repositories what they have for the place, and lead that through the guards."""
        if not served.editing or not served.editing.repositories or not (self.file or self.fim):
            return asked
        around = Around(self.file, self.language, given[0], given[1] if self.fim else "")
        found = served.editing.repositories.find(around, self.repository, settled=self.alone, guess=self.fim)
        if found.file:
            self.file, self.repository = found.file.path, found.file.repository
        self.language = self.language or found.language
        passed = [served.editing.judged(snippet, remote=served.remote) for snippet in found.snippets]
        self.found = tuple(snippet for snippet, _fired in passed if snippet.text.strip())
        self.fired = tuple(item for _snippet, fired in passed for item in fired)
        finish = self.language in languages() if self.finish is None else self.finish
        return replace(asked, language=self.language, finish=finish)

    def request(self, served: Served, base: Request, texts: Sequence[str]) -> Request:
        """The request with what it is shown, as much as fits: as the model was trained where its tokens are known."""
        own, extras = texts[: 1 + self.fim], texts[1 + self.fim :]
        given = [
            Snippet(name or f"{number}.txt", text, detect(name, text) if name else "", "given")
            for number, (name, text) in enumerate(zip(self.given, extras, strict=True), 1)
            if text.strip()
        ]
        snippets = (*given, *self.found)
        tokens = served.editing.tokens if served.editing else None
        if tokens is None:
            above = "".join(f"{item.text.rstrip()}\n\n" for item in snippets)
            self.shown = tuple(map(place_of, snippets))
            return replace(base, prompt=above + own[0]) if above else base
        most = tokens.max_positions - RESERVE - LEAST_ROOM - SENTINELS
        base = replace(base, max_tokens=min(base.max_tokens, most)) if most > 0 else base
        around = Around(shown(self.file), self.language, own[0], own[1] if self.fim else "")
        if most <= 0:
            return base
        found = prompt(replace(tokens, uses_fim=self.fim), around, snippets, max_tokens=base.max_tokens,
                       repo=self.repository)  # fmt: skip
        self.shown = tuple(map(place_of, found.shown))
        if not found.shown and found.whole:
            return base
        return replace(base, prompt=found.ids, suffix=None, prefill=found.prefill)


def place_of(snippet: Snippet) -> str:
    """Where a piece stands, as records keep it."""
    return f"{snippet.path}:{snippet.line}"


def surrounded(served: Served, body: Coding, asked: Asked, *, given: Sequence[str] = ()) -> Asked:
    """A request for code, with the place that its body tells of.

    Raises:
        BurilError: V040 for a repository that the server has not.
    """
    file, repository = body.named("file"), body.named("repository")
    if served.editing:
        served.editing.repositories.check(repository)
    language = asked.language or (detect(file, asked.pieces[0].text) if file else "")
    finish = language in languages() if body.finish is None else body.finish
    place = Surroundings(file, repository, language, body.finish, tuple(given), asked.alone, asked.fim)
    make = asked.make
    told: dict[str, Any] = {"wait_ms": served.editing.wait_ms(body, asked)} if served.editing and body.typing else {}

    def request(texts: Sequence[str]) -> Request:
        return place.request(served, make(texts), texts)

    reuse = _reusable(body) if not asked.alone and (asked.fim or finish) else ""
    return replace(asked, make=request, language=language, finish=finish, surroundings=place, reuse=reuse, told=told)


def _reusable(body: Coding) -> str:
    """What of a body must be equal for its answer to be that of another, texts apart; "" where it asks for several."""
    if getattr(body, "n", 1) > 1 or not isinstance(getattr(body, "prompt", ""), str):
        return ""
    if getattr(body, "logprobs", None) is not None:  # nothing is kept of them
        return ""
    return body.model_dump_json(exclude=_TEXTS)


def steadied(request: Request, *, alone: bool, seeded: bool) -> Request:
    """A request that is to give the same whatever else is written: it is computed by itself.

    Its seed follows from what it says where it names none.
    """
    if not alone:
        return request
    return replace(request if seeded else fixed(request), alone=True)


def tokens_of(generator: Any, context_tokens: int) -> Tokens | None:
    """The tokens of a model that runs here; None for one whose tokens are not known."""
    loaded = getattr(generator, "loaded", None)
    if loaded is None:
        return None
    window = int(getattr(loaded.model.config, "max_position_embeddings", 0) or 1 << 20)
    return Tokens(loaded.encoder, loaded.fim, window, context_tokens=context_tokens)
