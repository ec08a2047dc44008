"""The ids of a request's prompt. Sentinels are put in by id; what a user's text spells is never read as one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from buril.core.errors import BurilError
from buril.generators._generator import Request

if TYPE_CHECKING:
    from buril.generators._load import Loaded

MIN_CONTEXT = 16
"""Tokens of prompt that are always kept, however many are asked for."""


def prompt_ids(request: Request, loaded: Loaded, *, max_positions: int) -> tuple[int, ...]:
    """Prefix, suffix and sentinels in the order prefix, suffix, middle (Bavarian et al. 2022), cut to what fits.

    A quarter of the room goes to the suffix at most, as the prefix tells more; what one does not use the other gets.

    Raises:
        BurilError: T015 when there is a suffix and the model has no sentinels.
    """
    fim = loaded.fim
    head = [fim["bos"]] if fim["bos"] is not None and isinstance(request.prompt, str) else []
    room = max(MIN_CONTEXT, max_positions - request.max_tokens - 4)
    prefix = loaded.encoder.encode(request.prompt) if isinstance(request.prompt, str) else list(request.prompt)
    if request.suffix is None:
        # An empty prompt still needs one token to go on from: the one that stands between documents.
        return tuple([*head, *prefix[-room:]] or [fim["eos"]])
    sentinels = (fim["prefix"], fim["suffix"], fim["middle"])
    if None in sentinels:
        raise BurilError("T015")
    suffix = loaded.encoder.encode(request.suffix)
    suffix = suffix[: max(room // 4, room - len(prefix))]
    prefix = prefix[-max(1, room - len(suffix)) :]
    opening, closing, middle = (int(token) for token in sentinels if token is not None)
    return (*head, opening, *prefix, closing, *suffix, middle)
