"""The watermark as it is put on: where the model is unsure, green tokens are made likelier.

Where the next token is nearly certain, as most are in code, leaning would only break the code, and tell little. So only
places whose entropy is above a threshold are leaned on, and only they are counted when the mark is looked for.

Sources: Kirchenbauer et al. 2023, A Watermark for Large Language Models (arXiv 2301.10226): green lists, the lean, the
z-test; Lee et al. 2023, Who Wrote this Code? (SWEET, arXiv 2305.15060): the gate by entropy; Zhao et al. 2023, Provable
Robust Watermarking for AI-Generated Text (arXiv 2306.17439): one list everywhere.

Shapes: B rows in flight, V vocabulary.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from buril.core.errors import BurilError
from buril.core.settings import Settings as BaseSettings
from buril.core.settings import runtime
from buril.core.text import _
from buril.serve.watermark.green import Green

if TYPE_CHECKING:
    import torch

    from buril.generators._writer import Row

MIN_KEY = 16
"""Bytes that a key has at least: a shorter one can be tried out."""


class Settings(BaseSettings):
    """What a watermark can be told. To be found, it must be looked for with the same."""

    key: str = runtime("env:BURIL_WATERMARK_KEY")
    """`env:NAME` or `file:PATH`: where the secret is, 16 bytes or more. Who has it can find the mark, and forge it."""
    gamma: float = Field(0.5, gt=0.01, lt=0.99)
    """Share of the vocabulary that is green."""
    delta: float = Field(3.0, gt=0, le=20)
    """What is added to the logits of green tokens before the temperature. More is found sooner and breaks more code."""
    entropy: float = Field(0.6, ge=0)
    """Nats of entropy above which a place is leaned on; 0 leans on all, as Kirchenbauer et al. do."""
    context: Literal[0, 1] = 1
    """1: a green list after each token. 0: one list everywhere, which is all that a server of others can be told; it
    stands edits better and is the weakest secret, since counting tokens of many texts betrays it."""

    def green(self) -> Green:
        """The green lists that these settings name.

        Raises:
            BurilError: V310 when the key can't be read or is too short, P002 without `cryptography`.
        """
        return Green(secret(self.key), gamma=self.gamma, context=self.context)


def secret(place: str) -> bytes:
    """What a variable or a file holds, without white space around it.

    Raises:
        BurilError: V310.
    """
    kind, _colon, name = place.partition(":")
    if kind == "env":
        found = os.environ.get(name, "").strip().encode()
    elif kind == "file":
        try:
            found = Path(name).expanduser().read_bytes().strip()
        except OSError as problem:
            raise BurilError("V310", key=place, problem=problem.strerror or str(problem)) from problem
    else:
        raise BurilError("V310", key="…", problem=_("it begins neither with `env:` nor with `file:`"))
    if len(found) < MIN_KEY:
        short = _("it holds {size} bytes; {least} are the least").format(size=len(found), least=MIN_KEY)
        raise BurilError("V310", key=place, problem=short)
    return found


class Watermark:
    """Leans on the choice of tokens; a `Mark` for the generators of this machine.

    The lean is added before the temperature. It draws no random numbers, and what it adds to a row depends on that row
    alone: the same seed gives the same samples, whatever rows are beside it.

    Raises:
        BurilError: V310, P002.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.green = settings.green()

    def lean(self, rows: Sequence[Row], logits_BV: torch.Tensor) -> torch.Tensor:
        """The logits to draw from; those given stay as they are."""
        import torch

        places = [place for place, row in enumerate(rows) if row.ended is None and not row.rest]
        if places and self.settings.entropy > 0:
            from buril.generators._writer import entropies

            entropy_N = entropies(logits_BV[places], torch.empty(0))
            above = (entropy_N > self.settings.entropy).tolist()
            places = [place for place, is_above in zip(places, above, strict=True) if is_above]
        if not places:
            return logits_BV
        leaned_BV = logits_BV.clone()
        for place in places:
            row = rows[place]
            green_V = self.green.after(row.ids[-1] if row.ids else row.prompt[-1], logits_BV.shape[1])
            leaned_BV[place] += torch.from_numpy(green_V).to(logits_BV) * self.settings.delta
        return leaned_BV

    def bias(self, num_tokens: int) -> dict[int, float]:
        """The one list of a mark with `context: 0`, as a server's `logit_bias` takes it: token → what is added.

        Raises:
            BurilError: V311 for a mark that a server can't be told.
        """
        if self.settings.context != 0 or self.settings.entropy > 0:
            raise BurilError(
                "V311", engine=_("a server"), problem=_("it takes one list only: `context: 0, entropy: 0`")
            )
        green_V = self.green.after(0, num_tokens)
        return {int(token): self.settings.delta for token in green_V.nonzero()[0]}

    def record(self) -> dict[str, Any]:
        """What the record of a completion keeps of it."""
        return {"key": self.green.key_id, **self.settings.identity()}


def marked(generator: Any, watermark: Watermark, *, num_tokens: int = 0) -> None:
    """Let a generator mark what it writes from now on.

    Args:
        generator: one of this machine, or one that passes a `logit_bias` on to a server.
        watermark: the mark.
        num_tokens: of the vocabulary of a server's model, which it does not tell itself.

    Raises:
        BurilError: V311 for a generator that can't.
    """
    if hasattr(generator, "mark"):
        generator.mark = watermark
    elif hasattr(generator, "logit_bias") and num_tokens:
        generator.logit_bias = watermark.bias(num_tokens)
    else:
        name = type(generator).__name__.lower()
        problem = (
            _("say how many tokens its model has") if hasattr(generator, "logit_bias")
            else _("nothing can be added to its logits")
        )  # fmt: skip
        raise BurilError("V311", engine=name, problem=problem)
