"""The ids of a request's prompt. Sentinels are put in by id; what a user's text spells is never read as one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from buril.core.errors import BurilError
from buril.generators._generator import Request

if TYPE_CHECKING:
    from buril.generators._heal import Healer
    from buril.generators._load import Loaded

MIN_CONTEXT = 16
"""Tokens of prompt that are always kept, however many are asked for."""


def prompt_ids(
    request: Request, loaded: Loaded, *, max_positions: int, healer: Healer | None = None
) -> tuple[tuple[int, ...], bytes]:
    """Prefix, suffix and sentinels in the order prefix, suffix, middle (Bavarian et al. 2022), cut to what fits.

    A quarter of the room goes to the suffix at most, as the prefix tells more; what one does not use the other gets.
    With a healer the second of what returns is the text which the model must write first: the prompt's last characters
    (see `_heal.py`). A hole's prefix ends at a sentinel, as in training, and needs no healing.

    Raises:
        BurilError: T015 when there is a suffix and the model has no sentinels.
    """
    fim, encode = loaded.fim, loaded.encoder.encode
    head = [fim["bos"]] if fim["bos"] is not None and isinstance(request.prompt, str) else []
    room = max(MIN_CONTEXT, max_positions - request.max_tokens - 4)
    if request.suffix is None and isinstance(request.prompt, str):
        prefix, begun = [], encode(request.prompt + request.prefill)
    else:
        prefix = encode(request.prompt) if isinstance(request.prompt, str) else list(request.prompt)
        begun = encode(request.prefill) if request.prefill else []
    begun, rest = healer.split(begun) if healer else (begun, b"")
    if request.suffix is None:
        # An empty prompt still needs one token to go on from: the one that stands between documents.
        return tuple([*head, *[*prefix, *begun][-room:]] or [fim["eos"]]), rest
    sentinels = (fim["prefix"], fim["suffix"], fim["middle"])
    if None in sentinels:
        raise BurilError("T015")
    suffix = encode(request.suffix)
    room = max(MIN_CONTEXT, room - len(begun))
    suffix = suffix[: max(room // 4, room - len(prefix))]
    prefix = prefix[-max(1, room - len(suffix)) :]
    opening, closing, middle = (int(token) for token in sentinels if token is not None)
    return (*head, opening, *prefix, closing, *suffix, middle, *begun), rest
