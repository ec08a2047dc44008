"""Budget: what of context, prefix and suffix fits the model's window, and the tokens of the prompt.

    [bos] <repo> name <file> path ⏎ snippet … <file> path ⏎ <pre> prefix <suf> suffix <mid>

is how `pack` lays out the files of a repository with a hole in the last one, so that a model sees what it was trained
on. What changes least stands first. A prefix that is too long loses whole lines at its head, and more of them than it
must: so its beginning stays where it is for many keys, and what an engine has read of it stays of use.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

from buril.core.errors import BurilError
from buril.generators._encoder import Encoder, Fim
from buril.generators._generator import Request
from buril.generators._heads import Heads, Place
from buril.serve.completing.context import Around
from buril.serve.completing.snippet import Snippet

RESERVE = 4
"""Positions that generators keep free beside what is asked for."""
LEAST_ROOM = 32
"""Tokens of a prompt below which a completion is not worth asking for."""
PREFIX_SHARE, SUFFIX_SHARE, CONTEXT_SHARE = 1 / 2, 1 / 4, 1 / 2
"""Of the room: what the prefix has for sure, and what suffix and context have at most while others need it."""
STEP_TOKENS = 64
"""How far the beginning of a cut prefix moves at a time, and what the room for context is a multiple of."""
_KEPT_TEXTS = 4096
_SLACK = 8
"""Tokens by which the first head may be longer than was reckoned, as its repository's name joins another path."""
_CHARS_A_TOKEN = 12
"""No code has more characters a token for long, so what lies further away is not even encoded."""


class Prompt(NamedTuple):
    """The tokens of a prompt and the text that the answer begins with; what `Request` takes.

    `snippets` is how many were shown, `tokens` how many tokens context, prefix and suffix have, `shown` which snippets
    they were, `whole` whether all of prefix and suffix is there.
    """

    ids: tuple[int, ...]
    prefill: str
    snippets: int
    tokens: tuple[int, int, int]
    shown: tuple[Snippet, ...] = ()
    whole: bool = True

    def request(self, *, max_tokens: int, temperature: float = 0.0, seed: int = 0, samples: int = 1) -> Request:
        """What a generator is asked."""
        return Request(
            self.ids, prefill=self.prefill, max_tokens=max_tokens, temperature=temperature, seed=seed,
            num_samples=samples,
        )  # fmt: skip


@dataclass(frozen=True)
class Tokens:
    """The tokens of a model.

    Attributes:
        encoder: its tokenizer; control tokens spelt in a text stay text.
        fim: ids of its control tokens.
        max_positions: tokens of its window.
        uses_fim: whether it was taught to fill in the middle; else what follows the cursor is not shown.
        named: whether it was trained on repositories as documents, so that even a file alone has its head.
        context_tokens: tokens that other files may take, at most; None for what the window leaves.
    """

    encoder: Encoder
    fim: Fim
    max_positions: int
    uses_fim: bool = True
    named: bool = False
    context_tokens: int | None = None

    def count(self, line: str) -> int:
        """The tokens of a line by itself."""
        return _counter(self.encoder)(line)


@lru_cache(maxsize=4)
def _counter(encoder: Encoder) -> Callable[[str], int]:
    return lru_cache(maxsize=_KEPT_TEXTS)(lambda line: len(encoder.encode(line)))


@lru_cache(maxsize=4)
def _heads(encoder: Encoder) -> Heads:
    """Kept, as it looks through the whole vocabulary."""
    return Heads(encoder)


def prompt(
    tokens: Tokens, around: Around, snippets: Sequence[Snippet] = (), *, max_tokens: int, repo: str = ""
) -> Prompt:
    """The prompt for a cursor, as much of everything as fits beside `max_tokens`.

    Args:
        tokens: the model's.
        around: the edited file.
        snippets: of other files, in the order they are shown; those that no longer fit are left out, the last first, of
            those that are `given` the first first.
        max_tokens: tokens of the answer.
        repo: name of the repository, for the head of the first file.

    Raises:
        BurilError: V601 where the model's window leaves no room beside `max_tokens`.
    """
    fim = tokens.fim
    sentinels = [fim["prefix"], fim["suffix"], fim["middle"]]
    filling = tokens.uses_fim and None not in sentinels
    bos = [] if fim["bos"] is None else [fim["bos"]]
    room = tokens.max_positions - max_tokens - RESERVE - len(bos) - (3 if filling else 0)
    if room < LEAST_ROOM:
        raise BurilError("V601", window=tokens.max_positions, max_tokens=max_tokens)
    kept = _context_room(tokens, room) if snippets or tokens.named else 0
    before, after, left = _halves(tokens, around, room, kept=kept, filling=filling)
    head, shown = _context(tokens, around, snippets, room=left, repo=repo)
    suffix = tokens.encoder.encode(after) if filling else []
    prefix = tokens.encoder.encode(before)
    spare = room - len(head) - len(suffix)
    whole = before == around.prefix and (not filling or after == around.suffix) and len(prefix) <= spare
    prefix = prefix[-spare:]  # a single line that is longer than all
    count = (len(head), len(prefix), len(suffix))
    if not filling:  # the text is encoded with the end that is healed, so that its tokens are those of training
        ids = (*bos, *head)
        return Prompt(ids or (() if before else (fim["eos"],)), before, len(shown), count, shown, whole)
    opening, closing, middle = (int(token) for token in sentinels if token is not None)
    return Prompt((*bos, *head, opening, *prefix, closing, *suffix, middle), "", len(shown), count, shown, whole)


def _halves(tokens: Tokens, around: Around, room: int, *, kept: int, filling: bool) -> tuple[str, str, int]:
    """What is kept of prefix and suffix, and the room that they leave to context, for which `kept` is free at least."""
    reach = room * _CHARS_A_TOKEN
    lines_before = around.prefix[-reach:].splitlines(keepends=True)
    lines_after = around.suffix[:reach].splitlines(keepends=True) if filling else []
    sure = int(room * PREFIX_SHARE)
    wants_before = sum(map(tokens.count, lines_before))
    wants_after = sum(map(tokens.count, lines_after))
    for_suffix = min(wants_after, max(int(room * SUFFIX_SHARE), room - wants_before))
    for_prefix = min(wants_before, max(sure, room - for_suffix - kept))
    before = _kept(lines_before[::-1], tokens, for_prefix, step=STEP_TOKENS)[::-1]
    after = _kept(lines_after, tokens, for_suffix)
    left = min(room - for_prefix - for_suffix, room if tokens.context_tokens is None else tokens.context_tokens)
    return "".join(before), "".join(after), left - left % STEP_TOKENS


def _context_room(tokens: Tokens, room: int) -> int:
    """What is kept free for context where a file would fill all."""
    half = int(room * CONTEXT_SHARE / 2)
    return half if tokens.context_tokens is None else min(half, tokens.context_tokens)


def _kept(lines: Sequence[str], tokens: Tokens, room: int, *, step: int = 1) -> list[str]:
    """The lines that fit, the near ones first; what is left out is a multiple of `step`, so that it seldom changes."""
    counts = [tokens.count(line) for line in lines]
    gone = sum(counts) - room
    if gone <= 0:
        return list(lines)
    gone += -gone % step
    while counts and gone > 0 and len(counts) > 1:
        gone -= counts.pop()
    return list(lines[: len(counts)])


def _context(
    tokens: Tokens, around: Around, snippets: Sequence[Snippet], *, room: int, repo: str
) -> tuple[list[int], tuple[Snippet, ...]]:
    """The tokens before the edited file's own, snippets under their heads and its head; and which snippets."""
    heads = _heads(tokens.encoder)
    own = Place(repo, around.path, around.language, ())
    alone = heads.of(own, first=True) if tokens.named else []
    last = heads.of(own, first=False)
    texts = [tokens.encoder.encode(snippet.text.rstrip("\n") + "\n") for snippet in snippets]
    places = [Place(repo, snippet.path, snippet.language, ()) for snippet in snippets]
    given = [number for number, snippet in enumerate(snippets) if snippet.kind == "given"][::-1]
    taken: set[int] = set()
    left = room - len(last) - _SLACK
    for number in [*given, *(number for number in range(len(snippets)) if number not in given)]:
        size = len(texts[number]) + len(heads.of(places[number], first=not taken))
        if size <= left:
            taken.add(number)
            left -= size
    if not taken:
        return (alone if len(alone) <= room else []), ()
    order = sorted(taken)
    found: list[int] = []
    for number in order:
        found += heads.of(places[number], first=not found) + texts[number]
    return found + last, tuple(snippets[number] for number in order)
