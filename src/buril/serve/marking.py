"""The watermark of a server: it is put on all that is written, whoever asks and whatever they ask for.

It belongs to the engine, not to a request: samples, holes, chats and streams are marked alike, and there is no field by
which a client could ask for text without it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from buril.core.errors import BurilError
from buril.core.text import _

if TYPE_CHECKING:
    from buril.generators._generator import Generator
    from buril.serve.settings import ServeSettings
    from buril.serve.watermark import Watermark


def watermark_of(told: ServeSettings) -> Watermark | None:
    """The mark that a server is told to put on, or None.

    Raises:
        BurilError: V310 when its key can't be used, P002 without `cryptography`.
    """
    if told.watermark is None:
        return None
    from buril.serve.watermark import Watermark

    return Watermark(told.watermark)


def check_mark(told: ServeSettings) -> None:
    """Refuse what can't be marked before anything is loaded: a key that can't be used, a named engine that can't.

    Raises:
        BurilError: V310, V050, P002.
    """
    watermark = watermark_of(told)
    if watermark and told.engine:
        marked_by(told.engine.make(), watermark, name=told.engine.name)


def marked_by(generator: Generator, watermark: Watermark | None, *, name: str) -> Generator:
    """The generator, which marks whatever it writes from now on.

    Args:
        generator: that will serve.
        watermark: the mark; None leaves the generator as it is.
        name: of the generator, for the error.

    Raises:
        BurilError: V050 for a generator that can't: a server that was told to mark never writes without.
    """
    if watermark is None:
        return generator
    if not hasattr(generator, "mark"):
        raise BurilError("V050", engine=name, problem=_why(generator))
    generator.mark = watermark
    return generator


def _why(generator: Generator) -> str:
    """Why a generator can't be marked here."""
    if hasattr(generator, "logit_bias"):
        return _("what another server writes can only be marked by that server")
    return _("nothing can be added to its logits")
